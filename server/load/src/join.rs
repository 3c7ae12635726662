//! LiveKit signalling of one participant: how it gets in, and what it offers when (protocol v1, single peer connection).
//!
//! [`Negotiation`] is sans-I/O: it takes the server's messages and gives back what to do.

use std::io::Write as _;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::write::GzEncoder;
use livekit_protocol as proto;
use prost::Message as _;
use proto::{signal_request, signal_response};
use rtc_crypto::{HmacAlgorithm, RTCCryptoProvider};
use serde_json::json;

use crate::media::Kind;
use crate::sdp::{Answer, LocalTransport, Section, Use, offer, parse_answer};

/// Free receiving lines of the first offer, as LiveKit's own clients make it.
const INITIAL_LINES: usize = 3;
/// Lines one participant offers at most; a server that asks for more is at fault.
const MAX_SECTIONS: usize = 1_024;
/// Signalling protocol this client speaks (17: what LiveKit 1.13 announces).
const PROTOCOL: i32 = 17;

/// Signs a room token with LiveKit's claims (HS256). Times are Unix seconds.
pub(crate) fn token(
    crypto: &dyn RTCCryptoProvider,
    (key, secret): (&str, &str),
    room: &str,
    identity: &str,
    not_before: u64,
    expires: u64,
) -> Result<String> {
    let header = json!({"alg": "HS256", "typ": "JWT"});
    let claims = json!({
        "iss": key,
        "sub": identity,
        "name": identity,
        "nbf": not_before,
        "exp": expires,
        "video": {"roomJoin": true, "room": room, "canPublish": true, "canSubscribe": true, "canPublishData": false},
    });
    let encode = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&header), encode(&claims));
    let mut signature = vec![0; HmacAlgorithm::Sha256.output_len()];
    let mut mac = crypto.crypto().new_hmac(HmacAlgorithm::Sha256, secret.as_bytes())?;
    mac.sign(&[signed.as_bytes()], &mut signature)?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// WebSocket address of the v1 endpoint under `base` (`ws:`, `wss:`, `http:` or `https:`).
///
/// # Errors
/// `base` has another scheme.
pub(crate) fn join_url(base: &str, token: &str, request: &proto::JoinRequest) -> Result<String> {
    let base = base.trim_end_matches('/');
    let base = match base.split_once("://") {
        Some(("ws" | "http", rest)) => format!("ws://{rest}"),
        Some(("wss" | "https", _)) => {
            bail!("TLS is not measured here: give the server's plain http:// or ws:// address")
        }
        _ => bail!("{base} is not an address like http://127.0.0.1:7880"),
    };
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(&request.encode_to_vec())?;
    let wrapped = proto::WrappedJoinRequest {
        compression: proto::wrapped_join_request::Compression::Gzip.into(),
        join_request: gzip.finish()?,
    };
    let param = URL_SAFE_NO_PAD.encode(wrapped.encode_to_vec());
    Ok(format!("{base}/rtc/v1?access_token={token}&join_request={param}"))
}

/// What the owner of a [`Negotiation`] has to do, in order.
#[derive(Debug)]
pub(crate) enum Action {
    Send(Box<signal_request::Message>),
    /// Apply an answer; `sent` names the own track (`cid`) on each line.
    Accept {
        answer: Box<Answer>,
        sent: Vec<Option<String>>,
    },
    AddCandidate(String),
    /// The join was answered.
    Joined,
    /// The server put us out.
    Ended(String),
}

/// An own track to publish.
#[derive(Clone, Debug)]
pub(crate) struct Track {
    pub kind: Kind,
    pub cid: String,
    pub ssrc: u32,
}

/// Offers of one participant: one outstanding at a time, sections only appended.
pub(crate) struct Negotiation {
    session_id: u64,
    ufrag: String,
    pwd: String,
    fingerprint: String,
    sections: Vec<Section>,
    tracks: Vec<Track>,
    published: usize,
    offers: u32,
    outstanding: Option<u32>,
    /// The lines changed, or the server asked for an offer, since the last one.
    stale: bool,
}

impl Negotiation {
    pub(crate) fn new(session_id: u64, local: &LocalTransport<'_>, tracks: Vec<Track>) -> Self {
        let mut negotiation = Self {
            session_id,
            ufrag: local.ufrag.to_owned(),
            pwd: local.pwd.to_owned(),
            fingerprint: local.fingerprint.to_owned(),
            sections: Vec::new(),
            tracks,
            published: 0,
            offers: 0,
            outstanding: None,
            stale: false,
        };
        negotiation.add_lines(Kind::Audio, INITIAL_LINES);
        negotiation.add_lines(Kind::Video, INITIAL_LINES);
        negotiation
    }

    /// The join request, with the first offer inside.
    pub(crate) fn join_request(&mut self) -> proto::JoinRequest {
        proto::JoinRequest {
            client_info: Some(proto::ClientInfo {
                sdk: proto::client_info::Sdk::Rust.into(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                protocol: PROTOCOL,
                os: std::env::consts::OS.to_owned(),
                ..Default::default()
            }),
            connection_settings: Some(proto::ConnectionSettings {
                auto_subscribe: true,
                ..Default::default()
            }),
            publisher_offer: Some(self.next_offer()),
            ..Default::default()
        }
    }

    fn next_offer(&mut self) -> proto::SessionDescription {
        self.offers += 1;
        self.outstanding = Some(self.offers);
        self.stale = false;
        let local = LocalTransport { ufrag: &self.ufrag, pwd: &self.pwd, fingerprint: &self.fingerprint };
        proto::SessionDescription {
            r#type: "offer".to_owned(),
            sdp: offer(self.session_id, self.offers, &self.sections, &local),
            id: self.offers,
            ..Default::default()
        }
    }

    fn add_lines(&mut self, kind: Kind, count: usize) {
        let count = count.min(MAX_SECTIONS.saturating_sub(self.sections.len()));
        self.sections.extend(std::iter::repeat_n(Section { kind, purpose: Use::Receive }, count));
    }

    /// # Errors
    /// The answer cannot be used.
    pub(crate) fn handle(&mut self, message: signal_response::Message) -> Result<Vec<Action>> {
        use signal_response::Message;
        let mut actions = Vec::new();
        match message {
            Message::Join(_) => {
                actions.push(Action::Joined);
                actions.extend(self.tracks.iter().map(|track| Action::Send(Box::new(add_track(track)))));
            }
            Message::Answer(answer) => self.answered(&answer, &mut actions)?,
            Message::TrackPublished(published) => {
                if let Some(track) = self.tracks.iter().find(|track| track.cid == published.cid) {
                    let purpose = Use::Send { cid: track.cid.clone(), ssrc: track.ssrc };
                    self.sections.push(Section { kind: track.kind, purpose });
                    self.published += 1;
                    // One offer for all tracks, as clients that publish microphone and camera together send.
                    self.stale |= self.published == self.tracks.len();
                }
            }
            Message::MediaSectionsRequirement(required) => {
                self.add_lines(Kind::Audio, required.num_audios as usize);
                self.add_lines(Kind::Video, required.num_videos as usize);
                self.stale = true;
            }
            Message::Trickle(trickle) => {
                let init: serde_json::Value = serde_json::from_str(&trickle.candidate_init)
                    .context("trickled candidate is not JSON")?;
                if let Some(candidate) = init["candidate"].as_str() {
                    actions.push(Action::AddCandidate(candidate.to_owned()));
                }
            }
            Message::Leave(leave) => {
                let (reason, action) = (leave.reason().as_str_name(), leave.action().as_str_name());
                actions.push(Action::Ended(format!("server sent leave: {reason}, {action}")));
            }
            _ => {}
        }
        if self.stale && self.outstanding.is_none() {
            let offer = signal_request::Message::Offer(self.next_offer());
            actions.push(Action::Send(Box::new(offer)));
        }
        Ok(actions)
    }

    fn answered(&mut self, answer: &proto::SessionDescription, actions: &mut Vec<Action>) -> Result<()> {
        // Of an offer that has been overtaken.
        if Some(answer.id) != self.outstanding {
            return Ok(());
        }
        self.outstanding = None;
        let answer = parse_answer(&answer.sdp)?;
        let sent = self.sections.iter().map(|section| match &section.purpose {
            Use::Send { cid, .. } => Some(cid.clone()),
            Use::Receive => None,
        });
        actions.push(Action::Accept {
            sent: sent.take(answer.sections.len()).collect(),
            answer: Box::new(answer),
        });
        Ok(())
    }
}

fn add_track(track: &Track) -> signal_request::Message {
    let (typ, source) = match track.kind {
        Kind::Audio => (proto::TrackType::Audio, proto::TrackSource::Microphone),
        Kind::Video => (proto::TrackType::Video, proto::TrackSource::Camera),
    };
    signal_request::Message::AddTrack(proto::AddTrackRequest {
        cid: track.cid.clone(),
        r#type: typ.into(),
        source: source.into(),
        width: if track.kind == Kind::Video { 640 } else { 0 },
        height: if track.kind == Kind::Video { 360 } else { 0 },
        disable_red: true,
        ..Default::default()
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    const ANSWER: &str = "v=0\r\na=setup:passive\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\na=fingerprint:sha-256 AA\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n";

    fn negotiation() -> Negotiation {
        let local = LocalTransport { ufrag: "abcd", pwd: "pwd", fingerprint: "AA" };
        let tracks = vec![
            Track { kind: Kind::Audio, cid: "mic".into(), ssrc: 1 },
            Track { kind: Kind::Video, cid: "cam".into(), ssrc: 2 },
        ];
        Negotiation::new(9, &local, tracks)
    }

    fn answer(id: u32) -> signal_response::Message {
        signal_response::Message::Answer(proto::SessionDescription {
            id,
            sdp: ANSWER.into(),
            ..Default::default()
        })
    }

    fn offered(actions: &[Action]) -> Vec<&proto::SessionDescription> {
        actions
            .iter()
            .filter_map(|action| match action {
                Action::Send(request) => match request.as_ref() {
                    signal_request::Message::Offer(offer) => Some(offer),
                    _ => None,
                },
                _ => None,
            })
            .collect()
    }

    #[test]
    fn the_join_request_survives_its_packing() {
        let request = negotiation().join_request();
        let url = join_url("http://127.0.0.1:7880/", "tok", &request).unwrap();
        let param = url.strip_prefix("ws://127.0.0.1:7880/rtc/v1?access_token=tok&join_request=").unwrap();
        let wrapped = URL_SAFE_NO_PAD.decode(param).unwrap();
        let wrapped = proto::WrappedJoinRequest::decode(wrapped.as_slice()).unwrap();
        let mut inner = Vec::new();
        flate2::read::GzDecoder::new(wrapped.join_request.as_slice()).read_to_end(&mut inner).unwrap();
        assert_eq!(proto::JoinRequest::decode(inner.as_slice()).unwrap(), request);
        assert_eq!(request.publisher_offer.unwrap().sdp.matches("m=").count(), 2 * INITIAL_LINES);
        assert!(join_url("https://example.jp", "tok", &proto::JoinRequest::default()).is_err());
    }

    #[test]
    fn a_token_carries_livekits_claims_and_a_correct_signature() {
        let crypto = rtc_crypto::default_provider().unwrap();
        let token = token(crypto.as_ref(), ("key", "secret"), "room", "me", 5, 10).unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let mut mac = crypto.crypto().new_hmac(HmacAlgorithm::Sha256, b"secret").unwrap();
        mac.verify(&[signed.as_bytes()], &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
        let claims = URL_SAFE_NO_PAD.decode(signed.split_once('.').unwrap().1).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!((claims["iss"].as_str(), claims["video"]["room"].as_str()), (Some("key"), Some("room")));
        assert_eq!(claims["exp"], 10);
    }

    #[test]
    fn tracks_are_offered_together_after_both_are_acknowledged() {
        let mut negotiation = negotiation();
        let _ = negotiation.join_request();
        let actions =
            negotiation.handle(signal_response::Message::Join(proto::JoinResponse::default())).unwrap();
        assert_eq!(actions.len(), 3);
        negotiation.handle(answer(1)).unwrap();
        let published = |cid: &str| {
            signal_response::Message::TrackPublished(proto::TrackPublishedResponse {
                cid: cid.into(),
                ..Default::default()
            })
        };
        assert!(offered(&negotiation.handle(published("mic")).unwrap()).is_empty());
        let actions = negotiation.handle(published("cam")).unwrap();
        let offer = offered(&actions)[0];
        assert_eq!(offer.id, 2);
        assert_eq!(offer.sdp.matches("a=sendonly").count(), 2);
    }

    #[test]
    fn one_offer_is_outstanding_and_later_wishes_wait_for_its_answer() {
        let mut negotiation = negotiation();
        let _ = negotiation.join_request();
        let wish = |num_audios| {
            signal_response::Message::MediaSectionsRequirement(proto::MediaSectionsRequirement {
                num_audios,
                num_videos: 0,
            })
        };
        assert!(offered(&negotiation.handle(wish(2)).unwrap()).is_empty());
        assert!(offered(&negotiation.handle(wish(0)).unwrap()).is_empty());
        let actions = negotiation.handle(answer(1)).unwrap();
        assert_eq!(offered(&actions)[0].sdp.matches("m=audio").count(), INITIAL_LINES + 2);
        assert!(negotiation.handle(answer(1)).unwrap().is_empty());
        assert_eq!(offered(&negotiation.handle(wish(0)).unwrap()).len(), 0);
        assert_eq!(offered(&negotiation.handle(answer(2)).unwrap()).len(), 1);
    }

    #[test]
    fn a_leave_says_why() {
        let leave = proto::LeaveRequest {
            reason: proto::DisconnectReason::DuplicateIdentity.into(),
            ..Default::default()
        };
        let actions = negotiation().handle(signal_response::Message::Leave(leave)).unwrap();
        assert!(matches!(&actions[..], [Action::Ended(reason)] if reason.contains("DUPLICATE_IDENTITY")));
    }
}

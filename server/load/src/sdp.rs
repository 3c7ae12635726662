//! The one offer shape this client makes, and what it needs from an answer (RFC 8829, RFC 8843).
//!
//! Everything is bundled; sections are only ever appended, and never change their kind or mid, as LiveKit's single peer
//! connection wants it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result, bail, ensure};

use crate::media::Kind;

pub(crate) const OPUS_PAYLOAD_TYPE: u8 = 111;
pub(crate) const VP8_PAYLOAD_TYPE: u8 = 96;
const RTX_PAYLOAD_TYPE: u8 = 97;

pub(crate) const AUDIO_LEVEL_URI: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
pub(crate) const MID_URI: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
pub(crate) const TRANSPORT_CC_URI: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
const AUDIO_LEVEL_ID: u8 = 1;
pub(crate) const TRANSPORT_CC_ID: u8 = 3;
const MID_ID: u8 = 4;

/// What one m-line is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// A free line on which the server may put a track.
    Receive,
    /// `cid` is the client's track id, as in `add_track`.
    Send { cid: String, ssrc: u32 },
}

#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub kind: Kind,
    pub purpose: Use,
}

/// Local ICE credentials and certificate fingerprint (`sha-256`, colon-separated upper-case hex).
pub(crate) struct LocalTransport<'a> {
    pub ufrag: &'a str,
    pub pwd: &'a str,
    pub fingerprint: &'a str,
}

/// Writes the offer for `sections`; the section's index is its mid.
pub(crate) fn offer(
    session_id: u64,
    version: u32,
    sections: &[Section],
    local: &LocalTransport<'_>,
) -> String {
    let mut sdp =
        format!("v=0\r\no=- {session_id} {version} IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE");
    for mid in 0..sections.len() {
        let _ = write!(sdp, " {mid}");
    }
    sdp.push_str("\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS *\r\n");
    for (mid, section) in sections.iter().enumerate() {
        write_section(&mut sdp, mid, section, local);
    }
    sdp
}

fn write_section(sdp: &mut String, mid: usize, section: &Section, local: &LocalTransport<'_>) {
    let LocalTransport { ufrag, pwd, fingerprint } = local;
    let line = match section.kind {
        Kind::Audio => format!("m=audio 9 UDP/TLS/RTP/SAVPF {OPUS_PAYLOAD_TYPE}"),
        Kind::Video => format!("m=video 9 UDP/TLS/RTP/SAVPF {VP8_PAYLOAD_TYPE} {RTX_PAYLOAD_TYPE}"),
    };
    let _ = write!(
        sdp,
        "{line}\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\n\
         a=ice-options:trickle\r\na=fingerprint:sha-256 {fingerprint}\r\na=setup:actpass\r\na=mid:{mid}\r\n\
         a=rtcp-mux\r\na=rtcp-rsize\r\na=extmap:{MID_ID} {MID_URI}\r\n\
         a=extmap:{TRANSPORT_CC_ID} {TRANSPORT_CC_URI}\r\n"
    );
    sdp.push_str(&match section.kind {
        Kind::Audio => format!(
            "a=extmap:{AUDIO_LEVEL_ID} {AUDIO_LEVEL_URI}\r\na=rtpmap:{OPUS_PAYLOAD_TYPE} opus/48000/2\r\n\
             a=rtcp-fb:{OPUS_PAYLOAD_TYPE} transport-cc\r\na=fmtp:{OPUS_PAYLOAD_TYPE} minptime=10;useinbandfec=1\r\n"
        ),
        Kind::Video => format!(
            "a=rtpmap:{VP8_PAYLOAD_TYPE} VP8/90000\r\na=rtcp-fb:{VP8_PAYLOAD_TYPE} transport-cc\r\n\
             a=rtcp-fb:{VP8_PAYLOAD_TYPE} ccm fir\r\na=rtcp-fb:{VP8_PAYLOAD_TYPE} nack\r\n\
             a=rtcp-fb:{VP8_PAYLOAD_TYPE} nack pli\r\na=rtpmap:{RTX_PAYLOAD_TYPE} rtx/90000\r\n\
             a=fmtp:{RTX_PAYLOAD_TYPE} apt={VP8_PAYLOAD_TYPE}\r\n"
        ),
    });
    match &section.purpose {
        Use::Receive => sdp.push_str("a=recvonly\r\n"),
        Use::Send { cid, ssrc } => {
            let _ = write!(sdp, "a=sendonly\r\na=msid:- {cid}\r\na=ssrc:{ssrc} cname:{cid}\r\n");
        }
    }
}

/// Which side opens the DTLS handshake (RFC 8842 §5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setup {
    /// The server connects to us.
    Active,
    /// We connect to the server.
    Passive,
}

/// What the server answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub ufrag: String,
    pub pwd: String,
    /// `sha-256`, colon-separated hex.
    pub fingerprint: String,
    pub setup: Setup,
    pub candidates: Vec<SocketAddr>,
    /// In the order of the offer.
    pub sections: Vec<AnswerSection>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct AnswerSection {
    pub mid: String,
    /// The server takes media on this line (`recvonly` or `sendrecv`).
    pub receives: bool,
    /// Header extension ids by URI.
    pub extensions: HashMap<String, u8>,
}

impl AnswerSection {
    pub(crate) fn extension(&self, uri: &str) -> Option<u8> {
        self.extensions.get(uri).copied()
    }
}

/// Reads an answer.
///
/// # Errors
/// Says which of credentials, fingerprint or setup role is missing.
pub(crate) fn parse_answer(sdp: &str) -> Result<Answer> {
    let (mut ufrag, mut pwd, mut fingerprint, mut setup) = (None, None, None, None);
    let mut candidates = Vec::new();
    let mut sections: Vec<AnswerSection> = Vec::new();
    for line in sdp.lines().map(str::trim_end) {
        if line.starts_with("m=") {
            sections.push(AnswerSection::default());
            continue;
        }
        let Some(attribute) = line.strip_prefix("a=") else { continue };
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        match name {
            "ice-ufrag" => ufrag = ufrag.or(Some(value)),
            "ice-pwd" => pwd = pwd.or(Some(value)),
            "setup" => setup = setup.or(Some(value)),
            "fingerprint" if fingerprint.is_none() => {
                let (algorithm, hex) = value.split_once(' ').context("fingerprint without a value")?;
                if algorithm.eq_ignore_ascii_case("sha-256") {
                    fingerprint = Some(hex.trim().to_ascii_uppercase());
                }
            }
            "candidate" => candidates.extend(parse_candidate(value)),
            _ => {
                if let Some(section) = sections.last_mut() {
                    section.read(name, value);
                }
            }
        }
    }
    candidates.dedup();
    let setup = match setup {
        Some("active") => Setup::Active,
        Some("passive") => Setup::Passive,
        other => bail!("answer has setup {other:?}, not active or passive"),
    };
    ensure!(!sections.is_empty(), "answer has no media section");
    Ok(Answer {
        ufrag: ufrag.context("answer has no ice-ufrag")?.to_owned(),
        pwd: pwd.context("answer has no ice-pwd")?.to_owned(),
        fingerprint: fingerprint.context("answer has no sha-256 fingerprint")?,
        setup,
        candidates,
        sections,
    })
}

impl AnswerSection {
    fn read(&mut self, name: &str, value: &str) {
        match name {
            "mid" => value.clone_into(&mut self.mid),
            "recvonly" | "sendrecv" => self.receives = true,
            "extmap" => {
                if let Some((id, uri)) = value.split_once(' ')
                    && let Ok(id) = id.split('/').next().unwrap_or(id).parse()
                {
                    self.extensions.insert(uri.trim().to_owned(), id);
                }
            }
            _ => {}
        }
    }
}

/// Address of a UDP candidate for component 1 (RFC 8839 §5.1); `None` for TCP, mDNS names and anything malformed.
pub(crate) fn parse_candidate(candidate: &str) -> Option<SocketAddr> {
    let candidate = candidate.strip_prefix("a=").unwrap_or(candidate);
    let candidate = candidate.strip_prefix("candidate:").unwrap_or(candidate);
    let mut words = candidate.split_ascii_whitespace().skip(1);
    let (component, transport, _priority) = (words.next()?, words.next()?, words.next()?);
    let (ip, port) = (words.next()?.parse::<IpAddr>().ok()?, words.next()?.parse().ok()?);
    (component == "1" && transport.eq_ignore_ascii_case("udp")).then(|| SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: LocalTransport<'_> =
        LocalTransport { ufrag: "abcd", pwd: "0123456789abcdef0123456789abcdef", fingerprint: "AA:BB" };

    #[test]
    fn an_offer_bundles_every_section_and_names_published_tracks() {
        let sections = [
            Section { kind: Kind::Audio, purpose: Use::Receive },
            Section { kind: Kind::Video, purpose: Use::Send { cid: "cam".into(), ssrc: 77 } },
        ];
        let sdp = offer(5, 2, &sections, &LOCAL);
        assert!(sdp.contains("a=group:BUNDLE 0 1\r\n"));
        assert!(sdp.contains("a=msid:- cam\r\na=ssrc:77 cname:cam\r\n"));
        assert_eq!(sdp.matches("a=recvonly").count(), 1);
        assert_eq!(sdp.matches("a=ice-ufrag:abcd").count(), 2);
    }

    #[test]
    fn an_answer_gives_transport_directions_and_extension_ids() {
        let sdp = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-lite\r\na=fingerprint:sha-256 aa:bb\r\n\
            m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=inactive\r\na=setup:passive\r\na=ice-ufrag:u\r\n\
            a=ice-pwd:p\r\na=candidate:1 1 udp 2130706431 192.0.2.1 7880 typ host\r\n\
            a=candidate:2 1 tcp 1 192.0.2.1 7880 typ host tcptype passive\r\n\
            m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=recvonly\r\na=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n";
        let answer = parse_answer(sdp).unwrap();
        assert_eq!((answer.ufrag.as_str(), answer.pwd.as_str(), answer.setup), ("u", "p", Setup::Passive));
        assert_eq!(answer.fingerprint, "AA:BB");
        assert_eq!(answer.candidates, [SocketAddr::from(([192, 0, 2, 1], 7_880))]);
        assert_eq!(answer.sections.iter().map(|s| s.receives).collect::<Vec<_>>(), [false, true]);
        assert_eq!(answer.sections[1].extension(MID_URI), Some(4));
    }

    #[test]
    fn an_answer_without_credentials_is_refused() {
        let error =
            parse_answer("v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=setup:passive\r\n").unwrap_err();
        assert!(error.to_string().contains("ice-ufrag"), "{error}");
    }
}

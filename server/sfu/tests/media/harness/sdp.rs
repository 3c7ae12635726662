//! What a client says and understands in SDP: offers in the shape of Chromium's and Firefox's (only the parts a
//! server may look at), and a reader of answers that is as strict as the browsers are. Shares no code with the
//! server.

use super::ice::Credentials;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::net::SocketAddr;

/// Payload types and header-extension ids as one kind of browser numbers them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialect {
    pub(crate) opus: u8,
    pub(crate) red: Option<u8>,
    pub vp8: u8,
    pub vp8_rtx: u8,
    pub h264: u8,
    pub h264_rtx: u8,
    /// The video codecs it has, in its order.
    pub(crate) video: &'static [VideoCodec],
    pub(crate) audio_level: u8,
    pub(crate) mid: u8,
    pub(crate) rid: u8,
    pub(crate) repaired_rid: u8,
    /// 0 for a client that knows no transport-wide feedback.
    pub(crate) transport_cc: u8,
    pub(crate) abs_send_time: u8,
    /// Chromium negotiates transport-cc on audio too.
    pub(crate) transport_cc_on_audio: bool,
    /// Firefox names RID extensions only on lines that send simulcast.
    pub(crate) rid_on_every_line: bool,
    /// Firefox takes RTX only from an SSRC that a MID has named once; what an answer says of it is not enough.
    pub(crate) rtx_by_mid: bool,
}

impl Dialect {
    pub(crate) const CHROMIUM: Self = Self {
        opus: 111,
        red: Some(63),
        vp8: 96,
        vp8_rtx: 97,
        h264: 103,
        h264_rtx: 104,
        video: &[VideoCodec::Vp8, VideoCodec::H264],
        audio_level: 1,
        mid: 4,
        rid: 10,
        repaired_rid: 11,
        transport_cc: 3,
        abs_send_time: 2,
        transport_cc_on_audio: true,
        rid_on_every_line: true,
        rtx_by_mid: false,
    };

    pub(crate) const FIREFOX: Self = Self {
        opus: 109,
        red: None,
        vp8: 120,
        vp8_rtx: 124,
        h264: 126,
        h264_rtx: 127,
        video: &[VideoCodec::Vp8, VideoCodec::H264],
        audio_level: 1,
        mid: 3,
        rid: 8,
        repaired_rid: 9,
        transport_cc: 7,
        abs_send_time: 4,
        transport_cc_on_audio: false,
        rid_on_every_line: false,
        rtx_by_mid: true,
    };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VideoCodec {
    Vp8,
    H264,
    /// Under H.264's numbers, with the dependency descriptor.
    Vp9,
    /// Not known to the server; under H.264's numbers.
    H265,
}

impl Dialect {
    /// Payload type, that of its RTX, and name.
    fn codec(&self, codec: VideoCodec) -> (u8, u8, &'static str) {
        match codec {
            VideoCodec::Vp8 => (self.vp8, self.vp8_rtx, "VP8"),
            VideoCodec::H264 => (self.h264, self.h264_rtx, "H264"),
            VideoCodec::Vp9 => (self.h264, self.h264_rtx, "VP9"),
            VideoCodec::H265 => (self.h264, self.h264_rtx, "H265"),
        }
    }

    /// With the numbers of an offer, which its answerer has to use (RFC 3264 §6.1).
    pub(crate) fn of_offer(mut self, offer: &Answer) -> Self {
        self.rid_on_every_line = false;
        for section in offer.sections.iter().filter(|section| !section.payload_types.is_empty()) {
            let first = |encoding: &str| {
                let named =
                    |payload_type: &u8| section.rtpmaps.get(payload_type).is_some_and(|it| it == encoding);
                section.payload_types.iter().copied().find(named)
            };
            let repaired = |encoding: &str| {
                let primary = first(encoding).unwrap_or_else(|| panic!("{encoding} is not offered"));
                let rtx = section.apt.iter().find(|(_, of)| *of == primary).expect("its RTX").0;
                (primary, rtx)
            };
            if section.kind == "audio" {
                self.opus = first("opus/48000/2").expect("Opus");
                self.red = first("red/48000/2");
            } else {
                (self.vp8, self.vp8_rtx) = repaired("VP8/90000");
                (self.h264, self.h264_rtx) = repaired("H264/90000");
            }
            for (id, uri) in &section.extensions {
                let known = match uri.rsplit([':', '/']).next() {
                    Some("ssrc-audio-level") => &mut self.audio_level,
                    Some("mid") => &mut self.mid,
                    Some("abs-send-time") => &mut self.abs_send_time,
                    Some("draft-holmer-rmcat-transport-wide-cc-extensions-01") => {
                        self.transport_cc_on_audio |= section.kind == "audio";
                        &mut self.transport_cc
                    }
                    _ => continue,
                };
                *known = *id;
            }
        }
        self
    }

    fn video_payload_types(&self) -> Vec<u8> {
        self.video.iter().map(|codec| self.codec(*codec)).flat_map(|(media, rtx, _)| [media, rtx]).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SectionKind {
    Audio,
    Video,
    Application,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Direction {
    fn attribute(self) -> &'static str {
        match self {
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
}

/// One m-line of the client's own description.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) mid: String,
    pub(crate) kind: SectionKind,
    pub(crate) direction: Direction,
    /// What is sent on it, when `direction` says so.
    pub(crate) sending: Option<Sending>,
}

#[derive(Clone, Debug)]
pub(crate) struct Sending {
    /// Both halves of `a=msid`.
    pub(crate) stream: String,
    pub(crate) cid: String,
    /// With rids: no `a=ssrc` lines (JSEP), in the client's order.
    pub(crate) rids: Vec<String>,
    pub(crate) ssrc: u32,
    pub(crate) rtx: Option<u32>,
}

/// What a description is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Offer,
    /// To an offer of the server's: the client takes the active part and names no codec that was not offered.
    Answer,
}

pub(crate) struct OfferContext<'a> {
    pub(crate) role: Role,
    pub(crate) dialect: &'a Dialect,
    pub(crate) credentials: &'a Credentials,
    pub(crate) fingerprint: &'a str,
    pub(crate) version: u32,
    /// Offer RED on audio lines.
    pub(crate) red: bool,
}

pub(crate) fn offer(context: &OfferContext<'_>, sections: &[Section]) -> String {
    let mut sdp = String::new();
    let mids: Vec<&str> = sections.iter().map(|section| section.mid.as_str()).collect();
    line(&mut sdp, "v=0");
    line(&mut sdp, &format!("o=- 4611731400430051336 {} IN IP4 127.0.0.1", context.version));
    line(&mut sdp, "s=-");
    line(&mut sdp, "t=0 0");
    line(&mut sdp, &format!("a=group:BUNDLE {}", mids.join(" ")));
    line(&mut sdp, "a=extmap-allow-mixed");
    line(&mut sdp, "a=msid-semantic: WMS");
    for section in sections {
        write_section(&mut sdp, context, section);
    }
    sdp
}

fn line(sdp: &mut String, text: &str) {
    let _ = write!(sdp, "{text}\r\n");
}

fn write_section(sdp: &mut String, context: &OfferContext<'_>, section: &Section) {
    let dialect = context.dialect;
    match section.kind {
        SectionKind::Audio => {
            let red = dialect.red.filter(|_| context.red);
            let red = red.map(|red| format!(" {red}")).unwrap_or_default();
            let others = if context.role == Role::Offer { " 9 0 8" } else { "" };
            line(sdp, &format!("m=audio 9 UDP/TLS/RTP/SAVPF {}{red}{others}", dialect.opus));
        }
        SectionKind::Video => {
            let types: Vec<String> = dialect.video_payload_types().iter().map(u8::to_string).collect();
            line(sdp, &format!("m=video 9 UDP/TLS/RTP/SAVPF {}", types.join(" ")));
        }
        SectionKind::Application => line(sdp, "m=application 9 UDP/DTLS/SCTP webrtc-datachannel"),
    }
    line(sdp, "c=IN IP4 0.0.0.0");
    if section.kind != SectionKind::Application {
        line(sdp, "a=rtcp:9 IN IP4 0.0.0.0");
    }
    line(sdp, &format!("a=ice-ufrag:{}", context.credentials.ufrag));
    line(sdp, &format!("a=ice-pwd:{}", context.credentials.password));
    line(sdp, "a=ice-options:trickle");
    line(sdp, &format!("a=fingerprint:sha-256 {}", context.fingerprint));
    line(sdp, if context.role == Role::Offer { "a=setup:actpass" } else { "a=setup:active" });
    line(sdp, &format!("a=mid:{}", section.mid));
    match section.kind {
        SectionKind::Audio => write_audio(sdp, context, section),
        SectionKind::Video => write_video(sdp, context, section),
        SectionKind::Application => {
            line(sdp, "a=sctp-port:5000");
            line(sdp, "a=max-message-size:262144");
        }
    }
}

fn write_common(sdp: &mut String, section: &Section) {
    line(sdp, &format!("a={}", section.direction.attribute()));
    if let Some(sending) = &section.sending {
        line(sdp, &format!("a=msid:{} {}", sending.stream, sending.cid));
    }
    line(sdp, "a=rtcp-mux");
    line(sdp, "a=rtcp-rsize");
}

fn write_audio(sdp: &mut String, context: &OfferContext<'_>, section: &Section) {
    let dialect = context.dialect;
    line(sdp, &format!("a=extmap:{} urn:ietf:params:rtp-hdrext:ssrc-audio-level", dialect.audio_level));
    if dialect.transport_cc_on_audio {
        line(
            sdp,
            &format!(
                "a=extmap:{} http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
                dialect.abs_send_time
            ),
        );
        write_transport_cc(sdp, dialect);
    }
    line(sdp, &format!("a=extmap:{} urn:ietf:params:rtp-hdrext:sdes:mid", dialect.mid));
    write_common(sdp, section);
    line(sdp, &format!("a=rtpmap:{} opus/48000/2", dialect.opus));
    line(sdp, &format!("a=rtcp-fb:{} transport-cc", dialect.opus));
    line(sdp, &format!("a=fmtp:{} minptime=10;useinbandfec=1", dialect.opus));
    if let Some(red) = dialect.red.filter(|_| context.red) {
        line(sdp, &format!("a=rtpmap:{red} red/48000/2"));
        line(sdp, &format!("a=fmtp:{red} {0}/{0}", dialect.opus));
    }
    if context.role == Role::Offer {
        line(sdp, "a=rtpmap:9 G722/8000");
        line(sdp, "a=rtpmap:0 PCMU/8000");
        line(sdp, "a=rtpmap:8 PCMA/8000");
    }
    if let Some(sending) = &section.sending {
        line(sdp, &format!("a=ssrc:{} cname:{CNAME}", sending.ssrc));
        line(sdp, &format!("a=ssrc:{} msid:{} {}", sending.ssrc, sending.stream, sending.cid));
    }
}

fn write_transport_cc(sdp: &mut String, dialect: &Dialect) {
    if dialect.transport_cc != 0 {
        line(sdp, &format!("a=extmap:{} {TRANSPORT_CC}", dialect.transport_cc));
    }
}

/// Extension id of the dependency descriptor, in every dialect that has it.
pub(crate) const DEPENDENCY_DESCRIPTOR: u8 = 12;
const DEPENDENCY_DESCRIPTOR_URI: &str =
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";
const TRANSPORT_CC: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
const CNAME: &str = "pP2Jt7yTB6kRU0Mh";

fn write_video(sdp: &mut String, context: &OfferContext<'_>, section: &Section) {
    let dialect = context.dialect;
    let simulcast = section.sending.as_ref().is_some_and(|sending| !sending.rids.is_empty());
    line(
        sdp,
        &format!(
            "a=extmap:{} http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
            dialect.abs_send_time
        ),
    );
    write_transport_cc(sdp, dialect);
    line(sdp, &format!("a=extmap:{} urn:ietf:params:rtp-hdrext:sdes:mid", dialect.mid));
    if dialect.video.contains(&VideoCodec::Vp9) {
        line(sdp, &format!("a=extmap:{DEPENDENCY_DESCRIPTOR} {DEPENDENCY_DESCRIPTOR_URI}"));
    }
    if dialect.rid_on_every_line || simulcast {
        line(sdp, &format!("a=extmap:{} urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", dialect.rid));
        line(
            sdp,
            &format!(
                "a=extmap:{} urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
                dialect.repaired_rid
            ),
        );
    }
    write_common(sdp, section);
    for (payload_type, rtx, name) in dialect.video.iter().map(|codec| dialect.codec(*codec)) {
        line(sdp, &format!("a=rtpmap:{payload_type} {name}/90000"));
        for feedback in ["goog-remb", "transport-cc", "ccm fir", "nack", "nack pli"] {
            // An answer names what was offered only, and the server offers no REMB.
            let unknown = feedback == "goog-remb" && context.role == Role::Answer;
            if unknown || (feedback == "transport-cc" && dialect.transport_cc == 0) {
                continue;
            }
            line(sdp, &format!("a=rtcp-fb:{payload_type} {feedback}"));
        }
        if name == "H264" {
            line(
                sdp,
                &format!(
                    "a=fmtp:{payload_type} level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"
                ),
            );
        }
        line(sdp, &format!("a=rtpmap:{rtx} rtx/90000"));
        line(sdp, &format!("a=fmtp:{rtx} apt={payload_type}"));
    }
    let Some(sending) = &section.sending else { return };
    if simulcast {
        for rid in &sending.rids {
            line(sdp, &format!("a=rid:{rid} send"));
        }
        line(sdp, &format!("a=simulcast:send {}", sending.rids.join(";")));
        return;
    }
    let rtx = sending.rtx.expect("a video stream has RTX");
    line(sdp, &format!("a=ssrc-group:FID {} {rtx}", sending.ssrc));
    for ssrc in [sending.ssrc, rtx] {
        line(sdp, &format!("a=ssrc:{ssrc} cname:{CNAME}"));
        line(sdp, &format!("a=ssrc:{ssrc} msid:{} {}", sending.stream, sending.cid));
    }
}

/// An answer as a browser reads it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) credentials: Option<Credentials>,
    pub(crate) fingerprint: String,
    pub(crate) setup: String,
    pub(crate) candidates: Vec<SocketAddr>,
    pub(crate) sections: Vec<AnsweredSection>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct AnsweredSection {
    pub(crate) mid: String,
    pub(crate) kind: String,
    pub(crate) rejected: bool,
    pub(crate) direction: String,
    pub(crate) payload_types: Vec<u8>,
    pub(crate) rtpmaps: HashMap<u8, String>,
    pub(crate) extensions: BTreeMap<u8, String>,
    pub(crate) msid: Option<(String, String)>,
    pub(crate) ssrcs: BTreeSet<u32>,
    /// Primary -> RTX (`a=ssrc-group:FID`).
    pub(crate) fid: Vec<(u32, u32)>,
    pub(crate) rids: Vec<(String, String)>,
    pub(crate) simulcast: Option<String>,
    pub(crate) feedback: Vec<(u8, String)>,
    /// RTX -> primary (`a=fmtp:… apt=`).
    pub(crate) apt: Vec<(u8, u8)>,
    pub(crate) max_message_size: Option<u64>,
}

impl Answer {
    pub(crate) fn parse(sdp: &str) -> Self {
        let mut answer = Self::default();
        for text in sdp.split("\r\n").filter(|text| !text.is_empty()) {
            if let Some(rest) = text.strip_prefix("m=") {
                answer.sections.push(AnsweredSection::open(rest));
            } else if let Some(attribute) = text.strip_prefix("a=") {
                answer.read_attribute(attribute);
            }
        }
        answer
    }

    fn read_attribute(&mut self, attribute: &str) {
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        match name {
            "ice-ufrag" => self.credentials.get_or_insert_with(empty_credentials).ufrag = value.to_owned(),
            "ice-pwd" => self.credentials.get_or_insert_with(empty_credentials).password = value.to_owned(),
            "fingerprint" => {
                value.strip_prefix("sha-256 ").expect("sha-256").clone_into(&mut self.fingerprint);
            }
            "setup" => value.clone_into(&mut self.setup),
            "candidate" => {
                let fields: Vec<&str> = value.split(' ').collect();
                if fields[2].eq_ignore_ascii_case("udp") {
                    let address = SocketAddr::new(
                        fields[4].parse().expect("an address"),
                        fields[5].parse().expect("a port"),
                    );
                    if !self.candidates.contains(&address) {
                        self.candidates.push(address);
                    }
                }
            }
            _ => {
                if let Some(section) = self.sections.last_mut() {
                    section.read_attribute(name, value);
                }
            }
        }
    }

    /// The rules of RFC 3264, 8843, 8285, 8851 that make a browser refuse an answer.
    pub(crate) fn check_against(&self, offered: &[Section], dialect: &Dialect) {
        assert_eq!(self.sections.len(), offered.len(), "as many m-lines as the offer");
        for (answered, offered) in self.sections.iter().zip(offered) {
            let kind = match offered.kind {
                SectionKind::Audio => "audio",
                SectionKind::Video => "video",
                SectionKind::Application => "application",
            };
            assert_eq!(answered.kind, kind, "kind of m-line {}", offered.mid);
            assert_eq!(answered.mid, offered.mid, "mid");
            if offered.kind == SectionKind::Application || answered.rejected {
                continue;
            }
            let allowed: &[&str] = match offered.direction {
                Direction::SendOnly => &["recvonly", "inactive"],
                Direction::RecvOnly => &["sendonly", "inactive"],
                Direction::Inactive => &["inactive"],
            };
            assert!(
                allowed.contains(&answered.direction.as_str()),
                "m-line {}: {} answers {:?}",
                offered.mid,
                answered.direction,
                offered.direction
            );
            answered.check_numbers(offered.kind, dialect);
        }
    }
}

fn empty_credentials() -> Credentials {
    Credentials { ufrag: String::new(), password: String::new() }
}

impl AnsweredSection {
    fn open(media: &str) -> Self {
        let fields: Vec<&str> = media.split(' ').collect();
        Self {
            kind: fields[0].to_owned(),
            rejected: fields[1] == "0",
            payload_types: fields[3..].iter().filter_map(|field| field.parse().ok()).collect(),
            ..Self::default()
        }
    }

    fn read_attribute(&mut self, name: &str, value: &str) {
        match name {
            "mid" => value.clone_into(&mut self.mid),
            "sendonly" | "recvonly" | "inactive" | "sendrecv" => name.clone_into(&mut self.direction),
            "rtpmap" => {
                let (payload_type, codec) = value.split_once(' ').expect("rtpmap");
                self.rtpmaps.insert(payload_type.parse().expect("a payload type"), codec.to_owned());
            }
            "extmap" => {
                let (id, uri) = value.split_once(' ').expect("extmap");
                let id = id.split('/').next().expect("an id").parse().expect("an id");
                assert!(self.extensions.insert(id, uri.to_owned()).is_none(), "extension id {id} twice");
            }
            "msid" => {
                let (stream, track) = value.split_once(' ').expect("msid");
                let first = self.msid.replace((stream.to_owned(), track.to_owned()));
                assert!(first.is_none(), "a=msid twice kills Rust clients");
            }
            "ssrc" => {
                let ssrc = value.split(' ').next().expect("an SSRC").parse().expect("an SSRC");
                self.ssrcs.insert(ssrc);
            }
            "ssrc-group" => {
                let fields: Vec<&str> = value.split(' ').collect();
                if fields[0] == "FID" {
                    self.fid.push((fields[1].parse().expect("an SSRC"), fields[2].parse().expect("an SSRC")));
                }
            }
            "rid" => {
                let (rid, direction) = value.split_once(' ').expect("rid");
                self.rids.push((rid.to_owned(), direction.to_owned()));
            }
            "simulcast" => self.simulcast = Some(value.to_owned()),
            "rtcp-fb" => {
                let (payload_type, feedback) = value.split_once(' ').expect("rtcp-fb");
                if let Ok(payload_type) = payload_type.parse() {
                    self.feedback.push((payload_type, feedback.to_owned()));
                }
            }
            "fmtp" => {
                let (payload_type, parameters) = value.split_once(' ').expect("fmtp");
                if let Some(primary) = parameters.strip_prefix("apt=") {
                    let number = |text: &str| text.parse().expect("a payload type");
                    self.apt.push((number(payload_type), number(primary)));
                }
            }
            "max-message-size" => self.max_message_size = value.parse().ok(),
            _ => {}
        }
    }

    fn check_numbers(&self, kind: SectionKind, dialect: &Dialect) {
        let payload_types: Vec<u8> = match kind {
            SectionKind::Audio => {
                [Some(dialect.opus), dialect.red, Some(9), Some(0), Some(8)].into_iter().flatten().collect()
            }
            _ => dialect.video_payload_types(),
        };
        for payload_type in &self.payload_types {
            assert!(payload_types.contains(payload_type), "payload type {payload_type} was not offered");
        }
        for (id, uri) in &self.extensions {
            let expected = match uri.rsplit([':', '/']).next() {
                Some("ssrc-audio-level") => dialect.audio_level,
                Some("mid") => dialect.mid,
                Some("rtp-stream-id") => dialect.rid,
                Some("repaired-rtp-stream-id") => dialect.repaired_rid,
                Some("draft-holmer-rmcat-transport-wide-cc-extensions-01") => dialect.transport_cc,
                Some("abs-send-time") => dialect.abs_send_time,
                Some("#dependency-descriptor-rtp-header-extension") => DEPENDENCY_DESCRIPTOR,
                _ => panic!("extension {uri} was not offered"),
            };
            assert_eq!(*id, expected, "extension id of {uri} is the client's own");
        }
    }
}

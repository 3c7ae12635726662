//! Printing an answer (RFC 9429 §5.3). Owns what every line looks like; decides nothing about tracks.

use super::codec::{Codec, CodecKind, supported_feedback};
use super::offer::{Direction, Offer, Section, SectionKind};
use crate::{DtlsRole, MediaKind};
use std::fmt::{Arguments, Write};

/// Bytes; the largest data-channel message the server accepts (RFC 8841 `a=max-message-size`). LiveKit clients cut
/// at 64,000. Higher: one message may hold more memory per receiver; lower: such messages fail at the sender.
pub const MAX_MESSAGE_SIZE: u32 = 65_536;

/// The server's side of the transport.
#[derive(Clone, Copy, Debug)]
pub struct Local<'a> {
    pub ice_ufrag: &'a str,
    pub ice_pwd: &'a str,
    /// `sha-256 AA:BB:…`
    pub fingerprint: &'a str,
    pub role: DtlsRole,
    /// Whole attribute values, each `candidate:…` (RFC 8839 §5.1); empty when they are sent by trickle.
    pub candidates: &'a [String],
    /// One number per peer, below 2^63.
    pub session_id: u64,
    /// Grows with every answer to the peer.
    pub session_version: u64,
}

impl Local<'_> {
    /// RFC 5763 §5.
    pub(super) const fn setup(&self) -> &'static str {
        match self.role {
            DtlsRole::Server => "passive",
            DtlsRole::Client => "active",
        }
    }
}

/// What happens with one m-line. What the offer does not allow is not done: sending on a line that does not
/// receive (or the other way round) makes it inactive, and a line without a common codec is rejected.
///
/// `codecs` are payload types in order of preference, RTX and RED among them; what was not offered or is not
/// supported is passed over. Empty stands for every supported codec in the client's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerSection<'a> {
    /// A media line that carries nothing now. Its codecs and extensions are negotiated all the same.
    Inactive,
    /// The client sends, the server receives (`recvonly`).
    Receive {
        /// Accepted simulcast layers; printed in the order offered.
        rids: Vec<&'a str>,
        codecs: Vec<u8>,
    },
    /// The server sends, the client receives (`sendonly`).
    Send {
        /// First and second word of `a=msid`, without spaces.
        stream_label: &'a str,
        track_label: &'a str,
        /// RTCP CNAME: streams with the same one are played in sync.
        cname: &'a str,
        ssrc: u32,
        /// SSRC of the retransmissions; left out where no RTX codec is answered.
        rtx_ssrc: Option<u32>,
        codecs: Vec<u8>,
    },
    /// Data channels.
    Application,
    /// Port 0: the line carries nothing for good and the client may re-use it.
    Rejected,
}

/// Prints the answer to `offer`. `sections` has one entry per offered m-line; a missing one counts as rejected.
pub fn answer(offer: &Offer, local: &Local<'_>, sections: &[AnswerSection<'_>]) -> String {
    let decisions = sections.iter().map(Some).chain(std::iter::repeat(None));
    let lines: Vec<(&Section, Decision<'_>)> = offer
        .sections
        .iter()
        .zip(decisions)
        .map(|(section, decision)| (section, Decision::new(section, decision)))
        .collect();
    let mut out = Printer(String::with_capacity(4096));
    out.line(format_args!("v=0"));
    out.line(format_args!("o=- {} {} IN IP4 0.0.0.0", local.session_id, local.session_version));
    out.line(format_args!("s=-"));
    out.line(format_args!("t=0 0"));
    let mut group = String::new();
    for (section, _) in lines.iter().filter(|(_, decision)| !matches!(decision, Decision::Rejected)) {
        group.push(' ');
        group.push_str(&section.mid);
    }
    if !group.is_empty() {
        out.line(format_args!("a=group:BUNDLE{group}"));
    }
    out.line(format_args!("a=ice-lite"));
    if offer.extmap_allow_mixed {
        out.line(format_args!("a=extmap-allow-mixed"));
    }
    out.line(format_args!("a=msid-semantic: WMS *"));
    // Candidates stand in the line that carries the transport of all (RFC 8843 §7.3.1).
    let mut candidates = local.candidates;
    for (section, decision) in &lines {
        match decision {
            Decision::Rejected => out.rejected(section),
            Decision::Application => {
                out.application(section, local);
                out.candidates(std::mem::take(&mut candidates));
            }
            Decision::Media { kind, codecs, flow } => {
                out.media(section, local, *kind, codecs, flow);
                out.candidates(std::mem::take(&mut candidates));
            }
        }
    }
    out.0
}

/// A decision after the offer has had its say.
enum Decision<'a> {
    Media { kind: MediaKind, codecs: Vec<&'a Codec>, flow: Flow<'a> },
    Application,
    Rejected,
}

enum Flow<'a> {
    Inactive,
    Receive { rids: Vec<&'a str> },
    Send { stream_label: &'a str, track_label: &'a str, cname: &'a str, ssrc: u32, rtx_ssrc: Option<u32> },
}

impl<'a> Decision<'a> {
    fn new(section: &'a Section, wanted: Option<&'a AnswerSection<'a>>) -> Self {
        let Some(wanted) = wanted else {
            return Self::Rejected;
        };
        if section.rejected {
            return Self::Rejected;
        }
        match (section.kind, wanted) {
            (SectionKind::Application, AnswerSection::Application) => Self::Application,
            (SectionKind::Media(kind), _) => Self::media(section, kind, wanted),
            _ => Self::Rejected,
        }
    }

    fn media(section: &'a Section, kind: MediaKind, wanted: &'a AnswerSection<'a>) -> Self {
        let (payload_types, flow) = match wanted {
            AnswerSection::Inactive => (&[][..], Flow::Inactive),
            AnswerSection::Receive { rids, codecs } if section.direction.sends() => {
                let accepted = section.rids.iter().map(String::as_str).filter(|rid| rids.contains(rid));
                (&codecs[..], Flow::Receive { rids: accepted.collect() })
            }
            AnswerSection::Send { stream_label, track_label, cname, ssrc, rtx_ssrc, codecs }
                if section.direction.receives() =>
            {
                let flow = Flow::Send { stream_label, track_label, cname, ssrc: *ssrc, rtx_ssrc: *rtx_ssrc };
                (&codecs[..], flow)
            }
            AnswerSection::Receive { codecs, .. } | AnswerSection::Send { codecs, .. } => {
                (&codecs[..], Flow::Inactive)
            }
            AnswerSection::Application | AnswerSection::Rejected => return Self::Rejected,
        };
        let codecs = accepted(section, payload_types);
        let retransmits = codecs.iter().any(|codec| codec.kind() == Some(CodecKind::Rtx));
        let flow = match flow {
            Flow::Send { stream_label, track_label, cname, ssrc, .. } if !retransmits => {
                Flow::Send { stream_label, track_label, cname, ssrc, rtx_ssrc: None }
            }
            flow => flow,
        };
        if codecs.is_empty() { Self::Rejected } else { Self::Media { kind, codecs, flow } }
    }
}

/// The supported codecs of the line, by the given preference.
fn accepted<'a>(section: &'a Section, payload_types: &[u8]) -> Vec<&'a Codec> {
    if payload_types.is_empty() {
        return section.supported_codecs().collect();
    }
    let mut codecs: Vec<&Codec> = Vec::new();
    for payload_type in payload_types {
        let offered = section.supported_codecs().find(|codec| codec.payload_type == *payload_type);
        codecs.extend(offered.filter(|codec| !codecs.contains(codec)));
    }
    codecs
}

/// The text so far.
#[derive(Default)]
pub(super) struct Printer(String);

impl Printer {
    pub(super) fn line(&mut self, content: Arguments<'_>) {
        let _ = self.0.write_fmt(content);
        self.0.push_str("\r\n");
    }

    fn rejected(&mut self, section: &Section) {
        let format = section.formats.first().map_or("0", String::as_str);
        self.line(format_args!("m={} 0 {} {format}", section.media, section.protocol));
        self.line(format_args!("c=IN IP4 0.0.0.0"));
        if !section.mid.is_empty() {
            self.line(format_args!("a=mid:{}", section.mid));
        }
        if matches!(section.kind, SectionKind::Media(_)) {
            self.line(format_args!("a=inactive"));
        }
    }

    fn application(&mut self, section: &Section, local: &Local<'_>) {
        self.line(format_args!("m={} 9 {} webrtc-datachannel", section.media, section.protocol));
        self.transport(section, local);
        self.line(format_args!("a=sctp-port:5000"));
        self.line(format_args!("a=max-message-size:{MAX_MESSAGE_SIZE}"));
    }

    fn media(
        &mut self,
        section: &Section,
        local: &Local<'_>,
        kind: MediaKind,
        codecs: &[&Codec],
        flow: &Flow<'_>,
    ) {
        let mut formats = String::new();
        for codec in codecs {
            let _ = write!(formats, " {}", codec.payload_type);
        }
        self.line(format_args!("m={} 9 {}{formats}", section.media, section.protocol));
        self.transport(section, local);
        if section.allow_mixed {
            self.line(format_args!("a=extmap-allow-mixed"));
        }
        for (id, uri) in &section.extensions {
            // What the client only sends we only receive (RFC 8285 §6).
            let way = match section.one_way.iter().find(|(one_way, _)| one_way == id) {
                Some((_, Direction::SendOnly)) => "/recvonly",
                Some((_, Direction::RecvOnly)) => "/sendonly",
                _ => "",
            };
            self.line(format_args!("a=extmap:{id}{way} {uri}"));
        }
        self.line(format_args!("a=rtcp-mux"));
        if section.rtcp_rsize {
            self.line(format_args!("a=rtcp-rsize"));
        }
        for codec in codecs {
            self.codec(codec, kind);
        }
        match flow {
            Flow::Inactive => self.line(format_args!("a=inactive")),
            Flow::Receive { rids } => {
                self.line(format_args!("a=recvonly"));
                for rid in rids {
                    self.line(format_args!("a=rid:{rid} recv"));
                }
                if section.simulcast && !rids.is_empty() {
                    self.line(format_args!("a=simulcast:recv {}", rids.join(";")));
                }
            }
            Flow::Send { stream_label, track_label, cname, ssrc, rtx_ssrc } => {
                self.line(format_args!("a=sendonly"));
                self.line(format_args!("a=msid:{stream_label} {track_label}"));
                if let Some(rtx_ssrc) = rtx_ssrc {
                    self.line(format_args!("a=ssrc-group:FID {ssrc} {rtx_ssrc}"));
                }
                for ssrc in [Some(ssrc), rtx_ssrc.as_ref()].into_iter().flatten() {
                    self.line(format_args!("a=ssrc:{ssrc} cname:{cname}"));
                }
            }
        }
    }

    fn transport(&mut self, section: &Section, local: &Local<'_>) {
        self.line(format_args!("c=IN IP4 0.0.0.0"));
        self.line(format_args!("a=mid:{}", section.mid));
        self.line(format_args!("a=ice-ufrag:{}", local.ice_ufrag));
        self.line(format_args!("a=ice-pwd:{}", local.ice_pwd));
        self.line(format_args!("a=fingerprint:{}", local.fingerprint));
        self.line(format_args!("a=setup:{}", local.setup()));
    }

    fn codec(&mut self, codec: &Codec, kind: MediaKind) {
        let payload_type = codec.payload_type;
        match codec.channels {
            Some(channels) if kind == MediaKind::Audio => {
                self.line(format_args!(
                    "a=rtpmap:{payload_type} {}/{}/{channels}",
                    codec.name, codec.clock_rate
                ));
            }
            _ => self.line(format_args!("a=rtpmap:{payload_type} {}/{}", codec.name, codec.clock_rate)),
        }
        for feedback in codec.feedback.iter().filter(|feedback| supported_feedback(kind, codec, feedback)) {
            self.line(format_args!("a=rtcp-fb:{payload_type} {feedback}"));
        }
        let parameters = codec.answer_parameters();
        if !parameters.is_empty() {
            self.line(format_args!("a=fmtp:{payload_type} {parameters}"));
        }
    }

    pub(super) fn finish(self) -> String {
        self.0
    }

    pub(super) fn candidates(&mut self, candidates: &[String]) {
        for candidate in candidates {
            self.line(format_args!("a={candidate}"));
        }
        if !candidates.is_empty() {
            self.line(format_args!("a=end-of-candidates"));
        }
    }
}

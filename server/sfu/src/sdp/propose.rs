//! Printing an offer of the server's (RFC 9429 §5.2), for a connection on which it only sends. Owns the payload types
//! and header-extension ids that the server chooses; decides nothing about tracks.

use super::answer::{Local, MAX_MESSAGE_SIZE, Printer};
use super::codec::{CodecKind, ENABLED_CODECS};
use super::extension::supported;
use crate::MediaKind;
use crate::rtp::extension::Uri;

/// Header extensions in the order of their ids, which begin at 1 and are the same on every m-line (RFC 8843 §9.1).
/// Offered where an answer would accept them; RIDs are missing, because the server never sends layers apart.
const EXTENSIONS: &[Uri] = &[
    Uri::AudioLevel,
    Uri::AbsSendTime,
    Uri::TransportSequence,
    Uri::Mid,
    Uri::AbsCaptureTime,
    Uri::VideoOrientation,
    Uri::DependencyDescriptor,
];

/// Feedback in the order it is printed in, and what it is for, if not for all. No REMB: whoever can offer a choice does not
/// offer the poorer one.
const FEEDBACK: &[(&str, Option<MediaKind>)] = &[
    ("transport-cc", None),
    ("ccm fir", Some(MediaKind::Video)),
    ("nack", None),
    ("nack pli", Some(MediaKind::Video)),
];

/// One codec with the payload types that the server chooses for it (RFC 3551 §3: 96 to 127 and what is free below 64).
struct Format {
    kind: CodecKind,
    payload_type: u8,
    rtx: Option<u8>,
    /// As in `a=rtpmap`.
    encoding: &'static str,
    parameters: &'static str,
}

/// What is offered of [`ENABLED_CODECS`](super::ENABLED_CODECS), in order of preference. H.264 stands in both packetization modes, because a
/// stream in one cannot be sent to a decoder of the other; the baseline profile is what publishers send.
const FORMATS: &[Format] = &[
    Format {
        kind: CodecKind::Opus,
        payload_type: 111,
        rtx: None,
        encoding: "opus/48000/2",
        parameters: "minptime=10;useinbandfec=1",
    },
    Format {
        kind: CodecKind::Red,
        payload_type: 63,
        rtx: None,
        encoding: "red/48000/2",
        parameters: "111/111",
    },
    Format { kind: CodecKind::Vp8, payload_type: 96, rtx: Some(97), encoding: "VP8/90000", parameters: "" },
    Format {
        kind: CodecKind::Vp9,
        payload_type: 98,
        rtx: Some(99),
        encoding: "VP9/90000",
        parameters: "profile-id=0",
    },
    Format { kind: CodecKind::Av1, payload_type: 100, rtx: Some(101), encoding: "AV1/90000", parameters: "" },
    Format {
        kind: CodecKind::H264,
        payload_type: 102,
        rtx: Some(103),
        encoding: "H264/90000",
        parameters: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
    },
    Format {
        kind: CodecKind::H264,
        payload_type: 104,
        rtx: Some(105),
        encoding: "H264/90000",
        parameters: "level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42e01f",
    },
];

/// One m-line of an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProposedSection<'a> {
    /// Data channels.
    Application,
    /// Carries nothing now.
    Inactive(MediaKind),
    /// The client rejected it; it stays where it is with port 0.
    Rejected(MediaKind),
    /// The server sends (`sendonly`).
    Send {
        kind: MediaKind,
        /// First and second word of `a=msid`, without spaces.
        stream_label: &'a str,
        track_label: &'a str,
        /// RTCP CNAME: streams with the same one are played in sync.
        cname: &'a str,
        ssrc: u32,
        /// SSRC of the retransmissions; printed for video.
        rtx_ssrc: u32,
    },
}

/// Prints an offer. The mid of an m-line is its index.
pub fn propose(local: &Local<'_>, sections: &[ProposedSection<'_>]) -> String {
    let mut out = Printer::default();
    out.line(format_args!("v=0"));
    out.line(format_args!("o=- {} {} IN IP4 0.0.0.0", local.session_id, local.session_version));
    out.line(format_args!("s=-"));
    out.line(format_args!("t=0 0"));
    let alive = sections.iter().enumerate().filter(|(_, s)| !matches!(s, ProposedSection::Rejected(_)));
    let group: String = alive.map(|(mid, _)| format!(" {mid}")).collect();
    out.line(format_args!("a=group:BUNDLE{group}"));
    out.line(format_args!("a=ice-lite"));
    out.line(format_args!("a=extmap-allow-mixed"));
    out.line(format_args!("a=msid-semantic: WMS *"));
    let mut candidates = local.candidates;
    for (mid, section) in sections.iter().enumerate() {
        match section {
            ProposedSection::Application => {
                out.line(format_args!("m=application 9 UDP/DTLS/SCTP webrtc-datachannel"));
                transport(&mut out, mid, local);
                out.line(format_args!("a=sctp-port:5000"));
                out.line(format_args!("a=max-message-size:{MAX_MESSAGE_SIZE}"));
            }
            ProposedSection::Rejected(kind) => {
                out.line(format_args!("m={} 0 UDP/TLS/RTP/SAVPF{}", word(*kind), payload_types(*kind)));
                out.line(format_args!("c=IN IP4 0.0.0.0"));
                out.line(format_args!("a=mid:{mid}"));
                out.line(format_args!("a=inactive"));
                continue;
            }
            ProposedSection::Inactive(kind) => {
                media(&mut out, mid, local, *kind);
                out.line(format_args!("a=inactive"));
            }
            ProposedSection::Send { kind, stream_label, track_label, cname, ssrc, rtx_ssrc } => {
                media(&mut out, mid, local, *kind);
                out.line(format_args!("a=sendonly"));
                out.line(format_args!("a=msid:{stream_label} {track_label}"));
                if *kind == MediaKind::Video {
                    out.line(format_args!("a=ssrc-group:FID {ssrc} {rtx_ssrc}"));
                }
                let streams = [Some(ssrc), (*kind == MediaKind::Video).then_some(rtx_ssrc)];
                for ssrc in streams.into_iter().flatten() {
                    out.line(format_args!("a=ssrc:{ssrc} cname:{cname}"));
                    out.line(format_args!("a=ssrc:{ssrc} msid:{stream_label} {track_label}"));
                }
            }
        }
        out.candidates(std::mem::take(&mut candidates));
    }
    out.finish()
}

fn word(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
    }
}

fn formats(kind: MediaKind) -> impl Iterator<Item = &'static Format> {
    FORMATS
        .iter()
        .filter(move |format| ENABLED_CODECS.contains(&format.kind) && format.kind.media() == Some(kind))
}

fn payload_types(kind: MediaKind) -> String {
    let all = formats(kind).flat_map(|format| [Some(format.payload_type), format.rtx]).flatten();
    all.map(|payload_type| format!(" {payload_type}")).collect()
}

fn media(out: &mut Printer, mid: usize, local: &Local<'_>, kind: MediaKind) {
    out.line(format_args!("m={} 9 UDP/TLS/RTP/SAVPF{}", word(kind), payload_types(kind)));
    transport(out, mid, local);
    for (id, uri) in (1..).zip(EXTENSIONS).filter(|(_, uri)| supported(kind, **uri)) {
        out.line(format_args!("a=extmap:{id} {}", uri.as_str()));
    }
    out.line(format_args!("a=rtcp-mux"));
    out.line(format_args!("a=rtcp-rsize"));
    for Format { kind: codec, payload_type, rtx, encoding, parameters } in formats(kind) {
        out.line(format_args!("a=rtpmap:{payload_type} {encoding}"));
        let feedback = FEEDBACK.iter().filter(|(_, only)| only.is_none_or(|only| only == kind));
        for (feedback, _) in feedback.filter(|_| *codec != CodecKind::Red) {
            out.line(format_args!("a=rtcp-fb:{payload_type} {feedback}"));
        }
        if !parameters.is_empty() {
            out.line(format_args!("a=fmtp:{payload_type} {parameters}"));
        }
        if let Some(rtx) = rtx {
            out.line(format_args!("a=rtpmap:{rtx} rtx/90000"));
            out.line(format_args!("a=fmtp:{rtx} apt={payload_type}"));
        }
    }
}

/// One role and not `actpass`: pion would take the passive part too when it meets an ICE-lite server.
fn transport(out: &mut Printer, mid: usize, local: &Local<'_>) {
    out.line(format_args!("c=IN IP4 0.0.0.0"));
    out.line(format_args!("a=mid:{mid}"));
    out.line(format_args!("a=ice-ufrag:{}", local.ice_ufrag));
    out.line(format_args!("a=ice-pwd:{}", local.ice_pwd));
    out.line(format_args!("a=fingerprint:{}", local.fingerprint));
    out.line(format_args!("a=setup:{}", local.setup()));
}

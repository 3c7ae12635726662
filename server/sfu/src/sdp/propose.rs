//! Printing an offer of the server's (RFC 9429 §5.2), for a connection on which it only sends. Owns the payload types
//! and header-extension ids that the server chooses; decides nothing about tracks.

use super::answer::{Local, MAX_MESSAGE_SIZE, Printer};
use crate::MediaKind;
use crate::rtp::extension::Uri;

/// Header extensions and their ids, the same on every m-line of their kind (RFC 8843 §9.1).
const EXTENSIONS: &[(u8, Uri, Option<MediaKind>)] = &[
    (1, Uri::AudioLevel, Some(MediaKind::Audio)),
    (2, Uri::AbsSendTime, None),
    (3, Uri::TransportSequence, None),
    (4, Uri::Mid, None),
    (5, Uri::AbsCaptureTime, None),
    (6, Uri::VideoOrientation, Some(MediaKind::Video)),
];

/// Payload types and their attributes. H.264 is offered in both packetization modes, because a stream in one cannot
/// be sent to a decoder of the other; the baseline's first byte of the profile is what publishers send.
const AUDIO: (&str, &[&str]) = (
    "111 63",
    &[
        "rtpmap:111 opus/48000/2",
        "rtcp-fb:111 transport-cc",
        "rtcp-fb:111 nack",
        "fmtp:111 minptime=10;useinbandfec=1",
        "rtpmap:63 red/48000/2",
        "fmtp:63 111/111",
    ],
);
const VIDEO: (&str, &[&str]) = (
    "96 97 102 103 104 105",
    &[
        "rtpmap:96 VP8/90000",
        "rtcp-fb:96 transport-cc",
        "rtcp-fb:96 ccm fir",
        "rtcp-fb:96 nack",
        "rtcp-fb:96 nack pli",
        "rtpmap:97 rtx/90000",
        "fmtp:97 apt=96",
        "rtpmap:102 H264/90000",
        "rtcp-fb:102 transport-cc",
        "rtcp-fb:102 ccm fir",
        "rtcp-fb:102 nack",
        "rtcp-fb:102 nack pli",
        "fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
        "rtpmap:103 rtx/90000",
        "fmtp:103 apt=102",
        "rtpmap:104 H264/90000",
        "rtcp-fb:104 transport-cc",
        "rtcp-fb:104 ccm fir",
        "rtcp-fb:104 nack",
        "rtcp-fb:104 nack pli",
        "fmtp:104 level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42e01f",
        "rtpmap:105 rtx/90000",
        "fmtp:105 apt=104",
    ],
);

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
                out.line(format_args!("m={} 0 UDP/TLS/RTP/SAVPF {}", word(*kind), formats(*kind).0));
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

fn formats(kind: MediaKind) -> (&'static str, &'static [&'static str]) {
    match kind {
        MediaKind::Audio => AUDIO,
        MediaKind::Video => VIDEO,
    }
}

fn media(out: &mut Printer, mid: usize, local: &Local<'_>, kind: MediaKind) {
    let (payload_types, attributes) = formats(kind);
    out.line(format_args!("m={} 9 UDP/TLS/RTP/SAVPF {payload_types}", word(kind)));
    transport(out, mid, local);
    for (id, uri, only) in EXTENSIONS {
        if only.is_none_or(|only| only == kind) {
            out.line(format_args!("a=extmap:{id} {}", uri.as_str()));
        }
    }
    out.line(format_args!("a=rtcp-mux"));
    out.line(format_args!("a=rtcp-rsize"));
    for attribute in attributes {
        out.line(format_args!("a={attribute}"));
    }
}

/// `passive` and not `actpass`: pion would take the passive part too when it meets an ICE-lite server.
fn transport(out: &mut Printer, mid: usize, local: &Local<'_>) {
    out.line(format_args!("c=IN IP4 0.0.0.0"));
    out.line(format_args!("a=mid:{mid}"));
    out.line(format_args!("a=ice-ufrag:{}", local.ice_ufrag));
    out.line(format_args!("a=ice-pwd:{}", local.ice_pwd));
    out.line(format_args!("a=fingerprint:{}", local.fingerprint));
    out.line(format_args!("a=setup:passive"));
}

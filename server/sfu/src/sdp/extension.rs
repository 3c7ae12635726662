//! RTP header extensions by URI (RFC 8285). Owns which ones an answer accepts; never reads their values.

use crate::MediaKind;

/// RFC 8843: which m-line a packet belongs to.
pub const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
/// RFC 8852: which simulcast layer a packet belongs to.
pub const RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
/// RFC 8852: which simulcast layer a retransmission repairs.
pub const REPAIRED_RID: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";
/// RFC 6464: how loud the packet is.
pub const AUDIO_LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
/// draft-holmer-rmcat-transport-wide-cc-extensions: a sequence number over all packets of the transport.
pub const TRANSPORT_CC: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
/// When the packet left, 24 bits of 6.18 fixed-point seconds.
pub const ABS_SEND_TIME: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time";
/// When the frame was captured, on the sender's clock.
pub const ABS_CAPTURE_TIME: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time";
/// AV1 RTP specification, appendix A: which frames a frame needs.
pub const DEPENDENCY_DESCRIPTOR: &str =
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";
/// 3GPP TS 26.114: how the picture is to be turned.
pub const VIDEO_ORIENTATION: &str = "urn:3gpp:video-orientation";

/// The largest id accepted. 15 and above need two-byte headers (RFC 8285 §4.3), which the packet path does not
/// write; an extension offered there is not negotiated.
pub const MAX_ID: u8 = 14;

const AUDIO: &[&str] = &[MID, AUDIO_LEVEL, TRANSPORT_CC, ABS_SEND_TIME, ABS_CAPTURE_TIME];
const VIDEO: &[&str] = &[
    MID,
    RID,
    REPAIRED_RID,
    TRANSPORT_CC,
    ABS_SEND_TIME,
    ABS_CAPTURE_TIME,
    DEPENDENCY_DESCRIPTOR,
    VIDEO_ORIENTATION,
];

/// Whether an answer accepts the extension on m-lines of this kind.
pub fn supported(kind: MediaKind, uri: &str) -> bool {
    match kind {
        MediaKind::Audio => AUDIO.contains(&uri),
        MediaKind::Video => VIDEO.contains(&uri),
    }
}

//! RTP header extensions in SDP (RFC 8285). Owns which ones an answer accepts; never reads their values.

use crate::MediaKind;
use crate::rtp::extension::Uri;

/// The largest id that fits a one-byte header; 15 is reserved and those above need two-byte headers
/// (RFC 8285 §4.2), which a client must allow first.
pub(super) const MAX_ONE_BYTE_ID: u8 = 14;

/// Whether an answer accepts the extension on m-lines of this kind. Those left out cost bytes in every packet and
/// nobody here reads or forwards them.
pub(super) fn supported(kind: MediaKind, uri: Uri) -> bool {
    match (kind, uri) {
        (_, Uri::Mid | Uri::TransportSequence | Uri::AbsSendTime | Uri::AbsCaptureTime) => true,
        (MediaKind::Audio, Uri::AudioLevel) => true,
        (
            MediaKind::Video,
            Uri::Rid | Uri::RepairedRid | Uri::DependencyDescriptor | Uri::VideoOrientation,
        ) => true,
        _ => false,
    }
}

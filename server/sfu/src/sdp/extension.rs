//! RTP header extensions in SDP (RFC 8285). Owns which ones an answer accepts; never reads their values.

use crate::MediaKind;
use crate::rtp::extension::Uri;

/// The largest id that fits a one-byte header; 15 is reserved and those above need two-byte headers
/// (RFC 8285 §4.2), which a client must allow first.
pub(super) const MAX_ONE_BYTE_ID: u8 = 14;

/// Whether an answer accepts the extension on m-lines of this kind. Each one costs bytes in every packet, but the
/// first answer fixes what a sender can ever use: a simulcast publication fails in libwebrtc when RID was missing
/// in an earlier answer. So everything the server reads or may come to read is accepted from the start.
pub(super) fn supported(kind: MediaKind, uri: Uri) -> bool {
    matches!(
        (kind, uri),
        (_, Uri::Mid | Uri::TransportSequence | Uri::AbsSendTime | Uri::AbsCaptureTime)
            | (MediaKind::Audio, Uri::AudioLevel)
            | (
                MediaKind::Video,
                Uri::Rid | Uri::RepairedRid | Uri::DependencyDescriptor | Uri::VideoOrientation
            )
    )
}

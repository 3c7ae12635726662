//! How well one participant's media goes, both ways, in LiveKit's four words.

use crate::ConnectionQuality;
use crate::downlink::Fit;
use crate::peer::Peer;
use crate::uplink::Track;
use slab::Slab;
use std::time::{Duration, Instant};

/// Nothing came from the peer for this long: its connection is lost. Higher: the sign comes late; lower: a
/// listener in Firefox, who says something only every 5 to 6 s, is called lost (and LiveKit's clients reconnect
/// on that word).
const LOST_AFTER: Duration = Duration::from_secs(8);

/// Share of packets lost above which a connection is called good, then poor. Below the first nobody hears it:
/// NACK and Opus' own concealment cover it.
const GOOD_FROM: f64 = 0.02;
const POOR_FROM: f64 = 0.10;

/// Packets in an interval below which loss says nothing.
const TOO_FEW: u64 = 20;

/// Judges the time since the last call.
pub(crate) fn judge(now: Instant, peer: &Peer, tracks: &mut Slab<Track>) -> ConnectionQuality {
    if now.saturating_duration_since(peer.last_heard) >= LOST_AFTER {
        return ConnectionQuality::Lost;
    }
    let (mut expected, mut lost) = (0_u64, 0_u64);
    for slot in &peer.tracks {
        for layer in tracks.get_mut(*slot).into_iter().flat_map(|track| &mut track.layers) {
            if layer.statistics.is_receiving() {
                let (e, l) = layer.statistics.quality_interval();
                expected = expected.saturating_add(e);
                lost = lost.saturating_add(l);
            }
        }
    }
    let up = if expected < TOO_FEW { 0.0 } else { lost as f64 / expected as f64 };
    let down = peer
        .downlinks
        .iter()
        .map(|(_, downlink)| f64::from(downlink.fraction_lost) / 256.0)
        .fold(0.0, f64::max);
    // A picture that is missing for want of room is seen at once, a smaller one hardly.
    let fits = |fit: Fit| peer.downlinks.iter().any(|(_, downlink)| downlink.fit == fit);
    match up.max(down) {
        loss if loss >= POOR_FROM || fits(Fit::Nothing) => ConnectionQuality::Poor,
        loss if loss >= GOOD_FROM || fits(Fit::Smaller) => ConnectionQuality::Good,
        _ => ConnectionQuality::Excellent,
    }
}

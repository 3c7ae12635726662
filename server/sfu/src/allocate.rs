//! Which layer a subscriber gets. Today: what it asked for, as far as the publisher sends it. The bandwidth
//! estimate will narrow this choice; audio never passes here.

use crate::uplink::{LAYERS, Track, quality_of};
use crate::{Layer, Quality, TrackSetting};

/// The best layer that the setting asks for: `quality`, or the smallest announced layer that covers the
/// wanted size.
fn asked(setting: &TrackSetting, announced: &[Layer]) -> usize {
    let by_quality = match setting.quality {
        Quality::Low => 0,
        Quality::Medium => 1,
        Quality::High => 2,
    };
    if setting.width == 0 || setting.height == 0 {
        return by_quality;
    }
    // Compared by area and by the long side, so that a portrait tile and a landscape picture still match.
    let wanted = setting.width.max(setting.height);
    announced
        .iter()
        .filter(|layer| layer.width.max(layer.height) >= wanted)
        .map(|layer| layer.quality)
        .min()
        .map_or(2, |quality| match quality {
            Quality::Low => 0,
            Quality::Medium => 1,
            Quality::High => 2,
        })
}

/// The layer to send, `None` for nothing. `live`: which layers have packets now. A layer that is not live is
/// replaced by the next lower one, else by the next higher.
pub(crate) fn choose(track: &Track, setting: &TrackSetting, live: [bool; LAYERS]) -> Option<usize> {
    if setting.disabled || track.is_held() {
        return None;
    }
    if !track.is_video() {
        return Some(0);
    }
    let asked = asked(setting, &track.description.layers);
    let is_live = |layer: &usize| live.get(*layer).copied().unwrap_or(false);
    let below = (0..=asked).rev().find(is_live);
    let above = (asked..LAYERS).find(is_live);
    below.or(above).or(Some(0))
}

/// The layers that at least one of these settings makes use of (LiveKit `subscribed_quality_update`): every layer
/// up to the best one asked for, so that a lower one is there when the best does not fit.
pub(crate) fn wanted<'a>(track: &Track, settings: impl Iterator<Item = &'a TrackSetting>) -> [bool; LAYERS] {
    let best = settings
        .filter(|setting| !setting.disabled)
        .map(|setting| asked(setting, &track.description.layers))
        .max();
    std::array::from_fn(|layer| best.is_some_and(|best| layer <= best))
}

/// The same with LiveKit's names.
pub(crate) fn named(wanted: [bool; LAYERS]) -> Vec<(Quality, bool)> {
    wanted.into_iter().enumerate().map(|(layer, wanted)| (quality_of(layer), wanted)).collect()
}

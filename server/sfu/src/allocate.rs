//! Which layer a subscriber gets: what it asked for, as far as the publisher sends it and the subscriber's path
//! carries it. Audio never passes here.
//!
//! First everybody's lowest layer, with few frames where all of them do not fit, then up by priority. A better layer needs some room to spare, the one that runs
//! does not, so that a rate at the edge does not flap.

use crate::bandwidth::{LOOK_INTERVAL, PROBE_INTERVAL};
use crate::cadence::{ALL, FEWER};
use crate::downlink::Fit;
use crate::rtp::rtcp::TransportFeedback;
use crate::shard::Shard;
use crate::uplink::{LAYERS, Track, quality_of};
use crate::{Event, Layer, MediaKind, PeerId, Quality, TrackSetting, packet};
use std::cmp::Reverse;
use std::time::Instant;

/// Room that a better layer must leave, as a share of the estimate. Higher: fewer changes; lower: better pictures.
const CLIMB: f64 = 0.95;

/// And what a picture must leave that rests after it did not fit (rest.rs): it is tried before its time only when a burst
/// went through as a whole.
const RETURN: f64 = 0.7;

/// How far a running choice may go over the estimate, which is rough itself.
const HOLD: f64 = 1.05;

/// What goes out this much over the estimate stops at once; below, it runs until the lower layer's key frame.
const FAR_OVER: f64 = 1.3;

/// A burst looks for this much more than the next layer needs.
const WISH: f64 = 1.4;

/// A layer's rate before it was measured or announced, in bit/s.
const UNKNOWN_RATE: f64 = 150_000.0;

/// Padding packets in one portion of a burst (25 kB/s each). Higher: more at once into the queue; lower: fast paths
/// are not measured.
const MAX_PADDING_PACKETS: usize = 64;

/// Fewer frames are a step of their own when they save at least this share of what comes next. Higher: fewer changes;
/// lower: more that fits.
const SAVES: f64 = 0.15;

/// What can be chosen of one picture: fewer frames of its lowest layer, then the layers.
const STEPS: usize = FEWER + LAYERS;

/// What fits of one picture. The greater, the more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Share {
    pub(crate) layer: usize,
    /// The highest temporal layer of it.
    pub(crate) temporal: u8,
}

impl Share {
    /// All frames of a layer.
    pub(crate) const fn whole(layer: usize) -> Self {
        Self { layer, temporal: ALL }
    }
}

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
/// replaced by the next lower one, else by the next higher. `limit`: what the path has room for.
pub(crate) fn choose(
    track: &Track,
    setting: &TrackSetting,
    live: [bool; LAYERS],
    limit: Option<Share>,
) -> Option<usize> {
    if setting.disabled || track.is_held() {
        return None;
    }
    if !track.is_video() {
        return Some(0);
    }
    let asked = asked(setting, &track.description.layers).min(limit?.layer);
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

/// One video track that a subscriber would like to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demand {
    downlink: usize,
    track: usize,
    /// Most important first: priority said by the client, dominant speaker, size, age.
    rank: (u32, bool, Reverse<u32>, usize),
    lowest: usize,
    /// Rates of the steps that can be chosen, in bit/s; not sent or not asked for: `None`.
    rates: [Option<f64>; STEPS],
    /// What it may have now.
    limit: Option<Share>,
    /// A step.
    given: Option<usize>,
}

impl Demand {
    fn rate(&self, step: Option<usize>) -> f64 {
        step.and_then(|step| self.rates.get(step).copied().flatten()).unwrap_or(0.0)
    }

    /// The next step above `step` that can be chosen.
    fn above(&self, step: Option<usize>) -> Option<usize> {
        let from = step.map_or(0, |step| step.saturating_add(1));
        (from..STEPS).find(|at| self.rates.get(*at).is_some_and(Option::is_some))
    }

    /// What a step is.
    fn share(&self, step: usize) -> Share {
        match step.checked_sub(FEWER) {
            Some(layer) => Share::whole(layer),
            None => Share { layer: self.lowest, temporal: u8::try_from(step).unwrap_or(ALL) },
        }
    }

    fn holds(&self, step: usize) -> bool {
        self.limit.is_some_and(|limit| limit >= self.share(step))
    }
}

/// What would be shown if the path carried more, in bit/s.
#[derive(Clone, Copy, Debug)]
struct Missing {
    /// One more step up.
    step: f64,
    /// Everything that was asked for.
    whole: f64,
}

/// Gives layers to `demands`, which are sorted, within `estimate` bit/s. `None`: nothing is missing.
fn share(demands: &mut [Demand], estimate: f64, waits: bool) -> Option<Missing> {
    let mut used = 0.0;
    let mut wish: Option<f64> = None;
    for _ in 0..STEPS {
        for demand in demands.iter_mut() {
            let Some(next) = demand.above(demand.given) else { continue };
            let total = used - demand.rate(demand.given) + demand.rate(Some(next));
            let waits = waits && demand.limit.is_none();
            let room = match (demand.holds(next), waits) {
                (true, _) => HOLD,
                (false, true) => RETURN,
                (false, false) => CLIMB,
            };
            if total <= estimate * room {
                demand.given = Some(next);
                used = total;
            } else if wish.is_none_or(|known| total < known) {
                wish = Some(total);
            }
        }
    }
    let best = |demand: &Demand| demand.rates.iter().rev().find_map(|rate| *rate).unwrap_or(0.0);
    Some(Missing { step: wish?, whole: demands.iter().map(best).sum() })
}

impl Shard {
    pub(crate) fn bandwidth_feedback(&mut self, now: Instant, slot: usize, feedback: TransportFeedback<'_>) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let before = peer.bandwidth.estimate(now);
        peer.bandwidth.feedback(now, feedback);
        if peer.bandwidth.estimate(now) != before
            && !peer.bandwidth.is_probing()
            && peer.bandwidth_at.is_some()
        {
            peer.bandwidth_at = Some(now);
            self.schedule(slot);
        }
    }

    pub(crate) fn bandwidth_bound(&mut self, slot: usize, bitrate: u64) {
        if let Some(peer) = self.peers.get_mut(slot) {
            peer.bandwidth.bound(bitrate);
        }
    }

    /// A subscriber's video is bounded by command.
    pub(crate) fn limit_bandwidth(&mut self, now: Instant, slot: usize, limit: Option<u64>) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        peer.bandwidth.limit(limit);
        if peer.bandwidth_at.is_some() {
            peer.bandwidth_at = Some(now);
        }
        self.schedule(slot);
    }

    /// Fits what a subscriber is sent into its path, and goes on with a burst.
    pub(crate) fn fit(&mut self, now: Instant, slot: usize) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        if peer.downlinks.iter().all(|(_, downlink)| downlink.kind() != MediaKind::Video) {
            peer.bandwidth_at = None;
            return;
        }
        peer.bandwidth.look(now, peer.last_heard);
        self.share_out(now, slot);
        self.pad(now, slot);
        if let Some(peer) = self.peers.get_mut(slot) {
            let interval = if peer.bandwidth.is_probing() { PROBE_INTERVAL } else { LOOK_INTERVAL };
            peer.bandwidth_at = Some(now + interval);
        }
    }

    fn share_out(&mut self, now: Instant, slot: usize) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let estimate = peer.bandwidth.estimate(now).unwrap_or(f64::INFINITY);
        let id = peer.id;
        let mut demands = std::mem::take(&mut self.demands);
        demands.clear();
        let speakers = self.rooms.get(&peer.room).map(|room| &room.speakers);
        let mut sending = 0.0;
        for (at, downlink) in &mut peer.downlinks {
            let Some(track) = self.tracks.get(downlink.track_slot).filter(|track| track.is_video()) else {
                continue;
            };
            if downlink.setting.disabled || track.is_held() {
                downlink.fit = Fit::Whole;
                continue;
            }
            let live = track.live_layers(now);
            let best = asked(&downlink.setting, &track.description.layers);
            let lowest = live.iter().position(|live| *live).unwrap_or(0);
            let rate = |layer: usize| {
                let announced = || {
                    let of = track.description.layers.iter().find(|known| known.quality == quality_of(layer));
                    of.map(|known| f64::from(known.bitrate)).filter(|rate| *rate > 0.0)
                };
                track.rate(layer).or_else(announced).unwrap_or(UNKNOWN_RATE)
            };
            let mut rates = [None; STEPS];
            let (fewer, whole) = rates.split_at_mut(FEWER);
            for (layer, slot) in whole.iter_mut().enumerate() {
                let usable = layer == lowest || (layer <= best && live.get(layer).is_some_and(|live| *live));
                *slot = usable.then(|| rate(layer));
            }
            let mut above = rate(lowest);
            for (slot, known) in fewer.iter_mut().zip(track.rate_of_fewer(lowest)).rev() {
                *slot = known.filter(|rate| *rate <= above * (1.0 - SAVES));
                above = slot.unwrap_or(above);
            }
            sending += match (downlink.current_layer(), downlink.limit) {
                (Some(layer), Some(limit)) if layer == lowest && limit.temporal != ALL => {
                    fewer.get(usize::from(limit.temporal)).copied().flatten().unwrap_or_else(|| rate(layer))
                }
                (layer, _) => layer.map_or(0.0, rate),
            };
            let setting = &downlink.setting;
            let speaks = speakers.is_some_and(|speakers| speakers.is_active(track.publisher));
            demands.push(Demand {
                downlink: at,
                track: downlink.track_slot,
                rank: (
                    setting.priority.wrapping_sub(1),
                    !speaks,
                    Reverse(setting.width.saturating_mul(setting.height)),
                    at,
                ),
                lowest,
                rates,
                limit: downlink.limit,
                given: None,
            });
        }
        demands.sort_unstable_by_key(|demand| demand.rank);
        let wish = share(&mut demands, estimate, peer.rest.waits(now));
        if let Some(wish) = wish {
            peer.bandwidth.wish(now, wish.step * WISH, wish.whole * WISH);
        }
        let far_over = sending > estimate * FAR_OVER;
        for demand in &demands {
            self.limit(now, slot, id, demand, far_over);
        }
        self.demands = demands;
    }

    fn limit(&mut self, now: Instant, slot: usize, id: PeerId, demand: &Demand, far_over: bool) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let Some(downlink) = peer.downlinks.get_mut(demand.downlink) else { return };
        downlink.fit = match demand.given {
            None => Fit::Nothing,
            given if demand.above(given).is_some() => Fit::Smaller,
            Some(_) => Fit::Whole,
        };
        let given = demand.given.map(|step| demand.share(step));
        if downlink.limit == given {
            return;
        }
        downlink.limit = given;
        let paused = given.is_none();
        let tell = downlink.told_paused != paused;
        downlink.told_paused = paused;
        match (tell, paused) {
            (true, true) => peer.rest.paused(now),
            (true, false) => peer.rest.returned(now),
            (false, _) => {}
        }
        self.retarget(now, demand.track);
        if far_over
            && let Some(downlink) =
                self.peers.get_mut(slot).and_then(|peer| peer.downlinks.get_mut(demand.downlink))
        {
            downlink.drop_current();
        }
        if tell && let Some(track) = self.tracks.get(demand.track) {
            self.events.push_back(Event::StreamState { peer: id, track: track.id, paused });
        }
    }

    /// The padding of a burst, on the RTX stream of any video track.
    fn pad(&mut self, now: Instant, slot: usize) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let mut needed = peer.bandwidth.padding(now);
        if needed <= 0.0 {
            return;
        }
        let (Some(to), Some(sealer)) = (peer.address(), peer.sealer.as_mut()) else { return };
        let found = peer.downlinks.iter_mut().find_map(|(_, downlink)| {
            // What is held or switched off leaves zero times, padding included.
            let track = self.tracks.get(downlink.track_slot).filter(|track| !track.is_held())?;
            if downlink.setting.disabled {
                return None;
            }
            let payload_type = track.payload_types.first_where(|known| downlink.numbers(known))?;
            Some((downlink, payload_type))
        });
        let Some((downlink, payload_type)) = found else { return };
        for _ in 0..MAX_PADDING_PACKETS {
            if needed <= 0.0 {
                break;
            }
            let Some(forward) = downlink.pad(payload_type) else { break };
            let number = peer.bandwidth.next_sequence();
            let mut sent = 0;
            self.slab.push(to, |buffer| {
                let (header_len, length) =
                    packet::write_padding(buffer, &forward.address, &peer.extensions, number)?;
                sent = sealer.seal_rtp(buffer, length, header_len, forward.roc).ok()?;
                Some(sent)
            });
            if sent == 0 {
                break;
            }
            peer.bandwidth.sent(now, sent);
            needed -= sent as f64;
        }
    }
}

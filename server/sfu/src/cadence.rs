//! How many frames a second a layer carries, and how many of them each temporal layer adds. Owns the counting; never
//! decides who gets what.

use std::time::{Duration, Instant};

/// Temporal layers that a VP8 descriptor can name.
pub(crate) const TEMPORAL: usize = 4;

/// Temporal layers below the last of three, which is what browsers send: so many ways to show fewer frames for want of room.
pub(crate) const FEWER: usize = 2;

/// The one that stands for all frames.
pub(crate) const ALL: u8 = TEMPORAL as u8;

/// Frames are counted over this. Higher: a change of rate is seen later; lower: rates of a few frames are guesses.
const WINDOW: Duration = Duration::from_secs(1);

/// Share of the wanted rate that is enough: a window holds a frame more or less. Higher: more frames than wanted now and
/// then; lower: fewer.
const ENOUGH: f32 = 0.85;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cadence {
    since: Option<Instant>,
    counts: [u16; TEMPORAL],
    /// Frames a second of the temporal layers up to each.
    rates: Option<[f32; TEMPORAL]>,
}

impl Cadence {
    /// A frame of this temporal layer began.
    pub(crate) fn count(&mut self, now: Instant, temporal: u8) {
        let since = *self.since.get_or_insert(now);
        let passed = now.saturating_duration_since(since);
        if passed >= WINDOW {
            let mut sum = 0.0;
            let counts = self.counts;
            let mut rates = [0.0; TEMPORAL];
            for (rate, count) in rates.iter_mut().zip(counts) {
                sum += f32::from(count) / passed.as_secs_f32();
                *rate = sum;
            }
            *self = Self { since: Some(now), counts: [0; TEMPORAL], rates: Some(rates) };
        }
        if let Some(count) = self.counts.get_mut(usize::from(temporal)) {
            *count = count.saturating_add(1);
        }
    }

    /// The lowest temporal layer that brings `wanted` frames a second; 0 wants all.
    pub(crate) fn temporal_for(&self, wanted: u32) -> u8 {
        let Some(rates) = self.rates.filter(|_| wanted > 0) else { return ALL };
        let enough = wanted as f32 * ENOUGH;
        rates.iter().position(|rate| *rate >= enough).and_then(|at| u8::try_from(at).ok()).unwrap_or(ALL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "virtual time has to start somewhere")]
    fn the_lowest_temporal_layer_with_enough_frames_is_chosen() {
        let mut cadence = Cadence::default();
        let mut now = Instant::now();
        assert_eq!(cadence.temporal_for(15), ALL, "nothing is known yet");
        for frame in 0..90 {
            cadence.count(now, [0, 2, 1, 2][frame % 4]);
            now += Duration::from_micros(33_333);
        }
        for (wanted, temporal) in
            [(0, ALL), (1, 0), (7, 0), (8, 0), (10, 1), (15, 1), (20, 2), (30, 2), (60, ALL)]
        {
            assert_eq!(cadence.temporal_for(wanted), temporal, "{wanted} frames a second");
        }
    }
}

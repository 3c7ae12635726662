//! Whether a queue grows on the way (draft-ietf-rmcat-gcc-02 §5, with the trendline filter that replaced the Kalman
//! filter in libwebrtc). Owns packet groups and the adaptive threshold; knows no rate.

/// Packets that left within this belong to one group (§5.2).
const BURST: f64 = 0.005;

/// Groups the line is drawn through. Higher: calmer and later; lower: a single key frame looks like a queue.
const WINDOW: usize = 20;

const SMOOTHING: f64 = 0.9;
const GAIN: f64 = 4.0;
const MAX_GROUPS: f64 = 60.0;

/// The threshold adapts between these, in ms (§5.4), so that a loss-based flow beside ours does not starve it.
const THRESHOLD: (f64, f64) = (6.0, 600.0);
const THRESHOLD_START: f64 = 12.5;
const ADAPT_UP: f64 = 0.0087;
const ADAPT_DOWN: f64 = 0.039;
/// A sample this far above the threshold is a spike, not a trend.
const ADAPT_LIMIT: f64 = 15.0;

/// A queue that never fell below this in a whole window stands. A forwarded key frame fills a queue for an
/// instant, and the next frame finds it empty: that is no overuse.
const STANDING: f64 = 0.020;

/// A queue that was this long for a while is overuse even if it grows no more (it is full, and drops). Higher: the
/// picture comes later for longer; lower: links with much jitter are never used up.
const FULL: f64 = 0.150;

/// That while: three to four of these. Higher: a path that became narrow is noticed later; lower: one key frame on a
/// narrow path counts. Seconds.
const SPELL: f64 = 0.075;
const SPELLS: usize = 4;

/// The shortest way is looked for anew after this: routes change. Seconds.
const BASE_AGE: f64 = 10.0;

/// Arrivals more than this apart are not of one run of packets (a wrapped clock, a pause). Seconds.
const BREAK: f64 = 3.0;

/// §5.3's signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    Normal,
    /// The queue grows.
    Over,
    /// The queue is long already.
    Full,
    Under,
}

#[derive(Clone, Copy)]
struct Group {
    first_sent: f64,
    sent: f64,
    arrived: f64,
    /// Shortest way of its packets, with the offset of the two clocks.
    shortest: f64,
}

/// See the module.
pub(crate) struct Delay {
    group: Option<Group>,
    previous: Option<Group>,
    accumulated: f64,
    smoothed: f64,
    groups: f64,
    /// Arrival in ms, smoothed delay in ms, shortest way in s; a ring.
    points: [(f64, f64, f64); WINDOW],
    count: usize,
    threshold: f64,
    trend: f64,
    adapted: f64,
    base: [f64; 2],
    base_since: f64,
    /// Shortest way in each of the last spells, newest last.
    spells: [f64; SPELLS],
    spell_since: f64,
    pub(crate) usage: Usage,
}

impl Default for Delay {
    fn default() -> Self {
        Self {
            group: None,
            previous: None,
            accumulated: 0.0,
            smoothed: 0.0,
            groups: 0.0,
            points: [(0.0, 0.0, 0.0); WINDOW],
            count: 0,
            threshold: THRESHOLD_START,
            trend: 0.0,
            adapted: 0.0,
            base: [f64::INFINITY; 2],
            base_since: 0.0,
            spells: [f64::INFINITY; SPELLS],
            spell_since: 0.0,
            usage: Usage::Normal,
        }
    }
}

impl Delay {
    /// One packet that left and arrived then, in seconds on two clocks.
    pub(crate) fn arrived(&mut self, sent: f64, arrived: f64) {
        let way = arrived - sent;
        let fresh = Group { first_sent: sent, sent, arrived, shortest: way };
        let Some(group) = &mut self.group else {
            self.group = Some(fresh);
            return;
        };
        if (arrived - group.arrived).abs() > BREAK {
            *self = Self::default();
            self.group = Some(fresh);
            return;
        }
        if sent < group.first_sent {
            return; // reordered: it says nothing about the queue
        }
        if sent - group.first_sent <= BURST {
            group.sent = group.sent.max(sent);
            group.arrived = group.arrived.max(arrived);
            group.shortest = group.shortest.min(way);
            return;
        }
        let done = *group;
        self.group = Some(fresh);
        if let Some(previous) = self.previous.replace(done) {
            self.between(previous, done);
        }
    }

    fn between(&mut self, previous: Group, group: Group) {
        let delta = ((group.arrived - previous.arrived) - (group.sent - previous.sent)) * 1000.0;
        self.groups = (self.groups + 1.0).min(MAX_GROUPS);
        self.accumulated += delta;
        self.smoothed = SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * self.accumulated;
        if let Some(point) = self.points.get_mut(self.count % WINDOW) {
            *point = (group.arrived * 1000.0, self.smoothed, group.shortest);
        }
        self.count = self.count.wrapping_add(1);
        if group.arrived - self.base_since > BASE_AGE {
            self.base = [self.base[1], f64::INFINITY];
            self.base_since = group.arrived;
        }
        self.base[1] = self.base[1].min(group.shortest);
        self.spell(group);
        if self.count < WINDOW {
            return;
        }
        let trend = self.slope() * self.groups * GAIN;
        let rising = trend > self.threshold && trend >= self.trend;
        self.usage = if self.queue() > FULL {
            Usage::Full
        } else if rising && self.standing() > STANDING {
            Usage::Over
        } else if trend < -self.threshold {
            Usage::Under
        } else {
            Usage::Normal
        };
        self.trend = trend;
        self.adapt(trend, group.arrived);
    }

    fn spell(&mut self, group: Group) {
        let age = group.arrived - self.spell_since;
        if age >= SPELL {
            self.spells.rotate_left(1);
            self.spells[SPELLS - 1] = f64::INFINITY;
            self.spell_since = group.arrived;
        }
        if age >= SPELL * SPELLS as f64 {
            self.spells = [f64::INFINITY; SPELLS];
        }
        self.spells[SPELLS - 1] = self.spells[SPELLS - 1].min(group.shortest);
    }

    /// The queue is somebody else's, and stays: what waits in it now is part of the way. A shorter way is believed again as
    /// soon as it is seen.
    pub(crate) fn accept_queue(&mut self) {
        let shortest = self.spells.iter().copied().fold(f64::INFINITY, f64::min);
        if shortest.is_finite() {
            self.base = [shortest; 2];
        }
    }

    /// What always waited lately, in seconds.
    pub(crate) fn queue(&self) -> f64 {
        let shortest = self.spells.iter().copied().fold(f64::INFINITY, f64::min);
        if shortest.is_finite() { shortest - self.base[0].min(self.base[1]) } else { 0.0 }
    }

    /// What always waited in the last window, in seconds.
    fn standing(&self) -> f64 {
        let shortest = self.points.iter().map(|point| point.2).fold(f64::INFINITY, f64::min);
        shortest - self.base[0].min(self.base[1])
    }

    /// Least squares: ms of delay per ms of time.
    fn slope(&self) -> f64 {
        let count = WINDOW as f64;
        let (x, y) = self.points.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        let (mean_x, mean_y) = (x / count, y / count);
        let (over, under) = self.points.iter().fold((0.0, 0.0), |sum, point| {
            let dx = point.0 - mean_x;
            (sum.0 + dx * (point.1 - mean_y), sum.1 + dx * dx)
        });
        if under > 0.0 { over / under } else { 0.0 }
    }

    fn adapt(&mut self, trend: f64, now: f64) {
        let elapsed = ((now - self.adapted) * 1000.0).clamp(0.0, 100.0);
        self.adapted = now;
        let beyond = trend.abs() - self.threshold;
        if beyond > ADAPT_LIMIT {
            return;
        }
        let rate = if beyond > 0.0 { ADAPT_UP } else { ADAPT_DOWN };
        self.threshold = (self.threshold + rate * beyond * elapsed).clamp(THRESHOLD.0, THRESHOLD.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames of `bytes` every 33 ms in packets of 1000 over a link of `rate` bit/s.
    fn run(delay: &mut Delay, from: f64, seconds: f64, rate: f64, bytes: impl Fn(u32) -> u32) -> Option<f64> {
        let mut free: f64 = from;
        for frame in 0..(seconds * 30.0) as u32 {
            let sent = from + f64::from(frame) / 30.0;
            let mut left = bytes(frame);
            while left > 0 {
                let size = left.min(1000);
                left -= size;
                free = free.max(sent) + f64::from(size) * 8.0 / rate;
                delay.arrived(sent, free + 7.05);
            }
            if matches!(delay.usage, Usage::Over | Usage::Full) {
                return Some(sent - from);
            }
        }
        None
    }

    #[test]
    fn a_growing_queue_is_overuse_soon_and_key_frames_are_not() {
        let mut delay = Delay::default();
        // 0.7 of the link, with a key frame of ten times the size every two seconds.
        let frames = |frame: u32| if frame.is_multiple_of(60) { 20_000 } else { 2_900 };
        assert_eq!(run(&mut delay, 0.0, 30.0, 1_200_000.0, frames), None);
        let found = run(&mut delay, 30.0, 5.0, 300_000.0, |_| 2_900);
        assert!(found.is_some_and(|after| after < 1.2), "{found:?}");
    }
}

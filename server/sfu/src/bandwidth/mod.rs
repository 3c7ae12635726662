//! How much video one subscriber's path carries. Owns the transport-wide numbers of what it is sent and what its
//! feedback says about them; never knows tracks or layers.
//!
//! After draft-ietf-rmcat-gcc-02: a delay-based controller (a growing queue takes the estimate down to a share of
//! what arrives), bounded by loss, raised by bursts of padding because a forwarder's sending rate has
//! steps and would never find out by itself. Audio has no number and waits for nothing.

mod delay;
mod history;
mod probe;

use crate::rtp::rtcp::TransportFeedback;
use delay::{Delay, Usage};
use history::History;
use probe::{Found, Probe};
use std::time::{Duration, Instant};

/// What an unknown path is believed to carry, in bit/s. Higher: the first second overruns a phone; lower: a good
/// path shows a small picture for longer.
const START: f64 = 300_000.0;

/// The estimate stays between these, in bit/s; while the queue is full it may fall to the first. A few frames a second of a
/// small picture take 20 to 50 kbit/s, and one late frame is no reason to stop them.
const LOWEST_FULL: f64 = 20_000.0;
const LOWEST: f64 = 50_000.0;
const HIGHEST: f64 = 50_000_000.0;

/// On overuse the estimate becomes this share of what arrives (§5.5), and while the queue is long, less, so that it empties.
const DECREASE: f64 = 0.85;
const DRAIN: f64 = 0.7;

/// What a burst measured is believed to this share when it found the path's limit.
const FOUND: f64 = 0.95;

/// Share per second by which the estimate grows while it is used up (§5.5).
const INCREASE: f64 = 0.08;

/// Between two decreases, in seconds: the queue must have time to show the first one.
const DECREASE_INTERVAL: f64 = 0.4;

/// A queue that does not empty in so long, with less and less of ours in it, is another flow's. Seconds.
const OTHERS: f64 = 2.5;

/// Where the path was found to be full, the estimate does not grow beyond by itself for so long; a burst may find that it
/// does not hold any more. Seconds.
const CEILING_AGE: f64 = 10.0;

/// What is lost this soon after a decrease was sent into the queue that caused it. Seconds.
const AFTERMATH: f64 = 0.3;

/// Loss above which the estimate falls by half the loss (§6).
const HEAVY_LOSS: f64 = 0.10;
const LOSS_WINDOW: f64 = 0.5;
const LOSS_PACKETS: f64 = 20.0;

/// What arrives is measured over this, in seconds of the receiver's clock.
const RATE_WINDOW: f64 = 0.3;

/// The sound is measured over this. Higher: somebody who begins to speak is seen later; lower: it jumps. Seconds.
const BESIDE_WINDOW: f64 = 0.5;

/// Share of the estimate that repairs may take: on a path of which no limit is known, near a limit, and while the queue is
/// full, which loses whatever is sent, so that repairs without a bound keep it full. For so many seconds it may be saved
/// up. Higher: that; lower: a path that was gone for a second comes back with a key frame only.
const REPAIRS: f64 = 8.0;
const REPAIRS_NEAR: f64 = 1.0;
const REPAIRS_FULL: f64 = 0.2;
const REPAIRS_SAVED: f64 = 0.25;

/// Without feedback for so long the estimate is halved, again each such time, until the path counts as unknown; lost
/// feedback alone is much shorter.
const MISSING: f64 = 2.0;

/// A client from which no feedback came for so long after the first packet sends none. Seconds.
const MUTE: f64 = 5.0;

/// A network that was away for so long is met anew. Seconds.
const DARK: f64 = 1.0;

/// A burst goes at most so far beyond what is known.
const REACH: f64 = 2.5;

/// Or to this, in bit/s, from next to nothing.
const LEAST_REACH: f64 = 400_000.0;

/// And at least so fast, in bit/s: fewer packets would measure nothing.
const LEAST_BURST: f64 = 200_000.0;

/// Loss does not take the estimate below this, in bit/s: where the radio loses that much, less does not help, and a queue
/// shows itself by delay.
const LOSS_FLOOR: f64 = 300_000.0;

/// A burst waits while the path has more than this queued, in seconds.
const QUIET: f64 = 0.03;

/// Between two looks at estimate and layers. Higher: slower reactions; lower: more work per subscriber.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Between two portions of a burst.
pub(crate) const PROBE_INTERVAL: Duration = Duration::from_millis(10);

/// What goes over the path beside the video.
#[derive(Default)]
struct Beside {
    bytes: usize,
    since: f64,
    /// Bit/s over the last [`BESIDE_WINDOW`].
    rate: f64,
}

impl Beside {
    fn measure(&mut self, now: f64) {
        let window = now - self.since;
        if window >= BESIDE_WINDOW {
            self.rate = self.bytes as f64 * 8.0 / window;
            self.bytes = 0;
            self.since = now;
        }
    }
}

/// See the module.
pub(crate) struct Bandwidth {
    origin: Instant,
    history: History,
    delay: Delay,
    probe: Probe,
    estimate: f64,
    /// The client reports on transport-wide numbers, it says.
    reporting: bool,
    /// A bound that the client set (REMB).
    bound: Option<f64>,
    /// A bound by command, whatever the path carries.
    limit: Option<f64>,
    /// Bit/s that arrived in the last full window; 0 before.
    arriving: f64,
    /// Since when the queue is long.
    full_since: Option<f64>,
    /// At which rate the path was full, and when.
    ceiling: Option<(f64, f64)>,
    /// This path was found to be full before, so another limit is likely.
    limited: bool,
    window_bytes: f64,
    window_from: Option<f64>,
    lost: f64,
    reported: f64,
    loss_from: f64,
    decreased: f64,
    increased: f64,
    /// Last feedback, and last halving for want of it.
    heard: Option<f64>,
    /// The first packet since the last feedback.
    unanswered: Option<f64>,
    first_sent: Option<f64>,
    last_sent: Option<f64>,
    newest_reported: f64,
    beside: Beside,
    /// Bytes of repairs that may leave now, and since when they are counted.
    repairs: f64,
    repairs_at: f64,
}

impl Bandwidth {
    pub(crate) fn new(origin: Instant) -> Self {
        Self {
            origin,
            history: History::default(),
            delay: Delay::default(),
            probe: Probe::default(),
            estimate: START,
            reporting: false,
            bound: None,
            limit: None,
            arriving: 0.0,
            full_since: None,
            ceiling: None,
            limited: false,
            window_bytes: 0.0,
            window_from: None,
            lost: 0.0,
            reported: 0.0,
            loss_from: 0.0,
            decreased: f64::NEG_INFINITY,
            increased: 0.0,
            heard: None,
            unanswered: None,
            first_sent: None,
            last_sent: None,
            newest_reported: f64::NEG_INFINITY,
            beside: Beside::default(),
            repairs: START * REPAIRS * REPAIRS_SAVED / 8.0,
            repairs_at: 0.0,
        }
    }

    fn seconds(&self, now: Instant) -> f64 {
        now.saturating_duration_since(self.origin).as_secs_f64()
    }

    /// Bit/s of video that the path is believed to carry; `None` when the client says nothing about it.
    pub(crate) fn estimate(&self, now: Instant) -> Option<f64> {
        let silent = match (self.heard, self.first_sent) {
            _ if !self.reporting => true,
            (Some(_), _) => false,
            (None, Some(first)) => self.seconds(now) - first > MUTE,
            // Nothing was sent yet: an unknown path.
            (None, None) => false,
        };
        let estimate = (!silent).then_some(self.estimate);
        [estimate, self.bound, self.limit].into_iter().flatten().reduce(f64::min)
    }

    /// The client negotiated feedback about transport-wide numbers.
    pub(crate) fn expect_feedback(&mut self) {
        self.reporting = true;
    }

    /// The transport-wide number for the next packet.
    pub(crate) fn next_sequence(&self) -> u16 {
        self.history.next()
    }

    /// The packet with [`Self::next_sequence`] left.
    pub(crate) fn sent(&mut self, now: Instant, bytes: usize) {
        let now = self.seconds(now);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let probe = self.probe.sent(now, bytes);
        self.history.sent(now, bytes, probe);
        self.first_sent.get_or_insert(now);
        self.unanswered.get_or_insert(now);
        self.last_sent = Some(now);
    }

    /// A packet without a number left: sound.
    pub(crate) fn sent_beside(&mut self, bytes: usize) {
        self.beside.bytes = self.beside.bytes.saturating_add(bytes);
    }

    /// Whether there is room for a repair now.
    pub(crate) fn may_repair(&mut self, now: Instant) -> bool {
        let Some(estimate) = self.estimate(now) else { return true };
        let now = self.seconds(now);
        let share = match (self.delay.usage, self.ceiling) {
            (Usage::Full, _) => REPAIRS_FULL,
            (_, Some(_)) => REPAIRS_NEAR,
            (_, None) => REPAIRS,
        };
        let rate = estimate * share / 8.0;
        self.repairs = (self.repairs + rate * (now - self.repairs_at)).min(rate * REPAIRS_SAVED);
        self.repairs_at = now;
        self.repairs > 0.0
    }

    /// A repair of so many bytes left.
    pub(crate) fn repaired(&mut self, bytes: usize) {
        self.repairs -= bytes as f64;
    }

    /// A command.
    pub(crate) fn limit(&mut self, bitrate: Option<u64>) {
        self.limit = bitrate.map(|bitrate| bitrate as f64);
    }

    /// REMB, for clients that send it.
    pub(crate) fn bound(&mut self, bitrate: u64) {
        self.bound = Some((bitrate as f64).clamp(LOWEST, HIGHEST));
    }

    /// Transport-wide feedback. Says what was never sent, or was said before: nothing happens.
    pub(crate) fn feedback(&mut self, now: Instant, feedback: TransportFeedback<'_>) {
        if !self.history.covers(feedback.status_count) {
            return;
        }
        let now = self.seconds(now);
        // After a gap in everything, what was lost in it says nothing about room.
        let dark = self.heard.is_some_and(|heard| now - heard > DARK);
        if dark {
            self.delay = Delay::default();
            self.limited = false;
        }
        let mut any = false;
        for arrival in feedback.arrivals {
            let Some(at) = arrival.at_micros else {
                let left = self.history.lose(arrival.sequence);
                if !dark && left.is_some_and(|left| left > self.decreased + AFTERMATH) {
                    self.lost += 1.0;
                    self.reported += 1.0;
                }
                continue;
            };
            let Some(sent) = self.history.take(arrival.sequence) else { continue };
            any = true;
            if !sent.lost {
                self.reported += 1.0;
            } else if sent.at > self.decreased + AFTERMATH {
                self.lost = (self.lost - 1.0).max(0.0); // it was only late
            }
            let at = at as f64 / 1e6;
            self.newest_reported = self.newest_reported.max(sent.at);
            self.delay.arrived(sent.at, at);
            self.probe.arrived(sent.probe, sent.at, at, sent.bytes);
            self.measure(at, sent.bytes);
        }
        if any {
            self.heard = Some(now);
            self.unanswered = None;
            self.control(now);
        }
    }

    fn measure(&mut self, at: f64, bytes: u32) {
        let from = *self.window_from.get_or_insert(at);
        let span = at - from;
        if !(-1.0..5.0).contains(&span) {
            self.window_from = Some(at);
            self.window_bytes = 0.0;
            return;
        }
        if span >= RATE_WINDOW {
            self.arriving = self.window_bytes * 8.0 / span;
            self.window_from = Some(at);
            self.window_bytes = 0.0;
        }
        self.window_bytes += f64::from(bytes);
    }

    fn control(&mut self, now: f64) {
        let found = self.probe.found(now, self.newest_reported);
        let busy = self.probe.is_sending() || found.is_some();
        match self.delay.usage {
            Usage::Full if now - *self.full_since.get_or_insert(now) > OTHERS => {
                self.delay.accept_queue();
                self.full_since = None;
            }
            Usage::Full => self.overused(now, DRAIN, LOWEST_FULL),
            Usage::Over if !busy => self.overused(now, DECREASE, LOWEST),
            Usage::Over if found.is_none() => {}
            usage => match found {
                Some(Found { rate, share, fits: false }) => {
                    // What goes beside it was held up as much, and will want its whole rate again.
                    let rate = (rate - self.beside.rate * (1.0 - share)).max(LOWEST_FULL);
                    self.meet_ceiling(now, rate);
                    self.estimate = (FOUND * rate).max(self.estimate.min(self.arriving));
                }
                Some(Found { rate, .. }) => {
                    self.ceiling = self.ceiling.filter(|(ceiling, _)| rate < *ceiling);
                    self.estimate = self.estimate.max(rate).min(HIGHEST);
                }
                None if usage == Usage::Normal && self.arriving > 0.7 * self.estimate => self.grow(now),
                None => {}
            },
        }
        self.full_since = self.full_since.filter(|_| self.delay.queue() > QUIET);
        self.increased = now;
        if now - self.loss_from >= LOSS_WINDOW && self.reported >= LOSS_PACKETS {
            let loss = self.lost / self.reported;
            if loss > HEAVY_LOSS {
                // From what was sent, which may be far less than the path is believed to carry.
                let sent = self.arriving / (1.0 - loss).max(0.1);
                let from = if sent > 0.0 { self.estimate.min(sent) } else { self.estimate };
                self.lower(now, (from * (1.0 - loss / 2.0)).max(LOSS_FLOOR));
            }
            (self.lost, self.reported, self.loss_from) = (0.0, 0.0, now);
        }
    }

    fn overused(&mut self, now: f64, share: f64, lowest: f64) {
        // An estimate above what arrives is wrong for certain; one below may just not have shown its effect.
        let due = now - self.decreased > DECREASE_INTERVAL || self.estimate > self.arriving;
        if due && self.arriving > 0.0 {
            self.meet_ceiling(now, self.arriving);
            self.lower(now, (share * self.arriving).max(lowest));
        }
    }

    fn meet_ceiling(&mut self, now: f64, rate: f64) {
        self.ceiling = Some((rate, now));
        self.limited = true;
    }

    fn grow(&mut self, now: f64) {
        let elapsed = (now - self.increased).clamp(0.0, 0.5);
        let bound = self.ceiling.map_or(f64::INFINITY, |(rate, _)| rate * FOUND);
        let grown = self.estimate * (1.0 + INCREASE * elapsed);
        self.estimate = self.estimate.max(grown.min(1.5 * self.arriving).min(bound));
    }

    fn lower(&mut self, now: f64, to: f64) {
        self.estimate = self.estimate.min(to).max(LOWEST_FULL);
        self.decreased = now;
        self.probe.postpone(now);
    }

    /// Regular work: feedback that stays away. `silent`: so does everything else, which says nothing about room.
    pub(crate) fn look(&mut self, now: Instant, last_heard: Instant) {
        let silent = now.saturating_duration_since(last_heard).as_secs_f64() > MISSING / 2.0;
        let now = self.seconds(now);
        let _ = self.probe.found(now, f64::NEG_INFINITY);
        self.beside.measure(now);
        self.ceiling = self.ceiling.filter(|(_, found)| now - found < CEILING_AGE);
        let Some(since) = self.unanswered.filter(|_| self.heard.is_some()) else { return };
        if silent {
            self.unanswered = Some(now);
        } else if now - since > MISSING {
            self.lower(now, (self.estimate / 2.0).max(self.estimate.min(START)));
            self.unanswered = Some(now);
        }
    }

    /// More would be shown if the path carried `step` bit/s, everything if it carried `whole`: find out when it is time.
    /// Where no limit was met yet, large strides: each burst costs padding, and a good path shows the best picture soon.
    pub(crate) fn wish(&mut self, now: Instant, step: f64, whole: f64) {
        // What is found would not be used.
        if self.limit.is_some_and(|limit| self.estimate >= limit) {
            return;
        }
        let now = self.seconds(now);
        let rate = if self.limited { step } else { whole };
        if self.delay.queue() < QUIET || self.last_sent.is_some_and(|sent| now - sent > DARK) {
            let reach = (self.estimate * REACH).max(LEAST_REACH);
            self.probe.ask(now, rate.clamp(LEAST_BURST, reach).max(self.estimate));
        }
    }

    /// Bytes of padding that a burst needs now.
    pub(crate) fn padding(&mut self, now: Instant) -> f64 {
        let now = self.seconds(now);
        self.probe.padding(now)
    }

    pub(crate) fn is_probing(&self) -> bool {
        self.probe.is_sending()
    }
}

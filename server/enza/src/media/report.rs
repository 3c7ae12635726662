//! What a media thread tells about itself once a second: plain numbers of its own, handed out as a value.

use sfu::{Counters, Population};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How often. Higher: figures and a stuck thread are seen later; lower: an idle server wakes up more often.
pub(super) const EVERY: Duration = Duration::from_secs(1);

/// A thread that told nothing for this long is stuck. Higher: that is noticed later; lower: a machine that was
/// suspended for a moment counts as broken.
const LATE: Duration = Duration::from_secs(5);

/// One thread's figures since it began, and what it holds now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    at: Instant,
    pub(crate) counters: Counters,
    pub(crate) population: Population,
    /// Datagrams and lossy messages that could not be handed on.
    pub(crate) dropped: u64,
    /// Time in which it did not wait.
    pub(crate) busy: Duration,
    /// The same as a share of the time since the report before, 0 to 1.
    pub(crate) load: f64,
}

impl Report {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            at: now,
            counters: Counters::default(),
            population: Population::default(),
            dropped: 0,
            busy: Duration::ZERO,
            load: 0.0,
        }
    }
}

/// A thread's end of what it tells.
pub(super) struct Reporter {
    report: Report,
    /// When the next one is due.
    pub(super) due: Instant,
    told: watch::Sender<Report>,
}

impl Reporter {
    pub(super) fn new(now: Instant) -> (Self, watch::Receiver<Report>) {
        let report = Report::new(now);
        let (told, seen) = watch::channel(report);
        (Self { report, due: now + EVERY, told }, seen)
    }

    /// The thread worked for this long.
    pub(super) fn worked(&mut self, busy: Duration) {
        self.report.busy += busy;
    }

    pub(super) fn dropped(&mut self, count: usize) {
        self.report.dropped += count as u64;
    }

    pub(super) fn tell(&mut self, now: Instant, counters: Counters, population: Population) {
        let before = *self.told.borrow();
        let since = now.saturating_duration_since(before.at).as_secs_f64();
        let busy = self.report.busy.saturating_sub(before.busy).as_secs_f64();
        self.report =
            Report { at: now, counters, population, load: (busy / since).clamp(0.0, 1.0), ..self.report };
        self.told.send_replace(self.report);
        self.due = now + EVERY;
    }
}

/// The thread's last report, and whether it still makes them.
pub(super) fn last(seen: &watch::Receiver<Report>, now: Instant) -> (Report, bool) {
    let report = *seen.borrow();
    (report, seen.has_changed().is_ok() && now.saturating_duration_since(report.at) < LATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_tells_nothing_is_stuck_and_one_that_ended_is_gone() {
        let begun = Instant::now();
        let (mut reporter, seen) = Reporter::new(begun);
        assert!(last(&seen, begun).1);
        let second = begun + EVERY;
        reporter.worked(Duration::from_millis(250));
        reporter.dropped(3);
        reporter.tell(second, Counters::default(), Population::default());
        let (report, alive) = last(&seen, second);
        assert!(alive && report.dropped == 3 && (report.load - 0.25).abs() < 0.001, "{report:?}");
        assert!(!last(&seen, second + LATE).1, "stuck");
        drop(reporter);
        assert!(!last(&seen, second).1, "gone");
    }
}

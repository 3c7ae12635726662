//! How long the way to a subscriber and back takes, from what its receiver reports say about the sender reports that it was
//! passed (RFC 3550 §6.4.1). Owns that reckoning; never decides what follows from it.

use crate::rtp::rtcp::ReportBlock;
use std::time::{Duration, Instant};

/// A longer one is a broken clock.
const LONGEST: Duration = Duration::from_secs(10);

/// The sender reports of one stream that went out last; a receiver's report crosses the newest one on its way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    /// The middle of the NTP time, by which a receiver names it, and when it left.
    last: [Option<(u32, Instant)>; 2],
}

impl Clock {
    /// A sender report with this NTP time leaves.
    pub(crate) fn reported(&mut self, now: Instant, ntp: u64) {
        let [newest, _] = self.last;
        self.last = [Some(((ntp >> 16) as u32, now)), newest];
    }

    /// The round trip that a receiver's report about it tells. The NTP time is a publisher's, so only this server's clock
    /// counts; the report may be about an older one, which says nothing.
    pub(crate) fn round_trip(&self, now: Instant, report: &ReportBlock) -> Option<Duration> {
        let mut known = self.last.into_iter().flatten().filter(|_| report.last_sr != 0);
        let (_, sent) = known.find(|(name, _)| *name == report.last_sr)?;
        let held = Duration::from_secs_f64(f64::from(report.delay_since_last_sr) / 65_536.0);
        now.checked_duration_since(sent)?.checked_sub(held).filter(|round_trip| *round_trip < LONGEST)
    }
}

/// A new sample counts for a quarter, so that one late report changes little.
pub(crate) fn smooth(known: Option<Duration>, sample: Duration) -> Duration {
    known.map_or(sample, |known| known.mul_f64(0.75).saturating_add(sample.mul_f64(0.25)))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "virtual time has to start somewhere")]
mod tests {
    use super::*;

    #[test]
    fn the_time_a_receiver_held_the_report_does_not_count() {
        let start = Instant::now();
        let mut clock = Clock::default();
        clock.reported(start, 0x1234_5678_9abc_def0);
        clock.reported(start + Duration::from_millis(550), 0x1234_5679_9abc_def0);
        let mut report = ReportBlock {
            ssrc: 1,
            fraction_lost: 0,
            cumulative_lost: 0,
            highest_sequence: 0,
            jitter: 0,
            last_sr: 0x5678_9abc,
            delay_since_last_sr: 32_768,
        };
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(clock.round_trip(at(620), &report), Some(Duration::from_millis(120)));
        assert_eq!(clock.round_trip(at(400), &report), None, "held longer than it was away");
        report.last_sr = 7;
        assert_eq!(clock.round_trip(at(620), &report), None, "another report");
        let smoothed = smooth(Some(Duration::from_millis(100)), Duration::from_millis(180));
        assert_eq!(smoothed, Duration::from_millis(120));
    }
}

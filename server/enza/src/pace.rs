//! How much goes on at the moment: packets, bytes and processor time per second, as differences of numbers that only grow.
//! One task looks at them now and then; whoever asks gets the newest difference as a value.

use crate::media::{MediaThreads, Report};
use crate::metrics::Process;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

/// How often the numbers are looked at, and how many looks lie between both ends of a difference: ten seconds in all. Higher:
/// smoother and later; lower: one key frame looks like a load.
const EVERY: Duration = Duration::from_secs(5);
const LOOKS: usize = 2;

/// Per second, over the last `seconds`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Pace {
    /// How long it was measured; 0 before the first difference.
    pub(crate) seconds: f64,
    /// Processors that the whole program kept busy: 1.5 is one and a half.
    pub(crate) processors: f64,
    /// Share of time in which the busiest media thread did not wait, 0 to 1.
    pub(crate) busiest: f64,
    pub(crate) packets_in: f64,
    pub(crate) bytes_in: f64,
    pub(crate) packets_out: f64,
    pub(crate) bytes_out: f64,
}

/// Looks until the program stops.
pub(crate) fn watch(media: MediaThreads, mut stopping: watch::Receiver<bool>) -> watch::Receiver<Pace> {
    let (told, seen) = watch::channel(Pace::default());
    tokio::spawn(async move {
        let mut looks = Looks::default();
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = crate::server::raised(&mut stopping) => return,
            }
            let threads = media.reports().map(|(report, _)| Thread::of(&report)).collect();
            let processor = Process::processor_time().unwrap_or_default();
            told.send_replace(looks.take(Look { at: Instant::now(), processor, threads }));
        }
    });
    seen
}

/// The numbers at one moment.
struct Look {
    at: Instant,
    processor: Duration,
    threads: Vec<Thread>,
}

#[derive(Clone, Copy)]
struct Thread {
    busy: Duration,
    packets_in: u64,
    bytes_in: u64,
    packets_out: u64,
    bytes_out: u64,
}

impl Thread {
    fn of(report: &Report) -> Self {
        let counters = &report.counters;
        Self {
            busy: report.busy,
            packets_in: counters.packets_received,
            bytes_in: counters.bytes_received,
            packets_out: counters.packets_forwarded.wrapping_add(counters.packets_repaired),
            bytes_out: counters.bytes_forwarded,
        }
    }
}

#[derive(Default)]
struct Looks(VecDeque<Look>);

impl Looks {
    /// The pace from the oldest look that is kept to this one.
    fn take(&mut self, now: Look) -> Pace {
        let pace = self.0.front().map_or_else(Pace::default, |before| between(before, &now));
        self.0.push_back(now);
        while self.0.len() > LOOKS {
            self.0.pop_front();
        }
        pace
    }
}

fn between(before: &Look, now: &Look) -> Pace {
    let seconds = now.at.saturating_duration_since(before.at).as_secs_f64();
    if seconds <= 0.0 {
        return Pace::default();
    }
    let busy = before.threads.iter().zip(&now.threads);
    let share = |time: Duration| time.as_secs_f64() / seconds;
    let rate = |of: fn(&Thread) -> u64| {
        let sum = |look: &Look| look.threads.iter().map(of).fold(0, u64::wrapping_add);
        sum(now).saturating_sub(sum(before)) as f64 / seconds
    };
    Pace {
        seconds,
        processors: share(now.processor.saturating_sub(before.processor)),
        busiest: busy
            .map(|(before, now)| share(now.busy.saturating_sub(before.busy)).min(1.0))
            .fold(0.0, f64::max),
        packets_in: rate(|thread| thread.packets_in),
        bytes_in: rate(|thread| thread.bytes_in),
        packets_out: rate(|thread| thread.packets_out),
        bytes_out: rate(|thread| thread.bytes_out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(begun: Instant, second: u64, packets: u64) -> Look {
        let thread = |share: u64| Thread {
            busy: Duration::from_millis(second * share),
            packets_in: packets,
            bytes_in: packets * 1000,
            packets_out: packets * 3,
            bytes_out: packets * 3000,
        };
        Look {
            at: begun + Duration::from_secs(second),
            processor: Duration::from_millis(second * 1500),
            threads: vec![thread(250), thread(750)],
        }
    }

    #[test]
    fn a_pace_is_that_of_the_last_ten_seconds_over_all_threads() {
        let (mut looks, begun) = (Looks::default(), Instant::now());
        assert_eq!(looks.take(look(begun, 0, 0)), Pace::default());
        assert_eq!(looks.take(look(begun, 5, 5000)).packets_in, 2000.0);
        looks.take(look(begun, 10, 5000));
        // Since the fifth second nothing came.
        let pace = looks.take(look(begun, 15, 5000));
        assert_eq!((pace.seconds, pace.packets_in, pace.bytes_out), (10.0, 0.0, 0.0));
        assert!((pace.processors - 1.5).abs() < 1e-9 && (pace.busiest - 0.75).abs() < 1e-9, "{pace:?}");
        let pace = looks.take(look(begun, 20, 6000));
        assert_eq!(
            (pace.packets_in, pace.bytes_in, pace.packets_out, pace.bytes_out),
            (200.0, 2e5, 600.0, 6e5)
        );
        assert_eq!(looks.0.len(), LOOKS);
    }
}

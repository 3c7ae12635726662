//! Which packets of one received layer are missing, and when to ask for them again (RFC 4585 §6.2.1). Owns what it
//! learned of the sender's round trip; never knows what a packet holds.

use std::time::{Duration, Instant};

/// A hole is reported only after this: packets that merely overtook each other fill it by themselves. Higher:
/// slower repair; lower: needless retransmissions on Wi-Fi.
const REORDER_TIME: Duration = Duration::from_millis(15);

/// Between two requests for the same packet while no round trip is known.
const FIRST_RETRY_TIME: Duration = Duration::from_millis(70);

/// Bounds of the time between two requests once the round trip is known. A higher lower bound: a second loss on a
/// short path is repaired later; a lower one: asked twice for what is on its way. A higher upper bound: one try less
/// before the packet is given up.
const MIN_RETRY_TIME: Duration = Duration::from_millis(20);
const MAX_RETRY_TIME: Duration = Duration::from_millis(400);

/// A packet is given up this long after its hole was seen: receivers have shown or skipped the picture by then, and
/// a key frame repairs what is left. Higher: bandwidth for pictures nobody waits for any more; lower: paths with
/// long round trips get fewer tries.
const GIVE_UP: Duration = Duration::from_millis(1000);

/// Requests for one packet before it is given up, whatever the time. Higher: more of the way back spent on a sender
/// that cannot answer; lower: fewer chances on a short path that loses much.
const MAX_TRIES: u8 = 10;

/// Most packets missing at a time; beyond it a key frame is cheaper than the repair.
const MAX_MISSING: usize = 128;

struct Missing {
    sequence: u64,
    tries: u8,
    seen: Instant,
    /// When it was asked for first.
    asked: Option<Instant>,
    next: Instant,
}

/// What a gap meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    Repairable,
    /// Too much is missing: ask for a key frame instead.
    TooLarge,
}

/// How a packet came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// In its own stream: sent once, perhaps late.
    Original,
    /// By RTX: the answer to a request.
    Repair,
}

/// Smoothed time from request to answer, and its deviation (RFC 6298 §2).
#[derive(Clone, Copy)]
struct RoundTrip {
    smoothed: Duration,
    deviation: Duration,
}

pub(crate) struct NackList {
    missing: Vec<Missing>,
    round_trip: Option<RoundTrip>,
    /// Least time to the second request, after answers that could belong to two.
    patience: Duration,
}

impl NackList {
    pub(crate) fn new() -> Self {
        Self { missing: Vec::with_capacity(MAX_MISSING), round_trip: None, patience: Duration::ZERO }
    }

    /// Everything between `highest` and `sequence` has not come.
    pub(crate) fn gap(&mut self, now: Instant, highest: u64, sequence: u64) -> Gap {
        let count = sequence.saturating_sub(highest).saturating_sub(1);
        let room = MAX_MISSING.saturating_sub(self.missing.len());
        if usize::try_from(count).map_or(true, |count| count > room) {
            self.missing.clear();
            return Gap::TooLarge;
        }
        let next = now + REORDER_TIME;
        self.missing.extend((highest.wrapping_add(1)..sequence).map(|sequence| Missing {
            sequence,
            tries: 0,
            seen: now,
            asked: None,
            next,
        }));
        Gap::Repairable
    }

    /// A packet came late. Whether it was missing.
    pub(crate) fn fill(&mut self, now: Instant, sequence: u64, way: Way) -> bool {
        let Some(at) = self.missing.iter().position(|missing| missing.sequence == sequence) else {
            return false;
        };
        let missing = self.missing.remove(at);
        if way == Way::Repair
            && let Some(first) = missing.asked
        {
            // Asked twice, an answer could belong to either request, so it says nothing; the next packet waits so long
            // that its answer will be plain (Karn's algorithm, RFC 6298 §3).
            let since_first = now.saturating_duration_since(first);
            if missing.tries == 1 {
                self.learn(since_first);
                self.patience = Duration::ZERO;
            } else {
                self.patience = since_first.saturating_mul(5) / 4;
            }
        }
        true
    }

    fn learn(&mut self, sample: Duration) {
        self.round_trip = Some(match self.round_trip {
            None => RoundTrip { smoothed: sample, deviation: sample / 2 },
            Some(RoundTrip { smoothed, deviation }) => RoundTrip {
                smoothed: smoothed.saturating_mul(7).saturating_add(sample) / 8,
                deviation: deviation.saturating_mul(3).saturating_add(smoothed.abs_diff(sample)) / 4,
            },
        });
    }

    /// From request number `tries` to the next: a round trip that nearly every answer keeps, twice, then doubled, so
    /// that a sender who cannot answer is asked less and less.
    fn retry_time(&self, tries: u8) -> Duration {
        let expected = self.round_trip.map_or(FIRST_RETRY_TIME, |known| {
            known.smoothed.saturating_add(known.deviation.saturating_mul(4)).max(MIN_RETRY_TIME)
        });
        let longer = 1_u32 << tries.saturating_sub(2).min(4);
        expected.max(self.patience).saturating_mul(longer).min(MAX_RETRY_TIME)
    }

    pub(crate) fn clear(&mut self) {
        self.missing.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.missing.is_empty()
    }

    /// Puts the sequence numbers to ask for now into `due`, oldest first, and gives up on hopeless ones.
    pub(crate) fn due(&mut self, now: Instant, due: &mut Vec<u16>) {
        due.clear();
        let mut missing = std::mem::take(&mut self.missing);
        missing.retain_mut(|missing| {
            if now.saturating_duration_since(missing.seen) >= GIVE_UP {
                return false;
            }
            if missing.next > now {
                return true;
            }
            if missing.tries >= MAX_TRIES {
                return false;
            }
            missing.tries = missing.tries.saturating_add(1);
            missing.asked.get_or_insert(now);
            missing.next = now + self.retry_time(missing.tries);
            due.push(missing.sequence as u16); // the wire carries the low 16 bits
            true
        });
        self.missing = missing;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    /// Loses one packet each 2 s, `packets` times, on a path of `round_trip` that answers request number `answered` of each (1 is the
    /// first). Returns the requests of the last packet as milliseconds since its hole.
    fn requests(
        list: &mut NackList,
        now: &mut Instant,
        packets: u64,
        round_trip: Duration,
        answered: usize,
    ) -> Vec<u128> {
        let mut due = Vec::new();
        let mut requests = Vec::new();
        for sequence in (0..packets).map(|packet| packet * 2) {
            requests.clear();
            assert_eq!(list.gap(*now, sequence, sequence + 2), Gap::Repairable);
            let hole = *now;
            let mut answer = None;
            for _ in 0..2000 {
                *now += MILLISECOND;
                if answer == Some(*now) {
                    assert!(list.fill(*now, sequence + 1, Way::Repair));
                }
                list.due(*now, &mut due);
                if !due.is_empty() {
                    requests.push((*now - hole).as_millis());
                    if requests.len() == answered {
                        answer = Some(*now + round_trip);
                    }
                }
            }
            assert!(list.is_empty(), "repaired or given up");
        }
        requests
    }

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time; never read again")]
        Instant::now()
    }

    /// Before, a path of 200 ms was asked three times for what was on its way.
    #[test]
    fn a_long_path_is_asked_once_and_a_short_one_soon_again() {
        for (round_trip, second) in [(200, 200..280), (30, 30..60), (5, 20..30)] {
            let (mut list, mut now) = (NackList::new(), start());
            let once = requests(&mut list, &mut now, 30, round_trip * MILLISECOND, 1);
            assert_eq!(once.len(), 1, "{round_trip} ms: {once:?}");
            let lost = requests(&mut list, &mut now, 1, round_trip * MILLISECOND, 2);
            assert_eq!(lost.len(), 2, "{round_trip} ms: {lost:?}");
            let waited = u32::try_from(lost[1] - lost[0]).unwrap();
            assert!(second.contains(&waited), "{round_trip} ms: asked again after {waited} ms");
        }
    }

    /// Karn's rule alone would never learn of it: each packet is asked for twice before the first answer.
    #[test]
    fn a_path_that_becomes_longer_is_noticed() {
        let (mut list, mut now) = (NackList::new(), start());
        requests(&mut list, &mut now, 30, 20 * MILLISECOND, 1);
        let asked = requests(&mut list, &mut now, 30, 250 * MILLISECOND, 1);
        assert_eq!(asked.len(), 1, "{asked:?}");
    }

    #[test]
    fn an_unanswered_packet_is_given_up_within_a_second() {
        for known in [5, 20, 100, 300] {
            let (mut list, mut now) = (NackList::new(), start());
            requests(&mut list, &mut now, 30, known * MILLISECOND, 1);
            let asked = requests(&mut list, &mut now, 1, MILLISECOND, usize::MAX);
            assert!(asked.len() >= 3 && asked.len() <= usize::from(MAX_TRIES), "{known} ms: {asked:?}");
            assert!(asked.iter().all(|at| *at < GIVE_UP.as_millis()), "{known} ms: {asked:?}");
        }
    }
}

//! Which packets of one received layer are missing, and when to ask for them again (RFC 4585 §6.2.1).

use std::time::{Duration, Instant};

/// A hole is reported only after this: packets that merely overtook each other fill it by themselves. Higher:
/// slower repair; lower: needless retransmissions on Wi-Fi.
const REORDER_TIME: Duration = Duration::from_millis(15);

/// Between two requests for the same packet. About a long round trip: the sender needs that time to answer.
const RETRY_TIME: Duration = Duration::from_millis(70);

/// Requests for one packet before it is given up. Higher: bandwidth for pictures nobody waits for any more.
const MAX_TRIES: u8 = 8;

/// Most packets missing at a time; beyond it a key frame is cheaper than the repair.
const MAX_MISSING: usize = 128;

struct Missing {
    sequence: u64,
    tries: u8,
    next: Instant,
}

/// What a gap meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    Repairable,
    /// Too much is missing: ask for a key frame instead.
    TooLarge,
}

pub(crate) struct NackList {
    missing: Vec<Missing>,
}

impl NackList {
    pub(crate) fn new() -> Self {
        Self { missing: Vec::with_capacity(MAX_MISSING) }
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
            next,
        }));
        Gap::Repairable
    }

    /// A packet came late. Whether it was missing.
    pub(crate) fn fill(&mut self, sequence: u64) -> bool {
        match self.missing.iter().position(|missing| missing.sequence == sequence) {
            Some(at) => {
                self.missing.remove(at);
                true
            }
            None => false,
        }
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
        self.missing.retain_mut(|missing| {
            if missing.next > now {
                return true;
            }
            if missing.tries >= MAX_TRIES {
                return false;
            }
            missing.tries = missing.tries.saturating_add(1);
            missing.next = now + RETRY_TIME;
            due.push(missing.sequence as u16); // the wire carries the low 16 bits
            true
        });
    }
}

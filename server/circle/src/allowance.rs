//! How fast one person may command: a token bucket on the room's clock.

use crate::limits::{COMMANDS_BURST, COMMANDS_PER_SECOND};
use std::time::Instant;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    left: f64,
    at: Instant,
}

impl Allowance {
    pub(crate) const fn new(now: Instant) -> Self {
        Self { left: COMMANDS_BURST, at: now }
    }

    /// Takes one; false when none is left.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.left = (self.left + since * COMMANDS_PER_SECOND).min(COMMANDS_BURST);
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }
}

//! How long pictures that did not fit stay away. Owns that waiting for one subscriber; never knows rates.
//!
//! A path at the edge of a picture's rate would show it, lose it and show it or another again every few seconds, and
//! each try costs the voices on the same path some packets. So each pause that follows soon after a return is longer.

use std::time::{Duration, Instant};

/// The first pause lasts at least this. Higher: a picture is away longer after one bad second; lower: it flickers.
const WAIT: Duration = Duration::from_millis(250);

/// And the most after many. Higher: a path that became better shows nothing for longer; lower: voices are disturbed
/// more often.
const MAX_WAIT: Duration = Duration::from_secs(8);

/// A picture that stayed for this long has settled: the next pause is a short one again.
const SETTLED: Duration = Duration::from_secs(20);

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rest {
    /// No picture is to be tried again before this.
    until: Option<Instant>,
    wait: Duration,
    /// When the last picture came back.
    returned: Option<Instant>,
}

impl Rest {
    pub(crate) const fn new() -> Self {
        Self { until: None, wait: WAIT, returned: None }
    }

    /// A picture that was shown does not fit any more.
    pub(crate) fn paused(&mut self, now: Instant) {
        if self.waits(now) {
            return; // one more for the same reason
        }
        let soon = self.returned.is_some_and(|returned| now.saturating_duration_since(returned) < SETTLED);
        self.wait = if soon { self.wait.saturating_mul(2).min(MAX_WAIT) } else { WAIT };
        self.until = Some(now + self.wait);
    }

    /// A picture came back.
    pub(crate) fn returned(&mut self, now: Instant) {
        self.returned = Some(now);
    }

    /// Too early to try again.
    pub(crate) fn waits(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "virtual time has to start somewhere")]
mod tests {
    use super::*;

    #[test]
    fn pauses_that_follow_soon_after_a_return_get_longer_up_to_the_most() {
        let mut now = Instant::now();
        let mut rest = Rest::new();
        assert!(!rest.waits(now));
        for wait in [250, 500, 1000, 2000, 4000, 8000, 8000] {
            rest.paused(now);
            rest.paused(now + Duration::from_millis(100)); // another picture, for the same reason
            let wait = Duration::from_millis(wait);
            assert!(rest.waits(now + wait - Duration::from_millis(1)));
            assert!(!rest.waits(now + wait));
            now += wait;
            rest.returned(now);
            now += Duration::from_secs(3);
        }
    }

    #[test]
    fn after_a_picture_that_stayed_the_next_pause_is_short_again() {
        let start = Instant::now();
        let mut rest = Rest::new();
        rest.paused(start);
        rest.returned(start + WAIT);
        rest.paused(start + WAIT);
        rest.returned(start + WAIT * 3);
        let later = start + WAIT * 3 + SETTLED;
        rest.paused(later);
        assert!(rest.waits(later) && !rest.waits(later + WAIT));
    }
}

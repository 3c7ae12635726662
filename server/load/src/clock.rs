//! The run's clock: nanoseconds since it began, shared by senders and receivers of one process.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { origin: Instant::now() }
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.at_ns(Instant::now())
    }

    pub(crate) fn at_ns(&self, instant: Instant) -> u64 {
        u64::try_from(instant.saturating_duration_since(self.origin).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Converts the kernel's wall-clock receive times to this clock.
    ///
    /// The offset is taken anew for each batch, so that a stepped or slewed wall clock shifts no later sample.
    pub(crate) fn wall_offset(&self) -> WallOffset {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        WallOffset { wall, own_ns: self.now_ns() }
    }
}

/// The same moment on the wall clock and on the run's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WallOffset {
    wall: Duration,
    own_ns: u64,
}

impl WallOffset {
    /// A wall-clock time not after this moment, on the run's clock; later ones count as now.
    pub(crate) fn own_ns(&self, wall: Duration) -> u64 {
        let ago = u64::try_from(self.wall.saturating_sub(wall).as_nanos()).unwrap_or(u64::MAX);
        self.own_ns.saturating_sub(ago)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_time_in_the_past_is_as_far_in_the_past_on_the_own_clock() {
        let offset = WallOffset { wall: Duration::from_secs(100), own_ns: 5_000_000_000 };
        assert_eq!(offset.own_ns(Duration::from_millis(99_999)), 4_999_000_000);
        assert_eq!(offset.own_ns(Duration::from_secs(101)), 5_000_000_000);
        assert_eq!(offset.own_ns(Duration::ZERO), 0);
    }
}

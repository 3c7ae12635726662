//! How many files and sockets the process may have open: as many as the system lets it ask for, since most systems begin with
//! a number from another century.

#[cfg(target_os = "linux")]
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More are of no use: `places.rs` opens fewer. Higher: tables in the kernel grow for nothing.
const ENOUGH: u64 = 16_384;

/// What is assumed where it cannot be asked.
#[cfg(not(target_os = "linux"))]
const ASSUMED: usize = 256;

/// Raises the limit, and says what it is now.
#[cfg(target_os = "linux")]
pub(crate) fn allowed() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX).min(ENOUGH);
    let mut current = limit.current.unwrap_or(u64::MAX);
    if current < most && setrlimit(Resource::Nofile, Rlimit { current: Some(most), ..limit }).is_ok() {
        current = most;
    }
    usize::try_from(current).unwrap_or(usize::MAX)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn allowed() -> usize {
    ASSUMED
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_as_far_as_the_system_lets_us() {
        let most = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        let allowed = allowed() as u64;
        assert!(allowed >= most.min(ENOUGH), "{allowed} of {most}");
        assert_eq!(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX), allowed);
    }
}

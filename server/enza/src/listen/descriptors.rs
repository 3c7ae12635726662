//! How many files and sockets the process may have open: as many as the system lets it ask for, since most systems begin with
//! a number from another century.

/// More are of no use: `places.rs` opens fewer. Higher: tables in the kernel grow for nothing.
const ENOUGH: u64 = 16_384;

/// What is assumed where it cannot be asked.
#[cfg(not(target_os = "linux"))]
const ASSUMED: usize = 256;

/// Raises the limit, and says what it is now.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the limit is the kernel's")]
pub(crate) fn allowed() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is valid for the call, which writes one `rlimit`.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return usize::MAX;
    }
    if limit.rlim_cur < ENOUGH.min(limit.rlim_max) {
        let wanted = libc::rlimit { rlim_cur: ENOUGH.min(limit.rlim_max), ..limit };
        // SAFETY: the pointer is valid for the call, which reads one `rlimit`.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const wanted) } == 0 {
            limit = wanted;
        }
    }
    usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn allowed() -> usize {
    ASSUMED
}

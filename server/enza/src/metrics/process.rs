//! What the operating system says of this process. Linux only; elsewhere nothing is told.

use std::time::Duration;

/// Processor time is counted in these (`USER_HZ`, the same on every Linux).
const TICK: Duration = Duration::from_millis(10);

/// This process now.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Process {
    pub(crate) processor: Duration,
    /// Bytes.
    pub(crate) resident: u64,
    pub(crate) open_files: u64,
    pub(crate) open_files_max: u64,
    pub(crate) threads: u64,
}

impl Process {
    /// `None` where the kernel does not tell.
    pub(crate) fn now() -> Option<Self> {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).ok();
        let fields = fields()?;
        let resident = number_after(&read("status")?, "VmRSS:")?.saturating_mul(1024);
        Some(Self {
            processor: processor(&fields)?,
            resident,
            open_files: std::fs::read_dir("/proc/self/fd").ok()?.count() as u64,
            open_files_max: number_after(&read("limits")?, "Max open files").unwrap_or(u64::MAX),
            threads: field(&fields, 20)?,
        })
    }

    /// How long all threads ran, alone.
    pub(crate) fn processor_time() -> Option<Duration> {
        processor(&fields()?)
    }
}

/// `/proc/self/stat`, from its third field on.
fn fields() -> Option<Vec<u64>> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name before it, in parentheses, may hold anything.
    let fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some(fields.map(|field| field.parse().unwrap_or(0)).collect())
}

/// By its number in the manual (proc_pid_stat(5)).
fn field(fields: &[u64], number: usize) -> Option<u64> {
    fields.get(number.checked_sub(3)?).copied()
}

fn processor(fields: &[u64]) -> Option<Duration> {
    let count = field(fields, 14)?.saturating_add(field(fields, 15)?);
    Some(TICK.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX)))
}

/// The first number after `label`.
pub(crate) fn number_after(text: &str, label: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(label))?.split_whitespace().next()?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_of_this_process() {
        let before = Process::now().unwrap();
        let file = tempfile::tempfile().unwrap();
        let now = Process::now().unwrap();
        assert!(now.open_files > 3 && now.open_files_max >= now.open_files, "{now:?}");
        assert!(now.resident > 1 << 20 && now.threads > 0 && now.processor >= before.processor, "{now:?}");
        drop(file);
    }
}

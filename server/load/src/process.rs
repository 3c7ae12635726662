//! What Linux says about a process: processor time, memory, and datagrams dropped at its sockets.

use std::collections::HashSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// `USER_HZ`, the unit of `/proc/PID/stat` times on every Linux.
const TICKS_PER_SECOND: u64 = 100;

/// Processor time of all threads of a process since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CpuTime {
    pub user: Duration,
    pub system: Duration,
}

impl CpuTime {
    pub(crate) fn read(pid: u32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
            .with_context(|| format!("no process with pid {pid} to measure"))?;
        Self::parse(&stat).context("unreadable /proc/PID/stat")
    }

    /// Fields 14 and 15; the second field may itself hold spaces and parentheses (proc(5)).
    fn parse(stat: &str) -> Option<Self> {
        let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
        let mut ticks = || {
            fields
                .next()?
                .parse()
                .ok()
                .map(|ticks: u64| Duration::from_millis(ticks.saturating_mul(1_000 / TICKS_PER_SECOND)))
        };
        Some(Self { user: ticks()?, system: ticks()? })
    }

    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }

    pub(crate) fn total(self) -> Duration {
        self.user + self.system
    }
}

/// Resident memory of a process in kilobytes.
pub(crate) fn resident_kb(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("no process with pid {pid} to measure"))?;
    parse_resident_kb(&status).context("no VmRSS in /proc/PID/status")
}

fn parse_resident_kb(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// Datagrams the kernel dropped because a socket's receive buffer was full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SocketDrops {
    pub generator: u64,
    pub server: u64,
}

impl SocketDrops {
    /// Counts sockets of `own_ports` and of `server_port` in this network namespace.
    pub(crate) fn read(own_ports: &HashSet<u16>, server_ports: &HashSet<u16>) -> Self {
        let mut drops = Self::default();
        for path in ["/proc/net/udp", "/proc/net/udp6"] {
            let table = fs::read_to_string(path).unwrap_or_default();
            for (port, dropped) in table.lines().filter_map(parse_drops) {
                if own_ports.contains(&port) {
                    drops.generator += dropped;
                } else if server_ports.contains(&port) {
                    drops.server += dropped;
                }
            }
        }
        drops
    }

    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            generator: self.generator.saturating_sub(earlier.generator),
            server: self.server.saturating_sub(earlier.server),
        }
    }
}

/// Local port and drops of one line of `/proc/net/udp`.
fn parse_drops(line: &str) -> Option<(u16, u64)> {
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    let port = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
    Some((port, fields.next_back()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_past_a_name_with_spaces_and_parentheses() {
        let stat = "42 (a) b) S 1 42 42 0 -1 4194560 1 2 3 4 150 250 0 0 20 0 3 0 100 1000 200";
        let time = CpuTime::parse(stat).unwrap();
        assert_eq!((time.user, time.system), (Duration::from_millis(1_500), Duration::from_millis(2_500)));
        let earlier = CpuTime { user: Duration::from_secs(1), system: Duration::from_secs(1) };
        assert_eq!(time.since(earlier).total(), Duration::from_secs(2));
    }

    #[test]
    fn memory_and_drops_are_found_in_the_kernels_tables() {
        assert_eq!(parse_resident_kb("Name:\tx\nVmRSS:\t   12345 kB\n"), Some(12_345));
        let line = "  117: 0100007F:1EC8 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 52 2 0 17";
        assert_eq!(parse_drops(line), Some((7_880, 17)));
        assert_eq!(parse_drops("  sl  local_address rem_address   st tx_queue"), None);
    }

    #[test]
    fn this_process_can_be_measured() {
        let pid = std::process::id();
        assert!(resident_kb(pid).unwrap() > 100);
        CpuTime::read(pid).unwrap();
        assert!(CpuTime::read(u32::MAX).unwrap_err().to_string().contains("no process"));
    }
}

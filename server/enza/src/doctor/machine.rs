//! What the machine itself has: its clock, room on its disk, memory, what its kernel allows.

use super::Found;
use crate::media;
use crate::metrics::number_after;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const MIB: u64 = 1 << 20;
/// Below: texts that are kept, a backup beside the database and the journal may not find room.
pub(super) const DISK_LOW: u64 = 200 * MIB;
/// A server with some rooms has about 60 MiB, and the system wants some, too.
pub(super) const MEMORY_LOW: u64 = 128 * MIB;
/// Connections at once (4,096), with the files beside them.
const FILES_FEW: u64 = 4500;
/// No clock that is kept shows a moment before this program was made: 2026-01-01.
const MADE: Duration = Duration::from_secs(1_767_225_600);

pub(super) fn look(data: &Path) -> Vec<Found> {
    let mut found = vec![clock()];
    found.extend(disk(data));
    found.extend(memory());
    found.extend(files());
    found.push(if media::kernel_has_gso() { Found::Gso } else { Found::NoGso });
    found.extend(buffers());
    found
}

/// By what systemd's own service leaves behind, else by what any service told the kernel.
fn clock() -> Found {
    if SystemTime::now().duration_since(UNIX_EPOCH).is_ok_and(|now| now < MADE) {
        return Found::ClockWrong;
    }
    let kept = Path::new("/run/systemd/timesync/synchronized").exists() || {
        let asked =
            Command::new("timedatectl").args(["show", "--property=NTPSynchronized", "--value"]).output();
        asked.is_ok_and(|output| output.stdout.starts_with(b"yes"))
    };
    if kept { Found::ClockKept } else { Found::ClockUnsure }
}

fn disk(data: &Path) -> Option<Found> {
    let (free, _) = room_on_disk(data)?;
    Some(if free < DISK_LOW { Found::DiskLow { free } } else { Found::Disk { free } })
}

/// Bytes that are free where this folder is or will be, and bytes in all.
#[cfg(unix)]
pub(super) fn room_on_disk(data: &Path) -> Option<(u64, u64)> {
    let there = data.ancestors().find(|folder| folder.exists() && !folder.as_os_str().is_empty());
    let room = rustix::fs::statvfs(there.unwrap_or(Path::new("."))).ok()?;
    Some((room.f_bavail.saturating_mul(room.f_frsize), room.f_blocks.saturating_mul(room.f_frsize)))
}

#[cfg(not(unix))]
pub(super) fn room_on_disk(_: &Path) -> Option<(u64, u64)> {
    None
}

fn memory() -> Option<Found> {
    let free = memory_free()?;
    Some(if free < MEMORY_LOW { Found::MemoryLow { free } } else { Found::Memory { free } })
}

/// What is free on the machine, or below the limit of the container.
pub(super) fn memory_free() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let free = number_after(&text, "MemAvailable:")?.saturating_mul(1024);
    let number = |name: &str| {
        let text = std::fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok()?;
        text.trim().parse::<u64>().ok()
    };
    let within =
        number("memory.max").zip(number("memory.current")).map(|(most, used)| most.saturating_sub(used));
    Some(within.map_or(free, |within| within.min(free)))
}

fn files() -> Option<Found> {
    let text = std::fs::read_to_string("/proc/self/limits").ok()?;
    let most = number_after(&text, "Max open files").unwrap_or(u64::MAX);
    Some(if most < FILES_FEW { Found::FilesFew { most } } else { Found::Files })
}

/// What a socket may ask for; the smaller of both directions.
fn buffers() -> Option<Found> {
    let number = |name: &str| {
        let text = std::fs::read_to_string(format!("/proc/sys/net/core/{name}")).ok()?;
        text.trim().parse::<u64>().ok()
    };
    let bytes = number("rmem_max")?.min(number("wmem_max")?);
    let wanted = media::KERNEL_BUFFER as u64;
    Some(if bytes < wanted { Found::BuffersSmall { bytes } } else { Found::Buffers })
}

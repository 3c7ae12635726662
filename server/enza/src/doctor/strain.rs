//! What a running server finds of itself, for the operator's page: the doctor's words for what changes while it runs.
//! Numbers in, findings out. What stays as it is on this machine is the doctor's own to say.

use super::machine::{DISK_LOW, MEMORY_LOW, memory_free, room_on_disk};
use super::{Found, Verdict, network};
use std::path::Path;
use std::time::SystemTime;

/// Connections of ten people: each has three or four, and a descriptor for each of them.
const TEN_MORE: u64 = 40;

/// From so busy a media thread on it is told. Ten more in a circle of ten make four times the packets of the ten. Higher:
/// sound falters before anybody was warned; lower: a warning that is always there is not read.
const BUSY: f64 = 0.6;

/// How a running server is.
#[derive(Clone, Debug)]
pub(crate) struct Strain {
    pub(crate) port: u16,
    /// Why nobody can come in.
    pub(crate) not_ready: Option<String>,
    pub(crate) certificate: Option<Shown>,
    pub(crate) files: Option<Used>,
    pub(crate) connections: Used,
    /// The busiest media thread, 0 to 1.
    pub(crate) busy: f64,
    pub(crate) room: Room,
}

/// Of the certificate, where there should be one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shown {
    Nothing,
    Until(SystemTime),
}

/// So many of so many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    pub(crate) now: u64,
    pub(crate) most: u64,
}

impl Used {
    /// Less is left than ten people need, or than a tenth.
    const fn is_short(self) -> bool {
        let left = self.most.saturating_sub(self.now);
        left < TEN_MORE || left < self.most / 10
    }
}

/// What the machine has left, in bytes. `None` where it does not say.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Room {
    pub(crate) disk_free: Option<u64>,
    pub(crate) disk: Option<u64>,
    pub(crate) memory_free: Option<u64>,
}

impl Room {
    /// Asks the system; may block.
    pub(crate) fn of(data: &Path) -> Self {
        let (disk_free, disk) = room_on_disk(data).unzip();
        Self { disk_free, disk, memory_free: memory_free() }
    }
}

impl Strain {
    /// What is not well, the worst first.
    pub(crate) fn findings(&self) -> Vec<Found> {
        let Self { port, not_ready, certificate, files, connections, busy, room } = self;
        let mut found = Vec::new();
        found.extend(not_ready.as_ref().map(|said| Found::NotReady { port: *port, said: said.clone() }));
        found.extend(certificate.map(|shown| match shown {
            Shown::Nothing => Found::CertificateNone,
            Shown::Until(until) => network::ending(until),
        }));
        found.extend(room.disk_free.filter(|free| *free < DISK_LOW).map(|free| Found::DiskLow { free }));
        found
            .extend(room.memory_free.filter(|free| *free < MEMORY_LOW).map(|free| Found::MemoryLow { free }));
        let files = files.filter(|files| files.is_short());
        found.extend(files.map(|Used { now, most }| Found::FilesUsed { open: now, most }));
        if connections.is_short() {
            found.push(Found::ConnectionsUsed { now: connections.now, most: connections.most });
        }
        if *busy >= BUSY {
            found.push(Found::MediaBusy { percent: (busy * 100.0).round() as u64 });
        }
        found.retain(|one| one.verdict() != Verdict::Ok);
        found.sort_by_key(|one| std::cmp::Reverse(one.verdict()));
        found
    }
}

/// Whether ten more people can come, by what was found: what only has to be done in some days does not stand in their way.
pub(crate) fn has_room_for_ten(found: &[Found]) -> bool {
    !found.iter().any(|one| {
        matches!(
            one,
            Found::NotReady { .. }
                | Found::CertificateNone
                | Found::CertificateOver
                | Found::MemoryLow { .. }
                | Found::FilesUsed { .. }
                | Found::ConnectionsUsed { .. }
                | Found::MediaBusy { .. }
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const DAY: Duration = Duration::from_secs(86_400);

    fn well() -> Strain {
        Strain {
            port: 443,
            not_ready: None,
            certificate: Some(Shown::Until(SystemTime::now() + 60 * DAY)),
            files: Some(Used { now: 60, most: 16_384 }),
            connections: Used { now: 30, most: 4096 },
            busy: 0.1,
            room: Room { disk_free: Some(9 << 30), disk: Some(20 << 30), memory_free: Some(1 << 30) },
        }
    }

    #[test]
    fn a_server_that_is_well_finds_nothing_and_has_room() {
        let found = well().findings();
        assert!(found.is_empty() && has_room_for_ten(&found), "{found:?}");
    }

    #[test]
    fn what_keeps_ten_more_people_out_is_told_apart_from_what_can_wait() {
        let soon = Strain { certificate: Some(Shown::Until(SystemTime::now() + 5 * DAY)), ..well() };
        let full = Strain { room: Room { disk_free: Some(1 << 20), ..well().room }, ..well() };
        for strain in [soon, full] {
            let found = strain.findings();
            assert!(found.len() == 1 && has_room_for_ten(&found), "{found:?}");
        }
        let keeping_out = [
            Strain { not_ready: Some("stopping".to_owned()), ..well() },
            Strain { certificate: Some(Shown::Nothing), ..well() },
            Strain { certificate: Some(Shown::Until(SystemTime::now() - DAY)), ..well() },
            Strain { files: Some(Used { now: 970, most: 1024 }), ..well() },
            Strain { connections: Used { now: 4000, most: 4096 }, ..well() },
            Strain { connections: Used { now: 1, most: 40 }, ..well() },
            Strain { busy: 0.61, ..well() },
            Strain { room: Room { memory_free: Some(50 << 20), ..well().room }, ..well() },
        ];
        for strain in keeping_out {
            let found = strain.findings();
            assert!(found.len() == 1 && !has_room_for_ten(&found), "{strain:?}: {found:?}");
        }
    }

    #[test]
    fn the_worst_is_said_first() {
        let strain = Strain {
            connections: Used { now: 4090, most: 4096 },
            room: Room { disk_free: Some(0), ..well().room },
            ..well()
        };
        let checks: Vec<_> = strain.findings().iter().map(|one| one.check().to_string()).collect();
        assert_eq!(checks, ["disk", "connections"]);
    }
}

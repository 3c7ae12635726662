//! What happens beside the packets, counted: the one state that several tasks share, as numbers that only grow or
//! go up and down. No room, person or address is in them. The media threads' own numbers come as values
//! (`media/report.rs`); `exposition.rs` writes everything down.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

mod exposition;
mod process;

pub(crate) use exposition::{Facts, MEDIA_TYPE, text};
pub(crate) use process::{Process, number_after};

/// What kind of address a request was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Page,
    Join,
    Api,
    Circle,
    Media,
    ServerApi,
    Operation,
}

impl Route {
    pub(crate) const ALL: [Self; 7] =
        [Self::Page, Self::Join, Self::Api, Self::Circle, Self::Media, Self::ServerApi, Self::Operation];

    pub(crate) fn of(path: &str) -> Self {
        let path = path.trim_start_matches('/');
        match path.split_once('/').unwrap_or((path, "")) {
            ("api", "join" | "invite") => Self::Join,
            ("api", rest) if rest.ends_with("/circle") => Self::Circle,
            ("api", _) => Self::Api,
            ("rtc", _) => Self::Media,
            ("twirp", _) => Self::ServerApi,
            ("healthz" | "readyz" | "metrics", "") => Self::Operation,
            ("doctor", rest) if !rest.is_empty() => Self::Operation,
            _ => Self::Page,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Join => "join",
            Self::Api => "api",
            Self::Circle => "circle",
            Self::Media => "media",
            Self::ServerApi => "server-api",
            Self::Operation => "operation",
        }
    }
}

/// A queue whose overflow somebody felt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queue {
    /// Messages to a LiveKit client that does not read.
    Session,
    /// The same for the circle.
    Circle,
    /// Media events of a room that is stuck.
    Room,
    /// Events for a webhook's receiver that is away.
    Webhook,
}

impl Queue {
    pub(crate) const ALL: [Self; 4] = [Self::Session, Self::Circle, Self::Room, Self::Webhook];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Circle => "circle",
            Self::Room => "room",
            Self::Webhook => "webhook",
        }
    }
}

/// How a media session began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beginning {
    New,
    Resumed,
}

impl Beginning {
    pub(crate) const ALL: [Self; 2] = [Self::New, Self::Resumed];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Resumed => "resumed",
        }
    }
}

/// Why the port let a connection go again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turned {
    /// Its household, or the machine, has too many.
    TooMany,
    /// It had shown nothing yet, and somebody newer needed the place.
    GaveWay,
    /// It did not show in time what it is.
    Late,
}

impl Turned {
    pub(crate) const ALL: [Self; 3] = [Self::TooMany, Self::GaveWay, Self::Late];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::TooMany => "too-many",
            Self::GaveWay => "gave-way",
            Self::Late => "late",
        }
    }
}

/// Why somebody was not let in: the API's codes, then what the sockets refuse. What is not in the list counts as the last.
pub(crate) const REASONS: [&str; 16] = [
    "invite-unknown",
    "invite-revoked",
    "invite-expired",
    "invite-early",
    "invite-used-up",
    "passphrase-needed",
    "passphrase-wrong",
    "banned",
    "name-missing",
    "name-too-long",
    "too-many-attempts",
    "unavailable",
    "token",
    "server-full",
    "room",
    "other",
];

/// 1xx to 5xx.
pub(crate) const STATUS_CLASSES: usize = 5;

#[derive(Default)]
struct Counts {
    requests: [[AtomicU64; STATUS_CLASSES]; Route::ALL.len()],
    refused: [AtomicU64; REASONS.len()],
    overflows: [AtomicU64; Queue::ALL.len()],
    sessions: [AtomicU64; Beginning::ALL.len()],
    turned: [AtomicU64; Turned::ALL.len()],
    joined: AtomicU64,
    /// These go down again.
    participants: AtomicU64,
    rooms: AtomicU64,
}

/// The counts, as a handle. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Metrics(Arc<Counts>);

impl Metrics {
    pub(crate) fn request(&self, route: Route, status: u16) {
        let class = usize::from(status / 100).saturating_sub(1);
        if let Some(count) = self.0.requests[route as usize].get(class) {
            count.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn refused(&self, reason: &str) {
        let other = REASONS.len() - 1;
        let place = REASONS.iter().position(|known| *known == reason).unwrap_or(other);
        self.0.refused[place].fetch_add(1, Relaxed);
    }

    pub(crate) fn overflowed(&self, queue: Queue) {
        self.0.overflows[queue as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn session(&self, beginning: Beginning) {
        self.0.sessions[beginning as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn turned_away(&self, why: Turned) {
        self.0.turned[why as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn requests(&self, route: Route, class: usize) -> u64 {
        self.0.requests[route as usize].get(class).map_or(0, |count| count.load(Relaxed))
    }

    pub(crate) fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        REASONS.into_iter().zip(&self.0.refused).map(|(reason, count)| (reason, count.load(Relaxed)))
    }

    pub(crate) fn overflows(&self, queue: Queue) -> u64 {
        self.0.overflows[queue as usize].load(Relaxed)
    }

    pub(crate) fn sessions(&self, beginning: Beginning) -> u64 {
        self.0.sessions[beginning as usize].load(Relaxed)
    }

    pub(crate) fn turned(&self, why: Turned) -> u64 {
        self.0.turned[why as usize].load(Relaxed)
    }

    pub(crate) fn joined(&self) -> u64 {
        self.0.joined.load(Relaxed)
    }

    pub(crate) fn participants(&self) -> u64 {
        self.0.participants.load(Relaxed)
    }

    pub(crate) fn rooms(&self) -> u64 {
        self.0.rooms.load(Relaxed)
    }
}

/// One live room's part of the counts; gone with it, however its task ends.
pub(crate) struct Presence {
    metrics: Metrics,
    people: u64,
}

impl Presence {
    pub(crate) fn of_a_room(metrics: Metrics) -> Self {
        metrics.0.rooms.fetch_add(1, Relaxed);
        Self { metrics, people: 0 }
    }

    /// So many people are inside now.
    pub(crate) fn set(&mut self, people: usize) {
        let people = people as u64;
        let counts = &self.metrics.0;
        if people > self.people {
            counts.joined.fetch_add(people - self.people, Relaxed);
            counts.participants.fetch_add(people - self.people, Relaxed);
        } else {
            counts.participants.fetch_sub(self.people - people, Relaxed);
        }
        self.people = people;
    }

    pub(crate) const fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.metrics.0.rooms.fetch_sub(1, Relaxed);
        self.metrics.0.participants.fetch_sub(self.people, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_takes_its_part_with_it() {
        let metrics = Metrics::default();
        let mut one = Presence::of_a_room(metrics.clone());
        let mut other = Presence::of_a_room(metrics.clone());
        one.set(3);
        other.set(2);
        one.set(1);
        assert_eq!((metrics.rooms(), metrics.participants(), metrics.joined()), (2, 3, 5));
        drop(one);
        assert_eq!((metrics.rooms(), metrics.participants(), metrics.joined()), (1, 2, 5));
        drop(other);
        assert_eq!((metrics.rooms(), metrics.participants()), (0, 0));
    }

    #[test]
    fn labels_are_bounded_whatever_is_asked_for() {
        let metrics = Metrics::default();
        for path in ["/", "/join", "/api/join", "/api/rooms/secret/circle", "//rtc/v1", "/x/../y", "/metrics"]
        {
            metrics.request(Route::of(path), 200);
        }
        metrics.request(Route::Page, 999);
        metrics.refused("a name");
        assert_eq!(Route::of("/api/rooms/secret/circle"), Route::Circle);
        assert_eq!(Route::of("//rtc/v1"), Route::Media);
        assert_eq!(metrics.requests(Route::Page, 1), 3);
        assert_eq!(metrics.refusals().last(), Some(("other", 1)));
    }
}

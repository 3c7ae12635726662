//! The running circle on disk, so that people sit where they sat when the process restarts: written at most once
//! a second when it changed, and now and then when it did not, taken up by the next process within a minute, forgotten when the meeting ends.

use super::RoomTask;
use super::keep::Keep;
use crate::rooms::{now, unix_millis};
use circle::Snapshot;
use signal::Now;
use std::time::{Duration, Instant};
use store::Store;

/// Least time between two writes. Higher: a crash forgets more; lower: a lively meeting keeps a slow card busy.
const EVERY: Duration = Duration::from_secs(1);

/// What has not changed is written again after this long, so that it is still [`FRESH`] when the process ends. Higher: a
/// restart has less time; lower: a quiet circle keeps the disk awake.
const AFRESH: Duration = Duration::from_secs(20);

/// How old a state may be that is taken up. Higher: yesterday's seats; lower: a slow restart forgets the meeting.
pub(crate) const FRESH: Duration = Duration::from_secs(60);

/// What is known of the disk.
pub(super) struct Live {
    written: Snapshot,
    written_at: Option<Instant>,
    /// The circle's revision when its state was last looked at.
    seen: u64,
    /// When it is looked at next; `None` while there is nothing to write.
    pub(super) due: Option<Instant>,
}

impl Live {
    /// `taken_up`: what is on disk already.
    pub(super) fn new(taken_up: Snapshot, revision: u64) -> Self {
        Self { written: taken_up, written_at: None, seen: revision, due: None }
    }
}

/// What an earlier process left of this room less than [`FRESH`] ago.
pub(super) async fn left_over(store: &Store, room: &str) -> Snapshot {
    let fresh = i64::try_from(FRESH.as_millis()).unwrap_or(i64::MAX);
    match store.live(room, unix_millis(now()).saturating_sub(fresh)).await {
        Ok(kept) => kept.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default(),
        Err(error) => {
            tracing::error!(%error, "what a room was before the restart cannot be read");
            Snapshot::default()
        }
    }
}

impl RoomTask {
    /// After every turn: notes that the circle changed.
    pub(super) fn watch_circle(&mut self, now: Now) {
        if self.live.seen != self.circle.revision() {
            let soonest = self.live.written_at.map_or(now.instant, |at| at + EVERY).max(now.instant);
            self.live.due = Some(self.live.due.map_or(soonest, |due| due.min(soonest)));
        }
    }

    /// Writes the circle down if it is time.
    pub(super) fn write_circle(&mut self, now: Now) {
        if self.live.due.is_some_and(|due| due <= now.instant) {
            self.write_circle_now(now);
        }
    }

    pub(super) fn write_circle_now(&mut self, now: Now) {
        self.live.seen = self.circle.revision();
        let snapshot = self.circle.snapshot();
        let nothing = snapshot == Snapshot::default();
        let afresh = self.live.written_at.map_or(now.instant, |at| at + AFRESH);
        if snapshot == self.live.written && (nothing || now.instant < afresh) {
            self.live.due = (!nothing).then_some(afresh);
            return;
        }
        match serde_json::to_string(&snapshot) {
            Ok(json) => self.keeper.keep(Keep::Live { json }),
            Err(error) => tracing::error!(%error, "a circle cannot be written as JSON"),
        }
        self.live.written = snapshot;
        self.live.written_at = Some(now.instant);
        self.live.due = (!nothing).then(|| now.instant + AFRESH);
    }
}

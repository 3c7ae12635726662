//! What must be on disk before somebody is told that it is done: the room's settings, bans, texts where they are kept
//! for days; and, for which nobody waits, counts of accepted agreements and records of what hosts did. One task
//! writes, in order; the room goes on meanwhile and answers when it hears that the write is done.

use super::RoomTask;
use crate::origin::Origin;
use crate::retention::leave_no_trace;
use crate::rooms::{now, unix_millis};
use circle::{Answer, Identity, KeptText, Message, Record, Settings};
use signal::Now;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{Store, StoreError, Trace};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use tokio::time::timeout;

/// Changes that wait for the disk. Full: further ones are refused. Higher: more to lose to a stuck disk; lower: a
/// host who changes many things on a slow card is refused.
const QUEUE: usize = 256;

/// Things to forget that wait, beyond [`QUEUE`] or for a second try. More become one: forget everything that the room
/// wrote. Higher: memory for a stuck disk; lower: a stuck disk costs a room its texts sooner.
const UNFORGOTTEN_MAX: usize = 512;

/// What could not be forgotten is tried again after this long, then after twice as long, and so on up to
/// [`AGAIN_LATEST`]. Higher: it stays for longer; lower: a disk that fails is kept busy.
const AGAIN: Duration = Duration::from_millis(250);
const AGAIN_LATEST: Duration = Duration::from_secs(30);

/// How long a room that is over goes on trying. Higher: a server with a broken disk stops late; lower: a slow card
/// keeps what was to go.
const LAST_TRIES: Duration = Duration::from_secs(3);

/// One thing to write.
pub(super) enum Keep {
    Settings(Settings),
    Ban {
        identity: Identity,
        origin: Option<Origin>,
    },
    Accepted {
        version: u32,
    },
    Text(KeptText),
    Forget(Forget),
    Record(Record),
    /// The running circle, for the next process.
    Live {
        json: String,
    },
    /// There is no running circle any more.
    Over,
}

/// What must happen in the end, and may happen twice.
#[derive(Clone, Copy)]
pub(super) enum Forget {
    Text {
        number: u64,
    },
    /// All that the room wrote.
    Texts,
    /// Texts end after this long at the latest.
    Shorten {
        millis: u64,
    },
}

/// Things to forget, in order.
#[derive(Default)]
struct Unforgotten(Vec<Forget>);

impl Unforgotten {
    fn push(&mut self, what: Forget) {
        if matches!(what, Forget::Texts) || self.0.len() >= UNFORGOTTEN_MAX {
            self.0.clear();
            self.0.push(Forget::Texts);
        } else {
            self.0.push(what);
        }
    }

    /// Tries in order; what the disk does not take stays.
    async fn again(&mut self, store: &Store, room: &str) {
        let mut done = 0;
        for what in &self.0 {
            match forget(store, room, *what).await {
                Ok(()) => done += 1,
                Err(error) => {
                    tracing::error!(%error, "a room's texts cannot be forgotten: it is tried again");
                    break;
                }
            }
        }
        self.0.drain(..done);
        if done > 0 {
            leave_no_trace(store).await;
        }
    }
}

/// It could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotKept;

/// What is said once a change is on disk.
enum Waiting {
    /// The answer to a command on this circle socket.
    Answer { connection: circle::ConnectionId, message: Arc<Message> },
    /// To whoever asked over HTTP.
    Reply(oneshot::Sender<Result<(), NotKept>>),
}

/// How far the writing came.
#[derive(Clone, Copy, Default)]
struct Done {
    up_to: u64,
    /// The newest change that failed. An earlier one that is still waited for counts as failed too: saying so of a
    /// change that was kept costs one more try, the contrary would be a lie.
    failed: u64,
}

/// The room's end of the writing task.
pub(super) struct Keeper {
    /// Has room for [`UNFORGOTTEN_MAX`] more than is ever filled with what need not be forgotten: that is never refused.
    changes: mpsc::Sender<(u64, Keep)>,
    done: watch::Receiver<Done>,
    ordered: u64,
    /// The newest change that somebody may wait for.
    awaited: u64,
    /// The newest change could not even be queued.
    overflowed: u64,
    waiting: VecDeque<(u64, Waiting)>,
}

impl Keeper {
    /// The task ends when this is dropped and everything is written; it holds the pen until then.
    pub(super) fn start(store: Store, room: String, pen: Pen) -> (Self, tokio::task::JoinHandle<()>) {
        let (changes, inbox) = mpsc::channel(QUEUE + UNFORGOTTEN_MAX);
        let (said, done) = watch::channel(Done::default());
        let writer = Writer { store, room, unforgotten: Unforgotten::default() };
        let task = tokio::spawn(async move {
            writer.run(inbox, said).await;
            drop(pen);
        });
        let waiting = VecDeque::new();
        (Self { changes, done, ordered: 0, awaited: 0, overflowed: 0, waiting }, task)
    }

    /// The number of the newest change that somebody may wait for.
    pub(super) const fn newest(&self) -> u64 {
        self.awaited
    }

    pub(super) fn keep(&mut self, what: Keep) {
        self.note(what);
        self.awaited = self.ordered;
    }

    /// Keeps what nobody waits for.
    pub(super) fn note(&mut self, what: Keep) {
        let what = match (what, self.changes.capacity()) {
            // The last place was taken by forgetting everything, which this is part of: no text came after it.
            (Keep::Forget(_), 0) => return,
            (Keep::Forget(_), 1) => Keep::Forget(Forget::Texts),
            (what @ Keep::Forget(_), _) => what,
            (_, ..=UNFORGOTTEN_MAX) => {
                self.ordered += 1;
                tracing::error!("a room's changes wait for the disk: one more is not kept");
                self.overflowed = self.ordered;
                return;
            }
            (what, _) => what,
        };
        self.ordered += 1;
        if self.changes.try_send((self.ordered, what)).is_err() {
            // The writer ended early, which only a panic of its own does.
            self.overflowed = self.ordered;
        }
    }

    /// Says `message` on this socket when everything up to now is on disk.
    pub(super) fn answer_later(&mut self, connection: circle::ConnectionId, message: Arc<Message>) {
        self.waiting.push_back((self.ordered, Waiting::Answer { connection, message }));
    }

    pub(super) fn reply_later(&mut self, reply: oneshot::Sender<Result<(), NotKept>>) {
        self.waiting.push_back((self.ordered, Waiting::Reply(reply)));
    }

    /// Waits until more is written; for ever when nothing is waited for.
    pub(super) async fn progress(&mut self) {
        if self.waiting.is_empty() || self.done.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl RoomTask {
    /// More is written: says what waited for it.
    pub(super) fn tell_kept(&mut self, now: Now) {
        let Done { up_to, failed } = *self.keeper.done.borrow_and_update();
        while let Some((change, _)) = self.keeper.waiting.front() {
            let failed = failed.max(self.keeper.overflowed);
            if *change > up_to && *change > failed {
                return;
            }
            let kept = *change > failed;
            match self.keeper.waiting.pop_front() {
                Some((_, Waiting::Answer { connection, message })) if kept => {
                    self.tell_circle(now, &[connection], &message);
                }
                Some((_, Waiting::Answer { connection, message })) => {
                    if let Message::Answer(Answer::Ok { id, .. }) = *message {
                        self.tell_circle(now, &[connection], &Message::not_kept(id));
                    }
                }
                // Whoever asked may be gone.
                Some((_, Waiting::Reply(reply))) => {
                    let _ = reply.send(if kept { Ok(()) } else { Err(NotKept) });
                }
                None => return,
            }
        }
    }
}

/// The room's texts, settings and bans are read and written by whoever holds it: a new task of the same room waits
/// until the one before has written its last change.
pub(super) type Pen = OwnedSemaphorePermit;

struct Writer {
    store: Store,
    room: String,
    /// What the disk did not take.
    unforgotten: Unforgotten,
}

impl Writer {
    async fn run(mut self, mut inbox: mpsc::Receiver<(u64, Keep)>, said: watch::Sender<Done>) {
        let mut again = AGAIN;
        loop {
            let first = if self.unforgotten.0.is_empty() {
                again = AGAIN;
                inbox.recv().await
            } else {
                match timeout(again, inbox.recv()).await {
                    Ok(first) => first,
                    Err(_) => {
                        self.unforgotten.again(&self.store, &self.room).await;
                        again = (again * 2).min(AGAIN_LATEST);
                        continue;
                    }
                }
            };
            let over = first.is_none();
            let mut batch: Vec<_> = first.into_iter().collect();
            while batch.len() < QUEUE + UNFORGOTTEN_MAX
                && let Ok(next) = inbox.try_recv()
            {
                batch.push(next);
            }
            self.write(batch, &said).await;
            if over {
                break;
            }
        }
        let since = Instant::now();
        while !self.unforgotten.0.is_empty() && since.elapsed() < LAST_TRIES {
            tokio::time::sleep(AGAIN).await;
            self.unforgotten.again(&self.store, &self.room).await;
        }
    }

    async fn write(&mut self, batch: Vec<(u64, Keep)>, said: &watch::Sender<Done>) {
        self.unforgotten.again(&self.store, &self.room).await;
        // Of several settings only the newest count.
        let newest = batch.iter().rposition(|(_, what)| matches!(what, Keep::Settings(_)));
        let forgot = batch.iter().any(|(_, what)| matches!(what, Keep::Forget(_)));
        let mut done = *said.borrow();
        for (place, (change, what)) in batch.into_iter().enumerate() {
            done.up_to = change;
            let written = match what {
                Keep::Settings(_) if newest != Some(place) => Ok(()),
                // What is to be forgotten comes first: it could take this with it.
                Keep::Text(_) if !self.unforgotten.0.is_empty() => Err(StoreError::Busy),
                what => self.keep(what).await,
            };
            if let Err(error) = written {
                tracing::error!(%error, "a room's change cannot be kept");
                done.failed = change;
            }
        }
        // Only then: while somebody reads the journal, this takes as long as the disk's patience.
        if forgot {
            leave_no_trace(&self.store).await;
        }
        said.send_replace(done);
    }

    async fn keep(&mut self, what: Keep) -> Result<(), StoreError> {
        let Self { store, room, unforgotten } = self;
        match what {
            Keep::Settings(settings) => keep_settings(store, room, &settings).await,
            Keep::Ban { identity, origin } => ban(store, room, &identity, origin).await,
            Keep::Accepted { version } => store.count_acceptance(room, version).await,
            Keep::Text(kept) => store.keep_text(room, &stored(kept)).await,
            Keep::Record(Record { act, by, people }) => {
                let actor = by.map_or("operator", circle::Role::name);
                let people = u32::try_from(people).unwrap_or(u32::MAX);
                store.record_act(room, act.name(), actor, people, unix_millis(now())).await
            }
            Keep::Live { json } => store.keep_live(room, &json, unix_millis(now())).await,
            Keep::Over => store.forget_live(room).await,
            Keep::Forget(what) => {
                let forgotten = forget(store, room, what).await;
                if forgotten.is_err() {
                    unforgotten.push(what);
                }
                forgotten
            }
        }
    }
}

async fn forget(store: &Store, room: &str, what: Forget) -> Result<(), StoreError> {
    match what {
        Forget::Text { number } => store.forget_text(room, signed(number)).await,
        Forget::Texts => store.forget_texts(room).await,
        Forget::Shorten { millis } => store.shorten_texts(room, signed(millis), unix_millis(now())).await,
    }
}

async fn keep_settings(store: &Store, room: &str, settings: &Settings) -> Result<(), StoreError> {
    match serde_json::to_string(settings) {
        Ok(json) => store.keep_room_settings(room, &json).await,
        Err(error) => {
            tracing::error!(%error, "settings cannot be written as JSON");
            Ok(())
        }
    }
}

/// A number as SQLite has it.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn stored(KeptText { text, until }: KeptText) -> store::Text {
    store::Text {
        number: signed(text.text),
        sender: text.from.as_str().to_owned(),
        name: text.name,
        body: text.body,
        at_unix_millis: signed(text.at),
        until_unix_millis: signed(until),
    }
}

/// What earlier meetings wrote and the room still keeps.
pub(super) async fn kept_texts(store: &Store, room: &str) -> Vec<KeptText> {
    let texts = store.texts(room, unix_millis(now())).await.unwrap_or_else(|error| {
        tracing::error!(%error, "a room's texts cannot be read");
        Vec::new()
    });
    let unsigned = |number: i64| u64::try_from(number).unwrap_or_default();
    let kept = |text: store::Text| KeptText {
        until: unsigned(text.until_unix_millis),
        text: circle::Text {
            text: unsigned(text.number),
            from: text.sender.as_str().into(),
            name: text.name,
            to: circle::Addressee::Everyone,
            body: text.body,
            at: unsigned(text.at_unix_millis),
        },
    };
    texts.into_iter().map(kept).collect()
}

/// A link for one person is closed with the ban. A link for many is not: the others came by it too.
async fn ban(
    store: &Store,
    room: &str,
    identity: &Identity,
    origin: Option<Origin>,
) -> Result<(), StoreError> {
    let now = unix_millis(now());
    let trace = Trace::of_identity(room, identity.as_str());
    match store.ban(room, trace, origin.and_then(|origin| origin.mark), now).await {
        Ok(_) => {}
        // A room that is not in the store has nothing to keep.
        Err(StoreError::RoomUnknown) => return Ok(()),
        Err(error) => return Err(error),
    }
    if let Some(Origin { invite, .. }) = origin {
        let own = |one: &store::Invite| one.id == invite && one.terms.max_uses == Some(1);
        if store.invites(room).await?.iter().any(own) {
            store.revoke_invite(invite, now).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::{ConnectOptions as _, Executor as _};
    use tokio::sync::Semaphore;

    fn text(number: u64) -> Keep {
        let text = circle::Text {
            text: number,
            from: "ann".into(),
            name: "Ann".to_owned(),
            to: circle::Addressee::Everyone,
            body: "words".to_owned(),
            at: 1,
        };
        Keep::Text(KeptText { text, until: u64::MAX })
    }

    #[tokio::test]
    async fn what_cannot_be_forgotten_is_tried_again_until_it_is_and_nothing_is_written_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("enza.db");
        let store = Store::open(&path).await.unwrap();
        let room = store.create_room("Tuesday", 1).await.unwrap().id;
        let mut disk = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
        let pen = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        let (mut keeper, task) = Keeper::start(store.clone(), room.clone(), pen);
        let numbers =
            async || store.texts(&room, 0).await.unwrap().iter().map(|text| text.number).collect::<Vec<_>>();
        keeper.keep(text(1));
        keeper.done.wait_for(|done| done.up_to == 1).await.unwrap();
        let broken = "CREATE TRIGGER broken BEFORE DELETE ON text BEGIN SELECT RAISE(FAIL, 'broken'); END";
        disk.execute(broken).await.unwrap();
        keeper.keep(Keep::Forget(Forget::Texts));
        keeper.keep(text(2));
        let done = *keeper.done.wait_for(|done| done.up_to == 3).await.unwrap();
        assert_eq!((done.failed, numbers().await), (3, vec![1]));
        disk.execute("DROP TRIGGER broken").await.unwrap();
        let forgotten = async {
            while !numbers().await.is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(10), forgotten).await.expect("forgotten in the end");
        keeper.keep(text(3));
        drop(keeper);
        task.await.unwrap();
        assert_eq!(numbers().await, [3]);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_what_is_kept_and_never_what_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("enza.db")).await.unwrap();
        let room = store.create_room("Tuesday", 1).await.unwrap().id;
        let pen = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        let (mut keeper, task) = Keeper::start(store.clone(), room.clone(), pen);
        // The writing task does not run until this one waits.
        let all = u64::try_from(QUEUE).unwrap();
        for number in 1..=all + 1 {
            keeper.keep(text(number));
        }
        for number in 2..=all {
            keeper.keep(Keep::Forget(Forget::Text { number }));
        }
        drop(keeper);
        task.await.unwrap();
        let kept: Vec<i64> = store.texts(&room, 0).await.unwrap().iter().map(|text| text.number).collect();
        assert_eq!(kept, [1]);
    }
}

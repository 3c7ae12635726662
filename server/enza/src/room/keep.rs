//! What must be on disk before somebody is told that it is done: the room's settings, bans, texts where they are kept
//! for days; and, for which nobody waits, counts of accepted agreements and records of what hosts did. One task writes, in order; the room goes on meanwhile and answers when it hears that the write is done.

use super::RoomTask;
use crate::origin::Origin;
use crate::rooms::{now, unix_millis};
use circle::{Answer, Identity, KeptText, Message, Record, Settings};
use signal::Now;
use std::collections::VecDeque;
use std::sync::Arc;
use store::{Store, StoreError, Trace};
use tokio::sync::{mpsc, oneshot, watch};

/// Changes that wait for the disk. Full: further ones are refused. Higher: more to lose to a stuck disk; lower: a
/// host who changes many things on a slow card is refused.
const QUEUE: usize = 256;

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
    ForgetText {
        text: u64,
    },
    ForgetTexts,
    ShortenTexts {
        millis: u64,
    },
    Record(Record),
    /// The running circle, for the next process.
    Live {
        json: String,
    },
    /// There is no running circle any more.
    Over,
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
    /// The task ends when this is dropped and everything is written.
    pub(super) fn start(store: Store, room: String) -> (Self, tokio::task::JoinHandle<()>) {
        let (changes, inbox) = mpsc::channel(QUEUE);
        let (said, done) = watch::channel(Done::default());
        let task = tokio::spawn(write(store, room, inbox, said));
        (Self { changes, done, ordered: 0, awaited: 0, overflowed: 0, waiting: VecDeque::new() }, task)
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
        self.ordered += 1;
        if self.changes.try_send((self.ordered, what)).is_err() {
            tracing::error!("a room's changes wait for the disk: one more is not kept");
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

async fn write(
    store: Store,
    room: String,
    mut inbox: mpsc::Receiver<(u64, Keep)>,
    said: watch::Sender<Done>,
) {
    let mut batch = Vec::new();
    while inbox.recv_many(&mut batch, QUEUE).await > 0 {
        // Of several settings only the newest count.
        let newest = batch.iter().rposition(|(_, what)| matches!(what, Keep::Settings(_)));
        let mut done = *said.borrow();
        for (place, (change, what)) in batch.drain(..).enumerate() {
            let written = match what {
                Keep::Settings(_) if newest != Some(place) => Ok(()),
                Keep::Settings(settings) => keep_settings(&store, &room, &settings).await,
                Keep::Ban { identity, origin } => ban(&store, &room, &identity, origin).await,
                Keep::Accepted { version } => store.count_acceptance(&room, version).await,
                Keep::Text(kept) => store.keep_text(&room, &stored(kept)).await,
                Keep::ForgetText { text } => store.forget_text(&room, signed(text)).await,
                Keep::ForgetTexts => store.forget_texts(&room).await,
                Keep::ShortenTexts { millis } => {
                    store.shorten_texts(&room, signed(millis), unix_millis(now())).await
                }
                Keep::Record(Record { act, by, people }) => {
                    let actor = by.map_or("operator", circle::Role::name);
                    let people = u32::try_from(people).unwrap_or(u32::MAX);
                    store.record_act(&room, act.name(), actor, people, unix_millis(now())).await
                }
                Keep::Live { json } => store.keep_live(&room, &json, unix_millis(now())).await,
                Keep::Over => store.forget_live(&room).await,
            };
            done.up_to = change;
            if let Err(error) = written {
                tracing::error!(%error, "a room's change cannot be kept");
                done.failed = change;
            }
        }
        said.send_replace(done);
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

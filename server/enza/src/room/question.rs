//! What the HTTP API asks of a running room, answered by the room's task in its turn.

use super::{Message, NotKept, RoomHandle, RoomTask, ServiceCall, circle::circle_now, circle::pass};
use crate::rooms::now;
use circle::{Knock, Order, Person, Refusal, Settings};
use livekit_protocol::RoomEndReason;
use signal::Grants;
use std::time::Duration;
use store::Trace;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Longest wait for a room's answer; the disk's own patience is in it. Higher: a stuck room holds requests for
/// longer; lower: a busy one counts as stuck.
const PATIENCE: Duration = Duration::from_secs(8);

/// What a change came to.
pub(crate) type Changed = Result<(), Refusal>;

/// One question.
pub(crate) enum Question {
    /// How many people are inside.
    People {
        reply: oneshot::Sender<usize>,
    },
    /// How many are inside, and how many wait for a host.
    Count {
        reply: oneshot::Sender<(usize, usize)>,
    },
    /// Who is inside and who waits for a host, each in the order they came.
    Everybody {
        reply: oneshot::Sender<(Vec<Person>, Vec<Knock>)>,
    },
    /// What the holder of this token is in the running circle; `None`: they may not come in.
    Role {
        grants: Box<Grants>,
        reply: oneshot::Sender<Option<circle::Role>>,
    },
    Settings {
        reply: oneshot::Sender<Settings>,
    },
    /// Does something to the circle; `kept` is answered when what must last is on disk.
    Operate {
        order: Box<Order>,
        reply: oneshot::Sender<Changed>,
        kept: oneshot::Sender<Result<(), NotKept>>,
    },
    /// Ends the meeting for everybody.
    End {
        reply: oneshot::Sender<()>,
    },
    /// LiveKit's server API.
    Service(ServiceCall),
    /// This ban was lifted.
    Lift {
        identity: Trace,
        mark: Option<Trace>,
        reply: oneshot::Sender<()>,
    },
}

impl RoomHandle {
    /// Asks and waits; `None` when the room is gone, or stuck.
    pub(crate) async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        let asking = async {
            if self.send(Message::Question(question(reply))).await { answer.await.ok() } else { None }
        };
        timeout(PATIENCE, asking).await.ok().flatten()
    }

    /// Does something to the circle and waits until what must last is on disk.
    pub(crate) async fn operate(&self, order: Order) -> Option<Result<Result<(), NotKept>, Refusal>> {
        let (kept, on_disk) = oneshot::channel();
        let order = Box::new(order);
        match self.ask(|reply| Question::Operate { order, reply, kept }).await? {
            Err(refusal) => Some(Err(refusal)),
            Ok(()) => Some(Ok(timeout(PATIENCE, on_disk).await.ok()?.ok()?)),
        }
    }
}

impl RoomTask {
    /// Whoever asked may be gone; that is no error.
    pub(super) fn answer_question(&mut self, question: Question) {
        let now = now();
        match question {
            Question::People { reply } => {
                let _ = reply.send(self.circle.people());
            }
            Question::Count { reply } => {
                let _ = reply.send((self.circle.people(), self.circle.waiting().len()));
            }
            Question::Everybody { reply } => {
                let _ = reply.send((self.circle.everybody(), self.circle.waiting()));
            }
            Question::Role { grants, reply } => {
                self.check_bans(&grants);
                let standing = self.circle.standing(&pass(&grants));
                let _ = reply.send(standing.ok().map(|standing| standing.role));
            }
            Question::Settings { reply } => {
                let _ = reply.send(self.circle.settings().clone());
            }
            Question::Operate { order, reply, kept } => {
                let before = self.keeper.newest();
                let done = self.circle.operate(circle_now(now), *order);
                let changed = done.is_ok();
                self.settle(now);
                let _ = reply.send(done);
                if changed && (self.ended || self.keeper.newest() == before) {
                    // Nothing of it lasts, or it was like this already; of an end, what is left is written before the
                    // room counts as gone.
                    let _ = kept.send(Ok(()));
                } else if changed {
                    self.keeper.reply_later(kept);
                }
            }
            Question::End { reply } => {
                self.finished_by = RoomEndReason::RoomEndApiDelete;
                // Ending cannot be refused.
                let _ = self.circle.operate(circle_now(now), Order::End);
                self.settle(now);
                let _ = reply.send(());
            }
            Question::Service(call) => self.serve(now, call),
            Question::Lift { identity, mark, reply } => {
                self.bans.retain(|ban| *ban != identity && Some(*ban) != mark);
                let room = &self.name;
                self.circle.lift(|who| Trace::of_identity(room, who.as_str()) == identity);
                let _ = reply.send(());
            }
        }
    }
}

//! What the HTTP API asks of a running room, answered by the room's task in its turn.

use super::{Message, RoomHandle, RoomTask, circle::pass};
use signal::Grants;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Longest wait for a room's answer. Higher: a stuck room holds requests for longer; lower: a busy one counts as
/// stuck.
const PATIENCE: Duration = Duration::from_secs(3);

/// One question.
pub(crate) enum Question {
    /// How many people are inside.
    People { reply: oneshot::Sender<usize> },
    /// What the holder of this token is in the running circle; `None`: they may not come in.
    Role { grants: Box<Grants>, reply: oneshot::Sender<Option<circle::Role>> },
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
}

impl RoomTask {
    /// Whoever asked may be gone; that is no error.
    pub(super) fn answer_question(&self, question: Question) {
        match question {
            Question::People { reply } => {
                let _ = reply.send(self.circle.people());
            }
            Question::Role { grants, reply } => {
                let standing = self.circle.standing(&pass(&grants));
                let _ = reply.send(standing.ok().map(|standing| standing.role));
            }
        }
    }
}

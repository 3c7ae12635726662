//! Whether people can come in and what they do is kept: the program is not stopping, the media threads run, the
//! database takes writes. One task asks the database, and not more often than it must however often it is asked.

use crate::media::MediaThreads;
use std::time::{Duration, Instant};
use store::Store;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

/// How long an answer of the database counts. Higher: a full disk is seen later; lower: whoever asks keeps it busy.
const FRESH: Duration = Duration::from_secs(5);

/// Longest wait for the database. Higher: who asks gives up first; lower: a slow card counts as broken.
const PATIENCE: Duration = Duration::from_secs(3);

/// Questions that wait for the task.
const QUESTIONS: usize = 64;

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotReady {
    #[error("stopping")]
    Stopping,
    #[error("a media thread does not run")]
    Media,
    #[error("the database takes no writes")]
    Store,
}

/// Asks. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Readiness {
    stopping: watch::Receiver<bool>,
    media: MediaThreads,
    questions: mpsc::Sender<oneshot::Sender<bool>>,
}

impl Readiness {
    pub(crate) fn start(store: Store, media: MediaThreads, stopping: watch::Receiver<bool>) -> Self {
        let (questions, inbox) = mpsc::channel(QUESTIONS);
        tokio::spawn(ask(store, inbox));
        Self { stopping, media, questions }
    }

    /// # Errors
    /// [`NotReady`], the first reason found.
    pub(crate) async fn now(&self) -> Result<(), NotReady> {
        if *self.stopping.borrow() {
            return Err(NotReady::Stopping);
        }
        if self.media.reports().any(|(_, alive)| !alive) {
            return Err(NotReady::Media);
        }
        let (reply, answer) = oneshot::channel();
        let writes = self.questions.send(reply).await.is_ok() && answer.await.unwrap_or(false);
        if writes { Ok(()) } else { Err(NotReady::Store) }
    }
}

async fn ask(store: Store, mut inbox: mpsc::Receiver<oneshot::Sender<bool>>) {
    let mut known: Option<(Instant, bool)> = None;
    while let Some(reply) = inbox.recv().await {
        let writes = match known {
            Some((at, writes)) if at.elapsed() < FRESH => writes,
            _ => {
                let writes = matches!(timeout(PATIENCE, store.prove_writing()).await, Ok(Ok(())));
                if !writes && known.is_none_or(|(_, wrote)| wrote) {
                    tracing::error!("the database takes no writes");
                }
                known = Some((Instant::now(), writes));
                writes
            }
        };
        let _ = reply.send(writes);
    }
}

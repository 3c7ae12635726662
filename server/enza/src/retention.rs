//! Forgets what was kept long enough: at each start, and every hour while the server runs. Where the journal of what
//! was forgotten could not be emptied, because somebody read it, it is tried again soon.

use crate::rooms::{now, unix_millis};
use crate::server::raised;
use std::time::{Duration, Instant};
use store::{Store, StoreError};
use tokio::sync::watch;

/// Higher: what was promised to be gone stays for longer; lower: a sleeping server wakes for nothing.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// A journal that still holds what was forgotten is emptied after this long. Higher: it stays for longer; lower: a long
/// backup is disturbed more often.
const SOON: Duration = Duration::from_secs(60);

/// Forgets what is overdue now.
pub(crate) async fn once(store: &Store) -> Result<(), StoreError> {
    let now = unix_millis(now());
    store.forget_overdue_texts(now).await?;
    store.forget_old_records(now).await?;
    leave_no_trace(store).await;
    Ok(())
}

/// Empties the journal of what was forgotten, or leaves it for the next time.
pub(crate) async fn leave_no_trace(store: &Store) {
    match store.leave_no_trace().await {
        Ok(true) => {}
        Ok(false) => tracing::warn!("the journal still holds what was forgotten, since somebody reads it"),
        Err(error) => tracing::error!(%error, "the journal still holds what was forgotten"),
    }
}

/// Goes on until the server stops.
pub(crate) async fn run(store: Store, mut stopping: watch::Receiver<bool>) {
    let mut since = Instant::now();
    loop {
        tokio::select! {
            () = raised(&mut stopping) => return,
            () = tokio::time::sleep(SOON) => {}
        }
        if since.elapsed() < EVERY {
            leave_no_trace(&store).await;
            continue;
        }
        since = Instant::now();
        if let Err(error) = once(&store).await {
            tracing::error!(%error, "what is overdue cannot be forgotten");
        }
    }
}

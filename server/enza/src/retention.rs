//! Forgets what was kept long enough: at each start, and every hour while the server runs.

use crate::rooms::{now, unix_millis};
use crate::server::raised;
use std::time::Duration;
use store::{Store, StoreError};
use tokio::sync::watch;

/// Higher: what was promised to be gone stays for longer; lower: a sleeping server wakes for nothing.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// Forgets what is overdue now.
pub(crate) async fn once(store: &Store) -> Result<(), StoreError> {
    let now = unix_millis(now());
    store.forget_overdue_texts(now).await?;
    store.forget_old_records(now).await
}

/// Goes on until the server stops.
pub(crate) async fn run(store: Store, mut stopping: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = raised(&mut stopping) => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        if let Err(error) = once(&store).await {
            tracing::error!(%error, "what is overdue cannot be forgotten");
        }
    }
}

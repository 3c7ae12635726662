//! What survives a restart: rooms, the invites that open them and who may not come back, in one SQLite file.
//!
//! The only crate that names the database. Rooms that say so keep what is written in them for some days. It never learns who used an invite, from where or when, and it
//! never holds an invite's secret: only its SHA-256.
//!
//! Writes go through one connection (SQLite allows one writer at a time; sqlx runs it on a thread of its own),
//! reads through another, so that a slow write never delays somebody who opens a link.

mod audit;
mod backup;
mod ban;
mod invite;
mod live;
mod prove;
mod room;
mod schema;
mod text;

pub use audit::AuditRecord;
pub use ban::{Ban, BanId, Trace};
pub use invite::{Invite, InviteId, InviteSecret, InviteState, Resolved, Role, Terms};
pub use room::{Room, checked_title};
pub use text::Text;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How long a write waits for the one before it. Higher: requests pile up behind a stuck disk; lower: a burst
/// of new invites is refused on a slow card.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);

/// The open database. Cheap to clone: both pools are handles.
#[derive(Clone, Debug)]
pub struct Store {
    writer: SqlitePool,
    reader: SqlitePool,
    /// Whether the journal may still hold what was forgotten: so it is at the start.
    traces: Arc<AtomicBool>,
}

/// Why the store refused.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database file {path} cannot be opened: {source}")]
    Open { path: PathBuf, source: sqlx::Error },
    #[error("the database file {path} was written by another version of this program: {source}")]
    Schema { path: PathBuf, source: sqlx::migrate::MigrateError },
    #[error("the database is busy: the write was refused after {} s, try again", WRITE_PATIENCE.as_secs())]
    Busy,
    #[error("there is no room with this id")]
    RoomUnknown,
    #[error("there is no invite with this number")]
    InviteUnknown,
    #[error("{path} is no whole copy of this program's database")]
    Copy { path: PathBuf },
    #[error("there is no such ban in this room")]
    BanUnknown,
    #[error("there are as many bans in this room as are kept: lift one first")]
    BansFull,
    #[error("a room's title needs 1 to {} characters", room::TITLE_MAX)]
    Title,
    #[error("there are as many rooms as this server keeps: delete one first")]
    RoomsFull,
    #[error("the operating system gave no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    #[error("the database failed: {0}")]
    Database(sqlx::Error),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolTimedOut => Self::Busy,
            other => Self::Database(other),
        }
    }
}

impl Store {
    /// Opens the database at `path` (created with its tables when absent; its folder must exist).
    ///
    /// # Errors
    /// [`StoreError::Open`] when the file cannot be read or is no database, [`StoreError::Schema`] when its
    /// tables are newer than this program.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let opening = |source| StoreError::Open { path: path.to_owned(), source };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            // What is deleted is overwritten, not only forgotten.
            .pragma("secure_delete", "ON")
            .busy_timeout(WRITE_PATIENCE);
        let pool = || SqlitePoolOptions::new().max_connections(1).acquire_timeout(WRITE_PATIENCE);
        let writer = pool().connect_with(options.clone()).await.map_err(opening)?;
        schema::migrator()
            .run(&writer)
            .await
            .map_err(|source| StoreError::Schema { path: path.to_owned(), source })?;
        let reader = pool().connect_with(options.read_only(true)).await.map_err(opening)?;
        Ok(Self { writer, reader, traces: Arc::new(AtomicBool::new(true)) })
    }

    /// Writes everything out and closes the file. Later calls fail.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

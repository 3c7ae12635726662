//! What people wrote in rooms that keep it for days, until the day that was promised. What is forgotten is
//! overwritten, and after [`Store::leave_no_trace`] in the journal too.

use crate::{Store, StoreError};
use sqlx::Row as _;
use std::sync::atomic::Ordering;

/// One text to everybody in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    pub number: i64,
    pub sender: String,
    pub name: String,
    pub body: String,
    /// Milliseconds since 1970-01-01 UTC, as is `until_unix_millis`.
    pub at_unix_millis: i64,
    /// When it is forgotten.
    pub until_unix_millis: i64,
}

impl Store {
    /// Keeps a text. A room that is not in the store keeps nothing; a number that is taken is refused.
    ///
    /// # Errors
    /// [`StoreError::Busy`] or [`StoreError::Database`].
    pub async fn keep_text(&self, room: &str, text: &Text) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO text (room, number, sender, name, body, at, until)
             SELECT id, ?2, ?3, ?4, ?5, ?6, ?7 FROM room WHERE id = ?1",
        )
        .bind(room)
        .bind(text.number)
        .bind(&text.sender)
        .bind(&text.name)
        .bind(&text.body)
        .bind(text.at_unix_millis)
        .bind(text.until_unix_millis)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// What a room still keeps at this moment, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn texts(&self, room: &str, now_unix_millis: i64) -> Result<Vec<Text>, StoreError> {
        let rows = sqlx::query(
            "SELECT number, sender, name, body, at, until FROM text WHERE room = ? AND until > ? ORDER BY number",
        )
        .bind(room)
        .bind(now_unix_millis)
        .fetch_all(&self.reader)
        .await?;
        let text = |row: &sqlx::sqlite::SqliteRow| {
            Ok(Text {
                number: row.try_get(0)?,
                sender: row.try_get(1)?,
                name: row.try_get(2)?,
                body: row.try_get(3)?,
                at_unix_millis: row.try_get(4)?,
                until_unix_millis: row.try_get(5)?,
            })
        };
        Ok(rows.iter().map(text).collect::<Result<_, sqlx::Error>>()?)
    }

    /// Forgets one text.
    ///
    /// # Errors
    /// [`StoreError::Busy`] or [`StoreError::Database`].
    pub async fn forget_text(&self, room: &str, number: i64) -> Result<(), StoreError> {
        let deleting = sqlx::query("DELETE FROM text WHERE room = ? AND number = ?").bind(room).bind(number);
        self.trace(deleting.execute(&self.writer).await?.rows_affected());
        Ok(())
    }

    /// Forgets everything that was written in a room.
    ///
    /// # Errors
    /// [`StoreError::Busy`] or [`StoreError::Database`].
    pub async fn forget_texts(&self, room: &str) -> Result<(), StoreError> {
        let deleting = sqlx::query("DELETE FROM text WHERE room = ?").bind(room);
        self.trace(deleting.execute(&self.writer).await?.rows_affected());
        Ok(())
    }

    /// Keeps a room's texts for at most `millis` after they were written, and forgets what is older. None is kept
    /// for longer than before.
    ///
    /// # Errors
    /// [`StoreError::Busy`] or [`StoreError::Database`].
    pub async fn shorten_texts(
        &self,
        room: &str,
        millis: i64,
        now_unix_millis: i64,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE text SET until = min(until, at + ?2) WHERE room = ?1")
            .bind(room)
            .bind(millis)
            .execute(&self.writer)
            .await?;
        let deleting = sqlx::query("DELETE FROM text WHERE room = ? AND until <= ?");
        let deleting = deleting.bind(room).bind(now_unix_millis);
        self.trace(deleting.execute(&self.writer).await?.rows_affected());
        Ok(())
    }

    /// Forgets, in all rooms, the texts whose day has come.
    ///
    /// # Errors
    /// [`StoreError::Busy`] or [`StoreError::Database`].
    pub async fn forget_overdue_texts(&self, now_unix_millis: i64) -> Result<(), StoreError> {
        let deleting = sqlx::query("DELETE FROM text WHERE until <= ?").bind(now_unix_millis);
        self.trace(deleting.execute(&self.writer).await?.rows_affected());
        Ok(())
    }

    /// Deleted rows are overwritten in the file; the journal still holds pages from before until it is emptied. Whether
    /// it is: whoever reads at this moment (an export, a backup) holds it, and then this is to be called again. Does
    /// nothing where nothing was forgotten. Call once after forgetting, however much.
    ///
    /// # Errors
    /// [`StoreError::Busy`] or [`StoreError::Database`].
    pub async fn leave_no_trace(&self) -> Result<bool, StoreError> {
        if !self.is_traced() {
            return Ok(true);
        }
        // Before, so that what is forgotten meanwhile counts for the next time.
        self.traces.store(false, Ordering::Relaxed);
        let emptied = self.empty_journal().await;
        if !matches!(emptied, Ok(true)) {
            self.traces.store(true, Ordering::Relaxed);
        }
        emptied
    }

    /// Whether the journal may still hold what was forgotten.
    #[must_use]
    pub fn is_traced(&self) -> bool {
        self.traces.load(Ordering::Relaxed)
    }

    pub(crate) fn trace(&self, deleted: u64) {
        if deleted > 0 {
            self.traces.store(true, Ordering::Relaxed);
        }
    }

    async fn empty_journal(&self) -> Result<bool, StoreError> {
        let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&self.writer).await?;
        let busy: i64 = row.try_get(0)?;
        Ok(busy == 0)
    }
}

//! What people wrote in rooms that keep it for days, until the day that was promised. What is forgotten is
//! overwritten, in the journal too.

use crate::{Store, StoreError};
use sqlx::Row as _;

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
        let deleted = deleting.execute(&self.writer).await?.rows_affected();
        self.leave_no_trace(deleted).await
    }

    /// Forgets everything that was written in a room.
    ///
    /// # Errors
    /// [`StoreError::Busy`] or [`StoreError::Database`].
    pub async fn forget_texts(&self, room: &str) -> Result<(), StoreError> {
        let deleting = sqlx::query("DELETE FROM text WHERE room = ?").bind(room);
        let deleted = deleting.execute(&self.writer).await?.rows_affected();
        self.leave_no_trace(deleted).await
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
        let deleted = deleting.execute(&self.writer).await?.rows_affected();
        self.leave_no_trace(deleted).await
    }

    /// Forgets, in all rooms, the texts whose day has come.
    ///
    /// # Errors
    /// [`StoreError::Busy`] or [`StoreError::Database`].
    pub async fn forget_overdue_texts(&self, now_unix_millis: i64) -> Result<(), StoreError> {
        let deleting = sqlx::query("DELETE FROM text WHERE until <= ?").bind(now_unix_millis);
        let deleted = deleting.execute(&self.writer).await?.rows_affected();
        self.leave_no_trace(deleted).await
    }

    /// Deleted rows are overwritten in the file; the journal still holds pages from before.
    async fn leave_no_trace(&self, deleted: u64) -> Result<(), StoreError> {
        if deleted > 0 {
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&self.writer).await?;
        }
        Ok(())
    }
}

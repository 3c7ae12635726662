//! What a running circle left when the process ended, for the next one to take up.

use crate::{Store, StoreError};
use sqlx::Row as _;

impl Store {
    /// Keeps the state of a running room, over the one before. A room that is not in the store keeps nothing.
    ///
    /// # Errors
    /// [`StoreError::Busy`] or [`StoreError::Database`].
    pub async fn keep_live(&self, room: &str, state: &str, now_unix_millis: i64) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO live (room, state, at) SELECT id, ?2, ?3 FROM room WHERE id = ?1
             ON CONFLICT DO UPDATE SET state = excluded.state, at = excluded.at",
        )
        .bind(room)
        .bind(state)
        .bind(now_unix_millis)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// Forgets it: the meeting is over.
    ///
    /// # Errors
    /// [`StoreError::Busy`] or [`StoreError::Database`].
    pub async fn forget_live(&self, room: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM live WHERE room = ?").bind(room).execute(&self.writer).await?;
        Ok(())
    }

    /// The state of a running room, if it was kept at `since` or later.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn live(&self, room: &str, since_unix_millis: i64) -> Result<Option<String>, StoreError> {
        let row = sqlx::query("SELECT state FROM live WHERE room = ? AND at >= ?")
            .bind(room)
            .bind(since_unix_millis)
            .fetch_optional(&self.reader)
            .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// Forgets every running room that was kept before `before`: nobody came back.
    ///
    /// # Errors
    /// [`StoreError::Busy`] or [`StoreError::Database`].
    pub async fn forget_stale(&self, before_unix_millis: i64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM live WHERE at < ?").bind(before_unix_millis).execute(&self.writer).await?;
        Ok(())
    }
}

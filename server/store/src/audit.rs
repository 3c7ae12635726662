//! What hosts did in a room, without names: which act, by which role, to how many, in which hour.

use crate::{Store, StoreError};
use sqlx::Row as _;

const HOUR_MILLIS: i64 = 60 * 60 * 1000;

/// How long a record is kept. Higher: more is known of how a group was led than anybody asks; lower: a complaint
/// comes too late.
const KEPT_MILLIS: i64 = 90 * 24 * HOUR_MILLIS;

/// Records of one room; the oldest go first. Higher: a longer list to read; lower: a lively month forgets its first
/// week.
const RECORDS_MAX: i64 = 2000;

/// One act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// As the circle names it.
    pub act: String,
    /// A role, or `operator`.
    pub actor: String,
    pub people: u32,
    /// The beginning of the hour in which it was, milliseconds since 1970-01-01 UTC.
    pub hour_unix_millis: i64,
}

impl Store {
    /// Records an act. A room that is not in the store records nothing.
    ///
    /// # Errors
    /// [`StoreError::Busy`] or [`StoreError::Database`].
    pub async fn record_act(
        &self,
        room: &str,
        act: &str,
        actor: &str,
        people: u32,
        now_unix_millis: i64,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO audit (room, act, actor, people, hour) SELECT id, ?2, ?3, ?4, ?5 FROM room WHERE id = ?1",
        )
        .bind(room)
        .bind(act)
        .bind(actor)
        .bind(people)
        .bind(now_unix_millis - now_unix_millis.rem_euclid(HOUR_MILLIS))
        .execute(&self.writer)
        .await?;
        sqlx::query(
            "DELETE FROM audit WHERE room = ?1 AND id <=
             (SELECT id FROM audit WHERE room = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
        )
        .bind(room)
        .bind(RECORDS_MAX)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// All records of a room, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn audit(&self, room: &str) -> Result<Vec<AuditRecord>, StoreError> {
        let rows = sqlx::query("SELECT act, actor, people, hour FROM audit WHERE room = ? ORDER BY id")
            .bind(room)
            .fetch_all(&self.reader)
            .await?;
        let record = |row: &sqlx::sqlite::SqliteRow| {
            Ok(AuditRecord {
                act: row.try_get(0)?,
                actor: row.try_get(1)?,
                people: row.try_get(2)?,
                hour_unix_millis: row.try_get(3)?,
            })
        };
        Ok(rows.iter().map(record).collect::<Result<_, sqlx::Error>>()?)
    }

    /// Forgets, in all rooms, what was recorded long enough ago.
    ///
    /// # Errors
    /// [`StoreError::Busy`] or [`StoreError::Database`].
    pub async fn forget_old_records(&self, now_unix_millis: i64) -> Result<(), StoreError> {
        let before = now_unix_millis.saturating_sub(KEPT_MILLIS);
        sqlx::query("DELETE FROM audit WHERE hour < ?").bind(before).execute(&self.writer).await?;
        Ok(())
    }
}

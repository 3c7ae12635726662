//! Bans that outlive the meeting. A person is known by their room token's identity and by a mark that their browser
//! keeps; both are stored as hashes salted with the room, so that nothing links one person's bans in two rooms, and
//! a stolen file names nobody.

use crate::{Store, StoreError};
use sha2::{Digest as _, Sha256};
use sqlx::Row as _;

/// Bans of one room. Higher: a longer list to go through at each entry; lower: a much troubled room forgets to ban.
const BANS_MAX: i64 = 10_000;

/// A hash that knows a person again in one room and in no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Trace([u8; 32]);

impl Trace {
    /// Of a room token's identity.
    #[must_use]
    pub fn of_identity(room: &str, identity: &str) -> Self {
        Self::of("identity", room, identity)
    }

    /// Of what a browser keeps.
    #[must_use]
    pub fn of_mark(room: &str, mark: &str) -> Self {
        Self::of("mark", room, mark)
    }

    fn of(kind: &str, room: &str, what: &str) -> Self {
        let mut hash = Sha256::new();
        for part in [kind, room, what] {
            // With its length, so that no two rooms and words run into one.
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Trace {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// Names a ban, for lifting it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BanId(pub i64);

/// One ban.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    pub id: BanId,
    pub identity: Trace,
    pub mark: Option<Trace>,
    /// Milliseconds since 1970-01-01 UTC.
    pub created_unix_millis: i64,
}

impl Ban {
    fn from_row(row: &sqlx::sqlite::SqliteRow) -> Result<Self, sqlx::Error> {
        let trace = |bytes: &[u8]| {
            let bytes = <[u8; 32]>::try_from(bytes);
            bytes.map(Trace).map_err(|error| sqlx::Error::Decode(error.into()))
        };
        Ok(Self {
            id: BanId(row.try_get("id")?),
            identity: trace(row.try_get("identity")?)?,
            mark: row.try_get::<Option<&[u8]>, _>("mark")?.map(trace).transpose()?,
            created_unix_millis: row.try_get("created")?,
        })
    }
}

impl Store {
    /// Bans somebody from a room for good.
    ///
    /// # Errors
    /// [`StoreError::RoomUnknown`], [`StoreError::BansFull`]; [`StoreError::Busy`] or [`StoreError::Database`].
    pub async fn ban(
        &self,
        room: &str,
        identity: Trace,
        mark: Option<Trace>,
        now_unix_millis: i64,
    ) -> Result<BanId, StoreError> {
        let inserted = sqlx::query(
            "INSERT INTO ban (room, identity, mark, created)
             SELECT ?1, ?2, ?3, ?4 WHERE (SELECT count(*) FROM ban WHERE room = ?1) < ?5",
        )
        .bind(room)
        .bind(identity.as_bytes().as_slice())
        .bind(mark.as_ref().map(|mark| mark.as_bytes().as_slice()))
        .bind(now_unix_millis)
        .bind(BANS_MAX)
        .execute(&self.writer)
        .await;
        match inserted {
            Ok(done) if done.rows_affected() == 0 => Err(StoreError::BansFull),
            Ok(done) => Ok(BanId(done.last_insert_rowid())),
            Err(sqlx::Error::Database(error)) if error.is_foreign_key_violation() => {
                Err(StoreError::RoomUnknown)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// All bans of a room, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn bans(&self, room: &str) -> Result<Vec<Ban>, StoreError> {
        let rows = sqlx::query("SELECT * FROM ban WHERE room = ? ORDER BY id")
            .bind(room)
            .fetch_all(&self.reader)
            .await?;
        Ok(rows.iter().map(Ban::from_row).collect::<Result<_, _>>()?)
    }

    /// Lifts a ban: whom it was about may come in again.
    ///
    /// # Errors
    /// [`StoreError::BanUnknown`]; [`StoreError::Busy`] or [`StoreError::Database`].
    pub async fn lift_ban(&self, room: &str, ban: BanId) -> Result<(), StoreError> {
        let done = sqlx::query("DELETE FROM ban WHERE room = ? AND id = ?")
            .bind(room)
            .bind(ban.0)
            .execute(&self.writer)
            .await?;
        if done.rows_affected() == 0 { Err(StoreError::BanUnknown) } else { Ok(()) }
    }

    /// Counts one more person who accepted this version of the room's agreement. A room that is not in the store
    /// counts nothing.
    ///
    /// # Errors
    /// [`StoreError::Busy`] or [`StoreError::Database`].
    pub async fn count_acceptance(&self, room: &str, version: u32) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO acceptance (room, version, people) SELECT id, ?2, 1 FROM room WHERE id = ?1
             ON CONFLICT DO UPDATE SET people = people + 1",
        )
        .bind(room)
        .bind(version)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// How many people accepted each version of the room's agreement.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn acceptances(&self, room: &str) -> Result<Vec<(u32, u32)>, StoreError> {
        let rows = sqlx::query("SELECT version, people FROM acceptance WHERE room = ? ORDER BY version")
            .bind(room)
            .fetch_all(&self.reader)
            .await?;
        Ok(rows
            .iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect::<Result<_, sqlx::Error>>()?)
    }
}

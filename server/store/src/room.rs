//! Rooms: the place with a link. An id that tells nothing, a title that people read, a birthday.

use crate::{Store, StoreError};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

/// Longest title in characters. Higher: it no longer fits on a phone; lower: real names of groups are cut.
pub(crate) const TITLE_MAX: usize = 100;

/// Most rooms. Higher: a server on which anybody may make rooms can be filled with more; lower: a house with many
/// groups is full.
const ROOMS_MAX: i64 = 10_000;

/// One room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// Opaque, URL-safe, never shown to people: LiveKit's room name.
    pub id: String,
    /// What people read, 1 to 100 characters.
    pub title: String,
    /// Milliseconds since 1970-01-01 UTC.
    pub created_unix_millis: i64,
}

impl Room {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self { id: row.try_get(0)?, title: row.try_get(1)?, created_unix_millis: row.try_get(2)? })
    }
}

impl Store {
    /// Makes a room with a fresh id.
    ///
    /// # Errors
    /// [`StoreError::Title`] for an empty or too long title, [`StoreError::RoomsFull`]; [`StoreError::Busy`] or
    /// [`StoreError::Database`].
    pub async fn create_room(&self, title: &str, now_unix_millis: i64) -> Result<Room, StoreError> {
        let title = checked_title(title)?;
        if self.room_count().await? >= ROOMS_MAX {
            return Err(StoreError::RoomsFull);
        }
        let mut id = [0_u8; 12];
        getrandom::fill(&mut id)?;
        let room = Room { id: named(id), title: title.to_owned(), created_unix_millis: now_unix_millis };
        sqlx::query("INSERT INTO room (id, title, created) VALUES (?, ?, ?)")
            .bind(&room.id)
            .bind(&room.title)
            .bind(room.created_unix_millis)
            .execute(&self.writer)
            .await?;
        Ok(room)
    }

    async fn room_count(&self) -> Result<i64, StoreError> {
        let row = sqlx::query("SELECT count(*) FROM room").fetch_one(&self.reader).await?;
        Ok(row.try_get(0)?)
    }

    /// The oldest room, if there is any.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn first_room(&self) -> Result<Option<Room>, StoreError> {
        let row = sqlx::query("SELECT id, title, created FROM room ORDER BY created, rowid LIMIT 1")
            .fetch_optional(&self.reader)
            .await?;
        Ok(row.as_ref().map(Room::from_row).transpose()?)
    }

    /// The room with this id.
    ///
    /// # Errors
    /// [`StoreError::RoomUnknown`]; [`StoreError::Database`].
    pub async fn room(&self, id: &str) -> Result<Room, StoreError> {
        let row = sqlx::query("SELECT id, title, created FROM room WHERE id = ?")
            .bind(id)
            .fetch_optional(&self.reader)
            .await?
            .ok_or(StoreError::RoomUnknown)?;
        Ok(Room::from_row(&row)?)
    }

    /// All rooms, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn rooms(&self) -> Result<Vec<Room>, StoreError> {
        let rows = sqlx::query("SELECT id, title, created FROM room ORDER BY created, rowid")
            .fetch_all(&self.reader)
            .await?;
        Ok(rows.iter().map(Room::from_row).collect::<Result<_, _>>()?)
    }

    /// What the hosts of this room set: JSON as it was given to [`Store::keep_room_settings`], `{}` before that.
    /// `None` for a room that is not in the store.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn room_settings(&self, id: &str) -> Result<Option<String>, StoreError> {
        let row = sqlx::query("SELECT settings FROM room WHERE id = ?")
            .bind(id)
            .fetch_optional(&self.reader)
            .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// Keeps what the hosts of this room set. A room that is not in the store has nothing to keep: it lives as long
    /// as people are in it.
    ///
    /// # Errors
    /// [`StoreError::Busy`] or [`StoreError::Database`].
    pub async fn keep_room_settings(&self, id: &str, settings: &str) -> Result<(), StoreError> {
        sqlx::query("UPDATE room SET settings = ? WHERE id = ?")
            .bind(settings)
            .bind(id)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// The hash of the room's passphrase, as it was given to [`Store::keep_passphrase`]; `None`: none is asked.
    ///
    /// # Errors
    /// [`StoreError::RoomUnknown`]; [`StoreError::Database`].
    pub async fn passphrase(&self, id: &str) -> Result<Option<String>, StoreError> {
        let row = sqlx::query("SELECT passphrase FROM room WHERE id = ?")
            .bind(id)
            .fetch_optional(&self.reader)
            .await?
            .ok_or(StoreError::RoomUnknown)?;
        Ok(row.try_get(0)?)
    }

    /// Keeps the hash of the passphrase that the room asks for from now on; `None`: it asks for none.
    ///
    /// # Errors
    /// [`StoreError::RoomUnknown`]; [`StoreError::Busy`] or [`StoreError::Database`].
    pub async fn keep_passphrase(&self, id: &str, hash: Option<&str>) -> Result<(), StoreError> {
        let done = sqlx::query("UPDATE room SET passphrase = ? WHERE id = ?")
            .bind(hash)
            .bind(id)
            .execute(&self.writer)
            .await?;
        if done.rows_affected() == 0 { Err(StoreError::RoomUnknown) } else { Ok(()) }
    }

    /// Deletes a room and everything that belongs to it, and leaves no trace of it in the file: what it held is
    /// overwritten, the file is written anew and its journal emptied, or later if somebody
    /// reads it ([`Store::is_traced`]). Takes time that grows with the file.
    ///
    /// # Errors
    /// [`StoreError::RoomUnknown`]; [`StoreError::Busy`] or [`StoreError::Database`].
    pub async fn erase_room(&self, id: &str) -> Result<(), StoreError> {
        let done = sqlx::query("DELETE FROM room WHERE id = ?").bind(id).execute(&self.writer).await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::RoomUnknown);
        }
        self.trace(done.rows_affected());
        sqlx::query("VACUUM").execute(&self.writer).await?;
        self.leave_no_trace().await?;
        Ok(())
    }

    /// Gives a room another title.
    ///
    /// # Errors
    /// [`StoreError::Title`] for an empty or too long one, [`StoreError::RoomUnknown`]; [`StoreError::Busy`] or
    /// [`StoreError::Database`].
    pub async fn rename_room(&self, id: &str, title: &str) -> Result<(), StoreError> {
        let done = sqlx::query("UPDATE room SET title = ? WHERE id = ?")
            .bind(checked_title(title)?)
            .bind(id)
            .execute(&self.writer)
            .await?;
        if done.rows_affected() == 0 { Err(StoreError::RoomUnknown) } else { Ok(()) }
    }
}

/// A room's title as it is kept: without the space around it.
///
/// # Errors
/// [`StoreError::Title`] for an empty or too long one, and for one with control characters.
pub fn checked_title(title: &str) -> Result<&str, StoreError> {
    let title = title.trim();
    if title.is_empty() || title.chars().count() > TITLE_MAX || title.chars().any(char::is_control) {
        return Err(StoreError::Title);
    }
    Ok(title)
}

/// A room's id. On a command line it must not look like a flag, so it never begins with a hyphen.
fn named(mut random: [u8; 12]) -> String {
    // The first six bits are the first character, and `-` is the 62nd.
    if random[0] >> 2 == 62 {
        random[0] = 0;
    }
    URL_SAFE_NO_PAD.encode(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_looks_like_a_flag() {
        for first in 0..=u8::MAX {
            let mut random = [7; 12];
            random[0] = first;
            let id = named(random);
            assert!(!id.starts_with('-') && id.len() == 16, "{id}");
        }
    }
}

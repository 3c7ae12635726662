//! Invites: links that open a room in a role. A secret of 144 random bits exists once, in the link that
//! [`Store::create_invite`] hands out; the table keeps its SHA-256, so a stolen file opens no room. A plain
//! hash suffices because the secret has far too many bits to be guessed. Looking the hash up compares no
//! secret byte by byte, so the time it takes tells nothing either.

use crate::{Room, Store, StoreError};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

/// Random bytes of a secret; 18 bytes are 24 characters without padding. Higher: a denser QR code; lower than
/// 16: guessable in principle.
const SECRET_BYTES: usize = 18;

/// What an invite makes of the person who opens it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    Host,
    CoHost,
    Guest,
    Listener,
}

impl Role {
    /// The role's name in the database, in JSON and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::CoHost => "co-host",
            Self::Guest => "guest",
            Self::Listener => "listener",
        }
    }

    /// The role of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Host, Self::CoHost, Self::Guest, Self::Listener].into_iter().find(|role| role.name() == name)
    }
}

/// When an invite opens the room. The default: always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Milliseconds since 1970-01-01 UTC; before this it does not open yet.
    pub not_before_unix_millis: Option<i64>,
    /// From this time on it opens nothing.
    pub expires_unix_millis: Option<i64>,
    /// How many people it lets in; at least 1.
    pub max_uses: Option<u32>,
}

/// Names an invite without opening anything: for listing and revoking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InviteId(pub i64);

/// The part of a link that opens a room. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct InviteSecret(String);

impl InviteSecret {
    fn generate() -> Result<Self, StoreError> {
        let mut bytes = [0_u8; SECRET_BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// The secret as it stands in the link's fragment.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for InviteSecret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("InviteSecret(…)")
    }
}

/// An invite as listed: everything but its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    pub id: InviteId,
    pub room: String,
    pub role: Role,
    /// Milliseconds since 1970-01-01 UTC.
    pub created_unix_millis: i64,
    pub revoked_unix_millis: Option<i64>,
    pub terms: Terms,
    /// People let in by it; counted only where [`Terms::max_uses`] bounds them.
    pub uses: u32,
}

impl Invite {
    /// Whether it opens the room at this time.
    #[must_use]
    pub fn state(&self, now_unix_millis: i64) -> InviteState {
        let Terms { not_before_unix_millis, expires_unix_millis, max_uses } = self.terms;
        if self.revoked_unix_millis.is_some() {
            InviteState::Revoked
        } else if expires_unix_millis.is_some_and(|at| at <= now_unix_millis) {
            InviteState::Expired
        } else if not_before_unix_millis.is_some_and(|at| at > now_unix_millis) {
            InviteState::NotYet
        } else if max_uses.is_some_and(|max| self.uses >= max) {
            InviteState::UsedUp
        } else {
            InviteState::Open
        }
    }

    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: InviteId(row.try_get("id")?),
            room: row.try_get("room")?,
            role: Role::from_name(row.try_get("role")?)
                .ok_or_else(|| sqlx::Error::Decode("unknown role".into()))?,
            created_unix_millis: row.try_get("created")?,
            revoked_unix_millis: row.try_get("revoked")?,
            terms: Terms {
                not_before_unix_millis: row.try_get("not_before")?,
                expires_unix_millis: row.try_get("expires")?,
                max_uses: row.try_get("max_uses")?,
            },
            uses: row.try_get("uses")?,
        })
    }
}

/// Whether an invite opens its room, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InviteState {
    Open,
    NotYet,
    Expired,
    Revoked,
    /// It let in as many people as it may.
    UsedUp,
}

/// What a secret turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    Open {
        invite: InviteId,
        room: Room,
        role: Role,
        /// Whether it lets only so many people in, so that each newcomer counts.
        counted: bool,
    },
    /// It lets nobody new in; who came in by it may come back.
    UsedUp {
        invite: InviteId,
        room: Room,
        role: Role,
    },
    NotYet,
    Expired,
    Revoked,
    Unknown,
}

fn hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}

impl Store {
    /// Makes an invite to `room` and returns its secret for the only time.
    ///
    /// # Errors
    /// [`StoreError::RoomUnknown`]; [`StoreError::Busy`] or [`StoreError::Database`].
    pub async fn create_invite(
        &self,
        room: &str,
        role: Role,
        terms: Terms,
        now_unix_millis: i64,
    ) -> Result<(InviteId, InviteSecret), StoreError> {
        let secret = InviteSecret::generate()?;
        let inserted = sqlx::query(
            "INSERT INTO invite (room, role, hash, created, not_before, expires, max_uses)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(room)
        .bind(role.name())
        .bind(hash(secret.reveal()))
        .bind(now_unix_millis)
        .bind(terms.not_before_unix_millis)
        .bind(terms.expires_unix_millis)
        .bind(terms.max_uses)
        .execute(&self.writer)
        .await;
        match inserted {
            Ok(done) => Ok((InviteId(done.last_insert_rowid()), secret)),
            Err(sqlx::Error::Database(error)) if error.is_foreign_key_violation() => {
                Err(StoreError::RoomUnknown)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Which room a secret opens at this time, and as what.
    ///
    /// # Errors
    /// [`StoreError::Database`]. A secret that opens nothing is an answer, not an error.
    pub async fn resolve_invite(&self, secret: &str, now_unix_millis: i64) -> Result<Resolved, StoreError> {
        let row = sqlx::query("SELECT * FROM invite WHERE hash = ?")
            .bind(hash(secret))
            .fetch_optional(&self.reader)
            .await?;
        let Some(row) = row else { return Ok(Resolved::Unknown) };
        let invite = Invite::from_row(&row)?;
        let state = invite.state(now_unix_millis);
        Ok(match state {
            InviteState::Open | InviteState::UsedUp => {
                let room = self.room(&invite.room).await?;
                let (invite, role, counted) = (invite.id, invite.role, invite.terms.max_uses.is_some());
                if state == InviteState::Open {
                    Resolved::Open { invite, room, role, counted }
                } else {
                    Resolved::UsedUp { invite, room, role }
                }
            }
            InviteState::NotYet => Resolved::NotYet,
            InviteState::Expired => Resolved::Expired,
            InviteState::Revoked => Resolved::Revoked,
        })
    }

    /// Counts one more person, unless that would be one too many: false. Who asks at the same time is counted one
    /// after the other. An invite without such a bound is only looked up: that waits for no disk.
    ///
    /// # Errors
    /// [`StoreError::Busy`] or [`StoreError::Database`].
    pub async fn use_invite(&self, invite: InviteId) -> Result<bool, StoreError> {
        let unbounded = sqlx::query("SELECT 1 FROM invite WHERE id = ? AND max_uses IS NULL")
            .bind(invite.0)
            .fetch_optional(&self.reader)
            .await?;
        if unbounded.is_some() {
            return Ok(true);
        }
        let done = sqlx::query("UPDATE invite SET uses = uses + 1 WHERE id = ? AND uses < max_uses")
            .bind(invite.0)
            .execute(&self.writer)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Closes an invite for good. Revoking it again changes nothing.
    ///
    /// # Errors
    /// [`StoreError::InviteUnknown`]; [`StoreError::Busy`] or [`StoreError::Database`].
    pub async fn revoke_invite(&self, invite: InviteId, now_unix_millis: i64) -> Result<(), StoreError> {
        let done = sqlx::query("UPDATE invite SET revoked = COALESCE(revoked, ?) WHERE id = ?")
            .bind(now_unix_millis)
            .bind(invite.0)
            .execute(&self.writer)
            .await?;
        if done.rows_affected() == 0 { Err(StoreError::InviteUnknown) } else { Ok(()) }
    }

    /// All invites of a room, oldest first, revoked ones included.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn invites(&self, room: &str) -> Result<Vec<Invite>, StoreError> {
        let rows = sqlx::query("SELECT * FROM invite WHERE room = ? ORDER BY id")
            .bind(room)
            .fetch_all(&self.reader)
            .await?;
        Ok(rows.iter().map(Invite::from_row).collect::<Result<_, _>>()?)
    }
}

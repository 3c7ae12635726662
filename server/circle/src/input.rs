//! What a [`Room`](crate::Room) is told.

use crate::{Command, Identity, Request, Role, SettingsChange};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Instant;

/// One circle socket. Chosen by the caller, never reused while the room lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// The time of an input: monotonic for timers, wall clock for what people see.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub instant: Instant,
    pub unix_millis: u64,
}

/// What a verified room token says of its holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass {
    pub identity: Identity,
    pub name: String,
    /// The role the token gives. What a host of the running circle decided comes before it.
    pub role: Role,
    /// Whatever the token carries for a ban that outlives the meeting. The circle hands it back and reads nothing.
    pub origin: Option<Arc<str>>,
}

/// How far a client that comes back had read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Resume {
    /// The `epoch` of the state it holds.
    pub epoch: String,
    /// The last revision it saw.
    pub revision: u64,
}

/// Who gives a command without a circle socket: the operator, or a host by token. Somebody who is inside is what they
/// are there, whatever `role` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outsider {
    pub identity: Identity,
    pub role: Role,
}

impl Outsider {
    /// The operator may do what a host may. Nobody in a room has an empty identity.
    #[must_use]
    pub fn operator() -> Self {
        Self { identity: Identity::from(""), role: Role::Host }
    }
}

/// What the operator wants of a running circle.
#[derive(Clone, Debug)]
pub enum Order {
    ChangeRoom(SettingsChange),
    /// A command that is about others, obeyed as if it came by a socket.
    Obey {
        by: Outsider,
        command: Command,
    },
    /// As a host removes somebody, without a ban.
    Remove {
        participant: Identity,
    },
    SetRole {
        participant: Identity,
        role: Role,
    },
    End,
}

/// One thing that happened, handled in full before the next one.
#[derive(Clone, Debug)]
pub enum Input {
    /// A circle socket with a verified token opened.
    Connect { connection: ConnectionId, pass: Pass, resume: Option<Resume> },
    /// A command on an open socket.
    Request { connection: ConnectionId, request: Request },
    /// What came on an open socket is no command; its `id` if that much could be read.
    Unreadable { connection: ConnectionId, id: Option<u64> },
    /// The socket is gone.
    Closed { connection: ConnectionId },
    /// The media side let this person in, after [`Room::standing`](crate::Room::standing) allowed it.
    MediaUp { pass: Pass },
    /// The person's media session ended. `for_good`: they left, it was not the network.
    MediaDown { identity: Identity, for_good: bool },
    /// Somebody began to speak, or stopped, as the media side measured it.
    Speaks { identity: Identity, speaks: bool },
    /// A LiveKit client changed its own name.
    Renamed { identity: Identity, name: String },
    /// [`Room::next_deadline`](crate::Room::next_deadline) passed.
    Tick,
    /// The server stops: everybody is told, and their clients come back later.
    Stop,
}

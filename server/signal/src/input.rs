//! What a [`Room`](crate::Room) is told.

use crate::{Connections, Grants};
use livekit_protocol::{DisconnectReason, JoinRequest, SignalRequest, TrackSource};
use std::time::Instant;

/// One WebSocket. Chosen by the caller, never reused while the room lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// The time of an input: monotonic for timers, wall clock for what messages show.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub instant: Instant,
    pub unix_millis: u64,
}

/// One thing that happened, handled in full before the next one.
#[derive(Clone, Debug)]
pub enum Input {
    /// A WebSocket with a verified token opened: a plain join, or a resume when `request.reconnect`.
    /// `held`: sources that are blocked from the first packet on ([`Input::HoldSource`]); a resume keeps its own.
    Join {
        connection: ConnectionId,
        grants: Grants,
        held: Vec<TrackSource>,
        request: Box<JoinRequest>,
        connections: Connections,
    },
    /// A message on an open connection.
    Request { connection: ConnectionId, request: SignalRequest },
    /// The socket is gone (close frame, FIN or error), with or without a `leave` before it.
    Closed { connection: ConnectionId },
    /// The media plane reports. Events about peers and tracks of other rooms are ignored.
    Media(sfu::Event),
    /// [`Room::next_deadline`](crate::Room::next_deadline) passed.
    Tick,
    /// The host's block of one track, or its end. Lifting it never un-mutes the participant.
    MuteTrack { identity: String, track_sid: String, muted: bool },
    /// Every track of this source is muted now; its owner may open it again.
    MuteSource { identity: String, source: TrackSource },
    /// Every track of this source, those to come included, is blocked until this is lifted. Lifting un-mutes nothing.
    HoldSource { identity: String, source: TrackSource, held: bool },
    /// The participant may publish, and is an admin, from now on or no longer.
    Permit { identity: String, can_publish: bool, room_admin: bool },
    /// Attributes that clients may not set themselves; an empty value deletes its key.
    SetAttributes { identity: String, attributes: Vec<(String, String)> },
    /// The room's metadata.
    SetMetadata { metadata: String },
    /// While true, an empty room waits: somebody is here without media.
    KeepOpen(bool),
    /// The host removes a participant.
    Remove { identity: String, reason: DisconnectReason },
    /// The server stops, or the room is deleted: everybody is told to leave.
    End { reason: DisconnectReason },
}

//! What a [`Room`](crate::Room) wants done. Effects are values, executed in order.

use crate::{ConnectionId, Grants};
use livekit_protocol::{
    DisconnectReason, LeaveRequest, ParticipantInfo, SignalResponse, TrackInfo, leave_request,
    signal_response,
};

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send on this connection, in the order of the effects.
    Send { connection: ConnectionId, response: Box<SignalResponse> },
    /// Close the connection after everything sent before. No later effect names it.
    Close { connection: ConnectionId },
    /// An order for the media plane.
    Media(sfu::Command),
    /// Sign a fresh token for these grants and send it as `refresh_token`. `grants` carries the current name,
    /// metadata and attributes, and the expiry of the token the participant came with.
    RefreshToken { connection: ConnectionId, grants: Grants },
    /// The join on this connection succeeded: the participant is in the room. Not for hidden ones.
    Arrived { connection: ConnectionId },
    /// A participant is out. `for_good`: it said so itself. Not for hidden ones.
    Departed { identity: String, for_good: bool },
    /// A participant began to speak or stopped, as measured. Not for hidden ones.
    Speaks { identity: String, speaks: bool },
    /// A participant changed its own name.
    Renamed { identity: String, name: String },
    /// What somebody who watches the room from outside is told (LiveKit's webhooks). Not of hidden participants.
    Happened(Box<Happening>),
    /// Nobody came, or nobody came back: drop the room. Comes once; nothing follows but refusals.
    Ended,
}

/// One thing that happened to the media of a room.
#[derive(Clone, Debug, PartialEq)]
pub enum Happening {
    /// Sound and picture can flow, for the first time.
    Joined {
        participant: ParticipantInfo,
    },
    /// Comes for whoever joined, after the end of its tracks.
    Left {
        participant: ParticipantInfo,
    },
    Published {
        participant: ParticipantInfo,
        track: TrackInfo,
    },
    Unpublished {
        participant: ParticipantInfo,
        track: TrackInfo,
    },
}

/// A `leave` for the client. [`Disconnect`](leave_request::Action::Disconnect) ends the session,
/// [`Resume`](leave_request::Action::Resume) asks for the same session on a new WebSocket,
/// [`Reconnect`](leave_request::Action::Reconnect) for a new session.
pub fn leave_response(reason: DisconnectReason, action: leave_request::Action) -> SignalResponse {
    response(signal_response::Message::Leave(LeaveRequest {
        can_reconnect: action != leave_request::Action::Disconnect, // read by protocols below 13
        reason: reason.into(),
        action: action.into(),
        regions: None,
    }))
}

pub(crate) fn response(message: signal_response::Message) -> SignalResponse {
    SignalResponse { message: Some(message) }
}

//! What a [`Room`](crate::Room) wants done. Effects are values, executed in order.

use crate::{ConnectionId, Identity, KeptText, Message, Record, Role, Settings, Source};
use std::sync::Arc;

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send to each of these sockets.
    Send { to: Vec<ConnectionId>, message: Arc<Message> },
    /// Close the socket after everything sent before. No later effect names it.
    Close { connection: ConnectionId },
    /// Nothing of this source may be heard or seen until its owner opens it again.
    Mute { participant: Identity, source: Source },
    /// While held, nothing of this source leaves the server, whatever its owner does. Lifting it opens nothing.
    Hold { participant: Identity, source: Source, held: bool },
    /// What the person may publish follows from the role; tracks they may no longer send end.
    Permit { participant: Identity, role: Role },
    /// End the person's media session.
    Remove { participant: Identity, why: Removal },
    /// LiveKit participant attributes that only the server sets; an empty value deletes the key.
    Attributes { participant: Identity, attributes: Vec<(&'static str, String)> },
    /// LiveKit room metadata for clients that do not speak the circle's protocol: JSON.
    RoomMetadata(String),
    /// The settings changed: they outlive the room.
    KeepSettings(Settings),
    /// This text outlives the meeting, until the day that it carries.
    KeepText(KeptText),
    /// A text does not outlive the meeting after all.
    ForgetText { text: u64 },
    /// No text outlives the meeting any more, those of earlier meetings included.
    ForgetTexts,
    /// Texts are kept for at most so long after they were written; what is older goes now.
    ShortenTexts { millis: u64 },
    /// Something was done that is recorded. Nobody is named.
    Record(Record),
    /// This person may not come back, also when the meeting is over. `origin`: from their token.
    Ban { participant: Identity, origin: Option<Arc<str>> },
    /// Somebody accepted this version of the agreement, for the first time. Who it was is not said.
    Accepted { version: u32 },
    /// The circle is over: end every media session and the room.
    End,
}

/// Why somebody is sent out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    ByHost,
    /// They said in the circle that they leave.
    Left,
}

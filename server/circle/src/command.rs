//! What a client may ask: JSON objects with an `id` and a `type`. Every command is answered once, by `ok` or `refused`.

use crate::limits::REQUEST_MAX;
use crate::{Addressee, Identity, Role, SettingsChange, Source};
use serde::Deserialize;

/// One command with the client's number for it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Request {
    pub id: u64,
    #[serde(flatten)]
    pub command: Command,
}

/// One command.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Command {
    /// Accept the agreement of this version, before or after coming in.
    Agree {
        version: u32,
    },
    RaiseHand,
    /// The own hand.
    LowerHand,
    /// "Someone came in" and back. Going away mutes the own microphone and camera; nobody is told.
    StepAway {
        away: bool,
    },
    Write {
        to: Addressee,
        body: String,
    },
    /// An own text, or anybody's by a host.
    RemoveText {
        text: u64,
    },
    React {
        reaction: String,
    },
    /// Leave at once; the seat is kept for a while.
    Leave,

    Mute {
        source: Source,
        participants: Vec<Identity>,
    },
    /// Everybody but oneself and these.
    MuteAll {
        source: Source,
        #[serde(default)]
        except: Vec<Identity>,
    },
    /// Ask people to open a source, and lift what holds it. It stays shut until they open it themselves.
    AskToUnmute {
        source: Source,
        participants: Vec<Identity>,
    },
    SetRole {
        participant: Identity,
        role: Role,
    },
    /// Exactly these, the first one first; empty: nobody.
    Spotlight {
        participants: Vec<Identity>,
    },
    /// Absent: all hands.
    LowerHands {
        participants: Option<Vec<Identity>>,
    },
    OrderSeats {
        participants: Vec<Identity>,
    },
    Remove {
        participant: Identity,
        /// For the rest of the meeting.
        #[serde(default)]
        ban: bool,
    },
    Admit {
        participants: Vec<Identity>,
    },
    Decline {
        participants: Vec<Identity>,
    },
    /// One line to somebody who waits.
    TellWaiting {
        participant: Identity,
        line: String,
    },
    ChangeRoom {
        set: SettingsChange,
    },
    /// End the circle for everybody.
    End,
}

impl Command {
    /// Whether it is about others and needs no place in the room. Those may come from outside it.
    #[must_use]
    pub const fn is_about_others(&self) -> bool {
        match self {
            Self::Mute { .. }
            | Self::MuteAll { .. }
            | Self::AskToUnmute { .. }
            | Self::SetRole { .. }
            | Self::Spotlight { .. }
            | Self::LowerHands { .. }
            | Self::OrderSeats { .. }
            | Self::Remove { .. }
            | Self::Admit { .. }
            | Self::Decline { .. }
            | Self::TellWaiting { .. }
            | Self::ChangeRoom { .. }
            | Self::End => true,
            Self::Agree { .. }
            | Self::RaiseHand
            | Self::LowerHand
            | Self::StepAway { .. }
            | Self::Write { .. }
            | Self::RemoveText { .. }
            | Self::React { .. }
            | Self::Leave => false,
        }
    }
}

/// Reads one command.
///
/// # Errors
/// Its `id`, if that much could be read.
pub fn decode_request(json: &str) -> Result<Request, Option<u64>> {
    #[derive(Deserialize)]
    struct OnlyId {
        id: u64,
    }
    if json.len() > REQUEST_MAX {
        return Err(None);
    }
    serde_json::from_str(json).map_err(|_| serde_json::from_str::<OnlyId>(json).ok().map(|OnlyId { id }| id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_command_keeps_its_number() {
        assert_eq!(decode_request(r#"{"id":7,"type":"fly"}"#), Err(Some(7)));
        assert_eq!(
            decode_request(r#"{"id":8,"type":"mute","source":"nose","participants":[]}"#),
            Err(Some(8))
        );
        assert_eq!(decode_request("[]"), Err(None));
        assert_eq!(decode_request(&format!("{{\"id\":1{}", " ".repeat(REQUEST_MAX))), Err(None));
        let request = decode_request(r#"{"id":9,"type":"raise-hand","new":"field"}"#).unwrap();
        assert_eq!(request, Request { id: 9, command: Command::RaiseHand });
    }
}

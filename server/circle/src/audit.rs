//! What a host does to others or to the room, as one record without names: which act, by which role, how many people
//! it concerned. It outlives the meeting, so it says nothing of who.

use crate::{Addressee, Command, Identity, Order, Role, Room};

/// One kind of act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Mute,
    AskToUnmute,
    SetRole,
    Spotlight,
    LowerHands,
    OrderSeats,
    Remove,
    Ban,
    RemoveText,
    Admit,
    Decline,
    TellWaiting,
    ChangeRoom,
    End,
}

impl Act {
    /// The act's name in the database and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mute => "mute",
            Self::AskToUnmute => "ask-to-unmute",
            Self::SetRole => "set-role",
            Self::Spotlight => "spotlight",
            Self::LowerHands => "lower-hands",
            Self::OrderSeats => "order-seats",
            Self::Remove => "remove",
            Self::Ban => "ban",
            Self::RemoveText => "remove-text",
            Self::Admit => "admit",
            Self::Decline => "decline",
            Self::TellWaiting => "tell-waiting",
            Self::ChangeRoom => "change-room",
            Self::End => "end",
        }
    }
}

/// One act that was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    pub act: Act,
    /// `None`: the operator.
    pub by: Option<Role>,
    /// People whom it concerned; 0 where it was about the room.
    pub people: usize,
}

impl Room {
    /// The record of a command, before it is obeyed; `None`: it is about the person's own things, or about nobody.
    pub(crate) fn record(&self, who: &Identity, command: &Command) -> Option<Record> {
        let role = self.acting_role(who)?;
        let by = (!who.is_operator()).then_some(role);
        let (act, people) = match command {
            Command::Mute { participants, .. } => (Act::Mute, participants.len()),
            Command::MuteAll { except, .. } => (Act::Mute, self.all_but(who, except).len()),
            Command::AskToUnmute { participants, .. } => (Act::AskToUnmute, participants.len()),
            Command::SetRole { .. } => (Act::SetRole, 1),
            Command::Spotlight { participants } => (Act::Spotlight, participants.len()),
            Command::LowerHands { participants } => {
                (Act::LowerHands, participants.as_ref().map_or(self.hands.all().len(), Vec::len))
            }
            Command::OrderSeats { participants } => (Act::OrderSeats, participants.len()),
            Command::Remove { ban, .. } => (if *ban { Act::Ban } else { Act::Remove }, 1),
            Command::Admit { participants } => (Act::Admit, participants.len()),
            Command::Decline { participants } => (Act::Decline, participants.len()),
            Command::TellWaiting { .. } => (Act::TellWaiting, 1),
            Command::ChangeRoom { .. } => (Act::ChangeRoom, 0),
            Command::End => (Act::End, self.participants.len()),
            Command::RemoveText { text } => {
                let text = self.texts.find(*text)?;
                if text.from == *who || text.to != Addressee::Everyone {
                    return None;
                }
                (Act::RemoveText, 1)
            }
            Command::Agree { .. }
            | Command::RaiseHand
            | Command::LowerHand
            | Command::StepAway { .. }
            | Command::Write { .. }
            | Command::React { .. }
            | Command::Leave => return None,
        };
        let about_the_room = matches!(act, Act::ChangeRoom | Act::End | Act::Spotlight);
        (people > 0 || about_the_room).then_some(Record { act, by, people })
    }

    /// The record of what the operator wants; a command has its own.
    pub(crate) fn record_of_order(&self, order: &Order) -> Option<Record> {
        let (act, people) = match order {
            Order::ChangeRoom(_) => (Act::ChangeRoom, 0),
            Order::Remove { .. } => (Act::Remove, 1),
            Order::SetRole { .. } => (Act::SetRole, 1),
            Order::End => (Act::End, self.participants.len()),
            Order::Obey { .. } => return None,
        };
        Some(Record { act, by: None, people })
    }
}

//! What a person may do: one table, Role × Action. Nothing else in the crate compares roles to decide a right.

use serde::{Deserialize, Serialize};

/// What a person is in the room. A room may have several hosts, all equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    Host,
    CoHost,
    Speaker,
    /// Hears and reads, has no seat and sends no sound or picture.
    Listener,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Host, Self::CoHost, Self::Speaker, Self::Listener];

    /// The role's name in JSON and in tokens.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::CoHost => "co-host",
            Self::Speaker => "speaker",
            Self::Listener => "listener",
        }
    }

    /// The role of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Whether this role may do that.
    #[must_use]
    pub const fn may(self, action: Action) -> bool {
        let (host, co_host, speaker, listener) = match action {
            // Everybody's own.
            Action::Write | Action::React | Action::RaiseHand | Action::StepAway | Action::AskHosts => {
                (true, true, true, true)
            }
            Action::Publish | Action::Sit => (true, true, true, false),
            // Whoever moderates.
            Action::Mute
            | Action::AskToUnmute
            | Action::MoveToListener
            | Action::Spotlight
            | Action::LowerHands
            | Action::OrderSeats
            | Action::Admit
            | Action::Remove
            | Action::RemoveText
            | Action::AnswerPrivately
            | Action::Unrestrained => (true, true, false, false),
            // Hosts only.
            Action::Ban | Action::NameHosts | Action::ChangeRoom | Action::End | Action::PassTheDoor => {
                (true, false, false, false)
            }
        };
        match self {
            Self::Host => host,
            Self::CoHost => co_host,
            Self::Speaker => speaker,
            Self::Listener => listener,
        }
    }

    /// Whether somebody of this role may moderate somebody of `other`. Equals may: a host's stolen link must not
    /// make its holder untouchable.
    #[must_use]
    pub const fn reaches(self, other: Self) -> bool {
        match (self, other) {
            (Self::Host, _) => true,
            (Self::CoHost, other) => !matches!(other, Self::Host),
            (Self::Speaker | Self::Listener, _) => false,
        }
    }
}

/// One right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Text to everybody, where the room's rule allows it.
    Write,
    React,
    RaiseHand,
    /// "Someone came in": own microphone and camera off, seat kept.
    StepAway,
    /// A private line to the hosts.
    AskHosts,
    /// Sound, picture, screen.
    Publish,
    /// A seat on the ring.
    Sit,
    Mute,
    AskToUnmute,
    /// Speaker to listener and back.
    MoveToListener,
    Spotlight,
    LowerHands,
    OrderSeats,
    /// Admit, decline, and write to those who wait.
    Admit,
    Remove,
    RemoveText,
    /// Answer a private line.
    AnswerPrivately,
    /// Room modes that hold microphones or screens or close the chat do not apply.
    Unrestrained,
    Ban,
    /// Make and unmake hosts and co-hosts.
    NameHosts,
    ChangeRoom,
    End,
    /// Come in through a lock, a full room, a lobby and an agreement.
    PassTheDoor,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_table() {
        use Action::*;
        // Host, co-host, speaker, listener.
        let table = [
            (Write, "yyyy"),
            (React, "yyyy"),
            (RaiseHand, "yyyy"),
            (StepAway, "yyyy"),
            (AskHosts, "yyyy"),
            (Publish, "yyy-"),
            (Sit, "yyy-"),
            (Mute, "yy--"),
            (AskToUnmute, "yy--"),
            (MoveToListener, "yy--"),
            (Spotlight, "yy--"),
            (LowerHands, "yy--"),
            (OrderSeats, "yy--"),
            (Admit, "yy--"),
            (Remove, "yy--"),
            (RemoveText, "yy--"),
            (AnswerPrivately, "yy--"),
            (Unrestrained, "yy--"),
            (Ban, "y---"),
            (NameHosts, "y---"),
            (ChangeRoom, "y---"),
            (End, "y---"),
            (PassTheDoor, "y---"),
        ];
        for (action, allowed) in table {
            let found: String =
                Role::ALL.into_iter().map(|role| if role.may(action) { 'y' } else { '-' }).collect();
            assert_eq!(found, allowed, "{action:?}");
        }
        let reach: Vec<String> = Role::ALL
            .into_iter()
            .map(|role| {
                Role::ALL.into_iter().map(|other| if role.reaches(other) { 'y' } else { '-' }).collect()
            })
            .collect();
        assert_eq!(reach, ["yyyy", "-yyy", "----", "----"]);
    }

    #[test]
    fn names_are_read_back() {
        for role in Role::ALL {
            assert_eq!(Role::from_name(role.name()), Some(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.name());
        }
        assert_eq!(Role::from_name("Host"), None);
    }
}

//! Why a command or a person is refused: a code for programs, and a sentence that says what to do.

use crate::limits::{
    AGREEMENT_LINES_MAX, CAPACITY_MAX, CLOSE_MINUTES_MAX, HISTORY_DAYS_MAX, LINE_MAX, LIST_MAX,
    SPOTLIGHT_MAX, TEXT_MAX,
};

/// `Display` is the sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("Only a host may do this: ask a host.")]
    NotAllowed,
    #[error("This person is a host, and a co-host may not do this to a host: ask a host.")]
    HostProtected,
    #[error("You are the only host: name another one first.")]
    LastHost,
    #[error("This person is not in the room any more.")]
    ParticipantUnknown,
    #[error("This person is not waiting any more.")]
    NotWaiting,
    #[error("You are not in the room yet: wait until a host lets you in.")]
    StillWaiting,
    #[error("This text does not exist any more.")]
    TextUnknown,
    #[error("The chat is closed: a host can open it. A line to the hosts still works.")]
    TextClosed,
    #[error("The text is empty, or it holds control characters: write something.")]
    TextUnreadable,
    #[error("The text is longer than {TEXT_MAX} characters: make it shorter.")]
    TextTooLong,
    #[error("The line is longer than {LINE_MAX} characters, or holds control characters: make it shorter.")]
    LineTooLong,
    #[error("A reaction is one or a few emoji.")]
    ReactionUnreadable,
    #[error("At most {LIST_MAX} people can be named in one command.")]
    TooMany,
    #[error("At most {SPOTLIGHT_MAX} people can be shown large.")]
    SpotlightFull,
    #[error("Somebody came or left meanwhile: order the seats again.")]
    SeatsChanged,
    #[error(
        "The setting is out of bounds: at most {CAPACITY_MAX} people, {CLOSE_MINUTES_MAX} minutes, \
         {HISTORY_DAYS_MAX} days, {AGREEMENT_LINES_MAX} lines of {LINE_MAX} characters."
    )]
    SettingOutOfBounds,
    #[error("The agreement changed: read it again.")]
    AgreementChanged,
    #[error("You have to read and accept the agreement of this room first.")]
    AgreementNeeded,
    #[error("Too many commands: wait a moment and try again.")]
    TooFast,
    #[error("The command cannot be read: send JSON as the protocol describes.")]
    Unreadable,
    #[error("It is so now, but the server could not write it down: after a restart it is gone. Try again.")]
    NotKept,
    #[error("The room is locked: wait until a host opens it.")]
    Locked,
    #[error("Every seat is taken: try again later.")]
    Full,
    #[error("A host lets people in one by one: connect to the circle and wait there.")]
    InLobby,
    #[error("You were not let in this time: ask the person who invited you.")]
    Declined,
    #[error("You cannot enter this room again.")]
    Banned,
    #[error("The circle has ended.")]
    Ended,
}

impl Refusal {
    /// The code in `refused`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotAllowed => "not-allowed",
            Self::HostProtected => "host-protected",
            Self::LastHost => "last-host",
            Self::ParticipantUnknown => "participant-unknown",
            Self::NotWaiting => "not-waiting",
            Self::StillWaiting => "still-waiting",
            Self::TextUnknown => "text-unknown",
            Self::TextClosed => "text-closed",
            Self::TextUnreadable => "text-unreadable",
            Self::TextTooLong => "text-too-long",
            Self::LineTooLong => "line-too-long",
            Self::ReactionUnreadable => "reaction-unreadable",
            Self::TooMany => "too-many",
            Self::SpotlightFull => "spotlight-full",
            Self::SeatsChanged => "seats-changed",
            Self::SettingOutOfBounds => "setting-out-of-bounds",
            Self::AgreementChanged => "agreement-changed",
            Self::AgreementNeeded => "agreement-needed",
            Self::TooFast => "too-fast",
            Self::Unreadable => "unreadable",
            Self::NotKept => "not-kept",
            Self::Locked => "locked",
            Self::Full => "full",
            Self::InLobby => "in-lobby",
            Self::Declined => "declined",
            Self::Banned => "banned",
            Self::Ended => "ended",
        }
    }
}

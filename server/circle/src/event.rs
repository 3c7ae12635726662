//! What the server says: answers, the whole state, and events that carry the revision they lead to.

use crate::hands::Hand;
use crate::lobby::{Knock, WaitsFor};
use crate::text::Text;
use crate::{Agreement, Identity, Role, Settings, Source};
use serde::Serialize;

/// One message to a client.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Message {
    Answer(Answer),
    Event {
        revision: u64,
        #[serde(flatten)]
        event: Event,
    },
}

impl Message {
    /// A command was obeyed, and the disk did not take what it changed.
    #[must_use]
    pub fn not_kept(id: u64) -> Self {
        let refusal = crate::Refusal::NotKept;
        Self::Answer(Answer::Refused { id: Some(id), code: refusal.code(), message: refusal.to_string() })
    }
}

/// A message that is for one client alone and is not repeated.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Answer {
    /// The command with this id is done; everything it changed was told before.
    Ok { id: u64, revision: u64 },
    /// It is not done, or (without an id) the person does not come in.
    Refused {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        code: &'static str,
        message: String,
    },
    /// Everything this person may see. Who is admitted from the lobby learns it by this.
    State(Box<State>),
    /// A client that came back has seen everything now.
    CaughtUp { revision: u64 },
    /// The person stands before the door.
    Waiting {
        waits_for: WaitsFor,
        question: String,
        agreement: Agreement,
        /// How many people are inside, where the room says so.
        #[serde(skip_serializing_if = "Option::is_none")]
        inside: Option<usize>,
    },
    /// A host's line to somebody who waits.
    Line { line: String },
    /// The same person came in with another socket; this one closes.
    Elsewhere,
    /// The server stops: come back soon.
    Stopping,
}

/// The whole room as one person may see it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Other than before: revisions started anew, and nothing of the old state counts.
    pub epoch: String,
    pub revision: u64,
    pub you: Identity,
    /// Whether you stepped away.
    pub away: bool,
    pub settings: Settings,
    /// In the order they came.
    pub participants: Vec<Person>,
    /// The ring, clockwise.
    pub seats: Vec<Identity>,
    pub hands: Vec<Hand>,
    pub spotlight: Vec<Identity>,
    pub texts: Vec<Text>,
    /// Who waits; only for those who can let them in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lobby: Option<Vec<Knock>>,
    /// When the room closes for want of a host, ms since 1970-01-01 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closes_at: Option<u64>,
}

/// One person as the others see them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Person {
    pub participant: Identity,
    pub name: String,
    pub role: Role,
    /// Milliseconds since 1970-01-01 UTC.
    pub joined_at: u64,
    /// False while their line is gone.
    pub connected: bool,
    /// False: text only.
    pub media: bool,
    /// What they cannot open by themselves.
    pub held: Vec<Source>,
}

/// What a host did, where the room shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    Mute,
    LowerHands,
    Remove,
    Ban,
    RemoveText,
}

/// Something that changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Event {
    /// `seat`: their place on the ring, counted from 0; those behind it move on by one.
    Joined {
        person: Person,
        #[serde(skip_serializing_if = "Option::is_none")]
        seat: Option<usize>,
    },
    Changed {
        person: Person,
    },
    /// Their seat, hand and place in the spotlight are free.
    Left {
        participant: Identity,
    },
    /// What these people cannot open by themselves any more, or can again.
    Held {
        source: Source,
        held: bool,
        participants: Vec<Identity>,
    },
    Seats {
        seats: Vec<Identity>,
    },
    Hands {
        hands: Vec<Hand>,
    },
    Spotlight {
        participants: Vec<Identity>,
    },
    Settings {
        settings: Settings,
    },
    Text {
        text: Text,
    },
    TextRemoved {
        text: u64,
    },
    Reaction {
        participant: Identity,
        reaction: String,
    },
    /// One line about what a host did.
    Moderation {
        by: Identity,
        deed: Deed,
        #[serde(skip_serializing_if = "Option::is_none")]
        source: Option<Source>,
        participants: Vec<Identity>,
    },
    /// To the person: a host shut this source.
    Muted {
        source: Source,
    },
    /// To the person: a host asks you to open this source, and you can.
    AskedToUnmute {
        source: Source,
    },
    /// To the person.
    Away {
        away: bool,
    },
    /// To the person: a host ended your stay.
    Removed {
        banned: bool,
    },
    /// To those who can let people in.
    Knocked {
        knock: Knock,
    },
    /// Somebody waits no longer: let in, declined, or gone.
    KnockEnded {
        participant: Identity,
    },
    /// No host is left: the room closes then (ms since 1970-01-01 UTC), or, `null`, it does not any more.
    Closing {
        at: Option<u64>,
    },
    /// The circle is over.
    Ended,
}

//! The circle of one room, sans-I/O: who is here, what they may do, in which order they sit, whose hand is up, who
//! is shown large, what was written, and what a host decides. Its JSON protocol is in `PROTOCOL.md` beside this crate.
//!
//! It knows no packet, no SDP, no LiveKit and no database. What must happen to sound and picture leaves as an
//! [`Effect`]; whoever drives the room gives it to the media side in the same turn.
//!
//! [`Room`] is everything: feed it [`Input`] with the time, then drain [`Room::poll_effect`]; call again with
//! [`Input::Tick`] when [`Room::next_deadline`] has passed.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod agreement;
mod allowance;
mod audit;
mod command;
mod conversation;
mod door;
mod effect;
mod event;
mod hands;
mod history;
mod identity;
mod input;
mod journal;
pub mod limits;
mod lobby;
mod memory;
mod mirror;
mod moderation;
mod participant;
mod presence;
#[cfg(test)]
mod properties;
mod refusal;
mod role;
mod room;
mod seat;
mod settings;
mod snapshot;
mod source;
mod spotlight;
mod text;
mod view;

pub use agreement::Agreement;
pub use audit::{Act, Record};
pub use command::{Command, Request, decode_request};
pub use effect::{Effect, Removal};
pub use event::{Answer, Deed, Event, Message, Person, State};
pub use hands::Hand;
pub use identity::Identity;
pub use input::{ConnectionId, Input, Now, Order, Outsider, Pass, Resume};
pub use lobby::{Knock, WaitsFor};
pub use participant::Standing;
pub use refusal::Refusal;
pub use role::{Action, Role};
pub use room::Room;
pub use settings::{
    HandOrder, HandOver, History, LobbyRule, Microphones, Screens, Settings, SettingsChange, TextRule,
};
pub use snapshot::Snapshot;
pub use source::Source;
pub use text::{Addressee, KeptText, Text};

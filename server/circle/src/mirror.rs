//! The circle as LiveKit's other clients can show it: roles and hands as participant attributes, the rest as room
//! metadata. Names begin with `enza`, and only the server sets them.

use crate::{Effect, Identity, Role, Room};
use serde::Serialize;

/// The role, as in [`Role::name`].
const ROLE: &str = "enza.role";
/// When the hand was raised, ms since 1970-01-01 UTC; absent while it is down.
const HAND: &str = "enza.hand";

/// The attributes of somebody with this role and hand. An empty value deletes its key.
pub(crate) fn attributes(role: Role, hand: Option<u64>) -> Vec<(&'static str, String)> {
    vec![(ROLE, role.name().to_owned()), (HAND, hand.map(|at| at.to_string()).unwrap_or_default())]
}

#[derive(Serialize)]
struct Metadata<'a> {
    enza: Circle<'a>,
}

#[derive(Serialize)]
struct Circle<'a> {
    question: &'a str,
    locked: bool,
    seats: Vec<&'a Identity>,
    spotlight: &'a [Identity],
}

impl Room {
    /// Tells LiveKit's clients what changed, once per input.
    pub(crate) fn mirror(&mut self) {
        if !std::mem::take(&mut self.mirror_stale) {
            return;
        }
        let circle = Circle {
            question: &self.settings.question,
            locked: self.settings.locked,
            seats: self.seats.taken().collect(),
            spotlight: self.spotlight.shown(),
        };
        // Strings and lists of strings: this cannot fail.
        if let Ok(json) = serde_json::to_string(&Metadata { enza: circle }) {
            self.effect(Effect::RoomMetadata(json));
        }
    }

    /// Tells LiveKit's clients what somebody is now.
    pub(crate) fn mirror_person(&mut self, who: &Identity) {
        let Some(person) = self.participants.get(who).filter(|person| person.media) else { return };
        let attributes = attributes(person.role, self.hands.is_up(who));
        self.effect(Effect::Attributes { participant: who.clone(), attributes });
    }
}

//! A running circle in a form that outlives a restart of the process: who sat where, whose hand was up, what hosts
//! made of people and who was let in. No name and no text is in it.

use crate::memory::Remembered;
use crate::{Identity, Role, Room};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What is needed so that people who come back sit where they sat.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Snapshot {
    /// The ring, clockwise, without seats that were left.
    seats: Vec<Identity>,
    spotlight: Vec<Identity>,
    people: Vec<Known>,
}

/// One person of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Known {
    participant: Identity,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    #[serde(default)]
    admitted: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agreed: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hand: Option<u64>,
    /// Seconds.
    #[serde(default)]
    spoken: u64,
    #[serde(default)]
    away: bool,
    #[serde(default)]
    declined: bool,
    #[serde(default)]
    banned: bool,
}

impl Room {
    /// The circle as it is now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let known = |(participant, known): (&Identity, &Remembered)| Known {
            participant: participant.clone(),
            role: known.role,
            admitted: known.admitted,
            agreed: known.agreed,
            hand: self.hands.is_up(participant).or(known.hand),
            spoken: known.spoken.as_secs(),
            away: self.participants.get(participant).is_some_and(|person| person.away),
            declined: known.declined,
            banned: known.banned,
        };
        Snapshot {
            seats: self.seats.taken().cloned().collect(),
            spotlight: self.spotlight.shown().to_vec(),
            people: self.memory.all().map(known).collect(),
        }
    }

    /// Remembers what an earlier run of the process left. Call before anybody comes in.
    pub fn restore(&mut self, snapshot: Snapshot) {
        for sitter in &snapshot.seats {
            self.seats.sit(sitter);
            self.seats.leave(sitter, self.now.instant);
        }
        self.spotlight_before = snapshot.spotlight;
        for known in snapshot.people {
            self.memory.note(&known.participant, |remembered| {
                remembered.role = known.role;
                remembered.admitted = known.admitted;
                remembered.agreed = known.agreed;
                remembered.hand = known.hand;
                remembered.spoken = Duration::from_secs(known.spoken);
                remembered.away = known.away;
                remembered.declined = known.declined;
                remembered.banned = known.banned;
            });
        }
    }

    /// Somebody came back who was in the spotlight before the restart.
    pub(crate) fn light_again(&mut self, who: &Identity) {
        if !self.spotlight_before.contains(who) {
            return;
        }
        let here = self.spotlight_before.iter().filter(|shown| self.participants.contains_key(shown));
        // There were no more before.
        if self.spotlight.set(here.cloned().collect()).is_ok() {
            self.tell_spotlight();
        }
    }
}

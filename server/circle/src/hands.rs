//! Raised hands, in the order in which they are shown.

use crate::{HandOrder, Identity};
use serde::Serialize;
use std::time::Duration;

/// Speaking times are compared in steps of so many seconds. Higher: who spoke a good while longer still comes first;
/// lower: a greeting decides, and not who waits for longer.
const SPOKEN_STEP: u64 = 10;

/// One raised hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hand {
    pub participant: Identity,
    /// Milliseconds since 1970-01-01 UTC.
    pub raised_at: u64,
}

#[derive(Default)]
pub(crate) struct Hands(Vec<Hand>);

impl Hands {
    /// Raises; false when it is up already. [`Hands::order`] then gives it its place.
    pub(crate) fn raise(&mut self, participant: Identity, raised_at: u64) -> bool {
        if self.is_up(&participant).is_some() {
            return false;
        }
        self.0.push(Hand { participant, raised_at });
        true
    }

    /// Puts the queue in order. `spoken`: how long somebody has spoken so far.
    pub(crate) fn order(&mut self, rule: HandOrder, spoken: impl Fn(&Identity) -> Duration) {
        match rule {
            HandOrder::InOrder => self.0.sort_by_key(|hand| hand.raised_at),
            HandOrder::LeastSpokenFirst => self.0.sort_by_cached_key(|hand| {
                (spoken(&hand.participant).as_secs().checked_div(SPOKEN_STEP), hand.raised_at)
            }),
        }
    }

    /// Lowers; when it was raised, if it was.
    pub(crate) fn lower(&mut self, participant: &Identity) -> Option<u64> {
        let place = self.0.iter().position(|hand| hand.participant == *participant)?;
        Some(self.0.remove(place).raised_at)
    }

    pub(crate) fn is_up(&self, participant: &Identity) -> Option<u64> {
        self.0.iter().find(|hand| hand.participant == *participant).map(|hand| hand.raised_at)
    }

    pub(crate) fn all(&self) -> &[Hand] {
        &self.0
    }
}

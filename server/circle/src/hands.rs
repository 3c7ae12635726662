//! Raised hands, in the order they were raised.

use crate::Identity;
use serde::Serialize;

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
    /// Raises; false when it is up already. A hand that comes back takes its old place.
    pub(crate) fn raise(&mut self, participant: Identity, raised_at: u64) -> bool {
        if self.is_up(&participant).is_some() {
            return false;
        }
        let place = self.0.partition_point(|hand| hand.raised_at <= raised_at);
        self.0.insert(place, Hand { participant, raised_at });
        true
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

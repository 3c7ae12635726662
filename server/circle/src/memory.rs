//! What the room remembers of people beyond their presence, while it lives: so that who drops comes back as what
//! they were, and who was sent away stays away.

use crate::limits::REMEMBERED_MAX;
use crate::{Identity, Role};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// What is known of one identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Remembered {
    /// What a host made of them, which comes before their token.
    pub(crate) role: Option<Role>,
    /// They were inside, or a host let them in: the lobby and the lock are behind them.
    pub(crate) admitted: bool,
    /// The version of the agreement they accepted.
    pub(crate) agreed: Option<u32>,
    /// When the hand was raised that they left with.
    pub(crate) hand: Option<u64>,
    /// How long they have spoken in this meeting, until they last fell silent.
    pub(crate) spoken: Duration,
    /// They had stepped away when the process ended.
    pub(crate) away: bool,
    pub(crate) declined: bool,
    pub(crate) banned: bool,
}

#[derive(Default)]
pub(crate) struct Memory {
    people: HashMap<Identity, Remembered>,
    /// Oldest first; forgotten in this order, except that bans go last of all.
    order: VecDeque<Identity>,
}

impl Memory {
    pub(crate) fn of(&self, identity: &Identity) -> Remembered {
        self.people.get(identity).cloned().unwrap_or_default()
    }

    /// Everybody who is remembered, oldest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Identity, &Remembered)> {
        self.order.iter().filter_map(|identity| self.people.get_key_value(identity))
    }

    pub(crate) fn note(&mut self, identity: &Identity, change: impl FnOnce(&mut Remembered)) {
        if !self.people.contains_key(identity) {
            if self.people.len() >= REMEMBERED_MAX {
                self.forget_one();
            }
            self.order.push_back(identity.clone());
        }
        change(self.people.entry(identity.clone()).or_default());
    }

    pub(crate) fn lift(&mut self, meant: impl Fn(&Identity) -> bool) {
        for (identity, known) in &mut self.people {
            known.banned &= !meant(identity);
        }
    }

    fn forget_one(&mut self) {
        let banned = |identity: &Identity| self.people.get(identity).is_some_and(|known| known.banned);
        let place = self.order.iter().position(|identity| !banned(identity)).unwrap_or(0);
        if let Some(identity) = self.order.remove(place) {
            self.people.remove(&identity);
        }
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        assert_eq!(self.people.len(), self.order.len());
        self.people.len()
    }
}

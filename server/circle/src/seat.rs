//! The order in which people sit: one order for everybody. A seat that was left is kept for a while.

use crate::limits::SEAT_KEPT;
use crate::{Identity, Refusal};
use std::collections::BTreeSet;
use std::time::Instant;

struct Seat {
    sitter: Identity,
    /// `Some` while the sitter is gone.
    left_at: Option<Instant>,
}

#[derive(Default)]
pub(crate) struct Seats(Vec<Seat>);

impl Seats {
    /// Takes a seat: the old one if it is kept, else a new one at the end of the row.
    pub(crate) fn sit(&mut self, sitter: &Identity) {
        match self.0.iter_mut().find(|seat| seat.sitter == *sitter) {
            Some(seat) => seat.left_at = None,
            None => self.0.push(Seat { sitter: sitter.clone(), left_at: None }),
        }
    }

    /// Leaves the seat for a while.
    pub(crate) fn leave(&mut self, sitter: &Identity, now: Instant) {
        if let Some(seat) = self.0.iter_mut().find(|seat| seat.sitter == *sitter) {
            seat.left_at = Some(now);
        }
    }

    /// Gives the seat up.
    pub(crate) fn give_up(&mut self, sitter: &Identity) {
        self.0.retain(|seat| seat.sitter != *sitter);
    }

    /// A new order of everybody who sits. Kept seats go to the end.
    pub(crate) fn order(&mut self, order: &[Identity]) -> Result<(), Refusal> {
        let sitting: BTreeSet<&Identity> = self.taken().collect();
        let asked: BTreeSet<&Identity> = order.iter().collect();
        if sitting != asked || asked.len() != order.len() {
            return Err(Refusal::SeatsChanged);
        }
        let mut seats: Vec<Seat> =
            order.iter().map(|sitter| Seat { sitter: sitter.clone(), left_at: None }).collect();
        seats.extend(self.0.drain(..).filter(|seat| seat.left_at.is_some()));
        self.0 = seats;
        Ok(())
    }

    pub(crate) fn taken(&self) -> impl Iterator<Item = &Identity> {
        self.0.iter().filter(|seat| seat.left_at.is_none()).map(|seat| &seat.sitter)
    }

    /// Forgets seats that were left too long ago.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.0.retain(|seat| seat.left_at.is_none_or(|left| left + SEAT_KEPT > now));
    }

    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.0.iter().filter_map(|seat| seat.left_at).min().map(|left| left + SEAT_KEPT)
    }

    /// Seats, kept ones included.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

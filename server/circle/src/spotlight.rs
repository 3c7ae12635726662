//! Who is shown large to everybody, in the host's order.

use crate::limits::SPOTLIGHT_MAX;
use crate::{Identity, Refusal};

#[derive(Default)]
pub(crate) struct Spotlight(Vec<Identity>);

impl Spotlight {
    /// Shows exactly these, the first one first.
    pub(crate) fn set(&mut self, participants: Vec<Identity>) -> Result<(), Refusal> {
        let mut shown: Vec<Identity> = Vec::new();
        for participant in participants {
            if !shown.contains(&participant) {
                shown.push(participant);
            }
        }
        if shown.len() > SPOTLIGHT_MAX {
            return Err(Refusal::SpotlightFull);
        }
        self.0 = shown;
        Ok(())
    }

    /// Takes somebody out; whether they were in it.
    pub(crate) fn forget(&mut self, participant: &Identity) -> bool {
        let before = self.0.len();
        self.0.retain(|shown| shown != participant);
        self.0.len() != before
    }

    pub(crate) fn shown(&self) -> &[Identity] {
        &self.0
    }
}

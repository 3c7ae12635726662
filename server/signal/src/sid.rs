//! LiveKit sids and other random bytes, all from the room's seed.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 62^12 possible sids: no two meet in a room's life.
const LENGTH: usize = 12;

pub(crate) struct Sids(Xoshiro256PlusPlus);

impl Sids {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self(Xoshiro256PlusPlus::from_seed(seed))
    }

    pub(crate) fn room(&mut self) -> String {
        self.sid("RM_")
    }

    pub(crate) fn participant(&mut self) -> String {
        self.sid("PA_")
    }

    pub(crate) fn track(&mut self) -> String {
        self.sid("TR_")
    }

    pub(crate) fn data_track(&mut self) -> String {
        self.sid("DTR_")
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    fn sid(&mut self, prefix: &str) -> String {
        let mut sid = prefix.to_owned();
        let full = prefix.len().saturating_add(LENGTH);
        while sid.len() < full {
            // Six of the high bits; 62 and 63 are drawn again, so every letter is equally likely.
            let index = usize::try_from(self.0.next_u64() >> 58).unwrap_or(usize::MAX);
            if let Some(&letter) = BASE62.get(index) {
                sid.push(char::from(letter));
            }
        }
        sid
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn sids_have_their_prefix_are_distinct_and_follow_the_seed() {
        let mut sids = Sids::new([7; 32]);
        let made: HashSet<String> = (0..1000).map(|_| sids.participant()).collect();
        assert_eq!(made.len(), 1000);
        assert!(made.iter().all(|sid| sid.len() == 15
            && sid.starts_with("PA_")
            && sid.get(3..).unwrap().bytes().all(|b| b.is_ascii_alphanumeric())));
        assert_eq!(Sids::new([7; 32]).room(), Sids::new([7; 32]).room());
        assert_ne!(Sids::new([7; 32]).track(), Sids::new([8; 32]).track());
    }
}

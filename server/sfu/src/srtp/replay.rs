//! What one inbound source sent already: the highest packet index and a bitmap of those below it
//! (RFC 3711 §3.3.1 and §3.3.2; the word-wise window is RFC 6479's).

const WORD: u64 = 64;

/// Highest index and which of the `(WORDS - 1) * 64` below it were accepted. `WORDS` must be at least 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window<const WORDS: usize> {
    highest: u64,
    seen: [u64; WORDS],
}

impl<const WORDS: usize> Window<WORDS> {
    /// How far behind the highest index a packet is surely still accepted.
    #[cfg(test)]
    pub(super) const REACH: u64 = (WORDS as u64 - 1) * WORD;

    /// A window whose first accepted packet is `index`.
    pub(super) fn starting_at(index: u64) -> Self {
        let mut window = Self { highest: index, seen: [0; WORDS] };
        window.mark(index);
        window
    }

    pub(super) const fn highest(&self) -> u64 {
        self.highest
    }

    /// False when `index` was accepted before or is older than the window.
    pub(super) fn is_new(&self, index: u64) -> bool {
        if index > self.highest {
            return true;
        }
        let age = (self.highest / WORD).wrapping_sub(index / WORD);
        if age >= Self::words() {
            return false;
        }
        self.seen.get(Self::slot(index)).is_some_and(|word| word & Self::bit(index) == 0)
    }

    /// Records an authenticated packet for which [`Self::is_new`] held.
    pub(super) fn accept(&mut self, index: u64) {
        if index > self.highest {
            let last = self.highest / WORD;
            let steps = (index / WORD).wrapping_sub(last).min(Self::words());
            for step in 1..=steps {
                let word = last.wrapping_add(step);
                if let Some(seen) = self.seen.get_mut(Self::slot(word.wrapping_mul(WORD))) {
                    *seen = 0;
                }
            }
            self.highest = index;
        }
        self.mark(index);
    }

    fn mark(&mut self, index: u64) {
        if let Some(word) = self.seen.get_mut(Self::slot(index)) {
            *word |= Self::bit(index);
        }
    }

    const fn words() -> u64 {
        WORDS as u64
    }

    fn slot(index: u64) -> usize {
        (index / WORD).checked_rem(Self::words()).map_or(0, |slot| slot as usize)
    }

    const fn bit(index: u64) -> u64 {
        1_u64.wrapping_shl((index % WORD) as u32)
    }
}

/// Guesses the 48-bit index of a packet from the highest one (RFC 3711 appendix A). `None`: the rollover counter
/// would overflow. During the first half cycle nothing can be from before the wrap, so a far higher number is a
/// jump ahead (libsrtp does the same; it matters when a sender starts low and leaps).
pub(super) fn guess_index(highest: u64, sequence: u16) -> Option<u64> {
    const HALF: u16 = 1 << 15;
    let rollover = highest >> 16;
    let last = highest as u16;
    let guessed = if last < HALF {
        if sequence > last.wrapping_add(HALF) && rollover > 0 { rollover.wrapping_sub(1) } else { rollover }
    } else if sequence < last.wrapping_sub(HALF) {
        rollover.wrapping_add(1)
    } else {
        rollover
    };
    (guessed <= u64::from(u32::MAX)).then_some((guessed << 16) | u64::from(sequence))
}

//! Which part of a scalable stream (VP9, AV1) one subscriber gets: a decode target, changed only where its decoder can
//! follow. Owns the memory of what was sent, which tells whether a chain of frames is whole.

use crate::rtp::dependency_descriptor::{Frame, Indication, Structure};

/// Frames remembered: chains count back up to 255.
const MEMORY: u16 = 256;

/// A decode target with its highest spatial layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) number: u8,
    pub(crate) spatial: u8,
}

impl Target {
    pub(crate) fn best(structure: &Structure, spatial: u8, temporal: u8, active: u32) -> Option<Self> {
        let number = structure.target(spatial, temporal, active)?;
        Some(Self { number, spatial: structure.spatial_of(number) })
    }
}

#[derive(Default)]
pub(crate) struct Svc {
    /// The stream that carries all spatial layers, if the track has one.
    pub(crate) stream: Option<usize>,
    /// The wanted target's chain is broken for this subscriber: only a key frame leads there.
    pub(crate) stuck: bool,
    /// Whether the frame with the number of the bit's place went out.
    sent: [u64; 4],
    newest: Option<u16>,
}

impl Svc {
    /// A new stretch: nothing before it counts.
    pub(crate) fn begin(&mut self) {
        (self.sent, self.newest, self.stuck) = ([0; 4], None, false);
    }

    /// A frame goes out.
    pub(crate) fn note(&mut self, number: u16) {
        let ahead = self.newest.map_or(0, |newest| number.wrapping_sub(newest));
        if self.newest.is_none() || (ahead > 0 && ahead < u16::MAX / 2) {
            // The places between belong to newer frames now, which did not go out.
            for step in 1..ahead.min(MEMORY) {
                self.set(number.wrapping_sub(step), false);
            }
            self.newest = Some(number);
        }
        self.set(number, true);
    }

    fn set(&mut self, number: u16, sent: bool) {
        if let Some(word) = self.sent.get_mut(usize::from(number % MEMORY / 64)) {
            let bit = 1_u64.wrapping_shl(u32::from(number % 64));
            *word = if sent { *word | bit } else { *word & !bit };
        }
    }

    fn was_sent(&self, number: u16) -> bool {
        let back = self.newest.map_or(MEMORY, |newest| newest.wrapping_sub(number));
        let word = self.sent.get(usize::from(number % MEMORY / 64)).copied().unwrap_or(0);
        back < MEMORY && word.wrapping_shr(u32::from(number % 64)) & 1 == 1
    }

    /// Whether decoding of `target` can begin with this frame. Notes when only a key frame helps.
    pub(crate) fn leads_to(&mut self, structure: &Structure, frame: &Frame, target: u8) -> bool {
        if frame.indications.of(target) != Indication::Switch {
            return false;
        }
        let whole = match structure.chain_of(target).and_then(|chain| frame.chains.get(chain)) {
            Some(0) => true,
            Some(distance) => self.was_sent(frame.number.wrapping_sub(u16::from(*distance))),
            None => frame.key,
        };
        self.stuck = !whole;
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_sent_are_remembered_and_forgotten_across_the_wrap() {
        let mut svc = Svc::default();
        for step in 0..1000_u16 {
            let number = step.wrapping_add(65_000);
            if step % 3 != 1 {
                svc.note(number);
            }
            for back in 0..200.min(step) {
                let before = step - back;
                let newest = if step % 3 == 1 { step - 1 } else { step };
                if before <= newest {
                    assert_eq!(
                        svc.was_sent(before.wrapping_add(65_000)),
                        before % 3 != 1,
                        "{before} at {step}"
                    );
                }
            }
        }
        assert!(!svc.was_sent(65_000_u16.wrapping_add(999 - 300)), "too long ago");
        svc.note(65_000_u16.wrapping_add(994)); // late
        assert!(svc.was_sent(65_000_u16.wrapping_add(994)));
        svc.begin();
        assert!(!svc.was_sent(65_000_u16.wrapping_add(999)));
    }
}

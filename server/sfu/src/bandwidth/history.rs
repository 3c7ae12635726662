//! What was sent lately under which transport-wide number. Owns the numbering; knows no rate.

/// Packets remembered, a power of two. Higher: 32 bytes each and subscriber; lower: at 5 Mbit/s feedback that is
/// more than two seconds late finds nothing.
const REMEMBERED: usize = 2048;

/// One packet that left.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sent {
    /// Extended number plus one; 0 is empty, and a packet that was reported is emptied.
    tag: u64,
    /// Seconds on the owner's clock.
    pub(crate) at: f64,
    pub(crate) bytes: u32,
    /// The probe it belongs to; 0 is none.
    pub(crate) probe: u32,
    /// It was reported as not received.
    pub(crate) lost: bool,
}

/// A ring by number.
#[derive(Default)]
pub(crate) struct History {
    /// Empty until the first packet: peers that receive no video cost nothing.
    ring: Vec<Sent>,
    next: u64,
}

impl History {
    /// The number of the next packet, as it goes on the wire.
    pub(crate) fn next(&self) -> u16 {
        self.next as u16
    }

    pub(crate) fn sent(&mut self, at: f64, bytes: u32, probe: u32) {
        if self.ring.is_empty() {
            self.ring.resize(REMEMBERED, Sent::default());
        }
        let tag = self.next.wrapping_add(1);
        if let Some(slot) = self.ring.get_mut(index(self.next)) {
            *slot = Sent { tag, at, bytes, probe, lost: false };
        }
        self.next = tag;
    }

    /// Takes the packet that a report means; `None` for what was never sent, is too old or was reported before.
    pub(crate) fn take(&mut self, sequence: u16) -> Option<Sent> {
        self.find(sequence).map(std::mem::take)
    }

    /// Notes that the packet did not arrive, though it may yet. When it left, if that is news.
    pub(crate) fn lose(&mut self, sequence: u16) -> Option<f64> {
        self.find(sequence).and_then(|sent| (!std::mem::replace(&mut sent.lost, true)).then_some(sent.at))
    }

    fn find(&mut self, sequence: u16) -> Option<&mut Sent> {
        let back = (self.next as u16).wrapping_sub(sequence);
        if back == 0 || usize::from(back) > REMEMBERED {
            return None;
        }
        let number = self.next.checked_sub(u64::from(back))?;
        self.ring.get_mut(index(number)).filter(|slot| slot.tag == number.wrapping_add(1))
    }

    /// Whether one report may speak of so many packets.
    pub(crate) fn covers(&self, count: u16) -> bool {
        usize::from(count) <= REMEMBERED
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(0) & REMEMBERED.wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_sent_is_found_once_and_numbers_wrap() {
        let mut history = History::default();
        assert_eq!(history.take(0), None, "nothing was sent");
        for number in 0..70_000_u32 {
            history.sent(f64::from(number), number, 0);
        }
        let last = (69_999_u32 & 0xffff) as u16;
        assert_eq!(history.take(last).map(|sent| sent.bytes), Some(69_999));
        assert_eq!(history.take(last), None, "reported twice");
        assert_eq!(history.take(last.wrapping_add(1)), None, "not sent yet");
        assert_eq!(history.take(last.wrapping_sub(2048)), None, "forgotten");
        assert!(history.take(last.wrapping_sub(2047)).is_some());
        assert!(!history.covers(u16::MAX));
    }
}

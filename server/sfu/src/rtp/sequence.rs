//! Numbers that wrap: comparing them, and counting on past the wrap (RFC 3550 appendix A.1).

/// How far `a` is after `b`, in -32768..=32767.
pub const fn distance(a: u16, b: u16) -> i16 {
    a.wrapping_sub(b) as i16
}

/// `a` comes after `b`.
pub const fn is_newer(a: u16, b: u16) -> bool {
    distance(a, b) > 0
}

/// How far RTP timestamp `a` is after `b`.
pub const fn timestamp_distance(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b) as i32
}

/// RTP timestamp `a` comes after `b`.
pub const fn is_newer_timestamp(a: u32, b: u32) -> bool {
    timestamp_distance(a, b) > 0
}

/// Extends 16-bit numbers to 64 bits, each to the value nearest to the highest seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unwrapper {
    highest: Option<u64>,
}

impl Unwrapper {
    /// Where counting starts: one cycle above zero, so that a packet reordered before the very first still gets a
    /// smaller number. Subtract it for RFC 3550's "extended highest sequence number received".
    pub const BASE: u64 = 1 << 16;

    /// Nothing seen yet.
    pub const fn new() -> Self {
        Self { highest: None }
    }

    /// The extended number of `sequence`; the highest moves forward only.
    pub fn extend(&mut self, sequence: u16) -> u64 {
        let extended = self.peek(sequence);
        self.highest = Some(self.highest.map_or(extended, |highest| highest.max(extended)));
        extended
    }

    /// What [`Self::extend`] would return, with nothing changed.
    pub const fn peek(&self, sequence: u16) -> u64 {
        match self.highest {
            None => Self::BASE.wrapping_add(sequence as u64),
            Some(highest) => highest.saturating_add_signed(distance(sequence, highest as u16) as i64),
        }
    }

    /// The highest extended number seen.
    pub const fn highest(&self) -> Option<u64> {
        self.highest
    }
}

//! Frames in a stream (RFC 4571 section 2): two bytes of length, then a packet. Owns where one ends; never knows what is in it.

/// Bytes before a packet.
pub const HEAD: usize = 2;

/// What stands at the beginning of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// A packet of so many bytes, behind [`HEAD`].
    Whole { length: usize },
    /// So many bytes are not there yet.
    Partial { missing: usize },
    /// Longer than is taken: no other packet can be found behind it.
    TooLong,
}

/// Finds the first frame of `stream`, of at most `longest` bytes.
#[must_use]
pub const fn cut(stream: &[u8], longest: usize) -> Cut {
    let [high, low, packet @ ..] = stream else {
        return Cut::Partial { missing: HEAD.saturating_sub(stream.len()) };
    };
    let length = u16::from_be_bytes([*high, *low]) as usize;
    if length > longest {
        Cut::TooLong
    } else if packet.len() < length {
        Cut::Partial { missing: length.saturating_sub(packet.len()) }
    } else {
        Cut::Whole { length }
    }
}

//! Messages out of a stream (RFC 8656 section 3.1): STUN messages and ChannelData, each of which says its length. Owns where one
//! ends; never knows what is in it.

use crate::message::{CHANNEL_FIRST, HEADER};

/// Longest datagram of the media plane; what is longer goes no further. Higher: memory that a stranger can fill; lower: whole
/// packets no longer fit.
pub(crate) const DATAGRAM_MAX: usize = 2048;

/// Longest message: such a datagram with what TURN puts around it.
pub const MESSAGE_MAX: usize = DATAGRAM_MAX + 64;

/// Bytes before the data of a ChannelData message.
const CHANNEL_HEAD: usize = 4;

/// What stands at the beginning of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// A message; its padding ends at `taken`.
    Whole { length: usize, taken: usize },
    /// More must come.
    Partial,
    /// No message, and none can be found behind it.
    Broken,
}

/// Finds the first message of `stream`.
#[must_use]
pub fn cut(stream: &[u8]) -> Cut {
    let [first, _, high, low, ..] = stream else { return Cut::Partial };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let length = match first {
        0..=3 if length.is_multiple_of(4) => length.saturating_add(HEADER),
        first if CHANNEL_FIRST.contains(first) => length.saturating_add(CHANNEL_HEAD),
        _ => return Cut::Broken,
    };
    let taken = length.next_multiple_of(4);
    if taken > MESSAGE_MAX {
        Cut::Broken
    } else if stream.len() < taken {
        Cut::Partial
    } else {
        Cut::Whole { length, taken }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_end_where_they_say_and_are_padded() {
        let mut stream = vec![0x40, 0, 0, 5, 1, 2, 3, 4, 5];
        assert_eq!(cut(&stream), Cut::Partial);
        stream.extend_from_slice(&[0, 0, 0]);
        assert_eq!(cut(&stream), Cut::Whole { length: 9, taken: 12 });
        let mut request = vec![0; HEADER + 8];
        request[3] = 8;
        assert_eq!(cut(&request), Cut::Whole { length: 28, taken: 28 });
        assert_eq!(cut(&request[..27]), Cut::Partial);
        assert_eq!(cut(&[0x40, 0, 0]), Cut::Partial);
        request[3] = 9;
        assert_eq!(cut(&request), Cut::Broken);
        assert_eq!(cut(&[0x40, 0, 0xff, 0xff]), Cut::Broken);
        assert_eq!(cut(b"GET / HTTP/1.1"), Cut::Broken);
    }
}

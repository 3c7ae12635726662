//! Redundant audio (RFC 2198): finding the block that is not redundant.

use std::ops::Range;

/// Payload type and place of the primary encoding, which is always the last block of a RED payload.
/// `None` if the payload is malformed.
pub fn primary(payload: &[u8]) -> Option<(u8, Range<usize>)> {
    let mut at = 0_usize;
    let mut redundant = 0_usize;
    loop {
        let first = *payload.get(at)?;
        if first & 0x80 == 0 {
            let start = at.wrapping_add(1).wrapping_add(redundant);
            return (start <= payload.len()).then_some((first & 0x7f, start..payload.len()));
        }
        let [_, _, high, low] = *payload.get(at..)?.first_chunk()?;
        redundant = redundant.wrapping_add(usize::from(u16::from_be_bytes([high & 0x03, low])));
        at = at.wrapping_add(4);
    }
}

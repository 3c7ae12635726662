//! Retransmission payloads (RFC 4588): the original sequence number in front of the original payload.

use super::{FIXED_HEADER_LEN, Header, u16_at};

/// Bytes of the original sequence number.
pub const OSN_LEN: usize = 2;

/// The original sequence number of an RTX payload. `None` for the empty payload of a padding-only probe.
pub fn original_sequence(payload: &[u8]) -> Option<u16> {
    u16_at(payload, 0)
}

/// Writes the original sequence number at the front of `out` and returns [`OSN_LEN`]; `None` without room.
pub fn write_original_sequence(out: &mut [u8], sequence: u16) -> Option<usize> {
    *out.first_chunk_mut()? = sequence.to_be_bytes();
    Some(OSN_LEN)
}

/// Turns a plain RTX packet back into the packet it repeats: the header moves over the original sequence number, so
/// the original packet is `packet[OSN_LEN..]`, as long as before less two bytes. Returns its sequence number.
/// `None`, with nothing changed, for a packet without payload: a probe.
pub fn restore(packet: &mut [u8], header: &Header, payload_type: u8, ssrc: u32) -> Option<u16> {
    let end = header.payload_end(packet)?;
    let sequence = original_sequence(packet.get(header.header_len..end)?)?;
    packet.copy_within(..header.header_len, OSN_LEN);
    let fixed = packet.get_mut(OSN_LEN..)?.first_chunk_mut::<FIXED_HEADER_LEN>()?;
    let [_, kind, s0, s1, _, _, _, _, id @ ..] = fixed;
    *kind = (*kind & 0x80) | (payload_type & 0x7f);
    [*s0, *s1] = sequence.to_be_bytes();
    *id = ssrc.to_be_bytes();
    Some(sequence)
}

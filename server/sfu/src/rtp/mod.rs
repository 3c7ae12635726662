//! Views over RTP and RTCP bytes (RFC 3550), and the in-place edits that forwarding needs.
//!
//! Owns what a field means on the wire. Knows nothing of peers, tracks, keys or time, holds no packet, and
//! allocates nothing while parsing or rewriting. Every function takes bytes from the network and none can panic.

pub mod av1;
pub mod dependency_descriptor;
pub mod extension;
pub mod framing;
pub mod h264;
pub mod red;
pub mod rtcp;
pub mod rtx;
pub mod sequence;
pub mod twcc;
pub mod vp8;
pub mod vp9;

/// Bytes of the header before CSRCs and extensions.
pub const FIXED_HEADER_LEN: usize = 12;

const VERSION: u8 = 2;

/// What a datagram on the shared port is, by its first byte (RFC 7983, RFC 9443).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Stun,
    Dtls,
    /// RTP or RTCP; [`is_rtcp`] tells which.
    Media,
    /// TURN channel data.
    Turn,
    Other,
}

/// Tells the protocols on the shared port apart.
pub const fn classify(first_byte: u8) -> Kind {
    match first_byte {
        0..=3 => Kind::Stun,
        20..=63 => Kind::Dtls,
        64..=79 => Kind::Turn,
        128..=191 => Kind::Media,
        _ => Kind::Other,
    }
}

/// True for RTCP, false for RTP, on a port that carries both (RFC 5761 §4: packet types 192–223).
pub fn is_rtcp(packet: &[u8]) -> bool {
    matches!(packet, [first, 192..=223, ..] if first >> 6 == VERSION)
}

/// Where a packet's header extension block lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtensionBlock {
    /// "Defined by profile": 0xBEDE or 0x100x for RFC 8285.
    pub profile: u16,
    /// Offset in the packet of the first element, after the 4-byte block header.
    pub start: usize,
    /// Offset in the packet just after the block; the payload begins here.
    pub end: usize,
}

/// An RTP header, parsed once (RFC 3550 §5.1). CSRCs are counted in `header_len` and otherwise not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub marker: bool,
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    /// Offset of the payload: fixed part, CSRCs and extension block.
    pub header_len: usize,
    pub extension: Option<ExtensionBlock>,
    /// The P bit. Where the padding begins is only known once the packet is decrypted: [`Self::payload_end`].
    pub has_padding: bool,
}

impl Header {
    /// Parses the header of a plain or SRTP packet. `None` unless it is whole and of version 2.
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let [first, second, ..] = *packet else { return None };
        if first >> 6 != VERSION {
            return None;
        }
        let csrcs = usize::from(first & 0x0f).wrapping_mul(4);
        let fixed_end = FIXED_HEADER_LEN.wrapping_add(csrcs);
        let extension = if first & 0x10 == 0 {
            None
        } else {
            let profile = u16_at(packet, fixed_end)?;
            let words = u16_at(packet, fixed_end.wrapping_add(2))?;
            let start = fixed_end.wrapping_add(4);
            Some(ExtensionBlock {
                profile,
                start,
                end: start.wrapping_add(usize::from(words).wrapping_mul(4)),
            })
        };
        let header_len = extension.map_or(fixed_end, |block| block.end);
        if packet.len() < header_len {
            return None;
        }
        Some(Self {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7f,
            sequence: u16_at(packet, 2)?,
            timestamp: u32_at(packet, 4)?,
            ssrc: u32_at(packet, 8)?,
            header_len,
            extension,
            has_padding: first & 0x20 != 0,
        })
    }

    /// Offset just after the payload of the plain packet, without padding. Equal to `header_len` for a packet of
    /// padding only. `None` if the padding count is impossible.
    pub fn payload_end(&self, plain: &[u8]) -> Option<usize> {
        let end = if self.has_padding {
            let count = *plain.last()?;
            if count == 0 {
                return None;
            }
            plain.len().checked_sub(usize::from(count))?
        } else {
            plain.len()
        };
        (end >= self.header_len).then_some(end)
    }

    /// The payload of the plain packet, without padding.
    pub fn payload<'a>(&self, plain: &'a [u8]) -> Option<&'a [u8]> {
        plain.get(self.header_len..self.payload_end(plain)?)
    }

    /// The header extension elements of this packet; none if there is no RFC 8285 block.
    pub fn extensions<'a>(&self, packet: &'a [u8]) -> extension::Elements<'a> {
        extension::Elements::new(packet, self.extension)
    }
}

/// The first twelve bytes of a packet to be written, without CSRCs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedHeader {
    pub marker: bool,
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    /// An extension block follows ([`extension::Writer`]).
    pub has_extension: bool,
    /// The last byte of the packet counts padding.
    pub has_padding: bool,
}

impl FixedHeader {
    /// Writes [`FIXED_HEADER_LEN`] bytes and returns that number; `None` if `out` is shorter.
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        let [s0, s1] = self.sequence.to_be_bytes();
        let [t0, t1, t2, t3] = self.timestamp.to_be_bytes();
        let [i0, i1, i2, i3] = self.ssrc.to_be_bytes();
        let first = (VERSION << 6) | (u8::from(self.has_padding) << 5) | (u8::from(self.has_extension) << 4);
        let second = (u8::from(self.marker) << 7) | (self.payload_type & 0x7f);
        *out.first_chunk_mut()? = [first, second, s0, s1, t0, t1, t2, t3, i0, i1, i2, i3];
        Some(FIXED_HEADER_LEN)
    }
}

/// Bytes of a big-endian `u16` at `at`.
fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_be_bytes)
}

fn u24_at(bytes: &[u8], at: usize) -> Option<u32> {
    let [a, b, c] = *bytes.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes([0, a, b, c]))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_be_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().copied().map(u64::from_be_bytes)
}

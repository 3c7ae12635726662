//! One received media packet after its header was parsed, as every subscriber's downlink sees it.

use crate::rtp::dependency_descriptor::Frame;
use crate::rtp::extension::{Uri, Writer};
use crate::rtp::{red, vp8};

/// What header extensions said that subscribers should hear too. Plain values: extension ids differ by peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    /// RFC 6464 byte: voice flag and level.
    pub(crate) audio_level: Option<u8>,
    /// 3GPP TS 26.114 CVO byte: how a phone is held.
    pub(crate) orientation: Option<u8>,
}

/// The dependency descriptor of a packet of a scalable codec.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dependency<'a> {
    pub(crate) frame: Frame,
    /// As it came, and as it goes out.
    pub(crate) bytes: &'a [u8],
}

/// A decrypted packet of one layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet<'a> {
    /// Index of the layer it came on: 0 is the lowest.
    pub(crate) layer: usize,
    /// Extended sequence number on that layer.
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    /// The publisher's number.
    pub(crate) payload_type: u8,
    /// A decoder can start with this packet.
    pub(crate) keyframe: bool,
    pub(crate) marks: Marks,
    /// The VP8 payload descriptor, read once; `None` for other codecs and for opaque payloads.
    pub(crate) vp8: Option<vp8::Descriptor>,
    /// Of VP9 and AV1, where it was negotiated.
    pub(crate) dependency: Option<Dependency<'a>>,
    /// Without padding; empty for a padding-only packet.
    pub(crate) payload: &'a [u8],
}

/// Extension ids of one peer, from its offer; 0 is "not negotiated". BUNDLE makes one id mean one thing on
/// all m-lines (RFC 8843 §9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExtensionIds {
    pub(crate) mid: u8,
    pub(crate) rid: u8,
    pub(crate) repaired_rid: u8,
    pub(crate) audio_level: u8,
    pub(crate) transport_sequence: u8,
    pub(crate) orientation: u8,
    pub(crate) dependency: u8,
}

impl ExtensionIds {
    pub(crate) fn learn(&mut self, id: u8, uri: Uri) {
        match uri {
            Uri::Mid => self.mid = id,
            Uri::Rid => self.rid = id,
            Uri::RepairedRid => self.repaired_rid = id,
            Uri::AudioLevel => self.audio_level = id,
            Uri::TransportSequence => self.transport_sequence = id,
            Uri::VideoOrientation => self.orientation = id,
            Uri::DependencyDescriptor => self.dependency = id,
            _ => {}
        }
    }
}

/// A media identification tag as it goes into a header extension (RFC 8843 §9.2). Kept by value, since it is copied into
/// each packet's address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mid {
    bytes: [u8; 16],
    len: u8,
}

impl Mid {
    /// `None` if it is longer than a one-byte extension carries (browsers count from 0).
    pub(crate) fn new(mid: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        bytes.get_mut(..mid.len())?.copy_from_slice(mid.as_bytes());
        Some(Self { bytes, len: u8::try_from(mid.len()).ok()? })
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// How a packet is addressed to one subscriber.
pub(crate) struct Address {
    pub(crate) ssrc: u32,
    pub(crate) payload_type: u8,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    /// Last packet of the picture that this subscriber gets.
    pub(crate) marker: bool,
    /// Rewritten VP8 picture id and TL0PICIDX.
    pub(crate) vp8: Option<(u16, u8)>,
    pub(crate) strip_red: bool,
    /// RTX (RFC 4588): the original sequence number that goes in front of the payload.
    pub(crate) original_sequence: Option<u16>,
    /// Nothing but the number goes out.
    pub(crate) empty: bool,
    /// Names the m-line, as long as the subscriber may not know the SSRC.
    pub(crate) mid: Option<Mid>,
}

/// Lengths that a picture's packets are padded to, so that they leave as one message (UDP GSO wants equal ones). Senders cut
/// a picture into packets that differ by a byte, the longer ones last. Must be a power of two. Higher: bytes, half of
/// this for each packet but a picture's last; lower: pictures that fall apart at a border, one in this many.
const LENGTH_STEP: usize = 16;

/// Shorter packets are left as they are: senders cut a picture when it exceeds some 1,200 bytes, so its parts are longer than
/// half of that. Higher: some pictures fall apart; lower: padding counts for more on a narrow line.
const LENGTH_STEP_FROM: usize = 512;

/// Most padding one packet can carry (RFC 3550 §5.1: the count is one byte).
pub(crate) const MAX_PADDING: u8 = u8::MAX;

/// Writes a packet that is nothing but padding. Returns as [`write`] does.
pub(crate) fn write_padding(
    buffer: &mut [u8],
    address: &Address,
    ids: &ExtensionIds,
    transport_sequence: u16,
) -> Option<(usize, usize)> {
    let nothing = Packet {
        layer: 0,
        sequence: 0,
        timestamp: address.timestamp,
        marker: false,
        payload_type: address.payload_type,
        keyframe: false,
        marks: Marks::default(),
        vp8: None,
        dependency: None,
        payload: &[],
    };
    let (header_len, _) = write(buffer, &nothing, address, ids, Some(transport_sequence))?;
    *buffer.first_mut()? |= 0x20;
    let end = header_len.checked_add(usize::from(MAX_PADDING))?;
    let padding = buffer.get_mut(header_len..end)?;
    padding.fill(0);
    *padding.last_mut()? = MAX_PADDING;
    Some((header_len, end))
}

/// Writes the packet into `buffer`, with the transport-wide number if there is one. Such a packet is padded up to a
/// [`LENGTH_STEP`] when more of its picture follow: it is never sent again as it is, only as RTX, so its bytes need not be
/// told again. Returns the header's length and the whole length; `None` when it does not fit or its RED is broken.
pub(crate) fn write(
    buffer: &mut [u8],
    packet: &Packet<'_>,
    address: &Address,
    ids: &ExtensionIds,
    transport_sequence: Option<u16>,
) -> Option<(usize, usize)> {
    let mut header_len = 12;
    let audio_level = packet.marks.audio_level.filter(|_| ids.audio_level != 0);
    let orientation = packet.marks.orientation.filter(|_| ids.orientation != 0);
    let mid = address.mid.as_ref().filter(|_| ids.mid != 0);
    let dependency = packet.dependency.filter(|_| ids.dependency != 0 && !address.empty);
    let extended = audio_level.is_some()
        || orientation.is_some()
        || mid.is_some()
        || transport_sequence.is_some()
        || dependency.is_some();
    if extended {
        let mut writer = Writer::new(buffer.get_mut(12..)?);
        let level_fits = audio_level.is_none_or(|level| writer.push(ids.audio_level, &[level]));
        let orientation_fits =
            orientation.is_none_or(|orientation| writer.push(ids.orientation, &[orientation]));
        let mid_fits = mid.is_none_or(|mid| writer.push(ids.mid, mid.as_bytes()));
        let sequence_fits = transport_sequence
            .is_none_or(|sequence| writer.push(ids.transport_sequence, &sequence.to_be_bytes()));
        let dependency_fits =
            dependency.is_none_or(|dependency| writer.push(ids.dependency, dependency.bytes));
        if !(level_fits && orientation_fits && mid_fits && sequence_fits && dependency_fits) {
            return None;
        }
        header_len = writer.finish().checked_add(12)?;
    }
    let (head, body) = buffer.split_at_mut_checked(header_len)?;
    let head = head.get_mut(..12)?;
    *head.get_mut(0)? = 0x80 | (u8::from(extended) << 4);
    *head.get_mut(1)? = (u8::from(address.marker) << 7) | (address.payload_type & 0x7f);
    head.get_mut(2..4)?.copy_from_slice(&address.sequence.to_be_bytes());
    head.get_mut(4..8)?.copy_from_slice(&address.timestamp.to_be_bytes());
    head.get_mut(8..12)?.copy_from_slice(&address.ssrc.to_be_bytes());

    if address.empty {
        return Some((header_len, header_len));
    }
    let payload = if address.strip_red && !packet.payload.is_empty() {
        let (_, range) = red::primary(packet.payload)?;
        packet.payload.get(range)?
    } else {
        packet.payload
    };
    let mut at = 0;
    if let Some(original) = address.original_sequence {
        body.get_mut(..2)?.copy_from_slice(&original.to_be_bytes());
        at = 2;
    }
    let end = payload.len().checked_add(at)?;
    let to = body.get_mut(at..end)?;
    to.copy_from_slice(payload);
    if let Some((picture_id, tl0_pic_idx)) = address.vp8
        && let Some(descriptor) = &packet.vp8
    {
        vp8::rewrite(to, descriptor, picture_id, tl0_pic_idx);
    }
    let end = end.checked_add(header_len)?;
    let more_follow = transport_sequence.is_some() && address.original_sequence.is_none() && !address.marker;
    let padding =
        if more_follow && end >= LENGTH_STEP_FROM { end.wrapping_neg() & (LENGTH_STEP - 1) } else { 0 };
    if padding == 0 {
        return Some((header_len, end));
    }
    let padded = end.checked_add(padding)?;
    let fill = buffer.get_mut(end..padded)?;
    fill.fill(0);
    *fill.last_mut()? = u8::try_from(padding).ok()?;
    *buffer.first_mut()? |= 0x20;
    Some((header_len, padded))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::Header;

    /// What goes out for a payload of `length` bytes: its length, and where its payload ends.
    fn written(length: usize, address: &Address, number: Option<u16>) -> (usize, usize) {
        let payload = vec![7; length];
        let packet = Packet {
            layer: 0,
            sequence: 0,
            timestamp: 0,
            marker: address.marker,
            payload_type: 96,
            keyframe: false,
            marks: Marks::default(),
            vp8: None,
            dependency: None,
            payload: &payload,
        };
        let ids = ExtensionIds { transport_sequence: 5, ..ExtensionIds::default() };
        let mut buffer = [0xff; 1600];
        let (header_len, end) = write(&mut buffer, &packet, address, &ids, number).unwrap();
        let header = Header::parse(&buffer[..end]).unwrap();
        assert_eq!(header.header_len, header_len);
        let payload_end = header.payload_end(&buffer[..end]).unwrap();
        assert_eq!(buffer[header_len..payload_end][payload_end - header_len - length..], payload);
        (end, payload_end)
    }

    fn address() -> Address {
        Address {
            ssrc: 1,
            payload_type: 96,
            sequence: 2,
            timestamp: 3,
            marker: false,
            vp8: None,
            strip_red: false,
            original_sequence: None,
            empty: false,
            mid: None,
        }
    }

    #[test]
    fn packets_of_one_picture_get_one_length_and_decoders_see_none_of_it() {
        let (shorter, end) = written(1000, &address(), Some(1));
        let (longer, _) = written(1001, &address(), Some(1));
        assert_eq!(shorter, longer);
        assert_eq!(shorter % LENGTH_STEP, 0);
        assert!(shorter - end < LENGTH_STEP);
        let (last, end) = written(1001, &Address { marker: true, ..address() }, Some(1));
        assert_eq!(last, end, "nothing follows the last one");
        assert!(last <= shorter, "it may end a run");
    }

    /// A repair without RTX must be the very same packet, or AES-GCM would see one nonce twice.
    #[test]
    fn what_may_go_out_twice_is_not_padded() {
        let (sound, end) = written(1000, &address(), None);
        assert_eq!(sound, end);
        let (repair, end) = written(1000, &Address { original_sequence: Some(9), ..address() }, Some(1));
        assert_eq!(repair, end);
        let (short, end) = written(300, &address(), Some(1));
        assert_eq!(short, end);
    }
}

//! The VP8 payload descriptor (RFC 7741 §4.2) and the first bytes of a key frame (RFC 6386 §9.1).

/// A parsed payload descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// S: the packet begins a partition. With `partition` 0 it begins a frame.
    pub start_of_partition: bool,
    /// PID, 0–7.
    pub partition: u8,
    /// N: no other frame refers to this one.
    pub non_reference: bool,
    /// 7 or 15 bits.
    pub picture_id: Option<u16>,
    /// M: the picture id is written with 15 bits.
    pub picture_id_15bit: bool,
    pub tl0_pic_idx: Option<u8>,
    /// Temporal layer, 0–3.
    pub tid: Option<u8>,
    /// Y: this frame needs nothing but the base layer. Meaningful with `tid`.
    pub layer_sync: bool,
    /// 0–31.
    pub key_idx: Option<u8>,
    /// Bytes of the descriptor; the VP8 data follows.
    pub len: usize,
    /// The packet is the first of a key frame.
    pub keyframe: bool,
    /// Width and height in pixels, when `keyframe` and the frame header is whole.
    pub size: Option<(u16, u16)>,
}

impl Descriptor {
    /// Parses the descriptor at the front of an RTP payload and looks into the frame header behind it.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let mut rest = payload.iter().copied();
        let first = rest.next()?;
        let flags = if first & 0x80 == 0 { 0 } else { rest.next()? };
        let mut picture_id_15bit = false;
        let picture_id = if flags & 0x80 == 0 {
            None
        } else {
            let high = rest.next()?;
            picture_id_15bit = high & 0x80 != 0;
            let high_bits = u16::from(high & 0x7f);
            Some(if picture_id_15bit { (high_bits << 8) | u16::from(rest.next()?) } else { high_bits })
        };
        let tl0_pic_idx = if flags & 0x40 == 0 { None } else { Some(rest.next()?) };
        let layering = if flags & 0x30 == 0 { 0 } else { rest.next()? };
        let has_tid = flags & 0x20 != 0;
        let len = payload.len().wrapping_sub(rest.len());
        let start_of_partition = first & 0x10 != 0;
        let partition = first & 0x07;
        let frame = payload.get(len..)?;
        let keyframe = start_of_partition && partition == 0 && frame.first().is_some_and(|tag| tag & 1 == 0);
        Some(Self {
            start_of_partition,
            partition,
            non_reference: first & 0x20 != 0,
            picture_id,
            picture_id_15bit,
            tl0_pic_idx,
            tid: has_tid.then_some(layering >> 6),
            layer_sync: has_tid && layering & 0x20 != 0,
            key_idx: (flags & 0x10 != 0).then_some(layering & 0x1f),
            len,
            keyframe,
            size: if keyframe { frame_size(frame) } else { None },
        })
    }

    /// The packet is the first of a frame.
    pub const fn starts_frame(&self) -> bool {
        self.start_of_partition && self.partition == 0
    }
}

/// Width and height without their scaling bits.
fn frame_size(frame: &[u8]) -> Option<(u16, u16)> {
    let [_, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1] = *frame.first_chunk()? else { return None };
    Some((u16::from_le_bytes([w0, w1]) & 0x3fff, u16::from_le_bytes([h0, h1]) & 0x3fff))
}

/// Replaces picture id and TL0PICIDX in place where the payload has them, each with as many bits as it has; the
/// length stays. `descriptor` must be the parse of this payload.
pub fn rewrite(payload: &mut [u8], descriptor: &Descriptor, picture_id: u16, tl0_pic_idx: u8) {
    let Some(optional) = payload.get_mut(2..descriptor.len) else { return };
    let tl0_at = match (descriptor.picture_id, descriptor.picture_id_15bit) {
        (None, _) => 0,
        (Some(_), false) => {
            if let Some(low) = optional.first_mut() {
                *low = (picture_id & 0x7f) as u8;
            }
            1
        }
        (Some(_), true) => {
            if let Some(both) = optional.first_chunk_mut() {
                *both = (picture_id | 0x8000).to_be_bytes();
            }
            2
        }
    };
    if let (Some(_), Some(place)) = (descriptor.tl0_pic_idx, optional.get_mut(tl0_at)) {
        *place = tl0_pic_idx;
    }
}

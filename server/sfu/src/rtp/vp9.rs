//! Where a VP9 key frame begins, from the payload descriptor (RFC 9628 §4.2).

/// The packet is the first of a key frame's lowest spatial layer.
pub fn starts_keyframe(payload: &[u8]) -> bool {
    lowest_layer_start(payload).unwrap_or(false)
}

fn lowest_layer_start(payload: &[u8]) -> Option<bool> {
    const PICTURE_ID: u8 = 0x80;
    const PREDICTED: u8 = 0x40;
    const LAYERS: u8 = 0x20;
    const FRAME_START: u8 = 0x08;
    let mut rest = payload.iter();
    let flags = *rest.next()?;
    if flags & PICTURE_ID != 0 && rest.next()? & 0x80 != 0 {
        rest.next()?;
    }
    let spatial = if flags & LAYERS == 0 { 0 } else { (rest.next()? >> 1) & 0x07 };
    Some(flags & PREDICTED == 0 && flags & FRAME_START != 0 && spatial == 0)
}

//! Where an H.264 key frame begins (RFC 6184): a sequence parameter set or an IDR slice.

const IDR: u8 = 5;
const SPS: u8 = 7;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// The packet begins a NAL unit that a decoder can start from: SPS or IDR, alone, aggregated (STAP-A) or
/// as the first fragment (FU-A).
pub fn starts_keyframe(payload: &[u8]) -> bool {
    let [first, rest @ ..] = payload else { return false };
    match first & 0x1f {
        STAP_A => aggregated(rest),
        FU_A => rest.first().is_some_and(|header| header & 0x80 != 0 && is_key(*header)),
        _ => is_key(*first),
    }
}

fn aggregated(mut units: &[u8]) -> bool {
    while let [high, low, rest @ ..] = units {
        let Some((unit, next)) = rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low]))) else {
            return false;
        };
        if unit.first().is_some_and(|header| is_key(*header)) {
            return true;
        }
        units = next;
    }
    false
}

const fn is_key(header: u8) -> bool {
    matches!(header & 0x1f, IDR | SPS)
}

//! Where an AV1 key frame begins, from the aggregation header (AV1 RTP specification §4.4).

/// The packet is the first of a coded video sequence: N is set, and the first element is not a continuation.
pub fn starts_keyframe(payload: &[u8]) -> bool {
    const CONTINUES: u8 = 0x80;
    const NEW_SEQUENCE: u8 = 0x08;
    payload.first().is_some_and(|header| header & NEW_SEQUENCE != 0 && header & CONTINUES == 0)
}

//! The packets of one received layer, kept for retransmission to any subscriber. One copy for all of them.

use crate::packet::{Marks, Packet};
use crate::rtp::vp8::Descriptor;

/// One kept packet.
#[derive(Default)]
struct Slot {
    /// Extended sequence number plus one; 0 is empty.
    tag: u64,
    timestamp: u32,
    marker: bool,
    payload_type: u8,
    keyframe: bool,
    marks: Marks,
    vp8: Option<Descriptor>,
    payload: Vec<u8>,
}

/// A ring by sequence number. Slots keep their buffers, so a full ring allocates nothing more.
pub(crate) struct Cache {
    slots: Vec<Slot>,
    reserve: usize,
}

impl Cache {
    /// `packets` is rounded up to a power of two. Higher: later retransmissions succeed; lower: less memory.
    pub(crate) fn new(packets: usize, reserve: usize) -> Self {
        let mut slots = Vec::new();
        slots.resize_with(packets.next_power_of_two(), Slot::default);
        Self { slots, reserve }
    }

    fn index(&self, sequence: u64) -> usize {
        usize::try_from(sequence).unwrap_or(0) & self.slots.len().wrapping_sub(1)
    }

    pub(crate) fn contains(&self, sequence: u64) -> bool {
        self.slots.get(self.index(sequence)).is_some_and(|slot| slot.tag == sequence.wrapping_add(1))
    }

    pub(crate) fn insert(&mut self, packet: &Packet<'_>) {
        let (index, reserve) = (self.index(packet.sequence), self.reserve);
        let Some(slot) = self.slots.get_mut(index) else { return };
        slot.tag = packet.sequence.wrapping_add(1);
        slot.timestamp = packet.timestamp;
        slot.marker = packet.marker;
        slot.payload_type = packet.payload_type;
        slot.keyframe = packet.keyframe;
        slot.marks = packet.marks;
        slot.vp8 = packet.vp8;
        slot.payload.clear();
        if slot.payload.capacity() < packet.payload.len() {
            slot.payload.reserve_exact(packet.payload.len().max(reserve));
        }
        slot.payload.extend_from_slice(packet.payload);
    }

    pub(crate) fn get(&self, layer: usize, sequence: u64) -> Option<Packet<'_>> {
        let slot =
            self.slots.get(self.index(sequence)).filter(|slot| slot.tag == sequence.wrapping_add(1))?;
        Some(Packet {
            layer,
            sequence,
            timestamp: slot.timestamp,
            marker: slot.marker,
            payload_type: slot.payload_type,
            keyframe: slot.keyframe,
            marks: slot.marks,
            vp8: slot.vp8,
            payload: &slot.payload,
        })
    }
}

//! The packets of one received layer, kept for retransmission to any subscriber. One copy for all of them, for as long
//! as somebody may still ask.

use crate::packet::{Dependency, Marks, Packet};
use crate::rtp::dependency_descriptor::Frame;
use crate::rtp::vp8::Descriptor;
use std::time::{Duration, Instant};

/// How much a layer keeps. It starts small and grows with the layer's rate until it holds `time`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// Higher: receivers with long round trips repair more; lower: less memory.
    pub(crate) time: Duration,
    /// Payload bytes, whatever the rate. Higher: memory that one publisher can take; lower: a fast stream is kept for
    /// less than `time`.
    pub(crate) bytes: usize,
    /// Packets, whatever their size, about 100 B each beside the payload; a power of two.
    pub(crate) packets: usize,
}

/// Of a video layer. 8 s: somebody whose line was gone for a moment asks for everything in between, and a picture that
/// can be completed needs no key frame, which would cost all others. 768 KiB: 2 s of 3 Mbit/s, 8 s of 750 kbit/s.
pub(crate) const VIDEO: Extent = Extent { time: Duration::from_secs(8), bytes: 768 << 10, packets: 1024 };

/// Of an audio track: longer than any jitter buffer waits.
pub(crate) const AUDIO: Extent = Extent { time: Duration::from_secs(1), bytes: 32 << 10, packets: 128 };

/// Room for the first packets.
const FIRST_BYTES: usize = 4 << 10;
const FIRST_PACKETS: usize = 32;

/// A dependency descriptor without a structure. A longer one is kept by the layer, once.
#[derive(Clone, Copy, Debug, Default)]
struct ShortBytes {
    bytes: [u8; 15],
    len: u8,
}

impl ShortBytes {
    fn new(from: &[u8]) -> Self {
        let mut short = Self::default();
        if let (Some(to), Ok(len)) = (short.bytes.get_mut(..from.len()), u8::try_from(from.len())) {
            to.copy_from_slice(from);
            short.len = len;
        }
        short
    }

    fn get(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// One kept packet.
#[derive(Clone, Default)]
struct Slot {
    /// Extended sequence number plus one; 0 is empty.
    tag: u64,
    /// Of the payload's first byte, counted over all laps.
    position: u64,
    /// Where it is in the ring.
    start: usize,
    length: usize,
    timestamp: u32,
    marker: bool,
    payload_type: u8,
    keyframe: bool,
    marks: Marks,
    vp8: Option<Descriptor>,
    dependency: Option<(Frame, ShortBytes)>,
}

/// Payloads in a ring of bytes, the rest of each packet in a ring by sequence number. Both grow only while they hold
/// less than the extent's time, so at a steady rate nothing is allocated any more.
pub(crate) struct Cache {
    extent: Extent,
    slots: Vec<Slot>,
    bytes: Vec<u8>,
    /// Bytes written since the beginning, those skipped at the end of a lap included.
    written: u64,
    /// The first position that was not written over.
    whole_from: u64,
    /// Where the next payload goes.
    at: usize,
    /// When the first payload of this lap was written.
    lap: Option<Instant>,
}

impl Cache {
    pub(crate) fn new(extent: Extent) -> Self {
        Self {
            extent,
            slots: vec![Slot::default(); FIRST_PACKETS.min(extent.packets)],
            bytes: vec![0; FIRST_BYTES.min(extent.bytes)],
            written: 0,
            whole_from: 0,
            at: 0,
            lap: None,
        }
    }

    fn index(&self, sequence: u64) -> usize {
        usize::try_from(sequence).unwrap_or(0) & self.slots.len().wrapping_sub(1)
    }

    /// The packet, unless newer ones took its place.
    fn slot(&self, sequence: u64) -> Option<&Slot> {
        self.slots
            .get(self.index(sequence))
            .filter(|slot| slot.tag == sequence.wrapping_add(1) && self.is_whole(slot))
    }

    fn is_whole(&self, slot: &Slot) -> bool {
        slot.position >= self.whole_from
    }

    pub(crate) fn contains(&self, sequence: u64) -> bool {
        self.slot(sequence).is_some()
    }

    pub(crate) fn insert(&mut self, now: Instant, packet: &Packet<'_>) {
        let length = packet.payload.len();
        if length > self.extent.bytes {
            return;
        }
        if self.bytes.len().saturating_sub(self.at) < length {
            self.end_lap(now, length);
        }
        self.lap.get_or_insert(now);
        let (start, position) = (self.at, self.written);
        let end = start.saturating_add(length);
        let Some(room) = self.bytes.get_mut(start..end) else { return };
        room.copy_from_slice(packet.payload);
        self.at = end;
        self.advance(length);
        self.make_slot(packet.sequence);
        let index = self.index(packet.sequence);
        let Some(slot) = self.slots.get_mut(index) else { return };
        *slot = Slot {
            tag: packet.sequence.wrapping_add(1),
            position,
            start,
            length,
            timestamp: packet.timestamp,
            marker: packet.marker,
            payload_type: packet.payload_type,
            keyframe: packet.keyframe,
            marks: packet.marks,
            vp8: packet.vp8,
            dependency: packet
                .dependency
                .map(|dependency| (dependency.frame, ShortBytes::new(dependency.bytes))),
        };
    }

    /// The end of the ring: a lap that was too short makes it longer, else the next lap begins.
    fn end_lap(&mut self, now: Instant, length: usize) {
        let lasted = self.lap.map_or(Duration::ZERO, |began| now.saturating_duration_since(began));
        let most = self.extent.bytes;
        if lasted < self.extent.time && self.bytes.len() < most {
            // By half, so that at most a third is more than needed.
            let longer = (self.bytes.len() / 2).max(length);
            let longer = self.bytes.len().saturating_add(longer).min(most);
            self.bytes.reserve_exact(longer.saturating_sub(self.bytes.len()));
            self.bytes.resize(longer, 0);
            if longer.saturating_sub(self.at) >= length {
                return;
            }
        }
        self.advance(self.bytes.len().saturating_sub(self.at));
        self.at = 0;
        self.lap = None;
    }

    /// Counts bytes that were written or skipped; those of one lap before are gone.
    fn advance(&mut self, bytes: usize) {
        self.written = self.written.wrapping_add(bytes as u64);
        let lap_before = self.written.saturating_sub(self.bytes.len() as u64);
        self.whole_from = self.whole_from.max(lap_before);
    }

    /// Doubles the slots if the one for `sequence` holds a packet whose payload is still there.
    fn make_slot(&mut self, sequence: u64) {
        let taken = |cache: &Self| {
            cache.slots.get(cache.index(sequence)).is_some_and(|slot| {
                slot.tag != 0 && slot.tag != sequence.wrapping_add(1) && cache.is_whole(slot)
            })
        };
        while taken(self) && self.slots.len() < self.extent.packets {
            let twice = self.slots.len().saturating_mul(2);
            let old = std::mem::replace(&mut self.slots, vec![Slot::default(); twice]);
            for slot in old.into_iter().filter(|slot| slot.tag != 0) {
                let index = self.index(slot.tag.wrapping_sub(1));
                if let Some(place) = self.slots.get_mut(index) {
                    *place = slot;
                }
            }
        }
    }

    pub(crate) fn get(&self, layer: usize, sequence: u64) -> Option<Packet<'_>> {
        let slot = self.slot(sequence)?;
        Some(Packet {
            layer,
            sequence,
            timestamp: slot.timestamp,
            marker: slot.marker,
            payload_type: slot.payload_type,
            keyframe: slot.keyframe,
            marks: slot.marks,
            vp8: slot.vp8,
            dependency: slot
                .dependency
                .as_ref()
                .map(|(frame, short)| Dependency { frame: *frame, bytes: short.get() }),
            payload: self.bytes.get(slot.start..slot.start.checked_add(slot.length)?)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEST: Extent = Extent { time: Duration::from_secs(2), bytes: 200_000, packets: 1024 };

    /// `count` packets of `length` bytes, `interval` apart, from `first` on. Returns the time of the next one.
    fn insert(
        cache: &mut Cache,
        mut now: Instant,
        (first, count): (u64, u64),
        length: usize,
        interval: Duration,
    ) -> Instant {
        for sequence in first..first + count {
            cache.insert(now, &packet(sequence, &payload(sequence, length)));
            now += interval;
        }
        now
    }

    fn payload(sequence: u64, length: usize) -> Vec<u8> {
        (0..length).map(|at| (sequence as usize * 31 + at) as u8).collect()
    }

    fn packet(sequence: u64, payload: &[u8]) -> Packet<'_> {
        Packet {
            layer: 0,
            sequence,
            timestamp: sequence as u32,
            marker: sequence.is_multiple_of(3),
            payload_type: 96,
            keyframe: false,
            marks: Marks::default(),
            vp8: None,
            dependency: None,
            payload,
        }
    }

    /// How far back packets are kept without a gap, each of them intact.
    fn reach(cache: &Cache, newest: u64, length: usize) -> u64 {
        let kept = |sequence: &u64| {
            cache.get(0, *sequence).is_some_and(|kept| {
                assert_eq!(kept.payload, payload(*sequence, length), "packet {sequence}");
                assert_eq!((kept.timestamp, kept.marker), (*sequence as u32, sequence.is_multiple_of(3)));
                true
            })
        };
        (0..=newest).rev().take_while(kept).count() as u64
    }

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time; never read again")]
        Instant::now()
    }

    #[test]
    fn a_steady_layer_is_kept_for_the_time_asked_and_little_longer() {
        for (interval_ms, length) in [(13, 1000), (40, 300), (5, 80)] {
            let mut cache = Cache::new(TEST);
            let interval = Duration::from_millis(interval_ms);
            let mut now = start();
            let in_time = 2_000 / interval_ms;
            for round in 0..15 {
                now = insert(&mut cache, now, (round * 100, 100), length, interval);
                let newest = round * 100 + 99;
                assert!(reach(&cache, newest, length) >= in_time.min(newest + 1), "{interval_ms} ms");
            }
            let held = cache.bytes.len();
            assert!(held <= (in_time as usize * length * 3 / 2).max(FIRST_BYTES) + length, "{held} bytes");
        }
    }

    #[test]
    fn a_fast_layer_takes_no_more_than_its_bound() {
        let mut cache = Cache::new(TEST);
        insert(&mut cache, start(), (0, 5_000), 1100, Duration::from_millis(1));
        assert_eq!(cache.bytes.len(), TEST.bytes);
        assert!(reach(&cache, 4_999, 1100) > 170);
        let mut small = Cache::new(TEST);
        insert(&mut small, start(), (0, 5_000), 10, Duration::from_micros(100));
        assert_eq!(small.slots.len(), TEST.packets);
        assert_eq!(reach(&small, 4_999, 10), TEST.packets as u64);
    }

    #[test]
    fn at_a_steady_rate_it_stays_as_large_as_it_is() {
        let mut cache = Cache::new(TEST);
        let now = insert(&mut cache, start(), (0, 600), 900, Duration::from_millis(14));
        let before = (cache.bytes.len(), cache.slots.len());
        insert(&mut cache, now, (600, 3_000), 900, Duration::from_millis(14));
        assert_eq!((cache.bytes.len(), cache.slots.len()), before);
    }

    #[test]
    fn what_was_written_over_is_never_given_out_however_sizes_vary() {
        let mut cache = Cache::new(Extent { bytes: 20_000, ..TEST });
        let (mut now, mut random) = (start(), 7_u64);
        let mut lengths = Vec::new();
        for sequence in 0..1_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let length = (random >> 33) as usize % 1300;
            lengths.push(length);
            cache.insert(now, &packet(sequence, &payload(sequence, length)));
            now += Duration::from_millis(random >> 60);
            for back in 0..=sequence.min(30) {
                let sequence = sequence - back;
                if let Some(kept) = cache.get(0, sequence) {
                    assert_eq!(kept.payload, payload(sequence, lengths[sequence as usize]));
                }
            }
            assert!(cache.contains(sequence));
        }
    }

    #[test]
    fn repairs_and_restarted_numbers_find_their_place() {
        let mut cache = Cache::new(TEST);
        let now = insert(&mut cache, start(), (100, 20), 500, Duration::from_millis(10));
        cache.insert(now, &packet(90, &payload(90, 700)));
        assert_eq!(cache.get(0, 90).unwrap().payload, payload(90, 700));
        assert!(cache.contains(119) && !cache.contains(99) && !cache.contains(120));
        insert(&mut cache, now, (1_000_000, 20), 500, Duration::from_millis(10));
        assert!(cache.contains(1_000_000));
    }
}

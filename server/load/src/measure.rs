//! What a receiver counts: packets by their stamp, never by what the server says about itself.
//!
//! Every figure belongs to one window of send times that is fixed before it begins, so senders and receivers count the
//! same packets without talking to each other: a packet counts when its *send time* lies in the window.

use std::collections::HashMap;

use crate::media::{Content, Kind, Stamp, inspect};

/// Send times that count, in nanoseconds of the run's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub from_ns: u64,
    pub to_ns: u64,
}

impl Window {
    pub(crate) fn contains(&self, sent_ns: u64) -> bool {
        (self.from_ns..self.to_ns).contains(&sent_ns)
    }
}

/// Buckets per power of two: a percentile is at most 1/64 above the true value.
const SUB_BUCKETS: u64 = 64;

/// Log-linear histogram of nanoseconds, in constant memory.
#[derive(Clone, Default)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Histogram {
    pub(crate) fn record(&mut self, nanos: u64) {
        let bucket = Self::bucket(nanos);
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.total += 1;
        self.max = self.max.max(nanos);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        if other.counts.len() > self.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    /// Smallest value with at least `fraction` of all samples at or below it (nearest rank), rounded up to its bucket's
    /// upper bound; `None` without samples.
    pub(crate) fn percentile(&self, fraction: f64) -> Option<u64> {
        let rank = ((self.total as f64 * fraction).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Some(Self::upper_bound(bucket as u64).min(self.max));
            }
        }
        None
    }

    fn bucket(value: u64) -> usize {
        if value < SUB_BUCKETS {
            return value as usize;
        }
        let shift = value.ilog2() - SUB_BUCKETS.ilog2();
        (u64::from(shift) * SUB_BUCKETS + (value >> shift)) as usize
    }

    fn upper_bound(bucket: u64) -> u64 {
        if bucket < SUB_BUCKETS {
            return bucket;
        }
        let shift = bucket / SUB_BUCKETS - 1;
        let mantissa = u128::from(bucket % SUB_BUCKETS + SUB_BUCKETS);
        u64::try_from(((mantissa + 1) << shift) - 1).unwrap_or(u64::MAX)
    }
}

/// Counters remembered per stream, to tell a late packet from a second copy. A packet later than this many others is
/// counted as late only, never as a copy.
const REMEMBERED: u32 = 4_096;

/// One track as one receiver sees it.
struct Stream {
    highest: u32,
    seen: Box<[u64; REMEMBERED as usize / 64]>,
    received: u64,
}

enum Order {
    Next,
    Late,
    Copy,
}

impl Stream {
    fn new(first: u32) -> Self {
        let mut stream = Self { highest: first, seen: Box::new([0; REMEMBERED as usize / 64]), received: 0 };
        stream.set(first);
        stream
    }

    fn place(&mut self, counter: u32) -> Order {
        let ahead = counter.wrapping_sub(self.highest);
        if ahead != 0 && ahead < u32::MAX / 2 {
            for skipped in 1..=ahead.min(REMEMBERED) {
                self.clear(counter.wrapping_sub(ahead.min(REMEMBERED)).wrapping_add(skipped));
            }
            self.highest = counter;
            self.set(counter);
            return Order::Next;
        }
        if self.highest.wrapping_sub(counter) >= REMEMBERED {
            return Order::Late;
        }
        let (word, bit) = Self::position(counter);
        if self.seen[word] & bit != 0 {
            return Order::Copy;
        }
        self.set(counter);
        Order::Late
    }

    fn position(counter: u32) -> (usize, u64) {
        let slot = counter % REMEMBERED;
        ((slot / 64) as usize, 1 << (slot % 64))
    }

    fn set(&mut self, counter: u32) {
        let (word, bit) = Self::position(counter);
        self.seen[word] |= bit;
    }

    fn clear(&mut self, counter: u32) {
        let (word, bit) = Self::position(counter);
        self.seen[word] &= !bit;
    }
}

/// The RTP header fields a server rewrites, as last seen on one SSRC.
struct Continuity {
    sequence_number: u16,
    timestamp: u32,
    counter: u32,
}

/// An authenticated, decrypted RTP packet.
pub(crate) struct Packet<'a> {
    pub kind: Kind,
    pub ssrc: u32,
    pub sequence_number: u16,
    pub timestamp: u32,
    /// Without RTP padding.
    pub payload: &'a [u8],
    /// Kernel receive time on the run's clock.
    pub arrival_ns: u64,
}

/// A packet that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    pub sent_ns: u64,
    pub delay_ns: u64,
    /// Video, and the first of its frame that came in order.
    pub begins_frame: bool,
}

/// Packets that are not simply one more in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Irregular {
    pub reordered: u64,
    pub duplicates: u64,
    pub corrupt: u64,
    /// From a participant of another room, or one's own.
    pub leaked: u64,
    /// Sequence number moved by another amount than the sender's counter: a rewriting fault, or packets left out on
    /// purpose.
    pub sequence_breaks: u64,
    /// RTP timestamp went backwards between packets in order.
    pub timestamp_breaks: u64,
    /// Authenticated, but made by the server itself; padding included.
    pub foreign: u64,
}

impl std::ops::AddAssign for Irregular {
    fn add_assign(&mut self, other: Self) {
        self.reordered += other.reordered;
        self.duplicates += other.duplicates;
        self.corrupt += other.corrupt;
        self.leaked += other.leaked;
        self.sequence_breaks += other.sequence_breaks;
        self.timestamp_breaks += other.timestamp_breaks;
        self.foreign += other.foreign;
    }
}

/// All that one receiver counts.
pub(crate) struct Meter {
    own: u32,
    participants_per_room: u32,
    window: Option<Window>,
    streams: HashMap<(u32, Kind), Stream>,
    continuity: HashMap<u32, Continuity>,
    first_arrival_ns: Option<u64>,
    pub audio_delay: Histogram,
    pub video_delay: Histogram,
    pub irregular: Irregular,
    /// Bytes of RTP payload.
    pub payload_bytes: u64,
}

impl Meter {
    pub(crate) fn new(own: u32, participants_per_room: u32) -> Self {
        Self {
            own,
            participants_per_room,
            window: None,
            streams: HashMap::new(),
            continuity: HashMap::new(),
            first_arrival_ns: None,
            audio_delay: Histogram::default(),
            video_delay: Histogram::default(),
            irregular: Irregular::default(),
            payload_bytes: 0,
        }
    }

    pub(crate) fn open(&mut self, window: Window) {
        self.window = Some(window);
    }

    /// Tracks heard so far.
    pub(crate) fn tracks(&self) -> usize {
        self.streams.len()
    }

    pub(crate) fn first_arrival_ns(&self) -> Option<u64> {
        self.first_arrival_ns
    }

    /// Different packets received of a track within the window.
    pub(crate) fn received(&self, sender: u32, kind: Kind) -> u64 {
        self.streams.get(&(sender, kind)).map_or(0, |stream| stream.received)
    }

    /// Returns what of it counts.
    pub(crate) fn record(&mut self, packet: &Packet<'_>) -> Option<Counted> {
        let stamp = match inspect(packet.kind, packet.payload) {
            Content::Intact(stamp) => stamp,
            // Neither carries a send time one could trust, so these count over the whole run.
            Content::Corrupt => {
                self.irregular.corrupt += 1;
                return None;
            }
            Content::Foreign | Content::Empty => {
                self.irregular.foreign += 1;
                return None;
            }
        };
        self.first_arrival_ns.get_or_insert(packet.arrival_ns);
        let counts = self.window.is_some_and(|window| window.contains(stamp.sent_ns));
        let mut irregular = Irregular::default();
        if stamp.sender == self.own
            || stamp.sender / self.participants_per_room != self.own / self.participants_per_room
        {
            // Isolation is not a matter of the window: one such packet at any time is a fault.
            self.irregular.leaked += 1;
            return None;
        }
        let (mut first, mut begins_frame) = (false, false);
        let stream = self.streams.entry((stamp.sender, stamp.kind)).or_insert_with(|| {
            first = true;
            Stream::new(stamp.counter)
        });
        let order = if first { Order::Next } else { stream.place(stamp.counter) };
        match order {
            Order::Next => {
                let last = self.continuity.get(&packet.ssrc).map(|last| last.timestamp);
                begins_frame = stamp.kind == Kind::Video && last != Some(packet.timestamp);
                let (sequence, timestamp) = self.continue_rtp(packet, stamp);
                irregular.sequence_breaks += u64::from(sequence);
                irregular.timestamp_breaks += u64::from(timestamp);
            }
            Order::Late => irregular.reordered += 1,
            Order::Copy => irregular.duplicates += 1,
        }
        if !counts {
            return None;
        }
        self.irregular += irregular;
        if matches!(order, Order::Copy) {
            return None;
        }
        if let Some(stream) = self.streams.get_mut(&(stamp.sender, stamp.kind)) {
            stream.received += 1;
        }
        self.payload_bytes += packet.payload.len() as u64;
        let delay = packet.arrival_ns.saturating_sub(stamp.sent_ns);
        match stamp.kind {
            Kind::Audio => self.audio_delay.record(delay),
            Kind::Video => self.video_delay.record(delay),
        }
        Some(Counted { sent_ns: stamp.sent_ns, delay_ns: delay, begins_frame })
    }

    /// Whether the sequence number or the timestamp did not go on as the sender's did.
    fn continue_rtp(&mut self, packet: &Packet<'_>, stamp: Stamp) -> (bool, bool) {
        let now = Continuity {
            sequence_number: packet.sequence_number,
            timestamp: packet.timestamp,
            counter: stamp.counter,
        };
        let Some(last) = self.continuity.insert(packet.ssrc, now) else { return (false, false) };
        let sent = stamp.counter.wrapping_sub(last.counter) as u16;
        let sequence = packet.sequence_number.wrapping_sub(last.sequence_number) != sent;
        let timestamp = packet.timestamp.wrapping_sub(last.timestamp) > u32::MAX / 2;
        (sequence, timestamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Source;

    #[test]
    fn percentiles_are_within_one_bucket_of_the_truth() {
        let mut histogram = Histogram::default();
        for value in 1..=100_000_u64 {
            histogram.record(value);
        }
        for (fraction, truth) in [(0.5, 50_000), (0.99, 99_000), (0.999, 99_900), (1.0, 100_000)] {
            let found = histogram.percentile(fraction).unwrap();
            assert!(found >= truth && found - truth <= truth / 64, "{fraction}: {found}");
        }
        assert_eq!(histogram.max(), 100_000);
    }

    #[test]
    fn small_and_huge_values_keep_their_bucket() {
        for value in [0, 1, 63, 64, 65, 127, 128, 1_000_003, u64::MAX] {
            let bound = Histogram::upper_bound(Histogram::bucket(value) as u64);
            assert!(bound >= value && bound - value <= value / 64, "{value}: {bound}");
        }
        assert_eq!(Histogram::default().percentile(0.5), None);
    }

    #[test]
    fn merging_equals_recording_together() {
        let (mut left, mut right, mut both) = <(Histogram, Histogram, Histogram)>::default();
        for value in 0..1_000 {
            if value % 3 == 0 { &mut left } else { &mut right }.record(value * value);
            both.record(value * value);
        }
        left.merge(&right);
        assert_eq!(left.percentile(0.9), both.percentile(0.9));
        assert_eq!(left.max(), both.max());
    }

    /// Sends `count` audio packets of participant 1 to participant 0 of a room of 2, through `network`.
    fn receive(count: usize, network: impl Fn(usize) -> Vec<(usize, u16)>) -> Meter {
        let mut source = Source::audio(1);
        let packets: Vec<(u32, Vec<u8>)> = (0..count)
            .map(|_| {
                let frame = source.next_frame();
                let mut payload = Vec::new();
                source.write_packet(frame, 0, 1_000, &mut payload);
                (frame.timestamp, payload)
            })
            .collect();
        let mut meter = Meter::new(0, 2);
        meter.open(Window { from_ns: 0, to_ns: 2_000 });
        for step in 0..count {
            for (index, sequence_number) in network(step) {
                let (timestamp, payload) = &packets[index];
                meter.record(&Packet {
                    kind: Kind::Audio,
                    ssrc: 9,
                    sequence_number,
                    timestamp: *timestamp,
                    payload,
                    arrival_ns: 1_500,
                });
            }
        }
        meter
    }

    #[test]
    fn a_clean_path_has_nothing_irregular() {
        let meter = receive(10_000, |n| vec![(n, (n as u16).wrapping_add(60_000))]);
        assert_eq!(meter.received(1, Kind::Audio), 10_000);
        assert_eq!(meter.irregular, Irregular::default());
        assert_eq!(meter.audio_delay.percentile(0.5), Some(500));
    }

    #[test]
    fn loss_is_what_did_not_come() {
        let meter = receive(1_000, |n| if n % 10 == 3 { vec![] } else { vec![(n, n as u16)] });
        assert_eq!(meter.received(1, Kind::Audio), 900);
        assert_eq!(meter.irregular, Irregular::default());
    }

    #[test]
    fn swapped_neighbours_are_reordered_not_lost() {
        let meter = receive(1_000, |n| vec![(n ^ 1, (n ^ 1) as u16)]);
        assert_eq!(meter.received(1, Kind::Audio), 1_000);
        assert_eq!(meter.irregular.reordered, 500);
        assert_eq!(meter.irregular.duplicates, 0);
    }

    #[test]
    fn second_copies_do_not_hide_loss() {
        let meter = receive(1_000, |n| if n % 2 == 0 { vec![(n, n as u16); 2] } else { vec![] });
        assert_eq!(meter.received(1, Kind::Audio), 500);
        assert_eq!(meter.irregular.duplicates, 500);
    }

    #[test]
    fn a_sequence_number_that_closes_a_gap_is_a_break() {
        let meter = receive(100, |n| match n {
            0..50 => vec![(n, n as u16)],
            50 => vec![],
            _ => vec![(n, n as u16 - 1)],
        });
        assert_eq!(meter.irregular.sequence_breaks, 1);
    }

    #[test]
    fn packets_of_another_room_or_of_oneself_are_leaks() {
        let mut payload = Vec::new();
        let mut source = Source::audio(2);
        let frame = source.next_frame();
        source.write_packet(frame, 0, 1_000, &mut payload);
        let packet = Packet {
            kind: Kind::Audio,
            ssrc: 1,
            sequence_number: 0,
            timestamp: 0,
            payload: &payload,
            arrival_ns: 0,
        };
        for own in [0, 2] {
            let mut meter = Meter::new(own, 2);
            meter.record(&packet);
            assert_eq!((meter.irregular.leaked, meter.tracks()), (1, 0));
        }
        let mut meter = Meter::new(3, 2);
        meter.record(&packet);
        assert_eq!((meter.irregular.leaked, meter.tracks()), (0, 1));
    }

    #[test]
    fn only_the_window_counts() {
        let mut meter = Meter::new(0, 2);
        meter.open(Window { from_ns: 10, to_ns: 20 });
        let mut source = Source::audio(1);
        for sent_ns in 0..30 {
            let frame = source.next_frame();
            let mut payload = Vec::new();
            source.write_packet(frame, 0, sent_ns, &mut payload);
            meter.record(&Packet {
                kind: Kind::Audio,
                ssrc: 1,
                sequence_number: sent_ns as u16,
                timestamp: frame.timestamp,
                payload: &payload,
                arrival_ns: 100,
            });
        }
        assert_eq!(meter.received(1, Kind::Audio), 10);
    }
}

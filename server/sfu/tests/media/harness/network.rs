//! The network between the peers and the shard: delay, loss, reordering and duplication by seed, and a ledger of
//! everything the shard sent.

use super::random::Random;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What happens to datagrams in one direction of one peer's access line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    pub(crate) delay: Duration,
    /// Added to `delay`, uniform in `0..jitter`. Smaller than the packet spacing it does not reorder.
    pub(crate) jitter: Duration,
    /// Probability of each, per datagram.
    pub(crate) loss: f64,
    pub(crate) duplication: f64,
    /// A reordered datagram arrives 30 ms late.
    pub(crate) reordering: f64,
    /// A link of so many bit/s with a queue before it; `None`: as wide as wanted.
    pub(crate) link: Option<u32>,
    /// When the link has sent what was queued so far.
    pub(crate) free_at: Option<Instant>,
    /// Somebody else's flow over the same link.
    pub(crate) competitor: Option<Competitor>,
}

/// A flow that knows loss only, as a download: it takes more and more, and half when something of it is dropped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Competitor {
    /// Bit/s.
    rate: f64,
    next: Instant,
    /// Bytes that came through.
    pub(crate) carried: usize,
}

impl Competitor {
    const PACKET: usize = 1228;
    /// One packet more per round trip of about 100 ms, each round trip: bit/s per s.
    const GROWTH: f64 = 1_000_000.0;
    const SLOWEST: f64 = 100_000.0;

    pub(crate) const fn new(from: Instant) -> Self {
        Self { rate: Self::SLOWEST, next: from, carried: 0 }
    }
}

/// What does not fit into this long a queue is dropped.
const QUEUE: Duration = Duration::from_millis(300);

/// IP and UDP around a datagram.
const OVERHEAD: usize = 28;

impl Path {
    pub(crate) const fn clean() -> Self {
        Self {
            delay: Duration::from_millis(10),
            jitter: Duration::ZERO,
            loss: 0.0,
            duplication: 0.0,
            reordering: 0.0,
            link: None,
            free_at: None,
            competitor: None,
        }
    }

    /// An access line of so many bit/s.
    pub(crate) const fn link(rate: u32, delay: Duration, loss: f64) -> Self {
        Self { link: Some(rate), delay, loss, ..Self::clean() }
    }

    /// Waits behind what is queued. `None`: the queue is full.
    fn queue(&mut self, now: Instant, length: usize) -> Option<Instant> {
        let Some(rate) = self.link else { return Some(now) };
        self.compete(now, rate);
        self.enqueue(now, length + OVERHEAD, rate)
    }

    fn enqueue(&mut self, now: Instant, length: usize, rate: u32) -> Option<Instant> {
        let from = self.free_at.map_or(now, |at| at.max(now));
        if from - now > QUEUE {
            return None;
        }
        let sent = from + Duration::from_secs_f64(length as f64 * 8.0 / f64::from(rate));
        self.free_at = Some(sent);
        Some(sent)
    }

    /// What the other flow sent until now.
    fn compete(&mut self, now: Instant, rate: u32) {
        let Some(mut other) = self.competitor else { return };
        while other.next <= now {
            let gap = Competitor::PACKET as f64 * 8.0 / other.rate;
            if self.enqueue(other.next, Competitor::PACKET, rate).is_some() {
                other.carried += Competitor::PACKET;
                other.rate += Competitor::GROWTH * gap;
            } else {
                other.rate = (other.rate / 2.0).max(Competitor::SLOWEST);
            }
            other.next += Duration::from_secs_f64(gap);
        }
        self.competitor = Some(other);
    }

    pub(crate) const fn lossy(loss: f64) -> Self {
        Self { loss, ..Self::clean() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Destination {
    Shard,
    Address(SocketAddr),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Datagram {
    pub(crate) source: SocketAddr,
    pub(crate) destination: Destination,
    pub(crate) bytes: Vec<u8>,
}

/// Datagrams under way, earliest first; ties in the order they were sent.
#[derive(Default)]
pub(crate) struct InFlight {
    queue: BinaryHeap<Reverse<(Instant, u64, Datagram)>>,
    order: u64,
}

const REORDERED_BY: Duration = Duration::from_millis(30);

impl InFlight {
    pub(crate) fn send(&mut self, now: Instant, path: &mut Path, random: &mut Random, datagram: Datagram) {
        let Some(sent) = path.queue(now, datagram.bytes.len()) else { return };
        if random.unit() < path.loss {
            return;
        }
        let copies = if random.unit() < path.duplication { 2 } else { 1 };
        for _ in 0..copies {
            let mut at = sent + path.delay;
            if !path.jitter.is_zero() {
                at += path.jitter.mul_f64(random.unit());
            }
            if random.unit() < path.reordering {
                at += REORDERED_BY;
            }
            self.push(at, datagram.clone());
        }
    }

    pub(crate) fn push(&mut self, at: Instant, datagram: Datagram) {
        self.order += 1;
        self.queue.push(Reverse((at, self.order, datagram)));
    }

    pub(crate) fn next_arrival(&self) -> Option<Instant> {
        self.queue.peek().map(|Reverse((at, _, _))| *at)
    }

    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Datagram> {
        if self.next_arrival()? > now {
            return None;
        }
        self.queue.pop().map(|Reverse((_, _, datagram))| datagram)
    }
}

/// What RFC 7983 says a datagram is, by its first byte (and RFC 5761 for RTCP).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Stun,
    Dtls,
    Rtp,
    Rtcp,
    Other,
}

impl Class {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        match bytes {
            [0..=3, ..] => Self::Stun,
            [20..=63, ..] => Self::Dtls,
            [128..=191, second, ..] if (192..=223).contains(second) => Self::Rtcp,
            [128..=191, ..] => Self::Rtp,
            _ => Self::Other,
        }
    }
}

/// The clear part of one datagram the shard sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) at: Instant,
    pub(crate) to: SocketAddr,
    pub(crate) class: Class,
    pub(crate) length: usize,
    /// RTP only; zero else.
    pub(crate) payload_type: u8,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
}

/// Everything the shard sent, and the law that holds for all of it: under one key no SSRC and packet index is
/// used twice (RFC 3711 section 9.1: with AES-GCM that gives the key away).
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) sent: Vec<Sent>,
    indices: HashMap<(u64, u32), Indices>,
}

#[derive(Default)]
struct Indices {
    highest: u64,
    used: BTreeMap<u64, ()>,
}

impl Ledger {
    /// `session`: which peer's keys sealed it.
    pub(crate) fn record(&mut self, at: Instant, to: SocketAddr, session: Option<u64>, bytes: &[u8]) {
        let class = Class::of(bytes);
        let mut sent =
            Sent { at, to, class, length: bytes.len(), payload_type: 0, sequence: 0, timestamp: 0, ssrc: 0 };
        if class == Class::Rtp {
            assert!(bytes.len() >= 12, "an RTP packet shorter than its header");
            sent.payload_type = bytes[1] & 0x7f;
            sent.sequence = u16::from_be_bytes([bytes[2], bytes[3]]);
            sent.timestamp = u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
            sent.ssrc = u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
            if let Some(session) = session {
                self.check_index(session, &sent);
            }
        }
        self.sent.push(sent);
    }

    fn check_index(&mut self, session: u64, sent: &Sent) {
        let indices = self.indices.entry((session, sent.ssrc)).or_default();
        let index = if indices.used.is_empty() {
            (1 << 16) + u64::from(sent.sequence)
        } else {
            unwrap_sequence(indices.highest, sent.sequence)
        };
        indices.highest = indices.highest.max(index);
        assert!(
            indices.used.insert(index, ()).is_none(),
            "SSRC {} sent sequence number {} twice to {} under one key",
            sent.ssrc,
            sent.sequence,
            sent.to,
        );
    }

    pub(crate) fn rtp(&self) -> impl Iterator<Item = &Sent> {
        self.sent.iter().filter(|sent| sent.class == Class::Rtp)
    }
}

/// The index nearest to `highest` whose low 16 bits are `sequence` (RFC 3711 section 3.3.1).
pub(crate) fn unwrap_sequence(highest: u64, sequence: u16) -> u64 {
    let difference = i64::from(sequence.wrapping_sub(highest as u16) as i16);
    highest.wrapping_add_signed(difference)
}

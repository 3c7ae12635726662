//! Transport-wide congestion control feedback as read (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1).

use super::super::{u16_at, u24_at, u32_at};

/// Offset of the first status chunk in the body.
const CHUNKS: usize = 16;
/// The reference time counts 64 ms.
const REFERENCE_MICROS: i64 = 64_000;
/// Deltas count 250 µs.
const DELTA_MICROS: i64 = 250;

/// When each packet of a run of transport-wide sequence numbers arrived.
#[derive(Clone, Debug)]
pub struct TransportFeedback<'a> {
    pub sender: u32,
    pub media: u32,
    /// Counts feedback packets, so that a lost one is noticed.
    pub feedback_count: u8,
    /// Reports `arrivals.len()` packets, from this number on.
    pub base_sequence: u16,
    pub status_count: u16,
    pub arrivals: Arrivals<'a>,
}

impl<'a> TransportFeedback<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let base_sequence = u16_at(body, 8)?;
        let status_count = u16_at(body, 10)?;
        let reference = ((u24_at(body, 12)? << 8) as i32) >> 8;
        let chunks_and_deltas = body.get(CHUNKS..)?;
        let mut covered = 0_usize;
        let mut at = 0_usize;
        while covered < usize::from(status_count) {
            covered = covered.wrapping_add(Chunk::read(u16_at(chunks_and_deltas, at)?).len());
            at = at.wrapping_add(2);
        }
        let (chunks, deltas) = chunks_and_deltas.split_at_checked(at)?;
        Some(Self {
            sender: u32_at(body, 0)?,
            media: u32_at(body, 4)?,
            feedback_count: *body.get(15)?,
            base_sequence,
            status_count,
            arrivals: Arrivals {
                chunks,
                deltas,
                chunk: Chunk::Run { status: 0, left: 0 },
                sequence: base_sequence,
                left: status_count,
                clock: i64::from(reference).wrapping_mul(REFERENCE_MICROS),
            },
        })
    }
}

/// One reported packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    pub sequence: u16,
    /// µs on the reporter's clock, whose zero is unknown and which wraps after 12 days; `None`: not received.
    pub at_micros: Option<i64>,
}

/// The reported packets, rising by one. Ends early if the deltas do.
#[derive(Clone, Debug)]
pub struct Arrivals<'a> {
    chunks: &'a [u8],
    deltas: &'a [u8],
    chunk: Chunk,
    sequence: u16,
    left: u16,
    clock: i64,
}

/// What is left of a status chunk. A status is 0 (not received), 1 (one-byte delta) or 2 (two-byte delta).
#[derive(Clone, Copy, Debug)]
enum Chunk {
    Run {
        status: u8,
        left: u16,
    },
    /// `bits` wide each, the next one at the top of the word.
    Vector {
        bits: u32,
        word: u16,
        left: u8,
    },
}

impl Chunk {
    const fn read(word: u16) -> Self {
        match word >> 14 {
            0 | 1 => Self::Run { status: ((word >> 13) & 3) as u8, left: word & 0x1fff },
            2 => Self::Vector { bits: 1, word: word << 2, left: 14 },
            _ => Self::Vector { bits: 2, word: word << 2, left: 7 },
        }
    }

    fn len(self) -> usize {
        match self {
            Self::Run { left, .. } => usize::from(left),
            Self::Vector { left, .. } => usize::from(left),
        }
    }

    fn next(&mut self) -> Option<u8> {
        match self {
            Self::Run { left: 0, .. } | Self::Vector { left: 0, .. } => None,
            Self::Run { status, left } => {
                *left = left.wrapping_sub(1);
                Some(*status)
            }
            Self::Vector { bits, word, left } => {
                let status = word.wrapping_shr(16_u32.wrapping_sub(*bits)) as u8;
                *word = word.wrapping_shl(*bits);
                *left = left.wrapping_sub(1);
                Some(status)
            }
        }
    }
}

impl Iterator for Arrivals<'_> {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        self.left = self.left.checked_sub(1)?;
        let status = loop {
            if let Some(status) = self.chunk.next() {
                break status;
            }
            let (word, rest) = self.chunks.split_first_chunk()?;
            self.chunks = rest;
            self.chunk = Chunk::read(u16::from_be_bytes(*word));
        };
        let delta = match status {
            1 => {
                let (delta, rest) = self.deltas.split_first()?;
                self.deltas = rest;
                Some(i64::from(*delta))
            }
            2 => {
                let (delta, rest) = self.deltas.split_first_chunk()?;
                self.deltas = rest;
                Some(i64::from(i16::from_be_bytes(*delta)))
            }
            _ => None,
        };
        if let Some(delta) = delta {
            self.clock = self.clock.wrapping_add(delta.wrapping_mul(DELTA_MICROS));
        }
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        Some(Arrival { sequence, at_micros: delta.map(|_| self.clock) })
    }
}

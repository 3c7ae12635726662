//! RTCP (RFC 3550 §6, RFC 4585, RFC 5104, RFC 3611): reading compound packets without copying, and
//! [writing](write) the packets a server sends.
//!
//! Knows the wire and nothing else; what a report means for a stream is decided where the stream is.

mod transport_feedback;
mod write;

pub use transport_feedback::{Arrival, Arrivals, TransportFeedback};
pub(in crate::rtp) use write::Out;
pub use write::{
    MAX_COUNT, SenderInfo, bye, cname, full_intra_request, nack, picture_loss, receiver_reference_time,
    receiver_report, sender_report,
};

use super::{VERSION, u16_at, u24_at, u32_at, u64_at};
use std::time::Duration;

/// Packet types, RTPFB/PSFB formats and XR block types.
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;
pub(super) const TRANSPORT_FEEDBACK: u8 = 205;
const PAYLOAD_FEEDBACK: u8 = 206;
const EXTENDED_REPORT: u8 = 207;
const FORMAT_NACK: u8 = 1;
pub(super) const FORMAT_TRANSPORT_CC: u8 = 15;
const FORMAT_PLI: u8 = 1;
const FORMAT_FIR: u8 = 4;
const FORMAT_APPLICATION: u8 = 15;
const BLOCK_RECEIVER_REFERENCE_TIME: u8 = 4;
const BLOCK_DLRR: u8 = 5;

/// Bytes of the header of one packet in a compound.
const HEADER: usize = 4;
const REPORT_BLOCK: usize = 24;

/// One packet of a compound.
#[derive(Clone, Debug)]
pub enum Packet<'a> {
    /// RFC 3550 §6.4.1. `ntp` is the 64-bit wall clock, `rtp` the media clock at the same moment.
    SenderReport { ssrc: u32, ntp: u64, rtp: u32, packets: u32, octets: u32, reports: ReportBlocks<'a> },
    /// RFC 3550 §6.4.2.
    ReceiverReport { ssrc: u32, reports: ReportBlocks<'a> },
    /// RFC 3550 §6.6.
    Bye { ssrcs: Ssrcs<'a> },
    /// RFC 4585 §6.2.1.
    Nack { sender: u32, media: u32, sequences: NackSequences<'a> },
    /// RFC 4585 §6.3.1.
    Pli { sender: u32, media: u32 },
    /// RFC 5104 §4.3.1.
    Fir { sender: u32, requests: FirRequests<'a> },
    /// draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1.
    TransportFeedback(TransportFeedback<'a>),
    /// draft-alvestrand-rmcat-remb. Bit/s.
    Remb { sender: u32, bitrate: u64, ssrcs: Ssrcs<'a> },
    /// RFC 3611 §2.
    ExtendedReport { ssrc: u32, blocks: ExtendedBlocks<'a> },
    /// Anything else, SDES included. `count` is the 5-bit count or format.
    Other { packet_type: u8, count: u8, body: &'a [u8] },
}

/// The packets of a compound, in order. Ends at the first that is malformed.
pub fn parse(compound: &[u8]) -> Packets<'_> {
    Packets { rest: compound }
}

/// See [`parse`].
#[derive(Clone, Debug)]
pub struct Packets<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Packets<'a> {
    type Item = Packet<'a>;

    fn next(&mut self) -> Option<Packet<'a>> {
        let whole = std::mem::take(&mut self.rest);
        let [first, packet_type, ..] = *whole else { return None };
        if first >> 6 != VERSION {
            return None;
        }
        let words = usize::from(u16_at(whole, 2)?).wrapping_add(1);
        let (packet, rest) = whole.split_at_checked(words.wrapping_mul(4))?;
        let mut body = packet.get(HEADER..)?;
        if first & 0x20 != 0 {
            // Transport feedback is padded by 1 to 3 bytes in practice, so the count is not held to whole words.
            let padding = usize::from(*body.last()?);
            body = body.get(..body.len().checked_sub(padding).filter(|_| padding != 0)?)?;
        }
        let packet = one(packet_type, first & 0x1f, body)?;
        self.rest = rest;
        Some(packet)
    }
}

fn one(packet_type: u8, count: u8, body: &[u8]) -> Option<Packet<'_>> {
    Some(match (packet_type, count) {
        (SENDER_REPORT, _) => Packet::SenderReport {
            ssrc: u32_at(body, 0)?,
            ntp: u64_at(body, 4)?,
            rtp: u32_at(body, 12)?,
            packets: u32_at(body, 16)?,
            octets: u32_at(body, 20)?,
            reports: ReportBlocks::new(body.get(24..)?, count)?,
        },
        (RECEIVER_REPORT, _) => Packet::ReceiverReport {
            ssrc: u32_at(body, 0)?,
            reports: ReportBlocks::new(body.get(4..)?, count)?,
        },
        (GOODBYE, _) => {
            Packet::Bye { ssrcs: Ssrcs { words: body.get(..usize::from(count).wrapping_mul(4))? } }
        }
        (TRANSPORT_FEEDBACK, FORMAT_NACK) => Packet::Nack {
            sender: u32_at(body, 0)?,
            media: u32_at(body, 4)?,
            sequences: NackSequences { pairs: body.get(8..)?, next: 0, bitmap: 0 },
        },
        (TRANSPORT_FEEDBACK, FORMAT_TRANSPORT_CC) => {
            Packet::TransportFeedback(TransportFeedback::parse(body)?)
        }
        (PAYLOAD_FEEDBACK, FORMAT_PLI) => Packet::Pli { sender: u32_at(body, 0)?, media: u32_at(body, 4)? },
        (PAYLOAD_FEEDBACK, FORMAT_FIR) => {
            Packet::Fir { sender: u32_at(body, 0)?, requests: FirRequests { entries: body.get(8..)? } }
        }
        (PAYLOAD_FEEDBACK, FORMAT_APPLICATION) if body.get(8..12) == Some(b"REMB") => remb(body)?,
        (EXTENDED_REPORT, _) => {
            Packet::ExtendedReport { ssrc: u32_at(body, 0)?, blocks: ExtendedBlocks { rest: body.get(4..)? } }
        }
        _ => Packet::Other { packet_type, count, body },
    })
}

fn remb(body: &[u8]) -> Option<Packet<'_>> {
    let ssrcs = usize::from(*body.get(12)?).wrapping_mul(4);
    let packed = u24_at(body, 13)?;
    let (exponent, mantissa) = (packed >> 18, packed & 0x3_ffff);
    Some(Packet::Remb {
        sender: u32_at(body, 0)?,
        // 18 bits moved by up to 63: too large a rate is as good as no limit.
        bitrate: u64::try_from(u128::from(mantissa) << exponent).unwrap_or(u64::MAX),
        ssrcs: Ssrcs { words: body.get(16..)?.get(..ssrcs)? },
    })
}

/// How one source is received (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    pub ssrc: u32,
    /// Of 256, since the last report.
    pub fraction_lost: u8,
    /// Since the beginning; negative with duplicates. 24 bits on the wire, clamped when written.
    pub cumulative_lost: i32,
    /// Extended highest sequence number received.
    pub highest_sequence: u32,
    /// In units of the media clock.
    pub jitter: u32,
    /// Middle 32 bits of the last sender report's NTP time; 0 if none came.
    pub last_sr: u32,
    /// 1/65536 s since that report came.
    pub delay_since_last_sr: u32,
}

impl ReportBlock {
    /// The round trip, when the reporter had a sender report. `now` is [`compact_ntp`] of the clock those sender
    /// reports were made with. `None` also if the fields make it negative.
    pub fn round_trip(&self, now: u32) -> Option<Duration> {
        round_trip(now, self.last_sr, self.delay_since_last_sr)
    }
}

/// `now - last - delay`, all in 1/65536 s and wrapping (RFC 3550 §6.4.1, figure 2).
fn round_trip(now: u32, last: u32, delay: u32) -> Option<Duration> {
    let fraction = now.wrapping_sub(last).wrapping_sub(delay);
    if last == 0 || fraction > u32::MAX / 2 {
        return None;
    }
    Some(Duration::from_micros((u64::from(fraction).wrapping_mul(1_000_000)) >> 16))
}

/// The middle 32 bits of a 64-bit NTP time, in 1/65536 s.
pub const fn compact_ntp(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}

/// The report blocks of a sender or receiver report.
#[derive(Clone, Debug)]
pub struct ReportBlocks<'a> {
    blocks: &'a [u8],
}

impl<'a> ReportBlocks<'a> {
    fn new(body: &'a [u8], count: u8) -> Option<Self> {
        Some(Self { blocks: body.get(..usize::from(count).wrapping_mul(REPORT_BLOCK))? })
    }
}

impl Iterator for ReportBlocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        let (block, rest) = self.blocks.split_at_checked(REPORT_BLOCK)?;
        self.blocks = rest;
        Some(ReportBlock {
            ssrc: u32_at(block, 0)?,
            fraction_lost: *block.get(4)?,
            // Sign-extends 24 bits.
            cumulative_lost: ((u24_at(block, 5)? << 8) as i32) >> 8,
            highest_sequence: u32_at(block, 8)?,
            jitter: u32_at(block, 12)?,
            last_sr: u32_at(block, 16)?,
            delay_since_last_sr: u32_at(block, 20)?,
        })
    }
}

/// A list of SSRCs.
#[derive(Clone, Debug)]
pub struct Ssrcs<'a> {
    words: &'a [u8],
}

impl Iterator for Ssrcs<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let (word, rest) = self.words.split_first_chunk()?;
        self.words = rest;
        Some(u32::from_be_bytes(*word))
    }
}

/// The sequence numbers a NACK asks for, in its order.
#[derive(Clone, Debug)]
pub struct NackSequences<'a> {
    pairs: &'a [u8],
    /// The number that bit 0 of `bitmap` stands for.
    next: u16,
    bitmap: u16,
}

impl Iterator for NackSequences<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        if self.bitmap == 0 {
            let ([p0, p1, b0, b1], rest) = self.pairs.split_first_chunk()?;
            self.pairs = rest;
            let first = u16::from_be_bytes([*p0, *p1]);
            self.next = first.wrapping_add(1);
            self.bitmap = u16::from_be_bytes([*b0, *b1]);
            return Some(first);
        }
        let skip = self.bitmap.trailing_zeros() as u16;
        let sequence = self.next.wrapping_add(skip);
        self.next = sequence.wrapping_add(1);
        // In two steps: a shift by 16 is not a shift.
        self.bitmap = self.bitmap.wrapping_shr(u32::from(skip)) >> 1;
        Some(sequence)
    }
}

/// One entry of a full intra request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirRequest {
    /// The source asked for a key frame.
    pub ssrc: u32,
    /// Rises with each new request; the same number again is a repetition.
    pub sequence: u8,
}

/// The entries of a full intra request.
#[derive(Clone, Debug)]
pub struct FirRequests<'a> {
    entries: &'a [u8],
}

impl Iterator for FirRequests<'_> {
    type Item = FirRequest;

    fn next(&mut self) -> Option<FirRequest> {
        let ([a, b, c, d, sequence, _, _, _], rest) = self.entries.split_first_chunk()?;
        self.entries = rest;
        Some(FirRequest { ssrc: u32::from_be_bytes([*a, *b, *c, *d]), sequence: *sequence })
    }
}

/// One block of an extended report.
#[derive(Clone, Debug)]
pub enum ExtendedBlock<'a> {
    /// RFC 3611 §4.4: the wall clock of a receiver that sends no media.
    ReceiverReferenceTime {
        ntp: u64,
    },
    /// RFC 3611 §4.5: the answers to such times.
    Dlrr {
        reports: DlrrReports<'a>,
    },
    Other {
        block_type: u8,
    },
}

/// The blocks of an extended report.
#[derive(Clone, Debug)]
pub struct ExtendedBlocks<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for ExtendedBlocks<'a> {
    type Item = ExtendedBlock<'a>;

    fn next(&mut self) -> Option<ExtendedBlock<'a>> {
        let whole = std::mem::take(&mut self.rest);
        let block_type = *whole.first()?;
        let length = usize::from(u16_at(whole, 2)?).wrapping_mul(4);
        let (body, rest) = whole.get(4..)?.split_at_checked(length)?;
        let block = match block_type {
            BLOCK_RECEIVER_REFERENCE_TIME => ExtendedBlock::ReceiverReferenceTime { ntp: u64_at(body, 0)? },
            BLOCK_DLRR => ExtendedBlock::Dlrr { reports: DlrrReports { entries: body } },
            _ => ExtendedBlock::Other { block_type },
        };
        self.rest = rest;
        Some(block)
    }
}

/// One answer to a receiver reference time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DlrrReport {
    pub ssrc: u32,
    /// Middle 32 bits of the reference time answered.
    pub last_rr: u32,
    /// 1/65536 s since it came.
    pub delay_since_last_rr: u32,
}

impl DlrrReport {
    /// The round trip; see [`ReportBlock::round_trip`].
    pub fn round_trip(&self, now: u32) -> Option<Duration> {
        round_trip(now, self.last_rr, self.delay_since_last_rr)
    }
}

/// The entries of a DLRR block.
#[derive(Clone, Debug)]
pub struct DlrrReports<'a> {
    entries: &'a [u8],
}

impl Iterator for DlrrReports<'_> {
    type Item = DlrrReport;

    fn next(&mut self) -> Option<DlrrReport> {
        let (entry, rest) = self.entries.split_at_checked(12)?;
        self.entries = rest;
        Some(DlrrReport {
            ssrc: u32_at(entry, 0)?,
            last_rr: u32_at(entry, 4)?,
            delay_since_last_rr: u32_at(entry, 8)?,
        })
    }
}

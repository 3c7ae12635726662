//! What a peer receives: one [`Incoming`] per SSRC puts packets in order, repairs loss by NACK and RTX, and plays
//! the decoder that must never notice what the server does. What came of it is kept per track.

use super::network::unwrap_sequence;
use super::sdp::Dialect;
use super::send::Stamp;
use bytes::Bytes;
use rtc_rtp::codec::vp8::Vp8Packet;
use rtc_rtp::packet::Packet;
use rtc_rtp::packetizer::Depacketizer;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

#[derive(Clone, Debug)]
pub(crate) struct AudioPacket {
    pub(crate) at: Instant,
    pub(crate) stamp: Stamp,
    pub(crate) timestamp: u32,
    /// It came as RED (RFC 2198), not as plain Opus.
    pub(crate) red: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// Arrival of its last packet.
    pub(crate) at: Instant,
    pub(crate) stamp: Stamp,
    pub(crate) timestamp: u32,
    pub(crate) key: bool,
}

/// What one track brought.
#[derive(Default)]
pub(crate) struct Reception {
    pub(crate) audio: Vec<AudioPacket>,
    /// Decoded, in order.
    pub(crate) frames: Vec<Frame>,
    /// What a decoder or jitter buffer would stumble over without any packet being lost.
    pub(crate) faults: Vec<String>,
    pub(crate) packets: u64,
    /// Packets that came only as RTX.
    pub(crate) repaired: u64,
    /// Packets given up.
    pub(crate) abandoned: u64,
    pub(crate) duplicates: u64,
    pub(crate) last_arrival: Option<Instant>,
}

impl Reception {
    pub(crate) fn tokens(&self) -> std::collections::BTreeSet<u32> {
        self.audio
            .iter()
            .map(|packet| packet.stamp.token)
            .chain(self.frames.iter().map(|frame| frame.stamp.token))
            .collect()
    }
}

struct Missing {
    since: Instant,
    asked: u32,
    next: Instant,
}

/// Before the first packet is handed on, later ones may overtake it.
const START_WAIT: Duration = Duration::from_millis(100);
const AUDIO_WAIT: Duration = Duration::from_millis(150);
const VIDEO_WAIT: Duration = Duration::from_millis(1500);
const NACK_AGAIN: Duration = Duration::from_millis(60);
const NACK_LIMIT: u32 = 10;
const PLI_AFTER: Duration = Duration::from_millis(300);
const PLI_AGAIN: Duration = Duration::from_millis(500);

pub(crate) struct Incoming {
    pub(crate) ssrc: u32,
    pub(crate) video: bool,
    started: Option<Instant>,
    highest: u64,
    lowest: u64,
    next: Option<u64>,
    buffer: BTreeMap<u64, (Instant, Packet)>,
    missing: BTreeMap<u64, Missing>,
    decoder: Decoder,
    broken_since: Option<Instant>,
    next_pli: Option<Instant>,
    pub(crate) received: u32,
    last_report: (u64, u32),
    /// Middle 32 bits of the last sender report's NTP time, and when it came.
    pub(crate) last_sender_report: Option<(u32, Instant)>,
}

#[derive(Default)]
struct Decoder {
    assembling: Vec<(Packet, Vp8Packet, Bytes)>,
    /// Last decoded frame: stamp, picture id, TL0PICIDX, timestamp.
    last: Option<(Stamp, u16, u8, u32)>,
    broken: bool,
    /// The frame before this one never got its end. Only a key frame may follow it.
    cut_short: Option<String>,
    last_audio: Option<(u64, u32)>,
    /// Number of the last key frame, and those of the last frames decoded since.
    key: u32,
    decoded: Vec<u32>,
}

impl Incoming {
    pub(crate) fn new(ssrc: u32, video: bool) -> Self {
        Self {
            ssrc,
            video,
            started: None,
            highest: 0,
            lowest: 0,
            next: None,
            buffer: BTreeMap::new(),
            missing: BTreeMap::new(),
            decoder: Decoder { broken: true, ..Decoder::default() },
            broken_since: None,
            next_pli: None,
            received: 0,
            last_report: (0, 0),
            last_sender_report: None,
        }
    }

    /// A packet of this SSRC, or the original packet out of an RTX one.
    pub(crate) fn insert(&mut self, now: Instant, packet: Packet, by_rtx: bool, reception: &mut Reception) {
        let sequence = packet.header.sequence_number;
        let index = match self.started {
            None => {
                self.started = Some(now);
                let index = (1 << 16) + u64::from(sequence);
                self.highest = index;
                self.lowest = index;
                index
            }
            Some(_) => unwrap_sequence(self.highest, sequence),
        };
        if self.next.is_some_and(|next| index < next) || self.buffer.contains_key(&index) {
            reception.duplicates += 1;
            return;
        }
        self.received += 1;
        reception.packets += 1;
        reception.last_arrival = Some(now);
        self.missing.remove(&index);
        if by_rtx {
            reception.repaired += 1;
        }
        if index > self.highest {
            for absent in self.highest + 1..index {
                self.missing.insert(absent, Missing { since: now, asked: 0, next: now });
            }
            self.highest = index;
        }
        if index < self.lowest {
            for absent in index + 1..self.lowest {
                self.missing.insert(absent, Missing { since: now, asked: 0, next: now });
            }
            self.lowest = index;
        }
        self.buffer.insert(index, (now, packet));
    }

    /// Hand on what is in order by now.
    pub(crate) fn play(&mut self, now: Instant, dialect: &Dialect, reception: &mut Reception) {
        let Some(started) = self.started else { return };
        if self.next.is_none() {
            if now < started + START_WAIT {
                return;
            }
            self.next = Some(self.lowest);
        }
        let wait = if self.video { VIDEO_WAIT } else { AUDIO_WAIT };
        loop {
            let next = self.next.expect("a start");
            if let Some((at, packet)) = self.buffer.remove(&next) {
                self.next = Some(next + 1);
                if self.video {
                    self.decoder.video(at, packet, reception);
                } else {
                    self.decoder.audio(at, next, packet, dialect, reception);
                }
                continue;
            }
            match self.missing.get(&next) {
                Some(missing) if now >= missing.since + wait => {
                    self.missing.remove(&next);
                    reception.abandoned += 1;
                    self.decoder.broken = true;
                    self.decoder.assembling.clear();
                    self.next = Some(next + 1);
                }
                _ => break,
            }
        }
        self.broken_since = match (self.video && self.decoder.broken, self.broken_since) {
            (true, None) => Some(now),
            (true, since) => since,
            (false, _) => None,
        };
        if self.broken_since.is_none() {
            self.next_pli = None;
        }
    }

    /// Sequence numbers to ask for now.
    pub(crate) fn nacks(&mut self, now: Instant) -> Vec<u16> {
        let mut due = Vec::new();
        for (index, missing) in &mut self.missing {
            if missing.next <= now && missing.asked < NACK_LIMIT {
                missing.asked += 1;
                missing.next = now + NACK_AGAIN;
                due.push(*index as u16);
            }
        }
        due
    }

    /// Whether it is time to ask for a key frame.
    pub(crate) fn pli(&mut self, now: Instant) -> bool {
        let Some(since) = self.broken_since else { return false };
        let due = self.next_pli.unwrap_or(since + PLI_AFTER);
        if now < due {
            return false;
        }
        self.next_pli = Some(now + PLI_AGAIN);
        true
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let start = self.started.filter(|_| self.next.is_none()).map(|started| started + START_WAIT);
        let wait = if self.video { VIDEO_WAIT } else { AUDIO_WAIT };
        let missing = self
            .missing
            .values()
            .map(|missing| {
                let give_up = missing.since + wait;
                if self.video && missing.asked < NACK_LIMIT { missing.next.min(give_up) } else { give_up }
            })
            .min();
        let pli = self.broken_since.map(|since| self.next_pli.unwrap_or(since + PLI_AFTER));
        [start, missing, pli].into_iter().flatten().min()
    }

    /// RFC 3550 section 6.4.1: fraction lost since the last report, cumulative loss, extended highest.
    pub(crate) fn report(&mut self) -> (u8, u32, u32) {
        let expected = self.highest + 1 - self.lowest;
        let lost = expected.saturating_sub(u64::from(self.received));
        let expected_interval = expected - self.last_report.0.min(expected);
        let received_interval = self.received - self.last_report.1;
        let lost_interval = expected_interval.saturating_sub(u64::from(received_interval));
        self.last_report = (expected, self.received);
        let fraction = (lost_interval * 256).checked_div(expected_interval).unwrap_or(0).min(255) as u8;
        (fraction, lost as u32, self.highest as u32)
    }
}

impl Decoder {
    fn audio(
        &mut self,
        at: Instant,
        index: u64,
        packet: Packet,
        dialect: &Dialect,
        reception: &mut Reception,
    ) {
        let red = dialect.red == Some(packet.header.payload_type);
        if !red && packet.header.payload_type != dialect.opus {
            reception.faults.push(format!("audio payload type {}", packet.header.payload_type));
            return;
        }
        let primary =
            if red { primary_of_red(&packet.payload, dialect.opus) } else { Some(packet.payload.clone()) };
        let Some(stamp) = primary.as_deref().and_then(Stamp::read) else {
            reception.faults.push(format!("damaged audio payload, red={red}"));
            return;
        };
        if let Some((last_index, last_timestamp)) = self.last_audio {
            let step = packet.header.timestamp.wrapping_sub(last_timestamp);
            if step == 0 || step > 1 << 31 {
                reception
                    .faults
                    .push(format!("audio timestamp went from {last_timestamp} by {}", step as i32));
            }
            if index <= last_index {
                reception.faults.push("audio out of order".to_owned());
            }
        }
        self.last_audio = Some((index, packet.header.timestamp));
        reception.audio.push(AudioPacket { at, stamp, timestamp: packet.header.timestamp, red });
    }

    fn video(&mut self, at: Instant, packet: Packet, reception: &mut Reception) {
        if packet.payload.is_empty() {
            return; // padding only: a probe
        }
        let mut descriptor = Vp8Packet::default();
        let Ok(body) = descriptor.depacketize(&packet.payload) else {
            reception.faults.push("a VP8 payload without a body".to_owned());
            return;
        };
        let starts = descriptor.s == 1 && descriptor.pid == 0;
        if let Some((first, _, _)) = self.assembling.first()
            && (starts || first.header.timestamp != packet.header.timestamp)
        {
            self.cut_short = Some(format!(
                "a frame was cut short at timestamp {} by {} (start: {starts})",
                first.header.timestamp, packet.header.timestamp
            ));
            self.assembling.clear();
        }
        if self.assembling.is_empty() && !starts {
            if !self.broken {
                reception.faults.push("a frame without its first packet".to_owned());
            }
            return;
        }
        let last = packet.header.marker;
        self.assembling.push((packet, descriptor, body));
        if last {
            self.finish(at, reception);
        }
    }

    fn finish(&mut self, at: Instant, reception: &mut Reception) {
        let packets = std::mem::take(&mut self.assembling);
        let (first, descriptor, body) = &packets[0];
        let key = body.first().is_some_and(|tag| tag & 1 == 0);
        let header = if key { 10 } else { 3 };
        let Some(stamp) = body.get(header..).and_then(Stamp::read) else {
            reception.faults.push("damaged first packet of a frame".to_owned());
            return;
        };
        for (index, (packet, other, body)) in packets.iter().enumerate() {
            let body = if index == 0 { body.get(header..) } else { body.get(..) };
            let found = body.and_then(Stamp::read);
            let expected = Stamp { index: index as u8, ..stamp };
            if found != Some(expected) {
                reception.faults.push(format!("packet {index} of frame {stamp:?} is {found:?}"));
            }
            if packet.header.timestamp != first.header.timestamp || other.picture_id != descriptor.picture_id
            {
                reception.faults.push(format!("frame {stamp:?} changes timestamp or picture id inside"));
            }
        }
        if packets.len() != usize::from(stamp.count) {
            reception.faults.push(format!("frame {stamp:?} has {} packets", packets.len()));
        }
        let timestamp = first.header.timestamp;
        if let Some(fault) = self.cut_short.take() {
            // A switch may leave the last frame of the old layer unfinished: decoders drop it for the key frame.
            if key {
                self.broken = true;
            } else {
                reception.faults.push(fault);
            }
        }
        if !self.follows(&stamp, key, descriptor, timestamp, reception) {
            return;
        }
        self.broken = false;
        if key {
            self.key = stamp.number;
            self.decoded.clear();
        }
        self.decoded.push(stamp.number);
        if self.decoded.len() > 8 {
            self.decoded.remove(0);
        }
        self.last = Some((stamp, descriptor.picture_id, descriptor.tl0_pic_idx, timestamp));
        reception.frames.push(Frame { at, stamp, timestamp, key });
    }

    /// Whether a decoder could use this frame after the last one; what it would stumble over is a fault.
    fn follows(
        &self,
        stamp: &Stamp,
        key: bool,
        descriptor: &Vp8Packet,
        timestamp: u32,
        reception: &mut Reception,
    ) -> bool {
        let Some((last, picture_id, tl0, last_timestamp)) = self.last else { return key };
        let step = timestamp.wrapping_sub(last_timestamp);
        if step == 0 || step > 1 << 31 {
            reception.faults.push(format!("video timestamp went back by {} at {stamp:?}", step as i32));
        }
        if self.broken {
            return key;
        }
        if descriptor.picture_id != (picture_id + 1) & 0x7fff {
            reception.faults.push(format!(
                "picture id {picture_id} is followed by {} at {stamp:?} after {last:?}",
                descriptor.picture_id
            ));
        }
        let tl0_step = descriptor.tl0_pic_idx.wrapping_sub(tl0);
        let expected = u8::from(descriptor.tid == 0);
        if tl0_step != expected {
            reception
                .faults
                .push(format!("TL0PICIDX went from {tl0} by {tl0_step} at {stamp:?} after {last:?}"));
        }
        // What each frame of the pattern 0 2 1 2 is predicted from.
        let back = [4, 1, 2, 1][(stamp.number.wrapping_sub(self.key) % 4) as usize];
        let continues = stamp.token == last.token
            && stamp.layer == last.layer
            && stamp.number > last.number
            && self.decoded.contains(&stamp.number.wrapping_sub(back));
        if !key && !continues {
            reception.faults.push(format!("delta frame {stamp:?} after {last:?}"));
            return false;
        }
        true
    }
}

/// RFC 2198: the last block is the primary one.
fn primary_of_red(payload: &Bytes, opus: u8) -> Option<Bytes> {
    let mut position = 0;
    let mut redundant = 0;
    loop {
        let first = *payload.get(position)?;
        if first & 0x7f != opus {
            return None;
        }
        if first & 0x80 == 0 {
            position += 1;
            break;
        }
        let length = u16::from_be_bytes([*payload.get(position + 2)?, *payload.get(position + 3)?]) & 0x3ff;
        redundant += usize::from(length);
        position += 4;
    }
    payload.len().checked_sub(position + redundant)?;
    Some(payload.slice(position + redundant..))
}

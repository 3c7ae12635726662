//! What a peer publishes: Opus and VP8 (also simulcast) packets whose payloads say who made them, a history that
//! answers NACKs with RTX, key frames on request, and sender reports.

use super::random::Random;
use super::sdp::Dialect;
use bytes::{BufMut, Bytes, BytesMut};
use rtc_rtcp::sender_report::SenderReport;
use rtc_rtp::header::Header;
use rtc_rtp::packet::Packet;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Written into every payload: what a receiver proves by finding it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Stamp {
    /// The publication, unique in the world.
    pub(crate) token: u32,
    /// 0 is the lowest simulcast layer.
    pub(crate) layer: u8,
    /// Frame (video) or packet (audio) number from 0.
    pub(crate) number: u32,
    /// Packet within the frame, and how many there are.
    pub(crate) index: u8,
    pub(crate) count: u8,
}

const MAGIC: &[u8; 4] = b"ENZA";
pub(crate) const STAMP_SIZE: usize = 4 + 4 + 1 + 4 + 1 + 1;

impl Stamp {
    fn write(self, out: &mut BytesMut, filler: usize) {
        out.put_slice(MAGIC);
        out.put_u32(self.token);
        out.put_u8(self.layer);
        out.put_u32(self.number);
        out.put_u8(self.index);
        out.put_u8(self.count);
        for position in 0..filler {
            out.put_u8(self.filler(position));
        }
    }

    fn filler(self, position: usize) -> u8 {
        (self.token ^ self.number).wrapping_mul(31).wrapping_add(position as u32 + u32::from(self.index))
            as u8
    }

    /// Reads a stamp and checks every byte after it.
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let body = payload.get(..STAMP_SIZE)?;
        if &body[..4] != MAGIC {
            return None;
        }
        let word = |at: usize| u32::from_be_bytes([body[at], body[at + 1], body[at + 2], body[at + 3]]);
        let stamp =
            Self { token: word(4), layer: body[8], number: word(9), index: body[13], count: body[14] };
        let intact =
            payload[STAMP_SIZE..].iter().enumerate().all(|(position, byte)| *byte == stamp.filler(position));
        intact.then_some(stamp)
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Source {
    Opus { red: bool, level: u8 },
    Vp8 { rids: Vec<&'static str>, frame_interval: Duration, packets_per_frame: u8 },
}

impl Source {
    pub(crate) fn opus() -> Self {
        Self::Opus { red: false, level: 30 }
    }

    /// A camera of 20 frames a second.
    pub(crate) fn vp8() -> Self {
        Self::Vp8 { rids: Vec::new(), frame_interval: Duration::from_millis(50), packets_per_frame: 2 }
    }

    /// JS order (`q;h;f`).
    pub(crate) fn simulcast() -> Self {
        Self::Vp8 {
            rids: vec!["q", "h", "f"],
            frame_interval: Duration::from_millis(50),
            packets_per_frame: 2,
        }
    }
}

const OPUS_INTERVAL: Duration = Duration::from_millis(20);
/// Packets a sender can still repair. libwebrtc keeps 600 at least.
const HISTORY: usize = 600;

/// One SSRC (with its RTX SSRC).
pub(crate) struct Encoding {
    pub(crate) rid: Option<&'static str>,
    pub(crate) layer: u8,
    pub(crate) ssrc: u32,
    pub(crate) rtx: u32,
    /// Not sent while off (the application or dynacast stopped it).
    pub(crate) enabled: bool,
    sequence: u16,
    rtx_sequence: u16,
    timestamp_base: u32,
    picture_id: u16,
    tl0_picture_index: u8,
    since_key: u32,
    number: u32,
    pub(crate) key_frame_wanted: bool,
    pub(crate) key_frames: u64,
    history: VecDeque<Packet>,
    pub(crate) packets: u32,
    octets: u32,
    pub(crate) retransmitted: u64,
    /// A receiver report named this SSRC: libwebrtc leaves MID and RID out from here on.
    pub(crate) acknowledged: bool,
    pub(crate) rtx_acknowledged: bool,
    last_timestamp: u32,
    last_frame: Option<Instant>,
    previous_opus: Option<Bytes>,
}

pub(crate) struct Publication {
    pub(crate) token: u32,
    pub(crate) cid: String,
    pub(crate) mid: String,
    pub(crate) source: Source,
    pub(crate) encodings: Vec<Encoding>,
    pub(crate) paused: bool,
    /// In -dBov; Opus only.
    pub(crate) level: u8,
    started: Option<Instant>,
    next_frame: Option<Instant>,
}

impl Publication {
    pub(crate) fn new(token: u32, cid: String, mid: String, source: Source, random: &mut Random) -> Self {
        let rids: Vec<Option<&'static str>> = match &source {
            Source::Vp8 { rids, .. } if !rids.is_empty() => rids.iter().copied().map(Some).collect(),
            _ => vec![None],
        };
        let level = match source {
            Source::Opus { level, .. } => level,
            Source::Vp8 { .. } => 127,
        };
        let encodings = rids.into_iter().map(|rid| Encoding::new(rid, random)).collect();
        Self { token, cid, mid, source, encodings, paused: false, level, started: None, next_frame: None }
    }

    pub(crate) fn is_audio(&self) -> bool {
        matches!(self.source, Source::Opus { .. })
    }

    pub(crate) fn rids(&self) -> Vec<String> {
        self.encodings.iter().filter_map(|encoding| encoding.rid.map(str::to_owned)).collect()
    }

    pub(crate) fn start(&mut self, now: Instant) {
        if self.started.is_none() {
            self.started = Some(now);
            self.next_frame = Some(now);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.next_frame
    }

    pub(crate) fn layer_mut(&mut self, layer: u8) -> &mut Encoding {
        self.encodings.iter_mut().find(|encoding| encoding.layer == layer).expect("a layer")
    }

    /// The packets of the frame that is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant, dialect: &Dialect) -> Vec<Packet> {
        let Some(due) = self.next_frame.filter(|at| *at <= now) else { return Vec::new() };
        let started = self.started.expect("a started source");
        let elapsed = due - started;
        let paused = self.paused;
        let mut packets = Vec::new();
        match &self.source {
            Source::Opus { red, .. } => {
                self.next_frame = Some(due + OPUS_INTERVAL);
                if !paused {
                    let red = dialect.red.filter(|_| *red);
                    let encoding = &mut self.encodings[0];
                    packets.push(encoding.opus(self.token, elapsed, self.level, red, dialect, &self.mid));
                }
            }
            Source::Vp8 { frame_interval, packets_per_frame, .. } => {
                self.next_frame = Some(due + *frame_interval);
                if !paused {
                    for encoding in self.encodings.iter_mut().filter(|encoding| encoding.enabled) {
                        encoding.vp8(
                            self.token,
                            elapsed,
                            *packets_per_frame,
                            dialect,
                            &self.mid,
                            &mut packets,
                        );
                    }
                }
            }
        }
        for packet in &packets {
            if let Some(encoding) = self.encodings.iter_mut().find(|e| e.ssrc == packet.header.ssrc) {
                encoding.last_frame = Some(now);
            }
        }
        packets
    }

    /// RTX for one sequence number the server asked for (RFC 4588), or for audio nothing.
    pub(crate) fn retransmit(&mut self, ssrc: u32, sequence: u16, dialect: &Dialect) -> Option<Packet> {
        let audio = self.is_audio();
        let mid = self.mid.clone();
        let encoding = self.encodings.iter_mut().find(|encoding| encoding.ssrc == ssrc)?;
        if audio {
            return None;
        }
        encoding.retransmit(sequence, dialect, &mid)
    }

    pub(crate) fn want_key_frame(&mut self, ssrc: u32) -> bool {
        let Some(encoding) = self.encodings.iter_mut().find(|encoding| encoding.ssrc == ssrc) else {
            return false;
        };
        encoding.key_frame_wanted = true;
        true
    }

    /// One sender report for each SSRC that sent.
    pub(crate) fn reports(&self, now: Instant, ntp: impl Fn(Instant) -> u64) -> Vec<SenderReport> {
        let rate = if self.is_audio() { 48_000.0 } else { 90_000.0 };
        self.encodings
            .iter()
            .filter_map(|encoding| {
                let last = encoding.last_frame?;
                let ahead = ((now - last).as_secs_f64() * rate) as u32;
                Some(SenderReport {
                    ssrc: encoding.ssrc,
                    ntp_time: ntp(now),
                    rtp_time: encoding.last_timestamp.wrapping_add(ahead),
                    packet_count: encoding.packets,
                    octet_count: encoding.octets,
                    ..SenderReport::default()
                })
            })
            .collect()
    }
}

impl Encoding {
    fn new(rid: Option<&'static str>, random: &mut Random) -> Self {
        let layer = match rid {
            Some("h") => 1,
            Some("f") => 2,
            _ => 0,
        };
        Self {
            rid,
            layer,
            ssrc: random.next() as u32 | 1,
            rtx: random.next() as u32 | 1,
            enabled: true,
            // Close below the wrap, so that every run of a few seconds crosses it.
            sequence: 65_400u16.wrapping_add(random.below(100) as u16),
            rtx_sequence: 65_500,
            timestamp_base: random.next() as u32,
            picture_id: random.below(1 << 15) as u16,
            tl0_picture_index: random.next() as u8,
            since_key: 0,
            number: 0,
            key_frame_wanted: true,
            key_frames: 0,
            history: VecDeque::new(),
            packets: 0,
            octets: 0,
            retransmitted: 0,
            acknowledged: false,
            rtx_acknowledged: false,
            last_timestamp: 0,
            last_frame: None,
            previous_opus: None,
        }
    }

    /// The encoder is made anew, as after a lost device: nothing of the old numbering goes on.
    pub(crate) fn restart(&mut self, random: &mut Random) {
        let fresh = Self::new(self.rid, random);
        *self = Self { number: self.number, ..fresh };
    }

    fn opus(
        &mut self,
        token: u32,
        elapsed: Duration,
        level: u8,
        red: Option<u8>,
        dialect: &Dialect,
        mid: &str,
    ) -> Packet {
        let timestamp = self.timestamp_base.wrapping_add((elapsed.as_millis() * 48) as u32);
        let stamp = Stamp { token, layer: 0, number: self.number, index: 0, count: 1 };
        self.number += 1;
        let mut primary = BytesMut::new();
        stamp.write(&mut primary, 65);
        let primary = primary.freeze();
        let mut payload = BytesMut::new();
        let payload_type = match red {
            Some(red) => {
                // RFC 2198: the previous frame as the one redundant block, when there is one.
                if let Some(previous) = &self.previous_opus {
                    let offset = 960 << 10;
                    payload.put_u32(1 << 31 | u32::from(dialect.opus) << 24 | offset | previous.len() as u32);
                    payload.put_u8(dialect.opus);
                    payload.put_slice(previous);
                } else {
                    payload.put_u8(dialect.opus);
                }
                payload.put_slice(&primary);
                red
            }
            None => {
                payload.put_slice(&primary);
                dialect.opus
            }
        };
        self.previous_opus = Some(primary);
        let mut header = self.header(payload_type, timestamp, false, dialect, mid);
        let audio_level = Bytes::copy_from_slice(&[level & 0x7f | if level < 60 { 0x80 } else { 0 }]);
        header.set_extension(dialect.audio_level, audio_level).expect("an extension");
        self.finish(header, payload.freeze())
    }

    fn vp8(
        &mut self,
        token: u32,
        elapsed: Duration,
        count: u8,
        dialect: &Dialect,
        mid: &str,
        out: &mut Vec<Packet>,
    ) {
        let timestamp = self.timestamp_base.wrapping_add((elapsed.as_micros() * 9 / 100) as u32);
        let key = std::mem::take(&mut self.key_frame_wanted);
        if key {
            self.since_key = 0;
            self.key_frames += 1;
        }
        // Three temporal layers, 0 2 1 2, as libwebrtc's L1T3.
        let temporal = [0u8, 2, 1, 2][(self.since_key % 4) as usize];
        self.since_key += 1;
        if temporal == 0 {
            self.tl0_picture_index = self.tl0_picture_index.wrapping_add(1);
        }
        // Higher layers are bigger; a key frame is twice a delta frame.
        let count = if key { count * 2 } else { count };
        for index in 0..count {
            let first = index == 0;
            let mut payload = BytesMut::new();
            payload.put_u8(0x80 | if first { 0x10 } else { 0 } | if temporal == 2 { 0x20 } else { 0 });
            payload.put_u8(0xe0);
            payload.put_u16(0x8000 | self.picture_id);
            payload.put_u8(self.tl0_picture_index);
            payload.put_u8(temporal << 6 | if temporal > 0 { 0x20 } else { 0 });
            if first {
                payload.put_u8(u8::from(!key));
                payload.put_slice(&[0, 0]);
                if key {
                    payload.put_slice(&[0x9d, 0x01, 0x2a]);
                    payload.put_u16_le(320 << self.layer);
                    payload.put_u16_le(180 << self.layer);
                }
            }
            let stamp = Stamp { token, layer: self.layer, number: self.number, index, count };
            stamp.write(&mut payload, 300 + 300 * usize::from(self.layer));
            let header = self.header(dialect.vp8, timestamp, index + 1 == count, dialect, mid);
            let packet = self.finish(header, payload.freeze());
            out.push(packet);
        }
        self.number += 1;
        self.picture_id = (self.picture_id + 1) & 0x7fff;
    }

    fn header(
        &mut self,
        payload_type: u8,
        timestamp: u32,
        marker: bool,
        dialect: &Dialect,
        mid: &str,
    ) -> Header {
        let mut header = Header {
            version: 2,
            marker,
            payload_type,
            sequence_number: self.sequence,
            timestamp,
            ssrc: self.ssrc,
            ..Header::default()
        };
        self.sequence = self.sequence.wrapping_add(1);
        self.last_timestamp = timestamp;
        if !self.acknowledged {
            header.set_extension(dialect.mid, Bytes::copy_from_slice(mid.as_bytes())).expect("an extension");
            if let Some(rid) = self.rid {
                header.set_extension(dialect.rid, Bytes::from_static(rid.as_bytes())).expect("an extension");
            }
        }
        header
    }

    fn finish(&mut self, header: Header, payload: Bytes) -> Packet {
        self.packets += 1;
        self.octets += payload.len() as u32;
        let packet = Packet { header, payload };
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(packet.clone());
        packet
    }

    fn retransmit(&mut self, sequence: u16, dialect: &Dialect, mid: &str) -> Option<Packet> {
        let original = self.history.iter().find(|packet| packet.header.sequence_number == sequence)?;
        let mut payload = BytesMut::with_capacity(original.payload.len() + 2);
        payload.put_u16(sequence);
        payload.put_slice(&original.payload);
        let mut header = Header {
            version: 2,
            marker: original.header.marker,
            payload_type: dialect.vp8_rtx,
            sequence_number: self.rtx_sequence,
            timestamp: original.header.timestamp,
            ssrc: self.rtx,
            ..Header::default()
        };
        if !self.rtx_acknowledged {
            header.set_extension(dialect.mid, Bytes::copy_from_slice(mid.as_bytes())).expect("an extension");
            if let Some(rid) = self.rid {
                header
                    .set_extension(dialect.repaired_rid, Bytes::from_static(rid.as_bytes()))
                    .expect("an extension");
            }
        }
        self.rtx_sequence = self.rtx_sequence.wrapping_add(1);
        self.retransmitted += 1;
        Some(Packet { header, payload: payload.freeze() })
    }
}

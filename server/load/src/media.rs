//! Packet shapes: what a microphone and a camera put on the wire, with a stamp inside by which a
//! receiver recognises the packet.
//!
//! Opus is 50 packets a second of one size. "VP8" is a frame of equal packets with a valid payload
//! descriptor (RFC 7741 §4.2: 15-bit picture id, TL0PICIDX, TID) and a valid frame tag (RFC 6386
//! §9.1), so that a server finds key frames and rewrites picture ids exactly as it does for a camera.
//! Key frames have the size of other frames, so that the offered rate stays the one asked for.
//!
//! This module knows no socket, no clock and no RTP header.

use std::time::Duration;

/// Bytes of [`Stamp`] on the wire.
pub(crate) const STAMP_LEN: usize = 28;
/// "ENZL".
const MAGIC: u32 = 0x454e_5a4c;
/// VP8 payload descriptor with picture id (15 bit), TL0PICIDX and TID/Y/KEYIDX (RFC 7741 §4.2).
const DESCRIPTOR_LEN: usize = 6;
/// A VP8 key frame header (RFC 6386 §9.1); delta frames carry as much, so that all packets are equal.
const FRAME_HEADER_LEN: usize = 10;
/// Opus payload at 32 kbit/s and 20 ms.
const AUDIO_PAYLOAD_LEN: usize = 80;
const AUDIO_INTERVAL: Duration = Duration::from_millis(20);
const AUDIO_CLOCK_HZ: u64 = 48_000;
const VIDEO_CLOCK_HZ: u64 = 90_000;
/// Larger video payloads would not fit a 1,200-byte packet with header, extensions and tag.
const MAX_VIDEO_PAYLOAD_LEN: usize = 1_100;
const PATTERN_PERIOD: usize = 2_048;
const PATTERN: [u8; 2 * PATTERN_PERIOD] = pattern();

/// Pseudo-random filler; a packet's filler starts at its counter modulo the period, so that a byte taken from another
/// packet is noticed.
const fn pattern() -> [u8; 2 * PATTERN_PERIOD] {
    let mut bytes = [0; 2 * PATTERN_PERIOD];
    let mut state = 0x9e37_79b9_u32;
    let mut i = 0;
    while i < PATTERN_PERIOD {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        bytes[i] = (state >> 11) as u8;
        bytes[i + PATTERN_PERIOD] = bytes[i];
        i += 1;
    }
    bytes
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Audio,
    Video,
}

/// Who sent a packet, which one it is of that track, and when it was handed to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Index of the sending participant over all rooms.
    pub sender: u32,
    pub kind: Kind,
    /// Counts the packets of this track from 0, without gaps.
    pub counter: u32,
    /// Nanoseconds of the run's clock.
    pub sent_ns: u64,
}

impl Stamp {
    fn write(&self, payload_len: usize, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&MAGIC.to_be_bytes());
        out.extend_from_slice(&self.sender.to_be_bytes());
        out.push(u8::from(self.kind == Kind::Video));
        out.push(0);
        out.extend_from_slice(&(payload_len as u16).to_be_bytes());
        out.extend_from_slice(&self.counter.to_be_bytes());
        out.extend_from_slice(&self.sent_ns.to_be_bytes());
        let check = checksum(&out[start..]);
        out.extend_from_slice(&check.to_be_bytes());
    }

    /// The stamp and the payload length it was written into; `None` if `bytes` do not hold one.
    fn read(bytes: &[u8; STAMP_LEN]) -> Option<(Self, usize)> {
        let (fields, check) = bytes.split_at(STAMP_LEN - 4);
        if checksum(fields).to_be_bytes() != check {
            return None;
        }
        let u32_at = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let kind = match bytes[8] {
            0 => Kind::Audio,
            1 => Kind::Video,
            _ => return None,
        };
        let sent_ns = (u64::from(u32_at(16)) << 32) | u64::from(u32_at(20));
        let payload_len = usize::from(u16::from_be_bytes([bytes[10], bytes[11]]));
        Some((Self { sender: u32_at(4), kind, counter: u32_at(12), sent_ns }, payload_len))
    }
}

/// FNV-1a over the few bytes of a stamp; guards against mix-ups, not against people.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// What a received RTP payload turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Every byte is as it was sent.
    Intact(Stamp),
    /// Made by this generator, but changed on the way.
    Corrupt,
    /// Not made by this generator: a server's own silence, blank frame or probe.
    Foreign,
    /// Padding only.
    Empty,
}

/// Checks a received payload (RTP padding already removed) byte by byte.
pub(crate) fn inspect(kind: Kind, payload: &[u8]) -> Content {
    if payload.is_empty() {
        return Content::Empty;
    }
    let Some(at) = stamp_offset(kind, payload) else { return Content::Foreign };
    let Some(stamp_bytes) = payload.get(at..).and_then(|rest| rest.first_chunk::<STAMP_LEN>()) else {
        return Content::Foreign;
    };
    if stamp_bytes[..4] != MAGIC.to_be_bytes() {
        return Content::Foreign;
    }
    let Some((stamp, payload_len)) = Stamp::read(stamp_bytes) else { return Content::Corrupt };
    let filler = &payload[at + STAMP_LEN..];
    let from = stamp.counter as usize % PATTERN_PERIOD;
    if stamp.kind != kind || payload_len != payload.len() || filler != &PATTERN[from..from + filler.len()] {
        return Content::Corrupt;
    }
    Content::Intact(stamp)
}

/// Where the stamp begins: after the Opus TOC byte, or after the VP8 descriptor and, in the first packet of a frame, the
/// frame header.
fn stamp_offset(kind: Kind, payload: &[u8]) -> Option<usize> {
    match kind {
        Kind::Audio => Some(1),
        Kind::Video => {
            let (descriptor_len, starts_frame) = descriptor(payload)?;
            Some(descriptor_len + if starts_frame { FRAME_HEADER_LEN } else { 0 })
        }
    }
}

/// Length of a VP8 payload descriptor and whether the packet starts a frame (RFC 7741 §4.2). A server may shorten the
/// picture id or drop TL0PICIDX, so nothing about its size is assumed.
fn descriptor(payload: &[u8]) -> Option<(usize, bool)> {
    let first = *payload.first()?;
    let starts_frame = first & 0x10 != 0 && first & 0x07 == 0;
    if first & 0x80 == 0 {
        return Some((1, starts_frame));
    }
    let extension = *payload.get(1)?;
    let mut len = 2;
    if extension & 0x80 != 0 {
        len += if payload.get(len)? & 0x80 != 0 { 2 } else { 1 };
    }
    len += usize::from(extension & 0x40 != 0) + usize::from(extension & 0x30 != 0);
    Some((len, starts_frame))
}

/// One track's packets, frame by frame.
pub(crate) struct Source {
    sender: u32,
    kind: Kind,
    interval: Duration,
    packets_per_frame: usize,
    payload_len: usize,
    ticks_per_second: u64,
    key_interval: u64,
    frames: u64,
    counter: u32,
    key_wanted: bool,
}

/// A frame whose packets are about to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    /// RTP timestamp, counted from 0.
    pub timestamp: u32,
    pub packets: usize,
    pub key: bool,
    number: u64,
}

impl Source {
    pub(crate) fn audio(sender: u32) -> Self {
        Self {
            sender,
            kind: Kind::Audio,
            interval: AUDIO_INTERVAL,
            packets_per_frame: 1,
            payload_len: AUDIO_PAYLOAD_LEN,
            ticks_per_second: AUDIO_CLOCK_HZ,
            key_interval: u64::MAX,
            frames: 0,
            counter: 0,
            key_wanted: false,
        }
    }

    /// `kbps` of RTP payload at `fps`, a key frame every `key_interval` frames and on request.
    pub(crate) fn video(sender: u32, kbps: u32, fps: u32, key_interval: u64) -> Self {
        let smallest = DESCRIPTOR_LEN + FRAME_HEADER_LEN + STAMP_LEN;
        let frame_len = (kbps as usize * 1_000 / 8 / fps as usize).max(smallest);
        let packets_per_frame = frame_len.div_ceil(MAX_VIDEO_PAYLOAD_LEN);
        Self {
            sender,
            kind: Kind::Video,
            interval: Duration::from_secs(1) / fps,
            packets_per_frame,
            payload_len: (frame_len / packets_per_frame).max(smallest),
            ticks_per_second: VIDEO_CLOCK_HZ,
            key_interval: key_interval.max(1),
            frames: 0,
            counter: 0,
            key_wanted: false,
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    /// The next frame is a key frame (PLI, FIR).
    pub(crate) fn want_key_frame(&mut self) {
        self.key_wanted = true;
    }

    pub(crate) fn next_frame(&mut self) -> Frame {
        let number = self.frames;
        self.frames += 1;
        let key = self.kind == Kind::Video
            && (std::mem::take(&mut self.key_wanted) || number.is_multiple_of(self.key_interval));
        let nanos = u128::from(number) * self.interval.as_nanos();
        let timestamp = (nanos * u128::from(self.ticks_per_second) / 1_000_000_000) as u32;
        Frame { timestamp, packets: self.packets_per_frame, key, number }
    }

    /// Appends the payload of packet `index` of `frame` to `out`; packets must be written in order.
    pub(crate) fn write_packet(&mut self, frame: Frame, index: usize, sent_ns: u64, out: &mut Vec<u8>) {
        let start = out.len();
        match self.kind {
            // TOC: CELT fullband, 20 ms, mono, one frame (RFC 6716 §3.1).
            Kind::Audio => out.push(0xf8),
            Kind::Video => {
                let picture_id = (frame.number as u16) & 0x7fff;
                out.push(if index == 0 { 0x90 } else { 0x80 });
                out.push(0xe0);
                out.extend_from_slice(&(0x8000 | picture_id).to_be_bytes());
                out.extend_from_slice(&[frame.number as u8, 0]);
                if index == 0 {
                    // Frame tag: bit 0 clear on a key frame, version 0, shown; start code and 640 × 360 on key frames.
                    let header = if frame.key {
                        [0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01]
                    } else {
                        [0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0]
                    };
                    out.extend_from_slice(&header);
                }
            }
        }
        let counter = self.counter;
        self.counter = counter.wrapping_add(1);
        Stamp { sender: self.sender, kind: self.kind, counter, sent_ns }.write(self.payload_len, out);
        let from = counter as usize % PATTERN_PERIOD;
        let filler_len = self.payload_len - (out.len() - start);
        out.extend_from_slice(&PATTERN[from..from + filler_len]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(source: &mut Source, frame: Frame) -> Vec<Vec<u8>> {
        (0..frame.packets)
            .map(|index| {
                let mut out = Vec::new();
                source.write_packet(frame, index, 42, &mut out);
                out
            })
            .collect()
    }

    #[test]
    fn video_at_600_kbps_and_25_fps_is_three_packets_of_1000_bytes() {
        let mut source = Source::video(3, 600, 25, 250);
        let frame = source.next_frame();
        let packets = packets(&mut source, frame);
        assert_eq!(packets.iter().map(Vec::len).collect::<Vec<_>>(), [1_000; 3]);
        assert_eq!(source.interval(), Duration::from_millis(40));
    }

    #[test]
    fn opus_is_80_bytes_every_20_ms_at_48_khz() {
        let mut source = Source::audio(1);
        let first = source.next_frame();
        assert_eq!(packets(&mut source, first), [packets(&mut Source::audio(1), first)[0].clone()]);
        assert_eq!(packets(&mut source, first)[0].len(), 80);
        assert_eq!(source.next_frame().timestamp, 960);
        assert_eq!(source.interval(), Duration::from_millis(20));
    }

    #[test]
    fn every_packet_is_recognised_with_its_counter() {
        for mut source in [Source::audio(7), Source::video(7, 600, 25, 10), Source::video(7, 2_500, 30, 10)] {
            for _ in 0..3_000 {
                let frame = source.next_frame();
                for packet in packets(&mut source, frame) {
                    let expected =
                        Stamp { sender: 7, kind: source.kind(), counter: source.counter, sent_ns: 42 };
                    match inspect(source.kind(), &packet) {
                        Content::Intact(stamp) => {
                            assert!(expected.counter - stamp.counter <= frame.packets as u32);
                            assert_eq!(Stamp { counter: expected.counter, ..stamp }, expected);
                        }
                        other => panic!("{other:?}"),
                    }
                }
            }
        }
    }

    #[test]
    fn a_rewritten_descriptor_is_not_corruption() {
        let mut source = Source::video(0, 600, 25, 250);
        let frame = source.next_frame();
        let mut packet = packets(&mut source, frame).remove(0);
        packet[2] = 0xff;
        packet[3] = 0x01;
        packet[4] = 200;
        assert!(matches!(inspect(Kind::Video, &packet), Content::Intact(_)));
    }

    #[test]
    fn one_changed_byte_is_corruption() {
        for mut source in [Source::audio(7), Source::video(7, 600, 25, 10)] {
            let frame = source.next_frame();
            let packet = packets(&mut source, frame).remove(0);
            let at = stamp_offset(source.kind(), &packet).unwrap();
            for position in at + 4..packet.len() {
                let mut changed = packet.clone();
                changed[position] ^= 1;
                assert_eq!(inspect(source.kind(), &changed), Content::Corrupt, "byte {position}");
            }
            assert_eq!(inspect(source.kind(), &packet[..packet.len() - 1]), Content::Corrupt);
        }
    }

    #[test]
    fn what_we_did_not_send_is_foreign() {
        assert_eq!(inspect(Kind::Audio, &[0xf8, 0xff, 0xfe]), Content::Foreign);
        assert_eq!(inspect(Kind::Video, &[0x90; 8]), Content::Foreign);
        assert_eq!(inspect(Kind::Video, &[]), Content::Empty);
    }

    #[test]
    fn key_frames_come_first_periodically_and_on_request() {
        let mut source = Source::video(0, 600, 25, 10);
        let keys: Vec<bool> = (0..21).map(|_| source.next_frame().key).collect();
        let periodic: Vec<bool> = (0..21).map(|n| n % 10 == 0).collect();
        assert_eq!(keys, periodic);
        source.want_key_frame();
        assert!(source.next_frame().key);
        assert!(!source.next_frame().key);
    }

    #[test]
    fn a_key_frame_shows_its_start_code_and_a_delta_frame_does_not() {
        let mut source = Source::video(0, 600, 25, 10);
        let key = source.next_frame();
        let packet = packets(&mut source, key).remove(0);
        assert_eq!(packet[0], 0x90);
        assert_eq!(packet[6] & 1, 0);
        assert_eq!(&packet[9..12], &[0x9d, 0x01, 0x2a]);
        let delta = source.next_frame();
        let packets = packets(&mut source, delta);
        assert_eq!(packets[0][6] & 1, 1);
        assert_eq!(packets[1][0], 0x80);
        assert_eq!(u16::from_be_bytes([packets[1][2], packets[1][3]]), 0x8001);
    }
}

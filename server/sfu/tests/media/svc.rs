//! One stream in three spatial and two temporal layers (L3T2_KEY): each subscriber gets its part of it, whole.

use crate::harness::network::Path;
use crate::harness::peer::Client;
use crate::harness::sdp::{DEPENDENCY_DESCRIPTOR, Dialect, VideoCodec};
use crate::harness::send::Source;
use crate::harness::world::{Handle, World};
use bytes::Bytes;
use rtc_rtp::header::{EXTENSION_PROFILE_TWO_BYTE, Header};
use rtc_rtp::packet::Packet;
use sfu::rtp::dependency_descriptor::{self, Frame, Structure};
use sfu::sdp::CodecKind;
use sfu::{Command, Layer, Quality, RoomId, TrackId, TrackSetting};
use std::collections::BTreeSet;
use std::time::Duration;

const ROOM: RoomId = RoomId(1);
const SPATIAL: u16 = 3;
const QUALITIES: [Quality; 3] = [Quality::Low, Quality::Medium, Quality::High];

fn client() -> Client {
    // The harness decodes VP8; what comes here is judged by the tests themselves.
    let dialect = Dialect { video: &[VideoCodec::Vp9], ..Dialect::CHROMIUM };
    Client { dialect, pli: false, ..Client::chromium() }
}

/// Writes bits, the highest first.
#[derive(Default)]
struct Bits(Vec<bool>);

impl Bits {
    fn put(&mut self, count: u32, value: u32) {
        self.0.extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
    }

    fn bytes(&self) -> Vec<u8> {
        self.0
            .chunks(8)
            .map(|bits| bits.iter().enumerate().fold(0, |byte, (at, bit)| byte | u8::from(*bit) << (7 - at)))
            .collect()
    }
}

/// Templates of each spatial layer: key frame, base frame, frame of the upper temporal layer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Key,
    Base,
    Upper,
}

const KINDS: [Kind; 3] = [Kind::Key, Kind::Base, Kind::Upper];
const OFFSET: u32 = 60;

/// What the frame is to the decode target of these layers, in two bits.
fn indication(spatial: u16, kind: Kind, target: (u16, u16)) -> u32 {
    match kind {
        Kind::Key if target.0 >= spatial => 2,
        Kind::Base if target.0 == spatial => 2,
        Kind::Upper if target == (spatial, 1) => 1,
        _ => 0,
    }
}

fn structure(bits: &mut Bits) {
    bits.put(6, OFFSET);
    bits.put(5, 5); // six decode targets
    for spatial in 0..SPATIAL {
        bits.put(2, 0);
        bits.put(2, 1);
        bits.put(2, if spatial + 1 < SPATIAL { 2 } else { 3 });
    }
    for spatial in 0..SPATIAL {
        for kind in KINDS {
            for target in 0..6 {
                bits.put(2, indication(spatial, kind, (target / 2, target % 2)));
            }
        }
    }
    for template in 0..SPATIAL as usize * KINDS.len() {
        if KINDS[template % 3] != Kind::Key {
            bits.put(5, 0b1_0010); // refers to the frame three back
        }
        bits.put(1, 0);
    }
    bits.put(3, 0b100); // three chains, ns(7)
    for target in 0..6_u32 {
        match target / 2 {
            0 => bits.put(1, 0), // ns(3)
            chain => bits.put(2, chain + 1),
        }
    }
    for _ in 0..9 * 3 {
        bits.put(4, 0); // said by each frame
    }
    bits.put(1, 1);
    for spatial in 0..SPATIAL {
        bits.put(16, (320 << spatial) - 1);
        bits.put(16, (180 << spatial) - 1);
    }
}

/// The publisher's encoder: pictures of three frames, two packets each.
#[derive(Default)]
struct Encoder {
    picture: u32,
    number: u16,
    sequence: u16,
    since_key: u32,
    /// By chain: its last frame.
    chains: [u16; 3],
}

impl Encoder {
    fn packets(&mut self, key: bool, ssrc: u32, payload_type: u8) -> Vec<Packet> {
        if key {
            self.since_key = 0;
        }
        let upper = self.since_key % 2 == 1;
        let kind = if key {
            Kind::Key
        } else if upper {
            Kind::Upper
        } else {
            Kind::Base
        };
        let mut packets = Vec::new();
        for spatial in 0..SPATIAL {
            let number = self.number;
            let distances =
                self.chains.map(|last| if key && spatial == 0 { 0 } else { number.wrapping_sub(last) });
            for end in [false, true] {
                let mut bits = Bits::default();
                bits.put(1, u32::from(!end));
                bits.put(1, u32::from(end));
                let place = KINDS.iter().position(|known| *known == kind).expect("a kind") as u32;
                bits.put(6, (OFFSET + u32::from(spatial) * 3 + place) % 64);
                bits.put(16, u32::from(number));
                let attached = key && spatial == 0 && !end;
                bits.put(5, if attached { 0b1_0001 } else { 0b0_0001 });
                if attached {
                    structure(&mut bits);
                }
                distances.iter().for_each(|distance| bits.put(8, u32::from(*distance)));
                let mut header = Header {
                    version: 2,
                    marker: end && spatial + 1 == SPATIAL,
                    payload_type,
                    sequence_number: self.sequence,
                    timestamp: self.picture * 4500,
                    ssrc,
                    extension: true,
                    extension_profile: EXTENSION_PROFILE_TWO_BYTE,
                    ..Header::default()
                };
                let descriptor = Bytes::from(bits.bytes());
                header.set_extension(DEPENDENCY_DESCRIPTOR, descriptor).expect("an extension");
                self.sequence = self.sequence.wrapping_add(1);
                packets.push(Packet { header, payload: Bytes::from(vec![spatial as u8; 100 << spatial]) });
            }
            for (chain, last) in (0..SPATIAL).zip(&mut self.chains) {
                if (kind == Kind::Key && spatial <= chain) || (kind == Kind::Base && spatial == chain) {
                    *last = number;
                }
            }
            self.number = self.number.wrapping_add(1);
        }
        self.picture += 1;
        self.since_key += 1;
        packets
    }
}

struct Stage {
    world: World,
    publisher: Handle,
    subscribers: Vec<Handle>,
    track: TrackId,
    encoder: Encoder,
    keys: usize,
}

fn stage(seed: u64, subscribers: usize) -> Stage {
    let mut world = World::new(seed);
    let publisher = world.join(ROOM, client());
    let subscribers: Vec<Handle> = (0..subscribers).map(|_| world.join(ROOM, client())).collect();
    let everybody: Vec<Handle> = world.handles().collect();
    world.connect(&everybody);
    let (track, command) = world.prepare(publisher, Source::vp8(), false);
    let Command::AddTrack { peer, track: id, mut description } = command else { unreachable!() };
    description.codec = Some(CodecKind::Vp9);
    description.layers = (0..3)
        .map(|at| Layer { quality: QUALITIES[at], width: 320 << at, height: 180 << at, bitrate: 0 })
        .collect();
    world.with(publisher, |peer, _| peer.publications[0].paused = true);
    world.command(Command::AddTrack { peer, track: id, description });
    world.offer(publisher);
    for subscriber in &subscribers {
        world.subscribe(*subscriber, track);
    }
    world.run_for(Duration::from_millis(300));
    for subscriber in &subscribers {
        world[*subscriber].recorded = Some(Vec::new());
    }
    Stage {
        world,
        publisher,
        subscribers,
        track,
        encoder: Encoder { sequence: 65_000, ..Encoder::default() },
        keys: 0,
    }
}

impl Stage {
    /// So many pictures, 20 a second.
    fn run(&mut self, pictures: usize) {
        for _ in 0..pictures {
            let publisher = self.publisher;
            let encoding = &mut self.world[publisher].publications[0].encodings[0];
            let key = std::mem::take(&mut encoding.key_frame_wanted);
            let (ssrc, payload_type) = (encoding.ssrc, self.world[publisher].client.dialect.h264);
            self.keys += usize::from(key);
            let packets = self.encoder.packets(key, ssrc, payload_type);
            self.world.with(publisher, |peer, now| packets.into_iter().for_each(|p| peer.send_rtp(now, p)));
            self.world.run_for(Duration::from_millis(50));
        }
    }

    fn want(&mut self, subscriber: usize, quality: Quality, fps: u32) {
        let peer = self.world[self.subscribers[subscriber]].id;
        let setting = TrackSetting { quality, fps, ..TrackSetting::default() };
        self.world.command(Command::TrackSetting { peer, track: self.track, setting });
    }

    /// The pictures a subscriber got since the last call: highest spatial layer and frames of each. Fails where a decoder
    /// would stumble.
    fn pictures(&mut self, subscriber: usize, judge: &mut Judge) -> Vec<(u8, usize)> {
        let handle = self.subscribers[subscriber];
        let packets = self.world[handle].recorded.replace(Vec::new()).expect("a record");
        let ssrc = self.world[handle].ssrcs_of(self.track)[0];
        judge.pictures(packets.iter().filter(|packet| packet.header.ssrc == ssrc))
    }
}

/// Watches what one subscriber is sent.
#[derive(Default)]
struct Judge {
    structure: Option<Structure>,
    next: Option<u16>,
    got: BTreeSet<u16>,
}

impl Judge {
    fn pictures<'a>(&mut self, packets: impl Iterator<Item = &'a Packet>) -> Vec<(u8, usize)> {
        let mut pictures = Vec::new();
        let mut frames: Vec<Frame> = Vec::new();
        let mut timestamp = None;
        for packet in packets {
            let sequence = packet.header.sequence_number;
            assert!(
                self.next.is_none_or(|next| next == sequence),
                "no gap: {sequence} after {:?}",
                self.next
            );
            self.next = Some(sequence.wrapping_add(1));
            let descriptor = packet.header.get_extension(DEPENDENCY_DESCRIPTOR).expect("a descriptor");
            let (frame, fresh) =
                dependency_descriptor::parse(&descriptor, self.structure.as_ref()).expect("a frame");
            if let Some(fresh) = fresh {
                self.structure = Some(fresh);
            }
            assert!(timestamp.is_none_or(|at| at == packet.header.timestamp), "a picture without its end");
            timestamp = Some(packet.header.timestamp);
            if frame.start {
                frames.push(frame);
            }
            if packet.header.marker {
                pictures.push(self.decode(&frames));
                frames.clear();
                timestamp = None;
            }
        }
        pictures
    }

    /// Whether everything that the picture is predicted from was sent, by the chain of its highest layer.
    fn decode(&mut self, frames: &[Frame]) -> (u8, usize) {
        let last = frames.last().expect("a frame");
        self.got.extend(frames.iter().map(|frame| frame.number));
        let distance = last.chains[usize::from(last.spatial)];
        let before = last.number.wrapping_sub(u16::from(distance));
        assert!(distance == 0 || self.got.contains(&before), "frame {} misses {before}", last.number);
        (last.spatial, frames.len())
    }
}

#[test]
fn each_subscriber_gets_its_part_of_one_stream() {
    let mut stage = stage(1, 3);
    for (subscriber, quality) in QUALITIES.into_iter().enumerate() {
        stage.want(subscriber, quality, 0);
    }
    let mut judges = [0; 3].map(|_| Judge::default());
    stage.run(60);
    for (subscriber, judge) in judges.iter_mut().enumerate() {
        stage.pictures(subscriber, judge);
    }
    stage.run(40);
    for (subscriber, judge) in judges.iter_mut().enumerate() {
        let pictures = stage.pictures(subscriber, judge);
        assert_eq!(pictures, vec![(subscriber as u8, 1); 40], "one frame a picture, of its own layer");
    }
}

#[test]
fn layers_change_at_a_key_frame_that_is_asked_for() {
    let mut stage = stage(2, 2);
    let (mut judge, mut other) = (Judge::default(), Judge::default());
    stage.run(60);
    stage.pictures(1, &mut other);
    for layer in [0, 1, 2, 0, 2, 1, 0] {
        stage.want(0, QUALITIES[layer], 0);
        let keys = stage.keys;
        stage.pictures(0, &mut judge);
        stage.run(20);
        assert_eq!(stage.keys, keys + 1, "one key frame for it");
        let pictures = stage.pictures(0, &mut judge);
        assert_eq!(pictures.len(), 20, "no picture is missing");
        assert!(pictures[15..].iter().all(|picture| usize::from(picture.0) == layer), "{pictures:?}");
        // Nobody else sees a change.
        assert!(stage.pictures(1, &mut other).iter().all(|picture| picture.0 == 2));
    }
}

#[test]
fn fewer_frames_a_second_need_no_key_frame() {
    let mut stage = stage(3, 1);
    let mut judge = Judge::default();
    stage.run(45);
    stage.pictures(0, &mut judge);
    let keys = stage.keys;
    for (fps, pictures) in [(10, 20), (0, 40), (10, 20), (20, 40)] {
        stage.want(0, Quality::High, fps);
        stage.run(5);
        stage.pictures(0, &mut judge);
        stage.run(40);
        let got = stage.pictures(0, &mut judge);
        assert_eq!(got.len(), pictures, "{fps} frames a second");
        assert!(got.iter().all(|picture| picture.0 == 2));
    }
    assert_eq!(stage.keys, keys);
}

#[test]
fn repairs_bring_descriptor_and_marker_along() {
    let mut stage = stage(4, 1);
    stage.want(0, Quality::Medium, 0);
    stage.run(20);
    stage.world.line(stage.subscribers[0]).down = Path { loss: 0.1, ..Path::clean() };
    stage.run(100);
    stage.world.line(stage.subscribers[0]).down = Path::clean();
    stage.run(20);
    let handle = stage.subscribers[0];
    let reception = stage.world.reception(handle, stage.track);
    assert!(reception.repaired > 10, "{} repairs", reception.repaired);
    assert_eq!(reception.abandoned, 0);
    let recorded = stage.world[handle].recorded.take().expect("a record");
    let ssrcs = stage.world[handle].ssrcs_of(stage.track);
    let media: BTreeSet<u16> = recorded
        .iter()
        .filter(|packet| packet.header.ssrc == ssrcs[0])
        .map(|packet| packet.header.sequence_number)
        .collect();
    let mut repaired = 0;
    for packet in recorded.iter().filter(|packet| packet.header.ssrc != ssrcs[0] && packet.payload.len() > 2)
    {
        let original = u16::from_be_bytes([packet.payload[0], packet.payload[1]]);
        assert!(packet.header.get_extension(DEPENDENCY_DESCRIPTOR).is_some());
        let bytes = packet.header.get_extension(DEPENDENCY_DESCRIPTOR).expect("a descriptor");
        let ends = bytes[0] & 0x40 != 0;
        assert_eq!(packet.header.marker, ends && packet.payload[2] == 1, "of the picture's last packet");
        repaired += usize::from(!media.contains(&original));
    }
    assert!(repaired > 10, "{repaired} of {}", recorded.len());
}

#[test]
fn the_descriptor_is_read_to_the_bit() {
    let mut encoder = Encoder { number: 700, ..Encoder::default() };
    let key = encoder.packets(true, 1, 100);
    let descriptor =
        |packet: &Packet| packet.header.get_extension(DEPENDENCY_DESCRIPTOR).expect("a descriptor");
    let (frame, structure) = dependency_descriptor::parse(&descriptor(&key[0]), None).expect("a frame");
    let structure = structure.expect("a structure");
    assert!(frame.key && frame.start && !frame.end);
    assert_eq!((frame.number, frame.spatial, frame.temporal, frame.active), (700, 0, 0, Some(0b11_1111)));
    assert_eq!((structure.spatial_layers(), structure.size(2)), (3, Some((1280, 720))));
    let targets: Vec<Option<u8>> =
        [(0, 0), (0, 9), (1, 0), (2, 1), (9, 9)].map(|(s, t)| structure.target(s, t, u32::MAX)).to_vec();
    assert_eq!(targets, [Some(0), Some(1), Some(2), Some(5), Some(5)]);
    assert_eq!(structure.target(2, 1, 0b1111), Some(3), "the highest is not sent");
    assert_eq!(
        (0..6).map(|target| structure.chain_of(target)).collect::<Vec<_>>(),
        [0, 0, 1, 1, 2, 2].map(Some)
    );
    for cut in 0..descriptor(&key[0]).len() {
        dependency_descriptor::parse(&descriptor(&key[0])[..cut], None);
    }
    assert!(dependency_descriptor::parse(&descriptor(&key[2]), None).is_none(), "not without a structure");
    let (frame, fresh) =
        dependency_descriptor::parse(&descriptor(&key[5]), Some(&structure)).expect("a frame");
    assert!(fresh.is_none() && frame.end && !frame.start && !frame.key);
    assert_eq!((frame.number, frame.spatial, &frame.chains[..3]), (702, 2, &[2, 1, 1][..]));
}

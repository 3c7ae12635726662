//! What a subscriber is sent fits its path: the estimate climbs, falls and settles, and sound comes first.

use crate::harness::network::{Competitor, Path, Sent};
use crate::harness::peer::Client;
use crate::harness::sdp::Dialect;
use crate::harness::send::Source;
use crate::harness::world::{Handle, Participant, World};
use rtc_rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
use rtc_rtcp::transport_feedbacks::transport_layer_cc::{
    PacketStatusChunk, RecvDelta, RunLengthChunk, StatusChunkTypeTcc, SymbolTypeTcc, TransportLayerCc,
};
use sfu::{Command, ConnectionQuality, Event, RoomId, TrackId};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const ROOM: RoomId = RoomId(1);
pub(crate) const SPEAKERS: usize = 1;
pub(crate) const RTT_HALF: Duration = Duration::from_millis(25);

/// Layers of about 120, 220 and 320 kbit/s at 20 frames a second.
pub(crate) fn camera() -> Source {
    Source::Vp8 { rids: vec!["q", "h", "f"], frame_interval: Duration::from_millis(50), packets_per_frame: 2 }
}

/// RTCP with transport-wide feedback, whose first header is in the clear (RFC 3711 §3.4).
fn is_transport_feedback(bytes: &[u8]) -> bool {
    bytes.len() > 1 && bytes[1] == 205
}

/// A room of so many. The first one sees and hears everybody, over a link; each of the others sees the next one only,
/// which is enough to tell whether it suffers, and keeps the run short. [`SPEAKERS`] of the others speak all the time, with
/// redundancy; the rest are silent.
pub(crate) fn room(seed: u64, people: usize, path: Path) -> (World, Vec<Participant>) {
    let mut world = World::new(seed);
    let client = Client { audios: people - 1, videos: people - 1, ..Client::chromium() };
    let handles: Vec<Handle> = (0..people).map(|_| world.join(ROOM, client.clone())).collect();
    world.connect(&handles);
    let participants: Vec<Participant> = handles
        .iter()
        .map(|handle| Participant {
            handle: *handle,
            audio: world.publish(*handle, Source::Opus { red: true, level: 30 }),
            video: world.publish(*handle, camera()),
        })
        .collect();
    for handle in handles.iter().skip(1 + SPEAKERS) {
        world[*handle].publications[0].paused = true;
    }
    for at in 1..people {
        world.subscribe(handles[0], participants[at].audio);
        world.subscribe(handles[0], participants[at].video);
        let next = participants[(at + 1) % people];
        world.subscribe(handles[at], next.audio);
        world.subscribe(handles[at], next.video);
    }
    world.line(handles[0]).down = path;
    (world, participants)
}

fn sent_to(world: &World, handle: Handle, from: Instant) -> impl Iterator<Item = &Sent> {
    let address = world[handle].address;
    world.ledger.sent.iter().filter(move |sent| sent.to == address && sent.at >= from)
}

/// Bit/s offered to a peer since then.
pub(crate) fn rate_to(world: &World, handle: Handle, from: Instant) -> f64 {
    let bytes: usize = sent_to(world, handle, from).map(|sent| sent.length + 28).sum();
    bytes as f64 * 8.0 / (world.now - from).as_secs_f64()
}

/// Share of a voice that neither came nor could be taken from the redundancy of the next packet (RFC 2198), while
/// `from` to now was said.
pub(crate) fn audio_missing(world: &World, handle: Handle, track: TrackId, from: Instant) -> f64 {
    let packets = world.reception(handle, track).audio.iter().filter(|packet| packet.at > from);
    let mut heard = BTreeSet::new();
    for packet in packets {
        heard.insert(packet.stamp.number);
        if packet.red {
            heard.insert(packet.stamp.number.saturating_sub(1));
        }
    }
    let said = (world.now - from).as_secs_f64() * 50.0;
    (1.0 - heard.len() as f64 / said).max(0.0)
}

pub(crate) fn worst_audio(world: &World, people: &[Participant], from: Instant) -> f64 {
    people[1..=SPEAKERS]
        .iter()
        .map(|other| audio_missing(world, people[0].handle, other.audio, from))
        .fold(0.0, f64::max)
}

pub(crate) fn frames(world: &World, handle: Handle, track: TrackId, from: Instant) -> Vec<u8> {
    let Some(reception) = world[handle].receptions.get(&track) else { return Vec::new() };
    reception.frames.iter().filter(|frame| frame.at > from).map(|frame| frame.stamp.layer).collect()
}

/// What the peer's connection is said to be.
fn quality(world: &World, handle: Handle) -> Option<ConnectionQuality> {
    let id = world[handle].id;
    world.events.iter().rev().find_map(|(_, event)| match event {
        Event::ConnectionQuality { peer, quality } if *peer == id => Some(*quality),
        _ => None,
    })
}

#[test]
fn on_a_wide_path_the_best_layer_comes_within_seconds() {
    let (mut world, people) = room(1, 3, Path::link(20_000_000, RTT_HALF, 0.0));
    world.run_for(Duration::from_secs(4));
    let from = world.now;
    world.run_for(Duration::from_secs(2));
    for other in &people[1..] {
        let layers = frames(&world, people[0].handle, other.video, from);
        assert!(layers.len() >= 38 && layers.iter().all(|layer| *layer == 2), "{layers:?}");
    }
    world.assert_flawless();
}

/// Whose browser takes RTX, and with it a burst's padding, only when it names its m-line.
#[test]
fn a_viewer_in_firefox_gets_the_best_layer_as_well() {
    let mut world = World::new(10);
    let people = world.call(ROOM, &[Client::firefox(), Client::chromium()], &camera());
    world.line(people[0].handle).down = Path::link(20_000_000, RTT_HALF, 0.0);
    world.run_for(Duration::from_secs(4));
    let from = world.now;
    world.run_for(Duration::from_secs(2));
    let layers = frames(&world, people[0].handle, people[1].video, from);
    assert!(layers.len() >= 38 && layers.iter().all(|layer| *layer == 2), "{layers:?}");
    world.assert_flawless();
}

#[test]
fn a_phone_in_a_room_of_ten_uses_its_link_and_hears_everybody() {
    let (mut world, people) = room(2, 10, Path::link(1_000_000, RTT_HALF, 0.03));
    world.run_for(Duration::from_secs(6));
    let from = world.now;
    world.run_for(Duration::from_secs(10));
    let phone = people[0].handle;
    let used = rate_to(&world, phone, from) / 1e6;
    let missing = worst_audio(&world, &people, from);
    let best = people[1..].iter().map(|other| frames(&world, phone, other.video, from).len()).max().unwrap();
    assert!(best >= 150, "one picture has {best} frames in 10 s");
    assert!((0.75..1.1).contains(&used), "{used} of the link is used");
    assert!(missing < 0.01, "{missing} of the sound is missing");
    for (at, other) in people.iter().enumerate().skip(1) {
        let next = people[(at + 1) % people.len()];
        assert!(frames(&world, other.handle, next.video, from).len() >= 196, "the others lose nothing");
    }
}

#[test]
fn a_step_down_settles_and_a_step_up_is_found() {
    let (mut world, people) = room(3, 5, Path::link(2_500_000, RTT_HALF, 0.0));
    let phone = people[0].handle;
    world.run_for(Duration::from_secs(6));
    let from = world.now;
    world.run_for(Duration::from_secs(2));
    let before = rate_to(&world, phone, from);
    assert!(before > 1_200_000.0, "{before}");
    world.line(phone).down.link = Some(500_000);
    world.run_for(Duration::from_secs(3));
    let from = world.now;
    world.run_for(Duration::from_secs(10));
    let missing = worst_audio(&world, &people, from);
    let used = rate_to(&world, phone, from) / 5e5;
    assert!(missing < 0.01, "{missing} of the sound is missing after three seconds");
    assert!((0.75..1.05).contains(&used), "{used} of the link is used");
    world.line(phone).down.link = Some(2_500_000);
    world.run_for(Duration::from_secs(15));
    let from = world.now;
    world.run_for(Duration::from_secs(2));
    let after = rate_to(&world, phone, from);
    assert!(after > 0.9 * before, "{after} after {before}");
}

/// The lowest layer does not fit beside the sound, a part of its frames does.
#[test]
fn where_a_layer_does_not_fit_fewer_frames_of_it_come() {
    let (mut world, people) = room(12, 2, Path::link(150_000, RTT_HALF, 0.0));
    let phone = people[0].handle;
    world.run_for(Duration::from_secs(20));
    let from = world.now;
    world.run_for(Duration::from_secs(30));
    let missing = worst_audio(&world, &people, from);
    assert!(missing < 0.01, "{missing} of the sound is missing");
    let frames = frames(&world, phone, people[1].video, from);
    assert!((140..400).contains(&frames.len()), "{} frames in 30 s", frames.len());
    world.line(phone).down.link = Some(2_000_000);
    world.run_for(Duration::from_secs(20));
    let from = world.now;
    world.run_for(Duration::from_secs(2));
    assert!(self::frames(&world, phone, people[1].video, from).len() >= 38, "all of them when there is room");
}

#[test]
fn where_no_picture_fits_the_sound_stays_and_the_client_is_told() {
    let (mut world, people) = room(4, 3, Path::link(90_000, RTT_HALF, 0.0));
    let phone = people[0].handle;
    world.run_for(Duration::from_secs(10));
    let from = world.now;
    world.run_for(Duration::from_secs(20));
    let missing = worst_audio(&world, &people, from);
    assert!(missing < 0.02, "{missing} of the sound is missing");
    let id = world[phone].id;
    for other in &people[1..] {
        assert_eq!(
            world.events.iter().rev().find_map(|(_, event)| match event {
                Event::StreamState { peer, track, paused } if *peer == id && *track == other.video =>
                    Some(*paused),
                _ => None,
            }),
            Some(true)
        );
    }
    assert_eq!(quality(&world, phone), Some(ConnectionQuality::Poor));
    world.line(phone).down.link = Some(5_000_000);
    world.run_for(Duration::from_secs(20));
    assert_eq!(quality(&world, phone), Some(ConnectionQuality::Excellent));
    let from = world.now;
    world.run_for(Duration::from_secs(2));
    for other in &people[1..] {
        assert!(
            frames(&world, phone, other.video, from).len() >= 38,
            "the picture comes back: {:?}",
            world
                .events
                .iter()
                .filter(|(_, e)| matches!(e, Event::StreamState { .. }))
                .map(|(at, e)| (*at - world.origin, e))
                .collect::<Vec<_>>()
        );
    }
}

/// A download over the same line takes what it can get: neither starves the other, and sound comes through.
#[test]
fn beside_a_greedy_download_the_picture_and_the_sound_stay() {
    // Two controllers that watch each other: which frame falls where changes much on one line, so it is three.
    let lines = [1_840_000, 2_000_000, 2_080_000];
    let (mut own, mut other, mut best) = (0.0, 0.0, 0);
    for line in lines {
        let (mut world, people) = room(6, 4, Path::link(line, RTT_HALF, 0.0));
        let phone = people[0].handle;
        world.run_for(Duration::from_secs(5));
        let from = world.now;
        world.line(phone).down.competitor = Some(Competitor::new(from));
        world.run_for(Duration::from_secs(20));
        let carried = world.line(phone).down.competitor.expect("it").carried;
        own += rate_to(&world, phone, from) / f64::from(line) / 3.0;
        other += carried as f64 * 8.0 / (world.now - from).as_secs_f64() / f64::from(line) / 3.0;
        let missing = worst_audio(&world, &people, from);
        assert!(missing < 0.05, "{missing} of the sound is missing");
        let shown = people[1..].iter().map(|other| frames(&world, phone, other.video, from).len());
        best += shown.max().unwrap_or(0);
    }
    assert!(own > 0.2 && other > 0.2, "{own} of the link is ours, {other} the download's");
    assert!(best > 3 * 250, "the best picture has {best} frames in a minute, of 1200");
}

/// Reports may be lost like everything else. Without them for long the server sends less, and never nothing.
#[test]
fn lost_reports_cost_little_and_missing_ones_are_got_over() {
    let (mut world, people) = room(7, 2, Path::link(5_000_000, RTT_HALF, 0.0));
    let phone = people[0].handle;
    world.run_for(Duration::from_secs(4));
    let mut count = 0;
    world.line(phone).lose_up = Some(Box::new(move |_, bytes| {
        count += u32::from(is_transport_feedback(bytes));
        is_transport_feedback(bytes) && count.is_multiple_of(2)
    }));
    let from = world.now;
    world.run_for(Duration::from_secs(10));
    let layers = frames(&world, phone, people[1].video, from);
    assert!(layers.len() >= 195 && layers.iter().all(|layer| *layer == 2), "every second: {layers:?}");

    world.line(phone).lose_up = Some(Box::new(|_, bytes| is_transport_feedback(bytes)));
    let from = world.now;
    world.run_for(Duration::from_secs(20));
    let layers = frames(&world, phone, people[1].video, from + Duration::from_secs(10));
    assert!(layers.len() >= 150, "{} frames in the last half", layers.len());

    world.line(phone).lose_up = None;
    world.run_for(Duration::from_secs(5));
    let from = world.now;
    world.run_for(Duration::from_secs(2));
    let layers = frames(&world, phone, people[1].video, from);
    assert!(layers.len() >= 38 && layers.iter().all(|layer| *layer == 2), "afterwards: {layers:?}");
    world.assert_flawless();
}

/// One report with a run of `count` packets from `base` on, all alike.
fn report(base: u16, count: u16, symbol: SymbolTypeTcc, time: u32, ticks: i64) -> TransportLayerCc {
    let received = symbol != SymbolTypeTcc::PacketNotReceived;
    let delta = RecvDelta { type_tcc_packet: symbol, delta: ticks * 250 };
    TransportLayerCc {
        sender_ssrc: 1,
        media_ssrc: 0,
        base_sequence_number: base,
        packet_status_count: count,
        reference_time: time,
        fb_pkt_count: 0,
        packet_chunks: vec![PacketStatusChunk::RunLengthChunk(RunLengthChunk {
            type_tcc: StatusChunkTypeTcc::RunLengthChunk,
            packet_status_symbol: symbol,
            run_length: count,
        })],
        recv_deltas: if received { vec![delta; usize::from(count)] } else { Vec::new() },
    }
}

/// Reports of what was never sent, of times that cannot be and of losses that were none: the liar may spoil its own
/// picture, it gets no more than it asks for, and nobody else notices.
#[test]
fn a_client_that_lies_in_its_reports_harms_only_itself() {
    let (mut world, people) = room(8, 3, Path::link(20_000_000, RTT_HALF, 0.0));
    let liar = people[0].handle;
    world.line(liar).lose_up = Some(Box::new(|_, bytes| is_transport_feedback(bytes)));
    let from = world.now;
    let mut next = 1_u64;
    let mut random = |below: u64| {
        next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (next >> 33) % below
    };
    for _ in 0..200 {
        world.run_for(Duration::from_millis(50));
        let (base, time) = (random(1 << 16) as u16, random(1 << 24) as u32);
        let lie = match random(5) {
            0 => report(base, 1000, SymbolTypeTcc::PacketReceivedSmallDelta, time, 0),
            1 => report(base, 300, SymbolTypeTcc::PacketReceivedLargeDelta, time, -32_000),
            2 => report(base, 8191, SymbolTypeTcc::PacketNotReceived, 0, 0),
            3 => report(0, 1000, SymbolTypeTcc::PacketReceivedSmallDelta, 1, 1),
            _ => report(base, 1, SymbolTypeTcc::PacketReceivedLargeDelta, 0xff_ffff, 32_000),
        };
        world.line(liar).lose_up = None;
        world.with(liar, |peer, _| peer.send_rtcp(&[Box::new(lie)]));
        world.line(liar).lose_up = Some(Box::new(|_, bytes| is_transport_feedback(bytes)));
    }
    let rate = rate_to(&world, liar, from);
    assert!(rate < 3_000_000.0, "{rate} bit/s for pictures of 0.7 Mbit/s");
    for (at, other) in people.iter().enumerate().skip(1) {
        let next = people[(at + 1) % people.len()];
        let layers = frames(&world, other.handle, next.video, world.now - Duration::from_secs(5));
        assert!(layers.len() >= 98 && layers.iter().all(|layer| *layer == 2), "{layers:?}");
    }
    world.line(liar).lose_up = None;
    world.run_for(Duration::from_secs(15));
    let layers = frames(&world, liar, people[1].video, world.now - Duration::from_secs(2));
    assert!(layers.len() >= 38 && layers.iter().all(|layer| *layer == 2), "honest again: {layers:?}");
    world.assert_flawless();
}

/// REMB (draft-alvestrand-rmcat-remb): of a client that knows no transport-wide feedback.
#[test]
fn a_client_that_bounds_the_rate_itself_is_believed() {
    let mut world = World::new(9);
    let old = Client { dialect: Dialect { transport_cc: 0, ..Dialect::CHROMIUM }, ..Client::chromium() };
    let people = world.call(ROOM, &[old, Client::chromium()], &camera());
    let answer = world[people[0].handle].answer.clone().expect("an answer");
    for section in answer.sections.iter().filter(|section| section.kind == "video") {
        assert!(
            section.feedback.iter().any(|(_, feedback)| feedback == "goog-remb"),
            "{:?}",
            section.feedback
        );
    }
    let answer = world[people[1].handle].answer.clone().expect("an answer");
    let offered = answer.sections.iter().flat_map(|section| &section.feedback);
    assert!(!offered.into_iter().any(|(_, feedback)| feedback == "goog-remb"), "not beside transport-cc");
    world.run_for(Duration::from_secs(3));
    for (bitrate, layer) in [(None, 2), (Some(150_000.0), 0), (Some(270_000.0), 1), (Some(1e9), 2)] {
        if let Some(bitrate) = bitrate {
            let bound = ReceiverEstimatedMaximumBitrate { sender_ssrc: 1, bitrate, ssrcs: vec![1] };
            world.with(people[0].handle, |peer, _| peer.send_rtcp(&[Box::new(bound)]));
        }
        world.run_for(Duration::from_secs(1));
        let from = world.now;
        world.run_for(Duration::from_secs(2));
        let layers = frames(&world, people[0].handle, people[1].video, from);
        assert!(layers.len() >= 38 && layers.iter().all(|at| *at == layer), "{bitrate:?}: {layers:?}");
    }
    world.assert_flawless();
}

#[test]
fn a_client_that_reports_nothing_is_sent_what_it_asks_for() {
    let (mut world, people) = room(5, 2, Path::clean());
    world.line(people[0].handle).lose_up =
        Some(Box::new(|_, bytes| bytes.len() > 1 && (192..=223).contains(&bytes[1])));
    world.run_for(Duration::from_secs(9));
    let from = world.now;
    world.run_for(Duration::from_secs(2));
    let layers = frames(&world, people[0].handle, people[1].video, from);
    assert!(layers.iter().filter(|layer| **layer == 2).count() >= 36, "{layers:?}");
}

#[test]
fn a_limit_by_command_holds_down_to_nothing_and_ends() {
    let (mut world, people) = room(40, 3, Path::link(20_000_000, RTT_HALF, 0.0));
    let (phone, other) = (people[0].handle, people[1]);
    let peer = world[phone].id;
    world.run_for(Duration::from_secs(4));
    world.command(Command::LimitBandwidth { peer, limit: Some(400_000) });
    world.run_for(Duration::from_secs(2));
    let from = world.now;
    world.run_for(Duration::from_secs(3));
    let layers = frames(&world, phone, other.video, from);
    assert!(layers.len() >= 55 && layers.iter().all(|layer| *layer < 2), "{layers:?}");
    let rate = rate_to(&world, phone, from);
    assert!(rate < 600_000.0, "{rate}: two voices beside 400 kbit/s of pictures");
    world.command(Command::LimitBandwidth { peer, limit: Some(1_000) });
    world.run_for(Duration::from_secs(2));
    let from = world.now;
    world.run_for(Duration::from_secs(3));
    assert_eq!(frames(&world, phone, other.video, from).len(), 0, "no room for a picture");
    assert!(audio_missing(&world, phone, other.audio, from) < 0.02, "sound is never held");
    world.command(Command::LimitBandwidth { peer, limit: None });
    world.run_for(Duration::from_secs(8));
    let from = world.now;
    world.run_for(Duration::from_secs(2));
    let layers = frames(&world, phone, other.video, from);
    assert!(layers.len() >= 38 && layers.iter().all(|layer| *layer == 2), "{layers:?}");
}

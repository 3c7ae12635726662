//! People see and hear each other.

use crate::harness::network::Class;
use crate::harness::peer::Client;
use crate::harness::send::Source;
use crate::harness::world::World;
use bytes::Bytes;
use rtc_rtp::header::Header;
use rtc_rtp::packet::Packet;
use sfu::sdp::CodecKind;
use sfu::{Command, Event, RoomId};
use std::collections::HashMap;
use std::time::Duration;

const ROOM: RoomId = RoomId(1);

/// Every participant gets every other one's sound and picture, whole and in order.
fn everybody_gets_everybody(seed: u64, clients: &[Client]) -> World {
    let mut world = World::new(seed);
    let participants = world.call(ROOM, clients, &Source::vp8());
    let seconds = 6;
    world.run_for(Duration::from_secs(seconds));
    for subscriber in &participants {
        for publisher in participants.iter().filter(|other| other.handle != subscriber.handle) {
            let audio = &world.reception(subscriber.handle, publisher.audio).audio;
            assert!(audio.len() as u64 >= 50 * seconds - 25, "{} audio packets", audio.len());
            let token = world.token(publisher.handle, 0);
            assert!(audio.iter().all(|packet| packet.stamp.token == token));
            for pair in audio.windows(2) {
                assert_eq!(pair[1].stamp.number, pair[0].stamp.number + 1);
                assert_eq!(pair[1].timestamp.wrapping_sub(pair[0].timestamp), 960);
            }
            let frames = &world.reception(subscriber.handle, publisher.video).frames;
            assert!(frames.len() as u64 >= 20 * seconds - 25, "{} frames", frames.len());
            let token = world.token(publisher.handle, 1);
            assert!(frames.iter().all(|frame| frame.stamp.token == token));
            for pair in frames.windows(2) {
                assert_eq!(pair[1].stamp.number, pair[0].stamp.number + 1);
                assert_eq!(pair[1].timestamp.wrapping_sub(pair[0].timestamp), 4500);
            }
        }
        assert_eq!(world[subscriber.handle].unexplained, 0);
    }
    world.assert_flawless();
    world
}

#[test]
fn two_clients_see_and_hear_each_other() {
    let world = everybody_gets_everybody(1, &[Client::chromium(), Client::chromium()]);
    assert_eq!(world.count(|event| matches!(event, Event::Connected { .. })), 2);
    assert_eq!(world.count(|event| matches!(event, Event::Published { .. })), 4);
    assert_eq!(world.count(|event| matches!(event, Event::Subscribed { .. })), 4);
    assert_eq!(world.count(|event| matches!(event, Event::Disconnected { .. } | Event::Silent { .. })), 0);
}

#[test]
fn browsers_that_number_payloads_and_extensions_differently_understand_each_other() {
    everybody_gets_everybody(2, &[Client::chromium(), Client::firefox()]);
}

#[test]
fn five_clients_are_all_with_each_other() {
    let [chromium, firefox] = [Client::chromium(), Client::firefox()];
    everybody_gets_everybody(3, &[chromium.clone(), firefox.clone(), chromium.clone(), firefox, chromium]);
}

/// On a clean network nothing is repaired, so the shard's own order is the order on the wire: each SSRC counts
/// up by one and its timestamps never go back.
#[test]
fn sequence_numbers_and_timestamps_of_each_downlink_only_grow() {
    let world = everybody_gets_everybody(4, &[Client::chromium(), Client::firefox(), Client::chromium()]);
    let mut last: HashMap<_, (u16, u32, bool)> = HashMap::new();
    let mut packets = 0;
    for sent in world.ledger.rtp() {
        let previous = last.insert((sent.to, sent.ssrc), (sent.sequence, sent.timestamp, true));
        if let Some((sequence, timestamp, _)) = previous {
            assert_eq!(sent.sequence, sequence.wrapping_add(1), "SSRC {}", sent.ssrc);
            assert!(sent.timestamp.wrapping_sub(timestamp) < 1 << 31, "SSRC {}", sent.ssrc);
        }
        packets += 1;
    }
    assert!(packets > 3000, "{packets}");
    assert_eq!(last.len(), 3 * 4, "one SSRC per subscription");
}

#[test]
fn a_participant_that_leaves_gets_nothing_more_and_the_others_go_on() {
    let mut world = World::new(5);
    let clients = [Client::chromium(), Client::chromium(), Client::chromium()];
    let participants = world.call(ROOM, &clients, &Source::vp8());
    world.run_for(Duration::from_secs(2));
    let gone = participants[2];
    let peer = world[gone.handle].id;
    world.command(Command::Disconnect { peer });
    let left = world.now;
    let address = world[gone.handle].address;
    world.run_for(Duration::from_secs(3));
    let closing: Vec<_> =
        world.ledger.sent.iter().filter(|sent| sent.to == address && sent.at > left).collect();
    assert!(closing.is_empty(), "{closing:?}");
    assert_eq!(
        world.count(|event| matches!(event, Event::Disconnected { peer: other, .. } if *other == peer)),
        0,
        "no event follows a command"
    );
    let frames = &world.reception(participants[0].handle, participants[1].video).frames;
    assert!(frames.iter().filter(|frame| frame.at > left).count() > 50);
    let of_gone = world.reception(participants[0].handle, gone.video).last_arrival.expect("packets before");
    assert!(of_gone < left + Duration::from_millis(50));
    world.assert_flawless();
}

/// The codec that `add_track` announced is the first of the answer, and stays it in later ones. Announced after the
/// answer, it changes nothing: the client sends by that answer already.
#[test]
fn an_announced_codec_comes_first_in_the_answer() {
    for (late, expected) in [(false, "video/H264"), (true, "video/VP8")] {
        let mut world = World::new(9);
        let publisher = world.join(ROOM, Client::chromium());
        world.connect(&[publisher]);
        let (track, command) = world.prepare(publisher, Source::vp8(), false);
        let Command::AddTrack { peer, track: id, mut description } = command else { unreachable!() };
        description.codec = Some(CodecKind::H264);
        let command = Command::AddTrack { peer, track: id, description };
        if late {
            world.offer(publisher);
            world.run_for(Duration::from_millis(200));
            world.command(command);
        } else {
            world.command(command);
            world.offer(publisher);
        }
        world.run_for(Duration::from_millis(200));
        let published = world.count(|event| {
            matches!(event, Event::Published { track: at, mime_type, .. } if *at == track && mime_type == expected)
        });
        assert_eq!(published, 1, "late: {late}");
        for _ in 0..2 {
            let dialect = world[publisher].client.dialect;
            let answer = world[publisher].answer.as_ref().expect("an answer");
            let section = answer.sections.iter().find(|s| s.direction == "recvonly").expect("the camera");
            let first = if late { dialect.vp8 } else { dialect.h264 };
            assert_eq!(section.payload_types[0], first, "late: {late}");
            world.offer(publisher);
            world.run_for(Duration::from_millis(200));
        }
    }
}

/// The server knows where an H.264 key frame begins and no more: the payload arrives byte for byte.
#[test]
fn h264_is_passed_through_from_its_first_key_frame_on() {
    let mut world = World::new(7);
    let publisher = world.join(ROOM, Client::chromium());
    let subscriber = world.join(ROOM, Client::firefox());
    world.connect(&[publisher, subscriber]);
    let track = world.publish(publisher, Source::vp8());
    world.with(publisher, |peer, _| peer.publications[0].paused = true);
    world.subscribe(subscriber, track);
    world.run_for(Duration::from_millis(200));
    world.with(subscriber, |peer, _| peer.recorded = Some(Vec::new()));
    let ssrc = world[publisher].publications[0].encodings[0].ssrc;
    // Slices, then SPS+PPS+IDR in a STAP-A, then slices again (RFC 6184).
    let payload = |number: u16| {
        let mut payload = match number {
            5 => vec![0x78, 0, 4, 0x67, 0x42, 0xe0, 0x1f, 0, 2, 0x68, 0xce, 0, 3, 0x65, 0x88, 0x84],
            _ => vec![0x41, 0x9a],
        };
        payload.extend([number as u8; 200]);
        Bytes::from(payload)
    };
    for number in 0..30u16 {
        world.with(publisher, |peer, now| {
            let header = Header {
                version: 2,
                marker: true,
                payload_type: peer.client.dialect.h264,
                sequence_number: number.wrapping_add(65_520),
                timestamp: u32::from(number) * 3000,
                ssrc,
                ..Header::default()
            };
            peer.send_rtp(now, Packet { header, payload: payload(number) });
        });
        world.run_for(Duration::from_millis(33));
    }
    let recorded = world[subscriber].recorded.clone().expect("a record");
    let expected: Vec<Bytes> = (5..30).map(payload).collect();
    assert_eq!(recorded.iter().map(|packet| packet.payload.clone()).collect::<Vec<_>>(), expected);
    let h264 = world[subscriber].client.dialect.h264;
    assert!(recorded.iter().all(|packet| packet.header.payload_type == h264 && packet.header.marker));
}

/// Two browsers may draw the same SSRC.
#[test]
fn two_publishers_with_one_ssrc_stay_two() {
    let mut world = World::new(8);
    let handles = [0; 3].map(|_| world.join(ROOM, Client::chromium()));
    world.connect(&handles);
    let tracks = [handles[0], handles[1]].map(|publisher| {
        let (track, command) = world.prepare(publisher, Source::vp8(), false);
        world.with(publisher, |peer, _| {
            let encoding = &mut peer.publications[0].encodings[0];
            (encoding.ssrc, encoding.rtx) = (77, 78);
            let sending = peer.sections.last_mut().expect("an m-line").sending.as_mut().expect("sending");
            (sending.ssrc, sending.rtx) = (77, Some(78));
        });
        world.command(command);
        world.offer(publisher);
        world.subscribe(handles[2], track);
        track
    });
    world.run_for(Duration::from_secs(2));
    for (track, publisher) in tracks.into_iter().zip(handles) {
        let reception = world.reception(handles[2], track);
        assert!(reception.frames.len() > 30);
        assert_eq!(reception.tokens().into_iter().collect::<Vec<_>>(), [world.token(publisher, 0)]);
    }
    world.assert_flawless();
}

#[test]
fn an_idle_room_sends_little_and_wakes_rarely() {
    let mut world = World::new(6);
    let handles = [world.join(ROOM, Client::chromium()), world.join(ROOM, Client::chromium())];
    world.connect(&handles);
    world.run_for(Duration::from_secs(5));
    let since = world.now;
    world.run_for(Duration::from_secs(20));
    let sent = world.ledger.sent.iter().filter(|sent| sent.at > since);
    let stun = sent.clone().filter(|sent| sent.class == Class::Stun).count();
    assert!((14..=20).contains(&stun), "{stun} answers to consent checks");
    assert!(sent.filter(|sent| sent.class != Class::Stun).count() < 60);
}

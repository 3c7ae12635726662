//! Publisher and subscriber need not know the same codecs; whoever cannot decode is told, not sent to.

use crate::harness::peer::Client;
use crate::harness::sdp::{Dialect, VideoCodec};
use crate::harness::send::Source;
use crate::harness::world::{Handle, World};
use bytes::Bytes;
use rtc_rtp::header::Header;
use rtc_rtp::packet::Packet;
use sfu::sdp::CodecKind;
use sfu::{Command, Event, RoomId, TrackId};
use std::time::Duration;

const ROOM: RoomId = RoomId(1);

fn only(codecs: &'static [VideoCodec]) -> Client {
    Client { dialect: Dialect { video: codecs, ..Dialect::CHROMIUM }, ..Client::chromium() }
}

/// Announces a camera that is sent with `codec`; the caller offers.
fn announce(world: &mut World, publisher: Handle, codec: CodecKind) -> TrackId {
    let (track, command) = world.prepare(publisher, Source::vp8(), false);
    let Command::AddTrack { peer, track: id, mut description } = command else { unreachable!() };
    description.codec = Some(codec);
    world.command(Command::AddTrack { peer, track: id, description });
    track
}

/// One second of H.264 on the m-line of a publication, key frames twice.
fn send_h264(world: &mut World, publisher: Handle, publication: usize, first: u16) {
    let ssrc = world[publisher].publications[publication].encodings[0].ssrc;
    let mid = world[publisher].publications[publication].mid.clone();
    for number in first..first + 30 {
        world.with(publisher, |peer, now| {
            let mut header = Header {
                version: 2,
                marker: true,
                payload_type: peer.client.dialect.h264,
                sequence_number: number,
                timestamp: u32::from(number) * 3000,
                ssrc,
                ..Header::default()
            };
            let mid = Bytes::copy_from_slice(mid.as_bytes());
            header.set_extension(peer.client.dialect.mid, mid).expect("an extension");
            let unit = if number % 15 == 0 { 0x65 } else { 0x41 };
            peer.send_rtp(now, Packet { header, payload: Bytes::from(vec![unit; 200]) });
        });
        world.run_for(Duration::from_millis(33));
    }
}

fn refusals(world: &World, subscriber: Handle, of: TrackId) -> usize {
    let id = world[subscriber].id;
    world.count(|event| *event == Event::SubscriptionRefused { peer: id, track: of })
}

fn subscriptions(world: &World, subscriber: Handle, of: TrackId) -> usize {
    let id = world[subscriber].id;
    world.count(|event| *event == Event::Subscribed { peer: id, track: of })
}

/// Both know VP8, but H.264 is what is sent: a common codec is of no use.
#[test]
fn a_subscriber_without_the_codec_that_is_sent_is_told_and_gets_the_backup() {
    let mut world = World::new(1);
    let publisher = world.join(ROOM, Client::chromium());
    let vp8_only = world.join(ROOM, only(&[VideoCodec::Vp8]));
    let both = world.join(ROOM, Client::firefox());
    world.connect(&[publisher, vp8_only, both]);
    let primary = announce(&mut world, publisher, CodecKind::H264);
    world.with(publisher, |peer, _| peer.publications[0].paused = true);
    world.offer(publisher);
    world.subscribe(vp8_only, primary);
    world.subscribe(both, primary);
    world.with(both, |peer, _| peer.recorded = Some(Vec::new()));
    send_h264(&mut world, publisher, 0, 0);
    assert_eq!((refusals(&world, vp8_only, primary), subscriptions(&world, vp8_only, primary)), (1, 0));
    assert_eq!((refusals(&world, both, primary), subscriptions(&world, both, primary)), (0, 1));
    assert!(world[both].recorded.as_ref().is_some_and(|packets| packets.len() > 10));

    let backup = announce(&mut world, publisher, CodecKind::Vp8);
    world.offer(publisher);
    world.subscribe(vp8_only, backup);
    world.run_for(Duration::from_secs(2));
    assert_eq!(subscriptions(&world, vp8_only, backup), 1);
    assert!(world.reception(vp8_only, backup).frames.len() > 20);
    world.assert_flawless();
}

#[test]
fn a_subscriber_with_h264_alone_is_told_that_vp8_does_not_fit() {
    let mut world = World::new(2);
    let publisher = world.join(ROOM, Client::chromium());
    let subscriber = world.join(ROOM, only(&[VideoCodec::H264]));
    world.connect(&[publisher, subscriber]);
    let track = world.publish(publisher, Source::vp8());
    world.subscribe(subscriber, track);
    world.run_for(Duration::from_secs(1));
    assert_eq!((refusals(&world, subscriber, track), subscriptions(&world, subscriber, track)), (1, 0));
    assert!(world[subscriber].mid_to_track.is_empty(), "no m-line is kept for it");
    assert!(world[subscriber].receptions.is_empty());
}

/// The m-lines of such a client are rejected one after the other: it must be told no, not be asked for more of them.
#[test]
fn a_subscriber_without_any_known_codec_is_told_once() {
    let mut world = World::new(4);
    let publisher = world.join(ROOM, Client::chromium());
    let subscriber = world.join(ROOM, only(&[VideoCodec::H265]));
    world.connect(&[publisher, subscriber]);
    let track = world.publish(publisher, Source::vp8());
    world.subscribe(subscriber, track);
    world.run_for(Duration::from_secs(1));
    assert_eq!((refusals(&world, subscriber, track), subscriptions(&world, subscriber, track)), (1, 0));
    let offers = world
        .count(|event| matches!(event, Event::MediaSections { peer, .. } if *peer == world[subscriber].id));
    assert!(offers <= 1, "{offers} requests for m-lines");
}

/// A publisher may change its codec without asking (`setParameters`, a lost encoder).
#[test]
fn a_publisher_that_changes_codec_leaves_nobody_with_a_silent_tile() {
    let mut world = World::new(3);
    let publisher = world.join(ROOM, Client::chromium());
    let vp8_only = world.join(ROOM, only(&[VideoCodec::Vp8]));
    let both = world.join(ROOM, Client::chromium());
    world.connect(&[publisher, vp8_only, both]);
    let track = world.publish(publisher, Source::vp8());
    world.subscribe(vp8_only, track);
    world.subscribe(both, track);
    world.run_for(Duration::from_secs(2));
    assert_eq!((refusals(&world, vp8_only, track), subscriptions(&world, vp8_only, track)), (0, 1));

    world.with(publisher, |peer, _| peer.publications[0].paused = true);
    world.with(both, |peer, _| peer.recorded = Some(Vec::new()));
    send_h264(&mut world, publisher, 0, 15);
    let told = |mime: &str| {
        world.count(|event| {
            matches!(event, Event::Published { track: id, mime_type, .. } if *id == track && mime_type == mime)
        })
    };
    assert_eq!((told("video/VP8"), told("video/H264")), (1, 1));
    assert_eq!(refusals(&world, vp8_only, track), 1);
    assert!(world[vp8_only].mid_to_track.is_empty(), "the m-line is given back");
    assert!(world[both].recorded.as_ref().is_some_and(|packets| packets.len() > 20), "the other goes on");
    assert_eq!(subscriptions(&world, both, track), 1);

    world.with(publisher, |peer, _| {
        peer.publications[0].paused = false;
        peer.publications[0].encodings[0].key_frame_wanted = true;
    });
    world.run_for(Duration::from_secs(2));
    assert_eq!(subscriptions(&world, vp8_only, track), 2, "VP8 is back");
    assert!(world[vp8_only].mid_to_track.values().any(|id| *id == track));
}

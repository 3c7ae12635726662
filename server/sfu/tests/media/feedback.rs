//! RTCP and what is measured: key-frame requests, reports, transport-wide feedback, RED, speakers, quality.

use crate::harness::network::{Class, Path};
use crate::harness::peer::Client;
use crate::harness::sdp::Dialect;
use crate::harness::send::Source;
use crate::harness::world::{Handle, Participant, World};
use sfu::{ConnectionQuality, Event, RoomId, Speaker, TrackId};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const ROOM: RoomId = RoomId(1);

fn pair(seed: u64, camera: &Source) -> (World, Participant, Participant) {
    let mut world = World::new(seed);
    let people = world.call(ROOM, &[Client::chromium(), Client::chromium()], camera);
    world.run_for(Duration::from_secs(2));
    (world, people[0], people[1])
}

fn requests_since(world: &World, handle: Handle, from: Instant) -> Vec<(Instant, u32)> {
    world[handle].feedback.key_frame_requests.iter().filter(|(at, _)| *at > from).copied().collect()
}

#[test]
fn a_newcomer_gets_a_key_frame_at_once() {
    let (mut world, publisher, _) = pair(1, &Source::vp8());
    let newcomer = world.join(ROOM, Client::firefox());
    world.connect(&[newcomer]);
    world.run_for(Duration::from_secs(1));
    let asked = world.now;
    world.subscribe(newcomer, publisher.video);
    world.run_for(Duration::from_secs(1));
    let requests = requests_since(&world, publisher.handle, asked);
    assert_eq!(requests.len(), 1);
    assert!(requests[0].0 <= asked + Duration::from_millis(50), "{:?}", requests[0].0 - asked);
    let first = &world.reception(newcomer, publisher.video).frames[0];
    assert!(first.key && first.at <= asked + Duration::from_millis(200));
}

#[test]
fn key_frames_for_many_are_asked_for_once() {
    let (mut world, publisher, _) = pair(2, &Source::vp8());
    let newcomers: Vec<Handle> = (0..6).map(|_| world.join(ROOM, Client::chromium())).collect();
    world.connect(&newcomers);
    world.run_for(Duration::from_secs(1));
    let from = world.now;
    for newcomer in &newcomers {
        world.subscribe(*newcomer, publisher.video);
    }
    world.run_for(Duration::from_secs(2));
    assert_eq!(requests_since(&world, publisher.handle, from).len(), 1);
    for newcomer in newcomers {
        assert!(world.reception(newcomer, publisher.video).frames.len() > 30);
    }
}

#[test]
fn key_frame_requests_are_throttled_for_each_layer() {
    let (mut world, publisher, subscriber) = pair(3, &Source::simulcast());
    let ssrc = world[subscriber.handle].ssrc_of(publisher.video).expect("an SSRC");
    let from = world.now;
    for _ in 0..150 {
        world.with(subscriber.handle, |peer, _| peer.request_key_frame(ssrc));
        world.run_for(Duration::from_millis(20));
    }
    let requests = requests_since(&world, publisher.handle, from);
    assert!((5..=7).contains(&requests.len()), "{} requests in 3 s", requests.len());
    let layers: BTreeSet<u32> = requests.iter().map(|(_, ssrc)| *ssrc).collect();
    assert_eq!(layers.len(), 1, "only of the layer this subscriber gets");
    for pair in requests.windows(2) {
        assert!(pair[1].0 - pair[0].0 >= Duration::from_millis(490));
    }
}

#[test]
fn a_key_frame_request_that_gets_lost_is_repeated() {
    let (mut world, publisher, _) = pair(4, &Source::vp8());
    let newcomer = world.join(ROOM, Client { pli: false, ..Client::chromium() });
    world.connect(&[newcomer]);
    let dark = world.now + Duration::from_millis(700);
    world.line(publisher.handle).lose_down =
        Some(Box::new(move |now, bytes| now < dark && Class::of(bytes) == Class::Rtcp));
    world.subscribe(newcomer, publisher.video);
    world.run_for(Duration::from_secs(2));
    assert!(world.reception(newcomer, publisher.video).frames.len() > 10);
}

/// Where on the publisher's clock (seconds) this RTP timestamp of this track lies, by the last sender report.
fn publisher_time(world: &World, handle: Handle, track: TrackId, rate: f64, timestamp: u32) -> f64 {
    let ssrc = world[handle].ssrc_of(track).expect("an SSRC");
    let reports = &world[handle].feedback.sender_reports;
    let (_, report) = reports.iter().rev().find(|(_, report)| report.ssrc == ssrc).expect("a sender report");
    let since = f64::from(timestamp.wrapping_sub(report.rtp_time) as i32) / rate;
    (report.ntp_time >> 32) as f64 + (report.ntp_time & 0xffff_ffff) as f64 / 4_294_967_296.0 + since
}

/// Lips and voice: by the sender reports a frame and a sound captured together are played together.
fn lips_are_in_step(world: &World, subscriber: Handle, publisher: Participant) {
    let frame = world.reception(subscriber, publisher.video).frames.last().expect("frames").clone();
    let sound = world.reception(subscriber, publisher.audio).audio.last().expect("sound").clone();
    let frame_at = publisher_time(world, subscriber, publisher.video, 90_000.0, frame.timestamp);
    let sound_at = publisher_time(world, subscriber, publisher.audio, 48_000.0, sound.timestamp);
    let captured = f64::from(frame.stamp.number) * 0.050 - f64::from(sound.stamp.number) * 0.020;
    // Camera and microphone of one `call` start at the same moment.
    let skew = (frame_at - sound_at) - captured;
    assert!(skew.abs() < 0.005, "{skew} s out of step");
}

#[test]
fn sender_reports_are_passed_on_in_the_subscribers_timestamps() {
    let (mut world, publisher, subscriber) = pair(5, &Source::vp8());
    world.run_for(Duration::from_secs(3));
    lips_are_in_step(&world, subscriber.handle, publisher);
    let ssrc = world[subscriber.handle].ssrc_of(publisher.video).expect("an SSRC");
    let reports: Vec<_> = world[subscriber.handle]
        .feedback
        .sender_reports
        .iter()
        .filter(|(_, report)| report.ssrc == ssrc)
        .map(|(_, report)| report)
        .collect();
    assert!(reports.len() >= 2);
    for pair in reports.windows(2) {
        let seconds = (pair[1].ntp_time - pair[0].ntp_time) as f64 / 4_294_967_296.0;
        let ticks = f64::from(pair[1].rtp_time.wrapping_sub(pair[0].rtp_time));
        assert!((ticks / seconds - 90_000.0).abs() < 100.0);
        let packets = f64::from(pair[1].packet_count - pair[0].packet_count);
        assert!((packets / seconds - 40.0).abs() < 8.0, "counts what was sent to this subscriber");
    }
}

#[test]
fn lips_stay_in_step_after_layer_switches() {
    let (mut world, publisher, subscriber) = pair(6, &Source::simulcast());
    world.run_for(Duration::from_secs(2));
    for quality in [sfu::Quality::Low, sfu::Quality::High, sfu::Quality::Medium] {
        world.want(subscriber.handle, publisher.video, quality);
        world.run_for(Duration::from_secs(3));
        lips_are_in_step(&world, subscriber.handle, publisher);
    }
}

#[test]
fn receiver_reports_tell_the_publisher_its_loss() {
    let (mut world, publisher, _) = pair(7, &Source::vp8());
    world.run_for(Duration::from_secs(2));
    assert!(!world[publisher.handle].feedback.reports.is_empty());
    assert!(world[publisher.handle].feedback.reports.iter().all(|(_, block)| block.fraction_lost == 0));
    let ssrc = world[publisher.handle].publications[0].encodings[0].ssrc;
    world.line(publisher.handle).up = Path::lossy(0.1);
    let from = world.now + Duration::from_secs(1);
    world.run_for(Duration::from_secs(11));
    let blocks: Vec<_> = world[publisher.handle]
        .feedback
        .reports
        .iter()
        .filter(|(at, block)| *at > from && block.ssrc == ssrc)
        .collect();
    assert!((8..=12).contains(&blocks.len()), "about one a second: {}", blocks.len());
    let mean =
        blocks.iter().map(|(_, block)| f64::from(block.fraction_lost)).sum::<f64>() / blocks.len() as f64;
    assert!((0.05..0.16).contains(&(mean / 256.0)), "{} lost", mean / 256.0);
    assert!(blocks.iter().all(|(_, block)| block.last_sender_report != 0), "for the round-trip time");
    // 20 ms there and back, less what the delay field takes off.
    let (at, block) = blocks.last().expect("a block");
    let now = (crate::harness::peer::rtcp::ntp(world.origin, *at) >> 16) as u32;
    let round_trip =
        f64::from(now.wrapping_sub(block.last_sender_report).wrapping_sub(block.delay)) / 65_536.0;
    assert!((0.015..0.030).contains(&round_trip), "{round_trip} s");
}

#[test]
fn transport_feedback_reports_exactly_what_came() {
    let mut world = World::new(8);
    let people = world.call(ROOM, &[Client::chromium(), Client::chromium()], &Source::vp8());
    let publisher = people[0].handle;
    let mut count = 0u32;
    let lost = std::rc::Rc::new(std::cell::RefCell::new(BTreeSet::new()));
    let noted = lost.clone();
    // The transport-wide number is sealed in no way: the header is in the clear.
    world.line(publisher).lose_up = Some(Box::new(move |_, bytes| {
        let Some(sequence) = transport_sequence(bytes) else { return false };
        count += 1;
        let lose = count.is_multiple_of(10);
        if lose {
            noted.borrow_mut().insert(sequence);
        }
        lose
    }));
    world.run_for(Duration::from_secs(5));
    let sent = world[publisher].transport_sequence;
    world.with(publisher, |peer, _| {
        for publication in &mut peer.publications {
            publication.paused = true;
        }
    });
    world.run_for(Duration::from_secs(1));
    let feedback = &world[publisher].feedback;
    assert!((40..200).contains(&feedback.transport_cc_packets), "{}", feedback.transport_cc_packets);
    let lost = lost.borrow();
    assert!(lost.len() > 20);
    let missing =
        (0..sent).filter(|number| !feedback.transport_cc.contains(number)).collect::<BTreeSet<u16>>();
    // The last ones may have no later packet that would show them missing.
    let expected: BTreeSet<u16> = lost.iter().copied().filter(|number| *number < sent).collect();
    assert_eq!(missing, expected);
}

/// Reads Chromium's transport-wide sequence number out of an SRTP packet.
fn transport_sequence(bytes: &[u8]) -> Option<u16> {
    if Class::of(bytes) != Class::Rtp || bytes[0] & 0x10 == 0 {
        return None;
    }
    let mut at = 16;
    let end = 16 + 4 * usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
    while at < end {
        let (id, length) = (bytes[at] >> 4, usize::from(bytes[at] & 0xf) + 1);
        if id == Dialect::CHROMIUM.transport_cc {
            return Some(u16::from_be_bytes([bytes[at + 1], bytes[at + 2]]));
        }
        at += if id == 0 { 1 } else { 1 + length };
    }
    None
}

#[test]
fn red_goes_to_those_who_negotiated_it_and_opus_to_the_others() {
    let mut world = World::new(9);
    let publisher = world.join(ROOM, Client::chromium());
    let with_red = world.join(ROOM, Client::chromium());
    let without_red = world.join(ROOM, Client { red: false, ..Client::chromium() });
    let firefox = world.join(ROOM, Client::firefox());
    // RED names the type of its blocks inside: where Opus has another number it is of no use.
    let dialect = Dialect { opus: 112, ..Dialect::CHROMIUM };
    let renumbered = world.join(ROOM, Client { dialect, ..Client::chromium() });
    let everybody: Vec<Handle> = world.handles().collect();
    world.connect(&everybody);
    let track = world.publish(publisher, Source::Opus { red: true, level: 30 });
    for handle in [with_red, without_red, firefox, renumbered] {
        world.subscribe(handle, track);
    }
    world.run_for(Duration::from_secs(3));
    for (handle, red) in [(with_red, true), (without_red, false), (firefox, false), (renumbered, false)] {
        let audio = &world.reception(handle, track).audio;
        assert!(audio.len() > 130);
        assert!(audio.iter().all(|packet| packet.red == red));
        assert!(audio.windows(2).all(|pair| pair[1].stamp.number == pair[0].stamp.number + 1));
    }
    world.assert_flawless();
}

/// End-to-end encrypted payloads are opaque: RED is passed or not sent, never opened.
#[test]
fn encrypted_red_is_never_taken_apart() {
    let mut world = World::new(14);
    let publisher = world.join(ROOM, Client::chromium());
    let with_red = world.join(ROOM, Client::chromium());
    let without_red = world.join(ROOM, Client { red: false, ..Client::chromium() });
    let everybody: Vec<Handle> = world.handles().collect();
    world.connect(&everybody);
    let track = world.announce(publisher, Source::Opus { red: true, level: 30 }, true);
    world.offer(publisher);
    for handle in [with_red, without_red] {
        world.subscribe(handle, track);
    }
    world.run_for(Duration::from_secs(2));
    assert!(world.reception(with_red, track).audio.iter().filter(|packet| packet.red).count() > 80);
    assert_eq!(world.sent_of(without_red, track, world.origin), 0);
    world.assert_flawless();
}

fn speakers(world: &World) -> Vec<(Instant, Vec<Speaker>)> {
    world
        .events
        .iter()
        .filter_map(|(at, event)| match event {
            Event::Speakers { changed, .. } => Some((*at, changed.clone())),
            _ => None,
        })
        .collect()
}

#[test]
fn who_speaks_is_told_and_pauses_between_words_are_not() {
    let mut world = World::new(10);
    let handles = [world.join(ROOM, Client::chromium()), world.join(ROOM, Client::chromium())];
    world.connect(&handles);
    for handle in handles {
        world.publish(handle, Source::Opus { red: false, level: 127 });
    }
    world.run_for(Duration::from_secs(2));
    assert!(speakers(&world).is_empty(), "silence");

    // A click of 60 ms.
    let set = |world: &mut World, handle: Handle, level: u8| {
        world.with(handle, |peer, _| peer.publications[0].level = level);
    };
    set(&mut world, handles[0], 10);
    world.run_for(Duration::from_millis(60));
    set(&mut world, handles[0], 127);
    world.run_for(Duration::from_secs(1));
    assert!(speakers(&world).is_empty(), "a click is no speech");

    let began = world.now;
    set(&mut world, handles[0], 20);
    world.run_for(Duration::from_secs(1));
    let peer = world[handles[0]].id;
    let (at, changed) = speakers(&world).first().cloned().expect("a speaker");
    assert!(at - began < Duration::from_millis(900), "{:?}", at - began);
    assert_eq!(changed.len(), 1);
    assert!(
        changed[0].peer == peer && changed[0].active && changed[0].level > 0.0 && changed[0].level <= 1.0
    );

    // Words with pauses of 300 ms: one and the same speech.
    let from = world.now;
    for _ in 0..6 {
        set(&mut world, handles[0], 127);
        world.run_for(Duration::from_millis(300));
        set(&mut world, handles[0], 20);
        world.run_for(Duration::from_millis(500));
    }
    let flaps =
        speakers(&world).into_iter().filter(|(at, changed)| *at > from && changed.iter().any(|s| !s.active));
    assert_eq!(flaps.count(), 0, "no flicker between words");

    set(&mut world, handles[0], 127);
    let ended = world.now;
    world.run_for(Duration::from_secs(3));
    let (at, changed) = speakers(&world).last().cloned().expect("an end");
    assert!(changed.iter().any(|speaker| speaker.peer == peer && !speaker.active));
    assert!(at - ended < Duration::from_secs(2));
    let before = speakers(&world).len();
    world.run_for(Duration::from_secs(3));
    assert_eq!(speakers(&world).len(), before, "said once");
}

#[test]
fn the_loudest_comes_first_and_a_mute_ends_speech() {
    let mut world = World::new(11);
    let handles = [world.join(ROOM, Client::chromium()), world.join(ROOM, Client::chromium())];
    world.connect(&handles);
    let tracks: Vec<TrackId> = handles
        .into_iter()
        .zip([34, 5])
        .map(|(handle, level)| world.publish(handle, Source::Opus { red: false, level }))
        .collect();
    world.run_for(Duration::from_secs(3));
    let both = speakers(&world).into_iter().find(|(_, changed)| changed.len() == 2).expect("both at once");
    assert_eq!(both.1[0].peer, world[handles[1]].id);
    assert!(both.1[0].level > both.1[1].level);
    world.command(sfu::Command::Mute { track: tracks[1], muted: true });
    world.run_for(Duration::from_millis(50));
    let (_, changed) = speakers(&world).last().cloned().expect("an end");
    assert!(changed.iter().any(|speaker| speaker.peer == world[handles[1]].id && !speaker.active));
}

#[test]
fn a_speaker_who_stops_sending_falls_silent() {
    let mut world = World::new(12);
    let handle = world.join(ROOM, Client::chromium());
    world.connect(&[handle]);
    world.publish(handle, Source::Opus { red: false, level: 20 });
    world.run_for(Duration::from_secs(2));
    assert!(speakers(&world).last().expect("speech").1[0].active);
    world.with(handle, |peer, _| peer.publications[0].paused = true);
    world.run_for(Duration::from_secs(3));
    let (_, changed) = speakers(&world).last().cloned().expect("an end");
    assert!(!changed[0].active, "DTX or a dead microphone: no packets at all");
}

#[test]
fn quality_follows_loss_and_comes_back() {
    let (mut world, one, _) = pair(13, &Source::vp8());
    let peer = world[one.handle].id;
    let last = |world: &World| {
        world.events.iter().rev().find_map(|(_, event)| match event {
            Event::ConnectionQuality { peer: of, quality } if *of == peer => Some(*quality),
            _ => None,
        })
    };
    world.run_for(Duration::from_secs(8));
    assert_eq!(last(&world), Some(ConnectionQuality::Excellent));
    world.line(one.handle).up = Path::lossy(0.2);
    world.run_for(Duration::from_secs(11));
    assert_eq!(last(&world), Some(ConnectionQuality::Poor));
    world.line(one.handle).up = Path::clean();
    world.run_for(Duration::from_secs(16));
    assert_eq!(last(&world), Some(ConnectionQuality::Excellent));
    let told = world.count(|event| matches!(event, Event::ConnectionQuality { peer: of, .. } if *of == peer));
    assert!(told <= 6, "only when it changes: {told}");
}

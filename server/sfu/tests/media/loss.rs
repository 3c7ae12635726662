//! Networks that lose, repeat and reorder.

use crate::harness::network::{Class, Path};
use crate::harness::peer::Client;
use crate::harness::send::Source;
use crate::harness::world::{Participant, World};
use sfu::RoomId;
use std::time::{Duration, Instant};

const ROOM: RoomId = RoomId(1);

fn pair(seed: u64) -> (World, Participant, Participant) {
    let mut world = World::new(seed);
    let people = world.call(ROOM, &[Client::chromium(), Client::firefox()], &Source::vp8());
    world.run_for(Duration::from_secs(2));
    (world, people[0], people[1])
}

/// Frames of the other one since, and whether they are without a hole.
fn frames_since(world: &World, to: Participant, of: Participant, from: Instant) -> (usize, bool) {
    let frames = &world.reception(to.handle, of.video).frames;
    let since: Vec<_> = frames.iter().filter(|frame| frame.at > from).collect();
    let whole = since.windows(2).all(|pair| pair[1].stamp.number == pair[0].stamp.number + 1);
    (since.len(), whole)
}

#[test]
fn loss_on_the_way_up_is_repaired_by_the_server_for_everybody() {
    let (mut world, speaker, listener) = pair(1);
    world.line(speaker.handle).up = Path::lossy(0.1);
    let from = world.now;
    world.run_for(Duration::from_secs(10));
    world.line(speaker.handle).up = Path::clean();
    world.run_for(Duration::from_secs(2));
    let (frames, whole) = frames_since(&world, listener, speaker, from);
    assert!(frames >= 235 && whole, "{frames} of 240 frames, whole: {whole}");
    let nacked = world[speaker.handle].feedback.nacks.len();
    assert!(nacked > 30, "{nacked} numbers were asked for");
    world.assert_flawless();
}

#[test]
fn loss_on_the_way_down_is_repaired_from_the_cache() {
    let (mut world, speaker, listener) = pair(2);
    world.line(listener.handle).down = Path::lossy(0.1);
    let from = world.now;
    let before = world[speaker.handle].feedback.nacks.len();
    world.run_for(Duration::from_secs(10));
    world.line(listener.handle).down = Path::clean();
    world.run_for(Duration::from_secs(2));
    let (frames, whole) = frames_since(&world, listener, speaker, from);
    assert!(frames >= 235 && whole, "{frames} of 240 frames, whole: {whole}");
    let reception = world.reception(listener.handle, speaker.video);
    assert!(reception.repaired > 30, "{} came by RTX", reception.repaired);
    assert_eq!(reception.abandoned, 0);
    assert_eq!(world[speaker.handle].feedback.nacks.len(), before, "the publisher hears nothing of it");
    assert_eq!(world[speaker.handle].publications[1].encodings[0].retransmitted, 0);
    world.assert_flawless();
}

/// A client that asks again before an answer can have come gets one answer.
#[test]
fn on_a_long_way_each_packet_is_sent_again_once() {
    let (mut world, speaker, listener) = pair(9);
    let far = Path { delay: Duration::from_millis(150), ..Path::lossy(0.1) };
    world.line(listener.handle).down = far;
    // The server learns how long the way is.
    world.run_for(Duration::from_secs(6));
    let counted = |world: &World| {
        let reception = world.reception(listener.handle, speaker.video);
        (reception.repaired, reception.duplicates)
    };
    let before = counted(&world);
    world.run_for(Duration::from_secs(10));
    let after = counted(&world);
    let (repaired, twice) = (after.0 - before.0, after.1 - before.1);
    assert!(repaired > 15, "{repaired} came by RTX");
    assert!(twice * 10 < repaired, "{twice} of {repaired} came more than once");
    world.assert_flawless();
}

#[test]
fn loss_both_ways_on_both_sides_is_repaired() {
    for seed in 10..14 {
        let (mut world, one, other) = pair(seed);
        for person in [one, other] {
            let path = Path { jitter: Duration::from_millis(15), ..Path::lossy(0.07) };
            world.line(person.handle).up = path;
            world.line(person.handle).down = path;
        }
        let from = world.now;
        world.run_for(Duration::from_secs(10));
        for person in [one, other] {
            world.line(person.handle).up = Path::clean();
            world.line(person.handle).down = Path::clean();
        }
        world.run_for(Duration::from_secs(2));
        for (to, of) in [(one, other), (other, one)] {
            let (frames, _) = frames_since(&world, to, of, from);
            assert!(frames >= 225, "{frames} of 240 frames");
            let audio = &world.reception(to.handle, of.audio).audio;
            let heard = audio.iter().filter(|packet| packet.at > from).count();
            assert!(heard > 490, "{heard} of 600 audio packets: two lossy lines of 7 %");
        }
        world.assert_flawless();
    }
}

/// The whole run under trouble: nothing may confuse a decoder, whatever is lost.
#[test]
fn every_kind_of_trouble_at_once_never_confuses_a_decoder() {
    for seed in 20..26 {
        let mut world = World::new(seed);
        let clients = [Client::chromium(), Client::firefox(), Client::chromium()];
        let people = world.call(ROOM, &clients, &Source::vp8());
        let path = Path {
            delay: Duration::from_millis(40),
            jitter: Duration::from_millis(25),
            loss: 0.05,
            duplication: 0.03,
            reordering: 0.03,
            ..Path::clean()
        };
        for person in &people {
            world.line(person.handle).up = path;
            world.line(person.handle).down = path;
        }
        world.run_for(Duration::from_secs(8));
        for (at, to) in people.iter().enumerate() {
            for of in people.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, person)| person) {
                let frames = world.reception(to.handle, of.video).frames.len();
                assert!(frames > 120, "seed {seed}: {frames} of 160 frames\n{:#?}", world.story());
            }
        }
        world.assert_flawless();
    }
}

#[test]
fn reordering_alone_loses_nothing_and_asks_for_little() {
    let (mut world, speaker, listener) = pair(3);
    world.line(speaker.handle).up = Path { reordering: 0.05, ..Path::clean() };
    let from = world.now;
    world.run_for(Duration::from_secs(10));
    let (frames, whole) = frames_since(&world, listener, speaker, from);
    assert!(frames >= 195 && whole, "{frames} of 200 frames, whole: {whole}");
    assert_eq!(world.reception(listener.handle, speaker.video).abandoned, 0);
    world.assert_flawless();
}

/// The ledger also checks that nothing goes out twice under one number.
#[test]
fn duplicates_are_forwarded_once() {
    let (mut world, speaker, listener) = pair(4);
    // Copies that overtake each other would make it ask for what is under way.
    world[listener.handle].client.nack = false;
    world.line(speaker.handle).up =
        Path { duplication: 0.5, jitter: Duration::from_millis(5), ..Path::clean() };
    let from = world.now;
    world.run_for(Duration::from_secs(5));
    let reception = world.reception(listener.handle, speaker.video);
    assert_eq!(reception.duplicates, 0);
    let (frames, whole) = frames_since(&world, listener, speaker, from);
    assert!(frames >= 95 && whole);
    let sent = world.sent_of(listener.handle, speaker.audio, from);
    assert!((245..=255).contains(&sent), "{sent} of 250 audio packets");
    world.assert_flawless();
}

#[test]
fn a_short_outage_heals_with_a_key_frame() {
    let (mut world, speaker, listener) = pair(5);
    let dark = world.now + Duration::from_secs(2);
    world.line(listener.handle).lose_down = Some(Box::new(move |now, _| now < dark));
    world.run_for(Duration::from_secs(4));
    let (frames, _) = frames_since(&world, listener, speaker, dark + Duration::from_secs(1));
    assert!(frames > 15, "{frames} frames in the second second after the outage");
    world.assert_flawless();
}

/// Numbers and timestamps on the wire after repair: without a hole, each timestamp at its place.
#[test]
fn numbers_are_continuous_after_repair() {
    let (mut world, speaker, listener) = pair(6);
    world.line(speaker.handle).up = Path::lossy(0.05);
    let from = world.now;
    world.run_for(Duration::from_secs(6));
    world.line(speaker.handle).up = Path::clean();
    world.run_for(Duration::from_secs(2));
    let ssrc = world[listener.handle].ssrc_of(speaker.video).expect("an SSRC");
    let address = world[listener.handle].address;
    let mut sent: Vec<_> =
        world.ledger.rtp().filter(|sent| sent.to == address && sent.ssrc == ssrc && sent.at > from).collect();
    let first = sent[0].sequence;
    let late = sent.windows(2).filter(|pair| pair[1].sequence != pair[0].sequence.wrapping_add(1)).count();
    assert!(late > 5, "repaired packets go out when they come");
    sent.sort_by_key(|sent| sent.sequence.wrapping_sub(first.wrapping_sub(1000)));
    for pair in sent.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1), "a hole stays");
        assert!(pair[1].timestamp.wrapping_sub(pair[0].timestamp) < 1 << 31);
    }
}

/// A NACK is asked for a bounded number of times, then the server gives up and asks for a key frame at most.
#[test]
fn a_packet_that_never_comes_is_not_asked_for_without_end() {
    let (mut world, speaker, listener) = pair(7);
    let ssrc = world[speaker.handle].publications[1].encodings[0].ssrc;
    let rtx = world[speaker.handle].publications[1].encodings[0].rtx;
    let mut lost = None;
    world.line(speaker.handle).lose_up = Some(Box::new(move |_, bytes| {
        if Class::of(bytes) != Class::Rtp {
            return false;
        }
        let of = u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
        if of == ssrc && lost.is_none() {
            lost = Some(());
            return true;
        }
        of == rtx
    }));
    world.run_for(Duration::from_secs(5));
    let nacks = &world[speaker.handle].feedback.nacks;
    assert!((2..=12).contains(&nacks.len()), "{} requests", nacks.len());
    let sequence = nacks[0].2;
    assert!(nacks.iter().all(|(_, of, number)| *of == ssrc && *number == sequence), "only what is missing");
    let (frames, _) = frames_since(&world, listener, speaker, world.now - Duration::from_secs(2));
    assert!(frames > 30, "the picture came back by a key frame");
    world.assert_flawless();
}

//! Mute and block are enforced by the server: not one packet of the track leaves.

use crate::harness::network::Path;
use crate::harness::peer::Client;
use crate::harness::send::Source;
use crate::harness::world::{Participant, World};
use sfu::{Command, RoomId, TrackId};
use std::time::Duration;

const ROOM: RoomId = RoomId(1);

fn room_of_three(seed: u64) -> (World, Vec<Participant>) {
    let mut world = World::new(seed);
    let clients = [Client::chromium(), Client::firefox(), Client::chromium()];
    let people = world.call(ROOM, &clients, &Source::simulcast());
    world.run_for(Duration::from_secs(2));
    (world, people)
}

/// While `hold` is in force no subscriber is sent anything of the track; afterwards it comes back.
fn nothing_leaves(seed: u64, hold: impl Fn(TrackId, bool) -> Command) {
    let (mut world, people) = room_of_three(seed);
    // Losses make subscribers ask for repairs, which must not leak either.
    for person in &people {
        world.line(person.handle).down = Path::lossy(0.1);
    }
    world.run_for(Duration::from_secs(1));
    let [publisher, others @ ..] = people.as_slice() else { panic!("three people") };
    for track in [publisher.audio, publisher.video] {
        world.command(hold(track, true));
        let held = world.now;
        world.run_for(Duration::from_secs(5));
        for other in others {
            assert!(!world[other.handle].ssrcs_of(track).is_empty());
            assert_eq!(world.sent_of(other.handle, track, held), 0, "{track:?} leaks");
        }
        let requests = world[publisher.handle].feedback.key_frame_requests.len();
        world.command(hold(track, false));
        let released = world.now;
        world.run_for(Duration::from_secs(2));
        for other in others {
            assert!(world.sent_of(other.handle, track, released) > 30, "{track:?} comes back");
        }
        if track == publisher.video {
            let asked = world[publisher.handle].feedback.key_frame_requests.get(requests);
            let (at, _) = asked.expect("a key frame is asked for");
            assert!(*at < released + Duration::from_millis(60), "at once");
            for other in others {
                let frames = &world.reception(other.handle, track).frames;
                let first = frames.iter().find(|frame| frame.at > released).expect("frames");
                assert!(first.key, "it resumes at a key frame");
                assert!(first.at < released + Duration::from_millis(400));
            }
        }
    }
    world.assert_flawless();
}

#[test]
fn a_blocked_track_emits_no_packet() {
    nothing_leaves(1, |track, blocked| Command::Block { track, blocked });
}

#[test]
fn a_muted_track_emits_no_packet() {
    nothing_leaves(2, |track, muted| Command::Mute { track, muted });
}

#[test]
fn both_must_be_off() {
    let (mut world, people) = room_of_three(3);
    let track = people[0].video;
    world.command(Command::Mute { track, muted: true });
    world.command(Command::Block { track, blocked: true });
    world.command(Command::Mute { track, muted: false });
    let since = world.now;
    world.run_for(Duration::from_secs(2));
    assert_eq!(world.sent_of(people[1].handle, track, since), 0, "unmuting oneself does not lift a block");
    world.command(Command::Mute { track, muted: true });
    world.command(Command::Block { track, blocked: false });
    let since = world.now;
    world.run_for(Duration::from_secs(2));
    assert_eq!(world.sent_of(people[1].handle, track, since), 0, "lifting a block does not unmute");
    world.command(Command::Mute { track, muted: false });
    world.run_for(Duration::from_secs(2));
    assert!(world.sent_of(people[1].handle, track, since) > 30);
    world.assert_flawless();
}

#[test]
fn a_block_before_the_first_packet_and_for_later_subscribers_holds() {
    let mut world = World::new(4);
    let publisher = world.join(ROOM, Client::chromium());
    let early = world.join(ROOM, Client::chromium());
    world.connect(&[publisher, early]);
    let track = world.announce(publisher, Source::vp8(), false);
    world.command(Command::Block { track, blocked: true });
    world.offer(publisher);
    world.subscribe(early, track);
    world.run_for(Duration::from_secs(1));
    let late = world.join(ROOM, Client::chromium());
    world.connect(&[late]);
    world.subscribe(late, track);
    world.run_for(Duration::from_secs(2));
    for handle in [early, late] {
        assert_eq!(world.sent_of(handle, track, world.origin), 0);
    }
    world.command(Command::Block { track, blocked: false });
    world.run_for(Duration::from_secs(1));
    for handle in [early, late] {
        assert!(world.reception(handle, track).frames.len() > 10);
    }
}

/// The others' tracks do not notice.
#[test]
fn a_block_touches_one_track_only() {
    let (mut world, people) = room_of_three(5);
    world.command(Command::Block { track: people[0].video, blocked: true });
    let since = world.now;
    world.run_for(Duration::from_secs(3));
    for track in [people[0].audio, people[2].video, people[2].audio] {
        assert!(world.sent_of(people[1].handle, track, since) > 55);
    }
    world.assert_flawless();
}

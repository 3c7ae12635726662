//! Two rooms with the same names in both: nothing crosses.

use crate::harness::channels::Channels;
use crate::harness::peer::Client;
use crate::harness::send::Source;
use crate::harness::world::{Handle, World};
use bytes::Bytes;
use sfu::{Command, DataChannel, Event, RoomId, TrackId};
use std::collections::BTreeSet;
use std::time::Duration;

const ROOMS: [RoomId; 2] = [RoomId(1), RoomId(2)];

/// A camera under the same cid and labels in every room.
fn publish_camera(world: &mut World, handle: Handle, who: &str) -> TrackId {
    let (track, command) = world.prepare(handle, Source::simulcast(), false);
    let Command::AddTrack { peer, track: _, mut description } = command else { panic!("add_track") };
    description.cid = format!("camera-{who}");
    description.stream_label = format!("PA_{who}");
    description.track_label = format!("TR_{who}");
    world.with(handle, |peer, _| {
        let publication = peer.publications.last_mut().expect("a publication");
        publication.cid.clone_from(&description.cid);
        let section = peer.sections.last_mut().expect("an m-line");
        section.sending.as_mut().expect("sending").cid.clone_from(&description.cid);
    });
    world.command(Command::AddTrack { peer, track, description });
    world.offer(handle);
    track
}

struct Populated {
    world: World,
    /// Per room: people and their cameras.
    rooms: Vec<Vec<(Handle, TrackId)>>,
}

fn two_rooms(seed: u64) -> Populated {
    let mut world = World::new(seed);
    let mut rooms = Vec::new();
    for room in ROOMS {
        let handles = [world.join(room, Client::chromium()), world.join(room, Client::firefox())];
        world.connect(&handles);
        let people: Vec<_> = handles
            .into_iter()
            .zip(["anna", "ben"])
            .map(|(handle, who)| (handle, publish_camera(&mut world, handle, who)))
            .collect();
        for (handle, _) in &people {
            for (_, track) in people.iter().filter(|(other, _)| other != handle) {
                world.subscribe(*handle, *track);
            }
        }
        rooms.push(people);
    }
    Populated { world, rooms }
}

#[test]
fn media_stays_in_its_room() {
    let Populated { mut world, rooms } = two_rooms(1);
    // Everybody also asks for everything of the other room, by its right id.
    for (here, there) in [(0, 1), (1, 0)] {
        for (handle, _) in &rooms[here] {
            for (_, track) in &rooms[there] {
                world.subscribe(*handle, *track);
            }
        }
    }
    world.run_for(Duration::from_secs(5));
    for people in &rooms {
        let tokens: BTreeSet<u32> = people.iter().map(|(handle, _)| world.token(*handle, 0)).collect();
        for (handle, own) in people {
            let peer = &world[*handle];
            let mut heard = BTreeSet::new();
            for (track, reception) in &peer.receptions {
                assert!(people.iter().any(|(_, known)| known == track), "{track:?} is of another room");
                assert_ne!(track, own, "one's own picture comes back");
                heard.extend(reception.tokens());
            }
            assert_eq!(heard.len(), 1);
            assert!(heard.is_subset(&tokens));
            assert_eq!(peer.unexplained, 0);
            let frames: usize = peer.receptions.values().map(|reception| reception.frames.len()).sum();
            assert!(frames > 80, "{frames} frames");
        }
    }
    world.assert_flawless();
}

/// Packets of one room cause none in the other, whoever sends what under whichever SSRC.
#[test]
fn the_same_ssrc_in_two_rooms_is_two_streams() {
    let mut world = World::new(2);
    let mut people = Vec::new();
    for room in ROOMS {
        let publisher = world.join(room, Client::chromium());
        let subscriber = world.join(room, Client::chromium());
        world.connect(&[publisher, subscriber]);
        let (track, command) = world.prepare(publisher, Source::vp8(), false);
        world.with(publisher, |peer, _| {
            let encoding = &mut peer.publications[0].encodings[0];
            (encoding.ssrc, encoding.rtx) = (0x1111, 0x2222);
            let sending = peer.sections.last_mut().expect("an m-line").sending.as_mut().expect("sending");
            (sending.ssrc, sending.rtx) = (0x1111, Some(0x2222));
        });
        world.command(command);
        world.offer(publisher);
        world.subscribe(subscriber, track);
        people.push((publisher, subscriber, track));
    }
    world.run_for(Duration::from_secs(2));
    // One of the two stops: its room is quiet, the other one is not.
    let stopped = world.now;
    world.with(people[0].0, |peer, _| peer.publications[0].paused = true);
    world.run_for(Duration::from_secs(2));
    let after = |world: &World, at: usize| {
        let (_, subscriber, track) = people[at];
        let frames = &world.reception(subscriber, track).frames;
        frames.iter().filter(|frame| frame.at > stopped + Duration::from_millis(100)).count()
    };
    assert_eq!(after(&world, 0), 0);
    assert!(after(&world, 1) > 30);
    world.assert_flawless();
}

#[test]
fn speakers_and_layers_are_told_to_their_own_room_only() {
    let mut world = World::new(3);
    for room in ROOMS {
        let handle = world.join(room, Client::chromium());
        world.connect(&[handle]);
        let level = if room == ROOMS[0] { 20 } else { 127 };
        world.publish(handle, Source::Opus { red: false, level });
    }
    world.run_for(Duration::from_secs(4));
    let rooms: BTreeSet<RoomId> = world
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Speakers { room, .. } => Some(*room),
            _ => None,
        })
        .collect();
    assert_eq!(rooms, BTreeSet::from([ROOMS[0]]), "only there somebody speaks");
}

#[test]
fn data_goes_to_those_named_and_to_nobody_else() {
    let Populated { mut world, rooms } = two_rooms(4);
    let everybody: Vec<Handle> = world.handles().collect();
    assert!(world.run_until(Duration::from_secs(3), |world| {
        everybody.iter().all(|handle| world[*handle].channels.as_ref().is_some_and(Channels::all_open))
    }));
    let (target, _) = rooms[0][1];
    let to = vec![world[target].id];
    let payload = Bytes::from_static(b"only for you");
    world.command(Command::SendData { to, channel: DataChannel::Reliable, payload });
    world.run_for(Duration::from_secs(1));
    for handle in everybody {
        let received = &world[handle].channels.as_ref().expect("channels").received;
        assert_eq!(received.len(), usize::from(handle == target));
    }
}

//! Data channels: reported whole, sent to whom the signalling says.

use crate::harness::channels::{CHANNELS, Channels};
use crate::harness::network::Path;
use crate::harness::peer::Client;
use crate::harness::world::{Handle, World};
use bytes::Bytes;
use sfu::{Command, DataChannel, Event, RoomId};
use std::time::Duration;

const ROOM: RoomId = RoomId(1);

fn open_channels(seed: u64, count: usize) -> (World, Vec<Handle>) {
    let mut world = World::new(seed);
    let handles: Vec<Handle> = (0..count).map(|_| world.join(ROOM, Client::chromium())).collect();
    world.connect(&handles);
    let open = world.run_until(Duration::from_secs(3), |world| {
        handles.iter().all(|handle| world[*handle].channels.as_ref().is_some_and(Channels::all_open))
    });
    assert!(open, "the three channels are acknowledged");
    (world, handles)
}

/// Bytes that tell a torn or mixed message.
fn message(number: usize, length: usize) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(7) ^ (at >> 8) ^ number.wrapping_mul(131)) as u8).collect()
}

fn reported(world: &World, handle: Handle, channel: DataChannel) -> Vec<Vec<u8>> {
    let id = world[handle].id;
    world
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Data { peer, channel: on, payload } if *peer == id && *on == channel => {
                Some(payload.to_vec())
            }
            _ => None,
        })
        .collect()
}

fn received(world: &World, handle: Handle, channel: DataChannel) -> Vec<Vec<u8>> {
    let channels = world[handle].channels.as_ref().expect("channels");
    channels.received.iter().filter(|one| one.channel == channel).map(|one| one.payload.clone()).collect()
}

const SIZES: [usize; 6] = [1, 100, 1_200, 14_000, 32_000, 60_000];

#[test]
fn messages_of_every_size_are_reported_whole_on_every_channel() {
    let (mut world, handles) = open_channels(1, 1);
    for (channel, _, _) in CHANNELS {
        let sent: Vec<Vec<u8>> =
            SIZES.iter().enumerate().map(|(number, size)| message(number, *size)).collect();
        for payload in &sent {
            world.with(handles[0], |peer, now| peer.send_data(now, channel, payload));
            world.run_for(Duration::from_millis(300));
        }
        world.run_for(Duration::from_secs(1));
        assert!(reported(&world, handles[0], channel) == sent, "{channel:?}");
    }
}

#[test]
fn messages_of_every_size_are_delivered_whole_on_every_channel() {
    let (mut world, handles) = open_channels(2, 3);
    let to: Vec<_> = handles[1..].iter().map(|handle| world[*handle].id).collect();
    for (channel, _, _) in CHANNELS {
        let sent: Vec<Vec<u8>> =
            SIZES.iter().enumerate().map(|(number, size)| message(number, *size)).collect();
        for payload in &sent {
            let payload = Bytes::from(payload.clone());
            world.command(Command::SendData { to: to.clone(), channel, payload });
            world.run_for(Duration::from_millis(300));
        }
        for handle in &handles[1..] {
            assert!(received(&world, *handle, channel) == sent, "{channel:?}");
        }
        assert!(received(&world, handles[0], channel).is_empty());
    }
}

#[test]
fn the_reliable_channel_keeps_every_message_and_their_order_under_loss() {
    let (mut world, handles) = open_channels(3, 2);
    for handle in &handles {
        let path = Path {
            jitter: Duration::from_millis(10),
            reordering: 0.05,
            duplication: 0.05,
            ..Path::lossy(0.1)
        };
        world.line(*handle).up = path;
        world.line(*handle).down = path;
    }
    let sent: Vec<Vec<u8>> = (0..60).map(|number| message(number, 50 + number * 300)).collect();
    let to = vec![world[handles[1]].id];
    for payload in &sent {
        world.with(handles[0], |peer, now| peer.send_data(now, DataChannel::Reliable, payload));
        let payload = Bytes::from(payload.clone());
        world.command(Command::SendData { to: to.clone(), channel: DataChannel::Reliable, payload });
        world.run_for(Duration::from_millis(50));
    }
    world.run_for(Duration::from_secs(30));
    assert_eq!(reported(&world, handles[0], DataChannel::Reliable).len(), sent.len());
    assert!(reported(&world, handles[0], DataChannel::Reliable) == sent);
    assert_eq!(received(&world, handles[1], DataChannel::Reliable).len(), sent.len());
    assert!(received(&world, handles[1], DataChannel::Reliable) == sent);
}

#[test]
fn the_lossy_channel_drops_rather_than_waits_and_never_damages() {
    let (mut world, handles) = open_channels(4, 2);
    for handle in &handles {
        world.line(*handle).down = Path::lossy(0.2);
    }
    let to = vec![world[handles[1]].id];
    let count = 200;
    for number in 0..count {
        let payload = Bytes::from(message(number, 600));
        world.command(Command::SendData { to: to.clone(), channel: DataChannel::Lossy, payload });
        world.run_for(Duration::from_millis(20));
    }
    world.run_for(Duration::from_secs(3));
    let arrived = received(&world, handles[1], DataChannel::Lossy);
    assert!((100..190).contains(&arrived.len()), "{} of {count}", arrived.len());
    let sent: Vec<Vec<u8>> = (0..count).map(|number| message(number, 600)).collect();
    assert!(arrived.iter().all(|one| sent.contains(one)));
}

#[test]
fn a_peer_without_open_channels_or_without_network_holds_up_nobody() {
    let (mut world, handles) = open_channels(5, 2);
    let newcomer = world.join(ROOM, Client::chromium());
    let dead = world.join(ROOM, Client::chromium());
    world.connect(&[dead]);
    world.run_for(Duration::from_secs(1));
    world.line(dead).lose_down = Some(Box::new(|_, _| true));
    let to = [newcomer, dead, handles[0], handles[1]].map(|handle| world[handle].id).to_vec();
    for number in 0..50 {
        let payload = Bytes::from(message(number, 50_000));
        world.command(Command::SendData { to: to.clone(), channel: DataChannel::Reliable, payload });
        world.run_for(Duration::from_millis(100));
    }
    world.run_for(Duration::from_secs(2));
    for handle in handles {
        assert_eq!(received(&world, handle, DataChannel::Reliable).len(), 50);
    }
}

#[test]
fn a_closing_association_ends_quietly_and_media_of_others_goes_on() {
    let (mut world, handles) = open_channels(6, 2);
    world.with(handles[0], |peer, now| {
        let channels = peer.channels.as_mut().expect("channels");
        channels.association.abort().expect("an open association");
        peer.handle_timeout(now);
    });
    world.run_for(Duration::from_secs(1));
    let to: Vec<_> = handles.iter().map(|handle| world[*handle].id).collect();
    let payload = Bytes::from_static(b"after");
    world.command(Command::SendData { to, channel: DataChannel::Reliable, payload });
    world.run_for(Duration::from_secs(1));
    assert_eq!(received(&world, handles[1], DataChannel::Reliable).len(), 1);
}

/// Whoever sends far more messages than may be is stopped, and nobody else's events are in the way of it.
#[test]
fn too_many_messages_at_once_are_not_reported() {
    let (mut world, handles) = open_channels(9, 3);
    let limit = usize::try_from(sfu::MESSAGES_PER_SECOND).unwrap();
    for (handle, channel) in [(handles[0], DataChannel::Reliable), (handles[1], DataChannel::Lossy)] {
        world.with(handle, |peer, now| {
            for _ in 0..limit * 4 {
                peer.send_data(now, channel, b"x");
            }
        });
    }
    world.run_for(Duration::from_millis(800));
    let ended = |handle: Handle| {
        let id = world[handle].id;
        world.events.iter().any(|(_, event)| {
            *event == Event::Disconnected { peer: id, reason: sfu::DisconnectReason::TooManyMessages }
        })
    };
    let came = |handle, channel| reported(&world, handle, channel).len();
    assert!(ended(handles[0]), "{} reliable ones were reported", came(handles[0], DataChannel::Reliable));
    assert!(!ended(handles[1]) && !ended(handles[2]));
    assert!((limit / 2..=limit * 2).contains(&came(handles[1], DataChannel::Lossy)));
}

#[test]
fn in_nobodys_room_there_is_a_way_and_nothing_is_reported() {
    let mut world = World::new(10);
    let handle = world.join(RoomId::NOBODY, Client::chromium());
    world.connect(&[handle]);
    world.run_for(Duration::from_secs(2));
    for _ in 0..100 {
        world.with(handle, |peer, now| peer.send_data(now, DataChannel::Reliable, b"x"));
        world.run_for(Duration::from_millis(20));
    }
    assert!(world.events.iter().all(|(_, event)| !matches!(event, Event::Data { .. })));
}

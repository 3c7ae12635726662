//! LiveKit's protocol v0: two connections per client, and on one of them the server offers.

use crate::harness::channels::Channels;
use crate::harness::peer::Client;
use crate::harness::send::Source;
use crate::harness::world::{Handle, World};
use bytes::Bytes;
use sfu::{Command, DataChannel, Event, RoomId, TrackId};
use std::time::{Duration, Instant};

const ROOM: RoomId = RoomId(1);

/// Both connections of an older client. The one for sending comes up with its first publication.
#[derive(Clone, Copy)]
struct Older {
    sending: Handle,
    receiving: Handle,
}

fn join(world: &mut World, client: &Client) -> Older {
    let sending = world.arrive(ROOM, Client { audios: 0, videos: 0, ..client.clone() });
    let receiving = world.arrive_subscriber(ROOM, client.clone());
    Older { sending, receiving }
}

/// When the server offered to this peer.
fn offers(world: &World, handle: Handle) -> Vec<Instant> {
    let id = world[handle].id;
    let of_peer = |event: &Event| matches!(event, Event::Offer { peer, .. } if *peer == id);
    world.events.iter().filter(|(_, event)| of_peer(event)).map(|(at, _)| *at).collect()
}

fn frames_after(world: &World, handle: Handle, track: TrackId, from: Instant) -> usize {
    let reception = world[handle].receptions.get(&track);
    reception.map_or(0, |reception| reception.frames.iter().filter(|frame| frame.at > from).count())
}

#[test]
fn two_older_clients_and_a_new_one_meet_change_their_tracks_and_restart_ice() {
    let mut world = World::new(1);
    let ann = join(&mut world, &Client::chromium());
    let ben = join(&mut world, &Client::firefox());
    let cho = world.join(ROOM, Client::chromium());
    world.connect(&[ann.receiving, ben.receiving, cho]);
    assert_eq!(world[ann.receiving].sections.len(), 1, "data channels only, so far");

    let people = [(ann.sending, ann.receiving), (ben.sending, ben.receiving), (cho, cho)];
    let tracks: Vec<[TrackId; 2]> = people
        .iter()
        .map(|(sending, _)| {
            [world.publish(*sending, Source::opus()), world.publish(*sending, Source::simulcast())]
        })
        .collect();
    for (who, (_, receiving)) in people.iter().enumerate() {
        for of in (0..people.len()).filter(|of| *of != who) {
            for track in tracks[of] {
                world.subscribe(*receiving, track);
            }
        }
    }
    world.connect(&[ann.sending, ben.sending]);
    world.run_for(Duration::from_secs(3));
    for (who, (_, receiving)) in people.iter().enumerate() {
        for of in (0..people.len()).filter(|of| *of != who) {
            assert!(world.reception(*receiving, tracks[of][0]).packets > 80, "{who} hears {of}");
            let frames = frames_after(&world, *receiving, tracks[of][1], world.origin);
            assert!(frames > 40, "{who} sees {of}: {frames} frames");
        }
    }

    // One picture ends, and another one begins.
    let lines = world[ben.receiving].sections.len();
    world.with(ann.sending, |peer, _| peer.unpublish(1));
    world.offer(ann.sending);
    world.command(Command::RemoveTrack { track: tracks[0][1] });
    world.run_for(Duration::from_millis(500));
    assert!(!world[ben.receiving].mid_to_track.values().any(|track| *track == tracks[0][1]));
    let again = world.publish(ann.sending, Source::vp8());
    world.subscribe(ben.receiving, again);
    let from = world.now;
    world.run_for(Duration::from_secs(2));
    assert!(frames_after(&world, ben.receiving, again, from) > 30);
    assert_eq!(world[ben.receiving].sections.len(), lines + 1, "Chromium would take it for the first track");

    // A resumed client: the server restarts ICE, and nothing is missing.
    let before = world[ben.receiving].ice.remote.clone();
    let from = world.now;
    let peer = world[ben.receiving].id;
    world.command(Command::RestartIce { peer });
    world.run_for(Duration::from_secs(3));
    assert_ne!(world[ben.receiving].ice.remote, before);
    let frames: Vec<_> =
        world.reception(ben.receiving, again).frames.iter().filter(|f| f.at > from).collect();
    assert!(frames.len() > 55, "{} frames", frames.len());
    assert!(frames.windows(2).all(|pair| pair[1].stamp.number == pair[0].stamp.number + 1));
    assert_eq!(world.count(|event| matches!(event, Event::Connected { .. })), 5, "each once");
    let trouble = |event: &Event| {
        matches!(
            event,
            Event::OfferRefused { .. } | Event::OfferUnanswered { .. } | Event::Disconnected { .. }
        )
    };
    assert_eq!(world.count(trouble), 0);
    world.assert_flawless();
}

#[test]
fn the_server_opens_the_data_channels_and_they_carry_both_ways() {
    let mut world = World::new(2);
    let ann = join(&mut world, &Client::chromium());
    let open = world.run_until(Duration::from_secs(3), |world| {
        world[ann.receiving].channels.as_ref().is_some_and(Channels::all_open)
    });
    assert!(open, "{:#?}", world.story());
    let id = world[ann.receiving].id;
    for channel in [DataChannel::Reliable, DataChannel::Lossy, DataChannel::DataTrack] {
        world.command(Command::SendData { to: vec![id], channel, payload: Bytes::from_static(b"down") });
        world.with(ann.receiving, |peer, now| peer.send_data(now, channel, b"up"));
    }
    world.run_for(Duration::from_secs(1));
    let came = &world[ann.receiving].channels.as_ref().expect("channels").received;
    assert_eq!(came.iter().filter(|one| one.payload == b"down").count(), 3);
    let up =
        |event: &Event| matches!(event, Event::Data { peer, payload, .. } if *peer == id && payload == "up");
    assert_eq!(world.count(up), 3);
}

/// Three tracks a moment after each other are two offers: the first at once, the others together.
#[test]
fn what_comes_within_a_moment_shares_an_offer() {
    let mut world = World::new(3);
    let ann = join(&mut world, &Client::chromium());
    let cho = world.join(ROOM, Client::chromium());
    world.connect(&[ann.receiving, cho]);
    world.run_for(Duration::from_secs(1));
    let before = offers(&world, ann.receiving).len();
    let from = world.now;
    for _ in 0..3 {
        let track = world.publish(cho, Source::opus());
        world.subscribe(ann.receiving, track);
        world.run_for(Duration::from_millis(10));
    }
    world.run_for(Duration::from_secs(1));
    let made: Vec<Duration> = offers(&world, ann.receiving)[before..].iter().map(|at| *at - from).collect();
    assert_eq!(made.len(), 2, "{made:?}");
    assert!(made[0] < Duration::from_millis(5) && made[1] <= Duration::from_millis(110), "{made:?}");
    assert_eq!(world[ann.receiving].mid_to_track.len(), 3);
}

/// A client that turns a subscription on and off all the time, and resumes all the time, costs a bounded number.
#[test]
fn offers_keep_to_their_pace() {
    let mut world = World::new(4);
    let ann = join(&mut world, &Client::chromium());
    let cho = world.join(ROOM, Client::chromium());
    world.connect(&[ann.receiving, cho]);
    let track = world.publish(cho, Source::opus());
    let peer = world[ann.receiving].id;
    let from = world.now;
    for round in 0..400 {
        if round % 2 == 0 {
            world.subscribe(ann.receiving, track);
        } else {
            world.unsubscribe(ann.receiving, track);
        }
        if round % 5 == 0 {
            world.command(Command::RestartIce { peer });
        }
        world.run_for(Duration::from_millis(50));
    }
    let made: Vec<Instant> = offers(&world, ann.receiving).into_iter().filter(|at| *at >= from).collect();
    assert!(made.len() <= 10 + 2 * 20 + 1, "{} offers in 20 s", made.len());
    assert!(made.len() >= 2 * 19, "{} offers: the pace is no stop", made.len());
    assert!(made.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_millis(100)));
    world.subscribe(ann.receiving, track);
    world.run_for(Duration::from_secs(2));
    assert_eq!(world[ann.receiving].mid_to_track.len(), 1, "the last wish holds");
    assert_eq!(world.count(|event| matches!(event, Event::Disconnected { .. })), 0);
}

#[test]
fn an_offer_without_an_answer_is_told_once_and_a_restart_leads_out() {
    let mut world = World::new(5);
    let ann = join(&mut world, &Client::chromium());
    let cho = world.join(ROOM, Client::chromium());
    world.connect(&[ann.receiving, cho]);
    world.run_for(Duration::from_secs(1));
    world.answering = false;
    let track = world.publish(cho, Source::opus());
    world.subscribe(ann.receiving, track);
    let from = world.now;
    let before = offers(&world, ann.receiving).len();
    let told = |event: &Event| matches!(event, Event::OfferUnanswered { .. });
    assert!(world.run_until(Duration::from_secs(20), |world| world.count(told) > 0));
    assert!((Duration::from_secs(14)..Duration::from_secs(16)).contains(&(world.now - from)));
    let another = world.publish(cho, Source::opus());
    world.subscribe(ann.receiving, another);
    world.run_for(Duration::from_secs(60));
    assert_eq!(
        (world.count(told), offers(&world, ann.receiving).len()),
        (1, before + 1),
        "told once, not offered again"
    );
    world.answering = true;
    let peer = world[ann.receiving].id;
    world.command(Command::RestartIce { peer });
    world.run_for(Duration::from_secs(1));
    assert_eq!(world[ann.receiving].mid_to_track.len(), 2);
    for track in [track, another] {
        assert!(world.reception(ann.receiving, track).packets > 20);
    }
    world.assert_flawless();
}

/// It only receives, so that little but feedback comes from it.
#[test]
fn nothing_is_paused_on_a_path_with_room() {
    let mut world = World::new(6);
    let ann = join(&mut world, &Client::chromium());
    let cho = world.join(ROOM, Client::chromium());
    let dan = world.join(ROOM, Client::chromium());
    world.connect(&[ann.receiving, cho, dan]);
    let first = world.publish(cho, Source::vp8());
    world.subscribe(ann.receiving, first);
    world.run_for(Duration::from_secs(3));
    let second = world.publish(dan, Source::vp8());
    world.subscribe(ann.receiving, second);
    world.run_for(Duration::from_secs(10));
    world.with(dan, |peer, _| peer.unpublish(0));
    world.offer(dan);
    world.command(Command::RemoveTrack { track: second });
    world.run_for(Duration::from_secs(3));
    let third = world.publish(dan, Source::vp8());
    world.subscribe(ann.receiving, third);
    let from = world.now;
    world.run_for(Duration::from_secs(10));
    let paused = |event: &Event| matches!(event, Event::StreamState { .. });
    assert_eq!(world.count(paused), 0, "{:#?}", world.story());
    assert!(frames_after(&world, ann.receiving, third, from) > 190);
}

/// One m-line per track, as long as there may be more; then the free ones again.
#[test]
fn m_lines_are_used_again_when_there_can_be_no_more() {
    let mut world = World::new(7);
    let ann = join(&mut world, &Client::chromium());
    let cho = world.join(ROOM, Client::chromium());
    world.connect(&[ann.receiving, cho]);
    let track = world.publish(cho, Source::opus());
    for _ in 0..sfu::sdp::MAX_SECTIONS + 5 {
        world.subscribe(ann.receiving, track);
        world.run_for(Duration::from_millis(600));
        world.unsubscribe(ann.receiving, track);
        world.run_for(Duration::from_millis(600));
    }
    assert_eq!(world[ann.receiving].sections.len(), sfu::sdp::MAX_SECTIONS);
    world.subscribe(ann.receiving, track);
    let from = world.now;
    world.run_for(Duration::from_secs(1));
    assert!(
        world.reception(ann.receiving, track).audio.iter().filter(|packet| packet.at > from).count() > 20
    );
    world.assert_flawless();
}

//! Which m-line carries what: subscribing, unsubscribing, publishing and their order.

use crate::harness::peer::Client;
use crate::harness::sdp::Direction;
use crate::harness::send::Source;
use crate::harness::world::{Handle, World};
use sfu::{Command, DtlsRole, Event, RoomId, TrackId};
use std::time::{Duration, Instant};

const ROOM: RoomId = RoomId(1);

/// A publisher with nothing published and a subscriber with so many receiving m-lines, both connected.
fn pair(seed: u64, audios: usize, videos: usize) -> (World, Handle, Handle) {
    let mut world = World::new(seed);
    let publisher = world.join(ROOM, Client::chromium());
    let subscriber = world.join(ROOM, Client { audios, videos, ..Client::chromium() });
    world.connect(&[publisher, subscriber]);
    (world, publisher, subscriber)
}

fn frames_after(world: &World, handle: Handle, track: TrackId, from: Instant) -> usize {
    let reception = world[handle].receptions.get(&track);
    reception.map_or(0, |reception| reception.frames.iter().filter(|frame| frame.at > from).count())
}

fn sections_asked(world: &World, handle: Handle) -> Vec<(u32, u32)> {
    let id = world[handle].id;
    world
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::MediaSections { peer, audios, videos } if *peer == id => Some((*audios, *videos)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_free_m_line_is_taken_after_being_asked_to_offer_again() {
    let (mut world, publisher, subscriber) = pair(1, 1, 1);
    world.renegotiate = false;
    let track = world.publish(publisher, Source::vp8());
    world.subscribe(subscriber, track);
    assert_eq!(sections_asked(&world, subscriber), [(0, 0)], "offer again");
    world.run_for(Duration::from_secs(1));
    assert!(world[subscriber].receptions.is_empty(), "nothing before the m-line is there");
    world.offer(subscriber);
    let id = world[subscriber].id;
    assert_eq!(world.count(|event| *event == Event::Subscribed { peer: id, track }), 1);
    let answer = world[subscriber].answer.clone().expect("an answer");
    let section =
        answer.sections.iter().find(|section| section.direction == "sendonly").expect("a sending line");
    assert_eq!(world[subscriber].mid_to_track.get(&section.mid), Some(&track));
    let labels = (format!("PA_{}", world[publisher].id.0), format!("TR_{}", track.0));
    assert_eq!(section.msid, Some(labels));
    assert_eq!(section.ssrcs.len(), 2, "media and RTX");
    assert_eq!(section.fid.len(), 1);
    let from = world.now;
    world.run_for(Duration::from_secs(2));
    assert!(frames_after(&world, subscriber, track, from) > 30);
}

#[test]
fn missing_m_lines_are_asked_for_by_kind_and_number() {
    let (mut world, publisher, subscriber) = pair(2, 1, 0);
    world.renegotiate = false;
    let tracks: Vec<TrackId> = [Source::opus(), Source::opus(), Source::vp8(), Source::vp8()]
        .into_iter()
        .map(|source| world.publish(publisher, source))
        .collect();
    for track in &tracks {
        world.subscribe(subscriber, *track);
    }
    let (audios, videos) = sections_asked(&world, subscriber)
        .into_iter()
        .fold((0, 0), |sum, ask| (sum.0 + ask.0, sum.1 + ask.1));
    assert_eq!((audios, videos), (1, 2), "one audio line is there already");
    world.with(subscriber, |peer, _| peer.add_receiving(audios, videos));
    world.offer(subscriber);
    world.run_for(Duration::from_secs(2));
    for track in &tracks {
        assert!(world.reception(subscriber, *track).packets > 20);
    }
    world.assert_flawless();
}

#[test]
fn subscribing_before_the_offer_with_the_track_works_too() {
    let (mut world, publisher, subscriber) = pair(3, 3, 3);
    let track = world.announce(publisher, Source::vp8(), false);
    world.subscribe(subscriber, track);
    assert_eq!(
        world.count(|event| matches!(event, Event::Published { .. } | Event::MediaSections { .. })),
        0
    );
    world.run_for(Duration::from_secs(1));
    world.offer(publisher);
    let id = world[subscriber].id;
    assert_eq!(world.count(|event| *event == Event::Subscribed { peer: id, track }), 1);
    let from = world.now;
    world.run_for(Duration::from_secs(2));
    assert!(frames_after(&world, subscriber, track, from) > 30);
}

/// JS sends `add_track` and the offer in parallel: the offer may come first.
#[test]
fn the_offer_may_come_before_the_announcement() {
    let (mut world, publisher, subscriber) = pair(4, 3, 3);
    let (track, command) = world.prepare(publisher, Source::vp8(), false);
    world.offer(publisher);
    world.run_for(Duration::from_millis(300));
    assert_eq!(world.count(|event| matches!(event, Event::Published { .. })), 0);
    world.command(command);
    let peer = world[publisher].id;
    let published = |event: &Event| {
        matches!(event, Event::Published { peer: p, track: t, mime_type, .. }
        if *p == peer && *t == track && mime_type.eq_ignore_ascii_case("video/vp8"))
    };
    assert_eq!(world.count(published), 1);
    world.subscribe(subscriber, track);
    let from = world.now;
    world.run_for(Duration::from_secs(2));
    assert!(frames_after(&world, subscriber, track, from) > 30);
    world.assert_flawless();
}

/// Firefox makes up its own track ids: the kind decides.
#[test]
fn a_track_whose_cid_is_in_no_msid_is_found_by_its_kind() {
    let (mut world, publisher, subscriber) = pair(5, 3, 3);
    let (track, command) = world.prepare(publisher, Source::vp8(), false);
    let Command::AddTrack { peer, track: _, mut description } = command else { panic!("add_track") };
    description.cid = "{another-name}".to_owned();
    world.command(Command::AddTrack { peer, track, description });
    world.offer(publisher);
    world.subscribe(subscriber, track);
    world.run_for(Duration::from_secs(2));
    assert!(world.reception(subscriber, track).frames.len() > 30);
}

#[test]
fn an_m_line_is_used_again_and_never_shows_the_track_before() {
    let (mut world, publisher, subscriber) = pair(6, 1, 1);
    let tracks: Vec<TrackId> = (0..2).map(|_| world.publish(publisher, Source::vp8())).collect();
    let lines = world[subscriber].sections.len();
    for round in 0..6 {
        let track = tracks[round % 2];
        let from = world.now;
        world.subscribe(subscriber, track);
        world.run_for(Duration::from_secs(1));
        assert!(frames_after(&world, subscriber, track, from) > 12, "round {round}");
        world.unsubscribe(subscriber, track);
        let ended = world.now + Duration::from_millis(20);
        world.run_for(Duration::from_millis(500));
        let last = world.reception(subscriber, track).last_arrival.expect("packets");
        assert!(last <= ended, "packets after the end in round {round}");
        assert!(world[subscriber].mid_to_track.is_empty(), "the line is inactive in between");
    }
    assert_eq!(world[subscriber].sections.len(), lines, "no line was added");
    for (track, publication) in tracks.iter().zip(0..) {
        let token = world.token(publisher, publication);
        let reception = world.reception(subscriber, *track);
        assert_eq!(reception.tokens().into_iter().collect::<Vec<_>>(), [token]);
    }
    world.assert_flawless();
}

#[test]
fn swapping_two_tracks_at_once_keeps_them_apart() {
    let (mut world, publisher, subscriber) = pair(7, 1, 1);
    let [first, second] = [0, 1].map(|_| world.publish(publisher, Source::vp8()));
    world.subscribe(subscriber, first);
    world.run_for(Duration::from_secs(1));
    world.unsubscribe(subscriber, first);
    world.subscribe(subscriber, second);
    let swapped = world.now;
    world.run_for(Duration::from_secs(2));
    assert!(frames_after(&world, subscriber, second, swapped) > 25);
    assert_eq!(frames_after(&world, subscriber, first, swapped + Duration::from_millis(50)), 0);
    let token = world.token(publisher, 1);
    assert!(world.reception(subscriber, second).frames.iter().all(|frame| frame.stamp.token == token));
    world.assert_flawless();
}

#[test]
fn a_removed_track_frees_its_m_lines() {
    let (mut world, publisher, subscriber) = pair(8, 1, 1);
    let track = world.publish(publisher, Source::vp8());
    world.subscribe(subscriber, track);
    world.run_for(Duration::from_secs(1));
    world.command(Command::RemoveTrack { track });
    let removed = world.now;
    world.run_for(Duration::from_secs(1));
    assert_eq!(frames_after(&world, subscriber, track, removed + Duration::from_millis(20)), 0);
    assert!(world[subscriber].mid_to_track.is_empty());
    let answer = world[subscriber].answer.as_ref().expect("an answer");
    assert!(answer.sections.iter().all(|section| section.direction != "sendonly"));
}

#[test]
fn a_client_that_takes_its_m_line_away_unpublishes() {
    let (mut world, publisher, subscriber) = pair(9, 1, 1);
    let track = world.publish(publisher, Source::vp8());
    world.subscribe(subscriber, track);
    world.run_for(Duration::from_secs(1));
    world.with(publisher, |peer, _| peer.unpublish(0));
    world.offer(publisher);
    let peer = world[publisher].id;
    assert_eq!(world.count(|event| *event == Event::Unpublished { peer, track }), 1);
    // The signalling removes it then; the line serves another track later.
    world.command(Command::RemoveTrack { track });
    let next = world.publish(publisher, Source::vp8());
    world.subscribe(subscriber, next);
    let from = world.now;
    world.run_for(Duration::from_secs(2));
    assert!(frames_after(&world, subscriber, next, from) > 25);
    world.assert_flawless();
}

#[test]
fn a_subscriber_may_stop_receiving_on_a_line_and_start_again() {
    let (mut world, publisher, subscriber) = pair(10, 0, 2);
    let track = world.publish(publisher, Source::vp8());
    world.subscribe(subscriber, track);
    world.run_for(Duration::from_secs(1));
    let (mid, _) =
        world[subscriber].mid_to_track.iter().next().map(|(m, t)| (m.clone(), *t)).expect("a line");
    world.with(subscriber, |peer, _| {
        let section = peer.sections.iter_mut().find(|section| section.mid == mid).expect("it");
        section.direction = Direction::Inactive;
    });
    let from = world.now;
    world.offer(subscriber);
    world.run_for(Duration::from_secs(2));
    assert_ne!(world[subscriber].mid_to_track.keys().next(), Some(&mid), "another line took over");
    assert!(frames_after(&world, subscriber, track, from + Duration::from_millis(500)) > 20);
}

#[test]
fn an_unusable_offer_changes_nothing() {
    let (mut world, publisher, subscriber) = pair(11, 1, 1);
    let track = world.publish(publisher, Source::vp8());
    world.subscribe(subscriber, track);
    world.run_for(Duration::from_secs(1));
    let peer = world[subscriber].id;
    let good = world.with(subscriber, |peer, _| peer.offer());
    let broken = [
        String::new(),
        "hello".to_owned(),
        good.replace("a=ice-ufrag", "a=no-ufrag"),
        good.replace("a=fingerprint", "a=no-fingerprint"),
        good.replace("m=video", "m=audio"),
        good.replace("a=mid:0\r\n", "a=mid:77\r\n"),
        good.replace("a=group:BUNDLE", "a=group:LS"),
        good[..good.len() / 2].replace("a=mid", "a=nothing"),
        "v=0\r\n".repeat(200_000),
        good.repeat(100),
    ];
    let from = world.now;
    for (number, sdp) in broken.into_iter().enumerate() {
        let offer_id = 1000 + number as u32;
        world.command(Command::Offer { peer, offer_id, sdp });
        let refused = |event: &Event| {
            matches!(event, Event::OfferRefused { peer: p, offer_id: id, .. }
            if *p == peer && *id == offer_id)
        };
        assert_eq!(world.count(refused), 1, "broken offer {number}");
    }
    world.run_for(Duration::from_secs(2));
    assert!(frames_after(&world, subscriber, track, from) > 35, "media goes on as negotiated before");
    world.assert_flawless();
}

#[test]
fn commands_about_nobody_and_nothing_are_ignored() {
    let (mut world, publisher, subscriber) = pair(12, 1, 1);
    let track = world.publish(publisher, Source::vp8());
    world.subscribe(subscriber, track);
    world.run_for(Duration::from_secs(1));
    let before = world.events.len();
    let (ghost, nothing) = (sfu::PeerId(999), TrackId(999));
    let peer = world[subscriber].id;
    for command in [
        Command::Disconnect { peer: ghost },
        Command::Offer { peer: ghost, offer_id: 1, sdp: "v=0".to_owned() },
        Command::RemoveTrack { track: nothing },
        Command::Mute { track: nothing, muted: true },
        Command::Block { track: nothing, blocked: true },
        Command::Subscribe { peer: ghost, track },
        Command::Subscribe { peer, track: nothing },
        Command::Unsubscribe { peer, track: nothing },
        Command::Unsubscribe { peer: ghost, track },
        Command::TrackSetting { peer, track: nothing, setting: sfu::TrackSetting::default() },
        Command::SendData {
            to: vec![ghost],
            channel: sfu::DataChannel::Reliable,
            payload: bytes::Bytes::from_static(b"?"),
        },
        // Twice is once.
        Command::Subscribe { peer, track },
        Command::Connect { peer, room: ROOM, role: DtlsRole::Server },
    ] {
        world.command(command);
    }
    assert_eq!(world.events.len(), before);
    let from = world.now;
    world.run_for(Duration::from_secs(1));
    assert!(frames_after(&world, subscriber, track, from) > 15);
}

/// Media may overtake the answer. Without a MID, Firefox gives an SSRC it does not know yet to another m-line.
#[test]
fn packets_name_their_m_line_until_the_subscriber_reports_on_them() {
    let (mut world, publisher, subscriber) = pair(12, 1, 2);
    for source in [Source::vp8(), Source::opus()] {
        let track = world.publish(publisher, source);
        world.subscribe(subscriber, track);
    }
    world[subscriber].recorded = Some(Vec::new());
    world.run_for(Duration::from_secs(4));
    let dialect = world[subscriber].client.dialect;
    let answer = world[subscriber].answer.clone().expect("an answer");
    let packets = world[subscriber].recorded.take().expect("packets");
    for section in answer.sections.iter().filter(|section| section.direction == "sendonly") {
        let of_section = |packet: &&rtc_rtp::packet::Packet| {
            section.ssrcs.contains(&packet.header.ssrc)
                && !section.fid.iter().any(|(_, rtx)| *rtx == packet.header.ssrc)
        };
        let named: Vec<bool> = packets
            .iter()
            .filter(of_section)
            .map(|packet| {
                let mid = packet.header.get_extension(dialect.mid);
                assert!(mid.as_ref().is_none_or(|mid| *mid == section.mid.as_bytes()));
                mid.is_some()
            })
            .collect();
        assert!(named.first() == Some(&true) && named.last() == Some(&false), "{named:?}");
        assert!(named.is_sorted_by(|a, b| a >= b), "once it is known it stays known");
    }
}

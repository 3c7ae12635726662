//! A subscriber gets the layer it asks for, and its decoder never notices how.

use crate::harness::network::Path;
use crate::harness::peer::Client;
use crate::harness::receive::Frame;
use crate::harness::send::Source;
use crate::harness::world::{Handle, World};
use sfu::{Command, Event, Quality, RoomId, TrackId, TrackSetting};
use std::time::{Duration, Instant};

const ROOM: RoomId = RoomId(1);
const QUALITIES: [Quality; 3] = [Quality::Low, Quality::Medium, Quality::High];

struct Stage {
    world: World,
    publisher: Handle,
    subscribers: Vec<Handle>,
    track: TrackId,
}

/// One publisher with three layers and so many subscribers, running for two seconds.
fn stage(seed: u64, source: Source, subscribers: usize) -> Stage {
    let mut world = World::new(seed);
    let publisher = world.join(ROOM, Client::chromium());
    let subscribers: Vec<Handle> = (0..subscribers)
        .map(|number| world.join(ROOM, if number % 2 == 0 { Client::chromium() } else { Client::firefox() }))
        .collect();
    let everybody: Vec<Handle> = world.handles().collect();
    world.connect(&everybody);
    let track = world.publish(publisher, source);
    for subscriber in &subscribers {
        world.subscribe(*subscriber, track);
    }
    world.run_for(Duration::from_secs(2));
    Stage { world, publisher, subscribers, track }
}

fn frames_after(world: &World, handle: Handle, track: TrackId, from: Instant) -> Vec<Frame> {
    let frames = &world.reception(handle, track).frames;
    frames.iter().filter(|frame| frame.at > from).cloned().collect()
}

/// The layer of every frame from now on, once the switch is over.
fn settled_layer(stage: &mut Stage, subscriber: Handle) -> u8 {
    stage.world.run_for(Duration::from_millis(1500));
    let from = stage.world.now;
    stage.world.run_for(Duration::from_secs(1));
    let frames = frames_after(&stage.world, subscriber, stage.track, from);
    assert!(frames.len() >= 18, "{} frames", frames.len());
    let layer = frames[0].stamp.layer;
    assert!(frames.iter().all(|frame| frame.stamp.layer == layer), "it stays");
    layer
}

#[test]
fn each_quality_brings_its_layer_and_switches_only_at_key_frames() {
    let mut stage = stage(1, Source::simulcast(), 1);
    let subscriber = stage.subscribers[0];
    for wanted in [2usize, 0, 1, 2, 1, 0, 2] {
        stage.world.want(subscriber, stage.track, QUALITIES[wanted]);
        assert_eq!(usize::from(settled_layer(&mut stage, subscriber)), wanted);
    }
    let frames = &stage.world.reception(subscriber, stage.track).frames;
    let mut switches = 0;
    for pair in frames.windows(2) {
        if pair[0].stamp.layer != pair[1].stamp.layer {
            switches += 1;
            assert!(pair[1].key, "a switch without a key frame");
            // The picture stays with real time: a frame is 50 ms, a switch may cost or repeat a few.
            let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
            assert!((1..=90 * 600).contains(&step), "the timestamp jumps by {step}");
        }
    }
    assert!((6..=8).contains(&switches), "{switches} switches");
    stage.world.assert_flawless();
    assert_eq!(stage.world.reception(subscriber, stage.track).abandoned, 0, "no gap in the numbers");
}

/// Over many switches the picture's clock must not drift from the real one.
#[test]
fn timestamps_stay_with_real_time_across_switches() {
    let mut stage = stage(2, Source::simulcast(), 1);
    let subscriber = stage.subscribers[0];
    for round in 0..12 {
        stage.world.want(subscriber, stage.track, QUALITIES[round % 3]);
        stage.world.run_for(Duration::from_millis(1300));
    }
    let frames = &stage.world.reception(subscriber, stage.track).frames;
    let (first, last) = (&frames[0], &frames[frames.len() - 1]);
    let real = (last.at - first.at).as_secs_f64();
    let shown = f64::from(last.timestamp.wrapping_sub(first.timestamp)) / 90_000.0;
    assert!((real - shown).abs() < 0.15, "{real} s passed, {shown} s were shown");
    stage.world.assert_flawless();
}

#[test]
fn subscribers_get_different_layers_at_the_same_time() {
    let mut stage = stage(3, Source::simulcast(), 3);
    for (subscriber, quality) in stage.subscribers.clone().into_iter().zip(QUALITIES) {
        stage.world.want(subscriber, stage.track, quality);
    }
    stage.world.run_for(Duration::from_millis(1500));
    let from = stage.world.now;
    stage.world.run_for(Duration::from_secs(2));
    for (layer, subscriber) in stage.subscribers.iter().enumerate() {
        let frames = frames_after(&stage.world, *subscriber, stage.track, from);
        assert!(frames.len() >= 38);
        assert!(frames.iter().all(|frame| usize::from(frame.stamp.layer) == layer));
    }
    stage.world.assert_flawless();
}

#[test]
fn a_wanted_size_brings_the_smallest_layer_that_covers_it() {
    let mut stage = stage(4, Source::simulcast(), 1);
    let (subscriber, track) = (stage.subscribers[0], stage.track);
    let peer = stage.world[subscriber].id;
    for (width, height, layer) in [
        (200, 112, 0),
        (320, 180, 0),
        (640, 360, 1),
        (500, 280, 1),
        (1280, 720, 2),
        (4000, 2000, 2),
        (0, 0, 2),
    ] {
        let setting = TrackSetting { width, height, ..TrackSetting::default() };
        stage.world.command(Command::TrackSetting { peer, track, setting });
        assert_eq!(settled_layer(&mut stage, subscriber), layer, "{width}x{height}");
    }
    stage.world.assert_flawless();
}

#[test]
fn a_disabled_tile_is_sent_nothing_and_comes_back_at_a_key_frame() {
    let mut stage = stage(5, Source::simulcast(), 2);
    let (hidden, track) = (stage.subscribers[0], stage.track);
    let peer = stage.world[hidden].id;
    // What was lost before is asked for afterwards: it must not be sent either.
    stage.world.line(hidden).down = Path::lossy(0.3);
    stage.world.run_for(Duration::from_millis(500));
    stage.world.line(hidden).down = Path::clean();
    let setting = TrackSetting { disabled: true, ..TrackSetting::default() };
    stage.world.command(Command::TrackSetting { peer, track, setting });
    let from = stage.world.now;
    stage.world.run_for(Duration::from_secs(3));
    assert_eq!(stage.world.sent_of(hidden, track, from), 0);
    assert!(stage.world.sent_of(stage.subscribers[1], track, from) > 100, "the other one goes on");
    stage.world.command(Command::TrackSetting { peer, track, setting: TrackSetting::default() });
    let from = stage.world.now;
    let newest =
        stage.world.reception(stage.subscribers[1], track).frames.last().expect("frames").stamp.number;
    stage.world.run_for(Duration::from_secs(1));
    // The end of what was lost shows only now, and may be repaired now.
    let frames = frames_after(&stage.world, hidden, track, from);
    let fresh = frames.iter().find(|frame| frame.stamp.number > newest).expect("frames");
    assert!(fresh.key && fresh.at < from + Duration::from_millis(300));
    stage.world.assert_flawless();
}

/// Rust clients offer `f;h;q`; the names decide, not the order.
#[test]
fn rids_count_by_name() {
    let source = Source::Vp8 {
        rids: vec!["f", "h", "q"],
        frame_interval: Duration::from_millis(50),
        packets_per_frame: 2,
    };
    let mut stage = stage(6, source, 1);
    for (layer, quality) in QUALITIES.into_iter().enumerate() {
        stage.world.want(stage.subscribers[0], stage.track, quality);
        let subscriber = stage.subscribers[0];
        assert_eq!(usize::from(settled_layer(&mut stage, subscriber)), layer);
    }
    stage.world.assert_flawless();
}

#[test]
fn two_layers_and_one_layer_are_served_as_they_are() {
    for (seed, rids, best) in [(7, vec!["q", "h"], 1), (8, vec!["q"], 0)] {
        let source = Source::Vp8 { rids, frame_interval: Duration::from_millis(50), packets_per_frame: 2 };
        let mut stage = stage(seed, source, 1);
        stage.world.want(stage.subscribers[0], stage.track, Quality::High);
        let subscriber = stage.subscribers[0];
        assert_eq!(settled_layer(&mut stage, subscriber), best);
        stage.world.assert_flawless();
    }
}

/// libwebrtc leaves MID and RID out once a receiver report acknowledged the SSRC; a renegotiation afterwards must
/// not forget which SSRC is which layer (research: this is where `rtc` loses simulcast).
#[test]
fn bindings_survive_the_end_of_rids_and_renegotiation() {
    let mut stage = stage(9, Source::simulcast(), 1);
    stage.world.run_for(Duration::from_secs(3));
    let publication = &stage.world[stage.publisher].publications[0];
    assert!(
        publication.encodings.iter().all(|encoding| encoding.acknowledged),
        "receiver reports acknowledge every layer"
    );
    for _ in 0..2 {
        stage.world.publish(stage.publisher, Source::opus());
        stage.world.run_for(Duration::from_millis(500));
    }
    let publisher = stage.publisher;
    stage.world.with(publisher, |peer, _| peer.restart_ice());
    stage.world.offer(publisher);
    for quality in [Quality::Low, Quality::High, Quality::Medium] {
        stage.world.want(stage.subscribers[0], stage.track, quality);
        let subscriber = stage.subscribers[0];
        let layer = settled_layer(&mut stage, subscriber);
        assert_eq!(QUALITIES[usize::from(layer)], quality);
    }
    stage.world.assert_flawless();
}

/// RTX of a layer is known by its repaired RID: with every layer losing packets, all of them are whole.
#[test]
fn lost_packets_of_every_layer_are_repaired_by_rtx() {
    let mut stage = stage(10, Source::simulcast(), 3);
    for (subscriber, quality) in stage.subscribers.clone().into_iter().zip(QUALITIES) {
        stage.world.want(subscriber, stage.track, quality);
    }
    stage.world.run_for(Duration::from_secs(2));
    stage.world.line(stage.publisher).up = Path::lossy(0.08);
    let from = stage.world.now;
    stage.world.run_for(Duration::from_secs(8));
    stage.world.line(stage.publisher).up = Path::clean();
    stage.world.run_for(Duration::from_secs(2));
    for encoding in &stage.world[stage.publisher].publications[0].encodings {
        assert!(encoding.retransmitted > 5, "{:?} was asked {} times", encoding.rid, encoding.retransmitted);
    }
    for (layer, subscriber) in stage.subscribers.iter().enumerate() {
        let frames = frames_after(&stage.world, *subscriber, stage.track, from);
        assert!(frames.len() >= 190, "layer {layer}: {} of 200 frames", frames.len());
        assert!(frames.iter().all(|frame| usize::from(frame.stamp.layer) == layer));
    }
    stage.world.assert_flawless();
}

#[test]
fn switching_under_loss_never_breaks_the_decoder() {
    let mut stage = stage(11, Source::simulcast(), 1);
    let subscriber = stage.subscribers[0];
    for handle in [stage.publisher, subscriber] {
        stage.world.line(handle).up = Path::lossy(0.05);
        stage.world.line(handle).down = Path::lossy(0.05);
    }
    let from = stage.world.now;
    for round in 0..20 {
        stage.world.want(subscriber, stage.track, QUALITIES[(round * 2) % 3]);
        stage.world.run_for(Duration::from_millis(900));
    }
    let frames = frames_after(&stage.world, subscriber, stage.track, from);
    assert!(frames.len() > 300, "{} of 360 frames", frames.len());
    stage.world.assert_flawless();
}

/// The uplink is too narrow and the browser stops the best layer: the next one steps in, and the best comes back.
#[test]
fn a_layer_that_stops_is_replaced_and_returns() {
    let mut stage = stage(12, Source::simulcast(), 1);
    let (publisher, subscriber) = (stage.publisher, stage.subscribers[0]);
    stage.world.want(subscriber, stage.track, Quality::High);
    assert_eq!(settled_layer(&mut stage, subscriber), 2);
    stage.world.with(publisher, |peer, _| peer.publications[0].layer_mut(2).enabled = false);
    let stopped = stage.world.now;
    stage.world.run_for(Duration::from_secs(2));
    let replaced = frames_after(&stage.world, subscriber, stage.track, stopped + Duration::from_millis(100));
    assert!(replaced.first().is_some_and(|frame| frame.at < stopped + Duration::from_secs(2)));
    assert_eq!(settled_layer(&mut stage, subscriber), 1);
    stage.world.with(publisher, |peer, _| peer.publications[0].layer_mut(2).enabled = true);
    assert_eq!(settled_layer(&mut stage, subscriber), 2);
    stage.world.assert_flawless();
}

/// A new SSRC, other numbers, another clock: the subscriber's stream goes on at the next key frame.
#[test]
fn an_encoder_made_anew_goes_unnoticed() {
    for source in [Source::vp8(), Source::simulcast()] {
        let mut stage = stage(14, source, 1);
        let (publisher, subscriber) = (stage.publisher, stage.subscribers[0]);
        for _ in 0..3 {
            let mut random = stage.world.random.clone();
            stage.world.with(publisher, |peer, _| {
                for encoding in &mut peer.publications[0].encodings {
                    encoding.restart(&mut random);
                }
            });
            stage.world.random = random;
            let from = stage.world.now;
            stage.world.run_for(Duration::from_secs(2));
            let frames = frames_after(&stage.world, subscriber, stage.track, from);
            assert!(frames.len() > 30, "{} of 40 frames", frames.len());
        }
        let frames = &stage.world.reception(subscriber, stage.track).frames;
        let (first, last) = (&frames[0], &frames[frames.len() - 1]);
        let real = (last.at - first.at).as_secs_f64();
        let shown = f64::from(last.timestamp.wrapping_sub(first.timestamp)) / 90_000.0;
        assert!((real - shown).abs() < 0.15, "{real} s passed, {shown} s were shown");
        stage.world.assert_flawless();
    }
}

#[test]
fn the_publisher_is_told_which_layers_are_wanted() {
    let mut stage = stage(13, Source::simulcast(), 2);
    let last = |world: &World, track: TrackId| {
        world.events.iter().rev().find_map(|(at, event)| match event {
            Event::WantedLayers { track: of, wanted } if *of == track => Some((*at, wanted.clone())),
            _ => None,
        })
    };
    let on = |wanted: &[(Quality, bool)], quality: Quality| wanted.contains(&(quality, true));
    for subscriber in stage.subscribers.clone() {
        stage.world.want(subscriber, stage.track, Quality::Low);
    }
    stage.world.run_for(Duration::from_secs(7));
    let (_, wanted) = last(&stage.world, stage.track).expect("told");
    assert!(
        on(&wanted, Quality::Low) && !on(&wanted, Quality::Medium) && !on(&wanted, Quality::High),
        "{wanted:?}"
    );
    stage.world.want(stage.subscribers[0], stage.track, Quality::High);
    let asked = stage.world.now;
    stage.world.run_for(Duration::from_secs(1));
    let (at, wanted) = last(&stage.world, stage.track).expect("told");
    assert!(on(&wanted, Quality::High), "{wanted:?}");
    assert!(at <= asked + Duration::from_millis(100), "more is told at once");
}

//! Frames of higher temporal layers are left out for those who want fewer, and the decoder never notices.

use crate::harness::network::Path;
use crate::harness::peer::Client;
use crate::harness::receive::Frame;
use crate::harness::send::Source;
use crate::harness::world::{Handle, World};
use sfu::{Command, Quality, RoomId, TrackId, TrackSetting};
use std::time::Duration;

const ROOM: RoomId = RoomId(1);

struct Stage {
    world: World,
    publisher: Handle,
    subscriber: Handle,
    track: TrackId,
}

/// A camera of 20 frames a second in three temporal layers: 5, 10, 20.
fn stage(seed: u64, source: Source) -> Stage {
    let mut world = World::new(seed);
    let publisher = world.join(ROOM, Client::chromium());
    let subscriber = world.join(ROOM, Client::chromium());
    world.connect(&[publisher, subscriber]);
    let track = world.publish(publisher, source);
    world.subscribe(subscriber, track);
    world.run_for(Duration::from_secs(3));
    Stage { world, publisher, subscriber, track }
}

impl Stage {
    fn want(&mut self, fps: u32, quality: Quality) {
        let peer = self.world[self.subscriber].id;
        let setting = TrackSetting { fps, quality, ..TrackSetting::default() };
        self.world.command(Command::TrackSetting { peer, track: self.track, setting });
    }

    /// What is decoded in the two seconds after the change has settled.
    fn settled(&mut self) -> Vec<Frame> {
        self.world.run_for(Duration::from_millis(1500));
        let from = self.world.now;
        self.world.run_for(Duration::from_secs(2));
        let frames = &self.world.reception(self.subscriber, self.track).frames;
        frames.iter().filter(|frame| frame.at > from).cloned().collect()
    }

    fn assert_whole(&self) {
        self.world.assert_flawless();
        let reception = self.world.reception(self.subscriber, self.track);
        assert_eq!(reception.abandoned, 0, "no gap in the numbers");
    }
}

#[test]
fn as_many_frames_come_as_are_wanted() {
    let mut stage = stage(1, Source::vp8());
    for (fps, frames) in [(0, 40), (10, 20), (5, 10), (20, 40), (4, 10), (10, 20), (30, 40)] {
        stage.want(fps, Quality::High);
        let came = stage.settled().len();
        assert!(came.abs_diff(frames) <= 1, "{came} frames in 2 s for {fps} a second");
    }
    stage.assert_whole();
    let keys = stage.world[stage.publisher].publications[0].encodings[0].key_frames;
    assert!(keys <= 2, "no key frame is asked for to change the frame rate: {keys}");
}

#[test]
fn layers_and_frame_rates_change_together() {
    let mut stage = stage(2, Source::simulcast());
    let qualities = [Quality::Low, Quality::Medium, Quality::High];
    for (round, fps) in [10, 5, 20, 5, 10, 0, 5].into_iter().enumerate() {
        let layer = round % 3;
        stage.want(fps, qualities[layer]);
        let frames = stage.settled();
        let expected = if fps == 0 { 40 } else { fps as usize * 2 };
        assert!(frames.len().abs_diff(expected) <= 1, "{} frames for {fps} a second", frames.len());
        assert!(frames.iter().all(|frame| usize::from(frame.stamp.layer) == layer));
    }
    stage.assert_whole();
}

/// What is lost on the way down is repaired by number, though the numbers have been closed up.
#[test]
fn repairs_find_their_packets_among_frames_left_out() {
    let mut stage = stage(3, Source::vp8());
    stage.want(10, Quality::High);
    stage.settled();
    stage.world.line(stage.subscriber).down = Path { loss: 0.1, ..Path::clean() };
    stage.world.run_for(Duration::from_secs(10));
    stage.world.line(stage.subscriber).down = Path::clean();
    let came = stage.settled().len();
    assert!(came.abs_diff(20) <= 1);
    let reception = stage.world.reception(stage.subscriber, stage.track);
    assert!(reception.repaired > 15, "{} repairs", reception.repaired);
    assert!(reception.frames.len() > 120);
    stage.world.assert_flawless();
}

/// What is lost on the way up comes late; it must not bring back a part of a frame that was left out.
#[test]
fn late_packets_of_frames_left_out_stay_out() {
    let mut stage = stage(4, Source::vp8());
    stage.want(5, Quality::High);
    stage.settled();
    stage.world.line(stage.publisher).up = Path { loss: 0.1, ..Path::clean() };
    stage.world.run_for(Duration::from_secs(10));
    stage.world.line(stage.publisher).up = Path::clean();
    let frames = stage.settled();
    assert!(frames.len().abs_diff(10) <= 1);
    let reception = stage.world.reception(stage.subscriber, stage.track);
    // A frame that was lost as a whole and is left out when it comes late leaves its picture id open.
    assert!(reception.faults.iter().all(|fault| fault.contains("picture id")), "{:#?}", reception.faults);
    assert_eq!(reception.abandoned, 0, "nobody waits for what is left out");
}

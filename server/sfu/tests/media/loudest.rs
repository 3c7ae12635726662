//! A room with many open microphones: everybody gets the loudest six, and a voice that comes back begins without a gap.

use crate::harness::peer::Client;
use crate::harness::send::Source;
use crate::harness::world::{Handle, World};
use sfu::{Command, RoomId, TrackId};
use std::time::{Duration, Instant};

const ROOM: RoomId = RoomId(1);

struct Assembly {
    world: World,
    listener: Handle,
    people: Vec<Handle>,
    tracks: Vec<TrackId>,
}

/// So many people with an open microphone, all quiet, and one who listens to all of them.
fn assembly(seed: u64, people: usize, always: Option<usize>) -> Assembly {
    let mut world = World::new(seed);
    let client = Client { audios: 0, videos: 0, ..Client::chromium() };
    let people: Vec<Handle> = (0..people).map(|_| world.join(ROOM, client.clone())).collect();
    let listener = world.join(ROOM, Client { audios: people.len(), ..Client::chromium() });
    let everybody: Vec<Handle> = world.handles().collect();
    world.connect(&everybody);
    let mut tracks = Vec::new();
    for (who, person) in people.iter().enumerate() {
        let (track, command) = world.prepare(*person, Source::Opus { red: false, level: 70 }, false);
        let Command::AddTrack { peer, track: id, mut description } = command else { unreachable!() };
        description.always_heard = always == Some(who);
        world.command(Command::AddTrack { peer, track: id, description });
        world.offer(*person);
        world.subscribe(listener, track);
        tracks.push(track);
    }
    world.run_for(Duration::from_secs(1));
    Assembly { world, listener, people, tracks }
}

impl Assembly {
    fn speak(&mut self, who: usize, level: u8) {
        self.world[self.people[who]].publications[0].level = level;
    }

    /// Whose sound arrived since then.
    fn heard(&self, since: Instant) -> Vec<usize> {
        let came = |track: &TrackId| {
            self.world[self.listener]
                .receptions
                .get(track)
                .is_some_and(|reception| reception.audio.iter().any(|packet| packet.at > since))
        };
        (0..self.tracks.len()).filter(|who| came(&self.tracks[*who])).collect()
    }

    fn heard_now(&mut self) -> Vec<usize> {
        self.world.run_for(Duration::from_millis(1500));
        let since = self.world.now;
        self.world.run_for(Duration::from_millis(500));
        self.heard(since)
    }
}

#[test]
fn up_to_twelve_are_all_heard() {
    let mut room = assembly(1, 12, None);
    assert_eq!(room.heard_now().len(), 12);
    room.world.assert_flawless();
}

#[test]
fn the_loudest_six_are_heard_and_voices_come_back_without_a_gap() {
    let mut room = assembly(2, 16, None);
    for who in [1, 4, 6, 9, 10, 15] {
        room.speak(who, 30);
    }
    assert_eq!(room.heard_now(), [1, 4, 6, 9, 10, 15]);
    for _ in 0..3 {
        room.speak(4, 70);
        room.speak(0, 30);
        assert_eq!(room.heard_now(), [0, 1, 6, 9, 10, 15]);
        room.speak(0, 70);
        room.speak(4, 30);
        assert_eq!(room.heard_now(), [1, 4, 6, 9, 10, 15]);
    }
    room.world.assert_flawless();
    for reception in room.world[room.listener].receptions.values() {
        assert_eq!((reception.abandoned, reception.duplicates), (0, 0), "a browser would call a gap loss");
    }
    // Sound keeps its own time: the pause is as long as it was.
    let packets = &room.world.reception(room.listener, room.tracks[4]).audio;
    let (first, last) = (&packets[0], &packets[packets.len() - 1]);
    let shown = f64::from(last.timestamp.wrapping_sub(first.timestamp)) / 48_000.0;
    assert!(((last.at - first.at).as_secs_f64() - shown).abs() < 0.1);
}

#[test]
fn sound_that_is_always_heard_takes_nobodys_place() {
    let mut room = assembly(3, 16, Some(2));
    for who in [1, 4, 6, 9, 10, 15] {
        room.speak(who, 30);
    }
    assert_eq!(room.heard_now(), [1, 2, 4, 6, 9, 10, 15]);
}

#[test]
fn a_muted_voice_leaves_its_place_to_another() {
    let mut room = assembly(4, 14, None);
    for who in 0..6 {
        room.speak(who, 30);
    }
    assert_eq!(room.heard_now(), [0, 1, 2, 3, 4, 5]);
    room.speak(9, 40);
    room.world.command(Command::Mute { track: room.tracks[3], muted: true });
    assert!(room.heard_now().contains(&9));
}

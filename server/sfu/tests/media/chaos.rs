//! People do everything at any time on bad networks. When it calms down, everybody has exactly what they asked for.

use crate::harness::network::Path;
use crate::harness::peer::Client;
use crate::harness::random::Random;
use crate::harness::send::Source;
use crate::harness::world::{Handle, World};
use sfu::{Command, Event, Quality, RoomId, TrackId, TrackSetting};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

const ROOM: RoomId = RoomId(1);
const PEOPLE: u64 = 5;
const ACTIONS: u32 = 150;

#[derive(Default)]
struct Published {
    muted: bool,
    blocked: bool,
}

/// What the signalling would know.
struct Stage {
    world: World,
    random: Random,
    people: Vec<Handle>,
    /// By publisher and position among its publications.
    tracks: BTreeMap<TrackId, (Handle, usize, Published)>,
    wanted: BTreeSet<(Handle, TrackId)>,
    disabled: BTreeSet<(Handle, TrackId)>,
    /// For messages.
    history: Vec<String>,
}

impl Stage {
    fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        let bound = from.len() as u64;
        (bound > 0).then(|| from[self.random.below(bound) as usize].clone())
    }

    fn act(&mut self) {
        let people = self.people.clone();
        let person = self.pick(&people).expect("people");
        let tracks: Vec<TrackId> = self.tracks.keys().copied().collect();
        let action = self.random.below(16);
        self.history.push(format!("{:?} action {action} of {person:?}", self.world.elapsed()));
        match action {
            0 | 1 if self.world[person].publications.len() < 4 => {
                let sources = [Source::opus(), Source::vp8(), Source::simulcast(), Source::simulcast()];
                let source = self.pick(&sources).expect("a source");
                let position = self.world[person].publications.len();
                let track = self.world.publish(person, source);
                self.tracks.insert(track, (person, position, Published::default()));
            }
            2 => {
                let own = self.tracks.iter().filter(|(_, (publisher, _, _))| *publisher == person);
                let last = own.max_by_key(|(_, (_, position, _))| *position).map(|(track, _)| *track);
                if let Some(track) = last {
                    self.unpublish(person, track);
                }
            }
            3..=6 => {
                if let Some(track) = self.pick(&tracks).filter(|track| self.tracks[track].0 != person) {
                    self.world.subscribe(person, track);
                    self.wanted.insert((person, track));
                }
            }
            7 => {
                let wanted: Vec<_> = self.wanted.iter().copied().collect();
                if let Some((person, track)) = self.pick(&wanted) {
                    self.world.unsubscribe(person, track);
                    self.wanted.remove(&(person, track));
                    self.disabled.remove(&(person, track));
                }
            }
            8 | 9 => {
                if let Some(track) = self.pick(&tracks) {
                    let blocking = self.random.below(2) == 0;
                    let (_, _, state) = self.tracks.get_mut(&track).expect("a track");
                    let command = if blocking {
                        state.blocked = !state.blocked;
                        Command::Block { track, blocked: state.blocked }
                    } else {
                        state.muted = !state.muted;
                        Command::Mute { track, muted: state.muted }
                    };
                    self.world.command(command);
                }
            }
            10..=12 => {
                let wanted: Vec<_> = self.wanted.iter().copied().collect();
                if let Some((person, track)) = self.pick(&wanted) {
                    let disabled = self.random.below(4) == 0;
                    let qualities = [Quality::Low, Quality::Medium, Quality::High];
                    let quality = self.pick(&qualities).expect("a quality");
                    let setting = TrackSetting { disabled, quality, ..TrackSetting::default() };
                    let peer = self.world[person].id;
                    self.world.command(Command::TrackSetting { peer, track, setting });
                    if disabled {
                        self.disabled.insert((person, track));
                    } else {
                        self.disabled.remove(&(person, track));
                    }
                }
            }
            13 => {
                self.world.with(person, |peer, _| peer.restart_ice());
                self.world.offer(person);
            }
            14 => {
                let port = 1024 + self.random.below(60_000) as u16;
                let host = self.random.below(200) as u8;
                self.world.move_peer(person, SocketAddr::from(([203, 0, 113, host], port)));
            }
            _ => {
                self.world.offer(person);
            }
        }
    }

    fn unpublish(&mut self, person: Handle, track: TrackId) {
        let position = self.tracks.remove(&track).expect("a track").1;
        self.world.with(person, |peer, _| peer.unpublish(position));
        self.world.offer(person);
        self.world.command(Command::RemoveTrack { track });
        self.wanted.retain(|(_, wanted)| *wanted != track);
        self.disabled.retain(|(_, disabled)| *disabled != track);
    }

    /// Nothing of what is held, switched off or not asked for goes to anybody.
    fn check_silence(&mut self, length: Duration) {
        let since = self.world.now;
        self.world.run_for(length);
        for (track, (_, _, state)) in &self.tracks {
            for person in &self.people {
                let off = state.muted
                    || state.blocked
                    || !self.wanted.contains(&(*person, *track))
                    || self.disabled.contains(&(*person, *track));
                if off {
                    let sent = self.world.sent_of(*person, *track, since);
                    assert_eq!(sent, 0, "{track:?} to {person:?}; {:?}", self.history.last());
                }
            }
        }
    }
}

fn play(seed: u64) {
    let mut world = World::new(seed);
    let people: Vec<Handle> = (0..PEOPLE)
        .map(|number| {
            let base = if number % 2 == 0 { Client::chromium() } else { Client::firefox() };
            world.join(ROOM, Client { audios: 1, videos: 1, ..base })
        })
        .collect();
    world.connect(&people);
    let random = Random::new(seed ^ 0x5eed);
    let mut stage = Stage {
        world,
        random,
        people,
        tracks: BTreeMap::new(),
        wanted: BTreeSet::new(),
        disabled: BTreeSet::new(),
        history: Vec::new(),
    };
    let trouble = Path {
        delay: Duration::from_millis(20),
        jitter: Duration::from_millis(10),
        loss: 0.03,
        duplication: 0.01,
        reordering: 0.01,
        ..Path::clean()
    };
    for person in stage.people.clone() {
        stage.world.line(person).up = trouble;
        stage.world.line(person).down = trouble;
    }
    for _ in 0..ACTIONS {
        stage.act();
        let pause = Duration::from_millis(20 + stage.random.below(180));
        stage.check_silence(pause);
    }
    for person in stage.people.clone() {
        stage.world.line(person).up = Path::clean();
        stage.world.line(person).down = Path::clean();
    }
    stage.check_silence(Duration::from_secs(4));
    let since = stage.world.now;
    stage.check_silence(Duration::from_secs(2));
    let mut alive = 0;
    for (person, track) in &stage.wanted {
        let (_, _, state) = &stage.tracks[track];
        if state.muted || state.blocked || stage.disabled.contains(&(*person, *track)) {
            continue;
        }
        let reception = stage.world.reception(*person, *track);
        let frames = reception.frames.iter().filter(|frame| frame.at > since).count();
        let sounds = reception.audio.iter().filter(|packet| packet.at > since).count();
        assert!(frames >= 35 || sounds >= 95, "seed {seed}: {frames} frames, {sounds} sounds of {track:?}");
        alive += 1;
    }
    assert!(alive > 0, "seed {seed} ends with nothing to see");
    let lost = |event: &Event| matches!(event, Event::Disconnected { .. } | Event::OfferRefused { .. });
    assert_eq!(stage.world.count(lost), 0);
    stage.world.assert_flawless();
}

#[test]
fn whatever_people_do_everybody_ends_up_with_what_they_asked_for() {
    for seed in 1..=4 {
        play(seed);
    }
}

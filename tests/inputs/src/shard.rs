//! The media plane under commands in any order, checks, datagrams and time: two rooms whose clients offer what they like. What goes
//! out goes to addresses that proved themselves and to nobody else, and when everybody has gone nothing is left.

use crate::steps::{Step, read};
use crate::world::fresh_shard;
use crate::world::{attribute, signed_check};
use bytes::Bytes;
use sfu::{
    Command, DataChannel, DtlsRole, Event, Layer, MediaKind, Output, PeerId, Quality, RoomId, Shard,
    TrackDescription, TrackId, TrackSetting,
};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const PEERS: u64 = 4;
const TRACKS: u64 = 6;

pub(crate) const OFFERS: [&str; 6] = [
    include_str!("../../../server/sfu/tests/golden/offers/chromium-join.sdp"),
    include_str!("../../../server/sfu/tests/golden/offers/chromium-publish.sdp"),
    include_str!("../../../server/sfu/tests/golden/offers/chromium-subscribe.sdp"),
    include_str!("../../../server/sfu/tests/golden/offers/chromium-restart.sdp"),
    include_str!("../../../server/sfu/tests/golden/offers/firefox-publish.sdp"),
    include_str!("../../../server/sfu/tests/golden/offers/python-publish.sdp"),
];

pub(crate) fn run(history: &[u8]) {
    let mut world = World::new();
    for step in read(history).take(64) {
        world.step(step);
    }
    for peer in 0..PEERS {
        world.command(Command::Disconnect { peer: PeerId(peer) });
    }
    for track in 0..TRACKS {
        world.command(Command::RemoveTrack { track: TrackId(track) });
    }
    let left = world.shard.population();
    assert_eq!((left.peers, left.tracks, left.subscriptions), (0, 0, 0), "something is left");
}

/// What a client of this peer would know.
#[derive(Default)]
struct Known {
    offered: Option<String>,
    answered: Option<String>,
}

struct World {
    shard: Shard,
    now: Instant,
    known: HashMap<u64, Known>,
    /// Where signed checks came from.
    proven: HashSet<SocketAddr>,
}

fn place(who: u8) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 50_000 + u16::from(who % 8)))
}

impl World {
    fn new() -> Self {
        let now = Instant::now();
        // Its key is made anew for each input: a tenth of what the rest takes.
        let shard = fresh_shard(now);
        Self { shard, now, known: HashMap::new(), proven: HashSet::new() }
    }

    fn step(&mut self, step: Step<'_>) {
        let [high, low] = step.number.to_be_bytes();
        let peer = PeerId(u64::from(step.who) % PEERS);
        let track = TrackId(u64::from(low) % TRACKS);
        let on = high & 1 == 1;
        match step.kind % 18 {
            0 => {
                let role = if on { DtlsRole::Client } else { DtlsRole::Server };
                self.command(Command::Connect { peer, room: RoomId(u64::from(low % 2)), role });
            }
            1 => self.command(Command::ConnectSubscriber { peer, room: RoomId(u64::from(low % 2)) }),
            2 => {
                self.command(Command::Disconnect { peer });
                self.known.remove(&peer.0);
            }
            3 | 4 => {
                let sdp = match step.bytes {
                    [] => OFFERS[usize::from(low) % OFFERS.len()].to_owned(),
                    bytes => String::from_utf8_lossy(bytes).into_owned(),
                };
                let known = self.known.entry(peer.0).or_default();
                (known.offered, known.answered) = (Some(sdp.clone()), None);
                self.command(Command::Offer { peer, offer_id: u32::from(high), sdp });
            }
            5 => {
                let sdp = String::from_utf8_lossy(step.bytes).into_owned();
                self.command(Command::Answer { peer, offer_id: u32::from(high), sdp });
            }
            6 => self.command(Command::RestartIce { peer }),
            7 => self.command(Command::AddTrack { peer, track, description: description(step.bytes, on) }),
            8 => self.command(Command::RemoveTrack { track }),
            9 => self.command(Command::Mute { track, muted: on }),
            10 => self.command(Command::Block { track, blocked: on }),
            11 | 12 => self.command(Command::Subscribe { peer, track }),
            13 => self.command(Command::Unsubscribe { peer, track }),
            14 => {
                let setting = TrackSetting {
                    disabled: on,
                    quality: [Quality::Low, Quality::Medium, Quality::High][usize::from(high) % 3],
                    width: u32::from(step.number) * 4,
                    height: u32::from(step.number),
                    fps: u32::from(high),
                    priority: u32::from(low),
                };
                self.command(Command::TrackSetting { peer, track, setting });
                let limit = on.then(|| u64::from(step.number) * 1000);
                self.command(Command::LimitBandwidth { peer, limit });
            }
            15 => {
                let payload = Bytes::copy_from_slice(step.bytes);
                let to = (0..PEERS).map(PeerId).collect();
                self.command(Command::SendData { to, channel: DataChannel::Reliable, payload });
            }
            16 => self.datagram(peer, &step, on),
            _ => {
                self.now += Duration::from_millis(u64::from(step.number) / 4);
                self.shard.handle_timeout(self.now);
                self.drain();
            }
        }
    }

    /// A signed check of this peer's client, or what the bytes are.
    fn datagram(&mut self, peer: PeerId, step: &Step<'_>, signed: bool) {
        let from = place(step.number as u8);
        let known = self.known.get(&peer.0);
        let credentials = known.and_then(|known| {
            let (offer, answer) = (known.offered.as_deref()?, known.answered.as_deref()?);
            let names = (attribute(answer, "ice-ufrag")?, attribute(offer, "ice-ufrag")?);
            Some((format!("{}:{}", names.0, names.1), attribute(answer, "ice-pwd")?.to_owned()))
        });
        let mut datagram = match credentials {
            Some((name, password)) if signed => {
                self.proven.insert(from);
                let nominated: &[(u16, &[u8])] = &[(0x0025, &[])];
                signed_check(&name, &password, nominated)
            }
            _ => step.bytes.to_vec(),
        };
        self.shard.handle_datagram(self.now, from, &mut datagram);
        self.drain();
    }

    fn command(&mut self, command: Command) {
        self.shard.handle_command(self.now, command);
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            match self.shard.poll_output() {
                Output::Transmit(batch) => {
                    for (to, _) in batch.iter() {
                        assert!(self.proven.contains(&to), "{to} proved nothing and is sent something");
                    }
                }
                Output::Event(Event::Answer { peer, sdp, .. }) => {
                    self.known.entry(peer.0).or_default().answered = Some(sdp);
                }
                Output::Event(_) => {}
                Output::Timeout(_) => return,
            }
        }
    }
}

/// The offers' own tracks, or what the bytes say.
fn description(bytes: &[u8], audio: bool) -> TrackDescription {
    let cid = match bytes {
        [] => OFFERS[1]
            .lines()
            .find_map(|line| line.strip_prefix("a=msid:")?.split(' ').nth(1))
            .unwrap_or("cid"),
        bytes => std::str::from_utf8(bytes).unwrap_or("cid"),
    };
    let layer = |quality, width| Layer { quality, width, height: width / 2, bitrate: width * 1000 };
    TrackDescription {
        kind: if audio { MediaKind::Audio } else { MediaKind::Video },
        cid: cid.trim().to_owned(),
        stream_label: "PA_x".into(),
        track_label: "TR_x".into(),
        layers: if audio { Vec::new() } else { vec![layer(Quality::Low, 320), layer(Quality::High, 1280)] },
        codec: None,
        always_heard: false,
        encrypted: false,
    }
}

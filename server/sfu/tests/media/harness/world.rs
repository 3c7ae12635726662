//! A shard, its peers and the network between them on virtual time: nothing sleeps, time jumps from one deadline to
//! the next. The world also plays the signalling: it carries offers and answers and offers again when asked to.

use super::network::{Class, Datagram, Destination, InFlight, Ledger, Path};
use super::peer::{Client, Peer};
use super::random::Random;
use super::receive::Reception;
use super::send::Source;
use rtc_crypto::RTCCryptoProvider;
use sfu::{
    Certificate, Command, DtlsRole, Event, Layer, MediaKind, Output, PeerId, Quality, RoomId, Shard,
    ShardConfig, TrackDescription, TrackId, TrackSetting,
};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::{Index, IndexMut};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Says of one datagram whether it gets lost.
pub(crate) type Filter = Box<dyn FnMut(Instant, &[u8]) -> bool>;

/// A peer's access line.
pub(crate) struct Line {
    pub(crate) up: Path,
    pub(crate) down: Path,
    pub(crate) lose_up: Option<Filter>,
    pub(crate) lose_down: Option<Filter>,
}

/// Somebody with microphone and camera on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Participant {
    pub(crate) handle: Handle,
    pub(crate) audio: TrackId,
    pub(crate) video: TrackId,
}

/// Index of a peer in its world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Handle(usize);

pub(crate) struct World {
    pub(crate) shard: Shard,
    pub(crate) now: Instant,
    pub(crate) origin: Instant,
    pub(crate) events: Vec<(Instant, Event)>,
    pub(crate) ledger: Ledger,
    /// Offer again when the shard asks for m-lines.
    pub(crate) renegotiate: bool,
    /// Answer the server's offers.
    pub(crate) answering: bool,
    /// Everything the peers sent, when on.
    pub(crate) captured: Option<Vec<(SocketAddr, Vec<u8>)>>,
    pub(crate) random: Random,
    /// Called with `true` before and `false` after the shard works for an RTP packet (the allocation test counts
    /// in between).
    pub(crate) meter: fn(bool),
    peers: Vec<Peer>,
    lines: Vec<Line>,
    addresses: HashMap<SocketAddr, Handle>,
    network: InFlight,
    shard_timeout: Option<Instant>,
    reoffers: Vec<Handle>,
    answers: Vec<Command>,
    next_offer_id: u32,
    next_track: u64,
    next_token: u32,
    provider: Arc<dyn RTCCryptoProvider>,
}

pub(crate) const SERVER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1)), 7880);

/// More turns than this without time moving on is a timer that never fires off.
const TURNS_PER_INSTANT: u32 = 20_000;

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time; never read again")]
        let origin = Instant::now();
        let mut random = Random::new(seed);
        let mut shard_seed = [0; 32];
        random.fill(&mut shard_seed);
        let shard = Shard::new(ShardConfig {
            index: 0,
            now: origin,
            seed: shard_seed,
            certificate: Certificate::generate().expect("a certificate"),
            tcp_candidates: Vec::new(),
            candidates: vec![SERVER],
        })
        .expect("a shard");
        Self {
            shard,
            now: origin,
            origin,
            events: Vec::new(),
            ledger: Ledger::default(),
            renegotiate: true,
            answering: true,
            captured: None,
            random,
            meter: |_| {},
            peers: Vec::new(),
            lines: Vec::new(),
            addresses: HashMap::new(),
            network: InFlight::default(),
            shard_timeout: None,
            reoffers: Vec::new(),
            answers: Vec::new(),
            next_offer_id: 1,
            next_track: 1,
            next_token: 1,
            provider: rtc_crypto::default_provider().expect("a crypto provider"),
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.now - self.origin
    }

    pub(crate) fn provider(&self) -> &dyn RTCCryptoProvider {
        self.provider.as_ref()
    }

    /// A participant comes in: transport, first offer, checks begin.
    pub(crate) fn join(&mut self, room: RoomId, client: Client) -> Handle {
        let handle = self.arrive(room, client);
        self.offer(handle);
        handle
    }

    /// As [`Self::join`], without the offer.
    pub(crate) fn arrive(&mut self, room: RoomId, client: Client) -> Handle {
        let (handle, peer) = self.admit(room, client, |peer| peer);
        let role = if self[handle].client.dtls.waits { DtlsRole::Client } else { DtlsRole::Server };
        self.command(Command::Connect { peer, room, role });
        handle
    }

    /// A connection on which the server offers (LiveKit protocol v0).
    pub(crate) fn arrive_subscriber(&mut self, room: RoomId, client: Client) -> Handle {
        let (handle, peer) = self.admit(room, client, Peer::answering);
        self.command(Command::ConnectSubscriber { peer, room });
        handle
    }

    fn admit(&mut self, room: RoomId, client: Client, role: fn(Peer) -> Peer) -> (Handle, PeerId) {
        let index = self.peers.len();
        let id = PeerId(room.0 << 32 | (index as u64 + 1));
        let address = SocketAddr::from(([192, 0, 2, 10 + index as u8], 50_000 + index as u16));
        let random = Random::new(self.random.next());
        let peer = Peer::new(id, room, address, client, self.origin, random, self.provider.clone());
        let handle = Handle(index);
        self.peers.push(role(peer));
        self.lines.push(Line { up: Path::clean(), down: Path::clean(), lose_up: None, lose_down: None });
        self.addresses.insert(address, handle);
        (handle, id)
    }

    pub(crate) fn offer(&mut self, handle: Handle) -> u32 {
        let offer_id = self.next_offer_id;
        self.next_offer_id += 1;
        let sdp = self[handle].offer();
        let peer = self[handle].id;
        self.command(Command::Offer { peer, offer_id, sdp });
        offer_id
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.shard.handle_command(self.now, command);
        self.drain();
        self.settle();
    }

    /// `add_track` and an offer with the new m-line.
    pub(crate) fn publish(&mut self, handle: Handle, source: Source) -> TrackId {
        let track = self.announce(handle, source, false);
        self.offer(handle);
        track
    }

    /// The new m-line (for the next offer) and `add_track`.
    pub(crate) fn announce(&mut self, handle: Handle, source: Source, encrypted: bool) -> TrackId {
        let (track, command) = self.prepare(handle, source, encrypted);
        self.command(command);
        track
    }

    /// The new m-line, and the `add_track` command for the caller to give.
    pub(crate) fn prepare(&mut self, handle: Handle, source: Source, encrypted: bool) -> (TrackId, Command) {
        let token = self.next_token;
        self.next_token += 1;
        let peer = &mut self.peers[handle.0];
        let track = TrackId(peer.room.0 << 32 | self.next_track);
        self.next_track += 1;
        let layers = match &source {
            Source::Vp8 { rids, .. } => layers(rids.len()),
            Source::Opus { .. } => Vec::new(),
        };
        let kind = match &source {
            Source::Opus { .. } => MediaKind::Audio,
            Source::Vp8 { .. } => MediaKind::Video,
        };
        let index = peer.publish(token, source);
        let description = TrackDescription {
            kind,
            cid: peer.publications[index].cid.clone(),
            stream_label: format!("PA_{}", peer.id.0),
            track_label: format!("TR_{}", track.0),
            layers,
            codec: None,
            always_heard: false,
            encrypted,
        };
        (track, Command::AddTrack { peer: peer.id, track, description })
    }

    pub(crate) fn subscribe(&mut self, handle: Handle, track: TrackId) {
        let peer = self[handle].id;
        self.command(Command::Subscribe { peer, track });
    }

    pub(crate) fn unsubscribe(&mut self, handle: Handle, track: TrackId) {
        let peer = self[handle].id;
        self.command(Command::Unsubscribe { peer, track });
    }

    pub(crate) fn want(&mut self, handle: Handle, track: TrackId, quality: Quality) {
        let peer = self[handle].id;
        let setting = TrackSetting { quality, ..TrackSetting::default() };
        self.command(Command::TrackSetting { peer, track, setting });
    }

    pub(crate) fn line(&mut self, handle: Handle) -> &mut Line {
        &mut self.lines[handle.0]
    }

    pub(crate) fn handles(&self) -> impl Iterator<Item = Handle> + use<> {
        (0..self.peers.len()).map(Handle)
    }

    pub(crate) fn token(&self, handle: Handle, publication: usize) -> u32 {
        self[handle].publications[publication].token
    }

    /// The client's socket moves to a new address; the old one receives nothing more.
    pub(crate) fn move_peer(&mut self, handle: Handle, address: SocketAddr) {
        let now = self.now;
        self.addresses.insert(address, handle);
        self[handle].move_to(now, address);
        self.settle();
    }

    /// The NAT in front of a client maps it to another address; the client does not know.
    pub(crate) fn rebind(&mut self, handle: Handle, address: SocketAddr) {
        self.addresses.insert(address, handle);
        self[handle].address = address;
    }

    /// Acts on a peer and sends what came of it.
    pub(crate) fn with<R>(&mut self, handle: Handle, act: impl FnOnce(&mut Peer, Instant) -> R) -> R {
        let now = self.now;
        let result = act(&mut self.peers[handle.0], now);
        self.settle();
        result
    }

    /// One datagram straight to the shard. Returns how many bytes it sent because of it, and to whom.
    pub(crate) fn inject(&mut self, source: SocketAddr, bytes: &[u8]) -> Vec<(SocketAddr, usize)> {
        let before = self.ledger.sent.len();
        let mut datagram = bytes.to_vec();
        self.shard.handle_datagram(self.now, source, &mut datagram);
        self.drain();
        let sent = self.ledger.sent[before..].iter().map(|sent| (sent.to, sent.length)).collect();
        self.settle();
        sent
    }

    pub(crate) fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.run(end, |_| false);
    }

    /// Runs until `done`, at most `limit`. Returns whether it came about.
    pub(crate) fn run_until(&mut self, limit: Duration, done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        self.run(end, done)
    }

    fn run(&mut self, end: Instant, mut done: impl FnMut(&Self) -> bool) -> bool {
        let mut turns = 0;
        loop {
            if done(self) {
                return true;
            }
            let next = self
                .peers
                .iter()
                .filter_map(Peer::poll_timeout)
                .chain(self.network.next_arrival())
                .chain(self.shard_timeout)
                .min()
                .map(|at| at.max(self.now));
            let Some(next) = next.filter(|at| *at <= end) else {
                self.now = end;
                return done(self);
            };
            turns = if next == self.now { turns + 1 } else { 0 };
            assert!(turns < TURNS_PER_INSTANT, "time stands still at {:?}", self.elapsed());
            self.now = next;
            self.turn();
        }
    }

    fn turn(&mut self) {
        while let Some(datagram) = self.network.take_due(self.now) {
            match datagram.destination {
                Destination::Shard => {
                    let mut bytes = datagram.bytes;
                    let metered = Class::of(&bytes) == Class::Rtp;
                    (self.meter)(metered);
                    self.shard.handle_datagram(self.now, datagram.source, &mut bytes);
                    (self.meter)(false);
                    self.drain_metered(metered);
                }
                Destination::Address(address) => {
                    if let Some(handle) = self.addresses.get(&address).copied()
                        && self[handle].address == address
                    {
                        let now = self.now;
                        self[handle].handle_datagram(now, &datagram.bytes);
                    }
                }
            }
        }
        if self.shard_timeout.is_some_and(|at| at <= self.now) {
            self.shard.handle_timeout(self.now);
            self.drain();
        }
        for index in 0..self.peers.len() {
            if self.peers[index].poll_timeout().is_some_and(|at| at <= self.now) {
                self.peers[index].handle_timeout(self.now);
            }
        }
        self.settle();
    }

    /// Everything the shard has to say, as its contract asks after each input.
    fn drain(&mut self) {
        self.drain_metered(false);
    }

    fn drain_metered(&mut self, metered: bool) {
        let mut events = Vec::new();
        loop {
            (self.meter)(metered);
            let output = self.shard.poll_output();
            (self.meter)(false);
            match output {
                Output::Transmit(batch) => {
                    for (to, bytes) in batch.iter() {
                        let handle = self.addresses.get(&to).copied();
                        let session = handle.map(|handle| handle.0 as u64);
                        self.ledger.record(self.now, to, session, bytes);
                        let Some(handle) = handle else { continue };
                        let line = &mut self.lines[handle.0];
                        if line.lose_down.as_mut().is_some_and(|lose| lose(self.now, bytes)) {
                            continue;
                        }
                        let datagram = Datagram {
                            source: SERVER,
                            destination: Destination::Address(to),
                            bytes: bytes.to_vec(),
                        };
                        self.network.send(self.now, &mut line.down, &mut self.random, datagram);
                    }
                }
                Output::Event(event) => events.push(event),
                Output::Timeout(at) => {
                    self.shard_timeout = at;
                    break;
                }
            }
        }
        for event in events {
            self.note(event);
        }
    }

    fn note(&mut self, event: Event) {
        self.events.push((self.now, event.clone()));
        match event {
            Event::Answer { peer, sdp, mid_to_track, .. } => {
                let now = self.now;
                if let Some(peer) = self.peers.iter_mut().find(|other| other.id == peer) {
                    peer.apply_answer(now, &sdp, mid_to_track);
                }
            }
            Event::Offer { peer: id, offer_id, sdp, mid_to_track } if self.answering => {
                let now = self.now;
                if let Some(peer) = self.peers.iter_mut().find(|other| other.id == id) {
                    let sdp = peer.apply_offer(now, &sdp, mid_to_track);
                    self.answers.push(Command::Answer { peer: id, offer_id, sdp });
                }
            }
            Event::MediaSections { peer, audios, videos } if self.renegotiate => {
                if let Some(index) = self.peers.iter().position(|other| other.id == peer) {
                    self.peers[index].add_receiving(audios, videos);
                    self.reoffers.push(Handle(index));
                }
            }
            _ => {}
        }
    }

    /// Sends what the peers have ready and makes the offers that are due.
    fn settle(&mut self) {
        for index in 0..self.peers.len() {
            while let Some(bytes) = self.peers[index].poll_transmit() {
                let source = self.peers[index].address;
                if let Some(captured) = &mut self.captured {
                    captured.push((source, bytes.clone()));
                }
                let line = &mut self.lines[index];
                if line.lose_up.as_mut().is_some_and(|lose| lose(self.now, &bytes)) {
                    continue;
                }
                let datagram = Datagram { source, destination: Destination::Shard, bytes };
                self.network.send(self.now, &mut line.up, &mut self.random, datagram);
            }
        }
        for answer in std::mem::take(&mut self.answers) {
            self.command(answer);
        }
        let mut rounds = 0;
        while let Some(handle) = self.reoffers.pop() {
            rounds += 1;
            assert!(rounds < 100, "the shard asks for offers without end");
            self.reoffers.retain(|other| *other != handle);
            self.offer(handle);
        }
    }

    pub(crate) fn count(&self, mut matches: impl FnMut(&Event) -> bool) -> usize {
        self.events.iter().filter(|(_, event)| matches(event)).count()
    }

    /// What happened, for a message: when, and everything but SDP. The state of each client's handshake last.
    pub(crate) fn story(&self) -> Vec<String> {
        let events = self
            .events
            .iter()
            .filter(|(_, event)| {
                !matches!(event, Event::Answer { .. } | Event::Offer { .. } | Event::Data { .. })
            })
            .map(|(at, event)| format!("{:?} {event:?}", *at - self.origin));
        let peers = self.peers.iter().map(|peer| {
            format!("{:?}: {:?}, {} checks answered", peer.id, peer.dtls.state, peer.ice.responses)
        });
        events.chain(peers).collect()
    }

    pub(crate) fn connected(&self, handle: Handle) -> bool {
        let id = self[handle].id;
        self.count(|event| *event == Event::Connected { peer: id }) == 1
    }

    /// These clients come into a room, publish microphone and camera, and everybody subscribes to everybody.
    pub(crate) fn call(&mut self, room: RoomId, clients: &[Client], camera: &Source) -> Vec<Participant> {
        let handles: Vec<Handle> = clients.iter().map(|client| self.join(room, client.clone())).collect();
        self.connect(&handles);
        let participants: Vec<Participant> = handles
            .into_iter()
            .map(|handle| Participant {
                handle,
                audio: self.publish(handle, Source::opus()),
                video: self.publish(handle, camera.clone()),
            })
            .collect();
        self.subscribe_all(&participants);
        participants
    }

    pub(crate) fn subscribe_all(&mut self, participants: &[Participant]) {
        for subscriber in participants {
            for publisher in participants.iter().filter(|other| other.handle != subscriber.handle) {
                self.subscribe(subscriber.handle, publisher.audio);
                self.subscribe(subscriber.handle, publisher.video);
            }
        }
    }

    pub(crate) fn reception(&self, handle: Handle, track: TrackId) -> &Reception {
        self[handle]
            .receptions
            .get(&track)
            .unwrap_or_else(|| panic!("nothing of {track:?} came to {handle:?}"))
    }

    /// RTP of this track sent to this peer since `since`: primary and RTX SSRC together.
    pub(crate) fn sent_of(&self, handle: Handle, track: TrackId, since: Instant) -> usize {
        let ssrcs = self[handle].ssrcs_of(track);
        let address = self[handle].address;
        self.ledger
            .rtp()
            .filter(|sent| sent.at > since && sent.to == address && ssrcs.contains(&sent.ssrc))
            .count()
    }

    /// Runs until all peers have keys and the shard says they are connected.
    pub(crate) fn connect(&mut self, handles: &[Handle]) {
        let up = self.run_until(Duration::from_secs(5), |world| {
            handles.iter().all(|handle| world.connected(*handle) && world[*handle].session.is_some())
        });
        assert!(up, "peers did not connect: {:#?}", self.story());
    }

    /// No decoder of anybody stumbled and no packet was left unexplained.
    pub(crate) fn assert_flawless(&self) {
        for peer in &self.peers {
            assert_eq!(peer.undecryptable, 0, "{:?} could not decrypt", peer.id);
            for (track, reception) in &peer.receptions {
                assert!(reception.faults.is_empty(), "{:?} of {track:?}: {:#?}", peer.id, reception.faults);
            }
        }
    }
}

/// Layers as livekit-client announces them for `count` rids.
fn layers(count: usize) -> Vec<Layer> {
    [
        (Quality::Low, 320, 180, 160_000),
        (Quality::Medium, 640, 360, 450_000),
        (Quality::High, 1280, 720, 1_700_000),
    ]
    .into_iter()
    .take(count)
    .map(|(quality, width, height, bitrate)| Layer { quality, width, height, bitrate })
    .collect()
}

impl Index<Handle> for World {
    type Output = Peer;

    fn index(&self, handle: Handle) -> &Peer {
        &self.peers[handle.0]
    }
}

impl IndexMut<Handle> for World {
    fn index_mut(&mut self, handle: Handle) -> &mut Peer {
        &mut self.peers[handle.0]
    }
}

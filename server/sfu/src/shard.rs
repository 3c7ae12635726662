//! All peers of a set of rooms. Owns every table and carries out commands; what comes from the network is in
//! `receive`, what comes with time in `timers`, what comes with an offer in `negotiate`. Never knows a socket or
//! reads a clock.

use crate::counters::{Counters, Population};
use crate::dtls::{Certificate, CertificateError, Dtls, DtlsRole};
use crate::ice::{Agent, Credentials};
use crate::loudest::Loudest;
use crate::offering::Offering;
use crate::packet::ExtensionIds;
use crate::peer::{Link, Peer, SectionUse, Subscription};
use crate::random::Random;
use crate::rest::Rest;
use crate::routes::Routes;
use crate::rtp::{Kind, classify, is_rtcp};
use crate::speaker::Speakers;
use crate::timers::Timer;
use crate::transmit::{Batch, SendSlab};
use crate::uplink::{Subscriber, Track};
use crate::{
    Command, DisconnectReason, Event, MediaKind, PeerId, RoomId, TrackDescription, TrackId, TrackSetting,
    allocate, data::Data,
};
use rustc_hash::FxHashMap;
use slab::Slab;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Peers on one shard. Higher: memory; lower: joins are refused sooner.
const MAX_PEERS: usize = 8192;

/// Tracks that one peer may announce.
pub(crate) const MAX_TRACKS: usize = 32;

/// A layer that nobody wants any more is reported only after this: people scroll back.
const LOWER_AFTER: Duration = Duration::from_secs(5);

/// Shards that a program may have: what one character of an ICE fragment can tell apart.
pub const SHARDS_MAX: u8 = 64;

/// Why a shard cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("no address to receive media on was given")]
    NoCandidate,
}

/// What a shard needs from outside.
pub struct ShardConfig {
    pub now: Instant,
    /// Its number among the program's shards, below [`SHARDS_MAX`]: ICE fragments carry it, see [`crate::shard_of`].
    pub index: u8,
    /// Unguessable and never used twice: ICE passwords come from it.
    pub seed: [u8; 32],
    pub certificate: Certificate,
    /// Addresses under which clients reach the shard's UDP socket, best first.
    pub candidates: Vec<SocketAddr>,
    /// Addresses at which they can open a TCP connection for media (RFC 6544, passive), best first; what comes over it is
    /// handed to [`Shard::handle_datagram`] under an address of its own.
    pub tcp_candidates: Vec<SocketAddr>,
}

/// What the shard wants done. Ask again until [`Output::Timeout`].
pub enum Output<'a> {
    /// Send these now.
    Transmit(Batch<'a>),
    Event(Event),
    /// Nothing more; call [`Shard::handle_timeout`] then, if given.
    Timeout(Option<Instant>),
}

#[derive(Default)]
pub(crate) struct Room {
    pub(crate) peers: Vec<usize>,
    pub(crate) speakers: Speakers,
    pub(crate) loudest: Loudest,
}

/// The media plane of the rooms that live on it. One owner, one thread.
pub struct Shard {
    pub(crate) index: u8,
    pub(crate) certificate: Certificate,
    pub(crate) candidates: Vec<String>,
    pub(crate) random: Random,
    pub(crate) peers: Slab<Peer>,
    pub(crate) tracks: Slab<Track>,
    pub(crate) peer_slots: FxHashMap<PeerId, usize>,
    pub(crate) track_slots: FxHashMap<TrackId, usize>,
    pub(crate) rooms: FxHashMap<RoomId, Room>,
    /// Validated addresses only.
    pub(crate) routes: Routes,
    /// Before that no packet of an unknown source is looked at.
    pub(crate) unknown_source_at: Instant,
    pub(crate) ufrags: FxHashMap<String, usize>,
    pub(crate) slab: SendSlab,
    pub(crate) events: VecDeque<Event>,
    pub(crate) timers: BinaryHeap<Reverse<(Instant, Timer)>>,
    /// Peers whose need of m-lines must be looked at before the wake-up ends.
    pub(crate) unsettled: Vec<usize>,
    /// Sequence numbers of the NACK being written.
    pub(crate) due: Vec<u16>,
    /// What one subscriber would like to be sent, while its layers are fitted.
    pub(crate) demands: Vec<allocate::Demand>,
    pub(crate) counters: Counters,
}

impl Shard {
    /// A shard without peers.
    pub fn new(config: ShardConfig) -> Result<Self, ShardError> {
        if config.candidates.is_empty() {
            return Err(ShardError::NoCandidate);
        }
        let udp = config.candidates.into_iter().map(|address| (Transport::Udp, address));
        let tcp = config.tcp_candidates.into_iter().map(|address| (Transport::Tcp, address));
        let candidates = udp.chain(tcp).enumerate().map(|(at, (over, address))| candidate(at, over, address));
        Ok(Self {
            index: config.index,
            random: Random::new(config.seed, config.certificate.provider.clone()),
            certificate: config.certificate,
            candidates: candidates.collect(),
            peers: Slab::new(),
            tracks: Slab::new(),
            peer_slots: FxHashMap::default(),
            track_slots: FxHashMap::default(),
            rooms: FxHashMap::default(),
            routes: Routes::default(),
            unknown_source_at: config.now,
            ufrags: FxHashMap::default(),
            slab: SendSlab::default(),
            events: VecDeque::new(),
            timers: BinaryHeap::new(),
            unsettled: Vec::new(),
            due: Vec::with_capacity(64),
            demands: Vec::new(),
            counters: Counters::default(),
        })
    }

    /// Whether `address` is some peer's: a check or a packet from there proved it.
    #[must_use]
    pub fn knows(&self, address: &SocketAddr) -> bool {
        self.routes.get(address).is_some()
    }

    /// Peers connected or about to be.
    #[must_use]
    pub fn peers(&self) -> usize {
        self.peers.len()
    }

    /// What it did so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        Counters { overflowed: self.slab.dropped, ..self.counters }
    }

    /// What it holds; looks at every peer, so not for each packet.
    #[must_use]
    pub fn population(&self) -> Population {
        let subscriptions = self.peers.iter().map(|(_, peer)| peer.downlinks.len()).sum();
        Population { peers: self.peers.len(), tracks: self.tracks.len(), subscriptions }
    }

    /// One datagram from the network. It is decrypted in place.
    pub fn handle_datagram(&mut self, now: Instant, source: SocketAddr, datagram: &mut [u8]) {
        let Some(first) = datagram.first() else { return };
        match classify(*first) {
            Kind::Media if is_rtcp(datagram) => self.handle_rtcp(now, source, datagram),
            Kind::Media => {
                self.handle_rtp(now, source, datagram);
            }
            Kind::Stun => self.handle_stun(now, source, datagram),
            Kind::Dtls => self.handle_dtls(now, source, datagram),
            _ => {}
        }
    }

    /// Everything whose time has come by `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(Reverse((at, timer))) = self.timers.peek().copied() {
            if at > now {
                break;
            }
            self.timers.pop();
            match timer {
                Timer::Peer(slot) => {
                    if let Some(peer) = self.peers.get_mut(slot)
                        && peer.scheduled == Some(at)
                    {
                        peer.scheduled = None;
                        self.peer_timeout(now, slot);
                    }
                }
                Timer::Room(id) => self.evaluate_speakers(now, id),
            }
        }
    }

    /// See [`Output`].
    pub fn poll_output(&mut self) -> Output<'_> {
        while let Some(slot) = self.unsettled.pop() {
            self.ask_for_sections(slot);
        }
        if self.slab.has_batch() {
            return match self.slab.hand_out() {
                Some(batch) => Output::Transmit(batch),
                None => Output::Timeout(None),
            };
        }
        if let Some(event) = self.events.pop_front() {
            return Output::Event(event);
        }
        while let Some(Reverse((at, timer))) = self.timers.peek().copied() {
            match timer {
                Timer::Peer(slot) if self.peers.get(slot).is_none_or(|peer| peer.scheduled != Some(at)) => {
                    self.timers.pop();
                }
                _ => return Output::Timeout(Some(at)),
            }
        }
        Output::Timeout(None)
    }

    /// Carries out one command.
    pub fn handle_command(&mut self, now: Instant, command: Command) {
        match command {
            Command::Connect { peer, room, role } => self.connect(now, peer, room, Some(role)),
            Command::ConnectSubscriber { peer, room } => self.connect(now, peer, room, None),
            Command::Disconnect { peer } => {
                if let Some(slot) = self.peer_slots.get(&peer).copied() {
                    self.remove_peer(now, slot);
                }
            }
            Command::Offer { peer, offer_id, sdp } => {
                if let Some(slot) = self.peer_slots.get(&peer).copied() {
                    if let Err(error) = self.negotiate(now, slot, offer_id, &sdp) {
                        self.events.push_back(Event::OfferRefused { peer, offer_id, error });
                    }
                    self.schedule(slot);
                }
            }
            Command::Answer { peer, offer_id, sdp } => {
                if let Some(slot) = self.peer_slots.get(&peer).copied() {
                    if let Err(error) = self.accept_answer(now, slot, offer_id, &sdp) {
                        self.events.push_back(Event::OfferRefused { peer, offer_id, error });
                    }
                    self.schedule(slot);
                }
            }
            Command::RestartIce { peer } => {
                if let Some(slot) = self.peer_slots.get(&peer).copied() {
                    self.restart_ice(now, slot);
                }
            }
            Command::AddTrack { peer, track, description } => self.add_track(peer, track, description),
            Command::RemoveTrack { track } => {
                if let Some(slot) = self.track_slots.get(&track).copied() {
                    self.remove_track(slot);
                }
            }
            Command::Mute { track, muted } => self.hold(now, track, |track| track.muted = muted),
            Command::Block { track, blocked } => self.hold(now, track, |track| track.blocked = blocked),
            Command::Subscribe { peer, track } => self.subscribe(peer, track),
            Command::Unsubscribe { peer, track } => {
                if let Some(slot) = self.peer_slots.get(&peer).copied() {
                    self.unsubscribe(slot, track);
                    if let Some(track) = self.track_slots.get(&track).copied() {
                        self.retarget(now, track);
                    }
                }
            }
            Command::TrackSetting { peer, track, setting } => self.set_track(now, peer, track, setting),
            Command::LimitBandwidth { peer, limit } => {
                if let Some(slot) = self.peer_slots.get(&peer).copied() {
                    self.limit_bandwidth(now, slot, limit);
                }
            }
            Command::SendData { to, channel, payload } => {
                for id in to {
                    if let Some(slot) = self.peer_slots.get(&id).copied()
                        && let Some(peer) = self.peers.get_mut(slot)
                    {
                        peer.data.send(now, channel, &payload);
                        peer.flush(now, &mut self.slab);
                        self.schedule(slot);
                    }
                }
            }
        }
    }

    // --- peers and tracks ---------------------------------------------------------------------------------------

    /// `role`: that of a client which offers; `None`: we offer.
    fn connect(&mut self, now: Instant, id: PeerId, room: RoomId, role: Option<DtlsRole>) {
        if self.peer_slots.contains_key(&id) || self.peers.len() >= MAX_PEERS {
            return;
        }
        let credentials = self.fresh_credentials();
        let ufrag = credentials.ufrag.clone();
        let slot = self.peers.insert(Peer {
            id,
            room,
            agent: Agent::new(credentials),
            dtls: Box::new(Dtls::new(self.certificate.clone(), role.unwrap_or(DtlsRole::Server))),
            data: Box::new(match role {
                _ if room == RoomId::NOBODY => Data::trial(),
                None => Data::opening(),
                Some(_) => Data::new(),
            }),
            opener: None,
            sealer: None,
            link: Link::New,
            last_heard: now,
            session_id: self.random.u64() >> 1,
            session_version: 0,
            cname: self.random.ice_chars(16),
            offer: None,
            offering: role.is_none().then(|| Offering::new(now)),
            sections: Vec::new(),
            extensions: ExtensionIds::default(),
            tracks: Vec::new(),
            streams: FxHashMap::default(),
            subscriptions: FxHashMap::default(),
            downlinks: Slab::new(),
            downlink_slots: FxHashMap::default(),
            requested: None,
            twcc: crate::rtp::twcc::Recorder::default(),
            bandwidth: crate::bandwidth::Bandwidth::new(now),
            bandwidth_at: None,
            rest: Rest::new(),
            round_trip: None,
            report_at: now,
            media_tick_at: None,
            quality_at: None,
            quality: None,
            scheduled: None,
        });
        self.peer_slots.insert(id, slot);
        self.ufrags.insert(ufrag, slot);
        self.rooms.entry(room).or_default().peers.push(slot);
        self.schedule(slot);
    }

    pub(crate) fn fresh_credentials(&mut self) -> Credentials {
        loop {
            let credentials = Credentials::random(&mut self.random, self.index);
            if !self.ufrags.contains_key(&credentials.ufrag) {
                return credentials;
            }
        }
    }

    fn remove_peer(&mut self, now: Instant, slot: usize) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        peer.dtls.close(now);
        peer.flush(now, &mut self.slab);
        let (id, room) = (peer.id, peer.room);
        let tracks = std::mem::take(&mut peer.tracks);
        let subscribed: Vec<TrackId> = peer.subscriptions.keys().copied().collect();
        for path in peer.agent.paths() {
            if self.routes.get(path) == Some(slot) {
                self.routes.remove(path);
            }
        }
        for ufrag in peer.agent.ufrags() {
            self.ufrags.remove(ufrag);
        }
        for track in subscribed {
            self.unsubscribe(slot, track);
            if let Some(track) = self.track_slots.get(&track).copied() {
                self.retarget(now, track);
            }
        }
        for track in tracks {
            self.remove_track(track);
        }
        self.silence(id, room);
        self.peers.try_remove(slot);
        self.peer_slots.remove(&id);
        if let Some(state) = self.rooms.get_mut(&room) {
            state.peers.retain(|peer| *peer != slot);
            if state.peers.is_empty() {
                self.rooms.remove(&room);
            }
        }
    }

    pub(crate) fn lose_peer(&mut self, now: Instant, slot: usize, reason: DisconnectReason) {
        if let Some(peer) = self.peers.get(slot).map(|peer| peer.id) {
            self.remove_peer(now, slot);
            self.events.push_back(Event::Disconnected { peer, reason });
        }
    }

    /// Ends a peer whose reliable messages found no place: to lose some and go on would be a lie.
    pub fn drop_flooder(&mut self, now: Instant, peer: PeerId) {
        if let Some(slot) = self.peer_slots.get(&peer).copied() {
            self.lose_peer(now, slot, DisconnectReason::TooManyMessages);
        }
    }

    fn add_track(&mut self, peer: PeerId, id: TrackId, description: TrackDescription) {
        let Some(slot) = self.peer_slots.get(&peer).copied() else { return };
        let Some(owner) = self.peers.get_mut(slot) else { return };
        if owner.tracks.len() >= MAX_TRACKS || self.track_slots.contains_key(&id) {
            return;
        }
        let track = self.tracks.insert(Track::new(id, owner.room, peer, slot, description));
        owner.tracks.push(track);
        self.track_slots.insert(id, track);
        self.match_uplinks(slot, crate::negotiate::Answer::Given);
    }

    pub(crate) fn remove_track(&mut self, slot: usize) {
        let Some(track) = self.tracks.try_remove(slot) else { return };
        self.track_slots.remove(&track.id);
        if let Some(owner) = self.peers.get_mut(track.peer).filter(|owner| owner.id == track.publisher) {
            owner.tracks.retain(|known| *known != slot);
            owner.streams.retain(|_, stream| stream.track != slot);
            for used in &mut owner.sections {
                if *used == SectionUse::Uplink(Some(slot)) {
                    *used = SectionUse::Uplink(None);
                }
            }
        }
        for peer in self.rooms.get(&track.room).map(|room| room.peers.as_slice()).unwrap_or_default() {
            if let Some(subscriber) = self.peers.get_mut(*peer)
                && let Some(subscription) = subscriber.subscriptions.remove(&track.id)
                && let Some(downlink) = subscription.downlink
            {
                subscriber.release(downlink);
                self.unsettled.push(*peer);
            }
        }
        if !track.is_video() {
            self.close_microphone(track.id, track.room);
            self.silence(track.publisher, track.room);
        }
    }

    /// Only tracks of the same room, and never one's own.
    fn subscribe(&mut self, id: PeerId, track: TrackId) {
        let (Some(slot), Some(track_slot)) =
            (self.peer_slots.get(&id).copied(), self.track_slots.get(&track).copied())
        else {
            return;
        };
        let (Some(peer), Some(source)) = (self.peers.get_mut(slot), self.tracks.get(track_slot)) else {
            return;
        };
        if source.room != peer.room
            || source.publisher == id
            || peer.subscriptions.len() >= crate::peer::MAX_SUBSCRIPTIONS
        {
            return;
        }
        peer.subscriptions.entry(track).or_default();
        self.unsettled.push(slot);
    }

    fn unsubscribe(&mut self, slot: usize, track: TrackId) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let Some(Subscription { downlink: Some(downlink), .. }) = peer.subscriptions.remove(&track) else {
            return;
        };
        peer.release(downlink);
        if let Some(track) = self.track_slots.get(&track).and_then(|track| self.tracks.get_mut(*track)) {
            track.subscribers.retain(|subscriber| *subscriber != Subscriber { peer: slot, downlink });
        }
        self.unsettled.push(slot);
    }

    fn set_track(&mut self, now: Instant, id: PeerId, track: TrackId, setting: TrackSetting) {
        let Some(peer) = self.peer_slots.get(&id).and_then(|slot| self.peers.get_mut(*slot)) else { return };
        let Some(subscription) = peer.subscriptions.get_mut(&track) else { return };
        subscription.setting = setting;
        if let Some(downlink) = subscription.downlink.and_then(|slot| peer.downlinks.get_mut(slot)) {
            downlink.setting = setting;
        }
        // The new wish is fitted into the path before anything of it is sent.
        if peer.bandwidth_at.is_some() {
            peer.bandwidth_at = Some(now);
        }
        if let Some(track) = self.track_slots.get(&track).copied() {
            self.retarget(now, track);
        }
        if let Some(slot) = self.peer_slots.get(&id).copied() {
            self.schedule(slot);
        }
    }

    fn hold(&mut self, now: Instant, id: TrackId, change: impl FnOnce(&mut Track)) {
        let Some(slot) = self.track_slots.get(&id).copied() else { return };
        let Some(track) = self.tracks.get_mut(slot) else { return };
        let was_held = track.is_held();
        change(track);
        let held = track.is_held();
        let (publisher, room, audio) = (track.publisher, track.room, !track.is_video());
        if held && !was_held {
            track.layers.iter_mut().for_each(crate::uplink::Layer::forget_losses);
            if audio {
                self.close_microphone(id, room);
                self.silence(publisher, room);
            }
        }
        if held != was_held {
            self.retarget(now, slot);
        }
    }

    /// Decides again which layer each subscriber of a track gets, and asks for the key frames that needs.
    pub(crate) fn retarget(&mut self, now: Instant, slot: usize) {
        let Some(track) = self.tracks.get_mut(slot) else { return };
        let live = track.live_layers(now);
        let scalable = track.scalable_stream();
        let mut keyframes = [false; crate::uplink::LAYERS];
        for at in 0..track.subscribers.len() {
            let Some(subscriber) = track.subscribers.get(at).copied() else { break };
            let Some(peer) = self.peers.get_mut(subscriber.peer) else { continue };
            let connected = peer.sealer.is_some();
            let Some(downlink) = peer.downlinks.get_mut(subscriber.downlink) else { continue };
            downlink.svc.stream = scalable;
            downlink.aim(allocate::choose(track, &downlink.setting, live, downlink.limit));
            if let Some(flag) = downlink.awaits_keyframe().and_then(|layer| keyframes.get_mut(layer))
                && connected
            {
                *flag = true;
            }
        }
        for (layer, needed) in keyframes.into_iter().enumerate() {
            if needed {
                track.request_keyframe(layer);
            }
        }
        let publisher = track.peer;
        self.tell_wanted(now, slot);
        self.poke(now, publisher);
    }

    /// Tells the publisher which layers anybody wants: more at once, less after a while.
    fn tell_wanted(&mut self, now: Instant, slot: usize) {
        let Some(track) = self.tracks.get_mut(slot).filter(|track| track.is_video() && track.mid.is_some())
        else {
            return;
        };
        let peers = &self.peers;
        let settings = track.subscribers.iter().filter_map(|subscriber| {
            Some(&peers.get(subscriber.peer)?.downlinks.get(subscriber.downlink)?.setting)
        });
        let wanted = allocate::wanted(track, settings);
        let told = track.wanted.told.unwrap_or([true; crate::uplink::LAYERS]);
        let more = wanted.iter().zip(told).any(|(wanted, told)| *wanted && !told);
        let less = wanted.iter().zip(told).any(|(wanted, told)| !*wanted && told);
        let first = track.wanted.told.is_none();
        if !less {
            track.wanted.lower_at = None;
        }
        if more || (less && track.wanted.lower_at.is_some_and(|at| at <= now)) || (first && !less) {
            track.wanted.told = Some(wanted);
            track.wanted.lower_at = None;
            self.events.push_back(Event::WantedLayers { track: track.id, wanted: allocate::named(wanted) });
        } else if less && track.wanted.lower_at.is_none() {
            track.wanted.lower_at = Some(now + LOWER_AFTER);
        }
    }
}

#[derive(Clone, Copy)]
enum Transport {
    Udp,
    Tcp,
}

/// A host candidate (RFC 8839 §5.1, RFC 6544 §4.5), best first. TCP is for those whom nothing else lets through: what is lost
/// there holds up what comes after it.
fn candidate(at: usize, over: Transport, address: SocketAddr) -> String {
    let preference = u32::from(u16::MAX).saturating_sub(u32::try_from(at).unwrap_or(0));
    let (name, kind, more) = match over {
        Transport::Udp => ("udp", 126_u32, ""),
        Transport::Tcp => ("tcp", 90, " tcptype passive"),
    };
    let priority = (kind << 24) | (preference << 8) | 255;
    let foundation = at.saturating_add(1);
    format!("candidate:{foundation} 1 {name} {priority} {} {} typ host{more}", address.ip(), address.port())
}

/// What the receive path decides the kind of a track by.
pub(crate) fn kind_of(section: &crate::sdp::Section) -> Option<MediaKind> {
    match section.kind {
        crate::sdp::SectionKind::Media(kind) => Some(kind),
        _ => None,
    }
}

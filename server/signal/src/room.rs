//! One live room: the tables, the dispatch of inputs, and the ways a message leaves.

use crate::data::ReplayCache;
use crate::effect::response;
use crate::participant::Participant;
use crate::presence::Occupancy;
use crate::sid::Sids;
use crate::track::Track;
use crate::update::RoomUpdatePacing;
use crate::{ConnectionId, Effect, Input, Now, RoomSettings};
use livekit_protocol::signal_response::Message;
use sfu::{Command, PeerId, TrackId};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Instant;

/// Bytes of the trailer that marks frames the server itself would put into an encrypted track.
const SIF_TRAILER: usize = 16;

/// LiveKit's state of one live room.
pub struct Room {
    pub(crate) now: Now,
    pub(crate) settings: RoomSettings,
    pub(crate) sid: String,
    pub(crate) sif_trailer: Vec<u8>,
    pub(crate) sids: Sids,
    /// Last number given to a peer or track.
    counter: u32,
    /// In the order they joined.
    pub(crate) participants: BTreeMap<PeerId, Participant>,
    /// The second peer of participants with two peer connections, and whose it is.
    pub(crate) subscribers: HashMap<PeerId, PeerId>,
    pub(crate) identities: HashMap<String, PeerId>,
    pub(crate) connections: HashMap<ConnectionId, PeerId>,
    pub(crate) tracks: BTreeMap<TrackId, Track>,
    pub(crate) track_sids: HashMap<String, TrackId>,
    /// The media plane's number of a backup codec, and the track it is a codec of.
    pub(crate) backups: BTreeMap<TrackId, TrackId>,
    pub(crate) replay: ReplayCache,
    pub(crate) occupancy: Occupancy,
    /// Somebody is here without media: an empty room waits.
    pub(crate) kept_open: bool,
    pub(crate) metadata: String,
    pub(crate) room_update: RoomUpdatePacing,
    effects: VecDeque<Effect>,
}

impl Room {
    /// An empty room; it ends by itself when nobody joins within `settings.empty_timeout`.
    pub fn new(now: Now, settings: RoomSettings) -> Self {
        let mut sids = Sids::new(settings.seed);
        Self {
            now,
            sid: sids.room(),
            sif_trailer: sids.bytes(SIF_TRAILER),
            sids,
            counter: 0,
            participants: BTreeMap::new(),
            subscribers: HashMap::new(),
            identities: HashMap::new(),
            connections: HashMap::new(),
            tracks: BTreeMap::new(),
            track_sids: HashMap::new(),
            backups: BTreeMap::new(),
            replay: ReplayCache::default(),
            occupancy: Occupancy::Vacant { until: now.instant + settings.empty_timeout },
            kept_open: false,
            metadata: String::new(),
            room_update: RoomUpdatePacing::Settled,
            effects: VecDeque::new(),
            settings,
        }
    }

    /// Takes one input. `now` never goes back. Drain [`Room::poll_effect`] afterwards.
    pub fn handle(&mut self, now: Now, input: Input) {
        self.now = now;
        match input {
            Input::Join { connection, grants, held, request, connections } => {
                self.join(connection, grants, held, *request, connections);
            }
            Input::Request { connection, request } => self.request(connection, request),
            Input::Closed { connection } => self.closed(connection),
            Input::Media(event) => self.media(event),
            Input::Tick => {}
            Input::MuteTrack { identity, track_sid, muted } => self.block(&identity, &track_sid, muted),
            Input::MuteSource { identity, source } => self.mute_source(&identity, source),
            Input::HoldSource { identity, source, held } => self.hold_source(&identity, source, held),
            Input::Permit { identity, can_publish, room_admin } => {
                self.permit(&identity, can_publish, room_admin);
            }
            Input::SetAttributes { identity, attributes } => self.set_attributes(&identity, &attributes),
            Input::SetMetadata { metadata } => self.set_metadata(metadata),
            Input::KeepOpen(open) => self.keep_open(open),
            Input::Remove { identity, reason } => self.expel(&identity, reason),
            Input::End { reason } => self.end(reason),
        }
        // Afterwards: what came in time for the input also came in time for the deadline.
        self.run_timers();
    }

    /// The next thing to do, oldest first.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Call [`Room::handle`] with [`Input::Tick`] at this time, if nothing else comes before.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines().min()
    }

    /// A number for a new peer or track, unique on the shard. `None` after four billion of them.
    pub(crate) fn next_number(&mut self) -> Option<u64> {
        self.counter = self.counter.checked_add(1)?;
        Some(self.settings.id.0.wrapping_shl(32) | u64::from(self.counter))
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }

    pub(crate) fn command(&mut self, command: Command) {
        let command = self.routed(command);
        self.effects.push_back(Effect::Media(command));
    }

    pub(crate) fn send_on(&mut self, connection: ConnectionId, message: Message) {
        self.effects.push_back(Effect::Send { connection, response: Box::new(response(message)) });
    }

    /// Sends to a participant; lost when its socket is.
    pub(crate) fn send(&mut self, peer: PeerId, message: Message) {
        if let Some(connection) = self.participants.get(&peer).and_then(Participant::connection) {
            self.send_on(connection, message);
        }
    }

    pub(crate) fn refresh_token(&mut self, peer: PeerId) {
        if let Some(participant) = self.participants.get(&peer)
            && let Some(connection) = participant.connection()
        {
            let grants = participant.grants.clone();
            self.effects.push_back(Effect::RefreshToken { connection, grants });
        }
    }

    pub(crate) fn peer_by_identity(&self, identity: &str) -> Option<PeerId> {
        self.identities.get(identity).copied()
    }

    pub(crate) fn track_by_sid(&self, sid: &str) -> Option<&Track> {
        self.track_sids.get(sid).and_then(|id| self.tracks.get(id))
    }

    /// The track that the media plane's number stands for, whichever codec of it.
    pub(crate) fn track_of(&self, number: TrackId) -> TrackId {
        self.backups.get(&number).copied().unwrap_or(number)
    }

    /// Every open connection with its participant, in the order they joined.
    pub(crate) fn audience(&self) -> Vec<(PeerId, ConnectionId)> {
        self.participants.values().filter_map(|p| Some((p.peer, p.connection()?))).collect()
    }
}

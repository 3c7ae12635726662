//! Random histories of two rooms with the same people in them. After every step the tables agree with each other,
//! nothing is said on a closed connection, nothing of one room shows in the other, and what is told of a
//! participant only gets newer. When everybody has left, nothing is left.

use crate::limits::{MAX_PENDING_OFFERS, MAX_TRACKS};
use crate::participant::{Socket, Transport};
use crate::presence::Occupancy;
use crate::{ConnectionId, Connections, Effect, Grants, Happening, Input, Now, Room, RoomSettings};
use livekit_protocol::signal_request::Message as Ask;
use livekit_protocol::signal_response::Message;
use livekit_protocol::simulate_scenario::Scenario;
use livekit_protocol::{
    AddTrackRequest, ConnectionSettings, DataPacket, DisconnectReason, JoinRequest, MuteTrackRequest,
    ParticipantInfo, PublishDataTrackRequest, SessionDescription, SignalRequest, SimulateScenario,
    SubscriptionPermission, SyncState, TrackInfo, TrackPermission, TrackPublishedResponse, TrackSource,
    TrackType, UpdateDataSubscription, UpdateParticipantMetadata, UpdateSubscription, UpdateTrackSettings,
    UserPacket, data_packet, update_data_subscription::Update,
};
use proptest::prelude::*;
use prost::Message as _;
use sfu::{Command, DataChannel, Event, PeerId, RoomId, Speaker, TrackId};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

const PEOPLE: [&str; 4] = ["anna", "ben", "cem", "dia"];
const CAPACITY: u32 = 3;

/// What one step does. Numbers pick among whatever exists at that moment, wherever it is.
#[derive(Clone, Debug)]
enum Step {
    Join { who: usize, auto: bool, hidden: bool, bundled: bool },
    Resume { who: usize, stale: bool, pick: usize },
    Ask { who: usize, what: usize, pick: usize, on: bool },
    Media { who: usize, what: usize, pick: usize, on: bool },
    Close { who: usize },
    Host { who: usize, what: usize, pick: usize, on: bool },
    Wait { millis: u64 },
}

fn steps() -> impl Strategy<Value = Vec<(bool, Step)>> {
    let who = 0..PEOPLE.len();
    let step = prop_oneof![
        3 => (who.clone(), any::<bool>(), prop::bool::weighted(0.15), any::<bool>())
            .prop_map(|(who, auto, hidden, bundled)| Step::Join { who, auto, hidden, bundled }),
        2 => (who.clone(), prop::bool::weighted(0.2), any::<usize>())
            .prop_map(|(who, stale, pick)| Step::Resume { who, stale, pick }),
        8 => (who.clone(), 0..18usize, any::<usize>(), any::<bool>())
            .prop_map(|(who, what, pick, on)| Step::Ask { who, what, pick, on }),
        8 => (who.clone(), 0..14usize, any::<usize>(), any::<bool>())
            .prop_map(|(who, what, pick, on)| Step::Media { who, what, pick, on }),
        1 => who.clone().prop_map(|who| Step::Close { who }),
        1 => (who, 0..8usize, any::<usize>(), any::<bool>())
            .prop_map(|(who, what, pick, on)| Step::Host { who, what, pick, on }),
        2 => prop_oneof![0..50u64, 500..6_000u64, 20_000..70_000u64].prop_map(|millis| Step::Wait { millis }),
    ];
    prop::collection::vec((any::<bool>(), step), 1..120)
}

struct World {
    start: Instant,
    elapsed: Duration,
    halls: [Hall; 2],
    connections: u64,
}

/// One room and everything anybody ever saw of it.
struct Hall {
    id: u64,
    room: Room,
    /// The connection each person used last.
    last: HashMap<usize, ConnectionId>,
    sids: HashSet<String>,
    /// Peers and tracks, present and past.
    peers: Vec<PeerId>,
    tracks: Vec<TrackId>,
    closed: HashSet<ConnectionId>,
    told: HashMap<(ConnectionId, String), ParticipantInfo>,
    ended: bool,
    /// Who joined and has not left, with their tracks, as those outside are told.
    outside: HashMap<String, HashSet<String>>,
}

fn pick<T: Clone>(from: &[T], index: usize) -> Option<T> {
    from.get(index.checked_rem(from.len())?).cloned()
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "virtual time has to start somewhere")]
    fn new() -> Self {
        let start = Instant::now();
        let hall = |id: u64| Hall {
            id,
            room: Room::new(
                Now { instant: start, unix_millis: 0 },
                RoomSettings {
                    id: RoomId(id),
                    name: "circle".into(),
                    created_unix_millis: 0,
                    seed: [u8::try_from(id).unwrap(); 32],
                    empty_timeout: Duration::from_secs(300),
                    departure_timeout: Duration::from_secs(20),
                    max_participants: CAPACITY,
                    development: true,
                    server_version: "1.13.5",
                },
            ),
            last: HashMap::new(),
            sids: HashSet::new(),
            peers: Vec::new(),
            tracks: Vec::new(),
            closed: HashSet::new(),
            told: HashMap::new(),
            ended: false,
            outside: HashMap::new(),
        };
        Self { start, elapsed: Duration::ZERO, halls: [hall(1), hall(2)], connections: 0 }
    }

    fn input(&mut self, hall: usize, input: Input) {
        let unix_millis = u64::try_from(self.elapsed.as_millis()).unwrap();
        let now = Now { instant: self.start + self.elapsed, unix_millis };
        let foreign = self.halls[1 - hall].sids.clone();
        self.halls[hall].input(now, input, &foreign);
    }

    fn wait(&mut self, millis: u64) {
        self.elapsed += Duration::from_millis(millis);
        for hall in 0..2 {
            self.input(hall, Input::Tick);
            let next = self.halls[hall].room.next_deadline();
            assert!(next.is_none_or(|at| at > self.start + self.elapsed), "a tick leaves nothing due");
        }
    }

    /// Sids of both rooms: clients say whatever they like.
    fn any_sid(&self, index: usize) -> String {
        let mut sids: Vec<String> = self.halls.iter().flat_map(|hall| hall.sids.iter().cloned()).collect();
        sids.sort();
        pick(&sids, index).unwrap_or_else(|| "TR_ghost".into())
    }

    fn any_peer(&self, index: usize) -> PeerId {
        let peers: Vec<PeerId> = self.halls.iter().flat_map(|hall| hall.peers.iter().copied()).collect();
        pick(&peers, index).unwrap_or(PeerId(index as u64))
    }

    fn any_track(&self, index: usize) -> TrackId {
        let tracks: Vec<TrackId> = self.halls.iter().flat_map(|hall| hall.tracks.iter().copied()).collect();
        pick(&tracks, index).unwrap_or(TrackId(index as u64))
    }

    fn open(&mut self, hall: usize, who: usize, hidden: bool, request: JoinRequest) {
        self.connections += 1;
        let connection = ConnectionId(self.connections);
        self.halls[hall].last.insert(who, connection);
        let grants = Grants {
            name: PEOPLE[who].into(),
            can_update_own_metadata: true,
            hidden,
            ..Grants::new(PEOPLE[who], "circle")
        };
        // Every third client is an older one.
        let connections = if connection.0.is_multiple_of(3) { Connections::Two } else { Connections::One };
        self.input(
            hall,
            Input::Join { connection, grants, held: Vec::new(), request: Box::new(request), connections },
        );
    }

    fn step(&mut self, hall: usize, step: Step) {
        match step {
            Step::Join { who, auto, hidden, bundled } => {
                let connection_settings = Some(ConnectionSettings {
                    auto_subscribe: auto,
                    auto_subscribe_data_track: Some(auto),
                    ..Default::default()
                });
                let bundle = JoinRequest {
                    add_track_requests: vec![track(who, true)],
                    publisher_offer: Some(offer(who)),
                    ..Default::default()
                };
                let base = if bundled { bundle } else { JoinRequest::default() };
                self.open(hall, who, hidden, JoinRequest { connection_settings, ..base });
            }
            Step::Resume { who, stale, pick } => {
                let own = self.halls[hall].room.peer_by_identity(PEOPLE[who]);
                let own = own.and_then(|peer| self.halls[hall].room.participants.get(&peer));
                let sid = own.map(|participant| participant.sid.clone());
                let participant_sid = sid.filter(|_| !stale).unwrap_or_else(|| self.any_sid(pick));
                let request = JoinRequest { reconnect: true, participant_sid, ..Default::default() };
                self.open(hall, who, false, request);
            }
            Step::Ask { who, what, pick, on } => {
                let Some(&connection) = self.halls[hall].last.get(&who) else { return };
                let request = SignalRequest { message: Some(self.ask(what, pick, on)) };
                self.input(hall, Input::Request { connection, request });
            }
            Step::Media { who, what, pick, on } => {
                let event = self.event(hall, who, what, pick, on);
                self.input(hall, Input::Media(event));
            }
            Step::Close { who } => {
                if let Some(&connection) = self.halls[hall].last.get(&who) {
                    self.halls[hall].closed.insert(connection);
                    self.input(hall, Input::Closed { connection });
                }
            }
            Step::Host { who, what, pick, on } => {
                let identity = PEOPLE[who].to_owned();
                let reason = DisconnectReason::ParticipantRemoved;
                match what {
                    0 => self.input(hall, Input::Remove { identity, reason }),
                    1 if pick.is_multiple_of(4) => {
                        self.input(hall, Input::End { reason: DisconnectReason::RoomDeleted });
                    }
                    _ => self.input(hall, self.decision(identity, pick, on)),
                }
            }
            Step::Wait { millis } => self.wait(millis),
        }
    }

    fn decision(&self, identity: String, pick: usize, on: bool) -> Input {
        let source = [TrackSource::Camera, TrackSource::Microphone][pick % 2];
        match pick % 7 {
            0 => Input::MuteSource { identity, source },
            1 => Input::HoldSource { identity, source, held: on },
            2 => Input::Permit { identity, can_publish: on, room_admin: !on },
            3 => Input::SetAttributes { identity, attributes: vec![("enza.role".into(), pick.to_string())] },
            4 => Input::SetMetadata { metadata: pick.to_string() },
            5 => Input::KeepOpen(on),
            _ => Input::MuteTrack { identity, track_sid: self.any_sid(pick), muted: on },
        }
    }

    fn ask(&self, what: usize, pick: usize, on: bool) -> Ask {
        let sid = self.any_sid(pick);
        match what {
            0 => Ask::Offer(offer(pick % 3)),
            1 | 2 => Ask::AddTrack(track(pick % 5, on)),
            3 | 4 => Ask::Mute(MuteTrackRequest { sid, muted: on }),
            5 => Ask::Subscription(UpdateSubscription {
                track_sids: vec![sid],
                subscribe: on,
                ..Default::default()
            }),
            6 => Ask::TrackSetting(UpdateTrackSettings {
                track_sids: vec![sid],
                disabled: on,
                ..Default::default()
            }),
            7 => Ask::SubscriptionPermission(SubscriptionPermission {
                all_participants: on,
                track_permissions: vec![TrackPermission {
                    participant_identity: PEOPLE[pick % PEOPLE.len()].into(),
                    all_tracks: pick.is_multiple_of(2),
                    track_sids: vec![sid],
                    ..Default::default()
                }],
            }),
            8 => {
                let track = Some(TrackInfo { sid: sid.clone(), ..Default::default() });
                let published = TrackPublishedResponse { cid: String::new(), track };
                Ask::SyncState(SyncState {
                    publish_tracks: if on { vec![published] } else { Vec::new() },
                    track_sids_disabled: vec![sid],
                    ..Default::default()
                })
            }
            9 => Ask::UpdateMetadata(UpdateParticipantMetadata {
                name: format!("name{pick}"),
                ..Default::default()
            }),
            10 => Ask::PublishDataTrackRequest(PublishDataTrackRequest {
                pub_handle: u32::try_from(pick % 4).unwrap(),
                name: format!("name{}", pick % 3),
                ..Default::default()
            }),
            11 => Ask::UpdateDataSubscription(UpdateDataSubscription {
                updates: vec![Update { track_sid: sid, subscribe: on, options: None }],
            }),
            12 => Ask::PingReq(Default::default()),
            13 => Ask::UpdateVideoTrack(livekit_protocol::UpdateLocalVideoTrack {
                track_sid: sid,
                width: 1,
                height: 1,
            }),
            14 => Ask::UpdateAudioTrack(livekit_protocol::UpdateLocalAudioTrack {
                track_sid: sid,
                features: vec![0],
            }),
            15 => Ask::UnpublishDataTrackRequest(livekit_protocol::UnpublishDataTrackRequest {
                pub_handle: u32::try_from(pick % 4).unwrap(),
            }),
            16 => Ask::Simulate(SimulateScenario {
                scenario: Some(match pick % 6 {
                    0 => Scenario::SpeakerUpdate(2),
                    1 => Scenario::NodeFailure(true),
                    2 => Scenario::Migration(true),
                    3 => Scenario::DisconnectSignalOnResume(true),
                    4 => Scenario::DisconnectSignalOnResumeNoMessages(true),
                    _ => Scenario::LeaveRequestFullReconnect(true),
                }),
            }),
            _ => Ask::Leave(Default::default()),
        }
    }

    /// Often about the person's own peer and tracks, as the media plane would; sometimes about anything.
    fn event(&self, hall: usize, who: usize, what: usize, pick: usize, on: bool) -> Event {
        let room = &self.halls[hall].room;
        let own = room.peer_by_identity(PEOPLE[who]);
        let peer = own.filter(|_| !pick.is_multiple_of(8)).unwrap_or_else(|| self.any_peer(pick));
        let owned = room.participants.get(&peer).and_then(|p| self::pick(&p.tracks, pick));
        let track = owned.filter(|_| !pick.is_multiple_of(7)).unwrap_or_else(|| self.any_track(pick));
        match what {
            0 | 1 => {
                let primary = room.participants.get(&peer).and_then(|p| p.subscriber).unwrap_or(peer);
                Event::Connected { peer: primary }
            }
            2 | 3 => {
                Event::Published { peer, track, mid: (pick % 9).to_string(), mime_type: "video/VP8".into() }
            }
            4 => Event::Unpublished { peer, track },
            5 if on => Event::Silent { peer },
            5 => Event::Heard { peer },
            6 if on => Event::Answer {
                peer,
                offer_id: u32::try_from(pick % 3).unwrap(),
                sdp: "answer".into(),
                mid_to_track: vec![("0".into(), self.any_track(pick))],
            },
            6 => Event::OfferRefused {
                peer,
                offer_id: u32::try_from(pick % 3).unwrap(),
                error: sfu::sdp::OfferError::NotBundled,
            },
            7 if on => {
                let subscriber = room.participants.get(&peer).and_then(|p| p.subscriber).unwrap_or(peer);
                Event::OfferUnanswered { peer: subscriber, offer_id: 0 }
            }
            7 => Event::Subscribed { peer, track: self.any_track(pick) },
            8 => Event::SubscriptionRefused { peer, track: self.any_track(pick) },
            9 => Event::Speakers {
                room: RoomId(if pick.is_multiple_of(3) {
                    3 - self.halls[hall].id
                } else {
                    self.halls[hall].id
                }),
                changed: vec![Speaker { peer, level: 0.5, active: on }],
            },
            10 => Event::ConnectionQuality { peer, quality: sfu::ConnectionQuality::Lost },
            11 if pick.is_multiple_of(4) => {
                Event::StreamState { peer, track: self.any_track(pick), paused: on }
            }
            11 => Event::WantedLayers { track, wanted: vec![(sfu::Quality::Low, on)] },
            12 if pick.is_multiple_of(3) => {
                let reason = if on {
                    sfu::DisconnectReason::ConsentExpired
                } else {
                    sfu::DisconnectReason::ClosedByPeer
                };
                Event::Disconnected { peer, reason }
            }
            12 => Event::MediaSections { peer, audios: 1, videos: 0 },
            _ => {
                let value =
                    data_packet::Value::User(UserPacket { payload: vec![1, 2], ..Default::default() });
                let sequence = u32::try_from(pick % 100).unwrap();
                let destination_identities =
                    if on { Vec::new() } else { vec![PEOPLE[pick % PEOPLE.len()].to_owned()] };
                let packet =
                    DataPacket { value: Some(value), sequence, destination_identities, ..Default::default() };
                let channel = match pick % 4 {
                    0 => DataChannel::Lossy,
                    1 => DataChannel::DataTrack,
                    _ => DataChannel::Reliable,
                };
                Event::Data { peer, channel, payload: packet.encode_to_vec().into() }
            }
        }
    }
}

fn offer(id: usize) -> SessionDescription {
    SessionDescription {
        r#type: "offer".into(),
        sdp: "offer".into(),
        id: u32::try_from(id).unwrap(),
        ..Default::default()
    }
}

fn track(number: usize, video: bool) -> AddTrackRequest {
    AddTrackRequest {
        cid: format!("cid{number}"),
        r#type: (if video { TrackType::Video } else { TrackType::Audio }).into(),
        muted: number.is_multiple_of(2),
        ..Default::default()
    }
}

impl Hall {
    fn input(&mut self, now: Now, input: Input, foreign: &HashSet<String>) {
        self.room.handle(now, input);
        while let Some(effect) = self.room.poll_effect() {
            match effect {
                Effect::Send { connection, response } => {
                    assert!(!self.closed.contains(&connection), "{response:?} on a closed connection");
                    self.check_message(connection, &response.message.expect("a message"), foreign);
                }
                Effect::Close { connection } => assert!(self.closed.insert(connection), "closed twice"),
                Effect::RefreshToken { connection, .. } => assert!(!self.closed.contains(&connection)),
                Effect::Media(command) => self.check_command(&command),
                Effect::Arrived { connection } => assert!(!self.closed.contains(&connection)),
                Effect::Departed { identity, .. }
                | Effect::Renamed { identity, .. }
                | Effect::Speaks { identity, .. } => {
                    assert!(PEOPLE.contains(&identity.as_str()));
                }
                Effect::Happened(what) => self.check_happening(&what),
                Effect::Ended => {
                    assert!(!std::mem::replace(&mut self.ended, true), "ended twice");
                    assert!(self.outside.is_empty(), "everybody left before the end");
                }
            }
        }
        self.check_tables();
    }

    fn check_message(&mut self, connection: ConnectionId, message: &Message, foreign: &HashSet<String>) {
        // These repeat what the client itself said.
        if !matches!(message, Message::RequestResponse(_) | Message::SubscriptionResponse(_)) {
            let mut ids = Vec::new();
            collect_sids(message, &mut ids);
            for sid in ids {
                assert!(!foreign.contains(&sid), "{sid} belongs to the other room: {message:?}");
                self.sids.insert(sid);
            }
        }
        let infos: Vec<&ParticipantInfo> = match message {
            Message::Update(update) => update.participants.iter().collect(),
            Message::Join(join) => join.other_participants.iter().chain(&join.participant).collect(),
            _ => Vec::new(),
        };
        for info in infos {
            if let Some(before) = self.told.insert((connection, info.sid.clone()), info.clone()) {
                assert!(before == *info || before.version < info.version, "{before:?} then {info:?}");
            }
        }
    }

    /// Everything that begins for those outside ends once, tracks before their participant.
    fn check_happening(&mut self, what: &Happening) {
        match what {
            Happening::Joined { participant } => {
                assert!(self.outside.insert(participant.sid.clone(), HashSet::new()).is_none());
            }
            Happening::Left { participant } => {
                assert!(self.outside.remove(&participant.sid).is_some_and(|tracks| tracks.is_empty()));
            }
            Happening::Published { participant, track } => {
                let tracks = self.outside.get_mut(&participant.sid).expect("joined before");
                assert!(tracks.insert(track.sid.clone()), "published twice");
            }
            Happening::Unpublished { participant, track } => {
                let tracks = self.outside.get_mut(&participant.sid).expect("joined before");
                assert!(tracks.remove(&track.sid), "ended, and never published");
            }
        }
    }

    fn check_command(&mut self, command: &Command) {
        let (peers, tracks): (Vec<PeerId>, Vec<TrackId>) = match command {
            Command::Connect { peer, room, .. } | Command::ConnectSubscriber { peer, room } => {
                assert_eq!(room.0, self.id);
                self.peers.push(*peer);
                (vec![*peer], vec![])
            }
            Command::AddTrack { peer, track, .. } => {
                self.tracks.push(*track);
                (vec![*peer], vec![*track])
            }
            Command::Disconnect { peer }
            | Command::Offer { peer, .. }
            | Command::Answer { peer, .. }
            | Command::RestartIce { peer }
            | Command::LimitBandwidth { peer, .. } => (vec![*peer], vec![]),
            Command::RemoveTrack { track } | Command::Mute { track, .. } | Command::Block { track, .. } => {
                (vec![], vec![*track])
            }
            Command::Subscribe { peer, track }
            | Command::Unsubscribe { peer, track }
            | Command::TrackSetting { peer, track, .. } => (vec![*peer], vec![*track]),
            Command::SendData { to, .. } => {
                assert!(!to.is_empty());
                (to.clone(), vec![])
            }
        };
        assert!(peers.iter().all(|peer| peer.0 >> 32 == self.id), "{command:?}");
        assert!(tracks.iter().all(|track| track.0 >> 32 == self.id), "{command:?}");
    }

    fn check_tables(&self) {
        let room = &self.room;
        assert!(room.participants.len() <= CAPACITY as usize);
        assert_eq!(room.identities.len(), room.participants.len());
        for (identity, peer) in &room.identities {
            assert_eq!(room.participants[peer].grants.identity, *identity);
        }
        let open = room.participants.values().filter(|p| matches!(p.socket, Socket::Open(_))).count();
        assert_eq!(room.connections.len(), open);
        for (connection, peer) in &room.connections {
            assert_eq!(room.participants[peer].socket, Socket::Open(*connection));
            assert!(!self.closed.contains(connection));
        }
        assert_eq!(room.tracks.len(), room.participants.values().map(|p| p.tracks.len()).sum::<usize>());
        assert_eq!(room.track_sids.len(), room.tracks.len());
        for (id, track) in &room.tracks {
            assert!(room.participants[&track.owner].tracks.contains(id));
            assert_eq!(room.track_sids[&track.info.sid], *id);
            assert_eq!(track.info.muted, track.self_muted || track.blocked);
        }
        for participant in room.participants.values() {
            assert!(participant.tracks.len() <= MAX_TRACKS && participant.offers.len() <= MAX_PENDING_OFFERS);
            assert!(participant.wishes.tracks().all(|id| room.tracks.contains_key(&id)));
            assert!(participant.data_tracks.peers().all(|peer| room.participants.contains_key(&peer)));
            assert!(
                !matches!(participant.transport, Transport::Failed { .. })
                    || participant.connection().is_none()
            );
        }
        assert_eq!(room.participants.is_empty(), room.occupancy != Occupancy::Occupied);
        if room.participants.is_empty() {
            assert!(room.replay.is_empty());
        }
    }
}

/// Every sid a message mentions, read from its printed form.
fn collect_sids(message: &Message, into: &mut Vec<String>) {
    let text = format!("{message:?}");
    for prefix in ["PA_", "TR_", "RM_"] {
        for (at, _) in text.match_indices(prefix) {
            let sid: String = text[at..].chars().take(15).collect();
            if sid.len() == 15 && sid[3..].bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                into.push(sid);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn any_history_keeps_the_rooms_in_order(steps in steps()) {
        let mut world = World::new();
        for (second, step) in steps {
            world.step(usize::from(second), step);
        }
        for hall in 0..2 {
            for (who, identity) in PEOPLE.iter().enumerate() {
                if who % 2 == 0 {
                    let connection = world.halls[hall].last.get(&who).copied();
                    let message = Some(Ask::Leave(Default::default()));
                    if let Some(connection) = connection {
                        world.input(hall, Input::Request { connection, request: SignalRequest { message } });
                    }
                }
                let reason = DisconnectReason::ParticipantRemoved;
                world.input(hall, Input::Remove { identity: (*identity).to_owned(), reason });
            }
            world.input(hall, Input::KeepOpen(false));
            let room = &world.halls[hall].room;
            prop_assert!(room.participants.is_empty() && room.identities.is_empty() && room.connections.is_empty());
            prop_assert!(room.tracks.is_empty() && room.track_sids.is_empty() && room.replay.is_empty());
        }
        world.wait(400_000);
        for hall in &world.halls {
            prop_assert!(hall.ended && hall.room.next_deadline().is_none());
        }
    }
}

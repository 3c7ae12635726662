//! A room on virtual time, with clients that only remember what they were sent and a media plane that only
//! remembers what it was told. Every story also checks what must hold in all of them.

use livekit_protocol::signal_request::Message as Ask;
use livekit_protocol::signal_response::Message;
use livekit_protocol::{
    AddTrackRequest, ConnectionSettings, JoinRequest, ParticipantInfo, SignalRequest, TrackSource, TrackType,
};
use sfu::{Command, Event, PeerId, RoomId, TrackId};
use signal::{ConnectionId, Connections, Effect, Grants, Happening, Input, Now, Room, RoomSettings};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

pub(crate) const START_UNIX_MILLIS: u64 = 1_700_000_000_000;

/// The messages of one kind among `messages`, in order.
macro_rules! all {
    ($messages:expr, $kind:ident) => {
        $messages
            .iter()
            .filter_map(|message| match message {
                livekit_protocol::signal_response::Message::$kind(inner) => Some(inner.clone()),
                _ => None,
            })
            .collect::<Vec<_>>()
    };
}

/// The one message of a kind.
macro_rules! only {
    ($messages:expr, $kind:ident) => {{
        let all = crate::stage::all!($messages, $kind);
        assert_eq!(all.len(), 1, "one {} among {:?}", stringify!($kind), $messages);
        all.into_iter().next().unwrap()
    }};
}

pub(crate) use {all, only};

#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) connection: ConnectionId,
    pub(crate) identity: String,
    pub(crate) sid: String,
    pub(crate) peer: PeerId,
}

#[derive(Clone, Debug)]
pub(crate) struct Published {
    pub(crate) id: TrackId,
    pub(crate) sid: String,
}

pub(crate) struct Stage {
    pub(crate) room: Room,
    start: Instant,
    elapsed: Duration,
    connections: u64,
    /// What the next client brings.
    pub(crate) next_connections: Connections,
    heard: HashMap<ConnectionId, Vec<Message>>,
    commands: Vec<Command>,
    pub(crate) closed: HashSet<ConnectionId>,
    pub(crate) tokens: Vec<(ConnectionId, Grants)>,
    pub(crate) ended: u32,
    /// What those outside are told.
    pub(crate) happened: Vec<Happening>,
    /// Who began to speak (true) or stopped, as the circle is told.
    pub(crate) speech: Vec<(String, bool)>,
    /// Who arrived, departed or changed their name.
    pub(crate) people: Vec<Effect>,
    /// Sources held from the start for whoever joins next.
    pub(crate) held: Vec<TrackSource>,
    told: HashMap<(ConnectionId, String), ParticipantInfo>,
}

pub(crate) fn settings(id: u64) -> RoomSettings {
    RoomSettings {
        id: RoomId(id),
        name: "circle".into(),
        created_unix_millis: START_UNIX_MILLIS,
        seed: [id as u8; 32],
        empty_timeout: Duration::from_secs(300),
        departure_timeout: Duration::from_secs(20),
        max_participants: 0,
        development: true,
        server_version: "1.13.5",
    }
}

pub(crate) fn grants(identity: &str) -> Grants {
    Grants {
        name: identity.to_uppercase(),
        can_update_own_metadata: true,
        expires_at_unix: START_UNIX_MILLIS / 1000 + 21_600,
        ..Grants::new(identity, "circle")
    }
}

pub(crate) fn request() -> JoinRequest {
    JoinRequest {
        connection_settings: Some(ConnectionSettings { auto_subscribe: true, ..Default::default() }),
        ..Default::default()
    }
}

pub(crate) fn camera(cid: &str) -> AddTrackRequest {
    AddTrackRequest {
        cid: cid.into(),
        name: "camera".into(),
        r#type: TrackType::Video.into(),
        source: TrackSource::Camera.into(),
        width: 1280,
        height: 720,
        ..Default::default()
    }
}

pub(crate) fn microphone(cid: &str) -> AddTrackRequest {
    AddTrackRequest {
        cid: cid.into(),
        name: "microphone".into(),
        r#type: TrackType::Audio.into(),
        source: TrackSource::Microphone.into(),
        ..Default::default()
    }
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with(settings(1))
    }

    #[expect(clippy::disallowed_methods, reason = "virtual time has to start somewhere")]
    pub(crate) fn with(settings: RoomSettings) -> Self {
        let start = Instant::now();
        Self {
            room: Room::new(Now { instant: start, unix_millis: START_UNIX_MILLIS }, settings),
            start,
            elapsed: Duration::ZERO,
            connections: 0,
            next_connections: Connections::One,
            heard: HashMap::new(),
            commands: Vec::new(),
            closed: HashSet::new(),
            tokens: Vec::new(),
            ended: 0,
            happened: Vec::new(),
            speech: Vec::new(),
            people: Vec::new(),
            held: Vec::new(),
            told: HashMap::new(),
        }
    }

    pub(crate) fn now(&self) -> Now {
        let passed = u64::try_from(self.elapsed.as_millis()).unwrap();
        Now { instant: self.start + self.elapsed, unix_millis: START_UNIX_MILLIS + passed }
    }

    pub(crate) fn input(&mut self, input: Input) {
        if let Input::Closed { connection } = &input {
            self.closed.insert(*connection);
        }
        self.room.handle(self.now(), input);
        while let Some(effect) = self.room.poll_effect() {
            self.carry_out(effect);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Send { connection, response } => {
                assert!(!self.closed.contains(&connection), "{response:?} sent on a closed connection");
                let message = response.message.expect("every response says something");
                self.check_versions(connection, &message);
                self.heard.entry(connection).or_default().push(message);
            }
            Effect::Close { connection } => assert!(self.closed.insert(connection), "closed once"),
            Effect::Media(command) => self.commands.push(command),
            Effect::RefreshToken { connection, grants } => {
                assert!(!self.closed.contains(&connection), "a token for a closed connection");
                self.tokens.push((connection, grants));
            }
            Effect::Arrived { .. } | Effect::Departed { .. } | Effect::Renamed { .. } => {
                self.people.push(effect);
            }
            Effect::Speaks { identity, speaks } => self.speech.push((identity, speaks)),
            Effect::Happened(what) => self.happened.push(*what),
            Effect::Ended => self.ended += 1,
        }
    }

    /// What a client is told of a participant never gets older, and says something new only with a new version.
    fn check_versions(&mut self, connection: ConnectionId, message: &Message) {
        let infos: Vec<ParticipantInfo> = match message {
            Message::Update(update) => update.participants.clone(),
            Message::Join(join) => {
                join.other_participants.iter().chain(join.participant.iter()).cloned().collect()
            }
            _ => Vec::new(),
        };
        for info in infos {
            let key = (connection, info.sid.clone());
            if let Some(before) = self.told.insert(key, info.clone()) {
                assert!(before == info || before.version < info.version, "{before:?} then {info:?}");
            }
        }
    }

    /// Lets time pass, ticking whenever the room asks for it.
    pub(crate) fn after(&mut self, duration: Duration) {
        let end = self.elapsed + duration;
        while let Some(deadline) = self.room.next_deadline() {
            let at = deadline.saturating_duration_since(self.start);
            if at > end {
                break;
            }
            self.elapsed = self.elapsed.max(at);
            self.input(Input::Tick);
            let next = self.room.next_deadline().map(|at| at.saturating_duration_since(self.start));
            assert!(next.is_none_or(|next| next > at), "a tick leaves nothing due");
        }
        self.elapsed = end;
    }

    pub(crate) fn after_millis(&mut self, millis: u64) {
        self.after(Duration::from_millis(millis));
    }

    pub(crate) fn open(&mut self, grants: Grants, request: JoinRequest) -> ConnectionId {
        self.connections += 1;
        let connection = ConnectionId(self.connections);
        let connections = self.next_connections;
        let held = std::mem::take(&mut self.held);
        self.input(Input::Join { connection, grants, held, request: Box::new(request), connections });
        connection
    }

    /// Joins and throws away nothing: the client's messages and the commands stay to be looked at.
    pub(crate) fn join_as(&mut self, grants: Grants, request: JoinRequest) -> Client {
        let identity = grants.identity.clone();
        let connection = self.open(grants, request);
        let join = self
            .heard
            .get(&connection)
            .and_then(|messages| match messages.first() {
                Some(Message::Join(join)) => Some(join.clone()),
                _ => None,
            })
            .expect("join is the first message");
        let peer = self.commands.iter().rev().find_map(|command| match command {
            Command::Connect { peer, .. } => Some(*peer),
            _ => None,
        });
        Client { connection, identity, sid: join.participant.unwrap().sid, peer: peer.unwrap() }
    }

    pub(crate) fn join(&mut self, identity: &str) -> Client {
        self.join_as(grants(identity), request())
    }

    /// Joins, brings the media up, and forgets what was said meanwhile.
    pub(crate) fn settle(&mut self, identity: &str) -> Client {
        let client = self.join(identity);
        self.media(Event::Connected { peer: client.peer });
        self.after_millis(1500); // past the data channels' grace and the room update
        self.forget();
        client
    }

    pub(crate) fn ask(&mut self, client: &Client, message: Ask) {
        let request = SignalRequest { message: Some(message) };
        self.input(Input::Request { connection: client.connection, request });
    }

    pub(crate) fn media(&mut self, event: Event) {
        self.input(Input::Media(event));
    }

    pub(crate) fn close(&mut self, client: &Client) {
        self.input(Input::Closed { connection: client.connection });
    }

    /// What the client was sent since the last call.
    pub(crate) fn heard(&mut self, client: &Client) -> Vec<Message> {
        self.heard_on(client.connection)
    }

    pub(crate) fn heard_on(&mut self, connection: ConnectionId) -> Vec<Message> {
        self.heard.remove(&connection).unwrap_or_default()
    }

    /// What the media plane was told since the last call.
    pub(crate) fn commands(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.commands)
    }

    pub(crate) fn forget(&mut self) {
        self.heard.clear();
        self.commands.clear();
        self.tokens.clear();
    }

    /// Announces a track; the media plane has not seen it yet.
    pub(crate) fn announce(&mut self, client: &Client, request: AddTrackRequest) -> Published {
        let known = self.commands.len();
        self.ask(client, Ask::AddTrack(request));
        let added = self.commands[known..].iter().find_map(|command| match command {
            Command::AddTrack { track, description, .. } => Some((*track, description.track_label.clone())),
            _ => None,
        });
        let (id, sid) = added.expect("the media plane is told of the track");
        Published { id, sid }
    }

    /// Announces a track that the media plane then finds in an offer.
    pub(crate) fn publish(&mut self, client: &Client, request: AddTrackRequest) -> Published {
        let mime_type = if request.r#type() == TrackType::Video { "video/VP8" } else { "audio/opus" };
        let track = self.announce(client, request);
        let (mid, mime_type) = ("3".to_owned(), mime_type.to_owned());
        self.media(Event::Published { peer: client.peer, track: track.id, mid, mime_type });
        track
    }
}

/// What an `update` says about one participant, the last one if there are several.
pub(crate) fn about(messages: &[Message], client: &Client) -> Option<ParticipantInfo> {
    all!(messages, Update)
        .into_iter()
        .flat_map(|update| update.participants)
        .rfind(|info| info.sid == client.sid)
}

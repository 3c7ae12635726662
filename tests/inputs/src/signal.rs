//! A room of LiveKit's clients that send whatever they like, in binary or JSON, while the media plane tells of their connections.
//! Nobody is told anything on a closed connection, no deadline stays behind, and when all have gone the room ends.

use crate::steps::{Step, read};
use livekit_protocol::{DisconnectReason, JoinRequest};
use prost::Message as _;
use sfu::{Command, DataChannel, Event, PeerId, RoomId, TrackId};
use signal::{
    ConnectionId, Connections, Effect, Frame, Grants, Input, Now, Room, RoomSettings, decode_request,
    encode_response,
};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

const PEOPLE: [&str; 4] = ["anna", "ben", "cem", "dia"];
const EMPTY: Duration = Duration::from_secs(300);

pub(crate) fn run(history: &[u8]) {
    let mut world = World::new();
    for step in read(history) {
        world.step(step);
    }
    for identity in PEOPLE {
        let reason = DisconnectReason::ParticipantRemoved;
        world.input(Input::Remove { identity: identity.into(), reason });
    }
    world.input(Input::KeepOpen(false));
    for _ in 0..8 {
        world.pass(EMPTY);
    }
    assert!(world.ended, "an empty room ends");
}

struct World {
    room: Room,
    now: Now,
    last: u64,
    newest: HashMap<usize, ConnectionId>,
    open: HashSet<ConnectionId>,
    peers: Vec<PeerId>,
    tracks: Vec<TrackId>,
    ended: bool,
}

impl World {
    fn new() -> Self {
        let now = Now { instant: Instant::now(), unix_millis: 1_700_000_000_000 };
        let settings = RoomSettings {
            id: RoomId(1),
            name: "circle".into(),
            created_unix_millis: 0,
            seed: [7; 32],
            empty_timeout: EMPTY,
            departure_timeout: Duration::from_secs(20),
            max_participants: 3,
            development: true,
            server_version: "1.13.5",
        };
        Self {
            room: Room::new(now, settings),
            now,
            last: 0,
            newest: HashMap::new(),
            open: HashSet::new(),
            peers: Vec::new(),
            tracks: Vec::new(),
            ended: false,
        }
    }

    fn step(&mut self, step: Step<'_>) {
        let who = usize::from(step.who) % PEOPLE.len();
        match step.kind % 7 {
            0 => self.join(who, &step),
            1 => self.ask(who, &Frame::Binary(bytes::Bytes::copy_from_slice(step.bytes))),
            2 => self.ask(who, &Frame::Text(String::from_utf8_lossy(step.bytes).into_owned())),
            3 => {
                if let Some(connection) = self.newest.get(&who).copied()
                    && self.open.remove(&connection)
                {
                    self.input(Input::Closed { connection });
                }
            }
            4 => {
                if let Some(event) = self.event(&step) {
                    self.input(Input::Media(event));
                }
            }
            5 => {
                let identity = PEOPLE[who].to_owned();
                let track_sid = String::from_utf8_lossy(step.bytes).into_owned();
                self.input(Input::MuteTrack { identity, track_sid, muted: step.number & 1 == 1 });
            }
            _ => self.pass(Duration::from_millis(u64::from(step.number) * 3)),
        }
    }

    fn join(&mut self, who: usize, step: &Step<'_>) {
        let Ok(request) = JoinRequest::decode(step.bytes) else { return };
        self.last += 1;
        let connection = ConnectionId(self.last);
        self.open.insert(connection);
        self.newest.insert(who, connection);
        let grants = Grants {
            name: PEOPLE[who].into(),
            can_update_own_metadata: true,
            hidden: step.number & 2 != 0,
            ..Grants::new(PEOPLE[who], "circle")
        };
        let connections = if step.number & 1 == 1 { Connections::Two } else { Connections::One };
        let request = Box::new(request);
        self.input(Input::Join { connection, grants, held: Vec::new(), request, connections });
    }

    fn ask(&mut self, who: usize, frame: &Frame) {
        let Some(connection) = self.newest.get(&who).copied().filter(|socket| self.open.contains(socket))
        else {
            return;
        };
        if let Ok(request) = decode_request(frame) {
            self.input(Input::Request { connection, request });
        }
    }

    /// What a media plane could tell, most often of somebody who is there.
    fn event(&self, step: &Step<'_>) -> Option<Event> {
        let [what, pick, ..] = step.number.to_be_bytes();
        let peer = *self.peers.get(usize::from(step.who).checked_rem(self.peers.len())?)?;
        let track = usize::from(pick).checked_rem(self.tracks.len()).and_then(|at| self.tracks.get(at));
        let track = track.copied().unwrap_or(TrackId(u64::from(pick)));
        Some(match what % 9 {
            0 => Event::Connected { peer },
            1 => Event::Published { peer, track, mid: pick.to_string(), mime_type: "video/VP8".into() },
            2 => Event::Unpublished { peer, track },
            3 => Event::Silent { peer },
            4 => Event::Heard { peer },
            5 => Event::Answer {
                peer,
                offer_id: u32::from(pick),
                sdp: "v=0\r\n".into(),
                mid_to_track: vec![("0".into(), track)],
            },
            6 => Event::Disconnected { peer, reason: sfu::DisconnectReason::ConsentExpired },
            7 => Event::Subscribed { peer, track },
            _ => Event::Data {
                peer,
                channel: [DataChannel::Reliable, DataChannel::Lossy, DataChannel::DataTrack]
                    [usize::from(pick) % 3],
                payload: bytes::Bytes::copy_from_slice(step.bytes),
            },
        })
    }

    fn pass(&mut self, time: Duration) {
        self.now.instant += time;
        self.now.unix_millis += u64::try_from(time.as_millis()).unwrap_or(0);
        self.input(Input::Tick);
        assert!(self.room.next_deadline().is_none_or(|at| at > self.now.instant), "a deadline is over");
    }

    fn input(&mut self, input: Input) {
        self.room.handle(self.now, input);
        while let Some(effect) = self.room.poll_effect() {
            match effect {
                Effect::Send { connection, response } => {
                    assert!(self.open.contains(&connection), "said on a closed connection");
                    let text = matches!(encode_response(&response, true), Frame::Text(json) if json != "{}");
                    assert!(text || response.message.is_none(), "what is said can be written down");
                }
                Effect::Close { connection } => assert!(self.open.remove(&connection), "closed twice"),
                Effect::Media(
                    Command::Connect { peer, room, .. } | Command::ConnectSubscriber { peer, room },
                ) => {
                    assert_eq!(room, RoomId(1));
                    self.peers.push(peer);
                }
                Effect::Media(Command::AddTrack { track, .. }) => self.tracks.push(track),
                Effect::Ended => self.ended = true,
                _ => {}
            }
        }
    }
}

//! A room on virtual time with people who remember what they were told.

use circle::{
    Answer, ConnectionId, Effect, Event, Identity, Input, Message, Now, Pass, Resume, Role, Room, Settings,
    State,
};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) struct Stage {
    pub(crate) room: Room,
    pub(crate) now: Now,
    connections: u64,
    requests: u64,
    inboxes: HashMap<ConnectionId, Vec<Arc<Message>>>,
    pub(crate) closed: HashSet<ConnectionId>,
    /// Everything that was said to anybody, as it goes over the wire.
    pub(crate) said: Vec<Value>,
    /// What the media side and the store were told.
    pub(crate) orders: Vec<Effect>,
}

pub(crate) fn id(name: &str) -> Identity {
    Identity::from(name)
}

pub(crate) fn pass(name: &str, role: Role) -> Pass {
    Pass { identity: id(name), name: name.to_uppercase(), role, origin: None }
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with(Settings::default())
    }

    pub(crate) fn with(settings: Settings) -> Self {
        #[expect(clippy::disallowed_methods, reason = "a test needs some Instant to start from")]
        let now = Now { instant: Instant::now(), unix_millis: 1_700_000_000_000 };
        Self {
            room: Room::new(now, "e1".into(), settings),
            now,
            connections: 0,
            requests: 0,
            inboxes: HashMap::new(),
            closed: HashSet::new(),
            said: Vec::new(),
            orders: Vec::new(),
        }
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.room.handle(self.now, input);
        while let Some(effect) = self.room.poll_effect() {
            match effect {
                Effect::Send { to, message } => {
                    let sockets: Vec<u64> = to.iter().map(|connection| connection.0).collect();
                    self.said
                        .push(json!({"to": sockets, "message": serde_json::to_value(&*message).unwrap()}));
                    for connection in to {
                        assert!(!self.closed.contains(&connection), "{message:?} after the close");
                        self.inboxes.entry(connection).or_default().push(Arc::clone(&message));
                    }
                }
                Effect::Close { connection } => {
                    assert!(self.closed.insert(connection), "closed twice");
                }
                other => self.orders.push(other),
            }
        }
    }

    pub(crate) fn after(&mut self, wait: Duration) {
        self.now.instant += wait;
        self.now.unix_millis += u64::try_from(wait.as_millis()).unwrap();
        self.input(Input::Tick);
    }

    pub(crate) fn connect(&mut self, name: &str, role: Role) -> ConnectionId {
        self.resume(name, role, None)
    }

    pub(crate) fn resume(&mut self, name: &str, role: Role, resume: Option<Resume>) -> ConnectionId {
        self.connections += 1;
        let connection = ConnectionId(self.connections);
        self.input(Input::Connect { connection, pass: pass(name, role), resume });
        connection
    }

    /// In the room with circle and media; what was said so far is forgotten.
    pub(crate) fn settle(&mut self, name: &str, role: Role) -> ConnectionId {
        let connection = self.connect(name, role);
        self.input(Input::MediaUp { pass: pass(name, role) });
        self.forget();
        connection
    }

    /// Sends a command in its JSON form; `Ok` with the revision, or the refusal's code.
    pub(crate) fn ask(&mut self, from: ConnectionId, command: Value) -> Result<u64, &'static str> {
        self.requests += 1;
        let number = self.requests;
        let mut object = command;
        object["id"] = json!(number);
        let request = circle::decode_request(&object.to_string()).expect("a command");
        self.input(Input::Request { connection: from, request });
        let answers = self.inboxes.get_mut(&from).expect("an answer");
        let found = answers.iter().position(|message| {
            matches!(&**message, Message::Answer(Answer::Ok { id, .. } | Answer::Refused { id: Some(id), .. }) if *id == number)
        });
        match &*answers.remove(found.expect("every command is answered")) {
            Message::Answer(Answer::Ok { revision, .. }) => Ok(*revision),
            Message::Answer(Answer::Refused { code, .. }) => Err(code),
            other => panic!("{other:?}"),
        }
    }

    /// Takes what this socket was told.
    pub(crate) fn heard(&mut self, connection: ConnectionId) -> Vec<Arc<Message>> {
        self.inboxes.remove(&connection).unwrap_or_default()
    }

    pub(crate) fn events(&mut self, connection: ConnectionId) -> Vec<Event> {
        let event = |message: Arc<Message>| match &*message {
            Message::Event { event, .. } => Some(event.clone()),
            Message::Answer(_) => None,
        };
        self.heard(connection).into_iter().filter_map(event).collect()
    }

    pub(crate) fn state(&mut self, connection: ConnectionId) -> State {
        let heard = self.heard(connection);
        let state = heard.iter().find_map(|message| match &**message {
            Message::Answer(Answer::State(state)) => Some((**state).clone()),
            _ => None,
        });
        state.unwrap_or_else(|| panic!("no state in {heard:?}"))
    }

    /// The code with which this socket was sent away.
    pub(crate) fn refused(&mut self, connection: ConnectionId) -> &'static str {
        assert!(self.closed.contains(&connection), "it is open");
        let heard = self.heard(connection);
        match heard.last().map(|message| &**message) {
            Some(Message::Answer(Answer::Refused { id: None, code, .. })) => code,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn orders(&mut self) -> Vec<Effect> {
        let mirrored = |order: &Effect| {
            !matches!(order, Effect::RoomMetadata(_) | Effect::Attributes { .. } | Effect::Record(_))
        };
        std::mem::take(&mut self.orders).into_iter().filter(mirrored).collect()
    }

    pub(crate) fn forget(&mut self) {
        self.inboxes.clear();
        self.orders.clear();
    }

    pub(crate) fn admitted_to_media(&self, name: &str, role: Role) -> Result<circle::Standing, &'static str> {
        self.room.standing(&pass(name, role)).map_err(circle::Refusal::code)
    }
}

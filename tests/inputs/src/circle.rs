//! A circle whose people send whatever they like as JSON, while sockets, media and time go their way. Nobody is told anything on a
//! closed socket, each command is answered once, what is said can be written down, and no deadline stays behind.

use crate::steps::{Step, read};
use circle::{
    Answer, ConnectionId, Effect, Identity, Input, Message, Now, Order, Pass, Resume, Role, Room, Settings,
    decode_request,
};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// The names of the golden commands, so that what is meant finds somebody.
const PEOPLE: [&str; 5] = ["host-1", "guest-1", "guest-2", "co-host-1", "listener-1"];
const ROLES: [Role; 5] = [Role::Host, Role::Speaker, Role::Speaker, Role::CoHost, Role::Listener];

pub(crate) fn run(history: &[u8]) {
    let now = Now { instant: Instant::now(), unix_millis: 1_700_000_000_000 };
    let room = Room::new(now, "e".into(), Settings::default());
    let mut world = World { room, now, last: 0, newest: HashMap::new(), open: HashSet::new() };
    for step in read(history) {
        world.step(step);
        assert!(world.room.people() <= PEOPLE.len());
    }
}

struct World {
    room: Room,
    now: Now,
    last: u64,
    newest: HashMap<usize, ConnectionId>,
    open: HashSet<ConnectionId>,
}

impl World {
    fn step(&mut self, step: Step<'_>) {
        let who = usize::from(step.who) % PEOPLE.len();
        let identity = Identity::from(PEOPLE[who]);
        let text = String::from_utf8_lossy(step.bytes);
        match step.kind % 9 {
            0 => self.connect(who, &step),
            1 | 2 => self.say(who, &text),
            3 => {
                if let Some(connection) = self.newest.remove(&who)
                    && self.open.remove(&connection)
                {
                    self.input(Input::Closed { connection });
                }
            }
            4 => {
                if self.room.standing(&pass(who, &text)).is_ok() {
                    self.input(Input::MediaUp { pass: pass(who, &text) });
                }
            }
            5 => self.input(Input::MediaDown { identity, for_good: step.number & 1 == 1 }),
            6 => self.input(Input::Speaks { identity, speaks: step.number & 1 == 1 }),
            7 if step.number & 1 == 1 => self.input(Input::Renamed { identity, name: text.into_owned() }),
            7 => {
                // What the operator's API takes of a body.
                if let Ok(change) = serde_json::from_slice(step.bytes) {
                    let _ = self.room.operate(self.now, Order::ChangeRoom(change));
                    self.drain(None);
                }
            }
            _ => {
                let time = Duration::from_millis(u64::from(step.number) * 7);
                self.now.instant += time;
                self.now.unix_millis += u64::from(step.number) * 7;
                self.input(Input::Tick);
                assert!(
                    self.room.next_deadline().is_none_or(|at| at > self.now.instant),
                    "a deadline is over"
                );
            }
        }
    }

    fn connect(&mut self, who: usize, step: &Step<'_>) {
        self.last += 1;
        let connection = ConnectionId(self.last);
        self.open.insert(connection);
        self.newest.insert(who, connection);
        let resume = (step.number & 1 == 1)
            .then(|| Resume { epoch: "e".into(), revision: u64::from(step.number >> 1) });
        let pass = pass(who, &String::from_utf8_lossy(step.bytes));
        self.input(Input::Connect { connection, pass, resume });
    }

    fn say(&mut self, who: usize, text: &str) {
        let Some(connection) = self.newest.get(&who).copied().filter(|socket| self.open.contains(socket))
        else {
            return;
        };
        let (input, id) = match decode_request(text) {
            Ok(request) => {
                let id = request.id;
                (Input::Request { connection, request }, Some(id))
            }
            Err(id) => (Input::Unreadable { connection, id }, id),
        };
        self.room.handle(self.now, input);
        assert_eq!(self.drain(Some((connection, id))), 1, "answered once: {text}");
    }

    fn input(&mut self, input: Input) {
        self.room.handle(self.now, input);
        self.drain(None);
    }

    /// Carries everything out; how often the question was answered.
    fn drain(&mut self, asked: Option<(ConnectionId, Option<u64>)>) -> usize {
        let mut answers = 0;
        while let Some(effect) = self.room.poll_effect() {
            match effect {
                Effect::Send { to, message } => {
                    assert!(to.iter().all(|socket| self.open.contains(socket)), "said on a closed socket");
                    assert!(serde_json::to_string(&*message).is_ok_and(|json| json.starts_with('{')));
                    if let (Some((connection, id)), Message::Answer(answer)) = (asked, &*message) {
                        let answered = match answer {
                            Answer::Ok { id, .. } => Some(*id),
                            Answer::Refused { id, .. } => *id,
                            _ => continue,
                        };
                        answers += usize::from(answered == id && to.contains(&connection));
                    }
                }
                Effect::Close { connection } => assert!(self.open.remove(&connection), "closed twice"),
                _ => {}
            }
        }
        answers
    }
}

fn pass(who: usize, name: &str) -> Pass {
    Pass { identity: Identity::from(PEOPLE[who]), name: name.to_owned(), role: ROLES[who], origin: None }
}

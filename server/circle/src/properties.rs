//! Random histories: whatever people send in whatever order, the rules of the circle hold after every input.

use crate::event::Answer;
use crate::limits::{JOURNAL_MAX, RETURN_GRACE, SEAT_KEPT};
use crate::room::Life;
use crate::{
    Action, Addressee, Command, ConnectionId, Effect, Event, HandOrder, History, Identity, Input, KeptText,
    Message, Now, Pass, Request, Resume, Role, Room, Settings, SettingsChange, Source,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

const PEOPLE: usize = 5;

#[derive(Clone, Debug)]
enum Step {
    Connect {
        person: usize,
        resume: Option<u64>,
    },
    /// The newest socket of that person commands.
    Ask {
        person: usize,
        command: Command,
    },
    Close {
        person: usize,
    },
    MediaUp {
        person: usize,
    },
    MediaDown {
        person: usize,
        for_good: bool,
    },
    Speaks {
        person: usize,
        speaks: bool,
    },
    Wait {
        millis: u64,
    },
}

fn name(person: usize) -> Identity {
    Identity::from(["host", "cora", "ann", "ben", "lis"][person % PEOPLE])
}

fn role(person: usize) -> Role {
    [Role::Host, Role::CoHost, Role::Speaker, Role::Speaker, Role::Listener][person % PEOPLE]
}

fn pass(person: usize) -> Pass {
    Pass { identity: name(person), name: "N".into(), role: role(person), origin: None }
}

fn source() -> impl Strategy<Value = Source> {
    prop_oneof![Just(Source::Microphone), Just(Source::Camera), Just(Source::Screen)]
}

fn people() -> impl Strategy<Value = Vec<Identity>> {
    prop::collection::vec((0..PEOPLE).prop_map(name), 0..4)
}

fn change() -> impl Strategy<Value = SettingsChange> {
    prop_oneof![
        Just(r#"{"locked":true}"#),
        Just(r#"{"locked":false}"#),
        Just(r#"{"lobby":"guests"}"#),
        Just(r#"{"lobby":"everybody"}"#),
        Just(r#"{"lobby":"off"}"#),
        Just(r#"{"microphones":"held"}"#),
        Just(r#"{"microphones":"free"}"#),
        Just(r#"{"screens":"hosts"}"#),
        Just(r#"{"capacity":2}"#),
        Just(r#"{"capacity":50}"#),
        Just(r#"{"agreement":["a"]}"#),
        Just(r#"{"agreement":[]}"#),
        Just(r#"{"handOver":{"rule":"co-host"}}"#),
        Just(r#"{"handOver":{"rule":"close","minutes":1}}"#),
        Just(r#"{"text":"hosts"}"#),
        Just(r#"{"history":"none"}"#),
        Just(r#"{"history":"meeting"}"#),
        Just(r#"{"history":"days","historyDays":1}"#),
        Just(r#"{"history":"days","historyDays":9}"#),
        Just(r#"{"hands":"least-spoken-first"}"#),
        Just(r#"{"hands":"in-order"}"#),
        Just(r#"{"countShown":false}"#),
        Just(r#"{"encryption":true}"#),
    ]
    .prop_map(|json| serde_json::from_str(json).unwrap())
}

fn command() -> impl Strategy<Value = Command> {
    let one = || (0..PEOPLE).prop_map(name);
    let to = prop_oneof![
        Just(Addressee::Everyone),
        Just(Addressee::Hosts),
        one().prop_map(Addressee::Participant)
    ];
    let any_role =
        prop_oneof![Just(Role::Host), Just(Role::CoHost), Just(Role::Speaker), Just(Role::Listener)];
    prop_oneof![
        (0..3_u32).prop_map(|version| Command::Agree { version }),
        Just(Command::RaiseHand),
        Just(Command::LowerHand),
        any::<bool>().prop_map(|away| Command::StepAway { away }),
        to.prop_map(|to| Command::Write { to, body: "words".into() }),
        (0..5_u64).prop_map(|text| Command::RemoveText { text }),
        Just(Command::React { reaction: "👏".into() }),
        Just(Command::Leave),
        (source(), people()).prop_map(|(source, participants)| Command::Mute { source, participants }),
        (source(), people()).prop_map(|(source, except)| Command::MuteAll { source, except }),
        (source(), people()).prop_map(|(source, participants)| Command::AskToUnmute { source, participants }),
        (one(), any_role).prop_map(|(participant, role)| Command::SetRole { participant, role }),
        people().prop_map(|participants| Command::Spotlight { participants }),
        prop::option::of(people()).prop_map(|participants| Command::LowerHands { participants }),
        people().prop_map(|participants| Command::OrderSeats { participants }),
        (one(), any::<bool>()).prop_map(|(participant, ban)| Command::Remove { participant, ban }),
        people().prop_map(|participants| Command::Admit { participants }),
        people().prop_map(|participants| Command::Decline { participants }),
        one().prop_map(|participant| Command::TellWaiting { participant, line: "line".into() }),
        change().prop_map(|set| Command::ChangeRoom { set }),
        change().prop_map(|set| Command::ChangeRoom { set }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let person = || 0..PEOPLE;
    prop_oneof![
        3 => (person(), prop::option::of(0..60_u64)).prop_map(|(person, resume)| Step::Connect { person, resume }),
        12 => (person(), command()).prop_map(|(person, command)| Step::Ask { person, command }),
        2 => person().prop_map(|person| Step::Close { person }),
        2 => person().prop_map(|person| Step::MediaUp { person }),
        1 => (person(), any::<bool>()).prop_map(|(person, for_good)| Step::MediaDown { person, for_good }),
        2 => (person(), any::<bool>()).prop_map(|(person, speaks)| Step::Speaks { person, speaks }),
        3 => (0..8_000_u64).prop_map(|millis| Step::Wait { millis }),
    ]
}

/// A room, its sockets as the outside world knows them, and everything it wanted done.
struct World {
    room: Room,
    now: Now,
    last: u64,
    newest: BTreeMap<usize, ConnectionId>,
    open: BTreeSet<ConnectionId>,
    done: Vec<Effect>,
    /// Texts on disk and until when, as the store was told.
    disk: BTreeMap<u64, u64>,
    /// Sources of people that are held, as the media side was told.
    held: BTreeSet<(Identity, Source)>,
}

impl World {
    fn new(start: Instant) -> Self {
        let now = Now { instant: start, unix_millis: 1_700_000_000_000 };
        Self {
            room: Room::new(now, "e".into(), Settings::default()),
            now,
            last: 0,
            newest: BTreeMap::new(),
            open: BTreeSet::new(),
            done: Vec::new(),
            disk: BTreeMap::new(),
            held: BTreeSet::new(),
        }
    }

    fn input(&mut self, input: Input) -> Vec<Effect> {
        let revision = self.room.revision;
        self.room.handle(self.now, input);
        let effects: Vec<Effect> = std::iter::from_fn(|| self.room.poll_effect()).collect();
        for effect in &effects {
            match effect {
                Effect::Send { to, .. } => {
                    assert!(
                        to.iter().all(|socket| self.open.contains(socket)),
                        "{effect:?} to a closed socket"
                    );
                }
                Effect::Close { connection } => assert!(self.open.remove(connection), "closed twice"),
                Effect::Hold { participant, source, held } => {
                    let key = (participant.clone(), *source);
                    if *held {
                        self.held.insert(key)
                    } else {
                        self.held.remove(&key)
                    };
                }
                Effect::KeepText(KeptText { text, until }) => {
                    assert_eq!(text.to, Addressee::Everyone, "private words are never on disk");
                    assert_eq!(self.room.settings.history, History::Days);
                    self.disk.insert(text.text, *until);
                }
                Effect::ForgetText { text } => assert!(self.disk.remove(text).is_some(), "it is there"),
                Effect::ForgetTexts => self.disk.clear(),
                Effect::ShortenTexts { millis } => {
                    // All were written a moment ago.
                    let latest = self.now.unix_millis + millis;
                    self.disk.values_mut().for_each(|until| *until = latest.min(*until));
                }
                _ => {}
            }
        }
        assert!(self.room.revision >= revision);
        self.check();
        self.done.extend(effects.iter().cloned());
        effects
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Connect { person, resume } => {
                self.last += 1;
                let connection = ConnectionId(self.last);
                self.open.insert(connection);
                let before = self.newest.insert(person, connection);
                let resume = resume.map(|revision| Resume { epoch: "e".into(), revision });
                self.input(Input::Connect { connection, pass: pass(person), resume });
                if let Some(before) = before {
                    assert!(!self.open.contains(&before), "one socket per person");
                }
            }
            Step::Ask { person, command } => self.ask(person, command),
            Step::Close { person } => {
                if let Some(connection) = self.newest.remove(&person)
                    && self.open.remove(&connection)
                {
                    self.input(Input::Closed { connection });
                }
            }
            Step::MediaUp { person } => {
                if let Ok(standing) = self.room.standing(&pass(person)) {
                    for source in [Source::Microphone, Source::Camera, Source::Screen] {
                        self.held.remove(&(name(person), source));
                    }
                    self.held.extend(standing.held.into_iter().map(|source| (name(person), source)));
                    self.input(Input::MediaUp { pass: pass(person) });
                }
            }
            Step::MediaDown { person, for_good } => {
                self.input(Input::MediaDown { identity: name(person), for_good });
            }
            Step::Speaks { person, speaks } => {
                let hands = self.room.hands.all().to_vec();
                let effects = self.input(Input::Speaks { identity: name(person), speaks });
                assert!(effects.is_empty() && self.room.hands.all() == hands, "speaking alone moves nothing");
            }
            Step::Wait { millis } => {
                self.now.instant += Duration::from_millis(millis);
                self.now.unix_millis += millis;
                self.input(Input::Tick);
                assert!(
                    self.room.next_deadline().is_none_or(|at| at > self.now.instant),
                    "a deadline is over"
                );
            }
        }
    }

    fn ask(&mut self, person: usize, command: Command) {
        let Some(&connection) = self.newest.get(&person).filter(|socket| self.open.contains(socket)) else {
            return;
        };
        let who = name(person);
        let role = self.room.participants.get(&who).map(|person| person.role);
        let before = self.room.revision;
        let effects =
            self.input(Input::Request { connection, request: Request { id: 7, command: command.clone() } });
        let answers: Vec<bool> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Send { to, message } if to.contains(&connection) => match &**message {
                    Message::Answer(Answer::Ok { id: 7, revision }) => {
                        assert_eq!(*revision, self.room.revision);
                        Some(true)
                    }
                    Message::Answer(Answer::Refused { id: Some(7), .. }) => Some(false),
                    _ => None,
                },
                _ => None,
            })
            .collect();
        assert_eq!(answers.len(), 1, "answered once: {command:?}");
        if answers[0] {
            assert!(self.room.revision > before, "an accepted command moves the revision: {command:?}");
            let records = effects.iter().filter(|effect| matches!(effect, Effect::Record(_))).count();
            let right = right(&command);
            let moderates = right.is_some() && !matches!(command, Command::Write { .. });
            let may_concern_nobody = match &command {
                Command::MuteAll { .. } | Command::LowerHands { participants: None } => true,
                Command::Mute { participants, .. }
                | Command::AskToUnmute { participants, .. }
                | Command::LowerHands { participants: Some(participants) }
                | Command::OrderSeats { participants }
                | Command::Admit { participants }
                | Command::Decline { participants } => participants.is_empty(),
                _ => false,
            };
            // Whose text it was is not known here: one's own leaves no record, another's one.
            let as_it_should_be = match &command {
                Command::RemoveText { .. } => records <= 1,
                _ => records == usize::from(moderates) || (records == 0 && may_concern_nobody),
            };
            assert!(as_it_should_be, "{records} records: {command:?}");
            assert!(
                right.is_none_or(|action| role.is_some_and(|role| role.may(action))),
                "{role:?} was obeyed: {command:?}"
            );
        } else {
            assert_eq!(self.room.revision, before, "a refusal changes nothing");
            assert_eq!(effects.len(), 1, "a refusal causes nothing: {effects:?}");
        }
    }

    /// What holds after every input.
    fn check(&self) {
        let room = &self.room;
        let inside: BTreeSet<&Identity> = room.participants.keys().collect();
        let sit = |who: &&&Identity| room.participants[**who].role.may(Action::Sit);
        let sitting: BTreeSet<&Identity> = room.seats.taken().collect();
        assert_eq!(
            sitting,
            inside.iter().filter(sit).copied().collect(),
            "everybody who may sit has one seat"
        );
        assert_eq!(room.seats.taken().count(), sitting.len());
        assert!(room.hands.all().iter().all(|hand| inside.contains(&hand.participant)));
        if room.settings.hands == HandOrder::InOrder {
            assert!(room.hands.all().is_sorted_by_key(|hand| hand.raised_at));
        }
        if room.life != Life::Ended {
            assert!(room.texts.on_disk().map(|(text, _)| text).eq(self.disk.keys().copied()));
        }
        assert!(room.spotlight.shown().iter().all(|who| inside.contains(who)));
        let sockets: BTreeMap<ConnectionId, Identity> =
            room.participants.iter().filter_map(|(who, p)| Some((p.circle?, who.clone()))).collect();
        assert_eq!(sockets, room.connections.clone().into_iter().collect(), "one socket, one person");
        let [waiting, places, by_connection] = room.lobby.counts();
        assert!(waiting == places && places == by_connection);
        assert!(
            room.lobby.everybody().all(|w| !inside.contains(&w.pass.identity)),
            "inside or before the door"
        );
        for (who, person) in &room.participants {
            assert_eq!(person.absent_since.is_none(), person.is_connected());
            assert!(person.media || person.speaks_since.is_none(), "who has no media does not speak");
            assert!(!room.memory.of(who).banned);
            if person.media {
                let told: BTreeSet<Source> =
                    self.held.iter().filter(|(held, _)| held == who).map(|(_, source)| *source).collect();
                assert_eq!(told, person.held, "the media side holds what the circle holds");
            }
            if person.role.may(Action::Unrestrained) {
                assert!(person.held.is_empty());
            }
        }
    }
}

/// The right that a command needs at least; `None`: it asks for none, or the room's rules decide.
fn right(command: &Command) -> Option<Action> {
    Some(match command {
        Command::Mute { .. } | Command::MuteAll { .. } => Action::Mute,
        Command::AskToUnmute { .. } => Action::AskToUnmute,
        Command::SetRole { role, .. } if role.may(Action::Admit) => Action::NameHosts,
        Command::SetRole { .. } => Action::MoveToListener,
        Command::Spotlight { .. } => Action::Spotlight,
        Command::LowerHands { .. } => Action::LowerHands,
        Command::OrderSeats { .. } => Action::OrderSeats,
        Command::Remove { ban: true, .. } => Action::Ban,
        Command::Remove { .. } => Action::Remove,
        Command::Admit { .. } | Command::Decline { .. } | Command::TellWaiting { .. } => Action::Admit,
        Command::ChangeRoom { .. } => Action::ChangeRoom,
        Command::Write { to: Addressee::Participant(_), .. } => Action::AnswerPrivately,
        Command::End => Action::End,
        _ => return None,
    })
}

/// Whom an event may name to whom: private words reach their addressee and those who moderate.
fn is_private(event: &Event) -> bool {
    matches!(
        event,
        Event::Knocked { .. } | Event::KnockEnded { .. } | Event::Muted { .. } | Event::Away { .. }
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_rules_hold_in_every_history(steps in prop::collection::vec(step(), 0..80)) {
        let start = start();
        let mut world = World::new(start);
        let mut twin = World::new(start);
        for step in steps {
            world.step(step.clone());
            twin.step(step);
        }
        prop_assert_eq!(&world.done, &twin.done, "same inputs, same outputs");

        for person in 0..PEOPLE {
            world.step(Step::Close { person });
            world.step(Step::MediaDown { person, for_good: true });
        }
        for wait in [RETURN_GRACE, Duration::from_secs(61), SEAT_KEPT, Duration::from_secs(1)] {
            world.step(Step::Wait { millis: u64::try_from(wait.as_millis()).unwrap() });
        }
        let room = &world.room;
        prop_assert!(!room.is_occupied() && room.connections.is_empty());
        prop_assert_eq!((room.seats.count(), room.hands.all().len(), room.spotlight.shown().len()), (0, 0, 0));
        prop_assert_eq!(room.lobby.counts(), [0, 0, 0]);
        prop_assert!(room.memory.count() <= PEOPLE);
        prop_assert!(room.next_deadline().is_none());
    }

    #[test]
    fn private_words_reach_only_whom_they_are_for(steps in prop::collection::vec(step(), 0..80)) {
        let mut world = World::new(start());
        let mut known: BTreeMap<ConnectionId, usize> = BTreeMap::new();
        for step in steps {
            if let Step::Connect { person, .. } = &step {
                known.insert(ConnectionId(world.last + 1), *person);
            }
            let (before, roles) = (world.done.len(), roles(&world.room));
            world.step(step);
            let after = self::roles(&world.room);
            for effect in &world.done[before..] {
                let Effect::Send { to, message } = effect else { continue };
                let Message::Event { event, .. } = &**message else { continue };
                for socket in to {
                    let who = name(known[socket]);
                    // A role may change within the input.
                    let moderates = [&roles, &after]
                        .iter()
                        .any(|roles| roles.get(&who).is_some_and(|role| role.may(Action::Admit)));
                    if let Event::Text { text } = event
                        && text.to != Addressee::Everyone
                    {
                        let named = text.from == who || text.to == Addressee::Participant(who.clone());
                        prop_assert!(named || moderates, "{who:?} reads {text:?}");
                    } else if is_private(event) {
                        prop_assert!(moderates || to.len() == 1, "{event:?} to {to:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn the_journal_and_the_memory_are_bounded() {
    let mut world = World::new(start());
    world.step(Step::Connect { person: 0, resume: None });
    for _ in 0..(JOURNAL_MAX * 2) {
        world.step(Step::Wait { millis: 1000 });
        world.step(Step::Ask { person: 0, command: Command::React { reaction: "👏".into() } });
    }
    let revision = world.room.revision;
    world.step(Step::Connect { person: 0, resume: Some(revision - 10) });
    let caught_up = |effect: &Effect| match effect {
        Effect::Send { message, .. } => matches!(**message, Message::Answer(Answer::CaughtUp { .. })),
        _ => false,
    };
    assert!(caught_up(world.done.last().unwrap()));
    world.step(Step::Connect { person: 0, resume: Some(10) });
    assert!(!caught_up(world.done.last().unwrap()));
    for number in 0..crate::limits::REMEMBERED_MAX * 2 {
        world
            .room
            .memory
            .note(&Identity::from(number.to_string().as_str()), |known| known.banned = number < 100);
    }
    assert_eq!(world.room.memory.count(), crate::limits::REMEMBERED_MAX);
    assert!(world.room.memory.of(&Identity::from("7")).banned, "bans are forgotten last");
}

fn roles(room: &Room) -> BTreeMap<Identity, Role> {
    room.participants.iter().map(|(who, person)| (who.clone(), person.role)).collect()
}

#[expect(clippy::disallowed_methods, reason = "a test needs some Instant to start from")]
fn start() -> Instant {
    Instant::now()
}

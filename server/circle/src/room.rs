//! The circle's tables, the dispatch of inputs, and the ways a message leaves.

use crate::allowance::Allowance;
use crate::event::Answer;
use crate::hands::Hands;
use crate::journal::{Audience, Entry, Journal};
use crate::lobby::Lobby;
use crate::memory::Memory;
use crate::participant::{Participant, Target};
use crate::seat::Seats;
use crate::spotlight::Spotlight;
use crate::text::Texts;
use crate::{
    Action, Command, ConnectionId, Effect, Event, Identity, Input, Message, Now, Order, Outsider, Refusal,
    Request, Role, Settings,
};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// Whether the circle goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Open,
    /// No host is left; it ends then.
    Closing {
        at: Instant,
        at_unix_millis: u64,
    },
    Ended,
}

/// The circle of one live room.
pub struct Room {
    pub(crate) now: Now,
    pub(crate) epoch: String,
    pub(crate) revision: u64,
    pub(crate) settings: Settings,
    pub(crate) life: Life,
    pub(crate) participants: BTreeMap<Identity, Participant>,
    pub(crate) connections: HashMap<ConnectionId, Identity>,
    pub(crate) arrivals: u64,
    /// Whose command from outside is being obeyed.
    outsider: Option<Outsider>,
    /// How fast all who command from outside may do so, together.
    outsiders: Allowance,
    pub(crate) lobby: Lobby,
    pub(crate) memory: Memory,
    pub(crate) seats: Seats,
    pub(crate) hands: Hands,
    pub(crate) spotlight: Spotlight,
    /// Who was shown when the process ended; until somebody changes it.
    pub(crate) spotlight_before: Vec<Identity>,
    pub(crate) texts: Texts,
    journal: Journal,
    /// Seats, spotlight or settings changed since LiveKit's clients were told.
    pub(crate) mirror_stale: bool,
    /// Sockets of people who are out: closed when everything is said.
    pub(crate) farewells: Vec<ConnectionId>,
    /// Whether there is a host whose leaving would be the last host's.
    pub(crate) hosted: bool,
    /// [`Effect::End`] was given.
    pub(crate) over_told: bool,
    effects: VecDeque<Effect>,
}

impl Room {
    /// An empty circle. `epoch` must differ from that of every earlier circle of this room.
    #[must_use]
    pub fn new(now: Now, epoch: String, settings: Settings) -> Self {
        Self {
            now,
            epoch,
            revision: 1,
            settings,
            life: Life::Open,
            participants: BTreeMap::new(),
            connections: HashMap::new(),
            arrivals: 0,
            outsider: None,
            outsiders: Allowance::new(now.instant),
            lobby: Lobby::default(),
            memory: Memory::default(),
            seats: Seats::default(),
            hands: Hands::default(),
            spotlight: Spotlight::default(),
            spotlight_before: Vec::new(),
            texts: Texts::default(),
            journal: Journal::default(),
            mirror_stale: false,
            farewells: Vec::new(),
            hosted: false,
            over_told: false,
            effects: VecDeque::new(),
        }
    }

    /// Takes one input. `now` never goes back. Drain [`Room::poll_effect`] afterwards.
    pub fn handle(&mut self, now: Now, input: Input) {
        self.now = now;
        self.forget_overdue_texts();
        match input {
            Input::Connect { connection, pass, resume } => self.connect(connection, pass, resume.as_ref()),
            Input::Request { connection, request } => self.request(connection, request),
            Input::Unreadable { connection, id } => {
                // It costs as much as a command.
                let refusal = self.spend(connection).map_or(Refusal::TooFast, |()| Refusal::Unreadable);
                self.refuse(connection, id, refusal);
            }
            Input::Closed { connection } => self.closed(connection),
            Input::MediaUp { pass } => self.media_up(pass),
            Input::MediaDown { identity, for_good } => self.media_down(&identity, for_good),
            Input::Speaks { identity, speaks } => self.speaks(&identity, speaks),
            Input::Renamed { identity, name } => self.renamed(&identity, &name),
            Input::Tick => {}
            Input::Stop => self.stop(),
        }
        self.finish();
    }

    /// Does what the operator wants, or says why not. Drain [`Room::poll_effect`] afterwards.
    ///
    /// # Errors
    /// A [`Refusal`], as it would be by a socket.
    pub fn operate(&mut self, now: Now, order: Order) -> Result<(), Refusal> {
        self.now = now;
        self.forget_overdue_texts();
        let record = self.record_of_order(&order);
        let done = match order {
            Order::ChangeRoom(set) => self.change_settings(set),
            Order::Obey { by, command } => self.obey_outsider(by, command),
            Order::Remove { participant } if self.participants.contains_key(&participant) => {
                self.send_out(&participant, false);
                Ok(())
            }
            Order::SetRole { participant, role } if self.participants.contains_key(&participant) => {
                self.become_role(&participant, role);
                Ok(())
            }
            Order::Remove { .. } | Order::SetRole { .. } => Err(Refusal::ParticipantUnknown),
            Order::End => {
                self.end();
                Ok(())
            }
        };
        if let (Ok(()), Some(record)) = (done, record) {
            self.effect(Effect::Record(record));
        }
        self.finish();
        done
    }

    fn finish(&mut self) {
        self.run_timers();
        self.mirror();
        // Last: leaving, and ending the circle, are answered before the sockets close.
        self.hang_up();
    }

    /// The next thing to do, oldest first.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Whether anybody needs this circle: inside, or before the door.
    #[must_use]
    pub fn is_occupied(&self) -> bool {
        !self.participants.is_empty() || self.lobby.everybody().next().is_some()
    }

    /// How many people are inside.
    #[must_use]
    pub fn people(&self) -> usize {
        self.participants.len()
    }

    /// Moves with everything that anybody is told.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// The rules in force.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    fn request(&mut self, connection: ConnectionId, Request { id, command }: Request) {
        let revision = self.revision;
        let done = self.spend(connection).and_then(|()| match self.connections.get(&connection).cloned() {
            Some(who) => self.obey(&who, command),
            None => self.obey_before_the_door(connection, command),
        });
        match done {
            Ok(()) => {
                // An accepted command always moves the revision, also one that found everything as it wanted it.
                if self.revision == revision {
                    self.revision = self.revision.saturating_add(1);
                }
                let revision = self.revision;
                self.answer(connection, Answer::Ok { id, revision });
            }
            Err(refusal) => self.refuse(connection, Some(id), refusal),
        }
    }

    fn obey_outsider(&mut self, by: Outsider, command: Command) -> Result<(), Refusal> {
        let who = by.identity.clone();
        if !command.is_about_others() {
            return Err(Refusal::ParticipantUnknown);
        }
        let person = self.participants.get_mut(&who).map(|person| &mut person.allowance);
        if !person.unwrap_or(&mut self.outsiders).take(self.now.instant) {
            return Err(Refusal::TooFast);
        }
        self.outsider = Some(by);
        let done = self.obey(&who, command);
        self.outsider = None;
        done
    }

    fn obey(&mut self, who: &Identity, command: Command) -> Result<(), Refusal> {
        let record = self.record(who, &command);
        self.carry_out(who, command)?;
        if let Some(record) = record {
            self.effect(Effect::Record(record));
        }
        Ok(())
    }

    fn carry_out(&mut self, who: &Identity, command: Command) -> Result<(), Refusal> {
        match command {
            Command::Agree { version } => self.agree(who, version),
            Command::RaiseHand => self.raise_hand(who),
            Command::LowerHand => self.lower_own_hand(who),
            Command::StepAway { away } => self.step_away(who, away),
            Command::Write { to, body } => self.write(who, to, &body),
            Command::RemoveText { text } => self.remove_text(who, text),
            Command::React { reaction } => self.react(who, reaction),
            Command::Leave => self.leave(who),
            Command::Mute { source, participants } => self.mute(who, source, &participants),
            Command::MuteAll { source, except } => self.mute_all(who, source, &except),
            Command::AskToUnmute { source, participants } => self.ask_to_unmute(who, source, &participants),
            Command::SetRole { participant, role } => self.set_role(who, &participant, role),
            Command::Spotlight { participants } => self.put_in_spotlight(who, participants),
            Command::LowerHands { participants } => self.lower_hands(who, participants),
            Command::OrderSeats { participants } => self.order_seats(who, &participants),
            Command::Remove { participant, ban } => self.remove(who, &participant, ban),
            Command::Admit { participants } => self.admit(who, &participants),
            Command::Decline { participants } => self.decline(who, &participants),
            Command::TellWaiting { participant, line } => self.tell_waiting(who, &participant, line),
            Command::ChangeRoom { set } => self.change_room(who, set),
            Command::End => self.end_by(who),
        }
    }

    fn spend(&mut self, connection: ConnectionId) -> Result<(), Refusal> {
        let now = self.now.instant;
        let allowance = match self.connections.get(&connection) {
            Some(who) => self.participants.get_mut(who).map(|person| &mut person.allowance),
            None => {
                let who = self.lobby.identity(connection).cloned();
                who.and_then(|who| self.lobby.find_mut(&who)).map(|waiting| &mut waiting.allowance)
            }
        };
        let allowance = allowance.ok_or(Refusal::ParticipantUnknown)?;
        if allowance.take(now) { Ok(()) } else { Err(Refusal::TooFast) }
    }

    /// The role of whoever commands, if it allows this.
    pub(crate) fn actor(&self, who: &Identity, action: Action) -> Result<Role, Refusal> {
        let role = self.acting_role(who).ok_or(Refusal::ParticipantUnknown)?;
        if role.may(action) { Ok(role) } else { Err(Refusal::NotAllowed) }
    }

    /// The role of somebody inside, or of whoever commands from outside.
    pub(crate) fn acting_role(&self, who: &Identity) -> Option<Role> {
        let inside = self.participants.get(who).map(|person| person.role);
        let outside = || self.outsider.as_ref().filter(|by| by.identity == *who).map(|by| by.role);
        inside.or_else(outside)
    }

    /// Everybody in `named`, if `who` may do `action` to each of them. All or nobody.
    pub(crate) fn targets(
        &self,
        who: &Identity,
        action: Action,
        named: &[Identity],
    ) -> Result<Vec<Target>, Refusal> {
        let role = self.actor(who, action)?;
        if named.len() > crate::limits::LIST_MAX {
            return Err(Refusal::TooMany);
        }
        let judge = |identity: &Identity| {
            let person = self.participants.get(identity).ok_or(Refusal::ParticipantUnknown)?;
            if identity != who && !role.reaches(person.role) {
                return Err(Refusal::HostProtected);
            }
            Ok(Target { identity: identity.clone(), role: person.role })
        };
        named.iter().map(judge).collect()
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }

    /// Something changed: a new revision, told to whom it concerns and kept for those who come back.
    pub(crate) fn tell(&mut self, audience: Audience, event: Event) {
        self.revision = self.revision.saturating_add(1);
        let listens = |(who, person): (&Identity, &Participant)| {
            person.circle.filter(|_| audience.includes(who, person.role))
        };
        let to: Vec<ConnectionId> = self.participants.iter().filter_map(listens).collect();
        let revision = self.revision;
        if !to.is_empty() {
            let message = Arc::new(Message::Event { revision, event: event.clone() });
            self.effects.push_back(Effect::Send { to, message });
        }
        self.journal.write(Entry { revision, audience, event });
    }

    /// Takes a removed text's words out of what is repeated.
    pub(crate) fn unwrite(&mut self, text: u64) {
        self.journal.unwrite(text);
    }

    pub(crate) fn answer(&mut self, connection: ConnectionId, answer: Answer) {
        let message = Arc::new(Message::Answer(answer));
        self.effects.push_back(Effect::Send { to: vec![connection], message });
    }

    pub(crate) fn refuse(&mut self, connection: ConnectionId, id: Option<u64>, refusal: Refusal) {
        self.answer(connection, Answer::Refused { id, code: refusal.code(), message: refusal.to_string() });
    }

    /// Repeats what somebody missed; false when part of it is forgotten.
    pub(crate) fn repeat(&mut self, connection: ConnectionId, who: &Identity, after: u64) -> bool {
        let Some(person) = self.participants.get(who) else { return false };
        let role = person.role;
        let Some(missed) = self.journal.since(after) else { return false };
        let missed: Vec<Message> = missed
            .filter(|entry| entry.audience.includes(who, role))
            .map(|entry| Message::Event { revision: entry.revision, event: entry.event.clone() })
            .collect();
        for message in missed {
            self.effects.push_back(Effect::Send { to: vec![connection], message: Arc::new(message) });
        }
        let revision = self.revision;
        self.answer(connection, Answer::CaughtUp { revision });
        true
    }
}

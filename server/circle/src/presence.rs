//! Coming, going and coming back, the last host's leaving, and the end.

use crate::allowance::Allowance;
use crate::event::Answer;
use crate::journal::Audience;
use crate::limits::{NAME_MAX, RETURN_GRACE};
use crate::participant::{Participant, held_by_mode};
use crate::room::Life;
use crate::{
    Action, ConnectionId, Effect, Event, HandOver, Identity, Pass, Refusal, Removal, Resume, Role, Room,
};
use std::time::{Duration, Instant};

impl Room {
    /// Somebody whom the door let in has a circle socket.
    pub(crate) fn come_in(&mut self, connection: ConnectionId, pass: Pass, resume: Option<&Resume>) {
        let who = pass.identity.clone();
        if !self.participants.contains_key(&who) {
            self.arrive(pass);
        }
        if let Some(older) = self.participants.get_mut(&who).and_then(|person| person.circle.take()) {
            self.connections.remove(&older);
            self.answer(older, Answer::Elsewhere);
            self.effect(Effect::Close { connection: older });
        }
        // Told before the socket counts as theirs: its first message is the state.
        self.is_back(&who);
        let Some(person) = self.participants.get_mut(&who) else { return };
        person.circle = Some(connection);
        let sees_since = person.sees_since;
        self.connections.insert(connection, who.clone());
        let resume = resume
            .filter(|resume| resume.epoch == self.epoch)
            .map(|resume| resume.revision)
            .filter(|revision| (sees_since..=self.revision).contains(revision));
        if !resume.is_some_and(|revision| self.repeat(connection, &who, revision)) {
            self.show_state(connection, &who);
        }
    }

    /// A new person: a seat, a role, a line to everybody.
    fn arrive(&mut self, pass: Pass) {
        let role = self.role_of(&pass);
        let who = pass.identity;
        self.arrivals = self.arrivals.saturating_add(1);
        let known = self.memory.of(&who);
        let person = Participant {
            name: pass.name.chars().take(NAME_MAX).collect(),
            role,
            origin: pass.origin,
            arrival: self.arrivals,
            joined_unix_millis: self.now.unix_millis,
            circle: None,
            media: false,
            absent_since: None,
            speaks_since: None,
            away: known.away,
            held: held_by_mode(&self.settings, role),
            allowance: Allowance::new(self.now.instant),
            // Its own arrival is the first thing it can have missed.
            sees_since: self.revision.saturating_add(1),
        };
        self.participants.insert(who.clone(), person);
        let hand = known.hand;
        self.memory.note(&who, |known| {
            known.admitted = true;
            known.hand = None;
            known.away = false;
        });
        let seat = if role.may(Action::Sit) {
            self.seats.sit(&who);
            self.mirror_stale = true;
            self.seats.taken().position(|sitter| *sitter == who)
        } else {
            None
        };
        if let Some(person) = self.person(&who) {
            self.tell(Audience::Everyone, Event::Joined { person, seat });
        }
        if let Some(raised_at) = hand {
            self.hands.raise(who.clone(), raised_at);
            self.tell_hands();
        }
        self.light_again(&who);
        if role == Role::Host {
            self.has_a_host();
        }
    }

    pub(crate) fn media_up(&mut self, pass: Pass) {
        let who = pass.identity.clone();
        // A new session of somebody who spoke is silent until it is heard.
        self.speaks(&who, false);
        match self.participants.get_mut(&who) {
            Some(person) => {
                let changed = !std::mem::replace(&mut person.media, true) || person.absent_since.is_some();
                person.absent_since = None;
                if changed {
                    self.tell_person(&who);
                }
            }
            None => {
                self.arrive(pass);
                if let Some(person) = self.participants.get_mut(&who) {
                    person.media = true;
                }
                self.tell_person(&who);
            }
        }
    }

    pub(crate) fn media_down(&mut self, who: &Identity, for_good: bool) {
        self.speaks(who, false);
        let Some(person) = self.participants.get_mut(who) else { return };
        if !std::mem::replace(&mut person.media, false) {
            return;
        }
        if for_good && person.circle.is_none() {
            self.depart(who);
        } else {
            self.may_be_absent(who);
            self.tell_person(who);
        }
    }

    /// The socket is gone.
    pub(crate) fn closed(&mut self, connection: ConnectionId) {
        if let Some(who) = self.lobby.identity(connection).cloned() {
            self.stop_waiting(&who);
            return;
        }
        let Some(who) = self.connections.remove(&connection) else { return };
        if let Some(person) = self.participants.get_mut(&who) {
            person.circle = None;
        }
        if self.may_be_absent(&who) {
            self.tell_person(&who);
        }
    }

    /// Starts the grace of somebody whose sockets are all gone; whether it did.
    fn may_be_absent(&mut self, who: &Identity) -> bool {
        let now = self.now.instant;
        let Some(person) = self.participants.get_mut(who) else { return false };
        let absent = !person.is_connected() && person.absent_since.is_none();
        if absent {
            person.absent_since = Some(now);
        }
        absent
    }

    fn is_back(&mut self, who: &Identity) {
        let since = self.participants.get_mut(who).and_then(|person| person.absent_since.take());
        if since.is_some() {
            self.tell_person(who);
        }
    }

    pub(crate) fn renamed(&mut self, who: &Identity, name: &str) {
        let Some(person) = self.participants.get_mut(who) else { return };
        person.name = name.chars().take(NAME_MAX).collect();
        self.tell_person(who);
    }

    /// Takes somebody out of every table; their seat is kept for a while.
    pub(crate) fn depart(&mut self, who: &Identity) {
        self.speaks(who, false);
        let Some(person) = self.participants.remove(who) else { return };
        if let Some(connection) = person.circle {
            self.connections.remove(&connection);
            self.farewells.push(connection);
        }
        self.seats.leave(who, self.now.instant);
        self.spotlight.forget(who);
        if let Some(raised_at) = self.hands.lower(who) {
            self.memory.note(who, |known| known.hand = Some(raised_at));
        }
        self.mirror_stale = true;
        self.tell(Audience::Everyone, Event::Left { participant: who.clone() });
        self.look_at_the_door();
        self.look_for_a_host();
    }

    /// They say that they leave.
    pub(crate) fn leave(&mut self, who: &Identity) -> Result<(), Refusal> {
        if self.participants.get(who).is_some_and(|person| person.media) {
            self.effect(Effect::Remove { participant: who.clone(), why: Removal::Left });
        }
        self.depart(who);
        Ok(())
    }

    pub(crate) fn has_a_host(&mut self) {
        self.hosted = true;
        if let Life::Closing { .. } = self.life {
            self.life = Life::Open;
            self.tell(Audience::Everyone, Event::Closing { at: None });
        }
    }

    /// After somebody left: if that was the last host, the room's rule says what follows.
    fn look_for_a_host(&mut self) {
        if !self.hosted || self.participants.values().any(|person| person.role == Role::Host) {
            return;
        }
        self.hosted = false;
        match self.settings.hand_over {
            HandOver::Nobody => {}
            HandOver::CoHost => {
                let co_hosts = self.participants.iter().filter(|(_, person)| person.role == Role::CoHost);
                let longest = co_hosts.min_by_key(|(_, person)| person.arrival).map(|(who, _)| who.clone());
                if let Some(who) = longest {
                    self.become_role(&who, Role::Host);
                }
            }
            HandOver::Close { minutes } => {
                let wait = Duration::from_secs(u64::from(minutes).saturating_mul(60));
                let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                let at_unix_millis = self.now.unix_millis.saturating_add(millis);
                self.life = Life::Closing { at: self.now.instant + wait, at_unix_millis };
                self.tell(Audience::Everyone, Event::Closing { at: Some(at_unix_millis) });
            }
        }
    }

    pub(crate) fn end_by(&mut self, who: &Identity) -> Result<(), Refusal> {
        self.actor(who, Action::End)?;
        self.end();
        Ok(())
    }

    pub(crate) fn end(&mut self) {
        if self.life == Life::Ended {
            return;
        }
        self.life = Life::Ended;
        self.tell(Audience::Everyone, Event::Ended);
        self.farewells.extend(self.connections.keys());
        self.connections.clear();
        self.participants.clear();
        // Whoever waits hears that it is over.
        self.look_at_the_door();
        self.seats = crate::seat::Seats::default();
        self.hands = crate::hands::Hands::default();
        self.spotlight = crate::spotlight::Spotlight::default();
        self.texts.clear();
    }

    /// The server stops. Nobody leaves by that: clients come back to the next one.
    pub(crate) fn stop(&mut self) {
        let waiting = self.lobby.everybody().map(|waiting| waiting.connection);
        let mut all: Vec<ConnectionId> = self.connections.keys().copied().chain(waiting).collect();
        all.sort_unstable();
        for connection in all {
            self.answer(connection, Answer::Stopping);
            self.effect(Effect::Close { connection });
            self.closed(connection);
        }
    }

    /// Closes the sockets of those who are out, and the room when the circle is over.
    pub(crate) fn hang_up(&mut self) {
        let mut farewells = std::mem::take(&mut self.farewells);
        farewells.sort_unstable();
        let over = self.life == Life::Ended && !self.over_told;
        for connection in farewells {
            self.effect(Effect::Close { connection });
        }
        if over {
            self.over_told = true;
            self.effect(Effect::End);
        }
    }

    /// Call [`Room::handle`] with [`Input::Tick`](crate::Input::Tick) at this time, if nothing else comes before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let graces = self
            .participants
            .values()
            .filter_map(|person| person.absent_since)
            .map(|since| since + RETURN_GRACE);
        let closing = match self.life {
            Life::Closing { at, .. } => Some(at),
            Life::Open | Life::Ended => None,
        };
        graces.chain(closing).chain(self.seats.next_expiry()).min()
    }

    pub(crate) fn run_timers(&mut self) {
        let now = self.now.instant;
        if self.next_deadline().is_none_or(|at| at > now) {
            return;
        }
        let gone = |(who, person): (&Identity, &Participant)| {
            person.absent_since.filter(|since| *since + RETURN_GRACE <= now).map(|_| who.clone())
        };
        let gone: Vec<Identity> = self.participants.iter().filter_map(gone).collect();
        for who in gone {
            self.depart(&who);
        }
        self.seats.expire(now);
        if let Life::Closing { at, .. } = self.life
            && at <= now
        {
            self.end();
        }
    }
}

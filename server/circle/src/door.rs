//! The door: who may come in, who waits, and on whose word.

use crate::agreement::is_line;
use crate::event::Answer;
use crate::journal::Audience;
use crate::limits::LIST_MAX;
use crate::lobby::WaitsFor;
use crate::participant::{Standing, held_by_mode};
use crate::room::Life;
use crate::{Action, Command, ConnectionId, Effect, Event, Identity, Pass, Refusal, Resume, Role, Room};

/// What the door says.
enum Verdict {
    In,
    Wait(WaitsFor),
    Out(Refusal),
}

impl Room {
    /// Whether this person may have media now, and what the media side must know of them.
    ///
    /// # Errors
    /// Why not, and what to do.
    pub fn standing(&self, pass: &Pass) -> Result<Standing, Refusal> {
        match self.verdict(pass) {
            Verdict::Out(refusal) => return Err(refusal),
            Verdict::Wait(WaitsFor::Agreement) => return Err(Refusal::AgreementNeeded),
            Verdict::Wait(WaitsFor::Host) => return Err(Refusal::InLobby),
            Verdict::In => {}
        }
        let role = self.role_of(pass);
        let held = match self.participants.get(&pass.identity) {
            Some(person) => person.held.clone(),
            None => held_by_mode(&self.settings, role),
        };
        let hand = self.hands.is_up(&pass.identity).or(self.memory.of(&pass.identity).hand);
        Ok(Standing { role, held, attributes: crate::mirror::attributes(role, hand) })
    }

    /// Somebody was banned in an earlier meeting: they do not come in.
    pub fn bar(&mut self, identity: &Identity) {
        self.memory.note(identity, |known| known.banned = true);
    }

    /// A ban was lifted: those who are meant may come in again.
    pub fn lift(&mut self, meant: impl Fn(&Identity) -> bool) {
        self.memory.lift(meant);
    }

    /// What a host made of them comes before the token.
    pub(crate) fn role_of(&self, pass: &Pass) -> Role {
        self.memory.of(&pass.identity).role.unwrap_or(pass.role)
    }

    fn verdict(&self, pass: &Pass) -> Verdict {
        if self.life == Life::Ended {
            return Verdict::Out(Refusal::Ended);
        }
        let known = self.memory.of(&pass.identity);
        if known.banned {
            return Verdict::Out(Refusal::Banned);
        }
        if self.participants.contains_key(&pass.identity) {
            return Verdict::In;
        }
        let role = self.role_of(pass);
        let capacity = usize::try_from(self.settings.capacity).unwrap_or(usize::MAX);
        let beyond = usize::try_from(crate::limits::CAPACITY_MAX).unwrap_or(usize::MAX);
        if role.may(Action::PassTheDoor) {
            // A full room still has a place for its host, within what the server carries.
            return if self.participants.len() >= beyond { Verdict::Out(Refusal::Full) } else { Verdict::In };
        }
        if known.declined {
            return Verdict::Out(Refusal::Declined);
        }
        if self.settings.locked && !known.admitted {
            return Verdict::Out(Refusal::Locked);
        }
        if self.participants.len() >= capacity {
            return Verdict::Out(Refusal::Full);
        }
        let agreement = &self.settings.agreement;
        if agreement.is_asked() && known.agreed != Some(agreement.version) {
            return Verdict::Wait(WaitsFor::Agreement);
        }
        if self.settings.lobby.holds(role) && !known.admitted {
            Verdict::Wait(WaitsFor::Host)
        } else {
            Verdict::In
        }
    }

    /// A circle socket opened.
    pub(crate) fn connect(&mut self, connection: ConnectionId, pass: Pass, resume: Option<&Resume>) {
        if self.connections.contains_key(&connection) || self.lobby.identity(connection).is_some() {
            return;
        }
        // A newer socket of somebody who waits takes their place.
        if let Some(older) = self.stop_waiting(&pass.identity) {
            self.answer(older.connection, Answer::Elsewhere);
            self.effect(Effect::Close { connection: older.connection });
        }
        match self.verdict(&pass) {
            Verdict::In => self.come_in(connection, pass, resume),
            Verdict::Wait(for_what) => self.wait(connection, pass, for_what),
            Verdict::Out(refusal) => self.send_away(connection, refusal),
        }
    }

    fn wait(&mut self, connection: ConnectionId, pass: Pass, for_what: WaitsFor) {
        if self.lobby.is_full() {
            self.send_away(connection, Refusal::Full);
            return;
        }
        let (identity, role) = (pass.identity.clone(), self.role_of(&pass));
        self.lobby.enter(self.now, pass, connection, for_what);
        self.show_waiting(connection, role, for_what);
        self.knock(&identity);
    }

    /// Tells those who can open, if it is for them that this person waits.
    fn knock(&mut self, identity: &Identity) {
        let waiting = self.lobby.find(identity).filter(|waiting| waiting.for_what == WaitsFor::Host);
        if let Some(knock) = waiting.map(crate::lobby::Waiting::knock) {
            self.tell(Audience::Moderators, Event::Knocked { knock });
        }
    }

    pub(crate) fn stop_waiting(&mut self, identity: &Identity) -> Option<crate::lobby::Waiting> {
        let waiting = self.lobby.leave(identity)?;
        if waiting.for_what == WaitsFor::Host {
            self.tell(Audience::Moderators, Event::KnockEnded { participant: identity.clone() });
        }
        Some(waiting)
    }

    fn show_waiting(&mut self, connection: ConnectionId, role: Role, waits_for: WaitsFor) {
        let answer = Answer::Waiting {
            waits_for,
            question: self.settings.question.clone(),
            agreement: self.settings.agreement.clone(),
            inside: self.settings.tells_count_to(role).then_some(self.participants.len()),
        };
        self.answer(connection, answer);
    }

    pub(crate) fn send_away(&mut self, connection: ConnectionId, refusal: Refusal) {
        self.refuse(connection, None, refusal);
        self.effect(Effect::Close { connection });
    }

    /// Looks again at everybody before the door: a rule changed, or somebody left.
    pub(crate) fn look_at_the_door(&mut self) {
        let waiting: Vec<(Identity, WaitsFor)> =
            self.lobby.everybody().map(|waiting| (waiting.pass.identity.clone(), waiting.for_what)).collect();
        for (identity, waits_for) in waiting {
            let Some(pass) = self.lobby.find(&identity).map(|waiting| waiting.pass.clone()) else { continue };
            match self.verdict(&pass) {
                Verdict::Wait(now) if now == waits_for => continue,
                // A lock or a full room keeps those who already wait where they are.
                Verdict::Out(Refusal::Locked | Refusal::Full) => continue,
                Verdict::Wait(now) => {
                    if let Some(waiting) = self.stop_waiting(&identity) {
                        self.wait(waiting.connection, waiting.pass, now);
                    }
                }
                Verdict::In => {
                    if let Some(waiting) = self.stop_waiting(&identity) {
                        self.come_in(waiting.connection, waiting.pass, None);
                    }
                }
                Verdict::Out(refusal) => {
                    if let Some(waiting) = self.stop_waiting(&identity) {
                        self.send_away(waiting.connection, refusal);
                    }
                }
            }
        }
    }

    /// Somebody who waits may accept the agreement or go away, and nothing else.
    pub(crate) fn obey_before_the_door(
        &mut self,
        connection: ConnectionId,
        command: Command,
    ) -> Result<(), Refusal> {
        let who = self.lobby.identity(connection).cloned().ok_or(Refusal::ParticipantUnknown)?;
        match command {
            Command::Agree { version } => {
                self.agree(&who, version)?;
                self.look_at_the_door();
                Ok(())
            }
            Command::Leave => {
                self.closed(connection);
                self.farewells.push(connection);
                Ok(())
            }
            _ => Err(Refusal::StillWaiting),
        }
    }

    pub(crate) fn agree(&mut self, who: &Identity, version: u32) -> Result<(), Refusal> {
        if version != self.settings.agreement.version {
            return Err(Refusal::AgreementChanged);
        }
        if self.memory.of(who).agreed != Some(version) && self.settings.agreement.is_asked() {
            self.effect(Effect::Accepted { version });
        }
        self.memory.note(who, |known| known.agreed = Some(version));
        Ok(())
    }

    pub(crate) fn admit(&mut self, who: &Identity, named: &[Identity]) -> Result<(), Refusal> {
        self.knocking(who, named)?;
        let capacity = usize::try_from(self.settings.capacity).unwrap_or(usize::MAX);
        if self.participants.len().saturating_add(named.len()) > capacity {
            return Err(Refusal::Full);
        }
        for identity in named {
            self.memory.note(identity, |known| known.admitted = true);
        }
        self.look_at_the_door();
        Ok(())
    }

    pub(crate) fn decline(&mut self, who: &Identity, named: &[Identity]) -> Result<(), Refusal> {
        self.knocking(who, named)?;
        for identity in named {
            self.memory.note(identity, |known| known.declined = true);
        }
        self.look_at_the_door();
        Ok(())
    }

    pub(crate) fn tell_waiting(
        &mut self,
        who: &Identity,
        waiting: &Identity,
        line: String,
    ) -> Result<(), Refusal> {
        self.knocking(who, std::slice::from_ref(waiting))?;
        if !is_line(&line) {
            return Err(Refusal::LineTooLong);
        }
        if let Some(connection) = self.lobby.find(waiting).map(|waiting| waiting.connection) {
            self.answer(connection, Answer::Line { line });
        }
        Ok(())
    }

    /// Whether `who` may decide about all of these, who must be waiting for a host.
    fn knocking(&self, who: &Identity, named: &[Identity]) -> Result<(), Refusal> {
        self.actor(who, Action::Admit)?;
        if named.len() > LIST_MAX {
            return Err(Refusal::TooMany);
        }
        let waits = |identity: &Identity| {
            self.lobby.find(identity).is_some_and(|waiting| waiting.for_what == WaitsFor::Host)
        };
        if named.iter().all(waits) { Ok(()) } else { Err(Refusal::NotWaiting) }
    }
}

//! What a host may do to others. Nothing here opens anybody's microphone or camera: what was held can be set free,
//! and only its owner opens it.

use crate::event::Deed;
use crate::journal::Audience;
use crate::participant::{Target, held_by_mode};
use crate::{
    Action, Effect, Event, History, Identity, Refusal, Removal, Role, Room, Settings, SettingsChange, Source,
};
use std::collections::BTreeSet;

impl Room {
    pub(crate) fn mute(&mut self, who: &Identity, source: Source, named: &[Identity]) -> Result<(), Refusal> {
        let targets = self.targets(who, Action::Mute, named)?;
        self.shut(who, source, targets);
        Ok(())
    }

    pub(crate) fn mute_all(
        &mut self,
        who: &Identity,
        source: Source,
        except: &[Identity],
    ) -> Result<(), Refusal> {
        self.actor(who, Action::Mute)?;
        self.shut(who, source, self.all_but(who, except));
        Ok(())
    }

    /// Everybody with media whom `who` reaches, but themselves and these.
    pub(crate) fn all_but(&self, who: &Identity, except: &[Identity]) -> Vec<Target> {
        let Some(role) = self.acting_role(who) else { return Vec::new() };
        let spared: BTreeSet<&Identity> = except.iter().chain([who]).collect();
        self.participants
            .iter()
            .filter(|(identity, person)| {
                person.media
                    && person.role.may(Action::Publish)
                    && role.reaches(person.role)
                    && !spared.contains(identity)
            })
            .map(|(identity, person)| Target { identity: identity.clone(), role: person.role })
            .collect()
    }

    /// Shuts a source of each target once; where the room's mode holds it, it stays shut.
    fn shut(&mut self, who: &Identity, source: Source, targets: Vec<Target>) {
        if targets.is_empty() {
            return;
        }
        let named: Vec<Identity> = targets.iter().map(|target| target.identity.clone()).collect();
        let (mut newly_held, mut muted) = (Vec::new(), Vec::new());
        for Target { identity, role } in targets {
            let Some(person) = self.participants.get_mut(&identity) else { continue };
            let stays_shut = held_by_mode(&self.settings, role).contains(&source);
            if stays_shut && person.held.insert(source) {
                newly_held.push(identity.clone());
            }
            if person.media {
                muted.push(identity);
            }
        }
        self.hold(source, true, newly_held);
        for participant in muted {
            self.effect(Effect::Mute { participant: participant.clone(), source });
            self.tell(Audience::One(participant), Event::Muted { source });
        }
        self.note_deed(who, Deed::Mute, Some(source), named);
    }

    /// Tells both sides that a source is held or free; the table says so already.
    fn hold(&mut self, source: Source, held: bool, participants: Vec<Identity>) {
        if participants.is_empty() {
            return;
        }
        for participant in &participants {
            if self.participants.get(participant).is_some_and(|person| person.media) {
                self.effect(Effect::Hold { participant: participant.clone(), source, held });
            }
        }
        self.tell(Audience::Everyone, Event::Held { source, held, participants });
    }

    pub(crate) fn ask_to_unmute(
        &mut self,
        who: &Identity,
        source: Source,
        named: &[Identity],
    ) -> Result<(), Refusal> {
        let targets = self.targets(who, Action::AskToUnmute, named)?;
        let asked: Vec<Identity> = targets
            .into_iter()
            .filter(|target| target.role.may(Action::Publish))
            .map(|target| target.identity)
            .collect();
        let mut freed = Vec::new();
        for identity in &asked {
            if self.participants.get_mut(identity).is_some_and(|person| person.held.remove(&source)) {
                freed.push(identity.clone());
            }
        }
        self.hold(source, false, freed);
        for identity in asked {
            self.tell(Audience::One(identity), Event::AskedToUnmute { source });
        }
        Ok(())
    }

    pub(crate) fn set_role(&mut self, who: &Identity, named: &Identity, role: Role) -> Result<(), Refusal> {
        let before = self.participants.get(named).ok_or(Refusal::ParticipantUnknown)?.role;
        let names_hosts = before.may(Action::Admit) || role.may(Action::Admit);
        let action = if names_hosts { Action::NameHosts } else { Action::MoveToListener };
        self.targets(who, action, std::slice::from_ref(named))?;
        let hosts = self.participants.values().filter(|person| person.role == Role::Host).count();
        if before == Role::Host && role != Role::Host && hosts < 2 {
            return Err(Refusal::LastHost);
        }
        if role != before {
            self.become_role(named, role);
        }
        Ok(())
    }

    pub(crate) fn become_role(&mut self, who: &Identity, role: Role) {
        let revision = self.revision;
        let Some(person) = self.participants.get_mut(who) else { return };
        person.role = role;
        // It may see more, or less, than before: what it has is worth nothing.
        person.sees_since = revision.saturating_add(1);
        let held = held_by_mode(&self.settings, role);
        let before = std::mem::replace(&mut person.held, held.clone());
        let (media, connection) = (person.media, person.circle);
        self.memory.note(who, |known| known.role = Some(role));
        if media {
            self.effect(Effect::Permit { participant: who.clone(), role });
        }
        for &source in before.symmetric_difference(&held) {
            self.hold(source, held.contains(&source), vec![who.clone()]);
        }
        self.tell_person(who);
        if role.may(Action::Sit) {
            self.seats.sit(who);
        } else {
            self.seats.give_up(who);
            if self.spotlight.forget(who) {
                self.tell_spotlight();
            }
        }
        self.tell_seats();
        self.mirror_person(who);
        if role == Role::Host {
            self.has_a_host();
        }
        if let Some(connection) = connection {
            self.show_state(connection, who);
        }
    }

    pub(crate) fn put_in_spotlight(&mut self, who: &Identity, named: Vec<Identity>) -> Result<(), Refusal> {
        self.actor(who, Action::Spotlight)?;
        if named.iter().any(|identity| !self.participants.contains_key(identity)) {
            return Err(Refusal::ParticipantUnknown);
        }
        self.spotlight.set(named)?;
        self.spotlight_before.clear();
        self.tell_spotlight();
        Ok(())
    }

    pub(crate) fn tell_spotlight(&mut self) {
        self.mirror_stale = true;
        let participants = self.spotlight.shown().to_vec();
        self.tell(Audience::Everyone, Event::Spotlight { participants });
    }

    pub(crate) fn lower_hands(
        &mut self,
        who: &Identity,
        named: Option<Vec<Identity>>,
    ) -> Result<(), Refusal> {
        self.actor(who, Action::LowerHands)?;
        let named =
            named.unwrap_or_else(|| self.hands.all().iter().map(|hand| hand.participant.clone()).collect());
        let mut lowered = Vec::new();
        for identity in named {
            if self.hands.lower(&identity).is_some() {
                lowered.push(identity);
            }
        }
        if !lowered.is_empty() {
            self.tell_hands();
            for identity in &lowered {
                self.mirror_person(identity);
            }
            self.note_deed(who, Deed::LowerHands, None, lowered);
        }
        Ok(())
    }

    pub(crate) fn order_seats(&mut self, who: &Identity, order: &[Identity]) -> Result<(), Refusal> {
        self.actor(who, Action::OrderSeats)?;
        self.seats.order(order)?;
        self.tell_seats();
        Ok(())
    }

    fn tell_seats(&mut self) {
        self.mirror_stale = true;
        let seats = self.seats.taken().cloned().collect();
        self.tell(Audience::Everyone, Event::Seats { seats });
    }

    pub(crate) fn remove(&mut self, who: &Identity, named: &Identity, ban: bool) -> Result<(), Refusal> {
        let action = if ban { Action::Ban } else { Action::Remove };
        self.targets(who, action, std::slice::from_ref(named))?;
        if named == who {
            // Leaving is its own command, which asks for no right.
            return Err(Refusal::NotAllowed);
        }
        let deed = if ban { Deed::Ban } else { Deed::Remove };
        self.note_deed(who, deed, None, vec![named.clone()]);
        self.send_out(named, ban);
        Ok(())
    }

    /// Ends somebody's stay.
    pub(crate) fn send_out(&mut self, named: &Identity, ban: bool) {
        self.tell(Audience::One(named.clone()), Event::Removed { banned: ban });
        if self.participants.get(named).is_some_and(|person| person.media) {
            self.effect(Effect::Remove { participant: named.clone(), why: Removal::ByHost });
        }
        let origin = self.participants.get(named).and_then(|person| person.origin.clone());
        self.depart(named);
        self.seats.give_up(named);
        self.memory.note(named, |known| {
            known.admitted = false;
            known.hand = None;
            known.banned |= ban;
        });
        if ban {
            self.effect(Effect::Ban { participant: named.clone(), origin });
        }
    }

    pub(crate) fn change_room(&mut self, who: &Identity, set: SettingsChange) -> Result<(), Refusal> {
        self.actor(who, Action::ChangeRoom)?;
        self.change_settings(set)
    }

    pub(crate) fn change_settings(&mut self, set: SettingsChange) -> Result<(), Refusal> {
        let changed = self.settings.changed(set)?;
        let before = std::mem::replace(&mut self.settings, changed.clone());
        // Also when nothing changed: the last try may not have come to the disk.
        self.effect(Effect::KeepSettings(changed.clone()));
        if changed == before {
            if changed.history != History::Days {
                self.effect(Effect::ForgetTexts);
            }
            return Ok(());
        }
        self.mirror_stale = true;
        self.tell(Audience::Everyone, Event::Settings { settings: changed.clone() });
        if (changed.history, changed.history_days) != (before.history, before.history_days) {
            self.apply_history(&before);
        }
        if changed.microphones != before.microphones {
            self.apply_mode(Source::Microphone, &changed);
        }
        if changed.screens != before.screens {
            self.apply_mode(Source::Screen, &changed);
        }
        if changed.hands != before.hands && !self.hands.all().is_empty() {
            self.tell_hands();
        }
        self.look_at_the_door();
        Ok(())
    }

    /// A room mode now holds a source shut, or holds it no longer.
    fn apply_mode(&mut self, source: Source, settings: &Settings) {
        let (mut held, mut freed) = (Vec::new(), Vec::new());
        for (identity, person) in &mut self.participants {
            if held_by_mode(settings, person.role).contains(&source) {
                if person.held.insert(source) {
                    held.push(identity.clone());
                }
            } else if person.held.remove(&source) {
                freed.push(identity.clone());
            }
        }
        self.hold(source, true, held);
        self.hold(source, false, freed);
    }

    /// One line that everybody sees, where the room says so; else those who moderate.
    pub(crate) fn note_deed(
        &mut self,
        by: &Identity,
        deed: Deed,
        source: Option<Source>,
        participants: Vec<Identity>,
    ) {
        let audience = if self.settings.moderation_shown { Audience::Everyone } else { Audience::Moderators };
        self.tell(audience, Event::Moderation { by: by.clone(), deed, source, participants });
    }
}

//! What everybody may do for themselves: hands, text, reactions, stepping away.

use crate::event::Deed;
use crate::journal::Audience;
use crate::limits::TEXT_MAX;
use crate::text::Text;
use crate::{Action, Addressee, Effect, Event, Identity, Refusal, Room, Source, TextRule};
use std::time::Duration;

/// Longest reaction in characters: an emoji may be made of several.
const REACTION_MAX: usize = 8;

impl Room {
    pub(crate) fn raise_hand(&mut self, who: &Identity) -> Result<(), Refusal> {
        self.actor(who, Action::RaiseHand)?;
        if self.hands.raise(who.clone(), self.now.unix_millis) {
            self.tell_hands();
            self.mirror_person(who);
        }
        Ok(())
    }

    pub(crate) fn lower_own_hand(&mut self, who: &Identity) -> Result<(), Refusal> {
        if self.hands.lower(who).is_some() {
            self.tell_hands();
            self.mirror_person(who);
        }
        Ok(())
    }

    /// Puts the hands in order and tells them. Only here, where a hand went up or down or the rule changed: a queue
    /// that moves while people only talk is one that nobody trusts.
    pub(crate) fn tell_hands(&mut self) {
        let mut hands = std::mem::take(&mut self.hands);
        hands.order(self.settings.hands, |who| self.spoken(who));
        self.hands = hands;
        let hands = self.hands.all().to_vec();
        self.tell(Audience::Everyone, Event::Hands { hands });
    }

    /// Somebody began to speak or stopped. Nobody is told: it counts when hands are put in order.
    pub(crate) fn speaks(&mut self, who: &Identity, speaks: bool) {
        let now = self.now.instant;
        let Some(person) = self.participants.get_mut(who) else { return };
        if speaks && person.media {
            person.speaks_since.get_or_insert(now);
        } else if let Some(since) = person.speaks_since.take() {
            let spoke = now.saturating_duration_since(since);
            self.memory.note(who, |known| known.spoken = known.spoken.saturating_add(spoke));
        }
    }

    /// How long somebody has spoken in this meeting.
    fn spoken(&self, who: &Identity) -> Duration {
        let since = self.participants.get(who).and_then(|person| person.speaks_since);
        let now = since.map(|since| self.now.instant.saturating_duration_since(since)).unwrap_or_default();
        self.memory.of(who).spoken.saturating_add(now)
    }

    /// Away: microphone and camera shut at once, whatever the browser does, and nobody is told why.
    pub(crate) fn step_away(&mut self, who: &Identity, away: bool) -> Result<(), Refusal> {
        self.actor(who, Action::StepAway)?;
        let Some(person) = self.participants.get_mut(who) else { return Ok(()) };
        person.away = away;
        if away && person.media {
            for source in [Source::Microphone, Source::Camera] {
                self.effect(Effect::Mute { participant: who.clone(), source });
            }
        }
        self.tell(Audience::One(who.clone()), Event::Away { away });
        Ok(())
    }

    pub(crate) fn write(&mut self, who: &Identity, to: Addressee, body: &str) -> Result<(), Refusal> {
        let person = self.participants.get(who).ok_or(Refusal::ParticipantUnknown)?;
        match &to {
            Addressee::Everyone => {
                let open = match self.settings.text {
                    TextRule::Everyone => person.role.may(Action::Write),
                    TextRule::Hosts => person.role.may(Action::Unrestrained),
                    TextRule::Off => false,
                };
                if !open {
                    return Err(Refusal::TextClosed);
                }
            }
            Addressee::Hosts => {
                self.actor(who, Action::AskHosts)?;
            }
            Addressee::Participant(receiver) => {
                self.actor(who, Action::AnswerPrivately)?;
                if !self.participants.contains_key(receiver) {
                    return Err(Refusal::ParticipantUnknown);
                }
            }
        }
        let body = body.trim();
        if body.is_empty() || body.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
            return Err(Refusal::TextUnreadable);
        }
        if body.chars().count() > TEXT_MAX {
            return Err(Refusal::TextTooLong);
        }
        let text = Text {
            text: self.texts.next_number(),
            from: who.clone(),
            name: person.name.clone(),
            to,
            body: body.to_owned(),
            at: self.now.unix_millis,
        };
        self.keep_text(&text);
        self.tell(audience(&text), Event::Text { text });
        Ok(())
    }

    pub(crate) fn remove_text(&mut self, who: &Identity, number: u64) -> Result<(), Refusal> {
        let role = self.participants.get(who).ok_or(Refusal::ParticipantUnknown)?.role;
        let text = self.texts.find(number).filter(|text| text.is_seen_by(who, role));
        let text = text.ok_or(Refusal::TextUnknown)?.clone();
        if text.from != *who {
            self.actor(who, Action::RemoveText)?;
        }
        if self.texts.remove(number) {
            self.effect(Effect::ForgetText { text: number });
        }
        self.unwrite(number);
        self.tell(audience(&text), Event::TextRemoved { text: number });
        if text.from != *who && text.to == Addressee::Everyone {
            self.note_deed(who, Deed::RemoveText, None, vec![text.from]);
        }
        Ok(())
    }

    pub(crate) fn react(&mut self, who: &Identity, reaction: String) -> Result<(), Refusal> {
        self.actor(who, Action::React)?;
        let picture = |c: char| !c.is_control() && !c.is_whitespace() && !c.is_ascii();
        if !(1..=REACTION_MAX).contains(&reaction.chars().count()) || !reaction.chars().all(picture) {
            return Err(Refusal::ReactionUnreadable);
        }
        self.tell(Audience::Everyone, Event::Reaction { participant: who.clone(), reaction });
        Ok(())
    }
}

pub(crate) fn audience(text: &Text) -> Audience {
    match &text.to {
        Addressee::Everyone => Audience::Everyone,
        Addressee::Hosts => Audience::ModeratorsAnd(vec![text.from.clone()]),
        Addressee::Participant(receiver) => {
            Audience::ModeratorsAnd(vec![text.from.clone(), receiver.clone()])
        }
    }
}

//! The room as one person may see it.

use crate::event::{Answer, Person, State};
use crate::journal::Audience;
use crate::lobby::Knock;
use crate::room::Life;
use crate::{Action, ConnectionId, Event, Identity, Room};

impl Room {
    pub(crate) fn person(&self, who: &Identity) -> Option<Person> {
        let person = self.participants.get(who)?;
        Some(Person {
            participant: who.clone(),
            name: person.name.clone(),
            role: person.role,
            joined_at: person.joined_unix_millis,
            connected: person.absent_since.is_none(),
            media: person.media,
            held: person.held.iter().copied().collect(),
        })
    }

    /// Everybody inside, in the order they came.
    #[must_use]
    pub fn everybody(&self) -> Vec<Person> {
        let mut people: Vec<(u64, &Identity)> =
            self.participants.iter().map(|(who, person)| (person.arrival, who)).collect();
        people.sort_unstable();
        people.into_iter().filter_map(|(_, who)| self.person(who)).collect()
    }

    /// Who waits for a host, in the order they came.
    #[must_use]
    pub fn waiting(&self) -> Vec<Knock> {
        self.lobby.knocks()
    }

    /// Tells everybody what somebody is now.
    pub(crate) fn tell_person(&mut self, who: &Identity) {
        if let Some(person) = self.person(who) {
            self.tell(Audience::Everyone, Event::Changed { person });
        }
    }

    /// Sends everything that `who` may see.
    pub(crate) fn show_state(&mut self, connection: ConnectionId, who: &Identity) {
        let Some(viewer) = self.participants.get(who) else { return };
        let state = State {
            epoch: self.epoch.clone(),
            revision: self.revision,
            you: who.clone(),
            away: viewer.away,
            settings: self.settings.clone(),
            participants: self.everybody(),
            seats: self.seats.taken().cloned().collect(),
            hands: self.hands.all().to_vec(),
            spotlight: self.spotlight.shown().to_vec(),
            texts: self.texts.kept().filter(|text| text.is_seen_by(who, viewer.role)).cloned().collect(),
            lobby: viewer.role.may(Action::Admit).then(|| self.lobby.knocks()),
            closes_at: match self.life {
                Life::Closing { at_unix_millis, .. } => Some(at_unix_millis),
                Life::Open | Life::Ended => None,
            },
        };
        self.answer(connection, Answer::State(Box::new(state)));
    }
}

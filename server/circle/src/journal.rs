//! The last events, for those who come back: by revision, each only to whom it was for.

use crate::limits::JOURNAL_MAX;
use crate::{Action, Event, Identity, Role};
use std::collections::VecDeque;

/// Whom an event is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    Everyone,
    /// Those who moderate.
    Moderators,
    One(Identity),
    /// Some people by name, and those who moderate.
    ModeratorsAnd(Vec<Identity>),
}

impl Audience {
    pub(crate) fn includes(&self, who: &Identity, role: Role) -> bool {
        match self {
            Self::Everyone => true,
            Self::Moderators => role.may(Action::Admit),
            Self::One(one) => one == who,
            Self::ModeratorsAnd(some) => some.contains(who) || role.may(Action::Admit),
        }
    }
}

pub(crate) struct Entry {
    pub(crate) revision: u64,
    pub(crate) audience: Audience,
    pub(crate) event: Event,
}

#[derive(Default)]
pub(crate) struct Journal {
    entries: VecDeque<Entry>,
    /// Everything up to this revision is gone.
    forgotten: u64,
}

impl Journal {
    pub(crate) fn write(&mut self, entry: Entry) {
        if self.entries.len() >= JOURNAL_MAX
            && let Some(oldest) = self.entries.pop_front()
        {
            self.forgotten = oldest.revision;
        }
        self.entries.push_back(entry);
    }

    /// Forgets the words of a text that was removed.
    pub(crate) fn unwrite(&mut self, removed: u64) {
        self.entries.retain(|entry| !matches!(&entry.event, Event::Text { text } if text.text == removed));
    }

    /// What happened after `revision`; `None` when part of it is forgotten.
    pub(crate) fn since(&self, revision: u64) -> Option<impl Iterator<Item = &Entry>> {
        (revision >= self.forgotten)
            .then(|| self.entries.iter().filter(move |entry| entry.revision > revision))
    }
}

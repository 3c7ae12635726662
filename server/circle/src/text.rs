//! What people wrote, kept while the room lives.

use crate::limits::TEXTS_MAX;
use crate::{Identity, Role};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// To whom a text goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Addressee {
    Everyone,
    /// The hosts and co-hosts alone: "I need a hand".
    Hosts,
    /// A host's answer to one person. The other hosts see it too.
    Participant(Identity),
}

/// One text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Text {
    /// Grows with each text of the room.
    pub text: u64,
    pub from: Identity,
    /// The writer's name then: they may have left.
    pub name: String,
    pub to: Addressee,
    pub body: String,
    /// Milliseconds since 1970-01-01 UTC.
    pub at: u64,
}

impl Text {
    pub(crate) fn is_seen_by(&self, who: &Identity, role: Role) -> bool {
        match &self.to {
            Addressee::Everyone => true,
            Addressee::Hosts => self.from == *who || role.may(crate::Action::AnswerPrivately),
            Addressee::Participant(receiver) => {
                self.from == *who || receiver == who || role.may(crate::Action::AnswerPrivately)
            }
        }
    }
}

#[derive(Default)]
pub(crate) struct Texts {
    last: u64,
    kept: VecDeque<Text>,
}

impl Texts {
    pub(crate) fn next_number(&mut self) -> u64 {
        self.last = self.last.saturating_add(1);
        self.last
    }

    pub(crate) fn keep(&mut self, text: Text) {
        if self.kept.len() >= TEXTS_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(text);
    }

    pub(crate) fn find(&self, number: u64) -> Option<&Text> {
        self.kept.iter().find(|text| text.text == number)
    }

    pub(crate) fn remove(&mut self, number: u64) {
        self.kept.retain(|text| text.text != number);
    }

    pub(crate) fn clear(&mut self) {
        self.kept.clear();
    }

    pub(crate) fn kept(&self) -> impl Iterator<Item = &Text> {
        self.kept.iter()
    }
}

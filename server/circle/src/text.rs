//! What people wrote, kept in a bounded row. How long is in `history.rs`.

use crate::limits::{TEXTS_BYTES_MAX, TEXTS_MAX};
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

/// A text that outlives the meeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptText {
    pub text: Text,
    /// When it is forgotten, milliseconds since 1970-01-01 UTC.
    pub until: u64,
}

struct Kept {
    text: Text,
    /// It is on disk until then.
    until: Option<u64>,
    /// It was written in an earlier meeting.
    earlier: bool,
}

#[derive(Default)]
pub(crate) struct Texts {
    last: u64,
    kept: VecDeque<Kept>,
    /// Of all kept texts.
    bytes: usize,
}

impl Texts {
    pub(crate) fn next_number(&mut self) -> u64 {
        self.last = self.last.saturating_add(1);
        self.last
    }

    /// Keeps a text; the numbers of those on disk that made room for it.
    pub(crate) fn keep(&mut self, text: Text, until: Option<u64>) -> Vec<u64> {
        self.push(Kept { text, until, earlier: false })
    }

    /// Takes up a text of an earlier meeting; the numbers of those that made room for it.
    pub(crate) fn recall(&mut self, KeptText { text, until }: KeptText) -> Vec<u64> {
        self.last = self.last.max(text.text);
        self.push(Kept { text, until: Some(until), earlier: true })
    }

    fn push(&mut self, kept: Kept) -> Vec<u64> {
        self.bytes = self.bytes.saturating_add(kept.text.body.len());
        self.kept.push_back(kept);
        let mut gone = Vec::new();
        while self.kept.len() > TEXTS_MAX || self.bytes > TEXTS_BYTES_MAX {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(oldest.text.body.len());
            gone.extend(oldest.until.map(|_| oldest.text.text));
        }
        gone
    }

    pub(crate) fn find(&self, number: u64) -> Option<&Text> {
        self.kept().find(|text| text.text == number)
    }

    /// Removes a text; whether it was on disk.
    pub(crate) fn remove(&mut self, number: u64) -> bool {
        let on_disk = self.kept.iter().any(|kept| kept.text.text == number && kept.until.is_some());
        self.take(|text, _, _| text.text == number);
        on_disk
    }

    /// Takes out those that are meant: by themselves, until when they are on disk, and whether they are of an earlier
    /// meeting.
    pub(crate) fn take(&mut self, meant: impl Fn(&Text, Option<u64>, bool) -> bool) -> Vec<Text> {
        let all = std::mem::take(&mut self.kept).into_iter();
        let (out, stay): (Vec<Kept>, Vec<Kept>) =
            all.partition(|kept| meant(&kept.text, kept.until, kept.earlier));
        self.kept = stay.into();
        let out: Vec<Text> = out.into_iter().map(|kept| kept.text).collect();
        self.bytes = out.iter().fold(self.bytes, |bytes, text| bytes.saturating_sub(text.body.len()));
        out
    }

    /// None is on disk for longer than `millis` after it was written.
    pub(crate) fn shorten(&mut self, millis: u64) {
        for kept in &mut self.kept {
            let latest = kept.text.at.saturating_add(millis);
            kept.until = kept.until.map(|until| until.min(latest));
        }
    }

    /// What is kept stays until the meeting ends and no longer.
    pub(crate) fn leave_the_disk(&mut self) {
        for kept in &mut self.kept {
            kept.until = None;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.kept.clear();
        self.bytes = 0;
    }

    pub(crate) fn kept(&self) -> impl Iterator<Item = &Text> {
        self.kept.iter().map(|kept| &kept.text)
    }

    /// Those on disk, and until when.
    #[cfg(test)]
    pub(crate) fn on_disk(&self) -> impl Iterator<Item = (u64, u64)> {
        self.kept.iter().filter_map(|kept| Some((kept.text.text, kept.until?)))
    }
}

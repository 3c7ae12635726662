//! One person in the room.

use crate::allowance::Allowance;
use crate::{ConnectionId, Identity, Role, Settings, Source};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

pub(crate) struct Participant {
    pub(crate) name: String,
    pub(crate) role: Role,
    /// From their token, for a ban.
    pub(crate) origin: Option<Arc<str>>,
    /// Grows with every arrival: the order of joining.
    pub(crate) arrival: u64,
    pub(crate) joined_unix_millis: u64,
    pub(crate) circle: Option<ConnectionId>,
    pub(crate) media: bool,
    /// Since when both are gone.
    pub(crate) absent_since: Option<Instant>,
    /// Since when they speak.
    pub(crate) speaks_since: Option<Instant>,
    /// "Someone came in": nobody else is told.
    pub(crate) away: bool,
    /// Sources that stay shut whatever the person does.
    pub(crate) held: BTreeSet<Source>,
    pub(crate) allowance: Allowance,
    /// A client that saw less than this needs the whole state: what it may see changed here.
    pub(crate) sees_since: u64,
}

impl Participant {
    pub(crate) const fn is_connected(&self) -> bool {
        self.circle.is_some() || self.media
    }
}

/// What the media side must know of somebody who comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub role: Role,
    pub held: BTreeSet<Source>,
    pub attributes: Vec<(&'static str, String)>,
}

/// The sources that the room's modes hold shut for this role.
pub(crate) fn held_by_mode(settings: &Settings, role: Role) -> BTreeSet<Source> {
    let mut held = BTreeSet::new();
    if !role.may(crate::Action::Unrestrained) {
        if settings.microphones == crate::Microphones::Held {
            held.insert(Source::Microphone);
        }
        if settings.screens == crate::Screens::Hosts {
            held.insert(Source::Screen);
        }
    }
    held
}

/// Somebody who is meant by a command, with what is needed to judge it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) identity: Identity,
    pub(crate) role: Role,
}

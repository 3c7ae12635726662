//! Who stands before the door, in the order they came: they have a circle socket and nothing else.

use crate::allowance::Allowance;
use crate::limits::WAITING_MAX;
use crate::{ConnectionId, Identity, Now, Pass};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// What somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WaitsFor {
    /// To read and accept the agreement. Hosts are not told of them.
    Agreement,
    /// That a host lets them in.
    Host,
}

pub(crate) struct Waiting {
    pub(crate) pass: Pass,
    pub(crate) connection: ConnectionId,
    pub(crate) for_what: WaitsFor,
    pub(crate) since_unix_millis: u64,
    pub(crate) allowance: Allowance,
}

impl Waiting {
    pub(crate) fn knock(&self) -> Knock {
        Knock {
            participant: self.pass.identity.clone(),
            name: self.pass.name.clone(),
            since: self.since_unix_millis,
        }
    }
}

/// One row of the hosts' list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Knock {
    pub participant: Identity,
    pub name: String,
    /// Milliseconds since 1970-01-01 UTC.
    pub since: u64,
}

#[derive(Default)]
pub(crate) struct Lobby {
    arrivals: u64,
    waiting: BTreeMap<u64, Waiting>,
    places: HashMap<Identity, u64>,
    by_connection: HashMap<ConnectionId, Identity>,
}

impl Lobby {
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING_MAX
    }

    pub(crate) fn enter(&mut self, now: Now, pass: Pass, connection: ConnectionId, for_what: WaitsFor) {
        self.arrivals = self.arrivals.saturating_add(1);
        self.by_connection.insert(connection, pass.identity.clone());
        self.places.insert(pass.identity.clone(), self.arrivals);
        let since_unix_millis = now.unix_millis;
        let allowance = Allowance::new(now.instant);
        self.waiting
            .insert(self.arrivals, Waiting { pass, connection, for_what, since_unix_millis, allowance });
    }

    pub(crate) fn identity(&self, connection: ConnectionId) -> Option<&Identity> {
        self.by_connection.get(&connection)
    }

    pub(crate) fn find(&self, identity: &Identity) -> Option<&Waiting> {
        self.waiting.get(self.places.get(identity)?)
    }

    pub(crate) fn find_mut(&mut self, identity: &Identity) -> Option<&mut Waiting> {
        self.waiting.get_mut(self.places.get(identity)?)
    }

    pub(crate) fn leave(&mut self, identity: &Identity) -> Option<Waiting> {
        let waiting = self.waiting.remove(&self.places.remove(identity)?)?;
        self.by_connection.remove(&waiting.connection);
        Some(waiting)
    }

    pub(crate) fn everybody(&self) -> impl Iterator<Item = &Waiting> {
        self.waiting.values()
    }

    /// What hosts see.
    pub(crate) fn knocks(&self) -> Vec<Knock> {
        self.waiting
            .values()
            .filter(|waiting| waiting.for_what == WaitsFor::Host)
            .map(Waiting::knock)
            .collect()
    }

    #[cfg(test)]
    pub(crate) fn counts(&self) -> [usize; 3] {
        [self.waiting.len(), self.places.len(), self.by_connection.len()]
    }
}

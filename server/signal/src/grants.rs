//! What a verified room token allows.

use livekit_protocol::{ParticipantPermission, TrackSource};
use std::collections::BTreeMap;

/// The claims of a LiveKit room token (`sub`, `name`, `metadata`, `attributes`, `video`), after its signature and
/// times were checked. Absent `can…` claims are already resolved to their defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grants {
    pub identity: String,
    pub name: String,
    pub metadata: String,
    pub attributes: BTreeMap<String, String>,
    pub room: String,
    pub can_publish: bool,
    pub can_subscribe: bool,
    pub can_publish_data: bool,
    /// Empty: every source.
    pub can_publish_sources: Vec<TrackSource>,
    pub can_update_own_metadata: bool,
    /// Nobody sees this participant; it publishes no tracks.
    pub hidden: bool,
    pub room_admin: bool,
    pub expires_at_unix: u64,
    /// Whatever the signer needs to know again of this person: carried on in fresh tokens, told to nobody.
    pub origin: Option<String>,
}

impl Grants {
    /// What a token means that names an identity and a room and says nothing else: LiveKit's defaults of its claims.
    #[must_use]
    pub fn new(identity: impl Into<String>, room: impl Into<String>) -> Self {
        Self {
            identity: identity.into(),
            name: String::new(),
            metadata: String::new(),
            attributes: BTreeMap::new(),
            room: room.into(),
            can_publish: true,
            can_subscribe: true,
            can_publish_data: true,
            can_publish_sources: Vec::new(),
            can_update_own_metadata: false,
            hidden: false,
            room_admin: false,
            expires_at_unix: 0,
            origin: None,
        }
    }

    /// Tracks of a participant nobody can see could not be shown, so a hidden one publishes none.
    pub(crate) fn may_publish(&self, source: TrackSource) -> bool {
        self.can_publish
            && !self.hidden
            && (self.can_publish_sources.is_empty() || self.can_publish_sources.contains(&source))
    }

    pub(crate) fn permission(&self) -> ParticipantPermission {
        ParticipantPermission {
            can_subscribe: self.can_subscribe,
            can_publish: self.can_publish && !self.hidden,
            can_publish_data: self.can_publish_data,
            can_publish_sources: self.can_publish_sources.iter().map(|&source| source.into()).collect(),
            hidden: self.hidden,
            can_update_metadata: self.can_update_own_metadata,
            ..Default::default()
        }
    }
}

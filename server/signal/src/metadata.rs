//! `update_metadata`: a participant changes its own name, metadata and attributes.

use crate::limits::{MAX_ATTRIBUTES, MAX_METADATA, MAX_NAME};
use crate::restrain::is_reserved;
use crate::update::Tell;
use crate::{Effect, Grants, Room};
use livekit_protocol::UpdateParticipantMetadata;
use livekit_protocol::request_response::{Reason, Request};
use sfu::PeerId;

impl Grants {
    /// Whether everything a participant shows of itself is within the bounds.
    pub(crate) fn fits(&self) -> bool {
        let attributes: usize = self
            .attributes
            .iter()
            .map(|(key, value)| key.len().saturating_add(value.len()))
            .fold(0, usize::saturating_add);
        self.name.len() <= MAX_NAME && self.metadata.len() <= MAX_METADATA && attributes <= MAX_ATTRIBUTES
    }

    /// Sets the keys that are named; an empty value deletes its key.
    pub(crate) fn merge_attributes<'a>(
        &mut self,
        changes: impl IntoIterator<Item = (&'a String, &'a String)>,
    ) {
        for (key, value) in changes {
            if value.is_empty() {
                self.attributes.remove(key);
            } else {
                self.attributes.insert(key.clone(), value.clone());
            }
        }
    }
}

impl Room {
    /// An empty name or metadata means "as it is" (LiveKit has no way to say "clear it").
    pub(crate) fn update_metadata(&mut self, peer: PeerId, request: UpdateParticipantMetadata) {
        let Some(participant) = self.participants.get_mut(&peer) else { return };
        let mut changed: Grants = participant.grants.clone();
        if !request.name.is_empty() {
            changed.name.clone_from(&request.name);
        }
        if !request.metadata.is_empty() {
            changed.metadata.clone_from(&request.metadata);
        }
        changed.merge_attributes(&request.attributes);
        let (reason, message) = if !participant.grants.can_update_own_metadata {
            (Reason::NotAllowed, "the token does not allow changing the own metadata")
        } else if request.attributes.keys().any(|key| is_reserved(key)) {
            (Reason::NotAllowed, "attributes that begin with \"enza.\" are set by the server")
        } else if !changed.fits() {
            (Reason::LimitExceeded, "the name, the metadata or the attributes are too long")
        } else {
            (Reason::Ok, "")
        };
        let told = reason == Reason::Ok && changed != participant.grants;
        let mut renamed = None;
        if told {
            let name =
                (changed.name != participant.grants.name && !changed.hidden).then(|| changed.name.clone());
            renamed = name.map(|name| Effect::Renamed { identity: changed.identity.clone(), name });
            participant.grants = changed;
        }
        self.answer_request(peer, request.request_id, reason, message, Request::UpdateMetadata(request));
        if told {
            self.announce(peer, Tell::Everybody);
        }
        if let Some(renamed) = renamed {
            self.effect(renamed);
        }
    }
}

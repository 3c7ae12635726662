//! What whoever moderates the room decides about a participant: sources shut or held, the right to publish, and
//! the attributes that only the server sets. Nothing here opens a source: its owner does.

use crate::Room;
use crate::update::Tell;
use livekit_protocol::signal_response::Message;
use livekit_protocol::{MuteTrackRequest, TrackSource, TrackUnpublishedResponse};
use sfu::{Command, PeerId, TrackId};

/// Attributes with this prefix are the server's: a client that sets one is refused.
const RESERVED: &str = "enza.";

/// Whether a participant may not set this attribute.
pub(crate) fn is_reserved(key: &str) -> bool {
    key.starts_with(RESERVED)
}

impl Room {
    fn tracks_of(&self, peer: PeerId, source: TrackSource) -> Vec<(TrackId, String)> {
        let own = self.participants.get(&peer).map_or(&[][..], |participant| &participant.tracks);
        own.iter()
            .filter_map(|id| self.tracks.get(id))
            .filter(|track| track.info.source() == source)
            .map(|track| (track.id, track.info.sid.clone()))
            .collect()
    }

    /// Mutes every track of this source now; its owner may open it again.
    pub(crate) fn mute_source(&mut self, identity: &str, source: TrackSource) {
        let Some(peer) = self.peer_by_identity(identity) else { return };
        let mut told = false;
        for (id, sid) in self.tracks_of(peer, source) {
            told |= self.shut(peer, id, &sid);
        }
        if told {
            self.announce(peer, Tell::Everybody);
        }
    }

    /// Mutes one track of its owner now; whether that is to be told.
    pub(crate) fn shut(&mut self, owner: PeerId, id: TrackId, sid: &str) -> bool {
        let reachable = self.participants.get(&owner).is_some_and(|p| p.connection().is_some());
        let Some(track) = self.tracks.get_mut(&id) else { return false };
        if std::mem::replace(&mut track.self_muted, true) {
            return false;
        }
        track.mute_unheard = !reachable;
        let told = track.settle_muted() && track.is_published();
        for track in self.media_ids(id) {
            self.command(Command::Mute { track, muted: true });
        }
        self.send(owner, Message::Mute(MuteTrackRequest { sid: sid.to_owned(), muted: true }));
        told
    }

    /// Blocks every track of this source, those to come included, or lifts that. Lifting it opens nothing.
    pub(crate) fn hold_source(&mut self, identity: &str, source: TrackSource, held: bool) {
        let Some(peer) = self.peer_by_identity(identity) else { return };
        let Some(participant) = self.participants.get_mut(&peer) else { return };
        participant.held.retain(|&known| known != source);
        if held {
            participant.held.push(source);
        }
        for (_, sid) in self.tracks_of(peer, source) {
            self.block(identity, &sid, held);
        }
    }

    /// A track of a held source never leaves the server, from its first packet on.
    pub(crate) fn hold_new_track(&mut self, peer: PeerId, id: TrackId) {
        let Some(participant) = self.participants.get(&peer) else { return };
        let Some(track) = self.tracks.get(&id) else { return };
        if participant.held.contains(&track.info.source()) {
            let (identity, sid) = (participant.grants.identity.clone(), track.info.sid.clone());
            self.block(&identity, &sid, true);
        }
    }

    /// Gives or takes the right to publish. Tracks that may no longer be sent end at once.
    pub(crate) fn permit(&mut self, identity: &str, can_publish: bool, room_admin: bool) {
        let Some(peer) = self.peer_by_identity(identity) else { return };
        let Some(participant) = self.participants.get_mut(&peer) else { return };
        let before = (participant.grants.can_publish, participant.grants.room_admin);
        if before == (can_publish, room_admin) {
            return;
        }
        participant.grants.can_publish = can_publish;
        participant.grants.room_admin = room_admin;
        let ends = if can_publish { Vec::new() } else { participant.tracks.clone() };
        for id in ends {
            let sid = self.tracks.get(&id).map(|track| track.info.sid.clone()).unwrap_or_default();
            self.unpublish(id);
            let response = TrackUnpublishedResponse { track_sid: sid };
            self.send(peer, Message::TrackUnpublished(response));
        }
        self.announce(peer, Tell::Everybody);
        self.refresh_token(peer);
    }

    /// Sets attributes that the participant itself may not set; an empty value deletes its key.
    pub(crate) fn set_attributes(&mut self, identity: &str, attributes: &[(String, String)]) {
        let Some(peer) = self.peer_by_identity(identity) else { return };
        let Some(participant) = self.participants.get_mut(&peer) else { return };
        let before = participant.grants.attributes.clone();
        participant.grants.merge_attributes(attributes.iter().map(|(key, value)| (key, value)));
        if participant.grants.attributes != before {
            self.announce(peer, Tell::Everybody);
        }
    }
}

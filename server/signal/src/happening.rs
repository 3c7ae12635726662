//! What those outside are told of a room: who came and went, which tracks began and ended. Somebody whose media never
//! came up was never there for them, and a hidden participant is not there at all.

use crate::track::Track;
use crate::{Effect, Happening, Room};
use livekit_protocol::{ParticipantInfo, TrackInfo};
use sfu::{PeerId, TrackId};

impl Room {
    /// Media is up: they joined, with what they publish already.
    pub(crate) fn note_joined(&mut self, peer: PeerId) {
        let Some(participant) = self.seen_from_outside(peer) else { return };
        let tracks = participant.tracks.clone();
        self.happened(Happening::Joined { participant: participant.clone() });
        for track in tracks {
            self.happened(Happening::Published { participant: participant.clone(), track });
        }
    }

    pub(crate) fn note_published(&mut self, owner: PeerId, id: TrackId) {
        let Some(participant) = self.seen_from_outside(owner) else { return };
        let Some(track) = self.tracks.get(&id).map(|track| track.info.clone()) else { return };
        self.happened(Happening::Published { participant, track });
    }

    pub(crate) fn note_unpublished(&mut self, owner: PeerId, track: TrackInfo) {
        let Some(participant) = self.seen_from_outside(owner) else { return };
        self.happened(Happening::Unpublished { participant, track });
    }

    /// They are about to go, and their tracks with them.
    pub(crate) fn note_leaving(&mut self, peer: PeerId) {
        let Some(participant) = self.participants.get(&peer) else { return };
        let tracks = participant.tracks.iter().filter_map(|id| self.tracks.get(id));
        let ending: Vec<TrackInfo> =
            tracks.filter(|track| Track::is_published(track)).map(|track| track.info.clone()).collect();
        for track in ending {
            self.note_unpublished(peer, track);
        }
    }

    fn seen_from_outside(&self, peer: PeerId) -> Option<ParticipantInfo> {
        let participant = self.participants.get(&peer)?;
        (participant.is_active() && !participant.grants.hidden).then(|| participant.info(&self.tracks))
    }

    fn happened(&mut self, what: Happening) {
        self.effect(Effect::Happened(Box::new(what)));
    }
}

//! Publishing: `add_track`, what the media plane finds in offers, mute and block, changes to a track.

use crate::Room;
use crate::limits::MAX_TRACKS;
use crate::participant::Participant;
use crate::track::{Track, is_reasonable};
use crate::update::Tell;
use livekit_protocol::request_response::{Reason, Request};
use livekit_protocol::signal_response::Message;
use livekit_protocol::{
    AddTrackRequest, MuteTrackRequest, RequestResponse, TrackPublishedResponse, TrackSubscribed,
    UpdateLocalAudioTrack, UpdateLocalVideoTrack,
};
use sfu::{Command, PeerId, TrackId};

impl Room {
    /// Answers `track_published`, or `request_response` with the reason against it.
    pub(crate) fn add_track(&mut self, peer: PeerId, request: AddTrackRequest) {
        let Some(participant) = self.participants.get(&peer) else { return };
        // A repeated announcement of a track that still waits for its offer is the same track.
        let waiting = participant
            .tracks
            .iter()
            .filter_map(|id| self.tracks.get(id))
            .find(|track| !track.is_published() && track.cid == request.cid && request.sid.is_empty());
        if let Some(track) = waiting {
            let published = TrackPublishedResponse { cid: request.cid, track: Some(track.info.clone()) };
            self.send(peer, Message::TrackPublished(published));
            return;
        }
        let refused = if !participant.grants.may_publish(request.source()) {
            Some((Reason::NotAllowed, "the token does not allow publishing this source"))
        } else if !request.sid.is_empty() {
            self.refuse_backup(peer, &request)
        } else if self.media_tracks(participant) >= MAX_TRACKS {
            Some((Reason::LimitExceeded, "too many tracks"))
        } else if !is_reasonable(&request) {
            Some((Reason::InvalidRequest, "the track's description is not within bounds"))
        } else {
            None
        };
        if let Some((reason, message)) = refused {
            self.answer_request(peer, 0, reason, message, Request::AddTrack(request));
            return;
        }
        if !request.sid.is_empty() {
            return self.add_backup(peer, request);
        }
        let owner_sid = participant.sid.clone();
        let Some(id) = self.next_number().map(TrackId) else { return };
        let sid = self.sids.track();
        let cid = request.cid.clone();
        let track = Track::new(self.now.instant, id, peer, sid.clone(), request);
        let (info, description, muted) =
            (track.info.clone(), track.description(&owner_sid), track.self_muted);
        self.track_sids.insert(sid, id);
        self.tracks.insert(id, track);
        if let Some(participant) = self.participants.get_mut(&peer) {
            participant.tracks.push(id);
        }
        self.command(Command::AddTrack { peer, track: id, description });
        if muted {
            self.command(Command::Mute { track: id, muted });
        }
        self.send(peer, Message::TrackPublished(TrackPublishedResponse { cid, track: Some(info) }));
        self.hold_new_track(peer, id);
    }

    /// The media plane found the track in an offer: everybody may see it now.
    pub(crate) fn published(&mut self, id: TrackId, mid: String, mime_type: String) {
        let Some(track) = self.tracks.get_mut(&id) else { return };
        let (owner, was_published) = (track.owner, track.is_published());
        let before = track.info.clone();
        track.publish(mid, mime_type);
        if was_published && track.info == before {
            return;
        }
        self.announce(owner, Tell::Everybody);
        if !was_published {
            self.note_published(owner, id);
            self.room_changed();
            self.reconcile_track(id);
        }
    }

    /// The track ends, by its owner or because it never came.
    pub(crate) fn unpublish(&mut self, id: TrackId) {
        let Some(track) = self.tracks.get(&id) else { return };
        let (owner, was_published, ended) = (track.owner, track.is_published(), track.info.clone());
        if let Some(participant) = self.participants.get_mut(&owner) {
            participant.tracks.retain(|&track| track != id);
        }
        for track in self.media_ids(id) {
            self.command(Command::RemoveTrack { track });
        }
        self.forget_track(id);
        if was_published {
            self.note_unpublished(owner, ended);
            self.announce(owner, Tell::Everybody);
            self.room_changed();
        }
    }

    /// The participant mutes its own track, or un-mutes it unless the host blocked it.
    pub(crate) fn mute(&mut self, peer: PeerId, request: &MuteTrackRequest) {
        let Some(id) = self.own_track(peer, &request.sid) else { return };
        let Some(track) = self.tracks.get_mut(&id) else { return };
        if track.blocked && !request.muted {
            let mute = MuteTrackRequest { sid: request.sid.clone(), muted: true };
            self.send(peer, Message::Mute(mute));
            return;
        }
        if track.self_muted == request.muted {
            return;
        }
        track.self_muted = request.muted;
        track.mute_unheard = false;
        let told = track.settle_muted() && track.is_published();
        for track in self.media_ids(id) {
            self.command(Command::Mute { track, muted: request.muted });
        }
        if told {
            self.announce(peer, Tell::Everybody);
        }
    }

    /// The host's block. It mutes the participant as well, so that lifting it leaves the track silent until its
    /// owner un-mutes.
    pub(crate) fn block(&mut self, identity: &str, sid: &str, blocked: bool) {
        let Some(owner) = self.peer_by_identity(identity) else { return };
        let Some(id) = self.own_track(owner, sid) else { return };
        let Some(track) = self.tracks.get_mut(&id) else { return };
        if track.blocked == blocked {
            return;
        }
        track.blocked = blocked;
        let newly_muted = blocked && !track.self_muted;
        track.self_muted |= blocked;
        let told = track.settle_muted() && track.is_published();
        for track in self.media_ids(id) {
            self.command(Command::Block { track, blocked });
            if newly_muted {
                self.command(Command::Mute { track, muted: true });
            }
        }
        if blocked {
            self.send(owner, Message::Mute(MuteTrackRequest { sid: sid.to_owned(), muted: true }));
        }
        if told {
            self.announce(owner, Tell::Everybody);
        }
    }

    /// A host's mute that a participant without a socket did not hear.
    pub(crate) fn repeat_blocks(&mut self, peer: PeerId) {
        let own =
            self.participants.get(&peer).map(|participant| participant.tracks.clone()).unwrap_or_default();
        for id in own {
            if let Some(track) = self.tracks.get_mut(&id).filter(|track| track.blocked || track.mute_unheard)
            {
                track.mute_unheard = false;
                let mute = MuteTrackRequest { sid: track.info.sid.clone(), muted: true };
                self.send(peer, Message::Mute(mute));
            }
        }
    }

    pub(crate) fn update_audio_track(&mut self, peer: PeerId, request: UpdateLocalAudioTrack) {
        let id = self.own_track(peer, &request.track_sid);
        let Some(track) = id.and_then(|id| self.tracks.get_mut(&id)) else {
            self.answer_request(
                peer,
                0,
                Reason::NotFound,
                "no such track",
                Request::UpdateAudioTrack(request),
            );
            return;
        };
        let before = track.info.clone();
        track.set_features(&request.features);
        if track.is_published() && track.info != before {
            self.announce(peer, Tell::Everybody);
        }
    }

    pub(crate) fn update_video_track(&mut self, peer: PeerId, request: UpdateLocalVideoTrack) {
        let id = self.own_track(peer, &request.track_sid);
        let Some(track) = id.and_then(|id| self.tracks.get_mut(&id)) else {
            self.answer_request(
                peer,
                0,
                Reason::NotFound,
                "no such track",
                Request::UpdateVideoTrack(request),
            );
            return;
        };
        let size = (request.width, request.height);
        if (track.info.width, track.info.height) == size {
            return;
        }
        (track.info.width, track.info.height) = size;
        if track.is_published() {
            self.announce(peer, Tell::Everybody);
        }
    }

    /// Tells the owner, once per track, that somebody receives it.
    pub(crate) fn note_subscribed(&mut self, id: TrackId) {
        let Some(track) = self.tracks.get_mut(&id) else { return };
        if std::mem::replace(&mut track.subscribed_once, true) {
            return;
        }
        let (owner, track_sid) = (track.owner, track.info.sid.clone());
        self.send(owner, Message::TrackSubscribed(TrackSubscribed { track_sid }));
    }

    /// The numbers under which the media plane knows the track: one, or one for each codec.
    pub(crate) fn media_ids(&self, id: TrackId) -> Vec<TrackId> {
        let backup = self.tracks.get(&id).and_then(|track| track.backup.as_ref()?.id());
        [Some(id), backup].into_iter().flatten().collect()
    }

    /// Tracks of a participant on the media plane: a second codec counts as one.
    fn media_tracks(&self, participant: &Participant) -> usize {
        participant.tracks.iter().map(|id| self.media_ids(*id).len()).sum()
    }

    pub(crate) fn own_track(&self, peer: PeerId, sid: &str) -> Option<TrackId> {
        self.track_by_sid(sid).filter(|track| track.owner == peer).map(|track| track.id)
    }

    pub(crate) fn answer_request(
        &mut self,
        peer: PeerId,
        request_id: u32,
        reason: Reason,
        message: &str,
        request: Request,
    ) {
        let message = message.to_owned();
        let answer = RequestResponse { request_id, reason: reason.into(), message, request: Some(request) };
        self.send(peer, Message::RequestResponse(answer));
    }
}

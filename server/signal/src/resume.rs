//! Resuming: the same participant on a new WebSocket, its media untouched.

use crate::limits::{MAX_LIST, MAX_TRACKS, REFRESH_INTERVAL};
use crate::participant::Socket;
use crate::presence::Farewell;
use crate::simulate::ResumeFault;
use crate::{ConnectionId, Effect, Grants, Room};
use livekit_protocol::signal_response::Message;
use livekit_protocol::{
    DisconnectReason, JoinRequest, MediaSectionsRequirement, ParticipantUpdate, ReconnectResponse,
    RoomUpdate, SyncState, leave_request::Action,
};
use sfu::PeerId;

impl Room {
    /// Anything but the participant's own sid, or media that is gone, means a full reconnect.
    pub(crate) fn resume(&mut self, connection: ConnectionId, grants: &Grants, request: JoinRequest) {
        let known = self.peer_by_identity(&grants.identity).and_then(|peer| self.participants.get(&peer));
        let Some(participant) = known.filter(|participant| participant.sid == request.participant_sid) else {
            self.refuse(connection, DisconnectReason::StateMismatch, Action::Reconnect);
            return;
        };
        let peer = participant.peer;
        if !participant.is_resumable() {
            self.refuse(connection, DisconnectReason::StateMismatch, Action::Reconnect);
            self.drop_participant(peer, DisconnectReason::StateMismatch, Farewell::Silence);
            return;
        }
        self.hang_up(peer, Farewell::Silence, DisconnectReason::SignalClose);
        let Some(participant) = self.participants.get_mut(&peer) else { return };
        let fault = participant.resume_fault.take();
        if fault == Some(ResumeFault::CloseBeforeMessages) {
            self.effect(Effect::Close { connection });
            return;
        }
        participant.socket = Socket::Open(connection);
        participant.refresh_at = self.now.instant + REFRESH_INTERVAL;
        self.connections.insert(connection, peer);
        self.catch_up(connection, peer);
        self.restart_subscriber(peer);
        if let Some(state) = &request.sync_state {
            self.sync_state(peer, state);
        }
        for request in request.add_track_requests.into_iter().take(MAX_TRACKS) {
            self.add_track(peer, request);
        }
        if let Some(offer) = request.publisher_offer {
            self.offer(peer, offer);
        }
        if fault == Some(ResumeFault::CloseAfterMessages) {
            self.hang_up(peer, Farewell::Silence, DisconnectReason::SignalClose);
        }
    }

    /// Everything that may have changed while the participant had no socket.
    fn catch_up(&mut self, connection: ConnectionId, peer: PeerId) {
        let Some(participant) = self.participants.get_mut(&peer) else { return };
        let sections = participant.missed_sections.take();
        let reconnect = ReconnectResponse {
            server_info: Some(self.settings.server_info()),
            last_message_seq: participant.data.last_sequence,
            ..Default::default()
        };
        // Departures first: clients know participants by identity, and somebody may have left and come back.
        let mut participants = Vec::from(participant.take_missed_departures());
        participants.push(participant.info(&self.tracks));
        let published = participant.tracks.clone();
        participants.extend(self.others(peer));
        self.send_on(connection, Message::Reconnect(reconnect));
        self.send_on(connection, Message::Update(ParticipantUpdate { participants }));
        let room = Some(self.room_info());
        self.send_on(connection, Message::RoomUpdate(RoomUpdate { room }));
        self.refresh_token(peer);
        self.tell_current_speakers(peer);
        self.tell_current_qualities(peer);
        self.repeat_refusals(peer);
        self.repeat_blocks(peer);
        for track in published {
            self.tell_wanted(track);
        }
        if self.participants.get(&peer).is_some_and(|p| p.data_tracks.has_received()) {
            self.tell_handles(peer);
        }
        if let Some((num_audios, num_videos)) = sections {
            let requirement = MediaSectionsRequirement { num_audios, num_videos };
            self.send_on(connection, Message::MediaSectionsRequirement(requirement));
        }
    }

    /// `sync_state`: what the client believes. Publications we do not know cannot be mended here.
    pub(crate) fn sync_state(&mut self, peer: PeerId, state: &SyncState) {
        let unknown = state
            .publish_tracks
            .iter()
            .take(MAX_LIST)
            .filter_map(|published| published.track.as_ref())
            .any(|track| self.own_track(peer, &track.sid).is_none());
        if unknown {
            let farewell = Farewell::Leave(Action::Reconnect);
            self.drop_participant(peer, DisconnectReason::StateMismatch, farewell);
            return;
        }
        if let Some(subscription) = &state.subscription {
            self.update_subscription(peer, subscription, false);
        }
        self.disable_tracks(peer, &state.track_sids_disabled);
        if let Some(subscription) = &state.data_subscription {
            self.update_data_subscription(peer, subscription);
        }
        self.replay_after(peer, &state.datachannel_receive_states);
    }
}

//! Joining: who may come in, what the newcomer is told, what everybody else is told.

use crate::data::DataState;
use crate::data_track::DataTracks;
use crate::limits::{MAX_IDENTITY, MAX_TRACKS, PING_INTERVAL, PING_TIMEOUT};
use crate::participant::{Newcomer, Participant};
use crate::presence::{Farewell, Occupancy};
use crate::restrain::is_reserved;
use crate::settings::enabled_codecs;
use crate::subscription::Wishes;
use crate::update::Tell;
use crate::{ConnectionId, Connections, Effect, Grants, Room};
use livekit_protocol::signal_response::Message;
use livekit_protocol::{
    ClientInfo, ConnectionSettings, DisconnectReason, JoinRequest, JoinResponse, TrackSource,
    leave_request::Action,
};
use sfu::{Command, DtlsRole, PeerId};

impl Room {
    /// A WebSocket opened. Its first message is `join`, `reconnect` or `leave`.
    pub(crate) fn join(
        &mut self,
        connection: ConnectionId,
        grants: Grants,
        held: Vec<TrackSource>,
        request: JoinRequest,
        connections: Connections,
    ) {
        if self.connections.contains_key(&connection) {
            return;
        }
        if let Occupancy::Ended { reason, action } = self.occupancy {
            self.refuse(connection, reason, action);
            return;
        }
        if request.reconnect {
            self.resume(connection, &grants, request);
            return;
        }
        let grants = own_words(grants, &request);
        if grants.identity.is_empty() || grants.identity.len() > MAX_IDENTITY || !grants.fits() {
            self.refuse(connection, DisconnectReason::JoinFailure, Action::Disconnect);
            return;
        }
        // The newest connection of an identity wins: its older one may be a tab that never said goodbye.
        if let Some(older) = self.peer_by_identity(&grants.identity) {
            let farewell = Farewell::Leave(Action::Disconnect);
            self.drop_participant(older, DisconnectReason::DuplicateIdentity, farewell);
        }
        if self.participants.len() >= self.settings.capacity() {
            self.refuse(connection, DisconnectReason::JoinFailure, Action::Disconnect);
            return;
        }
        let Some(peer) = self.next_number().map(PeerId) else {
            self.refuse(connection, DisconnectReason::JoinFailure, Action::Disconnect);
            return;
        };
        let subscriber = match connections {
            Connections::One => None,
            Connections::Two => self.next_number().map(PeerId),
        };
        self.admit(connection, peer, subscriber, grants, held, request);
    }

    fn admit(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        subscriber: Option<PeerId>,
        grants: Grants,
        held: Vec<TrackSource>,
        request: JoinRequest,
    ) {
        let sid = self.sids.participant();
        let identity = grants.identity.clone();
        // LiveKit's default when a client says nothing.
        let settings = request
            .connection_settings
            .unwrap_or(ConnectionSettings { auto_subscribe: true, ..Default::default() });
        let newcomer = Newcomer {
            peer,
            subscriber,
            sid,
            connection,
            grants,
            held,
            client: request.client_info.unwrap_or_default(),
            wishes: Wishes::new(settings.auto_subscribe),
            data: DataState::new(self.now.instant, &self.replay),
            data_tracks: DataTracks::new(settings.auto_subscribe_data_track == Some(true)),
        };
        let role = handshake(&newcomer.client);
        let participant = Participant::new(self.now, newcomer);
        self.participants.insert(peer, participant);
        self.identities.insert(identity, peer);
        self.connections.insert(connection, peer);
        self.occupancy = Occupancy::Occupied;
        self.room_changed();

        let room = self.room_info();
        let other_participants = self.others(peer);
        let Some(participant) = self.participants.get(&peer) else { return };
        let response = JoinResponse {
            room: Some(room),
            participant: Some(participant.info(&self.tracks)),
            other_participants,
            server_version: self.settings.server_version.to_owned(),
            ping_interval: PING_INTERVAL,
            ping_timeout: PING_TIMEOUT,
            server_info: Some(self.settings.server_info()),
            sif_trailer: self.sif_trailer.clone(),
            enabled_publish_codecs: enabled_codecs(),
            subscriber_primary: subscriber.is_some(),
            fast_publish: participant.grants.permission().can_publish,
            ..Default::default()
        };
        self.send_on(connection, Message::Join(response));
        self.refresh_token(peer);
        self.command(Command::Connect { peer, room: self.settings.id, role });
        if let Some(subscriber) = subscriber {
            self.subscribers.insert(subscriber, peer);
            self.command(Command::ConnectSubscriber { peer: subscriber, room: self.settings.id });
        }
        if self.participants.get(&peer).is_some_and(|participant| !participant.grants.hidden) {
            self.effect(Effect::Arrived { connection });
        }
        self.announce(peer, Tell::Others);
        // Before the offer, so that its answer already carries what is there.
        self.reconcile_subscriber(peer);
        if settings.auto_subscribe_data_track == Some(true) {
            self.subscribe_all_data(peer);
        }
        for request in request.add_track_requests.into_iter().take(MAX_TRACKS) {
            self.add_track(peer, request);
        }
        if let Some(offer) = request.publisher_offer {
            self.offer(peer, offer);
        }
    }
}

/// Browsers that take AES-128-GCM for SRTP (by name as in [`ClientInfo`], from this version on): with them we begin the
/// DTLS handshake ourselves, and the join is a round trip shorter. Higher: fewer of them are quick; lower: one without GCM
/// would never be connected.
const GCM_BROWSERS: [(&str, u32); 2] = [("Chrome", 110), ("Firefox", 110)];

/// Our part in the handshake with this client.
fn handshake(client: &ClientInfo) -> DtlsRole {
    let version = client.browser_version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    let known = GCM_BROWSERS
        .into_iter()
        .any(|(name, from)| client.browser == name && version.is_some_and(|version| version >= from));
    if known { DtlsRole::Client } else { DtlsRole::Server }
}

/// A join request may replace what the token says of the participant, if the token allows changing it.
fn own_words(mut grants: Grants, request: &JoinRequest) -> Grants {
    if grants.can_update_own_metadata {
        if !request.metadata.is_empty() {
            grants.metadata.clone_from(&request.metadata);
        }
        let set = request
            .participant_attributes
            .iter()
            .filter(|(key, value)| !value.is_empty() && !is_reserved(key));
        grants.merge_attributes(set);
    }
    grants
}

//! What a client asks on its connection, one message at a time.

use crate::limits::{MAX_PENDING_OFFERS, MAX_SDP};
use crate::participant::{PendingOffer, millis};
use crate::presence::Farewell;
use crate::{ConnectionId, Room};
use livekit_protocol::signal_request::Message as Ask;
use livekit_protocol::signal_response::Message;
use livekit_protocol::{DisconnectReason, Pong, SessionDescription, SignalRequest};
use sfu::{Command, PeerId};

impl Room {
    #[expect(deprecated, reason = "update_layers is named to be ignored")]
    pub(crate) fn request(&mut self, connection: ConnectionId, request: SignalRequest) {
        let Some(&peer) = self.connections.get(&connection) else { return };
        let Some(message) = request.message else { return };
        match message {
            Ask::Offer(offer) => self.offer(peer, offer),
            Ask::AddTrack(request) => self.add_track(peer, request),
            Ask::Mute(request) => self.mute(peer, &request),
            Ask::Subscription(request) => self.update_subscription(peer, &request, true),
            Ask::TrackSetting(request) => self.track_setting(peer, &request),
            Ask::Leave(_) => {
                self.drop_participant(peer, DisconnectReason::ClientInitiated, Farewell::Silence);
            }
            Ask::SubscriptionPermission(request) => self.set_audience(peer, &request),
            Ask::SyncState(state) => self.sync_state(peer, &state),
            Ask::Simulate(request) => self.simulate(peer, &request),
            Ask::Ping(_) => self.send(peer, Message::Pong(millis(self.now.unix_millis))),
            Ask::PingReq(ping) => {
                let timestamp = millis(self.now.unix_millis);
                let pong = Pong { last_ping_timestamp: ping.timestamp, timestamp };
                self.send(peer, Message::PongResp(pong));
            }
            Ask::UpdateMetadata(request) => self.update_metadata(peer, request),
            Ask::UpdateAudioTrack(request) => self.update_audio_track(peer, request),
            Ask::UpdateVideoTrack(request) => self.update_video_track(peer, request),
            Ask::PublishDataTrackRequest(request) => self.publish_data_track(peer, request),
            Ask::UnpublishDataTrackRequest(request) => self.unpublish_data_track(peer, request),
            Ask::UpdateDataSubscription(request) => self.update_data_subscription(peer, &request),
            Ask::Answer(answer) => self.client_answer(peer, answer),
            // The ICE-lite server needs no candidates; layers come with
            // `add_track`; data blobs are off, as they are in LiveKit by default.
            Ask::Trickle(_)
            | Ask::UpdateLayers(_)
            | Ask::StoreDataBlobRequest(_)
            | Ask::GetDataBlobRequest(_) => {}
        }
    }

    /// Passes an offer on. Too many at once are a flood and get no answer.
    pub(crate) fn offer(&mut self, peer: PeerId, offer: SessionDescription) {
        let Some(participant) = self.participants.get_mut(&peer) else { return };
        let Some(connection) = participant.connection() else { return };
        if offer.r#type != "offer"
            || offer.sdp.len() > MAX_SDP
            || participant.offers.len() >= MAX_PENDING_OFFERS
        {
            tracing::debug!(participant = participant.sid, bytes = offer.sdp.len(), "offer not taken");
            return;
        }
        participant.offers.push_back(PendingOffer { id: offer.id, connection });
        self.command(Command::Offer { peer, offer_id: offer.id, sdp: offer.sdp });
    }
}

//! What the media plane reports, turned into LiveKit's messages. Peers and tracks that are not in this room are
//! somebody else's, or have gone meanwhile.

use crate::limits::MAX_PENDING_OFFERS;
use crate::participant::{PendingOffer, Transport};
use crate::presence::Farewell;
use crate::update::Tell;
use crate::{ConnectionId, Room};
use livekit_protocol::signal_response::Message;
use livekit_protocol::{
    DisconnectReason, MediaSectionsRequirement, SessionDescription, leave_request::Action,
};
use sfu::sdp::OfferError;
use sfu::{Event, PeerId, TrackId};
use std::collections::HashMap;

impl Room {
    pub(crate) fn media(&mut self, event: Event) {
        let Some(event) = self.of_participant(event) else { return };
        match event {
            Event::Answer { peer, offer_id, sdp, mid_to_track } => {
                self.answer(peer, offer_id, sdp, &mid_to_track);
            }
            // Only ever to a second peer.
            Event::Offer { .. } | Event::OfferUnanswered { .. } => {}
            Event::OfferRefused { peer, offer_id, error } => self.offer_refused(peer, offer_id, &error),
            Event::Connected { peer } => self.connected(peer),
            Event::Silent { peer } => self.silent(peer),
            Event::Heard { peer } => self.heard(peer),
            Event::Disconnected { peer, reason } => self.media_lost(peer, reason),
            Event::Published { peer, track, mid, mime_type } => {
                if self.owns(peer, self.track_of(track)) {
                    if self.backups.contains_key(&track) {
                        self.backup_published(track, mid, mime_type);
                    } else {
                        self.published(track, mid, mime_type);
                    }
                }
            }
            Event::Unpublished { peer, track } => {
                if self.owns(peer, self.track_of(track)) {
                    if self.backups.contains_key(&track) {
                        self.end_backup(track);
                    } else {
                        self.unpublish(track);
                    }
                }
            }
            Event::MediaSections { peer, audios, videos } => self.media_sections(peer, audios, videos),
            Event::Subscribed { peer, track } => self.subscribed(peer, track),
            Event::SubscriptionRefused { peer, track } => self.subscription_refused(peer, track),
            Event::Speakers { room, changed } => {
                if room == self.settings.id {
                    self.speakers(changed);
                }
            }
            Event::ConnectionQuality { peer, quality } => self.quality(peer, quality),
            Event::WantedLayers { track, wanted } => self.wanted_layers(track, wanted),
            Event::StreamState { peer, track, paused } => self.stream_state(peer, track, paused),
            Event::Data { peer, channel, payload } => self.data(peer, channel, payload),
        }
    }

    fn owns(&self, peer: PeerId, track: TrackId) -> bool {
        self.tracks.get(&track).is_some_and(|track| track.owner == peer)
    }

    /// Takes the pending offer this outcome belongs to. Outcomes come in the order of the offers.
    fn take_offer(&mut self, peer: PeerId, offer_id: u32) -> Option<ConnectionId> {
        let offers = &mut self.participants.get_mut(&peer)?.offers;
        for _ in 0..MAX_PENDING_OFFERS {
            let PendingOffer { id, connection } = offers.pop_front()?;
            if id == offer_id {
                return Some(connection);
            }
        }
        None
    }

    /// The connection the offer came on, if it still is the participant's.
    fn offerer(&mut self, peer: PeerId, offer_id: u32) -> Option<ConnectionId> {
        let from = self.take_offer(peer, offer_id)?;
        self.participants.get(&peer)?.connection().filter(|&connection| connection == from)
    }

    fn answer(&mut self, peer: PeerId, id: u32, sdp: String, mid_to_track: &[(String, TrackId)]) {
        let Some(connection) = self.offerer(peer, id) else { return };
        let mid_to_track_id = self.mid_to_sid(mid_to_track);
        let answer = SessionDescription { r#type: "answer".to_owned(), sdp, id, mid_to_track_id };
        self.send_on(connection, Message::Answer(answer));
    }

    pub(crate) fn mid_to_sid(&self, mid_to_track: &[(String, TrackId)]) -> HashMap<String, String> {
        mid_to_track
            .iter()
            .filter_map(|(mid, track)| {
                let track = self.tracks.get(&self.track_of(*track))?;
                Some((mid.clone(), track.info.sid.clone()))
            })
            .collect()
    }

    /// A client whose offer cannot be used is stuck. A new one starts from nothing at most once; one that never
    /// got anywhere is sent away.
    fn offer_refused(&mut self, peer: PeerId, offer_id: u32, error: &OfferError) {
        if self.offerer(peer, offer_id).is_none() {
            return;
        }
        let Some(participant) = self.participants.get(&peer) else { return };
        tracing::debug!(participant = participant.sid, %error, "offer refused");
        // One that has collected too many m-lines starts with few.
        let outgrown = matches!(error, OfferError::TooManySections(_));
        let (reason, action) = if participant.is_active() || outgrown {
            (DisconnectReason::StateMismatch, Action::Reconnect)
        } else {
            (DisconnectReason::JoinFailure, Action::Disconnect)
        };
        self.drop_participant(peer, reason, Farewell::Leave(action));
    }

    fn connected(&mut self, peer: PeerId) {
        let now = self.now.instant;
        let Some(participant) = self.participants.get_mut(&peer) else { return };
        if participant.transport != Transport::Connecting {
            return;
        }
        participant.transport = Transport::Up;
        participant.data.transport_up(now);
        self.announce(peer, Tell::Everybody);
        self.tell_current_speakers(peer);
        self.tell_current_qualities(peer);
        self.note_joined(peer);
    }

    fn silent(&mut self, peer: PeerId) {
        let since = self.now.instant;
        let Some(participant) = self.participants.get_mut(&peer) else { return };
        if participant.transport == Transport::Up {
            participant.transport = Transport::Silent { since };
            if participant.quality == Some(sfu::ConnectionQuality::Lost) {
                self.tell_quality(peer);
            }
        }
    }

    fn heard(&mut self, peer: PeerId) {
        if let Some(participant) = self.participants.get_mut(&peer)
            && let Transport::Silent { .. } = participant.transport
        {
            participant.transport = Transport::Up;
            if participant.quality == Some(sfu::ConnectionQuality::Lost) {
                self.tell_quality(peer);
            }
        }
    }

    fn media_sections(&mut self, peer: PeerId, num_audios: u32, num_videos: u32) {
        let Some(participant) = self.participants.get_mut(&peer) else { return };
        if participant.connection().is_none() {
            participant.missed_sections = Some((num_audios, num_videos));
            return;
        }
        self.send(
            peer,
            Message::MediaSectionsRequirement(MediaSectionsRequirement { num_audios, num_videos }),
        );
    }
}

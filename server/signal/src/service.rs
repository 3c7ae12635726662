//! What LiveKit's server API asks of a live room (`RoomService`). Who may ask is decided before.

use crate::limits::MAX_DATA_MESSAGE;
use crate::participant::Participant;
use crate::presence::Occupancy;
use crate::restrain::is_reserved;
use crate::update::Tell;
use crate::{Effect, Now, Room};
use livekit_protocol::data_packet::{Kind, Value};
use livekit_protocol::{
    DataPacket, ParticipantInfo, SendDataRequest, TrackInfo, UpdateParticipantRequest, UpdateSubscription,
    UserPacket,
};
use prost::Message as _;
use sfu::{Command, DataChannel};
use std::time::Duration;

/// Why a request of the server API is not obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    #[error("participant does not exist")]
    ParticipantUnknown,
    #[error("track does not exist")]
    TrackUnknown,
    #[error("the name, the metadata or the attributes are too long")]
    TooLong,
    #[error("attributes that begin with \"enza.\" are set by the server")]
    Reserved,
    #[error("what a participant may receive, and from which sources it may send, is fixed by its token")]
    Fixed,
}

/// How long a room waits when it is empty, and how many it holds. `None`: as before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    pub empty_timeout: Option<Duration>,
    pub departure_timeout: Option<Duration>,
    pub max_participants: Option<u32>,
}

impl Room {
    /// Everybody in it, hidden participants included, in the order they joined.
    #[must_use]
    pub fn participant_infos(&self) -> Vec<ParticipantInfo> {
        self.participants.values().map(|participant| participant.info(&self.tracks)).collect()
    }

    /// Sets how long the room waits and how many it holds. Nobody is sent out.
    pub fn set_bounds(&mut self, now: Now, bounds: Bounds) {
        self.now = now;
        let settings = &mut self.settings;
        settings.empty_timeout = bounds.empty_timeout.unwrap_or(settings.empty_timeout);
        settings.departure_timeout = bounds.departure_timeout.unwrap_or(settings.departure_timeout);
        settings.max_participants = bounds.max_participants.unwrap_or(settings.max_participants);
        if let (Occupancy::Vacant { .. }, Some(wait)) = (self.occupancy, bounds.empty_timeout) {
            self.occupancy = Occupancy::Vacant { until: now.instant + wait };
        }
    }

    /// Mutes one track; its owner may open it again.
    ///
    /// # Errors
    /// [`ServiceError::ParticipantUnknown`] or [`ServiceError::TrackUnknown`].
    pub fn mute_track(
        &mut self,
        now: Now,
        identity: &str,
        track_sid: &str,
    ) -> Result<TrackInfo, ServiceError> {
        self.now = now;
        let peer = self.peer_by_identity(identity).ok_or(ServiceError::ParticipantUnknown)?;
        let track = self.track_by_sid(track_sid).filter(|track| track.owner == peer);
        let id = track.ok_or(ServiceError::TrackUnknown)?.id;
        if self.shut(peer, id, track_sid) {
            self.announce(peer, Tell::Everybody);
        }
        self.tracks.get(&id).map(|track| track.info.clone()).ok_or(ServiceError::TrackUnknown)
    }

    /// Subscribes somebody to tracks, or ends that.
    ///
    /// # Errors
    /// [`ServiceError::ParticipantUnknown`].
    pub fn subscribe(
        &mut self,
        now: Now,
        identity: &str,
        change: &UpdateSubscription,
    ) -> Result<(), ServiceError> {
        self.now = now;
        let peer = self.peer_by_identity(identity).ok_or(ServiceError::ParticipantUnknown)?;
        self.update_subscription(peer, change, false);
        Ok(())
    }

    /// Sends data to the named participants, to everybody where none is named. Only who is connected gets it.
    ///
    /// # Errors
    /// [`ServiceError::TooLong`].
    pub fn send_data(&mut self, now: Now, request: SendDataRequest) -> Result<(), ServiceError> {
        self.now = now;
        let lossy = request.kind == i32::from(Kind::Lossy);
        let named = |participant: &Participant| {
            #[expect(deprecated, reason = "older server clients still name sids")]
            let sids = &request.destination_sids;
            let identities = &request.destination_identities;
            (sids.is_empty() && identities.is_empty())
                || sids.contains(&participant.sid)
                || identities.contains(&participant.grants.identity)
        };
        let to: Vec<_> = self
            .participants
            .values()
            .filter(|participant| participant.is_active() && named(participant))
            .map(|participant| participant.peer)
            .collect();
        let user = UserPacket {
            payload: request.data,
            topic: request.topic,
            nonce: request.nonce,
            ..UserPacket::default()
        };
        #[expect(deprecated, reason = "older clients read the kind")]
        let packet = DataPacket {
            kind: request.kind,
            destination_identities: request.destination_identities,
            value: Some(Value::User(user)),
            ..DataPacket::default()
        };
        let payload = packet.encode_to_vec();
        if payload.len() > MAX_DATA_MESSAGE {
            return Err(ServiceError::TooLong);
        }
        if !to.is_empty() {
            let channel = if lossy { DataChannel::Lossy } else { DataChannel::Reliable };
            self.command(Command::SendData { to, channel, payload: payload.into() });
        }
        Ok(())
    }

    /// Changes what a participant shows of itself, and what it may do beside publishing. Empty means "as it is".
    ///
    /// # Errors
    /// [`ServiceError`]; then nothing is changed.
    pub fn update_participant(
        &mut self,
        now: Now,
        request: &UpdateParticipantRequest,
    ) -> Result<ParticipantInfo, ServiceError> {
        self.now = now;
        let peer = self.peer_by_identity(&request.identity).ok_or(ServiceError::ParticipantUnknown)?;
        let participant = self.participants.get_mut(&peer).ok_or(ServiceError::ParticipantUnknown)?;
        let mut changed = participant.grants.clone();
        if !request.name.is_empty() {
            changed.name.clone_from(&request.name);
        }
        if !request.metadata.is_empty() {
            changed.metadata.clone_from(&request.metadata);
        }
        if request.attributes.keys().any(|key| is_reserved(key)) {
            return Err(ServiceError::Reserved);
        }
        changed.merge_attributes(&request.attributes);
        if let Some(permission) = &request.permission {
            let before = changed.permission();
            if permission.can_subscribe != before.can_subscribe
                || permission.can_publish_sources != before.can_publish_sources
            {
                return Err(ServiceError::Fixed);
            }
            changed.can_publish_data = permission.can_publish_data;
            changed.can_update_own_metadata = permission.can_update_metadata;
        }
        if !changed.fits() {
            return Err(ServiceError::TooLong);
        }
        if changed != participant.grants {
            let renamed = changed.name != participant.grants.name && !changed.hidden;
            let (identity, name) = (changed.identity.clone(), changed.name.clone());
            participant.grants = changed;
            self.announce(peer, Tell::Everybody);
            self.refresh_token(peer);
            if renamed {
                self.effect(Effect::Renamed { identity, name });
            }
        }
        let info = self.participants.get(&peer).map(|participant| participant.info(&self.tracks));
        info.ok_or(ServiceError::ParticipantUnknown)
    }
}

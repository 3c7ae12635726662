//! `update` and `room_update`: what everybody is told about participants and the room.

use crate::Room;
use crate::limits::ROOM_UPDATE_INTERVAL;
use crate::participant::{Participant, millis, seconds};
use crate::settings::enabled_codecs;
use crate::track::Track;
use livekit_protocol::signal_response::Message;
use livekit_protocol::{ParticipantInfo, ParticipantUpdate, RoomUpdate};
use sfu::PeerId;
use std::time::{Duration, Instant};

/// When the next `room_update` goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RoomUpdatePacing {
    /// Everybody knows the room as it is.
    Settled,
    /// The numbers changed; they are told at this time.
    Due(Instant),
}

/// Whether the participant itself is among those who are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tell {
    Everybody,
    Others,
}

impl Room {
    /// Tells the participant's new state. A hidden participant's goes to itself only.
    pub(crate) fn announce(&mut self, peer: PeerId, tell: Tell) {
        let Some(participant) = self.participants.get_mut(&peer) else { return };
        participant.version = participant.version.saturating_add(1);
        let hidden = participant.grants.hidden;
        let Some(info) = self.participants.get(&peer).map(|p| p.info(&self.tracks)) else { return };
        for (to, connection) in self.audience() {
            let told = if to == peer { tell == Tell::Everybody } else { !hidden };
            if told {
                let update = ParticipantUpdate { participants: vec![info.clone()] };
                self.send_on(connection, Message::Update(update));
            }
        }
    }

    /// Tells that somebody who is no longer in the tables has gone.
    pub(crate) fn announce_departure(&mut self, info: &ParticipantInfo) {
        for (_, connection) in self.audience() {
            let update = ParticipantUpdate { participants: vec![info.clone()] };
            self.send_on(connection, Message::Update(update));
        }
        for absent in self.participants.values_mut().filter(|p| p.connection().is_none()) {
            absent.miss_departure(info);
        }
    }

    /// Everybody `viewer` can see besides itself.
    pub(crate) fn others(&self, viewer: PeerId) -> Vec<ParticipantInfo> {
        self.participants
            .values()
            .filter(|other| other.peer != viewer && !other.grants.hidden)
            .map(|other| other.info(&self.tracks))
            .collect()
    }

    /// The room as LiveKit shows it.
    #[must_use]
    pub fn room_info(&self) -> livekit_protocol::Room {
        let seen = || self.participants.values().filter(|p| !p.grants.hidden);
        let publishes =
            |p: &&Participant| p.tracks.iter().any(|id| self.tracks.get(id).is_some_and(Track::is_published));
        livekit_protocol::Room {
            sid: self.sid.clone(),
            name: self.settings.name.clone(),
            empty_timeout: whole_seconds(self.settings.empty_timeout),
            departure_timeout: whole_seconds(self.settings.departure_timeout),
            max_participants: self.settings.max_participants,
            creation_time: seconds(self.settings.created_unix_millis),
            creation_time_ms: millis(self.settings.created_unix_millis),
            enabled_codecs: enabled_codecs(),
            metadata: self.metadata.clone(),
            num_participants: count(seen().count()),
            num_publishers: count(seen().filter(publishes).count()),
            ..Default::default()
        }
    }

    /// The number of participants or publishers may have changed.
    pub(crate) fn room_changed(&mut self) {
        if self.room_update == RoomUpdatePacing::Settled {
            self.room_update = RoomUpdatePacing::Due(self.now.instant + ROOM_UPDATE_INTERVAL);
        }
    }

    pub(crate) fn set_metadata(&mut self, metadata: String) {
        if self.metadata != metadata {
            self.metadata = metadata;
            self.room_changed();
        }
    }

    pub(crate) fn tell_room(&mut self) {
        self.room_update = RoomUpdatePacing::Settled;
        let room = self.room_info();
        for (_, connection) in self.audience() {
            self.send_on(connection, Message::RoomUpdate(RoomUpdate { room: Some(room.clone()) }));
        }
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn whole_seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

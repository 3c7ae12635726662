//! How participants and the room itself end: sockets that close, media that fails, timers, the host, the server.

use crate::backup::Backup;
use crate::limits::ANNOUNCED_TIMEOUT;
use crate::participant::{Expiry, Participant, Socket, Transport};
use crate::subscription::Wishes;
use crate::track::Track;
use crate::update::RoomUpdatePacing;
use crate::{ConnectionId, Effect, Happening, Room, leave_response};
use livekit_protocol::{DisconnectReason, leave_request::Action, participant_info};
use sfu::{Command, PeerId, TrackId};
use std::time::Instant;

/// Whether the room lives, and how long it waits when nobody is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occupancy {
    Occupied,
    Vacant {
        until: Instant,
    },
    /// Whoever still comes is sent away with this.
    Ended {
        reason: DisconnectReason,
        action: Action,
    },
}

/// What a participant that is dropped hears about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Farewell {
    Leave(Action),
    /// Its socket just closes.
    Silence,
}

impl Room {
    /// The socket is gone. Whether the participant stays is decided by its media.
    pub(crate) fn closed(&mut self, connection: ConnectionId) {
        let Some(peer) = self.connections.remove(&connection) else { return };
        if let Some(participant) = self.participants.get_mut(&peer) {
            participant.socket = Socket::Lost { since: self.now.instant };
        }
    }

    pub(crate) fn expel(&mut self, identity: &str, reason: DisconnectReason) {
        if let Some(peer) = self.peer_by_identity(identity) {
            self.drop_participant(peer, reason, Farewell::Leave(Action::Disconnect));
        }
    }

    /// A stopping server asks everybody back: by then the next one may run. Any other end is final.
    pub(crate) fn end(&mut self, reason: DisconnectReason) {
        if matches!(self.occupancy, Occupancy::Ended { .. }) {
            return;
        }
        let action =
            if reason == DisconnectReason::ServerShutdown { Action::Reconnect } else { Action::Disconnect };
        while let Some((&peer, _)) = self.participants.first_key_value() {
            self.drop_participant(peer, reason, Farewell::Leave(action));
        }
        self.finish(reason, action);
    }

    fn finish(&mut self, reason: DisconnectReason, action: Action) {
        self.occupancy = Occupancy::Ended { reason, action };
        self.room_update = RoomUpdatePacing::Settled;
        self.effect(Effect::Ended);
    }

    /// Sends a connection away that has no participant.
    pub(crate) fn refuse(&mut self, connection: ConnectionId, reason: DisconnectReason, action: Action) {
        self.effect(Effect::Send { connection, response: Box::new(leave_response(reason, action)) });
        self.effect(Effect::Close { connection });
    }

    /// Closes a participant's socket, keeping the participant.
    pub(crate) fn hang_up(&mut self, peer: PeerId, farewell: Farewell, reason: DisconnectReason) {
        let now = self.now.instant;
        let Some(participant) = self.participants.get_mut(&peer) else { return };
        let Socket::Open(connection) = participant.socket else { return };
        participant.socket = Socket::Lost { since: now };
        self.connections.remove(&connection);
        if let Farewell::Leave(action) = farewell {
            self.effect(Effect::Send { connection, response: Box::new(leave_response(reason, action)) });
        }
        self.effect(Effect::Close { connection });
    }

    /// Ends a participant: its socket, its media, its tracks everywhere, and tells the others.
    pub(crate) fn drop_participant(&mut self, peer: PeerId, reason: DisconnectReason, farewell: Farewell) {
        self.hang_up(peer, farewell, reason);
        self.note_leaving(peer);
        let Some(mut participant) = self.participants.remove(&peer) else { return };
        if self.identities.get(&participant.grants.identity) == Some(&peer) {
            self.identities.remove(&participant.grants.identity);
        }
        tracing::debug!(participant = participant.sid, reason = reason.as_str_name(), "participant left");
        for track in std::mem::take(&mut participant.tracks) {
            self.forget_track(track);
        }
        self.forget_data_tracks_of(peer);
        self.command(Command::Disconnect { peer });
        if let Some(subscriber) = participant.subscriber {
            self.subscribers.remove(&subscriber);
            self.command(Command::Disconnect { peer: subscriber });
        }
        if !participant.grants.hidden {
            participant.version = participant.version.saturating_add(1);
            let mut info = participant.info(&self.tracks);
            info.state = participant_info::State::Disconnected.into();
            info.disconnect_reason = reason.into();
            info.data_tracks.clear();
            self.announce_departure(&info);
            if participant.is_active() {
                self.effect(Effect::Happened(Box::new(Happening::Left { participant: info.clone() })));
            }
            let for_good = reason == DisconnectReason::ClientInitiated;
            self.effect(Effect::Departed { identity: info.identity, for_good });
        }
        self.room_changed();
        if self.participants.is_empty() {
            self.replay.clear();
            self.room_update = RoomUpdatePacing::Settled;
            self.occupancy = Occupancy::Vacant { until: self.now.instant + self.settings.departure_timeout };
        }
    }

    /// Removes a track from every table; telling is the caller's.
    pub(crate) fn forget_track(&mut self, id: TrackId) {
        if let Some(track) = self.tracks.remove(&id) {
            self.track_sids.remove(&track.info.sid);
            self.backups.retain(|_, of| *of != id);
        }
        self.participants
            .values_mut()
            .map(|p| &mut p.wishes)
            .for_each(|wishes: &mut Wishes| wishes.forget(id));
    }

    /// The media plane lost the peer for good.
    pub(crate) fn media_lost(&mut self, peer: PeerId, why: sfu::DisconnectReason) {
        let now = self.now.instant;
        let Some(participant) = self.participants.get_mut(&peer) else { return };
        participant.offers.clear();
        match (participant.transport, why) {
            // Never up: a resume would bring nothing back.
            (Transport::Connecting, _) => {
                self.drop_participant(
                    peer,
                    DisconnectReason::JoinFailure,
                    Farewell::Leave(Action::Reconnect),
                );
            }
            (Transport::Failed { .. } | Transport::Ended { .. }, _) => {}
            (Transport::Up | Transport::Silent { .. }, sfu::DisconnectReason::ClosedByPeer) => {
                participant.transport = Transport::Ended { since: now };
            }
            (Transport::Up | Transport::Silent { .. }, _) if participant.connection().is_none() => {
                self.drop_participant(peer, DisconnectReason::SignalClose, Farewell::Silence);
            }
            (Transport::Up | Transport::Silent { .. }, _) => {
                participant.transport = Transport::Failed { since: now };
                self.hang_up(peer, Farewell::Leave(Action::Resume), DisconnectReason::ConnectionTimeout);
            }
        }
    }

    /// Everything that waits for a time.
    pub(crate) fn deadlines(&self) -> impl Iterator<Item = Instant> {
        let vacant = match self.occupancy {
            Occupancy::Vacant { until } if !self.kept_open => Some(until),
            Occupancy::Vacant { .. } | Occupancy::Occupied | Occupancy::Ended { .. } => None,
        };
        let room_update = match self.room_update {
            RoomUpdatePacing::Due(at) => Some(at),
            RoomUpdatePacing::Settled => None,
        };
        let participants = self.participants.values().flat_map(|p| {
            [
                p.expiry().map(|expiry| expiry.at),
                p.connection().map(|_| p.refresh_at),
                p.data.opens_at(),
                p.simulated_speech.as_ref().map(|speech| speech.until),
            ]
        });
        let tracks = self
            .tracks
            .values()
            .flat_map(|track| [track.expires_at(), track.backup.as_ref().and_then(Backup::deadline)]);
        [vacant, room_update].into_iter().chain(participants).chain(tracks).flatten()
    }

    /// Somebody is here without media, or nobody is any more.
    pub(crate) fn keep_open(&mut self, open: bool) {
        self.kept_open = open;
        if let Occupancy::Vacant { until } = self.occupancy
            && !open
            && until <= self.now.instant
        {
            self.occupancy = Occupancy::Vacant { until: self.now.instant + self.settings.departure_timeout };
        }
    }

    pub(crate) fn run_timers(&mut self) {
        let now = self.now.instant;
        if self.next_deadline().is_none_or(|at| at > now) {
            return;
        }
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let expired =
            |p: &Participant| p.expiry().filter(|expiry| expiry.at <= now).map(|expiry| (p.peer, expiry));
        let dropped: Vec<(PeerId, Expiry)> = self.participants.values().filter_map(expired).collect();
        for (peer, Expiry { reason, advice, .. }) in dropped {
            self.drop_participant(peer, reason, Farewell::Leave(advice));
        }
        let peers = |room: &Self, test: &dyn Fn(&Participant) -> bool| -> Vec<PeerId> {
            room.participants.values().filter(|p| test(p)).map(|p| p.peer).collect()
        };
        for peer in peers(self, &|p| p.connection().is_some() && p.refresh_at <= now) {
            self.refresh(peer);
        }
        for peer in peers(self, &|p| due(p.data.opens_at())) {
            self.open_data(peer);
        }
        for peer in peers(self, &|p| due(p.simulated_speech.as_ref().map(|speech| speech.until))) {
            self.end_simulated_speech(peer);
        }
        let expired: Vec<TrackId> =
            self.tracks.values().filter(|track| due(track.expires_at())).map(|track| track.id).collect();
        for track in expired {
            tracing::debug!(timeout = ?ANNOUNCED_TIMEOUT, "an announced track never came");
            self.unpublish(track);
        }
        let late = |track: &&Track| due(track.backup.as_ref().and_then(Backup::deadline));
        let late: Vec<TrackId> = self.tracks.values().filter(late).map(|track| track.id).collect();
        for track in late {
            self.backup_due(track);
        }
        if let RoomUpdatePacing::Due(at) = self.room_update
            && at <= now
        {
            self.tell_room();
        }
        if let Occupancy::Vacant { until } = self.occupancy
            && until <= now
            && !self.kept_open
        {
            self.finish(DisconnectReason::RoomClosed, Action::Reconnect);
        }
    }

    fn refresh(&mut self, peer: PeerId) {
        if let Some(participant) = self.participants.get_mut(&peer) {
            participant.refresh_at = self.now.instant + crate::limits::REFRESH_INTERVAL;
        }
        self.refresh_token(peer);
    }
}

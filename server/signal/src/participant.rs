//! One participant: who it is, how it is reachable, what it publishes and wants to receive.

use crate::data::DataState;
use crate::data_track::DataTracks;
use crate::limits::{
    FAILED_GRACE, JOIN_TIMEOUT, LEAVE_GRACE, MAX_FEATURES, MAX_MISSED_DEPARTURES, REFRESH_INTERVAL,
    SILENT_GRACE, UNCONNECTED_GRACE,
};
use crate::simulate::{ResumeFault, SimulatedSpeech};
use crate::speaker::Voice;
use crate::subscription::{Audience, Wishes};
use crate::track::Track;
use crate::{ConnectionId, Grants, Now};
use livekit_protocol::{
    ClientInfo, DisconnectReason, ParticipantInfo, SpeakerInfo, TrackInfo, TrackSource,
    client_info::Capability, leave_request::Action, participant_info,
};
use sfu::{ConnectionQuality, PeerId, TrackId};
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

/// The participant's WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Socket {
    Open(ConnectionId),
    Lost { since: Instant },
}

/// The participant's media transport as the media plane reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Not up yet: the participant is JOINED, not ACTIVE.
    Connecting,
    Up,
    Silent {
        since: Instant,
    },
    /// The media plane lost the peer and forgot it; only a full reconnect helps.
    Failed {
        since: Instant,
    },
    /// The client closed it: its `leave` is on the way (native clients close first, then say so).
    Ended {
        since: Instant,
    },
}

/// When, why and with which advice to its client a participant is dropped if nothing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expiry {
    pub(crate) at: Instant,
    pub(crate) reason: DisconnectReason,
    pub(crate) advice: Action,
}

/// An offer on its way through the media plane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingOffer {
    pub(crate) id: u32,
    /// Where it came from. Native clients number every offer 0, so an answer must not reach a later connection.
    pub(crate) connection: ConnectionId,
}

pub(crate) struct Participant {
    pub(crate) peer: PeerId,
    /// The peer it receives on, where that is another one (protocol v0).
    pub(crate) subscriber: Option<PeerId>,
    /// With two peers: how well each does, sending and receiving.
    pub(crate) ways: [Option<ConnectionQuality>; 2],
    pub(crate) sid: String,
    /// Name, metadata and attributes in here are the current ones.
    pub(crate) grants: Grants,
    /// Sources that are blocked whatever the participant does.
    pub(crate) held: Vec<TrackSource>,
    client_protocol: i32,
    capabilities: Vec<i32>,
    joined_unix_millis: u64,
    pub(crate) joined_at: Instant,
    /// Grows with every change that is told: clients ignore older information.
    pub(crate) version: u32,
    pub(crate) socket: Socket,
    pub(crate) transport: Transport,
    pub(crate) refresh_at: Instant,
    pub(crate) offers: VecDeque<PendingOffer>,
    /// Announced and published tracks, oldest first.
    pub(crate) tracks: Vec<TrackId>,
    pub(crate) wishes: Wishes,
    /// Who may receive this participant's tracks.
    pub(crate) audience: Audience,
    /// A `media_sections_requirement` that found no open socket: audio and video lines.
    pub(crate) missed_sections: Option<(u32, u32)>,
    /// Who left while this participant had no socket, oldest first.
    missed_departures: VecDeque<ParticipantInfo>,
    pub(crate) data: DataState,
    pub(crate) data_tracks: DataTracks,
    pub(crate) voice: Option<Voice>,
    pub(crate) quality: Option<ConnectionQuality>,
    pub(crate) simulated_speech: Option<SimulatedSpeech>,
    pub(crate) resume_fault: Option<ResumeFault>,
}

/// Somebody who comes in.
pub(crate) struct Newcomer {
    pub(crate) peer: PeerId,
    pub(crate) subscriber: Option<PeerId>,
    pub(crate) sid: String,
    pub(crate) connection: ConnectionId,
    pub(crate) grants: Grants,
    pub(crate) held: Vec<TrackSource>,
    pub(crate) client: ClientInfo,
    pub(crate) wishes: Wishes,
    pub(crate) data: DataState,
    pub(crate) data_tracks: DataTracks,
}

impl Participant {
    pub(crate) fn new(now: Now, newcomer: Newcomer) -> Self {
        let Newcomer { peer, subscriber, sid, connection, grants, held, client, wishes, data, data_tracks } =
            newcomer;
        let mut capabilities = client.capabilities;
        capabilities.retain(|&capability| Capability::try_from(capability).is_ok());
        capabilities.sort_unstable();
        capabilities.dedup();
        capabilities.truncate(MAX_FEATURES);
        Self {
            peer,
            subscriber,
            ways: [None; 2],
            sid,
            grants,
            held,
            client_protocol: client.client_protocol,
            capabilities,
            joined_unix_millis: now.unix_millis,
            joined_at: now.instant,
            version: 1,
            socket: Socket::Open(connection),
            transport: Transport::Connecting,
            refresh_at: now.instant + REFRESH_INTERVAL,
            offers: VecDeque::new(),
            tracks: Vec::new(),
            wishes,
            audience: Audience::Everyone,
            missed_sections: None,
            missed_departures: VecDeque::new(),
            data,
            data_tracks,
            voice: None,
            quality: None,
            simulated_speech: None,
            resume_fault: None,
        }
    }

    pub(crate) fn connection(&self) -> Option<ConnectionId> {
        match self.socket {
            Socket::Open(connection) => Some(connection),
            Socket::Lost { .. } => None,
        }
    }

    /// Remembers a departure for the resume: only what identifies it.
    pub(crate) fn miss_departure(&mut self, info: &ParticipantInfo) {
        if self.missed_departures.len() >= MAX_MISSED_DEPARTURES {
            self.missed_departures.pop_front();
        }
        self.missed_departures.push_back(ParticipantInfo {
            sid: info.sid.clone(),
            identity: info.identity.clone(),
            state: info.state,
            version: info.version,
            disconnect_reason: info.disconnect_reason,
            ..Default::default()
        });
    }

    pub(crate) fn take_missed_departures(&mut self) -> VecDeque<ParticipantInfo> {
        std::mem::take(&mut self.missed_departures)
    }

    /// ICE and DTLS were up at least once.
    pub(crate) fn is_active(&self) -> bool {
        self.transport != Transport::Connecting
    }

    /// Whether a resume could bring the participant back.
    pub(crate) fn is_resumable(&self) -> bool {
        !matches!(self.transport, Transport::Failed { .. } | Transport::Ended { .. })
    }

    pub(crate) fn expiry(&self) -> Option<Expiry> {
        let (at, reason, advice) = match (self.socket, self.transport) {
            (Socket::Open(_), Transport::Connecting) => {
                (self.joined_at + JOIN_TIMEOUT, DisconnectReason::JoinFailure, Action::Disconnect)
            }
            (Socket::Lost { since }, Transport::Connecting) => {
                let at = (since + UNCONNECTED_GRACE).min(self.joined_at + JOIN_TIMEOUT);
                (at, DisconnectReason::SignalClose, Action::Disconnect)
            }
            (_, Transport::Up) | (Socket::Open(_), Transport::Silent { .. }) => return None,
            (Socket::Lost { since: closed }, Transport::Silent { since }) => {
                (closed.max(since) + SILENT_GRACE, DisconnectReason::SignalClose, Action::Disconnect)
            }
            (_, Transport::Failed { since }) => {
                (since + FAILED_GRACE, DisconnectReason::ConnectionTimeout, Action::Reconnect)
            }
            (Socket::Open(_), Transport::Ended { since }) => {
                (since + LEAVE_GRACE, DisconnectReason::ClientInitiated, Action::Reconnect)
            }
            (Socket::Lost { since: closed }, Transport::Ended { since }) => {
                (closed.max(since), DisconnectReason::ClientInitiated, Action::Reconnect)
            }
        };
        Some(Expiry { at, reason, advice })
    }

    pub(crate) fn info(&self, tracks: &BTreeMap<TrackId, Track>) -> ParticipantInfo {
        let published: Vec<TrackInfo> = self
            .tracks
            .iter()
            .filter_map(|id| tracks.get(id))
            .filter(|track| track.is_published())
            .map(|track| track.info.clone())
            .collect();
        let state =
            if self.is_active() { participant_info::State::Active } else { participant_info::State::Joined };
        ParticipantInfo {
            sid: self.sid.clone(),
            identity: self.grants.identity.clone(),
            state: state.into(),
            is_publisher: !published.is_empty(),
            tracks: published,
            metadata: self.grants.metadata.clone(),
            joined_at: seconds(self.joined_unix_millis),
            joined_at_ms: millis(self.joined_unix_millis),
            name: self.grants.name.clone(),
            version: self.version,
            permission: Some(self.grants.permission()),
            kind: participant_info::Kind::Standard.into(),
            attributes: self.grants.attributes.clone().into_iter().collect(),
            data_tracks: self.data_tracks.infos(),
            client_protocol: self.client_protocol,
            capabilities: self.capabilities.clone(),
            ..Default::default()
        }
    }

    pub(crate) fn speaker_info(&self) -> Option<SpeakerInfo> {
        let voice = self.simulated_speech.as_ref().map(SimulatedSpeech::voice).or(self.voice)?;
        Some(SpeakerInfo { sid: self.sid.clone(), level: voice.level, active: voice.active })
    }
}

/// Unix time as protobuf carries it, s.
pub(crate) fn seconds(unix_millis: u64) -> i64 {
    i64::try_from(unix_millis / 1000).unwrap_or(i64::MAX)
}

/// Unix time as protobuf carries it, ms.
pub(crate) fn millis(unix_millis: u64) -> i64 {
    i64::try_from(unix_millis).unwrap_or(i64::MAX)
}

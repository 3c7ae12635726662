//! A track's second codec (LiveKit backup codec): offered with the track, asked for when a receiver cannot take the
//! first, and then a track of its own for the media plane. Everybody else sees one track.

use crate::Room;
use crate::limits::{ANNOUNCED_TIMEOUT, BACKUP_REPEAT, BACKUP_REQUESTS};
use crate::subscription::{Encoding, Subscription};
use crate::track::{carried_mime, codec_info};
use crate::update::Tell;
use livekit_protocol::request_response::Reason;
use livekit_protocol::signal_response::Message;
use livekit_protocol::{
    AddTrackRequest, SimulcastCodecInfo, TrackPublishedResponse, TrackType, encryption, video_layer::Mode,
};
use sfu::{Command, PeerId, Quality, TrackId};
use std::time::Instant;

/// How far a backup codec has come.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// The client can send it; nobody needs it.
    Offered,
    /// The client was asked for it so many times.
    Asked {
        times: u8,
        again: Instant,
    },
    /// The client did not send it when it was asked.
    Withheld,
    /// Announced by an `add_track` that names the track, not yet in an offer.
    Announced {
        id: TrackId,
        cid: String,
        until: Instant,
    },
    Published {
        id: TrackId,
    },
}

#[derive(Debug)]
pub(crate) struct Backup {
    pub(crate) mime_type: &'static str,
    stage: Stage,
    /// The layers any subscriber wants of it, as last told by the media plane.
    pub(crate) wanted: Vec<(Quality, bool)>,
}

impl Backup {
    /// The second codec of an announcement that we carry. Clients send none where the payload is encrypted.
    pub(crate) fn announced(request: &AddTrackRequest) -> Option<Self> {
        if request.r#type() != TrackType::Video || request.encryption() != encryption::Type::None {
            return None;
        }
        let mut carried = request.simulcast_codecs.iter().filter_map(|codec| carried_mime(&codec.codec));
        let first = carried.next()?;
        let mime_type = carried.find(|mime| *mime != first)?;
        Some(Self { mime_type, stage: Stage::Offered, wanted: Vec::new() })
    }

    /// What `TrackInfo.codecs` says of it before it is sent.
    pub(crate) fn info(&self) -> SimulcastCodecInfo {
        SimulcastCodecInfo {
            mime_type: self.mime_type.to_owned(),
            video_layer_mode: Mode::OneSpatialLayerPerStream.into(),
            ..Default::default()
        }
    }

    /// The media plane's number of it.
    pub(crate) fn id(&self) -> Option<TrackId> {
        match self.stage {
            Stage::Announced { id, .. } | Stage::Published { id } => Some(id),
            Stage::Offered | Stage::Asked { .. } | Stage::Withheld => None,
        }
    }

    pub(crate) fn was_asked(&self) -> bool {
        self.stage != Stage::Offered
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Asked { again: at, .. } | Stage::Announced { until: at, .. } => Some(at),
            Stage::Offered | Stage::Withheld | Stage::Published { .. } => None,
        }
    }
}

impl Subscription {
    /// Nothing flows, and the backup codec would help.
    pub(crate) fn needs_backup(self) -> bool {
        matches!(self, Self::AwaitingBackup | Self::CodecRefused)
    }
}

impl Room {
    /// A receiver cannot take the first codec.
    pub(crate) fn ask_backup(&mut self, id: TrackId) {
        let again = self.now.instant + BACKUP_REPEAT;
        let Some(backup) = self.tracks.get_mut(&id).and_then(|track| track.backup.as_mut()) else { return };
        match backup.stage {
            Stage::Offered | Stage::Withheld => {
                backup.stage = Stage::Asked { times: 1, again };
                self.tell_wanted(id);
            }
            Stage::Published { id: number } => {
                let waits = |state| state == Subscription::AwaitingBackup;
                self.subscribe_waiting(id, number, Encoding::Backup, waits);
            }
            Stage::Asked { .. } | Stage::Announced { .. } => {}
        }
    }

    /// A receiver that needed the backup codec does not any more.
    pub(crate) fn settle_backup(&mut self, id: TrackId) {
        let needed = self.waiting(id, Subscription::needs_backup).next().is_some();
        let Some(backup) = self.tracks.get_mut(&id).and_then(|track| track.backup.as_mut()) else { return };
        if !needed && matches!(backup.stage, Stage::Asked { .. } | Stage::Withheld) {
            // Told while it still counts as asked, so that the client hears that nobody wants it.
            self.tell_wanted(id);
            if let Some(backup) = self.tracks.get_mut(&id).and_then(|track| track.backup.as_mut()) {
                backup.stage = Stage::Offered;
            }
        }
    }

    /// Why an `add_track` that names a track of the participant's cannot be followed, if so.
    pub(crate) fn refuse_backup(
        &self,
        peer: PeerId,
        request: &AddTrackRequest,
    ) -> Option<(Reason, &'static str)> {
        let Some(track) = self.own_track(peer, &request.sid).and_then(|id| self.tracks.get(&id)) else {
            return Some((Reason::NotFound, "no such track"));
        };
        let offered = request.simulcast_codecs.iter().find_map(|codec| carried_mime(&codec.codec));
        match &track.backup {
            Some(backup) if offered != Some(backup.mime_type) => {
                Some((Reason::UnsupportedType, "not the backup codec that was announced with the track"))
            }
            Some(Backup { stage: Stage::Published { .. }, .. }) => {
                Some((Reason::InvalidRequest, "the track has its backup codec"))
            }
            Some(_) => None,
            None => Some((Reason::UnsupportedType, "the track was announced without a backup codec")),
        }
    }

    /// The client follows the request. [`Room::refuse_backup`] had nothing against it.
    pub(crate) fn add_backup(&mut self, peer: PeerId, request: AddTrackRequest) {
        let Some(id) = self.own_track(peer, &request.sid) else { return };
        let Some(number) = self.next_number().map(TrackId) else { return };
        let Some(participant) = self.participants.get(&peer).map(|participant| participant.sid.clone())
        else {
            return;
        };
        let until = self.now.instant + ANNOUNCED_TIMEOUT;
        let Some(track) = self.tracks.get_mut(&id) else { return };
        let Some(backup) = track.backup.as_mut() else { return };
        if !matches!(&backup.stage, Stage::Announced { cid, .. } if *cid == request.cid) {
            let former = backup.id();
            backup.stage = Stage::Announced { id: number, cid: request.cid.clone(), until };
            let codec = SimulcastCodecInfo {
                mime_type: backup.mime_type.to_owned(),
                cid: request.cid.clone(),
                ..codec_info(&request)
            };
            let description = track.description_of(&participant, request.cid.clone(), Some(&codec));
            if let Some(known) = track.info.codecs.get_mut(1) {
                *known = codec;
            }
            let (muted, blocked) = (track.self_muted, track.blocked);
            if let Some(track) = former {
                self.backups.remove(&track);
                self.command(Command::RemoveTrack { track });
            }
            self.backups.insert(number, id);
            self.command(Command::AddTrack { peer, track: number, description });
            if muted {
                self.command(Command::Mute { track: number, muted });
            }
            if blocked {
                self.command(Command::Block { track: number, blocked });
            }
        }
        let info = self.tracks.get(&id).map(|track| track.info.clone());
        self.send(peer, Message::TrackPublished(TrackPublishedResponse { cid: request.cid, track: info }));
    }

    /// The media plane found the backup codec in an offer: whoever waits for it gets it.
    pub(crate) fn backup_published(&mut self, number: TrackId, mid: String, mime_type: String) {
        let id = self.track_of(number);
        let Some(track) = self.tracks.get_mut(&id) else { return };
        let Some(backup) = track.backup.as_mut() else { return };
        backup.stage = Stage::Published { id: number };
        let owner = track.owner;
        if let Some(codec) = track.info.codecs.get_mut(1) {
            (codec.mid, codec.mime_type) = (mid, mime_type);
        }
        self.announce(owner, Tell::Everybody);
        self.subscribe_waiting(id, number, Encoding::Backup, Subscription::needs_backup);
    }

    /// The client sends the backup codec no more, or never did.
    pub(crate) fn end_backup(&mut self, number: TrackId) {
        let id = self.track_of(number);
        let Some(track) = self.tracks.get_mut(&id) else { return };
        let Some(backup) = track.backup.as_mut() else { return };
        backup.stage = Stage::Withheld;
        backup.wanted.clear();
        if let Some(codec) = track.info.codecs.get_mut(1) {
            codec.mid.clear();
        }
        self.backups.remove(&number);
        self.command(Command::RemoveTrack { track: number });
        // Back to the first codec: the media plane refuses it again, and the client is asked again, to those who need it.
        let on_backup = |state| {
            [Subscription::Asked(Encoding::Backup), Subscription::Flowing(Encoding::Backup)].contains(&state)
        };
        self.subscribe_waiting(id, id, Encoding::Primary, on_backup);
        self.refuse_waiting(id);
    }

    fn refuse_waiting(&mut self, id: TrackId) {
        let waiting: Vec<PeerId> = self.waiting(id, |state| state == Subscription::AwaitingBackup).collect();
        for peer in waiting {
            self.refuse_codec(peer, id);
        }
    }

    /// Nothing came in time: ask again, or give up.
    pub(crate) fn backup_due(&mut self, id: TrackId) {
        let again = self.now.instant + BACKUP_REPEAT;
        let Some(backup) = self.tracks.get_mut(&id).and_then(|track| track.backup.as_mut()) else { return };
        match &mut backup.stage {
            Stage::Asked { times, again: at } if *times < BACKUP_REQUESTS => {
                *times = times.saturating_add(1);
                *at = again;
                self.tell_wanted(id);
            }
            Stage::Asked { .. } => {
                backup.stage = Stage::Withheld;
                self.refuse_waiting(id);
            }
            Stage::Announced { id: number, .. } => {
                let number = *number;
                self.end_backup(number);
            }
            Stage::Offered | Stage::Withheld | Stage::Published { .. } => {}
        }
    }
}

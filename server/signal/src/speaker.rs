//! Who speaks and how well each connection goes, told to those who may receive the participant.

use crate::participant::{Participant, Transport};
use crate::{Effect, Room};
use livekit_protocol::signal_response::Message;
use livekit_protocol::{ConnectionQualityInfo, ConnectionQualityUpdate, SpeakerInfo, SpeakersChanged};
use sfu::{ConnectionQuality, PeerId, Speaker};

/// One participant's voice as last measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Voice {
    pub(crate) level: f32,
    pub(crate) active: bool,
}

impl Room {
    pub(crate) fn speakers(&mut self, changed: Vec<Speaker>) {
        let mut infos: Vec<(PeerId, SpeakerInfo)> = Vec::new();
        for Speaker { peer, level, active } in changed {
            let Some(participant) = self.participants.get_mut(&peer) else { continue };
            let before = participant.voice.replace(Voice { level, active });
            infos.extend(participant.speaker_info().map(|info| (peer, info)));
            if before.is_some_and(|voice| voice.active) != active && !participant.grants.hidden {
                let identity = participant.grants.identity.clone();
                self.effect(Effect::Speaks { identity, speaks: active });
            }
        }
        for (listener, _) in self.audience() {
            self.tell_speakers(listener, &infos);
        }
    }

    pub(crate) fn tell_speaker(&mut self, speaker: PeerId) {
        let Some(info) = self.participants.get(&speaker).and_then(Participant::speaker_info) else { return };
        for (listener, _) in self.audience() {
            self.tell_speakers(listener, &[(speaker, info.clone())]);
        }
    }

    /// Who speaks right now, for somebody who just came.
    pub(crate) fn tell_current_speakers(&mut self, listener: PeerId) {
        let speaking: Vec<(PeerId, SpeakerInfo)> = self
            .participants
            .values()
            .filter_map(|p| Some((p.peer, p.speaker_info()?)))
            .filter(|(peer, info)| *peer != listener && info.active)
            .collect();
        self.tell_speakers(listener, &speaking);
    }

    fn tell_speakers(&mut self, listener: PeerId, infos: &[(PeerId, SpeakerInfo)]) {
        let speakers: Vec<SpeakerInfo> = infos
            .iter()
            .filter(|(speaker, _)| self.may_hear(listener, *speaker))
            .map(|(_, info)| info.clone())
            .collect();
        if !speakers.is_empty() {
            self.send(listener, Message::SpeakersChanged(SpeakersChanged { speakers }));
        }
    }

    pub(crate) fn quality(&mut self, peer: PeerId, quality: ConnectionQuality) {
        if let Some(participant) = self.participants.get_mut(&peer) {
            participant.quality = Some(quality);
            self.tell_quality(peer);
        }
    }

    pub(crate) fn tell_quality(&mut self, peer: PeerId) {
        let Some(info) = self.quality_info(peer) else { return };
        for (listener, _) in self.audience() {
            if self.may_hear(listener, peer) {
                let update = ConnectionQualityUpdate { updates: vec![info.clone()] };
                self.send(listener, Message::ConnectionQuality(update));
            }
        }
    }

    /// Everybody's quality, for somebody who just came.
    pub(crate) fn tell_current_qualities(&mut self, listener: PeerId) {
        let peers: Vec<PeerId> =
            self.participants.keys().copied().filter(|&peer| self.may_hear(listener, peer)).collect();
        let updates: Vec<ConnectionQualityInfo> =
            peers.into_iter().filter_map(|peer| self.quality_info(peer)).collect();
        if !updates.is_empty() {
            self.send(listener, Message::ConnectionQuality(ConnectionQualityUpdate { updates }));
        }
    }

    /// A publisher that hears LOST of itself for 10 s rejoins from nothing, so LOST is only said of a transport
    /// that is silent as well.
    fn quality_info(&self, peer: PeerId) -> Option<ConnectionQualityInfo> {
        let participant = self.participants.get(&peer)?;
        let silent = !matches!(participant.transport, Transport::Connecting | Transport::Up);
        let quality = match participant.quality? {
            ConnectionQuality::Lost if silent => livekit_protocol::ConnectionQuality::Lost,
            ConnectionQuality::Lost | ConnectionQuality::Poor => livekit_protocol::ConnectionQuality::Poor,
            ConnectionQuality::Good => livekit_protocol::ConnectionQuality::Good,
            ConnectionQuality::Excellent => livekit_protocol::ConnectionQuality::Excellent,
        };
        Some(ConnectionQualityInfo {
            participant_sid: participant.sid.clone(),
            quality: quality.into(),
            ..Default::default()
        })
    }
}

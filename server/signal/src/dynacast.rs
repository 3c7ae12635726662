//! What a publisher should send of a track: which of its codecs, and which layers of each (LiveKit
//! `subscribed_quality_update`).

use crate::Room;
use crate::subscription::Subscription;
use livekit_protocol::signal_response::Message;
use livekit_protocol::{SubscribedCodec, SubscribedQuality, SubscribedQualityUpdate, VideoQuality};
use sfu::{Quality, TrackId};

impl Room {
    /// The layers that anybody wants of one codec, by the media plane's number.
    pub(crate) fn wanted_layers(&mut self, number: TrackId, wanted: Vec<(Quality, bool)>) {
        let id = self.track_of(number);
        let Some(track) = self.tracks.get_mut(&id) else { return };
        if number == id {
            track.wanted = wanted;
        } else if let Some(backup) = &mut track.backup {
            backup.wanted = wanted;
        }
        self.tell_wanted(id);
    }

    #[expect(deprecated, reason = "clients without codec simulcast read subscribed_qualities")]
    pub(crate) fn tell_wanted(&mut self, id: TrackId) {
        let Some(track) = self.tracks.get(&id) else { return };
        let backup = track.backup.as_ref().filter(|backup| backup.was_asked());
        if track.wanted.is_empty() && backup.is_none() {
            return;
        }
        let qualities = qualities(&track.wanted, true);
        let mut subscribed_codecs =
            vec![SubscribedCodec { codec: short_name(&track.info.mime_type), qualities: qualities.clone() }];
        if let Some(backup) = backup {
            let needed = self.waiting(id, Subscription::needs_backup).next().is_some();
            let qualities = self::qualities(&backup.wanted, needed);
            subscribed_codecs.push(SubscribedCodec { codec: short_name(backup.mime_type), qualities });
        }
        let update = SubscribedQualityUpdate {
            track_sid: track.info.sid.clone(),
            subscribed_codecs,
            subscribed_qualities: qualities,
        };
        let owner = track.owner;
        self.send(owner, Message::SubscribedQualityUpdate(update));
    }
}

/// `unknown`: what is said of each layer while the media plane has not counted.
fn qualities(wanted: &[(Quality, bool)], unknown: bool) -> Vec<SubscribedQuality> {
    [Quality::Low, Quality::Medium, Quality::High]
        .into_iter()
        .filter_map(|quality| {
            let enabled = match wanted.iter().find(|(known, _)| *known == quality) {
                Some((_, enabled)) => *enabled,
                None if wanted.is_empty() => unknown,
                None => return None,
            };
            let quality = match quality {
                Quality::Low => VideoQuality::Low,
                Quality::Medium => VideoQuality::Medium,
                Quality::High => VideoQuality::High,
            };
            Some(SubscribedQuality { quality: quality.into(), enabled })
        })
        .collect()
}

/// The codec as `subscribed_codecs` names it: `vp8` for `video/VP8`.
fn short_name(mime_type: &str) -> String {
    mime_type.rsplit('/').next().unwrap_or_default().to_ascii_lowercase()
}

//! What follows when a publisher sends another codec than its subscribers were given: nobody keeps an m-line on which
//! nothing decodable comes.

use crate::codec::{Codec, PayloadTypes};
use crate::shard::Shard;
use crate::uplink::Subscriber;
use crate::{Event, TrackId};
use std::time::{Duration, Instant};

/// Between two changes of a track's codec that are followed; packets of the other codec go on to those who can decode
/// them. Higher: a receiver without the new codec sees nothing for longer; lower: a publisher that alternates makes
/// every subscriber negotiate that often.
const CODEC_CHANGE_INTERVAL: Duration = Duration::from_secs(1);

impl Shard {
    /// The track is sent with `codec` from now on.
    pub(crate) fn follow_codec(&mut self, now: Instant, slot: usize, codec: Codec) {
        let Some(track) = self.tracks.get_mut(slot) else { return };
        let recently = |at: Instant| now.saturating_duration_since(at) < CODEC_CHANGE_INTERVAL;
        let Some(mid) = track.mid.clone().filter(|_| !track.codec_changed.is_some_and(recently)) else {
            return;
        };
        track.codec = Some(codec);
        track.codec_changed = Some(now);
        let id = track.id;
        self.events.push_back(Event::Published {
            peer: track.publisher,
            track: id,
            mid,
            mime_type: codec.mime_type().to_owned(),
        });
        self.offer_to_waiting(slot);
        self.refuse_undecodable(slot, id, codec);
        self.retarget(now, slot);
    }

    /// Whoever waits for this track, or could not decode it before, can have an m-line now.
    pub(crate) fn offer_to_waiting(&mut self, slot: usize) {
        let Some(track) = self.tracks.get(slot) else { return };
        for peer in self.rooms.get(&track.room).map(|room| room.peers.as_slice()).unwrap_or_default() {
            if let Some(subscription) =
                self.peers.get_mut(*peer).and_then(|peer| peer.subscriptions.get_mut(&track.id))
            {
                subscription.refused = false;
                self.unsettled.push(*peer);
            }
        }
    }

    /// Takes the m-line from each subscriber that cannot decode `codec`.
    fn refuse_undecodable(&mut self, slot: usize, id: TrackId, codec: Codec) {
        let Some(track) = self.tracks.get_mut(slot) else { return };
        let (peers, events, unsettled) = (&mut self.peers, &mut self.events, &mut self.unsettled);
        track.subscribers.retain(|Subscriber { peer: at, downlink }| {
            let Some(peer) = peers.get_mut(*at) else { return false };
            let section = peer.downlinks.get(*downlink).map(|downlink| downlink.section);
            let types = section.and_then(|section| peer.offer.as_ref()?.sections.get(section));
            if types.is_some_and(|section| PayloadTypes::of(section).carries(codec)) {
                return true;
            }
            if let Some(subscription) = peer.subscriptions.get_mut(&id) {
                subscription.downlink = None;
                subscription.refused = true;
            }
            peer.release(*downlink);
            events.push_back(Event::SubscriptionRefused { peer: peer.id, track: id });
            unsettled.push(*at);
            false
        });
    }
}

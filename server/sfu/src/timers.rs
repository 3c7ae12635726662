//! What happens when nothing comes from the network: consent, retransmissions, the regular feedback to
//! publishers, speaker windows. Owns the heap of deadlines; an entry counts only while its owner still names it.

use crate::dtls::Progressed;
use crate::ice::CONSENT;
use crate::peer::{Link, MEDIA_TICK, NEVER_CONNECTED, QUALITY_INTERVAL};
use crate::shard::{MAX_TRACKS, Shard};
use crate::{DisconnectReason, Event, PeerId, RoomId, SILENCE, TrackId};
use std::cmp::Reverse;
use std::time::Instant;

/// Whose deadline it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The peer's slot.
    Peer(usize),
    Room(RoomId),
}

impl Shard {
    /// Makes sure that the peer's next deadline is in the heap.
    pub(crate) fn schedule(&mut self, slot: usize) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let Some(deadline) = peer.next_deadline() else { return };
        if peer.scheduled.is_none_or(|at| deadline < at) {
            peer.scheduled = Some(deadline);
            self.timers.push(Reverse((deadline, Timer::Peer(slot))));
        }
    }

    /// The publisher's media work is due now.
    pub(crate) fn poke(&mut self, now: Instant, slot: usize) {
        if let Some(peer) = self.peers.get_mut(slot) {
            peer.media_tick_at = Some(now);
        }
        self.schedule(slot);
    }

    pub(crate) fn peer_timeout(&mut self, now: Instant, slot: usize) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let age = now.saturating_duration_since(peer.last_heard);
        match peer.link {
            Link::Connected { .. } if age >= CONSENT => {
                return self.lose_peer(now, slot, DisconnectReason::ConsentExpired);
            }
            Link::New if peer.is_expected() && age >= NEVER_CONNECTED => {
                return self.lose_peer(now, slot, DisconnectReason::HandshakeFailed);
            }
            Link::Connected { silent: false } if age >= SILENCE => {
                peer.link = Link::Connected { silent: true };
                self.events.push_back(Event::Silent { peer: peer.id });
            }
            _ => {}
        }
        self.offer_if_due(now, slot);
        let Some(peer) = self.peers.get_mut(slot) else { return };
        if let Some(ufrag) = peer.agent.expire_previous(now) {
            self.ufrags.remove(&ufrag);
        }
        self.confirm(now, slot);
        let Some(peer) = self.peers.get_mut(slot) else { return };
        if peer.dtls.deadline().is_some_and(|at| at <= now)
            && matches!(peer.dtls.handle_timeout(now), Progressed::Failed)
        {
            return self.lose_peer(now, slot, DisconnectReason::HandshakeFailed);
        }
        if peer.data.deadline().is_some_and(|at| at <= now) {
            let received = peer.data.handle_timeout(now);
            self.deliver(slot, received);
        }
        if let Some(peer) = self.peers.get_mut(slot) {
            peer.flush(now, &mut self.slab);
            if peer.media_tick_at.is_some_and(|at| at <= now) {
                self.media_tick(now, slot);
            }
        }
        if self.peers.get(slot).and_then(|peer| peer.bandwidth_at).is_some_and(|at| at <= now) {
            self.fit(now, slot);
        }
        if self.peers.get(slot).and_then(|peer| peer.quality_at).is_some_and(|at| at <= now) {
            self.judge_quality(now, slot);
        }
        self.schedule(slot);
    }

    pub(crate) fn judge_quality(&mut self, now: Instant, slot: usize) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        peer.quality_at = Some(now + QUALITY_INTERVAL);
        let quality = crate::quality::judge(now, peer, &mut self.tracks);
        if peer.quality != Some(quality) {
            peer.quality = Some(quality);
            self.events.push_back(Event::ConnectionQuality { peer: peer.id, quality });
        }
    }

    /// What a publisher is owed regularly: TWCC feedback, NACKs, key-frame requests, receiver reports.
    pub(crate) fn media_tick(&mut self, now: Instant, slot: usize) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        crate::feedback::send(now, peer, &mut self.tracks, &mut self.slab, &mut self.due, &mut self.counters);
        let mut busy = peer.twcc.deadline().is_some();
        let mut changed = [None; MAX_TRACKS];
        for (slot, change) in peer.tracks.iter().zip(&mut changed) {
            let Some(track) = self.tracks.get_mut(*slot) else { continue };
            busy |= track.layers.iter().any(|layer| layer.has_work(now)) || track.wanted.lower_at.is_some();
            let live = track.live_layers(now);
            if live != track.live || track.wanted.lower_at.is_some_and(|at| at <= now) {
                track.live = live;
                *change = Some(*slot);
            }
        }
        peer.media_tick_at = busy.then_some(now + MEDIA_TICK);
        for track in changed.into_iter().flatten() {
            self.retarget(now, track);
        }
        // retarget() asks for an immediate tick; its key-frame requests can wait for the regular one.
        if let Some(peer) = self.peers.get_mut(slot)
            && busy
        {
            peer.media_tick_at = Some(now + MEDIA_TICK);
        }
    }

    pub(crate) fn evaluate_speakers(&mut self, now: Instant, id: RoomId) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        if room.speakers.deadline().is_none_or(|at| at > now) {
            return;
        }
        self.end_window(now, id);
    }

    pub(crate) fn end_window(&mut self, now: Instant, id: RoomId) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let changed = room.speakers.evaluate(now);
        if let Some(deadline) = room.speakers.deadline() {
            // A little after the window, so that the packets that close it come first.
            self.timers.push(Reverse((deadline + MEDIA_TICK, Timer::Room(id))));
        }
        if !changed.is_empty() {
            self.events.push_back(Event::Speakers { room: id, changed });
        }
    }

    pub(crate) fn close_microphone(&mut self, track: TrackId, room: RoomId) {
        if let Some(room) = self.rooms.get_mut(&room) {
            room.loudest.forget(track);
        }
    }

    pub(crate) fn silence(&mut self, peer: PeerId, room: RoomId) {
        if let Some(speaker) = self.rooms.get_mut(&room).and_then(|state| state.speakers.silence(peer)) {
            self.events.push_back(Event::Speakers { room, changed: vec![speaker] });
        }
    }
}

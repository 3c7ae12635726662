//! What an offer changes: which m-line carries which track, in and out. Owns the order of decisions for one
//! offer; the reading and printing of SDP is `sdp`'s.
//!
//! An m-line that stops carrying a track is answered `inactive` once before it carries another, or the client
//! would not notice the change (RFC 9429 §5.10, W3C WebRTC `[[FiredDirection]]`).

use crate::codec::{PayloadTypes, Translation};
use crate::downlink::{Downlink, Start};
use crate::ice::Credentials;
use crate::packet::{ExtensionIds, Mid};
use crate::peer::{Peer, SectionUse, is_free, receives_only};
use crate::rtp::extension::Uri;
use crate::sdp::{AnswerSection, Local, Offer, OfferError, Section, SectionKind, Setup, answer};
use crate::shard::{Shard, kind_of};
use crate::uplink::{Subscriber, Track};
use crate::{Event, MediaKind, TrackId};
use std::time::Instant;

/// The subscriber cannot decode what the publisher sends.
pub(crate) struct NoCommonCodec;

impl Peer {
    /// Begins to send a track that is subscribed to, on the m-line `index` of the client's last description; `slot` is
    /// the peer's own. A codec that it does not have refuses the subscription.
    pub(crate) fn carry(
        &mut self,
        now: Instant,
        slot: usize,
        track: &mut Track,
        track_slot: usize,
        index: usize,
        start: Start,
    ) -> Result<(), NoCommonCodec> {
        let section = self.offer.as_ref().and_then(|offer| offer.sections.get(index));
        let types = section.map(PayloadTypes::of).unwrap_or_default();
        let Some(subscription) = self.subscriptions.get_mut(&track.id) else { return Err(NoCommonCodec) };
        if !track.codec.is_some_and(|codec| types.carries(codec)) {
            subscription.refused = true;
            return Err(NoCommonCodec);
        }
        let translation = Translation::new(&track.payload_types, &types, track.description.encrypted);
        let ssrc = start.ssrc;
        let numbered =
            track.is_video() && section.is_some_and(reports_numbers) && translation.repairs_by_rtx();
        if numbered {
            self.bandwidth.expect_feedback();
        }
        let start = Start { numbered, ..start };
        let downlink = Downlink::new(track, track_slot, index, start, translation, subscription.setting);
        let downlink = self.downlinks.insert(downlink);
        self.downlink_slots.insert(ssrc, downlink);
        subscription.downlink = Some(downlink);
        if let Some(used) = self.sections.get_mut(index) {
            *used = SectionUse::Downlink(downlink);
        }
        track.subscribers.push(Subscriber { peer: slot, downlink });
        // Fitted in before its first packet, so that it need not begin with a layer that it leaves at once.
        self.bandwidth_at = Some(now);
        Ok(())
    }

    /// Ends a downlink; its m-line becomes inactive at the next offer.
    pub(crate) fn release(&mut self, downlink: usize) {
        if let Some(downlink) = self.downlinks.try_remove(downlink) {
            self.downlink_slots.remove(&downlink.ssrc);
            if let Some(used) = self.sections.get_mut(downlink.section) {
                *used = SectionUse::Released;
            }
        }
    }
}

impl Shard {
    pub(crate) fn negotiate(
        &mut self,
        now: Instant,
        slot: usize,
        offer_id: u32,
        sdp: &str,
    ) -> Result<(), OfferError> {
        if self.peers.get(slot).is_none_or(|peer| peer.offering.is_some()) {
            return Ok(());
        }
        let offer = Offer::parse(sdp)?;
        let fresh = self.fresh_credentials();
        let Some(peer) = self.peers.get_mut(slot) else { return Ok(()) };
        if let Some(previous) = &peer.offer {
            offer.check_continues(previous)?;
        }
        let remote = Credentials { ufrag: offer.ice_ufrag.clone(), pwd: offer.ice_pwd.clone() };
        if peer.agent.set_remote(now, remote, || fresh) {
            self.ufrags.insert(peer.agent.local().ufrag.clone(), slot);
        }
        if peer.offer.is_none() {
            // Only now it can be expected to connect.
            peer.last_heard = now;
        }
        if peer.offer.is_none() && offer.setup == Setup::Active {
            peer.dtls.serve();
        }
        peer.dtls.set_client_fingerprint(&offer.fingerprint.value);
        peer.requested = None;
        peer.extensions = extension_ids(&offer);
        peer.sections.resize(offer.sections.len(), SectionUse::Idle);
        let Settled { ended, released } = settle_sections(peer, &offer);
        let id = peer.id;
        peer.offer = Some(offer);
        for track in ended {
            self.unpublish(id, track);
        }
        for (track, downlink) in released {
            if let Some(track) = self.tracks.get_mut(track) {
                track.subscribers.retain(|known| *known != Subscriber { peer: slot, downlink });
            }
            self.retarget(now, track);
        }
        self.match_uplinks(slot, Answer::Ahead);
        let begun = self.assign_downlinks(now, slot);
        self.print_answer(slot, offer_id);
        for (track, peer) in begun {
            self.events.push_back(Event::Subscribed { peer: id, track });
            self.retarget(now, peer);
        }
        self.unsettled.push(slot);
        Ok(())
    }

    /// The client took the m-line of a track away.
    fn unpublish(&mut self, peer: crate::PeerId, slot: usize) {
        let Some(track) = self.tracks.get_mut(slot) else { return };
        track.mid = None;
        let id = track.id;
        if let Some(owner) = self.peers.get_mut(track.peer) {
            owner.streams.retain(|_, stream| stream.track != slot);
        }
        self.events.push_back(Event::Unpublished { peer, track: id });
    }

    /// Binds announced tracks to sending m-lines: by the client's own track id, then by kind and order.
    pub(crate) fn match_uplinks(&mut self, slot: usize, answer: Answer) {
        let mut matched = Vec::new();
        for by_id in [true, false] {
            let Some(peer) = self.peers.get_mut(slot) else { return };
            let Some(offer) = &peer.offer else { return };
            for (section, used) in offer.sections.iter().zip(&mut peer.sections) {
                if *used != SectionUse::Uplink(None) {
                    continue;
                }
                let Some(kind) = kind_of(section) else { continue };
                let found = peer.tracks.iter().copied().find(|track| {
                    self.tracks.get(*track).is_some_and(|track| {
                        track.mid.is_none()
                            && track.description.kind == kind
                            && (!by_id
                                || section
                                    .msid
                                    .as_ref()
                                    .is_some_and(|(_, msid)| *msid == track.description.cid))
                    })
                });
                let Some(track) = found.and_then(|track| self.tracks.get_mut(track)) else { continue };
                let mut types = PayloadTypes::of(section);
                let preferred = track.description.codec.filter(|_| answer == Answer::Ahead);
                if let Some(kind) = preferred {
                    types.prefer(kind);
                }
                let Some(codec) = types.first() else { continue };
                *used = SectionUse::Uplink(found);
                track.mid = Some(section.mid.clone());
                track.payload_types = types;
                track.preferred = preferred;
                track.codec = Some(codec);
                self.events.push_back(Event::Published {
                    peer: peer.id,
                    track: track.id,
                    mid: section.mid.clone(),
                    mime_type: codec.mime_type().to_owned(),
                });
                matched.extend(found);
            }
        }
        for track in matched {
            self.offer_to_waiting(track);
        }
    }

    /// Gives free receiving m-lines to the subscriptions that wait. Returns what began: track and its slot.
    fn assign_downlinks(&mut self, now: Instant, slot: usize) -> Vec<(TrackId, usize)> {
        let mut begun = Vec::new();
        let Some(peer) = self.peers.get_mut(slot) else { return begun };
        let mut waiting: Vec<TrackId> = peer
            .subscriptions
            .iter()
            .filter(|(_, subscription)| subscription.downlink.is_none() && !subscription.refused)
            .map(|(track, _)| *track)
            .collect();
        waiting.sort_unstable();
        for id in waiting {
            let Some(track_slot) = self.track_slots.get(&id).copied() else { continue };
            let Some(track) = self.tracks.get_mut(track_slot).filter(|track| track.mid.is_some()) else {
                continue;
            };
            let kind = SectionKind::Media(track.description.kind);
            let Some(offer) = &peer.offer else { return begun };
            let idle = |usable: fn(&Section) -> bool| {
                offer.sections.iter().zip(&peer.sections).position(|(section, used)| {
                    *used == SectionUse::Idle && section.kind == kind && usable(section)
                })
            };
            // A client that offers lines without any codec of ours would offer such lines for ever.
            let Some(index) = idle(is_free).or_else(|| idle(receives_only)) else { continue };
            let Some(section) = offer.sections.get(index) else { continue };
            let start = Start::random(&mut self.random, Mid::new(&section.mid));
            match peer.carry(now, slot, track, track_slot, index, start) {
                Ok(()) => begun.push((id, track_slot)),
                Err(NoCommonCodec) => {
                    self.events.push_back(Event::SubscriptionRefused { peer: peer.id, track: id });
                }
            }
        }
        begun
    }

    fn print_answer(&mut self, slot: usize, offer_id: u32) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        peer.session_version = peer.session_version.wrapping_add(1);
        let Some(peer) = self.peers.get(slot) else { return };
        let Some(offer) = &peer.offer else { return };
        let mut mid_to_track = Vec::new();
        let sections: Vec<AnswerSection<'_>> = offer
            .sections
            .iter()
            .zip(&peer.sections)
            .map(|(section, used)| match used {
                SectionUse::Application => AnswerSection::Application,
                SectionUse::Uplink(track) => {
                    let preferred = track.and_then(|track| self.tracks.get(track)?.preferred);
                    AnswerSection::Receive {
                        rids: section.rids.iter().map(String::as_str).collect(),
                        codecs: preferred.map_or_else(Vec::new, |kind| section.preferring(kind)),
                    }
                }
                SectionUse::Downlink(downlink) => {
                    let sent = peer.downlinks.get(*downlink).and_then(|downlink| {
                        let track = self.tracks.get(downlink.track_slot)?;
                        Some((downlink, track, self.peers.get(track.peer)?))
                    });
                    let Some((downlink, track, publisher)) = sent else { return AnswerSection::Inactive };
                    mid_to_track.push((section.mid.clone(), track.id));
                    AnswerSection::Send {
                        stream_label: &track.description.stream_label,
                        track_label: &track.description.track_label,
                        cname: &publisher.cname,
                        ssrc: downlink.ssrc,
                        rtx_ssrc: track.is_video().then_some(downlink.rtx_ssrc),
                        codecs: Vec::new(),
                    }
                }
                SectionUse::Idle | SectionUse::Released => AnswerSection::Inactive,
            })
            .collect();
        let local = peer.agent.local();
        let fingerprint = format!("sha-256 {}", self.certificate.fingerprint);
        let sdp = answer(
            offer,
            &Local {
                ice_ufrag: &local.ufrag,
                ice_pwd: &local.pwd,
                fingerprint: &fingerprint,
                role: peer.dtls.role(),
                candidates: &self.candidates,
                session_id: peer.session_id,
                session_version: peer.session_version,
            },
            &sections,
        );
        self.events.push_back(Event::Answer { peer: peer.id, offer_id, sdp, mid_to_track });
        // Answered inactive now: the next offer may use them again.
        if let Some(peer) = self.peers.get_mut(slot) {
            for used in &mut peer.sections {
                if *used == SectionUse::Released {
                    *used = SectionUse::Idle;
                }
            }
        }
    }

    /// Asks the client for another offer when subscriptions wait for one, or m-lines for their end. Asked once
    /// per offer, and again only for more.
    pub(crate) fn ask_for_sections(&mut self, slot: usize) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        if peer.offering.is_some() {
            return self.plan_offer(slot);
        }
        if peer.offer.is_none() {
            return;
        }
        let mut waiting = (0_u32, 0_u32);
        for (id, subscription) in &peer.subscriptions {
            if subscription.downlink.is_some() || subscription.refused {
                continue;
            }
            match self.track_slots.get(id).and_then(|track| self.tracks.get(*track)) {
                Some(track) if track.mid.is_some() && track.description.kind == MediaKind::Audio => {
                    waiting.0 = waiting.0.saturating_add(1);
                }
                Some(track) if track.mid.is_some() => waiting.1 = waiting.1.saturating_add(1),
                _ => {}
            }
        }
        if waiting == (0, 0) && !peer.sections.contains(&SectionUse::Released) {
            return;
        }
        let free = peer.free_sections();
        let need = (waiting.0.saturating_sub(free.0), waiting.1.saturating_sub(free.1));
        let ask = match peer.requested {
            None => need,
            Some(asked) if need.0 > asked.0 || need.1 > asked.1 => {
                (need.0.saturating_sub(asked.0), need.1.saturating_sub(asked.1))
            }
            Some(_) => return,
        };
        let before = peer.requested.unwrap_or((0, 0));
        peer.requested = Some((before.0.saturating_add(ask.0), before.1.saturating_add(ask.1)));
        self.events.push_back(Event::MediaSections { peer: peer.id, audios: ask.0, videos: ask.1 });
    }
}

/// Whether the m-lines at hand were answered when a track is bound to one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Their answer follows, so the codec that the track announced can come first in it.
    Ahead,
    /// The client sends by it already; another order would only make it change codecs.
    Given,
}

/// What an offer ended.
struct Settled {
    /// Slots of tracks that the client does not send any more.
    ended: Vec<usize>,
    /// Downlinks whose m-line the client does not receive on any more: track's and downlink's slot.
    released: Vec<(usize, usize)>,
}

/// Follows the directions of an offer.
fn settle_sections(peer: &mut Peer, offer: &Offer) -> Settled {
    let mut ended = Vec::new();
    let mut released = Vec::new();
    for (section, used) in offer.sections.iter().zip(&mut peer.sections) {
        if section.kind == SectionKind::Application {
            *used = SectionUse::Application;
            continue;
        }
        let sends = !section.rejected && section.direction.sends();
        match *used {
            SectionUse::Uplink(_) if sends => {}
            SectionUse::Uplink(track) => {
                ended.extend(track);
                *used = SectionUse::Released;
            }
            SectionUse::Downlink(downlink) if section.rejected || !section.direction.receives() => {
                released.push(downlink);
                *used = SectionUse::Idle;
            }
            SectionUse::Downlink(_) => {}
            SectionUse::Idle | SectionUse::Released | SectionUse::Application if sends => {
                *used = SectionUse::Uplink(None);
            }
            SectionUse::Idle | SectionUse::Released | SectionUse::Application => {}
        }
    }
    let released = released
        .into_iter()
        .filter_map(|slot| {
            let track = peer.downlinks.get(slot)?.track_slot;
            // The subscription stays and waits for another line.
            for subscription in peer.subscriptions.values_mut().filter(|s| s.downlink == Some(slot)) {
                subscription.downlink = None;
            }
            peer.release(slot);
            Some((track, slot))
        })
        .collect();
    Settled { ended, released }
}

/// The client will say when packets of this m-line arrived (draft-holmer-rmcat-transport-wide-cc-extensions-01).
fn reports_numbers(section: &Section) -> bool {
    section.extensions.iter().any(|(_, uri)| *uri == Uri::TransportSequence.as_str())
        && section.codecs.iter().any(|codec| codec.feedback.iter().any(|known| known == "transport-cc"))
}

pub(crate) fn extension_ids(offer: &Offer) -> ExtensionIds {
    let mut ids = ExtensionIds::default();
    for (id, uri) in offer.sections.iter().flat_map(|section| &section.extensions) {
        if let Ok(uri) = uri.parse::<Uri>() {
            ids.learn(*id, uri);
        }
    }
    ids
}

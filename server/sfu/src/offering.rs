//! Peers to which the server offers: the subscriber connection of LiveKit's protocol v0, which only receives. Owns
//! which m-line was promised to which track, and when the next offer goes; the printing of SDP is `sdp`'s.
//!
//! The client never offers here, so there is no glare; one offer is under way at a time, and whatever changes
//! meanwhile goes into the next. A client's answer reads like an offer of its own, so from then on such a peer is
//! like every other. An m-line that stops carrying a track is offered `inactive` once before it carries another.

use crate::downlink::Start;
use crate::ice::Credentials;
use crate::negotiate::extension_ids;
use crate::packet::Mid;
use crate::peer::SectionUse;
use crate::sdp::{Local, MAX_SECTIONS, Offer, OfferError, ProposedSection, propose};
use crate::shard::Shard;
use crate::uplink::Subscriber;
use crate::{Event, MediaKind, TrackId};
use std::time::{Duration, Instant};

/// Between two offers to one peer (LiveKit: 150 ms). Higher: a second camera is seen later; lower: a room that many
/// enter at once costs each client more negotiations.
const OFFER_INTERVAL: Duration = Duration::from_millis(100);

/// Offers to one peer that may follow each other at [`OFFER_INTERVAL`], and the pace of those after them. Higher: a
/// client that subscribes and unsubscribes in turn makes the server write more SDP; lower: who enters a lively room
/// sees the last cameras later.
const OFFER_BURST: u32 = 10;
const OFFER_PACE: Duration = Duration::from_millis(500);

/// An offer without an answer for this long has failed (LiveKit: 15 s). Higher: somebody who receives nothing waits
/// longer; lower: a phone that was just asleep begins anew without need.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// A track that an m-line was offered for, until the client answers.
#[derive(Clone, Copy, Debug)]
struct Plan {
    track: TrackId,
    start: Start,
}

/// One m-line; its mid is its index.
#[derive(Clone, Copy, Debug)]
struct Line {
    /// `None`: data channels.
    kind: Option<MediaKind>,
    plan: Option<Plan>,
    /// A track was offered on it, now or before.
    taken: bool,
    /// The last offer said `inactive`.
    quiet: bool,
    /// The client rejected it for good.
    rejected: bool,
}

impl Line {
    fn new(kind: Option<MediaKind>) -> Self {
        Self { kind, plan: None, taken: false, quiet: false, rejected: false }
    }
}

/// How the last offer fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exchange {
    /// Answered, or none was made yet.
    Settled,
    Offered,
    /// Not answered in time. Only an ICE restart leads out of this.
    Unanswered,
}

/// The offers to one peer.
pub(crate) struct Offering {
    lines: Vec<Line>,
    last_id: u32,
    exchange: Exchange,
    offered_at: Option<Instant>,
    /// When the offers so far would be over, had they kept to [`OFFER_PACE`].
    paced_until: Instant,
    due: Option<Instant>,
    restart: bool,
}

/// What an offering has to do now.
enum Next {
    Nothing,
    Offer,
    Restart,
    GiveUp,
}

impl Offering {
    /// The first offer goes at once.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            lines: vec![Line::new(None)],
            last_id: 0,
            exchange: Exchange::Settled,
            offered_at: None,
            paced_until: now,
            due: Some(now),
            restart: false,
        }
    }

    /// The earliest time of an offer that is wanted at `wanted`.
    fn paced(&self, wanted: Instant) -> Instant {
        let Some(last) = self.offered_at else { return wanted };
        let burst = OFFER_PACE.saturating_mul(OFFER_BURST.saturating_sub(1));
        wanted.max(last + OFFER_INTERVAL).max(self.paced_until.checked_sub(burst).unwrap_or(last))
    }

    /// When [`Self::next`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        if self.restart {
            return self.offered_at.map(|at| self.paced(at));
        }
        match self.exchange {
            Exchange::Settled => self.due.map(|due| self.paced(due)),
            Exchange::Offered => self.offered_at.map(|at| at + ANSWER_TIMEOUT),
            Exchange::Unanswered => None,
        }
    }

    fn next(&self, now: Instant) -> Next {
        match self.exchange {
            _ if self.deadline().is_none_or(|at| at > now) => Next::Nothing,
            _ if self.restart => Next::Restart,
            Exchange::Settled => Next::Offer,
            Exchange::Offered => Next::GiveUp,
            Exchange::Unanswered => Next::Nothing,
        }
    }

    fn made(&mut self, now: Instant) {
        self.last_id = self.last_id.wrapping_add(1).max(1);
        self.exchange = Exchange::Offered;
        self.offered_at = Some(now);
        self.paced_until = self.paced_until.max(now) + OFFER_PACE;
        self.due = None;
        self.restart = false;
    }

    fn plans(&self, track: TrackId) -> bool {
        self.lines.iter().any(|line| line.plan.is_some_and(|plan| plan.track == track))
    }
}

impl Shard {
    /// Tracks that wait for an m-line which was not offered yet.
    fn unplanned(&self, slot: usize) -> Vec<(TrackId, MediaKind)> {
        let Some(peer) = self.peers.get(slot) else { return Vec::new() };
        let Some(offering) = &peer.offering else { return Vec::new() };
        let mut waiting: Vec<(TrackId, MediaKind)> = peer
            .subscriptions
            .iter()
            .filter(|(id, wish)| wish.downlink.is_none() && !wish.refused && !offering.plans(**id))
            .filter_map(|(id, _)| {
                let track = self.tracks.get(*self.track_slots.get(id)?)?;
                track.mid.is_some().then_some((*id, track.description.kind))
            })
            .collect();
        waiting.sort_unstable_by_key(|(id, _)| *id);
        waiting
    }

    /// Sets the time of the next offer if there is anything to say.
    pub(crate) fn plan_offer(&mut self, slot: usize) {
        let waiting = !self.unplanned(slot).is_empty();
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let Some(offering) = &mut peer.offering else { return };
        if waiting || peer.sections.contains(&SectionUse::Released) {
            // As soon as the pace allows; the first offer is due anyway.
            offering.due = offering.due.or(offering.offered_at);
        }
        self.schedule(slot);
    }

    pub(crate) fn offer_if_due(&mut self, now: Instant, slot: usize) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let Some(offering) = &mut peer.offering else { return };
        match offering.next(now) {
            Next::Nothing => {}
            Next::Offer => self.make_offer(now, slot),
            Next::Restart => {
                self.replace_credentials(now, slot);
                self.make_offer(now, slot);
            }
            Next::GiveUp => {
                offering.exchange = Exchange::Unanswered;
                let (peer, offer_id) = (peer.id, offering.last_id);
                self.events.push_back(Event::OfferUnanswered { peer, offer_id });
            }
        }
    }

    /// New ICE credentials (RFC 8445 §9) with an offer at once. One under way may have been lost with the client's
    /// socket and is replaced.
    pub(crate) fn restart_ice(&mut self, now: Instant, slot: usize) {
        if let Some(offering) = self.peers.get_mut(slot).and_then(|peer| peer.offering.as_mut()) {
            offering.restart = true;
            self.offer_if_due(now, slot);
            self.schedule(slot);
        }
    }

    fn replace_credentials(&mut self, now: Instant, slot: usize) {
        let fresh = self.fresh_credentials();
        let Some(peer) = self.peers.get_mut(slot) else { return };
        if peer.offer.is_some() {
            let replaced = peer.agent.restart(now, fresh);
            self.ufrags.insert(peer.agent.local().ufrag.clone(), slot);
            if let Some(ufrag) = replaced {
                self.ufrags.remove(&ufrag);
            }
        }
    }

    fn make_offer(&mut self, now: Instant, slot: usize) {
        let waiting = self.unplanned(slot);
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let Some(offering) = &mut peer.offering else { return };
        peer.sections.resize(offering.lines.len(), SectionUse::Idle);
        // What was promised and is not wanted any more.
        for (line, used) in offering.lines.iter_mut().zip(&mut peer.sections) {
            if line.plan.is_some_and(|plan| !peer.subscriptions.contains_key(&plan.track)) {
                line.plan = None;
                *used = SectionUse::Released;
            }
        }
        for (track, kind) in waiting {
            // Chromium's receivers keep the id of their first track, by which livekit-client would take a second one for
            // it; so a line is used twice only when there can be no more of them.
            let full = offering.lines.len() >= MAX_SECTIONS;
            let free = offering.lines.iter().zip(&peer.sections).position(|(line, used)| {
                line.kind == Some(kind)
                    && line.plan.is_none()
                    && !line.rejected
                    && *used == SectionUse::Idle
                    && (full || !line.taken)
            });
            let index = match free {
                Some(index) => index,
                None if !full => {
                    offering.lines.push(Line::new(Some(kind)));
                    peer.sections.push(SectionUse::Idle);
                    offering.lines.len().saturating_sub(1)
                }
                None => continue,
            };
            let start = Start::random(&mut self.random, Mid::new(&index.to_string()));
            if let Some(line) = offering.lines.get_mut(index) {
                line.plan = Some(Plan { track, start });
                line.taken = true;
            }
        }
        peer.session_version = peer.session_version.wrapping_add(1);
        offering.made(now);
        self.print_offer(slot);
    }

    fn print_offer(&mut self, slot: usize) {
        let Some(peer) = self.peers.get(slot) else { return };
        let Some(offering) = &peer.offering else { return };
        let mut mid_to_track = Vec::new();
        let mut sections = Vec::with_capacity(offering.lines.len());
        for (mid, (line, used)) in offering.lines.iter().zip(&peer.sections).enumerate() {
            let Some(kind) = line.kind else {
                sections.push(ProposedSection::Application);
                continue;
            };
            let sent = match (line.plan, used) {
                (Some(plan), _) => {
                    let track = self.track_slots.get(&plan.track).copied();
                    track.map(|track| (track, plan.start.ssrc, plan.start.rtx_ssrc))
                }
                (None, SectionUse::Downlink(downlink)) => peer
                    .downlinks
                    .get(*downlink)
                    .map(|downlink| (downlink.track_slot, downlink.ssrc, downlink.rtx_ssrc)),
                (None, _) => None,
            };
            let sent = sent.and_then(|(track, ssrc, rtx_ssrc)| {
                let track = self.tracks.get(track)?;
                Some((track, self.peers.get(track.peer)?, ssrc, rtx_ssrc))
            });
            sections.push(match sent {
                Some((track, publisher, ssrc, rtx_ssrc)) => {
                    mid_to_track.push((mid.to_string(), track.id));
                    ProposedSection::Send {
                        kind,
                        stream_label: &track.description.stream_label,
                        track_label: &track.description.track_label,
                        cname: &publisher.cname,
                        ssrc,
                        rtx_ssrc,
                    }
                }
                None if line.rejected => ProposedSection::Rejected(kind),
                None => ProposedSection::Inactive(kind),
            });
        }
        let quiet: Vec<bool> =
            sections.iter().map(|section| matches!(section, ProposedSection::Inactive(_))).collect();
        let credentials = peer.agent.local();
        let sdp = propose(
            &Local {
                ice_ufrag: &credentials.ufrag,
                ice_pwd: &credentials.pwd,
                fingerprint: &format!("sha-256 {}", self.certificate.fingerprint),
                role: peer.dtls.role(),
                candidates: &self.candidates,
                session_id: peer.session_id,
                session_version: peer.session_version,
            },
            &sections,
        );
        let (id, offer_id) = (peer.id, offering.last_id);
        if let Some(offering) = self.peers.get_mut(slot).and_then(|peer| peer.offering.as_mut()) {
            for (line, quiet) in offering.lines.iter_mut().zip(quiet) {
                line.quiet = quiet;
            }
        }
        self.events.push_back(Event::Offer { peer: id, offer_id, sdp, mid_to_track });
    }

    /// The client's answer. One to an older offer means nothing; 0 stands for the last (clients that do not count).
    pub(crate) fn accept_answer(
        &mut self,
        now: Instant,
        slot: usize,
        offer_id: u32,
        sdp: &str,
    ) -> Result<(), OfferError> {
        let Some(peer) = self.peers.get_mut(slot) else { return Ok(()) };
        let Some(offering) = &mut peer.offering else { return Ok(()) };
        if offering.exchange == Exchange::Settled || (offer_id != 0 && offer_id != offering.last_id) {
            return Ok(());
        }
        let answer = Offer::parse_answer(sdp)?;
        if answer.sections.len() != offering.lines.len() {
            return Err(OfferError::SectionChanged {
                index: answer.sections.len().min(offering.lines.len()),
            });
        }
        for (index, section) in answer.sections.iter().enumerate() {
            if !section.rejected && section.mid != index.to_string() {
                return Err(OfferError::SectionChanged { index });
            }
        }
        offering.exchange = Exchange::Settled;
        peer.agent.set_answered(Credentials { ufrag: answer.ice_ufrag.clone(), pwd: answer.ice_pwd.clone() });
        peer.dtls.set_client_fingerprint(&answer.fingerprint.value);
        peer.extensions = extension_ids(&answer);
        if peer.offer.is_none() {
            peer.last_heard = now;
        }
        let mut refused = Vec::new();
        let mut promised = Vec::new();
        let mut ended = Vec::new();
        for (index, (section, (line, used))) in
            answer.sections.iter().zip(offering.lines.iter_mut().zip(&mut peer.sections)).enumerate()
        {
            if line.kind.is_none() {
                *used = SectionUse::Application;
                continue;
            }
            if line.quiet && *used == SectionUse::Released {
                *used = SectionUse::Idle;
            }
            line.rejected |= section.rejected;
            let receives = !section.rejected && section.direction.receives();
            match (line.plan.take(), *used) {
                (Some(plan), _) if receives => promised.push((index, plan)),
                (Some(plan), _) => {
                    refused.push(plan.track);
                    *used = SectionUse::Idle;
                }
                (None, SectionUse::Downlink(downlink)) if !receives => ended.push(downlink),
                (None, _) => {}
            }
        }
        peer.offer = Some(answer);
        for downlink in ended {
            if let Some(track) = peer.downlinks.get(downlink).map(|downlink| downlink.track_slot) {
                let of_downlink = |wish: &&mut crate::peer::Subscription| wish.downlink == Some(downlink);
                for wish in peer.subscriptions.values_mut().filter(of_downlink) {
                    wish.downlink = None;
                    wish.refused = true;
                }
                peer.release(downlink);
                if let Some(track) = self.tracks.get_mut(track) {
                    track.subscribers.retain(|known| *known != Subscriber { peer: slot, downlink });
                }
            }
        }
        for track in refused {
            self.refuse(slot, track);
        }
        for (index, plan) in promised {
            self.begin_downlink(now, slot, index, plan);
        }
        self.unsettled.push(slot);
        Ok(())
    }

    fn refuse(&mut self, slot: usize, track: TrackId) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        if let Some(wish) = peer.subscriptions.get_mut(&track) {
            wish.refused = true;
            self.events.push_back(Event::SubscriptionRefused { peer: peer.id, track });
        }
    }

    fn begin_downlink(&mut self, now: Instant, slot: usize, index: usize, plan: Plan) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let Some(used) = peer.sections.get_mut(index) else { return };
        // Unless it begins, the line must be taken back.
        *used = SectionUse::Released;
        let Some(track_slot) = self.track_slots.get(&plan.track).copied() else { return };
        let Some(track) = self.tracks.get_mut(track_slot) else { return };
        if !peer.subscriptions.contains_key(&plan.track) {
            return;
        }
        if peer.carry(now, slot, track, track_slot, index, plan.start).is_err() {
            return self.refuse(slot, plan.track);
        }
        self.events.push_back(Event::Subscribed { peer: peer.id, track: plan.track });
        self.retarget(now, track_slot);
    }
}

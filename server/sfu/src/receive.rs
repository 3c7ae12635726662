//! The way of a datagram: who sent it, is it genuine, what is it, who gets it. Integrity comes before state: no table
//! is written for a packet that did not authenticate.
//!
//! Order for media: 5-tuple → SRTP open in place → header parsed once → per subscriber: header and rewritten
//! extensions into the send slab, payload copied, sealed in place. Nothing is allocated on that way.

use crate::codec::Codec;
use crate::downlink::Forward;
use crate::dtls::{DtlsRole, Progressed};
use crate::ice::Check;
use crate::packet::{self, Dependency, ExtensionIds, Marks, Packet};
use crate::peer::{Link, MEDIA_TICK, Peer, QUALITY_INTERVAL, SectionUse, Stream};
use crate::round_trip;
use crate::rtp::{Header, rtx};
use crate::shard::Shard;
use crate::srtp::{Opener, Sealer};
use crate::transmit::SendSlab;
use crate::uplink::{Arrival, Track};
use crate::{DisconnectReason, Event, RoomId};
use slab::Slab;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// An address in use by a peer that was heard this recently is not given to another one.
const ADDRESS_OWNED: Duration = Duration::from_secs(5);

impl Shard {
    pub(crate) fn handle_stun(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) {
        let Some(check) = Check::decode(datagram) else { return };
        let Some(slot) = self.ufrags.get(check.local_ufrag()).copied() else { return };
        // An address belongs to whoever proved it first, while that one lives: credentials alone cannot move
        // somebody else's packets.
        let owned =
            self.routes.get(&source).filter(|owner| *owner != slot).and_then(|owner| self.peers.get(owner));
        if owned.is_some_and(|owner| now.saturating_duration_since(owner.last_heard) < ADDRESS_OWNED) {
            return;
        }
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let Some(accepted) = peer.agent.accept(now, source, check, self.certificate.provider.crypto()) else {
            return;
        };
        if let Some(dropped) = accepted.dropped_path {
            self.routes.remove(&dropped);
        }
        self.routes.insert(source, slot);
        self.slab.push_bytes(source, &accepted.response);
        if heard(peer, now) {
            self.events.push_back(Event::Heard { peer: peer.id });
        }
        // Not nominated yet, most likely; the first word may go where the check came from all the same.
        peer.dtls.begin(now);
        peer.flush_to(now, source, &mut self.slab);
        self.schedule(slot);
    }

    pub(crate) fn handle_dtls(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) {
        let Some(slot) = self.routes.get(&source) else { return };
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let progressed = peer.dtls.handle_datagram(now, datagram);
        match progressed {
            Progressed::Nothing => {}
            Progressed::Connected(keying) => {
                let server = peer.dtls.role() == DtlsRole::Server;
                match (Opener::new(&keying, server), Sealer::new(&keying, server)) {
                    (Ok(opener), Ok(sealer)) => {
                        peer.opener = Some(opener);
                        peer.sealer = Some(sealer);
                    }
                    _ => return self.lose_peer(now, slot, DisconnectReason::HandshakeFailed),
                }
                peer.link = Link::Connected { silent: false };
                peer.last_heard = now;
                peer.quality_at = Some(now + QUALITY_INTERVAL);
                self.events.push_back(Event::Connected { peer: peer.id });
                let watched: Vec<usize> =
                    peer.downlinks.iter().map(|(_, downlink)| downlink.track_slot).collect();
                for track in watched {
                    self.retarget(now, track);
                }
            }
            Progressed::Data(packets) => {
                heard(peer, now);
                for packet in packets {
                    let Some(peer) = self.peers.get_mut(slot) else { break };
                    let received = peer.data.handle_packet(now, packet);
                    let flooded = peer.data.flooded();
                    self.deliver(slot, received);
                    if flooded {
                        return self.lose_peer(now, slot, DisconnectReason::TooManyMessages);
                    }
                }
            }
            Progressed::Closed => return self.lose_peer(now, slot, DisconnectReason::ClosedByPeer),
            Progressed::Failed => return self.lose_peer(now, slot, DisconnectReason::HandshakeFailed),
        }
        if let Some(peer) = self.peers.get_mut(slot) {
            peer.flush(now, &mut self.slab);
        }
        self.schedule(slot);
    }

    pub(crate) fn deliver(&mut self, slot: usize, received: Vec<crate::data::Received>) {
        let Some(peer) = self.peers.get(slot).filter(|peer| peer.room != RoomId::NOBODY).map(|peer| peer.id)
        else {
            return;
        };
        for message in received {
            self.events.push_back(Event::Data { peer, channel: message.channel, payload: message.payload });
        }
    }

    /// Who sends media from `source`, not authenticated yet.
    fn sender(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) -> Option<usize> {
        let Some(slot) = self.routes.get(&source) else { return self.follow(now, source, datagram) };
        if self.peers.get(slot)?.agent.awaits_confirmation() {
            self.follow_on(now, slot, source, datagram);
        }
        Some(slot)
    }

    pub(crate) fn handle_rtp(&mut self, now: Instant, source: SocketAddr, datagram: &mut [u8]) -> Option<()> {
        let slot = self.sender(now, source, datagram)?;
        let mut header = Header::parse(datagram)?;
        let peer = self.peers.get_mut(slot)?;
        let length = peer.opener.as_mut()?.open_rtp(datagram, header.header_len).ok()?;
        self.counters.received(datagram.len());
        let mut plain = datagram.get_mut(..length)?;
        if heard(peer, now) {
            self.events.push_back(Event::Heard { peer: peer.id });
        }

        let ids = peer.extensions;
        let mut names = Names::default();
        let mut marks = Marks::default();
        let mut descriptor = 0..0;
        for element in header.extensions(plain) {
            let value = element.data;
            match element.id {
                0 => {}
                id if id == ids.transport_sequence => {
                    if let [high, low, ..] = *value {
                        peer.twcc.record(u16::from_be_bytes([high, low]), now);
                    }
                }
                id if id == ids.audio_level => marks.audio_level = value.first().copied(),
                id if id == ids.orientation => marks.orientation = value.first().copied(),
                id if id == ids.dependency => {
                    descriptor = element.start..element.start.saturating_add(value.len());
                }
                id if id == ids.mid => names.mid = std::str::from_utf8(value).ok(),
                id if id == ids.rid => names.rid = std::str::from_utf8(value).ok(),
                id if id == ids.repaired_rid => names.repaired_rid = std::str::from_utf8(value).ok(),
                _ => {}
            }
        }
        let stream = match peer.streams.get(&header.ssrc) {
            Some(stream) => *stream,
            None => {
                let stream = bind(peer, &mut self.tracks, header.ssrc, header.payload_type, &names)?;
                if !stream.rtx {
                    self.restart(stream);
                }
                stream
            }
        };
        let peer = self.peers.get_mut(slot)?;
        if peer.media_tick_at.is_none() {
            peer.media_tick_at = Some(now + MEDIA_TICK);
            self.schedule(slot);
        }
        let track = self.tracks.get_mut(stream.track)?;
        let end = header.payload_end(plain)?;
        plain = plain.get_mut(..end)?;
        if stream.rtx {
            // RFC 4588: the original packet with its number in front of the payload.
            let original = rtx::original_sequence(plain.get(header.header_len..)?)?;
            header.sequence = original;
            header.payload_type = track.payload_types.media_of_rtx(header.payload_type)?;
        }
        let payload = plain.get(header.header_len.checked_add(if stream.rtx { 2 } else { 0 })?..)?;
        let clock_rate = if track.is_video() { 90_000 } else { 48_000 };
        // Only video is repaired: a late voice packet is of no use after its playout, and RED covers single losses.
        let repairable = track.is_video() && !track.is_held();
        let layer = track.layers.get_mut(stream.layer)?;
        let was_live = layer.is_live(now);
        let Arrival::Fresh { sequence } =
            layer.receive(now, header.sequence, header.timestamp, clock_rate, stream.rtx, repairable)
        else {
            return None;
        };
        if !was_live && !stream.rtx {
            self.retarget(now, stream.track);
        }
        let track = self.tracks.get_mut(stream.track)?;
        if track.is_held() {
            return None;
        }
        if let Some(level) = marks.audio_level
            && !track.is_video()
        {
            let (publisher, room) = (track.publisher, track.room);
            if self.rooms.get_mut(&room)?.speakers.observe(now, publisher, level & 0x7f) {
                self.end_window(now, room);
            }
        }
        let track = self.tracks.get_mut(stream.track)?;
        let codec = track.payload_types.codec(header.payload_type)?;
        // The descriptor lies in front of the payload, in the header.
        let descriptor = plain.get(descriptor).filter(|bytes| !bytes.is_empty() && codec.is_scalable());
        let frame = match descriptor {
            None => None,
            Some(bytes) => {
                let layering = &mut track.layers.get_mut(stream.layer)?.layering;
                // One that cannot be understood belongs to a structure that was lost: so is the frame.
                let frame = layering.follow(sequence, bytes)?;
                if frame.key {
                    self.retarget(now, stream.track);
                }
                Some(frame)
            }
        };
        let track = self.tracks.get_mut(stream.track)?;
        let vp8 = if codec == Codec::Vp8 { crate::rtp::vp8::Descriptor::parse(payload) } else { None };
        let keyframe = match codec {
            _ if frame.is_some() => frame.is_some_and(|frame| frame.key),
            Codec::Vp8 => vp8.as_ref().is_some_and(|descriptor| descriptor.keyframe),
            Codec::H264 { .. } => crate::rtp::h264::starts_keyframe(payload),
            Codec::Vp9 { .. } => crate::rtp::vp9::starts_keyframe(payload),
            Codec::Av1 => crate::rtp::av1::starts_keyframe(payload),
            Codec::Opus | Codec::Red => true,
        };
        if keyframe && track.codec != Some(codec) && codec != Codec::Red && !stream.rtx {
            self.follow_codec(now, stream.track, codec);
        }
        let track = self.tracks.get_mut(stream.track)?;
        let packet = Packet {
            layer: stream.layer,
            sequence,
            timestamp: header.timestamp,
            marker: header.marker,
            payload_type: header.payload_type,
            keyframe,
            marks,
            vp8,
            dependency: frame.zip(descriptor).map(|(frame, bytes)| Dependency { frame, bytes }),
            payload,
        };
        let video = track.is_video();
        let layer = track.layers.get_mut(stream.layer)?;
        layer.count(now, end, vp8.and_then(|descriptor| descriptor.tid));
        layer.keep(now, video, &packet);
        if let Some(descriptor) = vp8.filter(|d| d.starts_frame() && !stream.rtx) {
            layer.cadence.count(now, descriptor.tid.unwrap_or(0));
        }
        if let Some(frame) = frame.filter(|_| !stream.rtx) {
            layer.layering.count(now, &frame, end);
            if frame.start && frame.spatial == 0 {
                layer.cadence.count(now, frame.temporal);
            }
        }
        // Without a level nobody can be ranked.
        if let Some(level) = marks.audio_level.filter(|_| track.competes()) {
            let heard = self.rooms.get_mut(&track.room)?.loudest.admit(now, track.id, level & 0x7f);
            if std::mem::replace(&mut track.heard, heard) && !heard {
                interrupt(&mut self.peers, track);
            }
        }
        if !track.heard {
            return None;
        }
        let (mut missed, mut packets, mut bytes) = (false, 0_u64, 0_u64);
        for subscriber in &track.subscribers {
            let Some(peer) = self.peers.get_mut(subscriber.peer) else { continue };
            let Some(to) = peer.address() else { continue };
            let Some(sealer) = peer.sealer.as_mut() else { continue };
            let Some(downlink) = peer.downlinks.get_mut(subscriber.downlink) else { continue };
            if let Some(forward) = downlink.forward(now, &packet, &track.layers) {
                let number = downlink.numbers(packet.payload_type).then(|| peer.bandwidth.next_sequence());
                let sent = seal(&mut self.slab, to, sealer, &packet, &forward, &peer.extensions, number);
                packets = packets.wrapping_add(u64::from(sent > 0));
                bytes = bytes.wrapping_add(sent as u64);
                match number {
                    Some(_) if sent > 0 => peer.bandwidth.sent(now, sent),
                    Some(_) => {}
                    None => peer.bandwidth.sent_beside(sent),
                }
            }
            missed |= (keyframe || downlink.svc.stuck) && downlink.awaits_keyframe() == Some(stream.layer);
        }
        self.counters.forwarded(packets, bytes);
        if missed && let Some(layer) = track.layers.get_mut(stream.layer) {
            layer.keyframe.request();
        }
        Some(())
    }

    /// A layer's numbers start anew: whoever gets it waits for its next key frame.
    pub(crate) fn restart(&mut self, stream: Stream) {
        let Some(track) = self.tracks.get(stream.track) else { return };
        for subscriber in &track.subscribers {
            if let Some(downlink) = self
                .peers
                .get_mut(subscriber.peer)
                .and_then(|peer| peer.downlinks.get_mut(subscriber.downlink))
                && downlink.current_stream() == Some(stream.layer)
            {
                downlink.interrupt();
            }
        }
    }

    pub(crate) fn handle_rtcp(&mut self, now: Instant, source: SocketAddr, datagram: &mut [u8]) {
        use crate::rtp::rtcp;
        let Some(slot) = self.sender(now, source, datagram) else { return };
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let Some(length) = peer.opener.as_mut().and_then(|opener| opener.open_rtcp(datagram).ok()) else {
            return;
        };
        let Some(plain) = datagram.get(..length) else { return };
        if heard(peer, now) {
            self.events.push_back(Event::Heard { peer: peer.id });
        }
        for report in rtcp::parse(plain) {
            match report {
                rtcp::Packet::SenderReport { ssrc, ntp, rtp, reports, .. } => {
                    self.receiver_reports(now, slot, reports);
                    self.forward_sender_report(now, slot, ssrc, ntp, rtp);
                }
                rtcp::Packet::ReceiverReport { reports, .. } => self.receiver_reports(now, slot, reports),
                rtcp::Packet::Nack { media, sequences, .. } => self.repair(now, slot, media, sequences),
                rtcp::Packet::TransportFeedback(feedback) => self.bandwidth_feedback(now, slot, feedback),
                rtcp::Packet::Remb { bitrate, .. } => self.bandwidth_bound(slot, bitrate),
                rtcp::Packet::Pli { media, .. } => self.request_keyframe(now, slot, media),
                rtcp::Packet::Fir { requests, .. } => {
                    requests.for_each(|request| self.request_keyframe(now, slot, request.ssrc));
                }
                _ => {}
            }
        }
    }

    fn receiver_reports(
        &mut self,
        now: Instant,
        slot: usize,
        reports: impl Iterator<Item = crate::rtp::rtcp::ReportBlock>,
    ) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        for report in reports {
            if let Some(downlink) =
                peer.downlink_slots.get(&report.ssrc).and_then(|downlink| peer.downlinks.get_mut(*downlink))
            {
                downlink.acknowledge(report.fraction_lost);
                if let Some(sample) = downlink.clock.round_trip(now, &report) {
                    peer.round_trip = Some(round_trip::smooth(peer.round_trip, sample));
                }
            }
        }
    }

    /// Passes a publisher's clock on to those who get that layer, in the timestamps they see.
    pub(crate) fn forward_sender_report(&mut self, now: Instant, slot: usize, ssrc: u32, ntp: u64, rtp: u32) {
        let Some(stream) = self.peers.get(slot).and_then(|peer| peer.streams.get(&ssrc)).copied() else {
            return;
        };
        let Some(track) = self.tracks.get_mut(stream.track) else { return };
        let Some(layer) = track.layers.get_mut(stream.layer).filter(|_| !stream.rtx) else { return };
        layer.sender_report = Some((ntp, rtp));
        layer.statistics.sender_report(now, ntp);
        if track.is_held() {
            return;
        }
        let cname = self.peers.get(slot).map(|peer| peer.cname.clone()).unwrap_or_default();
        for subscriber in &track.subscribers {
            let Some(peer) = self.peers.get_mut(subscriber.peer) else { continue };
            let Some(downlink) = peer.downlinks.get_mut(subscriber.downlink) else { continue };
            let Some(timestamp) = downlink.report_timestamp(stream.layer, rtp) else { continue };
            downlink.clock.reported(now, ntp);
            let report = crate::feedback::SenderReport {
                ssrc: downlink.ssrc,
                ntp,
                timestamp,
                packets: downlink.packets,
                octets: downlink.octets,
            };
            peer.send_rtcp(&mut self.slab, |buffer| report.write(buffer, &cname));
        }
    }

    pub(crate) fn repair(
        &mut self,
        now: Instant,
        slot: usize,
        ssrc: u32,
        sequences: impl Iterator<Item = u16>,
    ) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let (Some(to), Some(sealer)) = (peer.address(), peer.sealer.as_mut()) else { return };
        let Some(downlink) = peer.downlink_slots.get(&ssrc).and_then(|at| peer.downlinks.get_mut(*at)) else {
            return;
        };
        let Some(track) = self.tracks.get(downlink.track_slot).filter(|track| !track.is_held()) else {
            return;
        };
        for sequence in sequences {
            self.counters.was_asked_again();
            if !peer.bandwidth.may_repair(now) {
                break;
            }
            if let Some((packet, forward)) = downlink.repair(now, peer.round_trip, sequence, &track.layers) {
                let number = downlink.numbers(packet.payload_type).then(|| peer.bandwidth.next_sequence());
                let sent = seal(&mut self.slab, to, sealer, &packet, &forward, &peer.extensions, number);
                self.counters.repaired(u64::from(sent > 0));
                peer.bandwidth.repaired(sent);
                if number.is_some() && sent > 0 {
                    peer.bandwidth.sent(now, sent);
                }
            }
        }
    }

    pub(crate) fn request_keyframe(&mut self, now: Instant, slot: usize, ssrc: u32) {
        let Some(peer) = self.peers.get(slot) else { return };
        let Some(downlink) = peer.downlink_slots.get(&ssrc).and_then(|at| peer.downlinks.get(*at)) else {
            return;
        };
        let Some(layer) = downlink.awaits_keyframe().or_else(|| downlink.current_stream()) else { return };
        let Some(track) = self.tracks.get_mut(downlink.track_slot).filter(|track| track.is_video()) else {
            return;
        };
        track.request_keyframe(layer);
        let publisher = track.peer;
        self.counters.keyframe_asked();
        self.poke(now, publisher);
    }
}

/// The track pauses for a while; what comes after it goes on without a gap in the numbers.
fn interrupt(peers: &mut Slab<Peer>, track: &Track) {
    for subscriber in &track.subscribers {
        if let Some(downlink) =
            peers.get_mut(subscriber.peer).and_then(|peer| peer.downlinks.get_mut(subscriber.downlink))
        {
            downlink.interrupt();
        }
    }
}

/// One copy, one seal. Returns the datagram's length, 0 if nothing left.
fn seal(
    slab: &mut SendSlab,
    to: SocketAddr,
    sealer: &mut Sealer,
    packet: &Packet<'_>,
    forward: &Forward,
    ids: &ExtensionIds,
    transport_sequence: Option<u16>,
) -> usize {
    let mut sent = 0;
    slab.push(to, |buffer| {
        let (header_len, length) = packet::write(buffer, packet, &forward.address, ids, transport_sequence)?;
        sent = sealer.seal_rtp(buffer, length, header_len, forward.roc).ok()?;
        Some(sent)
    });
    sent
}

/// Notes that something authenticated came. Whether the peer was silent before.
fn heard(peer: &mut Peer, now: Instant) -> bool {
    peer.last_heard = now;
    let was_silent = peer.link == (Link::Connected { silent: true });
    if was_silent {
        peer.link = Link::Connected { silent: false };
    }
    was_silent
}

/// Names in the header extensions of a packet (RFC 8843 §9.2, RFC 8852).
#[derive(Default)]
struct Names<'a> {
    mid: Option<&'a str>,
    rid: Option<&'a str>,
    repaired_rid: Option<&'a str>,
}

/// Finds out what an SSRC is that was not seen before, and remembers it. Clients name a stream only until they
/// know that the server understood, so the binding outlives every renegotiation.
fn bind(
    peer: &mut Peer,
    tracks: &mut Slab<Track>,
    ssrc: u32,
    payload_type: u8,
    names: &Names<'_>,
) -> Option<Stream> {
    let offer = peer.offer.as_ref()?;
    let uplinks = || {
        offer.sections.iter().zip(&peer.sections).filter_map(|(section, used)| match used {
            SectionUse::Uplink(Some(track)) => Some((section, *track)),
            _ => None,
        })
    };
    let (section, track) = match names.mid {
        Some(mid) => uplinks().find(|(section, _)| section.mid == mid)?,
        None => {
            let named = |s: &crate::sdp::Section| {
                s.ssrcs.contains(&ssrc) || s.fid.iter().any(|(_, rtx)| *rtx == ssrc)
            };
            match uplinks().find(|(section, _)| named(section)) {
                Some(found) => found,
                None => {
                    // A payload type that only one line has names that line (RFC 8843 §9.2, last resort).
                    let mut having =
                        uplinks().filter(|(s, _)| s.codecs.iter().any(|c| c.payload_type == payload_type));
                    let only = having.next()?;
                    if having.next().is_some() {
                        return None;
                    }
                    only
                }
            }
        }
    };
    let state = tracks.get_mut(track)?;
    let rtx_type = state.payload_types.media_of_rtx(payload_type).is_some();
    let (layer, rtx) = match (names.rid, names.repaired_rid) {
        (_, Some(rid)) => (layer_of(section, rid)?, true),
        (Some(rid), None) => (layer_of(section, rid)?, rtx_type),
        (None, None) if section.rids.is_empty() => (0, rtx_type),
        (None, None) => return None,
    };
    if peer.streams.len() >= crate::peer::MAX_STREAMS {
        return None;
    }
    let stream = Stream { track, layer, rtx };
    peer.streams.retain(|_, known| *known != stream);
    peer.streams.insert(ssrc, stream);
    if !rtx {
        state.layers.get_mut(layer)?.rebind(ssrc);
    }
    Some(stream)
}

/// LiveKit's rids by name; other names by their place in the offer.
fn layer_of(section: &crate::sdp::Section, rid: &str) -> Option<usize> {
    let place =
        || section.rids.iter().position(|known| known == rid).filter(|at| *at < crate::uplink::LAYERS);
    Track::layer_of_rid(rid).or_else(place)
}

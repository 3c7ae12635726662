//! One participant's media, sans-I/O: ICE, DTLS, SRTP, its own tracks and what it tells about the others'.
//!
//! Decided: an own small client on the parts `rtc-stun`, `rtc-dtls`, `rtc-srtp` and `rtc-rtcp`.
//! Because: a load generator must carry more than the server under test and must not add loss or delay of its own. Both
//! ready-made peer connections of the family cost 2.4 µs and 7–13 allocations per received packet before the socket;
//! `webrtc` 0.21.1 drops received packets when one of its 256-slot queues is full, and neither tells the kernel's receive
//! time. Both also stop a transceiver for good when an answer says `inactive`, which LiveKit-compatible servers answer to
//! every free receiving line, and both bind every receiver anew at each renegotiation.
//! Instead of: `webrtc::PeerConnection` or `rtc::RTCPeerConnection`. It shares no code with the server's media plane; a test
//! connects it to the `webrtc` crate's.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bytes::{Bytes, BytesMut};
use rtc_rtcp::packet::Packet as RtcpPacket;
use rtc_rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc_rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc_rtcp::receiver_report::ReceiverReport;
use rtc_rtcp::sender_report::SenderReport;
use rtc_rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use rtc_rtp::header::Header;
use rtc_shared::error::Error as RtcError;
use rtc_shared::marshal::{Marshal as _, Unmarshal as _};

use crate::clock::Clock;
use crate::dtls::{Association, Identity, Keys};
use crate::feedback::{Feedback, REPORT_INTERVAL, TRANSPORT_FEEDBACK_INTERVAL};
use crate::ice::{Agent, State as IceState};
use crate::media::{Kind, Source};
use crate::sdp::{
    AUDIO_LEVEL_URI, Answer, AnswerSection, LocalTransport, MID_URI, OPUS_PAYLOAD_TYPE, TRANSPORT_CC_ID,
    TRANSPORT_CC_URI, VP8_PAYLOAD_TYPE, parse_candidate,
};

/// Lateness after which a track skips frames instead of sending them in one burst: the generator was stopped or is
/// overloaded.
const MAX_LATENESS: Duration = Duration::from_millis(200);
/// A speaker's turn; the audio level extension lets participants speak one after the other.
const SPEAKER_TURN_NS: u64 = 3_000_000_000;
/// Seconds between 1900 and 1970 (NTP era 0).
const NTP_OFFSET_S: u64 = 2_208_988_800;
/// Capacity of the buffer a packet is written into.
const MAX_RTP_LEN: usize = 1_500;

/// An own track on the wire.
struct Publication {
    source: Source,
    cid: String,
    ssrc: u32,
    payload_type: u8,
    sequence_number: u16,
    timestamp_offset: u32,
    timestamp: u32,
    /// `None` until the answer took the line.
    due: Option<Instant>,
    mid: Bytes,
    extensions: Extensions,
    /// The server has reported on this SSRC, so MID can be left out, as libwebrtc does.
    acknowledged: bool,
    packets: u32,
    octets: u32,
}

#[derive(Clone, Copy, Default)]
struct Extensions {
    audio_level: Option<u8>,
    transport_cc: Option<u8>,
    mid: Option<u8>,
}

/// What came in.
pub(crate) enum Incoming {
    /// Decrypted RTP, padding removed.
    Media { kind: Kind, ssrc: u32, sequence_number: u16, timestamp: u32, packet: BytesMut, payload_at: usize },
    /// The handshake is over; media may flow.
    Connected,
    /// Nothing to count.
    Nothing,
}

/// Events on the transport that a correct server does not cause, and feedback it sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TransportCounts {
    /// SRTP refused: a packet that came twice.
    pub replayed: u64,
    /// SRTP or SRTCP refused: wrong key, changed bytes.
    pub unauthentic: u64,
    /// RTX or any payload type never offered for media.
    pub other_payload: u64,
    /// Sequence numbers the server asked again for.
    pub nacked: u64,
    pub key_frame_requests: u64,
}

/// A media client; its owner moves the bytes and tells the time.
pub(crate) struct MediaClient {
    identity: Identity,
    agent: Agent,
    association: Option<Association>,
    keys: Option<Keys>,
    remote: Option<SocketAddr>,
    preferred_ip: Option<IpAddr>,
    publications: Vec<Publication>,
    feedback: Feedback,
    next_report: Option<Instant>,
    next_transport_feedback: Option<Instant>,
    transport_sequence: u16,
    index: u32,
    participants: u32,
    scratch: Vec<u8>,
    outbox: VecDeque<(SocketAddr, Bytes)>,
    pub counts: TransportCounts,
}

impl MediaClient {
    /// `index` of `participants` in a room decides when this one "speaks".
    pub(crate) fn new(identity: Identity, index: u32, participants: u32) -> Result<Self> {
        Ok(Self {
            agent: Agent::new(identity.crypto.clone())?,
            identity,
            association: None,
            keys: None,
            remote: None,
            preferred_ip: None,
            publications: Vec::new(),
            feedback: Feedback::default(),
            next_report: None,
            next_transport_feedback: None,
            transport_sequence: 0,
            index,
            participants,
            scratch: Vec::with_capacity(MAX_RTP_LEN),
            outbox: VecDeque::new(),
            counts: TransportCounts::default(),
        })
    }

    /// Candidates at this address are tried before all others: signalling came through to it.
    pub(crate) fn prefer(&mut self, ip: IpAddr) {
        self.preferred_ip = Some(ip);
    }

    pub(crate) fn local_transport(&self) -> LocalTransport<'_> {
        LocalTransport {
            ufrag: &self.agent.ufrag,
            pwd: &self.agent.pwd,
            fingerprint: &self.identity.fingerprint,
        }
    }

    /// Makes an own track; its packets flow once an answer takes the line with this `cid`. Gives the SSRC.
    pub(crate) fn publish(&mut self, source: Source, cid: String) -> Result<u32> {
        let mut random = [0; 10];
        self.identity.crypto.random().fill(&mut random).context("random bytes for RTP")?;
        let ssrc = u32::from_be_bytes([random[0], random[1], random[2], random[3]]);
        self.publications.push(Publication {
            payload_type: match source.kind() {
                Kind::Audio => OPUS_PAYLOAD_TYPE,
                Kind::Video => VP8_PAYLOAD_TYPE,
            },
            source,
            cid,
            ssrc,
            // Below the middle, so that the receiver's rollover guess is right from the first packet (RFC 3711 §3.3.1).
            sequence_number: u16::from_be_bytes([random[4], random[5]]) & 0x7fff,
            timestamp_offset: u32::from_be_bytes([random[6], random[7], random[8], random[9]]),
            timestamp: 0,
            due: None,
            mid: Bytes::new(),
            extensions: Extensions::default(),
            acknowledged: false,
            packets: 0,
            octets: 0,
        });
        Ok(ssrc)
    }

    /// Applies an answer; `sent` names the own track on each line, in the order of the offer.
    pub(crate) fn accept(&mut self, now: Instant, answer: &Answer, sent: &[Option<String>]) -> Result<()> {
        if self.association.is_none() {
            self.association =
                Some(Association::new(&self.identity, answer.setup, answer.fingerprint.clone())?);
            self.agent.set_remote(now, &answer.ufrag, &answer.pwd);
        }
        for &candidate in &answer.candidates {
            self.add_candidate(now, candidate);
        }
        for (section, cid) in answer.sections.iter().zip(sent) {
            let Some(cid) = cid else { continue };
            if let Some(publication) =
                self.publications.iter_mut().find(|publication| publication.cid == *cid)
            {
                publication.negotiated(now, section, self.index);
            }
        }
        Ok(())
    }

    pub(crate) fn add_trickled(&mut self, now: Instant, candidate: &str) {
        if let Some(candidate) = parse_candidate(candidate) {
            self.add_candidate(now, candidate);
        }
    }

    fn add_candidate(&mut self, now: Instant, candidate: SocketAddr) {
        self.agent.add_candidate(now, candidate, self.preferred_ip == Some(candidate.ip()));
    }

    pub(crate) fn profile(&self) -> Option<&'static str> {
        self.keys.as_ref().map(|keys| keys.profile)
    }

    /// Demultiplexes by the first byte (RFC 7983). `arrival_ns` is the kernel's receive time.
    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        arrival_ns: u64,
        from: SocketAddr,
        data: &[u8],
    ) -> Result<Incoming> {
        match data.first() {
            Some(0..=3) => {
                self.agent.handle_message(now, from, data)?;
                self.follow_path(now)?;
                Ok(Incoming::Nothing)
            }
            Some(20..=63) => {
                let Some(association) = &mut self.association else { return Ok(Incoming::Nothing) };
                let keys = association.handle_record(now, data)?;
                self.flush_dtls();
                let Some(keys) = keys else { return Ok(Incoming::Nothing) };
                self.keys = Some(keys);
                self.next_report = Some(now + REPORT_INTERVAL);
                Ok(Incoming::Connected)
            }
            Some(128..=191) if data.get(1).is_some_and(|second| (192..=223).contains(second)) => {
                self.handle_rtcp(now, data);
                Ok(Incoming::Nothing)
            }
            Some(128..=191) => Ok(self.handle_rtp(now, arrival_ns, data)),
            _ => Ok(Incoming::Nothing),
        }
    }

    fn handle_rtp(&mut self, now: Instant, arrival_ns: u64, data: &[u8]) -> Incoming {
        let Some(keys) = &mut self.keys else { return Incoming::Nothing };
        let mut rest = data;
        let Ok(header) = Header::unmarshal(&mut rest) else {
            self.counts.unauthentic += 1;
            return Incoming::Nothing;
        };
        let payload_at = data.len() - rest.len();
        let mut packet = match keys.inbound.decrypt_rtp_with_header(data, &header) {
            Ok(packet) => packet,
            Err(RtcError::SrtpSsrcDuplicated(..)) => {
                self.counts.replayed += 1;
                return Incoming::Nothing;
            }
            Err(_) => {
                self.counts.unauthentic += 1;
                return Incoming::Nothing;
            }
        };
        let transport = header.get_extension(TRANSPORT_CC_ID).and_then(|bytes| bytes.first_chunk().copied());
        if transport.is_some() && self.next_transport_feedback.is_none() {
            self.next_transport_feedback = Some(now + TRANSPORT_FEEDBACK_INTERVAL);
        }
        let transport = transport.map(u16::from_be_bytes);
        self.feedback.on_rtp(header.ssrc, header.sequence_number, transport, arrival_ns);
        if header.padding {
            let padding = usize::from(packet.last().copied().unwrap_or(0));
            packet.truncate(packet.len().saturating_sub(padding).max(payload_at));
        }
        let kind = match header.payload_type {
            OPUS_PAYLOAD_TYPE => Kind::Audio,
            VP8_PAYLOAD_TYPE => Kind::Video,
            _ => {
                self.counts.other_payload += 1;
                return Incoming::Nothing;
            }
        };
        Incoming::Media {
            kind,
            ssrc: header.ssrc,
            sequence_number: header.sequence_number,
            timestamp: header.timestamp,
            packet,
            payload_at,
        }
    }

    fn handle_rtcp(&mut self, now: Instant, data: &[u8]) {
        let Some(keys) = &mut self.keys else { return };
        let Ok(mut plain) = keys.inbound.decrypt_rtcp(data) else {
            self.counts.unauthentic += 1;
            return;
        };
        // An unknown packet type in a compound costs its remainder, not the run.
        let Ok(packets) = rtc_rtcp::packet::unmarshal(&mut plain) else { return };
        for packet in packets {
            let packet = packet.as_any();
            if let Some(request) = packet.downcast_ref::<PictureLossIndication>() {
                self.want_key_frame(request.media_ssrc);
            } else if let Some(request) = packet.downcast_ref::<FullIntraRequest>() {
                for entry in &request.fir {
                    self.want_key_frame(entry.ssrc);
                }
            } else if let Some(nack) = packet.downcast_ref::<TransportLayerNack>() {
                // Not answered: a repaired packet would hide a loss this generator is here to count.
                self.counts.nacked +=
                    nack.nacks.iter().map(|pair| u64::from(1 + pair.lost_packets.count_ones())).sum::<u64>();
            } else if let Some(report) = packet.downcast_ref::<SenderReport>() {
                self.feedback.on_sender_report(now, report.ssrc, report.ntp_time);
            } else if let Some(report) = packet.downcast_ref::<ReceiverReport>() {
                for publication in &mut self.publications {
                    publication.acknowledged |=
                        report.reports.iter().any(|block| block.ssrc == publication.ssrc);
                }
            }
        }
    }

    fn want_key_frame(&mut self, ssrc: u32) {
        if let Some(publication) = self.publications.iter_mut().find(|publication| publication.ssrc == ssrc) {
            publication.source.want_key_frame();
            self.counts.key_frame_requests += 1;
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let media = self.keys.is_some().then(|| self.publications.iter().filter_map(|track| track.due).min());
        [
            self.agent.next_deadline(),
            self.association.as_ref().and_then(Association::next_deadline),
            self.next_report,
            self.next_transport_feedback,
            media.flatten(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Does what is due. Each media packet is stamped with `clock` and handed to `send` at once, so that its stamp is its
    /// send time; everything else goes to the outbox.
    pub(crate) fn handle_timeout(
        &mut self,
        now: Instant,
        clock: &Clock,
        mut send: impl FnMut(&Sent, &[u8], SocketAddr),
    ) -> Result<()> {
        self.agent.handle_timeout(now)?;
        if self.agent.state() == IceState::Lost {
            bail!("no answer on the media path for 30 s");
        }
        if let Some(association) = &mut self.association {
            association.handle_timeout(now)?;
        }
        self.flush_dtls();
        let (Some(keys), Some(remote)) = (&mut self.keys, self.remote) else { return Ok(()) };
        for publication in &mut self.publications {
            while let Some(due) = publication.due.filter(|due| *due <= now) {
                publication.due = Some(due + publication.source.interval());
                let late = now.duration_since(due);
                if late > MAX_LATENESS {
                    publication.due = Some(now + publication.source.interval());
                }
                let frame = publication.source.next_frame();
                publication.timestamp = publication.timestamp_offset.wrapping_add(frame.timestamp);
                for index in 0..frame.packets {
                    let sent_ns = clock.now_ns();
                    let speaking = speaks(sent_ns, self.index, self.participants);
                    let header = publication.header(
                        index + 1 == frame.packets,
                        speaking,
                        &mut self.transport_sequence,
                    )?;
                    self.scratch.clear();
                    self.scratch.extend_from_slice(&header.marshal()?);
                    let payload_at = self.scratch.len();
                    publication.source.write_packet(frame, index, sent_ns, &mut self.scratch);
                    publication.packets = publication.packets.wrapping_add(1);
                    let payload_len = self.scratch.len() - payload_at;
                    publication.octets = publication.octets.wrapping_add(payload_len as u32);
                    let sealed = keys.outbound.encrypt_rtp_with_header(&self.scratch, &header)?;
                    let sent = Sent { kind: publication.source.kind(), sent_ns, payload_len, late };
                    send(&sent, &sealed, remote);
                }
            }
        }
        self.send_reports(now)
    }

    fn send_reports(&mut self, now: Instant) -> Result<()> {
        let own_ssrc = self.publications.first().map_or(1, |publication| publication.ssrc);
        if self.next_report.is_some_and(|at| at <= now) {
            self.next_report = Some(now + REPORT_INTERVAL);
            for publication in self.publications.iter().filter(|publication| publication.packets > 0) {
                let report = SenderReport {
                    ssrc: publication.ssrc,
                    ntp_time: ntp_now(),
                    rtp_time: publication.timestamp,
                    packet_count: publication.packets,
                    octet_count: publication.octets,
                    ..SenderReport::default()
                };
                seal_rtcp(self.keys.as_mut(), self.remote, &report, &mut self.outbox)?;
            }
            let mut groups = self.feedback.reports(now);
            if groups.is_empty() {
                groups.push(Vec::new());
            }
            for reports in groups {
                let report = ReceiverReport { ssrc: own_ssrc, reports, ..ReceiverReport::default() };
                seal_rtcp(self.keys.as_mut(), self.remote, &report, &mut self.outbox)?;
            }
        }
        if self.next_transport_feedback.is_some_and(|at| at <= now) {
            self.next_transport_feedback = Some(now + TRANSPORT_FEEDBACK_INTERVAL);
            if let Some(feedback) = self.feedback.transport_feedback(own_ssrc) {
                seal_rtcp(self.keys.as_mut(), self.remote, &feedback, &mut self.outbox)?;
            }
        }
        Ok(())
    }

    /// Tells the server that this client goes.
    pub(crate) fn close(&mut self, now: Instant) -> Result<()> {
        if let Some(association) = &mut self.association {
            association.close(now)?;
        }
        self.flush_dtls();
        Ok(())
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<(SocketAddr, Bytes)> {
        if let Some((to, message)) = self.agent.poll_transmit() {
            return Some((to, message.into()));
        }
        self.outbox.pop_front()
    }

    /// Follows ICE to the path it chose; the first path opens the DTLS handshake.
    fn follow_path(&mut self, now: Instant) -> Result<()> {
        let IceState::Connected { remote, .. } = self.agent.state() else { return Ok(()) };
        self.remote = Some(remote);
        if let Some(association) = &mut self.association {
            association.start(now)?;
        }
        self.flush_dtls();
        Ok(())
    }

    fn flush_dtls(&mut self) {
        let (Some(association), Some(remote)) = (&mut self.association, self.remote) else { return };
        while let Some(record) = association.poll_transmit() {
            self.outbox.push_back((remote, record.freeze()));
        }
    }
}

/// A media packet that is leaving.
pub(crate) struct Sent {
    pub kind: Kind,
    pub sent_ns: u64,
    pub payload_len: usize,
    /// How long after its due time; large when the generator itself is overloaded.
    pub late: Duration,
}

impl Publication {
    fn negotiated(&mut self, now: Instant, section: &AnswerSection, index: u32) {
        if !section.receives {
            return;
        }
        self.mid = Bytes::copy_from_slice(section.mid.as_bytes());
        self.extensions = Extensions {
            audio_level: section.extension(AUDIO_LEVEL_URI),
            transport_cc: section.extension(TRANSPORT_CC_URI),
            mid: section.extension(MID_URI),
        };
        // Tracks that all start on the same millisecond would meet the server as one burst.
        let phase = self.source.interval() / 97 * (index.wrapping_mul(61) % 97);
        self.due.get_or_insert(now + phase);
    }

    fn header(&mut self, marker: bool, speaking: bool, transport_sequence: &mut u16) -> Result<Header> {
        let mut header = Header {
            version: 2,
            marker: marker && self.source.kind() == Kind::Video,
            payload_type: self.payload_type,
            sequence_number: self.sequence_number,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
            ..Header::default()
        };
        self.sequence_number = self.sequence_number.wrapping_add(1);
        if let Some(id) = self.extensions.audio_level
            && self.source.kind() == Kind::Audio
        {
            // RFC 6464: voice flag and level in -dBov.
            let level: u8 = if speaking { 0x80 | 20 } else { 127 };
            header.set_extension(id, Bytes::copy_from_slice(&[level]))?;
        }
        if let Some(id) = self.extensions.transport_cc {
            header.set_extension(id, Bytes::copy_from_slice(&transport_sequence.to_be_bytes()))?;
            *transport_sequence = transport_sequence.wrapping_add(1);
        }
        if let Some(id) = self.extensions.mid
            && !self.acknowledged
        {
            header.set_extension(id, self.mid.clone())?;
        }
        Ok(header)
    }
}

fn seal_rtcp(
    keys: Option<&mut Keys>,
    remote: Option<SocketAddr>,
    packet: &dyn RtcpPacket,
    outbox: &mut VecDeque<(SocketAddr, Bytes)>,
) -> Result<()> {
    let (Some(keys), Some(remote)) = (keys, remote) else { return Ok(()) };
    let mut plain = BytesMut::zeroed(packet.marshal_size());
    packet.marshal_to(&mut plain)?;
    outbox.push_back((remote, keys.outbound.encrypt_rtcp(&plain)?.freeze()));
    Ok(())
}

fn speaks(now_ns: u64, index: u32, participants: u32) -> bool {
    (now_ns / SPEAKER_TURN_NS) % u64::from(participants.max(1)) == u64::from(index % participants.max(1))
}

fn ntp_now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    ((now.as_secs() + NTP_OFFSET_S) << 32) | ((u64::from(now.subsec_nanos()) << 32) / 1_000_000_000)
}

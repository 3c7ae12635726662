//! One client: ICE, DTLS, SRTP, SCTP, its m-lines, what it publishes and what it receives. Sans-I/O like the shard.

mod answering;
pub(crate) mod rtcp;

use rtcp::Feedback;

use super::channels::Channels;
use super::ice::{Agent, Credentials, Nomination};
use super::network::Class;
use super::random::Random;
use super::receive::{Incoming, Reception};
use super::sdp::{Answer, Dialect, Direction, OfferContext, Role, Section, SectionKind, Sending, offer};
use super::secure::{DtlsClient, DtlsOptions, Session};
use super::send::{Publication, Source};
use bytes::Bytes;
use rtc_crypto::RTCCryptoProvider;
use rtc_rtcp::packet::Packet as RtcpPacket;
use rtc_rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc_rtcp::transport_feedbacks::transport_layer_nack::{
    TransportLayerNack, nack_pairs_from_sequence_numbers,
};
use rtc_rtp::header::Header;
use rtc_rtp::packet::Packet;
use rtc_shared::marshal::{Marshal, Unmarshal};
use sfu::{PeerId, RoomId, TrackId};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How a client behaves.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) dialect: Dialect,
    pub(crate) dtls: DtlsOptions,
    pub(crate) nomination: Nomination,
    /// RED offered on audio lines.
    pub(crate) red: bool,
    /// Receiving m-lines in the first offer.
    pub(crate) audios: usize,
    pub(crate) videos: usize,
    /// Ask for lost packets; ask for key frames.
    pub(crate) nack: bool,
    pub(crate) pli: bool,
    /// Put another certificate's fingerprint into the offer.
    pub(crate) wrong_fingerprint: bool,
}

impl Client {
    pub(crate) fn chromium() -> Self {
        Self {
            dialect: Dialect::CHROMIUM,
            dtls: DtlsOptions::chromium(),
            nomination: Nomination::Regular,
            red: true,
            audios: 3,
            videos: 3,
            nack: true,
            pli: true,
            wrong_fingerprint: false,
        }
    }

    pub(crate) fn firefox() -> Self {
        Self { dialect: Dialect::FIREFOX, nomination: Nomination::Aggressive, red: false, ..Self::chromium() }
    }
}

pub(crate) struct Peer {
    pub(crate) id: PeerId,
    pub(crate) room: RoomId,
    pub(crate) address: SocketAddr,
    pub(crate) client: Client,
    /// Which side of the negotiation it is on.
    role: Role,
    pub(crate) ice: Agent,
    pub(crate) dtls: DtlsClient,
    pub(crate) session: Option<Session>,
    pub(crate) channels: Option<Channels>,
    pub(crate) sections: Vec<Section>,
    pub(crate) answer: Option<Answer>,
    pub(crate) publications: Vec<Publication>,
    pub(crate) receptions: BTreeMap<TrackId, Reception>,
    pub(crate) feedback: Feedback,
    /// RTP whose SSRC or m-line no answer explains.
    pub(crate) unexplained: u64,
    pub(crate) undecryptable: u64,
    /// Received RTP as decrypted, when on.
    pub(crate) recorded: Option<Vec<Packet>>,
    pub(crate) transport_sequence: u16,
    pub(crate) mid_to_track: HashMap<String, TrackId>,
    provider: Arc<dyn RTCCryptoProvider>,
    random: Random,
    version: u32,
    incoming: BTreeMap<u32, Incoming>,
    ssrc_to_mid: HashMap<u32, String>,
    rtx_to_primary: HashMap<u32, u32>,
    /// SSRCs that came with a MID.
    named: HashSet<u32>,
    next_report: Option<Instant>,
    arrivals: Vec<(u16, Instant)>,
    next_transport_feedback: Option<Instant>,
    transport_feedback_count: u8,
    origin: Instant,
    outbox: VecDeque<Vec<u8>>,
    /// The tab is gone: nothing is sent any more.
    pub(crate) silent: bool,
}

const REPORT_INTERVAL: Duration = Duration::from_secs(1);
const TRANSPORT_FEEDBACK_INTERVAL: Duration = Duration::from_millis(100);

impl Peer {
    pub(crate) fn new(
        id: PeerId,
        room: RoomId,
        address: SocketAddr,
        client: Client,
        origin: Instant,
        mut random: Random,
        provider: Arc<dyn RTCCryptoProvider>,
    ) -> Self {
        let ice = Agent::new(client.nomination, &mut random);
        let dtls = DtlsClient::new(provider.clone(), &client.dtls);
        let mut peer = Self {
            id,
            room,
            address,
            client,
            role: Role::Offer,
            ice,
            dtls,
            session: None,
            channels: None,
            sections: Vec::new(),
            answer: None,
            publications: Vec::new(),
            receptions: BTreeMap::new(),
            feedback: Feedback::default(),
            unexplained: 0,
            undecryptable: 0,
            recorded: None,
            transport_sequence: 0,
            mid_to_track: HashMap::new(),
            provider,
            random,
            version: 0,
            incoming: BTreeMap::new(),
            ssrc_to_mid: HashMap::new(),
            rtx_to_primary: HashMap::new(),
            named: HashSet::new(),
            next_report: None,
            arrivals: Vec::new(),
            next_transport_feedback: None,
            transport_feedback_count: 0,
            origin,
            outbox: VecDeque::new(),
            silent: false,
        };
        for _ in 0..peer.client.audios {
            peer.add_section(SectionKind::Audio, Direction::RecvOnly, None);
        }
        for _ in 0..peer.client.videos {
            peer.add_section(SectionKind::Video, Direction::RecvOnly, None);
        }
        peer.add_section(SectionKind::Application, Direction::Inactive, None);
        peer
    }

    pub(crate) fn add_section(
        &mut self,
        kind: SectionKind,
        direction: Direction,
        sending: Option<Sending>,
    ) -> String {
        let mid = self.sections.len().to_string();
        self.sections.push(Section { mid: mid.clone(), kind, direction, sending });
        mid
    }

    /// As many more receiving m-lines as `media_sections_requirement` says.
    pub(crate) fn add_receiving(&mut self, audios: u32, videos: u32) {
        for _ in 0..audios {
            self.add_section(SectionKind::Audio, Direction::RecvOnly, None);
        }
        for _ in 0..videos {
            self.add_section(SectionKind::Video, Direction::RecvOnly, None);
        }
    }

    /// A new sending m-line for `source`. The next offer carries it.
    pub(crate) fn publish(&mut self, token: u32, source: Source) -> usize {
        let cid = format!("track-{token}");
        let mid = self.sections.len().to_string();
        let publication = Publication::new(token, cid, mid, source, &mut self.random);
        self.add_publication(publication)
    }

    pub(crate) fn add_publication(&mut self, publication: Publication) -> usize {
        let audio = publication.is_audio();
        let encoding = &publication.encodings[0];
        let sending = Sending {
            stream: "-".to_owned(),
            cid: publication.cid.clone(),
            rids: publication.rids(),
            ssrc: encoding.ssrc,
            rtx: (!audio).then_some(encoding.rtx),
        };
        let kind = if audio { SectionKind::Audio } else { SectionKind::Video };
        let mid = self.add_section(kind, Direction::SendOnly, Some(sending));
        assert_eq!(mid, publication.mid, "a new m-line at the end");
        self.publications.push(publication);
        self.publications.len() - 1
    }

    /// `RTCRtpTransceiver.stop`-less removal: the m-line stays, inactive.
    pub(crate) fn unpublish(&mut self, publication: usize) {
        let publication = self.publications.remove(publication);
        let section = self.sections.iter_mut().find(|section| section.mid == publication.mid);
        let section = section.expect("its m-line");
        section.direction = Direction::Inactive;
        section.sending = None;
    }

    pub(crate) fn offer(&mut self) -> String {
        assert_eq!(self.role, Role::Offer, "the server offers here");
        self.describe()
    }

    fn describe(&mut self) -> String {
        self.version += 1;
        let fingerprint = if self.client.wrong_fingerprint {
            DtlsClient::new(self.provider.clone(), &self.client.dtls).fingerprint
        } else {
            self.dtls.fingerprint.clone()
        };
        let context = OfferContext {
            role: self.role,
            dialect: &self.client.dialect,
            credentials: &self.ice.local,
            fingerprint: &fingerprint,
            version: self.version,
            red: self.client.red,
        };
        offer(&context, &self.sections)
    }

    /// New ICE credentials for the next offer. The old pair goes on until the answer comes.
    pub(crate) fn restart_ice(&mut self) {
        self.ice.local = Credentials::generate(&mut self.random);
    }

    pub(crate) fn apply_answer(&mut self, now: Instant, sdp: &str, mid_to_track: Vec<(String, TrackId)>) {
        let answer = Answer::parse(sdp);
        answer.check_against(&self.sections, &self.client.dialect);
        self.follow(now, answer, mid_to_track);
    }

    /// What the server's description says, an answer or an offer.
    fn follow(&mut self, now: Instant, answer: Answer, mid_to_track: Vec<(String, TrackId)>) {
        let expected = if self.client.dtls.waits { "active" } else { "passive" };
        assert_eq!(answer.setup, expected, "who begins the handshake");
        let credentials = answer.credentials.clone().expect("ICE credentials");
        self.ice.set_remote(now, credentials, *answer.candidates.first().expect("a candidate"));
        if let Some(session) = &self.session {
            assert_eq!(session.server_fingerprint, answer.fingerprint, "the certificate stays");
        }
        self.mid_to_track = mid_to_track.into_iter().collect();
        self.ssrc_to_mid.clear();
        for section in &answer.sections {
            assert_eq!(
                section.direction == "sendonly",
                self.mid_to_track.contains_key(&section.mid),
                "m-line {} is {} but mid_to_track is {:?}",
                section.mid,
                section.direction,
                self.mid_to_track
            );
            for ssrc in &section.ssrcs {
                let before = self.ssrc_to_mid.insert(*ssrc, section.mid.clone());
                assert!(before.is_none(), "SSRC {ssrc} on two m-lines");
            }
            for (primary, rtx) in &section.fid {
                self.rtx_to_primary.insert(*rtx, *primary);
            }
        }
        self.answer = Some(answer);
        self.start_publications(now);
    }

    fn start_publications(&mut self, now: Instant) {
        let Some(answer) = &self.answer else { return };
        if self.session.is_none() {
            return;
        }
        for publication in &mut self.publications {
            let accepted = answer
                .sections
                .iter()
                .any(|section| section.mid == publication.mid && section.direction == "recvonly");
            if accepted {
                publication.start(now);
            }
        }
    }

    /// The address under the socket changed (Wi-Fi to mobile): checks begin anew from there.
    pub(crate) fn move_to(&mut self, now: Instant, address: SocketAddr) {
        self.address = address;
        self.ice.begin(now);
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        let next = self.outbox.pop_front();
        if self.silent { None } else { next }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        if self.silent {
            return None;
        }
        let publications = self.publications.iter().filter_map(Publication::poll_timeout);
        let incoming = self.incoming.values().filter_map(Incoming::poll_timeout);
        let channels = self.channels.as_ref().and_then(Channels::poll_timeout);
        [
            self.ice.poll_timeout(),
            self.dtls.poll_timeout(),
            channels,
            self.next_report,
            self.next_transport_feedback,
        ]
        .into_iter()
        .flatten()
        .chain(publications)
        .chain(incoming)
        .min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.silent {
            return;
        }
        if let Some(check) = self.ice.handle_timeout(now, &mut self.random, self.provider.crypto()) {
            self.outbox.push_back(check);
        }
        self.dtls.handle_timeout(now);
        if let Some(channels) = &mut self.channels {
            channels.handle_timeout(now);
        }
        for index in 0..self.publications.len() {
            for packet in self.publications[index].handle_timeout(now, &self.client.dialect) {
                self.send_rtp(now, packet);
            }
        }
        self.play(now);
        if self.next_report.is_some_and(|at| at <= now) {
            self.next_report = Some(now + REPORT_INTERVAL);
            self.send_reports(now);
        }
        if self.next_transport_feedback.is_some_and(|at| at <= now) {
            self.send_transport_feedback();
        }
        self.flush(now);
    }

    pub(crate) fn handle_datagram(&mut self, now: Instant, bytes: &[u8]) {
        if self.silent {
            return;
        }
        match Class::of(bytes) {
            Class::Stun => {
                let own = self.address;
                if self.ice.handle_message(now, bytes, own, self.provider.crypto()) {
                    self.dtls.start(now);
                }
            }
            Class::Dtls => self.handle_dtls(now, bytes),
            Class::Rtp => self.handle_rtp(now, bytes),
            Class::Rtcp => self.handle_rtcp(now, bytes),
            Class::Other => panic!("a datagram of no known class"),
        }
        self.play(now);
        self.flush(now);
    }

    fn handle_dtls(&mut self, now: Instant, bytes: &[u8]) {
        let outcome = self.dtls.read(now, bytes);
        if outcome.established {
            let session = self.dtls.session();
            let answer = self.answer.as_ref().expect("an answer");
            assert_eq!(session.server_fingerprint, answer.fingerprint, "the certificate of the answer");
            self.session = Some(session);
            self.channels = Some(Channels::connect(now, self.role == Role::Offer));
            self.next_report = Some(now + REPORT_INTERVAL);
            self.start_publications(now);
        }
        for data in outcome.application_data {
            if let Some(channels) = &mut self.channels {
                channels.handle_packet(now, &data);
            }
        }
    }

    fn handle_rtp(&mut self, now: Instant, bytes: &[u8]) {
        let Some(session) = &mut self.session else { return };
        let Ok(plain) = session.incoming.decrypt_rtp(bytes) else {
            self.undecryptable += 1;
            return;
        };
        let mut packet = Packet::unmarshal(&mut plain.freeze()).expect("an RTP packet");
        if let Some(recorded) = &mut self.recorded {
            recorded.push(packet.clone());
        }
        let dialect = self.client.dialect;
        let by_rtx = [dialect.vp8_rtx, dialect.h264_rtx].contains(&packet.header.payload_type);
        if packet.header.get_extension(dialect.mid).is_some() {
            self.named.insert(packet.header.ssrc);
        }
        if by_rtx && dialect.rtx_by_mid && !self.named.contains(&packet.header.ssrc) {
            return; // not even reported as received
        }
        self.note_arrival(now, &packet.header);
        if let Some(mid) = packet.header.get_extension(dialect.mid) {
            let mid = String::from_utf8(mid.to_vec()).expect("a mid");
            if !self.rtx_to_primary.contains_key(&packet.header.ssrc) {
                self.ssrc_to_mid.insert(packet.header.ssrc, mid);
            }
        }
        if by_rtx {
            let Some(primary) = self.rtx_to_primary.get(&packet.header.ssrc) else {
                self.unexplained += 1;
                return;
            };
            if packet.payload.len() < 2 {
                return; // padding on the RTX stream: a probe
            }
            packet.header.ssrc = *primary;
            packet.header.sequence_number = u16::from_be_bytes([packet.payload[0], packet.payload[1]]);
            packet.header.payload_type =
                if packet.header.payload_type == dialect.vp8_rtx { dialect.vp8 } else { dialect.h264 };
            packet.payload = packet.payload.slice(2..);
        }
        let ssrc = packet.header.ssrc;
        let Some((track, video)) = self.track_of(ssrc) else {
            self.unexplained += 1;
            return;
        };
        let incoming = self.incoming.entry(ssrc).or_insert_with(|| Incoming::new(ssrc, video));
        let reception = self.receptions.entry(track).or_default();
        incoming.insert(now, packet, by_rtx, reception);
    }

    fn track_of(&self, ssrc: u32) -> Option<(TrackId, bool)> {
        let mid = self.ssrc_to_mid.get(&ssrc)?;
        let track = self.mid_to_track.get(mid)?;
        let section = self.sections.iter().find(|section| section.mid == *mid)?;
        Some((*track, section.kind == SectionKind::Video))
    }

    fn play(&mut self, now: Instant) {
        let mut lost: Vec<(u32, Vec<u16>)> = Vec::new();
        let mut broken = Vec::new();
        let ssrcs: Vec<u32> = self.incoming.keys().copied().collect();
        for ssrc in ssrcs {
            let Some((track, _)) = self.track_of(ssrc) else {
                self.incoming.remove(&ssrc);
                continue;
            };
            let incoming = self.incoming.get_mut(&ssrc).expect("an SSRC");
            let reception = self.receptions.entry(track).or_default();
            incoming.play(now, &self.client.dialect, reception);
            if incoming.video {
                let missing = incoming.nacks(now);
                if self.client.nack && !missing.is_empty() {
                    lost.push((ssrc, missing));
                }
                if incoming.pli(now) && self.client.pli {
                    broken.push(ssrc);
                }
            }
        }
        for (ssrc, missing) in lost {
            let nack = TransportLayerNack {
                sender_ssrc: 1,
                media_ssrc: ssrc,
                nacks: nack_pairs_from_sequence_numbers(&missing),
            };
            self.send_rtcp(&[Box::new(nack)]);
        }
        for ssrc in broken {
            self.request_key_frame(ssrc);
        }
    }

    pub(crate) fn request_key_frame(&mut self, ssrc: u32) {
        self.send_rtcp(&[Box::new(PictureLossIndication { sender_ssrc: 1, media_ssrc: ssrc })]);
    }

    /// The SSRC this track comes with now.
    pub(crate) fn ssrc_of(&self, track: TrackId) -> Option<u32> {
        let (mid, _) = self.mid_to_track.iter().find(|(_, id)| **id == track)?;
        let answer = self.answer.as_ref()?;
        let section = answer.sections.iter().find(|section| section.mid == *mid)?;
        let announced = section.ssrcs.iter().find(|ssrc| !self.rtx_to_primary.contains_key(ssrc)).copied();
        announced.or_else(|| self.ssrc_to_mid.iter().find(|(_, other)| *other == mid).map(|(ssrc, _)| *ssrc))
    }

    /// Primary and RTX SSRC this track comes with now.
    pub(crate) fn ssrcs_of(&self, track: TrackId) -> Vec<u32> {
        let primary = self.ssrc_of(track);
        let rtx = self.rtx_to_primary.iter().find(|(_, of)| Some(**of) == primary).map(|(rtx, _)| *rtx);
        primary.into_iter().chain(rtx).collect()
    }

    fn note_arrival(&mut self, now: Instant, header: &Header) {
        if let Some(value) = header.get_extension(self.client.dialect.transport_cc)
            && value.len() == 2
        {
            self.arrivals.push((u16::from_be_bytes([value[0], value[1]]), now));
            self.next_transport_feedback.get_or_insert(now + TRANSPORT_FEEDBACK_INTERVAL);
        }
    }

    pub(crate) fn send_rtp(&mut self, now: Instant, mut packet: Packet) {
        let dialect = self.client.dialect;
        let audio =
            packet.header.payload_type == dialect.opus || Some(packet.header.payload_type) == dialect.red;
        if dialect.transport_cc != 0 && (!audio || dialect.transport_cc_on_audio) {
            let sequence = self.transport_sequence.to_be_bytes();
            self.transport_sequence = self.transport_sequence.wrapping_add(1);
            packet
                .header
                .set_extension(dialect.transport_cc, Bytes::copy_from_slice(&sequence))
                .expect("an extension");
            let fixed_point = ((now - self.origin).as_micros() << 18) / 1_000_000;
            let time = (fixed_point as u32 & 0x00ff_ffff).to_be_bytes();
            packet
                .header
                .set_extension(dialect.abs_send_time, Bytes::copy_from_slice(&time[1..]))
                .expect("an extension");
        }
        let plain = packet.marshal().expect("an RTP packet");
        let session = self.session.as_mut().expect("keys");
        let sealed = session.outgoing.encrypt_rtp(&plain).expect("an SRTP packet");
        self.outbox.push_back(sealed.to_vec());
    }

    pub(crate) fn send_rtcp(&mut self, packets: &[Box<dyn RtcpPacket>]) {
        let plain = rtc_rtcp::packet::marshal(packets).expect("an RTCP packet");
        let Some(session) = self.session.as_mut() else { return };
        let sealed = session.outgoing.encrypt_rtcp(&plain).expect("an SRTCP packet");
        self.outbox.push_back(sealed.to_vec());
    }

    /// Anything, as it is.
    pub(crate) fn send_raw(&mut self, bytes: Vec<u8>) {
        self.outbox.push_back(bytes);
    }

    pub(crate) fn send_data(&mut self, now: Instant, channel: sfu::DataChannel, payload: &[u8]) {
        self.channels.as_mut().expect("channels").send(now, channel, payload);
        self.flush(now);
    }

    pub(crate) fn close(&mut self, now: Instant) {
        self.dtls.close(now);
        self.flush(now);
    }

    fn flush(&mut self, now: Instant) {
        if let Some(channels) = &mut self.channels {
            while let Some(packets) = channels.poll_transmit(now) {
                for packet in packets {
                    if self.dtls.state == super::secure::DtlsState::Established {
                        self.dtls.write(now, &packet);
                    }
                }
            }
        }
        while let Some(datagram) = self.dtls.poll_transmit() {
            self.outbox.push_back(datagram.to_vec());
        }
    }
}

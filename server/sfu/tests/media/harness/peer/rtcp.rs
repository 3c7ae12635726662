//! The RTCP of a peer: what it reports, what it asks for, and how it follows what the server asks.

use super::Peer;
use rtc_rtcp::packet::Packet as RtcpPacket;
use rtc_rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc_rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc_rtcp::receiver_report::ReceiverReport;
use rtc_rtcp::reception_report::ReceptionReport;
use rtc_rtcp::sender_report::SenderReport;
use rtc_rtcp::transport_feedbacks::transport_layer_cc::{
    PacketStatusChunk, RecvDelta, StatusChunkTypeTcc, StatusVectorChunk, SymbolSizeTypeTcc, SymbolTypeTcc,
    TransportLayerCc,
};
use rtc_rtcp::transport_feedbacks::transport_layer_nack::{NackPair, TransportLayerNack};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// RTCP that came from the server.
#[derive(Default)]
pub(crate) struct Feedback {
    /// (when, my SSRC, sequence number)
    pub(crate) nacks: Vec<(Instant, u32, u16)>,
    /// (when, my SSRC): PLI or FIR
    pub(crate) key_frame_requests: Vec<(Instant, u32)>,
    pub(crate) sender_reports: Vec<(Instant, SenderReport)>,
    /// (when, block): about what I send
    pub(crate) reports: Vec<(Instant, ReceptionReport)>,
    /// Transport-wide sequence numbers reported as received.
    pub(crate) transport_cc: BTreeSet<u16>,
    pub(crate) transport_cc_packets: u64,
}

impl Peer {
    pub(super) fn handle_rtcp(&mut self, now: Instant, bytes: &[u8]) {
        let Some(session) = &mut self.session else { return };
        let Ok(plain) = session.incoming.decrypt_rtcp(bytes) else {
            self.undecryptable += 1;
            return;
        };
        let packets = rtc_rtcp::packet::unmarshal(&mut plain.freeze()).expect("an RTCP packet");
        for packet in packets {
            let any = packet.as_any();
            if let Some(report) = any.downcast_ref::<SenderReport>() {
                if let Some(incoming) = self.incoming.get_mut(&report.ssrc) {
                    incoming.last_sender_report = Some(((report.ntp_time >> 16) as u32, now));
                }
                self.feedback.sender_reports.push((now, report.clone()));
                self.handle_report_blocks(now, &report.reports);
            } else if let Some(report) = any.downcast_ref::<ReceiverReport>() {
                self.handle_report_blocks(now, &report.reports);
            } else if let Some(nack) = any.downcast_ref::<TransportLayerNack>() {
                for sequence in nack.nacks.iter().flat_map(NackPair::packet_list) {
                    self.feedback.nacks.push((now, nack.media_ssrc, sequence));
                    self.answer_nack(now, nack.media_ssrc, sequence);
                }
            } else if let Some(pli) = any.downcast_ref::<PictureLossIndication>() {
                self.handle_key_frame_request(now, pli.media_ssrc);
            } else if let Some(fir) = any.downcast_ref::<FullIntraRequest>() {
                for entry in &fir.fir {
                    self.handle_key_frame_request(now, entry.ssrc);
                }
            } else if let Some(feedback) = any.downcast_ref::<TransportLayerCc>() {
                self.handle_transport_feedback(feedback);
            }
        }
    }

    pub(super) fn handle_report_blocks(&mut self, now: Instant, blocks: &[ReceptionReport]) {
        for block in blocks {
            self.feedback.reports.push((now, block.clone()));
            for encoding in self.publications.iter_mut().flat_map(|publication| &mut publication.encodings) {
                if encoding.ssrc == block.ssrc {
                    encoding.acknowledged = true;
                }
                if encoding.rtx == block.ssrc {
                    encoding.rtx_acknowledged = true;
                }
            }
        }
    }

    pub(super) fn answer_nack(&mut self, now: Instant, ssrc: u32, sequence: u16) {
        let dialect = self.client.dialect;
        let packet = self
            .publications
            .iter_mut()
            .find_map(|publication| publication.retransmit(ssrc, sequence, &dialect));
        if let Some(packet) = packet {
            self.send_rtp(now, packet);
        }
    }

    pub(super) fn handle_key_frame_request(&mut self, now: Instant, ssrc: u32) {
        let known = self.publications.iter_mut().any(|publication| publication.want_key_frame(ssrc));
        assert!(known, "a key frame is asked of SSRC {ssrc}, which is not mine");
        self.feedback.key_frame_requests.push((now, ssrc));
    }

    pub(super) fn handle_transport_feedback(&mut self, feedback: &TransportLayerCc) {
        self.feedback.transport_cc_packets += 1;
        let mut sequence = feedback.base_sequence_number;
        let mut left = feedback.packet_status_count;
        for chunk in &feedback.packet_chunks {
            let symbols: Vec<SymbolTypeTcc> = match chunk {
                PacketStatusChunk::RunLengthChunk(run) => {
                    vec![run.packet_status_symbol; usize::from(run.run_length)]
                }
                PacketStatusChunk::StatusVectorChunk(vector) => vector.symbol_list.clone(),
            };
            for symbol in symbols.into_iter().take(usize::from(left)) {
                left -= 1;
                if symbol != SymbolTypeTcc::PacketNotReceived {
                    self.feedback.transport_cc.insert(sequence);
                }
                sequence = sequence.wrapping_add(1);
            }
        }
        assert_eq!(left, 0, "transport-cc feedback has fewer symbols than it counts");
    }

    pub(super) fn send_reports(&mut self, now: Instant) {
        let origin = self.origin;
        let mut blocks = Vec::new();
        for incoming in self.incoming.values_mut() {
            let (fraction_lost, total_lost, last_sequence_number) = incoming.report();
            let (last_sender_report, delay) = incoming
                .last_sender_report
                .map(|(middle, at)| (middle, ((now - at).as_secs_f64() * 65_536.0) as u32))
                .unwrap_or_default();
            blocks.push(ReceptionReport {
                ssrc: incoming.ssrc,
                fraction_lost,
                total_lost,
                last_sequence_number,
                jitter: 0,
                last_sender_report,
                delay,
            });
        }
        let mut packets: Vec<Box<dyn RtcpPacket>> = Vec::new();
        for chunk in blocks.chunks(24) {
            packets.push(Box::new(ReceiverReport { ssrc: 1, reports: chunk.to_vec(), ..Default::default() }));
        }
        for publication in &self.publications {
            for report in publication.reports(now, |at| ntp(origin, at)) {
                packets.push(Box::new(report));
            }
        }
        if !packets.is_empty() {
            self.send_rtcp(&packets);
        }
    }

    pub(super) fn send_transport_feedback(&mut self) {
        self.next_transport_feedback = None;
        let arrivals = std::mem::take(&mut self.arrivals);
        let Some((base, first)) = arrivals.iter().copied().min_by_key(|(sequence, _)| *sequence) else {
            return;
        };
        if arrivals.iter().any(|(sequence, _)| sequence.wrapping_sub(base) > 1000) {
            return; // around the wrap: report nothing rather than wrongly
        }
        let reference = (first - self.origin).as_millis() / 64;
        let received: BTreeMap<u16, Instant> = arrivals.into_iter().collect();
        let last = received.keys().next_back().copied().unwrap_or(base);
        let mut symbols = Vec::new();
        let mut deltas = Vec::new();
        let mut previous = self.origin + Duration::from_millis(64 * reference as u64);
        for sequence in base..=last {
            let Some(at) = received.get(&sequence) else {
                symbols.push(SymbolTypeTcc::PacketNotReceived);
                continue;
            };
            let micros = if *at >= previous {
                (*at - previous).as_micros() as i64
            } else {
                -((previous - *at).as_micros() as i64)
            };
            let ticks = micros / 250;
            let symbol = if (0..256).contains(&ticks) {
                SymbolTypeTcc::PacketReceivedSmallDelta
            } else {
                SymbolTypeTcc::PacketReceivedLargeDelta
            };
            symbols.push(symbol);
            deltas.push(RecvDelta { type_tcc_packet: symbol, delta: ticks * 250 });
            previous = *at;
        }
        let count = symbols.len() as u16;
        let packet_chunks = symbols
            .chunks(7)
            .map(|symbols| {
                let mut symbol_list = symbols.to_vec();
                symbol_list.resize(7, SymbolTypeTcc::PacketNotReceived);
                PacketStatusChunk::StatusVectorChunk(StatusVectorChunk {
                    type_tcc: StatusChunkTypeTcc::StatusVectorChunk,
                    symbol_size: SymbolSizeTypeTcc::TwoBit,
                    symbol_list,
                })
            })
            .collect();
        let feedback = TransportLayerCc {
            sender_ssrc: 1,
            media_ssrc: 0,
            base_sequence_number: base,
            packet_status_count: count,
            reference_time: reference as u32,
            fb_pkt_count: self.transport_feedback_count,
            packet_chunks,
            recv_deltas: deltas,
        };
        self.transport_feedback_count = self.transport_feedback_count.wrapping_add(1);
        self.send_rtcp(&[Box::new(feedback)]);
    }
}

/// Virtual time as an NTP timestamp (RFC 5905), from an arbitrary day.
pub(crate) fn ntp(origin: Instant, at: Instant) -> u64 {
    const DAY: u64 = 3_900_000_000;
    let elapsed = at - origin;
    let fraction = (u64::from(elapsed.subsec_nanos()) << 32) / 1_000_000_000;
    (DAY + elapsed.as_secs()) << 32 | fraction
}

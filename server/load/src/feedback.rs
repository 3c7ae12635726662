//! What a receiver tells the sender in RTCP: reception reports (RFC 3550 §6.4) and transport-wide arrival times
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01), at the rate browsers do.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use rtc_rtcp::reception_report::ReceptionReport;
use rtc_rtcp::transport_feedbacks::transport_layer_cc::{
    PacketStatusChunk, RecvDelta, StatusChunkTypeTcc, StatusVectorChunk, SymbolSizeTypeTcc, SymbolTypeTcc,
    TransportLayerCc,
};

/// Interval of reception reports, as libwebrtc's for video.
pub(crate) const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Interval of transport-wide feedback, as libwebrtc's default.
pub(crate) const TRANSPORT_FEEDBACK_INTERVAL: Duration = Duration::from_millis(100);
/// Statuses in one feedback packet; more arrivals than this in one interval wait for the next one.
const MAX_STATUSES: usize = 1_000;
/// Arrivals kept while no feedback can be sent.
const MAX_ARRIVALS: usize = 10_000;
/// Reports that fit one RR (its count field has 5 bits).
const MAX_REPORTS: usize = 31;
/// Delta unit of the draft: 250 µs; the reference time counts 64 ms.
const DELTA_NS: u64 = 250_000;
const REFERENCE_NS: u64 = 64_000_000;

struct Reception {
    base: u64,
    highest: u64,
    received: u64,
    expected_before: u64,
    received_before: u64,
    /// Middle 32 bits of the last sender report's NTP time, and when it came.
    sender_report: Option<(u32, Instant)>,
}

/// Reception of every stream of one client.
#[derive(Default)]
pub(crate) struct Feedback {
    streams: HashMap<u32, Reception>,
    /// Arrival (ns) by extended transport-wide sequence number.
    arrivals: BTreeMap<u64, u64>,
    highest_transport: Option<u64>,
    next_to_report: Option<u64>,
    feedback_count: u8,
    media_ssrc: u32,
}

impl Feedback {
    pub(crate) fn on_rtp(
        &mut self,
        ssrc: u32,
        sequence_number: u16,
        transport: Option<u16>,
        arrival_ns: u64,
    ) {
        let reception = self.streams.entry(ssrc).or_insert_with(|| {
            let base = u64::from(sequence_number);
            Reception {
                base,
                highest: base,
                received: 0,
                expected_before: 0,
                received_before: 0,
                sender_report: None,
            }
        });
        reception.received += 1;
        reception.highest = reception.highest.max(extend(reception.highest, sequence_number));
        if let Some(transport) = transport
            && self.arrivals.len() < MAX_ARRIVALS
        {
            // Starting in the second cycle, an early reordered packet cannot fall below zero.
            let reference = self.highest_transport.unwrap_or(0x1_0000 | u64::from(transport));
            let extended = extend(reference, transport);
            self.highest_transport = Some(reference.max(extended));
            self.media_ssrc = ssrc;
            self.arrivals.insert(extended, arrival_ns);
        }
    }

    pub(crate) fn on_sender_report(&mut self, now: Instant, ssrc: u32, ntp_time: u64) {
        if let Some(reception) = self.streams.get_mut(&ssrc) {
            reception.sender_report = Some(((ntp_time >> 16) as u32, now));
        }
    }

    /// Report blocks for all streams, in groups that fit a packet each.
    pub(crate) fn reports(&mut self, now: Instant) -> Vec<Vec<ReceptionReport>> {
        let mut blocks: Vec<ReceptionReport> =
            self.streams.iter_mut().map(|(&ssrc, reception)| reception.report(now, ssrc)).collect();
        let mut groups = Vec::new();
        while !blocks.is_empty() {
            groups.push(blocks.split_off(blocks.len().saturating_sub(MAX_REPORTS)));
        }
        groups
    }

    /// Arrival times since the last call; `None` when nothing arrived.
    pub(crate) fn transport_feedback(&mut self, sender_ssrc: u32) -> Option<TransportLayerCc> {
        let (&first, &first_arrival) = self.arrivals.first_key_value()?;
        let base = self.next_to_report.unwrap_or(first).min(first);
        let base = if first - base > MAX_STATUSES as u64 { first } else { base };
        let reference = first_arrival / REFERENCE_NS;
        let mut last_tick = reference * REFERENCE_NS / DELTA_NS;
        let (mut symbols, mut recv_deltas) = (Vec::new(), Vec::new());
        while let Some((&sequence, &arrival)) = self.arrivals.first_key_value() {
            let offset = (sequence - base) as usize;
            let delta = (arrival / DELTA_NS) as i64 - last_tick as i64;
            // What fits no 16-bit delta starts the next feedback packet, with its own reference time.
            if offset >= MAX_STATUSES || i16::try_from(delta).is_err() {
                break;
            }
            self.arrivals.pop_first();
            let symbol = if u8::try_from(delta).is_ok() {
                SymbolTypeTcc::PacketReceivedSmallDelta
            } else {
                SymbolTypeTcc::PacketReceivedLargeDelta
            };
            symbols.resize(offset, SymbolTypeTcc::PacketNotReceived);
            symbols.push(symbol);
            last_tick = arrival / DELTA_NS;
            recv_deltas.push(RecvDelta { type_tcc_packet: symbol, delta: delta * (DELTA_NS / 1_000) as i64 });
        }
        let packet_status_count = symbols.len() as u16;
        self.next_to_report = Some(base + symbols.len() as u64);
        let packet_chunks = symbols
            .chunks(7)
            .map(|chunk| {
                let mut symbol_list = chunk.to_vec();
                symbol_list.resize(7, SymbolTypeTcc::PacketNotReceived);
                PacketStatusChunk::StatusVectorChunk(StatusVectorChunk {
                    type_tcc: StatusChunkTypeTcc::StatusVectorChunk,
                    symbol_size: SymbolSizeTypeTcc::TwoBit,
                    symbol_list,
                })
            })
            .collect();
        let fb_pkt_count = self.feedback_count;
        self.feedback_count = fb_pkt_count.wrapping_add(1);
        Some(TransportLayerCc {
            sender_ssrc,
            media_ssrc: self.media_ssrc,
            base_sequence_number: base as u16,
            packet_status_count,
            reference_time: (reference & 0x00ff_ffff) as u32,
            fb_pkt_count,
            packet_chunks,
            recv_deltas,
        })
    }
}

impl Reception {
    fn report(&mut self, now: Instant, ssrc: u32) -> ReceptionReport {
        let expected = self.highest - self.base + 1;
        let (expected_now, received_now) =
            (expected - self.expected_before, self.received - self.received_before);
        (self.expected_before, self.received_before) = (expected, self.received);
        let lost_now = expected_now.saturating_sub(received_now);
        let fraction_lost = (lost_now * 256).checked_div(expected_now).unwrap_or(0).min(255) as u8;
        let (last_sender_report, delay) = self.sender_report.map_or((0, 0), |(ntp, at)| {
            (ntp, (now.duration_since(at).as_nanos() * 65_536 / 1_000_000_000) as u32)
        });
        ReceptionReport {
            ssrc,
            fraction_lost,
            total_lost: expected.saturating_sub(self.received).min(0x7f_ffff) as u32,
            last_sequence_number: self.highest as u32,
            jitter: 0,
            last_sender_report,
            delay,
        }
    }
}

/// The value nearest to `reference` whose low 16 bits are `low`.
fn extend(reference: u64, low: u16) -> u64 {
    let ahead = low.wrapping_sub(reference as u16) as i16;
    reference.saturating_add_signed(i64::from(ahead))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtc_shared::marshal::{Marshal as _, Unmarshal as _};

    #[test]
    fn feedback_tells_arrivals_and_gaps() {
        let mut feedback = Feedback::default();
        for sequence in (65_530..65_536).chain(0..20_u32) {
            if sequence % 5 != 0 {
                feedback.on_rtp(
                    1,
                    0,
                    Some(sequence as u16),
                    1_000_000_000 + u64::from(sequence % 65_530) * 700_000,
                );
            }
        }
        let packet = feedback.transport_feedback(2).unwrap();
        let mut bytes = packet.marshal().unwrap();
        let read = TransportLayerCc::unmarshal(&mut bytes).unwrap();
        assert_eq!(read.base_sequence_number, 65_531);
        assert_eq!(read.packet_status_count, 25);
        assert_eq!(read.recv_deltas.len(), 20);
        assert_eq!(read.recv_deltas, packet.recv_deltas);
        assert!(feedback.transport_feedback(2).is_none());
    }

    #[test]
    fn a_gap_between_two_feedback_packets_is_reported_in_the_second() {
        let mut feedback = Feedback::default();
        feedback.on_rtp(1, 0, Some(10), 0);
        assert_eq!(feedback.transport_feedback(2).unwrap().packet_status_count, 1);
        feedback.on_rtp(1, 1, Some(14), 0);
        let second = feedback.transport_feedback(2).unwrap();
        assert_eq!((second.base_sequence_number, second.packet_status_count), (11, 4));
        assert_eq!(second.recv_deltas.len(), 1);
    }

    #[test]
    fn reports_say_what_is_missing_over_a_wrap() {
        let mut feedback = Feedback::default();
        for sequence in 65_000..66_000_u32 {
            if sequence % 4 != 1 {
                feedback.on_rtp(7, sequence as u16, None, 0);
            }
        }
        let groups = feedback.reports(Instant::now());
        let report = &groups[0][0];
        assert_eq!((report.ssrc, report.total_lost, report.fraction_lost), (7, 250, 64));
        assert_eq!(report.last_sequence_number, 65_999);
    }
}

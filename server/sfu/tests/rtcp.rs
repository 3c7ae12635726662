//! RTCP against `rtc-rtcp`, both ways, and transport-wide feedback from arrivals to report and back.

use proptest::prelude::*;
use rtc_rtcp as oracle;
use rtc_rtcp::extended_report::{
    DLRRReport, DLRRReportBlock, ExtendedReport, ReceiverReferenceTimeReportBlock,
};
use rtc_rtcp::payload_feedbacks::full_intra_request::{FirEntry, FullIntraRequest};
use rtc_rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc_rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
use rtc_rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
use rtc_rtcp::transport_feedbacks::transport_layer_nack::{
    NackPair, TransportLayerNack, nack_pairs_from_sequence_numbers,
};
use rtc_shared::marshal::{Marshal, Unmarshal};
use sfu::rtp::rtcp::{self, Arrival, ExtendedBlock, FirRequest, Packet, ReportBlock, SenderInfo};
use sfu::rtp::twcc::{MIN_FEEDBACK, Recorder, WINDOW};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

fn report_block() -> impl Strategy<Value = ReportBlock> {
    (any::<u32>(), any::<u8>(), -0x80_0000..0x80_0000_i32, any::<[u32; 4]>()).prop_map(
        |(ssrc, fraction_lost, cumulative_lost, [highest_sequence, jitter, last_sr, delay_since_last_sr])| {
            ReportBlock {
                ssrc,
                fraction_lost,
                cumulative_lost,
                highest_sequence,
                jitter,
                last_sr,
                delay_since_last_sr,
            }
        },
    )
}

fn theirs(block: &ReportBlock) -> oracle::reception_report::ReceptionReport {
    oracle::reception_report::ReceptionReport {
        ssrc: block.ssrc,
        fraction_lost: block.fraction_lost,
        total_lost: block.cumulative_lost as u32 & 0xff_ffff,
        last_sequence_number: block.highest_sequence,
        jitter: block.jitter,
        last_sender_report: block.last_sr,
        delay: block.delay_since_last_sr,
    }
}

/// The single packet of a compound.
fn only(bytes: &[u8]) -> Packet<'_> {
    let mut packets = rtcp::parse(bytes);
    let packet = packets.next().unwrap();
    assert!(packets.next().is_none());
    packet
}

proptest! {
    #[test]
    fn reports_agree_with_the_oracle(
        (ssrc, ntp, rtp) in (any::<u32>(), any::<u64>(), any::<u32>()),
        (packets, octets) in (any::<u32>(), any::<u32>()),
        blocks in prop::collection::vec(report_block(), 0..=31),
    ) {
        let mut out = [0; 1024];
        let info = SenderInfo { ssrc, ntp, rtp, packets, octets };
        let length = rtcp::sender_report(&mut out, &info, &blocks).unwrap();
        let expected = oracle::sender_report::SenderReport {
            ssrc, ntp_time: ntp, rtp_time: rtp, packet_count: packets, octet_count: octets,
            reports: blocks.iter().map(theirs).collect(),
            ..Default::default()
        };
        prop_assert_eq!(&out[..length], &expected.marshal().unwrap()[..]);
        let Packet::SenderReport { ssrc: s, ntp: n, rtp: r, packets: p, octets: o, reports } = only(&out[..length])
        else { panic!("not a sender report") };
        prop_assert_eq!((s, n, r, p, o), (ssrc, ntp, rtp, packets, octets));
        prop_assert_eq!(reports.collect::<Vec<_>>(), blocks.clone());

        let length = rtcp::receiver_report(&mut out, ssrc, &blocks).unwrap();
        let expected = oracle::receiver_report::ReceiverReport {
            ssrc, reports: blocks.iter().map(theirs).collect(), ..Default::default()
        };
        prop_assert_eq!(&out[..length], &expected.marshal().unwrap()[..]);
        let Packet::ReceiverReport { ssrc: s, reports } = only(&out[..length])
        else { panic!("not a receiver report") };
        prop_assert_eq!(s, ssrc);
        prop_assert_eq!(reports.collect::<Vec<_>>(), blocks);
    }

    #[test]
    fn nacks_agree_with_the_oracle(
        (sender, media, start) in (any::<u32>(), any::<u32>(), any::<u16>()),
        offsets in prop::collection::btree_set(0_u16..600, 1..80),
    ) {
        let lost: Vec<u16> = offsets.iter().map(|offset| start.wrapping_add(*offset)).collect();
        let mut out = [0; 1024];
        let length = rtcp::nack(&mut out, sender, media, &lost).unwrap();
        let Packet::Nack { sender: s, media: m, sequences } = only(&out[..length]) else { panic!("not a NACK") };
        prop_assert_eq!((s, m), (sender, media));
        prop_assert_eq!(sequences.collect::<Vec<_>>(), lost.clone());
        let read = TransportLayerNack::unmarshal(&mut &out[..length]).unwrap();
        let read: Vec<u16> = read.nacks.iter().flat_map(NackPair::packet_list).collect();
        prop_assert_eq!(read, lost.clone());

        let theirs = TransportLayerNack {
            sender_ssrc: sender, media_ssrc: media, nacks: nack_pairs_from_sequence_numbers(&lost),
        };
        let bytes = theirs.marshal().unwrap();
        let Packet::Nack { sequences, .. } = only(&bytes) else { panic!("not a NACK") };
        prop_assert_eq!(sequences.collect::<Vec<_>>(), lost);
    }

    #[test]
    fn small_packets_agree_with_the_oracle(
        (sender, media) in (any::<u32>(), any::<u32>()),
        requests in prop::collection::vec((any::<u32>(), any::<u8>()), 1..5),
        ssrcs in prop::collection::vec(any::<u32>(), 1..6),
        name in "[a-zA-Z0-9/+]{1,40}",
        ntp in any::<u64>(),
    ) {
        let mut out = [0; 512];

        let length = rtcp::picture_loss(&mut out, sender, media).unwrap();
        let expected = PictureLossIndication { sender_ssrc: sender, media_ssrc: media };
        prop_assert_eq!(&out[..length], &expected.marshal().unwrap()[..]);
        let pli = only(&out[..length]);
        let Packet::Pli { sender: s, media: m } = pli else { panic!("not a PLI") };
        prop_assert_eq!((s, m), (sender, media));

        let entries: Vec<_> =
            requests.iter().map(|(ssrc, sequence)| FirRequest { ssrc: *ssrc, sequence: *sequence }).collect();
        let length = rtcp::full_intra_request(&mut out, sender, &entries).unwrap();
        let fir = entries.iter().map(|e| FirEntry { ssrc: e.ssrc, sequence_number: e.sequence }).collect();
        let expected = FullIntraRequest { sender_ssrc: sender, media_ssrc: 0, fir };
        prop_assert_eq!(&out[..length], &expected.marshal().unwrap()[..]);
        let Packet::Fir { requests, .. } = only(&out[..length]) else { panic!("not a FIR") };
        prop_assert_eq!(requests.collect::<Vec<_>>(), entries);

        let length = rtcp::bye(&mut out, &ssrcs).unwrap();
        let read = oracle::goodbye::Goodbye::unmarshal(&mut &out[..length]).unwrap();
        prop_assert_eq!(&read.sources, &ssrcs);
        let Packet::Bye { ssrcs: read } = only(&out[..length]) else { panic!("not a BYE") };
        prop_assert_eq!(read.collect::<Vec<_>>(), ssrcs.clone());
        let theirs = oracle::goodbye::Goodbye { sources: ssrcs.clone(), reason: name.clone().into() };
        let bytes = theirs.marshal().unwrap();
        let Packet::Bye { ssrcs: read } = only(&bytes) else { panic!("not a BYE") };
        prop_assert_eq!(read.collect::<Vec<_>>(), ssrcs.clone());

        let length = rtcp::cname(&mut out, sender, &name).unwrap();
        let read = oracle::source_description::SourceDescription::unmarshal(&mut &out[..length]).unwrap();
        prop_assert_eq!(read.chunks.len(), 1);
        prop_assert_eq!(read.chunks[0].source, sender);
        prop_assert_eq!(&read.chunks[0].items[0].text[..], name.as_bytes());

        let length = rtcp::receiver_reference_time(&mut out, sender, ntp).unwrap();
        let block = ReceiverReferenceTimeReportBlock { ntp_timestamp: ntp };
        let expected = ExtendedReport { sender_ssrc: sender, reports: vec![Box::new(block)] };
        prop_assert_eq!(&out[..length], &expected.marshal().unwrap()[..]);

        let remb = ReceiverEstimatedMaximumBitrate { sender_ssrc: sender, bitrate: 8_927_168.0, ssrcs: ssrcs.clone() };
        let bytes = remb.marshal().unwrap();
        let Packet::Remb { sender: s, bitrate, ssrcs: read } = only(&bytes) else { panic!("not a REMB") };
        prop_assert_eq!((s, bitrate), (sender, 8_927_168));
        prop_assert_eq!(read.collect::<Vec<_>>(), ssrcs);
    }

    #[test]
    fn extended_reports_are_read(
        (ssrc, ntp) in (any::<u32>(), any::<u64>()),
        answers in prop::collection::vec(any::<[u32; 3]>(), 0..4),
    ) {
        let reports = answers.iter().map(|[ssrc, last_rr, dlrr]| DLRRReport {
            ssrc: *ssrc, last_rr: *last_rr, dlrr: *dlrr,
        }).collect();
        let theirs = ExtendedReport { sender_ssrc: ssrc, reports: vec![
            Box::new(DLRRReportBlock { reports }),
            Box::new(ReceiverReferenceTimeReportBlock { ntp_timestamp: ntp }),
        ]};
        let bytes = theirs.marshal().unwrap();
        let Packet::ExtendedReport { ssrc: s, mut blocks } = only(&bytes) else { panic!("not an XR") };
        prop_assert_eq!(s, ssrc);
        let Some(ExtendedBlock::Dlrr { reports }) = blocks.next() else { panic!("not a DLRR block") };
        let read: Vec<_> = reports.map(|r| [r.ssrc, r.last_rr, r.delay_since_last_rr]).collect();
        prop_assert_eq!(read, answers);
        let Some(ExtendedBlock::ReceiverReferenceTime { ntp: n }) = blocks.next() else { panic!("not a time") };
        prop_assert_eq!(n, ntp);
        prop_assert!(blocks.next().is_none());
    }

    /// Bytes that begin like RTCP, of each type we look into, are read to their end without a panic.
    #[test]
    fn no_bytes_make_a_reader_panic(
        packets in prop::collection::vec(
            (0x80_u8..=0xbf, 200_u8..=207, prop::collection::vec(any::<u8>(), 0..60)), 1..4)
    ) {
        let mut compound = Vec::new();
        for (first, packet_type, body) in &packets {
            compound.extend([*first, *packet_type, 0, (body.len() / 4) as u8]);
            compound.extend(&body[..body.len() / 4 * 4]);
        }
        for packet in rtcp::parse(&compound) {
            let items = match packet {
                Packet::SenderReport { reports, .. } | Packet::ReceiverReport { reports, .. } => reports.count(),
                Packet::Bye { ssrcs } | Packet::Remb { ssrcs, .. } => ssrcs.count(),
                Packet::Nack { sequences, .. } => sequences.count() / 17,
                Packet::Fir { requests, .. } => requests.count(),
                Packet::TransportFeedback(feedback) => feedback.arrivals.count() / 65_535,
                Packet::ExtendedReport { blocks, .. } => blocks.map(|block| match block {
                    ExtendedBlock::Dlrr { reports } => reports.count(),
                    _ => 0,
                }).sum(),
                Packet::Pli { .. } | Packet::Other { .. } => 0,
            };
            prop_assert!(items <= compound.len());
        }
    }
}

#[test]
fn a_malformed_tail_ends_a_compound() {
    let mut out = [0; 128];
    let first = rtcp::receiver_report(&mut out, 1, &[]).unwrap();
    let second = first + rtcp::picture_loss(&mut out[first..], 1, 2).unwrap();
    assert_eq!(rtcp::parse(&out[..second]).count(), 2);
    assert_eq!(rtcp::parse(&out[..second - 1]).count(), 1, "cut off");
    assert_eq!(rtcp::parse(&out[..second + 3]).count(), 2, "a stray end");
    // The second says that it has a report it has no room for.
    let end = second + rtcp::receiver_report(&mut out[second..], 9, &[]).unwrap();
    out[second] |= 1;
    assert_eq!(rtcp::parse(&out[..end]).count(), 2);
    // Padding beyond the packet, and none where the bit says some.
    for padding in [9, 0] {
        let mut padded = [0xa0, 201, 0, 2, 0, 0, 0, 1, 0, 0, 0, padding];
        assert_eq!(rtcp::parse(&padded).count(), 0, "{padding}");
        padded[11] = 4;
        assert_eq!(rtcp::parse(&padded).count(), 1);
    }
}

#[test]
fn packets_that_do_not_fit_are_not_written() {
    let blocks = [ReportBlock::default(); 32];
    let mut out = [0; 1024];
    assert_eq!(rtcp::receiver_report(&mut out, 1, &blocks), None, "32 blocks");
    assert!(rtcp::receiver_report(&mut out, 1, &blocks[..31]).is_some());
    assert_eq!(rtcp::receiver_report(&mut out[..31], 1, &blocks[..1]), None);
    assert_eq!(rtcp::receiver_report(&mut out[..32], 1, &blocks[..1]), Some(32));
    assert_eq!(rtcp::cname(&mut out, 1, &"x".repeat(256)), None);
    assert_eq!(rtcp::picture_loss(&mut out[..11], 1, 2), None);
    assert_eq!(rtcp::picture_loss(&mut [], 1, 2), None);
    let clamped = ReportBlock { cumulative_lost: i32::MAX, ..Default::default() };
    let length = rtcp::receiver_report(&mut out, 1, &[clamped]).unwrap();
    let Packet::ReceiverReport { mut reports, .. } = only(&out[..length]) else { panic!("not a report") };
    assert_eq!(reports.next().unwrap().cumulative_lost, 0x7f_ffff);
}

#[test]
fn round_trips_are_measured() {
    let now_ntp: u64 = 0x0000_0010_8000_0000;
    let now = rtcp::compact_ntp(now_ntp);
    assert_eq!(now, 0x0010_8000);
    // Sent 0.5 s ago, held 0.25 s.
    let block = ReportBlock { last_sr: now - 0x8000, delay_since_last_sr: 0x4000, ..Default::default() };
    assert_eq!(block.round_trip(now), Some(Duration::from_millis(250)));
    let held_longer = ReportBlock { delay_since_last_sr: 0x8001, ..block };
    assert_eq!(held_longer.round_trip(now), None);
    assert_eq!(ReportBlock { last_sr: 0, ..block }.round_trip(now), None);
}

#[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
fn origin() -> Instant {
    Instant::now()
}

/// All feedback that is due, as packets.
fn drain(recorder: &mut Recorder, now: Instant, interval: Duration, room: usize) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    let mut out = vec![0; room];
    while let Some(length) = recorder.poll_feedback(now, interval, &mut out, 0x1111, 0x2222) {
        packets.push(out[..length].to_vec());
        assert!(packets.len() <= WINDOW, "does not end");
    }
    packets
}

fn arrivals(packet: &[u8]) -> Vec<Arrival> {
    let Packet::TransportFeedback(feedback) = only(packet) else { panic!("not feedback") };
    assert_eq!((feedback.sender, feedback.media), (0x1111, 0x2222));
    let arrivals: Vec<_> = feedback.arrivals.collect();
    assert_eq!(arrivals.len(), usize::from(feedback.status_count));
    // The oracle reads the same chunks and deltas, and writes the same bytes again.
    let theirs = TransportLayerCc::unmarshal(&mut &packet[..]).unwrap();
    assert_eq!(theirs.base_sequence_number, feedback.base_sequence);
    assert_eq!(theirs.fb_pkt_count, feedback.feedback_count);
    let mut clock = i64::from(theirs.reference_time) * 64_000;
    let clocks: Vec<i64> = theirs
        .recv_deltas
        .iter()
        .map(|delta| {
            clock += delta.delta;
            clock
        })
        .collect();
    assert_eq!(arrivals.iter().filter_map(|arrival| arrival.at_micros).collect::<Vec<_>>(), clocks);
    assert_eq!(theirs.marshal().unwrap(), packet);
    arrivals
}

#[derive(Clone, Debug)]
enum Step {
    /// The next number arrives.
    Arrive,
    /// That many are lost.
    Lose(u64),
    /// One from before arrives, perhaps again.
    Late(u64),
    Wait(u64),
    Feedback,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => Just(Step::Arrive),
        2 => (1_u64..40).prop_map(Step::Lose),
        1 => (1_u64..60).prop_map(Step::Late),
        6 => (0_u64..30_000).prop_map(Step::Wait),
        1 => (30_000_u64..20_000_000).prop_map(Step::Wait),
        1 => Just(Step::Feedback),
    ]
}

proptest! {
    /// Whatever order packets come in, what the sender hears is when each of them came first, to 250 µs.
    #[test]
    fn feedback_tells_every_arrival(
        start in any::<u16>(),
        room in MIN_FEEDBACK..1200,
        steps in prop::collection::vec(step(), 1..400),
    ) {
        let epoch = origin();
        let interval = Duration::from_micros(1);
        let mut recorder = Recorder::new();
        let mut micros = 0;
        let mut next = 65_536 + u64::from(start);
        let mut arrived: BTreeMap<u64, u64> = BTreeMap::new();
        let mut untold: BTreeSet<u64> = BTreeSet::new();
        let mut feedbacks = 0_u8;
        for step in steps.into_iter().chain([Step::Feedback]) {
            let highest = arrived.keys().next_back().copied();
            let mut arrive = |sequence: u64, micros: u64| {
                recorder.record(sequence as u16, epoch + Duration::from_micros(micros));
                arrived.entry(sequence).or_insert_with(|| {
                    untold.insert(sequence);
                    micros
                });
            };
            match step {
                Step::Arrive => {
                    arrive(next, micros);
                    next += 1;
                }
                Step::Lose(count) => next += count,
                Step::Late(back) => {
                    if let Some(highest) = highest {
                        arrive(highest.saturating_sub(back), micros);
                    }
                }
                Step::Wait(time) => micros += time,
                Step::Feedback => {
                    micros += 2;
                    let now = epoch + Duration::from_micros(micros);
                    for packet in drain(&mut recorder, now, interval, room) {
                        prop_assert!(packet.len() <= room && packet.len() % 4 == 0);
                        prop_assert_eq!(packet[19], feedbacks);
                        feedbacks = feedbacks.wrapping_add(1);
                        for arrival in arrivals(&packet) {
                            let sequence = arrived.range(..).rev().map(|(sequence, _)| *sequence)
                                .find(|sequence| *sequence as u16 == arrival.sequence);
                            let truth = sequence.map(|sequence| arrived[&sequence]);
                            prop_assert_eq!(arrival.at_micros.is_some(), truth.is_some(), "{}", arrival.sequence);
                            if let (Some(said), Some(truth), Some(sequence)) = (arrival.at_micros, truth, sequence) {
                                let first = *arrived.values().min().unwrap() as i64;
                                let error = truth as i64 - first - said;
                                prop_assert!((0..250).contains(&error), "{} is off by {}", sequence, error);
                                untold.remove(&sequence);
                            }
                        }
                    }
                    prop_assert_eq!(&untold, &BTreeSet::new());
                    prop_assert_eq!(recorder.deadline(), None);
                }
            }
            // Older than the window is not promised.
            let oldest = arrived.keys().next_back().map_or(0, |highest| highest.saturating_sub(WINDOW as u64 - 1));
            untold = untold.split_off(&oldest);
        }
    }
}

#[test]
fn feedback_waits_for_its_interval() {
    let start = origin();
    let at = |millis: u64| start + Duration::from_millis(millis);
    let interval = Duration::from_millis(50);
    let mut recorder = Recorder::new();
    assert_eq!(recorder.deadline(), None);
    assert!(drain(&mut recorder, at(0), interval, 1200).is_empty());
    recorder.record(65_535, at(1));
    assert!(recorder.deadline().unwrap() <= at(1));
    assert_eq!(drain(&mut recorder, at(1), interval, 1200).len(), 1);
    assert_eq!(recorder.deadline(), None);
    recorder.record(0, at(2));
    recorder.record(2, at(3));
    assert_eq!(recorder.deadline(), Some(at(51)));
    assert!(drain(&mut recorder, at(50), interval, 1200).is_empty());
    let packets = drain(&mut recorder, at(51), interval, 1200);
    assert_eq!(packets.len(), 1);
    let said: Vec<_> =
        arrivals(&packets[0]).iter().map(|arrival| (arrival.sequence, arrival.at_micros)).collect();
    assert_eq!(said, [(0, Some(1_000)), (1, None), (2, Some(2_000))]);
    // Reported lost, and here after all: told again with what came after it.
    recorder.record(1, at(52));
    let packets = drain(&mut recorder, at(101), interval, 1200);
    assert_eq!(
        arrivals(&packets[0]),
        [Arrival { sequence: 1, at_micros: Some(51_000) }, Arrival { sequence: 2, at_micros: Some(2_000) },]
    );
}

/// A leap of the sequence numbers, as after a long outage, and a flood between two feedbacks.
#[test]
fn memory_is_bounded_by_the_window() {
    let start = origin();
    let interval = Duration::from_millis(50);
    let mut recorder = Recorder::new();
    recorder.record(0, start);
    recorder.record(20_000, start + Duration::from_millis(1));
    let told: usize = drain(&mut recorder, start + interval, interval, 1200)
        .iter()
        .map(|packet| arrivals(packet).len())
        .sum();
    assert_eq!(told, WINDOW);
    for sequence in 20_001..30_000_u16 {
        recorder.record(sequence, start + interval);
    }
    // Each datagram holds only part of it.
    let told: Vec<u16> = drain(&mut recorder, start + interval * 2, interval, MIN_FEEDBACK)
        .iter()
        .flat_map(|packet| arrivals(packet))
        .map(|arrival| arrival.sequence)
        .collect();
    assert_eq!(told, (29_999 - WINDOW as u16 + 1..=29_999).collect::<Vec<_>>());
}

/// A run of losses longer than one chunk, large gaps in time, one-bit and two-bit vectors, as in the draft's §3.1.
#[test]
fn chunks_are_small() {
    let start = origin();
    let interval = Duration::from_millis(50);
    let at = |micros: u64| start + Duration::from_micros(micros);
    let mut recorder = Recorder::new();
    for sequence in 0..100_u16 {
        recorder.record(sequence, at(u64::from(sequence) * 1000));
    }
    let packets = drain(&mut recorder, at(100_000), interval, 1200);
    // Header 20, one run-length chunk, 100 deltas, 2 bytes of padding.
    assert_eq!(packets[0].len(), 20 + 2 + 100 + 2);
    assert_eq!(packets[0][20..22], [0x20, 100]);
    assert_eq!(packets[0][0], 0xaf);
    assert_eq!(packets[0][122..], [0, 2]);
    // Short runs of arrivals and losses: two one-bit chunks for 27 packets, and 15 deltas.
    for sequence in (100..127_u16).filter(|sequence| (sequence - 100) % 6 < 3) {
        recorder.record(sequence, at(200_000));
    }
    let packets = drain(&mut recorder, at(200_000), interval, 1200);
    assert_eq!(packets[0].len(), 20 + 2 * 2 + 15 + 1);
    // Slow packets have two-byte deltas and two-bit chunks: 14 of them, then one that is prompt.
    for sequence in 129..143_u16 {
        recorder.record(sequence, at(200_000 + u64::from(sequence - 128) * 100_000));
    }
    recorder.record(143, at(1_600_000));
    let packets = drain(&mut recorder, at(1_600_000), interval, 1200);
    // 127 and 128 are lost, and the first delta is small: it counts from the reference time.
    assert_eq!(packets[0][20..22], [0b11_00_00_01, 0b10_10_10_10]);
    assert_eq!(arrivals(&packets[0]).len(), 17);
}

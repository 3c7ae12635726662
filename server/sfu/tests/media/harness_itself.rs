//! The harness must be able to fail: its decoder sees each fault the other tests rely on it to see, and its
//! client half completes a handshake with a server that is not ours.

use crate::harness::network::{Datagram, Destination, InFlight, Ledger, Path, unwrap_sequence};
use crate::harness::random::Random;
use crate::harness::receive::{Incoming, Reception};
use crate::harness::sdp::Dialect;
use crate::harness::secure::{DtlsClient, DtlsOptions, DtlsState, PLACEHOLDER};
use crate::harness::send::{Publication, Source};
use bytes::{Bytes, BytesMut};
use rtc_dtls::config::{ConfigBuilder, ExtendedMasterSecretType};
use rtc_dtls::crypto::Certificate;
use rtc_dtls::endpoint::Endpoint;
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc_rtp::packet::Packet;
use rtc_shared::TransportProtocol;
use std::sync::Arc;
use std::time::{Duration, Instant};

const DIALECT: Dialect = Dialect::CHROMIUM;

fn origin() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    Instant::now()
}

/// Frames of one layer, `count` of them, straight from the encoder.
fn frames(random: &mut Random, token: u32, count: u32) -> Vec<Vec<Packet>> {
    let start = origin();
    let mut publication = Publication::new(token, "camera".to_owned(), "0".to_owned(), Source::vp8(), random);
    publication.start(start);
    (0..count).map(|n| publication.handle_timeout(start + Duration::from_millis(50) * n, &DIALECT)).collect()
}

/// What a decoder makes of these packets, in this order.
fn decode(packets: &[Packet]) -> Reception {
    let mut reception = Reception::default();
    let start = origin();
    let mut incoming = Incoming::new(1, true);
    for (number, packet) in packets.iter().enumerate() {
        incoming.insert(start + Duration::from_millis(number as u64), packet.clone(), false, &mut reception);
    }
    incoming.play(start + Duration::from_secs(10), &DIALECT, &mut reception);
    reception
}

#[test]
fn an_untouched_stream_is_flawless() {
    let packets: Vec<Packet> = frames(&mut Random::new(1), 1, 50).concat();
    let reception = decode(&packets);
    assert_eq!(reception.faults, Vec::<String>::new());
    assert_eq!(reception.frames.len(), 50);
    assert!(reception.frames[0].key && !reception.frames[1].key);
}

#[test]
fn a_switch_without_a_key_frame_is_a_fault() {
    let mut random = Random::new(2);
    let one = frames(&mut random, 1, 20);
    let other = frames(&mut random, 2, 20);
    let mut spliced = one[..10].concat();
    let next = spliced.last().expect("a packet").header.sequence_number.wrapping_add(1);
    for (number, mut packet) in other[10..].concat().into_iter().enumerate() {
        packet.header.sequence_number = next.wrapping_add(number as u16);
        spliced.push(packet);
    }
    let reception = decode(&spliced);
    assert!(reception.faults.iter().any(|fault| fault.starts_with("picture id")), "{:?}", reception.faults);
    assert!(reception.faults.iter().any(|fault| fault.starts_with("delta frame")), "{:?}", reception.faults);
}

#[test]
fn a_changed_byte_a_missing_packet_and_a_step_back_in_time_are_faults() {
    let whole = frames(&mut Random::new(3), 1, 10).concat();

    let mut damaged = whole.clone();
    let mut payload = damaged[9].payload.to_vec();
    let last = payload.len() - 1;
    payload[last] ^= 1;
    damaged[9].payload = Bytes::from(payload);
    assert!(!decode(&damaged).faults.is_empty());

    let mut shortened = whole.clone();
    shortened.remove(9);
    for packet in &mut shortened[9..] {
        packet.header.sequence_number = packet.header.sequence_number.wrapping_sub(1);
    }
    assert!(!decode(&shortened).faults.is_empty());

    let mut back = whole;
    for packet in &mut back[12..] {
        packet.header.timestamp = packet.header.timestamp.wrapping_sub(90_000);
    }
    assert!(decode(&back).faults.iter().any(|fault| fault.starts_with("video timestamp")));
}

#[test]
fn a_lost_packet_is_asked_for_and_then_given_up() {
    let packets = frames(&mut Random::new(4), 1, 10).concat();
    let start = origin();
    let mut reception = Reception::default();
    let mut incoming = Incoming::new(1, true);
    for packet in packets.iter().enumerate().filter(|(number, _)| *number != 9).map(|(_, packet)| packet) {
        incoming.insert(start, packet.clone(), false, &mut reception);
    }
    assert_eq!(incoming.nacks(start), [packets[9].header.sequence_number]);
    assert!(incoming.nacks(start).is_empty(), "not twice at once");
    incoming.play(start + Duration::from_secs(5), &DIALECT, &mut reception);
    assert_eq!(reception.abandoned, 1);
    assert!(incoming.pli(start + Duration::from_secs(6)), "a key frame is needed");
}

/// The first packets may come in any order.
#[test]
fn a_start_in_disorder_is_put_right() {
    let packets = frames(&mut Random::new(8), 1, 10).concat();
    for order in [[3, 0, 1, 2], [1, 3, 0, 2], [2, 1, 3, 0], [3, 2, 1, 0]] {
        let first = order.map(|at| packets[at].clone());
        let all: Vec<Packet> = first.into_iter().chain(packets[4..].iter().cloned()).collect();
        let reception = decode(&all);
        assert_eq!(reception.frames.len(), 10, "{order:?}");
        assert!(reception.faults.is_empty());
    }
}

#[test]
#[should_panic(expected = "twice")]
fn the_ledger_refuses_an_index_used_twice() {
    let mut ledger = Ledger::default();
    let packet = frames(&mut Random::new(5), 1, 1)[0][0].clone();
    let bytes = rtc_shared::marshal::Marshal::marshal(&packet).expect("a packet");
    ledger.record(origin(), PLACEHOLDER, Some(1), &bytes);
    ledger.record(origin(), PLACEHOLDER, Some(1), &bytes);
}

#[test]
fn the_network_loses_repeats_and_reorders_by_seed() {
    let run = |seed| {
        let mut random = Random::new(seed);
        let mut network = InFlight::default();
        let mut path = Path { loss: 0.1, duplication: 0.1, reordering: 0.1, ..Path::clean() };
        let start = origin();
        for number in 0..=255u8 {
            let datagram =
                Datagram { source: PLACEHOLDER, destination: Destination::Shard, bytes: vec![number] };
            network.send(start + Duration::from_millis(u64::from(number)), &mut path, &mut random, datagram);
        }
        std::iter::from_fn(|| network.take_due(start + Duration::from_secs(9)))
            .map(|datagram| datagram.bytes[0])
            .collect::<Vec<u8>>()
    };
    let first = run(6);
    assert_eq!(first, run(6), "one seed, one run");
    assert_ne!(first, run(7));
    let mut sorted = first.clone();
    sorted.sort_unstable();
    assert_ne!(first, sorted, "some arrive late");
    sorted.dedup();
    assert!(sorted.len() < 256 && first.len() > sorted.len(), "some are lost, some come twice");
}

#[test]
fn sequence_numbers_unwrap_to_the_nearest_index() {
    assert_eq!(unwrap_sequence(0x1_fffe, 2), 0x2_0002);
    assert_eq!(unwrap_sequence(0x2_0002, 0xfffe), 0x1_fffe);
}

/// The client's DTLS and SRTP against a plain `rtc-dtls` server.
#[test]
fn the_client_half_completes_a_handshake_with_an_independent_server() {
    let provider = rtc_crypto::default_provider().expect("a crypto provider");
    let certificate = Certificate::generate_self_signed(vec!["server".to_owned()], provider.crypto())
        .expect("a certificate");
    let config = ConfigBuilder::default()
        .with_crypto_provider(provider.clone())
        .with_certificates(vec![certificate])
        .with_srtp_protection_profiles(DtlsOptions::chromium().profiles)
        .with_extended_master_secret(ExtendedMasterSecretType::Require)
        .with_insecure_skip_verify(true)
        .build(false, None)
        .expect("a server configuration");
    let mut server = Endpoint::new(PLACEHOLDER, TransportProtocol::UDP, Some(Arc::new(config)));
    let mut client = DtlsClient::new(provider, &DtlsOptions { mtu: 120, ..DtlsOptions::chromium() });
    let now = origin();
    client.start(now);
    let mut first_flight = 0;
    for _ in 0..20 {
        while let Some(datagram) = client.poll_transmit() {
            if client.state == DtlsState::Handshaking && server.get_connection_state(PLACEHOLDER).is_none() {
                first_flight += 1;
            }
            server.read(now, PLACEHOLDER, None, datagram).expect("a client's datagram");
        }
        while let Some(transmit) = server.poll_transmit() {
            client.read(now, &transmit.message);
        }
    }
    assert!(first_flight >= 1);
    assert_eq!(client.state, DtlsState::Established);
    let mut session = client.session();
    assert_eq!(
        session.profile,
        SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
        "rtc-dtls follows the client's order"
    );
    let plain = BytesMut::from(&[0x80, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9][..]);
    assert_ne!(session.outgoing.encrypt_rtp(&plain).expect("a packet")[12..16], plain[12..16]);
}

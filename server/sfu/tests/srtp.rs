//! Our SRTP against `rtc-srtp`: byte for byte outbound, and each opening what the other sealed.

use proptest::prelude::*;
use rtc_crypto::RTCCryptoProvider;
use rtc_crypto::providers::RingProvider;
use rtc_srtp::context::Context;
use rtc_srtp::option::{srtcp_replay_protection, srtp_replay_protection};
use rtc_srtp::protection_profile::ProtectionProfile;
use sfu::rtp::Header;
use sfu::srtp::{Keying, Opener, Profile, Sealer, SrtpError};

/// Both implementations with the same keys; we are the DTLS server.
struct Session {
    sealer: Sealer,
    opener: Opener,
    /// The client's own direction.
    oracle_sealer: Context,
    /// The server's direction as the client opens it.
    oracle_opener: Context,
}

fn session(gcm: bool, seed: u8) -> Session {
    let (profile, theirs) = if gcm {
        (Profile::AeadAes128Gcm, ProtectionProfile::AeadAes128Gcm)
    } else {
        (Profile::Aes128CmHmacSha1_80, ProtectionProfile::Aes128CmHmacSha1_80)
    };
    let material: Vec<u8> =
        (0..profile.keying_material_len()).map(|n| seed.wrapping_add((n * 37) as u8)).collect();
    let keying = Keying::split(profile, &material).unwrap();
    let (keys, salts) = material.split_at(2 * profile.key_len());
    let (client_key, server_key) = keys.split_at(profile.key_len());
    let (client_salt, server_salt) = salts.split_at(profile.salt_len());
    let context = |key: &[u8], salt: &[u8]| {
        let options = (Some(srtp_replay_protection(1024)), Some(srtcp_replay_protection(64)));
        Context::new(key, salt, theirs, options.0, options.1, RingProvider::new().crypto()).unwrap()
    };
    Session {
        sealer: Sealer::new(&keying, true).unwrap(),
        opener: Opener::new(&keying, true).unwrap(),
        oracle_sealer: context(client_key, client_salt),
        oracle_opener: context(server_key, server_salt),
    }
}

/// A sealer with the client's keys, so that ours and the oracle's can be compared on one direction.
fn client_sealer(gcm: bool, seed: u8) -> Sealer {
    let profile = if gcm { Profile::AeadAes128Gcm } else { Profile::Aes128CmHmacSha1_80 };
    let material: Vec<u8> =
        (0..profile.keying_material_len()).map(|n| seed.wrapping_add((n * 37) as u8)).collect();
    Sealer::new(&Keying::split(profile, &material).unwrap(), false).unwrap()
}

#[derive(Clone, Debug)]
struct Shape {
    marker: bool,
    csrcs: u8,
    /// Words of a one-byte-form extension block, if there is one.
    extension: Option<u8>,
    payload: Vec<u8>,
}

fn shape() -> impl Strategy<Value = Shape> {
    (any::<bool>(), 0_u8..4, prop::option::of(1_u8..6), prop::collection::vec(any::<u8>(), 1..1200))
        .prop_map(|(marker, csrcs, extension, payload)| Shape { marker, csrcs, extension, payload })
}

fn packet(shape: &Shape, sequence: u16, ssrc: u32) -> (Vec<u8>, usize) {
    let first = 0x80 | shape.csrcs | if shape.extension.is_some() { 0x10 } else { 0 };
    let mut packet = vec![first, if shape.marker { 0xe0 } else { 0x60 }];
    packet.extend(sequence.to_be_bytes());
    packet.extend([9, 8, 7, 6]);
    packet.extend(ssrc.to_be_bytes());
    packet.extend((0..shape.csrcs).flat_map(|n| [n, 1, 2, 3]));
    if let Some(words) = shape.extension {
        packet.extend([0xbe, 0xde, 0, words]);
        // One element fills the block: id 3.
        let length = usize::from(words) * 4 - 1;
        let length = length.min(16);
        packet.push(0x30 | (length as u8 - 1));
        packet.extend((0..length).map(|n| n as u8));
        packet.resize(12 + usize::from(shape.csrcs) * 4 + 4 + usize::from(words) * 4, 0);
    }
    let header_len = packet.len();
    packet.extend(&shape.payload);
    (packet, header_len)
}

fn seal(sealer: &mut Sealer, plain: &[u8], header_len: usize, roc: u32) -> Vec<u8> {
    let mut buffer = plain.to_vec();
    buffer.resize(plain.len() + sealer.overhead(), 0xaa);
    let sealed = sealer.seal_rtp(&mut buffer, plain.len(), header_len, roc).unwrap();
    assert_eq!(sealed, buffer.len());
    buffer
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// From before the wrap of the sequence number to after it, each packet sealed by us is the oracle's, byte for
    /// byte, and ours opens it again.
    #[test]
    fn rtp_is_byte_identical_across_the_wrap(
        gcm in any::<bool>(),
        seed in any::<u8>(),
        ssrc in any::<u32>(),
        shapes in prop::collection::vec(shape(), 1..12),
        start in 65_526_u16..=65_535,
    ) {
        let mut session = session(gcm, seed);
        let mut ours = client_sealer(gcm, seed);
        for (offset, shape) in shapes.iter().enumerate() {
            let extended = u32::from(start) + offset as u32;
            let (plain, header_len) = packet(shape, extended as u16, ssrc);
            let theirs = session.oracle_sealer.encrypt_rtp(&plain).unwrap();
            let sealed = seal(&mut ours, &plain, header_len, extended >> 16);
            prop_assert_eq!(&sealed[..], &theirs[..]);

            let mut received = theirs.to_vec();
            let header = Header::parse(&received).unwrap();
            prop_assert_eq!(header.header_len, header_len);
            let opened = session.opener.open_rtp(&mut received, header.header_len).unwrap();
            prop_assert_eq!(&received[..opened], &plain[..]);
            prop_assert_eq!(session.opener.open_rtp(&mut theirs.to_vec(), header_len), Err(SrtpError::Replayed));
        }
    }

    #[test]
    fn the_oracle_opens_what_we_seal(
        gcm in any::<bool>(),
        seed in any::<u8>(),
        shapes in prop::collection::vec(shape(), 1..8),
        start in 65_530_u16..=65_535,
    ) {
        let mut session = session(gcm, seed);
        for (offset, shape) in shapes.iter().enumerate() {
            let extended = u32::from(start) + offset as u32;
            let (plain, header_len) = packet(shape, extended as u16, 77);
            let sealed = seal(&mut session.sealer, &plain, header_len, extended >> 16);
            let opened = session.oracle_opener.decrypt_rtp(&sealed).unwrap();
            prop_assert_eq!(&opened[..], &plain[..]);
        }
    }

    /// Packets of both cycles in any order within the window: each opens once.
    #[test]
    fn reordering_across_the_wrap_opens_everything(
        gcm in any::<bool>(),
        order in Just((0_u32..200).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let mut session = session(gcm, 1);
        // The first packet fixes the cycle, so it comes first.
        let first = 65_436 - 1;
        let mut sealed = Vec::new();
        for extended in first..=first + 200 {
            let shape = Shape { marker: false, csrcs: 0, extension: None, payload: vec![extended as u8; 20] };
            let (plain, _) = packet(&shape, extended as u16, 5);
            sealed.push(session.oracle_sealer.encrypt_rtp(&plain).unwrap());
        }
        prop_assert!(session.opener.open_rtp(&mut sealed[0].to_vec(), 12).is_ok());
        for place in &order {
            let mut packet = sealed[*place as usize + 1].to_vec();
            prop_assert_eq!(session.opener.open_rtp(&mut packet, 12), Ok(32), "{}", place);
            prop_assert_eq!(packet[12], (first + 1 + place) as u8);
        }
        for packet in &sealed {
            prop_assert_eq!(session.opener.open_rtp(&mut packet.to_vec(), 12), Err(SrtpError::Replayed));
        }
    }

    #[test]
    fn rtcp_is_byte_identical_and_opens_both_ways(
        gcm in any::<bool>(),
        seed in any::<u8>(),
        ssrc in any::<u32>(),
        sizes in prop::collection::vec(0_usize..60, 1..10),
    ) {
        let mut session = session(gcm, seed);
        let mut ours = client_sealer(gcm, seed);
        for words in sizes {
            let mut plain = vec![0x80, 201];
            plain.extend((words as u16 + 1).to_be_bytes());
            plain.extend(ssrc.to_be_bytes());
            plain.extend((0..words * 4).map(|n| n as u8));

            let theirs = session.oracle_sealer.encrypt_rtcp(&plain).unwrap();
            let mut buffer = plain.clone();
            buffer.resize(plain.len() + ours.rtcp_overhead(), 0);
            prop_assert_eq!(ours.seal_rtcp(&mut buffer, plain.len()), Ok(buffer.len()));
            prop_assert_eq!(&buffer[..], &theirs[..]);
            let opened = session.opener.open_rtcp(&mut buffer).unwrap();
            prop_assert_eq!(&buffer[..opened], &plain[..]);
            prop_assert_eq!(session.opener.open_rtcp(&mut theirs.to_vec()), Err(SrtpError::Replayed));

            let mut buffer = plain.clone();
            buffer.resize(plain.len() + session.sealer.rtcp_overhead(), 0);
            session.sealer.seal_rtcp(&mut buffer, plain.len()).unwrap();
            prop_assert_eq!(&session.oracle_opener.decrypt_rtcp(&buffer).unwrap()[..], &plain[..]);
        }
    }
}

/// A sender that goes on for four cycles, one packet in 4096: the rollover counter is followed.
#[test]
fn long_streams_keep_their_cycle() {
    for gcm in [true, false] {
        let mut session = session(gcm, 9);
        for extended in (40_000_u32..300_000).step_by(4096) {
            let shape = Shape { marker: true, csrcs: 0, extension: Some(1), payload: vec![3; 30] };
            let (plain, header_len) = packet(&shape, extended as u16, 6);
            let mut theirs = session.oracle_sealer.encrypt_rtp(&plain).unwrap().to_vec();
            assert_eq!(session.opener.open_rtp(&mut theirs, header_len), Ok(plain.len()), "{extended}");
        }
    }
}

/// Older than the window, as after a long retransmission delay: dropped, and the stream goes on.
#[test]
fn a_packet_older_than_the_window_does_no_harm() {
    let mut session = session(true, 9);
    let shape = Shape { marker: true, csrcs: 0, extension: None, payload: vec![3; 30] };
    let sealed: Vec<_> = (0..3000_u16)
        .map(|sequence| session.oracle_sealer.encrypt_rtp(&packet(&shape, sequence, 6).0).unwrap())
        .collect();
    let mut open = |nth: usize| session.opener.open_rtp(&mut sealed[nth].to_vec(), 12);
    assert_eq!(open(0), Ok(42));
    assert_eq!(open(2500), Ok(42));
    assert_eq!(open(1), Err(SrtpError::Replayed));
    assert_eq!(open(2500 - 950), Ok(42));
    assert_eq!(open(2501), Ok(42));
}

#[test]
fn lengths_that_do_not_fit_are_errors() {
    let mut session = session(true, 2);
    let mut buffer = [0x80; 40];
    assert_eq!(session.sealer.seal_rtp(&mut buffer, 41, 12, 0), Err(SrtpError::TooShort));
    assert_eq!(session.sealer.seal_rtp(&mut buffer, 20, 21, 0), Err(SrtpError::TooShort));
    assert_eq!(session.sealer.seal_rtp(&mut buffer, 25, 12, 0), Err(SrtpError::NoRoom));
    assert_eq!(session.sealer.seal_rtcp(&mut buffer, 24), Err(SrtpError::NoRoom));
    assert_eq!(session.sealer.seal_rtcp(&mut buffer, 7), Err(SrtpError::TooShort));
    for length in 0..28 {
        assert_eq!(session.opener.open_rtp(&mut buffer[..length].to_vec(), 12), Err(SrtpError::TooShort));
    }
}

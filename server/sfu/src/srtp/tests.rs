//! Published vectors, hostile packets and the bounds, where they need what the crate does not show.

use super::cipher::{Cipher, derive};
use super::replay::{Window, guess_index};
use super::*;
use proptest::prelude::*;
use rtc_crypto::RTCCryptoProvider;
use rtc_crypto::providers::RingProvider;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    hex(text).try_into().unwrap()
}

fn keying(profile: Profile) -> Keying {
    let material: Vec<u8> = (0..profile.keying_material_len() as u8).map(|n| n.wrapping_mul(7)).collect();
    Keying::split(profile, &material).unwrap()
}

fn rtp(sequence: u16, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 96];
    packet.extend(sequence.to_be_bytes());
    packet.extend(0x0102_0304_u32.to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend(payload);
    packet
}

fn sealed_rtp(sealer: &mut Sealer, plain: &[u8], roc: u32) -> Vec<u8> {
    let mut buffer = plain.to_vec();
    buffer.resize(plain.len() + sealer.overhead(), 0);
    assert_eq!(sealer.seal_rtp(&mut buffer, plain.len(), 12, roc), Ok(buffer.len()));
    buffer
}

fn sealed_rtcp(sealer: &mut Sealer, plain: &[u8]) -> Vec<u8> {
    let mut buffer = plain.to_vec();
    buffer.resize(plain.len() + sealer.rtcp_overhead(), 0);
    assert_eq!(sealer.seal_rtcp(&mut buffer, plain.len()), Ok(buffer.len()));
    buffer
}

fn pair(profile: Profile) -> (Sealer, Opener) {
    let keying = keying(profile);
    (Sealer::new(&keying, true).unwrap(), Opener::new(&keying, false).unwrap())
}

const PROFILES: [Profile; 2] = [Profile::AeadAes128Gcm, Profile::Aes128CmHmacSha1_80];

#[test]
fn session_keys_are_those_of_rfc_3711_b3() {
    let master = Master {
        key: SecretVec::new(hex("E1F97A0D3E018BE0D64FA32C06DE4139")),
        salt: SecretVec::new(hex("0EC675AD498AFEEBB6960B3AABE6")),
    };
    let provider = RingProvider::new();
    let crypto = provider.crypto();
    assert_eq!(derive::<16>(crypto, &master, 0).unwrap(), bytes("C61E7A93744F39EE10734AFE3FF7A087"));
    assert_eq!(derive::<14>(crypto, &master, 2).unwrap(), bytes("30CBBC08863D8C85D49DB34A9AE1"));
    assert_eq!(
        derive::<94>(crypto, &master, 1).unwrap(),
        bytes(
            "CEBE321F6FF7716B6FD4AB49AF256A15 6D38BAA48F0A0ACF3C34E2359E6CDBCE
             E049646C43D9327AD175578EF7227098 6371C10C9A369AC2F94A8C5FBCDDDC25
             6D6E919A48B610EF17C2041E47403576 6B68642C59BBFC2F34DB60DBDFB2"
        )
    );
}

#[test]
fn keystream_is_that_of_rfc_3711_b2() {
    let provider = RingProvider::new();
    let mut cipher = Cipher::cm(
        provider.crypto(),
        &bytes("2B7E151628AED2A6ABF7158809CF4F3C"),
        &[0; 20],
        bytes("F0F1F2F3F4F5F6F7F8F9FAFBFCFD"),
    )
    .unwrap();
    let mut packet = rtp(0, 0, &[0; 48]);
    packet.resize(60 + 10, 0);
    assert_eq!(cipher.seal_rtp(&mut packet, 60, 12, 0, 0), Ok(70));
    assert_eq!(
        packet[12..60],
        bytes::<48>(
            "E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB
             41E95B3BB0A2E8DD477901E4FCA894C0"
        )
    );
}

fn rfc_7714_cipher() -> Cipher {
    Cipher::gcm(
        RingProvider::new().crypto(),
        &bytes("000102030405060708090a0b0c0d0e0f"),
        bytes("517569642070726f2071756f"),
    )
    .unwrap()
}

#[test]
fn gcm_rtp_is_that_of_rfc_7714_16_1() {
    let plain = hex("8040f17b8041f8d35501a0b2
        47616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573");
    let sealed = hex("8040f17b8041f8d35501a0b2
        f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833
        899d7f27beb16a9152cf765ee4390cce");
    let mut packet = plain.clone();
    packet.resize(sealed.len(), 0);
    let mut cipher = rfc_7714_cipher();
    assert_eq!(cipher.seal_rtp(&mut packet, plain.len(), 12, 0x5501_a0b2, 0xf17b), Ok(sealed.len()));
    assert_eq!(packet, sealed);
    assert_eq!(cipher.open_rtp(&mut packet, 12, 0x5501_a0b2, 0xf17b), Ok(plain.len()));
    assert_eq!(packet[..plain.len()], plain);
}

#[test]
fn gcm_rtcp_is_that_of_rfc_7714_17_1() {
    let plain = hex("81c8000d4d617273
        4e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef");
    let sealed = hex("81c8000d4d617273
        63e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275b
        c84aa45896cf4d2fc5abf87245d9eade 800005d4");
    let mut packet = plain.clone();
    packet.resize(sealed.len(), 0);
    let mut cipher = rfc_7714_cipher();
    assert_eq!(cipher.seal_rtcp(&mut packet, plain.len(), 0x4d61_7273, 0x5d4), Ok(sealed.len()));
    assert_eq!(packet, sealed);
    let word = cipher.rtcp_index_word(&packet).unwrap();
    assert_eq!(word, 0x8000_05d4);
    assert_eq!(cipher.open_rtcp(&mut packet, 0x4d61_7273, word), Ok(plain.len()));
    assert_eq!(packet[..plain.len()], plain);
}

/// The AES-CM packets that libsrtp validates itself with.
#[test]
fn cm_packets_are_those_of_libsrtp() {
    let master = || {
        Keying::split(
            Profile::Aes128CmHmacSha1_80,
            &hex("e1f97a0d3e018be0d64fa32c06de4139 e1f97a0d3e018be0d64fa32c06de4139
                0ec675ad498afeebb6960b3aabe6 0ec675ad498afeebb6960b3aabe6"),
        )
        .unwrap()
    };
    let mut sealer = Sealer::new(&master(), true).unwrap();
    let plain = hex("800f1234decafbadcafebabe abababababababababababababababab");
    assert_eq!(
        sealed_rtp(&mut sealer, &plain, 0),
        hex("800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc99ea179b8dbb")
    );
    let plain = hex("81c8000bcafebabe abababababababababababababababab");
    assert_eq!(
        sealed_rtcp(&mut sealer, &plain),
        hex("81c8000bcafebabe 7128035be487b9bdbef89041f977a5a8 80000001 993e08cd54d6c1230798")
    );
}

#[test]
fn keying_material_of_the_wrong_length_is_refused() {
    for profile in PROFILES {
        let expected = profile.keying_material_len();
        assert_eq!(expected, 2 * (profile.key_len() + profile.salt_len()));
        for actual in [0, expected - 1, expected + 1] {
            let error = Keying::split(profile, &vec![0; actual]).unwrap_err();
            assert_eq!(error, SrtpError::KeyingLength { expected, actual });
        }
        assert_eq!(Profile::from_id(profile.id()), Some(profile));
    }
    let shown = format!("{:?}", keying(Profile::AeadAes128Gcm));
    assert!(shown.contains("REDACTED") && !shown.contains("7, 14"), "{shown}");
}

#[test]
fn the_two_directions_have_different_keys() {
    for profile in PROFILES {
        let keying = keying(profile);
        let mut to_client = Sealer::new(&keying, true).unwrap();
        let mut from_client = Opener::new(&keying, true).unwrap();
        let mut packet = sealed_rtp(&mut to_client, &rtp(1, 2, b"reflected"), 0);
        assert_eq!(from_client.open_rtp(&mut packet, 12), Err(SrtpError::Forged));
        assert!(from_client.rtp_sources.is_empty());
    }
}

#[test]
fn sources_are_bounded_and_known_ones_go_on() {
    let (mut sealer, mut opener) = pair(Profile::AeadAes128Gcm);
    for ssrc in 0..MAX_SOURCES as u32 {
        assert!(opener.open_rtp(&mut sealed_rtp(&mut sealer, &rtp(1, ssrc, b"x"), 0), 12).is_ok());
        let report = [&hex("80c90001")[..], &ssrc.to_be_bytes()].concat();
        assert!(opener.open_rtcp(&mut sealed_rtcp(&mut sealer, &report)).is_ok());
    }
    let mut one_more = sealed_rtp(&mut sealer, &rtp(1, 0xffff, b"x"), 0);
    assert_eq!(opener.open_rtp(&mut one_more, 12), Err(SrtpError::TooManySources));
    let mut one_more = sealed_rtcp(&mut sealer, &hex("80c900010000ffff"));
    assert_eq!(opener.open_rtcp(&mut one_more), Err(SrtpError::TooManySources));
    assert!(opener.open_rtp(&mut sealed_rtp(&mut sealer, &rtp(2, 5, b"x"), 0), 12).is_ok());
    assert_eq!(opener.rtp_sources.len(), MAX_SOURCES);
    assert_eq!(opener.rtcp_sources.len(), MAX_SOURCES);
}

#[test]
fn unencrypted_rtcp_is_refused() {
    for profile in PROFILES {
        let (mut sealer, mut opener) = pair(profile);
        let mut packet = sealed_rtcp(&mut sealer, &hex("80c900010a0b0c0d"));
        let e_bit = if profile == Profile::AeadAes128Gcm { packet.len() - 4 } else { packet.len() - 14 };
        packet[e_bit] &= 0x7f;
        assert_eq!(opener.open_rtcp(&mut packet), Err(SrtpError::NotEncrypted));
    }
}

#[test]
fn a_sealer_stops_before_an_rtcp_index_repeats() {
    let (mut sealer, _) = pair(Profile::AeadAes128Gcm);
    sealer.set_rtcp_index(0x7fff_fffe);
    let mut buffer = [hex("80c900010a0b0c0d"), vec![0; 20]].concat();
    assert!(sealer.seal_rtcp(&mut buffer, 8).is_ok());
    assert_eq!(sealer.seal_rtcp(&mut buffer, 8), Err(SrtpError::Exhausted));
}

#[test]
fn an_opener_stops_before_a_packet_index_repeats() {
    let last = (1 << 48) - 1;
    assert_eq!(guess_index(last, 0xffff), Some(last));
    assert_eq!(guess_index(last, 5), None);
}

#[test]
fn the_index_guess_follows_wraps_both_ways() {
    let at = |rollover: u64, sequence: u64| rollover << 16 | sequence;
    for (highest, sequence, expected) in [
        (at(0, 65_535), 0, at(1, 0)),
        (at(1, 0), 65_535, at(0, 65_535)),
        (at(1, 3), 2, at(1, 2)),
        (at(7, 40_000), 100, at(8, 100)),
        (at(7, 100), 40_000, at(6, 40_000)),
        (at(7, 100), 32_868, at(7, 32_868)),
        // Nothing can be from before the first cycle.
        (at(0, 3), 65_000, at(0, 65_000)),
    ] {
        assert_eq!(guess_index(highest, sequence), Some(expected), "{highest} then {sequence}");
    }
}

proptest! {
    /// The window against the plainest model: a set of all accepted indices.
    #[test]
    fn the_window_accepts_each_index_once(steps in prop::collection::vec((any::<bool>(), 0_u64..1500), 1..400)) {
        let mut window = Window::<16>::starting_at(5_000);
        let mut accepted = std::collections::BTreeSet::from([5_000]);
        for (forward, step) in steps {
            let highest = window.highest();
            let index = if forward { highest + step / 8 } else { highest.saturating_sub(step) };
            let new = window.is_new(index);
            prop_assert!(!(new && accepted.contains(&index)), "{index} twice");
            if !accepted.contains(&index) && index + Window::<16>::REACH > highest {
                prop_assert!(new, "{index} refused at {highest}");
            }
            if new {
                window.accept(index);
                accepted.insert(index);
            }
            prop_assert_eq!(window.highest(), highest.max(if new { index } else { 0 }));
        }
    }

    /// No bit of a packet can be changed, and the attempt leaves no trace.
    #[test]
    fn a_forged_bit_changes_nothing(
        cm in any::<bool>(),
        known in any::<bool>(),
        payload in prop::collection::vec(any::<u8>(), 0..200),
        sequence in any::<u16>(),
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let (mut sealer, mut opener) = pair(PROFILES[usize::from(cm)]);
        let plain = rtp(sequence, 0xdead_beef, &payload);
        if known {
            let mut earlier = sealed_rtp(&mut sealer, &rtp(sequence ^ 1, 0xdead_beef, b"earlier"), 0);
            opener.open_rtp(&mut earlier, 12).unwrap();
        }
        let sealed = sealed_rtp(&mut sealer, &plain, 0);
        let before = opener.rtp_sources.clone();
        let mut forged = sealed.clone();
        let at = at.index(forged.len());
        forged[at] ^= 1 << bit;
        prop_assert!(opener.open_rtp(&mut forged, 12).is_err());
        prop_assert_eq!(&opener.rtp_sources, &before);
        let mut genuine = sealed.clone();
        prop_assert_eq!(opener.open_rtp(&mut genuine, 12), Ok(plain.len()));
        prop_assert_eq!(&genuine[..plain.len()], &plain);
        let after = opener.rtp_sources.clone();
        prop_assert_eq!(opener.open_rtp(&mut sealed.clone(), 12), Err(SrtpError::Replayed));
        prop_assert_eq!(&opener.rtp_sources, &after);
    }

    #[test]
    fn a_forged_rtcp_bit_changes_nothing(
        cm in any::<bool>(),
        known in any::<bool>(),
        words in 0_usize..40,
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let (mut sealer, mut opener) = pair(PROFILES[usize::from(cm)]);
        let mut plain = hex("81c90007deadbeef");
        plain.resize(8 + words * 4, 0x55);
        if known {
            opener.open_rtcp(&mut sealed_rtcp(&mut sealer, &plain)).unwrap();
        }
        let sealed = sealed_rtcp(&mut sealer, &plain);
        let before = opener.rtcp_sources.clone();
        let mut forged = sealed.clone();
        let at = at.index(forged.len());
        forged[at] ^= 1 << bit;
        prop_assert!(opener.open_rtcp(&mut forged).is_err());
        prop_assert_eq!(&opener.rtcp_sources, &before);
        let mut genuine = sealed.clone();
        prop_assert_eq!(opener.open_rtcp(&mut genuine), Ok(plain.len()));
        prop_assert_eq!(&genuine[..plain.len()], &plain);
        prop_assert_eq!(opener.open_rtcp(&mut sealed.clone()), Err(SrtpError::Replayed));
    }

    /// Whatever comes, with whatever header length, is refused without a trace or a panic.
    #[test]
    fn arbitrary_bytes_are_refused(
        cm in any::<bool>(),
        mut packet in prop::collection::vec(any::<u8>(), 0..120),
        header_len in 0_usize..200,
    ) {
        let (mut sealer, mut opener) = pair(PROFILES[usize::from(cm)]);
        prop_assert!(opener.open_rtp(&mut packet.clone(), header_len).is_err());
        prop_assert!(opener.open_rtcp(&mut packet.clone()).is_err());
        prop_assert!(opener.rtp_sources.is_empty() && opener.rtcp_sources.is_empty());
        let len = packet.len();
        let _ = sealer.seal_rtp(&mut packet, header_len, len.min(12), 0);
        let _ = sealer.seal_rtcp(&mut packet, header_len);
    }
}

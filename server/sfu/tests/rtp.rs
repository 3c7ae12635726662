//! Views over RTP: against `rtc-rtp`, against hand-made bytes of the RFCs, and against anything at all.

use bytes::Bytes;
use proptest::prelude::*;
use rtc_rtp::extension::HeaderExtension;
use rtc_rtp::packet::Packet as OraclePacket;
use rtc_shared::marshal::{Marshal, MarshalSize, Unmarshal};
use sfu::rtp::extension::{AudioLevel, Uri, Writer, transport_sequence};
use sfu::rtp::sequence::{self, Unwrapper};
use sfu::rtp::{FixedHeader, Header, Kind, av1, classify, h264, is_rtcp, red, rtcp, rtx, vp8, vp9};
use std::collections::BTreeMap;

fn fixed(has_extension: bool) -> FixedHeader {
    FixedHeader {
        marker: true,
        payload_type: 111,
        sequence: 0xfffe,
        timestamp: 0x8000_0001,
        ssrc: 0xcafe_f00d,
        has_extension,
        has_padding: false,
    }
}

/// A packet with the extension block that `elements` make.
fn packet(elements: &[(u8, Vec<u8>)], payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 4096];
    assert_eq!(fixed(true).write(&mut packet), Some(12));
    let mut writer = Writer::new(&mut packet[12..]);
    for (id, data) in elements {
        assert!(writer.push(*id, data));
    }
    let block = writer.finish();
    fixed(block > 0).write(&mut packet);
    packet.truncate(12 + block);
    packet.extend(payload);
    packet
}

fn elements(packet: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let header = Header::parse(packet).unwrap();
    header
        .extensions(packet)
        .map(|element| {
            assert_eq!(&packet[element.start..element.start + element.data.len()], element.data);
            (element.id, element.data.to_vec())
        })
        .collect()
}

#[test]
fn protocols_on_one_port_are_told_apart() {
    for (bytes, kind) in [
        (0..=3, Kind::Stun),
        (4..=19, Kind::Other),
        (20..=63, Kind::Dtls),
        (64..=79, Kind::Turn),
        (80..=127, Kind::Other),
        (128..=191, Kind::Media),
        (192..=255, Kind::Other),
    ] {
        for byte in bytes {
            assert_eq!(classify(byte), kind, "{byte}");
        }
    }
    for second in 0..=255 {
        assert_eq!(is_rtcp(&[0x81, second, 0, 1]), (192..=223).contains(&second), "{second}");
    }
    assert!(!is_rtcp(&[0x41, 200]) && !is_rtcp(&[0x80]) && !is_rtcp(&[]));
}

#[test]
fn padding_is_taken_off() {
    let mut plain = packet(&[], b"voice");
    plain[0] |= 0x20;
    plain.extend([0, 0, 3]);
    let header = Header::parse(&plain).unwrap();
    assert!(header.has_padding);
    assert_eq!(header.payload(&plain), Some(&b"voice"[..]));
    // A probe: nothing but padding.
    let mut probe = packet(&[], &[0; 9]);
    probe[0] |= 0x20;
    *probe.last_mut().unwrap() = 9;
    let header = Header::parse(&probe).unwrap();
    assert_eq!(header.payload_end(&probe), Some(header.header_len));
    // More than there is, and none.
    for impossible in [10, 0] {
        *probe.last_mut().unwrap() = impossible;
        assert_eq!(header.payload_end(&probe), None);
    }
}

#[test]
fn headers_that_are_cut_off_are_refused() {
    let whole = packet(&[(1, vec![5; 3])], b"");
    assert!(Header::parse(&whole).is_some());
    for length in 0..whole.len() {
        assert_eq!(Header::parse(&whole[..length]), None, "{length}");
    }
    let mut old = whole.clone();
    old[0] = 0x50;
    assert_eq!(Header::parse(&old), None);
}

#[test]
fn uris_are_known_by_their_own_text() {
    for uri in Uri::ALL {
        assert_eq!(uri.as_str().parse(), Ok(*uri));
    }
    assert!("urn:ietf:params:rtp-hdrext:encrypt".parse::<Uri>().is_err());
    assert_eq!("urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id".parse(), Ok(Uri::Rid));
}

#[test]
fn extension_blocks_end_where_rfc_8285_says() {
    let with_block = |profile: u16, block: &[u8]| {
        let mut packet = vec![0; 12];
        fixed(true).write(&mut packet);
        packet.extend(profile.to_be_bytes());
        packet.extend((block.len() as u16 / 4).to_be_bytes());
        packet.extend(block);
        elements(&packet)
    };
    // Padding between elements, an id at the very end.
    assert_eq!(
        with_block(0xbede, &[0x10, 0xaa, 0, 0, 0x21, 1, 2, 0, 0, 0, 0x30, 7]),
        [(1, vec![0xaa]), (2, vec![1, 2]), (3, vec![7])]
    );
    // Id 15 and id 0 with a length stop the reading.
    assert_eq!(with_block(0xbede, &[0x10, 0xaa, 0xf0, 1, 0x20, 2, 0, 0]), [(1, vec![0xaa])]);
    assert_eq!(with_block(0xbede, &[0x10, 0xaa, 0x01, 1, 0x20, 2, 0, 0]), [(1, vec![0xaa])]);
    // An element longer than the block.
    assert_eq!(with_block(0xbede, &[0x10, 0xaa, 0x2f, 1]), [(1, vec![0xaa])]);
    // Two bytes, with an empty element; any application bits.
    assert_eq!(with_block(0x1005, &[1, 0, 0, 0, 200, 2, 3, 4]), [(1, vec![]), (200, vec![3, 4])]);
    assert_eq!(with_block(0x1000, &[1, 9, 3, 4]), []);
    assert_eq!(with_block(0x1000, &[0, 0, 0, 7]), []);
    // Not RFC 8285.
    assert_eq!(with_block(0x1234, &[0x10, 0xaa, 0, 0]), []);
    assert_eq!(elements(&packet(&[], b"x")), []);
}

#[test]
fn a_writer_refuses_what_does_not_fit_and_goes_on() {
    let mut out = [0xee; 12];
    let mut writer = Writer::new(&mut out);
    assert!(writer.push(1, &[1, 2, 3]));
    assert!(!writer.push(2, &[0; 16]), "no room");
    assert!(!writer.push(200, &[0; 4]), "no room for the two-byte form");
    assert!(!writer.push(0, &[1]), "no such id");
    assert!(writer.push(2, &[4]));
    assert_eq!(writer.finish(), 12);
    assert_eq!(out, [0xbe, 0xde, 0, 2, 0x12, 1, 2, 3, 0x20, 4, 0, 0]);
    assert_eq!(Writer::new(&mut out).finish(), 0);
    // The padding needs room too.
    let mut writer = Writer::new(&mut out[..7]);
    assert!(!writer.push(1, &[1, 2]));
    assert_eq!(writer.finish(), 0);
}

#[test]
fn extension_values_are_read() {
    assert_eq!(AudioLevel::parse(&[0x80 | 30]), Some(AudioLevel { voice: true, level: 30 }));
    assert_eq!(AudioLevel::parse(&[127, 0]), Some(AudioLevel { voice: false, level: 127 }));
    assert_eq!(AudioLevel::parse(&[]), None);
    assert_eq!(transport_sequence(&[1, 2]), Some(258));
    assert_eq!(transport_sequence(&[1]), None);
}

#[test]
fn vp8_key_frames_tell_their_size() {
    // X, then I (15 bits) L T K; picture id 0x1234, TL0PICIDX 9, TID 2 Y KEYIDX 5; then RFC 6386 §9.1.
    let payload = [0x90, 0xf0, 0x92, 0x34, 9, 0xa5, 0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x42, 0xd0, 0x81];
    let descriptor = vp8::Descriptor::parse(&payload).unwrap();
    assert_eq!(
        descriptor,
        vp8::Descriptor {
            start_of_partition: true,
            partition: 0,
            non_reference: false,
            picture_id: Some(0x1234),
            picture_id_15bit: true,
            tl0_pic_idx: Some(9),
            tid: Some(2),
            layer_sync: true,
            key_idx: Some(5),
            len: 6,
            keyframe: true,
            size: Some((0x280, 0x1d0)),
        }
    );
    assert!(descriptor.starts_frame());
    // The same as an interframe, as a later partition, and as a continuation.
    for (at, byte) in [(6, 0x11), (0, 0x91), (0, 0x80)] {
        let mut other = payload;
        other[at] = byte;
        assert!(!vp8::Descriptor::parse(&other).unwrap().keyframe);
    }
    for length in 0..6 {
        assert_eq!(vp8::Descriptor::parse(&payload[..length]), None, "{length}");
    }
    assert_eq!(vp8::Descriptor::parse(&payload[..7]).unwrap().size, None);
}

#[test]
fn h264_key_frames_are_found_in_each_packetization() {
    assert!(h264::starts_keyframe(&[0x67, 0x42]), "SPS");
    assert!(h264::starts_keyframe(&[0x65, 0x88]), "IDR");
    assert!(!h264::starts_keyframe(&[0x41, 0x9a]), "slice");
    assert!(!h264::starts_keyframe(&[0x68, 0xce]), "PPS");
    assert!(h264::starts_keyframe(&[0x78, 0, 1, 0x09, 0, 2, 0x67, 0x42, 0, 1, 0x68]), "STAP-A");
    assert!(!h264::starts_keyframe(&[0x78, 0, 1, 0x09, 0, 9, 0x67]), "STAP-A, cut off");
    assert!(!h264::starts_keyframe(&[0x78, 0, 0, 0, 2, 0x41, 0x9a]), "STAP-A, empty unit");
    assert!(h264::starts_keyframe(&[0x7c, 0x85, 0x88]), "FU-A, first");
    assert!(!h264::starts_keyframe(&[0x7c, 0x05, 0x88]), "FU-A, later");
    assert!(!h264::starts_keyframe(&[0x7c, 0x81, 0x88]), "FU-A, slice");
    assert!(!h264::starts_keyframe(&[0x7c]) && !h264::starts_keyframe(&[]));
}

#[test]
fn vp9_and_av1_key_frames_are_found() {
    // I L B, 15-bit picture id, spatial layer 0 and 1.
    assert!(vp9::starts_keyframe(&[0xa8, 0x81, 0x02, 0x00, 7]));
    assert!(!vp9::starts_keyframe(&[0xa8, 0x81, 0x02, 0x02, 7]), "upper layer");
    assert!(!vp9::starts_keyframe(&[0xe8, 0x81, 0x02, 0x00, 7]), "predicted");
    assert!(!vp9::starts_keyframe(&[0xa0, 0x81, 0x02, 0x00, 7]), "not the first packet");
    assert!(vp9::starts_keyframe(&[0x88, 0x01]), "7-bit picture id");
    assert!(vp9::starts_keyframe(&[0x08]));
    assert!(!vp9::starts_keyframe(&[0xa8, 0x81, 0x02]), "cut off");
    assert!(av1::starts_keyframe(&[0x18, 0x0a]));
    assert!(!av1::starts_keyframe(&[0x10, 0x32]), "no new sequence");
    assert!(!av1::starts_keyframe(&[0x98, 0x32]), "continues an element");
    assert!(!av1::starts_keyframe(&[]));
}

#[test]
fn the_primary_block_of_red_is_the_last() {
    // Two redundant blocks of 3 and 2 bytes.
    let payload = [0x80 | 111, 0x0f, 0x00, 3, 0x80 | 111, 0x07, 0x80, 2, 63, 1, 1, 1, 2, 2, 9, 9, 9, 9];
    assert_eq!(red::primary(&payload), Some((63, 14..18)));
    assert_eq!(red::primary(&[111, 5, 6]), Some((111, 1..3)));
    assert_eq!(red::primary(&[111]), Some((111, 1..1)));
    assert_eq!(red::primary(&payload[..13]), None, "shorter than its redundant blocks");
    assert_eq!(red::primary(&payload[..7]), None);
    assert_eq!(red::primary(&[]), None);
}

#[test]
fn a_retransmission_becomes_the_packet_it_repeats() {
    let original = packet(&[(4, vec![7; 5])], b"frame data");
    let header = Header::parse(&original).unwrap();
    let mut repeat = original[..header.header_len].to_vec();
    repeat[1] = 97;
    repeat[2..4].copy_from_slice(&[0, 1]);
    repeat[8..12].copy_from_slice(&[1, 1, 1, 1]);
    let mut osn = [0; 2];
    assert_eq!(rtx::write_original_sequence(&mut osn, header.sequence), Some(2));
    repeat.extend(osn);
    repeat.extend(b"frame data");
    let repeat_header = Header::parse(&repeat).unwrap();
    assert_eq!(rtx::original_sequence(repeat_header.payload(&repeat).unwrap()), Some(0xfffe));
    // The marker of the repeat is kept; it is the original's.
    repeat[1] |= 0x80;
    assert_eq!(rtx::restore(&mut repeat, &repeat_header, 111, 0xcafe_f00d), Some(0xfffe));
    assert_eq!(&repeat[rtx::OSN_LEN..], &original[..]);

    let mut probe = packet(&[], &[0, 0, 3]);
    probe[0] |= 0x20;
    let before = probe.clone();
    assert_eq!(rtx::restore(&mut probe.clone(), &Header::parse(&probe).unwrap(), 1, 1), None);
    assert_eq!(probe, before);
}

#[test]
fn numbers_around_the_wrap_are_ordered() {
    assert!(sequence::is_newer(0, 65_535) && !sequence::is_newer(65_535, 0) && !sequence::is_newer(4, 4));
    assert_eq!(sequence::distance(2, 65_534), 4);
    assert!(sequence::is_newer_timestamp(5, u32::MAX - 5));
    assert_eq!(sequence::timestamp_distance(u32::MAX, 1), -2);
    let mut unwrapper = Unwrapper::new();
    assert_eq!(unwrapper.highest(), None);
    assert_eq!(unwrapper.extend(2), Unwrapper::BASE + 2);
    assert_eq!(unwrapper.extend(65_535), Unwrapper::BASE - 1, "reordered before the first");
    assert_eq!(unwrapper.highest(), Some(Unwrapper::BASE + 2));
}

/// A VP8 descriptor of any shape, as bytes, with what it says.
fn vp8_payload() -> impl Strategy<Value = (Vec<u8>, usize, Option<u16>, bool, Option<u8>)> {
    (
        any::<bool>(),
        prop::option::of((any::<bool>(), any::<u16>())),
        prop::option::of(any::<u8>()),
        prop::option::of((1_u8..=3, any::<u8>())),
        0_u8..16,
        prop::collection::vec(any::<u8>(), 0..20),
    )
        .prop_map(|(extended, picture, tl0, layering, low, data)| {
            let mut payload = vec![low | if extended { 0x80 } else { 0 }];
            let mut said = (None, false, None);
            if extended {
                let flags = u8::from(picture.is_some()) << 7 | u8::from(tl0.is_some()) << 6;
                payload.push(flags | layering.map_or(0, |(present, _)| present << 4));
                match picture {
                    Some((true, id)) => {
                        payload.extend((id | 0x8000).to_be_bytes());
                        said.0 = Some(id & 0x7fff);
                        said.1 = true;
                    }
                    Some((false, id)) => {
                        payload.push((id & 0x7f) as u8);
                        said.0 = Some(id & 0x7f);
                    }
                    None => {}
                }
                payload.extend(tl0);
                payload.extend(layering.map(|(_, byte)| byte));
                said.2 = tl0;
            }
            let descriptor = payload.len();
            payload.extend(data);
            (payload, descriptor, said.0, said.1, said.2)
        })
}

proptest! {
    #[test]
    fn vp8_descriptors_are_rewritten_in_place(
        (payload, descriptor, picture_id, long, tl0) in vp8_payload(),
        new_id in any::<u16>(),
        new_tl0 in any::<u8>(),
    ) {
        let before = vp8::Descriptor::parse(&payload).unwrap();
        prop_assert_eq!(before.len, descriptor);
        prop_assert_eq!(before.picture_id, picture_id);
        prop_assert_eq!(before.picture_id_15bit, long);
        prop_assert_eq!(before.tl0_pic_idx, tl0);
        let mut rewritten = payload.clone();
        vp8::rewrite(&mut rewritten, &before, new_id, new_tl0);
        let mask = if long { 0x7fff } else { 0x7f };
        let after = vp8::Descriptor::parse(&rewritten).unwrap();
        let expected = vp8::Descriptor {
            picture_id: picture_id.map(|_| new_id & mask),
            tl0_pic_idx: tl0.map(|_| new_tl0),
            ..before
        };
        prop_assert_eq!(after, expected);
        prop_assert_eq!(&rewritten[before.len..], &payload[before.len..]);
        // And back again: nothing else was touched.
        vp8::rewrite(&mut rewritten, &after, picture_id.unwrap_or(0), tl0.unwrap_or(0));
        prop_assert_eq!(rewritten, payload);
    }

    /// Any elements, one-byte or not, come back as they went in.
    #[test]
    fn extension_blocks_are_read_as_written(
        written in prop::collection::vec(
            (1_u8..=16, prop::collection::vec(any::<u8>(), 0..19)), 0..14)
    ) {
        let packet = packet(&written, b"payload");
        let header = Header::parse(&packet).unwrap();
        prop_assert_eq!(header.header_len % 4, 0);
        prop_assert_eq!(header.payload(&packet), Some(&b"payload"[..]));
        let one_byte = written.iter().all(|(id, data)| *id <= 14 && (1..=16).contains(&data.len()));
        if let Some(block) = header.extension {
            prop_assert_eq!(block.profile, if one_byte { 0xbede } else { 0x1000 });
        }
        prop_assert_eq!(elements(&packet), written);
    }

    /// Our block is `rtc-rtp`'s, and our view of a packet is the packet it marshalled.
    #[test]
    fn headers_agree_with_the_oracle(
        (marker, payload_type, sequence) in (any::<bool>(), 0_u8..128, any::<u16>()),
        (timestamp, ssrc) in (any::<u32>(), any::<u32>()),
        csrc in prop::collection::vec(any::<u32>(), 0..=15),
        extensions in prop::collection::btree_map(1_u8..=14, prop::collection::vec(any::<u8>(), 1..=16), 0..6),
        payload in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let mut header = rtc_rtp::header::Header {
            version: 2, marker, payload_type, sequence_number: sequence, timestamp, ssrc, csrc,
            ..Default::default()
        };
        for (id, data) in &extensions {
            header.set_extension(*id, Bytes::from(data.clone())).unwrap();
        }
        let bytes = OraclePacket { header, payload: Bytes::from(payload.clone()) }.marshal().unwrap();
        let ours = Header::parse(&bytes).unwrap();
        prop_assert_eq!(
            (ours.marker, ours.payload_type, ours.sequence, ours.timestamp, ours.ssrc),
            (marker, payload_type, sequence, timestamp, ssrc)
        );
        prop_assert_eq!(ours.payload(&bytes), Some(&payload[..]));
        let read: BTreeMap<u8, Vec<u8>> =
            ours.extensions(&bytes).map(|element| (element.id, element.data.to_vec())).collect();
        prop_assert_eq!(&read, &extensions);

        let list: Vec<_> = extensions.into_iter().collect();
        let packet = packet(&list, &payload);
        let theirs = OraclePacket::unmarshal(&mut &packet[..]).unwrap();
        prop_assert_eq!(&theirs.payload[..], &payload[..]);
        for (id, data) in list {
            prop_assert_eq!(theirs.header.get_extension(id).map(|data| data.to_vec()), Some(data));
        }
    }

    /// Any walk within half a cycle of the highest is followed exactly.
    #[test]
    fn unwrapping_follows_any_walk(
        start in any::<u16>(),
        steps in prop::collection::vec(-32_000_i64..32_000, 1..200),
    ) {
        let mut unwrapper = Unwrapper::new();
        let mut highest = Unwrapper::BASE as i64 + i64::from(start);
        prop_assert_eq!(unwrapper.extend(start), highest as u64);
        for step in steps {
            let expected = (highest + step).max(0);
            prop_assert_eq!(unwrapper.peek(expected as u16), expected as u64);
            prop_assert_eq!(unwrapper.extend(expected as u16), expected as u64);
            highest = highest.max(expected);
            prop_assert_eq!(unwrapper.highest(), Some(highest as u64));
        }
    }

    #[test]
    fn no_bytes_make_a_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), id in any::<u8>()) {
        let mut forced = bytes.clone();
        if let Some(first) = forced.first_mut() {
            *first = 0x90 | (*first & 0x2f);
        }
        for packet in [&bytes, &forced] {
            is_rtcp(packet);
            if let Some(header) = Header::parse(packet) {
                prop_assert!(header.header_len <= packet.len());
                prop_assert!(header.payload_end(packet).is_none_or(|end| end <= packet.len()));
                prop_assert!(header.extensions(packet).count() <= packet.len());
                rtx::restore(&mut packet.clone(), &header, id, 7);
                // The header of one packet on the bytes of another.
                rtx::restore(&mut packet[..packet.len() / 2].to_vec(), &header, id, 7);
                header.payload_end(&packet[..packet.len() / 2]);
                header.extensions(&packet[..packet.len() / 2]).count();
            }
        }
        if let Some(descriptor) = vp8::Descriptor::parse(&bytes) {
            prop_assert!(descriptor.len <= bytes.len());
            vp8::rewrite(&mut bytes.clone(), &descriptor, 9, id);
            vp8::rewrite(&mut bytes[..1].to_vec(), &descriptor, 9, id);
        }
        if let Some((_, range)) = red::primary(&bytes) {
            prop_assert!(bytes.get(range).is_some());
        }
        vp9::starts_keyframe(&bytes);
        av1::starts_keyframe(&bytes);
        h264::starts_keyframe(&bytes);
        AudioLevel::parse(&bytes);
        rtx::original_sequence(&bytes);
        rtcp::parse(&bytes).count();
    }
}

/// The audio level as `rtc-rtp` writes it.
#[test]
fn audio_levels_agree_with_the_oracle() {
    let theirs = rtc_rtp::extension::audio_level_extension::AudioLevelExtension { level: 42, voice: true };
    let bytes = HeaderExtension::AudioLevel(theirs).marshal().unwrap();
    assert_eq!(theirs.marshal_size(), bytes.len());
    assert_eq!(AudioLevel::parse(&bytes), Some(AudioLevel { voice: true, level: 42 }));
}

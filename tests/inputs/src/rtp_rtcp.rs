//! Any bytes as a decrypted RTP or RTCP packet, read to the last iterator and rewritten as forwarding does.

use sfu::rtp::{Header, av1, extension, h264, is_rtcp, red, rtcp, rtx, vp8, vp9};

pub(crate) fn run(packet: &[u8]) {
    if is_rtcp(packet) {
        read_rtcp(packet);
    }
    let Some(header) = Header::parse(packet) else { return };
    assert!(header.header_len <= packet.len());
    for element in header.extensions(packet) {
        assert_eq!(packet.get(element.start..element.start + element.data.len()), Some(element.data));
        let _ = (extension::AudioLevel::parse(element.data), extension::transport_sequence(element.data));
    }
    if let Some(payload) = header.payload(packet) {
        read_payload(payload);
    }

    let mut repeated = packet.to_vec();
    if let Some(sequence) = rtx::restore(&mut repeated, &header, 96, 7) {
        let original = &repeated[rtx::OSN_LEN..];
        let restored = Header::parse(original).expect("a restored packet is a packet");
        assert_eq!((restored.sequence, restored.payload_type, restored.ssrc), (sequence, 96, 7));
        assert_eq!((restored.timestamp, restored.marker), (header.timestamp, header.marker));
    } else {
        assert_eq!(repeated, packet, "a refused packet is left alone");
    }
}

fn read_payload(payload: &[u8]) {
    let _ = (av1::starts_keyframe(payload), h264::starts_keyframe(payload), vp9::starts_keyframe(payload));
    if let Some((_, range)) = red::primary(payload) {
        assert!(range.end <= payload.len() && range.start <= range.end);
    }
    let Some(descriptor) = vp8::Descriptor::parse(payload) else { return };
    let mut rewritten = payload.to_vec();
    vp8::rewrite(&mut rewritten, &descriptor, 0x1234, 0x56);
    let again = vp8::Descriptor::parse(&rewritten).expect("a rewritten descriptor can be read");
    let mask = if descriptor.picture_id_15bit { 0x7fff } else { 0x7f };
    assert_eq!(again.picture_id, descriptor.picture_id.map(|_| 0x1234 & mask));
    assert_eq!(again.tl0_pic_idx, descriptor.tl0_pic_idx.map(|_| 0x56));
    assert_eq!((again.len, again.keyframe, again.tid), (descriptor.len, descriptor.keyframe, descriptor.tid));
    assert_eq!(rewritten[descriptor.len..], payload[descriptor.len..]);
}

fn read_rtcp(compound: &[u8]) {
    for packet in rtcp::parse(compound) {
        match packet {
            rtcp::Packet::SenderReport { reports, .. } | rtcp::Packet::ReceiverReport { reports, .. } => {
                for report in reports {
                    let _ = report.round_trip(0x8000_0000);
                }
            }
            rtcp::Packet::Bye { ssrcs } | rtcp::Packet::Remb { ssrcs, .. } => drop(ssrcs.collect::<Vec<_>>()),
            rtcp::Packet::Nack { sequences, .. } => assert!(sequences.count() <= 17 * compound.len() / 4),
            rtcp::Packet::Fir { requests, .. } => drop(requests.collect::<Vec<_>>()),
            rtcp::Packet::TransportFeedback(feedback) => {
                let reported = feedback.arrivals.clone().count();
                assert!(reported <= usize::from(feedback.status_count));
            }
            rtcp::Packet::ExtendedReport { blocks, .. } => {
                for block in blocks {
                    if let rtcp::ExtendedBlock::Dlrr { reports } = block {
                        for report in reports {
                            let _ = report.round_trip(0x8000_0000);
                        }
                    }
                }
            }
            rtcp::Packet::Pli { .. } | rtcp::Packet::Other { .. } => {}
        }
    }
}

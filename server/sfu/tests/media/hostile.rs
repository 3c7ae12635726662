//! Whatever else arrives: nothing panics, nothing changes, nothing is amplified.

use crate::harness::ice::{Credentials, binding_request};
use crate::harness::network::Class;
use crate::harness::peer::Client;
use crate::harness::random::Random;
use crate::harness::send::Source;
use crate::harness::world::{Participant, World};
use bytes::Bytes;
use rtc_rtp::header::Header;
use rtc_rtp::packet::Packet;
use sfu::{Command, Event, RoomId};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const ROOM: RoomId = RoomId(1);

/// Source and bytes.
type Captured = Vec<(SocketAddr, Vec<u8>)>;

fn stranger() -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 66], 6666))
}

/// A call of two in full flight, and everything that went up in its third second.
fn call(seed: u64) -> (World, Vec<Participant>, Captured) {
    let mut world = World::new(seed);
    let people = world.call(ROOM, &[Client::chromium(), Client::firefox()], &Source::simulcast());
    world.run_for(Duration::from_secs(2));
    world.captured = Some(Vec::new());
    world.run_for(Duration::from_secs(3));
    let captured = world.captured.take().expect("a capture");
    // All of it has arrived.
    world.run_for(Duration::from_millis(100));
    (world, people, captured)
}

/// The call goes on: nobody left, every decoder is content, frames keep coming.
fn goes_on(world: &mut World, people: &[Participant], since: Instant) {
    world.run_for(Duration::from_secs(2));
    let lost = |event: &Event| matches!(event, Event::Disconnected { .. } | Event::Silent { .. });
    assert_eq!(world.count(lost), 0, "{:#?}", world.story());
    for (to, of) in [(people[0], people[1]), (people[1], people[0])] {
        let frames = &world.reception(to.handle, of.video).frames;
        let later: Vec<_> = frames.iter().filter(|frame| frame.at > since).collect();
        assert!(later.len() > 30);
        assert!(later.windows(2).all(|pair| pair[1].stamp.number == pair[0].stamp.number + 1));
    }
    world.assert_flawless();
}

fn media_sent(world: &World) -> usize {
    world.ledger.rtp().count()
}

#[test]
fn replayed_media_is_not_forwarded() {
    let (mut world, people, captured) = call(1);
    let since = world.now;
    let events = world.events.len();
    let media = media_sent(&world);
    let mut replayed = 0;
    for (source, bytes) in &captured {
        if matches!(Class::of(bytes), Class::Rtp | Class::Rtcp) {
            let answered = world.inject(*source, bytes);
            assert!(
                answered.is_empty(),
                "a replayed {:?} is answered: {:?} ({:02x?})",
                Class::of(bytes),
                world.ledger.sent.last(),
                &bytes[..16]
            );
            replayed += 1;
        }
    }
    assert!(replayed > 500);
    assert_eq!(world.events.len(), events);
    assert_eq!(media_sent(&world), media);
    goes_on(&mut world, &people, since);
}

#[test]
fn genuine_packets_from_a_strange_address_are_ignored() {
    let (mut world, people, captured) = call(2);
    let since = world.now;
    let events = world.events.len();
    for (_, bytes) in captured.iter().filter(|(_, bytes)| Class::of(bytes) != Class::Stun) {
        assert!(world.inject(stranger(), bytes).is_empty());
    }
    assert_eq!(world.events.len(), events);
    goes_on(&mut world, &people, since);
    assert!(world.ledger.sent.iter().all(|sent| sent.to != stranger()));
}

/// One person's genuine packets under the other one's address: each address has its own keys.
#[test]
fn packets_under_somebody_elses_address_are_ignored() {
    let (mut world, people, captured) = call(3);
    let since = world.now;
    let addresses = [people[0], people[1]].map(|person| world[person.handle].address);
    for (source, bytes) in captured.iter().filter(|(_, bytes)| Class::of(bytes) != Class::Stun) {
        let other = if *source == addresses[0] { addresses[1] } else { addresses[0] };
        assert!(world.inject(other, bytes).is_empty());
    }
    // A check signed by one for the other's address does not take it over either.
    let remote = world[people[0].handle].ice.remote.clone().expect("credentials");
    let local = world[people[0].handle].ice.local.ufrag.clone();
    let request = binding_request([1; 12], &local, &remote, 1, true, world.provider().crypto());
    world.inject(addresses[1], &request);
    goes_on(&mut world, &people, since);
}

#[test]
fn forged_media_is_not_forwarded_and_harms_no_replay_window() {
    let (mut world, people, captured) = call(4);
    let since = world.now;
    let media = media_sent(&world);
    let mut random = Random::new(99);
    for (source, bytes) in &captured {
        if !matches!(Class::of(bytes), Class::Rtp | Class::Rtcp) {
            continue;
        }
        // Far ahead in number, another SSRC, or any bit of it changed.
        let mut ahead = bytes.clone();
        ahead[2] = ahead[2].wrapping_add(0x40);
        let mut other = bytes.clone();
        other[9] ^= 0x55;
        let mut flipped = bytes.clone();
        let at = random.below(flipped.len() as u64) as usize;
        flipped[at] ^= 1 << random.below(8);
        for forged in [ahead, other, flipped] {
            if matches!(Class::of(&forged), Class::Rtp | Class::Rtcp) {
                assert!(world.inject(*source, &forged).is_empty());
            }
        }
    }
    assert_eq!(media_sent(&world), media);
    goes_on(&mut world, &people, since);
}

#[test]
fn every_truncation_of_every_kind_of_datagram_is_survived() {
    let mut world = World::new(5);
    world.captured = Some(Vec::new());
    let people = world.call(ROOM, &[Client::chromium(), Client::firefox()], &Source::simulcast());
    world.run_for(Duration::from_secs(3));
    let captured = world.captured.take().expect("a capture");
    let since = world.now;
    // Some of each class, the handshake among them.
    for class in [Class::Stun, Class::Dtls, Class::Rtp, Class::Rtcp] {
        let of_class: Vec<_> =
            captured.iter().filter(|(_, bytes)| Class::of(bytes) == class).take(25).collect();
        assert!(of_class.len() >= 4, "{class:?}");
        for (source, bytes) in of_class {
            for length in 0..bytes.len() {
                assert!(world.inject(*source, &bytes[..length]).is_empty(), "{class:?} cut to {length}");
                assert!(world.inject(stranger(), &bytes[..length]).is_empty());
            }
        }
    }
    goes_on(&mut world, &people, since);
}

#[test]
fn noise_of_every_class_is_survived_and_not_answered() {
    let (mut world, people, _) = call(6);
    let since = world.now;
    let mut random = Random::new(7);
    let known = world[people[0].handle].address;
    let first_bytes = [0u8, 1, 2, 3, 19, 20, 21, 22, 23, 25, 63, 64, 79, 127, 128, 144, 191, 192, 255];
    for round in 0..20_000 {
        let mut bytes = vec![0; random.below(220) as usize];
        random.fill(&mut bytes);
        if let Some(first) = bytes.first_mut() {
            *first = first_bytes[round % first_bytes.len()];
        }
        if bytes.len() > 8 && bytes[0] < 4 {
            bytes[4..8].copy_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
            let length = ((bytes.len() - 20.min(bytes.len())) as u16).to_be_bytes();
            bytes[2..4].copy_from_slice(&length);
        }
        let source = if round % 2 == 0 { known } else { stranger() };
        assert!(world.inject(source, &bytes).is_empty(), "noise {bytes:02x?}");
    }
    goes_on(&mut world, &people, since);
}

#[test]
fn stun_without_or_with_wrong_proof_is_not_answered_with_more() {
    let (mut world, people, _) = call(7);
    let since = world.now;
    let peer = &world[people[0].handle];
    let remote = peer.ice.remote.clone().expect("credentials");
    let local = peer.ice.local.ufrag.clone();
    let good = binding_request([3; 12], &local, &remote, 1, true, world.provider().crypto());
    let mut attempts = Vec::new();
    for at in 0..good.len() {
        let mut changed = good.clone();
        changed[at] ^= 0x01;
        attempts.push(changed);
    }
    let unsigned = good[..good.len() - 32].to_vec();
    attempts.push(unsigned);
    for ufrag in ["", "x", "zzzzzzzz"] {
        let guess = Credentials { ufrag: ufrag.to_owned(), password: remote.password.clone() };
        attempts.push(binding_request([4; 12], &local, &guess, 1, true, world.provider().crypto()));
    }
    for attempt in &attempts {
        let answered: usize = world.inject(stranger(), attempt).iter().map(|(_, length)| length).sum();
        // A changed transaction id or fingerprint may still verify; anything else must not.
        assert!(answered <= attempt.len(), "amplified");
    }
    let media = world.ledger.sent.iter().filter(|sent| sent.to == stranger() && sent.class != Class::Stun);
    assert_eq!(media.count(), 0);
    goes_on(&mut world, &people, since);
}

/// Nobody starts a handshake from an address that has not proved it knows the ICE password.
#[test]
fn dtls_from_strangers_gets_no_answer() {
    let mut world = World::new(8);
    world.captured = Some(Vec::new());
    let handle = world.join(ROOM, Client::chromium());
    world.connect(&[handle]);
    let captured = world.captured.take().expect("a capture");
    let events = world.events.len();
    for (_, bytes) in captured.iter().filter(|(_, bytes)| Class::of(bytes) == Class::Dtls) {
        assert!(world.inject(stranger(), bytes).is_empty());
    }
    assert_eq!(world.events.len(), events);
}

#[test]
fn junk_in_the_middle_of_a_handshake_does_not_stop_it() {
    let mut world = World::new(9);
    let handle = world.join(ROOM, Client::chromium());
    let address = world[handle].address;
    let mut random = Random::new(10);
    while !world.connected(handle) {
        world.run_for(Duration::from_millis(5));
        assert!(world.elapsed() < Duration::from_secs(2), "{:#?}", world.story());
        for content_type in [20u8, 21, 22, 23] {
            let mut bytes = vec![0; 40 + random.below(100) as usize];
            random.fill(&mut bytes);
            bytes[0] = content_type;
            bytes[1..3].copy_from_slice(&[0xfe, 0xfd]);
            let length = ((bytes.len() - 13) as u16).to_be_bytes();
            bytes[3..11].copy_from_slice(&[0; 8]);
            bytes[11..13].copy_from_slice(&length);
            world.inject(address, &bytes);
        }
    }
    world.run_for(Duration::from_secs(1));
    assert!(world[handle].session.is_some());
}

/// Epoch 0 is not authenticated: what anybody can forge under a known address ends nothing and is not amplified.
#[test]
fn forged_handshake_records_do_not_end_an_association() {
    let mut world = World::new(15);
    let handle = world.join(ROOM, Client::chromium());
    world.connect(&[handle]);
    world.run_for(Duration::from_secs(1));
    let address = world[handle].address;
    let (mut sent, mut received) = (0, 0);
    for number in 0..400u32 {
        for (content_type, body) in [
            (22u8, vec![1, 0, 0, 4, 0, number as u8, 0, 0, 0, 0, 0, 4, 9, 9, 9, 9]),
            (22, vec![20, 0, 0, 12, 0, 9, 0, 0, 0, 0, 0, 12, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
            (21, vec![2, 40]),
            (21, vec![1, 0]),
            (20, vec![1]),
            (23, vec![0; 20]),
        ] {
            let mut bytes = vec![content_type, 0xfe, 0xfd, 0, 0, 0, 0];
            bytes.extend((1000 + number).to_be_bytes());
            bytes.extend((body.len() as u16).to_be_bytes());
            bytes.extend(body);
            sent += bytes.len();
            received += world.inject(address, &bytes).iter().map(|(_, length)| length).sum::<usize>();
        }
    }
    assert!(received < sent, "{received} bytes for {sent}");
    let payload = Bytes::from_static(b"still here");
    let to = vec![world[handle].id];
    world.command(Command::SendData { to, channel: sfu::DataChannel::Reliable, payload });
    world.run_for(Duration::from_secs(1));
    assert_eq!(world[handle].channels.as_ref().expect("channels").received.len(), 1);
    assert_eq!(world.count(|event| matches!(event, Event::Disconnected { .. })), 0);
}

/// A client with keys may send what it likes: only its own media suffers.
#[test]
fn malformed_packets_of_an_authenticated_client_hurt_nobody_else() {
    let (mut world, people, _) = call(11);
    let since = world.now;
    let mut random = Random::new(12);
    let attacker = world.join(ROOM, Client::chromium());
    world.connect(&[attacker]);
    world.publish(attacker, Source::simulcast());
    world.run_for(Duration::from_millis(500));
    let victims: Vec<u32> = [people[0].audio, people[0].video]
        .iter()
        .flat_map(|track| world[people[1].handle].ssrcs_of(*track))
        .chain([world[people[0].handle].publications[1].encodings[0].ssrc])
        .collect();
    for round in 0..4_000u32 {
        world.with(attacker, |peer, now| {
            let own = peer.publications[0].encodings[0].ssrc;
            let ssrc = match round % 4 {
                0 => own,
                1 => random.next() as u32,
                _ => victims[random.below(victims.len() as u64) as usize],
            };
            let mut payload = vec![0; random.below(60) as usize];
            random.fill(&mut payload);
            if round % 2 == 0 {
                let mut header = Header {
                    version: 2,
                    padding: random.below(4) == 0,
                    marker: random.below(2) == 0,
                    payload_type: [96, 97, 111, 63, 103, 127][random.below(6) as usize],
                    sequence_number: random.next() as u16,
                    timestamp: random.next() as u32,
                    ssrc,
                    csrc: (0..random.below(4) as u32).collect(),
                    ..Header::default()
                };
                for id in 1..=(random.below(14) as u8) {
                    let mut value = vec![0; 1 + random.below(15) as usize];
                    random.fill(&mut value);
                    header.set_extension(id, Bytes::from(value)).expect("an extension");
                }
                payload.push(random.next() as u8);
                let mut packet = Packet { header, payload: Bytes::from(payload) };
                // The payload's last byte is the length of the padding, whether that fits or not.
                packet.header.padding = false;
                let mut plain = rtc_shared::marshal::Marshal::marshal(&packet).expect("a packet").to_vec();
                if random.below(3) == 0 {
                    plain[0] |= 0x20;
                }
                if let Ok(sealed) = peer.session.as_mut().expect("keys").outgoing.encrypt_rtp(&plain) {
                    peer.send_raw(sealed.to_vec());
                }
            } else {
                let packet_type = [200u8, 201, 202, 203, 204, 205, 206, 207][random.below(8) as usize];
                let mut plain = vec![0x80 | random.below(32) as u8, packet_type];
                let words = (payload.len() / 4 + 1) as u16;
                let lie = if random.below(3) == 0 { random.next() as u16 } else { words };
                plain.extend(lie.to_be_bytes());
                plain.extend(ssrc.to_be_bytes());
                plain.extend(&payload);
                if let Ok(sealed) = peer.session.as_mut().expect("keys").outgoing.encrypt_rtcp(&plain) {
                    peer.send_raw(sealed.to_vec());
                }
            }
            peer.handle_timeout(now);
        });
        if round % 20 == 0 {
            world.run_for(Duration::from_millis(10));
        }
    }
    goes_on(&mut world, &people, since);
}

#[test]
fn sctp_junk_inside_dtls_hurts_nobody() {
    let (mut world, people, _) = call(13);
    let since = world.now;
    let attacker = world.join(ROOM, Client::chromium());
    world.connect(&[attacker]);
    world.run_for(Duration::from_secs(1));
    let mut random = Random::new(14);
    for round in 0..3_000u32 {
        world.with(attacker, |peer, now| {
            let mut junk = vec![0; random.below(120) as usize];
            random.fill(&mut junk);
            if round % 2 == 0 && junk.len() >= 16 {
                // A plausible common header and chunk header, with a right checksum.
                junk[..4].copy_from_slice(&[0x13, 0x88, 0x13, 0x88]);
                junk[12] = (round % 16) as u8;
                let chunk_length = ((junk.len() - 12) as u16).to_be_bytes();
                junk[14..16].copy_from_slice(&chunk_length);
                junk[8..12].fill(0);
                let checksum = crc32c(&junk).to_le_bytes();
                junk[8..12].copy_from_slice(&checksum);
            }
            peer.dtls.write(now, &junk);
            peer.handle_timeout(now);
            while let Some(datagram) = peer.dtls.poll_transmit() {
                peer.send_raw(datagram.to_vec());
            }
        });
        if round % 50 == 0 {
            world.run_for(Duration::from_millis(10));
        }
    }
    world.run_for(Duration::from_secs(1));
    let own = world[attacker].id;
    world.command(Command::Disconnect { peer: own });
    goes_on(&mut world, &people, since);
}

/// RFC 9260 appendix A.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |mut crc, byte| {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & 0u32.wrapping_sub(crc & 1));
        }
        crc
    })
}

//! The path moves under a call: new addresses, new ICE credentials.

use crate::harness::ice::{Credentials, binding_request};
use crate::harness::network::Class;
use crate::harness::peer::Client;
use crate::harness::send::Source;
use crate::harness::world::{Participant, World};
use sfu::{Event, RoomId};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const ROOM: RoomId = RoomId(1);

fn pair(seed: u64) -> (World, Participant, Participant) {
    let mut world = World::new(seed);
    let people = world.call(ROOM, &[Client::chromium(), Client::chromium()], &Source::vp8());
    world.run_for(Duration::from_secs(2));
    (world, people[0], people[1])
}

fn frames_between(world: &World, to: Participant, of: Participant, from: Instant, until: Instant) -> usize {
    let frames = &world.reception(to.handle, of.video).frames;
    frames.iter().filter(|frame| frame.at > from && frame.at <= until).count()
}

const ELSEWHERE: ([u8; 4], u16) = ([203, 0, 113, 77], 40_000);

#[test]
fn a_client_that_moves_is_followed_as_soon_as_it_checks_from_there() {
    let (mut world, mover, other) = pair(1);
    let new: SocketAddr = ELSEWHERE.into();
    let old = world[mover.handle].address;
    let moved = world.now;
    world.move_peer(mover.handle, new);
    world.run_for(Duration::from_secs(3));
    let last_to_old = world.ledger.sent.iter().filter(|sent| sent.to == old).map(|sent| sent.at).max();
    assert!(last_to_old.expect("packets before") < moved + Duration::from_millis(150));
    let settled = moved + Duration::from_millis(500);
    assert!(frames_between(&world, mover, other, settled, world.now) > 45);
    assert!(frames_between(&world, other, mover, settled, world.now) > 45);
    assert_eq!(world.count(|event| matches!(event, Event::Disconnected { .. } | Event::Silent { .. })), 0);
    world.assert_flawless();
}

/// The NAT gives the same socket another port: media comes from there first, a check only with the next consent.
#[test]
fn media_from_another_port_of_the_host_is_followed_at_once() {
    let (mut world, mover, other) = pair(2);
    // Out of the fast checks at the start.
    world.run_for(Duration::from_secs(4));
    let old = world[mover.handle].address;
    let new = SocketAddr::new(old.ip(), old.port() + 1);
    let rebound = world.now;
    world.rebind(mover.handle, new);
    world.run_for(Duration::from_secs(6));
    let first = world.ledger.sent.iter().find(|sent| sent.to == new).expect("followed");
    let round_trip = Duration::from_millis(40);
    assert!(first.at <= rebound + round_trip + Duration::from_millis(60), "{:?}", first.at - rebound);
    let last = world.ledger.sent.iter().rfind(|sent| sent.to == old).expect("packets before");
    assert!(last.at < first.at, "and nothing goes to the old port any more");
    let settled = rebound + Duration::from_millis(600);
    assert!(frames_between(&world, mover, other, settled, world.now) > 100);
    assert!(frames_between(&world, other, mover, settled, world.now) > 100);
    world.assert_flawless();
}

/// Somebody who reads a packet on its way sends it again from another port, before the client's own arrives or after it.
#[test]
fn a_copy_of_a_packet_moves_media_at_most_until_the_next_genuine_one() {
    let (mut world, victim, _) = pair(5);
    world.run_for(Duration::from_secs(1));
    let old = world[victim.handle].address;
    let attacker = SocketAddr::new(old.ip(), old.port() + 1);
    // What the client sends now reaches only the attacker.
    world.line(victim.handle).lose_up = Some(Box::new(|_, bytes| Class::of(bytes) == Class::Rtp));
    world.captured = Some(Vec::new());
    world.run_for(Duration::from_millis(200));
    world.line(victim.handle).lose_up = None;
    let captured = world.captured.take().expect("captured");
    let (_, packet) = captured.iter().rfind(|(from, _)| *from == old).expect("a packet");
    world.inject(attacker, packet);
    let injected = world.now;
    world.run_for(Duration::from_secs(2));
    let to_attacker: Vec<_> = world.ledger.sent.iter().filter(|sent| sent.to == attacker).collect();
    let last = to_attacker.last().expect("it is followed at first: it cannot be told from a NAT");
    assert!(last.at < injected + Duration::from_millis(60), "{:?}", last.at - injected);
    // Again the same packet: an old one moves nothing.
    let before = to_attacker.len();
    world.inject(SocketAddr::new(old.ip(), old.port() + 2), packet);
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.ledger.sent.iter().filter(|sent| sent.to == attacker).count(), before);
    assert_eq!(world.ledger.sent.iter().filter(|sent| sent.to.port() == old.port() + 2).count(), 0);
}

/// A packet from before the change may come late, by another way; it moves media back for a moment only.
#[test]
fn a_late_packet_from_the_old_port_holds_nothing_up() {
    let (mut world, mover, _) = pair(7);
    world.run_for(Duration::from_secs(5));
    let old = world[mover.handle].address;
    let new = SocketAddr::new(old.ip(), old.port() + 1);
    world.rebind(mover.handle, new);
    world.run_for(Duration::from_millis(300));
    world.line(mover.handle).lose_up = Some(Box::new(|_, bytes| Class::of(bytes) == Class::Rtp));
    world.captured = Some(Vec::new());
    world.run_for(Duration::from_millis(40));
    let captured = world.captured.take().expect("captured");
    world.line(mover.handle).lose_up = None;
    let genuine = |(from, bytes): &&(SocketAddr, Vec<u8>)| *from == new && Class::of(bytes) == Class::Rtp;
    let (_, late) = captured.iter().rfind(genuine).expect("a packet");
    world.inject(old, late);
    let injected = world.now;
    world.run_for(Duration::from_secs(1));
    let sent =
        |to: SocketAddr| world.ledger.sent.iter().filter(move |sent| sent.to == to && sent.at > injected);
    assert!(sent(old).count() > 0, "it is believed at first");
    let last = sent(old).next_back().map_or(injected, |sent| sent.at);
    assert!(last < injected + Duration::from_millis(150), "{:?}", last - injected);
    assert!(sent(new).count() > 40, "{} packets", sent(new).count());
}

/// Another host is followed by its check alone: whole networks change with one.
#[test]
fn media_from_another_host_is_not_followed_before_a_check_from_there() {
    let (mut world, mover, other) = pair(2);
    // Out of the fast checks at the start.
    world.run_for(Duration::from_secs(4));
    let new: SocketAddr = ELSEWHERE.into();
    let rebound = world.now;
    world.rebind(mover.handle, new);
    world.run_for(Duration::from_secs(6));
    let first = world.ledger.sent.iter().find(|sent| sent.to == new).expect("followed in the end");
    assert_eq!(first.class, Class::Stun, "the first datagram to the new address answers its check");
    assert!(first.at <= rebound + Duration::from_millis(2600));
    assert!(frames_between(&world, mover, other, rebound + Duration::from_secs(4), world.now) > 35);
    world.assert_flawless();
}

/// What nobody confirms is taken back, and nothing of it is left.
#[test]
fn a_path_that_no_check_confirms_is_given_up() {
    let (mut world, victim, other) = pair(6);
    world.run_for(Duration::from_secs(1));
    let old = world[victim.handle].address;
    let attacker = SocketAddr::new(old.ip(), old.port() + 1);
    // The client falls silent, checks included, just when somebody sends a copy of its last packet.
    world.line(victim.handle).lose_up = Some(Box::new(|_, _| true));
    world.captured = Some(Vec::new());
    world.run_for(Duration::from_millis(200));
    let captured = world.captured.take().expect("captured");
    let copy = captured.iter().rfind(|(from, bytes)| *from == old && Class::of(bytes) == Class::Rtp);
    world.inject(attacker, &copy.expect("a packet").1.clone());
    let injected = world.now;
    world.run_for(Duration::from_secs(14));
    let last = world.ledger.sent.iter().rfind(|sent| sent.to == attacker).expect("followed at first");
    assert!(last.at < injected + Duration::from_secs(11), "{:?}", last.at - injected);
    assert!(frames_between(&world, victim, other, injected + Duration::from_secs(1), world.now) == 0);
}

#[test]
fn a_check_with_the_wrong_password_moves_nothing() {
    let (mut world, victim, _) = pair(3);
    let attacker: SocketAddr = ELSEWHERE.into();
    let remote = world[victim.handle].ice.remote.clone().expect("credentials");
    let local = world[victim.handle].ice.local.ufrag.clone();
    let guesses = [
        Credentials { password: "A".repeat(24), ..remote.clone() },
        Credentials { password: String::new(), ..remote.clone() },
        Credentials { ufrag: "zzzz".to_owned(), ..remote },
    ];
    for guess in guesses {
        let request = binding_request([7; 12], &local, &guess, 1, true, world.provider().crypto());
        let answered = world.inject(attacker, &request);
        let bytes: usize = answered.iter().map(|(_, length)| length).sum();
        assert!(bytes <= request.len(), "no amplification");
    }
    world.run_for(Duration::from_secs(1));
    let strayed =
        world.ledger.sent.iter().filter(|sent| sent.to == attacker && sent.class != Class::Stun).count();
    assert_eq!(strayed, 0);
    world.assert_flawless();
}

/// A check without USE-CANDIDATE (a second interface being probed) is answered and moves nothing.
#[test]
fn a_check_without_nomination_is_answered_but_media_stays() {
    let (mut world, peer, _) = pair(4);
    let probe: SocketAddr = ELSEWHERE.into();
    let remote = world[peer.handle].ice.remote.clone().expect("credentials");
    let local = world[peer.handle].ice.local.ufrag.clone();
    let request = binding_request([8; 12], &local, &remote, 1, false, world.provider().crypto());
    let answered = world.inject(probe, &request);
    assert_eq!(answered.len(), 1);
    assert_eq!(answered[0].0, probe);
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.ledger.sent.iter().filter(|sent| sent.to == probe).count(), 1);
}

#[test]
fn a_client_may_move_to_another_address_family() {
    let (mut world, mover, other) = pair(8);
    world.move_peer(mover.handle, "[2001:db8::7]:4000".parse().expect("an address"));
    let settled = world.now + Duration::from_millis(500);
    world.run_for(Duration::from_secs(2));
    assert!(frames_between(&world, mover, other, settled, world.now) > 25);
    world.assert_flawless();
}

/// A client with many interfaces, or one that wants to fill tables: the path in use is never pushed out.
#[test]
fn many_probed_paths_do_not_push_out_the_one_in_use() {
    let (mut world, peer, other) = pair(9);
    let remote = world[peer.handle].ice.remote.clone().expect("credentials");
    let local = world[peer.handle].ice.local.ufrag.clone();
    for number in 0..100u8 {
        let request = binding_request([number; 12], &local, &remote, 1, false, world.provider().crypto());
        let source = SocketAddr::from(([203, 0, 113, number], 1000));
        assert_eq!(world.inject(source, &request).len(), 1);
    }
    let from = world.now;
    world.run_for(Duration::from_secs(3));
    assert!(frames_between(&world, peer, other, from, world.now) > 55);
    assert!(frames_between(&world, other, peer, from, world.now) > 55);
    world.assert_flawless();
}

#[test]
fn an_ice_restart_interrupts_nothing() {
    let (mut world, restarter, other) = pair(5);
    let before = world[restarter.handle].ice.remote.clone().expect("credentials");
    let restarted = world.now;
    world.with(restarter.handle, |peer, _| peer.restart_ice());
    world.offer(restarter.handle);
    let after = world[restarter.handle].ice.remote.clone().expect("credentials");
    assert_ne!(before.ufrag, after.ufrag, "RFC 8839: both halves change");
    assert_ne!(before.password, after.password);
    world.run_for(Duration::from_secs(5));
    for (to, of) in [(restarter, other), (other, restarter)] {
        assert!(frames_between(&world, to, of, restarted, world.now) > 95, "no frame is missing");
        let frames = &world.reception(to.handle, of.video).frames;
        for pair in frames.windows(2) {
            assert_eq!(pair[1].stamp.number, pair[0].stamp.number + 1);
        }
    }
    assert_eq!(world.count(|event| matches!(event, Event::Connected { .. })), 2, "connected once each");
    assert_eq!(
        world[restarter.handle].sections.len(),
        world[restarter.handle].answer.as_ref().expect("it").sections.len()
    );
    world.assert_flawless();
}

/// Until the first check with the new credentials came, the old ones still prove consent.
#[test]
fn old_credentials_work_during_a_restart() {
    let (mut world, peer, _) = pair(6);
    let old = world[peer.handle].ice.remote.clone().expect("credentials");
    let old_local = world[peer.handle].ice.local.ufrag.clone();
    let address = world[peer.handle].address;
    world.with(peer.handle, |peer, _| peer.restart_ice());
    world.offer(peer.handle);
    let request = binding_request([9; 12], &old_local, &old, 1, false, world.provider().crypto());
    let answered = world.inject(address, &request);
    assert_eq!(answered.len(), 1, "a success response");
    assert!(answered[0].1 > 56, "with XOR-MAPPED-ADDRESS, integrity and fingerprint: not an error");
    world.run_for(Duration::from_secs(2));
    world.assert_flawless();
}

#[test]
fn a_restart_from_a_new_address_brings_a_dark_client_back() {
    let (mut world, mover, other) = pair(7);
    let dark = world.now + Duration::from_secs(6);
    world.line(mover.handle).lose_up = Some(Box::new(move |now, _| now < dark));
    world.line(mover.handle).lose_down = Some(Box::new(move |now, _| now < dark));
    world.run_for(Duration::from_secs(6));
    world.with(mover.handle, |peer, _| peer.restart_ice());
    world.move_peer(mover.handle, ELSEWHERE.into());
    world.offer(mover.handle);
    world.run_for(Duration::from_secs(4));
    let settled = dark + Duration::from_secs(1);
    assert!(frames_between(&world, mover, other, settled, world.now) > 50);
    assert!(frames_between(&world, other, mover, settled, world.now) > 50);
    world.assert_flawless();
}

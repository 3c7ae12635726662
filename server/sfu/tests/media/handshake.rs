//! ICE and DTLS until the first key, and what ends a transport.

use crate::harness::ice::Nomination;
use crate::harness::network::{Class, Path};
use crate::harness::peer::Client;
use crate::harness::secure::DtlsOptions;
use crate::harness::send::Source;
use crate::harness::world::World;
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use sfu::{DisconnectReason, Event, RoomId};
use std::time::Duration;

const ROOM: RoomId = RoomId(1);

fn joined(seed: u64, client: Client) -> World {
    let mut world = World::new(seed);
    let handle = world.join(ROOM, client);
    world.connect(&[handle]);
    world
}

fn profile_for(profiles: Vec<SrtpProtectionProfile>) -> SrtpProtectionProfile {
    let dtls = DtlsOptions { profiles, ..DtlsOptions::chromium() };
    let world = joined(1, Client { dtls, ..Client::chromium() });
    let handle = world.handles().next().expect("a peer");
    world[handle].session.as_ref().expect("keys").profile
}

#[test]
fn gcm_is_answered_wherever_it_stands_in_the_clients_list() {
    use SrtpProtectionProfile::{
        Srtp_Aead_Aes_128_Gcm as Gcm128, Srtp_Aead_Aes_256_Gcm as Gcm256, Srtp_Aes128_Cm_Hmac_Sha1_80 as Cm80,
    };
    assert_eq!(profile_for(vec![Cm80, Gcm256, Gcm128]), Gcm128, "Chromium's order");
    assert_eq!(profile_for(vec![Gcm128, Gcm256, Cm80]), Gcm128, "Firefox's order");
    assert_eq!(profile_for(vec![Cm80, Gcm128]), Gcm128);
    assert_eq!(profile_for(vec![Cm80]), Cm80, "the fallback");
}

/// The server begins: with loss, with either nomination, with data channels and media both ways.
#[test]
fn a_client_that_lets_the_server_begin_is_connected() {
    for nomination in [Nomination::Regular, Nomination::Aggressive] {
        let dtls = DtlsOptions { waits: true, ..DtlsOptions::chromium() };
        let waits = Client { dtls, nomination, ..Client::chromium() };
        let mut world = World::new(12);
        let people = world.call(ROOM, &[waits, Client::firefox()], &Source::vp8());
        let session = world[people[0].handle].session.as_ref().expect("keys");
        assert_eq!(
            session.profile,
            SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
            "AES-CM stands first there"
        );
        world.run_for(Duration::from_secs(3));
        for (one, other) in [(people[0], people[1]), (people[1], people[0])] {
            assert!(world.reception(one.handle, other.video).frames.len() > 40);
            assert!(world.reception(one.handle, other.audio).audio.len() > 100);
        }
        world.assert_flawless();
    }
}

#[test]
fn clients_with_different_ciphers_talk_to_each_other() {
    let mut world = World::new(2);
    let old = Client { dtls: DtlsOptions::cm_only(), ..Client::chromium() };
    let people = world.call(ROOM, &[old, Client::chromium()], &Source::vp8());
    world.run_for(Duration::from_secs(3));
    for (one, other) in [(people[0], people[1]), (people[1], people[0])] {
        assert!(world.reception(one.handle, other.video).frames.len() > 40);
        assert!(world.reception(one.handle, other.audio).audio.len() > 100);
    }
    world.assert_flawless();
}

/// Chromium 156 and Firefox 153 both cut their ClientHello in two (post-quantum key share).
#[test]
fn a_client_hello_in_many_fragments_is_understood() {
    let dtls = DtlsOptions { mtu: 100, ..DtlsOptions::chromium() };
    let world = joined(3, Client { dtls, ..Client::chromium() });
    let handle = world.handles().next().expect("a peer");
    let profile = world[handle].session.as_ref().expect("keys").profile;
    assert_eq!(profile, SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm, "use_srtp in a later fragment counts");
}

#[test]
fn either_way_of_nomination_connects() {
    for nomination in [Nomination::Regular, Nomination::Aggressive] {
        joined(4, Client { nomination, ..Client::chromium() });
    }
}

#[test]
fn a_clean_join_takes_few_round_trips() {
    let world = joined(5, Client::chromium());
    let connected = world.events.iter().find(|(_, event)| matches!(event, Event::Connected { .. }));
    let (at, _) = connected.expect("a connection");
    // One check, then HelloVerify, ServerHello and Finished of DTLS 1.2: four round trips of 20 ms.
    assert!(*at - world.origin <= Duration::from_millis(120), "{:?}", *at - world.origin);
}

#[test]
fn a_lost_server_flight_is_sent_again_within_100_milliseconds() {
    let mut world = World::new(6);
    let handle = world.join(
        ROOM,
        Client {
            // A client that would itself wait a second, as RFC 6347 proposes.
            dtls: DtlsOptions { flight_interval: Duration::from_secs(1), ..DtlsOptions::chromium() },
            ..Client::chromium()
        },
    );
    let mut lost = 0;
    world.line(handle).lose_down = Some(Box::new(move |_, bytes| {
        // The flight with the certificate: the first large DTLS datagrams, once.
        if Class::of(bytes) == Class::Dtls && bytes.len() > 300 && lost < 1 {
            lost += 1;
            return true;
        }
        false
    }));
    world.connect(&[handle]);
    assert!(world.elapsed() < Duration::from_millis(350), "{:?}", world.elapsed());
}

/// The client repeats its ClientHello while the answer is lost again and again: neither side may wait for the other.
#[test]
fn a_repeated_client_hello_does_not_end_the_servers_patience() {
    let mut world = World::new(13);
    let dtls = DtlsOptions { flight_interval: Duration::from_millis(100), ..DtlsOptions::chromium() };
    let handle = world.join(ROOM, Client { dtls, ..Client::chromium() });
    let mut lost = 0;
    world.line(handle).lose_down = Some(Box::new(move |_, bytes| {
        let lose = Class::of(bytes) == Class::Dtls && bytes.len() > 300 && lost < 3;
        lost += usize::from(lose);
        lose
    }));
    world.connect(&[handle]);
    assert!(world.elapsed() < Duration::from_secs(1), "{:?}", world.elapsed());
}

#[test]
fn the_handshake_comes_through_heavy_loss() {
    let mut slowest = Duration::ZERO;
    for seed in 100..130 {
        let mut world = World::new(seed);
        let handle = world.join(ROOM, Client::chromium());
        let line = world.line(handle);
        line.up =
            Path { jitter: Duration::from_millis(20), reordering: 0.1, duplication: 0.1, ..Path::lossy(0.2) };
        line.down = line.up;
        world.connect(&[handle]);
        slowest = slowest.max(world.elapsed());
    }
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
}

#[test]
fn another_certificate_than_the_offers_is_refused() {
    let mut world = World::new(7);
    let handle = world.join(ROOM, Client { wrong_fingerprint: true, ..Client::chromium() });
    let peer = world[handle].id;
    let failed = Event::Disconnected { peer, reason: DisconnectReason::HandshakeFailed };
    let seen = world.run_until(Duration::from_secs(40), |world| world.count(|event| *event == failed) == 1);
    assert!(seen, "{:?}", world.story());
    assert!(!world.connected(handle));
    assert!(world.ledger.rtp().next().is_none());
}

#[test]
fn a_handshake_that_stops_halfway_is_given_up() {
    let mut world = World::new(8);
    let handle = world.join(ROOM, Client::chromium());
    // Only the first flights come through: the client's certificate never does.
    let mut passed = 0;
    world.line(handle).lose_up = Some(Box::new(move |_, bytes| {
        passed += usize::from(Class::of(bytes) == Class::Dtls);
        Class::of(bytes) == Class::Dtls && passed > 2
    }));
    let peer = world[handle].id;
    let failed = Event::Disconnected { peer, reason: DisconnectReason::HandshakeFailed };
    let seen = world.run_until(Duration::from_secs(30), |world| world.count(|event| *event == failed) == 1);
    assert!(seen, "{:?}", world.story());
}

#[test]
fn a_client_that_never_comes_is_given_up() {
    let mut world = World::new(12);
    let handle = world.join(ROOM, Client::chromium());
    world.line(handle).lose_up = Some(Box::new(|_, _| true));
    let peer = world[handle].id;
    let failed = Event::Disconnected { peer, reason: DisconnectReason::HandshakeFailed };
    let seen = world.run_until(Duration::from_secs(70), |world| world.count(|event| *event == failed) == 1);
    assert!(seen, "{:?}", world.story());
    assert!(world.ledger.sent.is_empty(), "nothing is sent to where nothing came from");
}

#[test]
fn close_notify_ends_the_transport_at_once() {
    let mut world = World::new(9);
    let people = world.call(ROOM, &[Client::chromium(), Client::chromium()], &Source::vp8());
    world.run_for(Duration::from_secs(1));
    let peer = world[people[0].handle].id;
    world.with(people[0].handle, |peer, now| {
        peer.close(now);
    });
    let closed = Event::Disconnected { peer, reason: DisconnectReason::ClosedByPeer };
    assert!(world.run_until(Duration::from_millis(50), |world| world.count(|event| *event == closed) == 1));
}

#[test]
fn silence_is_reported_after_three_seconds_and_consent_ends_after_fifteen() {
    let mut world = World::new(10);
    let handle = world.join(ROOM, Client::chromium());
    world.connect(&[handle]);
    let peer = world[handle].id;
    world.run_for(Duration::from_secs(10));
    assert_eq!(
        world.count(|event| *event == Event::Silent { peer }),
        0,
        "a listener with consent checks only"
    );

    let gone = world.now;
    world.with(handle, |peer, _| peer.silent = true);
    assert!(
        world
            .run_until(Duration::from_secs(7), |world| world.count(|event| *event == Event::Silent { peer })
                == 1)
    );
    let after = world.now - gone;
    assert!(after <= Duration::from_millis(3100), "{after:?}");

    let expired = Event::Disconnected { peer, reason: DisconnectReason::ConsentExpired };
    assert!(world.run_until(Duration::from_secs(40), |world| world.count(|event| *event == expired) == 1));
    let after = world.now - gone;
    assert!((Duration::from_secs(12)..=Duration::from_secs(15)).contains(&after), "{after:?}");
    assert_eq!(world.count(|event| *event == Event::Silent { peer }), 1, "said once");

    let end = world.now;
    world.run_for(Duration::from_secs(60));
    assert!(world.ledger.sent.iter().all(|sent| sent.at <= end), "nothing to a peer whose consent is gone");
}

#[test]
fn a_network_that_blinks_is_silence_and_then_being_heard() {
    let mut world = World::new(11);
    let people = world.call(ROOM, &[Client::chromium(), Client::chromium()], &Source::vp8());
    world.run_for(Duration::from_secs(2));
    let peer = world[people[0].handle].id;
    let dark = world.now + Duration::from_secs(8);
    world.line(people[0].handle).lose_up = Some(Box::new(move |now, _| now < dark));
    world.line(people[0].handle).lose_down = Some(Box::new(move |now, _| now < dark));
    world.run_for(Duration::from_secs(14));
    let story: Vec<_> = world
        .events
        .iter()
        .map(|(_, event)| event)
        .filter(|event| {
            matches!(event, Event::Silent { .. } | Event::Heard { .. } | Event::Disconnected { .. })
        })
        .collect();
    assert_eq!(story, [&Event::Silent { peer }, &Event::Heard { peer }]);
    for (one, other) in [(people[0], people[1]), (people[1], people[0])] {
        let frames = &world.reception(one.handle, other.video).frames;
        let after = frames.iter().filter(|frame| frame.at > dark + Duration::from_secs(1)).count();
        assert!(after > 80, "{after} frames after the light came back");
    }
    world.assert_flawless();
}

//! Invariant 9 of `server/ARCHITECTURE.md`: forwarding a packet allocates nothing.

mod counting;
#[allow(dead_code, reason = "the harness serves every test; this binary uses a part of it")]
#[path = "media/harness/mod.rs"]
mod harness;

use counting::{ALLOCATIONS, COUNTING};
use harness::network::Class;
use harness::peer::Client;
use harness::send::Source;
use harness::world::World;
use sfu::RoomId;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

static PACKETS: AtomicU64 = AtomicU64::new(0);

/// Counts while the shard works for an RTP packet; the clients' own work is not counted.
fn meter(on: bool) {
    if on {
        PACKETS.fetch_add(1, Ordering::Relaxed);
    }
    COUNTING.store(on, Ordering::Relaxed);
}

#[test]
fn forwarding_in_a_room_of_ten_allocates_nothing_after_warm_up() {
    meter(true);
    std::hint::black_box(Vec::<u8>::with_capacity(8));
    meter(false);
    assert_eq!(ALLOCATIONS.swap(0, Ordering::Relaxed), 1, "the meter counts");

    let mut world = World::new(1);
    let clients: Vec<Client> = (0..10)
        .map(|number| {
            let base = if number % 3 == 0 { Client::firefox() } else { Client::chromium() };
            Client { audios: 9, videos: 9, ..base }
        })
        .collect();
    let people = world.call(RoomId(1), &clients, &Source::simulcast());
    // Decrypting for all ten is most of the work and none of the question: one of them stands for all.
    for other in &people[1..] {
        world.line(other.handle).lose_down = Some(Box::new(|_, bytes| Class::of(bytes) == Class::Rtp));
    }
    // Long enough for every packet cache to have been filled once.
    world.run_for(Duration::from_secs(14));
    let sent = world.ledger.sent.len();
    world.meter = meter;
    world.run_for(Duration::from_secs(3));
    world.meter = |_| {};
    let forwarded = world.ledger.sent.len() - sent;
    let allocations = ALLOCATIONS.load(Ordering::Relaxed);
    assert!(PACKETS.load(Ordering::Relaxed) > 6_000, "the meter ran");
    assert!(forwarded > 20_000, "{forwarded} packets left");
    assert_eq!(allocations, 0, "allocations for {forwarded} packets");
    for of in &people[1..] {
        assert!(world.reception(people[0].handle, of.video).frames.len() > 200);
    }
    world.assert_flawless();
}

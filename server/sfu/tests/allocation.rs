//! Invariant 9 of `server/ARCHITECTURE.md`: forwarding a packet allocates nothing.

#[allow(dead_code, reason = "the harness serves every test; this binary uses a part of it")]
#[path = "media/harness/mod.rs"]
mod harness;

use harness::network::Class;
use harness::peer::Client;
use harness::send::Source;
use harness::world::World;
use sfu::RoomId;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Counts while the shard works for an RTP packet; the clients' own work is not counted.
struct Counting;

static COUNTING: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static PACKETS: AtomicU64 = AtomicU64::new(0);

fn count() {
    if COUNTING.load(Ordering::Relaxed) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

#[expect(unsafe_code, reason = "an allocator can be had in no other way")]
// SAFETY: every call goes unchanged to the system's allocator; counting touches two atomics only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

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

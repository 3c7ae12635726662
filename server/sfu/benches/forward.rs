//! `cargo bench -p sfu`: what the media plane itself takes for a forwarded packet, from the sealed datagram that came in
//! to the sealed datagrams that go out, without a socket. Nanoseconds and allocations, for rooms of several shapes.
//!
//! Each publisher sends 600 kbit/s of video in packets of about 1,000 bytes and 50 Opus packets a second. The shapes take
//! turns, so that other work on the machine meets all of them; the middle of all rounds is shown, and the best.

#[path = "../tests/counting/mod.rs"]
mod counting;
#[allow(dead_code, reason = "the harness serves every test; this binary uses a part of it")]
#[path = "../tests/media/harness/mod.rs"]
mod harness;

use counting::{ALLOCATIONS, COUNTING};
use harness::network::Class;
use harness::peer::Client;
use harness::send::Source;
use harness::world::{Handle, World};
use sfu::{Output, RoomId};
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Publishers and listeners beside them.
const SHAPES: [(&str, usize, usize); 4] =
    [("1 to 1", 1, 1), ("1 to 9", 1, 9), ("10 to 90, a room of ten", 10, 0), ("1 to 100 listeners", 1, 100)];

/// Rounds of each shape, and how much of the call each of them replays. Shorter than a layer may be silent.
const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(800);
/// Until every packet cache has its size and every key frame came.
const WARM_UP: Duration = Duration::from_secs(18);

struct Shape {
    name: &'static str,
    world: World,
    publishers: Vec<Handle>,
    /// Nanoseconds per forwarded packet, by round.
    figures: Vec<f64>,
    forwarded: u64,
    allocations: u64,
}

impl Shape {
    fn new(name: &'static str, publishers: usize, listeners: usize) -> Self {
        let mut world = World::new(1);
        // Nobody misses what is replayed outside of the world's time.
        let client = Client { nack: false, pli: false, red: false, ..Client::chromium() };
        let room = RoomId(1);
        let camera =
            Source::Vp8 { rids: vec!["f"], frame_interval: Duration::from_millis(40), packets_per_frame: 3 };
        let published = Client { audios: publishers - 1, videos: publishers - 1, ..client.clone() };
        let people = world.call(room, &vec![published; publishers], &camera);
        let listening = Client { audios: publishers, videos: publishers, ..client };
        for _ in 0..listeners {
            let listener = world.join(room, listening.clone());
            for publisher in &people {
                world.subscribe(listener, publisher.audio);
                world.subscribe(listener, publisher.video);
            }
        }
        for handle in world.handles() {
            world.line(handle).lose_down = Some(Box::new(|_, bytes| Class::of(bytes) == Class::Rtp));
        }
        world.run_for(WARM_UP);
        let publishers = people.into_iter().map(|person| person.handle).collect();
        Self { name, world, publishers, figures: Vec::new(), forwarded: 0, allocations: 0 }
    }

    /// What the publishers send in a while; it does not reach the shard by itself.
    fn capture(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        for publisher in self.publishers.clone() {
            self.world.line(publisher).lose_up = Some(Box::new(|_, bytes| Class::of(bytes) == Class::Rtp));
        }
        self.world.captured = Some(Vec::new());
        self.world.run_for(ROUND);
        let mut captured = self.world.captured.take().unwrap_or_default();
        captured.retain(|(_, bytes)| Class::of(bytes) == Class::Rtp);
        captured
    }

    fn round(&mut self) {
        let mut captured = self.capture();
        let (now, shard) = (self.world.now, &mut self.world.shard);
        let mut forwarded = 0;
        let allocations = ALLOCATIONS.load(Ordering::Relaxed);
        COUNTING.store(true, Ordering::Relaxed);
        #[expect(clippy::disallowed_methods, reason = "a stopwatch; the shard does not see it")]
        let begun = Instant::now();
        for (source, datagram) in &mut captured {
            shard.handle_datagram(now, *source, datagram);
            loop {
                match shard.poll_output() {
                    Output::Transmit(batch) => forwarded += batch.len() as u64,
                    Output::Event(event) => drop(std::hint::black_box(event)),
                    Output::Timeout(_) => break,
                }
            }
        }
        let elapsed = begun.elapsed();
        COUNTING.store(false, Ordering::Relaxed);
        self.allocations += ALLOCATIONS.load(Ordering::Relaxed) - allocations;
        self.forwarded += forwarded;
        self.figures.push(elapsed.as_nanos() as f64 / forwarded as f64);
    }
}

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout();
    let mut shapes = SHAPES.map(|(name, publishers, listeners)| Shape::new(name, publishers, listeners));
    for _ in 0..ROUNDS {
        shapes.iter_mut().for_each(Shape::round);
    }
    writeln!(out, "{:<26} {:>12} {:>8} {:>14}", "", "ns / packet", "best", "allocations")?;
    for shape in &mut shapes {
        shape.figures.sort_by(f64::total_cmp);
        writeln!(
            out,
            "{:<26} {:>12.0} {:>8.0} {:>14.5}   ({} packets)",
            shape.name,
            shape.figures[ROUNDS / 2],
            shape.figures[0],
            shape.allocations as f64 / shape.forwarded as f64,
            shape.forwarded,
        )?;
    }
    Ok(())
}

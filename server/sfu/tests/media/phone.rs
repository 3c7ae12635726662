//! How a phone on a narrow line fares, in figures. Long, so not part of a normal run:
//! `cargo test -p sfu --test media -- --ignored --nocapture phone`.

use crate::bandwidth::{RTT_HALF, SPEAKERS, frames, rate_to, room, worst_audio};
use crate::harness::network::Path;
use crate::harness::world::{Participant, World};
use std::time::{Duration, Instant};

const MINUTES: u64 = 10;

/// So many packets of a voice in a row, each this much later than the voice is at its best, waited in a standing queue. A
/// burst or a key frame delays fewer, as a radio does.
const LATE: Duration = Duration::from_millis(100);
const IN_A_ROW: usize = 10;

/// The last moment since `from` at which the speaker's voice waited in a queue, as time after `from`.
fn settled(world: &World, people: &[Participant], from: Instant) -> Duration {
    let audio = &world.reception(people[0].handle, people[SPEAKERS].audio).audio;
    let origin = audio[0].at;
    let first = audio[0].stamp.number;
    let delay = |at: Instant, number: u32| {
        (at - origin).as_secs_f64() - f64::from(number.saturating_sub(first)) * 0.02
    };
    let delays: Vec<(Instant, f64)> =
        audio.iter().map(|packet| (packet.at, delay(packet.at, packet.stamp.number))).collect();
    let best = delays.iter().map(|(_, delay)| *delay).fold(f64::INFINITY, f64::min);
    let late = |(at, delay): &(Instant, f64)| *at > from && *delay > best + LATE.as_secs_f64();
    let mut waited = delays.windows(IN_A_ROW).filter(|row| row.iter().all(late)).filter_map(<[_]>::last);
    waited.next_back().map_or(Duration::ZERO, |(at, _)| *at - from)
}

/// Share of the frames that did not reach the others, each of whom looks at the next one.
fn others_miss(world: &World, people: &[Participant], from: Instant) -> f64 {
    let sent = (world.now - from).as_secs_f64() * 20.0;
    let got = (1..people.len()).map(|at| {
        let next = people[(at + 1) % people.len()];
        frames(world, people[at].handle, next.video, from).len() as f64 / sent
    });
    1.0 - got.sum::<f64>() / (people.len() - 1) as f64
}

#[test]
#[ignore = "ten minutes of a call of ten"]
#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
fn a_phone_with_loss_in_figures() {
    let (mut world, people) = room(21, 10, Path::link(1_000_000, RTT_HALF, 0.03));
    let phone = people[0].handle;
    world.run_for(Duration::from_secs(5));
    let from = world.now;
    world.run_for(Duration::from_secs(60 * MINUTES));
    let seconds = (world.now - from).as_secs_f64();
    let missing = worst_audio(&world, &people, from);
    let best = people[1..].iter().map(|other| frames(&world, phone, other.video, from).len()).max();
    let fps = best.unwrap_or(0) as f64 / seconds;
    let used = rate_to(&world, phone, from) / 1e6;
    let others = others_miss(&world, &people, from);
    println!("1 Mbit/s, 50 ms, 3 % loss, {MINUTES} minutes in a room of ten");
    println!("  sound missing                    <= 1 %    {:.2} %", missing * 100.0);
    println!("  best picture                     >= 15 fps {fps:.1} fps");
    println!("  of the link used                 >= 75 %   {:.0} %", used * 100.0);
    println!("  frames that the other nine miss  <= 2 %    {:.2} %", others * 100.0);
    assert!(missing <= 0.01 && fps >= 15.0 && used >= 0.75 && others <= 0.02);
}

#[test]
#[ignore = "figures only; the same is checked in short elsewhere"]
#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
fn a_phone_whose_line_becomes_narrow_in_figures() {
    let (mut world, people) = room(22, 10, Path::link(5_000_000, RTT_HALF, 0.0));
    world.run_for(Duration::from_secs(8));
    let step = world.now;
    world.line(people[0].handle).down.link = Some(1_000_000);
    world.run_for(Duration::from_secs(5));
    let from = world.now;
    world.run_for(Duration::from_secs(15));
    let settled = settled(&world, &people, step).as_secs_f64();
    let after = rate_to(&world, people[0].handle, from) / 1e6;
    println!("5 -> 1 Mbit/s in a room of ten");
    println!("  sound waits in no queue after    <= 3 s    {settled:.1} s");
    println!("  of the link used then            >= 75 %   {:.0} %", after * 100.0);
    assert!(settled <= 3.0 && (0.75..1.05).contains(&after));
}

#[test]
#[ignore = "figures only; the same is checked in short elsewhere"]
#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
fn a_phone_on_the_narrowest_line_in_figures() {
    let (mut world, people) = room(23, 10, Path::link(150_000, RTT_HALF, 0.0));
    world.run_for(Duration::from_secs(5));
    let from = world.now;
    world.run_for(Duration::from_secs(60));
    let missing = worst_audio(&world, &people, from);
    println!("150 kbit/s in a room of ten, one minute");
    println!("  sound missing                    <= 2 %    {:.2} %", missing * 100.0);
    assert!(missing <= 0.02);
}

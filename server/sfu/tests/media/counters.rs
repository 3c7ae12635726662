//! What a shard says it did is what its clients saw.

use crate::harness::network::Path;
use crate::harness::peer::Client;
use crate::harness::send::Source;
use crate::harness::world::World;
use sfu::{Command, Population, RoomId};
use std::time::Duration;

const ROOM: RoomId = RoomId(1);

#[test]
fn the_counters_tell_what_the_clients_saw() {
    let mut world = World::new(11);
    let people = world.call(ROOM, &[Client::chromium(), Client::firefox()], &Source::vp8());
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.shard.population(), Population { peers: 2, tracks: 4, subscriptions: 4 });
    let clean = world.shard.counters();
    // Each of two has one other to hear, so nothing is sent twice and nothing is lost.
    let came: u64 = people
        .iter()
        .flat_map(|to| people.iter().filter(|of| of.handle != to.handle).map(move |of| (to, of)))
        .flat_map(|(to, of)| [of.audio, of.video].map(|track| world.reception(to.handle, track).packets))
        .sum();
    assert!(came > 800, "{came} packets");
    // What is still on its way was counted already.
    assert!((came..=came + 40).contains(&clean.packets_forwarded), "{came} came: {clean:?}");
    assert!(clean.packets_received >= clean.packets_forwarded && clean.bytes_forwarded > 100 * came);
    assert_eq!((clean.packets_lost, clean.packets_repaired, clean.nacks_received), (0, 0, 0));
    assert!(clean.packets_expected > 500, "{clean:?}");

    let before = world[people[0].handle].feedback.nacks.len();
    world.line(people[0].handle).up = Path::lossy(0.1);
    world.line(people[1].handle).down = Path::lossy(0.1);
    world.run_for(Duration::from_secs(10));
    let lossy = world.shard.counters();
    let lost = (lossy.packets_lost - clean.packets_lost) as f64;
    let share = lost / (lossy.packets_expected - clean.packets_expected) as f64;
    // One of two publishers loses a tenth; what is repaired before the report counts as come.
    assert!((0.01..0.1).contains(&share), "{share} of what was expected is lost");
    let asked = world[people[0].handle].feedback.nacks.len() - before;
    // Some of what was asked for was lost on the way back to nobody: that way is clean.
    assert!(lossy.nacks_sent >= asked as u64 && asked > 30, "{asked} came: {lossy:?}");
    assert!(lossy.nacks_received > 30 && lossy.packets_repaired > 30, "{lossy:?}");

    let before = lossy.keyframes_requested;
    for blocked in [true, false] {
        world.command(Command::Block { track: people[1].video, blocked });
        world.run_for(Duration::from_secs(1));
    }
    let asked = world.shard.counters().keyframes_requested - before;
    assert!(asked > 0, "a picture begins anew with a key frame");

    for person in &people {
        let peer = world[person.handle].id;
        world.command(Command::Disconnect { peer });
    }
    assert_eq!(world.shard.population(), Population::default());
    assert!(world.shard.counters().packets_received >= lossy.packets_received, "they only grow");
}

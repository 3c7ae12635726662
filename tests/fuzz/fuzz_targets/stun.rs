//! Datagrams from strangers, and authenticated binding requests with odd attributes. A stranger is never answered:
//! nothing is done before the integrity of a check is known.
#![no_main]

use enza_fuzz::World;
use libfuzzer_sys::fuzz_target;
use rtc_stun::attributes::{ATTR_FINGERPRINT, ATTR_MESSAGE_INTEGRITY, ATTR_USERNAME};
use std::net::SocketAddr;

fuzz_target!(|input: (bool, Vec<(u16, Vec<u8>)>, Vec<u8>)| {
    let (authentic, attributes, bytes) = input;
    let mut world = World::default();
    if !authentic {
        let stranger = SocketAddr::from(([127, 0, 0, 2], 40_000));
        assert_eq!(world.receive(stranger, &bytes), 0, "a stranger is not answered");
        return;
    }
    let own = [ATTR_USERNAME.0, ATTR_MESSAGE_INTEGRITY.0, ATTR_FINGERPRINT.0];
    let more: Vec<(u16, &[u8])> = attributes
        .iter()
        .take(16)
        .filter(|(kind, _)| !own.contains(kind))
        .map(|(kind, value)| (*kind, value.get(..64).unwrap_or(value)))
        .collect();
    let check = world.check(&more);
    let client = world.client;
    assert_eq!(world.receive(client, &check), 1, "a good check is answered once");
    // The same with one byte changed is not.
    if let [at, flip, ..] = bytes[..]
        && flip != 0
    {
        let mut forged = check;
        let at = usize::from(at) % forged.len();
        forged[at] ^= flip;
        // After MESSAGE-INTEGRITY there is only the fingerprint.
        if at < forged.len() - 8 {
            let stranger = SocketAddr::from(([127, 0, 0, 2], 40_000));
            assert_eq!(world.receive(stranger, &forged), 0, "a forged check is not answered");
        }
    }
});

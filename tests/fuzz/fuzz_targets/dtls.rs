//! What a client can send once its address is validated, before it has keys: DTLS, and anything that looks like media.
#![no_main]

use enza_fuzz::with_peer;
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

/// USE-CANDIDATE (RFC 8445 §16.1).
const NOMINATION: (u16, &[u8]) = (0x0025, &[]);

fuzz_target!(|datagrams: Vec<Vec<u8>>| {
    with_peer(|world| {
        let check = world.check(&[NOMINATION]);
        let client = world.client;
        assert_eq!(world.receive(client, &check), 1);
        for datagram in datagrams.iter().take(32) {
            world.receive(client, datagram);
            world.pass(Duration::from_millis(20));
        }
    });
});

//! What a client can send once its address is validated, before it has keys: DTLS, and anything that looks like media.

use crate::reading;
use crate::world::with_peer;
use std::time::Duration;

/// USE-CANDIDATE (RFC 8445 §16.1).
const NOMINATION: (u16, &[u8]) = (0x0025, &[]);

pub(crate) fn run(bytes: &[u8]) {
    let Some(datagrams) = reading::<Vec<Vec<u8>>>(bytes) else { return };
    with_peer(|world| {
        let check = world.check(&[NOMINATION]);
        let client = world.client;
        assert_eq!(world.receive(client, &check), 1);
        for datagram in datagrams.iter().take(32) {
            world.receive(client, datagram);
            world.pass(Duration::from_millis(20));
        }
    });
}

//! Datagrams from strangers, and authenticated binding requests with odd attributes. A stranger is never answered:
//! nothing is done before the integrity of a check is known.

use crate::reading;
use crate::world::{World, with_peer};
use rtc_stun::attributes::{ATTR_FINGERPRINT, ATTR_MESSAGE_INTEGRITY, ATTR_USERNAME};
use std::net::{Ipv4Addr, SocketAddr};

const STRANGER: SocketAddr = SocketAddr::V4(std::net::SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 2), 40_000));

/// Whether the check is signed, its attributes, and what a stranger sends.
type Input = (bool, Vec<(u16, Vec<u8>)>, Vec<u8>);

pub(crate) fn run(bytes: &[u8]) {
    let Some((authentic, attributes, bytes)) = reading::<Input>(bytes) else { return };
    with_peer(|world| {
        if authentic {
            check(world, &attributes, &bytes);
        } else {
            assert_eq!(world.receive(STRANGER, &bytes), 0, "a stranger is not answered");
        }
    });
}

fn check(world: &mut World, attributes: &[(u16, Vec<u8>)], forgery: &[u8]) {
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

    // The same with a byte changed is not, unless it is in the fingerprint, which is no signature.
    let [at, flip, ..] = forgery else { return };
    let mut forged = check;
    let signed = forged.len() - 8;
    let at = usize::from(*at) % signed;
    if let Some(byte) = forged.get_mut(at)
        && *flip != 0
    {
        *byte ^= flip;
        assert_eq!(world.receive(STRANGER, &forged), 0, "a forged check is not answered");
    }
}

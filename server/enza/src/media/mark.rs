//! Addresses under which the media plane knows what no socket of its own leads to: TCP connections, and paths through the
//! relay. An IPv6 flow label says so: it has 20 bits, and the media socket asks for none, so no such address is ever taken for
//! the same address and port over UDP.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use turn::Path;

/// Both kinds have this bit.
const MARK: u32 = 0x8_0000;

/// A path through the relay; which of the media plane's addresses it leads to stands in the lowest byte.
const RELAYED: u32 = MARK | 0x4_0000;
const PEER: u32 = 0xff;

/// Connections are counted in what is left: behind one NAT two may have the same address and port, towards different
/// addresses of ours.
const COUNT: u32 = 0x3_ffff;

/// A TCP connection from `peer`, the `number`th of all.
pub(super) fn of_stream(peer: SocketAddr, number: u32) -> SocketAddr {
    marked(peer, MARK | (number & COUNT))
}

/// A path through the relay. It looks like the relayed address, for that is what a client is told it is seen as.
pub(super) fn of_path(path: Path) -> SocketAddr {
    marked(path.relayed, RELAYED | (path.peer as u32 & PEER))
}

/// The path of an address that [`of_path`] made.
pub(super) fn path(address: &SocketAddr) -> Option<Path> {
    match address {
        SocketAddr::V6(v6) if v6.flowinfo() & RELAYED == RELAYED => Some(Path {
            relayed: SocketAddr::new(v6.ip().to_canonical(), v6.port()),
            peer: (v6.flowinfo() & PEER) as usize,
        }),
        _ => None,
    }
}

/// Whether an address is one of these.
pub(super) fn is_marked(address: &SocketAddr) -> bool {
    matches!(address, SocketAddr::V6(v6) if v6.flowinfo() & MARK != 0)
}

fn marked(address: SocketAddr, mark: u32) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => Ipv6Addr::from(ip.octets()),
    };
    SocketAddrV6::new(ip, address.port(), mark, 0).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_and_a_path_are_other_addresses_than_the_same_ones_over_udp() {
        for udp in ["192.0.2.1:5000", "[2001:db8::1]:5000"] {
            let udp: SocketAddr = udp.parse().unwrap();
            let [tcp, next] = [0, u32::MAX].map(|number| of_stream(udp, number));
            let paths = [Path { relayed: udp, peer: 0 }, Path { relayed: udp, peer: 7 }];
            let [first, last] = paths.map(of_path);
            for (one, other) in
                [(tcp, udp), (next, tcp), (first, udp), (first, tcp), (first, next), (first, last)]
            {
                assert_ne!(one, other);
            }
            assert!(is_marked(&tcp) && is_marked(&first) && !is_marked(&udp));
            assert_eq!(tcp.ip().to_canonical(), udp.ip());
            assert_eq!(path(&last), Some(paths[1]));
            assert_eq!([tcp, next, udp].map(|address| path(&address)), [None; 3]);
        }
    }
}

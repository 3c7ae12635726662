//! Which addresses clients are told for the media port (ICE host candidates, RFC 8445 section 5.1.1.1).

use crate::start_error::StartError;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Most candidates announced. Higher: every client checks each of them on every join; lower: a machine with
/// many networks loses some.
const CANDIDATES_MAX: usize = 8;

/// The announced addresses if given, else those at which others find this machine (`mapped`) and the bound address, or those of
/// all interfaces. A NAT in front is taken to forward the port as it is.
///
/// A page bound to loopback has its media on the other addresses too (see [`media_address`]): Firefox gathers no
/// loopback candidate and never pairs its own addresses with one.
///
/// # Errors
/// [`StartError::NoAddress`] when the machine has none.
pub(crate) fn candidates(
    bind: IpAddr,
    announce: &[IpAddr],
    mapped: &[IpAddr],
    port: u16,
) -> Result<Vec<SocketAddr>, StartError> {
    let addresses = if !announce.is_empty() {
        announce.to_vec()
    } else if !bind.is_unspecified() {
        let mut addresses = vec![bind];
        if bind.is_loopback() {
            let family: Vec<IpAddr> = interfaces()
                .into_iter()
                .filter(|ip| ip.is_ipv4() == bind.is_ipv4() && !ip.is_loopback())
                .collect();
            addresses.extend(reachable(&family));
        }
        addresses
    } else {
        let all: Vec<IpAddr> = interfaces().into_iter().filter(|ip| ip.is_ipv4() || bind.is_ipv6()).collect();
        reachable(&all)
    };
    // A socket that is bound to IPv4 hears nothing else, whatever a name says.
    let heard = |ip: &IpAddr| ip.is_ipv4() || bind.is_ipv6();
    let seen =
        mapped.iter().copied().filter(|ip| announce.is_empty() && heard(ip) && !addresses.contains(ip));
    let mut candidates: Vec<SocketAddr> =
        seen.chain(addresses.iter().copied()).map(|ip| SocketAddr::new(ip, port)).collect();
    candidates.dedup();
    candidates.truncate(CANDIDATES_MAX);
    if candidates.is_empty() { Err(StartError::NoAddress) } else { Ok(candidates) }
}

/// Where the media socket listens beside a page on `page`: everywhere when the page is on loopback, for ICE lets
/// nobody in who has not joined over that page.
pub(crate) fn media_address(page: SocketAddr) -> SocketAddr {
    match page.ip() {
        IpAddr::V4(ip) if ip.is_loopback() => SocketAddr::from((Ipv4Addr::UNSPECIFIED, page.port())),
        IpAddr::V6(ip) if ip.is_loopback() => SocketAddr::from((Ipv6Addr::UNSPECIFIED, page.port())),
        _ => page,
    }
}

/// Reachable from everywhere, as far as the address itself says.
pub(crate) fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            // Carrier-grade NAT (RFC 6598) is nobody's own either.
            let shared = first == 100 && (64..128).contains(&second);
            !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || shared)
        }
        IpAddr::V6(ip) => ip.segments()[0] & 0xe000 == 0x2000,
    }
}

/// The IPv4 addresses of this machine on its networks, for links that other devices open.
pub(crate) fn lan_addresses() -> Vec<IpAddr> {
    interfaces().into_iter().filter(|ip| ip.is_ipv4() && !ip.is_loopback()).collect()
}

/// All of this machine's.
pub(crate) fn interfaces() -> Vec<IpAddr> {
    match if_addrs::get_if_addrs() {
        Ok(interfaces) => interfaces.into_iter().map(|interface| interface.ip()).collect(),
        Err(error) => {
            tracing::warn!(%error, "the network interfaces cannot be listed");
            Vec::new()
        }
    }
}

/// Loopback reaches nobody else, so it is announced only by a machine that has nothing better. Link-local IPv6
/// needs a zone that a candidate cannot carry.
fn reachable(all: &[IpAddr]) -> Vec<IpAddr> {
    let mut useful: Vec<IpAddr> =
        all.iter().copied().filter(|ip| !ip.is_loopback() && !is_link_local(*ip)).collect();
    if useful.is_empty() {
        useful = all.iter().copied().filter(IpAddr::is_loopback).collect();
    }
    // IPv4 first: it is what nearly every network at home carries.
    useful.sort_by_key(IpAddr::is_ipv6);
    useful
}

pub(super) fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.segments()[0] & 0xffc0 == 0xfe80 || ip == Ipv6Addr::UNSPECIFIED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    #[test]
    fn a_bound_address_is_announced_and_an_explicit_one_wins() {
        let bound: IpAddr = "203.0.113.9".parse().unwrap();
        assert_eq!(candidates(bound, &[], &[], 7880).unwrap(), [SocketAddr::new(bound, 7880)]);
        let loopback: IpAddr = "127.0.0.1".parse().unwrap();
        assert_eq!(candidates(loopback, &[], &[], 7880).unwrap()[0], SocketAddr::new(loopback, 7880));
        assert_eq!(
            candidates(bound, &ips(&["203.0.113.5"]), &ips(&["203.0.113.6"]), 7880).unwrap(),
            [SocketAddr::from(([203, 0, 113, 5], 7880))]
        );
    }

    #[test]
    fn the_address_that_the_world_sees_comes_before_those_behind_the_nat() {
        let bound: IpAddr = "10.0.0.5".parse().unwrap();
        let seen = ips(&["203.0.113.5", "10.0.0.5"]);
        let expected = ips(&["203.0.113.5", "10.0.0.5"]).into_iter().map(|ip| SocketAddr::new(ip, 443));
        assert_eq!(candidates(bound, &[], &seen, 443).unwrap(), expected.collect::<Vec<_>>());
        // A name's IPv6 address counts where IPv6 is heard.
        let both = ips(&["203.0.113.5", "2001:db8::5"]);
        assert_eq!(candidates(bound, &[], &both, 443).unwrap().len(), 2);
        let bound = "2001:db8::7".parse().unwrap();
        assert_eq!(candidates(bound, &[], &both, 443).unwrap().len(), 3);
    }

    #[test]
    fn addresses_that_lead_nowhere_from_outside_are_not_public() {
        for private in [
            "10.1.2.3",
            "192.168.1.1",
            "172.20.0.1",
            "100.64.3.4",
            "127.0.0.1",
            "fe80::1",
            "fd00::1",
            "::1",
            "::ffff:10.1.2.3",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in ["203.0.113.4", "100.128.0.1", "2001:db8::1"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn loopback_and_link_local_are_the_last_resort() {
        assert_eq!(
            reachable(&ips(&["127.0.0.1", "::1", "fe80::1", "2001:db8::5", "192.0.2.7"])),
            ips(&["192.0.2.7", "2001:db8::5"])
        );
        assert_eq!(reachable(&ips(&["127.0.0.1", "fe80::1"])), ips(&["127.0.0.1"]));
    }
}

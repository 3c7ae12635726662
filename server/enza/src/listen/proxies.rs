//! The proxies in front that the operator trusts. They say whom they ask for (`X-Forwarded-For`), so that what one person gets
//! wrong does not count for everybody behind the same proxy. From anybody else the header says nothing.

use crate::attempts::network;
use axum::http::HeaderMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const FORWARDED_FOR: &str = "x-forwarded-for";

/// Who stands between people and the server. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Proxies(Arc<Known>);

struct Known {
    trusted: Vec<IpAddr>,
    is_plain: bool,
    told: AtomicBool,
}

impl Proxies {
    /// `is_plain`: HTTP, so that there may be a proxy even where none is named.
    pub(crate) fn new(trusted: &[IpAddr], is_plain: bool) -> Self {
        let trusted: Vec<IpAddr> = trusted.iter().map(IpAddr::to_canonical).collect();
        Self(Arc::new(Known { trusted, is_plain, told: AtomicBool::new(false) }))
    }

    /// Whom a request is from that came from `peer`: behind trusted proxies the last whom one of them names and who is none
    /// of them. What stands further left was written by who asked, and may be a lie.
    pub(super) fn person(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.is_trusted(peer) {
            self.tell_of_hidden(headers);
            return peer;
        }
        let mut person = peer;
        let lines = headers.get_all(FORWARDED_FOR).iter().rev();
        for named in lines.flat_map(|line| line.to_str().unwrap_or("?").rsplit(',')) {
            let Some(address) = address(named) else { return person };
            person = address;
            if !self.is_trusted(address) {
                return person;
            }
        }
        person
    }

    /// As whom a connection from `peer` is counted: those of a proxy are everybody's, and the proxy's to limit.
    pub(super) fn household(&self, peer: IpAddr) -> IpAddr {
        // HTTP may come by a proxy that was not named.
        let may_be_hidden = self.0.is_plain && self.0.trusted.is_empty();
        if may_be_hidden || self.is_trusted(peer.to_canonical()) {
            return Ipv4Addr::UNSPECIFIED.into();
        }
        network(peer)
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.0.trusted.contains(&address)
    }

    /// Once: a proxy that was not named, or by another address than the one it has here (as in a network of containers).
    fn tell_of_hidden(&self, headers: &HeaderMap) {
        if !self.0.is_plain
            || !headers.contains_key(FORWARDED_FOR)
            || self.0.told.swap(true, Ordering::Relaxed)
        {
            return;
        }
        if self.0.trusted.is_empty() {
            tracing::warn!(
                "requests come by a proxy: name its address with --trusted-proxy, otherwise what one person gets wrong counts for all"
            );
        } else {
            tracing::warn!(
                "requests come by a proxy at another address than the one you named with --trusted-proxy (`ss -tn` shows it): name that one, otherwise what one person gets wrong counts for all"
            );
        }
    }
}

/// One name in the header; some proxies add the port.
fn address(named: &str) -> Option<IpAddr> {
    let named = named.trim();
    let address = named.parse().or_else(|_| named.parse().map(|with_port: SocketAddr| with_port.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn named(lines: &[&'static str]) -> HeaderMap {
        let name = HeaderName::from_static(FORWARDED_FOR);
        lines.iter().map(|line| (name.clone(), HeaderValue::from_static(line))).collect()
    }

    #[test]
    fn a_trusted_proxy_says_for_whom_it_asks_and_nobody_else_does() {
        let proxies = Proxies::new(&[ip("127.0.0.1"), ip("192.0.2.9")], true);
        for (peer, lines, person) in [
            ("198.51.100.7", &["203.0.113.5"][..], "198.51.100.7"),
            ("127.0.0.1", &["203.0.113.5"], "203.0.113.5"),
            ("::ffff:127.0.0.1", &["::ffff:203.0.113.5"], "203.0.113.5"),
            ("127.0.0.1", &["203.0.113.5:4711"], "203.0.113.5"),
            ("127.0.0.1", &["[2001:db8::5]:4711"], "2001:db8::5"),
            ("127.0.0.1", &["2001:db8::5"], "2001:db8::5"),
            // What the person wrote themselves stands on the left.
            ("127.0.0.1", &["192.0.2.77, 203.0.113.5"], "203.0.113.5"),
            ("127.0.0.1", &["192.0.2.77", "203.0.113.5"], "203.0.113.5"),
            ("127.0.0.1", &["127.0.0.1, 203.0.113.5"], "203.0.113.5"),
            // Two proxies, one behind the other.
            ("127.0.0.1", &["203.0.113.5, 192.0.2.9"], "203.0.113.5"),
            ("127.0.0.1", &["203.0.113.5, nonsense, 192.0.2.9"], "192.0.2.9"),
            ("127.0.0.1", &["nonsense"], "127.0.0.1"),
            ("127.0.0.1", &[""], "127.0.0.1"),
            ("127.0.0.1", &[], "127.0.0.1"),
        ] {
            assert_eq!(proxies.person(ip(peer), &named(lines)), ip(person), "{peer} {lines:?}");
        }
    }

    #[test]
    fn a_proxy_that_is_not_the_named_one_is_told_of_over_plain_http() {
        let header = named(&["203.0.113.5"]);
        for (trusted, is_plain, headers, told) in [
            (&[][..], true, &header, true),
            (&["192.0.2.9"], true, &header, true),
            (&["192.0.2.9"], true, &HeaderMap::new(), false),
            (&["192.0.2.9"], false, &header, false),
            (&["198.51.100.7"], true, &header, false),
        ] {
            let trusted: Vec<IpAddr> = trusted.iter().map(|address| ip(address)).collect();
            let proxies = Proxies::new(&trusted, is_plain);
            proxies.person(ip("198.51.100.7"), headers);
            assert_eq!(proxies.0.told.load(Ordering::Relaxed), told, "{trusted:?} {is_plain}");
        }
    }

    #[test]
    fn connections_are_counted_by_address_but_for_those_of_a_proxy() {
        let everybody = ip("0.0.0.0");
        let proxies = Proxies::new(&[ip("127.0.0.1")], true);
        assert_eq!(proxies.household(ip("127.0.0.1")), everybody);
        assert_eq!(proxies.household(ip("203.0.113.5")), ip("203.0.113.5"));
        assert_eq!(proxies.household(ip("2001:db8::5")), ip("2001:db8::"));
        assert_eq!(Proxies::new(&[], true).household(ip("203.0.113.5")), everybody, "there may be one");
        assert_eq!(Proxies::new(&[], false).household(ip("127.0.0.1")), ip("127.0.0.1"));
    }
}

//! How many allocations one name and one address may have. Owns the counts.

use rustc_hash::FxHashMap;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// Allocations of one name. A browser makes one for each of its networks, server URL and connection. Higher: one person can
/// take more of the whole; lower: somebody with a VPN and two networks loses a way.
const PER_NAME: u16 = 24;

/// Allocations from one address. Higher: one network can take more of the whole; lower: a hospital behind one address
/// does not get in.
const PER_HOST: u16 = 512;

/// A name has too many, or its address has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exhausted;

/// See the module.
#[derive(Default)]
pub(crate) struct Quota {
    /// Names are chosen by clients, so this hash is keyed.
    names: HashMap<Box<str>, u16>,
    hosts: FxHashMap<IpAddr, u16>,
}

impl Quota {
    pub(crate) fn take(&mut self, name: &str, host: IpAddr) -> Result<(), Exhausted> {
        let of_host = self.hosts.get(&network(host)).copied().unwrap_or_default();
        let of_name = self.names.get(name).copied().unwrap_or_default();
        if of_host >= PER_HOST || of_name >= PER_NAME {
            return Err(Exhausted);
        }
        self.hosts.insert(network(host), of_host.saturating_add(1));
        self.names.insert(name.into(), of_name.saturating_add(1));
        Ok(())
    }

    pub(crate) fn give_back(&mut self, name: &str, host: IpAddr) {
        if let Some(count) = self.names.get_mut(name) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.names.remove(name);
            }
        }
        let host = network(host);
        if let Some(count) = self.hosts.get_mut(&host) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.hosts.remove(&host);
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty() && self.hosts.is_empty()
    }
}

/// Of IPv6 one customer has a whole /64.
pub(crate) fn network(host: IpAddr) -> IpAddr {
    match host.to_canonical() {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => Ipv6Addr::from(ip.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_networks_run_out_and_nothing_is_left_when_all_is_given_back() {
        let mut quota = Quota::default();
        let host: IpAddr = "192.0.2.1".parse().unwrap();
        let taken = (0..1000).filter(|_| quota.take("one", host).is_ok()).count();
        assert_eq!(taken, usize::from(PER_NAME));
        let more = (0..1000).filter(|n| quota.take(&format!("n{n}"), host).is_ok()).count();
        assert_eq!(taken + more, usize::from(PER_HOST));
        assert!(quota.take("elsewhere", "192.0.2.2".parse().unwrap()).is_ok());
        quota.give_back("elsewhere", "192.0.2.2".parse().unwrap());
        for _ in 0..taken {
            quota.give_back("one", host);
        }
        for n in 0..more {
            quota.give_back(&format!("n{n}"), host);
        }
        quota.give_back("never seen", host);
        assert!(quota.is_empty());
    }

    #[test]
    fn one_ipv6_customer_is_one_address() {
        let at = |ip: &str| network(ip.parse().unwrap());
        assert_eq!(at("2001:db8:1:2::1"), at("2001:db8:1:2:ffff::9"));
        assert_ne!(at("2001:db8:1:2::1"), at("2001:db8:1:3::1"));
        assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
    }
}

//! How many allocations one person and one address may have. Owns the counts.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

/// Allocations of one person, under all names they were told. A browser makes one for each of its networks, server URL and connection. Higher: one person can
/// take more of the whole; lower: somebody with a VPN and two networks loses a way.
const PER_PERSON: u16 = 24;

/// Allocations from one address. Higher: one network can take more of the whole; lower: a hospital behind one address
/// does not get in.
const PER_HOST: u16 = 512;

/// A person has too many, or its address has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exhausted;

/// See the module.
#[derive(Default)]
pub(crate) struct Quota {
    /// By what names have in common.
    persons: BTreeMap<Box<str>, u16>,
    /// Whoever has a /48 chooses among many addresses: no table whose hash can be foreseen.
    hosts: BTreeMap<IpAddr, u16>,
}

impl Quota {
    pub(crate) fn take(&mut self, person: &str, host: IpAddr) -> Result<(), Exhausted> {
        let of_host = self.hosts.get(&network(host)).copied().unwrap_or_default();
        let of_person = self.persons.get(person).copied().unwrap_or_default();
        if of_host >= PER_HOST || of_person >= PER_PERSON {
            return Err(Exhausted);
        }
        self.hosts.insert(network(host), of_host.saturating_add(1));
        self.persons.insert(person.into(), of_person.saturating_add(1));
        Ok(())
    }

    pub(crate) fn give_back(&mut self, person: &str, host: IpAddr) {
        if let Some(count) = self.persons.get_mut(person) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.persons.remove(person);
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
        self.persons.is_empty() && self.hosts.is_empty()
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
    fn persons_and_networks_run_out_and_nothing_is_left_when_all_is_given_back() {
        let mut quota = Quota::default();
        let host: IpAddr = "192.0.2.1".parse().unwrap();
        let taken = (0..1000).filter(|_| quota.take("one", host).is_ok()).count();
        assert_eq!(taken, usize::from(PER_PERSON));
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

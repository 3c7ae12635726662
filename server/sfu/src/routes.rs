//! Which peer an address belongs to. Owns the addresses that a check or a packet proved; never knows what is sent there.

use rustc_hash::FxHashMap;
use std::net::{IpAddr, SocketAddr};

/// See the module.
#[derive(Default)]
pub(crate) struct Routes {
    peers: FxHashMap<SocketAddr, usize>,
    /// The same by host; a peer is listed once for each of its addresses.
    hosts: FxHashMap<IpAddr, Vec<usize>>,
}

impl Routes {
    pub(crate) fn get(&self, address: &SocketAddr) -> Option<usize> {
        self.peers.get(address).copied()
    }

    /// The peers that have an address at this host.
    pub(crate) fn at_host(&self, host: IpAddr) -> &[usize] {
        self.hosts.get(&host).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn insert(&mut self, address: SocketAddr, slot: usize) {
        if self.get(&address) == Some(slot) {
            return;
        }
        self.remove(&address);
        self.peers.insert(address, slot);
        self.hosts.entry(address.ip()).or_default().push(slot);
    }

    pub(crate) fn remove(&mut self, address: &SocketAddr) {
        let Some(slot) = self.peers.remove(address) else { return };
        let Some(slots) = self.hosts.get_mut(&address.ip()) else { return };
        if let Some(at) = slots.iter().position(|known| *known == slot) {
            slots.swap_remove(at);
        }
        if slots.is_empty() {
            self.hosts.remove(&address.ip());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_lists_who_is_there_and_nothing_is_left_when_all_are_gone() {
        let at = |port| SocketAddr::from(([192, 0, 2, 1], port));
        let mut routes = Routes::default();
        routes.insert(at(1), 7);
        routes.insert(at(1), 7);
        routes.insert(at(2), 8);
        assert_eq!(routes.at_host(at(1).ip()), [7, 8]);
        routes.insert(at(2), 9); // the address changes hands
        assert_eq!(routes.at_host(at(1).ip()), [7, 9]);
        routes.remove(&at(1));
        routes.remove(&at(2));
        routes.remove(&at(3));
        assert!(routes.peers.is_empty() && routes.hosts.is_empty());
    }
}

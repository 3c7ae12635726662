//! Who may have a TCP connection: so many in all, so many for one household, so many that have not shown yet what they are.
//!
//! One task owns the table. A newcomer who is one too many takes the place of the oldest newcomer: an honest handshake takes
//! a moment, so the oldest is whoever only holds the line.

use super::Proxies;
use crate::metrics::{Metrics, Turned};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// Open TCP connections, and sockets inside of HTTP/2. Higher: more memory under attack; lower: a full server turns people
/// away. Beyond it, new connections wait in the kernel's queue.
const CONNECTIONS: usize = 4096;

/// Descriptors that connections leave to the database, the media sockets, webhooks and the certificate's authority.
const DESCRIPTORS_KEPT: usize = 128;

/// Connections of one address, in IPv6 of one /64. A person has three or four. Higher: one address fills the server with less
/// help; lower: a hospital behind one address is turned away.
const PER_NETWORK: usize = 512;

/// Connections of one IPv6 /48, which many providers give to one customer: 65536 networks. Higher: fewer customers fill the
/// server; lower: a company or a university with one prefix is turned away.
const PER_SITE: usize = 1024;

/// Connections that have not finished TLS, or not sent their first byte, in all and of one address. Higher: more memory and
/// descriptors for silence; lower: a crowd that comes in one second is cut off.
const NEWCOMERS: usize = 1024;
const NEWCOMERS_PER_NETWORK: usize = 64;

/// Asks for places. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Places {
    permits: Arc<Semaphore>,
    most: usize,
    metrics: Metrics,
    pub(super) proxies: Proxies,
    /// [`Word::Enter`] holds a permit until it was read, and the place made of it says two words at most: so there are no
    /// more than three words for each permit, and it needs no other bound.
    words: mpsc::UnboundedSender<Word>,
}

/// A connection's right to be there, until it is dropped.
pub(crate) struct Place {
    id: u64,
    words: mpsc::UnboundedSender<Word>,
    /// Falls when another newcomer needs the place.
    taken: Option<oneshot::Receiver<()>>,
    _permit: OwnedSemaphorePermit,
}

enum Word {
    /// The place is made where it is counted: whoever asked may be gone before the answer comes, and then it is dropped.
    Enter {
        network: IpAddr,
        kind: Kind,
        permit: OwnedSemaphorePermit,
        reply: oneshot::Sender<Option<Place>>,
    },
    Settled {
        id: u64,
    },
    Left {
        id: u64,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Has shown nothing yet.
    Newcomer,
    /// A socket inside of a connection.
    Inside,
}

impl Places {
    /// `descriptors`: how many files and sockets the process may have open.
    pub(crate) fn start(descriptors: usize, proxies: Proxies, metrics: Metrics) -> Self {
        let most = CONNECTIONS.min(descriptors.saturating_sub(DESCRIPTORS_KEPT)).max(1);
        let (words, mut inbox) = mpsc::unbounded_channel();
        // The table ends with the last who may ask it.
        let own = mpsc::UnboundedSender::downgrade(&words);
        tokio::spawn(async move {
            let mut table = Table::default();
            while let Some(word) = inbox.recv().await {
                match word {
                    Word::Enter { network, kind, permit, reply } => {
                        let Some(words) = own.upgrade() else { return };
                        let place = table.enter(network, kind).map(|(id, taken)| Place {
                            id,
                            words,
                            taken: Some(taken),
                            _permit: permit,
                        });
                        // A place that nobody takes says itself that it is free again.
                        drop(reply.send(place));
                    }
                    Word::Settled { id } => drop(table.settle(id)),
                    Word::Left { id } => table.left(id),
                }
            }
        });
        Self { permits: Arc::new(Semaphore::new(most)), most, metrics, proxies, words }
    }

    /// How many are taken, and how many there may be.
    pub(crate) fn taken(&self) -> (usize, usize) {
        (self.most.saturating_sub(self.permits.available_permits()), self.most)
    }

    /// Counts a connection that was let go again.
    pub(super) fn turned_away(&self, why: Turned) {
        self.metrics.turned_away(why);
    }

    /// Waits until one more connection may be accepted.
    pub(super) async fn free(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).acquire_owned().await.ok()
    }

    /// A place for a connection from `address`; `None`: its household has too many.
    pub(super) async fn enter(&self, permit: OwnedSemaphorePermit, address: IpAddr) -> Option<Place> {
        let place = self.ask(permit, address, Kind::Newcomer).await;
        if place.is_none() {
            self.turned_away(Turned::TooMany);
        }
        place
    }

    /// A place for a socket inside of a connection from `address`.
    pub(super) async fn enter_inside(&self, address: IpAddr) -> Option<Place> {
        let place = match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => self.ask(permit, address, Kind::Inside).await,
            Err(_) => None,
        };
        if place.is_none() {
            self.turned_away(Turned::TooMany);
        }
        place
    }

    async fn ask(&self, permit: OwnedSemaphorePermit, address: IpAddr, kind: Kind) -> Option<Place> {
        let (reply, answer) = oneshot::channel();
        let network = self.proxies.household(address);
        let kind = if network.is_unspecified() { Kind::Inside } else { kind };
        self.words.send(Word::Enter { network, kind, permit, reply }).ok()?;
        answer.await.ok()?
    }
}

impl Place {
    /// Waits until another newcomer needs the place.
    pub(super) async fn taken(&mut self) {
        if let Some(taken) = &mut self.taken
            && taken.await.is_ok()
        {
            return;
        }
        std::future::pending::<()>().await;
    }

    /// It has shown what it is.
    pub(super) fn settled(&mut self) {
        self.taken = None;
        let _ = self.words.send(Word::Settled { id: self.id });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.words.send(Word::Left { id: self.id });
    }
}

#[derive(Default)]
struct Table {
    last: u64,
    /// No more than there are permits.
    places: HashMap<u64, IpAddr>,
    networks: HashMap<IpAddr, Network>,
    /// Connections by IPv6 /48.
    sites: HashMap<Ipv6Addr, usize>,
    /// The oldest first.
    newcomers: BTreeMap<u64, oneshot::Sender<()>>,
}

#[derive(Default)]
struct Network {
    connections: usize,
    /// The oldest first.
    newcomers: VecDeque<u64>,
}

impl Table {
    fn enter(&mut self, address: IpAddr, kind: Kind) -> Option<(u64, oneshot::Receiver<()>)> {
        let site = site(address);
        if site.is_some_and(|site| self.sites.get(&site).is_some_and(|connections| *connections >= PER_SITE))
        {
            return None;
        }
        let network = self.networks.entry(address).or_default();
        // Behind a proxy everybody has the same address.
        if network.connections >= PER_NETWORK && !address.is_unspecified() {
            return None;
        }
        self.last += 1;
        let id = self.last;
        network.connections += 1;
        if let Some(site) = site {
            *self.sites.entry(site).or_default() += 1;
        }
        self.places.insert(id, address);
        let (take, taken) = oneshot::channel();
        if kind == Kind::Inside {
            return Some((id, taken));
        }
        network.newcomers.push_back(id);
        let too_many = network.newcomers.len() > NEWCOMERS_PER_NETWORK;
        let oldest_here = network.newcomers.front().copied().filter(|_| too_many);
        self.newcomers.insert(id, take);
        let oldest = oldest_here
            .or_else(|| self.newcomers.keys().next().copied().filter(|_| self.newcomers.len() > NEWCOMERS));
        if let Some(take) = oldest.and_then(|oldest| self.settle(oldest)) {
            let _ = take.send(());
        }
        Some((id, taken))
    }

    /// No newcomer any more.
    fn settle(&mut self, id: u64) -> Option<oneshot::Sender<()>> {
        let take = self.newcomers.remove(&id)?;
        if let Some(network) = self.places.get(&id).and_then(|address| self.networks.get_mut(address)) {
            network.newcomers.retain(|newcomer| *newcomer != id);
        }
        Some(take)
    }

    fn left(&mut self, id: u64) {
        self.settle(id);
        let Some(address) = self.places.remove(&id) else { return };
        if let Some(network) = self.networks.get_mut(&address) {
            network.connections = network.connections.saturating_sub(1);
            if network.connections == 0 {
                self.networks.remove(&address);
            }
        }
        if let Some(site) = site(address)
            && let Some(connections) = self.sites.get_mut(&site)
        {
            *connections = connections.saturating_sub(1);
            if *connections == 0 {
                self.sites.remove(&site);
            }
        }
    }
}

/// The /48 of an IPv6 address.
fn site(address: IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(ip) => Some(Ipv6Addr::from_bits(ip.to_bits() >> 80 << 80)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::task::Poll;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn full(mut taken: oneshot::Receiver<()>) -> bool {
        taken.try_recv().is_ok()
    }

    #[test]
    fn one_address_cannot_take_all_places() {
        let mut table = Table::default();
        let ids: Vec<u64> = (0..PER_NETWORK).map(|_| table.enter(ip(1), Kind::Inside).unwrap().0).collect();
        assert!(table.enter(ip(1), Kind::Newcomer).is_none());
        assert!(table.enter(ip(2), Kind::Newcomer).is_some());
        table.left(ids[7]);
        assert!(table.enter(ip(1), Kind::Newcomer).is_some());
    }

    #[test]
    fn one_customer_with_many_ipv6_networks_cannot_take_all_places() {
        let mut table = Table::default();
        let from = |network: u128| IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8 << 96) + (network << 64)));
        let ids: Vec<u64> =
            (0..PER_SITE as u128).map(|at| table.enter(from(at), Kind::Inside).unwrap().0).collect();
        assert!(table.enter(from(0xffff), Kind::Inside).is_none());
        assert!(table.enter(from(0x1_0000), Kind::Inside).is_some(), "another customer");
        table.left(ids[7]);
        let (last, _) = table.enter(from(0xffff), Kind::Inside).unwrap();
        table.left(last);
        for id in ids {
            table.left(id);
        }
        assert_eq!((table.sites.len(), table.networks.len(), table.places.len()), (1, 1, 1));
    }

    #[tokio::test]
    async fn a_place_whose_asker_is_gone_before_the_answer_is_seen_is_free_again() {
        let places = Places::start(usize::MAX, Proxies::new(&[], false), Metrics::default());
        for _ in 0..PER_NETWORK {
            let permit = places.free().await.unwrap();
            let mut asking = Box::pin(places.enter(permit, ip(1)));
            let waits = poll_fn(|context| Poll::Ready(asking.as_mut().poll(context).is_pending())).await;
            assert!(waits);
            // The table answers meanwhile.
            tokio::task::yield_now().await;
            drop(asking);
        }
        let place = places.enter(places.free().await.unwrap(), ip(1)).await;
        assert!(place.is_some() && places.taken() == (1, CONNECTIONS));
        drop(place);
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
        assert_eq!(places.permits.available_permits(), CONNECTIONS);
    }

    #[test]
    fn the_oldest_silent_newcomer_gives_way_and_nobody_else() {
        let mut table = Table::default();
        let (settled, old) = table.enter(ip(1), Kind::Newcomer).unwrap();
        table.settle(settled);
        let mut silent: Vec<_> =
            (0..NEWCOMERS_PER_NETWORK).map(|_| table.enter(ip(1), Kind::Newcomer).unwrap().1).collect();
        let (_, other) = table.enter(ip(2), Kind::Newcomer).unwrap();
        assert!(silent.iter_mut().all(|taken| taken.try_recv().is_err()));
        let (_, newest) = table.enter(ip(1), Kind::Newcomer).unwrap();
        assert!(full(silent.remove(0)) && silent.iter_mut().all(|taken| taken.try_recv().is_err()));
        assert!(!full(old) && !full(other) && !full(newest));
    }

    #[test]
    fn silence_from_everywhere_is_bounded_and_what_is_over_is_forgotten() {
        let mut table = Table::default();
        let ids: Vec<u64> = (0..4 * NEWCOMERS as u32)
            .map(|at| table.enter(IpAddr::V4((0x0a00_0000 + at).into()), Kind::Newcomer).unwrap().0)
            .collect();
        assert_eq!(table.newcomers.len(), NEWCOMERS);
        for id in ids {
            table.left(id);
        }
        assert!(table.newcomers.is_empty() && table.places.is_empty() && table.networks.is_empty());
    }
}

//! From the shard whose socket a datagram came to, to the shard it is for.
//!
//! All shards listen on one port. The kernel deals datagrams out by their addresses, but a room lives on one shard, so
//! most go to the wrong socket when there are several. Owns the lanes between the shards and what they told each other
//! about addresses; never knows what is in a datagram beyond what says where it goes.
//!
//! Nothing is believed on the way: an ICE check is handed to the shard that its fragment names, and only when that shard
//! found it genuine does it claim the address. A lane is a ring of bytes, so that handing over allocates nothing.

use mio::Waker;
use rtrb::{Consumer, Producer, RingBuffer};
use rustc_hash::FxHashMap;
use sfu::{Shard, shard_of};
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::time::Instant;

use super::socket::DATAGRAM_MAX;

/// Bytes that wait on the way from one shard to another; more are dropped, as by a full socket. Higher: a stalled shard is
/// followed by a longer, older burst; lower: a key frame is cut.
const LANE: usize = 256 << 10;

/// Messages taken from one lane per turn. Higher: a flood delays commands; lower: more polls.
const MESSAGES_PER_TURN: usize = 256;

/// Addresses that other shards claimed. Full, an arbitrary one makes room, and is claimed again at its next check.
/// Higher: about 100 B each; lower: people lose packets until their next check.
const CLAIMS_MAX: usize = 16_384;

/// Bytes of an address in a lane: family, port, address, flow label, scope.
const ADDRESS: usize = 1 + 2 + 16 + 4 + 4;

/// What stands before a datagram in a lane: kind, address, length.
const ADDRESS_END: usize = 1 + ADDRESS;
const HEAD: usize = ADDRESS_END + 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    /// A datagram follows.
    Datagram,
    /// The address belongs to a peer of the shard that says so.
    Claimed,
    /// It does not, or not any more.
    Released,
}

impl Message {
    const fn of(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Datagram),
            1 => Some(Self::Claimed),
            2 => Some(Self::Released),
            _ => None,
        }
    }
}

/// A set of shards, one bit each.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(super) struct Places(u64);

impl Places {
    const fn one(shard: usize) -> Self {
        Self(1 << shard)
    }

    const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn has(self, shard: usize) -> bool {
        self.0 & (1 << shard) != 0
    }
}

/// Which addresses other shards claimed.
#[derive(Default)]
struct Claims {
    shards: FxHashMap<SocketAddr, u8>,
    /// The same by host, with how many addresses each shard has there.
    hosts: FxHashMap<IpAddr, Vec<(u8, u32)>>,
}

impl Claims {
    fn insert(&mut self, address: SocketAddr, shard: u8) {
        if self.shards.get(&address) == Some(&shard) {
            return;
        }
        if self.shards.len() >= CLAIMS_MAX
            && let Some(other) = self.shards.keys().next().copied()
        {
            self.remove(&other);
        }
        self.remove(&address);
        self.shards.insert(address, shard);
        let at_host = self.hosts.entry(address.ip()).or_default();
        match at_host.iter_mut().find(|(known, _)| *known == shard) {
            Some((_, count)) => *count += 1,
            None => at_host.push((shard, 1)),
        }
    }

    fn remove(&mut self, address: &SocketAddr) {
        let Some(shard) = self.shards.remove(address) else { return };
        let Some(at_host) = self.hosts.get_mut(&address.ip()) else { return };
        if let Some((_, count)) = at_host.iter_mut().find(|(known, _)| *known == shard) {
            *count -= 1;
        }
        at_host.retain(|(_, count)| *count > 0);
        if at_host.is_empty() {
            self.hosts.remove(&address.ip());
        }
    }

    fn at_host(&self, host: IpAddr) -> Places {
        let known = self.hosts.get(&host).map_or(&[][..], Vec::as_slice);
        known
            .iter()
            .fold(Places::default(), |places, (shard, _)| places.with(Places::one(usize::from(*shard))))
    }
}

/// The way to another shard.
struct Lane {
    ring: Producer<u8>,
    waker: Arc<Waker>,
    /// Something was put on it that its shard was not woken for.
    written: bool,
}

/// One shard's ends of all lanes.
pub(super) struct Crossing {
    me: usize,
    /// By shard; none to itself.
    to: Vec<Option<Lane>>,
    from: Vec<Option<Consumer<u8>>>,
    claims: Claims,
    /// What was taken off a lane.
    buffer: Box<[u8; DATAGRAM_MAX]>,
    /// What is put on one, so that it goes on whole.
    out: Box<[u8; HEAD + DATAGRAM_MAX]>,
}

/// The ends for each shard; `wakers` wake them, in the same order.
pub(super) fn crossings(wakers: &[Arc<Waker>]) -> Vec<Crossing> {
    let count = wakers.len();
    let mut all: Vec<Crossing> = (0..count)
        .map(|me| Crossing {
            me,
            to: Vec::with_capacity(count),
            from: (0..count).map(|_| None).collect(),
            claims: Claims::default(),
            buffer: Box::new([0; DATAGRAM_MAX]),
            out: Box::new([0; HEAD + DATAGRAM_MAX]),
        })
        .collect();
    for from in 0..count {
        for (to, waker) in wakers.iter().enumerate() {
            let lane = (from != to).then(|| {
                let (ring, end) = RingBuffer::new(LANE);
                all[to].from[from] = Some(end);
                Lane { ring, waker: Arc::clone(waker), written: false }
            });
            all[from].to.push(lane);
        }
    }
    all
}

impl Crossing {
    /// A datagram that came to this shard's own socket. Returns how many copies of it were dropped.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        shard: &mut Shard,
        source: SocketAddr,
        datagram: &mut [u8],
    ) -> usize {
        let places = self.places(shard.knows(&source), source, datagram);
        let mut dropped = 0;
        for to in 0..self.to.len() {
            if to != self.me && places.has(to) {
                dropped += usize::from(!self.put(to, Message::Datagram, source, datagram));
            }
        }
        if places.has(self.me) {
            shard.handle_datagram(now, source, datagram);
        }
        dropped
    }

    /// Which shards it may be for; `known`: the source belongs to a peer of this one.
    fn places(&self, known: bool, source: SocketAddr, datagram: &[u8]) -> Places {
        let here = Places::one(self.me);
        match shard_of(datagram).map(usize::from) {
            Some(shard) if shard < self.to.len() => return Places::one(shard),
            Some(_) => return here,
            None if known => return here,
            None => {}
        }
        if let Some(shard) = self.claims.shards.get(&source) {
            return Places::one(usize::from(*shard));
        }
        // Media of somebody whose NAT gave them another port: each shard with somebody at this host looks whether it is theirs.
        if matches!(datagram.first(), Some(128..=191)) {
            return here.with(self.claims.at_host(source.ip()));
        }
        here
    }

    /// Takes what other shards handed over, at most [`MESSAGES_PER_TURN`] of each; true when more may wait.
    pub(super) fn take(&mut self, now: Instant, shard: &mut Shard) -> bool {
        let mut more = false;
        for from in 0..self.from.len() {
            let mut taken = 0;
            while taken < MESSAGES_PER_TURN {
                let Some((message, source, length)) = self.next(from) else { break };
                taken += 1;
                match message {
                    Message::Claimed => self.claims.insert(source, index(from)),
                    Message::Released if self.claims.shards.get(&source) == Some(&index(from)) => {
                        self.claims.remove(&source);
                    }
                    Message::Released => {}
                    Message::Datagram => {
                        let datagram = &mut self.buffer[..length];
                        let check = shard_of(datagram).is_some();
                        shard.handle_datagram(now, source, datagram);
                        // Lost when the lane is full: said again at the next check, the next datagram.
                        match shard.knows(&source) {
                            true if check => self.put(from, Message::Claimed, source, &[]),
                            true => true,
                            false => self.put(from, Message::Released, source, &[]),
                        };
                    }
                }
            }
            more |= taken == MESSAGES_PER_TURN;
        }
        more
    }

    /// Wakes the shards that something was handed to; once for all of it.
    pub(super) fn wake(&mut self) {
        for lane in self.to.iter_mut().flatten().filter(|lane| lane.written) {
            lane.written = false;
            if let Err(error) = lane.waker.wake() {
                tracing::debug!(%error, "a shard could not be woken");
            }
        }
    }

    /// Whole or not at all; false when it did not fit.
    fn put(&mut self, to: usize, message: Message, source: SocketAddr, datagram: &[u8]) -> bool {
        let Some(Some(lane)) = self.to.get_mut(to) else { return false };
        let length = HEAD + datagram.len();
        let Some(out) = self.out.get_mut(..length) else { return false };
        out[0] = message as u8;
        out[1..ADDRESS_END].copy_from_slice(&encode(source));
        out[ADDRESS_END..HEAD].copy_from_slice(&(datagram.len() as u16).to_be_bytes());
        out[HEAD..].copy_from_slice(datagram);
        let fits = lane.ring.push_entire_slice(out).is_ok();
        lane.written |= fits;
        fits
    }

    /// The next message of a lane; a datagram's bytes are at the beginning of `buffer`.
    fn next(&mut self, from: usize) -> Option<(Message, SocketAddr, usize)> {
        let ring = self.from.get_mut(from)?.as_mut()?;
        let mut head = [0; HEAD];
        ring.pop_entire_slice(&mut head).ok()?;
        let length = usize::from(u16::from_be_bytes([head[ADDRESS_END], head[ADDRESS_END + 1]]));
        ring.pop_entire_slice(self.buffer.get_mut(..length)?).ok()?;
        Some((Message::of(head[0])?, decode(head[1..ADDRESS_END].try_into().ok()?), length))
    }
}

/// Family, port, address, flow label, scope: whatever tells two addresses apart.
fn encode(address: SocketAddr) -> [u8; ADDRESS] {
    let mut bytes = [0; ADDRESS];
    bytes[1..3].copy_from_slice(&address.port().to_be_bytes());
    match address {
        SocketAddr::V4(v4) => {
            bytes[0] = 4;
            bytes[3..7].copy_from_slice(&v4.ip().octets());
        }
        SocketAddr::V6(v6) => {
            bytes[0] = 6;
            bytes[3..19].copy_from_slice(&v6.ip().octets());
            bytes[19..23].copy_from_slice(&v6.flowinfo().to_be_bytes());
            bytes[23..].copy_from_slice(&v6.scope_id().to_be_bytes());
        }
    }
    bytes
}

fn decode(bytes: &[u8; ADDRESS]) -> SocketAddr {
    let port = u16::from_be_bytes([bytes[1], bytes[2]]);
    let ip: [u8; 16] = std::array::from_fn(|at| bytes[3 + at]);
    if bytes[0] == 4 {
        return SocketAddr::from(([ip[0], ip[1], ip[2], ip[3]], port));
    }
    let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    SocketAddrV6::new(ip.into(), port, word(19), word(23)).into()
}

/// Shards are fewer than [`sfu::SHARDS_MAX`].
fn index(shard: usize) -> u8 {
    u8::try_from(shard).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sfu::{Certificate, ShardConfig};

    fn addresses() -> [SocketAddr; 3] {
        [
            "192.0.2.1:5000".parse().unwrap(),
            "[2001:db8::1]:5000".parse().unwrap(),
            SocketAddrV6::new("fe80::1".parse().unwrap(), 9, 1, 2).into(),
        ]
    }

    /// A binding request that names a shard, and nothing else.
    fn check(fragment: &str) -> Vec<u8> {
        let username = format!("{fragment}:peer");
        let padded = username.len().next_multiple_of(4);
        let mut bytes = vec![0, 1, 0, (4 + padded) as u8, 0x21, 0x12, 0xa4, 0x42];
        bytes.extend_from_slice(&[7; 12]);
        bytes.extend_from_slice(&[0, 6, 0, username.len() as u8]);
        bytes.extend_from_slice(username.as_bytes());
        bytes.resize(20 + 4 + padded, 0);
        bytes
    }

    fn pair() -> (Vec<Crossing>, mio::Poll) {
        let poll = mio::Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), mio::Token(0)).unwrap());
        (crossings(&[Arc::clone(&waker), waker]), poll)
    }

    fn shard(index: u8) -> Shard {
        let (now, certificate) = (Instant::now(), Certificate::generate().unwrap());
        let candidates = vec!["192.0.2.9:7880".parse().unwrap()];
        Shard::new(ShardConfig {
            now,
            index,
            seed: [index; 32],
            certificate,
            candidates,
            tcp_candidates: Vec::new(),
        })
        .unwrap()
    }

    #[test]
    fn an_address_survives_the_way() {
        for address in addresses() {
            assert_eq!(decode(&encode(address)), address);
        }
    }

    #[test]
    fn a_check_goes_to_the_shard_it_names_and_media_to_the_one_that_claimed_its_address() {
        let (mut ends, _poll) = pair();
        let [source, other, _] = addresses();
        let crossing = &mut ends[0];
        assert_eq!(crossing.places(false, source, &check("Axxxxxxx")), Places::one(0));
        assert_eq!(crossing.places(true, source, &check("Bxxxxxxx")), Places::one(1));
        // A shard that does not exist.
        assert_eq!(crossing.places(false, source, &check("Zxxxxxxx")), Places::one(0));
        assert_eq!(crossing.places(false, source, &[20, 0, 0]), Places::one(0));
        crossing.claims.insert(source, 1);
        assert_eq!(crossing.places(false, source, &[20, 0, 0]), Places::one(1));
        // Somebody of this shard has the address now.
        assert_eq!(crossing.places(true, source, &[20, 0, 0]), Places::one(0));
        // Media from another port of that host may be either's; other things and other hosts are not.
        let moved = SocketAddr::new(source.ip(), 9);
        assert_eq!(crossing.places(false, moved, &[128, 96]), Places::one(0).with(Places::one(1)));
        assert_eq!(crossing.places(false, moved, &[20, 0]), Places::one(0));
        assert_eq!(crossing.places(false, other, &[128, 96]), Places::one(0));
        crossing.claims.remove(&source);
        assert!(crossing.claims.hosts.is_empty());
    }

    #[test]
    fn what_no_shard_found_genuine_is_claimed_by_none() {
        let (mut ends, _poll) = pair();
        let (mut first, mut second) = (shard(0), shard(1));
        let [source, ..] = addresses();
        let (one, two) = ends.split_at_mut(1);
        let (one, two) = (&mut one[0], &mut two[0]);
        one.claims.insert(source, 1);
        one.receive(Instant::now(), &mut first, source, &mut check("Bxxxxxxx"));
        assert!(!two.take(Instant::now(), &mut second));
        // The forged check made nothing; the old claim was wrong and is taken back.
        assert!(!one.take(Instant::now(), &mut first));
        assert!(one.claims.shards.is_empty());
    }

    #[test]
    fn a_full_lane_drops_whole_datagrams_and_goes_on_afterwards() {
        let (mut ends, _poll) = pair();
        let (mut first, mut second) = (shard(0), shard(1));
        let [source, ..] = addresses();
        let (one, two) = ends.split_at_mut(1);
        let mut dropped = 0;
        for _ in 0..LANE / 1000 {
            let mut datagram = check("Bxxxxxxx");
            datagram.resize(1200, 0);
            dropped += one[0].receive(Instant::now(), &mut first, source, &mut datagram);
        }
        assert!(dropped > 0);
        while two[0].take(Instant::now(), &mut second) {}
        assert_eq!(two[0].next(0), None);
        assert_eq!(one[0].receive(Instant::now(), &mut first, source, &mut check("Bxxxxxxx")), 0);
        assert!(matches!(two[0].next(0), Some((Message::Datagram, from, _)) if from == source));
    }

    #[test]
    fn claims_are_bounded() {
        let mut claims = Claims::default();
        for port in 0..2 {
            for host in 0..CLAIMS_MAX as u32 {
                claims.insert(SocketAddr::new(IpAddr::V4(host.into()), port), 1);
            }
        }
        assert_eq!(claims.shards.len(), CLAIMS_MAX);
        assert!(claims.hosts.len() <= CLAIMS_MAX);
    }
}

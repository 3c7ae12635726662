//! All allocations, and what is done with each message. Owns every table; the only way out of here leads to the media plane.

use crate::allocation::{Allocation, LIFETIME, Peer};
use crate::answers::Answers;
use crate::credential::{REALM, Secret};
use crate::cut::DATAGRAM_MAX;
use crate::message::{CHANNEL_FIRST, Class, HEADER, Message, Method, Writer, kind};
use crate::quota::Quota;
use ring::hmac;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Allocations in all. Higher: about 600 B each; lower: a full server turns people away who have no other way.
const ALLOCATIONS_MAX: usize = 8192;

/// Ports of relayed addresses: those that systems give out by themselves (RFC 6335 section 6), as clients expect.
const PORTS: std::ops::RangeInclusive<u16> = 49_152..=65_535;

/// How often what has ended is thrown away. Nothing waits for it: each use looks at the time itself.
const SWEEP: Duration = Duration::from_secs(10);

/// Kinds that are named in an answer about unknown attributes.
const UNKNOWN_MAX: usize = 8;

/// UDP's number (RFC 8656 section 18.7).
const UDP: u8 = 17;

/// The time of an input: monotonic for what ends, seconds since 1970 for names and nonces.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub instant: Instant,
    pub unix: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// UDP: an address can be forged, answers are lost.
    Datagrams,
    /// A TCP or TLS connection, by a number that is used once.
    Stream(u64),
}

/// Who speaks: at one end of a 5-tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Client {
    pub address: SocketAddr,
    pub transport: Transport,
}

/// From a client's relayed address to one of the media plane's: a place in [`RelayConfig::peers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    pub relayed: SocketAddr,
    pub peer: usize,
}

/// What the relay wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// To the client, as it is.
    Answer { client: Client, message: Vec<u8> },
    /// To the media plane, as if it had come from this path.
    Forward { path: Path, datagram: Vec<u8> },
    /// The client has an allocation now.
    Allocated { client: Client },
    /// And now it has none; nothing more comes from its relayed address.
    Ended { client: Client, relayed: SocketAddr },
    /// What came over this stream is no message: nothing behind it can be understood.
    Garbage { client: Client },
}

/// What a relay needs from outside.
pub struct RelayConfig {
    pub now: Instant,
    /// Unguessable; nothing secret follows from it.
    pub seed: u64,
    pub secret: Secret,
    /// The media plane's addresses, as clients were told. There is no other peer.
    pub peers: Vec<SocketAddr>,
}

/// Why a request is refused: STUN's error codes (RFC 8489 section 14.8, RFC 8656 section 19).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    BadRequest,
    Unauthenticated,
    Forbidden,
    Mismatch,
    StaleNonce,
    AddressFamily,
    WrongCredentials,
    Transport,
    PeerFamily,
    Quota,
    Capacity,
}

impl Refusal {
    const fn code(self) -> (u16, &'static str) {
        match self {
            Self::BadRequest => (400, "Bad Request"),
            Self::Unauthenticated => (401, "Unauthenticated"),
            Self::Forbidden => (403, "Forbidden"),
            Self::Mismatch => (437, "Allocation Mismatch"),
            Self::StaleNonce => (438, "Stale Nonce"),
            Self::AddressFamily => (440, "Address Family not Supported"),
            Self::WrongCredentials => (441, "Wrong Credentials"),
            Self::Transport => (442, "Unsupported Transport Protocol"),
            Self::PeerFamily => (443, "Peer Address Family Mismatch"),
            Self::Quota => (486, "Allocation Quota Reached"),
            Self::Capacity => (508, "Insufficient Capacity"),
        }
    }
}

/// A request whose sender knows a password.
struct Believed {
    name: Box<str>,
    key: hmac::Key,
}

/// See the module.
pub struct Relay {
    secret: Secret,
    peers: Vec<SocketAddr>,
    /// Clients choose their addresses: no table whose hash can be foreseen.
    allocations: BTreeMap<Client, Allocation>,
    /// Of our own choice.
    relayed: FxHashMap<SocketAddr, Client>,
    quota: Quota,
    answers: Answers,
    next_port: u16,
    sweep_at: Instant,
    effects: VecDeque<Effect>,
}

impl Relay {
    #[must_use]
    pub fn new(config: RelayConfig) -> Self {
        Self {
            secret: config.secret,
            peers: config.peers,
            allocations: BTreeMap::new(),
            relayed: FxHashMap::default(),
            quota: Quota::default(),
            answers: Answers::new(config.now, config.seed),
            next_port: *PORTS.start(),
            sweep_at: config.now + SWEEP,
            effects: VecDeque::new(),
        }
    }

    /// What is to be done, in order. Ask until `None` after each call.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`Self::handle_timeout`] has something to do.
    #[must_use]
    pub const fn deadline(&self) -> Instant {
        self.sweep_at
    }

    /// Throws away what has ended.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now < self.sweep_at {
            return;
        }
        self.sweep_at = now + SWEEP;
        let ended: Vec<Client> =
            self.allocations.iter().filter(|(_, a)| !a.lives(now)).map(|(client, _)| *client).collect();
        for client in ended {
            self.end(client);
        }
    }

    /// The client's connection is gone.
    pub fn closed(&mut self, client: Client) {
        self.end(client);
    }

    /// One whole message or datagram from a client.
    pub fn handle(&mut self, now: Now, client: Client, bytes: &[u8]) {
        if bytes.first().is_some_and(|first| CHANNEL_FIRST.contains(first)) {
            return self.channel_data(now, client, bytes);
        }
        match Message::parse(bytes) {
            Some(message) if message.class == Class::Request => self.request(now, client, &message),
            Some(message) if message.class == Class::Indication && message.method == Method::Send => {
                self.send(now, client, &message);
            }
            Some(_) => {}
            None if matches!(client.transport, Transport::Stream(_)) => {
                self.effects.push_back(Effect::Garbage { client });
            }
            None => {}
        }
    }

    /// The media plane sends a datagram back on a path.
    pub fn deliver(&mut self, now: Now, path: Path, datagram: &[u8]) {
        let Some(client) = self.relayed.get(&path.relayed).copied() else { return };
        let found = self.allocations.get_mut(&client).filter(|allocation| allocation.lives(now.instant));
        let Some(allocation) = found.filter(|allocation| allocation.permits(now.instant, path.peer)) else {
            return;
        };
        allocation.prove();
        let message = match allocation.channel_of(now.instant, path.peer) {
            Some(channel) => {
                let Ok(length) = u16::try_from(datagram.len()) else { return };
                let mut message = Vec::with_capacity(datagram.len().saturating_add(8));
                message.extend_from_slice(&channel.to_be_bytes());
                message.extend_from_slice(&length.to_be_bytes());
                message.extend_from_slice(datagram);
                // Padding is for streams alone (RFC 8656 section 12.5).
                if matches!(client.transport, Transport::Stream(_)) {
                    message.resize(message.len().next_multiple_of(4), 0);
                }
                message
            }
            None => {
                let Some(from) = self.peers.get(path.peer).copied() else { return };
                Writer::new(Method::Data, Class::Indication, transaction_of(datagram))
                    .xor_address(kind::XOR_PEER_ADDRESS, from)
                    .attribute(kind::DATA, datagram)
                    .unsigned()
            }
        };
        self.effects.push_back(Effect::Answer { client, message });
    }

    fn request(&mut self, now: Now, client: Client, message: &Message<'_>) {
        if message.method == Method::Binding {
            return self.binding(now, client, message);
        }
        let believed = match self.authenticate(now, client, message) {
            Ok(believed) => believed,
            Err(refusal) => return self.challenge(now, client, message, refusal),
        };
        let unknown: Vec<u8> = message.unknown().take(UNKNOWN_MAX).flat_map(u16::to_be_bytes).collect();
        if !unknown.is_empty() {
            let answer = answer(message, Class::Error).error(420, "Unknown Attribute");
            let answer = answer.attribute(kind::UNKNOWN_ATTRIBUTES, &unknown).signed(&believed.key);
            return self.effects.push_back(Effect::Answer { client, message: answer });
        }
        let key = believed.key.clone();
        let done = match message.method {
            Method::Allocate => self.allocate(now, client, message, believed),
            Method::Refresh => self.refresh(now.instant, client, message, &believed),
            Method::CreatePermission => self.create_permission(now.instant, client, message, &believed),
            Method::ChannelBind => self.channel_bind(now.instant, client, message, &believed),
            Method::Binding | Method::Send | Method::Data => Err(Refusal::BadRequest),
        };
        let message = match done {
            Ok(answer) => answer.signed(&key),
            Err(refusal) => {
                let (code, reason) = refusal.code();
                answer(message, Class::Error).error(code, reason).signed(&key)
            }
        };
        self.effects.push_back(Effect::Answer { client, message });
    }

    /// As whom the client is seen (RFC 8489 section 12): for whoever wants to know their public address.
    fn binding(&mut self, now: Now, client: Client, message: &Message<'_>) {
        let answer =
            answer(message, Class::Success).xor_address(kind::XOR_MAPPED_ADDRESS, client.address).unsigned();
        self.answer_stranger(now, client, answer);
    }

    /// Who asks (RFC 8489 section 9.2.4)? A name whose time is over is believed as long as it has the allocation at hand.
    fn authenticate(&self, now: Now, client: Client, message: &Message<'_>) -> Result<Believed, Refusal> {
        if message.get(kind::MESSAGE_INTEGRITY).is_none() {
            return Err(Refusal::Unauthenticated);
        }
        let text = |kind| message.get(kind).and_then(|value| std::str::from_utf8(value).ok());
        let (Some(name), Some(realm), Some(nonce)) =
            (text(kind::USERNAME), text(kind::REALM), message.get(kind::NONCE))
        else {
            return Err(Refusal::BadRequest);
        };
        if !self.secret.is_fresh(now, &client, nonce) {
            return Err(Refusal::StaleNonce);
        }
        let expiry = Secret::expiry(name).filter(|_| realm == REALM).ok_or(Refusal::Unauthenticated)?;
        let known = self.live(now.instant, client).filter(|allocation| *allocation.name == *name);
        if known.is_none() && expiry < now.unix {
            return Err(Refusal::Unauthenticated);
        }
        let key = known.map_or_else(|| self.secret.key(name), |allocation| allocation.key.clone());
        if !message.is_signed_with(&key) {
            return Err(Refusal::Unauthenticated);
        }
        Ok(Believed { name: name.into(), key })
    }

    /// A refusal to somebody who proved nothing: never signed, and not without end.
    fn challenge(&mut self, now: Now, client: Client, message: &Message<'_>, refusal: Refusal) {
        let (code, reason) = refusal.code();
        let mut answer = answer(message, Class::Error).error(code, reason);
        if matches!(refusal, Refusal::Unauthenticated | Refusal::StaleNonce) {
            let nonce = self.secret.nonce(now, &client);
            answer = answer.attribute(kind::REALM, REALM.as_bytes()).attribute(kind::NONCE, nonce.as_bytes());
        }
        self.answer_stranger(now, client, answer.unsigned());
    }

    fn answer_stranger(&mut self, now: Now, client: Client, message: Vec<u8>) {
        let allowed = match client.transport {
            Transport::Datagrams => self.answers.take(now.instant, client.address.ip()),
            // Its address is its own, and whoever carries it counts.
            Transport::Stream(_) => true,
        };
        if allowed {
            self.effects.push_back(Effect::Answer { client, message });
        }
    }

    fn allocate(
        &mut self,
        now: Now,
        client: Client,
        message: &Message<'_>,
        believed: Believed,
    ) -> Result<Writer, Refusal> {
        if let Some(allocation) = self.live(now.instant, client) {
            // The answer was lost on the way.
            return if allocation.transaction == message.transaction && allocation.name == believed.name {
                let (relayed, left) =
                    (allocation.relayed, allocation.until.saturating_duration_since(now.instant));
                Ok(allocated(message, client, relayed, left))
            } else {
                Err(Refusal::Mismatch)
            };
        }
        let [protocol, ..] = message.get(kind::REQUESTED_TRANSPORT).ok_or(Refusal::BadRequest)? else {
            return Err(Refusal::BadRequest);
        };
        if *protocol != UDP {
            return Err(Refusal::Transport);
        }
        // The port beside, kept for later, would serve nobody here.
        let even = message.get(kind::EVEN_PORT);
        if even.is_some_and(|value| value.first() != Some(&0))
            || message.get(kind::RESERVATION_TOKEN).is_some()
        {
            return Err(Refusal::Capacity);
        }
        let host = self.peer_for(message)?;
        if lifetime(message)?.is_some_and(|asked| asked.is_zero()) {
            return Err(Refusal::BadRequest);
        }
        // What it had before may have ended and not be thrown away yet.
        self.end(client);
        if self.allocations.len() >= ALLOCATIONS_MAX {
            return Err(Refusal::Capacity);
        }
        let relayed = self.free_port(host, even.map_or(1, |_| 2)).ok_or(Refusal::Capacity)?;
        self.quota.take(Secret::person(&believed.name), client.address.ip()).map_err(|_| Refusal::Quota)?;
        let Believed { name, key } = believed;
        let allocation =
            Allocation::new(now.instant, name, key, relayed, message.transaction, self.peers.len());
        self.allocations.insert(client, allocation);
        self.relayed.insert(relayed, client);
        self.effects.push_back(Effect::Allocated { client });
        Ok(allocated(message, client, relayed, LIFETIME))
    }

    /// The media plane's address beside which a relayed one is made. Without a wish IPv4 is meant (RFC 8656 section 7.2);
    /// where there is none, whatever there is.
    fn peer_for(&self, message: &Message<'_>) -> Result<SocketAddr, Refusal> {
        let of_family = |v4: bool| self.peers.iter().copied().find(|peer| peer.is_ipv4() == v4);
        let found = match message.get(kind::REQUESTED_ADDRESS_FAMILY) {
            None => of_family(true).or_else(|| of_family(false)),
            Some([1, ..]) => of_family(true),
            Some([2, ..]) => of_family(false),
            Some(_) => None,
        };
        found.ok_or(Refusal::AddressFamily)
    }

    fn free_port(&mut self, beside: SocketAddr, multiple_of: u16) -> Option<SocketAddr> {
        for _ in PORTS {
            let address = SocketAddr::new(beside.ip(), self.next_port);
            self.next_port = self.next_port.checked_add(1).unwrap_or(*PORTS.start());
            let wanted = address.port().is_multiple_of(multiple_of);
            if wanted && !self.relayed.contains_key(&address) && !self.peers.contains(&address) {
                return Some(address);
            }
        }
        None
    }

    fn refresh(
        &mut self,
        now: Instant,
        client: Client,
        message: &Message<'_>,
        believed: &Believed,
    ) -> Result<Writer, Refusal> {
        let asked = lifetime(message)?;
        let allocation = self.own(now, client, believed)?;
        let v4 = allocation.relayed.is_ipv4();
        match message.get(kind::REQUESTED_ADDRESS_FAMILY) {
            Some([family, ..]) if (*family == 1) != v4 => return Err(Refusal::PeerFamily),
            _ => {}
        }
        let granted = if asked.is_some_and(|asked| asked.is_zero()) { Duration::ZERO } else { LIFETIME };
        allocation.until = now + granted;
        if granted.is_zero() {
            self.end(client);
        }
        Ok(answer(message, Class::Success).attribute(kind::LIFETIME, &seconds(granted)))
    }

    fn create_permission(
        &mut self,
        now: Instant,
        client: Client,
        message: &Message<'_>,
        believed: &Believed,
    ) -> Result<Writer, Refusal> {
        let mut permitted: Vec<Peer> = Vec::new();
        let family = self.own(now, client, believed)?.relayed.is_ipv4();
        for value in message.all(kind::XOR_PEER_ADDRESS) {
            let peer = message.xor_address(value).ok_or(Refusal::BadRequest)?;
            if peer.is_ipv4() != family {
                return Err(Refusal::PeerFamily);
            }
            // A permission is for all ports of an address (RFC 8656 section 9); of ours there is one, or none.
            let ours = self.peers.iter().enumerate().filter(|(_, own)| own.ip() == peer.ip());
            let before = permitted.len();
            permitted.extend(ours.map(|(at, _)| at));
            if permitted.len() == before {
                return Err(Refusal::Forbidden);
            }
        }
        if permitted.is_empty() {
            return Err(Refusal::BadRequest);
        }
        let allocation = self.own(now, client, believed)?;
        for peer in permitted {
            allocation.permit(now, peer);
        }
        Ok(answer(message, Class::Success))
    }

    fn channel_bind(
        &mut self,
        now: Instant,
        client: Client,
        message: &Message<'_>,
        believed: &Believed,
    ) -> Result<Writer, Refusal> {
        let family = self.own(now, client, believed)?.relayed.is_ipv4();
        let Some([high, low, ..]) = message.get(kind::CHANNEL_NUMBER) else {
            return Err(Refusal::BadRequest);
        };
        let value = message.get(kind::XOR_PEER_ADDRESS).ok_or(Refusal::BadRequest)?;
        let peer = message.xor_address(value).ok_or(Refusal::BadRequest)?;
        if !CHANNEL_FIRST.contains(high) {
            return Err(Refusal::BadRequest);
        }
        if peer.is_ipv4() != family {
            return Err(Refusal::PeerFamily);
        }
        let peer = self.peers.iter().position(|own| *own == peer).ok_or(Refusal::Forbidden)?;
        let number = u16::from_be_bytes([*high, *low]);
        self.own(now, client, believed)?.bind(now, number, peer).map_err(|_| Refusal::BadRequest)?;
        Ok(answer(message, Class::Success))
    }

    /// A Send indication. It is not signed; that its sender has the allocation is known by the 5-tuple.
    fn send(&mut self, now: Now, client: Client, message: &Message<'_>) {
        let Some(allocation) = self.live(now.instant, client) else { return };
        let to = message.get(kind::XOR_PEER_ADDRESS).and_then(|value| message.xor_address(value));
        let (Some(to), Some(data)) = (to, message.get(kind::DATA)) else { return };
        let Some(peer) = self.peers.iter().position(|own| *own == to) else { return };
        let whole = data.len() <= DATAGRAM_MAX && message.unknown().next().is_none();
        if whole && allocation.permits(now.instant, peer) {
            let path = Path { relayed: allocation.relayed, peer };
            self.effects.push_back(Effect::Forward { path, datagram: data.to_vec() });
        }
    }

    fn channel_data(&mut self, now: Now, client: Client, bytes: &[u8]) {
        let [high, low, length_high, length_low, data @ ..] = bytes else { return };
        let length = usize::from(u16::from_be_bytes([*length_high, *length_low]));
        let data = data.get(..length).filter(|data| data.len() <= DATAGRAM_MAX);
        let (Some(data), Some(allocation)) = (data, self.live(now.instant, client)) else { return };
        if let Some(peer) = allocation.peer_of(now.instant, u16::from_be_bytes([*high, *low])) {
            let path = Path { relayed: allocation.relayed, peer };
            self.effects.push_back(Effect::Forward { path, datagram: data.to_vec() });
        }
    }

    fn live(&self, now: Instant, client: Client) -> Option<&Allocation> {
        self.allocations.get(&client).filter(|allocation| allocation.lives(now))
    }

    /// The client's allocation, if it was made under the same name.
    fn own(&mut self, now: Instant, client: Client, believed: &Believed) -> Result<&mut Allocation, Refusal> {
        let found = self.allocations.get_mut(&client).filter(|allocation| allocation.lives(now));
        let allocation = found.ok_or(Refusal::Mismatch)?;
        if allocation.name == believed.name { Ok(allocation) } else { Err(Refusal::WrongCredentials) }
    }

    fn end(&mut self, client: Client) {
        let Some(allocation) = self.allocations.remove(&client) else { return };
        self.relayed.remove(&allocation.relayed);
        self.quota.give_back(Secret::person(&allocation.name), client.address.ip());
        self.effects.push_back(Effect::Ended { client, relayed: allocation.relayed });
    }

    /// How many allocations there are.
    #[must_use]
    pub fn allocations(&self) -> usize {
        self.allocations.len()
    }
}

fn answer(message: &Message<'_>, class: Class) -> Writer {
    Writer::new(message.method, class, message.transaction)
}

fn allocated(message: &Message<'_>, client: Client, relayed: SocketAddr, left: Duration) -> Writer {
    answer(message, Class::Success)
        .xor_address(kind::XOR_RELAYED_ADDRESS, relayed)
        .attribute(kind::LIFETIME, &seconds(left))
        .xor_address(kind::XOR_MAPPED_ADDRESS, client.address)
}

fn lifetime(message: &Message<'_>) -> Result<Option<Duration>, Refusal> {
    let Some(value) = message.get(kind::LIFETIME) else { return Ok(None) };
    let seconds = value.try_into().map(u32::from_be_bytes).map_err(|_| Refusal::BadRequest)?;
    Ok(Some(Duration::from_secs(seconds.into())))
}

fn seconds(duration: Duration) -> [u8; 4] {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX).to_be_bytes()
}

/// Indications need a number that nobody answers to; the datagram's own bytes are as good as any.
fn transaction_of(datagram: &[u8]) -> [u8; 12] {
    let mut transaction = [0; 12];
    let from = datagram.get(HEADER.saturating_sub(12)..).unwrap_or_default();
    for (to, byte) in transaction.iter_mut().zip(from) {
        *to = *byte;
    }
    transaction
}

#[cfg(test)]
mod tests;

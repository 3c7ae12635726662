//! A shard with one peer that has offered and not connected yet, as the targets need it.

use rtc_stun::attributes::{ATTR_USERNAME, AttrType};
use rtc_stun::fingerprint::FINGERPRINT;
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::{BINDING_REQUEST, Message, Setter};
use sfu::{Certificate, Command, DtlsRole, Event, Output, PeerId, RoomId, Shard, ShardConfig};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const OFFER: &str = include_str!("../../../server/sfu/tests/golden/offers/chromium-join.sdp");
/// Longer than anything a shard remembers of an address, so that one input knows nothing of the one before.
const BETWEEN_INPUTS: Duration = Duration::from_secs(60);

thread_local! {
    // A shard is large, so it is made once; every input gets a new peer on it.
    static WORLD: RefCell<World> = RefCell::new(World::new());
}

/// The shard, and what the client of its newest peer would know.
pub(crate) struct World {
    shard: Shard,
    now: Instant,
    peer: PeerId,
    username: String,
    password: String,
    pub(crate) client: SocketAddr,
}

/// Runs one input against a new peer.
pub(crate) fn with_peer(input: impl FnOnce(&mut World)) {
    WORLD.with_borrow_mut(|world| {
        world.connect();
        input(world);
        world.shard.handle_command(world.now, Command::Disconnect { peer: world.peer });
        world.drain();
    });
}

/// A shard without peers. Its key is made anew each time.
pub(crate) fn fresh_shard(now: Instant) -> Shard {
    let certificate = Certificate::generate().expect("a certificate");
    let candidates = vec![SocketAddr::from(([127, 0, 0, 1], 7880))];
    let config =
        ShardConfig { now, index: 0, seed: [7; 32], certificate, candidates, tcp_candidates: Vec::new() };
    Shard::new(config).expect("a shard")
}

impl World {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            shard: fresh_shard(now),
            now,
            peer: PeerId(0),
            username: String::new(),
            password: String::new(),
            client: SocketAddr::from(([127, 0, 0, 1], 50_000)),
        }
    }

    fn connect(&mut self) {
        self.pass(BETWEEN_INPUTS);
        self.peer = PeerId(self.peer.0 + 1);
        let peer = self.peer;
        self.shard
            .handle_command(self.now, Command::Connect { peer, room: RoomId(1), role: DtlsRole::Server });
        self.shard.handle_command(self.now, Command::Offer { peer, offer_id: 1, sdp: OFFER.to_owned() });
        let answer = self.answer();
        let of = |sdp, name| attribute(sdp, name).expect("the attribute").to_owned();
        self.username = format!("{}:{}", of(&answer, "ice-ufrag"), of(OFFER, "ice-ufrag"));
        self.password = of(&answer, "ice-pwd");
    }

    /// One datagram from `source`; returns how many datagrams went out.
    pub(crate) fn receive(&mut self, source: SocketAddr, datagram: &[u8]) -> usize {
        self.shard.handle_datagram(self.now, source, &mut datagram.to_vec());
        self.drain()
    }

    /// Lets time go by.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.shard.handle_timeout(self.now);
        self.drain();
    }

    fn drain(&mut self) -> usize {
        let mut sent = 0;
        loop {
            match self.shard.poll_output() {
                Output::Transmit(batch) => sent += batch.len(),
                Output::Event(_) => {}
                Output::Timeout(_) => return sent,
            }
        }
    }

    fn answer(&mut self) -> String {
        loop {
            match self.shard.poll_output() {
                Output::Event(Event::Answer { sdp, .. }) => return sdp,
                Output::Event(_) | Output::Transmit(_) => {}
                Output::Timeout(_) => panic!("no answer to a golden offer"),
            }
        }
    }

    /// A binding request that the client could have sent, with more attributes.
    pub(crate) fn check(&self, more: &[(u16, &[u8])]) -> Vec<u8> {
        signed_check(&self.username, &self.password, more)
    }
}

/// A binding request with this name, more attributes, and a signature by this password.
pub(crate) fn signed_check(username: &str, password: &str, more: &[(u16, &[u8])]) -> Vec<u8> {
    let mut message = Message::new();
    message.set_type(BINDING_REQUEST);
    message.write_header();
    message.add(ATTR_USERNAME, username.as_bytes());
    for (kind, value) in more {
        message.add(AttrType(*kind), value);
    }
    let crypto = rtc_crypto::default_provider().expect("a provider");
    MessageIntegrity::new_short_term_integrity_with_provider(password.to_owned(), crypto.crypto())
        .add_to(&mut message)
        .expect("integrity");
    FINGERPRINT.add_to(&mut message).expect("fingerprint");
    message.raw
}

pub(crate) fn attribute<'a>(sdp: &'a str, name: &str) -> Option<&'a str> {
    let prefix = format!("a={name}:");
    sdp.lines().find_map(|line| line.trim_end().strip_prefix(prefix.as_str()))
}

//! A shard with one peer that has offered and not connected yet, as the targets need it.

use rtc_stun::attributes::{AttrType, ATTR_USERNAME};
use rtc_stun::fingerprint::FINGERPRINT;
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::{BINDING_REQUEST, Message, Setter};
use sfu::{Certificate, Command, Event, Output, PeerId, RoomId, Shard, ShardConfig};
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Instant;

const OFFER: &str = include_str!("../../../server/sfu/tests/golden/offers/chromium-join.sdp");
const PEER: PeerId = PeerId(1);

// Making a certificate is slow, and none of the targets is about it.
static CERTIFICATE: LazyLock<Certificate> = LazyLock::new(|| Certificate::generate().expect("a certificate"));

/// The shard, and what a client would know of it.
pub struct World {
    pub shard: Shard,
    pub now: Instant,
    pub client: SocketAddr,
    username: String,
    password: String,
}

impl Default for World {
    fn default() -> Self {
        let now = Instant::now();
        let candidates = vec![SocketAddr::from(([127, 0, 0, 1], 7880))];
        let config = ShardConfig { now, seed: [7; 32], certificate: CERTIFICATE.clone(), candidates };
        let mut shard = Shard::new(config).expect("a shard");
        shard.handle_command(now, Command::Connect { peer: PEER, room: RoomId(1) });
        shard.handle_command(now, Command::Offer { peer: PEER, offer_id: 1, sdp: OFFER.to_owned() });
        let answer = answer(&mut shard);
        let username = format!("{}:{}", attribute(&answer, "ice-ufrag"), attribute(OFFER, "ice-ufrag"));
        let password = attribute(&answer, "ice-pwd").to_owned();
        Self { shard, now, client: SocketAddr::from(([127, 0, 0, 1], 50_000)), username, password }
    }
}

impl World {
    /// One datagram from `source`; returns how many datagrams went out.
    pub fn receive(&mut self, source: SocketAddr, datagram: &[u8]) -> usize {
        self.shard.handle_datagram(self.now, source, &mut datagram.to_vec());
        self.drain()
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

    /// A binding request that the client could have sent, with more attributes.
    pub fn check(&self, more: &[(u16, &[u8])]) -> Vec<u8> {
        let mut message = Message::new();
        message.set_type(BINDING_REQUEST);
        message.write_header();
        message.add(ATTR_USERNAME, self.username.as_bytes());
        for (kind, value) in more {
            message.add(AttrType(*kind), value);
        }
        let crypto = rtc_crypto::default_provider().expect("a provider");
        MessageIntegrity::new_short_term_integrity_with_provider(self.password.clone(), crypto.crypto())
            .add_to(&mut message)
            .expect("integrity");
        FINGERPRINT.add_to(&mut message).expect("fingerprint");
        message.raw
    }
}

fn answer(shard: &mut Shard) -> String {
    loop {
        match shard.poll_output() {
            Output::Event(Event::Answer { sdp, .. }) => return sdp,
            Output::Event(_) | Output::Transmit(_) => {}
            Output::Timeout(_) => panic!("no answer to a golden offer"),
        }
    }
}

fn attribute<'a>(sdp: &'a str, name: &str) -> &'a str {
    let prefix = format!("a={name}:");
    sdp.lines().find_map(|line| line.trim_end().strip_prefix(prefix.as_str())).expect("the attribute")
}

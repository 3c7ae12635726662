//! The relay: messages from strangers, requests of somebody who has credentials with odd attributes, and streams cut anywhere.
//! Whatever comes, what is forwarded goes to one of the media plane's addresses, and what is kept is bounded.

use crate::reading;
use arbitrary::Arbitrary;
use md5::{Digest as _, Md5};
use ring::hmac;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use turn::{Client, Cut, Effect, Now, Path, Relay, RelayConfig, Secret, Transport, cut, is_for_relay};

const PEERS: usize = 2;
const EXPIRES: u64 = 1_800_000_000;

#[derive(Arbitrary, Debug)]
enum Step {
    /// Bytes as they come.
    Bytes(bool, Vec<u8>),
    /// A request (its method's number) that is signed as it should be.
    Signed(bool, u8, Vec<(u16, Vec<u8>)>),
    /// The media plane sends something back.
    Deliver(u16, u8, Vec<u8>),
    Pass(u16),
    Closed,
}

struct World {
    relay: Relay,
    now: Now,
    username: String,
    key: hmac::Key,
    nonces: [Vec<u8>; 2],
}

pub(crate) fn run(bytes: &[u8]) {
    let Some(steps) = reading::<Vec<Step>>(bytes) else { return };
    let secret = Secret::derive(b"a secret for the fuzz target");
    let now = Now { instant: Instant::now(), unix: EXPIRES - 60 };
    let peers = vec![
        SocketAddr::from(([203, 0, 113, 5], 443)),
        SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 443)),
    ];
    let credential = secret.issue(EXPIRES, &[1; 12]);
    let named = [credential.username.as_str(), "enza", credential.password.as_str()].join(":");
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &Md5::digest(named));
    let relay = Relay::new(RelayConfig { now: now.instant, seed: 7, secret, peers });
    let mut world =
        World { relay, now, username: credential.username, key, nonces: [Vec::new(), Vec::new()] };
    // A challenge for each, so that what is signed gets somewhere.
    for stream in [false, true] {
        let bytes = message(3, &[(0x19, vec![17, 0, 0, 0])], None);
        world.handle(stream, &bytes);
    }
    for step in steps.into_iter().take(64) {
        world.step(step);
    }
}

impl World {
    fn step(&mut self, step: Step) {
        match step {
            Step::Bytes(stream, bytes) => {
                let _ = is_for_relay(&bytes);
                if let Cut::Whole { length, taken } = cut(&bytes) {
                    assert!(length <= taken && taken <= bytes.len());
                }
                self.handle(stream, &bytes);
            }
            Step::Signed(stream, method, attributes) => {
                let nonce = self.nonces[usize::from(stream)].clone();
                let mut all =
                    vec![(6, self.username.clone().into_bytes()), (0x14, b"enza".to_vec()), (0x15, nonce)];
                all.extend(attributes.into_iter().take(8).map(|(kind, value)| (kind & 0x803f, value)));
                all.iter_mut().for_each(|(_, value)| value.truncate(128));
                let bytes = message(method & 15, &all, Some(&self.key));
                self.handle(stream, &bytes);
            }
            Step::Deliver(port, peer, datagram) => {
                let relayed = SocketAddr::from(([203, 0, 113, 5], 49_152_u16.saturating_add(port & 7)));
                self.relay.deliver(self.now, Path { relayed, peer: usize::from(peer & 3) }, &datagram);
                self.drain();
            }
            Step::Pass(seconds) => {
                self.now.instant += Duration::from_secs(seconds.into());
                self.now.unix += u64::from(seconds);
                self.relay.handle_timeout(self.now.instant);
                self.drain();
            }
            Step::Closed => {
                self.relay.closed(client(true));
                self.drain();
            }
        }
        assert!(self.relay.allocations() <= 2, "one for each client");
    }

    fn handle(&mut self, stream: bool, bytes: &[u8]) {
        self.relay.handle(self.now, client(stream), bytes);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(effect) = self.relay.poll_effect() {
            match effect {
                Effect::Forward { path, .. } => assert!(path.peer < PEERS, "there is no other peer"),
                Effect::Answer { client, message } => {
                    // NONCE of a challenge.
                    let mut rest = message.get(20..).unwrap_or_default();
                    while let [high, low, length_high, length_low, tail @ ..] = rest {
                        let length = usize::from(u16::from_be_bytes([*length_high, *length_low]));
                        let Some(value) = tail.get(..length) else { break };
                        if [*high, *low] == [0, 0x15] && message.first() == Some(&1) {
                            self.nonces[usize::from(client.transport != Transport::Datagrams)] =
                                value.to_vec();
                        }
                        rest = tail.get(length.next_multiple_of(4)..).unwrap_or_default();
                    }
                }
                Effect::Allocated { .. } | Effect::Ended { .. } | Effect::Garbage { .. } => {}
            }
        }
    }
}

fn client(stream: bool) -> Client {
    let transport = if stream { Transport::Stream(1) } else { Transport::Datagrams };
    Client { address: SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000)), transport }
}

fn message(method: u8, attributes: &[(u16, Vec<u8>)], key: Option<&hmac::Key>) -> Vec<u8> {
    let mut bytes = vec![0, method, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    let add = |bytes: &mut Vec<u8>, kind: u16, value: &[u8]| {
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(&(value.len() as u16).to_be_bytes());
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    };
    for (kind, value) in attributes {
        add(&mut bytes, *kind, value);
    }
    let signed = if key.is_some() { 24 } else { 0 };
    let length = (bytes.len() - 20 + signed) as u16;
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
    if let Some(key) = key {
        let tag = hmac::sign(key, &bytes);
        add(&mut bytes, 8, tag.as_ref());
    }
    bytes
}

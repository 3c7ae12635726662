use super::*;
use crate::credential::{Credential, long_term_key};
use proptest::prelude::*;

const PEERS: [&str; 3] = ["203.0.113.5:443", "10.0.0.5:443", "[2001:db8::5]:443"];
const EXPIRES: u64 = 1_800_000_000;

/// A relay, and one client that speaks to it.
struct World {
    relay: Relay,
    now: Now,
    client: Client,
    credential: Credential,
    nonce: String,
    transaction: u8,
}

/// What a client made of an answer.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Success(Vec<(u16, Vec<u8>)>),
    Error(u16),
}

impl World {
    fn new(transport: Transport) -> Self {
        let secret = Secret::derive(b"the server's key");
        let now = Now { instant: crate::start(), unix: EXPIRES - 3600 };
        let credential = secret.issue(EXPIRES, b"anna");
        let peers = PEERS.iter().map(|peer| peer.parse().unwrap()).collect();
        let relay = Relay::new(RelayConfig { now: now.instant, seed: 1, secret, peers });
        let client = Client { address: "192.0.2.7:50000".parse().unwrap(), transport };
        Self { relay, now, client, credential, nonce: String::new(), transaction: 0 }
    }

    fn key(&self) -> hmac::Key {
        long_term_key(&self.credential.username, REALM, &self.credential.password)
    }

    fn writer(&mut self, method: Method) -> Writer {
        self.transaction += 1;
        Writer::new(method, Class::Request, [self.transaction; 12])
    }

    fn signed(&self, writer: Writer) -> Vec<u8> {
        writer
            .attribute(kind::USERNAME, self.credential.username.as_bytes())
            .attribute(kind::REALM, REALM.as_bytes())
            .attribute(kind::NONCE, self.nonce.as_bytes())
            .signed(&self.key())
    }

    fn handle(&mut self, bytes: &[u8]) -> Vec<Effect> {
        self.relay.handle(self.now, self.client, bytes);
        std::iter::from_fn(|| self.relay.poll_effect()).collect()
    }

    fn said(&mut self, bytes: &[u8]) -> Option<Said> {
        let answer = self.handle(bytes).into_iter().find_map(|effect| match effect {
            Effect::Answer { client, message } if client == self.client => Some(message),
            _ => None,
        })?;
        let message = Message::parse(&answer).unwrap();
        assert_eq!(message.transaction, Message::parse(bytes).unwrap().transaction);
        if let Some(nonce) = message.get(kind::NONCE) {
            self.nonce = String::from_utf8(nonce.to_vec()).unwrap();
        }
        Some(match message.class {
            Class::Success => {
                let known = [kind::XOR_RELAYED_ADDRESS, kind::XOR_MAPPED_ADDRESS, kind::LIFETIME];
                let signed = message.method == Method::Binding || message.is_signed_with(&self.key());
                assert!(signed, "an answer to somebody known is signed");
                Said::Success(
                    known.into_iter().filter_map(|kind| Some((kind, message.get(kind)?.to_vec()))).collect(),
                )
            }
            _ => {
                let [_, _, class, number, ..] = message.get(kind::ERROR_CODE).unwrap() else { panic!() };
                Said::Error(u16::from(*class) * 100 + u16::from(*number))
            }
        })
    }

    fn ask(&mut self, writer: Writer) -> Said {
        let bytes = self.signed(writer);
        self.said(&bytes).unwrap()
    }

    /// As a browser does: asks, is challenged, asks again.
    fn allocate(&mut self) -> Said {
        let request = self.writer(Method::Allocate).attribute(kind::REQUESTED_TRANSPORT, &[UDP, 0, 0, 0]);
        assert_eq!(self.said(&request.unsigned()), Some(Said::Error(401)));
        let request = self.writer(Method::Allocate).attribute(kind::REQUESTED_TRANSPORT, &[UDP, 0, 0, 0]);
        self.ask(request)
    }

    fn permit(&mut self, peer: &str) -> Said {
        let peer = peer.parse().unwrap();
        let request = self.writer(Method::CreatePermission).xor_address(kind::XOR_PEER_ADDRESS, peer);
        self.ask(request)
    }

    fn bind(&mut self, channel: u16, peer: &str) -> Said {
        let peer = peer.parse().unwrap();
        let request = self
            .writer(Method::ChannelBind)
            .attribute(kind::CHANNEL_NUMBER, &[channel.to_be_bytes(), [0, 0]].concat())
            .xor_address(kind::XOR_PEER_ADDRESS, peer);
        self.ask(request)
    }

    /// The media plane answers.
    fn prove(&mut self) {
        assert_eq!(self.permit(PEERS[0]), DONE);
        self.relay.deliver(self.now, Path { relayed: relayed(), peer: 0 }, b"answer");
        assert!(matches!(self.relay.poll_effect(), Some(Effect::Answer { .. })));
    }

    fn send(&mut self, peer: SocketAddr, data: &[u8]) -> Vec<Effect> {
        let message = Writer::new(Method::Send, Class::Indication, [3; 12])
            .xor_address(kind::XOR_PEER_ADDRESS, peer)
            .attribute(kind::DATA, data)
            .unsigned();
        self.handle(&message)
    }

    fn pass(&mut self, seconds: u64) {
        self.now.instant += Duration::from_secs(seconds);
        self.now.unix += seconds;
        self.relay.handle_timeout(self.now.instant);
    }
}

fn relayed() -> SocketAddr {
    "203.0.113.5:49152".parse().unwrap()
}

const DONE: Said = Said::Success(Vec::new());

#[test]
fn data_goes_to_the_media_plane_and_comes_back() {
    for transport in [Transport::Datagrams, Transport::Stream(4)] {
        let mut world = World::new(transport);
        let Said::Success(told) = world.allocate() else { panic!("no allocation") };
        assert_eq!(told.len(), 3);
        assert_eq!(world.relay.allocations(), 1);
        let peer = PEERS[1].parse().unwrap();
        assert_eq!(world.send(peer, b"too early"), []);
        assert_eq!(world.permit(PEERS[1]), DONE);
        let path = Path { relayed: relayed(), peer: 1 };
        assert_eq!(world.send(peer, b"check"), [Effect::Forward { path, datagram: b"check".to_vec() }]);
        // Its own port, not another one of that address.
        assert_eq!(world.send(SocketAddr::new(peer.ip(), 22), b"check"), []);

        world.relay.deliver(world.now, path, b"answer");
        let Some(Effect::Answer { client, message }) = world.relay.poll_effect() else { panic!() };
        let back = Message::parse(&message).unwrap();
        assert_eq!((client, back.method, back.class), (world.client, Method::Data, Class::Indication));
        assert_eq!(back.get(kind::DATA), Some(&b"answer"[..]));
        assert_eq!(back.xor_address(back.get(kind::XOR_PEER_ADDRESS).unwrap()), Some(peer));

        assert_eq!(world.bind(0x4001, PEERS[1]), DONE);
        let media = [&[0x40, 1, 0, 5][..], b"media", &[0, 0, 0]].concat();
        assert_eq!(world.handle(&media), [Effect::Forward { path, datagram: b"media".to_vec() }]);
        world.relay.deliver(world.now, path, b"media");
        let padding = if transport == Transport::Datagrams { 0 } else { 3 };
        let message = media[..9 + padding].to_vec();
        assert_eq!(world.relay.poll_effect(), Some(Effect::Answer { client, message }));
        // A path that was not asked for.
        world.relay.deliver(world.now, Path { peer: 0, ..path }, b"media");
        assert_eq!(world.relay.poll_effect(), None);
    }
}

#[test]
fn what_is_too_long_for_the_media_plane_goes_no_further() {
    for transport in [Transport::Datagrams, Transport::Stream(4)] {
        let mut world = World::new(transport);
        world.allocate();
        assert_eq!((world.permit(PEERS[1]), world.bind(0x4001, PEERS[1])), (DONE, DONE));
        for (length, forwarded) in [(DATAGRAM_MAX, 1), (DATAGRAM_MAX + 1, 0)] {
            let data = vec![1; length];
            assert_eq!(world.send(PEERS[1].parse().unwrap(), &data).len(), forwarded);
            let length = u16::try_from(length).unwrap().to_be_bytes();
            assert_eq!(world.handle(&[&[0x40, 1], &length[..], &data].concat()).len(), forwarded);
        }
    }
}

#[test]
fn no_other_peer_can_be_reached() {
    let mut world = World::new(Transport::Datagrams);
    world.allocate();
    let others = [
        "127.0.0.1:443",
        "127.0.0.1:7880",
        "10.0.0.6:443",
        "192.168.0.1:80",
        "169.254.169.254:80",
        "0.0.0.0:443",
        "255.255.255.255:443",
        "198.51.100.1:443",
        "192.0.2.7:50000",
        "203.0.113.6:443",
    ];
    for other in others {
        assert_eq!(world.permit(other), Said::Error(403), "{other}");
        assert_eq!(world.bind(0x4000, other), Said::Error(403), "{other}");
        assert_eq!(world.send(other.parse().unwrap(), b"x"), [], "{other}");
    }
    for other in ["[::1]:443", "[fe80::1]:443", "[::ffff:127.0.0.1]:443", PEERS[2]] {
        assert_eq!(world.permit(other), Said::Error(443), "{other}");
        assert_eq!(world.bind(0x4000, other), Said::Error(443), "{other}");
        assert_eq!(world.send(other.parse().unwrap(), b"x"), [], "{other}");
    }
    // Another service at our own address.
    assert_eq!(world.bind(0x4000, "203.0.113.5:22"), Said::Error(403));
    // One wrong address spoils the request.
    let both = world.writer(Method::CreatePermission);
    let both = both.xor_address(kind::XOR_PEER_ADDRESS, PEERS[0].parse().unwrap());
    let both = both.xor_address(kind::XOR_PEER_ADDRESS, "127.0.0.1:443".parse().unwrap());
    assert_eq!(world.ask(both), Said::Error(403));
    assert_eq!(world.send(PEERS[0].parse().unwrap(), b"x"), []);
    // Another client's relayed address is no peer either.
    assert_eq!(world.bind(0x4000, &relayed().to_string()), Said::Error(403));
}

#[test]
fn who_has_no_password_gets_nothing() {
    let mut world = World::new(Transport::Datagrams);
    let right = world.credential.clone();
    let request = |world: &mut World| {
        let request = world.writer(Method::Allocate).attribute(kind::REQUESTED_TRANSPORT, &[UDP, 0, 0, 0]);
        world.ask(request)
    };
    // Without a nonce of ours.
    assert_eq!(request(&mut world), Said::Error(438));
    for wrong in [
        Credential { password: "guessed".to_owned(), ..right.clone() },
        Credential { username: format!("{}:x", EXPIRES + 1), ..right.clone() },
        Credential { username: "operator".to_owned(), ..right.clone() },
        // Its time is over, though the password is right.
        world.relay.secret.issue(world.now.unix - 1, b"anna"),
    ] {
        world.credential = wrong;
        assert_eq!(request(&mut world), Said::Error(401));
    }
    assert_eq!(world.relay.allocations(), 0);
    world.credential = right;
    assert!(matches!(request(&mut world), Said::Success(_)));
    // A nonce is good from one address only.
    world.client.address.set_port(1);
    assert_eq!(request(&mut world), Said::Error(438));
}

#[test]
fn an_allocation_is_its_maker_s_alone() {
    let mut world = World::new(Transport::Datagrams);
    world.allocate();
    let mine = world.credential.clone();
    world.credential = world.relay.secret.issue(EXPIRES, b"ben");
    assert_eq!(world.permit(PEERS[0]), Said::Error(441));
    let refresh = world.writer(Method::Refresh).attribute(kind::LIFETIME, &[0; 4]);
    assert_eq!(world.ask(refresh), Said::Error(441));
    assert_eq!(world.allocate(), Said::Error(437));
    world.credential = mine;
    assert_eq!(world.allocate(), Said::Error(437));
    // From another address it is not found.
    let peer = PEERS[0].parse().unwrap();
    assert_eq!(world.permit(PEERS[0]), DONE);
    assert_eq!(world.send(peer, b"x").len(), 1);
    world.client.address.set_port(1);
    assert_eq!(world.send(peer, b"x"), []);
    assert_eq!(world.handle(&[0x40, 0, 0, 0]), []);
}

#[test]
fn an_answer_that_was_lost_is_given_again() {
    let mut world = World::new(Transport::Datagrams);
    world.allocate();
    let request = Writer::new(Method::Allocate, Class::Request, [world.transaction; 12])
        .attribute(kind::REQUESTED_TRANSPORT, &[UDP, 0, 0, 0]);
    assert!(matches!(world.ask(request), Said::Success(_)));
    assert_eq!(world.relay.allocations(), 1);
}

#[test]
fn an_allocation_ends_unless_it_is_refreshed_even_when_its_name_is_old() {
    let mut world = World::new(Transport::Datagrams);
    world.allocate();
    world.prove();
    for _ in 0..10 {
        world.pass(500);
        let refresh = world.writer(Method::Refresh);
        // The nonce grows old in between.
        let said = match world.ask(refresh) {
            Said::Error(438) => {
                let refresh = world.writer(Method::Refresh);
                world.ask(refresh)
            }
            said => said,
        };
        assert_eq!(said, Said::Success(vec![(kind::LIFETIME, vec![0, 0, 2, 88])]));
    }
    assert!(world.now.unix > EXPIRES, "the name alone would not be let in any more");
    world.pass(600);
    let client = world.client;
    assert_eq!(world.relay.poll_effect(), Some(Effect::Ended { client, relayed: relayed() }));
    assert_eq!(world.permit(PEERS[0]), Said::Error(401));
    assert!(world.relay.relayed.is_empty() && world.relay.quota.is_empty());
}

#[test]
fn whoever_is_in_no_call_does_not_keep_an_allocation() {
    let mut world = World::new(Transport::Datagrams);
    world.allocate();
    assert_eq!(world.permit(PEERS[0]), DONE);
    world.pass(30);
    let refresh = world.writer(Method::Refresh);
    assert_eq!(world.ask(refresh), Said::Success(vec![(kind::LIFETIME, vec![0, 0, 2, 88])]));
    world.pass(30);
    let client = world.client;
    assert_eq!(world.relay.poll_effect(), Some(Effect::Ended { client, relayed: relayed() }));
    assert!(world.relay.relayed.is_empty() && world.relay.quota.is_empty());
}

#[test]
fn what_is_given_back_or_closed_is_free_at_once() {
    let mut world = World::new(Transport::Stream(1));
    world.allocate();
    let refresh = world.writer(Method::Refresh).attribute(kind::LIFETIME, &[0; 4]);
    assert_eq!(world.ask(refresh), Said::Success(vec![(kind::LIFETIME, vec![0; 4])]));
    assert_eq!(world.relay.allocations(), 0);
    world.allocate();
    world.relay.closed(world.client);
    assert!(matches!(world.relay.poll_effect(), Some(Effect::Ended { .. })));
    assert!(world.relay.relayed.is_empty() && world.relay.quota.is_empty());
}

#[test]
fn one_that_ended_and_was_not_swept_makes_room_for_the_next() {
    let mut world = World::new(Transport::Datagrams);
    world.allocate();
    world.now.instant += LIFETIME;
    assert!(matches!(world.allocate(), Said::Success(_)));
    assert_eq!((world.relay.allocations(), world.relay.relayed.len()), (1, 1));
}

#[test]
fn odd_requests_are_refused_by_their_numbers() {
    let mut world = World::new(Transport::Datagrams);
    let writer = world.writer(Method::Allocate);
    world.said(&writer.unsigned());
    let wishes: [(u16, &[u8], u16); 7] = [
        (kind::REQUESTED_TRANSPORT, &[6, 0, 0, 0], 442),
        (kind::REQUESTED_TRANSPORT, &[], 400),
        (kind::EVEN_PORT, &[0x80], 508),
        (kind::RESERVATION_TOKEN, &[0; 8], 508),
        (kind::REQUESTED_ADDRESS_FAMILY, &[9, 0, 0, 0], 440),
        (kind::LIFETIME, &[1, 2], 400),
        (0x7777, &[1], 420),
    ];
    for (kind, value, code) in wishes {
        let request = world.writer(Method::Allocate).attribute(kind, value);
        let request = request.attribute(kind::REQUESTED_TRANSPORT, &[UDP, 0, 0, 0]);
        assert_eq!(world.ask(request), Said::Error(code), "{kind:#x}");
    }
    let without_transport = world.writer(Method::Allocate);
    assert_eq!(world.ask(without_transport), Said::Error(400));
    assert_eq!(world.permit(PEERS[0]), Said::Error(437));
    let request = world.writer(Method::Allocate).attribute(kind::REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0]);
    let request = request.attribute(kind::REQUESTED_TRANSPORT, &[UDP, 0, 0, 0]).attribute(0x8abc, b"ignored");
    assert!(matches!(world.ask(request), Said::Success(_)));
    assert_eq!(world.permit(PEERS[0]), Said::Error(443));
    assert_eq!(world.permit(PEERS[2]), DONE);
    let empty = world.writer(Method::CreatePermission);
    assert_eq!(world.ask(empty), Said::Error(400));
    for channel in [0x3fff, 0x5000] {
        assert_eq!(world.bind(channel, PEERS[2]), Said::Error(400));
    }
}

#[test]
fn a_port_that_shall_be_even_is() {
    let mut world = World::new(Transport::Stream(0));
    for number in 1..5 {
        world.client.transport = Transport::Stream(number);
        let writer = world.writer(Method::Allocate);
        world.said(&writer.unsigned());
        let request = world.writer(Method::Allocate).attribute(kind::EVEN_PORT, &[0]);
        assert!(matches!(
            world.ask(request.attribute(kind::REQUESTED_TRANSPORT, &[UDP, 0, 0, 0])),
            Said::Success(_)
        ));
    }
    assert_eq!(world.relay.relayed.len(), 4);
    assert!(world.relay.relayed.keys().all(|address| address.port() % 2 == 0));
}

#[test]
fn one_person_has_a_bounded_number_and_others_still_get_theirs() {
    let mut world = World::new(Transport::Stream(0));
    let mut had = 0;
    for number in 1..100 {
        world.client.transport = Transport::Stream(number);
        // Whoever comes back is told another name, which is the same person's.
        world.credential = world.relay.secret.issue(EXPIRES + number, b"anna");
        match world.allocate() {
            Said::Success(_) => had += 1,
            refused => assert_eq!(refused, Said::Error(486)),
        }
    }
    assert_eq!(had, world.relay.allocations());
    assert!((8..64).contains(&had), "{had}");
    world.credential = world.relay.secret.issue(EXPIRES, b"ben");
    assert!(matches!(world.allocate(), Said::Success(_)));
}

#[test]
fn whoever_asks_is_told_their_address_but_not_without_end() {
    let mut world = World::new(Transport::Datagrams);
    let question = crate::binding_request([5; 12]);
    let mut answered = 0;
    for _ in 0..10_000 {
        for effect in world.handle(&question) {
            let Effect::Answer { message, .. } = effect else { panic!() };
            assert_eq!(crate::mapped_address(&message, [5; 12]), Some(world.client.address));
            assert!(message.len() <= question.len() * 2);
            answered += 1;
        }
    }
    assert!((1..=200).contains(&answered), "{answered}");
    world.pass(1);
    assert_eq!(world.handle(&question).len(), 1);
}

/// A challenge over UDP goes to an address that may be forged.
#[test]
fn a_flood_without_credentials_keeps_nothing_and_is_answered_a_bounded_number_of_times() {
    let mut world = World::new(Transport::Datagrams);
    let mut sent = 0;
    for n in 0..50_000_u32 {
        world.client.address = SocketAddr::from((std::net::Ipv4Addr::from_bits(n), 9));
        let request = world.writer_of(n).attribute(kind::REQUESTED_TRANSPORT, &[UDP, 0, 0, 0]).unsigned();
        for effect in world.handle(&request) {
            let Effect::Answer { message, .. } = effect else { panic!() };
            assert!(message.len() <= 5 * request.len());
            sent += 1;
        }
    }
    assert!(sent <= 2000, "{sent}");
    assert_eq!((world.relay.allocations(), world.relay.effects.len()), (0, 0));
}

impl World {
    fn writer_of(&self, n: u32) -> Writer {
        let mut transaction = [0; 12];
        transaction[..4].copy_from_slice(&n.to_be_bytes());
        Writer::new(Method::Allocate, Class::Request, transaction)
    }
}

#[test]
fn garbage_ends_a_stream_and_nothing_else() {
    let mut world = World::new(Transport::Stream(1));
    let client = world.client;
    assert_eq!(world.handle(&[0; 20]), [Effect::Garbage { client }]);
    world.client.transport = Transport::Datagrams;
    assert_eq!(world.handle(&[0; 20]), []);
    // Answers are not asked for.
    let answer = Writer::new(Method::Allocate, Class::Success, [1; 12]).unsigned();
    assert_eq!(world.handle(&answer), []);
}

proptest! {
    #[test]
    fn nothing_that_comes_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), flip in any::<(u8, u8)>()) {
        let mut world = World::new(Transport::Datagrams);
        world.allocate();
        world.permit(PEERS[0]);
        world.handle(&bytes);
        let mut request = { let writer = world.writer(Method::Refresh); world.signed(writer) };
        let at = usize::from(flip.0) % request.len();
        request[at] ^= flip.1;
        world.handle(&request);
    }
}

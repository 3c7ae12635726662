//! The relay's task: it owns [`turn::Relay`], hands it what comes over UDP and over streams, and carries out what it wants. To the
//! media plane each path through it is one more address (`mark.rs`); it opens no socket towards anybody.

mod stream;

pub(super) use stream::carry;
pub(crate) use stream::{Behind, behind_tls, carry_tls};

use super::mark;
use super::socket::outgoing;
use super::{MediaThreads, Outbox, StreamInput};
use crate::rooms;
use crate::server::raised;
use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokio::sync::{mpsc, watch};
use turn::{Client, Effect, Now, Relay, RelayConfig, Secret, Transport};

/// Messages of streams that wait for the relay; then their connections are read no further. Higher: memory; lower: more waiting.
const INPUTS: usize = 1024;

/// Datagrams for the relay that wait; more are dropped. Higher: what is answered is older; lower: a burst is cut.
const DATAGRAMS: usize = 1024;

/// What comes back from the media threads and waits; more is dropped, as on a full line. Higher: slow lines hear what is long
/// past; lower: key frames are cut.
const RETURNED: usize = 4096;

/// Taken from one queue before the others get their turn.
const PER_TURN: usize = 64;

/// What a stream tells the relay.
enum Input {
    Opened { client: Client, outbox: mpsc::Sender<Vec<u8>>, proof: watch::Sender<bool> },
    Message { client: Client, message: Vec<u8> },
    Closed { client: Client },
}

/// The way to the relay. Cheap to clone.
#[derive(Clone)]
pub(crate) struct RelayHandle {
    inputs: mpsc::Sender<Input>,
    datagrams: mpsc::Sender<(SocketAddr, Box<[u8]>)>,
    returned: mpsc::Sender<(SocketAddr, Box<[u8]>)>,
    streams: Arc<AtomicU64>,
}

/// What waits for the relay.
pub(crate) struct RelayInbox {
    inputs: mpsc::Receiver<Input>,
    datagrams: mpsc::Receiver<(SocketAddr, Box<[u8]>)>,
    returned: mpsc::Receiver<(SocketAddr, Box<[u8]>)>,
}

/// Both ends, made before the media threads that get one of them.
pub(crate) fn relay() -> (RelayHandle, RelayInbox) {
    let (inputs, inputs_inbox) = mpsc::channel(INPUTS);
    let (datagrams, datagrams_inbox) = mpsc::channel(DATAGRAMS);
    let (returned, returned_inbox) = mpsc::channel(RETURNED);
    let inbox = RelayInbox { inputs: inputs_inbox, datagrams: datagrams_inbox, returned: returned_inbox };
    (RelayHandle { inputs, datagrams, returned, streams: Arc::default() }, inbox)
}

impl RelayHandle {
    /// Takes a datagram of the media socket if it is the relay's. Media is told by one look at its first byte.
    #[inline]
    pub(super) fn takes(&self, source: SocketAddr, datagram: &[u8]) -> bool {
        matches!(datagram.first(), Some(0..=3 | 64..=79)) && self.takes_stun(source, datagram)
    }

    #[cold]
    fn takes_stun(&self, source: SocketAddr, datagram: &[u8]) -> bool {
        let takes = turn::is_for_relay(datagram);
        if takes {
            // Full: dropped, as by a full socket.
            let _ = self.datagrams.try_send((source, datagram.into()));
        }
        takes
    }

    /// What the media plane sends to one of the relay's paths; false when it was dropped.
    pub(super) fn returns(&self, to: SocketAddr, datagram: &[u8]) -> bool {
        self.returned.try_send((to, datagram.into())).is_ok()
    }

    /// A stream's name among all.
    fn client(&self, address: SocketAddr) -> Client {
        Client { address, transport: Transport::Stream(self.streams.fetch_add(1, Ordering::Relaxed)) }
    }
}

/// Where the relay leads, and how it answers.
pub(crate) struct RelayEnds {
    pub(crate) threads: MediaThreads,
    /// One of the media plane's.
    pub(crate) socket: UdpSocket,
    /// The media plane's addresses, as clients are told.
    pub(crate) peers: Vec<SocketAddr>,
    pub(crate) stopping: watch::Receiver<bool>,
}

impl RelayInbox {
    /// Starts the relay.
    ///
    /// # Errors
    /// When there are no random numbers.
    pub(crate) fn start(
        self,
        handle: RelayHandle,
        secret: Secret,
        ends: RelayEnds,
    ) -> Result<(), getrandom::Error> {
        let RelayEnds { threads, socket, peers, stopping } = ends;
        let config = RelayConfig { now: Instant::now(), seed: getrandom::u64()?, secret, peers };
        let mapped = socket.local_addr().is_ok_and(|address| address.is_ipv6());
        let task = Task {
            relay: Relay::new(config),
            handle,
            threads,
            socket,
            mapped,
            streams: HashMap::new(),
            shards: HashMap::new(),
        };
        tokio::spawn(task.run(self, stopping));
        Ok(())
    }
}

/// A connection whose messages the relay answers.
struct Stream {
    outbox: mpsc::Sender<Vec<u8>>,
    /// True while it has an allocation.
    proof: watch::Sender<bool>,
}

struct Task {
    relay: Relay,
    handle: RelayHandle,
    threads: MediaThreads,
    socket: UdpSocket,
    mapped: bool,
    streams: HashMap<Client, Stream>,
    /// Which shard a path leads to, by its marked address: the one that its last check named.
    shards: HashMap<SocketAddr, u8>,
}

impl Task {
    async fn run(mut self, mut inbox: RelayInbox, mut stopping: watch::Receiver<bool>) {
        let (mut inputs, mut datagrams, mut returned) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            let sweep = tokio::time::sleep_until(self.relay.deadline().into());
            tokio::select! {
                _ = inbox.inputs.recv_many(&mut inputs, PER_TURN) => {}
                _ = inbox.returned.recv_many(&mut returned, PER_TURN) => {}
                _ = inbox.datagrams.recv_many(&mut datagrams, PER_TURN) => {}
                () = sweep => self.relay.handle_timeout(Instant::now()),
                () = raised(&mut stopping) => return,
            }
            let clock = rooms::now();
            let now = Now { instant: clock.instant, unix: clock.unix_millis / 1000 };
            for input in inputs.drain(..) {
                self.input(now, input);
            }
            for (source, datagram) in datagrams.drain(..) {
                let client = Client { address: source, transport: Transport::Datagrams };
                self.relay.handle(now, client, &datagram);
                self.carry_out();
            }
            for (to, datagram) in returned.drain(..) {
                if let Some(path) = mark::path(&to) {
                    self.relay.deliver(now, path, &datagram);
                    self.carry_out();
                }
            }
            self.carry_out();
        }
    }

    fn input(&mut self, now: Now, input: Input) {
        match input {
            Input::Opened { client, outbox, proof } => {
                self.streams.insert(client, Stream { outbox, proof });
            }
            Input::Message { client, message } => self.relay.handle(now, client, &message),
            Input::Closed { client } => {
                self.streams.remove(&client);
                self.relay.closed(client);
            }
        }
        self.carry_out();
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.relay.poll_effect() {
            match effect {
                Effect::Answer { client, message } => self.answer(client, message),
                Effect::Forward { path, datagram } => self.forward(mark::of_path(path), datagram),
                Effect::Allocated { client } => self.prove(client, true),
                Effect::Ended { client, relayed } => {
                    self.prove(client, false);
                    self.shards.retain(|address, shard| {
                        let ended = mark::path(address).is_none_or(|path| path.relayed == relayed);
                        if ended && let Some(media) = self.threads.shard(*shard) {
                            media.stream(StreamInput::Closed { address: *address });
                        }
                        !ended
                    });
                }
                // Its connection ends with its way to it.
                Effect::Garbage { client } => {
                    self.streams.remove(&client);
                }
            }
        }
    }

    fn prove(&self, client: Client, holds: bool) {
        if let Some(stream) = self.streams.get(&client) {
            stream.proof.send_replace(holds);
        }
    }

    /// A slow connection or a full socket loses it, as a full line would.
    fn answer(&self, client: Client, message: Vec<u8>) {
        match client.transport {
            Transport::Stream(_) => {
                if let Some(stream) = self.streams.get(&client) {
                    let _ = stream.outbox.try_send(message);
                }
            }
            Transport::Datagrams => {
                let _ = self.socket.send_to(&message, outgoing(client.address, self.mapped));
            }
        }
    }

    /// To the shard that a check names; what follows on the same path goes there too.
    fn forward(&mut self, address: SocketAddr, datagram: Vec<u8>) {
        let known = self.shards.get(&address).copied();
        let Some(shard) = sfu::shard_of(&datagram).or(known) else { return };
        let Some(media) = self.threads.shard(shard) else { return };
        if known != Some(shard) {
            let outbox = Outbox::Relay(self.handle.clone());
            if !media.stream(StreamInput::Opened { address, outbox }) {
                return;
            }
            if let Some(before) = known.and_then(|before| self.threads.shard(before)) {
                before.stream(StreamInput::Closed { address });
            }
            self.shards.insert(address, shard);
        }
        media.stream(StreamInput::Datagram { address, datagram });
    }
}

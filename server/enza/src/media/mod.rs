//! The media threads: each owns one [`sfu::Shard`] and a UDP socket, and lends it a clock. It forwards commands,
//! datagrams and time in, datagrams and events out, and understands none of them. All sockets have one port.
//!
//! One turn: wait for a datagram, a command or the shard's deadline; feed what came; then send everything that
//! resulted in as few system calls as possible. Nothing is held back to fill a batch, so batching adds no delay.

mod address;
mod crossing;
mod mapped;
mod mark;
mod named;
mod outboxes;
mod relay;
mod report;
mod socket;
mod stream;

pub(crate) use address::{candidates, interfaces as own_addresses, is_public, lan_addresses, media_address};
pub(crate) use mapped::mapped;
pub(crate) use named::named;
pub(crate) use relay::{Behind, RelayEnds, RelayHandle, behind_tls, carry_tls, relay};
pub(crate) use report::Report;
pub(crate) use socket::{KERNEL_BUFFER, bind, kernel_has_gso};
pub(crate) use stream::{FRAME, carry};

use crossing::{Crossing, crossings};
use mio::{Events, Poll, Token, Waker};
use outboxes::{Outbox, Outboxes};
use report::Reporter;
use sfu::{Certificate, Command, DataChannel, Event, Output, Shard, ShardConfig};
use socket::MediaSocket;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use stream::StreamInput;
use tokio::sync::{mpsc, watch};

/// Commands that wait for the shard. Full means that it has not run for thousands of commands: it is stuck, and
/// the program ends so that it can be started again. Higher: that is noticed later; lower: a burst of joins
/// could reach it.
const COMMANDS: usize = 8192;

/// Events that wait for the rooms' directory. Full means that it is stuck: fatal, as above.
const EVENTS: usize = 8192;

/// From this fill level on, messages of lossy data channels are dropped so that they never push out the rest.
const EVENTS_LOSSY: usize = EVENTS / 2;

/// Places that messages never take, reliable ones neither: who sends one then is sent out, and everybody else's events still
/// find room.
const EVENTS_KEPT: usize = EVENTS / 4;

/// Datagrams of TCP connections that wait for the shard; more are dropped, as by a full socket. Higher: a flood over TCP
/// delays what waits behind it; lower: a burst of key frames is cut.
const STREAM_DATAGRAMS: usize = 4096;

/// The same per turn.
const STREAM_DATAGRAMS_PER_TURN: usize = 512;

/// Receive batches per turn before commands and timers get their turn. Higher: a flood delays commands; lower:
/// more polls under load.
const BATCHES_PER_TURN: usize = 8;

/// Commands per turn. Higher: a burst of joins delays packets; lower: more polls.
const COMMANDS_PER_TURN: usize = 64;

const SOCKET: Token = Token(0);
const WAKER: Token = Token(1);

/// Sends commands to one media thread. Cheap to clone.
#[derive(Clone)]
pub(crate) struct MediaHandle {
    commands: SyncSender<Command>,
    streams: SyncSender<StreamInput>,
    waker: Arc<Waker>,
    /// Peers on its shard, as it last said.
    peers: Arc<AtomicUsize>,
    report: watch::Receiver<Report>,
}

/// All media threads. Cheap to clone.
#[derive(Clone)]
pub(crate) struct MediaThreads {
    handles: Arc<[MediaHandle]>,
    /// Where the next room looks first.
    next: Arc<AtomicUsize>,
    /// TCP connections so far.
    connections: Arc<AtomicU32>,
}

impl MediaThreads {
    pub(crate) fn new(handles: impl Into<Arc<[MediaHandle]>>) -> Self {
        Self { handles: handles.into(), next: Arc::default(), connections: Arc::default() }
    }

    /// Where a new room lives: the thread with the fewest peers, in turn among equals.
    pub(crate) fn for_room(&self) -> MediaHandle {
        let count = self.handles.len();
        let first = self.next.fetch_add(1, Ordering::Relaxed) % count;
        let in_turn = (0..count).map(|at| &self.handles[(first + at) % count]);
        // There is at least one.
        in_turn.min_by_key(|handle| handle.peers.load(Ordering::Relaxed)).unwrap_or(&self.handles[0]).clone()
    }

    /// Each thread's last report, and whether it still makes them.
    pub(crate) fn reports(&self) -> impl Iterator<Item = (Report, bool)> {
        let now = Instant::now();
        self.handles.iter().map(move |handle| report::last(&handle.report, now))
    }

    /// What the media plane knows a TCP connection from `peer` by.
    fn connection(&self, peer: SocketAddr) -> SocketAddr {
        mark::of_stream(peer, self.connections.fetch_add(1, Ordering::Relaxed))
    }

    /// The one whose shard a connection's first datagram is for.
    fn for_datagram(&self, datagram: &[u8]) -> Option<&MediaHandle> {
        self.shard(sfu::shard_of(datagram)?)
    }

    /// The one with this shard.
    fn shard(&self, shard: u8) -> Option<&MediaHandle> {
        self.handles.get(usize::from(shard))
    }
}

/// The media thread takes no commands any more; the program cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MediaStuck {
    #[error("the media thread does not keep up: {COMMANDS} commands wait")]
    Full,
    #[error("the media thread has ended")]
    Gone,
}

impl MediaHandle {
    pub(crate) fn send(&self, command: Command) -> Result<(), MediaStuck> {
        self.commands.try_send(command).map_err(|error| match error {
            TrySendError::Full(_) => MediaStuck::Full,
            TrySendError::Disconnected(_) => MediaStuck::Gone,
        })?;
        self.waker.wake().map_err(|_| MediaStuck::Gone)
    }

    /// What a TCP connection has to tell; false when it was dropped.
    fn stream(&self, input: StreamInput) -> bool {
        self.streams.try_send(input).is_ok() && self.waker.wake().is_ok()
    }
}

/// A handle whose commands nobody executes, for tests of what sends them.
#[cfg(test)]
pub(crate) fn handle_for_tests() -> (MediaHandle, (Poll, Receiver<Command>)) {
    let poll = Poll::new().unwrap();
    let waker = Arc::new(Waker::new(poll.registry(), WAKER).unwrap());
    let (commands, inbox) = sync_channel(COMMANDS);
    let (streams, _) = sync_channel(1);
    let (_, report) = Reporter::new(Instant::now());
    (MediaHandle { commands, streams, waker, peers: Arc::default(), report }, (poll, inbox))
}

/// The running threads.
pub(crate) struct Media {
    threads: Vec<(Arc<Waker>, JoinHandle<()>)>,
    stopping: Arc<AtomicBool>,
}

/// What the media threads tell the rooms' directory.
pub(crate) struct MediaEvents {
    pub(crate) events: mpsc::Receiver<Event>,
    /// Something comes when a thread ended by itself: the program cannot go on without its rooms.
    pub(crate) ended: mpsc::Receiver<()>,
}

/// Says so when a thread ends, in whatever way, without being asked to.
struct Watch {
    ended: mpsc::Sender<()>,
    stopping: Arc<AtomicBool>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.stopping.load(Ordering::Acquire) {
            // Full: it is known already.
            let _ = self.ended.try_send(());
        }
    }
}

/// What all media threads are told.
#[derive(Clone)]
pub(crate) struct MediaConfig {
    /// The addresses that clients are told, for UDP and for TCP.
    pub(crate) candidates: Vec<SocketAddr>,
    pub(crate) tcp_candidates: Vec<SocketAddr>,
    /// Gets the datagrams that are not the shards'.
    pub(crate) relay: RelayHandle,
}

impl Media {
    /// Starts a thread on each of these sockets, which are bound to one port; `seed` gives each its random numbers.
    ///
    /// # Errors
    /// A sentence when a certificate, a shard or a poll cannot be made.
    pub(crate) fn start(
        sockets: Vec<std::net::UdpSocket>,
        config: &MediaConfig,
        mut seed: impl FnMut() -> Result<[u8; 32], getrandom::Error>,
    ) -> Result<(Self, MediaThreads, MediaEvents), String> {
        let (outbox, events) = mpsc::channel(EVENTS);
        let (end, ended) = mpsc::channel(1);
        let mut polls = Vec::with_capacity(sockets.len());
        for _ in &sockets {
            let poll = Poll::new().map_err(|error| error.to_string())?;
            let waker = Arc::new(Waker::new(poll.registry(), WAKER).map_err(|error| error.to_string())?);
            polls.push((poll, waker));
        }
        let wakers: Vec<_> = polls.iter().map(|(_, waker)| Arc::clone(waker)).collect();
        let alone = sockets.len() == 1;
        let mut media = Self { threads: Vec::with_capacity(sockets.len()), stopping: Arc::default() };
        let mut handles = Vec::with_capacity(sockets.len());
        for ((index, (socket, (poll, waker))), crossing) in
            (0..).zip(sockets.into_iter().zip(polls)).zip(crossings(&wakers))
        {
            let seed = seed().map_err(|error| error.to_string())?;
            let (commands, inbox) = sync_channel(COMMANDS);
            let (streams, stream_inbox) = sync_channel(STREAM_DATAGRAMS);
            let peers = Arc::new(AtomicUsize::new(0));
            let (reporter, seen) = Reporter::new(Instant::now());
            let outbox = outbox.clone();
            let ends = Ends { inbox, stream_inbox, outbox, peers: Arc::clone(&peers), reporter };
            let stopping = Arc::clone(&media.stopping);
            let watch = Watch { ended: end.clone(), stopping: Arc::clone(&stopping) };
            let config = config.clone();
            // The shard and the socket's arrays are born on the thread that uses them.
            let (report, ready) = sync_channel(1);
            let thread = std::thread::Builder::new()
                .name(format!("media-{index}"))
                .spawn(move || {
                    let _watch = watch;
                    let made = || -> Result<Loop, String> {
                        let certificate = Certificate::generate().map_err(|error| error.to_string())?;
                        let now = Instant::now();
                        let MediaConfig { candidates, tcp_candidates, relay } = config;
                        let shard = Shard::new(ShardConfig {
                            now,
                            index,
                            seed,
                            certificate,
                            candidates,
                            tcp_candidates,
                        })
                        .map_err(|error| error.to_string())?;
                        let mut socket = MediaSocket::new(socket).map_err(|error| error.to_string())?;
                        socket.register(poll.registry(), SOCKET).map_err(|error| error.to_string())?;
                        let crossing = (!alone).then_some(crossing);
                        Ok(Loop {
                            poll,
                            socket,
                            shard,
                            crossing,
                            relay,
                            ends,
                            outboxes: Outboxes::default(),
                            stopping,
                            dropped: 0,
                        })
                    };
                    match made() {
                        Ok(running) => {
                            let _ = report.send(Ok(()));
                            if let Err(error) = running.run() {
                                tracing::error!(%error, "a media thread ends");
                            }
                        }
                        Err(error) => {
                            let _ = report.send(Err(error));
                        }
                    }
                })
                .map_err(|error| error.to_string())?;
            ready.recv().map_err(|_| "a media thread ended at once".to_owned())??;
            media.threads.push((Arc::clone(&waker), thread));
            handles.push(MediaHandle { commands, streams, waker, peers, report: seen });
        }
        Ok((media, MediaThreads::new(handles), MediaEvents { events, ended }))
    }

    /// Lets the threads execute the commands that wait, send what results, and end.
    pub(crate) fn stop(self) {
        self.stopping.store(true, Ordering::Release);
        for (waker, _) in &self.threads {
            let _ = waker.wake();
        }
        for (_, thread) in self.threads {
            if thread.join().is_err() {
                tracing::error!("a media thread panicked");
            }
        }
    }
}

/// A thread's ends of what it shares with the rest of the program.
struct Ends {
    inbox: Receiver<Command>,
    stream_inbox: Receiver<StreamInput>,
    outbox: mpsc::Sender<Event>,
    peers: Arc<AtomicUsize>,
    reporter: Reporter,
}

struct Loop {
    poll: Poll,
    socket: MediaSocket,
    shard: Shard,
    /// To and from the other shards, when there are any.
    crossing: Option<Crossing>,
    relay: RelayHandle,
    ends: Ends,
    /// Where what goes to marked addresses leaves.
    outboxes: Outboxes,
    stopping: Arc<AtomicBool>,
    /// Datagrams and lossy messages that could not be handed on, since the last report.
    dropped: usize,
}

/// Why the thread ended without being asked to.
#[derive(Debug, thiserror::Error)]
enum Fatal {
    #[error("waiting for the socket failed: {0}")]
    Poll(io::Error),
    #[error("{EVENTS} events wait for the rooms")]
    EventsFull,
}

impl Loop {
    fn run(mut self) -> Result<(), Fatal> {
        let mut events = Events::with_capacity(8);
        let mut deadline = self.flush()?;
        let mut receiving = false;
        let mut commands_left = false;
        let mut woke = Instant::now();
        loop {
            let rests = Instant::now();
            let reporter = &mut self.ends.reporter;
            reporter.worked(rests.saturating_duration_since(woke));
            if reporter.due <= rests {
                reporter.tell(rests, self.shard.counters(), self.shard.population());
                self.outboxes.tidy(self.shard.peers());
            }
            let wait = if receiving || commands_left {
                Duration::ZERO
            } else {
                let until = deadline.map_or(reporter.due, |at| at.min(reporter.due));
                until.saturating_duration_since(rests)
            };
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Fatal::Poll(error)),
                Ok(()) => {}
            }
            receiving |= events.iter().any(|event| event.token() == SOCKET);

            let now = Instant::now();
            woke = now;
            let last_turn = self.stopping.load(Ordering::Acquire);
            commands_left = true;
            for _ in 0..if last_turn { COMMANDS } else { COMMANDS_PER_TURN } {
                match self.ends.inbox.try_recv() {
                    Ok(command) => self.shard.handle_command(now, command),
                    Err(TryRecvError::Empty) => {
                        commands_left = false;
                        break;
                    }
                    Err(TryRecvError::Disconnected) => {
                        self.flush()?;
                        return Ok(());
                    }
                }
            }
            if deadline.is_some_and(|at| at <= now) {
                self.shard.handle_timeout(now);
            }
            // Before the socket: a claim may wait here for what waits there.
            if let Some(crossing) = &mut self.crossing {
                commands_left |= crossing.take(now, &mut self.shard);
                crossing.wake();
            }
            if receiving {
                receiving = !self.receive()?;
            }
            commands_left |= self.take_streams(now);
            deadline = self.flush()?;
            self.ends.peers.store(self.shard.peers(), Ordering::Relaxed);
            if last_turn {
                return Ok(());
            }
        }
    }

    /// Takes what TCP connections told, at most [`STREAM_DATAGRAMS_PER_TURN`]; true when more may wait.
    fn take_streams(&mut self, now: Instant) -> bool {
        for _ in 0..STREAM_DATAGRAMS_PER_TURN {
            match self.ends.stream_inbox.try_recv() {
                Ok(StreamInput::Datagram { address, mut datagram }) => {
                    self.shard.handle_datagram(now, address, &mut datagram);
                }
                Ok(StreamInput::Opened { address, outbox }) => {
                    self.outboxes.open(address, outbox);
                }
                Ok(StreamInput::Closed { address }) => {
                    self.outboxes.close(address);
                }
                Err(_) => return false,
            }
        }
        true
    }

    /// Takes what waits on the socket, at most [`BATCHES_PER_TURN`]; true when nothing is left.
    fn receive(&mut self) -> Result<bool, Fatal> {
        for _ in 0..BATCHES_PER_TURN {
            let now = Instant::now();
            let Self { socket, shard, crossing, relay, dropped, .. } = self;
            let received = match crossing {
                None => socket.receive(|source, datagram| {
                    if !relay.takes(source, datagram) {
                        shard.handle_datagram(now, source, datagram);
                    }
                }),
                Some(crossing) => {
                    let received = socket.receive(|source, datagram| {
                        if !relay.takes(source, datagram) {
                            *dropped += crossing.receive(now, shard, source, datagram);
                        }
                    });
                    crossing.wake();
                    received
                }
            };
            match received {
                Ok(received) if received.drained => return Ok(true),
                Ok(_) => {}
                Err(error) => {
                    // An error that some datagram left on the socket; reading it cleared it.
                    tracing::debug!(%error, "receiving failed");
                }
            }
            self.flush()?;
        }
        Ok(false)
    }

    /// Hands out everything the shard has to say and returns when it wants to be woken.
    fn flush(&mut self) -> Result<Option<Instant>, Fatal> {
        loop {
            match self.shard.poll_output() {
                Output::Transmit(batch) => {
                    self.dropped += self.outboxes.send(&mut self.socket, || batch.iter());
                }
                Output::Event(event) => {
                    if let Event::Data { peer, channel, .. } = event {
                        let left = self.ends.outbox.capacity();
                        let reliable = channel == DataChannel::Reliable;
                        if left < if reliable { EVENTS_KEPT } else { EVENTS - EVENTS_LOSSY } {
                            self.dropped += 1;
                            if reliable {
                                self.shard.drop_flooder(Instant::now(), peer);
                            }
                            continue;
                        }
                    }
                    match self.ends.outbox.try_send(event) {
                        Ok(()) => {}
                        Err(mpsc::error::TrySendError::Full(_)) => return Err(Fatal::EventsFull),
                        // The rooms are gone: the program is stopping, and only datagrams matter now.
                        Err(mpsc::error::TrySendError::Closed(_)) => {}
                    }
                }
                Output::Timeout(deadline) => {
                    if self.dropped > 0 {
                        self.ends.reporter.dropped(self.dropped);
                        tracing::debug!(dropped = self.dropped, "datagrams or lossy messages were dropped");
                        self.dropped = 0;
                    }
                    return Ok(deadline);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sfu::PeerId;

    fn config(address: SocketAddr) -> MediaConfig {
        MediaConfig { candidates: vec![address], tcp_candidates: Vec::new(), relay: relay().0 }
    }

    #[test]
    fn a_shard_that_takes_no_commands_is_noticed() {
        let (handle, (_poll, inbox)) = handle_for_tests();
        for peer in 0..COMMANDS as u64 {
            assert_eq!(handle.send(Command::Disconnect { peer: PeerId(peer) }), Ok(()));
        }
        assert_eq!(handle.send(Command::Disconnect { peer: PeerId(0) }), Err(MediaStuck::Full));
        drop(inbox);
        assert_eq!(handle.send(Command::Disconnect { peer: PeerId(0) }), Err(MediaStuck::Gone));
    }

    #[test]
    fn the_thread_takes_commands_and_garbage_and_stops_when_asked() {
        let socket = bind("127.0.0.1:0".parse().unwrap(), true).unwrap();
        let address = socket.local_addr().unwrap();
        let sockets = vec![socket, bind(address, true).unwrap()];
        let (media, threads, _events) = Media::start(sockets, &config(address), || Ok([1; 32])).unwrap();
        let (handle, other) = (threads.for_room(), threads.for_room());
        assert!(!Arc::ptr_eq(&handle.waker, &other.waker), "rooms are dealt out in turn");
        let stranger = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for length in 0..600_usize {
            stranger.send_to(&vec![(length % 256) as u8; length], address).unwrap();
            handle.send(Command::Disconnect { peer: PeerId(length as u64) }).unwrap();
        }
        let begun = Instant::now();
        media.stop();
        assert!(begun.elapsed() < Duration::from_secs(2));
        assert_eq!(handle.send(Command::Disconnect { peer: PeerId(0) }), Err(MediaStuck::Gone));
    }

    #[test]
    fn one_thread_of_several_that_ends_by_itself_is_noticed() {
        let socket = bind("127.0.0.1:0".parse().unwrap(), true).unwrap();
        let address = socket.local_addr().unwrap();
        let sockets = vec![socket, bind(address, true).unwrap()];
        let (media, threads, mut told) = Media::start(sockets, &config(address), || Ok([2; 32])).unwrap();
        assert!(told.ended.try_recv().is_err());
        // A thread whose commands can come from nowhere any more has nothing left to do.
        drop(threads);
        let begun = Instant::now();
        for (waker, _) in &media.threads {
            waker.wake().unwrap();
        }
        while told.ended.try_recv().is_err() {
            assert!(begun.elapsed() < Duration::from_secs(5), "nobody said so");
            std::thread::sleep(Duration::from_millis(5));
        }
        media.stop();
        drop(told.events);
    }

    #[test]
    fn a_thread_that_panics_is_noticed_and_one_that_was_asked_to_end_is_not() {
        for asked in [false, true] {
            let (end, mut ended) = mpsc::channel(1);
            let watch = Watch { ended: end, stopping: Arc::new(AtomicBool::new(asked)) };
            let thread = std::thread::spawn(move || {
                let _watch = watch;
                std::panic::resume_unwind(Box::new("a fault of ours"));
            });
            assert!(thread.join().is_err());
            assert_eq!(ended.try_recv().is_ok(), !asked);
        }
    }
}

//! The media thread: owns one [`sfu::Shard`] and its UDP socket, and lends it a clock. It forwards commands,
//! datagrams and time in, datagrams and events out, and understands none of them.
//!
//! One turn: wait for a datagram, a command or the shard's deadline; feed what came; then send everything that
//! resulted in as few system calls as possible. Nothing is held back to fill a batch, so batching adds no delay.

mod address;
mod socket;
mod stream;

pub(crate) use address::{candidates, lan_addresses, media_address};
pub(crate) use socket::bind;
pub(crate) use stream::{FRAME, carry};

use mio::{Events, Poll, Token, Waker};
use sfu::{Certificate, Command, DataChannel, Event, Output, Shard, ShardConfig};
use socket::MediaSocket;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use stream::{StreamInput, is_stream};
use tokio::sync::mpsc;

/// Commands that wait for the shard. Full means that it has not run for thousands of commands: it is stuck, and
/// the program ends so that it can be started again. Higher: that is noticed later; lower: a burst of joins
/// could reach it.
const COMMANDS: usize = 8192;

/// Events that wait for the rooms' directory. Full means that it is stuck: fatal, as above.
const EVENTS: usize = 8192;

/// From this fill level on, messages of lossy data channels are dropped so that they never push out the rest.
const EVENTS_LOSSY: usize = EVENTS / 2;

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

/// Sends commands to the media thread. Cheap to clone.
#[derive(Clone)]
pub(crate) struct MediaHandle {
    commands: SyncSender<Command>,
    streams: SyncSender<StreamInput>,
    waker: Arc<Waker>,
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
    (MediaHandle { commands, streams, waker }, (poll, inbox))
}

/// The running thread.
pub(crate) struct Media {
    waker: Arc<Waker>,
    stopping: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Media {
    /// Starts the thread on a bound socket. `candidates` are the addresses that clients are told, for UDP and for TCP.
    ///
    /// # Errors
    /// A sentence when the certificate, the shard or the poll cannot be made.
    pub(crate) fn start(
        socket: std::net::UdpSocket,
        candidates: Vec<SocketAddr>,
        tcp_candidates: Vec<SocketAddr>,
        seed: [u8; 32],
    ) -> Result<(Self, MediaHandle, mpsc::Receiver<Event>), String> {
        let poll = Poll::new().map_err(|error| error.to_string())?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER).map_err(|error| error.to_string())?);
        let (commands, inbox) = sync_channel(COMMANDS);
        let (streams, stream_inbox) = sync_channel(STREAM_DATAGRAMS);
        let (outbox, events) = mpsc::channel(EVENTS);
        // The shard and the socket's arrays are born on the thread that uses them.
        let (report, ready) = sync_channel(1);
        let stopping = Arc::new(AtomicBool::new(false));
        let asked_to_stop = Arc::clone(&stopping);
        let thread = std::thread::Builder::new()
            .name("media".to_owned())
            .spawn(move || {
                let made = || -> Result<Loop, String> {
                    let certificate = Certificate::generate().map_err(|error| error.to_string())?;
                    let now = Instant::now();
                    let shard =
                        Shard::new(ShardConfig { now, seed, certificate, candidates, tcp_candidates })
                            .map_err(|error| error.to_string())?;
                    let mut socket = MediaSocket::new(socket).map_err(|error| error.to_string())?;
                    socket.register(poll.registry(), SOCKET).map_err(|error| error.to_string())?;
                    Ok(Loop {
                        poll,
                        socket,
                        shard,
                        inbox,
                        stream_inbox,
                        streams: HashMap::new(),
                        outbox,
                        stopping: asked_to_stop,
                        dropped: 0,
                    })
                };
                match made() {
                    Ok(running) => {
                        let _ = report.send(Ok(()));
                        if let Err(error) = running.run() {
                            tracing::error!(%error, "the media thread ends");
                        }
                    }
                    Err(error) => {
                        let _ = report.send(Err(error));
                    }
                }
            })
            .map_err(|error| error.to_string())?;
        ready.recv().map_err(|_| "the media thread ended at once".to_owned())??;
        Ok((
            Self { waker: Arc::clone(&waker), stopping, thread },
            MediaHandle { commands, streams, waker },
            events,
        ))
    }

    /// Lets the thread execute the commands that wait, send what results, and end.
    pub(crate) fn stop(self) {
        self.stopping.store(true, Ordering::Release);
        let _ = self.waker.wake();
        if self.thread.join().is_err() {
            tracing::error!("the media thread panicked");
        }
    }
}

struct Loop {
    poll: Poll,
    socket: MediaSocket,
    shard: Shard,
    inbox: Receiver<Command>,
    stream_inbox: Receiver<StreamInput>,
    /// Where the frames of TCP connections go.
    streams: HashMap<SocketAddr, mpsc::Sender<Box<[u8]>>>,
    outbox: mpsc::Sender<Event>,
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
        loop {
            let wait = if receiving || commands_left {
                Some(Duration::ZERO)
            } else {
                deadline.map(|at| at.saturating_duration_since(Instant::now()))
            };
            match self.poll.poll(&mut events, wait) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Fatal::Poll(error)),
                Ok(()) => {}
            }
            receiving |= events.iter().any(|event| event.token() == SOCKET);

            let now = Instant::now();
            let last_turn = self.stopping.load(Ordering::Acquire);
            commands_left = true;
            for _ in 0..if last_turn { COMMANDS } else { COMMANDS_PER_TURN } {
                match self.inbox.try_recv() {
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
            if receiving {
                receiving = !self.receive()?;
            }
            commands_left |= self.take_streams(now);
            deadline = self.flush()?;
            if last_turn {
                return Ok(());
            }
        }
    }

    /// Takes what TCP connections told, at most [`STREAM_DATAGRAMS_PER_TURN`]; true when more may wait.
    fn take_streams(&mut self, now: Instant) -> bool {
        for _ in 0..STREAM_DATAGRAMS_PER_TURN {
            match self.stream_inbox.try_recv() {
                Ok(StreamInput::Datagram { address, mut datagram }) => {
                    self.shard.handle_datagram(now, address, &mut datagram);
                }
                Ok(StreamInput::Opened { address, outbox }) => {
                    self.streams.insert(address, outbox);
                }
                Ok(StreamInput::Closed { address }) => {
                    self.streams.remove(&address);
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
            let Self { socket, shard, .. } = self;
            let received = socket.receive(|source, datagram| shard.handle_datagram(now, source, datagram));
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
                Output::Transmit(batch) if self.streams.is_empty() => {
                    self.dropped += self.socket.send(batch.iter());
                }
                Output::Transmit(batch) => {
                    for (to, datagram) in batch.iter().filter(|(to, _)| is_stream(to)) {
                        let sent =
                            self.streams.get(&to).is_some_and(|out| out.try_send(datagram.into()).is_ok());
                        self.dropped += usize::from(!sent);
                    }
                    self.dropped += self.socket.send(batch.iter().filter(|(to, _)| !is_stream(to)));
                }
                Output::Event(event) => {
                    let lossy = matches!(event, Event::Data { channel: DataChannel::Lossy, .. });
                    if lossy && self.outbox.capacity() < EVENTS - EVENTS_LOSSY {
                        self.dropped += 1;
                        continue;
                    }
                    match self.outbox.try_send(event) {
                        Ok(()) => {}
                        Err(mpsc::error::TrySendError::Full(_)) => return Err(Fatal::EventsFull),
                        // The rooms are gone: the program is stopping, and only datagrams matter now.
                        Err(mpsc::error::TrySendError::Closed(_)) => {}
                    }
                }
                Output::Timeout(deadline) => {
                    if self.dropped > 0 {
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
        let socket = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        let (media, handle, _events) = Media::start(socket, vec![address], Vec::new(), [1; 32]).unwrap();
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
}

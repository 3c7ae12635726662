//! One participant as a task: moves bytes between its WebSocket, its UDP socket and the sans-I/O parts, and counts.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow, bail};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use livekit_protocol as proto;
use prost::Message as _;
use proto::{signal_request, signal_response};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::client::{Incoming, MediaClient, TransportCounts};
use crate::clock::Clock;
use crate::dtls::Identity;
use crate::join::{Action, Negotiation, Track, join_url, token};
use crate::measure::{Histogram, Meter, Packet, Window};
use crate::media::{Kind, Source};
use crate::slices::Slices;
use crate::socket::{Batch, Socket};
use crate::{Error, Options};

/// From the WebSocket handshake to the end of the DTLS handshake.
const JOIN_TIMEOUT: Duration = Duration::from_secs(20);
/// As LiveKit's servers announce it.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// A token outlives any run.
const TOKEN_TTL_S: u64 = 3_600;
/// Clocks of server and generator may differ by this much.
const TOKEN_LEEWAY_S: u64 = 10;
/// Receive batches of one participant before another gets its turn.
const BATCHES_PER_TURN: usize = 4;
/// With nothing due, wake up this often anyway.
const IDLE: Duration = Duration::from_secs(1);

/// What all participants are told to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Phase {
    Joining,
    Measuring(Window),
    Leaving,
}

/// What all tasks of the thread use.
pub(crate) struct Shared {
    pub options: Options,
    pub clock: Clock,
    pub identity: Identity,
    pub batch: RefCell<Batch>,
    pub slices: RefCell<Slices>,
}

/// What the run may look at while a participant is at work. Times are of the run's clock; 0 is "not yet".
#[derive(Default)]
pub(crate) struct Progress {
    pub signalled_ns: Cell<u64>,
    pub connected_ns: Cell<u64>,
    pub sending_ns: Cell<u64>,
    pub tracks: Cell<usize>,
    pub port: Cell<u16>,
    pub over: Cell<bool>,
}

/// Packets sent within the window.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SentCount {
    pub packets: u64,
    pub payload_bytes: u64,
}

/// What one participant leaves behind.
pub(crate) struct Outcome {
    pub index: u32,
    pub started_ns: u64,
    pub error: Option<String>,
    pub profile: Option<&'static str>,
    pub audio: SentCount,
    pub video: SentCount,
    pub late: Histogram,
    /// Media packets the kernel did not take; the receivers miss them.
    pub unsent: u64,
    pub transport: TransportCounts,
    pub meter: Meter,
}

pub(crate) async fn run(
    shared: Rc<Shared>,
    index: u32,
    progress: Rc<Progress>,
    mut phase: watch::Receiver<Phase>,
) -> Outcome {
    let mut outcome = Outcome {
        index,
        started_ns: shared.clock.now_ns(),
        error: None,
        profile: None,
        audio: SentCount::default(),
        video: SentCount::default(),
        late: Histogram::default(),
        unsent: 0,
        transport: TransportCounts::default(),
        meter: Meter::new(index, shared.options.participants),
    };
    let result = async {
        let mut participant =
            tokio::time::timeout(JOIN_TIMEOUT, Participant::join(&shared, index, &progress))
                .await
                .map_err(|_| anyhow!("the WebSocket did not open in {} s", JOIN_TIMEOUT.as_secs()))??;
        let result = participant.drive(&mut phase, &mut outcome).await;
        outcome.transport = participant.client.counts;
        outcome.profile = participant.client.profile();
        result
    };
    if let Err(error) = result.await {
        outcome.error = Some(format!("{error:#}"));
    }
    progress.over.set(true);
    outcome
}

type WebSocket = WebSocketStream<MaybeTlsStream<TcpStream>>;

struct Participant<'a> {
    shared: &'a Shared,
    progress: &'a Progress,
    negotiation: Negotiation,
    client: MediaClient,
    socket: Socket,
    web_socket: WebSocket,
    window: Option<Window>,
}

impl<'a> Participant<'a> {
    async fn join(shared: &'a Shared, index: u32, progress: &'a Progress) -> Result<Self> {
        let options = &shared.options;
        let (room, seat) = (index / options.participants, index % options.participants);
        let identity = format!("load-{room}-{seat}");
        let mut client = MediaClient::new(shared.identity.clone(), seat, options.participants)?;
        let tracks = publish(&mut client, options, index, seat, &identity)?;
        let session_id = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut negotiation =
            Negotiation::new(session_id.as_micros() as u64, &client.local_transport(), tracks);
        let now_s = session_id.as_secs();
        let token = token(
            shared.identity.crypto.as_ref(),
            (&options.api_key, &options.api_secret),
            &format!("{}-{room}", options.room_prefix),
            &identity,
            now_s.saturating_sub(TOKEN_LEEWAY_S),
            now_s + TOKEN_TTL_S,
        )?;
        let url = join_url(&options.url, &token, &negotiation.join_request())?;
        let (web_socket, _) =
            connect_async_with_config(url, None, true).await.map_err(refusal).context("joining")?;
        let server = server_ip(&web_socket)?;
        client.prefer(server);
        let socket = Socket::bind(server)?;
        progress.port.set(socket.local_port());
        Ok(Self { shared, progress, negotiation, client, socket, web_socket, window: None })
    }

    async fn drive(&mut self, phase: &mut watch::Receiver<Phase>, outcome: &mut Outcome) -> Result<()> {
        let join_deadline = Instant::now() + JOIN_TIMEOUT;
        let mut next_ping = Instant::now() + PING_INTERVAL;
        let mut sleep = pin!(tokio::time::sleep(IDLE));
        loop {
            let now = Instant::now();
            let due = self.client.next_deadline().unwrap_or(now + IDLE).min(next_ping).into();
            if sleep.deadline() != due {
                sleep.as_mut().reset(due);
            }
            tokio::select! {
                ready = self.socket.readable() => {
                    ready.context("media socket")?;
                    receive(self.shared, &self.socket, &mut self.client, self.progress, outcome)?;
                }
                () = &mut sleep => {}
                message = self.web_socket.next() => {
                    let message = message.context("server closed the WebSocket")?.map_err(refusal)?;
                    self.signal(message).await?;
                }
                changed = phase.changed() => {
                    changed.context("the run is over")?;
                    let phase = *phase.borrow_and_update();
                    match phase {
                        Phase::Joining => {}
                        Phase::Measuring(window) => {
                            self.window = Some(window);
                            outcome.meter.open(window);
                        }
                        Phase::Leaving => return self.leave().await,
                    }
                }
            }
            let now = Instant::now();
            if self.client.next_deadline().is_some_and(|due| due <= now) {
                self.send_due(now, outcome)?;
            }
            if now >= next_ping {
                next_ping = now + PING_INTERVAL;
                let timestamp = self.shared.clock.at_ns(now) as i64 / 1_000_000;
                self.request(signal_request::Message::PingReq(proto::Ping { timestamp, rtt: 0 })).await?;
            }
            self.flush()?;
            if self.progress.connected_ns.get() == 0 && now > join_deadline {
                let part = if self.progress.signalled_ns.get() == 0 {
                    "no join answer"
                } else {
                    "media not connected"
                };
                bail!("{part} after {} s", JOIN_TIMEOUT.as_secs());
            }
        }
    }

    fn send_due(&mut self, now: Instant, outcome: &mut Outcome) -> Result<()> {
        let Self { shared, progress, client, socket, window, .. } = self;
        let mut failure = None;
        client.handle_timeout(now, &shared.clock, |sent, bytes, to| {
            match socket.send(bytes, to) {
                Ok(sent) => outcome.unsent += u64::from(!sent),
                Err(error) => failure = Some(error),
            }
            if progress.sending_ns.get() == 0 {
                progress.sending_ns.set(sent.sent_ns);
            }
            if window.is_some_and(|window| window.contains(sent.sent_ns)) {
                let count = match sent.kind {
                    Kind::Audio => &mut outcome.audio,
                    Kind::Video => &mut outcome.video,
                };
                shared.slices.borrow_mut().sent(sent.sent_ns);
                count.packets += 1;
                count.payload_bytes += sent.payload_len as u64;
                outcome.late.record(u64::try_from(sent.late.as_nanos()).unwrap_or(u64::MAX));
            }
        })?;
        failure.map_or(Ok(()), |error| Err(error).context("sending media"))
    }

    fn flush(&mut self) -> Result<()> {
        while let Some((to, bytes)) = self.client.poll_transmit() {
            self.socket.send(&bytes, to).context("sending")?;
        }
        Ok(())
    }

    async fn signal(&mut self, message: Message) -> Result<()> {
        let message = match message {
            Message::Binary(bytes) => {
                proto::SignalResponse::decode(bytes).context("undecodable signal response")?
            }
            Message::Close(frame) => {
                bail!(
                    "server closed the WebSocket: {}",
                    frame.map_or_else(String::new, |frame| frame.to_string())
                )
            }
            _ => return Ok(()),
        };
        let Some(message) = message.message else { return Ok(()) };
        if let signal_response::Message::Reconnect(_) = message {
            bail!("server answered a resume that was not asked for");
        }
        let now = Instant::now();
        for action in self.negotiation.handle(message)? {
            match action {
                Action::Send(request) => self.request(*request).await?,
                Action::Accept { answer, sent } => self.client.accept(now, &answer, &sent)?,
                Action::AddCandidate(candidate) => self.client.add_trickled(now, &candidate),
                Action::Joined => self.progress.signalled_ns.set(self.shared.clock.now_ns()),
                Action::Ended(reason) => bail!(reason),
            }
        }
        Ok(())
    }

    async fn request(&mut self, message: signal_request::Message) -> Result<()> {
        let request = proto::SignalRequest { message: Some(message) };
        let frame = Message::Binary(Bytes::from(request.encode_to_vec()));
        self.web_socket.send(frame).await.map_err(refusal).context("signalling")
    }

    async fn leave(&mut self) -> Result<()> {
        let leave = proto::LeaveRequest {
            reason: proto::DisconnectReason::ClientInitiated.into(),
            ..Default::default()
        };
        self.request(signal_request::Message::Leave(leave)).await?;
        self.client.close(Instant::now())?;
        self.flush()?;
        // The server may be first to close after a leave.
        let _ = self.web_socket.close(None).await;
        Ok(())
    }
}

/// Reads what has arrived, a few batches at most.
fn receive(
    shared: &Shared,
    socket: &Socket,
    client: &mut MediaClient,
    progress: &Progress,
    outcome: &mut Outcome,
) -> Result<()> {
    let mut failure = None;
    let mut batch = shared.batch.borrow_mut();
    let now = Instant::now();
    for _ in 0..BATCHES_PER_TURN {
        let more = socket.receive(&mut batch, &shared.clock, |datagram| {
            match client.handle_datagram(now, datagram.arrival_ns, datagram.from, datagram.bytes) {
                Ok(Incoming::Media { kind, ssrc, sequence_number, timestamp, packet, payload_at }) => {
                    let counted = outcome.meter.record(&Packet {
                        kind,
                        ssrc,
                        sequence_number,
                        timestamp,
                        payload: packet.get(payload_at..).unwrap_or_default(),
                        arrival_ns: datagram.arrival_ns,
                    });
                    if let Some(counted) = counted {
                        shared.slices.borrow_mut().received(counted);
                    }
                }
                Ok(Incoming::Connected) => progress.connected_ns.set(shared.clock.now_ns()),
                Ok(Incoming::Nothing) => {}
                Err(error) => failure = Some(error),
            }
        });
        if let Some(error) = failure {
            return Err(error);
        }
        if !more.context("receiving media")? {
            break;
        }
    }
    progress.tracks.set(outcome.meter.tracks());
    Ok(())
}

fn publish(
    client: &mut MediaClient,
    options: &Options,
    index: u32,
    seat: u32,
    identity: &str,
) -> Result<Vec<Track>> {
    if seat >= options.publishers {
        return Ok(Vec::new());
    }
    let mut sources = Vec::new();
    if options.audio {
        sources.push((format!("{identity}-microphone"), Source::audio(index)));
    }
    if options.video_kbps > 0 {
        let key_interval = u64::from(options.fps) * options.key_frame_every.as_secs().max(1);
        let source = Source::video(index, options.video_kbps, options.fps, key_interval);
        sources.push((format!("{identity}-camera"), source));
    }
    let publish = |(cid, source): (String, Source)| {
        let kind = source.kind();
        let ssrc = client.publish(source, cid.clone())?;
        Ok(Track { kind, cid, ssrc })
    };
    sources.into_iter().map(publish).collect()
}

fn server_ip(web_socket: &WebSocket) -> Result<IpAddr> {
    match web_socket.get_ref() {
        MaybeTlsStream::Plain(stream) => Ok(stream.peer_addr()?.ip().to_canonical()),
        _ => bail!("not a plain WebSocket"),
    }
}

/// A WebSocket error without the address, which holds the token, and with what the server said.
fn refusal(error: WsError) -> Error {
    match error {
        WsError::Http(response) => {
            let body = response.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default();
            anyhow!("server answered {}: {}", response.status(), body.trim())
        }
        other => other.into(),
    }
}

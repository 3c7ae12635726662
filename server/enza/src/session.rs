//! One WebSocket: frames in, messages out, and the limits that keep one client from harming the others.
//! It knows no room state: it hands requests to the room and sends what the room answers.

use crate::ice_servers;
use crate::metrics::{Beginning, Metrics};
use crate::room::{Entry, Message as RoomMessage, OUTBOX, RoomHandle};
use crate::rooms::{EnterError, Rooms};
use crate::server::raised;
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use bytes::Bytes;
use futures_util::SinkExt as _;
use livekit_protocol::signal_response::Message as Said;
use livekit_protocol::{DisconnectReason, IceServer, SignalResponse, leave_request};
use signal::{ConnectionId, Frame};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, timeout, timeout_at};

/// Clients give up when nothing came this long after the upgrade (research of the protocol, section 1.4).
pub(crate) const FIRST_MESSAGE: Duration = Duration::from_secs(5);

/// How often the server pings. Higher: dead sockets are noticed later; lower: phones wake up more often.
const PING_EVERY: Duration = Duration::from_secs(10);

/// A socket from which nothing came for this long, not even a pong, is dead.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// How long one write may take. Higher: a stalled client holds its memory longer; lower: a phone in a tunnel is
/// cut off and has to resume.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);

/// How long the client's close frame is waited for, so that the last messages are not lost by a reset.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// Messages per second a client may send in the long run, and at once. A busy client sends about ten per second
/// while it joins. Higher: one client can keep a core busy; lower: bursts of `track_setting` are cut.
const RATE: f64 = 50.0;
const BURST: f64 = 500.0;

/// Unreadable frames before the connection is closed. Higher: more work for nothing; lower: a client newer than
/// this server is cut off for one message that it could do without.
const UNREADABLE_MAX: u32 = 16;

/// A room may end between the directory's answer and the join; then it is asked for again, this often.
pub(crate) const ENTER_TRIES: u32 = 3;

/// Why a socket's session ends, LiveKit's and the circle's alike.
pub(crate) enum End {
    /// The client closed, or its network is gone.
    Client,
    /// The room closed the connection.
    Room,
    /// It broke a limit.
    Policy(&'static str),
    /// The program stops.
    Stopping,
}

impl End {
    /// Closes `socket` as the reason wants it.
    pub(crate) async fn close(self, socket: WebSocket, connection: ConnectionId) {
        match self {
            Self::Client => {}
            Self::Room => close(socket, close_code::NORMAL, "").await,
            Self::Stopping => close(socket, close_code::AWAY, "").await,
            Self::Policy(reason) => {
                tracing::debug!(connection = connection.0, reason, "a connection is closed");
                close(socket, close_code::POLICY, reason).await;
            }
        }
    }
}

/// Serves one upgraded WebSocket to its end.
pub(crate) async fn run(
    mut socket: WebSocket,
    rooms: Rooms,
    entry: Entry,
    ice_servers: Vec<IceServer>,
    metrics: Metrics,
    stopped: watch::Receiver<bool>,
) {
    let (room, connection, mut session) = match enter(&rooms, &entry).await {
        Ok(entered) => entered,
        Err(reason) => {
            tracing::debug!(?reason, "nobody can enter");
            metrics.refused("server-full");
            // A server that stops may be another one by the time the client comes back.
            let action = match reason {
                DisconnectReason::ServerShutdown => leave_request::Action::Reconnect,
                _ => leave_request::Action::Disconnect,
            };
            let leave = signal::leave_response(reason, action);
            let _ =
                timeout(WRITE_PATIENCE, socket.send(message(signal::encode_response(&leave, false)))).await;
            return close(socket, close_code::AWAY, "").await;
        }
    };
    match session.first.as_ref().and_then(|first| first.message.as_ref()) {
        Some(Said::Join(_)) => metrics.session(Beginning::New),
        Some(Said::Reconnect(_)) => metrics.session(Beginning::Resumed),
        _ => metrics.refused("room"),
    }
    if let Some(first) = &mut session.first {
        ice_servers::put_into(first, &ice_servers);
    }
    let end = session.serve(&mut socket, &room, connection, stopped).await;
    room.send(RoomMessage::Closed { connection }).await;
    end.close(socket, connection).await;
}

struct Session {
    outbox: mpsc::Receiver<Box<SignalResponse>>,
    /// The room's first message, which must leave before anything else.
    first: Option<Box<SignalResponse>>,
    /// The client sent a text frame: answer in kind.
    text: bool,
    allowance: Allowance,
    unreadable: u32,
}

/// Finds the room and waits for its first message.
async fn enter(
    rooms: &Rooms,
    entry: &Entry,
) -> Result<(RoomHandle, ConnectionId, Session), DisconnectReason> {
    let begun = Instant::now();
    for _ in 0..ENTER_TRIES {
        let (room, connection) = rooms.enter(&entry.grants.room).await.map_err(|error| match error {
            EnterError::Stopping => DisconnectReason::ServerShutdown,
            EnterError::Full => DisconnectReason::JoinFailure,
        })?;
        let (sender, mut outbox) = mpsc::channel(OUTBOX);
        let join = RoomMessage::Join { connection, outbox: sender, entry: Box::new(entry.clone()) };
        let first = timeout_at(begun + FIRST_MESSAGE, async {
            if room.send(join).await { outbox.recv().await } else { None }
        });
        match first.await {
            Ok(Some(first)) => {
                let session = Session {
                    outbox,
                    first: Some(first),
                    text: false,
                    allowance: Allowance::new(Instant::now()),
                    unreadable: 0,
                };
                return Ok((room, connection, session));
            }
            // The room ended before it read the join.
            Ok(None) => {}
            // Dropping the outbox tells the room, should it ever wake up.
            Err(_) => {
                tracing::warn!(connection = connection.0, "a room did not answer a join in time");
                return Err(DisconnectReason::JoinFailure);
            }
        }
    }
    Err(DisconnectReason::JoinFailure)
}

impl Session {
    async fn serve(
        &mut self,
        socket: &mut WebSocket,
        room: &RoomHandle,
        connection: ConnectionId,
        mut stopped: watch::Receiver<bool>,
    ) -> End {
        if let Some(first) = self.first.take()
            && !self.send(socket, first).await
        {
            return End::Client;
        }
        let mut pulse = Pulse::new();
        loop {
            tokio::select! {
                biased;
                response = self.outbox.recv() => match response {
                    Some(response) => {
                        if !self.send(socket, response).await {
                            return End::Client;
                        }
                    }
                    None => return End::Room,
                },
                // Last words have been said by the room; this ends sessions of rooms that are stuck.
                () = raised(&mut stopped) => return End::Stopping,
                received = socket.recv() => {
                    let Some(Ok(received)) = received else { return End::Client };
                    pulse.heard();
                    if let Err(end) = self.receive(received, room, connection).await {
                        return end;
                    }
                }
                _ = pulse.tick() => {
                    if !pulse.ping(socket).await {
                        return End::Client;
                    }
                }
            }
        }
    }

    async fn receive(
        &mut self,
        received: Message,
        room: &RoomHandle,
        connection: ConnectionId,
    ) -> Result<(), End> {
        if !self.allowance.take(Instant::now()) {
            return Err(End::Policy("too many messages"));
        }
        let frame = match received {
            Message::Binary(bytes) => Frame::Binary(bytes),
            Message::Text(text) => {
                self.text = true;
                Frame::Text(text.as_str().to_owned())
            }
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
            Message::Close(_) => return Err(End::Client),
        };
        match signal::decode_request(&frame) {
            Ok(request) => {
                let request = Box::new(request);
                if room.send(RoomMessage::Request { connection, request }).await {
                    Ok(())
                } else {
                    Err(End::Room)
                }
            }
            Err(error) => {
                tracing::debug!(connection = connection.0, %error, "an unreadable frame");
                self.unreadable += 1;
                if self.unreadable > UNREADABLE_MAX {
                    Err(End::Policy("unreadable messages"))
                } else {
                    Ok(())
                }
            }
        }
    }

    async fn send(&mut self, socket: &mut WebSocket, first: Box<SignalResponse>) -> bool {
        let text = self.text;
        write(socket, &mut self.outbox, first, |response| message(signal::encode_response(&response, text)))
            .await
    }
}

fn message(frame: Frame) -> Message {
    match frame {
        Frame::Binary(bytes) => Message::Binary(bytes),
        Frame::Text(text) => Message::Text(text.into()),
    }
}

/// Sends `first` and whatever else waits in `outbox`, with one flush; false when the socket is gone or stalled.
pub(crate) async fn write<T>(
    socket: &mut WebSocket,
    outbox: &mut mpsc::Receiver<T>,
    first: T,
    frame: impl Fn(T) -> Message,
) -> bool {
    let writing = async {
        socket.feed(frame(first)).await?;
        while let Ok(next) = outbox.try_recv() {
            socket.feed(frame(next)).await?;
        }
        socket.flush().await
    };
    matches!(timeout(WRITE_PATIENCE, writing).await, Ok(Ok(())))
}

/// Pings a client, and notices that nothing comes back.
pub(crate) struct Pulse {
    every: Interval,
    heard: Instant,
}

impl Pulse {
    pub(crate) fn new() -> Self {
        let mut every = tokio::time::interval(PING_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        every.reset();
        Self { every, heard: Instant::now() }
    }

    /// Something came.
    pub(crate) fn heard(&mut self) {
        self.heard = Instant::now();
    }

    /// Until the next ping is due.
    pub(crate) async fn tick(&mut self) {
        self.every.tick().await;
    }

    /// False when the client is silent or does not take the ping.
    pub(crate) async fn ping(&self, socket: &mut WebSocket) -> bool {
        let pinging = timeout(WRITE_PATIENCE, socket.send(Message::Ping(Bytes::new())));
        self.heard.elapsed() <= SILENCE_MAX && matches!(pinging.await, Ok(Ok(())))
    }
}

/// Says goodbye and reads on until the client has answered, so that it reads everything sent before.
pub(crate) async fn close(mut socket: WebSocket, code: u16, reason: &'static str) {
    let farewell = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
    let _ = timeout(CLOSE_PATIENCE, async {
        if socket.send(farewell).await.is_ok() {
            while let Some(Ok(_)) = socket.recv().await {}
        }
    })
    .await;
}

/// A token bucket: [`BURST`] messages at once, [`RATE`] per second after that.
pub(crate) struct Allowance {
    left: f64,
    at: Instant,
}

impl Allowance {
    pub(crate) const fn new(now: Instant) -> Self {
        Self { left: BURST, at: now }
    }

    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.at);
        self.at = now;
        self.left = (self.left + since.as_secs_f64() * RATE).min(BURST) - 1.0;
        if self.left < 0.0 {
            self.left = 0.0;
            return false;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allowance_runs_out_and_comes_back() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        let taken = (0..1000).filter(|_| allowance.take(start)).count();
        assert_eq!(taken, 500);
        let later = start + Duration::from_secs(2);
        let taken = (0..1000).filter(|_| allowance.take(later)).count();
        assert_eq!(taken, 100);
    }
}

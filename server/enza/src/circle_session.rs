//! One circle socket: text frames in, text frames out, and the limits that keep one client from harming the others.
//! It knows no room state: it hands commands to the room and sends what the room says.

use crate::room::{CircleMessage, Message as RoomMessage, OUTBOX, RoomHandle, Visit};
use crate::rooms::{EnterError, Rooms};
use crate::server::raised;
use crate::session::{Allowance, ENTER_TRIES, End, FIRST_MESSAGE, Pulse, close, write};
use crate::token::TokenAuthority;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, close_code};
use serde_json::json;
use signal::{ConnectionId, Grants};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, timeout_at};

/// How often a fresh token is sent, and how long it opens the room: a phone may sleep between two of them. Longer:
/// somebody who left can come back for longer; shorter: who takes part by text alone is locked out after a nap.
const TOKEN_EVERY: Duration = Duration::from_secs(600);
const TOKEN: Duration = Duration::from_secs(3600);

/// Serves one upgraded socket to its end.
pub(crate) async fn run(
    mut socket: WebSocket,
    rooms: Rooms,
    tokens: Arc<TokenAuthority>,
    visit: Visit,
    stopped: watch::Receiver<bool>,
) {
    let Some((room, connection, mut session)) = enter(&rooms, &tokens, &visit).await else {
        return close(socket, close_code::AGAIN, "no room").await;
    };
    let end = session.serve(&mut socket, &room, connection, stopped).await;
    room.send(RoomMessage::Circle(CircleMessage::Closed { connection })).await;
    end.close(socket, connection).await;
}

/// Finds the room and waits for the first thing that it says.
async fn enter(
    rooms: &Rooms,
    tokens: &Arc<TokenAuthority>,
    visit: &Visit,
) -> Option<(RoomHandle, ConnectionId, Session)> {
    let begun = Instant::now();
    for _ in 0..ENTER_TRIES {
        let (room, connection) = match rooms.enter(&visit.grants.room).await {
            Ok(entered) => entered,
            Err(EnterError::Stopping | EnterError::Full) => return None,
        };
        let (sender, mut outbox) = mpsc::channel(OUTBOX);
        let connect = CircleMessage::Connect { connection, outbox: sender, visit: Box::new(visit.clone()) };
        let first = timeout_at(begun + FIRST_MESSAGE, async {
            if room.send(RoomMessage::Circle(connect)).await { outbox.recv().await } else { None }
        });
        match first.await {
            Ok(Some(first)) => {
                let mut refresh = tokio::time::interval(TOKEN_EVERY);
                refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
                refresh.reset();
                let session = Session {
                    outbox,
                    first: Some(first),
                    grants: visit.grants.clone(),
                    tokens: Arc::clone(tokens),
                    refresh,
                    allowance: Allowance::new(Instant::now()),
                };
                return Some((room, connection, session));
            }
            // The room ended before it read this.
            Ok(None) => {}
            Err(_) => {
                tracing::warn!(connection = connection.0, "a room did not answer a circle socket in time");
                return None;
            }
        }
    }
    None
}

struct Session {
    outbox: mpsc::Receiver<Utf8Bytes>,
    first: Option<Utf8Bytes>,
    grants: Grants,
    tokens: Arc<TokenAuthority>,
    refresh: Interval,
    /// Frames of any kind; commands are counted by the circle, per person.
    allowance: Allowance,
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
                said = self.outbox.recv() => match said {
                    Some(said) => {
                        if !self.send(socket, said).await {
                            return End::Client;
                        }
                    }
                    None => return End::Room,
                },
                () = raised(&mut stopped) => return End::Stopping,
                received = socket.recv() => {
                    let Some(Ok(received)) = received else { return End::Client };
                    pulse.heard();
                    if let Err(end) = self.receive(received, room, connection).await {
                        return end;
                    }
                }
                _ = self.refresh.tick() => {
                    let token = self.tokens.sign(&self.grants, TOKEN);
                    let said = json!({"type": "token", "token": token}).to_string();
                    if !self.send(socket, said.into()).await {
                        return End::Client;
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
        let request = match received {
            Message::Text(text) => circle::decode_request(text.as_str()),
            Message::Binary(_) => Err(None),
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
            Message::Close(_) => return Err(End::Client),
        };
        let message = CircleMessage::Request { connection, request };
        if room.send(RoomMessage::Circle(message)).await { Ok(()) } else { Err(End::Room) }
    }

    async fn send(&mut self, socket: &mut WebSocket, first: Utf8Bytes) -> bool {
        write(socket, &mut self.outbox, first, Message::Text).await
    }
}

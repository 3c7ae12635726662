//! One live room's task: owns its [`signal::Room`] and its [`circle::Room`], lends them a clock, and carries their
//! effects out, those of the one into the other first.
//!
//! Dropping a connection's outbox is how a connection is closed: its session sends what is left and hangs up.

mod circle;
mod keep;
mod live;
mod question;
mod service;
mod webhook;

use crate::media::{MediaHandle, MediaThreads};
use crate::metrics::{Metrics, Presence, Queue};
use crate::rooms::{Farewell, Fatal, now};
use crate::token::TokenAuthority;
use crate::webhook::Webhooks;
use ::circle::{History, Settings};
use axum::extract::ws::Utf8Bytes;
use circle::circle_now;
pub(crate) use circle::{CircleMessage, ROLE, Visit, pass};
pub(crate) use keep::NotKept;
use keep::{Forget, Keep, Keeper};
pub(crate) use live::FRESH;
use live::Live;
use livekit_protocol::{
    DisconnectReason, JoinRequest, RoomEndReason, SignalRequest, SignalResponse,
    signal_response::Message as ResponseMessage,
};
pub(crate) use question::Question;
pub(crate) use service::ServiceCall;
use sfu::Event;
use signal::{ConnectionId, Connections, Effect, Grants, Input, Now, Room, RoomSettings};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use store::{Store, Trace};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::AbortHandle;

/// Messages of all sessions that wait for the room. Full makes the sessions wait, and with them their sockets.
const REQUESTS: usize = 256;

/// Media events that wait for the room. Full means that it is stuck: it is ended and everybody rejoins. Higher:
/// that takes longer to notice; lower: a burst of data messages could reach it.
const EVENTS: usize = 2048;

/// Messages that wait for one connection. Full means that the client does not read: it is closed and will
/// resume. Higher: more memory for each slow client; lower: joining a big room overruns a phone.
pub(crate) const OUTBOX: usize = 512;

/// How long a refreshed token lives (LiveKit: 10 minutes).
const REFRESHED_TOKEN: Duration = Duration::from_secs(600);

/// What a session tells the room.
pub(crate) enum Message {
    Join { connection: ConnectionId, outbox: mpsc::Sender<Box<SignalResponse>>, entry: Box<Entry> },
    Request { connection: ConnectionId, request: Box<SignalRequest> },
    Closed { connection: ConnectionId },
    Circle(CircleMessage),
    Question(Question),
}

/// What somebody brings to the door: what their token says and what their client asks for.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) grants: Grants,
    pub(crate) request: Box<JoinRequest>,
    pub(crate) connections: Connections,
}

/// The room's task does not take this event.
pub(crate) struct Stuck;

/// A session's way to a room's task. Cheap to clone.
#[derive(Clone)]
pub(crate) struct RoomHandle {
    requests: mpsc::Sender<Message>,
}

impl RoomHandle {
    /// Waits while the room is busy; false when it is gone.
    pub(crate) async fn send(&self, message: Message) -> bool {
        self.requests.send(message).await.is_ok()
    }
}

/// The directory's hold on a room's task.
pub(crate) struct RoomControl {
    handle: RoomHandle,
    events: mpsc::Sender<Event>,
    /// `Some` once the room is told to end.
    end: watch::Sender<Option<DisconnectReason>>,
    task: AbortHandle,
}

impl RoomControl {
    /// The handle for a new session, unless the task has ended.
    pub(crate) fn handle(&self) -> Option<RoomHandle> {
        (!self.handle.requests.is_closed()).then(|| self.handle.clone())
    }

    pub(crate) fn media(&self, event: Event) -> Result<(), Stuck> {
        self.events.try_send(event).map_err(|_| Stuck)
    }

    pub(crate) fn end(&self, reason: DisconnectReason) {
        self.end.send_replace(Some(reason));
    }

    /// Ends the task where it stands: its connections close without a word, and their clients resume or rejoin.
    pub(crate) fn abort(self) {
        self.task.abort();
    }
}

/// What every room's task is lent.
#[derive(Clone)]
pub(crate) struct Services {
    pub(crate) media: MediaThreads,
    pub(crate) store: Store,
    pub(crate) tokens: Arc<TokenAuthority>,
    pub(crate) fatal: mpsc::Sender<Fatal>,
    pub(crate) webhooks: Webhooks,
    pub(crate) metrics: Metrics,
}

/// Starts the task of a new room; `pen` is the same for all that write for this room. `epoch` tells its circle from earlier ones of the same room.
pub(crate) fn start(
    now: Now,
    settings: RoomSettings,
    epoch: String,
    services: Services,
    pen: Arc<Semaphore>,
    farewell: Farewell,
) -> RoomControl {
    let Services { media, store, tokens, fatal, webhooks, metrics } = services;
    let presence = Presence::of_a_room(metrics);
    let (requests, inbox) = mpsc::channel(REQUESTS);
    let (events, media_events) = mpsc::channel(EVENTS);
    let (end, ending) = watch::channel(None);
    let task = tokio::spawn(async move {
        let name = settings.name.clone();
        // What the task before this one wrote last is read here.
        // Nobody closes it.
        let Ok(pen) = pen.acquire_owned().await else { return farewell.say().await };
        let kept = kept_settings(&store, &name).await;
        let bans = kept_bans(&store, &name).await;
        let left_over = live::left_over(&store, &name).await;
        let texts = keep::kept_texts(&store, &name).await;
        let (mut keeper, keeping) = Keeper::start(store, name.clone(), pen);
        if kept.as_ref().is_some_and(|kept| kept.history != History::Days) {
            // The rule may have come to the disk without this.
            keeper.note(Keep::Forget(Forget::Texts));
        }
        let kept = kept.unwrap_or_default();
        let mut circle = ::circle::Room::new(circle_now(now), epoch, kept);
        circle.restore(left_over.clone());
        circle.recall(texts);
        let task = RoomTask {
            room: Room::new(now, settings),
            name,
            outboxes: HashMap::new(),
            live: Live::new(left_over, circle.revision()),
            circle,
            circle_outboxes: HashMap::new(),
            arriving: None,
            kept_open: false,
            keeper,
            unacknowledged: None,
            bans,
            metadata: String::new(),
            mirrored: String::new(),
            media: media.for_room(),
            tokens,
            fatal,
            webhooks,
            presence,
            started: false,
            finished_by: RoomEndReason::RoomEndIdleTimeout,
            ended: false,
            stopping: false,
        };
        // Its end lets go of the keeper, and the last change is written before the room counts as gone.
        task.run(inbox, media_events, ending).await;
        let _ = keeping.await;
        farewell.say().await;
    })
    .abort_handle();
    RoomControl { handle: RoomHandle { requests }, events, end, task }
}

/// What the hosts set the last time; `None` when it cannot be read. A room that the store does not know has today's
/// defaults.
async fn kept_settings(store: &Store, room: &str) -> Option<Settings> {
    match store.room_settings(room).await.map(|kept| kept.map(|json| serde_json::from_str(&json))) {
        Ok(None) => Some(Settings::default()),
        Ok(Some(Ok(kept))) => Some(kept),
        Ok(Some(Err(error))) => {
            tracing::error!(%error, "a room's settings are not understood");
            None
        }
        Err(error) => {
            tracing::error!(%error, "a room's settings cannot be read");
            None
        }
    }
}

/// Whom earlier meetings banned, by identity and by mark.
async fn kept_bans(store: &Store, room: &str) -> Vec<Trace> {
    match store.bans(room).await {
        Ok(bans) => bans.into_iter().flat_map(|ban| [Some(ban.identity), ban.mark]).flatten().collect(),
        Err(error) => {
            tracing::error!(%error, "a room's bans cannot be read");
            Vec::new()
        }
    }
}

struct RoomTask {
    room: Room,
    /// Its id in the store.
    name: String,
    outboxes: HashMap<ConnectionId, mpsc::Sender<Box<SignalResponse>>>,
    circle: ::circle::Room,
    live: Live,
    circle_outboxes: HashMap<::circle::ConnectionId, mpsc::Sender<Utf8Bytes>>,
    /// Whose join the signalling is judging.
    arriving: Option<(ConnectionId, ::circle::Pass)>,
    /// Whether the signalling was told that the circle is occupied.
    kept_open: bool,
    keeper: Keeper,
    /// The change that the command in hand made: its answer waits for the disk.
    unacknowledged: Option<u64>,
    /// Who may not come in, by identity or by mark.
    bans: Vec<Trace>,
    /// The room's metadata as the server API set it, and the circle's part of it.
    metadata: String,
    mirrored: String,
    media: MediaHandle,
    tokens: Arc<TokenAuthority>,
    fatal: mpsc::Sender<Fatal>,
    webhooks: Webhooks,
    presence: Presence,
    /// Somebody was here.
    started: bool,
    /// What ends the room, if it ends now.
    finished_by: RoomEndReason,
    ended: bool,
    /// The server stops: the circle on disk is for the next process.
    stopping: bool,
}

impl RoomTask {
    async fn run(
        mut self,
        mut requests: mpsc::Receiver<Message>,
        mut events: mpsc::Receiver<Event>,
        mut ending: watch::Receiver<Option<DisconnectReason>>,
    ) {
        self.settle(now());
        while !self.ended {
            let deadlines = [self.room.next_deadline(), self.circle.next_deadline(), self.live.due];
            let deadline = deadlines.into_iter().flatten().min();
            let timer = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // Media first: it is what people hear, and its queue must never fill.
                biased;
                event = events.recv() => match event {
                    Some(event) => self.handle(Input::Media(event)),
                    // The directory gave the room up.
                    None => break,
                },
                changed = ending.changed() => {
                    let reason = *ending.borrow_and_update();
                    match (changed, reason) {
                        (Ok(()), Some(reason)) => {
                            // What people will come back to.
                            self.write_circle_now(now());
                            self.finished_by = RoomEndReason::RoomEndServerShutdown;
                            self.stopping = reason == DisconnectReason::ServerShutdown;
                            self.circle.handle(circle_now(now()), ::circle::Input::Stop);
                            self.handle(Input::End { reason });
                        }
                        (Ok(()), None) => {}
                        (Err(_), _) => break,
                    }
                }
                () = self.keeper.progress() => self.tell_kept(now()),
                () = timer => {
                    self.write_circle(now());
                    self.circle.handle(circle_now(now()), ::circle::Input::Tick);
                    self.handle(Input::Tick);
                }
                message = requests.recv() => match message {
                    Some(Message::Join { connection, outbox, entry }) => {
                        let now = now();
                        self.outboxes.insert(connection, outbox);
                        self.join(now, connection, *entry);
                        self.settle(now);
                    }
                    Some(Message::Request { connection, request }) => {
                        // A connection that was closed has nothing to say any more.
                        if self.outboxes.contains_key(&connection) {
                            self.handle(Input::Request { connection, request: *request });
                        }
                    }
                    Some(Message::Closed { connection }) => {
                        if self.outboxes.remove(&connection).is_some() {
                            self.handle(Input::Closed { connection });
                        }
                    }
                    Some(Message::Circle(message)) => {
                        let now = now();
                        self.circle_message(now, message);
                        self.settle(now);
                    }
                    Some(Message::Question(question)) => self.answer_question(question),
                    None => break,
                },
            }
        }
        self.tell_of_finish();
        if !self.stopping {
            self.keeper.keep(Keep::Over);
        }
    }

    fn handle(&mut self, input: Input) {
        let now = now();
        self.room.handle(now, input);
        self.settle(now);
    }

    /// Carries everything out that the last input led to, until neither side wants anything more.
    fn settle(&mut self, now: Now) {
        loop {
            if let Some(effect) = self.room.poll_effect() {
                self.carry_out(now, effect);
            } else if let Some(effect) = self.circle.poll_effect() {
                self.obey_circle(now, effect);
            } else if self.kept_open != self.circle.is_occupied() {
                self.kept_open = !self.kept_open;
                self.room.handle(now, Input::KeepOpen(self.kept_open));
            } else {
                self.unacknowledged = None;
                self.presence.set(self.circle.people());
                if self.circle.people() > 0 {
                    self.tell_of_start();
                }
                if !self.stopping {
                    self.watch_circle(now);
                }
                return;
            }
        }
    }

    fn keep(&mut self, what: Keep) {
        self.keeper.keep(what);
        self.unacknowledged = Some(self.keeper.newest());
    }

    fn carry_out(&mut self, now: Now, effect: Effect) {
        let circle_now = circle_now(now);
        match effect {
            Effect::Send { connection, response } => self.send(now, connection, response),
            Effect::RefreshToken { connection, grants } => {
                let token = self.tokens.sign(&grants, REFRESHED_TOKEN);
                let response = SignalResponse { message: Some(ResponseMessage::RefreshToken(token)) };
                self.send(now, connection, Box::new(response));
            }
            Effect::Close { connection } => {
                self.outboxes.remove(&connection);
            }
            Effect::Media(command) => {
                if let Err(stuck) = self.media.send(command) {
                    // Full means that a reason to stop is known already.
                    let _ = self.fatal.try_send(stuck.into());
                    self.ended = true;
                }
            }
            Effect::Arrived { connection } => self.arrived(now, connection),
            Effect::Departed { identity, for_good } => {
                let identity = identity.as_str().into();
                self.circle.handle(circle_now, ::circle::Input::MediaDown { identity, for_good });
            }
            Effect::Speaks { identity, speaks } => {
                let identity = identity.as_str().into();
                self.circle.handle(circle_now, ::circle::Input::Speaks { identity, speaks });
            }
            Effect::Renamed { identity, name } => {
                let identity = identity.as_str().into();
                self.circle.handle(circle_now, ::circle::Input::Renamed { identity, name });
            }
            Effect::Happened(what) => self.tell_of(*what),
            Effect::Ended => self.ended = true,
        }
    }

    fn send(&mut self, now: Now, connection: ConnectionId, response: Box<SignalResponse>) {
        let Some(outbox) = self.outboxes.get(&connection) else { return };
        if outbox.try_send(response).is_err() {
            tracing::debug!(connection = connection.0, "a client does not read and is closed");
            self.outboxes.remove(&connection);
            self.presence.metrics().overflowed(Queue::Session);
            // Its effects join the queue that `carry_out` is draining.
            self.room.handle(now, Input::Closed { connection });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media;
    use crate::token::ApiKey;
    use axum::http::Uri;
    use sfu::RoomId;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    fn entry(identity: &str) -> Box<Entry> {
        let grants = Grants { expires_at_unix: u64::MAX, ..Grants::new(identity, "a") };
        Box::new(Entry { grants, request: Box::default(), connections: Connections::One })
    }

    async fn task(media: MediaHandle, folder: &tempfile::TempDir, told: &[Uri]) -> RoomTask {
        let key = ApiKey::new("key".to_owned(), "0123456789abcdef0123456789abcdef".to_owned()).unwrap();
        let tokens = Arc::new(TokenAuthority::new(&key));
        let (fatal, _reasons) = mpsc::channel(1);
        let settings = RoomSettings {
            id: RoomId(1),
            name: "a".to_owned(),
            created_unix_millis: 0,
            seed: [7; 32],
            empty_timeout: Duration::from_secs(300),
            departure_timeout: Duration::from_secs(20),
            max_participants: 10,
            development: false,
            server_version: "1.13.5",
        };
        let store = Store::open(&folder.path().join("enza.db")).await.unwrap();
        let pen = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        let (keeper, _keeping) = Keeper::start(store, "a".to_owned(), pen);
        RoomTask {
            room: Room::new(now(), settings),
            name: "a".to_owned(),
            outboxes: HashMap::new(),
            circle: ::circle::Room::new(circle_now(now()), "e".to_owned(), Settings::default()),
            live: Live::new(::circle::Snapshot::default(), 0),
            circle_outboxes: HashMap::new(),
            arriving: None,
            kept_open: false,
            keeper,
            unacknowledged: None,
            bans: Vec::new(),
            metadata: String::new(),
            mirrored: String::new(),
            media,
            webhooks: Webhooks::start(told, &tokens, &Metrics::default()),
            presence: Presence::of_a_room(Metrics::default()),
            tokens,
            fatal,
            started: false,
            finished_by: RoomEndReason::RoomEndIdleTimeout,
            ended: false,
            stopping: false,
        }
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_closed_and_the_room_goes_on() {
        let (media, _commands) = media::handle_for_tests();
        let folder = tempfile::tempdir().unwrap();
        let task = task(media, &folder, &[]).await;
        let (requests, inbox) = mpsc::channel(REQUESTS);
        let (_events, media_events) = mpsc::channel(EVENTS);
        let (_end, ending) = watch::channel(None);
        tokio::spawn(task.run(inbox, media_events, ending));

        // A join is answered by more than one message, so one place is too few.
        let (deaf, mut deaf_outbox) = mpsc::channel(1);
        let join = Message::Join { connection: ConnectionId(1), outbox: deaf, entry: entry("deaf") };
        requests.send(join).await.ok().unwrap();
        let (outbox, mut messages) = mpsc::channel(OUTBOX);
        let join = Message::Join { connection: ConnectionId(2), outbox, entry: entry("ann") };
        requests.send(join).await.ok().unwrap();

        let first = messages.recv().await.unwrap().message;
        assert!(matches!(first, Some(ResponseMessage::Join(_))), "{first:?}");
        let left = deaf_outbox.recv().await.unwrap().message;
        assert!(matches!(left, Some(ResponseMessage::Join(_))), "what was sent before is still there");
        assert!(deaf_outbox.recv().await.is_none(), "and then the connection ends");
    }

    #[tokio::test]
    async fn a_quiet_circle_is_written_again_and_again_so_that_a_restart_finds_it_fresh() {
        let (media, _commands) = media::handle_for_tests();
        let folder = tempfile::tempdir().unwrap();
        let mut task = task(media, &folder, &[]).await;
        let began = now();
        let at = |seconds: u64| Now { instant: began.instant + Duration::from_secs(seconds), ..began };
        let (outbox, _messages) = mpsc::channel(OUTBOX);
        let visit = Box::new(Visit { grants: Grants::new("ann", "a"), resume: None });
        task.circle_message(began, CircleMessage::Connect { connection: ConnectionId(1), outbox, visit });
        task.watch_circle(began);
        task.write_circle(began);
        let written = task.keeper.newest();
        assert!(written > 0, "who came in is written");
        task.watch_circle(at(19));
        task.write_circle(at(19));
        assert_eq!(task.keeper.newest(), written, "nothing changed");
        for round in 1..=3 {
            task.watch_circle(at(20 * round));
            task.write_circle(at(20 * round));
            assert_eq!(task.keeper.newest(), written + round, "so that it does not grow old");
        }
    }

    /// Takes one webhook after the other.
    async fn take(receiver: TcpListener, told: mpsc::Sender<(String, RoomEndReason)>) {
        loop {
            let (mut connection, _) = receiver.accept().await.unwrap();
            let mut read = Vec::new();
            let body = loop {
                assert!(connection.read_buf(&mut read).await.unwrap() > 0, "a whole request");
                let text = String::from_utf8_lossy(&read).to_lowercase();
                let Some(head) = text.find("\r\n\r\n") else { continue };
                let length = text[..head].split("content-length: ").nth(1).unwrap();
                let length: usize = length.lines().next().unwrap().parse().unwrap();
                if read.len() == head + 4 + length {
                    break read.split_off(head + 4);
                }
            };
            let event: livekit_protocol::WebhookEvent = serde_json::from_slice(&body).unwrap();
            told.send((event.event.clone(), event.room_end_reason())).await.unwrap();
            connection
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .await
                .unwrap();
        }
    }

    #[tokio::test]
    async fn a_room_starts_with_its_first_person_and_tells_that_somebody_ended_it() {
        let (media, _commands) = media::handle_for_tests();
        let receiver = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", receiver.local_addr().unwrap()).parse().unwrap();
        let (told, mut events) = mpsc::channel(10);
        let taking = tokio::spawn(take(receiver, told));
        for comes in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let task = task(media.clone(), &folder, &[Uri::clone(&url)]).await;
            let webhooks = task.webhooks.clone();
            let (requests, inbox) = mpsc::channel(REQUESTS);
            let (_events, media_events) = mpsc::channel(EVENTS);
            let (_end, ending) = watch::channel(None);
            let running = tokio::spawn(task.run(inbox, media_events, ending));
            let (outbox, _messages) = mpsc::channel(OUTBOX);
            if comes {
                let visit = Box::new(Visit { grants: Grants::new("ann", "a"), resume: None });
                let connection = ConnectionId(1);
                let enter = CircleMessage::Connect { connection, outbox, visit };
                requests.send(Message::Circle(enter)).await.ok().unwrap();
            }
            let (reply, _) = tokio::sync::oneshot::channel();
            let (kept, _) = tokio::sync::oneshot::channel();
            let order = Box::new(::circle::Order::Obey {
                by: ::circle::Outsider::operator(),
                command: ::circle::Command::End,
            });
            let end = Message::Question(Question::Operate { order, reply, kept });
            requests.send(end).await.ok().unwrap();
            running.await.unwrap();
            webhooks.flush().await;
        }
        taking.abort();
        assert_eq!(events.recv().await.unwrap().0, "room_started");
        let finished = ("room_finished".to_owned(), RoomEndReason::RoomEndApiDelete);
        assert_eq!(events.recv().await, Some(finished));
        assert_eq!(events.recv().await, None, "where nobody came nothing is told");
    }
}

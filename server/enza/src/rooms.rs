//! The directory of live rooms: one task that knows which room has which task, makes rooms at the first join,
//! forgets them at their end, and hands the media thread's events to the room they belong to.
//!
//! It never waits for a room: a room whose event queue is full is stuck and is ended.

use crate::media::{MediaEvents, MediaStuck};
use crate::metrics::Queue;
use crate::outside::{self, Outside};
use crate::room::{self, RoomControl, RoomHandle, Services};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use livekit_protocol::DisconnectReason;
use sfu::{Event, PeerId, RoomId, TrackId};
use signal::{ConnectionId, Now, RoomSettings};
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Requests that wait for the directory. Full makes callers wait: each answer takes microseconds.
const REQUESTS: usize = 256;

/// Most rooms alive at once. Higher: more memory for whoever may make rooms by token; lower: a busy server turns
/// people away.
const ROOMS_MAX: usize = 4096;

/// Most participants in one room; a conversation, not a broadcast (design page, section 1).
const PARTICIPANTS_MAX: u32 = 100;

/// A room nobody ever entered, and one that everybody left, live on for this long (LiveKit's defaults).
const EMPTY_TIMEOUT: Duration = Duration::from_secs(300);
const DEPARTURE_TIMEOUT: Duration = Duration::from_secs(20);

/// What LiveKit's clients compare features against (research of the protocol, section 1.6): the server version
/// whose protocol this program speaks.
pub(crate) const LIVEKIT_VERSION: &str = "1.13.5";

/// What the program cannot survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fatal {
    #[error("{0}")]
    Media(MediaTrouble),
    #[error("the task that keeps the rooms has ended")]
    Rooms,
}

/// Why the media thread is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MediaTrouble {
    #[error("the media thread does not keep up")]
    Stuck,
    #[error("the media thread has ended")]
    Ended,
}

impl From<MediaStuck> for Fatal {
    fn from(stuck: MediaStuck) -> Self {
        Self::Media(match stuck {
            MediaStuck::Full => MediaTrouble::Stuck,
            MediaStuck::Gone => MediaTrouble::Ended,
        })
    }
}

/// The directory takes no more requests (the program is stopping) or holds too many rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EnterError {
    #[error("the server is stopping")]
    Stopping,
    #[error("this server holds as many rooms as it can")]
    Full,
}

enum Request {
    Enter { name: String, reply: oneshot::Sender<Result<(RoomHandle, ConnectionId), EnterError>> },
    Find { name: String, reply: oneshot::Sender<Option<RoomHandle>> },
    All { reply: oneshot::Sender<Vec<RoomHandle>> },
    Numbered { reply: oneshot::Sender<Vec<(RoomId, RoomHandle)>> },
    Ended { name: String, id: RoomId },
    End { done: oneshot::Sender<()> },
}

/// Asks the directory. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Rooms {
    requests: mpsc::Sender<Request>,
}

/// Lets a room's task say that it is gone.
pub(crate) struct Farewell {
    requests: mpsc::Sender<Request>,
    name: String,
    id: RoomId,
}

impl Farewell {
    pub(crate) async fn say(self) {
        // `Err`: the directory itself is gone.
        let _ = self.requests.send(Request::Ended { name: self.name, id: self.id }).await;
    }
}

impl Rooms {
    pub(crate) fn start(services: Services, media: MediaEvents, outside: Outside, development: bool) -> Self {
        let (requests, inbox) = mpsc::channel(REQUESTS);
        let directory = Directory {
            live: HashMap::new(),
            names: HashMap::new(),
            pens: HashMap::new(),
            next_room: 1,
            next_connection: 1,
            ending: false,
            waiting_for_end: Vec::new(),
            requests: requests.clone(),
            services,
            outside,
            development,
        };
        tokio::spawn(directory.run(inbox, media));
        Self { requests }
    }

    /// The live room called `name`, made if there is none, and a number for the new connection.
    pub(crate) async fn enter(&self, name: &str) -> Result<(RoomHandle, ConnectionId), EnterError> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Enter { name: name.to_owned(), reply };
        self.requests.send(request).await.map_err(|_| EnterError::Stopping)?;
        answer.await.map_err(|_| EnterError::Stopping)?
    }

    /// The live room called `name`, if there is one.
    pub(crate) async fn find(&self, name: &str) -> Option<RoomHandle> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Find { name: name.to_owned(), reply }).await.ok()?;
        answer.await.ok().flatten()
    }

    /// All live rooms.
    pub(crate) async fn all(&self) -> Vec<RoomHandle> {
        let (reply, answer) = oneshot::channel();
        if self.requests.send(Request::All { reply }).await.is_err() {
            return Vec::new();
        }
        answer.await.unwrap_or_default()
    }

    /// All live rooms by the numbers that the log calls them by.
    pub(crate) async fn numbered(&self) -> Vec<(RoomId, RoomHandle)> {
        let (reply, answer) = oneshot::channel();
        if self.requests.send(Request::Numbered { reply }).await.is_err() {
            return Vec::new();
        }
        answer.await.unwrap_or_default()
    }

    /// Tells everybody in every room that the server stops; returns when all rooms are gone.
    pub(crate) async fn end(&self) {
        let (done, answer) = oneshot::channel();
        if self.requests.send(Request::End { done }).await.is_ok() {
            let _ = answer.await;
        }
    }
}

struct Directory {
    live: HashMap<RoomId, RoomControl>,
    names: HashMap<String, RoomId>,
    /// Held by a room's task while it reads and writes what lasts. A room that ended may write for a moment longer.
    pens: HashMap<String, Weak<Semaphore>>,
    next_room: u32,
    next_connection: u64,
    ending: bool,
    waiting_for_end: Vec<oneshot::Sender<()>>,
    requests: mpsc::Sender<Request>,
    services: Services,
    outside: Outside,
    development: bool,
}

impl Directory {
    async fn run(mut self, mut inbox: mpsc::Receiver<Request>, media: MediaEvents) {
        let MediaEvents { mut events, mut ended } = media;
        loop {
            tokio::select! {
                Some(()) = ended.recv() => {
                    self.give_up(Fatal::Media(MediaTrouble::Ended));
                    return;
                }
                event = events.recv() => match event {
                    Some(event) => self.route(event),
                    None => {
                        self.give_up(Fatal::Media(MediaTrouble::Ended));
                        return;
                    }
                },
                request = inbox.recv() => match request {
                    Some(Request::Enter { name, reply }) => {
                        // `Err`: the connection closed while it waited.
                        let _ = reply.send(self.enter(name));
                    }
                    Some(Request::Find { name, reply }) => {
                        let _ = reply.send(self.live(&name));
                    }
                    Some(Request::All { reply }) => {
                        let _ = reply.send(self.live.values().filter_map(RoomControl::handle).collect());
                    }
                    Some(Request::Numbered { reply }) => {
                        let rooms = self.live.iter();
                        let _ = reply.send(rooms.filter_map(|(id, room)| Some((*id, room.handle()?))).collect());
                    }
                    Some(Request::Ended { name, id }) => self.forget(&name, id),
                    Some(Request::End { done }) => {
                        self.ending = true;
                        self.waiting_for_end.push(done);
                        for room in self.live.values() {
                            room.end(DisconnectReason::ServerShutdown);
                        }
                    }
                    None => return,
                },
            }
            if self.ending && self.live.is_empty() {
                for done in self.waiting_for_end.drain(..) {
                    let _ = done.send(());
                }
            }
        }
    }

    fn give_up(&self, reason: Fatal) {
        // Full means that a reason to stop is known already.
        let _ = self.services.fatal.try_send(reason);
    }

    fn enter(&mut self, name: String) -> Result<(RoomHandle, ConnectionId), EnterError> {
        if self.ending {
            return Err(EnterError::Stopping);
        }
        // A room whose task ended a moment ago still stands here until its farewell comes: a new one takes the name.
        let handle = match self.live(&name) {
            Some(handle) => handle,
            None => self.open(name)?,
        };
        let connection = ConnectionId(self.next_connection);
        self.next_connection += 1;
        Ok((handle, connection))
    }

    fn live(&self, name: &str) -> Option<RoomHandle> {
        self.names.get(name).and_then(|id| self.live.get(id)).and_then(RoomControl::handle)
    }

    fn open(&mut self, name: String) -> Result<RoomHandle, EnterError> {
        if self.live.len() >= ROOMS_MAX {
            return Err(EnterError::Full);
        }
        let id = RoomId(u64::from(self.next_room));
        // Peers' and tracks' numbers carry the room in their upper half, so it has 32 bits.
        self.next_room = self.next_room.wrapping_add(1).max(1);
        let (mut seed, mut epoch) = ([0; 32], [0_u8; 9]);
        if let Err(error) = getrandom::fill(&mut seed).and_then(|()| getrandom::fill(&mut epoch)) {
            tracing::error!(%error, "no random numbers for a new room");
            return Err(EnterError::Full);
        }
        let now = now();
        let settings = RoomSettings {
            id,
            name: name.clone(),
            created_unix_millis: now.unix_millis,
            seed,
            empty_timeout: EMPTY_TIMEOUT,
            departure_timeout: DEPARTURE_TIMEOUT,
            max_participants: PARTICIPANTS_MAX,
            development: self.development,
            server_version: LIVEKIT_VERSION,
        };
        let farewell = Farewell { requests: self.requests.clone(), name: name.clone(), id };
        let epoch = URL_SAFE_NO_PAD.encode(epoch);
        let room = room::start(now, settings, epoch, self.services.clone(), self.pen(&name), farewell);
        tracing::info!(room = id.0, "a room opens");
        let handle = room.handle().ok_or(EnterError::Stopping)?;
        self.live.insert(id, room);
        self.names.insert(name, id);
        Ok(handle)
    }

    fn pen(&mut self, name: &str) -> Arc<Semaphore> {
        self.pens.retain(|_, pen| pen.strong_count() > 0);
        let known = self.pens.get(name).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let pen = Arc::new(Semaphore::new(1));
            self.pens.insert(name.to_owned(), Arc::downgrade(&pen));
            pen
        })
    }

    fn forget(&mut self, name: &str, id: RoomId) {
        if self.live.remove(&id).is_some() {
            tracing::info!(room = id.0, "a room ends");
        }
        if self.names.get(name) == Some(&id) {
            self.names.remove(name);
        }
    }

    fn route(&mut self, event: Event) {
        let id = room_of(&event);
        if id == outside::NO_ROOM {
            return self.outside.media(event);
        }
        let Some(room) = self.live.get(&id) else { return };
        if room.media(event).is_err() && room.handle().is_some() {
            // Its task has not run for thousands of events.
            tracing::error!(room = id.0, "a room is stuck and is ended");
            self.services.metrics.overflowed(Queue::Room);
            self.names.retain(|_, known| *known != id);
            if let Some(room) = self.live.remove(&id) {
                room.abort();
            }
        }
    }
}

/// Which room an event is for: numbers of peers and tracks carry it in their upper half.
fn room_of(event: &Event) -> RoomId {
    let of_peer = |peer: &PeerId| RoomId(peer.0 >> 32);
    let of_track = |track: &TrackId| RoomId(track.0 >> 32);
    match event {
        Event::Answer { peer, .. }
        | Event::Offer { peer, .. }
        | Event::OfferRefused { peer, .. }
        | Event::OfferUnanswered { peer, .. }
        | Event::Connected { peer }
        | Event::Silent { peer }
        | Event::Heard { peer }
        | Event::Disconnected { peer, .. }
        | Event::Published { peer, .. }
        | Event::Unpublished { peer, .. }
        | Event::MediaSections { peer, .. }
        | Event::Subscribed { peer, .. }
        | Event::SubscriptionRefused { peer, .. }
        | Event::StreamState { peer, .. }
        | Event::ConnectionQuality { peer, .. }
        | Event::Data { peer, .. } => of_peer(peer),
        Event::Speakers { room, .. } => *room,
        Event::WantedLayers { track, .. } => of_track(track),
    }
}

/// The wall clock of a [`Now`], as the store counts.
pub(crate) fn unix_millis(now: Now) -> i64 {
    i64::try_from(now.unix_millis).unwrap_or(i64::MAX)
}

/// Both clocks, read once.
pub(crate) fn now() -> Now {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { instant: Instant::now(), unix_millis: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) }
}

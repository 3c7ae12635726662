//! Data-channel messages from one participant to others: rights, order, rates, replay after a resume.

use crate::Room;
use crate::data_packet::{Envelope, Sender};
use crate::limits::{
    DATA_BURST_SECONDS, DATA_BYTES_PER_SECOND, DATA_CHANNEL_GRACE, DATA_MESSAGES_PER_SECOND, MAX_LIST,
    REPLAY_AGE, REPLAY_BYTES, REPLAY_MESSAGES,
};
use bytes::Bytes;
use livekit_protocol::DataChannelReceiveState;
use sfu::{Command, DataChannel, PeerId};
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Instant;

const MICRO: u64 = 1_000_000;

/// Whether reliable messages reach a participant. The media plane does not tell when a client's data channels are
/// open and drops what comes before, so messages wait in the replay cache until it is safe to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inlet {
    /// No transport yet.
    Closed,
    /// The transport is up; open at this time at the latest.
    Opening {
        at: Instant,
    },
    Open,
}

/// One participant's side of the data channels.
#[derive(Debug)]
pub(crate) struct DataState {
    inlet: Inlet,
    /// Where the replay cache stood when this participant joined: older messages are not for it.
    since: u64,
    /// Highest number of a reliable message from it. A resume tells it back as `last_message_seq`.
    pub(crate) last_sequence: u32,
    budget: Budget,
}

impl DataState {
    pub(crate) fn new(now: Instant, replay: &ReplayCache) -> Self {
        Self { inlet: Inlet::Closed, since: replay.count, last_sequence: 0, budget: Budget::new(now) }
    }

    pub(crate) fn opens_at(&self) -> Option<Instant> {
        match self.inlet {
            Inlet::Opening { at } => Some(at),
            Inlet::Closed | Inlet::Open => None,
        }
    }

    pub(crate) fn transport_up(&mut self, now: Instant) {
        if self.inlet == Inlet::Closed {
            self.inlet = Inlet::Opening { at: now + DATA_CHANNEL_GRACE };
        }
    }
}

/// What a sender may still send: two token buckets, in millionths of a byte and of a message.
#[derive(Debug)]
struct Budget {
    bytes: u64,
    messages: u64,
    filled: Instant,
}

impl Budget {
    fn new(now: Instant) -> Self {
        Self { bytes: full(DATA_BYTES_PER_SECOND), messages: full(DATA_MESSAGES_PER_SECOND), filled: now }
    }

    fn spend(&mut self, now: Instant, bytes: usize) -> bool {
        let elapsed =
            u64::try_from(now.saturating_duration_since(self.filled).as_micros()).unwrap_or(u64::MAX);
        self.filled = now;
        let fill = |tokens: u64, rate: u32| {
            tokens.saturating_add(elapsed.saturating_mul(u64::from(rate))).min(full(rate))
        };
        self.bytes = fill(self.bytes, DATA_BYTES_PER_SECOND);
        self.messages = fill(self.messages, DATA_MESSAGES_PER_SECOND);
        let cost = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(MICRO);
        let (Some(bytes), Some(messages)) = (self.bytes.checked_sub(cost), self.messages.checked_sub(MICRO))
        else {
            return false;
        };
        (self.bytes, self.messages) = (bytes, messages);
        true
    }
}

fn full(rate: u32) -> u64 {
    u64::from(rate).saturating_mul(u64::from(DATA_BURST_SECONDS)).saturating_mul(MICRO)
}

/// To whom a message goes.
#[derive(Clone, Debug)]
enum Receivers {
    Others,
    Only(HashSet<PeerId>),
}

/// A reliable message that may have to be sent again.
struct Kept {
    at: Instant,
    /// Its place among all messages ever kept.
    number: u64,
    from: PeerId,
    from_sid: String,
    sequence: u32,
    to: Receivers,
    payload: Bytes,
}

/// Which kept messages a participant lacks.
enum Missed<'a> {
    Everything,
    /// Numbered ones after the last that it had from each sender. Clients drop what they already have by (sender,
    /// number), so unnumbered messages are never sent twice.
    After(HashMap<&'a str, u32>),
}

impl Missed<'_> {
    fn contains(&self, kept: &Kept) -> bool {
        match self {
            Self::Everything => true,
            Self::After(last) => kept.sequence > last.get(kept.from_sid.as_str()).copied().unwrap_or(0),
        }
    }
}

/// The last reliable messages of the room, oldest first, bounded in age, bytes and number.
#[derive(Default)]
pub(crate) struct ReplayCache {
    kept: VecDeque<Kept>,
    bytes: usize,
    /// Messages ever kept.
    count: u64,
}

impl ReplayCache {
    fn keep(&mut self, message: Kept) {
        self.count = self.count.saturating_add(1);
        self.bytes = self.bytes.saturating_add(message.payload.len());
        let now = message.at;
        self.kept.push_back(message);
        let outgrown = |cache: &Self| {
            cache.bytes > REPLAY_BYTES
                || cache.kept.len() > REPLAY_MESSAGES
                || cache
                    .kept
                    .front()
                    .is_some_and(|oldest| now.saturating_duration_since(oldest.at) > REPLAY_AGE)
        };
        while outgrown(self)
            && let Some(oldest) = self.kept.pop_front()
        {
            self.bytes = self.bytes.saturating_sub(oldest.payload.len());
        }
    }

    pub(crate) fn clear(&mut self) {
        self.kept.clear();
        self.bytes = 0;
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.bytes == 0
    }
}

impl Room {
    /// A message from a participant's data channel. Whatever is wrong with it, it is dropped: the sender's client
    /// could do nothing about an answer.
    pub(crate) fn data(&mut self, from: PeerId, channel: DataChannel, payload: Bytes) {
        let now = self.now.instant;
        // With two peer connections this says nothing of the one it receives on.
        if self.participants.get(&from).is_some_and(|participant| participant.subscriber.is_none()) {
            self.open_data(from);
        }
        let Some(participant) = self.participants.get_mut(&from) else { return };
        if !participant.grants.can_publish_data || !participant.data.budget.spend(now, payload.len()) {
            tracing::debug!(participant = participant.sid, bytes = payload.len(), "data message refused");
            return;
        }
        match channel {
            DataChannel::DataTrack => self.data_track_packet(from, &payload),
            DataChannel::Reliable => self.data_packet(from, true, &payload),
            DataChannel::Lossy => self.data_packet(from, false, &payload),
        }
    }

    fn data_packet(&mut self, from: PeerId, reliable: bool, payload: &[u8]) {
        let envelope = match Envelope::read(payload) {
            Ok(envelope) => envelope,
            Err(error) => {
                tracing::debug!(%error, "data message dropped");
                return;
            }
        };
        let Some(participant) = self.participants.get_mut(&from) else { return };
        if reliable && envelope.sequence > 0 {
            if envelope.sequence <= participant.data.last_sequence {
                return; // sent again after a resume, although it had arrived
            }
            participant.data.last_sequence = envelope.sequence;
        }
        let Some(participant) = self.participants.get(&from) else { return };
        let sender = Sender { sid: &participant.sid, identity: &participant.grants.identity };
        let payload = envelope.addressed((!participant.grants.hidden).then_some(sender), reliable);
        let to = self.receivers(&envelope);
        let peers = self.reached(from, &to, reliable);
        if reliable {
            let (at, from_sid) = (self.now.instant, participant.sid.clone());
            let (number, sequence) = (self.replay.count, envelope.sequence);
            self.replay.keep(Kept { at, number, from, from_sid, sequence, to, payload: payload.clone() });
        }
        if !peers.is_empty() {
            let channel = if reliable { DataChannel::Reliable } else { DataChannel::Lossy };
            self.command(Command::SendData { to: peers, channel, payload });
        }
    }

    fn receivers(&self, envelope: &Envelope<'_>) -> Receivers {
        if envelope.identities.is_empty() && envelope.sids.is_empty() {
            return Receivers::Others;
        }
        let named = envelope.identities.iter().filter_map(|identity| self.peer_by_identity(identity));
        let sids: HashSet<&str> = envelope.sids.iter().copied().collect();
        let by_sid = self.participants.values().filter(|p| sids.contains(p.sid.as_str())).map(|p| p.peer);
        Receivers::Only(named.chain(by_sid).collect())
    }

    fn reached(&self, from: PeerId, to: &Receivers, reliable: bool) -> Vec<PeerId> {
        self.participants
            .values()
            .filter(|p| p.peer != from && if reliable { p.data.inlet == Inlet::Open } else { p.is_active() })
            .filter(|p| addressed_to(to, p.peer))
            .map(|p| p.peer)
            .collect()
    }

    /// From now on reliable messages go to this participant directly; what waited for it goes first.
    pub(crate) fn open_data(&mut self, peer: PeerId) {
        let Some(participant) = self.participants.get_mut(&peer) else { return };
        if participant.data.inlet == Inlet::Open {
            return;
        }
        participant.data.inlet = Inlet::Open;
        self.replay_to(peer, &Missed::Everything);
    }

    /// A resumed client says which message it had last from whom; what came after is sent again. One that says
    /// nothing could not tell twice from once.
    pub(crate) fn replay_after(&mut self, peer: PeerId, states: &[DataChannelReceiveState]) {
        let open = self.participants.get(&peer).is_some_and(|p| p.data.inlet == Inlet::Open);
        if open && !states.is_empty() {
            let last = states.iter().take(MAX_LIST).map(|s| (s.publisher_sid.as_str(), s.last_seq)).collect();
            self.replay_to(peer, &Missed::After(last));
        }
    }

    fn replay_to(&mut self, peer: PeerId, missed: &Missed<'_>) {
        let Some(participant) = self.participants.get(&peer) else { return };
        let (since, now) = (participant.data.since, self.now.instant);
        let payloads: Vec<Bytes> = self
            .replay
            .kept
            .iter()
            .filter(|kept| kept.from != peer && kept.number >= since && addressed_to(&kept.to, peer))
            .filter(|kept| now.saturating_duration_since(kept.at) <= REPLAY_AGE)
            .filter(|kept| missed.contains(kept))
            .map(|kept| kept.payload.clone())
            .collect();
        for payload in payloads {
            self.command(Command::SendData { to: vec![peer], channel: DataChannel::Reliable, payload });
        }
    }
}

fn addressed_to(to: &Receivers, peer: PeerId) -> bool {
    match to {
        Receivers::Others => true,
        Receivers::Only(peers) => peers.contains(&peer),
    }
}

//! What the shard tells. Events are values; whoever drives the shard turns them into LiveKit messages.

use crate::{DataChannel, PeerId, Quality, RoomId, TrackId};
use bytes::Bytes;

/// One thing that happened on a [`Shard`](crate::Shard).
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The answer to the offer with this id. `mid_to_track` names every m-line that carries a track to this peer.
    Answer { peer: PeerId, offer_id: u32, sdp: String, mid_to_track: Vec<(String, TrackId)> },
    /// The server's offer to a subscriber's connection. `mid_to_track` as in [`Event::Answer`].
    Offer { peer: PeerId, offer_id: u32, sdp: String, mid_to_track: Vec<(String, TrackId)> },
    /// The offer, or the answer to one, could not be used. The peer keeps whatever it had negotiated before.
    OfferRefused { peer: PeerId, offer_id: u32, error: crate::sdp::OfferError },
    /// [`Event::Offer`] was not answered for 15 s. Until [`Command::RestartIce`](crate::Command::RestartIce) nothing new
    /// can be offered.
    OfferUnanswered { peer: PeerId, offer_id: u32 },
    /// ICE and DTLS are up for the first time: media flows from now on.
    Connected { peer: PeerId },
    /// No authenticated packet from a connected peer for [`crate::SILENCE`].
    Silent { peer: PeerId },
    /// A silent peer is heard again.
    Heard { peer: PeerId },
    /// The transport is lost for good (the peer is forgotten after this).
    Disconnected { peer: PeerId, reason: DisconnectReason },
    /// An announced track was found in an offer and is accepted: packets of it will be forwarded. Sent again when the
    /// publisher changes the codec.
    Published { peer: PeerId, track: TrackId, mid: String, mime_type: String },
    /// The client took the track's m-line away (sends no more on it).
    Unpublished { peer: PeerId, track: TrackId },
    /// Subscriptions wait for an offer with this many more receiving m-lines; 0 and 0 means "offer again"
    /// (LiveKit `media_sections_requirement`).
    MediaSections { peer: PeerId, audios: u32, videos: u32 },
    /// `peer` now has an m-line for `track`.
    Subscribed { peer: PeerId, track: TrackId },
    /// `peer` did not negotiate the codec that `track` is sent with. Should the publisher change to one that it did,
    /// [`Event::Subscribed`] follows.
    SubscriptionRefused { peer: PeerId, track: TrackId },
    /// Who speaks changed. Only the participants whose state changed, loudest first.
    Speakers { room: RoomId, changed: Vec<Speaker> },
    /// How well this participant's media goes both ways. Sent when it changes, at most every 5 s.
    ConnectionQuality { peer: PeerId, quality: ConnectionQuality },
    /// Which layers of this track any subscriber wants now (LiveKit `subscribed_quality_update`).
    WantedLayers { track: TrackId, wanted: Vec<(Quality, bool)> },
    /// `peer` is sent nothing of this video track because its path does not carry even the lowest layer, or is sent
    /// it again (LiveKit `stream_state_update`).
    StreamState { peer: PeerId, track: TrackId, paused: bool },
    /// A message from this peer's data channel, whole and unread.
    Data { peer: PeerId, channel: DataChannel, payload: Bytes },
}

/// One participant's voice as measured from RFC 6464 levels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speaker {
    pub peer: PeerId,
    /// 0 (silence) to 1 (loudest).
    pub level: f32,
    pub active: bool,
}

/// Why a transport ended without a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisconnectReason {
    /// No authenticated packet or consent check for the consent time (RFC 7675).
    ConsentExpired,
    /// The handshake did not finish in time, or failed.
    HandshakeFailed,
    /// The client closed DTLS or SCTP.
    ClosedByPeer,
    /// More reliable messages than anybody may send at once.
    TooManyMessages,
}

/// LiveKit's `ConnectionQuality`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConnectionQuality {
    Lost,
    Poor,
    Good,
    Excellent,
}

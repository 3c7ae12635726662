//! What the shard is told. Every command is idempotent where it can be, and one that names an unknown peer
//! or track is ignored: the participant may have gone while the command was on its way.

use crate::sdp::CodecKind;
use crate::{DtlsRole, PeerId, RoomId, TrackId};
use bytes::Bytes;

/// One order to a [`Shard`](crate::Shard), executed in full before the next one.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// A participant's transport may exist from now on. Nothing happens until its first [`Command::Offer`]. `role` is
    /// ours in the DTLS handshake where the client's offer leaves it open.
    Connect { peer: PeerId, room: RoomId, role: DtlsRole },
    /// The same for a connection on which the server offers and only sends (LiveKit protocol v0, subscriber). Its
    /// first [`Event::Offer`](crate::Event::Offer) comes at once.
    ConnectSubscriber { peer: PeerId, room: RoomId },
    /// Forget the peer: close DTLS, drop its tracks and subscriptions, send nothing more. No event follows.
    Disconnect { peer: PeerId },
    /// The client's SDP offer. Answered by [`Event::Answer`](crate::Event::Answer) or
    /// [`Event::OfferRefused`](crate::Event::OfferRefused) with the same `offer_id`.
    Offer { peer: PeerId, offer_id: u32, sdp: String },
    /// The client's answer to [`Event::Offer`](crate::Event::Offer). Ignored unless it belongs to the last one (0
    /// stands for it); [`Event::OfferRefused`](crate::Event::OfferRefused) when it cannot be used.
    Answer { peer: PeerId, offer_id: u32, sdp: String },
    /// Offer to this subscriber again at once, with new ICE credentials.
    RestartIce { peer: PeerId },
    /// The client announced a track (LiveKit `add_track`). It is bound to the m-line whose `msid` names `cid`,
    /// else to the first unbound sending m-line of its kind, in this offer or a later one.
    AddTrack { peer: PeerId, track: TrackId, description: TrackDescription },
    /// The track ends: its subscribers' m-lines become inactive at the next negotiation.
    RemoveTrack { track: TrackId },
    /// The publisher's own mute. While muted nothing of the track leaves the server.
    Mute { track: TrackId, muted: bool },
    /// A host's block, independent of [`Command::Mute`]: nothing leaves until both are off.
    Block { track: TrackId, blocked: bool },
    /// `peer` wants `track`. A free receiving m-line is taken at its next offer.
    Subscribe { peer: PeerId, track: TrackId },
    /// `peer` does not want `track` any more.
    Unsubscribe { peer: PeerId, track: TrackId },
    /// How `peer` wants to see `track` (LiveKit `UpdateTrackSettings`). Kept until the next one.
    TrackSetting { peer: PeerId, track: TrackId, setting: TrackSetting },
    /// `peer` is sent no more than so many bit/s of video, whatever its path carries; `None` ends that.
    LimitBandwidth { peer: PeerId, limit: Option<u64> },
    /// One message on a data channel to each of `to` whose channel is open. Dropped for the others.
    SendData { to: Vec<PeerId>, channel: DataChannel, payload: Bytes },
}

/// Audio or video; an m-line never changes its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaKind {
    Audio,
    Video,
}

/// What the shard must know of a published track. The labels are opaque to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackDescription {
    pub kind: MediaKind,
    /// The client's own id of the track, as found in `a=msid:<stream> <cid>` of its offer.
    pub cid: String,
    /// First half of the `a=msid` that subscribers see (LiveKit: `PA_…`, before the `|`).
    pub stream_label: String,
    /// Second half of that `a=msid` (LiveKit: `TR_…`).
    pub track_label: String,
    /// Simulcast layers as announced, lowest first; empty when the track has a single layer.
    pub layers: Vec<Layer>,
    /// The codec the client announced (LiveKit `add_track.simulcast_codecs`), answered first on its m-line: a client
    /// sends the first codec of the answer (RFC 9429 §4.2.6). `None` keeps the order of the offer.
    pub codec: Option<CodecKind>,
    /// Sound that is heard however many microphones are open (that of a shared screen).
    pub always_heard: bool,
    /// The payload is end-to-end encrypted: RED and codec payloads are never touched.
    pub encrypted: bool,
}

/// One simulcast layer as the publisher announced it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    pub quality: Quality,
    /// Pixels; 0 when unknown.
    pub width: u32,
    /// Pixels; 0 when unknown.
    pub height: u32,
    /// Bit/s; 0 when unknown.
    pub bitrate: u32,
}

/// A simulcast layer by name: rid `q`, `h`, `f` (LiveKit `VideoQuality`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Quality {
    Low,
    Medium,
    High,
}

/// What a subscriber asks of one video track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackSetting {
    /// Send nothing (the tile is off screen). The subscription and its m-line stay.
    pub disabled: bool,
    /// The best layer wanted.
    pub quality: Quality,
    /// Wanted size in pixels; 0 × 0 means "by `quality`". The smallest layer that covers it is chosen.
    pub width: u32,
    pub height: u32,
    /// Frames a second wanted (LiveKit `fps`); 0 for all.
    pub fps: u32,
    /// 1 is the most important (LiveKit `priority`); 0 when not said.
    pub priority: u32,
}

impl Default for TrackSetting {
    fn default() -> Self {
        Self { disabled: false, quality: Quality::High, width: 0, height: 0, fps: 0, priority: 0 }
    }
}

/// The three data channels of LiveKit's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataChannel {
    /// `_reliable`: ordered, retransmitted.
    Reliable,
    /// `_lossy`: unordered, `maxRetransmits` 0.
    Lossy,
    /// `_data_track`: unordered, `maxRetransmits` 0, 12-byte packet headers.
    DataTrack,
}

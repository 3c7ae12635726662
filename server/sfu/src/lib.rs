//! The media plane: which packet goes to whom, rewritten how.
//!
//! Sans-I/O: no sockets, threads, clock reads or randomness; time and seeds are arguments. The only crate that
//! names WebRTC parts. It knows no person, role, password or LiveKit message.
//!
//! [`Shard`] is everything: feed it datagrams, commands and time; after each, drain [`Shard::poll_output`].

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod allocate;
mod bandwidth;
mod cache;
mod cadence;
mod codec;
mod codec_change;
mod command;
mod counters;
mod data;
mod downlink;
mod dtls;
mod event;
mod feedback;
mod ice;
mod id;
mod layering;
mod loudest;
mod nack;
mod negotiate;
mod offering;
mod packet;
mod peer;
mod quality;
mod random;
mod rebound;
mod receive;
mod renumber;
mod rest;
mod round_trip;
mod routes;
pub mod rtp;
pub mod sdp;
mod shard;
mod speaker;
pub mod srtp;
mod svc;
mod timers;
mod transmit;
mod uplink;

pub use command::{Command, DataChannel, Layer, MediaKind, Quality, TrackDescription, TrackSetting};
pub use counters::{Counters, Population};
pub use data::MESSAGES_PER_SECOND;
pub use dtls::{Certificate, CertificateError, DtlsRole};
pub use event::{ConnectionQuality, DisconnectReason, Event, Speaker};
pub use ice::shard_of;
pub use id::{PeerId, RoomId, TrackId};
pub use shard::{Output, SHARDS_MAX, Shard, ShardConfig, ShardError};
pub use transmit::Batch;

/// For the fuzz targets alone, which reach by it what stands behind DTLS.
#[doc(hidden)]
pub mod inside {
    pub use crate::data::{Data, Received};
}

/// A connected peer from which nothing authenticated came for this long is reported as
/// [`Event::Silent`]. Higher: a closed tab lingers; lower: a listener who only sends consent checks
/// (libwebrtc: every 2.5 s) flaps.
pub const SILENCE: std::time::Duration = std::time::Duration::from_secs(3);

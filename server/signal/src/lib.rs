//! LiveKit's client protocol (v1, one peer connection per participant), sans-I/O.
//!
//! Owns who is in a live room, which tracks they announced, who receives what, and every LiveKit message about it.
//! It never learns about packets, sockets or certificates: SDP and data-channel payloads pass through it unread,
//! apart from the addressing fields of a `DataPacket`.
//!
//! [`Room`] is everything: feed it [`Input`] with the time, then drain [`Room::poll_effect`]; call again with
//! [`Input::Tick`] when [`Room::next_deadline`] has passed. Wire forms are in [`decode_join_request`],
//! [`decode_request`] and [`encode_response`].

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod backup;
mod data;
mod data_packet;
mod data_track;
mod dual;
mod dynacast;
mod effect;
mod frame;
mod grants;
mod happening;
mod input;
mod join;
mod join_request;
pub mod limits;
mod media;
mod metadata;
mod participant;
mod presence;
#[cfg(test)]
mod properties;
mod publish;
mod request;
mod restrain;
mod resume;
mod room;
mod service;
mod settings;
mod sid;
mod simulate;
mod speaker;
mod subscription;
mod track;
mod update;

pub use data_packet::{DataPacketError, Envelope, Sender};
pub use dual::Connections;
pub use effect::{Effect, Happening, leave_response};
pub use frame::{Frame, FrameError, decode_request, encode_response};
pub use grants::Grants;
pub use input::{ConnectionId, Input, Now};
pub use join_request::{JoinRequestError, decode_join_request};
pub use room::Room;
pub use service::{Bounds, ServiceError};
pub use settings::RoomSettings;

//! What a room is opened with, and what the server says of itself.

use crate::limits::{MAX_PARTICIPANTS, PROTOCOL};
use livekit_protocol::{Codec, ServerInfo};
use sfu::RoomId;
use std::time::Duration;

/// Fixed for the life of one [`Room`](crate::Room).
#[derive(Clone, Debug)]
pub struct RoomSettings {
    /// Names the room on its shard; peers and tracks are numbered `id << 32 | counter`.
    pub id: RoomId,
    /// LiveKit's room name, as in the tokens.
    pub name: String,
    pub created_unix_millis: u64,
    /// All sids and the SIF trailer come from this. Must be unpredictable and not used twice.
    pub seed: [u8; 32],
    /// The room ends when nobody came for this long (LiveKit: 300 s).
    pub empty_timeout: Duration,
    /// The room ends when everybody has been gone for this long (LiveKit: 20 s).
    pub departure_timeout: Duration,
    /// 0: only [`limits::MAX_PARTICIPANTS`](crate::limits::MAX_PARTICIPANTS) applies.
    pub max_participants: u32,
    /// Clients may ask for trouble (LiveKit `simulate`). Only for tests of clients.
    pub development: bool,
    /// A LiveKit server version. Clients switch features by it and JavaScript refuses an empty one.
    pub server_version: &'static str,
}

impl RoomSettings {
    pub(crate) fn capacity(&self) -> usize {
        match usize::try_from(self.max_participants) {
            Ok(0) | Err(_) => MAX_PARTICIPANTS,
            Ok(limit) => limit.min(MAX_PARTICIPANTS),
        }
    }

    pub(crate) fn server_info(&self) -> ServerInfo {
        ServerInfo { version: self.server_version.to_owned(), protocol: PROTOCOL, ..Default::default() }
    }
}

/// In the order clients prefer them: VP8 first makes a client that wanted another codec fall back by itself.
pub(crate) fn enabled_codecs() -> Vec<Codec> {
    ["video/VP8", "video/H264", "video/VP9", "video/AV1", "audio/opus", "audio/red"]
        .map(|mime| Codec { mime: mime.to_owned(), fmtp_line: String::new() })
        .to_vec()
}

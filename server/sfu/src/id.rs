//! Names of things on a shard. Numbers only: whoever drives the shard maps them to people, rooms and
//! LiveKit sids; the shard never learns those.

/// One room on this shard. Packets never cross rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomId(pub u64);

impl RoomId {
    /// Nobody's room. Its peers only try whether there is a way: no message of theirs is reported.
    pub const NOBODY: Self = Self(0);
}

/// One participant's transport (ICE, DTLS, SRTP, SCTP). A full reconnect is a new peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub u64);

/// One published track (one media source, all its simulcast layers). Unique on the shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackId(pub u64);

//! Every bound and every period of the signalling, with what a higher or lower value costs.

use std::time::Duration;

/// Announced LiveKit protocol. 18 would make native clients pre-negotiate data-channel ids.
pub const PROTOCOL: i32 = 17;

/// The client pings this often, s. Must not be 0: native clients abort on it.
pub const PING_INTERVAL: i32 = 5;
/// The client resumes when it heard nothing for this long, s.
pub const PING_TIMEOUT: i32 = 15;

/// Longest `join_request` parameter, bytes. Browsers send about 3 kB; a large sync state some tens.
pub const MAX_PARAMETER: usize = 64 * 1024;
/// Largest join request after gunzip, bytes (LiveKit's own bound). Higher: more memory per refused bomb.
pub const MAX_INFLATED: usize = 1024 * 1024;

/// Participants in one room. Every join tells everybody: messages grow with the square.
pub const MAX_PARTICIPANTS: usize = 500;
/// Tracks one participant may have announced or published. Lower breaks people with several cameras and screens.
pub const MAX_TRACKS: usize = 20;
/// Data tracks one participant may publish.
pub const MAX_DATA_TRACKS: usize = 32;
/// Data tracks one participant may receive: handles are 16 bit and each packet is copied per receiver.
pub const MAX_DATA_SUBSCRIPTIONS: usize = 512;
/// Offers of one participant that wait for their answer. Clients keep one or two; more is a flood.
pub const MAX_PENDING_OFFERS: usize = 8;
/// An SDP offer, bytes. Chromium with 60 m-lines sends about 150 kB.
pub const MAX_SDP: usize = 512 * 1024;
/// Entries of a list in one request (track sids, participants); the rest of a longer list is not read.
pub const MAX_LIST: usize = MAX_PARTICIPANTS * MAX_TRACKS;

/// Departures remembered for a participant without a socket. Lower: ghosts after a long resume in a busy room.
pub const MAX_MISSED_DEPARTURES: usize = MAX_PARTICIPANTS;

/// An identity, bytes.
pub const MAX_IDENTITY: usize = 256;
/// A participant's or track's name, a client track id or stream name, bytes.
pub const MAX_NAME: usize = 256;
/// A participant's metadata, bytes.
pub const MAX_METADATA: usize = 64 * 1024;
/// All attributes of a participant together, keys and values, bytes.
pub const MAX_ATTRIBUTES: usize = 64 * 1024;
/// Simulcast layers and codecs, features and capabilities in one list of a request.
pub const MAX_FEATURES: usize = 16;

/// A data-channel message, bytes. Clients cap theirs at 64 000.
pub const MAX_DATA_MESSAGE: usize = 64 * 1024;
/// What one participant may send over its data channels, bytes per second. Each byte is copied to every receiver;
/// lower breaks file transfer.
pub const DATA_BYTES_PER_SECOND: u32 = 4 * 1024 * 1024;
/// Messages per second of one participant.
pub const DATA_MESSAGES_PER_SECOND: u32 = 2_000;
/// Bursts may use this many seconds of both rates at once.
pub const DATA_BURST_SECONDS: u32 = 2;
/// Reliable messages are kept this long for participants who join or resume. A resume takes two to three seconds.
pub const REPLAY_AGE: Duration = Duration::from_secs(10);
/// Reliable messages kept for replay, bytes per room. Higher: more memory per room; lower: gaps after a resume.
pub const REPLAY_BYTES: usize = 2 * 1024 * 1024;
/// Reliable messages kept for replay, per room.
pub const REPLAY_MESSAGES: usize = 4_096;
/// Reliable messages to a participant whose transport just came up wait this long, unless its own first message
/// shows earlier that its data channels are open. Higher delays the first messages; lower loses them.
pub const DATA_CHANNEL_GRACE: Duration = Duration::from_secs(1);

/// A join that is not active by then ends (LiveKit: 60 s).
pub const JOIN_TIMEOUT: Duration = Duration::from_secs(60);
/// A participant without a socket whose media is silent ([`sfu::SILENCE`]) ends after this. Together they are the
/// time a closed tab stays visible: at most 5 s.
pub const SILENT_GRACE: Duration = Duration::from_secs(1);
/// A participant without a socket whose media was never up ends after this: nothing of it can be resumed.
pub const UNCONNECTED_GRACE: Duration = Duration::from_secs(4);
/// A participant whose media failed ends after this, unless it came back.
pub const FAILED_GRACE: Duration = Duration::from_secs(5);
/// A participant that closed its media ends after this at the latest: meanwhile its `leave` arrives. Higher: a
/// client that never says it lingers; lower: its socket closes before it could.
pub const LEAVE_GRACE: Duration = Duration::from_secs(1);
/// An announced track that no offer contained is forgotten after this.
pub const ANNOUNCED_TIMEOUT: Duration = Duration::from_secs(60);
/// A publisher that was asked for its backup codec is asked again after this, since clients do not hear the request
/// while they still publish. Higher: a receiver without the first codec waits longer; lower: needless messages.
pub const BACKUP_REPEAT: Duration = Duration::from_secs(2);
/// Requests for a backup codec before its receivers are told that they cannot have the track.
pub const BACKUP_REQUESTS: u8 = 5;
/// A fresh token is sent this often. Must be well below the 10 min a refreshed token lives.
pub const REFRESH_INTERVAL: Duration = Duration::from_secs(300);
/// Changes of the room's numbers are collected this long before a `room_update`. Lower: one more message to
/// everybody per join in a busy minute.
pub const ROOM_UPDATE_INTERVAL: Duration = Duration::from_secs(1);
/// The longest simulated speaking.
pub const MAX_SIMULATED_SPEAKING: Duration = Duration::from_secs(30);

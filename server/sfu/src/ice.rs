//! ICE-lite (RFC 8445 §2.5) with consent (RFC 7675): answers authenticated binding requests, follows the
//! client's nomination, knows when the client is gone. Never sends a check of its own, and changes nothing for a
//! request whose MESSAGE-INTEGRITY does not verify.

use crate::random::Random;
use rtc_crypto::RTCCrypto;
use rtc_stun::attributes::{ATTR_MESSAGE_INTEGRITY, ATTR_USE_CANDIDATE, ATTR_USERNAME};
use rtc_stun::fingerprint::FINGERPRINT;
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::{BINDING_REQUEST, BINDING_SUCCESS, Message, Setter};
use rtc_stun::xoraddr::XorMappedAddress;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A peer from which nothing authenticated came for this long is gone: 10 s "disconnected" plus 5 s "failed",
/// as LiveKit's clients expect. Higher: the dead linger; lower: a tunnel or a lift ends the call.
pub(crate) const CONSENT: Duration = Duration::from_secs(15);

/// How long the credentials before an ICE restart still work. Higher: an old path lives longer than its use;
/// lower: media stops before the new path is nominated.
const OLD_CREDENTIALS: Duration = Duration::from_secs(30);

/// Addresses that one peer may have validated at the same time. Higher: memory an authenticated client can
/// take; lower: clients with many interfaces lose a usable path.
const MAX_PATHS: usize = 8;

/// What was followed without a check needs one within this: clients check every 2.5 s (libwebrtc) to 6 s (RFC 7675 §5.1).
/// Higher: what somebody redirected goes astray for longer; lower: a client whose check was lost loses its path.
const CONFIRMATION: Duration = Duration::from_secs(10);

/// Bytes before a STUN message's attributes (RFC 8489 §5).
const STUN_HEADER: usize = 20;

/// Largest STUN message looked at. Browsers send about 100 bytes.
const MAX_STUN: usize = 1280;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) ufrag: String,
    pub(crate) pwd: String,
}

impl Credentials {
    /// 8 and 24 characters of the ICE alphabet (RFC 8445 §5.3 asks for 24 and 128 bits). The first one names the shard,
    /// for [`shard_of`].
    pub(crate) fn random(random: &mut Random, shard: u8) -> Self {
        let ufrag = std::iter::once(Random::ice_char(shard)).chain(random.ice_chars(7).chars()).collect();
        Self { ufrag, pwd: random.ice_chars(24) }
    }
}

/// Which shard a binding request is for, by the first character of its USERNAME (RFC 8489 §14.3). `None` for anything
/// else. Nothing of it is believed: it only says where to look.
#[must_use]
pub fn shard_of(datagram: &[u8]) -> Option<u8> {
    let (header, mut attributes) = datagram.split_at_checked(STUN_HEADER)?;
    if datagram.len() > MAX_STUN || !header.starts_with(&[0, 1]) {
        return None;
    }
    loop {
        let [kind_high, kind_low, high, low, value @ ..] = attributes else { return None };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if u16::from_be_bytes([*kind_high, *kind_low]) == ATTR_USERNAME.0 {
            let first = value.get(..length)?.first()?;
            return Random::of_ice_char(*first);
        }
        attributes = value.get(length.checked_next_multiple_of(4)?..)?;
    }
}

/// A binding request, decoded but not yet believed.
pub(crate) struct Check {
    message: Message,
    local_ufrag: String,
    remote_ufrag: String,
}

impl Check {
    /// `None` for anything that is not a well-formed binding request with USERNAME and MESSAGE-INTEGRITY.
    pub(crate) fn decode(datagram: &[u8]) -> Option<Self> {
        if datagram.len() > MAX_STUN {
            return None;
        }
        let mut message = Message::new();
        message.unmarshal_binary(datagram).ok()?;
        if message.typ != BINDING_REQUEST || !message.contains(ATTR_MESSAGE_INTEGRITY) {
            return None;
        }
        let username = String::from_utf8(message.get(ATTR_USERNAME).ok()?).ok()?;
        let (local, remote) = username.split_once(':')?;
        Some(Self { local_ufrag: local.to_owned(), remote_ufrag: remote.to_owned(), message })
    }

    /// Whose check this claims to be: the server-side fragment of USERNAME (RFC 8445 §7.2.2).
    pub(crate) fn local_ufrag(&self) -> &str {
        &self.local_ufrag
    }
}

/// What an authenticated check did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// The success response to send back to the check's source.
    pub(crate) response: Vec<u8>,
    /// The source was not among the validated addresses before.
    pub(crate) new_path: bool,
    /// An address that had to make room for it.
    pub(crate) dropped_path: Option<SocketAddr>,
    /// The source is where media goes from now on, and was not before.
    pub(crate) nominated: bool,
}

/// The server side of one peer's ICE session.
pub(crate) struct Agent {
    local: Credentials,
    remote: Option<Credentials>,
    previous: Option<(Credentials, Instant)>,
    paths: Vec<SocketAddr>,
    selected: Option<SocketAddr>,
    followed: Option<Followed>,
}

/// Media goes to [`Agent::selected`] though no check came from there.
#[derive(Clone, Copy)]
struct Followed {
    /// Where it went before.
    from: SocketAddr,
    until: Instant,
}

/// What [`Agent::walk`] did.
pub(crate) struct Move {
    /// An address that had to make room, or was given up.
    pub(crate) dropped: Option<SocketAddr>,
}

/// What became of a path that was followed.
pub(crate) enum Confirm {
    /// There is none, or its time is not over.
    Open,
    /// Media goes where it went before; this address is the peer's no more.
    Failed { dropped: SocketAddr },
}

impl Agent {
    pub(crate) fn new(local: Credentials) -> Self {
        Self { local, remote: None, previous: None, paths: Vec::new(), selected: None, followed: None }
    }

    pub(crate) fn local(&self) -> &Credentials {
        &self.local
    }

    /// Where media goes; `None` before the first nomination.
    pub(crate) fn selected(&self) -> Option<SocketAddr> {
        self.selected
    }

    pub(crate) fn paths(&self) -> &[SocketAddr] {
        &self.paths
    }

    /// Ufrags under which checks for this peer arrive.
    pub(crate) fn ufrags(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.local.ufrag.as_str()).chain(self.previous.iter().map(|(c, _)| c.ufrag.as_str()))
    }

    /// Takes the credentials of an offer. New ones mean an ICE restart (RFC 8445 §9): the server gets new
    /// ones too (`fresh`), and the old pair stays valid for a while. Returns whether it was a restart.
    pub(crate) fn set_remote(
        &mut self,
        now: Instant,
        remote: Credentials,
        fresh: impl FnOnce() -> Credentials,
    ) -> bool {
        let restart = self.remote.as_ref().is_some_and(|known| *known != remote);
        self.remote = Some(remote);
        if restart {
            let old = std::mem::replace(&mut self.local, fresh());
            self.previous = Some((old, now + OLD_CREDENTIALS));
        }
        restart
    }

    /// New credentials of the server's own accord; the client's follow with its answer. Returns the fragment of a
    /// pair that was still valid and is not any more.
    pub(crate) fn restart(&mut self, now: Instant, fresh: Credentials) -> Option<String> {
        let old = std::mem::replace(&mut self.local, fresh);
        let replaced = self.previous.replace((old, now + OLD_CREDENTIALS));
        replaced.map(|(credentials, _)| credentials.ufrag)
    }

    /// Takes the credentials of an answer, which never restarts anything.
    pub(crate) fn set_answered(&mut self, remote: Credentials) {
        self.remote = Some(remote);
    }

    /// Ends the time of the credentials before the last restart; returns the fragment that is free again.
    pub(crate) fn expire_previous(&mut self, now: Instant) -> Option<String> {
        match &self.previous {
            Some((_, until)) if *until <= now => {
                self.previous.take().map(|(credentials, _)| credentials.ufrag)
            }
            _ => None,
        }
    }

    /// When [`Self::expire_previous`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let previous = self.previous.as_ref().map(|(_, until)| *until);
        previous.into_iter().chain(self.followed.map(|followed| followed.until)).min()
    }

    /// Media goes somewhere that no check confirmed yet.
    pub(crate) fn awaits_confirmation(&self) -> bool {
        self.followed.is_some()
    }

    /// The newest packet came from `to`: media goes there, until a check confirms it or its time is over.
    /// `None`: there was no path yet, and there is none now.
    pub(crate) fn walk(&mut self, now: Instant, to: SocketAddr) -> Option<Move> {
        let from = match (self.followed.take(), self.selected) {
            (Some(followed), _) if followed.from == to => {
                // Back where a check came from. The other address is unknown again, and can be followed again.
                let dropped = self.selected.replace(to);
                self.paths.retain(|path| Some(*path) != dropped);
                return Some(Move { dropped });
            }
            (Some(followed), _) => followed.from,
            (None, Some(selected)) => selected,
            (None, None) => return None,
        };
        self.followed = Some(Followed { from, until: now + CONFIRMATION });
        let dropped = self.add_path(to);
        self.selected = Some(to);
        Some(Move { dropped })
    }

    /// Takes a path back that was not confirmed in time.
    pub(crate) fn confirm(&mut self, now: Instant) -> Confirm {
        let (Some(followed), Some(selected)) = (self.followed.filter(|f| f.until <= now), self.selected)
        else {
            return Confirm::Open;
        };
        self.followed = None;
        self.selected = Some(followed.from);
        self.paths.retain(|path| *path != selected);
        Confirm::Failed { dropped: selected }
    }

    /// Returns what had to make room.
    fn add_path(&mut self, path: SocketAddr) -> Option<SocketAddr> {
        if self.paths.contains(&path) {
            return None;
        }
        let kept = |path: &SocketAddr| {
            Some(*path) == self.selected || self.followed.is_some_and(|followed| followed.from == *path)
        };
        let dropped = if self.paths.len() >= MAX_PATHS {
            let oldest = self.paths.iter().position(|path| !kept(path));
            oldest.map(|oldest| self.paths.remove(oldest))
        } else {
            None
        };
        self.paths.push(path);
        dropped
    }

    /// Authenticates a check (RFC 8489 §9.1) and only then acts on it. `None`: answer nothing.
    pub(crate) fn accept(
        &mut self,
        now: Instant,
        source: SocketAddr,
        mut check: Check,
        crypto: &dyn RTCCrypto,
    ) -> Option<Accepted> {
        let current = check.local_ufrag == self.local.ufrag;
        let credentials = if current {
            &self.local
        } else {
            self.previous
                .as_ref()
                .filter(|(credentials, until)| now < *until && credentials.ufrag == check.local_ufrag)
                .map(|(credentials, _)| credentials)?
        };
        MessageIntegrity::check(&mut check.message, credentials.pwd.as_bytes(), crypto).ok()?;
        // A peer may check before its offer was read here only with a server bug; its fragment must match.
        if current && self.remote.as_ref().is_none_or(|remote| remote.ufrag != check.remote_ufrag) {
            return None;
        }
        let pwd = credentials.pwd.clone();
        let new_path = !self.paths.contains(&source);
        let dropped_path = self.add_path(source);
        let nominated = check.message.contains(ATTR_USE_CANDIDATE) && self.selected != Some(source);
        if nominated {
            self.selected = Some(source);
        }
        if self.selected == Some(source) {
            self.followed = None;
        }
        Some(Accepted {
            response: response(&check.message, source, pwd, crypto)?,
            new_path,
            dropped_path,
            nominated,
        })
    }
}

fn response(request: &Message, source: SocketAddr, pwd: String, crypto: &dyn RTCCrypto) -> Option<Vec<u8>> {
    let mut message = Message::new();
    message.transaction_id = request.transaction_id;
    message.set_type(BINDING_SUCCESS);
    message.write_header();
    XorMappedAddress { ip: source.ip().to_canonical(), port: source.port() }.add_to(&mut message).ok()?;
    MessageIntegrity::new_short_term_integrity_with_provider(pwd, crypto).add_to(&mut message).ok()?;
    FINGERPRINT.add_to(&mut message).ok()?;
    Some(message.raw)
}

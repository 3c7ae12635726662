//! One client's allocation (RFC 8656 section 3.2): its relayed address, which of the media plane's addresses it may use, and under
//! which channels. Owns those; never knows who else has one.

use crate::message::Transaction;
use ring::hmac;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long an allocation lives after each refresh. Higher: what a phone that went away had is kept for longer; lower:
/// clients refresh more often.
pub(crate) const LIFETIME: Duration = Duration::from_secs(600);

/// So long is waited for the first thing that the media plane sends back, which it does to nobody who is in no call. Higher: who
/// is in none holds what others need for longer; lower: a client that gathers early begins anew.
pub(crate) const PROOF_PATIENCE: Duration = Duration::from_secs(60);

/// How long a permission and a channel live (RFC 8656 sections 9 and 12); fixed by the standard.
const PERMISSION: Duration = Duration::from_secs(300);
const CHANNEL: Duration = Duration::from_secs(600);

/// One of the media plane's addresses, by its place in [`crate::RelayConfig::peers`].
pub(crate) type Peer = usize;

/// The channel or the peer is bound to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken;

struct Channel {
    number: u16,
    peer: Peer,
    until: Instant,
}

/// See the module.
pub(crate) struct Allocation {
    pub(crate) name: Box<str>,
    pub(crate) key: hmac::Key,
    pub(crate) relayed: SocketAddr,
    /// Of the request that made it: UDP may bring it again.
    pub(crate) transaction: Transaction,
    pub(crate) until: Instant,
    /// When it ends if the media plane has sent nothing back by then.
    unproven_until: Option<Instant>,
    /// By peer; there are as many as the media plane has addresses.
    permitted_until: Vec<Instant>,
    /// At most one for each peer.
    channels: Vec<Channel>,
}

impl Allocation {
    pub(crate) fn new(
        now: Instant,
        name: Box<str>,
        key: hmac::Key,
        relayed: SocketAddr,
        transaction: Transaction,
        peers: usize,
    ) -> Self {
        Self {
            name,
            key,
            relayed,
            transaction,
            until: now + LIFETIME,
            unproven_until: Some(now + PROOF_PATIENCE),
            permitted_until: vec![now; peers],
            channels: Vec::new(),
        }
    }

    pub(crate) fn lives(&self, now: Instant) -> bool {
        now < self.until && self.unproven_until.is_none_or(|until| now < until)
    }

    /// The media plane sent something back.
    pub(crate) const fn prove(&mut self) {
        self.unproven_until = None;
    }

    pub(crate) fn permit(&mut self, now: Instant, peer: Peer) {
        if let Some(until) = self.permitted_until.get_mut(peer) {
            *until = now + PERMISSION;
        }
    }

    pub(crate) fn permits(&self, now: Instant, peer: Peer) -> bool {
        self.permitted_until.get(peer).is_some_and(|until| now < *until)
    }

    /// Binds a channel to a peer, or binds it again.
    pub(crate) fn bind(&mut self, now: Instant, number: u16, peer: Peer) -> Result<(), Taken> {
        self.channels.retain(|channel| now < channel.until);
        let other = |channel: &Channel| (channel.number == number) != (channel.peer == peer);
        if self.channels.iter().any(other) {
            return Err(Taken);
        }
        let until = now + CHANNEL;
        match self.channels.iter_mut().find(|channel| channel.number == number) {
            Some(channel) => channel.until = until,
            None => self.channels.push(Channel { number, peer, until }),
        }
        self.permit(now, peer);
        Ok(())
    }

    pub(crate) fn peer_of(&self, now: Instant, number: u16) -> Option<Peer> {
        let bound = self.channels.iter().find(|channel| channel.number == number && now < channel.until)?;
        self.permits(now, bound.peer).then_some(bound.peer)
    }

    pub(crate) fn channel_of(&self, now: Instant, peer: Peer) -> Option<u16> {
        self.channels
            .iter()
            .find(|channel| channel.peer == peer && now < channel.until)
            .map(|channel| channel.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_and_channels_end_and_a_channel_has_one_peer() {
        let now = crate::start();
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"key");
        let relayed = ([192, 0, 2, 1], 50_000).into();
        let mut allocation = Allocation::new(now, "name".into(), key, relayed, [0; 12], 2);
        assert!(!allocation.permits(now, 0));
        allocation.permit(now, 0);
        allocation.permit(now, 9);
        assert!(allocation.permits(now, 0) && !allocation.permits(now, 1) && !allocation.permits(now, 9));
        assert!(!allocation.permits(now + PERMISSION, 0));
        assert_eq!(allocation.bind(now, 0x4000, 1), Ok(()));
        assert_eq!(allocation.bind(now, 0x4000, 1), Ok(()));
        assert_eq!(allocation.bind(now, 0x4001, 1), Err(Taken));
        assert_eq!(allocation.bind(now, 0x4000, 0), Err(Taken));
        assert_eq!((allocation.peer_of(now, 0x4000), allocation.channel_of(now, 1)), (Some(1), Some(0x4000)));
        // The channel outlives its permission, which has to be renewed by itself.
        let later = now + PERMISSION;
        assert_eq!(
            (allocation.peer_of(later, 0x4000), allocation.channel_of(later, 1)),
            (None, Some(0x4000))
        );
        let end = now + CHANNEL;
        assert_eq!((allocation.channel_of(end, 1), allocation.bind(end, 0x4001, 1)), (None, Ok(())));
    }
}

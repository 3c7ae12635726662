//! A client whose NAT gave it another port. Its packets are followed at once; the client itself notices nothing, and its
//! next check comes seconds later. Owns what makes that safe.
//!
//! As in RFC 9000 §9.3: only an authenticated packet with the newest number of its stream moves anything, so a copy that
//! somebody sends from elsewhere is too late, or is undone by the next genuine packet, some 20 ms later. What was
//! moved like this must be confirmed by a check (RFC 7675), or it is taken back.

use crate::ice::{Confirm, Move};
use crate::rtp::{Header, is_rtcp};
use crate::shard::Shard;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Who was heard this recently has not lost its address. Higher: what was sent to the old port is lost for longer;
/// lower: more peers are tried for a packet of an unknown source.
const QUIET: Duration = Duration::from_millis(40);

/// Between two packets of unknown sources that are looked at. Higher: people behind one NAT that starts again come back
/// one after the other; lower: garbage costs more.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Peers that are tried for one packet. Higher: as above; lower: somebody in a large network waits for the next check.
const MAX_TRIES: usize = 32;

/// A longer datagram is none of a client's.
const MAX_PACKET: usize = 2048;

impl Shard {
    /// Whose packet this is, although nobody proved its source: of the peers at the same host that went silent, the one
    /// whose keys open it. From now on the source is an address of that peer.
    pub(crate) fn follow(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) -> Option<usize> {
        let at_host = self.routes.at_host(source.ip());
        if at_host.is_empty() || now < self.unknown_source_at {
            return None;
        }
        self.unknown_source_at = now + LOOK_INTERVAL;
        let (peers, mut tries) = (&mut self.peers, 0);
        let slot = at_host.iter().copied().find(|slot| {
            let Some(peer) = peers.get_mut(*slot) else { return false };
            if tries == MAX_TRIES || now.saturating_duration_since(peer.last_heard) < QUIET {
                return false;
            }
            tries = tries.saturating_add(1);
            peer.opener.as_mut().is_some_and(|opener| is_newest(opener, datagram))
        })?;
        self.walk(now, slot, source);
        Some(slot)
    }

    /// A packet of a peer that was followed and not confirmed yet: where its newest packets come from is where it is.
    pub(crate) fn follow_on(&mut self, now: Instant, slot: usize, source: SocketAddr, datagram: &[u8]) {
        let Some(peer) = self.peers.get_mut(slot).filter(|peer| peer.agent.selected() != Some(source)) else {
            return;
        };
        if peer.opener.as_mut().is_some_and(|opener| is_newest(opener, datagram)) {
            self.walk(now, slot, source);
        }
    }

    fn walk(&mut self, now: Instant, slot: usize, source: SocketAddr) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let Some(Move { dropped }) = peer.agent.walk(now, source) else { return };
        if let Some(dropped) = dropped {
            self.routes.remove(&dropped);
        }
        self.routes.insert(source, slot);
        self.schedule(slot);
    }

    /// Takes back what no check confirmed in time.
    pub(crate) fn confirm(&mut self, now: Instant, slot: usize) {
        if let Some(peer) = self.peers.get_mut(slot)
            && let Confirm::Failed { dropped } = peer.agent.confirm(now)
        {
            self.routes.remove(&dropped);
        }
    }
}

fn is_newest(opener: &mut crate::srtp::Opener, datagram: &[u8]) -> bool {
    let mut copy = [0; MAX_PACKET];
    let Some(copy) = copy.get_mut(..datagram.len()) else { return false };
    copy.copy_from_slice(datagram);
    if is_rtcp(copy) {
        return opener.is_newest_rtcp(copy);
    }
    Header::parse(copy).is_some_and(|header| opener.is_newest_rtp(copy, header.header_len))
}

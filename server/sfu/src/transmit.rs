//! Everything one wake-up sends, in one reusable buffer.
//!
//! Datagrams are written straight into the slab and sealed there, so a forwarded packet is copied once. The
//! buffer keeps its capacity, so the steady state allocates nothing.

use std::net::SocketAddr;
use std::ops::Range;

/// Room reserved for one datagram while it is written. Larger than any datagram the shard sends
/// (1,500-byte links), so a write never moves the buffer twice.
const MAX_DATAGRAM: usize = 1600;

/// Most datagrams kept in one batch; when it is full, further packets of this wake-up are dropped and counted.
/// Higher: one wake-up (32 datagrams in, each to at most a few hundred receivers) may hold more memory;
/// lower: a large room loses packets.
const MAX_BATCH: usize = 16_384;

#[derive(Default)]
pub(crate) struct SendSlab {
    /// Grows to what the largest wake-up needed and stays; only `..used` means anything.
    bytes: Vec<u8>,
    used: usize,
    entries: Vec<(SocketAddr, Range<usize>)>,
    /// The batch was handed to the caller and is cleared at the next use.
    handed_out: bool,
    pub(crate) dropped: u64,
}

impl SendSlab {
    /// Lets `write` fill a buffer of [`MAX_DATAGRAM`] bytes (with old content) and return the datagram's length;
    /// `None` or 0 leaves nothing behind.
    pub(crate) fn push(&mut self, to: SocketAddr, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool {
        self.begin();
        if self.entries.len() >= MAX_BATCH {
            self.dropped = self.dropped.saturating_add(1);
            return false;
        }
        let start = self.used;
        let end = start.saturating_add(MAX_DATAGRAM);
        if self.bytes.len() < end {
            self.bytes.resize(end.saturating_mul(2), 0);
        }
        let written = self.bytes.get_mut(start..end).and_then(write).unwrap_or(0).min(MAX_DATAGRAM);
        if written > 0 {
            self.used = start.saturating_add(written);
            self.entries.push((to, start..self.used));
        }
        written > 0
    }

    pub(crate) fn push_bytes(&mut self, to: SocketAddr, datagram: &[u8]) -> bool {
        self.push(to, |buffer| {
            buffer.get_mut(..datagram.len())?.copy_from_slice(datagram);
            Some(datagram.len())
        })
    }

    fn begin(&mut self) {
        if self.handed_out {
            self.handed_out = false;
            self.used = 0;
            self.entries.clear();
        }
    }

    /// The batch, if there is one that was not handed out yet.
    pub(crate) fn hand_out(&mut self) -> Option<Batch<'_>> {
        self.begin();
        if self.entries.is_empty() {
            return None;
        }
        self.handed_out = true;
        Some(Batch { slab: self })
    }

    pub(crate) fn has_batch(&self) -> bool {
        !self.handed_out && !self.entries.is_empty()
    }
}

/// Datagrams to send now, in this order.
pub struct Batch<'a> {
    slab: &'a SendSlab,
}

impl Batch<'_> {
    /// Each datagram with the address it goes to.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (SocketAddr, &[u8])> {
        self.slab
            .entries
            .iter()
            .map(|(to, range)| (*to, self.slab.bytes.get(range.clone()).unwrap_or_default()))
    }

    /// How many datagrams.
    pub fn len(&self) -> usize {
        self.slab.entries.len()
    }

    /// Never true for a batch from [`Output::Transmit`](crate::Output::Transmit).
    pub fn is_empty(&self) -> bool {
        self.slab.entries.is_empty()
    }
}

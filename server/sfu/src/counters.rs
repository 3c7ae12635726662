//! What one shard did, in plain numbers: it owns them alone and counts without a lock or an atomic. They only grow. No
//! number is kept by room, peer or track.

/// Since the shard was made. Bytes are those of whole datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Genuine RTP packets from publishers.
    pub packets_received: u64,
    pub bytes_received: u64,
    /// RTP packets to subscribers for the first time, and again because they asked for them.
    pub packets_forwarded: u64,
    pub bytes_forwarded: u64,
    pub packets_repaired: u64,
    /// RTP packets that publishers must have sent, as reports count them, and those of them that did not come.
    pub packets_expected: u64,
    pub packets_lost: u64,
    /// Packets that subscribers asked for again, and that publishers were asked for.
    pub nacks_received: u64,
    pub nacks_sent: u64,
    /// Key frames that subscribers asked for (PLI or FIR), and that publishers were asked for (PLI).
    pub keyframes_asked: u64,
    pub keyframes_requested: u64,
    /// Datagrams that did not fit into a batch.
    pub overflowed: u64,
}

/// What a shard holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Population {
    pub peers: usize,
    pub tracks: usize,
    /// Tracks times those who get them.
    pub subscriptions: usize,
}

impl Counters {
    pub(crate) const fn received(&mut self, bytes: usize) {
        self.packets_received = self.packets_received.wrapping_add(1);
        self.bytes_received = self.bytes_received.wrapping_add(bytes as u64);
    }

    pub(crate) const fn forwarded(&mut self, packets: u64, bytes: u64) {
        self.packets_forwarded = self.packets_forwarded.wrapping_add(packets);
        self.bytes_forwarded = self.bytes_forwarded.wrapping_add(bytes);
    }

    pub(crate) const fn repaired(&mut self, packets: u64) {
        self.packets_repaired = self.packets_repaired.wrapping_add(packets);
    }

    pub(crate) const fn expected(&mut self, expected: u64, lost: u64) {
        self.packets_expected = self.packets_expected.wrapping_add(expected);
        self.packets_lost = self.packets_lost.wrapping_add(lost);
    }

    pub(crate) const fn asked_again(&mut self, packets: usize) {
        self.nacks_sent = self.nacks_sent.wrapping_add(packets as u64);
    }

    pub(crate) const fn was_asked_again(&mut self) {
        self.nacks_received = self.nacks_received.wrapping_add(1);
    }

    pub(crate) const fn keyframe_asked(&mut self) {
        self.keyframes_asked = self.keyframes_asked.wrapping_add(1);
    }

    pub(crate) const fn keyframe_requested(&mut self) {
        self.keyframes_requested = self.keyframes_requested.wrapping_add(1);
    }
}

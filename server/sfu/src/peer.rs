//! One participant's transport: ICE, DTLS, SRTP, SCTP, and what its offers negotiated. Owns everything that is
//! addressed by this client; never forwards anything by itself.

use crate::bandwidth::Bandwidth;
use crate::codec::PayloadTypes;
use crate::data::Data;
use crate::downlink::Downlink;
use crate::dtls::Dtls;
use crate::ice::{Agent, CONSENT};
use crate::offering::Offering;
use crate::packet::ExtensionIds;
use crate::rest::Rest;
use crate::rtp::twcc::Recorder;
use crate::sdp::Offer;
use crate::srtp::{Opener, Sealer};
use crate::transmit::SendSlab;
use crate::{ConnectionQuality, MediaKind, PeerId, RoomId, SILENCE, TrackId, TrackSetting};
use rustc_hash::FxHashMap;
use slab::Slab;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Period of the work for a publishing peer: NACK, PLI and TWCC feedback leave at most this late. Higher: slower
/// repairs and bandwidth estimates; lower: more wake-ups.
pub(crate) const MEDIA_TICK: Duration = Duration::from_millis(20);

/// Between two TWCC feedback packets (libwebrtc sends one each 50–250 ms).
pub(crate) const FEEDBACK_INTERVAL: Duration = Duration::from_millis(60);

/// Between two receiver reports to a publisher.
pub(crate) const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Between two judgements of the connection's quality (LiveKit: 5 s).
pub(crate) const QUALITY_INTERVAL: Duration = Duration::from_secs(5);

/// Incoming RTP streams bound per peer: three layers with RTX for ten tracks, twice. Higher: memory an
/// authenticated client can take; lower: clients with many tracks lose streams.
pub(crate) const MAX_STREAMS: usize = 128;

/// Subscriptions per peer, pending ones included.
pub(crate) const MAX_SUBSCRIPTIONS: usize = 512;

/// Which track and layer an incoming SSRC is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stream {
    /// The track's slot in the shard.
    pub(crate) track: usize,
    pub(crate) layer: usize,
    pub(crate) rtx: bool,
}

/// What an m-line of the last offer is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SectionUse {
    Idle,
    Application,
    /// The client sends; the track's slot in the shard once it was announced.
    Uplink(Option<usize>),
    /// The client receives: the downlink's slot.
    Downlink(usize),
    /// Carried something until now; not yet answered inactive.
    Released,
}

/// A track that this peer wants.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Subscription {
    pub(crate) setting: TrackSetting,
    /// Its downlink's slot once an m-line carries it.
    pub(crate) downlink: Option<usize>,
    /// Cannot be decoded as it is sent now: do not ask for an m-line.
    pub(crate) refused: bool,
}

/// Life of the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    New,
    Connected { silent: bool },
}

/// What only the handshake and the data channels use is boxed, so that the fields of the packet path lie close.
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    pub(crate) room: RoomId,
    pub(crate) agent: Agent,
    pub(crate) dtls: Box<Dtls>,
    pub(crate) data: Box<Data>,
    pub(crate) opener: Option<Opener>,
    pub(crate) sealer: Option<Sealer>,
    pub(crate) link: Link,
    /// When the last authenticated thing came; before the first, when the peer was made.
    pub(crate) last_heard: Instant,

    pub(crate) session_id: u64,
    pub(crate) session_version: u64,
    pub(crate) cname: String,
    /// The client's last offer, or its last answer where the server offers.
    pub(crate) offer: Option<Offer>,
    /// The server offers to this peer, which only receives.
    pub(crate) offering: Option<Offering>,
    pub(crate) sections: Vec<SectionUse>,
    pub(crate) extensions: ExtensionIds,
    /// Slots of the tracks this peer announced.
    pub(crate) tracks: Vec<usize>,
    pub(crate) streams: FxHashMap<u32, Stream>,
    pub(crate) subscriptions: FxHashMap<TrackId, Subscription>,
    pub(crate) downlinks: Slab<Downlink>,
    /// By outgoing SSRC.
    pub(crate) downlink_slots: FxHashMap<u32, usize>,
    /// Receiving m-lines that the client was asked for since its last offer: audio, video.
    pub(crate) requested: Option<(u32, u32)>,

    pub(crate) twcc: Recorder,
    pub(crate) bandwidth: Bandwidth,
    /// When layers are fitted to the estimate again, or a burst goes on.
    pub(crate) bandwidth_at: Option<Instant>,
    pub(crate) rest: Rest,
    /// To this subscriber and back, once its reports told.
    pub(crate) round_trip: Option<Duration>,
    pub(crate) report_at: Instant,
    pub(crate) media_tick_at: Option<Instant>,
    pub(crate) quality_at: Option<Instant>,
    pub(crate) quality: Option<ConnectionQuality>,
    /// The entry in the shard's timer heap that counts; earlier ones are stale.
    pub(crate) scheduled: Option<Instant>,
}

/// Timer of the peers that never got through.
pub(crate) const NEVER_CONNECTED: Duration = Duration::from_secs(60);

impl Peer {
    /// Where media goes now.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.agent.selected().or_else(|| self.agent.paths().last().copied())
    }

    /// A client that has nothing to send yet may offer as late as it likes (LiveKit protocol v0).
    pub(crate) fn is_expected(&self) -> bool {
        self.offer.is_some() || self.offering.is_some()
    }

    /// `None` when nothing will happen by itself.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let life = match self.link {
            Link::New if !self.is_expected() => None,
            Link::New => Some(self.last_heard + NEVER_CONNECTED),
            Link::Connected { silent: false } => Some(self.last_heard + SILENCE),
            Link::Connected { silent: true } => Some(self.last_heard + CONSENT),
        };
        [
            life,
            self.offering.as_ref().and_then(Offering::deadline),
            self.agent.deadline(),
            self.dtls.deadline(),
            self.data.deadline(),
            self.media_tick_at,
            self.quality_at,
            self.bandwidth_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Moves what DTLS and SCTP want to send into the slab. Without a path it stays with DTLS, which repeats it.
    pub(crate) fn flush(&mut self, now: Instant, slab: &mut SendSlab) {
        if let Some(to) = self.address() {
            self.flush_to(now, to, slab);
        }
    }

    /// The same, to an address from which an authenticated check came, while none is nominated.
    pub(crate) fn flush_to(&mut self, now: Instant, to: SocketAddr, slab: &mut SendSlab) {
        let to = self.address().unwrap_or(to);
        while let Some(packets) = self.data.poll_transmit(now) {
            for packet in packets {
                self.dtls.write(now, &packet);
            }
        }
        while let Some(datagram) = self.dtls.poll_transmit() {
            slab.push_bytes(to, &datagram);
        }
    }

    /// Writes and seals one compound RTCP packet.
    pub(crate) fn send_rtcp(&mut self, slab: &mut SendSlab, write: impl FnOnce(&mut [u8]) -> Option<usize>) {
        let (Some(to), Some(sealer)) = (self.address(), self.sealer.as_mut()) else { return };
        slab.push(to, |buffer| {
            let length = write(buffer)?;
            sealer.seal_rtcp(buffer, length).ok()
        });
    }

    /// Receiving m-lines of the last offer that carry nothing: audio, video.
    pub(crate) fn free_sections(&self) -> (u32, u32) {
        let Some(offer) = &self.offer else { return (0, 0) };
        let mut free = (0_u32, 0_u32);
        for (section, used) in offer.sections.iter().zip(&self.sections) {
            if *used == SectionUse::Idle && is_free(section) {
                match section.kind {
                    crate::sdp::SectionKind::Media(MediaKind::Audio) => free.0 = free.0.saturating_add(1),
                    crate::sdp::SectionKind::Media(MediaKind::Video) => free.1 = free.1.saturating_add(1),
                    _ => {}
                }
            }
        }
        free
    }
}

/// An m-line that the client would receive on.
pub(crate) fn is_free(section: &crate::sdp::Section) -> bool {
    receives_only(section) && !PayloadTypes::of(section).is_empty()
}

/// The same, whether or not it has a codec of ours.
pub(crate) fn receives_only(section: &crate::sdp::Section) -> bool {
    !section.rejected && section.direction.receives() && !section.direction.sends()
}

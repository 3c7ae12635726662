//! What a publisher sends: one [`Track`] with its layers. Owns loss detection, the packet cache, key-frame
//! requests and receiver statistics. Never knows who sees the track beyond a list of places.

use crate::cache::{self, Cache};
use crate::cadence::{Cadence, FEWER};
use crate::codec::{Codec, PayloadTypes};
use crate::layering::Layering;
use crate::nack::{Gap, NackList, Way};
use crate::packet::Packet;
use crate::rtp::sequence::Unwrapper;
use crate::sdp::CodecKind;
use crate::{MediaKind, PeerId, Quality, RoomId, TrackDescription, TrackId};
use std::time::{Duration, Instant};

/// Layers of a simulcast track: q, h, f.
pub(crate) const LAYERS: usize = 3;

/// A layer that sent nothing for this long is not offered to subscribers. Higher: a frozen picture lasts
/// longer before the next lower layer steps in; lower: a 5 fps screen share flaps.
pub(crate) const LAYER_SILENCE: Duration = Duration::from_millis(1500);

/// Between two key-frame requests for one layer. Higher: a newcomer who just missed one waits longer; lower:
/// one bad receiver makes the picture worse for all.
const KEYFRAME_INTERVAL: Duration = Duration::from_millis(500);

/// How often a key frame is asked for again without an answer before waiting for the next demand.
const KEYFRAME_TRIES: u8 = 20;

/// Where a subscription lives: the peer's slot in the shard and the downlink's slot in the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subscriber {
    pub(crate) peer: usize,
    pub(crate) downlink: usize,
}

pub(crate) struct Track {
    pub(crate) id: TrackId,
    pub(crate) room: RoomId,
    pub(crate) publisher: PeerId,
    /// The publisher's slot in the shard.
    pub(crate) peer: usize,
    pub(crate) description: TrackDescription,
    /// The m-line it is received on, once an offer had it.
    pub(crate) mid: Option<String>,
    pub(crate) payload_types: PayloadTypes,
    /// The codec that it is sent with: the first of the answer, until packets say otherwise.
    pub(crate) codec: Option<Codec>,
    /// When packets said otherwise last.
    pub(crate) codec_changed: Option<Instant>,
    /// The codec answered first on its m-line; kept for every later answer, or the client would change codecs.
    pub(crate) preferred: Option<CodecKind>,
    pub(crate) muted: bool,
    pub(crate) blocked: bool,
    pub(crate) layers: [Layer; LAYERS],
    pub(crate) subscribers: Vec<Subscriber>,
    pub(crate) wanted: Wanted,
    /// One of the voices that the room hears now; always true for video.
    pub(crate) heard: bool,
    /// Which layers were live when last looked at.
    pub(crate) live: [bool; LAYERS],
}

impl Track {
    pub(crate) fn new(
        id: TrackId,
        room: RoomId,
        publisher: PeerId,
        peer: usize,
        description: TrackDescription,
    ) -> Self {
        Self {
            id,
            room,
            publisher,
            peer,
            description,
            mid: None,
            payload_types: PayloadTypes::default(),
            codec: None,
            codec_changed: None,
            preferred: None,
            muted: false,
            blocked: false,
            layers: std::array::from_fn(|_| Layer::new()),
            subscribers: Vec::new(),
            wanted: Wanted::default(),
            heard: true,
            live: [false; LAYERS],
        }
    }

    pub(crate) fn is_video(&self) -> bool {
        self.description.kind == MediaKind::Video
    }

    /// Nothing of the track may leave the server.
    pub(crate) fn is_held(&self) -> bool {
        self.muted || self.blocked
    }

    /// The layer that a rid stands for; a track without rids has only the lowest.
    pub(crate) fn layer_of_rid(rid: &str) -> Option<usize> {
        match rid {
            "q" => Some(0),
            "h" => Some(1),
            "f" => Some(2),
            _ => None,
        }
    }

    /// What a layer is sent with, in bit/s, once it is known.
    pub(crate) fn rate(&self, layer: usize) -> Option<f64> {
        match self.scalable_stream().and_then(|stream| self.layers.get(stream)) {
            Some(stream) => stream.layering.rate(layer),
            None => self.layers.get(layer)?.rate.get(),
        }
    }

    /// The same of its temporal layers up to each that is not the last.
    pub(crate) fn rate_of_fewer(&self, layer: usize) -> [Option<f64>; FEWER] {
        match self.scalable_stream().and_then(|stream| self.layers.get(stream)) {
            Some(stream) if layer == 0 => stream.layering.rate_of_fewer(),
            Some(_) => [None; FEWER],
            None => {
                self.layers.get(layer).map_or([None; FEWER], |layer| layer.fewer.each_ref().map(Rate::get))
            }
        }
    }

    /// The stream that carries several spatial layers, if one does.
    pub(crate) fn scalable_stream(&self) -> Option<usize> {
        self.layers.iter().position(|layer| layer.layering.spatial_layers() > 1)
    }

    /// Which layers sent something lately.
    pub(crate) fn live_layers(&self, now: Instant) -> [bool; LAYERS] {
        if let Some(structure) = self.scalable_stream().and_then(|at| self.layers.get(at)) {
            let live = structure.is_live(now);
            return std::array::from_fn(|spatial| live && spatial < structure.layering.spatial_layers());
        }
        std::array::from_fn(|at| self.layers.get(at).is_some_and(|layer| layer.is_live(now)))
    }

    /// Whether the room chooses among this track and others by their levels.
    pub(crate) fn competes(&self) -> bool {
        !self.is_video() && !self.description.always_heard
    }

    pub(crate) fn request_keyframe(&mut self, layer: usize) {
        if let Some(layer) = self.layers.get_mut(layer) {
            layer.keyframe.request();
        }
    }
}

/// Names a layer's index in LiveKit's words.
pub(crate) fn quality_of(layer: usize) -> Quality {
    match layer {
        0 => Quality::Low,
        1 => Quality::Medium,
        _ => Quality::High,
    }
}

/// What the publisher was told about the layers that anybody wants.
#[derive(Default)]
pub(crate) struct Wanted {
    pub(crate) told: Option<[bool; LAYERS]>,
    /// When a smaller set is told: the publisher stops a layer only after it was unwanted for a while.
    pub(crate) lower_at: Option<Instant>,
}

/// What became of a received packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// New: forward it.
    Fresh { sequence: u64 },
    /// Seen before, or too old to matter.
    Stale,
}

/// One RTP stream of a track (with its RTX stream).
pub(crate) struct Layer {
    pub(crate) ssrc: Option<u32>,
    unwrapper: Unwrapper,
    highest: Option<u64>,
    cache: Option<Cache>,
    nack: NackList,
    pub(crate) keyframe: KeyframeRequest,
    last_packet: Option<Instant>,
    /// NTP and RTP time of the last sender report.
    pub(crate) sender_report: Option<(u64, u32)>,
    pub(crate) statistics: Statistics,
    pub(crate) rate: Rate,
    /// Of the temporal layers up to each that is not the last.
    fewer: [Rate; FEWER],
    pub(crate) cadence: Cadence,
    pub(crate) layering: Layering,
}

impl Layer {
    fn new() -> Self {
        Self {
            ssrc: None,
            unwrapper: Unwrapper::default(),
            highest: None,
            cache: None,
            nack: NackList::new(),
            keyframe: KeyframeRequest::default(),
            last_packet: None,
            sender_report: None,
            statistics: Statistics::default(),
            rate: Rate::default(),
            fewer: Default::default(),
            cadence: Cadence::default(),
            layering: Layering::default(),
        }
    }

    /// The layer's stream got another SSRC (the encoder was restarted): everything about the old one is void.
    pub(crate) fn rebind(&mut self, ssrc: u32) {
        if self.ssrc != Some(ssrc) {
            let keyframe = std::mem::take(&mut self.keyframe);
            *self = Self::new();
            self.keyframe = keyframe;
            self.ssrc = Some(ssrc);
        }
    }

    pub(crate) fn is_live(&self, now: Instant) -> bool {
        self.last_packet.is_some_and(|at| now.saturating_duration_since(at) < LAYER_SILENCE)
    }

    /// Counts the bytes of a packet for what it costs to send. `temporal`: the layer that it belongs to, if it says so.
    pub(crate) fn count(&mut self, now: Instant, bytes: usize, temporal: Option<u8>) {
        self.rate.count(now, bytes);
        if let Some(temporal) = temporal {
            self.fewer.iter_mut().skip(usize::from(temporal)).for_each(|rate| rate.count(now, bytes));
        }
    }

    /// Counts a packet in. `repaired`: it came by RTX.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        sequence: u16,
        timestamp: u32,
        clock_rate: u32,
        repaired: bool,
        repairable: bool,
    ) -> Arrival {
        let sequence = self.unwrapper.extend(sequence);
        let Some(highest) = self.highest else {
            if repaired {
                return Arrival::Stale;
            }
            self.highest = Some(sequence);
            self.last_packet = Some(now);
            self.statistics.first(sequence, now, timestamp, clock_rate);
            return Arrival::Fresh { sequence };
        };
        if !repaired {
            self.last_packet = Some(now);
            self.statistics.received(sequence, now, timestamp, clock_rate);
        }
        if sequence > highest {
            self.highest = Some(sequence);
            if repairable
                && sequence > highest.wrapping_add(1)
                && self.nack.gap(now, highest, sequence) == Gap::TooLarge
            {
                self.keyframe.request();
            }
            return Arrival::Fresh { sequence };
        }
        let known = self.cache.as_ref().is_some_and(|cache| cache.contains(sequence));
        let way = if repaired { Way::Repair } else { Way::Original };
        if self.nack.fill(now, sequence, way) || (!known && !repaired) {
            Arrival::Fresh { sequence }
        } else {
            Arrival::Stale
        }
    }

    pub(crate) fn keep(&mut self, now: Instant, video: bool, packet: &Packet<'_>) {
        let extent = if video { cache::VIDEO } else { cache::AUDIO };
        self.cache.get_or_insert_with(|| Cache::new(extent)).insert(now, packet);
        if packet.keyframe {
            self.keyframe.answered();
        }
    }

    pub(crate) fn kept(&self, layer: usize, sequence: u64) -> Option<Packet<'_>> {
        let mut packet = self.cache.as_ref()?.get(layer, sequence)?;
        if let Some(dependency) = &mut packet.dependency
            && let Some(bytes) = self.layering.attached(sequence)
        {
            dependency.bytes = bytes;
        }
        Some(packet)
    }

    /// Sequence numbers to ask the publisher for again.
    pub(crate) fn due_nacks(&mut self, now: Instant, due: &mut Vec<u16>) {
        self.nack.due(now, due);
    }

    /// The track is held: nobody will miss what is lost now.
    pub(crate) fn forget_losses(&mut self) {
        self.nack.clear();
        self.keyframe = KeyframeRequest::default();
    }

    pub(crate) fn has_work(&self, now: Instant) -> bool {
        self.is_live(now) || !self.nack.is_empty() || self.keyframe.is_wanted()
    }
}

/// What a layer is sent with.
#[derive(Default)]
pub(crate) struct Rate {
    since: Option<Instant>,
    bytes: usize,
    /// Bit/s; 0 until known.
    smoothed: f64,
}

/// A layer's rate is measured over this. Higher: calmer; lower: a key frame counts as if every second had one.
const RATE_WINDOW: Duration = Duration::from_millis(500);

/// UDP, IP and SRTP around a packet.
const RATE_OVERHEAD: usize = 44;

impl Rate {
    pub(crate) fn count(&mut self, now: Instant, bytes: usize) {
        let since = *self.since.get_or_insert(now);
        let window = now.saturating_duration_since(since);
        if window >= RATE_WINDOW {
            let rate = self.bytes as f64 * 8.0 / window.as_secs_f64();
            // A pause is not a low rate: what comes after it is measured anew.
            let fresh = self.smoothed == 0.0 || window > RATE_WINDOW.saturating_mul(3);
            self.smoothed = if fresh { rate } else { 0.7 * self.smoothed + 0.3 * rate };
            self.since = Some(now);
            self.bytes = 0;
        }
        self.bytes = self.bytes.saturating_add(bytes).saturating_add(RATE_OVERHEAD);
    }

    /// Bit/s on the wire, `None` until known.
    pub(crate) fn get(&self) -> Option<f64> {
        (self.smoothed > 0.0).then_some(self.smoothed)
    }
}

/// Key-frame requests for one layer, merged over all who need one.
#[derive(Default)]
pub(crate) struct KeyframeRequest {
    wanted: bool,
    tries: u8,
    last: Option<Instant>,
}

impl KeyframeRequest {
    pub(crate) fn request(&mut self) {
        if !self.wanted {
            self.wanted = true;
            self.tries = 0;
        }
    }

    fn answered(&mut self) {
        self.wanted = false;
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Whether to send a PLI now; counts it as sent.
    pub(crate) fn take_due(&mut self, now: Instant) -> bool {
        let due = self.wanted
            && self.last.is_none_or(|last| now.saturating_duration_since(last) >= KEYFRAME_INTERVAL);
        if due {
            self.last = Some(now);
            self.tries = self.tries.saturating_add(1);
            self.wanted = self.tries < KEYFRAME_TRIES;
        }
        due
    }
}

/// RFC 3550 §6.4.1 and appendix A.3, A.8: what a receiver report says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Statistics {
    base: u64,
    pub(crate) highest: u64,
    received: u64,
    /// Expected and received at the last receiver report, and at the last judgement of quality.
    reported: (u64, u64),
    judged: (u64, u64),
    transit: i64,
    jitter: f64,
    start: Option<Instant>,
    report_at: Option<Instant>,
    pub(crate) report_ntp: u32,
}

impl Statistics {
    fn first(&mut self, sequence: u64, now: Instant, timestamp: u32, clock_rate: u32) {
        *self = Self { base: sequence, start: Some(now), ..Self::default() };
        self.received(sequence, now, timestamp, clock_rate);
        self.jitter = 0.0;
    }

    fn received(&mut self, sequence: u64, now: Instant, timestamp: u32, clock_rate: u32) {
        self.received = self.received.saturating_add(1);
        self.highest = self.highest.max(sequence);
        let elapsed = now.saturating_duration_since(self.start.unwrap_or(now)).as_micros();
        let arrival = i64::try_from(elapsed)
            .unwrap_or(i64::MAX)
            .saturating_mul(i64::from(clock_rate))
            .wrapping_div(1_000_000);
        let transit = arrival.wrapping_sub(i64::from(timestamp));
        let difference = transit.wrapping_sub(self.transit).unsigned_abs();
        if difference < u64::from(clock_rate) {
            self.jitter += (difference as f64 - self.jitter) / 16.0;
        }
        self.transit = transit;
    }

    pub(crate) fn sender_report(&mut self, now: Instant, ntp: u64) {
        self.report_at = Some(now);
        self.report_ntp = (ntp >> 16) as u32; // the middle 32 bits
    }

    /// Packets expected and lost since the last receiver report.
    pub(crate) fn report_interval(&mut self) -> (u64, u64) {
        let totals = self.totals();
        let before = std::mem::replace(&mut self.reported, totals);
        self.since(before)
    }

    /// Packets expected and lost since the last judgement of quality.
    pub(crate) fn quality_interval(&mut self) -> (u64, u64) {
        let totals = self.totals();
        let before = std::mem::replace(&mut self.judged, totals);
        self.since(before)
    }

    fn totals(&self) -> (u64, u64) {
        (self.expected(), self.received)
    }

    fn since(&self, before: (u64, u64)) -> (u64, u64) {
        let expected = self.expected().saturating_sub(before.0);
        (expected, expected.saturating_sub(self.received.saturating_sub(before.1)))
    }

    fn expected(&self) -> u64 {
        self.highest.saturating_sub(self.base).saturating_add(1)
    }

    pub(crate) fn cumulative_lost(&self) -> u32 {
        u32::try_from(self.expected().saturating_sub(self.received)).unwrap_or(u32::MAX).min(0x7f_ffff)
    }

    pub(crate) fn jitter(&self) -> u32 {
        self.jitter as u32
    }

    /// Units of 1/65536 s since the last sender report; 0 when there was none.
    pub(crate) fn delay_since_report(&self, now: Instant) -> u32 {
        self.report_at.map_or(0, |at| {
            let micros = now.saturating_duration_since(at).as_micros().min(u128::from(u32::MAX));
            u32::try_from(micros.saturating_mul(65_536).wrapping_div(1_000_000)).unwrap_or(u32::MAX)
        })
    }

    pub(crate) fn is_receiving(&self) -> bool {
        self.start.is_some()
    }
}

//! One track on its way to one subscriber: which layer goes out, and how sequence numbers, timestamps and VP8
//! picture ids are rewritten so that the decoder never notices a change. Owns one outgoing SSRC and its RTX.

use crate::allocate::Share;
use crate::cadence::ALL;
use crate::codec::Translation;
use crate::packet::{Address, Mid, Packet};
use crate::renumber::{Numbers, Stretch};
use crate::round_trip::Clock;
use crate::rtp::dependency_descriptor::{Frame, Indication};
use crate::svc::{Svc, Target};
use crate::uplink::{Layer, Track};
use crate::{MediaKind, TrackSetting};
use std::time::{Duration, Instant};

/// Retransmissions remembered to refuse repeats that crossed on the way.
const RECENT_REPAIRS: usize = 64;

/// Outgoing numbers sent again, and when.
type Repairs = [(u64, Option<Instant>); RECENT_REPAIRS];

/// A packet is not sent again to the same subscriber before its round trip is over, which is taken for this while it is not
/// known. Higher: what is lost twice comes late; lower: clients that ask every few milliseconds are sent it many times.
const REPAIR_INTERVAL: Duration = Duration::from_millis(40);

/// Bounds of the same: jitter makes a short round trip a guess, and a wrong report must not end all repairs.
const LEAST_INTERVAL: Duration = Duration::from_millis(20);
const MOST_INTERVAL: Duration = Duration::from_millis(500);

/// How far back a NACK may reach, in packets.
const REPAIR_REACH: u64 = 1024;

/// What leaves towards the subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing: switched off, or the track is held.
    Paused,
    /// Nothing yet: the next decodable start of `to` begins it.
    Starting {
        to: usize,
    },
    Forwarding {
        layer: usize,
    },
    /// `from` goes out until a key frame of `to` comes.
    Switching {
        from: usize,
        to: usize,
    },
}

/// How much of what was asked for, and is sent, the subscriber's path has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    Whole,
    Smaller,
    Nothing,
}

/// Where and as what a packet goes out.
pub(crate) struct Forward {
    pub(crate) address: Address,
    /// Rollover counter of the outgoing sequence number (RFC 3711 §3.3.1).
    pub(crate) roc: u32,
}

pub(crate) struct Downlink {
    /// The track's slot in the shard.
    pub(crate) track_slot: usize,
    /// Index of the m-line in the subscriber's offer.
    pub(crate) section: usize,
    kind: MediaKind,
    pub(crate) ssrc: u32,
    pub(crate) rtx_ssrc: u32,
    pub(crate) translation: Translation,
    pub(crate) setting: TrackSetting,
    pub(crate) state: State,
    numbers: Numbers,
    /// Newest incoming number of the layer that goes out, whether it was sent or left out.
    newest: u64,
    pub(crate) svc: Svc,
    /// Picture id of the last frame left out.
    left_out: Option<u16>,
    last_out: u64,
    last_timestamp: u32,
    last_picture_id: u16,
    last_tl0: u8,
    last_sent: Option<Instant>,
    rtx_sequence: u64,
    /// Nothing until the first NACK: most subscribers never send one.
    repairs: Option<Box<Repairs>>,
    pub(crate) packets: u32,
    pub(crate) octets: u32,
    pub(crate) clock: Clock,
    /// Loss that the subscriber reported last, in 1/256.
    pub(crate) fraction_lost: u8,
    /// The most that the subscriber's path has room for; `None` for nothing.
    pub(crate) limit: Option<Share>,
    pub(crate) fit: Fit,
    /// The client was told that it gets nothing for want of room.
    pub(crate) told_paused: bool,
    /// The subscriber reports on transport-wide numbers of this m-line.
    numbered: bool,
    mid: Option<Mid>,
    /// The last number that goes out with the MID. A repair without RTX has to be the very same packet.
    mid_until: u64,
}

/// What makes a downlink unlike all others: unguessable starts (RFC 3550 §5.1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    /// Of the m-line it uses.
    pub(crate) mid: Option<Mid>,
    pub(crate) ssrc: u32,
    pub(crate) rtx_ssrc: u32,
    pub(crate) sequence: u16,
    pub(crate) rtx_sequence: u16,
    /// The m-line negotiated transport-wide numbers.
    pub(crate) numbered: bool,
}

impl Start {
    pub(crate) fn random(random: &mut crate::random::Random, mid: Option<Mid>) -> Self {
        Self {
            mid,
            ssrc: random.u32().max(1),
            rtx_ssrc: random.u32().max(1),
            sequence: random.u32() as u16,
            rtx_sequence: random.u32() as u16,
            // Known with the m-line.
            numbered: false,
        }
    }
}

impl Downlink {
    pub(crate) fn new(
        track: &Track,
        track_slot: usize,
        section: usize,
        start: Start,
        translation: Translation,
        setting: TrackSetting,
    ) -> Self {
        Self {
            track_slot,
            section,
            kind: track.description.kind,
            ssrc: start.ssrc,
            rtx_ssrc: start.rtx_ssrc,
            translation,
            setting,
            state: State::Paused,
            numbers: Numbers::new(track.is_video()),
            newest: 0,
            svc: Svc::default(),
            left_out: None,
            // Below 2^15, so that an early reordering never wraps below the first packet (RFC 3711 §3.3.1).
            last_out: u64::from(start.sequence & 0x7fff),
            last_timestamp: 0,
            last_picture_id: 0,
            last_tl0: 0,
            last_sent: None,
            rtx_sequence: u64::from(start.rtx_sequence & 0x7fff),
            repairs: None,
            packets: 0,
            octets: 0,
            clock: Clock::default(),
            fraction_lost: 0,
            limit: Some(Share::whole(if start.numbered { 0 } else { crate::uplink::LAYERS })),
            fit: Fit::Whole,
            told_paused: false,
            numbered: start.numbered,
            mid: start.mid,
            mid_until: u64::MAX,
        }
    }

    /// A report of the subscriber names the SSRC: it has found the m-line.
    ///
    /// Media may overtake the answer, and Firefox then gives an SSRC it does not know to whichever m-line seems to be the
    /// only one for that payload type, and never back; a MID keeps it from guessing.
    pub(crate) fn acknowledge(&mut self, fraction_lost: u8) {
        self.fraction_lost = fraction_lost;
        self.mid_until = self.mid_until.min(self.last_out);
    }

    fn mid_of(&self, out: u64) -> Option<Mid> {
        self.mid.filter(|_| out <= self.mid_until)
    }

    pub(crate) fn kind(&self) -> MediaKind {
        self.kind
    }

    /// Whether a packet of this payload type may carry a transport-wide number. Without RTX a repair is the very same
    /// packet once more, and a new number in it would use its key stream twice.
    pub(crate) fn numbers(&self, payload_type: u8) -> bool {
        self.numbered
            && self.translation.outgoing(payload_type).is_some_and(|outgoing| outgoing.rtx.is_some())
    }

    /// An address for padding, which goes out on the RTX stream, where no decoder sees it. As a repair, it always names the
    /// m-line: Firefox drops RTX whose SSRC it knows from the answer only, and reports it as lost.
    pub(crate) fn pad(&mut self, payload_type: u8) -> Option<Forward> {
        let rtx = self.translation.outgoing(payload_type)?.rtx?;
        self.rtx_sequence = self.rtx_sequence.wrapping_add(1);
        Some(Forward {
            address: Address {
                ssrc: self.rtx_ssrc,
                payload_type: rtx,
                sequence: self.rtx_sequence as u16,
                timestamp: self.last_timestamp,
                marker: false,
                vp8: None,
                strip_red: false,
                original_sequence: None,
                empty: true,
                mid: self.mid,
            },
            roc: (self.rtx_sequence >> 16) as u32,
        })
    }

    /// Stops at once what goes out until the wanted layer begins: the path is far too full to wait for it.
    pub(crate) fn drop_current(&mut self) {
        if let State::Switching { to, .. } = self.state {
            self.state = State::Starting { to };
        }
    }

    /// The stream that carries a layer.
    fn stream(&self, layer: usize) -> usize {
        self.svc.stream.unwrap_or(layer)
    }

    /// The stream a key frame is needed of, if any.
    pub(crate) fn awaits_keyframe(&self) -> Option<usize> {
        match self.state {
            _ if self.kind != MediaKind::Video => None,
            State::Starting { to } => Some(self.stream(to)),
            // Within one stream most changes need none.
            State::Switching { from, to } if self.stream(from) == self.stream(to) => {
                self.svc.stuck.then(|| self.stream(to))
            }
            State::Switching { to, .. } => Some(to),
            _ => None,
        }
    }

    /// The stream that is going out now.
    pub(crate) fn current_stream(&self) -> Option<usize> {
        self.current_layer().map(|layer| self.stream(layer))
    }

    /// The layer that is going out now.
    pub(crate) fn current_layer(&self) -> Option<usize> {
        match self.state {
            State::Forwarding { layer } | State::Switching { from: layer, .. } => Some(layer),
            State::Paused | State::Starting { .. } => None,
        }
    }

    /// Sets which layer is wanted; `None` pauses. Takes effect at a key frame.
    pub(crate) fn aim(&mut self, target: Option<usize>) {
        self.state = match (target, self.state) {
            (None, _) => State::Paused,
            (Some(to), State::Paused | State::Starting { .. }) => State::Starting { to },
            (Some(to), State::Forwarding { layer } | State::Switching { from: layer, .. }) if to == layer => {
                State::Forwarding { layer }
            }
            (Some(to), State::Forwarding { layer: from } | State::Switching { from, .. }) => {
                State::Switching { from, to }
            }
        };
    }

    /// What comes next begins a new stretch.
    pub(crate) fn interrupt(&mut self) {
        if let Some(to) = self.current_layer() {
            self.state = State::Starting { to };
        }
    }

    /// Decides about one fresh packet of the track. `layers` are the track's, for aligning clocks.
    pub(crate) fn forward(&mut self, now: Instant, packet: &Packet<'_>, layers: &[Layer]) -> Option<Forward> {
        let outgoing = self.translation.outgoing(packet.payload_type)?;
        match self.state {
            State::Paused => return None,
            State::Starting { to } => {
                let begins =
                    packet.layer == self.stream(to) && (self.kind == MediaKind::Audio || packet.keyframe);
                if !begins {
                    return None;
                }
                self.begin(now, packet, layers);
                self.state = State::Forwarding { layer: to };
            }
            State::Switching { from, to }
                if packet.layer == to && packet.keyframe && self.stream(from) != self.stream(to) =>
            {
                self.begin(now, packet, layers);
                self.state = State::Forwarding { layer: to };
            }
            State::Forwarding { layer } | State::Switching { from: layer, .. }
                if packet.layer == self.stream(layer) => {}
            State::Forwarding { .. } | State::Switching { .. } => return None,
        }
        let passes = self.passes(packet, layers);
        // What is left out has no number, unless it was missing when its neighbours got theirs: then it goes out empty, so
        // that nobody waits for it.
        let (stretch, out) = self.numbers.out(packet.sequence)?;
        let timestamp = packet.timestamp.wrapping_add(stretch.timestamp_offset);
        let vp8 = picture(packet, &stretch);
        if out > self.last_out {
            self.last_out = out;
            self.last_timestamp = timestamp;
            self.last_sent = Some(now);
            if let Some((picture_id, tl0)) = vp8 {
                self.last_picture_id = picture_id;
                self.last_tl0 = tl0;
            }
        }
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(u32::try_from(packet.payload.len()).unwrap_or(0));
        Some(Forward {
            address: Address {
                ssrc: self.ssrc,
                payload_type: outgoing.payload_type,
                sequence: out as u16, // the wire carries the low 16 bits
                timestamp,
                marker: marker(packet, &stretch),
                vp8,
                strip_red: outgoing.strip_red,
                original_sequence: None,
                empty: !passes,
                mid: self.mid_of(out),
            },
            roc: (out >> 16) as u32,
        })
    }

    /// Whether the packet is of a temporal layer that goes out. What is left out leaves no gap in the numbers.
    fn passes(&mut self, packet: &Packet<'_>, layers: &[Layer]) -> bool {
        let in_order = packet.sequence > self.newest;
        self.newest = self.newest.max(packet.sequence);
        if let Some(dependency) = &packet.dependency {
            return self.passes_scalable(packet, &dependency.frame, in_order, layers);
        }
        let Some((descriptor, tid)) = packet.vp8.as_ref().and_then(|d| Some((d, d.tid?))) else {
            return true;
        };
        if !in_order {
            // Late: as it was decided for its neighbours.
            return self.numbers.out(packet.sequence).is_some_and(|(stretch, _)| tid <= stretch.part);
        }
        let Some(mut part) = self.numbers.last().map(|stretch| stretch.part) else { return false };
        if descriptor.starts_frame() {
            let wanted = layers.get(packet.layer).map_or(ALL, |layer| self.temporal(layer));
            // Down at once; up where a frame of the higher layer needs nothing but the base layer.
            let turned = if part > wanted {
                wanted
            } else if tid > part && tid <= wanted && descriptor.layer_sync {
                tid
            } else {
                part
            };
            if turned != part {
                part = turned;
                self.numbers.turn(packet.sequence, part, 0);
            }
        }
        if tid <= part {
            return true;
        }
        let picture = descriptor.picture_id.unwrap_or(0);
        self.numbers.skip(packet.sequence, self.left_out != Some(picture));
        self.left_out = Some(picture);
        false
    }

    /// The same of a scalable stream.
    fn passes_scalable(
        &mut self,
        packet: &Packet<'_>,
        frame: &Frame,
        in_order: bool,
        layers: &[Layer],
    ) -> bool {
        if in_order
            && frame.start
            && let Some(wanted) = self.target(packet, layers)
            && let Some(structure) = layers.get(packet.layer).and_then(|l| l.layering.structure.as_ref())
            && let Some(current) = self.numbers.last().map(|stretch| stretch.part)
            && (current == wanted.number || self.svc.leads_to(structure, frame, wanted.number))
        {
            self.svc.stuck = false;
            if current != wanted.number {
                self.numbers.turn(packet.sequence, wanted.number, wanted.spatial);
            }
            if let State::Switching { to, .. } = self.state {
                self.state = State::Forwarding { layer: to };
            }
        }
        let part = if in_order {
            self.numbers.last().map(|stretch| stretch.part)
        } else {
            self.numbers.out(packet.sequence).map(|(stretch, _)| stretch.part)
        };
        let passes = part.is_some_and(|part| frame.indications.of(part) != Indication::NotPresent);
        if passes && frame.start {
            self.svc.note(frame.number);
        }
        if !passes && in_order {
            self.numbers.skip(packet.sequence, false);
        }
        passes
    }

    /// The highest temporal layer that is wanted and fits.
    fn temporal(&self, layer: &Layer) -> u8 {
        let fits = self.limit.map_or(ALL, |limit| limit.temporal);
        layer.cadence.temporal_for(self.setting.fps).min(fits)
    }

    /// The decode target of a scalable stream that is wanted now.
    fn target(&self, packet: &Packet<'_>, layers: &[Layer]) -> Option<Target> {
        let layer = layers.get(packet.layer)?;
        let wanted = match self.state {
            _ if self.svc.stream.is_none() => usize::MAX, // simulcast: the layer is the stream
            State::Forwarding { layer: to } | State::Switching { to, .. } | State::Starting { to } => to,
            State::Paused => return None,
        };
        let spatial = u8::try_from(wanted).unwrap_or(u8::MAX);
        let temporal = self.temporal(layer);
        Target::best(layer.layering.structure.as_ref()?, spatial, temporal, layer.layering.active)
    }

    /// Starts a new stretch with `packet`: numbers go on where the last stretch ended.
    fn begin(&mut self, now: Instant, packet: &Packet<'_>, layers: &[Layer]) {
        let timestamp = self.aligned_timestamp(now, packet, layers);
        let (picture_id, tl0) =
            packet.vp8.as_ref().map_or((0, 0), |d| (d.picture_id.unwrap_or(0), d.tl0_pic_idx.unwrap_or(0)));
        let fresh = self.last_sent.is_none();
        self.newest = packet.sequence.saturating_sub(1);
        self.left_out = None;
        self.svc.begin();
        let target = packet.dependency.and_then(|_| self.target(packet, layers));
        self.numbers.push(Stretch {
            layer: packet.layer,
            begins: true,
            part: target.map_or(ALL, |target| target.number),
            spatial: target.map_or(0, |target| target.spatial),
            first_in: packet.sequence,
            first_out: self.last_out.wrapping_add(1),
            timestamp_offset: timestamp.wrapping_sub(packet.timestamp),
            picture_id_offset: if fresh {
                0
            } else {
                self.last_picture_id.wrapping_add(1).wrapping_sub(picture_id)
            },
            tl0_offset: if fresh { 0 } else { self.last_tl0.wrapping_add(1).wrapping_sub(tl0) },
        });
    }

    /// The outgoing timestamp of a stretch's first packet. Layers have clocks of their own: sender reports
    /// relate them; without reports the time since the last packet does.
    fn aligned_timestamp(&self, now: Instant, packet: &Packet<'_>, layers: &[Layer]) -> u32 {
        let (Some(last), Some(last_sent)) = (self.numbers.last(), self.last_sent) else {
            return packet.timestamp;
        };
        let rate: u32 = if self.kind == MediaKind::Video { 90_000 } else { 48_000 };
        let elapsed = u64::try_from(now.saturating_duration_since(last_sent).as_micros()).unwrap_or(u64::MAX);
        let elapsed = elapsed.saturating_mul(u64::from(rate)).wrapping_div(1_000_000) as u32;
        let by_time = self.last_timestamp.wrapping_add(elapsed.max(1));
        let by_report = if last.layer == packet.layer {
            Some(packet.timestamp.wrapping_add(last.timestamp_offset))
        } else {
            let report = |layer: usize| layers.get(layer).and_then(|layer| layer.sender_report);
            report(last.layer).zip(report(packet.layer)).map(|((ntp_a, rtp_a), (ntp_b, rtp_b))| {
                // NTP is 32.32 fixed point; the difference of two reports of one source is small.
                let seconds = ntp_b.wrapping_sub(ntp_a).cast_signed() as f64 / 4_294_967_296.0;
                let ticks = (seconds * f64::from(rate)) as i64 as u32;
                let on_a = rtp_a.wrapping_add(ticks).wrapping_add(packet.timestamp.wrapping_sub(rtp_b));
                on_a.wrapping_add(last.timestamp_offset)
            })
        };
        // Never backwards, and never far from what the wall clock says.
        by_report
            .filter(|timestamp| {
                let ahead = timestamp.wrapping_sub(self.last_timestamp);
                let slack = timestamp.wrapping_sub(by_time).cast_signed().unsigned_abs();
                ahead > 0 && ahead < u32::MAX / 2 && slack < rate
            })
            .unwrap_or(by_time)
    }

    /// The outgoing timestamp for an incoming one of the layer that goes out now (sender reports).
    pub(crate) fn report_timestamp(&self, layer: usize, timestamp: u32) -> Option<u32> {
        let stretch = self.numbers.last().filter(|stretch| stretch.layer == layer)?;
        self.current_layer()?;
        Some(timestamp.wrapping_add(stretch.timestamp_offset))
    }

    /// Answers one number of a NACK: which kept packet, and how it goes out again.
    pub(crate) fn repair<'a>(
        &mut self,
        now: Instant,
        round_trip: Option<Duration>,
        sequence: u16,
        layers: &'a [Layer],
    ) -> Option<(Packet<'a>, Forward)> {
        // Switched off means nothing, not even repairs; and where a key frame begins anew, nothing before it is of use.
        if matches!(self.state, State::Paused | State::Starting { .. }) {
            return None;
        }
        let back = (self.last_out as u16).wrapping_sub(sequence);
        let out = self.last_out.checked_sub(u64::from(back)).filter(|_| u64::from(back) < REPAIR_REACH)?;
        let slot = self
            .repairs
            .get_or_insert_with(|| Box::new([(0, None); RECENT_REPAIRS]))
            .get_mut(usize::from(sequence) % RECENT_REPAIRS)?;
        let interval = round_trip.map_or(REPAIR_INTERVAL, |rtt| rtt.clamp(LEAST_INTERVAL, MOST_INTERVAL));
        if slot.0 == out && slot.1.is_some_and(|at| now.saturating_duration_since(at) < interval) {
            return None;
        }
        *slot = (out, Some(now));
        let (stretch, incoming) = self.numbers.incoming(out)?;
        let packet = layers.get(stretch.layer)?.kept(stretch.layer, incoming)?;
        let above = packet.vp8.and_then(|descriptor| descriptor.tid).is_some_and(|tid| tid > stretch.part);
        let outside = |frame: &Frame| frame.indications.of(stretch.part) == Indication::NotPresent;
        if above || packet.dependency.is_some_and(|dependency| outside(&dependency.frame)) {
            return None; // it came after its neighbours had been left out, and went out empty
        }
        let outgoing = self.translation.outgoing(packet.payload_type)?;
        let vp8 = picture(&packet, &stretch);
        let timestamp = packet.timestamp.wrapping_add(stretch.timestamp_offset);
        let address = match outgoing.rtx {
            Some(payload_type) => {
                self.rtx_sequence = self.rtx_sequence.wrapping_add(1);
                Address {
                    ssrc: self.rtx_ssrc,
                    payload_type,
                    sequence: self.rtx_sequence as u16,
                    timestamp,
                    marker: marker(&packet, &stretch),
                    vp8,
                    strip_red: false,
                    original_sequence: Some(sequence),
                    empty: false,
                    mid: self.mid,
                }
            }
            // Without RTX the very same packet goes again: same index, same bytes, so no key stream is reused.
            None => Address {
                ssrc: self.ssrc,
                payload_type: outgoing.payload_type,
                sequence,
                timestamp,
                marker: marker(&packet, &stretch),
                vp8,
                strip_red: outgoing.strip_red,
                original_sequence: None,
                empty: false,
                mid: self.mid_of(out),
            },
        };
        let extended = if outgoing.rtx.is_some() { self.rtx_sequence } else { out };
        Some((packet, Forward { address, roc: (extended >> 16) as u32 }))
    }
}

/// Picture id and TL0PICIDX as they go out.
fn picture(packet: &Packet<'_>, stretch: &Stretch) -> Option<(u16, u8)> {
    let descriptor = packet.vp8.as_ref()?;
    Some((
        descriptor.picture_id.unwrap_or(0).wrapping_add(stretch.picture_id_offset) & 0x7fff,
        descriptor.tl0_pic_idx.unwrap_or(0).wrapping_add(stretch.tl0_offset),
    ))
}

/// Whether the packet is the last of the picture as this subscriber gets it: higher spatial layers are left out.
fn marker(packet: &Packet<'_>, stretch: &Stretch) -> bool {
    let ends = |frame: &Frame| frame.end && frame.spatial == stretch.spatial;
    packet.marker || packet.dependency.is_some_and(|dependency| ends(&dependency.frame))
}

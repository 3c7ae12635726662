//! RTCP that the server writes itself: to a publisher TWCC feedback, NACKs, key-frame requests and receiver
//! reports; to a subscriber sender reports.

use crate::counters::Counters;
use crate::peer::{FEEDBACK_INTERVAL, Peer, REPORT_INTERVAL};
use crate::rtp::rtcp::{self, ReportBlock, SenderInfo};
use crate::rtp::sequence::Unwrapper;
use crate::transmit::SendSlab;
use crate::uplink::{Layer, Track};
use slab::Slab;
use std::time::Instant;

/// SSRC of the server's own reports: it sends no media of its own (libwebrtc receivers use 1 too).
const OWN_SSRC: u32 = 1;

/// Feedback packets per tick; the recorder's window fits into fewer.
const MAX_FEEDBACK_PACKETS: usize = 8;

/// Room kept in a datagram for SRTCP's tag and index.
const RESERVE: usize = 64;

/// Sends everything that is due to one publisher. `due` is a reused buffer.
pub(crate) fn send(
    now: Instant,
    peer: &mut Peer,
    tracks: &mut Slab<Track>,
    slab: &mut SendSlab,
    due: &mut Vec<u16>,
    counters: &mut Counters,
) {
    if peer.sealer.is_none() {
        return;
    }
    transport_feedback(now, peer, tracks, slab);
    let report = peer.report_at <= now;
    if report {
        peer.report_at = now + REPORT_INTERVAL;
    }
    let mut blocks = [ReportBlock::default(); rtcp::MAX_COUNT];
    let mut count = 0;
    for at in 0..peer.tracks.len() {
        let Some(track) = peer.tracks.get(at).and_then(|slot| tracks.get_mut(*slot)) else { continue };
        let video = track.is_video();
        for layer in &mut track.layers {
            let Some(media) = layer.ssrc else { continue };
            layer.due_nacks(now, due);
            if !due.is_empty() {
                counters.asked_again(due.len());
                peer.send_rtcp(slab, |buffer| rtcp::nack(buffer, OWN_SSRC, media, due));
            }
            if video && layer.keyframe.take_due(now) {
                counters.keyframe_requested();
                peer.send_rtcp(slab, |buffer| rtcp::picture_loss(buffer, OWN_SSRC, media));
            }
            if report
                && layer.statistics.is_receiving()
                && let Some(block) = blocks.get_mut(count)
            {
                *block = report_block(now, media, layer, counters);
                count = count.saturating_add(1);
            }
        }
    }
    if let Some(blocks) = blocks.get(..count).filter(|blocks| !blocks.is_empty()) {
        peer.send_rtcp(slab, |buffer| rtcp::receiver_report(buffer, OWN_SSRC, blocks));
    }
}

fn transport_feedback(now: Instant, peer: &mut Peer, tracks: &Slab<Track>, slab: &mut SendSlab) {
    let media = peer
        .tracks
        .iter()
        .filter_map(|slot| tracks.get(*slot))
        .flat_map(|track| &track.layers)
        .find_map(|layer| layer.ssrc)
        .unwrap_or(0);
    for _ in 0..MAX_FEEDBACK_PACKETS {
        let (Some(to), Some(sealer)) = (peer.address(), peer.sealer.as_mut()) else { return };
        let twcc = &mut peer.twcc;
        let sent = slab.push(to, |buffer| {
            let room = buffer.len().saturating_sub(RESERVE).min(1200);
            let length =
                twcc.poll_feedback(now, FEEDBACK_INTERVAL, buffer.get_mut(..room)?, OWN_SSRC, media)?;
            sealer.seal_rtcp(buffer, length).ok()
        });
        if !sent {
            return;
        }
    }
}

fn report_block(now: Instant, ssrc: u32, layer: &mut Layer, counters: &mut Counters) -> ReportBlock {
    let (expected, lost) = layer.statistics.report_interval();
    counters.expected(expected, lost);
    let statistics = &layer.statistics;
    ReportBlock {
        ssrc,
        fraction_lost: u8::try_from(lost.saturating_mul(256).checked_div(expected).unwrap_or(0))
            .unwrap_or(u8::MAX),
        cumulative_lost: i32::try_from(statistics.cumulative_lost()).unwrap_or(i32::MAX),
        highest_sequence: statistics.highest.wrapping_sub(Unwrapper::BASE) as u32,
        jitter: statistics.jitter(),
        last_sr: statistics.report_ntp,
        delay_since_last_sr: statistics.delay_since_report(now),
    }
}

/// A publisher's clock in the numbers of one subscriber.
pub(crate) struct SenderReport {
    pub(crate) ssrc: u32,
    pub(crate) ntp: u64,
    pub(crate) timestamp: u32,
    pub(crate) packets: u32,
    pub(crate) octets: u32,
}

impl SenderReport {
    /// SR and SDES CNAME, as RFC 3550 §6.1 wants them together.
    pub(crate) fn write(&self, buffer: &mut [u8], cname: &str) -> Option<usize> {
        let info = SenderInfo {
            ssrc: self.ssrc,
            ntp: self.ntp,
            rtp: self.timestamp,
            packets: self.packets,
            octets: self.octets,
        };
        let length = rtcp::sender_report(buffer, &info, &[])?;
        let names = rtcp::cname(buffer.get_mut(length..)?, self.ssrc, cname)?;
        length.checked_add(names)
    }
}

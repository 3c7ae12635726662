//! When the packets of one transport arrived, told to their sender
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01). Without it a sender's rate does not rise.

use super::rtcp::{FORMAT_TRANSPORT_CC, Out, TRANSPORT_FEEDBACK};
use super::sequence::Unwrapper;
use std::time::{Duration, Instant};

/// Sequence numbers remembered, lost ones included. Higher: later stragglers are still reported, 8 B each; lower:
/// more than this many packets in one interval are reported lost (1024 in 100 ms is 90 Mbit/s).
pub const WINDOW: usize = 1024;

/// `WINDOW` as a difference of extended numbers.
const SPAN: u64 = WINDOW as u64;
const REACH: u64 = SPAN - 1;

/// Room that every feedback packet fits into at least in part: one arrival after a whole window of losses.
pub const MIN_FEEDBACK: usize = 320;

/// Deltas count 250 µs.
const TICK_MICROS: u128 = 250;
/// The reference time counts 64 ms.
const TICKS_PER_REFERENCE: i64 = 256;
/// RTCP header, SSRCs, base, count, reference time and feedback count.
const FEEDBACK_HEADER: usize = 20;
/// The fewest statuses a full chunk carries.
const CHUNK_MIN: usize = 7;
const ONE_BIT_CHUNK: usize = 14;
const RUN_MAX: usize = 0x1fff;

/// Ticks of a packet that did not arrive.
const MISSING: i64 = i64::MIN;

/// Collects arrivals of one transport and makes feedback packets of them.
#[derive(Clone, Debug)]
pub struct Recorder {
    unwrapper: Unwrapper,
    /// Arrival in ticks since `epoch`, at `extended number % WINDOW`.
    arrivals: Box<[i64]>,
    epoch: Option<Instant>,
    /// First extended number of the next feedback; above the highest when there is nothing to tell.
    next: u64,
    due: Option<Instant>,
    feedback_count: u8,
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

impl Recorder {
    /// Nothing arrived yet. Allocates the window.
    pub fn new() -> Self {
        Self {
            unwrapper: Unwrapper::new(),
            arrivals: vec![MISSING; WINDOW].into_boxed_slice(),
            epoch: None,
            next: 0,
            due: None,
            feedback_count: 0,
        }
    }

    /// A packet with this transport-wide sequence number arrived. The first arrival counts; one older than the
    /// window is forgotten; one reported lost before is reported again with all after it, as libwebrtc does.
    pub fn record(&mut self, transport_seq: u16, now: Instant) {
        let epoch = *self.epoch.get_or_insert(now);
        let ticks = (now.saturating_duration_since(epoch).as_micros() / TICK_MICROS) as i64;
        let before = self.unwrapper.highest();
        let sequence = self.unwrapper.extend(transport_seq);
        match before {
            None => self.next = sequence,
            Some(highest) if sequence > highest => {
                let skipped = sequence.wrapping_sub(highest).min(SPAN);
                for lost in (0..skipped).map(|back| sequence.wrapping_sub(back)) {
                    self.set(lost, MISSING);
                }
            }
            Some(highest) if highest.wrapping_sub(sequence) >= SPAN => return,
            Some(_) if self.get(sequence) != MISSING => return,
            Some(_) => {}
        }
        self.set(sequence, ticks);
        self.next = self.next.min(sequence).max(self.oldest());
    }

    /// When [`Self::poll_feedback`] will next have something, if anything is untold.
    pub fn deadline(&self) -> Option<Instant> {
        if self.is_pending() { self.due.or(self.epoch) } else { None }
    }

    /// Writes one feedback packet, if anything is untold and `interval` has passed since the last. Returns its
    /// length. What does not fit into `out` ([`MIN_FEEDBACK`] bytes up to one datagram) comes with the next call at
    /// once, so call until `None`.
    pub fn poll_feedback(
        &mut self,
        now: Instant,
        interval: Duration,
        out: &mut [u8],
        sender_ssrc: u32,
        media_ssrc: u32,
    ) -> Option<usize> {
        if !self.is_pending() || self.due.is_some_and(|due| now < due) {
            return None;
        }
        let feedback = Feedback::plan(self, out.len())?;
        let length = feedback.write(self, out, sender_ssrc, media_ssrc)?;
        self.feedback_count = self.feedback_count.wrapping_add(1);
        self.next = feedback.base.wrapping_add(feedback.count as u64);
        if !self.is_pending() {
            self.due = now.checked_add(interval);
        }
        Some(length)
    }

    fn is_pending(&self) -> bool {
        self.unwrapper.highest().is_some_and(|highest| self.next <= highest)
    }

    /// The oldest extended number the window can hold.
    fn oldest(&self) -> u64 {
        self.unwrapper.highest().unwrap_or(0).saturating_sub(REACH)
    }

    fn get(&self, sequence: u64) -> i64 {
        self.arrivals.get(slot(sequence)).copied().unwrap_or(MISSING)
    }

    fn set(&mut self, sequence: u64, ticks: i64) {
        if let Some(place) = self.arrivals.get_mut(slot(sequence)) {
            *place = ticks;
        }
    }
}

const fn slot(sequence: u64) -> usize {
    (sequence % SPAN) as usize
}

/// What one feedback packet will say.
struct Feedback {
    base: u64,
    count: usize,
    /// In units of 64 ms.
    reference: i64,
    /// 0, 1 or 2 for each of `count` packets.
    statuses: [u8; WINDOW],
}

impl Feedback {
    /// As many statuses from `next` on as surely fit into `room` bytes and whose deltas can be written.
    fn plan(recorder: &Recorder, room: usize) -> Option<Self> {
        let base = recorder.next;
        let highest = recorder.unwrapper.highest()?;
        let mut feedback = Self { base, count: 0, reference: 0, statuses: [0; WINDOW] };
        let mut clock: Option<i64> = None;
        let mut deltas = 0_usize;
        let mut count = 0_usize;
        for (sequence, status) in (base..=highest).zip(feedback.statuses.iter_mut()) {
            let ticks = recorder.get(sequence);
            count = count.wrapping_add(1);
            if ticks == MISSING {
                continue;
            }
            let before = *clock.get_or_insert_with(|| {
                feedback.reference = ticks.wrapping_div(TICKS_PER_REFERENCE);
                feedback.reference.wrapping_mul(TICKS_PER_REFERENCE)
            });
            let delta = ticks.wrapping_sub(before);
            let size = if u8::try_from(delta).is_ok() { 1 } else { 2 };
            let chunks = count.div_ceil(CHUNK_MIN).wrapping_mul(2);
            let needed = FEEDBACK_HEADER.wrapping_add(chunks).wrapping_add(deltas).wrapping_add(size);
            if i16::try_from(delta).is_err() || needed.wrapping_add(3) > room {
                break;
            }
            *status = size as u8;
            deltas = deltas.wrapping_add(size);
            clock = Some(ticks);
            // Ends with a packet that arrived: what is missing after it is told next time, or arrives late.
            feedback.count = count;
        }
        (feedback.count > 0).then_some(feedback)
    }

    fn write(&self, recorder: &Recorder, out: &mut [u8], sender_ssrc: u32, media_ssrc: u32) -> Option<usize> {
        let mut out = Out::new(out);
        out.put_u32(sender_ssrc)?;
        out.put_u32(media_ssrc)?;
        out.put(&(self.base as u16).to_be_bytes())?;
        out.put(&(self.count as u16).to_be_bytes())?;
        out.put_u32(((self.reference as u32) << 8) | u32::from(recorder.feedback_count))?;
        let statuses = self.statuses.get(..self.count)?;
        let mut rest = statuses;
        while !rest.is_empty() {
            let (word, covered) = chunk(rest);
            out.put(&word.to_be_bytes())?;
            rest = rest.get(covered..)?;
        }
        let mut clock = self.reference.wrapping_mul(TICKS_PER_REFERENCE);
        for (sequence, status) in (self.base..).zip(statuses) {
            if *status == 0 {
                continue;
            }
            let ticks = recorder.get(sequence);
            let delta = ticks.wrapping_sub(clock) as i16;
            match *status {
                1 => out.put(&[delta as u8])?,
                _ => out.put(&delta.to_be_bytes())?,
            }
            clock = ticks;
        }
        let padding = out.len.wrapping_neg() & 3;
        match padding {
            0 => {}
            1 => out.put(&[1])?,
            2 => out.put(&[0, 2])?,
            _ => out.put(&[0, 0, 3])?,
        }
        out.finish(TRANSPORT_FEEDBACK, usize::from(FORMAT_TRANSPORT_CC), padding != 0)
    }
}

/// The best status chunk for the front of `statuses`, and how many of them it covers.
fn chunk(statuses: &[u8]) -> (u16, usize) {
    let first = statuses.first().copied().unwrap_or(0);
    let run = statuses.iter().take(RUN_MAX).take_while(|status| **status == first).count();
    let one_bit = statuses.iter().take(ONE_BIT_CHUNK).all(|status| *status < 2);
    let vector = if one_bit { ONE_BIT_CHUNK } else { CHUNK_MIN };
    if run >= vector || run == statuses.len() {
        return ((u16::from(first) << 13) | run as u16, run);
    }
    let (mark, bits) = if one_bit { (0x8000, 1_u32) } else { (0xc000, 2) };
    let mut word = 0_u16;
    for at in 0..vector {
        word = word.wrapping_shl(bits) | u16::from(statuses.get(at).copied().unwrap_or(0));
    }
    (mark | word, vector.min(statuses.len()))
}

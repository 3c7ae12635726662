//! The window cut into equal parts, for runs during which something else happens to the server: what was sent and received in
//! each of them, over all participants.

use serde::Serialize;

use crate::measure::{Counted, Histogram, Window};
use crate::report::Percentiles;

/// Parts of one window.
pub(crate) const MAX_SLICES: u64 = 1_000;

/// Counts by send time.
pub(crate) struct Slices {
    width_ns: u64,
    from_ns: u64,
    parts: Vec<Part>,
}

#[derive(Clone, Default)]
struct Part {
    sent: u64,
    received: u64,
    frames: u64,
    delay: Histogram,
}

/// One part, of all participants together. Packets are those sent within it.
#[derive(Clone, Debug, Serialize)]
pub struct Slice {
    /// Since the beginning of the window.
    pub from_s: f64,
    pub sent: u64,
    /// Sent, times the others in a room.
    pub expected: u64,
    pub received: u64,
    /// Video frames of which something came, summed over receivers and cameras.
    pub frames: u64,
    pub delay: Option<Percentiles>,
}

impl Slices {
    /// `width_ns`: 0 counts nothing.
    pub(crate) fn new(width_ns: u64) -> Self {
        Self { width_ns, from_ns: 0, parts: Vec::new() }
    }

    pub(crate) fn open(&mut self, window: Window) {
        self.from_ns = window.from_ns;
    }

    pub(crate) fn sent(&mut self, sent_ns: u64) {
        if let Some(part) = self.part(sent_ns) {
            part.sent += 1;
        }
    }

    pub(crate) fn received(&mut self, counted: Counted) {
        if let Some(part) = self.part(counted.sent_ns) {
            part.received += 1;
            part.frames += u64::from(counted.begins_frame);
            part.delay.record(counted.delay_ns);
        }
    }

    fn part(&mut self, sent_ns: u64) -> Option<&mut Part> {
        let at = sent_ns.checked_sub(self.from_ns)?.checked_div(self.width_ns)?;
        if at >= MAX_SLICES {
            return None;
        }
        let at = at as usize;
        if at >= self.parts.len() {
            self.parts.resize(at + 1, Part::default());
        }
        self.parts.get_mut(at)
    }

    /// `others`: how many should have received each packet.
    pub(crate) fn report(&self, others: u64) -> Vec<Slice> {
        let slice = |(at, part): (usize, &Part)| Slice {
            from_s: at as f64 * self.width_ns as f64 / 1e9,
            sent: part.sent,
            expected: part.sent * others,
            received: part.received,
            frames: part.frames,
            delay: Percentiles::of(&part.delay),
        };
        self.parts.iter().enumerate().map(slice).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_count_where_they_were_sent_however_late_they_come() {
        let mut slices = Slices::new(1_000);
        slices.open(Window { from_ns: 5_000, to_ns: 9_000 });
        for sent_ns in [5_000, 5_999, 6_000, 8_500] {
            slices.sent(sent_ns);
        }
        for (sent_ns, delay_ns) in [(5_000, 10), (5_999, 50_000), (8_500, 20)] {
            slices.received(Counted { sent_ns, delay_ns, begins_frame: sent_ns == 5_000 });
        }
        let report = slices.report(2);
        let counts: Vec<_> = report.iter().map(|s| (s.sent, s.expected, s.received, s.frames)).collect();
        assert_eq!(counts, [(2, 4, 2, 1), (1, 2, 0, 0), (0, 0, 0, 0), (1, 2, 1, 0)]);
        assert_eq!(report[0].delay.as_ref().unwrap().max_us, 50.0);
        assert!(report[1].delay.is_none());
    }

    #[test]
    fn what_was_sent_outside_or_is_not_asked_for_counts_nowhere() {
        let mut slices = Slices::new(10);
        slices.open(Window { from_ns: 100, to_ns: 200 });
        slices.sent(99);
        slices.sent(100 + 10 * MAX_SLICES);
        assert!(slices.report(1).is_empty());
        let mut none = Slices::new(0);
        none.sent(100);
        assert!(none.report(1).is_empty());
    }
}

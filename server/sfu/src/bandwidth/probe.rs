//! Bursts that find out whether more would fit: for their time the subscriber is sent media and padding at the
//! wanted rate, and how fast they arrive tells what the path carries. Owns when to ask and what was found.

/// Length of a burst in seconds. Higher: a better measure, and a longer queue where it does not fit; lower: the
/// frames of the picture fall in or out by chance.
const LENGTH: f64 = 0.12;

/// Packets that must have come back before a burst means anything.
const ENOUGH: u32 = 8;

/// A burst whose feedback is not in after this is given up. Seconds.
const PATIENCE: f64 = 1.5;

/// Between two bursts after one that found more, and the most after many that did not. Higher: better pictures
/// come later; lower: a path that is full is burdened more often.
const PAUSE: f64 = 0.2;
const MAX_PAUSE: f64 = 8.0;

/// The last packet of a burst may have left so long before its end was noticed. Seconds.
const SLACK: f64 = 0.06;

/// Trouble within this time after a burst is its doing. Seconds.
const BLAME: f64 = 1.0;

/// After trouble the queue needs so long to empty. Seconds.
const SETTLE: f64 = 0.5;

/// Arriving at this share of the rate it left at, a burst fits.
const FITS: f64 = 0.9;

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Idle,
    Sending { since: f64, rate: f64, bytes: f64 },
    Waiting { until: f64 },
}

/// What a burst measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Found {
    /// Bit/s that came through.
    pub(crate) rate: f64,
    /// How fast it came compared with how fast it left; 1 where it fitted.
    pub(crate) share: f64,
    /// More might have come through.
    pub(crate) fits: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Measure {
    first_sent: f64,
    last_sent: f64,
    first_arrived: f64,
    last_arrived: f64,
    bytes: f64,
    first_bytes: f64,
    last_bytes: f64,
    packets: u32,
    /// All that left, arrived or not, and when the last of it did.
    sent_bytes: f64,
    left: f64,
}

/// See the module.
pub(crate) struct Probe {
    state: State,
    id: u32,
    measure: Measure,
    pause: f64,
    not_before: f64,
    /// When the last burst's result was in.
    ended: f64,
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            state: State::Idle,
            id: 0,
            measure: Measure::default(),
            pause: PAUSE,
            not_before: 0.0,
            ended: f64::NEG_INFINITY,
        }
    }
}

impl Probe {
    /// Begins a burst at `rate` bit/s if it is time for one.
    pub(crate) fn ask(&mut self, now: f64, rate: f64) {
        if self.state == State::Idle && now >= self.not_before {
            self.id = self.id.wrapping_add(1).max(1);
            self.measure = Measure::default();
            self.state = State::Sending { since: now, rate, bytes: 0.0 };
        }
    }

    /// The burst that a packet sent now belongs to; 0 for none.
    pub(crate) fn sent(&mut self, now: f64, sent_bytes: u32) -> u32 {
        match &mut self.state {
            State::Sending { bytes, .. } => {
                *bytes += f64::from(sent_bytes);
                self.measure.left = now;
                self.id
            }
            _ => 0,
        }
    }

    /// Bytes of padding to send now to keep the burst's rate.
    pub(crate) fn padding(&mut self, now: f64) -> f64 {
        match self.state {
            State::Sending { since, bytes, .. } if now - since > LENGTH => {
                self.measure.sent_bytes = bytes;
                self.state = State::Waiting { until: now + PATIENCE };
                0.0
            }
            State::Sending { since, rate, bytes } => (now - since + 0.01) * rate / 8.0 - bytes,
            _ => 0.0,
        }
    }

    pub(crate) fn is_sending(&self) -> bool {
        matches!(self.state, State::Sending { .. })
    }

    /// A packet of burst `id` arrived.
    pub(crate) fn arrived(&mut self, id: u32, sent: f64, arrived: f64, bytes: u32) {
        if id != self.id || self.state == State::Idle {
            return;
        }
        let measure = &mut self.measure;
        let bytes = f64::from(bytes);
        if measure.packets == 0 {
            (measure.first_sent, measure.first_arrived) = (sent, arrived);
            measure.first_bytes = bytes;
        }
        measure.packets = measure.packets.saturating_add(1);
        measure.bytes += bytes;
        if sent >= measure.last_sent {
            (measure.last_sent, measure.last_bytes) = (sent, bytes);
        }
        measure.last_arrived = measure.last_arrived.max(arrived);
    }

    /// What the burst found once all of it had time to come back.
    pub(crate) fn found(&mut self, now: f64, newest_sent: f64) -> Option<Found> {
        let State::Waiting { until } = self.state else { return None };
        let complete = newest_sent >= self.measure.last_sent && newest_sent >= until - PATIENCE - SLACK;
        if !complete && now < until {
            return None;
        }
        self.state = State::Idle;
        self.ended = now;
        let measure = self.measure;
        let (sending, receiving) =
            (measure.last_sent - measure.first_sent, measure.last_arrived - measure.first_arrived);
        if measure.packets < ENOUGH || sending < LENGTH / 2.0 || receiving <= 0.0 {
            self.failed(now);
            return None;
        }
        let out = (measure.sent_bytes - measure.last_bytes) * 8.0 / sending;
        let through = (measure.bytes - measure.first_bytes) * 8.0 / receiving;
        let fits = through >= FITS * out;
        if fits {
            self.pause = PAUSE;
            self.not_before = now;
        } else {
            self.failed(now);
        }
        let share = if fits { 1.0 } else { through / out };
        Some(Found { rate: out.min(through), share, fits })
    }

    /// The path is full: wait longer before the next burst.
    fn failed(&mut self, now: f64) {
        self.not_before = now + self.pause;
        self.pause = (self.pause * 2.0).min(MAX_PAUSE);
    }

    /// The path just became worse: whatever is under way means nothing any more. If a burst came just before, it was
    /// too much for the path; else the path is another one, about which nothing is known yet.
    pub(crate) fn postpone(&mut self, now: f64) {
        if now - self.ended < BLAME {
            self.pause = (self.pause * 2.0).min(MAX_PAUSE);
        } else {
            self.pause = PAUSE;
        }
        self.state = State::Idle;
        self.ended = f64::NEG_INFINITY;
        self.not_before = self.not_before.max(now + self.pause.max(SETTLE));
    }
}

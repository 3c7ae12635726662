//! A certificate whose end comes near while the server runs. Owns what the log was told of it: a line when two weeks, three days
//! and one day are left, and once a day when it is over. It renews nothing; whoever does (`files.rs`, `acme/`) was not there.

use super::{Showing, validity::Validity};
use crate::server::raised;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::time::sleep;

const DAY: Duration = Duration::from_secs(86_400);

/// Time that is left when the log says so. Higher: lines about what is renewed in time; lower: nobody reads it before the end.
const STEPS: [Duration; 4] =
    [Duration::from_secs(14 * 86_400), Duration::from_secs(3 * 86_400), DAY, Duration::ZERO];

/// And at most this part of the whole time: what is meant to last six days is renewed when two are left.
const PART: u32 = 6;

/// A line about a certificate that is over is repeated after this.
const AGAIN: Duration = DAY;

/// Longest sleep before the clock is looked at again: it may be set, and machines are suspended.
const NAP: Duration = Duration::from_secs(60);

/// Who puts another one in its place; what to do is theirs to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renewal {
    /// The server, when it starts.
    AtStart,
    /// Whoever writes the files.
    Files,
    /// The server, from its authority.
    Authority,
}

impl Renewal {
    const fn advice(self) -> &'static str {
        match self {
            Self::AtStart => "start Enza again: it makes another one",
            Self::Files => {
                "put a newer certificate and its key into the files of --cert and --key: it is shown within ten seconds, \
                 without a restart"
            }
            Self::Authority => {
                "the authority has given no new one: see the lines about it above, and what `enza doctor` says of the domain \
                 and of port 443"
            }
        }
    }
}

/// Watches what is shown until the program stops.
pub(super) async fn watch(mut showing: Showing, renewal: Renewal, mut stopping: watch::Receiver<bool>) {
    let mut told = Told::default();
    loop {
        let now = SystemTime::now();
        let validity = showing.validity();
        if let Some(validity) = validity
            && let Some(line) = told.line(&validity, now)
        {
            let advice = renewal.advice();
            match line {
                Line::Near => {
                    tracing::warn!(days = validity.days_left(), advice, "the certificate will soon be over");
                }
                Line::Over => tracing::warn!(advice, "the certificate is over: browsers refuse newcomers"),
            }
        }
        let rest = validity.and_then(|validity| next(&validity, now)).unwrap_or(NAP).min(NAP);
        tokio::select! {
            () = sleep(rest) => {}
            changed = showing.changed() => if !changed { return },
            () = raised(&mut stopping) => return,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Near,
    Over,
}

/// What the log has of the certificate with this end.
#[derive(Default)]
struct Told {
    until: Option<SystemTime>,
    /// Of [`STEPS`], how many were reached when the last line was written.
    steps: usize,
    at: Option<SystemTime>,
}

impl Told {
    fn line(&mut self, validity: &Validity, now: SystemTime) -> Option<Line> {
        if self.until != Some(validity.until) {
            *self = Self { until: Some(validity.until), ..Self::default() };
        }
        let steps = moments(validity).filter(|moment| *moment <= now).count();
        let over = steps == STEPS.len();
        // A clock that was set back makes nothing new.
        let long_ago = self.at.is_none_or(|at| now.duration_since(at).is_ok_and(|since| since >= AGAIN));
        if steps <= self.steps && !(over && long_ago) {
            return None;
        }
        (self.steps, self.at) = (steps, Some(now));
        Some(if over { Line::Over } else { Line::Near })
    }
}

/// When the steps are reached, the first one first.
fn moments(validity: &Validity) -> impl Iterator<Item = SystemTime> {
    let whole = validity.until.duration_since(validity.from).unwrap_or_default();
    let until = validity.until;
    STEPS.into_iter().map(move |left| until.checked_sub(left.min(whole / PART)).unwrap_or(until))
}

/// From now until the next step.
fn next(validity: &Validity, now: SystemTime) -> Option<Duration> {
    moments(validity).filter_map(|moment| moment.duration_since(now).ok()).find(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn lasting(days: u32) -> Validity {
        let from = UNIX_EPOCH + DAY * 20_000;
        Validity { from, until: from + DAY * days }
    }

    /// The days from the beginning on which there is a line, looking every hour until 60 hours after the end.
    fn days_with_a_line(validity: &Validity, told: &mut Told) -> Vec<(u64, Line)> {
        let hour = Duration::from_secs(3600);
        let hours = validity.until.duration_since(validity.from).unwrap().as_secs() / 3600 + 60;
        let moment = |at: u64| validity.from + hour * u32::try_from(at).unwrap();
        (0..hours).filter_map(|at| Some((at / 24, told.line(validity, moment(at))?))).collect()
    }

    #[test]
    fn the_end_is_told_in_steps_and_daily_once_it_is_over() {
        let (near, over) = (Line::Near, Line::Over);
        let expected = [(76, near), (87, near), (89, near), (90, over), (91, over), (92, over)];
        assert_eq!(days_with_a_line(&lasting(90), &mut Told::default()), expected);
    }

    #[test]
    fn a_short_one_is_told_shortly_before_its_end() {
        let expected = [(5, Line::Near), (6, Line::Over), (7, Line::Over), (8, Line::Over)];
        assert_eq!(days_with_a_line(&lasting(6), &mut Told::default()), expected);
    }

    #[test]
    fn another_certificate_begins_anew_and_a_clock_set_back_repeats_nothing() {
        let (one, other) = (lasting(90), lasting(180));
        let mut told = Told::default();
        assert_eq!(told.line(&one, one.until), Some(Line::Over));
        assert_eq!(told.line(&one, one.until - DAY * 20), None);
        assert_eq!(told.line(&one, one.until), None);
        assert_eq!(told.line(&other, one.until), None);
        assert_eq!(told.line(&other, other.until - DAY), Some(Line::Near));
    }

    #[test]
    fn the_next_look_is_at_the_next_step() {
        let validity = lasting(90);
        assert_eq!(next(&validity, validity.until - DAY * 2), Some(DAY));
        assert_eq!(next(&validity, validity.until - DAY), Some(DAY));
        assert_eq!(next(&validity, validity.until), None);
    }
}

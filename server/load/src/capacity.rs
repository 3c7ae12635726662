//! How many people a machine carries in rooms of one size: more and more rooms, until a room suffers, then between.
//!
//! Owns the search and the verdict on each step. The generator shares the machine with the server it measures, so what
//! it cannot offer is told apart from what the server cannot carry.

use std::fmt;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::{Options, Report, run};

/// What a participant must not notice. Higher: a larger number that means less.
const MAX_LOSS_PERCENT: f64 = 0.1;
const MAX_P99_DELAY_US: f64 = 5_000.0;
/// Of one core, on which all media runs. Higher: bursts are carried on nobody's time.
const MAX_SERVER_PERCENT: f64 = 85.0;
/// Beyond these the generator describes itself.
const MAX_GENERATOR_PERCENT: f64 = 80.0;
const MAX_GENERATOR_LATE_MS: f64 = 5.0;
/// Bound of the search, whatever it finds. Higher: a finer answer; each step takes its time again.
const MAX_STEPS: usize = 14;

/// What came first when more people came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Somebody could not join or did not hear everybody.
    Joins,
    Loss,
    Delay,
    ServerProcessor,
    /// The generator could not offer more: the server may carry more than was found.
    Generator,
    /// No more was allowed (`--no-limits`).
    Asked,
}

/// One size that was tried.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    pub participants: u32,
    /// What was too much; `None` when the rooms were well.
    pub limit: Option<Limit>,
    pub loss_percent: f64,
    pub p99_delay_us: Option<f64>,
    /// Of one core; only with `--server-pid`.
    pub server_percent: Option<f64>,
    pub generator_percent: f64,
}

/// The answer, with every step on the way to it.
#[derive(Clone, Debug, Serialize)]
pub struct Capacity {
    pub participants_per_room: u32,
    /// The most that were well.
    pub participants: u32,
    pub limited_by: Limit,
    pub steps: Vec<Step>,
}

/// Tries sizes until the answer is known; at most `most_rooms`.
///
/// # Errors
/// As [`run`].
pub async fn find_capacity(options: Options, most_rooms: u32) -> Result<Capacity> {
    let mut search = Search::new(most_rooms);
    let mut steps = Vec::new();
    while let Some(rooms) = search.next()
        && steps.len() < MAX_STEPS
    {
        let prefix = format!("{}-{}", options.room_prefix, steps.len());
        let step = Options { rooms, room_prefix: prefix, ..options.clone() };
        let report = run(step).await.with_context(|| format!("trying {rooms} rooms"))?;
        let step = Step::judge(rooms * options.participants, &report);
        search.learn(rooms, step.limit);
        steps.push(step);
    }
    Ok(Capacity {
        participants_per_room: options.participants,
        participants: search.carried * options.participants,
        limited_by: search.refused.map_or(Limit::Asked, |(_, limit)| limit),
        steps,
    })
}

impl Capacity {
    /// The table, or JSON.
    ///
    /// # Errors
    /// Never in practice: every field is a number or a list of them.
    pub fn render(&self, json: bool) -> Result<String> {
        Ok(if json { serde_json::to_string_pretty(self)? + "\n" } else { self.to_string() })
    }
}

impl Step {
    fn judge(participants: u32, report: &Report) -> Self {
        let mut step = Self {
            participants,
            limit: None,
            loss_percent: report.packets.loss_percent,
            p99_delay_us: report.delay.all.as_ref().map(|delay| delay.p99_us),
            server_percent: report.server.as_ref().map(|server| server.cpu_percent),
            generator_percent: report.generator.cpu_percent,
        };
        let people = &report.participants;
        let ill = if people.failed > 0 || people.tracks_heard < people.tracks_expected {
            Some(Limit::Joins)
        } else if step.loss_percent > MAX_LOSS_PERCENT {
            Some(Limit::Loss)
        } else if step.p99_delay_us.is_some_and(|delay| delay > MAX_P99_DELAY_US) {
            Some(Limit::Delay)
        } else {
            None
        };
        let server_full = step.server_percent.is_some_and(|percent| percent > MAX_SERVER_PERCENT);
        let generator_full = step.generator_percent > MAX_GENERATOR_PERCENT
            || report.generator.late_p99_ms > MAX_GENERATOR_LATE_MS;
        // What a full processor causes is named after it; the generator's own fault is never the server's.
        step.limit = match ill {
            _ if server_full => Some(Limit::ServerProcessor),
            _ if generator_full => Some(Limit::Generator),
            ill => ill,
        };
        step
    }
}

/// Doubles until something is too much, then halves the gap.
struct Search {
    most: u32,
    carried: u32,
    refused: Option<(u32, Limit)>,
}

impl Search {
    fn new(most: u32) -> Self {
        Self { most, carried: 0, refused: None }
    }

    fn next(&self) -> Option<u32> {
        match self.refused {
            None if self.carried >= self.most => None,
            None => Some((self.carried * 2).clamp(1, self.most)),
            Some((refused, _)) => {
                let gap = refused - self.carried;
                // An eighth is as exact as one short step can tell.
                (gap > (self.carried / 8).max(1)).then(|| self.carried + gap / 2)
            }
        }
    }

    fn learn(&mut self, rooms: u32, limit: Option<Limit>) {
        match limit {
            Some(limit) => self.refused = Some((rooms, limit)),
            None => self.carried = self.carried.max(rooms),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Joins => "joins",
            Self::Loss => "loss",
            Self::Delay => "delay",
            Self::ServerProcessor => "the server's processor",
            Self::Generator => "the generator",
            Self::Asked => "--no-limits",
        })
    }
}

impl fmt::Display for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "people    loss %   p99 delay ms   server %   generator %   too much")?;
        for step in &self.steps {
            let number =
                |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
            writeln!(
                f,
                "{:>6} {:>9.3} {:>14} {:>10} {:>13.1}   {}",
                step.participants,
                step.loss_percent,
                number(step.p99_delay_us.map(|us| us / 1e3)),
                number(step.server_percent),
                step.generator_percent,
                step.limit.map(|limit| limit.to_string()).unwrap_or_default(),
            )?;
        }
        let (people, size) = (self.participants, self.participants_per_room);
        match self.limited_by {
            Limit::Generator => writeln!(
                f,
                "This machine carries at least {people} people in rooms of {size}; the generator, which shares it, could \
                 not make more."
            ),
            Limit::Asked => {
                writeln!(
                    f,
                    "This machine carries at least {people} people in rooms of {size}; more were not tried."
                )
            }
            limit => writeln!(
                f,
                "This machine carries about {people} people in rooms of {size}; beyond that it was {limit}."
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rooms tried, in order, on a machine that carries `carries`.
    fn tried(most: u32, carries: u32) -> (Vec<u32>, Search) {
        let mut search = Search::new(most);
        let mut tried = Vec::new();
        while let Some(rooms) = search.next() {
            tried.push(rooms);
            assert!(tried.len() <= MAX_STEPS, "{tried:?}");
            search.learn(rooms, (rooms > carries).then_some(Limit::Loss));
        }
        (tried, search)
    }

    #[test]
    fn the_search_doubles_then_closes_in() {
        let (steps, search) = tried(20, 11);
        assert_eq!(steps, [1, 2, 4, 8, 16, 12, 10, 11]);
        assert_eq!((search.carried, search.refused), (11, Some((12, Limit::Loss))));
    }

    #[test]
    fn it_ends_at_the_most_that_is_allowed_and_where_nothing_works() {
        assert_eq!(tried(20, 100).0, [1, 2, 4, 8, 16, 20]);
        let (steps, search) = tried(20, 0);
        assert_eq!((steps, search.carried), (vec![1], 0));
        assert_eq!(tried(1, 100).0, [1]);
        for carries in 0..=400 {
            let (_, search) = tried(400, carries);
            assert!(search.carried <= carries && carries - search.carried <= (carries / 8).max(1));
        }
    }
}

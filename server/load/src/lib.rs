//! Load generator: rooms of independent LiveKit-protocol clients that publish, subscribe, and measure what a server does
//! to their packets.
//!
//! Owns: the clients (signalling in `join`, media in `client`), real packet shapes (`media`), and the counting at the
//! receivers (`measure`). Must never know: anything of the server but its address, its key and, for processor time and
//! memory, its pid. It never imports the server's media plane; a figure that both ends got from one piece of code would
//! prove nothing.
//!
//! Everything runs on one thread, so that a run can be pinned to one core beside the server's.

mod capacity;
mod client;
mod clock;
mod dtls;
mod feedback;
mod ice;
#[cfg(test)]
mod interop;
mod join;
mod measure;
mod media;
mod participant;
mod process;
mod report;
mod run;
mod sdp;
mod slices;
mod socket;

use std::time::Duration;

use anyhow::{Context as _, Error, Result, bail, ensure};

pub use capacity::{Capacity, find_capacity};
pub use report::Report;
pub use run::run;

/// Participants over all rooms, unless `--no-limits` says otherwise.
const MAX_PARTICIPANTS: u32 = 200;
/// Most rooms that the search for a machine's capacity tries with `--no-limits`.
const MAX_ROOMS: u32 = 500;
/// Length of a measurement, and of each step of a search.
const DURATION: Duration = Duration::from_secs(20);
const STEP_DURATION: Duration = Duration::from_secs(5);
/// Length of a measurement, unless `--no-limits` says otherwise.
const MAX_DURATION: Duration = Duration::from_secs(600);

/// Command line of `enza load`.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The server's plain address
    #[arg(long, default_value = "http://127.0.0.1:7880")]
    pub url: String,
    /// Key the server knows
    #[arg(long, env = "ENZA_API_KEY")]
    pub api_key: String,
    /// Secret of that key
    #[arg(long, env = "ENZA_API_SECRET", hide_env_values = true)]
    pub api_secret: String,
    /// How many rooms
    #[arg(long, default_value_t = 1)]
    pub rooms: u32,
    /// Participants in each room
    #[arg(long, default_value_t = 10)]
    pub participants: u32,
    /// How many of a room's participants publish [default: all]
    #[arg(long)]
    pub publishers: Option<u32>,
    /// Video of each publisher; 0 for none
    #[arg(long, default_value_t = 600)]
    pub video_kbps: u32,
    /// Video frames per second
    #[arg(long, default_value_t = 25)]
    pub fps: u32,
    /// Seconds between key frames nobody asked for
    #[arg(long, default_value_t = 10)]
    pub key_frame_every: u64,
    /// Opus of each publisher: on or off
    #[arg(long, default_value = "on", action = clap::ArgAction::Set, value_parser = clap::builder::BoolishValueParser::new())]
    pub audio: bool,
    /// How long to measure once everybody is in: 20s, 5m [default: 20s, with --find-capacity 5s each time]
    #[arg(long, value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// Also count each part of this length alone, in the JSON: what happens to the rooms while something else goes on
    #[arg(long, value_parser = parse_duration, requires = "json", conflicts_with = "find_capacity")]
    pub slice: Option<Duration>,
    /// Joins per second
    #[arg(long, default_value_t = 10.0)]
    pub join_rate: f64,
    /// Process whose processor time and memory are measured (on this machine)
    #[arg(long)]
    pub server_pid: Option<u32>,
    /// Try more and more rooms, and say how many people the machine carries
    #[arg(long, conflicts_with = "rooms")]
    pub find_capacity: bool,
    /// First part of the room names
    #[arg(long, default_value = "load")]
    pub room_prefix: String,
    /// Allow more than 200 participants or 10 minutes
    #[arg(long)]
    pub no_limits: bool,
    /// Print JSON in place of a table
    #[arg(long)]
    pub json: bool,
}

/// A checked run.
#[derive(Clone, Debug)]
pub struct Options {
    /// `http://` or `ws://` address of the server.
    pub url: String,
    pub api_key: String,
    pub api_secret: String,
    pub rooms: u32,
    /// Per room.
    pub participants: u32,
    /// Per room; at most `participants`.
    pub publishers: u32,
    /// RTP payload of one video track; 0 for none.
    pub video_kbps: u32,
    pub fps: u32,
    pub key_frame_every: Duration,
    pub audio: bool,
    pub duration: Duration,
    /// Length of the parts that are counted alone.
    pub slice: Option<Duration>,
    /// Joins per second.
    pub join_rate: f64,
    pub server_pid: Option<u32>,
    pub room_prefix: String,
    /// Of a search for the machine's capacity: the most rooms to try.
    pub most_rooms: Option<u32>,
}

impl TryFrom<Arguments> for Options {
    type Error = Error;

    /// # Errors
    /// Says which argument is out of its bounds.
    fn try_from(arguments: Arguments) -> Result<Self> {
        let publishers = arguments.publishers.unwrap_or(arguments.participants);
        let total = arguments.rooms.checked_mul(arguments.participants).context("too many participants")?;
        ensure!(arguments.rooms >= 1 && arguments.participants >= 2, "a room needs at least 2 participants");
        ensure!(
            (1..=arguments.participants).contains(&publishers),
            "--publishers must be 1 to --participants"
        );
        ensure!(
            arguments.audio || arguments.video_kbps > 0,
            "nothing to send: --audio off and --video-kbps 0"
        );
        ensure!(arguments.video_kbps <= 20_000, "--video-kbps must be at most 20000");
        ensure!((1..=120).contains(&arguments.fps), "--fps must be 1 to 120");
        let duration =
            arguments.duration.unwrap_or(if arguments.find_capacity { STEP_DURATION } else { DURATION });
        let most_rooms =
            if arguments.no_limits { MAX_ROOMS } else { MAX_PARTICIPANTS / arguments.participants };
        ensure!(duration >= Duration::from_secs(1), "--duration must be at least 1s");
        if let Some(slice) = arguments.slice {
            let most = slice.saturating_mul(u32::try_from(slices::MAX_SLICES).unwrap_or(u32::MAX));
            ensure!(
                !slice.is_zero() && most >= duration,
                "--slice must be 1s or longer, and --duration at most 1000 of it"
            );
        }
        ensure!((0.1..=1_000.0).contains(&arguments.join_rate), "--join-rate must be 0.1 to 1000");
        if !arguments.no_limits {
            ensure!(
                total <= MAX_PARTICIPANTS,
                "{total} participants are more than {MAX_PARTICIPANTS}; --no-limits allows them"
            );
            ensure!(duration <= MAX_DURATION, "--duration is over 10 minutes; --no-limits allows it");
        }
        Ok(Self {
            url: arguments.url,
            api_key: arguments.api_key,
            api_secret: arguments.api_secret,
            rooms: arguments.rooms,
            participants: arguments.participants,
            publishers,
            video_kbps: arguments.video_kbps,
            fps: arguments.fps,
            key_frame_every: Duration::from_secs(arguments.key_frame_every),
            audio: arguments.audio,
            duration,
            slice: arguments.slice,
            join_rate: arguments.join_rate,
            server_pid: arguments.server_pid,
            room_prefix: arguments.room_prefix,
            most_rooms: arguments.find_capacity.then_some(most_rooms),
        })
    }
}

fn parse_duration(text: &str) -> Result<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number: u64 = number.parse().with_context(|| format!("{text} is not a time like 20s or 5m"))?;
    match unit {
        "s" | "" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        _ => bail!("{text} is not a time like 20s or 5m"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        load: Arguments,
    }

    fn parse(arguments: &[&str]) -> Result<Options> {
        let all = ["load", "--api-key", "k", "--api-secret", "s"].iter().chain(arguments);
        Command::try_parse_from(all)?.load.try_into()
    }

    #[test]
    fn the_default_is_one_room_of_ten_with_opus_and_600_kbps() {
        let options = parse(&[]).unwrap();
        assert_eq!((options.rooms, options.participants, options.publishers), (1, 10, 10));
        assert_eq!((options.video_kbps, options.fps, options.audio), (600, 25, true));
        assert_eq!((options.duration, options.most_rooms), (Duration::from_secs(20), None));
    }

    #[test]
    fn a_run_is_bounded_unless_told_otherwise() {
        assert!(parse(&["--rooms", "21"]).unwrap_err().to_string().contains("--no-limits"));
        assert!(parse(&["--duration", "11m"]).unwrap_err().to_string().contains("--no-limits"));
        assert!(parse(&["--rooms", "21", "--duration", "11m", "--no-limits"]).is_ok());
        assert!(parse(&["--rooms", "4294967295"]).is_err());
    }

    #[test]
    fn a_search_has_short_steps_and_the_same_bounds() {
        let options = parse(&["--find-capacity"]).unwrap();
        assert_eq!((options.most_rooms, options.duration), (Some(20), Duration::from_secs(5)));
        assert_eq!(parse(&["--find-capacity", "--no-limits"]).unwrap().most_rooms, Some(MAX_ROOMS));
        assert!(parse(&["--find-capacity", "--participants", "201"]).is_err());
        assert!(parse(&["--find-capacity", "--rooms", "2"]).is_err());
    }

    #[test]
    fn contradictions_are_refused_with_a_sentence() {
        for wrong in [
            &["--participants", "1"][..],
            &["--publishers", "11"],
            &["--audio", "off", "--video-kbps", "0"],
            &["--fps", "0"],
            &["--duration", "20h"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(!parse(&["--audio", "off"]).unwrap().audio);
        assert!(parse(&["--slice", "0", "--json"]).is_err() && parse(&["--slice", "1s"]).is_err());
        assert_eq!(parse(&["--slice", "1s", "--json"]).unwrap().slice, Some(Duration::from_secs(1)));
    }
}

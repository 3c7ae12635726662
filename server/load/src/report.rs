//! What a run found, as a table for people and as JSON for programs.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::Options;
use crate::measure::{Histogram, Irregular};
use crate::media::Kind;
use crate::participant::{Outcome, Progress};
use crate::process::{CpuTime, SocketDrops};
use crate::slices::Slice;

/// Failures spelled out; the rest is only counted.
const MAX_FAILURES: usize = 5;

/// What was read from the system around the window.
pub(crate) struct Observed {
    /// Time between the readings of processor time.
    pub measured: Duration,
    pub generator: CpuTime,
    pub server: Option<ServerObserved>,
    pub drops: SocketDrops,
    /// The window's beginning, since 1970.
    pub begun_unix: Duration,
    pub slices: Vec<Slice>,
}

pub(crate) struct ServerObserved {
    pub cpu: CpuTime,
    pub idle_kb: u64,
    pub loaded_kb: u64,
    pub left_kb: u64,
}

/// Figures of one run. Packets are those *sent* within the window.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub load: Load,
    pub participants: Participants,
    pub join: Join,
    pub packets: Packets,
    pub irregular: Irregularities,
    pub delay: Delay,
    pub rate: Rate,
    /// Only with `--server-pid`.
    pub server: Option<Server>,
    pub generator: Generator,
    /// Only with `--slice`.
    pub slices: Vec<Slice>,
}

/// What was asked for.
#[derive(Clone, Debug, Serialize)]
pub struct Load {
    pub rooms: u32,
    pub participants_per_room: u32,
    pub publishers_per_room: u32,
    pub video_kbps: u32,
    pub fps: u32,
    pub audio: bool,
    pub duration_s: f64,
    /// Seconds since 1970 at which the window began.
    pub begun_unix_s: f64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Participants {
    pub started: usize,
    pub failed: usize,
    /// The first few reasons.
    pub failures: Vec<String>,
    /// Tracks that should have been heard, summed over receivers, and those that were.
    pub tracks_expected: usize,
    pub tracks_heard: usize,
    /// Participants by SRTP protection profile.
    pub srtp_profiles: BTreeMap<String, usize>,
}

/// Milliseconds from opening the WebSocket.
#[derive(Clone, Debug, Serialize)]
pub struct Join {
    /// To the join answer.
    pub signalled: Option<Spread>,
    /// To the end of the DTLS handshake.
    pub connected: Option<Spread>,
    /// To the first media packet, where somebody else in the room was already sending.
    pub first_packet: Option<Spread>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Spread {
    pub samples: usize,
    pub p50_ms: f64,
    pub p95_ms: f64,
    pub max_ms: f64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Packets {
    pub sent: u64,
    /// Sent, times the receivers each should have reached.
    pub expected: u64,
    pub received: u64,
    pub lost: u64,
    pub loss_percent: f64,
    /// Of the sender and receiver with the most loss.
    pub worst_pair_loss_percent: f64,
    /// Dropped by the kernel at the generator's sockets, on the way out or in: loss that is not the server's.
    pub dropped_at_generator: u64,
    /// Dropped by the kernel at the server's socket, if that is on this machine.
    pub dropped_at_server: u64,
}

/// All of these are 0 on a clean path, except `foreign`, `key_frame_requests` and `other_payload`.
#[derive(Clone, Debug, Serialize)]
pub struct Irregularities {
    pub reordered: u64,
    pub duplicates: u64,
    pub corrupt: u64,
    pub leaked: u64,
    pub sequence_breaks: u64,
    pub timestamp_breaks: u64,
    pub replayed: u64,
    pub unauthentic: u64,
    /// Sequence numbers the server asked its senders for again.
    pub nacked: u64,
    pub foreign: u64,
    pub other_payload: u64,
    pub key_frame_requests: u64,
}

/// Microseconds from just before the sender's system call to the kernel's receive time at the receiver.
#[derive(Clone, Debug, Serialize)]
pub struct Delay {
    pub audio: Option<Percentiles>,
    pub video: Option<Percentiles>,
    pub all: Option<Percentiles>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Percentiles {
    pub p50_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub max_us: f64,
}

/// RTP payload, and packets per second.
#[derive(Clone, Debug, Serialize)]
pub struct Rate {
    pub sent_mbps: f64,
    pub received_mbps: f64,
    pub sent_pps: f64,
    pub received_pps: f64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Server {
    /// Of one core.
    pub cpu_percent: f64,
    pub user_percent: f64,
    pub system_percent: f64,
    /// Processor time by packets received at the clients.
    pub ns_per_packet: f64,
    pub user_ns_per_packet: f64,
    pub system_ns_per_packet: f64,
    pub rss_idle_kb: u64,
    pub rss_loaded_kb: u64,
    /// Two seconds after everybody left.
    pub rss_left_kb: u64,
}

/// Whether the generator itself was up to it.
#[derive(Clone, Debug, Serialize)]
pub struct Generator {
    /// Of one core; above 70 the figures describe the generator.
    pub cpu_percent: f64,
    /// Sent after its due time.
    pub late_p50_ms: f64,
    pub late_p99_ms: f64,
}

impl Options {
    pub(crate) fn tracks_per_publisher(&self) -> usize {
        usize::from(self.audio) + usize::from(self.video_kbps > 0)
    }
}

impl Report {
    pub(crate) fn new(
        options: &Options,
        outcomes: &[Outcome],
        progress: &[Rc<Progress>],
        observed: &Observed,
    ) -> Result<Self> {
        let failures: Vec<String> = outcomes
            .iter()
            .filter_map(|outcome| Some(format!("participant {}: {}", outcome.index, outcome.error.as_ref()?)))
            .collect();
        ensure!(failures.len() < outcomes.len(), "nobody could stay: {}", failures.first().map_or("", |f| f));
        let packets = Packets::count(options, outcomes, observed.drops);
        let seconds = options.duration.as_secs_f64();
        let mbps = |bytes: u64| bytes as f64 * 8.0 / seconds / 1e6;
        let sent_bytes = outcomes.iter().map(|o| o.audio.payload_bytes + o.video.payload_bytes).sum();
        let received_bytes = outcomes.iter().map(|o| o.meter.payload_bytes).sum();
        let mut late = Histogram::default();
        outcomes.iter().for_each(|outcome| late.merge(&outcome.late));
        let late_ms = |fraction| late.percentile(fraction).unwrap_or(0) as f64 / 1e6;
        Ok(Self {
            load: Load {
                rooms: options.rooms,
                participants_per_room: options.participants,
                publishers_per_room: options.publishers,
                video_kbps: options.video_kbps,
                fps: options.fps,
                audio: options.audio,
                duration_s: seconds,
                begun_unix_s: observed.begun_unix.as_secs_f64(),
            },
            participants: Participants::count(options, outcomes, failures),
            join: Join::measure(options, outcomes, progress),
            irregular: Irregularities::sum(outcomes),
            delay: Delay::merge(outcomes),
            rate: Rate {
                sent_mbps: mbps(sent_bytes),
                received_mbps: mbps(received_bytes),
                sent_pps: packets.sent as f64 / seconds,
                received_pps: packets.received as f64 / seconds,
            },
            server: observed
                .server
                .as_ref()
                .map(|server| Server::new(server, packets.received as f64 / seconds, observed.measured)),
            generator: Generator {
                cpu_percent: observed.generator.total().as_secs_f64() / observed.measured.as_secs_f64()
                    * 100.0,
                late_p50_ms: late_ms(0.5),
                late_p99_ms: late_ms(0.99),
            },
            packets,
            slices: observed.slices.clone(),
        })
    }

    /// The table, or JSON.
    ///
    /// # Errors
    /// Never in practice: every field is a number, a text or a list of them.
    pub fn render(&self, json: bool) -> Result<String> {
        Ok(if json { serde_json::to_string_pretty(self)? + "\n" } else { self.to_string() })
    }
}

impl Participants {
    fn count(options: &Options, outcomes: &[Outcome], mut failures: Vec<String>) -> Self {
        let failed = failures.len();
        failures.truncate(MAX_FAILURES);
        let mut srtp_profiles = BTreeMap::new();
        for profile in outcomes.iter().filter_map(|outcome| outcome.profile) {
            *srtp_profiles.entry(profile.to_owned()).or_insert(0) += 1;
        }
        let tracks_expected = outcomes
            .iter()
            .map(|outcome| {
                let publishes = outcome.index % options.participants < options.publishers;
                (options.publishers as usize - usize::from(publishes)) * options.tracks_per_publisher()
            })
            .sum();
        let tracks_heard = outcomes.iter().map(|outcome| outcome.meter.tracks()).sum();
        Self { started: outcomes.len(), failed, failures, tracks_expected, tracks_heard, srtp_profiles }
    }
}

impl Join {
    fn measure(options: &Options, outcomes: &[Outcome], progress: &[Rc<Progress>]) -> Self {
        let since = |outcome: &Outcome, at_ns: u64| {
            (at_ns > 0).then(|| at_ns.saturating_sub(outcome.started_ns) as f64 / 1e6)
        };
        let all = || outcomes.iter().zip(progress);
        let somebody_sent_before = |outcome: &Outcome| {
            all().any(|(other, progress)| {
                other.index != outcome.index
                    && other.index / options.participants == outcome.index / options.participants
                    && (1..=outcome.started_ns).contains(&progress.sending_ns.get())
            })
        };
        let first_packets = outcomes
            .iter()
            .filter(|outcome| somebody_sent_before(outcome))
            .filter_map(|outcome| since(outcome, outcome.meter.first_arrival_ns()?));
        Self {
            signalled: Spread::of(all().filter_map(|(o, p)| since(o, p.signalled_ns.get())).collect()),
            connected: Spread::of(all().filter_map(|(o, p)| since(o, p.connected_ns.get())).collect()),
            first_packet: Spread::of(first_packets.collect()),
        }
    }
}

impl Spread {
    fn of(mut samples: Vec<f64>) -> Option<Self> {
        samples.sort_by(f64::total_cmp);
        let rank = |fraction: f64| {
            let rank = (samples.len() as f64 * fraction).ceil() as usize;
            samples.get(rank.max(1) - 1).copied()
        };
        Some(Self { samples: samples.len(), p50_ms: rank(0.5)?, p95_ms: rank(0.95)?, max_ms: rank(1.0)? })
    }
}

impl Packets {
    fn count(options: &Options, outcomes: &[Outcome], drops: SocketDrops) -> Self {
        let sent = outcomes.iter().map(|outcome| outcome.audio.packets + outcome.video.packets).sum();
        let (mut expected, mut received, mut worst) = (0, 0, 0.0_f64);
        for room in outcomes.chunks(options.participants as usize) {
            for receiver in room.iter().filter(|receiver| receiver.error.is_none()) {
                for sender in room.iter().filter(|sender| sender.index != receiver.index) {
                    let pair_expected = sender.audio.packets + sender.video.packets;
                    let pair_received = receiver.meter.received(sender.index, Kind::Audio)
                        + receiver.meter.received(sender.index, Kind::Video);
                    expected += pair_expected;
                    received += pair_received;
                    worst = worst.max(loss_percent(pair_expected, pair_received));
                }
            }
        }
        Self {
            sent,
            expected,
            received,
            lost: expected.saturating_sub(received),
            loss_percent: loss_percent(expected, received),
            worst_pair_loss_percent: worst,
            dropped_at_generator: drops.generator
                + outcomes.iter().map(|outcome| outcome.unsent).sum::<u64>(),
            dropped_at_server: drops.server,
        }
    }
}

fn loss_percent(expected: u64, received: u64) -> f64 {
    if expected == 0 { 0.0 } else { expected.saturating_sub(received) as f64 / expected as f64 * 100.0 }
}

impl Irregularities {
    fn sum(outcomes: &[Outcome]) -> Self {
        let mut irregular = Irregular::default();
        outcomes.iter().for_each(|outcome| irregular += outcome.meter.irregular);
        let transport = |count: fn(&Outcome) -> u64| outcomes.iter().map(count).sum();
        let Irregular { reordered, duplicates, corrupt, leaked, sequence_breaks, timestamp_breaks, foreign } =
            irregular;
        Self {
            reordered,
            duplicates,
            corrupt,
            leaked,
            sequence_breaks,
            timestamp_breaks,
            foreign,
            replayed: transport(|outcome| outcome.transport.replayed),
            unauthentic: transport(|outcome| outcome.transport.unauthentic),
            nacked: transport(|outcome| outcome.transport.nacked),
            other_payload: transport(|outcome| outcome.transport.other_payload),
            key_frame_requests: transport(|outcome| outcome.transport.key_frame_requests),
        }
    }
}

impl Delay {
    fn merge(outcomes: &[Outcome]) -> Self {
        let (mut audio, mut video) = (Histogram::default(), Histogram::default());
        for outcome in outcomes {
            audio.merge(&outcome.meter.audio_delay);
            video.merge(&outcome.meter.video_delay);
        }
        let mut all = audio.clone();
        all.merge(&video);
        Self { audio: Percentiles::of(&audio), video: Percentiles::of(&video), all: Percentiles::of(&all) }
    }
}

impl Percentiles {
    pub(crate) fn of(histogram: &Histogram) -> Option<Self> {
        let us = |fraction| Some(histogram.percentile(fraction)? as f64 / 1e3);
        Some(Self {
            p50_us: us(0.5)?,
            p99_us: us(0.99)?,
            p999_us: us(0.999)?,
            max_us: histogram.max() as f64 / 1e3,
        })
    }
}

impl Server {
    /// Processor time was read over `measured`, which on a busy machine is not exactly the window of the packets; so both
    /// are taken as rates.
    fn new(observed: &ServerObserved, received_pps: f64, measured: Duration) -> Self {
        let share = |time: Duration| time.as_secs_f64() / measured.as_secs_f64();
        let percent = |time: Duration| share(time) * 100.0;
        let per_packet = |time: Duration| share(time) * 1e9 / received_pps.max(1.0);
        let cpu = observed.cpu;
        Self {
            cpu_percent: percent(cpu.total()),
            user_percent: percent(cpu.user),
            system_percent: percent(cpu.system),
            ns_per_packet: per_packet(cpu.total()),
            user_ns_per_packet: per_packet(cpu.user),
            system_ns_per_packet: per_packet(cpu.system),
            rss_idle_kb: observed.idle_kb,
            rss_loaded_kb: observed.loaded_kb,
            rss_left_kb: observed.left_kb,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { load, participants, packets, irregular, rate, generator, .. } = self;
        writeln!(
            f,
            "load        {} × {} participants, {} publish {}{} for {:.1} s",
            load.rooms,
            load.participants_per_room,
            load.publishers_per_room,
            if load.audio { "Opus" } else { "no audio" },
            if load.video_kbps > 0 {
                format!(" + {} kbit/s at {} fps", load.video_kbps, load.fps)
            } else {
                String::new()
            },
            load.duration_s,
        )?;
        let profiles: Vec<String> =
            participants.srtp_profiles.iter().map(|(name, count)| format!("{count} × {name}")).collect();
        writeln!(
            f,
            "joined      {} of {}, tracks {} of {}, {}",
            participants.started - participants.failed,
            participants.started,
            participants.tracks_heard,
            participants.tracks_expected,
            profiles.join(", ")
        )?;
        for failure in &participants.failures {
            writeln!(f, "  failed    {failure}")?;
        }
        let spread = |spread: &Option<Spread>| match spread {
            Some(s) => format!("{:.1} / {:.1} / {:.1}", s.p50_ms, s.p95_ms, s.max_ms),
            None => "-".to_owned(),
        };
        writeln!(
            f,
            "join ms     signalled {}, connected {}, first packet {} (p50 / p95 / max)",
            spread(&self.join.signalled),
            spread(&self.join.connected),
            spread(&self.join.first_packet)
        )?;
        writeln!(
            f,
            "packets     sent {}, expected {}, received {}, lost {} ({:.4} %, worst pair {:.4} %)",
            packets.sent,
            packets.expected,
            packets.received,
            packets.lost,
            packets.loss_percent,
            packets.worst_pair_loss_percent
        )?;
        writeln!(
            f,
            "dropped     at the server's socket {}, at the generator's {}",
            packets.dropped_at_server, packets.dropped_at_generator
        )?;
        writeln!(
            f,
            "irregular   reordered {}, duplicates {}, corrupt {}, leaked {}, sequence {}, timestamp {}, replayed {}, \
             unauthentic {}, nacked {}",
            irregular.reordered,
            irregular.duplicates,
            irregular.corrupt,
            irregular.leaked,
            irregular.sequence_breaks,
            irregular.timestamp_breaks,
            irregular.replayed,
            irregular.unauthentic,
            irregular.nacked
        )?;
        writeln!(
            f,
            "also        server's own packets {}, other payload types {}, key frame requests {}",
            irregular.foreign, irregular.other_payload, irregular.key_frame_requests
        )?;
        for (name, percentiles) in
            [("audio", &self.delay.audio), ("video", &self.delay.video), ("all", &self.delay.all)]
        {
            let Some(p) = percentiles else { continue };
            writeln!(
                f,
                "delay µs    {name:<5} p50 {:.0}, p99 {:.0}, p99.9 {:.0}, max {:.0}",
                p.p50_us, p.p99_us, p.p999_us, p.max_us
            )?;
        }
        writeln!(
            f,
            "rate        in {:.2} Mbit/s, {:.0} packets/s; out {:.2} Mbit/s, {:.0} packets/s",
            rate.sent_mbps, rate.sent_pps, rate.received_mbps, rate.received_pps
        )?;
        if let Some(server) = &self.server {
            writeln!(
                f,
                "server CPU  {:.1} % of a core (user {:.1}, system {:.1}); per forwarded packet {:.0} ns (user {:.0}, \
                 system {:.0})",
                server.cpu_percent,
                server.user_percent,
                server.system_percent,
                server.ns_per_packet,
                server.user_ns_per_packet,
                server.system_ns_per_packet
            )?;
            writeln!(
                f,
                "server RSS  idle {} kB, loaded {} kB, after {} kB",
                server.rss_idle_kb, server.rss_loaded_kb, server.rss_left_kb
            )?;
        }
        writeln!(
            f,
            "generator   {:.1} % of a core, sent late by p50 {:.2} ms, p99 {:.2} ms",
            generator.cpu_percent, generator.late_p50_ms, generator.late_p99_ms
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_use_the_nearest_rank() {
        let spread = Spread::of((1..=20).rev().map(f64::from).collect()).unwrap();
        assert_eq!((spread.samples, spread.p50_ms, spread.p95_ms, spread.max_ms), (20, 10.0, 19.0, 20.0));
        assert!(Spread::of(Vec::new()).is_none());
    }

    #[test]
    fn loss_without_expectation_is_none() {
        assert_eq!(loss_percent(0, 0), 0.0);
        assert_eq!(loss_percent(200, 199), 0.5);
    }
}

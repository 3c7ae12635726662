//! A run from the first join to the last leave.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::{Instant, sleep, sleep_until};

use crate::Options;
use crate::clock::Clock;
use crate::dtls::Identity;
use crate::measure::Window;
use crate::participant::{self, Outcome, Phase, Progress, Shared};
use crate::process::{CpuTime, SocketDrops, resident_kb};
use crate::report::{Observed, Report, ServerObserved};
use crate::slices::Slices;
use crate::socket::Batch;

/// After the last join was begun, for every track to be heard by everybody; what is missing then counts as lost.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
const READY_POLL: Duration = Duration::from_millis(20);
/// Between the last track heard and the window: joins and key frame requests have calmed down.
const SETTLE: Duration = Duration::from_secs(2);
/// Ahead of the window, for every participant to hear of it.
const ANNOUNCE: Duration = Duration::from_millis(100);
/// After the window, for packets still on their way.
const DRAIN: Duration = Duration::from_millis(500);
/// After everybody left, before memory is read again.
const AFTERMATH: Duration = Duration::from_secs(2);

/// Joins, measures, leaves.
///
/// # Errors
/// Nobody could join, or the process to measure does not exist. A participant that fails is part of the report.
pub async fn run(options: Options) -> Result<Report> {
    let (done, report) = oneshot::channel();
    std::thread::Builder::new().name("load".to_owned()).spawn(move || {
        let result = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("starting the generator's thread")
            .and_then(|runtime| LocalSet::new().block_on(&runtime, conduct(options)));
        // Nobody waits for a report any more when the receiver is gone.
        let _ = done.send(result);
    })?;
    report.await.context("the generator's thread ended early")?
}

struct Seat {
    progress: Rc<Progress>,
    task: JoinHandle<Outcome>,
}

async fn conduct(mut options: Options) -> Result<Report> {
    let own_pid = std::process::id();
    let idle_kb = options.server_pid.map(resident_kb).transpose()?;
    let shared = Rc::new(Shared {
        clock: Clock::start(),
        identity: Identity::generate()?,
        batch: RefCell::new(Batch::new()),
        slices: RefCell::new(Slices::new(options.slice.unwrap_or_default().as_nanos() as u64)),
        options: options.clone(),
    });
    let (phases, phase) = watch::channel(Phase::Joining);
    let seats = seat_everybody(&shared, &phase).await;
    await_tracks(&options, &seats).await;
    sleep(SETTLE).await;

    let now_ns = shared.clock.now_ns();
    let (from, to) = (Instant::now() + ANNOUNCE, Instant::now() + ANNOUNCE + options.duration);
    let from_ns = now_ns + ANNOUNCE.as_nanos() as u64;
    let window = Window { from_ns, to_ns: from_ns + options.duration.as_nanos() as u64 };
    shared.slices.borrow_mut().open(window);
    let begun_unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + ANNOUNCE;
    phases.send_replace(Phase::Measuring(window));
    sleep_until(from).await;
    let ports = Ports::of(&options, &seats);
    let drops = ports.drops();
    let own_before = CpuTime::read(own_pid)?;
    let server_before = options.server_pid.map(CpuTime::read).transpose()?;
    let measured_from = std::time::Instant::now();
    // A search has many windows; whoever ends it ends the program.
    if options.most_rooms.is_some() {
        sleep_until(to).await;
    } else if let Some(sooner) = cut_short(to, &shared.clock).await {
        phases.send_replace(Phase::Measuring(Window { to_ns: sooner, ..window }));
        options.duration = Duration::from_nanos(sooner.saturating_sub(from_ns));
        sleep(ANNOUNCE).await;
    }
    let server_after = options.server_pid.map(CpuTime::read).transpose()?;
    let own = CpuTime::read(own_pid)?.since(own_before);
    let measured = measured_from.elapsed();
    let loaded_kb = options.server_pid.map(resident_kb).transpose()?;
    sleep(DRAIN).await;
    let drops = ports.drops().since(drops);

    phases.send_replace(Phase::Leaving);
    let mut outcomes = Vec::with_capacity(seats.len());
    let mut progress = Vec::with_capacity(seats.len());
    for seat in seats {
        outcomes.push(seat.task.await.context("a participant's task was aborted")?);
        progress.push(seat.progress);
    }
    let server = match (options.server_pid, server_before, server_after, idle_kb, loaded_kb) {
        (Some(pid), Some(before), Some(after), Some(idle_kb), Some(loaded_kb)) => {
            sleep(AFTERMATH).await;
            let left_kb = resident_kb(pid)?;
            Some(ServerObserved { cpu: after.since(before), idle_kb, loaded_kb, left_kb })
        }
        _ => None,
    };
    let slices = shared.slices.borrow().report(u64::from(options.participants - 1));
    let observed = Observed { begun_unix, measured, generator: own, server, drops, slices };
    Report::new(&options, &outcomes, &progress, &observed)
}

/// Waits for the end of the window. Ctrl-C ends it sooner: then the run's time at which it is to be over.
async fn cut_short(to: Instant, clock: &Clock) -> Option<u64> {
    tokio::select! {
        () = sleep_until(to) => None,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.is_ok().then(|| clock.now_ns() + ANNOUNCE.as_nanos() as u64)
        }
    }
}

async fn seat_everybody(shared: &Rc<Shared>, phase: &watch::Receiver<Phase>) -> Vec<Seat> {
    let options = &shared.options;
    let begin = Instant::now();
    let mut seats = Vec::new();
    for index in 0..options.rooms * options.participants {
        sleep_until(begin + Duration::from_secs_f64(f64::from(index) / options.join_rate)).await;
        let progress = Rc::new(Progress::default());
        let task = tokio::task::spawn_local(participant::run(
            shared.clone(),
            index,
            progress.clone(),
            phase.clone(),
        ));
        seats.push(Seat { progress, task });
    }
    seats
}

/// Waits until everybody who has not failed hears every track of everybody else in the room.
async fn await_tracks(options: &Options, seats: &[Seat]) {
    let deadline = Instant::now() + READY_TIMEOUT;
    let room = options.participants as usize;
    loop {
        let ready = seats.chunks(room).all(|room| {
            let publishing = |seat: usize| {
                seat < options.publishers as usize
                    && room.get(seat).is_some_and(|seat| !seat.progress.over.get())
            };
            room.iter().enumerate().all(|(seat, this)| {
                let others = (0..room.len()).filter(|&other| other != seat && publishing(other)).count();
                this.progress.over.get()
                    || this.progress.tracks.get() >= others * options.tracks_per_publisher()
            })
        });
        if ready || Instant::now() >= deadline {
            return;
        }
        sleep(READY_POLL).await;
    }
}

/// UDP ports whose drops are looked up.
struct Ports {
    own: HashSet<u16>,
    server: HashSet<u16>,
}

impl Ports {
    fn of(options: &Options, seats: &[Seat]) -> Self {
        let host = options.url.split("://").last().unwrap_or_default().split('/').next().unwrap_or_default();
        let server = host.rsplit(':').next().and_then(|port| port.parse().ok());
        let own = seats.iter().map(|seat| seat.progress.port.get()).filter(|&port| port != 0);
        Self { own: own.collect(), server: server.into_iter().collect() }
    }

    fn drops(&self) -> SocketDrops {
        SocketDrops::read(&self.own, &self.server)
    }
}

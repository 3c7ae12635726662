//! How the server is, for the page of its operator (`/admin`): `GET /api/server/state`. Numbers of the whole server; of a
//! room its number in the log and how many people it holds. There is no title, name or address in it, and no way to a
//! room: whoever keeps the server need not know who meets, and others may see the screen.

use super::authority::operator;
use super::problem::ApiError;
use super::{App, Peer};
use crate::catalogue::Language;
use crate::config::{Config, Transport};
use crate::doctor::{Found, Room, Shown, Strain, Used, has_room_for_ten};
use crate::listen::Places;
use crate::logs;
use crate::media::kernel_has_gso;
use crate::metrics::{Process, Turned};
use crate::pace::Pace;
use crate::room::Question;
use crate::rooms::LIVEKIT_VERSION;
use crate::tls::{Showing, validity::Validity};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde::Serialize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

/// Rooms that are listed one by one, those with the smallest numbers. Higher: a longer answer, and more rooms that are asked;
/// lower: a busy server shows fewer of its rooms.
const ROOMS_LISTED: usize = 100;

/// Longest wait for all rooms together; who is late has no numbers. Higher: one stuck room delays the whole answer; lower: a
/// busy server answers with gaps.
const ROOMS_PATIENCE: Duration = Duration::from_secs(2);

/// What is looked at beside the rest of [`App`].
#[derive(Clone)]
pub(crate) struct Observed {
    pub(crate) port: u16,
    pub(crate) places: Places,
    pub(crate) pace: watch::Receiver<Pace>,
    pub(crate) certificate_from: Option<CertificateFrom>,
}

/// Where the certificate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CertificateFrom {
    /// An authority, asked by this server (ACME).
    Authority,
    /// Files that somebody else keeps.
    Files,
    /// Made by this server itself.
    Own,
}

impl CertificateFrom {
    /// `None` for a server that speaks HTTP.
    pub(crate) const fn of(config: &Config) -> Option<Self> {
        match config.transport {
            Transport::Plain => None,
            Transport::Development => Some(Self::Own),
            Transport::Files { .. } => Some(Self::Files),
            Transport::Domains(_) => Some(Self::Authority),
        }
    }
}

/// Times are milliseconds since 1970-01-01 UTC, amounts bytes.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ServerState {
    version: &'static str,
    /// Of LiveKit's server, whose protocol is spoken.
    livekit_version: &'static str,
    now: u64,
    begun_at: u64,
    /// People can come in, and what they do is kept.
    ready: bool,
    /// By what was found, ten more people can come.
    has_room_for_ten: bool,
    /// What is not well, the worst first.
    findings: Vec<FindingView>,
    people: u64,
    rooms: u64,
    /// At most 100, by their numbers.
    listed: Vec<RoomCount>,
    joins: Joins,
    media: MediaState,
    pace: PaceView,
    machine: Machine,
    connections: Connections,
    /// `null` for a server that speaks HTTP.
    certificate: Option<CertificateView>,
    log: LogLines,
}

/// What is not well and what to do, in the doctor's words.
#[derive(Serialize, ToSchema)]
struct FindingView {
    check: String,
    #[schema(pattern = "^(warn|bad)$")]
    verdict: &'static str,
    en: Said,
    ja: Said,
}

#[derive(Serialize, ToSchema)]
struct Said {
    what: String,
    #[serde(rename = "do")]
    todo: Option<String>,
}

/// A live room. Its number is the one by which the log names it, new at each opening.
#[derive(Serialize, ToSchema)]
struct RoomCount {
    number: u64,
    /// Inside, and before the door; `null` when the room did not answer in time.
    people: Option<usize>,
    waiting: Option<usize>,
}

/// Since the start.
#[derive(Serialize, ToSchema)]
struct Joins {
    joined: u64,
    /// People who were not let in, by reason; reasons that were never given are left out.
    refused: Vec<Tally>,
}

#[derive(Serialize, ToSchema)]
struct Tally {
    reason: &'static str,
    count: u64,
}

#[derive(Serialize, ToSchema)]
struct MediaState {
    /// Connections for sound and picture.
    peers: usize,
    /// Microphones, cameras and screens that are sent.
    tracks: usize,
    /// Tracks times the people who get them.
    subscriptions: usize,
    threads: Vec<ThreadView>,
    /// Several datagrams leave with one call of the system.
    gso: bool,
    /// RTP packets that people sent since the start, and those of them that did not come.
    expected: u64,
    lost: u64,
    /// Datagrams that found no place since the start.
    dropped: u64,
}

#[derive(Serialize, ToSchema)]
struct ThreadView {
    /// Share of the last second in which it did not wait, 0 to 1.
    load: f64,
    alive: bool,
}

/// Per second, over the last `seconds`: 5 to 10, and 0 before there was a first measurement.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PaceView {
    seconds: f64,
    /// Processors that the whole program kept busy.
    processors: f64,
    packets_in: f64,
    bytes_in: f64,
    packets_out: f64,
    bytes_out: f64,
}

/// `null` where the system does not tell.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Machine {
    processors: usize,
    /// Of this program.
    memory: Option<u64>,
    /// Of the machine, or below the limit of the container.
    memory_free: Option<u64>,
    open_files: Option<u64>,
    open_files_max: Option<u64>,
    /// Where the data folder is.
    disk_free: Option<u64>,
    disk: Option<u64>,
}

/// TCP connections, and sockets inside of HTTP/2.
#[derive(Serialize, ToSchema)]
struct Connections {
    now: usize,
    most: usize,
    /// Let go again since the start, by reason.
    refused: Vec<Tally>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CertificateView {
    from: CertificateFrom,
    /// Names and addresses that it is for; at most 32. All of these are empty or `null` while there is none yet.
    names: Vec<String>,
    begins_at: Option<u64>,
    ends_at: Option<u64>,
    /// When the server asks for the next one by itself; `null` where it does not.
    renews_at: Option<u64>,
}

/// Lines in the log since the start.
#[derive(Serialize, ToSchema)]
struct LogLines {
    warnings: u64,
    errors: u64,
}

/// `GET /api/server/state`.
#[utoipa::path(
    get,
    path = "/api/server/state",
    operation_id = "showState",
    tag = "server",
    summary = "How the server is: counts, load, certificate, disk, and what is not well",
    security(("operator" = [])),
    responses((status = 200, description = "How it is now.", body = ServerState)),
)]
pub(super) async fn show(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    operator(&app, peer, &headers).await?;
    let not_ready = app.readiness.now().await.err().map(|reason| reason.to_string());
    let data = app.data.clone();
    // Asks the disk and the kernel, which may take their time.
    let asked = tokio::task::spawn_blocking(move || (Room::of(&data), Process::now(), kernel_has_gso()));
    let (room, process, gso) = asked.await.map_err(|_| ApiError::Unavailable)?;
    let pace = *app.observed.pace.borrow();
    let (now, most) = app.observed.places.taken();
    let ready = not_ready.is_none();
    let validity = app.showing.as_ref().and_then(Showing::validity);
    let strain = Strain {
        port: app.observed.port,
        not_ready,
        certificate: app
            .showing
            .as_ref()
            .map(|_| validity.map_or(Shown::Nothing, |validity| Shown::Until(validity.until))),
        files: process.map(|process| Used { now: process.open_files, most: process.open_files_max }),
        connections: Used { now: now as u64, most: most as u64 },
        busy: pace.busiest,
        room,
    };
    let found = strain.findings();
    let (warnings, errors) = logs::complaints();
    let metrics = &app.metrics;
    let state = ServerState {
        version: env!("CARGO_PKG_VERSION"),
        livekit_version: LIVEKIT_VERSION,
        now: millis(SystemTime::now()),
        begun_at: millis(app.begun),
        ready,
        has_room_for_ten: has_room_for_ten(&found),
        findings: found.iter().map(said).collect(),
        people: metrics.participants(),
        rooms: metrics.rooms(),
        listed: listed(&app).await,
        joins: Joins {
            joined: metrics.joined(),
            refused: metrics
                .refusals()
                .filter(|(_, count)| *count > 0)
                .map(|(reason, count)| Tally { reason, count })
                .collect(),
        },
        media: media(&app, gso),
        pace: PaceView {
            seconds: pace.seconds,
            processors: pace.processors,
            packets_in: pace.packets_in,
            bytes_in: pace.bytes_in,
            packets_out: pace.packets_out,
            bytes_out: pace.bytes_out,
        },
        machine: Machine {
            processors: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory: process.map(|process| process.resident),
            memory_free: room.memory_free,
            open_files: process.map(|process| process.open_files),
            open_files_max: process.map(|process| process.open_files_max),
            disk_free: room.disk_free,
            disk: room.disk,
        },
        connections: Connections {
            now,
            most,
            refused: Turned::ALL
                .into_iter()
                .map(|why| Tally { reason: why.name(), count: metrics.turned(why) })
                .collect(),
        },
        certificate: certificate(&app, validity),
        log: LogLines { warnings, errors },
    };
    Ok(([(CACHE_CONTROL, "no-store")], Json(state)).into_response())
}

fn millis(at: SystemTime) -> u64 {
    u64::try_from(at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

fn said(found: &Found) -> FindingView {
    let of = |language: Language| {
        let (what, todo) = language.finding(found);
        Said { what, todo }
    };
    FindingView {
        check: found.check().to_string(),
        verdict: found.verdict().name(),
        en: of(Language::English),
        ja: of(Language::Japanese),
    }
}

async fn listed(app: &App) -> Vec<RoomCount> {
    let mut rooms = app.rooms.numbered().await;
    rooms.sort_unstable_by_key(|(number, _)| number.0);
    rooms.truncate(ROOMS_LISTED);
    let late = Instant::now() + ROOMS_PATIENCE;
    let mut listed = Vec::with_capacity(rooms.len());
    for (number, room) in rooms {
        let counted = timeout_at(late, room.ask(|reply| Question::Count { reply })).await.ok().flatten();
        let (people, waiting) = counted.unzip();
        listed.push(RoomCount { number: number.0, people, waiting });
    }
    listed
}

fn media(app: &App, gso: bool) -> MediaState {
    let mut media = MediaState {
        peers: 0,
        tracks: 0,
        subscriptions: 0,
        threads: Vec::new(),
        gso,
        expected: 0,
        lost: 0,
        dropped: 0,
    };
    for (report, alive) in app.media.reports() {
        media.peers += report.population.peers;
        media.tracks += report.population.tracks;
        media.subscriptions += report.population.subscriptions;
        media.threads.push(ThreadView { load: report.load, alive });
        media.expected += report.counters.packets_expected;
        media.lost += report.counters.packets_lost;
        media.dropped += report.dropped + report.counters.overflowed;
    }
    media
}

fn certificate(app: &App, validity: Option<Validity>) -> Option<CertificateView> {
    let from = app.observed.certificate_from?;
    let renews = validity.filter(|_| from == CertificateFrom::Authority).map(|validity| validity.renewal());
    Some(CertificateView {
        from,
        names: app.showing.as_ref().map(Showing::names).unwrap_or_default(),
        begins_at: validity.map(|validity| millis(validity.from)),
        ends_at: validity.map(|validity| millis(validity.until)),
        renews_at: renews.map(millis),
    })
}

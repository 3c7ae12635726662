//! The log: lines for people or for programs, on standard error.
//!
//! No line above `trace` carries an address, a name, a token, a key or an SDP. This program's own lines are
//! written so; other crates' lines below `warn` cannot be trusted to be, so they appear only at `trace`.

use crate::config::LogFormat;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, FilterFn, LevelFilter, filter_fn};
use tracing_subscriber::layer::Context;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, fmt};

const OURS: [&str; 4] = ["enza", "sfu", "signal", "store"];

/// Starts logging. `wanted`: the value of `RUST_LOG`, else `info`. A second call changes nothing.
pub fn start(wanted: Option<&str>, format: LogFormat) {
    let filter = filter(wanted.unwrap_or_default());
    let everything = filter.max_level_hint() == Some(LevelFilter::TRACE);
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
    };
    let layer = lines.and_then(Complaints).with_filter(filter.and(discreet(everything)));
    // `Err`: a test started it before.
    let _ = tracing_subscriber::registry().with(layer).try_init();
}

/// Lines of the process's one log since its start.
static WARNINGS: AtomicU64 = AtomicU64::new(0);
static ERRORS: AtomicU64 = AtomicU64::new(0);

/// How many warnings and how many errors the log holds since the start.
pub(crate) fn complaints() -> (u64, u64) {
    (WARNINGS.load(Relaxed), ERRORS.load(Relaxed))
}

/// Counts lines that somebody should read.
struct Complaints;

impl<S: Subscriber> Layer<S> for Complaints {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        match *event.metadata().level() {
            Level::WARN => WARNINGS.fetch_add(1, Relaxed),
            Level::ERROR => ERRORS.fetch_add(1, Relaxed),
            _ => 0,
        };
    }
}

/// `rtc_dtls` warns of each extension of a ClientHello that it does not know, so at every join: unless `wanted` names
/// it or asks for everything, only its errors are shown.
fn filter(wanted: &str) -> EnvFilter {
    let parse = |directives: &str| {
        EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).parse_lossy(directives)
    };
    let filter = parse(wanted);
    if wanted.contains("rtc_dtls") || filter.max_level_hint() == Some(LevelFilter::TRACE) {
        return filter;
    }
    match wanted.trim() {
        "" => parse("info,rtc_dtls=error"),
        wanted => parse(&format!("{wanted},rtc_dtls=error")),
    }
}

fn discreet(everything: bool) -> FilterFn<impl Fn(&Metadata<'_>) -> bool> {
    filter_fn(move |metadata| {
        let crate_name = metadata.target().split("::").next().unwrap_or_default();
        everything || OURS.contains(&crate_name) || *metadata.level() <= Level::WARN
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_warns_only_those_who_ask() {
        for quiet in ["", "info", "debug", "sfu=debug"] {
            assert!(filter(quiet).to_string().contains("rtc_dtls=error"), "{quiet}");
        }
        for asked in ["trace", "rtc_dtls=warn"] {
            assert!(!filter(asked).to_string().contains("rtc_dtls=error"), "{asked}");
        }
    }
}

//! The log: lines for people, on standard error.
//!
//! No line above `trace` carries an address, a name, a token, a key or an SDP. This program's own lines are
//! written so; other crates' lines below `warn` cannot be trusted to be, so they appear only at `trace`.

use tracing::Metadata;
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, FilterFn, LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

const OURS: [&str; 4] = ["enza", "sfu", "signal", "store"];

/// Starts logging. `wanted`: the value of `RUST_LOG`, else `info`. A second call changes nothing.
pub fn start(wanted: Option<&str>) {
    let filter = filter(wanted.unwrap_or_default());
    let everything = filter.max_level_hint() == Some(LevelFilter::TRACE);
    let layer = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_filter(filter.and(discreet(everything)));
    // `Err`: a test started it before.
    let _ = tracing_subscriber::registry().with(layer).try_init();
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
        everything || OURS.contains(&crate_name) || *metadata.level() <= tracing::Level::WARN
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

//! The counts as Prometheus reads them (text format 0.0.4): names with their units, and labels that have few values.

use super::{Beginning, Metrics, Process, Queue, Route, STATUS_CLASSES, Turned};
use crate::media::Report;
use std::fmt::{Display, Write as _};
use std::time::Duration;

/// `Content-Type` of [`text`].
pub(crate) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is known at this moment beside the counts.
pub(crate) struct Facts {
    /// Each media thread's report and whether it still makes them.
    pub(crate) media: Vec<(Report, bool)>,
    pub(crate) process: Option<Process>,
    /// Lines in the log at these levels since the start.
    pub(crate) warnings: u64,
    pub(crate) errors: u64,
    pub(crate) ready: bool,
    /// Of the certificate that is shown, since 1970-01-01 UTC; `None` for a server that has none.
    pub(crate) certificate_ends: Option<Duration>,
    /// Since 1970-01-01 UTC.
    pub(crate) begun: Duration,
    pub(crate) version: &'static str,
}

/// Everything, in the text format.
pub(crate) fn text(metrics: &Metrics, facts: &Facts) -> String {
    let mut page = Page(String::with_capacity(8 << 10));
    page.counts(metrics);
    page.media(&facts.media);
    if let Some(process) = &facts.process {
        page.process(process);
    }
    let begun = facts.begun.as_secs_f64();
    page.single("process_start_time_seconds", "gauge", "Start in seconds since 1970 UTC.", begun);
    page.family("enza_log_lines_total", "counter", "Lines in the log at this level.");
    page.value("enza_log_lines_total", &[("level", "warn")], facts.warnings);
    page.value("enza_log_lines_total", &[("level", "error")], facts.errors);
    page.family("enza_ready", "gauge", "1 while people can come in and what they do is kept.");
    page.value("enza_ready", &[], u8::from(facts.ready));
    if let Some(ends) = facts.certificate_ends {
        let help = "End of the certificate that is shown, in seconds since 1970 UTC.";
        page.single("enza_certificate_end_time_seconds", "gauge", help, ends.as_secs());
    }
    page.family("enza_build_info", "gauge", "The version as a label; always 1.");
    page.value("enza_build_info", &[("version", facts.version)], 1);
    page.0
}

struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// `labels` are this program's own words, with nothing that would need escaping.
    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (at, (label, of)) in labels.iter().enumerate() {
            let _ = write!(self.0, "{}{label}=\"{of}\"", if at == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.value(name, &[], value);
    }

    fn counts(&mut self, metrics: &Metrics) {
        self.single("enza_rooms", "gauge", "Rooms that live now.", metrics.rooms());
        self.single(
            "enza_participants",
            "gauge",
            "People who are inside a room now.",
            metrics.participants(),
        );
        self.single("enza_joins_total", "counter", "People who came into a room.", metrics.joined());
        self.family("enza_join_refusals_total", "counter", "People who were not let in, by reason.");
        for (reason, count) in metrics.refusals() {
            self.value("enza_join_refusals_total", &[("reason", reason)], count);
        }
        self.family("enza_media_sessions_total", "counter", "Sessions for sound and picture that began.");
        for beginning in Beginning::ALL {
            let kind = [("kind", beginning.name())];
            self.value("enza_media_sessions_total", &kind, metrics.sessions(beginning));
        }
        let help = "Connections that the port let go again, by reason.";
        self.family("enza_connections_refused_total", "counter", help);
        for why in Turned::ALL {
            let reason = [("reason", why.name())];
            self.value("enza_connections_refused_total", &reason, metrics.turned(why));
        }
        self.family("enza_http_requests_total", "counter", "HTTP requests by kind of address and of answer.");
        for route in Route::ALL {
            for class in 0..STATUS_CLASSES {
                let status = ["1xx", "2xx", "3xx", "4xx", "5xx"].get(class).copied().unwrap_or_default();
                let labels = [("route", route.name()), ("status", status)];
                self.value("enza_http_requests_total", &labels, metrics.requests(route, class));
            }
        }
        self.family("enza_queue_overflows_total", "counter", "Times that a queue was full, by queue.");
        for queue in Queue::ALL {
            self.value("enza_queue_overflows_total", &[("queue", queue.name())], metrics.overflows(queue));
        }
    }

    fn media(&mut self, threads: &[(Report, bool)]) {
        let mut each = |name: &str, kind: &str, help: &str, of: &dyn Fn(&Report) -> f64| {
            self.family(name, kind, help);
            for (at, (report, _)) in threads.iter().enumerate() {
                self.value(name, &[("thread", &at.to_string())], of(report));
            }
        };
        /// A figure of the shard's counters.
        macro_rules! counter {
            ($name:literal, $field:ident, $help:literal) => {
                each($name, "counter", $help, &|report| report.counters.$field as f64);
            };
        }
        counter!("enza_media_packets_received_total", packets_received, "RTP packets from people.");
        counter!("enza_media_received_bytes_total", bytes_received, "Bytes of those packets.");
        counter!("enza_media_packets_forwarded_total", packets_forwarded, "RTP packets to people.");
        counter!("enza_media_forwarded_bytes_total", bytes_forwarded, "Bytes of those packets.");
        counter!("enza_media_packets_repaired_total", packets_repaired, "RTP packets sent again.");
        counter!(
            "enza_media_packets_expected_total",
            packets_expected,
            "RTP packets that people sent, by their numbers."
        );
        counter!("enza_media_packets_lost_total", packets_lost, "Of those, the ones that did not come.");
        counter!("enza_media_nacks_received_total", nacks_received, "Packets that people asked for again.");
        counter!("enza_media_nacks_sent_total", nacks_sent, "Packets that people were asked for again.");
        counter!("enza_media_plis_received_total", keyframes_asked, "Key frames that people asked for.");
        counter!("enza_media_plis_sent_total", keyframes_requested, "Key frames that people were asked for.");
        each(
            "enza_media_datagrams_dropped_total",
            "counter",
            "Datagrams and lossy messages that found no place.",
            &|report| (report.dropped + report.counters.overflowed) as f64,
        );
        each(
            "enza_media_busy_seconds_total",
            "counter",
            "Time in which the thread did not wait.",
            &|report| report.busy.as_secs_f64(),
        );
        each("enza_media_busy_ratio", "gauge", "The same as a share of the last second.", &|report| {
            report.load
        });
        each("enza_media_peers", "gauge", "Connections for sound and picture.", &|report| {
            report.population.peers as f64
        });
        each("enza_media_tracks", "gauge", "Microphones, cameras and screens that are sent.", &|report| {
            report.population.tracks as f64
        });
        each("enza_media_subscriptions", "gauge", "Tracks times the people who get them.", &|report| {
            report.population.subscriptions as f64
        });
    }

    fn process(&mut self, process: &Process) {
        let seconds = |time: Duration| time.as_secs_f64();
        let [counter, gauge] = ["counter", "gauge"];
        self.single(
            "process_cpu_seconds_total",
            counter,
            "Processor time in seconds.",
            seconds(process.processor),
        );
        self.single("process_resident_memory_bytes", gauge, "Resident memory in bytes.", process.resident);
        self.single("process_open_fds", gauge, "Open file descriptors.", process.open_files);
        self.single("process_max_fds", gauge, "Most file descriptors.", process.open_files_max);
        self.single("process_threads", gauge, "Threads.", process.threads);
    }
}

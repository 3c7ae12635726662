//! `enza doctor`: what stands in the way of people, what is to be done about it, in the operator's language; with the server
//! running or not. It changes nothing. What it finds is a value of [`Found`]; the sentences stand in the catalogue.

mod machine;
mod network;
mod phone;
mod shown;
mod strain;

pub(crate) use phone::{Ask, look as look_from_outside};

use crate::catalogue::Language;
use crate::check;
use crate::config::{Config, Transport};
use crate::operator_key;
use crate::outside::{Line, Rating};
use crate::running::Running;
use crate::start_error::StartError;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

pub(crate) use strain::{Room, Shown, Strain, Used, has_room_for_ten};

/// What is looked at beside the settings.
pub(crate) struct Wanted {
    /// The name that people open.
    host: Option<String>,
    /// Servers that say as whom they see us (STUN).
    stun: Vec<String>,
}

impl Wanted {
    /// For the server of `config`; without a `host` its first domain, else the host of its public URL.
    pub(crate) fn new(config: &Config, host: Option<String>, second_stun: Option<String>) -> Self {
        let domain = match &config.transport {
            Transport::Domains(acme) => acme.domains.first().cloned(),
            _ => config.public_url.as_deref().and_then(host_of),
        };
        let stun = config.stun_server.iter().cloned().chain(second_stun).collect();
        Self { host: host.or(domain), stun }
    }
}

fn host_of(url: &str) -> Option<String> {
    let url: axum::http::Uri = url.parse().ok()?;
    Some(url.host()?.trim_matches(['[', ']']).to_owned())
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    Ok,
    Warn,
    Bad,
}

impl Verdict {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }
}

/// One thing that was found.
#[derive(Debug)]
pub(crate) enum Found {
    Version,
    /// A start would be refused.
    Refused(StartError),
    Settings,
    Running {
        port: u16,
    },
    /// It runs and says that nobody can come in, or nothing.
    NotReady {
        port: u16,
        said: String,
    },
    NotRunning,
    UdpAnswers {
        port: u16,
    },
    UdpSilent {
        port: u16,
    },
    DnsFits {
        host: String,
    },
    /// The name leads to none of this machine's addresses.
    DnsElsewhere {
        host: String,
        leads: Vec<IpAddr>,
        own: Vec<IpAddr>,
    },
    /// It leads to some that are not this machine's beside one that is.
    DnsMixed {
        host: String,
        others: Vec<IpAddr>,
    },
    /// This machine does not carry its public address, and nothing told it.
    DnsUncertain {
        host: String,
        leads: Vec<IpAddr>,
    },
    /// The same, but the server tells people where the name leads.
    DnsTold {
        host: String,
        leads: Vec<IpAddr>,
    },
    DnsNothing {
        host: String,
        reason: String,
    },
    CertificateFits {
        days: u64,
    },
    CertificateSoon {
        days: u64,
    },
    CertificateOver,
    CertificateRefused {
        reason: String,
    },
    CertificateOwn {
        days: u64,
    },
    /// HTTP: fine on this computer or behind a proxy.
    NoCertificate {
        alone: bool,
    },
    Public {
        address: IpAddr,
    },
    /// Others see another address than this machine has; `told`: it is announced. `keeps_port`: a fixed port is forwarded as it is.
    BehindNat {
        mapped: IpAddr,
        told: bool,
        keeps_port: bool,
    },
    /// The same socket is seen differently by two servers.
    Symmetric {
        mapped: IpAddr,
        told: bool,
    },
    StunSilent {
        server: String,
    },
    /// Chromium takes no candidate with this port at a private address, and there are only those.
    PrivatePort {
        port: u16,
    },
    /// Only private addresses, and nobody to ask.
    PrivateOnly,
    ClockKept,
    ClockUnsure,
    ClockWrong,
    Disk {
        free: u64,
    },
    DiskLow {
        free: u64,
    },
    Memory {
        free: u64,
    },
    MemoryLow {
        free: u64,
    },
    Files,
    FilesFew {
        most: u64,
    },
    Gso,
    NoGso,
    Buffers,
    BuffersSmall {
        bytes: u64,
    },
    /// The authority has given none yet.
    CertificateNone,
    /// Of a running server; the doctor's own process has other numbers.
    FilesUsed {
        open: u64,
        most: u64,
    },
    ConnectionsUsed {
        now: u64,
        most: u64,
    },
    /// The busiest media thread.
    MediaBusy {
        percent: u64,
    },
    /// The situation as a phone sees it.
    Phone {
        situation: String,
        summary: String,
        bad: bool,
    },
    /// One of its lines.
    FromPhone(Line),
    NoPhone {
        reason: String,
    },
}

impl Found {
    pub(crate) fn check(&self) -> Cow<'static, str> {
        if let Self::FromPhone(line) = self {
            return format!("outside-{}", line.check).into();
        }
        self.own_check().into()
    }

    const fn own_check(&self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Refused(_) | Self::Settings => "settings",
            Self::Running { .. } | Self::NotReady { .. } | Self::NotRunning => "server",
            Self::UdpAnswers { .. } | Self::UdpSilent { .. } => "udp",
            Self::DnsFits { .. }
            | Self::DnsTold { .. }
            | Self::DnsElsewhere { .. }
            | Self::DnsMixed { .. }
            | Self::DnsUncertain { .. }
            | Self::DnsNothing { .. } => "dns",
            Self::CertificateFits { .. }
            | Self::CertificateSoon { .. }
            | Self::CertificateOver
            | Self::CertificateRefused { .. }
            | Self::CertificateOwn { .. }
            | Self::CertificateNone
            | Self::NoCertificate { .. } => "certificate",
            Self::Public { .. }
            | Self::BehindNat { .. }
            | Self::Symmetric { .. }
            | Self::StunSilent { .. }
            | Self::PrivatePort { .. }
            | Self::PrivateOnly => "address",
            Self::ClockKept | Self::ClockUnsure | Self::ClockWrong => "clock",
            Self::Disk { .. } | Self::DiskLow { .. } => "disk",
            Self::Memory { .. } | Self::MemoryLow { .. } => "memory",
            Self::Files | Self::FilesFew { .. } | Self::FilesUsed { .. } => "files",
            Self::Gso | Self::NoGso => "gso",
            Self::Buffers | Self::BuffersSmall { .. } => "buffers",
            Self::ConnectionsUsed { .. } => "connections",
            Self::MediaBusy { .. } => "processor",
            Self::Phone { .. } | Self::FromPhone(_) | Self::NoPhone { .. } => "outside",
        }
    }

    pub(crate) const fn verdict(&self) -> Verdict {
        match self {
            Self::Version
            | Self::Settings
            | Self::Running { .. }
            | Self::UdpAnswers { .. }
            | Self::DnsFits { .. }
            | Self::DnsTold { .. }
            | Self::CertificateFits { .. }
            | Self::NoCertificate { alone: true }
            | Self::Public { .. }
            | Self::BehindNat { told: true, keeps_port: true, .. }
            | Self::ClockKept
            | Self::Disk { .. }
            | Self::Memory { .. }
            | Self::Files
            | Self::Gso
            | Self::Buffers
            | Self::Phone { bad: false, .. }
            | Self::FromPhone(Line { verdict: Rating::Ok | Rating::Unknown, .. }) => Verdict::Ok,
            Self::NotRunning
            | Self::DnsMixed { .. }
            | Self::DnsUncertain { .. }
            | Self::CertificateSoon { .. }
            | Self::CertificateOwn { .. }
            | Self::NoCertificate { alone: false }
            | Self::BehindNat { told: true, keeps_port: false, .. }
            | Self::Symmetric { told: true, .. }
            | Self::StunSilent { .. }
            | Self::PrivatePort { .. }
            | Self::PrivateOnly
            | Self::ClockUnsure
            | Self::MemoryLow { .. }
            | Self::FilesFew { .. }
            | Self::FilesUsed { .. }
            | Self::ConnectionsUsed { .. }
            | Self::MediaBusy { .. }
            | Self::NoGso
            | Self::BuffersSmall { .. }
            | Self::FromPhone(Line { verdict: Rating::Warn, .. })
            | Self::NoPhone { .. } => Verdict::Warn,
            Self::Refused(_)
            | Self::NotReady { .. }
            | Self::UdpSilent { .. }
            | Self::DnsElsewhere { .. }
            | Self::DnsNothing { .. }
            | Self::CertificateOver
            | Self::CertificateNone
            | Self::CertificateRefused { .. }
            | Self::BehindNat { told: false, .. }
            | Self::Symmetric { told: false, .. }
            | Self::ClockWrong
            | Self::DiskLow { .. }
            | Self::Phone { bad: true, .. }
            | Self::FromPhone(Line { verdict: Rating::Bad, .. }) => Verdict::Bad,
        }
    }
}

/// Everything that was found, in the order in which it is read.
pub(crate) async fn look(config: &Config, wanted: &Wanted) -> Vec<Found> {
    let mut found = vec![Found::Version];
    let checked = check::check(config).await;
    if checked.problems.is_empty() {
        found.push(Found::Settings);
    }
    found.extend(checked.problems.into_iter().map(Found::Refused));
    let running = Running::read(&config.data);
    let at: Option<SocketAddr> = running.as_ref().and_then(Running::address);
    // The server that holds the folder is the one that made the key in it.
    let key = operator_key::read(&config.data).ok().flatten();
    found.extend(network::server(running.as_ref(), key.as_ref().map(|key| key.as_str())).await);
    found.extend(network::addresses(config, wanted).await);
    found.push(network::certificate(config, at, wanted.host.as_deref()).await);
    found.extend(machine::look(&config.data));
    found
}

/// For people, or with `as_json` for programs; and the exit code.
pub(crate) fn report(found: &[Found], language: Language, as_json: bool) -> (String, u8) {
    let worst = found.iter().map(Found::verdict).max().unwrap_or(Verdict::Ok);
    let code = u8::from(worst == Verdict::Bad);
    let mut text = String::new();
    let mut lines = Vec::new();
    for one in found {
        let (what, todo) = language.finding(one);
        if as_json {
            let verdict = one.verdict().name();
            let mut line = json!({"check": one.check(), "verdict": verdict, "what": what, "do": todo});
            if let Found::Phone { situation, .. } = one {
                line["situation"] = json!(situation);
            }
            lines.push(line);
            continue;
        }
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}  {what}", language.verdict(one.verdict()));
        if let Some(todo) = todo {
            let _ = writeln!(text, "      → {todo}");
        }
    }
    if as_json {
        let all: Value = json!({"verdict": worst.name(), "checks": lines});
        return (crate::operate::pretty(&all), code);
    }
    let asked = found.iter().any(|one| matches!(one, Found::Phone { .. }));
    let _ = writeln!(text, "\n{}", language.diagnosis(worst, asked));
    (text, code)
}

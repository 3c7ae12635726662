//! The settings: flags win over `ENZA_*` variables, those over `enza.toml`, that over the defaults.
//!
//! Owns how a setting is named, read and checked. It opens nothing but the configuration file.

mod domains;

use crate::start_error::StartError;
use crate::token::ApiKey;
use axum::http::Uri;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

pub use domains::Acme;

/// The default port, TCP and UDP.
pub const PORT: u16 = 7880;

/// The one with a domain.
const HTTPS_PORT: u16 = 443;

/// A secret shorter than this is refused: HS256 wants 256 bits (RFC 7518 section 3.2).
pub const SECRET_MIN: usize = 32;

/// Most threads for media. Higher: lanes between them cost 256 KiB for each pair; lower: large machines stay idle.
pub const MEDIA_THREADS_MAX: u8 = 16;

/// An unknown key is answered with a known one when they are this alike (Jaro–Winkler, 0 to 1). Higher: typing
/// errors get no hint; lower: the hint is nonsense.
const ALIKE: f64 = 0.75;

/// Settings as one source gives them; every one may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Settings {
    pub port: Option<u16>,
    pub bind: Option<IpAddr>,
    pub data: Option<PathBuf>,
    pub api_key: Option<String>,
    pub api_secret: Option<String>,
    pub lan: Option<bool>,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub plain_http: Option<bool>,
    pub trusted_proxies: Option<Vec<IpAddr>>,
    pub public_url: Option<String>,
    pub announce: Option<Vec<IpAddr>>,
    pub stun_server: Option<String>,
    pub development: Option<bool>,
    pub rooms: Option<RoomsRule>,
    pub media_threads: Option<u8>,
    pub webhooks: Option<Vec<String>>,
    pub metrics_bind: Option<SocketAddr>,
    pub log_format: Option<LogFormat>,
    pub domains: Option<Vec<String>>,
    pub acme_directory: Option<String>,
    pub acme_contacts: Option<Vec<String>>,
    pub acme_root: Option<PathBuf>,
}

/// The keys of `enza.toml`, same names as the fields of [`Settings`].
const KEYS: [&str; 23] = [
    "port",
    "bind",
    "data",
    "api_key",
    "api_secret",
    "lan",
    "cert",
    "key",
    "plain_http",
    "trusted_proxies",
    "public_url",
    "announce",
    "stun_server",
    "development",
    "rooms",
    "media_threads",
    "webhooks",
    "metrics_bind",
    "log_format",
    "domains",
    "acme_directory",
    "acme_contacts",
    "acme_root",
];

/// Who may make rooms.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum RoomsRule {
    /// Whoever opens the page.
    Open,
    /// The operator.
    #[default]
    Closed,
}

impl std::str::FromStr for RoomsRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        clap::ValueEnum::from_str(text, false)
    }
}

/// How lines of the log look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object each, for programs.
    Json,
}

impl std::str::FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        clap::ValueEnum::from_str(text, false)
    }
}

/// How the TCP port speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// HTTP. Browsers give camera and microphone on `localhost` only, or behind a proxy that adds HTTPS.
    Plain,
    /// HTTPS with a certificate that this program makes in [`Config::certs`].
    Development,
    /// HTTPS with these PEM files.
    Files { cert: PathBuf, key: PathBuf },
    /// HTTPS with a certificate that this program gets.
    Domains(Acme),
}

/// Everything decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// TCP and UDP; 0 lets the operating system choose (tests).
    pub port: u16,
    pub bind: IpAddr,
    pub data: PathBuf,
    /// Where the development certificate lives: `certs` beside the data folder.
    pub certs: PathBuf,
    /// `None`: taken from the data folder, made there at the first start.
    pub api_key: Option<ApiKey>,
    pub transport: Transport,
    /// Proxies in front, believed as to whom they ask for.
    pub trusted_proxies: Vec<IpAddr>,
    /// What links begin with, where the server cannot know it: `https://host`, without a path.
    pub public_url: Option<String>,
    /// Addresses at which clients reach the media port; empty: those of [`Config::bind`].
    pub announce: Vec<IpAddr>,
    /// Asked at the start as what the world sees the media port, `host:port`; not when [`Config::announce`] says it.
    pub stun_server: Option<String>,
    /// Clients may ask for simulated trouble.
    pub development: bool,
    pub rooms: RoomsRule,
    /// Threads that forward media, from 1 to [`MEDIA_THREADS_MAX`]; a room lives on one of them.
    pub media_threads: u8,
    /// Where LiveKit's webhooks go.
    pub webhooks: Vec<Uri>,
    /// A port of its own for `/metrics`, without a key.
    pub metrics_bind: Option<SocketAddr>,
    pub log_format: LogFormat,
}

impl Config {
    /// Whether browsers may be told to come to this host by HTTPS alone, on every port: with a certificate that they trust,
    /// and on the port of HTTPS itself. Beside it, on another, other programs of the same host may speak HTTP.
    pub(crate) const fn is_https_alone(&self) -> bool {
        self.port == 443 && matches!(self.transport, Transport::Files { .. } | Transport::Domains(_))
    }

    /// The names that the certificate is for, where this program gets it.
    pub(crate) fn domains(&self) -> &[String] {
        match &self.transport {
            Transport::Domains(acme) => &acme.domains,
            _ => &[],
        }
    }

    /// Whether clients are told where the domain leads: nobody said otherwise, and they are not all on this computer.
    pub(crate) fn is_found_by_name(&self) -> bool {
        self.announce.is_empty() && !self.bind.is_loopback() && !self.domains().is_empty()
    }
}

impl Settings {
    /// The `ENZA_*` variables. An empty variable counts as unset, so that a compose file may pass it through.
    ///
    /// # Errors
    /// [`StartError::Value`] for a value of the wrong kind.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self, StartError> {
        let get = |name: &str| variable(name).filter(|value| !value.is_empty());
        let list = |list: String| list.split(',').map(str::to_owned).collect();
        fn parse<T: std::str::FromStr>(
            name: &str,
            value: Option<String>,
            expected: &'static str,
        ) -> Result<Option<T>, StartError> {
            value
                .map(|value| {
                    value.trim().parse().map_err(|_| StartError::Value {
                        name: name.to_owned(),
                        value,
                        expected,
                    })
                })
                .transpose()
        }
        let addresses = |name: &str| {
            let list = get(name)?;
            let one = |part: &str| parse(name, Some(part.to_owned()), IP_ADDRESSES).transpose();
            Some(list.split(',').filter_map(one).collect::<Result<_, _>>())
        };
        Ok(Self {
            port: parse("ENZA_PORT", get("ENZA_PORT"), PORT_NUMBER)?,
            bind: parse("ENZA_BIND", get("ENZA_BIND"), IP_ADDRESS)?,
            data: get("ENZA_DATA").map(PathBuf::from),
            api_key: get("ENZA_API_KEY"),
            api_secret: get("ENZA_API_SECRET"),
            lan: parse("ENZA_LAN", get("ENZA_LAN"), TRUE_OR_FALSE)?,
            cert: get("ENZA_CERT").map(PathBuf::from),
            key: get("ENZA_KEY").map(PathBuf::from),
            plain_http: parse("ENZA_PLAIN_HTTP", get("ENZA_PLAIN_HTTP"), TRUE_OR_FALSE)?,
            trusted_proxies: addresses("ENZA_TRUSTED_PROXY").transpose()?,
            public_url: get("ENZA_PUBLIC_URL"),
            announce: addresses("ENZA_ANNOUNCE").transpose()?,
            stun_server: get("ENZA_STUN_SERVER"),
            development: parse("ENZA_DEVELOPMENT", get("ENZA_DEVELOPMENT"), TRUE_OR_FALSE)?,
            rooms: parse("ENZA_ROOMS", get("ENZA_ROOMS"), OPEN_OR_CLOSED)?,
            media_threads: parse("ENZA_MEDIA_THREADS", get("ENZA_MEDIA_THREADS"), THREADS)?,
            metrics_bind: parse("ENZA_METRICS_BIND", get("ENZA_METRICS_BIND"), ADDRESS_AND_PORT)?,
            log_format: parse("ENZA_LOG_FORMAT", get("ENZA_LOG_FORMAT"), TEXT_OR_JSON)?,
            webhooks: get("ENZA_WEBHOOKS").map(list),
            domains: get("ENZA_DOMAIN").map(list),
            acme_directory: get("ENZA_ACME_DIRECTORY"),
            acme_contacts: get("ENZA_ACME_CONTACT").map(list),
            acme_root: get("ENZA_ACME_ROOT").map(PathBuf::from),
        })
    }

    /// Reads `enza.toml`. Relative paths in it are relative to its folder.
    ///
    /// # Errors
    /// [`StartError::UnknownKey`] names the nearest known key; [`StartError::File`] for anything unreadable.
    pub fn from_file(file: &Path) -> Result<Self, StartError> {
        let unreadable = |reason: String| StartError::File { file: file.to_owned(), reason };
        let text = std::fs::read_to_string(file).map_err(|error| unreadable(error.to_string()))?;
        let table: toml::Table =
            text.parse().map_err(|error: toml::de::Error| unreadable(one_line(&error)))?;
        if let Some(key) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(StartError::UnknownKey {
                file: file.to_owned(),
                key: key.clone(),
                nearest: nearest_key(key),
            });
        }
        let mut settings: Self =
            table.try_into().map_err(|error: toml::de::Error| unreadable(one_line(&error)))?;
        let folder = file.parent().unwrap_or(Path::new(""));
        let paths = [&mut settings.data, &mut settings.cert, &mut settings.key, &mut settings.acme_root];
        for path in paths.into_iter().flatten() {
            *path = folder.join(&*path);
        }
        Ok(settings)
    }

    /// These settings, completed by weaker ones. Pairs that belong together (key and secret, certificate and
    /// its key) are taken whole from one source: half a pair from each would never fit.
    #[must_use]
    pub fn or(self, weaker: Self) -> Self {
        let (api_key, api_secret) = if self.api_key.is_some() || self.api_secret.is_some() {
            (self.api_key, self.api_secret)
        } else {
            (weaker.api_key, weaker.api_secret)
        };
        let (cert, key) = if self.cert.is_some() || self.key.is_some() {
            (self.cert, self.key)
        } else {
            (weaker.cert, weaker.key)
        };
        Self {
            port: self.port.or(weaker.port),
            bind: self.bind.or(weaker.bind),
            data: self.data.or(weaker.data),
            api_key,
            api_secret,
            lan: self.lan.or(weaker.lan),
            cert,
            key,
            plain_http: self.plain_http.or(weaker.plain_http),
            trusted_proxies: self.trusted_proxies.or(weaker.trusted_proxies),
            public_url: self.public_url.or(weaker.public_url),
            announce: self.announce.or(weaker.announce),
            stun_server: self.stun_server.or(weaker.stun_server),
            development: self.development.or(weaker.development),
            rooms: self.rooms.or(weaker.rooms),
            media_threads: self.media_threads.or(weaker.media_threads),
            webhooks: self.webhooks.or(weaker.webhooks),
            metrics_bind: self.metrics_bind.or(weaker.metrics_bind),
            log_format: self.log_format.or(weaker.log_format),
            domains: self.domains.or(weaker.domains),
            acme_directory: self.acme_directory.or(weaker.acme_directory),
            acme_contacts: self.acme_contacts.or(weaker.acme_contacts),
            acme_root: self.acme_root.or(weaker.acme_root),
        }
    }

    /// Merges the sources: these flags, the environment, and the file (`file`, else `enza.toml` beside the data
    /// folder when there is one).
    ///
    /// # Errors
    /// Any [`StartError`] with exit code 2.
    pub fn resolve(
        self,
        file: Option<&Path>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Config, StartError> {
        let given = self.or(Self::from_environment(&variable)?);
        let named = file
            .map(Path::to_owned)
            .or_else(|| variable("ENZA_CONFIG").filter(|v| !v.is_empty()).map(Into::into));
        let settings = match named {
            Some(file) => given.or(Self::from_file(&file)?),
            None => {
                let data = given.data.clone().unwrap_or_else(|| PathBuf::from("data"));
                let beside = beside(&data, "enza.toml");
                if beside.exists() { given.or(Self::from_file(&beside)?) } else { given }
            }
        };
        settings.decide()
    }

    fn decide(self) -> Result<Config, StartError> {
        let api_key = match (self.api_key, self.api_secret) {
            (None, None) => None,
            (Some(key), Some(secret)) => Some(ApiKey::new(key, secret)?),
            _ => return Err(StartError::Together { one: "--api-key", other: "--api-secret" }),
        };
        let lan = self.lan.unwrap_or(false);
        let plain = self.plain_http.unwrap_or(false);
        let domains = self.domains.filter(|domains| !domains.is_empty());
        let everywhere = lan || domains.is_some();
        let bind = self.bind.unwrap_or(IpAddr::V4(if everywhere {
            Ipv4Addr::UNSPECIFIED
        } else {
            Ipv4Addr::LOCALHOST
        }));
        let port = self.port.unwrap_or(if domains.is_some() { HTTPS_PORT } else { PORT });
        let transport = match (self.cert, self.key) {
            (cert, key) if let Some(domains) = domains => {
                for (given, other) in
                    [(cert.is_some() || key.is_some(), "--cert"), (plain, "--plain-http"), (lan, "--lan")]
                {
                    if given {
                        return Err(StartError::Conflict { one: "--domain", other });
                    }
                }
                let contacts = self.acme_contacts.unwrap_or_default();
                Transport::Domains(Acme::new(&domains, self.acme_directory, &contacts, self.acme_root)?)
            }
            (Some(_), Some(_)) if plain => {
                return Err(StartError::Conflict { one: "--plain-http", other: "--cert" });
            }
            (Some(cert), Some(key)) => Transport::Files { cert, key },
            (None, None) if lan && plain => {
                return Err(StartError::Conflict { one: "--plain-http", other: "--lan" });
            }
            // Camera and microphone need a secure page everywhere but on localhost.
            (None, None) if lan || (!bind.is_loopback() && !plain) => Transport::Development,
            (None, None) => Transport::Plain,
            _ => return Err(StartError::Together { one: "--cert", other: "--key" }),
        };
        let trusted_proxies = self.trusted_proxies.unwrap_or_default();
        if !trusted_proxies.is_empty() {
            let one = "--trusted-proxy";
            match transport {
                Transport::Plain => {}
                Transport::Development if lan => return Err(StartError::Conflict { one, other: "--lan" }),
                Transport::Development => return Err(StartError::Together { one, other: "--plain-http" }),
                Transport::Files { .. } => return Err(StartError::Conflict { one, other: "--cert" }),
                Transport::Domains(_) => return Err(StartError::Conflict { one, other: "--domain" }),
            }
        }
        let data = self.data.unwrap_or_else(|| PathBuf::from("data"));
        let media_threads = match self.media_threads {
            None => media_threads_here(),
            Some(threads @ 1..=MEDIA_THREADS_MAX) => threads,
            Some(other) => {
                let (name, value) = ("--media-threads".to_owned(), other.to_string());
                return Err(StartError::Value { name, value, expected: THREADS });
            }
        };
        Ok(Config {
            port,
            bind,
            certs: beside(&data, "certs"),
            data,
            api_key,
            transport,
            trusted_proxies,
            public_url: self.public_url.map(public_url).transpose()?,
            announce: self.announce.unwrap_or_default(),
            stun_server: self.stun_server.map(stun_server).transpose()?,
            development: self.development.unwrap_or(false),
            rooms: self.rooms.unwrap_or_default(),
            media_threads,
            webhooks: self
                .webhooks
                .unwrap_or_default()
                .iter()
                .map(|url| webhook(url))
                .collect::<Result<_, _>>()?,
            metrics_bind: self.metrics_bind,
            log_format: self.log_format.unwrap_or_default(),
        })
    }
}

const PORT_NUMBER: &str = "a port number from 0 to 65535";
const IP_ADDRESS: &str = "an IP address such as 127.0.0.1, 0.0.0.0 or ::";
const IP_ADDRESSES: &str = "IP addresses with commas between them";
const THREADS: &str = "a number from 1 to 16";
const STUN_SERVER: &str = "a STUN server's name and port such as stun.example.org:3478";
const WEBHOOK_URL: &str = "a URL such as https://example.org/events";
const PUBLIC_URL: &str = "the address that people open, such as https://circle.example.jp, without a path";
const ADDRESS_AND_PORT: &str = "an address with a port such as 127.0.0.1:9464";
const TEXT_OR_JSON: &str = "text or json";
const OPEN_OR_CLOSED: &str = "open or closed";
const TRUE_OR_FALSE: &str = "true or false";

/// One on one or two processors, where more would only take turns; one fewer than there are on larger machines. Where
/// one port cannot be opened several times, one.
fn media_threads_here() -> u8 {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if cfg!(target_os = "linux") && processors > 2 { processors - 1 } else { 1 };
    u8::try_from(threads).unwrap_or(MEDIA_THREADS_MAX).min(MEDIA_THREADS_MAX)
}

/// A name or address with a port.
fn stun_server(value: String) -> Result<String, StartError> {
    let parsed = value.parse::<axum::http::uri::Authority>();
    if parsed.is_ok_and(|parsed| parsed.port_u16().is_some() && !parsed.host().is_empty()) {
        return Ok(value);
    }
    Err(StartError::Value { name: "--stun-server".to_owned(), value, expected: STUN_SERVER })
}

/// What links can begin with, without the slash at its end.
fn public_url(value: String) -> Result<String, StartError> {
    let usable = |uri: &Uri| {
        let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
        let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none() && !value.contains('#');
        let is_web = matches!(scheme, "http" | "https") && !authority.as_str().contains('@');
        (is_bare && is_web).then(|| format!("{scheme}://{authority}"))
    };
    match value.trim().parse().ok().as_ref().and_then(usable) {
        Some(url) => Ok(url),
        None => Err(StartError::Value { name: "--public-url".to_owned(), value, expected: PUBLIC_URL }),
    }
}

/// A URL that events can be sent to.
fn webhook(url: &str) -> Result<Uri, StartError> {
    let usable = |uri: &Uri| uri.host().is_some() && matches!(uri.scheme_str(), Some("http" | "https"));
    url.trim().parse().ok().filter(usable).ok_or_else(|| StartError::Value {
        name: "A webhook".to_owned(),
        value: url.to_owned(),
        expected: WEBHOOK_URL,
    })
}

/// `name` in the folder that holds `data`.
fn beside(data: &Path, name: &str) -> PathBuf {
    data.parent().unwrap_or(Path::new("")).join(name)
}

fn nearest_key(unknown: &str) -> Option<&'static str> {
    KEYS.into_iter()
        .map(|key| (key, strsim::jaro_winkler(key, &unknown.to_lowercase().replace('-', "_"))))
        .filter(|(_, likeness)| *likeness >= ALIKE)
        .max_by(|one, other| one.1.total_cmp(&other.1))
        .map(|(key, _)| key)
}

fn one_line(error: &toml::de::Error) -> String {
    error.message().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;

//! `enza room`, `enza participant`, `enza ban`: the HTTP API from the command line, with the operator's key, on the
//! server that runs with the data folder or on the one that `--url` names.

pub(crate) mod remote;
mod table;
mod text;

use crate::catalogue::Language;
use crate::config::Settings;
use crate::operator_key;
use crate::running::Running;
use crate::start_error::StartError;
use axum::http::{Method, Uri};
use circle::SettingsChange;
use clap::{Args, Subcommand, ValueEnum};
use remote::{Remote, segment};
use serde_json::{Map, Value, json};
use std::io::BufRead as _;
use std::net::IpAddr;
use std::path::PathBuf;
use table::shown;
use text::{audit, bans, fields, new_room, people, rooms};

/// Why a command was not obeyed. `Display` is the English sentence.
#[derive(Debug, thiserror::Error)]
pub enum OperateError {
    #[error(
        "No server runs with the data folder {}: start it with `enza serve`, name another folder with --data, or a \
         server with --url.", data.display()
    )]
    NotRunning { data: PathBuf },
    #[error(
        "The server at {url} does not answer ({reason}): see whether it runs and whether the URL is right."
    )]
    Unreachable { url: String, reason: String },
    #[error("--url needs the operator's key of that server: give it in ENZA_OPERATOR_KEY or with --key.")]
    KeyMissing,
    #[error(
        "\"{given}\" cannot be used: give a URL such as https://circle.example.org. http:// is for this computer alone, \
         since the key would go over the network in clear."
    )]
    Url { given: String },
    #[error("The server refuses: {message}")]
    Refused { code: String, message: String },
    #[error("What answers at {url} (status {status}) is no Enza, or another version of it.")]
    Strange { url: String, status: u16 },
    #[error("A rule is not known, or its value does not fit ({reason}): `enza room show` lists the rules.")]
    Rule { reason: String },
    #[error("\"{given}\" is no setting: write KEY=VALUE, such as lobby=guests.")]
    Setting { given: String },
    #[error("This erases the room and everything kept of it, for good: add --yes if you mean it.")]
    NotSure,
}

impl OperateError {
    /// 3 when there is no server to work with, 2 when the command itself is wrong, 1 when the server refuses.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::NotRunning { .. } | Self::Unreachable { .. } => 3,
            Self::KeyMissing | Self::Url { .. } | Self::Setting { .. } | Self::NotSure => 2,
            Self::Refused { .. } | Self::Rule { .. } | Self::Strange { .. } => 1,
        }
    }
}

/// Which server, and how its answer is shown.
#[derive(Debug, Default, Args)]
pub(crate) struct RemoteFlags {
    /// Folder of the running server's database and keys [default: data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Configuration file [default: enza.toml beside the data folder, if there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Server to work with, such as https://circle.example.org [default: the one that runs with the data folder]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The operator's key [default: the data folder's]; better given in ENZA_OPERATOR_KEY, which other users cannot list
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Print JSON for programs
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RoomCommands {
    /// Make a room with a link for its host and one for guests
    Create {
        #[command(flatten)]
        remote: RemoteFlags,
        /// What people read over the door
        title: String,
    },
    /// Show all rooms
    List {
        #[command(flatten)]
        remote: RemoteFlags,
    },
    /// Show one room and its rules
    Show {
        #[command(flatten)]
        remote: RemoteFlags,
        /// Id as listed
        room: String,
    },
    /// Change a room's title, rules or passphrase; everybody inside sees it at once
    Change {
        #[command(flatten)]
        remote: RemoteFlags,
        /// Id as listed
        room: String,
        /// What people read over the door
        #[arg(long)]
        title: Option<String>,
        /// A rule by its name in `room show`, such as lobby=guests, locked=true, capacity=12 (repeatable)
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
        /// Ask newcomers for these words; - reads them from standard input, which other users cannot list
        #[arg(long, value_name = "WORDS", conflicts_with = "no_passphrase")]
        passphrase: Option<String>,
        /// Ask for no passphrase any more
        #[arg(long)]
        no_passphrase: bool,
    },
    /// End the meeting for everybody; the room and its links stay
    End {
        #[command(flatten)]
        remote: RemoteFlags,
        /// Id as listed
        room: String,
    },
    /// Erase a room and everything that is kept of it
    Delete {
        #[command(flatten)]
        remote: RemoteFlags,
        /// Id as listed
        room: String,
        /// Really: it cannot be undone
        #[arg(long)]
        yes: bool,
    },
    /// Show what hosts and the operator did in a room, without names
    Audit {
        #[command(flatten)]
        remote: RemoteFlags,
        /// Id as listed
        room: String,
    },
    /// Print everything that is kept of a room, as JSON
    Export {
        #[command(flatten)]
        remote: RemoteFlags,
        /// Id as listed
        room: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ParticipantCommands {
    /// Show who is inside a room, and who waits before its door
    List {
        #[command(flatten)]
        remote: RemoteFlags,
        /// Id of the room
        room: String,
    },
    /// Let people in who wait
    Admit(People),
    /// Send people away who wait
    Decline(People),
    /// Shut what people send; they can open it again unless the room holds it
    Mute {
        #[command(flatten)]
        people: People,
        /// What of theirs
        #[arg(long, value_enum, default_value = "microphone")]
        source: SourceFlag,
    },
    /// Make somebody host, co-host, speaker or listener
    Role {
        #[command(flatten)]
        remote: RemoteFlags,
        /// Id of the room
        room: String,
        /// Participant as listed
        participant: String,
        #[arg(value_enum)]
        role: CircleRole,
    },
    /// Send somebody out
    Remove {
        #[command(flatten)]
        remote: RemoteFlags,
        /// Id of the room
        room: String,
        /// Participant as listed
        participant: String,
        /// They may not come back, until `enza ban lift`
        #[arg(long)]
        ban: bool,
    },
}

/// Some people of one room.
#[derive(Debug, Args)]
pub(crate) struct People {
    #[command(flatten)]
    remote: RemoteFlags,
    /// Id of the room
    room: String,
    /// Participants as listed
    #[arg(required = true)]
    participants: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SourceFlag {
    Microphone,
    Camera,
    Screen,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum CircleRole {
    Host,
    CoHost,
    Speaker,
    Listener,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BanCommands {
    /// Show a room's bans; whom they mean is not kept
    List {
        #[command(flatten)]
        remote: RemoteFlags,
        /// Id of the room
        room: String,
    },
    /// Let somebody come in again
    Lift {
        #[command(flatten)]
        remote: RemoteFlags,
        /// Id of the room
        room: String,
        /// Number as listed
        ban: i64,
    },
}

impl RemoteFlags {
    fn remote(&self, variable: impl Fn(&str) -> Option<String>) -> Result<Remote, StartError> {
        let given = self.key.clone().or_else(|| variable("ENZA_OPERATOR_KEY").filter(|key| !key.is_empty()));
        if let Some(url) = &self.url {
            if !may_carry_a_key(url) {
                return Err(OperateError::Url { given: url.clone() }.into());
            }
            return Ok(Remote::at(url, given.ok_or(OperateError::KeyMissing)?));
        }
        let settings = Settings { data: self.data.clone(), ..Settings::default() };
        let config = settings.resolve(self.config.as_deref(), variable)?;
        let running = Running::read(&config.data);
        let key = match given {
            Some(key) => Some(key),
            None => operator_key::read(&config.data)?.map(|key| key.to_string()),
        };
        match (running, key) {
            (Some(running), Some(key)) => Ok(Remote::local(running, key)),
            _ => Err(OperateError::NotRunning { data: config.data }.into()),
        }
    }

    /// The one call most commands are, shown as JSON or by `text`.
    async fn ask(
        &self,
        variable: impl Fn(&str) -> Option<String>,
        method: Method,
        path: &str,
        body: Option<Value>,
        text: impl FnOnce(&Value) -> String,
    ) -> Result<String, StartError> {
        let answer = self.call(&self.remote(&variable)?, variable, method, path, body).await?;
        Ok(if self.json { pretty(&answer) } else { text(&answer) })
    }

    async fn call(
        &self,
        remote: &Remote,
        variable: impl Fn(&str) -> Option<String>,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, StartError> {
        match remote.call(method, path, body).await {
            // A killed server leaves its file behind.
            Err(OperateError::Unreachable { .. }) if self.url.is_none() => {
                let settings = Settings { data: self.data.clone(), ..Settings::default() };
                let data = settings.resolve(self.config.as_deref(), variable)?.data;
                Err(OperateError::NotRunning { data }.into())
            }
            answer => Ok(answer?),
        }
    }

    /// A command of the circle.
    async fn moderate(
        &self,
        language: Language,
        variable: impl Fn(&str) -> Option<String>,
        room: &str,
        command: Value,
    ) -> Result<String, StartError> {
        let path = format!("rooms/{}/moderation", segment(room));
        self.ask(variable, Method::POST, &path, Some(command), |_| done(language)).await
    }
}

impl RoomCommands {
    pub(crate) async fn run(
        self,
        language: Language,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<String, StartError> {
        let at = |room: &str| format!("rooms/{}", segment(room));
        match self {
            Self::Create { remote, title } => {
                let server = remote.remote(&variable)?;
                let order = Some(json!({ "title": title }));
                let mut made = remote.call(&server, variable, Method::POST, "rooms", order).await?;
                for link in ["hostLink", "guestLink"] {
                    made[link] = format!("{}{}", server.links, shown(&made[link])).into();
                }
                Ok(if remote.json { pretty(&made) } else { new_room(language, &made) })
            }
            Self::List { remote } => {
                let text = |answer: &Value| rooms(language, answer);
                remote.ask(variable, Method::GET, "rooms", None, text).await
            }
            Self::Show { remote, room } => {
                remote.ask(variable, Method::GET, &at(&room), None, |answer| fields(answer, "")).await
            }
            Self::Change { remote, room, title, set, passphrase, no_passphrase } => {
                let settings = set.iter().map(|pair| setting(pair)).collect::<Result<Map<_, _>, _>>()?;
                let server = remote.remote(&variable)?;
                if passphrase.is_some() || no_passphrase {
                    let words = match passphrase.as_deref() {
                        Some("-") => Some(first_line()),
                        words => words.map(str::to_owned),
                    };
                    let order = Some(json!({ "passphrase": words }));
                    let path = format!("{}/passphrase", at(&room));
                    remote.call(&server, &variable, Method::PUT, &path, order).await?;
                }
                let mut order = json!({});
                if let Some(title) = title {
                    order["title"] = title.into();
                }
                if !settings.is_empty() {
                    order["settings"] = settings.into();
                }
                let rules = order["settings"].clone();
                let answer = remote.call(&server, variable, Method::PATCH, &at(&room), Some(order)).await;
                let answer = answer.map_err(|error| explained(error, rules))?;
                Ok(if remote.json { pretty(&answer) } else { fields(&answer, "") })
            }
            Self::End { remote, room } => {
                remote.moderate(language, variable, &room, json!({"type": "end"})).await
            }
            Self::Delete { remote, room, yes } => {
                if !yes {
                    return Err(OperateError::NotSure.into());
                }
                let text = |_: &Value| format!("{}\n", language.room_erased());
                remote.ask(variable, Method::DELETE, &at(&room), None, text).await
            }
            Self::Audit { remote, room } => {
                let path = format!("{}/audit", at(&room));
                let text = |answer: &Value| audit(language, answer);
                remote.ask(variable, Method::GET, &path, None, text).await
            }
            Self::Export { remote, room } => {
                let path = format!("{}/export", at(&room));
                remote.ask(variable, Method::GET, &path, None, pretty).await
            }
        }
    }
}

impl ParticipantCommands {
    pub(crate) async fn run(
        self,
        language: Language,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<String, StartError> {
        let (remote, room, command) = match self {
            Self::List { remote, room } => {
                let path = format!("rooms/{}/participants", segment(&room));
                let text = |answer: &Value| people(language, answer);
                return remote.ask(variable, Method::GET, &path, None, text).await;
            }
            Self::Admit(People { remote, room, participants }) => {
                (remote, room, json!({"type": "admit", "participants": participants}))
            }
            Self::Decline(People { remote, room, participants }) => {
                (remote, room, json!({"type": "decline", "participants": participants}))
            }
            Self::Mute { people: People { remote, room, participants }, source } => {
                let source = match source {
                    SourceFlag::Microphone => "microphone",
                    SourceFlag::Camera => "camera",
                    SourceFlag::Screen => "screen",
                };
                (remote, room, json!({"type": "mute", "source": source, "participants": participants}))
            }
            Self::Role { remote, room, participant, role } => {
                let role = match role {
                    CircleRole::Host => "host",
                    CircleRole::CoHost => "co-host",
                    CircleRole::Speaker => "speaker",
                    CircleRole::Listener => "listener",
                };
                (remote, room, json!({"type": "set-role", "participant": participant, "role": role}))
            }
            Self::Remove { remote, room, participant, ban } => {
                (remote, room, json!({"type": "remove", "participant": participant, "ban": ban}))
            }
        };
        remote.moderate(language, variable, &room, command).await
    }
}

impl BanCommands {
    pub(crate) async fn run(
        self,
        language: Language,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<String, StartError> {
        match self {
            Self::List { remote, room } => {
                let path = format!("rooms/{}/bans", segment(&room));
                let text = |answer: &Value| bans(language, answer);
                remote.ask(variable, Method::GET, &path, None, text).await
            }
            Self::Lift { remote, room, ban } => {
                let path = format!("rooms/{}/bans/{ban}", segment(&room));
                let text = |_: &Value| format!("{}\n", language.ban_lifted());
                remote.ask(variable, Method::DELETE, &path, None, text).await
            }
        }
    }
}

/// The server says only that it cannot read the rules; this program may know which of them, and why.
fn explained(error: StartError, rules: Value) -> StartError {
    match error {
        StartError::Operate(OperateError::Refused { code, message }) if code == "bad-request" => {
            match serde_json::from_value::<SettingsChange>(rules) {
                Err(reason) => OperateError::Rule { reason: reason.to_string() }.into(),
                Ok(_) => OperateError::Refused { code, message }.into(),
            }
        }
        error => error,
    }
}

/// HTTPS, or this computer.
fn may_carry_a_key(url: &str) -> bool {
    let Ok(url) = url.parse::<Uri>() else { return false };
    let Some(host) = url.host().map(|host| host.trim_matches(['[', ']'])) else { return false };
    let local = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    match url.scheme_str() {
        Some("https") => true,
        Some("http") => local,
        _ => false,
    }
}

/// `KEY=VALUE`; what reads as JSON is JSON, everything else a text.
fn setting(pair: &str) -> Result<(String, Value), OperateError> {
    let (key, value) = pair
        .split_once('=')
        .filter(|(key, _)| !key.is_empty())
        .ok_or_else(|| OperateError::Setting { given: pair.to_owned() })?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    Ok((key.to_owned(), value))
}

/// Nothing, where standard input cannot be read: the server says what a passphrase is.
fn first_line() -> String {
    let mut line = String::new();
    let _ = std::io::stdin().lock().read_line(&mut line);
    line.trim_end_matches(['\n', '\r']).to_owned()
}

/// What was done has no answer, and programs still get an object.
pub(crate) fn pretty(answer: &Value) -> String {
    match answer {
        Value::Null => "{}\n".to_owned(),
        answer => format!("{answer:#}\n"),
    }
}

fn done(language: Language) -> String {
    format!("{}\n", language.done())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_goes_over_https_or_stays_on_this_computer() {
        for good in
            ["https://example.org", "https://example.org:8443/", "http://localhost:7880", "http://[::1]:7880"]
        {
            assert!(may_carry_a_key(good), "{good}");
        }
        for bad in
            ["http://example.org", "http://127.0.0.1.example.org", "example.org", "ftp://localhost", ""]
        {
            assert!(!may_carry_a_key(bad), "{bad}");
        }
    }

    #[test]
    fn a_setting_is_json_where_it_reads_as_json() {
        assert_eq!(setting("locked=true").unwrap(), ("locked".to_owned(), json!(true)));
        assert_eq!(setting("lobby=guests").unwrap(), ("lobby".to_owned(), json!("guests")));
        assert_eq!(setting("question=a=b").unwrap(), ("question".to_owned(), json!("a=b")));
        let hand_over = setting(r#"handOver={"rule":"close","minutes":5}"#).unwrap().1;
        assert_eq!(hand_over["minutes"], 5);
        for wrong in ["locked", "=true"] {
            assert!(matches!(setting(wrong), Err(OperateError::Setting { .. })), "{wrong}");
        }
    }
}

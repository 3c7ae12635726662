//! The command line: which command, which flags. What they mean is [`crate::config`]'s business.

mod invite;

use crate::catalogue::Language;
use crate::config::{Config, LogFormat, RoomsRule, Settings};
use crate::doctor::{self, Wanted};
use crate::install::Installation;
use crate::operate::{BanCommands, ParticipantCommands, RoomCommands};
use crate::start_error::StartError;
use crate::token::{ApiKey, TokenAuthority};
use crate::{backup, check, data_folder, install};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use invite::InviteCommands;
use signal::Grants;
use std::any::TypeId;
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Self-hosted video dialogue rooms: people open a link and see and hear each other.
///
/// Without a command it serves. Each setting may also stand in enza.toml or in a variable such as ENZA_PORT
/// (ENZA_BIND, ENZA_DATA, ENZA_API_KEY, ENZA_API_SECRET, ENZA_LAN, ENZA_CERT, ENZA_KEY, ENZA_DOMAIN, ENZA_ACME_DIRECTORY,
/// ENZA_ACME_CONTACT, ENZA_ACME_ROOT, ENZA_PLAIN_HTTP, ENZA_TRUSTED_PROXY, ENZA_PUBLIC_URL, ENZA_ANNOUNCE, ENZA_STUN_SERVER,
/// ENZA_DEVELOPMENT, ENZA_ROOMS, ENZA_MEDIA_THREADS, ENZA_WEBHOOKS, ENZA_METRICS_BIND, ENZA_LOG_FORMAT, ENZA_CONFIG); flags win over variables, variables over the file. RUST_LOG sets the log.
#[derive(Debug, Parser)]
#[command(name = "enza", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Commands>,
    #[command(flatten)]
    serve: ServeCommand,
    /// The flags of `enza serve` as they were given to `enza install`.
    #[arg(skip)]
    given: Vec<OsString>,
}

#[derive(Debug, Subcommand)]
enum Commands {
    /// Serve rooms (the same as no command)
    Serve(ServeCommand),
    /// Print a room token for a LiveKit client
    Token(TokenFlags),
    /// List, make and revoke invite links
    #[command(subcommand)]
    Invite(InviteCommands),
    /// Make, show, change, end and erase rooms of the running server
    #[command(subcommand)]
    Room(RoomCommands),
    /// See and moderate who is in a room
    #[command(subcommand)]
    Participant(ParticipantCommands),
    /// Show and lift a room's bans
    #[command(subcommand)]
    Ban(BanCommands),
    /// Save the database as one file; the server may run meanwhile
    Backup {
        #[command(flatten)]
        common: CommonFlags,
        /// File to write: it must not be there yet
        file: PathBuf,
    },
    /// Put a saved database in the place of the present one, which is kept beside it; the server must not run
    Restore {
        #[command(flatten)]
        flags: Box<ServeFlags>,
        /// File that `enza backup` wrote
        file: PathBuf,
    },
    /// Ask whether the server with these settings answers (exit code 0) or not (1)
    Health(ServeFlags),
    /// Say what stands in the way of people and what to do about it, with the server's own flags; 1 when something is bad
    Doctor {
        #[command(flatten)]
        flags: Box<ServeFlags>,
        /// Name that people open, to see where it leads and what its certificate is
        #[arg(long, value_name = "NAME")]
        host: Option<String>,
        /// Another such server as --stun-server: both together tell what kind of NAT there is
        #[arg(long, value_name = "HOST:PORT")]
        second_stun: Option<String>,
        /// Show a link for a phone outside of this network, and wait up to five minutes for how it sees the server; on a
        /// terminal that happens by itself
        #[arg(long)]
        outside: bool,
        /// Print JSON for programs
        #[arg(long)]
        json: bool,
    },
    /// Write a systemd service that serves with these settings, and start it; run it again to change or update it
    #[cfg(target_os = "linux")]
    Install {
        #[command(flatten)]
        flags: Box<ServeFlags>,
        /// Print the service's unit and change nothing
        #[arg(long)]
        dry_run: bool,
        /// Folder that is / on the machine, for an image that is being made
        #[arg(long, value_name = "DIR", default_value = "/")]
        root: PathBuf,
    },
    /// Stop and remove the systemd service; its data stays
    #[cfg(target_os = "linux")]
    Uninstall {
        /// Folder that is / on the machine
        #[arg(long, value_name = "DIR", default_value = "/")]
        root: PathBuf,
    },
    /// Fill rooms of a server with clients that measure what it does to their packets
    #[cfg(target_os = "linux")]
    Load(load::Arguments),
}

#[derive(Debug, Default, Args)]
struct CommonFlags {
    /// Folder of the database and the keys [default: data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Name of the key that signs room tokens [default: made at the first start]
    #[arg(long, value_name = "KEY")]
    api_key: Option<String>,
    /// Its secret, 32 characters or more; better given in ENZA_API_SECRET, which other users cannot list
    #[arg(long, value_name = "SECRET")]
    api_secret: Option<String>,
    /// Configuration file [default: enza.toml beside the data folder, if there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Default, Args)]
struct ServeCommand {
    #[command(flatten)]
    flags: ServeFlags,
    /// Only say what would stand in the way of a start: nothing (exit code 0), settings (2) or the machine (1)
    #[arg(long)]
    check: bool,
}

#[derive(Debug, Default, Args)]
struct ServeFlags {
    #[command(flatten)]
    common: CommonFlags,
    /// TCP and UDP port [default: 7880; with --domain: 443]
    #[arg(long, value_name = "N")]
    port: Option<u16>,
    /// Address to listen on [default: 127.0.0.1; with --domain or --lan: every one]
    #[arg(long, value_name = "ADDR")]
    bind: Option<IpAddr>,
    /// Serve the local network over HTTPS, with a development certificate in certs/ unless --cert is given
    #[arg(long)]
    lan: bool,
    /// Certificate chain for HTTPS (PEM)
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// Private key of the certificate (PEM)
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Domain that leads to this server: HTTPS on port 443 with a certificate that the server gets and renews by itself,
    /// from an authority whose terms you accept with this (repeatable)
    #[arg(long, value_name = "NAME")]
    domain: Vec<String>,
    /// Certificate authority that is asked, by ACME [default: Let's Encrypt]
    #[arg(long, value_name = "URL")]
    acme_directory: Option<String>,
    /// Mail address that the authority may write to (repeatable)
    #[arg(long, value_name = "MAIL")]
    acme_contact: Vec<String>,
    /// Root certificate (PEM) that vouches for the authority's own HTTPS, where it is not a public one
    #[arg(long, value_name = "FILE")]
    acme_root: Option<PathBuf>,
    /// Plain HTTP on any address, for a proxy in front that adds HTTPS
    #[arg(long)]
    plain_http: bool,
    /// Address of a proxy in front that sets X-Forwarded-For: with plain HTTP, what somebody gets wrong then counts for them alone
    /// (repeatable)
    #[arg(long, value_name = "ADDR")]
    trusted_proxy: Vec<IpAddr>,
    /// What links begin with where the server cannot know it, as behind a proxy: such as https://circle.example.jp
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Address at which clients reach the media port, when it is not one of this machine's own (repeatable)
    #[arg(long, value_name = "ADDR")]
    announce: Vec<IpAddr>,
    /// STUN server that is asked at the start for the address at which the world sees this machine, behind a NAT that
    /// forwards the port, as of many rented servers
    #[arg(long, value_name = "HOST:PORT")]
    stun_server: Option<String>,
    /// For tests of clients: whoever is in a room may ask for trouble of its own (LiveKit's simulated scenarios)
    #[arg(long)]
    development: bool,
    /// Who may make rooms: whoever opens the page (open), or the operator [default: closed]
    #[arg(long, value_enum, value_name = "WHO")]
    rooms: Option<RoomsRule>,
    /// Threads that forward media [default: one fewer than processors, at least 1]
    #[arg(long, value_name = "N")]
    media_threads: Option<u8>,
    /// URL that is told what happens in rooms, as LiveKit's webhooks are (repeatable)
    #[arg(long, value_name = "URL")]
    webhook: Vec<String>,
    /// Address and port, such as 127.0.0.1:9464, where /metrics needs no key: only your own programs should reach it
    #[arg(long, value_name = "ADDR:PORT")]
    metrics_bind: Option<SocketAddr>,
    /// How the log's lines look [default: text]
    #[arg(long, value_enum, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

#[derive(Debug, Args)]
struct TokenFlags {
    #[command(flatten)]
    common: CommonFlags,
    /// Room to enter
    #[arg(long)]
    room: String,
    /// Who enters: unique in the room
    #[arg(long)]
    identity: String,
    /// What the others read
    #[arg(long, default_value = "")]
    name: String,
    /// How long the token is valid, such as 30m, 6h or 7d
    #[arg(long, default_value = "6h", value_parser = parse_duration)]
    ttl: Duration,
    /// May only watch and listen
    #[arg(long)]
    no_publish: bool,
}

/// What to do, fully decided.
#[derive(Debug)]
pub enum Command {
    Serve(Config),
    /// Print this and end.
    Print(String),
    /// Print this and end with this code.
    Tell(String, u8),
    /// Say these sentences and end with this code.
    Complain(Vec<String>, u8),
    /// See whether this server answers.
    Health(Config),
    /// Measure a server.
    #[cfg(target_os = "linux")]
    Load(Box<load::Arguments>),
}

impl Cli {
    /// Reads the program's arguments; ends it when they cannot be read, or ask for help.
    #[must_use]
    pub fn read() -> Self {
        let matches = Self::command().get_matches();
        let mut cli = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        if let Some(install) = matches.subcommand_matches("install") {
            cli.given = given(install);
        }
        cli
    }

    /// Whether the command is to serve, whose settings say how the log looks.
    #[must_use]
    pub const fn serves(&self) -> bool {
        match &self.command {
            None => !self.serve.check,
            Some(Commands::Serve(serve)) => !serve.check,
            Some(_) => false,
        }
    }

    /// Reads settings from every source and carries out what needs no server.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn decide(
        self,
        language: Language,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Command, StartError> {
        match self.command {
            None => self.serve.decide(language, variable).await,
            Some(Commands::Serve(command)) => command.decide(language, variable).await,
            Some(Commands::Token(flags)) => flags.print(variable),
            Some(Commands::Invite(command)) => command.run(language, variable).await,
            Some(Commands::Room(command)) => Ok(Command::Print(command.run(language, variable).await?)),
            Some(Commands::Participant(command)) => {
                Ok(Command::Print(command.run(language, variable).await?))
            }
            Some(Commands::Ban(command)) => Ok(Command::Print(command.run(language, variable).await?)),
            Some(Commands::Backup { common, file }) => {
                backup::backup(&common.config(variable)?, &file).await?;
                Ok(Command::Print(format!("{}\n", language.backed_up(&file))))
            }
            Some(Commands::Restore { flags, file }) => {
                backup::restore(&flags.config(variable)?, &file).await?;
                Ok(Command::Print(format!("{}\n", language.restored())))
            }
            Some(Commands::Health(flags)) => Ok(Command::Health(flags.config(variable)?)),
            Some(Commands::Doctor { flags, host, second_stun, outside, json }) => {
                let config = flags.config(variable)?;
                let mut found = doctor::look(&config, &Wanted::new(&config, host, second_stun)).await;
                let ask = doctor::Ask::new(outside, json);
                found.extend(doctor::look_from_outside(&config.data, ask, language).await);
                let (text, code) = doctor::report(&found, language, json);
                Ok(Command::Tell(text, code))
            }
            #[cfg(target_os = "linux")]
            Some(Commands::Install { flags, dry_run, root }) => {
                if flags.common.api_secret.is_some() {
                    return Err(StartError::SecretInUnit);
                }
                // The service has an environment of its own.
                flags.config(|_| None)?;
                let installation = Installation { arguments: install::plain(self.given)?, root };
                Ok(Command::Print(match dry_run {
                    true => installation.unit(),
                    false => language.installed(&installation.install()?),
                }))
            }
            #[cfg(target_os = "linux")]
            Some(Commands::Uninstall { root }) => {
                let done = Installation { arguments: Vec::new(), root }.uninstall()?;
                Ok(Command::Print(language.uninstalled(done.as_ref())))
            }
            #[cfg(target_os = "linux")]
            Some(Commands::Load(arguments)) => Ok(Command::Load(Box::new(arguments))),
        }
    }
}

/// The flags of `enza serve` among these, as they would be given again in another folder.
fn given(matches: &ArgMatches) -> Vec<OsString> {
    let flags = ServeFlags::augment_args(clap::Command::new("serve"));
    let mut given = Vec::new();
    for flag in flags.get_arguments() {
        let (id, Some(long)) = (flag.get_id().as_str(), flag.get_long()) else { continue };
        if matches.value_source(id) != Some(ValueSource::CommandLine) {
            continue;
        }
        let name = format!("--{long}");
        if !flag.get_action().takes_values() {
            given.push(name.into());
            continue;
        }
        let is_path = flag.get_value_parser().type_id() == TypeId::of::<PathBuf>();
        for value in matches.get_raw(id).into_iter().flatten() {
            let path = std::path::absolute(value).ok().filter(|_| is_path);
            let value = path.map_or_else(|| value.into(), PathBuf::into_os_string);
            given.extend([name.clone().into(), value]);
        }
    }
    given
}

impl ServeCommand {
    async fn decide(
        self,
        language: Language,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Command, StartError> {
        let config = self.flags.config(variable)?;
        if !self.check {
            return Ok(Command::Serve(config));
        }
        let checked = check::check(&config).await;
        Ok(match checked.problems.iter().map(StartError::exit_code).max() {
            None => Command::Print(format!("{}\n", language.nothing_wrong(checked.running))),
            Some(code) => Command::Complain(
                checked.problems.iter().map(|one| language.start_error(one)).collect(),
                code,
            ),
        })
    }
}

impl CommonFlags {
    fn settings(&self) -> Settings {
        Settings {
            data: self.data.clone(),
            api_key: self.api_key.clone(),
            api_secret: self.api_secret.clone(),
            ..Settings::default()
        }
    }

    fn config(&self, variable: impl Fn(&str) -> Option<String>) -> Result<Config, StartError> {
        self.settings().resolve(self.config.as_deref(), variable)
    }
}

impl ServeFlags {
    fn config(self, variable: impl Fn(&str) -> Option<String>) -> Result<Config, StartError> {
        let settings = Settings {
            port: self.port,
            bind: self.bind,
            lan: self.lan.then_some(true),
            cert: self.cert,
            key: self.key,
            plain_http: self.plain_http.then_some(true),
            trusted_proxies: (!self.trusted_proxy.is_empty()).then_some(self.trusted_proxy),
            public_url: self.public_url,
            announce: (!self.announce.is_empty()).then_some(self.announce),
            stun_server: self.stun_server,
            development: self.development.then_some(true),
            rooms: self.rooms,
            media_threads: self.media_threads,
            webhooks: (!self.webhook.is_empty()).then_some(self.webhook),
            metrics_bind: self.metrics_bind,
            log_format: self.log_format,
            domains: (!self.domain.is_empty()).then_some(self.domain),
            acme_directory: self.acme_directory,
            acme_contacts: (!self.acme_contact.is_empty()).then_some(self.acme_contact),
            acme_root: self.acme_root,
            ..self.common.settings()
        };
        settings.resolve(self.common.config.as_deref(), variable)
    }
}

impl TokenFlags {
    fn print(self, variable: impl Fn(&str) -> Option<String>) -> Result<Command, StartError> {
        let config = self.common.config(variable)?;
        let key = match config.api_key {
            Some(key) => key,
            None => {
                data_folder::prepare(&config.data)?;
                ApiKey::load_or_create(&config.data)?
            }
        };
        let grants = Grants {
            name: self.name,
            can_publish: !self.no_publish,
            ..Grants::new(self.identity, self.room)
        };
        Ok(Command::Print(format!("{}\n", TokenAuthority::new(&key).sign(&grants, self.ttl))))
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err("a duration is a number with s, m, h or d, such as 6h".to_owned()),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(seconds))
        .filter(|seconds| *seconds > 0 && *seconds <= 10 * 365 * 86_400)
        .map(Duration::from_secs)
        .ok_or_else(|| "a duration is from 1s to 3650d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations() {
        assert_eq!(parse_duration("6h"), Ok(Duration::from_secs(21_600)));
        assert_eq!(parse_duration("90s"), Ok(Duration::from_secs(90)));
        for bad in ["", "6", "h", "0h", "6 h", "-6h", "99999999999999999999d", "4000d"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn without_a_command_it_serves_with_the_same_flags() {
        for arguments in [&["enza", "--port", "1234"][..], &["enza", "serve", "--port", "1234"][..]] {
            let cli = Cli::try_parse_from(arguments).unwrap();
            let command = cli.decide(Language::English, |_| None).await.unwrap();
            assert!(matches!(command, Command::Serve(config) if config.port == 1234), "{arguments:?}");
        }
    }
}

//! `enza invite`: makes, lists and revokes invites in the data folder, whether the server runs or not.

use super::{Command, CommonFlags, parse_duration};
use crate::catalogue::Language;
use crate::operate::pretty;
use crate::running::Running;
use crate::start_error::StartError;
use crate::{data_folder, rooms, welcome};
use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::time::Duration;
use store::{InviteId, Role, Store, Terms};

#[derive(Debug, Subcommand)]
pub(super) enum InviteCommands {
    /// Show all invites with their numbers
    List {
        #[command(flatten)]
        common: CommonFlags,
        /// Only this room's [default: all rooms]
        #[arg(long)]
        room: Option<String>,
        /// Print JSON for programs
        #[arg(long)]
        json: bool,
    },
    /// Make an invite and print its link and a code for a phone's camera
    Create {
        #[command(flatten)]
        common: CommonFlags,
        /// What it makes of whoever opens it
        #[arg(long, value_enum, default_value = "guest")]
        role: RoleFlag,
        /// Room id as listed [default: the first room]
        #[arg(long)]
        room: Option<String>,
        /// How long it opens the room, such as 12h or 7d [default: until it is revoked]
        #[arg(long, value_name = "TIME", value_parser = parse_duration)]
        expires: Option<Duration>,
        /// How long until it opens the room for the first time, such as 2h
        #[arg(long, value_name = "TIME", value_parser = parse_duration)]
        opens_in: Option<Duration>,
        /// How many people it lets in [default: any number]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        max_uses: Option<u32>,
        /// Print JSON for programs
        #[arg(long)]
        json: bool,
    },
    /// Close an invite for good
    Revoke {
        #[command(flatten)]
        common: CommonFlags,
        /// Print JSON for programs
        #[arg(long)]
        json: bool,
        /// Number as listed
        invite: i64,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum RoleFlag {
    Host,
    CoHost,
    Guest,
    Listener,
}

impl InviteCommands {
    pub(super) async fn run(
        self,
        language: Language,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Command, StartError> {
        let (Self::List { common, .. } | Self::Create { common, .. } | Self::Revoke { common, .. }) = &self;
        let config = common.config(variable)?;
        data_folder::found(&config.data)?;
        let store = Store::open(&data_folder::database(&config.data)).await?;
        let now = i64::try_from(rooms::now().unix_millis).unwrap_or(i64::MAX);
        let said = match self {
            Self::List { room, json, .. } => {
                let lines = Lines { language, now, json };
                lines.of(&store, room.as_deref()).await?
            }
            Self::Create { role, room, expires, opens_in, max_uses, json, .. } => {
                let room = match room {
                    Some(id) => store.room(&id).await?,
                    None => match store.first_room().await? {
                        Some(room) => room,
                        None => store.create_room(language.first_room(), now).await?,
                    },
                };
                let role = match role {
                    RoleFlag::Host => Role::Host,
                    RoleFlag::CoHost => Role::CoHost,
                    RoleFlag::Guest => Role::Guest,
                    RoleFlag::Listener => Role::Listener,
                };
                let after =
                    |wait: Duration| now.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
                let terms = Terms {
                    not_before_unix_millis: opens_in.map(after),
                    expires_unix_millis: expires.map(after),
                    max_uses,
                };
                let (id, secret) = store.create_invite(&room.id, role, terms, now).await?;
                let running = Running::read(&config.data).map(|running| running.links);
                let base = running.or_else(|| welcome::bases(&config, config.port).into_iter().next());
                let link = welcome::link(&base.unwrap_or_default(), secret.reveal());
                if json {
                    let made = json!({"id": id.0, "role": role.name(), "room": room.id, "link": link});
                    pretty(&made)
                } else {
                    format!("{link}\n\n{}", welcome::code(&link))
                }
            }
            Self::Revoke { invite, json, .. } => {
                store.revoke_invite(InviteId(invite), now).await?;
                if json { pretty(&Value::Null) } else { format!("{}\n", language.invite_revoked()) }
            }
        };
        store.close().await;
        Ok(Command::Print(said))
    }
}

/// How invites are listed.
struct Lines {
    language: Language,
    now: i64,
    json: bool,
}

impl Lines {
    async fn of(&self, store: &Store, only: Option<&str>) -> Result<String, StartError> {
        let rooms = match only {
            Some(id) => vec![store.room(id).await?],
            None => store.rooms().await?,
        };
        let (mut text, mut listed) = (String::new(), Vec::new());
        for room in rooms {
            for invite in store.invites(&room.id).await? {
                let (id, role) = (invite.id.0, invite.role.name());
                let state = self.language.invite_state(invite.state(self.now));
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{id:>6}  {role:<8}  {state}  {}  {}", room.id, room.title);
                let state = Language::English.invite_state(invite.state(self.now)).replace(' ', "-");
                listed.push(json!({
                    "id": id, "role": role, "state": state, "room": room.id, "title": room.title,
                    "uses": invite.uses, "maxUses": invite.terms.max_uses,
                    "opensAt": invite.terms.not_before_unix_millis, "expiresAt": invite.terms.expires_unix_millis,
                }));
            }
        }
        Ok(match text.is_empty() {
            _ if self.json => pretty(&json!({ "invites": listed })),
            true => format!("{}\n", self.language.no_invites()),
            false => text,
        })
    }
}

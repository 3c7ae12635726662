//! The OpenAPI document of the HTTP API, `GET /api/openapi.json`. Routes, bodies and answers come from the functions and
//! types that serve them; here is what each call may be refused with, and what holds for all of them.

use super::api;
use super::moderation::COMMANDS;
use super::problem::ApiError;
use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use circle::Refusal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::OnceLock;
use utoipa::openapi::OpenApi;

/// `GET /api/openapi.json`: made when somebody asks for the first time, since few servers are ever asked and a running one
/// has no use for it.
pub(super) fn route<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/api/openapi.json", get(answer))
}

async fn answer() -> Response {
    static DOCUMENT: OnceLock<Option<Bytes>> = OnceLock::new();
    let made = || {
        document(&api().to_openapi())
            .inspect_err(|reason| tracing::error!(reason, "the API is not described"))
            .ok()
    };
    match DOCUMENT.get_or_init(made) {
        Some(document) => ([(CONTENT_TYPE, "application/json")], document.clone()).into_response(),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

const OPERATOR: [ApiError; 4] =
    [ApiError::KeyNeeded, ApiError::KeyWrong, ApiError::TooManyAttempts, ApiError::Unavailable];

/// What may be said of any room to whoever is no host of it.
const HOST: [ApiError; 6] = [
    ApiError::KeyNeeded,
    ApiError::KeyWrong,
    ApiError::NotAllowed,
    ApiError::RoomUnknown,
    ApiError::TooManyAttempts,
    ApiError::Unavailable,
];

const INVITE: [ApiError; 8] = [
    ApiError::BadRequest,
    ApiError::InviteUnknown,
    ApiError::InviteRevoked,
    ApiError::InviteExpired,
    ApiError::InviteEarly,
    ApiError::InviteUsedUp,
    ApiError::TooManyAttempts,
    ApiError::Unavailable,
];

/// Why a call may be refused: those of everybody with such a key, and its own.
fn problems(operation: &str) -> Option<(&'static [ApiError], &'static [ApiError])> {
    use ApiError::*;
    Some(match operation {
        "showServer" | "openCircle" => (&[], &[]),
        "createRoom" => (&OPERATOR, &[BadRequest, Title, RoomsClosed, RoomsFull]),
        "listRooms" | "showState" => (&OPERATOR, &[]),
        "showRoom" | "showAudit" | "listParticipants" | "listBans" | "listInvites" => (&HOST, &[]),
        "changeRoom" => (&HOST, &[BadRequest, Title, Setting]),
        "eraseRoom" | "exportRoom" => (&OPERATOR, &[RoomUnknown]),
        "liftBan" => (&HOST, &[BanUnknown]),
        "setPassphrase" => (&HOST, &[BadRequest, Passphrase]),
        "createInvite" => (&HOST, &[BadRequest, InvitesFull]),
        "revokeInvite" => (&HOST, &[NoSuchInvite]),
        "moderate" => (
            &HOST,
            &[
                BadRequest,
                NobodyInside,
                Refused(Refusal::HostProtected),
                Refused(Refusal::LastHost),
                Refused(Refusal::ParticipantUnknown),
                Refused(Refusal::NotWaiting),
                Refused(Refusal::LineTooLong),
                Refused(Refusal::TooMany),
                Refused(Refusal::SpotlightFull),
                Refused(Refusal::SeatsChanged),
                Refused(Refusal::TooFast),
                Refused(Refusal::Full),
            ],
        ),
        "askInvite" => (&INVITE, &[]),
        "join" => (&INVITE, &[NameMissing, NameTooLong, PassphraseNeeded, PassphraseWrong, Banned]),
        _ => return None,
    })
}

/// Completes what the routes say of themselves.
///
/// # Errors
/// An operation whose problems nobody wrote down, or a document that is no JSON.
fn document(routes: &OpenApi) -> Result<Bytes, String> {
    let mut document = serde_json::to_value(routes).map_err(|error| error.to_string())?;
    document["info"] = json!({
        "title": "Enza",
        "version": env!("CARGO_PKG_VERSION"),
        "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        "description": "Rooms, invites, participants and bans of this server. The operator sends the key in the data \
            folder (`operator-key`), a host the room token that opens the room, each as `Authorization: Bearer`. \
            A request's body has at most 16 KiB. Wrong keys, invites and passphrases are counted by address: twenty at \
            once, then one every ten seconds, else 429; so are rooms that are made without a key. Times are \
            milliseconds since 1970-01-01 UTC unless a field says seconds. A known address with another method is 405. \
            Clients ignore fields that they do not know.",
    });
    document["servers"] = json!([{"url": "/"}]);
    document["components"]["securitySchemes"] = json!({
        "operator": {"type": "http", "scheme": "bearer", "description": "The key in the data folder."},
        "host": {"type": "http", "scheme": "bearer", "description": "A room token of a host of this room."},
    });
    let commands = document["components"]["schemas"]["Command"]["oneOf"].as_array_mut();
    commands.ok_or("the circle's commands have no schema")?.retain(is_moderation);
    for item in document["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut()) {
        for operation in item.as_object_mut().into_iter().flat_map(|item| item.values_mut()) {
            let name = operation["operationId"].as_str().unwrap_or_default();
            let (common, own) = problems(name).ok_or_else(|| format!("no problems are known of {name}"))?;
            let mut by_status: BTreeMap<u16, Vec<ApiError>> = BTreeMap::new();
            for &problem in common.iter().chain(own) {
                by_status.entry(problem.code().0.as_u16()).or_default().push(problem);
            }
            for (status, problems) in by_status {
                operation["responses"][status.to_string()] = refusal(&problems);
            }
        }
    }
    serde_json::to_vec(&document).map(Bytes::from).map_err(|error| error.to_string())
}

/// Whether a schema is one of the commands that come over HTTP.
fn is_moderation(command: &Value) -> bool {
    let text = command.to_string();
    COMMANDS.iter().any(|name| text.contains(&format!("\"enum\":[\"{name}\"]")))
}

fn refusal(problems: &[ApiError]) -> Value {
    let sentences: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let codes: Vec<&str> = problems.iter().map(|problem| problem.code().1).collect();
    json!({
        "description": sentences.join(" / "),
        "content": {"application/json": {"schema": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string", "enum": codes, "description": "For programs."},
                "message": {"type": "string", "description": "One sentence that says what to do."},
            },
        }}},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passphrase::PASSPHRASE_MAX;

    fn described() -> Value {
        let (_, routes) = api().split_for_parts();
        serde_json::from_slice(&document(&routes).unwrap()).unwrap()
    }

    #[test]
    fn the_bounds_are_those_of_the_code() {
        use crate::http::{api, invites};
        use circle::limits;
        let schemas = &described()["components"]["schemas"];
        let bound = |of: &str, field: &str, kind: &str| schemas[of]["properties"][field][kind].as_u64();
        let characters = |of: &str, field: &str| bound(of, field, "maxLength");
        assert_eq!(characters("JoinQuestion", "name"), u64::try_from(api::NAME_MAX).ok());
        assert_eq!(characters("PassphraseOrder", "passphrase"), u64::try_from(PASSPHRASE_MAX).ok());
        assert_eq!(bound("InviteOrder", "expiresIn", "maximum"), Some(invites::AHEAD_MAX));
        assert_eq!(bound("InviteOrder", "maxUses", "maximum"), Some(invites::USES_MAX.into()));
        assert_eq!(bound("SettingsChange", "capacity", "maximum"), Some(limits::CAPACITY_MAX.into()));
        assert_eq!(bound("SettingsChange", "historyDays", "maximum"), Some(limits::HISTORY_DAYS_MAX.into()));
        assert_eq!(characters("SettingsChange", "question"), u64::try_from(limits::LINE_MAX).ok());
        let lines = u64::try_from(limits::AGREEMENT_LINES_MAX).ok();
        assert_eq!(bound("SettingsChange", "agreement", "maxItems"), lines);
        let minutes = format!("\"maximum\":{},", limits::CLOSE_MINUTES_MAX);
        assert!(schemas["HandOver"].to_string().contains(&minutes), "{}", schemas["HandOver"]);
    }

    #[test]
    fn every_call_says_what_it_may_be_refused_with_and_every_command_over_http_is_there() {
        let document = described();
        assert_eq!(document["openapi"], "3.1.0");
        let commands = document["components"]["schemas"]["Command"]["oneOf"].as_array().unwrap();
        assert_eq!(commands.len(), COMMANDS.len(), "{commands:#?}");
        for (path, item) in document["paths"].as_object().unwrap() {
            assert!(path.starts_with("/api/"), "{path}");
            for (method, call) in item.as_object().unwrap() {
                let refusals = call["responses"]
                    .as_object()
                    .unwrap()
                    .keys()
                    .filter(|status| *status >= &"400".to_owned());
                assert!(refusals.count() > 0 || path == "/api/server", "{method} {path}");
            }
        }
    }
}

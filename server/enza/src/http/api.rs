//! The page's own two questions: what does this invite open, and let me in.
//!
//! The invite travels in the body, never in an address, so it is in no request line and no log.

use super::{App, Peer};
use crate::room::ROLE;
use crate::rooms::now;
use axum::Extension;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use signal::Grants;
use std::collections::BTreeMap;
use std::time::Duration;
use store::{Resolved, Role, Room};

/// How long a room token from an invite lives. It is used at once, and refreshed inside the room. Higher: a
/// revoked invite still opens the room for longer; lower: somebody who tests their camera for a while is late.
const TOKEN: Duration = Duration::from_secs(3600);

/// Longest name in characters after trimming.
const NAME_MAX: usize = 64;

/// Longest invite looked up; real ones have 24 characters.
const INVITE_MAX: usize = 256;

#[derive(Deserialize)]
struct InviteQuestion {
    invite: String,
}

#[derive(Deserialize)]
struct JoinQuestion {
    invite: String,
    name: String,
}

#[derive(Serialize)]
struct RoomAnswer {
    name: String,
}

#[derive(Serialize)]
struct InviteAnswer {
    room: RoomAnswer,
    role: &'static str,
}

#[derive(Serialize)]
struct JoinAnswer {
    token: String,
    identity: String,
    name: String,
    role: &'static str,
    room: RoomAnswer,
}

/// Why the page gets no answer. The page shows its own text by the code.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("This link opens no room: ask for a new one.")]
    InviteUnknown,
    #[error("This link was revoked: ask for a new one.")]
    InviteRevoked,
    #[error("This link has expired: ask for a new one.")]
    InviteExpired,
    #[error("This link does not open yet: come back at the time that you were given.")]
    InviteEarly,
    #[error("Please give a name.")]
    NameMissing,
    #[error("The name is longer than {NAME_MAX} characters: give a shorter one.")]
    NameTooLong,
    #[error("The request cannot be read: send JSON with an invite, and a name without control characters.")]
    BadRequest,
    #[error("Too many links that open nothing were tried from here: wait a minute.")]
    TooManyAttempts,
    #[error("The server has a fault and could not answer: try again.")]
    Unavailable,
}

impl ApiError {
    const fn code(self) -> (StatusCode, &'static str) {
        match self {
            Self::InviteUnknown => (StatusCode::NOT_FOUND, "invite-unknown"),
            Self::InviteRevoked => (StatusCode::GONE, "invite-revoked"),
            Self::InviteExpired => (StatusCode::GONE, "invite-expired"),
            Self::InviteEarly => (StatusCode::FORBIDDEN, "invite-early"),
            Self::NameMissing => (StatusCode::UNPROCESSABLE_ENTITY, "name-missing"),
            Self::NameTooLong => (StatusCode::UNPROCESSABLE_ENTITY, "name-too-long"),
            Self::BadRequest => (StatusCode::BAD_REQUEST, "bad-request"),
            Self::TooManyAttempts => (StatusCode::TOO_MANY_REQUESTS, "too-many-attempts"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Body {
            code: &'static str,
            message: String,
        }
        let (status, code) = self.code();
        (status, Json(Body { code, message: self.to_string() })).into_response()
    }
}

/// `POST /api/invite {"invite"}`.
pub(super) async fn invite(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let question: InviteQuestion = read(body)?;
    let (room, role) = resolve(&app, peer, &question.invite).await?;
    Ok(Json(InviteAnswer { room: RoomAnswer { name: room.title }, role: role.name() }).into_response())
}

/// `POST /api/join {"invite", "name"}`.
pub(super) async fn join(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let question: JoinQuestion = read(body)?;
    let name = checked_name(&question.name)?;
    let (room, role) = resolve(&app, peer, &question.invite).await?;
    let identity = identity(role)?;
    let in_the_circle = circle_role(role);
    let grants = Grants {
        name: name.clone(),
        room_admin: in_the_circle == circle::Role::Host,
        can_publish: in_the_circle.may(circle::Action::Publish),
        attributes: BTreeMap::from([(ROLE.to_owned(), in_the_circle.name().to_owned())]),
        // The signature's expiry is what counts; that field is filled when a token is read.
        ..Grants::new(&identity, room.id)
    };
    let token = app.tokens.sign(&grants, TOKEN);
    Ok(Json(JoinAnswer { token, identity, name, role: role.name(), room: RoomAnswer { name: room.title } })
        .into_response())
}

fn read<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, ApiError> {
    let body = body.map_err(|_| ApiError::BadRequest)?;
    serde_json::from_slice(&body).map_err(|_| ApiError::BadRequest)
}

fn checked_name(name: &str) -> Result<String, ApiError> {
    let name = name.trim();
    if name.is_empty() {
        Err(ApiError::NameMissing)
    } else if name.chars().any(char::is_control) {
        Err(ApiError::BadRequest)
    } else if name.chars().count() > NAME_MAX {
        Err(ApiError::NameTooLong)
    } else {
        Ok(name.to_owned())
    }
}

async fn resolve(app: &App, peer: Peer, invite: &str) -> Result<(Room, Role), ApiError> {
    if !app.attempts.may_try(peer.0).await {
        return Err(ApiError::TooManyAttempts);
    }
    let resolved = if invite.len() > INVITE_MAX {
        Resolved::Unknown
    } else {
        app.store.resolve_invite(invite, unix_millis()).await.map_err(|error| {
            tracing::error!(%error, "an invite cannot be looked up");
            ApiError::Unavailable
        })?
    };
    match resolved {
        Resolved::Open { room, role, .. } => Ok((room, role)),
        Resolved::Revoked => Err(ApiError::InviteRevoked),
        Resolved::Expired => Err(ApiError::InviteExpired),
        Resolved::NotYet => Err(ApiError::InviteEarly),
        Resolved::Unknown => {
            app.attempts.failed(peer.0).await;
            Err(ApiError::InviteUnknown)
        }
    }
}

/// What an invite's role is in the circle.
const fn circle_role(role: Role) -> circle::Role {
    match role {
        Role::Host => circle::Role::Host,
        Role::CoHost => circle::Role::CoHost,
        Role::Guest => circle::Role::Speaker,
        Role::Listener => circle::Role::Listener,
    }
}

fn unix_millis() -> i64 {
    i64::try_from(now().unix_millis).unwrap_or(i64::MAX)
}

/// Fresh for every join: nothing links two visits of one person.
fn identity(role: Role) -> Result<String, ApiError> {
    let mut random = [0_u8; 9];
    getrandom::fill(&mut random).map_err(|_| ApiError::Unavailable)?;
    Ok(format!("{}-{}", role.name(), URL_SAFE_NO_PAD.encode(random)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_trimmed_counted_in_characters_and_free_of_control_characters() {
        assert_eq!(checked_name("  花子 ").unwrap(), "花子");
        assert!(checked_name(&"花".repeat(64)).is_ok());
        assert!(matches!(checked_name(&"花".repeat(65)), Err(ApiError::NameTooLong)));
        assert!(matches!(checked_name(" \u{3000}"), Err(ApiError::NameMissing)));
        assert!(matches!(checked_name("a\u{7}b"), Err(ApiError::BadRequest)));
    }
}

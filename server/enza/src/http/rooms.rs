//! Rooms over HTTP: `/api/rooms`, and what a page may know of the server before anybody has a link.

use super::api::unix_millis;
use super::authority::{self, operator};
use super::invites::link;
use super::problem::{ApiError, read};
use super::{App, Peer};
use crate::config::RoomsRule;
use crate::passphrase::PASSPHRASE_MAX;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use store::{Role, Terms};

#[derive(Serialize)]
struct ServerAnswer {
    rooms: RoomsRule,
    version: &'static str,
}

#[derive(Deserialize)]
struct RoomOrder {
    title: String,
}

#[derive(Serialize)]
struct RoomName {
    id: String,
    name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewRoom {
    room: RoomName,
    /// Relative to the server's own address, and shown this once.
    host_link: String,
    guest_link: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PassphraseOrder {
    passphrase: Option<String>,
}

/// `GET /api/server`.
pub(super) async fn server(State(app): State<App>) -> Response {
    Json(ServerAnswer { rooms: app.rooms_rule, version: env!("CARGO_PKG_VERSION") }).into_response()
}

/// `POST /api/rooms {"title"}`: a room with a link for its host and one for guests.
pub(super) async fn create(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let by_anybody = !headers.contains_key(axum::http::header::AUTHORIZATION);
    if !by_anybody {
        operator(&app, peer, &headers).await?;
    } else if app.rooms_rule == RoomsRule::Closed {
        return Err(ApiError::RoomsClosed);
    } else if !app.makers.may_try(peer.0).await {
        return Err(ApiError::TooManyAttempts);
    }
    let order: RoomOrder = read(body)?;
    let now = unix_millis();
    let room = app.store.create_room(&order.title, now).await?;
    if by_anybody {
        app.makers.failed(peer.0).await;
    }
    let (_, host) = app.store.create_invite(&room.id, Role::Host, Terms::default(), now).await?;
    let (_, guest) = app.store.create_invite(&room.id, Role::Guest, Terms::default(), now).await?;
    let answer = NewRoom {
        room: RoomName { id: room.id, name: room.title },
        host_link: link(&host),
        guest_link: link(&guest),
    };
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// `PUT /api/rooms/{room}/passphrase {"passphrase"}`: asked of everybody who is new from now on; `null`: of nobody.
pub(super) async fn set_passphrase(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    room: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, ApiError> {
    let Path(room) = room.map_err(|_| ApiError::RoomUnknown)?;
    authority::over(&app, peer, &headers, &room).await?;
    let order: PassphraseOrder = read(body)?;
    app.store.room(&room).await?;
    let hash = match order.passphrase.as_deref() {
        None => None,
        Some(words) if words.trim().is_empty() || words.chars().count() > PASSPHRASE_MAX => {
            return Err(ApiError::Passphrase);
        }
        Some(words) => Some(app.passphrases.hash(words).await?),
    };
    app.store.keep_passphrase(&room, hash.as_deref()).await?;
    Ok(StatusCode::NO_CONTENT)
}

//! LiveKit's client protocol over HTTP: the WebSocket of `/rtc/v1` and the answers that say why one is refused.
//!
//! A connection is refused before its upgrade, as plain HTTP with one sentence: a client reads that at once,
//! while a socket that opens and stays silent would make it wait.

use super::App;
use crate::session;
use crate::token::Refusal;
use axum::extract::rejection::QueryRejection;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, HeaderMap};
use axum::response::{IntoResponse as _, Response};
use livekit_protocol::JoinRequest;
use serde::Deserialize;
use signal::Grants;

/// Largest message (LiveKit: 2 MiB).
const MESSAGE_MAX: usize = 2 << 20;

/// Bytes read from a socket at once. The library's default of 128 KiB would be most of an idle connection.
const READ_BUFFER: usize = 8 << 10;

/// Bytes that may wait in the library before a socket counts as broken.
const WRITE_BUFFER_MAX: usize = 4 << 20;

#[derive(Deserialize)]
pub(super) struct Parameters {
    access_token: Option<String>,
    join_request: Option<String>,
    /// Old clients name the room beside the token.
    room: Option<String>,
}

type MaybeParameters = Result<Query<Parameters>, QueryRejection>;

/// `GET /rtc/v1`: a WebSocket, else 404.
pub(super) async fn connect(
    State(app): State<App>,
    headers: HeaderMap,
    parameters: MaybeParameters,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else { return absent().await };
    let (grants, request) = match admit(&app, &headers, parameters) {
        Ok((grants, Some(request))) => (grants, Box::new(request)),
        Ok((_, None)) => return sentence(StatusCode::BAD_REQUEST, "The parameter join_request is missing."),
        Err(refused) => return refused,
    };
    upgrade
        .max_message_size(MESSAGE_MAX)
        .max_frame_size(MESSAGE_MAX)
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(READ_BUFFER)
        .max_write_buffer_size(WRITE_BUFFER_MAX)
        .on_upgrade(move |socket| async move {
            let App { rooms, stopped, alive, .. } = app;
            session::run(socket, rooms, grants, request, stopped).await;
            drop(alive);
        })
}

/// `GET /rtc/v1/validate` and `/rtc/validate`: would this connection be let in, and if not, why.
pub(super) async fn validate(
    State(app): State<App>,
    headers: HeaderMap,
    parameters: MaybeParameters,
) -> Response {
    match admit(&app, &headers, parameters) {
        Ok(_) => sentence(StatusCode::OK, "success"),
        Err(refused) => refused,
    }
}

/// Everything else under `/rtc`.
pub(super) async fn absent() -> Response {
    sentence(StatusCode::NOT_FOUND, "There is nothing here: connect a WebSocket to /rtc/v1.")
}

fn admit(
    app: &App,
    headers: &HeaderMap,
    parameters: MaybeParameters,
) -> Result<(Grants, Option<JoinRequest>), Response> {
    let Query(parameters) = parameters
        .map_err(|_| sentence(StatusCode::BAD_REQUEST, "The parameters of the address cannot be read."))?;
    let bearer = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    let token = bearer.or(parameters.access_token.as_deref()).unwrap_or_default();
    let room = parameters.room.as_deref().filter(|room| !room.is_empty());
    let grants = app.tokens.verify(token, room).map_err(|refusal| {
        tracing::debug!(%refusal, "a token is refused");
        refused(refusal)
    })?;
    let request = match parameters.join_request.as_deref() {
        None => None,
        Some(request) => Some(signal::decode_join_request(request).map_err(|error| {
            sentence(StatusCode::BAD_REQUEST, &format!("The parameter join_request cannot be read: {error}."))
        })?),
    };
    Ok((grants, request))
}

fn refused(refusal: Refusal) -> Response {
    sentence(refusal.status(), &refusal.to_string())
}

fn sentence(status: StatusCode, text: &str) -> Response {
    (status, text.to_owned()).into_response()
}

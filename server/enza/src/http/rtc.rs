//! LiveKit's client protocol over HTTP: the WebSocket of `/rtc/v1` and the answers that say why one is refused.
//!
//! A connection is refused before its upgrade, as plain HTTP with one sentence: a client reads that at once,
//! while a socket that opens and stays silent would make it wait.

use super::{App, Slot};
use crate::room::Entry;
use crate::session;
use crate::token::Refusal;
use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, HeaderMap};
use axum::response::{IntoResponse as _, Response};
use livekit_protocol::JoinRequest;
use serde::Deserialize;
use signal::{Grants, JoinRequestError};

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

/// Why a connection is not let in. `Display` is the sentence that the client gets.
#[derive(Debug, thiserror::Error)]
enum NotAdmitted {
    #[error("The parameters of the address cannot be read.")]
    Parameters,
    #[error("{0}")]
    Token(#[from] Refusal),
    #[error("The parameter join_request is missing.")]
    NoJoinRequest,
    #[error("The parameter join_request cannot be read: {0}.")]
    JoinRequest(#[from] JoinRequestError),
}

impl NotAdmitted {
    fn into_response(self) -> Response {
        tracing::debug!(reason = %self, "a connection is not let in");
        let status = match &self {
            Self::Token(refusal) => refusal.status(),
            Self::Parameters | Self::NoJoinRequest | Self::JoinRequest(_) => StatusCode::BAD_REQUEST,
        };
        sentence(status, &self.to_string())
    }
}

type MaybeParameters = Result<Query<Parameters>, QueryRejection>;

/// `GET /rtc/v1`: a WebSocket, else 404.
pub(super) async fn connect(
    State(app): State<App>,
    Extension(slot): Extension<Slot>,
    headers: HeaderMap,
    parameters: MaybeParameters,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else { return absent().await };
    let (grants, request) = match admit(&app, &headers, parameters) {
        Ok((grants, Some(request))) => (grants, Box::new(request)),
        Ok((_, None)) => return NotAdmitted::NoJoinRequest.into_response(),
        Err(not_admitted) => return not_admitted.into_response(),
    };
    upgrade
        .max_message_size(MESSAGE_MAX)
        .max_frame_size(MESSAGE_MAX)
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(READ_BUFFER)
        .max_write_buffer_size(WRITE_BUFFER_MAX)
        .on_upgrade(move |socket| async move {
            let App { rooms, stopped, alive, .. } = app;
            session::run(socket, rooms, Entry { grants, request }, stopped).await;
            drop((slot, alive));
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
        Err(not_admitted) => not_admitted.into_response(),
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
) -> Result<(Grants, Option<JoinRequest>), NotAdmitted> {
    let Query(parameters) = parameters.map_err(|_| NotAdmitted::Parameters)?;
    let bearer = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    let token = bearer.or(parameters.access_token.as_deref()).unwrap_or_default();
    let room = parameters.room.as_deref().filter(|room| !room.is_empty());
    let grants = app.tokens.verify(token, room)?;
    let request = parameters.join_request.as_deref().map(signal::decode_join_request).transpose()?;
    Ok((grants, request))
}

fn sentence(status: StatusCode, text: &str) -> Response {
    (status, text.to_owned()).into_response()
}

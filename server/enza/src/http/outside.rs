//! What the page `/doctor` asks: its socket, and the report that an operator waits for under a one-time word.

use super::problem::{ApiError, read};
use super::rtc::sentence;
use super::{App, Peer, Slot, authority};
use crate::outside::{self, Heard, Report, Visitor};
use crate::rooms;
use axum::Extension;
use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;

/// Bytes read from a socket at once, and that may wait to be written.
const BUFFER: usize = 4 << 10;
const WRITE_BUFFER_MAX: usize = 64 << 10;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/doctor/line", get(line).connect(line))
        .route("/doctor/words", post(word))
        .route("/doctor/reports", post(tell))
        .route("/doctor/reports/{word}", get(ask))
}

/// The page's socket, for anybody.
async fn line(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    Extension(slot): Extension<Slot>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        return sentence(StatusCode::UPGRADE_REQUIRED, "Connect a WebSocket here.");
    };
    let ice_servers = app.ice_servers.for_trial(&headers, rooms::now().unix_millis / 1000);
    let visitor = Visitor { from: peer.0, ice_servers };
    upgrade
        .max_message_size(outside::MESSAGE_MAX)
        .max_frame_size(outside::MESSAGE_MAX)
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_write_buffer_size(WRITE_BUFFER_MAX)
        .on_upgrade(move |socket| async move {
            let App { outside, stopped, alive, .. } = app;
            outside::run(socket, outside, visitor, stopped).await;
            drop((slot, alive));
        })
}

/// A word under which one report is waited for.
async fn word(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    authority::operator(&app, peer, &headers).await?;
    let word = app.outside.word().await.ok_or(ApiError::Unavailable)?;
    Ok(Json(json!({"word": word})).into_response())
}

#[derive(Deserialize)]
struct Telling {
    word: String,
    report: Report,
}

/// The page tells what it saw. Wrong words count like wrong invites.
async fn tell(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, ApiError> {
    let Telling { word, report } = read(body)?;
    let report = report.bounded().ok_or(ApiError::BadRequest)?;
    if !app.attempts.may_try(peer.0).await {
        return Err(ApiError::TooManyAttempts);
    }
    if app.outside.tell(word, report).await {
        return Ok(StatusCode::NO_CONTENT);
    }
    app.attempts.failed(peer.0).await;
    Err(ApiError::WordUnknown)
}

/// 204: not yet.
async fn ask(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    Path(word): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    authority::operator(&app, peer, &headers).await?;
    match app.outside.ask(word).await {
        Heard::Unknown => Err(ApiError::WordUnknown),
        Heard::Waiting => Ok(StatusCode::NO_CONTENT.into_response()),
        Heard::Report(report) => Ok(Json(report).into_response()),
    }
}

//! The circle socket: `GET /api/rooms/{room}/circle`, opened with the room token that also opens `/rtc/v1`.
//! Its messages are described in `server/circle/PROTOCOL.md`.

use super::rtc::{bearer, sentence};
use super::{App, Slot};
use crate::circle_session;
use crate::room::Visit;
use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::HeaderMap;
use axum::response::Response;
use circle::Resume;
use circle::limits::REQUEST_MAX;
use serde::Deserialize;

/// Bytes read from a socket at once, and kept before they are written. Lower: more system calls for a state.
const BUFFER: usize = 4 << 10;

/// Bytes that may wait in the library before a socket counts as broken: some states of a full room.
const WRITE_BUFFER_MAX: usize = 1 << 20;

#[derive(Deserialize)]
pub(super) struct Parameters {
    access_token: Option<String>,
    /// How far the client had read, both or neither.
    epoch: Option<String>,
    revision: Option<u64>,
}

/// A WebSocket, or one sentence that says why not.
#[utoipa::path(
    get,
    path = "/api/rooms/{room}/circle",
    operation_id = "openCircle",
    tag = "entering",
    summary = "The circle's WebSocket (server/circle/PROTOCOL.md); browsers give the token as access_token",
    params(
        ("room" = String, Path, description = "The room's id."),
        ("access_token" = Option<String>, Query, description = "The room token, where no header can be set."),
        ("epoch" = Option<String>, Query, description = "With `revision`: how far the client had read."),
        ("revision" = Option<u64>, Query, description = "With `epoch`.")
    ),
    security(("host" = []), ()),
    responses(
        (status = 101, description = "The socket is open."),
        (status = 400, description = "The address cannot be read.", body = String, content_type = "text/plain"),
        (status = 401, description = "The token opens nothing here.", body = String, content_type = "text/plain"),
        (status = 403, description = "The token takes no part in the circle.", body = String, content_type = "text/plain"),
        (status = 426, description = "This is no WebSocket.", body = String, content_type = "text/plain")
    ),
)]
pub(super) async fn connect(
    State(app): State<App>,
    Extension(slot): Extension<Slot>,
    headers: HeaderMap,
    room: Result<Path<String>, PathRejection>,
    parameters: Result<Query<Parameters>, QueryRejection>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let (Ok(Path(room)), Ok(Query(parameters))) = (room, parameters) else {
        return sentence(StatusCode::BAD_REQUEST, "The parameters of the address cannot be read.");
    };
    let token = bearer(&headers).or(parameters.access_token.as_deref()).unwrap_or_default();
    let grants = match app.tokens.verify(token, Some(&room)) {
        Ok(grants) => grants,
        Err(refusal) => return sentence(refusal.status(), &refusal.to_string()),
    };
    if grants.hidden {
        return sentence(StatusCode::FORBIDDEN, "A hidden participant takes no part in the circle.");
    }
    let Ok(upgrade) = upgrade else {
        return sentence(StatusCode::UPGRADE_REQUIRED, "Connect a WebSocket here.");
    };
    let resume =
        parameters.epoch.zip(parameters.revision).map(|(epoch, revision)| Resume { epoch, revision });
    upgrade
        .max_message_size(REQUEST_MAX)
        .max_frame_size(REQUEST_MAX)
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_write_buffer_size(WRITE_BUFFER_MAX)
        .on_upgrade(move |socket| async move {
            let App { rooms, tokens, stopped, alive, .. } = app;
            circle_session::run(socket, rooms, tokens, Visit { grants, resume }, stopped).await;
            drop((slot, alive));
        })
}

//! The circle's own commands about others, given over HTTP: `POST /api/rooms/{room}/moderation`. What they may do is
//! the circle's table; nothing is decided here.

use super::authority::holder;
use super::problem::{ApiError, read};
use super::{App, Peer};
use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use circle::{Action, Command, Order};

/// The commands' `type`s. The others need a place in the room.
pub(super) const COMMANDS: [&str; 12] = [
    "mute",
    "mute-all",
    "ask-to-unmute",
    "set-role",
    "spotlight",
    "lower-hands",
    "order-seats",
    "remove",
    "admit",
    "decline",
    "tell-waiting",
    "end",
];

/// `POST /api/rooms/{room}/moderation`: a command as on the circle's socket, without its `id`.
#[utoipa::path(
    post,
    path = "/api/rooms/{room}/moderation",
    operation_id = "moderate",
    tag = "participants",
    summary = "Do to others what the role allows: mute, remove, ban, admit, end and the circle's other commands",
    params(("room" = String, Path, description = "The room's id.")),
    request_body = Command,
    security(("operator" = []), ("host" = [])),
    responses((status = 204, description = "It is done, and on disk where it lasts.")),
)]
pub(super) async fn moderate(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    room: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, ApiError> {
    let Path(room) = room.map_err(|_| ApiError::RoomUnknown)?;
    let by = holder(&app, peer, &headers, &room).await?;
    let command: Command = read(body)?;
    // Rules are changed by `PATCH`, which works in an empty room too.
    if !command.is_about_others() || matches!(command, Command::ChangeRoom { .. }) {
        return Err(ApiError::BadRequest);
    }
    // Whether anybody is inside is not for everybody. Whoever may do anything to others may do this.
    if !by.role.may(Action::Admit) {
        return Err(ApiError::NotAllowed);
    }
    let Some(live) = app.rooms.find(&room).await else {
        app.store.room(&room).await?;
        return Err(ApiError::NobodyInside);
    };
    match live.operate(Order::Obey { by, command }).await {
        Some(Ok(Ok(()))) => Ok(StatusCode::NO_CONTENT),
        Some(Err(refusal)) => Err(ApiError::Refused(refusal)),
        Some(Ok(Err(_))) | None => Err(ApiError::Unavailable),
    }
}

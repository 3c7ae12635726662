//! Rooms over HTTP: `/api/rooms`, and what a page may know of the server before anybody has a link.

use super::api::unix_millis;
use super::authority::{self, OwnRoom, operator};
use super::invites::{InviteView, link, views};
use super::problem::{ApiError, read};
use super::{App, Peer};
use crate::config::RoomsRule;
use crate::passphrase::{PASSPHRASE_MAX, wiped};
use crate::room::Question;
use crate::welcome;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use circle::{Knock, Order, Person, Settings, SettingsChange};
use serde::{Deserialize, Serialize};
use store::{BanId, Role, Room, Terms};
use utoipa::ToSchema;
use zeroize::Zeroizing;

#[derive(Serialize, ToSchema)]
struct ServerAnswer {
    rooms: RoomsRule,
    version: &'static str,
}

#[derive(Deserialize, ToSchema)]
struct RoomOrder {
    /// On one line.
    #[schema(min_length = 1, max_length = 100)]
    title: String,
}

#[derive(Serialize, ToSchema)]
struct RoomName {
    id: String,
    name: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct NewRoom {
    room: RoomName,
    /// Relative to the server's own address, and shown this once.
    host_link: String,
    guest_link: String,
}

/// A room in a list. Times are milliseconds since 1970-01-01 UTC.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RoomLine {
    id: String,
    name: String,
    created_at: i64,
    /// Inside now.
    people: usize,
}

#[derive(Serialize, ToSchema)]
struct RoomList {
    rooms: Vec<RoomLine>,
}

#[derive(Serialize, ToSchema)]
struct RoomView {
    #[serde(flatten)]
    line: RoomLine,
    /// Whether newcomers are asked for one.
    passphrase: bool,
    settings: Settings,
    accepted: Vec<Accepted>,
}

/// How many people accepted a version of the agreement. Who they were is nowhere.
#[derive(Serialize, ToSchema)]
struct Accepted {
    version: u32,
    people: u32,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangeOrder {
    #[schema(min_length = 1, max_length = 100)]
    title: Option<String>,
    settings: Option<SettingsChange>,
}

#[derive(Serialize, ToSchema)]
struct ParticipantList {
    participants: Vec<Person>,
    /// Who waits until a host lets them in.
    waiting: Vec<Knock>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct BanView {
    id: i64,
    created_at: i64,
    /// Whether the browser is known too, not only the earlier token.
    device: bool,
}

#[derive(Serialize, ToSchema)]
struct BanList {
    bans: Vec<BanView>,
}

/// One thing that a host did.
#[derive(Serialize, ToSchema)]
struct AuditView {
    /// The beginning of its hour.
    hour: i64,
    act: String,
    /// A role, or `operator`.
    by: String,
    people: u32,
}

#[derive(Serialize, ToSchema)]
struct AuditList {
    audit: Vec<AuditView>,
}

/// A text that outlives the meeting.
#[derive(Serialize, ToSchema)]
struct TextView {
    at: i64,
    until: i64,
    name: String,
    body: String,
}

#[derive(Serialize, ToSchema)]
struct Export {
    room: RoomView,
    invites: Vec<InviteView>,
    bans: Vec<BanView>,
    texts: Vec<TextView>,
    audit: Vec<AuditView>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PassphraseOrder {
    #[serde(default, deserialize_with = "wiped")]
    #[schema(min_length = 1, max_length = 128, value_type = Option<String>)]
    passphrase: Option<Zeroizing<String>>,
}

/// `GET /api/server`.
#[utoipa::path(
    get,
    path = "/api/server",
    operation_id = "showServer",
    tag = "server",
    summary = "What a page may know before anybody has a link",
    responses((status = 200, description = "The server.", body = ServerAnswer)),
)]
pub(super) async fn server(State(app): State<App>) -> Response {
    Json(ServerAnswer { rooms: app.rooms_rule, version: env!("CARGO_PKG_VERSION") }).into_response()
}

/// `POST /api/rooms {"title"}`: a room with a link for its host and one for guests.
#[utoipa::path(
    post,
    path = "/api/rooms",
    operation_id = "createRoom",
    tag = "rooms",
    summary = "Make a room with a link for its host and one for guests",
    request_body = RoomOrder,
    security((), ("operator" = [])),
    responses((status = 201, description = "The room and its links, shown this once.", body = NewRoom)),
)]
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

/// `GET /api/rooms`: all of them, oldest first.
#[utoipa::path(
    get,
    path = "/api/rooms",
    operation_id = "listRooms",
    tag = "rooms",
    summary = "All rooms, oldest first",
    security(("operator" = [])),
    responses((status = 200, description = "The rooms.", body = RoomList)),
)]
pub(super) async fn list(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    operator(&app, peer, &headers).await?;
    let mut rooms = Vec::new();
    for Room { id, title, created_unix_millis } in app.store.rooms().await? {
        let people = people(&app, &id).await;
        rooms.push(RoomLine { id, name: title, created_at: created_unix_millis, people });
    }
    Ok(Json(RoomList { rooms }).into_response())
}

async fn people(app: &App, room: &str) -> usize {
    match app.rooms.find(room).await {
        Some(live) => live.ask(|reply| Question::People { reply }).await.unwrap_or_default(),
        None => 0,
    }
}

async fn settings(app: &App, room: &str) -> Result<Settings, ApiError> {
    if let Some(live) = app.rooms.find(room).await
        && let Some(settings) = live.ask(|reply| Question::Settings { reply }).await
    {
        return Ok(settings);
    }
    let kept = app.store.room_settings(room).await?;
    Ok(kept.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default())
}

async fn view(app: &App, room: &str) -> Result<RoomView, ApiError> {
    let Room { id, title, created_unix_millis } = app.store.room(room).await?;
    let accepted = app.store.acceptances(&id).await?;
    Ok(RoomView {
        passphrase: app.store.passphrase(&id).await?.is_some(),
        settings: settings(app, &id).await?,
        accepted: accepted.into_iter().map(|(version, people)| Accepted { version, people }).collect(),
        line: RoomLine { people: people(app, &id).await, id, name: title, created_at: created_unix_millis },
    })
}

/// `GET /api/rooms/{room}`.
#[utoipa::path(
    get,
    path = "/api/rooms/{room}",
    operation_id = "showRoom",
    tag = "rooms",
    summary = "One room and its rules",
    params(("room" = String, Path, description = "The room's id.")),
    security(("operator" = []), ("host" = [])),
    responses((status = 200, description = "The room.", body = RoomView)),
)]
pub(super) async fn show(State(app): State<App>, OwnRoom(room): OwnRoom) -> Result<Response, ApiError> {
    Ok(Json(view(&app, &room).await?).into_response())
}

/// `PATCH /api/rooms/{room} {"title"?, "settings"?}`: all of it or nothing, and on disk when this is answered. Rules are
/// told to everybody inside.
#[utoipa::path(
    patch,
    path = "/api/rooms/{room}",
    operation_id = "changeRoom",
    tag = "rooms",
    summary = "Change the title or rules: all of it or nothing. Rules are told to everybody inside, a title is seen by who comes next; both are on disk when this is answered",
    params(("room" = String, Path, description = "The room's id.")),
    request_body = ChangeOrder,
    security(("operator" = []), ("host" = [])),
    responses((status = 200, description = "The room as it is now.", body = RoomView)),
)]
pub(super) async fn change(
    State(app): State<App>,
    OwnRoom(room): OwnRoom,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let order: ChangeOrder = read(body)?;
    app.store.room(&room).await?;
    // All of it or nothing: the title is looked at before a rule is changed.
    let title = order.title.as_deref().map(store::checked_title).transpose()?;
    if let Some(set) = order.settings {
        // One owner changes the rules: the room's task, woken up for this where nobody is inside.
        let (live, _) = app.rooms.enter(&room).await.map_err(|_| ApiError::Unavailable)?;
        match live.operate(Order::ChangeRoom(set)).await {
            Some(Ok(Ok(()))) => {}
            Some(Err(_)) => return Err(ApiError::Setting),
            Some(Ok(Err(_))) | None => return Err(ApiError::Unavailable),
        }
    }
    if let Some(title) = title {
        app.store.rename_room(&room, title).await?;
    }
    Ok(Json(view(&app, &room).await?).into_response())
}

/// `DELETE /api/rooms/{room}`: ends what goes on in it and leaves no trace of it on the disk.
#[utoipa::path(
    delete,
    path = "/api/rooms/{room}",
    operation_id = "eraseRoom",
    tag = "rooms",
    summary = "End what goes on in a room and leave no trace of it on the disk",
    params(("room" = String, Path, description = "The room's id.")),
    security(("operator" = [])),
    responses((status = 204, description = "It is gone.")),
)]
pub(super) async fn erase(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    room: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, ApiError> {
    operator(&app, peer, &headers).await?;
    let Path(room) = room.map_err(|_| ApiError::RoomUnknown)?;
    app.store.room(&room).await?;
    if let Some(live) = app.rooms.find(&room).await {
        live.ask(|reply| Question::End { reply }).await;
    }
    app.store.erase_room(&room).await?;
    welcome::forget_dead_links(&app.store, &app.data).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /api/rooms/{room}/participants`: who is inside now, and who waits.
#[utoipa::path(
    get,
    path = "/api/rooms/{room}/participants",
    operation_id = "listParticipants",
    tag = "participants",
    summary = "Who is inside now, and who waits for a host",
    params(("room" = String, Path, description = "The room's id.")),
    security(("operator" = []), ("host" = [])),
    responses((status = 200, description = "The people.", body = ParticipantList)),
)]
pub(super) async fn participants(
    State(app): State<App>,
    OwnRoom(room): OwnRoom,
) -> Result<Response, ApiError> {
    let (participants, waiting) = match app.rooms.find(&room).await {
        Some(live) => live.ask(|reply| Question::Everybody { reply }).await.unwrap_or_default(),
        None => {
            app.store.room(&room).await?;
            Default::default()
        }
    };
    Ok(Json(ParticipantList { participants, waiting }).into_response())
}

/// `GET /api/rooms/{room}/export`: everything that is kept of a room. No link and no passphrase is in it: those are
/// kept as hashes.
#[utoipa::path(
    get,
    path = "/api/rooms/{room}/export",
    operation_id = "exportRoom",
    tag = "rooms",
    summary = "Everything that is kept of a room; links and passphrases are kept as hashes and are not in it",
    params(("room" = String, Path, description = "The room's id.")),
    security(("operator" = [])),
    responses((status = 200, description = "What is kept.", body = Export)),
)]
pub(super) async fn export(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    room: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    operator(&app, peer, &headers).await?;
    let Path(room) = room.map_err(|_| ApiError::RoomUnknown)?;
    let answer = Export {
        room: view(&app, &room).await?,
        invites: views(&app.store.invites(&room).await?, unix_millis()),
        bans: bans_of(&app, &room).await?,
        texts: texts_of(&app, &room).await?,
        audit: audit_of(&app, &room).await?,
    };
    Ok(Json(answer).into_response())
}

async fn texts_of(app: &App, room: &str) -> Result<Vec<TextView>, ApiError> {
    let texts = app.store.texts(room, unix_millis()).await?.into_iter();
    Ok(texts
        .map(|text| TextView {
            at: text.at_unix_millis,
            until: text.until_unix_millis,
            name: text.name,
            body: text.body,
        })
        .collect())
}

async fn audit_of(app: &App, room: &str) -> Result<Vec<AuditView>, ApiError> {
    let records = app.store.audit(room).await?.into_iter();
    Ok(records
        .map(|one| AuditView { hour: one.hour_unix_millis, act: one.act, by: one.actor, people: one.people })
        .collect())
}

/// `GET /api/rooms/{room}/audit`: what hosts did, oldest first, without names.
#[utoipa::path(
    get,
    path = "/api/rooms/{room}/audit",
    operation_id = "showAudit",
    tag = "rooms",
    summary = "What hosts and the operator did, oldest first, without names",
    params(("room" = String, Path, description = "The room's id.")),
    security(("operator" = []), ("host" = [])),
    responses((status = 200, description = "The records.", body = AuditList)),
)]
pub(super) async fn audit(State(app): State<App>, OwnRoom(room): OwnRoom) -> Result<Response, ApiError> {
    app.store.room(&room).await?;
    Ok(Json(AuditList { audit: audit_of(&app, &room).await? }).into_response())
}

async fn bans_of(app: &App, room: &str) -> Result<Vec<BanView>, ApiError> {
    let bans = app.store.bans(room).await?.into_iter();
    Ok(bans
        .map(|ban| BanView { id: ban.id.0, created_at: ban.created_unix_millis, device: ban.mark.is_some() })
        .collect())
}

/// `GET /api/rooms/{room}/bans`.
#[utoipa::path(
    get,
    path = "/api/rooms/{room}/bans",
    operation_id = "listBans",
    tag = "bans",
    summary = "Who may not come in any more, without names",
    params(("room" = String, Path, description = "The room's id.")),
    security(("operator" = []), ("host" = [])),
    responses((status = 200, description = "The bans.", body = BanList)),
)]
pub(super) async fn bans(State(app): State<App>, OwnRoom(room): OwnRoom) -> Result<Response, ApiError> {
    app.store.room(&room).await?;
    Ok(Json(BanList { bans: bans_of(&app, &room).await? }).into_response())
}

/// `DELETE /api/rooms/{room}/bans/{ban}`: they may come in again.
#[utoipa::path(
    delete,
    path = "/api/rooms/{room}/bans/{ban}",
    operation_id = "liftBan",
    tag = "bans",
    summary = "Let somebody come in again",
    params(
        ("room" = String, Path, description = "The room's id."),
        ("ban" = i64, Path, description = "The ban's number.")
    ),
    security(("operator" = []), ("host" = [])),
    responses((status = 204, description = "The ban is lifted.")),
)]
pub(super) async fn lift(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    place: Result<Path<(String, i64)>, PathRejection>,
) -> Result<StatusCode, ApiError> {
    let Path((room, number)) = place.map_err(|_| ApiError::BanUnknown)?;
    authority::over(&app, peer, &headers, &room).await?;
    let bans = app.store.bans(&room).await?;
    let ban = bans.into_iter().find(|ban| ban.id == BanId(number)).ok_or(ApiError::BanUnknown)?;
    app.store.lift_ban(&room, ban.id).await?;
    if let Some(live) = app.rooms.find(&room).await {
        live.ask(|reply| Question::Lift { identity: ban.identity, mark: ban.mark, reply }).await;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// `PUT /api/rooms/{room}/passphrase {"passphrase"}`: asked of everybody who is new from now on; `null`: of nobody.
#[utoipa::path(
    put,
    path = "/api/rooms/{room}/passphrase",
    operation_id = "setPassphrase",
    tag = "rooms",
    summary = "Ask newcomers for a passphrase, or (null) for none",
    params(("room" = String, Path, description = "The room's id.")),
    request_body = PassphraseOrder,
    security(("operator" = []), ("host" = [])),
    responses((status = 204, description = "It is so from now on.")),
)]
pub(super) async fn set_passphrase(
    State(app): State<App>,
    OwnRoom(room): OwnRoom,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, ApiError> {
    let order: PassphraseOrder = read(body)?;
    app.store.room(&room).await?;
    let hash = match order.passphrase.as_ref().map(|words| words.as_str()) {
        None => None,
        Some(words) if words.trim().is_empty() || words.chars().count() > PASSPHRASE_MAX => {
            return Err(ApiError::Passphrase);
        }
        Some(words) => Some(app.passphrases.hash(words).await?),
    };
    app.store.keep_passphrase(&room, hash.as_deref()).await?;
    Ok(StatusCode::NO_CONTENT)
}

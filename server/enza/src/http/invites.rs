//! A room's invites, for its hosts and the operator: `/api/rooms/{room}/invites`.

use super::api::unix_millis;
use super::authority::{self, OwnRoom};
use super::problem::{ApiError, read};
use super::{App, Peer};
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use store::{Invite, InviteId, InviteSecret, InviteState, Role, Terms};
use utoipa::ToSchema;

/// Invites of one room that are open at once. Higher: a longer list; lower: a link for each person of a big group
/// is not to be had.
pub(super) const INVITES_MAX: usize = 500;

/// Longest time from now, seconds: ten years.
pub(super) const AHEAD_MAX: u64 = 10 * 365 * 86_400;

/// Most people by one link.
pub(super) const USES_MAX: u32 = 10_000;

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct InviteOrder {
    role: InviteRole,
    /// Seconds from now.
    #[schema(minimum = 1, maximum = 315_360_000)]
    opens_in: Option<u64>,
    /// Seconds from now.
    #[schema(minimum = 1, maximum = 315_360_000)]
    expires_in: Option<u64>,
    #[schema(minimum = 1, maximum = 10_000)]
    max_uses: Option<u32>,
}

/// What an invite makes of whoever opens it.
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum InviteRole {
    Host,
    CoHost,
    Guest,
    Listener,
}

impl From<InviteRole> for Role {
    fn from(role: InviteRole) -> Self {
        match role {
            InviteRole::Host => Self::Host,
            InviteRole::CoHost => Self::CoHost,
            InviteRole::Guest => Self::Guest,
            InviteRole::Listener => Self::Listener,
        }
    }
}

impl From<Role> for InviteRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Host => Self::Host,
            Role::CoHost => Self::CoHost,
            Role::Guest => Self::Guest,
            Role::Listener => Self::Listener,
        }
    }
}

/// An invite as listed. Times are milliseconds since 1970-01-01 UTC.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct InviteView {
    id: i64,
    role: InviteRole,
    #[schema(pattern = "^(open|not-yet|expired|revoked|used-up)$")]
    state: &'static str,
    created_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    opens_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_uses: Option<u32>,
    /// Counted where there is a maximum.
    uses: u32,
}

#[derive(Serialize, ToSchema)]
struct NewInvite {
    #[serde(flatten)]
    invite: InviteView,
    /// The only time that it is shown. Relative to the server's own address.
    link: String,
}

#[derive(Serialize, ToSchema)]
struct InviteList {
    invites: Vec<InviteView>,
}

impl InviteView {
    fn of(invite: &Invite, now: i64) -> Self {
        let Terms { not_before_unix_millis, expires_unix_millis, max_uses } = invite.terms;
        Self {
            id: invite.id.0,
            role: invite.role.into(),
            state: match invite.state(now) {
                InviteState::Open => "open",
                InviteState::NotYet => "not-yet",
                InviteState::Expired => "expired",
                InviteState::Revoked => "revoked",
                InviteState::UsedUp => "used-up",
            },
            created_at: invite.created_unix_millis,
            opens_at: not_before_unix_millis,
            expires_at: expires_unix_millis,
            max_uses,
            uses: invite.uses,
        }
    }
}

impl InviteOrder {
    fn checked(&self, now: i64) -> Result<(Role, Terms), ApiError> {
        let ahead = |seconds: Option<u64>| match seconds {
            None => Ok(None),
            Some(seconds @ 1..=AHEAD_MAX) => {
                let millis = i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX);
                Ok(Some(now.saturating_add(millis)))
            }
            Some(_) => Err(ApiError::BadRequest),
        };
        let terms = Terms {
            not_before_unix_millis: ahead(self.opens_in)?,
            expires_unix_millis: ahead(self.expires_in)?,
            max_uses: self.max_uses,
        };
        if terms.max_uses.is_some_and(|max| !(1..=USES_MAX).contains(&max)) {
            return Err(ApiError::BadRequest);
        }
        Ok((self.role.into(), terms))
    }
}

pub(super) fn views(invites: &[Invite], now: i64) -> Vec<InviteView> {
    invites.iter().map(|invite| InviteView::of(invite, now)).collect()
}

/// What stands after the server's address.
pub(super) fn link(secret: &InviteSecret) -> String {
    format!("/join#{}", secret.reveal())
}

/// `POST {"role", "opensIn"?, "expiresIn"?, "maxUses"?}`.
#[utoipa::path(
    post,
    path = "/api/rooms/{room}/invites",
    operation_id = "createInvite",
    tag = "invites",
    summary = "Make a link",
    params(("room" = String, Path, description = "The room's id.")),
    request_body = InviteOrder,
    security(("operator" = []), ("host" = [])),
    responses((status = 201, description = "The invite with its link, shown this once.", body = NewInvite)),
)]
pub(super) async fn create(
    State(app): State<App>,
    OwnRoom(room): OwnRoom,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let order: InviteOrder = read(body)?;
    let now = unix_millis();
    let (role, terms) = order.checked(now)?;
    let others = app.store.invites(&room).await?;
    let open =
        others.iter().filter(|one| matches!(one.state(now), InviteState::Open | InviteState::NotYet)).count();
    if open >= INVITES_MAX {
        return Err(ApiError::InvitesFull);
    }
    let (id, secret) = app.store.create_invite(&room, role, terms, now).await?;
    let made = Invite { id, room, role, created_unix_millis: now, revoked_unix_millis: None, terms, uses: 0 };
    let answer = NewInvite { invite: InviteView::of(&made, now), link: link(&secret) };
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// `GET`: all of them, oldest first, without their links.
#[utoipa::path(
    get,
    path = "/api/rooms/{room}/invites",
    operation_id = "listInvites",
    tag = "invites",
    summary = "All invites, oldest first, without their links",
    params(("room" = String, Path, description = "The room's id.")),
    security(("operator" = []), ("host" = [])),
    responses((status = 200, description = "The invites.", body = InviteList)),
)]
pub(super) async fn list(State(app): State<App>, OwnRoom(room): OwnRoom) -> Result<Response, ApiError> {
    let room = app.store.room(&room).await?;
    let now = unix_millis();
    let invites = app.store.invites(&room.id).await?;
    Ok(Json(InviteList { invites: views(&invites, now) }).into_response())
}

/// `DELETE …/{invite}`: its link opens nothing any more. Done twice it is the same.
#[utoipa::path(
    delete,
    path = "/api/rooms/{room}/invites/{invite}",
    operation_id = "revokeInvite",
    tag = "invites",
    summary = "Close a link for good; done twice it is the same",
    params(
        ("room" = String, Path, description = "The room's id."),
        ("invite" = i64, Path, description = "The invite's number.")
    ),
    security(("operator" = []), ("host" = [])),
    responses((status = 204, description = "It opens nothing any more.")),
)]
pub(super) async fn revoke(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    place: Result<Path<(String, i64)>, PathRejection>,
) -> Result<StatusCode, ApiError> {
    let Path((room, invite)) = place.map_err(|_| ApiError::NoSuchInvite)?;
    authority::over(&app, peer, &headers, &room).await?;
    // The number alone must not reach into another room.
    let own = app.store.invites(&room).await?.into_iter().any(|one| one.id == InviteId(invite));
    if !own {
        return Err(ApiError::NoSuchInvite);
    }
    app.store.revoke_invite(InviteId(invite), unix_millis()).await?;
    Ok(StatusCode::NO_CONTENT)
}

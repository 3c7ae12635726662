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

/// Invites of one room that are open at once. Higher: a longer list; lower: a link for each person of a big group
/// is not to be had.
pub(super) const INVITES_MAX: usize = 500;

/// Longest time from now, seconds: ten years.
const AHEAD_MAX: u64 = 10 * 365 * 86_400;

/// Most people by one link.
const USES_MAX: u32 = 10_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct InviteOrder {
    role: String,
    /// Seconds from now.
    opens_in: Option<u64>,
    /// Seconds from now.
    expires_in: Option<u64>,
    max_uses: Option<u32>,
}

/// An invite as listed. Times are milliseconds since 1970-01-01 UTC.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InviteView {
    id: i64,
    role: &'static str,
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

#[derive(Serialize)]
struct NewInvite {
    #[serde(flatten)]
    invite: InviteView,
    /// The only time that it is shown. Relative to the server's own address.
    link: String,
}

#[derive(Serialize)]
struct InviteList {
    invites: Vec<InviteView>,
}

impl InviteView {
    fn of(invite: &Invite, now: i64) -> Self {
        let Terms { not_before_unix_millis, expires_unix_millis, max_uses } = invite.terms;
        Self {
            id: invite.id.0,
            role: invite.role.name(),
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
        let role = Role::from_name(&self.role).ok_or(ApiError::BadRequest)?;
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
        Ok((role, terms))
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
pub(super) async fn list(State(app): State<App>, OwnRoom(room): OwnRoom) -> Result<Response, ApiError> {
    let room = app.store.room(&room).await?;
    let now = unix_millis();
    let invites = app.store.invites(&room.id).await?;
    Ok(Json(InviteList { invites: views(&invites, now) }).into_response())
}

/// `DELETE …/{invite}`: its link opens nothing any more. Done twice it is the same.
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

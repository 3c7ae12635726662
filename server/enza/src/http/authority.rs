//! Who may use the part of the API that changes rooms: the operator by the key in the data folder, and hosts by
//! the room token that also opens the circle.

use super::problem::ApiError;
use super::rtc::bearer;
use super::{App, Peer};
use crate::operator_key;
use crate::room::{Question, pass};
use axum::Extension;
use axum::RequestPartsExt as _;
use axum::extract::{FromRequestParts, Path};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use circle::{Identity, Outsider};

/// The operator, and nobody else.
pub(super) async fn operator(app: &App, peer: Peer, headers: &HeaderMap) -> Result<(), ApiError> {
    let presented = bearer(headers).ok_or(ApiError::KeyNeeded)?;
    // The right key first: whoever guesses from the operator's own address must not lock the operator out.
    if app.operator.is(presented) {
        return Ok(());
    }
    if !app.attempts.may_try(peer.0).await {
        return Err(ApiError::TooManyAttempts);
    }
    app.attempts.failed(peer.0).await;
    Err(ApiError::KeyWrong)
}

/// Whoever may change this room. What a running circle made of a host comes before their token.
pub(super) async fn over(app: &App, peer: Peer, headers: &HeaderMap, room: &str) -> Result<(), ApiError> {
    let by = holder(app, peer, headers, room).await?;
    if by.role == circle::Role::Host { Ok(()) } else { Err(ApiError::NotAllowed) }
}

/// Whose key or token this is, and what they are in the room: the circle judges what they may do.
pub(super) async fn holder(
    app: &App,
    peer: Peer,
    headers: &HeaderMap,
    room: &str,
) -> Result<Outsider, ApiError> {
    let presented = bearer(headers).ok_or(ApiError::KeyNeeded)?;
    if presented.starts_with(operator_key::PREFIX) {
        operator(app, peer, headers).await?;
        return Ok(Outsider::operator());
    }
    let grants = app.tokens.verify(presented, Some(room)).map_err(|_| ApiError::KeyWrong)?;
    if grants.hidden {
        return Err(ApiError::NotAllowed);
    }
    let identity = Identity::from(grants.identity.as_str());
    let role = match app.rooms.find(room).await {
        None => Some(pass(&grants).role),
        Some(live) => {
            let asked = live.ask(|reply| Question::Role { grants: Box::new(grants), reply }).await;
            asked.ok_or(ApiError::Unavailable)?
        }
    };
    Ok(Outsider { identity, role: role.ok_or(ApiError::NotAllowed)? })
}

/// The room that a request's path names, once [`over`] has let the request through. For paths with nothing else in them.
pub(super) struct OwnRoom(pub(super) String);

impl FromRequestParts<App> for OwnRoom {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let Path(room) = parts.extract::<Path<String>>().await.map_err(|_| ApiError::RoomUnknown)?;
        let Extension(peer) = parts.extract().await.map_err(|_| ApiError::Unavailable)?;
        over(app, peer, &parts.headers, &room).await?;
        Ok(Self(room))
    }
}

//! The page's own two questions: what does this invite open, and let me in.
//!
//! The invite travels in the body, never in an address, so it is in no request line and no log.

use super::invites::InviteRole;
use super::problem::{ApiError, read};
use super::{App, Peer};
use crate::origin::Origin;
use crate::passphrase::{PASSPHRASE_MAX, wiped};
use crate::room::{Question, ROLE};
use crate::rooms;
use axum::Extension;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use circle::{Agreement, History, Settings};
use serde::{Deserialize, Serialize};
use signal::Grants;
use std::collections::BTreeMap;
use std::time::Duration;
use store::{Ban, InviteId, Resolved, Role, Room, Trace};
use utoipa::ToSchema;
use zeroize::Zeroizing;

/// How long a room token from an invite lives. It is used at once, and refreshed inside the room. Higher: a
/// revoked invite still opens the room for longer; lower: somebody who tests their camera for a while is late.
const TOKEN: Duration = Duration::from_secs(3600);

/// How long after its expiry a room token still tells who comes back. Higher: a borrowed computer remembers
/// somebody for longer; lower: who closes the laptop over lunch sits elsewhere.
const AGAIN: Duration = Duration::from_secs(12 * 3600);

/// Longest name in characters after trimming.
pub(super) const NAME_MAX: usize = 64;

/// Longest invite looked up; real ones have 24 characters.
const INVITE_MAX: usize = 256;

/// Longest mark, bytes. The page's have 22.
const MARK_MAX: usize = 64;

#[derive(Deserialize, ToSchema)]
struct InviteQuestion {
    /// What stands after `/join#` in a link.
    invite: String,
    /// An earlier room token: who came in by a link that is used up since may come back.
    again: Option<String>,
}

#[derive(Deserialize, ToSchema)]
struct JoinQuestion {
    /// What stands after `/join#` in a link.
    invite: String,
    /// Without control characters; blanks around it do not count.
    #[schema(min_length = 1, max_length = 64, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    name: String,
    #[serde(default, deserialize_with = "wiped")]
    #[schema(value_type = Option<String>)]
    passphrase: Option<Zeroizing<String>>,
    /// What the browser keeps, random: by it somebody who was banned is known again, in this room alone.
    #[schema(min_length = 1, max_length = 64, pattern = r"^[ -~]+$")]
    mark: Option<String>,
    /// An earlier room token: the person stays who they are, with their seat, hand and role.
    again: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct RoomAnswer {
    name: String,
}

#[derive(Serialize, ToSchema)]
struct InviteAnswer {
    room: RoomAnswer,
    role: InviteRole,
    /// What has to be accepted before the circle opens.
    #[serde(skip_serializing_if = "Option::is_none")]
    agreement: Option<Agreement>,
    /// Whether a host lets people with this role in one by one.
    lobby: bool,
    /// Whether a passphrase is asked for.
    passphrase: bool,
    /// How many days texts are kept after they were written, where the room keeps them over meetings.
    #[serde(rename = "historyDays", skip_serializing_if = "Option::is_none")]
    history_days: Option<u32>,
    /// Whether sound and picture are encrypted from end to end, with the key in the link.
    encryption: bool,
    /// Whether the invite lets only so many people in, so that each `join` of a newcomer counts.
    counted: bool,
    /// While people are inside, where the room shows their number.
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<LiveAnswer>,
}

#[derive(Serialize, ToSchema)]
struct LiveAnswer {
    people: usize,
}

#[derive(Serialize, ToSchema)]
struct JoinAnswer {
    token: String,
    identity: String,
    name: String,
    role: InviteRole,
    room: RoomAnswer,
    /// Where the circle socket is opened.
    circle: String,
}

/// What an invite opens, and for whom.
struct Opened {
    invite: InviteId,
    room: Room,
    role: Role,
    counted: bool,
    /// Who comes back, by an earlier token of this room.
    earlier: Option<Grants>,
}

/// `POST /api/invite {"invite", "again"?}`.
#[utoipa::path(
    post,
    path = "/api/invite",
    operation_id = "askInvite",
    tag = "entering",
    summary = "What does this invite open",
    request_body = InviteQuestion,
    responses((status = 200, description = "The room behind it.", body = InviteAnswer)),
)]
pub(super) async fn invite(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let question: InviteQuestion = read(body)?;
    let Opened { room, role, counted, earlier, .. } =
        resolve(&app, peer, &question.invite, question.again.as_deref()).await?;
    let kept = app.store.room_settings(&room.id).await?;
    let settings: Settings = kept.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default();
    let live = match app.rooms.find(&room.id).await {
        // Not even whether there is anybody.
        _ if !settings.tells_count_to(circle_role(role)) => None,
        Some(live) => live.ask(|reply| Question::People { reply }).await.filter(|people| *people > 0),
        None => None,
    };
    let answer = InviteAnswer {
        role: role.into(),
        lobby: settings.lobby.holds(circle_role(role)),
        history_days: (settings.history == History::Days).then_some(settings.history_days),
        encryption: settings.encryption,
        counted,
        agreement: settings.agreement.is_asked().then_some(settings.agreement),
        passphrase: earlier.is_none() && app.store.passphrase(&room.id).await?.is_some(),
        live: live.map(|people| LiveAnswer { people }),
        room: RoomAnswer { name: room.title },
    };
    Ok(Json(answer).into_response())
}

/// `POST /api/join {"invite", "name", "passphrase"?, "again"?}`.
#[utoipa::path(
    post,
    path = "/api/join",
    operation_id = "join",
    tag = "entering",
    summary = "Let me in: an invite and a name become a room token",
    request_body = JoinQuestion,
    responses((status = 200, description = "The room token, and where the circle socket is.", body = JoinAnswer)),
)]
pub(super) async fn join(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let question: JoinQuestion = read(body)?;
    let name = checked_name(&question.name)?;
    let Opened { invite, room, role, earlier, .. } =
        resolve(&app, peer, &question.invite, question.again.as_deref()).await?;
    let mark = match question.mark.as_deref() {
        Some(mark) if !(1..=MARK_MAX).contains(&mark.len()) => return Err(ApiError::BadRequest),
        mark => mark.map(|mark| Trace::of_mark(&room.id, mark)),
    };
    let known = earlier.as_ref().map(|earlier| Trace::of_identity(&room.id, &earlier.identity));
    let means = |ban: &Ban| Some(ban.identity) == known || (ban.mark.is_some() && ban.mark == mark);
    if app.store.bans(&room.id).await?.iter().any(means) {
        return Err(ApiError::Banned);
    }
    let identity = match earlier {
        Some(earlier) => earlier.identity,
        None => {
            check_passphrase(&app, peer, &room, question.passphrase.as_ref().map(|words| words.as_str()))
                .await?;
            if !app.store.use_invite(invite).await? {
                return Err(ApiError::InviteUsedUp);
            }
            identity(role)?
        }
    };
    let in_the_circle = circle_role(role);
    let grants = Grants {
        name: name.clone(),
        room_admin: in_the_circle == circle::Role::Host,
        can_publish: in_the_circle.may(circle::Action::Publish),
        attributes: BTreeMap::from([(ROLE.to_owned(), in_the_circle.name().to_owned())]),
        origin: Some(Origin { invite, mark }.write()),
        // The signature's expiry is what counts; that field is filled when a token is read.
        ..Grants::new(&identity, &room.id)
    };
    let token = app.tokens.sign(&grants, TOKEN);
    let circle = format!("/api/rooms/{}/circle", room.id);
    let room = RoomAnswer { name: room.title };
    Ok(Json(JoinAnswer { token, identity, name, role: role.into(), room, circle }).into_response())
}

async fn check_passphrase(app: &App, peer: Peer, room: &Room, given: Option<&str>) -> Result<(), ApiError> {
    let Some(kept) = app.store.passphrase(&room.id).await? else { return Ok(()) };
    let given = given.filter(|words| !words.trim().is_empty()).ok_or(ApiError::PassphraseNeeded)?;
    let turn = app.passphrases.turn().await?;
    // Asked again: whoever sends a thousand at once has not failed yet when they come in. And counted before it is known:
    // whoever goes away meanwhile has tried all the same.
    if !app.attempts.may_try(peer.0).await {
        return Err(ApiError::TooManyAttempts);
    }
    app.attempts.failed(peer.0).await;
    if given.chars().count() <= PASSPHRASE_MAX && turn.fits(given, kept).await? {
        app.attempts.forgive(peer.0).await;
        return Ok(());
    }
    Err(ApiError::PassphraseWrong)
}

fn checked_name(name: &str) -> Result<String, ApiError> {
    let name = name.trim();
    if name.is_empty() {
        Err(ApiError::NameMissing)
    } else if name.chars().any(char::is_control) {
        Err(ApiError::BadRequest)
    } else if name.chars().count() > NAME_MAX {
        Err(ApiError::NameTooLong)
    } else {
        Ok(name.to_owned())
    }
}

async fn resolve(app: &App, peer: Peer, invite: &str, again: Option<&str>) -> Result<Opened, ApiError> {
    if !app.attempts.may_try(peer.0).await {
        return Err(ApiError::TooManyAttempts);
    }
    let resolved = if invite.len() > INVITE_MAX {
        Resolved::Unknown
    } else {
        app.store.resolve_invite(invite, unix_millis()).await?
    };
    // An earlier token that says nothing (too old, of another room) makes a newcomer.
    let earlier = |room: &Room| {
        let grants = app.tokens.verify_earlier(again?, &room.id, AGAIN).ok()?;
        (!grants.hidden).then_some(grants)
    };
    match resolved {
        Resolved::Open { invite, room, role, counted } => {
            let earlier = earlier(&room);
            Ok(Opened { invite, room, role, counted, earlier })
        }
        Resolved::UsedUp { invite, room, role } => match earlier(&room) {
            Some(earlier) => Ok(Opened { invite, room, role, counted: true, earlier: Some(earlier) }),
            None => Err(ApiError::InviteUsedUp),
        },
        Resolved::Revoked => Err(ApiError::InviteRevoked),
        Resolved::Expired => Err(ApiError::InviteExpired),
        Resolved::NotYet => Err(ApiError::InviteEarly),
        Resolved::Unknown => {
            app.attempts.failed(peer.0).await;
            Err(ApiError::InviteUnknown)
        }
    }
}

/// What an invite's role is in the circle.
const fn circle_role(role: Role) -> circle::Role {
    match role {
        Role::Host => circle::Role::Host,
        Role::CoHost => circle::Role::CoHost,
        Role::Guest => circle::Role::Speaker,
        Role::Listener => circle::Role::Listener,
    }
}

pub(super) fn unix_millis() -> i64 {
    rooms::unix_millis(rooms::now())
}

/// Fresh for every newcomer: nothing links two visits of one person who does not want it.
fn identity(role: Role) -> Result<String, ApiError> {
    let mut random = [0_u8; 9];
    getrandom::fill(&mut random).map_err(|_| ApiError::Unavailable)?;
    Ok(format!("{}-{}", role.name(), URL_SAFE_NO_PAD.encode(random)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_trimmed_counted_in_characters_and_free_of_control_characters() {
        assert_eq!(checked_name("  花子 ").unwrap(), "花子");
        assert!(checked_name(&"花".repeat(64)).is_ok());
        assert!(matches!(checked_name(&"花".repeat(65)), Err(ApiError::NameTooLong)));
        assert!(matches!(checked_name(" \u{3000}"), Err(ApiError::NameMissing)));
        assert!(matches!(checked_name("a\u{7}b"), Err(ApiError::BadRequest)));
    }
}

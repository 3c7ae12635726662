//! Why the API gives no answer: a status, a code for programs, and a sentence. The page shows its own text by the
//! code.

use super::api::NAME_MAX;
use super::invites::INVITES_MAX;
use super::operation::Because;
use crate::passphrase::{PASSPHRASE_MAX, PassphraseError};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use circle::Refusal;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use store::StoreError;

/// `Display` is the sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ApiError {
    #[error("This link opens no room: ask for a new one.")]
    InviteUnknown,
    #[error("This link was revoked: ask for a new one.")]
    InviteRevoked,
    #[error("This link has expired: ask for a new one.")]
    InviteExpired,
    #[error("This link does not open yet: come back at the time that you were given.")]
    InviteEarly,
    #[error("As many people as may came in by this link: ask for a new one.")]
    InviteUsedUp,
    #[error("This room asks for a passphrase: give the one that you were told.")]
    PassphraseNeeded,
    #[error("This is not the passphrase of this room: try again, or ask whoever invited you.")]
    PassphraseWrong,
    #[error("You cannot enter this room again.")]
    Banned,
    #[error("Please give a name.")]
    NameMissing,
    #[error("The name is longer than {NAME_MAX} characters: give a shorter one.")]
    NameTooLong,
    #[error("A room's title has 1 to 100 characters, on one line.")]
    Title,
    #[error("A passphrase has 1 to {PASSPHRASE_MAX} characters.")]
    Passphrase,
    #[error("A setting is out of its bounds: see the list of settings in the protocol.")]
    Setting,
    #[error("There is no such ban in this room.")]
    BanUnknown,
    #[error("The request cannot be read: send JSON with the fields that belong here, within their bounds.")]
    BadRequest,
    #[error("Too many that are wrong came from here: wait a minute.")]
    TooManyAttempts,
    #[error(
        "This needs a key: send \"Authorization: Bearer\" with a host's room token or the operator's key."
    )]
    KeyNeeded,
    #[error("The key or token is not valid here.")]
    KeyWrong,
    #[error("Only a host of this room or the operator may do this.")]
    NotAllowed,
    #[error("There is no room with this id.")]
    RoomUnknown,
    #[error("There is no such invite in this room.")]
    NoSuchInvite,
    #[error("This room has {INVITES_MAX} open invites: revoke some first.")]
    InvitesFull,
    #[error("On this server only the operator makes rooms.")]
    RoomsClosed,
    #[error("This server keeps as many rooms as it can: one has to be deleted first.")]
    RoomsFull,
    #[error("Nobody waits for this report any more: start `enza doctor --outside` again.")]
    WordUnknown,
    #[error("Nobody is in this room now.")]
    NobodyInside,
    /// The circle says no.
    #[error("{0}")]
    Refused(Refusal),
    #[error(
        "The server could not do this, for want of disk space say: try again. Its operator finds why in the log."
    )]
    Unavailable,
}

impl ApiError {
    /// The status, and the code for programs.
    pub(super) const fn code(self) -> (StatusCode, &'static str) {
        match self {
            Self::InviteUnknown => (StatusCode::NOT_FOUND, "invite-unknown"),
            Self::InviteRevoked => (StatusCode::GONE, "invite-revoked"),
            Self::InviteExpired => (StatusCode::GONE, "invite-expired"),
            Self::InviteEarly => (StatusCode::FORBIDDEN, "invite-early"),
            Self::InviteUsedUp => (StatusCode::GONE, "invite-used-up"),
            Self::PassphraseNeeded => (StatusCode::FORBIDDEN, "passphrase-needed"),
            Self::PassphraseWrong => (StatusCode::FORBIDDEN, "passphrase-wrong"),
            Self::Banned => (StatusCode::FORBIDDEN, "banned"),
            Self::NameMissing => (StatusCode::UNPROCESSABLE_ENTITY, "name-missing"),
            Self::NameTooLong => (StatusCode::UNPROCESSABLE_ENTITY, "name-too-long"),
            Self::Title => (StatusCode::UNPROCESSABLE_ENTITY, "title-unusable"),
            Self::Passphrase => (StatusCode::UNPROCESSABLE_ENTITY, "passphrase-unusable"),
            Self::Setting => (StatusCode::UNPROCESSABLE_ENTITY, "setting-out-of-bounds"),
            Self::BanUnknown => (StatusCode::NOT_FOUND, "ban-unknown"),
            Self::BadRequest => (StatusCode::BAD_REQUEST, "bad-request"),
            Self::TooManyAttempts => (StatusCode::TOO_MANY_REQUESTS, "too-many-attempts"),
            Self::KeyNeeded => (StatusCode::UNAUTHORIZED, "key-needed"),
            Self::KeyWrong => (StatusCode::UNAUTHORIZED, "key-wrong"),
            Self::NotAllowed => (StatusCode::FORBIDDEN, "not-allowed"),
            Self::RoomUnknown => (StatusCode::NOT_FOUND, "room-unknown"),
            Self::NoSuchInvite => (StatusCode::NOT_FOUND, "invite-unknown"),
            Self::InvitesFull => (StatusCode::CONFLICT, "invites-full"),
            Self::RoomsClosed => (StatusCode::FORBIDDEN, "rooms-closed"),
            Self::RoomsFull => (StatusCode::SERVICE_UNAVAILABLE, "rooms-full"),
            Self::WordUnknown => (StatusCode::NOT_FOUND, "word-unknown"),
            Self::NobodyInside => (StatusCode::CONFLICT, "nobody-inside"),
            Self::Refused(refusal) => {
                let status = match refusal {
                    Refusal::NotAllowed | Refusal::HostProtected => StatusCode::FORBIDDEN,
                    Refusal::ParticipantUnknown => StatusCode::NOT_FOUND,
                    Refusal::TooFast => StatusCode::TOO_MANY_REQUESTS,
                    Refusal::LineTooLong => StatusCode::UNPROCESSABLE_ENTITY,
                    _ => StatusCode::CONFLICT,
                };
                (status, refusal.code())
            }
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Body {
            code: &'static str,
            message: String,
        }
        let (status, code) = self.code();
        let mut response = (status, Json(Body { code, message: self.to_string() })).into_response();
        response.extensions_mut().insert(Because(code));
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::RoomUnknown => Self::RoomUnknown,
            StoreError::InviteUnknown => Self::NoSuchInvite,
            StoreError::BanUnknown => Self::BanUnknown,
            StoreError::Title => Self::Title,
            StoreError::RoomsFull => Self::RoomsFull,
            error => {
                tracing::error!(%error, "the database gives no answer");
                Self::Unavailable
            }
        }
    }
}

impl From<PassphraseError> for ApiError {
    fn from(error: PassphraseError) -> Self {
        tracing::error!(%error, "a passphrase cannot be hashed");
        Self::Unavailable
    }
}

/// A body's JSON: an object, where `serde` would take an array of its fields as well.
pub(super) fn read<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, ApiError> {
    let body = body.map_err(|_| ApiError::BadRequest)?;
    let object: Map<String, Value> = serde_json::from_slice(&body).map_err(|_| ApiError::BadRequest)?;
    serde_json::from_value(whole(Value::Object(object))).map_err(|_| ApiError::BadRequest)
}

/// JSON has one kind of number: 5.0 is the whole number 5.
fn whole(value: Value) -> Value {
    /// From here on not every whole number has a place in an `f64`.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) => match number.as_f64() {
            #[expect(clippy::cast_possible_truncation, reason = "whole and small enough")]
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < EXACT => {
                Value::from(float as i64)
            }
            _ => Value::Number(number),
        },
        Value::Array(items) => items.into_iter().map(whole).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, whole(value))).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Order {
        seconds: Option<u64>,
    }

    fn order(json: &str) -> Result<Order, ApiError> {
        read(Ok(Bytes::copy_from_slice(json.as_bytes())))
    }

    #[test]
    fn a_body_is_an_object_and_a_whole_number_may_have_a_point() {
        assert_eq!(order(r#"{"seconds": 5.0}"#), Ok(Order { seconds: Some(5) }));
        assert_eq!(order(r#"{"seconds": 18446744073709551615}"#), Ok(Order { seconds: Some(u64::MAX) }));
        assert_eq!(order("{}"), Ok(Order { seconds: None }));
        for wrong in ["[5]", "[null]", r#"{"seconds": 5.5}"#, r#"{"seconds": -1}"#, "5", ""] {
            assert_eq!(order(wrong), Err(ApiError::BadRequest), "{wrong}");
        }
    }
}

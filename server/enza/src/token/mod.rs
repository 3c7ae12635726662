//! Room tokens: JWT (RFC 7519), HS256 only, with LiveKit's claims. Owns the API key that signs them and the
//! sentence that says why one is refused. It knows no room and no connection.

mod claims;
mod hmac;

use crate::config::SECRET_MIN;
use crate::data_folder;
use crate::start_error::StartError;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claims::Claims;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use signal::Grants;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use zeroize::Zeroizing;

/// How far the clocks of whoever signed and of this server may differ. Higher: an expired token lives longer;
/// lower: people whose token server's clock is a little ahead cannot enter.
const LEEWAY: Duration = Duration::from_secs(60);

/// Longest room name and identity in a token, in bytes (LiveKit's limit is 256 too).
const NAME_MAX: usize = 256;

/// The file in the data folder that keeps the generated key.
const KEY_FILE: &str = "api-key.toml";

/// A name and a secret that sign room tokens. `Debug` does not show the secret, and dropped it is wiped.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    key: String,
    secret: Zeroizing<String>,
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ApiKey(…)")
    }
}

#[derive(Deserialize)]
struct KeyFile {
    api_key: String,
    api_secret: String,
}

impl ApiKey {
    /// # Errors
    /// [`StartError::SecretShort`] for a secret of fewer than 32 characters.
    pub fn new(key: String, secret: String) -> Result<Self, StartError> {
        let secret = Zeroizing::new(secret);
        let length = secret.chars().count();
        if length < SECRET_MIN {
            return Err(StartError::SecretShort { length });
        }
        Ok(Self { key, secret })
    }

    /// What the credentials for the relay follow from: the same after a restart, for they outlive it.
    pub(crate) fn turn_secret(&self) -> turn::Secret {
        turn::Secret::derive(self.secret.as_bytes())
    }

    /// The key that the data folder keeps; made there, readable by its owner only, at the first start.
    ///
    /// # Errors
    /// [`StartError::Data`], or [`StartError::File`] when somebody edited the file into something else.
    pub fn load_or_create(data: &Path) -> Result<Self, StartError> {
        match Self::load(data)? {
            Some(key) => Ok(key),
            None => {
                let path = data.join(KEY_FILE);
                let (mut key, mut secret) = ([0_u8; 6], Zeroizing::new([0_u8; 32]));
                getrandom::fill(&mut key)?;
                getrandom::fill(secret.as_mut())?;
                let made = Self::new(
                    format!("enza-{}", URL_SAFE_NO_PAD.encode(key)),
                    URL_SAFE_NO_PAD.encode(secret.as_ref()),
                )?;
                let text = Zeroizing::new(format!(
                    "api_key = \"{}\"\napi_secret = \"{}\"\n",
                    made.key, *made.secret
                ));
                data_folder::write_private(&path, text.as_bytes())
                    .map_err(|source| StartError::Data { path, source })?;
                Ok(made)
            }
        }
    }

    /// The same; `None` before the first start.
    ///
    /// # Errors
    /// [`StartError::Data`], [`StartError::File`], [`StartError::SecretShort`].
    pub(crate) fn load(data: &Path) -> Result<Option<Self>, StartError> {
        let path = data.join(KEY_FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let text = Zeroizing::new(text);
                let file: KeyFile = toml::from_str(&text)
                    .map_err(|error| StartError::File { file: path, reason: error.message().to_owned() })?;
                Self::new(file.api_key, file.api_secret).map(Some)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StartError::Data { path, source }),
        }
    }
}

/// What a token of the server API grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerGrants {
    pub room_create: bool,
    pub room_list: bool,
    /// Of [`ServerGrants::room`].
    pub room_admin: bool,
    pub room: String,
}

/// Signs and checks room tokens.
pub struct TokenAuthority {
    issuer: String,
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
}

/// Why a token opens nothing. `Display` is the sentence the client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("A token is missing: send it as \"Authorization: Bearer …\" or as access_token.")]
    Missing,
    #[error("The token is not a readable JSON Web Token.")]
    Malformed,
    #[error("The token must be signed with HS256.")]
    Algorithm,
    #[error("The token was signed with an API key that this server does not know.")]
    KeyUnknown,
    #[error("The token's signature is wrong.")]
    Signature,
    #[error("The token has expired.")]
    Expired,
    #[error("The token is not valid yet: compare the clocks.")]
    NotYetValid,
    #[error("The token has no expiry (exp).")]
    NoExpiry,
    #[error("The token names no identity (sub).")]
    NoIdentity,
    #[error("The token does not allow joining a room (video.roomJoin).")]
    NoJoin,
    #[error("The token names no room (video.room).")]
    NoRoom,
    #[error("The token is for another room.")]
    WrongRoom,
    #[error("The room's name or the identity is longer than {NAME_MAX} bytes.")]
    TooLong,
}

impl Refusal {
    /// 401 when the token proves nothing, 403 when it proves something else than what is asked.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::NoIdentity | Self::NoJoin | Self::NoRoom | Self::WrongRoom | Self::TooLong => {
                StatusCode::FORBIDDEN
            }
            _ => StatusCode::UNAUTHORIZED,
        }
    }
}

impl TokenAuthority {
    #[must_use]
    pub fn new(key: &ApiKey) -> Self {
        hmac::install();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY.as_secs();
        validation.validate_nbf = true;
        validation.validate_aud = false;
        Self {
            issuer: key.key.clone(),
            encoding: EncodingKey::from_secret(key.secret.as_bytes()),
            decoding: DecodingKey::from_secret(key.secret.as_bytes()),
            validation,
        }
    }

    /// A token that says `grants`, valid from now for `lifetime`.
    ///
    /// # Panics
    /// Never: signing a map of strings with HMAC cannot fail.
    #[must_use]
    pub fn sign(&self, grants: &Grants, lifetime: Duration) -> String {
        let claims = Claims::from_grants(grants, &self.issuer, unix_seconds(), lifetime.as_secs());
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
            .expect("HMAC over JSON of strings and numbers cannot fail")
    }

    /// A token that vouches for a webhook's body by the base64 of its SHA-256.
    ///
    /// # Panics
    /// Never, as [`TokenAuthority::sign`].
    #[must_use]
    pub(crate) fn sign_body(&self, sha256: &str, lifetime: Duration) -> String {
        #[derive(Serialize)]
        struct Body<'a> {
            iss: &'a str,
            nbf: u64,
            exp: u64,
            sha256: &'a str,
        }
        let nbf = unix_seconds();
        let claims = Body { iss: &self.issuer, nbf, exp: nbf.saturating_add(lifetime.as_secs()), sha256 };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
            .expect("HMAC over JSON of strings and numbers cannot fail")
    }

    /// What a token grants. `room`: the room asked for beside the token, if any.
    ///
    /// # Errors
    /// [`Refusal`]; nothing of the token's content is believed before its signature was checked.
    pub fn verify(&self, token: &str, room: Option<&str>) -> Result<Grants, Refusal> {
        self.verify_with(&self.validation, token, room)
    }

    /// What a token granted that expired at most `ago` ago: it opens nothing, but tells who somebody was.
    ///
    /// # Errors
    /// [`Refusal`], as for a token that is in force.
    pub fn verify_earlier(&self, token: &str, room: &str, ago: Duration) -> Result<Grants, Refusal> {
        let validation = Validation { leeway: ago.as_secs(), ..self.validation.clone() };
        self.verify_with(&validation, token, Some(room))
    }

    /// What a token of the server API grants.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn verify_server(&self, token: &str) -> Result<ServerGrants, Refusal> {
        Ok(self.claims(&self.validation, token)?.into_server_grants())
    }

    /// What a token says, once its signature and its times are right.
    fn claims(&self, validation: &Validation, token: &str) -> Result<Claims, Refusal> {
        if token.is_empty() {
            return Err(Refusal::Missing);
        }
        // `jsonwebtoken` would call `alg: none` just unreadable.
        #[derive(Deserialize)]
        struct AlgorithmOnly {
            alg: String,
        }
        let header = token.split('.').next().unwrap_or_default();
        let header = URL_SAFE_NO_PAD.decode(header.trim_end_matches('=')).map_err(|_| Refusal::Malformed)?;
        let header: AlgorithmOnly = serde_json::from_slice(&header).map_err(|_| Refusal::Malformed)?;
        if header.alg != "HS256" {
            return Err(Refusal::Algorithm);
        }
        // Only to choose the sentence: with one key, a token of another issuer can never verify.
        let unverified: Claims =
            jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| Refusal::Malformed)?;
        if unverified.iss != self.issuer {
            return Err(Refusal::KeyUnknown);
        }
        let decoded =
            jsonwebtoken::decode::<Claims>(token, &self.decoding, validation).map_err(|error| match error
                .kind()
            {
                ErrorKind::InvalidSignature => Refusal::Signature,
                ErrorKind::ExpiredSignature => Refusal::Expired,
                ErrorKind::ImmatureSignature => Refusal::NotYetValid,
                ErrorKind::MissingRequiredClaim(_) => Refusal::NoExpiry,
                ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => Refusal::Algorithm,
                _ => Refusal::Malformed,
            })?;
        Ok(decoded.claims)
    }

    fn verify_with(
        &self,
        validation: &Validation,
        token: &str,
        room: Option<&str>,
    ) -> Result<Grants, Refusal> {
        let claims = self.claims(validation, token)?;
        if !claims.video.room_join {
            Err(Refusal::NoJoin)
        } else if claims.video.room.is_empty() {
            Err(Refusal::NoRoom)
        } else if claims.identity().is_empty() {
            Err(Refusal::NoIdentity)
        } else if claims.video.room.len() > NAME_MAX || claims.identity().len() > NAME_MAX {
            Err(Refusal::TooLong)
        } else if room.is_some_and(|asked| asked != claims.video.room) {
            Err(Refusal::WrongRoom)
        } else {
            Ok(claims.into_grants())
        }
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;

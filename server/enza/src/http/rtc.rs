//! LiveKit's client protocol over HTTP: the WebSockets of `/rtc/v1` and `/rtc` and the answers that say why one is refused.
//!
//! A connection is refused before its upgrade, as plain HTTP with one sentence: a client reads that at once,
//! while a socket that opens and stays silent would make it wait.

use super::{App, Slot, browser};
use crate::room::Entry;
use crate::token::Refusal;
use crate::{rooms, session};
use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, HeaderMap};
use axum::response::{IntoResponse as _, Response};
use livekit_protocol::{ClientInfo, ConnectionSettings, JoinRequest, client_info};
use serde::Deserialize;
use signal::{Connections, Grants, JoinRequestError};

/// Largest message (LiveKit: 2 MiB).
const MESSAGE_MAX: usize = 2 << 20;

/// Bytes read from a socket at once. The library's default of 128 KiB would be most of an idle connection.
const READ_BUFFER: usize = 8 << 10;

/// Bytes that may wait in the library before a socket counts as broken.
const WRITE_BUFFER_MAX: usize = 4 << 20;

#[derive(Deserialize)]
pub(super) struct Parameters {
    access_token: Option<String>,
    join_request: Option<String>,
    /// Old clients name the room beside the token.
    room: Option<String>,
    // Protocol v0 says here what v1 says in `join_request`.
    auto_subscribe: Option<String>,
    auto_subscribe_data_track: Option<String>,
    adaptive_stream: Option<String>,
    reconnect: Option<String>,
    sid: Option<String>,
    protocol: Option<String>,
    client_protocol: Option<String>,
    sdk: Option<String>,
    version: Option<String>,
    capabilities: Option<String>,
}

/// Words in the list of `capabilities`; the rest is not read.
const CAPABILITIES_MAX: usize = 16;

impl Parameters {
    /// The join of protocol v0.
    fn join(&self) -> JoinRequest {
        let on = |value: &Option<String>| matches!(value.as_deref(), Some("1" | "true"));
        let number = |value: &Option<String>| value.as_deref().and_then(|v| v.parse().ok()).unwrap_or(0);
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let capabilities = self.capabilities.as_deref().unwrap_or_default().split(',');
        JoinRequest {
            client_info: Some(ClientInfo {
                sdk: client_info::Sdk::from_str_name(&text(&self.sdk).to_uppercase())
                    .unwrap_or(client_info::Sdk::Unknown)
                    .into(),
                version: text(&self.version),
                protocol: number(&self.protocol),
                client_protocol: number(&self.client_protocol),
                capabilities: capabilities
                    .take(CAPABILITIES_MAX)
                    .filter_map(|word| {
                        let name = word.trim().to_uppercase();
                        client_info::Capability::from_str_name(&name)
                            .or_else(|| client_info::Capability::from_str_name(&format!("CAP_{name}")))
                    })
                    .map(i32::from)
                    .collect(),
                ..Default::default()
            }),
            connection_settings: Some(ConnectionSettings {
                // LiveKit's default.
                auto_subscribe: self.auto_subscribe.is_none() || on(&self.auto_subscribe),
                adaptive_stream: on(&self.adaptive_stream),
                auto_subscribe_data_track: self
                    .auto_subscribe_data_track
                    .is_some()
                    .then(|| on(&self.auto_subscribe_data_track)),
                ..Default::default()
            }),
            reconnect: on(&self.reconnect),
            participant_sid: text(&self.sid),
            ..Default::default()
        }
    }
}

/// Why a connection is not let in. `Display` is the sentence that the client gets.
#[derive(Debug, thiserror::Error)]
enum NotAdmitted {
    #[error("The parameters of the address cannot be read.")]
    Parameters,
    #[error("{0}")]
    Token(#[from] Refusal),
    #[error("Nobody listens unseen here: a token with the grant hidden opens no room.")]
    Hidden,
    #[error("The parameter join_request is missing.")]
    NoJoinRequest,
    #[error("The parameter join_request cannot be read: {0}.")]
    JoinRequest(#[from] JoinRequestError),
}

impl NotAdmitted {
    fn into_response(self) -> Response {
        tracing::debug!(reason = %self, "a connection is not let in");
        let status = match &self {
            Self::Token(refusal) => refusal.status(),
            Self::Hidden => StatusCode::FORBIDDEN,
            Self::Parameters | Self::NoJoinRequest | Self::JoinRequest(_) => StatusCode::BAD_REQUEST,
        };
        sentence(status, &self.to_string())
    }
}

/// Somebody who may come in.
struct Admitted {
    grants: Grants,
    /// Protocol v1.
    request: Option<JoinRequest>,
    /// What the other parameters say, in protocol v0.
    v0: JoinRequest,
}

type MaybeParameters = Result<Query<Parameters>, QueryRejection>;

/// `GET /rtc/v1`: a WebSocket, else 404.
pub(super) async fn connect(
    State(app): State<App>,
    Extension(slot): Extension<Slot>,
    headers: HeaderMap,
    parameters: MaybeParameters,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else { return absent().await };
    match admit(&app, &headers, parameters) {
        Ok(Admitted { grants, request: Some(request), .. }) => {
            let entry = Entry { grants, request: Box::new(request), connections: Connections::One };
            open(upgrade, app, slot, entry, &headers)
        }
        Ok(_) => NotAdmitted::NoJoinRequest.into_response(),
        Err(not_admitted) => not_admitted.into_response(),
    }
}

/// `GET /rtc`: protocol v0 with two peer connections; with a `join_request` one, as in LiveKit. A WebSocket, else 404.
pub(super) async fn connect_v0(
    State(app): State<App>,
    Extension(slot): Extension<Slot>,
    headers: HeaderMap,
    parameters: MaybeParameters,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else { return absent().await };
    match admit(&app, &headers, parameters) {
        Ok(Admitted { grants, request, v0 }) => {
            let connections = if request.is_some() { Connections::One } else { Connections::Two };
            let request = Box::new(request.unwrap_or(v0));
            open(upgrade, app, slot, Entry { grants, request, connections }, &headers)
        }
        Err(not_admitted) => not_admitted.into_response(),
    }
}

fn open(upgrade: WebSocketUpgrade, app: App, slot: Slot, entry: Entry, headers: &HeaderMap) -> Response {
    let Grants { room, identity, .. } = &entry.grants;
    let ice_servers = app.ice_servers.told(headers, rooms::now().unix_millis / 1000, room, identity);
    upgrade
        .max_message_size(MESSAGE_MAX)
        .max_frame_size(MESSAGE_MAX)
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(READ_BUFFER)
        .max_write_buffer_size(WRITE_BUFFER_MAX)
        .on_upgrade(move |socket| async move {
            let App { rooms, metrics, stopped, alive, .. } = app;
            session::run(socket, rooms, entry, ice_servers, metrics, stopped).await;
            drop((slot, alive));
        })
}

/// `GET /rtc/v1/validate` and `/rtc/validate`: would this connection be let in, and if not, why.
pub(super) async fn validate(
    State(app): State<App>,
    headers: HeaderMap,
    parameters: MaybeParameters,
) -> Response {
    match admit(&app, &headers, parameters) {
        Ok(_) => sentence(StatusCode::OK, "success"),
        Err(not_admitted) => not_admitted.into_response(),
    }
}

/// Everything else under `/rtc`.
pub(super) async fn absent() -> Response {
    sentence(StatusCode::NOT_FOUND, "There is nothing here: connect a WebSocket to /rtc/v1 or /rtc.")
}

fn admit(app: &App, headers: &HeaderMap, parameters: MaybeParameters) -> Result<Admitted, NotAdmitted> {
    let Query(parameters) = parameters.map_err(|_| NotAdmitted::Parameters)?;
    let token = bearer(headers).or(parameters.access_token.as_deref()).unwrap_or_default();
    let room = parameters.room.as_deref().filter(|room| !room.is_empty());
    let grants = app.tokens.verify(token, room)?;
    if grants.hidden {
        return Err(NotAdmitted::Hidden);
    }
    let mut request = parameters.join_request.as_deref().map(signal::decode_join_request).transpose()?;
    if let Some(request) = &mut request {
        browser::note(headers, request.client_info.get_or_insert_default());
    }
    Ok(Admitted { grants, request, v0: parameters.join() })
}

/// The token of `Authorization: Bearer …`.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
}

pub(super) fn sentence(status: StatusCode, text: &str) -> Response {
    (status, text.to_owned()).into_response()
}

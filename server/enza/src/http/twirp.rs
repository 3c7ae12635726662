//! LiveKit's server API: Twirp (v7) over `POST /twirp/livekit.RoomService/{method}`, protobuf and JSON, with the
//! tokens and errors of LiveKit. Other services and methods are `unimplemented`.

use super::App;
use super::rtc::bearer;
use crate::room::{Question, RoomHandle, ServiceCall};
use crate::token::ServerGrants;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderMap};
use axum::response::{IntoResponse, Response};
use livekit_protocol::{
    CreateRoomRequest, DeleteRoomRequest, DeleteRoomResponse, ListParticipantsRequest,
    ListParticipantsResponse, ListRoomsRequest, ListRoomsResponse, MuteRoomTrackRequest,
    MuteRoomTrackResponse, RemoveParticipantResponse, RoomParticipantIdentity, SendDataRequest,
    SendDataResponse, UpdateParticipantRequest, UpdateRoomMetadataRequest, UpdateSubscription,
    UpdateSubscriptionsRequest, UpdateSubscriptionsResponse,
};
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use signal::limits::MAX_METADATA;
use signal::{Bounds, ServiceError};
use std::time::Duration;
use tokio::sync::oneshot;

/// Largest request: a data message and its addressing.
pub(super) const BODY_MAX: usize = 96 << 10;

/// Longest room name, bytes, as in tokens.
const NAME_MAX: usize = 256;

/// Longest wait that a room may be made with: a day.
const TIMEOUT_MAX: u32 = 86_400;

/// An error in Twirp's words.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TwirpError {
    code: Code,
    message: String,
}

/// Twirp's codes, as far as they are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    BadRoute,
    Malformed,
    InvalidArgument,
    Unauthenticated,
    NotFound,
    FailedPrecondition,
    ResourceExhausted,
    Unimplemented,
    Unavailable,
}

impl Code {
    const fn name(self) -> (StatusCode, &'static str) {
        match self {
            Self::BadRoute => (StatusCode::NOT_FOUND, "bad_route"),
            Self::Malformed => (StatusCode::BAD_REQUEST, "malformed"),
            Self::InvalidArgument => (StatusCode::BAD_REQUEST, "invalid_argument"),
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::FailedPrecondition => (StatusCode::PRECONDITION_FAILED, "failed_precondition"),
            Self::ResourceExhausted => (StatusCode::TOO_MANY_REQUESTS, "resource_exhausted"),
            Self::Unimplemented => (StatusCode::NOT_IMPLEMENTED, "unimplemented"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        }
    }

    fn because(self, message: &str) -> TwirpError {
        TwirpError { code: self, message: message.to_owned() }
    }
}

impl From<ServiceError> for TwirpError {
    fn from(error: ServiceError) -> Self {
        let code = match error {
            ServiceError::ParticipantUnknown | ServiceError::TrackUnknown => Code::NotFound,
            ServiceError::TooLong | ServiceError::Reserved => Code::InvalidArgument,
            ServiceError::Fixed => Code::Unimplemented,
        };
        code.because(&error.to_string())
    }
}

impl IntoResponse for TwirpError {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Body {
            code: &'static str,
            msg: String,
        }
        let (status, code) = self.code.name();
        (status, axum::Json(Body { code, msg: self.message })).into_response()
    }
}

/// How request and answer are written.
#[derive(Clone, Copy)]
enum Form {
    Json,
    Protobuf,
}

impl Form {
    fn of(headers: &HeaderMap) -> Result<Self, TwirpError> {
        let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        match kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "application/json" => Ok(Self::Json),
            "application/protobuf" => Ok(Self::Protobuf),
            _ => Err(Code::BadRoute.because("the Content-Type is application/protobuf or application/json")),
        }
    }

    fn read<T: Message + Default + DeserializeOwned>(self, body: &Bytes) -> Result<T, TwirpError> {
        let malformed = || Code::Malformed.because("the request cannot be read");
        match self {
            Self::Json => serde_json::from_slice(body).map_err(|_| malformed()),
            Self::Protobuf => T::decode(body.clone()).map_err(|_| malformed()),
        }
    }

    fn write<T: Message + Serialize>(self, answer: &T) -> Response {
        match self {
            Self::Json => match serde_json::to_value(answer) {
                Ok(answer) => axum::Json(proto_names(answer)).into_response(),
                Err(_) => Code::Unavailable.because("the answer cannot be written").into_response(),
            },
            Self::Protobuf => {
                ([(CONTENT_TYPE, "application/protobuf")], answer.encode_to_vec()).into_response()
            }
        }
    }
}

/// JSON with the names of the `.proto` files, as LiveKit's server answers; requests may have either. The keys of
/// attributes are people's own words and stay.
fn proto_names(value: Value) -> Value {
    let own_words = |name: &str, value: Value| match name {
        "attributes" => value,
        _ => proto_names(value),
    };
    match value {
        Value::Object(fields) => {
            let renamed =
                fields.into_iter().map(|(name, value)| (snake_case(&name), own_words(&name, value)));
            Value::Object(renamed.collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(proto_names).collect()),
        other => other,
    }
}

fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// Everything of `/twirp` that is not there.
pub(super) async fn absent(Path(rest): Path<String>) -> Response {
    let error = match rest.strip_prefix("livekit.").and_then(|rest| rest.split_once('/')) {
        Some(_) => Code::Unimplemented.because("this server has no such service or method"),
        None => Code::BadRoute.because("there is no such service"),
    };
    error.into_response()
}

/// `POST /twirp/livekit.RoomService/{method}`.
pub(super) async fn room_service(
    State(app): State<App>,
    Path(method): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    answer(&app, &method, &headers, body).await.unwrap_or_else(IntoResponse::into_response)
}

async fn answer(
    app: &App,
    method: &str,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, TwirpError> {
    let form = Form::of(headers)?;
    let body = body.map_err(|_| Code::Malformed.because("the request is too long"))?;
    let token = bearer(headers).unwrap_or_default();
    let grants = app
        .tokens
        .verify_server(token)
        .map_err(|refusal| Code::Unauthenticated.because(&refusal.to_string()))?;
    let service = Service { app, grants };
    Ok(match method {
        "CreateRoom" => form.write(&service.create_room(form.read(&body)?).await?),
        "ListRooms" => form.write(&service.list_rooms(form.read(&body)?).await?),
        "DeleteRoom" => form.write(&service.delete_room(form.read(&body)?).await?),
        "ListParticipants" => form.write(&service.list_participants(form.read(&body)?).await?),
        "GetParticipant" => form.write(&service.get_participant(form.read(&body)?).await?),
        "RemoveParticipant" => form.write(&service.remove_participant(form.read(&body)?).await?),
        "MutePublishedTrack" => form.write(&service.mute_published_track(form.read(&body)?).await?),
        "UpdateParticipant" => form.write(&service.update_participant(form.read(&body)?).await?),
        "UpdateSubscriptions" => form.write(&service.update_subscriptions(form.read(&body)?).await?),
        "SendData" => form.write(&service.send_data(form.read(&body)?).await?),
        "UpdateRoomMetadata" => form.write(&service.update_room_metadata(form.read(&body)?).await?),
        _ => return Err(Code::Unimplemented.because("this server has no such method")),
    })
}

/// One authenticated caller.
struct Service<'a> {
    app: &'a App,
    grants: ServerGrants,
}

impl Service<'_> {
    fn need(granted: bool) -> Result<(), TwirpError> {
        if granted { Ok(()) } else { Err(Code::Unauthenticated.because("permissions denied")) }
    }

    /// The live room, for whoever is its admin.
    async fn room(&self, name: &str) -> Result<RoomHandle, TwirpError> {
        Self::need(self.grants.room_admin && self.grants.room == name)?;
        self.live(name).await
    }

    async fn live(&self, name: &str) -> Result<RoomHandle, TwirpError> {
        let missing = || Code::NotFound.because("requested room does not exist");
        self.app.rooms.find(name).await.ok_or_else(missing)
    }

    async fn create_room(&self, request: CreateRoomRequest) -> Result<livekit_protocol::Room, TwirpError> {
        Self::need(self.grants.room_create)?;
        if request.name.is_empty() || request.name.len() > NAME_MAX || request.metadata.len() > MAX_METADATA {
            return Err(Code::InvalidArgument.because("the name or the metadata is missing or too long"));
        }
        let seconds = |seconds: u32| match seconds {
            0 => None,
            seconds => Some(Duration::from_secs(u64::from(seconds.min(TIMEOUT_MAX)))),
        };
        let bounds = Bounds {
            empty_timeout: seconds(request.empty_timeout),
            departure_timeout: seconds(request.departure_timeout),
            max_participants: Some(request.max_participants).filter(|most| *most > 0),
        };
        let entered = self.app.rooms.enter(&request.name).await;
        let (live, _) = entered.map_err(|error| Code::ResourceExhausted.because(&error.to_string()))?;
        let metadata = Some(request.metadata).filter(|metadata| !metadata.is_empty());
        ask(&live, |reply| ServiceCall::Set { bounds, metadata, reply }).await
    }

    async fn list_rooms(&self, request: ListRoomsRequest) -> Result<ListRoomsResponse, TwirpError> {
        Self::need(self.grants.room_list)?;
        let mut rooms = Vec::new();
        for live in self.app.rooms.all().await {
            // One that ended meanwhile is none.
            if let Ok(room) = ask(&live, |reply| ServiceCall::Room { reply }).await
                && (request.names.is_empty() || request.names.contains(&room.name))
            {
                rooms.push(room);
            }
        }
        Ok(ListRoomsResponse { rooms })
    }

    async fn delete_room(&self, request: DeleteRoomRequest) -> Result<DeleteRoomResponse, TwirpError> {
        Self::need(self.grants.room_create)?;
        let live = self.live(&request.room).await?;
        live.ask(|reply| Question::End { reply }).await;
        Ok(DeleteRoomResponse {})
    }

    async fn list_participants(
        &self,
        request: ListParticipantsRequest,
    ) -> Result<ListParticipantsResponse, TwirpError> {
        let live = self.room(&request.room).await?;
        let participants = ask(&live, |reply| ServiceCall::Participants { reply }).await?;
        Ok(ListParticipantsResponse { participants })
    }

    async fn get_participant(
        &self,
        request: RoomParticipantIdentity,
    ) -> Result<livekit_protocol::ParticipantInfo, TwirpError> {
        let live = self.room(&request.room).await?;
        let participants = ask(&live, |reply| ServiceCall::Participants { reply }).await?;
        let found = participants.into_iter().find(|one| one.identity == request.identity);
        found.ok_or_else(|| ServiceError::ParticipantUnknown.into())
    }

    async fn remove_participant(
        &self,
        request: RoomParticipantIdentity,
    ) -> Result<RemoveParticipantResponse, TwirpError> {
        let live = self.room(&request.room).await?;
        ask(&live, |reply| ServiceCall::Remove { identity: request.identity, reply }).await??;
        Ok(RemoveParticipantResponse {})
    }

    async fn mute_published_track(
        &self,
        request: MuteRoomTrackRequest,
    ) -> Result<MuteRoomTrackResponse, TwirpError> {
        let live = self.room(&request.room).await?;
        if !request.muted {
            return Err(Code::FailedPrecondition.because("remote unmute not enabled"));
        }
        let MuteRoomTrackRequest { identity, track_sid, .. } = request;
        let track = ask(&live, |reply| ServiceCall::Mute { identity, track_sid, reply }).await??;
        Ok(MuteRoomTrackResponse { track: Some(track) })
    }

    async fn update_participant(
        &self,
        request: UpdateParticipantRequest,
    ) -> Result<livekit_protocol::ParticipantInfo, TwirpError> {
        let live = self.room(&request.room).await?;
        let request = Box::new(request);
        Ok(ask(&live, |reply| ServiceCall::Update { request, reply }).await??)
    }

    async fn update_subscriptions(
        &self,
        request: UpdateSubscriptionsRequest,
    ) -> Result<UpdateSubscriptionsResponse, TwirpError> {
        let live = self.room(&request.room).await?;
        let UpdateSubscriptionsRequest { identity, track_sids, subscribe, participant_tracks, .. } = request;
        let change = UpdateSubscription { track_sids, subscribe, participant_tracks };
        ask(&live, |reply| ServiceCall::Subscribe { identity, change, reply }).await??;
        Ok(UpdateSubscriptionsResponse {})
    }

    async fn send_data(&self, request: SendDataRequest) -> Result<SendDataResponse, TwirpError> {
        let live = self.room(&request.room).await?;
        let request = Box::new(request);
        ask(&live, |reply| ServiceCall::Send { request, reply }).await??;
        Ok(SendDataResponse {})
    }

    async fn update_room_metadata(
        &self,
        request: UpdateRoomMetadataRequest,
    ) -> Result<livekit_protocol::Room, TwirpError> {
        let live = self.room(&request.room).await?;
        if request.metadata.len() > MAX_METADATA {
            return Err(Code::InvalidArgument.because("the metadata is too long"));
        }
        let (bounds, metadata) = (Bounds::default(), Some(request.metadata));
        ask(&live, |reply| ServiceCall::Set { bounds, metadata, reply }).await
    }
}

async fn ask<T>(
    live: &RoomHandle,
    call: impl FnOnce(oneshot::Sender<T>) -> ServiceCall,
) -> Result<T, TwirpError> {
    let answer = live.ask(|reply| Question::Service(call(reply))).await;
    answer.ok_or_else(|| Code::Unavailable.because("the room does not answer"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_are_those_of_the_proto_files_and_attributes_stay_as_they_were_written() {
        let answer = json!({"participants": [{
            "joinedAtMs": "1",
            "tracks": [{"mimeType": "audio/opus", "disableRed": true}],
            "attributes": {"mySeat": "3"},
        }]});
        let expected = json!({"participants": [{
            "joined_at_ms": "1",
            "tracks": [{"mime_type": "audio/opus", "disable_red": true}],
            "attributes": {"mySeat": "3"},
        }]});
        assert_eq!(proto_names(answer), expected);
        for (camel, proto) in
            [("isPublisher", "is_publisher"), ("sid", "sid"), ("creationTimeMs", "creation_time_ms")]
        {
            assert_eq!(snake_case(camel), proto);
        }
    }
}

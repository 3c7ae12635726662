//! LiveKit's server API in a running room: the calls of `RoomService` that are about one room. The circle is asked
//! first where it owns what is changed.

use super::RoomTask;
use super::circle::circle_now;
use circle::{Identity, Order, Role};
use livekit_protocol::{
    DisconnectReason, ParticipantInfo, Room, SendDataRequest, TrackInfo, UpdateParticipantRequest,
    UpdateSubscription,
};
use serde_json::Value;
use signal::{Bounds, Input, Now, ServiceError};
use tokio::sync::oneshot;

/// One call, with the way its answer takes.
pub(crate) enum ServiceCall {
    Room {
        reply: oneshot::Sender<Room>,
    },
    Participants {
        reply: oneshot::Sender<Vec<ParticipantInfo>>,
    },
    Remove {
        identity: String,
        reply: oneshot::Sender<Result<(), ServiceError>>,
    },
    Mute {
        identity: String,
        track_sid: String,
        reply: oneshot::Sender<Result<TrackInfo, ServiceError>>,
    },
    Update {
        request: Box<UpdateParticipantRequest>,
        reply: oneshot::Sender<Result<ParticipantInfo, ServiceError>>,
    },
    Subscribe {
        identity: String,
        change: UpdateSubscription,
        reply: oneshot::Sender<Result<(), ServiceError>>,
    },
    Send {
        request: Box<SendDataRequest>,
        reply: oneshot::Sender<Result<(), ServiceError>>,
    },
    /// `None`: as it is.
    Set {
        bounds: Bounds,
        metadata: Option<String>,
        reply: oneshot::Sender<Room>,
    },
}

impl RoomTask {
    /// Whoever asked may be gone; that is no error.
    pub(super) fn serve(&mut self, now: Now, call: ServiceCall) {
        match call {
            ServiceCall::Room { reply } => {
                let _ = reply.send(self.room.room_info());
            }
            ServiceCall::Participants { reply } => {
                let _ = reply.send(self.room.participant_infos());
            }
            ServiceCall::Remove { identity, reply } => {
                let removed = self.remove(now, identity);
                self.settle(now);
                let _ = reply.send(removed);
            }
            ServiceCall::Mute { identity, track_sid, reply } => {
                let muted = self.room.mute_track(now, &identity, &track_sid);
                self.settle(now);
                let _ = reply.send(muted);
            }
            ServiceCall::Update { request, reply } => {
                let updated = self.update(now, &request);
                let _ = reply.send(updated);
            }
            ServiceCall::Subscribe { identity, change, reply } => {
                let subscribed = self.room.subscribe(now, &identity, &change);
                self.settle(now);
                let _ = reply.send(subscribed);
            }
            ServiceCall::Send { request, reply } => {
                let sent = self.room.send_data(now, *request);
                self.settle(now);
                let _ = reply.send(sent);
            }
            ServiceCall::Set { bounds, metadata, reply } => {
                self.room.set_bounds(now, bounds);
                if let Some(metadata) = metadata {
                    self.metadata = metadata;
                    self.show_metadata(now);
                }
                self.settle(now);
                let _ = reply.send(self.room.room_info());
            }
        }
    }

    /// Who takes part in the circle leaves by it; a hidden participant takes no part.
    fn remove(&mut self, now: Now, identity: String) -> Result<(), ServiceError> {
        let participant = Identity::from(identity.as_str());
        if self.circle.operate(circle_now(now), Order::Remove { participant }).is_ok() {
            return Ok(());
        }
        if !self.room.participant_infos().iter().any(|one| one.identity == identity) {
            return Err(ServiceError::ParticipantUnknown);
        }
        let reason = DisconnectReason::ParticipantRemoved;
        self.room.handle(now, Input::Remove { identity, reason });
        Ok(())
    }

    /// The right to publish is the circle's: without it somebody listens.
    fn update(
        &mut self,
        now: Now,
        request: &UpdateParticipantRequest,
    ) -> Result<ParticipantInfo, ServiceError> {
        let mut info = self.room.update_participant(now, request)?;
        if let Some(permission) = &request.permission {
            let participant = Identity::from(request.identity.as_str());
            let listens = |person: &circle::Person| person.role == Role::Listener;
            let everybody = self.circle.everybody();
            let person = everybody.iter().find(|person| person.participant == participant);
            let role = match (person.map(listens), permission.can_publish) {
                (Some(false), false) => Some(Role::Listener),
                (Some(true), true) => Some(Role::Speaker),
                _ => None,
            };
            if let Some(role) = role {
                // It is there: nothing refuses this.
                let _ = self.circle.operate(circle_now(now), Order::SetRole { participant, role });
            }
        }
        self.settle(now);
        let infos = self.room.participant_infos();
        if let Some(now_is) = infos.into_iter().find(|one| one.identity == request.identity) {
            info = now_is;
        }
        Ok(info)
    }

    /// The room's metadata for LiveKit's clients: what the server API set, and the circle in it.
    pub(super) fn show_metadata(&mut self, now: Now) {
        let metadata = joined(&self.metadata, &self.mirrored);
        self.room.handle(now, Input::SetMetadata { metadata });
    }
}

/// Both are JSON objects: one object. Else what the server API set stands alone, as whoever set it expects.
fn joined(set: &str, circle: &str) -> String {
    if set.is_empty() {
        return circle.to_owned();
    }
    match (serde_json::from_str(set), serde_json::from_str(circle)) {
        (Ok(Value::Object(mut both)), Ok(Value::Object(circle))) => {
            both.extend(circle);
            Value::Object(both).to_string()
        }
        _ => set.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_of_both_sides_is_one_object_where_it_can_be() {
        let circle = r#"{"enza":{"locked":false}}"#;
        assert_eq!(joined("", circle), circle);
        assert_eq!(joined(r#"{"topic":"x"}"#, circle), r#"{"enza":{"locked":false},"topic":"x"}"#);
        assert_eq!(joined("plain words", circle), "plain words");
        assert_eq!(joined(r#"{"topic":"x"}"#, ""), r#"{"topic":"x"}"#);
    }
}

//! The circle's side of a room's task: who may have media, the circle's sockets, and what the circle decides about
//! sound and picture, handed to the signalling in the same turn.

use super::keep::{Forget, Keep};
use super::{Entry, RoomTask};
use crate::metrics::Queue;
use crate::origin::Origin;
use axum::extract::ws::Utf8Bytes;
use circle::{Action, Answer, Message, Pass, Removal, Resume, Role, Source};
use livekit_protocol::{DisconnectReason, RoomEndReason, TrackSource, leave_request};
use signal::{ConnectionId, Grants, Input, Now};
use store::Trace;
use tokio::sync::mpsc;

/// The token attribute that names a role: LiveKit's own claims know only admins and those who may publish.
pub(crate) const ROLE: &str = "enza.role";

/// What a circle socket tells the room.
pub(crate) enum CircleMessage {
    Connect {
        connection: ConnectionId,
        outbox: mpsc::Sender<Utf8Bytes>,
        visit: Box<Visit>,
    },
    /// `Err`: it was no command; its number, if that could be read.
    Request {
        connection: ConnectionId,
        request: Result<circle::Request, Option<u64>>,
    },
    Closed {
        connection: ConnectionId,
    },
}

/// Who opens a circle socket, and how far they had read.
#[derive(Clone)]
pub(crate) struct Visit {
    pub(crate) grants: Grants,
    pub(crate) resume: Option<Resume>,
}

/// Who a token says somebody is.
pub(crate) fn pass(grants: &Grants) -> Pass {
    let named = grants.attributes.get(ROLE).and_then(|name| Role::from_name(name));
    let role = named.unwrap_or(match (grants.room_admin, grants.can_publish) {
        (true, _) => Role::Host,
        (false, true) => Role::Speaker,
        (false, false) => Role::Listener,
    });
    Pass {
        identity: grants.identity.as_str().into(),
        name: grants.name.clone(),
        role,
        origin: grants.origin.as_deref().map(Into::into),
    }
}

const fn sources(source: Source) -> &'static [TrackSource] {
    match source {
        Source::Microphone => &[TrackSource::Microphone],
        Source::Camera => &[TrackSource::Camera],
        Source::Screen => &[TrackSource::ScreenShare, TrackSource::ScreenShareAudio],
    }
}

/// A socket's number in the circle: all sockets of the process have one series.
const fn seat(connection: ConnectionId) -> circle::ConnectionId {
    circle::ConnectionId(connection.0)
}

pub(super) const fn circle_now(now: Now) -> circle::Now {
    circle::Now { instant: now.instant, unix_millis: now.unix_millis }
}

impl RoomTask {
    /// A LiveKit client is at the door: the circle says whether it comes in, and as what.
    pub(super) fn join(&mut self, now: Now, connection: ConnectionId, entry: Entry) {
        let Entry { mut grants, request, connections } = entry;
        let mut held = Vec::new();
        // Nobody sees a hidden participant: it takes no part.
        if !grants.hidden {
            self.check_bans(&grants);
            let pass = pass(&grants);
            match self.circle.standing(&pass) {
                Ok(standing) => {
                    grants.can_publish = standing.role.may(Action::Publish);
                    grants.room_admin = standing.role == Role::Host;
                    for (key, value) in standing.attributes {
                        if value.is_empty() {
                            grants.attributes.remove(key);
                        } else {
                            grants.attributes.insert(key.to_owned(), value);
                        }
                    }
                    held.extend(standing.held.into_iter().flat_map(sources));
                    self.arriving = Some((connection, pass));
                }
                Err(refusal) => {
                    tracing::debug!(connection = connection.0, code = refusal.code(), "not let in");
                    let reason = DisconnectReason::JoinFailure;
                    let leave = signal::leave_response(reason, leave_request::Action::Disconnect);
                    self.send(now, connection, Box::new(leave));
                    self.outboxes.remove(&connection);
                    return;
                }
            }
        }
        self.room.handle(now, Input::Join { connection, grants, held, request, connections });
    }

    /// Whoever was banned by another identity, or in an earlier meeting, finds the door shut.
    pub(super) fn check_bans(&mut self, grants: &Grants) {
        if self.bans.is_empty() {
            return;
        }
        let identity = Trace::of_identity(&self.name, &grants.identity);
        let mark = grants.origin.as_deref().and_then(Origin::read).and_then(|origin| origin.mark);
        if self.bans.iter().any(|ban| *ban == identity || Some(*ban) == mark) {
            self.circle.bar(&grants.identity.as_str().into());
        }
    }

    /// The signalling let in whoever stood at the door.
    pub(super) fn arrived(&mut self, now: Now, connection: ConnectionId) {
        if let Some((_, pass)) = self.arriving.take_if(|(at_the_door, _)| *at_the_door == connection) {
            self.circle.handle(circle_now(now), circle::Input::MediaUp { pass });
        }
    }

    pub(super) fn circle_message(&mut self, now: Now, message: CircleMessage) {
        let input = match message {
            CircleMessage::Connect { connection, outbox, visit } => {
                let Visit { grants, resume } = *visit;
                self.check_bans(&grants);
                self.circle_outboxes.insert(seat(connection), outbox);
                circle::Input::Connect { connection: seat(connection), pass: pass(&grants), resume }
            }
            CircleMessage::Request { connection, request } => {
                let connection = seat(connection);
                if !self.circle_outboxes.contains_key(&connection) {
                    return;
                }
                match request {
                    Ok(request) => circle::Input::Request { connection, request },
                    Err(id) => circle::Input::Unreadable { connection, id },
                }
            }
            CircleMessage::Closed { connection } => {
                if self.circle_outboxes.remove(&seat(connection)).is_none() {
                    return;
                }
                circle::Input::Closed { connection: seat(connection) }
            }
        };
        self.circle.handle(circle_now(now), input);
    }

    /// Carries one effect of the circle out.
    pub(super) fn obey_circle(&mut self, now: Now, effect: circle::Effect) {
        use circle::Effect;
        match effect {
            Effect::Send { to, message } => match (&*message, &*to) {
                // What it changed is not on disk yet.
                (Message::Answer(Answer::Ok { .. }), [connection]) if self.unacknowledged.is_some() => {
                    self.keeper.answer_later(*connection, message);
                }
                _ => self.tell_circle(now, &to, &message),
            },
            Effect::Close { connection } => {
                self.circle_outboxes.remove(&connection);
            }
            Effect::Mute { participant, source } => {
                for &source in sources(source) {
                    let identity = participant.as_str().to_owned();
                    self.room.handle(now, Input::MuteSource { identity, source });
                }
            }
            Effect::Hold { participant, source, held } => {
                for &source in sources(source) {
                    let identity = participant.as_str().to_owned();
                    self.room.handle(now, Input::HoldSource { identity, source, held });
                }
            }
            Effect::Permit { participant, role } => {
                let identity = participant.as_str().to_owned();
                let (can_publish, room_admin) = (role.may(Action::Publish), role == Role::Host);
                self.room.handle(now, Input::Permit { identity, can_publish, room_admin });
            }
            Effect::Remove { participant, why } => {
                let reason = match why {
                    Removal::ByHost => DisconnectReason::ParticipantRemoved,
                    Removal::Left => DisconnectReason::ClientInitiated,
                };
                self.room.handle(now, Input::Remove { identity: participant.as_str().to_owned(), reason });
            }
            Effect::Attributes { participant, attributes } => {
                let identity = participant.as_str().to_owned();
                let attributes = attributes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
                self.room.handle(now, Input::SetAttributes { identity, attributes });
            }
            Effect::RoomMetadata(metadata) => {
                self.mirrored = metadata;
                self.show_metadata(now);
            }
            Effect::KeepSettings(settings) => self.keep(Keep::Settings(settings)),
            Effect::Ban { participant, origin } => {
                let origin = origin.as_deref().and_then(Origin::read);
                self.bans.push(Trace::of_identity(&self.name, participant.as_str()));
                self.bans.extend(origin.and_then(|origin| origin.mark));
                self.keep(Keep::Ban { identity: participant, origin });
            }
            Effect::KeepText(kept) => self.keep(Keep::Text(kept)),
            Effect::ForgetText { text } => self.keep(Keep::Forget(Forget::Text { number: text })),
            Effect::ForgetTexts => self.keep(Keep::Forget(Forget::Texts)),
            Effect::ShortenTexts { millis } => self.keep(Keep::Forget(Forget::Shorten { millis })),
            // Nobody waits for a record or a count.
            Effect::Record(record) => self.keeper.note(Keep::Record(record)),
            Effect::Accepted { version } => self.keeper.note(Keep::Accepted { version }),
            Effect::End => {
                if self.finished_by == RoomEndReason::RoomEndIdleTimeout {
                    // LiveKit has no word for a host; somebody wanted it.
                    self.finished_by = RoomEndReason::RoomEndApiDelete;
                }
                self.room.handle(now, Input::End { reason: DisconnectReason::RoomDeleted });
            }
        }
    }

    /// Written once for all of them.
    pub(super) fn tell_circle(&mut self, now: Now, to: &[circle::ConnectionId], message: &Message) {
        let text = match serde_json::to_string(message) {
            Ok(text) => Utf8Bytes::from(text),
            Err(error) => {
                tracing::error!(%error, "a message of the circle cannot be written");
                return;
            }
        };
        for &connection in to {
            let Some(outbox) = self.circle_outboxes.get(&connection) else { continue };
            if outbox.try_send(text.clone()).is_err() {
                tracing::debug!(connection = connection.0, "a circle client does not read and is closed");
                self.circle_outboxes.remove(&connection);
                self.presence.metrics().overflowed(Queue::Circle);
                // Its effects join the queue that is being drained.
                self.circle.handle(circle_now(now), circle::Input::Closed { connection });
            }
        }
    }
}

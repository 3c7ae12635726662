//! LiveKit's protocol v0: a participant with two peer connections. It offers on the one it publishes on; on the other
//! the server offers whatever it subscribes to. Owns the translation between such a participant and its second peer
//! on the media plane, so that everything else knows one participant, named by the peer it publishes on.

use crate::Room;
use crate::presence::Farewell;
use livekit_protocol::signal_response::Message;
use livekit_protocol::{DisconnectReason, SessionDescription, leave_request::Action};
use sfu::{Command, ConnectionQuality, Event, PeerId, TrackId};

/// How many peer connections a client brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// Protocol v1: the client offers, for both ways.
    One,
    /// Protocol v0: one per way.
    Two,
}

impl Room {
    /// The peer on which a participant receives.
    fn receiving(&self, peer: PeerId) -> PeerId {
        self.participants.get(&peer).and_then(|participant| participant.subscriber).unwrap_or(peer)
    }

    /// A command about receiving goes to the peer that receives.
    pub(crate) fn routed(&self, command: Command) -> Command {
        match command {
            Command::Subscribe { peer, track } => Command::Subscribe { peer: self.receiving(peer), track },
            Command::Unsubscribe { peer, track } => {
                Command::Unsubscribe { peer: self.receiving(peer), track }
            }
            Command::TrackSetting { peer, track, setting } => {
                Command::TrackSetting { peer: self.receiving(peer), track, setting }
            }
            Command::LimitBandwidth { peer, limit } => {
                Command::LimitBandwidth { peer: self.receiving(peer), limit }
            }
            Command::SendData { to, channel, payload } => {
                let to = to.into_iter().map(|peer| self.receiving(peer)).collect();
                Command::SendData { to, channel, payload }
            }
            other => other,
        }
    }

    /// An event of a second peer is one of its participant. `None`: it is dealt with, or means nothing.
    pub(crate) fn of_participant(&mut self, event: Event) -> Option<Event> {
        match event {
            Event::Offer { peer, offer_id, sdp, mid_to_track } => {
                self.server_offer(peer, offer_id, sdp, &mid_to_track);
                None
            }
            // The connection it receives on is the primary one: it makes the participant active, and its life is
            // the participant's. The other may come late, or never.
            Event::Connected { peer } => Some(Event::Connected { peer: self.primary(peer)? }),
            Event::Silent { peer } => Some(Event::Silent { peer: self.primary(peer)? }),
            Event::Heard { peer } => Some(Event::Heard { peer: self.primary(peer)? }),
            Event::OfferRefused { peer, offer_id, error } => match self.subscribers.get(&peer).copied() {
                Some(owner) => {
                    tracing::debug!(%error, "an answer cannot be used");
                    let farewell = Farewell::Leave(Action::Reconnect);
                    self.drop_participant(owner, DisconnectReason::StateMismatch, farewell);
                    None
                }
                None => Some(Event::OfferRefused { peer, offer_id, error }),
            },
            Event::OfferUnanswered { peer, .. } => {
                self.unanswered(peer);
                None
            }
            Event::Disconnected { peer, reason } => {
                Some(Event::Disconnected { peer: self.owner(peer), reason })
            }
            Event::Subscribed { peer, track } => Some(Event::Subscribed { peer: self.owner(peer), track }),
            Event::SubscriptionRefused { peer, track } => {
                Some(Event::SubscriptionRefused { peer: self.owner(peer), track })
            }
            Event::StreamState { peer, track, paused } => {
                Some(Event::StreamState { peer: self.owner(peer), track, paused })
            }
            Event::Data { peer, channel, payload } => {
                Some(Event::Data { peer: self.owner(peer), channel, payload })
            }
            Event::ConnectionQuality { peer, quality } => {
                let quality = self.worse_way(peer, quality);
                Some(Event::ConnectionQuality { peer: self.owner(peer), quality })
            }
            other => Some(other),
        }
    }

    fn owner(&self, peer: PeerId) -> PeerId {
        self.subscribers.get(&peer).copied().unwrap_or(peer)
    }

    /// The participant whose primary connection this is.
    fn primary(&self, peer: PeerId) -> Option<PeerId> {
        let owner = self.owner(peer);
        (self.receiving(owner) == peer).then_some(owner)
    }

    /// Of two connections the worse one counts.
    fn worse_way(&mut self, peer: PeerId, quality: ConnectionQuality) -> ConnectionQuality {
        let owner = self.owner(peer);
        let Some(participant) = self.participants.get_mut(&owner) else { return quality };
        if participant.subscriber.is_none() {
            return quality;
        }
        let [sending, receiving] = &mut participant.ways;
        *if owner == peer { sending } else { receiving } = Some(quality);
        participant.ways.into_iter().flatten().min().unwrap_or(quality)
    }

    fn server_offer(&mut self, peer: PeerId, id: u32, sdp: String, mid_to_track: &[(String, TrackId)]) {
        let Some(owner) = self.subscribers.get(&peer).copied() else { return };
        let mid_to_track_id = self.mid_to_sid(mid_to_track);
        let offer = SessionDescription { r#type: "offer".to_owned(), sdp, id, mid_to_track_id };
        self.send(owner, Message::Offer(offer));
    }

    /// A client that does not answer receives nothing new. One without a socket is offered to again when it resumes.
    fn unanswered(&mut self, peer: PeerId) {
        let Some(owner) = self.subscribers.get(&peer).copied() else { return };
        if self.participants.get(&owner).is_some_and(|participant| participant.connection().is_some()) {
            tracing::debug!("an offer was not answered in time");
            let farewell = Farewell::Leave(Action::Reconnect);
            self.drop_participant(owner, DisconnectReason::StateMismatch, farewell);
        }
    }

    /// The client's answer to an offer of the server's.
    pub(crate) fn client_answer(&mut self, peer: PeerId, answer: SessionDescription) {
        let Some(subscriber) = self.participants.get(&peer).and_then(|p| p.subscriber) else { return };
        if answer.r#type == "answer" && answer.sdp.len() <= crate::limits::MAX_SDP {
            self.command(Command::Answer { peer: subscriber, offer_id: answer.id, sdp: answer.sdp });
        }
    }

    /// A resumed client restarts ICE itself where it offers; where the server offers, the server does.
    pub(crate) fn restart_subscriber(&mut self, peer: PeerId) {
        if let Some(subscriber) = self.participants.get(&peer).and_then(|p| p.subscriber) {
            self.command(Command::RestartIce { peer: subscriber });
        }
    }
}

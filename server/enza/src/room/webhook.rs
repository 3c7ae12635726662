//! What of a room's life goes out as LiveKit's webhooks.

use super::RoomTask;
use livekit_protocol::WebhookEvent;
use signal::Happening;

impl RoomTask {
    /// Somebody is here, by the circle or by media: the first one starts the room.
    pub(super) fn tell_of_start(&mut self) {
        if !self.started {
            self.started = true;
            self.tell_of_room("room_started");
        }
    }

    /// Where nobody came there is nothing to tell.
    pub(super) fn tell_of_finish(&self) {
        if self.started {
            self.tell_of_room("room_finished");
        }
    }

    fn tell_of_room(&self, event: &str) {
        if !self.webhooks.are_wanted() {
            return;
        }
        let mut told = WebhookEvent {
            event: event.to_owned(),
            room: Some(self.room.room_info()),
            ..WebhookEvent::default()
        };
        if event == "room_finished" {
            told.set_room_end_reason(self.finished_by);
        }
        self.webhooks.tell(&self.name, told);
    }

    pub(super) fn tell_of(&mut self, what: Happening) {
        self.tell_of_start();
        if !self.webhooks.are_wanted() {
            return;
        }
        let (event, participant, track) = match what {
            Happening::Joined { participant } => ("participant_joined", participant, None),
            Happening::Left { participant } => ("participant_left", participant, None),
            Happening::Published { participant, track } => ("track_published", participant, Some(track)),
            Happening::Unpublished { participant, track } => ("track_unpublished", participant, Some(track)),
        };
        self.webhooks.tell(
            &self.name,
            WebhookEvent {
                event: event.to_owned(),
                room: Some(self.room.room_info()),
                participant: Some(participant),
                track,
                ..WebhookEvent::default()
            },
        );
    }
}

//! The connection on which the server offers (LiveKit protocol v0): it only receives, takes the numbers of the offer
//! and is as strict about it as a browser.

use super::super::sdp::{Answer, Direction, Role, SectionKind};
use super::Peer;
use sfu::TrackId;
use std::time::Instant;

impl Peer {
    /// No m-line before the server offers one.
    pub(crate) fn answering(mut self) -> Self {
        self.role = Role::Answer;
        self.sections.clear();
        self
    }

    /// Takes an offer of the server's. Returns the answer.
    pub(crate) fn apply_offer(
        &mut self,
        now: Instant,
        sdp: &str,
        mid_to_track: Vec<(String, TrackId)>,
    ) -> String {
        assert_eq!(self.role, Role::Answer, "the client offers here");
        let offer = Answer::parse(sdp);
        assert!(offer.sections.len() >= self.sections.len(), "an m-line never goes (RFC 9429 section 5.2.2)");
        for (index, section) in offer.sections.iter().enumerate() {
            let kind = match section.kind.as_str() {
                "audio" => SectionKind::Audio,
                "video" => SectionKind::Video,
                _ => SectionKind::Application,
            };
            if index == self.sections.len() {
                self.add_section(kind, Direction::Inactive, None);
            }
            let known = &mut self.sections[index];
            assert_eq!((&known.mid, known.kind), (&section.mid, kind), "m-line {index} stays what it is");
            known.direction =
                if section.direction == "sendonly" { Direction::RecvOnly } else { Direction::Inactive };
        }
        self.client.dialect = self.client.dialect.of_offer(&offer);
        // Both sides change their credentials in a restart (RFC 8445 section 9).
        let credentials = offer.credentials.as_ref().expect("ICE credentials");
        if self.ice.remote.as_ref().is_some_and(|known| known != credentials) {
            self.restart_ice();
        }
        self.follow(now, offer, mid_to_track);
        self.describe()
    }
}

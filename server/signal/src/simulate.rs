//! `simulate`: trouble that a client asks for to test itself, on a server in development mode. Each scenario touches only
//! the participant that asks; only simulated speech is shown to the others.

use crate::Room;
use crate::limits::MAX_SIMULATED_SPEAKING;
use crate::presence::Farewell;
use crate::speaker::Voice;
use livekit_protocol::request_response::Reason;
use livekit_protocol::signal_response::Message;
use livekit_protocol::simulate_scenario::Scenario;
use livekit_protocol::{
    CandidateProtocol, DisconnectReason, RequestResponse, SimulateScenario, leave_request::Action,
};
use sfu::{Command, PeerId};
use std::time::{Duration, Instant};

/// Loudness of simulated speech.
const LEVEL: f32 = 0.9;

/// Speech shown to everybody until this time, whatever the media says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SimulatedSpeech {
    pub(crate) until: Instant,
}

impl SimulatedSpeech {
    #[expect(
        clippy::unused_self,
        reason = "a simulated voice has one level; the call reads like a measured one"
    )]
    pub(crate) fn voice(&self) -> Voice {
        Voice { level: LEVEL, active: true }
    }
}

/// How the participant's next resume breaks, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResumeFault {
    CloseBeforeMessages,
    CloseAfterMessages,
}

impl Room {
    pub(crate) fn simulate(&mut self, peer: PeerId, request: &SimulateScenario) {
        if !self.settings.development {
            return self.not_simulated(
                peer,
                Reason::NotAllowed,
                "this server simulates nothing; start it with --development",
            );
        }
        match request.scenario {
            Some(Scenario::SpeakerUpdate(seconds)) => self.simulate_speech(peer, seconds),
            Some(Scenario::NodeFailure(_)) => {
                self.drop_participant(peer, DisconnectReason::ServerShutdown, Farewell::Silence);
            }
            Some(Scenario::ServerLeave(_)) => {
                let farewell = Farewell::Leave(Action::Disconnect);
                self.drop_participant(peer, DisconnectReason::ServerShutdown, farewell);
            }
            Some(Scenario::LeaveRequestFullReconnect(_)) => {
                let farewell = Farewell::Leave(Action::Reconnect);
                self.drop_participant(peer, DisconnectReason::StateMismatch, farewell);
            }
            // The participant stays where it is; only its socket breaks.
            Some(Scenario::Migration(_)) => {
                self.hang_up(peer, Farewell::Silence, DisconnectReason::Migration);
            }
            Some(Scenario::DisconnectSignalOnResume(_)) => {
                self.set_resume_fault(peer, ResumeFault::CloseAfterMessages);
            }
            Some(Scenario::DisconnectSignalOnResumeNoMessages(_)) => {
                self.set_resume_fault(peer, ResumeFault::CloseBeforeMessages);
            }
            Some(Scenario::SwitchCandidateProtocol(protocol)) => self.switch_candidate(peer, protocol),
            Some(Scenario::SubscriberBandwidth(bits_per_second)) => {
                let limit = u64::try_from(bits_per_second).ok().filter(|limit| *limit > 0);
                self.command(Command::LimitBandwidth { peer, limit });
            }
            None => self.not_simulated(peer, Reason::UnsupportedType, "no such scenario"),
        }
    }

    /// LiveKit restarts ICE and offers candidates of that protocol alone; here there are none but UDP's.
    fn switch_candidate(&mut self, peer: PeerId, protocol: i32) {
        if CandidateProtocol::try_from(protocol) != Ok(CandidateProtocol::Udp) {
            let message = "media goes over UDP only";
            self.not_simulated(peer, Reason::UnsupportedType, message);
        } else if self.participants.get(&peer).is_some_and(|participant| participant.subscriber.is_some()) {
            self.restart_subscriber(peer);
        } else {
            // Where the client offers, it restarts ICE when it resumes.
            self.hang_up(peer, Farewell::Leave(Action::Resume), DisconnectReason::StateMismatch);
        }
    }

    /// The request has no number, so the answer has none either.
    fn not_simulated(&mut self, peer: PeerId, reason: Reason, message: &str) {
        let answer = RequestResponse {
            request_id: 0,
            reason: reason.into(),
            message: message.to_owned(),
            request: None,
        };
        self.send(peer, Message::RequestResponse(answer));
    }

    fn set_resume_fault(&mut self, peer: PeerId, fault: ResumeFault) {
        if let Some(participant) = self.participants.get_mut(&peer) {
            participant.resume_fault = Some(fault);
        }
    }

    fn simulate_speech(&mut self, peer: PeerId, seconds: i32) {
        let wanted = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        if let Some(participant) = self.participants.get_mut(&peer) {
            let until = self.now.instant + wanted.min(MAX_SIMULATED_SPEAKING);
            participant.simulated_speech = Some(SimulatedSpeech { until });
            self.tell_speaker(peer);
        }
    }

    pub(crate) fn end_simulated_speech(&mut self, peer: PeerId) {
        if let Some(participant) = self.participants.get_mut(&peer) {
            participant.simulated_speech = None;
            participant.voice.get_or_insert(Voice { level: 0.0, active: false });
            self.tell_speaker(peer);
        }
    }
}

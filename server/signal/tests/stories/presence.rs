//! How participants and rooms end.

use crate::stage::{Client, Stage, about, all, camera, grants, only, request, settings};
use livekit_protocol::signal_request::Message as Ask;
use livekit_protocol::{
    DisconnectReason, JoinRequest, SimulateScenario, leave_request::Action, participant_info::State,
    simulate_scenario::Scenario,
};
use sfu::{Command, Event};
use signal::Input;
use std::time::Duration;

fn simulate(stage: &mut Stage, client: &Client, scenario: Scenario) {
    stage.ask(client, Ask::Simulate(SimulateScenario { scenario: Some(scenario) }));
}

fn resuming(client: &Client) -> JoinRequest {
    JoinRequest { reconnect: true, participant_sid: client.sid.clone(), ..request() }
}

fn gone(stage: &mut Stage, witness: &Client, client: &Client) -> Option<DisconnectReason> {
    let info = about(&stage.heard(witness), client)?;
    (info.state() == State::Disconnected).then(|| info.disconnect_reason())
}

#[test]
fn a_closed_tab_is_gone_within_five_seconds() {
    let mut stage = Stage::new();
    let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
    stage.publish(&anna, camera("cam"));
    stage.forget();
    stage.close(&anna);
    stage.after_millis(2999);
    assert!(all!(stage.heard(&ben), Update).is_empty());
    stage.media(Event::Silent { peer: anna.peer });
    stage.after_millis(999);
    assert!(all!(stage.heard(&ben), Update).is_empty());
    stage.after_millis(2);
    assert_eq!(gone(&mut stage, &ben, &anna), Some(DisconnectReason::SignalClose));
    assert!(stage.commands().iter().any(|c| matches!(c, Command::Disconnect { peer } if *peer == anna.peer)));
}

#[test]
fn a_silent_participant_whose_socket_closes_later_is_gone_a_second_after() {
    let mut stage = Stage::new();
    let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
    stage.media(Event::Silent { peer: anna.peer });
    stage.after(Duration::from_secs(60));
    stage.forget();
    stage.close(&anna);
    stage.after_millis(999);
    assert_eq!(gone(&mut stage, &ben, &anna), None);
    stage.after_millis(2);
    assert_eq!(gone(&mut stage, &ben, &anna), Some(DisconnectReason::SignalClose));
}

#[test]
fn media_that_lives_keeps_a_participant_without_a_socket() {
    let mut stage = Stage::new();
    let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
    stage.close(&anna);
    stage.media(Event::Silent { peer: anna.peer });
    stage.after_millis(900);
    stage.media(Event::Heard { peer: anna.peer });
    stage.after(Duration::from_secs(30));
    assert!(all!(stage.heard(&ben), Update).is_empty());
    let connection = stage.open(grants("anna"), resuming(&anna));
    assert_eq!(all!(stage.heard_on(connection), Reconnect).len(), 1);
}

#[test]
fn a_network_blink_with_an_open_socket_is_not_a_departure() {
    let mut stage = Stage::new();
    let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
    stage.media(Event::Silent { peer: anna.peer });
    stage.after(Duration::from_secs(20));
    stage.media(Event::Heard { peer: anna.peer });
    stage.after(Duration::from_secs(20));
    assert!(all!(stage.heard(&ben), Update).is_empty() && stage.heard(&anna).is_empty());
}

#[test]
fn lost_media_asks_for_a_resume_and_drops_after_five_seconds() {
    let mut stage = Stage::new();
    let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
    stage.media(Event::Disconnected { peer: anna.peer, reason: sfu::DisconnectReason::ConsentExpired });
    let leave = only!(stage.heard(&anna), Leave);
    assert_eq!((leave.action(), leave.can_reconnect), (Action::Resume, true));
    assert!(stage.closed.contains(&anna.connection));
    stage.after_millis(4999);
    assert_eq!(gone(&mut stage, &ben, &anna), None);
    stage.after_millis(2);
    assert_eq!(gone(&mut stage, &ben, &anna), Some(DisconnectReason::ConnectionTimeout));
}

#[test]
fn a_client_that_closes_its_media_first_still_gets_to_say_goodbye() {
    let mut stage = Stage::new();
    let (anna, ben, cem) = (stage.settle("anna"), stage.settle("ben"), stage.settle("cem"));
    for client in [&anna, &ben] {
        stage.media(Event::Disconnected { peer: client.peer, reason: sfu::DisconnectReason::ClosedByPeer });
        assert!(stage.heard(client).is_empty() && !stage.closed.contains(&client.connection));
    }
    stage.after_millis(20);
    stage.ask(&anna, Ask::Leave(Default::default()));
    assert_eq!(gone(&mut stage, &cem, &anna), Some(DisconnectReason::ClientInitiated));
    assert!(all!(stage.heard(&anna), Leave).is_empty());
    stage.after(Duration::from_secs(1));
    assert_eq!(gone(&mut stage, &cem, &ben), Some(DisconnectReason::ClientInitiated), "it never said so");
    assert_eq!(only!(stage.heard(&ben), Leave).action(), Action::Reconnect);
    let back = stage.open(grants("ben"), resuming(&ben));
    assert_eq!(only!(stage.heard_on(back), Leave).action(), Action::Reconnect);
}

#[test]
fn a_client_that_closes_media_and_socket_is_gone_at_once() {
    let mut stage = Stage::new();
    let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
    stage.media(Event::Disconnected { peer: anna.peer, reason: sfu::DisconnectReason::ClosedByPeer });
    stage.close(&anna);
    assert_eq!(gone(&mut stage, &ben, &anna), Some(DisconnectReason::ClientInitiated));
}

#[test]
fn media_that_is_gone_cannot_be_resumed() {
    let mut stage = Stage::new();
    let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
    stage.media(Event::Disconnected { peer: anna.peer, reason: sfu::DisconnectReason::ConsentExpired });
    stage.after_millis(100);
    let connection = stage.open(grants("anna"), resuming(&anna));
    let leave = only!(stage.heard_on(connection), Leave);
    assert_eq!((leave.reason(), leave.action()), (DisconnectReason::StateMismatch, Action::Reconnect));
    assert!(stage.closed.contains(&connection));
    assert_eq!(gone(&mut stage, &ben, &anna), Some(DisconnectReason::StateMismatch));
    stage.join("anna");
}

#[test]
fn both_lost_at_once_is_the_end() {
    for (why, reason) in [
        (sfu::DisconnectReason::ClosedByPeer, DisconnectReason::ClientInitiated),
        (sfu::DisconnectReason::ConsentExpired, DisconnectReason::SignalClose),
    ] {
        let mut stage = Stage::new();
        let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
        stage.close(&anna);
        stage.media(Event::Disconnected { peer: anna.peer, reason: why });
        assert_eq!(gone(&mut stage, &ben, &anna), Some(reason));
    }
}

#[test]
fn a_join_that_never_becomes_active_ends() {
    let mut stage = Stage::new();
    let ben = stage.settle("ben");
    let anna = stage.join("anna");
    stage.after_millis(59_999);
    assert!(all!(stage.heard(&anna), Leave).is_empty());
    stage.after_millis(2);
    let leave = only!(stage.heard(&anna), Leave);
    assert_eq!((leave.reason(), leave.action()), (DisconnectReason::JoinFailure, Action::Disconnect));
    assert_eq!(gone(&mut stage, &ben, &anna), Some(DisconnectReason::JoinFailure));

    let cem = stage.join("cem");
    stage.close(&cem);
    stage.after_millis(4001);
    assert_eq!(gone(&mut stage, &ben, &cem), Some(DisconnectReason::SignalClose));

    let dia = stage.join("dia");
    stage.media(Event::Disconnected { peer: dia.peer, reason: sfu::DisconnectReason::HandshakeFailed });
    let leave = only!(stage.heard(&dia), Leave);
    assert_eq!((leave.reason(), leave.action()), (DisconnectReason::JoinFailure, Action::Reconnect));
}

#[test]
fn a_host_removes_somebody() {
    let mut stage = Stage::new();
    let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
    stage.input(Input::Remove { identity: "anna".into(), reason: DisconnectReason::ParticipantRemoved });
    let leave = only!(stage.heard(&anna), Leave);
    assert_eq!((leave.reason(), leave.action()), (DisconnectReason::ParticipantRemoved, Action::Disconnect));
    assert_eq!(gone(&mut stage, &ben, &anna), Some(DisconnectReason::ParticipantRemoved));
    stage.input(Input::Remove { identity: "nobody".into(), reason: DisconnectReason::ParticipantRemoved });
}

#[test]
fn an_ended_room_sends_everybody_away_once() {
    for (reason, action) in [
        (DisconnectReason::ServerShutdown, Action::Reconnect),
        (DisconnectReason::RoomDeleted, Action::Disconnect),
    ] {
        let mut stage = Stage::new();
        let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
        stage.close(&ben);
        stage.input(Input::End { reason });
        let leave = only!(stage.heard(&anna), Leave);
        assert_eq!((leave.reason(), leave.action()), (reason, action));
        let disconnects = stage.commands().iter().filter(|c| matches!(c, Command::Disconnect { .. })).count();
        assert_eq!((disconnects, stage.ended, stage.room.next_deadline()), (2, 1, None));
        stage.input(Input::End { reason });
        assert_eq!(stage.ended, 1);
        let late = stage.open(grants("late"), request());
        let leave = only!(stage.heard_on(late), Leave);
        assert_eq!((leave.reason(), leave.action()), (reason, action));
    }
}

#[test]
fn an_empty_room_ends_after_its_timeouts() {
    let mut stage = Stage::new();
    stage.after(Duration::from_secs(299));
    assert_eq!(stage.ended, 0);
    stage.after(Duration::from_secs(2));
    assert_eq!(stage.ended, 1, "nobody ever came");

    let mut stage = Stage::with(settings(2));
    stage.after(Duration::from_secs(250));
    let anna = stage.settle("anna");
    stage.after(Duration::from_secs(3600));
    assert_eq!(stage.ended, 0, "somebody is here");
    stage.ask(&anna, Ask::Leave(Default::default()));
    stage.after(Duration::from_secs(19));
    assert_eq!(stage.ended, 0);
    let back = stage.settle("anna");
    stage.after(Duration::from_secs(60));
    assert_eq!(stage.ended, 0, "somebody came back");
    stage.ask(&back, Ask::Leave(Default::default()));
    stage.after(Duration::from_secs(60));
    assert_eq!(stage.ended, 1);
    stage.after(Duration::from_secs(600));
    assert_eq!((stage.ended, stage.room.next_deadline()), (1, None));
    let late = stage.open(grants("late"), request());
    assert_eq!(only!(stage.heard_on(late), Leave).action(), Action::Reconnect);
}

#[test]
fn simulated_trouble() {
    for (scenario, leave) in [
        (Scenario::NodeFailure(true), None),
        (Scenario::ServerLeave(true), Some((DisconnectReason::ServerShutdown, Action::Disconnect))),
        (
            Scenario::LeaveRequestFullReconnect(true),
            Some((DisconnectReason::StateMismatch, Action::Reconnect)),
        ),
    ] {
        let mut stage = Stage::new();
        let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
        simulate(&mut stage, &anna, scenario);
        let said = all!(stage.heard(&anna), Leave);
        assert_eq!(said.first().map(|said| (said.reason(), said.action())), leave);
        assert!(stage.closed.contains(&anna.connection) && gone(&mut stage, &ben, &anna).is_some());
    }
    let mut stage = Stage::new();
    let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
    simulate(&mut stage, &anna, Scenario::Migration(true));
    assert!(stage.closed.contains(&anna.connection) && stage.heard(&ben).is_empty());
    let connection = stage.open(grants("anna"), resuming(&anna));
    assert_eq!(all!(stage.heard_on(connection), Reconnect).len(), 1);
}

#[test]
fn nothing_is_simulated_unless_the_server_is_in_development_mode() {
    let mut stage = Stage::with(signal::RoomSettings { development: false, ..settings(1) });
    let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
    stage.forget();
    for scenario in [
        Scenario::SpeakerUpdate(3),
        Scenario::NodeFailure(true),
        Scenario::Migration(true),
        Scenario::ServerLeave(true),
        Scenario::SwitchCandidateProtocol(0),
        Scenario::SubscriberBandwidth(100_000),
        Scenario::DisconnectSignalOnResume(true),
        Scenario::DisconnectSignalOnResumeNoMessages(true),
        Scenario::LeaveRequestFullReconnect(true),
    ] {
        simulate(&mut stage, &anna, scenario);
        let answer = only!(stage.heard(&anna), RequestResponse);
        assert_eq!(answer.reason(), livekit_protocol::request_response::Reason::NotAllowed);
        assert!(answer.message.contains("--development"));
    }
    assert_eq!(stage.commands(), []);
    assert!(stage.heard(&ben).is_empty() && !stage.closed.contains(&anna.connection));
}

#[test]
fn simulated_bandwidth_is_a_limit_and_other_candidates_than_udp_are_answered() {
    let mut stage = Stage::new();
    let anna = stage.settle("anna");
    stage.forget();
    for (asked, limit) in [(150_000, Some(150_000)), (0, None), (-1, None)] {
        simulate(&mut stage, &anna, Scenario::SubscriberBandwidth(asked));
        assert_eq!(stage.commands(), [Command::LimitBandwidth { peer: anna.peer, limit }]);
    }
    for protocol in [1, 2, 77] {
        simulate(&mut stage, &anna, Scenario::SwitchCandidateProtocol(protocol));
        let answer = only!(stage.heard(&anna), RequestResponse);
        assert_eq!(answer.reason(), livekit_protocol::request_response::Reason::UnsupportedType);
    }
    assert!(!stage.closed.contains(&anna.connection));
    simulate(&mut stage, &anna, Scenario::SwitchCandidateProtocol(0));
    assert_eq!(only!(stage.heard(&anna), Leave).action(), Action::Resume, "it restarts ICE when it resumes");
    let connection = stage.open(grants("anna"), resuming(&anna));
    assert_eq!(all!(stage.heard_on(connection), Reconnect).len(), 1);
}

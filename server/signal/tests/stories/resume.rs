//! The same participant on a new WebSocket.

use crate::stage::{Client, Stage, about, all, camera, grants, microphone, only, request};
use livekit_protocol::signal_request::Message as Ask;
use livekit_protocol::signal_response::Message;
use livekit_protocol::{
    ConnectionQuality, DisconnectReason, JoinRequest, MuteTrackRequest, SessionDescription, SimulateScenario,
    SubscriptionPermission, SyncState, TrackInfo, TrackPublishedResponse, UpdateSubscription,
    leave_request::Action, participant_info::State, simulate_scenario::Scenario,
};
use sfu::{Command, Event, Quality};
use signal::Input;

fn resume(stage: &mut Stage, client: &Client) -> Client {
    resume_with(stage, client, None)
}

fn resume_with(stage: &mut Stage, client: &Client, sync_state: Option<SyncState>) -> Client {
    let participant_sid = client.sid.clone();
    let asked = JoinRequest { reconnect: true, participant_sid, sync_state, ..request() };
    Client { connection: stage.open(grants(&client.identity), asked), ..client.clone() }
}

fn published(sid: &str) -> TrackPublishedResponse {
    let track = Some(TrackInfo { sid: sid.into(), ..Default::default() });
    TrackPublishedResponse { cid: "cid".into(), track }
}

#[test]
fn a_resume_tells_everything_that_may_have_been_missed() {
    let mut stage = Stage::new();
    let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
    let own = stage.publish(&anna, camera("cam"));
    let audio = stage.publish(&anna, microphone("mic"));
    let wanted = vec![(Quality::Low, true)];
    stage.media(Event::WantedLayers { track: own.id, wanted });
    stage.close(&anna);
    let cem = stage.join("cem");
    stage.media(Event::ConnectionQuality { peer: cem.peer, quality: sfu::ConnectionQuality::Good });
    let (identity, track_sid) = ("anna".to_owned(), audio.sid.clone());
    stage.input(Input::MuteTrack { identity, track_sid, muted: true });
    let theirs = stage.publish(&ben, camera("cam"));
    stage.ask(&ben, Ask::SubscriptionPermission(SubscriptionPermission::default()));
    stage.media(Event::MediaSections { peer: anna.peer, audios: 1, videos: 2 });
    stage.forget();

    let back = resume(&mut stage, &anna);
    let heard = stage.heard(&back);
    let Some(Message::Reconnect(reconnect)) = heard.first() else { panic!("reconnect first: {heard:?}") };
    assert_eq!(reconnect.server_info.clone().unwrap().protocol, 17);
    assert!(
        matches!(heard.get(1), Some(Message::Update(_)))
            && matches!(heard.get(2), Some(Message::RoomUpdate(_)))
    );
    let me = about(&heard, &anna).unwrap();
    assert_eq!((me.state(), me.tracks.len(), me.tracks[1].muted), (State::Active, 2, true));
    assert_eq!(about(&heard, &ben).unwrap().tracks.len(), 1);
    assert_eq!(about(&heard, &cem).unwrap().state(), State::Joined);
    assert_eq!(only!(heard, RoomUpdate).room.unwrap().num_participants, 3);
    assert_eq!(only!(heard, Mute), MuteTrackRequest { sid: audio.sid, muted: true });
    assert_eq!(only!(heard, SubscribedQualityUpdate).track_sid, own.sid);
    assert_eq!(only!(heard, ConnectionQuality).updates[0].quality(), ConnectionQuality::Good);
    let withheld = only!(heard, SubscriptionPermissionUpdate);
    assert_eq!((withheld.track_sid, withheld.allowed), (theirs.sid, false));
    let sections = only!(heard, MediaSectionsRequirement);
    assert_eq!((sections.num_audios, sections.num_videos), (1, 2));
    assert_eq!(stage.tokens.iter().map(|(connection, _)| *connection).collect::<Vec<_>>(), [back.connection]);
    assert!(all!(stage.heard(&ben), Update).is_empty(), "nobody else noticed");
    assert!(stage.commands().is_empty(), "the media was never touched");
}

#[test]
fn who_left_or_came_back_meanwhile_is_told_before_who_is_there() {
    let mut stage = Stage::new();
    let (anna, ben, cem) = (stage.settle("anna"), stage.settle("ben"), stage.settle("cem"));
    stage.close(&anna);
    stage.ask(&ben, Ask::Leave(Default::default()));
    stage.ask(&cem, Ask::Leave(Default::default()));
    let again = stage.join("cem");
    let back = resume(&mut stage, &anna);
    let told: Vec<(String, State)> = only!(stage.heard(&back), Update)
        .participants
        .into_iter()
        .map(|info| (info.sid.clone(), info.state()))
        .collect();
    let expected = [
        (ben.sid, State::Disconnected),
        (cem.sid, State::Disconnected),
        (anna.sid.clone(), State::Active),
        (again.sid, State::Joined),
    ];
    assert_eq!(told, expected);
    let back = resume(&mut stage, &anna);
    assert_eq!(only!(stage.heard(&back), Update).participants.len(), 2, "told once");
}

#[test]
fn the_older_socket_of_a_resumed_participant_closes_without_a_word() {
    let mut stage = Stage::new();
    let anna = stage.settle("anna");
    let back = resume(&mut stage, &anna);
    assert!(stage.heard(&anna).is_empty() && stage.closed.contains(&anna.connection));
    stage.input(Input::Closed { connection: anna.connection });
    stage.ask(&anna, Ask::Ping(1));
    stage.ask(&back, Ask::Ping(1));
    assert_eq!(all!(stage.heard(&back), Pong).len(), 1, "the late close of the old socket is not its own");
}

#[test]
fn a_resume_of_somebody_unknown_is_a_full_reconnect() {
    let mut stage = Stage::new();
    let anna = stage.settle("anna");
    let mallory = Client { identity: "mallory".into(), ..anna.clone() };
    let stale = Client { sid: "PA_stale".into(), ..anna.clone() };
    let nameless = Client { sid: String::new(), ..anna.clone() };
    for wrong in [mallory, stale, nameless] {
        let refused = resume(&mut stage, &wrong);
        let leave = only!(stage.heard(&refused), Leave);
        assert_eq!((leave.reason(), leave.action()), (DisconnectReason::StateMismatch, Action::Reconnect));
        assert!(stage.closed.contains(&refused.connection));
    }
    assert!(stage.heard(&anna).is_empty() && !stage.closed.contains(&anna.connection), "anna is untouched");
}

#[test]
fn a_restart_offer_after_a_resume_is_just_an_offer_and_old_answers_stay_away() {
    let mut stage = Stage::new();
    let anna = stage.settle("anna");
    // Native clients number every offer 0.
    let offer = SessionDescription { r#type: "offer".into(), sdp: "first".into(), ..Default::default() };
    stage.ask(&anna, Ask::Offer(offer.clone()));
    let back = resume(&mut stage, &anna);
    stage.forget();
    stage.ask(&back, Ask::Offer(SessionDescription { sdp: "restart".into(), ..offer }));
    assert!(
        matches!(stage.commands().as_slice(), [Command::Offer { offer_id: 0, sdp, .. }] if sdp == "restart")
    );
    let answer =
        |sdp: &str| Event::Answer { peer: anna.peer, offer_id: 0, sdp: sdp.into(), mid_to_track: Vec::new() };
    stage.media(answer("to first"));
    assert!(stage.heard(&back).is_empty(), "an answer to another socket's offer");
    stage.media(answer("to restart"));
    assert_eq!(only!(stage.heard(&back), Answer).sdp, "to restart");
    stage.media(answer("to nothing"));
    assert!(stage.heard(&back).is_empty());
}

#[test]
fn the_state_a_client_brings_back_is_taken_over() {
    let mut stage = Stage::new();
    let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
    let own = stage.publish(&anna, camera("cam"));
    let waiting = stage.announce(&anna, microphone("mic"));
    let (kept, unwanted) = (stage.publish(&ben, camera("cam")), stage.publish(&ben, microphone("mic")));
    stage.close(&anna);
    stage.forget();
    let subscription = UpdateSubscription {
        track_sids: vec![unwanted.sid, "TR_ghost".into()],
        subscribe: false,
        ..Default::default()
    };
    let state = SyncState {
        subscription: Some(subscription),
        publish_tracks: vec![published(&own.sid), published(&waiting.sid)],
        track_sids_disabled: vec![kept.sid],
        ..Default::default()
    };
    let back = resume(&mut stage, &anna);
    stage.forget();
    stage.ask(&back, Ask::SyncState(state.clone()));
    let commands = stage.commands();
    assert!(
        matches!(
            commands.as_slice(),
            [Command::Unsubscribe { track: gone, .. }, Command::TrackSetting { track, setting, .. }]
                if *gone == unwanted.id && *track == kept.id && setting.disabled
        ),
        "{commands:?}"
    );
    assert!(stage.heard(&back).is_empty());
    let again = resume_with(&mut stage, &anna, Some(state));
    assert_eq!(all!(stage.heard(&again), Reconnect).len(), 1, "the same inside the join request");
}

#[test]
fn publications_the_server_does_not_know_need_a_full_reconnect() {
    let mut stage = Stage::new();
    let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
    let theirs = stage.publish(&ben, camera("cam"));
    stage.forget();
    for sid in ["TR_ghost", theirs.sid.as_str()] {
        let anna = stage.join("anna");
        let back = resume(&mut stage, &anna);
        stage.forget();
        let publish_tracks = vec![published(sid)];
        stage.ask(&back, Ask::SyncState(SyncState { publish_tracks, ..Default::default() }));
        let leave = only!(stage.heard(&back), Leave);
        assert_eq!((leave.reason(), leave.action()), (DisconnectReason::StateMismatch, Action::Reconnect));
        assert_eq!(about(&stage.heard(&ben), &anna).unwrap().state(), State::Disconnected);
    }
    assert!(stage.closed.contains(&anna.connection));
}

#[test]
fn simulated_trouble_on_resume_happens_once() {
    let mut stage = Stage::new();
    let anna = stage.settle("anna");
    let mut current = anna.clone();
    for (scenario, messages) in [
        (Scenario::DisconnectSignalOnResume(true), true),
        (Scenario::DisconnectSignalOnResumeNoMessages(true), false),
    ] {
        stage.ask(&current, Ask::Simulate(SimulateScenario { scenario: Some(scenario) }));
        let broken = resume(&mut stage, &anna);
        assert_eq!(!stage.heard(&broken).is_empty(), messages);
        assert!(stage.closed.contains(&broken.connection));
        current = resume(&mut stage, &anna);
        assert_eq!(all!(stage.heard(&current), Reconnect).len(), 1);
    }
}

//! Receiving: who gets which track, how, and what publishers hear of it.

use crate::stage::{Client, Published, Stage, all, camera, grants, microphone, only, request};
use livekit_protocol::signal_request::Message as Ask;
use livekit_protocol::{
    ConnectionQuality, ConnectionSettings, JoinRequest, ParticipantTracks, SimulateScenario, StreamState,
    SubscriptionError, SubscriptionPermission, TrackPermission, UpdateSubscription, UpdateTrackSettings,
    VideoQuality, simulate_scenario::Scenario,
};
use sfu::{Command, Event, PeerId, Quality, RoomId, Speaker, TrackId, TrackSetting};
use signal::Grants;
use std::time::Duration;

fn choosing(identity: &str, stage: &mut Stage) -> Client {
    let connection_settings = Some(ConnectionSettings { auto_subscribe: false, ..Default::default() });
    let client = stage.join_as(grants(identity), JoinRequest { connection_settings, ..request() });
    stage.media(Event::Connected { peer: client.peer });
    stage.after_millis(1500);
    stage.forget();
    client
}

fn subscription(sids: &[&Published], subscribe: bool) -> Ask {
    let track_sids = sids.iter().map(|track| track.sid.clone()).collect();
    Ask::Subscription(UpdateSubscription { track_sids, subscribe, ..Default::default() })
}

fn subscribes(stage: &mut Stage) -> Vec<(PeerId, TrackId, bool)> {
    let step = |command: Command| match command {
        Command::Subscribe { peer, track } => Some((peer, track, true)),
        Command::Unsubscribe { peer, track } => Some((peer, track, false)),
        _ => None,
    };
    stage.commands().into_iter().filter_map(step).collect()
}

fn only_to(permissions: Vec<TrackPermission>) -> Ask {
    let all_participants = false;
    Ask::SubscriptionPermission(SubscriptionPermission { all_participants, track_permissions: permissions })
}

fn everyone() -> Ask {
    Ask::SubscriptionPermission(SubscriptionPermission { all_participants: true, ..Default::default() })
}

#[test]
fn everybody_gets_everything_unless_they_choose() {
    let mut stage = Stage::new();
    let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
    let cem = choosing("cem", &mut stage);
    let mute = stage.join_as(Grants { can_subscribe: false, ..grants("mute") }, request());
    stage.forget();
    let track = stage.publish(&anna, camera("cam"));
    assert_eq!(subscribes(&mut stage), [(ben.peer, track.id, true)]);
    stage.ask(&cem, subscription(&[&track], true));
    assert_eq!(subscribes(&mut stage), [(cem.peer, track.id, true)]);
    stage.ask(&cem, subscription(&[&track], true));
    stage.ask(&mute, subscription(&[&track], true));
    stage.ask(&anna, subscription(&[&track], true));
    assert_eq!(subscribes(&mut stage), [], "twice, without the right, or the own track");
    let participant_tracks =
        vec![ParticipantTracks { participant_sid: anna.sid.clone(), track_sids: vec![track.sid.clone()] }];
    let unsubscribe = UpdateSubscription { participant_tracks, ..Default::default() };
    stage.ask(&ben, Ask::Subscription(unsubscribe));
    assert_eq!(subscribes(&mut stage), [(ben.peer, track.id, false)]);
    let later = stage.publish(&anna, microphone("mic"));
    assert_eq!(subscribes(&mut stage), [(ben.peer, later.id, true)], "one refused track is not all of them");
}

#[test]
fn an_unknown_track_is_answered() {
    let mut stage = Stage::new();
    let anna = stage.settle("anna");
    let ghost = Published { id: TrackId(1), sid: "TR_ghost".into() };
    stage.ask(&anna, subscription(&[&ghost], true));
    let answer = only!(stage.heard(&anna), SubscriptionResponse);
    assert_eq!((answer.track_sid.as_str(), answer.err()), ("TR_ghost", SubscriptionError::SeTrackNotfound));
    stage.ask(&anna, subscription(&[&ghost], false));
    assert!(stage.heard(&anna).is_empty());
}

#[test]
fn the_media_plane_asks_for_sections_and_the_publisher_hears_of_the_first_receiver() {
    let mut stage = Stage::new();
    let (anna, ben, cem) = (stage.settle("anna"), stage.settle("ben"), stage.settle("cem"));
    let track = stage.publish(&anna, camera("cam"));
    stage.forget();
    stage.media(Event::MediaSections { peer: ben.peer, audios: 0, videos: 2 });
    let sections = only!(stage.heard(&ben), MediaSectionsRequirement);
    assert_eq!((sections.num_audios, sections.num_videos), (0, 2));
    stage.media(Event::Subscribed { peer: ben.peer, track: track.id });
    assert_eq!(only!(stage.heard(&anna), TrackSubscribed).track_sid, track.sid);
    stage.media(Event::Subscribed { peer: ben.peer, track: track.id });
    stage.media(Event::Subscribed { peer: cem.peer, track: track.id });
    assert!(stage.heard(&anna).is_empty(), "once");
}

#[test]
fn a_codec_nobody_can_take_is_told_to_the_receiver() {
    let mut stage = Stage::new();
    let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
    let track = stage.publish(&anna, camera("cam"));
    stage.forget();
    stage.media(Event::SubscriptionRefused { peer: ben.peer, track: track.id });
    let answer = only!(stage.heard(&ben), SubscriptionResponse);
    assert_eq!(
        (answer.track_sid.as_str(), answer.err()),
        (track.sid.as_str(), SubscriptionError::SeCodecUnsupported)
    );
    stage.media(Event::SubscriptionRefused { peer: ben.peer, track: track.id });
    stage.media(Event::SubscriptionRefused { peer: anna.peer, track: track.id });
    assert!(stage.heard(&ben).is_empty() && stage.heard(&anna).is_empty());
}

#[test]
fn track_settings_are_passed_on_and_kept_for_later() {
    let mut stage = Stage::new();
    let anna = stage.settle("anna");
    let ben = choosing("ben", &mut stage);
    let track = stage.publish(&anna, camera("cam"));
    stage.forget();
    let asked = UpdateTrackSettings {
        track_sids: vec![track.sid.clone(), "TR_ghost".into()],
        quality: VideoQuality::Low.into(),
        width: 320,
        height: 180,
        fps: 15,
        priority: 1,
        ..Default::default()
    };
    stage.ask(&ben, Ask::TrackSetting(asked.clone()));
    assert!(stage.commands().is_empty(), "not received yet");
    stage.ask(&ben, subscription(&[&track], true));
    let commands = stage.commands();
    let [Command::Subscribe { .. }, Command::TrackSetting { peer, track: id, setting }] = commands.as_slice()
    else {
        panic!("{commands:?}")
    };
    let wanted = TrackSetting {
        disabled: false,
        quality: Quality::Low,
        width: 320,
        height: 180,
        fps: 15,
        priority: 1,
    };
    assert_eq!((*peer, *id, *setting), (ben.peer, track.id, wanted));
    let off = UpdateTrackSettings { quality: VideoQuality::Off.into(), ..asked.clone() };
    let disabled = UpdateTrackSettings { disabled: true, ..asked };
    for setting in [off, disabled] {
        stage.ask(&ben, Ask::TrackSetting(setting));
        let commands = stage.commands();
        assert!(matches!(commands.as_slice(), [Command::TrackSetting { setting, .. }] if setting.disabled));
    }
    stage.ask(
        &anna,
        Ask::TrackSetting(UpdateTrackSettings { track_sids: vec![track.sid], ..Default::default() }),
    );
    assert!(stage.commands().is_empty(), "nobody sets its own track");
}

#[test]
fn wanted_layers_reach_the_publisher_in_both_forms() {
    let mut stage = Stage::new();
    let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
    let track = stage.publish(&anna, camera("cam"));
    stage.forget();
    let wanted = vec![(Quality::Low, true), (Quality::Medium, false), (Quality::High, false)];
    stage.media(Event::WantedLayers { track: track.id, wanted });
    let update = only!(stage.heard(&anna), SubscribedQualityUpdate);
    assert_eq!(update.track_sid, track.sid);
    let codec = &update.subscribed_codecs[0];
    assert_eq!(codec.codec, "vp8");
    let said: Vec<(VideoQuality, bool)> = codec.qualities.iter().map(|q| (q.quality(), q.enabled)).collect();
    assert_eq!(said, [(VideoQuality::Low, true), (VideoQuality::Medium, false), (VideoQuality::High, false)]);
    #[expect(deprecated, reason = "older clients read this field")]
    let old = &update.subscribed_qualities;
    assert_eq!(old, &codec.qualities);
    assert!(stage.heard(&ben).is_empty());
}

#[test]
fn who_gets_no_picture_for_want_of_room_is_told_and_nobody_else() {
    let mut stage = Stage::new();
    let (anna, ben, cem) = (stage.settle("anna"), stage.settle("ben"), stage.settle("cem"));
    let track = stage.publish(&anna, camera("cam"));
    stage.forget();
    for (paused, state) in [(true, StreamState::Paused), (false, StreamState::Active)] {
        stage.media(Event::StreamState { peer: ben.peer, track: track.id, paused });
        let update = only!(stage.heard(&ben), StreamStateUpdate);
        let [said] = update.stream_states.as_slice() else { panic!("{update:?}") };
        assert_eq!((&said.participant_sid, &said.track_sid), (&anna.sid, &track.sid));
        assert_eq!(said.state(), state);
        assert!(stage.heard(&anna).is_empty() && stage.heard(&cem).is_empty());
    }
}

#[test]
fn a_publisher_decides_who_receives() {
    let mut stage = Stage::new();
    let (anna, ben, cem) = (stage.settle("anna"), stage.settle("ben"), stage.settle("cem"));
    let (audio, video) = (stage.publish(&anna, microphone("mic")), stage.publish(&anna, camera("cam")));
    stage.forget();
    let to_ben =
        TrackPermission { participant_identity: "ben".into(), all_tracks: true, ..Default::default() };
    let to_cem = TrackPermission {
        participant_sid: cem.sid.clone(),
        track_sids: vec![audio.sid.clone(), "TR_ghost".into()],
        ..Default::default()
    };
    stage.ask(&anna, only_to(vec![to_ben.clone(), to_cem]));
    assert_eq!(subscribes(&mut stage), [(cem.peer, video.id, false)]);
    let told = only!(stage.heard(&cem), SubscriptionPermissionUpdate);
    assert_eq!(
        (told.participant_sid, told.track_sid, told.allowed),
        (anna.sid.clone(), video.sid.clone(), false)
    );

    let dia = stage.join("dia");
    assert_eq!(subscribes(&mut stage), [], "not on the list");
    assert_eq!(all!(stage.heard(&dia), SubscriptionPermissionUpdate).len(), 2);
    stage.ask(&anna, only_to(vec![to_ben]));
    assert_eq!(subscribes(&mut stage), [(cem.peer, audio.id, false)]);
    stage.forget();

    stage.ask(&anna, everyone());
    let expected = [(audio.id, cem.peer), (audio.id, dia.peer), (video.id, cem.peer), (video.id, dia.peer)];
    assert_eq!(subscribes(&mut stage), expected.map(|(track, peer)| (peer, track, true)));
    assert!(all!(stage.heard(&cem), SubscriptionPermissionUpdate).iter().all(|update| update.allowed));
    assert!(stage.heard(&ben).is_empty(), "nothing ever changed for ben");
    stage.ask(&anna, everyone());
    assert!(stage.commands().is_empty());
}

#[test]
fn a_withheld_track_is_not_asked_for_again() {
    let mut stage = Stage::new();
    let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
    stage.ask(&anna, only_to(Vec::new()));
    let track = stage.publish(&anna, camera("cam"));
    assert_eq!(subscribes(&mut stage), []);
    stage.forget();
    stage.ask(&ben, subscription(&[&track], true));
    assert!(stage.heard(&ben).is_empty() && subscribes(&mut stage).is_empty());
    stage.ask(&ben, subscription(&[&track], false));
    stage.ask(&anna, everyone());
    assert_eq!(subscribes(&mut stage), [], "it does not want it any more");
}

#[test]
fn speakers_are_told_to_those_who_may_hear_them() {
    let mut stage = Stage::new();
    let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
    let deaf = stage.join_as(Grants { can_subscribe: false, ..grants("deaf") }, request());
    stage.forget();
    let speaks = |level, active| Event::Speakers {
        room: RoomId(1),
        changed: vec![
            Speaker { peer: anna.peer, level, active },
            Speaker { peer: PeerId(u64::MAX), level: 1.0, active: true },
        ],
    };
    stage.media(speaks(0.5, true));
    for listener in [&anna, &ben] {
        let changed = only!(stage.heard(listener), SpeakersChanged);
        assert_eq!(changed.speakers.len(), 1);
        let speaker = &changed.speakers[0];
        assert_eq!((speaker.sid.as_str(), speaker.level, speaker.active), (anna.sid.as_str(), 0.5, true));
    }
    assert!(stage.heard(&deaf).is_empty());
    stage.media(Event::Speakers {
        room: RoomId(2),
        changed: vec![Speaker { peer: anna.peer, level: 1.0, active: true }],
    });
    assert!(stage.heard(&ben).is_empty(), "another room's");

    let late = stage.join("late");
    assert!(all!(stage.heard(&late), SpeakersChanged).is_empty());
    stage.media(Event::Connected { peer: late.peer });
    assert_eq!(only!(stage.heard(&late), SpeakersChanged).speakers[0].sid, anna.sid, "who speaks already");
    stage.ask(&anna, only_to(Vec::new()));
    stage.forget();
    stage.media(speaks(0.0, false));
    assert!(stage.heard(&ben).is_empty(), "nobody may hear her");
    assert!(!only!(stage.heard(&anna), SpeakersChanged).speakers[0].active);
    let told: Vec<(&str, bool)> = stage.speech.iter().map(|(who, speaks)| (who.as_str(), *speaks)).collect();
    assert_eq!(told, [("anna", true), ("anna", false)], "the circle learns when somebody begins and stops");
}

#[test]
fn simulated_speech_ends_by_itself() {
    let mut stage = Stage::new();
    let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
    let speak = SimulateScenario { scenario: Some(Scenario::SpeakerUpdate(3)) };
    stage.ask(&anna, Ask::Simulate(speak));
    assert!(only!(stage.heard(&ben), SpeakersChanged).speakers[0].active);
    stage.after(Duration::from_secs(4));
    assert!(!only!(stage.heard(&ben), SpeakersChanged).speakers[0].active);
}

#[test]
fn lost_is_only_said_of_a_silent_transport() {
    let mut stage = Stage::new();
    let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
    let quality =
        |stage: &mut Stage, quality| stage.media(Event::ConnectionQuality { peer: anna.peer, quality });
    let heard = |stage: &mut Stage| {
        let mine = only!(stage.heard(&anna), ConnectionQuality).updates[0].quality();
        let update = only!(stage.heard(&ben), ConnectionQuality);
        assert_eq!(
            (update.updates[0].participant_sid.as_str(), update.updates[0].quality()),
            (anna.sid.as_str(), mine)
        );
        mine
    };
    quality(&mut stage, sfu::ConnectionQuality::Excellent);
    assert_eq!(heard(&mut stage), ConnectionQuality::Excellent);
    quality(&mut stage, sfu::ConnectionQuality::Lost);
    assert_eq!(heard(&mut stage), ConnectionQuality::Poor);
    stage.media(Event::Silent { peer: anna.peer });
    assert_eq!(heard(&mut stage), ConnectionQuality::Lost);
    stage.media(Event::Heard { peer: anna.peer });
    assert_eq!(heard(&mut stage), ConnectionQuality::Poor);
    let late = stage.join("late");
    stage.media(Event::Connected { peer: late.peer });
    assert_eq!(only!(stage.heard(&late), ConnectionQuality).updates.len(), 1);
}

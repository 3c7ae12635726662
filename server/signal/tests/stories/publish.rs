//! Publishing, mute and block.

use crate::stage::{Client, Published, Stage, about, all, camera, grants, microphone, only, request};
use livekit_protocol::request_response::{Reason, Request};
use livekit_protocol::signal_request::Message as Ask;
use livekit_protocol::{
    AddTrackRequest, AudioTrackFeature, MuteTrackRequest, TrackSource, TrackType, UpdateLocalAudioTrack,
    UpdateLocalVideoTrack, VideoLayer, VideoQuality,
};
use sfu::{Command, Event, MediaKind};
use signal::{Grants, Input};
use std::time::Duration;

fn mute(track: &Published, muted: bool) -> Ask {
    Ask::Mute(MuteTrackRequest { sid: track.sid.clone(), muted })
}

fn host_mutes(stage: &mut Stage, who: &Client, track: &Published, muted: bool) {
    let (identity, track_sid) = (who.identity.clone(), track.sid.clone());
    stage.input(Input::MuteTrack { identity, track_sid, muted });
}

#[test]
fn a_track_is_announced_then_found_then_shown() {
    let mut stage = Stage::new();
    let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
    let layer =
        |quality: VideoQuality, width| VideoLayer { quality: quality.into(), width, ..Default::default() };
    let layers = vec![layer(VideoQuality::Low, 320), layer(VideoQuality::High, 1280)];
    let track = stage.announce(&anna, AddTrackRequest { layers, ..camera("cam") });

    let published = only!(stage.heard(&anna), TrackPublished);
    let info = published.track.unwrap();
    assert_eq!((published.cid.as_str(), info.sid.as_str()), ("cam", track.sid.as_str()));
    assert!(info.sid.starts_with("TR_"));
    assert_eq!(
        (info.r#type(), info.source(), info.name.as_str()),
        (TrackType::Video, TrackSource::Camera, "camera")
    );
    assert_eq!((info.width, info.height, info.stream.as_str()), (1280, 720, "camera"));
    let commands = stage.commands();
    let [Command::AddTrack { peer, track: id, description }] = commands.as_slice() else {
        panic!("{commands:?}")
    };
    assert_eq!(
        (*peer, *id, description.kind, description.cid.as_str()),
        (anna.peer, track.id, MediaKind::Video, "cam")
    );
    assert_eq!(description.stream_label, format!("{}|camera", anna.sid));
    assert_eq!((description.track_label.as_str(), description.layers.len()), (track.sid.as_str(), 2));
    assert!(stage.heard(&ben).is_empty(), "nobody sees it before the media plane found it");

    let event =
        Event::Published { peer: anna.peer, track: track.id, mid: "4".into(), mime_type: "video/VP8".into() };
    stage.media(event.clone());
    let info = about(&stage.heard(&ben), &anna).unwrap();
    assert!(info.is_publisher);
    let shown = &info.tracks[0];
    assert_eq!((shown.mid.as_str(), shown.mime_type.as_str()), ("4", "video/VP8"));
    assert_eq!((shown.codecs[0].mid.as_str(), shown.codecs[0].cid.as_str()), ("4", "cam"));
    assert_eq!(shown.codecs[0].layers.len(), 2);
    let subscribe = stage.commands();
    assert!(
        matches!(subscribe.as_slice(), [Command::Subscribe { peer, track: id }] if *peer == ben.peer && *id == track.id)
    );
    stage.media(event);
    assert!(stage.heard(&ben).is_empty() && stage.commands().is_empty(), "the same news again is none");
}

#[test]
fn a_track_that_goes_away_leaves_the_full_list_without_it() {
    let mut stage = Stage::new();
    let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
    let video = stage.publish(&anna, camera("cam"));
    let audio = stage.publish(&anna, microphone("mic"));
    assert_eq!(about(&stage.heard(&ben), &anna).unwrap().tracks.len(), 2);
    stage.commands();
    stage.media(Event::Unpublished { peer: anna.peer, track: video.id });
    let info = about(&stage.heard(&ben), &anna).unwrap();
    assert_eq!(info.tracks.iter().map(|track| track.sid.as_str()).collect::<Vec<_>>(), [audio.sid.as_str()]);
    assert!(matches!(stage.commands().as_slice(), [Command::RemoveTrack { track }] if *track == video.id));
    stage.forget();
    stage.media(Event::Unpublished { peer: ben.peer, track: audio.id });
    assert!(stage.heard(&anna).is_empty(), "only the owner's");
}

#[test]
fn publishing_needs_the_right_and_the_source() {
    let mut stage = Stage::new();
    let cameras_only = Grants { can_publish_sources: vec![TrackSource::Camera], ..grants("anna") };
    let anna = stage.join_as(cameras_only, request());
    let ben = stage.join_as(Grants { can_publish: false, ..grants("ben") }, request());
    stage.forget();
    stage.announce(&anna, camera("cam"));
    stage.forget();
    for (who, what) in [(&anna, microphone("mic")), (&ben, camera("cam"))] {
        stage.ask(who, Ask::AddTrack(what.clone()));
        let answer = only!(stage.heard(who), RequestResponse);
        assert_eq!(answer.reason(), Reason::NotAllowed);
        assert_eq!(answer.request, Some(Request::AddTrack(what)));
    }
    assert!(stage.commands().is_empty());
}

#[test]
fn announcements_are_bounded_repeatable_and_forgotten() {
    let mut stage = Stage::new();
    let anna = stage.settle("anna");
    let first = stage.announce(&anna, camera("cam"));
    stage.forget();
    stage.ask(&anna, Ask::AddTrack(camera("cam")));
    let again = only!(stage.heard(&anna), TrackPublished);
    assert_eq!(again.track.unwrap().sid, first.sid, "still waiting: the same track");
    assert!(stage.commands().is_empty());
    for number in 1..20 {
        stage.announce(&anna, camera(&format!("cam{number}")));
    }
    stage.forget();
    stage.ask(&anna, Ask::AddTrack(camera("one too many")));
    assert_eq!(only!(stage.heard(&anna), RequestResponse).reason(), Reason::LimitExceeded);
    stage.after(Duration::from_secs(61));
    let removed = stage.commands().iter().filter(|c| matches!(c, Command::RemoveTrack { .. })).count();
    assert_eq!(removed, 20, "none of them ever came");
    assert!(all!(stage.heard(&anna), Update).is_empty());
    stage.announce(&anna, camera("cam"));
    stage.forget();
    stage.ask(&anna, Ask::AddTrack(AddTrackRequest { sid: first.sid, ..camera("backup") }));
    assert_eq!(only!(stage.heard(&anna), RequestResponse).reason(), Reason::NotFound);
    stage.ask(&anna, Ask::AddTrack(camera("")));
    assert_eq!(only!(stage.heard(&anna), RequestResponse).reason(), Reason::InvalidRequest);
}

#[test]
fn a_published_cid_can_be_published_again() {
    let mut stage = Stage::new();
    let anna = stage.settle("anna");
    let first = stage.publish(&anna, camera("cam"));
    let second = stage.announce(&anna, camera("cam"));
    assert_ne!(first.id, second.id);
}

#[test]
fn muting_oneself_is_enforced_and_told() {
    let mut stage = Stage::new();
    let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
    let track = stage.publish(&anna, microphone("mic"));
    stage.forget();
    for muted in [true, false] {
        stage.ask(&anna, mute(&track, muted));
        assert!(matches!(stage.commands().as_slice(), [Command::Mute { muted: m, .. }] if *m == muted));
        assert_eq!(about(&stage.heard(&ben), &anna).unwrap().tracks[0].muted, muted);
        stage.ask(&anna, mute(&track, muted));
        assert!(stage.commands().is_empty() && stage.heard(&ben).is_empty(), "no change, no news");
    }
    stage.ask(&ben, mute(&track, true));
    assert!(stage.commands().is_empty(), "somebody else's track");
    let muted = stage.announce(&anna, AddTrackRequest { muted: true, ..microphone("second") });
    assert!(
        stage
            .commands()
            .iter()
            .any(|c| matches!(c, Command::Mute { track, muted: true } if *track == muted.id))
    );
}

#[test]
fn a_host_mute_holds_until_lifted_and_never_unmutes() {
    let mut stage = Stage::new();
    let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
    let track = stage.publish(&anna, microphone("mic"));
    stage.forget();

    host_mutes(&mut stage, &anna, &track, true);
    let commands = stage.commands();
    assert!(
        matches!(
            commands.as_slice(),
            [Command::Block { blocked: true, .. }, Command::Mute { muted: true, .. }]
        ),
        "{commands:?}"
    );
    let told = only!(stage.heard(&anna), Mute);
    assert_eq!((told.sid.as_str(), told.muted), (track.sid.as_str(), true));
    assert!(about(&stage.heard(&ben), &anna).unwrap().tracks[0].muted);

    stage.ask(&anna, mute(&track, true)); // what the client answers to `mute`
    assert!(stage.commands().is_empty());
    stage.ask(&anna, mute(&track, false));
    assert!(only!(stage.heard(&anna), Mute).muted, "not while blocked");
    assert!(stage.commands().is_empty() && stage.heard(&ben).is_empty());

    host_mutes(&mut stage, &anna, &track, false);
    assert!(matches!(stage.commands().as_slice(), [Command::Block { blocked: false, .. }]));
    assert!(stage.heard(&anna).is_empty() && stage.heard(&ben).is_empty(), "still muted, by itself now");
    stage.ask(&anna, mute(&track, false));
    assert!(matches!(stage.commands().as_slice(), [Command::Mute { muted: false, .. }]));
    assert!(!about(&stage.heard(&ben), &anna).unwrap().tracks[0].muted);

    host_mutes(&mut stage, &ben, &track, true);
    assert!(stage.commands().is_empty(), "not ben's track");
}

#[test]
fn a_block_of_a_muted_track_changes_nothing_visible() {
    let mut stage = Stage::new();
    let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
    let track = stage.publish(&anna, AddTrackRequest { muted: true, ..microphone("mic") });
    stage.forget();
    host_mutes(&mut stage, &anna, &track, true);
    host_mutes(&mut stage, &anna, &track, true);
    assert!(matches!(stage.commands().as_slice(), [Command::Block { blocked: true, .. }]));
    assert!(stage.heard(&ben).is_empty());
}

#[test]
fn features_and_size_of_a_track_can_change() {
    let mut stage = Stage::new();
    let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
    let (audio, video) = (stage.publish(&anna, microphone("mic")), stage.publish(&anna, camera("cam")));
    stage.forget();
    let features = vec![AudioTrackFeature::TfEnhancedNoiseCancellation.into()];
    let update = UpdateLocalAudioTrack { track_sid: audio.sid.clone(), features: features.clone() };
    stage.ask(&anna, Ask::UpdateAudioTrack(update.clone()));
    assert_eq!(about(&stage.heard(&ben), &anna).unwrap().tracks[0].audio_features, features);
    stage.ask(&anna, Ask::UpdateAudioTrack(update));
    assert!(stage.heard(&ben).is_empty());
    let resize = UpdateLocalVideoTrack { track_sid: video.sid.clone(), width: 640, height: 360 };
    stage.ask(&anna, Ask::UpdateVideoTrack(resize.clone()));
    let tracks = about(&stage.heard(&ben), &anna).unwrap().tracks;
    assert_eq!((tracks[1].width, tracks[1].height), (640, 360));
    stage.ask(&ben, Ask::UpdateVideoTrack(resize));
    assert_eq!(only!(stage.heard(&ben), RequestResponse).reason(), Reason::NotFound);
    assert!(all!(stage.heard(&anna), Update).len() <= 2);
}

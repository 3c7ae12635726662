//! A camera in a codec that a receiver does not have: the publisher is asked for its backup codec, or the receiver is
//! told. Nobody is left with a black tile.

use crate::stage::{Client, Published, Stage, about, all, camera, only};
use livekit_protocol::request_response::Reason;
use livekit_protocol::signal_request::Message as Ask;
use livekit_protocol::{
    AddTrackRequest, SimulcastCodec, SubscribedQualityUpdate, SubscriptionError, TrackInfo,
    UpdateSubscription, UpdateTrackSettings, VideoLayer, VideoQuality,
};
use sfu::sdp::CodecKind;
use sfu::{Command, Event, PeerId, Quality, TrackId};
use std::time::Duration;

fn codec(codec: &str, cid: &str) -> SimulcastCodec {
    SimulcastCodec { codec: codec.into(), cid: cid.into(), ..Default::default() }
}

/// A camera in H.264 whose client would send VP8 as well.
fn h264_camera() -> AddTrackRequest {
    AddTrackRequest { simulcast_codecs: vec![codec("h264", "cam"), codec("vp8", "")], ..camera("cam") }
}

/// What livekit-client sends when it is asked for the backup.
fn vp8_backup(track: &Published) -> AddTrackRequest {
    let layer = |quality: VideoQuality, width, height| VideoLayer {
        quality: quality.into(),
        width,
        height,
        ..Default::default()
    };
    let layers = vec![layer(VideoQuality::Low, 320, 180), layer(VideoQuality::Medium, 640, 360)];
    AddTrackRequest {
        sid: track.sid.clone(),
        simulcast_codecs: vec![SimulcastCodec { layers, ..codec("vp8", "cam-vp8") }],
        ..camera("cam-vp8")
    }
}

fn published(stage: &mut Stage, by: &Client, request: AddTrackRequest) -> Published {
    let track = stage.announce(by, request);
    let (mid, mime_type) = ("3".into(), "video/H264".into());
    stage.media(Event::Published { peer: by.peer, track: track.id, mid, mime_type });
    track
}

fn enabled(update: &SubscribedQualityUpdate) -> Vec<(String, bool)> {
    update
        .subscribed_codecs
        .iter()
        .map(|codec| (codec.codec.clone(), codec.qualities.iter().any(|quality| quality.enabled)))
        .collect()
}

/// Subscribes (true) and unsubscribes (false) since the last call.
fn subscribes(stage: &mut Stage) -> Vec<(PeerId, TrackId, bool)> {
    let known = |command| match command {
        Command::Subscribe { peer, track } => Some((peer, track, true)),
        Command::Unsubscribe { peer, track } => Some((peer, track, false)),
        _ => None,
    };
    stage.commands().into_iter().filter_map(known).collect()
}

struct Call {
    stage: Stage,
    anna: Client,
    ben: Client,
    track: Published,
}

/// Anna's camera is H.264; Ben has VP8 only, which is now known.
fn refused() -> Call {
    let mut stage = Stage::new();
    let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
    let track = published(&mut stage, &anna, h264_camera());
    stage.forget();
    stage.media(Event::SubscriptionRefused { peer: ben.peer, track: track.id });
    Call { stage, anna, ben, track }
}

/// The client followed: the media plane's number of the backup.
fn followed(call: &mut Call) -> TrackId {
    call.stage.forget();
    let request = vp8_backup(&call.track);
    call.stage.announce(&call.anna, request).id
}

fn backup_published(call: &mut Call) -> TrackId {
    let backup = followed(call);
    let (mid, mime_type) = ("4".into(), "video/VP8".into());
    call.stage.media(Event::Published { peer: call.anna.peer, track: backup, mid, mime_type });
    backup
}

#[test]
fn the_backup_is_asked_for_only_when_a_receiver_needs_it() {
    let mut stage = Stage::new();
    let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
    let track = published(&mut stage, &anna, h264_camera());
    let wanted = vec![(Quality::Low, true), (Quality::Medium, true), (Quality::High, true)];
    stage.forget();
    stage.media(Event::WantedLayers { track: track.id, wanted });
    assert_eq!(enabled(&only!(stage.heard(&anna), SubscribedQualityUpdate)), [("h264".into(), true)]);
    stage.media(Event::SubscriptionRefused { peer: ben.peer, track: track.id });
    let update = only!(stage.heard(&anna), SubscribedQualityUpdate);
    assert_eq!(enabled(&update), [("h264".into(), true), ("vp8".into(), true)]);
    assert!(stage.heard(&ben).is_empty(), "it is not told no while the backup may come");
}

#[test]
fn the_receiver_moves_to_the_backup_when_it_comes() {
    let mut call = refused();
    let ask = UpdateTrackSettings {
        track_sids: vec![call.track.sid.clone()],
        quality: VideoQuality::Low.into(),
        ..Default::default()
    };
    call.stage.ask(&call.ben, Ask::TrackSetting(ask));
    let number = followed(&mut call);
    let answer = only!(call.stage.heard(&call.anna), TrackPublished);
    assert_eq!((answer.cid.as_str(), answer.track.unwrap().sid), ("cam-vp8", call.track.sid.clone()));
    let described = call.stage.commands().into_iter().find_map(|command| match command {
        Command::AddTrack { track, description, .. } if track == number => Some(description),
        _ => None,
    });
    let description = described.expect("a track of its own for the media plane");
    assert_eq!((description.cid.as_str(), description.codec), ("cam-vp8", Some(CodecKind::Vp8)));
    assert_eq!((description.layers.len(), description.track_label), (2, call.track.sid.clone()));

    let (mid, mime_type) = ("4".into(), "video/VP8".into());
    call.stage.media(Event::Published { peer: call.anna.peer, track: number, mid, mime_type });
    let told = call.stage.heard(&call.ben);
    let tracks: Vec<TrackInfo> = about(&told, &call.anna).expect("an update").tracks;
    assert_eq!(tracks.len(), 1, "everybody sees one track");
    let codecs: Vec<(&str, &str)> =
        tracks[0].codecs.iter().map(|codec| (codec.mime_type.as_str(), codec.mid.as_str())).collect();
    assert_eq!(codecs, [("video/H264", "3"), ("video/VP8", "4")]);
    let commands = call.stage.commands();
    let (ben, first) = (call.ben.peer, call.track.id);
    assert!(
        matches!(commands.as_slice(), [
        Command::Unsubscribe { peer: a, track: b },
        Command::Subscribe { peer: c, track: d },
        Command::TrackSetting { peer: e, track: f, setting },
    ] if [a, c, e] == [&ben; 3] && *b == first && [d, f] == [&number; 2] && setting.quality == Quality::Low),
        "{commands:?}"
    );

    call.stage.media(Event::Subscribed { peer: ben, track: number });
    assert_eq!(only!(call.stage.heard(&call.anna), TrackSubscribed).track_sid, call.track.sid);
    let mid_to_track = vec![("7".to_owned(), number)];
    let offer = livekit_protocol::SessionDescription { r#type: "offer".into(), id: 5, ..Default::default() };
    call.stage.ask(&call.ben, Ask::Offer(offer));
    let offer_id = call.stage.commands().into_iter().find_map(|command| match command {
        Command::Offer { offer_id, .. } => Some(offer_id),
        _ => None,
    });
    let offer_id = offer_id.expect("an offer");
    call.stage.media(Event::Answer { peer: ben, offer_id, sdp: "v=0".into(), mid_to_track });
    let answer = only!(call.stage.heard(&call.ben), Answer);
    assert_eq!(answer.mid_to_track_id.get("7"), Some(&call.track.sid), "under the track's own sid");
}

#[test]
fn what_is_said_of_the_track_reaches_both_codecs() {
    let mut call = refused();
    let number = backup_published(&mut call);
    call.stage.media(Event::Subscribed { peer: call.ben.peer, track: number });
    call.stage.forget();
    let mute = livekit_protocol::MuteTrackRequest { sid: call.track.sid.clone(), muted: true };
    call.stage.ask(&call.anna, Ask::Mute(mute));
    let muted: Vec<TrackId> = call
        .stage
        .commands()
        .into_iter()
        .filter_map(|command| match command {
            Command::Mute { track, muted: true } => Some(track),
            _ => None,
        })
        .collect();
    assert_eq!(muted, [call.track.id, number]);

    let setting = UpdateTrackSettings { track_sids: vec![call.track.sid.clone()], ..Default::default() };
    call.stage.ask(&call.ben, Ask::TrackSetting(setting));
    assert!(
        matches!(call.stage.commands().as_slice(), [Command::TrackSetting { track, .. }] if *track == number)
    );

    call.stage.media(Event::WantedLayers { track: number, wanted: vec![(Quality::Low, false)] });
    let update = only!(call.stage.heard(&call.anna), SubscribedQualityUpdate);
    assert_eq!(enabled(&update), [("h264".into(), true), ("vp8".into(), false)]);

    call.stage.media(Event::StreamState { peer: call.ben.peer, track: number, paused: true });
    let update = only!(call.stage.heard(&call.ben), StreamStateUpdate);
    assert_eq!(update.stream_states[0].track_sid, call.track.sid);

    let unsubscribe = UpdateSubscription { track_sids: vec![call.track.sid.clone()], ..Default::default() };
    call.stage.ask(&call.ben, Ask::Subscription(unsubscribe));
    assert_eq!(subscribes(&mut call.stage), [(call.ben.peer, number, false)]);

    call.stage.media(Event::Unpublished { peer: call.anna.peer, track: call.track.id });
    let removed: Vec<TrackId> = call
        .stage
        .commands()
        .into_iter()
        .filter_map(|command| match command {
            Command::RemoveTrack { track } => Some(track),
            _ => None,
        })
        .collect();
    assert_eq!(removed, [call.track.id, number]);
}

/// livekit-client does not hear a request for a track that it still publishes, and other clients do not know any.
#[test]
fn a_request_is_repeated_and_then_the_receiver_is_told_no() {
    let mut call = refused();
    call.stage.after(Duration::from_secs(9));
    assert_eq!(all!(call.stage.heard(&call.anna), SubscribedQualityUpdate).len(), 5);
    assert!(all!(call.stage.heard(&call.ben), SubscriptionResponse).is_empty());
    call.stage.after(Duration::from_secs(2));
    let answer = only!(call.stage.heard(&call.ben), SubscriptionResponse);
    assert_eq!(
        (answer.track_sid.as_str(), answer.err()),
        (call.track.sid.as_str(), SubscriptionError::SeCodecUnsupported)
    );
    call.stage.after(Duration::from_secs(60));
    assert!(call.stage.heard(&call.anna).is_empty() && call.stage.heard(&call.ben).is_empty());
    // Better late than never.
    let number = backup_published(&mut call);
    let ben = call.ben.peer;
    assert_eq!(subscribes(&mut call.stage)[..], [(ben, call.track.id, false), (ben, number, true)]);
}

#[test]
fn a_receiver_that_can_take_neither_is_told() {
    let mut call = refused();
    let number = backup_published(&mut call);
    call.stage.forget();
    call.stage.media(Event::SubscriptionRefused { peer: call.ben.peer, track: number });
    let answer = only!(call.stage.heard(&call.ben), SubscriptionResponse);
    assert_eq!(answer.err(), SubscriptionError::SeCodecUnsupported);
}

#[test]
fn a_backup_that_ends_is_asked_for_again() {
    let mut call = refused();
    let number = backup_published(&mut call);
    let ben = call.ben.peer;
    call.stage.media(Event::Subscribed { peer: ben, track: number });
    call.stage.forget();
    call.stage.media(Event::Unpublished { peer: call.anna.peer, track: number });
    assert_eq!(subscribes(&mut call.stage), [(ben, call.track.id, true)]);
    call.stage.media(Event::SubscriptionRefused { peer: ben, track: call.track.id });
    let update = only!(call.stage.heard(&call.anna), SubscribedQualityUpdate);
    assert_eq!(enabled(&update), [("h264".into(), true), ("vp8".into(), true)]);
    // The publisher changes to a codec that fits: the backup is not needed any more.
    call.stage.media(Event::Subscribed { peer: ben, track: call.track.id });
    let update = only!(call.stage.heard(&call.anna), SubscribedQualityUpdate);
    assert_eq!(enabled(&update), [("h264".into(), true), ("vp8".into(), false)]);
}

#[test]
fn only_the_announced_backup_of_ones_own_track_is_taken() {
    let mut call = refused();
    let request = vp8_backup(&call.track);
    call.stage.forget();
    call.stage.ask(&call.ben, Ask::AddTrack(request.clone()));
    assert_eq!(only!(call.stage.heard(&call.ben), RequestResponse).reason(), Reason::NotFound);
    let other = AddTrackRequest { simulcast_codecs: vec![codec("h264", "x")], ..request.clone() };
    call.stage.ask(&call.anna, Ask::AddTrack(other));
    assert_eq!(only!(call.stage.heard(&call.anna), RequestResponse).reason(), Reason::UnsupportedType);
    let plain = published(&mut call.stage, &call.anna, camera("plain"));
    call.stage.forget();
    call.stage.ask(&call.anna, Ask::AddTrack(vp8_backup(&plain)));
    assert_eq!(only!(call.stage.heard(&call.anna), RequestResponse).reason(), Reason::UnsupportedType);
    let encrypted =
        AddTrackRequest { encryption: livekit_protocol::encryption::Type::Gcm.into(), ..h264_camera() };
    let sealed =
        published(&mut call.stage, &call.anna, AddTrackRequest { cid: "sealed".into(), ..encrypted });
    call.stage.forget();
    call.stage.media(Event::SubscriptionRefused { peer: call.ben.peer, track: sealed.id });
    assert_eq!(
        only!(call.stage.heard(&call.ben), SubscriptionResponse).err(),
        SubscriptionError::SeCodecUnsupported
    );
    assert!(call.stage.commands().is_empty());
}

//! Two rooms with the same people: nothing of one reaches the other.

use crate::stage::{Stage, camera, settings};
use sfu::{Command, DataChannel, Event, RoomId, Speaker};

#[test]
fn ids_sids_and_events_of_another_room_mean_nothing_here() {
    let (mut here, mut there) = (Stage::with(settings(1)), Stage::with(settings(2)));
    let (anna, ben) = (here.settle("anna"), here.settle("ben"));
    let other = there.settle("anna");
    let track = there.publish(&other, camera("cam"));
    assert_eq!((anna.peer.0 >> 32, other.peer.0 >> 32, track.id.0 >> 32), (1, 2, 2));
    assert_ne!(anna.sid, other.sid);
    here.forget();

    let speaker = Speaker { peer: other.peer, level: 1.0, active: true };
    for event in [
        Event::Connected { peer: other.peer },
        Event::Silent { peer: other.peer },
        Event::Published { peer: anna.peer, track: track.id, mid: "1".into(), mime_type: "video/VP8".into() },
        Event::Published {
            peer: other.peer,
            track: track.id,
            mid: "1".into(),
            mime_type: "video/VP8".into(),
        },
        Event::Unpublished { peer: other.peer, track: track.id },
        Event::Subscribed { peer: ben.peer, track: track.id },
        Event::SubscriptionRefused { peer: ben.peer, track: track.id },
        Event::MediaSections { peer: other.peer, audios: 1, videos: 1 },
        Event::WantedLayers { track: track.id, wanted: vec![(sfu::Quality::Low, true)] },
        Event::StreamState { peer: ben.peer, track: track.id, paused: true },
        Event::StreamState { peer: other.peer, track: track.id, paused: true },
        Event::Speakers { room: RoomId(2), changed: vec![speaker] },
        Event::Speakers { room: RoomId(1), changed: vec![speaker] },
        Event::ConnectionQuality { peer: other.peer, quality: sfu::ConnectionQuality::Poor },
        Event::Data { peer: other.peer, channel: DataChannel::Lossy, payload: Default::default() },
        Event::Answer { peer: other.peer, offer_id: 0, sdp: String::new(), mid_to_track: Vec::new() },
        Event::Disconnected { peer: other.peer, reason: sfu::DisconnectReason::ConsentExpired },
    ] {
        here.media(event);
    }
    assert!(here.heard(&anna).is_empty() && here.heard(&ben).is_empty());
    assert_eq!(here.commands().len(), 0);
}

#[test]
fn every_command_names_this_room_only() {
    let mut stage = Stage::with(settings(7));
    let anna = stage.join("anna");
    stage.publish(&anna, camera("cam"));
    stage.join("ben");
    for command in stage.commands() {
        let number = match command {
            Command::Connect { peer, room, .. } => {
                assert_eq!(room, RoomId(7));
                peer.0
            }
            Command::AddTrack { peer, track, .. } | Command::Subscribe { peer, track } => {
                assert_eq!(track.0 >> 32, 7);
                peer.0
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(number >> 32, 7);
    }
}

//! Data tracks: announced by signalling, relayed with the receiver's handle.

use crate::stage::{Client, Stage, about, all, grants, only, request};
use livekit_protocol::request_response::Reason;
use livekit_protocol::signal_request::Message as Ask;
use livekit_protocol::update_data_subscription::Update;
use livekit_protocol::{
    ConnectionSettings, JoinRequest, PublishDataTrackRequest, UnpublishDataTrackRequest,
    UpdateDataSubscription,
};
use sfu::{Command, DataChannel, Event};

fn publish(handle: u32, name: &str) -> Ask {
    let request = PublishDataTrackRequest { pub_handle: handle, name: name.into(), ..Default::default() };
    Ask::PublishDataTrackRequest(request)
}

fn subscription(sid: &str, subscribe: bool) -> Ask {
    let updates = vec![Update { track_sid: sid.into(), subscribe, options: None }];
    Ask::UpdateDataSubscription(UpdateDataSubscription { updates })
}

fn packet(handle: u16) -> Vec<u8> {
    let mut packet = vec![0b0001_1000, 0, 0, 0, 0, 9, 0, 8, 0, 0, 0, 7, b'x'];
    packet[2..4].copy_from_slice(&handle.to_be_bytes());
    packet
}

fn send(stage: &mut Stage, from: &Client, packet: Vec<u8>) -> Vec<Command> {
    stage.media(Event::Data { peer: from.peer, channel: DataChannel::DataTrack, payload: packet.into() });
    stage.commands()
}

#[test]
fn a_packet_reaches_each_receiver_under_its_own_handle() {
    let mut stage = Stage::new();
    let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
    let connection_settings = Some(ConnectionSettings {
        auto_subscribe: true,
        auto_subscribe_data_track: Some(true),
        ..Default::default()
    });
    let cem = stage.join_as(grants("cem"), JoinRequest { connection_settings, ..request() });
    stage.forget();
    for (handle, name) in [(500, "first"), (600, "second")] {
        stage.ask(&anna, publish(handle, name));
    }
    let infos = all!(stage.heard(&anna), PublishDataTrackResponse);
    let second = infos[1].info.clone().unwrap();
    assert_eq!((second.pub_handle, second.name.as_str()), (600, "second"));
    assert_eq!(about(&stage.heard(&ben), &anna).unwrap().data_tracks.len(), 2);
    let handles = all!(stage.heard(&cem), DataTrackSubscriberHandles).pop().unwrap().sub_handles;
    assert_eq!(handles.len(), 2);
    assert!(send(&mut stage, &cem, packet(600)).is_empty(), "not its track");

    stage.ask(&ben, subscription(&second.sid, true));
    let handles = only!(stage.heard(&ben), DataTrackSubscriberHandles).sub_handles;
    let named = handles.get(&1).unwrap();
    assert_eq!(
        (named.publisher_sid.as_str(), named.track_sid.as_str()),
        (anna.sid.as_str(), second.sid.as_str())
    );
    let sent = send(&mut stage, &anna, packet(600));
    let expected: Vec<(Vec<sfu::PeerId>, Vec<u8>)> =
        vec![(vec![ben.peer], packet(1)), (vec![cem.peer], packet(2))];
    let said: Vec<(Vec<sfu::PeerId>, Vec<u8>)> = sent
        .into_iter()
        .map(|command| match command {
            Command::SendData { to, channel: DataChannel::DataTrack, payload } => (to, payload.to_vec()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(said, expected);

    stage.ask(&ben, subscription(&second.sid, false));
    assert!(only!(stage.heard(&ben), DataTrackSubscriberHandles).sub_handles.is_empty());
    assert_eq!(send(&mut stage, &anna, packet(600)).len(), 1);
    stage.ask(&anna, Ask::UnpublishDataTrackRequest(UnpublishDataTrackRequest { pub_handle: 600 }));
    assert_eq!(only!(stage.heard(&anna), UnpublishDataTrackResponse).info.unwrap().sid, second.sid);
    assert_eq!(only!(stage.heard(&cem), DataTrackSubscriberHandles).sub_handles.len(), 1);
    assert_eq!(about(&stage.heard(&ben), &anna).unwrap().data_tracks.len(), 1);
    assert!(send(&mut stage, &anna, packet(600)).is_empty());
    stage.ask(&anna, Ask::Leave(Default::default()));
    assert!(only!(stage.heard(&cem), DataTrackSubscriberHandles).sub_handles.is_empty());
}

#[test]
fn wrong_announcements_are_answered_with_their_reason() {
    let mut stage = Stage::new();
    let anna = stage.settle("anna");
    stage.ask(&anna, publish(1, "first"));
    stage.forget();
    for (handle, name, reason) in [
        (0, "x", Reason::InvalidHandle),
        (70_000, "x", Reason::InvalidHandle),
        (1, "x", Reason::DuplicateHandle),
        (2, "first", Reason::DuplicateName),
        (2, "", Reason::InvalidName),
        (2, &"x".repeat(257), Reason::InvalidName),
    ] {
        stage.ask(&anna, publish(handle, name));
        assert_eq!(only!(stage.heard(&anna), RequestResponse).reason(), reason, "{handle} {name}");
    }
    for handle in 2..=32 {
        stage.ask(&anna, publish(handle, &format!("track {handle}")));
    }
    stage.forget();
    stage.ask(&anna, publish(33, "one too many"));
    assert_eq!(only!(stage.heard(&anna), RequestResponse).reason(), Reason::LimitExceeded);
    stage.ask(&anna, Ask::UnpublishDataTrackRequest(UnpublishDataTrackRequest { pub_handle: 99 }));
    assert_eq!(only!(stage.heard(&anna), RequestResponse).reason(), Reason::NotFound);
}

#[test]
fn short_later_and_unknown_packets_go_nowhere() {
    let mut stage = Stage::new();
    let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
    stage.ask(&anna, publish(1, "first"));
    let sid = only!(stage.heard(&anna), PublishDataTrackResponse).info.unwrap().sid;
    stage.ask(&ben, subscription(&sid, true));
    stage.forget();
    let mut later = packet(1);
    later[0] |= 0b0010_0000;
    for wrong in [packet(1)[..11].to_vec(), later, packet(2), Vec::new()] {
        assert!(send(&mut stage, &anna, wrong).is_empty());
    }
    assert_eq!(send(&mut stage, &anna, packet(1)).len(), 1);
}

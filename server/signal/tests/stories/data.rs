//! Data-channel messages between participants.

use crate::stage::{Client, Stage, all, grants, only, request};
use bytes::Bytes;
use livekit_protocol::signal_request::Message as Ask;
use livekit_protocol::{
    DataChannelReceiveState, DataPacket, JoinRequest, SyncState, UserPacket, data_packet,
};
use prost::Message as _;
use sfu::{Command, DataChannel, Event, PeerId};
use signal::{ConnectionId, Grants};
use std::time::Duration;

fn user(payload: &str) -> DataPacket {
    let user = UserPacket { payload: payload.as_bytes().to_vec(), ..Default::default() };
    DataPacket { value: Some(data_packet::Value::User(user)), ..Default::default() }
}

fn numbered(payload: &str, sequence: u32) -> DataPacket {
    DataPacket { sequence, ..user(payload) }
}

fn send(stage: &mut Stage, from: &Client, channel: DataChannel, packet: &DataPacket) {
    stage.media(Event::Data { peer: from.peer, channel, payload: packet.encode_to_vec().into() });
}

/// (receivers, channel, payload text, number) of everything relayed since the last look.
fn relayed(stage: &mut Stage) -> Vec<(Vec<PeerId>, DataChannel, String, u32)> {
    let sent = |command| match command {
        Command::SendData { to, channel, payload } => {
            let packet = DataPacket::decode(payload).unwrap();
            let Some(data_packet::Value::User(user)) = packet.value else { panic!("user packet") };
            Some((to, channel, String::from_utf8(user.payload).unwrap(), packet.sequence))
        }
        _ => None,
    };
    stage.commands().into_iter().filter_map(sent).collect()
}

fn texts(stage: &mut Stage) -> Vec<String> {
    relayed(stage).into_iter().map(|(_, _, text, _)| text).collect()
}

#[test]
fn a_message_reaches_all_others_with_its_true_sender() {
    let mut stage = Stage::new();
    let (anna, ben, cem) = (stage.settle("anna"), stage.settle("ben"), stage.settle("cem"));
    let forged =
        DataPacket { participant_sid: ben.sid.clone(), participant_identity: "ben".into(), ..user("hi") };
    for (channel, kind) in
        [(DataChannel::Reliable, data_packet::Kind::Reliable), (DataChannel::Lossy, data_packet::Kind::Lossy)]
    {
        send(&mut stage, &anna, channel, &forged);
        let commands = stage.commands();
        let [Command::SendData { to, channel: on, payload }] = commands.as_slice() else {
            panic!("{commands:?}")
        };
        assert_eq!((to, *on), (&vec![ben.peer, cem.peer], channel));
        let packet = DataPacket::decode(payload.clone()).unwrap();
        assert_eq!((packet.participant_sid, packet.participant_identity), (anna.sid.clone(), "anna".into()));
        #[expect(deprecated, reason = "older clients read the kind")]
        let said = data_packet::Kind::try_from(packet.kind).unwrap();
        assert_eq!(said, kind);
    }
}

#[test]
fn a_message_to_some_reaches_only_them() {
    let mut stage = Stage::new();
    let (anna, ben, cem) = (stage.settle("anna"), stage.settle("ben"), stage.settle("cem"));
    let to = |identities: &[&str]| DataPacket {
        destination_identities: identities.iter().map(|&identity| identity.to_owned()).collect(),
        ..user("psst")
    };
    let mut old = user("psst");
    if let Some(data_packet::Value::User(user)) = &mut old.value {
        #[expect(deprecated, reason = "older clients address by sid")]
        user.destination_sids.push(cem.sid.clone());
    }
    for (packet, receivers) in [
        (to(&["ben"]), vec![ben.peer]),
        (to(&["ben", "nobody", "cem", "anna"]), vec![ben.peer, cem.peer]),
        (old, vec![cem.peer]),
    ] {
        send(&mut stage, &anna, DataChannel::Reliable, &packet);
        assert_eq!(relayed(&mut stage), [(receivers, DataChannel::Reliable, "psst".into(), 0)]);
    }
    send(&mut stage, &anna, DataChannel::Reliable, &to(&["nobody"]));
    assert!(stage.commands().is_empty(), "nobody is not everybody");
}

#[test]
fn sending_needs_the_right_and_a_packet() {
    let mut stage = Stage::new();
    let ben = stage.settle("ben");
    let silenced = stage.join_as(Grants { can_publish_data: false, ..grants("anna") }, request());
    stage.media(Event::Connected { peer: silenced.peer });
    stage.forget();
    send(&mut stage, &silenced, DataChannel::Reliable, &user("hi"));
    for payload in [Bytes::from_static(&[0xff, 0xff]), Bytes::from(vec![0; 70_000])] {
        stage.media(Event::Data { peer: ben.peer, channel: DataChannel::Lossy, payload });
    }
    let value = Some(data_packet::Value::Transcription(Default::default()));
    send(&mut stage, &ben, DataChannel::Reliable, &DataPacket { value, ..Default::default() });
    assert!(stage.commands().is_empty());
}

#[test]
fn a_hidden_sender_stays_hidden() {
    let mut stage = Stage::new();
    let ben = stage.settle("ben");
    let spy = stage.join_as(Grants { hidden: true, ..grants("spy") }, request());
    stage.media(Event::Connected { peer: spy.peer });
    stage.forget();
    send(&mut stage, &spy, DataChannel::Lossy, &user("boo"));
    let commands = stage.commands();
    let [Command::SendData { to, payload, .. }] = commands.as_slice() else { panic!("{commands:?}") };
    let packet = DataPacket::decode(payload.clone()).unwrap();
    assert_eq!(
        (to, packet.participant_sid.as_str(), packet.participant_identity.as_str()),
        (&vec![ben.peer], "", "")
    );
}

#[test]
fn numbers_that_came_already_are_dropped() {
    let mut stage = Stage::new();
    let (anna, _ben) = (stage.settle("anna"), stage.settle("ben"));
    for (sequence, text) in
        [(1, "one"), (2, "two"), (2, "two again"), (1, "one again"), (3, "three"), (0, "none")]
    {
        send(&mut stage, &anna, DataChannel::Reliable, &numbered(text, sequence));
    }
    assert_eq!(texts(&mut stage), ["one", "two", "three", "none"]);
    let participant_sid = anna.sid.clone();
    let back = stage.open(grants("anna"), JoinRequest { reconnect: true, participant_sid, ..request() });
    assert_eq!(only!(stage.heard_on(back), Reconnect).last_message_seq, 3);
}

#[test]
fn a_newcomer_gets_what_was_said_before_its_channel_opened_and_in_order() {
    let mut stage = Stage::new();
    let anna = stage.settle("anna");
    send(&mut stage, &anna, DataChannel::Reliable, &numbered("before", 1));
    let ben = stage.join("ben");
    stage.commands();
    send(&mut stage, &anna, DataChannel::Reliable, &numbered("joining", 2));
    stage.media(Event::Connected { peer: ben.peer });
    stage.after_millis(500);
    send(&mut stage, &anna, DataChannel::Reliable, &numbered("opening", 3));
    send(&mut stage, &anna, DataChannel::Lossy, &user("lossy"));
    assert_eq!(texts(&mut stage), ["lossy"], "lossy ones are not kept");
    stage.after_millis(501);
    assert_eq!(texts(&mut stage), ["joining", "opening"]);
    send(&mut stage, &anna, DataChannel::Reliable, &numbered("open", 4));
    assert_eq!(texts(&mut stage), ["open"]);
}

#[test]
fn a_newcomer_that_speaks_first_has_an_open_channel() {
    let mut stage = Stage::new();
    let anna = stage.settle("anna");
    let ben = stage.join("ben");
    stage.media(Event::Connected { peer: ben.peer });
    send(&mut stage, &anna, DataChannel::Reliable, &numbered("waiting", 1));
    assert!(texts(&mut stage).is_empty());
    send(&mut stage, &ben, DataChannel::Reliable, &numbered("hello", 1));
    let sent = relayed(&mut stage);
    assert_eq!(sent[0].0, [ben.peer]);
    assert_eq!(sent[0].2, "waiting");
    assert_eq!((sent[1].0.clone(), sent[1].2.as_str()), (vec![anna.peer], "hello"));
}

fn resume(stage: &mut Stage, client: &Client, states: Vec<DataChannelReceiveState>) -> ConnectionId {
    let asked = JoinRequest {
        reconnect: true,
        participant_sid: client.sid.clone(),
        sync_state: Some(SyncState { datachannel_receive_states: states, ..Default::default() }),
        ..request()
    };
    stage.open(grants(&client.identity), asked)
}

#[test]
fn a_resumed_client_gets_what_it_missed() {
    let mut stage = Stage::new();
    let (anna, ben, cem) = (stage.settle("anna"), stage.settle("ben"), stage.settle("cem"));
    for (sequence, text) in [(1, "one"), (2, "two"), (3, "three")] {
        send(&mut stage, &anna, DataChannel::Reliable, &numbered(text, sequence));
    }
    let private = DataPacket { destination_identities: vec!["cem".into()], ..numbered("private", 4) };
    send(&mut stage, &anna, DataChannel::Reliable, &private);
    send(&mut stage, &cem, DataChannel::Reliable, &numbered("cem's", 1));
    send(&mut stage, &cem, DataChannel::Reliable, &user("without a number"));
    send(&mut stage, &ben, DataChannel::Reliable, &numbered("own", 1));
    stage.commands();
    let states = vec![DataChannelReceiveState { publisher_sid: anna.sid.clone(), last_seq: 1 }];
    resume(&mut stage, &ben, states.clone());
    let sent = relayed(&mut stage);
    assert!(sent.iter().all(|(to, channel, ..)| *to == [ben.peer] && *channel == DataChannel::Reliable));
    let said: Vec<&str> = sent.iter().map(|(_, _, text, _)| text.as_str()).collect();
    assert_eq!(said, ["two", "three", "cem's"]);
    resume(&mut stage, &ben, Vec::new());
    assert!(texts(&mut stage).is_empty(), "a client that does not count would see them twice");
    stage.after(Duration::from_secs(11));
    stage.commands();
    resume(&mut stage, &ben, states);
    assert!(texts(&mut stage).is_empty(), "too old");
}

#[test]
fn what_is_kept_is_bounded() {
    let mut stage = Stage::new();
    let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
    let large = "x".repeat(60_000);
    for sequence in 1..=60 {
        send(&mut stage, &anna, DataChannel::Reliable, &numbered(&large, sequence));
        stage.after_millis(50); // within the rate
    }
    stage.commands();
    let states = vec![DataChannelReceiveState { publisher_sid: anna.sid.clone(), last_seq: 1 }];
    resume(&mut stage, &ben, states);
    let sent = relayed(&mut stage);
    let bytes: usize = sent.iter().map(|(_, _, text, _)| text.len()).sum();
    assert!(bytes <= 2 * 1024 * 1024 && bytes > 1024 * 1024, "{bytes}");
    assert_eq!(sent.last().map(|(_, _, _, sequence)| *sequence), Some(60), "the newest are kept");
}

#[test]
fn one_sender_cannot_flood_the_room() {
    let mut stage = Stage::new();
    let (anna, _ben) = (stage.settle("anna"), stage.settle("ben"));
    for _ in 0..10_000 {
        send(&mut stage, &anna, DataChannel::Lossy, &user("x"));
    }
    assert_eq!(texts(&mut stage).len(), 4_000);
    stage.after(Duration::from_secs(1));
    for _ in 0..10_000 {
        send(&mut stage, &anna, DataChannel::Lossy, &user("x"));
    }
    assert_eq!(texts(&mut stage).len(), 2_000);
    stage.after(Duration::from_secs(60));
    let large = "x".repeat(60_000);
    for _ in 0..500 {
        send(&mut stage, &anna, DataChannel::Lossy, &user(&large));
    }
    let bytes: usize = texts(&mut stage).iter().map(String::len).sum();
    assert!(bytes <= 8 * 1024 * 1024 && bytes > 7 * 1024 * 1024, "{bytes}");
}

#[test]
fn data_is_not_said_about_in_signalling() {
    let mut stage = Stage::new();
    let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
    send(&mut stage, &anna, DataChannel::Reliable, &user("hi"));
    stage.ask(&ben, Ask::Ping(1));
    assert_eq!(all!(stage.heard(&ben), Pong).len(), 1);
    assert!(stage.heard(&anna).is_empty());
}

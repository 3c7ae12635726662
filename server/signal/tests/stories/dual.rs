//! LiveKit's protocol v0: one participant with two peer connections.

use crate::stage::{Client, Stage, all, grants, microphone, only, request};
use livekit_protocol::signal_request::Message as Ask;
use livekit_protocol::signal_response::Message;
use livekit_protocol::{
    DisconnectReason, JoinRequest, SessionDescription, leave_request::Action, participant_info::State,
};
use sfu::{Command, DataChannel, DisconnectReason as Lost, Event, PeerId};
use signal::Connections;

/// A client of protocol v0 and the peer it receives on.
fn join(stage: &mut Stage, identity: &str) -> (Client, PeerId) {
    stage.next_connections = Connections::Two;
    let client = stage.join(identity);
    stage.next_connections = Connections::One;
    let subscriber = stage.commands().iter().find_map(|command| match command {
        Command::ConnectSubscriber { peer, room } => {
            assert_eq!(room.0, 1);
            Some(*peer)
        }
        _ => None,
    });
    let subscriber = subscriber.expect("a second peer");
    assert_ne!(subscriber, client.peer);
    (client, subscriber)
}

fn answer(id: u32) -> Ask {
    Ask::Answer(SessionDescription { r#type: "answer".into(), sdp: "v=0".into(), id, ..Default::default() })
}

#[test]
fn the_connection_it_receives_on_is_the_primary_one_and_makes_it_active() {
    let mut stage = Stage::new();
    let ben = stage.settle("ben");
    let (anna, subscriber) = join(&mut stage, "anna");
    assert!(only!(stage.heard(&anna), Join).subscriber_primary);
    stage.forget();
    stage.media(Event::Connected { peer: anna.peer });
    assert_eq!(all!(stage.heard(&ben), Update).len(), 0, "the other one alone does not");
    stage.media(Event::Connected { peer: subscriber });
    let info = crate::stage::about(&stage.heard(&ben), &anna).unwrap();
    assert_eq!(info.state(), State::Active);
}

#[test]
fn whatever_is_received_goes_over_the_second_peer() {
    let mut stage = Stage::new();
    let (anna, subscriber) = join(&mut stage, "anna");
    stage.media(Event::Connected { peer: subscriber });
    stage.after_millis(1500);
    let ben = stage.settle("ben");
    stage.forget();
    let track = stage.publish(&ben, microphone("mic"));
    let wanted = Command::Subscribe { peer: subscriber, track: track.id };
    assert!(stage.commands().contains(&wanted));

    let packet = livekit_protocol::DataPacket {
        value: Some(livekit_protocol::data_packet::Value::User(Default::default())),
        ..Default::default()
    };
    let payload = prost::Message::encode_to_vec(&packet).into();
    stage.media(Event::Data { peer: ben.peer, channel: DataChannel::Lossy, payload });
    let sent = stage.commands();
    assert!(matches!(sent.as_slice(), [Command::SendData { to, .. }] if *to == [subscriber]), "{sent:?}");

    let mid_to_track = vec![("1".to_owned(), track.id)];
    stage.forget();
    stage.media(Event::Offer { peer: subscriber, offer_id: 7, sdp: "v=0".into(), mid_to_track });
    let offer = only!(stage.heard(&anna), Offer);
    assert_eq!((offer.r#type.as_str(), offer.id), ("offer", 7));
    assert_eq!(offer.mid_to_track_id["1"], track.sid);
    stage.ask(&anna, answer(7));
    let expected = Command::Answer { peer: subscriber, offer_id: 7, sdp: "v=0".into() };
    assert_eq!(stage.commands(), [expected]);

    stage.ask(&ben, answer(7));
    assert_eq!(stage.commands(), [], "an answer means nothing with one connection");
}

#[test]
fn a_resume_restarts_ice_where_the_server_offers() {
    let mut stage = Stage::new();
    let (anna, subscriber) = join(&mut stage, "anna");
    stage.media(Event::Connected { peer: subscriber });
    stage.close(&anna);
    stage.forget();
    let participant_sid = anna.sid.clone();
    let asked = JoinRequest { reconnect: true, participant_sid, ..request() };
    let connection = stage.open(grants("anna"), asked);
    let heard = stage.heard_on(connection);
    assert!(matches!(heard.first(), Some(Message::Reconnect(_))), "{heard:?}");
    assert_eq!(stage.commands(), [Command::RestartIce { peer: subscriber }]);
}

#[test]
fn both_peers_end_with_the_participant_and_either_ends_it() {
    let mut stage = Stage::new();
    let (anna, subscriber) = join(&mut stage, "anna");
    stage.ask(&anna, Ask::Leave(Default::default()));
    let ended = stage.commands();
    for peer in [anna.peer, subscriber] {
        assert!(ended.contains(&Command::Disconnect { peer }), "{ended:?}");
    }
    for sending in [true, false] {
        let (anna, subscriber) = join(&mut stage, "anna");
        stage.media(Event::Connected { peer: subscriber });
        stage.forget();
        let peer = if sending { anna.peer } else { subscriber };
        stage.media(Event::Disconnected { peer, reason: Lost::ConsentExpired });
        assert_eq!(only!(stage.heard(&anna), Leave).action(), Action::Resume);
        stage.after_millis(6000);
    }
}

#[test]
fn an_answer_that_cannot_be_used_starts_the_client_over() {
    let mut stage = Stage::new();
    let (anna, subscriber) = join(&mut stage, "anna");
    stage.forget();
    let error = sfu::sdp::OfferError::NotBundled;
    stage.media(Event::OfferRefused { peer: subscriber, offer_id: 1, error });
    let leave = only!(stage.heard(&anna), Leave);
    assert_eq!((leave.action(), leave.reason()), (Action::Reconnect, DisconnectReason::StateMismatch));
}

#[test]
fn a_client_that_does_not_answer_starts_over_unless_it_is_away() {
    let mut stage = Stage::new();
    let (anna, subscriber) = join(&mut stage, "anna");
    stage.media(Event::Connected { peer: subscriber });
    stage.close(&anna);
    stage.forget();
    stage.media(Event::OfferUnanswered { peer: subscriber, offer_id: 1 });
    assert_eq!(stage.commands(), [], "it will resume, and is offered to then");
    let asked = JoinRequest { reconnect: true, participant_sid: anna.sid.clone(), ..request() };
    let connection = stage.open(grants("anna"), asked);
    assert!(stage.commands().contains(&Command::RestartIce { peer: subscriber }));
    stage.media(Event::OfferUnanswered { peer: subscriber, offer_id: 2 });
    let leave = only!(stage.heard_on(connection), Leave);
    assert_eq!((leave.action(), leave.reason()), (Action::Reconnect, DisconnectReason::StateMismatch));
}

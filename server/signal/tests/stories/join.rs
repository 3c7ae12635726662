//! Who comes in, and what everybody hears about it.

use crate::stage::{
    START_UNIX_MILLIS, Stage, about, all, camera, grants, microphone, only, request, settings,
};
use livekit_protocol::signal_request::Message as Ask;
use livekit_protocol::signal_response::Message;
use livekit_protocol::{
    ClientInfo, DisconnectReason, JoinRequest, LeaveRequest, Ping, SessionDescription, TrackSource,
    TrickleRequest, client_info::Capability, leave_request::Action, participant_info::State,
};
use sfu::{Command, Event, RoomId};
use signal::{Grants, Input};
use std::collections::HashMap;
use std::time::Duration;

fn offer(id: u32) -> SessionDescription {
    SessionDescription { r#type: "offer".into(), sdp: "v=0 offer".into(), id, ..Default::default() }
}

#[test]
fn the_join_response_has_everything_a_client_needs() {
    let mut stage = Stage::new();
    let anna = stage.settle("anna");
    let track = stage.publish(&anna, camera("cam"));
    let client_info = ClientInfo {
        client_protocol: 2,
        capabilities: vec![Capability::CapPacketTrailer.into(), 77, Capability::CapPacketTrailer.into()],
        ..Default::default()
    };
    let sources = vec![TrackSource::Camera];
    let ben = stage.join_as(
        Grants { can_publish_sources: sources, can_publish_data: false, ..grants("ben") },
        JoinRequest { client_info: Some(client_info), ..request() },
    );
    let heard = stage.heard(&ben);
    let Some(Message::Join(join)) = heard.first() else { panic!("join first: {heard:?}") };

    let server = join.server_info.clone().unwrap();
    assert_eq!(
        (server.version.as_str(), server.protocol, join.server_version.as_str()),
        ("1.13.5", 17, "1.13.5")
    );
    assert_eq!((join.ping_interval, join.ping_timeout), (5, 15));
    assert!(join.ice_servers.is_empty() && !join.subscriber_primary && join.fast_publish);
    let codecs: Vec<&str> = join.enabled_publish_codecs.iter().map(|codec| codec.mime.as_str()).collect();
    assert_eq!(codecs, ["video/VP8", "video/H264", "video/VP9", "video/AV1", "audio/opus", "audio/red"]);
    assert!(!join.sif_trailer.is_empty());

    let room = join.room.clone().unwrap();
    assert!(room.sid.starts_with("RM_") && room.name == "circle");
    assert_eq!(room.creation_time_ms, i64::try_from(START_UNIX_MILLIS).unwrap());
    assert_eq!(room.creation_time, room.creation_time_ms / 1000);
    assert_eq!((room.num_participants, room.num_publishers), (2, 1));
    assert_eq!((room.empty_timeout, room.departure_timeout), (300, 20));

    let me = join.participant.clone().unwrap();
    assert!(me.sid.starts_with("PA_") && me.version > 0 && me.joined_at_ms > 0);
    assert_eq!((me.identity.as_str(), me.name.as_str(), me.state()), ("ben", "BEN", State::Joined));
    assert_eq!((me.client_protocol, me.capabilities), (2, vec![i32::from(Capability::CapPacketTrailer)]));
    let permission = me.permission.unwrap();
    assert!(permission.can_publish && permission.can_subscribe && !permission.can_publish_data);
    assert_eq!(permission.can_publish_sources, [i32::from(TrackSource::Camera)]);

    assert_eq!(join.other_participants.len(), 1);
    let other = &join.other_participants[0];
    assert_eq!(
        (other.sid.as_str(), other.state(), other.tracks.len()),
        (anna.sid.as_str(), State::Active, 1)
    );
    assert_eq!(
        (other.tracks[0].sid.as_str(), other.tracks[0].mime_type.as_str()),
        (track.sid.as_str(), "video/VP8")
    );

    assert_eq!(stage.tokens.len(), 1);
    assert_eq!((stage.tokens[0].0, stage.tokens[0].1.identity.as_str()), (ben.connection, "ben"));
}

#[test]
fn a_join_with_offer_and_tracks_is_published_and_answered_at_once() {
    let mut stage = Stage::new();
    let anna = stage.settle("anna");
    let seen = stage.publish(&anna, camera("cam"));
    stage.forget();
    let joining = JoinRequest {
        publisher_offer: Some(offer(7)),
        add_track_requests: vec![microphone("mic")],
        ..request()
    };
    let ben = stage.join_as(grants("ben"), joining);
    let published = only!(stage.heard(&ben), TrackPublished);
    assert_eq!(published.cid, "mic");
    let commands = stage.commands();
    let order: Vec<&str> = commands
        .iter()
        .map(|command| match command {
            Command::Connect { peer, room, .. } if *peer == ben.peer && *room == RoomId(1) => "connect",
            Command::Subscribe { peer, track } if *peer == ben.peer && *track == seen.id => "subscribe",
            Command::AddTrack { peer, .. } if *peer == ben.peer => "add track",
            Command::Offer { peer, offer_id: 7, sdp } if *peer == ben.peer && sdp == "v=0 offer" => "offer",
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(order, ["connect", "subscribe", "add track", "offer"], "the answer carries what is there");

    let mid_to_track = vec![("0".to_owned(), seen.id), ("9".to_owned(), sfu::TrackId(u64::MAX))];
    stage.media(Event::Answer { peer: ben.peer, offer_id: 7, sdp: "v=0 answer".into(), mid_to_track });
    let answer = only!(stage.heard(&ben), Answer);
    assert_eq!((answer.id, answer.r#type.as_str(), answer.sdp.as_str()), (7, "answer", "v=0 answer"));
    assert_eq!(answer.mid_to_track_id, HashMap::from([("0".to_owned(), seen.sid)]));
}

#[test]
fn the_others_hear_of_every_step() {
    let mut stage = Stage::new();
    let anna = stage.settle("anna");
    let ben = stage.join("ben");
    assert_eq!(about(&stage.heard(&anna), &ben).unwrap().state(), State::Joined);
    assert!(all!(stage.heard(&ben), Update).is_empty(), "the join response says it all");
    stage.media(Event::Connected { peer: ben.peer });
    assert_eq!(about(&stage.heard(&anna), &ben).unwrap().state(), State::Active);
    assert_eq!(about(&stage.heard(&ben), &ben).unwrap().state(), State::Active);
    stage.media(Event::Connected { peer: ben.peer });
    assert!(stage.heard(&anna).is_empty(), "once");
    let leave = LeaveRequest { reason: DisconnectReason::ClientInitiated.into(), ..Default::default() };
    stage.ask(&ben, Ask::Leave(leave));
    let gone = about(&stage.heard(&anna), &ben).unwrap();
    assert_eq!(
        (gone.state(), gone.disconnect_reason()),
        (State::Disconnected, DisconnectReason::ClientInitiated)
    );
    assert!(stage.closed.contains(&ben.connection) && stage.heard(&ben).is_empty());
    assert!(stage.commands().iter().any(|c| matches!(c, Command::Disconnect { peer } if *peer == ben.peer)));
}

#[test]
fn the_same_identity_again_replaces_the_older_one() {
    let mut stage = Stage::new();
    let anna = stage.settle("anna");
    let ben = stage.settle("ben");
    let again = stage.join("anna");
    assert_ne!(again.sid, anna.sid);
    assert_ne!(again.peer, anna.peer);
    let leave = only!(stage.heard(&anna), Leave);
    assert_eq!((leave.reason(), leave.action()), (DisconnectReason::DuplicateIdentity, Action::Disconnect));
    assert!(!leave.can_reconnect && stage.closed.contains(&anna.connection));
    let heard = stage.heard(&ben);
    assert_eq!(about(&heard, &anna).unwrap().state(), State::Disconnected);
    assert_eq!(about(&heard, &again).unwrap().state(), State::Joined);
    let join = only!(stage.heard(&again), Join);
    assert_eq!(join.other_participants.len(), 1, "its own past is not among the others");
}

#[test]
fn a_full_room_sends_away_but_lets_the_same_person_back_in() {
    let mut settings = settings(1);
    settings.max_participants = 2;
    let mut stage = Stage::with(settings);
    stage.settle("anna");
    let ben = stage.settle("ben");
    let connection = stage.open(grants("cem"), request());
    let leave = only!(stage.heard_on(connection), Leave);
    assert_eq!((leave.reason(), leave.action()), (DisconnectReason::JoinFailure, Action::Disconnect));
    assert!(stage.closed.contains(&connection));
    assert!(stage.heard(&ben).is_empty() && stage.commands().is_empty());
    stage.join("ben");
}

#[test]
fn hidden_participants_are_invisible_and_see_everybody() {
    let mut stage = Stage::new();
    let anna = stage.settle("anna");
    let spy = stage.join_as(Grants { hidden: true, ..grants("spy") }, request());
    let join = only!(stage.heard(&spy), Join);
    assert_eq!(join.other_participants.len(), 1);
    assert!(!join.participant.unwrap().permission.unwrap().can_publish);
    stage.media(Event::Connected { peer: spy.peer });
    stage.ask(&spy, Ask::AddTrack(camera("cam")));
    assert_eq!(all!(stage.heard(&spy), RequestResponse).len(), 1, "a hidden one publishes nothing");
    assert!(all!(stage.heard(&anna), Update).is_empty());
    let ben = stage.join("ben");
    let join = only!(stage.heard(&ben), Join);
    assert_eq!(join.other_participants.len(), 1);
    assert_eq!(join.room.unwrap().num_participants, 2);
    assert_eq!(about(&stage.heard(&spy), &ben).unwrap().state(), State::Joined);
    stage.input(Input::Remove { identity: "spy".into(), reason: DisconnectReason::ParticipantRemoved });
    assert!(all!(stage.heard(&anna), Update).iter().all(|u| u.participants.iter().all(|p| p.sid != spy.sid)));
}

#[test]
fn what_a_join_request_says_of_the_participant_needs_the_right_to_change_it() {
    let mut stage = Stage::new();
    let asking = JoinRequest {
        metadata: "mine".into(),
        participant_attributes: HashMap::from([("a".into(), "1".into()), ("b".into(), String::new())]),
        ..request()
    };
    let mut allowed = grants("anna");
    allowed.attributes.insert("b".into(), "token".into());
    let forbidden = Grants { identity: "ben".into(), can_update_own_metadata: false, ..allowed.clone() };
    let anna = stage.join_as(allowed, asking.clone());
    let me = only!(stage.heard(&anna), Join).participant.unwrap();
    assert_eq!(me.metadata, "mine");
    assert_eq!(me.attributes, HashMap::from([("a".into(), "1".into()), ("b".into(), "token".into())]));
    let ben = stage.join_as(forbidden, asking);
    let me = only!(stage.heard(&ben), Join).participant.unwrap();
    assert_eq!((me.metadata.as_str(), me.attributes.len()), ("", 1));
}

#[test]
fn a_participant_without_a_name_or_with_too_much_to_say_is_refused() {
    let mut stage = Stage::new();
    for wrong in [
        grants(""),
        grants(&"x".repeat(257)),
        Grants { name: "x".repeat(257), ..grants("a") },
        Grants { metadata: "x".repeat(64 * 1024 + 1), ..grants("a") },
    ] {
        let connection = stage.open(wrong, request());
        assert_eq!(only!(stage.heard_on(connection), Leave).reason(), DisconnectReason::JoinFailure);
        assert!(stage.closed.contains(&connection));
    }
    assert!(stage.commands().is_empty());
}

#[test]
fn pings_are_answered_in_both_forms_and_other_chatter_is_ignored() {
    let mut stage = Stage::new();
    let anna = stage.settle("anna");
    let now = i64::try_from(stage.now().unix_millis).unwrap();
    stage.ask(&anna, Ask::Ping(5));
    assert_eq!(only!(stage.heard(&anna), Pong), now);
    stage.ask(&anna, Ask::PingReq(Ping { timestamp: 5, rtt: 0 }));
    let pong = only!(stage.heard(&anna), PongResp);
    assert_eq!((pong.last_ping_timestamp, pong.timestamp), (5, now));
    stage.ask(&anna, Ask::Trickle(TrickleRequest { candidate_init: "{}".into(), ..Default::default() }));
    stage.ask(&anna, Ask::Answer(offer(1)));
    stage.input(Input::Request { connection: anna.connection, request: Default::default() });
    stage.input(Input::Request { connection: signal::ConnectionId(99), request: Default::default() });
    assert!(stage.heard(&anna).is_empty() && stage.commands().is_empty());
}

#[test]
fn tokens_are_refreshed_at_join_and_every_five_minutes() {
    let mut stage = Stage::new();
    let anna = stage.settle("anna");
    stage.after(Duration::from_secs(298));
    assert!(stage.tokens.is_empty());
    stage.after(Duration::from_secs(302));
    assert_eq!(stage.tokens.len(), 2);
    assert!(stage.tokens.iter().all(|(connection, _)| *connection == anna.connection));
    stage.forget();
    stage.close(&anna);
    stage.after(Duration::from_secs(600));
    assert!(stage.tokens.is_empty(), "nobody is there to take it");
}

#[test]
fn the_room_is_told_of_its_numbers_at_most_once_a_second() {
    let mut stage = Stage::new();
    let anna = stage.settle("anna");
    for identity in ["ben", "cem", "dia"] {
        stage.join(identity);
        stage.after_millis(100);
    }
    stage.after_millis(2000);
    let updates = all!(stage.heard(&anna), RoomUpdate);
    assert!((1..=2).contains(&updates.len()), "{}", updates.len());
    assert_eq!(updates.last().unwrap().room.clone().unwrap().num_participants, 4);
}

#[test]
fn a_flood_of_offers_is_not_passed_on() {
    let mut stage = Stage::new();
    let anna = stage.settle("anna");
    for id in 0..100 {
        stage.ask(&anna, Ask::Offer(offer(id)));
    }
    assert_eq!(stage.commands().len(), 8);
    stage.media(Event::Answer { peer: anna.peer, offer_id: 0, sdp: String::new(), mid_to_track: Vec::new() });
    assert_eq!(only!(stage.heard(&anna), Answer).id, 0);
    stage.ask(&anna, Ask::Offer(offer(100)));
    stage.ask(&anna, Ask::Offer(SessionDescription { r#type: "answer".into(), ..offer(101) }));
    stage.ask(&anna, Ask::Offer(SessionDescription { sdp: "x".repeat(600_000), ..offer(102) }));
    assert_eq!(stage.commands().len(), 1);
}

#[test]
fn an_offer_that_cannot_be_used_ends_a_join_and_restarts_a_participant() {
    for (active, reason, action) in [
        (false, DisconnectReason::JoinFailure, Action::Disconnect),
        (true, DisconnectReason::StateMismatch, Action::Reconnect),
    ] {
        let mut stage = Stage::new();
        let anna = if active { stage.settle("anna") } else { stage.join("anna") };
        stage.ask(&anna, Ask::Offer(offer(1)));
        let error = sfu::sdp::OfferError::NotBundled;
        stage.media(Event::OfferRefused { peer: anna.peer, offer_id: 1, error });
        let leave = only!(stage.heard(&anna), Leave);
        assert_eq!((leave.reason(), leave.action(), leave.can_reconnect), (reason, action, active));
        assert!(stage.closed.contains(&anna.connection));
    }
}

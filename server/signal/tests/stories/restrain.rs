//! What a host decides: sources shut and held, the right to publish, attributes and metadata of the server.

use crate::stage::{Stage, about, all, camera, grants, microphone, only, request};
use livekit_protocol::request_response::Reason;
use livekit_protocol::signal_request::Message as Ask;
use livekit_protocol::signal_response::Message;
use livekit_protocol::{
    DisconnectReason, JoinRequest, MuteTrackRequest, TrackSource, UpdateParticipantMetadata,
};
use sfu::{Command, Event};
use signal::{Effect, Grants, Input};
use std::collections::HashMap;
use std::time::Duration;

const MIC: TrackSource = TrackSource::Microphone;

fn identity() -> String {
    "anna".to_owned()
}

#[test]
fn a_shut_source_is_muted_at_ingress_told_to_all_and_opened_by_its_owner_alone() {
    let mut stage = Stage::new();
    let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
    let mic = stage.publish(&anna, microphone("mic"));
    stage.publish(&anna, camera("cam"));
    stage.forget();
    stage.commands();
    stage.input(Input::MuteSource { identity: identity(), source: MIC });
    assert_eq!(stage.commands(), [Command::Mute { track: mic.id, muted: true }], "the camera goes on");
    assert_eq!(only!(stage.heard(&anna), Mute), MuteTrackRequest { sid: mic.sid.clone(), muted: true });
    let muted = about(&stage.heard(&ben), &anna).unwrap().tracks.iter().filter(|track| track.muted).count();
    assert_eq!(muted, 1);
    stage.input(Input::MuteSource { identity: identity(), source: MIC });
    assert!(stage.commands().is_empty() && stage.heard(&ben).is_empty(), "once is enough");
    stage.ask(&anna, Ask::Mute(MuteTrackRequest { sid: mic.sid, muted: false }));
    assert_eq!(stage.commands(), [Command::Mute { track: mic.id, muted: false }]);
}

#[test]
fn who_has_no_socket_hears_of_it_at_the_resume() {
    let mut stage = Stage::new();
    let anna = stage.settle("anna");
    let mic = stage.publish(&anna, microphone("mic"));
    stage.input(Input::Closed { connection: anna.connection });
    stage.input(Input::MuteSource { identity: identity(), source: MIC });
    let resume = JoinRequest { reconnect: true, participant_sid: anna.sid.clone(), ..request() };
    let back = stage.open(grants("anna"), resume);
    let heard = stage.heard_on(back);
    assert_eq!(only!(heard, Mute), MuteTrackRequest { sid: mic.sid, muted: true });
}

#[test]
fn a_held_source_stays_shut_also_in_tracks_to_come_and_lifting_it_opens_nothing() {
    let mut stage = Stage::new();
    stage.held = vec![MIC];
    let anna = stage.settle("anna");
    let mic = stage.announce(&anna, microphone("mic"));
    let commands = stage.commands();
    let (block, mute) =
        (Command::Block { track: mic.id, blocked: true }, Command::Mute { track: mic.id, muted: true });
    assert!(commands.ends_with(&[block, mute]), "before its first packet: {commands:?}");
    let event =
        Event::Published { peer: anna.peer, track: mic.id, mid: "1".into(), mime_type: "audio/opus".into() };
    stage.media(event);
    stage.forget();
    stage.commands();
    stage.ask(&anna, Ask::Mute(MuteTrackRequest { sid: mic.sid.clone(), muted: false }));
    assert!(only!(stage.heard(&anna), Mute).muted && stage.commands().is_empty());
    stage.input(Input::HoldSource { identity: identity(), source: MIC, held: false });
    assert_eq!(stage.commands(), [Command::Block { track: mic.id, blocked: false }], "the mute stays");
    assert!(all!(stage.heard(&anna), Mute).is_empty());
    stage.ask(&anna, Ask::Mute(MuteTrackRequest { sid: mic.sid, muted: false }));
    assert_eq!(stage.commands(), [Command::Mute { track: mic.id, muted: false }]);
}

#[test]
fn a_listener_loses_its_tracks_and_the_right_to_new_ones_until_it_is_given_back() {
    let mut stage = Stage::new();
    let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
    let mic = stage.publish(&anna, microphone("mic"));
    stage.forget();
    stage.commands();
    stage.input(Input::Permit { identity: identity(), can_publish: false, room_admin: false });
    assert_eq!(stage.commands(), [Command::RemoveTrack { track: mic.id }]);
    let heard = stage.heard(&anna);
    assert_eq!(only!(heard, TrackUnpublished).track_sid, mic.sid);
    let seen = about(&stage.heard(&ben), &anna).unwrap();
    assert!(seen.tracks.is_empty() && !seen.permission.unwrap().can_publish);
    stage.ask(&anna, Ask::AddTrack(microphone("mic")));
    assert_eq!(only!(stage.heard(&anna), RequestResponse).reason(), Reason::NotAllowed);
    stage.input(Input::Permit { identity: identity(), can_publish: true, room_admin: true });
    let (_, token) = stage.tokens.last().unwrap();
    assert!(token.can_publish && token.room_admin, "its next token says so too");
    stage.announce(&anna, microphone("mic"));
}

#[test]
fn the_servers_attributes_cannot_be_set_by_anybody_else() {
    let mut stage = Stage::new();
    let base = request();
    let attributes = HashMap::from([("enza.role".into(), "host".into()), ("mine".into(), "x".into())]);
    let anna = stage.join_as(grants("anna"), JoinRequest { participant_attributes: attributes, ..base });
    let ben = stage.settle("ben");
    stage.forget();
    let role = |value: &str| vec![("enza.role".to_owned(), value.to_owned())];
    stage.input(Input::SetAttributes { identity: identity(), attributes: role("speaker") });
    let seen = about(&stage.heard(&ben), &anna).unwrap().attributes;
    let expected = [("enza.role".to_owned(), "speaker".to_owned()), ("mine".to_owned(), "x".to_owned())];
    assert_eq!(seen, HashMap::from(expected));
    stage.forget();
    let own = UpdateParticipantMetadata {
        attributes: HashMap::from([("enza.role".into(), "host".into())]),
        ..Default::default()
    };
    stage.ask(&anna, Ask::UpdateMetadata(own));
    assert_eq!(only!(stage.heard(&anna), RequestResponse).reason(), Reason::NotAllowed);
    stage.input(Input::SetAttributes { identity: identity(), attributes: role("") });
    assert_eq!(about(&stage.heard(&ben), &anna).unwrap().attributes.len(), 1);
}

#[test]
fn room_metadata_is_told_once_for_many_changes_and_to_newcomers() {
    let mut stage = Stage::new();
    let anna = stage.settle("anna");
    stage.after(Duration::from_secs(2));
    stage.forget();
    for metadata in ["1", "2", "3"] {
        stage.input(Input::SetMetadata { metadata: metadata.into() });
    }
    stage.after(Duration::from_secs(2));
    assert_eq!(only!(stage.heard(&anna), RoomUpdate).room.unwrap().metadata, "3");
    let connection = stage.open(grants("ben"), request());
    let heard = stage.heard_on(connection);
    let Some(Message::Join(join)) = heard.first() else { panic!("{heard:?}") };
    assert_eq!(join.room.as_ref().unwrap().metadata, "3");
}

#[test]
fn an_empty_room_waits_while_somebody_is_here_without_media() {
    let mut stage = Stage::new();
    stage.input(Input::KeepOpen(true));
    stage.after(Duration::from_secs(3600));
    assert_eq!(stage.ended, 0);
    stage.input(Input::KeepOpen(false));
    stage.after(Duration::from_secs(19));
    assert_eq!(stage.ended, 0);
    stage.after(Duration::from_secs(2));
    assert_eq!(stage.ended, 1);
}

#[test]
fn coming_and_going_is_reported_but_not_of_hidden_ones() {
    let mut stage = Stage::new();
    let anna = stage.settle("anna");
    let ben = stage.settle("ben");
    stage.join_as(Grants { hidden: true, ..grants("ghost") }, request());
    let rename = UpdateParticipantMetadata { name: "Anna B.".into(), ..Default::default() };
    stage.ask(&anna, Ask::UpdateMetadata(rename));
    stage.ask(&ben, Ask::Leave(Default::default()));
    for identity in ["anna", "ghost"] {
        let reason = DisconnectReason::ParticipantRemoved;
        stage.input(Input::Remove { identity: identity.into(), reason });
    }
    let departed = |identity: &str, for_good| Effect::Departed { identity: identity.into(), for_good };
    let expected = [
        Effect::Arrived { connection: anna.connection },
        Effect::Arrived { connection: ben.connection },
        Effect::Renamed { identity: identity(), name: "Anna B.".into() },
        departed("ben", true),
        departed("anna", false),
    ];
    assert_eq!(stage.people, expected);
}

//! What those outside are told (LiveKit's webhooks).

use crate::stage::{Stage, camera, grants, microphone, request};
use livekit_protocol::DisconnectReason;
use sfu::Event;
use signal::{Grants, Happening, Input};

/// In words: who or which track, and what happened.
fn told(stage: &mut Stage) -> Vec<String> {
    let word = |what| match what {
        Happening::Joined { participant } => format!("{} joined", participant.identity),
        Happening::Left { participant } => format!("{} left", participant.identity),
        Happening::Published { participant, track } => {
            format!("{} published {}", participant.identity, track.name)
        }
        Happening::Unpublished { participant, track } => {
            format!("{} unpublished {}", participant.identity, track.name)
        }
    };
    std::mem::take(&mut stage.happened).into_iter().map(word).collect()
}

#[test]
fn joining_is_when_media_is_up_and_whoever_leaves_takes_their_tracks_first() {
    let mut stage = Stage::new();
    let anna = stage.join("anna");
    stage.publish(&anna, camera("cam"));
    assert!(told(&mut stage).is_empty(), "nothing flows yet");
    stage.media(Event::Connected { peer: anna.peer });
    assert_eq!(told(&mut stage), ["anna joined", "anna published camera"]);
    let track = stage.publish(&anna, microphone("mic"));
    assert_eq!(told(&mut stage), ["anna published microphone"]);
    stage.media(Event::Unpublished { peer: anna.peer, track: track.id });
    assert_eq!(told(&mut stage), ["anna unpublished microphone"]);
    let reason = DisconnectReason::ParticipantRemoved;
    stage.input(Input::Remove { identity: "anna".into(), reason });
    assert_eq!(told(&mut stage), ["anna unpublished camera", "anna left"]);
}

#[test]
fn who_never_connected_and_who_is_hidden_were_never_there() {
    let mut stage = Stage::new();
    stage.join("anna");
    let hidden = stage.join_as(Grants { hidden: true, ..grants("ben") }, request());
    stage.media(Event::Connected { peer: hidden.peer });
    for identity in ["anna", "ben"] {
        let reason = DisconnectReason::ParticipantRemoved;
        stage.input(Input::Remove { identity: identity.into(), reason });
    }
    assert!(told(&mut stage).is_empty());
}

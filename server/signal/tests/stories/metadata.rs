//! A participant changes what it shows of itself.

use crate::stage::{Stage, about, grants, only, request};
use livekit_protocol::UpdateParticipantMetadata;
use livekit_protocol::request_response::{Reason, Request};
use livekit_protocol::signal_request::Message as Ask;
use signal::Grants;
use std::collections::HashMap;
use std::time::Duration;

#[test]
fn a_change_is_answered_told_to_all_and_kept_in_the_next_token() {
    let mut stage = Stage::new();
    let (anna, ben) = (stage.settle("anna"), stage.settle("ben"));
    let change = UpdateParticipantMetadata {
        name: "Anna B.".into(),
        metadata: "m".into(),
        attributes: HashMap::from([("hand".into(), "up".into()), ("gone".into(), String::new())]),
        request_id: 9,
    };
    stage.ask(&anna, Ask::UpdateMetadata(change.clone()));
    let mine = stage.heard(&anna);
    let answer = only!(mine, RequestResponse);
    assert_eq!((answer.request_id, answer.reason()), (9, Reason::Ok));
    assert_eq!(answer.request, Some(Request::UpdateMetadata(change)));
    for messages in [mine, stage.heard(&ben)] {
        let info = about(&messages, &anna).unwrap();
        assert_eq!((info.name.as_str(), info.metadata.as_str()), ("Anna B.", "m"));
        assert_eq!(info.attributes, HashMap::from([("hand".into(), "up".into())]));
    }
    let lower = UpdateParticipantMetadata {
        attributes: HashMap::from([("hand".into(), String::new())]),
        request_id: 10,
        ..Default::default()
    };
    stage.ask(&anna, Ask::UpdateMetadata(lower.clone()));
    let info = about(&stage.heard(&ben), &anna).unwrap();
    assert_eq!((info.name.as_str(), info.metadata.as_str(), info.attributes.len()), ("Anna B.", "m", 0));
    stage.heard(&anna);
    stage.ask(&anna, Ask::UpdateMetadata(lower));
    assert_eq!(only!(stage.heard(&anna), RequestResponse).reason(), Reason::Ok);
    assert!(stage.heard(&ben).is_empty(), "nothing changed");
    stage.after(Duration::from_secs(300));
    assert_eq!(stage.tokens.first().map(|(_, grants)| grants.name.as_str()), Some("Anna B."));
}

#[test]
fn changes_without_the_right_or_beyond_the_bounds_are_refused() {
    let mut stage = Stage::new();
    let ben = stage.settle("ben");
    let fixed = stage.join_as(Grants { can_update_own_metadata: false, ..grants("anna") }, request());
    stage.forget();
    let rename = UpdateParticipantMetadata { name: "x".into(), ..Default::default() };
    stage.ask(&fixed, Ask::UpdateMetadata(rename));
    assert_eq!(only!(stage.heard(&fixed), RequestResponse).reason(), Reason::NotAllowed);
    let large = [
        UpdateParticipantMetadata { name: "x".repeat(257), ..Default::default() },
        UpdateParticipantMetadata { metadata: "x".repeat(64 * 1024 + 1), ..Default::default() },
        UpdateParticipantMetadata {
            attributes: HashMap::from([("k".into(), "x".repeat(64 * 1024))]),
            ..Default::default()
        },
    ];
    for change in large {
        stage.ask(&ben, Ask::UpdateMetadata(change));
        assert_eq!(only!(stage.heard(&ben), RequestResponse).reason(), Reason::LimitExceeded);
    }
    let half = |key: &str| UpdateParticipantMetadata {
        attributes: HashMap::from([(key.into(), "x".repeat(40 * 1024))]),
        ..Default::default()
    };
    stage.ask(&ben, Ask::UpdateMetadata(half("one")));
    stage.heard(&ben);
    stage.ask(&ben, Ask::UpdateMetadata(half("two")));
    assert_eq!(
        only!(stage.heard(&ben), RequestResponse).reason(),
        Reason::LimitExceeded,
        "all of them together"
    );
    assert!(stage.heard(&fixed).iter().all(|message| !format!("{message:?}").contains("two")));
}

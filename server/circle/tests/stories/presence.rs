//! Coming, going, coming back, and what happens without a host.

use crate::stage::{Stage, id, pass};
use circle::{Answer, Effect, Event, Input, Message, Removal, Resume, Role, Settings};
use serde_json::json;
use std::time::Duration;

#[test]
fn text_and_media_are_two_ways_of_being_here() {
    let mut stage = Stage::new();
    let ann = stage.connect("ann", Role::Speaker);
    assert!(!stage.state(ann).participants[0].media, "text only");
    stage.input(Input::MediaUp { pass: pass("py", Role::Speaker) });
    let joined = stage.events(ann);
    assert!(matches!(&joined[0], Event::Joined { person, seat: Some(1) } if person.participant == id("py")));
    stage.input(Input::MediaDown { identity: id("py"), for_good: true });
    assert_eq!(stage.events(ann), [Event::Left { participant: id("py") }], "it said that it leaves");
    stage.input(Input::MediaUp { pass: pass("ann", Role::Speaker) });
    stage.input(Input::MediaDown { identity: id("ann"), for_good: true });
    assert!(stage.room.is_occupied(), "her text still is here");
}

#[test]
fn a_short_absence_is_shown_and_a_longer_one_ends_but_seat_and_hand_wait() {
    let mut stage = Stage::new();
    let host = stage.settle("host", Role::Host);
    let ann = stage.settle("ann", Role::Speaker);
    stage.settle("ben", Role::Speaker);
    stage.ask(ann, json!({"type": "raise-hand"})).unwrap();
    stage.forget();
    stage.input(Input::Closed { connection: ann });
    assert!(stage.heard(host).is_empty(), "her media is up");
    stage.input(Input::MediaDown { identity: id("ann"), for_good: false });
    assert!(matches!(&stage.events(host)[..], [Event::Changed { person }] if !person.connected));
    stage.after(Duration::from_secs(6));
    assert_eq!(stage.events(host), [Event::Left { participant: id("ann") }]);
    stage.after(Duration::from_secs(60));
    let back = stage.connect("ann", Role::Speaker);
    let state = stage.state(back);
    assert_eq!(state.seats, [id("host"), id("ann"), id("ben")]);
    assert_eq!(state.hands.len(), 1);
    assert!(matches!(&stage.events(host)[0], Event::Joined { seat: Some(1), .. }));
    stage.input(Input::Closed { connection: back });
    stage.after(Duration::from_secs(6));
    stage.after(Duration::from_secs(900));
    let late = stage.connect("ann", Role::Speaker);
    assert_eq!(
        stage.state(late).seats,
        [id("host"), id("ben"), id("ann")],
        "kept for ten minutes, not for good"
    );
}

#[test]
fn who_comes_back_hears_what_was_missed_and_no_more() {
    let mut stage = Stage::new();
    let host = stage.settle("host", Role::Host);
    let ann = stage.settle("ann", Role::Speaker);
    let ben = stage.settle("ben", Role::Speaker);
    let revision = stage.ask(ann, json!({"type": "raise-hand"})).unwrap();
    stage.input(Input::Closed { connection: ann });
    stage.forget();
    stage.ask(ben, json!({"type": "write", "to": "hosts", "body": "not for Ann"})).unwrap();
    stage.ask(ben, json!({"type": "write", "to": "everyone", "body": "hello"})).unwrap();
    stage.ask(host, json!({"type": "lower-hands"})).unwrap();
    let resume = |revision| Some(Resume { epoch: "e1".into(), revision });
    let back = stage.resume("ann", Role::Speaker, resume(revision));
    let heard = stage.heard(back);
    let kinds: Vec<String> = heard
        .iter()
        .map(|message| serde_json::to_value(&**message).unwrap()["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["text", "hands", "moderation", "caught-up"]);
    for wrong in [Some(Resume { epoch: "e0".into(), revision }), resume(revision + 1000), resume(0), None] {
        let socket = stage.resume("ann", Role::Speaker, wrong.clone());
        assert_eq!(stage.state(socket).you, id("ann"), "{wrong:?}");
    }
}

#[test]
fn a_long_absence_or_another_role_means_the_whole_state() {
    let mut stage = Stage::new();
    let host = stage.settle("host", Role::Host);
    let ann = stage.settle("ann", Role::Speaker);
    let revision = stage.ask(ann, json!({"type": "raise-hand"})).unwrap();
    stage.ask(host, json!({"type": "set-role", "participant": "ann", "role": "co-host"})).unwrap();
    let resume = Some(Resume { epoch: "e1".into(), revision });
    let back = stage.resume("ann", Role::Speaker, resume);
    assert_eq!(stage.state(back).lobby, Some(Vec::new()));
    assert!(stage.closed.contains(&ann), "the newer socket wins");
    let seen = stage.ask(back, json!({"type": "react", "reaction": "👏"})).unwrap();
    for _ in 0..400 {
        stage.after(Duration::from_secs(1));
        stage.ask(host, json!({"type": "react", "reaction": "🌱"})).unwrap();
    }
    let resume = Some(Resume { epoch: "e1".into(), revision: seen });
    let socket = stage.resume("ann", Role::Speaker, resume);
    assert_eq!(stage.state(socket).you, id("ann"));
}

#[test]
fn leaving_is_answered_and_takes_the_media_along() {
    let mut stage = Stage::new();
    let host = stage.settle("host", Role::Host);
    let ann = stage.settle("ann", Role::Speaker);
    stage.ask(ann, json!({"type": "leave"})).unwrap();
    assert_eq!(stage.orders(), [Effect::Remove { participant: id("ann"), why: Removal::Left }]);
    assert_eq!(stage.events(host), [Event::Left { participant: id("ann") }]);
    assert!(stage.closed.contains(&ann));
    stage.input(Input::MediaDown { identity: id("ann"), for_good: true });
    assert!(stage.heard(host).is_empty(), "once");
}

#[test]
fn without_a_host_the_longest_present_co_host_follows_and_the_host_comes_back_as_host() {
    let settings = json!({"handOver": {"rule": "co-host"}});
    let mut stage = Stage::with(serde_json::from_value::<Settings>(settings).unwrap());
    let host = stage.settle("host", Role::Host);
    let zoe = stage.settle("zoe", Role::CoHost);
    stage.settle("amy", Role::CoHost);
    stage.input(Input::Closed { connection: host });
    stage.input(Input::MediaDown { identity: id("host"), for_good: false });
    stage.after(Duration::from_secs(4));
    assert!(stage.orders().is_empty(), "a host who drops for a moment stays host");
    stage.after(Duration::from_secs(2));
    assert_eq!(stage.orders(), [Effect::Permit { participant: id("zoe"), role: Role::Host }]);
    let zoes = stage.state(zoe).participants.into_iter().find(|p| p.participant == id("zoe")).unwrap();
    assert_eq!(zoes.role, Role::Host);
    let back = stage.connect("host", Role::Host);
    let state = stage.state(back);
    assert_eq!(state.participants.iter().filter(|p| p.role == Role::Host).count(), 2);
}

#[test]
fn a_room_without_a_host_closes_when_its_rule_says_so_unless_one_comes() {
    let settings = json!({"handOver": {"rule": "close", "minutes": 2}});
    let mut stage = Stage::with(serde_json::from_value::<Settings>(settings).unwrap());
    let ann = stage.settle("ann", Role::Speaker);
    stage.after(Duration::from_secs(600));
    assert!(stage.orders().is_empty(), "no host has been here yet");
    let host = stage.settle("host", Role::Host);
    stage.ask(host, json!({"type": "leave"})).unwrap();
    let at = stage.now.unix_millis + 120_000;
    assert_eq!(stage.events(ann).last(), Some(&Event::Closing { at: Some(at) }));
    stage.after(Duration::from_secs(60));
    let host = stage.settle("host", Role::Host);
    stage.after(Duration::from_secs(120));
    stage.ask(host, json!({"type": "leave"})).unwrap();
    stage.forget();
    stage.after(Duration::from_secs(121));
    assert_eq!(stage.events(ann), [Event::Ended]);
    assert_eq!(stage.orders(), [Effect::End]);
}

#[test]
fn a_stopping_server_sends_nobody_away() {
    let mut stage = Stage::new();
    let ann = stage.settle("ann", Role::Speaker);
    stage.input(Input::Stop);
    assert_eq!(*stage.heard(ann)[0], Message::Answer(Answer::Stopping));
    assert!(stage.closed.contains(&ann) && stage.orders().is_empty());
}

#[test]
fn after_a_restart_people_sit_where_they_sat_and_are_what_they_were() {
    let mut stage = Stage::new();
    let host = stage.settle("host", Role::Host);
    let (ann, ben) = (stage.settle("ann", Role::Speaker), stage.settle("ben", Role::Speaker));
    stage.settle("cat", Role::Speaker);
    stage.ask(host, json!({"type": "order-seats", "participants": ["cat", "ann", "host", "ben"]})).unwrap();
    stage.ask(host, json!({"type": "spotlight", "participants": ["ben", "ann"]})).unwrap();
    stage.ask(host, json!({"type": "set-role", "participant": "ann", "role": "co-host"})).unwrap();
    stage.ask(host, json!({"type": "remove", "participant": "cat", "ban": true})).unwrap();
    stage.ask(ben, json!({"type": "raise-hand"})).unwrap();
    stage.ask(ann, json!({"type": "step-away", "away": true})).unwrap();
    let raised = {
        let again = stage.connect("host", Role::Host);
        stage.state(again).hands
    };
    let kept = serde_json::to_string(&stage.room.snapshot()).unwrap();
    assert!(!kept.contains("ANN"), "no name is in it: {kept}");

    let mut stage = Stage::new();
    stage.room.restore(serde_json::from_str(&kept).unwrap());
    for name in ["ben", "host"] {
        stage.connect(name, if name == "host" { Role::Host } else { Role::Speaker });
    }
    let ann = stage.connect("ann", Role::Speaker);
    let state = stage.state(ann);
    assert_eq!(state.seats, [id("ann"), id("host"), id("ben")]);
    assert_eq!(state.hands, raised);
    assert_eq!(state.spotlight, [id("ben"), id("ann")]);
    assert!(state.away);
    let role = state.participants.iter().find(|person| person.participant == id("ann")).unwrap().role;
    assert_eq!(role, Role::CoHost);
    let cat = stage.connect("cat", Role::Speaker);
    assert_eq!(stage.refused(cat), "banned");
}

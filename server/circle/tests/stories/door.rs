//! Lock, capacity, agreement and lobby.

use crate::stage::{Stage, id, pass};
use circle::{Answer, Effect, Event, Input, Message, Role, Settings, WaitsFor};
use serde_json::json;

fn room(change: serde_json::Value) -> Stage {
    let mut settings = serde_json::to_value(Settings::default()).unwrap();
    for (key, value) in change.as_object().unwrap() {
        settings[key] = value.clone();
    }
    Stage::with(serde_json::from_value(settings).unwrap())
}

fn waits(stage: &mut Stage, socket: circle::ConnectionId) -> Option<WaitsFor> {
    stage.heard(socket).iter().find_map(|message| match &**message {
        Message::Answer(Answer::Waiting { waits_for, .. }) => Some(*waits_for),
        _ => None,
    })
}

#[test]
fn a_host_lets_people_in_one_by_one() {
    let mut stage = room(json!({"lobby": "guests", "question": "How was your week?"}));
    let host = stage.settle("host", Role::Host);
    let (ann, ben) = (stage.connect("ann", Role::Speaker), stage.connect("ben", Role::Listener));
    assert_eq!(waits(&mut stage, ann), Some(WaitsFor::Host));
    assert!(matches!(stage.events(host).as_slice(), [Event::Knocked { .. }, Event::Knocked { .. }]));
    assert_eq!(stage.admitted_to_media("ann", Role::Speaker), Err("in-lobby"));
    assert_eq!(stage.ask(ann, json!({"type": "raise-hand"})), Err("still-waiting"));
    stage.ask(host, json!({"type": "tell-waiting", "participant": "ann", "line": "Two minutes."})).unwrap();
    let line = Message::Answer(Answer::Line { line: "Two minutes.".into() });
    assert_eq!(stage.heard(ann).iter().map(|message| (**message).clone()).collect::<Vec<_>>(), [line]);
    stage.heard(host);

    stage.ask(host, json!({"type": "admit", "participants": ["ann"]})).unwrap();
    assert_eq!(stage.state(ann).you, id("ann"));
    assert!(stage.admitted_to_media("ann", Role::Speaker).is_ok());
    assert!(stage.events(host).contains(&Event::KnockEnded { participant: id("ann") }));
    assert_eq!(stage.ask(host, json!({"type": "admit", "participants": ["ann"]})), Err("not-waiting"));
    stage.ask(host, json!({"type": "decline", "participants": ["ben"]})).unwrap();
    assert_eq!(stage.refused(ben), "declined");
    let again = stage.connect("ben", Role::Listener);
    assert_eq!(stage.refused(again), "declined");
}

#[test]
fn hosts_never_wait_and_who_was_inside_comes_back() {
    let mut stage = room(json!({"lobby": "everybody"}));
    let host = stage.settle("host", Role::Host);
    let cora = stage.connect("cora", Role::CoHost);
    assert_eq!(waits(&mut stage, cora), Some(WaitsFor::Host));
    stage.ask(host, json!({"type": "admit", "participants": ["cora"]})).unwrap();
    stage.ask(host, json!({"type": "change-room", "set": {"locked": true}})).unwrap();
    for (name, socket) in [("cora", cora), ("host", host)] {
        stage.input(Input::Closed { connection: socket });
        stage.input(Input::MediaDown { identity: id(name), for_good: true });
    }
    stage.after(std::time::Duration::from_secs(60));
    assert!(!stage.room.is_occupied());
    let stranger = stage.connect("zoe", Role::Speaker);
    assert_eq!(stage.refused(stranger), "locked");
    let back = stage.connect("cora", Role::CoHost);
    assert_eq!(stage.state(back).participants.len(), 1);
    let host = stage.connect("host", Role::Host);
    assert_eq!(stage.state(host).participants.len(), 2);
}

#[test]
fn the_agreement_comes_before_everything_else() {
    let mut stage = room(json!({"agreement": {"version": 3, "lines": ["Be kind."]}, "lobby": "guests"}));
    let host = stage.settle("host", Role::Host);
    let ann = stage.connect("ann", Role::Speaker);
    assert_eq!(waits(&mut stage, ann), Some(WaitsFor::Agreement));
    assert!(stage.heard(host).is_empty(), "nobody knocks who is still reading");
    assert_eq!(stage.admitted_to_media("ann", Role::Speaker), Err("agreement-needed"));
    assert_eq!(stage.ask(ann, json!({"type": "agree", "version": 2})), Err("agreement-changed"));
    stage.ask(ann, json!({"type": "agree", "version": 3})).unwrap();
    assert_eq!(stage.orders(), [Effect::Accepted { version: 3 }]);
    stage.ask(ann, json!({"type": "agree", "version": 3})).unwrap();
    assert_eq!(stage.orders(), [], "counted once");
    assert_eq!(waits(&mut stage, ann), Some(WaitsFor::Host));
    stage.ask(host, json!({"type": "change-room", "set": {"lobby": "off"}})).unwrap();
    assert_eq!(stage.state(ann).you, id("ann"), "the lobby was switched off");
}

#[test]
fn a_full_room_has_a_place_for_its_host() {
    let mut stage = room(json!({"capacity": 1}));
    stage.settle("ann", Role::Speaker);
    let late = stage.connect("ben", Role::Speaker);
    assert_eq!(stage.refused(late), "full");
    let host = stage.connect("host", Role::Host);
    assert_eq!(stage.state(host).participants.len(), 2);
}

#[test]
fn who_stops_waiting_is_taken_from_the_list() {
    let mut stage = room(json!({"lobby": "guests"}));
    let host = stage.settle("host", Role::Host);
    let ann = stage.connect("ann", Role::Speaker);
    let newer = stage.connect("ann", Role::Speaker);
    assert!(stage.closed.contains(&ann) && waits(&mut stage, newer) == Some(WaitsFor::Host));
    stage.forget();
    stage.input(Input::Closed { connection: newer });
    assert_eq!(stage.events(host), [Event::KnockEnded { participant: id("ann") }]);
    let ben = stage.connect("ben", Role::Speaker);
    stage.ask(ben, json!({"type": "leave"})).unwrap();
    assert!(stage.closed.contains(&ben));
    assert_eq!(stage.room.standing(&pass("host", Role::Host)).unwrap().role, Role::Host);
}

#[test]
fn how_many_there_are_is_told_before_the_door_only_where_the_room_says_so() {
    for shown in [true, false] {
        let mut stage = room(json!({"lobby": "everybody", "countShown": shown}));
        stage.settle("host", Role::Host);
        for (name, role) in [("ann", Role::Speaker), ("lis", Role::Listener), ("cora", Role::CoHost)] {
            let socket = stage.connect(name, role);
            let heard = stage.heard(socket);
            let [message] = heard.as_slice() else { panic!("{heard:?}") };
            let Message::Answer(Answer::Waiting { inside, .. }) = &**message else { panic!("{message:?}") };
            let told = shown || role == Role::CoHost;
            assert_eq!(*inside, told.then_some(1), "{name}");
        }
    }
}

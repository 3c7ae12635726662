//! What hosts do, and what they cannot do.

use crate::stage::{Stage, id, pass};
use circle::{
    Deed, Effect, Event, Input, Order, Outsider, Pass, Refusal, Removal, Role, SettingsChange, Source,
};
use serde_json::json;

const MIC: Source = Source::Microphone;

fn mute(name: &str) -> Effect {
    Effect::Mute { participant: id(name), source: MIC }
}

fn hold(name: &str, held: bool) -> Effect {
    Effect::Hold { participant: id(name), source: MIC, held }
}

#[test]
fn a_mute_reaches_the_media_in_the_same_turn_and_everybody_sees_one_line() {
    let mut stage = Stage::new();
    let (host, ann, ben) = (
        stage.settle("host", Role::Host),
        stage.settle("ann", Role::Speaker),
        stage.settle("ben", Role::Speaker),
    );
    let asked = stage.ask(host, json!({"type": "mute", "source": "microphone", "participants": ["ann"]}));
    assert!(asked.is_ok());
    assert_eq!(stage.orders(), [mute("ann")]);
    assert!(stage.events(ann).contains(&Event::Muted { source: MIC }));
    let line = Event::Moderation {
        by: id("host"),
        deed: Deed::Mute,
        source: Some(MIC),
        participants: vec![id("ann")],
    };
    assert_eq!(stage.events(ben), [line]);
}

#[test]
fn who_has_no_right_causes_nothing() {
    let mut stage = Stage::new();
    let (host, ann) = (stage.settle("host", Role::Host), stage.settle("ann", Role::Speaker));
    stage.settle("cora", Role::CoHost);
    stage.ask(ann, json!({"type": "raise-hand"})).unwrap();
    stage.forget();
    for command in [
        json!({"type": "mute", "source": "camera", "participants": ["host"]}),
        json!({"type": "mute-all", "source": "camera"}),
        json!({"type": "ask-to-unmute", "source": "camera", "participants": ["host"]}),
        json!({"type": "set-role", "participant": "ann", "role": "host"}),
        json!({"type": "spotlight", "participants": ["ann"]}),
        json!({"type": "lower-hands"}),
        json!({"type": "order-seats", "participants": []}),
        json!({"type": "remove", "participant": "host"}),
        json!({"type": "remove", "participant": "host", "ban": true}),
        json!({"type": "admit", "participants": []}),
        json!({"type": "change-room", "set": {"locked": true}}),
        json!({"type": "end"}),
    ] {
        assert_eq!(stage.ask(ann, command.clone()), Err("not-allowed"), "{command}");
    }
    assert!(stage.orders().is_empty() && stage.heard(host).is_empty());
}

#[test]
fn a_co_host_moderates_everybody_but_hosts() {
    let mut stage = Stage::new();
    stage.settle("host", Role::Host);
    let cora = stage.settle("cora", Role::CoHost);
    stage.settle("ann", Role::Speaker);
    let one = json!({"type": "mute", "source": "microphone", "participants": ["ann", "host"]});
    assert_eq!(stage.ask(cora, one), Err("host-protected"));
    assert!(stage.orders().is_empty(), "all of them or none");
    stage.ask(cora, json!({"type": "mute-all", "source": "microphone"})).unwrap();
    assert_eq!(stage.orders(), [mute("ann")]);
    let promote = json!({"type": "set-role", "participant": "ann", "role": "co-host"});
    assert_eq!(stage.ask(cora, promote), Err("not-allowed"));
    let listen = json!({"type": "set-role", "participant": "ann", "role": "listener"});
    assert!(stage.ask(cora, listen).is_ok());
    let ban = json!({"type": "remove", "participant": "ann", "ban": true});
    assert_eq!(stage.ask(cora, ban), Err("not-allowed"));
}

#[test]
fn all_but_some_are_muted() {
    let mut stage = Stage::new();
    let host = stage.settle("host", Role::Host);
    for name in ["ann", "ben", "cho"] {
        stage.settle(name, Role::Speaker);
    }
    stage.settle("lis", Role::Listener);
    stage.connect("text", Role::Speaker);
    stage.forget();
    stage.ask(host, json!({"type": "mute-all", "source": "microphone", "except": ["ben"]})).unwrap();
    assert_eq!(stage.orders(), [mute("ann"), mute("cho")], "who sends nothing is not muted either");
}

#[test]
fn held_microphones_open_by_their_owners_press_after_a_host_asked() {
    let mut stage = Stage::new();
    let (host, ann) = (stage.settle("host", Role::Host), stage.settle("ann", Role::Speaker));
    stage.settle("cora", Role::CoHost);
    stage.ask(host, json!({"type": "change-room", "set": {"microphones": "held"}})).unwrap();
    let orders = stage.orders();
    assert!(orders.contains(&hold("ann", true)) && !orders.contains(&hold("cora", true)), "{orders:?}");
    assert_eq!(
        stage.admitted_to_media("new", Role::Speaker).unwrap().held.into_iter().collect::<Vec<_>>(),
        [MIC]
    );
    stage.heard(ann);
    stage
        .ask(host, json!({"type": "ask-to-unmute", "source": "microphone", "participants": ["ann"]}))
        .unwrap();
    assert_eq!(stage.orders(), [hold("ann", false)], "free to open, not opened");
    assert!(stage.events(ann).contains(&Event::AskedToUnmute { source: MIC }));
    // Muting her again holds her again.
    stage.ask(host, json!({"type": "mute", "source": "microphone", "participants": ["ann"]})).unwrap();
    assert_eq!(stage.orders(), [hold("ann", true), mute("ann")]);
    stage.ask(host, json!({"type": "change-room", "set": {"microphones": "free"}})).unwrap();
    assert!(stage.orders().contains(&hold("ann", false)));
}

#[test]
fn a_listener_gives_up_seat_and_spotlight_and_gets_a_seat_at_the_end_later() {
    let mut stage = Stage::new();
    let host = stage.settle("host", Role::Host);
    let ann = stage.settle("ann", Role::Speaker);
    stage.settle("ben", Role::Speaker);
    stage.ask(host, json!({"type": "spotlight", "participants": ["ben", "ann", "ben"]})).unwrap();
    assert!(stage.events(ann).contains(&Event::Spotlight { participants: vec![id("ben"), id("ann")] }));
    stage.forget();
    stage.ask(host, json!({"type": "set-role", "participant": "ann", "role": "listener"})).unwrap();
    assert_eq!(stage.orders(), [Effect::Permit { participant: id("ann"), role: Role::Listener }]);
    let state = stage.state(ann);
    assert_eq!((state.seats, state.spotlight), (vec![id("host"), id("ben")], vec![id("ben")]));
    stage.ask(host, json!({"type": "set-role", "participant": "ann", "role": "speaker"})).unwrap();
    assert_eq!(stage.orders(), [Effect::Permit { participant: id("ann"), role: Role::Speaker }]);
    assert_eq!(stage.state(ann).seats, [id("host"), id("ben"), id("ann")]);
}

#[test]
fn the_last_host_names_another_one_first() {
    let mut stage = Stage::new();
    let host = stage.settle("host", Role::Host);
    let ann = stage.settle("ann", Role::Speaker);
    let down = json!({"type": "set-role", "participant": "host", "role": "speaker"});
    assert_eq!(stage.ask(host, down.clone()), Err("last-host"));
    stage.ask(host, json!({"type": "set-role", "participant": "ann", "role": "host"})).unwrap();
    assert_eq!(stage.state(ann).lobby, Some(Vec::new()), "a new host sees the lobby at once");
    assert!(stage.ask(host, down).is_ok());
    assert_eq!(stage.ask(host, json!({"type": "end"})), Err("not-allowed"));
}

#[test]
fn who_is_removed_may_come_back_and_who_is_banned_may_not() {
    let mut stage = Stage::new();
    let host = stage.settle("host", Role::Host);
    for (name, ban) in [("ann", false), ("ben", true)] {
        let socket = stage.settle(name, Role::Speaker);
        stage.ask(host, json!({"type": "remove", "participant": name, "ban": ban})).unwrap();
        let mut expected = vec![Effect::Remove { participant: id(name), why: Removal::ByHost }];
        if ban {
            expected.push(Effect::Ban { participant: id(name), origin: None });
        }
        assert_eq!(stage.orders(), expected);
        assert!(stage.events(socket).contains(&Event::Removed { banned: ban }));
        assert!(stage.closed.contains(&socket));
    }
    assert!(stage.admitted_to_media("ann", Role::Speaker).is_ok());
    assert_eq!(stage.admitted_to_media("ben", Role::Speaker), Err("banned"));
    let again = stage.connect("ben", Role::Speaker);
    assert_eq!(stage.refused(again), "banned");
    stage.room.lift(|who| *who == id("ben"));
    assert!(stage.admitted_to_media("ben", Role::Speaker).is_ok());
    stage.room.bar(&id("ann"));
    assert_eq!(stage.admitted_to_media("ann", Role::Speaker), Err("banned"), "in an earlier meeting");
}

#[test]
fn a_ban_hands_back_what_the_token_carried() {
    let mut stage = Stage::new();
    let host = stage.settle("host", Role::Host);
    let pass = Pass { origin: Some("mark".into()), ..pass("ann", Role::Speaker) };
    stage.input(Input::MediaUp { pass });
    stage.forget();
    stage.ask(host, json!({"type": "remove", "participant": "ann", "ban": true})).unwrap();
    let ban = Effect::Ban { participant: id("ann"), origin: Some("mark".into()) };
    assert!(stage.orders().contains(&ban));
}

#[test]
fn the_operator_changes_rules_and_ends_the_meeting_without_a_seat_in_it() {
    let mut stage = Stage::new();
    let ann = stage.settle("ann", Role::Speaker);
    let set = SettingsChange { locked: Some(true), ..SettingsChange::default() };
    let set_wrong = SettingsChange { capacity: Some(0), ..SettingsChange::default() };
    let wrong = stage.room.operate(stage.now, Order::ChangeRoom(set_wrong));
    assert_eq!(wrong.map_err(Refusal::code), Err("setting-out-of-bounds"));
    stage.room.operate(stage.now, Order::ChangeRoom(set)).unwrap();
    stage.input(Input::Tick);
    assert!(matches!(stage.events(ann).as_slice(), [Event::Settings { settings }] if settings.locked));
    assert!(stage.room.settings().locked);
    assert!(matches!(stage.orders().as_slice(), [Effect::KeepSettings(settings)] if settings.locked));
    stage.room.operate(stage.now, Order::End).unwrap();
    stage.input(Input::Tick);
    assert!(stage.events(ann).contains(&Event::Ended) && stage.closed.contains(&ann));
    assert_eq!((stage.room.people(), stage.orders()), (0, vec![Effect::End]));
}

#[test]
fn the_end_is_told_to_everybody_and_answered_before_the_sockets_close() {
    let mut stage = Stage::new();
    let host = stage.settle("host", Role::Host);
    let ann = stage.settle("ann", Role::Speaker);
    assert!(stage.ask(host, json!({"type": "end"})).is_ok());
    assert_eq!(stage.events(ann), [Event::Ended]);
    assert!(stage.closed.contains(&ann) && stage.closed.contains(&host));
    assert_eq!(stage.orders(), [Effect::End]);
    assert!(!stage.room.is_occupied());
    let late = stage.connect("ben", Role::Host);
    assert_eq!(stage.refused(late), "ended");
}

#[test]
fn seats_are_ordered_by_a_host_and_only_as_they_are() {
    let mut stage = Stage::new();
    let host = stage.settle("host", Role::Host);
    let ann = stage.settle("ann", Role::Speaker);
    for wrong in [json!(["ann"]), json!(["ann", "ann"]), json!(["ann", "host", "zoe"]), json!([])] {
        assert_eq!(
            stage.ask(host, json!({"type": "order-seats", "participants": wrong})),
            Err("seats-changed")
        );
    }
    stage.ask(host, json!({"type": "order-seats", "participants": ["ann", "host"]})).unwrap();
    assert_eq!(stage.events(ann), [Event::Seats { seats: vec![id("ann"), id("host")] }]);
}

#[test]
fn a_room_may_keep_moderation_to_its_hosts() {
    let mut stage = Stage::new();
    let host = stage.settle("host", Role::Host);
    let (ann, ben) = (stage.settle("ann", Role::Speaker), stage.settle("ben", Role::Speaker));
    stage.ask(host, json!({"type": "change-room", "set": {"moderationShown": false}})).unwrap();
    stage.forget();
    stage.ask(host, json!({"type": "mute", "source": "camera", "participants": ["ann"]})).unwrap();
    assert!(stage.heard(ben).is_empty());
    assert_eq!(stage.events(ann), [Event::Muted { source: Source::Camera }]);
    assert!(matches!(stage.events(host).as_slice(), [Event::Moderation { .. }]));
}

/// What comes from outside the room.
fn obey(stage: &mut Stage, by: Outsider, command: serde_json::Value) -> Result<(), Refusal> {
    let command = serde_json::from_value(command).unwrap();
    let done = stage.room.operate(stage.now, Order::Obey { by, command });
    stage.input(Input::Tick);
    done
}

#[test]
fn the_operator_moderates_from_outside_by_the_same_table() {
    let mut stage = Stage::new();
    let (host, ann) = (stage.settle("host", Role::Host), stage.settle("ann", Role::Speaker));
    stage.forget();
    let command = json!({"type": "mute", "source": "microphone", "participants": ["ann"]});
    obey(&mut stage, Outsider::operator(), command.clone()).unwrap();
    assert_eq!(stage.orders(), [mute("ann")]);
    let line =
        Event::Moderation { by: id(""), deed: Deed::Mute, source: Some(MIC), participants: vec![id("ann")] };
    assert_eq!(stage.events(host), [line]);
    let last = obey(
        &mut stage,
        Outsider::operator(),
        json!({"type": "set-role", "participant": "host", "role": "speaker"}),
    );
    assert_eq!(last, Err(Refusal::LastHost));
    // Whoever is inside is what they are there.
    let ann_says_host = Outsider { identity: id("ann"), role: Role::Host };
    assert_eq!(obey(&mut stage, ann_says_host, command), Err(Refusal::NotAllowed));
    for own in
        [json!({"type": "raise-hand"}), json!({"type": "react", "reaction": "👍"}), json!({"type": "leave"})]
    {
        let refused = obey(&mut stage, Outsider::operator(), own.clone());
        assert_eq!(refused, Err(Refusal::ParticipantUnknown), "{own}");
    }
    let nobody = json!({"type": "remove", "participant": "ben"});
    assert_eq!(obey(&mut stage, Outsider::operator(), nobody), Err(Refusal::ParticipantUnknown));
    obey(&mut stage, Outsider::operator(), json!({"type": "remove", "participant": "ann", "ban": true}))
        .unwrap();
    assert!(stage.events(ann).contains(&Event::Removed { banned: true }));
    obey(&mut stage, Outsider::operator(), json!({"type": "end"})).unwrap();
    assert!(stage.events(host).contains(&Event::Ended));
}

#[test]
fn those_outside_command_no_faster_than_one_person_and_what_concerns_nobody_leaves_no_line() {
    let mut stage = Stage::new();
    let host = stage.settle("host", Role::Host);
    stage.forget();
    let nobody = json!({"type": "mute-all", "source": "microphone", "except": ["host"]});
    let mut tries = (0..100).map(|number| {
        let by = Outsider { identity: id(&format!("host-{}", number % 2)), role: Role::Host };
        obey(&mut stage, by, nobody.clone())
    });
    assert_eq!(tries.find(Result::is_err), Some(Err(Refusal::TooFast)));
    drop(tries);
    assert_eq!((stage.events(host), stage.orders()), (vec![], vec![]));
    stage.ask(host, nobody.clone()).unwrap();
    stage.after(std::time::Duration::from_secs(1));
    obey(&mut stage, Outsider::operator(), nobody).unwrap();
}

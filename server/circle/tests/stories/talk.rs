//! Hands, text, reactions, stepping away.

use crate::stage::{Stage, id};
use circle::{Effect, Event, Input, Role, Source};
use serde_json::json;
use std::time::Duration;

fn bodies(stage: &mut Stage, socket: circle::ConnectionId) -> Vec<String> {
    let body = |event| match event {
        Event::Text { text } => Some(text.body),
        _ => None,
    };
    stage.events(socket).into_iter().filter_map(body).collect()
}

#[test]
fn hands_stand_in_the_order_they_were_raised() {
    let mut stage = Stage::new();
    let host = stage.settle("host", Role::Host);
    let sockets: Vec<_> = ["zoe", "ann", "lis"].map(|name| stage.settle(name, Role::Listener)).into();
    for socket in &sockets {
        stage.ask(*socket, json!({"type": "raise-hand"})).unwrap();
        stage.after(Duration::from_secs(1));
        stage.ask(*socket, json!({"type": "raise-hand"})).unwrap();
    }
    stage.ask(sockets[0], json!({"type": "lower-hand"})).unwrap();
    let last = stage.events(host).pop().unwrap();
    let Event::Hands { hands } = last else { panic!("{last:?}") };
    assert_eq!(hands.iter().map(|hand| hand.participant.as_str()).collect::<Vec<_>>(), ["ann", "lis"]);
    assert!(hands[0].raised_at < hands[1].raised_at);
    stage.ask(host, json!({"type": "lower-hands", "participants": ["ann"]})).unwrap();
    let hands = |stage: &mut Stage| {
        stage.events(host).into_iter().rev().find_map(|event| match event {
            Event::Hands { hands } => Some(hands.len()),
            _ => None,
        })
    };
    assert_eq!(hands(&mut stage), Some(1));
}

/// Who stands in the queue, as a newcomer sees it.
fn queue(stage: &mut Stage) -> Vec<String> {
    let newcomer = stage.connect("newcomer", Role::Listener);
    stage.state(newcomer).hands.iter().map(|hand| hand.participant.as_str().to_owned()).collect()
}

fn talks(stage: &mut Stage, name: &str, seconds: u64) {
    stage.input(Input::Speaks { identity: id(name), speaks: true });
    stage.after(Duration::from_secs(seconds));
    stage.input(Input::Speaks { identity: id(name), speaks: false });
}

#[test]
fn who_has_spoken_least_comes_first_where_the_room_says_so() {
    let mut stage = Stage::new();
    let host = stage.settle("host", Role::Host);
    let sockets: Vec<_> =
        ["ann", "ben", "cleo"].map(|name| stage.settle(name, Role::Speaker)).into_iter().collect();
    talks(&mut stage, "ann", 60);
    talks(&mut stage, "ben", 12);
    talks(&mut stage, "cleo", 18);
    for &socket in &sockets {
        stage.after(Duration::from_secs(1));
        stage.ask(socket, json!({"type": "raise-hand"})).unwrap();
    }
    assert_eq!(queue(&mut stage), ["ann", "ben", "cleo"], "as they were raised");
    stage.ask(host, json!({"type": "change-room", "set": {"hands": "least-spoken-first"}})).unwrap();
    assert_eq!(queue(&mut stage), ["ben", "cleo", "ann"], "a few seconds are no difference");

    stage.heard(host);
    talks(&mut stage, "ben", 300);
    assert!(stage.heard(host).is_empty(), "nobody is told of speaking");
    assert_eq!(queue(&mut stage), ["ben", "cleo", "ann"], "the queue does not move while people talk");
    let dora = stage.settle("dora", Role::Speaker);
    stage.ask(dora, json!({"type": "raise-hand"})).unwrap();
    assert_eq!(queue(&mut stage), ["dora", "cleo", "ann", "ben"]);

    // Who leaves and comes back has not spoken less, and neither has who speaks at this moment.
    stage.ask(sockets[1], json!({"type": "leave"})).unwrap();
    stage.settle("ben", Role::Speaker);
    stage.input(Input::Speaks { identity: id("dora"), speaks: true });
    stage.after(Duration::from_secs(1000));
    stage.ask(sockets[0], json!({"type": "lower-hand"})).unwrap();
    assert_eq!(queue(&mut stage), ["cleo", "ben", "dora"]);

    let mut later = Stage::with(stage.room.settings().clone());
    later.room.restore(stage.room.snapshot());
    for name in ["dora", "ben", "cleo"] {
        later.settle(name, Role::Speaker);
    }
    // What dora said last was not over when the process ended.
    assert_eq!(queue(&mut later), ["dora", "cleo", "ben"]);
}

#[test]
fn only_who_has_media_speaks() {
    let mut stage = Stage::with(serde_json::from_value(json!({"hands": "least-spoken-first"})).unwrap());
    let (ann, ben) = (stage.connect("ann", Role::Speaker), stage.settle("ben", Role::Speaker));
    stage.input(Input::Speaks { identity: id("ann"), speaks: true });
    stage.input(Input::Speaks { identity: id("nobody"), speaks: true });
    stage.input(Input::Speaks { identity: id("ben"), speaks: true });
    stage.after(Duration::from_secs(20));
    stage.input(Input::MediaDown { identity: id("ben"), for_good: false });
    stage.after(Duration::from_secs(100));
    talks(&mut stage, "ann", 50);
    stage.ask(ben, json!({"type": "raise-hand"})).unwrap();
    stage.ask(ann, json!({"type": "raise-hand"})).unwrap();
    assert_eq!(queue(&mut stage), ["ann", "ben"]);
}

#[test]
fn a_line_to_the_hosts_is_seen_by_nobody_else() {
    let mut stage = Stage::new();
    let host = stage.settle("host", Role::Host);
    let (ann, ben) = (stage.settle("ann", Role::Listener), stage.settle("ben", Role::Speaker));
    stage.ask(host, json!({"type": "change-room", "set": {"text": "off"}})).unwrap();
    assert_eq!(stage.ask(ann, json!({"type": "write", "to": "everyone", "body": "a"})), Err("text-closed"));
    stage.ask(ann, json!({"type": "write", "to": "hosts", "body": "I need a hand"})).unwrap();
    stage.ask(host, json!({"type": "write", "to": {"participant": "ann"}, "body": "I am here"})).unwrap();
    assert_eq!(bodies(&mut stage, host), ["I need a hand", "I am here"]);
    assert_eq!(bodies(&mut stage, ann), ["I need a hand", "I am here"]);
    assert!(bodies(&mut stage, ben).is_empty());
    let aside = json!({"type": "write", "to": {"participant": "ann"}, "body": "psst"});
    assert_eq!(stage.ask(ben, aside), Err("not-allowed"));
    let (newcomer, co_host) = (stage.connect("new", Role::Speaker), stage.connect("cora", Role::CoHost));
    assert!(stage.state(newcomer).texts.is_empty());
    assert_eq!(stage.state(co_host).texts.len(), 2);
}

#[test]
fn texts_are_kept_as_the_room_says_and_removed_by_their_writer_or_a_host() {
    let mut stage = Stage::new();
    let host = stage.settle("host", Role::Host);
    let (ann, ben) = (stage.settle("ann", Role::Speaker), stage.settle("ben", Role::Speaker));
    for body in ["one", "two", "three"] {
        stage.ask(ann, json!({"type": "write", "to": "everyone", "body": body})).unwrap();
    }
    assert_eq!(stage.ask(ben, json!({"type": "remove-text", "text": 1})), Err("not-allowed"));
    stage.heard(ben);
    stage.ask(ann, json!({"type": "remove-text", "text": 1})).unwrap();
    assert_eq!(stage.events(ben), [Event::TextRemoved { text: 1 }]);
    stage.ask(host, json!({"type": "remove-text", "text": 2})).unwrap();
    assert!(matches!(
        stage.events(ben).as_slice(),
        [Event::TextRemoved { text: 2 }, Event::Moderation { .. }]
    ));
    let resume = circle::Resume { epoch: "e1".into(), revision: 6 };
    let back = stage.resume("ben", Role::Speaker, Some(resume));
    assert!(!bodies(&mut stage, back).iter().any(|body| body != "three"), "what was removed is not repeated");
    let newcomer = stage.connect("new", Role::Speaker);
    assert_eq!(stage.state(newcomer).texts.len(), 1);
    stage.ask(host, json!({"type": "change-room", "set": {"history": "none"}})).unwrap();
    stage.ask(ann, json!({"type": "write", "to": "everyone", "body": "four"})).unwrap();
    let newcomer = stage.connect("newer", Role::Speaker);
    assert!(stage.state(newcomer).texts.is_empty());
}

#[test]
fn texts_and_reactions_are_bounded() {
    let mut stage = Stage::new();
    let ann = stage.settle("ann", Role::Speaker);
    let long = "あ".repeat(2000);
    for (body, answer) in [
        (" \n ", Err("text-unreadable")),
        ("a\u{0}b", Err("text-unreadable")),
        (&format!("{long}い"), Err("text-too-long")),
        (&long, Ok(())),
        ("two\nlines", Ok(())),
    ] {
        let asked = stage.ask(ann, json!({"type": "write", "to": "everyone", "body": body}));
        assert_eq!(asked.map(|_| ()), answer);
    }
    for (reaction, fine) in
        [("👏", true), ("👩‍👩‍👧‍👦", true), ("hello", false), ("", false), ("👏👏👏👏👏👏👏👏👏", false)]
    {
        assert_eq!(
            stage.ask(ann, json!({"type": "react", "reaction": reaction})).is_ok(),
            fine,
            "{reaction}"
        );
    }
}

#[test]
fn stepping_away_shuts_everything_and_tells_nobody() {
    let mut stage = Stage::new();
    let host = stage.settle("host", Role::Host);
    let ann = stage.settle("ann", Role::Speaker);
    stage.ask(ann, json!({"type": "step-away", "away": true})).unwrap();
    let muted = |source| Effect::Mute { participant: id("ann"), source };
    assert_eq!(stage.orders(), [muted(Source::Microphone), muted(Source::Camera)]);
    assert_eq!(stage.events(ann), [Event::Away { away: true }]);
    assert!(stage.heard(host).is_empty());
    stage.input(Input::Closed { connection: ann });
    let again = stage.connect("ann", Role::Speaker);
    let state = stage.state(again);
    assert!(state.away && state.seats == [id("host"), id("ann")], "seat kept, and still away");
    stage.ask(again, json!({"type": "step-away", "away": false})).unwrap();
    assert!(stage.orders().is_empty(), "coming back opens nothing");
}

#[test]
fn one_person_cannot_flood_the_others() {
    let mut stage = Stage::new();
    let (ann, ben) = (stage.settle("ann", Role::Speaker), stage.settle("ben", Role::Speaker));
    let accepted =
        (0..100).filter(|_| stage.ask(ann, json!({"type": "react", "reaction": "👏"})).is_ok()).count();
    assert_eq!(accepted, 30);
    assert_eq!(stage.ask(ann, json!({"type": "raise-hand"})), Err("too-fast"));
    stage.input(Input::Closed { connection: ann });
    let ann = stage.connect("ann", Role::Speaker);
    assert_eq!(stage.ask(ann, json!({"type": "raise-hand"})), Err("too-fast"), "a new socket does not help");
    assert!(stage.ask(ben, json!({"type": "raise-hand"})).is_ok());
    stage.after(Duration::from_secs(1));
    assert!(stage.ask(ann, json!({"type": "raise-hand"})).is_ok());
}

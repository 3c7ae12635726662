//! Hands, text, reactions, stepping away.

use crate::stage::{Stage, id};
use circle::{Act, Effect, Event, Input, KeptText, Record, Role, Source};
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

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What the store was told to keep.
fn kept(stage: &mut Stage) -> Vec<KeptText> {
    let kept = |order| match order {
        Effect::KeepText(kept) => Some(kept),
        _ => None,
    };
    stage.orders().into_iter().filter_map(kept).collect()
}

#[test]
fn texts_that_are_kept_for_days_are_there_in_the_next_meeting_and_gone_after_their_day() {
    let settings: circle::Settings =
        serde_json::from_value(json!({"history": "days", "historyDays": 2})).unwrap();
    let mut first = Stage::with(settings.clone());
    let host = first.settle("host", Role::Host);
    let ann = first.settle("ann", Role::Speaker);
    for (from, to, body) in [
        (ann, json!("everyone"), "one"),
        (ann, json!("hosts"), "I need a hand"),
        (host, json!({"participant": "ann"}), "I am here"),
        (ann, json!("everyone"), "two"),
    ] {
        first.ask(from, json!({"type": "write", "to": to, "body": body})).unwrap();
    }
    let on_disk = kept(&mut first);
    let bodies: Vec<&str> = on_disk.iter().map(|kept| kept.text.body.as_str()).collect();
    assert_eq!(bodies, ["one", "two"], "private lines never");
    assert_eq!(on_disk[0].until, on_disk[0].text.at + 2 * 86_400_000);

    let mut second = Stage::with(settings);
    second.room.recall(on_disk);
    second.after(DAY);
    let host = second.connect("host", Role::Host);
    let numbers = |stage: &mut Stage, socket| -> Vec<u64> {
        stage.state(socket).texts.iter().map(|text| text.text).collect()
    };
    assert_eq!(numbers(&mut second, host), [1, 4]);
    second.ask(host, json!({"type": "write", "to": "everyone", "body": "three"})).unwrap();
    assert_eq!(kept(&mut second)[0].text.text, 5, "numbers go on");
    second.ask(host, json!({"type": "remove-text", "text": 1})).unwrap();
    assert_eq!(second.orders(), [Effect::ForgetText { text: 1 }]);
    second.heard(host);
    second.after(DAY);
    assert_eq!(second.events(host), [Event::TextRemoved { text: 4 }]);
    let newcomer = second.connect("new", Role::Listener);
    assert_eq!(numbers(&mut second, newcomer), [5]);
}

#[test]
fn a_shorter_promise_holds_at_once_and_a_longer_one_for_what_comes() {
    let mut stage =
        Stage::with(serde_json::from_value(json!({"history": "days", "historyDays": 9})).unwrap());
    let host = stage.settle("host", Role::Host);
    let write = json!({"type": "write", "to": "everyone", "body": "words"});
    stage.ask(host, write.clone()).unwrap();
    stage.after(DAY * 3);
    stage.ask(host, write.clone()).unwrap();
    stage.forget();
    stage.ask(host, json!({"type": "change-room", "set": {"historyDays": 2}})).unwrap();
    assert!(stage.orders().contains(&Effect::ShortenTexts { millis: 2 * 86_400_000 }));
    assert!(stage.events(host).contains(&Event::TextRemoved { text: 1 }));
    stage.ask(host, json!({"type": "change-room", "set": {"historyDays": 90}})).unwrap();
    stage.heard(host);
    stage.after(DAY * 2);
    assert_eq!(stage.events(host), [Event::TextRemoved { text: 2 }], "it was promised to be gone by now");

    stage.ask(host, write.clone()).unwrap();
    let on_disk = kept(&mut stage);
    let mut later = Stage::with(stage.room.settings().clone());
    later.room.recall(on_disk);
    let host = later.settle("host", Role::Host);
    later.ask(host, write).unwrap();
    later.forget();
    later.ask(host, json!({"type": "change-room", "set": {"history": "meeting"}})).unwrap();
    assert!(later.orders().contains(&Effect::ForgetTexts));
    let newcomer = later.connect("new", Role::Listener);
    assert_eq!(later.state(newcomer).texts.len(), 1, "this meeting's stay until it ends");
}

#[test]
fn what_is_kept_is_bounded_in_number_and_bytes() {
    let mut stage = Stage::with(serde_json::from_value(json!({"history": "days"})).unwrap());
    let host = stage.settle("host", Role::Host);
    let long = "花".repeat(circle::limits::TEXT_MAX);
    let (mut on_disk, mut most) = (std::collections::BTreeMap::new(), 0);
    for number in 0..circle::limits::TEXTS_MAX * 2 {
        let body = if number < 60 { long.clone() } else { number.to_string() };
        stage.ask(host, json!({"type": "write", "to": "everyone", "body": body})).unwrap();
        stage.after(Duration::from_secs(1));
        for order in stage.orders() {
            match order {
                Effect::KeepText(kept) => on_disk.insert(kept.text.text, kept.text.body.len()),
                Effect::ForgetText { text } => on_disk.remove(&text),
                other => panic!("{other:?}"),
            };
        }
        most = most.max(on_disk.values().sum());
    }
    assert_eq!(on_disk.len(), circle::limits::TEXTS_MAX);
    assert!(most <= circle::limits::TEXTS_BYTES_MAX && most > circle::limits::TEXTS_BYTES_MAX / 2, "{most}");
}

#[test]
fn what_no_longer_fits_is_forgotten_and_a_rule_that_is_said_again_is_written_again() {
    let mut stage = Stage::with(serde_json::from_value(json!({"history": "days"})).unwrap());
    let text = |number| circle::Text {
        text: number,
        from: circle::Identity::from("ann"),
        name: "Ann".to_owned(),
        to: circle::Addressee::Everyone,
        body: "words".to_owned(),
        at: stage.now.unix_millis,
    };
    let until = stage.now.unix_millis + 1_000_000;
    let most = u64::try_from(circle::limits::TEXTS_MAX).unwrap();
    stage.room.recall((1..=most + 2).map(|number| KeptText { text: text(number), until }).collect());
    let host = stage.connect("host", Role::Host);
    assert_eq!(stage.orders(), [Effect::ForgetText { text: 1 }, Effect::ForgetText { text: 2 }]);
    let rule = json!({"type": "change-room", "set": {"history": "meeting"}});
    stage.ask(host, rule.clone()).unwrap();
    stage.forget();
    stage.ask(host, rule).unwrap();
    let orders = stage.orders();
    assert!(matches!(orders.as_slice(), [Effect::KeepSettings(_), Effect::ForgetTexts, ..]), "{orders:?}");
}

#[test]
fn what_hosts_do_is_recorded_without_names_and_what_people_do_for_themselves_is_not() {
    let mut stage = Stage::new();
    let host = stage.settle("host", Role::Host);
    let cora = stage.settle("cora", Role::CoHost);
    let (ann, _) = (stage.settle("ann", Role::Speaker), stage.settle("ben", Role::Speaker));
    for command in [
        json!({"type": "raise-hand"}),
        json!({"type": "write", "to": "everyone", "body": "mine"}),
        json!({"type": "write", "to": "everyone", "body": "another"}),
        json!({"type": "remove-text", "text": 1}),
    ] {
        stage.ask(ann, command).unwrap();
    }
    assert_eq!(stage.ask(ann, json!({"type": "mute-all", "source": "camera"})), Err("not-allowed"));
    for (by, command) in [
        (host, json!({"type": "mute-all", "source": "microphone"})),
        (cora, json!({"type": "mute-all", "source": "microphone", "except": ["ben"]})),
        (cora, json!({"type": "lower-hands"})),
        (host, json!({"type": "remove-text", "text": 2})),
        (host, json!({"type": "change-room", "set": {"locked": true}})),
        (host, json!({"type": "remove", "participant": "ann", "ban": true})),
    ] {
        stage.ask(by, command).unwrap();
    }
    let record = |order| match order {
        Effect::Record(Record { act, by, people }) => Some((act, by, people)),
        _ => None,
    };
    let records: Vec<_> = std::mem::take(&mut stage.orders).into_iter().filter_map(record).collect();
    let (host, co_host) = (Some(Role::Host), Some(Role::CoHost));
    assert_eq!(
        records,
        [
            (Act::Mute, host, 3),
            (Act::Mute, co_host, 1),
            (Act::LowerHands, co_host, 1),
            (Act::RemoveText, host, 1),
            (Act::ChangeRoom, host, 0),
            (Act::Ban, host, 1),
        ]
    );
    stage.room.operate(stage.now, circle::Order::End).unwrap();
    let effects = std::iter::from_fn(|| stage.room.poll_effect()).collect::<Vec<_>>();
    assert!(effects.contains(&Effect::Record(Record { act: Act::End, by: None, people: 3 })));
}

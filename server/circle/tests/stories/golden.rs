//! The protocol's golden messages: every command and every message in the exact JSON that other programs see.

use crate::stage::{Stage, pass};
use circle::{Input, Resume, Role, decode_request};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

/// Every `type` that the server says.
const SAID: [&str; 27] = [
    "asked-to-unmute",
    "away",
    "caught-up",
    "changed",
    "closing",
    "elsewhere",
    "ended",
    "hands",
    "held",
    "joined",
    "knock-ended",
    "knocked",
    "left",
    "line",
    "moderation",
    "muted",
    "ok",
    "reaction",
    "refused",
    "removed",
    "seats",
    "settings",
    "spotlight",
    "state",
    "stopping",
    "text",
    "text-removed",
];

fn golden(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn every_golden_command_is_read_and_every_command_has_one() {
    let commands = golden("commands.json");
    for command in &commands {
        decode_request(&command.to_string()).unwrap_or_else(|_| panic!("{command}"));
    }
    let kinds: BTreeSet<&str> = commands.iter().map(|command| command["type"].as_str().unwrap()).collect();
    let source = include_str!("../../src/command.rs");
    let list = source.split("pub enum Command {").nth(1).unwrap().split("\n}").next().unwrap();
    let is_variant = |line: &&str| line.starts_with("    ") && line.as_bytes()[4].is_ascii_uppercase();
    assert_eq!(kinds.len(), list.lines().filter(is_variant).count());
}

/// Plays a meeting in which every kind of message occurs, and compares everything that was said to anybody.
#[test]
fn a_meeting_is_told_in_the_golden_words() {
    let mut stage = Stage::new();
    let host = stage.connect("host", Role::Host);
    let set = json!({"lobby": "guests", "question": "How are you?", "agreement": ["Be kind."],
        "handOver": {"rule": "close", "minutes": 5}});
    stage.ask(host, json!({"type": "change-room", "set": set})).unwrap();
    let ann = stage.connect("ann", Role::Speaker);
    stage.ask(ann, json!({"type": "agree", "version": 1})).unwrap();
    for command in [
        json!({"type": "tell-waiting", "participant": "ann", "line": "One moment."}),
        json!({"type": "admit", "participants": ["ann"]}),
    ] {
        stage.ask(host, command).unwrap();
    }
    stage.input(Input::MediaUp { pass: pass("ann", Role::Speaker) });
    for command in [
        json!({"type": "raise-hand"}),
        json!({"type": "write", "to": "everyone", "body": "Hello."}),
        json!({"type": "write", "to": "hosts", "body": "I need a hand."}),
        json!({"type": "remove-text", "text": 1}),
        json!({"type": "react", "reaction": "👏"}),
        json!({"type": "step-away", "away": true}),
    ] {
        stage.ask(ann, command).unwrap();
    }
    assert_eq!(stage.ask(ann, json!({"type": "end"})), Err("not-allowed"));
    stage.input(Input::Unreadable { connection: ann, id: None });
    for command in [
        json!({"type": "mute", "source": "microphone", "participants": ["ann"]}),
        json!({"type": "change-room", "set": {"microphones": "held"}}),
        json!({"type": "ask-to-unmute", "source": "microphone", "participants": ["ann"]}),
        json!({"type": "spotlight", "participants": ["ann"]}),
        json!({"type": "order-seats", "participants": ["ann", "host"]}),
    ] {
        stage.ask(host, command).unwrap();
    }
    let revision = stage.ask(host, json!({"type": "lower-hands"})).unwrap();
    let resume = Resume { epoch: "e1".into(), revision: revision - 2 };
    let host = stage.resume("host", Role::Host, Some(resume));
    let ben = stage.connect("ben", Role::Listener);
    stage.ask(ben, json!({"type": "agree", "version": 1})).unwrap();
    stage.ask(host, json!({"type": "admit", "participants": ["ben"]})).unwrap();
    stage.ask(host, json!({"type": "remove", "participant": "ann"})).unwrap();
    stage.ask(host, json!({"type": "leave"})).unwrap();
    let host = stage.connect("host", Role::Host);
    stage.ask(host, json!({"type": "end"})).unwrap();

    let mut other = Stage::new();
    other.connect("ann", Role::Speaker);
    other.after(Duration::from_secs(1));
    other.input(Input::Stop);

    let told: Vec<Value> = stage.said.into_iter().chain(other.said).collect();
    let kinds: BTreeSet<&str> = told.iter().map(|said| said["message"]["type"].as_str().unwrap()).collect();
    let missing: Vec<&str> = SAID.into_iter().filter(|kind| !kinds.contains(kind)).collect();
    assert!(missing.is_empty(), "the meeting never says {missing:?}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/meeting.json");
    if std::env::var_os("ENZA_GOLDEN").is_some() {
        let lines: Vec<String> = told.iter().map(Value::to_string).collect();
        std::fs::write(&path, format!("[\n{}\n]\n", lines.join(",\n"))).unwrap();
    }
    assert_eq!(told, golden("meeting.json"), "if the new words are right, write them with ENZA_GOLDEN=1");
}

//! `enza room`, `participant`, `ban` and `invite` as an operator types them: the real binary against a real server.
#![cfg(unix)]

mod common;

use common::{Daemon, PATIENCE, grants};
use enza::token::{ApiKey, TokenAuthority};
use futures_util::StreamExt as _;
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tokio::time::timeout;
use tokio_tungstenite::connect_async;

/// Runs the binary with this folder's data.
async fn enza(folder: &std::path::Path, language: &str, arguments: &[&str]) -> Output {
    let (folder, language): (PathBuf, String) = (folder.to_owned(), language.to_owned());
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    tokio::task::spawn_blocking(move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_enza"));
        command.current_dir(folder).args(arguments).env_clear().env("LANG", language).stdin(Stdio::null());
        command.output().unwrap()
    })
    .await
    .unwrap()
}

/// What it printed, once it ended well.
async fn said(daemon: &Daemon, arguments: &[&str]) -> String {
    let output = enza(daemon.folder.path(), "C", arguments).await;
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

async fn json(daemon: &Daemon, arguments: &[&str]) -> Value {
    let text = said(daemon, &[arguments, &["--json"]].concat()).await;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
}

/// The exit status and the one sentence.
async fn refused(daemon: &Daemon, arguments: &[&str]) -> (i32, String) {
    let output = enza(daemon.folder.path(), "C", arguments).await;
    let sentence = String::from_utf8(output.stderr).unwrap();
    assert_eq!(sentence.lines().count(), 1, "{arguments:?}: {sentence}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    (output.status.code().unwrap(), sentence)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rooms_life_from_the_command_line() {
    let daemon = Daemon::start().await;
    assert!(said(&daemon, &["room", "list"]).await.contains("no rooms"));
    let made = json(&daemon, &["room", "create", "Tuesday circle"]).await;
    let room = made["room"]["id"].as_str().unwrap();
    let links = format!("http://localhost:{}/join#", daemon.port());
    assert!(made["guestLink"].as_str().unwrap().starts_with(&links), "{made}");
    let text = said(&daemon, &["room", "create", "木曜の会"]).await;
    assert!(text.contains(&links) && text.contains('█'), "links and a code: {text}");
    let listed = json(&daemon, &["room", "list"]).await;
    assert_eq!(listed["rooms"].as_array().unwrap().len(), 2);
    let table = said(&daemon, &["room", "list"]).await;
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(table.contains("Tuesday circle") && table.contains("木曜の会") && table.starts_with("ROOM"));

    let close = r#"handOver={"rule":"close","minutes":5}"#;
    let change = ["room", "change", room, "--title", "Evening", "--set", "lobby=guests", "--set", close];
    let changed = json(&daemon, &[&change[..], &["--passphrase", "plum tree"]].concat()).await;
    assert_eq!(changed["name"], "Evening");
    assert_eq!(changed["settings"]["lobby"], "guests");
    assert_eq!(changed["settings"]["handOver"]["minutes"], 5);
    assert_eq!(changed["passphrase"], true);
    let without = json(&daemon, &["room", "change", room, "--no-passphrase"]).await;
    assert_eq!(without["passphrase"], false);
    let shown = said(&daemon, &["room", "show", room]).await;
    assert!(shown.contains("name: Evening\n") && shown.contains("  lobby: guests\n"), "{shown}");
    let export: Value = serde_json::from_str(&said(&daemon, &["room", "export", room]).await).unwrap();
    assert_eq!(export["invites"].as_array().unwrap().len(), 2);

    let (status, sentence) = refused(&daemon, &["room", "delete", room]).await;
    assert!(status == 2 && sentence.contains("--yes"), "{status} {sentence}");
    assert!(said(&daemon, &["room", "delete", room, "--yes"]).await.contains("Erased"));
    let (status, sentence) = refused(&daemon, &["room", "show", room]).await;
    assert!(status == 1 && sentence.contains("no room with this id"), "{status} {sentence}");
    let (status, sentence) = refused(&daemon, &["room", "change", room, "--set", "lobby"]).await;
    assert!(status == 2 && sentence.contains("KEY=VALUE"), "{status} {sentence}");
    let other = listed["rooms"][1]["id"].as_str().unwrap();
    for (wrong, reason) in
        [("lobby=nobody", "guests"), ("lopby=off", "lopby"), ("capacity=0", "out of its bounds")]
    {
        let (status, sentence) = refused(&daemon, &["room", "change", other, "--set", wrong]).await;
        assert!(status == 1 && sentence.contains(reason), "{status} {sentence}");
    }
    daemon.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_seen_moderated_banned_and_let_in_again() {
    let daemon = Daemon::start().await;
    let made = json(&daemon, &["room", "create", "Circle"]).await;
    let room = made["room"]["id"].as_str().unwrap();
    let (status, sentence) = refused(&daemon, &["participant", "remove", room, "ann"]).await;
    assert!(status == 1 && sentence.contains("Nobody is in this room"), "{sentence}");
    assert!(said(&daemon, &["participant", "list", room]).await.contains("Nobody"));
    let key = ApiKey::new("key".to_owned(), common::SECRET.to_owned()).unwrap();
    let token = TokenAuthority::new(&key).sign(&grants(room, "ann"), Duration::from_secs(600));
    let url = format!("ws://127.0.0.1:{}/api/rooms/{room}/circle?access_token={token}", daemon.port());
    let (mut socket, _) = timeout(PATIENCE, connect_async(url)).await.unwrap().unwrap();
    timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();

    let table = said(&daemon, &["participant", "list", room]).await;
    assert!(table.contains("ann") && table.contains("speaker") && table.contains("by text"), "{table}");
    said(&daemon, &["participant", "role", room, "ann", "listener"]).await;
    let listed = json(&daemon, &["participant", "list", room]).await;
    assert_eq!(listed["participants"][0]["role"], "listener");
    let (status, _) = refused(&daemon, &["participant", "admit", room, "ben"]).await;
    assert_eq!(status, 1, "nobody waits");
    assert_eq!(json(&daemon, &["participant", "remove", room, "ann", "--ban"]).await, serde_json::json!({}));
    let audit = said(&daemon, &["room", "audit", room]).await;
    assert!(audit.contains("operator") && audit.contains("set-role") && audit.contains("ban"), "{audit}");
    let banned = json(&daemon, &["ban", "list", room]).await;
    let ban = banned["bans"][0]["id"].to_string();
    assert!(said(&daemon, &["ban", "list", room]).await.contains(&ban));
    said(&daemon, &["ban", "lift", room, &ban]).await;
    assert!(said(&daemon, &["ban", "list", room]).await.contains("Nobody is banned"));
    let (status, sentence) = refused(&daemon, &["ban", "lift", room, &ban]).await;
    assert!(status == 1 && sentence.contains("no such ban"), "{sentence}");
    daemon.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_it_says_so_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let none = enza(folder.path(), "C", &["room", "list"]).await;
    let sentence = String::from_utf8(none.stderr).unwrap();
    assert_eq!(none.status.code(), Some(3), "{sentence}");
    assert!(sentence.contains("enza serve") && sentence.contains("--url"), "{sentence}");
    let japanese = enza(folder.path(), "ja_JP.UTF-8", &["room", "list"]).await;
    assert!(String::from_utf8(japanese.stderr).unwrap().contains("動いていません"));

    let daemon = Daemon::start().await;
    let key = std::fs::read_to_string(daemon.config.data.join("operator-key")).unwrap();
    let url = format!("http://127.0.0.1:{}", daemon.port());
    let elsewhere = ["room", "list", "--json", "--url", &url];
    let keyless = enza(folder.path(), "C", &elsewhere).await;
    assert_eq!(keyless.status.code(), Some(2), "another server's key is not guessed");
    let other = enza(folder.path(), "C", &[&elsewhere[..], &["--key", key.trim()]].concat()).await;
    assert!(other.status.success(), "{}", String::from_utf8_lossy(&other.stderr));
    let wrong = enza(folder.path(), "C", &[&elsewhere[..], &["--key", "enza-operator-x"]].concat()).await;
    assert_eq!(wrong.status.code(), Some(1));

    // A killed server leaves its file behind.
    let running = daemon.config.data.join("running.toml");
    let left = std::fs::read(&running).unwrap();
    daemon.server.stop().await;
    assert!(!running.exists());
    std::fs::write(&running, left).unwrap();
    // Somebody else listens on its port now.
    let stranger = std::net::TcpListener::bind(url.trim_start_matches("http://")).unwrap();
    stranger.set_nonblocking(true).unwrap();
    let gone = enza(daemon.folder.path(), "C", &["room", "list"]).await;
    assert_eq!(gone.status.code(), Some(3), "{}", String::from_utf8_lossy(&gone.stderr));
    assert!(stranger.accept().is_err(), "and nobody gets the key");
    drop(stranger);
    let wrong_url = enza(folder.path(), "C", &[&elsewhere[..], &["--key", "k"]].concat()).await;
    let sentence = String::from_utf8(wrong_url.stderr).unwrap();
    assert!(wrong_url.status.code() == Some(3) && sentence.contains(&url), "{sentence}");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_https_the_certificate_of_the_running_server_is_the_one_that_is_trusted() {
    let daemon = Daemon::start_with(|settings| {
        settings.lan = Some(true);
        settings.bind = Some("127.0.0.1".parse().unwrap());
    })
    .await;
    let made = json(&daemon, &["room", "create", "Circle"]).await;
    assert!(made["guestLink"].as_str().unwrap().starts_with("https://localhost:"), "{made}");
    let running = daemon.config.data.join("running.toml");
    let text = std::fs::read_to_string(&running).unwrap();
    let (before, digest) = text.split_once("certificate = \"").unwrap();
    let other = if digest.starts_with('0') { '1' } else { '0' };
    std::fs::write(&running, format!("{before}certificate = \"{other}{}", &digest[1..])).unwrap();
    let (status, _) = refused(&daemon, &["room", "list"]).await;
    assert_eq!(status, 3, "somebody else's certificate gets no key");
    daemon.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invites_are_printed_as_links_and_listed_for_programs() {
    let daemon = Daemon::start().await;
    let made = json(&daemon, &["invite", "create", "--role", "co-host", "--max-uses", "2"]).await;
    let link = made["link"].as_str().unwrap();
    let (base, secret) = link.split_once("/join#").unwrap();
    assert_eq!(base, format!("http://localhost:{}", daemon.port()));
    let asked = daemon.post("/api/invite", &format!(r#"{{"invite":"{secret}"}}"#)).await.json();
    assert_eq!(asked["role"], "co-host");
    let text = said(&daemon, &["invite", "create"]).await;
    assert!(text.starts_with(base) && text.contains('█'), "{text}");
    let id = made["id"].to_string();
    assert_eq!(json(&daemon, &["invite", "revoke", &id]).await, serde_json::json!({}));
    let room = made["room"].as_str().unwrap();
    let listed = json(&daemon, &["invite", "list", "--room", room]).await;
    let states: Vec<&str> =
        listed["invites"].as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["revoked", "open"]);
    daemon.server.stop().await;
}

//! `enza doctor` beside a server that runs, and where none does: the real binary.
#![cfg(target_os = "linux")]

mod common;

use common::Daemon;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, Output, Stdio};

async fn doctor(folder: &Path, language: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_enza"));
    command.current_dir(folder).arg("doctor").args(arguments).env_clear();
    command.env("LANG", language).env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// Each check's verdict and what was said.
fn read(output: &Output) -> BTreeMap<String, (String, String)> {
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let checks = all["checks"].as_array().unwrap();
    for one in checks {
        let needs = one["verdict"] != "ok" && one["check"] != "settings";
        assert!(!needs || one["do"].is_string(), "no next step: {one}");
    }
    checks.iter().map(|one| (text(&one["check"]), (text(&one["verdict"]), text(&one["what"])))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_server_its_ports_are_asked() {
    let daemon = Daemon::start().await;
    let output = doctor(daemon.folder.path(), "C", &["--json"]).await;
    let found = read(&output);
    for check in ["version", "settings", "server", "udp", "certificate"] {
        assert_eq!(found[check].0, "ok", "{check}: {}", found[check].1);
    }
    for check in ["clock", "disk", "memory", "files", "gso", "buffers"] {
        assert!(found.contains_key(check), "{check}");
    }
    let port = daemon.port().to_string();
    assert!(found["server"].1.contains(&port) && found["udp"].1.contains(&port), "{found:?}");
    assert_eq!(output.status.success(), !found.values().any(|(verdict, _)| verdict == "bad"));
    daemon.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_made_certificate_is_known_as_that() {
    let daemon = Daemon::start_with(|settings| settings.lan = Some(true)).await;
    let folder = daemon.folder.path();
    let found = read(&doctor(folder, "C", &["--json", "--lan"]).await);
    assert_eq!(found["server"].0, "ok", "{}", found["server"].1);
    assert!(found["certificate"].0 == "warn" && found["certificate"].1.contains("36"), "{found:?}");
    daemon.server.stop().await;
    // What would be shown is read from the file.
    let found = read(&doctor(folder, "C", &["--json", "--lan", "--port", "0"]).await);
    assert_eq!((found["server"].0.as_str(), found["certificate"].0.as_str()), ("warn", "warn"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_has_a_next_step_in_both_languages_and_an_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let wrong = ["--port", &port, "--host", "nothing.invalid"];
    for (language, bad, step) in [("C", "BAD ", "A record"), ("ja_JP.UTF-8", "だめ", "A (IPv6")] {
        let output = doctor(folder.path(), language, &wrong).await;
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        let lines = said.lines().filter(|line| line.starts_with(bad));
        assert_eq!(
            lines.filter(|line| line.contains(&port) || line.contains("nothing.invalid")).count(),
            2,
            "{said}"
        );
        assert!(said.contains(step), "{said}");
    }
    assert!(!folder.path().join("data").exists(), "it made nothing");
}

/// Says that it sees everybody at this address; `shift` is added to the port.
fn seer(address: [u8; 4], shift: u16) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = socket.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        for _ in 0..20 {
            let Ok((length, from)) = socket.recv_from(&mut buffer) else { return };
            let Some(transaction) = buffer[..length].get(8..20) else { continue };
            let cookie = [0x21, 0x12, 0xa4, 0x42];
            let mut answer = vec![1, 1, 0, 12, 0x21, 0x12, 0xa4, 0x42];
            answer.extend_from_slice(transaction);
            answer.extend_from_slice(&[0, 0x20, 0, 8, 0, 1]);
            answer.extend_from_slice(&(from.port().wrapping_add(shift) ^ 0x2112).to_be_bytes());
            answer.extend(address.iter().zip(cookie).map(|(byte, cookie)| byte ^ cookie));
            let _ = socket.send_to(&answer, from);
        }
    });
    at
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kind_of_nat_is_told_by_what_others_see() {
    let folder = tempfile::tempdir().unwrap();
    let seen = [203, 0, 113, 9];
    let look = async |first: &str, second: Option<&str>, announce: Option<&str>| {
        let mut arguments = vec!["--json", "--plain-http", "--bind", "0.0.0.0", "--stun-server", first];
        arguments.extend(second.map(|second| ["--second-stun", second]).into_iter().flatten());
        arguments.extend(announce.map(|told| ["--announce", told]).into_iter().flatten());
        read(&doctor(folder.path(), "C", &arguments).await)["address"].clone()
    };
    let (as_it_is, again, shifted) = (seer(seen, 0), seer(seen, 0), seer(seen, 7));
    let (verdict, what) = look(&as_it_is, Some(&again), None).await;
    assert!(verdict == "ok" && what.contains("203.0.113.9"), "the server asks by itself: {what}");
    let (verdict, what) = look(&as_it_is, None, Some("192.0.2.1")).await;
    assert!(verdict == "bad" && what.contains("203.0.113.9"), "another address is announced: {what}");
    let (verdict, what) = look(&shifted, None, Some("203.0.113.9")).await;
    assert!(verdict == "warn" && what.contains("changes ports"), "{what}");
    let (verdict, what) = look(&as_it_is, Some(&shifted), Some("203.0.113.9")).await;
    assert!(verdict == "warn" && what.contains("symmetric"), "{what}");
    let own = look(&seer([127, 0, 0, 1], 0), None, None).await;
    assert!(own.0 == "ok" && own.1.contains("127.0.0.1"), "{}", own.1);
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = silent.local_addr().unwrap().to_string();
    let arguments = ["--json", "--plain-http", "--bind", "0.0.0.0", "--stun-server", &at];
    let output = doctor(folder.path(), "C", &arguments).await;
    assert!(String::from_utf8(output.stdout).unwrap().contains(&format!("{at} does not say")));
}

//! The program as an operator meets it: exit codes, sentences, signals, files, and what its log keeps to itself.
#![cfg(unix)]

mod common;

use common::parse;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn enza(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_enza"));
    command.current_dir(folder).args(arguments).env_clear().env("LANG", "en_GB.UTF-8");
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    enza(folder, arguments).stdin(Stdio::null()).output().unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

/// A started program; killed when the test fails before it stopped it.
struct Running {
    child: Child,
    port: u16,
    welcome: String,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut welcome = String::new();
        // The last line of the welcome says how far the links reach.
        while let Some(Ok(line)) = lines.next() {
            welcome += &line;
            welcome.push('\n');
            if line.contains("--lan") || line.contains("localhost.") || line.contains("certs/README.md") {
                break;
            }
        }
        let port = welcome
            .split("//localhost:")
            .nth(1)
            .and_then(|rest| rest.split('/').next())
            .and_then(|port| port.parse().ok())
            .unwrap_or_else(|| panic!("no port in {welcome:?}"));
        Self { child, port, welcome }
    }

    fn links(&self) -> Vec<&str> {
        self.welcome.lines().map(str::trim).filter(|line| line.contains("/join#")).collect()
    }

    /// SIGTERM; returns the exit code, the time it took and the log.
    fn terminate(mut self) -> (Option<i32>, Duration, String) {
        let begun = Instant::now();
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "it does not stop");
            std::thread::sleep(Duration::from_millis(10));
        };
        let took = begun.elapsed();
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (status.code(), took, log)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ask(port: u16, request: &str) -> common::Answer {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut raw = Vec::new();
    stream.read_to_end(&mut raw).unwrap();
    parse(&raw)
}

#[test]
fn it_serves_prints_the_same_links_again_and_stops_within_5_s() {
    let folder = tempfile::tempdir().unwrap();
    let first = Running::start(enza(folder.path(), &["--port", "0"]));
    let head = ask(first.port, "HEAD / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    assert_eq!(head.status, 200);
    let port = first.port.to_string();
    let health = run(folder.path(), &["health", "--port", &port]);
    assert!(health.status.success(), "{}", stderr(&health));
    let secret = |links: &[&str]| -> Vec<String> {
        links.iter().map(|link| link.split('#').nth(1).unwrap().to_owned()).collect()
    };
    let before = secret(&first.links());
    assert_eq!(before.len(), 2, "{}", first.welcome);
    assert!(first.welcome.contains('█'), "a QR code");
    let body = format!(r#"{{"invite":"{}"}}"#, before[0]);
    let asked = ask(
        first.port,
        &format!(
            "POST /api/invite HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ),
    );
    assert_eq!(asked.json()["role"], "host");
    // An open connection that asks nothing must not hold the program up.
    let _idle = TcpStream::connect(("127.0.0.1", first.port)).unwrap();
    let (code, took, _) = first.terminate();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
    let health = run(folder.path(), &["health", "--port", &port]);
    assert_eq!(health.status.code(), Some(1));
    assert_eq!(stderr(&health).lines().count(), 1, "{}", stderr(&health));

    let again = Running::start(enza(folder.path(), &["serve", "--port", "0"]));
    assert_eq!(secret(&again.links()), before);
    again.terminate();

    let listed = run(folder.path(), &["invite", "list"]);
    assert_eq!(stdout(&listed).lines().count(), 2, "{}", stdout(&listed));
    let create = ["invite", "create", "--role", "listener", "--opens-in", "2h", "--expires", "7d"];
    assert!(run(folder.path(), &create).status.success());
    let listed = run(folder.path(), &["invite", "list"]);
    let third = stdout(&listed).lines().nth(2).map(str::to_owned).unwrap_or_default();
    assert!(third.contains("listener") && third.contains("not yet"), "{third}");
    assert!(run(folder.path(), &["invite", "revoke", "2"]).status.success());
    let third = Running::start(enza(folder.path(), &["--port", "0"]));
    let after = secret(&third.links());
    assert_eq!(after[0], before[0]);
    assert_ne!(after[1], before[1], "a revoked link is replaced");
    third.terminate();
}

#[test]
fn the_welcome_speaks_japanese() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = enza(folder.path(), &["--port", "0"]);
    command.env("LANG", "ja_JP.UTF-8");
    let running = Running::start(command);
    assert!(running.welcome.contains("参加する 人用"), "{}", running.welcome);
    running.terminate();
}

#[test]
fn a_port_in_use_is_one_sentence() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["--port", &port]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output).trim();
    assert!(said.contains(&port) && said.contains("--port") && said.lines().count() == 1, "{said}");

    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = run(folder.path(), &["--port", &port]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&port), "the UDP port counts too: {}", stderr(&output));
}

#[test]
fn an_unusable_data_folder_is_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("data"), "a file").unwrap();
    let output = run(folder.path(), &["--port", "0"]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output).trim();
    assert!(said.contains("data") && said.lines().count() == 1, "{said}");
}

#[test]
fn wrong_settings_end_with_code_2_and_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("enza.toml"), "prot = 7880\n").unwrap();
    let output = run(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("did you mean \"port\"?"), "{}", stderr(&output));

    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["--api-key", "k", "--api-secret", "secret"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("at least 32"), "{}", stderr(&output));

    let output = run(folder.path(), &["--prot", "1"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--port"), "{}", stderr(&output));
}

#[test]
fn a_printed_token_opens_the_server_of_the_same_folder() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(
        folder.path(),
        &["token", "--room", "a", "--identity", "ann", "--name", "Ann", "--ttl", "30m", "--no-publish"],
    );
    assert!(output.status.success(), "{}", stderr(&output));
    let token = stdout(&output).trim().to_owned();
    let running = Running::start(enza(folder.path(), &["--port", "0"]));
    let request = |token: &str| {
        format!(
            "GET /rtc/v1/validate HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             authorization: Bearer {token}\r\n\r\n"
        )
    };
    let answer = ask(running.port, &request(&token));
    assert_eq!((answer.status, answer.text()), (200, "success"));
    let other = tempfile::tempdir().unwrap();
    let output = run(other.path(), &["token", "--room", "a", "--identity", "ann"]);
    let answer = ask(running.port, &request(stdout(&output).trim()));
    assert_eq!(answer.status, 401, "another folder has another key: {}", answer.text());
    running.terminate();
}

/// A small load against a server with these flags; what it printed as JSON.
#[cfg(target_os = "linux")]
fn load_report(serving: &[&str], rooms: &str) -> serde_json::Value {
    let key = ["--api-key", "devkey", "--api-secret", "a secret for tests that is long enough"];
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(enza(folder.path(), &[&["--port", "0"], serving, &key[..]].concat()));
    let url = format!("http://127.0.0.1:{}", running.port);
    let small = ["load", "--url", &url, "--rooms", rooms, "--participants", "2", "--video-kbps", "100"];
    let output = run(folder.path(), &[&small[..], &["--duration", "1s", "--json"], &key[..]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    running.terminate();
    serde_json::from_str(stdout(&output)).unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn the_load_command_hears_every_packet_of_a_small_room() {
    let report = load_report(&[], "1");
    assert_eq!(report["participants"]["tracks_heard"], 4, "{report}");
    assert!(report["packets"]["received"].as_u64().unwrap() > 50, "{report}");

    let folder = tempfile::tempdir().unwrap();
    let key = ["--api-key", "devkey", "--api-secret", "a secret for tests that is long enough"];
    let output = run(folder.path(), &[&["load", "--participants", "1"], &key[..]].concat());
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

/// The kernel deals the twelve participants' packets out to four sockets, whichever thread their room is on.
#[cfg(target_os = "linux")]
#[test]
fn rooms_on_several_media_threads_hear_every_packet() {
    let report = load_report(&["--media-threads", "4"], "6");
    assert_eq!(report["participants"]["tracks_heard"], 24, "{report}");
    assert_eq!(report["packets"]["lost"], 0, "{report}");
    assert!(report["packets"]["received"].as_u64().unwrap() > 300, "{report}");
}

#[test]
fn on_the_https_port_plain_http_is_sent_on() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(enza(folder.path(), &["--bind", "127.0.0.1", "--lan", "--port", "0"]));
    assert!(running.welcome.contains("https://localhost:"), "{}", running.welcome);
    let answer =
        ask(running.port, "GET /join?x=1 HTTP/1.1\r\nhost: localhost:1234\r\nconnection: close\r\n\r\n");
    assert_eq!(answer.status, 308);
    assert_eq!(answer.header("location"), Some("https://localhost:1234/join?x=1"));
    assert!(folder.path().join("certs/enza-dev-authority.pem").is_file());
    running.terminate();
}

/// Design, invariant 8, for what this crate can see: the log of a run with a join, at every level but `trace`.
#[test]
fn the_log_keeps_addresses_names_tokens_and_invites_to_itself() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = enza(folder.path(), &["--port", "0"]);
    command.env("RUST_LOG", "debug");
    let running = Running::start(command);
    let secret = running.links()[0].split('#').nth(1).unwrap().to_owned();
    let body = format!(r#"{{"invite":"{secret}","name":"Quirinus Kwak"}}"#);
    let joined = ask(
        running.port,
        &format!(
            "POST /api/join HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ),
    );
    let token = joined.json()["token"].as_str().unwrap().to_owned();
    let identity = joined.json()["identity"].as_str().unwrap().to_owned();
    for path in ["/rtc/v1/validate", "/rtc/v1"] {
        ask(
            running.port,
            &format!(
                "GET {path}?access_token={token} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
            ),
        );
    }
    ask(running.port, "GET /rtc/v1/validate?access_token=x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let (_, _, log) = running.terminate();
    assert!(log.contains("serving") && log.contains("DEBUG"), "the log is on: {log}");
    for private in [secret.as_str(), &token, &identity, "Quirinus", "127.0.0.1"] {
        assert!(!log.contains(private), "{private} stands in the log:\n{log}");
    }
}

#[test]
fn a_check_says_everything_that_stands_in_the_way_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let fine = run(folder.path(), &["serve", "--check", "--port", "0"]);
    assert!(fine.status.success(), "{}", stderr(&fine));
    assert!(stdout(&fine).contains("Nothing stands in the way"), "{}", stdout(&fine));
    assert!(!folder.path().join("data").exists(), "it made nothing");

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    std::fs::write(folder.path().join("data"), "a file").unwrap();
    std::fs::write(folder.path().join("c.pem"), "none").unwrap();
    let both = ["--cert", "c.pem", "--key", "c.pem"];
    let wrong = run(folder.path(), &[&["serve", "--check", "--port", &port][..], &both].concat());
    assert_eq!(wrong.status.code(), Some(1));
    let said = stderr(&wrong);
    assert!(said.lines().count() == 3 && said.contains(&port), "{said}");
    assert!(said.contains("c.pem") && said.contains("data folder"), "{said}");
    assert!(stdout(&wrong).is_empty());
    let settings = run(folder.path(), &["--check", "--cert", "c.pem"]);
    assert_eq!(settings.status.code(), Some(2), "{}", stderr(&settings));

    std::fs::remove_file(folder.path().join("data")).unwrap();
    let running = Running::start(enza(folder.path(), &["--port", "0"]));
    let port = running.port.to_string();
    let beside = run(folder.path(), &["serve", "--check", "--port", &port]);
    assert!(beside.status.success() && stdout(&beside).contains("A server runs"), "{}", stderr(&beside));
}

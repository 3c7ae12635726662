//! How the server looks from a device: the socket of the page `/doctor`, its bounds, and the report that `enza doctor` waits for.
#![cfg(target_os = "linux")]

mod common;

use common::{Daemon, PATIENCE, ask};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

type Line = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn come(daemon: &Daemon) -> Line {
    let address = format!("ws://127.0.0.1:{}/doctor/line", daemon.port());
    timeout(PATIENCE, connect_async(address)).await.unwrap().unwrap().0
}

async fn say(line: &mut Line, message: Value) {
    line.send(Message::text(message.to_string())).await.unwrap();
}

/// What comes next; when it is the end, its code.
async fn hear(line: &mut Line) -> Value {
    match timeout(PATIENCE, line.next()).await.unwrap() {
        Some(Ok(Message::Text(text))) => serde_json::from_str(&text).unwrap(),
        Some(Ok(Message::Close(frame))) => json!({"closed": frame.map(|frame| u16::from(frame.code))}),
        other => panic!("{other:?}"),
    }
}

fn operator_key(daemon: &Daemon) -> String {
    std::fs::read_to_string(daemon.config.data.join("operator-key")).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_told_the_time_and_what_two_ports_see() {
    let daemon = Daemon::start().await;
    let mut line = come(&daemon).await;
    let hello = hear(&mut line).await;
    assert_eq!((&hello["type"], &hello["certificate"]), (&json!("hello"), &json!("none")));
    assert_eq!(hello["iceServers"], json!([]), "none on this computer");
    assert!(hello["port"].as_u64().is_some_and(|port| port > 0), "of sound and picture: {hello}");
    say(&mut line, json!({"type": "ping"})).await;
    let pong = hear(&mut line).await;
    assert!(pong["unixMillis"].as_u64().unwrap() >= hello["unixMillis"].as_u64().unwrap());
    say(&mut line, json!({"type": "second"})).await;
    assert_eq!(hear(&mut line).await, json!({"type": "second", "udp": [], "tcp": false}));

    let port = |kind: &str| u16::try_from(hello["second"][kind].as_u64().unwrap()).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let own: SocketAddr = socket.local_addr().unwrap();
    socket.send_to(&turn::binding_request([5; 12]), ("127.0.0.1", port("udp"))).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut buffer = [0; 200];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    assert_eq!((from.port(), turn::mapped_address(&buffer[..length], [5; 12])), (port("udp"), Some(own)));
    let _connected = TcpStream::connect(("127.0.0.1", port("tcp"))).await.unwrap();
    let mut seen = Value::Null;
    for _ in 0..50 {
        say(&mut line, json!({"type": "second"})).await;
        seen = hear(&mut line).await;
        if seen["tcp"] == true {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(seen, json!({"type": "second", "udp": [own.to_string()], "tcp": true}));
    say(&mut line, json!({"type": "reached", "address": own.to_string()})).await;
    assert_eq!(
        socket.recv_from(&mut buffer).unwrap().1.port(),
        port("udp"),
        "it knocks where the visitor is"
    );
    let other = UdpSocket::bind("127.0.0.2:0").unwrap();
    other.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    say(&mut line, json!({"type": "reached", "address": other.local_addr().unwrap().to_string()})).await;
    say(&mut line, json!({"type": "ping"})).await;
    assert_eq!(hear(&mut line).await["type"], "pong");
    assert!(other.recv_from(&mut buffer).is_err(), "and at nobody else's address");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_looks_has_bounds() {
    let daemon = Daemon::start().await;
    let mut first = come(&daemon).await;
    hear(&mut first).await;
    say(&mut first, json!({"type": "offer", "id": 7, "sdp": "m=audio 9 UDP/TLS/RTP/SAVPF 96\r\n"})).await;
    assert_eq!(hear(&mut first).await, json!({"type": "refused", "id": 7}), "media is not for strangers");
    for id in 0..6 {
        say(&mut first, json!({"type": "offer", "id": id, "sdp": "no offer"})).await;
    }
    let mut refused = Vec::new();
    for _ in 0..6 {
        let said = hear(&mut first).await;
        assert_eq!(said["type"], "refused");
        refused.push(said["id"].as_u64().unwrap());
    }
    refused.sort_unstable();
    assert_eq!(refused, [0, 1, 2, 3, 4, 5], "those that come together wait for each other, and none is lost");
    let mut others = vec![come(&daemon).await, come(&daemon).await];
    for other in &mut others {
        assert_eq!(hear(other).await["type"], "hello");
    }
    assert_eq!(hear(&mut come(&daemon).await).await, json!({"closed": 1013}), "three of one address");
    say(&mut others[0], json!({"type": "open sesame"})).await;
    assert_eq!(hear(&mut others[0]).await, json!({"closed": 1008}));
    others[1].send(Message::text("x".repeat(9000))).await.unwrap();
    assert!(!matches!(timeout(PATIENCE, others[1].next()).await.unwrap(), Some(Ok(Message::Text(_)))));
    for _ in 0..64 {
        let _ = first.send(Message::text(json!({"type": "ping"}).to_string())).await;
    }
    let mut last = Value::Null;
    while last["closed"].is_null() {
        last = hear(&mut first).await;
    }
    assert_eq!(last, json!({"closed": 1008}), "so many messages and no more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_taken_under_the_operator_s_word_alone() {
    let daemon = Daemon::start().await;
    let report = json!({"verdict": "open", "summary": "All ways are open", "lines": []});
    let stranger = json!({"word": "a".repeat(22), "report": report}).to_string();
    assert_eq!(daemon.post("/doctor/reports", &stranger).await.status, 404);
    assert_eq!(daemon.post("/doctor/words", "").await.status, 401);
    assert_eq!(daemon.get(&format!("/doctor/reports/{}", "a".repeat(22)), &[]).await.status, 401);
    let key = format!("Bearer {}", operator_key(&daemon));
    let authority = [("authorization", key.as_str())];
    let made = ask(daemon.port(), "POST", "/doctor/words", &authority, "").await.json();
    let word = made["word"].as_str().unwrap();
    let path = format!("/doctor/reports/{word}");
    assert_eq!(daemon.get(&path, &authority).await.status, 204, "not yet");
    let mut escaping = report.clone();
    escaping["summary"] = json!("\u{1b}[2J");
    for wrong in [json!({"word": word, "report": escaping}), json!({"word": word})] {
        assert_eq!(daemon.post("/doctor/reports", &wrong.to_string()).await.status, 400);
    }
    let told = json!({"word": word, "report": report}).to_string();
    assert_eq!(daemon.post("/doctor/reports", &told).await.status, 204);
    assert_eq!(daemon.post("/doctor/reports", &told).await.status, 404, "once");
    for _ in 0..2 {
        assert_eq!(daemon.get(&path, &authority).await.json(), report, "an answer may be lost");
    }
    assert_eq!(daemon.get(&path, &[]).await.status, 401, "the word alone reads nothing");
    for _ in 0..25 {
        daemon.post("/doctor/reports", &stranger).await;
    }
    assert_eq!(daemon.post("/doctor/reports", &stranger).await.status, 429, "guesses are counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_shows_a_link_and_prints_what_a_phone_tells() {
    let daemon = Daemon::start().await;
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_enza"))
        .current_dir(daemon.folder.path())
        .args(["doctor", "--json", "--outside"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut shown = BufReader::new(doctor.stderr.take().unwrap());
    let link = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        while !line.contains("/doctor#") {
            line.clear();
            assert_ne!(shown.read_line(&mut line).unwrap(), 0, "no link");
        }
        line
    });
    let link = timeout(PATIENCE * 3, link).await.unwrap().unwrap();
    let word = link.trim().split_once("/doctor#").unwrap().1;
    let report = json!({"verdict": "no-udp", "summary": "UDP is blocked: sound goes over TCP", "lines": [
        {"check": "udp", "verdict": "warn", "what": "UDP port 443 does not get through.", "do": "Open it."},
        {"check": "nat", "verdict": "unknown", "what": "The kind of NAT is not known.", "do": null},
    ]});
    let told = daemon.post("/doctor/reports", &json!({"word": word, "report": report}).to_string()).await;
    assert_eq!(told.status, 204);
    let mut stdout = doctor.stdout.take().unwrap();
    let printed = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).unwrap();
        doctor.wait().unwrap();
        text
    });
    let printed: Value = serde_json::from_str(&timeout(PATIENCE, printed).await.unwrap().unwrap()).unwrap();
    let find = |check: &str| {
        printed["checks"].as_array().unwrap().iter().find(|line| line["check"] == check).unwrap()
    };
    assert_eq!(find("outside")["situation"], "no-udp");
    assert_eq!(find("outside-udp")["verdict"], "warn");
    assert_eq!(find("outside-udp")["do"], "Open it.");
    assert_eq!(find("outside-nat")["verdict"], "ok");
    assert_eq!(find("server")["verdict"], "ok", "its own lines stand beside");
}

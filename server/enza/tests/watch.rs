//! What programs that watch a server read: whether it lives, whether it is ready, and its figures.

mod common;

use common::{Answer, Daemon, PATIENCE, ask, token};
use enza::config::Settings;
use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

async fn figures(daemon: &Daemon) -> Answer {
    daemon.get("/metrics", &[("authorization", &operator(daemon))]).await
}

fn operator(daemon: &Daemon) -> String {
    let key = std::fs::read_to_string(daemon.config.data.join("operator-key")).unwrap();
    format!("Bearer {}", key.trim())
}

/// Each line's value by its name and labels.
fn values(answer: &Answer) -> BTreeMap<String, f64> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let lines = answer.text().lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_lives_is_ready_and_says_why_when_it_is_not() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let daemon = Daemon::start_with(|settings: &mut Settings| settings.metrics_bind = Some(free)).await;
    assert_eq!(daemon.get("/healthz", &[]).await.text(), "ok\n");
    let ready = daemon.get("/readyz", &[]).await;
    assert_eq!((ready.status, ready.text()), (200, "ready\n"));
    assert_eq!(ready.header("cache-control"), Some("no-store"));
    // A writer that never ends: the server's own writes wait for it, and give up.
    let path = daemon.config.data.join("enza.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut other = <sqlx::SqliteConnection as sqlx::Connection>::connect_with(&options).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    // The answer before it counts for a moment.
    tokio::time::sleep(std::time::Duration::from_millis(5100)).await;
    let not = daemon.get("/readyz", &[]).await;
    assert_eq!((not.status, not.text()), (503, "not ready\n"), "why is nobody else's business");
    let private = ask(free.port(), "GET", "/readyz", &[], "").await;
    for why in [daemon.get("/readyz", &[("authorization", &operator(&daemon))]).await, private] {
        assert_eq!((why.status, why.text()), (503, "not ready: the database takes no writes\n"));
    }
    assert_eq!(daemon.get("/healthz", &[]).await.status, 200, "it lives all the same");
    assert_eq!(values(&figures(&daemon).await)["enza_ready"], 0.0);
    daemon.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_figures_are_the_operators() {
    let daemon = Daemon::start().await;
    let stranger = daemon.get("/metrics", &[]).await;
    assert_eq!((stranger.status, stranger.json()["code"].as_str()), (401, Some("key-needed")));
    let host = format!("Bearer {}", token("room", "ann"));
    assert_eq!(daemon.get("/metrics", &[("authorization", &host)]).await.status, 401);
    let answer = figures(&daemon).await;
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let figures = values(&answer);
    assert_eq!(figures[r#"enza_http_requests_total{route="operation",status="4xx"}"#], 2.0);
    daemon.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_of_its_own_needs_no_key_and_serves_nothing_else() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let daemon = Daemon::start_with(|settings: &mut Settings| settings.metrics_bind = Some(free)).await;
    assert_eq!(ask(free.port(), "GET", "/metrics", &[], "").await.status, 200);
    assert_eq!(ask(free.port(), "GET", "/readyz", &[], "").await.status, 200);
    for other in ["/", "/api/server", "/api/rooms", "/rtc/v1"] {
        assert_eq!(ask(free.port(), "GET", other, &[], "").await.status, 404, "{other}");
    }
    daemon.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_in_and_who_does_not_is_counted_and_nobody_is_named() {
    let daemon = Daemon::start().await;
    let wrong = daemon.post("/api/join", r#"{"invite": "nothing", "name": "Somebody"}"#).await;
    assert_eq!(wrong.status, 404);
    let url = format!("ws://127.0.0.1:{}/api/rooms/secret-room/circle", daemon.port());
    let connect = async |token: &str| {
        let mut request = url.as_str().into_client_request().unwrap();
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        tokio::time::timeout(PATIENCE, connect_async(request)).await.unwrap()
    };
    assert!(connect("forged").await.is_err());
    let (ann, _) = connect(&token("secret-room", "ann-identity")).await.unwrap();
    let (ben, _) = connect(&token("secret-room", "ben-identity")).await.unwrap();
    let mut seen = values(&figures(&daemon).await);
    for _ in 0..100 {
        if seen["enza_participants"] == 2.0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        seen = values(&figures(&daemon).await);
    }
    for (name, value) in [
        ("enza_participants", 2.0),
        ("enza_rooms", 1.0),
        ("enza_joins_total", 2.0),
        (r#"enza_join_refusals_total{reason="invite-unknown"}"#, 1.0),
        (r#"enza_join_refusals_total{reason="token"}"#, 1.0),
        (r#"enza_http_requests_total{route="circle",status="1xx"}"#, 2.0),
        (r#"enza_http_requests_total{route="join",status="4xx"}"#, 1.0),
        ("enza_ready", 1.0),
    ] {
        assert_eq!(seen[name], value, "{name}");
    }
    if cfg!(target_os = "linux") {
        assert!(seen["process_resident_memory_bytes"] > 1e6 && seen["process_open_fds"] > 5.0);
    }
    let text = figures(&daemon).await;
    for secret in ["secret-room", "-identity", "-IDENTITY", "Somebody", "127.0.0.1", "nothing"] {
        assert!(!text.text().contains(secret), "{secret}");
    }
    drop((ann, ben));
    daemon.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_figure_of_the_dashboard_exists_and_every_figure_says_what_it_is() {
    let daemon = Daemon::start().await;
    let answer = figures(&daemon).await;
    let known: BTreeSet<String> = values(&answer)
        .into_keys()
        .map(|name| name.split('{').next().unwrap_or_default().to_owned())
        .collect();
    let typed: BTreeSet<String> = answer
        .text()
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|line| line.split(' ').next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(known, typed);
    let dashboard = include_str!("../../grafana.json");
    let dashboard: serde_json::Value = serde_json::from_str(dashboard).unwrap();
    let mut shown = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let names = words.filter(|word| word.starts_with("enza_") || word.starts_with("process_"));
            shown.extend(names.map(str::to_owned));
        }
    }
    assert!(shown.is_subset(&known), "{:?}", shown.difference(&known));
    assert_eq!(shown, known, "the dashboard shows everything");
    daemon.server.stop().await;
}

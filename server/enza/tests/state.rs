//! What the operator's page is told: only with the key, true for those who are inside, and about nobody.

mod common;

use common::{Answer, Daemon, PATIENCE, ask, grants, token};
use enza::config::Settings;
use enza::token::{ApiKey, TokenAuthority};
use serde_json::Value;
use signal::Grants;
use std::time::Duration;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

const PATH: &str = "/api/server/state";

fn operator_key(daemon: &Daemon) -> String {
    std::fs::read_to_string(daemon.config.data.join("operator-key")).unwrap().trim().to_owned()
}

async fn asked(daemon: &Daemon, key: &str) -> Answer {
    daemon.get(PATH, &[("authorization", &format!("Bearer {key}"))]).await
}

async fn state(daemon: &Daemon) -> Value {
    let answer = asked(daemon, &operator_key(daemon)).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")), "{}", answer.text());
    answer.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_operators_key_opens_it_and_guesses_are_counted() {
    let daemon = Daemon::start().await;
    let nothing = daemon.get(PATH, &[]).await;
    assert_eq!((nothing.status, nothing.json()["code"].as_str()), (401, Some("key-needed")));
    let signer = TokenAuthority::new(&ApiKey::new("key".to_owned(), common::SECRET.to_owned()).unwrap());
    let host = Grants { room_admin: true, ..grants("room", "host") };
    let host = signer.sign(&host, Duration::from_secs(600));
    let key = operator_key(&daemon);
    let last = if key.ends_with('A') { "B" } else { "A" };
    let almost = format!("{}{last}", &key[..key.len() - 1]);
    for wrong in [token("room", "guest"), host, almost.clone(), "x".to_owned()] {
        let answer = asked(&daemon, &wrong).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (401, Some("key-wrong")));
    }
    let mut last = 401;
    for _ in 0..20 {
        last = asked(&daemon, &almost).await.status;
    }
    assert_eq!(last, 429, "after twenty wrong ones this address has to wait");
    assert_eq!(asked(&daemon, &key).await.status, 200, "but not the operator at it");
    daemon.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_and_rooms_are_counted_and_nobody_is_named() {
    let daemon = Daemon::start().await;
    let connect = async |room: &str, who: &str| {
        let url = format!("ws://127.0.0.1:{}/api/rooms/{room}/circle", daemon.port());
        let mut request = url.into_client_request().unwrap();
        request
            .headers_mut()
            .insert("authorization", format!("Bearer {}", token(room, who)).parse().unwrap());
        tokio::time::timeout(PATIENCE, connect_async(request)).await.unwrap().unwrap().0
    };
    let mut sockets = Vec::new();
    for who in ["ann-identity", "ben-identity", "cat-identity"] {
        sockets.push(connect("secret-room", who).await);
    }
    sockets.push(connect("other-room", "dan-identity").await);
    let mut seen = state(&daemon).await;
    for _ in 0..100 {
        if seen["people"] == 4 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        seen = state(&daemon).await;
    }
    assert_eq!(
        (&seen["people"], &seen["rooms"], &seen["joins"]["joined"]),
        (&4.into(), &2.into(), &4.into())
    );
    let listed = seen["listed"].as_array().unwrap();
    let counts: Vec<_> =
        listed.iter().map(|room| (room["people"].as_u64(), room["waiting"].as_u64())).collect();
    assert_eq!(counts, [(Some(3), Some(0)), (Some(1), Some(0))], "in the order in which they opened");
    assert!(listed[0]["number"].as_u64() < listed[1]["number"].as_u64());
    // Four sockets, and the connection of this question.
    assert!(seen["connections"]["now"].as_u64().unwrap() >= 5, "{seen}");
    assert_eq!((seen["ready"].as_bool(), seen["certificate"].is_null()), (Some(true), true));
    assert_eq!(seen["version"], env!("CARGO_PKG_VERSION"));
    assert!(!seen["media"]["threads"].as_array().unwrap().is_empty());
    if cfg!(target_os = "linux") {
        let machine = &seen["machine"];
        let figure = |name: &str| machine[name].as_u64().unwrap();
        assert!(figure("memory") > 1 << 20 && figure("disk") >= figure("diskFree"), "{machine}");
        assert!(figure("openFiles") > 5 && figure("openFilesMax") >= figure("openFiles"), "{machine}");
    }
    let text = seen.to_string().to_lowercase();
    for secret in ["secret-room", "other-room", "identity", "127.0.0.1", "localhost"] {
        assert!(!text.contains(secret), "{secret}");
    }
    drop(sockets);
    daemon.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_told_with_its_names_and_its_end_and_a_short_one_is_a_finding() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let pair = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(["circle.example".to_owned()]).unwrap();
    params.not_after = time::OffsetDateTime::now_utc() + time::Duration::days(5);
    std::fs::write(&cert, params.self_signed(&pair).unwrap().pem()).unwrap();
    std::fs::write(&key, pair.serialize_pem()).unwrap();
    let figures = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let daemon = Daemon::start_with(|settings: &mut Settings| {
        settings.cert = Some(cert);
        settings.key = Some(key);
        settings.metrics_bind = Some(figures);
    })
    .await;
    // The port of the figures needs no key, and so must not know this.
    assert_eq!(ask(figures.port(), "GET", PATH, &[], "").await.status, 404);
    let seen: Value = serde_json::from_slice(&over_tls(&daemon).await).unwrap();
    let certificate = &seen["certificate"];
    assert_eq!(
        (certificate["from"].as_str(), certificate["names"][0].as_str()),
        (Some("files"), Some("circle.example"))
    );
    assert!(certificate["renewsAt"].is_null(), "whoever keeps the files renews it");
    let ends = certificate["endsAt"].as_u64().unwrap();
    assert!((ends / 1000).abs_diff(seen["now"].as_u64().unwrap() / 1000 + 5 * 86_400) < 60);
    let finding = &seen["findings"][0];
    assert_eq!((finding["check"].as_str(), finding["verdict"].as_str()), (Some("certificate"), Some("warn")));
    for language in ["en", "ja"] {
        assert!(finding[language]["do"].as_str().is_some_and(|todo| !todo.is_empty()), "{finding}");
    }
    assert_eq!(seen["hasRoomForTen"], true, "that can wait for a day");
    daemon.server.stop().await;
}

/// The answer's body, asked over HTTPS.
async fn over_tls(daemon: &Daemon) -> Vec<u8> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};
    let enza::config::Transport::Files { cert, .. } = &daemon.config.transport else { panic!("no files") };
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(cert).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(std::sync::Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", daemon.port())).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let name = ServerName::try_from("circle.example").unwrap();
    let mut stream = connector.connect(name, stream).await.unwrap();
    let key = operator_key(daemon);
    let request = format!(
        "GET {PATH} HTTP/1.1\r\nhost: circle.example\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut raw = Vec::new();
    // However the server ends the connection, the answer is whole when it parses.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut raw)).await.expect("an answer in time");
    common::parse(&raw).body
}

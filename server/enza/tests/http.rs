//! The HTTP surface of a real server: what LiveKit clients probe, what the page asks, and who is turned away.

mod common;

use common::{Daemon, ask, token};
use store::{Role, Terms};

fn assert_open_to_any_origin(answer: &common::Answer) {
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{answer:?}");
}

#[tokio::test]
async fn the_server_shows_that_it_is_alive() {
    let daemon = Daemon::start().await;
    let head = ask(daemon.port(), "HEAD", "/", &[], "").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_open_to_any_origin(&head);
    let get = daemon.get("/", &[("origin", "https://example.org")]).await;
    assert_eq!((get.status, get.text()), (200, "OK"));
    assert_open_to_any_origin(&get);
    daemon.server.stop().await;
}

#[tokio::test]
async fn validate_says_who_is_let_in_and_why_not_readably_for_any_page() {
    let daemon = Daemon::start().await;
    let good = token("a", "ann");
    for path in ["/rtc/v1/validate", "/rtc/validate", "//rtc/v1/validate"] {
        let by_query = daemon.get(&format!("{path}?access_token={good}"), &[]).await;
        assert_eq!((by_query.status, by_query.text()), (200, "success"), "{path}");
        let by_header = daemon.get(path, &[("authorization", &format!("Bearer {good}"))]).await;
        assert_eq!(by_header.status, 200, "{path}");
        assert_open_to_any_origin(&by_header);
        let without = daemon.get(path, &[]).await;
        assert_eq!(without.status, 401, "{path}");
        assert!(without.text().contains("token is missing"), "{}", without.text());
        assert_open_to_any_origin(&without);
    }
    let wrong_room = daemon.get(&format!("/rtc/v1/validate?access_token={good}&room=b"), &[]).await;
    assert_eq!(wrong_room.status, 403);
    assert!(wrong_room.text().contains("another room"), "{}", wrong_room.text());
    let key = enza::token::ApiKey::new("key".to_owned(), common::SECRET.to_owned()).unwrap();
    let unseen = signal::Grants { hidden: true, ..common::grants("a", "ghost") };
    let unseen = enza::token::TokenAuthority::new(&key).sign(&unseen, std::time::Duration::from_secs(600));
    let unseen = daemon.get(&format!("/rtc/v1/validate?access_token={unseen}"), &[]).await;
    assert_eq!(unseen.status, 403);
    assert!(unseen.text().contains("Nobody listens unseen"), "{}", unseen.text());
    let forged = format!("{}AAAA", &good[..good.len() - 4]);
    let forged = daemon.get(&format!("/rtc/v1/validate?access_token={forged}"), &[]).await;
    assert_eq!(forged.status, 401);
    assert!(forged.text().contains("signature"), "{}", forged.text());
    let bad = daemon.get(&format!("/rtc/v1/validate?access_token={good}&join_request=%21%21"), &[]).await;
    assert_eq!(bad.status, 400);
    assert_open_to_any_origin(&bad);
    daemon.server.stop().await;
}

#[tokio::test]
async fn a_preflight_may_use_the_authorization_header() {
    let daemon = Daemon::start().await;
    let headers = [("origin", "https://example.org"), ("access-control-request-headers", "authorization")];
    let answer = ask(daemon.port(), "OPTIONS", "/rtc/v1/validate", &headers, "").await;
    assert_eq!(answer.status, 204);
    assert_open_to_any_origin(&answer);
    assert_eq!(answer.header("access-control-allow-headers"), Some("authorization"));
    assert!(answer.header("access-control-allow-methods").unwrap().contains("GET"));
    let api = ask(daemon.port(), "OPTIONS", "/api/join", &headers, "").await;
    assert_eq!(api.header("access-control-allow-origin"), None, "other pages may not join for somebody");
    daemon.server.stop().await;
}

#[tokio::test]
async fn without_an_upgrade_there_is_404() {
    let daemon = Daemon::start().await;
    for path in ["/rtc", "/rtc/", "/rtc/v1", "/rtc/v2", "/rtc/v1/other"] {
        let answer = daemon.get(path, &[]).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_open_to_any_origin(&answer);
    }
    daemon.server.stop().await;
}

#[tokio::test]
async fn a_long_join_request_fits_and_an_endless_one_does_not() {
    let daemon = Daemon::start().await;
    let good = token("a", "ann");
    let long = "A".repeat(20_000);
    let answer = daemon.get(&format!("/rtc/v1/validate?access_token={good}&join_request={long}"), &[]).await;
    assert_eq!(answer.status, 400, "read, and refused for what it says: {}", answer.text());
    assert!(answer.text().contains("join_request"), "{}", answer.text());
    let endless = "A".repeat(300_000);
    let answer =
        daemon.get(&format!("/rtc/v1/validate?access_token={good}&join_request={endless}"), &[]).await;
    assert!((400..500).contains(&answer.status), "{}", answer.status);
    daemon.server.stop().await;
}

#[tokio::test]
async fn an_invite_becomes_a_room_token() {
    let daemon = Daemon::start().await;
    let store = daemon.server.store();
    let room = store.create_room("火曜日の輪", 1).await.unwrap();
    let (_, host) = store.create_invite(&room.id, Role::Host, Terms::default(), 1).await.unwrap();
    let (guest_id, guest) = store.create_invite(&room.id, Role::Guest, Terms::default(), 1).await.unwrap();

    let asked = daemon.post("/api/invite", &format!(r#"{{"invite":"{}"}}"#, host.reveal())).await;
    assert_eq!(asked.status, 200);
    let expected = serde_json::json!(
        {"room": {"name": "火曜日の輪"}, "role": "host", "lobby": false, "passphrase": false,
            "encryption": false, "counted": false}
    );
    assert_eq!(asked.json(), expected);

    let body = format!(r#"{{"invite":"{}","name":"  花子 "}}"#, guest.reveal());
    let joined = daemon.post("/api/join", &body).await;
    assert_eq!(joined.status, 200);
    let answer = joined.json();
    assert_eq!((answer["name"].as_str(), answer["role"].as_str()), (Some("花子"), Some("guest")));
    assert_eq!(answer["room"]["name"], "火曜日の輪");
    assert!(answer["identity"].as_str().unwrap().starts_with("guest-"));
    let again = daemon.post("/api/join", &body).await.json();
    assert_ne!(answer["identity"], again["identity"]);
    let token = answer["token"].as_str().unwrap();
    let path = format!("/rtc/v1/validate?access_token={token}&room={}", room.id);
    assert_eq!(daemon.get(&path, &[]).await.status, 200, "the token opens this room");

    store.revoke_invite(guest_id, 2).await.unwrap();
    let revoked = daemon.post("/api/join", &body).await;
    assert_eq!((revoked.status, revoked.json()["code"].as_str()), (410, Some("invite-revoked")));
    daemon.server.stop().await;
}

#[tokio::test]
async fn a_link_makes_of_people_what_it_says_and_of_its_host_alone_an_admin() {
    use base64::Engine as _;
    let daemon = Daemon::start().await;
    let store = daemon.server.store();
    let room = store.create_room("Room", 1).await.unwrap();
    for (role, in_the_circle, admin, publishes) in [
        (Role::Host, "host", true, true),
        (Role::CoHost, "co-host", false, true),
        (Role::Guest, "speaker", false, true),
        (Role::Listener, "listener", false, false),
    ] {
        let (_, secret) = store.create_invite(&room.id, role, Terms::default(), 1).await.unwrap();
        let body = format!(r#"{{"invite":"{}","name":"x"}}"#, secret.reveal());
        let answer = daemon.post("/api/join", &body).await.json();
        assert_eq!(answer["role"], role.name());
        let token = answer["token"].as_str().unwrap().to_owned();
        let claims =
            base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap());
        let claims: serde_json::Value = serde_json::from_slice(&claims.unwrap()).unwrap();
        assert_eq!(claims["video"]["roomAdmin"].as_bool().unwrap_or(false), admin);
        assert_eq!(claims["video"]["canPublish"], publishes);
        assert_eq!(claims["attributes"]["enza.role"], in_the_circle);
        assert_eq!(claims["video"]["room"], room.id.as_str());
    }
    daemon.server.stop().await;
}

#[tokio::test]
async fn a_link_that_is_over_or_not_begun_says_so() {
    let daemon = Daemon::start().await;
    let store = daemon.server.store();
    let room = store.create_room("Room", 1).await.unwrap();
    let past = Terms { expires_unix_millis: Some(1), ..Terms::default() };
    let future = Terms { not_before_unix_millis: Some(i64::MAX), ..Terms::default() };
    for (terms, status, code) in [(past, 410, "invite-expired"), (future, 403, "invite-early")] {
        let (_, secret) = store.create_invite(&room.id, Role::Guest, terms, 1).await.unwrap();
        let body = format!(r#"{{"invite":"{}","name":"x"}}"#, secret.reveal());
        for path in ["/api/invite", "/api/join"] {
            let answer = daemon.post(path, &body).await;
            assert_eq!((answer.status, answer.json()["code"].as_str()), (status, Some(code)), "{path}");
        }
    }
    daemon.server.stop().await;
}

#[tokio::test]
async fn the_api_says_what_is_wrong_by_code_and_sentence() {
    let daemon = Daemon::start().await;
    let store = daemon.server.store();
    let room = store.create_room("Room", 1).await.unwrap();
    let (_, secret) = store.create_invite(&room.id, Role::Guest, Terms::default(), 1).await.unwrap();
    let invite = secret.reveal();
    let long = "x".repeat(65);
    let huge = format!(r#"{{"invite":"{}"}}"#, "x".repeat(20_000));
    let cases = [
        ("/api/invite", r#"{"invite":"nothing"}"#.to_owned(), 404, "invite-unknown"),
        ("/api/join", r#"{"invite":"nothing","name":"x"}"#.to_owned(), 404, "invite-unknown"),
        ("/api/join", format!(r#"{{"invite":"{invite}","name":"  "}}"#), 422, "name-missing"),
        ("/api/join", format!(r#"{{"invite":"{invite}","name":"{long}"}}"#), 422, "name-too-long"),
        ("/api/join", format!(r#"{{"invite":"{invite}","name":"a\u0007"}}"#), 400, "bad-request"),
        ("/api/join", format!(r#"{{"invite":"{invite}"}}"#), 400, "bad-request"),
        ("/api/join", "not json".to_owned(), 400, "bad-request"),
        ("/api/join", r#"{"invite":5,"name":"x"}"#.to_owned(), 400, "bad-request"),
        ("/api/invite", huge, 400, "bad-request"),
    ];
    for (path, body, status, code) in cases {
        let answer = daemon.post(path, &body).await;
        assert_eq!(answer.status, status, "{code}");
        let json = answer.json();
        assert_eq!(json["code"], code);
        assert!(json["message"].as_str().unwrap().len() > 10, "{json}");
    }
    daemon.server.stop().await;
}

#[tokio::test]
async fn guessing_invites_is_slowed_and_a_good_link_of_the_same_address_waits_too() {
    let daemon = Daemon::start().await;
    let mut codes = Vec::new();
    for guess in 0..40 {
        let answer = daemon.post("/api/invite", &format!(r#"{{"invite":"guess{guess}"}}"#)).await;
        codes.push(answer.status);
    }
    assert!(codes[..20].iter().all(|code| *code == 404), "{codes:?}");
    assert_eq!(codes.last(), Some(&429), "{codes:?}");
    daemon.server.stop().await;
}

#[tokio::test]
async fn every_answer_keeps_the_page_to_itself() {
    let daemon = Daemon::start().await;
    for path in ["/", "/join", "/nothing.js", "/rtc/v1"] {
        let answer = daemon.get(path, &[("accept", "text/html")]).await;
        let policy = answer.header("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'self'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert!(policy.contains(&format!("ws://localhost:{}", daemon.port())), "{policy}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert!(answer.header("permissions-policy").unwrap().contains("camera=(self)"));
        assert_eq!(answer.header("cross-origin-opener-policy"), Some("same-origin"), "{path}");
        assert_eq!(answer.header("strict-transport-security"), None, "over HTTP it means nothing");
    }
    daemon.server.stop().await;
}

#[tokio::test]
async fn the_page_is_served_for_its_own_addresses_and_for_nothing_else() {
    let daemon = Daemon::start().await;
    let html = [("accept", "text/html,application/xhtml+xml")];
    for path in ["/", "/join", "/any/where"] {
        let page = daemon.get(path, &html).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(page.text().contains("<html"), "{path}");
    }
    assert_eq!(daemon.get("/join", &[]).await.status, 404, "not asked for a page");
    assert_eq!(daemon.get("/missing.js", &html).await.status, 404);
    assert_eq!(daemon.get("/api/nothing", &html).await.status, 404);
    assert_eq!(daemon.get("/../../etc/passwd", &[]).await.status, 404);
    assert_eq!(ask(daemon.port(), "DELETE", "/join", &[], "").await.status, 405);
    let refused = ask(daemon.port(), "DELETE", "/api/rooms/x/circle", &[], "").await;
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET,HEAD")), "CONNECT is HTTP/2's own");
    daemon.server.stop().await;
}

#[tokio::test]
async fn https_with_the_development_certificate_is_trusted_by_whoever_trusts_its_authority() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;
    use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    let daemon = Daemon::start_with(|settings| {
        settings.lan = Some(true);
        settings.bind = Some("127.0.0.1".parse().unwrap());
    })
    .await;
    let authority = daemon.folder.path().join("certs/enza-dev-authority.pem");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
    let client = ClientConfig::builder_with_provider(std::sync::Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(std::sync::Arc::new(client));
    for name in ["localhost", "127.0.0.1"] {
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", daemon.port())).await.unwrap();
        let name = ServerName::try_from(name).unwrap();
        let mut stream = connector.connect(name, stream).await.expect("a trusted certificate");
        stream.write_all(b"HEAD / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut raw = Vec::new();
        stream.read_to_end(&mut raw).await.unwrap();
        assert_eq!(common::parse(&raw).status, 200);
    }
    daemon.server.stop().await;
}

#[tokio::test]
async fn localhost_answers_over_ipv6_too() {
    let daemon = Daemon::start().await;
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        tokio::net::TcpStream::connect(("::1", daemon.port())).await.expect("IPv6 localhost is served");
    }
    daemon.server.stop().await;
}

/// Media over TCP begins with a length and a check that names a call; anything else ends its own connection only.
#[tokio::test]
async fn a_stranger_who_sends_media_frames_over_tcp_hears_nothing() {
    use std::time::Duration;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let daemon = Daemon::start().await;
    let connect =
        async || tokio::net::TcpStream::connect(("127.0.0.1", daemon.port())).await.expect("connect");

    let mut endless = connect().await;
    endless.write_all(&[0x05, 0xff, 0]).await.expect("write");
    // A binding request without credentials (RFC 8489 section 5), in pieces.
    let mut nameless = connect().await;
    let check = [&[0_u8, 20, 0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat();
    for piece in [&check[..1], &check[1..9], &check[9..]] {
        nameless.write_all(piece).await.expect("write");
    }
    // One that names the first shard ("A") and nobody on it.
    let mut unknown = connect().await;
    let named = [&[0_u8, 32, 0, 1, 0, 12][..], &check[6..], &[0, 6, 0, 5], b"Axy:z\0\0\0"].concat();
    unknown.write_all(&named).await.expect("write");
    // After an acceptable first frame, a longer one than there can be.
    let mut long = connect().await;
    long.write_all(&[&named[..], &[0xff, 0xff]].concat()).await.expect("write");

    let mut buffer = [0; 64];
    for stranger in [&mut nameless, &mut long] {
        let ended = tokio::time::timeout(Duration::from_secs(5), stranger.read(&mut buffer)).await;
        assert!(matches!(ended, Ok(Ok(0) | Err(_))), "closed at once: {ended:?}");
    }
    for stranger in [&mut endless, &mut unknown] {
        let heard = tokio::time::timeout(Duration::from_millis(300), stranger.read(&mut buffer)).await;
        assert!(heard.is_err(), "neither an answer nor an end yet: {heard:?}");
    }
    assert_eq!(daemon.get("/", &[]).await.status, 200);
    daemon.server.stop().await;
}

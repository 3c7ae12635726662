//! The API of a real server: coming back as who one was, passphrases, invites that hosts make, and who may make
//! rooms.

mod common;

use common::{Answer, Daemon, ask, grants, token};
use enza::catalogue::Language;
use enza::config::RoomsRule;
use enza::token::{ApiKey, TokenAuthority};
use serde_json::{Value, json};
use signal::Grants;
use std::time::Duration;
use store::{Role, Room, Terms};

fn code(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["code"].as_str().unwrap_or_default().to_owned())
}

fn host_token(room: &str) -> String {
    let key = ApiKey::new("key".to_owned(), common::SECRET.to_owned()).unwrap();
    let host = Grants { room_admin: true, ..grants(room, "host") };
    TokenAuthority::new(&key).sign(&host, Duration::from_secs(600))
}

fn operator_key(daemon: &Daemon) -> String {
    std::fs::read_to_string(daemon.config.data.join("operator-key")).unwrap().trim().to_owned()
}

/// A request with a key and a body.
async fn call(daemon: &Daemon, method: &str, path: &str, key: &str, body: Value) -> Answer {
    let authorization = format!("Bearer {key}");
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    ask(daemon.port(), method, path, &headers, &body).await
}

async fn room_with(daemon: &Daemon, role: Role, terms: Terms) -> (Room, String) {
    let store = daemon.server.store();
    let room = store.create_room("Room", 1).await.unwrap();
    let (_, secret) = store.create_invite(&room.id, role, terms, 1).await.unwrap();
    (room, secret.reveal().to_owned())
}

async fn join(daemon: &Daemon, fields: Value) -> Answer {
    daemon.post("/api/join", &fields.to_string()).await
}

#[tokio::test]
async fn who_comes_back_with_an_earlier_token_is_who_they_were_and_in_another_room_nobody() {
    let daemon = Daemon::start().await;
    let (room, invite) = room_with(&daemon, Role::Guest, Terms::default()).await;
    let first = join(&daemon, json!({"invite": invite, "name": "Ann"})).await.json();
    assert_eq!(first["circle"], format!("/api/rooms/{}/circle", room.id));
    let again = json!({"invite": invite, "name": "Anna", "again": first["token"]});
    let again = join(&daemon, again).await.json();
    assert_eq!((&again["identity"], &again["name"]), (&first["identity"], &json!("Anna")));
    for nothing in [token("another room", "ann"), "no token".to_owned()] {
        let new = join(&daemon, json!({"invite": invite, "name": "Ann", "again": nothing})).await.json();
        assert!(new["identity"].as_str().unwrap().starts_with("guest-"), "{new}");
        assert_ne!(new["identity"], first["identity"]);
    }
    daemon.server.stop().await;
}

#[tokio::test]
async fn an_invite_for_two_lets_two_in_and_both_of_them_back() {
    let daemon = Daemon::start().await;
    let terms = Terms { max_uses: Some(2), ..Terms::default() };
    let (_, invite) = room_with(&daemon, Role::Guest, terms).await;
    let ann = join(&daemon, json!({"invite": invite, "name": "Ann"})).await.json();
    let again = json!({"invite": invite, "name": "Ann", "again": ann["token"]});
    assert_eq!(join(&daemon, again.clone()).await.status, 200, "coming back is no new use");
    assert_eq!(join(&daemon, json!({"invite": invite, "name": "Ben"})).await.status, 200);
    let third = join(&daemon, json!({"invite": invite, "name": "Cat"})).await;
    assert_eq!(code(&third), (410, "invite-used-up".to_owned()));
    let asked = daemon.post("/api/invite", &json!({ "invite": invite }).to_string()).await;
    assert_eq!(code(&asked), (410, "invite-used-up".to_owned()));
    assert_eq!(join(&daemon, again).await.json()["identity"], ann["identity"]);
    let asked = json!({"invite": invite, "again": ann["token"]}).to_string();
    assert_eq!(daemon.post("/api/invite", &asked).await.status, 200);
    daemon.server.stop().await;
}

#[tokio::test]
async fn a_rooms_passphrase_is_asked_of_newcomers_and_guessing_it_is_slowed() {
    let daemon = Daemon::start().await;
    let (room, invite) = room_with(&daemon, Role::Guest, Terms::default()).await;
    let before = join(&daemon, json!({"invite": invite, "name": "Ann"})).await.json();
    let path = format!("/api/rooms/{}/passphrase", room.id);
    let host = host_token(&room.id);
    let set = call(&daemon, "PUT", &path, &host, json!({"passphrase": "Plum Tree"})).await;
    assert_eq!(set.status, 204, "{}", set.text());
    let asked = daemon.post("/api/invite", &json!({ "invite": invite }).to_string()).await.json();
    assert_eq!(asked["passphrase"], true);
    let without = join(&daemon, json!({"invite": invite, "name": "Ben"})).await;
    assert_eq!(code(&without), (403, "passphrase-needed".to_owned()));
    let good = join(&daemon, json!({"invite": invite, "name": "Ben", "passphrase": " plum tree"})).await;
    assert_eq!(good.status, 200);
    let again = json!({"invite": invite, "name": "Ann", "again": before["token"]});
    assert_eq!(join(&daemon, again).await.json()["identity"], before["identity"]);

    let mut codes = Vec::new();
    for guess in 0..24 {
        let wrong = json!({"invite": invite, "name": "Eve", "passphrase": format!("guess {guess}")});
        codes.push(code(&join(&daemon, wrong).await));
    }
    assert_eq!(codes[0], (403, "passphrase-wrong".to_owned()));
    assert_eq!(codes[23], (429, "too-many-attempts".to_owned()), "{codes:?}");
    daemon.server.stop().await;
}

#[tokio::test]
async fn a_passphrase_can_be_taken_away_and_is_in_no_file() {
    let daemon = Daemon::start().await;
    let (room, invite) = room_with(&daemon, Role::Guest, Terms::default()).await;
    let (path, host) = (format!("/api/rooms/{}/passphrase", room.id), host_token(&room.id));
    let words = "a very particular passphrase";
    assert_eq!(call(&daemon, "PUT", &path, &host, json!({ "passphrase": words })).await.status, 204);
    for file in std::fs::read_dir(&daemon.config.data).unwrap() {
        let held = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!held.windows(words.len()).any(|window| window == words.as_bytes()));
    }
    assert_eq!(call(&daemon, "PUT", &path, &host, json!({"passphrase": null})).await.status, 204);
    assert_eq!(join(&daemon, json!({"invite": invite, "name": "Ben"})).await.status, 200);
    for bad in [json!({"passphrase": "  "}), json!({"passphrase": "x".repeat(129)})] {
        let refused = call(&daemon, "PUT", &path, &host, bad).await;
        assert_eq!(code(&refused), (422, "passphrase-unusable".to_owned()));
    }
    daemon.server.stop().await;
}

#[tokio::test]
async fn a_host_makes_lists_and_revokes_invites_of_their_own_room() {
    let daemon = Daemon::start().await;
    let (room, _) = room_with(&daemon, Role::Host, Terms::default()).await;
    let (other, _) = room_with(&daemon, Role::Host, Terms::default()).await;
    let (path, host) = (format!("/api/rooms/{}/invites", room.id), host_token(&room.id));
    let order = json!({"role": "listener", "expiresIn": 3600, "maxUses": 5});
    let made = call(&daemon, "POST", &path, &host, order).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    assert_eq!(
        (&made["role"], &made["maxUses"], &made["state"]),
        (&json!("listener"), &json!(5), &json!("open"))
    );
    let secret = made["link"].as_str().unwrap().strip_prefix("/join#").unwrap().to_owned();
    let joined = join(&daemon, json!({"invite": secret, "name": "Ann"})).await.json();
    assert_eq!(joined["role"], "listener");

    let listed = call(&daemon, "GET", &path, &host, Value::Null).await.json();
    let mine =
        listed["invites"].as_array().unwrap().iter().find(|one| one["id"] == made["id"]).unwrap().clone();
    assert_eq!((&mine["uses"], mine.get("link")), (&json!(1), None));
    let one = format!("{path}/{}", made["id"]);
    let elsewhere = format!("/api/rooms/{}/invites/{}", other.id, made["id"]);
    let refused = call(&daemon, "DELETE", &elsewhere, &host_token(&other.id), Value::Null).await;
    assert_eq!(code(&refused), (404, "invite-unknown".to_owned()), "the number reaches into no other room");
    for _ in 0..2 {
        assert_eq!(call(&daemon, "DELETE", &one, &host, Value::Null).await.status, 204);
    }
    let closed = join(&daemon, json!({"invite": secret, "name": "Ben"})).await;
    assert_eq!(code(&closed), (410, "invite-revoked".to_owned()));
    daemon.server.stop().await;
}

#[tokio::test]
async fn only_a_host_of_this_room_or_the_operator_makes_invites() {
    let daemon = Daemon::start().await;
    let (room, guest_invite) = room_with(&daemon, Role::Guest, Terms::default()).await;
    let path = format!("/api/rooms/{}/invites", room.id);
    let order = json!({"role": "host"});
    let guest = join(&daemon, json!({"invite": guest_invite, "name": "Ann"})).await.json();
    let cases = [
        (guest["token"].as_str().unwrap().to_owned(), 403, "not-allowed"),
        (host_token("another room"), 401, "key-wrong"),
        (format!("enza-operator-{}", "x".repeat(43)), 401, "key-wrong"),
    ];
    for (key, status, expected) in cases {
        let refused = call(&daemon, "POST", &path, &key, order.clone()).await;
        assert_eq!(code(&refused), (status, expected.to_owned()));
    }
    let nobody = daemon.post(&path, &order.to_string()).await;
    assert_eq!(code(&nobody), (401, "key-needed".to_owned()));
    let operator = operator_key(&daemon);
    assert_eq!(call(&daemon, "POST", &path, &operator, order).await.status, 201);
    let unknown = call(&daemon, "POST", "/api/rooms/none/invites", &operator, json!({"role": "guest"})).await;
    assert_eq!(code(&unknown), (404, "room-unknown".to_owned()));
    for bad in [
        json!({"role": "king"}),
        json!({"role": "guest", "maxUses": 0}),
        json!({"role": "guest", "expiresIn": 0}),
        json!({"role": "guest", "expiresIn": 99_999_999_999_u64}),
        json!({"role": "guest", "expires": 5}),
    ] {
        let refused = call(&daemon, "POST", &path, &operator, bad).await;
        assert_eq!(code(&refused), (400, "bad-request".to_owned()));
    }
    daemon.server.stop().await;
}

#[tokio::test]
async fn rooms_are_made_by_the_operator_or_by_anybody_as_the_server_says() {
    let daemon = Daemon::start().await;
    assert_eq!(daemon.get("/api/server", &[]).await.json()["rooms"], "closed");
    let order = json!({"title": "火曜日の輪"});
    let refused = daemon.post("/api/rooms", &order.to_string()).await;
    assert_eq!(code(&refused), (403, "rooms-closed".to_owned()));
    let made = call(&daemon, "POST", "/api/rooms", &operator_key(&daemon), order.clone()).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    assert_eq!(made["room"]["name"], "火曜日の輪");
    for (link, role) in [("hostLink", "host"), ("guestLink", "guest")] {
        let secret = made[link].as_str().unwrap().strip_prefix("/join#").unwrap();
        let asked = daemon.post("/api/invite", &json!({ "invite": secret }).to_string()).await.json();
        assert_eq!(asked["role"], role);
    }
    daemon.server.stop().await;

    let daemon = Daemon::start_with(|settings| settings.rooms = Some(RoomsRule::Open)).await;
    assert_eq!(daemon.get("/api/server", &[]).await.json()["rooms"], "open");
    let untitled = daemon.post("/api/rooms", r#"{"title": " "}"#).await;
    assert_eq!(code(&untitled), (422, "title-unusable".to_owned()));
    let mut codes = Vec::new();
    for _ in 0..24 {
        codes.push(daemon.post("/api/rooms", &order.to_string()).await.status);
    }
    assert_eq!((codes[0], codes[23]), (201, 429), "{codes:?}");
    daemon.server.stop().await;
}

#[tokio::test]
async fn the_operator_lists_changes_exports_and_erases_rooms() {
    let daemon = Daemon::start().await;
    let operator = operator_key(&daemon);
    let made = call(&daemon, "POST", "/api/rooms", &operator, json!({"title": "Tuesday"})).await.json();
    let (room, guest) =
        (made["room"]["id"].as_str().unwrap().to_owned(), made["guestLink"].as_str().unwrap());
    let path = format!("/api/rooms/{room}");
    let listed = call(&daemon, "GET", "/api/rooms", &operator, Value::Null).await.json();
    assert_eq!((&listed["rooms"][0]["id"], &listed["rooms"][0]["people"]), (&json!(room), &json!(0)));

    let set = json!({"title": "Wednesday", "settings": {"lobby": "guests", "agreement": ["We listen."]}});
    let changed = call(&daemon, "PATCH", &path, &operator, set).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    let changed = changed.json();
    assert_eq!((&changed["name"], &changed["settings"]["lobby"]), (&json!("Wednesday"), &json!("guests")));
    let kept = daemon.server.store().room_settings(&room).await.unwrap().unwrap();
    assert!(kept.contains("We listen."), "on disk when it was answered: {kept}");
    for (set, expected) in [
        (json!({"settings": {"capacity": 0}}), (422, "setting-out-of-bounds".to_owned())),
        (json!({"settings": {"capasity": 5}}), (400, "bad-request".to_owned())),
        (json!({"title": ""}), (422, "title-unusable".to_owned())),
        (json!({"title": "", "settings": {"lobby": "off"}}), (422, "title-unusable".to_owned())),
        (json!({"title": "Friday", "settings": {"capacity": 0}}), (422, "setting-out-of-bounds".to_owned())),
    ] {
        assert_eq!(code(&call(&daemon, "PATCH", &path, &operator, set).await), expected);
    }
    let after = call(&daemon, "GET", &path, &operator, Value::Null).await.json();
    let kept = (&after["name"], &after["settings"]["lobby"]);
    assert_eq!(kept, (&json!("Wednesday"), &json!("guests")), "what was refused changed nothing");
    let until_unix_millis = i64::MAX;
    let (sender, name, body) = ("guest-1".into(), "Ann".into(), "Words that are kept.".into());
    let text = store::Text { number: 1, sender, name, body, at_unix_millis: 1, until_unix_millis };
    daemon.server.store().keep_text(&room, &text).await.unwrap();
    let export = call(&daemon, "GET", &format!("{path}/export"), &operator, Value::Null).await;
    assert_eq!(export.json()["texts"][0]["body"], "Words that are kept.");
    let act = &export.json()["audit"][0];
    assert_eq!((&act["act"], &act["by"]), (&json!("change-room"), &json!("operator")));
    assert_eq!(export.json()["invites"].as_array().unwrap().len(), 2);
    let secret = guest.strip_prefix("/join#").unwrap();
    assert!(!export.text().contains(secret));

    let by_host = call(&daemon, "DELETE", &path, &host_token(&room), Value::Null).await;
    assert_eq!(code(&by_host), (401, "key-wrong".to_owned()), "only the operator erases");
    assert_eq!(call(&daemon, "DELETE", &path, &operator, Value::Null).await.status, 204);
    let gone = call(&daemon, "GET", &path, &operator, Value::Null).await;
    assert_eq!(code(&gone), (404, "room-unknown".to_owned()));
    let held: Vec<u8> = std::fs::read_dir(&daemon.config.data)
        .unwrap()
        .flat_map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .collect();
    for words in ["Wednesday", "We listen.", "Words that are kept.", "change-room", &room] {
        assert!(
            !held.windows(words.len()).any(|window| window == words.as_bytes()),
            "{words} is still there"
        );
    }
    daemon.server.stop().await;
}

#[tokio::test]
async fn without_the_operators_key_nothing_of_the_servers_rooms_is_told() {
    let daemon = Daemon::start().await;
    let (room, _) = room_with(&daemon, Role::Guest, Terms::default()).await;
    let (other, _) = room_with(&daemon, Role::Guest, Terms::default()).await;
    let host = host_token(&room.id);
    for path in
        ["/api/rooms".to_owned(), format!("/api/rooms/{}", other.id), format!("/api/rooms/{}/bans", other.id)]
    {
        assert_eq!(daemon.get(&path, &[]).await.status, 401, "{path}");
        assert_eq!(call(&daemon, "GET", &path, &host, Value::Null).await.status, 401, "{path}");
    }
    for path in ["", "/participants", "/bans"] {
        let own = call(&daemon, "GET", &format!("/api/rooms/{}{path}", room.id), &host, Value::Null).await;
        assert_eq!(own.status, 200, "{path}");
    }
    daemon.server.stop().await;
}

#[tokio::test]
async fn a_link_tells_how_many_are_inside_only_where_the_room_says_so() {
    let daemon = Daemon::start().await;
    let (room, guest) = room_with(&daemon, Role::Guest, Terms::default()).await;
    let (_, host) =
        daemon.server.store().create_invite(&room.id, Role::Host, Terms::default(), 1).await.unwrap();
    let url = format!(
        "ws://127.0.0.1:{}/api/rooms/{}/circle?access_token={}",
        daemon.port(),
        room.id,
        host_token(&room.id)
    );
    let (mut inside, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    futures_util::StreamExt::next(&mut inside).await.unwrap().unwrap();
    let live = async |invite: &str| -> Value {
        daemon.post("/api/invite", &json!({"invite": invite}).to_string()).await.json()["live"].clone()
    };
    assert_eq!(live(&guest).await["people"], 1);
    let path = format!("/api/rooms/{}", room.id);
    let set = json!({"settings": {"countShown": false}});
    assert_eq!(call(&daemon, "PATCH", &path, &host_token(&room.id), set).await.status, 200);
    assert_eq!(live(&guest).await, Value::Null);
    assert_eq!(live(host.reveal()).await["people"], 1);
    daemon.server.stop().await;
}

#[tokio::test]
async fn behind_a_trusted_proxy_what_one_gets_wrong_counts_for_them_alone() {
    let guess = async |daemon: &Daemon, person: &str| {
        let headers = [("content-type", "application/json"), ("x-forwarded-for", person)];
        let body = json!({"invite": "no such invite"}).to_string();
        ask(daemon.port(), "POST", "/api/invite", &headers, &body).await.status
    };
    let proxied = Daemon::start_with(|settings| {
        settings.trusted_proxies = Some(vec!["127.0.0.1".parse().unwrap()]);
        settings.public_url = Some("https://circle.example".to_owned());
    })
    .await;
    for _ in 0..20 {
        // What they write themselves stands before what the proxy adds, and helps nobody.
        assert_eq!(guess(&proxied, "198.51.100.9, 203.0.113.5").await, 404);
    }
    assert_eq!(guess(&proxied, "198.51.100.10, 203.0.113.5").await, 429);
    assert_eq!(guess(&proxied, "203.0.113.6").await, 404);
    let links =
        enza::welcome::text(proxied.server.store(), &proxied.config, proxied.port(), Language::English);
    let links = links.await.unwrap();
    assert!(links.contains("https://circle.example/join#") && !links.contains("localhost"), "{links}");
    proxied.server.stop().await;

    let alone = Daemon::start().await;
    for _ in 0..20 {
        assert_eq!(guess(&alone, "203.0.113.5").await, 404);
    }
    assert_eq!(guess(&alone, "203.0.113.6").await, 429, "whoever is no proxy is not believed");
    alone.server.stop().await;
}

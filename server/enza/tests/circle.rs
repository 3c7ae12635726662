//! The circle socket against a real server, with LiveKit's signalling beside it: text-only seats, the door, what a
//! host does to somebody's media session, catching up, and settings that survive a restart.

mod common;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use common::{Daemon, PATIENCE, SECRET, grants};
use enza::token::{ApiKey, TokenAuthority};
use futures_util::{SinkExt as _, StreamExt as _};
use livekit_protocol::signal_request::Message as Ask;
use livekit_protocol::signal_response::Message as Said;
use livekit_protocol::{
    AddTrackRequest, ClientInfo, DisconnectReason, JoinRequest, SignalRequest, SignalResponse, TrackSource,
    TrackType, WrappedJoinRequest,
};
use prost::Message as _;
use serde_json::{Value, json};
use signal::Grants;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

fn signed(grants: &Grants) -> String {
    let key = ApiKey::new("key".to_owned(), SECRET.to_owned()).unwrap();
    TokenAuthority::new(&key).sign(grants, Duration::from_secs(600))
}

fn host(room: &str) -> String {
    signed(&Grants { room_admin: true, ..grants(room, "host") })
}

fn guest(room: &str, identity: &str) -> String {
    signed(&grants(room, identity))
}

/// A page's circle socket.
struct Circle {
    socket: Socket,
    asked: u64,
}

impl Circle {
    async fn open(port: u16, room: &str, token: &str, more: &str) -> Result<Self, Error> {
        let url = format!("ws://127.0.0.1:{port}/api/rooms/{room}/circle?access_token={token}{more}");
        let (socket, _) = timeout(PATIENCE, connect_async(url)).await.expect("an upgrade in time")?;
        Ok(Self { socket, asked: 0 })
    }

    /// Comes in and takes the state.
    async fn enter(daemon: &Daemon, room: &str, token: &str) -> (Self, Value) {
        let mut circle = Self::open(daemon.port(), room, token, "").await.unwrap();
        let state = circle.next().await.expect("the state");
        assert_eq!(state["type"], "state", "{state}");
        (circle, state)
    }

    async fn next(&mut self) -> Option<Value> {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("a message in time")?.ok()? {
                Message::Text(text) => return Some(serde_json::from_str(&text).unwrap()),
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }

    async fn until(&mut self, kind: &str) -> Value {
        loop {
            let said = self.next().await.unwrap_or_else(|| panic!("the socket ended before {kind:?}"));
            if said["type"] == kind {
                return said;
            }
        }
    }

    /// Sends a command; the answer, and what was said before it.
    async fn ask(&mut self, command: Value) -> (Value, Vec<Value>) {
        self.asked += 1;
        let mut command = command;
        command["id"] = json!(self.asked);
        self.socket.send(Message::Text(command.to_string().into())).await.unwrap();
        let mut before = Vec::new();
        loop {
            let said = self.next().await.expect("an answer");
            if said["id"] == self.asked {
                return (said, before);
            }
            before.push(said);
        }
    }

    async fn done(&mut self, command: Value) -> Vec<Value> {
        let (answer, before) = self.ask(command).await;
        assert_eq!(answer["type"], "ok", "{answer}");
        before
    }
}

/// A LiveKit client's signalling socket.
struct LiveKit(Socket);

impl LiveKit {
    async fn join(daemon: &Daemon, token: &str) -> Self {
        let request = JoinRequest {
            client_info: Some(ClientInfo { protocol: 17, ..ClientInfo::default() }),
            ..JoinRequest::default()
        };
        let wrapped = WrappedJoinRequest { join_request: request.encode_to_vec(), ..Default::default() };
        let wrapped = URL_SAFE.encode(wrapped.encode_to_vec()).replace('=', "%3D");
        let url =
            format!("ws://127.0.0.1:{}/rtc/v1?access_token={token}&join_request={wrapped}", daemon.port());
        Self(timeout(PATIENCE, connect_async(url)).await.expect("an upgrade in time").unwrap().0)
    }

    async fn next(&mut self) -> Option<Said> {
        loop {
            match timeout(PATIENCE, self.0.next()).await.expect("a frame in time")?.ok()? {
                Message::Binary(bytes) => return SignalResponse::decode(bytes).unwrap().message,
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }

    async fn until<T>(&mut self, mut wanted: impl FnMut(Said) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(self.next().await.expect("the connection is open")) {
                return found;
            }
        }
    }

    async fn leave_said(&mut self) -> DisconnectReason {
        self.until(|said| match said {
            Said::Leave(leave) => Some(leave.reason()),
            _ => None,
        })
        .await
    }

    async fn announce_microphone(&mut self) -> String {
        let request = AddTrackRequest {
            cid: "mic".into(),
            name: "mic".into(),
            r#type: TrackType::Audio.into(),
            source: TrackSource::Microphone.into(),
            ..Default::default()
        };
        let request = SignalRequest { message: Some(Ask::AddTrack(request)) };
        self.0.send(Message::Binary(request.encode_to_vec().into())).await.unwrap();
        self.until(|said| match said {
            Said::TrackPublished(published) => Some(published.track.unwrap().sid),
            _ => None,
        })
        .await
    }

    async fn muted(&mut self) -> String {
        self.until(|said| match said {
            Said::Mute(mute) if mute.muted => Some(mute.sid),
            _ => None,
        })
        .await
    }
}

#[tokio::test]
async fn people_without_media_sit_talk_and_raise_their_hands() {
    let daemon = Daemon::start().await;
    let (mut one, state) = Circle::enter(&daemon, "a", &host("a")).await;
    assert_eq!((&state["you"], &state["participants"][0]["role"]), (&json!("host"), &json!("host")));
    let (mut two, state) = Circle::enter(&daemon, "a", &guest("a", "ann")).await;
    assert_eq!(state["seats"], json!(["host", "ann"]));
    assert_eq!(one.until("joined").await["person"]["name"], "ANN");
    two.done(json!({"type": "raise-hand"})).await;
    assert_eq!(one.until("hands").await["hands"][0]["participant"], "ann");
    two.done(json!({"type": "write", "to": "everyone", "body": "こんにちは"})).await;
    assert_eq!(one.until("text").await["text"]["body"], "こんにちは");
    let (refused, before) = two.ask(json!({"type": "end"})).await;
    assert_eq!((&refused["type"], &refused["code"]), (&json!("refused"), &json!("not-allowed")));
    assert!(refused["message"].as_str().unwrap().ends_with('.') && before.is_empty());
    two.socket.send(Message::Text("nonsense".into())).await.unwrap();
    assert_eq!(two.until("refused").await["code"], "unreadable");
    one.done(json!({"type": "end"})).await;
    two.until("ended").await;
    assert_eq!(two.next().await, None);
    daemon.server.stop().await;
}

#[tokio::test]
async fn who_does_not_prove_who_they_are_gets_a_sentence_instead() {
    let daemon = Daemon::start().await;
    let hidden = signed(&Grants { hidden: true, ..grants("a", "ghost") });
    for (room, token, status) in [
        ("a", String::new(), 401),
        ("a", "x".repeat(30), 401),
        ("b", guest("a", "ann"), 403),
        ("a", hidden, 403),
    ] {
        match Circle::open(daemon.port(), room, &token, "").await {
            Err(Error::Http(response)) => assert_eq!(response.status().as_u16(), status, "{room}"),
            other => panic!("{}", other.is_ok()),
        }
    }
    let plain = daemon.get(&format!("/api/rooms/a/circle?access_token={}", guest("a", "ann")), &[]).await;
    assert_eq!(plain.status, 426);
    daemon.server.stop().await;
}

#[tokio::test]
async fn a_host_mutes_holds_moves_and_removes_somebody_with_a_livekit_client() {
    let daemon = Daemon::start().await;
    let (mut one, _) = Circle::enter(&daemon, "a", &host("a")).await;
    let mut ann = LiveKit::join(&daemon, &guest("a", "ann")).await;
    let joined = one.until("joined").await;
    assert_eq!(joined["person"]["participant"], "ann");
    assert_eq!(one.until("changed").await["person"]["media"], true);
    let sid = ann.announce_microphone().await;
    one.done(json!({"type": "mute", "source": "microphone", "participants": ["ann"]})).await;
    assert_eq!(ann.muted().await, sid);
    one.done(json!({"type": "change-room", "set": {"microphones": "held"}})).await;
    assert_eq!(ann.muted().await, sid, "held now, and told so");

    one.done(json!({"type": "set-role", "participant": "ann", "role": "listener"})).await;
    let unpublished = ann
        .until(|said| match said {
            Said::TrackUnpublished(unpublished) => Some(unpublished.track_sid),
            _ => None,
        })
        .await;
    assert_eq!(unpublished, sid);
    let (permission, role) = ann
        .until(|said| match said {
            Said::Update(update) => update
                .participants
                .into_iter()
                .find(|info| info.identity == "ann" && info.attributes["enza.role"] == "listener")
                .map(|info| (info.permission.unwrap(), info.attributes["enza.role"].clone())),
            _ => None,
        })
        .await;
    assert!(!permission.can_publish && role == "listener");
    one.done(json!({"type": "spotlight", "participants": ["host"]})).await;
    let metadata = ann
        .until(|said| match said {
            Said::RoomUpdate(update) => {
                Some(update.room.unwrap().metadata).filter(|text| text.contains("spotlight\":[\"host"))
            }
            _ => None,
        })
        .await;
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    assert_eq!(metadata["enza"]["seats"], json!(["host"]), "a listener has no seat");

    one.done(json!({"type": "remove", "participant": "ann", "ban": true})).await;
    assert_eq!(ann.leave_said().await, DisconnectReason::ParticipantRemoved);
    let mut again = LiveKit::join(&daemon, &guest("a", "ann")).await;
    assert_eq!(again.leave_said().await, DisconnectReason::JoinFailure);
    daemon.server.stop().await;
}

#[tokio::test]
async fn the_lobby_holds_media_back_until_a_host_lets_somebody_in() {
    let daemon = Daemon::start().await;
    let (mut one, _) = Circle::enter(&daemon, "a", &host("a")).await;
    one.done(json!({"type": "change-room", "set": {"lobby": "guests"}})).await;
    let token = guest("a", "ann");
    let mut ann = Circle::open(daemon.port(), "a", &token, "").await.unwrap();
    assert_eq!(ann.until("waiting").await["waitsFor"], "host");
    assert_eq!(one.until("knocked").await["knock"]["name"], "ANN");
    let mut early = LiveKit::join(&daemon, &token).await;
    assert_eq!(early.leave_said().await, DisconnectReason::JoinFailure);
    one.done(json!({"type": "admit", "participants": ["ann"]})).await;
    assert_eq!(ann.until("state").await["you"], "ann");
    let mut media = LiveKit::join(&daemon, &token).await;
    assert!(matches!(media.next().await, Some(Said::Join(_))));
    ann.done(json!({"type": "leave"})).await;
    assert_eq!(media.leave_said().await, DisconnectReason::ClientInitiated);
    daemon.server.stop().await;
}

#[tokio::test]
async fn a_reader_that_comes_back_gets_what_it_missed_and_a_newer_socket_wins() {
    let daemon = Daemon::start().await;
    let (mut one, _) = Circle::enter(&daemon, "a", &host("a")).await;
    let token = guest("a", "ann");
    let (mut ann, state) = Circle::enter(&daemon, "a", &token).await;
    one.done(json!({"type": "spotlight", "participants": ["ann"]})).await;
    one.done(json!({"type": "spotlight", "participants": []})).await;
    let more = format!("&epoch={}&revision={}", state["epoch"].as_str().unwrap(), state["revision"]);
    let mut back = Circle::open(daemon.port(), "a", &token, &more).await.unwrap();
    let missed = [back.next().await.unwrap(), back.next().await.unwrap(), back.next().await.unwrap()];
    let kinds: Vec<&str> = missed.iter().map(|said| said["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["spotlight", "spotlight", "caught-up"]);
    ann.until("elsewhere").await;
    assert_eq!(ann.next().await, None);
    daemon.server.stop().await;
}

#[tokio::test]
async fn what_a_host_set_survives_a_restart() {
    let first = Daemon::start().await;
    let room = first.server.store().create_room("Tuesday", 1).await.unwrap().id;
    let (mut one, _) = Circle::enter(&first, &room, &host(&room)).await;
    one.done(json!({"type": "change-room", "set": {"question": "How are you?", "lobby": "guests"}})).await;
    let Daemon { server, folder, .. } = first;
    server.stop().await;
    assert_eq!(one.until("stopping").await["type"], "stopping");
    let data = folder.path().join("data");
    let second = Daemon::start_with(|settings| settings.data = Some(data)).await;
    let (_one, state) = Circle::enter(&second, &room, &host(&room)).await;
    assert_eq!(
        (&state["settings"]["question"], &state["settings"]["lobby"]),
        (&json!("How are you?"), &json!("guests"))
    );
    second.server.stop().await;
}

#[tokio::test]
async fn the_api_sees_the_running_circle_who_is_there_and_what_they_are_now() {
    let daemon = Daemon::start().await;
    let store = daemon.server.store();
    let room = store.create_room("Tuesday", 1).await.unwrap().id;
    let (_, secret) =
        store.create_invite(&room, store::Role::Guest, store::Terms::default(), 1).await.unwrap();
    let asked = json!({ "invite": secret.reveal() }).to_string();
    let before = daemon.post("/api/invite", &asked).await.json();
    assert_eq!((before.get("live"), before.get("agreement")), (None, None));
    let (mut one, _) = Circle::enter(&daemon, &room, &host(&room)).await;
    let second = signed(&Grants { room_admin: true, ..grants(&room, "second") });
    let (_second, _) = Circle::enter(&daemon, &room, &second).await;
    one.done(json!({"type": "change-room", "set": {"agreement": ["We listen."], "lobby": "guests"}})).await;
    let invites = format!("/api/rooms/{room}/invites");
    let bearer = format!("Bearer {second}");
    let as_second = [("authorization", bearer.as_str())];
    assert_eq!(daemon.get(&invites, &as_second).await.status, 200);
    one.done(json!({"type": "set-role", "participant": "second", "role": "speaker"})).await;
    assert_eq!(daemon.get(&invites, &as_second).await.status, 403, "their token still says host");
    let said = daemon.post("/api/invite", &asked).await.json();
    assert_eq!(said["live"], json!({"people": 2}));
    assert_eq!((&said["agreement"]["lines"], &said["lobby"]), (&json!(["We listen."]), &json!(true)));
    daemon.server.stop().await;
}

#[tokio::test]
async fn a_ban_outlives_the_meeting_and_a_new_name_until_it_is_lifted() {
    let first = Daemon::start().await;
    let store = first.server.store();
    let room = store.create_room("Tuesday", 1).await.unwrap().id;
    let (_, many) = store.create_invite(&room, store::Role::Guest, store::Terms::default(), 1).await.unwrap();
    let one = store::Terms { max_uses: Some(1), ..store::Terms::default() };
    let (_, single) = store.create_invite(&room, store::Role::Guest, one, 1).await.unwrap();
    let many = many.reveal().to_owned();
    let (mut chie, _) = Circle::enter(&first, &room, &host(&room)).await;
    let joined = json!({"invite": single.reveal(), "name": "Ann", "mark": "a browser's mark"}).to_string();
    let ann = first.post("/api/join", &joined).await.json();
    let ann_token = ann["token"].as_str().unwrap().to_owned();
    let (mut circle, _) = Circle::enter(&first, &room, &ann_token).await;
    chie.done(json!({"type": "remove", "participant": ann["identity"], "ban": true})).await;
    circle.until("removed").await;
    let revoked = first.post("/api/join", &joined).await.json();
    assert_eq!(revoked["code"], "invite-revoked", "a link for one person is closed with the ban");
    let Daemon { server, folder, .. } = first;
    server.stop().await;

    let data = folder.path().join("data");
    let second = Daemon::start_with(|settings| settings.data = Some(data)).await;
    let mut again = Circle::open(second.port(), &room, &ann_token, "").await.unwrap();
    assert_eq!(again.next().await.unwrap()["code"], "banned", "the old token opens nothing");
    let join = async |fields: Value| second.post("/api/join", &fields.to_string()).await.json();
    let by_mark = join(json!({"invite": many, "name": "Other", "mark": "a browser's mark"})).await;
    assert_eq!(by_mark["code"], "banned");
    let by_token = join(json!({"invite": many, "name": "Other", "again": ann_token})).await;
    assert_eq!(by_token["code"], "banned");
    let somebody = join(json!({"invite": many, "name": "Ben", "mark": "another mark"})).await;
    assert!(somebody["token"].is_string(), "{somebody}");

    let bearer = format!("Bearer {}", host(&room));
    let headers = [("authorization", bearer.as_str())];
    let bans = format!("/api/rooms/{room}/bans");
    let listed = second.get(&bans, &headers).await.json();
    assert_eq!((listed["bans"].as_array().unwrap().len(), &listed["bans"][0]["device"]), (1, &json!(true)));
    let lift = format!("{bans}/{}", listed["bans"][0]["id"]);
    assert_eq!(common::ask(second.port(), "DELETE", &lift, &headers, "").await.status, 204);
    let back =
        join(json!({"invite": many, "name": "Ann", "again": ann_token, "mark": "a browser's mark"})).await;
    assert_eq!(back["identity"], ann["identity"], "{back}");
    let (_circle, _) = Circle::enter(&second, &room, &ann_token).await;
    second.server.stop().await;
}

#[tokio::test]
async fn what_the_disk_does_not_take_is_not_acknowledged() {
    let daemon = Daemon::start().await;
    let room = daemon.server.store().create_room("Tuesday", 1).await.unwrap().id;
    let (mut one, _) = Circle::enter(&daemon, &room, &host(&room)).await;
    one.done(json!({"type": "change-room", "set": {"question": "One?"}})).await;
    let kept = daemon.server.store().room_settings(&room).await.unwrap().unwrap();
    assert!(kept.contains("One?"), "on disk when it was answered");
    daemon.server.store().close().await;
    let (answer, _) = one.ask(json!({"type": "change-room", "set": {"question": "Two?"}})).await;
    assert_eq!((&answer["type"], &answer["code"]), (&json!("refused"), &json!("not-kept")));
    one.done(json!({"type": "raise-hand"})).await;
    daemon.server.stop().await;
}

#[tokio::test]
async fn a_room_that_opens_while_the_one_before_still_writes_waits_for_its_last_word() {
    use sqlx::{ConnectOptions as _, Executor as _};
    let daemon = Daemon::start().await;
    let room = daemon.server.store().create_room("Tuesday", 1).await.unwrap().id;
    let (mut one, _) = Circle::enter(&daemon, &room, &host(&room)).await;
    one.done(json!({"type": "change-room", "set": {"history": "days"}})).await;
    let database = daemon.config.data.join("enza.db");
    let mut disk = sqlx::sqlite::SqliteConnectOptions::new().filename(database).connect().await.unwrap();
    disk.execute("BEGIN IMMEDIATE").await.unwrap();
    let write = json!({"type": "write", "to": "everyone", "body": "the last word", "id": 8});
    one.socket.send(Message::Text(write.to_string().into())).await.unwrap();
    one.until("text").await;
    one.socket.send(Message::Text(json!({"type": "end", "id": 9}).to_string().into())).await.unwrap();
    one.until("ended").await;
    let ann = guest(&room, "ann");
    let (again, ()) = tokio::join!(Circle::enter(&daemon, &room, &ann), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        disk.execute("COMMIT").await.unwrap();
    });
    assert_eq!(again.1["texts"][0]["body"], "the last word");
    daemon.server.stop().await;
}

#[tokio::test]
async fn a_restart_finds_everybody_in_their_seats_and_an_end_forgets_them() {
    let first = Daemon::start().await;
    let room = first.server.store().create_room("Tuesday", 1).await.unwrap().id;
    let (mut one, _) = Circle::enter(&first, &room, &host(&room)).await;
    let (ann, ben) = (guest(&room, "ann"), guest(&room, "ben"));
    let (mut first_ann, _) = Circle::enter(&first, &room, &ann).await;
    let (_ben, _) = Circle::enter(&first, &room, &ben).await;
    one.done(json!({"type": "order-seats", "participants": ["ben", "ann", "host"]})).await;
    one.done(json!({"type": "set-role", "participant": "ben", "role": "co-host"})).await;
    first_ann.done(json!({"type": "raise-hand"})).await;
    let Daemon { server, folder, .. } = first;
    server.stop().await;

    let data = folder.path().join("data");
    let second = Daemon::start_with(|settings| settings.data = Some(data.clone())).await;
    let (mut one, _) = Circle::enter(&second, &room, &host(&room)).await;
    let (_ann, _) = Circle::enter(&second, &room, &ann).await;
    let (_ben, state) = Circle::enter(&second, &room, &ben).await;
    assert_eq!(state["seats"], json!(["ben", "ann", "host"]));
    assert_eq!(state["hands"][0]["participant"], "ann");
    let role = |who: &str| {
        let people = state["participants"].as_array().unwrap();
        people.iter().find(|person| person["participant"] == who).unwrap()["role"].clone()
    };
    assert_eq!((role("ben"), role("ann")), (json!("co-host"), json!("speaker")));
    let told = one.done(json!({"type": "end"})).await;
    assert!(told.iter().any(|said| said["type"] == "ended"), "{told:?}");
    second.server.stop().await;
    let third = Daemon::start_with(|settings| settings.data = Some(data)).await;
    assert_eq!(third.server.store().live(&room, 0).await.unwrap(), None, "the meeting is over");
    third.server.stop().await;
}

#[tokio::test]
async fn the_operator_and_hosts_by_token_moderate_over_http_by_the_circles_own_table() {
    let daemon = Daemon::start().await;
    let room = daemon.server.store().create_room("Room", 1).await.unwrap().id;
    let key = std::fs::read_to_string(daemon.config.data.join("operator-key")).unwrap();
    let path = format!("/api/rooms/{room}/moderation");
    let order = async |token: &str, command: Value| {
        let authorization = format!("Bearer {}", token.trim());
        let headers = [("authorization", authorization.as_str())];
        let answer = common::ask(daemon.port(), "POST", &path, &headers, &command.to_string()).await;
        let code = if answer.status == 204 { Value::Null } else { answer.json()["code"].clone() };
        (answer.status, code.as_str().unwrap_or_default().to_owned())
    };
    let remove = |ban: bool| json!({"type": "remove", "participant": "ann", "ban": ban});
    assert_eq!(order(&key, remove(false)).await, (409, "nobody-inside".to_owned()));
    assert_eq!(order(&guest(&room, "ann"), remove(false)).await, (403, "not-allowed".to_owned()));
    let (mut hosts, _) = Circle::enter(&daemon, &room, &host(&room)).await;
    let (mut ann, _) = Circle::enter(&daemon, &room, &guest(&room, "ann")).await;
    hosts.done(json!({"type": "change-room", "set": {"lobby": "guests"}})).await;
    let mut ben = Circle::open(daemon.port(), &room, &guest(&room, "ben"), "").await.unwrap();
    assert_eq!(ben.next().await.unwrap()["type"], "waiting");
    let headers = [("authorization", format!("Bearer {}", key.trim()))];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let people = daemon.get(&format!("/api/rooms/{room}/participants"), &headers).await.json();
    assert_eq!(people["waiting"][0]["participant"], "ben");
    let admit = json!({"type": "admit", "participants": ["ben"]});
    assert_eq!(order(&guest(&room, "ann"), admit.clone()).await, (403, "not-allowed".to_owned()));
    assert_eq!(order(&key, admit).await.0, 204);
    ben.until("state").await;

    let mute = json!({"type": "mute", "source": "microphone", "participants": ["ann"]});
    assert_eq!(order(&host(&room), mute).await.0, 204);
    let line = ann.until("moderation").await;
    assert_eq!((&line["by"], &line["deed"]), (&json!("host"), &json!("mute")));
    for (command, expected) in [
        (json!({"type": "remove", "participant": "nobody"}), (404, "participant-unknown")),
        (json!({"type": "set-role", "participant": "host", "role": "speaker"}), (409, "last-host")),
        (json!({"type": "raise-hand"}), (400, "bad-request")),
        (json!({"type": "change-room", "set": {"locked": true}}), (400, "bad-request")),
        (json!({"type": "fly"}), (400, "bad-request")),
    ] {
        let (status, code) = order(&key, command.clone()).await;
        assert_eq!((status, code.as_str()), expected, "{command}");
    }
    assert_eq!(order(&key, remove(true)).await.0, 204);
    assert_eq!(ann.until("removed").await["banned"], true);
    assert_eq!(daemon.server.store().bans(&room).await.unwrap().len(), 1, "on disk when it is answered");
    // Who was banned moderates nothing, whatever their token says.
    let ann_as_host = signed(&Grants { room_admin: true, ..grants(&room, "ann") });
    assert_eq!(order(&ann_as_host, json!({"type": "end"})).await, (403, "not-allowed".to_owned()));
    assert_eq!(order(&key, json!({"type": "end"})).await.0, 204);
    hosts.until("ended").await;
    // The end is written while it is answered.
    let acts = timeout(PATIENCE, async {
        loop {
            let audit = daemon.get(&format!("/api/rooms/{room}/audit"), &headers).await.json();
            let acts: Vec<String> = audit["audit"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| format!("{} {}", one["by"].as_str().unwrap(), one["act"].as_str().unwrap()))
                .collect();
            if acts.len() == 5 {
                break acts;
            }
        }
    })
    .await
    .expect("five records in time");
    assert_eq!(acts, ["host change-room", "operator admit", "host mute", "operator ban", "operator end"]);
    daemon.server.stop().await;
}

fn is_on_disk(daemon: &Daemon, words: &str) -> bool {
    let files = std::fs::read_dir(&daemon.config.data).unwrap();
    let held: Vec<u8> = files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
    held.windows(words.len()).any(|window| window == words.as_bytes())
}

#[tokio::test]
async fn texts_are_on_disk_only_where_the_room_keeps_them_and_only_what_everybody_may_read() {
    let first = Daemon::start().await;
    let room = first.server.store().create_room("Tuesday", 1).await.unwrap().id;
    let (mut one, _) = Circle::enter(&first, &room, &host(&room)).await;
    let (mut ann, _) = Circle::enter(&first, &room, &guest(&room, "ann")).await;
    ann.done(json!({"type": "write", "to": "everyone", "body": "words-of-one-meeting"})).await;
    let days = json!({"type": "change-room", "set": {"history": "days", "historyDays": 3}});
    one.done(days.clone()).await;
    assert!(!is_on_disk(&first, "words-of-one-meeting"));
    for body in ["kept-one", "kept-two", "kept-three"] {
        ann.done(json!({"type": "write", "to": "everyone", "body": body})).await;
        assert!(is_on_disk(&first, body), "on disk when it was answered");
    }
    ann.done(json!({"type": "write", "to": "hosts", "body": "a-private-line"})).await;
    ann.done(json!({"type": "remove-text", "text": 3})).await;
    assert!(!is_on_disk(&first, "a-private-line") && !is_on_disk(&first, "kept-two"));
    one.done(json!({"type": "end"})).await;
    let Daemon { server, folder, .. } = first;
    server.stop().await;

    let data = folder.path().join("data");
    let second = Daemon::start_with(|settings| settings.data = Some(data)).await;
    let (mut one, state) = Circle::enter(&second, &room, &host(&room)).await;
    let texts: Vec<&str> =
        state["texts"].as_array().unwrap().iter().map(|text| text["body"].as_str().unwrap()).collect();
    assert_eq!(texts, ["kept-one", "kept-three"], "the next meeting sees them");
    assert_eq!(state["texts"][0]["name"], "ANN");
    one.done(json!({"type": "remove-text", "text": state["texts"][0]["text"]})).await;
    assert!(!is_on_disk(&second, "kept-one") && is_on_disk(&second, "kept-three"));
    let told = one.done(json!({"type": "change-room", "set": {"history": "meeting"}})).await;
    assert!(told.iter().any(|said| said["type"] == "text-removed"), "{told:?}");
    assert!(!is_on_disk(&second, "kept-three"), "a host's word holds at once");

    let path = format!("/api/rooms/{room}/audit");
    let key = format!("Bearer {}", host(&room));
    let audit = second.get(&path, &[("authorization", &key)]).await.json();
    let acts: Vec<_> = audit["audit"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (&one["act"], &one["by"], &one["people"]))
        .collect();
    let by_host = |act, people| (json!(act), json!("host"), json!(people));
    let expected =
        [by_host("change-room", 0), by_host("end", 2), by_host("remove-text", 1), by_host("change-room", 0)];
    assert_eq!(acts, expected.iter().map(|(act, by, people)| (act, by, people)).collect::<Vec<_>>());
    assert!(!audit.to_string().contains("ann"), "nobody is named: {audit}");
    let key = format!("Bearer {}", guest(&room, "ann"));
    assert_eq!(second.get(&path, &[("authorization", &key)]).await.status, 403);
    second.server.stop().await;
}

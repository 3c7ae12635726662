//! LiveKit's server API against a real server, in protobuf and in JSON, with a LiveKit client's signalling inside.

mod common;

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use common::{Answer, Daemon, PATIENCE, SECRET, ask, token};
use futures_util::StreamExt as _;
use livekit_protocol::signal_response::Message as Said;
use livekit_protocol::{
    ClientInfo, CreateRoomRequest, DisconnectReason, JoinRequest, ListRoomsRequest, ListRoomsResponse, Room,
    SignalResponse, WrappedJoinRequest,
};
use prost::Message as _;
use ring::hmac;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

/// A token of the server API, signed by hand.
fn key(video: Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({"iss": "key", "exp": 4_000_000_000_u64, "video": video});
    let signed = format!("{}.{}", part(&json!({"alg": "HS256", "typ": "JWT"})), part(&claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
}

async fn call(daemon: &Daemon, method: &str, video: Value, body: Value) -> Answer {
    let authorization = format!("Bearer {}", key(video));
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    let path = format!("/twirp/livekit.RoomService/{method}");
    ask(daemon.port(), "POST", &path, &headers, &body.to_string()).await
}

async fn protobuf(daemon: &Daemon, method: &str, video: Value, body: &[u8]) -> Answer {
    let head = format!(
        "POST /twirp/livekit.RoomService/{method} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         authorization: Bearer {}\r\ncontent-type: application/protobuf\r\ncontent-length: {}\r\n\r\n",
        key(video),
        body.len()
    );
    let mut stream = TcpStream::connect(("127.0.0.1", daemon.port())).await.unwrap();
    stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
    let mut raw = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut raw)).await.expect("an answer in time").unwrap();
    common::parse(&raw)
}

fn error(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn rooms_are_made_listed_and_deleted_in_protobuf_and_in_json() {
    let daemon = Daemon::start().await;
    let request =
        CreateRoomRequest { name: "a".into(), metadata: "m".into(), empty_timeout: 77, ..Default::default() };
    let made = protobuf(&daemon, "CreateRoom", json!({"roomCreate": true}), &request.encode_to_vec()).await;
    assert_eq!((made.status, made.header("content-type")), (200, Some("application/protobuf")));
    let room = Room::decode(&*made.body).unwrap();
    assert_eq!((room.name.as_str(), room.metadata.as_str(), room.empty_timeout), ("a", "m", 77));
    assert!(room.sid.starts_with("RM_"));
    let made = call(&daemon, "CreateRoom", json!({"roomCreate": true}), json!({"name": "b"})).await;
    assert_eq!(made.json()["name"], "b");

    let all = ListRoomsRequest::default().encode_to_vec();
    let listed = protobuf(&daemon, "ListRooms", json!({"roomList": true}), &all).await;
    let mut names: Vec<String> =
        ListRoomsResponse::decode(&*listed.body).unwrap().rooms.into_iter().map(|room| room.name).collect();
    names.sort();
    assert_eq!(names, ["a", "b"]);
    let one = call(&daemon, "ListRooms", json!({"roomList": true}), json!({"names": ["b"]})).await.json();
    assert_eq!(one["rooms"].as_array().unwrap().len(), 1);

    let gone = call(&daemon, "DeleteRoom", json!({"roomCreate": true}), json!({"room": "b"})).await;
    assert_eq!((gone.status, gone.json()), (200, json!({})));
    let again = call(&daemon, "DeleteRoom", json!({"roomCreate": true}), json!({"room": "none"})).await;
    assert_eq!(error(&again), (404, "not_found".to_owned()));
    daemon.server.stop().await;
}

#[tokio::test]
async fn errors_are_twirps_own_and_rights_are_those_of_the_token() {
    let daemon = Daemon::start().await;
    for (method, video, body, expected) in [
        ("ListRooms", json!({"roomCreate": true}), json!({}), (401, "unauthenticated")),
        ("CreateRoom", json!({"roomList": true}), json!({"name": "a"}), (401, "unauthenticated")),
        ("CreateRoom", json!({"roomCreate": true}), json!({}), (400, "invalid_argument")),
        ("CreateRoom", json!({"roomCreate": true}), json!({"name": 5}), (400, "malformed")),
        (
            "ListParticipants",
            json!({"roomAdmin": true, "room": "b"}),
            json!({"room": "a"}),
            (401, "unauthenticated"),
        ),
        (
            "ListParticipants",
            json!({"roomAdmin": true, "room": "a"}),
            json!({"room": "a"}),
            (404, "not_found"),
        ),
        ("MoveParticipant", json!({"roomAdmin": true, "room": "a"}), json!({}), (501, "unimplemented")),
    ] {
        let answer = call(&daemon, method, video, body).await;
        assert_eq!(error(&answer), (expected.0, expected.1.to_owned()), "{method}");
        assert!(answer.json()["msg"].as_str().unwrap().len() > 5);
    }
    let other = ask(daemon.port(), "POST", "/twirp/livekit.Egress/ListEgress", &[], "{}").await;
    assert_eq!(error(&other), (501, "unimplemented".to_owned()));
    let nowhere = ask(daemon.port(), "POST", "/twirp/nothing", &[], "{}").await;
    assert_eq!(error(&nowhere), (404, "bad_route".to_owned()));
    let path = "/twirp/livekit.RoomService/ListRooms";
    let untyped = ask(daemon.port(), "POST", path, &[("content-type", "text/plain")], "{}").await;
    assert_eq!(error(&untyped), (404, "bad_route".to_owned()));
    let unsigned = ask(daemon.port(), "POST", path, &[("content-type", "application/json")], "{}").await;
    assert_eq!(error(&unsigned), (401, "unauthenticated".to_owned()));
    daemon.server.stop().await;
}

#[tokio::test]
async fn a_participant_is_seen_changed_and_removed() {
    let daemon = Daemon::start().await;
    let request = JoinRequest {
        client_info: Some(ClientInfo { protocol: 17, ..ClientInfo::default() }),
        ..JoinRequest::default()
    };
    let wrapped = WrappedJoinRequest { join_request: request.encode_to_vec(), ..Default::default() };
    let wrapped = URL_SAFE.encode(wrapped.encode_to_vec()).replace('=', "%3D");
    let (port, token) = (daemon.port(), token("a", "ann"));
    let url = format!("ws://127.0.0.1:{port}/rtc/v1?access_token={token}&join_request={wrapped}");
    let (mut socket, _) = timeout(PATIENCE, connect_async(url)).await.expect("in time").unwrap();
    let mut next = async || loop {
        match timeout(PATIENCE, socket.next()).await.expect("a frame in time") {
            Some(Ok(Message::Binary(bytes))) => {
                return SignalResponse::decode(bytes).unwrap().message.expect("a message");
            }
            Some(Ok(_)) => {}
            other => panic!("the socket ended: {other:?}"),
        }
    };
    assert!(matches!(next().await, Said::Join(_)));

    let admin = || json!({"roomAdmin": true, "room": "a"});
    let listed = call(&daemon, "ListParticipants", admin(), json!({"room": "a"})).await.json();
    assert_eq!(listed["participants"][0]["identity"], "ann");
    let one = call(&daemon, "GetParticipant", admin(), json!({"room": "a", "identity": "ann"})).await.json();
    assert_eq!(one["permission"]["can_publish"], true);
    let nobody = call(&daemon, "GetParticipant", admin(), json!({"room": "a", "identity": "ben"})).await;
    assert_eq!(error(&nobody), (404, "not_found".to_owned()));

    let change = json!({"room": "a", "identity": "ann", "name": "Anna", "attributes": {"seat": "3"},
        "permission": {"canSubscribe": true, "canPublish": false, "canPublishData": true}});
    let changed = call(&daemon, "UpdateParticipant", admin(), change).await.json();
    assert_eq!((&changed["name"], &changed["attributes"]["seat"]), (&json!("Anna"), &json!("3")));
    assert_eq!(changed["attributes"]["enza.role"], "listener", "the circle knows: {changed}");
    assert_ne!(changed["permission"]["can_publish"], json!(true));
    let forged = json!({"room": "a", "identity": "ann", "attributes": {"enza.role": "host"}});
    let forged = call(&daemon, "UpdateParticipant", admin(), forged).await;
    assert_eq!(error(&forged), (400, "invalid_argument".to_owned()));
    let metadata = json!({"room": "a", "metadata": "{\"topic\":\"tea\"}"});
    let room = call(&daemon, "UpdateRoomMetadata", admin(), metadata).await.json();
    let metadata: Value = serde_json::from_str(room["metadata"].as_str().unwrap()).unwrap();
    assert_eq!((&metadata["topic"], metadata["enza"].is_object()), (&json!("tea"), true));
    let unmute = json!({"room": "a", "identity": "ann", "trackSid": "TR_x", "muted": false});
    let unmute = call(&daemon, "MutePublishedTrack", admin(), unmute).await;
    assert_eq!(error(&unmute), (412, "failed_precondition".to_owned()), "nobody opens anybody's microphone");
    let mute = json!({"room": "a", "identity": "ann", "trackSid": "TR_x", "muted": true});
    let mute = call(&daemon, "MutePublishedTrack", admin(), mute).await;
    assert_eq!(error(&mute), (404, "not_found".to_owned()));
    let data = json!({"room": "a", "data": "aGVsbG8=", "kind": "RELIABLE"});
    assert_eq!(call(&daemon, "SendData", admin(), data).await.status, 200);
    let subscribe = json!({"room": "a", "identity": "ann", "trackSids": ["TR_x"], "subscribe": true});
    assert_eq!(call(&daemon, "UpdateSubscriptions", admin(), subscribe).await.status, 200);

    let removed = call(&daemon, "RemoveParticipant", admin(), json!({"room": "a", "identity": "ann"})).await;
    assert_eq!(removed.status, 200, "{}", removed.text());
    loop {
        if let Said::Leave(leave) = next().await {
            assert_eq!(leave.reason(), DisconnectReason::ParticipantRemoved);
            break;
        }
    }
    let again = call(&daemon, "RemoveParticipant", admin(), json!({"room": "a", "identity": "ann"})).await;
    assert_eq!(error(&again), (404, "not_found".to_owned()));
    daemon.server.stop().await;
}

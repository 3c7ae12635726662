//! A LiveKit client's WebSocket against a real server: join, ping, duplicate identity, resume, limits, goodbye.

mod common;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use common::{Daemon, PATIENCE, token};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::{SinkExt as _, StreamExt as _};
use livekit_protocol::leave_request::Action;
use livekit_protocol::signal_request::Message as Ask;
use livekit_protocol::signal_response::Message as Said;
use livekit_protocol::{
    ClientInfo, ConnectionSettings, DisconnectReason, JoinRequest, JoinResponse, LeaveRequest, Ping,
    SessionDescription, SignalRequest, SignalResponse, SimulateScenario, WrappedJoinRequest,
    request_response, simulate_scenario, wrapped_join_request,
};
use prost::Message as _;
use std::io::Write as _;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

fn join_request() -> JoinRequest {
    JoinRequest {
        client_info: Some(ClientInfo { protocol: 17, version: "2.23.0".to_owned(), ..ClientInfo::default() }),
        connection_settings: Some(ConnectionSettings {
            auto_subscribe: true,
            ..ConnectionSettings::default()
        }),
        ..JoinRequest::default()
    }
}

fn wrap(request: &JoinRequest, gzip: bool) -> String {
    let plain = request.encode_to_vec();
    let (compression, join_request) = if gzip {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&plain).unwrap();
        (wrapped_join_request::Compression::Gzip, encoder.finish().unwrap())
    } else {
        (wrapped_join_request::Compression::None, plain)
    };
    URL_SAFE.encode(WrappedJoinRequest { compression: compression.into(), join_request }.encode_to_vec())
}

struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Client {
    async fn connect(port: u16, token: &str, request: &JoinRequest, gzip: bool) -> Result<Self, Error> {
        let wrapped = wrap(request, gzip).replace('=', "%3D");
        let url = format!("ws://127.0.0.1:{port}/rtc/v1?access_token={token}&join_request={wrapped}");
        let (socket, _) = timeout(PATIENCE, connect_async(url)).await.expect("an upgrade in time")?;
        Ok(Self { socket })
    }

    /// Protocol v0: no `join_request`, two peer connections.
    async fn connect_v0(port: u16, token: &str, more: &str) -> Self {
        let url = format!(
            "ws://127.0.0.1:{port}/rtc?access_token={token}&protocol=15&sdk=go&auto_subscribe=1{more}"
        );
        let (socket, _) = timeout(PATIENCE, connect_async(url)).await.expect("an upgrade in time").unwrap();
        Self { socket }
    }

    /// The next offer of the server's.
    async fn offered(&mut self) -> SessionDescription {
        self.until(|said| match said {
            Said::Offer(offer) => Some(offer),
            _ => None,
        })
        .await
    }

    /// Joins a room and returns the join response, which must come first.
    async fn join(daemon: &Daemon, room: &str, identity: &str) -> (Self, JoinResponse) {
        let mut client =
            Self::connect(daemon.port(), &token(room, identity), &join_request(), true).await.unwrap();
        match client.next().await {
            Some(Said::Join(join)) => (client, join),
            other => panic!("the first message is {other:?}"),
        }
    }

    async fn frame(&mut self) -> Option<Message> {
        timeout(PATIENCE, self.socket.next()).await.expect("a frame in time")?.ok()
    }

    /// The next signalling message; `None` at the end of the connection.
    async fn next(&mut self) -> Option<Said> {
        loop {
            match self.frame().await? {
                Message::Binary(bytes) => return SignalResponse::decode(bytes).unwrap().message,
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }

    async fn until<T>(&mut self, mut wanted: impl FnMut(Said) -> Option<T>) -> T {
        loop {
            let said = self.next().await.expect("the connection is open");
            if let Some(found) = wanted(said) {
                return found;
            }
        }
    }

    async fn send(&mut self, message: Ask) {
        let request = SignalRequest { message: Some(message) };
        self.socket.send(Message::Binary(request.encode_to_vec().into())).await.unwrap();
    }

    async fn leave_said(&mut self) -> LeaveRequest {
        self.until(|said| match said {
            Said::Leave(leave) => Some(leave),
            _ => None,
        })
        .await
    }

    async fn ended(&mut self) {
        while self.next().await.is_some() {}
    }
}

fn refused_with(result: Result<Client, Error>) -> (u16, String) {
    match result {
        Err(Error::Http(response)) => {
            let body = response.body().clone().unwrap_or_default();
            (response.status().as_u16(), String::from_utf8(body).unwrap())
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it connected"),
    }
}

#[tokio::test]
async fn two_people_meet_and_one_leaves() {
    let daemon = Daemon::start().await;
    let (mut ann, joined) = Client::join(&daemon, "a", "ann").await;
    let me = joined.participant.unwrap();
    assert_eq!((me.identity.as_str(), me.name.as_str()), ("ann", "ANN"));
    assert!(me.sid.starts_with("PA_") && me.permission.is_some());
    assert!(joined.ping_interval > 0 && joined.ping_timeout > 0);
    let server = joined.server_info.unwrap();
    assert!(!server.version.is_empty() && server.protocol <= 17);
    assert_eq!(joined.room.unwrap().name, "a");

    let (mut ben, joined) = Client::join(&daemon, "a", "ben").await;
    let others: Vec<_> = joined.other_participants.into_iter().map(|other| other.identity).collect();
    assert_eq!(others, ["ann"]);
    ben.send(Ask::Leave(LeaveRequest {
        reason: DisconnectReason::ClientInitiated.into(),
        ..LeaveRequest::default()
    }))
    .await;
    ben.ended().await;
    // Somebody who was never ACTIVE may not have been shown to the others; a third join proves who is there.
    let (_, joined) = Client::join(&daemon, "a", "cho").await;
    let others: Vec<_> = joined.other_participants.into_iter().map(|other| other.identity).collect();
    assert_eq!(others, ["ann"]);
    ann.send(Ask::PingReq(Ping { timestamp: 7, rtt: 1 })).await;
    let pong = ann
        .until(|said| match said {
            Said::PongResp(pong) => Some(pong),
            _ => None,
        })
        .await;
    assert_eq!(pong.last_ping_timestamp, 7);
    daemon.server.stop().await;
}

#[tokio::test]
async fn an_older_client_is_offered_to_and_again_when_it_resumes() {
    let daemon = Daemon::start().await;
    let token = token("a", "ann");
    let mut old = Client::connect_v0(daemon.port(), &token, "").await;
    let Some(Said::Join(joined)) = old.next().await else { panic!("the join comes first") };
    assert!(joined.subscriber_primary);
    let first = old.offered().await;
    assert_eq!(first.r#type, "offer");
    assert!(first.id > 0 && first.sdp.contains("m=application 9 UDP/DTLS/SCTP webrtc-datachannel"));
    assert!(first.sdp.contains("a=ice-lite") && first.sdp.contains("typ host"));

    let sid = joined.participant.unwrap().sid;
    let mut again = Client::connect_v0(daemon.port(), &token, &format!("&reconnect=1&sid={sid}")).await;
    assert!(matches!(again.next().await, Some(Said::Reconnect(_))), "reconnect comes first");
    let second = again.offered().await;
    assert!(second.id > first.id, "the first one may have been lost with the socket");
    old.ended().await;

    // What cannot be an answer ends this participant, not the server.
    let answer = SessionDescription { r#type: "answer".to_owned(), sdp: "v=0\r\n".to_owned(), ..second };
    again.send(Ask::Answer(answer)).await;
    assert_eq!(again.leave_said().await.action(), Action::Reconnect);
    let (_, joined) = Client::join(&daemon, "a", "ben").await;
    assert!(joined.other_participants.is_empty());
    daemon.server.stop().await;
}

#[tokio::test]
async fn trouble_is_simulated_in_development_mode_only() {
    let node_failure = || {
        let scenario = Some(simulate_scenario::Scenario::NodeFailure(true));
        Ask::Simulate(SimulateScenario { scenario })
    };
    let daemon = Daemon::start().await;
    let (mut ann, _) = Client::join(&daemon, "a", "ann").await;
    ann.send(node_failure()).await;
    let answer = ann
        .until(|said| match said {
            Said::RequestResponse(answer) => Some(answer),
            _ => None,
        })
        .await;
    assert_eq!(answer.reason(), request_response::Reason::NotAllowed);
    daemon.server.stop().await;

    let daemon = Daemon::start_with(|settings| settings.development = Some(true)).await;
    let (mut ann, _) = Client::join(&daemon, "a", "ann").await;
    ann.send(node_failure()).await;
    ann.ended().await;
    daemon.server.stop().await;
}

#[tokio::test]
async fn rooms_with_the_same_people_do_not_see_each_other() {
    let daemon = Daemon::start().await;
    let (_one, _) = Client::join(&daemon, "a", "ann").await;
    let (_two, joined) = Client::join(&daemon, "b", "ann").await;
    assert!(joined.other_participants.is_empty());
    assert_eq!(joined.room.unwrap().name, "b");
    daemon.server.stop().await;
}

#[tokio::test]
async fn the_join_request_may_be_plain_and_its_padding_missing() {
    let daemon = Daemon::start().await;
    let token = token("a", "ann");
    let mut client = Client::connect(daemon.port(), &token, &join_request(), false).await.unwrap();
    assert!(matches!(client.next().await, Some(Said::Join(_))));
    let unpadded = wrap(&join_request(), true);
    let unpadded = unpadded.trim_end_matches('=');
    let url =
        format!("ws://127.0.0.1:{}//rtc/v1?access_token={token}&join_request={unpadded}", daemon.port());
    let (socket, _) = connect_async(url).await.unwrap();
    assert!(matches!(Client { socket }.next().await, Some(Said::Join(_))));
    daemon.server.stop().await;
}

#[tokio::test]
async fn text_frames_are_answered_with_text() {
    let daemon = Daemon::start().await;
    let (mut client, _) = Client::join(&daemon, "a", "ann").await;
    let ping = r#"{"pingReq":{"timestamp":"41","rtt":"1"}}"#;
    client.socket.send(Message::Text(ping.into())).await.unwrap();
    let pong = loop {
        match client.frame().await.expect("the connection is open") {
            Message::Text(text) if text.contains("pongResp") => break text.to_string(),
            _ => {}
        }
    };
    let pong: serde_json::Value = serde_json::from_str(&pong).unwrap();
    assert_eq!(pong["pongResp"]["lastPingTimestamp"], "41");
    daemon.server.stop().await;
}

#[tokio::test]
async fn the_same_identity_again_replaces_the_first() {
    let daemon = Daemon::start().await;
    let (mut first, _) = Client::join(&daemon, "a", "ann").await;
    let (_second, joined) = Client::join(&daemon, "a", "ann").await;
    assert!(joined.other_participants.is_empty());
    let leave = first.leave_said().await;
    assert_eq!(leave.reason(), DisconnectReason::DuplicateIdentity);
    assert_eq!(leave.action(), Action::Disconnect);
    first.ended().await;
    daemon.server.stop().await;
}

#[tokio::test]
async fn resuming_somebody_unknown_means_joining_anew() {
    let daemon = Daemon::start().await;
    let request =
        JoinRequest { reconnect: true, participant_sid: "PA_nobodynobody".to_owned(), ..join_request() };
    let mut client = Client::connect(daemon.port(), &token("a", "ann"), &request, true).await.unwrap();
    let Some(Said::Leave(leave)) = client.next().await else { panic!("leave comes first") };
    assert_eq!(leave.reason(), DisconnectReason::StateMismatch);
    assert_eq!(leave.action(), Action::Reconnect);
    client.ended().await;
    daemon.server.stop().await;
}

#[tokio::test]
async fn a_resume_takes_the_participant_over() {
    let daemon = Daemon::start().await;
    let (first, joined) = Client::join(&daemon, "a", "ann").await;
    let request =
        JoinRequest { reconnect: true, participant_sid: joined.participant.unwrap().sid, ..join_request() };
    let mut again = Client::connect(daemon.port(), &token("a", "ann"), &request, true).await.unwrap();
    assert!(matches!(again.next().await, Some(Said::Reconnect(_))), "reconnect comes first");
    drop(first);
    again.send(Ask::Ping(5)).await;
    again.until(|said| matches!(said, Said::Pong(_) | Said::PongResp(_)).then_some(())).await;
    daemon.server.stop().await;
}

#[tokio::test]
async fn the_token_is_refreshed_right_after_the_join() {
    let daemon = Daemon::start().await;
    let (mut client, _) = Client::join(&daemon, "a", "ann").await;
    let fresh = client
        .until(|said| match said {
            Said::RefreshToken(token) => Some(token),
            _ => None,
        })
        .await;
    let answer = daemon.get(&format!("/rtc/v1/validate?access_token={fresh}&room=a"), &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    daemon.server.stop().await;
}

#[tokio::test]
async fn who_may_not_join_is_told_before_the_upgrade() {
    let daemon = Daemon::start().await;
    let good = token("a", "ann");
    let forged = format!("{}AAAA", &good[..good.len() - 4]);
    let (status, said) = refused_with(Client::connect(daemon.port(), &forged, &join_request(), true).await);
    assert_eq!(status, 401);
    assert!(said.contains("signature"), "{said}");
    let (status, _) = refused_with(Client::connect(daemon.port(), "", &join_request(), true).await);
    assert_eq!(status, 401);
    let url = format!("ws://127.0.0.1:{}/rtc/v1?access_token={good}", daemon.port());
    let refused = connect_async(url).await.map(|(socket, _)| Client { socket });
    let (status, said) = refused_with(refused);
    assert_eq!(status, 400);
    assert!(said.contains("join_request"), "{said}");
    daemon.server.stop().await;
}

#[tokio::test]
async fn floods_huge_frames_and_nonsense_close_only_the_own_connection() {
    let daemon = Daemon::start().await;
    let (mut witness, _) = Client::join(&daemon, "a", "witness").await;

    let (mut flood, _) = Client::join(&daemon, "a", "flood").await;
    for timestamp in 0..2000 {
        let request = SignalRequest { message: Some(Ask::PingReq(Ping { timestamp, rtt: 0 })) };
        if flood.socket.send(Message::Binary(request.encode_to_vec().into())).await.is_err() {
            break;
        }
    }
    let closed = loop {
        match timeout(PATIENCE, flood.socket.next()).await.expect("an end in time") {
            Some(Ok(Message::Close(frame))) => break frame.map(|frame| frame.code),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => break None,
        }
    };
    assert!(matches!(closed, None | Some(CloseCode::Policy)), "{closed:?}");

    let (mut huge, _) = Client::join(&daemon, "a", "huge").await;
    let _ = huge.socket.send(Message::Binary(vec![0; (2 << 20) + 1].into())).await;
    huge.ended().await;

    let (mut nonsense, _) = Client::join(&daemon, "a", "nonsense").await;
    for _ in 0..40 {
        if nonsense.socket.send(Message::Binary(vec![0xff; 64].into())).await.is_err() {
            break;
        }
    }
    nonsense.ended().await;

    witness.send(Ask::PingReq(Ping { timestamp: 9, rtt: 0 })).await;
    witness.until(|said| matches!(said, Said::PongResp(_)).then_some(())).await;
    daemon.server.stop().await;
}

#[tokio::test]
async fn a_socket_that_answers_no_ping_is_closed_and_one_that_does_is_kept() {
    let daemon = Daemon::start().await;
    let (mut alive, _) = Client::join(&daemon, "a", "alive").await;
    // Joined, and then the network takes everything: its pongs never leave, because nobody reads the pings.
    let (mut dead, _) = Client::join(&daemon, "b", "dead").await;
    for turn in 1..=4 {
        // The sessions' clock jumps to the next ping, so that nobody waits for it.
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(10)).await;
        tokio::time::resume();
        let pinged = async {
            while let Some(frame) = alive.socket.next().await {
                match frame.expect("it stays open") {
                    Message::Ping(_) => return,
                    Message::Close(frame) => panic!("closed: {frame:?}"),
                    _ => {}
                }
            }
            panic!("closed");
        };
        timeout(PATIENCE, pinged).await.unwrap_or_else(|_| panic!("ping {turn} comes"));
        // Reading on sends the pong; a late one is no harm, for the server is patient over three pings.
        let _ = timeout(Duration::from_millis(200), alive.socket.next()).await;
    }
    let gone = async { while let Some(Ok(_)) = dead.socket.next().await {} };
    timeout(Duration::from_secs(2), gone).await.expect("the silent one is closed");
    daemon.server.stop().await;
}

#[tokio::test]
async fn stopping_says_goodbye_to_everybody_in_time() {
    let daemon = Daemon::start().await;
    let (mut ann, _) = Client::join(&daemon, "a", "ann").await;
    let (mut ben, _) = Client::join(&daemon, "b", "ben").await;
    let port = daemon.port();
    let begun = Instant::now();
    let stopping = tokio::spawn(daemon.server.stop());
    for client in [&mut ann, &mut ben] {
        let leave = client.leave_said().await;
        assert_eq!(leave.reason(), DisconnectReason::ServerShutdown);
        client.ended().await;
    }
    stopping.await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err(), "nobody listens any more");
}

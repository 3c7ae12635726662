//! A real server on a free port inside the test's process, and the smallest clients that can speak with it.

#![allow(dead_code, reason = "each test file uses its own part")]

use enza::config::{Config, Settings};
use enza::server::Server;
use enza::token::{ApiKey, TokenAuthority};
use signal::Grants;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Daemon {
    pub(crate) server: Server,
    pub(crate) config: Config,
    pub(crate) folder: tempfile::TempDir,
}

impl Daemon {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings {
            port: Some(0),
            data: Some(folder.path().join("data")),
            api_key: Some("key".to_owned()),
            api_secret: Some(SECRET.to_owned()),
            ..Settings::default()
        };
        change(&mut settings);
        let config = settings.resolve(None, |_| None).unwrap();
        let server = Server::start(&config).await.unwrap();
        Self { server, config, folder }
    }

    pub(crate) fn port(&self) -> u16 {
        self.server.port()
    }

    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        ask(self.port(), "GET", path, headers, "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        ask(self.port(), "POST", path, &[("content-type", "application/json")], body).await
    }
}

pub(crate) fn grants(room: &str, identity: &str) -> Grants {
    Grants { name: identity.to_uppercase(), can_update_own_metadata: true, ..Grants::new(identity, room) }
}

pub(crate) fn token(room: &str, identity: &str) -> String {
    let key = ApiKey::new("key".to_owned(), SECRET.to_owned()).unwrap();
    TokenAuthority::new(&key).sign(&grants(room, identity), Duration::from_secs(600))
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// One HTTP/1.1 request on its own connection.
pub(crate) async fn ask(port: u16, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: localhost:{port}\r\nconnection: close\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    request += &format!("content-length: {}\r\n\r\n{body}", body.len());
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut raw = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut raw)).await.expect("an answer in time").unwrap();
    parse(&raw)
}

pub(crate) fn parse(raw: &[u8]) -> Answer {
    let split = raw.windows(4).position(|window| window == b"\r\n\r\n").expect("an HTTP answer");
    let head = std::str::from_utf8(&raw[..split]).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    Answer { status, headers, body: raw[split + 4..].to_vec() }
}

//! The ICE servers that clients are told (LiveKit's `ICEServer`): this server itself, under the name by which the client found it. So
//! the certificate fits, and nobody has to configure anything. Owns how long credentials are good; never knows who gets them.

use axum::http::HeaderMap;
use axum::http::header::HOST;
use axum::http::uri::Authority;
use livekit_protocol::signal_response::Message;
use livekit_protocol::{IceServer, SignalResponse};
use std::time::Duration;

/// How long a name opens the relay; what was opened under it may be kept open. Whoever comes back gets a new one. Higher: one
/// that was read from somebody's computer is of use for longer; lower: late in a long meeting, a phone that changes networks
/// has to come back over the page.
const LIFETIME: Duration = Duration::from_secs(6 * 3600);

/// The same for somebody who only tries whether there is a way, and belongs to no room.
const TRIAL_LIFETIME: Duration = Duration::from_secs(60);

/// HTTPS without a port in its address.
const HTTPS: u16 = 443;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(crate) struct IceServers {
    secret: turn::Secret,
    /// Without it, plain TCP and UDP are all there is, and clients are told of those as candidates.
    behind_tls: bool,
}

impl IceServers {
    pub(crate) const fn new(secret: turn::Secret, behind_tls: bool) -> Self {
        Self { secret, behind_tls }
    }

    /// For a client in `room` whose request had these headers. None where they help nobody: without TLS, and on this computer itself.
    pub(crate) fn told(&self, headers: &HeaderMap, unix: u64, room: &str, identity: &str) -> Vec<IceServer> {
        let person = format!("{} {room} {identity}", room.len());
        self.named(headers, unix.saturating_add(LIFETIME.as_secs()), &person)
    }

    /// For somebody in no room. All of them together are one person, with that person's share of the relay.
    pub(crate) fn for_trial(&self, headers: &HeaderMap, unix: u64) -> Vec<IceServer> {
        self.named(headers, unix.saturating_add(TRIAL_LIFETIME.as_secs()), "trial")
    }

    fn named(&self, headers: &HeaderMap, until: u64, person: &str) -> Vec<IceServer> {
        let host = headers.get(HOST).filter(|_| self.behind_tls).and_then(|host| host.to_str().ok());
        let Some(authority) = host.and_then(|host| host.parse::<Authority>().ok()) else { return Vec::new() };
        let Some(host) = name(&authority) else { return Vec::new() };
        let port = authority.port_u16().unwrap_or(HTTPS);
        let credential = self.secret.issue(until, person.as_bytes());
        vec![IceServer {
            // Not over UDP: on one socket Chromium takes everything that comes from a TURN server's address for the relay's,
            // and here media that goes straight comes from the same one.
            urls: vec![format!("turns:{host}:{port}?transport=tcp")],
            username: credential.username,
            credential: credential.password,
        }]
    }
}

/// A name or address that others find this computer by, as a URL has it.
fn name(authority: &Authority) -> Option<&str> {
    let host = authority.host();
    let plain = host.trim_start_matches('[').trim_end_matches(']');
    let well_formed = !host.is_empty()
        && plain.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':'))
        && !authority.as_str().contains('@');
    let loopback = plain.eq_ignore_ascii_case("localhost")
        || plain.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
    (well_formed && !loopback).then_some(host)
}

/// Puts them into the first message of a connection, if it is one that carries them.
pub(crate) fn put_into(response: &mut SignalResponse, ice_servers: &[IceServer]) {
    match &mut response.message {
        Some(Message::Join(join)) => join.ice_servers = ice_servers.to_vec(),
        Some(Message::Reconnect(reconnect)) => reconnect.ice_servers = ice_servers.to_vec(),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn told(behind_tls: bool, host: &str) -> Vec<IceServer> {
        told_to("anna", behind_tls, host)
    }

    fn told_to(identity: &str, behind_tls: bool, host: &str) -> Vec<IceServer> {
        let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_str(host).unwrap())]);
        let servers = IceServers::new(turn::Secret::derive(b"the server's key"), behind_tls);
        servers.told(&headers, 1_000_000, "room", identity)
    }

    #[test]
    fn a_client_is_told_the_name_by_which_it_came() {
        for (host, shown) in [
            ("circle.example.org", "circle.example.org:443"),
            ("circle.example.org:7880", "circle.example.org:7880"),
            ("192.0.2.4:7880", "192.0.2.4:7880"),
            ("[2001:db8::4]", "[2001:db8::4]:443"),
        ] {
            let told = told(true, host);
            let [server] = told.as_slice() else { panic!("{host}") };
            assert_eq!(server.urls, [format!("turns:{shown}?transport=tcp")]);
            assert!(server.username.starts_with(&format!("{}:", 1_000_000 + LIFETIME.as_secs())));
            assert!(!server.credential.is_empty());
        }
        assert_eq!(told(true, "a.example"), told(true, "a.example"), "a person is one");
        assert_ne!(told(true, "a.example"), told_to("ben", true, "a.example"), "each is another");
    }

    #[test]
    fn where_it_helps_nobody_there_is_none() {
        assert_eq!(told(false, "circle.example.org"), []);
        for host in ["localhost:7880", "127.0.0.1:7880", "[::1]:7880", "a@b.example", "a_b.example", ""] {
            assert_eq!(told(true, host), [], "{host}");
        }
    }
}

//! One socket of the page `/doctor`: a few small questions, a few trial connections, and an end after half a minute.

use super::second::Second;
use super::{Outside, Visit};
use crate::media::is_public;
use crate::rooms;
use crate::server::raised;
use crate::session::close;
use axum::extract::ws::{Message, WebSocket, close_code};
use livekit_protocol::IceServer;
use serde::Deserialize;
use serde_json::{Value, json};
use sfu::Event;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

/// Largest message: an offer of one data channel.
pub(crate) const MESSAGE_MAX: usize = 8 << 10;

/// How long one may look. The page needs six seconds. Higher: strangers hold sockets for longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Messages of one visit. The page has about ten.
const MESSAGES_MAX: u32 = 64;

/// How long one write may take: nothing here is larger than a packet or two.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);

/// Addresses told to ask from: a device outside needs no more to see its NAT.
const ASKED_MAX: usize = 2;

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Asked {
    /// What time is it?
    Ping,
    /// A trial connection.
    Offer { id: u32, sdp: String },
    /// As whom the first port sees this device.
    Reached { address: SocketAddr },
    /// What the second port saw.
    Second,
}

/// Who looks: their address, and the relay by the name under which they came.
pub(crate) struct Visitor {
    pub(crate) from: IpAddr,
    pub(crate) ice_servers: Vec<IceServer>,
}

/// Serves one upgraded socket to its end.
pub(crate) async fn run(
    mut socket: WebSocket,
    outside: Outside,
    visitor: Visitor,
    mut stopped: watch::Receiver<bool>,
) {
    let Some(mut visit) = outside.come(visitor.from).await else {
        return close(socket, close_code::AGAIN, "too many look at once").await;
    };
    // A machine without a port left shows less.
    let mut second = Second::open(visit.server.bind).await.ok();
    let hello = hello(&visit, &visitor, second.as_ref());
    let until = Instant::now() + PATIENCE;
    let mut messages = 0;
    let mut says = Some(hello);
    loop {
        if let Some(said) = says.take()
            && !matches!(
                timeout(WRITE_PATIENCE, socket.send(Message::text(said.to_string()))).await,
                Ok(Ok(()))
            )
        {
            return;
        }
        tokio::select! {
            () = raised(&mut stopped) => return close(socket, close_code::AWAY, "").await,
            () = sleep_until(until) => return close(socket, close_code::NORMAL, "").await,
            () = async { match &mut second { Some(second) => second.work().await, None => std::future::pending().await } } => {}
            Some(event) = visit.next() => says = answered(&visit, visitor.from, event),
            received = socket.recv() => {
                messages += 1;
                let asked = match received {
                    Some(Ok(Message::Text(text))) if messages <= MESSAGES_MAX => serde_json::from_str(&text),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) if messages <= MESSAGES_MAX => continue,
                    None | Some(Err(_) | Ok(Message::Close(_))) => return,
                    Some(Ok(_)) => return close(socket, close_code::POLICY, "too many messages").await,
                };
                says = match asked {
                    Ok(Asked::Ping) => Some(json!({"type": "pong", "unixMillis": rooms::now().unix_millis})),
                    Ok(Asked::Offer { id, sdp }) => {
                        let begun = carries_no_media(&sdp) && visit.offer(id, sdp);
                        (!begun).then(|| json!({"type": "refused", "id": id}))
                    }
                    Ok(Asked::Reached { address }) => {
                        if let Some(second) = &mut second
                            && is_own(address, visitor.from)
                        {
                            second.knock(address).await;
                        }
                        None
                    }
                    Ok(Asked::Second) => second.as_ref().map(|second| {
                        json!({"type": "second", "udp": second.seen, "tcp": second.connected})
                    }),
                    Err(_) => return close(socket, close_code::POLICY, "unreadable").await,
                };
            }
        }
    }
}

/// Whether a visitor from `from` may have us knock at `address`: at nobody else's.
fn is_own(address: SocketAddr, from: IpAddr) -> bool {
    address.ip().to_canonical() == from.to_canonical()
}

fn hello(visit: &Visit, visitor: &Visitor, second: Option<&Second>) -> Value {
    let v4 = visit.server.candidates.iter().filter(|address| address.is_ipv4());
    let asked: Vec<&SocketAddr> = v4
        .filter(|address| is_told(address.ip(), &visit.server.candidates, visitor.from))
        .take(ASKED_MAX)
        .collect();
    let ports = second.map(|second| second.ports);
    let ice_servers: Vec<Value> = visitor
        .ice_servers
        .iter()
        .map(|server| json!({"urls": server.urls, "username": server.username, "credential": server.credential}))
        .collect();
    json!({
        "type": "hello",
        "unixMillis": rooms::now().unix_millis,
        "certificate": visit.server.certificate,
        "port": visit.server.candidates.first().map(SocketAddr::port),
        "stun": asked,
        "second": ports.map(|(udp, tcp)| json!({"udp": udp, "tcp": tcp})),
        "iceServers": ice_servers,
        "private": !visit.server.candidates.iter().any(|address| is_public(address.ip())),
        "away": is_public(visitor.from),
    })
}

fn answered(visit: &Visit, from: IpAddr, event: Event) -> Option<Value> {
    match event {
        Event::Answer { offer_id, sdp, .. } => {
            let sdp = without_private(&sdp, &visit.server.candidates, from);
            Some(json!({"type": "answer", "id": offer_id, "sdp": sdp}))
        }
        Event::OfferRefused { offer_id, .. } => Some(json!({"type": "refused", "id": offer_id})),
        _ => None,
    }
}

/// A trial is one data channel and nothing else.
fn carries_no_media(sdp: &str) -> bool {
    sdp.lines().filter(|line| line.starts_with("m=")).all(|line| line.starts_with("m=application "))
}

/// The server's own networks are of no use to somebody outside them, where there is an address that they can reach.
fn is_told(ip: IpAddr, all: &[SocketAddr], from: IpAddr) -> bool {
    is_public(ip) || !is_public(from) || !all.iter().any(|address| is_public(address.ip()))
}

fn without_private(sdp: &str, all: &[SocketAddr], from: IpAddr) -> String {
    let told = |line: &&str| {
        // a=candidate:foundation component transport priority address port …
        let address = line.strip_prefix("a=candidate:").and_then(|rest| rest.split(' ').nth(4));
        address.and_then(|address| address.parse().ok()).is_none_or(|ip| is_told(ip, all, from))
    };
    sdp.split_inclusive('\n').filter(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_looks_from_outside_is_not_told_of_the_networks_inside() {
        let all: Vec<SocketAddr> = ["203.0.113.2:443", "10.0.0.5:443"].map(|at| at.parse().unwrap()).into();
        let line = |ip: &str| format!("a=candidate:1 1 udp 2130706431 {ip} 443 typ host\r\n");
        let sdp = format!("v=0\r\n{}{}a=end\r\n", line("203.0.113.2"), line("10.0.0.5"));
        let (near, far) = ("192.168.1.9".parse().unwrap(), "198.51.100.7".parse().unwrap());
        assert_eq!(without_private(&sdp, &all, near), sdp);
        assert_eq!(without_private(&sdp, &all, far), sdp.replace(&line("10.0.0.5"), ""));
        let inside = &all[1..];
        assert_eq!(without_private(&sdp, inside, far), sdp, "the relay reaches it by this address");
    }

    #[test]
    fn we_knock_at_nobody_else_s_address() {
        let from: IpAddr = "192.0.2.1".parse().unwrap();
        for (address, own) in [
            ("192.0.2.1:9", true),
            ("[::ffff:192.0.2.1]:9", true),
            ("192.0.2.77:9", false),
            ("[::ffff:192.0.2.77]:9", false),
            ("127.0.0.1:9", false),
            ("[::1]:9", false),
            ("[2001:db8::1]:9", false),
        ] {
            assert_eq!(is_own(address.parse().unwrap(), from), own, "{address}");
        }
    }

    #[test]
    fn a_trial_has_no_media() {
        assert!(carries_no_media("v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"));
        for more in ["audio", "video"] {
            let sdp =
                format!("v=0\r\nm=application 9 UDP/DTLS/SCTP x\r\nm={more} 9 UDP/TLS/RTP/SAVPF 96\r\n");
            assert!(!carries_no_media(&sdp));
        }
    }
}

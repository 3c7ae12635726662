//! Under which address the world sees this machine, asked of a STUN server (RFC 8489) from the media socket itself: rented servers
//! often have a private address, and a NAT in front that changes nothing else. Owns the question; believes only what answers it.

use super::socket::outgoing;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use turn::{binding_request, mapped_address};

/// How often it is asked, and how long each answer is waited for. Higher: a start without network takes longer; lower: one that
/// was lost leaves the server without its address until the next start.
const TRIES: u32 = 3;
const PATIENCE: Duration = Duration::from_millis(500);

/// How long the server's name is looked up.
const LOOKUP_PATIENCE: Duration = Duration::from_secs(3);

/// How often the sockets are looked at while an answer is awaited. They are the media plane's and not yet polled by anybody.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Longest answer that is read.
const ANSWER_MAX: usize = 1500;

/// As what `server` (`host:port`) sees these sockets, which have one port among them: one address of each kind at most. What
/// went wrong is said in the log; the server starts all the same.
pub(crate) async fn mapped(sockets: &[UdpSocket], server: &str) -> Vec<IpAddr> {
    let Some(socket) = sockets.first() else { return Vec::new() };
    let v6 = socket.local_addr().is_ok_and(|address| address.is_ipv6());
    let found = match timeout(LOOKUP_PATIENCE, tokio::net::lookup_host(server)).await {
        Ok(Ok(found)) => found.collect::<Vec<_>>(),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the STUN server's name leads nowhere; give --announce instead");
            return Vec::new();
        }
        Err(_) => {
            tracing::warn!("the STUN server's name cannot be looked up in time; give --announce instead");
            return Vec::new();
        }
    };
    let first_of = |v4: bool| found.iter().copied().find(|address| address.is_ipv4() == v4);
    let mut seen = Vec::new();
    for server in [first_of(true), first_of(false).filter(|_| v6)].into_iter().flatten() {
        match ask(sockets, socket, server, v6).await {
            Some(ip) => seen.push(ip),
            None => tracing::warn!(
                ipv6 = server.is_ipv6(),
                "the STUN server does not answer: people outside may not find the media port unless --announce says its address"
            ),
        }
    }
    seen
}

/// The answer may come to any of the sockets: the kernel deals them out.
async fn ask(sockets: &[UdpSocket], from: &UdpSocket, server: SocketAddr, v6: bool) -> Option<IpAddr> {
    let mut transaction = [0; 12];
    getrandom::fill(&mut transaction).ok()?;
    for _ in 0..TRIES {
        if let Err(error) = from.send_to(&binding_request(transaction), outgoing(server, v6)) {
            tracing::debug!(%error, "the STUN server cannot be asked");
        }
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            for socket in sockets {
                if let Some(ip) = answer(socket, server, transaction) {
                    return Some(ip);
                }
            }
            sleep(LOOK_EVERY).await;
        }
    }
    None
}

/// What waits on a socket, until it is the answer or nothing. Nobody has joined yet, so nothing else is of use.
fn answer(socket: &UdpSocket, server: SocketAddr, transaction: [u8; 12]) -> Option<IpAddr> {
    let mut bytes = [0; ANSWER_MAX];
    loop {
        match socket.recv_from(&mut bytes) {
            Ok((length, source)) => {
                let source = SocketAddr::new(source.ip().to_canonical(), source.port());
                let mapped = bytes.get(..length).and_then(|bytes| mapped_address(bytes, transaction));
                if let Some(address) = mapped.filter(|_| source == server) {
                    return Some(address.ip().to_canonical());
                }
            }
            // An error that some datagram left on the socket; reading it cleared it.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::bind;
    use super::*;

    /// Answers as a STUN server behind whose back stands `shown`.
    fn answering(socket: tokio::net::UdpSocket, shown: [u8; 4], forged: bool) {
        tokio::spawn(async move {
            let mut bytes = [0; 64];
            while let Ok((20, source)) = socket.recv_from(&mut bytes).await {
                let mut answer = bytes[..20].to_vec();
                answer[0] = 1;
                answer[3] = 12;
                if forged {
                    answer[19] ^= 1;
                }
                let address = shown.iter().zip([0x21, 0x12, 0xa4, 0x42]).map(|(byte, mask)| byte ^ mask);
                answer.extend([0, 0x20, 0, 8, 0, 1, 0, 0].into_iter().chain(address));
                socket.send_to(&answer, source).await.unwrap();
            }
        });
    }

    #[tokio::test]
    async fn the_address_that_the_world_sees_is_found_by_several_sockets_too() {
        for count in [1, 3] {
            let first = bind("127.0.0.1:0".parse().unwrap(), true).unwrap();
            let address = first.local_addr().unwrap();
            let more = (1..count).map(|_| bind(address, true).unwrap());
            let sockets: Vec<UdpSocket> = std::iter::once(first).chain(more).collect();
            let server = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let at = server.local_addr().unwrap().to_string();
            answering(server, [203, 0, 113, 9], false);
            assert_eq!(mapped(&sockets, &at).await, [IpAddr::from([203, 0, 113, 9])]);
        }
    }

    #[tokio::test]
    async fn what_answers_another_question_is_not_believed_and_silence_ends() {
        let sockets = [bind("127.0.0.1:0".parse().unwrap(), false).unwrap()];
        let server = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = server.local_addr().unwrap().to_string();
        answering(server, [203, 0, 113, 9], true);
        let begun = Instant::now();
        assert_eq!(mapped(&sockets, &at).await, Vec::<IpAddr>::new());
        assert!(begun.elapsed() < TRIES * PATIENCE + Duration::from_secs(5));
    }
}

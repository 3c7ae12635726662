//! A second port for the time of one visit. Seen from two ports a NAT shows whether it keeps a sender's address, and a firewall
//! whether it lets more through than the server's own port. It gives nothing away: it says as whom it sees somebody (STUN), and closes
//! what connects.

use std::future::pending;
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::net::{TcpListener, UdpSocket};

/// Questions that are answered during one visit: a browser asks seven times from each of its addresses.
const ANSWERS_MAX: u32 = 64;

/// Addresses that are remembered. A device has a few.
const SEEN_MAX: usize = 8;

/// How often we may knock at the visitor's own address: a firewall before the server lets an answer in where it saw a
/// question go out.
const KNOCKS_MAX: u32 = 3;

/// Largest question that is read.
const QUESTION_MAX: usize = 576;

/// See the module.
pub(super) struct Second {
    udp: UdpSocket,
    /// `None` after an error: it would come again at once.
    tcp: Option<TcpListener>,
    /// The ports for UDP and for TCP.
    pub(super) ports: (u16, u16),
    answers: u32,
    knocks: u32,
    /// Who asked over UDP.
    pub(super) seen: Vec<SocketAddr>,
    /// Somebody connected over TCP.
    pub(super) connected: bool,
}

impl Second {
    /// On ports that the system picks.
    pub(super) async fn open(ip: IpAddr) -> io::Result<Self> {
        let (udp, tcp) = (UdpSocket::bind((ip, 0)).await?, TcpListener::bind((ip, 0)).await?);
        let ports = (udp.local_addr()?.port(), tcp.local_addr()?.port());
        let tcp = Some(tcp);
        Ok(Self { udp, tcp, ports, answers: 0, knocks: 0, seen: Vec::new(), connected: false })
    }

    /// Answers whoever comes, until it is dropped.
    pub(super) async fn work(&mut self) {
        let mut buffer = [0; QUESTION_MAX];
        tokio::select! {
            asked = self.udp.recv_from(&mut buffer) => {
                if let Ok((length, from)) = asked {
                    self.answer(buffer.get(..length).unwrap_or_default(), from).await;
                }
            }
            came = async { match &self.tcp { Some(tcp) => tcp.accept().await, None => pending().await } } => match came {
                Ok(_) => self.connected = true,
                Err(_) => self.tcp = None,
            },
        }
    }

    async fn answer(&mut self, question: &[u8], from: SocketAddr) {
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        let Some(answer) = turn::binding_answer(question, from).filter(|_| self.answers < ANSWERS_MAX) else {
            return;
        };
        self.answers += 1;
        if self.seen.len() < SEEN_MAX && !self.seen.contains(&from) {
            self.seen.push(from);
        }
        let _ = self.udp.send_to(&answer, from).await;
    }

    /// Sends one empty question to an address of the visitor's.
    pub(super) async fn knock(&mut self, at: SocketAddr) {
        let mut transaction = [0; 12];
        if self.knocks < KNOCKS_MAX && getrandom::fill(&mut transaction).is_ok() {
            self.knocks += 1;
            let _ = self.udp.send_to(&turn::binding_request(transaction), at).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test]
    async fn it_says_as_whom_it_sees_somebody_and_notices_who_connects() {
        let loopback = IpAddr::from([127, 0, 0, 1]);
        let mut second = Second::open(loopback).await.unwrap();
        let (udp, tcp) = second.ports;
        let socket = UdpSocket::bind((loopback, 0)).await.unwrap();
        socket.send_to(b"no question", (loopback, udp)).await.unwrap();
        socket.send_to(&turn::binding_request([7; 12]), (loopback, udp)).await.unwrap();
        second.work().await;
        assert!(second.seen.is_empty());
        second.work().await;
        let own = socket.local_addr().unwrap();
        assert_eq!(second.seen, [own]);
        let mut buffer = [0; 100];
        let length = socket.recv(&mut buffer).await.unwrap();
        assert_eq!(turn::mapped_address(&buffer[..length], [7; 12]), Some(own));
        assert!(!second.connected);
        let _connected = tokio::net::TcpStream::connect((loopback, tcp)).await.unwrap();
        second.work().await;
        assert!(second.connected);
    }

    #[tokio::test]
    async fn a_port_that_fails_is_not_asked_again() {
        let loopback = IpAddr::from([127, 0, 0, 1]);
        let mut second = Second::open(loopback).await.unwrap();
        let tcp = socket2::SockRef::from(second.tcp.as_ref().unwrap());
        tcp.shutdown(std::net::Shutdown::Both).unwrap();
        second.work().await;
        assert!(!second.connected);
        let more = timeout(Duration::from_millis(100), second.work()).await;
        assert!(more.is_err(), "it waits for UDP");
    }

    #[tokio::test]
    async fn it_answers_and_knocks_only_so_often() {
        let loopback = IpAddr::from([127, 0, 0, 1]);
        let mut second = Second::open(loopback).await.unwrap();
        let socket = UdpSocket::bind((loopback, 0)).await.unwrap();
        let own = socket.local_addr().unwrap();
        for _ in 0..KNOCKS_MAX * 2 {
            second.knock(own).await;
        }
        for _ in 0..ANSWERS_MAX * 2 {
            second.answer(&turn::binding_request([1; 12]), own).await;
        }
        let mut came = 0;
        while timeout(Duration::from_millis(100), socket.recv(&mut [0; 100])).await.is_ok() {
            came += 1;
        }
        assert_eq!(came, KNOCKS_MAX + ANSWERS_MAX);
    }
}

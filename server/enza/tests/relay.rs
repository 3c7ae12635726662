//! The relay's ways into a real server: questions and garbage over UDP and TCP, on the page's own port.

mod common;

use common::{Daemon, PATIENCE, ask};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use turn::{binding_request, mapped_address};

const TRANSACTION: [u8; 12] = [7; 12];

/// An Allocate request without credentials.
fn allocate() -> Vec<u8> {
    let mut bytes = binding_request(TRANSACTION);
    bytes[1] = 3;
    bytes[3] = 8;
    bytes.extend_from_slice(&[0, 0x19, 0, 4, 17, 0, 0, 0]);
    bytes
}

async fn question(socket: &UdpSocket) -> Option<std::net::SocketAddr> {
    socket.send(&binding_request(TRANSACTION)).await.unwrap();
    let mut answer = [0; 512];
    let length = timeout(PATIENCE, socket.recv(&mut answer)).await.ok()?.unwrap();
    mapped_address(&answer[..length], TRANSACTION)
}

#[tokio::test]
async fn whoever_asks_is_told_their_address_over_udp_and_tcp() {
    let daemon = Daemon::start().await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(("127.0.0.1", daemon.port())).await.unwrap();
    assert_eq!(question(&socket).await, Some(socket.local_addr().unwrap()));

    let mut stream = TcpStream::connect(("127.0.0.1", daemon.port())).await.unwrap();
    // In pieces: what it is shows only in the eighth byte.
    for piece in binding_request(TRANSACTION).chunks(5) {
        stream.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut answer = [0; 32];
    timeout(PATIENCE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(mapped_address(&answer, TRANSACTION), Some(stream.local_addr().unwrap()));
    daemon.server.stop().await;
}

#[tokio::test]
async fn who_has_no_credentials_is_asked_for_them() {
    let daemon = Daemon::start().await;
    let mut stream = TcpStream::connect(("127.0.0.1", daemon.port())).await.unwrap();
    stream.write_all(&allocate()).await.unwrap();
    let mut answer = [0; 512];
    let length = timeout(PATIENCE, stream.read(&mut answer)).await.unwrap().unwrap();
    assert_eq!(answer[..2], [1, 0x13], "an error");
    assert!(answer[..length].windows(4).any(|window| window == [0, 0, 4, 1]), "401");
    daemon.server.stop().await;
}

#[tokio::test]
async fn a_flood_of_garbage_is_closed_or_dropped_and_everybody_else_is_served() {
    let daemon = Daemon::start().await;
    let address = ("127.0.0.1", daemon.port());
    let flood = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    flood.connect(address).await.unwrap();
    for n in 0..5000_usize {
        let mut bytes = allocate();
        bytes[8..16].copy_from_slice(&n.to_be_bytes());
        let _ = flood.send(if n % 2 == 0 { &bytes } else { &[0x40, 0, 0xff, 0xff, 1, 2] }).await;
    }
    for (begin, rest) in
        [(&allocate()[..], &[0xff; 64][..]), (&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42], &[5; 8000])]
    {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(begin).await.unwrap();
        let _ = stream.write_all(rest).await;
        // An answer to what was a message, then the end.
        let mut read = Vec::new();
        let end = timeout(PATIENCE, stream.read_to_end(&mut read)).await;
        assert!(end.is_ok(), "garbage is not read on and on");
    }
    // One who asks and asks and never has credentials.
    let mut stream = TcpStream::connect(address).await.unwrap();
    for _ in 0..100 {
        if stream.write_all(&allocate()).await.is_err() {
            break;
        }
    }
    let mut read = Vec::new();
    let end = timeout(Duration::from_secs(5), stream.read_to_end(&mut read)).await;
    assert!(end.is_ok(), "it is closed before its time is over");
    assert_eq!(ask(daemon.port(), "HEAD", "/", &[], "").await.status, 200);
    let mut other = TcpStream::connect(address).await.unwrap();
    other.write_all(&binding_request(TRANSACTION)).await.unwrap();
    let mut answer = [0; 32];
    timeout(PATIENCE, other.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(mapped_address(&answer, TRANSACTION), Some(other.local_addr().unwrap()));
    daemon.server.stop().await;
}

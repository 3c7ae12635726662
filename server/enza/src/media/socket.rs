//! The UDP socket of the media plane: datagrams come and go in batches.
//!
//! Linux moves a batch with one system call (`recvmmsg`, `sendmmsg`), and several datagrams of one size to one receiver
//! as one message that the kernel or the network card cuts up (UDP GSO); elsewhere the same interface loops over
//! single calls. Nothing is allocated per datagram. It knows addresses and bytes, nothing of what they mean.
//!
//! The only `unsafe` of the program is here: the kernel is handed pointers to arrays of `linux`.

#[cfg(target_os = "linux")]
#[path = "socket/linux.rs"]
mod platform;
#[cfg(not(target_os = "linux"))]
#[path = "socket/portable.rs"]
mod platform;

use mio::event::Source;
use mio::{Interest, Registry, Token};
use std::io;
use std::net::{IpAddr, SocketAddr};

/// Datagrams received per system call. Higher: more memory and a longer time before the first of a burst is
/// answered; lower: more system calls under load.
pub(crate) const RECEIVE_BATCH: usize = 64;

/// Datagrams sent per system call (the kernel takes at most 1024 messages). Higher: a later start of the first one;
/// lower: shorter runs to one receiver, and more system calls.
const SEND_BATCH: usize = 1024;

/// Bytes kept of one datagram. A longer one is dropped: nothing on the media port exceeds an Ethernet frame.
pub(super) const DATAGRAM_MAX: usize = 2048;

/// Asked of the kernel for each direction. Higher: a stalled shard is followed by a longer, older burst; lower:
/// a key frame to many people overruns the buffer.
pub(crate) const KERNEL_BUFFER: usize = 4 << 20;

/// How long a full send buffer is waited for before the rest of a batch is dropped. Higher: one slow network
/// card delays every room; lower: bursts are cut on a busy machine.
const SEND_PATIENCE_MS: i32 = 5;

/// What one [`MediaSocket::receive`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) datagrams: usize,
    /// Nothing more waits: the next datagram wakes the poll.
    pub(crate) drained: bool,
}

/// Binds the media port; `shared`: to be bound as often as there are shards, all of them by this program.
///
/// # Errors
/// Those of the operating system; `AddrInUse` when the port is taken.
pub(crate) fn bind(address: SocketAddr, shared: bool) -> io::Result<std::net::UdpSocket> {
    let domain = if address.is_ipv4() { socket2::Domain::IPV4 } else { socket2::Domain::IPV6 };
    let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, Some(socket2::Protocol::UDP))?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    #[cfg(unix)]
    if shared {
        socket.set_reuse_port(true)?;
    }
    #[cfg(not(unix))]
    if shared {
        return Err(io::ErrorKind::Unsupported.into());
    }
    // The kernel grants what its limits allow; less is slower under load, not wrong.
    let _ = socket.set_recv_buffer_size(KERNEL_BUFFER);
    let _ = socket.set_send_buffer_size(KERNEL_BUFFER);
    tracing::debug!(
        receive = socket.recv_buffer_size().unwrap_or(0),
        send = socket.send_buffer_size().unwrap_or(0),
        "media socket's kernel buffers in bytes"
    );
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Whether the kernel cuts long datagrams up by itself.
pub(crate) fn kernel_has_gso() -> bool {
    std::net::UdpSocket::bind("127.0.0.1:0").is_ok_and(|socket| platform::knows_gso(&socket))
}

/// A batching UDP socket. Made on the thread that uses it.
pub(crate) struct MediaSocket {
    socket: mio::net::UdpSocket,
    /// A dual-stack IPv6 socket names IPv4 peers as `::ffff:a.b.c.d`; the shard always sees plain IPv4.
    mapped: bool,
    batch: platform::Batch,
}

impl MediaSocket {
    pub(crate) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        let mapped = socket.local_addr()?.is_ipv6();
        let batch = platform::Batch::new(&socket);
        Ok(Self { socket: mio::net::UdpSocket::from_std(socket), mapped, batch })
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.socket.register(registry, token, Interest::READABLE)
    }

    /// Hands at most [`RECEIVE_BATCH`] waiting datagrams to `each`.
    pub(crate) fn receive(&mut self, each: impl FnMut(SocketAddr, &mut [u8])) -> io::Result<Received> {
        self.batch.receive(&self.socket, each)
    }

    /// Sends everything and returns how many datagrams were dropped (no route, or a buffer that stayed full). Each
    /// receiver gets its datagrams in this order; among receivers the order may change.
    pub(crate) fn send<'a>(&mut self, datagrams: impl Iterator<Item = (SocketAddr, &'a [u8])>) -> usize {
        self.batch.send(&self.socket, self.mapped, datagrams)
    }
}

/// The address as the socket wants it.
pub(super) fn outgoing(address: SocketAddr, mapped: bool) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if mapped => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        _ => address,
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::time::{Duration, Instant};

    fn receive_all(socket: &mut MediaSocket, wanted: usize) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut all = Vec::new();
        let end = Instant::now() + Duration::from_secs(5);
        while all.len() < wanted && Instant::now() < end {
            socket.receive(|source, datagram| all.push((source, datagram.to_vec()))).unwrap();
        }
        all
    }

    #[test]
    fn batches_longer_than_one_system_call_arrive_whole_and_in_order() {
        let mut sender = MediaSocket::new(bind("127.0.0.1:0".parse().unwrap(), false).unwrap()).unwrap();
        let target = bind("127.0.0.1:0".parse().unwrap(), false).unwrap();
        let address = target.local_addr().unwrap();
        let mut receiver = MediaSocket::new(target).unwrap();
        let datagrams: Vec<Vec<u8>> =
            (0..300_u16).map(|n| [n.to_be_bytes().as_slice(), &vec![7; usize::from(n)]].concat()).collect();
        assert_eq!(sender.send(datagrams.iter().map(|datagram| (address, datagram.as_slice()))), 0);
        let received = receive_all(&mut receiver, datagrams.len());
        let source = sender.socket.local_addr().unwrap();
        assert!(received.iter().all(|(from, _)| *from == source));
        assert_eq!(received.into_iter().map(|(_, datagram)| datagram).collect::<Vec<_>>(), datagrams);
        assert_eq!(
            receiver.receive(|_, _| panic!("nothing is left")).unwrap(),
            Received { datagrams: 0, drained: true }
        );
    }

    #[test]
    fn a_dual_stack_socket_shows_plain_ipv4_and_answers_it() {
        let socket = match bind("[::]:0".parse().unwrap(), false) {
            Ok(socket) => socket,
            // A machine without IPv6 has no such socket.
            Err(error) => return assert_ne!(error.kind(), io::ErrorKind::AddrInUse),
        };
        let port = socket.local_addr().unwrap().port();
        let mut socket = MediaSocket::new(socket).unwrap();
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        peer.send_to(b"hello", ("127.0.0.1", port)).unwrap();
        let received = receive_all(&mut socket, 1);
        assert_eq!(received, [(peer.local_addr().unwrap(), b"hello".to_vec())]);
        assert_eq!(socket.send([(peer.local_addr().unwrap(), b"back".as_slice())].into_iter()), 0);
        let mut buffer = [0; 16];
        let (length, _) = peer.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"back");
    }

    #[test]
    fn an_unreachable_target_costs_only_its_own_datagram() {
        let mut sender = MediaSocket::new(bind("127.0.0.1:0".parse().unwrap(), false).unwrap()).unwrap();
        let target = UdpSocket::bind("127.0.0.1:0").unwrap();
        target.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let address = target.local_addr().unwrap();
        // Port 0 cannot be sent to.
        let nowhere: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let batch =
            [(nowhere, b"lost".as_slice()), (address, b"kept"), (nowhere, b"lost"), (address, b"kept")];
        assert_eq!(sender.send(batch.into_iter()), 2);
        let mut buffer = [0; 16];
        for _ in 0..2 {
            let (length, _) = target.recv_from(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"kept");
        }
    }

    #[test]
    fn an_oversized_datagram_is_dropped_and_the_next_one_is_not() {
        let socket = bind("127.0.0.1:0".parse().unwrap(), false).unwrap();
        let address = socket.local_addr().unwrap();
        let mut socket = MediaSocket::new(socket).unwrap();
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.send_to(&[1; DATAGRAM_MAX + 1], address).unwrap();
        peer.send_to(&[2; DATAGRAM_MAX], address).unwrap();
        let received = receive_all(&mut socket, 1);
        assert_eq!(received.len(), 1);
        assert_eq!(received[0].1, vec![2; DATAGRAM_MAX]);
    }
}

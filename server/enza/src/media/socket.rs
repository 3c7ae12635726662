//! The UDP socket of the media plane: datagrams come and go in batches.
//!
//! Linux moves a batch with one system call (`recvmmsg`, `sendmmsg`); elsewhere the same interface loops over
//! single calls. Nothing is allocated per datagram. It knows addresses and bytes, nothing of what they mean.
//!
//! The only `unsafe` of the program is here: the kernel is handed pointers to this file's own arrays.

use mio::event::Source;
use mio::{Interest, Registry, Token};
use std::io;
use std::net::{IpAddr, SocketAddr};

/// Datagrams received per system call. Higher: more memory and a longer time before the first of a burst is
/// answered; lower: more system calls under load.
pub(crate) const RECEIVE_BATCH: usize = 64;

/// Datagrams sent per system call (the kernel takes at most 1024).
const SEND_BATCH: usize = 128;

/// Bytes kept of one datagram. A longer one is dropped: nothing on the media port exceeds an Ethernet frame.
const DATAGRAM_MAX: usize = 2048;

/// Asked of the kernel for each direction. Higher: a stalled shard is followed by a longer, older burst; lower:
/// a key frame to many people overruns the buffer.
const KERNEL_BUFFER: usize = 4 << 20;

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

/// Binds the media port.
///
/// # Errors
/// Those of the operating system; `AddrInUse` when the port is taken.
pub(crate) fn bind(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let domain = if address.is_ipv4() { socket2::Domain::IPV4 } else { socket2::Domain::IPV6 };
    let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, Some(socket2::Protocol::UDP))?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
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
        Ok(Self { socket: mio::net::UdpSocket::from_std(socket), mapped, batch: platform::Batch::new() })
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.socket.register(registry, token, Interest::READABLE)
    }

    /// Hands at most [`RECEIVE_BATCH`] waiting datagrams to `each`.
    pub(crate) fn receive(&mut self, each: impl FnMut(SocketAddr, &mut [u8])) -> io::Result<Received> {
        self.batch.receive(&self.socket, each)
    }

    /// Sends everything and returns how many datagrams were dropped (no route, or a buffer that stayed full).
    pub(crate) fn send<'a>(&mut self, datagrams: impl Iterator<Item = (SocketAddr, &'a [u8])>) -> usize {
        let mapped = self.mapped;
        self.batch.send(
            &self.socket,
            datagrams.map(|(target, datagram)| {
                let target = match target.ip() {
                    IpAddr::V4(ip) if mapped => SocketAddr::new(ip.to_ipv6_mapped().into(), target.port()),
                    _ => target,
                };
                (target, datagram)
            }),
        )
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "recvmmsg and sendmmsg have no safe wrapper that reuses its arrays")]
mod platform {
    use super::{DATAGRAM_MAX, RECEIVE_BATCH, Received, SEND_BATCH, SEND_PATIENCE_MS, canonical};
    use mio::net::UdpSocket;
    use std::io;
    use std::mem::{size_of, zeroed};
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
    use std::os::fd::AsRawFd as _;

    /// A socket address of either family in the kernel's layout.
    #[derive(Clone, Copy)]
    #[repr(C)]
    union KernelAddress {
        family: libc::sa_family_t,
        v4: libc::sockaddr_in,
        v6: libc::sockaddr_in6,
    }

    impl KernelAddress {
        const ZERO: Self = Self {
            v6: libc::sockaddr_in6 {
                sin6_family: 0,
                sin6_port: 0,
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: [0; 16] },
                sin6_scope_id: 0,
            },
        };
        const LENGTH: libc::socklen_t = size_of::<Self>() as libc::socklen_t;

        fn new(address: SocketAddr) -> (Self, libc::socklen_t) {
            match address {
                SocketAddr::V4(v4) => {
                    let v4 = libc::sockaddr_in {
                        sin_family: libc::AF_INET as libc::sa_family_t,
                        sin_port: v4.port().to_be(),
                        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                        sin_zero: [0; 8],
                    };
                    (Self { v4 }, size_of::<libc::sockaddr_in>() as libc::socklen_t)
                }
                SocketAddr::V6(v6) => {
                    let v6 = libc::sockaddr_in6 {
                        sin6_family: libc::AF_INET6 as libc::sa_family_t,
                        sin6_port: v6.port().to_be(),
                        sin6_flowinfo: v6.flowinfo(),
                        sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                        sin6_scope_id: v6.scope_id(),
                    };
                    (Self { v6 }, size_of::<libc::sockaddr_in6>() as libc::socklen_t)
                }
            }
        }

        fn get(&self) -> Option<SocketAddr> {
            // SAFETY: every variant begins with the family, and every byte of the union is initialised
            // (`ZERO`, `new`, or the kernel writing over one of them).
            let family = unsafe { self.family };
            match i32::from(family) {
                libc::AF_INET => {
                    // SAFETY: the kernel wrote a `sockaddr_in`, as the family says.
                    let v4 = unsafe { self.v4 };
                    let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
                    Some(SocketAddr::from((ip, u16::from_be(v4.sin_port))))
                }
                libc::AF_INET6 => {
                    // SAFETY: the kernel wrote a `sockaddr_in6`, as the family says.
                    let v6 = unsafe { self.v6 };
                    let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                    let port = u16::from_be(v6.sin6_port);
                    Some(if ip.to_ipv4_mapped().is_some() {
                        canonical(SocketAddr::from((ip, port)))
                    } else {
                        // The scope is needed to answer a link-local peer.
                        SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id).into()
                    })
                }
                _ => None,
            }
        }
    }

    /// The arrays that the kernel fills and reads. The headers point into the other vectors, whose heap memory
    /// never moves because none of them grows after [`Batch::new`].
    pub(super) struct Batch {
        received: Vec<u8>,
        receive_sources: Vec<KernelAddress>,
        _receive_slices: Vec<libc::iovec>,
        receive_headers: Vec<libc::mmsghdr>,
        send_targets: Vec<KernelAddress>,
        send_slices: Vec<libc::iovec>,
        send_headers: Vec<libc::mmsghdr>,
    }

    fn header(address: *mut KernelAddress, slice: *mut libc::iovec) -> libc::mmsghdr {
        // SAFETY: `mmsghdr` is plain integers and pointers; all zero is a valid value of it.
        let mut header: libc::mmsghdr = unsafe { zeroed() };
        header.msg_hdr.msg_name = address.cast();
        header.msg_hdr.msg_namelen = KernelAddress::LENGTH;
        header.msg_hdr.msg_iov = slice;
        header.msg_hdr.msg_iovlen = 1;
        header
    }

    impl Batch {
        pub(super) fn new() -> Self {
            let mut received = vec![0_u8; RECEIVE_BATCH * DATAGRAM_MAX];
            let mut receive_sources = vec![KernelAddress::ZERO; RECEIVE_BATCH];
            let mut receive_slices: Vec<_> = received
                .chunks_exact_mut(DATAGRAM_MAX)
                .map(|chunk| libc::iovec { iov_base: chunk.as_mut_ptr().cast(), iov_len: DATAGRAM_MAX })
                .collect();
            let receive_headers = receive_sources
                .iter_mut()
                .zip(&mut receive_slices)
                .map(|(source, slice)| header(source, slice))
                .collect();
            let mut send_targets = vec![KernelAddress::ZERO; SEND_BATCH];
            let mut send_slices =
                vec![libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; SEND_BATCH];
            let send_headers = send_targets
                .iter_mut()
                .zip(&mut send_slices)
                .map(|(target, slice)| header(target, slice))
                .collect();
            Self {
                received,
                receive_sources,
                _receive_slices: receive_slices,
                receive_headers,
                send_targets,
                send_slices,
                send_headers,
            }
        }

        pub(super) fn receive(
            &mut self,
            socket: &UdpSocket,
            mut each: impl FnMut(SocketAddr, &mut [u8]),
        ) -> io::Result<Received> {
            for header in &mut self.receive_headers {
                // The kernel shortens it to what it wrote.
                header.msg_hdr.msg_namelen = KernelAddress::LENGTH;
            }
            // SAFETY: the file descriptor is open as long as `socket` lives; each of the `RECEIVE_BATCH` headers
            // points at its own address, slice and 2048-byte chunk, all alive and not borrowed elsewhere here.
            let count = unsafe {
                libc::recvmmsg(
                    socket.as_raw_fd(),
                    self.receive_headers.as_mut_ptr(),
                    RECEIVE_BATCH as libc::c_uint,
                    0,
                    std::ptr::null_mut(),
                )
            };
            let Ok(count) = usize::try_from(count) else {
                let error = io::Error::last_os_error();
                return match error.kind() {
                    io::ErrorKind::WouldBlock => Ok(Received { datagrams: 0, drained: true }),
                    io::ErrorKind::Interrupted => Ok(Received { datagrams: 0, drained: false }),
                    _ => Err(error),
                };
            };
            let filled = self
                .receive_headers
                .iter()
                .zip(&self.receive_sources)
                .zip(self.received.chunks_exact_mut(DATAGRAM_MAX))
                .take(count);
            for ((header, source), chunk) in filled {
                let whole = header.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
                if let (true, Some(source), Some(datagram)) =
                    (whole, source.get(), chunk.get_mut(..header.msg_len as usize))
                {
                    each(source, datagram);
                }
            }
            Ok(Received { datagrams: count, drained: count < RECEIVE_BATCH })
        }

        pub(super) fn send<'a>(
            &mut self,
            socket: &UdpSocket,
            mut datagrams: impl Iterator<Item = (SocketAddr, &'a [u8])>,
        ) -> usize {
            let mut dropped = 0;
            loop {
                let mut count = 0;
                for (target, datagram) in datagrams.by_ref().take(SEND_BATCH) {
                    let (address, length) = KernelAddress::new(target);
                    self.send_targets[count] = address;
                    // The kernel only reads from it; `iovec` has no const form.
                    self.send_slices[count] = libc::iovec {
                        iov_base: datagram.as_ptr().cast_mut().cast(),
                        iov_len: datagram.len(),
                    };
                    self.send_headers[count].msg_hdr.msg_namelen = length;
                    count += 1;
                }
                if count == 0 {
                    return dropped;
                }
                dropped += self.flush(socket, count);
            }
        }

        /// Sends the first `count` headers; the datagrams they point at are alive in [`Self::send`].
        fn flush(&mut self, socket: &UdpSocket, count: usize) -> usize {
            let (mut next, mut dropped, mut waited) = (0, 0, false);
            while next < count {
                // SAFETY: headers `next..count` were filled by `send` just now and point at live memory: targets
                // and slices in `self`, datagrams borrowed by the iterator of `send`, which outlives this call.
                let sent = unsafe {
                    libc::sendmmsg(
                        socket.as_raw_fd(),
                        self.send_headers.as_mut_ptr().add(next),
                        (count - next) as libc::c_uint,
                        0,
                    )
                };
                if let Ok(sent) = usize::try_from(sent) {
                    next += sent;
                    continue;
                }
                match io::Error::last_os_error().kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock if !waited => {
                        waited = true;
                        wait_writable(socket);
                    }
                    io::ErrorKind::WouldBlock => return dropped + (count - next),
                    // This one has no way out (no route, refused by a firewall); the others may have.
                    _ => {
                        next += 1;
                        dropped += 1;
                    }
                }
            }
            dropped
        }
    }

    fn wait_writable(socket: &UdpSocket) {
        let mut poll = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
        // SAFETY: one valid `pollfd` for an open file descriptor. Its result does not matter: the next
        // `sendmmsg` says whether there is room.
        unsafe {
            libc::poll(&raw mut poll, 1, SEND_PATIENCE_MS);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use super::{DATAGRAM_MAX, RECEIVE_BATCH, Received, SEND_BATCH, SEND_PATIENCE_MS, canonical};
    use mio::net::UdpSocket;
    use std::io;
    use std::net::SocketAddr;
    use std::time::Duration;

    pub(super) struct Batch {
        received: Vec<u8>,
    }

    impl Batch {
        pub(super) fn new() -> Self {
            Self { received: vec![0; DATAGRAM_MAX] }
        }

        pub(super) fn receive(
            &mut self,
            socket: &UdpSocket,
            mut each: impl FnMut(SocketAddr, &mut [u8]),
        ) -> io::Result<Received> {
            for datagrams in 0..RECEIVE_BATCH {
                match socket.recv_from(&mut self.received) {
                    Ok((length, source)) => each(canonical(source), &mut self.received[..length]),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        return Ok(Received { datagrams, drained: true });
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(Received { datagrams: RECEIVE_BATCH, drained: false })
        }

        pub(super) fn send<'a>(
            &mut self,
            socket: &UdpSocket,
            datagrams: impl Iterator<Item = (SocketAddr, &'a [u8])>,
        ) -> usize {
            let mut dropped = 0;
            for (index, (target, datagram)) in datagrams.enumerate() {
                let mut sent = socket.send_to(datagram, target);
                if index % SEND_BATCH == 0
                    && matches!(&sent, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
                {
                    std::thread::sleep(Duration::from_millis(SEND_PATIENCE_MS.unsigned_abs().into()));
                    sent = socket.send_to(datagram, target);
                }
                dropped += usize::from(sent.is_err());
            }
            dropped
        }
    }
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
        let mut sender = MediaSocket::new(bind("127.0.0.1:0".parse().unwrap()).unwrap()).unwrap();
        let target = bind("127.0.0.1:0".parse().unwrap()).unwrap();
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
        let socket = match bind("[::]:0".parse().unwrap()) {
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
        let mut sender = MediaSocket::new(bind("127.0.0.1:0".parse().unwrap()).unwrap()).unwrap();
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
        let socket = bind("127.0.0.1:0".parse().unwrap()).unwrap();
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

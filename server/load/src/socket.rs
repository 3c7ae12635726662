//! One UDP socket per participant, read in batches with the kernel's receive time.
//!
//! The receive time is the kernel's (`SO_TIMESTAMPNS`), not the moment this process got round to reading: otherwise the
//! generator's own queueing would be reported as the server's delay.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd as _, RawFd};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::socket::sockopt::{RcvBuf, ReceiveTimestampns};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, setsockopt};
use nix::sys::time::TimeSpec;
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::clock::Clock;

/// Datagrams per system call. More would rarely be waiting on one participant's socket.
const BATCH: usize = 16;
/// Larger than any packet of this generator and any DTLS record of the server.
const DATAGRAM_LEN: usize = 2_048;
/// Asked of the kernel, which may give less (`net.core.rmem_max`): what arrives while the generator is busy elsewhere.
const RECEIVE_BUFFER: usize = 4 << 20;

/// A datagram and when the kernel got it, on the run's clock.
pub(crate) struct Datagram<'a> {
    pub from: SocketAddr,
    pub arrival_ns: u64,
    pub bytes: &'a [u8],
}

/// Length, sender and kernel time (wall clock) of each datagram of a batch.
type Slots = [Option<(usize, SocketAddr, Option<Duration>)>; BATCH];

/// Receive buffers, shared by all sockets of a thread.
pub(crate) struct Batch {
    headers: MultiHeaders<SockaddrStorage>,
    buffers: Box<[[u8; DATAGRAM_LEN]; BATCH]>,
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self { headers: Self::headers(), buffers: Box::new([[0; DATAGRAM_LEN]; BATCH]) }
    }

    fn headers() -> MultiHeaders<SockaddrStorage> {
        MultiHeaders::preallocate(BATCH, Some(nix::cmsg_space!(TimeSpec)))
    }

    /// One system call; gives the number of datagrams read.
    fn fill(&mut self, fd: RawFd, slots: &mut Slots) -> io::Result<usize> {
        let mut slices = self.buffers.each_mut().map(|buffer| [IoSliceMut::new(buffer)]);
        let messages = recvmmsg(fd, &mut self.headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?;
        let mut count = 0;
        for (message, slot) in messages.zip(slots) {
            count += 1;
            let Some(from) = message.address.as_ref().and_then(socket_addr) else { continue };
            let time = message.cmsgs().ok().and_then(|mut controls| {
                controls.find_map(|control| match control {
                    ControlMessageOwned::ScmTimestampns(time) => Some(Duration::from(time)),
                    _ => None,
                })
            });
            *slot = Some((message.bytes, from, time));
        }
        Ok(count)
    }
}

pub(crate) struct Socket {
    inner: UdpSocket,
    local_port: u16,
}

impl Socket {
    /// Binds any port of the family of `peer`. Must be called inside a tokio runtime.
    pub(crate) fn bind(peer: IpAddr) -> Result<Self> {
        let any: IpAddr = if peer.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
        let socket = std::net::UdpSocket::bind((any, 0)).context("binding a UDP socket")?;
        socket.set_nonblocking(true)?;
        setsockopt(&socket, RcvBuf, &RECEIVE_BUFFER)?;
        setsockopt(&socket, ReceiveTimestampns, &true)?;
        let local_port = socket.local_addr()?.port();
        Ok(Self { inner: UdpSocket::from_std(socket)?, local_port })
    }

    pub(crate) fn local_port(&self) -> u16 {
        self.local_port
    }

    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.inner.readable().await
    }

    /// Reads at most one batch and hands each datagram to `take`; `true` when the socket may hold more.
    pub(crate) fn receive(
        &self,
        batch: &mut Batch,
        clock: &Clock,
        mut take: impl FnMut(&Datagram<'_>),
    ) -> io::Result<bool> {
        let mut slots: Slots = [None; BATCH];
        // A batch that is not full emptied the socket: saying so here spares the system call that would find it empty.
        let full = self.inner.try_io(Interest::READABLE, || {
            let count = batch.fill(self.inner.as_raw_fd(), &mut slots)?;
            if count == BATCH { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
        });
        let offset = clock.wall_offset();
        let mut untimed = false;
        for (slot, buffer) in slots.iter().zip(batch.buffers.iter()) {
            let Some((len, from, time)) = *slot else { continue };
            let Some(bytes) = buffer.get(..len) else { continue };
            untimed |= time.is_none();
            let arrival_ns = time.map_or_else(|| clock.now_ns(), |time| offset.own_ns(time));
            take(&Datagram { from, arrival_ns, bytes });
        }
        if untimed {
            // The kernel shortens the control length of a slot it had nothing to say in, and the slot would stay so.
            batch.headers = Batch::headers();
        }
        match full {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            // Of an earlier datagram; the path is judged by consent checks.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Sends, or gives `false` when the kernel has no room for the packet.
    pub(crate) fn send(&self, bytes: &[u8], to: SocketAddr) -> io::Result<bool> {
        match self.inner.try_send_to(bytes, to) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            // An ICMP error of an earlier datagram; the path is judged by consent checks.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(true),
            Err(error) => Err(error),
        }
    }
}

fn socket_addr(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|address| SocketAddr::from((address.ip(), address.port())));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| SocketAddr::from((address.ip(), address.port()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn datagrams_come_with_a_kernel_time_between_sending_and_reading() {
        let clock = Clock::start();
        let socket = Socket::bind([127, 0, 0, 1].into()).unwrap();
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut batch = Batch::new();
        // The first socket that asks for receive times switches them on for the whole machine, a moment later.
        std::thread::sleep(Duration::from_millis(300));
        for round in 0..3_u8 {
            let before = clock.now_ns();
            for n in 0..20 {
                sender.send_to(&[round, n], ("127.0.0.1", socket.local_port())).unwrap();
            }
            let after = clock.now_ns();
            std::thread::sleep(Duration::from_millis(30));
            socket.readable().await.unwrap();
            let mut seen = Vec::new();
            while socket
                .receive(&mut batch, &clock, |datagram| {
                    assert_eq!(datagram.from, sender.local_addr().unwrap());
                    // The wall clock is read twice, so allow the two readings to differ by a little.
                    assert!(
                        datagram.arrival_ns + 1_000_000 >= before && datagram.arrival_ns <= after + 1_000_000
                    );
                    seen.push(datagram.bytes.to_vec());
                })
                .unwrap()
            {}
            assert_eq!(seen, (0..20).map(|n| vec![round, n]).collect::<Vec<_>>());
        }
    }
}

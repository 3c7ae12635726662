//! Batches of datagrams by `recvmmsg` and `sendmmsg`, runs of them to one receiver by UDP GSO.
#![expect(unsafe_code, reason = "recvmmsg and sendmmsg have no safe wrapper that reuses its arrays")]

use super::{DATAGRAM_MAX, RECEIVE_BATCH, Received, SEND_BATCH, SEND_PATIENCE_MS, canonical, outgoing};
use mio::net::UdpSocket;
use std::io;
use std::mem::{size_of, zeroed};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::AsRawFd;

/// Datagrams in one GSO message: what every kernel with GSO takes (`UDP_MAX_SEGMENTS`).
const SEGMENTS_MAX: usize = 64;

/// Bytes of one GSO message: an IP packet's 65,535 without its headers.
const MESSAGE_MAX: usize = 65_000;

/// Receivers to whose networks GSO was refused (a path with a smaller MTU, an interface that cannot cut). When there are
/// more, it is this machine, and GSO is off. Higher: a longer search per run of packets; lower: a few odd paths
/// slow everybody down.
const REFUSED_MAX: usize = 16;

/// Places to remember a receiver's last message in. Higher: 2 B each; lower: receivers that share a place in
/// turn break each other's runs.
const PLACES: usize = 1024;

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

/// The control message that tells the kernel where to cut (`UDP_SEGMENT`), in the layout of `cmsg(3)`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Cut {
    header: libc::cmsghdr,
    segment: u16,
    /// Up to the next word, as `CMSG_SPACE` wants it.
    padding: [u8; size_of::<usize>() - 2],
}

/// Datagrams to one receiver that leave as one message.
#[derive(Clone, Copy)]
struct Run {
    target: SocketAddr,
    /// Length of every datagram; the last may be shorter.
    segment: usize,
    datagrams: usize,
    bytes: usize,
    /// A shorter one ended it.
    closed: bool,
    /// Index of its first slice once they are laid out, then of the next one to be written.
    slice: usize,
}

/// The arrays that the kernel fills and reads. The headers point into the other vectors, whose heap memory
/// never moves because none of them grows after [`Batch::new`].
pub(super) struct Batch {
    received: Vec<u8>,
    receive_sources: Vec<KernelAddress>,
    _receive_slices: Vec<libc::iovec>,
    receive_headers: Vec<libc::mmsghdr>,

    /// Datagrams of this batch in the order they came, each with its run.
    pending: Vec<(libc::iovec, u16)>,
    runs: Vec<Run>,
    /// By [`place`]: the run that a receiver's next datagram may join.
    places: Vec<u16>,
    send_targets: Vec<KernelAddress>,
    send_slices: Vec<libc::iovec>,
    cuts: Vec<Cut>,
    send_headers: Vec<libc::mmsghdr>,
    /// The kernel can cut.
    gso: bool,
    refused: Vec<SocketAddr>,
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

const NO_SLICE: libc::iovec = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };

impl Batch {
    pub(super) fn new(socket: &impl AsRawFd) -> Self {
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
        let mut send_slices = vec![NO_SLICE; SEND_BATCH];
        let send_headers = send_targets
            .iter_mut()
            .zip(&mut send_slices)
            .map(|(target, slice)| header(target, slice))
            .collect();
        // SAFETY: the length is that of `segment`.
        let length = unsafe { libc::CMSG_LEN(size_of::<u16>() as libc::c_uint) };
        // SAFETY: `cmsghdr` is plain integers; all zero is a valid value of it.
        let mut header: libc::cmsghdr = unsafe { zeroed() };
        header.cmsg_level = libc::SOL_UDP;
        header.cmsg_type = libc::UDP_SEGMENT;
        header.cmsg_len = length as _;
        let cut = Cut { header, segment: 0, padding: [0; _] };
        let gso = knows_gso(socket);
        if !gso {
            tracing::info!("the kernel has no UDP GSO: sending costs more");
        }
        Self {
            received,
            receive_sources,
            _receive_slices: receive_slices,
            receive_headers,
            pending: Vec::with_capacity(SEND_BATCH),
            runs: Vec::with_capacity(SEND_BATCH),
            places: vec![u16::MAX; PLACES],
            send_targets,
            send_slices,
            cuts: vec![cut; SEND_BATCH],
            send_headers,
            gso,
            refused: Vec::with_capacity(REFUSED_MAX),
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
        mapped: bool,
        datagrams: impl Iterator<Item = (SocketAddr, &'a [u8])>,
    ) -> usize {
        let mut dropped = 0;
        // The datagrams' memory is borrowed for 'a, longer than this call.
        let mut datagrams = datagrams.peekable();
        while datagrams.peek().is_some() {
            for (target, datagram) in datagrams.by_ref().take(SEND_BATCH) {
                let run = self.run_for(target, datagram.len());
                // The kernel only reads from it; `iovec` has no const form.
                let slice =
                    libc::iovec { iov_base: datagram.as_ptr().cast_mut().cast(), iov_len: datagram.len() };
                self.pending.push((slice, run));
            }
            self.lay_out(mapped);
            dropped += self.flush(socket);
            self.pending.clear();
            for run in self.runs.drain(..) {
                self.places[place(run.target)] = u16::MAX;
            }
        }
        dropped
    }

    /// The run that a datagram joins: the receiver's last one if its datagrams are as long and it is not full.
    fn run_for(&mut self, target: SocketAddr, length: usize) -> u16 {
        let at = place(target);
        let last = self.places[at];
        if self.gso
            && let Some(run) = self.runs.get_mut(usize::from(last))
            && run.target == target
            && !run.closed
            && length <= run.segment
            && run.datagrams < SEGMENTS_MAX
            && run.bytes + length <= MESSAGE_MAX
            && !self.refused.contains(&target)
        {
            run.datagrams += 1;
            run.bytes += length;
            run.closed = length < run.segment;
            return last;
        }
        let index = self.runs.len() as u16; // at most `SEND_BATCH`
        self.runs.push(Run { target, segment: length, datagrams: 1, bytes: length, closed: false, slice: 0 });
        self.places[at] = index;
        index
    }

    /// Writes a header for each run, and its slices side by side.
    fn lay_out(&mut self, mapped: bool) {
        let mut slice = 0;
        let places = self.send_targets.iter_mut().zip(&mut self.cuts).zip(&mut self.send_headers);
        for (run, ((target, cut), header)) in self.runs.iter_mut().zip(places) {
            let (address, length) = KernelAddress::new(outgoing(run.target, mapped));
            *target = address;
            let header = &mut header.msg_hdr;
            header.msg_namelen = length;
            header.msg_iov = &raw mut self.send_slices[slice];
            header.msg_iovlen = run.datagrams as _;
            if run.datagrams > 1 {
                cut.segment = run.segment as u16; // below `DATAGRAM_MAX`
                header.msg_control = (&raw mut *cut).cast();
                header.msg_controllen = size_of::<Cut>() as _;
            } else {
                header.msg_control = std::ptr::null_mut();
                header.msg_controllen = 0;
            }
            run.slice = slice;
            slice += run.datagrams;
        }
        for (slice, run) in &self.pending {
            let run = &mut self.runs[usize::from(*run)];
            self.send_slices[run.slice] = *slice;
            run.slice += 1;
        }
    }

    /// Sends all runs; the datagrams they point at are alive in [`Self::send`].
    fn flush(&mut self, socket: &UdpSocket) -> usize {
        let count = self.runs.len();
        let (mut next, mut dropped, mut waited) = (0, 0, false);
        while next < count {
            // SAFETY: headers `next..count` were filled by `lay_out` just now and point at live memory: targets,
            // slices and cuts in `self`, datagrams borrowed by the iterator of `send`, which outlives this call.
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
            let error = io::Error::last_os_error();
            match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock if !waited => {
                    waited = true;
                    wait_writable(socket);
                }
                io::ErrorKind::WouldBlock => {
                    return dropped + self.runs[next..].iter().map(|run| run.datagrams).sum::<usize>();
                }
                _ => {
                    dropped += match self.runs[next].datagrams {
                        // This one has no way out (no route, refused by a firewall); the others may have.
                        1 => 1,
                        _ => self.send_apart(socket, next, &error),
                    };
                    next += 1;
                }
            }
        }
        dropped
    }

    /// Sends the datagrams of a run that was refused as a whole one by one, and does without GSO where it was at
    /// fault. Returns how many were dropped.
    fn send_apart(&mut self, socket: &UdpSocket, index: usize, error: &io::Error) -> usize {
        let run = self.runs[index];
        let name = self.send_headers[index].msg_hdr;
        // `lay_out` left `slice` behind the run's last one.
        let slices = &self.send_slices[run.slice - run.datagrams..run.slice];
        let passed = slices.iter().filter(|slice| {
            // SAFETY: the datagram is alive as in `flush`, and so is the address, which `lay_out` wrote to
            // `send_targets`.
            let sent = unsafe {
                libc::sendto(
                    socket.as_raw_fd(),
                    slice.iov_base,
                    slice.iov_len,
                    0,
                    name.msg_name.cast(),
                    name.msg_namelen,
                )
            };
            sent >= 0
        });
        let passed = passed.count();
        if passed > 0 {
            self.give_up(run.target, error);
        }
        run.datagrams - passed
    }

    /// One by one they passed, so GSO was at fault: on the interface (EIO: it computes no checksums), or on the path to
    /// this receiver (EINVAL, EMSGSIZE: a segment exceeds its MTU).
    fn give_up(&mut self, target: SocketAddr, error: &io::Error) {
        if error.raw_os_error() == Some(libc::EIO) || self.refused.len() >= REFUSED_MAX {
            tracing::info!(%error, "no UDP GSO on this network: sending costs more");
            self.gso = false;
        } else {
            self.refused.push(target);
        }
    }
}

/// Where a receiver's last run is remembered. Receivers at one place only break each other's runs.
fn place(target: SocketAddr) -> usize {
    let low = match target {
        SocketAddr::V4(v4) => v4.ip().to_bits(),
        SocketAddr::V6(v6) => v6.ip().to_bits() as u32,
    };
    // Most receivers differ in both, those behind one address in their ports.
    (low.wrapping_mul(0x9e37_79b1) >> 16 ^ u32::from(target.port())) as usize % PLACES
}

/// Whether the kernel has the option at all: an older one would send a run as one long datagram.
pub(super) fn knows_gso(socket: &impl AsRawFd) -> bool {
    let mut segment: libc::c_int = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the value and its length are valid for writing, and the length is that of the value.
    let answer = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_UDP,
            libc::UDP_SEGMENT,
            (&raw mut segment).cast(),
            &raw mut length,
        )
    };
    answer == 0
}

fn wait_writable(socket: &UdpSocket) {
    let mut poll = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: one valid `pollfd` for an open file descriptor. Its result does not matter: the next
    // `sendmmsg` says whether there is room.
    unsafe {
        libc::poll(&raw mut poll, 1, SEND_PATIENCE_MS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::socket::{MediaSocket, bind};
    use std::time::Duration;

    fn receivers(count: usize) -> Vec<std::net::UdpSocket> {
        let receiver = |_| {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            socket
        };
        (0..count).map(receiver).collect()
    }

    fn frame(first: u8) -> [Vec<u8>; 3] {
        [vec![first; 1000], vec![first + 1; 1000], vec![first + 2; 700]]
    }

    fn assert_got(receiver: &std::net::UdpSocket, expected: &[Vec<u8>]) {
        let mut buffer = [0; DATAGRAM_MAX];
        for datagram in expected {
            let length = receiver.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], datagram);
        }
    }

    /// The runs that datagrams of these (receiver, length) join.
    fn runs_of(batch: &mut Batch, datagrams: &[(u16, usize)]) -> Vec<u16> {
        let run = |&(port, length)| batch.run_for(SocketAddr::from(([192, 0, 2, 1], port)), length);
        datagrams.iter().map(run).collect()
    }

    fn batch() -> Batch {
        let mut batch = Batch::new(&std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
        batch.gso = true;
        batch
    }

    #[test]
    fn a_run_is_of_one_receiver_and_one_length_and_ends_with_a_shorter_one() {
        let runs =
            runs_of(&mut batch(), &[(1, 900), (2, 900), (1, 900), (2, 900), (1, 80), (1, 80), (2, 901)]);
        assert_eq!(runs, [0, 1, 0, 1, 0, 2, 3]);
    }

    #[test]
    fn a_run_holds_no_more_than_the_kernel_cuts() {
        let mut many = batch();
        runs_of(&mut many, &[(1, 100); 2 * SEGMENTS_MAX + 1]);
        assert_eq!(
            many.runs.iter().map(|run| run.datagrams).collect::<Vec<_>>(),
            [SEGMENTS_MAX, SEGMENTS_MAX, 1]
        );
        let mut large = batch();
        runs_of(&mut large, &[(1, DATAGRAM_MAX); SEGMENTS_MAX]);
        assert!(large.runs.iter().all(|run| run.bytes <= MESSAGE_MAX));
        assert_eq!(large.runs.len(), 3);
    }

    #[test]
    fn receivers_that_share_a_place_keep_their_order() {
        let one = SocketAddr::from(([192, 0, 2, 1], 1));
        let other = (2..u16::MAX)
            .map(|port| SocketAddr::from(([192, 0, 2, 1], port)))
            .find(|other| place(*other) == place(one))
            .unwrap();
        let mut batch = batch();
        assert_eq!([one, other, one, one].map(|target| batch.run_for(target, 500)), [0, 1, 2, 2]);
    }

    #[test]
    fn a_frame_to_several_receivers_arrives_cut_where_it_was_joined() {
        let mut sender = MediaSocket::new(bind("127.0.0.1:0".parse().unwrap(), false).unwrap()).unwrap();
        let receivers = receivers(3);
        let (first, second) = (frame(1), frame(4));
        let datagrams = first.iter().chain(&second).flat_map(|datagram| {
            receivers.iter().map(|receiver| (receiver.local_addr().unwrap(), datagram.as_slice()))
        });
        assert_eq!(sender.send(datagrams), 0);
        for receiver in &receivers {
            assert_got(receiver, &[first.as_slice(), &second].concat());
        }
    }

    #[test]
    fn what_gso_refuses_goes_one_by_one_and_the_receiver_is_remembered() {
        // The kernel refuses to cut what it may not compute checksums for, and sends it otherwise.
        let socket = bind("127.0.0.1:0".parse().unwrap(), false).unwrap();
        let on: libc::c_int = 1;
        // SAFETY: the value is alive and the length is its own.
        let answer = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_NO_CHECK,
                (&raw const on).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        };
        assert_eq!(answer, 0);
        let mut sender = MediaSocket::new(socket).unwrap();
        if !sender.batch.gso {
            return assert!(!knows_gso(&std::net::UdpSocket::bind("127.0.0.1:0").unwrap()));
        }
        let receivers = receivers(REFUSED_MAX + 1);
        for (count, receiver) in receivers.iter().enumerate() {
            assert!(sender.batch.gso, "one path says nothing about the others");
            let to = receiver.local_addr().unwrap();
            for first in [1, 4] {
                assert_eq!(sender.send(frame(first).iter().map(|datagram| (to, datagram.as_slice()))), 0);
                assert_got(receiver, &frame(first));
            }
            assert_eq!(sender.batch.refused.len(), (count + 1).min(REFUSED_MAX));
        }
        assert!(!sender.batch.gso, "so many paths are this machine");
        let to = receivers[0].local_addr().unwrap();
        assert_eq!(sender.send(frame(7).iter().map(|datagram| (to, datagram.as_slice()))), 0);
        assert_got(&receivers[0], &frame(7));
    }

    #[test]
    fn a_run_to_nowhere_is_dropped_and_says_nothing_about_gso() {
        let mut sender = MediaSocket::new(bind("127.0.0.1:0".parse().unwrap(), false).unwrap()).unwrap();
        let receivers = receivers(1);
        let to = receivers[0].local_addr().unwrap();
        // Port 0 cannot be sent to.
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let (lost, kept) = (frame(1), frame(4));
        let datagrams =
            lost.iter().map(|datagram| (nowhere, datagram)).chain(kept.iter().map(|datagram| (to, datagram)));
        assert_eq!(sender.send(datagrams.map(|(to, datagram)| (to, datagram.as_slice()))), 3);
        assert_got(&receivers[0], &kept);
        assert!(sender.batch.refused.is_empty());
    }
}

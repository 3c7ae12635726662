//! One system call per datagram, where the kernel has nothing better.

use super::{DATAGRAM_MAX, RECEIVE_BATCH, Received, SEND_BATCH, SEND_PATIENCE_MS, canonical, outgoing};
use mio::net::UdpSocket;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

pub(super) struct Batch {
    received: Vec<u8>,
}

impl Batch {
    pub(super) fn new(_: &std::net::UdpSocket) -> Self {
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
        mapped: bool,
        datagrams: impl Iterator<Item = (SocketAddr, &'a [u8])>,
    ) -> usize {
        let mut dropped = 0;
        for (index, (target, datagram)) in datagrams.enumerate() {
            let target = outgoing(target, mapped);
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

/// Nothing is cut up here.
pub(super) fn knows_gso(_: &std::net::UdpSocket) -> bool {
    false
}

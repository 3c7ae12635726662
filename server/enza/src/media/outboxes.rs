//! Where datagrams to marked addresses (`mark.rs`) leave: TCP connections, and the relay. Owns one media thread's ways to them;
//! whatever has none is dropped, since the UDP socket would send it to whoever has that address and port over UDP.

use super::mark;
use super::relay::RelayHandle;
use super::socket::MediaSocket;
use std::collections::HashMap;
use std::net::SocketAddr;
use tokio::sync::mpsc;

/// One way.
pub(super) enum Outbox {
    Connection(mpsc::Sender<Box<[u8]>>),
    Relay(RelayHandle),
}

impl Outbox {
    /// False when it was dropped.
    fn send(&self, to: SocketAddr, datagram: &[u8]) -> bool {
        match self {
            Self::Connection(outbox) => outbox.try_send(datagram.into()).is_ok(),
            Self::Relay(relay) => relay.returns(to, datagram),
        }
    }

    fn is_closed(&self) -> bool {
        match self {
            Self::Connection(outbox) => outbox.is_closed(),
            // As long as the program.
            Self::Relay(_) => false,
        }
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct Outboxes {
    open: HashMap<SocketAddr, Outbox>,
    /// The shard may have marked addresses, be their ways open or not; without, no datagram is looked at.
    marked: bool,
}

impl Outboxes {
    pub(super) fn open(&mut self, address: SocketAddr, outbox: Outbox) {
        self.open.insert(address, outbox);
        self.marked = true;
    }

    pub(super) fn close(&mut self, address: SocketAddr) {
        self.open.remove(&address);
    }

    /// Forgets connections whose end nobody could tell, and, when the shard has no peers, that it ever had marked addresses.
    pub(super) fn tidy(&mut self, peers: usize) {
        self.open.retain(|_, outbox| !outbox.is_closed());
        self.marked &= peers > 0 || !self.open.is_empty();
    }

    /// Sends each datagram on its way and returns how many were dropped.
    pub(super) fn send<'a, I>(&self, socket: &mut MediaSocket, batch: impl Fn() -> I) -> usize
    where
        I: Iterator<Item = (SocketAddr, &'a [u8])>,
    {
        if !self.marked {
            return socket.send(batch());
        }
        let marked = batch().filter(|(to, _)| mark::is_marked(to));
        let sent = |(to, datagram): &(SocketAddr, &[u8])| {
            self.open.get(to).is_some_and(|out| out.send(*to, datagram))
        };
        let dropped = marked.filter(|one| !sent(one)).count();
        dropped + socket.send(batch().filter(|(to, _)| !mark::is_marked(to)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::socket::bind;
    use super::*;
    use std::net::UdpSocket;
    use std::time::Duration;

    #[test]
    fn what_is_for_a_connection_that_ended_never_leaves_over_udp() {
        let mut socket = MediaSocket::new(bind("127.0.0.1:0".parse().unwrap(), false).unwrap()).unwrap();
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        other.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let udp = other.local_addr().unwrap();
        let connection = mark::of_stream(udp, 1);
        let (sender, mut outbox) = mpsc::channel(4);
        let mut outboxes = Outboxes::default();
        outboxes.open(connection, Outbox::Connection(sender));
        let batch = || [(connection, &b"media"[..]), (udp, b"other")].into_iter();
        let heard = || {
            let mut buffer = [0; 16];
            let heard =
                std::iter::from_fn(|| other.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec()));
            heard.collect::<Vec<_>>()
        };
        assert_eq!(outboxes.send(&mut socket, batch), 0);
        assert_eq!((heard(), outbox.try_recv().unwrap().as_ref()), (vec![b"other".to_vec()], &b"media"[..]));
        outboxes.close(connection);
        outboxes.tidy(1);
        assert_eq!(outboxes.send(&mut socket, batch), 1);
        assert_eq!(heard(), [b"other".to_vec()]);
    }

    #[test]
    fn a_connection_whose_end_was_not_told_is_forgotten() {
        let (sender, outbox) = mpsc::channel(4);
        let mut outboxes = Outboxes::default();
        outboxes.open(mark::of_stream("192.0.2.1:5000".parse().unwrap(), 1), Outbox::Connection(sender));
        outboxes.tidy(0);
        assert!(outboxes.open.len() == 1 && outboxes.marked);
        drop(outbox);
        outboxes.tidy(1);
        assert!(outboxes.open.is_empty() && outboxes.marked, "its peer may be sent something still");
        outboxes.tidy(0);
        assert!(!outboxes.marked);
    }
}

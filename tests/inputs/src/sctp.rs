//! A client that is in the call, on the other end of its data channels: DCEP messages, messages, and chunks that no honest SCTP
//! would send, with a right tag and checksum. What waits in the server stays bounded.

use crate::steps::{Step, read};
use bytes::{Bytes, BytesMut};
use rtc_sctp::{
    Association, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Payload,
    PayloadProtocolIdentifier, TransportConfig,
};
use rtc_shared::TransportProtocol;
use sfu::DataChannel;
use sfu::inside::Data;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Of one message, as the answer's `a=max-message-size` says.
const MESSAGE_MAX: usize = sfu::sdp::MAX_MESSAGE_SIZE as usize;

pub(crate) fn run(history: &[u8]) {
    let mut line = Line::new();
    line.exchange();
    for step in read(history) {
        line.step(step);
        line.exchange();
    }
}

struct Line {
    now: Instant,
    server: Data,
    endpoint: Endpoint,
    handle: AssociationHandle,
    client: Association,
    /// What the server wants on each packet, once the client knows it.
    tag: [u8; 4],
}

fn place() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1))
}

impl Line {
    fn new() -> Self {
        let now = Instant::now();
        let mut endpoint =
            Endpoint::new(place(), TransportProtocol::UDP, Arc::new(EndpointConfig::new()), None);
        let config = ClientConfig::new(TransportConfig::default());
        let (handle, client) = endpoint.connect(now, config, place()).expect("an association");
        Self { now, server: Data::new(), endpoint, handle, client, tag: [0; 4] }
    }

    fn step(&mut self, step: Step<'_>) {
        let stream = step.number % 20;
        match step.kind % 6 {
            0 => self.say(stream, PayloadProtocolIdentifier::Dcep, step.bytes),
            1 => self.say(stream, PayloadProtocolIdentifier::Binary, step.bytes),
            2 => {
                let large = step.bytes.iter().copied().cycle().take(usize::from(step.number) * 4);
                self.say(
                    u16::from(step.who % 20),
                    PayloadProtocolIdentifier::String,
                    &large.collect::<Vec<_>>(),
                );
            }
            3 => self.chunks(step.bytes),
            4 => {
                let channels = [DataChannel::Reliable, DataChannel::Lossy, DataChannel::DataTrack];
                let channel = channels[usize::from(step.who) % channels.len()];
                self.server.send(self.now, channel, &Bytes::copy_from_slice(step.bytes));
            }
            _ => self.now += Duration::from_millis(step.number.into()),
        }
    }

    fn say(&mut self, stream: u16, kind: PayloadProtocolIdentifier, bytes: &[u8]) {
        let opened = self.client.open_stream(stream, kind).is_ok();
        let Ok(mut stream) = self.client.stream(stream) else { return };
        if opened || !bytes.is_empty() {
            let _ = stream.write_with_ppi(self.now, bytes, kind);
        }
    }

    /// Chunks behind a right header (RFC 9260 section 3.1).
    fn chunks(&mut self, chunks: &[u8]) {
        let mut packet =
            [&5000_u16.to_be_bytes()[..], &5000_u16.to_be_bytes(), &self.tag, &[0; 4], chunks].concat();
        let sum = crc32c(&packet);
        packet[8..12].copy_from_slice(&sum.to_le_bytes());
        self.receive(&packet);
    }

    fn receive(&mut self, packet: &[u8]) {
        for message in self.server.handle_packet(self.now, BytesMut::from(packet)) {
            assert!(message.payload.len() <= MESSAGE_MAX);
        }
    }

    /// Both sides say what they have to, some times.
    fn exchange(&mut self) {
        for _ in 0..8 {
            let mut silent = true;
            while let Some(transmit) = self.client.poll_transmit(self.now) {
                let Payload::RawEncode(packets) = transmit.message else { break };
                for packet in packets {
                    silent = false;
                    if let Some(tag) = packet.get(4..8).and_then(|tag| tag.try_into().ok()) {
                        self.tag = tag;
                    }
                    self.receive(&packet);
                }
            }
            while let Some(packets) = self.server.poll_transmit(self.now) {
                for packet in packets {
                    silent = false;
                    if let Some((handle, DatagramEvent::AssociationEvent(event))) =
                        self.endpoint.handle(self.now, place(), None, packet)
                        && handle == self.handle
                    {
                        self.client.handle_event(event);
                    }
                }
            }
            while self.client.poll().is_some() {}
            if silent {
                break;
            }
        }
        if self.server.deadline().is_some_and(|at| at <= self.now) {
            self.server.handle_timeout(self.now);
        }
        if self.client.poll_timeout().is_some_and(|at| at <= self.now) {
            self.client.handle_timeout(self.now);
        }
    }
}

/// CRC32c (RFC 9260 appendix A), bit by bit: the packets are short.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ (0x82f6_3b78 & 0_u32.wrapping_sub(sum & 1));
        }
    }
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use sfu::inside::Received;

    #[test]
    fn the_checksum_is_the_one_of_the_rfc() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    /// Otherwise all that the target does would be thrown away at the door.
    #[test]
    fn the_client_comes_through_and_so_do_chunks_that_were_made_by_hand() {
        let mut line = Line::new();
        line.exchange();
        assert_ne!(line.tag, [0; 4]);
        // DATA_CHANNEL_OPEN (RFC 8832 section 5.1).
        let open = [&[3, 0, 1, 0, 0, 0, 0, 0, 0, 9, 0, 0][..], b"_reliable"].concat();
        line.say(0, PayloadProtocolIdentifier::Dcep, &open);
        line.exchange();
        assert!(
            line.server.send(line.now, DataChannel::Reliable, &Bytes::from_static(b"hello")),
            "it is open"
        );
        // HEARTBEAT with some information (RFC 9260 section 3.3.5) is answered.
        line.exchange();
        line.chunks(&[4, 0, 0, 12, 0, 1, 0, 8, 1, 2, 3, 4]);
        let answer: Vec<Bytes> =
            std::iter::from_fn(|| line.server.poll_transmit(line.now)).flatten().collect();
        assert!(answer.iter().any(|packet| packet.get(12) == Some(&5)), "{answer:?}");
        let nothing: Vec<Received> = line.server.handle_packet(line.now, BytesMut::new());
        assert!(nothing.is_empty());
    }
}

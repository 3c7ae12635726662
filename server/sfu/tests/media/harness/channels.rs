//! SCTP and the three data channels of a client, by `rtc-sctp`, with DCEP (RFC 8832) by `rtc-datachannel`.

use super::secure::PLACEHOLDER;
use bytes::Bytes;
use rtc_datachannel::message::Message;
use rtc_datachannel::message::message_channel_ack::DataChannelAck;
use rtc_datachannel::message::message_channel_open::{ChannelType, DataChannelOpen};
use rtc_sctp::{
    Association, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Event, Payload,
    PayloadProtocolIdentifier, ReliabilityType, StreamEvent, TransportConfig,
};
use rtc_shared::TransportProtocol;
use rtc_shared::marshal::{Marshal, Unmarshal};
use sfu::DataChannel;
use std::sync::Arc;
use std::time::Instant;

/// In the order a client opens them; it is the DTLS client, so its stream ids are even (RFC 8832 section 6). Where the
/// server opens them, they have its ids.
pub(crate) const CHANNELS: [(DataChannel, &str, u16); 3] = [
    (DataChannel::Reliable, "_reliable", 0),
    (DataChannel::Lossy, "_lossy", 2),
    (DataChannel::DataTrack, "_data_track", 4),
];

const LARGEST_MESSAGE: usize = 262_144;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) at: Instant,
    pub(crate) channel: DataChannel,
    pub(crate) payload: Vec<u8>,
}

pub(crate) struct Channels {
    endpoint: Endpoint,
    handle: AssociationHandle,
    pub(crate) association: Association,
    /// Whether the client opens the channels, or waits for the server to.
    opens: bool,
    /// Stream ids in the order of [`CHANNELS`].
    ids: [Option<u16>; 3],
    /// Acknowledged by the server (DCEP ACK), in the order of [`CHANNELS`].
    pub(crate) open: [bool; 3],
    pub(crate) received: Vec<Received>,
    pub(crate) lost: bool,
}

impl Channels {
    pub(crate) fn connect(now: Instant, opens: bool) -> Self {
        let mut endpoint =
            Endpoint::new(PLACEHOLDER, TransportProtocol::UDP, Arc::new(EndpointConfig::new()), None);
        let config = ClientConfig::new(TransportConfig::default());
        let (handle, association) = endpoint.connect(now, config, PLACEHOLDER).expect("an association");
        let ids = CHANNELS.map(|(_, _, id)| opens.then_some(id));
        Self {
            endpoint,
            handle,
            association,
            opens,
            ids,
            open: [false; 3],
            received: Vec::new(),
            lost: false,
        }
    }

    pub(crate) fn all_open(&self) -> bool {
        self.open.iter().all(|open| *open)
    }

    pub(crate) fn handle_packet(&mut self, now: Instant, packet: &[u8]) {
        if let Some((handle, DatagramEvent::AssociationEvent(event))) =
            self.endpoint.handle(now, PLACEHOLDER, None, Bytes::copy_from_slice(packet))
            && handle == self.handle
        {
            self.association.handle_event(event);
        }
        self.drain_events(now);
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.association.poll_timeout().is_some_and(|at| at <= now) {
            self.association.handle_timeout(now);
            self.drain_events(now);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.association.poll_timeout()
    }

    pub(crate) fn poll_transmit(&mut self, now: Instant) -> Option<Vec<Bytes>> {
        match self.association.poll_transmit(now)?.message {
            Payload::RawEncode(packets) => Some(packets),
            _ => None,
        }
    }

    pub(crate) fn send(&mut self, now: Instant, channel: DataChannel, payload: &[u8]) {
        let index = CHANNELS.iter().position(|(kind, _, _)| *kind == channel).expect("a channel");
        let mut stream = self.association.stream(self.ids[index].expect("an id")).expect("an open stream");
        stream.write_with_ppi(now, payload, PayloadProtocolIdentifier::Binary).expect("a send buffer");
    }

    fn drain_events(&mut self, now: Instant) {
        while let Some(event) = self.association.poll() {
            match event {
                Event::Connected if self.opens => self.open_channels(now),
                Event::AssociationLost { .. } | Event::HandshakeFailed { .. } => self.lost = true,
                Event::Stream(StreamEvent::Readable { id }) => self.read(now, id),
                _ => {}
            }
        }
    }

    fn open_channels(&mut self, now: Instant) {
        for (channel, label, id) in CHANNELS {
            let channel_type = match channel {
                DataChannel::Reliable => ChannelType::Reliable,
                DataChannel::Lossy | DataChannel::DataTrack => ChannelType::PartialReliableRexmitUnordered,
            };
            let open = Message::DataChannelOpen(DataChannelOpen {
                channel_type,
                priority: 256,
                reliability_parameter: 0,
                label: label.as_bytes().to_vec(),
                protocol: Vec::new(),
            });
            let open = open.marshal().expect("DATA_CHANNEL_OPEN");
            let mut stream =
                self.association.open_stream(id, PayloadProtocolIdentifier::Binary).expect("a stream");
            stream.write_with_ppi(now, &open, PayloadProtocolIdentifier::Dcep).expect("a send buffer");
            if channel != DataChannel::Reliable {
                // After the OPEN itself, which is always sent reliably and in order (RFC 8832 section 6).
                stream.set_reliability_params(true, ReliabilityType::Rexmit, 0).expect("a stream");
            }
        }
    }

    fn read(&mut self, now: Instant, id: u16) {
        loop {
            let Ok(mut stream) = self.association.stream(id) else { return };
            let Ok(Some(chunks)) = stream.read_sctp() else { return };
            let payload = chunks.to_payload(LARGEST_MESSAGE).expect("a message of bounded size");
            if chunks.ppi == PayloadProtocolIdentifier::Dcep {
                let message = Message::unmarshal(&mut payload.freeze()).expect("a DCEP message");
                self.handle_dcep(now, id, &message);
                continue;
            }
            let Some(index) = self.ids.iter().position(|known| *known == Some(id)) else { continue };
            self.received.push(Received { at: now, channel: CHANNELS[index].0, payload: payload.to_vec() });
        }
    }

    fn handle_dcep(&mut self, now: Instant, id: u16, message: &Message) {
        match message {
            Message::DataChannelAck(_) => {
                if let Some(index) = self.ids.iter().position(|known| *known == Some(id)) {
                    self.open[index] = true;
                }
            }
            Message::DataChannelOpen(request) => {
                assert!(!self.opens, "both sides open the channels");
                assert_eq!(id % 2, 1, "the DTLS server's streams are odd (RFC 8832 section 6)");
                let named = |(_, label, _): &(DataChannel, &str, u16)| label.as_bytes() == request.label;
                let index = CHANNELS.iter().position(named).expect("a channel of LiveKit's");
                let reliable = request.channel_type == ChannelType::Reliable;
                assert_eq!(reliable, CHANNELS[index].0 == DataChannel::Reliable, "its reliability");
                self.ids[index] = Some(id);
                self.open[index] = true;
                let ack = Message::DataChannelAck(DataChannelAck {}).marshal().expect("DATA_CHANNEL_ACK");
                let mut stream = self.association.stream(id).expect("a stream");
                stream.write_with_ppi(now, &ack, PayloadProtocolIdentifier::Dcep).expect("a send buffer");
            }
            other => panic!("a DCEP message of no known kind: {other:?}"),
        }
    }
}

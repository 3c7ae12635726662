//! Data channels of one peer (RFC 8831, RFC 8832) over `rtc-sctp`. Owns the SCTP association and which stream
//! carries which of LiveKit's three channels; never reads a message.

use crate::DataChannel;
use bytes::{Bytes, BytesMut};
use rtc_datachannel::message::Message;
use rtc_datachannel::message::message_channel_ack::DataChannelAck;
use rtc_datachannel::message::message_channel_open::{ChannelType, DataChannelOpen};
use rtc_sctp::{
    Association, AssociationHandle, DatagramEvent, Endpoint, EndpointConfig, Event,
    PayloadProtocolIdentifier, ReliabilityType, ServerConfig, StreamEvent, StreamId, TransportConfig,
};
use rtc_shared::TransportProtocol;
use rtc_shared::marshal::{Marshal, Unmarshal};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Instant;

/// Largest message, in and out, and what the answer's `a=max-message-size` says. LiveKit clients cap at 64,000 bytes.
const MAX_MESSAGE: u32 = crate::sdp::MAX_MESSAGE_SIZE;

/// Bytes that may wait on one peer's reliable channel; a message beyond that is dropped for this peer alone.
/// Higher: a stalled phone holds more memory; lower: a short stall loses messages.
const MAX_BUFFERED_RELIABLE: usize = 1024 * 1024;

/// Bytes that may wait on a lossy channel: late is useless there.
const MAX_BUFFERED_LOSSY: usize = 64 * 1024;

/// Receive window (a_rwnd), thus bytes of half-received messages per peer.
const RECEIVE_BUFFER: u32 = 256 * 1024;

/// Streams that a client may open. LiveKit clients open three.
const MAX_STREAMS: u16 = 16;

/// Messages that a client may send in a second, and as many at once. Beyond it lossy ones are dropped, and a client that
/// sends reliable ones, which must not be lost, is. Lower: a file sent in small pieces ends its sender; higher: a few
/// who mean harm fill the queue that everybody's events take.
pub const MESSAGES_PER_SECOND: u32 = 2_000;

/// Of a peer in [`crate::RoomId::NOBODY`]: its receive window, and SCTP packets that are read at all. It sends a handshake and
/// nothing else.
const TRIAL_BUFFER: u32 = 4 * 1024;
const TRIAL_PACKETS: u32 = 64;

/// SCTP only wants the address as a key; DTLS has one peer.
const PEER: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1));

/// One message from the client.
pub struct Received {
    pub channel: DataChannel,
    pub payload: Bytes,
}

/// The association and its channels.
pub struct Data {
    endpoint: Endpoint,
    association: Option<(AssociationHandle, Association)>,
    channels: Vec<(StreamId, DataChannel)>,
    /// Whether the server opens the channels, and has not yet.
    opens: bool,
    closed: bool,
    /// More reliable messages came than may.
    flooded: bool,
    /// Messages that may still come, and since when that is counted.
    allowance: (u32, Option<Instant>),
    /// SCTP packets that are still read; `None` for all.
    packets: Option<u32>,
}

fn channel_of(label: &[u8]) -> Option<DataChannel> {
    match label {
        b"_reliable" => Some(DataChannel::Reliable),
        b"_lossy" => Some(DataChannel::Lossy),
        b"_data_track" => Some(DataChannel::DataTrack),
        _ => None,
    }
}

impl Data {
    #[expect(clippy::new_without_default, reason = "public for the fuzz targets alone")]
    pub fn new() -> Self {
        Self::with(RECEIVE_BUFFER)
    }

    /// For a peer that only tries whether there is a way.
    pub(crate) fn trial() -> Self {
        Self { packets: Some(TRIAL_PACKETS), ..Self::with(TRIAL_BUFFER) }
    }

    fn with(receive_buffer: u32) -> Self {
        let transport = TransportConfig::default()
            .with_max_message_size(MAX_MESSAGE)
            .with_max_receive_buffer_size(receive_buffer)
            .with_max_num_inbound_streams(MAX_STREAMS)
            .with_max_num_outbound_streams(MAX_STREAMS);
        Self {
            endpoint: Endpoint::new(
                PEER,
                TransportProtocol::UDP,
                Arc::new(EndpointConfig::new()),
                Some(Arc::new(ServerConfig::new(transport))),
            ),
            association: None,
            channels: Vec::new(),
            opens: false,
            closed: false,
            flooded: false,
            allowance: (MESSAGES_PER_SECOND, None),
            packets: None,
        }
    }

    /// Whether this client sent more than may be lost.
    pub(crate) const fn flooded(&self) -> bool {
        self.flooded
    }

    /// For a client that waits for the server to open the channels.
    pub(crate) fn opening() -> Self {
        Self { opens: true, ..Self::new() }
    }

    /// Feeds one decrypted SCTP packet; returns whole messages.
    pub fn handle_packet(&mut self, now: Instant, packet: BytesMut) -> Vec<Received> {
        if let Some(left) = &mut self.packets {
            let Some(fewer) = left.checked_sub(1) else { return Vec::new() };
            *left = fewer;
        }
        match self.endpoint.handle(now, PEER, None, packet.freeze()) {
            Some((handle, DatagramEvent::NewAssociation(association))) if self.association.is_none() => {
                self.association = Some((handle, association));
            }
            Some((handle, DatagramEvent::AssociationEvent(event))) => {
                if let Some((known, association)) = &mut self.association
                    && *known == handle
                {
                    association.handle_event(event);
                }
            }
            _ => return Vec::new(),
        }
        self.drain(now)
    }

    fn drain(&mut self, now: Instant) -> Vec<Received> {
        let mut received = Vec::new();
        let Some((handle, association)) = &mut self.association else { return received };
        let mut readable = Vec::new();
        while let Some(event) = association.poll() {
            match event {
                Event::Connected if self.opens => {
                    self.opens = false;
                    announce(association, &mut self.channels, now);
                }
                Event::Stream(StreamEvent::Readable { id }) => readable.push(id),
                Event::AssociationLost { .. } | Event::HandshakeFailed { .. } => self.closed = true,
                _ => {}
            }
        }
        while association.accept_stream().is_some() {}
        for id in readable {
            while let Ok(Some(chunks)) = association.stream(id).and_then(|mut stream| stream.read_sctp()) {
                let Ok(payload) = chunks.to_payload(usize::try_from(MAX_MESSAGE).unwrap_or(usize::MAX))
                else {
                    continue;
                };
                if chunks.ppi == PayloadProtocolIdentifier::Dcep {
                    open(association, &mut self.channels, now, id, &payload);
                } else if let Some((_, channel)) = self.channels.iter().find(|(stream, _)| *stream == id) {
                    if !spend(&mut self.allowance, now) {
                        self.flooded |= *channel == DataChannel::Reliable;
                        continue;
                    }
                    let empty = matches!(
                        chunks.ppi,
                        PayloadProtocolIdentifier::StringEmpty | PayloadProtocolIdentifier::BinaryEmpty
                    );
                    let payload = if empty { Bytes::new() } else { payload.freeze() };
                    received.push(Received { channel: *channel, payload });
                }
            }
        }
        while let Some(event) = association.poll_endpoint_event() {
            self.endpoint.handle_event(*handle, event);
            self.closed = true;
        }
        if self.closed {
            self.association = None;
            self.channels.clear();
        }
        received
    }

    /// Queues one message. Dropped when the channel is not open or its buffer is full: one slow receiver never
    /// holds up the others. Returns whether it was queued.
    pub fn send(&mut self, now: Instant, channel: DataChannel, payload: &Bytes) -> bool {
        let Some((_, association)) = &mut self.association else { return false };
        let Some((id, _)) = self.channels.iter().find(|(_, known)| *known == channel) else { return false };
        let Ok(mut stream) = association.stream(*id) else { return false };
        let limit = if channel == DataChannel::Reliable { MAX_BUFFERED_RELIABLE } else { MAX_BUFFERED_LOSSY };
        if stream.buffered_amount().unwrap_or(usize::MAX).saturating_add(payload.len()) > limit {
            return false;
        }
        if payload.is_empty() {
            return stream.write_with_ppi(now, &[0], PayloadProtocolIdentifier::BinaryEmpty).is_ok();
        }
        stream.write_chunk_with_ppi(now, payload, PayloadProtocolIdentifier::Binary).is_ok()
    }

    /// SCTP packets to encrypt and send.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Vec<Bytes>> {
        let (_, association) = self.association.as_mut()?;
        match association.poll_transmit(now)?.message {
            rtc_sctp::Payload::RawEncode(packets) => Some(packets),
            _ => None,
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.association.as_ref().and_then(|(_, association)| association.poll_timeout())
    }

    pub fn handle_timeout(&mut self, now: Instant) -> Vec<Received> {
        if let Some((_, association)) = &mut self.association {
            association.handle_timeout(now);
        }
        self.drain(now)
    }
}

/// One more message; false when there were too many.
fn spend((left, since): &mut (u32, Option<Instant>), now: Instant) -> bool {
    let began = *since.get_or_insert(now);
    let earned =
        now.saturating_duration_since(began).as_millis().saturating_mul(MESSAGES_PER_SECOND.into()) / 1_000;
    if earned > 0 {
        *left = left.saturating_add(u32::try_from(earned).unwrap_or(u32::MAX)).min(MESSAGES_PER_SECOND);
        *since = Some(now);
    }
    match left.checked_sub(1) {
        Some(fewer) => {
            *left = fewer;
            true
        }
        None => false,
    }
}

/// Opens the three channels (RFC 8832 §5.1); the DTLS server's streams are odd (§6).
fn announce(association: &mut Association, channels: &mut Vec<(StreamId, DataChannel)>, now: Instant) {
    for (id, channel, label) in [
        (1, DataChannel::Reliable, "_reliable"),
        (3, DataChannel::Lossy, "_lossy"),
        (5, DataChannel::DataTrack, "_data_track"),
    ] {
        let reliable = channel == DataChannel::Reliable;
        let request = Message::DataChannelOpen(DataChannelOpen {
            channel_type: if reliable {
                ChannelType::Reliable
            } else {
                ChannelType::PartialReliableRexmitUnordered
            },
            priority: 0,
            reliability_parameter: 0,
            label: label.as_bytes().to_vec(),
            protocol: Vec::new(),
        });
        let Ok(request) = request.marshal() else { continue };
        let Ok(mut stream) = association.open_stream(id, PayloadProtocolIdentifier::Dcep) else { continue };
        let _ = stream.set_reliability_params(false, ReliabilityType::Reliable, 0);
        let _ = stream.write_with_ppi(now, &request, PayloadProtocolIdentifier::Dcep);
        if !reliable {
            let _ = stream.set_reliability_params(true, ReliabilityType::Rexmit, 0);
        }
        channels.push((id, channel));
    }
}

/// Answers DATA_CHANNEL_OPEN (RFC 8832 §5.1) and remembers which stream is which channel.
fn open(
    association: &mut Association,
    channels: &mut Vec<(StreamId, DataChannel)>,
    now: Instant,
    id: StreamId,
    payload: &[u8],
) {
    let mut bytes = payload;
    let Ok(Message::DataChannelOpen(request)) = Message::unmarshal(&mut bytes) else { return };
    let Some(channel) = channel_of(&request.label) else { return };
    if channels.len() >= usize::from(MAX_STREAMS) && !channels.iter().any(|(stream, _)| *stream == id) {
        return;
    }
    let Ok(mut stream) = association.stream(id) else { return };
    let (unordered, reliability) = match request.channel_type {
        ChannelType::Reliable => (false, ReliabilityType::Reliable),
        ChannelType::ReliableUnordered => (true, ReliabilityType::Reliable),
        ChannelType::PartialReliableRexmit => (false, ReliabilityType::Rexmit),
        ChannelType::PartialReliableRexmitUnordered => (true, ReliabilityType::Rexmit),
        ChannelType::PartialReliableTimed => (false, ReliabilityType::Timed),
        ChannelType::PartialReliableTimedUnordered => (true, ReliabilityType::Timed),
        _ => return,
    };
    // The acknowledgement itself must arrive, whatever the channel's own reliability.
    let _ = stream.set_reliability_params(false, ReliabilityType::Reliable, 0);
    if let Ok(ack) = Message::DataChannelAck(DataChannelAck {}).marshal() {
        let _ = stream.write_with_ppi(now, &ack, PayloadProtocolIdentifier::Dcep);
    }
    let _ = stream.set_reliability_params(unordered, reliability, request.reliability_parameter);
    channels.retain(|(stream, known)| *stream != id && *known != channel);
    channels.push((id, channel));
}

//! The addressing of a `DataPacket`, read and written on the wire form. What the packet carries stays as it came,
//! byte by byte, so kinds of content this server has never heard of pass through.

use crate::limits::MAX_DATA_MESSAGE;
use bytes::Bytes;
use prost::encoding::{WireType, decode_varint, encode_key, encode_varint};

/// Field numbers of `DataPacket` that the server reads or writes.
mod field {
    pub(super) const KIND: u32 = 1;
    pub(super) const USER: u32 = 2;
    pub(super) const SPEAKER: u32 = 3;
    pub(super) const PARTICIPANT_IDENTITY: u32 = 4;
    pub(super) const DESTINATION_IDENTITIES: u32 = 5;
    pub(super) const TRANSCRIPTION: u32 = 7;
    pub(super) const METRICS: u32 = 8;
    pub(super) const SEQUENCE: u32 = 16;
    pub(super) const PARTICIPANT_SID: u32 = 17;
}

/// Field numbers of the `UserPacket` inside.
mod user {
    pub(super) const PARTICIPANT_SID: u32 = 1;
    pub(super) const DESTINATION_SIDS: u32 = 3;
    pub(super) const PARTICIPANT_IDENTITY: u32 = 5;
    pub(super) const DESTINATION_IDENTITIES: u32 = 6;
}

/// `DataPacket.Kind.LOSSY`.
const LOSSY: u64 = 1;

/// Why a data-channel message is not relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DataPacketError {
    #[error("the message is longer than {MAX_DATA_MESSAGE} bytes")]
    TooLong,
    #[error("the message is not a DataPacket")]
    Malformed,
    #[error("only the server or an agent sends this kind of packet")]
    NotForClients,
}

/// A client's `DataPacket`: where it goes and its place in the sender's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    packet: &'a [u8],
    /// Number of a reliable message, counted by the sender; 0 when it does not count.
    pub sequence: u32,
    /// Identities named as receivers, in either place.
    pub identities: Vec<&'a str>,
    /// Participant sids named as receivers (older clients).
    pub sids: Vec<&'a str>,
}

/// Who sent it, written into the packet; `None` leaves a hidden sender out.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    pub sid: &'a str,
    pub identity: &'a str,
}

impl<'a> Envelope<'a> {
    /// Reads the addressing. Everything else only has to be well-formed on its top level.
    pub fn read(packet: &'a [u8]) -> Result<Self, DataPacketError> {
        if packet.len() > MAX_DATA_MESSAGE {
            return Err(DataPacketError::TooLong);
        }
        let mut envelope = Self { packet, sequence: 0, identities: Vec::new(), sids: Vec::new() };
        for field in Fields(packet) {
            let field = field?;
            match (field.number, field.value) {
                (field::DESTINATION_IDENTITIES, Value::Bytes(bytes)) => {
                    envelope.identities.push(text(bytes)?);
                }
                (field::SEQUENCE, Value::Varint(sequence)) => {
                    envelope.sequence = u32::try_from(sequence).map_err(|_| DataPacketError::Malformed)?;
                }
                (field::USER, Value::Bytes(bytes)) => envelope.read_user(bytes)?,
                (field::SPEAKER | field::TRANSCRIPTION | field::METRICS, _) => {
                    return Err(DataPacketError::NotForClients);
                }
                _ => {}
            }
        }
        Ok(envelope)
    }

    fn read_user(&mut self, packet: &'a [u8]) -> Result<(), DataPacketError> {
        for field in Fields(packet) {
            let field = field?;
            match (field.number, field.value) {
                (user::DESTINATION_SIDS, Value::Bytes(bytes)) => self.sids.push(text(bytes)?),
                (user::DESTINATION_IDENTITIES, Value::Bytes(bytes)) => self.identities.push(text(bytes)?),
                _ => {}
            }
        }
        Ok(())
    }

    /// The packet as receivers get it: the true sender, the kind of the channel it came on, and no number unless
    /// it is reliable (receivers drop by number).
    pub fn addressed(&self, sender: Option<Sender<'_>>, reliable: bool) -> Bytes {
        let names = sender.map_or(0, |sender| sender.sid.len().saturating_add(sender.identity.len()));
        let mut out =
            Vec::with_capacity(self.packet.len().saturating_add(names.saturating_mul(2)).saturating_add(32));
        if !reliable {
            encode_key(field::KIND, WireType::Varint, &mut out);
            encode_varint(LOSSY, &mut out);
        }
        for field in Fields(self.packet).map_while(Result::ok) {
            match (field.number, field.value) {
                (field::KIND | field::PARTICIPANT_IDENTITY | field::PARTICIPANT_SID, _) => {}
                (field::SEQUENCE, _) if !reliable => {}
                (field::USER, Value::Bytes(packet)) => {
                    write_bytes(field::USER, &addressed_user(packet, sender), &mut out);
                }
                _ => out.extend_from_slice(field.raw),
            }
        }
        if let Some(sender) = sender {
            write_bytes(field::PARTICIPANT_IDENTITY, sender.identity.as_bytes(), &mut out);
            write_bytes(field::PARTICIPANT_SID, sender.sid.as_bytes(), &mut out);
        }
        out.into()
    }
}

fn addressed_user(packet: &[u8], sender: Option<Sender<'_>>) -> Vec<u8> {
    let mut out = Vec::with_capacity(packet.len().saturating_add(64));
    for field in Fields(packet).map_while(Result::ok) {
        if !matches!(field.number, user::PARTICIPANT_SID | user::PARTICIPANT_IDENTITY) {
            out.extend_from_slice(field.raw);
        }
    }
    if let Some(sender) = sender {
        write_bytes(user::PARTICIPANT_SID, sender.sid.as_bytes(), &mut out);
        write_bytes(user::PARTICIPANT_IDENTITY, sender.identity.as_bytes(), &mut out);
    }
    out
}

fn write_bytes(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(u64::try_from(bytes.len()).unwrap_or(u64::MAX), out);
    out.extend_from_slice(bytes);
}

fn text(bytes: &[u8]) -> Result<&str, DataPacketError> {
    std::str::from_utf8(bytes).map_err(|_| DataPacketError::Malformed)
}

/// One field of a message on the wire.
struct Field<'a> {
    number: u32,
    value: Value<'a>,
    /// Key and value as they came.
    raw: &'a [u8],
}

#[derive(Clone, Copy)]
enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Fixed,
}

/// Walks the top level of a message; ends after the first defect.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, DataPacketError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let whole = self.0;
        let field = self.field(whole);
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or(DataPacketError::Malformed))
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self, whole: &'a [u8]) -> Option<Field<'a>> {
        let mut rest = whole;
        let key = decode_varint(&mut rest).ok()?;
        let number = u32::try_from(key >> 3).ok().filter(|&number| number > 0)?;
        let value = match key & 7 {
            0 => Value::Varint(decode_varint(&mut rest).ok()?),
            1 => {
                rest = rest.get(8..)?;
                Value::Fixed
            }
            2 => {
                let length = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
                let (bytes, after) = rest.split_at_checked(length)?;
                rest = after;
                Value::Bytes(bytes)
            }
            5 => {
                rest = rest.get(4..)?;
                Value::Fixed
            }
            _ => return None, // groups: LiveKit has none
        };
        let raw = whole.get(..whole.len().checked_sub(rest.len())?)?;
        self.0 = rest;
        Some(Field { number, value, raw })
    }
}

#[cfg(test)]
#[expect(deprecated, reason = "the fields older clients read are checked too")]
mod tests {
    use super::*;
    use livekit_protocol::{ChatMessage, DataPacket, UserPacket, data_packet};
    use proptest::prelude::*;
    use prost::Message as _;

    const SENDER: Sender<'_> = Sender { sid: "PA_true", identity: "anna" };

    fn user() -> DataPacket {
        DataPacket {
            participant_identity: "forged".into(),
            participant_sid: "PA_forged".into(),
            destination_identities: vec!["ben".into()],
            sequence: 7,
            value: Some(data_packet::Value::User(UserPacket {
                participant_sid: "PA_forged".into(),
                participant_identity: "forged".into(),
                payload: b"hello".to_vec(),
                destination_sids: vec!["PA_ben".into()],
                destination_identities: vec!["cem".into()],
                topic: Some("t".into()),
                ..Default::default()
            })),
            ..Default::default()
        }
    }

    fn relayed(packet: &DataPacket, reliable: bool) -> DataPacket {
        let bytes = packet.encode_to_vec();
        DataPacket::decode(Envelope::read(&bytes).unwrap().addressed(Some(SENDER), reliable)).unwrap()
    }

    #[test]
    fn the_sender_is_the_true_one_in_both_places() {
        let packet = relayed(&user(), true);
        assert_eq!(
            (packet.participant_sid.as_str(), packet.participant_identity.as_str()),
            ("PA_true", "anna")
        );
        let Some(data_packet::Value::User(inner)) = &packet.value else { panic!("user packet") };
        assert_eq!(
            (inner.participant_sid.as_str(), inner.participant_identity.as_str()),
            ("PA_true", "anna")
        );
        assert_eq!((inner.payload.as_slice(), inner.topic.as_deref()), (&b"hello"[..], Some("t")));
        assert_eq!((packet.sequence, packet.kind()), (7, data_packet::Kind::Reliable));
    }

    #[test]
    fn a_hidden_sender_is_left_out() {
        let bytes = user().encode_to_vec();
        let packet = DataPacket::decode(Envelope::read(&bytes).unwrap().addressed(None, true)).unwrap();
        assert_eq!((packet.participant_sid.as_str(), packet.participant_identity.as_str()), ("", ""));
        let Some(data_packet::Value::User(inner)) = &packet.value else { panic!("user packet") };
        assert_eq!((inner.participant_sid.as_str(), inner.participant_identity.as_str()), ("", ""));
    }

    #[test]
    fn receivers_are_read_from_both_places() {
        let bytes = user().encode_to_vec();
        let envelope = Envelope::read(&bytes).unwrap();
        assert_eq!(
            (envelope.identities, envelope.sids, envelope.sequence),
            (vec!["cem", "ben"], vec!["PA_ben"], 7)
        );
    }

    #[test]
    fn the_kind_follows_the_channel_and_lossy_packets_are_not_numbered() {
        let packet = relayed(&user(), false);
        assert_eq!((packet.kind(), packet.sequence), (data_packet::Kind::Lossy, 0));
        let lying = DataPacket { kind: data_packet::Kind::Lossy.into(), ..user() };
        assert_eq!(relayed(&lying, true).kind(), data_packet::Kind::Reliable);
    }

    #[test]
    fn content_of_an_unknown_kind_passes_through() {
        let mut bytes = user().encode_to_vec();
        let unknown = [0xf2, 0x07, 0x03, 1, 2, 3]; // field 126, three bytes
        bytes.extend_from_slice(&unknown);
        let out = Envelope::read(&bytes).unwrap().addressed(Some(SENDER), true);
        assert!(out.windows(unknown.len()).any(|window| window == unknown));
    }

    #[test]
    fn what_only_servers_and_agents_send_is_refused() {
        for value in [
            data_packet::Value::Speaker(Default::default()),
            data_packet::Value::Transcription(Default::default()),
            data_packet::Value::Metrics(Default::default()),
        ] {
            let bytes = DataPacket { value: Some(value), ..Default::default() }.encode_to_vec();
            assert_eq!(Envelope::read(&bytes), Err(DataPacketError::NotForClients));
        }
        assert_eq!(Envelope::read(&vec![0; MAX_DATA_MESSAGE + 1]), Err(DataPacketError::TooLong));
        for malformed in [&[0x0f][..], &[0x00, 0x01], &[0x2a, 0xff], &[0x2a, 0x01, 0xff], &[0x80]] {
            assert_eq!(Envelope::read(malformed), Err(DataPacketError::Malformed), "{malformed:?}");
        }
    }

    fn packets() -> impl Strategy<Value = DataPacket> {
        let text = || "[a-z]{0,8}";
        let list = || prop::collection::vec("[a-z]{1,8}", 0..4);
        let user = (text(), text(), list(), list(), prop::collection::vec(any::<u8>(), 0..50)).prop_map(
            |(sid, identity, sids, identities, payload)| {
                data_packet::Value::User(UserPacket {
                    participant_sid: sid,
                    participant_identity: identity,
                    destination_sids: sids,
                    destination_identities: identities,
                    payload,
                    ..Default::default()
                })
            },
        );
        let chat = text().prop_map(|message| {
            data_packet::Value::ChatMessage(ChatMessage { message, timestamp: -1, ..Default::default() })
        });
        (prop_oneof![user, chat], text(), text(), list(), any::<u32>(), 0..2i32).prop_map(
            |(value, participant_sid, participant_identity, destination_identities, sequence, kind)| {
                DataPacket {
                    value: Some(value),
                    participant_sid,
                    participant_identity,
                    destination_identities,
                    sequence,
                    kind,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn relaying_equals_decoding_changing_and_encoding(packet in packets(), reliable: bool) {
            let mut expected = packet.clone();
            expected.participant_sid = SENDER.sid.into();
            expected.participant_identity = SENDER.identity.into();
            expected.set_kind(if reliable { data_packet::Kind::Reliable } else { data_packet::Kind::Lossy });
            if !reliable {
                expected.sequence = 0;
            }
            if let Some(data_packet::Value::User(user)) = &mut expected.value {
                user.participant_sid = SENDER.sid.into();
                user.participant_identity = SENDER.identity.into();
            }
            prop_assert_eq!(relayed(&packet, reliable), expected);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), reliable: bool) {
            if let Ok(envelope) = Envelope::read(&bytes) {
                envelope.addressed(Some(SENDER), reliable);
            }
        }
    }
}

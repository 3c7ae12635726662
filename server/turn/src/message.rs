//! STUN messages (RFC 8489 section 5) with the attributes of TURN (RFC 8656 section 18): read without copying, written whole.
//! Owns what stands where; never knows what a message asks for.

use ring::hmac;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes before the attributes.
pub(crate) const HEADER: usize = 20;

/// Bytes 4 to 7 of every STUN message.
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// First bytes of STUN messages (their first two bits are zero, and no method in use needs the next four) and of
/// ChannelData (channels 0x4000 to 0x4fff).
const STUN_FIRST: std::ops::RangeInclusive<u8> = 0..=3;
pub(crate) const CHANNEL_FIRST: std::ops::RangeInclusive<u8> = 0x40..=0x4f;

/// Bytes of a MESSAGE-INTEGRITY attribute: its head and an HMAC-SHA1.
const INTEGRITY: usize = 4 + 20;

/// Attributes (RFC 8489 section 18.3, RFC 8656 section 18).
pub(crate) mod kind {
    pub(crate) const USERNAME: u16 = 0x0006;
    pub(crate) const MESSAGE_INTEGRITY: u16 = 0x0008;
    pub(crate) const ERROR_CODE: u16 = 0x0009;
    pub(crate) const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
    pub(crate) const CHANNEL_NUMBER: u16 = 0x000c;
    pub(crate) const LIFETIME: u16 = 0x000d;
    pub(crate) const XOR_PEER_ADDRESS: u16 = 0x0012;
    pub(crate) const DATA: u16 = 0x0013;
    pub(crate) const REALM: u16 = 0x0014;
    pub(crate) const NONCE: u16 = 0x0015;
    pub(crate) const XOR_RELAYED_ADDRESS: u16 = 0x0016;
    pub(crate) const REQUESTED_ADDRESS_FAMILY: u16 = 0x0017;
    pub(crate) const EVEN_PORT: u16 = 0x0018;
    pub(crate) const REQUESTED_TRANSPORT: u16 = 0x0019;
    pub(crate) const DONT_FRAGMENT: u16 = 0x001a;
    pub(crate) const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    pub(crate) const RESERVATION_TOKEN: u16 = 0x0022;
    pub(crate) const FINGERPRINT: u16 = 0x8028;

    /// From here on an attribute may be ignored by whoever does not know it.
    pub(crate) const OPTIONAL: u16 = 0x8000;

    /// What a request may carry and is understood, or may be ignored by its meaning.
    pub(crate) const KNOWN: [u16; 14] = [
        USERNAME,
        MESSAGE_INTEGRITY,
        CHANNEL_NUMBER,
        LIFETIME,
        XOR_PEER_ADDRESS,
        DATA,
        REALM,
        NONCE,
        REQUESTED_ADDRESS_FAMILY,
        EVEN_PORT,
        REQUESTED_TRANSPORT,
        // Nothing is ever fragmented on the way through memory.
        DONT_FRAGMENT,
        RESERVATION_TOKEN,
        FINGERPRINT,
    ];
}

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Binding,
    Allocate,
    Refresh,
    Send,
    Data,
    CreatePermission,
    ChannelBind,
}

impl Method {
    const fn number(self) -> u16 {
        match self {
            Self::Binding => 0x001,
            Self::Allocate => 0x003,
            Self::Refresh => 0x004,
            Self::Send => 0x006,
            Self::Data => 0x007,
            Self::CreatePermission => 0x008,
            Self::ChannelBind => 0x009,
        }
    }

    const fn of(number: u16) -> Option<Self> {
        match number {
            0x001 => Some(Self::Binding),
            0x003 => Some(Self::Allocate),
            0x004 => Some(Self::Refresh),
            0x006 => Some(Self::Send),
            0x007 => Some(Self::Data),
            0x008 => Some(Self::CreatePermission),
            0x009 => Some(Self::ChannelBind),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Request,
    Indication,
    Success,
    Error,
}

impl Class {
    /// The two bits where they stand between those of the method.
    const fn bits(self) -> u16 {
        match self {
            Self::Request => 0,
            Self::Indication => 0x0010,
            Self::Success => 0x0100,
            Self::Error => 0x0110,
        }
    }
}

pub(crate) type Transaction = [u8; 12];

/// A message that is well formed, and not yet believed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) method: Method,
    pub(crate) class: Class,
    pub(crate) transaction: Transaction,
    bytes: &'a [u8],
    /// Attributes up to MESSAGE-INTEGRITY, it included: what stands behind it is signed by nobody.
    attributes: &'a [u8],
}

impl<'a> Message<'a> {
    /// `None` for anything that is not exactly one message of a known method.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (header, attributes) = bytes.split_first_chunk::<HEADER>()?;
        let [high, low, length_high, length_low, cookie @ .., _, _, _, _, _, _, _, _, _, _, _, _] = header;
        let transaction = *header.last_chunk::<12>()?;
        let length = usize::from(u16::from_be_bytes([*length_high, *length_low]));
        if !STUN_FIRST.contains(high) || *cookie != COOKIE || length != attributes.len() {
            return None;
        }
        let kind = u16::from_be_bytes([*high, *low]);
        let class = match kind & 0x0110 {
            0 => Class::Request,
            0x0010 => Class::Indication,
            0x0100 => Class::Success,
            _ => Class::Error,
        };
        let method = Method::of((kind & 0x000f) | ((kind & 0x00e0) >> 1) | ((kind & 0x3e00) >> 2))?;
        let mut rest = Attributes(attributes);
        let mut signed = attributes;
        loop {
            if rest.0.is_empty() {
                break;
            }
            let (kind, _) = rest.next()?;
            if kind == kind::MESSAGE_INTEGRITY {
                signed = attributes.get(..attributes.len().checked_sub(rest.0.len())?)?;
                // What follows must be well formed all the same.
                while !rest.0.is_empty() {
                    rest.next()?;
                }
            }
        }
        Some(Self { method, class, transaction, bytes, attributes: signed })
    }

    /// The first attribute of this kind.
    pub(crate) fn get(&self, kind: u16) -> Option<&'a [u8]> {
        self.all(kind).next()
    }

    /// All attributes of this kind.
    pub(crate) fn all(&self, kind: u16) -> impl Iterator<Item = &'a [u8]> {
        Attributes(self.attributes).filter(move |(other, _)| *other == kind).map(|(_, value)| value)
    }

    /// Attributes that must be understood and are not.
    pub(crate) fn unknown(&self) -> impl Iterator<Item = u16> {
        Attributes(self.attributes)
            .map(|(kind, _)| kind)
            .filter(|kind| *kind < kind::OPTIONAL && !kind::KNOWN.contains(kind))
    }

    /// An address with its bits turned over (RFC 8489 section 14.2).
    pub(crate) fn xor_address(&self, value: &[u8]) -> Option<SocketAddr> {
        read_address(value, &self.transaction)
    }

    /// Whether MESSAGE-INTEGRITY was made with this key; in constant time.
    pub(crate) fn is_signed_with(&self, key: &hmac::Key) -> bool {
        let Some(tag) = self.get(kind::MESSAGE_INTEGRITY) else { return false };
        let before = self.attributes.len().checked_sub(INTEGRITY);
        let Some(end) = before.and_then(|before| before.checked_add(HEADER)) else { return false };
        // The length as it was when the message ended with this attribute.
        let Ok(length) = u16::try_from(self.attributes.len()) else { return false };
        let (Some(first), Some(rest)) = (self.bytes.get(..2), self.bytes.get(4..end)) else { return false };
        let mut signed = Vec::with_capacity(end);
        signed.extend_from_slice(first);
        signed.extend_from_slice(&length.to_be_bytes());
        signed.extend_from_slice(rest);
        hmac::verify(key, &signed, tag).is_ok()
    }
}

/// Kind and value of each attribute; ends at the first that is broken.
struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let [kind_high, kind_low, high, low, rest @ ..] = self.0 else { return None };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let value = rest.get(..length)?;
        self.0 = rest.get(length.checked_next_multiple_of(4)?..)?;
        Some((u16::from_be_bytes([*kind_high, *kind_low]), value))
    }
}

/// A message that is being written.
pub(crate) struct Writer {
    bytes: Vec<u8>,
    transaction: Transaction,
}

impl Writer {
    pub(crate) fn new(method: Method, class: Class, transaction: Transaction) -> Self {
        let number = method.number();
        let kind = (number & 0x000f) | ((number & 0x0070) << 1) | ((number & 0x0f80) << 2) | class.bits();
        let mut bytes = Vec::with_capacity(160);
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(&COOKIE);
        bytes.extend_from_slice(&transaction);
        Self { bytes, transaction }
    }

    /// Values are shorter than a message may be, which is 64 KiB.
    #[must_use]
    pub(crate) fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let Ok(length) = u16::try_from(value.len()) else { return self };
        self.bytes.extend_from_slice(&kind.to_be_bytes());
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    #[must_use]
    pub(crate) fn xor_address(self, kind: u16, address: SocketAddr) -> Self {
        let value = address_value(address, &self.transaction);
        self.attribute(kind, &value)
    }

    /// ERROR-CODE (RFC 8489 section 14.8).
    #[must_use]
    pub(crate) fn error(self, code: u16, reason: &str) -> Self {
        let [class, number] = [code.checked_div(100), code.checked_rem(100)]
            .map(|part| part.and_then(|part| u8::try_from(part).ok()).unwrap_or_default());
        self.attribute(kind::ERROR_CODE, &[&[0, 0, class, number], reason.as_bytes()].concat())
    }

    /// The message as it is.
    pub(crate) fn unsigned(mut self) -> Vec<u8> {
        self.set_length(0);
        self.bytes
    }

    /// The message with MESSAGE-INTEGRITY.
    pub(crate) fn signed(mut self, key: &hmac::Key) -> Vec<u8> {
        self.set_length(INTEGRITY);
        let tag = hmac::sign(key, &self.bytes);
        self.attribute(kind::MESSAGE_INTEGRITY, tag.as_ref()).bytes
    }

    /// Writes the length, to which `more` bytes are still to come.
    fn set_length(&mut self, more: usize) {
        let length = self.bytes.len().saturating_sub(HEADER).saturating_add(more);
        if let (Ok(length), Some(field)) = (u16::try_from(length), self.bytes.get_mut(2..4)) {
            field.copy_from_slice(&length.to_be_bytes());
        }
    }
}

fn address_value(address: SocketAddr, transaction: &Transaction) -> Vec<u8> {
    let [first, second, ..] = COOKIE;
    let [high, low] = address.port().to_be_bytes();
    let mask = COOKIE.into_iter().chain(*transaction);
    let (family, octets) = match address.ip() {
        IpAddr::V4(ip) => (1, ip.octets().to_vec()),
        IpAddr::V6(ip) => (2, ip.octets().to_vec()),
    };
    let head = [0, family, high ^ first, low ^ second];
    head.into_iter().chain(octets.into_iter().zip(mask).map(|(byte, mask)| byte ^ mask)).collect()
}

fn read_address(value: &[u8], transaction: &Transaction) -> Option<SocketAddr> {
    let [_, family, high, low, octets @ ..] = value else { return None };
    let [first, second, ..] = COOKIE;
    let port = u16::from_be_bytes([high ^ first, low ^ second]);
    let mask = COOKIE.into_iter().chain(*transaction);
    let plain: Vec<u8> = octets.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect();
    let ip: IpAddr = match (family, octets.len()) {
        (1, 4) => Ipv4Addr::from(*plain.first_chunk::<4>()?).into(),
        (2, 16) => Ipv6Addr::from(*plain.first_chunk::<16>()?).into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// Whether a datagram on the media port is for the relay: ChannelData, TURN's own methods, and binding requests that name
/// nobody (RFC 8489 section 12). ICE's checks always carry a USERNAME (RFC 8445 section 7.1.2) and are the media plane's.
#[must_use]
pub fn is_for_relay(datagram: &[u8]) -> bool {
    match datagram.first() {
        Some(first) if CHANNEL_FIRST.contains(first) => true,
        Some(first) if STUN_FIRST.contains(first) => Message::parse(datagram).is_some_and(|message| {
            message.method != Method::Binding
                || (message.class == Class::Request && message.get(kind::USERNAME).is_none())
        }),
        _ => false,
    }
}

/// Whether a TCP connection that begins with these bytes speaks to the relay: STUN's cookie stands where it does in a message.
/// In a frame (RFC 4571) it stands two bytes later, and the two cannot be mistaken for each other.
#[must_use]
pub fn begins_stream(first: [u8; 8]) -> bool {
    first.ends_with(&COOKIE)
}

/// A question for any STUN server: as whom do you see me? `transaction` is random, so that nobody else can answer.
#[must_use]
pub fn binding_request(transaction: [u8; 12]) -> Vec<u8> {
    Writer::new(Method::Binding, Class::Request, transaction).unsigned()
}

/// What a STUN server answered to [`binding_request`]; `None` for anything else.
#[must_use]
pub fn mapped_address(answer: &[u8], transaction: [u8; 12]) -> Option<SocketAddr> {
    let message = Message::parse(answer)?;
    let fits = message.method == Method::Binding && message.class == Class::Success;
    if !fits || message.transaction != transaction {
        return None;
    }
    message.xor_address(message.get(kind::XOR_MAPPED_ADDRESS)?)
}

/// The answer of a server that does nothing else: as whom it sees the sender of `request`. `None` when that is no such question.
#[must_use]
pub fn binding_answer(request: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
    let message = Message::parse(request)?;
    let asks = message.method == Method::Binding && message.class == Class::Request;
    let answer = Writer::new(Method::Binding, Class::Success, message.transaction);
    asks.then(|| answer.xor_address(kind::XOR_MAPPED_ADDRESS, from).unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRANSACTION: Transaction = [9; 12];

    #[test]
    fn an_address_survives_the_way() {
        for address in ["192.0.2.1:32853", "[2001:db8:1234:5678:11:2233:4455:6677]:32853"] {
            let address: SocketAddr = address.parse().unwrap();
            let bytes = Writer::new(Method::Binding, Class::Success, TRANSACTION)
                .xor_address(kind::XOR_MAPPED_ADDRESS, address)
                .unsigned();
            assert_eq!(mapped_address(&bytes, TRANSACTION), Some(address));
            assert_eq!(mapped_address(&bytes, [8; 12]), None);
            assert_eq!(binding_answer(&binding_request(TRANSACTION), address), Some(bytes.clone()));
            assert_eq!(binding_answer(&bytes, address), None, "an answer is not answered");
            assert_eq!(binding_answer(&[0; 20], address), None);
        }
    }

    /// The published message of RFC 5769 section 2.4: long-term credentials, with a USERNAME that is not padded.
    #[test]
    fn the_standard_s_own_sample_verifies() {
        let sample: &[u8] = &[
            0x00, 0x01, 0x00, 0x60, 0x21, 0x12, 0xa4, 0x42, 0x78, 0xad, 0x34, 0x33, 0xc6, 0xad, 0x72, 0xc0,
            0x29, 0xda, 0x41, 0x2e, 0x00, 0x06, 0x00, 0x12, 0xe3, 0x83, 0x9e, 0xe3, 0x83, 0x88, 0xe3, 0x83,
            0xaa, 0xe3, 0x83, 0x83, 0xe3, 0x82, 0xaf, 0xe3, 0x82, 0xb9, 0x00, 0x00, 0x00, 0x15, 0x00, 0x1c,
            0x66, 0x2f, 0x2f, 0x34, 0x39, 0x39, 0x6b, 0x39, 0x35, 0x34, 0x64, 0x36, 0x4f, 0x4c, 0x33, 0x34,
            0x6f, 0x4c, 0x39, 0x46, 0x53, 0x54, 0x76, 0x79, 0x36, 0x34, 0x73, 0x41, 0x00, 0x14, 0x00, 0x0b,
            0x65, 0x78, 0x61, 0x6d, 0x70, 0x6c, 0x65, 0x2e, 0x6f, 0x72, 0x67, 0x00, 0x00, 0x08, 0x00, 0x14,
            0xf6, 0x70, 0x24, 0x65, 0x6d, 0xd6, 0x4a, 0x3e, 0x02, 0xb8, 0xe0, 0x71, 0x2e, 0x85, 0xc9, 0xa2,
            0x8c, 0xa8, 0x96, 0x66,
        ];
        let message = Message::parse(sample).unwrap();
        assert_eq!(message.get(kind::REALM), Some(&b"example.org"[..]));
        let key = crate::credential::long_term_key("マトリックス", "example.org", "TheMatrIX");
        assert!(message.is_signed_with(&key));
        for at in 0..sample.len() {
            let mut forged = sample.to_vec();
            forged[at] ^= 1;
            let believed = Message::parse(&forged).is_some_and(|message| message.is_signed_with(&key));
            assert!(!believed, "byte {at}");
        }
    }

    #[test]
    fn what_stands_behind_the_signature_is_not_read() {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"key");
        let mut bytes = Writer::new(Method::Refresh, Class::Request, TRANSACTION)
            .attribute(kind::LIFETIME, &[0, 0, 2, 88])
            .signed(&key);
        bytes.extend_from_slice(&[0, 0x12, 0, 0]);
        let length = (bytes.len() - HEADER) as u16;
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
        let message = Message::parse(&bytes).unwrap();
        assert!(message.is_signed_with(&key));
        assert_eq!(message.get(kind::XOR_PEER_ADDRESS), None);
    }

    #[test]
    fn the_media_plane_s_own_messages_are_not_the_relay_s() {
        let check = Writer::new(Method::Binding, Class::Request, TRANSACTION)
            .attribute(kind::USERNAME, b"Aaaa:bbbb")
            .unsigned();
        assert!(!is_for_relay(&check));
        assert!(is_for_relay(&binding_request(TRANSACTION)));
        assert!(is_for_relay(&Writer::new(Method::Allocate, Class::Request, TRANSACTION).unsigned()));
        assert!(is_for_relay(&[0x40, 0, 0, 0]));
        for other in [&[0x80, 96][..], &[22, 0xfe, 0xfd], &[], &[0, 1], &[0x50; 30]] {
            assert!(!is_for_relay(other), "{other:?}");
        }
    }
}

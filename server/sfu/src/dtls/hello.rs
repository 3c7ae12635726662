//! Reads a ClientHello, whole or fragmented over records and datagrams, only to learn whether it offers
//! AEAD_AES_128_GCM in `use_srtp` (RFC 5764 §4.1.1). Keeps the datagrams for the real handshake.

/// Most bytes of a ClientHello that are put together. Browsers with post-quantum key shares send about 1,800.
const MAX_HELLO: usize = 8 * 1024;

/// Most datagrams held back. A hello takes two; more come when the client repeats itself.
const MAX_HELD: usize = 8;

/// `SRTPProtectionProfile` SRTP_AEAD_AES_128_GCM (RFC 7714 §14.2).
const AEAD_AES_128_GCM: u16 = 0x0007;
const EXTENSION_USE_SRTP: u16 = 14;
const CONTENT_HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    NeedMore,
    Complete { offers_gcm: bool },
}

#[derive(Default)]
pub(super) struct HelloReader {
    held: Vec<Vec<u8>>,
    message: Vec<u8>,
    /// Which bytes of `message` came; fragments may arrive in any order.
    seen: Vec<bool>,
}

impl HelloReader {
    pub(super) fn read(&mut self, datagram: &[u8]) -> Progress {
        if self.held.len() >= MAX_HELD {
            return Progress::Complete { offers_gcm: false }; // let the handshake itself find out
        }
        if datagram.first() != Some(&CONTENT_HANDSHAKE) {
            return Progress::NeedMore;
        }
        self.held.push(datagram.to_vec());
        let mut rest = datagram;
        while let Some((fragment, after)) = record(rest) {
            rest = after;
            self.add(fragment);
        }
        if !self.message.is_empty() && self.seen.iter().all(|seen| *seen) {
            Progress::Complete { offers_gcm: offers_gcm(&self.message).unwrap_or(false) }
        } else {
            Progress::NeedMore
        }
    }

    pub(super) fn take(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.held)
    }

    /// Handshake header (RFC 6347 §4.2.2): type 1, length 3, message_seq 2, fragment_offset 3, fragment_length 3.
    fn add(&mut self, record: &[u8]) {
        let Some((header, body)) = record.split_at_checked(12) else { return };
        let [kind, l0, l1, l2, _, _, o0, o1, o2, n0, n1, n2] = *header else { return };
        let length = usize::try_from(u32::from_be_bytes([0, l0, l1, l2])).unwrap_or(usize::MAX);
        let offset = usize::try_from(u32::from_be_bytes([0, o0, o1, o2])).unwrap_or(usize::MAX);
        let count = usize::try_from(u32::from_be_bytes([0, n0, n1, n2])).unwrap_or(usize::MAX);
        if kind != CLIENT_HELLO || length > MAX_HELLO {
            return;
        }
        if self.message.len() != length {
            self.message = vec![0; length];
            self.seen = vec![false; length];
        }
        let Some(end) = offset.checked_add(count) else { return };
        let (Some(part), Some(to), Some(seen)) =
            (body.get(..count), self.message.get_mut(offset..end), self.seen.get_mut(offset..end))
        else {
            return;
        };
        to.copy_from_slice(part);
        seen.fill(true);
    }
}

/// The first record's payload and what follows (RFC 6347 §4.1: type 1, version 2, epoch 2, sequence 6, length 2).
fn record(datagram: &[u8]) -> Option<(&[u8], &[u8])> {
    let (header, rest) = datagram.split_at_checked(13)?;
    let length = usize::from(u16::from_be_bytes([*header.get(11)?, *header.get(12)?]));
    (header.first() == Some(&CONTENT_HANDSHAKE)).then_some(())?;
    rest.split_at_checked(length)
}

/// Whether the ClientHello body (RFC 5246 §7.4.1.2 with RFC 6347's cookie) lists AEAD_AES_128_GCM.
fn offers_gcm(hello: &[u8]) -> Option<bool> {
    let rest = hello.get(2 + 32..)?; // client_version, random
    let rest = skip(rest, 1)?; // session_id
    let rest = skip(rest, 1)?; // cookie
    let rest = skip(rest, 2)?; // cipher_suites
    let rest = skip(rest, 1)?; // compression_methods
    let (mut extensions, _) = vector(rest, 2)?;
    while let Some((kind, rest)) = extensions.split_at_checked(2) {
        let (body, after) = vector(rest, 2)?;
        extensions = after;
        if kind == EXTENSION_USE_SRTP.to_be_bytes() {
            let (profiles, _) = vector(body, 2)?;
            return Some(profiles.chunks_exact(2).any(|profile| profile == AEAD_AES_128_GCM.to_be_bytes()));
        }
    }
    Some(false)
}

/// A vector with a length prefix of `prefix` bytes (1 or 2), and what follows it.
fn vector(bytes: &[u8], prefix: usize) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_at_checked(prefix)?;
    let length = length.iter().fold(0_usize, |sum, byte| (sum << 8) | usize::from(*byte));
    rest.split_at_checked(length)
}

fn skip(bytes: &[u8], prefix: usize) -> Option<&[u8]> {
    vector(bytes, prefix).map(|(_, rest)| rest)
}

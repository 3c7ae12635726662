//! Session keys and the two transforms, as pure byte work: no packet index is guessed and no replay is judged here.

use super::{Master, Profile, SrtpError};
use rtc_crypto::{
    AeadAlgorithm, AeadCipher, BlockCipherAlgorithm, HmacAlgorithm, Mac, RTCCrypto, RTCCryptoProvider,
    StreamCipher, StreamCipherAlgorithm, constant_time_eq, providers::RingProvider,
};

/// The part of an RTCP packet that is never encrypted: the first header word and the sender's SSRC.
pub(super) const RTCP_CLEAR: usize = 8;
/// The E bit and the 31-bit index.
pub(super) const RTCP_INDEX: usize = 4;
/// The E bit: this RTCP packet is encrypted.
pub(super) const ENCRYPTED: u32 = 1 << 31;

const GCM_TAG: usize = 16;
/// HMAC-SHA1 shortened to 80 bits.
const CM_TAG: usize = 10;
const SHA1: usize = 20;

/// Key derivation labels of RFC 3711 §4.3.2.
#[derive(Clone, Copy)]
struct Labels {
    encryption: u8,
    authentication: u8,
    salt: u8,
}

/// What the packets of one direction are protected with: once for RTP and once for RTCP.
pub(super) enum Cipher {
    Gcm { aead: Box<dyn AeadCipher>, salt: [u8; 12] },
    Cm { stream: Box<dyn StreamCipher>, mac: Box<dyn Mac>, salt: [u8; 14] },
}

impl Cipher {
    /// The RTP cipher of one direction.
    pub(super) fn rtp(profile: Profile, master: &Master) -> Result<Self, SrtpError> {
        Self::derive(profile, master, Labels { encryption: 0, authentication: 1, salt: 2 })
    }

    /// The RTCP cipher of one direction.
    pub(super) fn rtcp(profile: Profile, master: &Master) -> Result<Self, SrtpError> {
        Self::derive(profile, master, Labels { encryption: 3, authentication: 4, salt: 5 })
    }

    fn derive(profile: Profile, master: &Master, labels: Labels) -> Result<Self, SrtpError> {
        let provider = RingProvider::new();
        let crypto = provider.crypto();
        let key: [u8; 16] = derive(crypto, master, labels.encryption)?;
        match profile {
            Profile::AeadAes128Gcm => Self::gcm(crypto, &key, derive(crypto, master, labels.salt)?),
            Profile::Aes128CmHmacSha1_80 => {
                let auth: [u8; SHA1] = derive(crypto, master, labels.authentication)?;
                Self::cm(crypto, &key, &auth, derive(crypto, master, labels.salt)?)
            }
        }
    }

    pub(super) fn gcm(crypto: &dyn RTCCrypto, key: &[u8; 16], salt: [u8; 12]) -> Result<Self, SrtpError> {
        let aead = crypto.new_aead(AeadAlgorithm::Aes128Gcm, key).map_err(|_| SrtpError::Provider)?;
        Ok(Self::Gcm { aead, salt })
    }

    pub(super) fn cm(
        crypto: &dyn RTCCrypto,
        key: &[u8; 16],
        auth: &[u8; SHA1],
        salt: [u8; 14],
    ) -> Result<Self, SrtpError> {
        let stream = crypto
            .new_stream_cipher(StreamCipherAlgorithm::Aes128Ctr, key)
            .map_err(|_| SrtpError::Provider)?;
        let mac = crypto.new_hmac(HmacAlgorithm::Sha1, auth).map_err(|_| SrtpError::Provider)?;
        Ok(Self::Cm { stream, mac, salt })
    }

    /// Seals `buffer[..plain_len]` and writes the tag after it. `index` is `ROC ‖ SEQ`. Returns the sealed length.
    pub(super) fn seal_rtp(
        &mut self,
        buffer: &mut [u8],
        plain_len: usize,
        header_len: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<usize, SrtpError> {
        let (plain, room) = buffer.split_at_mut_checked(plain_len).ok_or(SrtpError::TooShort)?;
        let (header, payload) = plain.split_at_mut_checked(header_len).ok_or(SrtpError::TooShort)?;
        match self {
            Self::Gcm { aead, salt } => {
                let tag = room.get_mut(..GCM_TAG).ok_or(SrtpError::NoRoom)?;
                aead.seal_in_place(&gcm_nonce(salt, ssrc, index), header, payload, tag)
                    .map_err(|_| SrtpError::Provider)?;
                Ok(plain_len.saturating_add(GCM_TAG))
            }
            Self::Cm { stream, mac, salt } => {
                let tag = room.get_mut(..CM_TAG).ok_or(SrtpError::NoRoom)?;
                stream
                    .apply_keystream(&cm_iv(salt, ssrc, index), payload)
                    .map_err(|_| SrtpError::Provider)?;
                tag.copy_from_slice(&cm_tag(mac, &[plain, &rollover_counter(index)])?);
                Ok(plain_len.saturating_add(CM_TAG))
            }
        }
    }

    /// Authenticates and decrypts a whole packet in place. Returns the length without the tag.
    pub(super) fn open_rtp(
        &mut self,
        packet: &mut [u8],
        header_len: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<usize, SrtpError> {
        match self {
            Self::Gcm { aead, salt } => {
                let plain_len = packet.len().checked_sub(GCM_TAG).ok_or(SrtpError::TooShort)?;
                let (sealed, tag) = packet.split_at_mut_checked(plain_len).ok_or(SrtpError::TooShort)?;
                let (header, payload) = sealed.split_at_mut_checked(header_len).ok_or(SrtpError::TooShort)?;
                aead.open_in_place(&gcm_nonce(salt, ssrc, index), header, payload, tag)
                    .map_err(|_| SrtpError::Forged)?;
                Ok(plain_len)
            }
            Self::Cm { stream, mac, salt } => {
                let plain_len = packet.len().checked_sub(CM_TAG).ok_or(SrtpError::TooShort)?;
                let (sealed, tag) = packet.split_at_mut_checked(plain_len).ok_or(SrtpError::TooShort)?;
                let payload_at = sealed.get(header_len..).map(|_| header_len).ok_or(SrtpError::TooShort)?;
                if !constant_time_eq(&cm_tag(mac, &[sealed, &rollover_counter(index)])?, tag) {
                    return Err(SrtpError::Forged);
                }
                let payload = sealed.get_mut(payload_at..).ok_or(SrtpError::TooShort)?;
                stream
                    .apply_keystream(&cm_iv(salt, ssrc, index), payload)
                    .map_err(|_| SrtpError::Provider)?;
                Ok(plain_len)
            }
        }
    }

    /// Seals `buffer[..plain_len]`, a compound RTCP packet, and writes tag and index word after it.
    pub(super) fn seal_rtcp(
        &mut self,
        buffer: &mut [u8],
        plain_len: usize,
        ssrc: u32,
        index: u32,
    ) -> Result<usize, SrtpError> {
        let index_word = (index | ENCRYPTED).to_be_bytes();
        let (plain, room) = buffer.split_at_mut_checked(plain_len).ok_or(SrtpError::TooShort)?;
        let (clear, payload) = plain.split_at_mut_checked(RTCP_CLEAR).ok_or(SrtpError::TooShort)?;
        match self {
            Self::Gcm { aead, salt } => {
                let room = room.get_mut(..GCM_TAG.saturating_add(RTCP_INDEX)).ok_or(SrtpError::NoRoom)?;
                let (tag, trailer) = room.split_at_mut_checked(GCM_TAG).ok_or(SrtpError::NoRoom)?;
                let aad = rtcp_aad(clear, index_word);
                aead.seal_in_place(&gcm_nonce(salt, ssrc, u64::from(index)), &aad, payload, tag)
                    .map_err(|_| SrtpError::Provider)?;
                trailer.copy_from_slice(&index_word);
            }
            Self::Cm { stream, mac, salt } => {
                let room = room.get_mut(..RTCP_INDEX.saturating_add(CM_TAG)).ok_or(SrtpError::NoRoom)?;
                let (trailer, tag) = room.split_at_mut_checked(RTCP_INDEX).ok_or(SrtpError::NoRoom)?;
                stream
                    .apply_keystream(&cm_iv(salt, ssrc, u64::from(index)), payload)
                    .map_err(|_| SrtpError::Provider)?;
                trailer.copy_from_slice(&index_word);
                tag.copy_from_slice(&cm_tag(mac, &[plain, &index_word])?);
            }
        }
        Ok(plain_len.saturating_add(self.rtcp_overhead()))
    }

    /// The E bit and index of a sealed RTCP packet, before it is authenticated.
    pub(super) fn rtcp_index_word(&self, packet: &[u8]) -> Option<u32> {
        let from_end = match self {
            Self::Gcm { .. } => RTCP_INDEX,
            Self::Cm { .. } => RTCP_INDEX.saturating_add(CM_TAG),
        };
        super::word(packet, packet.len().checked_sub(from_end)?)
    }

    /// Authenticates and decrypts a compound RTCP packet in place. Returns the length without tag and index.
    pub(super) fn open_rtcp(
        &mut self,
        packet: &mut [u8],
        ssrc: u32,
        index_word: u32,
    ) -> Result<usize, SrtpError> {
        let plain_len = packet.len().checked_sub(self.rtcp_overhead()).ok_or(SrtpError::TooShort)?;
        let index = u64::from(index_word & !ENCRYPTED);
        let index_word = index_word.to_be_bytes();
        let (sealed, trailer) = packet.split_at_mut_checked(plain_len).ok_or(SrtpError::TooShort)?;
        match self {
            Self::Gcm { aead, salt } => {
                let tag = trailer.get(..GCM_TAG).ok_or(SrtpError::TooShort)?;
                let (clear, payload) = sealed.split_at_mut_checked(RTCP_CLEAR).ok_or(SrtpError::TooShort)?;
                let aad = rtcp_aad(clear, index_word);
                aead.open_in_place(&gcm_nonce(salt, ssrc, index), &aad, payload, tag)
                    .map_err(|_| SrtpError::Forged)?;
            }
            Self::Cm { stream, mac, salt } => {
                let tag = trailer.get(RTCP_INDEX..).ok_or(SrtpError::TooShort)?;
                if !constant_time_eq(&cm_tag(mac, &[sealed, &index_word])?, tag) {
                    return Err(SrtpError::Forged);
                }
                let payload = sealed.get_mut(RTCP_CLEAR..).ok_or(SrtpError::TooShort)?;
                stream
                    .apply_keystream(&cm_iv(salt, ssrc, index), payload)
                    .map_err(|_| SrtpError::Provider)?;
            }
        }
        Ok(plain_len)
    }

    const fn rtcp_overhead(&self) -> usize {
        match self {
            Self::Gcm { .. } => Profile::AeadAes128Gcm.rtcp_overhead(),
            Self::Cm { .. } => Profile::Aes128CmHmacSha1_80.rtcp_overhead(),
        }
    }
}

/// AES-CM key derivation with `key_derivation_rate` 0 (RFC 3711 §4.3; RFC 7714 §11 pads the 12-byte salt with zeros).
pub(super) fn derive<const N: usize>(
    crypto: &dyn RTCCrypto,
    master: &Master,
    label: u8,
) -> Result<[u8; N], SrtpError> {
    let mut input = [0; 16];
    for (byte, salt) in input.iter_mut().zip(master.salt.as_ref()) {
        *byte = *salt;
    }
    let [_, _, _, _, _, _, _, labelled, ..] = &mut input;
    *labelled ^= label;
    let mut output = [0; N];
    for (counter, chunk) in (0_u16..).zip(output.chunks_mut(16)) {
        let mut block = input;
        let [.., high, low] = &mut block;
        [*high, *low] = counter.to_be_bytes();
        crypto
            .block_encrypt(BlockCipherAlgorithm::Aes128, master.key.as_ref(), &mut block)
            .map_err(|_| SrtpError::Provider)?;
        for (byte, made) in chunk.iter_mut().zip(block) {
            *byte = made;
        }
    }
    Ok(output)
}

/// `(0 ‖ SSRC ‖ index) xor salt` (RFC 7714 §8.1, §9.1: ROC and SEQ, or two zero bytes and the SRTCP index).
fn gcm_nonce(salt: &[u8; 12], ssrc: u32, index: u64) -> [u8; 12] {
    let value = (u128::from(ssrc) << 48) | u128::from(index);
    let [_, _, _, _, nonce @ ..] = value.to_be_bytes();
    xor(nonce, salt)
}

/// `salt·2¹⁶ xor SSRC·2⁶⁴ xor index·2¹⁶` (RFC 3711 §4.1.1).
fn cm_iv(salt: &[u8; 14], ssrc: u32, index: u64) -> [u8; 16] {
    let value = (u128::from(ssrc) << 64) | (u128::from(index) << 16);
    xor(value.to_be_bytes(), salt)
}

fn xor<const N: usize>(mut value: [u8; N], salt: &[u8]) -> [u8; N] {
    for (byte, salt) in value.iter_mut().zip(salt) {
        *byte ^= salt;
    }
    value
}

fn cm_tag(mac: &mut Box<dyn Mac>, input: &[&[u8]]) -> Result<[u8; CM_TAG], SrtpError> {
    let mut whole = [0; SHA1];
    mac.sign(input, &mut whole).map_err(|_| SrtpError::Provider)?;
    whole.first_chunk().copied().ok_or(SrtpError::Provider)
}

/// The rollover counter in the 48-bit packet index, as the HMAC wants it.
fn rollover_counter(index: u64) -> [u8; 4] {
    let [_, _, a, b, c, d, ..] = index.to_be_bytes();
    [a, b, c, d]
}

/// First 8 bytes of the RTCP packet and the index word (RFC 7714 §9.2).
fn rtcp_aad(clear: &[u8], index_word: [u8; RTCP_INDEX]) -> [u8; 12] {
    let mut aad = [0; 12];
    for (byte, from) in aad.iter_mut().zip(clear.iter().chain(&index_word)) {
        *byte = *from;
    }
    aad
}

//! SRTP in place: RFC 3711 (AES-CM with HMAC-SHA1-80) and RFC 7714 (AES-128-GCM), keyed by DTLS as RFC 5764 says.
//!
//! Owns the session keys, each source's rollover counter and its replay window. It never parses more of a packet
//! than the fixed header fields it must authenticate by (SSRC, sequence number, SRTCP index), and it must never
//! know peers, tracks or codecs. After the keys are derived nothing is allocated except one small entry for each
//! new inbound SSRC, and that only once a packet of it has authenticated.

mod cipher;
mod opener;
mod replay;
mod sealer;
#[cfg(test)]
mod tests;

pub use opener::{MAX_SOURCES, Opener};
pub use sealer::Sealer;

use rtc_crypto::SecretVec;

/// A protection profile of the `use_srtp` extension (RFC 5764 §4.1.2, RFC 7714 §14.2), preferred first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// `SRTP_AEAD_AES_128_GCM`, 0x0007.
    AeadAes128Gcm,
    /// `SRTP_AES128_CM_HMAC_SHA1_80`, 0x0001.
    Aes128CmHmacSha1_80,
}

impl Profile {
    /// The number used on the wire in `use_srtp`.
    pub const fn id(self) -> u16 {
        match self {
            Self::AeadAes128Gcm => 0x0007,
            Self::Aes128CmHmacSha1_80 => 0x0001,
        }
    }

    /// The profile with this `use_srtp` number, if it is one of ours.
    pub const fn from_id(id: u16) -> Option<Self> {
        match id {
            0x0007 => Some(Self::AeadAes128Gcm),
            0x0001 => Some(Self::Aes128CmHmacSha1_80),
            _ => None,
        }
    }

    /// Bytes of one master key.
    pub const fn key_len(self) -> usize {
        16
    }

    /// Bytes of one master salt.
    pub const fn salt_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm => 12,
            Self::Aes128CmHmacSha1_80 => 14,
        }
    }

    /// Bytes to ask of the DTLS exporter: two keys and two salts.
    pub const fn keying_material_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm => 56,
            Self::Aes128CmHmacSha1_80 => 60,
        }
    }

    /// Bytes that sealing adds to an RTP packet: the tag.
    pub const fn rtp_overhead(self) -> usize {
        match self {
            Self::AeadAes128Gcm => 16,
            Self::Aes128CmHmacSha1_80 => 10,
        }
    }

    /// Bytes that sealing adds to a compound RTCP packet: the tag and the index word.
    pub const fn rtcp_overhead(self) -> usize {
        match self {
            Self::AeadAes128Gcm => 20,
            Self::Aes128CmHmacSha1_80 => 14,
        }
    }
}

/// Why a packet was not opened or sealed, or keys not made. Nothing has changed when one is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SrtpError {
    /// The exporter's output is not [`Profile::keying_material_len`] bytes.
    #[error("keying material has {actual} bytes, {expected} are needed")]
    KeyingLength { expected: usize, actual: usize },
    /// The crypto provider refused a key.
    #[error("the crypto provider refused the session keys")]
    Provider,
    /// The packet cannot hold its header and a tag.
    #[error("the packet is too short")]
    TooShort,
    /// The buffer cannot hold what sealing adds.
    #[error("the buffer has no room for the authentication tag")]
    NoRoom,
    /// Already opened, or older than the replay window.
    #[error("the packet was seen before or is too old")]
    Replayed,
    /// The tag does not fit: forged, damaged, or of another session.
    #[error("the packet does not authenticate")]
    Forged,
    /// RTCP whose E bit says that it is authenticated only. WebRTC never sends it.
    #[error("the RTCP packet is not encrypted")]
    NotEncrypted,
    /// The peer uses more than [`MAX_SOURCES`] SSRCs.
    #[error("too many SSRCs")]
    TooManySources,
    /// 2⁴⁸ RTP or 2³¹ RTCP packets: the keys must not be used again (RFC 3711 §9.2).
    #[error("the session keys are used up")]
    Exhausted,
}

/// One direction's master key and salt.
#[derive(Debug)]
struct Master {
    key: SecretVec,
    salt: SecretVec,
}

/// The master keys of both directions. Zeroed when dropped; `Debug` shows none of it.
#[derive(Debug)]
pub struct Keying {
    profile: Profile,
    client: Master,
    server: Master,
}

impl Keying {
    /// Splits the output of the DTLS exporter `EXTRACTOR-dtls_srtp` (RFC 5764 §4.2):
    /// client key, server key, client salt, server salt.
    ///
    /// # Errors
    /// [`SrtpError::KeyingLength`] unless `material` is [`Profile::keying_material_len`] bytes.
    pub fn split(profile: Profile, material: &[u8]) -> Result<Self, SrtpError> {
        let wrong =
            SrtpError::KeyingLength { expected: profile.keying_material_len(), actual: material.len() };
        if material.len() != profile.keying_material_len() {
            return Err(wrong);
        }
        let (client_key, rest) = material.split_at_checked(profile.key_len()).ok_or(wrong)?;
        let (server_key, rest) = rest.split_at_checked(profile.key_len()).ok_or(wrong)?;
        let (client_salt, server_salt) = rest.split_at_checked(profile.salt_len()).ok_or(wrong)?;
        let master = |key: &[u8], salt: &[u8]| Master {
            key: SecretVec::new(key.to_vec()),
            salt: SecretVec::new(salt.to_vec()),
        };
        Ok(Self { profile, client: master(client_key, client_salt), server: master(server_key, server_salt) })
    }

    /// The profile these keys are for.
    pub const fn profile(&self) -> Profile {
        self.profile
    }

    const fn of(&self, client: bool) -> &Master {
        if client { &self.client } else { &self.server }
    }
}

/// SSRC of an RTP packet.
fn rtp_ssrc(packet: &[u8]) -> Option<u32> {
    word(packet, 8)
}

/// Sequence number of an RTP packet.
fn rtp_sequence(packet: &[u8]) -> Option<u16> {
    packet.get(2..4)?.try_into().ok().map(u16::from_be_bytes)
}

/// SSRC of the first sender in a compound RTCP packet.
fn rtcp_ssrc(packet: &[u8]) -> Option<u32> {
    word(packet, 4)
}

/// The big-endian word at `at`.
fn word(packet: &[u8], at: usize) -> Option<u32> {
    packet.get(at..)?.first_chunk().copied().map(u32::from_be_bytes)
}

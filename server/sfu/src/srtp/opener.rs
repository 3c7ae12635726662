//! Inbound: one peer's packets of all its SSRCs.

use super::cipher::{Cipher, ENCRYPTED};
use super::replay::{Window, guess_index};
use super::{Keying, Profile, SrtpError, rtcp_ssrc, rtp_sequence, rtp_ssrc};
use rustc_hash::FxHashMap;
use std::collections::hash_map::Entry;

/// Inbound SSRCs one peer may use in the life of its transport, for RTP and for RTCP each. Entries are never
/// evicted: that would lose the rollover counter and let old packets in again. Higher: a client that makes new
/// SSRCs on purpose holds more memory (about 170 B each); lower: somebody who republishes a
/// simulcast track (6 SSRCs) over and over is cut off sooner.
pub const MAX_SOURCES: usize = 1024;

/// 960 packets at least: 3 s of a 2.5 Mbit/s layer, so that what the sender sends again on the same SSRC after a
/// NACK is still opened. Higher costs 8 B a word and source.
type RtpWindow = Window<16>;
/// 64 at least; RTCP is a few packets per second and hardly reordered.
type RtcpWindow = Window<2>;

/// Opens what one peer sends. Nothing but the packet's own bytes changes unless the packet authenticates.
pub struct Opener {
    profile: Profile,
    rtp: Cipher,
    rtcp: Cipher,
    pub(super) rtp_sources: FxHashMap<u32, RtpWindow>,
    pub(super) rtcp_sources: FxHashMap<u32, RtcpWindow>,
}

impl Opener {
    /// Keys for packets from the DTLS client (`from_client`) or from the DTLS server.
    ///
    /// # Errors
    /// [`SrtpError::Provider`] if the crypto provider refuses a key.
    pub fn new(keying: &Keying, from_client: bool) -> Result<Self, SrtpError> {
        let master = keying.of(from_client);
        Ok(Self {
            profile: keying.profile,
            rtp: Cipher::rtp(keying.profile, master)?,
            rtcp: Cipher::rtcp(keying.profile, master)?,
            rtp_sources: FxHashMap::default(),
            rtcp_sources: FxHashMap::default(),
        })
    }

    /// The profile in use.
    pub const fn profile(&self) -> Profile {
        self.profile
    }

    /// Opens an SRTP packet in place. `header_len` is the RTP header with CSRCs and extension block
    /// ([`crate::rtp::Header::header_len`]). Returns the length of the plain packet, header included.
    ///
    /// # Errors
    /// [`SrtpError::TooShort`], [`SrtpError::Replayed`], [`SrtpError::Forged`], [`SrtpError::TooManySources`],
    /// [`SrtpError::Exhausted`]. The packet's bytes are then worthless; the state is as before.
    pub fn open_rtp(&mut self, packet: &mut [u8], header_len: usize) -> Result<usize, SrtpError> {
        let ssrc = rtp_ssrc(packet).ok_or(SrtpError::TooShort)?;
        let sequence = rtp_sequence(packet).ok_or(SrtpError::TooShort)?;
        let known = self.rtp_sources.len();
        match self.rtp_sources.entry(ssrc) {
            Entry::Occupied(mut source) => {
                let window = source.get_mut();
                let index = guess_index(window.highest(), sequence).ok_or(SrtpError::Exhausted)?;
                if !window.is_new(index) {
                    return Err(SrtpError::Replayed);
                }
                let plain_len = self.rtp.open_rtp(packet, header_len, ssrc, index)?;
                window.accept(index);
                Ok(plain_len)
            }
            Entry::Vacant(source) => {
                if known >= MAX_SOURCES {
                    return Err(SrtpError::TooManySources);
                }
                let index = u64::from(sequence);
                let plain_len = self.rtp.open_rtp(packet, header_len, ssrc, index)?;
                source.insert(Window::starting_at(index));
                Ok(plain_len)
            }
        }
    }

    /// Whether this SRTP packet authenticates and is newer than all of its SSRC before. Only its bytes change, which are
    /// worthless then.
    pub fn is_newest_rtp(&mut self, packet: &mut [u8], header_len: usize) -> bool {
        let (Some(ssrc), Some(sequence)) = (rtp_ssrc(packet), rtp_sequence(packet)) else { return false };
        let index = match self.rtp_sources.get(&ssrc) {
            Some(window) => guess_index(window.highest(), sequence).filter(|index| *index > window.highest()),
            None => Some(u64::from(sequence)),
        };
        index.is_some_and(|index| self.rtp.open_rtp(packet, header_len, ssrc, index).is_ok())
    }

    /// The same of a compound SRTCP packet.
    pub fn is_newest_rtcp(&mut self, packet: &mut [u8]) -> bool {
        let (Some(ssrc), Some(word)) = (rtcp_ssrc(packet), self.rtcp.rtcp_index_word(packet)) else {
            return false;
        };
        let index = u64::from(word & !ENCRYPTED);
        word & ENCRYPTED != 0
            && self.rtcp_sources.get(&ssrc).is_none_or(|window| index > window.highest())
            && self.rtcp.open_rtcp(packet, ssrc, word).is_ok()
    }

    /// Opens a compound SRTCP packet in place. Returns the length of the plain compound packet.
    ///
    /// # Errors
    /// As [`Self::open_rtp`], and [`SrtpError::NotEncrypted`].
    pub fn open_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let ssrc = rtcp_ssrc(packet).ok_or(SrtpError::TooShort)?;
        let index_word = self.rtcp.rtcp_index_word(packet).ok_or(SrtpError::TooShort)?;
        if index_word & ENCRYPTED == 0 {
            return Err(SrtpError::NotEncrypted);
        }
        let index = u64::from(index_word & !ENCRYPTED);
        let known = self.rtcp_sources.len();
        match self.rtcp_sources.entry(ssrc) {
            Entry::Occupied(mut source) => {
                let window = source.get_mut();
                if !window.is_new(index) {
                    return Err(SrtpError::Replayed);
                }
                let plain_len = self.rtcp.open_rtcp(packet, ssrc, index_word)?;
                window.accept(index);
                Ok(plain_len)
            }
            Entry::Vacant(source) => {
                if known >= MAX_SOURCES {
                    return Err(SrtpError::TooManySources);
                }
                let plain_len = self.rtcp.open_rtcp(packet, ssrc, index_word)?;
                source.insert(Window::starting_at(index));
                Ok(plain_len)
            }
        }
    }
}

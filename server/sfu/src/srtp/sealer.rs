//! Outbound: everything sent to one peer.

use super::cipher::{Cipher, ENCRYPTED};
use super::{Keying, Profile, SrtpError, rtcp_ssrc, rtp_sequence, rtp_ssrc};

/// Seals what is sent to one peer. The rollover counter of each SSRC belongs to the caller, who numbers the
/// packets anyway; the caller must never seal two different packets with the same SSRC, `roc` and sequence number.
pub struct Sealer {
    profile: Profile,
    rtp: Cipher,
    rtcp: Cipher,
    /// Index of the last SRTCP packet. One counter for all SSRCs, so each SSRC's indices rise, with gaps.
    rtcp_index: u32,
}

impl Sealer {
    /// Keys for packets to the DTLS client (`to_client`: we are the DTLS server) or to the DTLS server.
    ///
    /// # Errors
    /// [`SrtpError::Provider`] if the crypto provider refuses a key.
    pub fn new(keying: &Keying, to_client: bool) -> Result<Self, SrtpError> {
        let master = keying.of(!to_client);
        Ok(Self {
            profile: keying.profile,
            rtp: Cipher::rtp(keying.profile, master)?,
            rtcp: Cipher::rtcp(keying.profile, master)?,
            rtcp_index: 0,
        })
    }

    /// The profile in use.
    pub const fn profile(&self) -> Profile {
        self.profile
    }

    /// Bytes that [`Self::seal_rtp`] adds.
    pub const fn overhead(&self) -> usize {
        self.profile.rtp_overhead()
    }

    /// Bytes that [`Self::seal_rtcp`] adds.
    pub const fn rtcp_overhead(&self) -> usize {
        self.profile.rtcp_overhead()
    }

    /// Seals the RTP packet `buffer[..plain_len]` in place. `header_len` counts CSRCs and extension block;
    /// `roc` is the high half of the packet's extended sequence number. Returns the sealed length,
    /// `plain_len + overhead()`.
    ///
    /// # Errors
    /// [`SrtpError::TooShort`] if the lengths do not fit each other, [`SrtpError::NoRoom`] if the buffer is
    /// shorter than the result.
    pub fn seal_rtp(
        &mut self,
        buffer: &mut [u8],
        plain_len: usize,
        header_len: usize,
        roc: u32,
    ) -> Result<usize, SrtpError> {
        let ssrc = rtp_ssrc(buffer).ok_or(SrtpError::TooShort)?;
        let sequence = rtp_sequence(buffer).ok_or(SrtpError::TooShort)?;
        let index = (u64::from(roc) << 16) | u64::from(sequence);
        self.rtp.seal_rtp(buffer, plain_len, header_len, ssrc, index)
    }

    /// Seals the compound RTCP packet `buffer[..plain_len]` in place. Returns the sealed length,
    /// `plain_len + rtcp_overhead()`.
    ///
    /// # Errors
    /// [`SrtpError::TooShort`], [`SrtpError::NoRoom`], [`SrtpError::Exhausted`].
    pub fn seal_rtcp(&mut self, buffer: &mut [u8], plain_len: usize) -> Result<usize, SrtpError> {
        let ssrc = rtcp_ssrc(buffer).ok_or(SrtpError::TooShort)?;
        let index = self.rtcp_index.wrapping_add(1);
        if index >= ENCRYPTED {
            return Err(SrtpError::Exhausted);
        }
        let sealed_len = self.rtcp.seal_rtcp(buffer, plain_len, ssrc, index)?;
        self.rtcp_index = index;
        Ok(sealed_len)
    }
}

#[cfg(test)]
impl Sealer {
    pub(super) fn set_rtcp_index(&mut self, index: u32) {
        self.rtcp_index = index;
    }
}

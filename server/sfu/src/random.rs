//! Numbers that must be unguessable or unlike others, all from one seed: the same seed gives the same call.

use rtc_crypto::{BlockCipherAlgorithm, RTCCrypto};
use std::sync::Arc;

/// `ice-char` of RFC 8445 §5.3.
const ICE_CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A counter-mode generator over AES-128 keyed by the shard's seed (NIST SP 800-90A's idea, without reseeding).
pub(crate) struct Random {
    crypto: Arc<dyn rtc_crypto::RTCCryptoProvider>,
    key: [u8; 16],
    counter: u128,
}

impl Random {
    pub(crate) fn new(seed: [u8; 32], crypto: Arc<dyn rtc_crypto::RTCCryptoProvider>) -> Self {
        let (key, start) = seed.split_at(16);
        Self {
            crypto,
            key: key.try_into().unwrap_or_default(),
            counter: u128::from_be_bytes(start.try_into().unwrap_or_default()),
        }
    }

    fn block(&mut self) -> [u8; 16] {
        self.counter = self.counter.wrapping_add(1);
        let mut block = self.counter.to_be_bytes();
        // The provider always has AES-128 (checked when the shard is made); a failure would repeat nothing:
        // the counter itself still differs from block to block.
        let crypto: &dyn RTCCrypto = self.crypto.crypto();
        let _ = crypto.block_encrypt(BlockCipherAlgorithm::Aes128, &self.key, &mut block);
        block
    }

    pub(crate) fn u32(&mut self) -> u32 {
        let [a, b, c, d, ..] = self.block();
        u32::from_be_bytes([a, b, c, d])
    }

    pub(crate) fn u64(&mut self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.block();
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// `n` characters of the ICE alphabet (RFC 8445 §5.3 `ice-char`), 6 bits each.
    pub(crate) fn ice_chars(&mut self, n: usize) -> String {
        let mut text = String::with_capacity(n);
        while text.len() < n {
            for byte in self.block() {
                if text.len() < n {
                    text.push(Self::ice_char(byte));
                }
            }
        }
        text
    }

    /// The character that stands for the lower six bits of `number`.
    pub(crate) fn ice_char(number: u8) -> char {
        char::from(*ICE_CHARS.get(usize::from(number & 63)).unwrap_or(&b'A'))
    }

    /// The number, below 64, that `char` stands for.
    pub(crate) fn of_ice_char(char: u8) -> Option<u8> {
        ICE_CHARS.iter().position(|known| *known == char).and_then(|at| u8::try_from(at).ok())
    }
}

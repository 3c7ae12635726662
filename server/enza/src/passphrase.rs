//! A room's passphrase: Argon2id (RFC 9106), because people choose words that can be guessed. It is stored in PHC
//! form, so that later parameters and older hashes go together.
//!
//! One hash takes some 20 ms and [`MEMORY_KIB`]; they run one after the other, off the async threads, so that a
//! room full of people who arrive at once neither starves the media nor fills the memory.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Memory of one hash in KiB, and passes over it (OWASP's first choice). Higher: guessing a stolen hash costs more,
/// and so does every entry; lower: the other way round.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;

/// Hashes at once.
const AT_ONCE: usize = 1;

/// Longest passphrase, characters. Longer ones would only cost time.
pub(crate) const PASSPHRASE_MAX: usize = 128;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PassphraseError {
    #[error("the operating system gave no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    #[error("the hash cannot be made or read: {0}")]
    Hash(#[from] argon2::password_hash::Error),
    #[error("the work was cut off")]
    CutOff,
}

/// Makes and checks hashes. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Passphrases {
    turn: Arc<Semaphore>,
}

impl Passphrases {
    pub(crate) fn new() -> Self {
        Self { turn: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// The text to keep.
    pub(crate) async fn hash(&self, passphrase: &str) -> Result<String, PassphraseError> {
        let mut salt = [0_u8; 16];
        getrandom::fill(&mut salt)?;
        let passphrase = normal(passphrase);
        self.work(move || {
            let hash = argon2()?.hash_password_with_salt(passphrase.as_bytes(), &salt)?;
            Ok(hash.to_string())
        })
        .await
    }

    /// Whether these are the words behind a kept text.
    pub(crate) async fn fits(&self, passphrase: &str, kept: String) -> Result<bool, PassphraseError> {
        let passphrase = normal(passphrase);
        self.work(move || {
            let kept = PasswordHash::new(&kept).map_err(argon2::password_hash::Error::from)?;
            match argon2()?.verify_password(passphrase.as_bytes(), &kept) {
                Ok(()) => Ok(true),
                Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PassphraseError> + Send + 'static,
    ) -> Result<T, PassphraseError> {
        let turn = Arc::clone(&self.turn).acquire_owned().await.map_err(|_| PassphraseError::CutOff)?;
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        done.await.map_err(|_| PassphraseError::CutOff)?
    }
}

fn argon2() -> Result<Argon2<'static>, PassphraseError> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).map_err(argon2::password_hash::Error::from)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Phones add a space or a capital letter by themselves.
fn normal(passphrase: &str) -> String {
    passphrase.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_words_fit_however_a_phone_writes_them_and_the_hash_tells_nothing() {
        let passphrases = Passphrases::new();
        let kept = passphrases.hash("Sakura 円座").await.unwrap();
        assert!(kept.starts_with("$argon2id$") && !kept.contains("akura"), "{kept}");
        assert!(passphrases.fits(" sakura 円座 ", kept.clone()).await.unwrap());
        assert!(!passphrases.fits("sakura", kept.clone()).await.unwrap());
        assert_ne!(passphrases.hash("Sakura 円座").await.unwrap(), kept, "each has its own salt");
        assert!(passphrases.fits("sakura", "no hash".to_owned()).await.is_err());
    }
}

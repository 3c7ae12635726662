//! A room's passphrase: Argon2id (RFC 9106), because people choose words that can be guessed. It is stored in PHC
//! form, so that later parameters and older hashes go together.
//!
//! One hash takes some 20 ms and [`MEMORY_KIB`]; they run one after the other, off the async threads, so that a
//! room full of people who arrive at once neither starves the media nor fills the memory.

use argon2::password_hash::Error;
use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use serde::{Deserialize as _, Deserializer};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

/// Memory of one hash in KiB, and passes over it (OWASP's first choice). Higher: guessing a stolen hash costs more,
/// and so does every entry; lower: the other way round.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;

/// Allocated for one hash, which touches as much of it as it needs. What is freed glibc gives back above 32 MiB at the latest;
/// smaller pieces it may keep, one for each thread that ever hashed.
const ALLOCATED: usize = 33 << 20;

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
    Hash(#[from] Error),
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

    /// Waits until nobody else's is worked on.
    pub(crate) async fn turn(&self) -> Result<Turn, PassphraseError> {
        let turn = Arc::clone(&self.turn).acquire_owned().await;
        turn.map(|permit| Turn { _permit: permit }).map_err(|_| PassphraseError::CutOff)
    }

    /// The text to keep.
    pub(crate) async fn hash(&self, passphrase: &str) -> Result<String, PassphraseError> {
        let mut salt = [0_u8; 16];
        getrandom::fill(&mut salt)?;
        let passphrase = normal(passphrase);
        let turn = self.turn().await?;
        turn.work(move || {
            let argon2 = argon2()?;
            let hash = PasswordHash {
                algorithm: Algorithm::Argon2id.ident(),
                version: Some(Version::V0x13.into()),
                params: ParamsString::try_from(argon2.params())?,
                salt: Some(Salt::new(&salt).map_err(Error::from)?),
                hash: Some(derive(&argon2, &passphrase, &salt, Params::DEFAULT_OUTPUT_LEN)?),
            };
            Ok(hash.to_string())
        })
        .await
    }
}

/// The right to work on one.
pub(crate) struct Turn {
    _permit: OwnedSemaphorePermit,
}

impl Turn {
    /// Whether these are the words behind a kept text.
    pub(crate) async fn fits(self, passphrase: &str, kept: String) -> Result<bool, PassphraseError> {
        let passphrase = normal(passphrase);
        self.work(move || {
            let kept = PasswordHash::new(&kept).map_err(Error::from)?;
            let (Some(salt), Some(expected)) = (&kept.salt, &kept.hash) else {
                return Err(Error::PasswordInvalid.into());
            };
            let algorithm = Algorithm::try_from(kept.algorithm.as_str())?;
            let version = kept.version.map(Version::try_from).transpose().map_err(Error::from)?;
            let argon2 = Argon2::new(algorithm, version.unwrap_or_default(), Params::try_from(&kept)?);
            // `Output` compares in constant time.
            Ok(derive(&argon2, &passphrase, salt, expected.len())? == *expected)
        })
        .await
    }

    /// To its end, also where whoever asked is gone.
    async fn work<T: Send + 'static>(
        self,
        work: impl FnOnce() -> Result<T, PassphraseError> + Send + 'static,
    ) -> Result<T, PassphraseError> {
        let done = tokio::task::spawn_blocking(move || {
            let _turn = self;
            work()
        });
        done.await.map_err(|_| PassphraseError::CutOff)?
    }
}

/// The hash of the words. Its memory goes back to the system at once.
fn derive(argon2: &Argon2<'_>, words: &str, salt: &[u8], length: usize) -> Result<Output, Error> {
    let blocks = argon2.params().block_count();
    let mut memory: Vec<Block> = Vec::with_capacity(blocks.max(ALLOCATED / Block::SIZE));
    memory.resize(blocks, Block::default());
    let mut output = [0; Output::MAX_LENGTH];
    let output = output.get_mut(..length).ok_or(Error::OutputSize)?;
    argon2.hash_password_into_with_memory(words.as_bytes(), salt, output, &mut memory)?;
    Ok(Output::new(output)?)
}

fn argon2() -> Result<Argon2<'static>, PassphraseError> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).map_err(Error::from)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// A passphrase of a request's body.
///
/// # Errors
/// When it is neither a text nor `null`.
pub(crate) fn wiped<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Zeroizing<String>>, D::Error> {
    Ok(Option::<String>::deserialize(value)?.map(Zeroizing::new))
}

/// Phones add a space or a capital letter by themselves.
fn normal(passphrase: &str) -> Zeroizing<String> {
    Zeroizing::new(passphrase.trim().to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_words_fit_however_a_phone_writes_them_and_the_hash_tells_nothing() {
        let passphrases = Passphrases::new();
        let kept = passphrases.hash("Sakura 円座").await.unwrap();
        assert!(kept.starts_with("$argon2id$") && !kept.contains("akura"), "{kept}");
        let fits =
            async |words, kept: &str| passphrases.turn().await.unwrap().fits(words, kept.to_owned()).await;
        assert!(fits(" sakura 円座 ", &kept).await.unwrap());
        assert!(!fits("sakura", &kept).await.unwrap());
        assert_ne!(passphrases.hash("Sakura 円座").await.unwrap(), kept, "each has its own salt");
        assert!(fits("sakura", "no hash").await.is_err());
    }
}

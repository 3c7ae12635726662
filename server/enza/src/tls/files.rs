//! A certificate in two PEM files that somebody else keeps, an ACME client say. Owns what was read last: the files are looked
//! at again and again, and a pair that fits is shown from then on. One that does not leaves the old one in its place.

use super::{Shown, validity};
use crate::server::raised;
use crate::start_error::StartError;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

/// How often the files are read. Higher: a renewed certificate is shown later; lower: more reading for nothing. Links to
/// elsewhere change without a trace in their own dates, so it is the content that is compared.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Larger files hold no certificate. Higher: a wrong path costs more memory.
const FILE_MAX: u64 = 1 << 20;

/// Two files and what stood in them.
#[derive(PartialEq, Eq)]
pub(super) struct Pair {
    cert: PathBuf,
    key: PathBuf,
    chain: Vec<u8>,
    private: Zeroizing<Vec<u8>>,
}

impl Pair {
    /// # Errors
    /// [`StartError::Certificate`] for a file that cannot be read.
    pub(super) fn read(cert: PathBuf, key: PathBuf) -> Result<Self, StartError> {
        let (chain, private) = (read(&cert)?, Zeroizing::new(read(&key)?));
        Ok(Self { cert, key, chain, private })
    }

    /// # Errors
    /// [`StartError::Certificate`] for what is no certificate, or no key, or a key for another certificate.
    pub(super) fn certified(&self) -> Result<CertifiedKey, StartError> {
        certified(&self.cert, &self.chain, &self.key, &self.private)
    }

    /// Shows what the files hold, until the program stops.
    pub(super) async fn watch(mut self, shown: &watch::Sender<Shown>, mut stopping: watch::Receiver<bool>) {
        let mut refused: Option<String> = None;
        loop {
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                () = raised(&mut stopping) => return,
            }
            let (cert, key) = (self.cert.clone(), self.key.clone());
            let look = tokio::task::spawn_blocking(move || {
                let pair = Self::read(cert, key)?;
                let certified = pair.certified();
                Ok::<_, StartError>((pair, certified))
            });
            let reason = match look.await {
                Ok(Ok((pair, Ok(certified)))) => {
                    if pair != self {
                        let until = certified.cert.first().and_then(|der| validity::of(der));
                        let days = until.map(|validity| validity.days_left());
                        tracing::info!(?days, "another certificate is shown from now on");
                        shown.send_replace(Some(Arc::new(certified)));
                        self = pair;
                    }
                    refused = None;
                    continue;
                }
                Ok(Ok((_, Err(error))) | Err(error)) => error.to_string(),
                // The program ends.
                Err(_) => return,
            };
            // The two files are not replaced in the same moment: the next look often finds a pair. Each reason is told once.
            match refused.as_deref() {
                None => refused = Some(String::new()),
                Some(told) if told == reason => {}
                Some(_) => {
                    tracing::warn!(reason, "the changed certificate is of no use: the one before stays");
                    refused = Some(reason);
                }
            }
        }
    }
}

/// A chain and its key, both PEM; the paths are for the sentence that says what is wrong.
pub(super) fn certified(
    cert: &Path,
    chain: &[u8],
    key: &Path,
    private: &[u8],
) -> Result<CertifiedKey, StartError> {
    let refused = |path: &Path, reason: String| StartError::Certificate { path: path.to_owned(), reason };
    let chain = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| refused(cert, error.to_string()))?;
    if chain.is_empty() {
        return Err(refused(cert, "it holds no certificate in PEM form".to_owned()));
    }
    let private = PrivateKeyDer::from_pem_slice(private).map_err(|error| refused(key, error.to_string()))?;
    CertifiedKey::from_der(chain, private, &ring::default_provider())
        .map_err(|error| refused(cert, error.to_string()))
}

fn read(path: &Path) -> Result<Vec<u8>, StartError> {
    let refused = |reason: String| StartError::Certificate { path: path.to_owned(), reason };
    let length = std::fs::metadata(path).map_err(|error| refused(error.to_string()))?.len();
    if length > FILE_MAX {
        return Err(refused("it is too large for a certificate or a key".to_owned()));
    }
    std::fs::read(path).map_err(|error| refused(error.to_string()))
}

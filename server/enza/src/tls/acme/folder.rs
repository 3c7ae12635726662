//! What is kept of an authority: the account, the certificate with its key. `acme/<authority>/` in the data folder, for its
//! owner only.

use super::trouble::{Trouble, What};
use crate::config::Acme;
use crate::data_folder::write_private;
use crate::operate::remote;
use crate::start_error::StartError;
use crate::tls::files;
use instant_acme::AccountCredentials;
use std::path::{Path, PathBuf};
use tokio_rustls::rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

const ACCOUNT: &str = "account.json";

/// Digits of the hash that tells one list of domains from another.
const LIST_DIGITS: usize = 8;

fn folder(data: &Path, acme: &Acme) -> PathBuf {
    let host = acme.directory.split('/').nth(2).unwrap_or_default().replace(':', "_");
    data.join("acme").join(host)
}

/// Where the certificate for these domains is kept, with its key.
pub(crate) fn certificate_file(data: &Path, acme: &Acme) -> PathBuf {
    let list = remote::fingerprint(acme.domains.join(" ").as_bytes());
    let name = acme.domains.first().map_or("", String::as_str);
    let list = list.get(..LIST_DIGITS).unwrap_or_default();
    folder(data, acme).join(format!("{name}-{list}.pem"))
}

pub(super) struct Folder {
    account: PathBuf,
    certificate: PathBuf,
}

impl Folder {
    /// # Errors
    /// [`StartError::Data`].
    pub(super) fn prepare(data: &Path, acme: &Acme) -> Result<Self, StartError> {
        let path = folder(data, acme);
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path).map_err(|source| StartError::Data { path: path.clone(), source })?;
        Ok(Self { account: path.join(ACCOUNT), certificate: certificate_file(data, acme) })
    }

    /// `None` where there is none, or something else stands in the file: then another is asked for.
    pub(super) fn certificate(&self) -> Option<CertifiedKey> {
        self.read(&Zeroizing::new(std::fs::read(&self.certificate).ok()?)).ok()
    }

    /// Keeps a new chain and its key, both PEM.
    pub(super) fn keep(&self, chain: &str, key: &str) -> Result<CertifiedKey, Trouble> {
        let text = Zeroizing::new(format!("{key}{chain}"));
        let unusable = |reason: String| Trouble::new(What::Unusable, &reason);
        let certified = self.read(text.as_bytes()).map_err(|error| unusable(error.to_string()))?;
        // It is good for as long as the process lives; without the file the next start asks for another.
        if let Err(error) = write_private(&self.certificate, text.as_bytes()) {
            tracing::error!(%error, "the certificate cannot be kept");
        }
        Ok(certified)
    }

    fn read(&self, text: &[u8]) -> Result<CertifiedKey, StartError> {
        files::certified(&self.certificate, text, &self.certificate, text)
    }

    pub(super) fn account(&self) -> Option<AccountCredentials> {
        serde_json::from_slice(&Zeroizing::new(std::fs::read(&self.account).ok()?)).ok()
    }

    pub(super) fn keep_account(&self, account: &AccountCredentials) -> Result<(), Trouble> {
        let text =
            serde_json::to_vec(account).map_err(|error| Trouble::new(What::Unusable, &error.to_string()))?;
        let text = Zeroizing::new(text);
        // An account for each start is what authorities limit first.
        write_private(&self.account, &text).map_err(|error| Trouble::new(What::Unusable, &error.to_string()))
    }

    pub(super) fn forget_account(&self) {
        // Where it cannot be deleted it cannot be replaced either, and that is told.
        let _ = std::fs::remove_file(&self.account);
    }
}

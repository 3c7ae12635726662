//! The operator's key: 256 random bits in the data folder, readable by its owner only. Whoever has it may do
//! everything that the API offers.

use crate::data_folder;
use crate::start_error::StartError;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use std::path::Path;
use zeroize::Zeroizing;

/// The file in the data folder.
const FILE: &str = "operator-key";

/// What a key begins with, so that a scanner for secrets can know one.
pub(crate) const PREFIX: &str = "enza-operator-";

/// Knows the key without holding it: `Debug` and memory show a MAC.
pub(crate) struct OperatorKey {
    key: hmac::Key,
    tag: hmac::Tag,
}

impl OperatorKey {
    /// The key that the data folder keeps; made there at the first start.
    ///
    /// # Errors
    /// [`StartError::Data`], [`StartError::File`] for a file that holds no key, [`StartError::Random`].
    pub(crate) fn load_or_create(data: &Path) -> Result<Self, StartError> {
        let text = match read(data)? {
            Some(text) => text,
            None => {
                let mut secret = Zeroizing::new([0_u8; 32]);
                getrandom::fill(secret.as_mut())?;
                let text = Zeroizing::new(format!("{PREFIX}{}\n", URL_SAFE_NO_PAD.encode(secret.as_ref())));
                let path = data.join(FILE);
                data_folder::write_private(&path, text.as_bytes())
                    .map_err(|source| StartError::Data { path, source })?;
                Zeroizing::new(text.trim().to_owned())
            }
        };
        let mut blind = [0_u8; 32];
        getrandom::fill(&mut blind)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &blind);
        let tag = hmac::sign(&key, text.as_bytes());
        Ok(Self { key, tag })
    }

    /// Whether this is the key. Takes the same time whatever is wrong with it.
    pub(crate) fn is(&self, presented: &str) -> bool {
        hmac::verify(&self.key, presented.as_bytes(), self.tag.as_ref()).is_ok()
    }
}

/// The key in the data folder, `None` before the first start.
///
/// # Errors
/// [`StartError::Data`] or [`StartError::File`].
pub(crate) fn read(data: &Path) -> Result<Option<Zeroizing<String>>, StartError> {
    let path = data.join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let text = Zeroizing::new(text);
            let text = text.trim();
            if text.starts_with(PREFIX) && text.len() > PREFIX.len() + 32 {
                Ok(Some(Zeroizing::new(text.to_owned())))
            } else {
                Err(StartError::File { file: path, reason: format!("it must hold a key {PREFIX}…") })
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StartError::Data { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_kept_private_and_known_again() {
        let folder = tempfile::tempdir().unwrap();
        let made = OperatorKey::load_or_create(folder.path()).unwrap();
        let text = read(folder.path()).unwrap().unwrap();
        let again = OperatorKey::load_or_create(folder.path()).unwrap();
        assert!(made.is(&text) && again.is(&text));
        assert!(!again.is(&text[1..]) && !again.is("") && !again.is(&format!("{}x", *text)));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        std::fs::write(folder.path().join(FILE), "short").unwrap();
        assert!(matches!(OperatorKey::load_or_create(folder.path()), Err(StartError::File { .. })));
    }
}

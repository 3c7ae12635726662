//! How the command line finds the server that runs with a data folder: a file in it, there while the server runs.

use crate::config::{Config, Transport};
use crate::data_folder::write_private;
use crate::start_error::StartError;
use crate::{health, tls, welcome};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The file in the data folder. One that a killed server left leads nowhere, which is seen when it is used.
const FILE: &str = "running.toml";

/// Where a running server answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    /// For programs on this computer.
    pub(crate) url: String,
    /// What links begin with.
    pub(crate) links: String,
    /// SHA-256 of the certificate that stands there, in hexadecimal: it vouches for other names than this URL's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) certificate: Option<String>,
}

impl Running {
    /// The server of `config` on this port.
    ///
    /// # Errors
    /// [`StartError::Certificate`].
    pub(crate) fn of(config: &Config, port: u16) -> Result<Self, StartError> {
        let scheme = match config.transport {
            Transport::Plain => "http",
            Transport::Development | Transport::Files { .. } => "https",
        };
        Ok(Self {
            url: format!("{scheme}://{}", health::address(config, port)),
            links: welcome::bases(config, port).into_iter().next().unwrap_or_default(),
            certificate: tls::fingerprint(config)?,
        })
    }

    /// # Errors
    /// [`StartError::Data`].
    pub(crate) fn write(&self, data: &Path) -> Result<(), StartError> {
        let path = file(data);
        let text = toml::to_string(self).unwrap_or_default();
        write_private(&path, text.as_bytes()).map_err(|source| StartError::Data { path, source })
    }

    /// `None` where no server runs, or something else stands in the file.
    pub(crate) fn read(data: &Path) -> Option<Self> {
        toml::from_str(&std::fs::read_to_string(file(data)).ok()?).ok()
    }

    /// The server stops.
    pub(crate) fn forget(data: &Path) {
        // What is left leads nowhere.
        let _ = std::fs::remove_file(file(data));
    }
}

fn file(data: &Path) -> PathBuf {
    data.join(FILE)
}

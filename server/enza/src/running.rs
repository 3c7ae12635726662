//! How the command line finds the server that runs with a data folder: a file in it, there while the server runs. A
//! killed server leaves it behind, and whoever listens on its port then must not get the operator's key: so the server
//! holds a lock as well, which ends with its process.

use crate::config::{Config, Transport};
use crate::data_folder::{open_or_new, write_private};
use crate::start_error::StartError;
use crate::{health, welcome};
use serde::{Deserialize, Serialize};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file in the data folder. It counts only while [`LOCK`] is held.
const FILE: &str = "running.toml";

/// The file that a running server holds locked. It is empty and stays.
const LOCK: &str = "running.lock";

/// How often a server tries to lock it, and how long it waits in between: a command that looks holds it for a moment.
const TRIES: u32 = 10;
const BETWEEN: Duration = Duration::from_millis(50);

/// Held while the server lives: no other one uses the data folder.
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// # Errors
    /// [`StartError::FolderTaken`] while another server runs with this folder, [`StartError::Data`].
    pub(crate) async fn take(data: &Path) -> Result<Self, StartError> {
        let path = data.join(LOCK);
        let failed = |source| StartError::Data { path: path.clone(), source };
        let file = open_or_new(&path, data).map_err(failed)?;
        for _ in 0..TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) => tokio::time::sleep(BETWEEN).await,
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
        }
        Err(StartError::FolderTaken { path: data.to_owned() })
    }

    fn is_held(data: &Path) -> bool {
        let file = File::options().append(true).open(data.join(LOCK));
        file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

/// Where a running server answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    /// For programs on this computer.
    pub(crate) url: String,
    /// What links begin with.
    pub(crate) links: String,
    /// SHA-256, in hexadecimal, of the certificate that is shown to whoever asks for [`crate::tls::ON_THIS_COMPUTER`]; `None`
    /// without HTTPS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) certificate: Option<String>,
}

impl Running {
    /// The server of `config` on this port.
    pub(crate) fn of(config: &Config, port: u16, certificate: Option<String>) -> Self {
        let scheme = match config.transport {
            Transport::Plain => "http",
            Transport::Development | Transport::Files { .. } | Transport::Domains(_) => "https",
        };
        Self {
            url: format!("{scheme}://{}", health::address(config, port)),
            links: welcome::bases(config, port).into_iter().next().unwrap_or_default(),
            certificate,
        }
    }

    /// # Errors
    /// [`StartError::Data`].
    pub(crate) fn write(&self, data: &Path) -> Result<(), StartError> {
        let path = file(data);
        let text = toml::to_string(self).unwrap_or_default();
        write_private(&path, text.as_bytes()).map_err(|source| StartError::Data { path, source })
    }

    /// Where it answers, for programs that speak no HTTP.
    pub(crate) fn address(&self) -> Option<std::net::SocketAddr> {
        self.url.split_once("://")?.1.parse().ok()
    }

    /// `None` where no server runs, or something else stands in the file.
    pub(crate) fn read(data: &Path) -> Option<Self> {
        if !Lock::is_held(data) {
            return None;
        }
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

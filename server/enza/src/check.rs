//! `enza serve --check`: finds everything for which a start would be refused, not only the first reason, and changes nothing.

use crate::config::{Config, Transport};
use crate::media;
use crate::operator_key;
use crate::running::Running;
use crate::server;
use crate::start_error::StartError;
use crate::token::ApiKey;
use crate::{data_folder, tls};
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use store::Store;
use tokio::net::TcpListener;

/// What a look at the settings and the machine found.
pub struct Checked {
    pub problems: Vec<StartError>,
    /// A server runs with this data folder: its ports and its database were left alone.
    pub running: bool,
}

/// Looks at what a start with these settings would need.
pub async fn check(config: &Config) -> Checked {
    let running = Running::read(&config.data).is_some();
    let mut problems = Vec::new();
    match folder(&config.data) {
        Err(error) => problems.push(error),
        Ok(()) => {
            if config.api_key.is_none() {
                problems.extend(ApiKey::load(&config.data).err());
            }
            problems.extend(operator_key::read(&config.data).err());
        }
    }
    problems.extend(certificate(config).err());
    problems.extend(media::candidates(config.bind, &config.announce, &[], config.port).err());
    if !running {
        problems.extend(ports(config).await.err());
        let database = data_folder::database(&config.data);
        let kept = std::fs::metadata(&database).is_ok_and(|file| file.len() > 0);
        if kept && let Err(error) = Store::check_copy(&database).await {
            problems.push(error.into());
        }
    }
    Checked { problems, running }
}

/// Whether the folder, or the place where it would be made, can be written.
fn folder(data: &Path) -> Result<(), StartError> {
    let there = data.ancestors().find(|folder| folder.exists() && !folder.as_os_str().is_empty());
    let there = there.unwrap_or(Path::new("."));
    let failed = |source| StartError::Data { path: data.to_owned(), source };
    if !there.is_dir() {
        return Err(failed(std::io::ErrorKind::NotADirectory.into()));
    }
    let probe = probe(there);
    // A new file: never through a link that stands there already.
    let made = OpenOptions::new().write(true).create_new(true).open(&probe);
    made.map(drop).and_then(|()| std::fs::remove_file(&probe)).map_err(failed)
}

fn probe(folder: &Path) -> PathBuf {
    folder.join(format!(".enza-writable-{}", std::process::id()))
}

fn certificate(config: &Config) -> Result<(), StartError> {
    match &config.transport {
        // The development certificate is made at the start, that of a domain is asked for then.
        Transport::Plain | Transport::Development => Ok(()),
        Transport::Files { .. } => tls::Tls::prepare(config).map(drop),
        Transport::Domains(acme) => tls::acme::check_root(acme),
    }
}

async fn ports(config: &Config) -> Result<(), StartError> {
    drop(server::bind(config).await?);
    if let Some(address) = config.metrics_bind {
        let bound = TcpListener::bind(address).await;
        drop(bound.map_err(|source| StartError::Bind { address, source })?);
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_link_in_the_folder_is_not_written_through() {
        let data = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        assert!(folder(data.path()).is_ok());
        let precious = elsewhere.path().join("precious");
        std::fs::write(&precious, b"kept").unwrap();
        std::os::unix::fs::symlink(&precious, probe(data.path())).unwrap();
        assert!(matches!(folder(data.path()), Err(StartError::Data { .. })));
        assert_eq!(std::fs::read(&precious).unwrap(), b"kept");
        assert!(probe(data.path()).is_symlink(), "what was there stays");
    }
}

//! The data folder: one database, one API key, the first links. Everything in it is readable by its owner only.

use crate::start_error::StartError;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Makes the folder when it is absent and checks that it can be written.
///
/// # Errors
/// [`StartError::Data`].
pub fn prepare(data: &Path) -> Result<(), StartError> {
    let failed = |source| StartError::Data { path: data.to_owned(), source };
    if !data.is_dir() {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(data).map_err(failed)?;
    }
    // Asking for permissions would not see a read-only or full disk.
    let probe = data.join(".writable");
    std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe)).map_err(failed)?;
    // SQLite takes an empty file for a new database, and gives its journals the same permissions.
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(database(data)).and_then(|file| give_to_owner(&file, data)).map_err(failed)
}

/// That a server has been at home here: commands that only look make nothing, or a mistyped folder would look like an empty server.
///
/// # Errors
/// [`StartError::NoData`]; [`StartError::Data`] when it may not be looked at.
pub(crate) fn found(data: &Path) -> Result<(), StartError> {
    match database(data).try_exists() {
        Ok(true) => Ok(()),
        Ok(false) => Err(StartError::NoData { path: data.to_owned() }),
        Err(source) => Err(StartError::Data { path: data.to_owned(), source }),
    }
}

/// The database's file.
#[must_use]
pub fn database(data: &Path) -> PathBuf {
    data.join("enza.db")
}

/// A new file that only its owner may read.
///
/// # Errors
/// Those of the file system; it is there already.
pub(crate) fn new_private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Root looks after folders of others, such as the service's: what it makes there belongs to whoever the folder does.
///
/// # Errors
/// Those of the file system.
pub(crate) fn give_to_owner(file: &File, folder: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt as _, fchown};
        let folder = match folder {
            here if here == Path::new("") => Path::new("."),
            folder => folder,
        };
        let (own, of) = (file.metadata()?, std::fs::metadata(folder)?);
        if own.uid() == 0 && of.uid() != 0 {
            fchown(file, Some(of.uid()), Some(of.gid()))?;
        }
    }
    #[cfg(not(unix))]
    let _ = (file, folder);
    Ok(())
}

/// Writes a file in a data folder that only the folder's owner may read, whole or not at all.
///
/// # Errors
/// Those of the file system.
pub fn write_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    // A left-over may have been made with other permissions.
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = new_private(&temporary)?;
    give_to_owner(&file, path.parent().unwrap_or(Path::new("")))?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}

//! The data folder: one database, one API key, the first links. Everything in it is readable by its owner only.

use crate::start_error::StartError;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// A symbolic link is an error.
#[cfg(unix)]
const NO_FOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

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
    remove_left_over(&probe)
        .and_then(|()| new_private(&probe))
        .and_then(|_| std::fs::remove_file(&probe))
        .map_err(failed)?;
    // SQLite takes an empty file for a new database, and gives its journals the same permissions.
    let path = database(data);
    open_or_new(&path, data).map(drop).map_err(|source| StartError::Data { path, source })
}

/// Opens a file of the folder to write at its end, and makes it where it is absent. Whoever owns the folder may be less than who
/// asks here: a link that they laid is not followed, and what was there already is given to nobody.
///
/// # Errors
/// Those of the file system; a symbolic link stands there.
pub(crate) fn open_or_new(path: &Path, folder: &Path) -> std::io::Result<File> {
    match new_private(path) {
        Ok(file) => give_to_owner(&file, folder).map(|()| file),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let mut options = OpenOptions::new();
            options.append(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, NO_FOLLOW);
            options.open(path)
        }
        Err(error) => Err(error),
    }
}

/// What a program left that was killed.
fn remove_left_over(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
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
    std::fs::rename(write_beside(path, content)?, path)
}

/// Writes what shall take the place of `path`, wholly and onto the disk; a rename puts it there. What cannot be written whole is
/// taken away.
///
/// # Errors
/// Those of the file system.
pub(crate) fn write_beside(path: &Path, content: &[u8]) -> std::io::Result<PathBuf> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    // A left-over may have been made with other permissions.
    remove_left_over(&temporary)?;
    let mut file = new_private(&temporary)?;
    give_to_owner(&file, path.parent().unwrap_or(Path::new("")))?;
    if let Err(error) = file.write_all(content).and_then(|()| file.sync_all()) {
        let _ = std::fs::remove_file(&temporary);
        return Err(error);
    }
    Ok(temporary)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn links_that_somebody_laid_in_the_folder_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (data, theirs) = (folder.path().join("data"), folder.path().join("theirs"));
        std::fs::create_dir(&data).unwrap();
        std::fs::write(&theirs, "kept").unwrap();
        symlink(&theirs, data.join(".writable")).unwrap();
        prepare(&data).unwrap();
        assert!(data.join(".writable").symlink_metadata().is_err(), "the link is gone");
        for target in [theirs.clone(), folder.path().join("absent")] {
            std::fs::remove_file(database(&data)).unwrap();
            symlink(&target, database(&data)).unwrap();
            assert!(matches!(prepare(&data), Err(StartError::Data { path, .. }) if path == database(&data)));
        }
        assert_eq!(std::fs::read_to_string(theirs).unwrap(), "kept");
        assert!(!folder.path().join("absent").exists(), "nothing is made elsewhere");
    }

    #[test]
    fn a_file_is_made_for_its_owner_and_opened_again_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        open_or_new(&path, folder.path()).unwrap().write_all(b"one").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        open_or_new(&path, folder.path()).unwrap().write_all(b" two").unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), "one two");
    }
}

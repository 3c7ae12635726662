//! `enza backup FILE` and `enza restore FILE`: the database as one file. Keys and certificates are not in it: a
//! restored server makes new ones where they are missing, and people's links still open their rooms.

use crate::config::Config;
use crate::data_folder::{self, database};
use crate::running::Lock;
use crate::start_error::StartError;
use std::path::{Path, PathBuf};
use store::Store;

/// Copies the database of `config` into a new file that only its owner may read. The server may run meanwhile.
///
/// # Errors
/// [`StartError::NoData`] where there is nothing to copy, [`StartError::Taken`] when the file is there already,
/// [`StartError::Copy`] when it cannot be written, [`StartError::Store`].
pub(crate) async fn backup(config: &Config, to: &Path) -> Result<(), StartError> {
    data_folder::found(&config.data)?;
    let failed = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::AlreadyExists => StartError::Taken { path: to.to_owned() },
        _ => StartError::Copy { path: to.to_owned(), source },
    };
    if to.exists() {
        return Err(failed(std::io::ErrorKind::AlreadyExists.into()));
    }
    let store = Store::open(&database(&config.data)).await?;
    // SQLite fills an empty file, so that nobody else can read it at any moment.
    data_folder::new_private(to).map_err(failed)?;
    let copied = store.backup(to).await;
    store.close().await;
    if let Err(error) = copied {
        // What is there is no copy.
        let _ = std::fs::remove_file(to);
        return Err(error.into());
    }
    Ok(())
}

/// Puts a copy in the place of the database of `config`, which is kept beside it as `enza.db.before-restore`: nothing
/// forgets there what a room promised to forget.
///
/// # Errors
/// [`StartError::Running`] while a server uses it, on whatever port, [`StartError::Copy`] for a file that cannot be read,
/// [`StartError::Store`] for one that is no whole copy, [`StartError::Data`].
pub(crate) async fn restore(config: &Config, from: &Path) -> Result<(), StartError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| StartError::Data { path, source }
    };
    std::fs::File::open(from).map_err(|source| StartError::Copy { path: from.to_owned(), source })?;
    Store::check_copy(from).await?;
    data_folder::prepare(&config.data)?;
    // No server begins meanwhile either.
    let _lock = Lock::take(&config.data).await.map_err(|error| match error {
        StartError::FolderTaken { path } => StartError::Running { path },
        other => other,
    })?;
    let copy = std::fs::read(from).map_err(failed(from))?;
    // All of it is on the disk before the old one leaves its place: a full disk then changes nothing.
    let written = data_folder::write_beside(&database(&config.data), &copy).map_err(failed(&config.data))?;
    let target = database(&config.data);
    let kept = beside(&target, ".before-restore");
    let (journal, kept_journal) = (beside(&target, "-wal"), beside(&kept, "-wal"));
    let absent_or = |done: std::io::Result<()>| match done {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(&target)(error)),
        _ => Ok(()),
    };
    // A database that is broken, or of a newer version, is what a copy is put back for: it is kept with its journal, which
    // SQLite may take away some time after it gave up.
    absent_or(std::fs::remove_file(&kept_journal))?;
    // Where there is none, or the file system knows no second names, it stays as SQLite leaves it.
    let _ = std::fs::hard_link(&journal, &kept_journal);
    // Writes out what the journal still holds, so that the old file is whole by itself.
    if let Ok(store) = Store::open(&target).await {
        store.close().await;
        absent_or(std::fs::remove_file(&kept_journal))?;
    }
    // Where both are one file, both names stay.
    absent_or(std::fs::rename(&journal, &kept_journal))?;
    absent_or(std::fs::remove_file(&journal))?;
    absent_or(std::fs::remove_file(beside(&target, "-shm")))?;
    std::fs::rename(&target, &kept).map_err(failed(&target))?;
    std::fs::rename(&written, &target).map_err(failed(&target))?;
    // Brings an older copy forward now, not at the next start.
    Store::open(&target).await?.close().await;
    Ok(())
}

/// The file's name with `more` at its end.
fn beside(file: &Path, more: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(more);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;
    use store::{Resolved, Role, Terms};

    /// Port 1: nobody answers there.
    fn config(folder: &Path) -> Config {
        let settings = Settings { data: Some(folder.join("data")), port: Some(1), ..Settings::default() };
        settings.resolve(None, |_| None).unwrap()
    }

    #[tokio::test]
    async fn what_was_backed_up_is_there_again_and_what_came_later_is_kept_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let (config, copy) = (config(folder.path()), folder.path().join("copy.db"));
        data_folder::prepare(&config.data).unwrap();
        let store = Store::open(&database(&config.data)).await.unwrap();
        let room = store.create_room("Before", 1).await.unwrap();
        let (_, invite) = store.create_invite(&room.id, Role::Guest, Terms::default(), 1).await.unwrap();
        // The server goes on while it is backed up.
        backup(&config, &copy).await.unwrap();
        assert!(
            matches!(backup(&config, &copy).await, Err(StartError::Taken { .. })),
            "nothing is overwritten"
        );
        store.create_room("After", 2).await.unwrap();
        store.close().await;

        restore(&config, &copy).await.unwrap();
        let store = Store::open(&database(&config.data)).await.unwrap();
        assert_eq!(store.rooms().await.unwrap(), [room]);
        assert!(matches!(store.resolve_invite(invite.reveal(), 3).await.unwrap(), Resolved::Open { .. }));
        store.close().await;
        let kept = Store::open(&config.data.join("enza.db.before-restore")).await.unwrap();
        assert_eq!(kept.rooms().await.unwrap().len(), 2);
        #[cfg(unix)]
        for file in [copy, database(&config.data)] {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[tokio::test]
    async fn a_mistyped_folder_is_no_empty_server() {
        let folder = tempfile::tempdir().unwrap();
        let (config, copy) = (config(folder.path()), folder.path().join("copy.db"));
        assert!(
            matches!(backup(&config, &copy).await, Err(StartError::NoData { path }) if path == config.data)
        );
        assert!(!config.data.exists() && !copy.exists(), "nothing is made");
    }

    #[tokio::test]
    async fn what_is_no_copy_is_refused_and_nothing_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        data_folder::prepare(&config.data).unwrap();
        let store = Store::open(&database(&config.data)).await.unwrap();
        store.create_room("Mine", 1).await.unwrap();
        let copy = folder.path().join("copy.db");
        backup(&config, &copy).await.unwrap();
        store.close().await;
        let whole = std::fs::read(&copy).unwrap();
        let mut broken = whole.clone();
        broken[4096..4096 + 2000].fill(0x55);
        for (name, bytes) in [
            ("letter", &b"a letter"[..]),
            ("empty", b""),
            ("cut", &whole[..whole.len() / 2]),
            ("broken", &broken),
        ] {
            let file = folder.path().join(name);
            std::fs::write(&file, bytes).unwrap();
            assert!(matches!(restore(&config, &file).await, Err(StartError::Store(_))), "{name}");
        }
        let none = folder.path().join("none");
        assert!(matches!(restore(&config, &none).await, Err(StartError::Copy { path, .. }) if path == none));
        let store = Store::open(&database(&config.data)).await.unwrap();
        assert_eq!(store.rooms().await.unwrap().len(), 1);
        store.close().await;
    }

    #[tokio::test]
    async fn a_copy_takes_the_place_of_what_cannot_be_opened_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let (config, copy) = (config(folder.path()), folder.path().join("copy.db"));
        data_folder::prepare(&config.data).unwrap();
        let store = Store::open(&database(&config.data)).await.unwrap();
        store.create_room("Mine", 1).await.unwrap();
        store.close().await;
        backup(&config, &copy).await.unwrap();
        let journal = beside(&database(&config.data), "-wal");
        std::fs::write(database(&config.data), "no database").unwrap();
        std::fs::write(&journal, "its journal").unwrap();
        restore(&config, &copy).await.unwrap();
        let store = Store::open(&database(&config.data)).await.unwrap();
        assert_eq!(store.rooms().await.unwrap().len(), 1);
        store.close().await;
        for (name, was) in
            [("enza.db.before-restore", "no database"), ("enza.db.before-restore-wal", "its journal")]
        {
            assert_eq!(std::fs::read_to_string(config.data.join(name)).unwrap(), was);
        }
    }

    /// Something stands in the way of the copy, as a full disk would.
    #[tokio::test]
    async fn what_cannot_be_written_leaves_the_old_database_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let (config, copy) = (config(folder.path()), folder.path().join("copy.db"));
        data_folder::prepare(&config.data).unwrap();
        let store = Store::open(&database(&config.data)).await.unwrap();
        store.create_room("Mine", 1).await.unwrap();
        backup(&config, &copy).await.unwrap();
        store.create_room("Later", 2).await.unwrap();
        store.close().await;
        std::fs::create_dir(config.data.join("enza.db.new")).unwrap();
        assert!(matches!(restore(&config, &copy).await, Err(StartError::Data { .. })));
        let store = Store::open(&database(&config.data)).await.unwrap();
        assert_eq!(store.rooms().await.unwrap().len(), 2);
        store.close().await;
    }

    #[tokio::test]
    async fn a_running_server_keeps_its_database() {
        let folder = tempfile::tempdir().unwrap();
        let settings =
            Settings { data: Some(folder.path().join("data")), port: Some(0), ..Settings::default() };
        let config = settings.resolve(None, |_| None).unwrap();
        let server = crate::server::Server::start(&config).await.unwrap();
        let copy = folder.path().join("copy.db");
        backup(&config, &copy).await.unwrap();
        assert!(matches!(restore(&config, &copy).await, Err(StartError::Running { .. })));
        server.stop().await;
        restore(&config, &copy).await.unwrap();
    }
}

//! A copy of the database: whole and consistent while the server goes on, and read before it is trusted.

use crate::{Store, StoreError};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use std::path::Path;

impl Store {
    /// Writes everything as it is at this moment into a new file, without what was deleted.
    ///
    /// # Errors
    /// [`StoreError::Database`], also when the file exists already; [`StoreError::Busy`].
    pub async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        sqlx::query("VACUUM INTO ?").bind(to.to_string_lossy()).execute(&self.writer).await?;
        Ok(())
    }

    /// Reads a copy from end to end, and changes nothing in it.
    ///
    /// # Errors
    /// [`StoreError::Copy`] for a file that is no whole copy of a database of this program.
    pub async fn check_copy(path: &Path) -> Result<(), StoreError> {
        let unusable = || StoreError::Copy { path: path.to_owned() };
        let options = SqliteConnectOptions::new().filename(path).read_only(true);
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await;
        let pool = pool.map_err(|_| unusable())?;
        let checked = async {
            let whole = sqlx::query("PRAGMA integrity_check").fetch_one(&pool).await?;
            let whole: String = whole.try_get(0)?;
            sqlx::query("SELECT count(*) FROM room").fetch_one(&pool).await?;
            Ok::<bool, sqlx::Error>(whole == "ok")
        };
        let checked = checked.await;
        pool.close().await;
        if checked.is_ok_and(|whole| whole) { Ok(()) } else { Err(unusable()) }
    }
}

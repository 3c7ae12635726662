//! Whether the disk still takes what is written.

use crate::{Store, StoreError};

impl Store {
    /// Writes a number that means nothing to the disk, as a whole transaction.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the disk is full or read-only; [`StoreError::Busy`].
    pub async fn prove_writing(&self) -> Result<(), StoreError> {
        // SQLite writes it even where it stays the same.
        sqlx::query("PRAGMA user_version = 0").execute(&self.writer).await?;
        Ok(())
    }
}

//! The tables, as the steps that lead to them. A step that was ever released is not changed: databases remember its
//! checksum.

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// In the order of their numbers, from 1. Read in here, not by `sqlx::migrate!`: its macro would build SQLite a second time.
const STEPS: [(&str, &str); 7] = [
    ("rooms and invites", include_str!("../migrations/0001_rooms_and_invites.sql")),
    ("room settings", include_str!("../migrations/0002_room_settings.sql")),
    ("invite terms", include_str!("../migrations/0003_invite_terms.sql")),
    ("uses and passphrase", include_str!("../migrations/0004_uses_and_passphrase.sql")),
    ("bans", include_str!("../migrations/0005_bans.sql")),
    ("live", include_str!("../migrations/0006_live.sql")),
    ("texts and audit", include_str!("../migrations/0007_texts_and_audit.sql")),
];

pub(crate) fn migrator() -> Migrator {
    let step = |(version, (description, sql)): (i64, (&'static str, &'static str))| {
        Migration::new(version, description.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations((1..).zip(STEPS).map(step).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_file_of_migrations_is_a_step() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let named: Vec<String> = migrator()
            .migrations
            .iter()
            .map(|step| format!("{:04}_{}.sql", step.version, step.description.replace(' ', "_")))
            .collect();
        assert_eq!(named, files);
    }
}

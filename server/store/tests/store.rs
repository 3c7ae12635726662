//! The store on a real file: what was promised once holds after a restart.

use store::{InviteId, Resolved, Role, Store, StoreError};

const NOW: i64 = 1_700_000_000_000;

async fn open(folder: &tempfile::TempDir) -> Store {
    Store::open(&folder.path().join("enza.db")).await.expect("the store opens")
}

#[tokio::test]
async fn rooms_and_invites_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    assert_eq!(store.first_room().await.unwrap(), None);
    let room = store.create_room("  Families of Tuesday ", NOW).await.unwrap();
    assert_eq!(room.title, "Families of Tuesday");
    let (host, secret) = store.create_invite(&room.id, Role::Host, NOW).await.unwrap();
    store.close().await;

    let store = open(&folder).await;
    assert_eq!(store.first_room().await.unwrap(), Some(room.clone()));
    assert_eq!(store.room(&room.id).await.unwrap(), room);
    assert_eq!(
        store.resolve_invite(secret.reveal()).await.unwrap(),
        Resolved::Open { invite: host, room, role: Role::Host }
    );
}

#[tokio::test]
async fn a_revoked_invite_stays_revoked_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let room = store.create_room("Room", NOW).await.unwrap();
    let (guest, secret) = store.create_invite(&room.id, Role::Guest, NOW).await.unwrap();
    let (_, other) = store.create_invite(&room.id, Role::Guest, NOW).await.unwrap();
    store.revoke_invite(guest, NOW + 1).await.unwrap();
    store.revoke_invite(guest, NOW + 2).await.unwrap();
    store.close().await;

    let store = open(&folder).await;
    assert_eq!(store.resolve_invite(secret.reveal()).await.unwrap(), Resolved::Revoked);
    assert!(matches!(store.resolve_invite(other.reveal()).await.unwrap(), Resolved::Open { .. }));
    let listed = store.invites(&room.id).await.unwrap();
    assert_eq!(
        listed.iter().map(|invite| invite.revoked_unix_millis).collect::<Vec<_>>(),
        [Some(NOW + 1), None]
    );
}

#[tokio::test]
async fn unknown_things_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    assert_eq!(store.resolve_invite("").await.unwrap(), Resolved::Unknown);
    assert_eq!(store.resolve_invite("AAAAAAAAAAAAAAAAAAAAAAAA").await.unwrap(), Resolved::Unknown);
    assert!(matches!(store.revoke_invite(InviteId(7), NOW).await, Err(StoreError::InviteUnknown)));
    assert!(matches!(
        store.create_invite("no such room", Role::Host, NOW).await,
        Err(StoreError::RoomUnknown)
    ));
    assert!(matches!(store.room("no such room").await, Err(StoreError::RoomUnknown)));
    for title in ["", "   ", "a\nb", &"x".repeat(101)] {
        assert!(matches!(store.create_room(title, NOW).await, Err(StoreError::Title)), "{title:?}");
    }
}

#[tokio::test]
async fn two_rooms_do_not_share_invites() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let one = store.create_room("Same title", NOW).await.unwrap();
    let two = store.create_room("Same title", NOW).await.unwrap();
    assert_ne!(one.id, two.id);
    let (_, first) = store.create_invite(&one.id, Role::Guest, NOW).await.unwrap();
    let (_, second) = store.create_invite(&two.id, Role::Host, NOW).await.unwrap();
    assert_ne!(first, second);
    for (secret, room, role) in [(&first, &one, Role::Guest), (&second, &two, Role::Host)] {
        match store.resolve_invite(secret.reveal()).await.unwrap() {
            Resolved::Open { room: found, role: as_what, .. } => {
                assert_eq!((&found, as_what), (room, role));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(store.invites(&one.id).await.unwrap().len(), 1);
    assert_eq!(store.rooms().await.unwrap(), [one, two]);
}

#[tokio::test]
async fn no_secret_is_in_the_file_or_in_debug_output() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let room = store.create_room("Room", NOW).await.unwrap();
    let (_, secret) = store.create_invite(&room.id, Role::Host, NOW).await.unwrap();
    assert!(secret.reveal().len() >= 22, "at least 128 bits");
    assert!(!format!("{secret:?}").contains(secret.reveal()));
    store.close().await;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(secret.reveal().len()).any(|window| window == secret.reveal().as_bytes()));
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("enza.db");
    std::fs::write(&path, "this is a letter, not a database, and it is long enough to be read as one")
        .unwrap();
    let error = Store::open(&path).await.unwrap_err();
    assert!(error.to_string().contains("enza.db"), "{error}");
    assert!(Store::open(&folder.path().join("missing/enza.db")).await.is_err());
}

#[tokio::test]
async fn a_rooms_settings_are_kept_and_a_room_nobody_made_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let room = store.create_room("Room", NOW).await.unwrap();
    assert_eq!(store.room_settings(&room.id).await.unwrap().as_deref(), Some("{}"));
    store.keep_room_settings(&room.id, r#"{"locked":true}"#).await.unwrap();
    store.keep_room_settings("nobody made this", "{}").await.unwrap();
    assert_eq!(store.room_settings("nobody made this").await.unwrap(), None);
    store.close().await;
    let store = open(&folder).await;
    assert_eq!(store.room_settings(&room.id).await.unwrap().as_deref(), Some(r#"{"locked":true}"#));
}

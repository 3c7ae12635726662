//! The store on a real file: what was promised once holds after a restart.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _};
use store::{BanId, InviteId, InviteState, Resolved, Role, Store, StoreError, Terms, Text, Trace};

const NOW: i64 = 1_700_000_000_000;

async fn open(folder: &tempfile::TempDir) -> Store {
    Store::open(&folder.path().join("enza.db")).await.expect("the store opens")
}

fn text(number: i64, body: &str, until_unix_millis: i64) -> Text {
    let (sender, name) = ("guest-1".to_owned(), "Ann".to_owned());
    Text { number, sender, name, body: body.to_owned(), at_unix_millis: NOW, until_unix_millis }
}

fn is_in_a_file(folder: &tempfile::TempDir, words: &str) -> bool {
    let files = std::fs::read_dir(folder.path()).unwrap();
    let held: Vec<u8> = files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
    held.windows(words.len()).any(|window| window == words.as_bytes())
}

#[tokio::test]
async fn rooms_and_invites_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    assert_eq!(store.first_room().await.unwrap(), None);
    let room = store.create_room("  Families of Tuesday ", NOW).await.unwrap();
    assert_eq!(room.title, "Families of Tuesday");
    let (host, secret) = store.create_invite(&room.id, Role::Host, Terms::default(), NOW).await.unwrap();
    store.close().await;

    let store = open(&folder).await;
    assert_eq!(store.first_room().await.unwrap(), Some(room.clone()));
    assert_eq!(store.room(&room.id).await.unwrap(), room);
    assert_eq!(
        store.resolve_invite(secret.reveal(), NOW).await.unwrap(),
        Resolved::Open { invite: host, room, role: Role::Host, counted: false }
    );
}

#[tokio::test]
async fn a_revoked_invite_stays_revoked_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let room = store.create_room("Room", NOW).await.unwrap();
    let (guest, secret) = store.create_invite(&room.id, Role::Guest, Terms::default(), NOW).await.unwrap();
    let (_, other) = store.create_invite(&room.id, Role::Guest, Terms::default(), NOW).await.unwrap();
    store.revoke_invite(guest, NOW + 1).await.unwrap();
    store.revoke_invite(guest, NOW + 2).await.unwrap();
    store.close().await;

    let store = open(&folder).await;
    assert_eq!(store.resolve_invite(secret.reveal(), NOW).await.unwrap(), Resolved::Revoked);
    assert!(matches!(store.resolve_invite(other.reveal(), NOW).await.unwrap(), Resolved::Open { .. }));
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
    assert_eq!(store.resolve_invite("", NOW).await.unwrap(), Resolved::Unknown);
    assert_eq!(store.resolve_invite("AAAAAAAAAAAAAAAAAAAAAAAA", NOW).await.unwrap(), Resolved::Unknown);
    assert!(matches!(store.revoke_invite(InviteId(7), NOW).await, Err(StoreError::InviteUnknown)));
    assert!(matches!(
        store.create_invite("no such room", Role::Host, Terms::default(), NOW).await,
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
    let (_, first) = store.create_invite(&one.id, Role::Guest, Terms::default(), NOW).await.unwrap();
    let (_, second) = store.create_invite(&two.id, Role::Host, Terms::default(), NOW).await.unwrap();
    assert_ne!(first, second);
    for (secret, room, role) in [(&first, &one, Role::Guest), (&second, &two, Role::Host)] {
        match store.resolve_invite(secret.reveal(), NOW).await.unwrap() {
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
    let (_, secret) = store.create_invite(&room.id, Role::Host, Terms::default(), NOW).await.unwrap();
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

#[tokio::test]
async fn an_invite_opens_from_its_first_moment_until_its_last() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let room = store.create_room("Room", NOW).await.unwrap();
    let terms =
        Terms { not_before_unix_millis: Some(NOW + 10), expires_unix_millis: Some(NOW + 20), max_uses: None };
    let (invite, secret) = store.create_invite(&room.id, Role::CoHost, terms, NOW).await.unwrap();
    for (at, state) in [
        (9, InviteState::NotYet),
        (10, InviteState::Open),
        (19, InviteState::Open),
        (20, InviteState::Expired),
    ] {
        let resolved = store.resolve_invite(secret.reveal(), NOW + at).await.unwrap();
        let expected = match state {
            InviteState::NotYet => Resolved::NotYet,
            InviteState::Open => {
                Resolved::Open { invite, room: room.clone(), role: Role::CoHost, counted: false }
            }
            InviteState::Expired => Resolved::Expired,
            InviteState::Revoked => Resolved::Revoked,
            InviteState::UsedUp => unreachable!("there is no maximum"),
        };
        assert_eq!(resolved, expected, "{at}");
        assert_eq!(store.invites(&room.id).await.unwrap()[0].state(NOW + at), state);
    }
    store.revoke_invite(invite, NOW).await.unwrap();
    assert_eq!(store.resolve_invite(secret.reveal(), NOW + 30).await.unwrap(), Resolved::Revoked);
}

#[tokio::test]
async fn an_invite_with_a_maximum_lets_in_so_many_people_and_no_more_also_all_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let room = store.create_room("Room", NOW).await.unwrap();
    let terms = Terms { max_uses: Some(3), ..Terms::default() };
    let (invite, secret) = store.create_invite(&room.id, Role::Guest, terms, NOW).await.unwrap();
    let asking: Vec<_> = (0..12)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.use_invite(invite).await.unwrap() })
        })
        .collect();
    let mut let_in = 0;
    for asked in asking {
        let_in += usize::from(asked.await.unwrap());
    }
    assert_eq!(let_in, 3);
    assert_eq!(store.invites(&room.id).await.unwrap()[0].uses, 3);
    let resolved = store.resolve_invite(secret.reveal(), NOW).await.unwrap();
    assert_eq!(resolved, Resolved::UsedUp { invite, room: room.clone(), role: Role::Guest });

    let (open_to_all, _) = store.create_invite(&room.id, Role::Guest, Terms::default(), NOW).await.unwrap();
    assert!(store.use_invite(open_to_all).await.unwrap() && store.use_invite(open_to_all).await.unwrap());
    assert!(!store.use_invite(InviteId(99)).await.unwrap());
}

#[tokio::test]
async fn an_invite_without_a_maximum_opens_while_another_program_holds_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let room = store.create_room("Room", NOW).await.unwrap();
    let (invite, _) = store.create_invite(&room.id, Role::Guest, Terms::default(), NOW).await.unwrap();
    let options = SqliteConnectOptions::new().filename(folder.path().join("enza.db"));
    let mut other = options.connect().await.unwrap();
    other.execute("BEGIN EXCLUSIVE").await.unwrap();
    assert!(store.use_invite(invite).await.unwrap());
}

#[tokio::test]
async fn a_passphrase_and_a_new_title_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let room = store.create_room("Room", NOW).await.unwrap();
    assert_eq!(store.passphrase(&room.id).await.unwrap(), None);
    store.keep_passphrase(&room.id, Some("hash")).await.unwrap();
    store.rename_room(&room.id, " Circle ").await.unwrap();
    assert_eq!(store.passphrase(&room.id).await.unwrap().as_deref(), Some("hash"));
    assert_eq!(store.room(&room.id).await.unwrap().title, "Circle");
    store.keep_passphrase(&room.id, None).await.unwrap();
    assert_eq!(store.passphrase(&room.id).await.unwrap(), None);
    assert!(matches!(store.rename_room(&room.id, " ").await, Err(StoreError::Title)));
    assert!(matches!(store.rename_room("none", "x").await, Err(StoreError::RoomUnknown)));
    assert!(matches!(store.keep_passphrase("none", None).await, Err(StoreError::RoomUnknown)));
}

#[tokio::test]
async fn a_ban_knows_somebody_again_in_its_room_and_tells_no_name() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let room = store.create_room("Room", NOW).await.unwrap().id;
    let other = store.create_room("Other", NOW).await.unwrap().id;
    let (who, mark) =
        (Trace::of_identity(&room, "a-very-long-identity"), Trace::of_mark(&room, "a-device-mark"));
    assert_ne!(who, Trace::of_identity(&other, "a-very-long-identity"));
    assert_ne!(Trace::of_identity("ab", "c"), Trace::of_identity("a", "bc"));
    let ban = store.ban(&room, who, Some(mark), NOW).await.unwrap();
    store.close().await;

    let file = std::fs::read(folder.path().join("enza.db")).unwrap();
    for word in [&b"a-very-long-identity"[..], b"a-device-mark"] {
        assert!(!file.windows(word.len()).any(|window| window == word));
    }
    let store = open(&folder).await;
    let bans = store.bans(&room).await.unwrap();
    assert_eq!((bans.len(), bans[0].id, bans[0].identity, bans[0].mark), (1, ban, who, Some(mark)));
    assert!(store.bans(&other).await.unwrap().is_empty());
    assert!(matches!(store.lift_ban(&other, ban).await, Err(StoreError::BanUnknown)));
    store.lift_ban(&room, ban).await.unwrap();
    assert!(store.bans(&room).await.unwrap().is_empty());
    assert!(matches!(store.lift_ban(&room, BanId(9)).await, Err(StoreError::BanUnknown)));
    assert!(matches!(store.ban("none", who, None, NOW).await, Err(StoreError::RoomUnknown)));
}

#[tokio::test]
async fn accepted_agreements_are_counted_and_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let room = store.create_room("Room", NOW).await.unwrap().id;
    for version in [1, 2, 2] {
        store.count_acceptance(&room, version).await.unwrap();
    }
    store.count_acceptance("none", 1).await.unwrap();
    assert_eq!(store.acceptances(&room).await.unwrap(), [(1, 1), (2, 2)]);
    assert!(store.acceptances("none").await.unwrap().is_empty());
}

#[tokio::test]
async fn an_erased_room_is_in_no_file_any_more_and_the_others_are_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let room = store.create_room("A title that nobody else has", NOW).await.unwrap().id;
    let other = store.create_room("The other", NOW).await.unwrap();
    let (_, invite) = store.create_invite(&room, Role::Guest, Terms::default(), NOW).await.unwrap();
    store.keep_room_settings(&room, "{\"question\":\"A question that nobody else asks\"}").await.unwrap();
    store.ban(&room, Trace::of_identity(&room, "x"), None, NOW).await.unwrap();
    store.count_acceptance(&room, 1).await.unwrap();
    store.keep_text(&room, &text(1, "Words that nobody else says", NOW + 1000)).await.unwrap();
    store.record_act(&room, "an-act-of-its-own", "host", 1, NOW).await.unwrap();
    let traces = |folder: &tempfile::TempDir| {
        [
            "A title that nobody else has",
            "A question that nobody else asks",
            "Words that nobody else says",
            "an-act-of-its-own",
            room.as_str(),
        ]
        .into_iter()
        .filter(|words| is_in_a_file(folder, words))
        .count()
    };
    assert_eq!(traces(&folder), 5, "before, they are there");
    store.erase_room(&room).await.unwrap();
    assert_eq!(traces(&folder), 0);
    assert_eq!(store.resolve_invite(invite.reveal(), NOW).await.unwrap(), Resolved::Unknown);
    assert_eq!(store.rooms().await.unwrap(), [other]);
    assert!(matches!(store.erase_room(&room).await, Err(StoreError::RoomUnknown)));
}

/// A file of each earlier schema, with a room and an invite in it, opens its rooms today.
#[tokio::test]
async fn every_earlier_schema_is_brought_forward() {
    use sha2::Digest as _;
    use sqlx::ConnectOptions as _;
    // Out of the files, as `sqlx::migrate!` read them when this program's first databases were made.
    let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations"));
    let all = sqlx::migrate::Migrator::new(folder).await.unwrap();
    for steps in 1..all.migrations.len() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("enza.db");
        let secret = "an-old-secret-of-24-char";
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let mut connection = options.connect().await.unwrap();
        let earlier = sqlx::migrate::Migrator::with_migrations(all.migrations[..steps].to_vec());
        earlier.run(&mut connection).await.unwrap();
        for statement in [
            "INSERT INTO room (id, title, created) VALUES ('r', 'Old', 1)",
            "INSERT INTO invite (id, room, role, hash, created) VALUES (5, 'r', 'host', ?, 1)",
        ] {
            let query = sqlx::query(statement);
            let query = match statement.contains('?') {
                true => query.bind(sha2::Sha256::digest(secret.as_bytes()).to_vec()),
                false => query,
            };
            query.execute(&mut connection).await.unwrap();
        }
        drop(connection);
        let store = open(&folder).await;
        let resolved = store.resolve_invite(secret, NOW).await.unwrap();
        assert!(
            matches!(resolved, Resolved::Open { invite: InviteId(5), role: Role::Host, .. }),
            "{steps}: {resolved:?}"
        );
        assert_eq!(store.room_settings("r").await.unwrap().as_deref(), Some("{}"));
        assert!(store.texts("r", 0).await.unwrap().is_empty() && store.audit("r").await.unwrap().is_empty());
        store.keep_text("r", &text(1, "words", NOW)).await.unwrap();
        assert!(store.bans("r").await.unwrap().is_empty() && store.passphrase("r").await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_running_room_is_kept_until_it_is_over_or_stale() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let room = store.create_room("Room", NOW).await.unwrap().id;
    store.keep_live(&room, "one", NOW).await.unwrap();
    store.keep_live(&room, "two", NOW + 5).await.unwrap();
    store.keep_live("none", "one", NOW).await.unwrap();
    assert_eq!(store.live(&room, NOW).await.unwrap().as_deref(), Some("two"));
    assert_eq!(store.live(&room, NOW + 6).await.unwrap(), None, "too old");
    assert_eq!(store.live("none", 0).await.unwrap(), None);
    store.forget_stale(NOW + 5).await.unwrap();
    assert!(store.live(&room, 0).await.unwrap().is_some());
    store.forget_live(&room).await.unwrap();
    assert_eq!(store.live(&room, 0).await.unwrap(), None);
    store.keep_live(&room, "three", NOW).await.unwrap();
    store.forget_stale(NOW + 1).await.unwrap();
    assert_eq!(store.live(&room, 0).await.unwrap(), None);
}

#[tokio::test]
async fn texts_are_kept_until_their_day_and_what_is_forgotten_is_in_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let room = store.create_room("Room", NOW).await.unwrap().id;
    let other = store.create_room("Other", NOW).await.unwrap().id;
    let texts = ["first words", "second words", "third words", "fourth words"];
    for (number, body) in (1..).zip(texts) {
        store.keep_text(&room, &text(number, body, NOW + number * 100)).await.unwrap();
    }
    store.keep_text(&other, &text(1, "elsewhere", NOW + 1000)).await.unwrap();
    store.keep_text("no room", &text(1, "nowhere", NOW + 1000)).await.unwrap();
    store.close().await;

    let store = open(&folder).await;
    let bodies = async |room: &str, now| -> Vec<String> {
        store.texts(room, now).await.unwrap().into_iter().map(|text| text.body).collect()
    };
    assert_eq!(bodies(&room, NOW).await, texts);
    assert_eq!(bodies(&room, NOW + 200).await, texts[2..], "over is over, also before it is deleted");
    store.forget_text(&room, 2).await.unwrap();
    assert!(store.leave_no_trace().await.unwrap());
    assert!(!is_in_a_file(&folder, texts[1]) && is_in_a_file(&folder, texts[0]));
    store.forget_overdue_texts(NOW + 100).await.unwrap();
    assert!(store.leave_no_trace().await.unwrap());
    assert!(!is_in_a_file(&folder, texts[0]) && is_in_a_file(&folder, texts[2]));
    store.shorten_texts(&room, 350, NOW + 250).await.unwrap();
    assert_eq!(bodies(&room, NOW + 299).await, texts[2..], "what was promised for longer is shortened");
    assert_eq!(bodies(&room, NOW + 349).await, texts[3..]);
    store.shorten_texts(&room, 5000, NOW + 350).await.unwrap();
    assert!(store.leave_no_trace().await.unwrap());
    assert!(bodies(&room, 0).await.is_empty() && !is_in_a_file(&folder, texts[3]), "and never lengthened");
    store.keep_text(&room, &text(9, "last words", NOW + 1000)).await.unwrap();
    store.forget_texts(&room).await.unwrap();
    assert!(store.leave_no_trace().await.unwrap());
    assert!(!is_in_a_file(&folder, "last words"));
    assert_eq!(bodies(&other, NOW).await, ["elsewhere"]);
    assert!(bodies("no room", 0).await.is_empty());
}

#[tokio::test]
async fn a_journal_that_somebody_reads_is_emptied_later() {
    use sqlx::{ConnectOptions as _, Connection as _};
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let room = store.create_room("Room", NOW).await.unwrap().id;
    store.keep_text(&room, &text(1, "words of a day", NOW + 100)).await.unwrap();
    let options = SqliteConnectOptions::new().filename(folder.path().join("enza.db"));
    let mut reader = options.connect().await.unwrap();
    let mut reading = reader.begin().await.unwrap();
    sqlx::query("SELECT * FROM text").fetch_all(&mut *reading).await.unwrap();
    store.forget_texts(&room).await.unwrap();
    assert!(!store.leave_no_trace().await.unwrap() && store.is_traced());
    assert!(is_in_a_file(&folder, "words of a day"));
    reading.rollback().await.unwrap();
    assert!(store.leave_no_trace().await.unwrap() && !store.is_traced());
    assert!(!is_in_a_file(&folder, "words of a day"));
}

#[tokio::test]
async fn records_of_what_hosts_did_are_kept_to_the_hour_for_ninety_days() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let room = store.create_room("Room", NOW).await.unwrap().id;
    store.record_act(&room, "mute", "host", 3, NOW).await.unwrap();
    store.record_act("no room", "mute", "host", 3, NOW).await.unwrap();
    let day = 24 * 60 * 60 * 1000;
    store.record_act(&room, "end", "operator", 9, NOW + day).await.unwrap();
    let records = store.audit(&room).await.unwrap();
    let told: Vec<_> = records.iter().map(|one| (one.act.as_str(), one.actor.as_str(), one.people)).collect();
    assert_eq!(told, [("mute", "host", 3), ("end", "operator", 9)]);
    assert_eq!(records[0].hour_unix_millis % (60 * 60 * 1000), 0);
    assert!((0..60 * 60 * 1000).contains(&(NOW - records[0].hour_unix_millis)));
    store.forget_old_records(NOW + 90 * day + day / 2).await.unwrap();
    assert_eq!(store.audit(&room).await.unwrap(), records[1..]);
    for _ in 0..2010 {
        store.record_act(&room, "mute", "host", 1, NOW).await.unwrap();
    }
    let records = store.audit(&room).await.unwrap();
    assert_eq!((records.len(), records[0].act.as_str()), (2000, "mute"));
}

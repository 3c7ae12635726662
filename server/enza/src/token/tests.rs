use super::*;
use serde_json::{Value, json};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn authority() -> TokenAuthority {
    TokenAuthority::new(&ApiKey::new("key".to_owned(), SECRET.to_owned()).unwrap())
}

/// A token put together by hand: nothing of the code under test signs it.
fn token(header: &Value, claims: &Value, secret: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(ring::hmac::sign(&key, signed.as_bytes())))
}

fn hs256() -> Value {
    json!({"alg": "HS256", "typ": "JWT"})
}

fn claims() -> Value {
    let now = unix_seconds();
    json!({
        "iss": "key", "sub": "ann", "name": "Ann", "nbf": now - 1, "exp": now + 600,
        "video": {"roomJoin": true, "room": "a"},
    })
}

fn with(mut claims: Value, pointer: &str, value: Value) -> Value {
    match pointer.strip_prefix("video/") {
        Some(key) => claims["video"][key] = value,
        None => claims[pointer] = value,
    }
    claims
}

fn verify(claims: &Value) -> Result<Grants, Refusal> {
    authority().verify(&token(&hs256(), claims, SECRET), None)
}

#[test]
fn absent_rights_are_livekits_defaults() {
    let grants = verify(&claims()).unwrap();
    assert_eq!((grants.identity.as_str(), grants.name.as_str(), grants.room.as_str()), ("ann", "Ann", "a"));
    assert!(grants.can_publish && grants.can_subscribe && grants.can_publish_data);
    assert!(!grants.can_update_own_metadata && !grants.hidden && !grants.room_admin);
    assert!(grants.can_publish_sources.is_empty());
    let listener = verify(&with(claims(), "video/canPublish", json!(false))).unwrap();
    assert!(!listener.can_publish && !listener.can_publish_data && listener.can_subscribe);
}

#[test]
fn null_is_absent_and_an_unknown_source_does_not_become_every_source() {
    let claims = with(with(claims(), "metadata", Value::Null), "attributes", Value::Null);
    let claims = with(claims, "video/canPublishSources", json!(["MICROPHONE", "hologram"]));
    let grants = verify(&claims).unwrap();
    assert_eq!(
        grants.can_publish_sources,
        [livekit_protocol::TrackSource::Microphone, livekit_protocol::TrackSource::Unknown]
    );
}

#[test]
fn each_wrong_token_is_refused_with_its_own_reason() {
    let now = unix_seconds();
    let authority = authority();
    let refusal = |token: &str| authority.verify(token, None).unwrap_err();
    let signed = |claims: Value| refusal(&token(&hs256(), &claims, SECRET));

    assert_eq!(refusal(""), Refusal::Missing);
    for nonsense in ["x", "a.b.c", "...", "e30.e30.e30", &"é".repeat(100)] {
        assert_eq!(refusal(nonsense), Refusal::Malformed, "{nonsense}");
    }
    for algorithm in ["none", "None", "HS384", "RS256", "hs256"] {
        let token = token(&json!({"alg": algorithm}), &claims(), SECRET);
        assert_eq!(refusal(&token), Refusal::Algorithm, "{algorithm}");
        let (unsigned, _) = token.rsplit_once('.').unwrap();
        assert_eq!(refusal(&format!("{unsigned}.")), Refusal::Algorithm, "{algorithm}");
    }
    assert_eq!(refusal(&token(&hs256(), &claims(), "another secret of 32 characters!")), Refusal::Signature);
    let good = token(&hs256(), &claims(), SECRET);
    let (unsigned, _) = good.rsplit_once('.').unwrap();
    assert_eq!(refusal(&format!("{unsigned}.")), Refusal::Signature);
    assert_eq!(signed(with(claims(), "iss", json!("other"))), Refusal::KeyUnknown);
    assert_eq!(signed(with(claims(), "exp", json!(now - 61))), Refusal::Expired);
    assert_eq!(signed(with(claims(), "nbf", json!(now + 120))), Refusal::NotYetValid);
    assert_eq!(signed(with(claims(), "exp", Value::Null)), Refusal::NoExpiry);
    assert_eq!(signed(with(claims(), "sub", json!(""))), Refusal::NoIdentity);
    assert_eq!(signed(with(claims(), "video/roomJoin", json!(false))), Refusal::NoJoin);
    assert_eq!(signed(with(claims(), "video", Value::Null)), Refusal::NoJoin);
    assert_eq!(signed(with(claims(), "video/room", json!(""))), Refusal::NoRoom);
    assert_eq!(signed(with(claims(), "sub", json!("x".repeat(257)))), Refusal::TooLong);
    assert_eq!(authority.verify(&good, Some("b")).unwrap_err(), Refusal::WrongRoom);
    assert!(authority.verify(&good, Some("a")).is_ok());
}

#[test]
fn clocks_may_differ_by_a_minute() {
    let now = unix_seconds();
    assert!(verify(&with(claims(), "exp", json!(now - 30))).is_ok());
    assert!(verify(&with(claims(), "nbf", json!(now + 30))).is_ok());
    assert!(verify(&with(claims(), "exp", json!(now as f64 + 0.5))).is_ok());
}

#[test]
fn the_sentence_and_status_say_what_is_wrong() {
    assert_eq!(Refusal::Expired.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(Refusal::WrongRoom.status(), StatusCode::FORBIDDEN);
    assert!(Refusal::Algorithm.to_string().contains("HS256"));
}

#[test]
fn a_signed_token_says_again_what_was_signed() {
    let authority = authority();
    let mut grants = verify(&claims()).unwrap();
    grants.room_admin = true;
    grants.hidden = true;
    grants.can_publish_data = false;
    grants.can_publish_sources =
        vec![livekit_protocol::TrackSource::Camera, livekit_protocol::TrackSource::Unknown];
    grants.metadata = "{\"colour\":\"藍\"}".to_owned();
    grants.attributes.insert("a".to_owned(), "b".to_owned());
    let again = authority.verify(&authority.sign(&grants, Duration::from_secs(600)), Some("a")).unwrap();
    assert!(again.expires_at_unix.abs_diff(unix_seconds() + 600) <= 2);
    grants.expires_at_unix = again.expires_at_unix;
    assert_eq!(format!("{again:?}"), format!("{grants:?}"));
}

#[test]
fn a_short_secret_is_refused_and_a_generated_one_is_kept() {
    assert!(matches!(
        ApiKey::new("key".to_owned(), "x".repeat(31)),
        Err(StartError::SecretShort { length: 31 })
    ));
    let folder = tempfile::tempdir().unwrap();
    let made = ApiKey::load_or_create(folder.path()).unwrap();
    assert!(made == ApiKey::load_or_create(folder.path()).unwrap());
    assert!(made.secret.len() >= 32 && !format!("{made:?}").contains(made.secret.as_str()));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(folder.path().join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    std::fs::write(folder.path().join(KEY_FILE), "api_key = 1").unwrap();
    assert!(matches!(ApiKey::load_or_create(folder.path()), Err(StartError::File { .. })));
}

#[test]
fn an_expired_token_tells_who_somebody_was_for_a_while_and_in_its_room_alone() {
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let earlier =
        |claims: &Value, room| authority().verify_earlier(&token(&hs256(), claims, SECRET), room, hours(12));
    let expired = with(claims(), "exp", json!(unix_seconds() - 11 * 3600));
    assert_eq!(verify(&expired), Err(Refusal::Expired));
    assert_eq!(earlier(&expired, "a").unwrap().identity, "ann");
    assert_eq!(earlier(&expired, "b"), Err(Refusal::WrongRoom));
    let older = with(claims(), "exp", json!(unix_seconds() - 13 * 3600));
    assert_eq!(earlier(&older, "a"), Err(Refusal::Expired));
    let forged = token(&hs256(), &expired, "another secret of 32 characters.");
    assert_eq!(authority().verify_earlier(&forged, "a", hours(12)), Err(Refusal::Signature));
}

//! What the terminal shows when the server is ready: the first room's links and a code for the phone's camera.
//!
//! The database keeps only hashes of invites, so the links of the first room are also kept in a file that only
//! its owner may read. It stands beside the key that signs room tokens, so whoever can read it could enter any
//! room anyway; in return a link that was written down or bookmarked still works after a restart.
//!
//! The links go to standard output and the log to standard error, so no log carries a link.

use crate::catalogue::Language;
use crate::config::{Config, Transport};
use crate::data_folder::write_private;
use crate::media::lan_addresses;
use crate::rooms;
use crate::start_error::StartError;
use crate::tls;
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use store::{Resolved, Role, Store, StoreError, Terms};

const LINKS_FILE: &str = "first-links.toml";

/// The secrets of the first room's two links.
#[derive(Serialize, Deserialize)]
struct FirstLinks {
    host: String,
    guest: String,
}

/// Makes the first room and its links where they are missing or revoked, and returns what to print.
///
/// # Errors
/// [`StartError`].
pub async fn text(
    store: &Store,
    config: &Config,
    port: u16,
    language: Language,
) -> Result<String, StartError> {
    let links = first_links(store, config, language).await?;
    Ok(render(&links, &bases(config, port), config, language))
}

async fn first_links(store: &Store, config: &Config, language: Language) -> Result<FirstLinks, StartError> {
    let now = i64::try_from(rooms::now().unix_millis).unwrap_or(i64::MAX);
    let path = config.data.join(LINKS_FILE);
    let failed = |path: PathBuf, source| StartError::Data { path, source };
    let known: Option<FirstLinks> = match std::fs::read_to_string(&path) {
        // A file that somebody broke is replaced: what it held is lost anyway.
        Ok(text) => toml::from_str(&text).ok(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(source) => return Err(failed(path, source)),
    };
    let room = match store.first_room().await? {
        Some(room) => room,
        None => store.create_room(language.first_room(), now).await?,
    };
    let keep = async |secret: Option<&str>, role: Role| -> Result<String, StoreError> {
        if let Some(secret) = secret
            && let Resolved::Open { room: opened, role: as_what, .. } =
                store.resolve_invite(secret, now).await?
            && (opened.id == room.id && as_what == role)
        {
            return Ok(secret.to_owned());
        }
        let (_, secret) = store.create_invite(&room.id, role, Terms::default(), now).await?;
        Ok(secret.reveal().to_owned())
    };
    let links = FirstLinks {
        host: keep(known.as_ref().map(|links| links.host.as_str()), Role::Host).await?,
        guest: keep(known.as_ref().map(|links| links.guest.as_str()), Role::Guest).await?,
    };
    if known.is_none_or(|known| known.host != links.host || known.guest != links.guest) {
        let text = format!("host = \"{}\"\nguest = \"{}\"\n", links.host, links.guest);
        write_private(&path, text.as_bytes()).map_err(|source| failed(path, source))?;
    }
    Ok(links)
}

/// Deletes the file of the first room's links when they open nothing any more because the room was erased. The next
/// start makes a new one.
pub(crate) async fn forget_dead_links(store: &Store, data: &Path) -> Result<(), StoreError> {
    let path = data.join(LINKS_FILE);
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(()) };
    let Ok(links) = toml::from_str::<FirstLinks>(&text) else { return Ok(()) };
    let now = rooms::unix_millis(rooms::now());
    for secret in [&links.host, &links.guest] {
        if store.resolve_invite(secret, now).await? != Resolved::Unknown {
            return Ok(());
        }
    }
    if let Err(error) = std::fs::remove_file(&path) {
        tracing::error!(%error, "the links of an erased room cannot be deleted");
    }
    Ok(())
}

/// The addresses that people can open, the widest first.
pub(crate) fn bases(config: &Config, port: u16) -> Vec<String> {
    if let Some(url) = &config.public_url {
        return vec![url.clone()];
    }
    let scheme = match config.transport {
        Transport::Plain => "http",
        Transport::Development | Transport::Files { .. } | Transport::Domains(_) => "https",
    };
    if let Transport::Domains(acme) = &config.transport {
        let of = |domain: &String| match port {
            443 => format!("https://{domain}"),
            port => format!("https://{domain}:{port}"),
        };
        return acme.domains.iter().map(of).collect();
    }
    let at = |ip: IpAddr| format!("{scheme}://{}", SocketAddr::new(ip, port));
    let localhost = format!("{scheme}://localhost:{port}");
    let announced = config.announce.iter().copied();
    match config.bind {
        ip if ip.is_loopback() => vec![localhost],
        ip if ip.is_unspecified() => announced.chain(lan_addresses()).map(at).chain([localhost]).collect(),
        ip => announced.chain([ip]).map(at).collect(),
    }
}

pub(crate) fn link(base: &str, secret: &str) -> String {
    format!("{base}/join#{secret}")
}

/// A link for a phone's camera; empty when it is too long for a code.
pub(crate) fn code(link: &str) -> String {
    match QrCode::with_error_correction_level(link, EcLevel::L) {
        // Light on dark terminals: the code's dark modules are the terminal's background.
        Ok(code) => {
            code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build() + "\n"
        }
        Err(_) => String::new(),
    }
}

fn render(links: &FirstLinks, bases: &[String], config: &Config, language: Language) -> String {
    let mut text = String::new();
    let mut line = |line: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{line}");
    };
    line("");
    line(language.room_is_open());
    for (title, secret) in [(language.host_link(), &links.host), (language.guest_link(), &links.guest)] {
        line("");
        line(&format!("  {title}"));
        for base in bases {
            line(&format!("    {}", link(base, secret)));
        }
    }
    line("");
    if let Some(base) = bases.first() {
        line(&format!("  {}", language.scan()));
        line(code(&link(base, &links.guest)).trim_end_matches('\n'));
    }
    match config.transport {
        // A proxy's, which has HTTPS of its own.
        Transport::Plain if bases.iter().any(|base| base.starts_with("https:")) => {}
        Transport::Plain if config.bind.is_loopback() => line(language.this_computer_only()),
        Transport::Plain => line(language.camera_needs_https()),
        Transport::Development => {
            line(&language.development_certificate(&tls::authority_file(&config.certs)));
        }
        Transport::Files { .. } | Transport::Domains(_) => {}
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn config(folder: &Path, bind: &str) -> Config {
        let settings = Settings {
            data: Some(folder.to_owned()),
            bind: Some(bind.parse().unwrap()),
            ..Settings::default()
        };
        settings.resolve(None, |_| None).unwrap()
    }

    #[tokio::test]
    async fn links_stay_the_same_until_one_is_revoked() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), "127.0.0.1");
        let store = Store::open(&folder.path().join("enza.db")).await.unwrap();
        let first = first_links(&store, &config, Language::Japanese).await.unwrap();
        let room = store.first_room().await.unwrap().unwrap();
        assert_eq!(room.title, "はじめての部屋");
        let again = first_links(&store, &config, Language::English).await.unwrap();
        assert_eq!((&first.host, &first.guest), (&again.host, &again.guest));
        assert_eq!(store.rooms().await.unwrap().len(), 1);

        let guest = store.invites(&room.id).await.unwrap()[1].id;
        store.revoke_invite(guest, 1).await.unwrap();
        let fresh = first_links(&store, &config, Language::English).await.unwrap();
        assert_eq!(fresh.host, first.host);
        assert_ne!(fresh.guest, first.guest);
        for (secret, role) in [(&fresh.host, Role::Host), (&fresh.guest, Role::Guest)] {
            let resolved = store.resolve_invite(secret, 2).await.unwrap();
            assert!(matches!(resolved, Resolved::Open { role: found, .. } if found == role));
        }
    }

    #[tokio::test]
    async fn links_of_an_erased_room_are_kept_no_longer() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), "127.0.0.1");
        let store = Store::open(&folder.path().join("enza.db")).await.unwrap();
        let first = first_links(&store, &config, Language::English).await.unwrap();
        let room = store.first_room().await.unwrap().unwrap().id;
        let other = store.create_room("Other", 1).await.unwrap().id;
        let file = folder.path().join(LINKS_FILE);
        store.erase_room(&other).await.unwrap();
        forget_dead_links(&store, folder.path()).await.unwrap();
        assert!(file.exists(), "another room's end changes nothing");
        store.erase_room(&room).await.unwrap();
        forget_dead_links(&store, folder.path()).await.unwrap();
        assert!(!file.exists());
        let fresh = first_links(&store, &config, Language::English).await.unwrap();
        assert_ne!(fresh.host, first.host);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn the_links_file_is_readable_by_its_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), "127.0.0.1");
        let store = Store::open(&folder.path().join("enza.db")).await.unwrap();
        first_links(&store, &config, Language::English).await.unwrap();
        let mode = std::fs::metadata(folder.path().join(LINKS_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn the_text_has_both_links_in_the_fragment_and_a_code() {
        let links = FirstLinks { host: "HOSTHOST".to_owned(), guest: "GUESTGUEST".to_owned() };
        let config = config(Path::new("data"), "127.0.0.1");
        let bases = bases(&config, 7880);
        assert_eq!(bases, ["http://localhost:7880"]);
        for (language, word) in [(Language::English, "guests"), (Language::Japanese, "参加する")] {
            let text = render(&links, &bases, &config, language);
            assert!(text.contains("http://localhost:7880/join#HOSTHOST\n"), "{text}");
            assert!(text.contains("http://localhost:7880/join#GUESTGUEST\n"), "{text}");
            assert!(text.contains(word) && text.contains('█') && text.contains("--lan"), "{text}");
        }
    }
}

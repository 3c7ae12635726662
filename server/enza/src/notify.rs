//! Tells systemd how the program is (`sd_notify(3)`): one datagram each to the socket that it names. Without systemd nothing
//! happens.

use std::time::Duration;

/// The way to systemd.
pub struct Notify {
    #[cfg(target_os = "linux")]
    socket: Option<(std::os::unix::net::UnixDatagram, std::os::unix::net::SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notify {
    /// By `NOTIFY_SOCKET` and `WATCHDOG_USEC`.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let limit =
            variable("WATCHDOG_USEC").and_then(|micros| micros.parse().ok()).map(Duration::from_micros);
        Self {
            #[cfg(target_os = "linux")]
            socket: variable("NOTIFY_SOCKET").and_then(|path| open(&path)),
            watchdog: limit.filter(|limit| !limit.is_zero()),
        }
    }

    /// How often [`Self::alive`] is to be said; twice within systemd's patience.
    #[must_use]
    pub fn every(&self) -> Option<Duration> {
        self.watchdog.map(|limit| limit / 2)
    }

    /// Whether systemd runs the program, and keeps what it prints.
    #[must_use]
    pub const fn is_service(&self) -> bool {
        #[cfg(target_os = "linux")]
        return self.socket.is_some();
        #[cfg(not(target_os = "linux"))]
        false
    }

    /// People can come in.
    pub fn ready(&self) {
        self.say("READY=1");
    }

    /// It works.
    pub fn alive(&self) {
        self.say("WATCHDOG=1");
    }

    /// It ends because it was asked to, or cannot go on.
    pub fn stopping(&self) {
        self.say("STOPPING=1");
    }

    #[cfg(target_os = "linux")]
    fn say(&self, word: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(word.as_bytes(), address)
        {
            tracing::warn!(%error, word, "systemd cannot be told");
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn say(&self, _: &str) {}
}

#[cfg(target_os = "linux")]
fn open(path: &str) -> Option<(std::os::unix::net::UnixDatagram, std::os::unix::net::SocketAddr)> {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(path),
    };
    Some((UnixDatagram::unbound().ok()?, address.ok()?))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    #[test]
    fn systemd_hears_it_at_a_path_and_at_a_name_without_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("enza-test-{}", std::process::id());
        let at_path = UnixDatagram::bind(&path).unwrap();
        let at_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        for (listener, given) in [(at_path, path.display().to_string()), (at_name, format!("@{name}"))] {
            let notify = Notify::from_environment(|variable| match variable {
                "NOTIFY_SOCKET" => Some(given.clone()),
                "WATCHDOG_USEC" => Some("30000000".to_owned()),
                _ => None,
            });
            assert_eq!(notify.every(), Some(Duration::from_secs(15)));
            assert!(notify.is_service());
            notify.ready();
            notify.stopping();
            let mut buffer = [0; 32];
            for expected in ["READY=1", "STOPPING=1"] {
                let length = listener.recv(&mut buffer).unwrap();
                assert_eq!(&buffer[..length], expected.as_bytes());
            }
        }
        let nobody = Notify::from_environment(|_| None);
        nobody.ready();
        assert_eq!(nobody.every(), None);
        assert!(!nobody.is_service());
    }
}

//! `enza install` and `enza uninstall`: a systemd service that runs with as few rights as the program can do with. Owns the
//! unit's text and where things stand; asks systemd itself by `systemctl`.

use crate::start_error::StartError;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where things stand on a machine.
const UNIT: &str = "etc/systemd/system/enza.service";
const BINARY: &str = "usr/local/bin/enza";
/// Variables for the service that only root reads, such as ENZA_API_SECRET.
pub(crate) const VARIABLES: &str = "/etc/enza.env";
/// The data folder is `data` in it.
pub(crate) const STATE: &str = "/var/lib/enza";

/// What to install and where.
pub(crate) struct Installation {
    /// Flags of `enza serve`.
    pub(crate) arguments: Vec<String>,
    /// The folder that is `/` on the machine: another one for an image that is being made.
    pub(crate) root: PathBuf,
}

/// What was done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) unit: PathBuf,
    /// Where a copy of this program went; `None`: the service runs it where it is.
    pub(crate) copied: Option<PathBuf>,
    /// Whether systemd was told.
    pub(crate) started: bool,
}

impl Installation {
    /// The unit's text.
    pub(crate) fn unit(&self) -> String {
        let arguments: String =
            self.arguments.iter().map(|argument| format!(" {}", quoted(argument))).collect();
        UNIT_TEXT
            .replace("{version}", env!("CARGO_PKG_VERSION"))
            .replace("{variables}", VARIABLES)
            .replace("{state}", STATE)
            .replace("{binary}", &format!("/{BINARY}"))
            .replace("{arguments}", &arguments)
    }

    /// Copies this program to its place, writes the unit, and has systemd start it where there is one.
    ///
    /// # Errors
    /// [`StartError::Install`].
    pub(crate) fn install(&self) -> Result<Done, StartError> {
        let (unit, binary) = (self.root.join(UNIT), self.root.join(BINARY));
        let copied = copy(&binary).map_err(|source| failed(&binary, source))?.then_some(binary);
        write(&unit, self.unit().as_bytes(), 0o644).map_err(|source| failed(&unit, source))?;
        let started = self.has_systemd();
        if started {
            systemctl(&["daemon-reload"])?;
            // Runs already: it is another program, or other settings, now.
            systemctl(&["enable", "enza.service"])?;
            systemctl(&["restart", "enza.service"])?;
        }
        Ok(Done { unit, copied, started })
    }

    /// Stops and removes the service. Data, variables and the program stay. `None`: there was none.
    ///
    /// # Errors
    /// [`StartError::Install`].
    pub(crate) fn uninstall(&self) -> Result<Option<Done>, StartError> {
        let unit = self.root.join(UNIT);
        if !unit.exists() {
            return Ok(None);
        }
        let started = self.has_systemd();
        if started {
            systemctl(&["disable", "--now", "enza.service"])?;
        }
        std::fs::remove_file(&unit).map_err(|source| failed(&unit, source))?;
        if started {
            systemctl(&["daemon-reload"])?;
        }
        Ok(Some(Done { unit, copied: None, started }))
    }

    fn has_systemd(&self) -> bool {
        self.root == Path::new("/") && Path::new("/run/systemd/system").is_dir()
    }
}

fn failed(path: &Path, source: io::Error) -> StartError {
    StartError::Install { what: path.display().to_string(), reason: source.to_string() }
}

/// True when there was something to copy: this program does not stand there already.
fn copy(binary: &Path) -> io::Result<bool> {
    let own = std::env::current_exe()?;
    if binary.canonicalize().is_ok_and(|there| own.canonicalize().is_ok_and(|own| own == there)) {
        return Ok(false);
    }
    write(binary, &std::fs::read(own)?, 0o755)?;
    Ok(true)
}

/// Whole or not at all, also over a program that runs.
fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let temporary = path.with_extension("new");
    std::fs::write(&temporary, content)?;
    #[cfg(unix)]
    std::fs::set_permissions(&temporary, std::os::unix::fs::PermissionsExt::from_mode(mode))?;
    #[cfg(not(unix))]
    let _ = mode;
    std::fs::rename(&temporary, path)
}

fn systemctl(arguments: &[&str]) -> Result<(), StartError> {
    let what = format!("systemctl {}", arguments.join(" "));
    let ended = Command::new("systemctl").args(arguments.iter().map(OsStr::new)).output();
    match ended {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let reason = said.lines().next().unwrap_or("it failed").to_owned();
            Err(StartError::Install { what, reason })
        }
        Err(error) => Err(StartError::Install { what, reason: error.to_string() }),
    }
}

/// Arguments that a unit can hold: a line break would begin another setting of the service, and a unit is UTF-8.
///
/// # Errors
/// [`StartError::NotForUnit`].
pub(crate) fn plain(arguments: Vec<OsString>) -> Result<Vec<String>, StartError> {
    arguments
        .into_iter()
        .map(|argument| match argument.into_string() {
            Ok(text) if !text.contains(char::is_control) => Ok(text),
            Ok(text) => Err(StartError::NotForUnit { value: format!("{text:?}") }),
            Err(argument) => Err(StartError::NotForUnit { value: format!("{argument:?}") }),
        })
        .collect()
}

/// As systemd reads it (systemd.service(5), "Command lines"): `%` and `$` stand for themselves.
fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@[]".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        return argument.to_owned();
    }
    let escaped = argument.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    format!("\"{escaped}\"")
}

/// `ProcSubset=pid` and `PrivateDevices` cost nothing: the service reads its own process alone. Netlink is how the machine's
/// addresses are found, a Unix socket how systemd is told.
const UNIT_TEXT: &str = "\
# Written by `enza install` (version {version}), and written again by the next one. Put changes of your own into
# /etc/systemd/system/enza.service.d/own.conf, variables such as ENZA_API_SECRET into {variables} (mode 0600).
[Unit]
Description=Enza, rooms for talking face to face
Wants=network-online.target
After=network-online.target

[Service]
Type=notify
ExecStart={binary} serve{arguments}
Environment=ENZA_DATA={state}/data
EnvironmentFile=-{variables}
Restart=always
RestartSec=1
# Wrong settings do not get better by trying again.
RestartPreventExitStatus=2
WatchdogSec=30
TimeoutStopSec=15
LimitNOFILE=65536
LimitCORE=0

# A user of its own, made by systemd, and one folder that it may write.
DynamicUser=yes
User=enza
StateDirectory=enza
StateDirectoryMode=0700
UMask=0077

# Ports below 1024, and no other right.
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
NoNewPrivileges=yes

ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProcSubset=pid
RemoveIPC=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_reach_the_service_as_they_were_given() {
        for (given, written) in [
            ("--port", "--port"),
            ("[::]:443", "[::]:443"),
            ("a b", "\"a b\""),
            ("50%$x\"\\", "\"50%%$$x\\\"\\\\\""),
            ("", "\"\""),
        ] {
            assert_eq!(quoted(given), written);
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_a_unit_cannot_hold_is_refused_and_shown_on_one_line() {
        use crate::catalogue::Language;
        use std::os::unix::ffi::OsStringExt as _;
        assert_eq!(plain(vec!["--data".into(), "/円 座".into()]).unwrap(), ["--data", "/円 座"]);
        for bad in [&b"/x\nExecStartPre=/bin/sh"[..], b"a\rb", b"a\tb", b"a\x1b[2J", b"/caf\xe9"] {
            let error = plain(vec!["--data".into(), OsString::from_vec(bad.to_vec())]).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            for sentence in [error.to_string(), Language::Japanese.start_error(&error)] {
                assert!(sentence.contains('\\') && !sentence.contains(char::is_control), "{sentence}");
            }
        }
    }

    #[test]
    fn it_is_put_into_a_folder_and_taken_out_again() {
        let folder = tempfile::tempdir().unwrap();
        let arguments = vec!["--port".to_owned(), "443".to_owned()];
        let installation = Installation { arguments, root: folder.path().to_owned() };
        let done = installation.install().unwrap();
        assert!(!done.started && done.copied.is_some_and(|binary| binary.ends_with(BINARY)));
        let unit = std::fs::read_to_string(&done.unit).unwrap();
        assert!(unit.contains("\nExecStart=/usr/local/bin/enza serve --port 443\n"), "{unit}");
        assert!(!unit.contains('{'), "{unit}");
        assert!(installation.uninstall().unwrap().is_some());
        assert!(!done.unit.exists() && folder.path().join(BINARY).exists());
        assert!(installation.uninstall().unwrap().is_none());
    }
}

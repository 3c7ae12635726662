//! Why the program cannot start, as situations an operator can act on. The sentences in Japanese stand in
//! [`crate::catalogue`].

use crate::operate::OperateError;
use std::net::SocketAddr;
use std::path::PathBuf;
use store::StoreError;

/// One reason not to start. `Display` is the English sentence.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{} has an unknown key \"{key}\"{}", file.display(), nearest.map_or_else(|| ".".to_owned(), |near| format!("; did you mean \"{near}\"?")))]
    UnknownKey { file: PathBuf, key: String, nearest: Option<&'static str> },
    #[error("The configuration file {} cannot be read: {reason}", file.display())]
    File { file: PathBuf, reason: String },
    #[error("{name} is \"{value}\", but it must be {expected}.")]
    Value { name: String, value: String, expected: &'static str },
    #[error("{one} and {other} go together: give both or neither.")]
    Together { one: &'static str, other: &'static str },
    #[error("{one} and {other} exclude each other.")]
    Conflict { one: &'static str, other: &'static str },
    #[error(
        "The API secret has {length} characters, but it needs at least 32: make one with `openssl rand -hex 32`."
    )]
    SecretShort { length: usize },
    #[error("The data folder {} cannot be used: {source}", path.display())]
    Data { path: PathBuf, source: std::io::Error },
    #[error("There is no Enza data in {}: check --data. A server makes it at its first start.", path.display())]
    NoData { path: PathBuf },
    #[error("{} is there already: choose another name, so that nothing is written over.", path.display())]
    Taken { path: PathBuf },
    #[error("The file {} cannot be used: {source}", path.display())]
    Copy { path: PathBuf, source: std::io::Error },
    #[error("{}", of_store(.0))]
    Store(#[from] StoreError),
    #[error("Port {port} is in use by another program: stop it or choose another number with --port.")]
    PortInUse { port: u16 },
    #[error(
        "A server runs with the data folder {}: stop it first, so that it does not write over what is restored.", path.display()
    )]
    Running { path: PathBuf },
    #[error("Another server runs with the data folder {}: stop it, or give this one its own with --data.", path.display())]
    FolderTaken { path: PathBuf },
    #[error("Listening on {address} failed: {source}")]
    Bind { address: SocketAddr, source: std::io::Error },
    #[error(
        "Port {port} needs a right that this user does not have: run it as a service (`enza install`), give the program the \
         right (`sudo setcap cap_net_bind_service=+ep`), or choose a number above 1023 with --port."
    )]
    PortForbidden { port: u16 },
    #[error("{what} failed: {reason}")]
    Install { what: String, reason: String },
    #[error(
        "Everybody on the machine can read a service's settings: instead of --api-secret write ENZA_API_SECRET=… into /etc/enza.env."
    )]
    SecretInUnit,
    #[error(
        "A service's settings cannot hold {value}: it has a line break or another control character, or is not UTF-8. Give \
         another value, or rename the file."
    )]
    NotForUnit { value: String },
    #[error("This computer has no network address to announce: give one with --announce.")]
    NoAddress,
    #[error("The certificate {} cannot be used: {reason}", path.display())]
    Certificate { path: PathBuf, reason: String },
    #[error("The operating system gave no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    #[error("The media plane cannot start: {0}")]
    Media(String),
    #[error("{0}")]
    Operate(#[from] OperateError),
}

/// A thing that is not there is no fault of the database.
fn of_store(error: &StoreError) -> String {
    match error {
        StoreError::RoomUnknown => {
            "There is no room with this id: `enza room list` shows them, `enza invite list` their links."
                .to_owned()
        }
        StoreError::InviteUnknown => {
            "There is no invite with this number: `enza invite list` shows them.".to_owned()
        }
        StoreError::Copy { path } => {
            format!("{} is no whole backup of Enza: choose another file.", path.display())
        }
        other => format!("The database cannot be used: {other}"),
    }
}

impl StartError {
    /// The process's exit code: 2 when the operator's settings are wrong, 1 when the machine refuses.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::UnknownKey { .. }
            | Self::File { .. }
            | Self::Value { .. }
            | Self::Together { .. }
            | Self::Conflict { .. }
            | Self::SecretShort { .. }
            | Self::SecretInUnit
            | Self::NotForUnit { .. } => 2,
            Self::Operate(error) => error.exit_code(),
            _ => 1,
        }
    }
}

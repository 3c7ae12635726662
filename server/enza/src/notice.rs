//! What the running program tells its operator without being asked. The sentences stand in [`crate::catalogue`].

use std::time::Duration;
use tokio::sync::mpsc;

pub use crate::tls::acme::{Trouble, What};

/// Notices that wait for the terminal. More are lost: the log has them too.
const WAITING: usize = 16;

/// One of them.
#[derive(Clone, Debug)]
pub enum Notice {
    /// There is no certificate yet, and this authority is asked for one.
    Asking { domains: Vec<String>, directory: String },
    /// A certificate came.
    Certificate { domains: Vec<String>, days: u64 },
    /// None came; `days` is how long the present one holds.
    NoCertificate { trouble: Trouble, again: Duration, days: Option<u64> },
}

/// Where notices are put.
#[derive(Clone)]
pub(crate) struct Notices(mpsc::Sender<Notice>);

impl Notices {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Notice>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self(sender), receiver)
    }

    pub(crate) fn tell(&self, notice: Notice) {
        let _ = self.0.try_send(notice);
    }
}

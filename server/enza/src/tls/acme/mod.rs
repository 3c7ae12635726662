//! A certificate from an authority that speaks ACME (RFC 8555), proven by TLS-ALPN-01 (RFC 8737) on the port that is served
//! anyway. Owns when to ask: at the start if none is kept, and again when two thirds of its time have passed.
//!
//! `order.rs` is one conversation with the authority over `directory.rs`; `trouble.rs` is what can go wrong in it;
//! `folder.rs` is what is kept on disk.

mod directory;
mod folder;
mod order;
mod trouble;

use super::{Shown, validity};
use crate::config::Acme;
use crate::notice::{Notice, Notices};
use crate::server::raised;
use crate::start_error::StartError;
use folder::Folder;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::rustls::sign::CertifiedKey;

pub(crate) use directory::check_root;
pub(crate) use folder::certificate_file;
pub use trouble::{Trouble, What};

/// What a TLS handshake calls the authority's question (RFC 8737 section 6.2).
pub(crate) const PROOF: &[u8] = b"acme-tls/1";

/// What is shown to an authority that asks for a proof, by domain.
pub(super) type Proofs = HashMap<String, Arc<CertifiedKey>>;

/// Waits after a failure; the last one is repeated. Shorter: Let's Encrypt stops listening (it takes five failures an hour
/// and name); longer: a mistake in the DNS that was corrected is seen late.
const RETRY_AFTER: [Duration; 4] = [
    Duration::from_secs(20),
    Duration::from_secs(5 * 60),
    Duration::from_secs(20 * 60),
    Duration::from_secs(60 * 60),
];

/// An authority that says "too many" is not asked sooner.
const RATE_LIMITED: Duration = Duration::from_secs(60 * 60);

/// Shortest time from a certificate to the next order, whatever the certificate says of its own time. Shorter: one that
/// cannot be read, or a wrong clock, uses up what the authority gives in a week; longer: one that is meant to last for
/// less than this is renewed late.
const BETWEEN: Duration = Duration::from_secs(60 * 60);

/// Longest for one order. Higher: an authority that hangs is noticed later; lower: a slow one never gets through.
const ORDER_PATIENCE: Duration = Duration::from_secs(180);

/// Longest sleep before the clock is looked at again: it may be set, and machines are suspended.
const NAP: Duration = Duration::from_secs(15 * 60);

/// Keeps one certificate for all domains.
pub(super) struct Keeper {
    acme: Acme,
    folder: Folder,
    until: Option<SystemTime>,
    renew: Option<SystemTime>,
    /// When the authority last gave one.
    given: Option<Instant>,
}

impl Keeper {
    /// And what is kept from before, if it still is for the same domains.
    ///
    /// # Errors
    /// [`StartError::Data`] for a folder that cannot be made, [`StartError::Certificate`] for an unreadable root.
    pub(super) fn open(acme: &Acme, data: &Path) -> Result<(Self, Shown), StartError> {
        let folder = Folder::prepare(data, acme)?;
        check_root(acme)?;
        let mut keeper = Self { acme: acme.clone(), folder, until: None, renew: None, given: None };
        let kept = keeper.folder.certificate().map(|certified| keeper.took(certified));
        Ok((keeper, kept))
    }

    /// Renews the certificate until the program stops.
    pub(super) async fn keep(
        mut self,
        shown: &watch::Sender<Shown>,
        proofs: &watch::Sender<Proofs>,
        notices: Notices,
        mut stopping: watch::Receiver<bool>,
    ) {
        if self.renew.is_none() {
            notices.tell(Notice::Asking {
                domains: self.acme.domains.clone(),
                directory: self.acme.directory.clone(),
            });
        }
        let mut failures = 0;
        loop {
            let working = async {
                self.wait_for_renewal().await;
                let ordered =
                    timeout(ORDER_PATIENCE, order::certificate(&self.acme, &self.folder, proofs)).await;
                proofs.send_replace(Proofs::new());
                match ordered.unwrap_or_else(|_| Err(What::Late.into())) {
                    Ok(certified) => {
                        failures = 0;
                        self.given = Some(Instant::now());
                        shown.send_replace(Some(self.took(certified)));
                        tracing::info!(days = self.days_left(), "the authority gave a certificate");
                        notices.tell(Notice::Certificate {
                            domains: self.acme.domains.clone(),
                            days: self.days_left().unwrap_or_default(),
                        });
                    }
                    Err(trouble) => {
                        let again = wait_after(failures, &trouble);
                        failures += 1;
                        // What the authority says may name addresses: the terminal shows it, the log does not.
                        tracing::warn!(what = ?trouble.what, again = again.as_secs(), "the authority gave no certificate");
                        notices.tell(Notice::NoCertificate {
                            trouble,
                            again,
                            days: self.days_left().filter(|days| *days > 0),
                        });
                        sleep(again).await;
                    }
                }
            };
            tokio::select! {
                () = working => {}
                () = raised(&mut stopping) => return,
            }
        }
    }

    async fn wait_for_renewal(&self) {
        loop {
            let left = wait_before(self.renew, SystemTime::now(), self.given.map(|at| at.elapsed()));
            if left.is_zero() {
                return;
            }
            sleep(left.min(NAP)).await;
        }
    }

    fn took(&mut self, certified: CertifiedKey) -> Arc<CertifiedKey> {
        let validity = certified.cert.first().and_then(|der| validity::of(der));
        self.until = validity.map(|validity| validity.until);
        self.renew = validity.map(|validity| validity.renewal());
        Arc::new(certified)
    }

    fn days_left(&self) -> Option<u64> {
        let left = self.until?.duration_since(SystemTime::now()).unwrap_or_default();
        Some(left.as_secs() / 86_400)
    }
}

/// How long to wait before the next order: until it is time to renew, and a while since the last certificate was given.
fn wait_before(renew: Option<SystemTime>, now: SystemTime, since_given: Option<Duration>) -> Duration {
    let until_renewal = renew.and_then(|at| at.duration_since(now).ok()).unwrap_or_default();
    let rest = since_given.map_or(Duration::ZERO, |since| BETWEEN.saturating_sub(since));
    until_renewal.max(rest)
}

/// How long to wait after this failure, with so many before it.
fn wait_after(failures: usize, trouble: &Trouble) -> Duration {
    let wait = RETRY_AFTER.get(failures).or(RETRY_AFTER.last()).copied().unwrap_or_default();
    if trouble.what == What::RateLimited { wait.max(RATE_LIMITED) } else { wait }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_certificate_the_next_order_is_at_least_an_hour_away() {
        let (now, hour) = (SystemTime::now(), Duration::from_secs(3600));
        let passed = now - Duration::from_secs(86_400);
        for renew in [None, Some(passed), Some(now)] {
            assert_eq!(wait_before(renew, now, Some(Duration::ZERO)), hour);
            assert_eq!(wait_before(renew, now, Some(hour / 2)), hour / 2);
            assert_eq!(wait_before(renew, now, Some(hour)), Duration::ZERO);
            assert_eq!(wait_before(renew, now, None), Duration::ZERO, "at the start it is at once");
        }
        assert_eq!(wait_before(Some(now + 2 * hour), now, Some(hour)), 2 * hour);
    }

    #[test]
    fn an_authority_hears_of_the_same_mistake_less_than_five_times_an_hour() {
        let trouble = What::Unproven.into();
        let mut at = Duration::ZERO;
        let tries = (0..10).take_while(|failures| {
            at += wait_after(*failures, &trouble);
            at < Duration::from_secs(3600)
        });
        // The first try is at once.
        assert!(tries.count() + 1 < 5);
        assert!(wait_after(0, &What::RateLimited.into()) >= Duration::from_secs(3600));
    }
}

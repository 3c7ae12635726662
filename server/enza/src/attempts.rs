//! How often an address may present an invite that does not exist, or a wrong passphrase; a second table counts the
//! rooms that an address makes. Guessing 144 random bits is hopeless, guessing a passphrase is not; and this keeps
//! the database from working for somebody who tries.
//!
//! Only what is wrong counts, so a whole hospital behind one address can enter at once. One task owns a table.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Failures an address may have at once, and how long one of them counts. Higher: more guesses; lower: people
/// who mistype a link wait.
const FAILURES: u32 = 20;
const FORGIVEN_AFTER: Duration = Duration::from_secs(10);

/// Addresses remembered. When they are used up, the oldest failure is forgotten first. Higher: more memory;
/// lower: somebody with many addresses is forgotten sooner.
const ADDRESSES: usize = 4096;

/// Questions that wait for the task.
const QUESTIONS: usize = 256;

enum Question {
    MayTry { address: IpAddr, reply: oneshot::Sender<bool> },
    Failed { address: IpAddr },
    Forgive { address: IpAddr },
}

/// Asks the table. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Attempts {
    questions: mpsc::Sender<Question>,
}

impl Attempts {
    pub(crate) fn start() -> Self {
        let (questions, mut inbox) = mpsc::channel(QUESTIONS);
        tokio::spawn(async move {
            let mut table = Table::default();
            while let Some(question) = inbox.recv().await {
                match question {
                    Question::MayTry { address, reply } => {
                        let _ = reply.send(table.may_try(Instant::now(), address));
                    }
                    Question::Failed { address } => table.failed(Instant::now(), address),
                    Question::Forgive { address } => table.forgive(address),
                }
            }
        });
        Self { questions }
    }

    pub(crate) async fn may_try(&self, address: IpAddr) -> bool {
        let (reply, answer) = oneshot::channel();
        self.questions.send(Question::MayTry { address, reply }).await.is_ok()
            && answer.await.unwrap_or(false)
    }

    /// Counts one more.
    pub(crate) async fn failed(&self, address: IpAddr) {
        let _ = self.questions.send(Question::Failed { address }).await;
    }

    /// Takes one back that was counted before it was known.
    pub(crate) async fn forgive(&self, address: IpAddr) {
        let _ = self.questions.send(Question::Forgive { address }).await;
    }
}

/// Failures per address, each forgiven after a while.
#[derive(Default)]
struct Table {
    /// When the last failure is forgiven: each pushes it on by [`FORGIVEN_AFTER`].
    forgiven: HashMap<IpAddr, Instant>,
}

impl Table {
    fn may_try(&self, now: Instant, address: IpAddr) -> bool {
        self.forgiven.get(&network(address)).is_none_or(|at| {
            at.saturating_duration_since(now) < FORGIVEN_AFTER * (FAILURES - 1) + FORGIVEN_AFTER / 2
        })
    }

    fn failed(&mut self, now: Instant, address: IpAddr) {
        let address = network(address);
        if self.forgiven.len() >= ADDRESSES && !self.forgiven.contains_key(&address) {
            self.forgiven.retain(|_, at| *at > now);
            if self.forgiven.len() >= ADDRESSES {
                let oldest = self.forgiven.iter().min_by_key(|(_, at)| **at).map(|(address, _)| *address);
                if let Some(oldest) = oldest {
                    self.forgiven.remove(&oldest);
                }
            }
        }
        let at = self.forgiven.entry(address).or_insert(now);
        *at = (*at).max(now) + FORGIVEN_AFTER;
    }

    fn forgive(&mut self, address: IpAddr) {
        if let Some(at) = self.forgiven.get_mut(&network(address)) {
            *at = at.checked_sub(FORGIVEN_AFTER).unwrap_or(*at);
        }
    }
}

/// One household has a whole IPv6 /64.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_run_out_and_are_forgiven() {
        let now = Instant::now();
        let (one, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let mut table = Table::default();
        for _ in 0..FAILURES {
            assert!(table.may_try(now, one));
            table.failed(now, one);
        }
        assert!(!table.may_try(now, one));
        assert!(table.may_try(now, other));
        assert!(table.may_try(now + FORGIVEN_AFTER, one));
    }

    #[test]
    fn what_was_right_is_taken_back() {
        let now = Instant::now();
        let address = "192.0.2.1".parse().unwrap();
        let mut table = Table::default();
        for _ in 0..10 * FAILURES {
            assert!(table.may_try(now, address));
            table.failed(now, address);
            table.forgive(address);
        }
        table.forgive("192.0.2.2".parse().unwrap());
        for _ in 0..FAILURES {
            assert!(table.may_try(now, address));
            table.failed(now, address);
        }
        assert!(!table.may_try(now, address));
    }

    #[test]
    fn a_household_has_one_ipv6_prefix() {
        let now = Instant::now();
        let mut table = Table::default();
        for host in 0..u64::from(FAILURES) {
            table.failed(now, IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8 << 96) + u128::from(host))));
        }
        assert!(!table.may_try(now, "2001:db8::ffff".parse().unwrap()));
        assert!(table.may_try(now, "2001:db8:0:1::1".parse().unwrap()));
    }

    #[test]
    fn the_table_is_bounded() {
        let now = Instant::now();
        let mut table = Table::default();
        for host in 0..10_000_u32 {
            table.failed(now, IpAddr::V4(host.into()));
        }
        assert!(table.forgiven.len() <= ADDRESSES);
    }
}

//! At which addresses people find this machine by the names of its certificate: a rented server often has a private address, a
//! container always has one, and then the operator's own name is the one place that says the other. Asks the system's resolver.

use futures_util::future::join_all;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How often the names are looked up while none leads anywhere, and how long it waits in between. Higher: a start without name
/// server takes longer; lower: one that comes up a little after this machine counts as absent.
const TRIES: u32 = 3;
const BETWEEN: Duration = Duration::from_secs(1);

/// How long a look-up may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// The addresses of `domains` that others can reach. What went wrong is said in the log; the server starts all the same.
pub(crate) async fn named(domains: &[String]) -> Vec<IpAddr> {
    let found = ask(domains, |domain| async move {
        Ok(tokio::net::lookup_host((domain, 0)).await?.map(|address| address.ip()).collect())
    })
    .await;
    if found.is_empty() {
        tracing::warn!(
            "the domain leads to no address yet, so only this machine's own are announced; where it has no public one itself, \
             set the domain's A record and start the server again, or give --announce"
        );
    }
    found
}

async fn ask<F>(domains: &[String], look_up: impl Fn(String) -> F) -> Vec<IpAddr>
where
    F: Future<Output = io::Result<Vec<IpAddr>>>,
{
    for again in (0..TRIES).rev() {
        let answers = join_all(domains.iter().map(|domain| timeout(PATIENCE, look_up(domain.clone())))).await;
        let mut found = Vec::new();
        for ip in answers.into_iter().flatten().flatten().flatten() {
            let ip = ip.to_canonical();
            if leads_here_from_elsewhere(ip) && !found.contains(&ip) {
                found.push(ip);
            }
        }
        if !found.is_empty() {
            return found;
        }
        if again > 0 {
            sleep(BETWEEN).await;
        }
    }
    Vec::new()
}

/// Not what a machine calls itself: many have their own name in `/etc/hosts`, with an address such as 127.0.1.1.
fn leads_here_from_elsewhere(ip: IpAddr) -> bool {
    !ip.is_loopback() && !ip.is_unspecified() && !ip.is_multicast() && !super::address::is_link_local(ip)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn domains(list: &[&str]) -> Vec<String> {
        list.iter().map(|&name| name.to_owned()).collect()
    }

    fn ips(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    #[tokio::test]
    async fn every_name_counts_and_each_address_once() {
        let names = domains(&["a.example", "b.example", "gone.example"]);
        let found = ask(&names, |domain| async move {
            match domain.as_str() {
                "a.example" => Ok(ips(&["203.0.113.5", "2001:db8::5"])),
                "b.example" => Ok(ips(&["::ffff:203.0.113.5", "203.0.113.6"])),
                _ => Err(io::ErrorKind::NotFound.into()),
            }
        });
        assert_eq!(found.await, ips(&["203.0.113.5", "2001:db8::5", "203.0.113.6"]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_only_the_machine_itself_uses_is_no_address() {
        let own = |_| async { Ok(ips(&["127.0.1.1", "::1", "fe80::1"])) };
        assert_eq!(ask(&domains(&["a.example"]), own).await, Vec::<IpAddr>::new());
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_server_that_comes_late_is_waited_for_and_silence_ends() {
        let asked = Cell::new(0);
        let look_up = |_| {
            asked.set(asked.get() + 1);
            let now = asked.get();
            async move {
                if now < TRIES {
                    std::future::pending::<()>().await;
                }
                Ok(ips(&["203.0.113.5"]))
            }
        };
        assert_eq!(ask(&domains(&["a.example"]), look_up).await, ips(&["203.0.113.5"]));
        assert_eq!(asked.get(), TRIES);
        let silence = |_| std::future::pending();
        assert_eq!(ask(&domains(&["a.example"]), silence).await, Vec::<IpAddr>::new());
    }
}

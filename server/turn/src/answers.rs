//! How often strangers are answered over UDP, where anybody can write anybody's address on a datagram. Owns that allowance. An
//! answer is at most five times as long as its question, so all of them together stay below 3 Mbit/s, and what one address is
//! sent below 30 kbit/s.

use crate::quota::network;
use ring::hmac;
use std::net::IpAddr;
use std::time::Instant;

/// Answers per second to all strangers, and as many at once. Higher: more that can be aimed at others; lower: during a
/// flood fewer find the relay.
const ALL: f64 = 2000.0;

/// Answers per second to the addresses of one bucket, and at once. Higher and lower: as above.
const RATE: f64 = 20.0;
const BURST: f64 = 100.0;

/// Addresses share buckets. Higher: memory; lower: a flood under one address is felt by more others.
const BUCKETS: usize = 1024;

#[derive(Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn refill(&mut self, now: Instant, rate: f64, burst: f64) {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + since * rate).min(burst);
        self.at = now;
    }
}

/// See the module.
pub(crate) struct Answers {
    all: Bucket,
    hosts: Vec<Bucket>,
    /// Which addresses share a bucket is not to be guessed.
    key: hmac::Key,
}

impl Answers {
    pub(crate) fn new(now: Instant, seed: u64) -> Self {
        Self {
            all: Bucket { left: ALL, at: now },
            hosts: vec![Bucket { left: BURST, at: now }; BUCKETS],
            key: hmac::Key::new(hmac::HMAC_SHA256, &seed.to_be_bytes()),
        }
    }

    /// Whether a stranger at `host` may be answered once more.
    pub(crate) fn take(&mut self, now: Instant, host: IpAddr) -> bool {
        let at = self.place(host);
        let Some(bucket) = self.hosts.get_mut(at) else { return false };
        bucket.refill(now, RATE, BURST);
        self.all.refill(now, ALL, ALL);
        if bucket.left < 1.0 || self.all.left < 1.0 {
            return false;
        }
        bucket.left -= 1.0;
        self.all.left -= 1.0;
        true
    }

    /// The bucket of an address. A hash for tables would not do: what collides under one seed does under each.
    fn place(&self, host: IpAddr) -> usize {
        let tag = match network(host) {
            IpAddr::V4(ip) => hmac::sign(&self.key, &ip.octets()),
            IpAddr::V6(ip) => hmac::sign(&self.key, &ip.octets()),
        };
        let first = tag.as_ref().first_chunk().copied().map(u32::from_be_bytes).unwrap_or_default();
        usize::try_from(first).ok().and_then(|first| first.checked_rem(BUCKETS)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    #[test]
    fn one_address_runs_out_alone_and_all_of_them_together() {
        let begun = crate::start();
        let mut answers = Answers::new(begun, 7);
        let host: IpAddr = Ipv4Addr::new(192, 0, 2, 1).into();
        assert_eq!((0..1000).filter(|_| answers.take(begun, host)).count(), BURST as usize);
        let later = begun + Duration::from_secs(2);
        assert_eq!((0..1000).filter(|_| answers.take(later, host)).count(), 2 * RATE as usize);
        let all = (0..100_000_u32).filter(|n| answers.take(later, Ipv4Addr::from_bits(*n).into())).count();
        assert_eq!(all + 2 * RATE as usize, ALL as usize);
    }

    #[test]
    fn which_addresses_share_a_bucket_is_another_secret_each_time() {
        let [one, other] = [1, 2].map(|seed| Answers::new(crate::start(), seed));
        let hosts = || (0..1 << 16).map(|n| IpAddr::from(Ipv4Addr::from_bits(n)));
        let place = one.place(hosts().next().unwrap());
        let together: Vec<IpAddr> = hosts().filter(|host| one.place(*host) == place).collect();
        assert!(together.len() > 30, "{} of 64 expected", together.len());
        let places: std::collections::BTreeSet<usize> =
            together.iter().map(|host| other.place(*host)).collect();
        assert!(places.len() * 3 > together.len() * 2, "{} stay together", together.len());
    }
}

//! From when until when a certificate holds (RFC 5280 section 4.1.2.5). Reads nothing else of it; whom it is for reads
//! `names.rs`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use time::{Date, Month, PrimitiveDateTime, Time};

pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const VERSION: u8 = 0xa0;
pub(super) const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) from: SystemTime,
    pub(crate) until: SystemTime,
}

impl Validity {
    /// Whole days that are left; 0 for a certificate that has run out.
    pub(crate) fn days_left(&self) -> u64 {
        self.until.duration_since(SystemTime::now()).unwrap_or_default().as_secs() / 86_400
    }

    /// When one that is got by itself is asked for again: two thirds of its time have passed.
    pub(crate) fn renewal(&self) -> SystemTime {
        self.from + self.until.duration_since(self.from).unwrap_or_default() * 2 / 3
    }
}

/// `None` for what is no certificate.
pub(crate) fn of(certificate: &[u8]) -> Option<Validity> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (mut rest, _) = element(certificate, SEQUENCE)?;
    if let Some((_, after)) = element(rest, VERSION) {
        rest = after;
    }
    // Serial number, signature algorithm, issuer.
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        (_, rest) = element(rest, tag)?;
    }
    let (validity, _) = element(rest, SEQUENCE)?;
    let (from, rest) = moment(validity)?;
    let (until, _) = moment(rest)?;
    Some(Validity { from, until })
}

/// The content of the first element, which has this tag, and what stands behind it (X.690 section 8.1, DER).
pub(super) fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match usize::from(*first) {
        short @ 0..=0x7f => (short, rest),
        long => {
            let (digits, rest) = rest.split_at_checked(long & 0x7f)?;
            // Three bytes are more than any certificate has.
            let length = (digits.len() <= 3)
                .then(|| digits.iter().fold(0, |sum, digit| (sum << 8) | usize::from(*digit)))?;
            (length, rest)
        }
    };
    (*found == tag).then(|| rest.split_at_checked(length)).flatten()
}

fn moment(bytes: &[u8]) -> Option<(SystemTime, &[u8])> {
    let short = element(bytes, UTC_TIME);
    let (text, rest) = short.or_else(|| element(bytes, GENERALIZED_TIME))?;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, text) = text.split_at_checked(if short.is_some() { 2 } else { 4 })?;
    let year = match year.parse().ok()? {
        year if short.is_none() => year,
        year @ ..50 => 2000 + year,
        year => 1900 + year,
    };
    let part = |at: usize| text.get(at..at + 2)?.parse::<u8>().ok();
    let date = Date::from_calendar_date(year, Month::try_from(part(0)?).ok()?, part(2)?).ok()?;
    let time = Time::from_hms(part(4)?, part(6)?, part(8)?).ok()?;
    let seconds = PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp();
    Some((UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};
    use time::OffsetDateTime;

    fn made(from: i64, until: i64) -> Vec<u8> {
        let mut params = CertificateParams::new(["circle.example".to_owned()]).unwrap();
        params.not_before = OffsetDateTime::from_unix_timestamp(from).unwrap();
        params.not_after = OffsetDateTime::from_unix_timestamp(until).unwrap();
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn both_ways_to_write_a_moment_are_read() {
        // 2026 is written with two digits, 2060 with four.
        let (from, until) = (1_790_000_000, 2_850_000_000);
        let expected = Validity {
            from: UNIX_EPOCH + Duration::from_secs(from),
            until: UNIX_EPOCH + Duration::from_secs(until),
        };
        assert_eq!(of(&made(from as i64, until as i64)), Some(expected));
    }

    #[test]
    fn no_cut_or_changed_certificate_is_trusted_to_be_whole() {
        let whole = made(1_790_000_000, 1_800_000_000);
        for length in 0..whole.len() {
            of(&whole[..length]);
            let mut changed = whole.clone();
            changed[length] ^= 0x81;
            of(&changed);
        }
        assert_eq!(of(&whole[..40]), None);
        assert_eq!(of(b""), None);
    }
}

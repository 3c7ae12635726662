//! Who may use the relay: whoever was given a name with an end, and the password that belongs to it (RFC 8489 section 9.2, and
//! the names of draft-uberti-behave-turn-rest). Nothing is kept: both follow from one secret. Owns that secret; never
//! knows who was given what.

use crate::relay::{Client, Now, Transport};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use md5::{Digest as _, Md5};
use ring::hmac;
use std::fmt;

/// What clients are told the passwords are for.
pub(crate) const REALM: &str = "enza";

/// Bytes of a name that stand for a person.
const PERSON: usize = 12;

/// Longest name that is looked at; ours have 27 bytes.
const NAME_MAX: usize = 64;

/// A nonce is refused when it is older than this, in seconds. Higher: a recorded request can be sent again, from the same
/// address, for longer; lower: clients ask anew more often.
const NONCE_LIFETIME: u64 = 3600;

/// What a client is told, as in LiveKit's `ICEServer`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    pub username: String,
    pub password: String,
}

impl fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Credential(…)")
    }
}

/// What all names, passwords and nonces follow from. Cheap to clone; `Debug` does not show it.
#[derive(Clone)]
pub struct Secret {
    passwords: hmac::Key,
    persons: hmac::Key,
    nonces: hmac::Key,
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

impl Secret {
    /// From a key that is for something else: what is derived tells nothing of it.
    #[must_use]
    pub fn derive(from: &[u8]) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, from);
        let key = |algorithm, label: &[u8]| hmac::Key::new(algorithm, hmac::sign(&root, label).as_ref());
        Self {
            passwords: key(hmac::HMAC_SHA256, b"enza turn passwords"),
            persons: key(hmac::HMAC_SHA256, b"enza turn persons"),
            nonces: key(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"enza turn nonces"),
        }
    }

    /// A name that is let in until `expires` (seconds since 1970), with its password. It says who `person` is to nobody, and
    /// is counted as theirs however often they ask.
    #[must_use]
    pub fn issue(&self, expires: u64, person: &[u8]) -> Credential {
        let tag = hmac::sign(&self.persons, person);
        let tag = tag.as_ref().get(..PERSON).unwrap_or_default();
        let username = format!("{expires}:{}", URL_SAFE_NO_PAD.encode(tag));
        let password = self.password(&username);
        Credential { username, password }
    }

    /// Until when a name is let in; `None` when it is none of ours by its form.
    pub(crate) fn expiry(name: &str) -> Option<u64> {
        if name.len() > NAME_MAX {
            return None;
        }
        name.split_once(':')?.0.parse().ok()
    }

    /// Whose a name is: what two of them have in common.
    pub(crate) fn person(name: &str) -> &str {
        name.split_once(':').map_or(name, |(_, person)| person)
    }

    /// What requests under this name are signed with.
    pub(crate) fn key(&self, name: &str) -> hmac::Key {
        long_term_key(name, REALM, &self.password(name))
    }

    fn password(&self, name: &str) -> String {
        STANDARD_NO_PAD.encode(hmac::sign(&self.passwords, name.as_bytes()))
    }

    /// What a client must repeat with each request: when it was made, and a signature over that and its address.
    pub(crate) fn nonce(&self, now: Now, client: &Client) -> String {
        let made = now.unix.to_be_bytes();
        let tag = hmac::sign(&self.nonces, &nonce_message(made, client));
        URL_SAFE_NO_PAD.encode([&made[..], tag.as_ref()].concat())
    }

    pub(crate) fn is_fresh(&self, now: Now, client: &Client, nonce: &[u8]) -> bool {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(nonce) else { return false };
        let Some((made, tag)) = bytes.split_first_chunk::<8>() else { return false };
        let age = now.unix.checked_sub(u64::from_be_bytes(*made));
        age.is_some_and(|age| age <= NONCE_LIFETIME)
            && hmac::verify(&self.nonces, &nonce_message(*made, client), tag).is_ok()
    }
}

fn nonce_message(made: [u8; 8], client: &Client) -> Vec<u8> {
    let mut message = made.to_vec();
    message.extend_from_slice(&client.address.port().to_be_bytes());
    match client.address.ip() {
        std::net::IpAddr::V4(ip) => message.extend_from_slice(&ip.octets()),
        std::net::IpAddr::V6(ip) => message.extend_from_slice(&ip.octets()),
    }
    if let Transport::Stream(number) = client.transport {
        message.extend_from_slice(&number.to_be_bytes());
    }
    message
}

/// RFC 8489 section 9.2.2: MD5 is what browsers speak, and it hides nothing here, since the password has 256 random bits.
pub(crate) fn long_term_key(name: &str, realm: &str, password: &str) -> hmac::Key {
    let mut digest = Md5::new();
    for part in [name, ":", realm, ":", password] {
        digest.update(part.as_bytes());
    }
    hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &digest.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(port: u16) -> Client {
        Client { address: ([192, 0, 2, 1], port).into(), transport: Transport::Datagrams }
    }

    #[test]
    fn a_name_says_its_end_and_has_one_password() {
        let secret = Secret::derive(b"the server's key");
        let credential = secret.issue(1_800_000_000, b"anna");
        assert_eq!(Secret::expiry(&credential.username), Some(1_800_000_000));
        assert_eq!(credential, Secret::derive(b"the server's key").issue(1_800_000_000, b"anna"));
        assert_ne!(credential.password, Secret::derive(b"another").issue(1_800_000_000, b"anna").password);
        assert_ne!(credential.password, secret.issue(1_800_000_001, b"anna").password);
        let again = secret.issue(1_800_000_001, b"anna").username;
        assert_eq!(Secret::person(&credential.username), Secret::person(&again));
        let other = secret.issue(1_800_000_000, b"ben").username;
        assert_ne!(Secret::person(&credential.username), Secret::person(&other));
        for odd in ["", "nobody", "later:x", "-5:x", &"9".repeat(80)] {
            assert_eq!(Secret::expiry(odd), None, "{odd}");
        }
        assert!(!format!("{secret:?} {credential:?}").contains(&credential.password));
    }

    #[test]
    fn a_nonce_is_one_client_s_and_grows_old() {
        let secret = Secret::derive(b"the server's key");
        let now = Now { instant: crate::start(), unix: 1_000_000 };
        let nonce = secret.nonce(now, &client(5000));
        let later = |seconds| Now { unix: now.unix + seconds, ..now };
        assert!(secret.is_fresh(later(NONCE_LIFETIME), &client(5000), nonce.as_bytes()));
        assert!(!secret.is_fresh(later(NONCE_LIFETIME + 1), &client(5000), nonce.as_bytes()));
        assert!(!secret.is_fresh(now, &client(5001), nonce.as_bytes()));
        let stream = Client { transport: Transport::Stream(3), ..client(5000) };
        assert!(!secret.is_fresh(now, &stream, nonce.as_bytes()));
        assert!(!secret.is_fresh(Now { unix: now.unix - 1, ..now }, &client(5000), nonce.as_bytes()));
        for odd in [&b""[..], b"AAAA", b"\xff\xfe"] {
            assert!(!secret.is_fresh(now, &client(5000), odd));
        }
    }
}

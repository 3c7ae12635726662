//! For which names and addresses a certificate is (RFC 5280 section 4.2.1.6). Reads nothing else of it.

use super::validity::{INTEGER, SEQUENCE, VERSION, element};
use std::net::IpAddr;

const EXTENSIONS: u8 = 0xa3;
const BOOLEAN: u8 = 0x01;
const OCTETS: u8 = 0x04;
const OBJECT: u8 = 0x06;
const DNS_NAME: u8 = 0x82;
const ADDRESS: u8 = 0x87;

/// `subjectAltName`, 2.5.29.17.
const ALTERNATIVES: [u8; 3] = [0x55, 0x1d, 0x11];

/// More are not told. Higher: a longer answer for a certificate that nobody has.
const MOST: usize = 32;

/// The names in their order; empty for what is no certificate.
pub(super) fn of(certificate: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = alternatives(certificate).unwrap_or_default();
    while let Some(tag) = rest.first().copied().filter(|_| names.len() < MOST) {
        let Some((content, after)) = element(rest, tag) else { break };
        names.extend(name(tag, content));
        rest = after;
    }
    names
}

fn alternatives(certificate: &[u8]) -> Option<&[u8]> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (mut rest, _) = element(certificate, SEQUENCE)?;
    if let Some((_, after)) = element(rest, VERSION) {
        rest = after;
    }
    // Serial number, signature algorithm, issuer, validity, subject, key.
    for tag in [INTEGER, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE] {
        (_, rest) = element(rest, tag)?;
    }
    let (extensions, _) = element(rest, EXTENSIONS)?;
    let (mut extensions, _) = element(extensions, SEQUENCE)?;
    while let Some((extension, after)) = element(extensions, SEQUENCE) {
        let (object, value) = element(extension, OBJECT)?;
        if object == ALTERNATIVES {
            let value = element(value, BOOLEAN).map_or(value, |(_critical, value)| value);
            let (value, _) = element(value, OCTETS)?;
            return Some(element(value, SEQUENCE)?.0);
        }
        extensions = after;
    }
    None
}

fn name(tag: u8, content: &[u8]) -> Option<String> {
    match tag {
        DNS_NAME => std::str::from_utf8(content).ok().map(str::to_owned),
        ADDRESS => match content.len() {
            4 => Some(IpAddr::from(<[u8; 4]>::try_from(content).ok()?).to_string()),
            16 => Some(IpAddr::from(<[u8; 16]>::try_from(content).ok()?).to_string()),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};

    fn made(names: &[&str]) -> Vec<u8> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        CertificateParams::new(names)
            .unwrap()
            .self_signed(&KeyPair::generate().unwrap())
            .unwrap()
            .der()
            .to_vec()
    }

    #[test]
    fn names_and_addresses_are_read_in_their_order() {
        let names = ["circle.example", "192.0.2.7", "2001:db8::1", "*.example"];
        assert_eq!(of(&made(&names)), names);
        assert!(of(&made(&[])).is_empty());
    }

    #[test]
    fn no_cut_or_changed_certificate_is_trusted_to_be_whole() {
        let whole = made(&["circle.example", "192.0.2.7"]);
        for length in 0..whole.len() {
            of(&whole[..length]);
            let mut changed = whole.clone();
            changed[length] ^= 0x81;
            of(&changed);
        }
    }
}

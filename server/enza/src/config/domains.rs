//! Domains for which this server gets its own certificate, and from whom.

use crate::start_error::StartError;
use std::path::PathBuf;

/// Let's Encrypt.
const DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// Names in one certificate. Higher: each of them must be proven at every renewal.
const DOMAINS_MAX: usize = 16;

/// Bytes of a name (RFC 1035 section 2.3.4).
const NAME_MAX: usize = 253;
const LABEL_MAX: usize = 63;

/// How certificates are got by ACME (RFC 8555).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme {
    /// One or more, in lower case; links carry the first.
    pub domains: Vec<String>,
    /// The authority's directory, an https URL.
    pub directory: String,
    /// `mailto:` URLs.
    pub contacts: Vec<String>,
    /// PEM; vouches for the directory instead of the public authorities.
    pub root: Option<PathBuf>,
}

impl Acme {
    /// # Errors
    /// [`StartError::Value`].
    pub(super) fn new(
        domains: &[String],
        directory: Option<String>,
        contacts: &[String],
        root: Option<PathBuf>,
    ) -> Result<Self, StartError> {
        let refused = |name: &str, value: &str, expected| StartError::Value {
            name: name.to_owned(),
            value: value.to_owned(),
            expected,
        };
        let mut names = Vec::new();
        for domain in domains {
            let name = domain.trim().trim_end_matches('.').to_ascii_lowercase();
            if !is_name(&name) {
                return Err(refused("--domain", domain, DOMAIN));
            }
            if !names.contains(&name) {
                names.push(name);
            }
        }
        if names.len() > DOMAINS_MAX {
            return Err(refused("--domain", &names.len().to_string(), "given at most 16 times"));
        }
        let directory = directory.unwrap_or_else(|| DIRECTORY.to_owned());
        let uri: Option<axum::http::Uri> = directory.parse().ok();
        if !uri.is_some_and(|uri| uri.scheme_str() == Some("https") && uri.host().is_some()) {
            return Err(refused(
                "--acme-directory",
                &directory,
                "a URL such as https://ca.example/acme/directory",
            ));
        }
        let contacts = contacts
            .iter()
            .map(|contact| {
                let address = contact.trim().trim_start_matches("mailto:");
                let usable =
                    address.split_once('@').is_some_and(|(who, host)| !who.is_empty() && !host.is_empty())
                        && address.chars().all(|c| c.is_ascii_graphic());
                if usable {
                    Ok(format!("mailto:{address}"))
                } else {
                    Err(refused("--acme-contact", contact, MAIL))
                }
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { domains: names, directory, contacts, root })
    }
}

const DOMAIN: &str =
    "a domain name such as circle.example.jp (not an address, no wildcard; other letters as xn--…)";
const MAIL: &str = "a mail address";

/// A host name (RFC 1123 section 2.1) that is no address.
fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= LABEL_MAX
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    name.len() <= NAME_MAX
        && name.contains('.')
        && name.split('.').all(label)
        && name.parse::<std::net::Ipv4Addr>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acme(domain: &str) -> Result<Acme, StartError> {
        Acme::new(&[domain.to_owned()], None, &["a@b.example".to_owned()], None)
    }

    #[test]
    fn a_domain_is_a_name_and_nothing_else() {
        let made = acme(" Circle.Example.JP. ").unwrap();
        assert_eq!(
            (made.domains, made.contacts),
            (vec!["circle.example.jp".to_owned()], vec!["mailto:a@b.example".to_owned()])
        );
        for bad in [
            "",
            "localhost",
            "*.example.jp",
            "192.0.2.1",
            "2001:db8::1",
            "円座.example",
            "a..b",
            "-a.example",
            "https://a.example",
            "a.example/../x",
        ] {
            assert!(acme(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_authority_is_asked_over_https_only() {
        let given =
            |directory: &str| Acme::new(&["a.example".to_owned()], Some(directory.to_owned()), &[], None);
        assert!(given("https://ca.example:14000/dir").is_ok());
        assert!(given("http://ca.example/dir").is_err());
        assert!(given("ca.example").is_err());
    }
}

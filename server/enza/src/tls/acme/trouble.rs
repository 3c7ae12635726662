//! Why there is no certificate, as situations an operator can act on. The sentences stand in `catalogue/certificate.rs`.

use instant_acme::{Error, Problem};

/// Characters of what an authority says that are passed on. Higher: a hostile one fills the terminal.
const DETAIL_MAX: usize = 300;

/// One reason, and for which domain, if the authority names one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub what: What,
    pub domain: Option<String>,
    /// The authority's or the system's own words, in one line; empty when there are none.
    pub detail: String,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The authority cannot be reached from here.
    Unreachable,
    /// The domain has no address.
    NoAddress,
    /// The authority cannot connect to the domain's port 443.
    Closed,
    /// Something else answers there.
    Unproven,
    /// The domain's CAA record names others.
    Forbidden,
    /// Too many certificates or failures lately.
    RateLimited,
    /// The authority gives none for this name.
    NameRefused,
    /// The account is gone at the authority; the next try makes another.
    NoAccount,
    /// The authority does not offer TLS-ALPN-01.
    NoSuchProof,
    /// It took too long.
    Late,
    /// What was got cannot be kept or used.
    Unusable,
    /// Anything else.
    Other,
}

impl Trouble {
    pub(super) fn new(what: What, detail: &str) -> Self {
        let detail = detail.chars().map(|c| if c.is_control() { ' ' } else { c }).take(DETAIL_MAX).collect();
        Self { what, domain: None, detail }
    }

    /// What the authority found when it looked at this domain.
    pub(super) fn at(domain: String, problem: &Problem) -> Self {
        Self { domain: Some(domain), ..problem.into() }
    }
}

impl From<What> for Trouble {
    fn from(what: What) -> Self {
        Self::new(what, "")
    }
}

impl From<&Problem> for Trouble {
    /// RFC 8555 section 6.7, RFC 8737 section 3.
    fn from(problem: &Problem) -> Self {
        let kind = problem.r#type.as_deref().unwrap_or_default();
        let detail = problem.detail.as_deref().unwrap_or_default();
        // Some authorities, Pebble among them, are less exact with their types than with their sentences.
        let says = |words: &[&str]| words.iter().any(|word| detail.to_ascii_lowercase().contains(word));
        let what = match kind.strip_prefix("urn:ietf:params:acme:error:").unwrap_or_default() {
            "dns" => What::NoAddress,
            "connection" => What::Closed,
            "tls" | "unauthorized" | "malformed" if says(&["resolve", "nxdomain", "no valid ip"]) => {
                What::NoAddress
            }
            "tls" | "unauthorized" if says(&["failed to connect", "timed out", "refused"]) => What::Closed,
            "tls" | "unauthorized" | "incorrectResponse" => What::Unproven,
            "caa" => What::Forbidden,
            "rateLimited" => What::RateLimited,
            "rejectedIdentifier" | "unsupportedIdentifier" => What::NameRefused,
            "accountDoesNotExist" => What::NoAccount,
            _ => What::Other,
        };
        Self::new(what, detail)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(problem) => (&problem).into(),
            Error::Timeout(_) => What::Late.into(),
            // The client's own: `directory.rs`.
            Error::Other(reason) => Self::new(What::Unreachable, &reason.to_string()),
            error => Self::new(What::Other, &error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_read_from_types_and_where_they_are_vague_from_sentences() {
        for (kind, detail, what) in [
            ("dns", "DNS problem: NXDOMAIN looking up A for circle.example", What::NoAddress),
            ("malformed", "Could not resolve URL \"circle.example\"", What::NoAddress),
            ("connection", "192.0.2.1: Timeout during connect", What::Closed),
            (
                "unauthorized",
                "Failed to connect to 192.0.2.1:443 for the tls-alpn-01 challenge",
                What::Closed,
            ),
            ("unauthorized", "Incorrect validation certificate for tls-alpn-01 challenge", What::Unproven),
            ("tls", "Cannot negotiate ALPN protocol \"acme-tls/1\"", What::Unproven),
            ("rateLimited", "too many failed authorizations (5)", What::RateLimited),
            ("badCSR", "", What::Other),
        ] {
            let problem = Problem {
                r#type: Some(format!("urn:ietf:params:acme:error:{kind}")),
                detail: Some(detail.to_owned()),
                status: None,
                subproblems: Vec::new(),
            };
            assert_eq!(Trouble::from(&problem).what, what, "{kind} {detail}");
        }
    }

    #[test]
    fn what_an_authority_says_is_one_short_line() {
        let problem = Problem {
            r#type: Some("urn:ietf:params:acme:error:connection".to_owned()),
            detail: Some(format!("refused\n\u{1b}[2J{}", "x".repeat(1000))),
            status: None,
            subproblems: Vec::new(),
        };
        let trouble = Trouble::at("circle.example".to_owned(), &problem);
        assert_eq!(trouble.what, What::Closed);
        assert_eq!(trouble.detail.chars().count(), DETAIL_MAX);
        assert!(!trouble.detail.contains(char::is_control));
    }
}

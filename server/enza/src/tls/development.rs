//! A development certificate that this program makes.
//!
//! It has its own small authority, so that a phone that trusts it once still trusts
//! the server after its address changed. The authority may vouch only for this machine's own names and for
//! private addresses (RFC 5280 section 4.2.1.10), so its key, if stolen, cannot impersonate anybody's bank.

use crate::data_folder::write_private;
use crate::media::lan_addresses;
use crate::start_error::StartError;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;

const AUTHORITY: &str = "enza-dev-authority.pem";
const AUTHORITY_KEY: &str = "enza-dev-authority.key";
const SERVER: &str = "enza-dev.pem";
const SERVER_KEY: &str = "enza-dev.key";

/// Phones refuse server certificates that live longer than 825 (own authorities) or 398 days.
const SERVER_DAYS: i64 = 365;
/// A server certificate this old is replaced at the next start.
const SERVER_RENEW: Duration = Duration::from_secs(300 * 86_400);
const AUTHORITY_DAYS: i64 = 3650;
/// A phone's clock may be a little behind.
const CLOCK_SLACK: Duration = Duration::from_secs(86_400);

/// Where the authority's certificate stands, for the sentence that says what to trust.
#[must_use]
pub(crate) fn authority_file(certs: &Path) -> PathBuf {
    certs.join(AUTHORITY)
}

/// Where the certificate stands.
#[must_use]
pub(crate) fn server_file(certs: &Path) -> PathBuf {
    certs.join(SERVER)
}

/// The certificate's and the key's files, for a server that listens on `bind`. Makes what is missing or too old.
///
/// # Errors
/// [`StartError::Certificate`].
pub(super) fn files(certs: &Path, bind: IpAddr) -> Result<(PathBuf, PathBuf), StartError> {
    development(certs, &names(bind))?;
    Ok((certs.join(SERVER), certs.join(SERVER_KEY)))
}

/// The names a browser on this network may use for this machine. A public address is left out: the authority may
/// not vouch for it, and one name out of bounds would spoil the whole certificate.
fn names(bind: IpAddr) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let addresses = if bind.is_unspecified() { lan_addresses() } else { vec![bind] };
    for address in addresses.into_iter().filter(|address| is_private(*address)) {
        let name = address.to_string();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The networks the authority may vouch for: address and prefix length.
const PRIVATE: [(IpAddr, u8); 9] = [
    (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
    (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 0)), 8),
    (IpAddr::V4(Ipv4Addr::new(172, 16, 0, 0)), 12),
    (IpAddr::V4(Ipv4Addr::new(192, 168, 0, 0)), 16),
    (IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)), 16),
    (IpAddr::V4(Ipv4Addr::new(100, 64, 0, 0)), 10),
    (IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
    (IpAddr::V6(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0)), 7),
    (IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10),
];

fn is_private(address: IpAddr) -> bool {
    PRIVATE.into_iter().any(|(network, prefix)| match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            (network.to_bits() ^ address.to_bits()).leading_zeros() >= prefix.into()
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            (network.to_bits() ^ address.to_bits()).leading_zeros() >= prefix.into()
        }
        _ => false,
    })
}

/// Makes what is missing, has grown old or names other addresses.
fn development(certs: &Path, names: &[String]) -> Result<(), StartError> {
    let refused = |path: PathBuf, reason: String| StartError::Certificate { path, reason };
    std::fs::create_dir_all(certs).map_err(|error| refused(certs.to_owned(), error.to_string()))?;
    let authority = authority(certs)?;
    let path = certs.join(SERVER);
    let label = format!("# enza development certificate for: {}", names.join(" "));
    if is_current(&path, &label, &certs.join(AUTHORITY)) && certs.join(SERVER_KEY).is_file() {
        return Ok(());
    }
    let made = || -> Result<(String, String), rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, "Enza development server");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = validity(SERVER_DAYS);
        let certificate = params.signed_by(&key, &authority)?;
        Ok((certificate.pem(), key.serialize_pem()))
    };
    let (certificate, key) = made().map_err(|error| refused(path.clone(), error.to_string()))?;
    let key_path = certs.join(SERVER_KEY);
    write_private(&key_path, key.as_bytes()).map_err(|error| refused(key_path, error.to_string()))?;
    write_private(&path, format!("{label}\n{certificate}").as_bytes())
        .map_err(|error| refused(path, error.to_string()))
}

fn is_current(server: &Path, label: &str, authority: &Path) -> bool {
    let named = std::fs::read_to_string(server).is_ok_and(|text| text.lines().next() == Some(label));
    let made = |path: &Path| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let fresh = made(server).is_some_and(|at| {
        SystemTime::now().duration_since(at).is_ok_and(|age| age < SERVER_RENEW)
            && made(authority).is_some_and(|authority| authority <= at)
    });
    named && fresh
}

fn authority(certs: &Path) -> Result<Issuer<'static, KeyPair>, StartError> {
    let (path, key_path) = (certs.join(AUTHORITY), certs.join(AUTHORITY_KEY));
    let refused = |path: &Path, reason: String| StartError::Certificate { path: path.to_owned(), reason };
    let params = authority_params();
    let key = if path.is_file() && key_path.is_file() {
        let text =
            std::fs::read_to_string(&key_path).map_err(|error| refused(&key_path, error.to_string()))?;
        KeyPair::from_pem(&text).map_err(|error| refused(&key_path, error.to_string()))?
    } else {
        let made = || -> Result<(KeyPair, String), rcgen::Error> {
            let key = KeyPair::generate()?;
            let certificate = params.self_signed(&key)?;
            Ok((key, certificate.pem()))
        };
        let (key, certificate) = made().map_err(|error| refused(&path, error.to_string()))?;
        write_private(&key_path, key.serialize_pem().as_bytes())
            .map_err(|error| refused(&key_path, error.to_string()))?;
        write_private(&path, certificate.as_bytes()).map_err(|error| refused(&path, error.to_string()))?;
        key
    };
    // A server certificate needs only the authority's name and key, and both are known.
    Ok(Issuer::new(params, key))
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Enza development authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = validity(AUTHORITY_DAYS);
    let mut permitted = vec![GeneralSubtree::DnsName("localhost".to_owned())];
    permitted.extend(
        PRIVATE.map(|(network, prefix)| {
            GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(network, prefix))
        }),
    );
    params.name_constraints =
        Some(NameConstraints { permitted_subtrees: permitted, excluded_subtrees: Vec::new() });
    params
}

fn validity(days: i64) -> (OffsetDateTime, OffsetDateTime) {
    let now = OffsetDateTime::now_utc();
    (now - CLOCK_SLACK, now + time::Duration::days(days))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio_rustls::rustls;
    use tokio_rustls::rustls::client::WebPkiServerVerifier;
    use tokio_rustls::rustls::client::danger::ServerCertVerifier as _;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;
    use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};

    fn trusts(certs: &Path, name: &str) -> Result<(), rustls::Error> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(certs.join(AUTHORITY)).unwrap()).unwrap();
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(ring::default_provider()))
                .build()
                .unwrap();
        let server = CertificateDer::from_pem_file(certs.join(SERVER)).unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        verifier.verify_server_cert(&server, &[], &name, &[], UnixTime::now()).map(|_| ())
    }

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn whoever_trusts_the_authority_trusts_the_server_at_its_addresses_only() {
        let folder = tempfile::tempdir().unwrap();
        development(folder.path(), &names(&["localhost", "127.0.0.1", "192.168.7.9"])).unwrap();
        trusts(folder.path(), "localhost").unwrap();
        trusts(folder.path(), "192.168.7.9").unwrap();
        assert!(trusts(folder.path(), "192.168.7.10").is_err());
        assert!(trusts(folder.path(), "bank.example").is_err());
    }

    #[test]
    fn the_authority_cannot_vouch_for_the_internet() {
        let folder = tempfile::tempdir().unwrap();
        development(folder.path(), &names(&["localhost", "bank.example"])).unwrap();
        assert!(trusts(folder.path(), "bank.example").is_err());
    }

    #[test]
    fn private_networks_are_told_from_public_ones() {
        for private in ["127.0.0.1", "10.9.8.7", "172.31.0.1", "192.168.1.1", "100.100.1.1", "fd00::1", "::1"]
        {
            assert!(is_private(private.parse().unwrap()), "{private}");
        }
        for public in ["203.0.113.5", "172.32.0.1", "100.128.0.1", "2001:db8::1"] {
            assert!(!is_private(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn a_restart_keeps_the_certificate_and_a_new_address_keeps_the_authority() {
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        development(folder.path(), &names(&["localhost"])).unwrap();
        let (authority, server) = (read(AUTHORITY), read(SERVER));
        development(folder.path(), &names(&["localhost"])).unwrap();
        assert_eq!((read(AUTHORITY), read(SERVER)), (authority.clone(), server.clone()));
        development(folder.path(), &names(&["localhost", "10.1.2.3"])).unwrap();
        assert_eq!(read(AUTHORITY), authority);
        assert_ne!(read(SERVER), server);
        trusts(folder.path(), "10.1.2.3").unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn keys_are_readable_by_their_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        development(folder.path(), &names(&["localhost"])).unwrap();
        for name in [AUTHORITY_KEY, SERVER_KEY] {
            let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }
}

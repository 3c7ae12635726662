//! One order: the account, a proof for each domain, the certificate (RFC 8555 section 7.1).

use super::folder::Folder;
use super::trouble::{Trouble, What};
use super::{Proofs, directory};
use crate::config::Acme;
use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount, NewOrder, Order, OrderStatus,
    RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

/// How an order is looked at: soon, then less and less often. Let's Encrypt needs a few seconds.
const LOOKS: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(500))
    .backoff(1.5)
    .timeout(Duration::from_secs(60));

/// A new certificate with a new key, kept on disk.
pub(super) async fn certificate(
    acme: &Acme,
    folder: &Folder,
    proofs: &watch::Sender<Proofs>,
) -> Result<CertifiedKey, Trouble> {
    let ordered = ordered(acme, folder, proofs).await;
    if let Err(Trouble { what: What::NoAccount, .. }) = ordered {
        folder.forget_account();
    }
    ordered
}

async fn ordered(
    acme: &Acme,
    folder: &Folder,
    proofs: &watch::Sender<Proofs>,
) -> Result<CertifiedKey, Trouble> {
    let account = account(acme, folder).await?;
    let domains: Vec<Identifier> = acme.domains.iter().cloned().map(Identifier::Dns).collect();
    let mut order = account.new_order(&NewOrder::new(&domains)).await?;
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        // Proven a moment ago.
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let domain = authorization.identifier().to_string();
        let Some(mut challenge) = authorization.challenge(ChallengeType::TlsAlpn01) else {
            return Err(Trouble { domain: Some(domain), ..What::NoSuchProof.into() });
        };
        let proof = proof(&domain, challenge.key_authorization().digest().as_ref())
            .map_err(|error| Trouble::new(What::Unusable, &error))?;
        proofs.send_modify(|proofs| drop(proofs.insert(domain, Arc::new(proof))));
        challenge.set_ready().await?;
    }
    match order.poll_ready(&LOOKS).await {
        Ok(OrderStatus::Ready) => {}
        Ok(_) => return Err(found(&mut order).await.unwrap_or_else(|| What::Other.into())),
        Err(error @ Error::Api(_)) => return Err(found(&mut order).await.unwrap_or_else(|| error.into())),
        Err(error) => return Err(error.into()),
    }
    let unusable = |error: rcgen::Error| Trouble::new(What::Unusable, &error.to_string());
    let key = KeyPair::generate().map_err(unusable)?;
    let mut wish = CertificateParams::new(acme.domains.clone()).map_err(unusable)?;
    wish.distinguished_name = DistinguishedName::new();
    let wish = wish.serialize_request(&key).map_err(unusable)?;
    order.finalize_csr(wish.der()).await?;
    let chain = order.poll_certificate(&LOOKS).await?;
    folder.keep(&chain, &Zeroizing::new(key.serialize_pem()))
}

/// The one from before, or a new one.
async fn account(acme: &Acme, folder: &Folder) -> Result<Account, Trouble> {
    let builder = Account::builder_with_http(directory::client(acme)?);
    if let Some(known) = folder.account() {
        return Ok(builder.from_credentials(known).await?);
    }
    let contacts: Vec<&str> = acme.contacts.iter().map(String::as_str).collect();
    let new = NewAccount { contact: &contacts, terms_of_service_agreed: true, only_return_existing: false };
    let (account, credentials) = builder.create(&new, acme.directory.clone(), None).await?;
    folder.keep_account(&credentials)?;
    Ok(account)
}

/// What the authority found at the first domain that it does not believe to be here.
async fn found(order: &mut Order) -> Option<Trouble> {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        authorization.refresh().await.ok()?;
        let domain = authorization.identifier().to_string();
        if let Some(problem) = authorization.challenges.iter().find_map(|challenge| challenge.error.as_ref())
        {
            return Some(Trouble::at(domain, problem));
        }
    }
    None
}

/// The certificate that proves that a domain leads here (RFC 8737 section 3).
fn proof(domain: &str, digest: &[u8]) -> Result<CertifiedKey, String> {
    let made = || -> Result<_, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([domain.to_owned()])?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        Ok((params.self_signed(&key)?.der().clone(), key))
    };
    let (certificate, key) = made().map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    // Not `from_der`, which reads the certificate and refuses the critical extension that it is there for.
    let key =
        ring::default_provider().key_provider.load_private_key(key).map_err(|error| error.to_string())?;
    Ok(CertifiedKey::new(vec![certificate], key))
}

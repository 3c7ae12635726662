//! The HTTP client for an authority: bounded in time and bytes, trusting the public authorities or one given root.

use super::trouble::{Trouble, What};
use crate::config::Acme;
use crate::start_error::StartError;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Longest wait for one answer. Higher: an authority that hangs is noticed later.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// Largest answer: a chain of certificates, many times over.
const ANSWER_MAX: usize = 1 << 20;

struct Directory(Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>);

/// # Errors
/// [`What::Unusable`]: the root has become unreadable since the start.
pub(super) fn client(acme: &Acme) -> Result<Box<dyn HttpClient>, Trouble> {
    let unusable = |error: StartError| Trouble::new(What::Unusable, &error.to_string());
    let connector = match acme.root.as_deref().map(roots).transpose().map_err(unusable)? {
        Some(roots) => {
            let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(|error| Trouble::new(What::Unusable, &error.to_string()))?
                .with_root_certificates(roots)
                .with_no_client_auth();
            HttpsConnectorBuilder::new().with_tls_config(config)
        }
        None => HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(ring::default_provider())
            .map_err(|error| Trouble::new(What::Unusable, &error.to_string()))?,
    };
    let connector = connector.https_only().enable_http1().build();
    Ok(Box::new(Directory(Client::builder(TokioExecutor::new()).build(connector))))
}

/// # Errors
/// [`StartError::Certificate`] for a root that is none.
pub(crate) fn check_root(acme: &Acme) -> Result<(), StartError> {
    acme.root.as_deref().map(roots).transpose().map(drop)
}

fn roots(path: &Path) -> Result<RootCertStore, StartError> {
    let refused = |reason: String| StartError::Certificate { path: path.to_owned(), reason };
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(path).map_err(|error| refused(error.to_string()))? {
        let root = root.map_err(|error| refused(error.to_string()))?;
        roots.add(root).map_err(|error| refused(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(refused("it holds no certificate in PEM form".to_owned()));
    }
    Ok(roots)
}

impl HttpClient for Directory {
    fn request(
        &self,
        request: axum::http::Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let asking = self.0.request(request);
        Box::pin(async move {
            let answer = async {
                let answer = asking.await.map_err(|error| Error::Other(innermost(&error).into()))?;
                let (parts, body) = answer.into_parts();
                let body = Limited::new(body, ANSWER_MAX).collect().await.map_err(Error::Other)?;
                Ok(axum::http::Response::from_parts(parts, Full::new(body.to_bytes())).into())
            };
            timeout(ANSWER_PATIENCE, answer).await.unwrap_or(Err(Error::Timeout(None)))
        })
    }
}

/// What is at the bottom of a failed request: the rest only says that one failed.
fn innermost(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), innermost)
}

//! The HTTP client of the command line: one server, one key.

use super::OperateError;
use crate::running::Running;
use crate::tls;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{Method, Request, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use ring::digest;
use serde_json::Value;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, ring as tls_ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{self, CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};

/// Longest wait for an answer; the server's own patience with a room and the disk is in it. Higher: a stuck server
/// holds a script; lower: a busy one counts as stuck.
const PATIENCE: Duration = Duration::from_secs(20);

/// Largest answer read: an export of a room with every invite it may have, many times over.
const ANSWER_MAX: usize = 16 << 20;

/// A server and the key for it.
pub(crate) struct Remote {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: String,
    key: String,
    /// What links begin with.
    pub(super) links: String,
}

impl Remote {
    /// The server that runs on this computer.
    pub(crate) fn local(running: Running, key: String) -> Self {
        let connector = match &running.certificate {
            Some(certificate) => pinned(certificate),
            None => public(),
        };
        Self::new(connector, running.url, running.links, key)
    }

    /// A server anywhere.
    pub(super) fn at(url: &str, key: String) -> Self {
        let url = url.trim_end_matches('/').to_owned();
        Self::new(public(), url.clone(), url, key)
    }

    fn new(connector: HttpsConnector<HttpConnector>, url: String, links: String, key: String) -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build(connector), url, key, links }
    }

    /// One call of the API. `Value::Null` where the answer has no body.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, OperateError> {
        let (status, body) = self.ask(method, &format!("/api/{path}"), body).await?;
        if status == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        let answer: Option<Value> = serde_json::from_slice(&body).ok();
        match answer {
            Some(answer) if status.is_success() => Ok(answer),
            Some(refusal) if refusal["message"].is_string() => Err(OperateError::Refused {
                code: refusal["code"].as_str().unwrap_or_default().to_owned(),
                message: refusal["message"].as_str().unwrap_or_default().to_owned(),
            }),
            _ => Err(OperateError::Strange { url: self.url.clone(), status: status.as_u16() }),
        }
    }

    /// What `/readyz` says to whoever has the key.
    pub(crate) async fn readiness(&self) -> Result<String, OperateError> {
        let (_, said) = self.ask(Method::GET, "/readyz", None).await?;
        Ok(String::from_utf8_lossy(&said).trim().to_owned())
    }

    /// A word under which a device may tell how it sees the server.
    pub(crate) async fn outside_word(&self) -> Result<String, OperateError> {
        let (status, said) = self.ask(Method::POST, "/doctor/words", None).await?;
        let said: Option<Value> = serde_json::from_slice(&said).ok();
        let word = said.and_then(|said| said["word"].as_str().map(str::to_owned));
        word.ok_or_else(|| OperateError::Strange { url: self.url.clone(), status: status.as_u16() })
    }

    /// What was told under that word; `None`: nothing yet.
    pub(crate) async fn outside_report(&self, word: &str) -> Result<Option<Bytes>, OperateError> {
        let path = format!("/doctor/reports/{}", segment(word));
        match self.ask(Method::GET, &path, None).await? {
            (StatusCode::OK, report) => Ok(Some(report)),
            (StatusCode::NO_CONTENT, _) => Ok(None),
            (status, _) => Err(OperateError::Strange { url: self.url.clone(), status: status.as_u16() }),
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(StatusCode, Bytes), OperateError> {
        let unreachable = |reason: String| OperateError::Unreachable { url: self.url.clone(), reason };
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header(AUTHORIZATION, format!("Bearer {}", self.key))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body.map(|body| Bytes::from(body.to_string())).unwrap_or_default()))
            .map_err(|error| unreachable(error.to_string()))?;
        let asking = async {
            let answer = self.client.request(request).await.map_err(|error| unreachable(reason(&error)))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_MAX).collect().await;
            Ok((status, body.map_err(|error| unreachable(error.to_string()))?.to_bytes()))
        };
        timeout(PATIENCE, asking).await.map_err(|_| unreachable(std::io::ErrorKind::TimedOut.to_string()))?
    }
}

/// What is at the bottom of a failed request: the rest only says that one failed.
fn reason(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// One segment of a path.
pub(super) fn segment(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => written.push(byte.into()),
            // Writing to a string cannot fail.
            _ => drop(write!(written, "%{byte:02X}")),
        }
    }
    written
}

fn public() -> HttpsConnector<HttpConnector> {
    HttpsConnectorBuilder::new()
        .with_provider_and_webpki_roots(tls_ring::default_provider())
        .expect("ring has the algorithms of TLS 1.2 and 1.3")
        .https_or_http()
        .enable_http1()
        .build()
}

fn pinned(certificate: &str) -> HttpsConnector<HttpConnector> {
    let provider = Arc::new(tls_ring::default_provider());
    let verifier = Pinned { certificate: certificate.to_owned(), provider: Arc::clone(&provider) };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the algorithms of TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    let name = ServerName::try_from(tls::ON_THIS_COMPUTER).expect("a valid name");
    HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_only()
        .with_server_name_resolver(FixedServerNameResolver::new(name))
        .enable_http1()
        .build()
}

/// Trusts exactly one certificate, whatever name it is for.
#[derive(Debug)]
struct Pinned {
    certificate: String,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if fingerprint(end_entity) == self.certificate {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A certificate's SHA-256 in hexadecimal.
pub(crate) fn fingerprint(certificate: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, certificate);
    digest.as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_path_cannot_leave_its_segment() {
        assert_eq!(segment("aZ9-._~"), "aZ9-._~");
        assert_eq!(segment("../a b?#花"), "..%2Fa%20b%3F%23%E8%8A%B1");
    }
}

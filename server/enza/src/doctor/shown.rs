//! A server's certificate as somebody who opens a connection is shown it, and what a browser would say of it.

use crate::config::{Config, Transport};
use crate::tls;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{self, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

pub(super) type Chain = Vec<CertificateDer<'static>>;

/// A connection to whoever answers there for `name`, and what they showed. It is read, not trusted: no secret goes over it.
pub(super) async fn open(at: SocketAddr, name: &str) -> std::io::Result<(TlsStream<TcpStream>, Chain)> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(std::io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).map_err(std::io::Error::other)?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(at).await?).await?;
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let chain = chain.iter().cloned().map(CertificateDer::into_owned).collect();
    Ok((stream, chain))
}

/// What the server would show at its start.
pub(super) fn in_files(config: &Config) -> Chain {
    let path = match &config.transport {
        Transport::Files { cert, .. } => cert.clone(),
        Transport::Domains(acme) => tls::acme::certificate_file(&config.data, acme),
        _ => tls::development_file(&config.certs),
    };
    CertificateDer::pem_file_iter(path).map(|all| all.filter_map(Result::ok).collect()).unwrap_or_default()
}

/// What a browser that asks for `host` would say, in rustls' words.
pub(super) fn judge(chain: &[CertificateDer<'static>], host: &str) -> Result<(), String> {
    let Some((first, rest)) = chain.split_first() else { return Err("there is none".to_owned()) };
    let judged = || -> Result<(), String> {
        let said = |error: rustls::Error| error.to_string();
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| error.to_string())?;
        let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
        verifier.verify_server_cert(first, rest, &name, &[], UnixTime::now()).map(drop).map_err(said)
    };
    judged()
}

/// Takes whatever is shown.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

//! HTTPS: which certificate is shown to whom. Where it comes from: made here (`development.rs`), kept by somebody else in
//! files (`files.rs`), or got from an authority (`acme/`).
//!
//! What is shown changes while the server runs: whoever keeps it sends the new one over a channel, and each handshake takes
//! the newest. Connections that stand know nothing of it.
//!
//! Programs on this computer (`enza room list`) ask for a name that nobody else asks for, and are shown a certificate that
//! lives as long as this process. So they know the server while the other certificate changes, or is not there yet.

pub(crate) mod acme;
mod development;
mod ending;
mod files;
mod names;
pub(crate) mod validity;

use crate::config::{Config, Transport};
use crate::notice::Notices;
use crate::operate::remote;
use crate::start_error::StartError;
use rcgen::{CertificateParams, KeyPair};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

pub(crate) use development::{authority_file, server_file as development_file};

/// What a TLS handshake calls HTTP/2 and HTTP/1.1 (RFC 9113 section 3.2, RFC 7301 section 6).
pub(crate) const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// The name that programs on this computer ask for (RFC 6761 section 6.4: it is nobody's).
pub(crate) const ON_THIS_COMPUTER: &str = "running.enza.invalid";

type Shown = Option<Arc<CertifiedKey>>;

/// A server's side of HTTPS.
pub(crate) struct Tls {
    pub(crate) acceptor: TlsAcceptor,
    /// SHA-256 of what is shown to programs on this computer, in hexadecimal.
    pub(crate) fingerprint: String,
    keeper: Keeper,
    shown: watch::Sender<Shown>,
}

/// Who changes what is shown.
enum Keeper {
    /// Nobody, until the next start.
    Nobody,
    Files(files::Pair),
    Acme(acme::Keeper, watch::Sender<acme::Proofs>),
}

impl Tls {
    /// `None` for a server that speaks HTTP.
    ///
    /// # Errors
    /// [`StartError::Certificate`], [`StartError::Data`].
    pub(crate) fn prepare(config: &Config) -> Result<Option<Self>, StartError> {
        let (mut proofs, mut protocols) = (None, vec![HTTP2.to_vec(), HTTP1.to_vec()]);
        let (keeper, first) = match &config.transport {
            Transport::Plain => return Ok(None),
            Transport::Development => {
                let (cert, key) = development::files(&config.certs, config.bind)?;
                (Keeper::Nobody, Some(Arc::new(files::Pair::read(cert, key)?.certified()?)))
            }
            Transport::Files { cert, key } => {
                let pair = files::Pair::read(cert.clone(), key.clone())?;
                let first = pair.certified()?;
                (Keeper::Files(pair), Some(Arc::new(first)))
            }
            Transport::Domains(acme) => {
                let (keeper, first) = acme::Keeper::open(acme, &config.data)?;
                let (proving, proven) = watch::channel(acme::Proofs::new());
                proofs = Some(proven);
                protocols.push(acme::PROOF.to_vec());
                (Keeper::Acme(keeper, proving), first)
            }
        };
        let (shown, showing) = watch::channel(first);
        let own = own()?;
        let fingerprint = own.cert.first().map(|certificate| remote::fingerprint(certificate));
        let resolver = Resolver { shown: showing, own: Arc::new(own), proofs };
        let mut tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| refused(error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(resolver));
        tls.alpn_protocols = protocols;
        Ok(Some(Self {
            acceptor: Arc::new(tls).into(),
            fingerprint: fingerprint.unwrap_or_default(),
            keeper,
            shown,
        }))
    }

    /// Looks at what is shown, now and later.
    pub(crate) fn showing(&self) -> Showing {
        Showing(self.shown.subscribe())
    }

    /// Keeps what is shown up to date until the program stops.
    pub(crate) async fn keep(self, notices: Notices, stopping: watch::Receiver<bool>) {
        let renewal = match &self.keeper {
            Keeper::Nobody => ending::Renewal::AtStart,
            Keeper::Files(_) => ending::Renewal::Files,
            Keeper::Acme(..) => ending::Renewal::Authority,
        };
        let ending = ending::watch(self.showing(), renewal, stopping.clone());
        let keeping = async {
            match self.keeper {
                Keeper::Nobody => {}
                Keeper::Files(pair) => pair.watch(&self.shown, stopping).await,
                Keeper::Acme(keeper, proofs) => keeper.keep(&self.shown, &proofs, notices, stopping).await,
            }
        };
        tokio::join!(ending, keeping);
    }
}

/// What everybody but programs on this computer is shown. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Showing(watch::Receiver<Shown>);

impl Showing {
    /// False until the first certificate has come.
    pub(crate) fn is_ready(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Waits for another one; false: there will be none.
    async fn changed(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }

    /// When it begins and ends.
    pub(crate) fn validity(&self) -> Option<validity::Validity> {
        self.0.borrow().as_ref().and_then(|shown| shown.cert.first()).and_then(|der| validity::of(der))
    }

    /// For which names and addresses it is.
    pub(crate) fn names(&self) -> Vec<String> {
        let shown = self.0.borrow();
        shown.as_ref().and_then(|shown| shown.cert.first()).map(|der| names::of(der)).unwrap_or_default()
    }
}

/// Says what is shown.
#[derive(Debug)]
struct Resolver {
    shown: watch::Receiver<Shown>,
    own: Arc<CertifiedKey>,
    /// Where an authority may ask for a proof.
    proofs: Option<watch::Receiver<acme::Proofs>>,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Shown {
        if let Some(proofs) = &self.proofs
            && hello.alpn().is_some_and(|mut asked| asked.any(|protocol| protocol == acme::PROOF))
        {
            return proofs.borrow().get(hello.server_name()?).cloned();
        }
        match hello.server_name() {
            Some(ON_THIS_COMPUTER) => Some(Arc::clone(&self.own)),
            _ => self.shown.borrow().clone(),
        }
    }
}

/// The certificate for programs on this computer.
fn own() -> Result<CertifiedKey, StartError> {
    let made = || -> Result<_, rcgen::Error> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new([ON_THIS_COMPUTER.to_owned()])?.self_signed(&key)?;
        Ok((certificate.der().clone(), key))
    };
    let (certificate, key) = made().map_err(|error| refused(error.to_string()))?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    CertifiedKey::from_der(vec![certificate], key, &ring::default_provider())
        .map_err(|error| refused(error.to_string()))
}

/// Something that only a broken build could cause.
fn refused(reason: String) -> StartError {
    StartError::Certificate { path: PathBuf::from(ON_THIS_COMPUTER), reason }
}

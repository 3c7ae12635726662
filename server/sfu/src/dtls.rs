//! DTLS 1.2 for one peer (RFC 6347, RFC 5764), over `rtc-dtls`. Owns the handshake and its
//! retransmissions; never learns where datagrams come from, so ICE may move the path under it.
//!
//! As the server it waits for the client's hello. As the client it begins as soon as a check came, which saves the
//! round trip of `rtc-dtls`'s HelloVerifyRequest; it then offers AES-128-GCM alone, since a browser would choose its own
//! favourite, AES-CM. So that role is for clients that are known to take GCM.
//!
//! As the server, `rtc-dtls` takes the first SRTP profile *of the client's list* that it knows, and Chromium lists AES-CM first.
//! So the ClientHello is read here before a connection exists for it, and a client that offers AES-128-GCM
//! meets a server that knows nothing else.

mod hello;

use crate::srtp::{Keying, Profile};
use bytes::BytesMut;
use hello::{HelloReader, Progress};
use rtc_crypto::{HashAlgorithm, RTCCryptoProvider};
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig};
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc_shared::TransportProtocol;
use rtc_shared::error::Error;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// First retransmission of a flight; doubled each time. Higher: a lost flight costs the join more time; lower:
/// slow phones get flights twice.
const FLIGHT_INTERVAL: Duration = Duration::from_millis(75);

/// Longest wait between two retransmissions.
const MAX_FLIGHT_INTERVAL: Duration = Duration::from_secs(2);

/// The handshake must be over by then. Higher: half-open peers hold memory (up to 2 MB of fragments each);
/// lower: very bad networks never join.
const HANDSHAKE_TIME: Duration = Duration::from_secs(20);

/// Record content type, length of a record's header, and handshake type (RFC 6347 §4.1, §4.3.2).
const HANDSHAKE: u8 = 22;
const RECORD_HEADER: usize = 13;
const HELLO_VERIFY_REQUEST: u8 = 3;

/// DTLS only wants the address as a key; there is one peer per endpoint.
const PEER: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1));

/// Which part of the handshake is ours (RFC 5763 §5, `a=setup`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtlsRole {
    /// `passive`: works with every client.
    Server,
    /// `active`: one round trip less, for clients that take SRTP's AES-128-GCM.
    Client,
}

/// Why media cannot be set up at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    #[error("the cryptography provider failed: {0}")]
    Crypto(String),
    #[error("the certificate could not be made: {0}")]
    Generate(String),
}

/// The server's DTLS identity: one self-signed certificate per process, known to clients by its SHA-256 fingerprint.
#[derive(Clone)]
pub struct Certificate {
    pub(crate) provider: Arc<dyn RTCCryptoProvider>,
    pub(crate) fingerprint: String,
    gcm: Arc<HandshakeConfig>,
    hello: Arc<HandshakeConfig>,
    cm: Arc<HandshakeConfig>,
}

impl Certificate {
    /// A new ECDSA P-256 certificate from the provider's randomness.
    pub fn generate() -> Result<Self, CertificateError> {
        let provider = rtc_crypto::default_provider().map_err(|e| CertificateError::Crypto(e.to_string()))?;
        let certificate =
            rtc_dtls::crypto::Certificate::generate_self_signed(vec!["enza".to_owned()], provider.crypto())
                .map_err(|e| CertificateError::Generate(e.to_string()))?;
        let der = certificate
            .certificate
            .first()
            .ok_or_else(|| CertificateError::Generate("no certificate".to_owned()))?;
        let hash = provider
            .crypto()
            .hash(HashAlgorithm::Sha256, der.as_ref())
            .map_err(|e| CertificateError::Crypto(e.to_string()))?;
        let config = |profile, role| {
            let client = role == DtlsRole::Client;
            ConfigBuilder::default()
                .with_crypto_provider(provider.clone())
                .with_certificates(vec![certificate.clone()])
                .with_srtp_protection_profiles(vec![profile])
                .with_client_auth(ClientAuthType::RequireAnyClientCert)
                .with_extended_master_secret(ExtendedMasterSecretType::Require)
                .with_insecure_skip_verify(true) // self-signed by design: the SDP fingerprint is the check
                .build(client, None)
                .map(Arc::new)
                .map_err(|e| CertificateError::Generate(e.to_string()))
        };
        Ok(Self {
            gcm: config(SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm, DtlsRole::Server)?,
            hello: config(SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm, DtlsRole::Client)?,
            cm: config(SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80, DtlsRole::Server)?,
            fingerprint: hex(&hash),
            provider,
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

/// What a datagram or a timer brought about.
pub(crate) enum Progressed {
    Nothing,
    /// The handshake is over and the client's certificate has the fingerprint of its offer.
    Connected(Keying),
    /// Decrypted SCTP packets.
    Data(Vec<BytesMut>),
    Closed,
    Failed,
}

enum State {
    /// Nothing came yet, or the ClientHello is not complete: what came so far is kept, bounded by the reader.
    Hello(HelloReader),
    /// Ours is the first word, and there is no path for it yet.
    Silent,
    Handshake {
        endpoint: Endpoint,
        profile: Profile,
        flight: Flight,
    },
    Connected(Endpoint),
    Ended,
}

/// Our last flight, kept as sent. `rtc-dtls` stops its own retransmission for good as soon as anything
/// arrives that does not complete the other's flight (a repeated ClientHello, say), so it is done here: the same
/// records again, of which the other drops those it has (RFC 6347 §4.2.4).
#[derive(Default)]
struct Flight {
    datagrams: Vec<BytesMut>,
    /// Not yet taken by [`Dtls::poll_transmit`], from the end.
    unsent: usize,
    interval: Duration,
    retransmit_at: Option<Instant>,
}

impl Flight {
    /// Takes over what a read produced; nothing when it was no progress.
    fn replace(&mut self, now: Instant, endpoint: &mut Endpoint) {
        let datagrams: Vec<_> =
            std::iter::from_fn(|| endpoint.poll_transmit()).map(|transmit| transmit.message).collect();
        if datagrams.is_empty() {
            return;
        }
        // A HelloVerifyRequest is not repeated: the client asks again (RFC 6347 §4.2.1).
        let verify = datagrams.iter().all(|datagram| {
            datagram.first() == Some(&HANDSHAKE) && datagram.get(RECORD_HEADER) == Some(&HELLO_VERIFY_REQUEST)
        });
        self.unsent = datagrams.len();
        self.datagrams = datagrams;
        self.interval = FLIGHT_INTERVAL;
        self.retransmit_at = (!verify).then(|| now + self.interval);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.retransmit_at.is_some_and(|at| at <= now) {
            self.unsent = self.datagrams.len();
            self.interval = self.interval.saturating_mul(2).min(MAX_FLIGHT_INTERVAL);
            self.retransmit_at = Some(now + self.interval);
        }
    }

    fn poll_transmit(&mut self) -> Option<BytesMut> {
        let next = self.datagrams.len().checked_sub(self.unsent).and_then(|at| self.datagrams.get(at));
        let next = next.cloned()?;
        self.unsent = self.unsent.saturating_sub(1);
        Some(next)
    }
}

pub(crate) struct Dtls {
    certificate: Certificate,
    /// SHA-256 of the certificate that the client announced in its offer.
    client_fingerprint: Vec<u8>,
    state: State,
    deadline: Option<Instant>,
    role: DtlsRole,
}

impl Dtls {
    pub(crate) fn new(certificate: Certificate, role: DtlsRole) -> Self {
        let state = match role {
            DtlsRole::Server => State::Hello(HelloReader::default()),
            DtlsRole::Client => State::Silent,
        };
        Self { certificate, client_fingerprint: Vec::new(), state, deadline: None, role }
    }

    pub(crate) fn role(&self) -> DtlsRole {
        self.role
    }

    /// The client takes the first word itself. Without effect once it has come.
    pub(crate) fn serve(&mut self) {
        if matches!(self.state, State::Silent) {
            self.role = DtlsRole::Server;
            self.state = State::Hello(HelloReader::default());
        }
    }

    /// There is a path: says the first word, once, if it is ours.
    pub(crate) fn begin(&mut self, now: Instant) {
        if !matches!(self.state, State::Silent) {
            return;
        }
        self.deadline = Some(now + HANDSHAKE_TIME);
        let mut endpoint = Endpoint::new(PEER, TransportProtocol::UDP, None);
        // An error would mean that there is no randomness; the deadline tells of it.
        let _ = endpoint.connect(now, PEER, self.certificate.hello.clone(), None);
        let mut flight = Flight::default();
        flight.replace(now, &mut endpoint);
        self.state = State::Handshake { endpoint, profile: Profile::AeadAes128Gcm, flight };
    }

    /// The fingerprint from the offer. Changing it after the handshake has no effect: a new key needs a new peer.
    pub(crate) fn set_client_fingerprint(&mut self, fingerprint: &[u8]) {
        if self.client_fingerprint != fingerprint {
            self.client_fingerprint = fingerprint.to_vec();
        }
    }

    pub(crate) fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) -> Progressed {
        if let State::Hello(reader) = &mut self.state {
            self.deadline.get_or_insert(now + HANDSHAKE_TIME);
            let profile = match reader.read(datagram) {
                Progress::NeedMore => return Progressed::Nothing,
                Progress::Complete { offers_gcm } if offers_gcm => Profile::AeadAes128Gcm,
                Progress::Complete { .. } => Profile::Aes128CmHmacSha1_80,
            };
            let config = match profile {
                Profile::AeadAes128Gcm => self.certificate.gcm.clone(),
                Profile::Aes128CmHmacSha1_80 => self.certificate.cm.clone(),
            };
            let held = reader.take();
            let endpoint = Endpoint::new(PEER, TransportProtocol::UDP, Some(config));
            self.state = State::Handshake { endpoint, profile, flight: Flight::default() };
            let mut last = Progressed::Nothing;
            for datagram in held {
                last = self.read(now, &datagram);
            }
            return last;
        }
        self.read(now, datagram)
    }

    fn read(&mut self, now: Instant, datagram: &[u8]) -> Progressed {
        let (endpoint, handshaking) = match &mut self.state {
            State::Handshake { endpoint, .. } => (endpoint, true),
            State::Connected(endpoint) => (endpoint, false),
            State::Hello(_) | State::Silent | State::Ended => return Progressed::Nothing,
        };
        let events = match endpoint.read(now, PEER, None, BytesMut::from(datagram)) {
            Ok(events) => events,
            // A genuine fatal alert. Every other error is about records that nobody authenticated (cut short,
            // malformed) and means nothing; before the handshake is over not even an alert does, and the
            // deadline judges.
            Err(Error::ErrAlertFatalOrClose) if !handshaking => {
                self.state = State::Ended;
                return Progressed::Closed;
            }
            Err(_) => Vec::new(),
        };
        let mut data = Vec::new();
        let mut completed = false;
        for event in events {
            match event {
                EndpointEvent::HandshakeComplete => completed = true,
                EndpointEvent::ApplicationData(bytes) => data.push(bytes),
                EndpointEvent::PeerClosed => {
                    self.state = State::Ended;
                    return Progressed::Closed;
                }
                _ => {}
            }
        }
        if completed {
            return self.complete();
        }
        if let State::Handshake { endpoint, flight, .. } = &mut self.state {
            flight.replace(now, endpoint);
            return Progressed::Nothing;
        }
        if data.is_empty() { Progressed::Nothing } else { Progressed::Data(data) }
    }

    /// Checks the client's certificate against its offer and exports the SRTP keys (RFC 5764 §4.2).
    fn complete(&mut self) -> Progressed {
        let State::Handshake { endpoint, profile, .. } = std::mem::replace(&mut self.state, State::Ended)
        else {
            return Progressed::Failed;
        };
        let keying = endpoint.get_connection_state(PEER).and_then(|state| {
            let der = state.peer_certificates.first()?;
            let hash = self.certificate.provider.crypto().hash(HashAlgorithm::Sha256, der).ok()?;
            if hash != self.client_fingerprint {
                return None;
            }
            let material = state
                .export_keying_material("EXTRACTOR-dtls_srtp", &[], profile.keying_material_len())
                .ok()?;
            Keying::split(profile, material.as_ref()).ok()
        });
        match keying {
            Some(keying) => {
                self.state = State::Connected(endpoint);
                self.deadline = None;
                Progressed::Connected(keying)
            }
            None => Progressed::Failed,
        }
    }

    /// Encrypts SCTP bytes; nothing happens before the handshake is over.
    pub(crate) fn write(&mut self, now: Instant, data: &[u8]) {
        if let State::Connected(endpoint) = &mut self.state {
            let _ = endpoint.write(now, PEER, data); // an error means that the connection is closed
        }
    }

    /// Sends close_notify.
    pub(crate) fn close(&mut self, now: Instant) {
        if let State::Connected(endpoint) = &mut self.state {
            endpoint.stop(now, PEER);
        }
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<BytesMut> {
        match &mut self.state {
            State::Handshake { flight, .. } => flight.poll_transmit(),
            State::Connected(endpoint) => endpoint.poll_transmit().map(|transmit| transmit.message),
            State::Hello(_) | State::Silent | State::Ended => None,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let retransmit = match &self.state {
            State::Handshake { flight, .. } => flight.retransmit_at,
            _ => None,
        };
        match (retransmit, self.deadline) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Progressed {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.state = State::Ended;
            self.deadline = None;
            return Progressed::Failed;
        }
        if let State::Handshake { flight, .. } = &mut self.state {
            flight.handle_timeout(now);
        }
        Progressed::Nothing
    }
}

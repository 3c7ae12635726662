//! DTLS and SRTP of a peer, by `rtc-dtls` and `rtc-srtp`: none of the server's own packet code.

use bytes::BytesMut;
use rtc_crypto::{HashAlgorithm, RTCCryptoProvider};
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType};
use rtc_dtls::crypto::Certificate;
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc_shared::TransportProtocol;
use rtc_srtp::config::{Config, LABEL_EXTRACTOR_DTLS_SRTP};
use rtc_srtp::context::Context;
use rtc_srtp::protection_profile::ProtectionProfile;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// DTLS knows no address here: ICE moves the path under it.
pub(crate) const PLACEHOLDER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 1)), 1);

#[derive(Clone, Debug)]
pub(crate) struct DtlsOptions {
    /// `use_srtp` in the client's order.
    pub(crate) profiles: Vec<SrtpProtectionProfile>,
    /// Handshake messages are cut to datagrams of this many bytes.
    pub(crate) mtu: usize,
    pub(crate) flight_interval: Duration,
    /// The first word is the server's (`a=setup:active`).
    pub(crate) waits: bool,
}

impl DtlsOptions {
    /// Chromium 156 (media-stack.md section 10): AES-CM first.
    pub(crate) fn chromium() -> Self {
        Self {
            profiles: vec![
                SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
                SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm,
                SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
            ],
            mtu: 1200,
            flight_interval: Duration::from_millis(100),
            waits: false,
        }
    }

    pub(crate) fn cm_only() -> Self {
        Self { profiles: vec![SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80], ..Self::chromium() }
    }
}

pub(crate) struct DtlsClient {
    provider: Arc<dyn RTCCryptoProvider>,
    endpoint: Endpoint,
    config: Arc<rtc_dtls::config::HandshakeConfig>,
    pub(crate) fingerprint: String,
    waits: bool,
    pub(crate) state: DtlsState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DtlsState {
    New,
    Handshaking,
    Established,
    Closed,
    Failed,
}

/// What one datagram brought.
#[derive(Default)]
pub(crate) struct DtlsOutcome {
    pub(crate) established: bool,
    pub(crate) application_data: Vec<BytesMut>,
}

impl DtlsClient {
    pub(crate) fn new(provider: Arc<dyn RTCCryptoProvider>, options: &DtlsOptions) -> Self {
        let certificate = Certificate::generate_self_signed(vec!["WebRTC".to_owned()], provider.crypto())
            .expect("a self-signed certificate");
        let fingerprint = fingerprint(&certificate.certificate[0], provider.as_ref());
        let config = ConfigBuilder::default()
            .with_crypto_provider(provider.clone())
            .with_certificates(vec![certificate])
            .with_srtp_protection_profiles(options.profiles.clone())
            .with_extended_master_secret(ExtendedMasterSecretType::Require)
            .with_flight_interval(options.flight_interval)
            .with_mtu(options.mtu)
            // The chain means nothing in WebRTC: the fingerprint is compared after the handshake.
            .with_insecure_skip_verify(true)
            .with_client_auth(ClientAuthType::RequireAnyClientCert)
            .build(!options.waits, None)
            .expect("a client configuration");
        let config = Arc::new(config);
        let serves = options.waits.then(|| config.clone());
        Self {
            provider,
            endpoint: Endpoint::new(PLACEHOLDER, TransportProtocol::UDP, serves),
            config,
            fingerprint,
            waits: options.waits,
            state: DtlsState::New,
        }
    }

    pub(crate) fn start(&mut self, now: Instant) {
        if self.state == DtlsState::New && !self.waits {
            self.state = DtlsState::Handshaking;
            self.endpoint.connect(now, PLACEHOLDER, self.config.clone(), None).expect("a first flight");
        }
    }

    pub(crate) fn read(&mut self, now: Instant, bytes: &[u8]) -> DtlsOutcome {
        let mut outcome = DtlsOutcome::default();
        if self.state == DtlsState::New && self.waits {
            self.state = DtlsState::Handshaking;
        }
        if matches!(self.state, DtlsState::New | DtlsState::Closed | DtlsState::Failed) {
            return outcome;
        }
        match self.endpoint.read(now, PLACEHOLDER, None, BytesMut::from(bytes)) {
            Ok(events) => {
                for event in events {
                    match event {
                        EndpointEvent::HandshakeComplete => {
                            self.state = DtlsState::Established;
                            outcome.established = true;
                        }
                        EndpointEvent::ApplicationData(data) => outcome.application_data.push(data),
                        EndpointEvent::PeerClosed => self.state = DtlsState::Closed,
                        _ => {}
                    }
                }
            }
            Err(_) if self.state == DtlsState::Handshaking => self.state = DtlsState::Failed,
            Err(_) => {}
        }
        outcome
    }

    pub(crate) fn write(&mut self, now: Instant, data: &[u8]) {
        self.endpoint.write(now, PLACEHOLDER, data).expect("an established association");
    }

    pub(crate) fn close(&mut self, now: Instant) {
        self.endpoint.close(now).expect("close_notify");
        self.state = DtlsState::Closed;
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<BytesMut> {
        self.endpoint.poll_transmit().map(|transmit| transmit.message)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        (self.state == DtlsState::Handshaking).then(|| self.endpoint.poll_timeout(&PLACEHOLDER)).flatten()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.state == DtlsState::Handshaking && self.endpoint.handle_timeout(PLACEHOLDER, now).is_err() {
            self.state = DtlsState::Failed;
        }
    }

    /// Keys for both directions, and the server's certificate fingerprint.
    pub(crate) fn session(&self) -> Session {
        let state = self.endpoint.get_connection_state(PLACEHOLDER).expect("an association");
        let chosen = state.srtp_protection_profile();
        let profile = match chosen {
            SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
            SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm => ProtectionProfile::AeadAes128Gcm,
            SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm => ProtectionProfile::AeadAes256Gcm,
            other => panic!("the server chose {other:?}"),
        };
        let mut config = Config { profile, ..Config::default() };
        let material = state
            .export_keying_material(LABEL_EXTRACTOR_DTLS_SRTP, &[], config.keying_material_len())
            .expect("keying material");
        config.set_session_keys_from_keying_material(material.as_ref(), !self.waits).expect("keys");
        let crypto = self.provider.crypto();
        let keys = &config.keys;
        let context = |key: &[u8], salt: &[u8]| {
            Context::new(key, salt, profile, None, None, crypto).expect("an SRTP context")
        };
        Session {
            profile: chosen,
            outgoing: context(&keys.local_master_key, &keys.local_master_salt),
            incoming: context(&keys.remote_master_key, &keys.remote_master_salt),
            server_fingerprint: fingerprint(&state.peer_certificates[0], self.provider.as_ref()),
        }
    }
}

pub(crate) struct Session {
    /// As the server chose it.
    pub(crate) profile: SrtpProtectionProfile,
    pub(crate) outgoing: Context,
    pub(crate) incoming: Context,
    pub(crate) server_fingerprint: String,
}

/// RFC 8122: upper-case hex pairs.
fn fingerprint(der: &[u8], provider: &dyn RTCCryptoProvider) -> String {
    let digest = provider.crypto().hash(HashAlgorithm::Sha256, der).expect("SHA-256");
    digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

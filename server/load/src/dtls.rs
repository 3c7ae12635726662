//! One DTLS 1.2 association in either role, and the SRTP keys it yields (RFC 5764).

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::BytesMut;
use rtc_crypto::{HashAlgorithm, RTCCryptoProvider};
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig};
use rtc_dtls::crypto::Certificate;
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc_shared::TransportProtocol;
use rtc_srtp::config::{Config as SrtpConfig, LABEL_EXTRACTOR_DTLS_SRTP};
use rtc_srtp::context::Context as SrtpContext;
use rtc_srtp::option::{srtcp_replay_protection, srtp_replay_protection};
use rtc_srtp::protection_profile::ProtectionProfile;

use crate::sdp::Setup;

/// The association is bound to ICE, not to an address, so the endpoint sees one made-up peer.
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);
/// Retransmission of a lost flight. Higher delays a join after loss, lower costs the server answers to packets that were
/// only late.
const FLIGHT_INTERVAL: Duration = Duration::from_millis(100);
/// Packets by which one may overtake another and still be opened; more than any network here reorders, so that what the
/// window refuses really is a second copy.
const REPLAY_WINDOW: usize = 1_024;
/// AES-128-GCM first: it is what the server should choose, and what costs it least.
const PROFILES: [SrtpProtectionProfile; 3] = [
    SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
    SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm,
    SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
];

/// A self-signed certificate; all clients of a run share one, because making one costs more than a join.
#[derive(Clone)]
pub(crate) struct Identity {
    pub crypto: Arc<dyn RTCCryptoProvider>,
    certificate: Certificate,
    /// `sha-256`, colon-separated upper-case hex.
    pub fingerprint: String,
}

impl Identity {
    pub(crate) fn generate() -> Result<Self> {
        let crypto = rtc_crypto::default_provider()?;
        let certificate = Certificate::generate_self_signed(vec!["load".to_owned()], crypto.crypto())?;
        let der = certificate.certificate.first().context("certificate is empty")?;
        let fingerprint = fingerprint(crypto.as_ref(), der)?;
        Ok(Self { crypto, certificate, fingerprint })
    }

    fn config(&self, is_client: bool) -> Result<Arc<HandshakeConfig>> {
        // The peer is authenticated by the fingerprint in its SDP, not by a certificate chain.
        let builder = ConfigBuilder::default()
            .with_crypto_provider(self.crypto.clone())
            .with_certificates(vec![self.certificate.clone()])
            .with_srtp_protection_profiles(PROFILES.to_vec())
            .with_client_auth(ClientAuthType::RequireAnyClientCert)
            .with_extended_master_secret(ExtendedMasterSecretType::Require)
            .with_flight_interval(FLIGHT_INTERVAL)
            .with_insecure_skip_verify(true);
        Ok(Arc::new(builder.build(is_client, Some(PEER))?))
    }
}

fn fingerprint(crypto: &dyn RTCCryptoProvider, der: &[u8]) -> Result<String> {
    let hash = crypto.crypto().hash(HashAlgorithm::Sha256, der)?;
    Ok(hash.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":"))
}

/// SRTP in both directions.
pub(crate) struct Keys {
    pub profile: &'static str,
    pub outbound: SrtpContext,
    pub inbound: SrtpContext,
}

pub(crate) struct Association {
    crypto: Arc<dyn RTCCryptoProvider>,
    endpoint: Endpoint,
    /// `Some` until the handshake is opened, when we are the client.
    connect: Option<Arc<HandshakeConfig>>,
    expected_fingerprint: String,
}

impl Association {
    pub(crate) fn new(identity: &Identity, setup: Setup, expected_fingerprint: String) -> Result<Self> {
        let is_client = setup == Setup::Passive;
        let config = identity.config(is_client)?;
        let (server, connect) = if is_client { (None, Some(config)) } else { (Some(config), None) };
        Ok(Self {
            crypto: identity.crypto.clone(),
            endpoint: Endpoint::new(PEER, TransportProtocol::UDP, server),
            connect,
            expected_fingerprint,
        })
    }

    /// The path is usable: opens the handshake if that is our part.
    pub(crate) fn start(&mut self, now: Instant) -> Result<()> {
        match self.connect.take() {
            Some(config) => Ok(self.endpoint.connect(now, PEER, config, None)?),
            None => Ok(()),
        }
    }

    /// Takes a record; gives the keys once, when the handshake is over.
    pub(crate) fn handle_record(&mut self, now: Instant, data: &[u8]) -> Result<Option<Keys>> {
        let mut keys = None;
        for event in self.endpoint.read(now, PEER, None, BytesMut::from(data))? {
            match event {
                EndpointEvent::HandshakeComplete => keys = Some(self.export()?),
                EndpointEvent::PeerClosed => bail!("server closed the DTLS association"),
                _ => {}
            }
        }
        Ok(keys)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.endpoint.poll_timeout(&PEER)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<()> {
        if self.next_deadline().is_some_and(|at| at <= now) {
            self.endpoint.handle_timeout(PEER, now)?;
        }
        Ok(())
    }

    /// Queues a close_notify alert.
    pub(crate) fn close(&mut self, now: Instant) -> Result<()> {
        Ok(self.endpoint.close(now)?)
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<BytesMut> {
        self.endpoint.poll_transmit().map(|transmit| transmit.message)
    }

    fn export(&self) -> Result<Keys> {
        let state = self.endpoint.get_connection_state(PEER).context("association without state")?;
        let certificate = state.peer_certificates.first().context("server sent no certificate")?;
        ensure!(
            fingerprint(self.crypto.as_ref(), certificate)? == self.expected_fingerprint,
            "server's certificate is not the one its SDP announced"
        );
        let (profile, name) = match state.srtp_protection_profile() {
            SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm => {
                (ProtectionProfile::AeadAes128Gcm, "AEAD_AES_128_GCM")
            }
            SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm => {
                (ProtectionProfile::AeadAes256Gcm, "AEAD_AES_256_GCM")
            }
            SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80 => {
                (ProtectionProfile::Aes128CmHmacSha1_80, "AES128_CM_HMAC_SHA1_80")
            }
            _ => bail!("no SRTP profile was agreed on"),
        };
        let mut config = SrtpConfig { profile, ..SrtpConfig::default() };
        let material =
            state.export_keying_material(LABEL_EXTRACTOR_DTLS_SRTP, &[], config.keying_material_len())?;
        config.set_session_keys_from_keying_material(material.as_ref(), state.is_client())?;
        let keys = &config.keys;
        let crypto = self.crypto.crypto();
        Ok(Keys {
            profile: name,
            outbound: SrtpContext::new(
                &keys.local_master_key,
                &keys.local_master_salt,
                profile,
                None,
                None,
                crypto,
            )?,
            inbound: SrtpContext::new(
                &keys.remote_master_key,
                &keys.remote_master_salt,
                profile,
                Some(srtp_replay_protection(REPLAY_WINDOW)),
                Some(srtcp_replay_protection(REPLAY_WINDOW)),
                crypto,
            )?,
        })
    }
}

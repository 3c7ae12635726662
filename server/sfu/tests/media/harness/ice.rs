//! A full, controlling ICE agent with one local address, in the manner of libwebrtc against a lite agent:
//! USE-CANDIDATE only once the pair is writable, checks that thin out to one in 2.5 s.

use super::random::Random;
use rtc_crypto::RTCCrypto;
use rtc_stun::attributes::{
    ATTR_ICE_CONTROLLING, ATTR_PRIORITY, ATTR_USE_CANDIDATE, ATTR_USERNAME, AttrType,
};
use rtc_stun::fingerprint::FINGERPRINT;
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::{
    BINDING_REQUEST, BINDING_SUCCESS, CLASS_REQUEST, Getter, METHOD_BINDING, Message, Setter, TransactionId,
};
use rtc_stun::textattrs::TextAttribute;
use rtc_stun::xoraddr::XorMappedAddress;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) ufrag: String,
    pub(crate) password: String,
}

impl Credentials {
    pub(crate) fn generate(random: &mut Random) -> Self {
        Self { ufrag: random.ice_chars(4), password: random.ice_chars(24) }
    }
}

/// When USE-CANDIDATE is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nomination {
    /// libwebrtc with a lite peer: after the first success response.
    Regular,
    /// Firefox (nICEr): on every check.
    Aggressive,
}

const CHECK: Duration = Duration::from_millis(50);
const STABILIZING: Duration = Duration::from_millis(480);
const CONSENT: Duration = Duration::from_millis(2500);
const STABILIZING_CHECKS: u32 = 3;

pub(crate) struct Agent {
    nomination: Nomination,
    pub(crate) local: Credentials,
    pub(crate) remote: Option<Credentials>,
    pub(crate) server: Option<SocketAddr>,
    tie_breaker: u64,
    /// Transaction id -> whether USE-CANDIDATE was set, and the password the answer is signed with.
    pending: HashMap<[u8; 12], (bool, String)>,
    next_check: Option<Instant>,
    writable: bool,
    nominated: bool,
    stable_checks: u32,
    /// Success responses so far.
    pub(crate) responses: u64,
    pub(crate) last_response: Option<Instant>,
}

impl Agent {
    pub(crate) fn new(nomination: Nomination, random: &mut Random) -> Self {
        Self {
            nomination,
            local: Credentials::generate(random),
            remote: None,
            server: None,
            tie_breaker: random.next(),
            pending: HashMap::new(),
            next_check: None,
            writable: false,
            nominated: false,
            stable_checks: 0,
            responses: 0,
            last_response: None,
        }
    }

    /// The answer's credentials and candidate. New ones begin checking at once; the old ones go on unchanged.
    pub(crate) fn set_remote(&mut self, now: Instant, remote: Credentials, server: SocketAddr) {
        if self.remote.as_ref() == Some(&remote) && self.server == Some(server) {
            return;
        }
        self.remote = Some(remote);
        self.server = Some(server);
        self.begin(now);
    }

    /// Check the pair anew: new credentials, or a new local address.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.pending.clear();
        self.writable = false;
        self.nominated = false;
        self.stable_checks = 0;
        self.next_check = self.remote.is_some().then_some(now);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.next_check
    }

    /// The next check, when due.
    pub(crate) fn handle_timeout(
        &mut self,
        now: Instant,
        random: &mut Random,
        crypto: &dyn RTCCrypto,
    ) -> Option<Vec<u8>> {
        if self.next_check.is_none_or(|at| at > now) {
            return None;
        }
        let interval = match (self.writable && self.nominated, self.stable_checks) {
            (false, _) => CHECK,
            (true, done) if done < STABILIZING_CHECKS => {
                self.stable_checks += 1;
                STABILIZING
            }
            (true, _) => CONSENT,
        };
        self.next_check = Some(now + interval);
        Some(self.check(random, crypto))
    }

    fn check(&mut self, random: &mut Random, crypto: &dyn RTCCrypto) -> Vec<u8> {
        let use_candidate = self.nomination == Nomination::Aggressive || self.writable;
        let remote = self.remote.as_ref().expect("remote credentials");
        let mut id = [0; 12];
        random.fill(&mut id);
        self.pending.insert(id, (use_candidate, remote.password.clone()));
        binding_request(id, &self.local.ufrag, remote, self.tie_breaker, use_candidate, crypto)
    }

    /// One STUN message from the server. Panics on what a browser would refuse, since every message here is
    /// from our own shard. Returns whether the pair just became writable.
    pub(crate) fn handle_message(
        &mut self,
        now: Instant,
        bytes: &[u8],
        own: SocketAddr,
        crypto: &dyn RTCCrypto,
    ) -> bool {
        let mut message = Message::new();
        message.unmarshal_binary(bytes).expect("a STUN message");
        assert!(
            message.typ.method != METHOD_BINDING || message.typ.class != CLASS_REQUEST,
            "a lite agent sent a check of its own (RFC 8445 section 6.2)"
        );
        if message.typ != BINDING_SUCCESS {
            return false;
        }
        let Some((use_candidate, password)) = self.pending.remove(&message.transaction_id.0) else {
            return false;
        };
        FINGERPRINT.check(&message).expect("FINGERPRINT of a response");
        MessageIntegrity::check(&mut message, password.as_bytes(), crypto).expect("integrity of a response");
        let mut mapped = XorMappedAddress::default();
        mapped.get_from(&message).expect("XOR-MAPPED-ADDRESS");
        assert_eq!(SocketAddr::new(mapped.ip, mapped.port), own, "XOR-MAPPED-ADDRESS");
        self.responses += 1;
        self.last_response = Some(now);
        if use_candidate {
            self.nominated = true;
        }
        let became_writable = !self.writable;
        self.writable = true;
        if became_writable {
            self.next_check = Some(now);
        }
        became_writable
    }
}

struct Attribute(AttrType, Vec<u8>);

impl Setter for Attribute {
    fn add_to(&self, message: &mut Message) -> rtc_shared::error::Result<()> {
        message.add(self.0, &self.1);
        Ok(())
    }
}

/// RFC 8445 section 7.2.2, signed by RFC 5389's short-term mechanism.
pub(crate) fn binding_request(
    id: [u8; 12],
    local_ufrag: &str,
    remote: &Credentials,
    tie_breaker: u64,
    use_candidate: bool,
    crypto: &dyn RTCCrypto,
) -> Vec<u8> {
    let mut setters: Vec<Box<dyn Setter + '_>> = vec![
        Box::new(BINDING_REQUEST),
        Box::new(TransactionId(id)),
        Box::new(TextAttribute::new(ATTR_USERNAME, format!("{}:{local_ufrag}", remote.ufrag))),
        // GOOG-NETWORK-INFO, as libwebrtc sends it: an optional attribute that we must pass over.
        Box::new(Attribute(AttrType(0xc057), vec![0, 1, 0, 50])),
        Box::new(Attribute(ATTR_ICE_CONTROLLING, tie_breaker.to_be_bytes().to_vec())),
        Box::new(Attribute(ATTR_PRIORITY, 1_853_824_767u32.to_be_bytes().to_vec())),
    ];
    if use_candidate {
        setters.push(Box::new(Attribute(ATTR_USE_CANDIDATE, Vec::new())));
    }
    setters.push(Box::new(MessageIntegrity::new_short_term_integrity_with_provider(
        remote.password.clone(),
        crypto,
    )));
    setters.push(Box::new(FINGERPRINT));
    let mut message = Message::new();
    message.build(&setters).expect("a binding request");
    message.raw.clone()
}

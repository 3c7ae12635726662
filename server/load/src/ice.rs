//! A controlling ICE agent that is just enough for a server with reachable addresses (RFC 8445).
//!
//! It tries the server's candidates one after the other with USE-CANDIDATE checks, keeps the first that answers, proves
//! consent every few seconds (RFC 7675), and answers authenticated checks, so that full agents accept it too. It reads no
//! clock and owns no socket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rtc_crypto::RTCCryptoProvider;
use rtc_stun::attributes::{ATTR_ICE_CONTROLLING, ATTR_PRIORITY, ATTR_USE_CANDIDATE, ATTR_USERNAME};
use rtc_stun::fingerprint::FINGERPRINT;
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::{BINDING_REQUEST, BINDING_SUCCESS, Message, MessageType, Setter as _, TransactionId};
use rtc_stun::textattrs::TextAttribute;
use rtc_stun::xoraddr::XorMappedAddress;

/// Time between checks of one candidate. Higher delays a join whose first check was lost, lower costs packets.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// Checks without answer after which the next candidate is tried.
const CHECKS_PER_CANDIDATE: u32 = 10;
/// Time between consent checks; browsers use about as much.
const CONSENT_INTERVAL: Duration = Duration::from_millis(2_500);
/// Silence after which the path counts as lost (RFC 7675 §5.1).
const CONSENT_TIMEOUT: Duration = Duration::from_secs(30);
/// Candidates kept; a server needs a handful.
const MAX_CANDIDATES: usize = 16;
/// Host candidate, UDP, component 1 (RFC 8445 §5.1.2).
const PRIORITY: u32 = 0x6e7f_ffff;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// No credentials or no candidate of the server yet.
    Waiting,
    Checking {
        candidate: usize,
        checks: u32,
    },
    Connected {
        remote: SocketAddr,
        heard: Instant,
    },
    Lost,
}

pub(crate) struct Agent {
    crypto: Arc<dyn RTCCryptoProvider>,
    pub ufrag: String,
    pub pwd: String,
    tie_breaker: u64,
    remote: Option<(String, String)>,
    candidates: Vec<SocketAddr>,
    state: State,
    transaction: Option<TransactionId>,
    next_check: Option<Instant>,
    outbox: Vec<(SocketAddr, Vec<u8>)>,
}

impl Agent {
    pub(crate) fn new(crypto: Arc<dyn RTCCryptoProvider>) -> Result<Self> {
        let mut random = [0; 36];
        crypto.random().fill(&mut random).context("random bytes for ICE credentials")?;
        let letters = |bytes: &[u8]| bytes.iter().map(|b| char::from(b'a' + b % 26)).collect::<String>();
        let (ufrag, rest) = random.split_at(8);
        let (pwd, tie_breaker) = rest.split_at(20);
        Ok(Self {
            crypto,
            ufrag: letters(ufrag),
            pwd: letters(pwd) + "0000",
            tie_breaker: tie_breaker.iter().fold(0, |value, &byte| (value << 8) | u64::from(byte)),
            remote: None,
            candidates: Vec::new(),
            state: State::Waiting,
            transaction: None,
            next_check: None,
            outbox: Vec::new(),
        })
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    pub(crate) fn set_remote(&mut self, now: Instant, ufrag: &str, pwd: &str) {
        self.remote = Some((ufrag.to_owned(), pwd.to_owned()));
        self.start(now);
    }

    /// Adds a candidate, before all others if it is `preferred`.
    pub(crate) fn add_candidate(&mut self, now: Instant, candidate: SocketAddr, preferred: bool) {
        if self.candidates.len() >= MAX_CANDIDATES || self.candidates.contains(&candidate) {
            return;
        }
        if preferred && self.state == State::Waiting {
            self.candidates.insert(0, candidate);
        } else {
            self.candidates.push(candidate);
        }
        self.start(now);
    }

    fn start(&mut self, now: Instant) {
        if self.state == State::Waiting && self.remote.is_some() && !self.candidates.is_empty() {
            self.state = State::Checking { candidate: 0, checks: 0 };
            self.next_check = Some(now);
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.next_check
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<()> {
        if self.next_check.is_none_or(|at| now < at) {
            return Ok(());
        }
        match self.state {
            State::Waiting | State::Lost => self.next_check = None,
            State::Checking { candidate, checks } => {
                let (candidate, checks) = if checks < CHECKS_PER_CANDIDATE {
                    (candidate, checks)
                } else {
                    ((candidate + 1) % self.candidates.len(), 0)
                };
                self.state = State::Checking { candidate, checks: checks + 1 };
                self.next_check = Some(now + CHECK_INTERVAL);
                self.send_check(self.candidates[candidate])?;
            }
            State::Connected { heard, .. } if now.duration_since(heard) > CONSENT_TIMEOUT => {
                self.state = State::Lost;
                self.next_check = None;
            }
            State::Connected { remote, .. } => {
                self.next_check = Some(now + CONSENT_INTERVAL);
                self.send_check(remote)?;
            }
        }
        Ok(())
    }

    fn send_check(&mut self, to: SocketAddr) -> Result<()> {
        let Some((ufrag, pwd)) = self.remote.clone() else { return Ok(()) };
        let id = TransactionId::new();
        let mut request = message(BINDING_REQUEST, id);
        TextAttribute::new(ATTR_USERNAME, format!("{ufrag}:{}", self.ufrag)).add_to(&mut request)?;
        request.add(ATTR_ICE_CONTROLLING, &self.tie_breaker.to_be_bytes());
        request.add(ATTR_PRIORITY, &PRIORITY.to_be_bytes());
        request.add(ATTR_USE_CANDIDATE, &[]);
        self.finish(request, pwd, to)?;
        self.transaction = Some(id);
        Ok(())
    }

    fn finish(&mut self, mut message: Message, pwd: String, to: SocketAddr) -> Result<()> {
        MessageIntegrity::new_short_term_integrity_with_provider(pwd, self.crypto.crypto())
            .add_to(&mut message)?;
        FINGERPRINT.add_to(&mut message)?;
        self.outbox.push((to, message.raw));
        Ok(())
    }

    /// Takes a STUN message; what is not for this agent, or not authentic, changes nothing.
    pub(crate) fn handle_message(&mut self, now: Instant, from: SocketAddr, data: &[u8]) -> Result<()> {
        let mut message = Message::new();
        if message.unmarshal_binary(data).is_err() {
            return Ok(());
        }
        if message.typ == BINDING_REQUEST {
            return self.answer(from, message);
        }
        let Some((_, pwd)) = &self.remote else { return Ok(()) };
        if message.typ != BINDING_SUCCESS
            || Some(message.transaction_id) != self.transaction
            || MessageIntegrity::check(&mut message, pwd.as_bytes(), self.crypto.crypto()).is_err()
        {
            return Ok(());
        }
        self.transaction = None;
        if let State::Checking { .. } = self.state {
            self.next_check = Some(now + CONSENT_INTERVAL);
        }
        self.state = State::Connected { remote: from, heard: now };
        Ok(())
    }

    fn answer(&mut self, from: SocketAddr, mut request: Message) -> Result<()> {
        if MessageIntegrity::check(&mut request, self.pwd.as_bytes(), self.crypto.crypto()).is_err() {
            return Ok(());
        }
        let mut response = message(BINDING_SUCCESS, request.transaction_id);
        XorMappedAddress { ip: from.ip(), port: from.port() }.add_to(&mut response)?;
        self.finish(response, self.pwd.clone(), from)
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.outbox.pop()
    }
}

fn message(typ: MessageType, id: TransactionId) -> Message {
    let mut message = Message::new();
    message.transaction_id = id;
    message.set_type(typ);
    message.write_header();
    message
}

//! TURN (RFC 8656) that leads nowhere but to our own media plane.
//!
//! Sans-I/O: no sockets, threads, clock reads or randomness; time and seeds are arguments. There are no relay sockets: a
//! relayed address is a number, and what a client sends through it is an effect that names one of the media plane's own
//! addresses. So whatever a client asks for, nobody else can be reached.
//!
//! [`Relay`] is everything: feed it messages and time; after each, drain [`Relay::poll_effect`]. [`cut`] finds the
//! messages in a stream, [`Secret`] makes the credentials that clients are given, [`is_for_relay`] tells such messages
//! from a media plane's own on one port. It knows no person, no room and no media.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod allocation;
mod answers;
mod credential;
mod cut;
mod message;
mod quota;
mod relay;

pub use credential::{Credential, Secret};
pub use cut::{Cut, MESSAGE_MAX, cut};
pub use message::{begins_stream, binding_answer, binding_request, is_for_relay, mapped_address};
pub use relay::{Client, Effect, Now, Path, Relay, RelayConfig, Transport};

/// An origin for the tests' virtual time; never read again.
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "virtual time has to start somewhere")]
fn start() -> std::time::Instant {
    std::time::Instant::now()
}

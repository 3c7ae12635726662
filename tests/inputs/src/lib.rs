//! What strangers send: one body for each parser that reads from the network, and one for each core with its state. A body takes
//! any bytes and panics when a promise is broken.
//!
//! `tests/fuzz` feeds them by libFuzzer for as long as wanted; the test of this crate runs each on its seeds
//! (`seeds.rs`) and on what is left of those after some changes, so that a body that cannot run is noticed in every test run.

mod circle;
mod data_packet;
mod dependency;
mod dtls;
mod frames;
mod join_request;
mod rtp_rtcp;
mod sctp;
mod sdp;
mod seeds;
mod shard;
mod signal;
mod srtp;
mod steps;
mod stun;
mod turn;
mod world;

pub use seeds::{hand_out, seeds};

use arbitrary::{Arbitrary, Unstructured};

/// A name, and what it does with any bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All of them. Each has a file of its name in `tests/fuzz/fuzz_targets`.
pub const TARGETS: [Target; 14] = [
    ("circle", circle::run),
    ("data_packet", data_packet::run),
    ("dependency", dependency::run),
    ("dtls", dtls::run),
    ("frames", frames::run),
    ("join_request", join_request::run),
    ("rtp_rtcp", rtp_rtcp::run),
    ("sctp", sctp::run),
    ("sdp", sdp::run),
    ("shard", shard::run),
    ("signal", signal::run),
    ("srtp", srtp::run),
    ("stun", stun::run),
    ("turn", turn::run),
];

/// Runs the body with this name.
///
/// # Panics
/// When there is none, or when it finds something.
pub fn run(name: &str, bytes: &[u8]) {
    let (_, body) = TARGETS.iter().find(|(known, _)| *known == name).expect("a target with this name");
    body(bytes);
}

/// The bytes as a value, as libFuzzer's own macro reads them.
fn reading<'a, T: Arbitrary<'a>>(bytes: &'a [u8]) -> Option<T> {
    T::arbitrary_take_rest(Unstructured::new(bytes)).ok()
}

//! What sealing and opening one packet costs: `cargo run --release -p sfu --example srtp_speed`.

#![expect(clippy::print_stdout, reason = "prints its measurements")]
#![expect(clippy::disallowed_methods, reason = "measures time")]

use sfu::srtp::{Keying, Opener, Profile, Sealer, SrtpError};
use std::hint::black_box;
use std::time::Instant;

const HEADER: usize = 12;
/// Each figure is the best of this many rounds, so that other work on the machine does not count.
const ROUNDS: usize = 1000;
/// Few enough to stay in the cache, as a batch on a shard does.
const PACKETS: u32 = 128;

fn main() -> Result<(), SrtpError> {
    println!("{:<22} {:>7} {:>9} {:>9}", "profile", "payload", "seal ns", "open ns");
    for profile in [Profile::AeadAes128Gcm, Profile::Aes128CmHmacSha1_80] {
        for payload in [100, 1100] {
            let (seal, open) = measure(profile, payload)?;
            println!("{:<22} {payload:>7} {seal:>9.0} {open:>9.0}", format!("{profile:?}"));
        }
    }
    Ok(())
}

/// Nanoseconds per seal and per open.
fn measure(profile: Profile, payload: usize) -> Result<(f64, f64), SrtpError> {
    let keying = Keying::split(profile, &vec![0x5a; profile.keying_material_len()])?;
    let mut sealer = Sealer::new(&keying, true)?;
    let mut opener = Opener::new(&keying, false)?;
    let plain_len = HEADER + payload;
    let mut plain = vec![7; plain_len];
    plain[..HEADER].copy_from_slice(&[0x80, 96, 0, 0, 0, 0, 0, 1, 0, 0, 0, 9]);
    let mut slab = vec![0; PACKETS as usize * (plain_len + sealer.overhead())];
    let mut extended = 0_u32;
    let (mut best_seal, mut best_open) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..ROUNDS {
        // As the shard does: the plain packet is written into the slab, then sealed there.
        for packet in slab.chunks_exact_mut(plain_len + profile.rtp_overhead()) {
            plain[2..4].copy_from_slice(&(extended as u16).to_be_bytes());
            packet[..plain_len].copy_from_slice(&plain);
            extended += 1;
        }
        let first = extended - PACKETS;
        let begin = Instant::now();
        for (extended, packet) in (first..).zip(slab.chunks_exact_mut(plain_len + profile.rtp_overhead())) {
            black_box(sealer.seal_rtp(packet, plain_len, HEADER, extended >> 16)?);
        }
        best_seal = best_seal.min(begin.elapsed().as_nanos() as f64 / f64::from(PACKETS));
        let begin = Instant::now();
        for packet in slab.chunks_exact_mut(plain_len + profile.rtp_overhead()) {
            black_box(opener.open_rtp(packet, HEADER)?);
        }
        best_open = best_open.min(begin.elapsed().as_nanos() as f64 / f64::from(PACKETS));
    }
    Ok((best_seal, best_open))
}

//! Each body runs on its seeds, and on what is left of them after some changes. The search itself is libFuzzer's (`tests/fuzz`).

use inputs::{TARGETS, seeds};

/// Changed copies of each seed. Higher: more is found here, and every test run takes longer.
const CHANGED: u64 = 60;

#[test]
fn every_body_keeps_its_promises_on_its_seeds_and_their_like() {
    for (name, body) in TARGETS {
        let seeds = seeds(name);
        assert!(seeds.len() >= 5, "{name} has seeds");
        for seed in &seeds {
            body(seed);
            for change in 0..CHANGED {
                body(&changed(seed, change));
            }
        }
    }
}

/// The same change each time: a byte, a cut or a doubled part.
fn changed(seed: &[u8], change: u64) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    let roll = (change + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed.len() as u64;
    let at = (roll >> 16) as usize % (seed.len() + 1);
    match roll % 4 {
        0 => bytes.truncate(at),
        1 => bytes.extend_from_slice(&seed[at..]),
        _ => {
            for (turn, byte) in bytes.iter_mut().skip(at).step_by(97).enumerate() {
                *byte ^= (roll >> (8 * (turn % 4) + 32)) as u8;
            }
        }
    }
    bytes
}

#[test]
fn every_target_has_its_file_for_libfuzzer() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/fuzz_targets");
    let mut files: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    files.sort();
    assert_eq!(files, TARGETS.map(|(name, _)| name.to_owned()));
}

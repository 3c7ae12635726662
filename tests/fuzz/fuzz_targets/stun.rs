#![no_main]

libfuzzer_sys::fuzz_target!(init: inputs::hand_out("stun"), |bytes: &[u8]| inputs::run("stun", bytes));

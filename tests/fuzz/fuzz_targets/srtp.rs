#![no_main]

libfuzzer_sys::fuzz_target!(init: inputs::hand_out("srtp"), |bytes: &[u8]| inputs::run("srtp", bytes));

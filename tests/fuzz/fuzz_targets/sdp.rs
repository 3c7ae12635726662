#![no_main]

libfuzzer_sys::fuzz_target!(init: inputs::hand_out("sdp"), |bytes: &[u8]| inputs::run("sdp", bytes));

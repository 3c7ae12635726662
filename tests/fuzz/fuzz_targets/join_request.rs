#![no_main]

libfuzzer_sys::fuzz_target!(init: inputs::hand_out("join_request"), |bytes: &[u8]| inputs::run("join_request", bytes));

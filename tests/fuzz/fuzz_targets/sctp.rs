#![no_main]

libfuzzer_sys::fuzz_target!(init: inputs::hand_out("sctp"), |bytes: &[u8]| inputs::run("sctp", bytes));

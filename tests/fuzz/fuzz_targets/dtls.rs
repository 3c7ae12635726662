#![no_main]

libfuzzer_sys::fuzz_target!(init: inputs::hand_out("dtls"), |bytes: &[u8]| inputs::run("dtls", bytes));

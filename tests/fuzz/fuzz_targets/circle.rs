#![no_main]

libfuzzer_sys::fuzz_target!(init: inputs::hand_out("circle"), |bytes: &[u8]| inputs::run("circle", bytes));

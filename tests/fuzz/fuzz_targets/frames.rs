#![no_main]

libfuzzer_sys::fuzz_target!(init: inputs::hand_out("frames"), |bytes: &[u8]| inputs::run("frames", bytes));

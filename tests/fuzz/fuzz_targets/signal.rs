#![no_main]

libfuzzer_sys::fuzz_target!(init: inputs::hand_out("signal"), |bytes: &[u8]| inputs::run("signal", bytes));

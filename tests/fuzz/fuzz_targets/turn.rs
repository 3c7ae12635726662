#![no_main]

libfuzzer_sys::fuzz_target!(init: inputs::hand_out("turn"), |bytes: &[u8]| inputs::run("turn", bytes));

#![no_main]

libfuzzer_sys::fuzz_target!(init: inputs::hand_out("dependency"), |bytes: &[u8]| inputs::run("dependency", bytes));

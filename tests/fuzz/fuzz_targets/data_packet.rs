#![no_main]

libfuzzer_sys::fuzz_target!(init: inputs::hand_out("data_packet"), |bytes: &[u8]| inputs::run("data_packet", bytes));

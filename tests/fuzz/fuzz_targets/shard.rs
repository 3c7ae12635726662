#![no_main]

libfuzzer_sys::fuzz_target!(init: inputs::hand_out("shard"), |bytes: &[u8]| inputs::run("shard", bytes));

#![no_main]

libfuzzer_sys::fuzz_target!(init: inputs::hand_out("rtp_rtcp"), |bytes: &[u8]| inputs::run("rtp_rtcp", bytes));

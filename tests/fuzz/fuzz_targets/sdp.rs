//! Any text as an offer: reading it never panics, and what was read continues itself (RFC 9429 §5.3: the same
//! offer may come again).
#![no_main]

use libfuzzer_sys::fuzz_target;
use sfu::sdp::Offer;

fuzz_target!(|sdp: &str| {
    let Ok(offer) = Offer::parse(sdp) else { return };
    assert!(offer.sections.len() <= sfu::sdp::MAX_SECTIONS);
    assert_eq!(offer.check_continues(&offer), Ok(()));
    for section in &offer.sections {
        for codec in section.supported_codecs() {
            assert!(section.codec(codec.payload_type).is_some());
            let _ = section.rtx_payload_type(codec.payload_type);
        }
    }
});

//! Offers in, answers out (JSEP, RFC 9429; RFC 8866 grammar by `rtc-sdp`). Owns the reading and writing of SDP;
//! never learns what a track is for.
//!
//! The server only answers: every m-line, payload type and header-extension id in an answer is the client's own.

/// Why an offer cannot be answered. The sentence is for the client's developer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    #[error("the offer is longer than {0} bytes")]
    TooLong(usize),
    #[error("the offer is not valid SDP: {0}")]
    Grammar(String),
    #[error("the offer lacks {0}")]
    Missing(&'static str),
    #[error("the offer has more than {0} m-lines")]
    TooManySections(usize),
    #[error("the offer does not bundle all m-lines on one transport")]
    NotBundled,
    #[error("m-line {index} changed its kind or mid")]
    SectionChanged { index: usize },
}

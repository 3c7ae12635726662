//! Offers in, answers out (JSEP, RFC 9429; RFC 8866 grammar by `rtc-sdp`). Owns the reading and writing of SDP;
//! never learns what a track is for.
//!
//! Where the client offers, every m-line, payload type and header-extension id in an answer is the client's own.
//! [`Offer::parse`] turns text into what can be answered or says why not; whoever calls decides per m-line with an
//! [`AnswerSection`]; [`answer`] prints it. An answer can never leave what was offered: a decision that the offer
//! does not allow becomes `inactive` or a rejected m-line. [`propose`] prints the server's own offers, for connections on which it only sends;
//! the client's answer to one is read by [`Offer::parse_answer`].

mod answer;
mod codec;
mod extension;
mod offer;
mod propose;

pub use answer::{AnswerSection, Local, MAX_MESSAGE_SIZE, answer};
pub use codec::{Codec, CodecKind, ENABLED_CODECS, supported};
pub use offer::{
    Direction, Fingerprint, MAX_OFFER_BYTES, MAX_RIDS, MAX_SECTIONS, MAX_SSRCS, Offer, Section, SectionKind,
    Setup,
};
pub use propose::{ProposedSection, propose};

/// Why an offer cannot be answered. The sentence is for the client's developer and quotes nothing of the offer.
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
    #[error("m-line {index} has the mid of another m-line")]
    DuplicateMid { index: usize },
    #[error("the offer leaves no DTLS role to the server: it needs a=setup:actpass or a=setup:active")]
    DtlsRole,
}

//! What a stranger can send before and after the WebSocket opens: the `join_request` parameter and both kinds of
//! frame. None may panic.

use crate::reading;
use arbitrary::Arbitrary;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE;
use flate2::Compression;
use flate2::write::GzEncoder;
use livekit_protocol::{JoinRequest, WrappedJoinRequest, wrapped_join_request};
use prost::Message as _;
use signal::{Frame, decode_join_request, decode_request};
use std::io::Write as _;

#[derive(Debug, Arbitrary)]
enum Input<'a> {
    Parameter(&'a str),
    /// The bytes as they stand behind base64url.
    Wrapper(&'a [u8]),
    /// The bytes of the JoinRequest in a right wrapper.
    Request {
        gzip: bool,
        message: &'a [u8],
    },
    Binary(&'a [u8]),
    Text(&'a str),
}

pub(crate) fn run(bytes: &[u8]) {
    let Some(input) = reading::<Input<'_>>(bytes) else { return };
    match input {
        Input::Parameter(parameter) => drop(decode_join_request(parameter)),
        Input::Wrapper(bytes) => drop(decode_join_request(&BASE64_URL_SAFE.encode(bytes))),
        Input::Request { gzip, message } => wrapped(gzip, message),
        Input::Binary(bytes) => drop(decode_request(&Frame::Binary(bytes::Bytes::copy_from_slice(bytes)))),
        Input::Text(text) => drop(decode_request(&Frame::Text(text.to_owned()))),
    }
}

/// What is wrapped in the right way is read as LiveKit's own type reads it.
fn wrapped(gzip: bool, message: &[u8]) {
    let (compression, join_request) = if gzip {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(message).expect("memory");
        (wrapped_join_request::Compression::Gzip, encoder.finish().expect("memory"))
    } else {
        (wrapped_join_request::Compression::None, message.to_vec())
    };
    let wrapper = WrappedJoinRequest { compression: compression.into(), join_request };
    let parameter = BASE64_URL_SAFE.encode(wrapper.encode_to_vec());
    let read = decode_join_request(&parameter);
    match JoinRequest::decode(message) {
        Ok(expected) if parameter.len() <= 64 * 1024 => assert_eq!(read.ok(), Some(expected)),
        _ => assert!(read.is_err()),
    }
}

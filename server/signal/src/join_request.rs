//! The `join_request` query parameter of `/rtc/v1`: base64url of a `WrappedJoinRequest`, perhaps gzipped.

use crate::limits::{MAX_INFLATED, MAX_PARAMETER};
use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use flate2::read::MultiGzDecoder;
use livekit_protocol::{JoinRequest, WrappedJoinRequest, wrapped_join_request::Compression};
use prost::Message as _;
use std::io::Read as _;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Why a `join_request` parameter is refused. The sentence is for the client's developer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinRequestError {
    #[error("join_request is longer than {MAX_PARAMETER} bytes")]
    TooLong,
    #[error("join_request is not base64url")]
    Base64,
    #[error("join_request is not a WrappedJoinRequest message")]
    Wrapper,
    #[error("join_request names an unknown compression")]
    Compression,
    #[error("join_request is not valid gzip")]
    Gzip,
    #[error("join_request is larger than {MAX_INFLATED} bytes when unpacked")]
    TooLarge,
    #[error("join_request does not hold a JoinRequest message")]
    Message,
}

/// Reads the parameter; base64url with or without padding, plain or gzip.
pub fn decode_join_request(param: &str) -> Result<JoinRequest, JoinRequestError> {
    if param.len() > MAX_PARAMETER {
        return Err(JoinRequestError::TooLong);
    }
    let bytes = BASE64.decode(param).map_err(|_| JoinRequestError::Base64)?;
    let wrapped = WrappedJoinRequest::decode(bytes.as_slice()).map_err(|_| JoinRequestError::Wrapper)?;
    let inner = match Compression::try_from(wrapped.compression) {
        Ok(Compression::None) => wrapped.join_request,
        Ok(Compression::Gzip) => gunzip(&wrapped.join_request)?,
        Err(_) => return Err(JoinRequestError::Compression),
    };
    JoinRequest::decode(inner.as_slice()).map_err(|_| JoinRequestError::Message)
}

fn gunzip(packed: &[u8]) -> Result<Vec<u8>, JoinRequestError> {
    let mut inflated = Vec::new();
    // One byte more than allowed tells a full message from a cut one.
    let limit = u64::try_from(MAX_INFLATED).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(packed).take(limit).read_to_end(&mut inflated).map_err(|_| JoinRequestError::Gzip)?;
    if inflated.len() > MAX_INFLATED { Err(JoinRequestError::TooLarge) } else { Ok(inflated) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{URL_SAFE as PADDED, URL_SAFE_NO_PAD};
    use flate2::{Compression as Level, write::GzEncoder};
    use proptest::prelude::*;
    use std::io::Write as _;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Level::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn wrap(compression: i32, join_request: Vec<u8>) -> Vec<u8> {
        WrappedJoinRequest { compression, join_request }.encode_to_vec()
    }

    fn example() -> JoinRequest {
        JoinRequest {
            metadata: "m".into(),
            participant_sid: "PA_x".into(),
            reconnect: true,
            ..Default::default()
        }
    }

    #[test]
    fn plain_and_gzip_with_and_without_padding() {
        let plain = wrap(Compression::None.into(), example().encode_to_vec());
        let packed = wrap(Compression::Gzip.into(), gzip(&example().encode_to_vec()));
        for wrapped in [plain, packed] {
            for param in [URL_SAFE_NO_PAD.encode(&wrapped), PADDED.encode(&wrapped)] {
                assert_eq!(decode_join_request(&param), Ok(example()));
            }
        }
    }

    #[test]
    fn a_gzip_bomb_is_refused() {
        let bomb = gzip(&vec![0; 30 * 1024 * 1024]);
        let param = URL_SAFE_NO_PAD.encode(wrap(Compression::Gzip.into(), bomb));
        assert!(param.len() < MAX_PARAMETER);
        assert_eq!(decode_join_request(&param), Err(JoinRequestError::TooLarge));
    }

    #[test]
    fn the_largest_allowed_request_passes_and_one_byte_more_does_not() {
        let sized = |metadata: usize| JoinRequest { metadata: "a".repeat(metadata), ..Default::default() };
        let overhead = sized(MAX_INFLATED).encoded_len() - MAX_INFLATED;
        for (length, fits) in [(MAX_INFLATED - overhead, true), (MAX_INFLATED - overhead + 1, false)] {
            let packed = gzip(&sized(length).encode_to_vec());
            let param = URL_SAFE_NO_PAD.encode(wrap(Compression::Gzip.into(), packed));
            assert_eq!(decode_join_request(&param).is_ok(), fits);
        }
    }

    #[test]
    fn each_defect_has_its_own_error() {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        assert_eq!(decode_join_request(&"A".repeat(MAX_PARAMETER + 1)), Err(JoinRequestError::TooLong));
        assert_eq!(decode_join_request("not base64!"), Err(JoinRequestError::Base64));
        assert_eq!(decode_join_request(&encode(&[0xff; 5])), Err(JoinRequestError::Wrapper));
        assert_eq!(decode_join_request(&encode(&wrap(7, Vec::new()))), Err(JoinRequestError::Compression));
        assert_eq!(decode_join_request(&encode(&wrap(1, vec![1, 2, 3]))), Err(JoinRequestError::Gzip));
        assert_eq!(decode_join_request(&encode(&wrap(0, vec![0xff; 3]))), Err(JoinRequestError::Message));
    }

    proptest! {
        #[test]
        fn no_text_panics(param in "[A-Za-z0-9_=-]{0,200}") {
            let _ = decode_join_request(&param);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), compression in 0..3i32) {
            let _ = decode_join_request(&URL_SAFE_NO_PAD.encode(&bytes));
            let _ = decode_join_request(&URL_SAFE_NO_PAD.encode(wrap(compression, bytes)));
        }
    }
}

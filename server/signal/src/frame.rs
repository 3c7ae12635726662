//! WebSocket frames: binary ones hold protobuf, text ones hold protojson; the server answers in kind.

use bytes::Bytes;
use livekit_protocol::{SignalRequest, SignalResponse};
use prost::Message as _;

/// One WebSocket message. The caller caps its size (2 MiB).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    Binary(Bytes),
    Text(String),
}

/// A frame that is no `SignalRequest`. The connection that sent it is closed.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("the binary frame is not a SignalRequest")]
    Protobuf(#[from] prost::DecodeError),
    #[error("the text frame is not a SignalRequest in JSON")]
    Json(#[from] serde_json::Error),
}

/// Reads a request. A message of a kind we do not know decodes to an empty request, which the room ignores.
pub fn decode_request(frame: &Frame) -> Result<SignalRequest, FrameError> {
    match frame {
        Frame::Binary(bytes) => Ok(SignalRequest::decode(bytes.as_ref())?),
        Frame::Text(text) => Ok(serde_json::from_str(text)?),
    }
}

/// Writes a response, as protojson when the client talks text.
pub fn encode_response(response: &SignalResponse, text: bool) -> Frame {
    if text {
        // Only an enum number outside its enum cannot be written; our own responses hold none.
        Frame::Text(serde_json::to_string(response).unwrap_or_else(|_| "{}".to_owned()))
    } else {
        Frame::Binary(response.encode_to_vec().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leave_response;
    use livekit_protocol::{
        AddTrackRequest, DisconnectReason, MuteTrackRequest, TrackSource, TrackType, leave_request,
        signal_request,
    };
    use proptest::prelude::*;

    fn requests() -> Vec<SignalRequest> {
        [
            signal_request::Message::Ping(1_700_000_000_000),
            signal_request::Message::Mute(MuteTrackRequest { sid: "TR_x".into(), muted: true }),
            signal_request::Message::AddTrack(AddTrackRequest {
                cid: "c".into(),
                r#type: TrackType::Video.into(),
                source: TrackSource::Camera.into(),
                ..Default::default()
            }),
        ]
        .map(|message| SignalRequest { message: Some(message) })
        .to_vec()
    }

    #[test]
    fn binary_and_text_requests_mean_the_same() {
        for request in requests() {
            let binary = Frame::Binary(request.encode_to_vec().into());
            let text = Frame::Text(serde_json::to_string(&request).unwrap());
            assert_eq!(decode_request(&binary).unwrap(), request);
            assert_eq!(decode_request(&text).unwrap(), request);
        }
    }

    #[test]
    fn protojson_is_read_in_both_spellings_and_with_unknown_fields() {
        for text in
            [r#"{"addTrack":{"cid":"c","type":"VIDEO","new":1}}"#, r#"{"add_track":{"cid":"c","type":1}}"#]
        {
            let request = decode_request(&Frame::Text(text.into())).unwrap();
            let Some(signal_request::Message::AddTrack(add)) = request.message else { panic!("{text}") };
            assert_eq!((add.cid.as_str(), add.r#type()), ("c", TrackType::Video));
        }
    }

    #[test]
    fn responses_round_trip_in_kind() {
        let response = leave_response(DisconnectReason::StateMismatch, leave_request::Action::Reconnect);
        let Frame::Binary(bytes) = encode_response(&response, false) else { panic!("binary") };
        assert_eq!(SignalResponse::decode(bytes.as_ref()).unwrap(), response);
        let Frame::Text(text) = encode_response(&response, true) else { panic!("text") };
        assert!(text.contains("STATE_MISMATCH") && text.contains("RECONNECT"), "{text}");
        assert_eq!(serde_json::from_str::<SignalResponse>(&text).unwrap(), response);
    }

    #[test]
    fn an_unknown_message_is_an_empty_request_and_garbage_is_an_error() {
        // Field 1023, length-delimited, empty.
        let unknown = Frame::Binary(Bytes::from_static(&[0xfa, 0x3f, 0x00]));
        assert_eq!(decode_request(&unknown).unwrap(), SignalRequest::default());
        assert!(matches!(
            decode_request(&Frame::Binary(Bytes::from_static(&[0xff]))),
            Err(FrameError::Protobuf(_))
        ));
        assert!(matches!(decode_request(&Frame::Text("[".into())), Err(FrameError::Json(_))));
    }

    proptest! {
        #[test]
        fn no_frame_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), text in ".{0,200}") {
            let _ = decode_request(&Frame::Binary(bytes.into()));
            let _ = decode_request(&Frame::Text(text));
        }
    }
}

//! Media over TCP: any bytes as a stream of frames, wherever it is cut. What comes out is what the lengths say, and the
//! same however the stream came.

use sfu::rtp::framing::{Cut, cut};

const LONGEST: usize = 2048;

pub(crate) fn run(bytes: &[u8]) {
    let Some((step, stream)) = bytes.split_first() else { return };
    let whole = frames(stream, stream.len());
    assert_eq!(frames(stream, usize::from(*step) + 1), whole, "pieces make no difference");
    let mut at = 0;
    for frame in &whole {
        assert!(frame.len() <= LONGEST);
        at += 2;
        assert_eq!(stream.get(at..at + frame.len()), Some(frame.as_slice()));
        at += frame.len();
    }
}

/// The frames of a stream that comes in pieces of so many bytes, until one is too long.
fn frames(stream: &[u8], piece: usize) -> Vec<Vec<u8>> {
    let (mut buffer, mut frames) = (Vec::new(), Vec::new());
    for piece in stream.chunks(piece.max(1)) {
        buffer.extend_from_slice(piece);
        loop {
            match cut(&buffer, LONGEST) {
                Cut::Whole { length } => {
                    frames.push(buffer[2..2 + length].to_vec());
                    buffer.drain(..2 + length);
                }
                Cut::Partial { missing } => {
                    assert!(missing > 0 && missing <= LONGEST + 2, "what is waited for is bounded");
                    break;
                }
                Cut::TooLong => return frames,
            }
        }
        assert!(buffer.len() < LONGEST + 2, "no more than one frame waits");
    }
    frames
}

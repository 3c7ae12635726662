//! RTP header extensions (RFC 8285): what they are called in SDP, reading both block forms, writing one.

use super::{ExtensionBlock, u16_at};
use std::str::FromStr;

/// `profile` of a one-byte block.
const ONE_BYTE: u16 = 0xbede;
/// `profile` of a two-byte block, whose low four bits belong to the application.
const TWO_BYTE: u16 = 0x1000;
/// Profile and length.
const BLOCK_HEADER: usize = 4;

macro_rules! uris {
    ($($(#[$doc:meta])* $name:ident = $uri:literal,)*) => {
        /// A header extension we have a name for, by the URI of its `a=extmap`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Uri { $($(#[$doc])* $name,)* }

        impl Uri {
            /// Every URI known here.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The URI as written in SDP.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $uri,)* }
            }
        }

        impl FromStr for Uri {
            type Err = UnknownUri;

            fn from_str(uri: &str) -> Result<Self, UnknownUri> {
                match uri { $($uri => Ok(Self::$name),)* _ => Err(UnknownUri) }
            }
        }
    };
}

uris! {
    /// Which m-line (RFC 9143).
    Mid = "urn:ietf:params:rtp-hdrext:sdes:mid",
    /// Which simulcast layer (RFC 8852).
    Rid = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
    /// Which layer this retransmission stream repairs (RFC 8852).
    RepairedRid = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
    /// RFC 6464.
    AudioLevel = "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
    /// RFC 6465.
    MixerAudioLevel = "urn:ietf:params:rtp-hdrext:csrc-audio-level",
    /// The transport-wide sequence number that [`super::twcc`] answers.
    TransportSequence = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    AbsSendTime = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
    AbsCaptureTime = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
    DependencyDescriptor =
        "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
    PlayoutDelay = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
    /// 3GPP TS 26.114 §6.2.3.
    VideoOrientation = "urn:3gpp:video-orientation",
    VideoLayersAllocation = "http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00",
    VideoContentType = "http://www.webrtc.org/experiments/rtp-hdrext/video-content-type",
    VideoTiming = "http://www.webrtc.org/experiments/rtp-hdrext/video-timing",
    ColorSpace = "http://www.webrtc.org/experiments/rtp-hdrext/color-space",
    /// RFC 5450.
    TransmissionOffset = "urn:ietf:params:rtp-hdrext:toffset",
}

/// The URI is none of [`Uri::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown header extension")]
pub struct UnknownUri;

/// One element of an extension block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// The id that the `a=extmap` gave: 1–14 in a one-byte block, 1–255 in a two-byte block.
    pub id: u8,
    /// Offset of `data` in the packet.
    pub start: usize,
    pub data: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    OneByte,
    TwoByte,
}

/// The elements of a block in order. Ends at the first malformed element, as RFC 8285 §4.2 asks.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    /// The packet up to the end of the block.
    packet: &'a [u8],
    at: usize,
    form: Form,
}

impl<'a> Elements<'a> {
    pub(super) fn new(packet: &'a [u8], block: Option<ExtensionBlock>) -> Self {
        let nothing = Self { packet: &[], at: 0, form: Form::OneByte };
        let Some(block) = block else { return nothing };
        let form = match block.profile {
            ONE_BYTE => Form::OneByte,
            profile if profile & 0xfff0 == TWO_BYTE => Form::TwoByte,
            _ => return nothing,
        };
        packet.get(..block.end).map_or(nothing, |packet| Self { packet, at: block.start, form })
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        loop {
            let first = *self.packet.get(self.at)?;
            if first == 0 {
                self.at = self.at.wrapping_add(1);
                continue;
            }
            let (id, length, header) = match self.form {
                // Id 0 with a length and id 15 both end the block.
                Form::OneByte => match first >> 4 {
                    0 | 15 => (0, 0, 0),
                    id => (id, usize::from(first & 0x0f).wrapping_add(1), 1),
                },
                Form::TwoByte => (first, usize::from(*self.packet.get(self.at.wrapping_add(1))?), 2),
            };
            let start = self.at.wrapping_add(header);
            let end = start.wrapping_add(length);
            let data = self.packet.get(start..end).filter(|_| id != 0);
            self.at = if data.is_some() { end } else { self.packet.len() };
            return data.map(|data| Element { id, start, data });
        }
    }
}

/// Writes an extension block, header included. One-byte form until an element needs more.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
    form: Form,
}

impl<'a> Writer<'a> {
    /// A block at the beginning of `out`; nothing is written until the first [`Self::push`].
    pub fn new(out: &'a mut [u8]) -> Self {
        Self { out, len: 0, form: Form::OneByte }
    }

    /// Adds an element. Returns false, and leaves the block as it was, if the id is 0, the data is longer than
    /// 255 bytes or there is no room.
    #[must_use]
    pub fn push(&mut self, id: u8, data: &[u8]) -> bool {
        if id == 0 || data.len() > 255 {
            return false;
        }
        let fits_one_byte = id <= 14 && (1..=16).contains(&data.len());
        if self.form == Form::OneByte && !fits_one_byte && !self.widen(data.len().wrapping_add(2)) {
            return false;
        }
        let start = self.len.max(BLOCK_HEADER);
        let header = match self.form {
            Form::OneByte => 1,
            Form::TwoByte => 2,
        };
        let data_start = start.wrapping_add(header);
        let end = data_start.wrapping_add(data.len());
        if padded(end) > self.out.len() {
            return false;
        }
        let length = data.len() as u8;
        match (self.form, self.out.get_mut(start..data_start)) {
            (Form::OneByte, Some([head])) => *head = (id << 4) | (length.wrapping_sub(1) & 0x0f),
            (Form::TwoByte, Some([head, long])) => (*head, *long) = (id, length),
            _ => return false,
        }
        let Some(room) = self.out.get_mut(data_start..end) else { return false };
        room.copy_from_slice(data);
        self.len = end;
        true
    }

    /// Pads the block to a whole number of words and returns its length in bytes: 0 if it has no element, and
    /// then the X bit must not be set.
    pub fn finish(self) -> usize {
        if self.len == 0 {
            return 0;
        }
        let end = padded(self.len);
        if let Some(padding) = self.out.get_mut(self.len..end) {
            padding.fill(0);
        }
        let profile = match self.form {
            Form::OneByte => ONE_BYTE,
            Form::TwoByte => TWO_BYTE,
        };
        let [p0, p1] = profile.to_be_bytes();
        let [w0, w1] = ((end.wrapping_sub(BLOCK_HEADER) / 4) as u16).to_be_bytes();
        if let Some(header) = self.out.first_chunk_mut() {
            *header = [p0, p1, w0, w1];
        }
        end
    }

    /// Turns the elements written so far into the two-byte form, if they and `more` bytes have room then.
    fn widen(&mut self, more: usize) -> bool {
        // Elements are found from the front and moved from the back; a block has few, so the square is small.
        let starts = |out: &[u8], nth: usize| {
            let mut at = BLOCK_HEADER;
            for _ in 0..nth {
                at = at.wrapping_add(usize::from(out.get(at)? & 0x0f)).wrapping_add(2);
            }
            Some(at)
        };
        let mut count = 0_usize;
        while starts(self.out, count).is_some_and(|at| at < self.len) {
            count = count.wrapping_add(1);
        }
        let widened = self.len.max(BLOCK_HEADER).wrapping_add(count);
        if padded(widened.wrapping_add(more)) > self.out.len() {
            return false;
        }
        for nth in (0..count).rev() {
            let Some(at) = starts(self.out, nth) else { return false };
            let Some(head) = self.out.get(at).copied() else { return false };
            let length = usize::from(head & 0x0f).wrapping_add(1);
            let data = at.wrapping_add(1);
            let moved = at.wrapping_add(nth);
            self.out.copy_within(data..data.wrapping_add(length), moved.wrapping_add(2));
            if let Some([id, long]) = self.out.get_mut(moved..moved.wrapping_add(2)) {
                (*id, *long) = (head >> 4, length as u8);
            }
        }
        if self.len != 0 {
            self.len = widened;
        }
        self.form = Form::TwoByte;
        true
    }
}

/// `len` rounded up to whole words.
const fn padded(len: usize) -> usize {
    len.wrapping_add(3) & !3
}

/// An RFC 6464 client-to-mixer audio level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioLevel {
    /// The sender believes that this packet carries voice.
    pub voice: bool,
    /// -dBov: 0 is the loudest, 127 is silence.
    pub level: u8,
}

impl AudioLevel {
    /// Reads the element's data. A second byte, as some senders pad it, is ignored.
    pub fn parse(data: &[u8]) -> Option<Self> {
        data.first().map(|byte| Self { voice: byte & 0x80 != 0, level: byte & 0x7f })
    }
}

/// The transport-wide sequence number in the element's data.
pub fn transport_sequence(data: &[u8]) -> Option<u16> {
    u16_at(data, 0)
}

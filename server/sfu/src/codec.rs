//! Which payload type means what to whom. Publisher and subscriber choose their own numbers; a packet is
//! translated by the codec behind them.

use crate::sdp::{CodecKind, Section};

/// A codec as two peers must agree on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Codec {
    Opus,
    /// RFC 2198 around Opus.
    Red,
    Vp8,
    Vp9 {
        profile: u8,
    },
    Av1,
    /// RFC 6184: decoders differ by packetization mode and profile (first byte of `profile-level-id`).
    H264 {
        packetization_mode: u8,
        profile: u8,
    },
}

impl Codec {
    fn of(name: &str, fmtp: &str) -> Option<Self> {
        let parameter = |key: &str| {
            fmtp.split(';')
                .filter_map(|pair| pair.trim().split_once('='))
                .find(|(k, _)| *k == key)
                .map(|(_, v)| v.trim())
        };
        match name.to_ascii_lowercase().as_str() {
            "opus" => Some(Self::Opus),
            "red" => Some(Self::Red),
            "vp8" => Some(Self::Vp8),
            "vp9" => {
                Some(Self::Vp9 { profile: parameter("profile-id").and_then(|v| v.parse().ok()).unwrap_or(0) })
            }
            "av1" => Some(Self::Av1),
            "h264" => Some(Self::H264 {
                packetization_mode: parameter("packetization-mode").and_then(|v| v.parse().ok()).unwrap_or(0),
                profile: parameter("profile-level-id")
                    .and_then(|v| v.get(..2))
                    .and_then(|v| u8::from_str_radix(v, 16).ok())
                    .unwrap_or(0x42),
            }),
            _ => None,
        }
    }

    fn kind(self) -> CodecKind {
        match self {
            Self::Opus => CodecKind::Opus,
            Self::Red => CodecKind::Red,
            Self::Vp8 => CodecKind::Vp8,
            Self::Vp9 { .. } => CodecKind::Vp9,
            Self::Av1 => CodecKind::Av1,
            Self::H264 { .. } => CodecKind::H264,
        }
    }

    /// One stream may carry several layers, told by the dependency descriptor.
    pub(crate) fn is_scalable(self) -> bool {
        matches!(self, Self::Vp9 { .. } | Self::Av1)
    }

    /// LiveKit's `mime_type` of a track sent with this codec.
    pub(crate) fn mime_type(self) -> &'static str {
        match self {
            Self::Opus => "audio/opus",
            Self::Red => "audio/red",
            Self::Vp8 => "video/VP8",
            Self::Vp9 { .. } => "video/VP9",
            Self::Av1 => "video/AV1",
            Self::H264 { .. } => "video/H264",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    payload_type: u8,
    codec: Codec,
    rtx: Option<u8>,
}

/// The payload types of one m-line, both ways of looking them up. At most a few dozen entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PayloadTypes {
    entries: Vec<Entry>,
}

impl PayloadTypes {
    /// The supported codecs of a section, in the client's order.
    pub(crate) fn of(section: &Section) -> Self {
        let rtx_for = |pt: u8| section.codecs.iter().find(|c| c.rtx_for == Some(pt)).map(|c| c.payload_type);
        let entries = section
            .codecs
            .iter()
            .filter(|codec| crate::sdp::supported(codec))
            .filter_map(|c| {
                Some(Entry {
                    payload_type: c.payload_type,
                    codec: Codec::of(&c.name, &c.fmtp)?,
                    rtx: rtx_for(c.payload_type),
                })
            })
            .collect();
        Self { entries }
    }

    /// Puts the codecs of `kind` first, as [`Section::preferring`] does in the answer.
    pub(crate) fn prefer(&mut self, kind: CodecKind) {
        self.entries.sort_by_key(|entry| entry.codec.kind() != kind);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn codec(&self, payload_type: u8) -> Option<Codec> {
        self.entries.iter().find(|entry| entry.payload_type == payload_type).map(|entry| entry.codec)
    }

    /// The payload type that an RTX payload type repairs.
    pub(crate) fn media_of_rtx(&self, payload_type: u8) -> Option<u8> {
        self.entries.iter().find(|entry| entry.rtx == Some(payload_type)).map(|entry| entry.payload_type)
    }

    /// The first payload type for which `holds`.
    pub(crate) fn first_where(&self, holds: impl Fn(u8) -> bool) -> Option<u8> {
        self.entries.iter().map(|entry| entry.payload_type).find(|known| holds(*known))
    }

    /// The codec that a client sends when nobody asked for another: its first.
    pub(crate) fn first(&self) -> Option<Codec> {
        self.entries.iter().map(|entry| entry.codec).find(|codec| *codec != Codec::Red)
    }

    /// The payload type, and its RTX, under which the other side knows `codec`.
    fn find(&self, codec: Codec) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.codec == codec).or_else(|| {
            // A decoder of a higher H.264 profile reads a lower one of the same packetization mode.
            let Codec::H264 { packetization_mode: wanted, .. } = codec else { return None };
            self.entries.iter().find(
                |entry| matches!(entry.codec, Codec::H264 { packetization_mode, .. } if packetization_mode == wanted),
            )
        })
    }

    /// Whether a subscriber with these types can decode what is sent with `codec`.
    pub(crate) fn carries(&self, codec: Codec) -> bool {
        self.find(codec).is_some()
    }
}

/// How one publisher payload type leaves to one subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outgoing {
    pub(crate) payload_type: u8,
    pub(crate) rtx: Option<u8>,
    /// The packet's RED is taken off and only the primary encoding is sent.
    pub(crate) strip_red: bool,
}

/// Publisher payload type to subscriber payload type, made once per subscription.
#[derive(Clone, Debug, Default)]
pub(crate) struct Translation {
    entries: Vec<(u8, Outgoing)>,
}

impl Translation {
    /// `encrypted`: the payload is opaque, so RED is passed or the packet dropped, never opened.
    pub(crate) fn new(from: &PayloadTypes, to: &PayloadTypes, encrypted: bool) -> Self {
        let opus = |types: &PayloadTypes| types.find(Codec::Opus).map(|entry| entry.payload_type);
        let entries = from
            .entries
            .iter()
            .filter_map(|entry| {
                let as_is = to.find(entry.codec).map(|found| Outgoing {
                    payload_type: found.payload_type,
                    rtx: found.rtx,
                    strip_red: false,
                });
                let outgoing = match entry.codec {
                    // RED names the payload type of its blocks inside: pass it only where that number means the same.
                    Codec::Red if as_is.is_some() && opus(from) == opus(to) => as_is,
                    Codec::Red if encrypted => None,
                    Codec::Red => {
                        opus(to).map(|payload_type| Outgoing { payload_type, rtx: None, strip_red: true })
                    }
                    _ => as_is,
                };
                Some((entry.payload_type, outgoing?))
            })
            .collect();
        Self { entries }
    }

    /// Whether anything on the way out is repaired by RTX.
    pub(crate) fn repairs_by_rtx(&self) -> bool {
        self.entries.iter().any(|(_, outgoing)| outgoing.rtx.is_some())
    }

    pub(crate) fn outgoing(&self, payload_type: u8) -> Option<Outgoing> {
        self.entries.iter().find(|(from, _)| *from == payload_type).map(|(_, outgoing)| *outgoing)
    }
}

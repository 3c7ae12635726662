//! Codecs as offered (RFC 8866 `rtpmap`, `fmtp`; RFC 4585 `rtcp-fb`; RFC 4588 RTX). Owns which ones an answer
//! accepts and with which parameters; never reads a payload.

use crate::MediaKind;
use std::fmt::Write;

/// What [`supported`] accepts. VP9 and AV1 are recognised but not in it: their scalable streams need the
/// dependency descriptor rewritten per subscriber, and a client that is refused them falls back to VP8.
pub const ENABLED_CODECS: &[CodecKind] =
    &[CodecKind::Opus, CodecKind::Red, CodecKind::Vp8, CodecKind::H264, CodecKind::Rtx];

/// The codecs known by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CodecKind {
    /// RFC 7587.
    Opus,
    /// RFC 2198 around Opus.
    Red,
    /// RFC 7741.
    Vp8,
    /// RFC 6184.
    H264,
    /// RFC 9628.
    Vp9,
    /// AV1 RTP specification.
    Av1,
    /// RFC 4588: retransmissions of another codec.
    Rtx,
}

/// One payload type of an m-line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codec {
    /// 0–127.
    pub payload_type: u8,
    /// As offered; compare without case.
    pub name: String,
    /// Hz.
    pub clock_rate: u32,
    /// Audio only.
    pub channels: Option<u32>,
    /// The `a=fmtp` parameters as offered, without the payload type; empty when there are none.
    pub fmtp: String,
    /// The `a=rtcp-fb` values as offered, without the payload type, such as `nack pli`.
    pub feedback: Vec<String>,
    /// For RTX: the payload type it repairs (`apt`).
    pub rtx_for: Option<u8>,
}

impl Codec {
    /// The codec by name, clock rate and channels; `None` for one the server does not know.
    pub fn kind(&self) -> Option<CodecKind> {
        let named = |name: &str| self.name.eq_ignore_ascii_case(name);
        let kind = match self.clock_rate {
            _ if named("rtx") => CodecKind::Rtx,
            48_000 if named("opus") && self.channels == Some(2) => CodecKind::Opus,
            48_000 if named("red") && self.channels == Some(2) => CodecKind::Red,
            90_000 if named("VP8") => CodecKind::Vp8,
            90_000 if named("H264") => CodecKind::H264,
            90_000 if named("VP9") => CodecKind::Vp9,
            90_000 if named("AV1") => CodecKind::Av1,
            _ => return None,
        };
        Some(kind)
    }

    /// The media type (RFC 6838 form, LiveKit `mime_type`), such as `video/VP8`.
    pub fn mime_type(&self, kind: MediaKind) -> String {
        match kind {
            MediaKind::Audio => format!("audio/{}", self.name),
            MediaKind::Video => format!("video/{}", self.name),
        }
    }

    /// A format parameter of `a=fmtp` (`name=value` pairs separated by `;`).
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.fmtp.split(';').find_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Whether payloads made for `self` can be sent as `other` unchanged: the same codec and, for those whose
    /// bitstream depends on parameters (RFC 6184 §8.2.2, RFC 9628 §6), the same ones.
    pub fn same_payload(&self, other: &Self) -> bool {
        if self.kind() != other.kind()
            || self.clock_rate != other.clock_rate
            || self.channels != other.channels
        {
            return false;
        }
        let equal = |name: &str, default: &str| {
            let value = |codec: &Self| codec.parameter(name).unwrap_or(default).to_ascii_lowercase();
            value(self) == value(other)
        };
        match self.kind() {
            None => false,
            Some(CodecKind::Opus | CodecKind::Red | CodecKind::Vp8 | CodecKind::Rtx) => true,
            Some(CodecKind::H264) => {
                equal("packetization-mode", "0") && self.h264_profile() == other.h264_profile()
            }
            Some(CodecKind::Vp9) => equal("profile-id", "0"),
            Some(CodecKind::Av1) => equal("profile", "0"),
        }
    }

    /// First two bytes of `profile-level-id` as hexadecimal; the level, its third byte, limits only the size.
    fn h264_profile(&self) -> String {
        let profile = self.parameter("profile-level-id").unwrap_or("42000a");
        profile.get(..4).unwrap_or(profile).to_ascii_lowercase()
    }

    /// The parameters to answer with: what *we* wish to receive and how our streams are laid out.
    pub(super) fn answer_parameters(&self) -> String {
        let mut parameters = String::new();
        match self.kind() {
            // `usedtx`: silent people cost nothing. Stereo only for a sender that says it has some (RFC 7587 §6.1):
            // an answer with `stereo=1` makes a browser double every voice.
            Some(CodecKind::Opus) => {
                parameters.push_str("minptime=10;useinbandfec=1;usedtx=1");
                if self.parameter("sprop-stereo") == Some("1") {
                    parameters.push_str(";stereo=1");
                }
            }
            Some(CodecKind::H264) => {
                for name in ["level-asymmetry-allowed", "packetization-mode", "profile-level-id"] {
                    if let Some(value) = self.parameter(name) {
                        let separator = if parameters.is_empty() { "" } else { ";" };
                        let _ = write!(parameters, "{separator}{name}={value}");
                    }
                }
            }
            Some(CodecKind::Rtx) => {
                if let Some(primary) = self.rtx_for {
                    let _ = write!(parameters, "apt={primary}");
                }
            }
            // VP8's parameters are limits of the offerer's decoder; ours has none.
            Some(CodecKind::Vp8) => {}
            Some(CodecKind::Red | CodecKind::Vp9 | CodecKind::Av1) => parameters.push_str(&self.fmtp),
            None => {}
        }
        parameters
    }
}

/// Whether an answer may accept the codec. RTX counts when it is RTX at all, RED likewise: whether their primary
/// is accepted too is a question to the m-line ([`Section::supported_codecs`](super::Section::supported_codecs)).
pub fn supported(codec: &Codec) -> bool {
    match codec.kind() {
        Some(CodecKind::H264) => matches!(codec.parameter("packetization-mode"), None | Some("0" | "1")),
        Some(kind) => ENABLED_CODECS.contains(&kind),
        None => false,
    }
}

/// Whether an answer accepts this feedback message. REMB is not: the server estimates from transport-cc.
pub(super) fn supported_feedback(kind: MediaKind, feedback: &str) -> bool {
    match kind {
        MediaKind::Audio => matches!(feedback, "nack" | "transport-cc"),
        MediaKind::Video => matches!(feedback, "nack" | "nack pli" | "ccm fir" | "transport-cc"),
    }
}

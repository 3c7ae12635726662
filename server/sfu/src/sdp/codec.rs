//! Codecs as offered (RFC 8866 `rtpmap`, `fmtp`; RFC 4585 `rtcp-fb`; RFC 4588 RTX). Owns which ones an answer
//! accepts and with which parameters; never reads a payload.

use crate::MediaKind;
use rtc_sdp::MediaDescription;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Most `a=rtcp-fb` values read per payload type; browsers offer five.
const MAX_FEEDBACK: usize = 16;
/// Longest `a=fmtp` parameters read, in bytes; a longer one counts as none. Browsers offer about a hundred.
const MAX_PARAMETERS: usize = 512;

/// What [`supported`] accepts.
pub const ENABLED_CODECS: &[CodecKind] = &[
    CodecKind::Opus,
    CodecKind::Red,
    CodecKind::Vp8,
    CodecKind::H264,
    CodecKind::Vp9,
    CodecKind::Av1,
    CodecKind::Rtx,
];

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

impl CodecKind {
    /// The kind of m-line it belongs on; `None` for RTX, which goes with its primary.
    pub(super) fn media(self) -> Option<MediaKind> {
        match self {
            Self::Opus | Self::Red => Some(MediaKind::Audio),
            Self::Vp8 | Self::H264 | Self::Vp9 | Self::Av1 => Some(MediaKind::Video),
            Self::Rtx => None,
        }
    }
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

    /// A format parameter of `a=fmtp` (`name=value` pairs separated by `;`).
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.fmtp.split(';').find_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
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
        // Eight bits a sample and 4:2:0: what every decoder has.
        Some(CodecKind::Vp9) => matches!(codec.parameter("profile-id"), None | Some("0")),
        Some(CodecKind::Av1) => matches!(codec.parameter("profile"), None | Some("0")),
        Some(kind) => ENABLED_CODECS.contains(&kind),
        None => false,
    }
}

/// Whether an answer accepts this feedback message for `codec`. REMB only from those who know no transport-cc: the
/// server's own estimate is better than the client's, and the lower one of two would count.
pub(super) fn supported_feedback(kind: MediaKind, codec: &Codec, feedback: &str) -> bool {
    match (kind, feedback) {
        (_, "nack" | "transport-cc") | (MediaKind::Video, "nack pli" | "ccm fir") => true,
        (MediaKind::Video, "goog-remb") => !codec.feedback.iter().any(|other| other == "transport-cc"),
        _ => false,
    }
}

/// The payload types of the m-line in its order, with what `rtpmap`, `fmtp` and `rtcp-fb` say of them. One without
/// `rtpmap` (the static types of RFC 3551) is none of ours and left out.
pub(super) fn read(description: &MediaDescription) -> Vec<Codec> {
    let mut known: BTreeMap<u8, Codec> = BTreeMap::new();
    for attribute in description.attributes.iter().filter(|attribute| attribute.key == "rtpmap") {
        if let Some(codec) = attribute.value.as_deref().and_then(rtpmap) {
            known.entry(codec.payload_type).or_insert(codec);
        }
    }
    let mut for_all = Vec::new();
    for attribute in &description.attributes {
        let Some((format, rest)) = attribute.value.as_deref().and_then(|value| value.split_once(' ')) else {
            continue;
        };
        match attribute.key.as_str() {
            "fmtp" if rest.len() <= MAX_PARAMETERS => {
                if let Some(codec) = format.parse().ok().and_then(|payload_type| known.get_mut(&payload_type))
                {
                    codec.fmtp = rest.trim().to_owned();
                    codec.rtx_for = codec.parameter("apt").and_then(|primary| primary.parse().ok());
                }
            }
            "rtcp-fb" if format == "*" && for_all.len() < MAX_FEEDBACK => for_all.push(rest),
            "rtcp-fb" => {
                if let Some(codec) = format.parse().ok().and_then(|payload_type| known.get_mut(&payload_type))
                {
                    add_feedback(codec, rest);
                }
            }
            _ => {}
        }
    }
    for codec in known.values_mut() {
        for_all.iter().for_each(|feedback| add_feedback(codec, feedback));
    }
    let formats = description.media_name.formats.iter();
    formats.filter_map(|format| known.remove(&format.parse().ok()?)).collect()
}

fn add_feedback(codec: &mut Codec, feedback: &str) {
    let feedback = feedback.trim();
    if codec.feedback.len() < MAX_FEEDBACK && !codec.feedback.iter().any(|known| known == feedback) {
        codec.feedback.push(feedback.to_owned());
    }
}

/// `<payload type> <name>/<clock rate>[/<channels>]`
fn rtpmap(value: &str) -> Option<Codec> {
    let (payload_type, encoding) = value.split_once(' ')?;
    let mut parts = encoding.trim().split('/');
    let payload_type = payload_type.parse().ok().filter(|payload_type| *payload_type < 128)?;
    Some(Codec {
        payload_type,
        name: parts.next()?.to_owned(),
        clock_rate: parts.next()?.parse().ok()?,
        channels: parts.next().and_then(|channels| channels.parse().ok()),
        fmtp: String::new(),
        feedback: Vec::new(),
        rtx_for: None,
    })
}

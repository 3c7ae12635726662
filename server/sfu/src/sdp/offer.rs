//! Reading an offer. Owns the bounds on what a client may send; never changes what it read.

use super::codec::{Codec, CodecKind, supported};
use super::extension::{MAX_ONE_BYTE_ID, supported as supported_extension};
use super::{OfferError, codec};
use crate::MediaKind;
use crate::rtp::extension::Uri;
use rtc_sdp::SessionDescription;
use rtc_sdp::description::common::Attribute;
use rtc_sdp::description::media::MediaDescription;
use rtc_shared::error::Error as GrammarError;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;

/// Longest offer read, in bytes. Real ones are 10–20 kB and grow by about 2 kB per m-line, so [`MAX_SECTIONS`] is
/// reached first. Higher: a hostile client costs more time on the shard; lower: large rooms cannot be offered.
pub const MAX_OFFER_BYTES: usize = 256 * 1024;
/// Most m-lines read. One per received track: higher lets rooms grow, lower caps what one client can make us keep.
pub const MAX_SECTIONS: usize = 128;
/// Most simulcast layers read per m-line; further ones are not accepted. Clients send at most three.
pub const MAX_RIDS: usize = 8;
/// Most announced SSRCs (and FID pairs) read per m-line; further ones are learnt from MID. Clients announce at
/// most six.
pub const MAX_SSRCS: usize = 16;
/// Longest mid or rid, in bytes: a one-byte header extension carries 16 (RFC 8285 §4.2).
const MAX_ID_BYTES: usize = 16;

/// A client's offer, reduced to what an answer and the transport need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The client's ICE user fragment; a changed one asks for an ICE restart.
    pub ice_ufrag: String,
    pub ice_pwd: String,
    /// Hash of the certificate that DTLS must present.
    pub fingerprint: Fingerprint,
    pub setup: Setup,
    /// One-byte and two-byte header extensions may be mixed on every m-line (RFC 8285 §6). Firefox says so line by
    /// line instead.
    pub extmap_allow_mixed: bool,
    /// The client is ICE-lite too; then nobody sends checks and nothing will connect.
    pub ice_lite: bool,
    /// All m-lines in the order offered, rejected ones included.
    pub sections: Vec<Section>,
}

/// SHA-256 over the DER certificate (RFC 8122). Other hashes are not read: every endpoint must support this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    pub value: [u8; 32],
}

/// Which DTLS roles the client leaves open (RFC 8842). With either the server may answer `passive`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    ActPass,
    Active,
}

/// Which way media goes, seen from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Direction {
    /// The client would send.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// The client would receive.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }
}

/// What an m-line is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectionKind {
    Media(MediaKind),
    /// Data channels over SCTP (RFC 8841).
    Application,
    /// A kind or transport the server does not speak, or a second one for data channels; can only be rejected.
    Unknown,
}

/// One m-line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Unique among the m-lines that are not rejected; a rejected one may have none (empty).
    pub mid: String,
    pub kind: SectionKind,
    pub direction: Direction,
    /// Port 0 without `a=bundle-only`: the m-line is free to be re-used (RFC 9429 §5.2.2). Whoever answers an
    /// m-line with a rejection sets this on the offer it keeps for [`Offer::check_continues`].
    pub rejected: bool,
    /// In order of the client's preference, unknown ones included.
    pub codecs: Vec<Codec>,
    /// Header extensions that an answer accepts: offered id and URI. An id means the same on all m-lines.
    pub extensions: Vec<(u8, String)>,
    /// Simulcast layers that the client would send, in the order offered.
    pub rids: Vec<String>,
    /// SSRCs the client announced, RTX ones included; often none.
    pub ssrcs: Vec<u32>,
    /// `a=ssrc-group:FID`: media SSRC and the SSRC of its RTX.
    pub fid: Vec<(u32, u32)>,
    /// `a=msid`: stream (`-` for none) and track; the track may be empty.
    pub msid: Option<(String, String)>,
    pub sctp_port: Option<u16>,
    /// Bytes; the largest message that the client accepts.
    pub max_message_size: Option<u32>,
    /// Reduced-size RTCP was offered (RFC 5506).
    pub rtcp_rsize: bool,
    pub(super) allow_mixed: bool,
    /// Ids of extensions that go one way only, seen from the client (Firefox: RID and the dependency descriptor).
    pub(super) one_way: Vec<(u8, Direction)>,
    pub(super) simulcast: bool,
    /// First word, transport and formats of the m-line, to be given back.
    pub(super) media: String,
    pub(super) protocol: String,
    pub(super) formats: Vec<String>,
}

impl Offer {
    /// Reads an offer. Bounded by [`MAX_OFFER_BYTES`] and [`MAX_SECTIONS`]; attributes that are not understood are
    /// passed over.
    pub fn parse(sdp: &str) -> Result<Self, OfferError> {
        Self::read(sdp, false)
    }

    /// Reads the answer to an offer of ours, which has the same shape. Ours left one DTLS role only, so what the answer
    /// says of it means nothing: pion says `passive` to every ICE-lite server and acts as it was offered.
    pub fn parse_answer(sdp: &str) -> Result<Self, OfferError> {
        Self::read(sdp, true)
    }

    fn read(sdp: &str, answers: bool) -> Result<Self, OfferError> {
        if sdp.len() > MAX_OFFER_BYTES {
            return Err(OfferError::TooLong(MAX_OFFER_BYTES));
        }
        check_line_ends(sdp)?;
        let session =
            SessionDescription::unmarshal(&mut Cursor::new(sdp)).map_err(|error| grammar(&error))?;
        if session.media_descriptions.len() > MAX_SECTIONS {
            return Err(OfferError::TooManySections(MAX_SECTIONS));
        }
        let session_direction = session.attributes.iter().find_map(direction).unwrap_or(Direction::SendRecv);
        let session_allows_mixed = session.has_attribute("extmap-allow-mixed");
        let mut sections = session
            .media_descriptions
            .iter()
            .map(|media| Section::read(media, session_direction, session_allows_mixed))
            .collect::<Result<Vec<_>, _>>()?;
        keep_one_application(&mut sections);
        check_mids(&sections)?;
        check_bundle(&session, &sections)?;
        settle_extensions(&mut sections);

        // All m-lines share one transport, so its parameters stand in the first one that is alive (RFC 8843 §7.1),
        // or for the whole session.
        let transport = session
            .media_descriptions
            .iter()
            .zip(&sections)
            .find_map(|(media, section)| (!section.rejected).then_some(&media.attributes))
            .ok_or(OfferError::Missing("an m-line that is not rejected"))?;
        let lookup = |key: &'static str| {
            transport.iter().chain(&session.attributes).filter(move |a| a.key == key).filter_map(value)
        };
        let ice_ufrag = lookup("ice-ufrag").next().ok_or(OfferError::Missing("a=ice-ufrag"))?;
        let ice_pwd = lookup("ice-pwd").next().ok_or(OfferError::Missing("a=ice-pwd"))?;
        if !is_token(ice_ufrag, 4, 256) || !is_token(ice_pwd, 22, 256) {
            return Err(OfferError::Grammar("ICE credentials of the wrong length or alphabet".into()));
        }
        let fingerprint = lookup("fingerprint")
            .find_map(fingerprint)
            .ok_or(OfferError::Missing("a sha-256 fingerprint of its certificate"))?;
        let setup = match lookup("setup").next() {
            _ if answers => Setup::Active,
            Some("actpass") => Setup::ActPass,
            Some("active") => Setup::Active,
            Some(_) => return Err(OfferError::DtlsRole),
            None => return Err(OfferError::Missing("a=setup")),
        };
        Ok(Self {
            ice_ufrag: ice_ufrag.to_owned(),
            ice_pwd: ice_pwd.to_owned(),
            fingerprint,
            setup,
            extmap_allow_mixed: session_allows_mixed,
            ice_lite: session.has_attribute("ice-lite"),
            sections,
        })
    }

    /// Whether this offer may follow `previous` on the same connection: m-lines are never taken away and keep
    /// their kind and mid, unless they were rejected by either side (RFC 9429 §5.2.2).
    pub fn check_continues(&self, previous: &Self) -> Result<(), OfferError> {
        for (index, old) in previous.sections.iter().enumerate() {
            let Some(new) = self.sections.get(index) else {
                return Err(OfferError::SectionChanged { index });
            };
            let same = new.kind == old.kind && (new.mid == old.mid || new.rejected);
            if old.is_answerable() && !same {
                return Err(OfferError::SectionChanged { index });
            }
        }
        Ok(())
    }
}

impl Section {
    /// Codecs that an answer accepts, in the client's order: RTX only with its primary, RED only around Opus.
    pub fn supported_codecs(&self) -> impl Iterator<Item = &Codec> {
        self.codecs.iter().filter(|codec| self.supports(codec))
    }

    /// The payload types of [`supported_codecs`](Self::supported_codecs) with those of `kind` first; within both
    /// groups in the client's order.
    pub fn preferring(&self, kind: CodecKind) -> Vec<u8> {
        let of = |preferred: bool| {
            let codecs =
                self.supported_codecs().filter(move |codec| (codec.kind() == Some(kind)) == preferred);
            codecs.map(|codec| codec.payload_type)
        };
        of(true).chain(of(false)).collect()
    }

    /// The id of a header extension on this m-line.
    pub fn extension_id(&self, uri: Uri) -> Option<u8> {
        self.extensions.iter().find_map(|(id, offered)| (offered == uri.as_str()).then_some(*id))
    }

    /// Whether an answer can do anything but reject the m-line.
    pub fn is_answerable(&self) -> bool {
        match self.kind {
            SectionKind::Media(_) => !self.rejected && self.supported_codecs().next().is_some(),
            SectionKind::Application => !self.rejected,
            SectionKind::Unknown => false,
        }
    }

    fn supports(&self, codec: &Codec) -> bool {
        let SectionKind::Media(kind) = self.kind else {
            return false;
        };
        let plain = |codec: &Codec, kind: MediaKind| match codec.kind() {
            Some(CodecKind::Opus) => kind == MediaKind::Audio && supported(codec),
            Some(CodecKind::Vp8 | CodecKind::H264 | CodecKind::Vp9 | CodecKind::Av1) => {
                kind == MediaKind::Video && supported(codec)
            }
            Some(CodecKind::Red | CodecKind::Rtx) | None => false,
        };
        let primary = |payload_type: u8| {
            self.codecs.iter().any(|codec| codec.payload_type == payload_type && plain(codec, kind))
        };
        match codec.kind() {
            Some(CodecKind::Rtx) => supported(codec) && codec.rtx_for.is_some_and(primary),
            // RFC 2198: the parameters are the payload types inside, `111/111`.
            Some(CodecKind::Red) => {
                kind == MediaKind::Audio
                    && supported(codec)
                    && !codec.fmtp.is_empty()
                    && codec.fmtp.split('/').all(|inner| inner.trim().parse().is_ok_and(primary))
            }
            Some(_) => plain(codec, kind),
            None => false,
        }
    }

    fn read(
        description: &MediaDescription,
        session_direction: Direction,
        session_allows_mixed: bool,
    ) -> Result<Self, OfferError> {
        let name = &description.media_name;
        let protocol = name.protos.join("/");
        let kind = match (name.media.as_str(), protocol.as_str()) {
            ("audio", "UDP/TLS/RTP/SAVPF" | "TCP/DTLS/RTP/SAVPF") => SectionKind::Media(MediaKind::Audio),
            ("video", "UDP/TLS/RTP/SAVPF" | "TCP/DTLS/RTP/SAVPF") => SectionKind::Media(MediaKind::Video),
            ("application", "UDP/DTLS/SCTP" | "TCP/DTLS/SCTP")
                if name.formats.iter().any(|format| format == "webrtc-datachannel") =>
            {
                SectionKind::Application
            }
            _ => SectionKind::Unknown,
        };
        let rejected = name.port.value == 0 && !description.has_attribute("bundle-only");
        let mut section = Self {
            mid: String::new(),
            kind,
            direction: description.attributes.iter().find_map(direction).unwrap_or(session_direction),
            rejected,
            codecs: Vec::new(),
            extensions: Vec::new(),
            rids: Vec::new(),
            ssrcs: Vec::new(),
            fid: Vec::new(),
            msid: None,
            sctp_port: None,
            max_message_size: None,
            rtcp_rsize: description.has_attribute("rtcp-rsize"),
            allow_mixed: description.has_attribute("extmap-allow-mixed"),
            one_way: Vec::new(),
            simulcast: false,
            media: name.media.clone(),
            protocol,
            formats: name.formats.clone(),
        };
        section.codecs = codec::read(description);
        section.read_attributes(description, session_allows_mixed);
        if !rejected {
            if section.mid.is_empty() {
                return Err(OfferError::Missing("a=mid (at most 16 visible ASCII characters) on an m-line"));
            }
            if matches!(kind, SectionKind::Media(_)) && !description.has_attribute("rtcp-mux") {
                return Err(OfferError::Missing("a=rtcp-mux on an m-line"));
            }
        }
        Ok(section)
    }

    fn read_attributes(&mut self, description: &MediaDescription, session_allows_mixed: bool) {
        let allow_mixed = self.allow_mixed || session_allows_mixed;
        let mut named_rids = Vec::new();
        let mut simulcast = None;
        for attribute in &description.attributes {
            let Some(value) = value(attribute) else {
                continue;
            };
            match attribute.key.as_str() {
                "mid" if self.mid.is_empty() && is_token(value, 1, MAX_ID_BYTES) => {
                    self.mid = value.to_owned();
                }
                "extmap" => self.read_extension(value, allow_mixed),
                "rid" => {
                    let mut words = value.split_whitespace();
                    if let (Some(rid), Some("send")) = (words.next(), words.next())
                        && is_rid(rid)
                        && named_rids.len() < MAX_RIDS
                        && !named_rids.contains(&rid)
                    {
                        named_rids.push(rid);
                    }
                }
                "simulcast" => simulcast = simulcast_send(value),
                "ssrc" => {
                    if let Some(ssrc) = value.split_whitespace().next().and_then(|ssrc| ssrc.parse().ok())
                        && self.ssrcs.len() < MAX_SSRCS
                        && !self.ssrcs.contains(&ssrc)
                    {
                        self.ssrcs.push(ssrc);
                    }
                }
                "ssrc-group" => {
                    let mut words = value.split_whitespace();
                    if words.next() == Some("FID")
                        && let (Some(Ok(media)), Some(Ok(rtx))) =
                            (words.next().map(str::parse), words.next().map(str::parse))
                        && self.fid.len() < MAX_SSRCS
                    {
                        self.fid.push((media, rtx));
                    }
                }
                "msid" if self.msid.is_none() => {
                    let mut words = value.split_whitespace();
                    let stream = words.next().unwrap_or_default();
                    self.msid = Some((stream.to_owned(), words.next().unwrap_or_default().to_owned()));
                }
                "sctp-port" => self.sctp_port = value.trim().parse().ok(),
                "max-message-size" => self.max_message_size = value.trim().parse().ok(),
                _ => {}
            }
        }
        self.simulcast = simulcast.is_some();
        self.rids = match simulcast {
            Some(order) => {
                order.into_iter().filter(|rid| named_rids.contains(rid)).map(str::to_owned).collect()
            }
            None => named_rids.into_iter().map(str::to_owned).collect(),
        };
    }

    /// `<id>["/"<direction>] <URI> [attributes]` (RFC 8285 §5).
    fn read_extension(&mut self, value: &str, allow_mixed: bool) {
        let SectionKind::Media(kind) = self.kind else {
            return;
        };
        let mut words = value.split_whitespace();
        let (Some(id), Some(uri)) = (words.next(), words.next()) else {
            return;
        };
        let (id, way) = id.split_once('/').map_or((id, None), |(id, way)| (id, Some(way)));
        let (Ok(id), Ok(name)) = (id.parse::<u8>(), uri.parse::<Uri>()) else {
            return;
        };
        let way = match way {
            None | Some("sendrecv") => None,
            Some("sendonly") => Some(Direction::SendOnly),
            Some("recvonly") => Some(Direction::RecvOnly),
            Some(_) => return,
        };
        let writable = (1..=MAX_ONE_BYTE_ID).contains(&id) || (allow_mixed && id > MAX_ONE_BYTE_ID + 1);
        let free = self.extensions.iter().all(|(taken, known)| *taken != id && known != uri);
        if writable && free && supported_extension(kind, name) {
            self.extensions.push((id, uri.to_owned()));
            self.one_way.extend(way.map(|way| (id, way)));
        }
    }
}

/// `rtc-sdp` ends lines at LF only and keeps a CR inside a value, which would then reach our answer.
fn check_line_ends(sdp: &str) -> Result<(), OfferError> {
    let mut bytes = sdp.bytes().peekable();
    while let Some(byte) = bytes.next() {
        if byte == 0 || (byte == b'\r' && bytes.peek() != Some(&b'\n')) {
            return Err(OfferError::Grammar("a line has a NUL or CR inside".into()));
        }
    }
    Ok(())
}

/// The parser's own words quote the offer, which holds addresses and passwords; so they are not passed on.
fn grammar(error: &GrammarError) -> OfferError {
    let reason = match error {
        GrammarError::SdpInvalidSyntax(_) => "a line has the wrong form or stands in the wrong place",
        GrammarError::SdpInvalidValue(_) => "a line has an unknown value",
        _ => "a number, URL or text is malformed",
    };
    OfferError::Grammar(reason.into())
}

/// One DTLS transport carries one SCTP association (RFC 8841 §4.1).
fn keep_one_application(sections: &mut [Section]) {
    let living = |section: &&mut Section| section.kind == SectionKind::Application && !section.rejected;
    for section in sections.iter_mut().filter(living).skip(1) {
        section.kind = SectionKind::Unknown;
    }
}

fn check_mids(sections: &[Section]) -> Result<(), OfferError> {
    let mut seen = BTreeSet::new();
    for (index, section) in sections.iter().enumerate() {
        if !section.rejected && !seen.insert(section.mid.as_str()) {
            return Err(OfferError::DuplicateMid { index });
        }
    }
    Ok(())
}

/// Every living m-line stands in the first BUNDLE group (RFC 8843; `max-bundle` in RFC 9429 §4.1.1).
fn check_bundle(session: &SessionDescription, sections: &[Section]) -> Result<(), OfferError> {
    let bundle: BTreeSet<&str> = session
        .attributes
        .iter()
        .filter(|attribute| attribute.key == "group")
        .filter_map(value)
        .find_map(|group| group.strip_prefix("BUNDLE"))
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let bundled = |section: &Section| section.rejected || bundle.contains(section.mid.as_str());
    if sections.iter().all(bundled) { Ok(()) } else { Err(OfferError::NotBundled) }
}

/// On one transport an id must mean one URI (RFC 8843 §9.1), because the MID that names the m-line is itself found
/// by id. A later m-line that contradicts an earlier one loses the extension.
fn settle_extensions(sections: &mut [Section]) {
    let mut meaning: BTreeMap<u8, String> = BTreeMap::new();
    let mut id_of: BTreeMap<String, u8> = BTreeMap::new();
    for section in sections.iter_mut().filter(|section| !section.rejected) {
        section.extensions.retain(|(id, uri)| {
            let known = meaning.entry(*id).or_insert_with(|| uri.clone());
            known == uri && id_of.entry(uri.clone()).or_insert(*id) == id
        });
    }
}

/// The `send` list of `a=simulcast:send q;h;f [recv …]` (RFC 8853 §5.1): the first alternative of each stream,
/// paused (`~`) or not.
fn simulcast_send(value: &str) -> Option<Vec<&str>> {
    let mut words = value.split_whitespace();
    let streams = loop {
        match (words.next()?, words.next()?) {
            ("send", streams) => break streams,
            _ => continue,
        }
    };
    let mut rids: Vec<&str> = Vec::new();
    for stream in streams.split(';').take(MAX_RIDS) {
        let rid = stream.split(',').next().unwrap_or_default().trim_start_matches('~');
        if !rids.contains(&rid) {
            rids.push(rid);
        }
    }
    Some(rids)
}

fn direction(attribute: &Attribute) -> Option<Direction> {
    match attribute.key.as_str() {
        "sendrecv" => Some(Direction::SendRecv),
        "sendonly" => Some(Direction::SendOnly),
        "recvonly" => Some(Direction::RecvOnly),
        "inactive" => Some(Direction::Inactive),
        _ => None,
    }
}

/// `sha-256 AA:BB:…`; `None` for another hash or a malformed one.
fn fingerprint(value: &str) -> Option<Fingerprint> {
    let (algorithm, hash) = value.trim().split_once(' ')?;
    if !algorithm.eq_ignore_ascii_case("sha-256") {
        return None;
    }
    let mut bytes = hash.trim().split(':').map(|byte| match byte.len() {
        2 => u8::from_str_radix(byte, 16).ok(),
        _ => None,
    });
    let mut value = [0; 32];
    for slot in &mut value {
        *slot = bytes.next()??;
    }
    bytes.next().is_none().then_some(Fingerprint { value })
}

fn value(attribute: &Attribute) -> Option<&str> {
    attribute.value.as_deref()
}

/// Visible ASCII without spaces, within these lengths.
fn is_token(text: &str, shortest: usize, longest: usize) -> bool {
    (shortest..=longest).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// RFC 8851 §10: letters, digits, `-` and `_`.
fn is_rid(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=MAX_ID_BYTES).contains(&text.len()) && text.bytes().all(allowed)
}

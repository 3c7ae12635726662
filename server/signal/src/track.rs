//! One announced or published track and its `TrackInfo`.

use crate::backup::Backup;
use crate::limits::{ANNOUNCED_TIMEOUT, MAX_FEATURES, MAX_NAME};
use livekit_protocol::{
    AddTrackRequest, AudioTrackFeature, BackupCodecPolicy, PacketTrailerFeature, SimulcastCodecInfo,
    TrackInfo, TrackSource, TrackType, VideoLayer, VideoQuality, encryption, video_layer::Mode,
};
use sfu::sdp::CodecKind;
use sfu::{Layer, MediaKind, PeerId, Quality, TrackDescription, TrackId};
use std::time::Instant;

/// Longest stream name taken over from a client.
const MAX_STREAM: usize = 64;

/// How far a track has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Announced by `add_track`, not yet in an offer.
    Announced { since: Instant },
    /// Found in an offer: others see it.
    Published,
}

pub(crate) struct Track {
    pub(crate) id: TrackId,
    pub(crate) owner: PeerId,
    /// The client's own id of it.
    pub(crate) cid: String,
    pub(crate) stage: Stage,
    /// What everybody is told; `muted` in it is [`Track::self_muted`] or [`Track::blocked`].
    pub(crate) info: TrackInfo,
    pub(crate) self_muted: bool,
    pub(crate) blocked: bool,
    /// The room muted it while its owner could not be told.
    pub(crate) mute_unheard: bool,
    /// `track_subscribed` was sent to the owner.
    pub(crate) subscribed_once: bool,
    /// The layers any subscriber wants, as last told by the media plane.
    pub(crate) wanted: Vec<(Quality, bool)>,
    /// The second codec its client would send, if it announced one.
    pub(crate) backup: Option<Backup>,
}

impl Track {
    pub(crate) fn new(
        now: Instant,
        id: TrackId,
        owner: PeerId,
        sid: String,
        request: AddTrackRequest,
    ) -> Self {
        let cid = request.cid.clone();
        let self_muted = request.muted;
        let backup = Backup::announced(&request);
        Self {
            id,
            owner,
            cid,
            stage: Stage::Announced { since: now },
            info: track_info(sid, request),
            self_muted,
            blocked: false,
            mute_unheard: false,
            subscribed_once: false,
            wanted: Vec::new(),
            backup,
        }
    }

    pub(crate) fn is_published(&self) -> bool {
        self.stage == Stage::Published
    }

    pub(crate) fn expires_at(&self) -> Option<Instant> {
        match self.stage {
            Stage::Announced { since } => Some(since + ANNOUNCED_TIMEOUT),
            Stage::Published => None,
        }
    }

    /// Writes the mute state into the info; true when that changed it.
    pub(crate) fn settle_muted(&mut self) -> bool {
        let muted = self.self_muted || self.blocked;
        std::mem::replace(&mut self.info.muted, muted) != muted
    }

    pub(crate) fn publish(&mut self, mid: String, mime_type: String) {
        self.stage = Stage::Published;
        if let Some(codec) = self.info.codecs.first_mut() {
            codec.mime_type.clone_from(&mime_type);
            codec.mid.clone_from(&mid);
        }
        self.info.mime_type = mime_type;
        self.info.mid = mid;
    }

    pub(crate) fn set_features(&mut self, features: &[i32]) {
        set_features(&mut self.info, features.to_vec());
    }

    /// What the media plane is told. `participant` is the owner's sid.
    pub(crate) fn description(&self, participant: &str) -> TrackDescription {
        let cid = self.cid.clone();
        self.description_of(participant, cid, self.info.codecs.first())
    }

    /// The same of one of its codecs, under the client's id of that one.
    pub(crate) fn description_of(
        &self,
        participant: &str,
        cid: String,
        codec: Option<&SimulcastCodecInfo>,
    ) -> TrackDescription {
        let layered = codec.is_some_and(|codec| {
            let mode = codec.video_layer_mode();
            [Mode::OneSpatialLayerPerStream, Mode::MultipleSpatialLayersPerStream].contains(&mode)
        });
        let announced = codec.map_or(&[][..], |codec| codec.layers.as_slice());
        let mut layers: Vec<Layer> = announced.iter().filter_map(layer).collect();
        layers.sort_by_key(|layer| layer.quality);
        layers.dedup_by_key(|layer| layer.quality);
        if layers.len() < 2 || !layered {
            layers.clear();
        }
        let codec = match codec.map(|codec| codec.mime_type.as_str()) {
            Some("video/VP8") => Some(CodecKind::Vp8),
            Some("video/H264") => Some(CodecKind::H264),
            Some("video/VP9") => Some(CodecKind::Vp9),
            Some("video/AV1") => Some(CodecKind::Av1),
            _ => None,
        };
        TrackDescription {
            kind: if self.info.r#type() == TrackType::Video { MediaKind::Video } else { MediaKind::Audio },
            cid,
            stream_label: format!("{participant}|{}", self.info.stream),
            track_label: self.info.sid.clone(),
            layers,
            codec,
            always_heard: self.info.source() == TrackSource::ScreenShareAudio,
            encrypted: self.info.encryption() != encryption::Type::None,
        }
    }
}

fn layer(layer: &VideoLayer) -> Option<Layer> {
    let quality = match layer.quality() {
        VideoQuality::Low => Quality::Low,
        VideoQuality::Medium => Quality::Medium,
        VideoQuality::High => Quality::High,
        VideoQuality::Off => return None,
    };
    Some(Layer { quality, width: layer.width, height: layer.height, bitrate: layer.bitrate })
}

/// The deprecated fields still are what older clients read.
#[expect(deprecated, reason = "LiveKit clients below 2.x read simulcast, layers, disable_dtx and stereo")]
fn track_info(sid: String, request: AddTrackRequest) -> TrackInfo {
    let source = request.source();
    let video = request.r#type() == TrackType::Video;
    let stream = stream_name(&request.stream, source);
    let codec = video.then(|| codec_info(&request));
    let layers = codec.as_ref().map_or_else(Vec::new, |codec| codec.layers.clone());
    let mut features = request.audio_features.clone();
    if request.disable_dtx {
        features.push(AudioTrackFeature::TfNoDtx.into());
    }
    if request.stereo {
        features.push(AudioTrackFeature::TfStereo.into());
    }
    let mut trailers = request.packet_trailer_features.clone();
    trailers.retain(|&feature| PacketTrailerFeature::try_from(feature).is_ok());
    trailers.truncate(MAX_FEATURES);
    let mut info = TrackInfo {
        sid,
        r#type: request.r#type().into(),
        muted: request.muted,
        width: request.width,
        height: request.height,
        simulcast: layers.iter().any(|layer| !layer.rid.is_empty()),
        source: source.into(),
        mime_type: codec.as_ref().map(|codec| codec.mime_type.clone()).unwrap_or_default(),
        layers,
        codecs: codec.into_iter().chain(Backup::announced(&request).map(|backup| backup.info())).collect(),
        disable_red: request.disable_red,
        encryption: request.encryption().into(),
        stream,
        backup_codec_policy: BackupCodecPolicy::try_from(request.backup_codec_policy)
            .unwrap_or_default()
            .into(),
        packet_trailer_features: trailers,
        name: request.name,
        ..Default::default()
    };
    if video {
        info.codecs.iter_mut().take(1).for_each(|codec| codec.cid.clone_from(&request.cid));
    } else {
        info.codecs.push(SimulcastCodecInfo { cid: request.cid, ..Default::default() });
        set_features(&mut info, features);
    }
    info
}

#[expect(deprecated, reason = "older LiveKit clients read disable_dtx and stereo")]
fn set_features(info: &mut TrackInfo, mut features: Vec<i32>) {
    features.retain(|&feature| AudioTrackFeature::try_from(feature).is_ok());
    features.sort_unstable();
    features.dedup();
    info.disable_dtx = features.contains(&AudioTrackFeature::TfNoDtx.into());
    info.stereo = features.contains(&AudioTrackFeature::TfStereo.into());
    info.audio_features = features;
}

/// The codec the client will send, as far as it can be known before its offer. JavaScript takes the server's
/// choice from here, so a codec we do not carry is answered with VP8.
pub(crate) fn codec_info(request: &AddTrackRequest) -> SimulcastCodecInfo {
    let carried =
        request.simulcast_codecs.iter().find_map(|codec| Some((carried_mime(&codec.codec)?, codec)));
    let (mime, announced) = match carried {
        Some((mime, codec)) if !codec.layers.is_empty() => (mime, &codec.layers),
        Some((mime, _)) => (mime, &request.layers),
        None if request.simulcast_codecs.is_empty() => ("", &request.layers),
        None => ("video/VP8", &request.layers),
    };
    // Clients say it only where it is not what the codec usually does.
    let usual = match mime {
        "video/VP9" | "video/AV1" => Mode::MultipleSpatialLayersPerStream,
        _ => Mode::OneSpatialLayerPerStream,
    };
    let said = carried.map(|(_, codec)| codec.video_layer_mode()).filter(|mode| *mode != Mode::Unused);
    let mode = said.unwrap_or(usual);
    SimulcastCodecInfo {
        mime_type: mime.to_owned(),
        layers: layers(request, announced, mode),
        video_layer_mode: mode.into(),
        ..Default::default()
    }
}

/// The `mime_type` of a codec by LiveKit's short name, if it is carried.
pub(crate) fn carried_mime(codec: &str) -> Option<&'static str> {
    match codec.trim_start_matches("video/").to_ascii_lowercase().as_str() {
        "vp8" => Some("video/VP8"),
        "h264" => Some("video/H264"),
        "vp9" => Some("video/VP9"),
        "av1" => Some("video/AV1"),
        _ => None,
    }
}

/// Layers lowest first with rid and number filled in. A track without any has one, at its full size.
fn layers(request: &AddTrackRequest, announced: &[VideoLayer], mode: Mode) -> Vec<VideoLayer> {
    let mut layers: Vec<VideoLayer> = announced
        .iter()
        .take(MAX_FEATURES)
        .filter(|layer| layer.quality() != VideoQuality::Off)
        .cloned()
        .collect();
    layers.sort_by_key(|layer| layer.quality);
    layers.dedup_by_key(|layer| layer.quality);
    if layers.is_empty() {
        let (width, height) = (request.width, request.height);
        layers.push(VideoLayer { quality: VideoQuality::High.into(), width, height, ..Default::default() });
    }
    let simulcast = layers.len() > 1 && mode == Mode::OneSpatialLayerPerStream;
    for (number, layer) in (0..).zip(layers.iter_mut()) {
        layer.quality = layer.quality().into();
        layer.spatial_layer = number;
        layer.rid = match layer.quality() {
            _ if !simulcast => "",
            VideoQuality::Low => "q",
            VideoQuality::Medium => "h",
            VideoQuality::High | VideoQuality::Off => "f",
        }
        .to_owned();
    }
    layers
}

/// Tracks of one stream are played in sync. The name becomes part of an SDP line, so only harmless letters pass;
/// `TR…` would be taken for a track sid. Without a usable name, camera and microphone belong together, and so do
/// the screen and its sound.
fn stream_name(asked: &str, source: TrackSource) -> String {
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !asked.is_empty()
        && asked.len() <= MAX_STREAM
        && asked.bytes().all(harmless)
        && !asked.starts_with("TR")
    {
        return asked.to_owned();
    }
    match source {
        TrackSource::ScreenShare | TrackSource::ScreenShareAudio => "screen_share",
        TrackSource::Camera | TrackSource::Microphone | TrackSource::Unknown => "camera",
    }
    .to_owned()
}

/// Whether the announcement is within the bounds.
pub(crate) fn is_reasonable(request: &AddTrackRequest) -> bool {
    !request.cid.is_empty()
        && [&request.cid, &request.name, &request.stream].iter().all(|text| text.len() <= MAX_NAME)
        && request.layers.len() <= MAX_FEATURES
        && request.simulcast_codecs.len() <= MAX_FEATURES
        && request.audio_features.len() <= MAX_FEATURES
        && request.r#type() != TrackType::Data
}

#[cfg(test)]
#[expect(deprecated, reason = "the fields older clients read are checked too")]
mod tests {
    use super::*;
    use livekit_protocol::SimulcastCodec;

    fn video(quality: VideoQuality, width: u32, height: u32) -> VideoLayer {
        VideoLayer { quality: quality.into(), width, height, bitrate: width * 1000, ..Default::default() }
    }

    fn camera(layers: Vec<VideoLayer>) -> AddTrackRequest {
        AddTrackRequest {
            cid: "cid".into(),
            name: "camera".into(),
            r#type: TrackType::Video.into(),
            source: TrackSource::Camera.into(),
            width: 1280,
            height: 720,
            layers,
            ..Default::default()
        }
    }

    fn made(request: AddTrackRequest) -> (TrackInfo, TrackDescription) {
        // Not read by anything here; any value does.
        #[expect(clippy::disallowed_methods, reason = "a test needs some Instant to start from")]
        let track = Track::new(Instant::now(), TrackId(1), PeerId(2), "TR_1".into(), request);
        let description = track.description("PA_1");
        (track.info, description)
    }

    #[test]
    fn layers_are_sorted_named_and_copied_to_both_places() {
        let offered = vec![
            video(VideoQuality::High, 1280, 720),
            video(VideoQuality::Low, 320, 180),
            video(VideoQuality::Medium, 640, 360),
        ];
        let (info, description) = made(camera(offered));
        let rids: Vec<&str> = info.layers.iter().map(|layer| layer.rid.as_str()).collect();
        assert_eq!(rids, ["q", "h", "f"]);
        assert_eq!(info.layers, info.codecs[0].layers);
        assert!(info.simulcast);
        assert_eq!(info.codecs[0].video_layer_mode(), Mode::OneSpatialLayerPerStream);
        let widths: Vec<u32> = description.layers.iter().map(|layer| layer.width).collect();
        assert_eq!(widths, [320, 640, 1280]);
        assert_eq!(
            (description.stream_label.as_str(), description.track_label.as_str()),
            ("PA_1|camera", "TR_1")
        );
    }

    #[test]
    fn a_scalable_stream_keeps_its_layers_without_rids() {
        let layers = vec![video(VideoQuality::Low, 320, 180), video(VideoQuality::High, 1280, 720)];
        let codec = SimulcastCodec { codec: "vp9".into(), ..Default::default() };
        let (info, description) = made(AddTrackRequest { simulcast_codecs: vec![codec], ..camera(layers) });
        assert_eq!(info.codecs[0].video_layer_mode(), Mode::MultipleSpatialLayersPerStream);
        assert!(!info.simulcast && info.layers.iter().all(|layer| layer.rid.is_empty()));
        assert_eq!(description.layers.len(), 2);
    }

    #[test]
    fn a_single_layer_is_not_simulcast() {
        let (info, description) = made(camera(Vec::new()));
        assert_eq!((info.layers.len(), info.layers[0].width, info.layers[0].rid.as_str()), (1, 1280, ""));
        assert!(!info.simulcast && description.layers.is_empty());
    }

    #[test]
    fn a_codec_we_do_not_carry_is_answered_with_vp8() {
        let codec = |codec: &str| SimulcastCodec { codec: codec.into(), ..Default::default() };
        for (asked, answered) in [
            (vec![], ""),
            (vec!["vp8"], "video/VP8"),
            (vec!["h264"], "video/H264"),
            (vec!["av1"], "video/AV1"),
            (vec!["h265"], "video/VP8"),
            (vec!["h265", "vp9"], "video/VP9"),
        ] {
            let request = AddTrackRequest {
                simulcast_codecs: asked.into_iter().map(codec).collect(),
                ..camera(Vec::new())
            };
            let (info, description) = made(request);
            assert_eq!(info.codecs[0].mime_type, answered);
            let told = match answered {
                "video/VP8" => Some(CodecKind::Vp8),
                "video/H264" => Some(CodecKind::H264),
                "video/VP9" => Some(CodecKind::Vp9),
                "video/AV1" => Some(CodecKind::Av1),
                _ => None,
            };
            assert_eq!(description.codec, told, "the media plane answers what the client is told");
        }
    }

    #[test]
    fn a_stream_name_cannot_write_into_the_sdp() {
        for (asked, source, name) in [
            ("", TrackSource::Microphone, "camera"),
            ("", TrackSource::ScreenShareAudio, "screen_share"),
            ("mine", TrackSource::Camera, "mine"),
            ("a b", TrackSource::Camera, "camera"),
            ("a\r\na=x", TrackSource::Camera, "camera"),
            ("PA_2|x", TrackSource::ScreenShare, "screen_share"),
            ("TR_2", TrackSource::Camera, "camera"),
        ] {
            assert_eq!(stream_name(asked, source), name);
        }
    }

    #[test]
    fn old_and_new_audio_fields_say_the_same() {
        let (info, description) = made(AddTrackRequest {
            cid: "mic".into(),
            r#type: TrackType::Audio.into(),
            source: TrackSource::Microphone.into(),
            disable_dtx: true,
            disable_red: true,
            muted: true,
            encryption: encryption::Type::Gcm.into(),
            audio_features: vec![AudioTrackFeature::TfStereo.into(), AudioTrackFeature::TfStereo.into(), 99],
            ..Default::default()
        });
        assert_eq!(
            info.audio_features,
            [i32::from(AudioTrackFeature::TfStereo), AudioTrackFeature::TfNoDtx.into()]
        );
        assert!(info.stereo && info.disable_dtx && info.disable_red && info.muted);
        assert!(description.encrypted && description.kind == MediaKind::Audio && info.layers.is_empty());
        assert!(!description.always_heard, "microphones compete");
        let screen = TrackSource::ScreenShareAudio.into();
        let (_, description) = made(AddTrackRequest {
            cid: "film".into(),
            r#type: TrackType::Audio.into(),
            source: screen,
            ..Default::default()
        });
        assert!(description.always_heard, "the sound of a shared screen does not");
    }

    #[test]
    fn unreasonable_announcements_are_found() {
        assert!(is_reasonable(&camera(Vec::new())));
        let long = "x".repeat(MAX_NAME + 1);
        assert!(!is_reasonable(&AddTrackRequest { cid: String::new(), ..camera(Vec::new()) }));
        assert!(!is_reasonable(&AddTrackRequest { name: long, ..camera(Vec::new()) }));
        assert!(!is_reasonable(&AddTrackRequest { r#type: TrackType::Data.into(), ..camera(Vec::new()) }));
        assert!(!is_reasonable(&camera(vec![VideoLayer::default(); MAX_FEATURES + 1])));
    }
}

//! Offers that real clients made (`golden/offers/`, addresses replaced by documentation ones) and what we answer
//! (`golden/answers/`). `GOLDEN=write cargo test -p sfu --test sdp` writes the answers anew.
//!
//! Clients: `chromium` and `firefox` are npm `livekit-client` 2.23.0 in Chromium 156 and Firefox ESR 153,
//! `python` is PyPI `livekit` 1.2.1, `node` is npm `@livekit/rtc-node` 1.1.0. Steps of one connection each:
//! `join` (first offer), `publish` (microphone, and camera in three layers), `subscribe` (two more receiving
//! m-lines of each kind), `unpublish`, `republish` (camera again), `restart` (ICE restart).

mod anything;
mod proposals;
mod rules;

use rtc_sdp::{MediaDescription, SessionDescription};
use sfu::rtp::extension::Uri;
use sfu::sdp::{
    AnswerSection, CodecKind, Direction, Local, Offer, OfferError, Section, SectionKind, Setup, answer,
};
use sfu::{DtlsRole, MediaKind};
use std::collections::BTreeSet;
use std::fs;
use std::io::Cursor;
use std::path::PathBuf;

const BROWSER_STEPS: &[&str] = &["join", "publish", "subscribe", "unpublish", "republish", "restart"];
const NATIVE_STEPS: &[&str] = &["join", "publish", "subscribe", "unpublish"];
const CLIENTS: &[(&str, &[&str])] = &[
    ("chromium", BROWSER_STEPS),
    ("firefox", BROWSER_STEPS),
    ("python", NATIVE_STEPS),
    ("node", NATIVE_STEPS),
];

const FINGERPRINT: &str = "sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:\
                           00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF";

// --- golden files ----------------------------------------------------------------------------------------------------

fn golden(folder: &str, name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(folder).join(format!("{name}.sdp"))
}

fn offer_text(name: &str) -> String {
    fs::read_to_string(golden("offers", name)).unwrap()
}

fn offer(name: &str) -> Offer {
    Offer::parse(&offer_text(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn names() -> Vec<String> {
    CLIENTS
        .iter()
        .flat_map(|(client, steps)| steps.iter().map(move |step| format!("{client}-{step}")))
        .collect()
}

/// What a shard would decide: everything sent is received, the first receiving line of each kind carries a track.
fn decide(offer: &Offer) -> Vec<AnswerSection<'_>> {
    let mut audio = Some("TR_audio");
    let mut video = Some("TR_video");
    let mut decide = |index: usize, section: &Section| -> AnswerSection<'static> {
        let track = match section.kind {
            SectionKind::Application => return AnswerSection::Application,
            SectionKind::Unknown => return AnswerSection::Rejected,
            SectionKind::Media(MediaKind::Audio) => &mut audio,
            SectionKind::Media(MediaKind::Video) => &mut video,
        };
        match track.take_if(|_| section.direction == Direction::RecvOnly) {
            Some(track_label) => AnswerSection::Send {
                stream_label: "PA_publisher|TR",
                track_label,
                cname: "publisher",
                ssrc: 1000 + 2 * index as u32,
                rtx_ssrc: Some(1001 + 2 * index as u32),
                codecs: Vec::new(),
            },
            None => AnswerSection::Inactive,
        }
    };
    let each = offer.sections.iter().enumerate();
    each.map(|(index, section)| match section.kind {
        SectionKind::Media(_) if section.direction.sends() => AnswerSection::Receive {
            rids: section.rids.iter().map(String::as_str).collect(),
            codecs: Vec::new(),
        },
        _ => decide(index, section),
    })
    .collect()
}

fn print(offer: &Offer, sections: &[AnswerSection<'_>]) -> String {
    let candidates = ["candidate:1 1 udp 2130706431 192.0.2.7 7880 typ host".to_owned()];
    let local = Local {
        ice_ufrag: "serverufrag",
        ice_pwd: "serverpasswordof22bytes",
        fingerprint: FINGERPRINT,
        role: DtlsRole::Server,
        candidates: &candidates,
        session_id: 7,
        session_version: 2,
    };
    answer(offer, &local, sections)
}

fn parse(sdp: &str) -> SessionDescription {
    SessionDescription::unmarshal(&mut Cursor::new(sdp)).unwrap_or_else(|error| panic!("{error}\n{sdp}"))
}

fn values<'a>(media: &'a MediaDescription, key: &str) -> Vec<&'a str> {
    media.attributes.iter().filter(|a| a.key == key).map(|a| a.value.as_deref().unwrap_or_default()).collect()
}

/// Holds for every answer to every offer: RFC 9429 §5.3, RFC 8843, RFC 8285, RFC 3264.
fn check_answer(offer_text: &str, answer_text: &str) {
    assert!(answer_text.ends_with("\r\n") && !answer_text.contains("\r\n\r\n"));
    assert_eq!(answer_text.matches('\n').count(), answer_text.matches("\r\n").count());
    let (offered, answered) = (parse(offer_text), parse(answer_text));
    assert_eq!(offered.media_descriptions.len(), answered.media_descriptions.len(), "an m-line is missing");
    let mut alive = String::new();
    for (theirs, ours) in offered.media_descriptions.iter().zip(&answered.media_descriptions) {
        assert_eq!(theirs.media_name.media, ours.media_name.media);
        assert_eq!(theirs.media_name.protos, ours.media_name.protos);
        assert!(values(ours, "msid").len() <= 1, "native clients abort on a second msid");
        assert!(ours.media_name.formats.iter().all(|format| theirs.media_name.formats.contains(format)));
        if ours.media_name.port.value == 0 {
            continue;
        }
        let mid = values(ours, "mid")[0];
        assert_eq!(Some(&mid), values(theirs, "mid").first());
        alive.extend([" ", mid]);
        assert_eq!(values(ours, "setup"), ["passive"]);
        if ours.media_name.media == "application" {
            continue;
        }
        for extension in values(ours, "extmap") {
            let turned = extension.replace("/recvonly", "/sendonly");
            assert!(
                values(theirs, "extmap").iter().any(|line| line.starts_with(&turned)),
                "{extension} not offered"
            );
        }
        let offered_map = values(theirs, "rtpmap");
        for map in values(ours, "rtpmap") {
            assert!(offered_map.iter().any(|line| line.starts_with(map)), "rtpmap {map} not offered");
        }
        let offered_feedback = values(theirs, "rtcp-fb");
        for feedback in values(ours, "rtcp-fb") {
            let for_all = feedback.split_once(' ').map(|(_, feedback)| format!("* {feedback}")).unwrap();
            let offered = offered_feedback.iter().any(|line| *line == feedback || *line == for_all);
            assert!(offered, "rtcp-fb {feedback} not offered");
        }
        let direction = |media: &MediaDescription| {
            let ways = ["sendrecv", "sendonly", "recvonly", "inactive"];
            media.attributes.iter().find_map(|line| ways.into_iter().find(|way| line.key == *way))
        };
        match direction(ours).unwrap() {
            "recvonly" => assert!(matches!(direction(theirs), None | Some("sendrecv" | "sendonly"))),
            "sendonly" => assert!(matches!(direction(theirs), None | Some("sendrecv" | "recvonly"))),
            way => assert_eq!(way, "inactive"),
        }
        for rid in values(ours, "rid") {
            assert!(
                values(theirs, "rid").iter().any(|line| line.starts_with(&rid.replace(" recv", " send")))
            );
        }
    }
    let group = answered.attribute("group").map(String::as_str).unwrap_or_default();
    assert_eq!(group, if alive.is_empty() { String::new() } else { format!("BUNDLE{alive}") });
    assert!(answered.has_attribute("ice-lite"));
    assert_eq!(answer_text.matches("a=candidate:").count(), usize::from(!alive.is_empty()));
}

#[test]
fn every_golden_offer_is_answered_with_what_it_offers() {
    for name in names() {
        let text = offer_text(&name);
        let offer = Offer::parse(&text).unwrap();
        check_answer(&text, &print(&offer, &decide(&offer)));
        check_answer(&text, &print(&offer, &[]));
    }
}

#[test]
fn answers_to_golden_offers_stay_as_committed() {
    let write = std::env::var_os("GOLDEN").is_some_and(|value| value == "write");
    for name in names() {
        let offer = offer(&name);
        let answer = print(&offer, &decide(&offer));
        let path = golden("answers", &name);
        if write {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &answer).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == answer, "the answer to {name} changed; GOLDEN=write writes it:\n{answer}");
    }
}

/// A client sends the first codec of the answer. One that does not offer what was asked for keeps its order.
#[test]
fn the_codec_asked_for_comes_first_and_nothing_is_lost() {
    for name in names().into_iter().filter(|name| name.ends_with("-publish")) {
        let text = offer_text(&name);
        let offer = Offer::parse(&text).unwrap();
        let camera = |section: &&Section| {
            section.kind == SectionKind::Media(MediaKind::Video) && section.direction.sends()
        };
        let index = offer.sections.iter().position(|section| camera(&section)).unwrap();
        let section = &offer.sections[index];
        for kind in [CodecKind::H264, CodecKind::Vp8] {
            let mut sections = decide(&offer);
            sections[index] = AnswerSection::Receive { rids: Vec::new(), codecs: section.preferring(kind) };
            let printed = print(&offer, &sections);
            check_answer(&text, &printed);
            let answered = SessionDescription::unmarshal(&mut Cursor::new(&printed)).unwrap();
            let formats = &answered.media_descriptions[index].media_name.formats;
            let codec = |format: &String| {
                section.codecs.iter().find(|codec| codec.payload_type.to_string() == *format).unwrap()
            };
            let offered = section.supported_codecs().any(|codec| codec.kind() == Some(kind));
            assert!(offered || !name.starts_with("chromium"), "Chromium offers both");
            let expected =
                if offered { Some(kind) } else { section.supported_codecs().next().unwrap().kind() };
            assert_eq!(codec(&formats[0]).kind(), expected, "{name}");
            let sorted = |mut types: Vec<String>| {
                types.sort();
                types
            };
            let all = section.supported_codecs().map(|codec| codec.payload_type.to_string()).collect();
            assert_eq!(sorted(formats.clone()), sorted(all), "{name}");
        }
    }
}

#[test]
fn golden_folders_hold_what_the_tests_read() {
    for folder in ["offers", "answers"] {
        let files: BTreeSet<_> = fs::read_dir(golden(folder, "x").parent().unwrap())
            .unwrap()
            .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(files, names().into_iter().collect(), "{folder}");
    }
}

// --- what real clients offer -----------------------------------------------------------------------------------------

#[test]
fn each_client_joins_with_three_receiving_lines_of_each_kind_and_one_for_data() {
    for (client, _) in CLIENTS {
        let offer = offer(&format!("{client}-join"));
        let kinds: Vec<_> = offer.sections.iter().map(|section| section.kind).collect();
        let [audio, video] = [MediaKind::Audio, MediaKind::Video].map(SectionKind::Media);
        assert_eq!(kinds, [audio, audio, audio, video, video, video, SectionKind::Application], "{client}");
        let (data, media) = offer.sections.split_last().unwrap();
        assert!(media.iter().all(|section| section.direction == Direction::RecvOnly && !section.rejected));
        assert_eq!(data.sctp_port, Some(5000));
        assert!(data.max_message_size.unwrap() >= 65_536);
        assert_eq!(offer.setup, Setup::ActPass);
        assert!(!offer.ice_lite);
    }
}

#[test]
fn offers_of_one_connection_continue_each_other() {
    for (client, steps) in CLIENTS {
        for pair in steps.windows(2) {
            let [before, after] = [pair[0], pair[1]].map(|step| offer(&format!("{client}-{step}")));
            assert_eq!(after.check_continues(&before), Ok(()), "{client} {pair:?}");
            let restarted = after.ice_ufrag != before.ice_ufrag;
            assert_eq!(restarted, pair[1] == "restart", "{client} {pair:?}");
            assert_eq!(after.fingerprint, before.fingerprint);
        }
    }
    let taken_away = offer("chromium-join").check_continues(&offer("chromium-publish"));
    assert_eq!(taken_away, Err(OfferError::SectionChanged { index: 7 }));
}

#[test]
fn simulcast_layers_keep_the_order_of_the_client() {
    for (client, order) in [
        ("chromium", ["q", "h", "f"]),
        ("firefox", ["q", "h", "f"]),
        ("python", ["f", "h", "q"]),
        ("node", ["f", "h", "q"]),
    ] {
        let offer = offer(&format!("{client}-publish"));
        let camera = offer.sections.iter().find(|section| !section.rids.is_empty()).unwrap();
        assert_eq!(camera.rids, order);
        assert_eq!(camera.direction, Direction::SendOnly);
        let (stream, track) = camera.msid.as_ref().unwrap();
        assert!(!stream.is_empty() && !track.is_empty());
        let answer = print(&offer, &decide(&offer));
        assert!(answer.contains(&format!("a=simulcast:recv {}\r\n", order.join(";"))), "{answer}");
        for rid in order {
            assert_eq!(answer.matches(&format!("a=rid:{rid} recv\r\n")).count(), 1);
        }
    }
}

#[test]
fn layers_that_are_not_accepted_are_left_out_and_unknown_ones_not_invented() {
    let offer = offer("python-publish");
    let sections: Vec<_> = decide(&offer)
        .into_iter()
        .map(|section| match section {
            AnswerSection::Receive { codecs, .. } => {
                AnswerSection::Receive { rids: vec!["q", "x", "f"], codecs }
            }
            section => section,
        })
        .collect();
    let answer = print(&offer, &sections);
    assert!(answer.contains("a=simulcast:recv f;q\r\n"));
    assert!(!answer.contains("a=rid:h") && !answer.contains("a=rid:x"));
}

#[test]
fn video_lines_are_answered_with_mid_and_both_rids_whatever_their_direction() {
    for name in names() {
        let offer = offer(&name);
        let answer = parse(&print(&offer, &decide(&offer)));
        for (section, media) in offer.sections.iter().zip(&answer.media_descriptions) {
            if section.kind != SectionKind::Media(MediaKind::Video) {
                continue;
            }
            let extensions = values(media, "extmap").join("\n");
            let answered = |uri: &Uri| extensions.contains(uri.as_str());
            assert!([Uri::Mid, Uri::TransportSequence].iter().all(answered), "{name} {}", section.mid);
            // Firefox offers RID on the lines where it sends first, on all others one offer later.
            let rids = [Uri::Rid, Uri::RepairedRid].iter().all(answered);
            let offered = !name.starts_with("firefox") || section.extension_id(Uri::Rid).is_some();
            assert_eq!(rids, offered, "{name} {}", section.mid);
            assert!(rids || !section.direction.sends(), "{name} {}", section.mid);
        }
    }
}

#[test]
fn an_extension_that_the_client_only_sends_is_answered_as_only_received() {
    let offer = offer("firefox-publish");
    let answer = print(&offer, &decide(&offer));
    assert!(
        answer.contains("a=extmap:9/recvonly urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n"),
        "{answer}"
    );
    let camera = offer.sections.iter().find(|section| !section.rids.is_empty()).unwrap();
    assert_eq!(camera.extension_id(Uri::Rid), Some(9));
    assert!(!answer.contains(Uri::PlayoutDelay.as_str()) && !answer.contains(Uri::MixerAudioLevel.as_str()));
}

#[test]
fn only_codecs_we_carry_are_answered() {
    for name in names() {
        let offer = offer(&name);
        let answer = print(&offer, &decide(&offer));
        for codec in ["H265/", "ulpfec", "telephone-event", "G722", "PCMU", "CN/", "goog-remb", "red/90000"] {
            assert!(!answer.contains(codec), "{name} answers {codec}");
        }
        for section in
            offer.sections.iter().filter(|section| section.kind == SectionKind::Media(MediaKind::Video))
        {
            let vp8 = section.supported_codecs().find(|codec| codec.kind() == Some(CodecKind::Vp8)).unwrap();
            // The native clients publish VP8 alone: their retransmissions come on the media's own SSRC.
            let rtx = section.codecs.iter().find(|codec| codec.rtx_for == Some(vp8.payload_type));
            let native = name.starts_with("python") || name.starts_with("node");
            assert_eq!(rtx.is_none(), native && !section.rids.is_empty(), "{name} {}", section.mid);
            assert!(rtx.is_none_or(|rtx| section.supported_codecs().any(|codec| codec == rtx)));
        }
    }
}

#[test]
fn opus_is_answered_with_dtx_and_fec_and_red_with_its_blocks() {
    let answer = |name: &str| {
        let offer = offer(name);
        print(&offer, &decide(&offer))
    };
    let chromium = answer("chromium-join");
    assert!(chromium.contains("m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\n"));
    assert!(chromium.contains("a=fmtp:111 minptime=10;useinbandfec=1;usedtx=1\r\n"));
    assert!(chromium.contains("a=rtpmap:63 red/48000/2\r\n") && chromium.contains("a=fmtp:63 111/111\r\n"));
    let firefox = answer("firefox-join");
    assert!(firefox.contains("m=audio 9 UDP/TLS/RTP/SAVPF 109\r\n"));
    assert!(firefox.contains("a=fmtp:109 minptime=10;useinbandfec=1;usedtx=1\r\n"));
}

#[test]
fn a_track_we_send_has_one_msid_and_rtx_only_on_video() {
    let offer = offer("chromium-join");
    let answer = parse(&print(&offer, &decide(&offer)));
    let [audio, video] = [0, 3].map(|index| &answer.media_descriptions[index]);
    assert_eq!(values(audio, "msid"), ["PA_publisher|TR TR_audio"]);
    assert_eq!(values(video, "msid"), ["PA_publisher|TR TR_video"]);
    // Chromium refuses the whole answer when an audio line has a FID group.
    assert_eq!((values(audio, "ssrc-group").len(), values(audio, "ssrc").len()), (0, 1));
    assert_eq!(values(video, "ssrc-group"), ["FID 1006 1007"]);
    assert_eq!(values(video, "ssrc"), ["1006 cname:publisher", "1007 cname:publisher"]);
    assert!(audio.has_attribute("sendonly") && video.has_attribute("sendonly"));
    assert!(values(&answer.media_descriptions[1], "msid").is_empty());
}

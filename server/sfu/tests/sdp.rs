//! Offers that real clients made (`golden/offers/`, addresses replaced by documentation ones) and what we answer
//! (`golden/answers/`). `GOLDEN=write cargo test -p sfu --test sdp` writes the answers anew.
//!
//! Clients: `chromium` and `firefox` are npm `livekit-client` 2.23.0 in Chromium 156 and Firefox ESR 153,
//! `python` is PyPI `livekit` 1.2.1, `node` is npm `@livekit/rtc-node` 1.1.0. Steps of one connection each:
//! `join` (first offer), `publish` (microphone, and camera in three layers), `subscribe` (two more receiving
//! m-lines of each kind), `unpublish`, `republish` (camera again), `restart` (ICE restart).

use proptest::prelude::*;
use rtc_sdp::{MediaDescription, SessionDescription};
use sfu::MediaKind;
use sfu::rtp::extension::Uri;
use sfu::sdp::{
    AnswerSection, CodecKind, Direction, Local, MAX_OFFER_BYTES, MAX_RIDS, MAX_SECTIONS, Offer, OfferError, Section,
    SectionKind, Setup, answer,
};
use std::collections::BTreeSet;
use std::fs;
use std::io::Cursor;
use std::path::PathBuf;

const BROWSER_STEPS: &[&str] = &["join", "publish", "subscribe", "unpublish", "republish", "restart"];
const NATIVE_STEPS: &[&str] = &["join", "publish", "subscribe", "unpublish"];
const CLIENTS: &[(&str, &[&str])] =
    &[("chromium", BROWSER_STEPS), ("firefox", BROWSER_STEPS), ("python", NATIVE_STEPS), ("node", NATIVE_STEPS)];

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
    CLIENTS.iter().flat_map(|(client, steps)| steps.iter().map(move |step| format!("{client}-{step}"))).collect()
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
        SectionKind::Media(_) if section.direction.sends() => {
            AnswerSection::Receive { rids: section.rids.iter().map(String::as_str).collect(), codecs: Vec::new() }
        }
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
        let mid = values(ours, "mid");
        assert_eq!(mid, values(theirs, "mid"));
        alive.extend([" ", mid[0]]);
        assert_eq!(values(ours, "setup"), ["passive"]);
        if ours.media_name.media == "application" {
            continue;
        }
        for extension in values(ours, "extmap") {
            let turned = extension.replace("/recvonly", "/sendonly");
            assert!(values(theirs, "extmap").iter().any(|line| line.starts_with(&turned)), "{extension} not offered");
        }
        let offered_map = values(theirs, "rtpmap");
        for map in values(ours, "rtpmap") {
            assert!(offered_map.iter().any(|line| line.starts_with(map)), "rtpmap {map} not offered");
        }
        for feedback in values(ours, "rtcp-fb") {
            assert!(values(theirs, "rtcp-fb").contains(&feedback), "rtcp-fb {feedback} not offered");
        }
        let direction = |media: &MediaDescription| {
            ["sendrecv", "sendonly", "recvonly", "inactive"].into_iter().find(|way| media.has_attribute(way))
        };
        match direction(ours).unwrap() {
            "recvonly" => assert!(matches!(direction(theirs), None | Some("sendrecv" | "sendonly"))),
            "sendonly" => assert!(matches!(direction(theirs), None | Some("sendrecv" | "recvonly"))),
            way => assert_eq!(way, "inactive"),
        }
        for rid in values(ours, "rid") {
            assert!(values(theirs, "rid").iter().any(|line| line.starts_with(&rid.replace(" recv", " send"))));
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
            AnswerSection::Receive { codecs, .. } => AnswerSection::Receive { rids: vec!["q", "x", "f"], codecs },
            section => section,
        })
        .collect();
    let answer = print(&offer, &sections);
    assert!(answer.contains("a=simulcast:recv f;q\r\n"));
    assert!(!answer.contains("a=rid:h") && !answer.contains("a=rid:x"));
}

#[test]
fn the_first_answer_has_mid_and_both_rids_on_every_video_line() {
    for name in names() {
        let offer = offer(&name);
        let answer = parse(&print(&offer, &decide(&offer)));
        for media in answer.media_descriptions.iter().filter(|media| media.media_name.media == "video") {
            let extensions = values(media, "extmap").join("\n");
            for uri in [Uri::Mid, Uri::Rid, Uri::RepairedRid, Uri::TransportSequence] {
                assert!(extensions.contains(uri.as_str()), "{name} lacks {uri:?}");
            }
        }
    }
}

#[test]
fn an_extension_that_the_client_only_sends_is_answered_as_only_received() {
    let offer = offer("firefox-join");
    let answer = print(&offer, &decide(&offer));
    assert!(answer.contains("a=extmap:9/recvonly urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n"), "{answer}");
    assert_eq!(offer.sections[3].extension_id(Uri::Rid), Some(9));
    assert!(!answer.contains(Uri::PlayoutDelay.as_str()) && !answer.contains(Uri::MixerAudioLevel.as_str()));
}

#[test]
fn only_codecs_we_carry_are_answered() {
    for name in names() {
        let offer = offer(&name);
        let answer = print(&offer, &decide(&offer));
        for codec in ["VP9/", "AV1/", "ulpfec", "telephone-event", "G722", "PCMU", "CN/", "goog-remb", "red/90000"] {
            assert!(!answer.contains(codec), "{name} answers {codec}");
        }
        for section in offer.sections.iter().filter(|section| section.kind == SectionKind::Media(MediaKind::Video)) {
            let vp8 = section.supported_codecs().find(|codec| codec.kind() == Some(CodecKind::Vp8)).unwrap();
            let rtx = section.rtx_payload_type(vp8.payload_type).unwrap();
            assert!(section.supported_codecs().any(|codec| codec.payload_type == rtx));
            assert_eq!(vp8.mime_type(MediaKind::Video), "video/VP8");
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

// --- single rules, on a small offer ----------------------------------------------------------------------------------

const HEAD: &str = "v=0\no=- 1 1 IN IP4 0.0.0.0\ns=-\nt=0 0\na=group:BUNDLE 0 1 d\n\
                    a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:\
                    00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\n";
const AUDIO: &str = "m=audio 9 UDP/TLS/RTP/SAVPF 111\nc=IN IP4 0.0.0.0\na=ice-ufrag:abcd\n\
                     a=ice-pwd:abcdefghijklmnopqrstuv\na=setup:actpass\na=mid:0\na=sendrecv\na=rtcp-mux\n\
                     a=rtpmap:111 opus/48000/2\na=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\n";
const VIDEO: &str = "m=video 9 UDP/TLS/RTP/SAVPF 96 97 98 99 100 101\nc=IN IP4 0.0.0.0\na=mid:1\na=sendonly\n\
                     a=rtcp-mux\na=rtpmap:96 VP8/90000\na=rtcp-fb:* nack\na=rtpmap:97 rtx/90000\na=fmtp:97 apt=96\n\
                     a=rtpmap:98 H264/90000\na=fmtp:98 packetization-mode=1;profile-level-id=42e01f;sprop=x\n\
                     a=rtpmap:99 rtx/90000\na=fmtp:99 apt=98\na=rtpmap:100 VP9/90000\na=rtpmap:101 rtx/90000\n\
                     a=fmtp:101 apt=100\na=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\n";
const DATA: &str = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\nc=IN IP4 0.0.0.0\na=mid:d\na=sctp-port:5000\n";

fn small() -> String {
    [HEAD, AUDIO, VIDEO, DATA].concat()
}

fn changed(from: &str, to: &str) -> Result<Offer, OfferError> {
    let text = small();
    assert!(text.contains(from), "{from}");
    Offer::parse(&text.replacen(from, to, 1))
}

#[test]
fn the_small_offer_is_read() {
    let offer = Offer::parse(&small()).unwrap();
    assert_eq!((offer.ice_ufrag.as_str(), offer.ice_pwd.as_str()), ("abcd", "abcdefghijklmnopqrstuv"));
    assert_eq!(offer.fingerprint.value[..4], [0x00, 0x11, 0x22, 0x33]);
    let video = &offer.sections[1];
    assert_eq!(video.codec(96).unwrap().feedback, ["nack"]);
    let accepted: Vec<_> = video.supported_codecs().map(|codec| codec.payload_type).collect();
    assert_eq!(accepted, [96, 97, 98, 99], "VP9 is off, and so is its RTX");
    let answer = print(&offer, &decide(&offer));
    assert!(answer.contains("a=fmtp:98 packetization-mode=1;profile-level-id=42e01f\r\n"), "{answer}");
    assert!(!answer.contains("rtcp-rsize") && !answer.contains("allow-mixed") && !answer.contains("a=simulcast"));
}

#[test]
fn offers_that_cannot_be_answered_say_why() {
    let missing = |from: &str| match changed(from, "a=x:y\n") {
        Err(OfferError::Missing(what)) => what,
        other => panic!("{from}: {other:?}"),
    };
    assert_eq!(missing("a=ice-ufrag:abcd\n"), "a=ice-ufrag");
    assert_eq!(missing("a=ice-pwd:abcdefghijklmnopqrstuv\n"), "a=ice-pwd");
    assert_eq!(missing("a=setup:actpass\n"), "a=setup");
    assert!(missing("a=rtcp-mux\n").starts_with("a=rtcp-mux"));
    assert!(missing("a=mid:0\n").starts_with("a=mid"));
    assert!(missing("a=fingerprint:sha-256 ").contains("sha-256"));
    assert!(matches!(changed("sha-256 00:", "sha-256 0:"), Err(OfferError::Missing(_))));
    assert!(matches!(changed("sha-256 00:", "sha-256 00:00:"), Err(OfferError::Missing(_))));
    assert_eq!(changed("a=setup:actpass", "a=setup:passive"), Err(OfferError::DtlsRole));
    assert_eq!(changed("BUNDLE 0 1 d", "BUNDLE 0 d"), Err(OfferError::NotBundled));
    assert_eq!(changed("a=group:BUNDLE 0 1 d\n", ""), Err(OfferError::NotBundled));
    assert_eq!(changed("a=mid:d", "a=mid:1"), Err(OfferError::DuplicateMid { index: 2 }));
    assert!(matches!(Offer::parse(""), Err(OfferError::Grammar(_))));
    assert!(matches!(Offer::parse(HEAD), Err(OfferError::Missing(_))));
    assert!(matches!(changed("a=ice-ufrag:abcd", "a=ice-ufrag:abc"), Err(OfferError::Grammar(_))));
    assert!(matches!(changed("a=mid:0\n", "a=mid:0\ra=x\n"), Err(OfferError::Grammar(_))));
    assert!(matches!(changed("a=mid:0\n", "a=mid:0\0\n"), Err(OfferError::Grammar(_))));
}

#[test]
fn an_error_quotes_nothing_of_the_offer() {
    let error = changed("m=audio 9 UDP", "m=audio 198.51.100.7 UDP").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("198.51"), "{error:?}");
    let error = changed("a=mid:0\n", "secret=0\n").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
}

#[test]
fn size_is_bounded() {
    let long = format!("{}a=x:{}\n", small(), "y".repeat(MAX_OFFER_BYTES));
    assert_eq!(Offer::parse(&long), Err(OfferError::TooLong(MAX_OFFER_BYTES)));
    let mids: String = (0..MAX_SECTIONS).map(|index| format!(" {index}x")).collect();
    let lines = |count: usize| -> String {
        (0..count).map(|index| AUDIO.replace("a=mid:0", &format!("a=mid:{index}x"))).collect()
    };
    let head = HEAD.replace(" 0 1 d", &mids);
    assert_eq!(Offer::parse(&format!("{head}{}", lines(MAX_SECTIONS))).unwrap().sections.len(), MAX_SECTIONS);
    let too_many = Offer::parse(&format!("{head}{}", lines(MAX_SECTIONS + 1)));
    assert_eq!(too_many, Err(OfferError::TooManySections(MAX_SECTIONS)));

    let rids: String = (0..50).map(|index| format!("a=rid:r{index} send\n")).collect();
    let ssrcs: String = (0..50).map(|index| format!("a=ssrc:{index} cname:x\na=ssrc-group:FID {index} 7\n")).collect();
    let section = &changed("a=sendonly\n", &format!("a=sendonly\n{rids}{ssrcs}")).unwrap().sections[1];
    assert_eq!(section.rids.len(), MAX_RIDS);
    assert!(section.ssrcs.len() < 50 && section.fid.len() < 50);
}

#[test]
fn rejected_lines_may_come_back_as_something_else_and_others_may_not() {
    let first = Offer::parse(&small()).unwrap();
    let rejected = changed("m=video 9", "m=video 0").unwrap();
    assert!(rejected.sections[1].rejected && !rejected.sections[1].is_answerable());
    assert_eq!(rejected.check_continues(&first), Ok(()));
    let reused = Offer::parse(&[HEAD, AUDIO, &AUDIO.replace("a=mid:0", "a=mid:1"), DATA].concat()).unwrap();
    assert_eq!(reused.check_continues(&rejected), Ok(()));
    assert_eq!(reused.check_continues(&first), Err(OfferError::SectionChanged { index: 1 }));
    let renamed = Offer::parse(&small().replace("a=mid:d", "a=mid:e").replace(" 0 1 d", " 0 1 e")).unwrap();
    assert_eq!(renamed.check_continues(&first), Err(OfferError::SectionChanged { index: 2 }));
    let bundle_only = changed("m=video 9", "m=video 0").map(|_| small().replace("m=video 9", "m=video 0"));
    let bundle_only = Offer::parse(&bundle_only.unwrap().replace("a=mid:1", "a=mid:1\na=bundle-only")).unwrap();
    assert!(!bundle_only.sections[1].rejected);
}

#[test]
fn rejected_lines_leave_the_bundle_and_candidates_move_on() {
    let text = small().replace("m=audio 9", "m=audio 0").replace("a=mid:1", "a=mid:1\na=ice-ufrag:efgh");
    let text = text.replace("a=ice-ufrag:efgh", "a=ice-ufrag:efgh\na=ice-pwd:abcdefghijklmnopqrstuv\na=setup:active");
    let offer = Offer::parse(&text).unwrap();
    assert_eq!((offer.ice_ufrag.as_str(), offer.setup), ("efgh", Setup::Active));
    let answer = print(&offer, &decide(&offer));
    check_answer(&text, &answer);
    assert!(answer.contains("a=group:BUNDLE 1 d\r\n") && answer.contains("m=audio 0 "));
    let only_data = [AnswerSection::Rejected, AnswerSection::Rejected, AnswerSection::Application];
    let answer = print(&offer, &only_data);
    check_answer(&text, &answer);
    assert!(answer.contains("a=group:BUNDLE d\r\n") && answer.contains("a=max-message-size:65536\r\n"));
}

#[test]
fn decisions_that_the_offer_does_not_allow_are_not_printed() {
    let offer = Offer::parse(&small()).unwrap();
    let send = AnswerSection::Send {
        stream_label: "s",
        track_label: "t",
        cname: "c",
        ssrc: 1,
        rtx_ssrc: Some(2),
        codecs: vec![],
    };
    let receive = |codecs| AnswerSection::Receive { rids: vec!["q"], codecs };
    // The video line only sends, and data is not media.
    let answer = print(&offer, &[receive(vec![]), send.clone(), AnswerSection::Inactive]);
    check_answer(&small(), &answer);
    assert!(!answer.contains("a=msid:") && !answer.contains("a=rid:") && answer.contains("m=application 0 "));
    // A line without a common codec is rejected, preference orders the rest.
    let answer = print(&offer, &[AnswerSection::Application, receive(vec![100, 98, 99, 96, 98, 5])]);
    check_answer(&small(), &answer);
    assert!(answer.contains("m=audio 0 ") && answer.contains("m=video 9 UDP/TLS/RTP/SAVPF 98 99 96\r\n"), "{answer}");
    let answer = print(&offer, &[send, receive(vec![100])]);
    assert!(answer.contains("m=video 0 ") && answer.contains("a=msid:s t\r\n"));
}

#[test]
fn unknown_kinds_and_a_second_data_line_are_rejected() {
    let text = format!("{}{DATA}m=text 9 UDP/TLS/RTP/SAVPF 98\na=mid:t\n", small().replace(" 0 1 d", " 0 1 d e t"));
    let text = text.replacen(DATA, &DATA.replace("a=mid:d", "a=mid:e"), 1);
    let offer = Offer::parse(&text).unwrap();
    let kinds: Vec<_> = offer.sections[2..].iter().map(|section| section.kind).collect();
    assert_eq!(kinds, [SectionKind::Application, SectionKind::Unknown, SectionKind::Unknown]);
    let answer = print(&offer, &vec![AnswerSection::Application; 5]);
    check_answer(&text, &answer);
    assert!(answer.contains("a=group:BUNDLE e\r\n"), "{answer}");
}

#[test]
fn extension_ids_mean_one_thing_on_all_lines() {
    let rid = "a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\n";
    let mid = "a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\n";
    let offer = Offer::parse(&[HEAD, AUDIO, &VIDEO.replace(mid, rid), DATA].concat()).unwrap();
    assert_eq!(offer.sections[0].extension_id(Uri::Mid), Some(1));
    assert_eq!(offer.sections[1].extensions, [], "id 1 is already taken by the mid");
    let two = VIDEO.replace("extmap:1 ", "extmap:2 ");
    assert_eq!(Offer::parse(&[HEAD, AUDIO, &two, DATA].concat()).unwrap().sections[1].extensions, []);
    // Ids that need two-byte headers only when the client allows them.
    let high = |mixed: &str| {
        let [audio, video] = [AUDIO, VIDEO].map(|text| text.replace("extmap:1 ", "extmap:16 "));
        Offer::parse(&[HEAD, mixed, &audio, &video, DATA].concat()).unwrap().sections[1].extension_id(Uri::Mid)
    };
    assert_eq!((high(""), high("a=extmap-allow-mixed\n")), (None, Some(16)));
}

#[test]
fn stereo_is_answered_to_senders_that_announce_it() {
    let stereo = |fmtp: &str| {
        let offer = changed("opus/48000/2\n", &format!("opus/48000/2\na=fmtp:111 {fmtp}\n")).unwrap();
        print(&offer, &decide(&offer)).contains("usedtx=1;stereo=1")
    };
    assert!(stereo("minptime=10;sprop-stereo=1"));
    assert!(!stereo("stereo=1"), "what the client likes to receive");
}

#[test]
fn payloads_are_the_same_only_with_the_same_bitstream_parameters() {
    let offer = offer("chromium-join");
    let h264: Vec<_> =
        offer.sections[3].codecs.iter().filter(|codec| codec.kind() == Some(CodecKind::H264)).collect();
    assert!(h264.len() > 3);
    for (index, one) in h264.iter().enumerate() {
        for (other_index, other) in h264.iter().enumerate() {
            assert_eq!(one.same_payload(other), index == other_index, "{} {}", one.fmtp, other.fmtp);
        }
    }
    let firefox = offer_vp8("firefox-join");
    assert!(offer_vp8("chromium-join").same_payload(&firefox), "numbers differ, the payload does not");
    assert!(!h264[0].same_payload(&firefox));
}

fn offer_vp8(name: &str) -> sfu::sdp::Codec {
    let offer = offer(name);
    offer.sections[3].codecs.iter().find(|codec| codec.kind() == Some(CodecKind::Vp8)).unwrap().clone()
}

// --- anything at all -------------------------------------------------------------------------------------------------

/// Whatever is accepted must be answerable by the same rules as golden offers.
fn survive(text: &str) {
    if let Ok(offer) = Offer::parse(text) {
        check_answer(text, &print(&offer, &decide(&offer)));
        let _ = offer.check_continues(&offer).map_err(|error| panic!("not itself: {error}"));
    }
}

/// One change to a text: lines dropped, doubled, moved or mixed with another offer's, bytes replaced, cut off.
#[derive(Clone, Debug)]
enum Change {
    Drop(prop::sample::Index),
    Double(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    Borrow(prop::sample::Index, prop::sample::Index, prop::sample::Index),
    Replace(prop::sample::Index, prop::sample::Index, String),
    Cut(prop::sample::Index),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        at().prop_map(Change::Drop),
        at().prop_map(Change::Double),
        (at(), at()).prop_map(|(a, b)| Change::Swap(a, b)),
        (at(), at(), at()).prop_map(|(a, b, c)| Change::Borrow(a, b, c)),
        (at(), at(), "[ -~é\r:/;=,0-9]{0,4}").prop_map(|(a, b, text)| Change::Replace(a, b, text)),
        at().prop_map(Change::Cut),
    ]
}

fn apply(lines: &mut Vec<String>, change: &Change) {
    if lines.is_empty() {
        return;
    }
    match change {
        Change::Drop(at) => drop(lines.remove(at.index(lines.len()))),
        Change::Double(at) => {
            let at = at.index(lines.len());
            lines.insert(at, lines[at].clone());
        }
        Change::Swap(a, b) => {
            let (a, b) = (a.index(lines.len()), b.index(lines.len()));
            lines.swap(a, b);
        }
        Change::Borrow(file, from, to) => {
            let names = names();
            let other = offer_text(file.get(&names));
            let other: Vec<_> = other.lines().collect();
            lines.insert(to.index(lines.len()), (*from.get(&other)).to_owned());
        }
        Change::Replace(line, at, text) => {
            let line = line.index(lines.len());
            let start = at.index(lines[line].len() + 1);
            if lines[line].is_char_boundary(start) {
                let end = (start + text.len()).min(lines[line].len());
                let end = if lines[line].is_char_boundary(end) { end } else { start };
                lines[line].replace_range(start..end, text);
            }
        }
        Change::Cut(at) => lines.truncate(at.index(lines.len())),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_survived(text in any::<String>()) {
        survive(&text);
    }

    #[test]
    fn anything_that_looks_like_lines_is_survived(lines in prop::collection::vec("[a-z]=[ -~]{0,40}", 0..40)) {
        survive(&lines.join("\r\n"));
    }

    #[test]
    fn attributes_after_a_good_head_are_survived(
        lines in prop::collection::vec(
            "a=(mid|rid|simulcast|extmap|rtpmap|fmtp|rtcp-fb|ssrc|ssrc-group|msid|setup|group|ice-ufrag|fingerprint)\
             :?[ -~]{0,30}",
            0..40,
        )
    ) {
        survive(&format!("{}{}\r\n", small(), lines.join("\r\n")));
    }

    #[test]
    fn changed_golden_offers_are_survived(
        file in any::<prop::sample::Index>(),
        changes in prop::collection::vec(change(), 1..6),
    ) {
        let names = names();
        let mut lines: Vec<String> = offer_text(file.get(&names)).lines().map(str::to_owned).collect();
        for change in &changes {
            apply(&mut lines, change);
        }
        survive(&(lines.join("\r\n") + "\r\n"));
    }
}

//! Single rules, on a small offer.

use crate::{check_answer, decide, print};
use sfu::rtp::extension::Uri;
use sfu::sdp::{
    AnswerSection, MAX_OFFER_BYTES, MAX_RIDS, MAX_SECTIONS, Offer, OfferError, SectionKind, Setup,
};

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
const DATA: &str =
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\nc=IN IP4 0.0.0.0\na=mid:d\na=sctp-port:5000\n";

pub(crate) fn small() -> String {
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
    assert_eq!(video.codecs[0].feedback, ["nack"]);
    let accepted: Vec<_> = video.supported_codecs().map(|codec| codec.payload_type).collect();
    assert_eq!(accepted, [96, 97, 98, 99, 100, 101]);
    let offer = changed("VP9/90000", "H265/90000").unwrap();
    let accepted: Vec<_> = offer.sections[1].supported_codecs().map(|codec| codec.payload_type).collect();
    assert_eq!(accepted, [96, 97, 98, 99], "H.265 is not carried, and neither is its RTX");
    let offer = changed("a=fmtp:101 apt=100", "a=fmtp:101 apt=100\na=fmtp:100 profile-id=2").unwrap();
    let accepted: Vec<_> = offer.sections[1].supported_codecs().map(|codec| codec.payload_type).collect();
    assert_eq!(accepted, [96, 97, 98, 99], "nor ten bits a sample");
    let offer = Offer::parse(&small()).unwrap();
    let answer = print(&offer, &decide(&offer));
    assert!(answer.contains("a=fmtp:98 packetization-mode=1;profile-level-id=42e01f\r\n"), "{answer}");
    assert!(
        !answer.contains("rtcp-rsize") && !answer.contains("allow-mixed") && !answer.contains("a=simulcast")
    );
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
    assert!(matches!(changed("fingerprint:sha-256 ", "fingerprint:sha-1 "), Err(OfferError::Missing(_))));
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
    let ssrcs: String =
        (0..50).map(|index| format!("a=ssrc:{index} cname:x\na=ssrc-group:FID {index} 7\n")).collect();
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
    // Browsers re-use at once what the server had to reject: here a line without a common codec.
    let hopeless = changed("VP9/90000", "H265/90000").unwrap();
    assert!(hopeless.sections[1].is_answerable());
    let hopeless =
        Offer::parse(&small().replace("VP9/", "H265/").replace("96 97 98 99 100 101", "100 101")).unwrap();
    assert!(!hopeless.sections[1].is_answerable());
    assert_eq!(reused.check_continues(&hopeless), Ok(()));
    let renamed = Offer::parse(&small().replace("a=mid:d", "a=mid:e").replace(" 0 1 d", " 0 1 e")).unwrap();
    assert_eq!(renamed.check_continues(&first), Err(OfferError::SectionChanged { index: 2 }));
    let bundle_only = changed("m=video 9", "m=video 0").map(|_| small().replace("m=video 9", "m=video 0"));
    let bundle_only =
        Offer::parse(&bundle_only.unwrap().replace("a=mid:1", "a=mid:1\na=bundle-only")).unwrap();
    assert!(!bundle_only.sections[1].rejected);
}

#[test]
fn rejected_lines_leave_the_bundle_and_candidates_move_on() {
    let text = small().replace("m=audio 9", "m=audio 0").replace("a=mid:1", "a=mid:1\na=ice-ufrag:efgh");
    let text = text
        .replace("a=ice-ufrag:efgh", "a=ice-ufrag:efgh\na=ice-pwd:abcdefghijklmnopqrstuv\na=setup:active");
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
    assert!(
        answer.contains("m=audio 0 ") && answer.contains("m=video 9 UDP/TLS/RTP/SAVPF 100 98 99 96\r\n"),
        "{answer}"
    );
    let answer = print(&offer, &[send, receive(vec![5])]);
    assert!(answer.contains("m=video 0 ") && answer.contains("a=msid:s t\r\n"));
}

#[test]
fn unknown_kinds_and_a_second_data_line_are_rejected() {
    let text =
        format!("{}{DATA}m=text 9 UDP/TLS/RTP/SAVPF 98\na=mid:t\n", small().replace(" 0 1 d", " 0 1 d e t"));
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
        Offer::parse(&[HEAD, mixed, &audio, &video, DATA].concat()).unwrap().sections[1]
            .extension_id(Uri::Mid)
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

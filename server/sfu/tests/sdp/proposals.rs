//! Offers of the server's (`golden/proposals/`; `GOLDEN=write` writes them anew) and answers to them.

use super::{FINGERPRINT, golden};
use rtc_sdp::SessionDescription;
use sfu::DtlsRole;
use sfu::MediaKind::{Audio, Video};
use sfu::sdp::{ENABLED_CODECS, Local, Offer, ProposedSection, Section, propose, supported};
use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;

fn local(candidates: &[String]) -> Local<'_> {
    Local {
        ice_ufrag: "serverfr",
        ice_pwd: "serverpasswordserverpass",
        fingerprint: FINGERPRINT,
        role: DtlsRole::Server,
        candidates,
        session_id: 4_611_731_400_430_051_336,
        session_version: 3,
    }
}

fn sent(kind: sfu::MediaKind, number: u32) -> ProposedSection<'static> {
    ProposedSection::Send {
        kind,
        stream_label: "PA_publisher",
        track_label: if kind == Audio { "TR_audio" } else { "TR_video" },
        cname: "publisher",
        ssrc: 1000 + number,
        rtx_ssrc: 2000 + number,
    }
}

/// The steps of one connection: nothing to receive yet; two tracks; one of them ended; another one in its place and a
/// line that the client has rejected.
fn steps() -> [(&'static str, Vec<ProposedSection<'static>>); 4] {
    let data = ProposedSection::Application;
    [
        ("first", vec![data.clone()]),
        ("tracks", vec![data.clone(), sent(Audio, 1), sent(Video, 2)]),
        ("ended", vec![data.clone(), sent(Audio, 1), ProposedSection::Inactive(Video)]),
        ("again", vec![data, ProposedSection::Rejected(Audio), sent(Video, 3), sent(Audio, 4)]),
    ]
}

fn text(sections: &[ProposedSection<'_>]) -> String {
    let candidates = ["candidate:1 1 udp 2130706431 198.51.100.1 7880 typ host".to_owned()];
    propose(&local(&candidates), sections)
}

#[test]
fn proposals_are_the_golden_ones() {
    for (name, sections) in steps() {
        let (file, text) = (golden("proposals", name), text(&sections));
        if std::env::var("GOLDEN").is_ok_and(|value| value == "write") {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, &text).unwrap();
        }
        assert_eq!(text, fs::read_to_string(&file).unwrap(), "{name}");
    }
}

/// Read with the family's parser, and with our own as if it were a client's.
#[test]
fn proposals_are_whole() {
    for (name, sections) in steps() {
        let text = text(&sections);
        let parsed = SessionDescription::unmarshal(&mut Cursor::new(&text)).unwrap();
        assert_eq!(parsed.media_descriptions.len(), sections.len(), "{name}");
        let offer = Offer::parse_answer(&text).unwrap();
        let mut extensions: BTreeMap<u8, &str> = BTreeMap::new();
        for section in &offer.sections {
            for (id, uri) in &section.extensions {
                assert_eq!(*extensions.entry(*id).or_insert(uri), uri, "{name}: one id, one meaning");
            }
            for codec in &section.codecs {
                assert!(supported(codec), "{name}: {codec:?} could not be answered either");
                if let Some(primary) = codec.rtx_for {
                    assert!(
                        section.codecs.iter().any(|one| one.payload_type == primary),
                        "{name}: {codec:?}"
                    );
                }
            }
        }
    }
}

/// What publishers may send, subscribers are offered.
#[test]
fn every_enabled_codec_is_offered() {
    let text = text(&[ProposedSection::Application, sent(Audio, 1), sent(Video, 2)]);
    let offer = Offer::parse_answer(&text).unwrap();
    let kinds: Vec<_> =
        offer.sections.iter().flat_map(Section::supported_codecs).filter_map(sfu::sdp::Codec::kind).collect();
    for codec in ENABLED_CODECS {
        assert!(kinds.contains(codec), "{codec:?}");
    }
}

/// One DTLS role was offered; pion answers `passive` to every ICE-lite server and takes the active part all the same.
#[test]
fn the_role_that_an_answer_names_means_nothing() {
    let text = text(&[ProposedSection::Application]);
    for role in ["active", "passive"] {
        let answer = text.replace("a=setup:passive", &format!("a=setup:{role}"));
        assert_eq!(Offer::parse_answer(&answer).map(|answer| answer.sections.len()), Ok(1), "{role}");
    }
}

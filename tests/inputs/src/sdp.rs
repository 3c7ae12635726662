//! Any text as an offer. Reading it never panics; the same offer may come again (RFC 9429 §5.3); and whatever is
//! decided for its m-lines, the answer has one m-line for each and leaves nothing of the client's open to a line break.

use sfu::DtlsRole;
use sfu::sdp::{AnswerSection, Direction, Local, Offer, SectionKind, answer};

pub(crate) fn run(bytes: &[u8]) {
    let Ok(sdp) = std::str::from_utf8(bytes) else { return };
    let Ok(offer) = Offer::parse(sdp) else { return };
    assert_eq!(offer.check_continues(&offer), Ok(()));
    let local = Local {
        ice_ufrag: "ours",
        ice_pwd: "a-password-of-this-server",
        fingerprint: "sha-256 00",
        role: DtlsRole::Server,
        candidates: &[],
        session_id: 1,
        session_version: 1,
    };
    let used: Vec<AnswerSection<'_>> = offer
        .sections
        .iter()
        .map(|section| match (section.kind, section.direction) {
            (SectionKind::Application, _) => AnswerSection::Application,
            (SectionKind::Media(_), Direction::RecvOnly) => AnswerSection::Send {
                stream_label: "PA_x",
                track_label: "TR_x",
                cname: "x",
                ssrc: 1,
                rtx_ssrc: Some(2),
                codecs: Vec::new(),
            },
            (SectionKind::Media(_), _) => AnswerSection::Receive {
                rids: section.rids.iter().map(String::as_str).collect(),
                codecs: Vec::new(),
            },
            (SectionKind::Unknown, _) => AnswerSection::Rejected,
        })
        .collect();
    for sections in [used, vec![AnswerSection::Inactive; offer.sections.len()], Vec::new()] {
        let text = answer(&offer, &local, &sections);
        let lines: Vec<&str> = text.split("\r\n").collect();
        assert_eq!(lines.iter().filter(|line| line.starts_with("m=")).count(), offer.sections.len());
        assert!(lines.iter().all(|line| !line.contains(['\r', '\n', '\0'])));
        for line in lines.iter().filter(|line| !line.is_empty()) {
            assert_eq!(line.as_bytes().get(1), Some(&b'='), "a line that is none");
        }
    }
}

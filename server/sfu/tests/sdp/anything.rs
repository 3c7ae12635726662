//! Whatever a client may send: nothing panics, and what is accepted is answered by the same rules.

use crate::rules::small;
use crate::{check_answer, decide, names, offer_text, print};
use proptest::prelude::*;
use sfu::sdp::Offer;
use std::collections::BTreeSet;

fn survive(text: &str) {
    if let Ok(offer) = Offer::parse(text) {
        check_answer(text, &print(&offer, &decide(&offer)));
        assert_eq!(offer.check_continues(&offer), Ok(()), "a repeated offer");
    }
}

/// One change to a text: lines dropped, doubled, moved or taken from another offer, bytes replaced, cut off.
#[derive(Clone, Debug)]
enum Change {
    Drop(prop::sample::Index),
    Double(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    Insert(prop::sample::Index, String),
    Replace(prop::sample::Index, prop::sample::Index, String),
    Cut(prop::sample::Index),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    let lines: BTreeSet<String> = names().iter().flat_map(|name| lines_of(name)).collect();
    let lines: Vec<String> = lines.into_iter().collect();
    prop_oneof![
        at().prop_map(Change::Drop),
        at().prop_map(Change::Double),
        (at(), at()).prop_map(|(a, b)| Change::Swap(a, b)),
        (at(), prop::sample::select(lines)).prop_map(|(at, line)| Change::Insert(at, line)),
        (at(), at(), "[ -~é\r:/;=,0-9]{0,4}").prop_map(|(a, b, text)| Change::Replace(a, b, text)),
        at().prop_map(Change::Cut),
    ]
}

fn lines_of(name: &str) -> Vec<String> {
    offer_text(name).lines().map(str::to_owned).collect()
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
        Change::Insert(at, line) => lines.insert(at.index(lines.len()), line.clone()),
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
        name in prop::sample::select(names()),
        changes in prop::collection::vec(change(), 1..6),
    ) {
        let mut lines = lines_of(&name);
        for change in &changes {
            apply(&mut lines, change);
        }
        survive(&(lines.join("\r\n") + "\r\n"));
    }
}

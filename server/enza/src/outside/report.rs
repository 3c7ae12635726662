//! What a device tells of what it saw. It comes from a stranger's browser and ends on the operator's terminal: strictly read,
//! bounded, and without anything that a terminal would obey.

use serde::{Deserialize, Serialize};

/// Lines of a report. The page has fewer than twenty.
const LINES_MAX: usize = 32;

/// Characters of one sentence. The page's longest have about 200.
const SENTENCE_MAX: usize = 500;

/// Characters of a word for programs.
const NAME_MAX: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Rating {
    Ok,
    Warn,
    Bad,
    /// The device cannot tell.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    pub(crate) check: String,
    pub(crate) verdict: Rating,
    pub(crate) what: String,
    #[serde(rename = "do")]
    pub(crate) todo: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Report {
    /// The situation, for programs.
    pub(crate) verdict: String,
    /// The same as a sentence.
    pub(crate) summary: String,
    pub(crate) lines: Vec<Line>,
}

impl Report {
    /// `None`: no report, or one out of bounds.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().and_then(Self::bounded)
    }

    /// As it is, when it is within its bounds.
    pub(crate) fn bounded(self) -> Option<Self> {
        let lines = self.lines.len() <= LINES_MAX && self.lines.iter().all(Line::is_bounded);
        (lines && is_name(&self.verdict) && is_sentence(&self.summary)).then_some(self)
    }
}

impl Line {
    fn is_bounded(&self) -> bool {
        is_name(&self.check) && is_sentence(&self.what) && self.todo.as_deref().is_none_or(is_sentence)
    }
}

fn is_name(text: &str) -> bool {
    (1..=NAME_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// One line of visible text: no control characters, no change of the direction of writing.
fn is_sentence(text: &str) -> bool {
    let invisible = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
    };
    (1..=SENTENCE_MAX).contains(&text.chars().count()) && !text.chars().any(invisible)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(report: &Value) -> Option<Report> {
        Report::read(report.to_string().as_bytes())
    }

    fn good() -> Value {
        json!({"verdict": "no-udp", "summary": "UDP is blocked.", "lines": [
            {"check": "udp", "verdict": "bad", "what": "UDP には とおりみちが ありません。", "do": "Open it."},
            {"check": "clock", "verdict": "unknown", "what": "Nobody knows.", "do": null},
        ]})
    }

    #[test]
    fn a_report_is_read_as_the_page_writes_it() {
        let report = read(&good()).unwrap();
        assert_eq!(report.lines.len(), 2);
        assert_eq!(report.lines[1].todo, None);
        assert_eq!(serde_json::to_value(&report).unwrap(), good());
    }

    #[test]
    fn what_a_terminal_would_obey_and_what_has_no_bounds_is_no_report() {
        let changed = |pointer: &str, value: Value| {
            let mut report = good();
            *report.pointer_mut(pointer).unwrap() = value;
            read(&report)
        };
        for text in ["\u{1b}[2J", "a\nb", "a\u{202e}b", "\u{9b}31m", "", &"x".repeat(SENTENCE_MAX + 1)] {
            assert_eq!(changed("/summary", json!(text)), None, "{text:?}");
            assert_eq!(changed("/lines/0/what", json!(text)), None, "{text:?}");
            assert_eq!(changed("/lines/0/do", json!(text)), None, "{text:?}");
        }
        for name in ["", "No", "a b", "é", &"x".repeat(NAME_MAX + 1)] {
            assert_eq!(changed("/verdict", json!(name)), None, "{name:?}");
            assert_eq!(changed("/lines/0/check", json!(name)), None, "{name:?}");
        }
        let line = good()["lines"][0].clone();
        assert!(changed("/lines", json!(vec![line.clone(); LINES_MAX])).is_some());
        assert_eq!(changed("/lines", json!(vec![line; LINES_MAX + 1])), None);
        assert_eq!(changed("/lines/0/verdict", json!("fine")), None);
        let mut more = good();
        more["address"] = json!("192.0.2.1");
        assert_eq!(read(&more), None);
        assert_eq!(Report::read(b"{"), None);
    }
}

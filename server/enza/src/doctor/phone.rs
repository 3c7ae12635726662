//! A phone that is not in this network looks for us: a link with a one-time word is shown, and what the page behind it tells the
//! server is waited for. Owns how long; never judges.

use super::Found;
use crate::catalogue::Language;
use crate::operate::OperateError;
use crate::operate::remote::Remote;
use crate::operator_key;
use crate::outside::Report;
use crate::running::Running;
use crate::welcome;
use bytes::Bytes;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long somebody has to find their phone and open the link; the server keeps the word for longer. Higher: a script waits
/// for longer when nobody comes.
const PATIENCE: Duration = Duration::from_secs(300);

/// How often the server is asked whether the report is there.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Whether a phone is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Never,
    /// When somebody sits there who can open the link, and until they press Enter.
    WhoeverSitsHere,
    Always,
}

impl Ask {
    pub(crate) fn new(outside: bool, as_json: bool) -> Self {
        match outside {
            true => Self::Always,
            false if !as_json && std::io::stdin().is_terminal() && std::io::stderr().is_terminal() => {
                Self::WhoeverSitsHere
            }
            false => Self::Never,
        }
    }
}

/// What the phone found. Nothing, when nobody was asked; without a server only whoever wanted it is told why.
pub(crate) async fn look(data: &Path, ask: Ask, language: Language) -> Vec<Found> {
    if ask == Ask::Never {
        return Vec::new();
    }
    let running = Running::read(data);
    let key = operator_key::read(data);
    let (running, key) = match (running, key) {
        (Some(running), Ok(Some(key))) => (running, key),
        // That no server runs is said already.
        _ if ask != Ask::Always => return Vec::new(),
        (None, _) => {
            let reason = OperateError::NotRunning { data: data.to_owned() }.to_string();
            return vec![Found::NoPhone { reason }];
        }
        (Some(_), Ok(None)) => {
            let reason = format!("there is no operator's key in {}", data.display());
            return vec![Found::NoPhone { reason }];
        }
        (Some(_), Err(error)) => return vec![Found::NoPhone { reason: language.start_error(&error) }],
    };
    let links = running.links.clone();
    let remote = Remote::local(running, key.to_string());
    let word = match remote.outside_word().await {
        Ok(word) => word,
        Err(error) => return vec![Found::NoPhone { reason: error.to_string() }],
    };
    show(&format!("{links}/doctor#{word}"), ask, language);
    let entered = async {
        match ask {
            Ask::WhoeverSitsHere => {
                let _ = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await;
            }
            Ask::Always | Ask::Never => std::future::pending().await,
        }
    };
    tokio::select! {
        () = entered => Vec::new(),
        waited = wait(async || remote.outside_report(&word).await) => match waited {
            Ok(Report { summary, lines, verdict }) => {
                let bad = lines.iter().any(|line| line.verdict == crate::outside::Rating::Bad);
                let mut found = vec![Found::Phone { situation: verdict, summary, bad }];
                found.extend(lines.into_iter().map(Found::FromPhone));
                found
            }
            Err(reason) => vec![Found::NoPhone { reason }],
        },
    }
}

/// To standard error: what a program reads stays clean.
fn show(link: &str, ask: Ask, language: Language) {
    let mut err = std::io::stderr().lock();
    let code = welcome::code(link);
    // A closed pipe is no reason to stop waiting.
    let _ = writeln!(err, "{}\n\n{link}\n{code}", language.ask_phone(ask == Ask::WhoeverSitsHere));
}

/// A server that stumbles may answer the next time; one that does not know the word never will.
async fn wait(ask: impl AsyncFn() -> Result<Option<Bytes>, OperateError>) -> Result<Report, String> {
    let until = Instant::now() + PATIENCE;
    let mut trouble = None;
    while Instant::now() < until {
        trouble = match ask().await {
            Ok(Some(report)) => return Report::read(&report).ok_or_else(|| "unreadable".to_owned()),
            Err(error @ OperateError::Strange { status: 404, .. }) => return Err(error.to_string()),
            Ok(None) => None,
            Err(error) => Some(error.to_string()),
        };
        sleep(ASK_EVERY).await;
    }
    Err(trouble.unwrap_or_else(|| format!("nobody opened the link within {} s", PATIENCE.as_secs())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn strange(status: u16) -> OperateError {
        OperateError::Strange { url: "http://127.0.0.1:1".to_owned(), status }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_stumbles_is_asked_again_until_somebody_has_looked() {
        let asked = Cell::new(0);
        let told = r#"{"verdict": "open", "summary": "All ways are open.", "lines": []}"#;
        let answers = async || {
            asked.set(asked.get() + 1);
            match asked.get() {
                1 => Ok(None),
                2 => Err(strange(503)),
                3 => Err(OperateError::Unreachable { url: String::new(), reason: "timed out".to_owned() }),
                _ => Ok(Some(Bytes::from_static(told.as_bytes()))),
            }
        };
        assert_eq!(wait(answers).await.unwrap().verdict, "open");
        assert_eq!(asked.get(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_told_what_stood_in_the_way() {
        let began = Instant::now();
        assert!(wait(async || Err(strange(404))).await.unwrap_err().contains("404"), "the word is gone");
        assert!(began.elapsed() < ASK_EVERY);
        assert!(wait(async || Err(strange(503))).await.unwrap_err().contains("503"));
        assert!(wait(async || Ok(None)).await.unwrap_err().contains("nobody opened"));
        assert!(began.elapsed() >= PATIENCE * 2);
    }

    #[tokio::test]
    async fn whoever_wants_a_phone_is_told_that_no_server_runs() {
        let data = tempfile::tempdir().unwrap();
        let found = look(data.path(), Ask::Always, Language::English).await;
        assert!(matches!(&found[..], [Found::NoPhone { reason }] if reason.contains("No server runs")));
        assert!(look(data.path(), Ask::WhoeverSitsHere, Language::English).await.is_empty());
    }
}

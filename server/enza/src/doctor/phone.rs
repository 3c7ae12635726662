//! A phone that is not in this network looks for us: a link with a one-time word is shown, and what the page behind it tells the
//! server is waited for. Owns how long; never judges.

use super::Found;
use crate::catalogue::Language;
use crate::operate::remote::Remote;
use crate::operator_key;
use crate::outside::Report;
use crate::running::Running;
use crate::welcome;
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
    let key = operator_key::read(data).ok().flatten();
    let Some((running, key)) = running.zip(key) else {
        // That no server runs is said already.
        return Vec::new();
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
        waited = wait(&remote, &word) => match waited {
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

async fn wait(remote: &Remote, word: &str) -> Result<Report, String> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        match remote.outside_report(word).await {
            Ok(Some(report)) => return Report::read(&report).ok_or_else(|| "unreadable".to_owned()),
            Ok(None) => sleep(ASK_EVERY).await,
            Err(error) => return Err(error.to_string()),
        }
    }
    Err(format!("nobody opened the link within {} s", PATIENCE.as_secs()))
}

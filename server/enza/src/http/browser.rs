//! Which browser a client runs in, by its `User-Agent` (RFC 9110 §10.1.5): livekit-client leaves that to the server, as with
//! LiveKit. Owns the two names that matter to how a connection is set up; decides nothing.

use axum::http::header::{HeaderMap, USER_AGENT};
use livekit_protocol::ClientInfo;

/// Writes name and version into `info` where the client said neither and the browser is a known one.
pub(super) fn note(headers: &HeaderMap, info: &mut ClientInfo) {
    if !info.browser.is_empty() {
        return;
    }
    let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    if let Some((name, version)) = named(agent) {
        name.clone_into(&mut info.browser);
        version.clone_into(&mut info.browser_version);
    }
}

/// Chrome with everything built on it, and Firefox; on iOS all browsers are Safari underneath, under other names.
fn named(agent: &str) -> Option<(&'static str, &str)> {
    [("Chrome", "Chrome/"), ("Firefox", "Firefox/")].into_iter().find_map(|(name, mark)| {
        let (_, rest) = agent.split_once(mark)?;
        let version = rest.split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
        (!version.is_empty()).then_some((name, version))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_told_by_what_they_are_underneath() {
        for (agent, expected) in [
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Mobile Safari/537.36",
                Some(("Chrome", "156.0.0.0")),
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/156.0 Safari/537.36",
                Some(("Chrome", "156.0")),
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0",
                Some(("Firefox", "153.0")),
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/120.0 Mobile/15E148 Safari/604.1",
                None,
            ),
            (
                "Mozilla/5.0 (iPhone) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/120.0 Mobile Safari/605.1.15",
                None,
            ),
            (
                "Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Safari/605.1.15",
                None,
            ),
            ("Chrome/", None),
            ("", None),
        ] {
            assert_eq!(named(agent), expected, "{agent}");
        }
    }
}

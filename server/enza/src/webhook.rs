//! LiveKit's webhooks: what happens in rooms is POSTed to the operator's URLs, signed with the API key as LiveKit signs
//! it, so that its libraries' `WebhookReceiver` reads it.
//!
//! A room never waits for this: it hands a notice over or loses it. Each URL has some lanes, each one task with a queue;
//! a room has one lane, so its events arrive in order. A notice that is not taken is tried again with growing pauses,
//! its lane waiting behind it, and given up in the end. No URL and nothing of an event is logged.

use crate::metrics::{Metrics, Queue};
use crate::rooms::now;
use crate::token::TokenAuthority;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{Request, StatusCode, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use livekit_protocol::WebhookEvent;
use ring::digest;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tokio_rustls::rustls;

/// Lanes of each URL. Higher: more connections to one receiver; lower: more rooms wait behind one that is refused.
const LANES: usize = 4;

/// Notices that wait in a lane. Full: the newest are lost, and the log counts them. Higher: more memory for a receiver
/// that is away; lower: a burst of arrivals is lost to one that is slow.
const QUEUE: usize = 256;

/// How often a notice is sent before it is given up, and the pause after the first time, which doubles: half a minute
/// in all. Higher: a receiver may be away for longer, and its lane is full sooner; lower: its restart loses events.
const TRIES: u32 = 7;
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Longest wait for one answer. Higher: a silent receiver holds its lane; lower: a slow one hears things twice.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a signature is good for. LiveKit's: five minutes.
const SIGNATURE: Duration = Duration::from_secs(300);

type HttpsClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// One event on its way.
struct Notice {
    body: Bytes,
    /// Base64 of the body's SHA-256.
    sha256: String,
}

enum Item {
    Notice(Arc<Notice>),
    /// Answered when everything before it is taken or given up.
    Flush(oneshot::Sender<()>),
}

/// Where a room hands its events over. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Webhooks {
    /// [`LANES`] for each URL, those of one URL together.
    lanes: Arc<[mpsc::Sender<Item>]>,
    metrics: Metrics,
}

impl Webhooks {
    /// # Panics
    /// Never: `ring` has what TLS 1.2 and 1.3 need.
    pub(crate) fn start(urls: &[Uri], tokens: &Arc<TokenAuthority>, metrics: &Metrics) -> Self {
        let metrics = metrics.clone();
        if urls.is_empty() {
            return Self { lanes: Arc::from([]), metrics };
        }
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
            .expect("ring has the algorithms of TLS 1.2 and 1.3")
            .https_or_http()
            .enable_http1()
            .build();
        let client: HttpsClient = Client::builder(TokioExecutor::new()).build(connector);
        let lane = |url: &Uri| {
            let (sender, inbox) = mpsc::channel(QUEUE);
            let lane = Lane { url: url.clone(), client: client.clone(), tokens: Arc::clone(tokens) };
            tokio::spawn(lane.run(inbox));
            sender
        };
        let lanes = urls.iter().flat_map(|url| (0..LANES).map(move |_| lane(url)).collect::<Vec<_>>());
        Self { lanes: lanes.collect(), metrics }
    }

    /// Whether anybody listens.
    pub(crate) fn are_wanted(&self) -> bool {
        !self.lanes.is_empty()
    }

    /// Hands an event of `room` over, or loses it where a lane is full. Fills in its id and its time.
    pub(crate) fn tell(&self, room: &str, mut event: WebhookEvent) {
        let mut id = [0_u8; 9];
        if !self.are_wanted() || getrandom::fill(&mut id).is_err() {
            return;
        }
        event.id = format!("EV_{}", URL_SAFE_NO_PAD.encode(id));
        event.created_at = i64::try_from(now().unix_millis / 1000).unwrap_or(i64::MAX);
        let Ok(body) = serde_json::to_vec(&event) else { return };
        let sha256 = STANDARD.encode(digest::digest(&digest::SHA256, &body));
        let notice = Arc::new(Notice { body: body.into(), sha256 });
        let mut hasher = DefaultHasher::new();
        room.hash(&mut hasher);
        let place = usize::try_from(hasher.finish() % LANES as u64).unwrap_or_default();
        for lane in self.lanes.iter().skip(place).step_by(LANES) {
            if lane.try_send(Item::Notice(Arc::clone(&notice))).is_err() {
                self.metrics.overflowed(Queue::Webhook);
                tracing::warn!("a webhook's receiver is away for too long: an event is lost");
            }
        }
    }

    /// Waits until everything that was handed over is taken or given up.
    pub(crate) async fn flush(&self) {
        let mut answers = Vec::new();
        for lane in self.lanes.iter() {
            let (done, answer) = oneshot::channel();
            if lane.send(Item::Flush(done)).await.is_ok() {
                answers.push(answer);
            }
        }
        for answer in answers {
            let _ = answer.await;
        }
    }
}

/// One URL's way for some of the rooms.
struct Lane {
    url: Uri,
    client: HttpsClient,
    tokens: Arc<TokenAuthority>,
}

/// How a receiver took a notice.
#[derive(Debug, PartialEq, Eq)]
enum Taken {
    Yes,
    /// It may do so later.
    NotNow,
    /// It never will.
    Never,
}

impl Lane {
    async fn run(self, mut inbox: mpsc::Receiver<Item>) {
        while let Some(item) = inbox.recv().await {
            match item {
                Item::Notice(notice) => self.deliver(&notice).await,
                Item::Flush(done) => {
                    let _ = done.send(());
                }
            }
        }
    }

    async fn deliver(&self, notice: &Notice) {
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=TRIES {
            match self.post(notice).await {
                Taken::Yes => return,
                Taken::NotNow if attempt < TRIES => {
                    sleep(pause).await;
                    pause *= 2;
                }
                Taken::NotNow | Taken::Never => break,
            }
        }
        tracing::warn!("a webhook's receiver did not take an event: it is given up");
    }

    async fn post(&self, notice: &Notice) -> Taken {
        let request = Request::post(self.url.clone())
            .header(CONTENT_TYPE, "application/webhook+json")
            .header(AUTHORIZATION, self.tokens.sign_body(&notice.sha256, SIGNATURE))
            .body(Full::new(notice.body.clone()));
        let Ok(request) = request else { return Taken::Never };
        match timeout(PATIENCE, self.client.request(request)).await {
            Ok(Ok(answer)) => taken(answer.status()),
            Ok(Err(_)) | Err(_) => Taken::NotNow,
        }
    }
}

/// A redirect is not followed: the signature is for the URL that the operator gave.
fn taken(status: StatusCode) -> Taken {
    match status {
        status if status.is_success() => Taken::Yes,
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => Taken::NotNow,
        status if status.is_server_error() => Taken::NotNow,
        _ => Taken::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::ApiKey;

    fn tokens() -> Arc<TokenAuthority> {
        let key = ApiKey::new("key".to_owned(), "0123456789abcdef0123456789abcdef".to_owned()).unwrap();
        Arc::new(TokenAuthority::new(&key))
    }

    #[test]
    fn what_may_pass_is_tried_again_and_a_refusal_is_final() {
        for (status, expected) in
            [(200, Taken::Yes), (204, Taken::Yes), (429, Taken::NotNow), (503, Taken::NotNow)]
        {
            assert_eq!(taken(StatusCode::from_u16(status).unwrap()), expected);
        }
        for status in [301, 400, 401, 404] {
            assert_eq!(taken(StatusCode::from_u16(status).unwrap()), Taken::Never);
        }
    }

    #[tokio::test]
    async fn a_receiver_that_is_away_costs_a_room_nothing() {
        // A port where nobody listens.
        let port = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        let url = format!("http://127.0.0.1:{port}/").parse().unwrap();
        let webhooks = Webhooks::start(&[url], &tokens(), &Metrics::default());
        for _ in 0..QUEUE + 10 {
            webhooks.tell("room", WebhookEvent { event: "room_started".into(), ..Default::default() });
        }
        let waiting = |lane: &mpsc::Sender<Item>| QUEUE - lane.capacity();
        assert_eq!(webhooks.lanes.iter().map(waiting).max(), Some(QUEUE), "bounded, and the rest is lost");
        assert_eq!(webhooks.lanes.iter().map(waiting).sum::<usize>(), QUEUE, "one room has one lane");
    }
}

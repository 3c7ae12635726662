//! The TCP port: accepts connections, speaks TLS where configured, and hands HTTP to the routes (`http.rs`) and media to the
//! media plane.
//!
//! The first byte tells media (a length, see `media/stream.rs`), TLS (0x16, RFC 8446 section 5.1) and plain HTTP apart, and behind
//! TLS the relay's messages from HTTP (`media/relay/stream.rs`). On an HTTPS port plain HTTP is answered with a redirect: people
//! type addresses without `https://`.

mod http;

use self::http::Answers;
use crate::http::Slot;
use crate::media::{self, Behind, MediaThreads, RelayHandle};
use crate::server::raised;
use crate::tls;
use axum::Router;
use axum::extract::Request;
use axum::http::header::{HOST, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// Open TCP connections. Higher: more memory under attack; lower: a full server turns people away. Beyond it,
/// new connections wait in the kernel's queue.
const CONNECTIONS: usize = 4096;

/// How long a client may take for its TLS handshake and for each request's headers. Higher: idle connections
/// are cheap to pile up; lower: people on slow networks fail.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);

/// Pause after a failed accept (no file descriptors left), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const TLS_HANDSHAKE: u8 = 0x16;

/// Everything an accept loop needs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Listening {
    pub(crate) routes: Router,
    pub(crate) tls: Option<TlsAcceptor>,
    media: MediaThreads,
    relay: RelayHandle,
    permits: Arc<Semaphore>,
    /// True: accept no more, finish what is being answered.
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Listening {
    pub(crate) fn new(
        routes: Router,
        tls: Option<TlsAcceptor>,
        media: MediaThreads,
        relay: RelayHandle,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self { routes, tls, media, relay, permits: Arc::new(Semaphore::new(CONNECTIONS)), stopping }
    }

    /// Accepts connections until the program stops.
    pub(crate) async fn accept(mut self, listener: TcpListener) {
        loop {
            let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { return };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = raised(&mut self.stopping) => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let this = self.clone();
                    tokio::spawn(async move {
                        this.serve(stream, peer, Slot::of(permit)).await;
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn serve(self, stream: TcpStream, peer: SocketAddr, slot: Slot) {
        // Signalling messages are small and urgent.
        let _ = stream.set_nodelay(true);
        let mut first = [0];
        let Ok(Ok(1)) = timeout(HANDSHAKE_PATIENCE, stream.peek(&mut first)).await else { return };
        let tls = match (first, self.tls.clone()) {
            ([..=media::FRAME], _) => {
                return media::carry(stream, peer, self.media, self.relay, self.stopping).await;
            }
            (_, None) => return self.http1(stream, peer, slot, Answers::Routes).await,
            ([TLS_HANDSHAKE], Some(tls)) => tls,
            (_, Some(_)) => return self.http1(stream, peer, slot, Answers::ToHttps).await,
        };
        match timeout(HANDSHAKE_PATIENCE, tls.accept(stream)).await {
            // A relay's client asks for no protocol.
            Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(tls::HTTP2) => {
                self.http2(stream, peer, slot).await;
            }
            Ok(Ok(stream)) => match media::behind_tls(stream, HANDSHAKE_PATIENCE).await {
                Behind::Http(stream) => self.http1(stream, peer, slot, Answers::Routes).await,
                Behind::Relay(stream) => media::carry_tls(stream, peer, self.relay, self.stopping).await,
                Behind::Nothing => {}
            },
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }
}

fn to_https(request: &Request<Incoming>) -> Response {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let path = request.uri().path_and_query().map_or("/", axum::http::uri::PathAndQuery::as_str);
    let target = host.and_then(|host| HeaderValue::try_from(format!("https://{host}{path}")).ok());
    match target {
        Some(target) => (StatusCode::PERMANENT_REDIRECT, [(LOCATION, target)], "This server speaks HTTPS.")
            .into_response(),
        None => (StatusCode::BAD_REQUEST, "This server speaks HTTPS.").into_response(),
    }
}

/// The addresses to listen on for TCP: the asked one, and `::1` where people write `localhost`, which some
/// browsers look up as IPv6 first.
pub(crate) fn also_listen_on(bind: IpAddr) -> Option<IpAddr> {
    match bind {
        IpAddr::V4(ip) if ip.is_loopback() || ip.is_unspecified() => Some(Ipv6Addr::LOCALHOST.into()),
        _ => None,
    }
}

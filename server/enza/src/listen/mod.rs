//! The TCP port: accepts connections, speaks TLS where configured, and hands HTTP to the routes (`http.rs`) and media to the
//! media plane.
//!
//! The first byte tells media (a length, see `media/stream.rs`), TLS (0x16, RFC 8446 section 5.1) and plain HTTP apart, and behind
//! TLS the relay's messages from HTTP (`media/relay/stream.rs`). On an HTTPS port plain HTTP is led on (`redirect.rs`).

mod descriptors;
mod http;
mod patience;
mod places;
mod proxies;
mod redirect;

use self::http::Answers;
pub(crate) use descriptors::allowed as allowed_descriptors;
pub(crate) use places::{Place, Places};
pub(crate) use proxies::Proxies;
pub(crate) use redirect::{Redirect, also_listen_on, bind, listen_on_http};

use crate::http::Slot;
use crate::media::{self, Behind, MediaThreads, RelayHandle};
use crate::metrics::Turned;
use crate::server::raised;
use crate::tls;
use axum::Router;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a client may take for its TLS handshake and for each request's headers. Higher: idle connections
/// are cheap to pile up; lower: people on slow networks fail.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);

/// Pause after a failed accept (no file descriptors left), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const TLS_HANDSHAKE: u8 = 0x16;

/// What a listener is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Everything,
    Redirect,
}

/// Everything an accept loop needs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Listening {
    pub(crate) routes: Router,
    pub(crate) tls: Option<TlsAcceptor>,
    redirect: Redirect,
    media: MediaThreads,
    relay: RelayHandle,
    places: Places,
    /// True: accept no more, finish what is being answered.
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Listening {
    pub(crate) fn new(
        routes: Router,
        tls: Option<TlsAcceptor>,
        redirect: Redirect,
        media: MediaThreads,
        relay: RelayHandle,
        places: Places,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self { routes, tls, redirect, media, relay, places, stopping }
    }

    /// Accepts connections until the program stops.
    pub(crate) async fn accept(mut self, listener: TcpListener, door: Door) {
        let mut failing = false;
        loop {
            let Some(permit) = self.places.free().await else { return };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = raised(&mut self.stopping) => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    failing = false;
                    // Whoever has too many already sees it closed.
                    if let Some(place) = self.places.enter(permit, peer.ip()).await {
                        let this = self.clone();
                        tokio::spawn(async move { this.serve(stream, peer, place, door).await });
                    }
                }
                Err(error) => {
                    // Once for a series: it is tried again many times a second.
                    if !failing {
                        tracing::warn!(%error, "a connection cannot be accepted");
                    }
                    failing = true;
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn serve(self, stream: TcpStream, peer: SocketAddr, mut place: Place, door: Door) {
        // Signalling messages are small and urgent.
        let _ = stream.set_nodelay(true);
        let shown = tokio::select! {
            shown = timeout(HANDSHAKE_PATIENCE, self.greet(stream, door)) => shown,
            () = place.taken() => {
                self.places.turned_away(Turned::GaveWay);
                return tracing::debug!("a silent connection gave way to a newer one");
            }
        };
        place.settled();
        let slot = Slot::of(place);
        match shown {
            Ok(Some(Shown::Media(stream))) => {
                media::carry(stream, peer, self.media, self.relay, self.stopping).await;
                drop(slot);
            }
            Ok(Some(Shown::Plain(stream, answers))) => self.http1(stream, peer, slot, answers).await,
            Ok(Some(Shown::Tls(mut stream))) => match stream.get_ref().1.alpn_protocol() {
                Some(tls::HTTP2) => self.http2(stream, peer, slot).await,
                // The handshake was the proof.
                Some(tls::acme::PROOF) => drop(timeout(HANDSHAKE_PATIENCE, stream.shutdown()).await),
                _ => self.http1(stream, peer, slot, Answers::Routes).await,
            },
            Ok(Some(Shown::Relay(stream))) => {
                media::carry_tls(*stream, peer, self.relay, self.stopping).await;
                drop(slot);
            }
            Ok(None) => {}
            Err(_) => {
                self.places.turned_away(Turned::Late);
                tracing::debug!("a connection did not show in time what it is");
            }
        }
    }

    /// Finds out what a connection is. `None`: nothing that is spoken here.
    async fn greet(&self, stream: TcpStream, door: Door) -> Option<Shown> {
        let mut first = [0];
        if !matches!(stream.peek(&mut first).await, Ok(1)) {
            return None;
        }
        Some(match (first, &self.tls) {
            _ if door == Door::Redirect => Shown::Plain(stream, Answers::ToHttps),
            ([..=media::FRAME], _) => Shown::Media(stream),
            (_, None) => Shown::Plain(stream, Answers::Routes),
            ([TLS_HANDSHAKE], Some(tls)) => match tls.accept(stream).await {
                // A relay's client asks for no protocol.
                Ok(stream) if stream.get_ref().1.alpn_protocol().is_some() => Shown::Tls(Box::new(stream)),
                Ok(stream) => match media::behind_tls(stream).await {
                    Behind::Http(stream) => Shown::Tls(Box::new(stream)),
                    Behind::Relay(stream) => Shown::Relay(Box::new(stream)),
                    Behind::Nothing => return None,
                },
                Err(error) => {
                    tracing::debug!(%error, "a TLS handshake failed");
                    return None;
                }
            },
            (_, Some(_)) => Shown::Plain(stream, Answers::ToHttps),
        })
    }
}

/// What a connection turned out to be.
enum Shown {
    Media(TcpStream),
    Plain(TcpStream, Answers),
    Tls(Box<TlsStream<TcpStream>>),
    Relay(Box<TlsStream<TcpStream>>),
}

//! HTTP on one accepted connection: HTTP/1.1, or HTTP/2 where TLS agreed on it. Owns how long and how much one connection may
//! ask; knows no route.
//!
//! Over HTTP/2 the page, the circle's socket and LiveKit's share one connection (RFC 8441: WebSockets are streams of it).

use super::patience::Patient;
use super::{HANDSHAKE_PATIENCE, Listening};
use crate::http::{Peer, Slot};
use crate::server::raised;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::HOST;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tower::ServiceExt as _;

/// Bytes of one request's line and headers. `join_request` holds a compressed SDP offer of up to 64 KiB.
const HEADERS_MAX: u32 = 128 << 10;

/// Header fields of one HTTP/2 request (hyper has the same for HTTP/1.1). A field that is named by reference is one byte on
/// the line and over a hundred in memory, for as long as the request's body is open. Higher: more memory for the same
/// bytes; lower: a browser with many cookies, each a field of its own, is turned away.
const FIELDS_MAX: usize = 100;

/// Requests and sockets that one HTTP/2 connection may have open. Higher: one connection weighs more; lower: the page's
/// files wait for each other (RFC 9113 section 6.5.2 asks for 100 or more).
const STREAMS: u32 = 100;

/// Streams that a client has taken back and that were not seen yet. Higher: more work for nothing ("rapid reset");
/// lower: somebody who leaves while the page loads loses the connection.
const RESET_STREAMS: usize = 20;

/// Streams that this end had to reset, over the life of one connection. Higher: more work for nothing; lower: a client
/// with a small mistake is cut off.
const ERROR_STREAMS: usize = 100;

/// Bytes that a client may send ahead on one stream, and on one connection. Higher: more memory for each; lower: long
/// messages from far away wait for permission.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

/// Bytes that wait in one stream for a slow client. Higher: more memory for each; lower: more wake-ups for a long answer.
const SEND_BUFFER: usize = 128 << 10;

/// An HTTP/2 connection on which nothing was asked for this long, and no socket is open, is closed. Higher: idle
/// connections are cheap to pile up; lower: somebody who reads the page before entering connects again.
const IDLE_MAX: Duration = Duration::from_secs(120);

/// What is under way on such a connection, a long download say, may take this long after that.
const DRAIN: Duration = Duration::from_secs(60);

/// What a connection's requests get.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Answers {
    Routes,
    /// Plain HTTP beside HTTPS.
    ToHttps,
}

impl Listening {
    pub(super) async fn http1(
        mut self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: SocketAddr,
        slot: Slot,
        answers: Answers,
    ) {
        let asked = self.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let (asked, slot) = (asked.clone(), slot.clone());
            async move {
                match answers {
                    Answers::Routes => asked.answer(request, peer, slot).await,
                    Answers::ToHttps => Ok(asked.redirect.answer(&request)),
                }
            }
        });
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HANDSHAKE_PATIENCE)
                .max_buf_size(HEADERS_MAX as usize)
                .serve_connection(TokioIo::new(Patient::new(stream)), service)
                .with_upgrades()
        );
        let served = tokio::select! {
            served = connection.as_mut() => served,
            () = raised(&mut self.stopping) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = served {
            tracing::debug!(%error, "a connection ended with an error");
        }
    }

    pub(super) async fn http2(
        mut self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: SocketAddr,
        slot: Slot,
    ) {
        let (asking, mut asked) = watch::channel(());
        let (this, own) = (self.clone(), slot.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            asking.send_replace(());
            let (this, own) = (this.clone(), own.clone());
            async move {
                if has_too_many_fields(request.headers()) {
                    return Ok(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.into_response());
                }
                // A socket weighs as much as a connection, and is counted as one.
                let slot = if request.method() == Method::CONNECT {
                    let Some(place) = this.places.enter_inside(peer.ip()).await else {
                        return Ok(StatusCode::SERVICE_UNAVAILABLE.into_response());
                    };
                    own.and(place)
                } else {
                    own
                };
                this.answer(request, peer, slot).await
            }
        });
        let mut connection = pin!(
            http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .enable_connect_protocol()
                .max_concurrent_streams(STREAMS)
                .max_header_list_size(HEADERS_MAX)
                .max_pending_accept_reset_streams(RESET_STREAMS)
                .max_local_error_reset_streams(ERROR_STREAMS)
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_send_buf_size(SEND_BUFFER)
                .serve_connection(TokioIo::new(Patient::new(stream)), service)
        );
        // The first request comes at once.
        let mut until = Instant::now() + HANDSHAKE_PATIENCE;
        let idle = loop {
            tokio::select! {
                served = connection.as_mut() => {
                    if let Err(error) = served {
                        tracing::debug!(%error, "a connection ended with an error");
                    }
                    return;
                }
                () = raised(&mut self.stopping) => break false,
                Ok(()) = asked.changed() => until = Instant::now() + IDLE_MAX,
                () = sleep_until(until) => {
                    if !slot.is_held_elsewhere(HELD_BY_CONNECTION) {
                        break true;
                    }
                    until = Instant::now() + IDLE_MAX;
                }
            }
        };
        connection.as_mut().graceful_shutdown();
        let drained = if idle { timeout(DRAIN, connection).await } else { Ok(connection.await) };
        match drained {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a connection ended with an error"),
            Err(_) => tracing::debug!("an idle connection did not end by itself"),
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        slot: Slot,
    ) -> Result<Response, Infallible> {
        let mut request = request.map(Body::new);
        // HTTP/2 has it in the address.
        if !request.headers().contains_key(HOST)
            && let Some(host) =
                request.uri().authority().and_then(|host| HeaderValue::try_from(host.as_str()).ok())
        {
            request.headers_mut().insert(HOST, host);
        }
        let person = self.places.proxies.person(peer.ip(), request.headers());
        request.extensions_mut().insert(Peer(person));
        request.extensions_mut().insert(slot);
        self.routes.clone().oneshot(request).await
    }
}

fn has_too_many_fields(headers: &HeaderMap) -> bool {
    headers.len() > FIELDS_MAX
}

/// How often an HTTP/2 connection itself holds its slot: here and in the service.
const HELD_BY_CONNECTION: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderName;

    #[test]
    fn a_field_that_is_repeated_counts_each_time() {
        let mut headers = HeaderMap::new();
        for _ in 0..FIELDS_MAX {
            headers.append(HeaderName::from_static("x-same"), HeaderValue::from_static("same"));
        }
        assert!(!has_too_many_fields(&headers));
        headers.append(HeaderName::from_static("x-same"), HeaderValue::from_static("same"));
        assert!(has_too_many_fields(&headers));
    }
}

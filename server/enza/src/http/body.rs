//! Bodies come whole, soon and small, or not at all: no route waits for one.

use super::twirp;
use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::Request;
use axum::http::header::CONNECTION;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use std::time::Duration;
use tokio::time::timeout;

/// How long a body may take. Higher: connections are cheap to hold; lower: people on slow networks fail.
const PATIENCE: Duration = Duration::from_secs(15);

/// The largest that any route takes; most take less (`DefaultBodyLimit`).
const MOST: usize = twirp::BODY_MAX;

/// Reads the body before the route is asked.
pub(super) async fn whole(request: Request, next: Next) -> Response {
    // What is behind CONNECT is a socket.
    if request.body().is_end_stream() || request.method() == Method::CONNECT {
        return next.run(request).await;
    }
    let too_large = || (StatusCode::PAYLOAD_TOO_LARGE, [(CONNECTION, "close")], "The body is too large.");
    if request.body().size_hint().lower() > MOST as u64 {
        return too_large().into_response();
    }
    let (parts, body) = request.into_parts();
    match timeout(PATIENCE, to_bytes(body, MOST)).await {
        Ok(Ok(bytes)) => next.run(Request::from_parts(parts, Body::from(bytes))).await,
        Ok(Err(_)) => too_large().into_response(),
        Err(_) => {
            (StatusCode::REQUEST_TIMEOUT, [(CONNECTION, "close")], "The body took too long.").into_response()
        }
    }
}

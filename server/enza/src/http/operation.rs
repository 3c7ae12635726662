//! What programs that watch a server ask it: `/healthz` (it answers), `/readyz` (people can come in) and `/metrics`
//! (how it fares). The first two tell nothing that a visitor would not see; why
//! it is not ready is the operator's to know, too. The figures are for the operator: on the
//! server's own port they need the key, also from this computer, for a proxy on it asks for everybody.

use super::authority;
use super::problem::ApiError;
use super::{App, Peer};
use crate::logs;
use crate::metrics::{Facts, MEDIA_TYPE, Process, Route, text};
use crate::tls::Showing;
use axum::Extension;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use std::time::UNIX_EPOCH;

/// Put into a response that does not let somebody in.
#[derive(Clone, Copy)]
pub(super) struct Because(pub(super) &'static str);

/// On the server's own port.
pub(super) fn routes() -> Router<App> {
    signs().route("/readyz", get(ready)).route("/metrics", get(metrics))
}

/// On a port of its own that only those who may read the figures reach (`--metrics-bind`).
pub(super) fn private() -> Router<App> {
    signs().route("/readyz", get(ready_or_why)).route("/metrics", get(figures))
}

fn signs() -> Router<App> {
    Router::new().route("/healthz", get(alive))
}

async fn alive() -> Response {
    said(StatusCode::OK, "ok\n")
}

async fn ready(State(app): State<App>, Extension(peer): Extension<Peer>, headers: HeaderMap) -> Response {
    if authority::operator(&app, peer, &headers).await.is_ok() {
        return ready_or_why(State(app)).await;
    }
    match app.readiness.now().await {
        Ok(()) => said(StatusCode::OK, "ready\n"),
        Err(_) => said(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
    }
}

async fn ready_or_why(State(app): State<App>) -> Response {
    match app.readiness.now().await {
        Ok(()) => said(StatusCode::OK, "ready\n"),
        Err(reason) => said(StatusCode::SERVICE_UNAVAILABLE, &format!("not ready: {reason}\n")),
    }
}

async fn metrics(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    authority::operator(&app, peer, &headers).await?;
    Ok(figures(State(app)).await)
}

async fn figures(State(app): State<App>) -> Response {
    let (warnings, errors) = logs::complaints();
    let facts = Facts {
        media: app.media.reports().collect(),
        process: Process::now(),
        warnings,
        errors,
        ready: app.readiness.now().await.is_ok(),
        certificate_ends: app
            .showing
            .as_ref()
            .and_then(Showing::validity)
            .and_then(|validity| validity.until.duration_since(UNIX_EPOCH).ok()),
        begun: app.begun.duration_since(UNIX_EPOCH).unwrap_or_default(),
        version: env!("CARGO_PKG_VERSION"),
    };
    let mut response = said(StatusCode::OK, &text(&app.metrics, &facts));
    response.headers_mut().insert(CONTENT_TYPE, axum::http::HeaderValue::from_static(MEDIA_TYPE));
    response
}

fn said(status: StatusCode, text: &str) -> Response {
    (status, [(CACHE_CONTROL, "no-store")], text.to_owned()).into_response()
}

/// Counts every answer, and why somebody was not let in.
pub(super) async fn count(State(app): State<App>, request: Request, next: Next) -> Response {
    let route = Route::of(request.uri().path());
    let response = next.run(request).await;
    app.metrics.request(route, response.status().as_u16());
    match (route, response.extensions().get::<Because>()) {
        (Route::Join, Some(Because(reason))) => app.metrics.refused(reason),
        (Route::Circle | Route::Media, _) if response.status() == StatusCode::UNAUTHORIZED => {
            app.metrics.refused("token");
        }
        _ => {}
    }
    response
}

//! The web client, embedded by `build.rs`: nothing is read from disk at run time.

use crate::catalogue;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{Html, IntoResponse as _, Response};

/// One file of the web client.
struct Asset {
    /// Without a leading slash.
    path: &'static str,
    media_type: &'static str,
    /// Changes with the content.
    etag: &'static str,
    /// The name carries a hash of the content, so it may be kept for ever.
    immutable: bool,
    plain: &'static [u8],
    /// Compressed when that is smaller.
    gzip: Option<&'static [u8]>,
}

// Defines `ASSETS: &[Asset]`, sorted by path; empty when built with `ENZA_WEB=skip`.
include!(concat!(env!("OUT_DIR"), "/assets.rs"));

const INDEX: &str = "index.html";

/// `GET /` and `HEAD /`: the page for a browser, a plain sign of life for everything else.
pub(super) async fn root(headers: HeaderMap) -> Response {
    if wants_html(&headers) { page(&headers) } else { (StatusCode::OK, "OK").into_response() }
}

/// Files of the page, and the page itself for its own addresses such as `/join`.
pub(super) async fn asset(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let path = uri.path().trim_start_matches('/');
    match find(path) {
        Some(_) if path == INDEX => page(&headers),
        Some(asset) => serve(asset, &headers),
        None if !path.contains('.') && !path.starts_with("api/") && wants_html(&headers) => page(&headers),
        None => (StatusCode::NOT_FOUND, "There is nothing at this address.").into_response(),
    }
}

fn page(headers: &HeaderMap) -> Response {
    match find(INDEX) {
        Some(index) => serve(index, headers),
        None => Html(catalogue::PAGE_LEFT_OUT).into_response(),
    }
}

fn find(path: &str) -> Option<&'static Asset> {
    ASSETS.binary_search_by(|asset| asset.path.cmp(path)).ok().and_then(|index| ASSETS.get(index))
}

fn wants_html(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .any(|value| value.to_str().is_ok_and(|value| value.contains("text/html")))
}

fn serve(asset: &'static Asset, request: &HeaderMap) -> Response {
    let accepts_gzip = request
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            parts.next() == Some("gzip") && !parts.any(|weight| matches!(weight, "q=0" | "q=0.0"))
        });
    let known = request
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.split(',').any(|tag| tag.trim() == asset.etag));
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        match asset.gzip.filter(|_| accepts_gzip) {
            Some(gzip) => ([(header::CONTENT_ENCODING, "gzip")], gzip).into_response(),
            None => asset.plain.into_response(),
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.media_type));
    headers.insert(header::ETAG, HeaderValue::from_static(asset.etag));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    let caching = if asset.immutable { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    response
}

//! The web client, embedded by `build.rs`: nothing is read from disk at run time.

use crate::catalogue;
use axum::body::{Body, Bytes};
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{Html, IntoResponse as _, Response};
use flate2::read::GzDecoder;
use futures_util::stream;
use std::io::{self, Read as _};

/// How much of a file is unpacked at a time for a client that takes no gzip: no browser of today. Higher: each of them costs
/// more memory; lower: more pieces.
const PIECE: usize = 16 * 1024;

/// One file of the web client.
struct Asset {
    /// Without a leading slash.
    path: &'static str,
    media_type: &'static str,
    /// Changes with the content.
    etag: &'static str,
    /// The name carries a hash of the content, so it may be kept for ever.
    immutable: bool,
    /// The file, compressed where that makes it smaller. Not both: the program stays small.
    bytes: &'static [u8],
    /// How long it is unpacked, where it is compressed.
    unpacked: Option<usize>,
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
        match asset.unpacked {
            None => asset.bytes.into_response(),
            Some(_) if accepts_gzip => ([(header::CONTENT_ENCODING, "gzip")], asset.bytes).into_response(),
            Some(length) => {
                let content = Body::from_stream(stream::iter(pieces(asset.bytes)));
                ([(header::CONTENT_LENGTH, HeaderValue::from(length))], content).into_response()
            }
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

/// What is in it, piece by piece.
fn pieces(gzip: &'static [u8]) -> impl Iterator<Item = io::Result<Bytes>> {
    let mut reader = GzDecoder::new(gzip);
    std::iter::from_fn(move || {
        let mut piece = vec![0; PIECE];
        match reader.read(&mut piece) {
            Ok(0) => None,
            Ok(length) => {
                piece.truncate(length);
                Some(Ok(piece.into()))
            }
            Err(error) => Some(Err(error)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write as _;

    fn packed(content: &[u8]) -> &'static Asset {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(content).unwrap();
        let asset = Asset {
            path: "a.js",
            media_type: "text/javascript",
            etag: "W/\"1\"",
            immutable: true,
            bytes: encoder.finish().unwrap().leak(),
            unpacked: Some(content.len()),
        };
        Box::leak(Box::new(asset))
    }

    async fn served(asset: &'static Asset, coding: &str) -> (Response<()>, Bytes) {
        let mut request = HeaderMap::new();
        request.insert(header::ACCEPT_ENCODING, HeaderValue::from_str(coding).unwrap());
        let (parts, body) = serve(asset, &request).into_parts();
        (Response::from_parts(parts, ()), axum::body::to_bytes(body, usize::MAX).await.unwrap())
    }

    #[tokio::test]
    async fn who_takes_no_gzip_gets_the_file_unpacked() {
        let content: Vec<u8> = (0..5 * PIECE + 7).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let asset = packed(&content);
        for refusing in ["identity", "br", "gzip;q=0"] {
            let (response, body) = served(asset, refusing).await;
            assert_eq!(response.headers().get(header::CONTENT_ENCODING), None);
            assert_eq!(response.headers()[header::CONTENT_LENGTH], content.len().to_string());
            assert_eq!(body, content);
        }
        let (response, body) = served(asset, "br, gzip").await;
        assert_eq!(response.headers()[header::CONTENT_ENCODING], "gzip");
        assert!(body.len() < content.len());
    }
}

//! Headers that many answers share: who may read the answer, and what the page may do.

use super::App;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// A browser that was here once asks for nothing but HTTPS for so long (RFC 6797): a year, so that those who meet once a
/// month are covered. Longer: whoever gives HTTPS up is unreachable for longer.
const TRANSPORT_SECURITY: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// `Access-Control-*` on `/` and `/rtc*`, errors included: a LiveKit client on any page may use this server, and
/// it decides by the status of `/rtc/v1/validate` how to go on. The token is never in a cookie, so any origin
/// may ask.
pub(super) async fn cross_origin(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let open = path == "/" || path == "/rtc" || path.starts_with("/rtc/");
    if !open {
        return next.run(request).await;
    }
    let asked = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("OPTIONS, HEAD, GET, POST, PATCH, DELETE"),
    );
    // `*` would not cover `Authorization`.
    headers
        .insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.unwrap_or_else(|| HeaderValue::from_static("*")));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}

/// The page loads nothing from elsewhere, is framed, opened and read by no other page, and tells no other site where it was.
pub(super) async fn security(State(app): State<App>, request: Request, next: Next) -> Response {
    let policy = content_policy(request.headers());
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    headers.insert(
        PERMISSIONS_POLICY,
        HeaderValue::from_static(
            "camera=(self), microphone=(self), display-capture=(self), speaker-selection=(self), \
             screen-wake-lock=(self), autoplay=(self), fullscreen=(self), picture-in-picture=(self), \
             accelerometer=(), bluetooth=(), geolocation=(), gyroscope=(), hid=(), idle-detection=(), local-fonts=(), \
             magnetometer=(), midi=(), payment=(), serial=(), usb=(), xr-spatial-tracking=()",
        ),
    );
    headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    headers.entry(RESOURCE_POLICY).or_insert(HeaderValue::from_static("same-origin"));
    if app.https_alone {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, TRANSPORT_SECURITY);
    }
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// CONNECT opens WebSockets over HTTP/2 (RFC 8441) and is no method that anything here has. The router writes `Allow` after its
/// layers, so this stands around it.
pub(super) async fn allowed(mut response: Response) -> Response {
    if let Some(allowed) = response.headers().get(header::ALLOW).and_then(without_connect) {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}

/// `None`: as it was.
fn without_connect(allow: &HeaderValue) -> Option<HeaderValue> {
    let allow = allow.to_str().ok().filter(|allow| allow.contains("CONNECT"))?;
    let methods: Vec<&str> = allow.split(',').filter(|method| method.trim() != "CONNECT").collect();
    HeaderValue::try_from(methods.join(",")).ok()
}

/// `'self'` covers WebSockets in current browsers only, so this host's are named too. `'wasm-unsafe-eval'` compiles
/// WebAssembly, which the page's backgrounds are; it allows no script.
fn content_policy(request: &HeaderMap) -> HeaderValue {
    let host = request.get(header::HOST).and_then(|host| host.to_str().ok()).filter(|host| is_host(host));
    let sockets = host.map_or_else(String::new, |host| format!(" ws://{host} wss://{host}"));
    let policy = format!(
        "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'{sockets}; \
         img-src 'self' data: blob:; \
         media-src 'self' blob: mediastream:; worker-src 'self' blob:; style-src 'self'; \
         style-src-attr 'unsafe-inline'; object-src 'none'; base-uri 'none'; form-action 'self'; \
         frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'self'"))
}

/// A name or address with an optional port, and nothing that could end the directive.
fn is_host(host: &str) -> bool {
    !host.is_empty()
        && host.len() <= 255
        && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connect_is_no_allowed_method() {
        let without = |allow: &'static str| without_connect(&HeaderValue::from_static(allow));
        assert_eq!(without("GET,HEAD,CONNECT").unwrap(), "GET,HEAD");
        assert_eq!(without("GET,HEAD"), None);
    }

    fn policy(host: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
        content_policy(&headers).to_str().unwrap().to_owned()
    }

    #[test]
    fn the_policy_names_this_host_and_takes_no_directive_from_it() {
        assert!(policy("[::1]:7880").contains("connect-src 'self' ws://[::1]:7880 wss://[::1]:7880;"));
        assert!(policy("x; script-src *").contains("connect-src 'self';"));
        assert!(!policy("x; script-src *").contains('*'));
    }
}

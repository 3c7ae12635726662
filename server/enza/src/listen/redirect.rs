//! Plain HTTP where HTTPS is spoken: on the same port, because people type addresses without `https://`, and with a domain on
//! port 80 too. Nothing is served here but the way to the other side.

use super::{Door, Listening};
use crate::catalogue;
use crate::config::{Config, Transport};
use crate::tls::Showing;
use axum::http::header::{ALLOW, HOST, LOCATION, REFRESH, RETRY_AFTER};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderValue, Method, Request, StatusCode};
use axum::response::{Html, IntoResponse as _, Response};
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpListener;

/// The port of `http://`.
const HTTP_PORT: u16 = 80;

/// The port that `https://` leaves out.
const HTTPS_PORT: u16 = 443;

/// Connections that wait to be accepted. Higher: more of a flood is kept; lower: a crowd that comes at once is refused.
const BACKLOG: i32 = 1024;

/// Seconds until a browser that came too early asks again.
const AGAIN: &str = "20";

/// Where plain HTTP is sent. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Redirect {
    /// The hosts that are answered, in lower case; empty: any.
    domains: Arc<[String]>,
    /// The port of HTTPS.
    port: u16,
    /// What HTTPS has to show; `None` without HTTPS.
    showing: Option<Showing>,
}

impl Redirect {
    pub(crate) fn new(config: &Config, port: u16, showing: Option<Showing>) -> Self {
        let domains = match &config.transport {
            Transport::Domains(acme) => acme.domains.as_slice(),
            _ => &[],
        };
        Self { domains: domains.into(), port, showing }
    }

    pub(super) fn answer<B>(&self, request: &Request<B>) -> Response {
        let Some(host) = request.headers().get(HOST).and_then(|host| host.to_str().ok()) else {
            return (StatusCode::BAD_REQUEST, "This server speaks HTTPS.").into_response();
        };
        let host = if self.domains.is_empty() {
            host.to_owned()
        } else {
            let name = host.rsplit_once(':').map_or(host, |(name, _)| name).to_ascii_lowercase();
            if !self.domains.contains(&name) {
                return (StatusCode::NOT_FOUND, "There is nothing at this address.").into_response();
            }
            if ![Method::GET, Method::HEAD].contains(request.method()) {
                return (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET, HEAD")]).into_response();
            }
            if self.port == HTTPS_PORT { name } else { format!("{name}:{}", self.port) }
        };
        if self.showing.as_ref().is_some_and(|showing| !showing.is_ready()) {
            let later = [(RETRY_AFTER, AGAIN), (REFRESH, AGAIN)];
            return (StatusCode::SERVICE_UNAVAILABLE, later, Html(catalogue::CERTIFICATE_COMES))
                .into_response();
        }
        let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
        match HeaderValue::try_from(format!("https://{host}{path}")) {
            Ok(target) => (StatusCode::PERMANENT_REDIRECT, [(LOCATION, target)], "This server speaks HTTPS.")
                .into_response(),
            Err(_) => (StatusCode::BAD_REQUEST, "This server speaks HTTPS.").into_response(),
        }
    }
}

/// Answers on port 80 where that may be opened, with a domain.
pub(crate) fn listen_on_http(listening: &Listening, config: &Config) {
    if !matches!(config.transport, Transport::Domains(_)) {
        return;
    }
    let mut refused = None;
    for ip in [Some(config.bind), also_listen_on(config)].into_iter().flatten() {
        match bind(SocketAddr::new(ip, HTTP_PORT)) {
            Ok(listener) => drop(tokio::spawn(listening.clone().accept(listener, Door::Redirect))),
            Err(error) => refused = Some(error),
        }
    }
    // A convenience: people who type the address without https:// are not led on.
    if let Some(error) = refused {
        tracing::info!(%error, "port 80 is not served, or not everywhere");
    }
}

/// The address to listen on for TCP beside the asked one. With a domain every IPv6 address, since the authority and
/// browsers ask there first; else `::1` where people write `localhost`, which some browsers look up as IPv6 first.
pub(crate) fn also_listen_on(config: &Config) -> Option<IpAddr> {
    match (config.bind, &config.transport) {
        (IpAddr::V4(ip), Transport::Domains(_)) if ip.is_unspecified() => Some(Ipv6Addr::UNSPECIFIED.into()),
        (IpAddr::V4(ip), _) if ip.is_loopback() || ip.is_unspecified() => Some(Ipv6Addr::LOCALHOST.into()),
        _ => None,
    }
}

/// A listener that leaves the other family alone.
///
/// # Errors
/// Those of the operating system.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(domains: &[&str], port: u16, method: Method, host: &str, path: &str) -> (u16, String) {
        let redirect = Redirect {
            domains: domains.iter().map(|name| (*name).to_owned()).collect(),
            port,
            showing: None,
        };
        let request = Request::builder().method(method).uri(path).header(HOST, host).body(()).unwrap();
        let response = redirect.answer(&request);
        let target = response.headers().get(LOCATION).map(|target| target.to_str().unwrap().to_owned());
        (response.status().as_u16(), target.unwrap_or_default())
    }

    #[test]
    fn plain_http_leads_to_the_same_page_over_https() {
        let domains = ["circle.example", "other.example"];
        let to = |host: &str| answer(&domains, 443, Method::GET, host, "/join?x=1");
        assert_eq!(to("circle.example"), (308, "https://circle.example/join?x=1".to_owned()));
        assert_eq!(to("OTHER.example:80"), (308, "https://other.example/join?x=1".to_owned()));
        let (_, target) = answer(&domains, 8443, Method::HEAD, "circle.example", "/");
        assert_eq!(target, "https://circle.example:8443/");
    }

    #[test]
    fn nobody_is_led_elsewhere() {
        for host in ["bank.example", "circle.example.bank.example", "192.0.2.1", "[::1]:80", ""] {
            assert_eq!(
                answer(&["circle.example"], 443, Method::GET, host, "/"),
                (404, String::new()),
                "{host}"
            );
        }
        assert_eq!(answer(&["circle.example"], 443, Method::POST, "circle.example", "/").0, 405);
        assert_eq!(answer(&[], 7880, Method::GET, "192.168.1.2:7880", "/").1, "https://192.168.1.2:7880/");
    }
}

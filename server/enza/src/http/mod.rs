//! Every HTTP route of the program, and the headers that every answer carries.

mod api;
mod authority;
mod body;
mod browser;
mod circle;
mod headers;
mod invites;
mod moderation;
mod openapi;
mod operation;
mod outside;
mod page;
mod problem;
mod rooms;
mod rtc;
mod state;
mod twirp;

pub(crate) use state::{CertificateFrom, Observed};

use crate::attempts::Attempts;
use crate::config::RoomsRule;
use crate::ice_servers::IceServers;
use crate::listen::Place;
use crate::media::MediaThreads;
use crate::metrics::Metrics;
use crate::operator_key::OperatorKey;
use crate::outside::Outside;
use crate::passphrase::Passphrases;
use crate::readiness::Readiness;
use crate::rooms::Rooms;
use crate::tls::Showing;
use crate::token::TokenAuthority;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::Uri;
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::routing::{any, connect, get, post};
use std::convert::Infallible;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;
use store::Store;
use tokio::sync::{mpsc, watch};
use tower::Layer as _;
use tower::util::MapRequestLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Largest request body: an invite and a name. Higher: more memory for nothing.
const BODY_MAX: usize = 16 << 10;

/// What the routes need. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) rooms: Rooms,
    pub(crate) tokens: Arc<TokenAuthority>,
    pub(crate) ice_servers: IceServers,
    pub(crate) store: Store,
    /// What was wrong: invites, passphrases, keys.
    pub(crate) attempts: Attempts,
    /// Rooms made without a key.
    pub(crate) makers: Attempts,
    pub(crate) passphrases: Passphrases,
    pub(crate) operator: Arc<OperatorKey>,
    pub(crate) rooms_rule: RoomsRule,
    pub(crate) outside: Outside,
    pub(crate) media: MediaThreads,
    pub(crate) metrics: Metrics,
    pub(crate) readiness: Readiness,
    /// `None` for a server that speaks HTTP.
    pub(crate) showing: Option<Showing>,
    pub(crate) observed: Observed,
    pub(crate) begun: SystemTime,
    /// The data folder.
    pub(crate) data: Arc<Path>,
    /// Browsers are told to come to this host by HTTPS alone.
    pub(crate) https_alone: bool,
    /// True once the rooms have said goodbye.
    pub(crate) stopped: watch::Receiver<bool>,
    /// Held by every WebSocket session, so that the end of the last one is seen.
    pub(crate) alive: mpsc::Sender<Infallible>,
}

/// The address a request came from, behind a trusted proxy that of the person, put into its extensions by the listener. Never logged.
#[derive(Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// The listener's places that a request stands on, put into its extensions: a WebSocket outlives the request, over
/// HTTP/1.1 the HTTP connection too, and must go on counting. Over HTTP/2 it has a place of its own beside the connection's.
#[derive(Clone)]
pub(crate) struct Slot {
    connection: Arc<Place>,
    #[expect(dead_code, reason = "held, not read")]
    socket: Option<Arc<Place>>,
}

impl Slot {
    pub(crate) fn of(connection: Place) -> Self {
        Self { connection: Arc::new(connection), socket: None }
    }

    /// The same connection, and one socket on it.
    pub(crate) fn and(self, socket: Place) -> Self {
        Self { socket: Some(Arc::new(socket)), ..self }
    }

    /// Whether somebody holds the connection's place besides `holders`.
    pub(crate) fn is_held_elsewhere(&self, holders: usize) -> bool {
        Arc::strong_count(&self.connection) > holders
    }
}

/// The routes under `/api`, which describe themselves.
fn api() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(api::invite))
        .routes(routes!(api::join))
        .routes(routes!(rooms::server))
        .routes(routes!(state::show))
        .routes(routes!(rooms::list, rooms::create))
        .routes(routes!(rooms::show, rooms::change, rooms::erase))
        .routes(routes!(rooms::participants))
        .routes(routes!(moderation::moderate))
        .routes(routes!(rooms::export))
        .routes(routes!(rooms::audit))
        .routes(routes!(rooms::bans))
        .routes(routes!(rooms::lift))
        .routes(routes!(rooms::set_passphrase))
        .routes(routes!(invites::list, invites::create))
        .routes(routes!(invites::revoke))
        .routes(routes!(circle::connect))
}

/// All routes.
pub(crate) fn routes(app: App) -> Router {
    let routes = Router::from(api())
        .merge(openapi::route())
        .merge(operation::routes())
        .merge(outside::routes())
        .route("/", get(page::root))
        // HTTP/2 opens a WebSocket by CONNECT (RFC 8441).
        .route("/api/rooms/{room}/circle", connect(circle::connect))
        .route("/rtc/v1", get(rtc::connect).connect(rtc::connect))
        .route("/rtc/v1/validate", get(rtc::validate))
        .route("/rtc/validate", get(rtc::validate))
        .route("/rtc", get(rtc::connect_v0).connect(rtc::connect_v0))
        .route("/rtc/{*rest}", any(rtc::absent))
        .route(
            "/twirp/livekit.RoomService/{method}",
            post(twirp::room_service).layer(DefaultBodyLimit::max(twirp::BODY_MAX)),
        )
        .route("/twirp/{*rest}", any(twirp::absent))
        .fallback(page::asset)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(from_fn(body::whole))
        .layer(from_fn(headers::cross_origin))
        .layer(from_fn_with_state(app.clone(), headers::security))
        .layer(from_fn_with_state(app.clone(), operation::count))
        .with_state(app);
    // The path must be right before the router looks at it, so this stands around the router.
    Router::new()
        .fallback_service(MapRequestLayer::new(collapse_slashes).layer(routes))
        .layer(map_response(headers::allowed))
}

/// The routes of a port that only those who may read the figures reach.
pub(crate) fn private_routes(app: App) -> Router {
    operation::private().with_state(app)
}

/// Clients given `ws://host/` ask for `//rtc/v1`.
fn collapse_slashes(mut request: Request) -> Request {
    let collapsed = request
        .uri()
        .path_and_query()
        .map(axum::http::uri::PathAndQuery::as_str)
        .filter(|path| path.starts_with("//rtc"))
        .and_then(|path| format!("/{}", path.trim_start_matches('/')).parse::<Uri>().ok());
    if let Some(uri) = collapsed {
        *request.uri_mut() = uri;
    }
    request
}

//! Wires everything: data folder, store, keys, sockets, media thread, rooms, HTTP; and takes it apart in order.

use crate::attempts::Attempts;
use crate::config::{Config, Transport};
use crate::http::{self, App, CertificateFrom, Observed};
use crate::ice_servers::IceServers;
use crate::listen::{self, Door, Listening, Places, Proxies, Redirect, also_listen_on, listen_on_http};
use crate::media::{self, Media, MediaConfig, MediaThreads, RelayEnds};
use crate::metrics::Metrics;
use crate::notice::{Notice, Notices};
use crate::operator_key::OperatorKey;
use crate::outside::{Facts, Outside};
use crate::passphrase::Passphrases;
use crate::readiness::Readiness;
use crate::room::{FRESH, Services};
use crate::rooms::{Fatal, Rooms};
use crate::running::{Lock, Running};
use crate::start_error::StartError;
use crate::tls::{Showing, Tls};
use crate::token::{ApiKey, TokenAuthority};
use crate::webhook::Webhooks;
use crate::{data_folder, pace, retention, rooms};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use store::Store;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// With port 0 the operating system picks the TCP port, and UDP may be taken there: how often to pick again.
const PORT_TRIES: usize = 32;

/// Stopping takes at most this long for the rooms' goodbyes, for the sockets to close, and for the database.
/// Together they stay well below the promised 5 s.
const ROOMS_PATIENCE: Duration = Duration::from_millis(1500);
const SESSIONS_PATIENCE: Duration = Duration::from_millis(1500);
const STORE_PATIENCE: Duration = Duration::from_millis(500);
/// What a receiver that answers needs for a room's last events.
const WEBHOOKS_PATIENCE: Duration = Duration::from_millis(500);

/// The running program.
pub struct Server {
    port: u16,
    data: PathBuf,
    /// Let go when everything is closed.
    _lock: Lock,
    store: Store,
    rooms: Rooms,
    media: Media,
    threads: MediaThreads,
    webhooks: Webhooks,
    stopping: watch::Sender<bool>,
    stopped: watch::Sender<bool>,
    alive: mpsc::Receiver<std::convert::Infallible>,
    fatal: mpsc::Receiver<Fatal>,
    notices: Option<mpsc::Receiver<Notice>>,
}

impl Server {
    /// Starts serving. When this returns, `HEAD /` is answered with 200.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        data_folder::prepare(&config.data)?;
        let lock = Lock::take(&config.data).await?;
        let key = match &config.api_key {
            Some(key) => key.clone(),
            None => ApiKey::load_or_create(&config.data)?,
        };
        let tokens = Arc::new(TokenAuthority::new(&key));
        let operator = Arc::new(OperatorKey::load_or_create(&config.data)?);
        let tls = Tls::prepare(config)?;
        let (listener, sockets) = bind(config).await?;
        let figures = match config.metrics_bind {
            None => None,
            Some(address) => {
                let bound = TcpListener::bind(address).await;
                Some(bound.map_err(|source| StartError::Bind { address, source })?)
            }
        };
        let port = listener
            .local_addr()
            .map_err(|source| StartError::Bind {
                address: SocketAddr::new(config.bind, config.port),
                source,
            })?
            .port();
        let mut mapped = match &config.stun_server {
            Some(server) if config.announce.is_empty() => media::mapped(&sockets, server).await,
            _ => Vec::new(),
        };
        if mapped.is_empty() && config.is_found_by_name() {
            mapped = media::named(config.domains()).await;
        }
        let candidates = media::candidates(config.bind, &config.announce, &mapped, port)?;
        // The page's own addresses; on loopback nobody is behind a network that lets no UDP out.
        let tcp_candidates = if config.bind.is_loopback() { Vec::new() } else { candidates.clone() };
        let store = Store::open(&data_folder::database(&config.data)).await?;
        let fresh = i64::try_from(FRESH.as_millis()).unwrap_or(i64::MAX);
        store.forget_stale(rooms::unix_millis(rooms::now()).saturating_sub(fresh)).await?;

        retention::once(&store).await?;

        let (relay, relay_inbox) = media::relay();
        let relay_socket = sockets.first().map(UdpSocket::try_clone).transpose();
        let peers = candidates.clone();
        let facts = Facts::new(candidates.clone(), config.bind, &config.transport);
        let media_config = MediaConfig { candidates, tcp_candidates, relay: relay.clone() };
        let seed = || {
            let mut seed = [0; 32];
            getrandom::fill(&mut seed).map(|()| seed)
        };
        let (media, threads, events) =
            Media::start(sockets, &media_config, seed).map_err(StartError::Media)?;
        let (fatal_sender, fatal) = mpsc::channel(1);
        let metrics = Metrics::default();
        let webhooks = Webhooks::start(&config.webhooks, &tokens, &metrics);
        let services = Services {
            media: threads.clone(),
            store: store.clone(),
            tokens: Arc::clone(&tokens),
            fatal: fatal_sender,
            webhooks: webhooks.clone(),
            metrics: metrics.clone(),
        };
        let outside = Outside::start(threads.clone(), facts);
        let rooms = Rooms::start(services, events, outside.clone(), config.development);

        let (stopping, stopping_seen) = watch::channel(false);
        tokio::spawn(retention::run(store.clone(), stopping.subscribe()));
        let turn_secret = key.turn_secret();
        if let Some(socket) = relay_socket.map_err(|error| StartError::Media(error.to_string()))? {
            let ends = RelayEnds { threads: threads.clone(), socket, peers, stopping: stopping.subscribe() };
            relay_inbox.start(relay.clone(), turn_secret.clone(), ends)?;
        }
        let readiness = Readiness::start(store.clone(), threads.clone(), stopping.subscribe());
        let (stopped, stopped_seen) = watch::channel(false);
        let (alive_sender, alive) = mpsc::channel(1);
        let proxies = Proxies::new(&config.trusted_proxies, config.transport == Transport::Plain);
        let places = Places::start(listen::allowed_descriptors(), proxies, metrics.clone());
        let observed = Observed {
            port,
            places: places.clone(),
            pace: pace::watch(threads.clone(), stopping.subscribe()),
            certificate_from: CertificateFrom::of(config),
        };
        let app = App {
            rooms: rooms.clone(),
            tokens,
            ice_servers: IceServers::new(turn_secret, tls.is_some()),
            store: store.clone(),
            attempts: Attempts::start(),
            makers: Attempts::start(),
            passphrases: Passphrases::new(),
            operator,
            rooms_rule: config.rooms,
            outside,
            media: threads.clone(),
            metrics,
            readiness,
            showing: tls.as_ref().map(Tls::showing),
            observed,
            begun: SystemTime::now(),
            data: config.data.as_path().into(),
            https_alone: config.is_https_alone(),
            stopped: stopped_seen,
            alive: alive_sender,
        };
        if let Some(listener) = figures {
            let stopping = stopping.subscribe();
            let routes = http::private_routes(app.clone());
            tokio::spawn(serve_figures(listener, routes, stopping));
        }
        let (notices, waiting_notices) = Notices::new();
        let fingerprint = tls.as_ref().map(|tls| tls.fingerprint.clone());
        let showing = tls.as_ref().map(Tls::showing);
        let certificate_days =
            showing.as_ref().and_then(Showing::validity).map(|validity| validity.days_left());
        let redirect = Redirect::new(config, port, showing);
        let acceptor = tls.as_ref().map(|tls| tls.acceptor.clone());
        if let Some(tls) = tls {
            tokio::spawn(tls.keep(notices.clone(), stopping_seen.clone()));
        }
        let listening = Listening::new(
            http::routes(app),
            acceptor,
            redirect,
            threads.clone(),
            relay,
            places,
            stopping_seen,
        );
        listen_on_http(&listening, config);
        if let Some(ip) = also_listen_on(config) {
            // A convenience: a machine without IPv6 does without.
            match listen::bind(SocketAddr::new(ip, port)) {
                Ok(second) => {
                    tokio::spawn(listening.clone().accept(second, Door::Everything));
                }
                Err(error) => tracing::debug!(%error, "served over IPv4 only"),
            }
        }
        tokio::spawn(listening.accept(listener, Door::Everything));
        let transport = match config.transport {
            Transport::Plain => "HTTP",
            Transport::Development | Transport::Files { .. } | Transport::Domains(_) => "HTTPS",
        };
        Running::of(config, port, fingerprint).write(&config.data)?;
        tracing::info!(port, transport, certificate_days, "serving");
        Ok(Self {
            port,
            data: config.data.clone(),
            _lock: lock,
            store,
            rooms,
            media,
            threads,
            webhooks,
            stopping,
            stopped,
            alive,
            fatal,
            notices: Some(waiting_notices),
        })
    }

    /// The TCP and UDP port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The open database.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Whether every media thread runs. While this is answered, so does the rest.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.threads.reports().all(|(_, alive)| alive)
    }

    /// Waits for something the program cannot survive.
    pub async fn failure(&mut self) -> Fatal {
        self.fatal.recv().await.unwrap_or(Fatal::Rooms)
    }

    /// What the operator is told while it runs; for the first who asks.
    pub fn notices(&mut self) -> Option<mpsc::Receiver<Notice>> {
        self.notices.take()
    }

    /// Says goodbye to everybody and closes everything, within 5 s.
    pub async fn stop(self) {
        let Self { data, store, rooms, media, webhooks, stopping, stopped, mut alive, .. } = self;
        Running::forget(&data);
        stopping.send_replace(true);
        if timeout(ROOMS_PATIENCE, rooms.end()).await.is_err() {
            tracing::warn!("some rooms did not end in time");
        }
        drop(rooms);
        if timeout(WEBHOOKS_PATIENCE, webhooks.flush()).await.is_err() {
            tracing::warn!("the last events did not reach every webhook in time");
        }
        // Sessions whose room is gone close by themselves; this reaches the others.
        let closing = async {
            if timeout(SESSIONS_PATIENCE / 2, alive.recv()).await.is_err() {
                stopped.send_replace(true);
                alive.recv().await;
            }
        };
        if timeout(SESSIONS_PATIENCE, closing).await.is_err() {
            tracing::warn!("some connections did not close in time");
        }
        if tokio::task::spawn_blocking(move || media.stop()).await.is_err() {
            tracing::error!("the media threads cannot be stopped");
        }
        if timeout(STORE_PATIENCE, store.close()).await.is_err() {
            tracing::warn!("the database did not close in time");
        }
        tracing::info!("stopped");
    }
}

/// The port of `--metrics-bind`: HTTP for programs of the operator.
async fn serve_figures(listener: TcpListener, routes: axum::Router, mut stopping: watch::Receiver<bool>) {
    let served = axum::serve(listener, routes)
        .with_graceful_shutdown(async move { raised(&mut stopping).await })
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "the port for metrics is not served any more");
    }
}

/// Waits until the flag is true, or whoever could raise it is gone.
pub(crate) async fn raised(flag: &mut watch::Receiver<bool>) {
    // The borrowed value that `wait_for` returns must not live across an await.
    let _ = flag.wait_for(|raised| *raised).await;
}

/// The TCP listener and a UDP socket for each media thread, on one port number.
pub(crate) async fn bind(config: &Config) -> Result<(TcpListener, Vec<UdpSocket>), StartError> {
    let asked = SocketAddr::new(config.bind, config.port);
    let failed = |source: std::io::Error| match source.kind() {
        ErrorKind::AddrInUse => StartError::PortInUse { port: config.port },
        ErrorKind::PermissionDenied => StartError::PortForbidden { port: config.port },
        _ => StartError::Bind { address: asked, source },
    };
    let mut tries = if config.port == 0 { PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        let listener = TcpListener::bind(asked).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (address, shared) = (media::media_address(address), config.media_threads > 1);
        match (0..config.media_threads).map(|_| media::bind(address, shared)).collect() {
            Ok(sockets) => return Ok((listener, sockets)),
            Err(error) if error.kind() == ErrorKind::AddrInUse && tries > 0 => {}
            Err(error) => return Err(failed(error)),
        }
    }
}

//! The HTTP server: how it listens, and how many connections it has.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::BoxBody;
use actix_web::dev::{Server, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::{Condition, from_fn};
use actix_web::web::Data;
use actix_web::{App, Error, HttpServer};
use rustls::ServerConfig;
use tokio::net::TcpSocket;
use tokio::sync::watch;

use crate::api::ApiRef;
use crate::base::without_base;
use crate::guard::guard;
use crate::looking::{Lookers, looking};
use crate::routes;

/// Headers must have come by then.
const HEADERS_WITHIN: Duration = Duration::from_secs(10);

/// How long a connection without a request stays open.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long a client may take to close its side.
const DISCONNECT_WITHIN: Duration = Duration::from_secs(2);

/// How many connections may wait to be accepted: more than a fleet of workers that come back at once.
const BACKLOG: u32 = 4_096;

/// Counts the open connections.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connections(Arc<watch::Sender<usize>>);

/// One of them, while it lives.
struct Connection(Connections);

impl Connections {
    fn begin(&self) -> Connection {
        self.0.send_modify(|open| *open += 1);
        Connection(self.clone())
    }

    /// How many there are.
    pub(crate) fn open(&self) -> usize {
        *self.0.borrow()
    }

    /// Waits until there are none.
    pub(crate) async fn none(&self) {
        let mut open = self.0.subscribe();
        let _sender_is_ours = open.wait_for(|open| *open == 0).await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.0.send_modify(|open| *open = open.saturating_sub(1));
    }
}

/// Listens on an address.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A service that was just stopped leaves its address in use for a while otherwise.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

/// A server on a listener; it begins its work when it is polled.
pub(crate) fn serve(
    listener: TcpListener,
    api: &ApiRef,
    tls: Option<ServerConfig>,
) -> io::Result<(Server, Lookers)> {
    let workers = match api.config.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        given => given,
    };
    let lookers = Lookers::start(api, workers);
    let (api, connections, hand_over) = (api.clone(), api.connections.clone(), Data::new(lookers.clone()));
    // The factory runs once per worker: it may start nothing.
    let server = HttpServer::new(move || {
        let has_base = Condition::new(!api.base.is_root(), from_fn(without_base));
        app(api.clone()).app_data(hand_over.clone()).wrap(from_fn(looking)).wrap(has_base)
    });
    let server = server
        .workers(workers)
        .disable_signals()
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEADERS_WITHIN)
        .client_disconnect_timeout(DISCONNECT_WITHIN)
        .tls_handshake_timeout(HEADERS_WITHIN)
        // A worker that hung up must be noticed, so that it isn't given a task.
        .h1_allow_half_closed(false)
        .tcp_nodelay(true)
        .on_connect(move |_, data| drop(data.insert(connections.begin())));
    let server = match tls {
        Some(tls) => server.listen_rustls_0_23(listener, tls)?,
        None => server.listen(listener)?,
    };
    Ok((server.run(), lookers))
}

/// All that is served, with what goes round it.
pub(crate) fn app(
    api: ApiRef,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<BoxBody>,
        Error = Error,
        InitError = (),
    >,
> {
    App::new().app_data(api).wrap(from_fn(guard)).configure(routes::configure)
}

//! The HTTP server: how it listens, and how many connections it has.

use std::future::ready;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, Protocol};
use actix_service::{IntoServiceFactory as _, ServiceFactoryExt as _, fn_service, map_config};
use actix_tls::accept::TlsError;
use actix_tls::accept::rustls_0_23::{Acceptor, TlsStream};
use actix_web::dev::{AppConfig, Server, ServiceFactory};
use actix_web::middleware::{Condition, from_fn};
use actix_web::web::Data;
use flowlord_web_core::context::ContextRef;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};

use crate::app::app;
use crate::middleware::base_path::without_base;
use crate::middleware::forward::answer_or_forward;
use crate::middleware::view_pool::ViewPool;
use crate::socket::HttpSocket;

/// Headers must have come by then.
const HEADERS_WITHIN: Duration = Duration::from_secs(10);

/// How long a connection without a request stays open.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long a client may take to close its side.
const DISCONNECT_WITHIN: Duration = Duration::from_secs(2);

// More connections than a fleet of workers opens when it comes back at once.
const BACKLOG: u32 = 4_096;

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
    context: &ContextRef,
    tls: Option<ServerConfig>,
) -> io::Result<(Server, ViewPool)> {
    let workers = match context.config.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        given => given,
    };
    let view_pool = ViewPool::start(context, workers);
    let builder = Server::build().workers(workers).disable_signals();
    let signal = builder.graceful_shutdown_signal();
    let stopping: Stopping = Arc::new(move || {
        let signal = signal.clone();
        Box::pin(async move { signal.notified().await })
    });
    let served = ServedApp { context: context.clone(), view_pool: Data::new(view_pool.clone()), stopping };
    // The factories run once per worker: they may start nothing.
    let server = match tls {
        Some(tls) => builder.listen("https", listener, move || served.over_tls(tls.clone()))?,
        None => builder.listen("http", listener, move || served.over_tcp())?,
    };
    Ok((server.run(), view_pool))
}

/// Waits until the server stops, so that idle connections are closed then.
type Stopping = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = ()>>> + Send + Sync>;

/// What the connections of a server have in common. It does what actix-web's own server does, over sockets that notice
/// when a client hangs up.
#[derive(Clone)]
struct ServedApp {
    context: ContextRef,
    view_pool: Data<ViewPool>,
    stopping: Stopping,
}

impl ServedApp {
    fn over_tcp(&self) -> impl ServiceFactory<TcpStream, Config = (), Response = (), InitError = ()> + use<> {
        let opened = fn_service(|io: TcpStream| {
            let peer = peer_of(&io);
            ready(Ok::<_, DispatchError>((HttpSocket::new(io), Protocol::Http1, peer)))
        });
        opened.and_then(self.http_service())
    }

    fn over_tls(
        &self,
        mut tls: ServerConfig,
    ) -> impl ServiceFactory<TcpStream, Config = (), Response = (), InitError = ()> + use<> {
        // All that `http` below speaks.
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut acceptor = Acceptor::new(tls);
        acceptor.set_handshake_timeout(HEADERS_WITHIN);
        let opened = fn_service(|io: TlsStream<TcpStream>| {
            let peer = peer_of(io.get_ref().0);
            ready(Ok::<_, TlsError<io::Error, DispatchError>>((HttpSocket::new(io), Protocol::Http1, peer)))
        });
        let accepted = acceptor.map_err(TlsError::into_service_error).and_then(opened);
        accepted.and_then(self.http_service().map_err(TlsError::Service))
    }

    fn http_service<IO>(
        &self,
    ) -> impl ServiceFactory<
        (HttpSocket<IO>, Protocol, Option<SocketAddr>),
        Config = (),
        Response = (),
        Error = DispatchError,
        InitError = (),
    > + use<IO>
    where
        IO: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let (connections, stopping) = (self.context.connections.clone(), Arc::clone(&self.stopping));
        let has_base = Condition::new(!self.context.base.is_root(), from_fn(without_base));
        let app =
            app(self.context.clone()).app_data(self.view_pool.clone()).wrap(from_fn(answer_or_forward)).wrap(has_base);
        HttpService::build()
            .graceful_shutdown_signal(move || stopping())
            .keep_alive(KEEP_ALIVE)
            .client_request_timeout(HEADERS_WITHIN)
            .client_disconnect_timeout(DISCONNECT_WITHIN)
            // Who closes its side after a request still reads the answer.
            .h1_allow_half_closed(true)
            // The count ends with the connection: what is inserted here is dropped with it.
            .on_connect_ext(move |socket: &HttpSocket<IO>, data| {
                data.insert(connections.begin());
                data.insert(socket.hang_up());
            })
            .finish(map_config(app.into_factory(), |()| AppConfig::default()))
    }
}

/// The address of a client, to which answers go out at once.
fn peer_of(io: &TcpStream) -> Option<SocketAddr> {
    if let Err(err) = io.set_nodelay(true) {
        log::debug!("event=nodelay_not_set error={err}");
    }
    io.peer_addr().ok()
}

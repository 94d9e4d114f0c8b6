//! The network between a node and the NATS servers, among these, and among nodes, which can be cut.

use std::net::TcpListener as StdListener;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How a connection fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkState {
    Open,
    /// Connections end, and none can be made.
    Cut,
    /// Connections stay, and nothing comes through, as where a cable is pulled; what was sent comes once it is back.
    Silent,
}

/// Passes connections on to one address.
pub(crate) struct NetworkLink {
    /// Where it listens, on this machine.
    pub(super) port: u16,
    state: watch::Sender<LinkState>,
}

impl NetworkLink {
    /// To an address as `HOST:PORT`.
    pub(crate) fn open(to: &str) -> std::io::Result<Self> {
        let listener = StdListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let (port, state) = (listener.local_addr()?.port(), watch::Sender::new(LinkState::Open));
        tokio::task::spawn_local(pass_on(TcpListener::from_std(listener)?, to.to_owned(), state.subscribe()));
        Ok(Self { port, state })
    }

    /// To an address of this machine with nothing between: it can't be cut, and costs nothing.
    pub(crate) fn direct(to: &str) -> std::io::Result<Self> {
        let port = to.rsplit(':').next().and_then(|port| port.parse().ok());
        Ok(Self { port: port.ok_or(std::io::ErrorKind::InvalidInput)?, state: watch::Sender::new(LinkState::Open) })
    }

    pub(super) fn set(&self, state: LinkState) {
        self.state.send_replace(state);
    }
}

async fn pass_on(listener: TcpListener, to: String, state: watch::Receiver<LinkState>) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::task::spawn_local(pass_connection(client, to.clone(), state.clone()));
    }
}

async fn pass_connection(client: TcpStream, to: String, state: watch::Receiver<LinkState>) {
    let mut cut = state.clone();
    let passed = async {
        until_open(&mut state.clone()).await;
        let Ok(server) = TcpStream::connect(&to).await else { return };
        // Else a small piece waits for the answer to the one before, 40 ms where that answer waits, too.
        if client.set_nodelay(true).and(server.set_nodelay(true)).is_err() {
            return;
        }
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        // Both directions end together.
        tokio::select! {
            () = pass_bytes(from_client, to_server, state.clone()) => {}
            () = pass_bytes(from_server, to_client, state.clone()) => {}
        }
    };
    tokio::select! {
        () = passed => {}
        _cut = cut.wait_for(|state| *state == LinkState::Cut) => {}
    }
}

async fn pass_bytes(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut state: watch::Receiver<LinkState>,
) {
    let mut chunk = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut chunk).await {
        until_open(&mut state).await;
        if to.write_all(chunk.get(..read).unwrap_or_default()).await.is_err() {
            return;
        }
    }
}

async fn until_open(state: &mut watch::Receiver<LinkState>) {
    // The sender lives as long as the cluster.
    let _open = state.wait_for(|state| *state == LinkState::Open).await;
}

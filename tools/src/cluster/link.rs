//! The network between a node and the NATS servers, which can be cut.

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes connections on to each server, while it isn't cut.
pub(super) struct NetworkLink {
    /// As `cluster.log` names the servers.
    pub(super) urls: String,
    is_cut: watch::Sender<bool>,
}

impl NetworkLink {
    /// To servers as `nats://HOST:PORT,HOST:PORT`.
    pub(super) async fn open(servers: &str) -> anyhow::Result<Self> {
        let is_cut = watch::Sender::new(false);
        let mut hosts = Vec::new();
        for server in servers.strip_prefix("nats://").context("no servers")?.split(',') {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            hosts.push(listener.local_addr()?.to_string());
            tokio::task::spawn_local(pass_on(listener, server.to_owned(), is_cut.subscribe()));
        }
        Ok(Self { urls: format!("nats://{}", hosts.join(",")), is_cut })
    }

    /// Ends every connection, and lets none be made.
    pub(super) fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    pub(super) fn heal(&self) {
        self.is_cut.send_replace(false);
    }
}

async fn pass_on(listener: TcpListener, server: String, is_cut: watch::Receiver<bool>) {
    while let Ok((mut client, _)) = listener.accept().await {
        let (server, mut is_cut) = (server.clone(), is_cut.clone());
        tokio::task::spawn_local(async move {
            if *is_cut.borrow() {
                return;
            }
            let Ok(mut to) = TcpStream::connect(&server).await else { return };
            tokio::select! {
                _ended = tokio::io::copy_bidirectional(&mut client, &mut to) => {}
                _cut = is_cut.wait_for(|is_cut| *is_cut) => {}
            }
        });
    }
}

//! The end of a client: what must not be lost waits for it beside its answer.

use actix_web::HttpRequest;
use tokio::sync::watch;

/// Whether the client of a connection closed its side, or lost the connection.
#[derive(Debug, Clone)]
pub struct HangUp(pub watch::Receiver<bool>);

impl HangUp {
    /// That of a request's connection; none for a request that came by no socket.
    pub fn of(request: &HttpRequest) -> Option<Self> {
        request.conn_data::<Self>().cloned()
    }

    pub async fn wait(mut self) {
        let _a_closed_socket_is_one_too = self.0.wait_for(|has_ended| *has_ended).await;
    }
}

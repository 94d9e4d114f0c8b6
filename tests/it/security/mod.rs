//! What docs/security.md promises, a file for each promise.

mod bombs;
mod foreign;
mod idle;
mod injection;
mod malformed;
mod slow;
mod tls;
mod tokens;
mod traversal;
mod xss;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::Api;

/// Sends bytes as they are and reads what comes back until the service hangs up.
async fn raw(api: &Api, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(api.base.trim_start_matches("http://")).await.unwrap();
    // A service that refuses early may hang up before all is sent.
    let _sent = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _hung_up = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

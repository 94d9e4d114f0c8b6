//! The output of a command, on its way to that of the worker.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// What is kept of a message at most: its end says what went wrong.
pub(super) const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// How long output is waited for after the end: something that the command left behind may keep it open for ever.
pub(super) const LINGER: Duration = Duration::from_millis(500);

/// Copies output to its end, and shows each piece to `take`.
pub(super) async fn pass_on(
    from: Option<impl AsyncRead + Unpin>,
    mut to: impl AsyncWrite + Unpin,
    mut take: impl FnMut(&[u8]),
) {
    let Some(mut from) = from else { return };
    let mut buffer = vec![0; 8 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        take(&buffer[..read]);
        let _ = to.write_all(&buffer[..read]).await;
        let _ = to.flush().await;
    }
}

//! A connection's socket, which notices that its client sends nothing more.
//!
//! A client that closes its side after its request (`nc -N`, some health checks) still reads the answer; one that is
//! gone looks the same until something is written. So every request is answered, but what must not be lost waits for
//! [`HangUp`] beside its answer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use flowlord_web_core::hang_up::HangUp;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

#[derive(Debug)]
pub(crate) struct HttpSocket<IO> {
    io: IO,
    has_ended: watch::Sender<bool>,
}

impl<IO> HttpSocket<IO> {
    pub(crate) fn new(io: IO) -> Self {
        Self { io, has_ended: watch::Sender::new(false) }
    }

    /// For the requests of the connection.
    pub(crate) fn hang_up(&self) -> HangUp {
        HangUp(self.has_ended.subscribe())
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for HttpSocket<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let (room, filled) = (buf.remaining(), buf.filled().len());
        let read = ready!(Pin::new(&mut this.io).poll_read(cx, buf));
        if read.is_err() || (room > 0 && buf.filled().len() == filled) {
            this.has_ended.send_replace(true);
        }
        Poll::Ready(read)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for HttpSocket<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

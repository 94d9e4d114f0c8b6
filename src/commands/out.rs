//! What people and programs read: answers on stdout, errors on stderr.

use std::io::{self, Write as _};

/// Writes one line to stdout, at once.
pub(crate) fn line(text: &str) -> io::Result<()> {
    self::text(&format!("{text}\n"))
}

/// Writes to stdout, at once. A reader that went away has read enough.
pub(crate) fn text(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(err) if err.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

/// Writes one line to stderr.
pub(crate) fn error(text: &str) {
    // Nobody is left to be told that stderr is closed.
    let _ = writeln!(io::stderr(), "{text}");
}

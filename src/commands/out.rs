//! What people and programs read: answers on stdout, errors on stderr.

use std::io::{self, Write as _};

use anstream::AutoStream;
use clap::ValueEnum;

/// How answers and log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    Text,
    Json,
}

pub(crate) fn line(text: &str) -> io::Result<()> {
    self::text(&format!("{text}\n"))
}

pub(crate) fn text(text: &str) -> io::Result<()> {
    write_bytes(&mut io::stdout(), text.as_bytes()).map(drop)
}

/// Writes text with colours. False when the reader is gone.
pub(crate) fn styled_text(text: &str) -> io::Result<bool> {
    StyledOutput::new().write(text.as_bytes())
}

/// Stdout for text with colours, which only terminals get, and only where NO_COLOR isn't set.
pub(crate) struct StyledOutput(AutoStream<io::Stdout>);

impl StyledOutput {
    pub(crate) fn new() -> Self {
        Self(AutoStream::auto(io::stdout()))
    }

    /// False when the reader is gone. An escape sequence may be torn between two pieces.
    pub(crate) fn write(&mut self, piece: &[u8]) -> io::Result<bool> {
        write_bytes(&mut self.0, piece)
    }
}

fn write_bytes(out: &mut impl io::Write, bytes: &[u8]) -> io::Result<bool> {
    match out.write_all(bytes).and_then(|()| out.flush()) {
        // A reader that went away, like `head`, has read enough.
        Err(err) if err.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        done => done.map(|()| true),
    }
}

/// How many characters the widest cell of a column has.
pub(crate) fn column_width<const N: usize>(rows: &[[String; N]], column: usize) -> usize {
    rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
}

pub(crate) struct StdoutLines(io::BufWriter<io::StdoutLock<'static>>);

impl StdoutLines {
    /// Nothing else writes to stdout meanwhile.
    pub(crate) fn new() -> Self {
        Self(io::BufWriter::new(io::stdout().lock()))
    }

    /// Fails also when the reader went away: then [`is_reader_gone`] tells that nothing is wrong.
    pub(crate) fn text(&mut self, text: &str) -> io::Result<()> {
        self.bytes(text.as_bytes())
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.0.flush()
    }
}

pub(crate) fn is_reader_gone(err: &anyhow::Error) -> bool {
    err.downcast_ref::<io::Error>().is_some_and(|err| err.kind() == io::ErrorKind::BrokenPipe)
}

pub(crate) fn error(text: &str) {
    // Nobody is left to be told that stderr is closed.
    let _ = writeln!(io::stderr(), "{text}");
}

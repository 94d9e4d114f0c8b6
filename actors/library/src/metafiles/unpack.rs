//! From bytes to rows, within bounds.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use flowlord_domain::rows::{self, RowFormat};
use flowlord_domain::template::MetaRow;
use flowlord_kernel::{Error, Result};

use super::refuse_path;

/// How many bytes, unpacked, all files of a path may hold.
pub(super) const MAX_UNPACKED_BYTES: u64 = 64 * 1024 * 1024;

pub(super) const MAX_ROWS: usize = 100_000;

/// Reads files into rows, within the bounds of all of them.
#[derive(Debug, Default)]
pub(super) struct RowReader {
    pub(super) rows: Vec<MetaRow>,
    bytes: u64,
}

impl RowReader {
    /// Adds those of one file of the `path` that was asked for. Never more is unpacked than is taken.
    pub(super) fn add_file(mut self, path: &str, name: &str, packed: impl Read) -> Result<Self> {
        let left = MAX_UNPACKED_BYTES - self.bytes;
        let mut bytes = Vec::new();
        let read = if name.to_ascii_lowercase().ends_with(".gz") {
            // Bounded after unpacking: a small file may unpack to anything.
            // A file that was appended to has several gzip members, of which a plain decoder reads the first.
            MultiGzDecoder::new(packed).take(left + 1).read_to_end(&mut bytes)
        } else {
            packed.take(left + 1).read_to_end(&mut bytes)
        };
        read.map_err(|err| refuse_file(path, name, &format!("it can't be read: {err}")))?;
        self.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if self.bytes > MAX_UNPACKED_BYTES {
            return Err(refuse_file(path, name, "larger than 64 MiB uncompressed: split it"));
        }
        let text = String::from_utf8(bytes)
            .map_err(|_| refuse_file(path, name, "not UTF-8 text: save it as UTF-8, and name compressed files .gz"))?;
        rows::read_rows(RowFormat::of_file(name), &text, MAX_ROWS, &mut self.rows)
            .map_err(|err| refuse_file(path, name, &err.to_string()))?;
        Ok(self)
    }
}

/// Names the file only where a pattern led to it.
fn refuse_file(path: &str, name: &str, why: &str) -> Error {
    if name == path { refuse_path(path, why) } else { refuse_path(path, &format!("{name}: {why}")) }
}

//! Long work on a file that mustn't slow down the writer: on a thread with lower priority, and flushed in small pieces
//! as the file grows.

use std::fs::File;
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;

use flowlord_kernel::lower_priority;
use rusqlite::Connection;

/// After so many bytes the file is brought to disk. A flush of the write-ahead log waits for what the disk has still to
/// write, of all programs: a quarter of a megabyte takes it about a millisecond.
const PIECE: u64 = 256 * 1024;

/// How often SQLite asks, in its steps: it takes a few thousand for a piece.
const STEPS: i32 = 500;

pub(crate) fn run_at_lower_priority<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        // A thread of its own, since a priority that was lowered can't be raised again.
        let worker = scope.spawn(move || {
            lower_priority();
            work()
        });
        worker.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// From here on what `connection` does flushes `file`, which it writes, each time that it has grown by a piece.
pub(crate) fn flush_as_it_grows(connection: &Connection, file: &Path) -> rusqlite::Result<()> {
    // What can't be opened or flushed now fails at the end, where it counts.
    let Ok(file) = File::open(file) else { return Ok(()) };
    let mut growing = GrowingFile { file, flushed: 0 };
    connection.progress_handler(
        STEPS,
        Some(move || {
            let _at_the_end = growing.flush_grown();
            // True would interrupt the copy.
            false
        }),
    )
}

struct GrowingFile {
    file: File,
    flushed: u64,
}

impl GrowingFile {
    /// Whether there was enough to flush.
    fn flush_grown(&mut self) -> std::io::Result<bool> {
        let length = self.file.metadata()?.len();
        if length < self.flushed + PIECE {
            return Ok(false);
        }
        self.flushed = length;
        self.file.sync_data().map(|()| true)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flowlord_kernel::LOWER_PRIORITY;

    use super::*;

    #[test]
    fn the_work_is_done_on_a_thread_that_stands_back_and_the_others_do_not() {
        let priority = || rustix::process::getpriority_process(None).unwrap();
        let before = priority();
        assert_eq!(run_at_lower_priority(priority), LOWER_PRIORITY.max(before));
        assert_eq!(priority(), before);
    }

    #[test]
    fn a_panic_in_it_is_the_caller_s() {
        let caught = std::panic::catch_unwind(|| run_at_lower_priority(|| panic!("planned")));
        assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"planned"));
    }

    #[test]
    fn a_file_is_flushed_once_for_each_piece_that_it_grew() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut growing = GrowingFile { file: file.reopen().unwrap(), flushed: 0 };
        let half = vec![0; usize::try_from(PIECE / 2).unwrap()];
        let flushed: Vec<bool> = (0..5)
            .map(|_| {
                file.write_all(&half).unwrap();
                growing.flush_grown().unwrap()
            })
            .collect();
        assert_eq!(flushed, [false, true, false, true, false]);
    }
}

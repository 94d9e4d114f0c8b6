//! Long work on a file that mustn't slow down the writer: on a thread that yields to the others, and flushed as it
//! grows.

use std::fs::File;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use flowlord_messages::stand_back;

/// How often what was written so far is brought to disk. In one piece at the end it would hold up every flush of the
/// write-ahead log meanwhile.
const FLUSH_EVERY: Duration = Duration::from_millis(100);

/// Does `work`, which writes `file`.
pub(crate) fn gently<T: Send>(file: &Path, work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let (working, ended) = channel::<()>();
        let worker = scope.spawn(move || {
            stand_back();
            let done = work();
            drop(working);
            done
        });
        scope.spawn(move || flush_until(file, &ended));
        worker.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

fn flush_until(file: &Path, ended: &Receiver<()>) {
    // What can't be flushed now fails at the end, where it counts.
    let Ok(file) = File::open(file) else { return };
    while ended.recv_timeout(FLUSH_EVERY) == Err(RecvTimeoutError::Timeout) {
        let _at_the_end = file.sync_data();
    }
}

#[cfg(test)]
mod tests {
    use flowlord_messages::stand_back::STANDS_BACK;

    use super::*;

    #[test]
    fn the_work_is_done_on_a_thread_that_stands_back_and_the_others_do_not() {
        let priority = || rustix::process::getpriority_process(None).unwrap();
        let before = priority();
        let file = tempfile::NamedTempFile::new().unwrap();
        let within = gently(file.path(), || {
            std::fs::write(file.path(), "written").unwrap();
            priority()
        });
        assert_eq!(within, STANDS_BACK.max(before));
        assert_eq!(priority(), before);
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "written");
    }

    #[test]
    fn a_panic_in_it_is_the_caller_s() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let caught = std::panic::catch_unwind(|| gently(file.path(), || panic!("planned")));
        assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"planned"));
    }
}

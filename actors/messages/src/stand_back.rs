//! Threads whose work may wait: they yield to all others where there are too few processors for both.

/// How far such a thread stands back, in nice levels: it gets a tenth of what another thread gets.
pub const STANDS_BACK: i32 = 10;

/// From here on this thread stands back. It is never raised again: it must be a thread of its own. On Linux only, where
/// each thread has a priority.
pub fn stand_back() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{getpriority_process, setpriority_process};
        let changed = getpriority_process(None).and_then(|now| match now < STANDS_BACK {
            true => setpriority_process(None, STANDS_BACK),
            false => Ok(()),
        });
        if let Err(err) = changed {
            log::debug!("event=priority_unchanged error={err}");
        }
    }
}

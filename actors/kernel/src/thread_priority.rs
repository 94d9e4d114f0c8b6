//! Threads whose work may wait: they yield to all others where there are too few processors for both.

/// How much lower their priority is, in nice levels: such a thread gets a tenth of what another thread gets.
pub const LOWER_PRIORITY: i32 = 10;

/// Lowers the priority of this thread from here on. It is never raised again: the thread must have no other work.
pub fn lower_priority() {
    // Elsewhere this would be the priority of the whole process.
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{getpriority_process, setpriority_process};
        // A process that began nicer stays so: a lower number needs a right that it may not have.
        let changed = getpriority_process(None).and_then(|now| match now < LOWER_PRIORITY {
            true => setpriority_process(None, LOWER_PRIORITY),
            false => Ok(()),
        });
        if let Err(err) = changed {
            log::debug!("event=priority_unchanged error={err}");
        }
    }
}

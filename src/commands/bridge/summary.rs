//! What a bridge did: counted, and said once a minute when there was something.

use std::cell::Cell;

/// What happened since the last summary.
#[derive(Debug, Default)]
pub(super) struct BridgeCounts {
    /// Tasks that nsqd has.
    pub(super) published: Cell<u64>,
    /// Results that the service took.
    pub(super) results: Cell<u64>,
    /// Results that it had already.
    pub(super) duplicates: Cell<u64>,
    /// Messages that it will never take.
    pub(super) rejected: Cell<u64>,
    /// File messages that it took.
    pub(super) files: Cell<u64>,
    /// Messages that went back to nsqd.
    pub(super) requeued: Cell<u64>,
    /// Tasks that went back to the service.
    pub(super) released: Cell<u64>,
}

pub(super) fn add(count: &Cell<u64>, more: usize) {
    count.set(count.get().saturating_add(more as u64));
}

impl BridgeCounts {
    /// One line, and all counts at zero again; none when nothing happened.
    pub(super) fn take_summary(&self) -> Option<String> {
        let named = [
            ("published", &self.published),
            ("results", &self.results),
            ("duplicates", &self.duplicates),
            ("rejected", &self.rejected),
            ("files", &self.files),
            ("requeued", &self.requeued),
            ("released", &self.released),
        ];
        let taken = named.map(|(name, count)| (name, count.take()));
        let is_quiet = taken.iter().all(|(_, count)| *count == 0);
        (!is_quiet).then(|| taken.map(|(name, count)| format!("{name}={count}")).join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_begins_anew_and_is_left_out_when_nothing_happened() {
        let counts = BridgeCounts::default();
        assert_eq!(counts.take_summary(), None);
        add(&counts.published, 3);
        add(&counts.published, 2);
        add(&counts.rejected, 1);
        let expected = "published=5 results=0 duplicates=0 rejected=1 files=0 requeued=0 released=0";
        assert_eq!(counts.take_summary().as_deref(), Some(expected));
        assert_eq!(counts.take_summary(), None);
    }
}

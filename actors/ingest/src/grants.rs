//! Attempts that were handed out lately, so that their results needn't wait for a read.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use flowlord_domain::Attempt;
use flowlord_messages::LeaseToken;
use flowlord_messages::results::RememberGrants;

/// More than workers of a busy service hold at a time; what falls out is read.
const MAX_GRANTS: usize = 8_192;

/// Longer texts are left to the database, so that this cache takes no more than some megabytes.
const MAX_TEXT_BYTES: usize = 1_024;

/// A cache and nothing more: the write of a result checks that its lease holds, and whether somebody cancelled it.
///
/// The rest of a leased attempt that decisions depend on doesn't change until its result.
#[derive(Debug, Default)]
pub(crate) struct RecentGrants {
    attempts: HashMap<LeaseToken, Arc<Attempt>>,
    /// The last grants, the oldest first, also those that have a result by now.
    order: VecDeque<LeaseToken>,
}

impl RecentGrants {
    pub(crate) fn remember(&mut self, RememberGrants { grants }: RememberGrants) {
        for (lease, attempt) in grants {
            if attempt.info.len() + attempt.meta.len() > MAX_TEXT_BYTES {
                continue;
            }
            if self.order.len() == MAX_GRANTS
                && let Some(oldest) = self.order.pop_front()
            {
                self.attempts.remove(&oldest);
            }
            self.order.push_back(lease);
            self.attempts.insert(lease, attempt);
        }
    }

    /// The attempt of a lease, which is forgotten by this: few leases get a second result.
    pub(crate) fn take(&mut self, lease: LeaseToken) -> Option<Arc<Attempt>> {
        self.attempts.remove(&lease)
    }
}

#[cfg(test)]
mod tests {
    use flowlord_domain::Uid;
    use flowlord_testkit::leased;

    use super::*;

    fn grants(uids: std::ops::Range<i64>, info: &str) -> RememberGrants {
        let grant = |uid| {
            let lease = LeaseToken { uid: Uid(uid), secret: 7 };
            (lease, Arc::new(Attempt { info: info.to_owned(), ..leased(Uid(uid), "load") }))
        };
        RememberGrants { grants: uids.map(grant).collect() }
    }

    #[test]
    fn each_lease_gives_its_own_attempt_once() {
        let mut recent = RecentGrants::default();
        recent.remember(grants(1..3, ""));
        let first = LeaseToken { uid: Uid(1), secret: 7 };
        assert!(recent.take(LeaseToken { secret: 8, ..first }).is_none(), "an earlier lease of the same attempt");
        assert_eq!(recent.take(first).unwrap().uid, Uid(1));
        assert!(recent.take(first).is_none());
    }

    #[test]
    fn neither_many_grants_nor_long_texts_make_it_large() {
        let mut recent = RecentGrants::default();
        let more = i64::try_from(MAX_GRANTS).unwrap() + 10;
        recent.remember(grants(0..more, ""));
        recent.remember(grants(more..more + 5, &"x".repeat(MAX_TEXT_BYTES + 1)));
        assert_eq!((recent.attempts.len(), recent.order.len()), (MAX_GRANTS, MAX_GRANTS));
        let lease = |uid| LeaseToken { uid: Uid(uid), secret: 7 };
        assert!(recent.take(lease(9)).is_none(), "the oldest made room");
        assert!(recent.take(lease(10)).is_some());
        assert!(recent.take(lease(more)).is_none(), "its info and meta are too long");
    }
}

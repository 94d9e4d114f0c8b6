//! How many requests each caller has that wait for tasks.

use std::collections::HashMap;
use std::sync::Arc;

use flowlord_kernel::{Code, Locked};

use crate::problem::Problem;

#[derive(Debug, Clone, Default)]
pub struct LongPolls(Arc<Locked<HashMap<String, usize>>>);

/// One of them; it ends with its drop, also when its client hangs up.
#[derive(Debug)]
pub struct LongPoll {
    long_polls: LongPolls,
    caller: String,
}

impl LongPolls {
    /// One more, unless the caller has as many as it may.
    pub fn begin(&self, caller: String, most: usize) -> Result<LongPoll, Problem> {
        let mut all = self.0.lock();
        let open = all.entry(caller.clone()).or_insert(0);
        if *open >= most {
            let detail = format!(
                "{most} requests of {caller} wait for tasks already: let one request lease several tasks (`max`), give \
                 workers tokens of their own, or raise limits.long_polls"
            );
            return Err(Problem::new(Code::TooManyRequests, detail));
        }
        *open += 1;
        Ok(LongPoll { long_polls: self.clone(), caller })
    }
}

impl Drop for LongPoll {
    fn drop(&mut self) {
        let mut all = self.long_polls.0.lock();
        if let Some(open) = all.get_mut(&self.caller) {
            *open -= 1;
            if *open == 0 {
                // Callers come and go by their addresses: an entry left behind would stay for good.
                all.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_caller_has_its_own_bound_and_nothing_is_left_behind() {
        let long_polls = LongPolls::default();
        let first = long_polls.begin("etl".to_owned(), 1).unwrap();
        let problem = long_polls.begin("etl".to_owned(), 1).unwrap_err();
        assert_eq!(problem.code(), Code::TooManyRequests);
        assert!(problem.detail().contains("limits.long_polls"), "{problem}");
        drop(long_polls.begin("other".to_owned(), 1).unwrap());
        drop(first);
        drop(long_polls.begin("etl".to_owned(), 1).unwrap());
        assert!(long_polls.0.lock().is_empty());
    }
}

//! Tasks that one form has run again or cancels, and what came of it in words.

use flowlord_domain::rerun::Downstream;
use flowlord_kernel::Error;
use flowlord_web_core::use_cases::tasks::{cancel_tasks, rerun_tasks};

use super::Notice;
use crate::prelude::*;

/// The most tasks that one form changes.
pub(super) const MOST: usize = 500;

pub(super) struct BulkSummary {
    /// What was to be done: the tasks were so.
    verb: &'static str,
    changed: usize,
    pub(super) refused: Vec<String>,
}

impl BulkSummary {
    pub(super) fn of_rerun() -> Self {
        Self { verb: "rerun", changed: 0, refused: Vec::new() }
    }

    pub(super) fn of_cancel() -> Self {
        Self { verb: "cancelled", ..Self::of_rerun() }
    }

    pub(super) async fn cancel(
        &mut self,
        context: &WebContext,
        uids: Vec<Uid>,
        note: Option<&str>,
    ) -> Result<(), Problem> {
        if uids.is_empty() {
            return Ok(());
        }
        self.count(cancel_tasks(context, uids, note).await?);
        Ok(())
    }

    pub(super) async fn rerun(&mut self, context: &WebContext, tasks: &[Attempt]) -> Result<(), Problem> {
        if tasks.is_empty() {
            return Ok(());
        }
        self.count(rerun_tasks(context, tasks, Downstream::All).await?);
        Ok(())
    }

    fn count<T>(&mut self, answers: Vec<Result<T, Error>>) {
        for answer in answers {
            match answer {
                Ok(_) => self.changed += 1,
                Err(Error { detail, .. }) => self.refused.push(detail),
            }
        }
    }

    /// In words, with the first reason; an error where nothing changed.
    pub(super) fn into_notice(self) -> Result<Notice, Problem> {
        let Self { verb, changed, refused } = self;
        let ran = match changed {
            1 => format!("1 task was {verb}"),
            many => format!("{many} tasks were {verb}"),
        };
        let notice = match refused.as_slice() {
            [] => Notice::good(format!("{ran}.")),
            [why] => Notice::bad(format!("{ran}, 1 could not be: {why}.")),
            [why, ..] => Notice::bad(format!("{ran}, {} could not be. The first: {why}.", refused.len())),
        };
        if changed == 0 { Err(Problem::invalid(notice.text)) } else { Ok(notice) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(changed: usize, refused: &[&str]) -> Result<(bool, String), String> {
        let refused = refused.iter().map(ToString::to_string).collect();
        let summary = BulkSummary { changed, refused, ..BulkSummary::of_rerun() };
        let notice = summary.into_notice().map_err(|problem| problem.detail().to_owned())?;
        Ok((notice.good, notice.text))
    }

    #[test]
    fn what_came_of_a_rerun_is_counted_with_the_first_reason() {
        assert_eq!(told(1, &[]), Ok((true, "1 task was rerun.".to_owned())));
        assert_eq!(told(2, &[]), Ok((true, "2 tasks were rerun.".to_owned())));
        assert_eq!(told(2, &["gone"]), Ok((false, "2 tasks were rerun, 1 could not be: gone.".to_owned())));
        let several = "1 task was rerun, 2 could not be. The first: gone.".to_owned();
        assert_eq!(told(1, &["gone", "unfinished"]), Ok((false, several)));
    }

    #[test]
    fn where_none_was_rerun_nothing_changed() {
        assert_eq!(told(0, &["gone"]), Err("0 tasks were rerun, 1 could not be: gone.".to_owned()));
    }
}

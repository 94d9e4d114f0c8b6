//! Tasks that run again by a form, and what came of it in words.

use flowlord_kernel::Error;
use flowlord_web_core::use_cases::tasks::rerun_tasks;

use super::Notice;
use crate::prelude::*;

/// The most tasks that one form reruns.
pub(super) const MOST: usize = 500;

#[derive(Default)]
pub(super) struct RerunSummary {
    created: usize,
    pub(super) refused: Vec<String>,
}

impl RerunSummary {
    pub(super) async fn add(&mut self, context: &WebContext, tasks: &[Attempt]) -> Result<(), Problem> {
        if tasks.is_empty() {
            return Ok(());
        }
        for answer in rerun_tasks(context, tasks).await? {
            match answer {
                Ok(_) => self.created += 1,
                Err(Error { detail, .. }) => self.refused.push(detail),
            }
        }
        Ok(())
    }

    /// In words, with the first reason; an error where none was rerun, since then nothing changed.
    pub(super) fn into_notice(self) -> Result<Notice, Problem> {
        let Self { created, refused } = self;
        let ran = match created {
            1 => "1 task was rerun".to_owned(),
            many => format!("{many} tasks were rerun"),
        };
        let notice = match refused.as_slice() {
            [] => Notice::good(format!("{ran}.")),
            [why] => Notice::bad(format!("{ran}, 1 could not be: {why}.")),
            [why, ..] => Notice::bad(format!("{ran}, {} could not be. The first: {why}.", refused.len())),
        };
        if created == 0 { Err(Problem::invalid(notice.text)) } else { Ok(notice) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(created: usize, refused: &[&str]) -> Result<(bool, String), String> {
        let summary = RerunSummary { created, refused: refused.iter().map(ToString::to_string).collect() };
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

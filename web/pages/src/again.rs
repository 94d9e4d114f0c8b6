//! Tasks that run again by a form, and what came of it in words.

use flowlord_domain::Attempt;
use flowlord_kernel::Error;
use flowlord_web_core::context::WebContext;
use flowlord_web_core::problem::Problem;
use flowlord_web_core::use_cases::tasks::rerun_tasks;

use super::Notice;

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

//! Tasks that run again by a form, and what came of it in words.

use flowlord_domain::Attempt;
use flowlord_kernel::Error;
use flowlord_web_core::context::WebContext;
use flowlord_web_core::problem::Problem;
use flowlord_web_core::use_cases::tasks::rerun_tasks;

use super::Notice;

/// So many run again by one form.
pub(super) const MOST: usize = 500;

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct RerunSummary {
    pub(super) created: usize,
    /// Why others can't run again.
    pub(super) refused: Vec<String>,
}

impl RerunSummary {
    /// Has these run again, each judged alone.
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

    /// In words, with the first reason.
    pub(super) fn notice(&self) -> Notice {
        let Self { created, refused } = self;
        let ran = match created {
            1 => "1 task was rerun".to_owned(),
            many => format!("{many} tasks were rerun"),
        };
        match refused.as_slice() {
            [] => Notice::good(format!("{ran}.")),
            [why] => Notice::bad(format!("{ran}, 1 could not be: {why}.")),
            [why, ..] => Notice::bad(format!("{ran}, {} could not be. The first: {why}.", refused.len())),
        }
    }
}

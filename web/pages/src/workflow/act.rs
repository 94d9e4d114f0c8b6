//! What the forms of the page do.

use flowlord_messages::schedule::PausePhase;
use flowlord_messages::workflows::{ReloadReport, ReloadWorkflows};
use flowlord_web_core::use_cases::phases::{PhaseRunRequest, run_phase};

use super::phases::META_FIELD;
use super::query::PATH;
use crate::prelude::*;
use crate::{Notice, PageLink, form_fields};

pub(crate) async fn reload_workflows(context: ContextRef, request: HttpRequest) -> Answer {
    let done = context.deps.library.call(ReloadWorkflows).await;
    let done = done.map(|found| Notice::good(format!("Workflows reloaded: {}.", reload_words(&found))));
    Ok(Notice::after(&request, done.map_err(Problem::from)).back_to(PATH))
}

/// `1 new, 2 removed`.
fn reload_words(found: &ReloadReport) -> String {
    let counts = [(found.added.len(), "new"), (found.changed.len(), "changed"), (found.removed.len(), "removed")];
    let parts: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if parts.is_empty() { "nothing changed".to_owned() } else { parts.join(", ") }
}

pub(crate) async fn pause_or_resume(
    context: ContextRef,
    request: HttpRequest,
    payload: Payload,
    change: Path<String>,
) -> Answer {
    let form = form_fields(&request, payload).await?;
    let [workflow, task, back] = ["workflow", "task", "back"].map(|name| form.first_value(name).unwrap_or_default());
    let (workflow, task) = (workflow.to_owned(), task.to_owned());
    let paused = *change == "pause";
    let done = context.deps.scheduler.call(PausePhase { workflow, task: task.clone(), paused }).await;
    let done = done.map(|since| match since {
        Some(_) => Notice::good(format!("{task} is paused: its slots start no tasks.")),
        None => Notice::good(format!("{task} is resumed.")),
    });
    Ok(Notice::after(&request, done.map_err(Problem::from)).back_to(&own_page(back)))
}

pub(crate) async fn run_now(context: ContextRef, request: HttpRequest, payload: Payload) -> Answer {
    let form = form_fields(&request, payload).await?;
    let [workflow, task, time, back] =
        ["workflow", "task", "time", "back"].map(|name| form.first_value(name).unwrap_or_default());
    let (workflow, task, time) = (workflow.to_owned(), task.to_owned(), time.to_owned());
    let mut meta = Query::default();
    // An empty field leaves the value to the phase.
    for (name, value) in form.pairs().filter(|(_, value)| !value.is_empty()) {
        if let Some(key) = name.strip_prefix(META_FIELD) {
            meta.push_pair(key, value);
        }
    }
    let done = run_phase(&context, &PhaseRunRequest { workflow, task, time, meta }, None).await;
    let done = done.map(|tasks| match tasks.as_slice() {
        [task] => Notice::good(format!("1 task started: {}.", task.uid)),
        many => Notice::good(format!("{} tasks started.", many.len())),
    });
    Ok(Notice::after(&request, done).back_to(&own_page(back)))
}

/// Where a form of the page leads back to: only to the page itself.
fn own_page(to: &str) -> String {
    let query = to.strip_prefix(PATH).and_then(|rest| rest.strip_prefix('?')).unwrap_or_default();
    PageLink::of(PATH, query).href()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_leads_back_to_the_page_only() {
        assert_eq!(own_page("/web/workflow?file=a/b.toml&task=x"), "/web/workflow?file=a/b.toml&task=x");
        for elsewhere in ["", "https://evil.example", "//evil.example", "/web/workflow/../x", "/web/workflowx?a=1"] {
            assert_eq!(own_page(elsewhere), "/web/workflow", "{elsewhere}");
        }
    }

    #[test]
    fn a_reload_tells_what_changed() {
        let paths = |count: usize| vec![String::new(); count];
        let found = |added, changed, removed| {
            reload_words(&ReloadReport {
                added: paths(added),
                changed: paths(changed),
                removed: paths(removed),
                broken: Vec::new(),
            })
        };
        assert_eq!(found(0, 0, 0), "nothing changed");
        assert_eq!([found(1, 0, 2), found(0, 3, 0)], ["1 new, 2 removed", "3 changed"]);
    }
}

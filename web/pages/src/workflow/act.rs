//! What the forms of the page do.

use actix_web::HttpRequest;
use actix_web::web::{Path, Payload};
use flowlord_domain::query::Query;
use flowlord_messages::schedule::PausePhase;
use flowlord_messages::workflows::ReloadWorkflows;
use flowlord_web_core::audit_entry::AuditEntry;
use flowlord_web_core::context::ContextRef;
use flowlord_web_core::extract::form_body;
use flowlord_web_core::problem::Answer;

use super::query::PATH;
use crate::Notice;
use crate::link::PageLink;

/// Looks at the files now.
pub(crate) async fn refresh(context: ContextRef, request: HttpRequest) -> Answer {
    let notice = match context.deps.library.call(ReloadWorkflows).await {
        Ok(found) => {
            let parts = [
                (found.added.len(), "new"),
                (found.changed.len(), "changed"),
                (found.removed.len(), "removed"),
            ];
            let parts: Vec<String> = parts
                .iter()
                .filter(|(count, _)| *count > 0)
                .map(|(count, what)| format!("{count} {what}"))
                .collect();
            match parts.is_empty() {
                true => Notice::good("Workflows reloaded: nothing changed."),
                false => Notice::good(format!("Workflows reloaded: {}.", parts.join(", "))),
            }
        }
        Err(error) => {
            AuditEntry::nothing_changed(&request);
            Notice::bad(error.detail)
        }
    };
    Ok(notice.back_to(PATH))
}

/// Pauses or resumes a phase.
pub(crate) async fn change(
    context: ContextRef,
    request: HttpRequest,
    payload: Payload,
    change: Path<String>,
) -> Answer {
    let body = form_body(&request, payload).await?;
    let fields = Query::parse_lenient(&String::from_utf8_lossy(&body));
    let text = |name| fields.first_value(name).unwrap_or_default().to_owned();
    let (workflow, task, paused) = (text("workflow"), text("task"), *change == "pause");
    let notice = match context.deps.scheduler.call(PausePhase { workflow, task: task.clone(), paused }).await
    {
        Ok(Some(_)) => Notice::good(format!("{task} is paused: its slots start no tasks.")),
        Ok(None) => Notice::good(format!("{task} is resumed.")),
        Err(error) => {
            AuditEntry::nothing_changed(&request);
            Notice::bad(error.detail)
        }
    };
    Ok(notice.back_to(&back(&text("back"))))
}

/// Where a form of the page leads back to: only to the page itself.
fn back(to: &str) -> String {
    let query = to.strip_prefix(PATH).and_then(|rest| rest.strip_prefix('?')).unwrap_or_default();
    PageLink::of(PATH, query).href()
}

#[cfg(test)]
mod tests {
    use super::back;

    #[test]
    fn a_form_leads_back_to_the_page_only() {
        assert_eq!(back("/web/workflow?file=a/b.toml&task=x"), "/web/workflow?file=a/b.toml&task=x");
        for elsewhere in
            ["", "https://evil.example", "//evil.example", "/web/workflow/../x", "/web/workflowx?a=1"]
        {
            assert_eq!(back(elsewhere), "/web/workflow", "{elsewhere}");
        }
    }
}

//! Tasks that a person marks complete.

use flowlord_web_core::auth::caller::caller_name;
use flowlord_web_core::use_cases::tasks::{complete_task, parse_uid};
use flowlord_web_core::values::MetaQuery;
use flowlord_web_core::values::matching::note;

use crate::prelude::*;
use crate::tasks::check_meta;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::post("/api/v1/tasks/{uid}/complete", Role::Operator, complete)
            .audited(AuditAction::Complete)
            .about("tasks", "Mark a task complete")
            .says(
                "A task without a result, or one that failed, counts as complete from now on, and its children start. \
                 Who has it leased loses the lease. Where it was tried again, the newest attempt is the one to mark.",
            )
            .path("uid", "the attempt", "064c0953867001")
            .optional_body::<CompleteBody<'_>>("why, and what to add to its meta", example_of(EXAMPLE))
            .answers::<TaskView<'_>>(200, "the task", task_example())
            .fails(&[Code::TaskUnknown, Code::AlreadyFinished, Code::TaskUnfinished]),
    ]
}

const EXAMPLE: &str = r#"{"note":"loaded by hand","meta":{"file":"a.csv"}}"#;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, bound(deserialize = "'de: 'a"))]
#[schema(as = Complete)]
pub(crate) struct CompleteBody<'a> {
    /// Why; it becomes part of the message of the task.
    note: Option<String>,
    /// Merged over the meta of the task, as that of a result.
    meta: Option<MetaQuery<'a>>,
}

async fn complete(context: ContextRef, path: Path<String>, request: HttpRequest, payload: Payload) -> Answer {
    QueryParams::none(&request)?;
    let body = json_body(&request, payload).await?;
    let uid = parse_uid(&path)?;
    let CompleteBody { note: reason, meta } = object(&body, EXAMPLE)?;
    let (reason, MetaQuery(meta)) = (note("note", reason)?, meta.unwrap_or_default());
    check_meta(&meta)?;
    // People who read the task later see who marked it, without the audit log.
    let by = caller_name(&request);
    json(StatusCode::OK, &TaskView(&complete_task(&context, uid, &by, reason.as_deref(), meta.into_owned()).await?))
}

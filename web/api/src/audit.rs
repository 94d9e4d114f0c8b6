//! The trail of what people changed.

use flowlord_messages::audit::{AuditRecord, StoredAuditRecord};
use flowlord_web_core::answer::LookedList;
use flowlord_web_core::use_cases::audit_log::list_changes;

use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    let change = json!({
        "id": 7, "at": "2026-03-02T12:00:00Z", "who": "ann", "from": "192.0.2.7", "action": "token",
        "what": "POST /api/v1/tokens", "detail": "{\"name\":\"etl\",\"role\":\"worker\"}", "status": 201,
    });
    vec![
        Route::view("/api/v1/audit", Role::Admin, list)
            .about("service", "Audit log")
            .says(
                "The changes of a day, newest first, with who made them and from where. A page reads a bounded number \
                 of them.",
            )
            .query("date", "a UTC day; today unless given", day_schema())
            .query("who", "names of tokens, or of people in Slack", texts())
            .query("action", "kinds of change", named_values::<AuditAction>())
            .pages()
            .lists_looked::<ChangeView<'_>>("changes", change),
    ]
}

#[derive(Serialize, ToSchema)]
#[schema(as = Change)]
pub(crate) struct ChangeView<'a> {
    id: i64,
    at: DateTime<Utc>,
    who: &'a str,
    /// The address that the request came from.
    from: &'a str,
    #[schema(schema_with = limits::named::<AuditAction>)]
    action: &'static str,
    /// The method and the path.
    what: &'a str,
    detail: &'a str,
    status: u16,
}

impl<'a> From<&'a StoredAuditRecord> for ChangeView<'a> {
    fn from(StoredAuditRecord { id, change }: &'a StoredAuditRecord) -> Self {
        let AuditRecord { at, who, from, action, what, detail, status } = change;
        let (at, action) = (*at, action.as_str());
        Self { id: *id, at, who, from, action, what, detail, status: *status }
    }
}

async fn list(context: ContextRef, request: HttpRequest) -> Answer {
    let params = QueryParams::parse(request.query_string(), &["date", "who", "action", "limit", "cursor"])?;
    let date = params.date()?.unwrap_or_else(|| context.deps.kit.now().date_naive());
    let page = context.deps.view_reader.call(list_changes(&params, date, params.limit()?)?).await?;
    let items = page.changes.iter().map(ChangeView::from).collect();
    let next = page.next.map(|next| next.to_string());
    json(StatusCode::OK, &LookedList { items, next, looked_until: page.looked_until })
}

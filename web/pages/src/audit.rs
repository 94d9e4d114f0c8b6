//! What people changed on a day: who, what, when, from where.

use std::collections::BTreeSet;

use flowlord_messages::audit::AuditRecordPage;
use flowlord_messages::audit::ListAuditRecords;
use flowlord_messages::audit::StoredAuditRecord;
use flowlord_messages::tokens::{ReadTokens, StoredToken};
use flowlord_web_core::use_cases::audit_log::list_changes;

use super::calendar::long_date;
use super::choice::FilterChoice;
use super::parts::{LongText, Pager};
use super::when::{ShownTime, long};
use super::{NavigationSection, PageLayout, PageLink, ShownDay, rendered};
use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::view("/web/audit", Role::Admin, rendered(audit_page))]
}

const PATH: &str = "/web/audit";

/// The parameters that restrict what is shown, beside the day.
const FILTERS: [&str; 2] = ["who", "action"];
const ROWS: usize = 100;

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    layout: PageLayout,
    shown: ShownDay,
    kept: PageLink,
    choices: [FilterChoice; 2],
    clear: Option<String>,
    changes: Vec<ChangeRow>,
    looked_until: Option<ShownTime>,
    /// The newest day before that has one, where this one has none.
    before: Option<(String, String)>,
    pager: Pager,
    json: String,
}

struct ChangeRow {
    id: i64,
    at: ShownTime,
    ago: String,
    who: String,
    who_link: String,
    from: String,
    action: &'static str,
    action_link: String,
    what: String,
    task: Option<Uid>,
    detail: LongText,
    status: u16,
}

async fn audit_page(context: &WebContext, request: &HttpRequest) -> Result<AuditPage, Problem> {
    let params = QueryParams::parse(request.query_string(), &["date", "month", "who", "action", "cursor"])?;
    let now = context.deps.kit.now();
    let shown = ShownDay::of(&params, now)?;
    let link = PageLink::of(PATH, request.query_string()).without(&["month"]);
    let asked = list_changes(&params, shown.date, ROWS)?;
    let (mut layout, found, tokens) = tokio::join!(
        PageLayout::new(context, request, NavigationSection::Audit).with_picker(context, &link, shown),
        context.deps.view_reader.call(asked.clone()),
        context.deps.reader.call(ReadTokens),
    );
    let before = match &found {
        Ok(AuditRecordPage { changes, next: None, .. }) if changes.is_empty() => last_before(context, asked).await,
        // A page of a long search may be empty while the next one is not.
        _ => None,
    };
    let found = layout.read("the changes", found)?.unwrap_or_default();
    let tokens = layout.read("the tokens", tokens)?.unwrap_or_default();
    Ok(AuditPage {
        layout,
        shown,
        kept: link.only(&["date"]),
        choices: filter_choices(&params, tokens, &found.changes),
        clear: link.unfiltered(&FILTERS).map(|link| link.href()),
        looked_until: found.looked_until.map(ShownTime::date_and_time),
        before: before.map(|day| (link.without(&["cursor"]).with("date", &day).href(), long_date(day))),
        pager: Pager::new(&link, found.next.map(|next| next.to_string())),
        json: link.without(&["cursor"]).with("date", &shown.date).at("/api/v1/audit").href(),
        changes: found.changes.into_iter().map(|change| ChangeRow::new(change, &link, now)).collect(),
    })
}

/// The newest day before with a change that fits. Where it can't be read, the page does without.
async fn last_before(context: &WebContext, asked: ListAuditRecords) -> Option<NaiveDate> {
    let earlier = ListAuditRecords { to: asked.from, from: DateTime::UNIX_EPOCH, after: None, limit: 1, ..asked };
    let page = context.deps.view_reader.call(earlier).await.ok()?;
    page.changes.first().map(|last| last.change.at.date_naive())
}

fn filter_choices(params: &QueryParams, tokens: Vec<StoredToken>, changes: &[StoredAuditRecord]) -> [FilterChoice; 2] {
    // A token that was removed left changes behind; where no token is needed, a change has no name.
    let seen = changes.iter().map(|change| change.change.who.clone()).filter(|who| !who.is_empty());
    let who: BTreeSet<String> = tokens.into_iter().map(|token| token.name).chain(seen).collect();
    let actions = AuditAction::ALL.map(|action| (action.as_str().to_owned(), None));
    [
        FilterChoice::new("who", "Who", params, who.into_iter().map(|who| (who, None))),
        FilterChoice::new("action", "What", params, actions),
    ]
}

impl ChangeRow {
    fn new(StoredAuditRecord { id, change }: StoredAuditRecord, link: &PageLink, now: DateTime<Utc>) -> Self {
        let link = link.without(&["cursor"]);
        let action = change.action.as_str();
        Self {
            id,
            at: ShownTime::time_of_day(change.at),
            ago: ago_words(now - change.at),
            who_link: link.with("who", &change.who).href(),
            who: change.who,
            from: change.from,
            action,
            action_link: link.with("action", action).href(),
            task: task_of(&change.what),
            detail: readable_detail(&change.what, &change.detail).into(),
            what: change.what,
            status: change.status,
        }
    }
}

/// `3 h 5 min ago`.
fn ago_words(past: TimeDelta) -> String {
    match past.num_minutes() {
        ..1 => "just now".to_owned(),
        _ => format!("{} ago", long(past)),
    }
}

/// What a form of a page said: its fields as people filled them in. What programs sent stands as it is.
fn readable_detail(what: &str, detail: &str) -> String {
    if !what.contains(" /web/") {
        return detail.to_owned();
    }
    let form = Query::parse_lenient(detail);
    // `do` is told as the action, and `back` is only where the form leads back to.
    let told = form.pairs().filter(|(name, value)| !value.is_empty() && !matches!(*name, "do" | "back"));
    told.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
}

/// The task that a request names in its path.
fn task_of(what: &str) -> Option<Uid> {
    let (_, path) = what.split_once(' ')?;
    let rest = path.strip_prefix("/api/v1/tasks/").or_else(|| path.strip_prefix("/web/task/"))?;
    rest.split(['/', '?']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_a_task_leads_to_it() {
        for (what, task) in [
            ("POST /api/v1/tasks/00000000000007/rerun", Some(Uid(7))),
            ("POST /web/task/00000000000007", Some(Uid(7))),
            ("POST /web/task?date=2026-03-02", None),
            ("POST /api/v1/tasks/rerun", None),
            ("acknowledge", None),
        ] {
            assert_eq!(task_of(what), task, "{what}");
        }
    }

    #[test]
    fn forms_are_told_as_they_were_filled_in() {
        let form = "workflow=etl%2Fa.toml&task=load%3Ax&note=&back=%2Fweb%2Fworkflow&do=pause";
        assert_eq!(readable_detail("POST /web/workflow/pause", form), "workflow=etl/a.toml, task=load:x");
        for (what, detail) in [("POST /api/v1/phases/pause", "{\"task\":\"a%3A\"}"), ("silence_1h", "a/b&c=d")] {
            assert_eq!(readable_detail(what, detail), detail);
        }
    }

    #[test]
    fn how_long_ago_is_said_in_two_units() {
        let texts = [-5, 59, 60, 3_600 * 3 + 300, 86_400 * 2].map(|seconds| ago_words(TimeDelta::seconds(seconds)));
        assert_eq!(texts, ["just now", "just now", "1 min ago", "3 h 5 min ago", "2 d 0 h ago"]);
    }
}

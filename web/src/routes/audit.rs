//! The trail of what people changed.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use flowlord_messages::audit::{ListChanges, StoredChange};
use serde::Serialize;

use crate::api::ApiRef;
use crate::params::{Params, day};
use crate::problem::Answer;
use crate::routes::{List, json};
use crate::view::time::Stamp;

#[derive(Serialize)]
struct ChangeView<'a> {
    id: i64,
    at: Stamp,
    who: &'a str,
    from: &'a str,
    what: &'a str,
    detail: &'a str,
    status: u16,
}

impl<'a> From<&'a StoredChange> for ChangeView<'a> {
    fn from(StoredChange { id, change }: &'a StoredChange) -> Self {
        Self {
            id: *id,
            at: Stamp(change.at),
            who: &change.who,
            from: &change.from,
            what: &change.what,
            detail: &change.detail,
            status: change.status,
        }
    }
}

/// The changes of a day, newest first.
pub(crate) async fn list(api: ApiRef, request: HttpRequest) -> Answer {
    let params = Params::parse(request.query_string(), &["date", "limit", "cursor"])?;
    let limit = params.limit()?;
    let date = params.date()?.unwrap_or_else(|| api.deps.clock.now().date_naive());
    let (from, to) = day(date);
    let query = ListChanges { from, to, after: params.cursor()?, limit: limit + 1 };
    let mut changes = api.deps.changes.call(query).await?;
    let more = changes.len() > limit;
    changes.truncate(limit);
    let next = changes.last().filter(|_| more).map(|change| change.id.to_string());
    json(StatusCode::OK, &List { items: changes.iter().map(ChangeView::from).collect(), next })
}

//! What REST handlers have in common: bodies in which nothing is passed over, and pages of lists.

use serde::de::DeserializeOwned;

use crate::prelude::*;

/// Reads what a person asks for, all of which stands in the body.
pub(crate) async fn strict_body<Body: DeserializeOwned>(
    request: &HttpRequest,
    payload: Payload,
    example: &str,
) -> Result<Body, Problem> {
    // A parameter would do nothing, and its sender would think that it did.
    QueryParams::none(request)?;
    object(&json_body(request, payload).await?, example)
}

/// Cuts rows that were read with a limit of one more than the page has, and tells where the next page begins.
pub(crate) fn cut_page<Row>(rows: &mut Vec<Row>, limit: usize, cursor: impl Fn(&Row) -> String) -> Option<String> {
    // The row too many only tells that there is a next page: counting all rows would take as long as reading them.
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    rows.last().filter(|_| has_more).map(cursor)
}

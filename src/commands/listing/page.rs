//! Pages of a list, one after the other.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::form_urlencoded;

use super::PATIENCE;
use crate::commands::work::client::{ApiClient, ApiRefusal};

/// The longest page that the service answers.
const MAX_PAGE_ITEMS: usize = 1_000;

/// A page of a search may find nothing: this many are read before people are asked whether to go on.
const MAX_PAGES: usize = 100;

/// What a request says about a list.
pub(crate) type QueryPairs = Vec<(&'static str, String)>;

/// A list, as the REST API answers it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct ListDocument {
    pub(crate) items: Vec<Value>,
    next: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    looked_until: Option<String>,
}

impl ListDocument {
    /// What people should know about it.
    pub(super) fn note(&self) -> Option<String> {
        let next = self.next.as_ref()?;
        let read = match &self.looked_until {
            Some(until) => format!("; what was created before {until} was not searched"),
            None => String::new(),
        };
        Some(format!("{} shown{read}: more with --limit, or go on with --cursor {next}", self.items.len()))
    }
}

/// Reads up to `limit` rows of a list, page by page.
pub(crate) async fn read_list(
    client: &ApiClient,
    path: &str,
    query: &QueryPairs,
    limit: usize,
) -> Result<ListDocument, ApiRefusal> {
    let mut list = ListDocument::default();
    for _ in 0..MAX_PAGES {
        let mut query = query.clone();
        query.push(("limit", (limit - list.items.len()).min(MAX_PAGE_ITEMS).to_string()));
        if let Some(next) = list.next.take() {
            query.retain(|(name, _)| *name != "cursor");
            query.push(("cursor", next));
        }
        let page: ListDocument = client.get(&with_query(path, &query), PATIENCE).await?;
        list.items.extend(page.items);
        (list.next, list.looked_until) = (page.next, page.looked_until);
        if list.next.is_none() || list.items.len() >= limit {
            break;
        }
    }
    Ok(list)
}

/// The pairs of what was given: options with one value, and those with several.
pub(crate) fn query_pairs<const N: usize, const M: usize>(
    one: [(&'static str, &Option<String>); N],
    many: [(&'static str, &Vec<String>); M],
) -> QueryPairs {
    let one = one.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
    let many = many.into_iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value.clone())));
    one.chain(many).collect()
}

pub(crate) fn with_query(path: &str, query: &QueryPairs) -> String {
    format!("{path}?{}", form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_missing_is_said_with_where_to_go_on() {
        let list = |more: Value| {
            let mut list = json!({"items": [1, 2], "next": "7"});
            list.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            serde_json::from_value::<ListDocument>(list).unwrap().note()
        };
        assert_eq!(list(json!({"next": null})), None);
        assert_eq!(list(json!({})).unwrap(), "2 shown: more with --limit, or go on with --cursor 7");
        let looked = list(json!({"looked_until": "2026-03-02T12:00:00Z"})).unwrap();
        assert!(
            looked.starts_with("2 shown; what was created before 2026-03-02T12:00:00Z was not searched:"),
            "{looked}"
        );
    }

    #[test]
    fn what_was_given_becomes_a_query() {
        let pairs = query_pairs(
            [("q", &Some("a&b \"c\"#".to_owned())), ("to", &None)],
            [("type", &vec!["x".to_owned(), "y".to_owned()])],
        );
        assert_eq!(with_query("/tasks", &pairs), "/tasks?q=a%26b+%22c%22%23&type=x&type=y");
    }
}

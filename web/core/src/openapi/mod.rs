//! The OpenAPI document: what `/api/v1/openapi.json`, the console at `/api/docs` and `flowlord openapi` show.
//!
//! Its schemas come from the types that are read and written, its limits from the constants that the checks use, its
//! codes and roles from the tables that answer and let in. Tests hold it complete: every route is in it, every status
//! is provoked, every limit is sent and passed.

mod description;
pub mod operation;
mod schemas;
mod values;

use serde_json::{Map, Value, json};

use crate::problem::ProblemDocument;
use crate::route::RouteTable;

pub use description::text_schema;
pub use operation::Operation;
pub use schemas::{SchemaRegistry, json_of};
pub use values::{
    any_of, array_of, backload_request_example, day_schema, example_of, named_values, one_of, one_or_array,
    task_example, texts,
};

/// What operations are about, in the order in which they are shown.
pub const TAGS: [(&str, &str); 6] = [
    ("work", "What workers ask: tasks, leases, results."),
    ("tasks", "Tasks, read and changed by people and programs."),
    ("workflows", "Workflow files, their phases, and backloads."),
    ("alerts", "What went wrong, and the notifications about it."),
    ("service", "The service itself: totals, snapshots, tokens, events, health."),
    ("kept", "Kept from the reference system: same paths, same JSON."),
];

/// The document, of a service whose paths are below a base path.
pub fn document(routes: &RouteTable, version: &str, base: &str) -> Value {
    let (mut paths, mut schemas) = (Map::new(), SchemaRegistry::default());
    for operation in routes.operations() {
        let path = paths.entry(operation.path.as_str()).or_insert_with(|| json!({}));
        path[operation.method] = operation.document(&mut schemas);
    }
    schemas.one::<ProblemDocument<'_>>();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "flowlord",
            "version": version,
            "description": DESCRIPTION,
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": if base.is_empty() { "/" } else { base }}],
        "tags": TAGS.map(|(name, says)| json!({"name": name, "description": says})),
        "paths": paths,
        "components": {
            "schemas": schemas.into_json(),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "made by `flowlord token add NAME --role ROLE`"},
                "session": {"type": "apiKey", "in": "cookie", "name": crate::auth::COOKIE, "description": "made by the login page"},
            },
        },
    })
}

const DESCRIPTION: &str = "A task orchestrator: workflows in TOML, workers over REST, summaries in Slack. \
JSON in and out, UTF-8; times are RFC 3339 in UTC. Errors are problem documents (RFC 9457) whose `code` is stable: \
4xx says what to change, 5xx whether to ask again. Lists answer `{\"items\":[…],\"next\":\"…\"|null}`: give `next` as \
`cursor` for the next page; they carry an `ETag`. Every answer has an `X-Request-Id`: yours, or a new one.";

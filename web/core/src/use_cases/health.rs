//! How the actors are.

use std::time::Duration;

use flowlord_kernel::Ping;
use futures_util::future::join_all;
use serde_json::{Map, Value, json};

use crate::context::WebContext;

const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Those that don't answer well, with what they say; and how each is.
pub async fn ping_actors(context: &WebContext) -> (Vec<(&'static str, String)>, Value) {
    // All at once: the answer takes no longer than the slowest.
    let pings = context.deps.pings.iter().map(|(name, port)| {
        let ping = tokio::time::timeout(ANSWER_WITHIN, port.call(Ping));
        async move { (*name, ping.await) }
    });
    let mut troubles = Vec::new();
    let mut actors = Map::new();
    for (name, answer) in join_all(pings).await {
        let detail = match answer {
            Ok(Ok(pong)) => json!({ "status": "ok", "restarts": pong.restarts }),
            Ok(Err(err)) => {
                troubles.push((name, err.detail.clone()));
                json!({ "status": err.code.as_str(), "detail": err.detail })
            }
            Err(_) => {
                troubles.push((name, format!("no answer within {} s", ANSWER_WITHIN.as_secs())));
                json!({ "status": "timeout" })
            }
        };
        actors.insert(name.to_owned(), detail);
    }
    (troubles, Value::Object(actors))
}

//! All attempts of a chain.

use actix_web::http::StatusCode;
use actix_web::web::Path;
use flowlord_messages::Code;
use flowlord_messages::read::Chain;

use crate::api::ApiRef;
use crate::problem::{Answer, Problem};
use crate::routes::{List, json};
use crate::view::task::TaskView;

/// The attempts, oldest first; each but the first names its parent.
pub(crate) async fn chain(api: ApiRef, path: Path<String>) -> Answer {
    let id = path.into_inner();
    let tasks = api.deps.chain.call(Chain { id: id.clone() }).await?;
    if tasks.is_empty() {
        return Err(Problem::new(Code::ChainUnknown, format!("no task has the id `{id}`")));
    }
    json(StatusCode::OK, &List { items: tasks.iter().map(TaskView).collect(), next: None })
}

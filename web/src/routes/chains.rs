//! All attempts of a chain.

use actix_web::http::StatusCode;
use actix_web::web::Path;
use flowlord_messages::Code;
use flowlord_messages::read::ChainBeginning;

use crate::api::ApiRef;
use crate::problem::{Answer, Problem};
use crate::routes::{List, json};
use crate::view::task::TaskView;

/// More attempts than a chain can have.
const ALL: usize = 1_000_000_000;

/// The attempts, oldest first; each but the first names its parent.
pub(crate) async fn chain(api: ApiRef, path: Path<String>) -> Answer {
    let id = path.into_inner();
    let all = ChainBeginning { id: id.clone(), limit: ALL };
    let tasks = api.deps.chain_beginning.call(all).await?.attempts;
    if tasks.is_empty() {
        return Err(Problem::new(Code::ChainUnknown, format!("no task has the id `{id}`")));
    }
    json(StatusCode::OK, &List { items: tasks.iter().map(TaskView).collect(), next: None })
}

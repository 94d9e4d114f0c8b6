//! All attempts of a chain.

use flowlord_messages::tasks::ReadChainStart;

use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::view("/api/v1/chains/{id}", Role::Viewer, chain)
            .about("tasks", "All attempts of a chain")
            .says("A task, its retries and its children, oldest first; `parent` says which led to which.")
            .path("id", "the chain", "chain-1")
            .lists::<TaskView<'_>>("the attempts", task_example())
            .fails(&[Code::ChainUnknown]),
    ]
}

// More attempts than a chain can have: unlike the page of a task, a program gets the whole chain.
const ALL: usize = 1_000_000_000;

/// The attempts, oldest first; each but the first names its parent.
async fn chain(context: ContextRef, path: Path<String>) -> Answer {
    let id = path.into_inner();
    let all = ReadChainStart { id: id.clone(), limit: ALL };
    let tasks = context.deps.view_reader.call(all).await?.attempts;
    if tasks.is_empty() {
        return Err(Problem::new(Code::ChainUnknown, format!("no task has the id `{id}`")));
    }
    json(StatusCode::OK, &List { items: tasks.iter().map(TaskView).collect(), next: None })
}

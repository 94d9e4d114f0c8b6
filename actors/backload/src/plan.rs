//! From a request, or from what was stored of one, to a plan.

use std::sync::Arc;

use flowlord_domain::backload::{BackloadOrder, BackloadPlan, BackloadRequest};
use flowlord_domain::template::MetaRow;
use flowlord_kernel::{Code, Error, Result};
use flowlord_messages::backloads::{PlannedBackload, StoredBackload};
use flowlord_messages::workflows::{ReadLoadedWorkflows, ReadMetaRows};

use flowlord_messages::deps::WorkflowDeps;

pub(crate) async fn plan_request(deps: &WorkflowDeps, request: &BackloadRequest) -> Result<Arc<PlannedBackload>> {
    let current = deps.library.call(ReadLoadedWorkflows).await?;
    let resolved = request.resolve_order(&current.workflows, deps.kit.now());
    let resolved = resolved.map_err(|err| invalid_request(err.to_string()))?;
    let rows = read_rows(deps, &resolved.order).await?;
    let plan = BackloadPlan::new(resolved.order, rows).map_err(|err| invalid_request(err.to_string()))?;
    Ok(Arc::new(PlannedBackload { plan, message: resolved.message }))
}

pub(crate) async fn plan_stored(deps: &WorkflowDeps, stored: &StoredBackload) -> Result<BackloadPlan> {
    let order: BackloadOrder = serde_json::from_str(&stored.order).map_err(|err| {
        invalid_request(format!("its stored request can't be read ({err}): cancel it and create a new one"))
    })?;
    let rows = read_rows(deps, &order).await?;
    let plan = BackloadPlan::new(order, rows).map_err(|err| invalid_request(err.to_string()))?;
    // How far it got is a number of tasks, which means nothing in another plan.
    if plan.digest_of_rows() != stored.digest || plan.count() != stored.total {
        return Err(invalid_request(
            "its meta file changed since it started: cancel it and create a new one, with only=missing".to_owned(),
        ));
    }
    Ok(plan)
}

async fn read_rows(deps: &WorkflowDeps, order: &BackloadOrder) -> Result<Option<Arc<Vec<MetaRow>>>> {
    match &order.meta_file {
        Some(path) => deps.library.call(ReadMetaRows { path: path.clone() }).await.map(Some),
        None => Ok(None),
    }
}

fn invalid_request(detail: String) -> Error {
    Error::new(Code::InvalidRequest, detail)
}

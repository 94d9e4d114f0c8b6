//! Looking on while things change.

use flowlord_messages::events::TakeChanges;

use crate::core::context::Api;
use crate::core::live_events::Subscription;
use crate::core::problem::Problem;

/// Looks on from now, or from after the event that was seen last.
///
/// # Errors
/// `busy` when too many do, `stopping`, and whatever the DB owner answers.
pub(crate) async fn subscribe(api: &Api, after: Option<&str>) -> Result<Subscription, Problem> {
    let now = api.deps.kit.now();
    if !api.hub.is_watched(now) {
        api.hub.begin(now);
        // The owner tells of changes only once until they are taken.
        api.deps.writer.call(TakeChanges).await?;
    }
    api.hub.subscribe(api.deps.kit.clock(), after)
}

//! Looking on while things change.

use flowlord_messages::events::TakeChanges;

use crate::context::WebContext;
use crate::live_events::Subscription;
use crate::problem::Problem;

/// Looks on from now, or from after the event that was seen last.
pub async fn subscribe(context: &WebContext, after: Option<&str>) -> Result<Subscription, Problem> {
    let now = context.deps.kit.now();
    if !context.hub.is_watched(now) {
        // Before the question below: a hint that came in between would be passed over.
        context.hub.begin(now);
        // The owner tells of changes only once until they are taken. A follower's tells of none.
        if !context.cluster.is_follower()
            && let Err(error) = context.deps.writer.call(TakeChanges).await
        {
            // Nobody would take them: the next one to look on has to.
            context.hub.stop_watching();
            return Err(error.into());
        }
    }
    context.hub.subscribe(context.deps.kit.clock(), after)
}

//! How much of the limits of phases and groups is used, for `/metrics`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use flowlord_domain::limits::{LimitTable, tokens_left};
use flowlord_messages::leases::{ReadLimits, ReadStartBuckets, StartBucket};
use flowlord_messages::stats::QueueBacklog;
use flowlord_web_core::context::Series;
use metrics::gauge;

use super::number;
use crate::prelude::*;

/// So many topics and jobs are shown, those first that come first by name: each is a series of its own.
const MAX_LIMITED: usize = 1_000;

/// The limits, and what is used of rates.
pub(super) type ReadFigures = (Arc<LimitTable>, Vec<StartBucket>);

/// None where they can't be read, as on a node that doesn't lead.
pub(super) async fn read_limits(context: &WebContext) -> Option<ReadFigures> {
    let (limits, buckets) =
        tokio::join!(context.deps.dispatch.call(ReadLimits), context.deps.view_reader.call(ReadStartBuckets));
    Some((limits.ok()??, buckets.ok()?))
}

/// Shows what is used of each limit, and the limit.
pub(super) fn show_limits(context: &WebContext, read: &ReadFigures, backlog: &QueueBacklog, now: DateTime<Utc>) {
    let (limits, buckets) = read;
    let figures = limit_figures(limits, backlog, buckets, now);
    let mut shown = context.limits_shown();
    // A limit that isn't any more is no figure: its last one would look like one that holds.
    for (name, labels) in shown.iter().filter(|series| !figures.contains_key(*series)) {
        gauge!(*name, labels).set(f64::NAN);
    }
    for ((name, labels), value) in &figures {
        gauge!(*name, labels).set(*value);
    }
    shown.extend(figures.into_keys());
}

fn limit_figures(
    limits: &LimitTable,
    backlog: &QueueBacklog,
    buckets: &[StartBucket],
    now: DateTime<Utc>,
) -> BTreeMap<Series, f64> {
    let active: HashMap<_, _> =
        backlog.queues.iter().map(|load| ((load.topic.as_str(), load.job.as_str()), load.leased)).collect();
    let full_at: HashMap<_, _> =
        buckets.iter().map(|bucket| ((bucket.topic.as_str(), bucket.job.as_str()), bucket.full_at)).collect();
    let mut figures = BTreeMap::new();
    for (nth, (topic, job, limits)) in limits.all_limits().into_iter().enumerate() {
        let active = active.get(&(topic, job)).copied().unwrap_or_default();
        if let Some((group, max)) = &limits.group {
            let labels = vec![("group", group.clone())];
            *figures.entry(("flowlord_group_active_tasks", labels.clone())).or_default() += number(active);
            figures.insert(("flowlord_group_max_active", labels), f64::from(*max));
        }
        if nth >= MAX_LIMITED {
            continue; // for its group it counts
        }
        let labels = vec![("topic", topic.to_owned()), ("job", job.to_owned())];
        if let Some(max) = limits.max_active {
            figures.insert(("flowlord_limit_active_tasks", labels.clone()), number(active));
            figures.insert(("flowlord_limit_max_active", labels.clone()), f64::from(max));
        }
        if let Some(rate) = limits.rate {
            let free = tokens_left(rate, full_at.get(&(topic, job)).copied(), now);
            let tokens = |count: usize| number(u64::try_from(count).unwrap_or(u64::MAX));
            figures.insert(("flowlord_rate_free_starts", labels.clone()), tokens(free));
            figures.insert(("flowlord_rate_max_starts", labels), tokens(rate.tasks));
        }
    }
    figures
}

//! From what changed to what is told: reads the rows that changed, once for all who look on.

use chrono::{DateTime, NaiveDate, Utc};
use flowlord_domain::Attempt;
use flowlord_kernel::{Error, Result};
use flowlord_messages::alerts::ReadAlerts;
use flowlord_messages::backloads::ReadBackload;
use flowlord_messages::events::{DatabaseChanges, TakeChanges};
use flowlord_messages::stats::ReadDayTotals;
use flowlord_messages::tasks::ReadAttempts;
use flowlord_web_core::context::WebContext;
use flowlord_web_core::live_events::{EventKind, LiveEvent};
use flowlord_web_core::view::alert::AlertView;
use flowlord_web_core::view::backload::BackloadView;
use flowlord_web_core::view::stats::{HourView, ResultSum, StatsView};
use flowlord_web_core::view::task::TaskView;
use futures_util::future::try_join_all;
use serde::Serialize;
use serde_json::json;

/// Takes what changed, reads it and tells it.
pub(crate) async fn tell_changes(context: &WebContext, snapshots: bool) {
    if context.cluster.is_follower() {
        // What it applied names no rows.
        return context.hub.tell(vec![LiveEvent::new(EventKind::Reset, &json!({}))]);
    }
    let told = async {
        let changes = context.deps.writer.call(TakeChanges).await?;
        read_news(context, changes, context.deps.kit.now()).await
    };
    match told.await {
        Ok(mut news) => {
            if snapshots {
                news.push(LiveEvent::new(EventKind::Snapshot, &json!({})));
            }
            context.hub.tell(news);
        }
        Err(Error { code, detail }) => {
            log::warn!("event=changes_not_read code={} detail={detail:?}", code.as_str());
            // Not kept for later: those who look on begin anew, and so see what is.
            context.hub.break_off();
        }
    }
}

#[derive(Serialize)]
struct CountsNews<'a> {
    date: NaiveDate,
    totals: ResultSum,
    hours: &'a [HourView],
}

async fn read_news(context: &WebContext, changes: DatabaseChanges, now: DateTime<Utc>) -> Result<Vec<LiveEvent>> {
    let mut news = Vec::new();
    read_tasks(context, &changes, now, &mut news).await?;
    if !changes.alerts.is_empty() {
        let rows = changes.alerts.iter().copied().collect();
        let alerts = context.deps.view_reader.call(ReadAlerts { rows }).await?;
        news.extend(alerts.iter().map(|alert| LiveEvent::new(EventKind::Alert, &AlertView::from(alert))));
    }
    if changes.incidents {
        news.push(LiveEvent::new(EventKind::Incident, &json!({})));
    }
    news.extend(changes.workflows.iter().map(|file| LiveEvent::new(EventKind::Workflow, &json!({"file": file}))));
    let backloads = changes.backloads.iter().map(|id| context.deps.view_reader.call(ReadBackload { id: *id }));
    for (stored, _) in try_join_all(backloads).await?.into_iter().flatten() {
        news.push(LiveEvent::new(EventKind::Backload, &BackloadView::new(&stored, None, context.deps.kit.now())));
    }
    news.extend(changes.files.iter().map(|event| LiveEvent::new(EventKind::File, &json!({"event": event}))));
    if changes.overflowed {
        news.push(LiveEvent::new(EventKind::Reset, &json!({})));
    }
    Ok(news)
}

/// Each task that changed as it is now; of a flood only how much changed. With them the totals of today.
async fn read_tasks(
    context: &WebContext,
    changes: &DatabaseChanges,
    now: DateTime<Utc>,
    news: &mut Vec<LiveEvent>,
) -> Result<()> {
    if !changes.has_tasks() {
        return Ok(());
    }
    let today = now.date_naive();
    let uids = changes.tasks.iter().copied().collect();
    let (attempts, stats) = tokio::try_join!(
        context.deps.view_reader.call(ReadAttempts { uids }),
        context.deps.view_reader.call(ReadDayTotals { day: today })
    )?;
    let listed = attempts.into_iter().flatten().map(Attempt::cut_for_list);
    news.extend(listed.map(|task| LiveEvent::new(EventKind::Task, &TaskView(&task))));
    if changes.unnamed > 0 {
        news.push(LiveEvent::new(EventKind::Tasks, &json!({"changed": changes.unnamed})));
    }
    let StatsView { totals, hours, .. } = StatsView::new(today, &stats);
    news.push(LiveEvent::new(EventKind::Counts, &CountsNews { date: today, totals, hours: &hours }));
    Ok(())
}

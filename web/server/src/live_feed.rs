//! From what changed to what is told: reads the rows that changed, once for all who look on.

use chrono::{DateTime, NaiveDate, Utc};
use flowlord_domain::Attempt;
use flowlord_kernel::{Error, Result};
use flowlord_messages::alerts::AlertsByRow;
use flowlord_messages::backloads::ReadBackload;
use flowlord_messages::events::{Changes, TakeChanges};
use flowlord_messages::stats::DayStats;
use flowlord_messages::tasks::AttemptsById;
use flowlord_web_core::context::WebContext;
use flowlord_web_core::live_events::{EventKind, News};
use flowlord_web_core::view::alert::AlertView;
use flowlord_web_core::view::backload::BackloadView;
use flowlord_web_core::view::stats::{HourView, StatsView, Sum};
use flowlord_web_core::view::task::TaskView;
use futures_util::future::try_join_all;
use serde::Serialize;

/// Takes what changed, reads it and tells it. What can't be read is not kept back for later: whoever looks on
/// begins anew, and so sees what is.
pub(crate) async fn tell_changes(context: &WebContext, snapshots: bool) {
    let told = async {
        let changes = context.deps.writer.call(TakeChanges).await?;
        news(context, changes, context.deps.kit.now()).await
    };
    match told.await {
        Ok(mut news) => {
            if snapshots {
                news.push(News::new(EventKind::Snapshot, &Nothing {}));
            }
            context.hub.tell(news);
        }
        Err(Error { code, detail }) => {
            log::warn!("event=changes_not_read code={} detail={detail:?}", code.as_str());
            context.hub.break_off();
        }
    }
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
struct Changed {
    changed: u64,
}

#[derive(Serialize)]
struct CountsNews<'a> {
    date: NaiveDate,
    totals: Sum,
    hours: &'a [HourView],
}

#[derive(Serialize)]
struct WorkflowNews<'a> {
    file: &'a str,
}

#[derive(Serialize)]
struct FileNews {
    event: i64,
}

async fn news(context: &WebContext, changes: Changes, now: DateTime<Utc>) -> Result<Vec<News>> {
    let mut news = Vec::new();
    tasks(context, &changes, now, &mut news).await?;
    if !changes.alerts.is_empty() {
        let rows = changes.alerts.iter().copied().collect();
        let alerts = context.deps.view_reader.call(AlertsByRow { rows }).await?;
        news.extend(alerts.iter().map(|alert| News::new(EventKind::Alert, &AlertView::from(alert))));
    }
    if changes.incidents {
        news.push(News::new(EventKind::Incident, &Nothing {}));
    }
    news.extend(changes.workflows.iter().map(|file| News::new(EventKind::Workflow, &WorkflowNews { file })));
    let backloads =
        changes.backloads.iter().map(|id| context.deps.view_reader.call(ReadBackload { id: *id }));
    for (stored, _) in try_join_all(backloads).await?.into_iter().flatten() {
        news.push(News::new(EventKind::Backload, &BackloadView::new(&stored, None)));
    }
    news.extend(changes.files.iter().map(|event| News::new(EventKind::File, &FileNews { event: *event })));
    if changes.overflowed {
        news.push(News::new(EventKind::Reset, &Nothing {}));
    }
    Ok(news)
}

/// Each task that changed as it is now; of a flood only how much changed. With them the totals of today.
async fn tasks(
    context: &WebContext,
    changes: &Changes,
    now: DateTime<Utc>,
    news: &mut Vec<News>,
) -> Result<()> {
    if !changes.has_tasks() {
        return Ok(());
    }
    let today = now.date_naive();
    let uids = changes.tasks.iter().copied().collect();
    let (attempts, stats) = tokio::try_join!(
        context.deps.view_reader.call(AttemptsById { uids }),
        context.deps.view_reader.call(DayStats { day: today })
    )?;
    let listed = attempts.into_iter().flatten().map(Attempt::listed);
    news.extend(listed.map(|task| News::new(EventKind::Task, &TaskView(&task))));
    if changes.unnamed > 0 {
        news.push(News::new(EventKind::Tasks, &Changed { changed: changes.unnamed }));
    }
    let StatsView { totals, hours, .. } = StatsView::new(today, &stats);
    news.push(News::new(EventKind::Counts, &CountsNews { date: today, totals, hours: &hours }));
    Ok(())
}

//! Alerts as they were recorded: told by the service that runs on a data folder, or read from its database.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, SecondsFormat, Utc};
use flowlord::running::Running;
use flowlord_db::{DATABASE, FolderLock, OpenError};
use flowlord_domain::simulate::Recorded;
use flowlord_messages::alerts::{AlertFilter, ListAlerts, StoredAlert};
use serde::Deserialize;
use serde_json::Value;

use crate::commands::work::client::Client;

/// Alerts that are read at a time.
const STEP: usize = 1_000;

/// More than this take too much memory.
const MOST: usize = 1_000_000;

/// How long the service may take for a step.
const PATIENCE: Duration = Duration::from_secs(60);

/// The alerts of that time that a ladder tells, oldest first.
pub(super) fn read(data: &Path, from: DateTime<Utc>, to: DateTime<Utc>) -> anyhow::Result<Vec<Recorded>> {
    let database = data.join(DATABASE);
    anyhow::ensure!(
        database.exists(),
        "there is no database {}: name its folder with --data",
        database.display()
    );
    let mut alerts = match FolderLock::take(data) {
        Ok(_lock) => offline(&database, from, to)?,
        Err(OpenError::InUse(_)) => {
            let running = Running::of(data).with_context(|| {
                format!("a service uses {} and doesn't say where it listens", data.display())
            })?;
            let client = Client::new(&running.server, Some(running.token))?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(by_service(&client, from, to))?
        }
        Err(err) => return Err(err.into()),
    };
    alerts.sort_by_key(|alert| alert.at);
    Ok(alerts)
}

fn offline(database: &Path, from: DateTime<Utc>, to: DateTime<Utc>) -> anyhow::Result<Vec<Recorded>> {
    let (mut alerts, mut after) = (Vec::new(), None);
    loop {
        let query = ListAlerts { from, to, filter: AlertFilter::default(), after, limit: STEP };
        let step = flowlord_db::list_alerts(database, &query)?;
        after = step.last().map(|alert| alert.row);
        let whole = step.len() == STEP;
        alerts.extend(step.into_iter().filter_map(told));
        few_enough(&alerts)?;
        if !whole {
            return Ok(alerts);
        }
    }
}

/// What was told at once, or silenced, is no ladder's.
fn told(alert: StoredAlert) -> Option<Recorded> {
    let StoredAlert { at, topic, job, workflow, .. } = alert;
    (!alert.at_once && alert.silence.is_none()).then_some(Recorded { at, topic, job, workflow })
}

fn few_enough(alerts: &[Recorded]) -> anyhow::Result<()> {
    anyhow::ensure!(
        alerts.len() <= MOST,
        "there are more than {MOST} alerts from --from to --to: choose a shorter time"
    );
    Ok(())
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Item>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Item {
    at: DateTime<Utc>,
    #[serde(rename = "type")]
    topic: String,
    #[serde(default)]
    job: String,
    #[serde(default)]
    workflow: String,
    #[serde(default)]
    at_once: bool,
    silence: Option<Value>,
}

impl Item {
    fn told(self) -> Option<Recorded> {
        let Self { at, topic, job, workflow, .. } = self;
        (!self.at_once && self.silence.is_none()).then_some(Recorded { at, topic, job, workflow })
    }
}

async fn by_service(
    client: &Client,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> anyhow::Result<Vec<Recorded>> {
    let text = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    let mut alerts = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/alerts?from={}&to={}&limit={STEP}{cursor}", text(from), text(to));
        let page: Page = client.get(&path, PATIENCE).await?;
        alerts.extend(page.items.into_iter().filter_map(Item::told));
        few_enough(&alerts)?;
        match page.next {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(alerts),
        }
    }
}

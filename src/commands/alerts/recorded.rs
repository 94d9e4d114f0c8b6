//! Alerts as they were recorded: told by the service that runs on a data folder, or read from its database.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use flowlord_db::{FolderLock, OpenError};
use flowlord_domain::simulate::RecordedAlert;
use flowlord_messages::alerts::{AlertFilter, ListAlerts, StoredAlert};
use serde::Deserialize;
use serde_json::Value;

use crate::commands::args::{existing_database, service_on};
use crate::commands::work::client::ApiClient;

const STEP: usize = 1_000;

// More than this take too much memory.
const MAX_ALERTS: usize = 1_000_000;

const PATIENCE: Duration = Duration::from_secs(60);

/// The alerts of that time that a ladder tells, oldest first.
pub(super) fn read_alerts(data: &Path, from: DateTime<Utc>, to: DateTime<Utc>) -> anyhow::Result<Vec<RecordedAlert>> {
    let database = existing_database(data)?;
    let mut alerts = match FolderLock::take(data) {
        Ok(_lock) => read_offline(&database, from, to)?,
        Err(OpenError::InUse(_)) => {
            let client = ApiClient::of_running(&service_on(data)?)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(read_from_service(&client, from, to))?
        }
        Err(err) => return Err(err.into()),
    };
    // A replay needs the order of time, however they were read.
    alerts.sort_by_key(|alert| alert.at);
    Ok(alerts)
}

fn read_offline(database: &Path, from: DateTime<Utc>, to: DateTime<Utc>) -> anyhow::Result<Vec<RecordedAlert>> {
    let (mut alerts, mut after) = (Vec::new(), None);
    loop {
        let query = ListAlerts { from, to, filter: AlertFilter::default(), after, limit: STEP };
        let step = flowlord_db::list_alerts(database, &query)?;
        after = step.last().map(|alert| alert.row);
        let whole = step.len() == STEP;
        alerts.extend(step.into_iter().filter_map(ladder_alert));
        check_count(&alerts)?;
        if !whole {
            return Ok(alerts);
        }
    }
}

fn ladder_alert(alert: StoredAlert) -> Option<RecordedAlert> {
    // What was told at once, or silenced, is no ladder's.
    let StoredAlert { at, topic, job, workflow, owner, .. } = alert;
    (!alert.at_once && alert.silence.is_none()).then_some(RecordedAlert { at, topic, job, workflow, owner })
}

fn check_count(alerts: &[RecordedAlert]) -> anyhow::Result<()> {
    anyhow::ensure!(
        alerts.len() <= MAX_ALERTS,
        "there are more than {MAX_ALERTS} alerts from --from to --to: choose a shorter time"
    );
    Ok(())
}

#[derive(Deserialize)]
struct AlertPage {
    items: Vec<AlertItem>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct AlertItem {
    #[serde(flatten)]
    alert: RecordedAlert,
    #[serde(default)]
    at_once: bool,
    silence: Option<Value>,
}

impl AlertItem {
    fn told(self) -> Option<RecordedAlert> {
        (!self.at_once && self.silence.is_none()).then_some(self.alert)
    }
}

async fn read_from_service(
    client: &ApiClient,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> anyhow::Result<Vec<RecordedAlert>> {
    let [from, to] = [from, to].map(|time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true));
    let mut alerts = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/alerts?from={from}&to={to}&limit={STEP}{cursor}");
        let page: AlertPage = client.get(&path, PATIENCE).await?;
        alerts.extend(page.items.into_iter().filter_map(AlertItem::told));
        check_count(&alerts)?;
        match page.next {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(alerts),
        }
    }
}

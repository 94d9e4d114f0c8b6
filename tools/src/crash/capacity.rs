//! Whether no limit lost a place: at the end all that waited for one gets done, and then as many may be at work as before. Each
//! day is whole by then, so joins over a day must have started, too.

use std::rc::Rc;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::CrashSite;
use super::load::{LeasesReply, SharedClients, complete_day, finish_tasks};
use super::workload::{LIMITS, WorkerKind};
use crate::client::HttpClient;

/// How long all that waits for a limit may take; it is at most some hundreds of tasks.
const PATIENCE: Duration = Duration::from_mins(2);

/// More tasks than any limit has places.
const PROBES: usize = 9;

impl CrashSite {
    /// Lets workers finish all tasks with limits, and after one more kill take as many as they can.
    pub(super) async fn check_capacity(&self, clients: &SharedClients, rng: &mut StdRng) -> anyhow::Result<()> {
        let mut process = self.spawn_service()?;
        let address = process.read_address().await?;
        complete_day(&address, clients).await?;
        let mut workers = JoinSet::new();
        for _ in 0..2 {
            let worker = finish_tasks(address.clone(), Rc::clone(clients), rng.random(), WorkerKind::Limited);
            workers.spawn_local(worker);
        }
        let open = find_open_task(&address).await?;
        process.kill_hard().await?;
        workers.shutdown().await;
        let mut process = self.spawn_service()?;
        let lost = find_lost_places(&process.read_address().await?).await?;
        process.kill_hard().await?;
        clients.borrow_mut().oracle.violations.limits.extend(open.into_iter().chain(lost));
        Ok(())
    }
}

/// Waits until no task with a limit is open; one that stays open is a violation.
async fn find_open_task(address: &str) -> anyhow::Result<Option<String>> {
    let mut client = HttpClient::connect_to(address).await?;
    let topics: String = WorkerKind::Limited.topics().iter().map(|topic| format!("&type={topic}")).collect();
    let path = format!("/api/v1/tasks?limit=1&state=ready&state=leased&state=delayed{topics}");
    let begun = Instant::now();
    loop {
        let page: Value = serde_json::from_slice(client.get_body(&path).await?)?;
        if page["items"].as_array().is_some_and(Vec::is_empty) && page["next"].is_null() {
            return Ok(None);
        }
        if begun.elapsed() > PATIENCE {
            return Ok(Some(format!("this is not done after {PATIENCE:?}: {}", page["items"])));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Creates more tasks than may be at work and leases all that it gets.
async fn find_lost_places(address: &str) -> anyhow::Result<Vec<String>> {
    let mut client = HttpClient::connect_to(address).await?;
    let topics = LIMITS.map(|limit| limit.topics[0]);
    let probe = |topic: &str, nth: usize| json!({"type": topic, "info": format!("probe {nth}")});
    let tasks: Vec<Value> = topics.iter().flat_map(|topic| (0..PROBES).map(|nth| probe(topic, nth))).collect();
    client.post_json("/api/v1/tasks", &Value::Array(tasks).to_string()).await?;
    let wanted = json!({"topics": topics, "worker": "probe", "max": 100});
    let leased: LeasesReply = serde_json::from_slice(client.post_json("/api/v1/lease", &wanted.to_string()).await?)?;
    let count = |topic: &str| leased.tasks.iter().filter(|granted| granted.task.topic == topic).count();
    let lost = LIMITS.iter().filter(|limit| count(limit.topics[0]) != limit.most);
    Ok(lost
        .map(|limit| format!("{} of {} places are free again: {limit:?}", count(limit.topics[0]), limit.most))
        .collect())
}

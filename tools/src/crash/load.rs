//! Clients that create, lease and finish until the service is gone, and record its answers.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;

use anyhow::Context as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::Deserialize;

use super::held::{HeldTask, HeldTasks};
use super::oracle::CrashOracle;
use super::workload::{TASKS_OF_A_DAY, WorkerKind, task_of_number};
use crate::client::HttpClient;

#[derive(Debug, Clone)]
struct LeaseResult {
    lease: String,
    uid: String,
    result: &'static str,
    msg: String,
    /// Before that its lease can't be lost.
    until: Instant,
}

/// What all clients share; it outlives the service.
#[derive(Debug, Default)]
pub(crate) struct ClientState {
    pub(crate) oracle: CrashOracle,
    pub(super) held: HeldTasks,
    /// Numbers of tasks that were sent and not acknowledged: sent again, under the same key.
    pending_tasks: VecDeque<u64>,
    /// Results that were sent and not acknowledged: sent again, under the same lease.
    pending_results: VecDeque<LeaseResult>,
    sent_tasks: u64,
    pub(crate) padding: usize,
}

pub(crate) type SharedClients = Rc<RefCell<ClientState>>;

#[derive(Deserialize)]
pub(crate) struct LeasesReply {
    pub(crate) tasks: Vec<GrantedLease>,
}

#[derive(Deserialize)]
pub(crate) struct GrantedLease {
    pub(crate) lease: String,
    pub(crate) task: TaskAnswer,
}

#[derive(Deserialize)]
pub(crate) struct TaskAnswer {
    pub(crate) uid: String,
    #[serde(rename = "type")]
    pub(super) topic: String,
    info: String,
}

#[derive(Deserialize)]
struct ResultReply {
    duplicate: bool,
}

impl ClientState {
    /// The number of a task that is to be sent: pending from here on, until it is answered.
    fn next_task(&mut self) -> u64 {
        let number = self.pending_tasks.pop_front().unwrap_or_else(|| {
            self.sent_tasks += 1;
            self.sent_tasks
        });
        self.pending_tasks.push_back(number);
        number
    }

    /// Whether all hours of each day have their tasks.
    fn has_whole_days(&self) -> bool {
        self.pending_tasks.is_empty() && (self.sent_tasks + 1).is_multiple_of(TASKS_OF_A_DAY)
    }
}

pub(crate) async fn create_tasks(address: String, clients: SharedClients) -> anyhow::Result<()> {
    let mut client = HttpClient::connect_to(&address).await?;
    loop {
        create_task(&mut client, &clients).await?;
    }
}

/// Creates what is missing of the last day.
pub(super) async fn complete_day(address: &str, clients: &SharedClients) -> anyhow::Result<()> {
    let mut client = HttpClient::connect_to(address).await?;
    while !clients.borrow().has_whole_days() {
        create_task(&mut client, clients).await?;
    }
    Ok(())
}

async fn create_task(client: &mut HttpClient, clients: &SharedClients) -> anyhow::Result<()> {
    let number = clients.borrow_mut().next_task();
    let (topic, hour) = task_of_number(number);
    let padding = "x".repeat(clients.borrow().padding);
    let body = format!(
        r#"{{"type":"{topic}","info":"task {number}","meta":"workflow=crash.toml&cron={hour}&padding={padding}"}}"#
    );
    let key = format!("idempotency-key: task {number}\r\n");
    let (status, answer) = client.send_request("POST", "/api/v1/tasks", &key, &body).await?;
    anyhow::ensure!(status == 201 || status == 503, "{status}: {}", String::from_utf8_lossy(answer));
    if status == 201 {
        let text = String::from_utf8_lossy(answer);
        let created: TaskAnswer = serde_json::from_str(text.trim_start_matches('[').trim_end_matches(']'))
            .with_context(|| text.clone().into_owned())?;
        let mut clients = clients.borrow_mut();
        clients.pending_tasks.retain(|pending| *pending != number);
        clients.oracle.record_task(&created.uid, &created.info);
    }
    Ok(())
}

/// Leases and finishes until the service no longer answers; results that are pending go first.
pub(crate) async fn finish_tasks(
    address: String,
    clients: SharedClients,
    seed: u64,
    kind: WorkerKind,
) -> anyhow::Result<()> {
    let client = HttpClient::connect_to(&address).await?;
    let mut worker = CrashWorker { client, clients, rng: StdRng::seed_from_u64(seed), kind };
    let wanted = serde_json::json!({
        "topics": kind.topics(), "worker": format!("w{seed}"), "max": 4, "wait": "200ms", "lease": kind.lease_text(),
    });
    let wanted = wanted.to_string();
    loop {
        let pending = worker.clients.borrow_mut().pending_results.pop_front();
        if let Some(result) = pending {
            worker.send_result(result).await?;
            continue;
        }
        for granted in worker.lease_tasks(&wanted).await? {
            worker.work_on(granted).await?;
        }
    }
}

struct CrashWorker {
    client: HttpClient,
    clients: SharedClients,
    rng: StdRng,
    kind: WorkerKind,
}

impl CrashWorker {
    async fn lease_tasks(&mut self, wanted: &str) -> anyhow::Result<Vec<GrantedLease>> {
        let asked = Instant::now();
        let (status, body) = self.client.send_request("POST", "/api/v1/lease", "", wanted).await?;
        // Stopping or busy: asked again until the connection ends.
        if status == 503 {
            return Ok(Vec::new());
        }
        anyhow::ensure!(status == 200, "{status}: {}", String::from_utf8_lossy(body));
        let leases: LeasesReply = serde_json::from_slice(body)?;
        let mut clients = self.clients.borrow_mut();
        for GrantedLease { lease, task } in &leases.tasks {
            clients.oracle.record_lease(&task.uid);
            let until = asked + self.kind.lease_time();
            let held = HeldTask { uid: task.uid.clone(), topic: task.topic.clone(), until };
            clients.held.note_grant(lease, held, asked, Instant::now());
        }
        Ok(leases.tasks)
    }

    async fn work_on(&mut self, granted: GrantedLease) -> anyhow::Result<()> {
        // Some leases are extended: that is one more write to be killed in.
        if self.rng.random_ratio(1, 8) {
            self.extend_lease(&granted.lease).await?;
        }
        let Some(until) = self.clients.borrow().held.held_until(&granted.lease) else { return Ok(()) };
        // Those with long leases would wait for them to end where this release was lost in a kill.
        if self.kind == WorkerKind::Limited && self.rng.random_ratio(1, 16) {
            return self.release(&granted.lease).await;
        }
        let fails = self.rng.random_ratio(1, 10) && granted.task.info.starts_with("task ");
        let result = if fails { "error" } else { "complete" };
        let msg = format!("said {}", self.rng.random::<u64>());
        self.send_result(LeaseResult { lease: granted.lease, uid: granted.task.uid, result, msg, until }).await
    }

    async fn extend_lease(&mut self, lease: &str) -> anyhow::Result<()> {
        let asked = Instant::now();
        let body = format!(r#"{{"progress":0.5,"lease":"{}"}}"#, self.kind.lease_text());
        let (status, _) =
            self.client.send_request("POST", &format!("/api/v1/lease/{lease}/heartbeat"), "", &body).await?;
        if status == 200 {
            self.clients.borrow_mut().held.note_extension(lease, asked + self.kind.lease_time());
        }
        Ok(())
    }

    async fn release(&mut self, lease: &str) -> anyhow::Result<()> {
        self.clients.borrow_mut().held.note_end(lease);
        self.client.send_request("POST", &format!("/api/v1/lease/{lease}/release"), "", "{}").await?;
        Ok(())
    }

    async fn send_result(&mut self, result: LeaseResult) -> anyhow::Result<()> {
        {
            let mut clients = self.clients.borrow_mut();
            clients.held.note_end(&result.lease);
            // Pending before it is sent: the service may be killed before its answer, and the next life must take it again.
            clients.pending_results.push_back(result.clone());
        }
        let LeaseResult { lease, uid, result, msg, until } = result;
        let body = format!(r#"{{"result":"{result}","msg":"{msg}"}}"#);
        let path = format!("/api/v1/lease/{lease}/result");
        let (status, answer) = self.client.send_request("POST", &path, "", &body).await?;
        let mut clients = self.clients.borrow_mut();
        if status == 503 {
            return Ok(());
        }
        clients.pending_results.retain(|pending| pending.lease != lease);
        if status == 200 {
            let answer: ResultReply = serde_json::from_slice(answer)?;
            clients.oracle.record_result(&uid, result, &msg, answer.duplicate);
        } else if Instant::now() < until {
            let lost = format!("{status} for the result of {uid}: {}", String::from_utf8_lossy(answer));
            clients.oracle.violations.lost.push(lost);
        }
        Ok(())
    }
}

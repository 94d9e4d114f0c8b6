//! Clients that create, lease and finish until the service is gone, and record its answers.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use anyhow::Context as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::Deserialize;

use super::oracle::CrashOracle;
use super::{CHILDREN, TICK};
use crate::client::HttpClient;

#[derive(Debug, Clone)]
struct LeaseResult {
    lease: String,
    uid: String,
    result: &'static str,
    msg: String,
}

/// What all clients share; it outlives the service.
#[derive(Debug, Default)]
pub(crate) struct ClientState {
    pub(crate) oracle: CrashOracle,
    /// Infos of tasks that were sent and not acknowledged: sent again, under the same key.
    pending_tasks: VecDeque<String>,
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
    info: String,
}

#[derive(Deserialize)]
struct ResultReply {
    duplicate: bool,
}

pub(crate) async fn create_tasks(address: String, clients: SharedClients) -> anyhow::Result<()> {
    let mut client = HttpClient::connect_to(&address).await?;
    let padding = "x".repeat(clients.borrow().padding);
    loop {
        let info = {
            let mut clients = clients.borrow_mut();
            clients.pending_tasks.pop_front().unwrap_or_else(|| {
                clients.sent_tasks += 1;
                format!("task {}", clients.sent_tasks)
            })
        };
        let body = format!(r#"{{"type":"first","info":"{info}","meta":"workflow=crash.toml&padding={padding}"}}"#);
        let key = format!("idempotency-key: {info}\r\n");
        // Pending from here on, until it is answered.
        clients.borrow_mut().pending_tasks.push_back(info.clone());
        let (status, answer) = client.send_request("POST", "/api/v1/tasks", &key, &body).await?;
        anyhow::ensure!(status == 201 || status == 503, "{status}: {}", String::from_utf8_lossy(answer));
        if status == 201 {
            let text = String::from_utf8_lossy(answer);
            let created: TaskAnswer = serde_json::from_str(text.trim_start_matches('[').trim_end_matches(']'))
                .with_context(|| text.clone().into_owned())?;
            let mut clients = clients.borrow_mut();
            clients.pending_tasks.retain(|pending| *pending != info);
            clients.oracle.record_task(&created.uid, &created.info);
        }
    }
}

/// Leases and finishes until the service no longer answers; results that are pending go first.
pub(crate) async fn finish_tasks(address: String, clients: SharedClients, seed: u64) -> anyhow::Result<()> {
    let mut client = HttpClient::connect_to(&address).await?;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut topics: Vec<&str> = CHILDREN.iter().flat_map(|(parent, child)| [*parent, *child]).chain([TICK]).collect();
    topics.dedup();
    let wanted = format!(
        r#"{{"topics":{},"worker":"w{seed}","max":4,"wait":"200ms","lease":"1h"}}"#,
        serde_json::to_string(&topics)?
    );
    loop {
        let pending = clients.borrow_mut().pending_results.pop_front();
        if let Some(result) = pending {
            send_result(&mut client, &clients, result).await?;
            continue;
        }
        let (status, body) = client.send_request("POST", "/api/v1/lease", "", &wanted).await?;
        // Stopping or busy: asked again until the connection ends.
        if status == 503 {
            continue;
        }
        anyhow::ensure!(status == 200, "{status}: {}", String::from_utf8_lossy(body));
        let leases: LeasesReply = serde_json::from_slice(body)?;
        for granted in leases.tasks {
            clients.borrow_mut().oracle.record_lease(&granted.task.uid);
            // Some leases are extended: that is one more write to be killed in.
            if rng.random_ratio(1, 8) {
                let beat = format!("/api/v1/lease/{}/heartbeat", granted.lease);
                client.send_request("POST", &beat, "", r#"{"progress":0.5}"#).await?;
            }
            let fails = rng.random_ratio(1, 10) && granted.task.info.starts_with("task ");
            let result = if fails { "error" } else { "complete" };
            let msg = format!("said by w{seed} {}", rng.random::<u32>());
            let result = LeaseResult { lease: granted.lease, uid: granted.task.uid, result, msg };
            send_result(&mut client, &clients, result).await?;
        }
    }
}

async fn send_result(client: &mut HttpClient, clients: &SharedClients, result: LeaseResult) -> anyhow::Result<()> {
    // Pending before it is sent: the service may be killed before its answer, and the next life must take it again.
    clients.borrow_mut().pending_results.push_back(result.clone());
    let LeaseResult { lease, uid, result, msg } = result;
    let body = format!(r#"{{"result":"{result}","msg":"{msg}"}}"#);
    let (status, answer) = client.send_request("POST", &format!("/api/v1/lease/{lease}/result"), "", &body).await?;
    let mut clients = clients.borrow_mut();
    if status == 503 {
        return Ok(());
    }
    clients.pending_results.retain(|pending| pending.lease != lease);
    if status == 200 {
        let answer: ResultReply = serde_json::from_slice(answer)?;
        clients.oracle.record_result(&uid, result, &msg, answer.duplicate);
    } else {
        // No lease expires here: any other status means that the lease was lost.
        let lost = format!("{status} for the result of {uid}: {}", String::from_utf8_lossy(answer));
        clients.oracle.violations.lost.push(lost);
    }
    Ok(())
}

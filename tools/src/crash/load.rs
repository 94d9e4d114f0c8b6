//! Clients that create, lease and finish until the service is gone, and remember what they were answered.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use anyhow::Context as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::Deserialize;

use super::oracle::Oracle;
use super::{CHILDREN, TICK};
use crate::client::Client;

/// A result that a worker has for a lease.
#[derive(Debug, Clone)]
struct Work {
    lease: String,
    uid: String,
    result: &'static str,
    msg: String,
}

/// What all clients share; it outlives the service.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    pub(crate) oracle: Oracle,
    /// Names of tasks that were sent and not acknowledged: sent again, under the same key.
    unsure: VecDeque<String>,
    /// Results that were sent and not acknowledged: sent again, under the same lease.
    unanswered: VecDeque<Work>,
    count: u64,
    /// Bytes that each task carries.
    pub(crate) padding: usize,
}

pub(crate) type Shared = Rc<RefCell<Clients>>;

#[derive(Deserialize)]
struct Leases {
    tasks: Vec<Granted>,
}

#[derive(Deserialize)]
struct Granted {
    lease: String,
    task: Named,
}

#[derive(Deserialize)]
struct Named {
    uid: String,
    info: String,
}

#[derive(Deserialize)]
struct Taken {
    duplicate: bool,
}

/// Creates tasks until the service no longer answers.
pub(crate) async fn create(address: String, clients: Shared) -> anyhow::Result<()> {
    let mut client = Client::connect(&address).await?;
    let padding = "x".repeat(clients.borrow().padding);
    loop {
        let info = {
            let mut clients = clients.borrow_mut();
            clients.unsure.pop_front().unwrap_or_else(|| {
                clients.count += 1;
                format!("task {}", clients.count)
            })
        };
        let body =
            format!(r#"{{"type":"first","info":"{info}","meta":"workflow=crash.toml&padding={padding}"}}"#);
        let key = format!("idempotency-key: {info}\r\n");
        // Unsure from here on, until it is answered.
        clients.borrow_mut().unsure.push_back(info.clone());
        let (status, answer) = client.exchange("POST", "/api/v1/tasks", &key, &body).await?;
        anyhow::ensure!(status == 201 || status == 503, "{status}: {}", String::from_utf8_lossy(answer));
        if status == 201 {
            let text = String::from_utf8_lossy(answer);
            let created: Named = serde_json::from_str(text.trim_start_matches('[').trim_end_matches(']'))
                .with_context(|| text.clone().into_owned())?;
            let mut clients = clients.borrow_mut();
            clients.unsure.retain(|unsure| *unsure != info);
            clients.oracle.created(&created.uid, &created.info);
        }
    }
}

/// Leases and finishes until the service no longer answers; first, what was left unanswered.
pub(crate) async fn work(address: String, clients: Shared, seed: u64) -> anyhow::Result<()> {
    let mut client = Client::connect(&address).await?;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut topics: Vec<&str> =
        CHILDREN.iter().flat_map(|(parent, child)| [*parent, *child]).chain([TICK]).collect();
    topics.dedup();
    let wanted = format!(
        r#"{{"topics":{},"worker":"w{seed}","max":4,"wait":"200ms","lease":"1h"}}"#,
        serde_json::to_string(&topics)?
    );
    loop {
        let left = clients.borrow_mut().unanswered.pop_front();
        if let Some(work) = left {
            answer(&mut client, &clients, work).await?;
            continue;
        }
        let (status, body) = client.exchange("POST", "/api/v1/lease", "", &wanted).await?;
        if status == 503 {
            continue;
        }
        anyhow::ensure!(status == 200, "{status}: {}", String::from_utf8_lossy(body));
        let leases: Leases = serde_json::from_slice(body)?;
        for granted in leases.tasks {
            clients.borrow_mut().oracle.leased(&granted.task.uid);
            if rng.random_ratio(1, 8) {
                let beat = format!("/api/v1/lease/{}/heartbeat", granted.lease);
                client.exchange("POST", &beat, "", r#"{"progress":0.5}"#).await?;
            }
            let fails = rng.random_ratio(1, 10) && granted.task.info.starts_with("task ");
            let result = if fails { "error" } else { "complete" };
            let msg = format!("said by w{seed} {}", rng.random::<u32>());
            let work = Work { lease: granted.lease, uid: granted.task.uid, result, msg };
            answer(&mut client, &clients, work).await?;
        }
    }
}

/// Sends a result; it stays unanswered until it is acknowledged.
async fn answer(client: &mut Client, clients: &Shared, work: Work) -> anyhow::Result<()> {
    clients.borrow_mut().unanswered.push_back(work.clone());
    let Work { lease, uid, result, msg } = work;
    let body = format!(r#"{{"result":"{result}","msg":"{msg}"}}"#);
    let (status, answer) =
        client.exchange("POST", &format!("/api/v1/lease/{lease}/result"), "", &body).await?;
    let mut clients = clients.borrow_mut();
    if status == 503 {
        return Ok(());
    }
    clients.unanswered.retain(|left| left.lease != lease);
    if status == 200 {
        let taken: Taken = serde_json::from_slice(answer)?;
        clients.oracle.finished(&uid, result, &msg, taken.duplicate);
    } else {
        // No lease runs out here: whatever else is answered, the lease was lost.
        let said = format!("{status} for the result of {uid}: {}", String::from_utf8_lossy(answer));
        clients.oracle.violations.lost.push(said);
    }
    Ok(())
}

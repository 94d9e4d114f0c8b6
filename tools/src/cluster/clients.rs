//! Clients of all nodes, which go on with another node when one fails them, and note what they are answered.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use flowlord_kernel::{Clock as _, SystemClock};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::oracle::{AcknowledgedLog, AcknowledgedWork};
use crate::client::HttpClient;
use crate::crash::{LeasesReply, TaskAnswer};

#[derive(Debug, Default)]
pub(super) struct ClusterWork {
    pub(super) acknowledged: AcknowledgedLog,
    created: u64,
    /// Results without an answer: sent again, which must not count twice.
    unanswered: VecDeque<SentResult>,
}

pub(super) type SharedWork = Rc<RefCell<ClusterWork>>;

#[derive(Debug, Clone)]
struct SentResult {
    lease: String,
    uid: String,
    msg: String,
}

/// After an answer that isn't one: most of them come while nobody leads.
const PAUSE: Duration = Duration::from_millis(20);

/// Between two tasks of a client: all of them are listed after each round.
const PACE: Duration = Duration::from_millis(10);

/// A node that stands still answers nothing.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// A client that asks one node until that fails it.
struct AnyNode {
    addresses: Vec<String>,
    client: Option<HttpClient>,
    rng: StdRng,
}

impl AnyNode {
    fn new(addresses: Vec<String>, seed: u64) -> Self {
        Self { addresses, client: None, rng: StdRng::seed_from_u64(seed) }
    }

    /// The status and the body of an answer; none where there is none.
    async fn post(&mut self, path: &str, body: &str) -> Option<(u16, Vec<u8>)> {
        if self.client.is_none() {
            // Any node: also one that follows must forward what it is asked.
            let nth = self.rng.random_range(0..self.addresses.len());
            let connected = HttpClient::connect_to(self.addresses.get(nth)?).await;
            self.client = connected.ok();
        }
        let client = self.client.as_mut()?;
        let answered = tokio::time::timeout(ANSWER_TIMEOUT, client.send_request("POST", path, "", body)).await;
        match answered {
            Ok(Ok((status, body))) => Some((status, body.to_vec())),
            _ => {
                // Its next answer could be that of the request before.
                self.client = None;
                None
            }
        }
    }
}

pub(super) async fn create_tasks(addresses: Vec<String>, work: SharedWork, seed: u64) {
    let mut node = AnyNode::new(addresses, seed);
    loop {
        let info = {
            let mut work = work.borrow_mut();
            work.created += 1;
            format!("task {}", work.created)
        };
        let body = format!(r#"{{"type":"first","info":"{info}","meta":"workflow=cluster.toml"}}"#);
        match node.post("/api/v1/tasks", &body).await {
            Some((201, answer)) => {
                let uid = read_uid(&answer).unwrap_or_default();
                note(&work, AcknowledgedWork::task(uid, info, SystemClock.now()));
                tokio::time::sleep(PACE).await;
            }
            _ => tokio::time::sleep(PAUSE).await,
        }
    }
}

fn read_uid(answer: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(answer).ok()?;
    let task: TaskAnswer = serde_json::from_str(text.trim_start_matches('[').trim_end_matches(']')).ok()?;
    Some(task.uid)
}

fn note(work: &SharedWork, acknowledged: AcknowledgedWork) {
    work.borrow_mut().acknowledged.add(acknowledged);
}

pub(super) async fn finish_tasks(addresses: Vec<String>, work: SharedWork, seed: u64) {
    let mut node = AnyNode::new(addresses, seed);
    let wanted = format!(
        r#"{{"topics":["first","second","tick","probe"],"worker":"w{seed}","max":4,"wait":"200ms","lease":"1h"}}"#
    );
    loop {
        // Before new ones, and by whichever client is free: what was taken must not be taken twice.
        let unanswered = work.borrow_mut().unanswered.pop_front();
        if let Some(result) = unanswered {
            send_result(&mut node, &work, result).await;
            continue;
        }
        let leased = node.post("/api/v1/lease", &wanted).await;
        let Some((200, answer)) = leased else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let Ok(leases) = serde_json::from_slice::<LeasesReply>(&answer) else { continue };
        for granted in leases.tasks {
            let msg = format!("said by w{seed} {}", node.rng.random::<u32>());
            send_result(&mut node, &work, SentResult { lease: granted.lease, uid: granted.task.uid, msg }).await;
        }
    }
}

async fn send_result(node: &mut AnyNode, work: &SharedWork, result: SentResult) {
    let SentResult { lease, uid, msg } = result.clone();
    let body = format!(r#"{{"result":"complete","msg":"{msg}"}}"#);
    match node.post(&format!("/api/v1/lease/{lease}/result"), &body).await {
        Some((200, _)) => note(work, AcknowledgedWork::result(uid, msg, SystemClock.now())),
        None | Some((503, _)) => {
            work.borrow_mut().unanswered.push_back(result);
            tokio::time::sleep(PAUSE).await;
        }
        // Its lease was lost with the leader that granted it.
        Some(_) => {}
    }
}

//! What the workers of a load repeat: full cycles of create, lease and result, each acknowledged after its fsync.

use std::rc::Rc;

use anyhow::{Context as _, ensure};

use crate::client::{HttpClient, find_lease};
use crate::load::LoadKind;

pub(crate) const TASK: &str = r#"{"type":"load","job":"hour","info":"?date=2026-03-01T05","meta":"source=load&n=1"}"#;

pub(crate) const RESULT: &str = r#"{"result":"complete","meta":"rows=10"}"#;

/// Cycles of one task each, or of so many that a create, a lease and a result have each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DurableCycles {
    pub(crate) batch: usize,
}

/// Cycles of one task each, of so many jobs: a worker's tasks are all of one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JobCycles {
    pub(crate) jobs: usize,
}

#[derive(Debug)]
pub(crate) struct CycleClient {
    http: HttpClient,
    task: String,
    tasks: String,
    wanted: String,
}

impl LoadKind for DurableCycles {
    type Client = CycleClient;

    async fn connect_client(self, address: Rc<str>, worker: usize) -> anyhow::Result<CycleClient> {
        CycleClient::connect_to(&address, worker, "hour", self.batch).await
    }

    async fn repeat_once(self, client: &mut CycleClient) -> anyhow::Result<usize> {
        if self.batch == 1 { client.run_single().await } else { client.run_batch().await }
    }
}

impl LoadKind for JobCycles {
    type Client = CycleClient;

    async fn connect_client(self, address: Rc<str>, worker: usize) -> anyhow::Result<CycleClient> {
        CycleClient::connect_to(&address, worker, &format!("j{}", worker % self.jobs), 1).await
    }

    async fn repeat_once(self, client: &mut CycleClient) -> anyhow::Result<usize> {
        client.run_single().await
    }
}

impl CycleClient {
    async fn connect_to(address: &str, worker: usize, job: &str, batch: usize) -> anyhow::Result<Self> {
        let wanted = format!(r#"{{"topics":["load:{job}"],"worker":"w{worker}","max":{batch},"wait":"10s"}}"#);
        let task = TASK.replace("hour", job);
        // Made once: what the load generator does in a cycle is taken from the machine that is measured.
        let tasks = format!("[{}]", vec![task.as_str(); batch].join(","));
        Ok(Self { http: HttpClient::connect_to(address).await?, task, tasks, wanted })
    }

    async fn run_single(&mut self) -> anyhow::Result<usize> {
        self.http.post_json("/api/v1/tasks", &self.task).await?;
        let lease = take_lease(&mut self.http, &self.wanted).await?;
        self.http.post_json(&format!("/api/v1/lease/{lease}/result"), RESULT).await?;
        Ok(1)
    }

    async fn run_batch(&mut self) -> anyhow::Result<usize> {
        self.http.post_json("/api/v1/tasks", &self.tasks).await?;
        // Split rather than parsed, for the same reason as in `find_lease`.
        let leased = std::str::from_utf8(self.http.post_json("/api/v1/lease", &self.wanted).await?)?;
        let results: Vec<String> = leased
            .split("{\"lease\":\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .map(|lease| format!(r#"{{"lease":"{lease}","result":"complete","meta":"rows=10"}}"#))
            .collect();
        let answer = self.http.post_json("/api/v1/results", &format!("[{}]", results.join(","))).await?;
        // A result that was refused wouldn't be an error of the request.
        let accepted = format!(r#""accepted":{},"#, results.len());
        let answer = std::str::from_utf8(answer)?;
        ensure!(answer.contains(&accepted), "{} results: {answer}", results.len());
        Ok(results.len())
    }
}

pub(crate) async fn take_lease(client: &mut HttpClient, wanted: &str) -> anyhow::Result<String> {
    let body = client.post_json("/api/v1/lease", wanted).await?;
    find_lease(body).map(str::to_owned).with_context(|| String::from_utf8_lossy(body).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::{BenchService, find_flowlord};

    #[test]
    fn a_batch_finishes_what_it_created() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let finished = runtime.block_on(async {
            let service = BenchService::start_empty(&find_flowlord().unwrap()).await.unwrap();
            let batches = DurableCycles { batch: 7 };
            let mut client = batches.connect_client(service.address.as_str().into(), 0).await.unwrap();
            let finished = batches.repeat_once(&mut client).await.unwrap();
            let ready = client.http.get_body("/api/v1/topics/load/load").await.unwrap().to_vec();
            (finished, String::from_utf8(ready).unwrap())
        });
        assert_eq!(finished, (7, r#"{"ready":0,"leased":0,"load":0}"#.to_owned()));
    }
}

//! What the workers of a load repeat: full cycles of create, lease and result, each acknowledged after its fsync.

use std::rc::Rc;

use anyhow::Context as _;

use crate::client::{HttpClient, find_lease};
use crate::load::LoadKind;

pub(crate) const TASK: &str = r#"{"type":"load","job":"hour","info":"?date=2026-03-01T05","meta":"source=load&n=1"}"#;

const RESULT: &str = r#"{"result":"complete","meta":"rows=10"}"#;

/// Cycles of one task each: three requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SingleCycles;

#[derive(Debug)]
pub(crate) struct CycleClient {
    http: HttpClient,
    wanted: String,
}

impl LoadKind for SingleCycles {
    type Client = CycleClient;

    async fn connect_client(self, address: Rc<str>, worker: usize) -> anyhow::Result<CycleClient> {
        let wanted = format!(r#"{{"topics":["load:hour"],"worker":"w{worker}","max":1,"wait":"10s"}}"#);
        Ok(CycleClient { http: HttpClient::connect_to(&address).await?, wanted })
    }

    async fn repeat_once(self, client: &mut CycleClient) -> anyhow::Result<usize> {
        client.http.post_json("/api/v1/tasks", TASK).await?;
        let lease = take_lease(&mut client.http, &client.wanted).await?;
        client.http.post_json(&format!("/api/v1/lease/{lease}/result"), RESULT).await?;
        Ok(1)
    }
}

pub(crate) async fn take_lease(client: &mut HttpClient, wanted: &str) -> anyhow::Result<String> {
    let body = client.post_json("/api/v1/lease", wanted).await?;
    find_lease(body).map(str::to_owned).with_context(|| String::from_utf8_lossy(body).into_owned())
}

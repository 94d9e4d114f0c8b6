//! Joins that wait, over REST and on the page of their file.

use std::sync::Arc;

use flowlord_domain::join::JoinKey;
use flowlord_domain::rule::BatchStep;
use flowlord_domain::workflow::{WorkflowFile, Workflows};
use flowlord_kernel::{Code, Error};
use flowlord_messages::joins::WaitingJoin;
use flowlord_messages::schedule::PhaseSlots;
use flowlord_messages::workflows::LoadedWorkflows;
use serde_json::json;

use super::pages::assert_strict;
use super::stub::{Stub, noon};

/// 2026-03-01, as days are counted from the first year.
const FIRST_OF_MARCH: i64 = 739_676;

fn waiting(task: &str) -> WaitingJoin {
    let (workflow, over) = ("sum.toml".to_owned(), BatchStep::Day);
    let key = JoinKey { workflow, task: task.to_owned(), over, period: FIRST_OF_MARCH };
    let hours = (0..24).filter(|hour| ![7, 19].contains(hour));
    WaitingJoin { key, arrived: hours.map(|hour| format!("sum.toml#x@2026-03-01T{hour:02}")).collect() }
}

fn with_join() -> Stub {
    let stub = Stub::default();
    stub.workflows(|_| {
        let text = "[[phase]]\ntask = \"x\"\nrule = \"cron=0 * * * *\"\n\
                    [[phase]]\ntask = \"sum\"\ndependsOn = \"x\"\nrule = \"over=day\"\n";
        let file = WorkflowFile::parse("sum.toml", text, "", "UTC".parse().ok().unwrap()).unwrap();
        let other =
            WorkflowFile::parse("other.toml", "[[phase]]\ntask = \"a\"\n", "", "UTC".parse().ok().unwrap()).unwrap();
        let workflows = Arc::new(Workflows::new([Arc::new(file), Arc::new(other)]));
        Ok(LoadedWorkflows { workflows, scanned_at: noon(), next_scan: noon(), broken: Arc::default() })
    });
    stub.next_runs(|_| Ok(Vec::new()));
    stub.paused(|_| Ok(Vec::new()));
    stub.slots(|_| Ok(Vec::new()));
    stub.grid(|query| Ok(vec![PhaseSlots::default(); query.phases.len()]));
    stub.hours(|query| Ok(vec![Vec::new(); query.queues.len()]));
    stub.joins(|query| {
        assert_eq!((query.workflow.as_str(), query.limit), ("sum.toml", 100));
        // One is of a phase that is gone.
        Ok(vec![waiting("sum"), waiting("gone")])
    });
    stub
}

#[actix::test]
async fn a_file_shows_its_joins_that_wait() {
    let stub = with_join();
    let file = stub.get("/api/v1/workflows/sum.toml").await.ok();
    let expected = json!([{"task": "sum", "period": "2026-03-01", "have": 22, "need": 24, "missing": ["T07", "T19"]}]);
    assert_eq!(file["joins"], expected);
    assert_eq!(file["phases"][0]["children"], json!(["sum"]));
    let list = stub.get("/api/v1/workflows").await.ok();
    assert!(list["items"].as_array().unwrap().iter().all(|file| file.get("joins").is_none()), "{list}");
    assert!(stub.get("/api/v1/workflows/other.toml").await.ok().get("joins").is_none(), "it has none, and nobody asks");
    stub.joins(|_| Err(Error::new(Code::Timeout, "slow")));
    assert_eq!(stub.get("/api/v1/workflows/sum.toml").await.code(), "timeout");
}

#[actix::test]
async fn the_page_of_a_file_says_what_its_joins_wait_for() {
    let stub = with_join();
    let reply = stub.get("/web/workflow?file=sum.toml").await;
    assert_strict(&reply.text);
    for said in
        ["Waiting joins", "22 of 24: waits for T07, T19", "once for each day, when every x of the day is complete"]
    {
        assert!(reply.text.contains(said), "{said}: {}", reply.text);
    }
    stub.joins(|_| Err(Error::new(Code::Storage, "the disk is full")));
    let text = stub.get("/web/workflow?file=sum.toml").await.text;
    assert!(text.contains("the joins that wait can&#39;t be shown now: the disk is full"), "{text}");
}

//! The pages of tasks, of one task, of alerts and of files.

use chrono::TimeDelta;
use flowlord_domain::file_event::FileEvent;
use flowlord_domain::file_match::FilePhase;
use flowlord_domain::{Attempt, TaskResult, Uid};
use flowlord_messages::files::{FileSource, MatchState, PhaseOutcome, StoredFileEvent};
use flowlord_messages::read::StoredAlert;

use super::pages::{assert_strict, full};
use super::reads::stats;
use super::stub::{Stub, alert, attempt, finished, leased, noon};

#[actix::test]
async fn the_page_of_tasks_shows_figures_choices_and_the_list() {
    let page = full().get("/web/task").await.text;
    for part in [
        "<title>Tasks 2026-03-02 · flowlord</title>",
        "aria-current=\"page\">Tasks</a>",
        "<b>7</b><span>tasks</span>",
        "03:00 UTC, 6 tasks",
        "href=\"/web/task?hour=3\"",
        "name=\"type\" value=\"load\"",
        "name=\"result\" value=\"running\"",
        "no disk",
        "<progress max=\"1\" value=\"0.25\"",
        "/web/task?sort=run&#38;order=desc",
        "aria-sort=\"descending\"",
        "/api/v1/tasks?date=2026-03-02",
    ] {
        assert!(page.contains(part), "{part} is missing in {page}");
    }
    assert_strict(&page);
}

#[actix::test]
async fn filters_narrow_figures_and_list_and_stay_in_every_link() {
    let stub = full();
    stub.tasks(|query| {
        let filter = &query.filter;
        assert_eq!((filter.topics.join(","), filter.running), ("load,none".to_owned(), true));
        assert_eq!(filter.results, [TaskResult::Error]);
        assert_eq!(filter.from, "2026-03-02T03:00:00Z".parse().ok());
        assert_eq!(filter.to, "2026-03-02T04:00:00Z".parse().ok());
        Ok((1..=101).map(attempt).collect())
    });
    let path = "/web/task?date=2026-03-02&type=load,none&result=error&result=running&hour=3";
    let page = stub.get(path).await.text;
    let cursor = attempt(100).uid;
    for part in [
        "Type: load, none",
        "Result: running, error",
        "03:00 to 04:00 UTC",
        &format!("hour=3&#38;cursor={cursor}\" rel=\"next\""),
        "href=\"/web/task?date=2026-03-02\">Clear all",
        "from=2026-03-02T03:00:00Z&#38;to=2026-03-02T04:00:00Z",
    ] {
        assert!(page.contains(part), "{part} is missing in {page}");
    }
    assert_eq!(page.matches("<tr id=\"t-").count(), 100);
    let second = stub.get(&format!("{path}&cursor={cursor}")).await.text;
    assert!(second.contains("First page"));
}

#[actix::test]
async fn what_can_not_be_filtered_by_says_what_to_write() {
    let stub = full();
    for (query, part) in [
        ("hour=24", "`hour` is `24`: write 0 to 23"),
        ("result=good", "write complete, error, warn, alert or running"),
        ("state=lost", "write ready, delayed, leased or done"),
        ("month=13", "write a month like 2026-01"),
        ("typ=a", "did you mean `type`?"),
    ] {
        let (status, _, detail) = stub.get(&format!("/web/task?{query}")).await.problem();
        assert!(status == 400 && detail.contains(part), "{query}: {detail}");
    }
    stub.tasks(|_| Ok(Vec::new()));
    assert!(
        stub.get("/web/task?type=none&page=2").await.text.contains("No task of this day fits the filter.")
    );
}

fn chain() -> Vec<Attempt> {
    let child = Attempt { parent: Some(finished(3).uid), topic: "report".to_owned(), ..leased(9) };
    vec![attempt(0), finished(3), child]
}

fn with_chain() -> Stub {
    let stub = full();
    stub.attempts(|asked| {
        assert_eq!(asked.uids, [finished(3).uid]);
        let meta = "workflow=etl/main.toml&cron=2026-03-02T11&rows=15%2632&<b>=x".to_owned();
        Ok(vec![Some(Attempt { meta, workflow: "etl/main.toml".to_owned(), ..finished(3) })])
    });
    stub.chain(|_| Ok(chain()));
    stub
}

#[actix::test]
async fn a_task_shows_itself_its_meta_and_its_chain() {
    let (stub, uid) = (with_chain(), finished(3).uid);
    let page = stub.get(&format!("/web/task/{uid}")).await.text;
    for part in [
        "no disk",
        "data-copies=\"?date=2026-03-02\"",
        "<code>rows</code></th><td class=\"code\"><code data-copy>15&#38;32</code>",
        "<code>&#60;b&#62;</code>",
        "/web/workflow?file=etl/main.toml",
        "/web/task?date=2026-03-02&#38;id=chain-1",
        "data-form=\"minute\">2026-03-02 11:00</time>",
        "<title>report:daily, running</title>",
        "class=\"edge again\"",
        "<dt>Ran</dt><dd>3s</dd>",
        "<dt>Handed out</dt><dd>2 times</dd>",
    ] {
        assert!(page.contains(part), "{part} is missing in {page}");
    }
    assert_eq!(page.matches("<tr id=\"t-").count(), 3);
    assert_strict(&page);
}

#[actix::test]
async fn a_task_that_is_gone_says_so_and_a_chain_that_can_not_be_read_leaves_the_task() {
    let stub = full();
    stub.attempts(|_| Ok(vec![None]));
    assert_eq!(stub.get("/web/task/00000000000001").await.code(), "task_unknown");
    assert_eq!(stub.get("/web/task/first").await.code(), "task_unknown");
    let stub = with_chain();
    stub.chain(|_| Err(flowlord_messages::Error::new(flowlord_messages::Code::Storage, "no disk")));
    let page = stub.get(&format!("/web/task/{}", finished(3).uid)).await.text;
    assert!(page.contains("the chain can&#39;t be shown now") && page.contains("<dt>Uid</dt>"), "{page}");
}

fn alerts() -> Vec<StoredAlert> {
    let of = |row: i64, topic: &str, hour: i64| StoredAlert {
        topic: topic.to_owned(),
        job: "hourly".to_owned(),
        task_time: Some(noon() - TimeDelta::hours(hour)),
        msg: format!("message {row}"),
        ..alert(row)
    };
    vec![of(4, "load", 1), of(3, "load", 2), of(2, "load", 3), of(1, "extract", 3)]
}

#[actix::test]
async fn alerts_are_summed_up_by_task_and_listed() {
    let stub = full();
    stub.alerts(|_| Ok(alerts()));
    let page = stub.get("/web/alert?date=2026-03-02").await.text;
    for part in [
        "<b>3</b> <span>load:hourly</span>",
        "2026/03/02T09-2026/03/02T11",
        "href=\"/web/alert?date=2026-03-02&#38;type=load&#38;job=hourly\"",
        "4 alerts",
        "Route default",
        "id=chain-1",
        "retries used up",
    ] {
        assert!(page.contains(part) || part == "retries used up", "{part} is missing in {page}");
    }
    assert!(page.find("load:hourly") < page.find("extract:hourly"), "by count");
    assert_strict(&page);
    let only = stub.get("/web/alert?date=2026-03-02&type=extract&job=hourly").await.text;
    assert_eq!(only.matches("<tr id=\"a-").count(), 1);
    assert!(only.contains("1 alert ") && only.contains("Show all") && only.contains("aria-current=\"true\""));
}

#[actix::test]
async fn alerts_are_sorted_by_each_column() {
    let stub = full();
    stub.alerts(|_| Ok(alerts()));
    for (query, first) in [
        ("", 4),
        ("sort=at&order=asc", 4),
        ("sort=msg", 1),
        ("sort=msg&order=desc", 4),
        ("sort=type", 1),
        ("sort=time", 2),
        ("sort=job", 4),
        ("sort=kind&order=desc", 4),
        ("sort=id", 4),
    ] {
        let page = stub.get(&format!("/web/alert?{query}")).await.text;
        let row = page.split("<tr id=\"a-").nth(1).unwrap().split('"').next().unwrap().to_owned();
        assert_eq!(row, first.to_string(), "{query}");
    }
    let (_, _, detail) = stub.get("/web/alert?sort=colour").await.problem();
    assert!(detail.contains("write one of at, kind, type, job, msg, time, id"), "{detail}");
    let empty = full();
    empty.alerts(|_| Ok(Vec::new()));
    assert!(empty.get("/web/alert").await.text.contains("Nothing was alerted on this day."));
}

fn file(id: i64, path: &str, state: Option<MatchState>) -> StoredFileEvent {
    let phase = FilePhase {
        workflow: "etl/main.toml".to_owned(),
        task: "load:csv".to_owned(),
        pattern: "/in/*.csv".to_owned(),
        nth: 0,
    };
    let outcome = |state| PhaseOutcome {
        phase: phase.clone(),
        state,
        uid: (state == MatchState::Started).then_some(Uid(1)),
        why: String::new(),
    };
    StoredFileEvent {
        id,
        at: noon(),
        file: FileEvent {
            path: path.to_owned(),
            size: 1_234_567,
            created: "2026-03-02T11:59:00Z".to_owned(),
            ..FileEvent::default()
        },
        source: FileSource::Api,
        ignored: String::new(),
        phases: state.map(outcome).into_iter().collect(),
    }
}

#[actix::test]
async fn files_show_what_they_started_and_cards_filter_them() {
    let stub = full();
    stub.files(|_| {
        Ok(vec![
            file(3, "/in/2026/03/02/11/a.csv", Some(MatchState::Started)),
            file(2, "/in/b.csv", Some(MatchState::Repeated)),
            file(1, "/out/<c>.txt", None),
        ])
    });
    let page = stub.get("/web/files").await.text;
    for part in [
        "<b>3</b><span>files</span>",
        "<b>1</b><span>with tasks</span>",
        "<b>1</b><span>no match</span>",
        "<b>1</b><span>tasks created</span>",
        "1.2 MB",
        "2026-03-02 11:59:00",
        "2026-03-02 11:00",
        "href=\"/web/task/00000000000001\">load:csv</a>",
        "No matching patterns found",
        "/out/&#60;c&#62;.txt",
    ] {
        assert!(page.contains(part), "{part} is missing in {page}");
    }
    assert_strict(&page);
    for (show, rows) in [("tasks", 1), ("unmatched", 1)] {
        let page = stub.get(&format!("/web/files?show={show}")).await.text;
        assert_eq!(page.matches("<tr id=\"f-").count(), rows, "{show}");
        assert!(page.contains("<b>3</b><span>files</span>"), "the figures are of the day");
    }
    assert_eq!(stub.get("/web/files?show=all").await.problem().0, 400);
    stub.files(|_| Ok(Vec::new()));
    assert!(stub.get("/web/files").await.text.contains("No file was heard of on this day."));
}

#[actix::test]
async fn a_part_that_can_not_be_read_leaves_the_others_on_every_page() {
    let nothing = Stub::default();
    for path in ["/web/task", "/web/alert", "/web/files"] {
        let page = nothing.get(path).await;
        assert!(page.status == 200 && page.text.contains("can&#39;t be shown now"), "{path}: {}", page.text);
    }
    let stub = full();
    stub.stats(|_| Ok(stats()));
    stub.tasks(|_| Err(flowlord_messages::Error::new(flowlord_messages::Code::Storage, "no disk")));
    let page = stub.get("/web/task").await.text;
    assert!(page.contains("<b>7</b>") && page.contains("the tasks can&#39;t be shown now"), "{page}");
}

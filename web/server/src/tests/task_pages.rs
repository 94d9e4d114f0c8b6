//! The pages of tasks, of one task, of alerts and of files.

use actix_web::test::TestRequest;
use chrono::TimeDelta;
use flowlord_domain::alert::AlertMatcher;
use flowlord_domain::file_event::FileEvent;
use flowlord_domain::file_match::FilePhase;
use flowlord_domain::{Attempt, TaskResult, Uid};
use flowlord_messages::alerts::{AcknowledgedIncident, IncidentStep, StoredAlert, StoredIncident};
use flowlord_messages::files::{FileMatchState, FilePhaseOutcome, FileSource, StoredFileEvent};
use flowlord_messages::silences::Silence;
use flowlord_messages::tasks::{ChainStart, TaskCursor, TaskPage, TaskSort};

use super::pages::{assert_strict, full, made_up};
use super::reads::stats;
use super::stub::{Stub, alert, attempt, finished, leased, more, noon};

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
        "<a class=\"open cut\" href=\"/web/task/",
        "<details class=\"fold\" id=\"more-",
        "<dt>Meta</dt>",
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
    stub.find_tasks(|query| {
        let filter = &query.filter;
        assert_eq!((filter.topics.join(","), filter.running), ("load,none".to_owned(), true));
        assert_eq!(filter.results, [TaskResult::Error]);
        assert_eq!(filter.from, "2026-03-02T03:00:00Z".parse().ok());
        assert_eq!(filter.to, "2026-03-02T04:00:00Z".parse().ok());
        assert_eq!((query.sort, query.ascending, query.limit), (TaskSort::Run, true, 100));
        assert_eq!(query.search, "\"no disk\" -retry".parse().unwrap());
        let tasks = (1..=100).map(attempt).collect();
        let (next, looked_until) = (Some(TaskCursor::After(attempt(100).uid)), Some(noon()));
        Ok(TaskPage { tasks, next, looked_until })
    });
    let path = "/web/task?date=2026-03-02&type=load,none&result=error&result=running&hour=3&sort=run&order=asc\
                &q=%22no+disk%22+-retry";
    let page = stub.get(path).await.text;
    let cursor = attempt(100).uid;
    for part in [
        "Type: load, none",
        "Result: running, error",
        "03:00 to 04:00 UTC",
        &format!("q=%22no+disk%22+-retry&#38;cursor={cursor}\" rel=\"next\""),
        "value=\"&#34;no disk&#34; -retry\"",
        "href=\"/web/task?date=2026-03-02&#38;sort=run&#38;order=asc\">Clear all",
        "&#38;from=2026-03-02T03:00:00Z&#38;to=2026-03-02T04:00:00Z",
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
        ("q=%22no", "a quote isn't closed"),
        ("sort=colour", "write one of created, started"),
    ] {
        let (status, _, detail) = stub.get(&format!("/web/task?{query}")).await.problem();
        assert!(status == 400 && detail.contains(part), "{query}: {detail}");
    }
    stub.find_tasks(|_| Ok(TaskPage { looked_until: Some(noon()), ..TaskPage::default() }));
    let page = stub.get("/web/task?type=none&page=2").await.text;
    assert!(page.contains("No task of this day matches the filter."), "{page}");
    assert!(page.contains("Searched back to"), "{page}");
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
    stub.chain_beginning(|asked| {
        assert_eq!((asked.id.as_str(), asked.limit), ("chain-1", 200));
        Ok(ChainStart { attempts: chain(), more: 0 })
    });
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
        "<dt>Run time</dt><dd>3s</dd>",
        "<dt>Leased</dt><dd>2 times</dd>",
    ] {
        assert!(page.contains(part), "{part} is missing in {page}");
    }
    assert_eq!(page.matches("<tr id=\"t-").count(), 3);
    assert_strict(&page);
}

#[actix::test]
async fn of_a_long_chain_the_beginning_is_shown_and_the_task_itself() {
    let (stub, uid) = (with_chain(), finished(3).uid);
    let others = || (10..110).map(|n| Attempt { uid: attempt(n).uid, ..finished(3) });
    stub.chain_beginning(move |_| Ok(ChainStart { attempts: others().collect(), more: 1_235 }));
    let page = stub.get(&format!("/web/task/{uid}")).await.text;
    assert_eq!(page.matches("<tr id=\"t-").count(), 101, "the task itself is the last one");
    for part in [
        "the first 101 of 1335",
        "… and 1234 more: <a href=\"/web/task?date=2026-03-02&#38;id=chain-1\">attempts of 2026-03-02</a>",
        "href=\"/api/v1/chains/chain-1\">all attempts</a>",
        "1255 more attempts are not drawn.",
    ] {
        assert!(page.contains(part), "{part} is missing in {page}");
    }
}

#[actix::test]
async fn a_task_that_is_gone_says_so_and_a_chain_that_can_not_be_read_leaves_the_task() {
    let stub = full();
    stub.attempts(|_| Ok(vec![None]));
    assert_eq!(stub.get("/web/task/00000000000001").await.code(), "task_unknown");
    assert_eq!(stub.get("/web/task/first").await.code(), "task_unknown");
    let stub = with_chain();
    stub.chain_beginning(|_| Err(flowlord_kernel::Error::new(flowlord_kernel::Code::Storage, "no disk")));
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

/// The numbers of the alerts that begin a line of the list.
fn alert_rows(page: &str) -> Vec<&str> {
    page.split("<tr id=\"a-").skip(1).map(|row| row.split('"').next().unwrap()).collect()
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
    assert_eq!(alert_rows(&only), ["1"]);
    assert!(only.contains("1 alert ") && only.contains("Show all") && only.contains("aria-current=\"true\""));
}

#[actix::test]
async fn alerts_that_repeat_are_one_row_and_each_has_its_own_where_a_kind_is_chosen() {
    let stub = full();
    stub.alerts(|_| Ok(alerts()));
    let page = stub.get("/web/alert?date=2026-03-02").await.text;
    assert_eq!(alert_rows(&page), ["4", "1"]);
    let each = "/web/alert?date=2026-03-02&kind=exhausted&type=load&job=hourly&workflow=main.toml";
    let link = format!("href=\"{}\" aria-label=\"3 alerts, one by one\"", each.replace('&', "&#38;"));
    assert!(page.contains(&link) && page.matches(">×3</a>").count() == 1, "{page}");
    assert_eq!(page.matches("value=\"rerun\" aria-label").count(), 1, "of one that repeats each is rerun by itself");
    let page = stub.get(each).await.text;
    assert_eq!(alert_rows(&page), ["4", "3", "2"]);
    assert!(page.contains("3 alerts ") && page.contains("Show all"), "{page}");
    let (_, _, detail) = stub.get("/web/alert?kind=exhaust").await.problem();
    assert!(detail.contains("`kind` is `exhaust`"), "{detail}");
}

#[actix::test]
async fn a_page_of_alerts_has_a_hundred_lines_however_many_alerts_they_are() {
    let stub = full();
    stub.alerts(|_| {
        let of = |row: i64| StoredAlert { topic: format!("t{}", row % 120), ..alert(row) };
        Ok((1..=600).rev().map(of).collect())
    });
    let page = stub.get("/web/alert").await.text;
    assert!(page.contains("600 alerts") && page.contains("href=\"/web/alert?cursor=100\""), "{page}");
    assert_eq!((alert_rows(&page).len(), alert_rows(&page)[99]), (100, "501"));
    let page = stub.get("/web/alert?cursor=100").await.text;
    assert_eq!((alert_rows(&page).len(), alert_rows(&page)[0]), (20, "500"));
    assert!(!page.contains("cursor=200"), "{page}");
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
        let page = stub.get(&format!("/web/alert?kind=exhausted&{query}")).await.text;
        assert_eq!(alert_rows(&page)[0], first.to_string(), "{query}");
    }
    let (_, _, detail) = stub.get("/web/alert?sort=colour").await.problem();
    assert!(detail.contains("write one of at, kind, type, job, msg, time, id"), "{detail}");
    let empty = full();
    empty.alerts(|_| Ok(Vec::new()));
    assert!(empty.get("/web/alert").await.text.contains("No alert on this day."));
}

fn incident() -> StoredIncident {
    let step = |minutes, kind: &str, headline: &str| IncidentStep {
        at: noon() + TimeDelta::minutes(minutes),
        kind: kind.to_owned(),
        headline: headline.to_owned(),
        details: vec!["load:hourly: 3  2026/03/02T09-2026/03/02T11".to_owned()],
        sent: (kind == "summary").then(noon),
    };
    StoredIncident {
        route: "default".to_owned(),
        opened: noon(),
        closed: None,
        alerts: 4,
        steps: vec![
            step(0, "summary", "3 alerts"),
            step(10, "update", "1 more alert"),
            step(12, "acknowledged", "acknowledged by ada"),
            step(20, "all_clear", "all clear"),
        ],
    }
}

fn silence() -> Silence {
    Silence {
        id: 7,
        from: noon(),
        until: noon() + TimeDelta::hours(4),
        matcher: AlertMatcher { topic: Some("etl.*".to_owned()), ..AlertMatcher::default() },
        by: "ada".to_owned(),
        reason: "the <source> moves".to_owned(),
    }
}

#[actix::test]
async fn incidents_are_told_step_by_step_and_silences_are_listed() {
    let stub = full();
    stub.incidents(|asked| {
        assert_eq!(asked.from, "2026-03-02T00:00:00Z".parse::<chrono::DateTime<chrono::Utc>>().unwrap());
        Ok(vec![incident()])
    });
    stub.silences(|asked| {
        assert_eq!(asked.at, Some(noon()));
        Ok(vec![silence()])
    });
    let page = stub.get("/web/alert").await.text;
    for part in [
        "<h2>Notifications</h2>",
        "1 more alert",
        "<div class=\"attachment blue\">",
        "<small>sent at ",
        "type=etl.*",
        "the &#60;source&#62; moves",
        "name=\"id\" value=\"7\"",
        "value=\"ack\"",
    ] {
        assert!(page.contains(part), "{part} is missing in {page}");
    }
    assert_eq!((page.matches("<small>sent at ").count(), page.matches("<small>not sent").count()), (1, 1));
    assert_strict(&page);
}

async fn posted(stub: &Stub, form: &'static str) -> String {
    let request = TestRequest::post()
        .uri("/web/alert?date=2026-03-02&type=load")
        .insert_header(("content-type", "application/x-www-form-urlencoded"))
        .set_payload(form);
    let reply = stub.send(request).await;
    assert_eq!((reply.status, reply.header("location")), (303, "/web/alert?date=2026-03-02&type=load"));
    reply.header("set-cookie").replace("%20", " ")
}

#[actix::test]
async fn forms_take_care_silence_and_end_and_say_what_they_did() {
    let stub = full();
    stub.acknowledge(|said| {
        assert_eq!((said.route.as_deref(), said.note.as_str()), (Some("default"), "on it"));
        assert_eq!(said.until, noon() + TimeDelta::hours(1));
        Ok(vec![AcknowledgedIncident { route: "default".to_owned(), opened: Some(noon()), tasks: Vec::new() }])
    });
    let told = posted(&stub, "do=ack&route=default&for=1h&note=on+it").await;
    assert!(told.contains("=good Acknowledged by someone until"), "{told}");
    stub.add_silence(|asked| {
        assert_eq!((asked.matcher.topic.as_deref(), asked.matcher.job), (Some("etl.*"), None));
        assert_eq!((asked.until, asked.reason.as_str()), (noon() + TimeDelta::hours(4), "it moves"));
        Ok(silence())
    });
    let told = posted(&stub, "do=silence&type=etl.*&job=&for=4h&reason=it+moves").await;
    assert!(told.contains("=good No notifications for type"), "{told}");
    stub.remove_silence(|asked| {
        assert_eq!(asked.id, 7);
        Ok(silence())
    });
    assert!(posted(&stub, "do=end&id=7").await.contains("are sent again"));
    for (form, part) in [
        ("do=silence&for=4h", "reason"),
        ("do=silence&reason=x", "how long the silence lasts"),
        ("do=silence&for=soon&reason=x", "for"),
        ("do=end&id=x", "the number of the silence"),
        ("do=nothing", "the form names no action"),
    ] {
        let told = posted(&stub, form).await;
        assert!(told.contains("=bad ") && told.contains(part), "{form}: {told}");
    }
}

/// A day in full, for a look.
pub(super) fn made_up_pages() -> Stub {
    let stub = full();
    stub.find_tasks(|query| Ok(more((1..100).map(made_up).take(query.limit).collect())));
    stub.attempts(|asked| {
        let text = "connect: connection refused (os error 111) after 3 tries to warehouse:5432";
        Ok(asked.uids.iter().map(|uid| Some(Attempt { uid: *uid, msg: text.to_owned(), ..made_up(2) })).collect())
    });
    stub.chain_beginning(|_| Ok(ChainStart { attempts: made_up_chain(), more: 0 }));
    stub.alerts(|_| {
        let mut all = alerts();
        let long = "disk quota exceeded while writing s3://warehouse/orders/2026/03/02/part-0001.parquet ".repeat(3);
        all.push(StoredAlert { msg: long, ..alert(9) });
        Ok(all)
    });
    stub.incidents(|_| Ok(vec![incident()])).silences(|_| Ok(vec![silence()]));
    stub.files(|_| {
        Ok(vec![
            file(3, "/in/2026/03/02/11/a.csv", Some(FileMatchState::Started)),
            file(
                2,
                "gs://bucket/landing/orders/2026/03/02/11/part-000017-of-000042.json.gz",
                Some(FileMatchState::Waiting),
            ),
            file(4, "/in/b.csv", Some(FileMatchState::Failed)),
            file(1, "/out/c.txt", None),
        ])
    });
    stub
}

fn made_up_chain() -> Vec<Attempt> {
    let at = |n: i64, topic: &str, parent: Option<i64>, from: i64, to: i64| Attempt {
        topic: topic.to_owned(),
        parent: parent.map(|n| attempt(n * 1_000_000).uid),
        result: Some(TaskResult::Complete),
        retry: 0,
        msg: String::new(),
        started: Some(noon() + TimeDelta::seconds(from)),
        ended: Some(noon() + TimeDelta::seconds(to)),
        ..finished(n * 1_000_000)
    };
    let failed = |mut task: Attempt, retry| {
        task.result = Some(TaskResult::Error);
        task.retry = retry;
        task
    };
    vec![
        at(0, "extract", None, 2, 30),
        failed(at(30, "load", Some(0), 33, 60), 0),
        failed(at(61, "load", Some(30), 90, 120), 1),
        Attempt { retry: 2, ..at(121, "load", Some(61), 130, 220) },
        at(220, "report.daily", Some(121), 221, 260),
        at(221, "notify", Some(121), 222, 224),
        Attempt { topic: "archive".to_owned(), parent: Some(attempt(121_000_000).uid), ..leased(222_000_000) },
    ]
}

fn file(id: i64, path: &str, state: Option<FileMatchState>) -> StoredFileEvent {
    let phase = FilePhase {
        workflow: "etl/main.toml".to_owned(),
        task: "load:csv".to_owned(),
        pattern: "/in/*.csv".to_owned(),
        nth: 0,
    };
    let outcome = |state| FilePhaseOutcome {
        phase: phase.clone(),
        state,
        uid: (state == FileMatchState::Started).then_some(Uid(1)),
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
            file(3, "/in/2026/03/02/11/a.csv", Some(FileMatchState::Started)),
            file(2, "/in/b.csv", Some(FileMatchState::Repeated)),
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
    assert!(stub.get("/web/files").await.text.contains("No files on this day."));
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
    stub.find_tasks(|_| Err(flowlord_kernel::Error::new(flowlord_kernel::Code::Storage, "no disk")));
    let page = stub.get("/web/task").await.text;
    assert!(page.contains("<b>7</b>") && page.contains("the tasks can&#39;t be shown now"), "{page}");
}

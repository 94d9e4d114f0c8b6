//! What people see.

use std::sync::Arc;

use flowlord_domain::{AlertKind, TaskResult, TaskState};
use flowlord_kernel::{Code, Error};
use flowlord_messages::alerts::{EscalationStatus, NotificationCounts, StoredAlert};
use flowlord_messages::leases::LastAsked;
use flowlord_messages::stats::{DayMarks, DayTotals, QueueBacklog, QueueLoad, ReadDaySteps, StepTotals};
use flowlord_messages::tasks::TaskPage;
use flowlord_messages::workflows::LoadedWorkflows;

use actix_web::test::TestRequest;
use flowlord_web_pages::Notice;
use serde_json::json;

use super::reads::{current, finding, stats};
use super::stub::{Stub, alert, attempt, finished, ladder, leased, listed, more, noon};

pub(super) fn full() -> Stub {
    let stub = Stub::default();
    stub.stats(|_| Ok(stats()));
    stub.find_tasks(|_| Ok(listed(vec![finished(3), leased(2), attempt(1)])));
    stub.incidents(|_| Ok(Vec::new())).silences(|_| Ok(Vec::new()));
    stub.alerts(|_| Ok(vec![alert(1)]));
    stub.workflows(|_| Ok(current()));
    stub.days(|asked| {
        let day = asked.from;
        Ok(vec![DayMarks { day, tasks: true, alerts: true, files: false }])
    });
    stub.steps(|_| Ok(Some(Vec::new()))).attempts(|asked| Ok(asked.uids.iter().map(|_| None).collect()));
    stub.backlog(|_| Ok(QueueBacklog::default()));
    stub.ladders(|_| {
        Ok(vec![EscalationStatus {
            incident_since: Some(noon()),
            alerts: 3,
            tasks: vec!["load".to_owned(), "report:daily".to_owned()],
            next: noon() + chrono::TimeDelta::minutes(5),
            ..ladder()
        }])
    });
    stub.notifications(|_| Ok(vec![NotificationCounts { sent: 1, ..NotificationCounts::default() }]));
    stub
}

#[actix::test]
async fn the_start_page_shows_the_day() {
    let reply = full().get("/").await;
    assert_eq!((reply.status, reply.header("content-type")), (200, "text/html; charset=utf-8"));
    for part in [
        "Monday, 2 March 2026",
        "<b>7</b><span>tasks</span>",
        "<b>3</b><span>complete</span>",
        "no disk",
        "?date=2026-03-02",
        "class=\"pill error\">error",
        "class=\"pill running\">running",
        "class=\"pill waiting\">ready",
        "×2",
        "load and 1 more</a> <span class=\"say\">3 alerts since <time datetime=\"2026-03-02T12:00:00Z\"",
        ", incident open on route default",
        "new.toml</a> <span class=\"say\">line 3: expected `=`",
        "03:00 UTC, 6 tasks",
        "flowlord 1.2.3 on box, up 1 h 30 min",
        "href=\"/?date=2026-03-01\"",
    ] {
        assert!(reply.text.contains(part), "{part} is missing in {}", reply.text);
    }
    assert!(!reply.text.contains("Next day\" data-key"), "tomorrow has no tasks");
    assert!(reply.text.contains("aria-label=\"Sunday, 1 March 2026: tasks, alerts\""), "{}", reply.text);
    assert_strict(&reply.text);
}

/// Nothing in the page that the policy refuses: neither style nor script but from an address of ours.
#[track_caller]
pub(super) fn assert_strict(page: &str) {
    for refused in [" style=", "<style", " onclick=", "javascript:", "http://", "https://"] {
        assert!(!page.contains(refused), "{refused} in {page}");
    }
    for script in page.split("<script").skip(1) {
        assert!(script.starts_with(" type=\"module\" src=\"/assets/") && script.contains("\"></script>"));
    }
}

#[actix::test]
async fn another_day_is_shown_by_its_date() {
    let stub = full();
    stub.find_tasks(|query| {
        assert_eq!(query.filter.from, "2026-02-28T00:00:00Z".parse().ok());
        assert_eq!(query.filter.to, "2026-03-01T00:00:00Z".parse().ok());
        Ok(TaskPage::default())
    });
    let reply = stub.get("/?date=2026-02-28").await;
    assert!(reply.text.contains("Saturday, 28 February 2026") && reply.text.contains("/?date=2026-03-01"));
    assert_eq!(stub.get("/?date=tomorrow").await.code(), "invalid_request");
}

#[actix::test]
async fn every_field_of_a_task_is_escaped() {
    const EVIL: &str = "<script>alert('x')</script>\"&";
    let stub = full();
    let evil = || EVIL.to_owned();
    stub.find_tasks(move |_| {
        let mut task = finished(1);
        (task.topic, task.job, task.id, task.info) = (evil(), evil(), evil(), evil());
        (task.meta, task.msg, task.worker, task.workflow) = (evil(), evil(), evil(), evil());
        Ok(listed(vec![task]))
    });
    stub.alerts(move |_| {
        let mut alert = alert(1);
        (alert.topic, alert.job, alert.msg, alert.workflow) = (evil(), evil(), evil(), evil());
        Ok(vec![alert])
    });
    stub.workflows(move |_| {
        let mut current = current();
        current.broken = Arc::new(vec![finding(EVIL, EVIL)]);
        Ok(current)
    });
    stub.stats(move |_| {
        let mut stats = stats();
        (stats.rows[0].topic, stats.rows[0].job) = (evil(), evil());
        Ok(stats)
    });
    let page = stub.get("/").await.text;
    assert!(page.matches("alert(").count() >= 10, "the fields are on the page");
    assert!(!page.contains("<script>") && !page.contains("')</"), "{page}");
}

#[actix::test]
async fn a_part_that_can_not_be_read_leaves_the_others() {
    let stub = full();
    stub.stats(|_| Err(Error::new(Code::Storage, "the disk is full")));
    let reply = stub.get("/").await;
    assert_eq!(reply.status, 200);
    assert!(reply.text.contains("the totals can&#39;t be shown now: the disk is full"), "{}", reply.text);
    assert!(reply.text.contains("no disk"), "the tasks are there");
    let nothing = Stub::default().get("/").await;
    assert_eq!(nothing.status, 200);
}

#[actix::test]
async fn an_empty_day_says_so_and_a_full_one_that_there_is_more() {
    let stub = full();
    stub.find_tasks(|_| Ok(TaskPage::default())).stats(|_| Ok(DayTotals::default()));
    assert!(stub.get("/").await.text.contains("No task was created today yet."));
    stub.find_tasks(|query| Ok(more((1..).take(query.limit).map(attempt).collect())));
    let page = stub.get("/").await.text;
    assert!(page.contains("Newest 25 tasks") && page.contains("all of the day"));
    assert_eq!(page.matches("data-label=\"Result\"").count(), 25);
}

/// The answers of the overview, without the rest of it.
fn answers(page: &str) -> &str {
    let behind = page.split("<dl class=\"answers").nth(1).unwrap_or_default();
    behind.split("</dl>").next().unwrap_or_default()
}

/// Of three late tasks one has a result, and of four queues one is stuck.
fn late_and_stuck() -> Stub {
    let stub = full();
    stub.alerts(|query| {
        let late = |row, n| StoredAlert { uid: Some(attempt(n).uid), msg: format!("late {row}"), ..alert(row) };
        let missing = || StoredAlert { uid: None, topic: "report".to_owned(), ..late(0, 1) };
        let of_late = query.filter.kinds.contains(&AlertKind::NotDone);
        Ok(if of_late { vec![late(4, 1), late(3, 1), late(2, 2), late(1, 3), missing()] } else { Vec::new() })
    });
    stub.attempts(|asked| {
        assert_eq!(asked.uids, [1, 2, 3].map(|n| attempt(n).uid), "each once");
        Ok(vec![Some(attempt(1)), Some(finished(2)), None])
    });
    stub.backlog(|_| {
        let queue = |topic: &str, minutes, leased| QueueLoad {
            topic: topic.to_owned(),
            ready: 3,
            oldest_ready: Some(noon() - chrono::TimeDelta::minutes(minutes)),
            leased,
            ..QueueLoad::default()
        };
        let queues = vec![queue("asked", 9, 0), queue("new", 1, 0), queue("sql-load", 60, 0), queue("busy", 60, 1)];
        Ok(QueueBacklog { queues, messages: 0 })
    });
    stub.last_asked(|query| {
        let asked = query.queues.iter().map(|(topic, _)| (topic == "asked").then(noon)).collect();
        let known_since = noon() - chrono::TimeDelta::hours(7);
        Ok(LastAsked { known_since, asked, blocks: vec![None; query.queues.len()] })
    });
    stub
}

fn nothing_is_broken(stub: &Stub) {
    stub.workflows(|_| Ok(LoadedWorkflows { broken: Arc::default(), workflows: Arc::default(), ..current() }));
    stub.ladders(|_| Ok(vec![ladder()]));
}

#[actix::test]
async fn the_overview_says_what_is_late_and_what_is_stuck() {
    let stub = full();
    nothing_is_broken(&stub);
    let page = stub.get("/").await.text;
    assert_eq!(answers(&page).matches("<dd>nothing</dd>").count(), 3, "{page}");
    let stub = late_and_stuck();
    nothing_is_broken(&stub);
    let page = stub.get("/").await.text;
    let answers = answers(&page);
    for part in [
        "load</a> <span class=\"say\">late 4</span>",
        "<a href=\"/web/alert?date=2026-03-02&#38;type=report\">report</a> <span class=\"say\">late 0</span>",
        "sql-load</a> <span class=\"say\">3 tasks ready, no worker has asked for `sql-load` since the service started at 05:00 UTC",
    ] {
        assert!(answers.contains(part), "{part} is missing in {answers}");
    }
    assert_eq!(answers.matches("<dd><a ").count(), 3, "{answers}");
    assert_eq!(answers.matches("<dd>nothing</dd>").count(), 1, "nothing is broken: {answers}");
    assert!(!stub.get("/?date=2026-02-28").await.text.contains("class=\"answers"), "they are about now");
}

#[actix::test]
async fn what_needs_somebody_is_the_same_in_json() {
    let attention = late_and_stuck().get("/api/v1/attention").await.ok();
    let counts = ["broken", "late", "stuck"].map(|question| attention[question]["count"].as_u64().unwrap());
    assert_eq!(counts, [3, 2, 1], "{attention}");
    let incident = json!({
        "route": "default", "opened": "2026-03-02T12:00:00Z", "alerts": 3, "tasks": ["load", "report:daily"],
        "acknowledged_by": null,
    });
    assert_eq!(attention["broken"]["incidents"], json!([incident]));
    let files = ["etl/main.toml", "new.toml"].map(|file| json!(file));
    assert_eq!([0, 1].map(|nth| attention["broken"]["files"][nth]["file"].clone()), files, "one error of each");
    assert_eq!(attention["late"]["items"][0]["msg"], "late 4");
    let queue = json!({
        "topic": "sql-load", "job": "", "ready": 3, "oldest_ready": "2026-03-02T11:00:00Z",
        "text": "no worker has asked for `sql-load` since the service started at 05:00 UTC",
    });
    assert_eq!(attention["stuck"]["items"], json!([queue]));
    let stub = full();
    stub.ladders(|_| Err(Error::new(Code::NotLeader, "this node follows")));
    assert_eq!(stub.get("/api/v1/attention").await.code(), "not_leader", "a part that is missing is no answer");
}

#[actix::test]
async fn alerts_that_repeat_are_one_line() {
    let stub = full();
    stub.alerts(|query| {
        let at = |row: i64| StoredAlert { at: noon() + chrono::TimeDelta::seconds(row), ..alert(row) };
        let other = StoredAlert { kind: AlertKind::Unfinished, ..at(8) };
        let all = [at(9), other, at(7), at(6)];
        Ok(if query.filter.kinds.is_empty() { all.into() } else { Vec::new() })
    });
    let page = stub.get("/").await.text;
    let lines = page.split("<ul class=\"lines\">").nth(1).unwrap().split("</ul>").next().unwrap();
    assert_eq!(lines.matches("<li>").count(), 2, "{lines}");
    let since = "kind=exhausted&#38;type=load&#38;workflow=main.toml\">3 times</a> since <time datetime=\"2026-03-02T12:00:06Z\"";
    assert!(lines.contains(since) && lines.contains("unfinished"), "{lines}");
    assert!(page.contains("Alerts <span class=\"count\">4</span>"), "{page}");
}

#[actix::test]
async fn the_chart_of_today_has_a_bar_for_each_five_minutes() {
    let stub = full();
    let bars = |page: &str| page.matches("width=\"0.8\"").count();
    stub.steps(|_: ReadDaySteps| {
        let counts = flowlord_messages::stats::ResultCounts { total: 2, complete: 2, ..Default::default() };
        let step = |step| StepTotals { step, topic: "load".to_owned(), job: String::new(), counts };
        Ok(Some(vec![step(36), step(37)]))
    });
    for path in ["/", "/web/task", "/web/task?type=load"] {
        let page = stub.get(path).await.text;
        assert!(bars(&page) == 2 && page.contains("class=\"now\""), "{path}: {page}");
    }
    assert_eq!(bars(&stub.get("/web/task?type=other").await.text), 0);
    stub.steps(|_| Ok(None));
    let page = stub.get("/").await.text;
    assert!(page.contains("width=\"11\"") && bars(&page) == 0, "a day with too many tasks has hours: {page}");
    stub.steps(|_| panic!("only today has steps"));
    assert!(stub.get("/?date=2026-02-28").await.text.contains("width=\"11\""));
}

#[actix::test]
async fn assets_are_kept_for_ever_under_the_hash_of_all_of_them() {
    let stub = full();
    let page = stub.get("/").await.text;
    let sheet = page.split('"').find(|part| part.starts_with("/assets/") && part.ends_with("/style.css")).unwrap();
    let reply = stub.get(sheet).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, "text/css; charset=utf-8"));
    assert_eq!(reply.header("cache-control"), "public, max-age=31536000, immutable");
    assert!(reply.text.contains("prefers-color-scheme: dark"));
    assert_eq!(stub.get("/assets/style.css").await.code(), "not_found", "only by its hash");
    assert_eq!(stub.get("/assets/0123456789ab/style.css").await.code(), "not_found");
    assert_eq!(stub.get(&sheet.replace("style.css", "../Cargo.toml")).await.code(), "not_found");
    let scripts = page.matches("rel=\"modulepreload\"").count();
    assert!(scripts >= 8 && page.contains("/js/app.js"), "{scripts}");
}

#[actix::test]
async fn an_asset_comes_in_the_smallest_form_that_is_taken() {
    let stub = full();
    let page = stub.get("/").await.text;
    let sheet = page.split('"').find(|part| part.ends_with("/style.css")).unwrap();
    let mut sizes = Vec::new();
    for (accepted, encoding) in [("gzip, br", "br"), ("gzip", "gzip"), ("zstd", "identity")] {
        let request = TestRequest::get().uri(sheet).insert_header(("accept-encoding", accepted));
        let (headers, size) = stub.weigh(request).await;
        assert_eq!(headers.get("content-encoding").unwrap(), encoding);
        assert_eq!(headers.get("vary").unwrap(), "accept-encoding");
        sizes.push(size);
    }
    assert!(sizes.is_sorted() && sizes[0] * 2 < sizes[2], "{sizes:?}");
}

#[actix::test]
async fn a_browser_is_told_of_problems_on_a_page_and_a_program_in_a_document() {
    let stub = full();
    for (path, status, part) in [
        ("/?date=tomorrow", 400, "`date` is `tomorrow`: write a day like 2026-01-15"),
        ("/?dat=2026-03-02", 400, "did you mean `date`?"),
        ("/nowhere", 404, "there is nothing at /nowhere"),
    ] {
        let request = TestRequest::get().uri(path).insert_header(("accept", "text/html,*/*;q=0.8"));
        let page = stub.send(request).await;
        assert_eq!((page.status, page.header("content-type")), (status, "text/html; charset=utf-8"), "{path}");
        assert!(page.text.contains(part) && page.text.contains("<nav"), "{path}: {}", page.text);
        assert_eq!(stub.get(path).await.problem().0, status, "{path}");
    }
}

#[actix::test]
async fn what_a_form_did_is_told_once() {
    let stub = full();
    let back = Notice::bad("2 of 3 <tasks>; 50% + more").back_to("/");
    let cookie = back.headers().get("set-cookie").unwrap().to_str().unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    let pair = cookie.split(';').next().unwrap().to_owned();
    let page = stub.send(TestRequest::get().uri("/").insert_header(("cookie", pair))).await;
    assert!(page.text.contains("2 of 3 &#60;tasks&#62;; 50% + more</p>"), "{}", page.text);
    let gone = page.header("set-cookie");
    assert!(gone.starts_with("flowlord_notice=;") && gone.contains("Max-Age=0"), "{gone}");
    assert_eq!(stub.get("/").await.header("set-cookie"), "", "nothing to tell");
}

/// Serves the pages with made-up data until it is ended: `cargo test -p flowlord-web-server look_at -- --ignored`.
#[actix::test]
#[ignore = "for a look at the pages with a browser"]
async fn look_at_the_pages() {
    let stub = super::task_pages::made_up_pages();
    stub.stats(|_| Ok(made_up_stats()));
    let context = stub.context();
    let server = actix_web::HttpServer::new(move || crate::app::app(context.clone())).workers(1);
    server.bind("127.0.0.1:8899").unwrap().run().await.unwrap();
}

pub(super) fn made_up(n: i64) -> flowlord_domain::Attempt {
    let kinds = ["extract", "load", "report.daily", "notify"];
    let topic = kinds[usize::try_from(n).unwrap() % kinds.len()].to_owned();
    let mut task = match n % 7 {
        0 => leased(0),
        1 => attempt(0),
        _ => finished(0),
    };
    task.uid = flowlord_domain::Uid(noon().timestamp_micros() - n * 61_000_000);
    let at = task.uid.created_at();
    task.started = task.started.map(|_| at + chrono::TimeDelta::milliseconds(120 * n));
    task.ended = task.ended.map(|_| at + chrono::TimeDelta::milliseconds(120 * n + 900 * n * n));
    task.info = format!("s3://warehouse/{topic}/2026/03/02/{n:02}/part.json.gz?hour=2026-03-02T{:02}", n % 24);
    task.meta = "workflow=etl/main.toml&cron=2026-03-02T11&rows=1532".to_owned();
    if task.state == TaskState::Done {
        let (result, msg) = match n % 11 {
            2 => (TaskResult::Error, "connect: connection refused (os error 111) after 3 tries to warehouse:5432"),
            3 => (TaskResult::Alert, "row count fell by 80 %"),
            4 => (TaskResult::Warn, "no new rows"),
            _ => (TaskResult::Complete, ""),
        };
        (task.result, task.msg, task.retry) = (Some(result), msg.to_owned(), u32::from(n % 11 == 2));
    } else if task.state == TaskState::Ready {
        task.msg = String::new();
    }
    task.topic = topic;
    task
}

fn made_up_stats() -> DayTotals {
    let mut all = DayTotals::default();
    for hour in 0..13_u8 {
        for row in stats().rows {
            let mut row = flowlord_messages::stats::HourTotals { hour, ..row };
            let more = u64::from(hour * 7 % 12);
            row.counts.complete += more;
            row.counts.total += more;
            all.rows.push(row);
        }
    }
    all
}

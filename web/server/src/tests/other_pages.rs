//! The workflow, backload and about pages, as they are written.

use std::sync::Arc;

use actix_web::test::TestRequest;
use flowlord_domain::workflow::{WorkflowFile, Workflows};
use flowlord_kernel::{Code, Error};
use flowlord_messages::backloads::{
    BackloadFailure, BackloadState, ChangeBackload, ExecuteBackload, PlanBackload, StartedBackload, StoredBackload,
};
use flowlord_messages::database::{DatabaseFacts, TableSize};
use flowlord_messages::schedule::{PausePhase, PausedPhase, PhaseSlots, ReadSlots, SlotOutcome};
use flowlord_messages::snapshots::SnapshotList;
use flowlord_messages::stats::{QueueBacklog, QueueLoad, ResultCounts};
use flowlord_messages::workflows::LoadedWorkflows;

use super::backload::plan;
use super::pages::assert_strict;
use super::stub::{Reply, Stub, attempt, ladder, noon};

const FILE: &str = r#"
[[phase]]
task = "extract:orders"
rule = "cron=5 * * * *&offset=-1h"
template = "?hour={yyyy}-{mm}-{dd}T{hh}"

[[phase]]
task = "load:<b>"
dependsOn = "extract:orders"
template = "{meta:file}?hour={hh}"

[[phase]]
task = "odd"
rule = "cron=61 * * * *"
template = "x"
"#;

fn current() -> LoadedWorkflows {
    let file = WorkflowFile::parse("etl/orders.toml", FILE, "", "UTC".parse().ok().unwrap()).unwrap();
    LoadedWorkflows {
        workflows: Arc::new(Workflows::new([Arc::new(file)])),
        scanned_at: noon(),
        next_scan: noon() + chrono::TimeDelta::minutes(15),
        broken: Arc::default(),
    }
}

/// A slot at five past some hour of the day.
fn slot(hour: i64, counts: ResultCounts) -> SlotOutcome {
    let at = noon() + chrono::TimeDelta::minutes(hour * 60 - 12 * 60 + 5);
    let started = (counts.total > 0).then(|| attempt(hour).uid);
    SlotOutcome {
        at,
        started,
        tasks: started.map(|_| counts.total),
        is_skipped: false,
        counts,
        named: started.into_iter().collect(),
    }
}

fn slots(ask: &ReadSlots) -> Vec<PhaseSlots> {
    let one = ResultCounts { total: 1, ..ResultCounts::default() };
    let all = vec![
        slot(11, ResultCounts { error: 1, ..one }),
        slot(10, ResultCounts::default()),
        slot(8, ResultCounts { complete: 1, ..one }),
    ];
    let within = |slot: &SlotOutcome| slot.at >= ask.from && slot.at < ask.to;
    let crons = vec![("5 * * * *".to_owned(), noon() - chrono::TimeDelta::hours(5))];
    let phase = PhaseSlots { slots: all.into_iter().filter(within).collect(), crons, cut: None };
    vec![phase; ask.phases.len()]
}

pub(super) fn workflow() -> Stub {
    let stub = Stub::default();
    stub.workflows(|_| Ok(current()));
    stub.next_runs(|_| Ok(Vec::new()));
    stub.paused(|_| {
        let (workflow, task) = ("etl/orders.toml".to_owned(), "odd".to_owned());
        Ok(vec![PausedPhase { workflow, task, since: noon() }])
    });
    stub.grid(|ask| Ok(slots(&ask)));
    stub.hours(|ask| {
        Ok(vec![vec![(noon(), ResultCounts { total: 3, complete: 3, ..ResultCounts::default() })]; ask.queues.len()])
    });
    stub.attempts(|ask| Ok(ask.uids.iter().map(|_| Some(attempt(1))).collect()));
    stub
}

#[track_caller]
fn shows(reply: &Reply, parts: &[&str]) {
    assert_eq!(reply.status, 200, "{}", reply.text);
    for part in parts {
        assert!(reply.text.contains(part), "{part} is missing in {}", reply.text);
    }
    assert_strict(&reply.text);
}

#[actix::test]
async fn a_file_of_a_thousand_phases_is_shown_in_part_and_says_so() {
    let phase = |n: usize| {
        let (task, starts) = match n % 2 {
            0 => (format!("a:j{n}"), "rule = \"cron=@hourly\"".to_owned()),
            _ => (format!("b:j{n}"), "dependsOn = \"a\"".to_owned()),
        };
        format!("[[phase]]\ntask = \"{task}\"\n{starts}\ntemplate = \"?hour={{hh}}\"\n")
    };
    let text: String = (0..1_000).map(phase).collect();
    let file = WorkflowFile::parse("large.toml", &text, "", "UTC".parse().ok().unwrap()).unwrap();
    let workflows = Arc::new(Workflows::new([Arc::new(file)]));
    let stub = workflow();
    stub.workflows(move |_| Ok(LoadedWorkflows { workflows: Arc::clone(&workflows), ..current() }));
    stub.hours(|ask| {
        assert!(ask.queues.len() <= 200, "only of what is drawn: {}", ask.queues.len());
        Ok(vec![Vec::new(); ask.queues.len()])
    });
    let reply = stub.get("/web/workflow?file=large.toml").await;
    shows(
        &reply,
        &[
            "800 tasks are missing; 9000 lines between drawn tasks are missing;",
            "First 500 phases",
            "500 more: choose a file, a task or a job.",
        ],
    );
    let count = |part| reply.text.matches(part).count();
    assert_eq!((count("<rect class=\"box\""), count("<path class=\"arrow")), (200, 1_000));
    assert!(reply.text.len() < 1_500_000, "{} bytes", reply.text.len());
}

#[actix::test]
async fn the_workflow_page_shows_the_last_day_also_what_is_not_there() {
    let reply = workflow().get("/web/workflow").await;
    shows(
        &reply,
        &[
            "aria-label=\"2 March, 11:00: 1 slot, failed, 1 task\"",
            "aria-label=\"2 March, 10:00: 1 slot, missed\"",
            "aria-label=\"2 March, 09:00: 1 slot, expected, but missing\"",
            "aria-label=\"2 March, 08:00: 1 slot, complete, 1 task\"",
            "2 March, 06:00: nothing due",
            "aria-label=\"2 March, 12:00: 1 slot, upcoming\"",
            "every hour at :05, for the hour before",
            "after extract:orders completes",
            "title=\"etl/orders.toml\">etl/orders.toml</a>",
            "etl/orders.toml:14:",
            "load:&#60;b&#62;",
            "slot=2026-03-02T11#slot",
        ],
    );
    assert!(!reply.text.contains("<b>\"") && !reply.text.contains("load:<b>"));
}

#[actix::test]
async fn a_file_is_drawn_and_an_hour_shows_its_slots() {
    let stub = workflow();
    let path = "/web/workflow?file=etl/orders.toml&slot=2026-03-02T11&days=2";
    let reply = stub.get(path).await;
    shows(
        &reply,
        &[
            "aria-label=\"extract:orders, 12:00: 3 complete\"",
            "marker-end=\"url(#head)\"",
            "5 slots: 1 complete, 1 failed, 1 missed, 2 expected, but missing; 12 upcoming.",
            "Monday, 2 March 2026, 11:00 to 11:59",
            "href=\"/workflow/etl/orders.toml\"",
            "id=\"t-",
        ],
    );
    assert!(!reply.text.contains("The last 24 hours"), "that of all files");
    assert_eq!(reply.text.matches("<th scope=\"row\">Mon 2 Mar").count(), 1);
    assert_eq!(reply.text.matches("<th scope=\"row\">Sat 28 Feb").count(), 0, "two days");
    let other = stub.get("/web/workflow?file=etl/orders.toml&phase=load:%3Cb%3E").await;
    shows(&other, &["3 tasks: 3 complete.", "/web/task?date=2026-03-02&#38;type=load&#38;job=%3Cb%3E&#38;hour=12"]);
    assert_eq!(stub.get("/web/workflow?days=99").await.code(), "invalid_request");
    assert_eq!(stub.get("/web/workflow?fil=x").await.code(), "invalid_request");
}

#[actix::test]
async fn the_slots_of_a_busy_hour_are_shown_page_by_page() {
    let stub = workflow();
    stub.grid(|ask| {
        let counts = |nth: i64| {
            let failed = u64::from(nth == 240);
            ResultCounts { total: 1, complete: 1 - failed, error: failed, ..ResultCounts::default() }
        };
        let hour = noon() - chrono::TimeDelta::hours(1);
        let at = |nth: i64| SlotOutcome { at: hour + chrono::TimeDelta::seconds(10 * nth), ..slot(11, counts(nth)) };
        let of_hour = ask.from <= hour && hour < ask.to;
        let slots = if of_hour { (0..250).map(at).collect() } else { Vec::new() };
        Ok(vec![PhaseSlots { slots, ..PhaseSlots::default() }; ask.phases.len()])
    });
    let path = "/web/workflow?file=etl/orders.toml&slot=2026-03-02T11&phase=extract:orders";
    let lines = |page: &str| page.split("id=\"slot\"").nth(1).unwrap().matches("<li><time").count();
    let page = stub.get(path).await.text;
    assert!(page.contains("<p>250 slots: 249 complete, 1 failed.</p>"), "also of what is on another page: {page}");
    let next = |page: &str| {
        let href = page.split("rel=\"next\"").next().unwrap().rsplit("href=\"").next().unwrap().split('"').next();
        href.unwrap().replace("&#38;", "&")
    };
    assert_eq!((lines(&page), next(&page)), (100, format!("{path}&cursor=2026-03-02T11:16:30Z#slot")));
    let page = stub.get(&format!("{path}&cursor=2026-03-02T11:33:10Z")).await.text;
    assert_eq!((lines(&page), page.contains("rel=\"next\"")), (50, false));
    let first = format!("href=\"{}#slot\" rel=\"prev\"", path.replace('&', "&#38;"));
    assert!(page.contains(&first) && page.contains("pill error\">failed"), "{page}");
}

#[actix::test]
async fn filters_narrow_the_table_and_what_can_not_be_read_is_told() {
    let stub = workflow();
    let reply = stub.get("/web/workflow?task=odd").await;
    shows(&reply, &["never: `61 * * * *` is invalid", "line 12: invalid cron"]);
    assert!(!reply.text.contains("after extract:orders completes"));
    stub.grid(|_| Err(Error::new(Code::Storage, "the disk is full")));
    shows(&stub.get("/web/workflow").await, &["the last day can&#39;t be shown now: the disk is full", "odd"]);
}

fn backloading() -> Stub {
    let stub = workflow();
    stub.plan_backload(|ask: PlanBackload| plan(&ask.request));
    stub.backloads(|_| Ok(vec![stored(BackloadState::Running)]));
    stub.backload(|ask| {
        let failure = BackloadFailure { index: 4, time: Some(noon()), why: "its info is <too> large".to_owned() };
        Ok((ask.id == 7).then(|| (stored(BackloadState::Running), vec![failure])))
    });
    stub
}

fn stored(state: BackloadState) -> StoredBackload {
    let order = serde_json::json!({
        "topic": "load", "job": "daily", "workflow": "", "template": "?d={dd}", "from": noon(), "to": noon(), "by": "day"
    });
    StoredBackload {
        id: 7,
        requested: noon(),
        changed: noon(),
        state,
        order: order.to_string(),
        message: String::new(),
        digest: 1,
        total: 50,
        next: 50,
        created: 48,
        skipped: 0,
        failed: 2,
        finished: Some(1),
        unsuccessful: 0,
        problem: String::new(),
    }
}

const THREE: &str = "task=load:j&template=?d=%7Bdd%7D&from=2026-01-01&to=2026-01-03&preview=1";

#[actix::test]
async fn a_backload_is_looked_at_by_its_address() {
    let stub = backloading();
    let reply = stub.get(&format!("/web/backload?{THREE}")).await;
    shows(
        &reply,
        &[
            "<h2>3 tasks",
            "?d=03",
            "&#34;to&#34;: &#34;2026-01-03&#34;",
            "<input type=\"hidden\" name=\"from\" value=\"2026-01-01\">",
            "There is no phase load:j",
            "48/50 tasks created",
        ],
    );
    let wrong = stub.get("/web/backload?task=load&from=soon&template=x&preview=1").await;
    shows(&wrong, &["role=\"alert\">`from` is `soon`", "value=\"soon\""]);
    let found = stub.get("/web/backload?task=load:%3Cb%3E").await;
    shows(&found, &["name=\"meta.file\"", "after extract:orders completes"]);
}

#[actix::test]
async fn what_could_not_be_created_is_told_with_its_reason() {
    let reply = backloading().get("/web/backload?id=7").await;
    shows(
        &reply,
        &[
            "<strong>48/50 tasks created</strong>, 2 failed",
            "its info is &#60;too&#62; large",
            "and 1 more",
            "action=\"/web/backload/7/pause\"",
        ],
    );
    assert_eq!(backloading().get("/web/backload?id=8").await.code(), "backload_unknown");
    assert_eq!(backloading().get("/web/backload?id=x").await.code(), "backload_unknown");
}

fn form(body: &str) -> TestRequest {
    let kind = ("content-type", "application/x-www-form-urlencoded");
    TestRequest::post().uri("/web/backload").insert_header(kind).set_payload(body.to_owned())
}

#[actix::test]
async fn forms_lead_back_to_the_page_and_say_what_became_of_them() {
    let stub = backloading();
    stub.execute_backload(|ask: ExecuteBackload| {
        assert_eq!(ask.planned.plan.count(), 3);
        Ok(StartedBackload { id: 7, done: None })
    });
    let reply = stub.send(form(THREE)).await;
    assert_eq!((reply.status, reply.header("location")), (303, "/web/backload?id=7"));
    let refused = stub.send(form("task=load&from=soon&template=x")).await;
    assert_eq!(refused.status, 303);
    assert!(refused.header("location").contains("from=soon") && refused.header("set-cookie").contains("soon"));

    stub.change_backload(|ask: ChangeBackload| match ask.to {
        BackloadState::Paused => Ok(stored(BackloadState::Paused)),
        _ => Err(Error::new(Code::BackloadState, "it is done")),
    });
    for (change, told) in [("pause", "paused"), ("cancel", "done")] {
        let reply = stub.post(&format!("/web/backload/7/{change}"), "").await;
        assert_eq!((reply.status, reply.header("location")), (303, "/web/backload?id=7"), "{change}");
        assert!(reply.header("set-cookie").contains(told), "{reply:?}");
    }
    stub.reload(|_| {
        Ok(flowlord_messages::workflows::ReloadReport { changed: vec!["a".to_owned()], ..Default::default() })
    });
    let looked = stub.post("/web/workflow/refresh", "").await;
    assert!(looked.status == 303 && looked.header("set-cookie").contains("1%20changed"), "{looked:?}");
}

fn about() -> Stub {
    let stub = workflow();
    stub.database(|_| {
        Ok(DatabaseFacts {
            path: "/data/flowlord.db".to_owned(),
            schema: 3,
            page_size: 4_096,
            pages: 1_000,
            tables: vec!["task".to_owned()],
            ..DatabaseFacts::default()
        })
    });
    stub.measure(|ask| {
        Ok(TableSize { table: ask.table, rows: 1_234, bytes: 2_000_000, index_bytes: 0, complete: true })
    });
    stub.backlog(|_| {
        let queues = vec![QueueLoad { topic: "load".to_owned(), leased: 2, ..QueueLoad::default() }];
        Ok(QueueBacklog { queues, ..QueueBacklog::default() })
    });
    stub.ladders(|_| Ok(vec![ladder()]));
    stub.snapshots(|_| Ok(SnapshotList { problem: Some("no room".to_owned()), ..SnapshotList::default() }));
    stub.tokens_read(|_| Ok(Vec::new()));
    stub.ping(|_| Ok(flowlord_kernel::health::Pong { restarts: 1 }));
    stub
}

#[actix::test]
async fn the_about_page_says_all_that_is_known_and_what_is_not() {
    let stub = about();
    shows(
        &stub.get("/web/about").await,
        &[
            "/data/flowlord.db",
            "<dd>4.1 MB</dd>",
            "1,000 of 4,096 bytes, 0 free",
            "<td data-label=\"Rows\" class=\"n\">1,234</td>",
            "2.0 MB",
            "The last snapshot failed: no room",
            "dispatch",
            "×2.0 up, ÷2.0 down, all clear after 1 quiet check",
            "0, 0, 2",
            "Tokens",
        ],
    );
    stub.database(|_| Err(Error::new(Code::Storage, "the disk is full")));
    let reply = stub.get("/web/about").await;
    assert_eq!(reply.status, 200);
    assert!(reply.text.contains("the database can&#39;t be shown now: the disk is full"), "{}", reply.text);
}

#[actix::test]
async fn phases_are_paused_and_go_on_by_their_forms() {
    let stub = workflow();
    let page = stub.get("/web/workflow").await;
    shows(
        &page,
        &[
            "action=\"/web/workflow/resume\"",
            "action=\"/web/workflow/pause\"",
            "1 paused",
            "aria-label=\"Resume phase odd\"",
        ],
    );
    stub.pause(|ask: PausePhase| match ask.task.as_str() {
        "odd" => Ok(ask.paused.then(noon)),
        _ => Err(Error::new(Code::NotFound, "there is no such phase")),
    });
    for (change, task, told) in [("pause", "odd", "paused"), ("resume", "odd", "resumed"), ("pause", "x", "no%20such")]
    {
        let body = format!("workflow=etl/orders.toml&task={task}&back=/web/workflow?task=odd");
        let reply = stub.post(&format!("/web/workflow/{change}"), body).await;
        assert_eq!((reply.status, reply.header("location")), (303, "/web/workflow?task=odd"), "{change} {task}");
        assert!(reply.header("set-cookie").contains(told), "{change} {task}: {reply:?}");
    }
}

//! The Gantt of a day: what is asked for, what is drawn, and what is left out.

use chrono::TimeDelta;
use flowlord_domain::{Attempt, Uid};
use flowlord_kernel::{Code, Error};
use flowlord_messages::tasks::{TaskCursor, TaskPage, TextExtent};

use super::other_pages::workflow;
use super::pages::assert_strict;
use super::stub::{attempt, finished, listed, noon};

const FILE: &str = "etl/orders.toml";

fn of_file(n: i64) -> Attempt {
    Attempt { workflow: FILE.to_owned(), topic: "extract".to_owned(), job: "orders".to_owned(), ..finished(n) }
}

#[actix::test]
async fn the_tasks_of_a_day_are_bars_of_their_phases_that_lead_to_them() {
    let stub = workflow();
    stub.find_tasks(|ask| {
        assert_eq!((ask.limit, ask.ascending, ask.texts), (400, false, TextExtent::Beginnings));
        assert_eq!(ask.filter.from, Some(noon() - TimeDelta::hours(24)), "what ran into the day was created before it");
        assert_eq!(ask.filter.to, Some(noon() + TimeDelta::hours(12)));
        assert!(ask.filter.topics.is_empty() && ask.filter.jobs.is_empty());
        let (by_hand, before) = (Attempt { workflow: String::new(), ..attempt(-9) }, of_file(-20 * 3_600_000_000));
        let ended = Some(noon() - TimeDelta::hours(19));
        Ok(listed(vec![by_hand, of_file(1), Attempt { started: ended, ended, ..before }]))
    });
    let page = stub.get("/web/workflow/gantt").await.text;
    for part in [
        "aria-label=\"extract:orders: 1 task, 1 failed\"",
        &format!(
            "<a href=\"/web/task/{}\"><title>error, created 12:00:00, queue time 1.99s, run time 3s</title>",
            of_file(1).uid
        ),
        "href=\"/web/workflow?file=etl/orders.toml&#38;phase=extract:orders#days\"",
        "href=\"/web/task?date=2026-03-02&#38;type=load&#38;job=daily\"",
        "class=\"now\" d=\"M5000 0V14\"",
        "href=\"/web/workflow/gantt?hour=3\"",
        "href=\"/web/workflow\">Slots and phases</a>",
    ] {
        assert!(page.contains(part), "{part} is missing in {page}");
    }
    assert!(!page.contains("id=\"path\"") && !page.contains("newest tasks are drawn"), "{page}");
    assert_strict(&page);
}

#[actix::test]
async fn a_file_restricts_the_read_and_shows_its_phases_without_tasks_and_the_path_to_the_last_end() {
    let stub = workflow();
    stub.find_tasks(|ask| {
        assert_eq!(ask.filter.topics, ["extract", "load", "odd"]);
        assert!(ask.filter.jobs.is_empty(), "a phase without a job has tasks of any");
        assert_eq!(ask.filter.to, Some(noon() + TimeDelta::hours(1)), "one hour");
        let child = Attempt { topic: "load".to_owned(), parent: Some(of_file(1).uid), ..of_file(2) };
        Ok(listed(vec![child, Attempt { parent: None, ..of_file(1) }, finished(3)]))
    });
    let page = stub.get("/web/workflow/gantt?file=etl/orders.toml&hour=12").await.text;
    for part in ["id=\"path\"", ">extract:orders</a> <small>queue time", "odd</a> <small>no task", "12:00 to 13:00 UTC"]
    {
        assert!(page.contains(part), "{part} is missing in {page}");
    }
    assert_eq!(page.matches("class=\"on-path\"").count(), 2);
    assert!(!page.contains("load:daily"), "it is of another file");
    let unknown = workflow().get("/web/workflow/gantt?file=none.toml").await.text;
    assert!(unknown.contains("No task of these phases queued or ran"), "nothing is read: {unknown}");
}

#[actix::test]
async fn a_busy_day_is_cut_says_so_and_stays_small() {
    let stub = workflow();
    stub.find_tasks(|_| {
        let task = |n: i64| Attempt { job: format!("a_job_with_a_longer_name_{:02}", n % 60), ..of_file(n) };
        let tasks: Vec<Attempt> = (0..400).rev().map(task).collect();
        let next = Some(TaskCursor::After(Uid(tasks[399].uid.0)));
        Ok(TaskPage { tasks, next, looked_until: None })
    });
    let page = stub.get("/web/workflow/gantt").await.text;
    assert!(page.contains("Only the newest tasks are drawn, created since"), "{page}");
    assert!(page.contains("10 more rows"));
    assert_eq!(page.matches("class=\"track\"").count(), 50);
    assert!(page.len() < 150_000, "{} bytes", page.len());
    stub.find_tasks(|_| Err(Error::new(Code::Storage, "the disk is full")));
    let page = stub.get("/web/workflow/gantt").await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("the tasks can&#39;t be shown now: the disk is full"), "{}", page.text);
    assert_eq!(stub.get("/web/workflow/gantt?hour=24").await.code(), "invalid_request");
}

//! Tasks run again and cancelled from their pages, by forms that need no script.

use std::sync::{Arc, Mutex};

use actix_web::http::Method;
use actix_web::test::TestRequest;
use flowlord_domain::{Attempt, Role, TaskResult, Uid};
use flowlord_kernel::{Code, Error};
use flowlord_messages::alerts::EscalationStatus;
use flowlord_messages::results::AppliedResult;
use flowlord_messages::tasks::{ChainStart, TaskPage};

use super::access::{closed, with};
use super::pages::{assert_strict, full};
use super::stub::{Stub, alert, attempt, finished, ladder, leased, listed, noon, request, send};

/// Sends a form; where it leads to, and what is told there.
async fn posted(stub: &Stub, path: &str, form: String) -> (String, String) {
    let kind = ("content-type", "application/x-www-form-urlencoded");
    let reply = stub.send(TestRequest::post().uri(path).insert_header(kind).set_payload(form)).await;
    assert_eq!(reply.status, 303, "{reply:?}");
    let told = reply.header("set-cookie").split(';').next().unwrap().replace("%20", " ");
    (reply.header("location").to_owned(), told.replace("%27", "'"))
}

/// All tasks are there and finished; those that run again.
fn there(stub: &Stub) -> Arc<Mutex<Vec<Uid>>> {
    let ran = Arc::new(Mutex::new(Vec::new()));
    stub.attempts(|asked| Ok(asked.uids.iter().map(|uid| Some(Attempt { uid: *uid, ..finished(1) })).collect()));
    let parents = Arc::clone(&ran);
    stub.rerun(move |ask| {
        parents.lock().unwrap().extend(ask.tasks.iter().filter_map(|task| task.parent));
        Ok(ask.tasks.iter().map(|task| Ok(task.uid)).collect())
    });
    ran
}

/// The form of ticked tasks that are to run again.
fn ticks(tasks: impl IntoIterator<Item = i64>) -> String {
    ticked("again", tasks)
}

fn ticked(action: &str, tasks: impl IntoIterator<Item = i64>) -> String {
    tasks.into_iter().map(|n| format!("uid={}&", finished(n).uid)).chain([format!("do={action}")]).collect()
}

const FILTER: &str = "/web/task?date=2026-03-02&type=load&result=error&retry=failed";

#[actix::test]
async fn finished_tasks_can_be_ticked_and_the_form_keeps_the_filter() {
    let stub = full();
    stub.find_tasks(|query| {
        assert!(query.filter.given_up, "only those that are not tried again");
        Ok(listed(vec![finished(3), leased(2), attempt(1)]))
    });
    let page = stub.get(FILTER).await.text;
    let escaped = FILTER.replace('&', "&#38;");
    for part in [
        format!("<form action=\"{escaped}\" method=\"post\">"),
        format!("name=\"uid\" value=\"{}\" data-row", finished(3).uid),
        "Rerun".to_owned(),
        "aria-label=\"Remove filter: no retry left\"".to_owned(),
        "name=\"retry\" value=\"failed\"".to_owned(),
    ] {
        assert!(page.contains(&part), "{part} is missing in {page}");
    }
    assert_eq!(page.matches("data-row ").count(), 3, "what runs or waits can be cancelled");
    stub.find_tasks(|_| Ok(listed(vec![Attempt { cancelled: true, ..leased(2) }])));
    assert_eq!(stub.get(FILTER).await.text.matches("data-row ").count(), 0, "its worker is to stop already");
    assert_strict(&page);
}

#[actix::test]
async fn ticked_tasks_run_again_and_the_page_says_how_many() {
    let stub = full();
    let ran = there(&stub);
    let (location, told) = posted(&stub, FILTER, ticks([3, 1, 2, 1])).await;
    assert_eq!((location.as_str(), told.as_str()), (FILTER, "flowlord_notice=good 3 tasks were rerun."));
    assert_eq!(*ran.lock().unwrap(), [1, 2, 3].map(|n| finished(n).uid), "each once, oldest first");
    assert!(posted(&stub, FILTER, ticks([1])).await.1.ends_with("good 1 task was rerun."));
}

#[actix::test]
async fn tasks_that_can_not_run_again_say_why_and_the_others_run() {
    let stub = full();
    stub.attempts(|asked| Ok(asked.uids.iter().map(|uid| (*uid != finished(1).uid).then(|| finished(2))).collect()));
    stub.rerun(|ask| {
        let refused = Err(Error::new(Code::TaskUnfinished, "it runs again already"));
        Ok(ask.tasks.iter().map(|task| Ok(task.uid)).take(ask.tasks.len() - 1).chain([refused]).collect())
    });
    let (_, told) = posted(&stub, FILTER, ticks([2, 3])).await;
    assert!(told.ends_with("=bad 1 task was rerun, 1 could not be: it runs again already."), "{told}");
    let (_, told) = posted(&stub, FILTER, ticks([1, 2, 3, 4])).await;
    let first =
        format!("=bad 2 tasks were rerun, 2 could not be. The first: the task {} no longer exists.", finished(1).uid);
    assert!(told.ends_with(&first), "{told}");
    stub.rerun(|_| Err(Error::new(Code::Storage, "no disk")));
    assert!(posted(&stub, FILTER, ticks([2])).await.1.ends_with("=bad no disk"));
    for (form, part) in [
        (String::new(), "the form names no action"),
        ("do=again".to_owned(), "no task is selected"),
        ("do=cancel".to_owned(), "no task is selected"),
        ("do=again&uid=x".to_owned(), "is not a task"),
        (ticks(0..501), "501 tasks are selected: select at most 500"),
    ] {
        let (location, told) = posted(&stub, FILTER, form).await;
        assert!(location == FILTER && told.contains("=bad ") && told.contains(part), "{told}");
    }
    there(&stub);
    assert!(posted(&stub, FILTER, ticks(0..500)).await.1.ends_with("good 500 tasks were rerun."));
}

#[actix::test]
async fn ticked_tasks_are_cancelled_and_those_that_end_meanwhile_say_so() {
    let stub = full();
    stub.cancel(|ask| {
        assert_eq!((ask.uids.as_slice(), ask.msg.as_str()), (&[1, 2].map(|n| finished(n).uid)[..], "cancelled"));
        Ok(vec![Ok(()), Err(Error::new(Code::AlreadyFinished, "it has its result"))])
    });
    let (location, told) = posted(&stub, FILTER, ticked("cancel", [2, 1])).await;
    assert_eq!(location, FILTER);
    assert!(told.ends_with("=bad 1 task was cancelled, 1 could not be: it has its result."), "{told}");
    stub.cancel(|_| Ok(vec![Ok(())]));
    assert!(posted(&stub, FILTER, ticked("cancel", [2])).await.1.ends_with("=good 1 task was cancelled."));
}

/// The page of a task, and its address.
async fn page_of(stub: &Stub, task: Attempt) -> (String, String) {
    let path = format!("/web/task/{}", task.uid);
    let chain = task.clone();
    stub.attempts(move |_| Ok(vec![Some(task.clone())]));
    stub.chain_beginning(move |_| Ok(ChainStart { attempts: vec![chain.clone()], more: 0 }));
    (stub.get(&path).await.text, path)
}

#[actix::test]
async fn a_finished_task_runs_again_from_its_page() {
    let stub = full();
    let (page, path) = page_of(&stub, finished(3)).await;
    assert!(page.contains(&format!("action=\"{path}\" method=\"post\"")), "{page}");
    assert!(page.contains("value=\"again\"") && !page.contains("value=\"cancel\""), "{page}");
    assert_strict(&page);
    let new = Uid(5);
    stub.rerun(move |ask| {
        assert_eq!(ask.tasks[0].parent, Some(finished(3).uid));
        Ok(vec![Ok(new)])
    });
    assert!(page.contains("name=\"downstream\"") && page.contains("then children that failed"), "{page}");
    let (location, told) = posted(&stub, &path, "do=again".to_owned()).await;
    assert!(location == path && told.ends_with(&format!("=good Rerun as task {new}.")), "{told}");
    stub.rerun(move |ask| {
        assert!(ask.tasks[0].meta.contains("rerun=failed"), "{}", ask.tasks[0].meta);
        Ok(vec![Ok(new)])
    });
    assert!(posted(&stub, &path, "downstream=failed&do=again".to_owned()).await.1.contains("=good Rerun"));
    let (_, told) = posted(&stub, &path, "downstream=some&do=again".to_owned()).await;
    assert!(told.contains("write true, false or failed"), "{told}");
    stub.rerun(|_| Ok(vec![Err(Error::new(Code::TaskUnfinished, "it runs"))]));
    assert!(posted(&stub, &path, "do=again".to_owned()).await.1.ends_with("=bad it runs"));
    let (_, told) = posted(&stub, &path, "do=nothing".to_owned()).await;
    assert!(told.contains("the form names no action"), "{told}");
    stub.attempts(|_| Ok(vec![None]));
    assert!(posted(&stub, &path, "do=again".to_owned()).await.1.contains("=bad there is no task"));
}

#[actix::test]
async fn a_task_without_a_result_is_cancelled_from_its_page() {
    let stub = full();
    let (page, path) = page_of(&stub, attempt(1)).await;
    assert!(page.contains("value=\"cancel\"") && !page.contains("value=\"again\""), "{page}");
    assert_strict(&page);
    stub.cancel(|ask| {
        assert_eq!((ask.uids.as_slice(), ask.msg.as_str()), (&[attempt(1).uid][..], "cancelled: wrong day"));
        Ok(vec![Ok(())])
    });
    stub.attempts(|_| Ok(vec![Some(finished(1))]));
    let (location, told) = posted(&stub, &path, "do=cancel&note=wrong+day".to_owned()).await;
    assert!(location == path && told.ends_with("=good The task is cancelled."), "{told}");
    stub.cancel(|ask| {
        assert_eq!(ask.msg, "cancelled");
        Ok(vec![Ok(())])
    });
    stub.attempts(|_| Ok(vec![Some(Attempt { cancelled: true, ..leased(1) })]));
    let told = posted(&stub, &path, "do=cancel&note=".to_owned()).await.1;
    assert!(told.ends_with("Its worker will be told to stop at its next heartbeat."), "{told}");
    stub.cancel(|_| Err(Error::new(Code::AlreadyFinished, "it has its result")));
    assert!(posted(&stub, &path, "do=cancel".to_owned()).await.1.ends_with("=bad it has its result"));
    let long = format!("do=cancel&note={}", "x".repeat(1_001));
    assert!(posted(&stub, &path, long).await.1.contains("longer than 1000"));
    let (page, _) = page_of(&stub, Attempt { cancelled: true, ..leased(1) }).await;
    assert!(page.contains("cancelled: its worker will be told") && !page.contains("value=\"cancel\""), "{page}");
}

#[actix::test]
async fn a_task_is_marked_complete_from_its_page() {
    let stub = full();
    let failed = Attempt { result: Some(TaskResult::Error), ..finished(3) };
    let (page, path) = page_of(&stub, failed.clone()).await;
    assert!(page.contains("value=\"complete\"") && page.contains("value=\"again\""), "{page}");
    assert_strict(&page);
    stub.submit(|submit| {
        assert!(submit.results[0].1.msg.starts_with("marked complete: by hand (was error"), "{submit:?}");
        Ok(vec![Ok(AppliedResult { duplicate: false })])
    });
    let (location, told) = posted(&stub, &path, "do=complete&note=by+hand".to_owned()).await;
    assert!(location == path && told.ends_with("=good The task is marked complete, and its children start."), "{told}");
    stub.submit(|_| Ok(vec![Err(Error::new(Code::AlreadyFinished, "it was tried again"))]));
    assert!(posted(&stub, &path, "do=complete".to_owned()).await.1.ends_with("=bad it was tried again"));
    let (page, _) = page_of(&stub, Attempt { result: Some(TaskResult::Complete), ..failed }).await;
    assert!(!page.contains("value=\"complete\""), "{page}");
}

#[actix::test]
async fn buttons_are_for_those_who_may() {
    let (stub, context) = closed();
    stub.find_tasks(|_| Ok(listed(vec![finished(3)])));
    stub.attempts(|_| Ok(vec![Some(finished(3))]))
        .chain_beginning(|_| Ok(ChainStart { attempts: vec![finished(3)], more: 0 }));
    stub.alerts(|_| Ok(vec![alert(1)]));
    for path in ["/web/task".to_owned(), "/web/alert".to_owned(), format!("/web/task/{}", finished(3).uid)] {
        for (role, offered) in [(Role::Viewer, false), (Role::Operator, true), (Role::Admin, true)] {
            let page = send(context.clone(), with(request(Method::GET, &path), role.as_str())).await;
            assert_eq!((page.status, page.text.contains("Rerun")), (200, offered), "{role} {path}");
        }
        let refused = send(context.clone(), with(request(Method::POST, &path), "viewer")).await;
        assert_eq!(refused.status, 403, "{path}");
    }
}

#[actix::test]
async fn the_alerts_lead_to_the_failed_tasks_of_what_is_chosen() {
    let page = full().get("/web/alert?date=2026-03-01&type=load&job=daily&sort=msg").await.text;
    let href = "/web/task?type=load&job=daily&date=2026-03-01&result=error&retry=failed";
    assert!(page.contains(&format!("href=\"{}\"", href.replace('&', "&#38;"))), "{page}");
    assert_eq!(full().get(href).await.status, 200);
}

const ALERTS: &str = "/web/alert?date=2026-03-01&type=load&job=daily";

#[actix::test]
async fn failed_tasks_run_again_from_the_alerts_of_the_day() {
    let stub = full();
    let page = stub.get(ALERTS).await.text;
    let form = format!("<form action=\"{}\" method=\"post\"><button", ALERTS.replace('&', "&#38;"));
    assert!(page.contains(&form) && page.contains("Rerun failed tasks"), "{page}");
    assert_strict(&page);
    let ran = there(&stub);
    stub.find_tasks(|query| {
        assert!(query.filter.given_up && query.ascending);
        assert_eq!(
            (query.filter.from, query.filter.to),
            ("2026-03-01T00:00:00Z".parse().ok(), "2026-03-02T00:00:00Z".parse().ok())
        );
        assert_eq!((query.filter.topics, query.filter.jobs), (vec!["load".to_owned()], vec!["daily".to_owned()]));
        let other = Attempt { job: "other".to_owned(), ..finished(2) };
        Ok(listed(vec![finished(1), other, finished(3)]))
    });
    let (location, told) = posted(&stub, ALERTS, "do=rerun".to_owned()).await;
    assert_eq!((location.as_str(), told.as_str()), (ALERTS, "flowlord_notice=good 2 tasks were rerun."));
    assert_eq!(*ran.lock().unwrap(), [finished(1).uid, finished(3).uid], "of the type and job that are chosen");
    stub.find_tasks(|_| Ok(TaskPage::default()));
    assert!(posted(&stub, ALERTS, "do=rerun".to_owned()).await.1.contains("=bad none of these tasks can be rerun"));
    stub.find_tasks(|_| Ok(listed(vec![finished(1); 501])));
    assert!(posted(&stub, ALERTS, "do=rerun".to_owned()).await.1.contains("=bad more than 500 tasks failed"));
}

#[actix::test]
async fn those_of_an_open_incident_run_again() {
    let stub = full();
    stub.ladders(|_| {
        let tasks = vec!["load:daily".to_owned()];
        Ok(vec![EscalationStatus { incident_since: Some(noon()), tasks, ..ladder() }])
    });
    let page = stub.get("/web/alert").await.text;
    assert!(page.contains("name=\"route\" value=\"default\"") && page.contains("Rerun its failed tasks"), "{page}");
    let ran = there(&stub);
    stub.find_tasks(|query| {
        assert_eq!(query.filter.from, Some(noon() - chrono::TimeDelta::days(1)));
        assert_eq!((query.filter.topics, query.filter.given_up), (vec!["load".to_owned()], true));
        let other = Attempt { job: "other".to_owned(), ..finished(2) };
        Ok(listed(vec![other, finished(3)]))
    });
    let told = posted(&stub, "/web/alert", "do=rerun&route=default".to_owned()).await.1;
    assert!(told.ends_with("=good 1 task was rerun."), "{told}");
    assert_eq!(*ran.lock().unwrap(), [finished(3).uid]);
    for route in ["none", "quiet"] {
        stub.ladders(|_| Ok(vec![EscalationStatus { route: "quiet".to_owned(), ..ladder() }]));
        let told = posted(&stub, "/web/alert", format!("do=rerun&route={route}")).await.1;
        assert!(told.contains("=bad no incident of route") && told.contains(route), "{told}");
    }
}

#[actix::test]
async fn the_task_of_one_alert_runs_again_or_says_why_not() {
    let stub = full();
    let page = stub.get("/web/alert").await.text;
    assert!(page.contains(&format!("name=\"uid\" value=\"{}\"", attempt(1).uid)), "{page}");
    let ran = there(&stub);
    let form = || format!("do=rerun&uid={}", finished(3).uid);
    assert!(posted(&stub, "/web/alert", form()).await.1.ends_with("=good 1 task was rerun."));
    assert_eq!(*ran.lock().unwrap(), [finished(3).uid]);
    stub.rerun(|_| Ok(vec![Err(Error::new(Code::TaskUnfinished, "it runs again already"))]));
    let told = posted(&stub, "/web/alert", form()).await.1;
    assert!(told.ends_with("=bad 0 tasks were rerun, 1 could not be: it runs again already."), "{told}");
    assert!(posted(&stub, "/web/alert", "do=rerun&uid=x".to_owned()).await.1.contains("=bad "));
    stub.attempts(|_| Ok(vec![None]));
    assert!(posted(&stub, "/web/alert", form()).await.1.contains("=bad there is no task"));
}

//! Tasks that match a filter are shown before they are cancelled.

use std::sync::{Arc, Mutex};

use actix_web::test::TestRequest;
use flowlord_domain::{Attempt, TaskState};

use super::pages::{assert_strict, full};
use super::stub::{Stub, attempt, leased, listed, more};

const PATH: &str = "/web/task-cancel?date=2026-03-02&type=load&q=disk";

async fn posted(stub: &Stub, path: &str, form: String) -> (String, String) {
    let kind = ("content-type", "application/x-www-form-urlencoded");
    let reply = stub.send(TestRequest::post().uri(path).insert_header(kind).set_payload(form)).await;
    assert_eq!(reply.status, 303, "{reply:?}");
    (reply.header("location").to_owned(), reply.header("set-cookie").replace("%20", " "))
}

#[actix::test]
async fn what_would_be_cancelled_is_shown_and_nothing_changes() {
    let stub = full();
    let list = stub.get("/web/task?date=2026-03-02&type=load&q=disk&sort=run").await.text;
    assert!(list.contains(&format!("href=\"{}\"", PATH.replace('&', "&#38;"))), "{list}");
    stub.find_tasks(|query| {
        let filter = &query.filter;
        assert_eq!((filter.topics.join(","), query.search.terms.len(), query.ascending), ("load".to_owned(), 1, true));
        assert_eq!(filter.states, [TaskState::Ready, TaskState::Delayed, TaskState::Leased]);
        Ok(listed(vec![attempt(1), leased(2), Attempt { cancelled: true, ..leased(3) }]))
    });
    let page = stub.get(PATH).await.text;
    for part in ["2 tasks without a result", "Nothing is cancelled yet.", "Cancel 2 tasks", "type load, q disk"] {
        assert!(page.contains(part), "{part} is missing in {page}");
    }
    assert!(page.contains(&format!("name=\"newest\" value=\"{}\"", leased(2).uid)), "{page}");
    assert_strict(&page);
    let done = stub.get("/web/task-cancel?state=done").await.text;
    assert!(done.contains("No task without a result matches") && !done.contains("name=\"newest\""), "{done}");
}

#[actix::test]
async fn those_that_were_shown_are_cancelled_with_the_note_and_later_ones_stay() {
    let stub = full();
    stub.find_tasks(|_| Ok(listed(vec![attempt(1), leased(2), attempt(9)])));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    stub.cancel(move |ask| {
        assert_eq!(ask.msg, "cancelled: wrong source");
        let answers = ask.uids.iter().map(|_| Ok(())).collect();
        *seen.lock().unwrap() = ask.uids;
        Ok(answers)
    });
    let (location, told) = posted(&stub, PATH, format!("newest={}&note=wrong+source", leased(2).uid)).await;
    assert_eq!(location, "/web/task?date=2026-03-02&type=load&q=disk");
    assert!(told.contains("good 2 tasks were cancelled."), "{told}");
    assert_eq!(*asked.lock().unwrap(), [attempt(1).uid, leased(2).uid]);
    assert!(posted(&stub, PATH, "note=x".to_owned()).await.1.contains("names no newest task"));
    stub.find_tasks(|_| Ok(more((1..=500).map(attempt).collect())));
    assert!(stub.get(PATH).await.text.contains("these are more than 500 tasks: filter them"));
}

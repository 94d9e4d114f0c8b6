//! Alerts, the ladder's state and the outbox.

use flowlord_domain::{AlertKind, NewAlert};
use flowlord_messages::alerts::{
    AdvanceEscalation, AlertFilter, IncidentRecord, ListAlerts, RaiseAlerts, ReadEscalation, StepRecord,
};
use flowlord_messages::deadlines::{DeadlineBreach, RaiseBreaches, ReadDeadlineInput};
use flowlord_messages::outbox::{DeliveryOutcome, NewMessage, ReadPendingMessages, RecordDelivery};
use flowlord_messages::workflows::{ReadWorkflow, ReadWorkflows, SaveWorkflows, WorkflowRecord};

use super::*;

pub(super) fn alert(kind: AlertKind, at_once: Option<&str>) -> NewAlert {
    NewAlert {
        kind,
        at: noon(),
        uid: Some(Uid(5)),
        id: "chain".to_owned(),
        topic: "a".to_owned(),
        job: "j".to_owned(),
        workflow: "w.toml".to_owned(),
        msg: "broke".to_owned(),
        task_time: Some(noon()),
        owner: String::new(),
        runbook: String::new(),
        at_once: at_once.map(str::to_owned),
    }
}

pub(super) fn step(number: u32, kind: &str) -> StepRecord {
    let details = vec![format!("line of step {number}")];
    StepRecord { number, kind: kind.to_owned(), headline: "1 alert in 1 task".to_owned(), details }
}

pub(super) fn advance(told_until: i64) -> AdvanceEscalation {
    let message = NewMessage {
        route: "default".to_owned(),
        kind: "summary".to_owned(),
        key: "default:1".to_owned(),
        payload: "{}".to_owned(),
    };
    AdvanceEscalation {
        now: noon(),
        route: "default".to_owned(),
        state: "{\"step\":1}".to_owned(),
        told_until,
        incident: Some(IncidentRecord { opened: noon(), closed: None, alerts: 1, step: step(1, "summary") }),
        messages: vec![message],
    }
}

pub(super) async fn ladder(db: &Db) -> flowlord_messages::alerts::EscalationInput {
    db.read(ReadEscalation { route: "default".to_owned() }).await.unwrap()
}

#[actix::test]
async fn an_alert_result_is_in_the_outbox_with_its_result() {
    let db = Db::new();
    let uid = db.create(vec![task("a", "j")]).await.uids[0];
    let outcome =
        TaskDecision { alerts: vec![alert(AlertKind::Result, Some("line 1\nline 2"))], ..decision(TaskResult::Alert) };
    db.finish(ResultClaim::Task(uid), outcome).await.unwrap();
    let db = db.reopen();
    let messages = db.read(ReadPendingMessages { limit: 10 }).await.unwrap();
    assert_eq!(messages.len(), 1);
    assert!(messages[0].payload.contains("a:j: broke"), "{}", messages[0].payload);
    assert!(messages[0].payload.contains("line 2"), "{}", messages[0].payload);
    assert!(messages[0].payload.contains("\"link\":\"/web/task/00000000000005#log\""), "{}", messages[0].payload);
    assert!(ladder(&db).await.untold.is_empty(), "told at once isn't told again");
    let all =
        ListAlerts { from: noon(), to: noon() + seconds(1), filter: AlertFilter::default(), after: None, limit: 10 };
    let alerts = db.read(all).await.unwrap();
    assert_eq!((alerts[0].kind, alerts[0].at_once, alerts[0].topic.as_str()), (AlertKind::Result, true, "a"));
}

#[actix::test]
async fn a_ladder_tells_each_alert_once_over_restarts() {
    let db = Db::new();
    db.write(RaiseAlerts { alerts: vec![alert(AlertKind::Exhausted, None); 2] }).await.unwrap();
    let input = ladder(&db).await;
    assert_eq!((input.state, input.untold.len()), (None, 2));
    // One more is raised while the ladder thinks.
    db.write(RaiseAlerts { alerts: vec![alert(AlertKind::Exhausted, None)] }).await.unwrap();
    db.write(advance(input.newest)).await.unwrap();
    let db = db.reopen();
    let input = ladder(&db).await;
    assert_eq!(input.state.as_deref(), Some("{\"step\":1}"));
    assert_eq!(input.untold.len(), 1, "the one raised meanwhile");
    db.write(advance(input.newest)).await.unwrap();
    assert_eq!(db.read(ReadPendingMessages { limit: 10 }).await.unwrap().len(), 1, "a key is stored once");
}

#[actix::test]
async fn a_task_is_found_unfinished_once() {
    let db = Db::new();
    let uids = db.create(vec![task("a", ""), task("b", "")]).await.uids;
    db.finish(ResultClaim::Task(uids[0]), decision(TaskResult::Complete)).await.unwrap();
    let read = |before| ReadDeadlineInput { unfinished_before: before, running_since: None, paused_after: before };
    assert!(db.read(read(noon() - seconds(1))).await.unwrap().unfinished.is_empty());
    let found = db.read(read(noon() + seconds(1))).await.unwrap();
    assert_eq!(found.looked_until, None);
    assert_eq!(found.unfinished.iter().map(|attempt| attempt.topic.as_str()).collect::<Vec<_>>(), ["b"]);
    let raise = RaiseBreaches {
        looked_until: noon() + seconds(1),
        unfinished_until: noon() + seconds(1),
        breaches: vec![
            DeadlineBreach { key: "unfinished/b".to_owned(), alert: Some(alert(AlertKind::Unfinished, None)) },
            DeadlineBreach { key: "with it".to_owned(), alert: None },
        ],
        late_joins: Vec::new(),
    };
    db.write(raise.clone()).await.unwrap();
    let db = db.reopen();
    let seen = db.read(read(noon() + seconds(9))).await.unwrap();
    assert_eq!((seen.looked_until, seen.unfinished.len()), (Some(noon() + seconds(1)), 0));
    // The same again, as after an answer that was lost, or by a clock that was set back.
    db.write(RaiseBreaches { looked_until: noon(), unfinished_until: noon(), ..raise }).await.unwrap();
    assert_eq!(db.read(read(noon() + seconds(9))).await.unwrap().unfinished.len(), 1, "looked at again");
    assert_eq!(ladder(&db).await.untold.len(), 1, "and told once");
}

#[actix::test]
async fn messages_stay_until_they_are_sent() {
    let db = Db::new();
    db.write(advance(0)).await.unwrap();
    let id = db.read(ReadPendingMessages { limit: 1 }).await.unwrap()[0].id;
    let mark = |delivery| RecordDelivery { now: noon(), id, delivery, way: None, thread: None };
    let again = noon() + seconds(30);
    db.write(mark(DeliveryOutcome::Refused { error: "429".to_owned(), retry_at: again })).await.unwrap();
    let row = db.read(ReadPendingMessages { limit: 1 }).await.unwrap().remove(0);
    assert_eq!((row.attempts, row.retry_at, row.uncertain), (1, Some(again), false));
    db.write(mark(DeliveryOutcome::Unknown { error: "hung".to_owned(), retry_at: again })).await.unwrap();
    db.write(mark(DeliveryOutcome::Refused { error: "500".to_owned(), retry_at: again })).await.unwrap();
    let row = db.read(ReadPendingMessages { limit: 1 }).await.unwrap().remove(0);
    assert_eq!((row.attempts, row.uncertain), (3, true), "what may have arrived stays uncertain");
    db.write(mark(DeliveryOutcome::Sent)).await.unwrap();
    assert!(db.read(ReadPendingMessages { limit: 1 }).await.unwrap().is_empty());
}

#[actix::test]
async fn workflow_files_are_remembered_and_leave() {
    let db = Db::new();
    let file = |path: &str| WorkflowRecord {
        path: path.to_owned(),
        hash: "h".to_owned(),
        problem: String::new(),
        content: "[[phase]]".to_owned(),
    };
    let save = |changed, removed| SaveWorkflows { now: noon(), changed, removed, alerts: Vec::new() };
    db.write(save(vec![file("a.toml"), file("b.toml")], vec![])).await.unwrap();
    let broken = WorkflowRecord { problem: "bad".to_owned(), ..file("a.toml") };
    db.write(save(vec![broken.clone()], vec!["b.toml".to_owned()])).await.unwrap();
    assert_eq!(db.read(ReadWorkflows).await.unwrap(), std::slice::from_ref(&broken));
    assert_eq!(db.read(ReadWorkflow { path: "a.toml".to_owned() }).await.unwrap(), Some(broken));
    assert_eq!(db.read(ReadWorkflow { path: "b.toml".to_owned() }).await.unwrap(), None);
}

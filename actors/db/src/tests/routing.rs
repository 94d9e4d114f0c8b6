//! Which alerts are told where, which are silenced, and what happened in an incident.

use flowlord_domain::alert::AlertMatcher;
use flowlord_domain::{AlertKind, NewAlert};
use flowlord_messages::alerts::{
    AdvanceEscalation, AlertFilter, CountNotifications, IncidentRecord, ListAlerts, ListIncidents, NotificationCounts,
    RaiseAlerts, ReadEscalation, RouteRule, SetRoutes, StoredAlert,
};
use flowlord_messages::outbox::{DeliveryOutcome, NewMessage, ReadPendingMessages, RecordDelivery};
use flowlord_messages::silences::{AddSilence, ListSilences, MAX_SILENCES, RemoveSilence};

use super::alerting::{advance, alert, ladder, step};
use super::*;

fn matching(topic: &str) -> AlertMatcher {
    AlertMatcher { topic: Some(topic.to_owned()), ..AlertMatcher::default() }
}

fn about(topic: &str) -> NewAlert {
    NewAlert { topic: topic.to_owned(), ..alert(AlertKind::Exhausted, None) }
}

async fn raise(db: &Db, topics: &[&str]) {
    db.write(RaiseAlerts { alerts: topics.iter().map(|topic| about(topic)).collect() }).await.unwrap();
}

fn silence(topic: &str, until: DateTime<Utc>) -> AddSilence {
    AddSilence { now: noon(), matcher: matching(topic), until, by: "ada".to_owned(), reason: "r".to_owned() }
}

async fn alerts(db: &Db, filter: AlertFilter, after: Option<i64>) -> Vec<StoredAlert> {
    let list = ListAlerts { from: noon(), to: noon() + seconds(1), filter, after, limit: 3 };
    db.read(list).await.unwrap()
}

async fn untold(db: &Db, route: &str) -> Vec<String> {
    let input = db.read(ReadEscalation { route: route.to_owned() }).await.unwrap();
    input.untold.into_iter().map(|alert| alert.topic).collect()
}

async fn route(db: &Db, routes: &[(&str, &str)]) {
    let routes =
        routes.iter().map(|(name, topic)| RouteRule { name: (*name).to_owned(), matcher: matching(topic) }).collect();
    db.write(SetRoutes { now: noon() + seconds(60), routes }).await.unwrap();
}

#[actix::test]
async fn a_silence_holds_for_what_is_raised_and_what_is_not_told_yet() {
    let db = Db::new();
    raise(&db, &["load", "extract"]).await;
    let made = db.write(silence("lo?d", noon() + seconds(3_600))).await.unwrap();
    assert_eq!(untold(&db, "default").await, ["extract"]);
    let urgent = NewAlert { at_once: Some("now".to_owned()), ..about("load") };
    db.write(RaiseAlerts { alerts: vec![urgent, about("load"), about("other")] }).await.unwrap();
    assert_eq!(untold(&db, "default").await, ["extract", "other"]);
    assert!(db.read(ReadPendingMessages { limit: 9 }).await.unwrap().is_empty(), "not told at once, either");
    let stored = alerts(&db, AlertFilter { topics: vec!["load".to_owned()], ..AlertFilter::default() }, None).await;
    let silenced: Vec<_> = stored.iter().map(|alert| (alert.silence, alert.at_once)).collect();
    assert_eq!(silenced, [(Some(made.id), false); 3]);
    let late = NewAlert { at: noon() + seconds(3_600), ..about("load") };
    db.write(RaiseAlerts { alerts: vec![late] }).await.unwrap();
    assert_eq!(untold(&db, "default").await, ["extract", "other", "load"], "it is over");
}

#[actix::test]
async fn silences_are_listed_and_end_once() {
    let db = Db::new();
    let first = db.write(silence("a", noon() + seconds(10))).await.unwrap();
    let second = db.write(silence("b", noon() + seconds(99))).await.unwrap();
    let list = |at, after| ListSilences { at, after, limit: 9 };
    let db = db.reopen();
    assert_eq!(db.read(list(None, None)).await.unwrap(), [second.clone(), first.clone()]);
    assert_eq!(db.read(list(None, Some(second.id))).await.unwrap(), std::slice::from_ref(&first));
    let then = Some(noon() + seconds(10));
    assert_eq!(db.read(list(then, None)).await.unwrap(), std::slice::from_ref(&second));
    let end = RemoveSilence { now: noon() + seconds(20), id: second.id };
    assert_eq!(db.write(end).await.unwrap().until, noon() + seconds(20));
    assert_eq!(code(db.write(end).await), Code::SilenceUnknown);
    assert_eq!(code(db.write(RemoveSilence { now: noon(), id: 9 }).await), Code::SilenceUnknown);
    assert_eq!(db.read(list(Some(noon() + seconds(20)), None)).await.unwrap(), []);
}

#[actix::test]
async fn only_so_many_silences_hold() {
    let db = Db::new();
    for _ in 0..MAX_SILENCES {
        db.write(silence("a", noon() + seconds(10))).await.unwrap();
    }
    assert_eq!(code(db.write(silence("a", noon() + seconds(10))).await), Code::TooManySilences);
    let later = AddSilence { now: noon() + seconds(10), ..silence("a", noon() + seconds(20)) };
    assert!(db.write(later).await.is_ok(), "the others are over");
}

#[actix::test]
async fn each_alert_goes_by_the_first_route_that_takes_it() {
    let db = Db::new();
    route(&db, &[("etl", "e*"), ("late", "extra*")]).await;
    let urgent = NewAlert { at_once: Some("now".to_owned()), ..about("emit") };
    db.write(RaiseAlerts { alerts: vec![urgent] }).await.unwrap();
    raise(&db, &["extract", "load", "export"]).await;
    let db = db.reopen();
    assert_eq!(untold(&db, "etl").await, ["extract", "export"]);
    assert_eq!(untold(&db, "late").await, Vec::<String>::new());
    assert_eq!(untold(&db, "default").await, ["load"]);
    let routes: Vec<_> =
        db.read(ReadPendingMessages { limit: 9 }).await.unwrap().into_iter().map(|row| row.route).collect();
    assert_eq!(routes, ["etl"], "told at once by its route");
    let newest = db.read(ReadEscalation { route: "etl".to_owned() }).await.unwrap().newest;
    db.write(AdvanceEscalation { route: "etl".to_owned(), ..advance(newest) }).await.unwrap();
    assert_eq!(untold(&db, "etl").await, Vec::<String>::new());
    assert_eq!(untold(&db, "default").await, ["load"], "of another route");
}

#[actix::test]
async fn what_a_route_that_is_gone_did_not_tell_goes_where_it_goes_now() {
    let db = Db::new();
    route(&db, &[("etl", "e*")]).await;
    raise(&db, &["extract", "export"]).await;
    // The default route is past them already.
    db.write(advance(100)).await.unwrap();
    let gone = AdvanceEscalation { route: "etl".to_owned(), messages: Vec::new(), ..advance(0) };
    db.write(gone).await.unwrap();
    route(&db, &[("x", "expo*")]).await;
    assert_eq!(untold(&db, "etl").await, Vec::<String>::new());
    assert_eq!(untold(&db, "x").await, ["export"]);
    assert_eq!(untold(&db, "default").await, ["extract"]);
    let list = ListIncidents { from: noon(), to: noon() + seconds(1), after: None, limit: 9 };
    let incidents = db.read(list).await.unwrap();
    let ends: Vec<_> = incidents
        .iter()
        .map(|incident| (incident.route.as_str(), incident.closed, incident.steps.last().unwrap().kind.as_str()))
        .collect();
    assert_eq!(ends, [("etl", Some(noon() + seconds(60)), "removed"), ("default", None, "summary")]);
    let state = db.read(ReadEscalation { route: "etl".to_owned() }).await.unwrap().state;
    assert_eq!(state, None, "it would begin anew");
}

#[actix::test]
async fn an_incident_is_remembered_with_its_steps() {
    let db = Db::new();
    db.write(advance(0)).await.unwrap();
    let id = db.read(ReadPendingMessages { limit: 1 }).await.unwrap()[0].id;
    let sent =
        RecordDelivery { now: noon() + seconds(2), id, delivery: DeliveryOutcome::Sent, way: None, thread: None };
    db.write(sent).await.unwrap();
    let easing = IncidentRecord { opened: noon(), closed: None, alerts: 5, step: step(2, "update") };
    let message = NewMessage { key: "easing".to_owned(), ..advance(0).messages.remove(0) };
    let easing = AdvanceEscalation { incident: Some(easing), messages: vec![message], ..advance(0) };
    db.write(easing).await.unwrap();
    let id = db.read(ReadPendingMessages { limit: 1 }).await.unwrap()[0].id;
    let skipped = RecordDelivery { now: noon(), id, delivery: DeliveryOutcome::Skipped, way: None, thread: None };
    db.write(skipped).await.unwrap();
    assert_eq!(db.read(ReadPendingMessages { limit: 1 }).await.unwrap(), []);
    let end =
        IncidentRecord { opened: noon(), closed: Some(noon() + seconds(90)), alerts: 5, step: step(3, "all_clear") };
    let over = AdvanceEscalation { now: noon() + seconds(90), incident: Some(end), messages: Vec::new(), ..advance(0) };
    db.write(over.clone()).await.unwrap();
    db.write(over).await.unwrap();
    let list = |from, to, after| ListIncidents { from, to, after, limit: 9 };
    let incidents = db.read(list(noon() + seconds(80), noon() + seconds(99), None)).await.unwrap();
    let [incident] = &incidents[..] else { panic!("{incidents:?}") };
    assert_eq!((incident.closed, incident.alerts), (Some(noon() + seconds(90)), 5));
    let steps: Vec<_> = incident.steps.iter().map(|step| (step.kind.as_str(), step.sent)).collect();
    let expected = [("summary", Some(noon() + seconds(2))), ("update", None), ("all_clear", None)];
    assert_eq!(steps, expected, "only what somebody was told has a time");
    assert_eq!(incident.steps[0].details, ["line of step 1"]);
    let after = Some((noon(), "default".to_owned()));
    assert_eq!(db.read(list(noon(), noon() + seconds(99), after)).await.unwrap(), []);
    assert_eq!(db.read(list(noon() + seconds(91), noon() + seconds(99), None)).await.unwrap(), []);
}

#[actix::test]
async fn only_what_slack_took_counts_as_sent() {
    let db = Db::new();
    let refused = |retry_at| DeliveryOutcome::Refused { error: "channel_not_found".to_owned(), retry_at };
    let ends = [DeliveryOutcome::Sent, DeliveryOutcome::Skipped, refused(noon() + seconds(30))];
    let count = CountNotifications { incidents: vec![("default".to_owned(), noon()), ("etl".to_owned(), noon())] };
    for (number, delivery) in (1..).zip(ends) {
        let record = IncidentRecord { opened: noon(), closed: None, alerts: 5, step: step(number, "summary") };
        let message = NewMessage { key: format!("default/{number}"), ..advance(0).messages.remove(0) };
        db.write(AdvanceEscalation { incident: Some(record), messages: vec![message], ..advance(0) }).await.unwrap();
        let waiting = db.read(count.clone()).await.unwrap().remove(0).waiting;
        assert_eq!(waiting, 1, "until it was tried");
        let id = db.read(ReadPendingMessages { limit: 1 }).await.unwrap()[0].id;
        db.write(RecordDelivery { now: noon(), id, delivery, way: None, thread: None }).await.unwrap();
    }
    let error = Some("channel_not_found".to_owned());
    let expected = NotificationCounts { sent: 1, waiting: 1, error, retry_at: Some(noon() + seconds(30)) };
    assert_eq!(db.read(count).await.unwrap(), [expected, NotificationCounts::default()]);
}

#[actix::test]
async fn alerts_are_listed_by_time_what_they_are_about_and_page() {
    let db = Db::new();
    raise(&db, &["a", "b", "a", "c"]).await;
    let all = alerts(&db, AlertFilter::default(), None).await;
    let rows: Vec<_> = all.iter().map(|alert| alert.row).collect();
    assert_eq!(rows, [4, 3, 2]);
    let rest = alerts(&db, AlertFilter::default(), Some(2)).await;
    assert_eq!(rest.iter().map(|alert| alert.row).collect::<Vec<_>>(), [1]);
    let filter = AlertFilter {
        topics: vec!["a".to_owned(), "c".to_owned()],
        jobs: vec!["j".to_owned()],
        workflows: vec!["w.toml".to_owned()],
        kinds: vec![AlertKind::Exhausted],
    };
    let some = alerts(&db, filter.clone(), None).await;
    assert_eq!(some.iter().map(|alert| alert.row).collect::<Vec<_>>(), [4, 3, 1]);
    for none in [
        AlertFilter { kinds: vec![AlertKind::Result], ..filter.clone() },
        AlertFilter { workflows: vec!["x".to_owned()], ..filter.clone() },
        AlertFilter { jobs: vec![String::new()], ..filter },
    ] {
        assert_eq!(alerts(&db, none, None).await, []);
    }
    assert_eq!(ladder(&db).await.newest, 4);
}

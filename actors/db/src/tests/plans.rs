//! Every statement about alerts goes by an index: what they run is traced, and SQLite is asked how it would do it.

use std::cell::RefCell;
use std::collections::BTreeSet;

use flowlord_domain::alert::AlertMatcher;
use flowlord_domain::join::JoinKey;
use flowlord_domain::rule::BatchStep;
use flowlord_domain::{AlertKind, NewAlert};
use flowlord_messages::alerts::{
    AdvanceEscalation, AlertFilter, CountNotifications, ListAlerts, ListIncidents, RaiseAlerts, ReadAlerts,
    ReadEscalation, RouteRule, SetRoutes,
};
use flowlord_messages::deadlines::{DeadlineBreach, RaiseBreaches, ReadDeadlineInput, ReadSlotTasks};
use flowlord_messages::history::{HistoryPosition, RemoveHistory};
use flowlord_messages::joins::{ReadJoins, ReadWaitingJoins};
use flowlord_messages::outbox::{
    DeliveryOutcome, EnqueueMessage, NewMessage, ReadMessage, ReadOutages, ReadPendingMessages, ReadThreads,
    RecordDelivery, RouteTransport, SlackThread, TransportOutage,
};
use flowlord_messages::schedule::{SetPaused, SlotKey};
use flowlord_messages::silences::{AddSilence, ListSilences, RemoveSilence};
use rusqlite::Connection;
use rusqlite::trace::{TraceEvent, TraceEventCodes};

use super::alerting::{advance, alert};
use super::*;
use crate::connection::open_writer;
use crate::reader::ReadQuery;
use crate::writer::command::{QueuedCommand, own_command};
use crate::writer::context::NameCache;
use crate::writer::transaction::WriteTransaction;

thread_local! {
    static RUN: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
}

#[expect(clippy::needless_pass_by_value, reason = "as SQLite's bindings call it")]
fn note(event: TraceEvent<'_>) {
    // What triggers run is told as comments.
    if let TraceEvent::Stmt(_, sql) = event
        && !sql.starts_with("--")
    {
        RUN.with_borrow_mut(|run| run.insert(sql.to_owned()));
    }
}

/// How SQLite does what was run.
fn plans(connection: &Connection) -> Vec<(String, String)> {
    connection.trace_v2(TraceEventCodes::empty(), None);
    let run = RUN.take();
    let explained = |sql: &String| {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let steps = statement.raw_query().mapped(|row| row.get::<_, String>(3));
        steps.map(|step| (sql.clone(), step.unwrap())).collect::<Vec<_>>()
    };
    run.iter().filter(|sql| !sql.starts_with("SAVEPOINT")).flat_map(explained).collect()
}

/// A step that reads a whole table whose rows grow with the history. The others are as small as what holds now:
/// routes, ladders, ways that fail, phases that are paused, unfinished tasks, what is still to be told.
fn is_full(step: &str) -> bool {
    const SMALL: [&str; 13] = [
        "SCAN route",
        "SCAN ladder",
        "SCAN slack_outage",
        "SCAN pause",
        "SCAN json_each",
        "SCAN waiting",
        "SCAN CONSTANT ROW",
        "SCAN alert USING INDEX alert_untold",
        "SCAN incident USING INDEX incident_open",
        "SCAN task USING INDEX task_ready",
        "SCAN task USING INDEX task_delayed",
        "SCAN task USING INDEX task_leased",
        "SCAN (",
    ];
    let step = step.replace("USING COVERING INDEX", "USING INDEX");
    step.starts_with("SCAN") && !SMALL.iter().any(|small| step.starts_with(small))
}

fn matcher(topic: &str) -> AlertMatcher {
    AlertMatcher { topic: Some(topic.to_owned()), ..AlertMatcher::default() }
}

fn commands() -> Vec<Box<dyn QueuedCommand>> {
    let now = noon();
    let until = noon() + seconds(60);
    let message =
        NewMessage { route: "etl".to_owned(), kind: "test".to_owned(), key: "k".to_owned(), payload: "{}".to_owned() };
    let thread = SlackThread {
        route: "etl".to_owned(),
        opened: now,
        via: "etl".to_owned(),
        channel: "c".to_owned(),
        ts: "1".to_owned(),
        payload: "{}".to_owned(),
    };
    let way = |outage| Some(RouteTransport { route: "etl".to_owned(), outage });
    let outage = Some(TransportOutage { since: now, failures: 1, retry_at: now });
    let mark = |way| RecordDelivery { now, id: 1, delivery: DeliveryOutcome::Sent, way, thread: Some(thread.clone()) };
    let pause = |paused| SetPaused { now, workflow: "w".to_owned(), task: "a:j".to_owned(), paused };
    let routes = vec![RouteRule { name: "etl".to_owned(), matcher: matcher("e*") }];
    let urgent = NewAlert { at_once: Some("now".to_owned()), ..alert(AlertKind::Result, None) };
    vec![
        own_command(SetRoutes { now, routes: routes.clone() }),
        own_command(RaiseAlerts { alerts: vec![alert(AlertKind::Exhausted, None), urgent] }),
        own_command(AddSilence { now, matcher: matcher("x"), until, by: "ada".to_owned(), reason: "r".to_owned() }),
        own_command(RemoveSilence { now, id: 1 }),
        own_command(EnqueueMessage { now, message }),
        own_command(advance(0)),
        own_command(AdvanceEscalation { route: "gone".to_owned(), messages: Vec::new(), ..advance(0) }),
        own_command(SetRoutes { now, routes }),
        own_command(mark(way(outage))),
        own_command(mark(way(None))),
        own_command(RaiseBreaches {
            looked_until: now,
            unfinished_until: now,
            breaches: vec![DeadlineBreach { key: "b".to_owned(), alert: None }],
            late_joins: Vec::new(),
        }),
        own_command(pause(true)),
        own_command(pause(false)),
        own_command(RemoveHistory { before: now, after: HistoryPosition::default(), limit: 9 }),
    ]
}

fn queries(connection: &Connection) {
    let (from, to) = (noon(), noon() + seconds(60));
    let one = || vec!["a".to_owned()];
    let filter = AlertFilter { topics: one(), jobs: one(), workflows: one(), kinds: vec![AlertKind::Result] };
    for (filter, after) in [(AlertFilter::default(), None), (filter, Some(1))] {
        ListAlerts { from, to, filter, after, limit: 9 }.read_from(connection).unwrap();
    }
    for route in ["default", "etl"] {
        ReadEscalation { route: route.to_owned() }.read_from(connection).unwrap();
    }
    ReadAlerts { rows: vec![1] }.read_from(connection).unwrap();
    for after in [None, Some((noon(), "default".to_owned()))] {
        ListIncidents { from, to, after, limit: 9 }.read_from(connection).unwrap();
    }
    CountNotifications { incidents: vec![("default".to_owned(), noon())] }.read_from(connection).unwrap();
    for at in [None, Some(noon())] {
        ListSilences { at, after: None, limit: 9 }.read_from(connection).unwrap();
    }
    ReadPendingMessages { limit: 1 }.read_from(connection).unwrap();
    ReadOutages.read_from(connection).unwrap();
    ReadThreads { route: "etl".to_owned(), opened: noon() }.read_from(connection).unwrap();
    ReadMessage { id: 1 }.read_from(connection).unwrap();
    let slot = SlotKey { workflow: "w".to_owned(), task: "a:j".to_owned(), at: noon() };
    ReadSlotTasks { slots: vec![(slot, "@hourly".to_owned())] }.read_from(connection).unwrap();
    let join = JoinKey { workflow: "w".to_owned(), task: "a:j".to_owned(), over: BatchStep::Day, period: 1 };
    ReadJoins { joins: vec![join] }.read_from(connection).unwrap();
    ReadWaitingJoins { workflow: "w".to_owned(), limit: 9 }.read_from(connection).unwrap();
    // From where the last look was, and from far away.
    for hours in [0, 9] {
        let unfinished_before = noon() + TimeDelta::hours(hours);
        let (running_since, paused_after) = (Some(noon()), noon() - TimeDelta::days(1));
        ReadDeadlineInput { unfinished_before, running_since, paused_after }.read_from(connection).unwrap();
    }
}

#[actix::test]
async fn every_statement_about_alerts_goes_by_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(crate::DATABASE);
    let connection = open_writer(&path).unwrap();
    connection.trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(note));
    let mut names = NameCache::default();
    let mut commands = commands();
    WriteTransaction { path: &path, connection: &connection, names: &mut names }.write_all(&mut commands).unwrap();
    queries(&connection);
    let plans = plans(&connection);
    let run: BTreeSet<&str> = plans.iter().map(|(sql, _)| sql.as_str()).collect();
    assert!(run.len() > 40, "they were traced: {run:#?}");
    let full: Vec<_> = plans.iter().filter(|(_, step)| is_full(step)).collect();
    assert!(full.is_empty(), "{full:#?}");
}

#[test]
fn a_statement_that_reads_all_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let connection = open_writer(&folder.path().join(crate::DATABASE)).unwrap();
    connection.trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(note));
    connection.query_row("SELECT count(*) FROM alert WHERE msg = 'x'", [], |_| Ok(())).unwrap();
    assert!(plans(&connection).iter().any(|(_, step)| is_full(step)));
}

//! Pages of tasks against the same tasks filtered and sorted by hand.

use flowlord_domain::search::{SearchedTask, TaskSearch};
use flowlord_domain::{Attempt, TaskState};
use flowlord_messages::tasks::{FindTasks, TaskCursor, TaskFilter, TaskPage, TaskSort, TextExtent};
use rusqlite::Connection;

use super::*;
use crate::search::TaskFinder;

const TASKS: i64 = 300;

/// Tasks of several topics and jobs, some of which are in hand or ended in every way.
async fn history() -> (Db, Vec<Attempt>) {
    let db = Db::new();
    let names = [("load", "hourly"), ("load", "daily"), ("Load", ""), ("report", "daily")];
    let tasks = (0..TASKS).map(|n| {
        let (topic, job) = names[usize::try_from(n * n % 7 % 4).unwrap()];
        NewTask {
            uid: Uid::at(noon() + seconds(n * 60)),
            id: format!("chain-{}", n / 3),
            info: format!("?n={:03}", (n * 37) % TASKS),
            meta: if n % 4 == 0 { String::new() } else { format!("file=a{n}.csv") },
            not_before: (n % 50 == 3).then(|| noon() + seconds(1_000_000)),
            ..task(topic, job)
        }
    });
    let uids = db.create(tasks.collect()).await.uids;
    for (n, uid) in uids.iter().enumerate() {
        if n % 5 != 4 && n % 50 != 3 {
            let result = [TaskResult::Complete, TaskResult::Error, TaskResult::Warn, TaskResult::Alert][n % 11 % 4];
            let started = uid.created_at() + seconds(i64::try_from(n * 7 % 40).unwrap());
            let ended = started + seconds(i64::try_from(n * 13 % 90).unwrap());
            let decision =
                TaskDecision { started: Some(started), ended, msg: format!("No space {}", n % 9), ..decision(result) };
            db.finish(ResultClaim::Task(*uid), decision).await.unwrap();
        }
    }
    db.lease_many(&["load"], 7, noon() + seconds(100_000)).await;
    let all = db.read(ReadAttempts { uids }).await.unwrap().into_iter().flatten().collect();
    (db, all)
}

fn query(filter: TaskFilter, search: &str, sort: TaskSort, ascending: bool) -> FindTasks {
    FindTasks {
        filter,
        search: search.parse().unwrap(),
        sort,
        ascending,
        after: None,
        limit: 7,
        texts: TextExtent::Whole,
    }
}

fn fits(filter: &TaskFilter, search: &TaskSearch, task: &Attempt) -> bool {
    let any = |list: &[String], one: &String| list.is_empty() || list.contains(one);
    let result = match task.result {
        None => filter.running || filter.results.is_empty(),
        Some(result) => filter.results.contains(&result) || (filter.results.is_empty() && !filter.running),
    };
    let created = task.uid.created_at();
    filter.from.is_none_or(|from| created >= from)
        && filter.to.is_none_or(|to| created < to)
        && any(&filter.topics, &task.topic)
        && any(&filter.jobs, &task.job)
        && any(&filter.ids, &task.id)
        && (filter.states.is_empty() || filter.states.contains(&task.state))
        && result
        && search.finds_task(&SearchedTask {
            topic: task.topic.as_bytes(),
            job: task.job.as_bytes(),
            id: task.id.as_bytes(),
            result: task.result,
            info: task.info.as_bytes(),
            meta: task.meta.as_bytes(),
            msg: task.msg.as_bytes(),
        })
}

/// All pages, one after the other, as their ids.
fn pages(connection: &Connection, mut query: FindTasks, max_rows: usize) -> Vec<Vec<Uid>> {
    let mut pages = Vec::new();
    loop {
        let TaskPage { tasks, next, .. } = TaskFinder { connection, query: &query, max_rows }.read_page().unwrap();
        pages.push(tasks.iter().map(|task| task.uid).collect());
        query.after = next.map(|next: TaskCursor| next.to_string().parse().unwrap());
        if query.after.is_none() {
            return pages;
        }
        assert!(pages.len() < 1_000, "no end: {query:?}");
    }
}

fn filters() -> Vec<(TaskFilter, &'static str)> {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let all = TaskFilter::default;
    vec![
        (all(), ""),
        (TaskFilter { from: Some(noon() + seconds(3_000)), to: Some(noon() + seconds(9_000)), ..all() }, ""),
        (TaskFilter { topics: texts(&["load"]), ..all() }, ""),
        (TaskFilter { topics: texts(&["load", "report"]), jobs: texts(&["daily"]), ..all() }, ""),
        (TaskFilter { topics: texts(&["none"]), ..all() }, ""),
        (TaskFilter { results: vec![TaskResult::Error, TaskResult::Alert], ..all() }, ""),
        (TaskFilter { results: vec![TaskResult::Warn], topics: texts(&["load"]), ..all() }, ""),
        (TaskFilter { results: vec![TaskResult::Complete], ..all() }, ""),
        (TaskFilter { running: true, ..all() }, ""),
        (TaskFilter { running: true, results: vec![TaskResult::Error], ..all() }, ""),
        (TaskFilter { states: vec![TaskState::Leased, TaskState::Delayed], ..all() }, ""),
        (TaskFilter { states: vec![TaskState::Done], jobs: texts(&[""]), ..all() }, ""),
        (TaskFilter { ids: texts(&["chain-7", "chain-70", "chain-7"]), ..all() }, ""),
        (all(), "space -type:load"),
        (all(), "type:LOAD result:error"),
        (all(), "load:daily \"no space 3\""),
        (TaskFilter { results: vec![TaskResult::Error], ..all() }, "msg:\"space 1\""),
    ]
}

#[actix::test]
async fn each_task_that_fits_comes_once_in_order_of_creation() {
    let (db, all) = history().await;
    let connection = Connection::open(db.folder.path().join(crate::DATABASE)).unwrap();
    for (filter, search) in filters() {
        for ascending in [true, false] {
            let query = || query(filter.clone(), search, TaskSort::Created, ascending);
            let mut expected: Vec<Uid> =
                all.iter().filter(|task| fits(&filter, &query().search, task)).map(|task| task.uid).collect();
            if !ascending {
                expected.reverse();
            }
            for looked_at in [20, 5_000] {
                let pages = pages(&connection, query(), looked_at);
                let found: Vec<Uid> = pages.concat();
                assert_eq!(found, expected, "{filter:?} {search} {ascending} {looked_at}");
                assert!(pages.iter().all(|page| page.len() <= 7));
            }
        }
    }
}

#[actix::test]
async fn each_task_that_fits_comes_once_in_any_other_order() {
    let (db, all) = history().await;
    let connection = Connection::open(db.folder.path().join(crate::DATABASE)).unwrap();
    for (filter, search) in filters() {
        for (sort, ascending) in TaskSort::ALL.into_iter().skip(1).flat_map(|sort| [(sort, true), (sort, false)]) {
            let query = || query(filter.clone(), search, sort, ascending);
            let mut expected: Vec<Uid> =
                all.iter().filter(|task| fits(&filter, &query().search, task)).map(|task| task.uid).collect();
            let whole = pages(&connection, query(), 5_000).concat();
            assert_sorted(&whole, &all, sort, ascending);
            let mut in_pieces = pages(&connection, query(), 20).concat();
            in_pieces.sort_unstable();
            let mut whole = whole;
            whole.sort_unstable();
            expected.sort_unstable();
            assert_eq!(whole, expected, "{filter:?} {search} {sort:?}");
            assert_eq!(in_pieces, expected, "{filter:?} {search} {sort:?}, in pieces");
        }
    }
}

/// The value of a task; those without one come last, those with the same newest first.
fn assert_sorted(uids: &[Uid], all: &[Attempt], sort: TaskSort, ascending: bool) {
    let task = |uid: &Uid| all.iter().find(|task| task.uid == *uid).unwrap();
    let number = |number: Option<i64>| number.map(|number| format!("{number:020}"));
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let micros = |at: Option<DateTime<Utc>>| at.map(|at| at.timestamp_micros());
    let value = |task: &Attempt| match sort {
        TaskSort::Created => number(Some(task.uid.0)),
        TaskSort::Started => number(micros(task.started)),
        TaskSort::Ended => number(micros(task.ended)),
        TaskSort::Queue => number(micros(task.started).map(|started| started - task.uid.0)),
        TaskSort::Run => number(micros(task.started).zip(micros(task.ended)).map(|(from, to)| to - from)),
        TaskSort::Result => number(task.result.map(|result| match result {
            TaskResult::Complete => 0,
            TaskResult::Warn => 1,
            TaskResult::Error => 2,
            TaskResult::Alert => 3,
        })),
        TaskSort::Type => text(&task.topic),
        TaskSort::Job => text(&task.job),
        TaskSort::Info => text(&task.info),
        TaskSort::Meta => text(&task.meta),
        TaskSort::Msg => text(&task.msg),
    };
    for pair in uids.windows(2) {
        let (a, b) = (value(task(&pair[0])), value(task(&pair[1])));
        let fine = match (&a, &b) {
            (None, Some(_)) => false,
            (Some(_), None) => true,
            (Some(a), Some(b)) if a != b => (a < b) == ascending,
            _ => pair[0] > pair[1],
        };
        assert!(fine, "{sort:?} {ascending}: {a:?} before {b:?}");
    }
}

#[actix::test]
async fn pages_stay_while_tasks_arrive() {
    for sort in [TaskSort::Created, TaskSort::Info] {
        let (db, all) = history().await;
        let connection = Connection::open(db.folder.path().join(crate::DATABASE)).unwrap();
        let mut query = query(TaskFilter::default(), "", sort, false);
        let mut seen = Vec::new();
        for n in 0.. {
            let page = TaskFinder { connection: &connection, query: &query, max_rows: 5_000 }.read_page().unwrap();
            seen.extend(page.tasks.iter().map(|task| task.uid));
            let Some(next) = page.next else { break };
            query.after = Some(next);
            let late = NewTask { uid: Uid::at(noon() + seconds(1_000_000 + n)), ..task("load", "late") };
            db.create(vec![late]).await;
        }
        seen.sort_unstable();
        let before: Vec<Uid> = all.iter().map(|task| task.uid).collect();
        assert_eq!(seen, before, "{sort:?}");
    }
}

#[actix::test]
async fn what_was_looked_at_is_told() {
    let (db, all) = history().await;
    let connection = Connection::open(db.folder.path().join(crate::DATABASE)).unwrap();
    let rare = query(TaskFilter::default(), "info:n=037", TaskSort::Created, false);
    let page = TaskFinder { connection: &connection, query: &rare, max_rows: 50 }.read_page().unwrap();
    let reached = all[all.len() - 50].uid;
    assert_eq!((page.tasks.len(), page.next), (0, Some(TaskCursor::After(reached))));
    assert_eq!(page.looked_until, Some(reached.created_at()));
    let whole = TaskFinder { connection: &connection, query: &rare, max_rows: 5_000 }.read_page().unwrap();
    assert_eq!((whole.tasks.len(), whole.next, whole.looked_until), (1, None, None));
    let sorted = query(TaskFilter::default(), "", TaskSort::Info, true);
    let page = TaskFinder { connection: &connection, query: &sorted, max_rows: 50 }.read_page().unwrap();
    assert_eq!((page.tasks.len(), page.looked_until), (7, Some(reached.created_at())));
}

#[actix::test]
async fn every_way_to_tasks_is_an_index() {
    use crate::search::TaskSource;
    let (db, _) = history().await;
    let connection = Connection::open(db.folder.path().join(crate::DATABASE)).unwrap();
    let sources = [
        TaskSource::All,
        TaskSource::Queue(1),
        TaskSource::Failed(1),
        TaskSource::QueueFailed(1, 1),
        TaskSource::Chain(String::new()),
        TaskSource::Few(Vec::new()),
    ];
    for (source, order) in sources.iter().flat_map(|source| [(source, "ASC"), (source, "DESC")]) {
        let sql = format!(
            "EXPLAIN QUERY PLAN SELECT uid, info FROM {} uid BETWEEN ?1 AND ?2 ORDER BY uid {order}",
            source.source_sql()
        );
        let mut statement = connection.prepare(&sql).unwrap();
        let values = vec![1; statement.parameter_count()];
        let plan: Vec<String> = statement
            .query_map(rusqlite::params_from_iter(values), |row| row.get(3))
            .unwrap()
            .collect::<rusqlite::Result<_>>()
            .unwrap();
        assert!(plan.len() == 1 && plan[0].starts_with("SEARCH task USING"), "{source:?}: {plan:?}");
    }
}

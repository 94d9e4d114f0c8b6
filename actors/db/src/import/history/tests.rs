//! What is read of a database that its program goes on writing.

use rusqlite::Connection;

use super::*;

const TABLES: &str = "
    CREATE TABLE task_records (id TEXT, type TEXT, job TEXT, info TEXT, result TEXT, meta TEXT, msg TEXT,
        created TIMESTAMP, started TIMESTAMP, ended TIMESTAMP, PRIMARY KEY (type, job, id, created));
    CREATE TABLE alert_records (id INTEGER PRIMARY KEY, task_id TEXT, task_type TEXT, job TEXT, msg TEXT,
        created_at TIMESTAMP);
    CREATE TABLE file_messages (id INTEGER PRIMARY KEY, path TEXT, received_at TIMESTAMP, task_names TEXT);";

struct Bench {
    folder: tempfile::TempDir,
    old: Connection,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let old = Connection::open(folder.path().join("old.db")).unwrap();
        old.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).unwrap();
        old.execute_batch(TABLES).unwrap();
        Self { folder, old }
    }

    fn task(&self, id: &str, topic: &str, created: &str, ended: &str) {
        let insert = "INSERT INTO task_records (type, job, id, result, created, ended, info, meta)
            VALUES (?1, 'j', ?2, 'Complete ', ?3, ?4, 'i', 'm=1')";
        self.old.execute(insert, [topic, id, created, ended]).unwrap();
    }

    fn alert(&self, id: &str, at: &str) {
        let insert =
            "INSERT INTO alert_records (task_id, task_type, job, msg, created_at) VALUES (?1, 'a', 'j', 'm', ?2)";
        self.old.execute(insert, [id, at]).unwrap();
    }

    fn history(&self) -> OldHistory {
        OldHistory::open(&self.folder.path().join("old.db")).unwrap()
    }

    /// Each chain's id, with the types of its tasks and how many alerts it has.
    fn chains(&self, range: TimeRange) -> Vec<String> {
        let mut told = Vec::new();
        let each = |chain: OldChain| {
            let topics: String = chain.tasks.iter().map(|task| task.topic.as_str()).collect();
            told.push(format!("{} {topics} {}", chain.id().unwrap_or_default(), chain.alerts.len()));
            Ok::<(), ImportError>(())
        };
        self.history().each_chain(range, each).unwrap();
        told
    }

    /// The ids of records in their order; a star marks the first of a chain.
    fn records(&self, range: TimeRange) -> Vec<String> {
        let mut told = Vec::new();
        let each = |record: OldRecord| {
            told.push(match record {
                OldRecord::Task(task) => format!("{}{}{}", task.id, task.topic, if task.is_first { "*" } else { "" }),
                OldRecord::Alert(alert) => format!("alert {}", alert.topic),
            });
            Ok::<(), ImportError>(())
        };
        self.history().each_record(range, each).unwrap();
        told
    }
}

fn at(clock: &str) -> DateTime<Utc> {
    format!("2024-01-15T{clock}Z").parse().unwrap()
}

const WHOLE: (&str, &str) = ("00:00:00", "23:59:59");

fn range((from, to): (&str, &str)) -> TimeRange {
    (at(from), at(to))
}

#[test]
fn chains_come_in_full_when_a_part_of_them_is_asked_for() {
    let bench = Bench::new();
    bench.task("y", "a", "2024-01-15T05:00:00Z", "2024-01-15T05:01:00Z");
    bench.task("x", "a", "2024-01-15 04:00:00+00:00", "2024-01-15T09:00:00Z");
    bench.task("x", "b", "2024-01-15T09:00:01Z", "");
    bench.task("", "c", "2024-01-15T05:00:00Z", "");
    bench.task("unknown", "c", "2024-01-15T05:00:00Z", "");
    bench.task("z", "c", "soon", "");
    bench.alert("x", "2024-01-15 09:00:02");
    bench.alert("w", "2024-01-15 10:00:00");
    assert_eq!(bench.chains(range(WHOLE)), ["w  1", "x ab 1", "y a 0"]);
    assert_eq!(bench.chains(range(("04:00:00", "05:00:00"))), ["x ab 1"]);
    // It ended in the range, and was created before it.
    assert_eq!(bench.chains(range(("08:00:00", "09:00:00"))), ["x ab 1"]);
    assert_eq!(bench.chains(range(("11:00:00", "12:00:00"))), Vec::<String>::new());
    assert_eq!(bench.history().count_unreadable().unwrap(), 3);
    assert_eq!(bench.history().time_span().unwrap(), Some(range(("04:00:00", "10:00:00"))));
}

#[test]
fn records_come_in_the_order_of_time_whatever_its_form() {
    let bench = Bench::new();
    for (id, created) in [
        ("5", "2024-01-15T05:00:00Z"),
        ("3", "2024-01-15 03:00:00+00:00"),
        ("4", "2024-01-15 05:00:00.5 +0100 CET"),
        ("2", "2024-01-14 21:00:00 -0500 EST m=+0.1"),
        ("1", "2024-01-15T02:00:00+01:00"),
    ] {
        bench.task(id, "a", created, "");
    }
    bench.task("3", "b", "2024-01-15T06:00:00Z", "");
    bench.old.execute("INSERT INTO task_records (id, type, created) VALUES ('7', 'n', 1705302000)", []).unwrap();
    bench.alert("", "2024-01-15 05:30:00");
    bench.alert("unknown", "2024-01-15 05:40:00");
    bench.alert("3", "2024-01-15 05:50:00");
    let all = ["1a*", "2a*", "3a*", "4a*", "5a*", "alert a", "alert a", "3b", "7n*"];
    assert_eq!(bench.records(range(WHOLE)), all);
    assert_eq!(bench.records(range(("05:00:00", "06:00:00"))), all[4..8]);
}

#[test]
fn files_come_with_the_names_of_their_tasks() {
    let bench = Bench::new();
    let insert = "INSERT INTO file_messages (path, received_at, task_names) VALUES (?1, ?2, ?3)";
    bench.old.execute(insert, ["/b", "2024-01-15 05:00:00", "[\"load:x\",\"y\"]"]).unwrap();
    bench.old.execute(insert, ["/a", "2024-01-15T04:00:00Z", "null"]).unwrap();
    bench.old.execute(insert, ["/c", "2024-01-16T04:00:00Z", ""]).unwrap();
    let mut told = Vec::new();
    let each = |file: OldFile| {
        told.push((file.path, file.task_names.join(" ")));
        Ok::<(), ImportError>(())
    };
    bench.history().each_file(range(WHOLE), each).unwrap();
    assert_eq!(told, [("/a".to_owned(), String::new()), ("/b".to_owned(), "load:x y".to_owned())]);
}

#[test]
fn a_chain_without_end_is_cut() {
    let bench = Bench::new();
    let many = "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 10050)
        INSERT INTO task_records (type, job, id, created) SELECT 'a', i, 'x', '2024-01-15T05:00:00Z' FROM n";
    bench.old.execute(many, []).unwrap();
    let mut told = Vec::new();
    let each = |chain: OldChain| {
        told.push((chain.tasks.len(), chain.is_cut));
        Ok::<(), ImportError>(())
    };
    bench.history().each_chain(range(WHOLE), each).unwrap();
    assert_eq!(told, [(MAX_CHAIN_RECORDS, true)]);
}

#[test]
fn what_is_read_is_of_one_instant_while_its_program_writes() {
    let bench = Bench::new();
    bench.task("x", "a", "2024-01-15T05:00:00Z", "");
    let history = bench.history();
    assert_eq!(history.time_span().unwrap(), Some((at("05:00:00"), at("05:00:00"))));
    bench.task("y", "a", "2024-01-15T06:00:00Z", "");
    assert_eq!(history.time_span().unwrap(), Some((at("05:00:00"), at("05:00:00"))));
    assert_eq!(bench.history().time_span().unwrap(), Some((at("05:00:00"), at("06:00:00"))));
}

#[test]
fn a_database_that_nobody_uses_stays_as_it_lies_there() {
    let bench = Bench::new();
    bench.task("x", "a", "2024-01-15T05:00:00Z", "");
    let Bench { folder, old } = bench;
    drop(old);
    let files = || {
        let entries = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = entries.collect();
        names.sort();
        names
    };
    assert_eq!(files(), ["old.db"], "it was closed in order");
    let before = std::fs::read(folder.path().join("old.db")).unwrap();
    let history = OldHistory::open(&folder.path().join("old.db")).unwrap();
    assert!(history.time_span().unwrap().is_some());
    assert_eq!(files(), ["old.db"]);
    drop(history);
    assert_eq!((files().len(), std::fs::read(folder.path().join("old.db")).unwrap()), (1, before));
    // Names that mean something in an address.
    let odd = folder.path().join("a ?b#%41.db");
    std::fs::rename(folder.path().join("old.db"), &odd).unwrap();
    assert!(OldHistory::open(&odd).unwrap().time_span().unwrap().is_some());
}

#[test]
fn an_older_database_without_alerts_and_files_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let small = folder.path().join("small.db");
    let rows = "CREATE TABLE task_records (ID TEXT, Type TEXT, Created TEXT, Result TEXT);
        INSERT INTO task_records VALUES ('x', 'a', '2024-01-15T05:00:00Z', 'complete')";
    Connection::open(&small).unwrap().execute_batch(rows).unwrap();
    let history = OldHistory::open(&small).unwrap();
    let mut told = Vec::new();
    let each = |chain: OldChain| {
        told.extend(chain.tasks);
        Ok::<(), ImportError>(())
    };
    history.each_chain(range(WHOLE), each).unwrap();
    assert_eq!(
        (told.len(), told[0].result.as_str(), told[0].ended, history.has_alerts().unwrap()),
        (1, "complete", None, false)
    );
    let nothing = |_: OldFile| Ok::<(), ImportError>(());
    history.each_file(range(WHOLE), nothing).unwrap();
}

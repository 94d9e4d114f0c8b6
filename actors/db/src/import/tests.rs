//! Databases as the reference system leaves them, also ugly ones.

use flowlord_domain::AlertKind;
use rusqlite::params;

use super::*;
use crate::connection::{open_read_only, open_writer};

/// Its tables of schema 2; schema 1 has no `date_index`.
const SCHEMA: &str = "
    CREATE TABLE schema_version (id INTEGER PRIMARY KEY DEFAULT 1, version INTEGER NOT NULL);
    CREATE TABLE task_records (id TEXT, type TEXT, job TEXT, info TEXT, result TEXT, meta TEXT, msg TEXT,
        created TIMESTAMP, started TIMESTAMP, ended TIMESTAMP, PRIMARY KEY (type, job, id, created));
    CREATE TABLE alert_records (id INTEGER PRIMARY KEY AUTOINCREMENT, task_id TEXT, task_time TIMESTAMP,
        task_type TEXT NOT NULL, job TEXT, msg TEXT NOT NULL, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP);
    CREATE TABLE file_messages (id INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL, size INTEGER,
        last_modified TIMESTAMP, received_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, task_time TIMESTAMP,
        task_ids TEXT, task_names TEXT);
    CREATE TABLE workflow_files (file_path TEXT PRIMARY KEY, file_hash TEXT NOT NULL);
    CREATE TABLE workflow_phases (file_path TEXT NOT NULL, task TEXT NOT NULL);";

struct Bench {
    folder: tempfile::TempDir,
    old: Connection,
}

type Fields<'a> = (&'a str, &'a str, &'a str, &'a str, &'a str);

impl Bench {
    fn new(version: u8) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let old = Connection::open(folder.path().join("old.db")).unwrap();
        old.execute_batch(SCHEMA).unwrap();
        old.execute("INSERT INTO schema_version (version) VALUES (?1)", [version]).unwrap();
        if version > 1 {
            old.execute_batch("CREATE TABLE date_index (date TEXT PRIMARY KEY, has_tasks BOOLEAN)").unwrap();
        }
        Self { folder, old }
    }

    /// Type, job, id, result, created.
    fn task(&self, (topic, job, id, result, created): Fields<'_>) {
        let insert = "INSERT INTO task_records (type, job, id, result, created, started, ended, info, meta, msg)
            VALUES (?1, ?2, ?3, ?4, ?5, '2024-01-15T05:00:10Z', '2024-01-15T05:00:12Z', '?i=1',
                'retry=2&workflow=a.toml', 'm')";
        self.old.execute(insert, [topic, job, id, result, created]).unwrap();
    }

    fn run(&self) -> ImportReport {
        let lock = FolderLock::take(&self.folder.path().join("data")).unwrap();
        import(&self.folder.path().join("old.db"), &lock, |_, _, _| {}).unwrap()
    }

    fn ours(&self) -> Connection {
        open_read_only(&self.folder.path().join("data").join(DATABASE)).unwrap()
    }

    fn column(&self, sql: &str) -> Vec<String> {
        let ours = self.ours();
        let mut found = ours.prepare(sql).unwrap();
        let rows = found.query_map([], |row| row.get::<_, rusqlite::types::Value>(0)).unwrap();
        rows.map(|value| match value.unwrap() {
            rusqlite::types::Value::Text(text) => text,
            other => format!("{other:?}"),
        })
        .collect()
    }
}

fn left(counts: &ImportCounts) -> Vec<(&str, u64)> {
    counts.left.iter().map(|(why, (count, _))| (*why, *count)).collect()
}

const FIVE: &str = "2024-01-15T05:00:00Z";

#[test]
fn tasks_of_both_schemas_are_taken_once_with_their_totals() {
    for version in [1, 2] {
        let bench = Bench::new(version);
        for (nth, result) in ["complete", "error", "warn", "alert", "complete"].iter().enumerate() {
            bench.task(("a", "j", &format!("id{nth}"), result, FIVE));
        }
        // A chain: the parent, its child and its retry in another second.
        bench.task(("b", "", "id0", "complete", FIVE));
        bench.task(("a", "j", "id0", "complete", "2024-01-15T05:00:01Z"));
        let first = bench.run();
        assert_eq!((first[&ImportKind::Tasks].taken, first[&ImportKind::Tasks].left.len()), (7, 0), "{first:?}");
        let uids = bench.column("SELECT uid FROM task ORDER BY uid");
        let again = bench.run();
        assert_eq!((again[&ImportKind::Tasks].taken, again[&ImportKind::Tasks].known), (0, 7));
        assert_eq!(bench.column("SELECT uid FROM task ORDER BY uid"), uids);
        let rollup = "SELECT format('%s %d %d %d %d %d %d', topic, total, complete, error, alert, warn, run_millis)
            FROM rollup JOIN queue ON queue.id = queue ORDER BY topic";
        assert_eq!(bench.column(rollup), ["a 6 3 1 1 1 12000", "b 1 1 0 0 0 2000"]);
        let rows = "SELECT format('%d %d %d %s %s %s', state, retry, result, text, info, msg)
            FROM task JOIN name ON name.id = workflow WHERE chain = 'id1'";
        assert_eq!(bench.column(rows), ["3 2 1 a.toml ?i=1 m"]);
        let second = "SELECT count(*) FROM task WHERE uid / 1000000 = unixepoch('2024-01-15 05:00:00')";
        assert_eq!(bench.column(second), ["Integer(6)"], "each in its second");
        // What ended since the first run comes with the second.
        bench.task(("a", "j", "id9", "complete", FIVE));
        assert_eq!(bench.run()[&ImportKind::Tasks].taken, 1);
    }
}

#[test]
fn what_cannot_be_taken_is_counted_with_its_reason() {
    let bench = Bench::new(2);
    bench.task(("a", "", "good", "Complete", "2024-01-15 05:00:00+00:00"));
    for (topic, result, created) in [
        ("", "complete", FIVE),
        ("a", "", FIVE),
        ("b", "running", FIVE),
        ("a", "maybe", FIVE),
        ("a", "complete", "yesterday"),
        ("a", "complete", ""),
        ("a", "complete", "1969-12-31T23:59:59Z"),
    ] {
        bench.task((topic, "", &format!("{topic}{result}{created}"), result, created));
    }
    bench.old.execute("INSERT INTO task_records (type, created, result) VALUES ('a', NULL, 'complete')", []).unwrap();
    // Bytes that are no text, a job that is none, an id that is none, a time that is a number.
    let ugly = "INSERT INTO task_records (type, job, id, created, result, info, started, ended)
        VALUES ('a b:c', NULL, NULL, 1705294800, 'error', CAST(x'ff41' AS TEXT), '0001-01-01T00:00:00Z', NULL)";
    bench.old.execute(ugly, []).unwrap();
    let ends_before = "INSERT INTO task_records (type, job, id, created, result, started, ended)
        VALUES ('z', '', 'z', ?1, 'error', '2024-01-15T06:00:00Z', '2024-01-15T05:00:00Z')";
    bench.old.execute(ends_before, [FIVE]).unwrap();
    let bad_end = "INSERT INTO task_records (type, job, id, created, result, ended)
        VALUES ('y', '', 'y', ?1, 'error', 'soon')";
    bench.old.execute(bad_end, [FIVE]).unwrap();
    let report = bench.run();
    let tasks = &report[&ImportKind::Tasks];
    assert_eq!(tasks.taken, 3, "{tasks:?}");
    assert_eq!(
        left(tasks),
        [
            ("`created` isn't a time", 3),
            ("`created` isn't between 1970 and 4253", 1),
            ("`result` isn't complete, error, warn or alert", 1),
            ("`started` or `ended` isn't a time", 1),
            ("`type` is empty", 1),
            ("it is unfinished: a backload with only=missing creates it again", 2),
        ]
    );
    assert!(tasks.left["`created` isn't a time"].1.contains("created=\"yesterday\""), "{tasks:?}");
    assert_eq!(bench.column("SELECT info FROM task WHERE chain LIKE 'imported-%'"), ["\u{fffd}A"]);
    assert_eq!(
        bench.column("SELECT run_millis FROM rollup JOIN queue ON queue.id = queue WHERE topic = 'z'"),
        ["Integer(0)"]
    );
    assert_eq!(bench.run()[&ImportKind::Tasks].known, 3);
}

#[test]
fn alerts_and_files_are_taken_once_and_nobody_is_told_again() {
    let bench = Bench::new(2);
    bench.task(("load", "j", "c1", "complete", FIVE));
    let alert = "INSERT INTO alert_records (task_id, task_time, task_type, job, msg, created_at)
        VALUES (?1, '2024-01-14T00:00:00Z', 'load', 'j', ?2, '2024-01-15 05:00:03')";
    for (id, msg) in
        [("c1", "it failed"), ("c1", "it failed"), ("", "no template"), ("c9", "INCOMPLETE: unfinished task detected")]
    {
        bench.old.execute(alert, [id, msg]).unwrap();
    }
    let file = "INSERT INTO file_messages (path, size, last_modified, received_at, task_ids, task_names)
        VALUES (?1, 7, '2024-01-15T04:00:00Z', '2024-01-15T05:00:00Z', ?2, ?3)";
    bench.old.execute(file, ["gs://b/one", "[\"c1\",\"c2\"]", "[\"load:j\",\"load:j\"]"]).unwrap();
    bench.old.execute(file, params!["gs://b/two", None::<String>, None::<String>]).unwrap();
    bench.old.execute(file, ["", "no json", "[1]"]).unwrap();
    let report = bench.run();
    assert_eq!((report[&ImportKind::Alerts].taken, report[&ImportKind::Files].taken), (4, 2), "{report:?}");
    assert_eq!(left(&report[&ImportKind::Files]), [("`path` is empty", 1)]);
    let alerts = "SELECT format('%d %d %d %s', kind, told, uid IS NOT NULL, msg) FROM alert ORDER BY at";
    let kinds = [AlertKind::Exhausted, AlertKind::CreateFailed, AlertKind::Unfinished]
        .map(crate::column::EnumColumn::to_column);
    assert_eq!(
        bench.column(alerts),
        [
            format!("{} 1 1 it failed", kinds[0]),
            format!("{} 1 1 it failed", kinds[0]),
            format!("{} 1 0 no template", kinds[1]),
            format!("{} 1 0 INCOMPLETE: unfinished task detected", kinds[2]),
        ]
    );
    let files = "SELECT format('%s %s', path, stat ->> 'size') FROM file_event ORDER BY path";
    assert_eq!(bench.column(files), ["gs://b/one 7", "gs://b/two 7"]);
    let matches = "SELECT format('%s %d %d', task, nth, uid IS NOT NULL)
        FROM file_match JOIN file_phase ON file_phase.id = phase ORDER BY nth";
    assert_eq!(bench.column(matches), ["load:j 0 1", "load:j 1 0"]);
    let again = bench.run();
    assert_eq!((again[&ImportKind::Alerts].taken, again[&ImportKind::Files].taken), (0, 0), "{again:?}");
}

#[test]
fn many_of_one_second_find_their_places() {
    let bench = Bench::new(1);
    let many = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
        INSERT INTO task_records (type, job, id, result, created) SELECT 'a', '', 'id' || i, 'complete', ?1 FROM n";
    bench.old.execute(many, [FIVE]).unwrap();
    assert_eq!(bench.run()[&ImportKind::Tasks].taken, 3000);
    assert_eq!(bench.column("SELECT max(uid) - min(uid) FROM task"), ["Integer(2999)"]);
    assert_eq!(bench.run()[&ImportKind::Tasks].known, 3000);
}

#[test]
fn a_schema_that_is_not_known_is_refused_with_those_that_are_and_nothing_is_taken() {
    let refused = |versions: &str| {
        let bench = Bench::new(2);
        bench.task(("a", "j", "id", "complete", FIVE));
        bench.old.execute_batch(versions).unwrap();
        let data = bench.folder.path().join("data");
        let lock = FolderLock::take(&data).unwrap();
        let imported = import(&bench.folder.path().join("old.db"), &lock, |_, _, _| {});
        assert!(imported.is_ok() || !data.join(DATABASE).exists(), "{versions}: nothing is begun");
        imported.err().map(|err| err.to_string()).unwrap_or_default()
    };
    for (versions, found) in [
        ("UPDATE schema_version SET version = 3", "3"),
        ("UPDATE schema_version SET version = 0", "0"),
        ("INSERT INTO schema_version (id, version) VALUES (7, 9)", "9"),
        ("UPDATE schema_version SET version = 'two'", "two"),
        ("DROP TABLE schema_version; CREATE TABLE schema_version (name TEXT)", "of another kind"),
    ] {
        let said = refused(versions);
        let expected = format!("has schema version {found}, this program takes 1 and 2");
        assert!(said.contains(&expected), "{versions}: {said}");
    }
    for known in [
        "INSERT INTO schema_version (id, version) VALUES (7, 1)",
        "UPDATE schema_version SET version = '2'",
        "DELETE FROM schema_version",
        "DROP TABLE schema_version",
    ] {
        assert_eq!(refused(known), "", "{known}");
    }
}

#[test]
fn a_database_of_this_program_is_not_imported() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own.db");
    open_writer(&own).unwrap();
    let lock = FolderLock::take(&folder.path().join("data")).unwrap();
    let err = import(&own, &lock, |_, _, _| {}).unwrap_err().to_string();
    assert!(err.contains("own.db is a database of flowlord itself: use `flowlord restore --from`"), "{err}");
}

#[test]
fn another_database_and_a_missing_column_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let lock = FolderLock::take(&folder.path().join("data")).unwrap();
    let other = folder.path().join("other.db");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE mine (id INTEGER)").unwrap();
    let err = import(&other, &lock, |_, _, _| {}).unwrap_err().to_string();
    assert!(err.contains("it has no table task_records"), "{err}");
    let text = folder.path().join("text.db");
    std::fs::write(&text, "no database at all, but long enough to look like one ".repeat(20)).unwrap();
    let err = import(&text, &lock, |_, _, _| {}).unwrap_err().to_string();
    assert!(err.contains("text.db can't be read"), "{err}");
    // Older still: without alerts, files and half of the columns.
    let small = folder.path().join("small.db");
    let rows = "CREATE TABLE task_records (ID TEXT, Type TEXT, Created TEXT, Result TEXT);
        INSERT INTO task_records VALUES ('x', 'a', '2024-01-15T05:00:00Z', 'complete')";
    Connection::open(&small).unwrap().execute_batch(rows).unwrap();
    let report = import(&small, &lock, |_, _, _| {}).unwrap();
    assert_eq!((report.len(), report[&ImportKind::Tasks].taken), (1, 1));
}

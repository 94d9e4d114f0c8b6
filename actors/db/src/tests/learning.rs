//! What complete tasks taught: the last values of each key, in the transaction of the result.

use flowlord_domain::expect::{Figure, LearnedKey, LearnedValue, MAX_LEARNED};
use flowlord_messages::history::{HistoryPosition, RemoveHistory};
use flowlord_messages::learned::ReadLearned;

use super::*;

fn key(key: &str, hour: u32) -> LearnedKey {
    LearnedKey { workflow: "w.toml".to_owned(), task: "a".to_owned(), key: key.to_owned(), hour }
}

fn teaching(values: &[(&LearnedKey, f64)]) -> TaskDecision {
    let value =
        |(of, value): &(&LearnedKey, f64)| LearnedValue { of: (*of).clone(), value: Figure::new(*value).unwrap() };
    TaskDecision { learned: values.iter().map(value).collect(), ..decision(TaskResult::Complete) }
}

impl Db {
    async fn teach(&self, decision: TaskDecision) -> Result<bool> {
        let uid = self.create(vec![task("a", "")]).await.uids[0];
        self.finish(ResultClaim::Task(uid), decision).await
    }

    /// The medians of these keys.
    async fn medians(&self, keys: &[LearnedKey]) -> Vec<Option<f64>> {
        let learned = self.read(ReadLearned { keys: keys.to_vec() }).await.unwrap();
        keys.iter().map(|key| learned.median_of(key).map(Figure::to_f64)).collect()
    }

    fn rows(&self) -> usize {
        let connection = rusqlite::Connection::open(self.folder.path().join(crate::DATABASE)).unwrap();
        connection.query_row("SELECT count(*) FROM learned_value", [], |row| row.get(0)).unwrap()
    }
}

#[actix::test]
async fn the_last_values_of_each_key_are_kept_and_outlive_their_tasks() {
    let db = Db::new();
    let [run, monday, tuesday] = [key("", 0), key("rows", 3), key("rows", 27)];
    let other = LearnedKey { task: "b".to_owned(), ..run.clone() };
    for n in 0..40_u32 {
        db.teach(teaching(&[(&run, f64::from(n)), (&monday, f64::from(n) / 4.0)])).await.unwrap();
    }
    for rows in [1.0, 2.0, 90.0] {
        db.teach(teaching(&[(&tuesday, rows)])).await.unwrap();
    }
    assert_eq!(db.rows(), 2 * MAX_LEARNED + 3);
    let db = db.reopen();
    let keys = [run, monday, tuesday, other];
    let known = [Some(24.5), Some(6.125), Some(2.0), None];
    assert_eq!(db.medians(&keys).await, known);
    let remove = RemoveHistory { before: noon() + TimeDelta::days(1), after: HistoryPosition::default(), limit: 100 };
    assert_eq!(db.write(remove).await.unwrap().tasks, 43);
    assert_eq!(db.medians(&keys).await, known);
}

#[actix::test]
async fn a_result_that_is_refused_or_comes_again_teaches_nothing() {
    let db = Db::new();
    let run = key("", 0);
    let uid = db.create(vec![task("a", "")]).await.uids[0];
    for (taught, duplicate) in [(1.0, Ok(false)), (1.0, Ok(true)), (7.0, Ok(true))] {
        assert_eq!(db.finish(ResultClaim::Task(uid), teaching(&[(&run, taught)])).await, duplicate);
    }
    let other = TaskDecision { msg: "other".to_owned(), ..teaching(&[(&run, 8.0)]) };
    assert_eq!(code(db.finish(ResultClaim::Task(uid), other).await), Code::AlreadyFinished);
    let seen = ResultClaim::Person { uid, seen: None };
    assert_eq!(code(db.finish(seen, teaching(&[(&run, 9.0)])).await), Code::AlreadyFinished);
    assert_eq!(db.rows(), 1);
    let waiting = db.create(vec![task("a", "")]).await.uids[0];
    db.finish(ResultClaim::Person { uid: waiting, seen: None }, teaching(&[(&run, 1.0)])).await.unwrap();
    assert_eq!(db.rows(), 2, "what a person marks complete counts");
}

#[actix::test]
async fn without_an_expectation_nothing_is_written() {
    let db = Db::new();
    db.teach(decision(TaskResult::Complete)).await.unwrap();
    assert_eq!(db.rows(), 0);
    assert_eq!(db.medians(&[]).await, []);
}

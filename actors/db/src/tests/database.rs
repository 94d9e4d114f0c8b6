//! What the database is like.

use flowlord_messages::database::{MeasureTable, ReadDatabase};

use super::*;

#[actix::test]
async fn the_database_says_what_it_is_like() {
    let db = Db::new();
    db.create(vec![NewTask { info: "x".repeat(3_000), ..task("a", "") }; 300]).await;
    db.create(vec![task("b", "x")]).await;
    let facts = db.read(ReadDatabase).await.unwrap();
    assert!(facts.path.ends_with("flowlord.db"), "{facts:?}");
    assert_eq!(facts.schema, u64::try_from(crate::VERSION).unwrap());
    assert!(facts.pages > 200 && facts.page_size == 4_096 && facts.log_bytes > 0, "{facts:?}");
    assert!(facts.tables.contains(&"task".to_owned()) && !facts.tables.iter().any(|name| name.starts_with("sqlite_")));

    let measure = |table: &str, most_pages| MeasureTable { table: table.to_owned(), most_pages };
    let tasks = db.read(measure("task", 100_000)).await.unwrap();
    assert_eq!((tasks.rows, tasks.complete), (301, true));
    assert!(tasks.bytes > 900_000 && tasks.index_bytes > 900_000, "{tasks:?}");
    let part = db.read(measure("task", 10)).await.unwrap();
    assert!(!part.complete && part.rows < 301 && part.bytes <= 10 * 4_096, "{part:?}");
    // A table without row ids.
    assert_eq!(db.read(measure("rollup", 100)).await.unwrap().rows, 2);
}

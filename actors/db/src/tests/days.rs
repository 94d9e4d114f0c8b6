//! The days of a calendar.

use flowlord_domain::file_event::FileEvent;
use flowlord_domain::{AlertKind, NewAlert};
use flowlord_messages::alerts::RaiseAlerts;
use flowlord_messages::files::{FileSource, RecordFile};
use flowlord_messages::stats::{DayMarks, ReadDayMarks};

use super::*;

fn days(from: &str, to: &str) -> ReadDayMarks {
    ReadDayMarks { from: from.parse().unwrap(), to: to.parse().unwrap() }
}

#[actix::test]
async fn each_day_says_what_it_has() {
    let db = Db::new();
    let last_of_february = noon() - seconds(12 * 3600) - TimeDelta::microseconds(1);
    db.create(vec![NewTask { uid: Uid::at(last_of_february), ..task("a", "") }]).await;
    let alert = NewAlert {
        kind: AlertKind::Exhausted,
        at: noon() - seconds(12 * 3600),
        uid: None,
        id: String::new(),
        topic: "a".to_owned(),
        job: String::new(),
        workflow: String::new(),
        msg: String::new(),
        task_time: None,
        owner: String::new(),
        runbook: String::new(),
        at_once: None,
    };
    db.write(RaiseAlerts { alerts: vec![alert] }).await.unwrap();
    let file = FileEvent { path: "/in/a".to_owned(), ..FileEvent::default() };
    let now = noon() + seconds(24 * 3600);
    let record =
        RecordFile { now, file, source: FileSource::Api, ignored: String::new(), matches: Vec::new(), seen: None };
    db.write(record).await.unwrap();
    let marks = db.read(days("2026-02-27", "2026-03-04")).await.unwrap();
    let has = |marks: &DayMarks| (marks.day.to_string(), marks.tasks, marks.alerts, marks.files);
    assert_eq!(
        marks.iter().map(has).collect::<Vec<_>>(),
        [
            ("2026-02-27".to_owned(), false, false, false),
            ("2026-02-28".to_owned(), true, false, false),
            ("2026-03-01".to_owned(), false, true, false),
            ("2026-03-02".to_owned(), false, false, true),
            ("2026-03-03".to_owned(), false, false, false),
        ]
    );
    let bounded = db.read(days("1970-01-01", "9999-01-01")).await.unwrap();
    assert_eq!(bounded.len(), ReadDayMarks::MOST);
}

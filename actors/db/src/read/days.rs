//! The days of a calendar, and what each has.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use flowlord_domain::Uid;
use flowlord_messages::read::{DayMarks, ReadDays};
use rusqlite::{CachedStatement, Connection};

use crate::column::micros;
use crate::reader::Query;
use crate::write::rollup::hour;

impl Query for ReadDays {
    type Answer = Vec<DayMarks>;

    /// Looks into each index once a day: as fast for a day of a million tasks as for one of one.
    fn read(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        let mut tasks =
            connection.prepare_cached("SELECT 1 FROM rollup WHERE hour >= ?1 AND hour < ?2 LIMIT 1")?;
        let mut alerts =
            connection.prepare_cached("SELECT 1 FROM alert WHERE at >= ?1 AND at < ?2 LIMIT 1")?;
        let mut files =
            connection.prepare_cached("SELECT 1 FROM file_event WHERE at >= ?1 AND at < ?2 LIMIT 1")?;
        let days = self.from.iter_days().take_while(|day| *day < self.to).take(ReadDays::MOST);
        let marks = days.map(|day| {
            let (from, to) = (midnight(day), midnight(day.checked_add_days(Days::new(1)).unwrap_or(day)));
            let has = |statement: &mut CachedStatement<'_>, from: i64, to: i64| statement.exists([from, to]);
            Ok(DayMarks {
                day,
                tasks: has(&mut tasks, hour(Uid::at(from)), hour(Uid::at(to)))?,
                alerts: has(&mut alerts, micros(from), micros(to))?,
                files: has(&mut files, micros(from), micros(to))?,
            })
        });
        marks.collect()
    }
}

fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

//! Differences that are put into the database of a Go program, to be found.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use flowlord_domain::query::Query;
use flowlord_domain::task_time::cron_hour;

use super::go_program::{AlertRow, GoDatabase, GoPlan, Row, start_of};

/// One difference that must be reported: class, kind, task, and by what it is known.
pub(crate) type Planted = (String, String, String, String);

pub(crate) struct Planter {
    database: GoDatabase,
    /// Places of rows by chain.
    /// Those that nothing was planted in yet.
    chains: BTreeMap<String, Vec<usize>>,
    removed: BTreeSet<usize>,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    planted: Vec<Planted>,
}

fn time_text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn name_of(row: &Row) -> String {
    if row.job.is_empty() { row.topic.clone() } else { format!("{}:{}", row.topic, row.job) }
}

/// Whether it is about another time than that of its creation.
fn is_backload(row: &Row) -> bool {
    let meta = Query::parse_lenient(&row.meta);
    let time = meta.first_value("cron").and_then(cron_hour);
    time.is_none_or(|time| (row.created - time).abs() > TimeDelta::days(1))
}

/// Plants some of every kind, far from the ends and from downtime.
pub(crate) fn plant_differences(database: GoDatabase, plan: &GoPlan) -> (GoDatabase, Vec<Planted>) {
    let mut chains: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (place, row) in database.rows.iter().enumerate() {
        chains.entry(row.id.clone()).or_default().push(place);
    }
    let start = start_of(plan);
    let (from, to) = (start + TimeDelta::days(7), start + TimeDelta::days(plan.days - 1));
    let is_inside = |place: &usize| database.rows[*place].created > from && database.rows[*place].created < to;
    chains.retain(|id, places| !database.odd_chains.contains(id) && places.iter().all(is_inside));
    let (removed, planted) = (BTreeSet::new(), Vec::new());
    let mut planter = Planter { database, chains, removed, from, to, planted };
    for n in 0..plan.planted {
        planter.plant_roots(n);
        planter.plant_children(n);
        planter.plant_retries(n);
        planter.plant_alerts();
        planter.plant_files(n);
    }
    let removed = planter.removed;
    let mut place = 0;
    planter.database.rows.retain(|_| {
        place += 1;
        !removed.contains(&(place - 1))
    });
    (planter.database, planter.planted)
}

impl Planter {
    fn note(&mut self, class: &str, kind: &str, task: &str, key: &str) {
        self.planted.push((class.to_owned(), kind.to_owned(), task.to_owned(), key.to_owned()));
    }

    /// The first chain that fits, with its row that fits; it is planted in only once.
    #[track_caller]
    fn take(&mut self, fits: impl Fn(&[usize], &Row, usize) -> bool) -> usize {
        let rows = &self.database.rows;
        let found = self.chains.iter().find_map(|(id, places)| {
            let place = places.iter().find(|place| fits(places, &rows[**place], **place))?;
            Some((id.clone(), *place))
        });
        let (id, place) = found.expect("a chain that fits");
        self.chains.remove(&id);
        place
    }

    /// A task that a slot of the busy phase started, from which nothing follows.
    fn take_root(&mut self) -> usize {
        self.take(|places, row, _| {
            places.len() == 1 && row.topic.starts_with("extract") && row.result == "warn" && !is_backload(row)
        })
    }

    /// A child from which nothing follows.
    fn take_child(&mut self) -> usize {
        self.take(|places, row, place| {
            let is_leaf = row.topic.starts_with("report") || row.topic.starts_with("after");
            is_leaf && place != places[0] && row.result == "complete" && !row.meta.contains("retry=")
        })
    }

    fn slot_of(&self, place: usize) -> String {
        // It is sent within two seconds, and slots are whole minutes.
        let created = self.database.rows[place].created;
        let second = created.timestamp() - created.timestamp().rem_euclid(60);
        time_text(DateTime::from_timestamp(second, 0).unwrap())
    }

    fn copy_row(&mut self, place: usize, change: impl FnOnce(&mut Row)) -> Row {
        let mut copy = self.database.rows[place].clone();
        copy.created += TimeDelta::seconds(2);
        copy.ended = copy.ended.map(|ended| ended.max(copy.created));
        change(&mut copy);
        self.database.rows.push(copy.clone());
        copy
    }

    fn plant_roots(&mut self, n: usize) {
        let gone = self.take_root();
        self.removed.insert(gone);
        let (task, slot) = (name_of(&self.database.rows[gone]), self.slot_of(gone));
        self.note("only_here", "root task", &task, &slot);

        let doubled = self.take_root();
        let copy = self.copy_row(doubled, |copy| copy.id = format!("extra-root-{n}"));
        self.note("only_there", "root task", &name_of(&copy), &copy.id);

        let wrong = self.take_root();
        self.database.rows[wrong].info += "&wrong=1";
        let row = self.database.rows[wrong].clone();
        let slot = self.slot_of(wrong);
        self.note("only_there", "root task", &name_of(&row), &row.id);
        self.note("only_here", "root task", &name_of(&row), &slot);
    }

    fn plant_children(&mut self, n: usize) {
        let gone = self.take_child();
        self.removed.insert(gone);
        let row = self.database.rows[gone].clone();
        self.note("only_here", "child", &name_of(&row), &row.id);

        let wrong = self.take_child();
        self.database.rows[wrong].info += "&wrong=1";
        let row = self.database.rows[wrong].clone();
        self.note("only_there", "child", &name_of(&row), &row.id);
        self.note("only_here", "child", &name_of(&row), &row.id);

        let doubled = self.take_child();
        let copy = self.copy_row(doubled, |copy| copy.result = "complete".to_owned());
        self.note("only_there", "child", &name_of(&copy), &copy.id);

        // After a warning nothing starts.
        let warned = self.take_root();
        let child = self.copy_row(warned, |copy| {
            copy.topic = copy.topic.replace("extract", if n.is_multiple_of(2) { "load" } else { "nobody" });
            copy.job = String::new();
        });
        self.note("only_there", "child", &name_of(&child), &child.id);
    }

    fn plant_retries(&mut self, n: usize) {
        let gone = self.take(|places, row, place| {
            let is_last = Some(&place) == places.last();
            is_last && row.result == "warn" && (row.meta.contains("retry=1") || row.meta.contains("retry=2"))
        });
        self.removed.insert(gone);
        let row = self.database.rows[gone].clone();
        self.note("only_here", "retry", &name_of(&row), &row.id);

        let done = self.take_root();
        let copy = self.copy_row(done, |copy| copy.meta += &format!("&retry={}", n + 1));
        self.note("only_there", "retry", &name_of(&copy), &copy.id);

        // One retry more than its phase has.
        let failed = self.take(|places, row, place| {
            Some(&place) == places.last() && row.topic.starts_with("load") && row.meta.contains("retry=failed")
        });
        let row = &mut self.database.rows[failed];
        row.meta = row.meta.replace("retry=failed", "retry=1").replace("retried=1&", "");
        let copy = self.copy_row(failed, |copy| {
            copy.result = "warn".to_owned();
            copy.meta = copy.meta.replace("retry=1", "retry=2");
        });
        self.note("only_there", "retry", &name_of(&copy), &copy.id);
    }

    fn plant_alerts(&mut self) {
        let mut alerted: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for alert in &self.database.alerts {
            alerted.entry(alert.id.clone()).or_default().push(alert.topic.clone());
        }
        let has_alert = |row: &Row| alerted.get(&row.id).is_some_and(|topics| *topics == [row.topic.as_str()]);
        let failed = self.take(|_, row, _| has_alert(row) && row.meta.contains("retry=failed"));
        let row = self.database.rows[failed].clone();
        self.database.alerts.retain(|alert| alert.id != row.id);
        self.note("only_here", "alert", &name_of(&row), &row.id);

        let fine = self.take_root();
        let row = self.database.rows[fine].clone();
        let (id, topic, job) = (row.id.clone(), row.topic.clone(), row.job.clone());
        self.database.alerts.push(AlertRow { id, topic, job, at: row.created });
        self.note("only_there", "alert", &name_of(&row), &row.id);
    }

    fn plant_files(&mut self, n: usize) {
        let (from, to) = (self.from, self.to);
        let mut inside = self.database.files.iter_mut().filter(|file| file.received > from && file.received < to);
        let (mut gone, mut added) = (None, None);
        for file in inside.by_ref().skip(n * 8) {
            if gone.is_none() && file.names.len() == 1 {
                gone = file.names.pop().map(|name| (name, file.path.clone()));
            } else if added.is_none() {
                file.names.push("nobody:x".to_owned());
                added = Some(file.path.clone());
            }
        }
        let (name, path) = gone.expect("a file that started a task");
        self.note("only_here", "file task", &name, &path);
        self.note("only_there", "file task", "nobody:x", &added.expect("another file"));
    }
}

//! The Go program as its database shows it: slots, results and files over many days, decided by our own functions with
//! the departures that it is known for.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::path::Path;

use chrono::{DateTime, SecondsFormat, SubsecRound as _, TimeDelta, Utc};
use chrono_tz::Tz;
use flowlord_domain::decide::{WorkerOutcome, decide_result};
use flowlord_domain::file_match::{FileEffect, match_phases};
use flowlord_domain::foreign::ForeignTask;
use flowlord_domain::query::{Query, merge_meta};
use flowlord_domain::schedule::{NoFiles, slot_tasks_with};
use flowlord_domain::workflow::{WorkflowFile, Workflows};
use flowlord_domain::{AlertKind, IdSource, NewTask, TaskResult, Uid};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rusqlite::{Connection, params};

pub(crate) const HOST: &str = "etl-7f9c-x2x";

/// How much there is, and of what kind.
#[derive(Debug, Clone)]
pub(crate) struct GoPlan {
    pub(crate) schema: u8,
    pub(crate) files: usize,
    /// Minutes between two slots of the busy phases.
    pub(crate) minutes: usize,
    pub(crate) days: i64,
    pub(crate) zone: Tz,
    /// Whether it fails, stops and overwrites as the Go program does.
    pub(crate) departs: bool,
    /// How many differences of each sort are planted.
    pub(crate) planted: usize,
    pub(crate) seed: u64,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Row {
    pub(crate) topic: String,
    pub(crate) job: String,
    pub(crate) id: String,
    pub(crate) info: String,
    pub(crate) meta: String,
    pub(crate) result: String,
    pub(crate) created: DateTime<Utc>,
    pub(crate) ended: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone)]
pub(crate) struct AlertRow {
    pub(crate) id: String,
    pub(crate) topic: String,
    pub(crate) job: String,
    pub(crate) at: DateTime<Utc>,
}

#[derive(Debug, Clone)]
pub(crate) struct FileRow {
    pub(crate) path: String,
    pub(crate) received: DateTime<Utc>,
    pub(crate) names: Vec<String>,
}

#[derive(Debug, Default)]
pub(crate) struct GoDatabase {
    pub(crate) rows: Vec<Row>,
    pub(crate) alerts: Vec<AlertRow>,
    pub(crate) files: Vec<FileRow>,
    /// Departures that must be seen, by name.
    pub(crate) departures: BTreeMap<&'static str, u64>,
    /// Chains that the Go program overwrote: what is planted must not lie there.
    pub(crate) odd_chains: BTreeSet<String>,
}

struct GoIds(StdRng);

impl IdSource for GoIds {
    fn next_uid(&mut self, now: DateTime<Utc>) -> Uid {
        Uid::at(now)
    }

    fn random_bits(&mut self) -> u64 {
        self.0.random()
    }
}

enum Event {
    Slot(usize),
    Send(NewTask),
    /// A worker is done with a task.
    Done(Row),
    Rerun(Row),
    File(String),
}

/// Sorts events by time, and those of one time as they were planned.
type EventQueue = BinaryHeap<Reverse<(DateTime<Utc>, usize)>>;

struct GoProgram<'a> {
    plan: &'a GoPlan,
    workflows: &'a Workflows,
    ids: GoIds,
    queue: EventQueue,
    events: Vec<Option<Event>>,
    places: HashMap<(String, String, String, DateTime<Utc>), usize>,
    end: DateTime<Utc>,
    database: GoDatabase,
}

pub(crate) fn start_of(plan: &GoPlan) -> DateTime<Utc> {
    // In Berlin it holds the change to summer time.
    let start = if plan.zone == Tz::UTC { "2024-01-03T00:00:00Z" } else { "2024-03-10T00:00:00Z" };
    start.parse().unwrap()
}

/// Phases as teams write them, some more or less in each file.
pub(crate) fn workflow_texts(plan: &GoPlan) -> Vec<(String, String)> {
    let mut random = StdRng::seed_from_u64(plan.seed);
    (0..plan.files).map(|n| (format!("team{n}/etl.toml"), workflow_text(n, plan, &mut random))).collect()
}

fn workflow_text(n: usize, plan: &GoPlan, random: &mut StdRng) -> String {
    let (minute, hour) = (random.random_range(0..plan.minutes.min(30)), random.random_range(1..23));
    let (retry, delay) = (random.random_range(1..4), random.random_range(10..90));
    let mut phases = vec![
        format!(
            "task = \"extract{n}:hourly\"\nrule = \"cron={minute}/{} * * * *&offset=-1h&retry_delay={delay}s\"\n\
             retry = {retry}\ntemplate = \"s3://in/{{yyyy}}/{{mm}}/{{dd}}/{{hh}}?m={{min}}&run={{uuid}}\"",
            plan.minutes
        ),
        format!(
            "task = \"load{n}\"\ndependsOn = \"extract{n}:hourly\"\nrule = \"retry_delay={delay}s\"\nretry = 1\n\
             template = \"{{meta:file}}?day={{yyyy}}-{{mm}}-{{dd}}&on={{host}}\""
        ),
        format!(
            "task = \"report{n}\"\ndependsOn = \"load{n}\"\nrule = \"require={{meta:rows}}\"\n\
             template = \"?hour={{yyyy}}-{{mm}}-{{dd}}T{{hh}}&rows={{meta:rows}}\""
        ),
        format!("task = \"audit{n}\"\ndependsOn = \"load{n}\"\nrule = \"no_alert=true\"\ntemplate = \"?d={{dd}}\""),
        format!("task = \"daily{n}\"\nrule = \"cron=30 2 * * *&meta=k:1,2|l:x,y\"\ntemplate = \"{{meta:k}}?d={{dd}}\""),
        format!(
            "task = \"window{n}:w\"\nrule = \"cron=15 {hour} * * *&for=48h\"\ntemplate = \"?d={{SLUG}}\"\nretry = 1"
        ),
        format!("task = \"pulse{n}\"\nrule = \"cron=@every 47m\"\ntemplate = \"?at={{TS}}\""),
        format!("task = \"file{n}:in\"\nrule = \"files=s3://drop/{n}/*/*.csv\"\ntemplate = \"{{meta:file}}?d={{dd}}\""),
        format!("task = \"after{n}\"\ndependsOn = \"file{n}:in\"\ntemplate = \"{{meta:filename}}?d={{dd}}\""),
    ];
    if plan.departs {
        let twin = |t: &str| format!("task = \"twin{n}\"\ndependsOn = \"daily{n}\"\ntemplate = \"?twin={t}\"");
        phases.extend([twin("1"), twin("2")]);
    }
    phases.iter().map(|phase| format!("[[phase]]\n{phase}\n\n")).collect()
}

pub(crate) fn parse_workflows(plan: &GoPlan) -> Workflows {
    let parse = |(path, text): (String, String)| WorkflowFile::parse(&path, &text, "", plan.zone).unwrap().into();
    Workflows::new(workflow_texts(plan).into_iter().map(parse))
}

/// Runs it for the days of the plan.
pub(crate) fn run_go_program(plan: &GoPlan) -> GoDatabase {
    let workflows = parse_workflows(plan);
    let start = start_of(plan);
    let mut program = GoProgram {
        plan,
        workflows: &workflows,
        ids: GoIds(StdRng::seed_from_u64(plan.seed + 1)),
        queue: BinaryHeap::new(),
        events: Vec::new(),
        places: HashMap::new(),
        end: start + TimeDelta::days(plan.days),
        database: GoDatabase::default(),
    };
    for (n, phase) in workflows.phases().enumerate() {
        let first = phase.rule.schedule.as_ref().and_then(|schedule| schedule.first_from(start));
        first.into_iter().for_each(|at| program.plan_event(at, Event::Slot(n)));
    }
    for hour in 0..plan.days * 24 {
        let team = program.ids.0.random_range(0..=plan.files);
        let path = format!("s3://drop/{team}/2024/{hour}.csv");
        program.plan_event(start + TimeDelta::minutes(hour * 60 + 7), Event::File(path));
    }
    if plan.departs {
        program.plan_backloads();
    }
    while let Some(Reverse((at, n))) = program.queue.pop().filter(|Reverse((at, _))| *at < program.end) {
        let event = program.events[n].take().unwrap();
        program.take_event(at, event);
    }
    if plan.departs {
        program.database.remove_before(start + TimeDelta::days(1));
    }
    program.database
}

impl GoProgram<'_> {
    fn plan_event(&mut self, at: DateTime<Utc>, event: Event) {
        self.queue.push(Reverse((at, self.events.len())));
        self.events.push(Some(event));
    }

    /// Each day somebody runs the busy phases anew for an hour of three days ago.
    fn plan_backloads(&mut self) {
        let start = start_of(self.plan);
        let busy: Vec<_> = self.workflows.phases().filter(|phase| phase.task.topic.starts_with("extract")).collect();
        for day in 0..self.plan.days {
            let at = start + TimeDelta::days(day) + TimeDelta::minutes(620);
            for phase in &busy {
                let tasks = slot_tasks_with(phase, at - TimeDelta::days(3), HOST, &mut self.ids, at, &NoFiles).unwrap();
                tasks.into_iter().for_each(|task| self.plan_event(at, Event::Send(task)));
            }
        }
    }

    /// Now and then a person runs a task again, under the same id.
    fn plan_rerun(&mut self, row: &Row, at: DateTime<Utc>) {
        if !self.plan.departs || !self.ids.0.random_bool(0.003) {
            return;
        }
        let mut meta = Query::parse_lenient(&row.meta);
        ["retry", "retried", "delayed"].iter().for_each(|key| meta.remove_key(key));
        meta.set_value("rerun", "manual");
        let (topic, job, id, info) = (row.topic.clone(), row.job.clone(), row.id.clone(), row.info.clone());
        let again = Row { topic, job, id, info, meta: meta.to_text(), ..Row::default() };
        self.plan_event(at + TimeDelta::minutes(50), Event::Rerun(again));
    }

    /// Three hours in which it doesn't run.
    fn downtime(&self) -> (DateTime<Utc>, DateTime<Utc>) {
        let begin = start_of(self.plan) + TimeDelta::hours(24 * 5 + 9);
        (begin, begin + TimeDelta::hours(3))
    }

    fn take_event(&mut self, at: DateTime<Utc>, event: Event) {
        let (begin, end) = self.downtime();
        let is_down = self.plan.departs && at >= begin && at < end;
        match event {
            Event::Slot(n) => self.take_slot(at, n, is_down),
            // The bus keeps them.
            event if is_down => self.plan_event(end, event),
            Event::Send(task) => self.send(task, at),
            Event::Done(row) => self.finish(row, at),
            Event::Rerun(row) => self.send_row(row, at),
            Event::File(path) => self.take_file(path, at),
        }
    }

    fn take_slot(&mut self, at: DateTime<Utc>, n: usize, is_down: bool) {
        let phase = self.workflows.phases().nth(n).unwrap();
        let next = phase.rule.schedule.as_ref().unwrap().next_after(at);
        next.into_iter().for_each(|next| self.plan_event(next, Event::Slot(n)));
        let wall = |at: DateTime<Utc>| at.with_timezone(&self.plan.zone).naive_local().and_utc();
        // A fixed time that the clock skips doesn't come.
        let is_skipped = wall(at) - wall(at - TimeDelta::seconds(1)) > TimeDelta::seconds(1);
        let is_fixed = phase.rule.cron.as_ref().is_some_and(|cron| cron.starts_with("30 2"));
        if is_down || (is_skipped && is_fixed) {
            return;
        }
        // It writes local times as if they were UTC.
        let local = wall(at + phase.rule.offset) - phase.rule.offset;
        let tasks = slot_tasks_with(phase, local, HOST, &mut self.ids, at, &NoFiles).unwrap();
        for task in tasks {
            let late = TimeDelta::milliseconds(self.ids.0.random_range(0..1_900));
            self.send(task, at + late);
        }
    }

    /// A task goes to the bus, and a record of it is made.
    fn send(&mut self, task: NewTask, at: DateTime<Utc>) {
        let row =
            Row { topic: task.topic, job: task.job, id: task.id, info: task.info, meta: task.meta, ..Row::default() };
        self.send_row(row, at);
    }

    fn send_row(&mut self, mut row: Row, at: DateTime<Utc>) {
        row.created = at.trunc_subsecs(0);
        self.record(row.clone());
        self.start_worker(row, at);
    }

    /// A worker takes the task; one in some hundreds never answers.
    fn start_worker(&mut self, mut row: Row, at: DateTime<Utc>) {
        let random = &mut self.ids.0;
        row.result = match random.random_range(0..1_000) {
            0..3 => return,
            3..70 => "error",
            70..110 => "warn",
            // One of two that overwrite each other would be lost.
            110..115 if !row.topic.starts_with("twin") => "alert",
            _ => "complete",
        }
        .to_owned();
        if row.topic.starts_with("extract") {
            row.meta = merge_meta(&row.meta, &format!("file=s3://raw/{}.gz", random.random_range(0..1_000)));
        }
        if row.topic.starts_with("load") && random.random_bool(0.5) {
            row.meta = merge_meta(&row.meta, &format!("rows={}", random.random_range(0..1_000)));
        }
        let ended = at + TimeDelta::milliseconds(random.random_range(300..400_000));
        row.ended = Some(ended.trunc_subsecs(0));
        let heard = TimeDelta::milliseconds(random.random_range(0..900));
        self.plan_event(ended + heard, Event::Done(row));
    }

    fn record(&mut self, row: Row) {
        let key = (row.topic.clone(), row.job.clone(), row.id.clone(), row.created);
        match self.places.get(&key) {
            Some(place) => {
                let before = &mut self.database.rows[*place];
                if before.info != row.info
                    || before.meta != row.meta && before.result.is_empty() && row.result.is_empty()
                {
                    self.database.odd_chains.insert(row.id.clone());
                }
                *before = row;
            }
            None => {
                self.places.insert(key, self.database.rows.len());
                self.database.rows.push(row);
            }
        }
    }

    fn finish(&mut self, mut row: Row, at: DateTime<Utc>) {
        let result: TaskResult = row.result.parse().unwrap();
        // As workers give it back.
        row.meta = Query::parse_lenient(&row.meta).sorted().to_text();
        self.plan_rerun(&row, at);
        let foreign = ForeignTask {
            topic: row.topic.clone(),
            job: row.job.clone(),
            id: row.id.clone(),
            chain: row.id.clone(),
            info: row.info.clone(),
            meta: row.meta.clone(),
            created: row.created,
        };
        let outcome =
            WorkerOutcome { result, msg: "it failed".to_owned(), meta: String::new(), started: None, ended: row.ended };
        let decision = decide_result(self.workflows, &foreign.to_attempt(), &outcome, at, HOST, &mut self.ids);
        row.meta.clone_from(&decision.meta);
        self.record(row.clone());
        for child in decision.children {
            self.send(child, at + TimeDelta::milliseconds(1));
        }
        if let Some(retry) = decision.retry {
            self.plan_event(retry.not_before.unwrap(), Event::Send(retry));
        }
        for alert in decision.alerts {
            match alert.kind {
                AlertKind::Exhausted => {
                    self.database.alerts.push(AlertRow {
                        id: row.id.clone(),
                        topic: row.topic.clone(),
                        job: row.job.clone(),
                        at,
                    });
                }
                AlertKind::Result => self.count_departure("alert-result", row.ended.unwrap()),
                AlertKind::UnknownPhase => self.count_departure("unknown-phase", row.ended.unwrap()),
                other => panic!("{other:?}"),
            }
        }
    }

    /// The last minutes aren't judged.
    fn count_departure(&mut self, name: &'static str, at: DateTime<Utc>) {
        let kept = start_of(self.plan) + TimeDelta::days(i64::from(self.plan.departs));
        if at >= kept && at < self.end - TimeDelta::minutes(15) {
            *self.database.departures.entry(name).or_default() += 1;
        }
    }

    /// Tasks that a file starts have no record until they are done.
    fn take_file(&mut self, path: String, at: DateTime<Utc>) {
        let mut names = Vec::new();
        for found in match_phases(self.workflows, &path) {
            let Ok(FileEffect::Start(task)) = found.effect_of_file(&path, &[], HOST, &mut self.ids, at) else {
                continue;
            };
            names.push(found.key.task.clone());
            let created = at.trunc_subsecs(0);
            let (topic, job, id, info, meta) = (task.topic, task.job, task.id, task.info, task.meta);
            self.start_worker(Row { topic, job, id, info, meta, created, ..Row::default() }, at);
        }
        self.database.files.push(FileRow { path, received: at, names });
    }
}

impl GoDatabase {
    /// What the Go program no longer keeps.
    fn remove_before(&mut self, time: DateTime<Utc>) {
        self.rows.retain(|row| row.created >= time);
        self.alerts.retain(|alert| alert.at >= time);
        self.files.retain(|file| file.received >= time);
    }

    /// Writes it as the Go program's driver does: in schema 1 with a space in times, in schema 2 by RFC 3339.
    pub(crate) fn write_to(&self, path: &Path, schema: u8) {
        let time = |at: DateTime<Utc>| match schema {
            1 => at.format("%Y-%m-%d %H:%M:%S+00:00").to_string(),
            _ => at.to_rfc3339_opts(SecondsFormat::Secs, true),
        };
        let mut connection = Connection::open(path).unwrap();
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).unwrap();
        let transaction = connection.transaction().unwrap();
        transaction.execute_batch(TABLES).unwrap();
        if schema > 1 {
            transaction.execute_batch("CREATE TABLE date_index (date TEXT PRIMARY KEY, has_tasks BOOLEAN)").unwrap();
        }
        transaction.execute("INSERT INTO schema_version (version) VALUES (?1)", [schema]).unwrap();
        let task = "INSERT INTO task_records VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'it failed', ?7, ?8, ?8)";
        for row in &self.rows {
            let Row { topic, job, id, info, meta, result, created, ended } = row;
            let values = params![id, topic, job, info, result, meta, time(*created), ended.map(time)];
            transaction.prepare_cached(task).unwrap().execute(values).unwrap();
        }
        let alert =
            "INSERT INTO alert_records (task_id, task_type, job, msg, created_at) VALUES (?1, ?2, ?3, 'it failed', ?4)";
        for AlertRow { id, topic, job, at } in &self.alerts {
            let at = at.format("%Y-%m-%d %H:%M:%S").to_string();
            transaction.prepare_cached(alert).unwrap().execute(params![id, topic, job, at]).unwrap();
        }
        let file = "INSERT INTO file_messages (path, received_at, task_names) VALUES (?1, ?2, ?3)";
        for FileRow { path, received, names } in &self.files {
            let names = (!names.is_empty()).then(|| serde_json::to_string(names).unwrap());
            transaction.prepare_cached(file).unwrap().execute(params![path, time(*received), names]).unwrap();
        }
        transaction.commit().unwrap();
    }
}

const TABLES: &str = "
    CREATE TABLE schema_version (id INTEGER PRIMARY KEY DEFAULT 1, version INTEGER NOT NULL);
    CREATE TABLE task_records (id TEXT, type TEXT, job TEXT, info TEXT, result TEXT, meta TEXT, msg TEXT,
        created TIMESTAMP, started TIMESTAMP, ended TIMESTAMP, PRIMARY KEY (type, job, id, created));
    CREATE TABLE alert_records (id INTEGER PRIMARY KEY AUTOINCREMENT, task_id TEXT, task_time TIMESTAMP,
        task_type TEXT NOT NULL, job TEXT, msg TEXT NOT NULL, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP);
    CREATE TABLE file_messages (id INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL, size INTEGER,
        last_modified TIMESTAMP, received_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, task_time TIMESTAMP,
        task_ids TEXT, task_names TEXT);";

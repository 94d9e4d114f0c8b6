//! Single chains, slots and files, each with the one thing that is looked at.

use chrono::TimeDelta;
use chrono_tz::Tz;
use flowlord_db::{OldAlert, OldChain, OldFile, OldRecord, OldTask};

use super::compare::ComparedKind;
use super::compare::DifferenceClass::{Departure, OnlyHere, OnlyThere};
use super::*;

const DAY: &str = "2024-01-15";

fn at(clock: &str) -> DateTime<Utc> {
    format!("{DAY}T{clock}Z").parse().unwrap()
}

/// A whole day of a program that wrote its last record at its end.
struct Bench {
    _folder: tempfile::TempDir,
    files: ShadowFiles,
    zone: Tz,
    range: TimeRange,
    last: DateTime<Utc>,
}

type Told = Vec<(compare::DifferenceClass, ComparedKind, String)>;

impl Bench {
    fn new(phases: &[&str]) -> Self {
        Self::with_files(
            &[("w.toml", &phases.iter().map(|phase| format!("[[phase]]\n{phase}\n")).collect::<String>())],
            Tz::UTC,
        )
    }

    fn with_files(files: &[(&str, &str)], zone: Tz) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let how = ReadOptions { zone, allowed: Vec::new(), stores: StorageConnections::default() };
        let path = folder.path().to_str().unwrap();
        let spelled = read_spelling(path, &how.stores).unwrap();
        let files = ShadowFiles { files: PlanFiles::read(path, &how, None).unwrap(), spelled };
        Self { _folder: folder, files, zone, range: (at("00:00:00"), at("23:00:00")), last: at("23:59:59") }
    }

    /// What is told, with the infos; and the counts.
    fn tell(
        &self,
        compare: impl FnOnce(&Replay<'_>, &mut ComparisonTally<'_>) -> anyhow::Result<()>,
    ) -> (Told, ComparisonCounts) {
        let mut told = Vec::new();
        let ShadowFiles { files, spelled } = &self.files;
        let replay = Replay { files, spelled, zone: self.zone, range: self.range, last: self.last, has_alerts: true };
        let mut each = |one: &Difference| {
            told.push((one.class, one.kind, one.info.clone()));
            Ok(())
        };
        let mut tally = ComparisonTally { counts: ComparisonCounts::default(), each: &mut each };
        compare(&replay, &mut tally).unwrap();
        let counts = tally.counts;
        (told, counts)
    }

    fn chain(&self, tasks: &[OldTask], alerts: &[OldAlert]) -> (Told, ComparisonCounts) {
        let chain = OldChain { tasks: tasks.to_vec(), alerts: alerts.to_vec(), is_cut: false };
        self.tell(|replay, tally| chain::compare_chain(replay, chain, tally))
    }

    fn slots(&self, records: Vec<OldRecord>) -> (Told, ComparisonCounts) {
        self.tell(|replay, tally| {
            let mut slots = slots::SlotComparison::new(replay);
            for record in records {
                slots.take_record(record, tally)?;
            }
            slots.finish_slots(tally)
        })
    }

    fn file(&self, path: &str, names: &[&str]) -> Told {
        let task_names = names.iter().map(|name| (*name).to_owned()).collect();
        let file = OldFile { number: 1, path: path.to_owned(), received: at("05:00:00"), task_names };
        self.tell(|replay, tally| files::compare_file(replay, &file, tally)).0
    }
}

fn task(name: &str, info: &str, meta: &str, result: &str, created: &str) -> OldTask {
    let (topic, job) = name.split_once(':').unwrap_or((name, ""));
    let created = at(created);
    OldTask {
        number: created.timestamp(),
        topic: topic.to_owned(),
        job: job.to_owned(),
        id: "chain".to_owned(),
        info: info.to_owned(),
        meta: format!("workflow=w.toml&{meta}"),
        msg: "it failed".to_owned(),
        result: result.to_owned(),
        created,
        ended: Some(created + TimeDelta::seconds(10)).filter(|_| !result.is_empty()),
        is_first: true,
    }
}

fn alert(name: &str, at_clock: &str) -> OldAlert {
    let OldTask { number, id, topic, job, msg, created, .. } = task(name, "", "", "", at_clock);
    OldAlert { number, id, topic, job, msg, at: created }
}

const ROOT: &str = "task = \"a\"\nrule = \"cron=0 5 * * *&retry_delay=1m\"\nretry = 2\ntemplate = \"?d={dd}\"";
const CHILD: &str = "task = \"b\"\ndependsOn = \"a\"\ntemplate = \"?d={dd}&f={meta:file}\"";

fn root(meta: &str, result: &str, created: &str) -> OldTask {
    task("a", "?d=15", &format!("cron=2024-01-15T05&{meta}"), result, created)
}

#[test]
fn what_follows_as_it_would_here_is_the_same() {
    let bench = Bench::new(&[ROOT, CHILD]);
    let child = task("b", "?d=15&f=x", "cron=2024-01-15T05", "warn", "05:02:00");
    let (told, counts) = bench.chain(
        &[root("", "error", "05:00:00"), root("retry=1&delayed=1m", "complete", "05:01:20"), child.clone()],
        &[],
    );
    assert_eq!(
        told,
        [(OnlyHere, ComparedKind::Child, "?d=15&f=".to_owned()), (OnlyThere, ComparedKind::Child, child.info.clone())]
    );
    let (told, _) = bench
        .chain(&[root("", "error", "05:00:00"), root("retry=1&delayed=1m&file=x", "complete", "05:01:20"), child], &[]);
    assert_eq!((told, counts.same[&ComparedKind::Retry]), (vec![], 1));
}

#[test]
fn a_chain_that_ends_in_failure_has_its_retries_its_mark_and_its_alert() {
    let bench = Bench::new(&[ROOT]);
    let attempts = |last: &str| {
        [root("", "error", "05:00:00"), root("retry=1", "error", "05:01:20"), root(last, "error", "05:02:50")]
    };
    let marked = attempts("retried=2&retry=failed");
    let (told, counts) = bench.chain(&marked, &[alert("a", "05:03:01")]);
    assert_eq!((told, counts.same.values().sum::<u64>()), (vec![], 3));
    assert_eq!(bench.chain(&marked, &[]).0, [(OnlyHere, ComparedKind::Alert, "it failed".to_owned())]);
    let twice = [alert("a", "05:03:01"), alert("a", "05:03:02")];
    assert_eq!(bench.chain(&marked, &twice).0, [(OnlyThere, ComparedKind::Alert, "it failed".to_owned())]);
    // The failed topic is off: nothing marks it.
    let (told, _) = bench.chain(&attempts("retry=2"), &[alert("a", "05:03:01")]);
    assert_eq!(told, [(Departure(departures::FAILED_TOPIC), ComparedKind::Retry, "?d=15".to_owned())]);
    // The retry in the middle is gone; what came after it isn't another difference.
    let (told, _) = bench.chain(&[marked[0].clone(), marked[2].clone()], &[alert("a", "05:03:01")]);
    assert_eq!(told, [(OnlyHere, ComparedKind::Retry, "?d=15".to_owned())]);
    // It gave up where there would have been another retry.
    let early = [root("", "error", "05:00:00"), root("retried=1&retry=failed", "error", "05:01:20")];
    let (told, _) = bench.chain(&early, &[alert("a", "05:02:00")]);
    assert_eq!(told, [(OnlyHere, ComparedKind::Retry, "?d=15".to_owned())]);
    // And one retry more than there are.
    let more = [
        marked[0].clone(),
        marked[1].clone(),
        root("retry=2", "error", "05:02:50"),
        root("retry=3", "warn", "05:04:20"),
    ];
    let (told, _) = bench.chain(&more, &[alert("a", "05:03:01")]);
    assert_eq!(told, [(OnlyThere, ComparedKind::Retry, "?d=15".to_owned())]);
}

#[test]
fn what_may_still_come_is_not_missing() {
    let mut bench = Bench::new(&[ROOT, CHILD]);
    bench.last = at("05:04:00");
    let (told, counts) = bench.chain(&[root("", "error", "05:00:00")], &[]);
    assert_eq!((told, counts.left_out["retries that may still wait"]), (vec![], 1));
    // What ended outside of the range belongs to another comparison, and still explains what is inside.
    bench.last = at("23:59:59");
    bench.range = (at("05:00:12"), at("23:00:00"));
    let child = task("b", "?d=15&f=", "", "warn", "05:00:20");
    assert_eq!(bench.chain(&[root("", "complete", "05:00:00"), child], &[]).0, []);
    assert_eq!(bench.chain(&[root("", "complete", "05:00:00")], &[]).0, []);
    bench.range = (at("00:00:00"), at("05:00:10"));
    assert_eq!(bench.chain(&[root("", "complete", "05:00:00")], &[]).0, []);
    bench.range.1 = at("05:00:11");
    assert_eq!(bench.chain(&[root("", "complete", "05:00:00")], &[]).0.len(), 1);
}

#[test]
fn what_cannot_be_compared_is_counted() {
    let bench = Bench::new(&[ROOT, CHILD]);
    let left = |tasks: &[OldTask], alerts: &[OldAlert]| {
        let (told, counts) = bench.chain(tasks, alerts);
        assert_eq!(told, []);
        counts.left_out
    };
    assert_eq!(left(&[root("", "", "05:00:00")], &[])["tasks without a result"], 1);
    assert_eq!(left(&[root("", "maybe", "05:00:00")], &[])["tasks with another result than the four"], 1);
    let late = OldAlert { msg: "INCOMPLETE: unfinished task detected".to_owned(), ..alert("a", "09:00:00") };
    assert_eq!(left(&[root("", "", "05:00:00")], &[late])["alerts about unfinished tasks"], 1);
    assert_eq!(left(&[], &[alert("a", "09:00:00")])["alerts whose task has no record"], 1);
    let again = root("rerun=manual", "warn", "07:00:00");
    assert_eq!(left(&[root("", "warn", "05:00:00"), again], &[])["tasks that people started"], 1);
    let tried = root("rerun=manual&retry=1", "warn", "07:01:30");
    let again = root("rerun=manual", "error", "07:00:00");
    assert_eq!(left(&[root("", "warn", "05:00:00"), again, tried], &[])["tasks that people started"], 1);
    // Their parent is older than what the Go program keeps.
    let child = |clock| task("b", "?d=15&f=", "", "warn", clock);
    assert_eq!(left(&[child("00:01:00"), child("00:01:01")], &[])["tasks whose parent has no record"], 1);
    let long = OldChain { tasks: vec![root("", "error", "05:00:00")], alerts: vec![], is_cut: true };
    let (told, counts) = bench.tell(|replay, tally| chain::compare_chain(replay, long, tally));
    assert_eq!((told.len(), counts.left_out.len()), (0, 1));
}

#[test]
fn children_depart_as_the_page_says() {
    let told = |phases: &[&str], meta: &str, children: &[(&str, &str)]| -> Vec<compare::DifferenceClass> {
        let bench = Bench::new(phases);
        let mut tasks = vec![root(meta, "complete", "05:00:00")];
        tasks.extend(
            children.iter().zip(0..).map(|((name, info), n)| task(name, info, "", "warn", &format!("05:00:1{n}"))),
        );
        bench.chain(&tasks, &[]).0.into_iter().map(|(class, _, _)| class).collect()
    };
    let rows = "task = \"b\"\ndependsOn = \"a\"\nrule = \"meta=k:1,2\"\ntemplate = \"{meta:k}\"";
    assert_eq!(told(&[ROOT, rows], "", &[]), [Departure(departures::CHILD_ROWS); 2]);
    assert_eq!(told(&[ROOT, rows], "", &[("b", "1"), ("b", "2")]), []);
    let circle = "task = \"a\"\ndependsOn = \"a\"\ntemplate = \"?d={dd}\"";
    assert_eq!(told(&[circle], "", &[("a", "?d=15")]), [Departure(departures::CIRCLE)]);
    let required = "task = \"b\"\ndependsOn = \"a\"\nrule = \"require:{meta:x}\"\ntemplate = \"x\"";
    assert_eq!(told(&[ROOT, required], "", &[("b", "x")]), [Departure(departures::REQUIRE)]);
    let tokens = "task = \"b\"\ndependsOn = \"a\"\ntemplate = \"{ts}\"";
    assert_eq!(told(&[ROOT, tokens], "", &[("b", "{ts}")]), [Departure(departures::TOKENS)]);
    assert_eq!(told(&[ROOT, CHILD], "file=x&file=y", &[]), [Departure(departures::FIRST_VALUE)]);
    let spelled = "task = \"b\"\ndepends_on = \"a\"\ntemplate = \"x\"";
    assert_eq!(told(&[ROOT, spelled], "", &[]), [Departure(departures::DEPENDS_ON)]);
    let redirect = "task = \"b\"\ndependsOn = \"a\"\nrule = \"Task=other\"\ntemplate = \"x\"";
    assert_eq!(told(&[ROOT, redirect], "", &[("other", "x")]), [Departure(departures::REDIRECT); 2]);
    assert_eq!(told(&[ROOT, CHILD], "", &[("b", "?d=15&f="), ("other", "x")]), [OnlyThere]);
    assert_eq!(told(&[ROOT, CHILD], "", &[("b", "?d=15&f="), ("b", "?d=15&f=")]), [OnlyThere]);
}

#[test]
fn records_that_replaced_others_are_a_departure() {
    let twins = ["1", "2"].map(|n| format!("task = \"b\"\ndependsOn = \"a\"\ntemplate = \"{n}\""));
    let bench = Bench::new(&[ROOT, &twins[0], &twins[1]]);
    let (told, _) = bench.chain(
        &[root("", "complete", "05:00:00"), task("b", "2", "", "error", "05:00:11")],
        &[alert("b", "05:00:30"), alert("b", "05:00:31")],
    );
    let overwritten = Departure(departures::OVERWRITTEN);
    let classes: Vec<_> = told.iter().map(|(class, kind, _)| (*class, *kind)).collect();
    assert_eq!(
        classes,
        [
            (Departure(departures::FAILED_TOPIC), ComparedKind::Retry),
            (overwritten, ComparedKind::Child),
            (overwritten, ComparedKind::Alert)
        ]
    );
    // A retry of the very second lies on its first attempt.
    let quick = "task = \"b\"\ndependsOn = \"a\"\nrule = \"retry_delay=10ms\"\nretry = 3\ntemplate = \"x\"";
    let bench = Bench::new(&[ROOT, quick]);
    let retry = |n: u32, result: &str, clock: &str| task("b", "x", &format!("retry={n}"), result, clock);
    let (told, _) = bench.chain(&[root("", "complete", "05:00:00"), retry(1, "warn", "05:00:11")], &[]);
    assert_eq!(told, [(overwritten, ComparedKind::Child, "x".to_owned())]);
    let child = task("b", "x", "", "error", "05:00:11");
    let (told, _) = bench.chain(&[root("", "complete", "05:00:00"), child, retry(2, "warn", "05:00:21")], &[]);
    assert_eq!(told, [(overwritten, ComparedKind::Retry, "x".to_owned())]);
}

#[test]
fn failures_depart_as_the_page_says() {
    let alone = |phases: &[&str], tasks: &[OldTask], alerts: &[OldAlert]| -> Vec<compare::DifferenceClass> {
        Bench::new(phases).chain(tasks, alerts).0.into_iter().map(|(class, _, _)| class).collect()
    };
    let unknown = task("nobody", "x", "", "error", "05:00:00");
    assert_eq!(alone(&[ROOT], &[unknown], &[]), [Departure(departures::UNKNOWN_PHASE)]);
    assert_eq!(alone(&[ROOT], &[root("", "alert", "05:00:00")], &[]), [Departure(departures::ALERT_RESULT)]);
    let failed = || [root("retried=0&retry=failed", "error", "05:00:00")];
    let quiet = "task = \"a\"\nrule = \"cron=0 5 * * *&no_alert=false\"\ntemplate = \"x\"";
    assert_eq!(alone(&[quiet], &failed(), &[]), [Departure(departures::NO_ALERT)]);
    let bare = "task = \"a\"\nrule = \"cron=0 5 * * *&no_alert\"\ntemplate = \"x\"";
    assert_eq!(alone(&[bare], &failed(), &[alert("a", "05:00:11")]), [Departure(departures::NO_ALERT)]);
    let anew = root("retry=1", "warn", "06:00:00");
    let marked = root("retried=2&retry=failed", "error", "05:00:00");
    assert_eq!(alone(&[ROOT], &[marked, anew], &[alert("a", "05:00:11")]), [Departure(departures::RETRY_FAILED)]);
    let job = "task = \"a:j\"\nrule = \"cron=0 5 * * *\"\nretry = 1\ntemplate = \"x\"";
    let with_job = OldTask { job: "j".to_owned(), ..root("retry=1&job=j", "warn", "05:00:12") };
    assert_eq!(alone(&[job], &[root("job=j", "error", "05:00:00"), with_job], &[]), [Departure(departures::META_JOB)]);
}

#[test]
fn a_phase_of_another_file_may_have_decided_there() {
    let file =
        |retry: u32| format!("[[phase]]\ntask = \"a\"\nrule = \"cron=0 5 * * *\"\nretry = {retry}\ntemplate = \"x\"\n");
    let bench = Bench::with_files(&[("a.toml", &file(0)), ("w.toml", &file(1))], Tz::UTC);
    let (told, _) = bench.chain(&[root("retried=0&retry=failed", "error", "05:00:00")], &[alert("a", "05:00:11")]);
    assert_eq!(told, [(Departure(departures::OWN_FILE), ComparedKind::Retry, "?d=15".to_owned())]);
}

fn hourly(hour: u32, second: u32) -> OldRecord {
    let cron = format!("cron=2024-01-15T{hour:02}");
    let one = task("h", &format!("?h={hour:02}"), &cron, "warn", &format!("{hour:02}:00:{second:02}"));
    OldRecord::Task(OldTask { id: format!("h{hour}"), ..one })
}

const HOURLY: &str = "task = \"h\"\nrule = \"cron=0 * * * *\"\ntemplate = \"?h={hh}\"";

#[test]
fn each_slot_has_its_task_within_five_seconds() {
    let bench = Bench::new(&[HOURLY]);
    let (told, counts) = bench.slots((0..24).map(|hour| hourly(hour, hour % 6)).collect());
    assert_eq!((told, counts.same[&ComparedKind::Root]), (vec![], 23), "the last one isn't judged");
    let (told, _) = bench.slots((0..24).map(|hour| hourly(hour, if hour == 7 { 6 } else { 0 })).collect());
    assert_eq!(
        told,
        [(OnlyThere, ComparedKind::Root, "?h=07".to_owned()), (OnlyHere, ComparedKind::Root, "?h=07".to_owned())]
    );
}

#[test]
fn a_task_is_about_the_second_in_which_it_was_started() {
    let bench = Bench::new(&["task = \"h\"\nrule = \"cron=59 59 4 * * *\"\ntemplate = \"{TS}\"", HOURLY]);
    let one = |info: &str, created: &str| {
        let mut records: Vec<_> = (0..5).map(|hour| hourly(hour, 0)).collect();
        records.push(OldRecord::Task(task("h", info, "cron=2024-01-15T05", "warn", created)));
        records.extend((5..24).map(|hour| hourly(hour, 0)));
        bench.slots(records).0.len()
    };
    assert_eq!(one("20240115T050000", "05:00:00"), 0);
    assert_eq!(one("20240115T050001", "05:00:00"), 2);
}

#[test]
fn three_slots_without_any_record_are_a_time_without_the_program() {
    let bench = Bench::new(&[HOURLY]);
    let told = |records: Vec<OldRecord>| -> Vec<_> {
        bench.slots(records).0.into_iter().map(|(class, _, info)| (class, info)).collect()
    };
    let with_gap =
        |gap: std::ops::Range<u32>| (0..24).filter(move |hour| !gap.contains(hour)).map(|hour| hourly(hour, 1));
    let down = Departure(departures::DOWNTIME);
    let gap = "3 slots from 2024-01-15T07:00:00Z to 2024-01-15T09:00:00Z".to_owned();
    assert_eq!(told(with_gap(7..10).collect()), [(down, gap)]);
    assert_eq!(told(with_gap(7..9).collect()), [(OnlyHere, "?h=07".to_owned()), (OnlyHere, "?h=08".to_owned())]);
    // It lived: a task of another kind was created meanwhile.
    let mut records: Vec<_> = with_gap(7..10).collect();
    let alive = OldTask { is_first: false, ..task("x", "", "", "", "08:30:00") };
    records.insert(7, OldRecord::Task(alive));
    assert_eq!(told(records).len(), 3);
    let long = "20 slots from 2024-01-15T01:00:00Z to 2024-01-15T20:00:00Z".to_owned();
    assert_eq!(told(with_gap(1..21).collect()), [(down, long)]);
    // It began before the range.
    let mut late = Bench::new(&[HOURLY]);
    late.range.0 = at("09:30:00");
    assert_eq!(late.slots(with_gap(7..11).collect()).0.len(), 1);
    late.range.0 = at("10:30:00");
    assert_eq!(late.slots(with_gap(7..11).collect()).0, []);
    // It ends after the range.
    let mut early = Bench::new(&[HOURLY]);
    early.range.1 = at("07:30:00");
    assert_eq!(early.slots(with_gap(7..10).collect()).0.len(), 1);
    assert_eq!(early.slots(with_gap(7..10).collect()).0[0].0, down);
}

#[test]
fn first_tasks_without_a_slot_are_told_from_those_of_people() {
    let bench = Bench::new(&[HOURLY, CHILD]);
    let one = |name: &str, meta: &str, clock: &str| {
        let mut records: Vec<_> = (0..24).map(|hour| hourly(hour, 0)).collect();
        let extra = OldTask { id: "extra".to_owned(), ..task(name, "x", meta, "warn", clock) };
        let place =
            records.iter().position(|record| matches!(record, OldRecord::Task(task) if task.created > extra.created));
        records.insert(place.unwrap(), OldRecord::Task(extra));
        let (told, counts) = bench.slots(records);
        (told.into_iter().map(|(class, ..)| class).collect::<Vec<_>>(), counts.left_out.keys().copied().next())
    };
    let people = Some("tasks that people started");
    assert_eq!(one("h", "cron=2024-01-15T07", "07:20:00"), (vec![OnlyThere], None));
    assert_eq!(one("h", "cron=2024-01-12T07", "07:20:00"), (vec![], people));
    assert_eq!(one("b", "cron=2024-01-15T07", "07:20:00"), (vec![], people));
    assert_eq!(one("nobody", "", "07:20:00"), (vec![], people));
    assert_eq!(one("h", "cron=2024-01-15T07&rerun=manual", "07:20:00"), (vec![], people));
    assert_eq!(one("nobody", "cron=2024-01-15T07", "07:20:00"), (vec![OnlyThere], None));
    assert_eq!(
        one("h", "cron=2024-01-15T07&retry=1", "07:20:00"),
        (vec![], Some("tasks whose parent has no record")),
        "its first attempt was removed"
    );
    let by_file = Some("tasks that files started, told by file_messages");
    assert_eq!(one("h", "file=/in/a&filename=a", "07:20:00"), (vec![], by_file));
}

#[test]
fn local_times_of_the_go_program_are_a_departure() {
    let text = format!("[[phase]]\n{HOURLY}\n");
    let bench = Bench::with_files(&[("w.toml", &text)], Tz::Europe__Berlin);
    // Its clock shows one hour more.
    let local = |hour: u32| {
        let OldRecord::Task(one) = hourly(hour + 1, 0) else { panic!("a task") };
        OldRecord::Task(OldTask { created: at(&format!("{hour:02}:00:00")), ..one })
    };
    let (told, _) = bench.slots((0..23).map(local).collect());
    assert!(told.len() == 23 && told.iter().all(|(class, ..)| *class == Departure(departures::UTC)), "{told:?}");
    // A person starts the task of the hour before again, just before the slot: here that is the slot's own text.
    let again = task("h", "?h=07", "cron=2024-01-15T07&rerun=manual", "warn", "06:59:59");
    let mut records: Vec<_> = (0..23).map(local).collect();
    records.insert(7, OldRecord::Task(OldTask { created: at("07:00:00") - TimeDelta::seconds(1), ..again }));
    assert_eq!(bench.slots(records).0.len(), 23);
    let wrong = Bench::new(&[HOURLY]);
    let (told, _) = wrong.slots((0..23).map(local).collect());
    assert!(told.iter().any(|(class, ..)| *class == OnlyHere), "the wrong zone is seen: {told:?}");
}

#[test]
fn a_clock_change_excuses_fixed_hours_only() {
    let fixed = "task = \"f\"\nrule = \"cron=30 2 * * *\"\ntemplate = \"{dd}\"";
    let text = format!("[[phase]]\n{fixed}\n[[phase]]\n{HOURLY}\n");
    let mut bench = Bench::with_files(&[("w.toml", &text)], Tz::Europe__Berlin);
    let day = |clock: &str| -> DateTime<Utc> { format!("2024-03-31T{clock}Z").parse().unwrap() };
    bench.range = (day("00:30:00"), day("01:30:00"));
    // 02:30 is skipped; the hour after it is not.
    let alive = OldTask { created: day("00:59:50"), is_first: false, ..task("x", "", "", "", "00:00:00") };
    let mut told = bench.slots(vec![OldRecord::Task(alive)]).0;
    told.sort();
    assert_eq!(
        told,
        [
            (OnlyHere, ComparedKind::Root, "?h=01".to_owned()),
            (Departure(departures::CLOCKS), ComparedKind::Root, "31".to_owned())
        ]
    );
}

#[test]
fn a_schedule_that_the_go_program_does_not_see_is_a_departure() {
    let one = |rule: &str| {
        let bench = Bench::new(&[&format!("task = \"m\"\nrule = \"{rule}\"\ntemplate = \"x\"")]);
        bench.slots(vec![]).0[0].0
    };
    assert_eq!(one("cron=0 5 * * *"), OnlyHere);
    assert_eq!(one("Cron=0 5 * * *"), Departure(departures::RULE_KEYS_CASE));
    assert_eq!(one("cron=0 5 * * *&for=-24h"), OnlyHere);
}

#[test]
fn every_follows_from_when_the_program_began() {
    let bench = Bench::new(&["task = \"e\"\nrule = \"cron=@every 45m\"\ntemplate = \"{TS}\"", HOURLY]);
    let one = |minutes: i64| {
        let created = at("00:03:07") + TimeDelta::minutes(minutes);
        let info = created.format("%Y%m%dT%H%M%S").to_string();
        let cron = format!("cron={}", created.format("%Y-%m-%dT%H"));
        let one = task("e", &info, &cron, "warn", "00:00:00");
        OldRecord::Task(OldTask { created, id: info, ..one })
    };
    let told = |minutes: &[i64]| {
        let mut records: Vec<_> = minutes.iter().map(|minutes| one(*minutes)).collect();
        records.extend((0..24).map(|hour| hourly(hour, 0)));
        // A sign of life between slots.
        records.extend((0..96).map(|n| {
            let created = at("00:00:30") + TimeDelta::minutes(n * 15);
            OldRecord::Task(OldTask { created, is_first: false, ..task("x", "", "", "", "00:00:00") })
        }));
        records.sort_by_key(|record| match record {
            OldRecord::Task(task) => task.created,
            OldRecord::Alert(alert) => alert.at,
        });
        bench.slots(records).0.into_iter().map(|(class, ..)| class).collect::<Vec<_>>()
    };
    assert_eq!(told(&[0, 45, 90, 160, 205]), [], "a reload begins anew");
    assert_eq!(told(&[0, 45, 60, 90, 135]), [OnlyThere]);
    assert_eq!(told(&[0, 45, 90, 225, 270]), [OnlyHere]);
}

#[test]
fn a_slot_that_starts_nothing_has_its_alert() {
    let broken = "task = \"m\"\nrule = \"cron=0 5 * * *&meta=a:1|b:1,2\"\ntemplate = \"x\"";
    let bench = Bench::new(&[broken]);
    let records = |name: &str| {
        let raised = OldAlert { id: String::new(), ..alert(name, "05:00:01") };
        vec![OldRecord::Alert(raised)]
    };
    assert_eq!(bench.slots(records("m")).0, []);
    assert_eq!(bench.slots(records("other")).0.len(), 1);
    let started = task("m", "x", "cron=2024-01-15T05", "warn", "05:00:01");
    let (told, _) = bench.slots(vec![OldRecord::Task(started)]);
    assert_eq!(told, [(Departure(departures::BAD_PHASE), ComparedKind::Root, "x".to_owned())]);
}

#[test]
fn files_start_the_tasks_that_their_phases_name() {
    let bench = Bench::new(&[
        "task = \"f:x\"\nrule = \"files=/in/*.csv\"",
        "task = \"g\"\nrule = \"files=/in/*\"",
        "task = \"n\"\nrule = \"files=/many/*&count=3\"",
        "task = \"s\"\nrule = \"Files=/other/*\"",
    ]);
    assert_eq!(bench.file("/in/a.csv", &["f:x", "g"]), []);
    let path = || "/in/a.csv".to_owned();
    assert_eq!(bench.file("/in/a.csv", &["g"]), [(OnlyHere, ComparedKind::File, path())]);
    assert_eq!(bench.file("/in/a.csv", &["g", "f:x", "g"]), [(OnlyThere, ComparedKind::File, path())]);
    assert_eq!(bench.file("/many/a", &["n"])[0].0, Departure(departures::COUNT));
    assert_eq!(bench.file("/many/a", &[]), []);
    assert_eq!(bench.file("/other/a", &[])[0].0, Departure(departures::RULE_KEYS_CASE));
    assert_eq!(bench.file("/nowhere", &[]), []);
}

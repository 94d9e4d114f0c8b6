//! Folders on a real disk, looked at when a virtual clock says so.

use std::path::Path;

use super::*;

const WORKFLOW: &str = "[[phase]]\ntask = \"load\"\nrule = \"files=/*/*/in/*.csv\"\ntemplate = \"{meta:filename}\"\n";

/// Deep enough for the pattern, whatever the machine's folder of temporary files is called.
fn folder() -> (tempfile::TempDir, String) {
    let folder = tempfile::Builder::new().prefix("watch").tempdir_in("/tmp").unwrap();
    let place = folder.path().join("in");
    std::fs::create_dir(&place).unwrap();
    let place = place.to_str().unwrap().to_owned();
    (folder, place)
}

fn rows() -> Stub {
    Stub(Arc::new(Mutex::new(Rows { workflow: WORKFLOW, ..Rows::default() })))
}

impl Bench {
    /// Once it answers it has begun its first look.
    async fn looked(&self) {
        self.place().await;
        self.clock.settle().await;
    }

    async fn pass(&self, seconds: i64) {
        self.looked().await;
        self.clock.advance(TimeDelta::seconds(seconds)).await;
    }

    /// What started, in order.
    fn started(&self) -> Vec<String> {
        let info = |record: &RecordFile| match &record.matches[..] {
            [NewFileMatch { effect: FileMatchEffect::Start(task), .. }] => task.info.clone(),
            _ => format!("nothing by {}", record.file.path.rsplit('/').next().unwrap()),
        };
        self.with(|rows| rows.records.iter().map(info).collect())
    }

    async fn place(&self) -> WatchedPlace {
        self.client.call(ReadWatchedPlaces).await.unwrap()[0].clone()
    }
}

fn write(place: &str, name: &str, text: &str) {
    std::fs::write(Path::new(place).join(name), text).unwrap();
}

#[actix::test]
async fn a_new_file_starts_its_task_once_also_over_a_restart() {
    let (_folder, place) = folder();
    write(&place, "old.csv", "1");
    let bench = Bench::watching(rows(), &[&place]);
    bench.looked().await;
    assert_eq!(
        bench.place().await,
        WatchedPlace { place: place.clone(), scanned_at: Some(noon()), files: 1, problem: String::new() }
    );
    write(&place, "new.csv", "1");
    write(&place, ".hidden.csv", "1");
    write(&place, "other.txt", "1");
    bench.pass(10).await;
    assert!(bench.started().is_empty(), "they may still be written to");
    bench.pass(1).await;
    assert_eq!(bench.started(), ["new.csv", "nothing by other.txt"]);
    let record = bench.with(|rows| rows.records[0].clone());
    assert_eq!((record.source, record.file.size), (FileSource::Watch, 1));
    assert_eq!(record.file.path, format!("{place}/new.csv"));

    bench.stop.call(StopFiles).await.unwrap();
    write(&place, "later.csv", "1");
    bench.pass(60).await;
    assert_eq!(bench.started().len(), 2, "it stopped");
    let again = Bench::watching(bench.rows.clone(), &[&place]);
    again.pass(11).await;
    assert_eq!(again.started()[2..], ["later.csv"], "what came meanwhile, and nothing twice");
    write(&place, "new.csv", "longer");
    std::fs::remove_file(Path::new(&place).join("old.csv")).unwrap();
    again.pass(11).await;
    assert_eq!(again.started()[3..], ["new.csv"], "what changed comes again");
    assert_eq!(again.place().await.files, 4);
    let seen = again.with(|rows| rows.seen[&place].files.len());
    assert_eq!(seen, 3, "what left is forgotten, what is hidden never known");
}

#[actix::test]
async fn what_could_not_be_stored_comes_again() {
    let (_folder, place) = folder();
    let bench = Bench::watching(rows(), &[&place]);
    bench.looked().await;
    bench.with(|rows| rows.failing = 2);
    write(&place, "a.csv", "1");
    write(&place, "b.csv", "1");
    bench.pass(15).await;
    let mut started = bench.started();
    started.sort_unstable();
    assert_eq!(started, ["a.csv", "b.csv"]);
}

#[actix::test]
async fn a_place_that_is_away_is_told_once_and_forgets_nothing() {
    let (folder, place) = folder();
    let bench = Bench::watching(rows(), &[&place]);
    bench.looked().await;
    write(&place, "a.csv", "1");
    bench.pass(11).await;
    std::fs::rename(&place, folder.path().join("away")).unwrap();
    bench.pass(60).await;
    let problem = bench.place().await.problem;
    assert!(problem.contains("doesn't exist: create the folder"), "{problem}");
    assert_eq!(bench.with(|rows| rows.alerts.clone()), [format!("a watched place can't be read: {problem}")]);
    std::fs::rename(folder.path().join("away"), &place).unwrap();
    bench.pass(11).await;
    assert_eq!((bench.place().await.problem.as_str(), bench.started().len()), ("", 1));
}

#[cfg(unix)]
#[actix::test]
async fn an_entry_that_cant_be_taken_stops_no_other_and_is_told_once_also_over_a_restart() {
    let (_folder, place) = folder();
    std::os::unix::fs::symlink(".", Path::new(&place).join("loop")).unwrap();
    let bench = Bench::watching(rows(), &[&place]);
    bench.looked().await;
    write(&place, "Icon\r", "1");
    write(&place, "a.csv", "1");
    bench.pass(11).await;
    assert_eq!(bench.started(), ["a.csv"]);
    let problem = bench.place().await.problem;
    assert!(problem.contains("`Icon\\r` is skipped: its name has a control character"), "{problem}");
    assert!(problem.contains("`loop` is skipped: it is a link to a folder that contains it"), "{problem}");
    bench.pass(60).await;
    let alerts = bench.with(|rows| rows.alerts.clone());
    assert_eq!(alerts.len(), 2, "one when each was new: {alerts:?}");
    assert_eq!(alerts[1], format!("{place}: all other files are watched: {problem}"));
    bench.stop.call(StopFiles).await.unwrap();

    let again = Bench::watching(bench.rows.clone(), &[&place]);
    again.looked().await;
    assert_eq!((again.place().await.problem, again.with(|rows| rows.alerts.len())), (problem, 2));
    std::fs::remove_file(Path::new(&place).join("Icon\r")).unwrap();
    std::fs::remove_file(Path::new(&place).join("loop")).unwrap();
    again.pass(11).await;
    assert_eq!(again.place().await.problem, "");
    assert_eq!((again.started().len(), again.with(|rows| rows.alerts.len())), (1, 2));
    again.stop.call(StopFiles).await.unwrap();
}

#[actix::test]
async fn places_that_are_watched_no_longer_are_forgotten() {
    let (_folder, place) = folder();
    let bench = Bench::watching(rows(), &[&place]);
    bench.looked().await;
    bench.stop.call(StopFiles).await.unwrap();
    let other = Bench::watching(bench.rows.clone(), &[]);
    // Once it answers it has begun to forget.
    assert_eq!(other.client.call(ReadWatchedPlaces).await.unwrap().len(), 0);
    other.clock.settle().await;
    assert!(other.with(|rows| rows.seen.is_empty()));
    other.stop.call(StopFiles).await.unwrap();
}

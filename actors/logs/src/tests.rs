//! The actor over a folder, on a clock that a test moves.

use std::path::Path;

use actix::Arbiter;
use flowlord_domain::Uid;
use flowlord_kernel::WorkCounter;
use flowlord_messages::clients::LogsClient;
use flowlord_testkit::VirtualClock;
use flowlord_testkit::sample::noon;

use super::*;

const BLOCK: u64 = 4_096;

struct Logs {
    folder: tempfile::TempDir,
    clock: VirtualClock,
    client: LogsClient,
    _thread: Arbiter,
}

async fn logs(max_total: u64) -> Logs {
    logs_in(tempfile::tempdir().unwrap(), max_total).await
}

async fn logs_in(folder: tempfile::TempDir, max_total: u64) -> Logs {
    let clock = VirtualClock::new(noon(), WorkCounter::default());
    let (environment, thread) = (clock.environment(), Arbiter::new());
    let config = Config { folder: folder.path().join("logs"), keep: TimeDelta::days(2), max_task: 1_000, max_total };
    let actor = TaskLogs::start(&thread.handle(), config, environment.kit("logs"));
    let client = LogsClient::connect("logs", &actor, &environment);
    // It answers once it has begun.
    client.call(ReadLog { uid: Uid(0), after: 0, is_followed: false }).await.unwrap();
    clock.settle().await;
    Logs { folder, clock, client, _thread: thread }
}

/// An attempt of a day, counted from that of the tests.
fn uid(day: i64, number: i64) -> Uid {
    Uid((noon() + TimeDelta::days(day)).timestamp_micros() + number)
}

impl Logs {
    async fn append(&self, uid: Uid, offset: u64, text: &str) -> AppendedLog {
        self.client.call(AppendLog { uid, offset, piece: text.as_bytes().to_vec() }).await.unwrap()
    }

    async fn read(&self, uid: Uid) -> Option<String> {
        let read = ReadLog { uid, after: 0, is_followed: false };
        self.client.call(read).await.unwrap().map(|part| part.text)
    }

    fn days(&self) -> Vec<String> {
        let mut days = names(&self.folder.path().join("logs"));
        days.sort();
        days
    }
}

fn names(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[actix::test]
async fn each_attempt_has_a_log_that_outlives_a_restart() {
    let logs = logs(1_000_000).await;
    assert_eq!(logs.read(uid(0, 1)).await, None);
    assert_eq!(logs.append(uid(0, 1), 0, "one\n").await, AppendedLog { offset: 4, is_taken: true });
    logs.append(uid(0, 2), 0, "other\n").await;
    let logs = logs_in(logs.folder, 1_000_000).await;
    assert_eq!(logs.append(uid(0, 1), 4, "two\n").await.offset, 8);
    assert_eq!(logs.read(uid(0, 1)).await.as_deref(), Some("one\ntwo\n"));
    assert_eq!(logs.append(uid(0, 3), 0, "").await, AppendedLog { offset: 0, is_taken: true });
    assert_eq!(logs.read(uid(0, 3)).await, None, "an empty piece makes no log");
}

#[actix::test]
async fn days_that_are_kept_no_longer_go_at_midnight_and_at_a_start() {
    let logs = logs(1_000_000).await;
    for day in [-3, -2, 0] {
        logs.append(uid(day, 1), 0, "text\n").await;
    }
    std::fs::create_dir(logs.folder.path().join("logs/somebody's")).unwrap();
    logs.clock.advance(TimeDelta::hours(12)).await;
    assert_eq!(logs.days(), ["2026-03-02", "somebody's"], "on the third, the first and later days are kept");
    logs.append(uid(-3, 1), 0, "text\n").await;
    let logs = logs_in(logs.folder, 1_000_000).await;
    assert_eq!(logs.days(), ["2026-03-02", "somebody's"]);
}

#[actix::test]
async fn over_the_limit_the_oldest_logs_go() {
    let logs = logs(100 * BLOCK).await;
    for number in 0..70 {
        logs.append(uid(0, number), 0, "text\n").await;
    }
    let kept = names(&logs.folder.path().join("logs/2026-03-02")).len();
    assert!((47..=50).contains(&kept), "one day takes half of all: {kept}");
    assert_eq!((logs.read(uid(0, 0)).await, logs.read(uid(0, 69)).await.is_some()), (None, true));
    for number in 0..60 {
        logs.append(uid(-1, number), 0, "text\n").await;
    }
    let before = names(&logs.folder.path().join("logs/2026-03-01")).len();
    assert!(before <= 50 && kept + before <= 100, "{before}");
    for number in 0..40 {
        logs.append(uid(1, number), 0, "text\n").await;
    }
    let all = logs.days().iter().map(|day| names(&logs.folder.path().join("logs").join(day)).len()).sum::<usize>();
    assert!((90..=100).contains(&all), "{all}");
    assert_eq!(names(&logs.folder.path().join("logs/2026-03-03")).len(), 40, "the oldest went");
    // What was there before a start counts.
    let logs = logs_in(logs.folder, 10 * BLOCK).await;
    let all = logs.days().iter().map(|day| names(&logs.folder.path().join("logs").join(day)).len()).sum::<usize>();
    assert!(all <= 10 && logs.read(uid(1, 39)).await.is_some(), "{all}");
}

#[actix::test]
async fn ten_megabytes_take_no_more_than_twice_what_is_kept() {
    let logs = logs(1_000_000).await;
    let piece = "0123456789abcde\n".repeat(2_048);
    let mut offset = 0;
    for _ in 0..320 {
        offset = logs.append(uid(0, 1), offset, &piece).await.offset;
    }
    assert_eq!(offset, 320 * 32_768);
    let size = std::fs::metadata(folder::log_path(&logs.folder.path().join("logs"), uid(0, 1))).unwrap().len();
    assert!(size <= 2_032, "{size}");
    assert!(logs.read(uid(0, 1)).await.unwrap().len() > 900);
}

#[actix::test]
async fn what_cannot_be_written_is_said_and_the_next_piece_is_taken() {
    let logs = logs(1_000_000).await;
    // A file in the place of the folder.
    std::fs::write(logs.folder.path().join("logs"), "").unwrap();
    let append = AppendLog { uid: uid(0, 1), offset: 0, piece: b"x".to_vec() };
    let err = logs.client.call(append).await.unwrap_err();
    assert_eq!(err.code, Code::Storage, "{err}");
    std::fs::remove_file(logs.folder.path().join("logs")).unwrap();
    assert!(logs.append(uid(0, 1), 0, "x").await.is_taken);
}

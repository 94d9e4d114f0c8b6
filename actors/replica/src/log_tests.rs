//! What a follower reads of a log in a place: entries without a gap, with the segments that they name.

use chrono::{DateTime, Utc};
use flowlord_domain::IdSource as _;
use flowlord_kernel::IdGenerator;

use crate::NodeFile;
use crate::append::FetchedEntry;
use crate::cluster_log::ClusterLog;
use crate::entry::EntryContent;
use crate::tests::{beat, folder_log, own};
use crate::workflow_source::WorkflowComparison;

const MEGABYTE: u64 = 1 << 20;

fn at() -> DateTime<Utc> {
    "2026-03-02T12:00:00Z".parse().unwrap()
}

/// Appends an entry that names a segment of so many bytes, as it says.
async fn append_segment(log: &ClusterLog, number: u64, bytes: u64) {
    let (path, digest) = (format!("log/{number}"), format!("d{number}"));
    let content = EntryContent::Segment { path, digest, bytes, chain: "7".to_owned(), upto: 1, through: at() };
    log.append(number, &own("a").entry(1, at(), content)).await.unwrap();
}

async fn put_segment(log: &ClusterLog, number: u64) {
    log.store.put(&format!("log/{number}"), format!("rows of {number}")).await.unwrap();
}

/// The numbers of a batch, each with what was read of its segment.
async fn batch(log: &ClusterLog, after: u64, most: usize, fetches: bool) -> Vec<(u64, Option<String>)> {
    let read = log.read_batch(after, most, fetches).await.unwrap();
    let text = |FetchedEntry { number, changes, .. }: FetchedEntry| {
        (number, changes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()))
    };
    read.into_iter().map(text).collect()
}

async fn numbers(log: &ClusterLog, after: u64, most: usize) -> Vec<u64> {
    batch(log, after, most, true).await.into_iter().map(|(number, _)| number).collect()
}

#[actix::test]
async fn entries_are_read_up_to_the_first_that_is_missing() {
    let (_folder, log) = folder_log();
    for number in [1, 2, 3, 5] {
        log.append(number, &beat("a", 1)).await.unwrap();
    }
    assert_eq!(numbers(&log, 0, 16).await, [1, 2, 3]);
    assert_eq!(numbers(&log, 1, 1).await, [2], "no more than are asked for");
    assert_eq!(numbers(&log, 4, 16).await, [5]);
    assert!(numbers(&log, 3, 16).await.is_empty(), "the fourth may be on its way");
    assert!(numbers(&log, 5, 16).await.is_empty());
}

#[actix::test]
async fn segments_come_with_their_entries_where_they_are_there_and_asked_for() {
    let (_folder, log) = folder_log();
    for number in [1, 2] {
        append_segment(&log, number, 9).await;
    }
    log.append(3, &beat("a", 1)).await.unwrap();
    put_segment(&log, 2).await;
    let rows = Some("rows of 2".to_owned());
    assert_eq!(batch(&log, 0, 16, true).await, [(1, None), (2, rows), (3, None)]);
    assert_eq!(batch(&log, 0, 16, false).await, [(1, None), (2, None), (3, None)], "who can't apply them reads none");
}

#[actix::test]
async fn large_segments_are_read_a_few_at_a_time_and_the_first_always() {
    let (_folder, log) = folder_log();
    for (number, megabytes) in [(1, 40), (2, 24), (3, 1), (4, 100), (5, 1)] {
        append_segment(&log, number, megabytes * MEGABYTE).await;
        put_segment(&log, number).await;
    }
    assert_eq!(numbers(&log, 0, 16).await, [1, 2], "64 MiB, and no byte more");
    assert_eq!(numbers(&log, 2, 16).await, [3], "the next would be too much");
    assert_eq!(numbers(&log, 3, 16).await, [4], "alone, or it would never be read");
    let unfetched = batch(&log, 0, 16, false).await.len();
    assert_eq!(unfetched, 5, "what isn't fetched takes no room");
}

#[actix::test]
async fn a_place_keeps_rows_in_no_file_of_their_own_and_trims_nothing() {
    let (_folder, log) = folder_log();
    assert!(!log.holds_transactions());
    assert_eq!(log.path_of_large(1, "d", usize::MAX), None);
    log.append(1, &beat("a", 1)).await.unwrap();
    log.trim(9).await.unwrap();
    assert_eq!(log.tip().await.unwrap(), 1, "its entries are forgotten by their age");
    assert!(log.warnings().await.unwrap().is_empty());
}

#[test]
fn files_of_nodes_before_this_version_lack_what_came_later() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("cluster.json"), r#"{"id":"ab","has_led":true,"reseeded_for":7}"#).unwrap();
    let file = NodeFile::read(folder.path(), &mut IdGenerator::seeded(1)).unwrap();
    assert_eq!((file.id.as_str(), file.has_led, file.reseeded_for), ("ab", true, Some(7)));
    assert_eq!((file.seeded_at, file.difference, file.takeover, file.begins_log), (None, None, None, false));
}

#[test]
fn a_node_draws_an_id_of_its_own_and_writes_nothing_before_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let mut ids = IdGenerator::seeded(1);
    let drawn = [(); 2].map(|()| NodeFile::read(folder.path(), &mut ids).unwrap().id);
    assert_ne!(drawn[0], drawn[1]);
    assert_eq!(drawn[0], format!("{:016x}", IdGenerator::seeded(1).random_bits()));
    assert!(folder.path().read_dir().unwrap().next().is_none());
}

#[test]
fn a_node_says_that_its_workflow_files_differ_once_both_are_known() {
    let warning = |own: Option<&str>, leader: Option<&str>| {
        let compared = WorkflowComparison { own: own.map(str::to_owned), leader: leader.map(str::to_owned) };
        compared.warning("a")
    };
    assert_eq!([warning(None, Some("x")), warning(Some("x"), None), warning(Some("x"), Some("x"))], [None, None, None]);
    let said = warning(Some("x"), Some("y")).unwrap();
    assert!(said.contains("aren't those of a, which leads") && said.contains("--workflow"), "{said}");
}

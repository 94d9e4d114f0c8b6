//! The folder of all logs: a folder for each day on which tasks were created, a file for each attempt.

use std::collections::BTreeMap;
use std::fs::DirEntry;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use flowlord_domain::Uid;

/// File systems give room in blocks: small logs take more than their bytes.
const BLOCK_BYTES: u64 = 4_096;

/// How many bytes the logs of each day take.
pub(crate) type DaySizes = BTreeMap<NaiveDate, u64>;

/// The day of an attempt's log.
pub(crate) fn day_of(uid: Uid) -> NaiveDate {
    uid.created_at().date_naive()
}

pub(crate) fn log_path(root: &Path, uid: Uid) -> PathBuf {
    day_folder(root, day_of(uid)).join(uid.to_string())
}

fn day_folder(root: &Path, day: NaiveDate) -> PathBuf {
    root.join(day.to_string())
}

/// How many bytes a file takes; none where it isn't there.
pub(crate) fn disk_bytes(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| in_blocks(file.len()))
}

fn in_blocks(bytes: u64) -> u64 {
    bytes.next_multiple_of(BLOCK_BYTES)
}

/// Removes days before `oldest`, and measures the others.
pub(crate) fn sweep_folder(root: &Path, oldest: NaiveDate) -> io::Result<DaySizes> {
    let mut sizes = DaySizes::new();
    for entry in entries(root)? {
        // What somebody else put there is left alone.
        let Some(day) = entry.file_name().to_str().and_then(|name| name.parse::<NaiveDate>().ok()) else { continue };
        if day < oldest {
            std::fs::remove_dir_all(entry.path())?;
            log::info!("event=logs_removed day={day} reason=\"older than logs.keep\"");
            continue;
        }
        let files = entries(&entry.path())?;
        sizes.insert(day, files.iter().filter_map(|file| file.metadata().ok()).map(|file| in_blocks(file.len())).sum());
    }
    Ok(sizes)
}

/// Removes the oldest logs of a day until `excess` bytes are free. Answers how many became free.
pub(crate) fn remove_oldest(root: &Path, day: NaiveDate, excess: u64) -> io::Result<u64> {
    let folder = day_folder(root, day);
    let mut files = entries(&folder)?;
    // Names are the instants of creation.
    files.sort_unstable_by_key(DirEntry::file_name);
    let mut free = 0;
    for file in &files {
        if free >= excess {
            return Ok(free);
        }
        let size = file.metadata().map_or(0, |file| in_blocks(file.len()));
        std::fs::remove_file(file.path())?;
        free += size;
    }
    std::fs::remove_dir(folder)?;
    Ok(free)
}

fn entries(folder: &Path) -> io::Result<Vec<DirEntry>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.collect(),
        Err(err) if err.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(err) => Err(err),
    }
}

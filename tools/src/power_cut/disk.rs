//! A disk as a power cut leaves it: flushed bytes are there; of the rest, any part may be, down to single sectors and in
//! any order.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _};

use super::trace::TraceEvent;

// A disk writes a sector as a whole.
const SECTOR_BYTES: usize = 512;

/// How much a power cut leaves of what wasn't flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnflushedWrites {
    Nothing,
    All,
    /// The first writes, the last of them torn.
    Beginning,
    /// Some writes, whatever their order was.
    Some,
    Sectors,
}

impl UnflushedWrites {
    pub(crate) const ALL: [Self; 5] = [Self::Nothing, Self::All, Self::Beginning, Self::Some, Self::Sectors];
}

#[derive(Debug, Clone)]
enum FileChange {
    Write { at: usize, bytes: Vec<u8> },
    Size(usize),
}

#[derive(Debug, Default, Clone)]
struct DiskFile {
    flushed: Vec<u8>,
    /// Changes that aren't flushed, by step.
    unflushed: Vec<(usize, FileChange)>,
}

#[derive(Debug, Clone)]
enum NameChange {
    Added { path: String, file: usize },
    Removed { path: String },
}

/// The disk at a moment of the recording.
#[derive(Debug, Default)]
pub(crate) struct SimulatedDisk {
    files: Vec<DiskFile>,
    /// Names as programs see them.
    names: BTreeMap<String, usize>,
    flushed_names: BTreeMap<String, usize>,
    unflushed_names: Vec<(usize, NameChange)>,
    /// Flushes under way: their paths, and the step before which they flush everything.
    syncs: HashMap<usize, (String, usize)>,
    step: usize,
    /// Whether it reports flushes that it doesn't make: then the check must find what is lost.
    lies: bool,
}

impl SimulatedDisk {
    pub(crate) fn new_empty(lies: bool) -> Self {
        Self { lies, ..Self::default() }
    }

    pub(crate) fn apply_event(&mut self, event: &TraceEvent) {
        self.step += 1;
        match event {
            TraceEvent::Open { path, emptied } => {
                // A new file is empty already.
                let new = !self.names.contains_key(path);
                let file = self.find_or_create(path);
                if *emptied && !new {
                    self.change_file(file, FileChange::Size(0));
                }
            }
            TraceEvent::Write { path, at, bytes } => {
                let file = self.find_or_create(path);
                let at = usize::try_from(*at).unwrap_or(usize::MAX);
                self.change_file(file, FileChange::Write { at, bytes: bytes.clone() });
            }
            TraceEvent::Truncate { path, size } => {
                let file = self.find_or_create(path);
                self.change_file(file, FileChange::Size(usize::try_from(*size).unwrap_or(usize::MAX)));
            }
            TraceEvent::SyncBegins { path, id } => drop(self.syncs.insert(*id, (path.clone(), self.step))),
            TraceEvent::SyncEnds { id } => self.flush_until(*id),
            TraceEvent::Rename { from, to } => {
                if let Some(file) = self.names.get(from).copied() {
                    self.change_name(NameChange::Removed { path: from.clone() });
                    self.change_name(NameChange::Added { path: to.clone(), file });
                }
            }
            TraceEvent::Link { from, to } => {
                if let Some(file) = self.names.get(from).copied() {
                    self.change_name(NameChange::Added { path: to.clone(), file });
                }
            }
            TraceEvent::Unlink { path } => self.change_name(NameChange::Removed { path: path.clone() }),
            // Sockets leave nothing on disk.
            TraceEvent::Received { .. } | TraceEvent::Sent { .. } => {}
        }
    }

    fn find_or_create(&mut self, path: &str) -> usize {
        if let Some(file) = self.names.get(path) {
            return *file;
        }
        self.files.push(DiskFile::default());
        let file = self.files.len() - 1;
        self.change_name(NameChange::Added { path: path.to_owned(), file });
        file
    }

    fn change_file(&mut self, file: usize, change: FileChange) {
        let step = self.step;
        self.files[file].unflushed.push((step, change));
    }

    fn change_name(&mut self, change: NameChange) {
        apply_name(&mut self.names, &change);
        self.unflushed_names.push((self.step, change));
    }

    fn flush_until(&mut self, id: usize) {
        let Some((path, begun)) = self.syncs.remove(&id).filter(|_| !self.lies) else { return };
        let within = format!("{path}/");
        // What was done before the flush began is on disk; of what came while it ran nobody knows.
        if let Some(file) = self.names.get(&path) {
            let file = &mut self.files[*file];
            let later = file.unflushed.split_off(file.unflushed.partition_point(|(step, _)| *step < begun));
            for (_, change) in std::mem::replace(&mut file.unflushed, later) {
                apply_whole(&mut file.flushed, &change);
            }
        }
        // The flush of a folder flushes its names.
        let flushed = self.unflushed_names.extract_if(.., |(step, change)| {
            let (NameChange::Added { path, .. } | NameChange::Removed { path }) = change;
            *step < begun && path.starts_with(&within)
        });
        for (_, change) in flushed {
            apply_name(&mut self.flushed_names, &change);
        }
    }

    /// What the power cut leaves below `folder`, by path.
    pub(crate) fn cut_power(
        &self,
        folder: &str,
        unflushed: UnflushedWrites,
        rng: &mut StdRng,
    ) -> BTreeMap<String, Vec<u8>> {
        let mut names = self.flushed_names.clone();
        // A journal keeps names in their order: some of the last ones may be missing.
        let kept = match unflushed {
            UnflushedWrites::Nothing => 0,
            UnflushedWrites::All => self.unflushed_names.len(),
            _ => rng.random_range(0..=self.unflushed_names.len()),
        };
        for (_, change) in &self.unflushed_names[..kept] {
            apply_name(&mut names, change);
        }
        let within = names.into_iter().filter(|(path, _)| Path::new(path).starts_with(folder));
        within.map(|(path, file)| (path, self.files[file].cut_power(unflushed, rng))).collect()
    }
}

impl DiskFile {
    fn cut_power(&self, unflushed: UnflushedWrites, rng: &mut StdRng) -> Vec<u8> {
        let mut content = self.flushed.clone();
        let count = match unflushed {
            UnflushedWrites::Nothing => 0,
            UnflushedWrites::Beginning => rng.random_range(0..=self.unflushed.len()),
            _ => self.unflushed.len(),
        };
        for (index, (_, change)) in self.unflushed[..count].iter().enumerate() {
            match unflushed {
                UnflushedWrites::Some if rng.random() => {}
                UnflushedWrites::Sectors => apply_torn(&mut content, change, rng),
                UnflushedWrites::Beginning if index + 1 == count => apply_torn(&mut content, change, rng),
                _ => apply_whole(&mut content, change),
            }
        }
        content
    }
}

fn apply_name(names: &mut BTreeMap<String, usize>, change: &NameChange) {
    match change {
        NameChange::Added { path, file } => drop(names.insert(path.clone(), *file)),
        NameChange::Removed { path } => drop(names.remove(path)),
    }
}

fn apply_whole(content: &mut Vec<u8>, change: &FileChange) {
    match change {
        FileChange::Write { at, bytes } => write_bytes(content, *at, bytes),
        FileChange::Size(size) => content.resize(*size, 0),
    }
}

fn write_bytes(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if content.len() < at + bytes.len() {
        content.resize(at + bytes.len(), 0);
    }
    content[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Each sector that the write touches is written or not; a change of size happens or not.
fn apply_torn(content: &mut Vec<u8>, change: &FileChange, rng: &mut StdRng) {
    let FileChange::Write { at, bytes } = change else {
        if rng.random() {
            apply_whole(content, change);
        }
        return;
    };
    let mut begin = *at;
    while begin < at + bytes.len() {
        let end = ((begin / SECTOR_BYTES + 1) * SECTOR_BYTES).min(at + bytes.len());
        if rng.random() {
            write_bytes(content, begin, &bytes[begin - at..end - at]);
        }
        begin = end;
    }
}

pub(crate) fn random_bytes(rng: &mut StdRng) -> Vec<u8> {
    // As large as SQLite makes the file.
    let mut bytes = vec![0; 32_768];
    rng.fill_bytes(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    fn write(path: &str, at: u64, byte: u8) -> TraceEvent {
        TraceEvent::Write { path: path.to_owned(), at, bytes: vec![byte; 1_024] }
    }

    fn sync(path: &str, id: usize) -> [TraceEvent; 2] {
        [TraceEvent::SyncBegins { path: path.to_owned(), id }, TraceEvent::SyncEnds { id }]
    }

    fn disk(events: &[TraceEvent]) -> SimulatedDisk {
        let mut disk = SimulatedDisk::default();
        events.iter().for_each(|event| disk.apply_event(event));
        disk
    }

    fn images(disk: &SimulatedDisk, unflushed: UnflushedWrites) -> Vec<BTreeMap<String, Vec<u8>>> {
        let mut rng = StdRng::seed_from_u64(1);
        (0..200).map(|_| disk.cut_power("/d", unflushed, &mut rng)).collect()
    }

    #[test]
    fn what_was_flushed_is_in_every_image_and_what_was_not_in_some() {
        let [begins, ends] = sync("/d/f", 1);
        let [folder_begins, folder_ends] = sync("/d", 2);
        let later = write("/d/f", 1_024, 2);
        // Written within the flush: not of it.
        let disk = disk(&[write("/d/f", 0, 1), begins, later, ends, folder_begins, folder_ends]);
        for unflushed in UnflushedWrites::ALL {
            let images = images(&disk, unflushed);
            assert!(images.iter().all(|image| image["/d/f"][..1_024] == [1; 1_024]), "{unflushed:?}");
        }
        let sizes = |unflushed| -> Vec<usize> {
            let mut sizes: Vec<_> = images(&disk, unflushed).iter().map(|image| image["/d/f"].len()).collect();
            sizes.sort_unstable();
            sizes.dedup();
            sizes
        };
        assert_eq!(sizes(UnflushedWrites::Nothing), [1_024]);
        assert_eq!(sizes(UnflushedWrites::All), [2_048]);
        assert_eq!(sizes(UnflushedWrites::Some), [1_024, 2_048]);
        assert_eq!(sizes(UnflushedWrites::Sectors), [1_024, 1_536, 2_048]);
        let reordered = images(&disk, UnflushedWrites::Sectors)
            .into_iter()
            .any(|image| image["/d/f"][1_024..].starts_with(&[0; 512]) && image["/d/f"].len() == 2_048);
        assert!(reordered, "the second sector without the first");
    }

    #[test]
    fn a_name_is_there_once_its_folder_was_flushed() {
        let new = [write("/d/f", 0, 1)].into_iter().chain(sync("/d/f", 1)).collect::<Vec<_>>();
        let unflushed = disk(&new);
        assert!(images(&unflushed, UnflushedWrites::Nothing).iter().all(BTreeMap::is_empty));
        let some = images(&unflushed, UnflushedWrites::Some);
        assert!(some.iter().any(BTreeMap::is_empty) && some.iter().any(|image| !image.is_empty()));
        let renamed = TraceEvent::Rename { from: "/d/f".to_owned(), to: "/d/g".to_owned() };
        let all = new.into_iter().chain(sync("/d", 2)).chain([renamed]).chain(sync("/d", 3)).collect::<Vec<_>>();
        let names: Vec<_> = images(&disk(&all), UnflushedWrites::Nothing)[0].keys().cloned().collect();
        assert_eq!(names, ["/d/g"]);
    }

    #[test]
    fn a_disk_that_lies_loses_what_it_said_it_flushed() {
        let mut disk = SimulatedDisk::new_empty(true);
        let events = [write("/d/f", 0, 1)].into_iter().chain(sync("/d/f", 1)).chain(sync("/d", 2));
        events.for_each(|event| disk.apply_event(&event));
        assert!(images(&disk, UnflushedWrites::Nothing).iter().all(BTreeMap::is_empty));
    }
}

//! A disk as a power cut leaves it: what was flushed is there; of the rest, anything may be, down to single sectors and
//! in any order.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _};

use super::trace::Event;

/// What a disk writes as a whole.
const SECTOR: usize = 512;

/// How much of what wasn't flushed is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// None of it.
    Nothing,
    /// All of it.
    All,
    /// The first of it, the last write torn.
    Beginning,
    /// Some writes and not others, whatever their order was.
    Some,
    /// Some sectors of each write.
    Sectors,
}

impl Left {
    pub(crate) const ALL: [Self; 5] = [Self::Nothing, Self::All, Self::Beginning, Self::Some, Self::Sectors];
}

#[derive(Debug, Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Size(usize),
}

/// A file: what is flushed, and what was done to it since.
#[derive(Debug, Default, Clone)]
struct File {
    flushed: Vec<u8>,
    since: Vec<(usize, Change)>,
}

#[derive(Debug, Clone)]
enum Naming {
    Name { path: String, file: usize },
    Gone { path: String },
}

/// The disk at a moment of the recording.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    files: Vec<File>,
    /// Names as programs see them.
    names: BTreeMap<String, usize>,
    /// Names that are flushed, and what was done since.
    flushed: BTreeMap<String, usize>,
    since: Vec<(usize, Naming)>,
    /// Flushes under way: what they flush, and everything before which change.
    syncs: HashMap<usize, (String, usize)>,
    step: usize,
    /// As a disk that says that it flushed and doesn't: then the check must find what is lost.
    lies: bool,
}

impl Disk {
    /// An empty one, or one that `lies`.
    pub(crate) fn new(lies: bool) -> Self {
        Self { lies, ..Self::default() }
    }

    /// One more thing happens.
    pub(crate) fn apply(&mut self, event: &Event) {
        self.step += 1;
        match event {
            Event::Open { path, emptied } => {
                let new = !self.names.contains_key(path);
                let file = self.file(path);
                if *emptied && !new {
                    self.change(file, Change::Size(0));
                }
            }
            Event::Write { path, at, bytes } => {
                let file = self.file(path);
                let at = usize::try_from(*at).unwrap_or(usize::MAX);
                self.change(file, Change::Write { at, bytes: bytes.clone() });
            }
            Event::Truncate { path, size } => {
                let file = self.file(path);
                self.change(file, Change::Size(usize::try_from(*size).unwrap_or(usize::MAX)));
            }
            Event::SyncBegins { path, id } => drop(self.syncs.insert(*id, (path.clone(), self.step))),
            Event::SyncEnds { id } => self.synced(*id),
            Event::Rename { from, to } => {
                if let Some(file) = self.names.get(from).copied() {
                    self.name(Naming::Gone { path: from.clone() });
                    self.name(Naming::Name { path: to.clone(), file });
                }
            }
            Event::Link { from, to } => {
                if let Some(file) = self.names.get(from).copied() {
                    self.name(Naming::Name { path: to.clone(), file });
                }
            }
            Event::Unlink { path } => self.name(Naming::Gone { path: path.clone() }),
            Event::Received { .. } | Event::Sent { .. } => {}
        }
    }

    fn file(&mut self, path: &str) -> usize {
        if let Some(file) = self.names.get(path) {
            return *file;
        }
        self.files.push(File::default());
        let file = self.files.len() - 1;
        self.name(Naming::Name { path: path.to_owned(), file });
        file
    }

    fn change(&mut self, file: usize, change: Change) {
        let step = self.step;
        self.files[file].since.push((step, change));
    }

    fn name(&mut self, naming: Naming) {
        rename(&mut self.names, &naming);
        self.since.push((self.step, naming));
    }

    /// What was done before the flush began is on disk; a folder's flush is about its names.
    fn synced(&mut self, id: usize) {
        let Some((path, begun)) = self.syncs.remove(&id).filter(|_| !self.lies) else { return };
        let within = format!("{path}/");
        if let Some(file) = self.names.get(&path) {
            let file = &mut self.files[*file];
            let later = file.since.split_off(file.since.partition_point(|(step, _)| *step < begun));
            for (_, change) in std::mem::replace(&mut file.since, later) {
                full(&mut file.flushed, &change);
            }
        }
        let (now, later) = std::mem::take(&mut self.since).into_iter().partition(|(step, naming)| {
            let (Naming::Name { path, .. } | Naming::Gone { path }) = naming;
            *step < begun && path.starts_with(&within)
        });
        self.since = later;
        let now: Vec<(usize, Naming)> = now;
        now.iter().for_each(|(_, naming)| rename(&mut self.flushed, naming));
    }

    /// What the power cut leaves below `folder`, by path.
    pub(crate) fn image(&self, folder: &str, left: Left, rng: &mut StdRng) -> BTreeMap<String, Vec<u8>> {
        let mut names = self.flushed.clone();
        // A journal keeps names in their order: some of the last ones may be missing.
        let kept = match left {
            Left::Nothing => 0,
            Left::All => self.since.len(),
            _ => rng.random_range(0..=self.since.len()),
        };
        self.since[..kept].iter().for_each(|(_, naming)| rename(&mut names, naming));
        let within = names.into_iter().filter(|(path, _)| Path::new(path).starts_with(folder));
        within.map(|(path, file)| (path, self.files[file].left(left, rng))).collect()
    }
}

impl File {
    fn left(&self, left: Left, rng: &mut StdRng) -> Vec<u8> {
        let mut content = self.flushed.clone();
        let count = match left {
            Left::Nothing => 0,
            Left::Beginning => rng.random_range(0..=self.since.len()),
            _ => self.since.len(),
        };
        for (index, (_, change)) in self.since[..count].iter().enumerate() {
            match left {
                Left::Some if rng.random() => {}
                Left::Sectors => torn(&mut content, change, rng),
                Left::Beginning if index + 1 == count => torn(&mut content, change, rng),
                _ => full(&mut content, change),
            }
        }
        content
    }
}

fn rename(names: &mut BTreeMap<String, usize>, naming: &Naming) {
    match naming {
        Naming::Name { path, file } => drop(names.insert(path.clone(), *file)),
        Naming::Gone { path } => drop(names.remove(path)),
    }
}

fn full(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write { at, bytes } => put(content, *at, bytes),
        Change::Size(size) => content.resize(*size, 0),
    }
}

fn put(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if content.len() < at + bytes.len() {
        content.resize(at + bytes.len(), 0);
    }
    content[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Each sector that the write touches is written or not; a change of size happens or not.
fn torn(content: &mut Vec<u8>, change: &Change, rng: &mut StdRng) {
    let Change::Write { at, bytes } = change else {
        if rng.random() {
            full(content, change);
        }
        return;
    };
    let mut begin = *at;
    while begin < at + bytes.len() {
        let end = ((begin / SECTOR + 1) * SECTOR).min(at + bytes.len());
        if rng.random() {
            put(content, begin, &bytes[begin - at..end - at]);
        }
        begin = end;
    }
}

/// What a `-shm` file may hold after a power cut: anything.
pub(crate) fn garbage(rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = vec![0; 32_768];
    rng.fill_bytes(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    fn write(path: &str, at: u64, byte: u8) -> Event {
        Event::Write { path: path.to_owned(), at, bytes: vec![byte; 1_024] }
    }

    fn sync(path: &str, id: usize) -> [Event; 2] {
        [Event::SyncBegins { path: path.to_owned(), id }, Event::SyncEnds { id }]
    }

    fn disk(events: &[Event]) -> Disk {
        let mut disk = Disk::default();
        events.iter().for_each(|event| disk.apply(event));
        disk
    }

    fn images(disk: &Disk, left: Left) -> Vec<BTreeMap<String, Vec<u8>>> {
        let mut rng = StdRng::seed_from_u64(1);
        (0..200).map(|_| disk.image("/d", left, &mut rng)).collect()
    }

    #[test]
    fn what_was_flushed_is_in_every_image_and_what_was_not_in_some() {
        let [begins, ends] = sync("/d/f", 1);
        let [folder_begins, folder_ends] = sync("/d", 2);
        let later = write("/d/f", 1_024, 2);
        // Written within the flush: not of it.
        let disk = disk(&[write("/d/f", 0, 1), begins, later, ends, folder_begins, folder_ends]);
        for left in Left::ALL {
            assert!(images(&disk, left).iter().all(|image| image["/d/f"][..1_024] == [1; 1_024]), "{left:?}");
        }
        let sizes = |left| -> Vec<usize> {
            let mut sizes: Vec<_> = images(&disk, left).iter().map(|image| image["/d/f"].len()).collect();
            sizes.sort_unstable();
            sizes.dedup();
            sizes
        };
        assert_eq!(sizes(Left::Nothing), [1_024]);
        assert_eq!(sizes(Left::All), [2_048]);
        assert_eq!(sizes(Left::Some), [1_024, 2_048]);
        assert_eq!(sizes(Left::Sectors), [1_024, 1_536, 2_048]);
        let reordered = images(&disk, Left::Sectors)
            .into_iter()
            .any(|image| image["/d/f"][1_024..].starts_with(&[0; 512]) && image["/d/f"].len() == 2_048);
        assert!(reordered, "the second sector without the first");
    }

    #[test]
    fn a_name_is_there_once_its_folder_was_flushed() {
        let new = [write("/d/f", 0, 1)].into_iter().chain(sync("/d/f", 1)).collect::<Vec<_>>();
        let unflushed = disk(&new);
        assert!(images(&unflushed, Left::Nothing).iter().all(BTreeMap::is_empty));
        let some = images(&unflushed, Left::Some);
        assert!(some.iter().any(BTreeMap::is_empty) && some.iter().any(|image| !image.is_empty()));
        let renamed = Event::Rename { from: "/d/f".to_owned(), to: "/d/g".to_owned() };
        let all =
            new.into_iter().chain(sync("/d", 2)).chain([renamed]).chain(sync("/d", 3)).collect::<Vec<_>>();
        let names: Vec<_> = images(&disk(&all), Left::Nothing)[0].keys().cloned().collect();
        assert_eq!(names, ["/d/g"]);
    }

    #[test]
    fn a_disk_that_lies_loses_what_it_said_it_flushed() {
        let mut disk = Disk::new(true);
        let events = [write("/d/f", 0, 1)].into_iter().chain(sync("/d/f", 1)).chain(sync("/d", 2));
        events.for_each(|event| disk.apply(&event));
        assert!(images(&disk, Left::Nothing).iter().all(BTreeMap::is_empty));
    }
}

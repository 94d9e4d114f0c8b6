//! The workflow files that count, and how a scan of the folder changes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use flowlord_domain::bom;
use flowlord_domain::workflow::{Finding, Severity, WorkflowFile, Workflows};
use flowlord_messages::workflows::{ReloadReport, SaveWorkflows, WorkflowRecord};

use crate::files::FoundFiles;
use crate::findings::{ROOT, file_alert, is_reported, is_special, skipped_file};
use crate::source::ScannedFile;

/// A save to a full disk leaves a file like this.
const EMPTIED: &str = "the file became empty: write its phases again, or remove the file to end them";

/// A workflow file: what was read last, and its last good version.
#[derive(Debug, Clone)]
struct CatalogEntry {
    /// What was read last, and the last content of it that loads.
    record: WorkflowRecord,
    good: Option<Arc<WorkflowFile>>,
    /// Why what was read last doesn't load.
    broken: Vec<Finding>,
    /// It was parsed by this process, not an earlier run or version of it.
    is_read: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct WorkflowCatalog {
    zone: Tz,
    entries: BTreeMap<String, CatalogEntry>,
}

#[derive(Debug)]
pub(crate) struct CatalogChange {
    pub(crate) catalog: WorkflowCatalog,
    pub(crate) reloaded: ReloadReport,
    /// What is to be remembered; none when nothing changed.
    pub(crate) save: Option<SaveWorkflows>,
}

impl WorkflowCatalog {
    /// What was remembered from an earlier run. It is read only where the file itself doesn't load.
    pub(crate) fn from_records(records: Vec<WorkflowRecord>, zone: Tz) -> Self {
        let entries = records.into_iter().map(|record| {
            let path = record.path.clone();
            (path, CatalogEntry { good: None, broken: Vec::new(), is_read: false, record })
        });
        Self { zone, entries: entries.collect() }
    }

    /// The last good version of each file.
    pub(crate) fn workflows(&self) -> Workflows {
        Workflows::new(self.entries.values().filter_map(|entry| entry.good.clone()))
    }

    /// True when a file holds what it held, so that it needn't be read: its content is here.
    pub(crate) fn knows_content(&self, path: &str, hash: &str) -> bool {
        self.entries.get(path).is_some_and(|entry| entry.is_content(hash))
    }

    /// Whether files that were there are gone with all else: more likely a disk isn't mounted than that people removed
    /// them.
    pub(crate) fn is_unmounted(&self, found: &FoundFiles<ScannedFile>) -> bool {
        // A file that is the only one may be removed.
        let files = self.entries.keys().filter(|path| !is_special(path));
        found.is_bare && files.count() > 1
    }

    /// Compares with what is there now. Only files whose content changed are parsed. What is skipped may be there
    /// as it was.
    pub(crate) fn compare(&self, found: FoundFiles<ScannedFile>, now: DateTime<Utc>) -> CatalogChange {
        let mut diff = CatalogDiff::new(now);
        let FoundFiles { files, skipped, .. } = found;
        let kept = self.entries.iter().filter(|(path, _)| !is_special(path) && skipped.covers(path));
        let mut entries: BTreeMap<_, _> =
            kept.map(|(path, entry)| (path.clone(), entry.reparse_stored(self.zone))).collect();
        for seen in files.into_iter().chain(skipped_file(&skipped)) {
            let entry = match self.entries.get(&seen.path) {
                Some(entry) if entry.is_read && entry.record.hash == seen.hash => entry.clone(),
                known => diff.note_content(known, parse_entry(seen, known, self.zone)),
            };
            entries.insert(entry.record.path.clone(), entry);
        }
        diff.note_removed(self.entries.keys().filter(|path| !entries.contains_key(*path)));
        diff.finish_diff(Self { zone: self.zone, entries })
    }

    /// Keeps all entries, because the files can't be read.
    pub(crate) fn keep_all(&self, problem: &str, now: DateTime<Utc>) -> CatalogChange {
        let mut diff = CatalogDiff::new(now);
        let others = self.entries.iter().filter(|(path, _)| path.as_str() != ROOT);
        let mut entries: BTreeMap<_, _> =
            others.map(|(path, entry)| (path.clone(), entry.reparse_stored(self.zone))).collect();
        // One outage, however its text changes while it lasts.
        let (path, hash) = (ROOT.to_owned(), "unreadable".to_owned());
        let root = ScannedFile { path, hash, text: Some(Err(problem.to_owned())) };
        let known = self.entries.get(ROOT);
        let root = diff.note_content(known, parse_entry(root, known, self.zone));
        entries.insert(ROOT.to_owned(), root);
        diff.finish_diff(Self { zone: self.zone, entries })
    }
}

impl CatalogEntry {
    /// Whether what it holds is that of this hash, in memory or remembered.
    fn is_content(&self, hash: &str) -> bool {
        self.record.hash == hash && (self.is_read || self.record.problem.is_empty())
    }

    /// The last content that loads, read. An earlier version of the program may have taken what this one doesn't.
    fn last_good(&self, zone: Tz) -> Option<Arc<WorkflowFile>> {
        let WorkflowRecord { path, content, hash, .. } = &self.record;
        if self.is_read || content.is_empty() {
            return self.good.clone();
        }
        WorkflowFile::parse(path, content, hash, zone).ok().map(Arc::new)
    }

    fn reparse_stored(&self, zone: Tz) -> Self {
        if self.is_read {
            return self.clone();
        }
        let WorkflowRecord { path, problem, .. } = &self.record;
        let is_broken = !problem.is_empty();
        let broken = is_broken.then(|| Finding::of_file(path, Severity::Error, problem)).into_iter().collect();
        Self { good: self.last_good(zone), broken, ..self.clone() }
    }
}

#[derive(Debug)]
struct CatalogDiff {
    reloaded: ReloadReport,
    save: SaveWorkflows,
}

impl CatalogDiff {
    fn new(now: DateTime<Utc>) -> Self {
        let save = SaveWorkflows { now, changed: Vec::new(), removed: Vec::new(), alerts: Vec::new() };
        Self { reloaded: ReloadReport::default(), save }
    }

    /// Notes what is new about a file. One alert per content that doesn't load: none where that was known, also
    /// from an earlier run.
    fn note_content(&mut self, known: Option<&CatalogEntry>, entry: CatalogEntry) -> CatalogEntry {
        let WorkflowRecord { path, hash, problem, .. } = &entry.record;
        let was_broken = known.is_some_and(|known| !known.record.problem.is_empty());
        let is_same = known.is_some_and(|known| known.record.hash == *hash);
        // The same content and the same verdict: stored and reported before, maybe by an earlier run.
        if is_same && was_broken != problem.is_empty() {
            if was_broken {
                log::warn!("event=workflow_still_broken path={path:?} problem={problem:?}");
            }
            return entry;
        }
        if !is_special(path) {
            let ReloadReport { added, changed, .. } = &mut self.reloaded;
            if known.is_some() { changed } else { added }.push(path.clone());
        }
        if !problem.is_empty() {
            log::error!("event=workflow_broken path={path:?} problem={problem:?}");
            if !known.is_some_and(|known| is_reported(&entry.record, &known.record)) {
                self.save.alerts.push(file_alert(&entry.record, self.save.now));
            }
        } else if was_broken {
            log::info!("event=workflow_mended path={path:?}");
        }
        for finding in entry.good.iter().filter(|_| problem.is_empty()).flat_map(|good| &good.findings) {
            log::warn!("event=workflow_finding severity={:?} finding={:?}", finding.severity, finding.to_string());
        }
        self.save.changed.push(entry.record.clone());
        entry
    }

    fn note_removed<'a>(&mut self, paths: impl Iterator<Item = &'a String>) {
        self.save.removed = paths.cloned().collect();
        let files = self.save.removed.iter().filter(|path| !is_special(path));
        self.reloaded.removed = files.cloned().collect();
    }

    fn finish_diff(mut self, catalog: WorkflowCatalog) -> CatalogChange {
        self.reloaded.broken = catalog.entries.values().flat_map(|entry| entry.broken.clone()).collect();
        if catalog.entries.keys().all(|path| is_special(path)) && !catalog.entries.contains_key(ROOT) {
            let problem = "no workflows found: nothing starts until there are files that end in .toml";
            self.reloaded.broken.push(Finding::of_file(ROOT, Severity::Error, problem));
        }
        let changed = !self.save.changed.is_empty() || !self.save.removed.is_empty();
        CatalogChange { catalog, reloaded: self.reloaded, save: changed.then_some(self.save) }
    }
}

/// A file whose content is new. One that doesn't load keeps its last good version.
fn parse_entry(seen: ScannedFile, known: Option<&CatalogEntry>, zone: Tz) -> CatalogEntry {
    let ScannedFile { path, text, hash } = seen;
    let remembered = known.map(|known| known.record.content.as_str()).unwrap_or_default();
    // A scan leaves out content that is known: it is the one that was stored.
    let text = text.unwrap_or_else(|| Ok(remembered.to_owned()));
    // A new file may be empty; one that held phases was more likely cut off by a full disk.
    let held_something = known.is_some() && !has_no_phases(remembered);
    let parsed = match &text {
        Ok(text) if held_something && has_no_phases(text) => {
            Err(vec![Finding::of_file(&path, Severity::Error, EMPTIED)])
        }
        Ok(text) => WorkflowFile::parse(&path, text, &hash, zone),
        Err(problem) => Err(vec![Finding::of_file(&path, Severity::Error, problem)]),
    };
    let (content, good, broken) = match parsed {
        Ok(file) => (text.unwrap_or_default(), Some(Arc::new(file)), Vec::new()),
        Err(broken) => (remembered.to_owned(), known.and_then(|known| known.last_good(zone)), broken),
    };
    let problem = broken.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    CatalogEntry { record: WorkflowRecord { path, hash, problem, content }, good, broken, is_read: true }
}

/// Whether a workflow file holds nothing but blanks and comments.
fn has_no_phases(text: &str) -> bool {
    bom::skip_mark(text).lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use flowlord_domain::AlertKind;
    use flowlord_storage::{SkippedEntries, SkippedEntry};

    use super::*;

    const GOOD: &str = "[[phase]]\ntask = \"a\"\nrule = \"cron=0 * * * *\"\n";
    const OTHER: &str = "[[phase]]\ntask = \"b\"\nrule = \"cron=0 * * * *\"\n";
    const BAD: &str = "[[phase]]\ntask = ";

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).unwrap()
    }

    fn empty() -> WorkflowCatalog {
        WorkflowCatalog::from_records(Vec::new(), Tz::UTC)
    }

    fn contents(files: &[(&str, &str)]) -> Vec<ScannedFile> {
        let content = |(path, text): &(&str, &str)| ScannedFile {
            path: (*path).to_owned(),
            text: Some(Ok((*text).to_owned())),
            hash: format!("hash of {text}"),
        };
        files.iter().map(content).collect()
    }

    fn look(catalog: &WorkflowCatalog, files: &[(&str, &str)]) -> CatalogChange {
        look_at(catalog, files, &[])
    }

    /// With entries that are skipped.
    fn look_at(catalog: &WorkflowCatalog, files: &[(&str, &str)], odd: &[&str]) -> CatalogChange {
        let entry = |path: &&str| SkippedEntry { path: (*path).to_owned(), why: "odd".to_owned() };
        let skipped = SkippedEntries { entries: odd.iter().map(entry).collect(), unnamed: 0 };
        catalog.compare(FoundFiles { files: contents(files), skipped, is_bare: false }, now())
    }

    /// The catalog after a restart of the program.
    fn restarted(save: Option<SaveWorkflows>) -> WorkflowCatalog {
        WorkflowCatalog::from_records(save.unwrap().changed, Tz::UTC)
    }

    fn phases(catalog: &WorkflowCatalog) -> usize {
        catalog.workflows().phases().count()
    }

    #[test]
    fn what_is_new_changed_and_gone_is_told_and_saved_once() {
        let first = look(&empty(), &[("a.toml", GOOD), ("b.toml", GOOD)]);
        assert_eq!(first.reloaded.added, ["a.toml", "b.toml"]);
        assert_eq!(first.save.unwrap().changed.len(), 2);
        let same = look(&first.catalog, &[("a.toml", GOOD), ("b.toml", GOOD)]);
        assert!(same.save.is_none() && same.reloaded == ReloadReport::default());
        let next = look(&same.catalog, &[("b.toml", OTHER), ("c.toml", GOOD)]);
        let ReloadReport { added, changed, removed, .. } = next.reloaded;
        assert_eq!(
            (added, changed, removed),
            (vec!["c.toml".to_owned()], vec!["b.toml".to_owned()], vec!["a.toml".to_owned()])
        );
        assert_eq!(phases(&next.catalog), 2);
    }

    #[test]
    fn a_file_that_becomes_empty_keeps_its_last_good_version_and_alerts_once() {
        let first = look(&empty(), &[("a.toml", GOOD)]);
        let remembered = restarted(look(&empty(), &[("a.toml", GOOD)]).save);
        for catalog in [&first.catalog, &remembered] {
            for text in ["", " \n\t\r\n", "\u{feff}# nothing\n  # here\n"] {
                let emptied = look(catalog, &[("a.toml", text)]);
                let save = emptied.save.as_ref().unwrap();
                assert_eq!((phases(&emptied.catalog), save.alerts.len()), (1, 1), "{text:?}");
                assert!(save.alerts[0].msg.ends_with(EMPTIED), "{}", save.alerts[0].msg);
                assert!(look(&emptied.catalog, &[("a.toml", text)]).save.is_none(), "told once");
                let again = look(&restarted(emptied.save), &[("a.toml", text)]);
                assert_eq!((phases(&again.catalog), again.save.is_none()), (1, true), "also over a restart");
                assert_eq!(phases(&look(&again.catalog, &[("a.toml", OTHER)]).catalog), 1, "and mended");
                assert_eq!(phases(&look(&again.catalog, &[("b.toml", GOOD)]).catalog), 1, "removed, it ends");
            }
        }
        let always = look(&empty(), &[("a.toml", "# to do\n")]);
        assert_eq!((always.reloaded.broken.len(), always.save.as_ref().unwrap().alerts.len()), (0, 0));
        assert_eq!(look(&always.catalog, &[("a.toml", "")]).reloaded.broken.len(), 0, "nothing to keep");
    }

    #[test]
    fn a_broken_file_keeps_its_last_good_version_and_alerts_once_also_over_a_restart() {
        let first = look(&empty(), &[("a.toml", GOOD)]);
        let broken = look(&first.catalog, &[("a.toml", BAD)]);
        assert_eq!(phases(&broken.catalog), 1);
        let alerts = &broken.save.as_ref().unwrap().alerts;
        assert_eq!(alerts.len(), 1);
        assert_eq!(
            (alerts[0].kind, alerts[0].topic.as_str(), alerts[0].job.as_str()),
            (AlertKind::Workflow, "workflow", "a.toml")
        );
        assert!(alerts[0].msg.contains("a.toml:2:") && alerts[0].msg.contains("last good"), "{}", alerts[0].msg);
        assert!(look(&broken.catalog, &[("a.toml", BAD)]).save.is_none());

        let again = look(&restarted(broken.save), &[("a.toml", BAD)]);
        assert!(again.save.is_none());
        assert_eq!((phases(&again.catalog), again.reloaded.broken.len()), (1, 1));

        let otherwise = look(&again.catalog, &[("a.toml", "[[phase]]\ntask = 1 2")]);
        assert_eq!(otherwise.save.unwrap().alerts.len(), 1, "broken in another way is told");
        let mended = look(&otherwise.catalog, &[("a.toml", GOOD)]);
        assert_eq!((mended.reloaded.broken.len(), mended.reloaded.changed.len()), (0, 1));
        assert_eq!(mended.save.unwrap().alerts.len(), 0);
    }

    #[test]
    fn a_file_that_never_loaded_is_told_and_has_no_phases() {
        let looked = look(&empty(), &[("a.toml", "nonsense")]);
        assert_eq!((phases(&looked.catalog), looked.reloaded.broken.len()), (0, 1));
        assert!(!looked.save.as_ref().unwrap().alerts[0].msg.contains("last good"));
        let again = look(&restarted(looked.save), &[("a.toml", "nonsense")]);
        assert_eq!((phases(&again.catalog), again.reloaded.broken.len()), (0, 1));
    }

    #[test]
    fn what_loads_or_not_with_another_version_of_the_program_is_noticed() {
        let saved = |text: &str, problem: &str, content: &str| {
            let (problem, content) = (problem.to_owned(), content.to_owned());
            let record = WorkflowRecord { path: "a.toml".into(), hash: format!("hash of {text}"), problem, content };
            WorkflowCatalog::from_records(vec![record], Tz::UTC)
        };
        let now_good = look(&saved(GOOD, "the old program took no phases", ""), &[("a.toml", GOOD)]);
        assert_eq!((phases(&now_good.catalog), now_good.reloaded.changed.len()), (1, 1));
        let now_bad = look(&saved(BAD, "", BAD), &[("a.toml", BAD)]);
        assert_eq!((phases(&now_bad.catalog), now_bad.save.unwrap().alerts.len()), (0, 1));
    }

    #[test]
    fn while_the_files_cant_be_read_all_stay_which_is_told_once() {
        let first = look(&empty(), &[("a.toml", GOOD), ("b.toml", GOOD)]);
        let save = first.save.as_ref().unwrap().changed.clone();
        for catalog in [&first.catalog, &WorkflowCatalog::from_records(save, Tz::UTC)] {
            let away = catalog.keep_all("the disk is away", now());
            assert_eq!((phases(&away.catalog), away.reloaded.broken.len()), (2, 1));
            let save = away.save.unwrap();
            assert_eq!((save.alerts.len(), save.removed.len(), save.changed.len()), (1, 0, 1));
            let otherwise = away.catalog.keep_all("the disk is still away", now());
            assert!(otherwise.save.is_none(), "one outage is told once");
            assert!(otherwise.reloaded.broken[0].message.contains("still away"));
            let back = look(&away.catalog, &[("a.toml", GOOD), ("b.toml", GOOD)]);
            assert_eq!(back.reloaded, ReloadReport::default());
            assert_eq!(back.save.unwrap().removed, [ROOT]);
        }
    }

    #[test]
    fn what_is_skipped_is_told_once_and_takes_nothing_with_it() {
        let first = look_at(&empty(), &[("a.toml", GOOD), ("b/c.toml", GOOD)], &["Icon"]);
        assert_eq!((phases(&first.catalog), first.reloaded.added.len(), first.reloaded.broken.len()), (2, 2, 1));
        let alerts = &first.save.as_ref().unwrap().alerts;
        assert_eq!(alerts.len(), 1);
        assert!(alerts[0].msg.contains("`Icon` is skipped: odd"), "{}", alerts[0].msg);
        for catalog in [&first.catalog.clone(), &restarted(first.save)] {
            let same = look_at(catalog, &[("a.toml", GOOD), ("b/c.toml", GOOD)], &["Icon"]);
            assert!(same.save.is_none() && same.reloaded.changed.is_empty(), "told once");
            let hidden = look_at(catalog, &[("a.toml", GOOD)], &["Icon", "b"]);
            assert_eq!((phases(&hidden.catalog), hidden.reloaded.removed.len()), (2, 0), "it may be there");
            assert_eq!(hidden.save.as_ref().unwrap().alerts.len(), 1, "another one");
            let fewer = look_at(&hidden.catalog, &[("a.toml", GOOD)], &["b"]);
            assert_eq!((fewer.reloaded.broken.len(), fewer.save.unwrap().alerts.len()), (1, 0));
            let mended = look(&hidden.catalog, &[("a.toml", GOOD)]);
            assert_eq!((phases(&mended.catalog), mended.reloaded.removed), (1, vec!["b/c.toml".to_owned()]));
            assert_eq!((mended.reloaded.broken.len(), mended.save.unwrap().alerts.len()), (0, 0));
        }
    }

    #[test]
    fn a_root_that_is_suddenly_bare_is_taken_for_a_disk_that_isnt_mounted() {
        let bare = FoundFiles { files: Vec::new(), skipped: SkippedEntries::default(), is_bare: true };
        let two = look(&empty(), &[("a.toml", GOOD), ("b.toml", GOOD)]).catalog;
        assert!(two.is_unmounted(&bare));
        assert!(!two.is_unmounted(&FoundFiles { is_bare: false, ..bare.clone() }), "something else is there");
        assert!(!look(&empty(), &[("a.toml", GOOD)]).catalog.is_unmounted(&bare), "the last one may be removed");
        assert!(!empty().is_unmounted(&bare));
    }

    #[test]
    fn what_is_known_by_its_hash_needs_no_reading_also_after_a_restart() {
        let first = look(&empty(), &[("a.toml", GOOD), ("b.toml", BAD)]);
        let hash = |text: &str| format!("hash of {text}");
        assert!(
            first.catalog.knows_content("a.toml", &hash(GOOD)) && first.catalog.knows_content("b.toml", &hash(BAD))
        );
        let again = restarted(first.save);
        assert!(again.knows_content("a.toml", &hash(GOOD)) && !again.knows_content("a.toml", "another"));
        assert!(!again.knows_content("b.toml", &hash(BAD)), "what doesn't load isn't remembered");
        let unread = ScannedFile { path: "a.toml".to_owned(), hash: hash(GOOD), text: None };
        let looked = again.compare(FoundFiles::single_file(Some(unread)), now());
        assert_eq!((phases(&looked.catalog), looked.reloaded.changed.len()), (1, 0));
    }

    #[test]
    fn only_what_changed_is_parsed_again() {
        let names: Vec<_> = (0..100).map(|n| format!("{n}.toml")).collect();
        let mut files: Vec<_> = names.iter().map(|name| (name.as_str(), GOOD)).collect();
        let before = look(&empty(), &files);
        files[7].1 = OTHER;
        let after = look(&before.catalog, &files);
        let kept = |name: &&String| {
            let (before, after) = (&before.catalog.entries[*name], &after.catalog.entries[*name]);
            Arc::ptr_eq(before.good.as_ref().unwrap(), after.good.as_ref().unwrap())
        };
        assert_eq!(names.iter().filter(kept).count(), 99);
        assert_eq!((after.reloaded.changed, after.save.unwrap().changed.len()), (vec!["7.toml".to_owned()], 1));
    }

    #[test]
    fn an_empty_folder_is_said() {
        let looked = look(&empty(), &[]);
        assert!(looked.reloaded.broken[0].message.starts_with("no workflows found"));
        assert!(looked.save.is_none());
    }
}

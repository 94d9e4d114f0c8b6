//! The workflow files that count, and how a look at the folder changes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use flowlord_domain::bom;
use flowlord_domain::workflow::{Finding, WorkflowFile, Workflows};
use flowlord_messages::library::Reloaded;
use flowlord_messages::write::{SaveWorkflows, WorkflowRecord};

use crate::files::Found;
use crate::findings::{ROOT, alert, finding, is_special, is_told, seen_of};
use crate::source::Seen;

/// A save to a full disk leaves a file like this.
const EMPTIED: &str = "the file became empty: write its phases again, or remove the file to end them";

/// One file.
#[derive(Debug, Clone)]
struct Book {
    /// What was seen last, and the last content of it that loads.
    record: WorkflowRecord,
    /// That content, read.
    good: Option<Arc<WorkflowFile>>,
    /// Why what was seen last doesn't load.
    broken: Vec<Finding>,
    /// It was read by this program, not an earlier run or version of it.
    read: bool,
}

/// All files.
#[derive(Debug, Clone)]
pub(crate) struct Shelf {
    zone: Tz,
    books: BTreeMap<String, Book>,
}

/// What a look changed.
#[derive(Debug)]
pub(crate) struct Looked {
    pub(crate) shelf: Shelf,
    pub(crate) reloaded: Reloaded,
    /// What is to be remembered; none when nothing changed.
    pub(crate) save: Option<SaveWorkflows>,
}

impl Shelf {
    /// What was remembered from an earlier run. It is read only where the file itself doesn't load.
    pub(crate) fn remembered(records: Vec<WorkflowRecord>, zone: Tz) -> Self {
        let book = |record: WorkflowRecord| {
            let book = Book { good: None, broken: Vec::new(), read: false, record };
            (book.record.path.clone(), book)
        };
        Self { zone, books: records.into_iter().map(book).collect() }
    }

    /// The last good version of each file.
    pub(crate) fn workflows(&self) -> Workflows {
        Workflows::new(self.books.values().filter_map(|book| book.good.clone()))
    }

    /// Whether a file holds what it held, so that it needn't be read: what it holds is here.
    pub(crate) fn knows(&self, path: &str, hash: &str) -> bool {
        self.books.get(path).is_some_and(|book| book.holds(hash))
    }

    /// Whether files that were there are gone with all else: more likely a disk isn't mounted than that people removed
    /// them. A file that is the only one may be removed.
    pub(crate) fn is_unmounted(&self, found: &Found<Seen>) -> bool {
        let files = self.books.keys().filter(|path| !is_special(path));
        found.is_bare && files.count() > 1
    }

    /// Compares with what is there now. Only files whose content changed are parsed. What is skipped may be there
    /// as it was.
    pub(crate) fn look(&self, found: Found<Seen>, now: DateTime<Utc>) -> Looked {
        let mut look = Look::new(now);
        let Found { files, skipped, .. } = found;
        let is_kept = |path: &str| !is_special(path) && skipped.covers(path);
        let kept = self.books.iter().filter(|(path, _)| is_kept(path));
        let mut books: BTreeMap<_, _> =
            kept.map(|(path, book)| (path.clone(), book.recalled(self.zone))).collect();
        for seen in files.into_iter().chain(seen_of(&skipped)) {
            let book = match self.books.get(&seen.path) {
                Some(book) if book.read && book.record.hash == seen.hash => book.clone(),
                known => look.opened(known, open(seen, known, self.zone)),
            };
            books.insert(book.record.path.clone(), book);
        }
        look.left(self.books.keys().filter(|path| !books.contains_key(*path)));
        look.done(Self { zone: self.zone, books })
    }

    /// What follows when the files can't be looked at: all that was there stays.
    pub(crate) fn keep(&self, problem: &str, now: DateTime<Utc>) -> Looked {
        let mut look = Look::new(now);
        let others = self.books.iter().filter(|(path, _)| path.as_str() != ROOT);
        let stays = |(path, book): (&String, &Book)| (path.clone(), book.recalled(self.zone));
        let mut books: BTreeMap<_, _> = others.map(stays).collect();
        // One outage, however its text changes while it lasts.
        let (path, hash) = (ROOT.to_owned(), "unreadable".to_owned());
        let root = Seen { path, hash, text: Some(Err(problem.to_owned())) };
        let known = self.books.get(ROOT);
        let root = look.opened(known, open(root, known, self.zone));
        books.insert(ROOT.to_owned(), root);
        look.done(Self { zone: self.zone, books })
    }
}

impl Book {
    /// Whether what it holds is that of this hash, in memory or remembered.
    fn holds(&self, hash: &str) -> bool {
        self.record.hash == hash && (self.read || self.record.problem.is_empty())
    }

    /// The last content that loads, read. An earlier version of the program may have taken what this one doesn't.
    fn last_good(&self, zone: Tz) -> Option<Arc<WorkflowFile>> {
        let WorkflowRecord { path, content, hash, .. } = &self.record;
        if self.read || content.is_empty() {
            return self.good.clone();
        }
        WorkflowFile::parse(path, content, hash, zone).ok().map(Arc::new)
    }

    fn recalled(&self, zone: Tz) -> Self {
        let broken = if self.record.problem.is_empty() {
            Vec::new()
        } else {
            vec![finding(&self.record.path, &self.record.problem)]
        };
        if self.read { self.clone() } else { Self { good: self.last_good(zone), broken, ..self.clone() } }
    }
}

/// What a look has found so far.
#[derive(Debug)]
struct Look {
    reloaded: Reloaded,
    save: SaveWorkflows,
}

impl Look {
    fn new(now: DateTime<Utc>) -> Self {
        let save = SaveWorkflows { now, changed: Vec::new(), removed: Vec::new(), alerts: Vec::new() };
        Self { reloaded: Reloaded::default(), save }
    }

    /// Notes what is new about a file. One alert per content that doesn't load: none where that was known, also
    /// from an earlier run.
    fn opened(&mut self, known: Option<&Book>, book: Book) -> Book {
        let WorkflowRecord { path, hash, problem, .. } = &book.record;
        let was_broken = known.is_some_and(|known| !known.record.problem.is_empty());
        let is_same = known.is_some_and(|known| known.record.hash == *hash);
        if is_same && was_broken != problem.is_empty() {
            if was_broken {
                log::warn!("event=workflow_still_broken path={path:?} problem={problem:?}");
            }
            return book;
        }
        if !is_special(path) {
            let Reloaded { added, changed, .. } = &mut self.reloaded;
            if known.is_some() { changed } else { added }.push(path.clone());
        }
        if !problem.is_empty() {
            log::error!("event=workflow_broken path={path:?} problem={problem:?}");
            if !known.is_some_and(|known| is_told(&book.record, &known.record)) {
                self.save.alerts.push(alert(&book.record, self.save.now));
            }
        } else if was_broken {
            log::info!("event=workflow_mended path={path:?}");
        }
        for finding in book.good.iter().filter(|_| problem.is_empty()).flat_map(|good| &good.findings) {
            log::warn!(
                "event=workflow_finding severity={:?} finding={:?}",
                finding.severity,
                finding.to_string()
            );
        }
        self.save.changed.push(book.record.clone());
        book
    }

    fn left<'a>(&mut self, paths: impl Iterator<Item = &'a String>) {
        self.save.removed = paths.cloned().collect();
        let files = self.save.removed.iter().filter(|path| !is_special(path));
        self.reloaded.removed = files.cloned().collect();
    }

    fn done(mut self, shelf: Shelf) -> Looked {
        self.reloaded.broken = shelf.books.values().flat_map(|book| book.broken.clone()).collect();
        if shelf.books.keys().all(|path| is_special(path)) && !shelf.books.contains_key(ROOT) {
            let problem = "no workflows found: nothing starts before there are files that end in .toml";
            self.reloaded.broken.push(finding(ROOT, problem));
        }
        let changed = !self.save.changed.is_empty() || !self.save.removed.is_empty();
        Looked { shelf, reloaded: self.reloaded, save: changed.then_some(self.save) }
    }
}

/// A file whose content is new. One that doesn't load keeps its last good version.
fn open(seen: Seen, known: Option<&Book>, zone: Tz) -> Book {
    let Seen { path, text, hash } = seen;
    let remembered = || Ok(known.map(|known| known.record.content.clone()).unwrap_or_default());
    let text = text.unwrap_or_else(remembered);
    let held_something = known.is_some_and(|known| !is_empty(&known.record.content));
    let parsed = match &text {
        Ok(text) if held_something && is_empty(text) => Err(vec![finding(&path, EMPTIED)]),
        Ok(text) => WorkflowFile::parse(&path, text, &hash, zone),
        Err(problem) => Err(vec![finding(&path, problem)]),
    };
    match parsed {
        Ok(file) => {
            let content = text.unwrap_or_default();
            let record = WorkflowRecord { path, hash, problem: String::new(), content };
            Book { record, good: Some(Arc::new(file)), broken: Vec::new(), read: true }
        }
        Err(broken) => {
            let problem = broken.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
            let content = known.map(|known| known.record.content.clone()).unwrap_or_default();
            let good = known.and_then(|known| known.last_good(zone));
            Book { record: WorkflowRecord { path, hash, problem, content }, good, broken, read: true }
        }
    }
}

/// Whether a workflow file holds nothing but blanks and comments.
fn is_empty(text: &str) -> bool {
    bom::skip(text).lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use flowlord_domain::AlertKind;
    use flowlord_store::{Skipped, SkippedEntry};

    use super::*;

    const GOOD: &str = "[[phase]]\ntask = \"a\"\nrule = \"cron=0 * * * *\"\n";
    const OTHER: &str = "[[phase]]\ntask = \"b\"\nrule = \"cron=0 * * * *\"\n";
    const BAD: &str = "[[phase]]\ntask = ";

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).unwrap()
    }

    fn empty() -> Shelf {
        Shelf::remembered(Vec::new(), Tz::UTC)
    }

    fn contents(files: &[(&str, &str)]) -> Vec<Seen> {
        let content = |(path, text): &(&str, &str)| Seen {
            path: (*path).to_owned(),
            text: Some(Ok((*text).to_owned())),
            hash: format!("hash of {text}"),
        };
        files.iter().map(content).collect()
    }

    fn look(shelf: &Shelf, files: &[(&str, &str)]) -> Looked {
        look_at(shelf, files, &[])
    }

    /// With entries that are skipped.
    fn look_at(shelf: &Shelf, files: &[(&str, &str)], odd: &[&str]) -> Looked {
        let entry = |path: &&str| SkippedEntry { path: (*path).to_owned(), why: "odd".to_owned() };
        let skipped = Skipped { entries: odd.iter().map(entry).collect(), unnamed: 0 };
        shelf.look(Found { files: contents(files), skipped, is_bare: false }, now())
    }

    /// The shelf after a restart of the program.
    fn restarted(save: Option<SaveWorkflows>) -> Shelf {
        Shelf::remembered(save.unwrap().changed, Tz::UTC)
    }

    fn phases(shelf: &Shelf) -> usize {
        shelf.workflows().phases().count()
    }

    #[test]
    fn what_is_new_changed_and_gone_is_told_and_saved_once() {
        let first = look(&empty(), &[("a.toml", GOOD), ("b.toml", GOOD)]);
        assert_eq!(first.reloaded.added, ["a.toml", "b.toml"]);
        assert_eq!(first.save.unwrap().changed.len(), 2);
        let same = look(&first.shelf, &[("a.toml", GOOD), ("b.toml", GOOD)]);
        assert!(same.save.is_none() && same.reloaded == Reloaded::default());
        let next = look(&same.shelf, &[("b.toml", OTHER), ("c.toml", GOOD)]);
        let Reloaded { added, changed, removed, .. } = next.reloaded;
        assert_eq!(
            (added, changed, removed),
            (vec!["c.toml".to_owned()], vec!["b.toml".to_owned()], vec!["a.toml".to_owned()])
        );
        assert_eq!(phases(&next.shelf), 2);
    }

    #[test]
    fn a_file_that_becomes_empty_keeps_its_last_good_version_and_alerts_once() {
        let first = look(&empty(), &[("a.toml", GOOD)]);
        let remembered = restarted(look(&empty(), &[("a.toml", GOOD)]).save);
        for shelf in [&first.shelf, &remembered] {
            for text in ["", " \n\t\r\n", "\u{feff}# nothing\n  # here\n"] {
                let emptied = look(shelf, &[("a.toml", text)]);
                let save = emptied.save.as_ref().unwrap();
                assert_eq!((phases(&emptied.shelf), save.alerts.len()), (1, 1), "{text:?}");
                assert!(save.alerts[0].msg.ends_with(EMPTIED), "{}", save.alerts[0].msg);
                assert!(look(&emptied.shelf, &[("a.toml", text)]).save.is_none(), "told once");
                let again = look(&restarted(emptied.save), &[("a.toml", text)]);
                assert_eq!((phases(&again.shelf), again.save.is_none()), (1, true), "also over a restart");
                assert_eq!(phases(&look(&again.shelf, &[("a.toml", OTHER)]).shelf), 1, "and mended");
                assert_eq!(phases(&look(&again.shelf, &[("b.toml", GOOD)]).shelf), 1, "removed, it ends");
            }
        }
        let always = look(&empty(), &[("a.toml", "# to do\n")]);
        assert_eq!((always.reloaded.broken.len(), always.save.as_ref().unwrap().alerts.len()), (0, 0));
        assert_eq!(look(&always.shelf, &[("a.toml", "")]).reloaded.broken.len(), 0, "nothing to keep");
    }

    #[test]
    fn a_broken_file_keeps_its_last_good_version_and_alerts_once_also_over_a_restart() {
        let first = look(&empty(), &[("a.toml", GOOD)]);
        let broken = look(&first.shelf, &[("a.toml", BAD)]);
        assert_eq!(phases(&broken.shelf), 1);
        let alerts = &broken.save.as_ref().unwrap().alerts;
        assert_eq!(alerts.len(), 1);
        assert_eq!(
            (alerts[0].kind, alerts[0].topic.as_str(), alerts[0].job.as_str()),
            (AlertKind::Workflow, "workflow", "a.toml")
        );
        assert!(
            alerts[0].msg.contains("a.toml:2:") && alerts[0].msg.contains("last good"),
            "{}",
            alerts[0].msg
        );
        assert!(look(&broken.shelf, &[("a.toml", BAD)]).save.is_none());

        let again = look(&restarted(broken.save), &[("a.toml", BAD)]);
        assert!(again.save.is_none());
        assert_eq!((phases(&again.shelf), again.reloaded.broken.len()), (1, 1));

        let otherwise = look(&again.shelf, &[("a.toml", "[[phase]]\ntask = 1 2")]);
        assert_eq!(otherwise.save.unwrap().alerts.len(), 1, "broken in another way is told");
        let mended = look(&otherwise.shelf, &[("a.toml", GOOD)]);
        assert_eq!((mended.reloaded.broken.len(), mended.reloaded.changed.len()), (0, 1));
        assert_eq!(mended.save.unwrap().alerts.len(), 0);
    }

    #[test]
    fn a_file_that_never_loaded_is_told_and_has_no_phases() {
        let looked = look(&empty(), &[("a.toml", "nonsense")]);
        assert_eq!((phases(&looked.shelf), looked.reloaded.broken.len()), (0, 1));
        assert!(!looked.save.as_ref().unwrap().alerts[0].msg.contains("last good"));
        let again = look(&restarted(looked.save), &[("a.toml", "nonsense")]);
        assert_eq!((phases(&again.shelf), again.reloaded.broken.len()), (0, 1));
    }

    #[test]
    fn what_loads_or_not_with_another_version_of_the_program_is_noticed() {
        let saved = |text: &str, problem: &str, content: &str| {
            let (problem, content) = (problem.to_owned(), content.to_owned());
            let record =
                WorkflowRecord { path: "a.toml".into(), hash: format!("hash of {text}"), problem, content };
            Shelf::remembered(vec![record], Tz::UTC)
        };
        let now_good = look(&saved(GOOD, "the old program took no phases", ""), &[("a.toml", GOOD)]);
        assert_eq!((phases(&now_good.shelf), now_good.reloaded.changed.len()), (1, 1));
        let now_bad = look(&saved(BAD, "", BAD), &[("a.toml", BAD)]);
        assert_eq!((phases(&now_bad.shelf), now_bad.save.unwrap().alerts.len()), (0, 1));
    }

    #[test]
    fn while_the_files_cant_be_read_all_stay_which_is_told_once() {
        let first = look(&empty(), &[("a.toml", GOOD), ("b.toml", GOOD)]);
        let save = first.save.as_ref().unwrap().changed.clone();
        for shelf in [&first.shelf, &Shelf::remembered(save, Tz::UTC)] {
            let away = shelf.keep("the disk is away", now());
            assert_eq!((phases(&away.shelf), away.reloaded.broken.len()), (2, 1));
            let save = away.save.unwrap();
            assert_eq!((save.alerts.len(), save.removed.len(), save.changed.len()), (1, 0, 1));
            let otherwise = away.shelf.keep("the disk is still away", now());
            assert!(otherwise.save.is_none(), "one outage is told once");
            assert!(otherwise.reloaded.broken[0].message.contains("still away"));
            let back = look(&away.shelf, &[("a.toml", GOOD), ("b.toml", GOOD)]);
            assert_eq!(back.reloaded, Reloaded::default());
            assert_eq!(back.save.unwrap().removed, [ROOT]);
        }
    }

    #[test]
    fn what_is_skipped_is_told_once_and_takes_nothing_with_it() {
        let first = look_at(&empty(), &[("a.toml", GOOD), ("b/c.toml", GOOD)], &["Icon"]);
        assert_eq!(
            (phases(&first.shelf), first.reloaded.added.len(), first.reloaded.broken.len()),
            (2, 2, 1)
        );
        let alerts = &first.save.as_ref().unwrap().alerts;
        assert_eq!(alerts.len(), 1);
        assert!(alerts[0].msg.contains("`Icon` is skipped: odd"), "{}", alerts[0].msg);
        for shelf in [&first.shelf.clone(), &restarted(first.save)] {
            let same = look_at(shelf, &[("a.toml", GOOD), ("b/c.toml", GOOD)], &["Icon"]);
            assert!(same.save.is_none() && same.reloaded.changed.is_empty(), "told once");
            let hidden = look_at(shelf, &[("a.toml", GOOD)], &["Icon", "b"]);
            assert_eq!((phases(&hidden.shelf), hidden.reloaded.removed.len()), (2, 0), "it may be there");
            assert_eq!(hidden.save.as_ref().unwrap().alerts.len(), 1, "another one");
            let fewer = look_at(&hidden.shelf, &[("a.toml", GOOD)], &["b"]);
            assert_eq!((fewer.reloaded.broken.len(), fewer.save.unwrap().alerts.len()), (1, 0));
            let mended = look(&hidden.shelf, &[("a.toml", GOOD)]);
            assert_eq!((phases(&mended.shelf), mended.reloaded.removed), (1, vec!["b/c.toml".to_owned()]));
            assert_eq!((mended.reloaded.broken.len(), mended.save.unwrap().alerts.len()), (0, 0));
        }
    }

    #[test]
    fn a_root_that_is_suddenly_bare_is_taken_for_a_disk_that_isnt_mounted() {
        let bare = Found { files: Vec::new(), skipped: Skipped::default(), is_bare: true };
        let two = look(&empty(), &[("a.toml", GOOD), ("b.toml", GOOD)]).shelf;
        assert!(two.is_unmounted(&bare));
        assert!(!two.is_unmounted(&Found { is_bare: false, ..bare.clone() }), "something else is there");
        assert!(
            !look(&empty(), &[("a.toml", GOOD)]).shelf.is_unmounted(&bare),
            "the last one may be removed"
        );
        assert!(!empty().is_unmounted(&bare));
    }

    #[test]
    fn what_is_known_by_its_hash_needs_no_reading_also_after_a_restart() {
        let first = look(&empty(), &[("a.toml", GOOD), ("b.toml", BAD)]);
        let hash = |text: &str| format!("hash of {text}");
        assert!(first.shelf.knows("a.toml", &hash(GOOD)) && first.shelf.knows("b.toml", &hash(BAD)));
        let again = restarted(first.save);
        assert!(again.knows("a.toml", &hash(GOOD)) && !again.knows("a.toml", "another"));
        assert!(!again.knows("b.toml", &hash(BAD)), "what doesn't load isn't remembered");
        let unread = Seen { path: "a.toml".to_owned(), hash: hash(GOOD), text: None };
        let looked = again.look(Found::one(Some(unread)), now());
        assert_eq!((phases(&looked.shelf), looked.reloaded.changed.len()), (1, 0));
    }

    #[test]
    fn only_what_changed_is_parsed_again() {
        let names: Vec<_> = (0..100).map(|n| format!("{n}.toml")).collect();
        let mut files: Vec<_> = names.iter().map(|name| (name.as_str(), GOOD)).collect();
        let before = look(&empty(), &files);
        files[7].1 = OTHER;
        let after = look(&before.shelf, &files);
        let kept = |name: &&String| {
            let (before, after) = (&before.shelf.books[*name], &after.shelf.books[*name]);
            Arc::ptr_eq(before.good.as_ref().unwrap(), after.good.as_ref().unwrap())
        };
        assert_eq!(names.iter().filter(kept).count(), 99);
        assert_eq!(
            (after.reloaded.changed, after.save.unwrap().changed.len()),
            (vec!["7.toml".to_owned()], 1)
        );
    }

    #[test]
    fn an_empty_folder_is_said() {
        let looked = look(&empty(), &[]);
        assert!(looked.reloaded.broken[0].message.starts_with("no workflows found"));
        assert!(looked.save.is_none());
    }
}

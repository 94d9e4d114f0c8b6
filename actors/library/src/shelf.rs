//! The workflow files that count, and how a look at the folder changes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use flowlord_domain::workflow::{Finding, Severity, WorkflowFile, Workflows};
use flowlord_domain::{AlertKind, NewAlert};
use flowlord_messages::library::Reloaded;
use flowlord_messages::write::{SaveWorkflows, WorkflowRecord};

use crate::files::Content;

/// One file: what was seen last, and the last version of it that loads.
#[derive(Debug, Clone)]
struct Book {
    record: WorkflowRecord,
    good: Option<Arc<WorkflowFile>>,
    findings: Vec<Finding>,
}

/// All files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shelf {
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
    /// What was remembered from an earlier run.
    pub(crate) fn remembered(records: Vec<WorkflowRecord>, zone: Tz) -> Self {
        let book = |record: WorkflowRecord| {
            let good = WorkflowFile::parse(&record.path, &record.content, &record.hash, zone);
            let good = good.ok().filter(|_| !record.content.is_empty()).map(Arc::new);
            let findings = broken(&record.path, &record.problem);
            (record.path.clone(), Book { record, good, findings })
        };
        Self { books: records.into_iter().map(book).collect() }
    }

    /// The last good version of each file.
    pub(crate) fn workflows(&self) -> Workflows {
        Workflows::new(self.books.values().filter_map(|book| book.good.clone()))
    }

    /// Files that don't load, with why.
    pub(crate) fn broken(&self) -> Vec<Finding> {
        self.books.values().flat_map(|book| book.findings.clone()).collect()
    }

    /// Compares with what is on disk. Only files whose content changed are parsed.
    pub(crate) fn look(&self, contents: Vec<Content>, zone: Tz, now: DateTime<Utc>) -> Looked {
        let mut books = BTreeMap::new();
        let mut reloaded = Reloaded::default();
        let mut save = SaveWorkflows { now, changed: Vec::new(), removed: Vec::new(), alerts: Vec::new() };
        for content in contents {
            let path = content.path.clone();
            let book = match self.books.get(&path) {
                Some(book) if book.record.hash == content.hash => book.clone(),
                known => {
                    let book = open(content, known, zone);
                    let list = if known.is_some() { &mut reloaded.changed } else { &mut reloaded.added };
                    list.push(path.clone());
                    save.alerts.extend(alert(&book, now));
                    save.changed.push(book.record.clone());
                    book
                }
            };
            books.insert(path, book);
        }
        reloaded.removed = self.books.keys().filter(|path| !books.contains_key(*path)).cloned().collect();
        save.removed.clone_from(&reloaded.removed);
        let shelf = Self { books };
        reloaded.broken = shelf.broken();
        let changed = !save.changed.is_empty() || !save.removed.is_empty();
        Looked { shelf, reloaded, save: changed.then_some(save) }
    }
}

/// A file whose content is new. One that doesn't load keeps its last good version.
fn open(content: Content, known: Option<&Book>, zone: Tz) -> Book {
    let Content { path, text, hash } = content;
    let parsed = match &text {
        Ok(text) => WorkflowFile::parse(&path, text, &hash, zone),
        Err(problem) => Err(broken(&path, problem)),
    };
    match parsed {
        Ok(file) => {
            let content = text.unwrap_or_default();
            let record = WorkflowRecord { path, hash, problem: String::new(), content };
            Book { record, good: Some(Arc::new(file)), findings: Vec::new() }
        }
        Err(findings) => {
            let problem = findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
            let content = known.map(|known| known.record.content.clone()).unwrap_or_default();
            let good = known.and_then(|known| known.good.clone());
            Book { record: WorkflowRecord { path, hash, problem, content }, good, findings }
        }
    }
}

fn broken(path: &str, problem: &str) -> Vec<Finding> {
    if problem.is_empty() {
        return Vec::new();
    }
    let message = problem.to_owned();
    vec![Finding { file: path.to_owned(), line: 1, column: 1, severity: Severity::Error, message }]
}

/// One alert per content that doesn't load: it is only made when the content is new.
fn alert(book: &Book, now: DateTime<Utc>) -> Option<NewAlert> {
    let WorkflowRecord { path, problem, .. } = &book.record;
    (!problem.is_empty()).then(|| NewAlert {
        kind: AlertKind::Workflow,
        at: now,
        uid: None,
        id: String::new(),
        topic: "workflow".to_owned(),
        job: path.clone(),
        workflow: path.clone(),
        msg: format!("the file doesn't load, its last good version counts: {problem}"),
        task_time: Some(now),
        at_once: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).unwrap()
    }

    fn content(path: &str, text: &str) -> Content {
        Content { path: path.to_owned(), text: Ok(text.to_owned()), hash: format!("hash of {text}") }
    }

    fn look(shelf: &Shelf, contents: &[(&str, &str)]) -> Looked {
        shelf.look(contents.iter().map(|(path, text)| content(path, text)).collect(), Tz::UTC, now())
    }

    const GOOD: &str = "[[phase]]\ntask = \"a\"\nrule = \"cron=0 * * * *\"\n";

    #[test]
    fn what_is_new_changed_and_gone_is_told_and_saved_once() {
        let first = look(&Shelf::default(), &[("a.toml", GOOD), ("b.toml", GOOD)]);
        assert_eq!(first.reloaded.added, ["a.toml", "b.toml"]);
        assert_eq!(first.save.unwrap().changed.len(), 2);
        let same = look(&first.shelf, &[("a.toml", GOOD), ("b.toml", GOOD)]);
        assert!(same.save.is_none() && same.reloaded == Reloaded::default());
        let next = look(&same.shelf, &[("b.toml", "# empty\n"), ("c.toml", GOOD)]);
        let Reloaded { added, changed, removed, .. } = next.reloaded;
        assert_eq!(
            (added, changed, removed),
            (vec!["c.toml".to_owned()], vec!["b.toml".to_owned()], vec!["a.toml".to_owned()])
        );
        assert_eq!(next.shelf.workflows().phases().count(), 1);
    }

    #[test]
    fn a_broken_file_keeps_its_last_good_version_and_alerts_once_also_over_a_restart() {
        let first = look(&Shelf::default(), &[("a.toml", GOOD)]);
        let broken = look(&first.shelf, &[("a.toml", "[[phase]]\ntask = ")]);
        assert_eq!(broken.shelf.workflows().phases().count(), 1);
        let save = broken.save.unwrap();
        assert_eq!(save.alerts.len(), 1);
        assert!(save.alerts[0].msg.contains("a.toml:2:"), "{}", save.alerts[0].msg);

        let remembered = Shelf::remembered(save.changed, Tz::UTC);
        assert_eq!(remembered.workflows().phases().count(), 1);
        let again = look(&remembered, &[("a.toml", "[[phase]]\ntask = ")]);
        assert!(again.save.is_none());
        assert_eq!(again.reloaded.broken.len(), 1);

        let otherwise = look(&again.shelf, &[("a.toml", "[[phase]]\ntask = 1 2")]);
        assert_eq!(otherwise.save.unwrap().alerts.len(), 1, "broken in another way is told");
        let mended = look(&otherwise.shelf, &[("a.toml", GOOD)]);
        assert_eq!(mended.reloaded.broken, []);
        assert_eq!(mended.save.unwrap().alerts.len(), 0);
    }

    #[test]
    fn a_file_that_never_loaded_is_told_and_has_no_phases() {
        let looked = look(&Shelf::default(), &[("a.toml", "nonsense")]);
        assert_eq!((looked.shelf.workflows().phases().count(), looked.reloaded.broken.len()), (0, 1));
        let remembered = Shelf::remembered(looked.save.unwrap().changed, Tz::UTC);
        assert_eq!((remembered.workflows().phases().count(), remembered.broken().len()), (0, 1));
    }
}

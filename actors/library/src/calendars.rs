//! Calendars: files of days off in `calendars/` of the workflow folder.

use std::io::{self, Read as _};
use std::path::Path;

use flowlord_domain::calendar::{CalendarDays, Calendars, calendar_names, parse_dates, parse_icalendar};
use flowlord_domain::workflow::Workflows;
use flowlord_storage::{Error, StorageLocation};

use crate::files::{run_blocking, workflow_text};
use crate::metafiles::MetaFiles;

/// At most this many calendars are read at each scan.
const MAX_CALENDARS: usize = 100;

const MAX_BYTES: u64 = 1024 * 1024;

const FOLDER: &str = "calendars";

type Parse = fn(&str) -> CalendarDays;

/// What a calendar may be called after its name, and how it is read.
const FORMS: [(&str, Parse); 2] = [("txt", parse_dates), ("ics", parse_icalendar)];

/// Whether a change of the file may change a calendar.
pub(crate) fn is_named_as_calendar(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    let is_in_folder = path.parent().and_then(Path::file_name).is_some_and(|folder| folder == FOLDER);
    is_in_folder && FORMS.iter().any(|(form, _)| extension == *form)
}

/// Reads the calendars that the phases name. One that can't be reached now stays as it was.
pub async fn read_calendars(files: &MetaFiles, workflows: &Workflows, known: &Calendars) -> Calendars {
    let mut calendars = Calendars::new();
    for name in calendar_names(workflows).into_iter().take(MAX_CALENDARS) {
        let read = match read_calendar(files, &name).await {
            Ok(days) => days,
            Err(err) => {
                log::warn!("event=calendar_not_read name={name:?} error={err:?}");
                known.get(&name).cloned().unwrap_or_else(|| Err(err.to_string()))
            }
        };
        calendars.insert(name, read);
    }
    calendars
}

/// What a calendar holds, or what is wrong with it; an error where that can't be said now.
async fn read_calendar(files: &MetaFiles, name: &str) -> Result<CalendarDays, Error> {
    for (form, parse) in FORMS {
        let path = format!("{FOLDER}/{name}.{form}");
        if let Some(text) = read_text(files, &path).await? {
            return Ok(text.and_then(|text| parse(&text)).map_err(|problem| format!("{path}: {problem}")));
        }
    }
    Ok(Err(format!("there is neither {FOLDER}/{name}.txt nor {FOLDER}/{name}.ics in the workflow folder")))
}

/// The text of a file below the workflow folder; none where there is no such file.
async fn read_text(files: &MetaFiles, path: &str) -> Result<Option<Result<String, String>>, Error> {
    let Some(root) = files.root.as_local() else {
        let store = files.stores.open(&folder_of(&files.root))?;
        return match store.get(path, MAX_BYTES).await {
            Ok(content) => Ok(Some(workflow_text(content.bytes.into()))),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(err @ Error::Unreachable { .. }) => Err(err),
            Err(err) => Ok(Some(Err(err.to_string()))),
        };
    };
    let (root, path) = (root.to_owned(), path.to_owned());
    let read = run_blocking(move || read_local(&root, &path)).await;
    Ok(read.unwrap_or_else(|err| Some(Err(err.detail))))
}

/// The folder of the workflow files; the one beside it where there is one file.
fn folder_of(root: &StorageLocation) -> StorageLocation {
    let is_file = root.name().is_some_and(|name| name.to_ascii_lowercase().ends_with(".toml"));
    if is_file { root.parent() } else { root.clone() }
}

fn read_local(root: &Path, path: &str) -> Option<Result<String, String>> {
    let parent = root.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = if root.is_file() { parent } else { root };
    let (Ok(within), Ok(place)) = (folder.canonicalize(), folder.join(path).canonicalize()) else { return None };
    if !place.starts_with(within) {
        return Some(Err("it leads out of the workflow folder".to_owned()));
    }
    let mut bytes = Vec::new();
    // One byte more than is allowed tells a file that is too large, without reading all of it.
    match std::fs::File::open(place).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes)) {
        Ok(read) if u64::try_from(read).is_ok_and(|read| read > MAX_BYTES) => {
            Some(Err(format!("the file is larger than {} KiB: remove old days", MAX_BYTES / 1024)))
        }
        Ok(_) => Some(workflow_text(bytes)),
        Err(err) if err.kind() == io::ErrorKind::NotFound => None,
        Err(err) => Some(Err(format!("the file can't be read: {err}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use flowlord_domain::workflow::WorkflowFile;
    use flowlord_storage::{GcsAccess, StorageConfig, StorageConnections};
    use flowlord_testkit::FakeStore;

    use super::*;

    fn workflows(names: &[&str]) -> Workflows {
        let phase = |name: &&str| format!("[[phase]]\ntask = \"{name}\"\nrule = \"cron=0 3 * * *&calendar={name}\"\n");
        let text: String = names.iter().map(phase).collect();
        Workflows::new([Arc::new(WorkflowFile::parse("w.toml", &text, "", chrono_tz::Tz::UTC).unwrap())])
    }

    fn problem(calendars: &Calendars, name: &str) -> String {
        calendars[name].clone().unwrap_err()
    }

    #[tokio::test]
    async fn calendars_of_a_folder_are_read_in_both_forms() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("calendars")).unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join("calendars").join(name), text).unwrap();
        write("us.txt", "2024-07-04\n");
        write("de.ics", "BEGIN:VEVENT\nDTSTART;VALUE=DATE:20241003\nEND:VEVENT\n");
        write("bad.txt", "soon\n");
        write("large.txt", &"#".repeat(1024 * 1024 + 1));
        std::fs::write(folder.path().join("w.toml"), "").unwrap();
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join("calendars/out.txt")).unwrap();
        for root in ["", "/w.toml"] {
            let root = StorageLocation::parse(&format!("{}{root}", folder.path().display())).unwrap();
            let files = MetaFiles { root, allowed: Vec::new(), stores: StorageConnections::default() };
            let wanted = workflows(&["us", "de", "bad", "large", "gone", "out"]);
            let read = read_calendars(&files, &wanted, &Calendars::new()).await;
            assert_eq!((read["us"].as_ref().unwrap().len(), read["de"].as_ref().unwrap().len()), (1, 1));
            assert!(problem(&read, "bad").starts_with("calendars/bad.txt: line 1: `soon` is not a date"));
            assert!(problem(&read, "large").contains("larger than 1024 KiB"));
            assert_eq!(problem(&read, "out"), "calendars/out.txt: it leads out of the workflow folder");
            assert!(problem(&read, "gone").starts_with("there is neither calendars/gone.txt nor"));
        }
    }

    #[tokio::test]
    async fn a_calendar_of_a_store_that_is_away_stays_as_it_was() {
        let fake = FakeStore::start();
        fake.write("bucket/flows/calendars/us.txt", "2024-07-04\n");
        let gcs = GcsAccess { endpoint: Some(fake.url()), credentials_file: None };
        let stores = StorageConnections::new(StorageConfig { gcs, ..StorageConfig::default() });
        let root = StorageLocation::parse("gs://bucket/flows").unwrap();
        let files = MetaFiles { root, allowed: Vec::new(), stores };
        let first = read_calendars(&files, &workflows(&["us"]), &Calendars::new()).await;
        assert_eq!(first["us"].as_ref().unwrap().len(), 1);
        fake.set_broken(Some(503));
        assert_eq!(read_calendars(&files, &workflows(&["us"]), &first).await, first);
    }

    #[test]
    fn only_calendars_are_watched() {
        for (path, is_calendar) in [
            ("/wf/calendars/us.txt", true),
            ("/wf/calendars/us.ics", true),
            ("/wf/calendars/us.bak", false),
            ("/wf/notes.txt", false),
        ] {
            assert_eq!(is_named_as_calendar(Path::new(path)), is_calendar, "{path}");
        }
    }
}

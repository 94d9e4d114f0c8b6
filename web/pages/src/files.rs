//! The files that were heard of on a day, and what they started.

use flowlord_messages::files::{FileMatchState, ListFileEvents, StoredFileEvent};

use super::parts::{FigureRow, LinkedFigure, Pager};
use super::when::ShownTime;
use super::{NavigationSection, PageLayout, PageLink, ShownDay, rendered};
use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::view("/web/files", Role::Viewer, rendered(files_page))]
}

const PATH: &str = "/web/files";

/// The newest files of a day, of which the page shows some: filters and figures work on these, not in the database.
const MOST: usize = 2_000;
const ROWS: usize = 100;

#[derive(Template)]
#[template(path = "files.html")]
struct FilesPage {
    layout: PageLayout,
    shown: ShownDay,
    figures: FigureRow,
    capped: bool,
    filtered: bool,
    files: Vec<StoredFileEvent>,
    pager: Pager,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileFilter {
    All,
    WithTasks,
    WithoutMatch,
}

impl FileFilter {
    fn of(params: &QueryParams) -> Result<Self, Problem> {
        match params.one("show")? {
            None => Ok(Self::All),
            Some("tasks") => Ok(Self::WithTasks),
            Some("unmatched") => Ok(Self::WithoutMatch),
            Some(other) => Err(Problem::wrong_value("show", other, "tasks or unmatched")),
        }
    }

    fn has(self, event: &StoredFileEvent) -> bool {
        match self {
            Self::All => true,
            Self::WithTasks => count_tasks(event) > 0,
            Self::WithoutMatch => event.phases.is_empty(),
        }
    }
}

fn count_tasks(event: &StoredFileEvent) -> u64 {
    event.phases.iter().filter(|phase| phase.state == FileMatchState::Started).count() as u64
}

async fn files_page(context: &WebContext, request: &HttpRequest) -> Result<FilesPage, Problem> {
    let params = QueryParams::parse(request.query_string(), &["date", "month", "show", "cursor"])?;
    let shown = ShownDay::of(&params, context.deps.kit.now())?;
    let link = PageLink::of(PATH, request.query_string()).without(&["month"]);
    let which = FileFilter::of(&params)?;
    // The page filters after reading, so its cursor counts rows.
    let skip = params.cursor::<usize>()?.unwrap_or(0);
    let (from, to) = day(shown.date);
    let (mut layout, found) = tokio::join!(
        PageLayout::live(context, request, NavigationSection::Files).with_picker(context, &link, shown),
        context.deps.view_reader.call(ListFileEvents { from, to, after: None, limit: MOST + 1 }),
    );
    let mut found = layout.read("the files", found)?.unwrap_or_default();
    let capped = found.len() > MOST;
    found.truncate(MOST);
    // The figures count the whole day, so they come before the filter.
    let figures = file_figures(&found, which, &link);
    found.retain(|event| which.has(event));
    let next = (found.len() > skip + ROWS).then(|| (skip + ROWS).to_string());
    Ok(FilesPage {
        layout,
        shown,
        figures,
        capped,
        filtered: which != FileFilter::All,
        files: found.into_iter().skip(skip).take(ROWS).collect(),
        pager: Pager::new(&link, next),
    })
}

fn file_figures(events: &[StoredFileEvent], which: FileFilter, link: &PageLink) -> FigureRow {
    let all = link.without(&["show", "cursor"]);
    let with_tasks = all.with("show", "tasks").href();
    let mut figures: Vec<LinkedFigure> = [
        (FileFilter::All, "files", "all", all.href()),
        (FileFilter::WithTasks, "with tasks", "complete", with_tasks.clone()),
        (FileFilter::WithoutMatch, "no match", "warn", all.with("show", "unmatched").href()),
    ]
    .into_iter()
    .map(|(filter, label, class, href)| {
        let count = events.iter().filter(|event| filter.has(event)).count() as u64;
        LinkedFigure { label, class, count, href, chosen: filter == which }
    })
    .collect();
    figures.push(LinkedFigure {
        label: "tasks created",
        class: "running",
        count: events.iter().map(count_tasks).sum(),
        href: with_tasks,
        // It has no filter of its own.
        chosen: false,
    });
    FigureRow { label: "Files", figures }
}

fn modified_at(event: &StoredFileEvent) -> Option<ShownTime> {
    // The reporter of a file writes this as text, which may be no time.
    let modified = DateTime::parse_from_rfc3339(&event.file.created).ok()?;
    Some(ShownTime::full(modified.to_utc()))
}

fn state_class(state: &FileMatchState) -> &'static str {
    match state {
        FileMatchState::Started => "complete",
        FileMatchState::Waiting => "running",
        FileMatchState::Repeated => "waiting",
        FileMatchState::Failed => "error",
    }
}

/// A number of bytes in the unit that people read.
fn size_text(bytes: i64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1_000 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut amount = bytes as f64 / 1e3;
    let mut unit = 0;
    while amount >= 999.5 && unit + 1 < UNITS.len() {
        amount /= 1e3;
        unit += 1;
    }
    // Three digits at most: 9.9, then 10.
    let digits = if amount < 9.95 { 1 } else { 0 };
    format!("{amount:.digits$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_two_or_three_digits() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (1_234_567, "1.2 MB"),
            (999_499, "999 kB"),
            (999_600, "1.0 MB"),
            (52_000_000_000, "52 GB"),
            (i64::MAX, "9223 PB"),
        ] {
            assert_eq!(size_text(bytes), text);
        }
    }
}

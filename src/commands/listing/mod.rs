//! Lists of the service, as tables for people and as JSON for programs.

mod changes;
mod page;
mod screen;
mod table;
mod when;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::builder::styling::Style;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::args::ServiceArgs;
use super::out;
use super::work::client::ApiClient;
use changes::ListChanges;
pub(super) use page::{ListDocument, QueryPairs, query_pairs, read_list, with_query};
use screen::Screen;
pub(super) use table::{ListColumn, clean_line};
use table::{TableRow, format_table};
pub(super) use when::TimeFormat;

/// How long the service may take for an answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A row of a list.
pub(super) trait ListedRow {
    const COLUMNS: &'static [ListColumn];

    /// The events that say that the list changed.
    const EVENTS: &'static str = "task,tasks";

    /// One of each column.
    fn cells(&self, times: &TimeFormat) -> Vec<String>;

    /// How its first cell looks.
    fn style(&self) -> Style {
        Style::new()
    }
}

/// Which service is asked, and how its answer is printed.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct AnswerArgs {
    /// Print one JSON document, as the REST API answers it
    #[arg(long)]
    json: bool,
    /// How many characters a line has [default: those of the terminal, else COLUMNS, else as many as it needs]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(20..=1000))]
    width: Option<u16>,
    #[command(flatten)]
    service: ServiceArgs,
}

impl AnswerArgs {
    pub(super) fn client(&self) -> anyhow::Result<ApiClient> {
        self.service.client()
    }

    /// The rows of an answer as a table.
    pub(super) fn table<R: ListedRow + DeserializeOwned>(&self, items: &[Value]) -> anyhow::Result<String> {
        let rows: Result<Vec<R>, serde_json::Error> = items.iter().map(R::deserialize).collect();
        Ok(self.table_of(&rows.context("the answer can't be read")?))
    }

    pub(super) fn table_of<R: ListedRow>(&self, rows: &[R]) -> String {
        let times = TimeFormat::of_now();
        let rows = rows.iter().map(|row| TableRow { cells: row.cells(&times), style: row.style() });
        format_table(R::COLUMNS, rows.collect(), Screen::width(self.width))
    }

    /// Prints the document, or the text that people read instead.
    pub(super) fn print(
        &self,
        document: &impl Serialize,
        text: impl FnOnce() -> anyhow::Result<String>,
    ) -> anyhow::Result<()> {
        if self.json {
            out::line(&serde_json::to_string_pretty(document)?)?;
        } else {
            out::styled_text(&text()?)?;
        }
        Ok(())
    }
}

/// How much of a list is read, and how it is printed.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ListArgs {
    /// How many rows at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    limit: u16,
    /// Go on where an earlier list ended: its `next`
    #[arg(long, value_name = "NEXT")]
    cursor: Option<String>,
    /// Redraw when something changes, at most every 2 seconds, or as many as are given
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "2")]
    #[arg(conflicts_with = "json", value_parser = clap::value_parser!(u16).range(1..=3600))]
    watch: Option<u16>,
    #[command(flatten)]
    answer: AnswerArgs,
}

/// Reads a list of the service and prints it.
pub(super) fn print_list<R: ListedRow + DeserializeOwned>(
    args: &ListArgs,
    path: &str,
    mut query: QueryPairs,
) -> anyhow::Result<ExitCode> {
    let client = args.answer.client()?;
    if let Some(cursor) = &args.cursor {
        query.push(("cursor", cursor.clone()));
    }
    let read = async || read_list(&client, path, &query, args.limit.into()).await;
    let print = async {
        let Some(seconds) = args.watch else { return print_once::<R>(args, &read().await?) };
        let draw = async || args.answer.table::<R>(&read().await?.items);
        let (pace, mut changes) = (Duration::from_secs(seconds.into()), ListChanges::of_kinds(&client, R::EVENTS));
        Screen::redraw(draw, async || changes.wait(pace).await).await
    };
    actix_rt::System::new().block_on(print).map(|()| ExitCode::SUCCESS)
}

fn print_once<R: ListedRow + DeserializeOwned>(args: &ListArgs, list: &ListDocument) -> anyhow::Result<()> {
    args.answer.print(list, || args.answer.table::<R>(&list.items))?;
    if !args.answer.json
        && let Some(note) = list.note()
    {
        // To standard error: it is no row of the list.
        out::error(&note);
    }
    Ok(())
}

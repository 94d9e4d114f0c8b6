//! `flowlord backload`: history filled from a terminal.

mod progress;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::out;
use super::tasks::task_name;
use super::work::client::ApiClient;

const EXAMPLES: &str = "\
Examples:
  flowlord backload load:daily --from 2026-01-01 --to 2026-01-31
  flowlord backload load:daily --from 2026-01-01 --to 2026-01-31 --only missing --rate 100/1m --execute
  flowlord backload copy --template '{meta:file}?day={dd}' --meta file=a.csv --meta file=b.csv --at 2026-01-15

Shows what would be created, unless --execute is given. The service creates the tasks, and continues when this command
is stopped. Exits with 1 when some tasks could not be created.";

// The service reads the whole meta file before it answers, and that may be long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Fill history: create the tasks of a stretch of time
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The topic, or one job of it
    #[arg(value_name = "TOPIC[:JOB]")]
    task: String,
    /// The one time: a day like 2026-01-15, an hour like 2026-01-15T03, or RFC 3339
    #[arg(long, value_name = "TIME", conflicts_with_all = ["from", "to"])]
    at: Option<String>,
    /// The first time
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// The last time; earlier than the first for backwards
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// hour, day, week or month [default: day]
    #[arg(long, value_name = "STEP")]
    by: Option<String>,
    /// What the tasks are to do, where no phase has a template
    #[arg(long)]
    template: Option<String>,
    /// The file whose phase is meant
    #[arg(long, value_name = "WORKFLOW")]
    workflow: Option<String>,
    /// A value for every row; given several times for one key, one a row
    #[arg(long = "meta", value_name = "KEY=VALUE", value_parser = parse_meta, conflicts_with = "meta_file")]
    metas: Vec<(String, String)>,
    /// A file with a row a line, as the service reads it
    #[arg(long, value_name = "PATH")]
    meta_file: Option<String>,
    /// Which tasks: missing (never created), failed, or all
    #[arg(long, value_name = "WHICH")]
    only: Option<String>,
    /// How many tasks are created in how long at most, like 100/1m
    #[arg(long, value_name = "N/DURATION")]
    rate: Option<String>,
    /// Create them
    #[arg(long)]
    execute: bool,
    /// How many tasks are shown
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    show: u16,
    /// The service
    #[arg(long, value_name = "URL", env = "FLOWLORD_SERVER", default_value = "http://127.0.0.1:8080")]
    server: String,
    /// A token, where the service wants one
    #[arg(long, env = "FLOWLORD_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

pub(super) fn parse_meta(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let client = ApiClient::new(&args.server, args.token.clone())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if args.execute {
        return runtime.block_on(execute_plan(&client, args));
    }
    runtime.block_on(show_plan(&client, args)).map(|()| ExitCode::SUCCESS)
}

fn request_of(args: &Args) -> Value {
    let mut request = json!({"task": args.task});
    let texts = [
        ("at", &args.at),
        ("from", &args.from),
        ("to", &args.to),
        ("by", &args.by),
        ("template", &args.template),
        ("workflow", &args.workflow),
        ("meta-file", &args.meta_file),
        ("only", &args.only),
        ("rate", &args.rate),
    ];
    for (key, text) in texts.into_iter().filter_map(|(key, text)| Some((key, text.as_ref()?))) {
        request[key] = json!(text);
    }
    let mut meta = Map::new();
    for (key, value) in &args.metas {
        match meta.get_mut(key) {
            None => drop(meta.insert(key.clone(), json!(value))),
            Some(Value::Array(list)) => list.push(json!(value)),
            Some(first) => *first = json!([first.take(), value]),
        }
    }
    if !meta.is_empty() {
        request["meta"] = Value::Object(meta);
    }
    request
}

#[derive(Deserialize)]
struct DryRun {
    status: String,
    count: usize,
    tasks: Vec<DryRunTask>,
    failed: Vec<TaskFailure>,
    skipped: usize,
    next: Option<usize>,
}

#[derive(Deserialize)]
struct DryRunTask {
    r#type: String,
    #[serde(default)]
    job: String,
    info: String,
    meta: String,
}

impl DryRunTask {
    fn name(&self) -> String {
        task_name(&self.r#type, &self.job)
    }
}

#[derive(Debug, Deserialize)]
struct TaskFailure {
    index: usize,
    time: Option<String>,
    reason: String,
}

impl TaskFailure {
    fn line(&self) -> String {
        format!("task {} ({}): {}", self.index, self.time.as_deref().unwrap_or("no time"), self.reason)
    }
}

async fn show_plan(client: &ApiClient, args: &Args) -> anyhow::Result<()> {
    let mut request = request_of(args);
    request["limit"] = json!(args.show);
    let run: DryRun = client.post("/backload", &request, PATIENCE).await?;
    out::text(&task_table(&run))?;
    for failure in &run.failed {
        out::error(&failure.line());
    }
    out::line(&plan_summary(&run))?;
    Ok(())
}

fn task_table(run: &DryRun) -> String {
    let mut rows = vec![["TASK".to_owned(), "INFO".to_owned(), "META".to_owned()]];
    rows.extend(run.tasks.iter().map(|task| [task.name(), task.info.clone(), task.meta.clone()]));
    let (task, info) = (out::column_width(&rows, 0), out::column_width(&rows, 1));
    rows.iter().map(|row| format!("{:task$}  {:info$}  {}\n", row[0], row[1], row[2])).collect()
}

fn plan_summary(run: &DryRun) -> String {
    let shown = run.tasks.len() + run.failed.len();
    let mut parts = vec![format!("{} tasks", run.count)];
    if let Some(next) = run.next {
        parts.push(format!("{shown} of the first {next} shown"));
    }
    if run.skipped > 0 {
        parts.push(format!("{} left out by --only", run.skipped));
    }
    let told = run.status.split_once("; ").map_or(String::new(), |(_, told)| format!(" ({told})"));
    format!("{}{told}; create them with --execute", parts.join(", "))
}

#[derive(Deserialize)]
struct BegunBackload {
    id: i64,
    status: String,
}

async fn execute_plan(client: &ApiClient, args: &Args) -> anyhow::Result<ExitCode> {
    let mut request = request_of(args);
    request["execute"] = json!(true);
    // In the foreground the answer would come only when all tasks are created.
    request["background"] = json!(true);
    let begun: BegunBackload = client.post("/backload", &request, PATIENCE).await?;
    let told = begun.status.rsplit_once("; ").map_or(begun.status.as_str(), |(_, told)| told);
    out::error(&format!(
        "backload {id} ({told}): continues if this command is stopped; POST {server}/api/v1/backloads/{id}/cancel cancels it",
        id = begun.id,
        server = args.server.trim_end_matches('/'),
    ));
    let ended = progress::follow_backload(client, begun.id).await.with_context(|| {
        format!("backload {} continues, but its progress is unknown: see /api/v1/backloads/{0}", begun.id)
    })?;
    for failure in ended.failures.iter().flatten() {
        out::error(&failure.line());
    }
    out::line(&ended.summary())?;
    Ok(if ended.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::{Cli, ProgramCommand};
    use super::*;

    fn args(line: &[&str]) -> Args {
        let cli = Cli::try_parse_from(["flowlord", "backload"].iter().chain(line)).unwrap();
        let ProgramCommand::Backload(args) = cli.command else { panic!("another command") };
        args
    }

    #[test]
    fn flags_become_the_request() {
        let all = [
            "load:daily",
            "--from",
            "2026-01-01",
            "--to",
            "2026-01-31",
            "--by",
            "week",
            "--template",
            "x",
            "--workflow",
            "w.toml",
            "--meta",
            "a=1",
            "--meta",
            "a=2=3",
            "--meta",
            "a=",
            "--meta",
            "b=x",
            "--only",
            "missing",
            "--rate",
            "100/1m",
        ];
        assert_eq!(
            request_of(&args(&all)),
            json!({
                "task": "load:daily", "from": "2026-01-01", "to": "2026-01-31", "by": "week", "template": "x",
                "workflow": "w.toml", "only": "missing", "rate": "100/1m", "meta": {"a": ["1", "2=3", ""], "b": "x"},
            })
        );
        let file = request_of(&args(&["load", "--at", "2026-01-01", "--meta-file", "rows.json"]));
        assert_eq!(file, json!({"task": "load", "at": "2026-01-01", "meta-file": "rows.json"}));
    }

    #[test]
    fn a_dry_run_is_a_table_with_its_count() {
        let run: DryRun = serde_json::from_value(json!({
            "status": "dry run: nothing is created without \"execute\":true; phase found in w.toml", "count": 40,
            "tasks": [
                {"type": "load", "job": "daily", "info": "?d=01", "meta": "cron=2026-01-01T00"},
                {"type": "b", "info": "?day=02", "meta": "cron=2026-01-02T00"},
            ],
            "failed": [{"index": 2, "time": null, "reason": "too large"}], "skipped": 1, "next": 4,
        }))
        .unwrap();
        let lines: Vec<String> = task_table(&run).lines().map(str::to_owned).collect();
        assert_eq!(
            lines,
            [
                "TASK        INFO     META",
                "load:daily  ?d=01    cron=2026-01-01T00",
                "b           ?day=02  cron=2026-01-02T00",
            ]
        );
        assert_eq!(
            plan_summary(&run),
            "40 tasks, 3 of the first 4 shown, 1 left out by --only (phase found in w.toml); create them with --execute"
        );
        assert_eq!(run.failed[0].line(), "task 2 (no time): too large");
    }
}

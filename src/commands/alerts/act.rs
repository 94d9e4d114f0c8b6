//! `flowlord ack` and `flowlord silence`.

use std::process::ExitCode;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use flowlord_domain::duration::parse_duration;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::commands::listing::{AnswerArgs, ListColumn, ListedRow, PATIENCE, TimeFormat, clean_line};

const ACK_EXAMPLES: &str = "\
Examples:
  flowlord ack --type load --for 2h --note 'the disk is replaced'
  flowlord ack

No notification repeats what fails now until something else fails or the time is over. Without --type, --job and
--workflow everything that fails is acknowledged. Exits with 1 when nothing that matches fails.";

const SILENCE_EXAMPLES: &str = "\
Examples:
  flowlord silence --workflow 'etl/*' --for 4h --reason 'the source moves'

Alerts that match are stored, and nobody is notified. `*` stands for any text, `?` for any one character.";

/// Which alerts; all that is said must hold.
#[derive(Debug, clap::Args)]
#[group(id = "match", multiple = true)]
struct MatchArgs {
    /// The topic
    #[arg(long = "type", value_name = "TOPIC")]
    topic: Option<String>,
    /// The job
    #[arg(long)]
    job: Option<String>,
    /// The workflow file
    #[arg(long, value_name = "WORKFLOW")]
    workflow: Option<String>,
}

/// Acknowledge what fails
#[derive(Debug, clap::Args)]
#[command(after_help = ACK_EXAMPLES)]
pub(crate) struct AckArgs {
    #[command(flatten)]
    matching: MatchArgs,
    /// How long it holds, like 30m or 2d
    #[arg(long = "for", value_name = "DURATION", default_value = "4h", value_parser = check_duration)]
    duration: String,
    /// What is done about it
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Who [default: the name of the token]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    #[command(flatten)]
    answer: AnswerArgs,
}

/// Silence alerts
#[derive(Debug, clap::Args)]
#[command(after_help = SILENCE_EXAMPLES)]
pub(crate) struct SilenceArgs {
    #[command(flatten)]
    matching: MatchArgs,
    /// How long it holds, like 30m or 2d
    #[arg(long = "for", value_name = "DURATION", value_parser = check_duration)]
    duration: String,
    /// Why nobody is to be notified
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who [default: the name of the token]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    #[command(flatten)]
    answer: AnswerArgs,
}

fn check_duration(text: &str) -> Result<String, String> {
    // The text is sent as it is written: the service reads it by the same rules, and has the bounds.
    parse_duration(text).map(|_| text.to_owned()).map_err(|err| err.to_string())
}

/// The members that have a value.
fn object_of<const N: usize>(members: [(&str, Option<&String>); N]) -> Map<String, Value> {
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?)))).collect()
}

impl MatchArgs {
    fn to_body(&self) -> Value {
        let Self { topic, job, workflow } = self;
        object_of([("type", topic.as_ref()), ("job", job.as_ref()), ("workflow", workflow.as_ref())]).into()
    }
}

fn post(path: &str, matching: &MatchArgs, mut body: Map<String, Value>, answer: &AnswerArgs) -> anyhow::Result<Value> {
    body.insert("match".to_owned(), matching.to_body());
    let client = answer.client()?;
    Ok(actix_rt::System::new().block_on(client.post(path, &body, PATIENCE))?)
}

#[derive(Deserialize)]
struct AcknowledgedDocument {
    until: DateTime<Utc>,
    items: Vec<Value>,
}

/// What it holds for in one route.
#[derive(Deserialize)]
struct AcknowledgedRoute {
    route: String,
    opened: Option<DateTime<Utc>>,
    tasks: Vec<String>,
}

impl ListedRow for AcknowledgedRoute {
    const COLUMNS: &'static [ListColumn] =
        &[ListColumn::name("ROUTE"), ListColumn::whole("OPENED"), ListColumn::text("TASKS")];

    fn cells(&self, times: &TimeFormat) -> Vec<String> {
        vec![self.route.clone(), times.time_or_none(self.opened), self.tasks.join(" ")]
    }
}

pub(crate) fn acknowledge(args: &AckArgs) -> anyhow::Result<ExitCode> {
    let AckArgs { matching, duration, note, by, answer } = args;
    let body = object_of([("for", Some(duration)), ("note", note.as_ref()), ("by", by.as_ref())]);
    let document = post("/alerts/ack", matching, body, answer)?;
    let said = AcknowledgedDocument::deserialize(&document).context("the answer can't be read")?;
    answer.print(&document, || {
        if said.items.is_empty() {
            return Ok("Nothing that matches fails now\n".to_owned());
        }
        let until = TimeFormat::of_now().time(said.until);
        Ok(format!("{}Acknowledged until {until}\n", answer.table::<AcknowledgedRoute>(&said.items)?))
    })?;
    Ok(if said.items.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

#[derive(Deserialize)]
struct MadeSilence {
    id: i64,
    until: DateTime<Utc>,
    by: String,
    reason: String,
}

pub(crate) fn silence(args: &SilenceArgs) -> anyhow::Result<ExitCode> {
    let SilenceArgs { matching, duration, reason, by, answer } = args;
    let body = object_of([("for", Some(duration)), ("reason", Some(reason)), ("by", by.as_ref())]);
    let document = post("/silences", matching, body, answer)?;
    let MadeSilence { id, until, by, reason } =
        MadeSilence::deserialize(&document).context("the answer can't be read")?;
    answer.print(&document, || {
        let (until, by, reason) = (TimeFormat::of_now().time(until), clean_line(&by), clean_line(&reason));
        Ok(format!("Silence {id} holds until {until}, by {by}: {reason}\nDELETE /api/v1/silences/{id} ends it\n"))
    })?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_only_what_was_written() {
        let matching = |topic: Option<&str>, workflow: Option<&str>| {
            let [topic, workflow] = [topic, workflow].map(|text| text.map(str::to_owned));
            MatchArgs { topic, job: None, workflow }.to_body()
        };
        assert_eq!(matching(None, None), json!({}));
        assert_eq!(matching(Some("load"), None), json!({"type": "load"}));
        assert_eq!(matching(Some("load"), Some("etl/*")), json!({"type": "load", "workflow": "etl/*"}));
    }

    #[test]
    fn a_duration_is_sent_as_it_is_written() {
        assert_eq!(check_duration("90m").as_deref(), Ok("90m"));
        for wrong in ["", "2", "two hours"] {
            assert!(check_duration(wrong).unwrap_err().contains("is not a duration"), "{wrong}");
        }
    }
}

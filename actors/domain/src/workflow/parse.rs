//! From TOML to phases.

use std::ops::Range;

use chrono_tz::Tz;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Finding, Phase, Severity, TaskName};
use crate::finding::did_you_mean;
use crate::rule::Rule;

const KEYS: [&str; 5] = ["task", "dependsOn", "rule", "retry", "template"];

pub(super) fn phases(path: &str, text: &str, zone: Tz) -> Result<(Vec<Phase>, Vec<Finding>), Vec<Finding>> {
    let mut reader = Reader { path, text, zone, findings: Vec::new() };
    let table = match DeTable::parse(text) {
        Ok(table) => table.into_inner(),
        Err(err) => {
            let message = err.message().lines().collect::<Vec<_>>().join(" ");
            return Err(vec![reader.finding(err.span().unwrap_or_default(), Severity::Error, message)]);
        }
    };
    let mut phases = reader.groups(table)?;
    phases.sort_by_key(|(start, _)| *start);
    let phases = phases.into_iter().map(|(_, phase)| phase).collect();
    Ok((phases, reader.findings))
}

struct Reader<'a> {
    path: &'a str,
    text: &'a str,
    zone: Tz,
    findings: Vec<Finding>,
}

type Place = Range<usize>;

impl Reader<'_> {
    fn finding(&self, place: Place, severity: Severity, message: String) -> Finding {
        let before = self.text.get(..place.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.matches('\n').count() + 1;
        let column = before[line_start..].chars().count() + 1;
        Finding { file: self.path.to_owned(), line, column, severity, message }
    }

    fn error(&mut self, place: Place, message: impl Into<String>) {
        let finding = self.finding(place, Severity::Error, message.into());
        self.findings.push(finding);
    }

    fn warn(&mut self, place: Place, message: impl Into<String>) {
        let finding = self.finding(place, Severity::Warning, message.into());
        self.findings.push(finding);
    }

    /// `[[phase]]` and `[[Phase]]` in one file are one list.
    fn groups(&mut self, table: DeTable<'_>) -> Result<Vec<(usize, Phase)>, Vec<Finding>> {
        let mut phases = Vec::new();
        for (key, value) in table {
            let place = key.span();
            let name = key.into_inner();
            if !name.eq_ignore_ascii_case("phase") {
                self.warn(place, format!("`{name}` is unknown{}", did_you_mean(&name, ["phase"])));
                continue;
            }
            let DeValue::Array(tables) = value.into_inner() else {
                let message = format!("`{name}` is written as a list: [[{name}]]");
                return Err(vec![self.finding(place, Severity::Error, message)]);
            };
            for table in tables {
                let start = table.span();
                let DeValue::Table(table) = table.into_inner() else {
                    let message = format!("`{name}` is written as a list of tables: [[{name}]]");
                    return Err(vec![self.finding(start, Severity::Error, message)]);
                };
                phases.push((start.start, self.phase(&start, table)));
            }
        }
        Ok(phases)
    }

    fn phase(&mut self, place: &Place, table: DeTable<'_>) -> Phase {
        let mut fields = Fields { all: place.clone(), ..Fields::default() };
        for (key, value) in table {
            let key_place = key.span();
            let name = key.into_inner();
            match name.to_ascii_lowercase().as_str() {
                "task" => fields.task = self.text_of(&name, value),
                "dependson" | "depends_on" => fields.depends_on = self.text_of(&name, value),
                "rule" => fields.rule = self.text_of(&name, value),
                "template" => fields.template = self.text_of(&name, value),
                "retry" => fields.retry = self.retry(&value),
                _ => self.warn(key_place, format!("`{name}` is unknown{}", did_you_mean(&name, KEYS))),
            }
        }
        self.build(&fields)
    }

    fn text_of(&mut self, name: &str, value: Spanned<DeValue<'_>>) -> Option<(String, Place)> {
        let place = value.span();
        match value.into_inner() {
            DeValue::String(text) => Some((text.into_owned(), place)),
            other => {
                let message = format!("`{name}` is {}: write a text in quotes", kind(&other));
                self.error(place, message);
                None
            }
        }
    }

    fn retry(&mut self, value: &Spanned<DeValue<'_>>) -> u32 {
        let place = value.span();
        let number = match value.get_ref() {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        // Less than none is none, as it always was.
        let retries = number.map(|number| u32::try_from(number.max(0)));
        retries.and_then(Result::ok).unwrap_or_else(|| {
            self.error(place, "`retry` is how often a failed task is tried again: write a number, like 3");
            0
        })
    }

    fn build(&mut self, fields: &Fields) -> Phase {
        let place = |field: &Option<(String, Place)>| {
            field.as_ref().map_or(fields.all.clone(), |(_, place)| place.clone())
        };
        let text = |field: &Option<(String, Place)>| {
            field.as_ref().map(|(text, _)| text.clone()).unwrap_or_default()
        };
        let (rule_place, task_place) = (place(&fields.rule), place(&fields.task));
        let rule_text = text(&fields.rule);
        let rule = Rule::parse(&rule_text, self.zone);
        let mut task = TaskName::parse(&text(&fields.task));
        if task.job.is_empty() {
            task.job.clone_from(&rule.job);
        }
        let start = self.finding(fields.all.clone(), Severity::Error, String::new());
        let depends_on = text(&fields.depends_on);
        let mut phase = Phase {
            workflow: self.path.to_owned(),
            task,
            depends_on: (!depends_on.is_empty()).then(|| TaskName::parse(&depends_on)),
            rule,
            rule_text,
            retry: fields.retry,
            template: text(&fields.template),
            line: start.line,
            column: start.column,
            problems: Vec::new(),
        };
        self.judge(&mut phase, &rule_place, task_place);
        phase
    }

    fn judge(&mut self, phase: &mut Phase, rule: &Place, task: Place) {
        if phase.task.topic.is_empty() {
            let message = "the phase has no task: write task = \"topic\" or \"topic:job\"".to_owned();
            self.error(task, message.clone());
            phase.problems.push(message);
        }
        for problem in &phase.rule.problems {
            let finding = self.finding(rule.clone(), problem.severity, problem.message.clone());
            self.findings.push(finding);
        }
        let status = phase.rule.status(phase.depends_on.is_some());
        if let Some(status) = &status
            && !phase.rule.problems.iter().any(|problem| problem.message == *status)
        {
            // Not wrong: its tasks may come by REST, and their retries are found here.
            self.warn(rule.clone(), status.clone());
        }
        phase.problems.extend(status);
        let blocked = phase.rule.blocked().map(|problem| problem.message.clone());
        phase.problems.extend(blocked.filter(|message| !phase.problems.contains(message)));
    }
}

#[derive(Default)]
struct Fields {
    all: Place,
    task: Option<(String, Place)>,
    depends_on: Option<(String, Place)>,
    rule: Option<(String, Place)>,
    template: Option<(String, Place)>,
    retry: u32,
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

//! From TOML to phases.

use std::ops::Range;

use chrono_tz::Tz;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::lint::{PlaceInPhase, lints_of_phase, place_in_rule};
use super::{Finding, ParentName, Phase, PhaseContact, PhasePlaces, Severity, TaskName, split_file};
use crate::finding::{nearest_word, what_to_write};
use crate::rule::Rule;

const KEYS: [&str; 8] = ["task", "dependsOn", "rule", "retry", "template", "owner", "runbook", "doc"];

/// Reads the phases of a file. A file with a value of the wrong type is not read at all, so that its last good
/// version stays.
pub(super) fn read_phases(path: &str, text: &str, zone: Tz) -> Result<(Vec<Phase>, Vec<Finding>), Vec<Finding>> {
    let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    let mut reader = PhaseReader { path, text, zone, line_starts, findings: Vec::new(), unreadable: false };
    if text.starts_with('\u{feff}') {
        reader.add_error(0..0, "the file begins with a byte order mark: save it as UTF-8 without one");
        return Err(reader.findings);
    }
    let table = match DeTable::parse(text) {
        Ok(table) => table.into_inner(),
        Err(err) => {
            let mut message = err.message().lines().collect::<Vec<_>>().join(" ");
            if message == "duplicate key" {
                message.push_str(": remove one of them, or write [[phase]] before the next phase");
            }
            reader.add_error(err.span().unwrap_or_default(), message);
            return Err(reader.findings);
        }
    };
    let mut phases = reader.read_groups(table);
    reader.findings.sort();
    if reader.unreadable {
        return Err(reader.findings);
    }
    phases.sort_by_key(|(start, _)| *start);
    Ok((phases.into_iter().map(|(_, phase)| phase).collect(), reader.findings))
}

struct PhaseReader<'a> {
    path: &'a str,
    text: &'a str,
    zone: Tz,
    line_starts: Vec<usize>,
    findings: Vec<Finding>,
    unreadable: bool,
}

type ByteRange = Range<usize>;

impl PhaseReader<'_> {
    fn line_and_column(&self, place: &ByteRange) -> (usize, usize) {
        let line = self.line_starts.partition_point(|start| *start <= place.start);
        let start = self.line_starts.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let before = self.text.get(start..place.start).unwrap_or_default();
        (line, before.chars().count() + 1)
    }

    fn add_finding(&mut self, place: &ByteRange, severity: Severity, message: impl Into<String>) {
        self.findings.push(Finding::new(self.path, self.line_and_column(place), severity, message));
    }

    fn add_warning(&mut self, place: &ByteRange, message: impl Into<String>) {
        self.add_finding(place, Severity::Warning, message);
    }

    fn add_error(&mut self, place: ByteRange, message: impl Into<String>) {
        self.add_finding(&place, Severity::Error, message);
        self.unreadable = true;
    }

    /// `[[phase]]` and `[[Phase]]` in one file are one list.
    fn read_groups(&mut self, table: DeTable<'_>) -> Vec<(usize, Phase)> {
        let mut phases = Vec::new();
        let mut contact = PhaseContact::default();
        for (key, value) in table {
            let place = key.span();
            let name = key.into_inner();
            if name.eq_ignore_ascii_case("phase") {
                self.read_group(&name, place, value.into_inner(), &mut phases);
            } else if let Some(key) = contact_key(&name) {
                self.read_contact(&mut contact, key, value);
            } else if nearest_word(&name, ["phase"]).is_some() {
                // Other keys may be notes of the author.
                self.add_warning(&place, format!("`{name}` is unknown: did you mean `phase`?"));
            }
        }
        phases.iter_mut().for_each(|(_, phase)| phase.contact.fill_from(&contact));
        phases
    }

    /// What is no text may be a note of the author: it is left out, and the file is read.
    fn read_contact(&mut self, contact: &mut PhaseContact, key: &str, value: Spanned<DeValue<'_>>) {
        let place = value.span();
        let read = match value.into_inner() {
            DeValue::String(text) => contact.set_field(key, text.into_owned()),
            other => Err(format!("`{key}` is {} and is ignored: write a text in quotes", kind_of_value(&other))),
        };
        if let Err(why) = read {
            self.add_warning(&place, why);
        }
    }

    fn read_group(&mut self, name: &str, place: ByteRange, value: DeValue<'_>, phases: &mut Vec<(usize, Phase)>) {
        let DeValue::Array(tables) = value else {
            self.add_error(place, format!("`{name}` is {}: write [[{name}]] before each phase", kind_of_value(&value)));
            return;
        };
        for table in tables {
            let start = table.span();
            match table.into_inner() {
                DeValue::Table(table) => phases.push((start.start, self.read_phase(&start, table))),
                other => {
                    let message = format!("`{name}` has {}: write [[{name}]] before each phase", kind_of_value(&other));
                    self.add_error(start, message);
                }
            }
        }
    }

    fn read_phase(&mut self, place: &ByteRange, table: DeTable<'_>) -> Phase {
        let mut fields = PhaseFields { all: place.clone(), ..PhaseFields::default() };
        // A phase that can be read is judged also when another one can't.
        let others_unreadable = std::mem::take(&mut self.unreadable);
        let mut entries: Vec<_> = table.into_iter().collect();
        // The last of a repeated key counts, as it is written.
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let key_place = key.span();
            let name = key.into_inner();
            let field = match name.to_ascii_lowercase().as_str() {
                "task" => &mut fields.task,
                "dependson" | "depends_on" => {
                    if fields.depends_on.is_some() {
                        self.warn_of_second(&key_place, &name);
                    }
                    self.read_parents(&name, value, &mut fields);
                    continue;
                }
                "rule" => &mut fields.rule,
                "template" => &mut fields.template,
                "retry" => {
                    fields.retry = self.read_retry(&value);
                    continue;
                }
                _ => {
                    match contact_key(&name) {
                        Some(key) => self.read_contact(&mut fields.contact, key, value),
                        None => {
                            self.add_warning(&key_place, format!("`{name}` is unknown{}", what_to_write(&name, &KEYS)));
                        }
                    }
                    continue;
                }
            };
            if field.is_some() {
                self.warn_of_second(&key_place, &name);
            }
            *field = self.text_of(&name, value);
        }
        let mut phase = self.build_phase(&fields);
        if !self.unreadable {
            self.judge_phase(&mut phase, &fields);
        }
        self.unreadable |= others_unreadable;
        phase
    }

    fn warn_of_second(&mut self, place: &ByteRange, name: &str) {
        self.add_warning(place, format!("`{name}` is given twice: the last one is used"));
    }

    /// A text, or a list of texts.
    fn read_parents(&mut self, name: &str, value: Spanned<DeValue<'_>>, fields: &mut PhaseFields) {
        let place = value.span();
        let DeValue::Array(items) = value.get_ref() else {
            fields.parents = None;
            fields.depends_on = self.text_of(name, value);
            return;
        };
        let mut parents = Vec::with_capacity(items.len());
        for item in items {
            match item.get_ref() {
                DeValue::String(text) if !text.is_empty() => parents.push((text.to_string(), item.span())),
                DeValue::String(_) => self.add_error(item.span(), format!("`{name}` has an empty text: write a task")),
                other => {
                    let message = format!("`{name}` has {}: write tasks in quotes", kind_of_value(other));
                    self.add_error(item.span(), message);
                }
            }
        }
        let texts: Vec<&str> = parents.iter().map(|(text, _)| text.as_str()).collect();
        fields.depends_on = Some((texts.join(", "), place));
        fields.parents = Some(parents);
    }

    fn text_of(&mut self, name: &str, value: Spanned<DeValue<'_>>) -> Option<(String, ByteRange)> {
        let place = value.span();
        match value.into_inner() {
            DeValue::String(text) => Some((text.into_owned(), place)),
            other => {
                self.add_error(place, format!("`{name}` is {}: write a text in quotes", kind_of_value(&other)));
                None
            }
        }
    }

    fn read_retry(&mut self, value: &Spanned<DeValue<'_>>) -> u32 {
        let number = match value.get_ref() {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        if let Some(number @ ..0) = number {
            self.add_warning(&value.span(), format!("retry {number} is negative: it counts as 0"));
        }
        let retries = number.and_then(|number| u32::try_from(number.max(0)).ok());
        retries.unwrap_or_else(|| {
            let message = "`retry` is how often a failed task is retried: write a number, like 3";
            self.add_error(value.span(), message);
            0
        })
    }

    fn build_phase(&self, fields: &PhaseFields) -> Phase {
        let [rule_text, task_text, depends_on_text, template] =
            [&fields.rule, &fields.task, &fields.depends_on, &fields.template].map(written_text);
        let rule = Rule::parse(&rule_text, self.zone);
        let mut task = TaskName::parse(&task_text);
        // `topic:` says that there is no job, whatever the rule says.
        if !task_text.contains(':') {
            task.job.clone_from(&rule.job);
        }
        let (line, column) = self.line_and_column(&fields.all);
        let parents = self.parents_of(fields, rule.join.is_written);
        let is_join = !parents.is_empty() && (fields.parents.is_some() || rule.join.is_written);
        let is_plain = !depends_on_text.is_empty() && fields.parents.is_none() && parents.is_empty();
        Phase {
            workflow: self.path.to_owned(),
            task,
            task_text,
            depends_on: is_plain.then(|| TaskName::parse(&depends_on_text)),
            parents,
            is_join,
            depends_on_text,
            rule,
            rule_text,
            retry: fields.retry,
            template,
            contact: fields.contact.clone(),
            line,
            column,
            problems: Vec::new(),
            is_cyclic: false,
            places: PhasePlaces {
                task: self.line_and_column(fields.place_of(&fields.task)),
                depends_on: self.line_and_column(fields.place_of(&fields.depends_on)),
                template: self.line_and_column(fields.place_of(&fields.template)),
            },
        }
    }

    /// What a join waits for, or a phase of another file.
    fn parents_of(&self, fields: &PhaseFields, is_join: bool) -> Vec<ParentName> {
        let written: Vec<&(String, ByteRange)> = match (&fields.parents, &fields.depends_on) {
            (Some(list), _) => list.iter().collect(),
            (None, Some(one)) if !one.0.is_empty() && (is_join || split_file(&one.0).is_some()) => vec![one],
            _ => Vec::new(),
        };
        let parents = written.into_iter();
        parents.map(|(text, place)| ParentName::parse(text, self.path, self.line_and_column(place))).collect()
    }

    fn judge_phase(&mut self, phase: &mut Phase, fields: &PhaseFields) {
        if phase.task.topic.is_empty() {
            let message = "the phase has no task: write task = \"topic\" or \"topic:job\"".to_owned();
            self.add_finding(fields.place_of(&fields.task), Severity::Error, message.clone());
            phase.problems.push(message);
        }
        for problem in &phase.rule.problems {
            let place = self.place_within(fields, &fields.rule, place_in_rule(&phase.rule_text, &problem.key));
            self.add_finding(&place, problem.severity, problem.message.clone());
        }
        for lint in lints_of_phase(phase) {
            let place = match lint.at {
                PlaceInPhase::Task(at) => self.place_within(fields, &fields.task, at),
                PlaceInPhase::DependsOn(at) => self.place_within(fields, &fields.depends_on, at),
                PlaceInPhase::Rule(at) => self.place_within(fields, &fields.rule, at),
                PlaceInPhase::Template(at) => self.place_within(fields, &fields.template, at),
            };
            if lint.severity == Severity::Error {
                phase.problems.push(lint.message.clone());
            }
            self.add_finding(&place, lint.severity, lint.message);
        }
        let status = phase.rule.why_never_started(phase.has_parent());
        if let Some(status) = &status
            && !phase.rule.problems.iter().any(|problem| problem.message == *status)
        {
            // Not wrong: its tasks may come by REST, and their retries are found here.
            self.add_warning(fields.place_of(&fields.rule), status.clone());
        }
        phase.problems.extend(status);
        let errors = phase.rule.problems.iter().filter(|problem| problem.severity == Severity::Error);
        let more: Vec<String> =
            errors.map(|p| p.message.clone()).filter(|message| !phase.problems.contains(message)).collect();
        phase.problems.extend(more);
    }

    /// Where the byte `at` of a value is written; where the value is when it is written with escapes.
    fn place_within(&self, fields: &PhaseFields, field: &PhaseField, at: usize) -> ByteRange {
        let Some((value, place)) = field else { return fields.all.clone() };
        let written = self.text.get(place.clone()).unwrap_or_default();
        match written.find(value.as_str()) {
            Some(start) => place.start + start + at..place.end,
            None => place.clone(),
        }
    }
}

type PhaseField = Option<(String, ByteRange)>;

#[derive(Default)]
struct PhaseFields {
    all: ByteRange,
    task: PhaseField,
    depends_on: PhaseField,
    /// The tasks of a list.
    parents: Option<Vec<(String, ByteRange)>>,
    rule: PhaseField,
    template: PhaseField,
    retry: u32,
    contact: PhaseContact,
}

impl PhaseFields {
    /// Where a field is; the whole phase where it has none.
    fn place_of<'a>(&'a self, field: &'a PhaseField) -> &'a ByteRange {
        field.as_ref().map_or(&self.all, |(_, place)| place)
    }
}

/// The key of a contact that is written so, in any case.
fn contact_key(name: &str) -> Option<&'static str> {
    PhaseContact::KEYS.into_iter().find(|key| key.eq_ignore_ascii_case(name))
}

fn written_text(field: &PhaseField) -> String {
    field.as_ref().map(|(text, _)| text.clone()).unwrap_or_default()
}

fn kind_of_value(value: &DeValue<'_>) -> &'static str {
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

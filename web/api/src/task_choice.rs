//! Tasks that one request chooses by a filter: which they are, and whether it is carried out.

use std::collections::BTreeMap;

use flowlord_domain::query::Query;
use flowlord_domain::search::TaskSearch;
use flowlord_domain::{TaskState, Uid};
use flowlord_kernel::Error;
use flowlord_messages::tasks::{FindTasks, TaskFilter};
use flowlord_web_core::extract::from_json;
use flowlord_web_core::params::meant;
use flowlord_web_core::task_query as list;
use serde::de::DeserializeOwned;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{
    AdditionalProperties, AnyOfBuilder, ArrayBuilder, ObjectBuilder, Schema, SchemaType, Type,
};

use crate::prelude::*;

/// How many tasks one request may change; all of them are in memory before the first is stored.
pub(crate) const MAX_CHOSEN: usize = 10_000;
/// Tasks that are read, or stored, at a time.
pub(crate) const CHOICE_STEP: usize = 500;
/// How many of them the answer shows.
pub(crate) const MAX_SHOWN: usize = 1_000;
/// What may choose them.
const FILTERS: &[&str] = &["date", "from", "to", "type", "job", "result", "state", "id", "retry", "q"];

/// What a request chooses, and what else it says.
pub(crate) struct TaskChoice {
    pub(crate) filter: TaskFilter,
    search: TaskSearch,
    pub(crate) execute: bool,
    others: BTreeMap<String, Value>,
}

impl TaskChoice {
    /// The filter may stand in the body, in the query string, or in both; `others` are the fields that aren't part of it.
    pub(crate) fn read(body: &[u8], query: &str, example: &str, others: &[&str]) -> Result<Self, Problem> {
        let mut fields: BTreeMap<String, Value> = object(body, example)?;
        let known = [FILTERS, &["execute"], others].concat();
        // The parameters are checked below, but their error would name a parameter where this is a field.
        if let Some(name) = fields.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(Problem::invalid(format!("unknown field `{name}`: {}", meant(name, &known))));
        }
        let mut params = Query::parse_lenient(query);
        for (name, value) in fields.iter().filter(|(name, _)| FILTERS.contains(&name.as_str())) {
            for value in texts(name, value)? {
                params.push_pair(name, value);
            }
        }
        fields.retain(|name, _| !FILTERS.contains(&name.as_str()));
        let params = QueryParams::parse(&params.to_text(), FILTERS)?;
        let (filter, search) = (list::filter(&params)?, list::search(&params)?);
        let mut choice = Self { filter, search, execute: false, others: fields };
        choice.execute = choice.other("execute", "true or false")?.unwrap_or_default();
        // An empty filter is most likely a mistake, and would choose all tasks.
        if choice.filter == TaskFilter::default() && choice.search.terms.is_empty() {
            return Err(Problem::invalid(format!("name the tasks by at least one of {}", FILTERS.join(", "))));
        }
        Ok(choice)
    }

    /// A field that isn't part of the filter.
    pub(crate) fn other<T: DeserializeOwned>(&mut self, name: &str, expected: &str) -> Result<Option<T>, Problem> {
        let Some(value) = self.others.remove(name).filter(|value| !value.is_null()) else { return Ok(None) };
        let read = from_json(value.to_string().as_bytes());
        read.map(Some).map_err(|_| Problem::invalid(format!("`{name}` is {value}: write {expected}")))
    }

    /// The first of its pages, the oldest tasks first.
    pub(crate) fn first_page(&self) -> FindTasks {
        FindTasks { search: self.search.clone(), ..FindTasks::oldest_first(self.filter.clone(), CHOICE_STEP) }
    }

    /// Restricts a choice that names no state to these.
    pub(crate) fn default_states(&mut self, states: &[TaskState]) {
        if self.filter.states.is_empty() {
            self.filter.states = states.to_vec();
        }
    }
}

fn texts<'a>(name: &str, value: &'a Value) -> Result<Vec<&'a str>, Problem> {
    let texts = match value {
        Value::String(text) => Some(vec![text.as_str()]),
        Value::Array(list) => list.iter().map(Value::as_str).collect(),
        _ => None,
    };
    texts.ok_or_else(|| Problem::invalid(format!("`{name}` is {value}: write a text, or a list of texts")))
}

/// Asked after each page: a wide filter would else load the whole history first.
pub(crate) fn refuse_too_many(count: usize) -> Result<(), Problem> {
    if count <= MAX_CHOSEN {
        return Ok(());
    }
    Err(Problem::invalid(format!("these are more than {MAX_CHOSEN} tasks: choose fewer, by from and to")))
}

/// The object that [`TaskChoice::read`] reads, but for the fields that aren't part of the filter.
pub(crate) fn choice_schema() -> ObjectBuilder {
    let text = ObjectBuilder::new().schema_type(Type::String).build();
    let filter: RefOr<Schema> =
        AnyOfBuilder::new().item(text.clone()).item(ArrayBuilder::new().items(text.clone())).into();
    let execute = ObjectBuilder::new()
        .schema_type([Type::Boolean, Type::Null].into_iter().collect::<SchemaType>())
        .description(Some("true carries it out; else it is a dry run"));
    FILTERS
        .iter()
        .fold(ObjectBuilder::new(), |object, name| object.property(*name, filter.clone()))
        .property("q", text)
        .property("execute", execute)
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
}

/// A chosen task that could not be changed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TaskFailure)]
pub(crate) struct ChoiceFailure {
    #[schema(schema_with = limits::uid)]
    uid: Uid,
    code: &'static str,
    detail: String,
}

impl ChoiceFailure {
    pub(crate) fn new(uid: Uid, Error { code, detail }: Error) -> Self {
        Self { uid, code: code.as_str(), detail }
    }
}

pub(crate) fn shown_task(task: &Attempt) -> Result<Value, Problem> {
    serde_json::to_value(TaskView(&task.clone().cut_for_list()))
        .map_err(|err| Problem::new(Code::Internal, format!("the task can't be written: {err}")))
}

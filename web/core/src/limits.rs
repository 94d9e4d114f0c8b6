//! Limits of what clients send, each known once: the checks refuse by them, and the OpenAPI document shows them.

use chrono::TimeDelta;
use flowlord_domain::{LISTED_BYTES, NamedValue, TaskResult};
use utoipa::openapi::schema::{AnyOfBuilder, ArrayBuilder, ObjectBuilder};
use utoipa::openapi::{KnownFormat, SchemaFormat, Type};

/// What the names of topics and jobs are made of, as in a pattern.
const NAME_CHARACTERS: &str = "A-Za-z0-9._-";
pub const MAX_NAME_CHARACTERS: usize = 200;
pub const MAX_WORKER_CHARACTERS: usize = 200;
/// The longest chain id that a client may choose.
pub const MAX_CHAIN_BYTES: usize = 200;
pub const MAX_IDEMPOTENCY_KEY_CHARACTERS: usize = 255;
pub const MAX_TOPICS: usize = 256;
pub const MAX_LEASED_TASKS: u64 = 100;
pub const MAX_PATTERN_CHARACTERS: usize = 200;
pub const MAX_PERSON_CHARACTERS: usize = 200;
pub const MAX_NOTE_CHARACTERS: usize = 1_000;
pub const MAX_TOKEN_NAME_CHARACTERS: usize = 64;
pub const MAX_PAGE_ITEMS: usize = 1_000;
pub const DEFAULT_PAGE_ITEMS: usize = 100;
pub const MAX_FILTER_VALUES: usize = 64;
/// Tasks of a dry run in one answer.
pub const MAX_PLANNED_TASKS: usize = 1_000;

/// The shortest and the longest duration, with how people write them.
#[derive(Debug, Clone, Copy)]
pub struct DurationRange {
    pub least: (TimeDelta, &'static str),
    pub most: (TimeDelta, &'static str),
}

const ZERO: (TimeDelta, &str) = (TimeDelta::zero(), "0s");
pub const LEASE_RANGE: DurationRange =
    DurationRange { least: (TimeDelta::seconds(5), "5s"), most: (TimeDelta::hours(24), "24h") };
/// How long a worker waits for its first task.
pub const WAIT_RANGE: DurationRange = DurationRange { least: ZERO, most: (TimeDelta::minutes(5), "5m") };
/// After how long a released task is ready again.
pub const DELAY_RANGE: DurationRange = DurationRange { least: ZERO, most: (TimeDelta::days(7), "168h") };
/// How long a silence or an acknowledgement holds.
pub const HOLD_RANGE: DurationRange =
    DurationRange { least: (TimeDelta::seconds(1), "1s"), most: (TimeDelta::days(365), "365d") };

/// Matches text on one line, as `char::is_control` has it.
const ONE_LINE: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$";

pub fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-".contains(&byte)
}

fn text_schema() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

pub fn topic_name() -> ObjectBuilder {
    let pattern = format!("^[{NAME_CHARACTERS}]{{1,{MAX_NAME_CHARACTERS}}}$");
    text_schema().pattern(Some(pattern)).description(Some("the topic"))
}

pub fn job_name() -> ObjectBuilder {
    let pattern = format!("^[{NAME_CHARACTERS}]{{0,{MAX_NAME_CHARACTERS}}}$");
    text_schema().pattern(Some(pattern)).description(Some("the job within the topic"))
}

pub fn topic_filters() -> ArrayBuilder {
    let name = format!("[{NAME_CHARACTERS}]{{1,{MAX_NAME_CHARACTERS}}}");
    ArrayBuilder::new()
        .items(text_schema().pattern(Some(format!("^{name}(:{name})?$"))))
        .min_items(Some(1))
        .max_items(Some(MAX_TOPICS))
        .description(Some("topics, or jobs of topics"))
}

pub fn worker_name() -> ObjectBuilder {
    let says = "a name that tells this worker from others, on one line";
    one_line(MAX_WORKER_CHARACTERS, says).min_length(Some(1))
}

pub fn person_name() -> ObjectBuilder {
    one_line(MAX_PERSON_CHARACTERS, "who says it, on one line; whose token it is unless given")
}

pub fn alert_pattern() -> ObjectBuilder {
    let says = "on one line; `*` stands for any text, `?` for any one character";
    one_line(MAX_PATTERN_CHARACTERS, says)
}

fn one_line(max_characters: usize, says: &str) -> ObjectBuilder {
    text_schema().max_length(Some(max_characters)).pattern(Some(ONE_LINE)).description(Some(says))
}

pub fn note() -> ObjectBuilder {
    text_schema().max_length(Some(MAX_NOTE_CHARACTERS))
}

pub fn reason() -> ObjectBuilder {
    text_schema().min_length(Some(1)).max_length(Some(MAX_NOTE_CHARACTERS)).pattern(Some("\\S"))
}

pub fn chain_id() -> ObjectBuilder {
    let says = format!("the chain, at most {MAX_CHAIN_BYTES} bytes; a new one unless given");
    text_schema().max_length(Some(MAX_CHAIN_BYTES)).description(Some(says))
}

pub fn token_name() -> ObjectBuilder {
    text_schema().pattern(Some(format!("^[A-Za-z0-9._@-]{{1,{MAX_TOKEN_NAME_CHARACTERS}}}$")))
}

pub fn idempotency_key() -> ObjectBuilder {
    // Visible ASCII, as header values have it.
    let pattern = format!("^[ -~]{{1,{MAX_IDEMPOTENCY_KEY_CHARACTERS}}}$");
    text_schema().pattern(Some(pattern))
}

pub fn leased_tasks() -> ObjectBuilder {
    whole_number(MAX_LEASED_TASKS, 1, "how many tasks at most")
}

pub fn page_items() -> ObjectBuilder {
    whole_number(MAX_PAGE_ITEMS as u64, DEFAULT_PAGE_ITEMS as u64, "how many at most")
}

pub fn planned_tasks() -> ObjectBuilder {
    whole_number(MAX_PLANNED_TASKS as u64, MAX_PLANNED_TASKS as u64, "how many tasks of a dry run are shown")
}

fn whole_number(most: u64, default: u64, says: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1))
        .maximum(Some(most))
        .default(Some(default.into()))
        .description(Some(says))
}

pub fn lease_time() -> AnyOfBuilder {
    duration(LEASE_RANGE, "how long the lease lasts; `tasks.lease`, or what was asked for last, unless given")
}

pub fn wait_time() -> AnyOfBuilder {
    duration(WAIT_RANGE, "how long to wait for the first task; 0s unless given")
}

pub fn delay() -> AnyOfBuilder {
    duration(DELAY_RANGE, "after how long the task is ready again; 0s unless given")
}

pub fn hold_time() -> AnyOfBuilder {
    duration(HOLD_RANGE, "how long it holds")
}

fn duration(DurationRange { least, most }: DurationRange, says: &str) -> AnyOfBuilder {
    let seconds = ObjectBuilder::new().schema_type(Type::Number);
    AnyOfBuilder::new()
        .description(Some(format!("{says}; from {} to {}, and a number is seconds", least.1, most.1)))
        .item(text_schema().pattern(Some("^([0-9]+(\\.[0-9]+)?(ns|us|µs|ms|s|m|h|d))+$")))
        .item(seconds.minimum(Some(least.0.num_seconds())).maximum(Some(most.0.num_seconds())))
}

/// The beginnings of long texts are shown in lists; there when one was cut.
pub fn truncated() -> ObjectBuilder {
    let says = format!("a list has the first {LISTED_BYTES} bytes of it; the task on its own has all");
    ObjectBuilder::new().schema_type(Type::Boolean).enum_values(Some([true])).description(Some(says))
}

pub fn uid() -> ObjectBuilder {
    text_schema().pattern(Some("^[0-9a-f]{14}$"))
}

pub fn one_of<const N: usize>(values: [&'static str; N]) -> ObjectBuilder {
    text_schema().enum_values(Some(values))
}

pub fn task_result() -> ObjectBuilder {
    one_of(TaskResult::ALL.map(TaskResult::as_str))
}

pub fn names_of<T: NamedValue>() -> Vec<&'static str> {
    T::VALUES.iter().map(|value| value.name()).collect()
}

/// The name of a value.
pub fn named<T: NamedValue>() -> ObjectBuilder {
    text_schema().enum_values(Some(names_of::<T>()))
}

pub fn time() -> ObjectBuilder {
    text_schema().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
}

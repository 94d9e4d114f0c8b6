//! How routes are described, in the order in which people read it: what it is about, what is sent, what is answered.

use flowlord_kernel::Code;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::operation::{Operation, Parameter, ParameterPlace, RequestBody, SchemaOf, SuccessAnswer};
use super::schemas::{SchemaRegistry, json_of};
use super::values::page_example;
use crate::extract::MAX_BODY;
use crate::limits;
use crate::route::Route;

const READS_BODY: &[Code] =
    &[Code::InvalidJson, Code::InvalidRequest, Code::RequestTimeout, Code::TooLarge, Code::UnsupportedMediaType];

const JSON: &str = "application/json";

/// What the OpenAPI document says; pages have none.
impl Route {
    /// Its tag is one of [`super::TAGS`].
    pub fn about(self, tag: &'static str, summary: &'static str) -> Self {
        self.describe(|operation| (operation.tag, operation.summary) = (tag, summary))
    }

    pub fn says(self, says: &'static str) -> Self {
        self.describe(|operation| operation.says = says)
    }

    pub fn asks_nobody(self) -> Self {
        self.describe(|operation| operation.asks = false)
    }

    pub fn fails(self, codes: &[Code]) -> Self {
        self.describe(|operation| operation.add_codes(codes))
    }

    pub fn path(self, name: &'static str, says: &'static str, example: &'static str) -> Self {
        let schema = json!({"type": "string", "minLength": 1});
        self.parameter(Parameter { place: ParameterPlace::Path, name, says, schema, example: Some(example) })
    }

    pub fn query(self, name: &'static str, says: &'static str, schema: Value) -> Self {
        self.parameter(Parameter { place: ParameterPlace::Query, name, says, schema, example: None })
    }

    pub fn header(self, name: &'static str, says: &'static str, schema: Value) -> Self {
        self.parameter(Parameter { place: ParameterPlace::Header, name, says, schema, example: None })
    }

    fn parameter(self, parameter: Parameter) -> Self {
        self.describe(|operation| operation.parameters.push(parameter))
    }

    pub fn pages(self) -> Self {
        self.query("limit", "how many at most", json_of(limits::page_items()))
            .query("cursor", "where to go on: `next` of the answer before", json!({"type": "string"}))
            .fails(&[Code::InvalidRequest])
    }

    pub fn body<T: ToSchema>(self, says: &'static str, example: Value) -> Self {
        self.body_of(says, SchemaRegistry::one::<T>, example)
    }

    pub fn optional_body<T: ToSchema>(self, says: &'static str, example: Value) -> Self {
        self.body::<T>(says, example).change_body(|body| body.is_required = false)
    }

    /// A body of another form than that of one type.
    pub fn body_of(self, says: &'static str, schema: SchemaOf, example: Value) -> Self {
        self.pushed_body(says, example).fails(READS_BODY).change_body(|body| {
            (body.schema, body.max_bytes) = (schema, Some(MAX_BODY));
        })
    }

    pub fn text_body(self, says: &'static str, example: &str) -> Self {
        self.body_of(says, text_schema, json!(example)).change_body(|body| body.media = "text/plain")
    }

    /// A body of which nothing is refused, but for the time that it takes.
    pub fn pushed_body(self, says: &'static str, example: Value) -> Self {
        let body =
            RequestBody { says, media: JSON, schema: |_| json!({}), example, is_required: true, max_bytes: None };
        self.describe(|operation| operation.body = Some(body))
    }

    pub fn up_to(self, max_bytes: usize) -> Self {
        self.change_body(|body| body.max_bytes = Some(max_bytes))
    }

    fn change_body(self, change: impl FnOnce(&mut RequestBody)) -> Self {
        self.describe(|operation| operation.body.as_mut().map_or((), change))
    }

    pub fn answers<T: ToSchema>(self, status: u16, says: &'static str, example: Value) -> Self {
        self.answers_of(status, says, SchemaRegistry::one::<T>, example)
    }

    /// A page of a list.
    pub fn lists<T: ToSchema>(self, says: &'static str, item: Value) -> Self {
        self.answers_of(200, says, SchemaRegistry::list::<T>, page_example(item))
    }

    /// A page of a list that says how far it came.
    pub fn lists_looked<T: ToSchema>(self, says: &'static str, item: Value) -> Self {
        self.answers_of(200, says, SchemaRegistry::looked_list::<T>, page_example(item))
    }

    /// An object of which nothing more is said.
    pub fn answers_object(self, status: u16, says: &'static str, example: Value) -> Self {
        self.answers_of(status, says, |_| json!({"type": "object"}), example)
    }

    /// An answer of another form than that of one type.
    pub fn answers_of(self, status: u16, says: &'static str, schema: SchemaOf, example: Value) -> Self {
        self.success(SuccessAnswer { status, says, content: vec![(JSON, schema)], example })
    }

    pub fn answers_text(self, status: u16, says: &'static str, types: &[&'static str], example: &str) -> Self {
        let content = types.iter().map(|kind| (*kind, text_schema as SchemaOf)).collect();
        self.success(SuccessAnswer { status, says, content, example: json!(example) })
    }

    fn success(self, answer: SuccessAnswer) -> Self {
        self.describe(|operation| operation.successes.push(answer))
    }

    /// The same answer in another form.
    pub fn or_as(self, kind: &'static str, schema: SchemaOf) -> Self {
        self.describe(|operation| {
            if let Some(success) = operation.successes.last_mut() {
                success.content.push((kind, schema));
            }
        })
    }

    fn describe(mut self, describe: impl FnOnce(&mut Operation)) -> Self {
        let (path, role) = (self.path, self.role);
        describe(self.operation.get_or_insert_with(|| Operation::new(path, role)));
        self
    }
}

pub fn text_schema(_: &mut SchemaRegistry) -> Value {
    json!({"type": "string"})
}

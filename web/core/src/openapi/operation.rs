//! One request that can be made, and every answer to it.

use actix_web::http::Method;
use flowlord_domain::Role;
use flowlord_kernel::Code;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::schemas::json_of;
use crate::extract::MAX_BODY;
use crate::limits;
use crate::route::{ANYONE, RequiredRole};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ParameterPlace {
    Path,
    Query,
    Header,
}

#[derive(Debug, Clone)]
pub struct Parameter {
    pub place: ParameterPlace,
    pub name: &'static str,
    pub says: &'static str,
    schema: Value,
    pub example: Option<&'static str>,
}

#[derive(Debug, Clone)]
pub struct RequestBody {
    pub says: &'static str,
    schema: Value,
    pub example: Value,
    is_required: bool,
    /// None where nothing that is sent is refused.
    max_bytes: Option<usize>,
}

/// An answer that isn't a problem.
#[derive(Debug, Clone)]
pub struct SuccessAnswer {
    pub status: u16,
    pub says: &'static str,
    content: Vec<(&'static str, Value)>,
    pub example: Value,
}

#[derive(Debug, Clone)]
pub struct Operation {
    pub method: &'static str,
    /// Without what its parameters must look like: `{file:.*}` is `{file}`.
    pub path: String,
    /// The role that it needs.
    pub role: RequiredRole,
    pub tag: &'static str,
    pub summary: &'static str,
    pub says: &'static str,
    pub parameters: Vec<Parameter>,
    pub body: Option<RequestBody>,
    pub successes: Vec<SuccessAnswer>,
    pub codes: Vec<Code>,
}

/// What any request may be answered that needs a token.
const GUARDED: &[Code] = &[Code::Unauthorized, Code::Forbidden, Code::ForbiddenOrigin, Code::TooManyAttempts];
const ASKS: &[Code] = &[Code::Internal, Code::Busy, Code::Timeout, Code::Stopping, Code::Storage];
const READS_BODY: &[Code] = &[Code::InvalidJson, Code::RequestTimeout, Code::TooLarge, Code::UnsupportedMediaType];

pub fn schema(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

impl Operation {
    pub fn new(method: &Method, pattern: &str, role: RequiredRole) -> Self {
        let method = match *method {
            Method::POST => "post",
            Method::DELETE => "delete",
            _ => "get",
        };
        let codes = if role == ANYONE { &[Code::ForbiddenOrigin] } else { GUARDED };
        Self {
            method,
            path: plain_path(pattern),
            role,
            tag: "",
            summary: "",
            says: "",
            parameters: Vec::new(),
            body: None,
            successes: Vec::new(),
            codes: codes.to_vec(),
        }
    }

    /// Its tag is one of [`super::TAGS`].
    pub fn about(self, tag: &'static str, summary: &'static str) -> Self {
        Self { tag, summary, ..self }
    }

    pub fn says(self, says: &'static str) -> Self {
        Self { says, ..self }
    }

    /// It asks an actor, which may have too much to do.
    pub fn asks(self) -> Self {
        self.fails(ASKS)
    }

    pub fn fails(mut self, codes: &[Code]) -> Self {
        for code in codes {
            if !self.codes.contains(code) {
                self.codes.push(*code);
            }
        }
        self
    }

    pub fn path(self, name: &'static str, says: &'static str, example: &'static str) -> Self {
        let schema = json!({"type": "string", "minLength": 1});
        self.with_parameter(ParameterPlace::Path, name, says, schema, Some(example))
    }

    pub fn query(self, name: &'static str, says: &'static str, schema: Value) -> Self {
        self.with_parameter(ParameterPlace::Query, name, says, schema, None)
    }

    pub fn header(self, name: &'static str, says: &'static str, schema: Value) -> Self {
        self.with_parameter(ParameterPlace::Header, name, says, schema, None)
    }

    fn with_parameter(
        mut self,
        place: ParameterPlace,
        name: &'static str,
        says: &'static str,
        schema: Value,
        example: Option<&'static str>,
    ) -> Self {
        self.parameters.push(Parameter { place, name, says, schema, example });
        self
    }

    pub fn pages(self) -> Self {
        self.query("limit", "how many at most", json_of(limits::page_items()))
            .query("cursor", "where to go on: `next` of the answer before", json!({"type": "string"}))
            .fails(&[Code::InvalidRequest])
    }

    pub fn body(self, says: &'static str, schema: Value, example: Value) -> Self {
        let body = RequestBody { max_bytes: Some(MAX_BODY), ..RequestBody::new(says, schema, example) };
        Self { body: Some(body), ..self }.fails(READS_BODY)
    }

    /// A body of which nothing is refused, but for the time that it takes.
    pub fn pushed_body(self, says: &'static str, example: Value) -> Self {
        Self { body: Some(RequestBody::new(says, json!({}), example)), ..self }
    }

    pub fn up_to(self, max_bytes: usize) -> Self {
        let body = self.body.map(|body| RequestBody { max_bytes: Some(max_bytes), ..body });
        Self { body, ..self }
    }

    pub fn optional_body(self, says: &'static str, schema: Value, example: Value) -> Self {
        let this = self.body(says, schema, example);
        let body = this.body.map(|body| RequestBody { is_required: false, ..body });
        Self { body, ..this }
    }

    pub fn answers(mut self, status: u16, says: &'static str, schema: Value, example: Value) -> Self {
        let content = vec![("application/json", schema)];
        self.successes.push(SuccessAnswer { status, says, content, example });
        self
    }

    pub fn answers_text(mut self, status: u16, says: &'static str, types: &[&'static str], example: &str) -> Self {
        let content = types.iter().map(|kind| (*kind, json!({"type": "string"}))).collect();
        self.successes.push(SuccessAnswer { status, says, content, example: json!(example) });
        self
    }

    /// The same answer in another form.
    pub fn or_as(mut self, kind: &'static str, schema: Value) -> Self {
        if let Some(success) = self.successes.last_mut() {
            success.content.push((kind, schema));
        }
        self
    }

    pub fn example_path(&self) -> String {
        // Only those of the path have braces in it.
        self.parameters.iter().fold(self.path.clone(), |path, parameter| {
            path.replace(&format!("{{{}}}", parameter.name), parameter.example.unwrap_or("x"))
        })
    }

    /// Every status that it may answer.
    pub fn statuses(&self) -> Vec<u16> {
        let problems = self.codes.iter().map(|code| code.status());
        let mut all: Vec<u16> = self.successes.iter().map(|success| success.status).chain(problems).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    pub fn document(&self) -> Value {
        let mut answers = Map::new();
        for status in self.statuses() {
            let success = self.successes.iter().find(|success| success.status == status);
            let answer = success.map_or_else(|| self.problem_answer(status), SuccessAnswer::document);
            answers.insert(status.to_string(), answer);
        }
        let id: Vec<&str> = self.path.split(['/', '{', '}', '.']).filter(|part| !part.is_empty()).collect();
        let mut document = json!({
            "tags": [self.tag],
            "summary": self.summary,
            "operationId": format!("{}_{}", self.method, id.join("_")),
            "responses": answers,
        });
        let role = if self.role == ANYONE { String::new() } else { format!("Needs the role {}.", self.role) };
        let description = format!("{} {role}", self.says);
        if !description.trim().is_empty() {
            document["description"] = json!(description.trim());
        }
        if !self.parameters.is_empty() {
            document["parameters"] = self.parameters.iter().map(Parameter::document).collect();
        }
        if let Some(body) = &self.body {
            document["requestBody"] = body.document();
        }
        document["security"] = match self.role {
            // A push token stands in the address.
            RequiredRole::Anyone | RequiredRole::Only(Role::Push) => json!([]),
            _ => json!([{"token": []}, {"session": []}, {}]),
        };
        document
    }

    fn problem_answer(&self, status: u16) -> Value {
        let codes: Vec<Code> = self.codes.iter().filter(|code| code.status() == status).copied().collect();
        let says: Vec<String> =
            codes.iter().map(|code| format!("`{}`: {}", code.as_str(), code.title().to_lowercase())).collect();
        let examples: Map<String, Value> =
            codes.iter().map(|code| (code.as_str().to_owned(), json!({"value": problem_example(*code)}))).collect();
        let mut answer = json!({
            "description": says.join("; "),
            "content": {"application/problem+json": {"schema": schema("Problem"), "examples": examples}},
        });
        if codes.iter().any(|code| code.retry_after().is_some()) {
            let seconds = json!({"type": "integer", "minimum": 1});
            answer["headers"] = json!({"Retry-After": {"description": "seconds to wait", "schema": seconds}});
        }
        answer
    }
}

fn plain_path(pattern: &str) -> String {
    let mut plain = String::new();
    let mut in_pattern = false;
    for c in pattern.chars() {
        in_pattern = (in_pattern || c == ':') && c != '}';
        if !in_pattern {
            plain.push(c);
        }
    }
    plain
}

fn problem_example(code: Code) -> Value {
    json!({
        "type": format!("/api/docs/errors#{}", code.as_str()),
        "title": code.title(),
        "status": code.status(),
        "detail": "what happened, and what to change",
        "code": code.as_str(),
        "request_id": "6512e7a9c4-1f",
    })
}

impl Parameter {
    fn document(&self) -> Value {
        let mut document = json!({
            "name": self.name,
            "in": self.place,
            "description": self.says,
            "required": self.place == ParameterPlace::Path,
            "schema": self.schema,
        });
        if self.schema["type"] == "array" {
            // Repeated or comma-separated: both are read.
            document["style"] = json!("form");
            document["explode"] = json!(true);
        }
        if let Some(example) = self.example {
            document["example"] = json!(example);
        }
        document
    }
}

impl RequestBody {
    fn new(says: &'static str, schema: Value, example: Value) -> Self {
        Self { says, schema, example, is_required: true, max_bytes: None }
    }

    fn document(&self) -> Value {
        let mut document = json!({
            "description": self.says,
            "required": self.is_required,
            "content": {"application/json": {"schema": self.schema, "example": self.example}},
        });
        if let Some(max_bytes) = self.max_bytes {
            document["description"] = json!(format!("{}; at most {} MiB", self.says, max_bytes >> 20));
            document["x-max-bytes"] = json!(max_bytes);
        }
        document
    }
}

impl SuccessAnswer {
    fn document(&self) -> Value {
        let mut content = Map::new();
        for (kind, schema) in &self.content {
            content.insert((*kind).to_owned(), json!({"schema": schema}));
        }
        // The example is of the first form.
        if let Some((kind, _)) = self.content.first() {
            content[*kind]["example"] = self.example.clone();
        }
        json!({"description": self.says, "content": content})
    }
}

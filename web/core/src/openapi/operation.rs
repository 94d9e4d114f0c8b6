//! One request that can be made, and every answer to it.

use actix_web::http::Method;
use flowlord_domain::Role;
use flowlord_kernel::Code;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::schemas::{SchemaRegistry, reference_to};
use crate::problem::ProblemDocument;
use crate::route::{ANYONE, RequiredRole, RouteClass};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ParameterPlace {
    Path,
    Query,
    Header,
}

/// Makes a schema, and adds those that it refers to.
// Only when the document is asked for: routes are made whenever the service starts.
pub type SchemaOf = fn(&mut SchemaRegistry) -> Value;

#[derive(Debug, Clone)]
pub struct Parameter {
    pub place: ParameterPlace,
    pub name: &'static str,
    pub says: &'static str,
    pub(super) schema: Value,
    pub example: Option<&'static str>,
}

#[derive(Debug, Clone)]
pub struct RequestBody {
    pub says: &'static str,
    pub media: &'static str,
    pub(super) schema: SchemaOf,
    pub example: Value,
    pub(super) is_required: bool,
    /// None where nothing that is sent is refused.
    pub(super) max_bytes: Option<usize>,
}

/// An answer that isn't a problem.
#[derive(Debug, Clone)]
pub struct SuccessAnswer {
    pub status: u16,
    pub says: &'static str,
    pub(super) content: Vec<(&'static str, SchemaOf)>,
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
    /// Whether it asks an actor, which may have too much to do.
    pub(super) asks: bool,
}

/// What any request may be answered that needs a token.
const GUARDED: &[Code] = &[Code::Unauthorized, Code::Forbidden, Code::ForbiddenOrigin, Code::TooManyAttempts];
const ASKS: &[Code] = &[Code::Internal, Code::Busy, Code::Timeout, Code::Stopping, Code::NotLeader, Code::Storage];

impl Operation {
    pub(crate) fn new(pattern: &str, role: RequiredRole) -> Self {
        let codes = if role == ANYONE { &[Code::ForbiddenOrigin] } else { GUARDED };
        Self {
            method: "",
            path: plain_path(pattern),
            role,
            tag: "",
            summary: "",
            says: "",
            parameters: Vec::new(),
            body: None,
            successes: Vec::new(),
            codes: codes.to_vec(),
            asks: true,
        }
    }

    /// The same as one method of its route has it.
    pub(crate) fn of_method(&self, method: &Method, class: RouteClass) -> Self {
        let method = match *method {
            Method::POST => "post",
            Method::DELETE => "delete",
            _ => "get",
        };
        let mut operation = Self { method, ..self.clone() };
        // What watches the service is answered whatever its actors do.
        if operation.asks && class != RouteClass::Watch {
            operation.add_codes(ASKS);
        }
        operation
    }

    pub(super) fn add_codes(&mut self, codes: &[Code]) {
        for code in codes {
            if !self.codes.contains(code) {
                self.codes.push(*code);
            }
        }
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

    pub fn document(&self, schemas: &mut SchemaRegistry) -> Value {
        let mut answers = Map::new();
        for status in self.statuses() {
            let success = self.successes.iter().find(|success| success.status == status);
            let answer = match success {
                Some(success) => success.document(schemas),
                None => self.problem_answer(status),
            };
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
            document["requestBody"] = body.document(schemas);
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
            "content": {"application/problem+json": {"schema": reference_to::<ProblemDocument<'_>>(), "examples": examples}},
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
    fn document(&self, schemas: &mut SchemaRegistry) -> Value {
        let mut document = json!({
            "description": self.says,
            "required": self.is_required,
            "content": {self.media: {"schema": (self.schema)(schemas), "example": self.example}},
        });
        if let Some(max_bytes) = self.max_bytes {
            document["description"] = json!(format!("{}; at most {} MiB", self.says, max_bytes >> 20));
            document["x-max-bytes"] = json!(max_bytes);
        }
        document
    }
}

impl SuccessAnswer {
    fn document(&self, schemas: &mut SchemaRegistry) -> Value {
        let mut content = Map::new();
        for (kind, schema) in &self.content {
            content.insert((*kind).to_owned(), json!({"schema": schema(schemas)}));
        }
        // The example is of the first form.
        if let Some((kind, _)) = self.content.first() {
            content[*kind]["example"] = self.example.clone();
        }
        json!({"description": self.says, "content": content})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Route;

    async fn nothing() -> &'static str {
        ""
    }

    fn operation(route: Route) -> Operation {
        let table = crate::route::RouteTable::new(vec![route.about("work", "A test")]);
        table.operations().remove(0)
    }

    #[test]
    fn what_asks_an_actor_may_find_it_busy_and_what_watches_may_not() {
        let route = || Route::get("/x/{name:.*}/{change:on|off}", Role::Viewer, nothing);
        let asks = operation(route());
        assert_eq!(asks.path, "/x/{name}/{change}");
        assert!(asks.codes.contains(&Code::Busy) && asks.codes.contains(&Code::Unauthorized), "{:?}", asks.codes);
        for quiet in [operation(route().class(RouteClass::Watch)), operation(route().asks_nobody())] {
            assert_eq!(quiet.codes, GUARDED);
        }
        let open = operation(Route::get("/x", ANYONE, nothing).asks_nobody());
        assert_eq!(
            (open.codes.as_slice(), open.document(&mut SchemaRegistry::default())["security"].clone()),
            ([Code::ForbiddenOrigin].as_slice(), json!([]))
        );
    }

    #[test]
    fn an_example_path_has_the_examples_of_its_parameters() {
        let route = Route::post("/x/{id}/{other}", Role::Operator, nothing).path("id", "its number", "7");
        assert_eq!(operation(route).example_path(), "/x/7/{other}");
    }

    #[test]
    fn a_body_brings_its_refusals_and_is_bounded() {
        let route = Route::post("/x", Role::Operator, nothing).body_of("it", |_| json!({}), json!({}));
        let bounded = operation(route);
        assert_eq!(bounded.statuses().iter().filter(|status| [400, 408, 413, 415].contains(status)).count(), 4);
        let described = &bounded.document(&mut SchemaRegistry::default())["requestBody"];
        assert_eq!((&described["x-max-bytes"], &described["required"]), (&json!(1_048_576), &json!(true)));
        let pushed = operation(Route::post("/x", Role::Push, nothing).pushed_body("it", json!({})));
        let described = pushed.document(&mut SchemaRegistry::default());
        assert!(described["requestBody"].get("x-max-bytes").is_none() && !pushed.statuses().contains(&413));
        assert_eq!(described["security"], json!([]), "its token stands in the address");
    }
}

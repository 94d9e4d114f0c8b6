//! What workers ask, and how tasks come to be.

use flowlord_messages::Code;
use serde_json::json;

use super::operation::{Operation, list_of, schema};

const LEASE: &str = "the `lease` that came with the task";
const EXAMPLE_LEASE: &str = "064c0953867001-000000000000feed";

pub(super) fn operations() -> Vec<Operation> {
    vec![lease(), heartbeat(), result(), release(), results(), create(), pushed_files(), pushed_results()]
}

fn lease() -> Operation {
    Operation::post("/api/v1/lease", "work", "Take tasks")
        .says("Waits up to `wait` for the first task, then answers at once with what there is; an empty list at the end of the wait.")
        .body("which topics, and for how long", schema("Lease"), json!({"topics": ["load", "report:daily"], "worker": "w1", "max": 10, "wait": "0s"}))
        .answers(200, "tasks, each with its lease", schema("Leased"), json!({"tasks": [{
            "lease": EXAMPLE_LEASE, "expires": "2026-03-02T12:01:00Z", "attempt": 1,
            "task": {"type": "load", "info": "?date=2026-03-02", "created": "2026-03-02T12:00:00.000001Z", "id": "chain-1", "uid": "064c0953867001"},
        }]}))
        .fails(&[Code::InvalidRequest, Code::InvalidTopic, Code::TooManyRequests])
        .asks()
}

fn heartbeat() -> Operation {
    Operation::post("/api/v1/lease/{lease}/heartbeat", "work", "Go on with a task")
        .says("Extends the lease, and tells how far the worker is.")
        .path("lease", LEASE, EXAMPLE_LEASE)
        .optional_body("how far it is", schema("Heartbeat"), json!({"progress": 0.4, "msg": "half way"}))
        .answers(
            200,
            "extended",
            schema("Extended"),
            json!({"expires": "2026-03-02T12:02:00Z", "cancel": false}),
        )
        .fails(&[Code::InvalidRequest, Code::LeaseUnknown, Code::LeaseLost])
        .asks()
}

fn result() -> Operation {
    Operation::post("/api/v1/lease/{lease}/result", "work", "End a task")
        .says("Answered once the result and all that follows from it are on disk. The same again is `duplicate`.")
        .path("lease", LEASE, EXAMPLE_LEASE)
        .body("how it ended", schema("Result"), json!({"result": "complete", "msg": "5 rows", "meta": {"rows": 5}}))
        .answers(200, "taken", schema("Accepted"), json!({"accepted": true, "duplicate": false}))
        .fails(&[Code::InvalidRequest, Code::LeaseUnknown, Code::TaskUnknown, Code::LeaseLost, Code::AlreadyFinished])
        .asks()
}

fn release() -> Operation {
    Operation::post("/api/v1/lease/{lease}/release", "work", "Give a task back")
        .says("It is ready again after `delay`; the attempt isn't counted.")
        .path("lease", LEASE, EXAMPLE_LEASE)
        .optional_body("how long to wait", schema("Release"), json!({"delay": "10s"}))
        .answers(200, "given back", schema("Released"), json!({"released": true}))
        .fails(&[Code::InvalidRequest, Code::LeaseUnknown, Code::LeaseLost])
        .asks()
}

fn results() -> Operation {
    let item = json!({"allOf": [schema("Result"), {"type": "object", "properties": {
        "lease": {"type": "string"}, "uid": {"type": "string"}, "type": {"type": "string"}, "job": {"type": "string"},
        "id": {"type": "string"}, "created": {"type": "string"},
    }}]});
    Operation::post("/api/v1/results", "work", "End many tasks")
        .says("An array, or one JSON value a line (`application/x-ndjson`): results under a lease, or done tasks in Task JSON. Each is judged alone. A done task that nobody created here is recorded, with all that follows from it. The body may be in the envelope of a Pub/Sub or SNS push.")
        .query("adopt", "`false` rejects done tasks that nobody created here", json!({"type": "boolean"}))
        .body("results", json!({"type": "array", "items": item}), json!([{"lease": EXAMPLE_LEASE, "result": "complete"}]))
        .answers(200, "what became of each", schema("Results"), json!({"accepted": 1, "duplicates": 0, "rejected": []}))
        .fails(&[Code::InvalidRequest])
        .asks()
}

const PUSHED: &str = "For senders that can set nothing but an address. What is refused for good is answered 200 with `rejected`, since such a sender sends again whatever isn't answered by 2xx.";

/// A token of the role push, as a test knows it.
pub(crate) const EXAMPLE_PUSH_TOKEN: &str = "flw_5e3d";

fn pushed(path: &'static str, summary: &'static str) -> Operation {
    Operation::post(path, "work", summary)
        .says(PUSHED)
        .path("token", "a token of the role push, which is good for nothing else", EXAMPLE_PUSH_TOKEN)
        .fails(&[Code::NotFound, Code::RequestTimeout])
        .asks()
}

fn pushed_files() -> Operation {
    let answer = json!({"anyOf": [{"type": "object", "required": ["event", "path", "phases", "tasks"]}, schema("Results")]});
    pushed("/hooks/{token}/files", "A file arrived, told by a push")
        .pushed_body("an event, as for `/api/v1/files`", json!({"path": "/srv/in/a.csv", "size": 5}))
        .answers(
            200,
            "recorded, or rejected",
            answer,
            json!({"event": 7, "path": "/srv/in/a.csv", "phases": [], "tasks": []}),
        )
}

fn pushed_results() -> Operation {
    pushed("/hooks/{token}/results", "End many tasks, told by a push")
        .query("adopt", "`false` rejects done tasks that nobody created here", json!({"type": "boolean"}))
        .pushed_body(
            "results, as for `/api/v1/results`",
            json!([{"lease": EXAMPLE_LEASE, "result": "complete"}]),
        )
        .answers(
            200,
            "what became of each",
            schema("Results"),
            json!({"accepted": 1, "duplicates": 0, "rejected": []}),
        )
}

fn create() -> Operation {
    let one_or_many = json!({"anyOf": [schema("NewTask"), {"type": "array", "items": schema("NewTask")}]});
    let stored = json!({"anyOf": [schema("Task"), list_of("Task")]});
    Operation::post("/api/v1/tasks", "work", "Create tasks")
        .says("One task, or an array of which all or none are stored. One is answered as a task, many as a list.")
        .header("Idempotency-Key", "the same request with the same key is carried out once")
        .body("tasks", one_or_many, json!({"type": "load", "info": "?date=2026-01-15", "meta": {"file": "a.csv"}}))
        .answers(201, "stored", stored, json!({
            "type": "load", "info": "?date=2026-01-15", "created": "2026-03-02T12:00:00.000001Z", "id": "0195c2e0",
            "uid": "064c0953867001", "state": "ready", "attempt": 1, "delivery": 0,
        }))
        .fails(&[Code::InvalidRequest, Code::InvalidTopic, Code::IdempotencyConflict])
        .asks()
}

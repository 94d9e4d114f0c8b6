//! Tasks, workflows, files and backloads: looked at and changed.

use flowlord_messages::Code;
use serde_json::{Value, json};

use super::operation::{Operation, list_of, schema};

pub(super) fn operations() -> Vec<Operation> {
    let mut all = vec![tasks(), task(), chain(), files(), file()];
    all.extend(workflows());
    all.extend(backloads());
    all
}

pub(super) fn texts() -> Value {
    json!({"type": "array", "items": {"type": "string"}, "maxItems": 64})
}

fn one_of(values: &[&str]) -> Value {
    json!({"type": "array", "items": {"type": "string", "enum": values}})
}

pub(super) fn day() -> Value {
    json!({"type": "string", "format": "date"})
}

fn task_example() -> Value {
    json!({
        "type": "load", "job": "daily", "info": "?date=2026-03-02", "created": "2026-03-02T12:00:00.000002Z",
        "id": "chain-1", "result": "error", "msg": "no disk", "started": "2026-03-02T12:00:02Z",
        "ended": "2026-03-02T12:00:05Z", "uid": "064c0953867002", "state": "done", "attempt": 2, "delivery": 1,
        "worker": "w1",
    })
}

fn tasks() -> Operation {
    let sorts =
        ["created", "started", "ended", "type", "job", "result", "info", "meta", "msg", "queue", "run"];
    Operation::get("/api/v1/tasks", "tasks", "Find tasks")
        .says(
            "A page looks at a bounded number of tasks. One that says `looked_until` didn't look at all that may fit, \
             and may hold few or none: `next` goes on there. By `created` the order is that of the whole range; any \
             other `sort` orders pieces of the newest tasks that fit, one piece after the other.",
        )
        .query("date", "a UTC day of creation", day())
        .query("from", "created at or after; a time, or a day", json!({"type": "string"}))
        .query("to", "created before; a time, or a day", json!({"type": "string"}))
        .query("type", "topics", texts())
        .query("job", "jobs", texts())
        .query("result", "how they ended; running: not yet", one_of(&["complete", "error", "warn", "alert", "running"]))
        .query("state", "where they stand", one_of(&["ready", "delayed", "leased", "done"]))
        .query("id", "chains", texts())
        .query("q", "words that must all be there, \"a phrase\", field:value, -not", json!({"type": "string", "maxLength": 1000}))
        .query("sort", "by what", json!({"type": "string", "enum": sorts, "default": "created"}))
        .query("order", "the least first, or the greatest", json!({"type": "string", "enum": ["asc", "desc"], "default": "desc"}))
        .pages()
        .answers(200, "tasks", schema("TaskList"), json!({"items": [task_example()], "next": null}))
        .asks()
}

fn task() -> Operation {
    Operation::get("/api/v1/tasks/{uid}", "tasks", "One attempt")
        .path("uid", "the attempt", "064c0953867001")
        .answers(200, "the attempt", schema("Task"), task_example())
        .fails(&[Code::TaskUnknown])
        .asks()
}

fn chain() -> Operation {
    Operation::get("/api/v1/chains/{id}", "tasks", "All attempts of a chain")
        .says("A task, its retries and its children, oldest first; `parent` says which led to which.")
        .path("id", "the chain", "chain-1")
        .answers(200, "the attempts", list_of("Task"), json!({"items": [task_example()], "next": null}))
        .fails(&[Code::ChainUnknown])
        .asks()
}

fn workflow_example() -> Value {
    json!({"file": "etl/main.toml", "status": "ok", "findings": [], "phases": [{
        "task": "extract:orders", "rule": "cron=0 * * * *", "retry": 2, "template": "?h={hh}", "line": 1,
        "status": "ok", "next": "2026-03-02T13:00:00Z", "children": ["load"],
    }]})
}

fn workflows() -> [Operation; 3] {
    [
        Operation::get("/api/v1/workflows", "workflows", "Workflow files")
            .says("Each with its phases, what its author should know, and when it runs.")
            .answers(
                200,
                "the files",
                list_of("Workflow"),
                json!({"items": [workflow_example()], "next": null}),
            )
            .asks(),
        Operation::get("/api/v1/workflows/{file}", "workflows", "One workflow file")
            .path("file", "its path below the workflow root, with its slashes", "etl/main.toml")
            .answers(200, "the file", schema("Workflow"), workflow_example())
            .fails(&[Code::WorkflowUnknown])
            .asks(),
        Operation::post("/api/v1/workflows/refresh", "workflows", "Look at the workflow files now")
            .answers(
                200,
                "what changed",
                schema("Refreshed"),
                json!({"added": ["a.toml"], "changed": [], "removed": [], "broken": []}),
            )
            .asks(),
    ]
}

fn files() -> Operation {
    let example = json!({
        "event": 5, "at": "2026-03-02T12:00:00Z", "source": "api", "path": "s3://bucket/in/2026-03-02.csv",
        "phases": [],
    });
    Operation::get("/api/v1/files", "workflows", "File events of a day")
        .says("Newest first, with what each started.")
        .query("date", "a UTC day; today unless given", day())
        .pages()
        .answers(200, "file events", list_of("FileEvent"), json!({"items": [example], "next": null}))
        .asks()
}

fn file() -> Operation {
    Operation::post("/api/v1/files", "workflows", "Tell of a file")
        .says("Stat JSON, a GCS object notification, or either in a Pub/Sub push envelope. What isn't about a new file is recorded and answered like one.")
        .header("Idempotency-Key", "tells versions of a file apart where nothing else does")
        .body("the event", json!({"type": "object"}), json!({"path": "s3://bucket/in/2026-03-02.csv", "size": 1024}))
        .answers(200, "what it started", schema("FileRecorded"), json!({
            "event": 5, "path": "s3://bucket/in/2026-03-02.csv", "phases": [], "tasks": [],
        }))
        .fails(&[Code::InvalidRequest])
        .asks()
}

fn backload_example() -> Value {
    json!({
        "id": 4, "state": "running", "requested": "2026-03-02T12:00:00Z", "changed": "2026-03-02T12:00:01Z",
        "count": 50, "done": 20, "created": 18, "skipped": 0, "failed": 2,
        "request": {"topic": "load", "from": "2026-01-01T00:00:00Z"},
    })
}

fn backloads() -> [Operation; 4] {
    [
        Operation::post("/api/v1/backload", "workflows", "Fill history")
            .says("A dry run unless `execute` is true. With `Accept: application/x-ndjson` a dry run is all its tasks, one a line.")
            .body("which stretch", schema("BackloadRequest"), json!({"task": "load", "template": "?date={yyyy}-{mm}-{dd}", "by": "day", "from": "2026-01-01", "to": "2026-01-31"}))
            .answers(200, "what would be, or was created", schema("Backloaded"), json!({
                "status": "dry run: nothing is created without \"execute\":true", "count": 1, "skipped": 0,
                "failed": [], "next": null, "tasks": [{"type": "load", "info": "?date=2026-01-01", "meta": ""}],
            }))
            .or_as("application/x-ndjson", json!({"type": "string"}))
            .answers(202, "it goes on in the background: `Location` says where it stands", schema("Backloaded"), json!({}))
            .answers(207, "some tasks could not be created", schema("Backloaded"), json!({}))
            .fails(&[Code::InvalidRequest, Code::InvalidTopic, Code::WorkflowUnknown])
            .asks(),
        Operation::get("/api/v1/backloads", "workflows", "Backloads")
            .says("Newest first.")
            .pages()
            .answers(200, "backloads", list_of("Backload"), json!({"items": [backload_example()], "next": null}))
            .asks(),
        Operation::get("/api/v1/backloads/{id}", "workflows", "One backload")
            .path("id", "its number", "4")
            .answers(200, "how it stands, and what failed", schema("Backload"), backload_example())
            .fails(&[Code::BackloadUnknown])
            .asks(),
        Operation::post("/api/v1/backloads/{id}/{change}", "workflows", "Pause, resume or cancel a backload")
            .path("id", "its number", "4")
            .path("change", "pause, resume or cancel", "pause")
            .answers(200, "how it stands now", schema("Backload"), backload_example())
            .fails(&[Code::NotFound, Code::BackloadUnknown, Code::BackloadState])
            .asks(),
    ]
}

//! Tasks, workflows, files and backloads: looked at and changed.

use flowlord_messages::Code;
use serde_json::{Value, json};

use super::operation::{Operation, list_of, schema};

pub(super) fn operations() -> Vec<Operation> {
    let mut all = vec![tasks(), task(), chain(), files(), file(), places()];
    all.extend(reruns());
    all.extend(workflows());
    all.extend(phases());
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
        .query("retry", "failed: dead letters, which are not tried again", json!({"type": "string", "enum": ["failed"]}))
        .query("q", "words that must all be there, \"a phrase\", field:value, -not", json!({"type": "string", "maxLength": 1000}))
        .query("sort", "by what", json!({"type": "string", "enum": sorts, "default": "created"}))
        .query("order", "the least first, or the greatest", json!({"type": "string", "enum": ["asc", "desc"], "default": "desc"}))
        .pages()
        .answers(200, "tasks", schema("TaskList"), json!({"items": [task_example()], "next": null}))
        .asks()
}

fn reruns() -> [Operation; 3] {
    let many = json!({
        "type": "object", "required": ["status", "count", "created", "skipped", "failed", "tasks"],
        "properties": {
            "status": {"type": "string"}, "count": {"type": "integer"}, "created": {"type": "integer"},
            "skipped": {"type": "integer", "description": "those that were tried again since"},
            "failed": {"type": "array", "items": {"type": "object"}},
            "tasks": {"type": "array", "items": schema("Task")},
        },
    });
    let none = json!({"status": "0/0 tasks run again", "count": 0, "created": 0, "skipped": 0, "failed": [], "tasks": []});
    [
        Operation::post("/api/v1/tasks/rerun", "tasks", "Have tasks run again")
            .says("All that a filter of `GET /api/v1/tasks` finds, as their latest attempt; a dry run unless `execute` is true.")
            .body("which, and whether to do it", json!({"type": "object"}), json!({"date": "2026-01-15", "result": "error", "retry": "failed", "execute": true}))
            .answers(200, "what runs again, or would", many.clone(), none.clone())
            .answers(207, "some could not be created", many, none)
            .fails(&[Code::InvalidRequest])
            .asks(),
        Operation::post("/api/v1/tasks/{uid}/rerun", "tasks", "Have one task run again")
            .says("A new attempt of the same chain, with all its retries before it. With `\"execute\":false` a dry run: nothing runs, and the answer is the task that would.")
            .path("uid", "the attempt", "064c0953867001")
            .optional_body("whether to do it; it is done unless that is said", json!({"type": "object", "additionalProperties": false, "properties": {"execute": {"type": ["boolean", "null"]}}}), json!({"execute": true}))
            .answers(201, "the new attempt", schema("Task"), task_example())
            .answers(200, "the task that would be rerun", schema("Task"), task_example())
            .fails(&[Code::InvalidRequest, Code::TaskUnknown, Code::TaskUnfinished])
            .asks(),
        Operation::post("/api/v1/tasks/{uid}/cancel", "tasks", "Cancel a task")
            .says("One that waits ends; the worker of one that is leased is told by its next heartbeat.")
            .path("uid", "the attempt", "064c0953867001")
            .optional_body("why", json!({"type": "object", "additionalProperties": false, "properties": {"note": {"type": ["string", "null"]}}}), json!({"note": "the source is wrong"}))
            .answers(200, "as it stands now", schema("Task"), task_example())
            .fails(&[Code::InvalidRequest, Code::TaskUnknown, Code::AlreadyFinished])
            .asks(),
    ]
}

fn phases() -> [Operation; 2] {
    let body = json!({
        "type": "object", "required": ["workflow", "task"], "additionalProperties": false,
        "properties": {"workflow": {"type": "string"}, "task": {"type": "string"}},
    });
    let answer = json!({
        "type": "object", "required": ["workflow", "task", "paused"],
        "properties": {
            "workflow": {"type": "string"}, "task": {"type": "string"}, "paused": {"type": "boolean"},
            "paused_since": {"type": "string", "format": "date-time"},
        },
    });
    let phase = || json!({"workflow": "etl/main.toml", "task": "load"});
    let of = |operation: Operation, paused: bool| {
        operation
            .body("which phase", body.clone(), phase())
            .answers(
                200,
                "how it stands now",
                answer.clone(),
                json!({
                    "workflow": "etl/main.toml", "task": "load", "paused": paused,
                }),
            )
            .fails(&[Code::InvalidRequest, Code::WorkflowUnknown])
            .asks()
    };
    [
        of(Operation::post("/api/v1/phases/pause", "workflows", "Let a phase start nothing new"), true),
        of(Operation::post("/api/v1/phases/resume", "workflows", "Let a phase go on"), false)
            .says("Slots that fell into the pause become what `missed` says; what else would have started is ready."),
    ]
}

fn places() -> Operation {
    let place = json!({
        "type": "object", "required": ["place", "files"],
        "properties": {
            "place": {"type": "string"}, "looked_at": {"type": "string", "format": "date-time"},
            "files": {"type": "integer"}, "problem": {"type": "string"},
        },
    });
    let list = json!({
        "type": "object", "required": ["items", "next"],
        "properties": {"items": {"type": "array", "items": place}, "next": {"type": "null"}},
    });
    Operation::get("/api/v1/files/places", "workflows", "Watched places")
        .answers(200, "how they are", list, json!({
            "items": [{"place": "/srv/in", "looked_at": "2026-03-02T12:00:00Z", "files": 3}], "next": null,
        }))
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
    let one_or_many = json!({"anyOf": [{"type": "object"}, {"type": "array", "items": {"type": "object"}}]});
    let recorded = json!({"anyOf": [schema("FileRecorded"), list_of("FileRecorded")]});
    Operation::post("/api/v1/files", "workflows", "Tell of a file")
        .says("Stat JSON, an object notification of GCS, S3 or MinIO, an event of EventBridge, or any of them in a CloudEvent, a Pub/Sub push or a message of SNS or SQS. What isn't about a new file is recorded and answered like one, with `ignored`. Several records are answered as `items`, each like one.")
        .header("Idempotency-Key", "tells versions of a file apart where nothing else does")
        .body("the event, or several", one_or_many, json!({"path": "s3://bucket/in/2026-03-02.csv", "size": 1024}))
        .answers(200, "what it started", recorded, json!({
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

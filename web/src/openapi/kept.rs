//! Kept from the reference system.

use flowlord_messages::Code;
use serde_json::{Value, json};

use super::operation::{Operation, schema};

pub(super) fn operations() -> Vec<Operation> {
    let mut all = vec![info(), recap(), task(), backload(), rerun()];
    all.extend(["get", "post"].map(refresh));
    all.extend(["get", "post"].map(notify));
    all.extend(workflow());
    all
}

fn any() -> Value {
    json!({"type": "object"})
}

fn info() -> Operation {
    Operation::get("/info", "kept", "What starts when")
        .answers(200, "files, phases and their times", any(), json!({"app_name": "flowlord", "workflow": {}}))
        .asks()
}

fn recap() -> Operation {
    Operation::get("/recap", "kept", "How today's tasks ended")
        .says("Text, or JSON when `Accept` is exactly `application/json`.")
        .answers_text(200, "by task and job", &["text/plain"], "load:daily\n")
        .or_as("application/json", any())
        .asks()
}

fn task() -> Operation {
    Operation::get("/task/{id}", "kept", "The attempts of a chain")
        .says("Zero values for one that nobody knows.")
        .path("id", "the chain", "chain-1")
        .answers(
            200,
            "the attempts",
            any(),
            json!({"LastUpdate": "2026-03-02T12:00:00Z", "Completed": true, "Events": []}),
        )
        .asks()
}

fn backload() -> Operation {
    Operation::post("/backload", "kept", "Fill history")
        .body("which stretch", schema("BackloadRequest"), json!({"task": "load", "template": "?date={yyyy}-{mm}-{dd}", "by": "day", "from": "2026-01-01", "to": "2026-01-31"}))
        .answers(200, "the tasks", any(), json!({"Status": "DRY RUN ONLY", "Count": 0, "Tasks": []}))
        .answers(202, "it goes on in the background", any(), json!({}))
        .answers(207, "some tasks could not be created", any(), json!({}))
        .fails(&[Code::InvalidRequest, Code::InvalidTopic, Code::WorkflowUnknown])
        .asks()
}

fn rerun() -> Operation {
    Operation::post("/rerun", "kept", "Have one task run again")
        .says("Named by what the reference system knows of it.")
        .body(
            "which",
            any(),
            json!({
                "type": "load", "job": "daily", "id": "chain-1", "created": "2026-03-02T12:00:00Z",
            }),
        )
        .answers(200, "the new task", schema("Task"), json!({"type": "load", "info": "?date=2026-03-02"}))
        .fails(&[Code::InvalidRequest, Code::TaskUnknown, Code::TaskUnfinished])
        .asks()
}

fn refresh(method: &'static str) -> Operation {
    Operation::new(method, "/refresh", "kept", "Look at the workflow files now")
        .says("Also removes old history and takes a snapshot. 400 while any file doesn't load; the others count all the same.")
        .answers(200, "what changed", any(), json!({"Files": ["a.toml"], "Cache": "…", "Updated": "2026-03-02T12:00:00Z"}))
        .fails(&[Code::InvalidRequest])
        .asks()
}

fn notify(method: &'static str) -> Operation {
    Operation::new(method, "/notify", "kept", "Send a test message to Slack")
        .says("400 when no Slack is configured.")
        .answers_text(200, "Slack took it", &["text/plain"], "sent: Slack took the message\n")
        .answers_text(
            202,
            "stored, and not sent yet",
            &["text/plain"],
            "stored, and not sent yet: it hasn't been tried yet\n",
        )
        .fails(&[Code::InvalidRequest, Code::SlackFailed])
        .asks()
}

fn workflow() -> [Operation; 2] {
    let types = ["text/plain", "application/toml", "application/json", "text/x-yaml"];
    [
        Operation::get("/workflow", "kept", "Files and folders of the workflow root")
            .answers_text(200, "one a line", &["text/plain"], "etl/\nmain.toml\n")
            .asks(),
        Operation::get(
            "/workflow/{path}",
            "kept",
            "A file as it was when it loaded last, or what a folder holds",
        )
        .path("path", "below the workflow root", "etl/main.toml")
        .answers_text(200, "its content", &types, "[[phase]]\n")
        .fails(&[Code::WorkflowUnknown])
        .asks(),
    ]
}

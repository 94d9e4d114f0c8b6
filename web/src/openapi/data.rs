//! The service itself.

use flowlord_domain::Role;
use flowlord_messages::Code;
use flowlord_messages::audit::Action;
use serde_json::{Value, json};

use super::lists::texts;
use super::operation::{Operation, list_of, schema};

pub(super) fn operations() -> Vec<Operation> {
    let mut all = vec![stats(), events(), openapi(), audit()];
    all.extend(snapshots());
    all.extend(tokens());
    all.extend(health());
    all
}

fn stats() -> Operation {
    let counts = json!({"total": 7, "complete": 3, "error": 1, "alert": 1, "warn": 1, "running": 1});
    Operation::get("/api/v1/stats", "service", "Totals of a day")
        .says("In all, per hour, and by type and job, per hour of creation.")
        .query("date", "a UTC day; today unless given", json!({"type": "string", "format": "date"}))
        .answers(
            200,
            "totals",
            schema("Stats"),
            json!({"date": "2026-03-02", "totals": counts, "hours": [], "tasks": []}),
        )
        .fails(&[Code::InvalidRequest])
        .asks()
}

fn audit() -> Operation {
    let example = json!({
        "id": 7, "at": "2026-03-02T12:00:00Z", "who": "ann", "from": "192.0.2.7", "action": "token",
        "what": "POST /api/v1/tokens", "detail": "{\"name\":\"etl\",\"role\":\"worker\"}", "status": 201,
    });
    Operation::get("/api/v1/audit", "service", "What people changed")
        .says("The changes of a day, newest first, with who made them and from where. A page looks at a bounded number of them.")
        .query("date", "a UTC day; today unless given", json!({"type": "string", "format": "date"}))
        .query("who", "names of tokens, or of people in Slack", texts())
        .query("action", "kinds of change", json!({"type": "array", "items": {"type": "string", "enum": Action::ALL.map(Action::as_str)}}))
        .pages()
        .answers(200, "changes", schema("ChangeList"), json!({"items": [example], "next": null}))
        .asks()
}

fn events() -> Operation {
    Operation::get("/api/v1/events", "service", "What changes, live")
        .says("Server-sent events: task, tasks, counts, alert, incident, workflow, snapshot, backload, file, reset. The answer goes on until the client leaves, 15 minutes are over or the service stops.")
        .query("kind", "only these", json!({"type": "array", "items": {"type": "string", "enum": crate::live::Kind::ALL.map(crate::live::Kind::as_str)}}))
        .query("after", "the id from which to go on", json!({"type": "string"}))
        .header("Last-Event-ID", "the same, as browsers say it")
        .answers_text(200, "events", &["text/event-stream"], "retry: 2000\nid: 64c0953867000-1\n\n")
        .fails(&[Code::InvalidRequest])
        .asks()
}

fn openapi() -> Operation {
    Operation::get("/api/v1/openapi.json", "service", "This document").answers(
        200,
        "the document",
        json!({"type": "object"}),
        json!({"openapi": "3.1.0"}),
    )
}

fn snapshots() -> [Operation; 2] {
    let example = json!({"location": "/backup/flowlord-20260302T120000Z.db", "at": "2026-03-02T12:00:00Z", "bytes": 4096});
    [
        Operation::get("/api/v1/snapshots", "service", "Snapshots")
            .says("Those that are kept, newest first, and when the next one is made.")
            .answers(200, "snapshots", schema("SnapshotList"), json!({"items": [example], "next": null, "due": null, "problem": null}))
            .asks(),
        Operation::post("/api/v1/snapshots", "service", "Take a snapshot")
            .says("Answered when it is checked and on disk.")
            .optional_body("where; in its usual place unless given", json!({"type": "object", "additionalProperties": false, "properties": {"to": {"type": ["string", "null"]}}}), json!({}))
            .answers(201, "taken", schema("Snapshot"), example)
            .fails(&[Code::InvalidRequest])
            .asks(),
    ]
}

fn tokens() -> [Operation; 3] {
    let roles = json!({"type": "string", "enum": Role::ALL.map(Role::as_str)});
    let name = json!({"type": "string", "pattern": "^[A-Za-z0-9._@-]{1,64}$"});
    let wanted = json!({"type": "object", "required": ["name", "role"], "additionalProperties": false, "properties": {"name": name, "role": roles}});
    let made: Value = json!({"type": "object", "required": ["name", "role", "token"], "properties": {
        "name": {"type": "string"}, "role": {"type": "string"}, "token": {"type": "string"},
    }});
    [
        Operation::get("/api/v1/tokens", "service", "Tokens")
            .says("Names and roles; what a token is, is shown only once.")
            .answers(200, "tokens", list_of("Token"), json!({"items": [{"name": "etl", "role": "worker", "created": "2026-03-02T12:00:00Z"}], "next": null}))
            .asks(),
        Operation::post("/api/v1/tokens", "service", "Make a token")
            .body("whose", wanted, json!({"name": "etl-workers", "role": "worker"}))
            .answers(201, "made; it isn't shown again", made, json!({"name": "etl-workers", "role": "worker", "token": "…"}))
            .fails(&[Code::InvalidRequest])
            .asks(),
        Operation::new("delete", "/api/v1/tokens/{name}", "service", "Remove a token")
            .path("name", "whose", "etl-workers")
            .answers_text(204, "removed", &[], "")
            .fails(&[Code::TokenUnknown])
            .asks(),
    ]
}

fn health() -> [Operation; 4] {
    [
        Operation::get("/healthz", "service", "Whether the process lives").answers(
            200,
            "it does",
            schema("Alive"),
            json!({"status": "ok", "version": "1.0.0"}),
        ),
        Operation::get("/readyz", "service", "Whether it can do its work")
            .answers(
                200,
                "every actor answered, and the database can be written",
                schema("Ready"),
                json!({"status": "ready", "actors": {"db": {"status": "ok", "restarts": 0}}}),
            )
            .fails(&[Code::NotReady, Code::Stopping]),
        Operation::get("/status", "kept", "Whether the process lives").answers_text(
            200,
            "it does",
            &["text/plain"],
            "ok",
        ),
        Operation::get("/metrics", "service", "Figures for Prometheus").answers_text(
            200,
            "counters, gauges and histograms",
            &["text/plain"],
            "flowlord_commit_failures_total 0\n",
        ),
    ]
}

//! What went wrong, and what is told of it.

use flowlord_domain::AlertKind;
use flowlord_messages::Code;
use serde_json::{Value, json};

use super::lists::{day, texts};
use super::operation::{Operation, list_of, schema};

pub(super) fn operations() -> Vec<Operation> {
    let mut all = vec![alerts(), acknowledge(), incidents()];
    all.extend(silences());
    all
}

fn alerts() -> Operation {
    let example = json!({
        "alert": 3, "kind": "exhausted", "at": "2026-03-02T12:00:00Z", "uid": "064c0953867001", "id": "chain-1",
        "type": "load", "msg": "no disk", "at_once": false, "route": "default",
    });
    let kinds =
        json!({"type": "array", "items": {"type": "string", "enum": AlertKind::ALL.map(AlertKind::as_str)}});
    Operation::get("/api/v1/alerts", "alerts", "Alerts")
        .says("Newest first; those of today unless asked otherwise.")
        .query("date", "a UTC day", day())
        .query("from", "raised at or after; a time, or a day", json!({"type": "string"}))
        .query("to", "raised before; a time, or a day", json!({"type": "string"}))
        .query("type", "topics", texts())
        .query("job", "jobs", texts())
        .query("workflow", "workflow files", texts())
        .query("kind", "why they were raised", kinds)
        .pages()
        .answers(200, "alerts", list_of("Alert"), json!({"items": [example], "next": null}))
        .asks()
}

fn acknowledge() -> Operation {
    let taken = json!({"type": "object", "required": ["until", "items"], "properties": {
        "until": {"type": "string", "format": "date-time"},
        "items": {"type": "array", "items": {"type": "object", "required": ["route", "tasks"]}},
    }});
    Operation::post("/api/v1/alerts/ack", "alerts", "Take care of what fails")
        .says("It isn't told again until something else fails, or the time is over; an empty match means all.")
        .body("which, and for how long", schema("Acknowledge"), json!({"match": {"type": "load"}, "for": "4h", "by": "ada", "note": "the disk is replaced"}))
        .answers(200, "what it holds for, in each route", taken, json!({"until": "2026-03-02T16:00:00Z", "items": [{"route": "default", "tasks": ["load:daily"]}]}))
        .fails(&[Code::InvalidRequest])
        .asks()
}

fn incidents() -> Operation {
    let example = json!({"route": "default", "opened": "2026-03-02T12:00:00Z", "closed": null, "alerts": 3, "steps": []});
    Operation::get("/api/v1/incidents", "alerts", "Incidents")
        .says("Newest first, with what was told of each; those of today unless asked otherwise.")
        .query("date", "a UTC day", day())
        .query("from", "not closed before; a time, or a day", json!({"type": "string"}))
        .query("to", "opened before; a time, or a day", json!({"type": "string"}))
        .pages()
        .answers(200, "incidents", list_of("Incident"), json!({"items": [example], "next": null}))
        .asks()
}

fn silence() -> Value {
    json!({
        "id": 7, "match": {"workflow": "etl/*"}, "from": "2026-03-02T12:00:00Z", "until": "2026-03-02T16:00:00Z",
        "by": "ada", "reason": "the source moves", "holds": true,
    })
}

fn silences() -> [Operation; 3] {
    [
        Operation::get("/api/v1/silences", "alerts", "Silences")
            .says("Newest first; those that hold, or with `all` also those that are over.")
            .query("all", "also those that are over", json!({"type": "string", "enum": ["true", "false"]}))
            .pages()
            .answers(200, "silences", list_of("Silence"), json!({"items": [silence()], "next": null}))
            .asks(),
        Operation::post("/api/v1/silences", "alerts", "Silence alerts")
            .says("Alerts that match are stored, and not told.")
            .body("which, and for how long", schema("NewSilence"), json!({"match": {"workflow": "etl/*"}, "for": "4h", "by": "ada", "reason": "the source moves"}))
            .answers(201, "the silence", schema("Silence"), silence())
            .fails(&[Code::InvalidRequest, Code::TooManySilences])
            .asks(),
        Operation::new("delete", "/api/v1/silences/{id}", "alerts", "End a silence")
            .says("What it silenced isn't told afterwards.")
            .path("id", "its number", "7")
            .answers(200, "the silence as it ended", schema("Silence"), silence())
            .fails(&[Code::SilenceUnknown])
            .asks(),
    ]
}

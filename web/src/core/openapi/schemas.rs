//! The shapes of what is sent and answered.

use flowlord_messages::audit::Action;
use serde_json::{Value, json};

use super::operation::schema;

fn time() -> Value {
    json!({"type": "string", "format": "date-time"})
}

/// A list of which a page looks at so much, and says how far it came.
fn looked_list(item: &str) -> Value {
    let list = json!({
        "items": {"type": "array", "items": schema(item)},
        "next": {"type": ["string", "null"], "description": "`cursor` of the next page; null when this is the last"},
        "looked_until": {
            "type": "string", "format": "date-time",
            "description": "not all was looked at: what is older wasn't; `next` goes on there",
        },
    });
    object(&["items", "next"], list)
}

fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

/// Only there when it is so.
fn truncated() -> Value {
    json!({"const": true, "description": "a list has the first 2,048 bytes of it; the task on its own has all"})
}

fn result() -> Value {
    json!({"type": "string", "enum": ["complete", "error", "warn", "alert"]})
}

fn counts() -> Value {
    json!({
        "total": count(), "complete": count(), "error": count(), "alert": count(), "warn": count(), "running": count(),
    })
}

/// An object of these members, of which some are always there.
fn object(required: &[&str], properties: Value) -> Value {
    let mut object = json!({"type": "object", "required": required});
    object["properties"] = properties;
    object
}

fn merged(a: Value, b: Value) -> Value {
    match (a, b) {
        (Value::Object(mut a), Value::Object(b)) => {
            a.extend(b);
            Value::Object(a)
        }
        (_, b) => b,
    }
}

/// Another schema, with what it is for here.
fn described(schema: Value, says: &str) -> Value {
    merged(schema, json!({"description": says}))
}

/// By name.
pub(super) fn all() -> Value {
    [tasks(), work(), alerts(), workflows(), service()].into_iter().fold(json!({}), merged)
}

fn task_doc() -> Value {
    json!({
        "type": {"type": "string", "description": "the topic"},
        "job": {"type": "string", "description": "the job within the topic"},
        "info": {"type": "string", "description": "what the worker is to do"},
        "created": time(),
        "id": {"type": "string", "description": "the chain: children and retries keep it"},
        "meta": {"type": "string", "description": "a URL query"},
        "result": result(),
        "msg": {"type": "string"},
        "started": time(),
        "ended": time(),
        "uid": {"type": "string", "pattern": "^[0-9a-f]{14}$", "description": "one attempt"},
    })
}

fn tasks() -> Value {
    let standing = json!({
        "state": {"type": "string", "enum": ["ready", "delayed", "leased", "done"]},
        "attempt": {"type": "integer", "minimum": 1, "description": "1 + retries so far"},
        "delivery": {"type": "integer", "minimum": 0, "description": "how often this attempt was handed out"},
        "not_before": time(),
        "cancelled": {"type": "boolean", "description": "somebody cancelled it: nothing follows from it"},
        "worker": {"type": "string"},
        "lease_expires": time(),
        "progress": {"type": "number", "minimum": 0, "maximum": 1},
        "parent": {"type": "string", "description": "the uid of the attempt that led to this one"},
        "info_truncated": truncated(), "meta_truncated": truncated(), "msg_truncated": truncated(),
    });
    let task = object(
        &["type", "info", "created", "id", "uid", "state", "attempt", "delivery"],
        merged(task_doc(), standing),
    );
    json!({
        "Task": task,
        "TaskList": looked_list("Task"),
        "NewTask": object(&["type", "info"], json!({
            "type": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,200}$"},
            "job": {"type": "string", "pattern": "^[A-Za-z0-9._-]{0,200}$"},
            "info": {"type": "string"},
            "id": {"type": "string", "maxLength": 50},
            "meta": schema("Meta"),
            "not_before": time(),
        })),
        "Meta": {
            "description": "a URL query, or an object of texts, numbers and booleans",
            "anyOf": [
                {"type": "string", "pattern": "^[A-Za-z0-9_.=&-]*$"},
                {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}},
            ],
        },
        "Alert": object(&["alert", "kind", "at", "at_once"], json!({
            "alert": {"type": "integer"}, "kind": {"type": "string"}, "at": time(), "uid": {"type": "string"},
            "id": {"type": "string"}, "type": {"type": "string"}, "job": {"type": "string"},
            "workflow": {"type": "string"}, "msg": {"type": "string"}, "msg_truncated": truncated(), "task_time": time(),
            "at_once": {"type": "boolean", "description": "told at once, and so not again in a summary"},
            "route": {"type": "string"}, "silence": {"type": "integer", "description": "which kept it from being told"},
        })),
        "Problem": object(&["type", "title", "status", "detail", "code"], json!({
            "type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"},
            "detail": {"type": "string"}, "code": {"type": "string"}, "request_id": {"type": "string"},
        })),
    })
}

fn alerts() -> Value {
    let matching = json!({
        "type": "object", "additionalProperties": false,
        "description": "all that it says must hold; `*` stands for anything, an empty one means all",
        "properties": {
            "type": {"type": "string", "pattern": "^[A-Za-z0-9._*-]{1,50}$"},
            "job": {"type": "string", "pattern": "^[A-Za-z0-9._*-]{1,50}$"},
            "workflow": {"type": "string", "pattern": "^[A-Za-z0-9._/*-]{1,50}$"},
        },
    });
    let said = |more: Value| {
        let common = json!({
            "match": schema("Match"), "for": schema("Duration"), "until": time(),
            "by": {"type": "string", "maxLength": 100},
        });
        merged(common, more)
    };
    let mut acknowledge = object(&[], said(json!({"note": {"type": "string", "maxLength": 500}})));
    let mut silence =
        object(&["reason"], said(json!({"reason": {"type": "string", "minLength": 1, "maxLength": 500}})));
    acknowledge["additionalProperties"] = json!(false);
    silence["additionalProperties"] = json!(false);
    json!({
        "Match": matching,
        "Acknowledge": acknowledge,
        "NewSilence": silence,
        "Silence": object(&["id", "match", "from", "until", "by", "reason", "holds"], json!({
            "id": {"type": "integer"}, "match": {"type": "object"}, "from": time(), "until": time(),
            "by": {"type": "string"}, "reason": {"type": "string"}, "holds": {"type": "boolean"},
        })),
        "Incident": object(&["route", "opened", "closed", "alerts", "steps"], json!({
            "route": {"type": "string"}, "opened": time(), "closed": {"type": ["string", "null"], "format": "date-time"},
            "alerts": count(),
            "steps": {"type": "array", "items": object(&["at", "kind", "headline", "details", "sent"], json!({
                "at": time(), "kind": {"type": "string"}, "headline": {"type": "string"},
                "details": {"type": "array", "items": {"type": "string"}},
                "sent": {"type": ["string", "null"], "format": "date-time"},
            }))},
        })),
    })
}

fn duration() -> Value {
    json!({
        "description": "like 30s, 5m, 4h; a number is seconds",
        "anyOf": [{"type": "string", "pattern": "^[0-9]{1,3}(ms|s|m|h)$"}, {"type": "number"}],
    })
}

fn work() -> Value {
    json!({
        "Duration": duration(),
        "Lease": object(&["topics", "worker"], json!({
            "topics": {
                "type": "array", "minItems": 1, "maxItems": 256,
                "items": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,200}(:[A-Za-z0-9._-]{1,200})?$"},
            },
            "worker": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[A-Za-z0-9._-]+$"},
            "max": {"type": "integer", "minimum": 1, "maximum": 100, "default": 1},
            "wait": merged(schema("Duration"), json!({"description": "for the first task, at most 5m; 0s unless given"})),
            "lease": merged(schema("Duration"), json!({"description": "5s to 24h; `tasks.lease` unless given"})),
        })),
        "Leased": object(&["tasks"], json!({
            "tasks": {"type": "array", "items": object(&["lease", "expires", "attempt", "task"], json!({
                "lease": {"type": "string"}, "expires": time(), "attempt": {"type": "integer", "minimum": 1},
                "task": object(&["type", "info", "created", "id", "uid"], task_doc()),
            }))},
        })),
        "Heartbeat": object(&[], json!({
            "progress": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
            "msg": {"type": ["string", "null"]},
            "lease": described(schema("Duration"), "how long the lease lasts from now on; as long as was asked for last where it is left out"),
        })),
        "Extended": object(&["expires", "cancel"], json!({
            "expires": time(), "cancel": {"type": "boolean", "description": "give up: nobody wants the result"},
        })),
        "Result": object(&["result"], json!({
            "result": result(), "msg": {"type": "string"}, "meta": schema("Meta"), "started": time(), "ended": time(),
        })),
        "Accepted": object(&["accepted", "duplicate"], json!({
            "accepted": {"type": "boolean"}, "duplicate": {"type": "boolean"},
        })),
        "Release": object(&[], json!({"delay": schema("Duration")})),
        "Released": object(&["released"], json!({"released": {"type": "boolean"}})),
        "Results": object(&["accepted", "duplicates", "rejected"], json!({
            "accepted": count(), "duplicates": count(),
            "rejected": {"type": "array", "items": object(&["index", "code", "detail"], json!({
                "index": count(), "code": {"type": "string"}, "detail": {"type": "string"},
            }))},
        })),
    })
}

fn workflows() -> Value {
    let finding = object(
        &["file", "line", "column", "severity", "message"],
        json!({
            "file": {"type": "string"}, "line": count(), "column": count(),
            "severity": {"type": "string", "enum": ["error", "warning"]}, "message": {"type": "string"},
        }),
    );
    let phase = object(
        &["task", "rule", "retry", "template", "line", "status", "paused", "children"],
        json!({
            "task": {"type": "string"}, "depends_on": {"type": "string"}, "rule": {"type": "string"},
            "retry": count(), "template": {"type": "string"}, "line": count(),
            "status": {"type": "string", "description": "ok, paused, or what keeps it from starting"},
            "paused": {"type": "boolean"}, "paused_since": time(),
            "next": time(), "previous": time(), "missed": time(), "children": {"type": "array", "items": {"type": "string"}},
        }),
    );
    let outcome = object(
        &["workflow", "task", "files", "state"],
        json!({
            "workflow": {"type": "string"}, "task": {"type": "string"}, "files": {"type": "string"},
            "state": {"type": "string"}, "uid": {"type": "string"}, "why": {"type": "string"},
        }),
    );
    let names = json!({"type": "array", "items": {"type": "string"}});
    json!({
        "Finding": finding,
        "Workflow": object(&["file", "status", "phases", "findings"], json!({
            "file": {"type": "string"},
            "status": {"type": "string", "enum": ["ok", "broken"]},
            "phases": {"type": "array", "items": phase},
            "findings": {"type": "array", "items": schema("Finding")},
        })),
        "Refreshed": object(&["added", "changed", "removed", "broken"], json!({
            "added": names, "changed": names, "removed": names,
            "broken": {"type": "array", "items": schema("Finding")},
        })),
        "Outcome": outcome,
        "FileRecorded": object(&["event", "path", "phases", "tasks"], json!({
            "event": {"type": "integer"}, "path": {"type": "string"},
            "ignored": {"type": "string", "description": "why it starts nothing"},
            "phases": {"type": "array", "items": schema("Outcome")},
            "tasks": {"type": "array", "items": schema("Task")},
        })),
        "FileEvent": object(&["event", "at", "source", "path", "phases"], json!({
            "event": {"type": "integer"}, "at": time(), "source": {"type": "string"}, "path": {"type": "string"},
            "task_time": {"type": ["string", "null"], "format": "date-time"}, "ignored": {"type": "string"},
            "phases": {"type": "array", "items": schema("Outcome")},
        })),
        "BackloadRequest": object(&["task"], json!({
            "task": {"type": "string"}, "job": {"type": "string"}, "at": {"type": "string"},
            "from": {"type": "string"}, "to": {"type": "string"}, "by": {"type": "string"},
            "template": {"type": "string"}, "meta-file": {"type": "string"},
            "only": {"type": "string", "enum": ["all", "missing", "failed"]},
            "execute": {"type": "boolean"}, "background": {"type": "boolean"},
            "offset": {"type": "integer", "minimum": 0}, "limit": {"type": "integer", "minimum": 1, "maximum": 1000},
        })),
        "Failure": object(&["index", "reason"], json!({
            "index": count(), "time": {"type": ["string", "null"], "format": "date-time"}, "reason": {"type": "string"},
        })),
        "Backloaded": object(&["status", "count", "tasks", "failed", "skipped"], json!({
            "status": {"type": "string"}, "count": count(), "skipped": count(),
            "id": {"type": "integer", "description": "of the backload, once it is carried out"},
            "created": count(),
            "next": {"type": ["integer", "null"], "description": "`offset` of the next page of a dry run"},
            "failed": {"type": "array", "items": schema("Failure")},
            "tasks": {"type": "array", "items": {"type": "object"}},
        })),
        "Backload": object(&["id", "state", "requested", "changed", "count", "done", "created", "skipped", "failed"], json!({
            "id": {"type": "integer"},
            "state": {"type": "string", "enum": ["running", "paused", "cancelled", "done"]},
            "requested": time(), "changed": time(), "count": count(), "done": count(), "created": count(),
            "skipped": count(), "failed": count(), "message": {"type": "string"}, "problem": {"type": "string"},
            "request": {"type": ["object", "null"]},
            "request_truncated": {"const": true, "description": "it is too long for a list: null, and the backload on its own has it"},
            "failures": {"type": "array", "items": schema("Failure")},
        })),
    })
}

fn service() -> Value {
    let hour = object(
        &["hour"],
        merged(json!({"hour": {"type": "integer", "minimum": 0, "maximum": 23}}), counts()),
    );
    let by_task = json!({
        "type": {"type": "string"}, "job": {"type": "string"}, "run_seconds": {"type": "number"},
        "hours": {"type": "array", "items": schema("Hour")},
    });
    json!({
        "Hour": hour,
        "Stats": object(&["date", "totals", "hours", "tasks"], json!({
            "date": {"type": "string", "format": "date"},
            "totals": object(&["total"], counts()),
            "hours": {"type": "array", "items": schema("Hour")},
            "tasks": {"type": "array", "items": object(&["type"], merged(by_task, counts()))},
        })),
        "Snapshot": object(&["location", "at", "bytes"], json!({
            "location": {"type": "string"}, "at": time(), "bytes": count(),
        })),
        "SnapshotList": object(&["items", "next", "due", "problem"], json!({
            "items": {"type": "array", "items": schema("Snapshot")},
            "next": {"type": ["string", "null"]},
            "due": {"type": ["string", "null"], "format": "date-time", "description": "when the next one is made"},
            "problem": {"type": ["string", "null"], "description": "why the last one failed"},
        })),
        "Token": object(&["name", "role", "created"], json!({
            "name": {"type": "string"}, "role": {"type": "string"}, "created": time(),
        })),
        "Change": object(&["id", "at", "who", "from", "action", "what", "detail", "status"], json!({
            "id": {"type": "integer"}, "at": time(), "who": {"type": "string"}, "from": {"type": "string"},
            "action": {"type": "string", "enum": Action::ALL.map(Action::as_str)},
            "what": {"type": "string"}, "detail": {"type": "string"}, "status": {"type": "integer"},
        })),
        "ChangeList": looked_list("Change"),
        "Ready": object(&["status", "actors"], json!({
            "status": {"type": "string"}, "actors": {"type": "object"},
        })),
        "Alive": object(&["status", "version"], json!({
            "status": {"type": "string"}, "version": {"type": "string"},
        })),
    })
}

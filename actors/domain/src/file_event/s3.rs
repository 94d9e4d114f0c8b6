//! Records of S3, of what speaks like it, and of EventBridge.

use super::context::RecordContext;
use super::fields::JsonFields;
use super::{FileArrival, FileEvent, FileEventError, judge_file};
use crate::query::unescape_text;

/// A record of a notification.
pub(super) fn of_record(record: &JsonFields, context: RecordContext) -> Result<FileArrival, FileEventError> {
    let s3 = record.object("s3").unwrap_or_default();
    let object = s3.object("object").unwrap_or_default();
    let bucket = s3.object("bucket").unwrap_or_default().text("name");
    let written = object.text("key");
    let key = unescape_text(&written, true).unwrap_or(written); // S3 writes keys as in a URL; others may not
    let file = object_file(&bucket, &key, &object, "versionId", &record.text("eventTime"));
    judge_file(file, &context.of_kind(&record.text("eventName"), "ObjectCreated"))
}

/// What MinIO sends around its records, where those are missing.
pub(super) fn of_minio(event: &JsonFields, context: RecordContext) -> Result<FileArrival, FileEventError> {
    let key = event.text("Key");
    let path = if key.is_empty() { key } else { format!("s3://{key}") };
    let file = FileEvent { path, ..FileEvent::default() };
    judge_file(file, &context.of_kind(&event.text("EventName"), "ObjectCreated"))
}

/// An event of EventBridge, whose keys are written as they are.
pub(super) fn of_event_bridge(event: &JsonFields, context: RecordContext) -> Result<FileArrival, FileEventError> {
    let detail = event.object("detail").unwrap_or_default();
    let object = detail.object("object").unwrap_or_default();
    let bucket = detail.object("bucket").unwrap_or_default().text("name");
    let file = object_file(&bucket, &object.text("key"), &object, "version-id", &event.text("time"));
    let context = context.or_about(event.text("source"));
    judge_file(file, &context.of_kind(&event.text("detail-type"), "Object Created"))
}

fn object_file(bucket: &str, key: &str, object: &JsonFields, version: &str, written_at: &str) -> FileEvent {
    let (version, etag) = (object.text(version), object.text("etag"));
    // Buckets without versions say `null`. Each writing has a sequencer of its own.
    let version = match version.as_str() {
        "" | "null" => [etag.as_str(), &object.text("sequencer")].join(" "),
        version => version.to_owned(),
    };
    let is_known = !version.trim().is_empty();
    FileEvent {
        path: if key.is_empty() { String::new() } else { format!("s3://{bucket}/{key}") },
        size: object.number("size"),
        checksum: etag.trim_matches('"').to_owned(),
        created: written_at.to_owned(),
        version: if is_known { version.trim().to_owned() } else { written_at.to_owned() },
        ..FileEvent::default()
    }
}

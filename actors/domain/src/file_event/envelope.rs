//! Envelopes: what carries records, and how deep they lie in it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::context::{RecordContext, texts_of, why_unconfirmed};
use super::fields::JsonFields;
use super::{FileArrival, FileEventError, judge_file, judge_plain, s3};

/// How many envelopes may lie in each other: S3 by EventBridge by SNS by SQS are four.
const MAX_DEPTH: usize = 8;

/// What the records read so far came to.
pub(super) type RecordResults = Vec<Result<FileArrival, FileEventError>>;

/// Reads the records of a body, or of what an envelope carries.
pub(super) fn read_records(body: Value, context: &RecordContext, records: &mut RecordResults) {
    let context = context.one_deeper();
    match body {
        _ if context.depth > MAX_DEPTH => records.push(Err(FileEventError::NoPath)),
        Value::Array(items) => items.into_iter().for_each(|item| read_records(item, &context, records)),
        Value::Object(fields) => read_object(&JsonFields(fields), context, records),
        _ => records.push(Err(FileEventError::NotAnObject)),
    }
}

fn read_object(fields: &JsonFields, context: RecordContext, records: &mut RecordResults) {
    if let Some(message) = fields.object("message").filter(|it| it.has("data") || it.has("attributes")) {
        return read_push(&message, context, records);
    }
    if let Some(listed) = fields.objects("Records").or_else(|| fields.objects("Messages")) {
        return listed.iter().for_each(|record| read_carried(record, &context, records));
    }
    if fields.has("specversion") {
        return cloud_event(fields, context, records);
    }
    if fields.has("TopicArn") && fields.has("Type") {
        return of_sns(fields, context, records);
    }
    if fields.has("detail-type") {
        return records.push(s3::of_event_bridge(fields, context));
    }
    let event = fields.text("Event");
    if event == "s3:TestEvent" {
        let context = context.or_about(format!("s3://{}", fields.text("Bucket")));
        return records.push(judge_file(Default::default(), &context.of_kind(&event, "ObjectCreated")));
    }
    read_carried(fields, &context, records);
}

/// A record of S3, the message of a queue that carries one, or a file itself.
fn read_carried(record: &JsonFields, context: &RecordContext, records: &mut RecordResults) {
    if let Some(notice) = record.object("Sns") {
        return of_sns(&notice, context.clone(), records);
    }
    let is_queued = record.has("messageId") || record.has("receiptHandle");
    match record.get("body").and_then(Value::as_str).filter(|_| is_queued) {
        Some(body) => {
            read_text(body, &context.clone().in_message("message", &record.text("messageId")), records);
        }
        None if record.has("s3") => records.push(s3::of_record(record, context.clone())),
        None if record.has("EventName") => records.push(s3::of_minio(record, context.clone())),
        None => records.push(judge_plain(record, context)),
    }
}

/// A message of Pub/Sub.
fn read_push(message: &JsonFields, context: RecordContext, records: &mut RecordResults) {
    let attributes = message.object("attributes").unwrap_or_default();
    let context = context.in_push(&texts_of(&attributes), &message.text("messageId"));
    match STANDARD.decode(message.text("data")) {
        Ok(data) if data.is_empty() => records.push(judge_file(Default::default(), &context)),
        Ok(data) => match serde_json::from_slice(&data) {
            Ok(data) => read_records(data, &context, records),
            Err(err) => records.push(Err(FileEventError::Json(err.to_string()))),
        },
        Err(err) => records.push(Err(FileEventError::Data(err.to_string()))),
    }
}

/// A CloudEvent in one piece; one in two has its attributes in headers.
fn cloud_event(event: &JsonFields, context: RecordContext, records: &mut RecordResults) {
    let context = context.cloud_event(&texts_of(event));
    // Data that isn't JSON tells of no file: the attributes may.
    let packed = STANDARD.decode(event.text("data_base64")).unwrap_or_default();
    match event.get("data").cloned().or_else(|| serde_json::from_slice(&packed).ok()) {
        Some(data @ (Value::Object(_) | Value::Array(_))) => read_records(data, &context, records),
        _ => records.push(judge_file(Default::default(), &context)),
    }
}

/// A message of SNS, whose text is what S3 sent.
fn of_sns(notice: &JsonFields, context: RecordContext, records: &mut RecordResults) {
    let context = context.or_about(notice.text("TopicArn")).in_message("message", &notice.text("MessageId"));
    match notice.text("Type").as_str() {
        "Notification" => read_text(&notice.text("Message"), &context, records),
        other => {
            let why = why_unconfirmed(other, &notice.text("SubscribeURL"));
            records.push(judge_file(Default::default(), &context.or_why(Some(why))));
        }
    }
}

/// JSON as a text within JSON.
fn read_text(text: &str, context: &RecordContext, records: &mut RecordResults) {
    match serde_json::from_str(text) {
        Ok(body) => read_records(body, context, records),
        Err(err) => records.push(Err(FileEventError::Json(err.to_string()))),
    }
}

//! What is stated around a record: by the headers of the request, and by the envelopes that the record lies in.

use super::fields::JsonFields;
use super::{FileEvent, MAX_TEXT};

/// The headers in which senders state something about an event.
pub const EVENT_HEADERS: [&str; 14] = [
    "ce-type",
    "ce-id",
    "ce-source",
    "ce-subject",
    "ce-time",
    "eventtype",
    "bucketid",
    "objectid",
    "objectgeneration",
    "eventtime",
    "x-goog-pubsub-message-id",
    "x-goog-resource-state",
    "x-goog-resource-uri",
    "x-amz-sns-message-type",
];

/// Those of [`EVENT_HEADERS`] that a request has.
#[derive(Debug, Clone, Default)]
pub struct EventHeaders(Vec<(&'static str, String)>);

impl EventHeaders {
    /// Takes over what `value_of` a header says.
    pub fn from_lookup<'a>(value_of: impl Fn(&str) -> Option<&'a str>) -> Self {
        let present = EVENT_HEADERS.into_iter().filter_map(|name| Some((name, value_of(name)?.to_owned())));
        Self(present.collect())
    }

    /// Whether the request has none of them.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn text_of(&self, name: &str) -> String {
        let found = self.0.iter().find(|(key, _)| *key == name);
        found.map_or_else(String::new, |(_, value)| value.clone())
    }
}

/// What is known of a record before it is read.
#[derive(Debug, Clone, Default)]
pub(super) struct RecordContext {
    /// Why it starts nothing, by what was stated so far.
    pub(super) why: Option<String>,
    /// What it is about, where it names no file.
    pub(super) about: String,
    /// The file itself, where the envelope alone names it.
    file: FileEvent,
    /// What tells it from other messages.
    message: String,
    /// How many envelopes it lies in.
    pub(super) depth: usize,
}

impl RecordContext {
    pub(super) fn of_headers(headers: &EventHeaders) -> Self {
        let message_id = headers.text_of("x-goog-pubsub-message-id");
        let mut context = Self::default().in_push(&|name| headers.text_of(name), &message_id);
        context.about = headers.text_of("x-goog-resource-uri");
        let state = headers.text_of("x-goog-resource-state");
        if !matches!(state.as_str(), "" | "exists") {
            let why = format!("{}: only an object that exists starts tasks", cut_text(&state));
            context = context.or_why(Some(why));
        }
        let kind = headers.text_of("x-amz-sns-message-type");
        // Of a confirmation the body says more: where to confirm.
        if !matches!(kind.as_str(), "" | "Notification" | "SubscriptionConfirmation") {
            context = context.or_why(Some(why_unconfirmed(&kind, "")));
        }
        context.cloud_event(&|name| headers.text_of(&format!("ce-{name}")))
    }

    pub(super) fn one_deeper(&self) -> Self {
        Self { depth: self.depth + 1, ..self.clone() }
    }

    /// Within the message of Pub/Sub that has these attributes. GCS says in them what happened, and may leave the
    /// object itself out.
    pub(super) fn in_push(mut self, attribute: &dyn Fn(&str) -> String, id: &str) -> Self {
        // In lower case, as headers are looked up; the attributes of a message are found in any case.
        let [bucket, object, created, generation] =
            ["bucketid", "objectid", "eventtime", "objectgeneration"].map(attribute);
        if !object.is_empty() {
            self.file.path = format!("gs://{bucket}/{object}");
            self.file.created = created;
            // The id that GCS gives an object, so that a stat and a message about one version count once.
            self.file.version = match generation.as_str() {
                "" => String::new(),
                generation => format!("{bucket}/{object}/{generation}"),
            };
        }
        self.in_message("message", id).of_kind(&attribute("eventtype"), "OBJECT_FINALIZE")
    }

    /// Within a CloudEvent that has these attributes.
    pub(super) fn cloud_event(mut self, attribute: &dyn Fn(&str) -> String) -> Self {
        let (kind, source, subject) = (attribute("type"), attribute("source"), attribute("subject"));
        // One whose message says what happened.
        let is_carrier = kind.starts_with("google.cloud.pubsub.");
        if kind.is_empty() || is_carrier {
            return self;
        }
        let bucket = source.rsplit_once("/buckets/").map(|(_, bucket)| bucket);
        if let (Some(bucket), Some(object)) = (bucket, subject.strip_prefix("objects/")) {
            self.file.path = format!("gs://{bucket}/{object}");
            self.file.created = attribute("time");
        }
        if self.about.is_empty() {
            self.about = format!("{source} {subject}").trim().to_owned();
        }
        self.in_message("event", &attribute("id")).of_kind(&kind, "an object that is created or finalized")
    }

    /// Of a kind: only a new object starts tasks. Not said, it may be one.
    pub(super) fn of_kind(self, kind: &str, wanted: &str) -> Self {
        let is_other = !kind.is_empty() && !is_new(kind);
        self.or_why(is_other.then(|| format!("{}: only {wanted} starts tasks", cut_text(kind))))
    }

    /// In a message that is told apart by its id.
    pub(super) fn in_message(mut self, what: &str, id: &str) -> Self {
        if !id.is_empty() {
            self.message = format!("{what} {id}");
        }
        self
    }

    /// What was stated further out goes before.
    pub(super) fn or_why(mut self, why: Option<String>) -> Self {
        self.why = self.why.or(why); // the outermost says it for all that it carries
        self
    }

    /// About this, where nothing else is said.
    pub(super) fn or_about(mut self, about: String) -> Self {
        if !about.is_empty() {
            self.about = about;
        }
        self
    }

    /// A file with what its envelope says where it says nothing itself.
    pub(super) fn complete_file(&self, mut file: FileEvent) -> FileEvent {
        if file.path.is_empty() && !self.file.path.is_empty() {
            file.path.clone_from(&self.file.path);
            file.created.clone_from(&self.file.created);
            if !self.file.version.is_empty() {
                file.version.clone_from(&self.file.version);
            }
        }
        if file.version.is_empty() {
            file.version.clone_from(&self.message);
        }
        file
    }
}

/// Why what SNS sends about a subscription itself starts nothing.
pub(super) fn why_unconfirmed(kind: &str, subscribe_url: &str) -> String {
    match kind {
        // Nothing here opens addresses that a message names.
        "SubscriptionConfirmation" => {
            format!("{kind}: open {} once, then SNS sends events", cut_text(subscribe_url))
        }
        kind => format!("{}: only Notification starts tasks", cut_text(kind)),
    }
}

/// Texts of an event within one envelope.
pub(super) fn texts_of(fields: &JsonFields) -> impl Fn(&str) -> String {
    |name| fields.text(name)
}

fn cut_text(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

/// Whether a kind of event says that an object is new: `OBJECT_FINALIZE`, `s3:ObjectCreated:Put`, `Object Created`,
/// `google.cloud.storage.object.v1.finalized`. MinIO also calls it "created" when an object's lock changes.
fn is_new(kind: &str) -> bool {
    let kind = kind.to_ascii_lowercase();
    let words: Vec<&str> = kind.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    if let Some(at) = words.iter().position(|word| *word == "objectcreated") {
        return matches!(words.get(at + 1..), Some([] | ["put" | "post" | "copy" | "completemultipartupload"]));
    }
    let is_file = words.iter().any(|word| matches!(*word, "object" | "file" | "blob"));
    is_file && matches!(words.last(), Some(&("created" | "finalized" | "finalize")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_kinds_that_say_so_are_new_objects() {
        for kind in [
            "OBJECT_FINALIZE",
            "google.storage.object.finalize",
            "google.cloud.storage.object.v1.finalized",
            "ObjectCreated:Put",
            "s3:ObjectCreated:*",
            "s3:ObjectCreated:CompleteMultipartUpload",
            "com.amazonaws.s3.ObjectCreated:Copy",
            "Object Created",
            "com.acme.file.created",
        ] {
            assert!(is_new(kind), "{kind}");
        }
        for kind in [
            "OBJECT_DELETE",
            "OBJECT_ARCHIVE",
            "OBJECT_METADATA_UPDATE",
            "google.cloud.storage.object.v1.deleted",
            "google.cloud.storage.object.v1.metadataUpdated",
            "s3:ObjectRemoved:DeleteMarkerCreated",
            "s3:ObjectCreated:PutRetention",
            "s3:ObjectRestore:Completed",
            "ObjectTagging:Put",
            "Object Deleted",
            "google.cloud.audit.log.v1.written",
            "created",
        ] {
            assert!(!is_new(kind), "{kind}");
        }
    }
}

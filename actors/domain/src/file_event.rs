//! What is said about a file that arrived: the reference's stat, a notification of GCS, or either in the envelope
//! of a Pub/Sub push.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::task_time::path_time;

/// The longest path.
const MAX_PATH: usize = 4_096;
/// The longest of the other texts.
const MAX_TEXT: usize = 1_024;

/// A file that arrived.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEvent {
    /// Where it is: `/srv/in/a.csv`, `gs://bucket/a.csv`.
    pub path: String,
    /// How many bytes it has.
    #[serde(default)]
    pub size: i64,
    /// A hash of what it holds; empty when nobody said.
    #[serde(default)]
    pub checksum: String,
    /// When it was written, as it was said; empty when nobody did.
    #[serde(default)]
    pub created: String,
    /// How many lines it has.
    #[serde(default)]
    pub linecnt: i64,
    /// How many bytes it has when it is unpacked.
    #[serde(default)]
    pub bytecnt: i64,
    /// What tells this version of the file from others at its path, so that hearing of it twice counts once; empty
    /// when nothing does.
    #[serde(skip)]
    pub version: String,
}

/// What was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// A file arrived.
    File(FileEvent),
    /// Something else happened to a file.
    Ignored {
        /// Which file, as far as that was said.
        file: FileEvent,
        /// Why that starts nothing.
        why: String,
    },
}

/// A text that tells of no file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileEventError {
    /// No JSON.
    #[error("the event is no JSON: {0}")]
    Json(String),
    /// JSON, but no object.
    #[error("the event is no object: send one like {{\"path\":\"/srv/in/a.csv\",\"size\":5}}")]
    NotAnObject,
    /// No file is named.
    #[error(
        "the event names no file: send `path`, or `id`, `bucket` and `name` as a notification of GCS has them, or \
         either in `message.data` of a Pub/Sub push"
    )]
    NoPath,
    /// What a Pub/Sub message carries can't be read.
    #[error("`message.data` is no base64: {0}")]
    Data(String),
    /// Longer than any path is.
    #[error("`{field}` has {length} bytes: at most {most} are allowed")]
    TooLong {
        /// Which.
        field: &'static str,
        /// How long it is.
        length: usize,
        /// How long it may be.
        most: usize,
    },
}

impl FileEvent {
    /// When it was written, if that was said in a way that can be read.
    #[must_use]
    pub fn created_at(&self) -> Option<DateTime<Utc>> {
        DateTime::parse_from_rfc3339(&self.created).ok().map(|at| at.to_utc())
    }

    /// The time that its path names.
    #[must_use]
    pub fn time(&self) -> Option<DateTime<Utc>> {
        path_time(&self.path)
    }

    fn of_stat(stat: &Fields) -> Self {
        let (checksum, created) = (stat.text("checksum"), stat.text("created"));
        let told = !checksum.is_empty() || !created.is_empty();
        let version = if told { format!("{checksum} {created}") } else { String::new() };
        Self {
            path: stat.text("path"),
            size: stat.number("size"),
            checksum,
            created,
            linecnt: stat.number("linecnt"),
            bytecnt: stat.number("bytecnt"),
            version,
        }
    }

    fn of_gcs(object: &Fields, id: &str) -> Self {
        let created = DateTime::parse_from_rfc3339(&object.text("timeCreated"));
        let seconds = |at: DateTime<_>| at.to_utc().to_rfc3339_opts(SecondsFormat::Secs, true);
        Self {
            path: format!("gs://{}/{}", object.text("bucket"), object.text("name")),
            // A text in what GCS sends; the reference reads no number there.
            size: object.text("size").parse().unwrap_or_default(),
            checksum: object.text("md5Hash"),
            created: created.map_or_else(|_| String::new(), seconds),
            version: id.to_owned(),
            ..Self::default()
        }
    }

    fn checked(self) -> Result<Self, FileEventError> {
        if self.path.is_empty() {
            return Err(FileEventError::NoPath);
        }
        let texts = [
            ("path", &self.path, MAX_PATH),
            ("checksum", &self.checksum, MAX_TEXT),
            ("created", &self.created, MAX_TEXT),
            ("id", &self.version, MAX_PATH + MAX_TEXT),
        ];
        for (field, text, most) in texts {
            if text.len() > most {
                return Err(FileEventError::TooLong { field, length: text.len(), most });
            }
        }
        Ok(self)
    }
}

/// Reads what was said of a file.
///
/// # Errors
/// What to send instead.
pub fn parse(text: &[u8]) -> Result<Arrival, FileEventError> {
    let fields = Fields::parse(text)?;
    match fields.object("message") {
        Some(message) if message.has("data") || message.has("attributes") => pushed(&message),
        _ => plain(&fields).checked().map(Arrival::File),
    }
}

/// A stat, or an object of GCS: that has an id and a name.
fn plain(fields: &Fields) -> FileEvent {
    let (id, name) = (fields.text("id"), fields.text("name"));
    if id.is_empty() || name.is_empty() { FileEvent::of_stat(fields) } else { FileEvent::of_gcs(fields, &id) }
}

/// A message of Pub/Sub. GCS says in its attributes what happened, and may leave the object itself out.
fn pushed(message: &Fields) -> Result<Arrival, FileEventError> {
    let attributes = message.object("attributes").unwrap_or_default();
    let data = STANDARD.decode(message.text("data")).map_err(|err| FileEventError::Data(err.to_string()))?;
    let mut file = if data.is_empty() { FileEvent::default() } else { plain(&Fields::parse(&data)?) };
    let (bucket, object) = (attributes.text("bucketId"), attributes.text("objectId"));
    if file.path.is_empty() && !object.is_empty() {
        file.path = format!("gs://{bucket}/{object}");
        file.created = attributes.text("eventTime");
        // As an object of GCS has it.
        let generation = attributes.text("objectGeneration");
        if !generation.is_empty() {
            file.version = format!("{bucket}/{object}/{generation}");
        }
    }
    let id = message.text("messageId");
    if file.version.is_empty() && !id.is_empty() {
        file.version = format!("message {id}");
    }
    let file = file.checked()?;
    match attributes.text("eventType").as_str() {
        "" | "OBJECT_FINALIZE" => Ok(Arrival::File(file)),
        other => {
            let other: String = other.chars().take(MAX_TEXT).collect();
            Ok(Arrival::Ignored { file, why: format!("{other}: only OBJECT_FINALIZE starts tasks") })
        }
    }
}

/// An object whose keys count in any case, and whose values of a wrong type count as missing, as in Go.
#[derive(Debug, Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn parse(text: &[u8]) -> Result<Self, FileEventError> {
        match serde_json::from_slice(text).map_err(|err| FileEventError::Json(err.to_string()))? {
            Value::Object(fields) => Ok(Self(fields)),
            _ => Err(FileEventError::NotAnObject),
        }
    }

    fn get(&self, name: &str) -> Option<&Value> {
        let any_case = || self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        self.0.get(name).or_else(|| any_case().map(|(_, value)| value))
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    fn text(&self, name: &str) -> String {
        self.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    fn number(&self, name: &str) -> i64 {
        self.get(name).and_then(Value::as_i64).unwrap_or_default()
    }

    fn object(&self, name: &str) -> Option<Self> {
        self.get(name).and_then(Value::as_object).cloned().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn file(body: &Value) -> FileEvent {
        match parse(body.to_string().as_bytes()).unwrap() {
            Arrival::File(file) => file,
            ignored @ Arrival::Ignored { .. } => panic!("{ignored:?}"),
        }
    }

    fn object() -> Value {
        json!({
            "kind": "storage#object", "id": "b/in/a.csv/17", "name": "in/a.csv", "bucket": "b", "size": "5",
            "md5Hash": "wDJD", "timeCreated": "2021-11-17T23:17:45.997Z",
        })
    }

    fn push(data: &str, attributes: &Value) -> Value {
        let data = STANDARD.encode(data);
        json!({
            "message": {"data": data, "attributes": attributes, "messageId": "99"},
            "subscription": "projects/p/subscriptions/s",
        })
    }

    #[test]
    fn an_object_of_gcs_is_the_same_in_each_wrapping() {
        let plain = file(&object());
        assert_eq!(
            (plain.path.as_str(), plain.size, plain.checksum.as_str()),
            ("gs://b/in/a.csv", 5, "wDJD")
        );
        assert_eq!(
            (plain.created.as_str(), plain.version.as_str()),
            ("2021-11-17T23:17:45Z", "b/in/a.csv/17")
        );
        let attributes = json!({
            "bucketId": "b", "objectId": "in/a.csv", "objectGeneration": "17", "eventType": "OBJECT_FINALIZE",
            "eventTime": "2021-11-17T23:17:45.997Z",
        });
        assert_eq!(file(&push(&object().to_string(), &attributes)), plain);
        let bare = file(&push("", &attributes));
        assert_eq!((bare.path, bare.version), (plain.path, plain.version), "without the object");
        assert_eq!(bare.created, "2021-11-17T23:17:45.997Z");
    }

    #[test]
    fn a_stat_is_known_by_its_checksum_and_time_else_by_its_message() {
        let stat =
            json!({"path": "/in/a.csv", "checksum": "c", "created": "2021-11-24T23:00:01Z", "size": 9});
        assert_eq!(file(&stat).version, "c 2021-11-24T23:00:01Z");
        assert_eq!(file(&push(&stat.to_string(), &json!({}))), file(&stat));
        let bare = json!({"path": "/in/a.csv"});
        assert_eq!(file(&bare).version, "");
        assert_eq!(file(&push(&bare.to_string(), &json!(null))).version, "message 99");
    }

    #[test]
    fn what_else_happens_to_an_object_is_no_arrival() {
        let attributes = json!({"bucketId": "b", "objectId": "a", "eventType": "OBJECT_DELETE"});
        let read = parse(push("", &attributes).to_string().as_bytes()).unwrap();
        let Arrival::Ignored { file, why } = read else { panic!("{read:?}") };
        assert_eq!(
            (file.path.as_str(), why.as_str()),
            ("gs://b/a", "OBJECT_DELETE: only OBJECT_FINALIZE starts tasks")
        );
    }

    #[test]
    fn what_tells_of_no_file_says_what_to_send() {
        let told = |body: &str| parse(body.as_bytes()).unwrap_err().to_string();
        assert!(told("hello").starts_with("the event is no JSON: expected"));
        assert!(told("[1]").contains("send one like {\"path\""));
        assert!(told("{}").contains("send `path`, or"));
        assert!(told(r#"{"message":{"data":"%"}}"#).contains("no base64"));
        assert!(told(&push("hello", &json!({})).to_string()).contains("no JSON"));
        let long = json!({"path": "x".repeat(MAX_PATH + 1)}).to_string();
        assert_eq!(told(&long), "`path` has 4097 bytes: at most 4096 are allowed");
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "[{}\":,a-z\\[\\]0-9]{0,40}") {
            let _ = parse(text.as_bytes());
        }
    }
}

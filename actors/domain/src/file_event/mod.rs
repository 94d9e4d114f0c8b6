//! File events: the reference's stat, and what object stores and their message services send. The kind of an event
//! counts wherever its sender states it: in the record, in the envelope around it, or in a header.

mod context;
mod envelope;
mod fields;
mod s3;
#[cfg(test)]
mod tests;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use self::context::RecordContext;
pub use self::context::{EVENT_HEADERS, EventHeaders};
use self::fields::JsonFields;

use crate::task_time::path_time;

const MAX_PATH: usize = 4_096;
/// The longest of the other texts.
const MAX_TEXT: usize = 1_024;
/// How many records one body may hold.
pub const MAX_RECORDS: usize = 1_000;

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
pub enum FileArrival {
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
    /// The body is no JSON.
    #[error("the event is not JSON: {0}")]
    Json(String),
    /// JSON, but no object.
    #[error("the event is not an object: send one like {{\"path\":\"/srv/in/a.csv\",\"size\":5}}")]
    NotAnObject,
    /// No file is named.
    #[error(
        "the event names no file: send `path`, or `id`, `bucket` and `name` as a notification of GCS has them, or \
         an S3 record, or any of them in `message.data` of a Pub/Sub push or `data` of a CloudEvent"
    )]
    NoPath,
    /// What a Pub/Sub message carries can't be read.
    #[error("`message.data` is not base64: {0}")]
    Data(String),
    /// More than are taken at once.
    #[error("the body has {0} records: send at most {MAX_RECORDS} at once")]
    TooMany(usize),
    /// Longer than any path is.
    #[error("`{field}` has {length} bytes: at most {most} are allowed")]
    TooLong {
        /// The key of the text.
        field: &'static str,
        /// How long it is.
        length: usize,
        /// How long it may be.
        most: usize,
    },
}

impl FileEvent {
    /// When it was written, if that was said in a way that can be read.
    pub fn created_at(&self) -> Option<DateTime<Utc>> {
        DateTime::parse_from_rfc3339(&self.created).ok().map(|at| at.to_utc())
    }

    /// The time that its path names.
    pub fn time_of_path(&self) -> Option<DateTime<Utc>> {
        path_time(&self.path)
    }

    fn of_stat(stat: &JsonFields) -> Self {
        let (checksum, created) = (stat.text("checksum"), stat.text("created"));
        // Without either only its message tells it from others.
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

    fn of_gcs(object: &JsonFields, id: &str) -> Self {
        let created = DateTime::parse_from_rfc3339(&object.text("timeCreated"));
        let created = created.map(|at| at.to_utc().to_rfc3339_opts(SecondsFormat::Secs, true));
        Self {
            path: format!("gs://{}/{}", object.text("bucket"), object.text("name")),
            // A text in what GCS sends; the reference reads no number there.
            size: object.text("size").parse().unwrap_or_default(),
            checksum: object.text("md5Hash"),
            created: created.unwrap_or_default(),
            version: id.to_owned(),
            ..Self::default()
        }
    }

    fn check_lengths(self) -> Result<Self, FileEventError> {
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

/// Whether a path is the marker of a folder, which stores have none of: consoles make one as an empty object whose
/// name ends in a slash, Hadoop one that ends in `_$folder$`.
pub fn is_folder_marker(path: &str) -> bool {
    path.ends_with('/') || path.ends_with("_$folder$")
}

/// Reads the body of a request that tells of files. Each record of it is judged alone: one that can't be read is
/// ignored where others can.
///
/// # Errors
/// What to send instead, where no record can be read.
pub fn parse_file_events(body: &[u8], headers: &EventHeaders) -> Result<Vec<FileArrival>, FileEventError> {
    let context = RecordContext::of_headers(headers);
    // A message may say everything in its headers.
    let body = if body.is_empty() && !headers.is_empty() { b"{}" } else { body };
    let body = serde_json::from_slice(body).map_err(|err| FileEventError::Json(err.to_string()))?;
    let mut records = Vec::new();
    envelope::read_records(body, &context, &mut records);
    // Each record may start a task.
    if records.len() > MAX_RECORDS {
        return Err(FileEventError::TooMany(records.len()));
    }
    let is_any_read = records.iter().any(Result::is_ok);
    let judged = (1..).zip(records).map(|(nth, record)| match record {
        Err(err) if is_any_read => {
            let file = FileEvent { path: format!("record {nth}"), ..FileEvent::default() };
            Ok(FileArrival::Ignored { file, why: err.to_string() })
        }
        record => record,
    });
    judged.collect()
}

/// A stat, or an object of GCS: that has an id and a name.
fn judge_plain(fields: &JsonFields, context: &RecordContext) -> Result<FileArrival, FileEventError> {
    let (id, name) = (fields.text("id"), fields.text("name"));
    if id.is_empty() || name.is_empty() {
        return judge_file(FileEvent::of_stat(fields), context);
    }
    // An object that a newer version replaced has this.
    let why = fields.has("timeDeleted").then(|| "timeDeleted: the object is gone".to_owned());
    judge_file(FileEvent::of_gcs(fields, &id), &context.clone().or_why(why))
}

/// What an event about a file comes to, with all that was stated around it.
fn judge_file(file: FileEvent, context: &RecordContext) -> Result<FileArrival, FileEventError> {
    let mut file = context.complete_file(file);
    let marker = is_folder_marker(&file.path).then_some("the marker of a folder: only files start tasks");
    let Some(why) = context.why.clone().or_else(|| marker.map(str::to_owned)) else {
        return file.check_lengths().map(FileArrival::File);
    };
    if file.path.is_empty() {
        file.path.clone_from(&context.about);
    }
    if file.path.is_empty() {
        file.path.clone_from(&why);
    }
    Ok(FileArrival::Ignored { file: file.check_lengths()?, why })
}

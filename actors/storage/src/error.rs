//! Errors of files, each with what to change.

pub type Result<T> = std::result::Result<T, Error>;

/// Why a file can't be had or kept. The texts are the same each time, so that a problem is reported once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Location(String),
    #[error("{at} doesn't exist")]
    NotFound { at: String },
    /// The store knows us and says no, or doesn't know us.
    #[error("{at}: access is denied: {hint}")]
    Refused { at: String, hint: &'static str },
    #[error("{at} is larger than {most} bytes: split it")]
    TooLarge { at: String, most: u64 },
    #[error("{at} has more than {most} files: name a smaller folder")]
    TooMany { at: String, most: usize },
    /// The store doesn't answer as one does.
    #[error("{at} can't be reached: {problem}: {hint}")]
    Unreachable { at: String, problem: String, hint: &'static str },
}

/// Which kind of store, for what to change in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StorageKind {
    Local,
    S3,
    Gs,
}

impl StorageKind {
    pub(crate) fn access_hint(self) -> &'static str {
        match self {
            Self::Local => "let the user that runs flowlord read and write it",
            Self::S3 => {
                "check store.s3.access_key and store.s3.secret_key (or AWS_ACCESS_KEY_ID and \
                 AWS_SECRET_ACCESS_KEY), and that this key may list and read the bucket"
            }
            Self::Gs => {
                "check store.gcs.credentials_file (or GOOGLE_APPLICATION_CREDENTIALS), or the HMAC key in \
                 store.gcs.access_key and store.gcs.secret_key, and that this account may list and read the bucket"
            }
        }
    }

    fn reach_hint(self) -> &'static str {
        match self {
            Self::Local => "check the path and its disk",
            Self::S3 => "check the bucket's name, store.s3.endpoint, store.s3.region, its keys, and the network",
            Self::Gs => {
                "check the bucket's name, store.gcs.endpoint, store.gcs.credentials_file or the key in \
                 store.gcs.access_key, and the network"
            }
        }
    }
}

impl Error {
    pub fn of_io(path: &std::path::Path, err: &std::io::Error) -> Self {
        let (at, hint) = (path.display().to_string(), StorageKind::Local.reach_hint());
        Self::Unreachable { at, problem: err.to_string(), hint }
    }

    pub(crate) fn of_store(err: &object_store::Error, kind: StorageKind, at: &str) -> Self {
        use object_store::Error as Store;
        let at = at.to_owned();
        match err {
            Store::NotFound { .. } => Self::NotFound { at },
            Store::PermissionDenied { .. } | Store::Unauthenticated { .. } => {
                Self::Refused { at, hint: kind.access_hint() }
            }
            // The library reports some refusals, like that of a list, as errors without a kind.
            err if is_refusal(err) => Self::Refused { at, hint: kind.access_hint() },
            Store::InvalidPath { source } => Self::Location(format!("{at} can't be a path: {source}")),
            err => Self::Unreachable { at, problem: problem_text(err), hint: kind.reach_hint() },
        }
    }
}

/// The innermost cause: the texts around it tell how long it took, and so differ each time.
fn problem_text(err: &object_store::Error) -> String {
    let text = root_cause(err).to_string();
    let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    // A store's answer goes on for pages, with an id that differs each time: its first line up to that is enough.
    let said = text.split(['<', '{', '\n']).next().unwrap_or_default().trim_end_matches([':', ' ']);
    match code {
        Some((code, _)) => format!("{said}: {code}"),
        None => said.chars().take(300).collect(),
    }
}

fn root_cause(err: &object_store::Error) -> &(dyn std::error::Error + 'static) {
    let mut cause: &(dyn std::error::Error + 'static) = err;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause
}

/// What the library has no name for: a disk's refusal, and a store's to list.
fn is_refusal(err: &object_store::Error) -> bool {
    let root = root_cause(err);
    let io = root.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    let text = root.to_string();
    io == Some(std::io::ErrorKind::PermissionDenied)
        || ["status code: 401", "status code: 403"].iter().any(|status| text.contains(status))
}

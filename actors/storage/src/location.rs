//! Where files are, as people write it.

use std::fmt;
use std::path::PathBuf;

use object_store::path::Path as Key;

use crate::error::{Error, Result, StorageKind};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageLocation {
    Local(PathBuf),
    S3 {
        bucket: String,
        /// What is in it, without slashes at the ends; empty for all.
        key: String,
    },
    Gs {
        bucket: String,
        /// What is in it, without slashes at the ends; empty for all.
        key: String,
    },
}

impl StorageLocation {
    /// Reads a path, `file:///path`, `s3://bucket/path` or `gs://bucket/path`.
    pub fn parse(text: &str) -> Result<Self> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return match text {
                "" => Err(location_error("name a file or a folder, like \"./workflows\" or \"s3://bucket/workflows\"")),
                path => Ok(Self::Local(PathBuf::from(path))),
            };
        };
        match scheme {
            "file" => {
                let path = url::Url::parse(text).ok().and_then(|url| url.to_file_path().ok());
                let path =
                    path.ok_or_else(|| location_error(format!("`{text}`: write it like file:///srv/workflows")))?;
                Ok(Self::Local(path))
            }
            "s3" => parse_bucket(text, rest).map(|(bucket, key)| Self::S3 { bucket, key }),
            "gs" => parse_bucket(text, rest).map(|(bucket, key)| Self::Gs { bucket, key }),
            // As MinIO's own client names a place: the error says what to write instead.
            "mc" | "mcs" => Err(minio_error(text, scheme, rest)),
            "gcs" => Err(location_error(format!("`{text}`: write gs://{rest}"))),
            _ => Err(location_error(format!("`{text}`: write a path, or file://, s3:// or gs:// before it"))),
        }
    }

    pub fn as_local(&self) -> Option<&std::path::Path> {
        match self {
            Self::Local(path) => Some(path),
            Self::S3 { .. } | Self::Gs { .. } => None,
        }
    }

    pub fn join(&self, path: &str) -> Result<Self> {
        // Also for a local folder: a path with `..` would lead out of it.
        let path = key_of(path, path)?;
        Ok(match self {
            Self::Local(folder) => Self::Local(folder.join(path.as_ref())),
            Self::S3 { key, .. } | Self::Gs { key, .. } => {
                let slash = if key.is_empty() || path.as_ref().is_empty() { "" } else { "/" };
                self.with_key(format!("{key}{slash}{path}"))
            }
        })
    }

    /// The last part of it in a store; none where that is the whole bucket.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Local(path) => path.file_name()?.to_str(),
            Self::S3 { key, .. } | Self::Gs { key, .. } => key.rsplit('/').next().filter(|name| !name.is_empty()),
        }
    }

    /// The folder that it is in; itself where that is the whole bucket.
    pub fn parent(&self) -> Self {
        match self {
            Self::Local(path) => Self::Local(path.parent().unwrap_or(path).to_owned()),
            Self::S3 { key, .. } | Self::Gs { key, .. } => {
                self.with_key(key.rsplit_once('/').map_or("", |(above, _)| above))
            }
        }
    }

    /// Its bucket, and where it is in there; of this machine itself, and nothing.
    pub fn split_bucket(&self) -> (Self, &str) {
        match self {
            Self::Local(_) => (self.clone(), ""),
            Self::S3 { key, .. } | Self::Gs { key, .. } => (self.with_key(""), key),
        }
    }

    fn with_key(&self, key: impl Into<String>) -> Self {
        match self {
            Self::Local(path) => Self::Local(path.clone()),
            Self::S3 { bucket, .. } => Self::S3 { bucket: bucket.clone(), key: key.into() },
            Self::Gs { bucket, .. } => Self::Gs { bucket: bucket.clone(), key: key.into() },
        }
    }

    pub(crate) fn storage_kind(&self) -> StorageKind {
        match self {
            Self::Local(_) => StorageKind::Local,
            Self::S3 { .. } => StorageKind::S3,
            Self::Gs { .. } => StorageKind::Gs,
        }
    }
}

impl fmt::Display for StorageLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, bucket, key) = match self {
            Self::Local(path) => return path.display().fmt(f),
            Self::S3 { bucket, key } => ("s3", bucket, key),
            Self::Gs { bucket, key } => ("gs", bucket, key),
        };
        write!(f, "{scheme}://{bucket}")?;
        if key.is_empty() { Ok(()) } else { write!(f, "/{key}") }
    }
}

fn location_error(text: impl Into<String>) -> Error {
    Error::Location(text.into())
}

fn parse_bucket(text: &str, rest: &str) -> Result<(String, String)> {
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    // It becomes part of a URL: nothing else may get into that.
    let is_name = bucket.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    if bucket.is_empty() || !is_name {
        let like = text.split("://").next().unwrap_or_default();
        return Err(location_error(format!("`{text}`: name a bucket, like {like}://bucket/workflows")));
    }
    Ok((bucket.to_owned(), key_of(text, key)?.to_string()))
}

/// A path within a store: `.`, `..` and empty parts are none.
pub(crate) fn key_of(text: &str, path: &str) -> Result<Key> {
    Key::parse(path.trim_matches('/'))
        .map_err(|_| location_error(format!("`{text}`: write the path without `.`, `..` and `//`")))
}

/// `mc://host/bucket/path`, as the reference system names other stores that speak S3; `mcs` with TLS.
fn minio_error(text: &str, scheme: &str, rest: &str) -> Error {
    let (host, path) = rest.split_once('/').unwrap_or((rest, "BUCKET"));
    let http = if scheme == "mcs" { "https" } else { "http" };
    let host = if host.is_empty() { "HOST" } else { host };
    location_error(format!("`{text}`: write s3://{path}, and set store.s3.endpoint = \"{http}://{host}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_written() {
        for (text, written) in [
            ("./workflows", "./workflows"),
            ("/srv/a b", "/srv/a b"),
            ("file:///srv/a%20b", "/srv/a b"),
            ("s3://bucket", "s3://bucket"),
            ("s3://bucket/", "s3://bucket"),
            ("s3://my.bucket-1/a/b.toml", "s3://my.bucket-1/a/b.toml"),
            ("gs://bucket/a b/ü/", "gs://bucket/a b/ü"),
        ] {
            let location = StorageLocation::parse(text).unwrap();
            assert_eq!(location.to_string(), written);
            assert_eq!(location.as_local().is_some(), !written.contains("://"));
        }
    }

    #[test]
    fn what_cant_be_a_place_says_what_to_write() {
        for (text, said) in [
            ("", "name a file or a folder"),
            ("file://host/a", "write it like file:///srv/workflows"),
            ("s3://", "name a bucket, like s3://bucket/workflows"),
            ("s3:///a", "name a bucket"),
            ("s3://user:pass@host/a", "name a bucket"),
            ("s3://bucket/../other", "write the path without `.`, `..` and `//`"),
            ("gs://bucket/a//b", "write the path without `.`, `..` and `//`"),
            ("gcs://bucket/a", "write gs://bucket/a"),
            ("mc://minio:9000/b/a", "write s3://b/a, and set store.s3.endpoint = \"http://minio:9000\""),
            ("mcs://minio/b", "write s3://b, and set store.s3.endpoint = \"https://minio\""),
            ("nop://x", "write a path, or file://, s3:// or gs:// before it"),
        ] {
            let err = StorageLocation::parse(text).unwrap_err().to_string();
            assert!(err.contains(said), "{text}: {err}");
        }
    }

    #[test]
    fn its_name_its_folder_and_its_bucket() {
        for (text, name, parent, key) in [
            ("s3://b/a/x.toml", Some("x.toml"), "s3://b/a", "a/x.toml"),
            ("gs://b/a", Some("a"), "gs://b", "a"),
            ("gs://b", None, "gs://b", ""),
            ("/srv/x.toml", Some("x.toml"), "/srv", ""),
        ] {
            let location = StorageLocation::parse(text).unwrap();
            assert_eq!((location.name(), location.parent().to_string().as_str()), (name, parent));
            assert_eq!(location.split_bucket().1, key);
        }
    }

    #[test]
    fn what_is_below_stays_below() {
        let join = |text: &str, path: &str| StorageLocation::parse(text).unwrap().join(path).map(|at| at.to_string());
        assert_eq!(join("s3://b", "x.toml").unwrap(), "s3://b/x.toml");
        assert_eq!(join("gs://b/a", "c/x.toml").unwrap(), "gs://b/a/c/x.toml");
        assert_eq!(join("gs://b/a", "").unwrap(), "gs://b/a");
        assert_eq!(join("/srv", "c/x.toml").unwrap(), "/srv/c/x.toml");
        assert!(join("/srv", "c/../../x").is_err());
    }
}

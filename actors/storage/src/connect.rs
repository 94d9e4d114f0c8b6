//! Which stores there are, and how they are reached.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

use crate::error::{Error, Result, StorageKind};
use crate::location::{StorageLocation, key_of};
use crate::sift::SiftingConnector;
use crate::store::{FileStorage, RemoteStorage};

/// A value that `{:?}` doesn't show.
#[derive(Clone, PartialEq, Eq)]
pub struct HiddenValue(String);

impl HiddenValue {
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }
}

impl fmt::Debug for HiddenValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// `[store]`: how stores are reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StorageConfig {
    pub s3: S3Access,
    pub gcs: GcsAccess,
    /// `[store.gcs]`: instead of a service account.
    pub gcs_key: Option<HmacKey>,
    /// The environment; what begins with `AWS_` or `GOOGLE_` counts where the sections say nothing.
    pub env: Vec<(String, HiddenValue)>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct S3Access {
    /// The address of a store other than Amazon's; `http://` is taken as it is written.
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub access_key: Option<String>,
    pub secret_key: Option<HiddenValue>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GcsAccess {
    /// The address of a store other than Google's; `http://` is taken as it is written.
    pub endpoint: Option<String>,
    pub credentials_file: Option<PathBuf>,
}

/// A key of GCS for programs that speak S3, as they make it under "Interoperability".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HmacKey {
    pub access_key: String,
    pub secret_key: HiddenValue,
}

impl StorageConfig {
    /// True when the operator said how to reach what `location` is in. A path in a rule must not make the service speak
    /// to stores that its operator never named.
    pub fn reaches(&self, location: &StorageLocation) -> bool {
        match location {
            StorageLocation::Local(_) => true,
            StorageLocation::S3 { .. } => self.s3 != S3Access::default() || self.has_env("AWS_"),
            StorageLocation::Gs { .. } => {
                self.gcs != GcsAccess::default() || self.gcs_key.is_some() || self.has_env("GOOGLE_")
            }
        }
    }

    fn has_env(&self, start: &str) -> bool {
        self.env.iter().any(|(name, _)| name.starts_with(start))
    }

    fn settings_from_env<K: std::str::FromStr>(&self, start: &str) -> impl Iterator<Item = (K, &str)> {
        let named = self.env.iter().filter(move |(name, _)| name.starts_with(start));
        named.filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value.0.as_str())))
    }
}

#[derive(Debug, Clone, Default)]
pub struct StorageConnections {
    config: Arc<StorageConfig>,
    opened: Arc<Mutex<BTreeMap<String, Arc<dyn RemoteStorage>>>>,
}

const MAX_OPEN_BUCKETS: usize = 64;

impl StorageConnections {
    pub fn new(config: StorageConfig) -> Self {
        // The clients' TLS takes the provider of the process, which another crate may have installed.
        let _installed_before = rustls::crypto::ring::default_provider().install_default();
        Self { config: Arc::new(config), opened: Arc::default() }
    }

    pub fn config(&self) -> &StorageConfig {
        &self.config
    }

    /// Everything at and below `location`. Nothing is asked of the store yet.
    pub fn open(&self, location: &StorageLocation) -> Result<FileStorage> {
        let (kind, at) = (location.storage_kind(), location.to_string());
        let (bucket, key) = match location {
            StorageLocation::Local(path) => {
                return Ok(FileStorage::open_local(local_storage(), local_key(path)?, location.clone()));
            }
            StorageLocation::S3 { bucket, key } | StorageLocation::Gs { bucket, key } => (bucket, key_of(&at, key)?),
        };
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("{kind:?} {bucket}");
        if let Some(store) = opened.get(&name) {
            return Ok(FileStorage::open_remote(Arc::clone(store), key, location.clone()));
        }
        let store = match kind {
            StorageKind::S3 => self.open_s3(bucket),
            StorageKind::Gs | StorageKind::Local => self.open_gcs(bucket),
        };
        let store = store.map_err(|err| Error::of_store(&err, kind, &at))?;
        if opened.len() >= MAX_OPEN_BUCKETS {
            // Paths may name any number of buckets; a client that was dropped is made again when it is needed.
            opened.clear();
        }
        opened.insert(name, Arc::clone(&store));
        Ok(FileStorage::open_remote(store, key, location.clone()))
    }

    fn open_s3(&self, bucket: &str) -> object_store::Result<Arc<dyn RemoteStorage>> {
        let S3Access { endpoint, region, access_key, secret_key } = &self.config.s3;
        let mut builder = AmazonS3Builder::new();
        for (key, value) in self.config.settings_from_env("AWS_") {
            use AmazonS3ConfigKey::{AccessKeyId, SecretAccessKey, Token};
            // A session's token goes with its own key only.
            let of_a_key = matches!(key, AccessKeyId | SecretAccessKey | Token);
            if !(of_a_key && access_key.is_some()) {
                builder = builder.with_config(key, value);
            }
        }
        let given = [
            (AmazonS3ConfigKey::Endpoint, endpoint.as_deref()),
            (AmazonS3ConfigKey::Region, region.as_deref()),
            (AmazonS3ConfigKey::AccessKeyId, access_key.as_deref()),
            (AmazonS3ConfigKey::SecretAccessKey, secret_key.as_ref().map(|secret| secret.0.as_str())),
        ];
        for (key, value) in given {
            if let Some(value) = value {
                builder = builder.with_config(key, value);
            }
        }
        build_s3(builder, bucket)
    }

    /// GCS speaks S3 with those who have such a key.
    fn open_gcs_as_s3(&self, bucket: &str, key: &HmacKey) -> object_store::Result<Arc<dyn RemoteStorage>> {
        let endpoint = self.config.gcs.endpoint.as_deref().unwrap_or("https://storage.googleapis.com");
        let builder = AmazonS3Builder::new()
            .with_endpoint(endpoint)
            // The signature names a region, and GCS asks for none.
            .with_region("auto")
            .with_access_key_id(&key.access_key)
            .with_secret_access_key(&key.secret_key.0);
        build_s3(builder, bucket)
    }

    fn open_gcs(&self, bucket: &str) -> object_store::Result<Arc<dyn RemoteStorage>> {
        /// Takes no part in signing: for stores on this machine that ask for no key.
        const NOBODY: &str = r#"{"private_key":"","private_key_id":"","client_email":"","disable_oauth":true}"#;
        let GcsAccess { endpoint, credentials_file } = &self.config.gcs;
        // A service account that was named goes first.
        if let (Some(key), None) = (&self.config.gcs_key, credentials_file) {
            return self.open_gcs_as_s3(bucket, key);
        }
        let mut builder = GoogleCloudStorageBuilder::new();
        let mut has_key = credentials_file.is_some();
        for (key, value) in self.config.settings_from_env::<GoogleConfigKey>("GOOGLE_") {
            let of_an_account = matches!(
                key,
                GoogleConfigKey::ServiceAccount
                    | GoogleConfigKey::ServiceAccountKey
                    | GoogleConfigKey::ApplicationCredentials
            );
            has_key |= of_an_account;
            if !(of_an_account && credentials_file.is_some()) {
                builder = builder.with_config(key, value);
            }
        }
        if let Some(file) = credentials_file {
            // A file with a byte order mark is no JSON to those who read it.
            let marked = std::fs::read_to_string(file).ok().filter(|text| text.starts_with(BYTE_ORDER_MARK));
            builder = match marked {
                Some(text) => builder.with_service_account_key(text.trim_start_matches(BYTE_ORDER_MARK)),
                None => builder.with_service_account_path(file.to_string_lossy()),
            };
        } else if endpoint.is_some() && !has_key {
            builder = builder.with_service_account_key(NOBODY);
        }
        if let Some(endpoint) = endpoint {
            builder = builder.with_base_url(endpoint);
        }
        let store = builder
            .with_bucket_name(bucket)
            .with_client_options(client_options(endpoint.as_deref()))
            .with_http_connector(SiftingConnector)
            .with_retry(retry_config())
            .build()?;
        Ok(Arc::new(store))
    }
}

const BYTE_ORDER_MARK: char = '\u{feff}';

fn build_s3(builder: AmazonS3Builder, bucket: &str) -> object_store::Result<Arc<dyn RemoteStorage>> {
    let endpoint = builder.get_config_value(&AmazonS3ConfigKey::Endpoint);
    let builder = builder
        .with_bucket_name(bucket)
        .with_client_options(client_options(endpoint.as_deref()))
        .with_http_connector(SiftingConnector)
        .with_retry(retry_config())
        // Stores that only speak like S3 lack the other way.
        .with_disable_bulk_delete(true);
    Ok(Arc::new(builder.build()?))
}

fn client_options(endpoint: Option<&str>) -> ClientOptions {
    ClientOptions::new()
        .with_allow_http(endpoint.is_some_and(|endpoint| endpoint.starts_with("http://")))
        .with_connect_timeout(Duration::from_secs(5))
        .with_timeout(Duration::from_secs(60))
}

fn retry_config() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(2),
            base: 2.,
        },
        // Few: callers try again later by themselves.
        max_retries: 2,
        retry_timeout: Duration::from_secs(20),
    }
}

fn local_storage() -> Arc<dyn ObjectStore> {
    // Written to disk before it is said to be there.
    Arc::new(LocalFileSystem::new().with_fsync(true))
}

/// The absolute path, links resolved as far as it is there.
fn local_key(path: &Path) -> Result<Key> {
    // What isn't there yet has no links to resolve; it may be made by the first write.
    let absolute = path.canonicalize().or_else(|_| std::path::absolute(path));
    let key = absolute.ok().and_then(|absolute| Key::from_absolute_path(absolute).ok());
    key.ok_or_else(|| Error::Location(format!("{}: write the path without `.` and `..`", path.display())))
}

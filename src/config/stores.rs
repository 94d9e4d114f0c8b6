//! `[store]`: how object stores are reached.

use std::path::PathBuf;

use flowlord_storage::{GcsAccess, HiddenValue, HmacKey, S3Access, StorageConfig};

use super::read::ValueReader;

pub(super) fn read(from: &mut ValueReader) -> StorageConfig {
    StorageConfig {
        s3: S3Access {
            endpoint: from.url("store.s3.endpoint"),
            region: from.optional("store.s3.region"),
            access_key: from.optional("store.s3.access_key"),
            secret_key: hidden(from, "store.s3.secret_key"),
        },
        gcs: GcsAccess {
            endpoint: from.url("store.gcs.endpoint"),
            credentials_file: from.optional("store.gcs.credentials_file").map(PathBuf::from),
        },
        gcs_key: gcs_key(from),
        env: Vec::new(),
    }
}

fn hidden(from: &mut ValueReader, key: &str) -> Option<HiddenValue> {
    from.secret(key).map(|secret| HiddenValue::new(secret.expose()))
}

fn gcs_key(from: &mut ValueReader) -> Option<HmacKey> {
    // A secret whose file can't be read is reported already: it isn't missing, too.
    let errors = from.errors.len();
    let key = match (from.optional("store.gcs.access_key"), hidden(from, "store.gcs.secret_key")) {
        (Some(access_key), Some(secret_key)) => Some(HmacKey { access_key, secret_key }),
        (Some(_), None) if from.errors.len() == errors => {
            from.error("store.gcs.access_key", "an HMAC key has a secret: set store.gcs.secret_key too");
            None
        }
        (None, Some(_)) => {
            from.error("store.gcs.secret_key", "an HMAC key has a name: set store.gcs.access_key too");
            None
        }
        _ => None,
    };
    if key.is_some() && from.optional("store.gcs.credentials_file").is_some() {
        from.warn("store.gcs.access_key", "store.gcs.credentials_file is set too: that one is used");
    }
    key
}

/// The variables that other programs read about object stores, too.
pub(super) fn variables(env: &[(String, String)]) -> Vec<(String, HiddenValue)> {
    let of_stores = env.iter().filter(|(name, _)| name.starts_with("AWS_") || name.starts_with("GOOGLE_"));
    // Templates of containers leave variables empty that nobody set.
    let set = of_stores.filter(|(_, value)| !value.is_empty());
    set.map(|(name, value)| (name.clone(), HiddenValue::new(value))).collect()
}

pub(super) fn has_google_account(env: &[(String, String)]) -> bool {
    const NAMES: [&str; 4] = [
        "GOOGLE_APPLICATION_CREDENTIALS",
        "GOOGLE_SERVICE_ACCOUNT",
        "GOOGLE_SERVICE_ACCOUNT_PATH",
        "GOOGLE_SERVICE_ACCOUNT_KEY",
    ];
    env.iter().any(|(name, value)| NAMES.contains(&name.as_str()) && !value.is_empty())
}

//! The same with each kind of store: a folder, S3 and GCS by a fake one over plain HTTP.

use flowlord_testkit::{ACCESS_KEY, FakeStore};

use super::*;

/// An address at which nobody listens.
const NOBODY: &str = "http://127.0.0.1:1";

fn s3(endpoint: &str) -> StorageConfig {
    let s3 = S3Access {
        endpoint: Some(endpoint.to_owned()),
        access_key: Some(ACCESS_KEY.to_owned()),
        secret_key: Some(HiddenValue::new("secret")),
        ..S3Access::default()
    };
    StorageConfig { s3, ..StorageConfig::default() }
}

fn gcs(endpoint: &str) -> StorageConfig {
    StorageConfig {
        gcs: GcsAccess { endpoint: Some(endpoint.to_owned()), credentials_file: None },
        ..StorageConfig::default()
    }
}

fn gcs_by_hmac_key(endpoint: &str, access_key: &str) -> StorageConfig {
    let (access_key, secret_key) = (access_key.to_owned(), HiddenValue::new("secret"));
    StorageConfig { gcs_key: Some(HmacKey { access_key, secret_key }), ..gcs(endpoint) }
}

fn open(config: StorageConfig, location: &str) -> FileStorage {
    StorageConnections::new(config).open(&StorageLocation::parse(location).unwrap()).unwrap()
}

/// What every store does.
async fn behaves(store: &FileStorage) {
    assert_eq!(store.list("", 99).await.unwrap(), FolderListing::default());
    for name in ["a.toml", "b/c.toml", "b/d e+ü&.toml", "b/e.toml", "f.toml"] {
        store.put(name, name.to_owned()).await.unwrap();
    }
    let all = store.list("", 99).await.unwrap().objects;
    let paths: Vec<_> = all.iter().map(|object| object.path.as_str()).collect();
    assert_eq!(paths, ["a.toml", "b/c.toml", "b/d e+ü&.toml", "b/e.toml", "f.toml"]);
    assert_eq!(store.list("b", 99).await.unwrap().objects, all[1..4]);
    let level = store.list_level("", 99).await.unwrap();
    let names: Vec<_> = level.files.iter().map(|object| (object.path.as_str(), object.bytes)).collect();
    assert_eq!((names, level.folders), (vec![("a.toml", 6), ("f.toml", 6)], vec!["b".to_owned()]));
    let level = store.list_level("b", 99).await.unwrap();
    assert_eq!((level.files.len(), level.folders.len()), (3, 0));
    assert_eq!(store.list_level("none", 9).await.unwrap(), FolderLevel::default());
    assert!(store.list_level("b", 2).await.unwrap_err().to_string().contains("has more than 2 files"));
    let most = store.list("", 4).await.unwrap_err();
    assert!(most.to_string().contains("has more than 4 files: name a smaller folder"), "{most}");

    let got = store.get("b/d e+ü&.toml", 99).await.unwrap();
    assert_eq!((&got.bytes[..], got.etag.as_str()), ("b/d e+ü&.toml".as_bytes(), all[2].etag.as_str()));
    assert_eq!(store.head("b/c.toml").await.unwrap().etag, all[1].etag);
    store.put("a.toml", "another").await.unwrap();
    assert_ne!(store.head("a.toml").await.unwrap().etag, all[0].etag);
    assert_eq!(store.get("a.toml", 7).await.unwrap().bytes, "another");
    let large = store.get("a.toml", 6).await.unwrap_err();
    assert!(large.to_string().ends_with("a.toml is larger than 6 bytes: split it"), "{large}");

    assert!(!store.create("a.toml", "mine").await.unwrap());
    assert_eq!(store.get("a.toml", 7).await.unwrap().bytes, "another");
    assert!(store.create("log/1.json", "mine").await.unwrap());
    store.remove("log/1.json").await.unwrap();

    store.remove("a.toml").await.unwrap();
    store.remove("a.toml").await.unwrap();
    for missing in [store.head("a.toml").await.unwrap_err(), store.get("a.toml", 9).await.unwrap_err()] {
        assert!(matches!(&missing, Error::NotFound { at } if at.ends_with("a.toml")), "{missing}");
    }
    assert!(store.get("../a.toml", 9).await.unwrap_err().to_string().contains("without `.`, `..`"));
}

async fn copies_large_files(store: &FileStorage) {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    for size in [0, 5, 20 * 1024 * 1024 + 3] {
        let bytes: Vec<u8> = (0..size).map(|n: u32| n.to_le_bytes()[usize::from(n.is_multiple_of(7))]).collect();
        std::fs::write(&from, &bytes).unwrap();
        store.put_file("snapshots/one.db", &from).await.unwrap();
        store.get_file("snapshots/one.db", &to).await.unwrap();
        assert!(std::fs::read(&to).unwrap() == bytes, "{size} bytes come back as they went");
    }
    let missing = store.put_file("x", &folder.path().join("nowhere")).await.unwrap_err().to_string();
    assert!(missing.contains("nowhere can't be reached") && missing.contains("check the path"), "{missing}");
}

#[tokio::test]
async fn a_folder_that_comes_with_its_first_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/one").display().to_string();
    let store = open(StorageConfig::default(), &path);
    behaves(&store).await;
    copies_large_files(&store).await;
    let names: Vec<_> = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().contains('#')), "nothing half is left: {names:?}");
}

#[tokio::test]
async fn s3_over_plain_http() {
    let fake = FakeStore::start();
    let store = open(s3(&fake.url()), "s3://bucket/deep/er");
    fake.write("bucket/deep/erroneous.toml", "not in the folder");
    behaves(&store).await;
    copies_large_files(&store).await;
    assert!(fake.read("bucket/deep/er/f.toml").is_some());
}

#[tokio::test]
async fn gcs_over_plain_http() {
    let fake = FakeStore::start();
    let store = open(gcs(&fake.url()), "gs://bucket/deep/er");
    behaves(&store).await;
    copies_large_files(&store).await;
    assert!(fake.read("bucket/deep/er/f.toml").is_some());
}

#[tokio::test]
async fn gcs_with_an_hmac_key_is_spoken_to_like_s3() {
    let fake = FakeStore::start();
    let key = |access_key: &str| gcs_by_hmac_key(&fake.url(), access_key);
    behaves(&open(key(ACCESS_KEY), "gs://bucket/deep/er")).await;
    copies_large_files(&open(key(ACCESS_KEY), "gs://bucket/deep/er")).await;
    let refused = open(key("ANOTHER"), "gs://bucket").list("", 9).await.unwrap_err().to_string();
    assert!(refused.contains("the HMAC key in store.gcs.access_key and store.gcs.secret_key"), "{refused}");
    assert!(!format!("{:?}", key("A")).contains("secret\""));
}

#[test]
fn a_service_account_file_may_begin_with_a_byte_order_mark() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("account.json");
    let account = r#"{"private_key":"","private_key_id":"","client_email":"","disable_oauth":true}"#;
    std::fs::write(&file, format!("\u{feff}{account}")).unwrap();
    let gcs = GcsAccess { endpoint: Some(NOBODY.to_owned()), credentials_file: Some(file) };
    let stores = StorageConnections::new(StorageConfig { gcs, ..StorageConfig::default() });
    stores.open(&StorageLocation::parse("gs://bucket").unwrap()).unwrap();
}

#[tokio::test]
async fn the_place_itself_may_be_a_file() {
    let fake = FakeStore::start();
    fake.write("bucket/one.toml", "one");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.toml");
    std::fs::write(&path, "one").unwrap();
    for store in
        [open(s3(&fake.url()), "s3://bucket/one.toml"), open(StorageConfig::default(), &path.display().to_string())]
    {
        assert_eq!(store.head("").await.unwrap().bytes, 3);
        assert_eq!(store.get("", 99).await.unwrap().bytes, "one");
        assert_eq!(store.list("", 99).await.unwrap(), FolderListing::default(), "nothing is below it");
    }
}

#[tokio::test]
async fn whoever_is_refused_is_told_what_to_check() {
    let fake = FakeStore::start();
    let mut config = s3(&fake.url());
    config.s3.access_key = Some("ANOTHER".to_owned());
    let refused = open(config, "s3://bucket").list("", 9).await.unwrap_err().to_string();
    assert!(refused.starts_with("s3://bucket: access is denied: check store.s3.access_key"), "{refused}");
    fake.set_broken(Some(401));
    let refused = open(gcs(&fake.url()), "gs://bucket").get("a", 9).await.unwrap_err().to_string();
    assert!(refused.starts_with("gs://bucket/a: access is denied: check store.gcs.cred"), "{refused}");
}

#[tokio::test]
async fn a_store_that_is_away_is_told_in_the_same_words_each_time() {
    let fake = FakeStore::start();
    fake.set_broken(Some(500));
    for (store, said) in [
        (open(s3(NOBODY), "s3://bucket/a"), "Connection refused"),
        (open(gcs(NOBODY), "gs://bucket/a"), "Connection refused"),
        (open(s3(&fake.url()), "s3://bucket/a"), "500 Internal Server Error: Broken"),
    ] {
        let first = store.list("", 9).await.unwrap_err();
        assert!(first.to_string().contains("/a can't be reached: "), "{first}");
        assert!(first.to_string().contains(said), "{first}");
        assert!(first.to_string().contains(".endpoint"), "{first}");
        assert_eq!(store.list("", 9).await.unwrap_err(), first);
    }
}

#[tokio::test]
async fn the_usual_variables_count_where_the_configuration_says_nothing() {
    let fake = FakeStore::start();
    fake.write("bucket/a.toml", "a");
    let env = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), HiddenValue::new(*value))).collect::<Vec<_>>()
    };
    let key = env(&[("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", "x"), ("AWS_UNKNOWN", "x")]);
    let endpoint = env(&[("AWS_ENDPOINT_URL", &fake.url())]);
    let config = StorageConfig { env: [key.clone(), endpoint].concat(), ..StorageConfig::default() };
    assert_eq!(open(config, "s3://bucket").list("", 9).await.unwrap().objects.len(), 1);
    // One's own key goes over a variable's, and isn't sent with its session.
    let mut config = s3(&fake.url());
    config.env = env(&[("AWS_ACCESS_KEY_ID", "ANOTHER"), ("AWS_SESSION_TOKEN", "x")]);
    assert_eq!(open(config.clone(), "s3://bucket").list("", 9).await.unwrap().objects.len(), 1);
    assert!(!format!("{config:?}").contains("secret\""), "{config:?}");
}

#[test]
fn only_stores_that_someone_named_are_reached() {
    let at = |text| StorageLocation::parse(text).unwrap();
    let nothing = StorageConfig { env: vec![("HOME".to_owned(), HiddenValue::new("/"))], ..StorageConfig::default() };
    assert!(nothing.reaches(&at("/srv")) && !nothing.reaches(&at("s3://b")) && !nothing.reaches(&at("gs://b")));
    assert!(s3(NOBODY).reaches(&at("s3://b")) && !s3(NOBODY).reaches(&at("gs://b")));
    assert!(gcs(NOBODY).reaches(&at("gs://b")) && !gcs(NOBODY).reaches(&at("s3://b")));
    let key = HmacKey { access_key: "a".to_owned(), secret_key: HiddenValue::new("x") };
    assert!(StorageConfig { gcs_key: Some(key), ..StorageConfig::default() }.reaches(&at("gs://b")));
    let env = vec![("AWS_PROFILE".to_owned(), HiddenValue::new("x"))];
    assert!(StorageConfig { env, ..StorageConfig::default() }.reaches(&at("s3://b")));
}

#[test]
fn a_key_that_cant_be_read_names_its_file() {
    let gcs = GcsAccess { endpoint: None, credentials_file: Some("/is/not/there.json".into()) };
    let stores = StorageConnections::new(StorageConfig { gcs, ..StorageConfig::default() });
    let err = stores.open(&StorageLocation::parse("gs://bucket").unwrap()).unwrap_err().to_string();
    assert!(err.contains("No such file") && err.contains("store.gcs.credentials_file"), "{err}");
}

/// What is skipped, by path.
fn skipped(skipped: &SkippedEntries) -> Vec<&str> {
    skipped.entries.iter().map(|entry| entry.path.as_str()).collect()
}

fn paths(objects: &[StoredObject]) -> Vec<&str> {
    objects.iter().map(|object| object.path.as_str()).collect()
}

#[tokio::test]
async fn keys_that_cant_be_paths_and_markers_of_folders_hide_no_other() {
    let fake = FakeStore::start();
    for key in ["a.csv", "p//x.csv", "Icon\r", "p/b.csv", "p/x/", "p/./c.csv", "/d.csv", "e&f.csv", "g//", "z"] {
        fake.write(&format!("bucket/in/{key}"), "1");
    }
    for store in [
        open(s3(&fake.url()), "s3://bucket/in"),
        open(gcs(&fake.url()), "gs://bucket/in"),
        open(gcs_by_hmac_key(&fake.url(), ACCESS_KEY), "gs://bucket/in"),
    ] {
        let listing = store.list("", 99).await.unwrap();
        assert_eq!(paths(&listing.objects), ["a.csv", "e&f.csv", "p/b.csv", "z"]);
        assert_eq!(skipped(&listing.skipped), ["/d.csv", "Icon\\r", "p/./c.csv", "p//x.csv"]);
        let level = store.list_level("", 99).await.unwrap();
        assert_eq!((paths(&level.files), level.folders), (vec!["a.csv", "e&f.csv", "z"], vec!["g".into(), "p".into()]));
        assert_eq!(skipped(&level.skipped), ["/", "Icon\\r"]);
        let level = store.list_level("p", 99).await.unwrap();
        assert_eq!((paths(&level.files), skipped(&level.skipped)), (vec!["b.csv"], vec!["./", "/"]));
        assert!(matches!(store.list("", 7).await, Err(Error::TooMany { .. })), "what is skipped counts");
    }
    assert_eq!(open(s3(&fake.url()), "s3://bucket/in/p/x").list("", 9).await.unwrap(), FolderListing::default());
}

#[cfg(unix)]
#[tokio::test]
async fn entries_of_a_folder_that_cant_be_taken_hide_no_other() {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(at("deep/er")).unwrap();
    std::fs::create_dir_all(at(".hidden")).unwrap();
    for name in ["a.csv", "deep/er/b.csv", "Icon\r", "deep/c.csv", ".hidden/x", "part#7"] {
        std::fs::write(at(name), "1").unwrap();
    }
    let latin = folder.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9.csv"));
    std::fs::write(latin, "1").unwrap();
    symlink("itself", at("itself")).unwrap();
    symlink("../..", at("deep/er/again")).unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    symlink("deep/er", at("linked")).unwrap();
    std::fs::create_dir(at("secret")).unwrap();
    std::fs::write(at("secret/d.csv"), "1").unwrap();
    std::fs::set_permissions(at("secret"), std::fs::Permissions::from_mode(0o000)).unwrap();
    // Root reads it all the same.
    let is_secret = std::fs::read_dir(at("secret")).is_err();
    let store = open(StorageConfig::default(), folder.path().to_str().unwrap());
    let listing = store.list("", 99).await.unwrap();
    let mut files = paths(&listing.objects);
    files.retain(|path| *path != "secret/d.csv");
    assert_eq!(files, [".hidden/x", "a.csv", "deep/c.csv", "deep/er/b.csv", "linked/b.csv"]);
    let mut odd = skipped(&listing.skipped);
    assert_eq!(odd.contains(&"secret"), is_secret);
    odd.retain(|path| *path != "secret");
    odd.sort_unstable();
    assert_eq!(odd, ["Icon\\r", "caf\\xE9.csv", "deep/er/again", "itself", "linked/again"]);
    assert_eq!(listing.skipped.entries.iter().filter(|entry| entry.why.is_empty()).count(), 0);
    let level = store.list_level("", 99).await.unwrap();
    assert_eq!(paths(&level.files), ["a.csv"]);
    assert_eq!(level.folders, [".hidden", "deep", "linked", "secret"]);
    let once = list_folder(folder.path(), 99).unwrap();
    assert!(!skipped(&once.skipped).contains(&"deep/er/again"), "nothing is lost behind it");
    let b = paths(&once.objects).into_iter().filter(|path| path.ends_with("b.csv")).count();
    assert_eq!(b, 1, "each file once");
    std::fs::set_permissions(at("secret"), std::fs::Permissions::from_mode(0o700)).unwrap();
}

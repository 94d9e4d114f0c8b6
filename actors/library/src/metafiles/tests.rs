use std::io::Write as _;

use flate2::write::GzEncoder;
use flowlord_storage::{GcsAccess, S3Access, StorageConfig};
use flowlord_testkit::{ACCESS_KEY, FakeStore};

use super::unpack::MAX_ROWS;
use super::*;

/// A workflow folder, with another one beside it.
struct Folder {
    at: tempfile::TempDir,
    files: MetaFiles,
}

impl Folder {
    fn new() -> Self {
        let at = tempfile::tempdir().unwrap();
        for folder in ["flows/rows", "beside"] {
            std::fs::create_dir_all(at.path().join(folder)).unwrap();
        }
        let root = StorageLocation::Local(at.path().join("flows"));
        Self { files: MetaFiles { root, allowed: Vec::new(), stores: StorageConnections::default() }, at }
    }

    fn write(&self, path: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.at.path().join(path);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    }

    async fn ids(&self, path: &str) -> String {
        ids(&self.files, path).await
    }

    async fn refused(&self, path: &str) -> String {
        refused(&self.files, path).await
    }
}

/// The values of `id`.
async fn ids(files: &MetaFiles, path: &str) -> String {
    let rows = files.read_rows(path).await.unwrap();
    rows.iter().map(|row| row.value_of("id").unwrap()).collect::<Vec<_>>().join(",")
}

async fn refused(files: &MetaFiles, path: &str) -> String {
    let err = files.read_rows(path).await.unwrap_err();
    assert_eq!(err.code, Code::InvalidRequest, "{err}");
    assert!(err.detail.starts_with("meta-file "), "{err}");
    err.detail
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

#[tokio::test]
async fn json_lines_and_csv_packed_or_not_one_or_many() {
    let folder = Folder::new();
    folder.write("flows/rows/a.json", "{\"id\":1}\n{\"id\":2}\n");
    folder.write("flows/rows/b.csv", "id,name\n3,c\n");
    // Two members, as `cat a.gz b.gz` makes them.
    folder.write("flows/rows/c.json.gz", [packed(b"{\"id\":4}\n"), packed(b"{\"id\":5}\n")].concat());
    let csv = folder.write("flows/rows/d.csv.gz", packed(b"id\n6\n"));
    folder.write("flows/rows/empty.json", "");
    for (path, expected) in [
        ("rows/a.json", "1,2"),
        ("./rows/b.csv", "3"),
        ("rows/c.json.gz", "4,5"),
        (csv.as_str(), "6"),
        (&format!("file://{csv}"), "6"),
        ("rows/?.*", "1,2,3,4,5,6"),
        ("*/[ab].*", "1,2,3"),
        ("rows/empty.json", ""),
    ] {
        assert_eq!(folder.ids(path).await, expected, "{path}");
    }
    // Beside a single workflow file.
    folder.write("flows/main.toml", "");
    let root = StorageLocation::Local(folder.at.path().join("flows/main.toml"));
    assert_eq!(ids(&MetaFiles { root, ..folder.files.clone() }, "rows/b.csv").await, "3");
}

#[tokio::test]
async fn nothing_outside_is_read_however_it_is_written() {
    let folder = Folder::new();
    folder.write("flows/rows/a.json", "{\"id\":1}\n");
    let outside = folder.write("beside/x.json", "{\"id\":9}\n");
    let pattern = outside.replace("x.json", "*.json");
    for path in ["../beside/x.json", "rows/../../beside/x.json", "rows/../a.json", "*/../../beside/x.json"] {
        let told = folder.refused(path).await;
        assert!(told.contains("write it without `..`"), "{path}: {told}");
    }
    for path in [outside.as_str(), pattern.as_str(), &format!("file://{outside}"), "/etc/passwd", "/*"] {
        let told = folder.refused(path).await;
        assert!(told.contains("is outside the workflow folder") && told.contains("files.allow"), "{told}");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::symlink;
        symlink(&outside, folder.at.path().join("flows/link.json")).unwrap();
        symlink(folder.at.path().join("beside"), folder.at.path().join("flows/linked")).unwrap();
        symlink("rows/a.json", folder.at.path().join("flows/within.json")).unwrap();
        for path in ["link.json", "linked/x.json", "linked/*.json", "l*/x.json", "link.*"] {
            let told = folder.refused(path).await;
            assert!(told.contains("is outside the workflow folder"), "{path}: {told}");
        }
        assert_eq!(folder.ids("within.json").await, "1", "links within are followed");
    }
    let allowed = MetaFiles { allowed: vec![folder.at.path().join("beside")], ..folder.files.clone() };
    assert_eq!(ids(&allowed, &outside).await, "9");
    assert_eq!(ids(&allowed, &pattern).await, "9");
}

#[tokio::test]
async fn what_cant_be_read_says_what_to_change() {
    let folder = Folder::new();
    folder.write("flows/rows/a.json", "{\"id\":1}\n{\"id\":\n");
    folder.write("flows/rows/b.csv", "id,x\n1\n");
    folder.write("flows/rows/c.json", [0xff, b'\n']);
    folder.write("flows/rows/d.json.gz", "{\"id\":1}\n");
    folder.write("flows/rows/bomb.json.gz", packed(&vec![b'\n'; 65 * 1024 * 1024]));
    folder.write("flows/rows/many.csv", "id\n".to_owned() + &"1\n".repeat(MAX_ROWS + 1));
    for n in 0..=MAX_MATCHED_FILES {
        folder.write(&format!("flows/{n}.none"), "");
    }
    for (path, said) in [
        ("rows/x.json", "it doesn't exist: paths are relative to the workflow folder"),
        ("rows", "it is not a file"),
        ("", "it is not a file"),
        ("rows/*.none", "no file matches it"),
        ("*.none", "more than 1000 files match it: name fewer"),
        ("rows/[", "`[` in `[` opens no class"),
        ("rows/a.json", "`rows/a.json`: line 2: not JSON"),
        ("rows/?.json", "a.json: line 2: not JSON"),
        ("rows/b.csv", "line 2: 1 values, but the first line names 2 keys"),
        ("rows/c.json", "not UTF-8 text: save it as UTF-8, and name compressed files .gz"),
        ("rows/d.json.gz", "`rows/d.json.gz`: it can't be read: "),
        ("rows/bomb.json.gz", "larger than 64 MiB uncompressed: split it"),
        ("rows/many.csv", "more than 100000 rows: split the file"),
        ("s3://bucket/x.json", "no such store is configured: set [store.s3] or [store.gcs]"),
        ("mc://host/bucket/x.json", "write s3://bucket/x.json, and set store.s3.endpoint"),
        ("http://169.254.169.254/x", "write a path, or file://, s3:// or gs:// before it"),
    ] {
        let told = folder.refused(path).await;
        assert!(told.contains(said), "{path}: {told}");
    }
}

#[tokio::test]
async fn rows_in_a_store_beside_the_workflows_or_where_the_path_says() {
    let fake = FakeStore::start();
    for (path, text) in [
        ("bucket/flows/main.toml", ""),
        ("bucket/flows/rows/a.json", "{\"id\":1}"),
        ("bucket/flows/rows/b.csv", "id\n2\n"),
        ("bucket/flows/rows/deep/c.json", "{\"id\":3}"),
        ("bucket/secret.json", "{\"id\":9}"),
    ] {
        fake.write(path, text);
    }
    fake.write("bucket/flows/rows/z.json.gz", packed(b"{\"id\":4}"));
    let s3 = S3Access {
        endpoint: Some(fake.url()),
        access_key: Some(ACCESS_KEY.to_owned()),
        secret_key: Some(flowlord_storage::HiddenValue::new("x")),
        region: None,
    };
    let stores = StorageConnections::new(StorageConfig { s3, ..StorageConfig::default() });
    let files = |root: &str| MetaFiles {
        root: StorageLocation::parse(root).unwrap(),
        allowed: Vec::new(),
        stores: stores.clone(),
    };
    for root in ["s3://bucket/flows", "s3://bucket/flows/main.toml"] {
        assert_eq!(ids(&files(root), "rows/a.json").await, "1");
        assert_eq!(ids(&files(root), "rows/*").await, "1,2,4", "a star stays in its folder");
        let told = refused(&files(root), "../secret.json").await;
        assert!(told.contains("write the path without `.`, `..`"), "{told}");
        assert!(refused(&files(root), "rows/x.json").await.contains("s3://bucket/flows/rows/x.json doesn't exist"));
        assert!(refused(&files(root), "rows/x*").await.contains("no file matches it"));
        assert!(refused(&files(root), "/etc/passwd").await.contains("doesn't exist"), "it is below the root");
        let told = refused(&files(root), "gs://bucket/x.json").await;
        assert!(told.contains("no such store is configured"), "{told}");
        let told = refused(&files(root), "file:///etc/passwd").await;
        assert!(told.contains("is outside the workflow folder"), "{told}");
    }
    let folder = Folder::new();
    let here = MetaFiles { stores: stores.clone(), ..folder.files.clone() };
    assert_eq!(ids(&here, "s3://bucket/flows/*/*.json").await, "1");
    fake.set_broken(Some(500));
    let err = here.read_rows("s3://bucket/flows/rows/a.json").await.unwrap_err();
    assert_eq!(err.code, Code::NotReady, "worth trying again: {err}");
}

#[tokio::test]
async fn a_workflow_of_a_store_needs_no_more_to_reach_its_rows() {
    let fake = FakeStore::start();
    fake.write("bucket/rows.json", "{\"id\":1}");
    let gcs = GcsAccess { endpoint: Some(fake.url()), credentials_file: None };
    let stores = StorageConnections::new(StorageConfig { gcs, ..StorageConfig::default() });
    let root = StorageLocation::parse("gs://bucket").unwrap();
    assert_eq!(ids(&MetaFiles { root, allowed: Vec::new(), stores }, "rows.json").await, "1");
}

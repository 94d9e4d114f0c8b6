//! A byte that changed in a snapshot is found before the snapshot is served, wherever it is.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::process::{Server, flowlord, refused, serve};

/// How many pages are tried, all over the file.
const SAMPLE: usize = 12;

fn with_backup(folder: &Path) -> tokio::process::Command {
    let mut command = serve(folder);
    command.args(["--backup-path", "backup"]);
    command
}

/// A backup of a service that had some work.
async fn backed_up(folder: &Path) -> PathBuf {
    let mut server = Server::of(with_backup(folder)).await;
    for n in 0..40 {
        server.api.create(&json!({"type": "a", "info": format!("{n} {}", "x".repeat(3_000))})).await;
    }
    server.terminate();
    assert!(server.ended().await.success());
    let files = std::fs::read_dir(folder.join("backup")).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|ending| ending == "db")).max().unwrap()
}

#[actix::test]
async fn a_flipped_byte_in_any_page_is_found_before_it_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = backed_up(folder.path()).await;
    let whole = std::fs::read(&snapshot).unwrap();
    let size = usize::from(u16::from_be_bytes([whole[16], whole[17]]));
    let pages = whole.len() / size;
    assert!(pages > SAMPLE, "{pages}");
    let name = snapshot.file_name().unwrap().to_str().unwrap();
    let from = format!("backup/{name}");
    let restore = ["restore", "--data", "fresh", "--from", &from];
    for nth in 0..SAMPLE {
        // Within rows as well as within what holds them together.
        let at = nth * pages / SAMPLE * size + nth * size / SAMPLE;
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        std::fs::write(&snapshot, &flipped).unwrap();
        let said = refused(flowlord(folder.path(), &restore)).await;
        assert!(said.contains(name) && said.contains("differs from what was sent there"), "byte {at}: {said}");
        assert!(!folder.path().join("fresh/flowlord.db").exists(), "byte {at}");
    }
    std::fs::write(&snapshot, &whole).unwrap();
    let restored = flowlord(folder.path(), &restore).output().await.unwrap();
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
}

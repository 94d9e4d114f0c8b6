//! Ways by folders and links, and what must be watched on them.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;

/// A folder without links on the way to it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap();
    (folder, path)
}

fn trace(root: &Path) -> PathTrace {
    PathTrace::trace_root(root, &|path| path.extension().is_some_and(|end| end == "toml"))
}

fn watched(trace: &PathTrace, below: &Path) -> Vec<String> {
    let folders = trace.watched_folders().into_iter();
    folders.map(|path| path.strip_prefix(below).unwrap_or(path).display().to_string()).collect()
}

#[test]
fn folders_below_the_root_are_watched_and_hidden_ones_are_not() {
    let (_folder, at) = place();
    for folder in ["w/a/b", "w/.git/objects", "beside"] {
        fs::create_dir_all(at.join(folder)).unwrap();
    }
    fs::write(at.join("w/a/x.toml"), "").unwrap();
    let trace = trace(&at.join("w"));
    assert_eq!(watched(&trace, &at), ["w", "w/a", "w/a/b"]);
    assert!(trace.holds_directly(&at.join("w/a/new.toml")) && !trace.holds_directly(&at.join("w/a/c/new.toml")));
    assert!(!trace.holds_directly(&at.join("beside/new.toml")));
    assert!(trace.leads_by(&at.join("w/a")) && trace.leads_by(&at) && !trace.leads_by(&at.join("beside")));
}

#[test]
fn a_link_leads_to_what_is_watched_in_its_place() {
    let (_folder, at) = place();
    fs::create_dir_all(at.join("v1/sub")).unwrap();
    symlink("v1", at.join("current")).unwrap();
    symlink(at.join("current"), at.join("w")).unwrap();
    let trace = trace(&at.join("w"));
    assert_eq!(watched(&trace, &at), ["v1", "v1/sub"]);
    assert!(["w", "current", "v1"].iter().all(|part| trace.leads_by(&at.join(part))));
    assert!(trace.is_way_the_same());
    fs::create_dir(at.join("v2")).unwrap();
    fs::remove_file(at.join("current")).unwrap();
    symlink("v2", at.join("current")).unwrap();
    assert!(!trace.is_way_the_same(), "another version is linked");
}

#[test]
fn links_to_files_count_where_the_files_matter() {
    let (_folder, at) = place();
    for folder in ["w", "shared", "linked"] {
        fs::create_dir(at.join(folder)).unwrap();
    }
    for file in ["shared/a.toml", "shared/b.txt"] {
        fs::write(at.join(file), "").unwrap();
    }
    symlink("../shared/a.toml", at.join("w/a.toml")).unwrap();
    let with_file = trace(&at.join("w"));
    assert_eq!(watched(&with_file, &at), ["shared", "w"], "the folder of the file");
    fs::remove_file(at.join("w/a.toml")).unwrap();
    symlink("../shared/b.txt", at.join("w/b.txt")).unwrap();
    symlink("../linked", at.join("w/linked")).unwrap();
    symlink("../gone", at.join("w/gone")).unwrap();
    let others = trace(&at.join("w"));
    assert_eq!(watched(&others, &at), ["linked", "w"], "a file that doesn't matter isn't followed");
    assert!(others.leads_by(&at.join("gone")), "it may come");
    assert!(others.is_way_the_same());
    fs::create_dir(at.join("gone")).unwrap();
    assert!(!others.is_way_the_same(), "it came");
}

#[test]
fn circles_of_links_end() {
    let (_folder, at) = place();
    fs::create_dir_all(at.join("w/a")).unwrap();
    symlink("..", at.join("w/a/up")).unwrap();
    assert_eq!(watched(&trace(&at.join("w")), &at), ["w", "w/a"]);
    symlink("two", at.join("one")).unwrap();
    symlink("one", at.join("two")).unwrap();
    let nowhere = trace(&at.join("one"));
    assert!(watched(&nowhere, &at).is_empty() && nowhere.leads_by(&at.join("two")));
}

#[test]
fn a_folder_that_is_replaced_or_comes_is_another_way() {
    let (_folder, at) = place();
    let missing = trace(&at.join("w/deep"));
    assert!(missing.within.is_empty() && missing.is_way_the_same());
    fs::create_dir_all(at.join("w/deep")).unwrap();
    assert!(!missing.is_way_the_same(), "the folder came");
    let there = trace(&at.join("w/deep"));
    assert_eq!(watched(&there, &at), ["w/deep"]);
    fs::write(at.join("w/deep/x.toml"), "").unwrap();
    assert!(there.is_way_the_same(), "files are for the watch to tell");
    fs::rename(at.join("w"), at.join("old")).unwrap();
    assert!(!there.is_way_the_same(), "the folder went");
    fs::create_dir_all(at.join("w/deep")).unwrap();
    assert!(!there.is_way_the_same(), "another one has its name");
}

#[test]
fn a_way_with_dots_is_the_way_without_them() {
    let (_folder, at) = place();
    fs::create_dir_all(at.join("a/b")).unwrap();
    fs::create_dir_all(at.join("w")).unwrap();
    let plain = trace(&at.join("w"));
    let dotted = trace(&at.join("a/b/../.././w"));
    assert_eq!(dotted.within, plain.within);
    symlink("a/b", at.join("link")).unwrap();
    let behind = trace(&at.join("link/../../w"));
    assert_eq!(behind.within, plain.within, "`..` is the folder above the one that the link leads to");
}

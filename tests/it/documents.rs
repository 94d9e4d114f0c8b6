//! What the documents and `deny.toml` promise about dependencies and keys.

use std::collections::BTreeSet;
use std::path::Path;

use cargo_metadata::semver::VersionReq;
use cargo_metadata::{Metadata, MetadataCommand, Package, Source};
use flowlord::config::keys::KEYS;

/// Of the platform that the container has: packages of others may not even be downloaded.
fn metadata() -> Metadata {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    MetadataCommand::new()
        .other_options(["--locked".to_owned(), "--filter-platform".to_owned(), platform])
        .exec()
        .unwrap()
}

fn document(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The licences between the brackets of `allow` in deny.toml.
fn allowed() -> BTreeSet<String> {
    let deny = document("deny.toml");
    let list = deny.split("allow = [").nth(1).unwrap().split(']').next().unwrap();
    list.split(',').map(|item| item.trim().trim_matches('"').to_owned()).filter(|item| !item.is_empty()).collect()
}

/// Whether an expression can be fulfilled by allowed licences: all of its ANDs, by any of their ORs.
fn is_fulfilled(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let expression = expression.replace(" / ", " OR ").replace('/', " OR ").replace(['(', ')'], "");
    expression.split(" AND ").all(|part| part.split(" OR ").any(|licence| allowed.contains(licence.trim())))
}

#[test]
fn every_package_has_an_allowed_licence() {
    let allowed = allowed();
    assert!(is_fulfilled("(MIT OR GPL-3.0) AND ISC", &allowed) && !is_fulfilled("MIT AND GPL-3.0", &allowed));
    let bad: Vec<String> = metadata()
        .packages
        .iter()
        .filter(|package| !package.license.as_deref().is_some_and(|licence| is_fulfilled(licence, &allowed)))
        .map(|package| format!("{} {:?}", package.name, package.license))
        .collect();
    assert_eq!(bad, Vec::<String>::new());
}

#[test]
fn ring_is_the_only_tls_provider() {
    let banned = ["aws-lc-rs", "aws-lc-sys", "openssl", "openssl-sys", "native-tls"];
    let metadata = metadata();
    let found: Vec<&str> =
        metadata.packages.iter().map(|package| package.name.as_str()).filter(|name| banned.contains(name)).collect();
    assert_eq!(found, Vec::<&str>::new());
}

#[test]
fn every_package_of_others_is_of_the_registry_and_has_a_version() {
    let metadata = metadata();
    let of_others = |package: &&Package| !package.name.starts_with("flowlord");
    let elsewhere: Vec<_> =
        metadata.packages.iter().filter(of_others).filter(|package| !is_of_the_registry(package)).collect();
    assert_eq!(elsewhere, Vec::<&Package>::new());
    let mut any_version = Vec::new();
    for package in metadata.workspace_packages() {
        let any = package.dependencies.iter().filter(|needed| needed.path.is_none() && needed.req == VersionReq::STAR);
        any_version.extend(any.map(|needed| format!("{} needs any {}", package.name, needed.name)));
    }
    assert_eq!(any_version, Vec::<String>::new());
}

fn is_of_the_registry(package: &Package) -> bool {
    package.source.as_ref().is_some_and(Source::is_crates_io)
}

#[test]
fn every_direct_dependency_is_explained() {
    let explained = document("docs/dependencies.md");
    let words: BTreeSet<&str> = explained.split(|c: char| !(c.is_alphanumeric() || c == '-' || c == '_')).collect();
    let metadata = metadata();
    let of = |package: &Package| package.dependencies.iter().map(|d| d.name.clone()).collect::<Vec<_>>();
    let direct: BTreeSet<String> = metadata.workspace_packages().iter().flat_map(|package| of(package)).collect();
    let ours = |name: &str| name.starts_with("flowlord");
    let missing: Vec<_> = direct.iter().filter(|name| !ours(name) && !words.contains(name.as_str())).collect();
    assert_eq!(missing, Vec::<&String>::new());
    let table = explained.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    let unused: Vec<_> =
        table.flat_map(|names| names.split(", ")).filter(|name| *name != "crate" && !direct.contains(*name)).collect();
    assert_eq!(unused, Vec::<&str>::new(), "explained, and no longer used");
}

#[test]
fn every_key_is_documented_with_its_default() {
    let text = document("docs/configuration.md");
    for key in KEYS {
        let row = text.lines().find(|line| line.starts_with(&format!("| `{}` |", key.name)));
        let row = row.unwrap_or_else(|| panic!("{} is missing", key.name));
        assert!(
            key.default.is_empty() || row.contains(&format!("| `{}` |", key.default)) || row.contains("`[]`"),
            "{row}"
        );
    }
}

#[test]
fn documents_name_files_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["docs", "docs/adr"]
        .into_iter()
        .flat_map(|folder| std::fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path()));
    let documents = folders
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .chain(["README.md", "CONTRIBUTING.md"].map(|name| root.join(name)));
    let mut named = 0;
    for document in documents {
        let text = std::fs::read_to_string(&document).unwrap();
        // Between backticks, below one of our folders; NAME and NOUN stand for what the reader adds.
        let paths = text.split('`').skip(1).step_by(2).filter(|code| {
            let is_ours = ["actors/", "web/", "src/", "tools/", "tests/"].iter().any(|top| code.starts_with(top));
            is_ours && code.ends_with(".rs") && !code.contains("NAME") && !code.contains("NOUN")
        });
        for path in paths {
            named += 1;
            assert!(root.join(path).is_file(), "{} names {path}, which isn't there", document.display());
        }
    }
    assert!(named > 20, "{named}");
}

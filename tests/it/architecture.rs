//! Who may depend on whom, as design.md draws it, held over `cargo metadata`: so actors can talk by messages
//! only, and nobody but the DB owner can touch the database.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cargo_metadata::{DependencyKind, MetadataCommand};

type Names = BTreeSet<String>;

/// A crate of the workspace.
#[derive(Debug, Clone, Default)]
struct Crate {
    /// What it is built from: direct dependencies, as of the build script.
    needs: Names,
    /// What its tests need on top.
    tests_need: Names,
    /// All that ends up in it, also by way of others.
    contains: Names,
}

type Crates = BTreeMap<String, Crate>;

/// What a crate may need of the workspace.
#[derive(Debug, Clone, Copy)]
enum May {
    Need(&'static [&'static str]),
    Everything,
}

/// What every actor may need: how actors work, what they say, and files, which are no actor but a leaf.
const ACTOR: May = May::Need(&["flowlord-domain", "flowlord-kernel", "flowlord-messages", "flowlord-storage"]);

/// What the crates of the web share.
const WEB_CORE: May = May::Need(&["flowlord-domain", "flowlord-kernel", "flowlord-messages"]);

/// What answers requests, which never needs what answers others.
const WEB_HANDLERS: May = May::Need(&["flowlord-domain", "flowlord-kernel", "flowlord-messages", "flowlord-web-core"]);

/// Every crate of the workspace, and of which others it may be made.
const ROOMS: &[(&str, May)] = &[
    ("flowlord-domain", May::Need(&[])),
    ("flowlord-kernel", May::Need(&["flowlord-domain"])),
    ("flowlord-messages", May::Need(&["flowlord-domain", "flowlord-kernel"])),
    ("flowlord-storage", May::Need(&[])),
    ("flowlord-db", ACTOR),
    ("flowlord-library", ACTOR),
    ("flowlord-scheduler", ACTOR),
    ("flowlord-dispatch", ACTOR),
    ("flowlord-ingest", ACTOR),
    ("flowlord-alerts", ACTOR),
    ("flowlord-slack", ACTOR),
    ("flowlord-files", ACTOR),
    ("flowlord-logs", ACTOR),
    ("flowlord-backload", ACTOR),
    ("flowlord-backup", ACTOR),
    ("flowlord-replica", ACTOR),
    ("flowlord-janitor", ACTOR),
    ("flowlord-web-core", WEB_CORE),
    ("flowlord-web-api", WEB_HANDLERS),
    ("flowlord-web-pages", WEB_HANDLERS),
    ("flowlord-web-compat", WEB_HANDLERS),
    (
        "flowlord-web-server",
        May::Need(&[
            "flowlord-domain",
            "flowlord-kernel",
            "flowlord-messages",
            "flowlord-web-api",
            "flowlord-web-compat",
            "flowlord-web-core",
            "flowlord-web-pages",
        ]),
    ),
    ("flowlord-testkit", ACTOR),
    ("flowlord", May::Everything),
    // It measures the program from outside, next to what SQLite can do by itself, on databases that it fills at once.
    (
        "flowlord-bench",
        May::Need(&["flowlord-db", "flowlord-domain", "flowlord-kernel", "flowlord-messages", "flowlord-testkit"]),
    ),
];

/// The database, and who may contain it. The root and the measurements stand above the rooms.
const DATABASE: [&str; 4] = ["rusqlite", "libsqlite3-sys", "r2d2", "r2d2_sqlite"];
const KNOWS_THE_DATABASE: [&str; 3] = ["flowlord-db", "flowlord", "flowlord-bench"];

/// The parts of actix-web's server, and who may need them.
const HTTP_SERVER: [&str; 3] = ["actix-http", "actix-service", "actix-tls"];
const KNOWS_THE_HTTP_SERVER: &str = "flowlord-web-server";

/// What pure functions don't need.
const IMPURE: [&str; 6] = ["actix", "actix-rt", "tokio", "mio", "reqwest", "env_logger"];

/// What is wrong, each naming the crate and the rule.
fn violations(crates: &Crates) -> Vec<String> {
    let mut found = Vec::new();
    for (name, krate) in crates {
        let Some((_, may)) = ROOMS.iter().find(|(room, _)| room == name) else {
            found.push(format!("{name}: no rule says what it may need; give it one in {}", file!()));
            continue;
        };
        found.extend(wrong_needs(name, krate, *may, crates));
        if !KNOWS_THE_DATABASE.contains(&name.as_str()) {
            let rule = "only the DB owner knows the database: send it a message";
            found.extend(contained(name, krate, &DATABASE, rule));
        }
        if name != KNOWS_THE_HTTP_SERVER {
            let parts = HTTP_SERVER.iter().filter(|part| krate.needs.contains(**part));
            found.extend(parts.map(|part| format!("{name} needs {part}: only the web's server knows HTTP's")));
        }
        if name == "flowlord-domain" {
            found.extend(contained(name, krate, &IMPURE, "the domain is pure functions"));
        }
    }
    found
}

fn wrong_needs(name: &str, krate: &Crate, may: May, crates: &Crates) -> Vec<String> {
    let ours =
        |needs: &Names| -> Vec<String> { needs.iter().filter(|need| crates.contains_key(*need)).cloned().collect() };
    let allowed = |need: &str| match may {
        May::Need(allowed) => allowed.contains(&need),
        May::Everything => need != "flowlord-testkit",
    };
    let rule = match may {
        May::Need(allowed) => format!("it may need {allowed:?} and talks to others by messages"),
        May::Everything => "the tests' tools are for tests".to_owned(),
    };
    let mut found: Vec<_> = ours(&krate.needs).into_iter().filter(|need| !allowed(need)).collect();
    let for_tests = ours(&krate.tests_need).into_iter();
    found.extend(for_tests.filter(|need| need != "flowlord-testkit" && !allowed(need)));
    found.into_iter().map(|need| format!("{name} needs {need}: {rule}")).collect()
}

fn contained(name: &str, krate: &Crate, banned: &[&str], rule: &str) -> Vec<String> {
    let within = krate.contains.union(&krate.tests_need).filter(|within| banned.contains(&within.as_str()));
    within.map(|within| format!("{name} contains {within}: {rule}")).collect()
}

/// The workspace as it is.
fn workspace() -> Crates {
    let metadata = MetadataCommand::new()
        .other_options([
            "--locked".to_owned(),
            "--filter-platform".to_owned(),
            format!("{}-unknown-linux-gnu", std::env::consts::ARCH),
        ])
        .exec()
        .unwrap();
    let resolve = metadata.resolve.as_ref().unwrap();
    let nodes: BTreeMap<_, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let name_of = |id| metadata[id].name.to_string();
    let built_from = |id| {
        let deps = nodes[id].deps.iter();
        deps.filter(|dep| dep.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development))
            .map(|dep| &dep.pkg)
            .collect::<Vec<_>>()
    };
    let krate = |id| {
        let package = &metadata[id];
        let mut krate = Crate::default();
        for dependency in &package.dependencies {
            let names = match dependency.kind {
                DependencyKind::Development => &mut krate.tests_need,
                _ => &mut krate.needs,
            };
            names.insert(dependency.name.clone());
        }
        let mut to_see = built_from(id);
        while let Some(next) = to_see.pop() {
            if krate.contains.insert(name_of(next)) {
                to_see.extend(built_from(next));
            }
        }
        (name_of(id), krate)
    };
    metadata.workspace_members.iter().map(krate).collect()
}

#[test]
fn the_crate_graph_is_as_designed() {
    let crates = workspace();
    assert!(crates["flowlord-db"].contains.contains("rusqlite"), "the graph is read wrongly: {crates:?}");
    assert!(crates["flowlord-messages"].contains.contains("tokio"), "the graph is read wrongly: {crates:?}");
    let violations = violations(&crates);
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

/// The rules themselves: each way to break them is found and named.
#[test]
fn what_breaks_a_rule_is_named() {
    let names = |list: &[&str]| -> Names { list.iter().map(|name| (*name).to_owned()).collect() };
    let krate = |needs: &[&str], tests_need: &[&str], contains: &[&str]| Crate {
        needs: names(needs),
        tests_need: names(tests_need),
        contains: names(contains),
    };
    let well: Crates = ROOMS.iter().map(|(name, _)| ((*name).to_owned(), Crate::default())).collect();
    assert_eq!(violations(&well), Vec::<String>::new());
    for (name, krate, expected) in [
        ("flowlord-web-core", krate(&["flowlord-db"], &[], &[]), "flowlord-web-core needs flowlord-db: it may need"),
        ("flowlord-web-server", krate(&[], &["flowlord-dispatch"], &[]), "flowlord-web-server needs flowlord-dispatch"),
        (
            "flowlord-web-pages",
            krate(&["flowlord-web-api"], &[], &[]),
            "flowlord-web-pages needs flowlord-web-api: it may need",
        ),
        ("flowlord-web-api", krate(&[], &["flowlord-web-pages"], &[]), "flowlord-web-api needs flowlord-web-pages"),
        (
            "flowlord-web-compat",
            krate(&["flowlord-web-server"], &[], &[]),
            "flowlord-web-compat needs flowlord-web-server",
        ),
        ("flowlord-web-core", krate(&["flowlord-web-pages"], &[], &[]), "flowlord-web-core needs flowlord-web-pages"),
        (
            "flowlord-web-pages",
            krate(&["actix-http"], &[], &[]),
            "flowlord-web-pages needs actix-http: only the web's server",
        ),
        ("flowlord-alerts", krate(&["flowlord-slack"], &[], &[]), "flowlord-alerts needs flowlord-slack"),
        ("flowlord-messages", krate(&["flowlord-db"], &[], &[]), "flowlord-messages needs flowlord-db"),
        ("flowlord-domain", krate(&["flowlord-messages"], &[], &[]), "flowlord-domain needs flowlord-messages"),
        ("flowlord-domain", krate(&[], &[], &["tokio"]), "flowlord-domain contains tokio: the domain is pure"),
        ("flowlord-ingest", krate(&[], &[], &["rusqlite"]), "flowlord-ingest contains rusqlite: only the DB owner"),
        ("flowlord-ingest", krate(&[], &["rusqlite"], &[]), "flowlord-ingest contains rusqlite: only the DB owner"),
        ("flowlord", krate(&["flowlord-testkit"], &[], &[]), "flowlord needs flowlord-testkit: the tests' tools"),
        ("flowlord-db", krate(&["flowlord-testkit"], &[], &[]), "flowlord-db needs flowlord-testkit"),
        ("flowlord-new", Crate::default(), "flowlord-new: no rule says what it may need"),
    ] {
        let mut crates = well.clone();
        crates.insert(name.to_owned(), krate);
        let found = violations(&crates);
        assert!(found.len() == 1 && found[0].starts_with(expected), "{expected}: {found:?}");
    }
    let mut fine = well;
    fine.insert(
        "flowlord-web-server".to_owned(),
        krate(&["flowlord-web-pages", "actix-http"], &["flowlord-testkit"], &["actix-web"]),
    );
    fine.insert("flowlord".to_owned(), krate(&["flowlord-db"], &["flowlord-testkit"], &["rusqlite", "actix-web"]));
    assert_eq!(violations(&fine), Vec::<String>::new());
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

/// What goes past ports, the injected clock, or blocks.
#[test]
fn clippy_bans_what_actors_must_not_call() {
    let text = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("clippy.toml"));
    let list = text.split("disallowed-methods = [").nth(1).and_then(|rest| rest.split("\n]").next()).unwrap();
    for method in [
        "actix::Addr::do_send",
        "actix::Addr::send",
        "actix::Addr::try_send",
        "actix::Recipient::do_send",
        "actix::Recipient::send",
        "actix::Recipient::try_send",
        "chrono::Utc::now",
        "chrono::Local::now",
        "std::time::SystemTime::now",
        "std::thread::sleep",
    ] {
        let entry = list.lines().find(|line| line.contains(&format!("path = \"{method}\"")));
        let entry = entry.unwrap_or_else(|| panic!("clippy.toml no longer bans {method}"));
        assert!(entry.contains("reason = \""), "the ban of {method} says what to use instead: {entry}");
    }
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    let metadata = MetadataCommand::new().no_deps().exec().unwrap();
    for package in metadata.workspace_packages() {
        let manifest = read(package.manifest_path.as_std_path());
        assert!(manifest.contains("[lints]\nworkspace = true"), "{} has lints of its own", package.name);
    }
}

/// The writer and the readers of the database, and what stands in for a leader's actors: all that they are sent is guarded
/// by one handler each.
const WRITES_HANDLERS_OUT: [&str; 3] = ["actors/db/", "actors/kernel/", "actors/replica/src/stand_in.rs"];

/// Production sources of actors, with their text.
fn actor_sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("actors"), root.join("web")];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".rs") && !name.contains("tests") && !name.contains("/testkit/") {
                sources.push((name, std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    sources
}

#[test]
fn handlers_are_listed_so_that_they_run_guarded() {
    let sources = actor_sources();
    assert!(sources.len() > 200, "{}", sources.len());
    let listed = sources.iter().filter(|(_, text)| text.contains("handlers!(")).count();
    assert!(listed >= 14, "{listed} actors list what they answer");
    for (name, text) in sources {
        let is_exempt = WRITES_HANDLERS_OUT.iter().any(|folder| name.starts_with(folder));
        let production = text.split("#[cfg(test)]").next().unwrap();
        // Examples in documents stand for actors with what is no part of the program.
        let mut code = production.lines().filter(|line| !line.trim_start().starts_with("//"));
        assert!(
            is_exempt || !code.any(|line| line.contains("Handler<") && line.contains("> for ")),
            "{name} implements a handler by hand: list it in handlers!, so that a panic in it is guarded"
        );
    }
}

//! Commands as a person calls them: what they print, and how they end.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use flowlord_db::DATABASE;
use flowlord_testkit::FakeSlack;
use reqwest::Method;
use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::process::signal;
use crate::support::{Api, TestApp};

/// How long anything here may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program in a folder of its own, without what the machine's environment says.
fn flowlord(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flowlord"));
    command.args(args).current_dir(folder).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn output(mut command: Command) -> (Option<i32>, String, String) {
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends").unwrap();
    let Output { status, stdout, stderr } = output;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[actix::test]
async fn the_effective_configuration_shows_every_layer_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let file = "refresh = \"1m\"\ntimezone = \"Europe/Berlin\"\n[notify]\nurl = \"https://x.example/planted\"\n";
    std::fs::write(folder.path().join("flowlord.toml"), file).unwrap();
    let mut command = flowlord(folder.path(), &["serve", "--print-config", "--tasks-lease", "90s"]);
    command.env("FLOWLORD_REFRESH", "2m").env("FLOWLORD_NOTIFY__TITLE", "planted? no");
    let (code, out, err) = output(command).await;
    assert_eq!((code, err.as_str()), (Some(0), ""));
    for line in [
        "timezone = \"Europe/Berlin\"  # flowlord.toml",
        "refresh = \"2m\"  # environment variable FLOWLORD_REFRESH",
        "lease = \"90s\"  # flag --tasks-lease",
        "url = \"***\"  # flowlord.toml",
    ] {
        assert!(out.contains(line), "{line} in\n{out}");
    }
    assert!(!out.contains("x.example"), "{out}");
}

#[actix::test]
async fn a_call_of_the_old_program_does_what_it_did_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("old.toml"), "status_port = 9090\nrefresh = \"1m\"\n").unwrap();
    let new = output(flowlord(folder.path(), &["serve", "--config", "old.toml", "--print-config"])).await;
    assert!(new.1.contains("listen = \"0.0.0.0:9090\"  # old.toml"), "{}", new.1);
    for old in [&["-c", "old.toml", "-show"][..], &["-config=old.toml", "-show"]] {
        let (code, out, err) = output(flowlord(folder.path(), old)).await;
        assert_eq!((code, &out), (Some(0), &new.1), "{err}");
        assert!(err.contains("write `flowlord serve --config old.toml --print-config`"), "{err}");
    }
    let (code, out, err) = output(flowlord(folder.path(), &["-v"])).await;
    assert_eq!((code, out.starts_with("flowlord ")), (Some(0), true), "{out}");
    assert!(err.contains("write `flowlord --version`"), "{err}");
    let (code, _, err) = output(flowlord(folder.path(), &["-gen", "yaml"])).await;
    assert!(code == Some(2) && err.contains("`flowlord serve --print-config`"), "{err}");
    let (code, _, err) = output(flowlord(folder.path(), &["-c", "is-not-there.toml"])).await;
    assert!(code == Some(2) && err.contains("is-not-there.toml can't be read"), "{err}");
}

#[actix::test]
async fn commands_find_the_data_folder_as_the_service_does() {
    let folder = tempfile::tempdir().unwrap();
    let asked = async |args: &[&str], variable: &str| {
        let mut command = flowlord(folder.path(), args);
        command.env(variable, "variable").env("FLOWLORD_IMAGE__DATA", "image");
        let (code, _, err) = output(command).await;
        assert_eq!(code, Some(1), "{err}");
        err
    };
    for args in [&["health"][..], &["token", "list"], &["tasks"], &["ack"], &["logs", "064c0953867001"]] {
        assert!(asked(args, "X").await.contains("no service runs on image:"), "{args:?}");
    }
    std::fs::write(folder.path().join("flowlord.toml"), "data = \"file\"\n").unwrap();
    for args in [&["health"][..], &["token", "list"]] {
        assert!(asked(args, "X").await.contains("no service runs on file:"), "{args:?}");
        assert!(asked(args, "FLOWLORD_DATA").await.contains("no service runs on variable:"), "{args:?}");
        let flag = [args, &["--data", "flag"]].concat();
        assert!(asked(&flag, "FLOWLORD_DATA").await.contains("no service runs on flag:"), "{args:?}");
    }
    assert!(asked(&["snapshot"], "X").await.contains("there is no database file/"));
}

#[actix::test]
async fn a_wrong_call_is_told_from_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    for args in [&["serve", "--listen", "nowhere"][..], &["serve", "--lisssten", "x"], &["check"], &["work"]] {
        let (code, out, err) = output(flowlord(folder.path(), args)).await;
        assert_eq!((code, out.as_str()), (Some(2), ""), "{args:?}: {err}");
        assert!(!err.is_empty());
    }
    let missing = ["serve", "--listen", "127.0.0.1:0", "--workflow", "is-not-there"];
    let (code, out, err) = output(flowlord(folder.path(), &missing)).await;
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains("is-not-there"), "{err}");
}

#[actix::test]
async fn check_names_each_finding_by_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("good.toml", "[[phase]]\ntask = \"a\"\nrule = \"cron=5 * * * *\"\n");
    let (code, out, _) = output(flowlord(folder.path(), &["check", "good.toml"])).await;
    assert_eq!((code, out.as_str()), (Some(0), ""));

    write("bad.toml", "[[phase]]\ntask = \"a\"\nrule = \"cron=5 * *\"\n");
    write("broken.toml", "[[phase]]\ntask = \n");
    let (code, out, _) = output(flowlord(folder.path(), &["check", "."])).await;
    assert_eq!(code, Some(1));
    assert!(out.lines().any(|line| line.starts_with("./bad.toml:3:") && line.contains("cron")), "{out}");
    assert!(out.lines().any(|line| line.starts_with("./broken.toml:2:")), "{out}");

    let (code, out, _) = output(flowlord(folder.path(), &["check", "bad.toml", "--format", "json"])).await;
    assert_eq!(code, Some(1));
    let findings: Vec<Value> = serde_json::from_str(&out).unwrap();
    assert_eq!((&findings[0]["file"], &findings[0]["line"]), (&"bad.toml".into(), &3.into()), "{out}");
    assert_eq!(findings[0]["severity"], "error");

    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/workflows");
    let (code, out, _) = output(flowlord(folder.path(), &["check", examples.to_str().unwrap()])).await;
    assert_eq!((code, out.as_str()), (Some(0), ""));
}

#[actix::test]
async fn a_plan_says_what_would_start_and_what_would_differ() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let old = "[[phase]]\ntask = \"a\"\nrule = \"cron=30 2 * * *\"\ntemplate = \"{hh}\"\n\
               [[phase]]\ntask = \"b\"\ndependsOn = \"a\"\ntemplate = \"{dd}\"\n\
               [[phase]]\ntask = \"c\"\ndependsOn = \"b\"\n";
    write("old.toml", old);
    write("new.toml", &old.replace("\"c\"", "\"d\""));
    let plan = async |args: &[&str]| {
        let times = ["--from", "2024-03-31", "--to", "2024-04-01"];
        output(flowlord(folder.path(), &[&["plan"], args, &times].concat())).await
    };
    let (code, out, err) = plan(&["old.toml", "--timezone", "Europe/Berlin"]).await;
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert_eq!(out, "2024-03-31T03:00:00+02:00  old.toml  a  01\n  b  31\n    c\n");

    write("flowlord.toml", "timezone = \"Europe/Berlin\"\n");
    let (_, configured, _) = plan(&["old.toml"]).await;
    assert_eq!(configured, out, "the zone of the configuration counts");

    let (code, out, err) = plan(&["old.toml", "new.toml"]).await;
    assert_eq!((code, err.as_str()), (Some(1), ""));
    let expected = "  2024-03-31T03:00:00+02:00  new.toml  a  01\n    b  31\n-     c\n+     d\n";
    assert_eq!(out, expected);
    let (code, out, _) = plan(&["old.toml", "new.toml", "--format", "json"]).await;
    let changes: Vec<Value> = serde_json::from_str(&out).unwrap();
    assert_eq!((code, changes.len()), (Some(1), 2), "{out}");
    let task = |n: usize| &changes[n]["slot"]["children"][0]["children"][0]["task"];
    assert_eq!((&changes[0]["change"], task(0)), (&"removed".into(), &"c".into()));
    assert_eq!((&changes[1]["change"], task(1)), (&"added".into(), &"d".into()));

    for same in [&["old.toml", "old.toml"][..], &["old.toml", "old.toml", "--format", "json"]] {
        let (code, out, _) = plan(same).await;
        assert_eq!((code, out.as_str()), (Some(0), if same.len() == 2 { "" } else { "[]\n" }));
    }
    let wrong = [
        (&["x.toml"][..], "x.toml can't be read"),
        (&["old.toml", "--timezone", "Mars"], "Mars"),
        (&["old.toml", "--to", "2024-03-30"], "--to is not after --from: write a later time"),
        (&["old.toml", "--to", "soon"], "--to: `soon` is not a time: write it like 2024-01-15"),
        (&["old.toml", "--most", "0"], "--most"),
    ];
    for (args, expected) in wrong {
        let args = [&["plan"], args, &["--from", "2024-03-31"]].concat();
        let (code, out, err) = output(flowlord(folder.path(), &args)).await;
        assert_eq!((code, out.as_str()), (Some(2), ""), "{args:?}");
        assert!(err.contains(expected), "{args:?}: {err}");
    }
}

#[actix::test]
async fn completions_are_a_script() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, err) = output(flowlord(folder.path(), &["completions", "bash"])).await;
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("complete -F"), "{out}");
}

async fn until<T>(what: &str, found: impl AsyncFn() -> Option<T>) -> T {
    let search = async {
        loop {
            if let Some(found) = found().await {
                return found;
            }
        }
    };
    tokio::time::timeout(PATIENCE, search).await.unwrap_or_else(|_| panic!("never: {what}"))
}

#[actix::test]
async fn the_demo_runs_the_main_job_and_leaves_nothing() {
    let (folder, slack) = (tempfile::tempdir().unwrap(), FakeSlack::start());
    let mut command = flowlord(folder.path(), &["demo", "--listen", "127.0.0.1:0"]);
    command.env("FLOWLORD_NOTIFY__URL", slack.webhook_url()).env("TMPDIR", folder.path());
    let mut demo = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().expect("a line");
    let api = Api::new(line.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned());

    for topic in ["extract", "load", "aggregate", "publish"] {
        let query = format!("&type={topic}&result=complete");
        until(topic, async || api.tasks(&query).await.pop()).await;
    }
    let failed = until("a failure", async || api.tasks("&type=partner&result=error").await.pop()).await;
    let chain = format!("/api/v1/chains/{}", failed["id"].as_str().unwrap());
    until("its retry", async || api.get(&chain).await.ok()["items"].get(1).cloned()).await;
    until("an alert", async || api.get("/api/v1/alerts").await.ok()["items"].get(0).cloned()).await;
    until("Slack", async || slack.requests().pop()).await;

    signal(demo.id().unwrap(), Signal::INT);
    let ended = tokio::time::timeout(PATIENCE, demo.wait()).await.expect("it ends").unwrap();
    assert!(ended.success(), "{ended}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "its data went with it");
}

#[actix::test]
async fn the_demo_shows_what_slack_would_and_why_its_tasks_fail() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = flowlord(folder.path(), &["demo", "--listen", "127.0.0.1:0", "--notify-min-frequency", "1s"]);
    let mut demo = command.env("TMPDIR", folder.path()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().expect("a line");
    let api = Api::new(line.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned());
    // What isn't JSON is one text.
    let text = async |path: &str| api.get(path).await.ok().as_str().unwrap_or_default().to_owned();

    let shown = async || Some(text("/demo/slack").await).filter(|page| page.contains("in 1 task"));
    let page = until("a message", shown).await;
    assert!(page.contains("attachment red") && page.contains("Acknowledge</button>"), "{page}");
    let failed = api.tasks("&type=partner&result=error").await.pop().expect("what it is about");
    let log = text(&format!("/api/v1/tasks/{}/log", failed["uid"].as_str().unwrap())).await;
    assert!(log.contains("down for maintenance") && log.contains("connection refused"), "{log}");

    // As long as there is an incident, which here comes again by itself.
    let acknowledged = async || {
        let page = text("/demo/slack").await;
        let ts = page.split("name=\"ts\" value=\"").nth(1)?.split('"').next()?.to_owned();
        let form = format!("ts={ts}&do=acknowledge");
        api.send_with(Method::POST, "/demo/slack", &[], form).await.unwrap();
        Some(page).filter(|page| page.contains("acknowledged by someone"))
    };
    until("a click", acknowledged).await;

    signal(demo.id().unwrap(), Signal::INT);
    assert!(tokio::time::timeout(PATIENCE, demo.wait()).await.expect("it ends").unwrap().success());
}

#[actix::test]
async fn a_service_on_its_own_says_that_it_is_in_no_cluster() {
    let flow = TestApp::start().await;
    let (folder, data) = (tempfile::tempdir().unwrap(), flow.data());
    let cluster = async |args: &[&str]| {
        let args = [&["cluster"], args, &["--data", data.to_str().unwrap()]].concat();
        output(flowlord(folder.path(), &args)).await
    };
    let (code, out, err) = cluster(&["status"]).await;
    assert!(code == Some(1) && out.contains("in no cluster"), "{out} {err}");
    let (code, out, _) = cluster(&["status", "--json"]).await;
    assert_eq!((code, &serde_json::from_str::<Value>(&out).unwrap()["role"]), (Some(1), &"single".into()));
    let (code, _, err) = cluster(&["handover", "--to", "b"]).await;
    assert!(code == Some(1) && err.contains("set cluster.node and cluster.url"), "{err}");
    let (code, _, err) = cluster(&["reseed", "--yes"]).await;
    assert!(code == Some(1) && data.join(DATABASE).exists(), "it runs: {err}");
    flow.stop().await;
}

#[actix::test]
async fn a_node_begins_anew_once_that_is_confirmed() {
    let flow = TestApp::start().await;
    flow.api.create(&serde_json::json!({"type": "a", "info": "x"})).await;
    let data = flow.data();
    let (_kept, _slack) = flow.stop().await;
    let folder = tempfile::tempdir().unwrap();
    let reseed = async |data: &Path, more: &[&str]| {
        let args = [&["cluster", "reseed", "--data", data.to_str().unwrap()], more].concat();
        output(flowlord(folder.path(), &args)).await
    };
    let (code, out, err) = reseed(&data, &[]).await;
    assert!(code == Some(1) && out.is_empty() && err.contains("Repeat it with --yes"), "{out} {err}");
    assert!(data.join(DATABASE).exists());
    let (code, out, err) = reseed(&data, &["--yes"]).await;
    assert!(code == Some(0) && out.contains("the next start of this node gets a copy"), "{out} {err}");
    let kept = out.split_once("kept as ").and_then(|(_, rest)| rest.split_once("; ")).unwrap().0;
    assert!(!data.join(DATABASE).exists() && Path::new(kept).exists(), "{out}");
    let (code, _, err) = reseed(&data, &["--yes"]).await;
    assert!(code == Some(1) && err.contains("there is no database"), "{err}");
    let elsewhere = folder.path().join("mistyped");
    reseed(&elsewhere, &["--yes"]).await;
    assert!(!elsewhere.exists());
}

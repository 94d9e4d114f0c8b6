//! Lists and acts from a terminal, as a person calls them.

use std::process::Stdio;
use std::time::Duration;

use chrono::TimeDelta;
use flowlord_testkit::can_run;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use crate::support::{TestApp, WORKFLOW};

/// How long anything here may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

const UID: &str = "064c0953867001";

/// What a command printed, and how it ended.
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

fn command(server: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flowlord"));
    command.args(args).env_clear().env("TZ", "UTC").env("FLOWLORD_SERVER", server);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn end_of(mut command: Command) -> Ended {
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends").unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    Ended { code: output.status.code(), out, err }
}

async fn run(app: &TestApp, args: &[&str]) -> Ended {
    end_of(command(&app.api.base, args)).await
}

/// What it printed; panics unless it went well.
async fn printed(app: &TestApp, args: &[&str]) -> String {
    let Ended { code, out, err } = run(app, args).await;
    assert_eq!(code, Some(0), "{args:?}: {out}{err}");
    assert!(!out.contains('\x1b'), "{args:?} has colours in a pipe: {out:?}");
    out
}

async fn printed_at_both_widths(app: &TestApp, args: &[&str]) -> String {
    let mut tables = String::new();
    for width in ["80", "160"] {
        let table = printed(app, &[args, &["--width", width]].concat()).await;
        tables.push_str(&format!("{width} columns\n{table}\n"));
    }
    tables
}

/// The one document that it printed.
async fn document(app: &TestApp, args: &[&str]) -> Value {
    let out = printed(app, &[args, &["--json"]].concat()).await;
    serde_json::from_str(&out).unwrap_or_else(|err| panic!("{args:?}: {err}: {out}"))
}

/// Tasks of each kind: complete, a dead letter with its retries, one that waits.
async fn app_with_tasks() -> (TestApp, String) {
    let app = TestApp::start().await;
    let task = |more: Value| {
        let mut task = json!({"type": "extract", "job": "orders", "info": "?hour=2026-03-02T11", "id": "chain-1"});
        task.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        task
    };
    app.api.create(&task(json!({"meta": "workflow=main.toml"}))).await;
    let leased = app.api.lease("extract").await.unwrap();
    app.api.complete(&leased.lease, "file=s3://lake/orders/2026/03/02/11/orders-with-a-long-name.json.gz").await;
    let loading = app.api.lease("load").await.unwrap();
    let msg = "no space left on \x1b[31mdevice\x1b[0m\nwhile writing 漢字 to a temporary file that is quite long";
    app.api.result(&loading.lease, &json!({"result": "alert", "msg": msg})).await.ok();
    app.api
        .create(&task(json!({"type": "nobody", "job": "", "id": "chain-2", "not_before": "2026-03-03T01:00:00Z"})))
        .await;
    app.api.create(&task(json!({"type": "a-topic-with-a-name-that-is-long", "id": "chain-3"}))).await;
    app.clock.settle().await;
    let failed = app.api.tasks("&type=load").await.remove(0);
    (app, failed["uid"].as_str().unwrap().to_owned())
}

#[actix::test]
async fn each_command_fits_its_width_and_prints_one_document_as_json() {
    let (app, failed) = app_with_tasks().await;
    let commands: [(&str, &[&str]); 10] = [
        ("attention", &["attention"]),
        ("tasks", &["tasks", "--date", "2026-03-02"]),
        ("show", &["show", &failed]),
        ("alerts", &["alerts", "--date", "2026-03-02"]),
        ("workers", &["workers"]),
        ("queues", &["queues"]),
        ("rerun", &["rerun", "--query", "type:load"]),
        ("cancel", &["cancel", "--state", "ready,delayed"]),
        ("pause", &["pause", "main.toml", "report"]),
        ("resume", &["resume", "main.toml", "notify"]),
    ];
    for (name, args) in commands {
        let tables = printed_at_both_widths(&app, args).await;
        insta::assert_snapshot!(name, tables);
        let document = document(&app, args).await;
        assert!(["uid", "items", "tasks", "task", "stuck"].iter().any(|name| !document[*name].is_null()), "{document}");
        // COLUMNS counts where no terminal says how wide it is.
        let mut narrow = command(&app.api.base, args);
        narrow.env("COLUMNS", "80");
        assert!(tables.contains(&end_of(narrow).await.out), "{name}");
    }
    app.stop().await;
}

#[actix::test]
async fn lists_are_searched_and_read_page_by_page() {
    let app = TestApp::start().await;
    let many: Vec<Value> = (0..1_000).map(|n| json!({"type": "load", "info": format!("i{n}")})).collect();
    app.api.post("/api/v1/tasks", &json!(many)).await.ok();
    app.api.post("/api/v1/tasks", &json!(many)).await.ok();
    let list = document(&app, &["tasks", "--limit", "1500"]).await;
    let mut uids: Vec<&str> =
        list["items"].as_array().unwrap().iter().map(|task| task["uid"].as_str().unwrap()).collect();
    uids.dedup();
    assert_eq!(uids.len(), 1_500);
    let rest = document(&app, &["tasks", "--limit", "1500", "--cursor", list["next"].as_str().unwrap()]).await;
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next"]), (500, &Value::Null));

    let found = document(&app, &["tasks", "--query", "type:load i77 -i770"]).await;
    let infos: Vec<&str> =
        found["items"].as_array().unwrap().iter().map(|task| task["info"].as_str().unwrap()).collect();
    assert!(infos.len() == 20 && infos.iter().all(|info| info.starts_with("i77") && *info != "i770"), "{infos:?}");
    assert_eq!(document(&app, &["tasks", "--state", "done,leased"]).await["items"], json!([]));

    let Ended { out, err, .. } = run(&app, &["tasks", "--limit", "3"]).await;
    assert_eq!(out.lines().count(), 4, "{out}");
    assert!(err.starts_with("3 shown: more with --limit, or go on with --cursor "), "{err}");
    app.stop().await;
}

#[actix::test]
async fn tasks_are_rerun_by_name_or_by_search_after_a_dry_run() {
    let (app, failed) = app_with_tasks().await;
    let search = ["rerun", "--query", "type:load result:alert", "--date", "2026-03-02"];
    let dry = printed(&app, &search).await;
    assert!(dry.ends_with("1 task would be rerun; do it with --execute\n") && dry.contains(&failed), "{dry}");
    assert_eq!(document(&app, &search).await["created"], 0);
    let done = printed(&app, &[&search[..], &["--execute", "--downstream", "failed"]].concat()).await;
    assert!(done.ends_with("1/1 tasks rerun\n"), "{done}");
    assert!(app.api.tasks("&type=load").await[1]["meta"].as_str().unwrap().contains("rerun=failed"));

    let Ended { code, out, err } = run(&app, &["rerun", &failed, "064c0953867fff"]).await;
    assert_eq!((code, out.as_str()), (Some(1), "0/2 tasks rerun\n"), "the rerun of the first has no result yet");
    assert!(err.contains(&format!("{failed}: 409")) && err.contains("064c0953867fff: 404"), "{err}");
    let extracted = app.api.tasks("&type=extract").await[0]["uid"].as_str().unwrap().to_owned();
    let again = document(&app, &["rerun", &extracted, "--downstream", "false"]).await;
    assert_eq!((&again["count"], &again["created"], &again["failed"]), (&json!(1), &json!(1), &json!([])));
    app.stop().await;
}

#[actix::test]
async fn tasks_are_cancelled_by_name_or_by_search_after_a_dry_run() {
    let (app, failed) = app_with_tasks().await;
    let search = ["cancel", "--query", "type:nobody"];
    let dry = printed(&app, &search).await;
    assert!(dry.ends_with("1 task would be cancelled; do it with --execute\n"), "{dry}");
    let done = printed(&app, &[&search[..], &["--execute", "--note", "not today"]].concat()).await;
    assert!(done.ends_with("1/1 tasks cancelled\n") && done.contains("cancelled: not today"), "{done}");
    let Ended { code, err, .. } = run(&app, &["cancel", &failed]).await;
    assert!(code == Some(1) && err.contains("409"), "{err}");
    let ready = app.api.tasks("&state=ready").await[0]["uid"].as_str().unwrap().to_owned();
    let one = document(&app, &["cancel", &ready]).await;
    assert_eq!((&one["matched"], &one["cancelled"]), (&json!(1), &json!(1)));
    app.stop().await;
}

#[actix::test]
async fn phases_are_paused_resumed_and_run() {
    let app = TestApp::start().await;
    let phase = ["main.toml", "extract:orders"];
    let paused = printed(&app, &[&["pause"], &phase[..]].concat()).await;
    assert_eq!(paused, "extract:orders of main.toml is paused since 2026-03-02 12:00\n");
    assert_eq!(document(&app, &[&["pause"], &phase[..]].concat()).await["paused"], true);
    assert_eq!(printed(&app, &[&["resume"], &phase[..]].concat()).await, "extract:orders of main.toml is not paused\n");
    assert_eq!(document(&app, &[&["resume"], &phase[..]].concat()).await["paused"], false);
    let wanted = ["--time", "2026-01-15T03", "--meta", "file=a.csv", "--meta", "k=v=w"];
    let ran = document(&app, &[&["run"], &phase[..], &wanted].concat()).await;
    assert_eq!(ran["items"][0]["info"], "?hour=2026-01-15T03");
    let meta = ran["items"][0]["meta"].as_str().unwrap();
    assert!(meta.contains("file=a.csv") && meta.contains("k=v"), "{meta}");
    insta::assert_snapshot!("run", printed_at_both_widths(&app, &[&["run"], &phase[..]].concat()).await);
    for args in [&["pause", "x.toml", "load"][..], &["run", "main.toml", "x"]] {
        let Ended { code, out, err } = run(&app, args).await;
        assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
        assert!(err.starts_with("flowlord: 404"), "{err}");
    }
    app.stop().await;
}

#[actix::test]
async fn alerts_are_acknowledged_and_silenced() {
    let app = TestApp::start().await;
    app.api.create(&json!({"type": "extract", "job": "orders", "info": "i", "meta": "workflow=main.toml"})).await;
    for _ in 0..3 {
        let leased = app.api.lease("extract").await.expect("a task to fail");
        app.api.result(&leased.lease, &json!({"result": "error", "msg": "no disk"})).await.ok();
        app.pass(TimeDelta::seconds(90)).await;
    }
    let ack = ["ack", "--job", "orders", "--for", "2h", "--note", "on it"];
    insta::assert_snapshot!("ack", printed_at_both_widths(&app, &ack).await);
    let said = document(&app, &["ack", "--by", "ann"]).await;
    assert_eq!(said["items"][0]["tasks"], json!(["extract:orders"]));
    let Ended { code, out, .. } = run(&app, &["ack", "--type", "none"]).await;
    assert_eq!((code, out.as_str()), (Some(1), "Nothing that matches fails now\n"));

    let silence = ["silence", "--workflow", "etl/*", "--for", "4h", "--reason", "it moves", "--by", "ann"];
    insta::assert_snapshot!("silence", printed_at_both_widths(&app, &silence).await);
    assert_eq!(document(&app, &silence).await["match"], json!({"workflow": "etl/*"}));
    let Ended { code, err, .. } = run(&app, &["silence", "--for", "9000d", "--reason", "x"]).await;
    assert!(code == Some(1) && err.contains("365d"), "{err}");
    app.stop().await;
}

#[actix::test]
async fn a_wrong_call_ends_with_2_and_a_refusal_with_1() {
    let app = TestApp::start().await;
    for (args, says) in [
        (&["tasks", "--query", "\"disk"][..], "a quote isn't closed"),
        (&["tasks", "--query", "result:good"], "write complete, error"),
        (&["tasks", "--limit", "0"], "--limit"),
        (&["tasks", "--watch", "--json"], "cannot be used with"),
        (&["show", "x"], "UID"),
        (&["rerun"], "UID"),
        (&["rerun", "064c0953867001", "--execute"], "--execute"),
        (&["rerun", "064c0953867001", "--query", "x"], "cannot be used with"),
        (&["rerun", "064c0953867001", "--downstream", "some"], "--downstream"),
        (&["silence", "--for", "soon", "--reason", "x"], "soon"),
        (&["silence", "--for", "1h"], "--reason"),
        (&["logs", "064c0953867001", "--tail", "much"], "64kB"),
        (&["run", "main.toml"], "PHASE"),
    ] {
        let Ended { code, out, err } = run(&app, args).await;
        assert_eq!((code, out.as_str()), (Some(2), ""), "{args:?}: {err}");
        assert!(err.contains(says), "{args:?}: {err}");
    }
    for args in [&["show", "064c0953867001"][..], &["tasks", "--state", "good"], &["tasks", "--cursor", "x"]] {
        let Ended { code, out, err } = run(&app, args).await;
        assert_eq!((code, out.as_str()), (Some(1), ""), "{args:?}: {err}");
        assert!(err.starts_with("flowlord: 4"), "{err}");
    }
    app.stop().await;
}

#[actix::test]
async fn colours_are_for_terminals_and_not_for_those_who_want_none() {
    let (app, _) = app_with_tasks().await;
    let coloured = async |variables: &[(&str, &str)]| {
        let mut command = command(&app.api.base, &["tasks", "--width", "80"]);
        command.envs(variables.iter().copied());
        end_of(command).await.out
    };
    let forced = coloured(&[("CLICOLOR_FORCE", "1")]).await;
    assert!(forced.contains("\x1b[32mcomplete\x1b[0m") && forced.contains("\x1b[31malert\x1b[0m"), "{forced:?}");
    assert!(!forced.contains("device\x1b"), "a task's own escape sequences never reach a terminal");
    for variables in [&[][..], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]] {
        assert!(!coloured(variables).await.contains('\x1b'), "{variables:?}");
    }
    app.stop().await;
}

#[actix::test]
async fn a_watched_list_is_drawn_anew_until_its_reader_goes() {
    let app = TestApp::start().await;
    let mut watch = command(&app.api.base, &["tasks", "--watch=1"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next = async || tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("a line").unwrap().unwrap();
    assert!(next().await.starts_with("STATE"));
    let task = app.api.create(&json!({"type": "load", "info": "i"})).await;
    while !next().await.contains(task["uid"].as_str().unwrap()) {}
    drop(lines);
    let ended = tokio::time::timeout(PATIENCE, watch.wait()).await.expect("it ends").unwrap();
    assert!(ended.success(), "{ended}");
    app.stop().await;
}

#[actix::test]
async fn a_watched_list_is_read_again_only_after_an_event() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let mut watch = command(&server, &["tasks", "--watch=1"]).stdout(Stdio::null()).spawn().unwrap();
    let answer_list = async || {
        let (mut connection, _) = listener.accept().await.unwrap();
        assert!(read_head(&mut connection).await.starts_with("GET /api/v1/tasks?"));
        let list = answer("200 OK", "application/json", r#"{"items":[],"next":null}"#);
        connection.write_all(list.as_bytes()).await.unwrap();
    };
    answer_list().await;
    let (mut events, _) = listener.accept().await.unwrap();
    assert!(read_head(&mut events).await.starts_with("GET /api/v1/events?kind=task,tasks "));
    events.write_all(answer("200 OK", "text/event-stream", ": hello\n\n").as_bytes()).await.unwrap();
    answer_list().await;
    let idle = tokio::time::timeout(Duration::from_secs(3), listener.accept()).await;
    assert!(idle.is_err(), "nothing changed, so nothing is read");
    events.write_all(b"event: tasks\ndata: {}\n\n").await.unwrap();
    answer_list().await;
    watch.kill().await.unwrap();
}

#[actix::test]
async fn a_watched_list_outlives_a_service_that_is_away() {
    let list = |info: &str| {
        let task = json!({
            "uid": UID, "id": "c", "type": "load", "info": info, "state": "ready", "attempt": 1,
            "created": "2026-03-02T12:00:00Z",
        });
        answer("200 OK", "application/json", &json!({"items": [task], "next": null}).to_string())
    };
    let away = || answer("503 Service Unavailable", "text/plain", "");
    // Lists in turn with the events that say when to read the next one.
    let answers = [list("before"), away(), away(), away(), list("after")];
    let (server, serving) = serve_answers(&answers.each_ref().map(String::as_str)).await;
    let mut watch = command(&server, &["tasks", "--watch=1"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut seen = Vec::new();
    while !seen.iter().any(|line: &String| line.contains("after")) {
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("a line").unwrap();
        seen.push(line.expect("it goes on"));
    }
    let away = seen.iter().position(|line| line.contains("503")).unwrap();
    assert!(seen[away - 1].contains("before"), "what it showed stays: {seen:?}");
    serving.await.unwrap();
    watch.kill().await.unwrap();

    let (server, _serving) = serve_answers(&[&answer("503 Service Unavailable", "text/plain", "")]).await;
    let Ended { code, out, .. } = end_of(command(&server, &["tasks", "--watch"])).await;
    assert_eq!((code, out.as_str()), (Some(1), ""), "a service that was never there is not waited for");
}

#[actix::test]
async fn a_viewer_looks_and_an_operator_acts() {
    let app = TestApp::configured(WORKFLOW, |_| "[auth]\nrequired = true\n".to_owned()).await;
    let data = app.data().to_str().unwrap().to_owned();
    // Who may read the data folder needs no token.
    let local = async |args: &[&str]| {
        let mut command = command("", &[args, &["--data", &data]].concat());
        command.env_remove("FLOWLORD_SERVER");
        end_of(command).await
    };
    assert_eq!(local(&["run", "main.toml", "extract:orders"]).await.code, Some(0));
    let [viewer, operator] = [("view", "viewer"), ("act", "operator")];
    let token = async |(name, role): (&str, &str)| local(&["token", "add", name, "--role", role]).await.out;
    let (viewer, operator) = (token(viewer).await, token(operator).await);
    for (token, args, expected, says) in [
        ("", &["tasks"][..], 1, "401"),
        (&viewer, &["tasks"], 0, "extract:orders"),
        (&viewer, &["pause", "main.toml", "load"], 1, "403"),
        (&operator, &["pause", "main.toml", "load"], 0, "load of main.toml is paused"),
    ] {
        let mut command = command(&app.api.base, args);
        command.env("FLOWLORD_TOKEN", token.trim());
        let Ended { code, out, err } = end_of(command).await;
        assert_eq!(code, Some(expected), "{args:?}: {out}{err}");
        assert!(format!("{out}{err}").contains(says), "{args:?}: {out}{err}");
    }
    app.stop().await;
}

/// A service that gives these answers, one a connection, and what it was asked.
async fn serve_answers(answers: &[&str]) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let answers: Vec<String> = answers.iter().map(|answer| (*answer).to_owned()).collect();
    let serving = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut connection, _) = listener.accept().await.unwrap();
            asked.push(read_head(&mut connection).await);
            connection.write_all(answer.as_bytes()).await.unwrap();
        }
        asked
    });
    (server, serving)
}

async fn read_head(connection: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

fn answer(status: &str, content_type: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\nconnection: close\r\n\r\n{body}")
}

#[actix::test]
async fn a_log_is_printed_whole_or_its_end() {
    let log = "one\n\x1b[31mtwo\x1b[0m\nno end é";
    let (server, serving) = serve_answers(&[&answer("200 OK", "text/plain", log)]).await;
    let Ended { code, out, err } = end_of(command(&server, &["logs", UID, "--tail", "4kB"])).await;
    assert_eq!((code, out.as_str()), (Some(0), "one\ntwo\nno end é"), "{err}");
    let asked = serving.await.unwrap();
    assert!(asked[0].starts_with(&format!("GET /api/v1/tasks/{UID}/log?tail=4000 HTTP")), "{asked:?}");

    let none = json!({"code": "no_log", "detail": "its worker sent no log"}).to_string();
    let (server, _serving) = serve_answers(&[&answer("404 Not Found", "application/problem+json", &none)]).await;
    let Ended { code, out, err } = end_of(command(&server, &["logs", UID])).await;
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert_eq!(err, "flowlord: 404 Not Found: its worker sent no log\n");

    let unknown = json!({"code": "task_unknown", "detail": "there is no such task"}).to_string();
    let (server, _serving) = serve_answers(&[&answer("404 Not Found", "application/problem+json", &unknown)]).await;
    let Ended { code, err, .. } = end_of(command(&server, &["logs", "-f", UID])).await;
    assert_eq!((code, err.as_str()), (Some(1), "flowlord: 404 Not Found: there is no such task\n"));
}

#[actix::test]
async fn a_log_is_followed_over_a_connection_that_breaks() {
    let events = |text: &str| answer("200 OK", "text/event-stream", text);
    let answers = [
        events("id: 4\ndata: one\ndata: \n\n:\n\nid: 8\ndata: tw"),
        answer("503 Service Unavailable", "text/plain", ""),
        events("id: 8\ndata: two\ndata: \n\nid: 9\ndata: 3\n\nevent: end\ndata:\n\n"),
    ];
    let (server, serving) = serve_answers(&answers.each_ref().map(String::as_str)).await;
    let Ended { code, out, err } = end_of(command(&server, &["logs", "-f", UID])).await;
    assert_eq!((code, out.as_str()), (Some(0), "one\ntwo\n3"), "{err}");
    let asked = serving.await.unwrap();
    assert!(asked[0].contains("/log?follow=true ") && !asked[0].contains("last-event-id"), "{asked:?}");
    assert!(asked[1..].iter().all(|head| head.contains("last-event-id: 4\r\n")), "{asked:?}");
}

#[actix::test]
async fn bash_completes_what_the_service_knows() {
    if !can_run(&["bash"]) {
        return;
    }
    let app = TestApp::start().await;
    app.api.create(&json!({"type": "by-hand", "info": "i"})).await;
    let script = printed(&app, &["completions", "bash"]).await;
    let call = "COMP_LINE=$1 COMP_POINT=${#1} COMP_CWORD=$2\nIFS=' ' read -ra COMP_WORDS <<< \"$1\"\n\
                _flowlord_or_candidates flowlord \"$3\" \"$4\"; echo \"${COMPREPLY[@]}\"";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("complete.bash");
    std::fs::write(&file, script + call).unwrap();
    for (line, expected) in [
        ("flowlord pause ", "main.toml"),
        ("flowlord run main.toml ", "extract:orders load notify report"),
        ("flowlord run main.toml extract:o", "orders"),
        ("flowlord tasks --type ", "by-hand extract load notify report"),
        ("flowlord ack --workflow m", "main.toml"),
        ("flowlord tasks --stat", "--state"),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let last = words.len() - 1;
        let mut bash = Command::new("bash");
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_flowlord")).parent().unwrap();
        let path = std::env::join_paths([program, "/bin".as_ref(), "/usr/bin".as_ref()]).unwrap();
        bash.args([file.to_str().unwrap(), line, &last.to_string(), words[last], words[last - 1]]);
        bash.env("PATH", path).env("FLOWLORD_SERVER", &app.api.base).stdin(Stdio::null());
        let Ended { out, err, .. } = end_of(bash).await;
        assert_eq!(out.trim_end(), expected, "{line}: {err}");
    }
    app.stop().await;
}

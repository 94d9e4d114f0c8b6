//! `flowlord alerts simulate`: the same through the running service and on its files; what is wrong is said.

use serde_json::json;

use crate::process::{Server, flowlord, serve};

const ASK: [&str; 10] =
    ["alerts", "simulate", "--policy", "seldom.toml", "--from", "2020-01-01", "--to", "2199-01-01", "--data", "data"];

async fn run(folder: &std::path::Path, args: &[&str]) -> (Option<i32>, String, String) {
    let output = flowlord(folder, args).env_remove("FLOWLORD_CONFIG").output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[actix::test]
async fn recorded_alerts_are_replayed_by_the_service_and_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let policy = "[notify]\nmin_frequency = \"30m\"\nmax_frequency = \"6h\"\n";
    std::fs::write(folder.path().join("seldom.toml"), policy).unwrap();
    let server = Server::of(serve(folder.path())).await;
    for (topic, result) in [("a", "error"), ("b", "error"), ("a", "alert")] {
        server.api.create(&json!({"type": topic, "info": "i"})).await;
        let leased = server.api.lease(topic).await.unwrap();
        server.api.result(&leased.lease, &json!({"result": result, "msg": "broke"})).await.ok();
    }
    let (code, told, err) = run(folder.path(), &ASK).await;
    assert_eq!(code, Some(0), "{err}");
    server.kill().await;
    let lines: Vec<String> = told.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(lines[0], "2 alerts from 2020-01-01T00:00:00Z to 2199-01-01T00:00:00Z", "what is told at once isn't");
    assert_eq!(lines[1], "now seldom.toml");
    assert!(lines[2].starts_with("policy 5m to 1h20m, ×2.0 up") && lines[2].contains("30m to 6h"), "{told}");
    assert_eq!(lines[3], "messages 2 2");
    assert!(lines.contains(&"incidents 1 1".to_owned()), "{told}");
    assert!(lines.contains(&"open at the end 0 0".to_owned()), "{told}");
    assert!(lines.iter().any(|line| line.starts_with("first message after ")), "{told}");
    assert!(lines.iter().any(|line| line.starts_with("all clear after ")), "{told}");
    let (code, offline, err) = run(folder.path(), &ASK).await;
    assert_eq!((code, offline), (Some(0), told), "{err}");
}

/// Each alert goes by the routes of the side, in the time that its own ladder and quiet hours give it.
#[actix::test]
async fn routes_have_their_own_ladders_and_quiet_hours() {
    let folder = tempfile::tempdir().unwrap();
    let policy = "[notify]\nurl = \"http://127.0.0.1:9/x\"\n[notify.routes.a]\ntype = \"a*\"\n\
                  url = \"http://127.0.0.1:9/a\"\nmin_frequency = \"20m\"\nquiet_hours = \"00:00-23:58\"\n";
    std::fs::write(folder.path().join("seldom.toml"), policy).unwrap();
    let server = Server::of(serve(folder.path())).await;
    for topic in ["a", "b"] {
        server.api.create(&json!({"type": topic, "info": "i"})).await;
        let leased = server.api.lease(topic).await.unwrap();
        server.api.result(&leased.lease, &json!({"result": "error", "msg": "broke"})).await.ok();
    }
    server.kill().await;
    let (code, told, err) = run(folder.path(), &ASK).await;
    assert_eq!(code, Some(0), "{err}");
    let lines: Vec<String> = told.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let policies =
        ["a: 20m to 5h20m, ×2.0 up, ÷2.0 down, all clear after 1 quiet check, quiet 00:00-23:58", "default: 5m"];
    assert!(lines[2].ends_with(policies[0]) && lines[3].contains(policies[1]), "{told}");
    for (name, count) in [("messages", 4), ("route a", 2), ("route default", 2), ("incidents", 2)] {
        let line = lines.iter().find(|line| line.starts_with(name)).unwrap();
        assert!(line.ends_with(&format!(" {count}")), "{name}: {told}");
    }
    assert!(lines.contains(&"route a 0 2".to_owned()), "today there is one route: {told}");
}

#[actix::test]
async fn what_cannot_be_simulated_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("good.toml", "[notify]\nmin_frequency = \"30m\"\n");
    write("typo.toml", "[notify]\nmin_frequenzy = \"30m\"\n");
    let ask = |policy: &'static str, from: &'static str, to: &'static str| {
        ["alerts", "simulate", "--policy", policy, "--from", from, "--to", to, "--data", "data"]
    };
    for (args, code, why) in [
        (ask("typo.toml", "2026-03-01", "2026-03-02"), 2, "did you mean notify.min_frequency?"),
        (ask("none.toml", "2026-03-01", "2026-03-02"), 2, "none.toml"),
        (ask("good.toml", "2026-03-02", "2026-03-02"), 2, "--to is not after --from"),
        (ask("good.toml", "yesterday", "2026-03-02"), 2, "is not a time: write it like"),
        (ask("good.toml", "2026-03-01", "2026-03-02"), 1, "there is no database data/flowlord.db: name its folder"),
    ] {
        let (ended, out, err) = run(folder.path(), &args).await;
        assert_eq!((ended, out.as_str()), (Some(code), ""), "{err}");
        assert!(err.contains(why), "{why}: {err}");
    }
    std::fs::create_dir(folder.path().join("data")).unwrap();
    write("data/flowlord.db", "");
    let (code, _, err) = run(folder.path(), &ask("good.toml", "2026-03-01", "2026-03-02")).await;
    assert_eq!(code, Some(1));
    assert!(err.contains("has schema version 0"), "{err}");
}

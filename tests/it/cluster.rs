//! Nodes of a cluster as processes: one leads, the others follow, answer, forward, and take over.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use flowlord_kernel::{Clock as _, SystemClock};
use flowlord_testkit::{FakeSlack, FakeStore, lasting_address};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::process::{PATIENCE, Server, flowlord, refused, serve, signal};
use crate::snapshots::in_a_store;
use crate::support::Api;

/// A node with a folder of its own below that of its cluster.
pub(crate) struct Node {
    name: &'static str,
    address: String,
    folder: PathBuf,
    place: PathBuf,
    slack: String,
}

impl Node {
    pub(crate) fn new(cluster: &Path, name: &'static str, slack: &FakeSlack) -> Self {
        let folder = cluster.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self { name, address: lasting_address(), folder, place: cluster.join("place"), slack: slack.api_url() }
    }

    fn command(&self) -> tokio::process::Command {
        let mut command = serve(&self.folder);
        // The last one counts.
        command.args(["--listen", &self.address, "--cluster-node", self.name]);
        command.args(["--cluster-url", &format!("http://{}", self.address), "--backup-ship-every=1s"]);
        command.arg("--backup-path").arg(&self.place);
        command.args([
            "--notify-channel=#data",
            "--notify-min-frequency=1s",
            "--notify-quiet-ticks=100",
            "--notify-api-url",
            &self.slack,
        ]);
        command.env("FLOWLORD_NOTIFY__TOKEN", "xoxb-1");
        command
    }

    /// A service of its own that sends its changes to the place of a cluster.
    fn command_without_cluster(&self) -> tokio::process::Command {
        let mut command = serve(&self.folder);
        command.arg("--backup-path").arg(&self.place);
        command
    }

    pub(crate) async fn start(&self) -> Server {
        Server::of(self.command()).await
    }

    async fn start_standby(&self) -> Server {
        let mut command = self.command();
        command.arg("--standby");
        Server::of(command).await
    }
}

async fn view(api: &Api) -> Option<Value> {
    let answer = api.try_get("/api/v1/cluster").await.ok()?;
    (answer.status == 200).then_some(answer.json)
}

/// Asks until it holds; a test that waits in vain ends with the time that all of a test may take.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let asked = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), asked).await.unwrap_or_else(|_| panic!("{what} didn't come"));
}

async fn until_leads(api: &Api) {
    until("the lead", async || view(api).await.is_some_and(|state| state["role"] == "leader")).await;
    until("readiness", async || api.try_get("/readyz").await.is_ok_and(|answer| answer.status == 200)).await;
}

/// Until a follower has what was acknowledged by now.
async fn until_caught_up(leader: &Api, follower: &Api) {
    let asked_at = SystemClock.now();
    until("the segments", async || {
        let sent = leader.get("/readyz").await.ok()["backup"]["changes"]["until"].clone();
        sent.as_str().is_some_and(|sent| sent.parse::<DateTime<Utc>>().unwrap() > asked_at)
    })
    .await;
    let tip = view(leader).await.unwrap()["applied"].as_u64().unwrap();
    until("the log", async || view(follower).await.is_some_and(|state| state["applied"].as_u64().unwrap() > tip)).await;
}

async fn fail(api: &Api, msg: &str) {
    api.create(&json!({"type": "a", "info": "i"})).await;
    let leased = api.lease("a").await.expect("tasks go on");
    api.result(&leased.lease, &json!({"result": "error", "msg": msg})).await.ok();
}

#[actix::test]
async fn a_standby_answers_for_the_leader_and_takes_over_when_it_is_killed() {
    let (cluster, slack) = (tempfile::tempdir().unwrap(), FakeSlack::start());
    let [a, b] = ["a", "b"].map(|name| Node::new(cluster.path(), name, &slack));
    let first = a.start().await;
    let second = b.start_standby().await;
    until("the leader", async || view(&second.api).await.unwrap()["leader"]["node"] == "a").await;
    let state = view(&second.api).await.unwrap();
    assert_eq!((&state["node"], &state["role"], &state["term"]), (&json!("b"), &json!("follower"), &json!(1)));

    // A worker that only knows the follower: all of its requests reach the leader, and it sees what it did.
    for n in 1..=20 {
        let created = second.api.create(&json!({"type": "load", "info": format!("{n}")})).await;
        let path = format!("/api/v1/tasks/{}", created["uid"].as_str().unwrap());
        assert_eq!(second.api.get(&path).await.ok()["info"], json!(n.to_string()), "its own write");
        let leased = second.api.lease("load").await.unwrap();
        let log = format!("/api/v1/lease/{}/log", leased.lease);
        second.api.send(Method::POST, &log, "text/plain", "written\n").await.unwrap().ok();
        second.api.complete(&leased.lease, "").await;
        assert_eq!(second.api.get(&format!("{path}/log")).await.json, "written\n", "the leader has it");
        assert_eq!(second.api.get(&path).await.ok()["state"], "done");
    }
    until_caught_up(&first.api, &second.api).await;
    let other = Api::new(second.api.base.clone());
    let [here, there] = [first.api.tasks("").await, other.tasks("").await];
    assert_eq!((here.len(), here), (20, there));
    for page in ["/", "/web/task", "/web/alert", "/web/about", "/web/workflow?file=main.toml"] {
        let answer = second.api.get(page).await;
        assert_eq!(answer.status, 200, "{page}: {:?}", answer.json);
    }
    let refused = second.api.post("/api/v1/lease/nonsense/result", &json!({"result": "complete"})).await;
    assert_eq!(refused.problem().0, 404, "the leader's refusals come through");

    fail(&second.api, "before").await;
    until("the incident", async || !slack.requests().is_empty()).await;
    until_caught_up(&first.api, &second.api).await;
    let unsent = first.api.create(&json!({"type": "lost", "info": "i"})).await;
    signal(first.pid(), Signal::KILL);
    let down = second.api.post("/api/v1/tasks", &json!({"type": "load", "info": "i"})).await;
    assert_eq!(down.problem(), (503, "not_leader"));
    assert_eq!(second.api.get("/api/v1/tasks?type=load").await.ok()["items"].as_array().unwrap().len(), 20);

    until_leads(&second.api).await;
    let state = view(&second.api).await.unwrap();
    assert!(state["term"].as_u64().unwrap() > 1, "{state}");
    let takeover = &state["takeover"];
    assert_eq!((&takeover["from"], &takeover["is_handover"]), (&json!("a"), &json!(false)));
    let created_at = unsent["created"].as_str().unwrap();
    let is_told =
        takeover["missing_since"].as_str().unwrap() <= created_at && created_at < takeover["at"].as_str().unwrap();
    assert!(is_told, "{unsent} in {takeover}");
    let alerts = second.api.get("/api/v1/alerts?kind=takeover").await.ok();
    let msg = alerts["items"][0]["msg"].as_str().unwrap();
    assert!(msg.starts_with("node b leads since 20") && msg.contains("node a was silent"), "{msg}");
    fail(&second.api, "after").await;
    // The incident goes on in the message that the former leader posted.
    let edited = async || slack.requests().iter().any(|request| request.path == "/api/chat.update");
    until("the edited message", edited).await;
    let posts = slack
        .requests()
        .iter()
        .filter(|it| it.path == "/api/chat.postMessage" && it.body["thread_ts"].is_null())
        .count();
    assert_eq!(posts, 1, "{:#?}", slack.requests());

    // The former leader follows, and what only it had is kept beside.
    let first = a.start().await;
    until("the follower", async || view(&first.api).await.is_some_and(|state| state["role"] == "follower")).await;
    until_caught_up(&second.api, &first.api).await;
    let fresh = Api::new(first.api.base.clone());
    assert_eq!(fresh.tasks("").await, second.api.tasks("").await);
    let kept = std::fs::read_dir(a.folder.join("data")).unwrap().filter_map(Result::ok);
    assert!(kept.map(|file| file.file_name()).any(|name| name.to_string_lossy().starts_with("flowlord.db.aside-")));

    // A clean stop is a handover: nobody is alerted, and nothing is missing.
    let last = second.api.create(&json!({"type": "load", "info": "last"})).await;
    let mut second = second;
    second.terminate();
    assert!(second.ended().await.success());
    until_leads(&first.api).await;
    let found = first.api.get(&format!("/api/v1/tasks/{}", last["uid"].as_str().unwrap())).await.ok();
    assert_eq!(found["info"], "last");
    assert_eq!(view(&first.api).await.unwrap()["takeover"]["is_handover"], true);
    assert_eq!(first.api.get("/api/v1/alerts?kind=takeover").await.ok()["items"].as_array().unwrap().len(), 1);
    first.kill().await;
}

#[actix::test]
async fn a_leader_hands_over_when_asked_and_its_place_is_no_place_for_others() {
    let (cluster, slack) = (tempfile::tempdir().unwrap(), FakeSlack::start());
    let [a, b] = ["a", "b"].map(|name| Node::new(cluster.path(), name, &slack));
    let first = a.start().await;
    let nobody = first.api.post("/api/v1/cluster/handover", &json!({})).await;
    assert!(nobody.json["detail"].as_str().unwrap().contains("no follower that has caught up"), "{nobody:?}");
    let second = b.start_standby().await;
    let kept = first.api.create(&json!({"type": "load", "info": "kept"})).await;
    let status = || flowlord(cluster.path(), &["cluster", "status", "--server", &format!("http://{}", b.address)]);
    until("two nodes", async || {
        let output = status().output().await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success() && text.contains("leader") && text.contains("follower")
    })
    .await;
    // Asked of the follower, which forwards it; refused until it has caught up.
    let command = ["cluster", "handover", "--to", "b", "--server", &second.api.base];
    until("the handover", async || flowlord(cluster.path(), &command).output().await.unwrap().status.success()).await;
    until_leads(&second.api).await;
    until("the follower", async || view(&first.api).await.is_some_and(|state| state["role"] == "follower")).await;
    let found = second.api.get(&format!("/api/v1/tasks/{}", kept["uid"].as_str().unwrap())).await.ok();
    assert_eq!(found["info"], "kept");
    let audit = second.api.get("/api/v1/audit").await.ok();
    assert!(audit["items"].to_string().contains("/api/v1/cluster/handover"), "{audit}");
    assert_eq!(second.api.get("/api/v1/alerts?kind=takeover").await.ok()["items"], json!([]));

    first.kill().await;
    second.kill().await;
    let foreign = refused(Node::new(cluster.path(), "alone", &slack).command_without_cluster()).await;
    assert!(foreign.contains("is the place of a cluster"), "{foreign}");
    let restored = cluster.path().join("restored");
    std::fs::create_dir(&restored).unwrap();
    let place = a.place.display().to_string();
    let mut restore = flowlord(&restored, &["restore", "--data", "data", "--from", &place]);
    assert!(restore.output().await.unwrap().status.success());
    let alone = Server::start(&restored).await;
    assert_eq!(alone.api.tasks("").await.len(), 1);
    alone.kill().await;
}

#[actix::test]
async fn a_leader_whose_place_is_gone_acknowledges_nothing_and_goes_on_once_it_is_back() {
    let (cluster, slack) = (tempfile::tempdir().unwrap(), FakeSlack::start());
    let node = Node::new(cluster.path(), "a", &slack);
    let server = node.start().await;
    let create = async || server.api.post("/api/v1/tasks", &json!({"type": "a", "info": "i"})).await;
    assert_eq!(create().await.status, 201);
    // A file where the folder of entries was: nothing can be written there.
    let (log, aside) = (node.place.join("cluster"), cluster.path().join("aside"));
    std::fs::rename(&log, &aside).unwrap();
    std::fs::write(&log, "").unwrap();
    until("the end of the lease", async || create().await.status == 503).await;
    let refused = create().await;
    assert_eq!(refused.problem(), (503, "not_leader"));
    assert!(server.api.get("/api/v1/tasks").await.status == 200, "reads go on");
    std::fs::remove_file(&log).unwrap();
    std::fs::rename(&aside, &log).unwrap();
    until("the lead", async || create().await.status == 201).await;
    assert_eq!(view(&server.api).await.unwrap()["term"], 1, "nobody else led meanwhile");
    server.kill().await;
}

fn segments(place: &Path) -> Vec<PathBuf> {
    let days = std::fs::read_dir(place.join("log")).into_iter().flatten().filter_map(Result::ok);
    let files = days.flat_map(|day| std::fs::read_dir(day.path()).unwrap().filter_map(Result::ok));
    // While it is being written its name has an end of its own: who writes it may be killed before it is renamed.
    let whole = files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|end| end == "gz"));
    whole.map(|path| path.strip_prefix(place).unwrap().to_owned()).collect()
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap().filter_map(Result::ok) {
        let to = to.join(file.file_name());
        match file.file_type().unwrap().is_dir() {
            true => copy_folder(&file.path(), &to),
            false => drop(std::fs::copy(file.path(), to).unwrap()),
        }
    }
}

async fn restored_infos(cluster: &Path, place: &Path) -> Vec<Value> {
    let folder = cluster.join(format!("restored from {}", place.file_name().unwrap().display()));
    std::fs::create_dir(&folder).unwrap();
    let place = place.display().to_string();
    let output = flowlord(&folder, &["restore", "--data", "data", "--from", &place]).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let server = Server::start(&folder).await;
    let infos = server.api.tasks("").await.iter().map(|task| task["info"].clone()).collect();
    server.kill().await;
    infos
}

#[actix::test]
async fn a_segment_that_no_entry_names_is_restored_by_nobody() {
    let (cluster, slack) = (tempfile::tempdir().unwrap(), FakeSlack::start());
    let node = Node::new(cluster.path(), "a", &slack);
    let mut server = node.start().await;
    server.api.create(&json!({"type": "a", "info": "named"})).await;
    server.terminate();
    assert!(server.ended().await.success());
    let server = Server::of({
        let mut command = node.command();
        command.arg("--backup-ship-every=1h");
        command
    })
    .await;
    until("the first look at changes", async || {
        server.api.get("/readyz").await.ok()["backup"]["changes"]["until"].is_string()
    })
    .await;
    server.api.create(&json!({"type": "a", "info": "unnamed"})).await;
    server.kill().await;
    // As a former leader would that didn't hear of its end: it sends, and no entry names what it sent.
    let elsewhere = cluster.path().join("elsewhere");
    copy_folder(&node.place, &elsewhere);
    std::fs::remove_dir_all(elsewhere.join("cluster")).unwrap();
    let known = segments(&elsewhere);
    let server = Server::of({
        let mut command = serve(&node.folder);
        command.arg("--backup-path").arg(&elsewhere).arg("--backup-ship-every=100ms");
        command
    })
    .await;
    until("its segment", async || segments(&elsewhere).len() > known.len()).await;
    server.kill().await;
    for path in segments(&elsewhere).iter().filter(|path| !known.contains(path)) {
        std::fs::copy(elsewhere.join(path), node.place.join(path)).unwrap();
    }
    assert_eq!(restored_infos(cluster.path(), &elsewhere).await, ["named", "unnamed"], "it is sound");
    assert_eq!(restored_infos(cluster.path(), &node.place).await, ["named"]);
}

#[actix::test]
async fn a_copied_data_folder_and_a_store_that_replaces_files_are_refused() {
    let (cluster, slack) = (tempfile::tempdir().unwrap(), FakeSlack::start());
    let [a, c] = ["a", "c"].map(|name| Node::new(cluster.path(), name, &slack));
    let mut server = a.start().await;
    server.api.create(&json!({"type": "a", "info": "i"})).await;
    server.terminate();
    assert!(server.ended().await.success());
    copy_folder(&a.folder.join("data"), &c.folder.join("data"));
    let server = a.start().await;
    let copied = refused(c.command()).await;
    assert!(copied.contains("the data folder is a copy of that of node a"), "{copied}");
    server.kill().await;

    let fake = FakeStore::start();
    fake.set_ignoring_conditions(true);
    let node = Node::new(cluster.path(), "d", &slack);
    let replacing = refused({
        let mut command = node.command();
        command.args(in_a_store(&fake));
        command
    })
    .await;
    assert!(replacing.contains("a cluster needs a store that refuses to"), "{replacing}");
}

#[actix::test]
async fn a_node_that_was_put_back_to_an_earlier_time_catches_up_before_it_leads() {
    let (cluster, slack) = (tempfile::tempdir().unwrap(), FakeSlack::start());
    let node = Node::new(cluster.path(), "a", &slack);
    let (data, earlier) = (node.folder.join("data"), cluster.path().join("earlier"));
    for info in ["one", "two"] {
        let mut server = node.start().await;
        server.api.create(&json!({"type": "a", "info": info})).await;
        server.terminate();
        assert!(server.ended().await.success());
        if info == "one" {
            copy_folder(&data, &earlier);
        }
    }
    std::fs::remove_dir_all(&data).unwrap();
    copy_folder(&earlier, &data);
    let server = node.start().await;
    until_leads(&server.api).await;
    let infos: Vec<_> = server.api.tasks("").await.iter().map(|task| task["info"].clone()).collect();
    assert_eq!(infos, ["one", "two"]);
    server.kill().await;
}

#[actix::test]
async fn a_reseed_by_hand_keeps_the_old_database_and_gets_a_new_one() {
    let (cluster, slack) = (tempfile::tempdir().unwrap(), FakeSlack::start());
    let [a, b] = ["a", "b"].map(|name| Node::new(cluster.path(), name, &slack));
    let first = a.start().await;
    first.api.create(&json!({"type": "a", "info": "kept"})).await;
    let mut second = b.start_standby().await;
    until_caught_up(&first.api, &second.api).await;
    let reseed = |more: &[&str]| {
        let mut command = flowlord(&b.folder, &["cluster", "reseed", "--data", "data"]);
        command.args(more);
        command
    };
    let running = refused(reseed(&["--yes"])).await;
    assert!(running.contains("in use by another flowlord"), "{running}");
    second.terminate();
    assert!(second.ended().await.success());
    let unsure = refused(reseed(&[])).await;
    assert!(unsure.contains("--yes"), "{unsure}");
    let output = reseed(&["--yes"]).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("flowlord.db.aside-"), "{said}");
    let second = b.start_standby().await;
    until_caught_up(&first.api, &second.api).await;
    assert_eq!(second.api.tasks("").await, first.api.tasks("").await);
    first.kill().await;
    second.kill().await;
}

#[actix::test]
async fn the_commands_of_the_guide_start_three_nodes_on_one_machine() {
    if !flowlord_testkit::can_run(&["bash", "grep", "sleep"]) {
        return;
    }
    let guide = include_str!("../../docs/cluster.md").split("## Start on one machine").nth(1).unwrap();
    let commands = guide.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let addresses = ["127.0.0.1:8081", "127.0.0.1:8082", "127.0.0.1:8083"];
    let commands =
        addresses.iter().fold(commands.to_owned(), |text, address| text.replace(address, &lasting_address()));
    let (start, status) = commands.trim_end().rsplit_once('\n').unwrap();
    let status = status.split(" #").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("workflows")).unwrap();
    // What is left running ends with the script.
    let script = format!(
        "trap 'kill $(jobs -p)' EXIT\n{start}\nuntil {status} >status && [ $(grep -c follower status) = 3 ]; do sleep 0.1; done"
    );
    let programs = Path::new(env!("CARGO_BIN_EXE_flowlord")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let mut bash = tokio::process::Command::new("bash");
    bash.args(["-c", &script]).current_dir(folder.path()).env("PATH", path).env("RUST_LOG", "warn").kill_on_drop(true);
    let ended =
        tokio::time::timeout(PATIENCE, bash.output()).await.expect("two followers, one of which is asked").unwrap();
    assert!(ended.status.success(), "{ended:?}");
}

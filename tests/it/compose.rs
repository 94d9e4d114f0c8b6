//! The examples of clusters for docker compose, started as it would start them: each service is a process with an address of
//! its own, which stands for its name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

use flowlord_testkit::{NATS_SERVER, can_run};
use serde::Deserialize;
use serde_json::json;
use tokio::process::{Child, Command};

use crate::cluster::until;
use crate::support::Api;

/// What these tests know of such a file.
#[derive(Deserialize)]
struct ComposeFile {
    services: BTreeMap<String, Service>,
    #[serde(default)]
    configs: BTreeMap<String, ConfigText>,
    networks: BTreeMap<String, Network>,
}

#[derive(Deserialize)]
struct ConfigText {
    content: String,
}

#[derive(Deserialize)]
struct Network {
    ipam: Addresses,
}

#[derive(Deserialize)]
struct Addresses {
    config: Vec<Subnet>,
}

#[derive(Deserialize)]
struct Subnet {
    subnet: String,
}

#[derive(Deserialize)]
struct Service {
    image: String,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    volumes: Vec<String>,
    #[serde(default)]
    configs: Vec<MountedConfig>,
    healthcheck: Option<HealthCheck>,
}

#[derive(Deserialize)]
struct MountedConfig {
    source: String,
    target: String,
}

#[derive(Deserialize)]
struct HealthCheck {
    test: Vec<String>,
}

struct ComposeExample {
    file: ComposeFile,
    folder: tempfile::TempDir,
    /// Of each service, in the network of this machine alone.
    addresses: BTreeMap<String, String>,
    /// The first three numbers of them, and of those that the file has for its network.
    networks: [String; 2],
}

impl ComposeExample {
    fn read(name: &str) -> Self {
        let text = std::fs::read_to_string(examples().join(name)).unwrap();
        let file: ComposeFile = serde_saphyr::from_str(&text).unwrap();
        let subnet = &file.networks["default"].ipam.config[0].subnet;
        let there = subnet.strip_suffix("0/24").expect("a network of up to 254 services").to_owned();
        // Other tests have others, in this process and in those that run beside it.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = std::process::id() * 4 + NEXT.fetch_add(1, Ordering::Relaxed);
        let here = format!("127.{}.{}.", 100 + id / 250 % 100, id % 250);
        let addresses = file.services.keys().zip(11..).map(|(name, nth)| (name.clone(), format!("{here}{nth}")));
        Self { addresses: addresses.collect(), file, folder: tempfile::tempdir().unwrap(), networks: [here, there] }
    }

    /// What a text of a service says where it runs as a process.
    fn localize(&self, name: &str, text: &str) -> String {
        let [here, there] = &self.networks;
        let words = text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()).map(|piece| {
            let word = piece.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            self.addresses.get(word).map_or(piece.to_owned(), |address| piece.replacen(word, address, 1))
        });
        let text = words.collect::<String>().replace("0.0.0.0", &self.addresses[name]).replace(there, here);
        self.mount(name, &text)
    }

    /// Volumes are folders, and what is mounted is where it is.
    fn mount(&self, name: &str, text: &str) -> String {
        self.file.services[name].volumes.iter().fold(text.to_owned(), |text, volume| {
            let mut parts = volume.split(':');
            let (source, target) = (parts.next().unwrap(), parts.next().unwrap());
            let place = if source.starts_with('.') { examples() } else { self.folder.path().to_owned() }.join(source);
            text.replace(target, &place.display().to_string())
        })
    }

    fn command(&self, name: &str, words: &[String]) -> Command {
        let service = &self.file.services[name];
        let program = match service.image.split(':').next().unwrap() {
            "flowlord" => env!("CARGO_BIN_EXE_flowlord"),
            "nats" => NATS_SERVER,
            image => image,
        };
        let mut command = Command::new(program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).stdin(Stdio::null()).stdout(Stdio::null());
        command.args(words).kill_on_drop(true);
        command
    }

    fn node(&self, name: &str, words: &[String]) -> Command {
        let image = include_str!("../../Dockerfile");
        let of_image = image.split_whitespace().filter_map(|word| word.split_once('='));
        let of_image = of_image.filter(|(key, _)| key.starts_with("FLOWLORD_"));
        let own = self.file.services[name].environment.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let mut command = self.command(name, words);
        command.envs(of_image.chain(own).map(|(key, value)| (key, self.localize(name, value))));
        command
    }

    fn nats_server(&self, name: &str, words: &[String]) -> Command {
        let service = &self.file.services[name];
        let mut words = words.to_vec();
        for MountedConfig { source, target } in &service.configs {
            let text = self.file.configs[source].content.replace("$$", "$");
            let path = self.folder.path().join(format!("{name}-{source}"));
            std::fs::write(&path, self.localize(name, &text)).unwrap();
            words.iter_mut().filter(|word| *word == target).for_each(|word| *word = path.display().to_string());
        }
        let mut command = self.command(name, &words);
        command.envs(&service.environment).args(["--addr", &self.addresses[name]]).stderr(Stdio::null());
        command
    }

    fn start(&self, name: &str) -> Child {
        let service = &self.file.services[name];
        let mut command = match service.image.as_str() {
            "flowlord" if service.command.is_empty() => self.node(name, &["serve".to_owned()]),
            "flowlord" => self.node(name, &service.command),
            image if image.starts_with("nats:") => self.nats_server(name, &service.command),
            _ => {
                let words: Vec<_> = service.command.iter().map(|word| self.mount(name, word)).collect();
                let mut command = Command::new(&words[0]);
                command.args(&words[1..]).envs(service.environment.iter().map(|(k, v)| (k, self.localize(name, v))));
                command.stderr(Stdio::null()).kill_on_drop(true);
                command
            }
        };
        command.spawn().unwrap_or_else(|err| panic!("{name}: {err}"))
    }

    fn api(&self, name: &str) -> Api {
        Api::new(format!("http://{}:8080", self.addresses[name]))
    }

    /// Starts all, and lets what is written through one node be read through the others.
    async fn run(&self) -> Vec<Child> {
        let services: Vec<_> = self.file.services.keys().map(|name| self.start(name)).collect();
        let view = async |name| self.api(name).try_get("/api/v1/cluster").await.map(|answer| answer.json);
        let leader = self.api("a").base;
        for (name, role) in [("a", "leader"), ("b", "follower"), ("c", "follower")] {
            let knows_it =
                async || view(name).await.is_ok_and(|it| it["role"] == role && it["leader"]["url"] == leader);
            until("its role", knows_it).await;
            until("readiness", async || self.api(name).try_get("/readyz").await.is_ok_and(|it| it.status == 200)).await;
            assert_eq!(view(name).await.unwrap()["warnings"], json!([]), "{name}");
        }
        let task = json!({"type": "extract", "job": "orders", "info": "?hour=2026-03-02T11"});
        let created = self.api("c").create(&task).await;
        let path = format!("/api/v1/tasks/{}", created["uid"].as_str().unwrap());
        for name in ["a", "b", "c"] {
            until("the task", async || self.api(name).get(&path).await.status == 200).await;
        }
        services
    }
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cluster")
}

#[actix::test]
async fn the_example_with_a_log_in_the_place_forms_a_cluster_that_is_healthy_and_has_a_worker() {
    if !can_run(&["python3"]) {
        return;
    }
    let example = ComposeExample::read("compose.yaml");
    let _services = example.run().await;
    for name in ["a", "b", "c"] {
        let HealthCheck { test } = example.file.services[name].healthcheck.as_ref().unwrap();
        assert_eq!(test[..2], ["CMD", "flowlord"]);
        let status = example.node(name, &test[2..]).status().await.unwrap();
        assert!(status.success(), "{name}");
    }
    let done = "/api/v1/tasks?type=extract&result=complete";
    until("the worker", async || !example.api("a").get(done).await.ok()["items"].as_array().unwrap().is_empty()).await;
}

#[actix::test]
async fn the_example_with_a_log_in_nats_forms_a_cluster_that_syncs_three_copies() {
    if !can_run(&[NATS_SERVER]) {
        return;
    }
    let example = ComposeExample::read("nats.yaml");
    let guide = include_str!("../../docs/cluster.md");
    let config = example.file.configs["nats"].content.replace("$$NAME", "n1");
    assert!(guide.contains(&format!("```text\n{config}```")), "the guide has the same:\n{config}");
    let _services = example.run().await;
}

//! The configuration of a bridge: a TOML file, and from flags or the environment where the service is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use flowlord_domain::finding::nearest_word;
use flowlord_domain::{Secret, bom, duration};
use serde::Deserialize;

const KEYS: [&str; 12] = [
    "server",
    "token",
    "token_file",
    "nsqd",
    "lookupd",
    "topics",
    "done",
    "files",
    "in_flight",
    "lease",
    "hold",
    "worker",
];

/// As nsqd has them.
const MAX_TOPIC_CHARACTERS: usize = 64;

/// The longest lease that the service gives.
const MAX_HOLD: Duration = Duration::from_secs(24 * 3600);
const MIN_LEASE: Duration = Duration::from_secs(5);
const MAX_LEASE: Duration = Duration::from_secs(3600);

const MAX_IN_FLIGHT: u64 = 100_000;

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct BridgeFile {
    server: String,
    token: Option<String>,
    token_file: Option<PathBuf>,
    nsqd: Vec<String>,
    lookupd: Vec<String>,
    topics: Vec<String>,
    done: String,
    files: String,
    in_flight: u64,
    lease: String,
    hold: String,
    worker: Option<String>,
}

impl Default for BridgeFile {
    fn default() -> Self {
        Self {
            server: "http://127.0.0.1:8080".to_owned(),
            token: None,
            token_file: None,
            nsqd: vec!["127.0.0.1:4150".to_owned()],
            lookupd: Vec::new(),
            topics: Vec::new(),
            done: "done".to_owned(),
            files: "files".to_owned(),
            in_flight: 500,
            lease: "60s".to_owned(),
            hold: "4h".to_owned(),
            worker: None,
        }
    }
}

#[derive(Debug)]
pub(super) struct BridgeConfig {
    pub(super) server: String,
    pub(super) token: Option<Secret>,
    /// `host:port` of each nsqd that is published to.
    pub(super) nsqd: Vec<String>,
    /// `host:port` of each nsqlookupd; none where `nsqd` is consumed from.
    pub(super) lookupd: Vec<String>,
    pub(super) topics: Vec<String>,
    /// Empty where it isn't consumed.
    pub(super) done: String,
    /// Empty where it isn't consumed.
    pub(super) files: String,
    /// How many tasks of a topic may be leased at the same time.
    pub(super) in_flight: u64,
    /// How long a task is leased at first, until it is published.
    pub(super) lease: Duration,
    /// How long a published task is held for.
    pub(super) hold: Duration,
    pub(super) worker: Option<String>,
}

impl BridgeConfig {
    /// Reads the file; flags and variables go over it.
    pub(super) fn load(path: &Path, server: Option<String>, token: Option<String>) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?;
        let file = BridgeFile::parse(&text).with_context(|| format!("{}", path.display()))?;
        let mut config = file.check().with_context(|| format!("{}", path.display()))?;
        if let Some(server) = server {
            config.server = server;
        }
        if let Some(token) = token {
            config.token = Some(Secret::new(token));
        }
        Ok(config)
    }
}

impl BridgeFile {
    fn parse(text: &str) -> anyhow::Result<Self> {
        // Checked by hand: serde's error for an unknown key suggests none.
        let table: toml::Table = toml::from_str(bom::skip_mark(text))?;
        if let Some(unknown) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
            match nearest_word(unknown, KEYS) {
                // The Go program has such a topic, so its users will write the key.
                _ if unknown == "failed" => bail!(
                    "failed: dead letters aren't published. GET /api/v1/tasks?result=error&retry=failed lists them, and \
                     each raises an alert: remove the key"
                ),
                Some(known) => bail!("unknown key {unknown}: did you mean {known}?"),
                None => bail!("unknown key {unknown}: write one of {}", KEYS.join(", ")),
            }
        }
        // From the text again, so that an error has its line.
        Ok(toml::from_str(bom::skip_mark(text))?)
    }

    fn check(self) -> anyhow::Result<BridgeConfig> {
        self.check_names()?;
        ensure!(
            (1..=MAX_IN_FLIGHT).contains(&self.in_flight),
            "in_flight is {}: write 1 to {MAX_IN_FLIGHT}",
            self.in_flight
        );
        let token = self.read_token()?;
        let lease = read_duration("lease", &self.lease, MIN_LEASE, MAX_LEASE)?;
        Ok(BridgeConfig {
            token,
            lease,
            // A task is leased for `lease` in any case, so a shorter `hold` would not be kept.
            hold: read_duration("hold", &self.hold, lease, MAX_HOLD)?,
            server: self.server,
            nsqd: self.nsqd,
            lookupd: self.lookupd,
            topics: self.topics,
            done: self.done,
            files: self.files,
            in_flight: self.in_flight,
            worker: self.worker,
        })
    }

    fn check_names(&self) -> anyhow::Result<()> {
        // nsqlookupd names only nodes that have a topic already, so it can't say where to publish.
        ensure!(!self.nsqd.is_empty() || self.topics.is_empty(), "nsqd is empty: write where topics are published");
        ensure!(
            !self.nsqd.is_empty() || !self.lookupd.is_empty(),
            "nsqd and lookupd are empty: write host:port of one of them"
        );
        self.nsqd.iter().try_for_each(|address| check_address("nsqd", address))?;
        self.lookupd.iter().try_for_each(|address| check_address("lookupd", address))?;
        self.topics.iter().try_for_each(|topic| check_topic("topics", topic))?;
        let consumed = [("done", &self.done), ("files", &self.files)];
        let mut named = consumed.into_iter().filter(|(_, topic)| !topic.is_empty());
        named.try_for_each(|(key, topic)| check_topic(key, topic))?;
        let is_idle = self.topics.is_empty() && consumed.iter().all(|(_, topic)| topic.is_empty());
        ensure!(!is_idle, "topics, done and files are empty: there is nothing to do");
        Ok(())
    }

    fn read_token(&self) -> anyhow::Result<Option<Secret>> {
        match (&self.token, &self.token_file) {
            (Some(_), Some(_)) => bail!("token and token_file are both set: keep one of them"),
            (Some(token), None) => Ok(Some(Secret::new(token.trim()))),
            (None, None) => Ok(None),
            (None, Some(path)) => {
                let text = std::fs::read_to_string(path);
                let text = text.with_context(|| format!("token_file {} can't be read", path.display()))?;
                // Editors end a file with a line break, which is not part of the token.
                Ok(Some(Secret::new(text.trim())))
            }
        }
    }
}

fn check_address(key: &str, address: &str) -> anyhow::Result<()> {
    let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).and_then(|(_, port)| port.parse().ok());
    // A URL ends with a port, too.
    let is_address = port.is_some_and(|port: u16| port > 0) && !address.contains("//");
    ensure!(is_address, "{key} has `{address}`: write it as host:port");
    Ok(())
}

fn check_topic(key: &str, topic: &str) -> anyhow::Result<()> {
    let is_name = topic.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    ensure!(
        is_name && (1..=MAX_TOPIC_CHARACTERS).contains(&topic.len()),
        "{key} has `{topic}`: NSQ's topics are of letters, digits and `._-`, 1 to {MAX_TOPIC_CHARACTERS} of them"
    );
    Ok(())
}

fn read_duration(key: &str, text: &str, least: Duration, most: Duration) -> anyhow::Result<Duration> {
    let span = duration::parse_duration(text).with_context(|| format!("{key} is `{text}`"))?;
    let span = span.to_std().unwrap_or_default();
    let seconds = |span: Duration| span.as_secs();
    ensure!(
        (least..=most).contains(&span),
        "{key} is {text}: write {}s to {}s, like 1h or 90s",
        seconds(least),
        seconds(most)
    );
    Ok(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<BridgeConfig, String> {
        BridgeFile::parse(text).and_then(BridgeFile::check).map_err(|err| format!("{err:#}"))
    }

    #[test]
    fn a_short_file_is_enough() {
        let config = read("topics = [\"load\"]").unwrap();
        assert_eq!((config.server.as_str(), config.token), ("http://127.0.0.1:8080", None));
        assert_eq!((config.nsqd, config.lookupd), (vec!["127.0.0.1:4150".to_owned()], vec![]));
        assert_eq!((config.topics, config.in_flight), (vec!["load".to_owned()], 500));
        assert_eq!((config.done.as_str(), config.files.as_str()), ("done", "files"));
        assert_eq!((config.lease.as_secs(), config.hold.as_secs()), (60, 4 * 3600));
    }

    #[test]
    fn every_key_is_read() {
        let text = r#"
            server = "https://flow.example"
            token = " planted "
            nsqd = ["a:1", "[fd00::1]:2"]
            lookupd = ["l:4161"]
            topics = ["a", "b.c_d-e"]
            done = "ended"
            files = ""
            in_flight = 7
            lease = "30s"
            hold = "24h"
            worker = "nsq"
        "#;
        let config = read(text).unwrap();
        assert_eq!((config.server.as_str(), config.token.unwrap().expose()), ("https://flow.example", "planted"));
        assert_eq!((config.nsqd.len(), config.lookupd.len(), config.topics.len()), (2, 1, 2));
        assert_eq!((config.done.as_str(), config.files.as_str(), config.in_flight), ("ended", "", 7));
        assert_eq!((config.lease.as_secs(), config.hold.as_secs()), (30, 24 * 3600));
        assert_eq!(config.worker.as_deref(), Some("nsq"));
        for key in KEYS.iter().filter(|key| **key != "token_file") {
            assert!(text.contains(&format!("{key} = ")), "{key} is in no test");
        }
    }

    #[test]
    fn what_is_wrong_says_what_to_write() {
        for (text, expected) in [
            ("topcis = []", "unknown key topcis: did you mean topics?"),
            ("failed = \"retry-failed\"", "dead letters aren't published"),
            ("xyz = 1", "write one of server, token"),
            ("topics = [\"a b\"]", "topics has `a b`"),
            ("topics = [\"a:job\"]", "topics has `a:job`"),
            ("done = \"a/b\"", "done has `a/b`"),
            ("nsqd = [\"http://a:4150\"]", "nsqd has `http://a:4150`: write it as host:port"),
            ("lookupd = [\"a\"]", "lookupd has `a`: write it as host:port"),
            ("nsqd = []\ntopics = [\"a\"]", "write where topics are published"),
            ("nsqd = []", "write host:port of one of them"),
            ("done = \"\"\nfiles = \"\"", "there is nothing to do"),
            ("in_flight = 0", "in_flight is 0: write 1 to 100000"),
            ("lease = \"1s\"", "lease is 1s: write 5s to 3600s"),
            ("hold = \"10s\"", "hold is 10s: write 60s to 86400s"),
            ("hold = \"soon\"", "hold is `soon`"),
            ("token = \"a\"\ntoken_file = \"b\"", "keep one of them"),
            ("token_file = \"/nowhere/token\"", "/nowhere/token can't be read"),
            ("in_flight = \"5\"", "in_flight"),
        ] {
            let err = read(text).unwrap_err();
            assert!(err.contains(expected), "{text}: {err}");
        }
    }

    #[test]
    fn every_key_is_documented_and_the_example_is_read() {
        let page = include_str!("../../../docs/bridge.md");
        let file = BridgeFile::default();
        for key in KEYS {
            let row = page.lines().find(|line| line.starts_with(&format!("| `{key}` |")));
            let row = row.unwrap_or_else(|| panic!("{key} is missing"));
            let default = match key {
                "server" => file.server.clone(),
                "nsqd" => format!("{:?}", file.nsqd),
                "lookupd" | "topics" => "[]".to_owned(),
                "done" => file.done.clone(),
                "files" => file.files.clone(),
                "in_flight" => file.in_flight.to_string(),
                "hold" => file.hold.clone(),
                "lease" => file.lease.clone(),
                _ => continue,
            };
            assert!(row.contains(&format!("| `{default}` |")), "{row}");
        }
        let example = read(include_str!("../../../examples/bridge/bridge.toml")).unwrap();
        assert_eq!((example.topics.len(), example.hold.as_secs()), (2, 4 * 3600));
    }

    #[test]
    fn the_environment_goes_over_the_file_and_a_token_may_be_in_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let (file, token) = (folder.path().join("bridge.toml"), folder.path().join("token"));
        std::fs::write(&token, "planted\n").unwrap();
        std::fs::write(&file, format!("server = \"http://a\"\ntoken_file = {token:?}\n")).unwrap();
        let config = BridgeConfig::load(&file, None, None).unwrap();
        assert_eq!((config.server.as_str(), config.token.unwrap().expose()), ("http://a", "planted"));
        let config = BridgeConfig::load(&file, Some("http://b".into()), Some("other".into())).unwrap();
        assert_eq!((config.server.as_str(), config.token.unwrap().expose()), ("http://b", "other"));
        std::fs::write(&file, "hold = \"1s\"").unwrap();
        let err = format!("{:#}", BridgeConfig::load(&file, None, None).unwrap_err());
        assert!(err.contains("bridge.toml: hold is 1s"), "{err}");
    }
}
